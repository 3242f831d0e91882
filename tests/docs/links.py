"""Links of documents, and what the code says of them. Nothing is asked over a network: of links to elsewhere only the form and the host are looked at."""
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown import Document, read

# A document that a source file names, as in the text of an error or the runbook of an alert.
NAMED_IN_CODE = re.compile(r"(?<![\w./-])(?:(?:\.\./)+|(?:https://[\w./-]+/))?(docs/[\w./-]+\.md|README\.md|CONTRIBUTING\.md)(?:#([\w-]+))?")
NO_SOURCES = (".md", ".lock", ".png", ".svg", ".snap", ".json")


@cache
def files(root: Path) -> frozenset[str]:
    """What git knows or would add, and the directories of that."""
    # The checkout may be another user's where we are root.
    words = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, capture_output=True, check=True).stdout.decode().split("\0")
    there = [name for name in listed if name and (root / name).exists()]
    return frozenset(there) | {str(parent) for name in there for parent in Path(name).parents}


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(read(path).anchors)


def check(root: Path, document: Document, hosts: list[str]) -> Iterator[str]:
    """What is wrong with the links of a document."""
    place = document.path.relative_to(root)
    yield from (f"{place}:{problem}" for problem in document.problems)
    for link in document.links:
        if problem := wrong(root, document.path, link.target, hosts):
            yield f"{place}:{link.line}: {link.target}: {problem}"


def wrong(root: Path, source: Path, target: str, hosts: list[str]) -> str | None:
    parts = urlsplit(target)
    if parts.scheme == "mailto":
        return None if re.fullmatch(r"[^@\s]+@[\w.-]+", parts.path) else "no address"
    if parts.scheme:
        return wrong_host(parts.scheme, parts.hostname, hosts)
    path = (source.parent / unquote(parts.path)).resolve() if parts.path else source
    if not path.is_relative_to(root):
        return "leads out of the repository"
    if str(path.relative_to(root)) not in files(root):
        return "there is no such file"
    if not parts.fragment:
        return None
    if path.suffix != ".md":
        return "an anchor in what is no document"
    return None if parts.fragment in anchors(path) else "the document has no such heading"


def wrong_host(scheme: str, host: str | None, hosts: list[str]) -> str | None:
    if scheme not in ("http", "https") or not host:
        return "no address of the web"
    local = host in ("127.0.0.1", "localhost") or host.endswith((".example", ".example.org"))
    return None if local or host in hosts else f"the host is not in `hosts` of tests/docs/settings.toml: {host}"


def check_sources(root: Path) -> Iterator[str]:
    """What the code says of documents that is not so."""
    for name in sorted(files(root)):
        path = root / name
        if not path.is_file() or name.endswith(NO_SOURCES) or name.startswith("tests/docs/"):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for document, anchor in NAMED_IN_CODE.findall(line):
                if document not in files(root):
                    yield f"{name}:{number}: {document}: there is no such file"
                elif anchor and anchor not in anchors(root / document):
                    yield f"{name}:{number}: {document}#{anchor}: the document has no such heading"
