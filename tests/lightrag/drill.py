"""Drills with the real LightRAG server started over the restored graph: one that answers as it did, and one that has lost an entity."""
import shlex
import sys
from pathlib import Path

from checks import check
from server import Server

HERE = Path(__file__).parent
RECOVERY = "/api/backup/recovery"


def drilling(binary, home, begin):
    """`begin` starts an ingestion into a directory."""
    source, before = home / "drilled", home / "before.sh"
    ingestion = begin(source, home / "drilled.log")
    ingestion.wait_for(6)
    ingestion.end()
    before.write_text("")
    python, serve = shlex.quote(sys.executable), shlex.quote(str(HERE / "serve.py"))
    command = f"set -e; . {shlex.quote(str(before))}; exec {python} {serve}"
    with Server(binary, home / "drills", [home], {"LIGHTKEEP_DRILL_COMMAND": command, "LIGHTKEEP_DRILL_TIMEOUT_SECONDS": "120"}) as server:
        taken = server.snapshot("drilled", source)
        probes = server.request("PUT", f"{RECOVERY}/graphs/drilled/probes", {"sample": 5})["probes"]
        check("five probes are made of the graph", len(probes) == 5, len(probes))
        taken = server.snapshot("drilled", source)
        passed = server.request("POST", f"{RECOVERY}/drills", {"graph_id": "drilled"})
        check("a restored graph answers as it did", (passed["state"], passed["recall"]) == ("passed", 1.0), passed["reasons"])
        check("it is the newest snapshot that was drilled", passed["snapshot_id"] == taken["backup_id"], passed["snapshot_id"])
        stages = passed["stages"]
        check("each stage was measured", all(stages.get(f"{stage}_seconds") for stage in ("restore", "audit", "start", "probes")), stages)
        check("nothing has changed since the snapshot", passed["rpo_seconds"] == 0, passed["rpo_seconds"])
        told = ", ".join(f"{name.removesuffix('_seconds')} {seconds:.3f} s" for name, seconds in stages.items())
        print(f"RTO of {passed['size_bytes']} bytes with the real LightRAG server: {passed['rto_seconds']:.3f} s ({told})", flush=True)

        asked = server.request("GET", f"{RECOVERY}/graphs/drilled/probes?snapshot_id={taken['backup_id']}")["probes"][0]
        lost = asked["retrieved"]["entities"][0]
        before.write_text(f'{python} {shlex.quote(str(HERE / "lose.py"))} "$WORKING_DIR" {shlex.quote(lost)}\n')
        failed = server.request("POST", f"{RECOVERY}/drills", {"graph_id": "drilled"})
        check("a graph that has lost an entity is not recovered", failed["state"] == "failed" and failed["recall"] < 1, failed)
        named = [reason for reason in failed["reasons"] if reason.startswith(f"probe `{asked['name']}` has a recall of 0.") and f"`{lost}`" in reason]
        check("the probe and what is missing are named", bool(named), failed["reasons"])
        print(f"without `{lost}`: {failed['reasons'][0][:200]}", flush=True)
        left = list((server.storage / ".drills").iterdir())
        check("no scratch place is left", not left, left)
