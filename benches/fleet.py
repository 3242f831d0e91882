"""Metadata of many graphs, written into a SQLite database that `lightkeep migrate` has made: as a server would have written it, by the same columns, so that the triggers note what has happened."""
import json
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/lightrag"))
from server import clean_environment  # noqa: E402

MICROS = 1_000_000
HOUR, DAY = 3600 * MICROS, 24 * 3600 * MICROS


def migrate(binary, home):
    """A new database; gives its path."""
    home.mkdir(parents=True)
    environment = clean_environment() | {"LIGHTRAG_RECOVERY_DB_URL": f"sqlite:///{home}/lightkeep.db", "LIGHTRAG_BACKUP_STORAGE": str(home / "storage")}
    subprocess.run([binary, "migrate"], cwd=home, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return home / "lightkeep.db"


def name(number):
    return f"graph-{number:05}"


class Rows:
    """Adds rows, all in one transaction."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")
        self.now = time.time_ns() // 1000

    def __enter__(self):
        self.connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.connection.execute("COMMIT")
        self.connection.close()

    def add(self, table, columns, rows):
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)

    def graphs(self, count, copies=0):
        columns = ("graph_id", "source_dir", "quiet_wait_seconds", "busy_policy", "inconsistent_policy", "created_at", "copies", "rpo_objective_seconds")
        created = self.now - 400 * DAY
        self.add("graphs", columns, ((name(n), f"/srv/{name(n)}", 30, "proceed", "keep", created + n, copies, 172_800) for n in range(count)))

    def schedules(self, count):
        """Each graph's default one, not due for a day; gives their ids."""
        columns = (
            "schedule_id", "origin", "graph_id", "time_zone", "interval_seconds", "anchored_at", "jitter_seconds", "missed_run_policy",
            "missed_run_grace_seconds", "overlap_policy", "paused", "next_run_at", "created_at", "revision",
        )
        ids = [str(uuid.uuid4()) for _ in range(count)]
        self.add("schedules", columns, (
            (ids[n], "default", name(n), "UTC", 86_400, self.now, 0, "run_once", 0, "wait", 0, self.now + DAY, self.now - 400 * DAY, 1) for n in range(count)
        ))
        return ids

    def snapshots(self, graphs, each, span, schedules=None, status="completed"):
        """So many of each graph, spread over a time until now; the oldest of each ten has failed where nothing else is asked. By a schedule where there are some: with its run and its operation, which have ended as the server would have ended them."""
        columns = (
            "snapshot_id", "graph_id", "operation_id", "status", "source_dir", "created_at", "started_at", "completed_at", "captured_at", "record_id", "data_hash",
            "consistency", "files", "size_bytes", "stored_bytes", "documents", "chunks", "entities", "relations", "vectors", "documents_in_flight",
        )
        made = [(f"{number:08x}-0000-7000-8000-{graph:012x}", graph, number) for number in range(each) for graph in range(graphs)]

        def row(snapshot, graph, number):
            at = self.now - span + (number * graphs + graph) * span // (each * graphs)
            size = 200_000_000 + graph * 1000 + number
            found = status if number % 10 or schedules else "failed"
            return (
                snapshot, name(graph), snapshot, found, f"/srv/{name(graph)}", at, at, at + 5 * MICROS, at, snapshot, snapshot * 2,
                "consistent", 13, size, size // 20, 1000, 8000, 20_000, 30_000, 58_000, 0,
            )

        self.add("snapshots", columns, (row(*one) for one in made))
        if schedules is None:
            return
        self.add(
            "operations",
            ("operation_id", "kind", "state", "graph_id", "payload", "stage", "done_bytes", "total_bytes", "attempt", "cancel_requested", "created_at", "started_at", "ended_at"),
            ((snapshot, "snapshot", "queued", name(graph), "{}", "", 0, 0, 1, 0, self.now, self.now, self.now + 5 * MICROS) for snapshot, graph, _ in made),
        )
        self.add(
            "schedule_runs", ("schedule_run_id", "schedule_id", "graph_id", "fire_at", "created_at", "outcome", "operation_id", "snapshot_id", "count"),
            ((snapshot, schedules[graph], name(graph), number, self.now, "queued", snapshot, snapshot, 1) for snapshot, graph, number in made),
        )
        self.connection.execute("UPDATE operations SET state = 'succeeded'")
        self.connection.execute("UPDATE snapshots SET status = 'completed' WHERE status = 'in_progress'")

    def health(self, graphs, rounds):
        """What was found of each graph's source and backup, the last time just now."""
        columns = ("health_check_id", "component_type", "component_id", "status", "message", "details", "checked_at")
        self.add("health_checks", columns, (
            (str(uuid.uuid4()), kind, name(graph), "healthy", "all is well", "{}", self.now - back * 300 * MICROS)
            for back in range(rounds) for graph in range(graphs) for kind in ("graph", "backup")
        ))

    def target(self, graphs, each):
        """One that has all but the newest snapshot of each graph, and is sent nothing by itself."""
        columns = (
            "target_id", "name", "base_url", "api_key", "enabled", "graph_selector", "on_request", "parallelism", "bytes_per_second", "send_order",
            "off_site", "reread_percent_per_day", "status", "checked_at", "created_at", "revision",
        )
        target = str(uuid.uuid4())
        self.add("targets", columns, [(target, "second", "http://127.0.0.1:9", None, 1, "*", 1, 4, 0, "oldest_first", 1, 0.0, "healthy", self.now, self.now, 1)])
        columns = ("target_id", "snapshot_id", "graph_id", "state", "failures", "sent_bytes", "replicated_at")
        self.add("replications", columns, (
            (target, f"{number:08x}-0000-7000-8000-{graph:012x}", name(graph), "done", 0, 1000, self.now) for number in range(each - 1) for graph in range(graphs)
        ))

    def history(self, graphs, days):
        """A series of each graph, as it is kept: by the hour, by five minutes for two days, each minute for two hours."""
        metric, now = "lightkeep_backup_size_bytes", self.now // MICROS
        rows = 0
        for graph in range(graphs):
            self.add("metric_series", ("series_id", "metric", "labels", "seen_at"), [(graph + 1, metric, json.dumps([name(graph)]), self.now)])
            for resolution, kept, step in ((3600, days * 86_400, 3600), (300, 2 * 86_400, 300), (0, 7200, 60)):
                until = now // step * step
                points = [(graph + 1, resolution, at, 1.0, 3.0, 2.0, 2.0, max(1, resolution // 60)) for at in range(until - kept, until, step)]
                self.add("metric_points", ("series_id", "resolution_seconds", "at_seconds", "minimum", "maximum", "average", "last", "samples"), points)
                rows += len(points)
        return rows


def uncounted(path):
    """How many facts nobody has counted yet."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
    try:
        return connection.execute("SELECT COUNT(*) FROM facts").fetchone()[0]
    finally:
        connection.close()
