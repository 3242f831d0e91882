"""Links and commands of all documents: README, CONTRIBUTING, CHANGELOG, docs, and the README of each client and test.

    run.py [PROGRAM] [--links-only] [--only FILE]... [--verbose]

Links: each that stays in the repository leads to a file that git knows and to a heading that is there, and so does each document that the code
names. Links to elsewhere are held against a list of hosts; nothing is asked over a network.
Commands: each document is run from its beginning to its end in one shell, in namespaces of its own (mounts, network, processes), so that its paths
and ports are there and nothing else is touched. A command must end with 0, `curl` with a status below 400. An answer that is shown right behind its
command is held against the real one by its shape.
What is not run is printed with its reason: a comment `<!-- not run: reason -->` before the block, or a pattern in settings.toml.

Needs the program as argument or in LIGHTKEEP_BIN, and the packages of tests/lightrag/requirements.txt; for commands root, restic, jq, openssl, iproute2 and util-linux.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import links
from document import settings
from markdown import read
from world import ROOT, separately

HERE = Path(__file__).resolve().parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "clients/*/README.md", "tests/**/README.md")
AT_ONCE = 2  # documents; each has a server of its own
LONGEST = 600  # seconds for a document


def documents(only: list[str]) -> list[Path]:
    found = sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern) if str(path.relative_to(ROOT)) in links.files(ROOT)})
    return [path for path in found if not only or str(path.relative_to(ROOT)) in only]


def proves_itself() -> bool:
    """Whether this program finds what is wrong: its own tests."""
    suite = unittest.defaultTestLoader.discover(str(HERE), "test_*.py")
    return unittest.TextTestRunner(verbosity=0, stream=sys.stdout).run(suite).wasSuccessful()


def check_links(paths: list[Path], everything: bool) -> list[str]:
    hosts = settings()["hosts"]
    problems = [problem for path in paths for problem in links.check(ROOT, read(path), hosts)]
    return problems + (list(links.check_sources(ROOT)) if everything else [])


def run_document(path: Path, binary: Path, verbose: bool) -> dict[str, Any]:
    """Runs a document in namespaces of its own and gives what came out."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r", prefix="lightkeep-docs-", suffix=".json") as outcome:
        words = separately([sys.executable, str(HERE / "document.py"), str(path), outcome.name])
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIGHTKEEP_", "LIGHTRAG_", "RESTIC_"))} | {
            "LIGHTKEEP_BIN": str(binary), "DOCS_PYTHON": sys.executable, "DOCS_TESTS": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
        }
        if verbose:
            environment["DOCS_VERBOSE"] = "yes"
        done = subprocess.run(words, env=environment, timeout=LONGEST, stdin=subprocess.DEVNULL, stderr=None if verbose else subprocess.PIPE, text=True)
        said = outcome.read()
    result = json.loads(said) if said else {"problems": [f"it was not run to its end: exit {done.returncode}: {(done.stderr or '')[-2000:]}"]}
    return {"path": path.relative_to(ROOT), "seconds": time.monotonic() - began} | result


def tell(result: dict[str, Any]) -> None:
    counted = ", ".join(f"{len(result[name]) if isinstance(result[name], list) else result[name]} {word}" for name, word in (
        ("commands", "run"), ("data", "parsed"), ("elsewhere", "elsewhere"), ("not_run", "not run")) if result.get(name))
    print(f"{result['path']}: {counted or 'no commands'} ({result['seconds']:.0f} s)", flush=True)
    for problem in result["problems"]:
        print(f"  FAILED {result['path']}:{problem}", flush=True)


def tell_what_was_not_run(results: list[dict[str, Any]]) -> None:
    """No command is left out without a word."""
    not_run = [(f"{result['path']}:{line}", reason) for result in results for line, reason in result.get("not_run", [])]
    print(f"not run: {len(not_run)}")
    for place, reason in not_run:
        print(f"  {place}: {reason}")
    shown = Counter({language: 0 for result in results for language in result.get("shown", {})})
    for result in results:
        shown.update(result.get("shown", {}))
    print(f"only shown: {shown.total()}")
    for language, times in sorted(shown.items()):
        print(f"  {language} ({times} times): {settings()['shown'][language]}")
    elsewhere = Counter((reason, command) for result in results for _, command, reason in result.get("elsewhere", []))
    print(f"not run here: {elsewhere.total()}")
    for (reason, command), times in sorted(elsewhere.items()):
        print(f"  {command.splitlines()[0][:100]}{f' ({times} times)' if times > 1 else ''}: {reason}")


def run_all(paths: list[Path], binary: Path, verbose: bool) -> list[str]:
    with_blocks = [path for path in paths if read(path).blocks]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Those with the most commands first, so that both ends come together.
        longest_first = sorted(with_blocks, key=lambda path: -len(read(path).blocks))
        results = []
        for result in pool.map(lambda path: run_document(path, binary, verbose), longest_first):
            tell(result)
            results.append(result)
    tell_what_was_not_run(results)
    return [f"{result['path']}:{problem}" for result in results for problem in result["problems"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=os.environ.get("LIGHTKEEP_BIN", ""))
    parser.add_argument("--links-only", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="FILE")
    parser.add_argument("--verbose", action="store_true", help="print each command")
    options = parser.parse_args()
    started = time.monotonic()
    if not proves_itself():
        return 1
    paths = documents(options.only)
    problems = check_links(paths, everything=not options.only)
    for problem in problems:
        print(f"  FAILED {problem}")
    print(f"links of {len(paths)} documents: {len(problems)} are wrong", flush=True)
    if not options.links_only:
        binary = Path(options.program).absolute()
        if not options.program or not binary.is_file():
            print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {options.program}", file=sys.stderr)
            return 2
        if os.geteuid() != 0:
            print("skipped: the commands of the documents, as namespaces need root")
        else:
            problems += run_all(paths, binary, options.verbose)
    print(f"documents: {f'{len(problems)} FAILED' if problems else 'all well'}, after {time.monotonic() - started:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
