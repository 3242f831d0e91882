"""Blocks that show a command behind `$ ` and what it answers. The answer is held against what is really answered by its shape: values, ids and times are wild.

Of JSON the names of members are compared, of text the first word of each line, of a table its titles."""
import re
from dataclasses import dataclass

KEY = re.compile(r'"([A-Za-z_]\w*)":')
STATUS = re.compile(r"^HTTP/1\.1 (\d{3})", re.MULTILINE)
HEADER = re.compile(r"^([a-z][a-z-]+): ", re.MULTILINE)
REASON = re.compile(r'"reason": ?"([A-Z_]+)"')


TITLES = re.compile(r"^ *[A-Z][A-Z ]+[A-Z] *$")
WILD = re.compile(r"\d|…")  # an id, a time, a size, or what is left out


@dataclass
class Shown:
    line: int
    command: str
    answer: str


def split(text: str, line: int) -> list[Shown]:
    """The commands of a block, each with its answer; `line` is that of the block's fence."""
    found: list[Shown] = []
    for number, content in enumerate(text.splitlines(), line + 1):
        if content.startswith("$ "):
            found.append(Shown(number, content[2:], ""))
        elif not found:
            continue
        elif not found[-1].answer and unfinished(found[-1].command):
            found[-1].command += f"\n{content.removeprefix('> ')}"
        else:
            found[-1].answer += content + "\n"
    return found


def unfinished(command: str) -> bool:
    """Whether the command goes on in the next line."""
    return command.endswith("\\") or command.count("'") % 2 == 1


def is_transcript(text: str) -> bool:
    return text.lstrip().startswith("$ ")


def refused(answer: str) -> bool:
    """Whether the answer that is shown is an error."""
    return bool(REASON.search(answer)) and '"code"' in answer or re.search(r"^(error|lightkeep): ", answer, re.MULTILINE) is not None


EMPTY = re.compile(r'"(\w+)": ?(?:\[\]|\{\}|null)')


def without_empty(shown: str, real: str) -> str:
    """What is shown without the content of members that are empty here: how many there are is a value."""
    for name in set(EMPTY.findall(real)):
        for member in reversed(list(re.finditer(rf'"{name}": ?[\[{{]', shown))):
            end, depth = member.end(), 1
            while depth and end < len(shown):
                depth += (shown[end] in "[{") - (shown[end] in "]}")
                end += 1
            shown = f"{shown[:member.end()]}{shown[end:]}"
    return shown


def differs(shown: str, real: str) -> str | None:
    """What the answer that is shown has, and the real one has not: names of members, a reason, a status, headers; of text words."""
    shown = without_empty(shown, real)
    for what, pattern in (("member", KEY), ("reason", REASON), ("status", STATUS)):
        if missing := [name for name in dict.fromkeys(pattern.findall(shown)) if name not in pattern.findall(real)]:
            return f"the answer has no {what} {', '.join(missing)}: {real.strip()[:300]}"
    if STATUS.search(shown) and (missing := sorted(set(HEADER.findall(shown)) - set(HEADER.findall(real)))):
        return f"the answer has no header {', '.join(missing)}"
    if KEY.search(shown) or STATUS.search(shown):
        return None
    return text_differs(shown, real)


def text_differs(shown: str, real: str) -> str | None:
    """The line that the real text does not have: its first word, or of a table the titles."""
    lines = [line.split() for line in real.splitlines() if line.strip()]
    for line in shown.splitlines():
        words = line.split()
        if TITLES.match(line) and len(words) > 1:
            if not any(set(words) <= set(each) for each in lines):
                return f"the answer has no table of {line.strip()}: {real.strip()[:600]}"
        elif words and not WILD.search(words[0]) and words[0] not in (each[0] for each in lines):
            return f"the answer has no line of {words[0]}: {real.strip()[:600]}"
    return None
