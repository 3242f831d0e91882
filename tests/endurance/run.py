"""Years of care in minutes: snapshots of a workspace that changes, random deletions, cleanups, prunes, verifications and repairs, graphs given up and taken back, and a server that is killed at each of its fail points and at random moments.

At the end every snapshot that must be there verifies at all levels and restores to the byte, restic reads all data, and the repository is hardly larger than a fresh one with the same snapshots.

    tests/endurance/run.py [--full] [--snapshots 12] [--megabytes 2] [--seed 1] [--keep]

Needs restic, a program built with the feature `failpoints` (LIGHTKEEP_BIN, or --binary) and the packages of tests/lightrag/requirements.txt. What is done follows from the seed; when a SIGKILL meets it does not.
"""
import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from care import GRAPHS, Care, Failures, repository_bytes
from harm import HARMS, files
from kills import Kills
from referee import data_packs, fresh_by_restic, fresh_by_snapshots, restic
from source import Source, digest

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "fixtures/workspaces/sample"
MAIN, DOOMED = "main", "doomed"
LEVELS = ("record", "data", "content")
MOST_SPACE = 1.1
MORE_ROUNDS = 40


class Years:
    """What happens, and what must be there because of it."""

    def __init__(self, care, source, chance, failures):
        self.care, self.source, self.random, self.failures = care, source, chance, failures
        self.expected = {}  # the digest of each snapshot that must be there, oldest first
        self.pinned, self.old = set(), set()
        self.taken = self.deleted = self.cleaned = self.healed = self.pruned_bytes = 0

    def take(self):
        self.source.change()
        answer = self.care.ask("snapshot", "POST", f"{GRAPHS}/{MAIN}/snapshots", {"source_dir": str(self.source.directory)})
        self.failures.check("a snapshot is completed", answer["status"] == "completed", answer)
        self.failures.check("a snapshot is consistent", answer["consistency"] == "consistent", answer["findings"])
        self.expected[answer["backup_id"]] = digest(self.source.directory)
        self.taken += 1
        if self.taken == 1:
            self.keep_all()

    def keep_all(self):
        """Nothing goes by itself after a snapshot: what is there must be known at any time. A cleanup takes the policy away meanwhile."""
        self.care.ask(None, "PUT", f"{GRAPHS}/{MAIN}/retention", {"keep_last": 10_000})

    def delete(self):
        free = [each for each in self.expected if each not in self.pinned]
        if len(free) < 2:
            return
        chosen = self.random.choice(free)
        self.care.ask("delete", "DELETE", f"{GRAPHS}/{MAIN}/snapshots/{chosen}")
        del self.expected[chosen]
        self.deleted += 1

    def pin(self):
        chosen = self.random.choice(list(self.expected))
        self.care.ask(None, "POST", f"{GRAPHS}/{MAIN}/snapshots/{chosen}/pin", {"reason": "kept by the test"})
        self.pinned.add(chosen)

    def clean(self):
        self.care.ask(None, "DELETE", f"{GRAPHS}/{MAIN}/retention")
        aged = self.random.sample(list(self.expected), min(len(self.expected), self.random.randrange(2, 6)))
        self.care.age(aged)
        self.old.update(aged)
        newest = list(self.expected)[-1]
        gone = {each for each in self.expected if each in self.old and each not in self.pinned and each != newest}
        body = {"graph_id": MAIN}
        judged = self.care.ask(None, "POST", "/api/backup/backup/cleanup", body | {"validate_only": True, "page_size": 1000})["verdicts"]
        expired = {each["snapshot_id"] for each in judged if each["verdict"] == "expired"}
        self.failures.check("a cleanup says what it will delete", expired == gone, f"{expired} instead of {gone}")
        answer = self.care.ask("cleanup", "POST", "/api/backup/backup/cleanup", body)
        self.failures.check("a cleanup deletes that", answer["deleted_snapshots"] == len(gone), answer)
        self.expected = {each: state for each, state in self.expected.items() if each not in gone}
        self.cleaned += len(gone)
        self.keep_all()

    def prune(self, **more):
        body = {"max_unused_percent": self.random.choice([0, 0, 5, 20, 100])} | more
        if self.random.random() < 0.2:
            body["max_repack_bytes"] = self.random.choice([100_000, 2_000_000])
        path = f"{GRAPHS}/{MAIN}/repository/prune"
        before = repository_bytes(self.care.repository(MAIN))
        planned = self.care.ask(None, "POST", path, body | {"validate_only": True})["report"]
        same = repository_bytes(self.care.repository(MAIN)) == before
        self.failures.check("a prune that only looks changes nothing", same, planned)
        report = self.care.ask("prune", "POST", path, body)["report"]
        self.failures.check("a prune leaves a sound repository", report["check"]["problems"] == [], report)
        self.failures.check("a prune counts the snapshots", report["snapshots"] == len(self.expected), report)
        whole = body["max_unused_percent"] == 0 and "max_repack_bytes" not in body
        self.failures.check("a prune without limits leaves nothing unused", not whole or report["unused_bytes"] == 0, report)
        self.pruned_bytes += report["reclaimed_bytes"]

    def verify(self, family="verify", chosen=None, level=None):
        chosen = chosen or self.random.choice(list(self.expected))
        body = {"level": level or self.random.choice(LEVELS)}
        answer = self.care.ask(family, "POST", f"{GRAPHS}/{MAIN}/snapshots/{chosen}/verify", body)["verification"]
        self.failures.check(f"a snapshot verifies by its {body['level']}", answer["passed"], answer)

    def heal(self, harms=None):
        """Files of the repository are damaged or gone that it can do without; a repair makes all whole again."""
        for harm in harms or self.random.choice(HARMS):
            harm(self.care.repository(MAIN), self.random)
        report = self.care.ask("repair", "POST", f"{GRAPHS}/{MAIN}/repository/repair", {})["report"]
        self.failures.check("a repair loses nothing", report["lost"] == [] and report["lost_snapshot_ids"] == [], report)
        again = self.care.ask(None, "POST", f"{GRAPHS}/{MAIN}/repository/repair", {})["report"]
        self.failures.check("a second repair finds nothing to do", not any(again.values()), again)
        self.healed += 1

    def give_up_and_take_back(self):
        """The rows go and come back from the repository, with the same ids."""
        for each in sorted(self.pinned & set(self.expected)):
            self.care.ask(None, "POST", f"{GRAPHS}/{MAIN}/snapshots/{each}/unpin", {})
        self.care.ask("unregister", "DELETE", f"{GRAPHS}/{MAIN}?repository=keep")
        self.care.ask("reconcile", "POST", GRAPHS, {"graph_id": MAIN, "source_dir": str(self.source.directory)})
        # What only the rows knew is gone: pins, and how long each is kept.
        self.pinned.clear()
        self.old.clear()
        self.keep_all()

    def purge(self):
        """Another graph is made, loses what its unchanged source still has, and is deleted whole."""
        repository = self.care.repository(DOOMED)
        for family, word in (("first", "one"), (None, "two")):
            before = set(files(repository / "index"))
            body = {"source_dir": str(self.care.data / "sample"), "metadata": {"word": word}}
            self.care.ask(family, "POST", f"{GRAPHS}/{DOOMED}/snapshots", body)
        # All content that the second snapshot has for itself is its manifest; and then everything is lost.
        [index] = set(files(repository / "index")) - before
        for family, lost in (("less", data_packs(self.care, repository, index.name)), ("other", None)):
            for pack in lost or files(repository / "data"):
                pack.unlink()
            report = self.care.ask(family, "POST", f"{GRAPHS}/{DOOMED}/repository/repair", {})["report"]
            whole = report["lost"] == [] and report["lost_snapshot_ids"] == [] and report["recovered_snapshot_ids"] != []
            self.failures.check("a repair has snapshots recorded anew", whole, report)
        self.care.ask("purge", "DELETE", f"{GRAPHS}/{DOOMED}?repository=purge&confirm_graph_id={DOOMED}")
        own = (MAIN, ".audit", "repository.key", "secrets.key", ".lightkeep.lock")
        left = [path.name for path in self.care.storage.iterdir() if path.name not in own]
        self.failures.check("a purge leaves nothing", left == [], left)

    def burst(self):
        """Several wait for their turn when the server is killed."""
        chosen = self.random.choice(list(self.expected))
        path = f"{GRAPHS}/{MAIN}"
        requests = [
            ("POST", f"{path}/snapshots", {"source_dir": str(self.source.directory)}),
            ("POST", f"{path}/repository/prune", {"max_unused_percent": 0}),
            ("POST", f"{path}/snapshots/{chosen}/verify", {"level": "data"}),
        ]
        answers = self.care.ask_together(requests)
        self.expected[answers[0]["backup_id"]] = digest(self.source.directory)
        self.taken += 1
        self.failures.check("a snapshot verifies after a prune", answers[2]["verification"]["passed"], answers[2])

    def round(self, number):
        self.take()
        if self.random.random() < 0.5:
            self.delete()
        turns = {5: self.prune, 6: self.verify, 7: self.heal, 9: self.clean, 11: self.burst, 13: self.pin, 14: self.purge, 18: self.give_up_and_take_back}
        for every, act in turns.items():
            if number % every == every - 1:
                act()
                self.look()

    def look(self):
        """What must hold at any time."""
        listed = self.care.ask(None, "GET", f"{GRAPHS}/{MAIN}/snapshots")
        found = {each["backup_id"]: each["status"] for each in listed}
        self.failures.check("the snapshots are those that must be there", found == dict.fromkeys(self.expected, "completed"), found)
        records = len(list((self.care.repository(MAIN) / "snapshots").iterdir()))
        self.failures.check("each has its record", records == len(self.expected), records)
        staged = [str(path) for path in self.care.data.rglob(".lightkeep-*")]
        self.failures.check("nothing stays staged", staged == [], staged)
        undone = self.care.ask(None, "GET", "/api/operations?page_size=1000")["operations"]
        bad = [each for each in undone if each["state"] != "succeeded"]
        self.failures.check("every operation has succeeded", bad == [], bad[:3])


