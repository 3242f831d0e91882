"""The other instances of the documents: `paris`, which takes our copies, and `berlin`, which sends us its own."""
import asyncio
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

PARIS, BERLIN = "127.0.0.3", "127.0.0.4"
HTTP_PORT = 9721
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def ask(address: str, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(f"http://{address}{path}", method=method, data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def start(name: str, address: str, environment: dict[str, str]) -> None:
    """Starts an instance and waits until it is ready; it ends with the namespace."""
    home = Path("/srv") / name
    home.mkdir()
    settings = {
        "PATH": os.environ["PATH"],
        "LIGHTKEEP_HTTP_ADDR": f"{address}:{HTTP_PORT}",
        "LIGHTKEEP_GRPC_ADDR": f"{address}:50051",
        "LIGHTKEEP_METRICS_ADDR": f"{address}:9090",
        "LIGHTRAG_BACKUP_STORAGE": str(home / "storage"),
        "LIGHTRAG_RECOVERY_DB_URL": f"sqlite:///{home}/lightkeep.db",
        "LIGHTKEEP_ALLOWED_ROOTS": "/srv/lightrag:/srv/berlin-data",
        "LIGHTKEEP_REPOSITORY_PASSWORD_FILE": "/etc/lightkeep/password",
        "LIGHTKEEP_INSTANCE_NAME": name,
    }
    log = (home / "log").open("wb")
    server = subprocess.Popen([os.environ["LIGHTKEEP_BIN"], "serve"], cwd=home, env=settings | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = time.monotonic() + 60
    while True:
        try:
            ask(f"{address}:{HTTP_PORT}", "GET", "/readyz")
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"`{name}` does not answer: {(home / 'log').read_text(errors='replace')[-1000:]}") from None
            time.sleep(0.02)


def berlin(ours: str, peer_key: str) -> None:
    """Has it send us two graphs, so that `graph1@berlin` and `graph2@berlin` are here."""
    address = f"{BERLIN}:{HTTP_PORT}"
    start("berlin", BERLIN, {})
    ask(address, "POST", "/api/backup/replication/targets", {"name": "here", "base_url": f"http://{ours}", "api_key": peer_key})
    for graph in ("graph1", "graph2"):
        ask(address, "POST", f"/api/backup/backup/graphs/{graph}/snapshots", {"source_dir": f"/srv/berlin-data/{graph}"})
        ask(address, "POST", f"/api/backup/replication/graphs/{graph}/replicate", {"wait": True})


def paris(peer_key: str) -> None:
    """It answers to https://paris.example, by a certificate that this namespace trusts."""
    start("paris", PARIS, {"LIGHTKEEP_PEER_KEYS": f"berlin:{peer_key}", "LIGHTKEEP_REPLICATION_ROOTS": "/mnt"})
    with Path("/etc/hosts").open("a") as hosts:
        hosts.write(f"{PARIS} paris.example\n")
    key, certificate = certify("paris.example", Path("/srv/paris"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    listening = threading.Event()
    threading.Thread(target=lambda: asyncio.run(proxy(context, listening)), daemon=True).start()
    if not listening.wait(10):
        raise RuntimeError("the proxy of paris.example does not listen")


def certify(name: str, home: Path) -> tuple[Path, Path]:
    """A certificate for a name, signed by an authority that every program of this namespace trusts from now on."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests of the documents")
    openssl("req", "-x509", *new, "-keyout", "key.pem", "-out", "certificate.pem", "-subj", f"/CN={name}", "-CA", "ca.pem", "-CAkey", "ca.key", "-addext",
            f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE")
    trusted = AUTHORITIES.read_bytes() if AUTHORITIES.exists() else b""
    AUTHORITIES.parent.mkdir(parents=True, exist_ok=True)
    AUTHORITIES.write_bytes(trusted + (home / "ca.pem").read_bytes())
    return home / "key.pem", home / "certificate.pem"


async def proxy(context: ssl.SSLContext, listening: threading.Event) -> None:
    """TLS to the outside, the same bytes in the clear to the instance."""

    async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(1 << 16):
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass  # one side has gone; the other is told by the close
        finally:
            sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(PARIS, HTTP_PORT)
        await asyncio.gather(pour(reader, inner_writer), pour(inner_reader, writer))

    server = await asyncio.start_server(serve, PARIS, 443, ssl=context)
    listening.set()
    await server.serve_forever()
