"""A graph grows by three documents: what differs between the snapshots before and after, against a comparison of the files in Python; and a fork of it, loaded
by a LightRAG under its own workspace name, answers as the original."""
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import medium
from checks import check

HERE = Path(__file__).parent
SPACE = "{http://graphml.graphdrawing.org/xmlns}"
MORE = 3
PARTS = ["files", "documents", "chunks", "entities", "relations"]


class State:
    """What counts of a workspace, by part and key."""

    def __init__(self, directory):
        read = lambda name: json.loads((directory / f"kv_store_{name}.json").read_text(encoding="utf-8"))  # noqa: E731
        documents = read("doc_status").items()
        counting = ["status", "chunks_count", "chunks_list", "content_hash"]
        tree = ElementTree.parse(directory / "graph_chunk_entity_relation.graphml")
        names = {key.get("id"): key.get("attr.name") for key in tree.iter(SPACE + "key")}
        fields = lambda element: {names[data.get("key")]: data.text or "" for data in element}  # noqa: E731
        nodes = {node.get("id"): fields(node) for node in tree.iter(SPACE + "node")}
        edges = {tuple(sorted((edge.get("source"), edge.get("target")))): fields(edge) for edge in tree.iter(SPACE + "edge")}
        files = [path for path in directory.iterdir() if path.is_file()]
        self.entity_chunks = {name: row["chunk_ids"] for name, row in read("entity_chunks").items()}
        self.parts = {
            "files": {path.name: hashlib.sha256(path.read_bytes()).digest() for path in files},
            "documents": {key: [row.get(name) for name in counting] for key, row in documents},
            "chunks": {key: row["content"] for key, row in read("text_chunks").items()},
            "entities": {name: [node.get(field) for field in ("entity_type", "description", "source_id")] for name, node in nodes.items()},
            "relations": {
                "<SEP>".join(pair): [*(edge.get(field) for field in ("description", "keywords", "source_id")), float(edge["weight"])]
                for pair, edge in edges.items()
            },
        }

    def differences(self, later):
        """As the server lists them: part, change, key."""
        found = []
        for part, rows in self.parts.items():
            others = later.parts[part]
            for key in rows.keys() | others.keys():
                if rows.get(key) != others.get(key):
                    found.append((part, "removed" if key not in others else "added" if key not in rows else "changed", key))
        return sorted(found, key=lambda one: (PARTS.index(one[0]), one[2].encode()))


def listed(server, graph, snapshot, page_size):
    """All pages; the counts, what differs, and the seconds of each page."""
    token, found, seconds = "", [], []
    while True:
        started = time.perf_counter()
        path = f"/api/backup/backup/graphs/{graph}/snapshots/{snapshot}/diff?page_size={page_size}&page_token={quote(token)}"
        page = server.request("GET", path)
        seconds.append(time.perf_counter() - started)
        found += [(each["part"], each["change"], each["key"]) for each in page["differences"]]
        token = page["next_page_token"]
        if not token:
            return {each["part"]: each for each in page["counts"]}, found, seconds


def compared(server, graph, snapshot, before, after, page_size):
    counts, found, seconds = listed(server, graph, snapshot, page_size)
    expected = before.differences(after)
    other = sorted(set(found) ^ set(expected))
    check("exactly what differs is listed, in order", found == expected, f"{len(found)} listed, {len(expected)} expected, such as {other[:4]}")
    for part in PARTS:
        told = [counts[part][name] for name in ("before", "after", "added", "removed", "changed")]
        changes = [sum((part, change) == one[:2] for one in expected) for change in ("added", "removed", "changed")]
        wanted = [len(before.parts[part]), len(after.parts[part]), *changes]
        check(f"the counts of {part} are those", told == wanted, f"{told}, not {wanted}")
    # The files agree with what was taken in: these documents with their chunks, and no entity that they do not name.
    of = lambda part, change: {one[2] for one in expected if one[:2] == (part, change)}  # noqa: E731
    chunks = {chunk for document in of("documents", "added") for chunk in after.parts["documents"][document][2]}
    touched = {name for name, listed in after.entity_chunks.items() if not chunks.isdisjoint(listed)}
    check(f"{MORE} documents are new, none is changed or gone", [len(of("documents", change)) for change in ("added", "changed", "removed")] == [MORE, 0, 0])
    check("their chunks are new, none is changed or gone", of("chunks", "added") == chunks and not of("chunks", "changed") | of("chunks", "removed"))
    check("the entities that they name are new or changed", of("entities", "added") | of("entities", "changed") == touched, "others are")
    check("some of those were there before", of("entities", "changed") and of("relations", "changed"), "none is changed")
    check("nothing is lost", not of("entities", "removed") | of("relations", "removed"))
    print(f"{len(found)} differences on {len(seconds)} pages, each in {max(seconds):.2f} s at most", flush=True)


def answers(working_dir, workspace, numbers, home):
    words = [sys.executable, str(HERE / "answers.py"), str(working_dir), workspace, *map(str, numbers)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=home)
    if done.returncode != 0:
        raise RuntimeError(f"LightRAG does not answer from `{working_dir}`, workspace `{workspace}`: {done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def forked(server, graph, snapshot, working_dir, numbers, home):
    workspace = "reading_room"
    started = time.perf_counter()
    body = {"target_dir": str(working_dir / workspace), "fork_graph_id": "fork"}
    server.request("POST", f"/api/backup/backup/graphs/{graph}/snapshots/{snapshot['backup_id']}/restore", body)
    print(f"forked in {time.perf_counter() - started:.2f} s", flush=True)
    original, fork = (answers(working_dir, name, numbers, home) for name in ("", workspace))
    unanswered = [question for question, context in original.items() if context.startswith("not found")]
    check("the original answers", original and not unanswered, unanswered)
    differing = [question for question in original if original[question] != fork.get(question)]
    check("the fork answers as the original", not differing and len(fork) == len(original), differing)
    print(f"{len(original)} questions are answered by the original and its fork", flush=True)
    of_fork = server.snapshot("fork", working_dir / workspace)
    figures = ["consistency", "documents", "chunks", "entities", "relations", "vectors", "files", "size_bytes"]
    check("the fork is a graph of its own", [of_fork[name] for name in figures] == [snapshot[name] for name in figures], of_fork)
    again = server.snapshot(graph, working_dir)
    check("the original's snapshots leave the fork out", again["data_hash"] == snapshot["data_hash"], again)


def growing(server, home, megabytes):
    working_dir, documents = home / "rag_storage", medium.documents_of(megabytes)
    started = time.perf_counter()
    medium.ingest(working_dir, 0, documents)
    seconds = [time.perf_counter() - started]
    taken, states = [], []
    for number in range(2):
        if number:
            medium.ingest(working_dir, documents, documents + MORE)
        started = time.perf_counter()
        taken.append(server.snapshot("grown", working_dir))
        seconds.append(time.perf_counter() - started)
        states.append(State(working_dir))
    before, after = taken
    check("both snapshots are consistent", {each["consistency"] for each in taken} == {"consistent"}, [each["findings"] for each in taken])
    print(
        f"{before['size_bytes'] / 1e6:.1f} MB of {documents} documents taken in within {seconds[0]:.0f} s, snapshot in {seconds[1]:.2f} s; "
        f"{after['size_bytes'] / 1e6:.1f} MB with {MORE} more, snapshot in {seconds[2]:.2f} s",
        flush=True,
    )
    compared(server, "grown", after["backup_id"], *states, page_size=1000 if megabytes > 50 else 100)
    forked(server, "grown", after, working_dir, [0, documents - 1, documents + MORE - 1], home)
