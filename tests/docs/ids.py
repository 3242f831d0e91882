"""The newest id of a kind, asked of the running server by REST; where there is none yet, one is made. `bin/an-id` is this program.

    an-id KIND GRAPH REST     REST is what follows the id in the command, such as /rollback; `-` for none
"""
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

RECOVERY, REPLICATION, MONITORING = "/api/backup/recovery", "/api/backup/replication", "/api/monitoring"
GRAPHS, SCHEDULES = "/api/backup/backup/graphs", "/api/backup/backup/schedules"
DEFAULT_GRAPH = "graph1"


def ask(method: str, path: str, body: object = None) -> Any:
    """The JSON that the server of this document answers. Raises HTTPError for a status that is none of success."""
    port = os.environ["DOCS_ADDRESS"].partition(":")[2]
    url = f"http://{os.environ.get('DOCS_MACHINE', '127.0.0.1')}:{port}{path}"
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def until(what: str, look: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := look()):
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within 60 s")
        time.sleep(0.05)
    return found


def newest(found: list[dict[str, Any]], key: str) -> str | None:
    """Ids are made in the order of time, and compare so."""
    return max((str(each[key]) for each in found), default=None)


def snapshot(graph: str, _rest: str, place: int = 0) -> str:
    """That of the newest good one, or of the one that is `place` before it."""
    listed = ask("GET", f"{GRAPHS}/{graph}/snapshots?status=completed&page_size=1000")
    good = [each for each in listed if each["consistency"] != "inconsistent"]
    if len(good) <= place:
        taken = str(ask("POST", f"{GRAPHS}/{graph}/snapshots", {})["backup_id"])
        return snapshot(graph, "", place) if place else taken
    return str(good[place]["backup_id"])


def older(graph: str, rest: str) -> str:
    return snapshot(graph, rest, 1)


def checkpoint(_graph: str, _rest: str) -> str:
    found = [each for each in ask("GET", f"{RECOVERY}/checkpoints") if each["state"] == "completed"]
    return newest(found, "checkpoint_id") or str(ask("POST", f"{RECOVERY}/checkpoints", {"graph_ids": own_graphs()})["checkpoint_id"])


def own_graphs() -> list[str]:
    return [each["graph_id"] for each in ask("GET", GRAPHS) if "@" not in each["graph_id"]]


def failover(_graph: str, rest: str) -> str:
    """One that can be rolled back, or failed back, where that is asked for."""
    found = ask("GET", f"{RECOVERY}/failovers")
    if rest.endswith(("/rollback", "/failback")):
        found = [each for each in found if each["state"] in ("succeeded", "switched")]
    if rest.endswith("/failback"):
        found = [each for each in found if any(graph["source"]["from"] != graph["source"]["target_dir"] for graph in each["graphs"])]
    if known := newest(found, "failover_id"):
        return known
    place = f"/srv/lightrag/site-{time.monotonic_ns()}"
    body = {"target_dirs": {graph: f"{place}/{graph}" for graph in own_graphs()}} if rest.endswith("/failback") else {}
    answer = ask("POST", f"{RECOVERY}/checkpoints/{checkpoint('', '')}/failover", body)
    if not answer["success"]:
        raise SystemExit(f"a failover has not succeeded: {answer}")
    return str(answer["failover"]["failover_id"])


def target(_graph: str, _rest: str) -> str:
    if known := newest(ask("GET", f"{REPLICATION}/targets"), "target_id"):
        return known
    made = ask("POST", f"{REPLICATION}/targets", {"name": "second-disk", "path": "/mnt/second-disk"})
    for graph in own_graphs():
        ask("POST", f"{REPLICATION}/graphs/{graph}/replicate", {"wait": True})
    return str(made["target_id"])


def operation(_graph: str, _rest: str) -> str:
    found = ask("GET", "/api/operations?page_size=1")["operations"]
    return str(found[0]["operation_id"]) if found else str(ask("POST", f"{GRAPHS}/{DEFAULT_GRAPH}/snapshots", {})["operation_id"])


def schedule(graph: str, _rest: str) -> str:
    body = {"schedule": {"graph_id": graph, "interval_hours": 12}}
    return newest(ask("GET", SCHEDULES), "schedule_id") or str(ask("POST", SCHEDULES, body)["schedule"]["schedule_id"])


def drill(graph: str, _rest: str) -> str:
    return newest(ask("GET", f"{RECOVERY}/drills"), "drill_id") or str(ask("POST", f"{RECOVERY}/drills", {"graph_id": graph})["drill_id"])


def alert(_graph: str, _rest: str) -> str:
    """One that fires: by a rule that is always so, where nothing else does."""
    path = f"{MONITORING}/alerts?state=firing"
    if not (found := ask("GET", path)):
        ask("PUT", f"{MONITORING}/alert-rules/ThereAreGraphs", {"metric": "lightrag_graphs_total", "threshold": -1})

        def looked() -> Any:
            ask("POST", f"{MONITORING}/metrics/collect")
            return ask("GET", path)

        found = until("an alert fires", looked)
    return newest(found, "alert_id") or ""


def silence(_graph: str, _rest: str) -> str:
    body = {"rule": "DrillTooOld", "until": "2100-01-01T00:00:00Z", "reason": "for the documents"}
    return newest(ask("GET", f"{MONITORING}/silences"), "silence_id") or str(ask("POST", f"{MONITORING}/silences", body)["silence_id"])


KINDS: dict[str, Callable[[str, str], str]] = {
    "id": snapshot, "snapshot_id": snapshot, "backup_id": snapshot, "newest_id": snapshot, "older_id": older, "checkpoint_id": checkpoint, "failover_id": failover,
    "target_id": target, "operation_id": operation, "schedule_id": schedule, "drill_id": drill, "alert_id": alert, "silence_id": silence,
}


def main() -> int:
    kind, graph, rest = sys.argv[1:]
    try:
        print(KINDS[kind](DEFAULT_GRAPH if graph == "-" else graph, "" if rest == "-" else rest))
    except KeyError as error:
        print(f"an-id: <{kind}>: nothing is known of {error}", file=sys.stderr)
    except urllib.error.HTTPError as error:
        print(f"an-id: <{kind}>: {error.url}: status {error.code}: {error.read().decode(errors='replace')}", file=sys.stderr)
    except OSError as error:
        print(f"an-id: <{kind}>: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
