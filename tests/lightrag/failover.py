"""An operator deletes an entity by the real LightRAG server; a failover brings it back while that server is stopped and started by hooks, and a rollback is the way out."""
import json
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path

import service
from checks import check
from server import Server, free_ports

HERE = Path(__file__).parent
RECOVERY = "/api/backup/recovery"
GRAPH = "/api/backup/backup/graphs/failing"


class Asked:
    """The real LightRAG server, by its own API."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method, path, body=None):
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def wait(self):
        deadline = time.monotonic() + 120
        while True:
            try:
                return self.ask("GET", "/health")
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def has(self, entity):
        return self.ask("GET", f"/graph/entity/exists?name={urllib.parse.quote(entity)}")["exists"]

    def delete(self, entity):
        self.ask("DELETE", "/graph/entity/delete", {"entity_name": entity})


def hook(event, action, directory, port):
    return f"[[{event}]]\ncommand = {json.dumps([sys.executable, str(HERE / 'service.py'), action, str(directory), str(port)])}\ntimeout_seconds = 120\n"


def files(directory):
    return {path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def steps_of(failover, kind, operation):
    return [step["outcome"] for step in failover["steps"] if step["kind"] == kind and step["operation_id"] == operation]


def failing_over(binary, home, begin):
    """`begin` starts an ingestion into a directory."""
    source, hooks = home / "failing", home / "hooks.toml"
    ingestion = begin(source, home / "failing-ingest.log")
    ingestion.wait_for(6)
    ingestion.end()
    port = free_ports(1)[0]
    hooks.write_text(hook("before_fence", "stop", source, port) + hook("after_switch", "start", source, port))
    lightrag = Asked(port)
    service.start(source, port)
    try:
        lightrag.wait()
        with Server(binary, home / "failovers", [home], {"LIGHTKEEP_HOOKS_FILE": str(hooks)}) as server:
            switching(server, lightrag, source)
    finally:
        service.stop(source, port)


def switching(server, lightrag, source):
    server.snapshot("failing", source)  # which registers the graph
    server.request("PATCH", GRAPH, {"server": {"url": lightrag.url}})
    probes = server.request("PUT", f"{RECOVERY}/graphs/failing/probes", {"sample": 5})["probes"]
    made = server.request("POST", f"{RECOVERY}/checkpoints", {"graph_ids": ["failing"]})
    checkpoint, snapshot = made["checkpoint_id"], made["members"][0]["snapshot_id"]
    asked = server.request("GET", f"{RECOVERY}/graphs/failing/probes?snapshot_id={snapshot}")["probes"]
    check("the checkpoint's snapshot was asked the probes", len(asked) == len(probes) == 5, asked)
    entity = asked[0]["retrieved"]["entities"][0]
    good = files(source)
    check("the entity is there", lightrag.has(entity))
    lightrag.delete(entity)
    check("the entity is deleted", not lightrag.has(entity))

    answer = server.request("POST", f"{RECOVERY}/checkpoints/{checkpoint}/failover", {})
    failover = answer["failover"]
    operation = failover["operation_id"]
    check("the failover has succeeded", (answer["success"], failover["state"]) == (True, "succeeded"), json.dumps(failover)[:3000])
    check("each hook was run once", steps_of(failover, "hook", operation) == ["done", "done"], failover["steps"])
    check("the server was asked until it was healthy", steps_of(failover, "server", operation) == ["done"], failover["steps"])
    check("the server that the hook has started has the entity again", lightrag.has(entity))
    changed = [str(name) for name, content in good.items() if (source / name).read_bytes() != content]
    check("the stores are those of the checkpoint", not changed, changed)
    kept = Path(failover["graphs"][0]["source"]["kept_as"])
    lost = files(kept)

    rolled = server.request("POST", f"{RECOVERY}/failovers/{failover['failover_id']}/rollback")
    check("the failover is rolled back", rolled["state"] == "rolled_back", json.dumps(rolled)[:3000])
    check("the former state is served again", not lightrag.has(entity))
    changed = [str(name) for name, content in lost.items() if (source / name).read_bytes() != content]
    check("the former stores are back to the byte", not changed, changed)
    check("what the failover had put there is kept", (Path(rolled["graphs"][0]["source"]["replaced_as"]) / "vdb_entities.json").is_file())

    again = server.request("POST", f"{RECOVERY}/checkpoints/{checkpoint}/failover", {})
    check("the checkpoint can be failed over again", again["success"] and lightrag.has(entity), json.dumps(again)[:3000])
    seconds = sum(duration(step) for step in again["failover"]["steps"] if step["kind"] != "hook")
    print(f"`{entity}` is back by a failover with the real LightRAG server: {seconds:.3f} s without its hooks", flush=True)


def duration(step):
    started, ended = (datetime.fromisoformat(step[end].replace("Z", "+00:00")) for end in ("started_at", "ended_at"))
    return (ended - started).total_seconds()
