"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType

import grpc.aio

from . import v1
from ._async_calls import AsyncCalls
from ._async_services import AsyncServices
from ._channel import OPTIONS, authorization, endpoint
from ._errors import LightkeepError
from ._retry import Retry
from ._watch import Progress, Watch


class AsyncClient(AsyncServices):
    """A server's services, for programs with asyncio. It belongs to the event loop in which it is made."""

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        ca_file: str | Path | None = None,
        timeout: float = 60.0,
        retry: Retry = Retry(),  # noqa: B008 # it is frozen
    ) -> None:
        """Connects at the first call. The arguments are those of `Client`."""
        metadata = authorization(token)
        self._end = endpoint(address, ca_file)
        if self._end.credentials is None:
            self._channel = grpc.aio.insecure_channel(self._end.target, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(self._end.target, self._end.credentials, OPTIONS)
        self._retry = retry
        self._calls = AsyncCalls(self._channel, metadata, timeout, retry)
        super().__init__(self._calls)

    async def wait(self, operation: v1.Operation | str, *, progress: Progress | None = None, timeout: float = 3600.0) -> v1.Operation:
        """Waits until an operation has ended well, and gives it as it is then. As `Client.wait`."""
        watch = Watch(operation, progress, timeout, self._retry)
        async with aclosing(self._seen(watch)) as states:
            async for seen in states:
                if watch.saw(seen):
                    break
        return seen

    async def _seen(self, watch: Watch) -> AsyncGenerator[v1.Operation, None]:
        """As that of `Client`."""
        while True:
            try:
                async with self.operation.WatchOperation(watch.request, timeout=watch.left()) as stream:
                    async for seen in stream:
                        yield seen
            except LightkeepError as error:
                if self._calls.closed:
                    raise
                pause = watch.broke(error)
            else:
                pause = watch.broke()
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Ends the connection and all that still runs over it."""
        self._calls.closed = True
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        """Itself."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it."""
        await self.close()
