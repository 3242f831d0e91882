"""The generated code against the protos: every RPC is there, and the same protos give the same bytes."""

import inspect
import os
import subprocess
import sys
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import grpc
import pytest
from conftest import ROOT
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from grpc_tools import protoc

import lightkeep_client
from lightkeep_client import AsyncServices, Services
from lightkeep_client._async_calls import AsyncCalls, AsyncStreaming, AsyncUnary
from lightkeep_client._calls import Calls, Streaming, Unary
from lightkeep_client._method import Method
from lightkeep_client._retry import Retry

HERE = Path(__file__).parents[1]
# Between instances of Lightkeep only.
INTERNAL = {"ReplicaService"}
# These would do something twice.
NOT_REPEATABLE = {"/lightkeep.v1.ReplicationService/VerifyReplica", "/lightkeep.v1.AlertService/TestNotification"}

# These answer when long work has ended, without a field `wait`.
LONG_WORK = {"DeleteSnapshot", "DiffSnapshots", "VerifyReplica"}


def described(tmp_path: Path) -> dict[str, list[MethodDescriptorProto]]:
    """The RPCs of all services, of the protos as they stand in the repository."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "lightkeep").rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{ROOT / 'proto'}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"-o{tmp_path / 'set'}",
        *protos,
    ]
    assert protoc.main(arguments) == 0
    described = FileDescriptorSet.FromString((tmp_path / "set").read_bytes())
    return {service.name: list(service.method) for file in described.file for service in file.service}


def stubs(services: object) -> dict[str, dict[str, object]]:
    """What a client has, by service and RPC."""
    return {name: vars(service) for name, service in vars(services).items()}


def check(described: dict[str, list[MethodDescriptorProto]], services: object, unary: type, streaming: type) -> None:
    found = stubs(services)
    public = {name.removesuffix("Service").lower(): name for name in described if name not in INTERNAL}
    assert found.keys() == public.keys()
    for attribute, service in public.items():
        assert found[attribute].keys() == {method.name for method in described[service]}
        for wanted in described[service]:
            stub = found[attribute][wanted.name]
            assert isinstance(stub, streaming if wanted.server_streaming else unary), wanted.name
            method: Method = getattr(stub, "method")  # type: ignore[type-arg] # noqa: B009
            assert method.path == f"/lightkeep.v1.{service}/{wanted.name}"
            assert method.request.DESCRIPTOR.full_name == wanted.input_type.removeprefix(".")
            assert method.response.DESCRIPTOR.full_name == wanted.output_type.removeprefix(".")
            assert method.repeatable == (method.path not in NOT_REPEATABLE), wanted.name
            assert method.waits == (wanted.name in LONG_WORK), wanted.name


def test_every_rpc_has_its_stub(tmp_path: Path) -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        check(described(tmp_path), Services(Calls(channel, (), 1.0, Retry())), Unary, Streaming)


async def test_every_rpc_has_its_stub_for_asyncio(tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        check(described(tmp_path), AsyncServices(AsyncCalls(channel, (), 1.0, Retry())), AsyncUnary, AsyncStreaming)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two generations."""
    made = [tmp_path_factory.mktemp("generated") for _ in range(2)]
    for directory in made:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        command = [sys.executable, str(HERE / "generate.py"), str(ROOT / "proto"), str(directory)]
        subprocess.run(command, check=True, env=os.environ | {"PATH": path})
    return made


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_same_protos_give_the_same_bytes(generated: list[Path]) -> None:
    first, second = (contents(directory) for directory in generated)
    assert len(first) > 20
    assert first == second


def test_what_is_installed_is_what_the_protos_say(generated: list[Path]) -> None:
    installed = Path(inspect.getfile(lightkeep_client)).parent
    for name, content in contents(generated[0] / "lightkeep_client").items():
        assert (installed / name).read_bytes() == content, name


def test_nothing_generated_lies_in_the_source_tree(generated: list[Path]) -> None:
    assert contents(generated[0]).keys().isdisjoint(contents(HERE / "src").keys())


def test_the_license_is_in_the_package() -> None:
    assert distribution("lightkeep-client").read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()
