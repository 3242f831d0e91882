"""A server that may die at any request, and the client that asks again with the same request id."""
import http.client
import json
import signal
import sqlite3
import sys
import threading
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lightrag"))
from kills import MOMENT  # noqa: E402
from server import Server  # noqa: E402

GRAPHS = "/api/backup/backup/graphs"
DIED = (OSError, http.client.HTTPException)


class Failures:
    """Counts what holds and what does not."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def check(self, what, well, detail=""):
        if well:
            self.passed += 1
        else:
            self.failed.append(what)
            print(f"FAILED {what}: {str(detail)[:2000]}", flush=True)


def repository_bytes(root):
    """All that is stored; locks come and go."""
    return sum(path.stat().st_size for kind in ("data", "index", "snapshots", "keys") for path in (root / kind).rglob("*") if path.is_file())


class Care:
    def __init__(self, binary, home, chance, kills, failures):
        self.binary, self.home, self.random, self.kills, self.failures = binary, home, chance, kills, failures
        self.data = home / "data"
        self.data.mkdir()
        self.server = None
        self.start()

    @property
    def storage(self):
        return self.server.storage

    def repository(self, graph):
        return self.storage / graph

    def start(self, step="none"):
        # What is looked at by itself takes the lock of a repository too, and would end a new server at that step before it was asked for anything.
        alone = {"LIGHTKEEP_FAILPOINT": step, "LIGHTRAG_HEALTH_CHECK_ENABLED": "false"}
        self.server = Server(self.binary, self.home / "server", [self.data], alone)
        self.server.__enter__()

    def end(self):
        if self.server is not None:
            self.server.kill()

    def tail(self):
        return self.server.tail()

    def ask(self, family, method, path, body=None):
        """The answer, however often the server dies before it gives it. All that was asked for has ended then."""
        key = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        how = self.kills.next(family)
        if how is None:
            return self.send(method, path, body, key)
        if how == MOMENT:
            self.kill_within(lambda: self.send(method, path, body, key))
            self.kills.met(family, how)
        else:
            self.server.kill()
            self.start(how)
            try:
                answer = self.send(method, path, body, key)
            except DIED:
                ended = self.server.process.wait(60)
                self.failures.check("the server ended at its fail point", ended == -signal.SIGABRT, f"{how}: {ended}")
                self.kills.met(family, how)
            else:
                self.kills.missed(family, how)
                self.server.kill()
                self.start()
                return answer
        self.start()
        return self.send(method, path, body, key)

    def ask_together(self, requests):
        """Asks for several things at once, and kills the server while they wait for their turn."""
        keyed = [(*each, str(uuid.UUID(int=self.random.getrandbits(128), version=4))) for each in requests]
        for method, path, body, key in keyed:
            self.send(method, path, body | {"wait": False}, key, settle=False)
        self.kill_within(self.settle)
        self.kills.count += 1
        self.start()
        return [self.send(*each) for each in keyed]

    def kill_within(self, act):
        """Kills the server while it works: after a number of other answers, and sometimes again while it goes on with the work."""
        for _ in range(self.random.choice([1, 1, 2])):
            if self.server.process.poll() is not None:
                self.start()
            working = threading.Thread(target=unless_it_dies, args=(act,))
            working.start()
            for _ in range(self.random.randrange(40)):
                self.server.request("GET", "/api/operations?page_size=1")
            self.server.kill()
            working.join()

    def send(self, method, path, body, key, settle=True):
        """One request; then everything that it has set going is waited for."""
        answer = self.server.request(method, path, body, headers={"Idempotency-Key": key} if method != "GET" else {})
        if settle and method != "GET":
            self.settle()
        return answer

    def settle(self):
        """Waits until no operation is under way. Those that are stand among the newest."""
        for operation in self.server.request("GET", "/api/operations?page_size=100")["operations"]:
            if operation["ended_at"] is None:
                self.server.request("GET", f"/api/operations/{operation['operation_id']}/watch", raw=True)

    def age(self, snapshots):
        """Their retention is over, as if the years had passed. No setting can say that: the clock is the computer's."""
        with sqlite3.connect(self.home / "server/lightkeep.db", timeout=60) as database:
            changed = database.execute(
                "UPDATE snapshots SET retention_until = 1 WHERE snapshot_id IN (SELECT value FROM json_each(?))", [json.dumps(snapshots)]
            ).rowcount
        database.close()
        self.failures.check("snapshots grow old", changed == len(snapshots), changed)


def unless_it_dies(act):
    try:
        act()
    except DIED:
        pass
