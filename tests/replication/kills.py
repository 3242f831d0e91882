"""Either side is killed at each fail point of a transfer, and started again."""
import http.client
import re
import shutil
import signal
from pathlib import Path

from network import NotPermitted
from pair import Pair, expect, until

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests/fixtures/workspaces/sample"
DIED = (OSError, http.client.HTTPException)
POINTS = {
    "source": ["replication.planned", "replication.pack_sent", "replication.committed", "replication.sent", "replication.noted"],
    "target": [
        "replica.key_written", "replica.founded", "replica.file_received", "replica.file_written", "replica.index_written", "replica.record_written",
        "replica.registered",
    ],
}
FOUNDING = ("replica.key_written", "replica.founded")


def kill_at_each_fail_point(network, binary, home, _options):
    points = [point for side in POINTS.values() for point in side]
    found = {point for path in (ROOT / "src").rglob("*.rs") for point in re.findall(r'failpoint::reach\("(replica(?:tion)?\.[^"]+)"\)', path.read_text())}
    expect("each fail point in the sources has its turn", found == set(points), found ^ set(points))
    if points[0].encode() not in binary.read_bytes():
        raise NotPermitted("the program is built without the feature `failpoints`")
    with Pair(network, binary, home) as pair:
        source = pair.data / "rag"
        shutil.copytree(SAMPLE, source)
        pair.register()
        graph, graphs = "g", 1
        pair.snapshot(source, graph)
        pair.in_step(graph)
        for side, steps in POINTS.items():
            instance = getattr(pair, side)
            for step in steps:
                if step in FOUNDING:
                    graph, graphs = f"g{graphs}", graphs + 1
                instance.kill()
                instance.start(step)
                (source / "note").write_text(f"killed at {step}\n" * 1000)
                try:
                    pair.snapshot(source, graph)
                except DIED:
                    expect("the side that is asked dies only at its own fail points", side == "source", step)
                until(f"the {side} reaches `{step}`", lambda: instance.process.poll() is not None)
                expect("it ended there", instance.process.returncode == -signal.SIGABRT, f"{step}: {instance.process.returncode}")
                instance.start()
                pair.in_step(graph)
                pair.check(pair.copy(graph))
        for number in range(graphs):
            pair.check(pair.copy(f"g{number}" if number else "g"), "--read-data")
        snapshots = sum(len(pair.in_step(f"g{number}" if number else "g")) for number in range(graphs))
    return f"killed at {len(points)} fail points; {graphs} graphs and {snapshots} snapshots in step"
