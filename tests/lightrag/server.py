"""A `lightkeep serve` of one's own, on free ports with its own storage; for tests and benchmarks."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_ports(count):
    """Ports that are free just now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def clean_environment():
    """Ours without what `lightkeep` reads: a developer's own settings must not reach it."""
    settings = ("LIGHTKEEP_", "LIGHTRAG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(settings) and name not in ("LOG_LEVEL", "WORKING_DIR")}


class Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, status, body):
        super().__init__(f"status {status}: {body}")
        self.status, self.body = status, body


class Server:
    """Starts when entered, ends by SIGTERM when left."""

    def __init__(self, binary, home, allowed_roots, extra_environment=None):
        self.binary, self.home = str(binary), Path(home)
        self.storage, self.log = self.home / "storage", self.home / "server.log"
        self.http_port, self.grpc_port, metrics_port = free_ports(3)
        self.environment = clean_environment() | {
            "LIGHTKEEP_HTTP_ADDR": f"127.0.0.1:{self.http_port}",
            "LIGHTKEEP_GRPC_ADDR": f"127.0.0.1:{self.grpc_port}",
            "LIGHTKEEP_METRICS_ADDR": f"127.0.0.1:{metrics_port}",
            "LIGHTKEEP_ALLOWED_ROOTS": ":".join(str(root) for root in allowed_roots),
            "LIGHTRAG_BACKUP_STORAGE": str(self.storage),
            "LIGHTRAG_RECOVERY_DB_URL": f"sqlite:///{self.home}/lightkeep.db",
            "LIGHTRAG_AUTO_BACKUP_INTERVAL": "0",
            "LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL": "0",
        } | (extra_environment or {})
        self.process, self.start_seconds = None, 0.0

    def __enter__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve"], cwd=self.home, env=self.environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended at its start: exit {self.process.returncode}\n{self.tail()}")
            try:
                if self.request("GET", "/readyz", raw=True)[0] == 200:
                    break
            except OSError:
                pass
            if time.perf_counter() - started > 60:
                self.__exit__(None, None, None)
                raise RuntimeError(f"the server is not ready after 60 s\n{self.tail()}")
            time.sleep(0.01)
        self.start_seconds = time.perf_counter() - started
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                print("the server did not end 60 s after SIGTERM", file=sys.stderr)
                self.kill()
        if kind is not None:
            print(f"last lines of the server:\n{self.tail()}", file=sys.stderr)

    def kill(self):
        """Ends it by SIGKILL, where it was started at all."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def request(self, method, path, body=None, raw=False, headers=None):
        """One REST request; the answer's JSON, or (status, bytes) where `raw`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=600)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, ({"content-type": "application/json"} if content else {}) | (headers or {}))
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
        finally:
            connection.close()
        if raw:
            return status, text
        if status != 200:
            raise Refused(status, text.decode(errors="replace"))
        return json.loads(text)

    def snapshot(self, graph, source, metadata=None):
        body = {"source_dir": str(source)} | ({"metadata": metadata} if metadata else {})
        return self.request("POST", f"/api/backup/backup/graphs/{graph}/snapshots", body)

    def restore(self, graph, snapshot, target):
        path = f"/api/backup/backup/graphs/{graph}/snapshots/{snapshot}/restore"
        return self.request("POST", path, {"target_dir": str(target)})

    def memory(self, field="VmRSS"):
        """A field of /proc/PID/status in bytes; VmHWM is the peak since the last `forget_peak`."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(field)

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
