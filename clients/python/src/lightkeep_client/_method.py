"""What is known of an RPC, and how its request is made ready."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Item = TypeVar("Item")
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """One RPC."""

    path: str
    request: type[Request]
    response: type[Response]
    repeatable: bool
    """Asking twice does nothing twice: it reads, or its request has an id that the server remembers."""
    waits: bool
    """It always answers when its work has ended, which may take long."""

    def prepared(self, request: Request) -> Request:
        """The request with an id of its own, where it can have one and the caller has given none. The caller's is left as it is."""
        if not has_field(request, "request_id") or getattr(request, "request_id"):  # noqa: B009 # not all have it
            return request
        named = self.request()
        named.CopyFrom(request)
        setattr(named, "request_id", str(uuid.uuid4()))  # noqa: B010 # not all have it
        return named

    def seconds(self, request: Request, timeout: float | None, usual: float) -> float:
        """How long a call may take: as the caller says; else as usual, but without a limit where it waits for work to end."""
        if timeout is not None:
            return timeout
        return math.inf if self.waits or waits(request) else usual


def limit(seconds: float | None) -> float | None:
    """A timeout as gRPC takes it: None for none."""
    return None if seconds is None or math.isinf(seconds) else seconds


def waits(request: Message) -> bool:
    """Whether the answer comes when the work has ended."""
    return has_field(request, "wait") and (not request.HasField("wait") or bool(getattr(request, "wait")))  # noqa: B009


def has_field(message: Message, name: str) -> bool:
    """Whether messages of this type have a field of this name."""
    return name in message.DESCRIPTOR.fields_by_name


def next_page(request: Request, page: Any) -> Request | None:
    """The request for the page that follows; None after the last."""
    if not page.next_page_token:
        return None
    following = type(request)()
    following.CopyFrom(request)
    setattr(following, "page_token", page.next_page_token)  # noqa: B010 # a list has it
    return following
