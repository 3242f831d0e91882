"""Stops or starts the real LightRAG server of a graph, as a hook of a failover would. Usage: service.py stop|start DIRECTORY PORT"""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def start(directory, port):
    quiet = os.environ | {"WORKING_DIR": str(directory), "INPUT_DIR": f"{directory}-inputs", "HOST": "127.0.0.1", "PORT": str(port)}
    # In a session of its own and with a log of its own: what started it goes away.
    with Path(f"{directory}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "serve.py")],
            cwd=Path(directory).parent, env=quiet, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
    Path(f"{directory}.pid").write_text(str(process.pid))


def is_gone(process):
    """A process that nobody has waited for yet is gone too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def stop(directory, _port):
    pid = Path(f"{directory}.pid")
    if not pid.exists():
        return
    process = int(pid.read_text())
    if not is_gone(process):
        os.kill(process, signal.SIGTERM)
    while not is_gone(process):
        time.sleep(0.02)
    pid.unlink()


if __name__ == "__main__":
    {"stop": stop, "start": start}[sys.argv[1]](*sys.argv[2:])
