"""What an expression of PromQL names: metrics, and the labels that it asks of them. Not a parser: promtool says whether it is valid."""
import re
from typing import NamedTuple

KEYWORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan", "by", "without", "on", "ignoring", "group_left", "group_right"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
NAME = re.compile(r"(?<![\w.:$])[A-Za-z_:][\w:]*")
# What stands before a figure of the fleet: one instance after the other says the same, so that it is never counted twice.
AGGREGATED = re.compile(r"\b(max|min) by \(fleet\b[^)]*\) \((?:rate\(|increase\()?$")
RATE = re.compile(r"\b(?:rate|increase)\($")


class Use(NamedTuple):
    metric: str
    matched: list
    aggregated: str  # `max` or `min`, else nothing
    rate: bool


def labels_of(text):
    return [label.strip() for label in text.split(",") if label.strip()]


def uses(expression):
    """Each metric of the expression, and the labels that its matchers name."""
    # Strings hold anything; they are made blank, so that places stay.
    blank = re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: '"' + " " * (len(found[0]) - 2) + '"', expression)
    matchers = {found.start(): found[0] for found in re.finditer(r"\{[^}]*\}", blank)}
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", lambda found: " " * len(found[0]), blank)
    bare = GROUPING.sub(lambda found: " " * len(found[0]), bare)
    for found in NAME.finditer(bare):
        if found[0].lower() in KEYWORDS or bare[found.end():].lstrip().startswith("("):
            continue
        before = " ".join(expression[: found.start()].split())
        aggregated = AGGREGATED.search(before)
        matched = re.findall(r"([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)", matchers.get(found.end(), ""))
        yield Use(found[0], matched, aggregated[1] if aggregated else "", bool(RATE.search(before)))


def grouped(expression):
    """The labels that it groups or joins by."""
    return [label for found in GROUPING.finditer(expression) for label in labels_of(found[1])]
