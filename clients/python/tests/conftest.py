"""A server of its own for the tests, and one in this process whose answers a test chooses."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lightkeep_client import Client

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lightrag"))

from server import Server  # noqa: E402 # lies there

TOKEN = "a-key-for-these-tests"


@dataclass
class Live:
    """A running server."""

    address: str
    http_address: str
    home: Path


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("lightkeep")
    with Server(Path(os.environ["LIGHTKEEP_BIN"]).absolute(), home / "server", [home], {"LIGHTRAG_API_KEY": TOKEN}) as server:
        yield Live(f"http://127.0.0.1:{server.grpc_port}", f"http://127.0.0.1:{server.http_port}", home)


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    with Client(live.address, token=TOKEN) as connected:
        yield connected


@pytest.fixture
def source(live: Live, tmp_path: Path) -> Path:
    """A real LightRAG workspace of the test's own, where the server may read it."""
    directory = live.home / tmp_path.name
    shutil.copytree(ROOT / "tests" / "fixtures" / "workspaces" / "sample", directory)
    return directory


@pytest.fixture
def graph_id(source: Path) -> str:
    return source.name
