"""Five targets, one of which falls into a hole: whatever is sent there vanishes without a word."""
import shutil
import time

from kills import SAMPLE
from network import TARGET, THIRD
from pair import KEY, PEER, REPLICATION, Pair, expect, until

TARGETS, SNAPSHOTS = 5, 5
LIMIT = 10  # seconds in which a snapshot this small comes to a target that is well


def one_hole_among_five(network, binary, home, _options):
    pair = Pair(network, binary, home)
    others = [pair.instance(f"target-{number}", network.target) for number in range(1, TARGETS)]
    with pair:
        source = pair.data / "rag"
        shutil.copytree(SAMPLE, source)
        # The last has an address of its own on the same side.
        for number, instance in enumerate([pair.target, *others]):
            pair.register(f"target-{number}", f"http://{THIRD if instance is others[-1] else TARGET}:{instance.http_port}")
        status, answer = pair.source.request("POST", f"{REPLICATION}/targets", {"name": "sixth", "base_url": f"http://{TARGET}:1", "api_key": KEY}, raw=True)
        expect("a sixth target is refused", status == 429 and b"TOO_MANY_TARGETS" in answer, (status, answer))
        pair.snapshot(source)

        def lags():
            replicas = pair.source.request("GET", f"{REPLICATION}/graphs/g/status")["replicas"]
            return [replica["lag_snapshots"] for replica in replicas]

        until("all five are in step", lambda: lags() == [0] * TARGETS)
        network.swallow(THIRD)
        took = []
        for number in range(1, SNAPSHOTS + 1):
            (source / "note").write_text(f"note {number}\n" * 1000)
            pair.snapshot(source)
            began = time.monotonic()
            until("the four that are well are in step", lambda: lags()[:-1] == [0] * (TARGETS - 1), LIMIT)
            took.append(time.monotonic() - began)
            expect("the one in the hole stays behind", lags()[-1] == number, lags())
        network.let_through(THIRD)
        pair.resume()
        until("the one in the hole is in step when it is out of it", lambda: lags() == [0] * TARGETS)
        for instance in (pair.target, *others):
            pair.check(instance.storage / "replicas" / PEER / "g")
    return f"four of five targets in step {max(took):.2f} s after each of {SNAPSHOTS} snapshots at most, the fifth when it was reached again; a sixth is refused"
