"""Generates `lightkeep_client/v1` and the two modules of services from the protos.

    generate.py PROTOS DIRECTORY

The same protos give the same bytes. `replica.proto` is left out: only instances of Lightkeep speak it, with keys of their own.
"""

import os
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from sys import argv
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.rpc import status_pb2
from grpc_tools import protoc

PACKAGE = "lightkeep_client"
INTERNAL = "replica.proto"
# These change nothing, or nothing more when they are repeated, though they are no GET and have no `request_id`.
REPEATABLE = {"CancelOperation", "CheckRecoveryHealth", "CollectMetrics", "PreviewRetention"}
# These answer when long work has ended, though they have no field `wait`.
LONG_WORK = {"DeleteSnapshot", "DiffSnapshots", "VerifyReplica"}
HEADER = '"""Generated from the protos of Lightkeep. Do not edit."""\n\n'


def generate(protos: Path, out: Path) -> None:
    """Writes all modules to `out`."""
    with tempfile.TemporaryDirectory() as temporary:
        described = run_protoc(protos, Path(temporary), out)
    package = out / PACKAGE
    (package / "v1" / "__init__.py").write_text(names_module(described))
    (package / "_services.py").write_text(services_module(described, ""))
    (package / "_async_services.py").write_text(services_module(described, "Async"))


def run_protoc(protos: Path, sources: Path, out: Path) -> list[FileDescriptorProto]:
    """Makes the messages and their types. The protos move to the package's own name, so that no other `lightkeep` is in the way."""
    target = sources / PACKAGE / "v1"
    target.mkdir(parents=True)
    out.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in (protos / "lightkeep" / "v1").glob("*.proto") if path.name != INTERNAL)
    for name in names:
        text = (protos / "lightkeep" / "v1" / name).read_text()
        (target / name).write_text(text.replace('import "lightkeep/v1/', f'import "{PACKAGE}/v1/'))
    # A build in isolation has its programs on the path; a plain interpreter beside itself.
    search = os.pathsep.join([os.environ.get("PATH", ""), sysconfig.get_path("scripts")])
    arguments = [
        "protoc",
        f"-I{sources}",
        f"-I{Path(status_pb2.__file__).parents[2]}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy={shutil.which('protoc-gen-mypy', path=search)}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--descriptor_set_out={sources / 'set'}",
        "--include_source_info",
        *(f"{PACKAGE}/v1/{name}" for name in names),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc has failed")
    return list(FileDescriptorSet.FromString((sources / "set").read_bytes()).file)


def names_module(described: Iterable[FileDescriptorProto]) -> str:
    """`v1` itself: the messages and enums of all files, with the values of the enums."""
    lines = []
    for file in described:
        module = Path(file.name).stem + "_pb2"
        names = [message.name for message in file.message_type]
        for enum in file.enum_type:
            names += [enum.name, *(value.name for value in enum.value)]
        if names:
            lines.append(f"from .{module} import (\n" + "".join(f"    {name} as {name},\n" for name in sorted(names)) + ")")
    return HEADER + "\n".join(lines) + "\n"


def services_module(described: list[FileDescriptorProto], prefix: str) -> str:
    """A class for each service with its RPCs as attributes, and one with all services."""
    messages = {f".{file.package}.{message.name}": message for file in described for message in file.message_type}
    classes, attributes = [], []
    for file in described:
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for number, service in enumerate(file.service):
            declared, made = [], []
            for position, method in enumerate(service.method):
                path = f"/{file.package}.{service.name}/{method.name}"
                kind, call = call_of(method, messages, path, prefix)
                declared.append(f"    {method.name}: {kind}\n{docstring(comments[6, number, 2, position], 4)}\n")
                made.append(f"        self.{method.name} = calls.{call}\n")
            classes.append(
                f"class {prefix}{service.name}:\n{docstring(comments[6, number], 4)}\n"
                + "".join(declared)
                + f"\n    def __init__(self, calls: {prefix}Calls) -> None:\n"
                + "".join(made)
            )
            attributes.append((service.name.removesuffix("Service").lower(), f"{prefix}{service.name}"))
    everything = f'class {prefix}Services:\n    """All services."""\n\n    def __init__(self, calls: {prefix}Calls) -> None:\n' + "".join(
        f"        self.{name} = {service}(calls)\n" for name, service in attributes
    )
    module = "_async_calls" if prefix else "_calls"
    imports = (
        "from google.api import httpbody_pb2\n\nfrom . import v1\nfrom ._method import Method\n"
        f"from .{module} import {prefix}Calls, {prefix}Listing, {prefix}Streaming, {prefix}Unary\n\n\n"
    )
    return HEADER + imports + "\n\n".join([*classes, everything])


def call_of(method: MethodDescriptorProto, messages: dict[str, DescriptorProto], path: str, prefix: str) -> tuple[str, str]:
    """The type of an RPC's attribute, and the expression that makes it."""
    request, response = messages[method.input_type], messages.get(method.output_type)
    types = f"{type_name(method.input_type)}, {type_name(method.output_type)}"
    fields = {field.name for field in request.field}
    rule: Any = annotations_pb2.http  # its type is that of a plain field
    is_get = method.options.Extensions[rule].WhichOneof("pattern") == "get"
    repeatable = is_get or "request_id" in fields or method.name in REPEATABLE
    made = f'Method("{path}", {types}, repeatable={repeatable}, waits={method.name in LONG_WORK})'
    if method.server_streaming:
        return f"{prefix}Streaming[{types}]", f"streaming({made})"
    # A request_id says that it changes something: that is no list, though it may have pages.
    if response and "page_token" in fields and "request_id" not in fields:
        # What is listed is the last: a summary may stand before it.
        items = [field for field in response.field if field.type == FieldDescriptorProto.TYPE_MESSAGE and is_repeated(field)][-1]
        return (
            f"{prefix}Listing[{types}, {type_name(items.type_name)}]",
            f"listing({made}, lambda page: page.{items.name})",
        )
    return f"{prefix}Unary[{types}]", f"unary({made})"


def is_repeated(field: FieldDescriptorProto) -> bool:
    """Whether a field is a list."""
    return field.label == FieldDescriptorProto.LABEL_REPEATED


def type_name(full: str) -> str:
    """How a message is called in the modules of services."""
    return {".google.api.HttpBody": "httpbody_pb2.HttpBody"}.get(full) or "v1." + full.removeprefix(".lightkeep.v1.")


def docstring(comment: str, indent: int) -> str:
    """A comment of the protos as it stands."""
    text = re.sub(r"^ ", "", comment.strip("\n"), flags=re.MULTILINE).replace("\\", "\\\\").strip()
    return "\n".join(" " * indent + line for line in f'"""{text}"""'.splitlines()) + "\n"


if __name__ == "__main__":
    generate(Path(argv[1]), Path(argv[2]))
