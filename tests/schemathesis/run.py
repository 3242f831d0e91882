"""Schemathesis as referee of `/openapi.json`: whatever it asks, no answer is a server error, and none has a status, header or body that the document does not have.

Three rounds: all is random; then the ids of a real graph, a real snapshot, another to compare it with and a file in it are given, so that calls get beyond the
first look-up; then those are deleted.
Needs LIGHTKEEP_BIN (or the path as argument) and the packages of requirements.txt.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lightrag"))
from server import Server  # noqa: E402

KEY = "key-of-the-tests"
# Not asked for: that all that fits the document is accepted (what ids and directories there are, no document tells), and that nothing else is
# (numbers may be text, unknown members are ignored; the contract says so).
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,"
    "unsupported_method,allow_header_conformance,missing_required_header,ignored_auth,use_after_free"
)
EXAMPLES = int(os.environ.get("LIGHTKEEP_SCHEMATHESIS_EXAMPLES", "15"))
SAMPLE = HERE.parent / "fixtures/workspaces/sample"


def run(server, home, name, phases, parameters, *more):
    """One round; whether all was well."""
    config = home / f"{name}.toml"
    # What has several values is given half of the time.
    chosen = {key: values for key, values in parameters.items() if isinstance(values, list)}
    lines = [f"[dictionaries.d{number}]\nvalues = {json.dumps(values)}" for number, values in enumerate(chosen.values())]
    fixed = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in parameters.items() if key not in chosen]
    lines += ["[parameters]", *fixed, *(f'{json.dumps(key)} = {{ dictionary = "d{number}", probability = 0.5 }}' for number, key in enumerate(chosen))]
    config.write_text("\n".join([*lines, ""]))
    command = [
        sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run", f"http://127.0.0.1:{server.http_port}/openapi.json",
        f"--header=X-API-Key: {KEY}", f"--checks={CHECKS}", f"--phases={phases}", f"--max-examples={EXAMPLES}", "--seed=20261123",
        "--suppress-health-check=all", "--request-timeout=30",
        # One worker: CPython 3.11 loses count of its recursion where two threads parse Python at once, as hypothesis does.
        "--workers=1", "--warnings=off", "--generation-database=none", "--no-color",
        # Its answer does not end before the caller goes; tests/it/monitoring.rs reads it.
        "--exclude-path=/api/monitoring/events/watch",
        "--continue-on-failure", *more,
    ]
    started = time.monotonic()
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=600)
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode != 0:
        print("\n".join(lines), flush=True)
    counted = [line.strip() for line in lines if "generated" in line or "passed" in line]
    print(f"{name}: exit {done.returncode} after {time.monotonic() - started:.0f} s; {'; '.join(counted)}", flush=True)
    return done.returncode == 0


def main():
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LIGHTKEEP_BIN", "")
    binary = Path(given).absolute()
    if not given or not binary.is_file():
        print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {given}", file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="lightkeep-schemathesis-"))
    try:
        data = home / "data"
        shutil.copytree(SAMPLE, data / "real")
        headers = {"X-API-Key": KEY}
        with Server(binary, home / "server", [data], {"LIGHTRAG_API_KEY": KEY}) as server:
            well = run(server, home, "anything", "examples,coverage,fuzzing", {})
            graphs = "/api/backup/backup/graphs/real/snapshots"
            snapshots = [server.request("POST", graphs, {"source_dir": str(data / "real")}, headers=headers) for _ in range(2)]
            ids = {"graph_id": "real", "snapshot_id": snapshots[0]["backup_id"], "operation_id": snapshots[1]["operation_id"]}
            # A file that is there to be read, in parts too, something to compare with, and what else must be right for a call to succeed.
            ids |= {
                "path.path": "kv_store_doc_status.json",
                "header.Range": ["bytes=0-9", "bytes=100-", "bytes=999999999-"],
                "query.base_snapshot_id": snapshots[1]["backup_id"],
                "body.target_dir": [str(data / "copy")],
                "body.source_dir": [str(data / "real")],
                "body.reason": ["before the upgrade"],
            }
            well &= run(server, home, "real ids", "coverage,fuzzing", ids, "--exclude-method=DELETE")
            well &= run(server, home, "deletions", "fuzzing", ids, "--include-method=DELETE")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
