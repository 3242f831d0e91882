"""What stands in a command for something that only the reader has: `<backup_id>`, or the id of an example. Each is replaced by a call of `an-id`, so that it is looked
for at the moment when the command is run; words without an id are in settings.toml."""
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

PLACEHOLDER = re.compile(r"<([A-Za-z][\w@./-]*(?: [\w@./-]+)*)>")
# An id that an answer has shown, in a path or behind a noun of the command line: `/targets/01a24c11-5e0a-…`, `lightkeep operation watch 01a2…`.
IN_PATH = re.compile(r"(?<=/)(snapshot|checkpoint|target|failover|drill|operation|alert|silence|schedule)s/(0[0-9a-f]{3}[0-9a-f…-]*)")
LITERAL = re.compile(r"\b0[01][0-9a-f]{2}(?:[0-9a-f]{4}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?)?(?:-?…)?(?![\w-])")
GRAPH = re.compile(r"graphs/([^/\s\"'?]+)|\"graph_id\": ?\"([^\"]+)\"|(?<![\w/@.-])(graph\d+(?:@\w+)?)(?![\w/@.-])")
NOUN = re.compile(r"\b(snapshot|checkpoint|target|failover|drill|operation|alert|silence|schedule)s?\b")
# Times of examples lie in the past some day; what is asked for must lie in the future.
UNTIL = re.compile(r"(until(?:\": ?\"|[ =]))\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Unknown(Exception):
    """A placeholder that nothing stands for."""


def fill(text: str, words: Mapping[str, str]) -> str:
    """The text of a command, or of several, with something for each placeholder. Comments stay as they are."""
    filled, position, quote = [], 0, ""
    while position < len(text):
        character = text[position]
        if not quote and character == "#" and (position == 0 or text[position - 1].isspace()):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            filled.append(text[position:end])
            position = end
            continue
        if character == "\\" and quote != "'":
            filled.append(text[position:position + 2])
            position += 2
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        elif (found := find(text, position)) is not None:
            kind, length = found
            filled.append(standing(kind, text, position, position + length, quote, words))
            position += length
            continue
        filled.append(character)
        position += 1
    done = UNTIL.sub(lambda match: match[1] + TOMORROW, "".join(filled))
    for written, meant in words.items():
        done = done.replace(written, meant)
    if cut := next((line for line in done.splitlines() if "…" in line.partition(" #")[0]), None):
        raise Unknown(f"nothing in tests/docs/settings.toml stands for the `…` of: {cut}")
    return done


def find(text: str, position: int) -> tuple[str, int] | None:
    """The kind and the length of a placeholder at a position."""
    if named := PLACEHOLDER.match(text, position):
        return named[1], len(named[0])
    if position == 0 or text[position - 1] in "/ \"'":
        for kind in IN_PATH.finditer(text):
            if kind.start(2) == position:
                return f"{kind[1]}_id", len(kind[2])
        literal = LITERAL.match(text, position)
        if literal and text[position - 1:position] != "/" and (literal[0].endswith("…") or len(literal[0]) == 36):
            nouns = NOUN.findall(text[text.rfind("\n", 0, position) + 1:position])
            return f"{nouns[-1] if nouns else 'snapshot'}_id", len(literal[0])
    return None


def standing(kind: str, text: str, start: int, end: int, quote: str, words: Mapping[str, str]) -> str:
    if f"<{kind}>" in words:
        return words[f"<{kind}>"]
    if not kind.endswith("id"):
        raise Unknown(f"nothing in tests/docs/settings.toml stands for <{kind}>")
    begin = text.rfind("\n", 0, start) + 1
    graphs = [next(name for name in found if name) for found in GRAPH.findall(text[begin:start])]
    rest = re.match(r"[\w/-]*", text[end:])
    call = f"$(an-id {kind} {graphs[-1] if graphs else '-'} {rest[0] if rest and rest[0] else '-'})"
    return {"": f'"{call}"', '"': call, "'": f"'\"{call}\"'"}[quote]
