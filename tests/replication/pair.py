"""A Lightkeep that has graphs and others that take copies of them, on both sides of a network."""
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lightrag"), str(Path(__file__).resolve().parents[2] / "benches")]
from network import TARGET  # noqa: E402
from server import Refused, Server  # noqa: E402

PEER, KEY = "berlin", "peer-key-of-berlin-0123456789"
GRAPHS, REPLICATION = "/api/backup/backup/graphs", "/api/backup/replication"
STORED = ("data", "index", "snapshots")


class Failed(Exception):
    """Something that must hold does not."""


def expect(what, well, detail=""):
    if not well:
        raise Failed(f"{what}: {str(detail)[:2000]}")


def until(what, condition, limit=60, detail=lambda: "it is not"):
    """Waits for a condition, and gives what it gave."""
    end = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > end:
            raise Failed(f"{what} within {limit} s: {str(detail())[:2000]}")
        time.sleep(0.02)
    return found


def stored(repository):
    """The files of a repository with their sizes; locks and what is staged are none."""
    paths = [path for kind in STORED for path in (repository / kind).rglob("*") if path.is_file() and len(path.name) == 64]
    return {str(path.relative_to(repository)): path.stat().st_size for path in paths}


class Instance(Server):
    """A `lightkeep serve` in a network namespace. It is asked in there too: nothing of that goes over the cable."""

    def __init__(self, space, binary, home, roots, environment):
        self.space = space
        with space.inside():
            super().__init__(binary, home, roots, environment)
        self.environment["LIGHTKEEP_HTTP_ADDR"] = f"0.0.0.0:{self.http_port}"

    def __enter__(self):
        with self.space.inside():
            return super().__enter__()

    def request(self, *words, **more):
        with self.space.inside():
            return super().request(*words, **more)

    def start(self, fail_point=None):
        self.environment["LIGHTKEEP_FAILPOINT"] = fail_point or "none"
        self.__enter__()


class Pair:
    """Both, with one password for their repositories; while it is entered."""

    def __init__(self, network, binary, home):
        self.network, self.binary, self.home = network, binary, home
        home.mkdir(parents=True)
        self.password, self.data = home / "password", home / "data"
        self.password.write_text("one password for both")
        self.data.mkdir()
        self.instances = []
        self.source = self.instance("source", network.source, {"LIGHTKEEP_REPLICATION_ALLOW_HTTP": "true"})
        self.target = self.instance("target", network.target)

    def instance(self, name, space, environment=None):
        common = {
            "LIGHTKEEP_INSECURE_NO_AUTH": "true", "LIGHTKEEP_PEER_KEYS": f"{PEER}:{KEY}", "LIGHTKEEP_REPOSITORY_PASSWORD_FILE": str(self.password),
        }
        self.instances.append(Instance(space, self.binary, self.home / name, [self.data], common | (environment or {})))
        return self.instances[-1]

    def __enter__(self):
        try:
            for instance in self.instances:
                instance.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for instance in self.instances:
            instance.kill()
            if kind is not None and issubclass(kind, Exception) and instance.log.exists():
                print(f"last lines of `{instance.home.name}`:\n{instance.tail()}", file=sys.stderr)

    def register(self, name="second", url=None, **more):
        body = {"name": name, "base_url": url or f"http://{TARGET}:{self.target.http_port}", "api_key": KEY} | more
        return self.source.request("POST", f"{REPLICATION}/targets", body)

    def snapshot(self, source, graph="g"):
        answer = self.source.snapshot(graph, source)
        expect("a snapshot is completed", answer["status"] == "completed", answer)
        return answer

    def copy(self, graph="g"):
        return self.target.storage / "replicas" / PEER / graph

    def replica(self, graph="g", target=0):
        return self.source.request("GET", f"{REPLICATION}/graphs/{graph}/status")["replicas"][target]

    def events(self):
        """Newest first."""
        return self.source.request("GET", f"{REPLICATION}/logs?page_size=1000")

    def resume(self, graph="g"):
        """Has what is lacking sent at once, and not after the pause that follows a failure."""
        self.source.request("POST", f"{REPLICATION}/graphs/{graph}/replicate", {})

    def lists(self, graph="g"):
        """The snapshots of both sides."""
        found = []
        for instance, name in ((self.source, graph), (self.target, f"{graph}@{PEER}")):
            try:
                listed = instance.request("GET", f"{GRAPHS}/{name}/snapshots?page_size=1000")
            except Refused as error:
                expect("snapshots are listed", error.status == 404, error)
                listed = []
            found.append([(each["backup_id"], each["data_hash"], each["status"]) for each in listed])
        return found

    def in_step(self, graph="g", limit=60):
        """Waits until the target has all snapshots, and both sides list the same; gives the list."""

        def same():
            ours, theirs = self.lists(graph)
            return ours == theirs and ours

        until(f"graph `{graph}` is in step", lambda: self.replica(graph)["lag_snapshots"] == 0, limit, lambda: self.replica(graph))
        listed = until("both sides list the same snapshots", same, limit, lambda: self.lists(graph))
        expect("all snapshots are completed", all(status == "completed" for _, _, status in listed), listed)
        return listed

    def check(self, repository=None, *more):
        """Has the stock restic look at a repository, by default the copy of the graph."""
        finish(self.begin_check(repository or self.copy(), *more))

    def begin_check(self, repository, *more):
        words = ["restic", "--no-cache", "--quiet", "--no-lock", "-r", str(repository), "-p", str(self.password), "check", *more]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(check):
    output, _ = check.communicate(timeout=300)
    expect("`restic check` finds nothing", check.returncode == 0, f"{' '.join(check.args)}: exit {check.returncode}: {output}")
