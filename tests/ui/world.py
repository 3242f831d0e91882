"""Data for the dashboard's tests: nothing, one graph with all that can be seen of one, and five hundred."""
import json
import math
import shutil
import sqlite3
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lightrag"))
from server import Refused, Server  # noqa: E402

SAMPLE = HERE.parent / "fixtures/workspaces/sample"
GRAPHS = "/api/backup/backup/graphs"
RECOVERY = "/api/backup/recovery"
SCRIPT = "<script>alert('reached')</script><b>bold</b>"
MANY = 500
SNAPSHOTS_OF_EACH = 12

__all__ = ["GRAPHS", "MANY", "Refused", "SCRIPT", "Server", "fill", "multiply", "quoted"]


def workspace(data, name):
    shutil.copytree(SAMPLE, data / name)
    shutil.rmtree(data / name / "tenant_b", ignore_errors=True)
    return data / name


def fill(server, data):
    """One graph with good, inconsistent and failed snapshots, a pin, drills, a checkpoint, a failover, a schedule and a target."""
    source = workspace(data, "rag")
    inside = workspace(data, "知识 <i>图谱</i>")
    graph = "Wissen-über-Öl"
    registered = {"graph_id": graph, "source_dir": str(source), "objectives": {"rpo_seconds": 3600, "rto_seconds": 600}}
    server.request("POST", GRAPHS, registered)
    snapshots = [server.snapshot("a-graph", inside)]
    for number in range(3):
        snapshots.append(server.request("POST", f"{GRAPHS}/{quoted(graph)}/snapshots", {}))
        edit(source / "kv_store_text_chunks.json", number)
    of = f"{GRAPHS}/{quoted(graph)}/snapshots"
    pinned = snapshots[1]["backup_id"]
    server.request("POST", f"{of}/{pinned}/pin", {"reason": f"before the upgrade {SCRIPT}"})
    server.request("POST", f"{of}/{pinned}/verify", {"level": "content"})
    server.request("POST", f"{of}/{snapshots[-1]['backup_id']}/restore", {"target_dir": str(data / "restored")})
    described = {"graph_ids": [graph, "a-graph"], "description": f"nightly {SCRIPT}"}
    checkpoint = server.request("POST", f"{RECOVERY}/checkpoints", described)["checkpoint_id"]
    server.request("POST", f"{RECOVERY}/drills", {"graph_id": graph})
    failover = server.request("POST", f"{RECOVERY}/checkpoints/{checkpoint}/failover", {})
    cron = {"graph_id": graph, "cron": "30 2 * * *", "time_zone": "Europe/Berlin"}
    server.request("POST", "/api/backup/backup/schedule", cron)
    server.request("POST", "/api/backup/backup/schedules", {"schedule": {"graph_id": "a-graph", "interval_hours": 6}})
    target = {"name": "second-disk", "path": str(data / "disk")}
    (data / "disk").mkdir()
    server.request("POST", "/api/backup/replication/targets", target)
    # Broken in its source, so that something is not protected.
    broken = workspace(data, "broken")
    server.snapshot("broken", broken)
    (broken / "kv_store_full_docs.json").unlink()
    try:
        server.snapshot("broken", data / "gone")
    except Refused:
        pass
    server.request("POST", f"{RECOVERY}/health-check", {})
    server.request("POST", "/api/monitoring/metrics/collect")
    operations = server.request("GET", "/api/operations?page_size=50")["operations"]
    operation = next(one for one in operations if one["kind"] == "snapshot")
    return {"graph": graph, "checkpoint": checkpoint, "failover": failover["failover"]["failover_id"], "operation": operation["operation_id"],
            "snapshot": pinned, "later": snapshots[-1]["backup_id"]}


def quoted(text):
    from urllib.parse import quote
    return quote(text, safe="")


def edit(path, number):
    """Another length, and still what it is: whitespace at the end."""
    path.write_text(path.read_text() + "\n" * (number + 1))


def multiply(database, graph):
    """Makes five hundred graphs of one, each with snapshots and findings, straight in the database."""
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    now = time.time_ns() // 1000

    def row(statement, *values):
        return dict(connection.execute(statement, values).fetchone())

    def insert(table, rows):
        names = list(rows[0])
        connection.executemany(f"INSERT OR REPLACE INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})", [list(r.values()) for r in rows])

    model = row("SELECT * FROM graphs WHERE graph_id = ?", graph)
    snapshot = row("SELECT * FROM snapshots WHERE graph_id = ? AND status = 'completed' ORDER BY created_at DESC LIMIT 1", graph)
    check = row("SELECT * FROM health_checks WHERE component_id = ? AND component_type = 'backup' ORDER BY checked_at DESC LIMIT 1", graph)
    operation = row("SELECT * FROM operations WHERE operation_id = ?", snapshot["operation_id"])
    graphs, snapshots, checks, operations = [], [], [], []
    for number in range(MANY):
        name = f"tenant-{number:04d}-{'long-' * (number % 7)}graph"
        # Nobody looks by himself at what is only in the database; the findings are those of just now.
        graphs.append(model | {"graph_id": name, "rpo_objective_seconds": None, "rto_objective_seconds": None, "created_at": now - 90 * 86_400_000_000})
        for back in range(SNAPSHOTS_OF_EACH):
            at = now - (back * 8 + number % 5) * 3_600_000_000
            ids = {"snapshot_id": str(uuid.uuid4()), "operation_id": str(uuid.uuid4())}
            times = {"created_at": at, "started_at": at, "completed_at": at + 2_000_000, "captured_at": at}
            grown = {"size_bytes": snapshot["size_bytes"] * (SNAPSHOTS_OF_EACH - back) + number, "entities": 1000 + number - back * 13}
            state = {"status": "failed" if (back, number % 11) == (1, 3) else "completed", "checkpoints": 0, "pin_reason": None}
            state["consistency"] = "inconsistent" if (back, number % 13) == (2, 5) else "consistent"
            snapshots.append(snapshot | ids | times | grown | state | {"graph_id": name, "record_id": None})
            done = {"created_at": at, "started_at": at, "ended_at": at + 2_000_000, "state": "succeeded", "error": None}
            operations.append(operation | done | {"operation_id": ids["operation_id"], "snapshot_id": ids["snapshot_id"], "graph_id": name})
        status = "healthy" if number % 17 else ("critical" if number % 2 else "degraded")
        for kind in ("backup", "graph"):
            message = "all is well" if status == "healthy" else f"something is wrong with {name}, mend it {SCRIPT}"
            checks.append(check | {"health_check_id": str(uuid.uuid4()), "component_type": kind, "component_id": name, "status": status,
                                   "message": message, "checked_at": now, "details": json.dumps({})})
    for table, rows in [("graphs", graphs), ("operations", operations), ("snapshots", snapshots), ("health_checks", checks)]:
        insert(table, rows)
    # Of a day: what was collected every five minutes.
    points = []
    for series in connection.execute("SELECT series_id FROM metric_series").fetchall():
        for step in range(280):
            value = 100 + 40 * math.sin(step / 30 + series[0]) + step / 10
            points.append({"series_id": series[0], "resolution_seconds": 300, "at_seconds": (now // 300_000_000 - 280 + step) * 300, "minimum": value,
                           "maximum": value, "average": value, "last": value, "samples": 5})
    insert("metric_points", points)
    connection.commit()
    connection.close()
