"""Errors of the server and of the way to it."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from . import v1

DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"
CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
Detail = TypeVar("Detail", bound=Message)


class LightkeepError(Exception):
    """A call has failed."""

    def __init__(self, status: status_pb2.Status, request_id: str = "") -> None:
        """Of a status with its details, and the name of the call."""
        info = detail(status, error_details_pb2.ErrorInfo)
        delay = detail(status, error_details_pb2.RetryInfo)
        self.code: grpc.StatusCode = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        """The gRPC code."""
        self.reason: str = info.reason if info else ""
        """The stable reason, such as `GRAPH_NOT_FOUND`; empty where the server was not reached or has not said it."""
        self.message: str = status.message
        """For people."""
        self.metadata: Mapping[str, str] = dict(info.metadata) if info else {}
        """What belongs to the reason."""
        self.request_id: str = request_id
        """The name of the call in the log of the server (`x-request-id`); empty where the server was not reached."""
        self.retry_seconds: float | None = delay.retry_delay.ToTimedelta().total_seconds() if delay else None
        """After how many seconds the server wants to be asked again, if it has said so."""
        self.status: status_pb2.Status = status
        """All that was answered, with all typed details."""
        super().__init__(f"{self.code.name}{f' ({self.reason})' if self.reason else ''}: {self.message}")

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, which carries errors out of other processes."""
        return type(self), (self.status, self.request_id)

    @property
    def field_violations(self) -> Mapping[str, str]:
        """What is wrong with which field of the request."""
        bad = detail(self.status, error_details_pb2.BadRequest)
        return {each.field: each.description for each in bad.field_violations} if bad else {}


class OperationFailed(LightkeepError):
    """An operation that was waited for has failed or was cancelled."""

    def __init__(self, operation: v1.Operation) -> None:
        """Of an operation that has ended so."""
        cancelled = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], message="the operation was cancelled")
        super().__init__(operation.error if operation.HasField("error") else cancelled)
        self.operation = operation
        """The operation as it has ended."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle."""
        return type(self), (self.operation,)


class RpcFailure(Protocol):
    """What gRPC's errors have, sync and asyncio."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def initial_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_rpc(error: grpc.RpcError) -> LightkeepError:
    """The same error in our form."""
    failure = cast(RpcFailure, error)
    # An answer that is an error from its beginning has trailers only.
    answered = [*(failure.initial_metadata() or ()), *(failure.trailing_metadata() or ())]
    values = dict(answered)
    details = values.get(DETAILS)
    if isinstance(details, bytes):
        status = status_pb2.Status.FromString(details)
    else:
        status = status_pb2.Status(code=failure.code().value[0], message=failure.details() or "")
    return LightkeepError(status, str(values.get(REQUEST_ID, "")))


def own(code: grpc.StatusCode, message: str) -> LightkeepError:
    """An error that the client finds by itself."""
    return LightkeepError(status_pb2.Status(code=code.value[0], message=message))


def detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    """The first detail of a type."""
    for each in status.details:
        found = kind()
        if each.Unpack(found):
            return found
    return None
