"""RPCs as callables that block."""

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic

import grpc

from ._errors import from_rpc
from ._method import Item, Metadata, Method, Request, Response, limit, next_page
from ._retry import Attempts, Retry


class Calls:
    """Makes the callables of a channel."""

    def __init__(self, channel: grpc.Channel, metadata: Metadata, timeout: float, retry: Retry) -> None:
        """With what all calls have in common; the timeout in seconds."""
        self.channel, self.metadata, self.timeout, self.retry = channel, tuple(metadata), timeout, retry
        self.closed = False
        """The client has ended the connection."""

    def unary(self, method: Method[Request, Response]) -> "Unary[Request, Response]":
        """One request, one answer."""
        return Unary(method, self)

    def listing(self, method: Method[Request, Response], items: Callable[[Response], Iterable[Item]]) -> "Listing[Request, Response, Item]":
        """One request, one page."""
        return Listing(method, self, items)

    def streaming(self, method: Method[Request, Response]) -> "Streaming[Request, Response]":
        """One request, many answers."""
        return Streaming(method, self)


class Unary(Generic[Request, Response]):
    """An RPC with one answer."""

    def __init__(self, method: Method[Request, Response], calls: Calls) -> None:
        """Of a channel."""
        self.method, self._calls = method, calls
        self._call: Any = calls.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def __call__(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> Response:
        """Asks. The timeout in seconds; `math.inf` for none, None for the client's. LightkeepError where it fails."""
        request = self.method.prepared(request)
        attempts = Attempts(self._calls.retry, self.method.seconds(request, timeout, self._calls.timeout))
        while True:
            try:
                answer: Response = self._call(request, timeout=attempts.left(), metadata=(*self._calls.metadata, *metadata))
                return answer
            except grpc.RpcError as error:
                failure = from_rpc(error)
                pause = attempts.pause(failure) if self.method.repeatable else None
                if pause is None:
                    raise failure from error
            time.sleep(pause)


class Listing(Unary[Request, Response], Generic[Request, Response, Item]):
    """An RPC that answers with a page of a list."""

    def __init__(self, method: Method[Request, Response], calls: Calls, items: Callable[[Response], Iterable[Item]]) -> None:
        """Of a channel."""
        super().__init__(method, calls)
        self._items = items

    def pages(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> Iterator[Response]:
        """All pages, each asked for when it is wanted. The timeout is that of each page."""
        following: Request | None = request
        while following is not None:
            page = self(following, timeout=timeout, metadata=metadata)
            yield page
            following = next_page(following, page)

    def items(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> Iterator[Item]:
        """What is listed, of all pages."""
        for page in self.pages(request, timeout=timeout, metadata=metadata):
            yield from self._items(page)


class Streaming(Generic[Request, Response]):
    """An RPC with many answers."""

    def __init__(self, method: Method[Request, Response], calls: Calls) -> None:
        """Of a channel."""
        self.method, self._calls = method, calls
        self._call: Any = calls.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def __call__(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> "Stream[Response]":
        """Asks. The timeout in seconds is that of the whole stream; None or `math.inf` for none. It is not begun again by itself."""
        call = self._call(request, timeout=limit(timeout), metadata=(*self._calls.metadata, *metadata))
        return Stream(call)


class Stream(Generic[Response]):
    """The answers as they come. Close it, or leave it as a context, where it is not read to its end."""

    def __init__(self, call: Any) -> None:
        """Of a call of gRPC."""
        self._call, self._closed = call, False

    def __iter__(self) -> "Stream[Response]":
        """Itself."""
        return self

    def __next__(self) -> Response:
        """The next answer. LightkeepError where the stream breaks."""
        if self._closed:
            raise StopIteration
        try:
            answer: Response = next(self._call)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        return answer

    def close(self) -> None:
        """Ends it."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> "Stream[Response]":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self.close()
