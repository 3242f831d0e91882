"""Reads the Dockerfile and .dockerignore, as far as ours go."""
import fnmatch
import json
import subprocess

from common import ROOT


def stages():
    """The instructions of each stage, as (name, text)."""
    lines, all_stages = "", []
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        lines += line.rstrip("\\")
        if line.endswith("\\"):
            continue
        name, _, text = lines.strip().partition(" ")
        lines = ""
        if name == "FROM":
            all_stages.append([])
        if all_stages:
            all_stages[-1].append((name, text.strip()))
    return all_stages


def environment(stage):
    """The variables that a stage sets for what runs in the container."""
    words = " ".join(text for name, text in stage if name == "ENV").split()
    return dict(word.split("=", 1) for word in words)


def command(stage):
    """The program that the container runs, with its arguments."""
    given = dict(stage)
    return json.loads(given["ENTRYPOINT"]) + json.loads(given["CMD"])


def health_check(stage):
    """The command that says whether the container is healthy."""
    return json.loads(dict(stage)["HEALTHCHECK"].partition("CMD ")[2])


def context():
    """The files of the tree that get into the build: of those that git knows or may come to know, what .dockerignore leaves."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return [name for name in names if not _ignored(name, patterns)]


def _ignored(name, patterns):
    parts = name.split("/")
    ancestors = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    ignored = False
    for pattern in patterns:  # the last one that matches counts
        if any(_matches(path, pattern.removeprefix("!")) for path in ancestors):
            ignored = not pattern.startswith("!")
    return ignored


def _matches(path, pattern):
    """`*` ends at a `/`; `**/` before a name stands for any directories."""
    if pattern.startswith("**/"):
        path, pattern = path.split("/")[-1], pattern.removeprefix("**/")
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
