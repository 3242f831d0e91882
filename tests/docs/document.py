"""Runs all that one document shows. `run.py` starts this in namespaces of its own; what came out is a JSON object in the file that is named.

    document.py FILE RESULT
"""
import json
import os
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import data
import placeholders
import transcript
import world
from markdown import Block, Document, read
from session import Ran, Session, Stuck

HERE = Path(__file__).resolve().parent
SHELL = ("sh", "bash", "inline")
STARTS = ("lightkeep serve", "lightkeep quickstart")
GRAPHS = {"graph1": "/srv/lightrag/rag_storage", "graph2": "/srv/lightrag/second"}


def settings() -> dict[str, Any]:
    return tomllib.loads((HERE / "settings.toml").read_text())


@dataclass
class Result:
    commands: int = 0  # blocks with commands, and commands in the prose
    data: int = 0  # blocks that were parsed, or loaded
    shown: dict[str, int] = field(default_factory=dict)  # blocks that are only shown, by their language
    not_run: list[tuple[int, str]] = field(default_factory=list)
    elsewhere: list[tuple[int, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Runner:
    """The blocks of a document, one after the other."""

    def __init__(self, document: Document, session: Session, known: dict[str, Any], words: dict[str, str], may_end_with: dict[str, list[int]]):
        self.document, self.session, self.words, self.result = document, session, words, Result()
        self.reasons, self.only_shown, self.may_end_with = known["elsewhere"], known["shown"], may_end_with

    def all(self) -> Result:
        for block in self.document.blocks:
            try:
                self.one(block)
            except (data.Wrong, placeholders.Unknown) as error:
                self.problem(block.line, str(error))
            except Stuck as error:
                self.problem(block.line, f"{error}; nothing behind it was run")
                break
        return self.result

    def problem(self, line: int, text: str) -> None:
        self.result.problems.append(f"{line}: {text}")

    def one(self, block: Block) -> None:
        if block.not_run:
            self.result.not_run.append((block.line, block.not_run))
        elif data.is_data(block):
            self.result.data += 1
            data.check(block)
        elif transcript.is_transcript(block.text):
            for shown in transcript.split(block.text, block.line):
                self.answer(shown)
        elif block.language in SHELL:
            ran = self.run(block.line, block.text)
            self.judge(block.line, block.shown, ran)
        elif (language := block.language or "none") in self.only_shown:
            self.result.shown[language] = self.result.shown.get(language, 0) + 1
        else:
            self.problem(block.line, f"nobody says in tests/docs/settings.toml what to do with the language {language}")

    def run(self, line: int, text: str) -> Ran:
        self.result.commands += 1
        filled = placeholders.fill(text, self.words)
        if os.environ.get("DOCS_VERBOSE"):
            print(f"{line}: {filled}", file=sys.stderr)
        ran = self.session.run(filled)
        self.result.elsewhere += [(line, command, self.reasons[pattern]) for pattern, command in ran.elsewhere]
        return ran

    def well(self, failed: str) -> bool:
        """Whether the command may end so."""
        status, _, command = failed.removeprefix("exit ").partition(": ")
        return any(fnmatchcase(command, pattern) and int(status) in statuses for pattern, statuses in self.may_end_with.items())

    def answer(self, shown: transcript.Shown) -> None:
        self.judge(shown.line, shown.answer, self.run(shown.line, shown.command))

    def judge(self, line: int, shown: str, ran: Ran) -> None:
        """A command that is shown as refused must be refused so, any other must end well; what it answers must have what is shown."""
        refused = transcript.refused(shown)
        failed = [each for each in ran.failed if not self.well(each)]
        if failed and not refused:
            self.problem(line, f"{'; '.join(failed)}: {ran.output.strip()[-600:]}")
        elif ran.elsewhere and not ran.output:
            return  # nothing of it was run here
        elif refused and not failed:
            self.problem(line, f"it is shown as refused, and is not: {ran.output.strip()[-300:]}")
        elif difference := transcript.differs(shown, ran.output):
            self.problem(line, difference)


def main() -> int:
    path, outcome = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    # The file is opened now: its directory is covered in a moment.
    with outcome.open("w") as file:
        known = settings()
        document = read(path)
        own = known["documents"].get(str(path.relative_to(world.ROOT)), {})
        for block in document.blocks:
            if block.language in SHELL or transcript.is_transcript(block.text):
                block.not_run = block.not_run or own.get("not_run")
        world.enter()
        address = world.address(document)
        os.environ |= {"DOCS_ADDRESS": address, "HOME": str(world.HOME), "PATH": f"{HERE / 'bin'}:{world.INSTALLED}:{os.environ['PATH']}"}
        world.install(world.ROOT / own.get("program", world.INSTALLED))
        run = [block.text for block in document.blocks if not block.not_run and (block.language in SHELL or transcript.is_transcript(block.text))]
        if run:
            world.invite(document)
        if run and not any(start in text for text in run for start in STARTS):
            world.furnish(document, address, own.get("graphs", GRAPHS))
        session = Session(world.STATE / "session", world.ROOT / own.get("directory", "."), os.environ, list(known["elsewhere"]))
        prepared = session.run("".join(f"{each}\n" for each in document.assignments) + own.get("before", ""))
        result = Runner(document, session, known, known["words"] | own.get("words", {}), own.get("may_end_with", {})).all()
        result.problems += [f"0: `before` of tests/docs/settings.toml: {each}" for each in prepared.failed]
        session.close()
        json.dump(asdict(result), file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
