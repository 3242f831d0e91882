"""A gRPC server in this process that answers as a test says."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

LATENCY_SECONDS = 0.5
Answer = Callable[[bytes, grpc.ServicerContext], Message]


class Scripted(grpc.GenericRpcHandler):
    """Each call of an RPC takes the next of its answers; the last one stays."""

    def __init__(self, answers: dict[str, list[Answer]], streams: dict[str, list[Callable[[], Iterator[Message]]]]) -> None:
        self.answers, self.streams = answers, streams
        self.calls: list[tuple[str, bytes, dict[str, Any], float | None]] = []

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        name = str(details.method).rpartition("/")[2]

        def note(request: bytes, context: grpc.ServicerContext) -> None:
            self.calls.append((name, request, dict(context.invocation_metadata()), context.time_remaining()))

        def answer(request: bytes, context: grpc.ServicerContext) -> Message:
            note(request, context)
            left = self.answers[name]
            return (left.pop(0) if len(left) > 1 else left[0])(request, context)

        def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[Message]:
            note(request, context)
            left = self.streams[name]
            for each in (left.pop(0) if len(left) > 1 else left[0])():
                if isinstance(each, status_pb2.Status):
                    fail(each, context)
                yield each

        if name in self.streams:
            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=lambda each: each.SerializeToString())
        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=lambda each: each.SerializeToString())


def fail(status: status_pb2.Status, context: grpc.ServicerContext) -> None:
    """Ends a call as Lightkeep does."""
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "call-1")))
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    context.abort(code, status.message)


def status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    """An error with details."""
    packed = [any_pb2.Any() for _ in details]
    for each, detail in zip(packed, details, strict=True):
        each.Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def failing(code: grpc.StatusCode, reason: str = "", retry_seconds: float | None = None) -> Answer:
    """An answer that is an error."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="lightkeep", metadata={"a": "b"})]
    if retry_seconds is not None:
        delay = error_details_pb2.RetryInfo()
        delay.retry_delay.FromMilliseconds(int(retry_seconds * 1000))
        details.append(delay)

    def answer(_: bytes, context: grpc.ServicerContext) -> Message:
        fail(status(code, "scripted", *details), context)
        raise AssertionError("abort does not return")

    return answer


def giving(message: Message) -> Answer:
    """An answer that is no error."""
    return lambda _request, _context: message


@contextmanager
def serving(
    answers: dict[str, list[Answer]] | None = None,
    streams: dict[str, list[Callable[[], Iterator[Message]]]] | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[tuple[str, Scripted]]:
    """Its address `HOST:PORT`, and what was called."""
    scripted = Scripted(answers or {}, streams or {})
    server = grpc.server(ThreadPoolExecutor(4), handlers=[scripted])
    port = server.add_insecure_port("127.0.0.1:0") if credentials is None else server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}" if credentials else f"127.0.0.1:{port}", scripted
    finally:
        server.stop(None).wait()


@contextmanager
def slow_way(address: str) -> Iterator[str]:
    """The address of a way to a server on which the first bytes take their time. A caller who gives up meanwhile is not answered."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)

    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection((host, int(port))) as behind:

        def carry() -> None:
            caller, _ = listener.accept()
            with caller:
                back = threading.Timer(LATENCY_SECONDS, pump, (behind, caller))
                back.start()
                pump(caller, behind)
                back.join()

        thread = threading.Thread(target=carry)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()
