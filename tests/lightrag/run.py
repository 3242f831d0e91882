"""The real LightRAG as referee: it takes in documents without pause while 30 snapshots are taken; each must be consistent, restore, load and answer.

Then damaged copies: the audit must name each fault, and find what the same rules in Python find. Then a graph that grows by three documents: snapshots before
and after are compared, and a fork must answer as the original.
Last: it must still retrieve what the tests of the probes are held against.

Then a schedule follows the changes of a graph that documents are taken into.
At the end a drill starts the real server over a restored graph, once as it was and once without an entity; and a failover brings back an entity that was deleted by the real
server, which its hooks stop and start.

    run.py [PROGRAM] [--only live,agreement,growth,follow,retrievals,drill,failover] [--megabytes 12]

Needs the program as argument or in LIGHTKEEP_BIN, and the packages of requirements.txt.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import checks
from agreement import agreeing
from checks import check
from drill import drilling
from failover import failing_over
from follow import following
from growth import growing
from retrievals import unchanged
from server import Refused, Server

HERE = Path(__file__).parent
SNAPSHOTS = 30
ASK_SECONDS = 120  # at least 5 restored copies are asked, all while there is time


class Ingestion:
    """A LightRAG in a process of its own that never pauses."""

    def __init__(self, directory, log):
        self.log = log.open("wb")
        quiet = os.environ | {"LOG_LEVEL": "WARNING", "VERBOSE": "false"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "ingest.py"), str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, cwd=log.parent, env=quiet, text=True,
        )

    def wait_for(self, documents):
        for line in self.process.stdout:
            if line.strip().isdigit() and int(line) >= documents:
                return
        raise RuntimeError(f"LightRAG ended at once: exit {self.process.wait()}; see {self.log.name}")

    def end(self):
        """Ends after the documents in flight; how many there are."""
        rest, _ = self.process.communicate("", timeout=120)
        self.log.close()
        numbers = [int(line) for line in rest.splitlines() if line.strip().isdigit()]
        return numbers[-1] if numbers else 0


def statuses(directory):
    rows = json.loads((directory / "kv_store_doc_status.json").read_text(encoding="utf-8-sig"))
    return {key: row["status"] for key, row in rows.items()}


def ask(directory, home):
    """Loads a copy in a fresh LightRAG, as a user's own would be after a disaster."""
    done = subprocess.run(
        [sys.executable, str(HERE / "ask.py"), str(directory)], capture_output=True, text=True, timeout=120, cwd=home
    )
    if done.returncode != 0:
        return None, done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1]), ""


