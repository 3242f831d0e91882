"""RPCs as callables for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Generic

import grpc
import grpc.aio

from ._errors import from_rpc, own
from ._method import Item, Metadata, Method, Request, Response, limit, next_page
from ._retry import Attempts, Retry


class AsyncCalls:
    """Makes the callables of a channel."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, timeout: float, retry: Retry) -> None:
        """With what all calls have in common; the timeout in seconds."""
        self.channel, self.metadata, self.timeout, self.retry = channel, tuple(metadata), timeout, retry
        self.closed = False
        """The client has ended the connection."""

    def unary(self, method: Method[Request, Response]) -> "AsyncUnary[Request, Response]":
        """One request, one answer."""
        return AsyncUnary(method, self)

    def listing(
        self, method: Method[Request, Response], items: Callable[[Response], Iterable[Item]]
    ) -> "AsyncListing[Request, Response, Item]":
        """One request, one page."""
        return AsyncListing(method, self, items)

    def streaming(self, method: Method[Request, Response]) -> "AsyncStreaming[Request, Response]":
        """One request, many answers."""
        return AsyncStreaming(method, self)


class AsyncUnary(Generic[Request, Response]):
    """An RPC with one answer."""

    def __init__(self, method: Method[Request, Response], calls: AsyncCalls) -> None:
        """Of a channel."""
        self.method, self._calls = method, calls
        self._call: Any = calls.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    async def __call__(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> Response:
        """Asks. The timeout in seconds; `math.inf` for none, None for the client's. LightkeepError where it fails."""
        request = self.method.prepared(request)
        attempts = Attempts(self._calls.retry, self.method.seconds(request, timeout, self._calls.timeout))
        while True:
            try:
                answer: Response = await self._call(request, timeout=attempts.left(), metadata=(*self._calls.metadata, *metadata))
                return answer
            except grpc.RpcError as error:
                failure = from_rpc(error)
                pause = attempts.pause(failure) if self.method.repeatable else None
                if pause is None:
                    raise failure from error
            await asyncio.sleep(pause)


class AsyncListing(AsyncUnary[Request, Response], Generic[Request, Response, Item]):
    """An RPC that answers with a page of a list."""

    def __init__(self, method: Method[Request, Response], calls: AsyncCalls, items: Callable[[Response], Iterable[Item]]) -> None:
        """Of a channel."""
        super().__init__(method, calls)
        self._items = items

    async def pages(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> AsyncIterator[Response]:
        """All pages, each asked for when it is wanted. The timeout is that of each page."""
        following: Request | None = request
        while following is not None:
            page = await self(following, timeout=timeout, metadata=metadata)
            yield page
            following = next_page(following, page)

    async def items(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> AsyncIterator[Item]:
        """What is listed, of all pages."""
        async for page in self.pages(request, timeout=timeout, metadata=metadata):
            for item in self._items(page):
                yield item


class AsyncStreaming(Generic[Request, Response]):
    """An RPC with many answers."""

    def __init__(self, method: Method[Request, Response], calls: AsyncCalls) -> None:
        """Of a channel."""
        self.method, self._calls = method, calls
        self._call: Any = calls.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def __call__(self, request: Request, *, timeout: float | None = None, metadata: Metadata = ()) -> "AsyncStream[Response]":
        """Asks. The timeout in seconds is that of the whole stream; None or `math.inf` for none. It is not begun again by itself."""
        call = self._call(request, timeout=limit(timeout), metadata=(*self._calls.metadata, *metadata))
        return AsyncStream(call, self._calls)


class AsyncStream(Generic[Response]):
    """The answers as they come. Close it, or leave it as a context, where it is not read to its end."""

    def __init__(self, call: Any, calls: AsyncCalls) -> None:
        """Of a call of gRPC."""
        self._call, self._calls, self._closed = call, calls, False

    def __aiter__(self) -> "AsyncStream[Response]":
        """Itself."""
        return self

    async def __anext__(self) -> Response:
        """The next answer. LightkeepError where the stream breaks."""
        if self._closed:
            raise StopAsyncIteration
        try:
            answer = await self._call.read()
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        except asyncio.CancelledError:
            # gRPC raises this in the task that reads also where another task has ended the stream or the client.
            if self._closed:
                raise StopAsyncIteration from None
            if self._calls.closed:
                raise own(grpc.StatusCode.CANCELLED, "the client was closed") from None
            raise
        if answer is grpc.aio.EOF:
            raise StopAsyncIteration
        read: Response = answer
        return read

    def close(self) -> None:
        """Ends it."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> "AsyncStream[Response]":
        """Itself."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self.close()
