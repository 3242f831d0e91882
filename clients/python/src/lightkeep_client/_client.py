"""The client that blocks."""

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from types import TracebackType

import grpc

from . import v1
from ._calls import Calls
from ._channel import OPTIONS, authorization, endpoint
from ._errors import LightkeepError
from ._retry import Retry
from ._services import Services
from ._watch import Progress, Watch


class Client(Services):
    """A server's services, for programs with threads. It may be used by many threads at once."""

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        ca_file: str | Path | None = None,
        timeout: float = 60.0,
        retry: Retry = Retry(),  # noqa: B008 # it is frozen
    ) -> None:
        """Connects at the first call.

        address: `http://HOST:PORT` (plain text) or `https://HOST:PORT` (TLS).
        token: the server's API key.
        ca_file: the CA certificates that count instead of the system's, PEM.
        timeout: seconds that a call may take where it says nothing itself and does not wait for work to end.
        retry: how calls that may be repeated are repeated while the server is away.
        """
        metadata = authorization(token)
        self._end = endpoint(address, ca_file)
        if self._end.credentials is None:
            self._channel = grpc.insecure_channel(self._end.target, OPTIONS)
        else:
            self._channel = grpc.secure_channel(self._end.target, self._end.credentials, OPTIONS)
        self._retry = retry
        self._calls = Calls(self._channel, metadata, timeout, retry)
        super().__init__(self._calls)

    def wait(self, operation: v1.Operation | str, *, progress: Progress | None = None, timeout: float = 3600.0) -> v1.Operation:
        """Waits until an operation has ended well, and gives it as it is then.

        While the server is away it asks again until the timeout (seconds) is over. `progress` is called with the operation now and at
        each change. OperationFailed where it has failed or was cancelled; the operation goes on where waiting ends before it.
        """
        watch = Watch(operation, progress, timeout, self._retry)
        with closing(self._seen(watch)) as states:
            for seen in states:
                if watch.saw(seen):
                    break
        return seen

    def _seen(self, watch: Watch) -> Generator[v1.Operation, None, None]:
        """The operation now and at each change, over streams that break. What happens to the reader is not taken for that."""
        while True:
            try:
                with self.operation.WatchOperation(watch.request, timeout=watch.left()) as stream:
                    yield from stream
            except LightkeepError as error:
                if self._calls.closed:
                    raise
                pause = watch.broke(error)
            else:
                pause = watch.broke()
            time.sleep(pause)

    def close(self) -> None:
        """Ends the connection and all that still runs over it."""
        self._calls.closed = True
        self._channel.close()

    def __enter__(self) -> "Client":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it."""
        self.close()
