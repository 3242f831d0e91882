"""Starts a server, waits until it listens, prints what it printed, and leaves it in the background. The scripts `lightkeep` and `bin/lightrag-server` call this.

    background.py PROGRAM [ARGUMENT]...
"""
import os
import subprocess
import sys
import time
from pathlib import Path

LOG = Path(os.environ.get("DOCS_LOG", "/run/lightkeep-docs/server.log"))
LISTENS = ("grpc ", "Serving on", "INFO: Uvicorn running on")  # of `serve`, of `quickstart` and of LightRAG
LONGEST = 60  # seconds until it listens; a debug build is slow on a busy computer


def main() -> int:
    began = LOG.stat().st_size if LOG.exists() else 0
    with LOG.open("ab") as log:
        server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    if "DOCS_PID" in os.environ:
        Path(os.environ["DOCS_PID"]).write_text(str(server.pid))
    end = time.monotonic() + LONGEST
    while True:
        said = LOG.read_bytes()[began:].decode(errors="replace")
        if any(line.startswith(LISTENS) for line in said.splitlines()):
            print(said)
            return 0
        if server.poll() is not None:
            print(f"{said}\n{sys.argv[1]} has ended: exit {server.returncode}", file=sys.stderr)
            return server.returncode or 1
        if time.monotonic() > end:
            print(f"{said}\n{sys.argv[1]} does not listen within {LONGEST} s", file=sys.stderr)
            return 1
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