def live(server, home):
    """30 snapshots of a moving graph."""
    source = home / "live"
    ingestion = Ingestion(source, home / "ingest.log")
    taken, in_flight = [], 0
    try:
        ingestion.wait_for(4)
        for number in range(SNAPSHOTS):
            snapshot = server.snapshot("live", source, {"number": number})
            taken.append(snapshot)
            in_flight += snapshot["documents_in_flight"] > 0
            detail = json.dumps(snapshot.get("findings"))[:600]
            check(f"snapshot {number} is completed", snapshot["status"] == "completed", snapshot["status"])
            check(f"snapshot {number} is consistent", snapshot["consistency"] == "consistent", f"{snapshot['consistency']} {detail}")
            time.sleep(0.05 * (number % 5))  # so that the snapshots meet different moments of a flush
        check("LightRAG was still taking in documents", ingestion.process.poll() is None, "it had ended")
    finally:
        documents = ingestion.end()
    print(f"{SNAPSHOTS} snapshots while {documents} documents were taken in; {in_flight} of them with documents in flight", flush=True)
    check("the graph grew between the snapshots", taken[-1]["documents"] > taken[0]["documents"], "it did not")
    listed = server.request("GET", "/api/backup/backup/graphs/live/snapshots")
    check("all snapshots are listed, newest first", [each["backup_id"] for each in listed] == [each["backup_id"] for each in taken[::-1]], listed[:2])

    started, asked = time.monotonic(), 0
    # From both ends and the middle first, should the time not do for all.
    order = sorted(range(SNAPSHOTS), key=lambda number: (number % 7, number))
    for number in order:
        target = home / f"restored-{number}"
        server.restore("live", taken[number]["backup_id"], target)
        processed = [key for key, status in statuses(target).items() if status == "processed"]
        check(f"restored copy {number} has its documents", len(processed) > 0, "none is processed")
        files = [path for path in target.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        check(f"restored copy {number} has its size", size == taken[number]["size_bytes"], f"{size}, not {taken[number]['size_bytes']}")
        check(f"restored copy {number} has no temporary files", not [path for path in files if ".tmp." in path.name])
        if asked < 5 or time.monotonic() - started < ASK_SECONDS:
            answer, error = ask(target, home)
            asked += 1
            whole = answer is not None and answer["processed"] == len(processed) and not answer["missing"] and not answer["unanswered"]
            check(f"restored copy {number} answers in LightRAG", whole, answer or error)
        shutil.rmtree(target)
    print(f"{asked} of {SNAPSHOTS} restored copies were loaded by a fresh LightRAG and asked", flush=True)
    return source


def truncate_vectors(directory):
    path = directory / "vdb_chunks.json"
    os.truncate(path, path.stat().st_size * 2 // 3)


def remove_chunks(directory):
    (directory / "kv_store_text_chunks.json").unlink()


def advance_status(directory):
    """The newest document is processed by its status, but its data was copied before it came."""
    status = json.loads((directory / "kv_store_doc_status.json").read_text(encoding="utf-8-sig"))
    last = [key for key, row in status.items() if row["status"] == "processed"][-1]
    for name in ("kv_store_text_chunks.json", "kv_store_full_docs.json"):
        path = directory / name
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
        kept = {key: row for key, row in rows.items() if key != last and row.get("full_doc_id") != last}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")
    return last


def damaged(server, source, home):
    """Three ways in which real copies are broken; each must be named."""
    cases = [
        ("truncated", truncate_vectors, "a truncated vector file", [["vdb_chunks"]]),
        ("missing", remove_chunks, "a missing file", [["text_chunks", "R4"]]),
        ("ahead", advance_status, "a doc_status newer than its data", [["R1"], ["R4"]]),
    ]
    for graph, damage, what, named in cases:
        copy = home / f"damaged-{graph}"
        shutil.copytree(source, copy)
        damage(copy)
        try:
            snapshot = server.snapshot(graph, copy)
        except Refused as error:
            check(f"{what} is kept all the same", False, error)
            continue
        findings = snapshot["findings"]
        text = json.dumps(findings)
        broken = [finding for finding in findings if finding["severity"] == "broken"]
        check(f"{what} makes a snapshot inconsistent", snapshot["consistency"] == "inconsistent", f"{snapshot['consistency']} {text[:600]}")
        check(f"{what} is a finding that breaks", bool(broken), text[:600])
        check(f"{what} is named", all(any(word in text for word in words) for words in named), text[:600])
        print(f"{what}: " + "; ".join(f"{each['rule']} {each['message']} ({each['count']})" for each in broken)[:300], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=os.environ.get("LIGHTKEEP_BIN", ""))
    parser.add_argument("--only", default="live,agreement,growth,follow,retrievals,drill,failover")
    parser.add_argument("--megabytes", type=int, default=12, help="size of the graph that grows")
    options = parser.parse_args()
    binary, only = Path(options.program).absolute(), options.only.split(",")
    if not options.program or not binary.is_file():
        print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {options.program}", file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="lightkeep-lightrag-"))
    try:
        with Server(binary, home / "server", [home]) as server:
            if "live" in only:
                source = live(server, home)
                damaged(server, source, home)
            if "agreement" in only:
                agreeing(server, home)
            if "growth" in only:
                growing(server, home, options.megabytes)
            if "follow" in only:
                following(server, home, Ingestion)
            if "retrievals" in only:
                unchanged()
        if "drill" in only:
            drilling(binary, home, Ingestion)
        if "failover" in only:
            failing_over(binary, home, Ingestion)
    except Exception as error:
        check("the run came to its end", False, repr(error))
        raise
    finally:
        shutil.rmtree(home, ignore_errors=True)
        print(f"{checks.passed} passed, {len(checks.failed)} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
