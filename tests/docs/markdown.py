"""What a document is made of: headings, links, fenced blocks and commands. Only as much of Markdown as our documents use.

Two comments are for us: `<!-- not run: reason -->` before a block, and `<!-- run first: command -->` for what the reader has done that no block shows.
"""
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^ *(`{3,}|~{3,})\s*([^\s`,]*)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
NOT_RUN = re.compile(r"^\s*<!--\s*not run:\s*(.+?)\s*-->\s*$")
FIRST = re.compile(r"^\s*<!--\s*run first:\s*(.+?)\s*-->\s*$")
CODE = re.compile(r"(`+)(.+?)\1(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^()\s<>]+(?:\([^()\s]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[([^\]]+)\]:\s*(\S+)")
REFERRED = re.compile(r"\[[^\]]+\]\[([^\]]+)\]")
IN_HTML = re.compile(r"(?:href|src|srcset)=\"([^\"]+)\"")
BARE = re.compile(r"https?://[^\s<>()\"'\]|]+")
NAMED = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
SET_IN_PROSE = re.compile(r"^[A-Z]=http://\S+$")


@dataclass
class Block:
    """A fenced block, or a command in the prose where `language` is `inline`."""

    line: int
    language: str
    text: str
    not_run: str | None = None
    shown: str = ""  # the `text` block right after it: what it answers


@dataclass
class Link:
    line: int
    target: str


@dataclass
class Document:
    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[Link] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    # Assignments that the prose makes, such as `B=http://127.0.0.1:9621/api`.
    assignments: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    text = re.sub(r"<[^>]+>", "", text)
    kept = [c for c in text.strip().lower() if c in "-_ " or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) in ("Mn", "Mc")]
    return "".join(kept).replace(" ", "-")


def read(path: Path) -> Document:
    return parse(path, path.read_text())


def parse(path: Path, text: str) -> Document:
    """Reads a document once, line by line."""
    document = Document(path)
    seen: dict[str, int] = {}
    defined: set[str] = set()
    referred: list[tuple[int, str]] = []
    lines = text.splitlines()
    reason: str | None = None  # of a comment `not run` that stands before a block
    number = 0
    comment = False
    while number < len(lines):
        line = lines[number]
        number += 1
        if opened := FENCE.match(line):
            start, body = number, []
            while number < len(lines) and not re.match(rf"^ *{re.escape(opened[1])}+\s*$", lines[number]):
                body.append(lines[number])
                number += 1
            if number == len(lines):
                document.problems.append(f"{start}: the block is never closed")
            number += 1
            add(document, Block(start, opened[2].lower(), dedented(body, line), reason), lines)
            reason = None
            continue
        if said := NOT_RUN.match(line):
            reason = said[1]
            continue
        if first := FIRST.match(line):
            document.blocks.append(Block(number, "sh", first[1]))
            continue
        if line.strip():
            reason = None
        comment = comment or line.lstrip().startswith("<!--")
        if comment:
            comment = "-->" not in line
            continue
        if heading := HEADING.match(line):
            name = slug(heading[2])
            times = seen.get(name, 0)
            seen[name] = times + 1
            document.anchors.add(f"{name}-{times}" if times else name)
        document.anchors.update(NAMED.findall(line))
        for span in CODE.finditer(line):
            code = span[2].strip()
            if SET_IN_PROSE.match(code):
                document.assignments.append(code)
            elif code.startswith("curl ") and "…" not in code and "..." not in code:
                document.blocks.append(Block(number, "inline", code.replace("\\|", "|")))
        prose = CODE.sub("code", line)
        if definition := REFERENCE.match(prose):
            defined.add(definition[1].lower())
            document.links.append(Link(number, definition[2]))
            continue
        referred += [(number, name.lower()) for name in REFERRED.findall(prose)]
        inline = LINK.findall(prose)
        document.links += [Link(number, target) for target in inline + IN_HTML.findall(prose)]
        rest = IN_HTML.sub("", LINK.sub("", prose))
        document.links += [Link(number, target.rstrip(".,;:")) for target in BARE.findall(rest)]
    document.problems += [f"{line}: nothing defines the link [{name}]" for line, name in referred if name not in defined]
    return document


def dedented(body: list[str], opening: str) -> str:
    indent = len(opening) - len(opening.lstrip())
    return "".join(line[min(indent, len(line) - len(line.lstrip())):] + "\n" for line in body)


def add(document: Document, block: Block, lines: list[str]) -> None:
    """A `text` block that follows a command shows its answer; one line of prose may stand between that ends with a colon."""
    before = document.blocks[-1] if document.blocks else None
    if before and before.language == "sh" and block.language == "text" and not block.text.lstrip().startswith("$ "):
        between = lines[before.line + before.text.count("\n") + 1:block.line - 1]
        prose = [line for line in between if line.strip()]
        if not prose or len(prose) == 1 and prose[0].rstrip().endswith(":"):
            before.shown = block.text
    document.blocks.append(block)