def live(years, snapshots, minutes, kills):
    """The given number of snapshots, or as many as can be taken in that time; and more rounds until each fail point was met."""
    number, until = 0, time.monotonic() + minutes * 60
    while years.taken < snapshots and time.monotonic() < until:
        years.round(number)
        number += 1
        if number % 50 == 0:
            print(f"{years.taken} taken, {len(years.expected)} there, {kills.count} kills", flush=True)
    acts = {
        "snapshot": [years.take], "delete": [years.take, years.delete], "cleanup": [years.clean], "verify": [years.verify],
        "prune": [years.take, years.delete, lambda: years.prune(max_unused_percent=0)],
        "repair": [lambda: years.heal(HARMS[-1])], "less": [years.purge], "other": [years.purge], "unregister": [years.give_up_and_take_back], "reconcile": [years.give_up_and_take_back], "first": [years.purge], "purge": [years.purge],
    }
    for _ in range(MORE_ROUNDS):
        for family in sorted({family for family, _ in kills.open}):
            kills.insist(family)
            for act in acts[family]:
                act()


def judge(years, care, home, failures):
    """The end: everything that is there is whole, to us and to restic, and takes hardly more room than it must."""
    report = care.ask(None, "POST", f"{GRAPHS}/{MAIN}/repository/prune", {"max_unused_percent": 0})["report"]
    failures.check("the last prune finishes", report["finished"] and report["unused_bytes"] == 0, report)
    years.look()
    for snapshot in years.expected:
        for level in LEVELS:
            years.verify(None, snapshot, level)
    answer = care.ask(None, "POST", f"{GRAPHS}/{MAIN}/repository/check", {"depth": "all_data"})["report"]
    failures.check("our check of all data finds nothing", answer["total_problems"] == 0, answer)
    failures.check("no pack is left without an index", answer["unindexed_packs"] == 0, answer)
    restic(care, care.repository(MAIN), "check", "--read-data")
    failures.check("restic check --read-data is clean", True)
    space = repository_bytes(care.repository(MAIN))
    ours = fresh_by_snapshots(care, years, failures)
    theirs = fresh_by_restic(care, home / "copied", len(years.expected), failures)
    ratio = space / min(ours, theirs)
    failures.check(f"at most {MOST_SPACE} times a fresh repository", ratio <= MOST_SPACE, f"{space} to {ours} of ours and {theirs} of restic")
    print(f"space: {space:,} bytes; a fresh repository of ours {ours:,}, of restic {theirs:,}; ratio {ratio:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=os.environ.get("LIGHTKEEP_BIN", ""), help="the program, built with the feature failpoints")
    parser.add_argument("--full", action="store_true", help="1,000 snapshots of 50 megabytes, where nothing else is said")
    parser.add_argument("--snapshots", type=int)
    parser.add_argument("--minutes", type=float, default=600, help="no more snapshots after that time")
    parser.add_argument("--megabytes", type=int, help="of the workspace")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory, to look into it")
    options = parser.parse_args()
    snapshots, megabytes = options.snapshots or (1000 if options.full else 12), options.megabytes or (50 if options.full else 2)
    binary = Path(options.binary).absolute()
    if not options.binary or not binary.is_file():
        print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {options.binary}", file=sys.stderr)
        return 2
    started, failures = time.monotonic(), Failures()
    chance = random.Random(options.seed)
    home = Path(tempfile.mkdtemp(prefix="lightkeep-endurance-"))
    kills = Kills(chance, HERE.parent.parent / "src", failures)
    care = Care(binary, home, chance, kills, failures)
    try:
        shutil.copytree(SAMPLE, care.data / "sample")
        source = Source(care.data / "rag", home / "states", megabytes, chance)
        years = Years(care, source, chance, failures)
        live(years, snapshots, options.minutes, kills)
        kills.report()
        print(f"{years.taken} snapshots, {years.deleted} deleted, {years.cleaned} cleaned up, {years.pruned_bytes:,} bytes pruned, {years.healed} repairs; "
              f"{kills.count} kills; {len(years.expected)} are left after {time.monotonic() - started:.0f} s", flush=True)
        judge(years, care, home, failures)
    except Exception as error:
        failures.check("the run came to its end", False, repr(error))
        print(care.tail(), file=sys.stderr)
        raise
    finally:
        care.end()
        if options.keep:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
        print(f"{failures.passed} passed, {len(failures.failed)} failed after {time.monotonic() - started:.0f} s (seed {options.seed})", flush=True)
    return 1 if failures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
