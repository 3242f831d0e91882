"""A LightRAG server that has nothing to do, for what Lightkeep asks such a server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from conftest import ROOT


class Resting(BaseHTTPRequestHandler):
    """Gives the answers of a real one."""

    working_directory: ClassVar[str]

    def do_GET(self) -> None:
        name = {"/health": "health_auth", "/documents/pipeline_status": "pipeline_status_idle"}.get(self.path.partition("?")[0])
        answers = ROOT / "tests" / "fixtures" / "lightrag-server"
        body = json.loads((answers / f"{name}.json").read_text())["body"] if name else {}
        if "working_directory" in body:
            body["working_directory"] = self.working_directory
        content = json.dumps(body).encode()
        self.send_response(200 if name else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def resting(directory: Path) -> Iterator[str]:
    """Its address."""
    handler = type("Handler", (Resting,), {"working_directory": str(directory)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
