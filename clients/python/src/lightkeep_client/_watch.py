"""What both clients know of waiting for an operation."""

import math
from collections.abc import Callable

import grpc

from . import v1
from ._errors import LightkeepError, OperationFailed, own
from ._retry import Attempts, Retry

Progress = Callable[[v1.Operation], None]
ENDED = (v1.OPERATION_STATE_SUCCEEDED, v1.OPERATION_STATE_FAILED, v1.OPERATION_STATE_CANCELLED)
# A proxy that drops a stream ends it so, without a reason. Asking again only reads.
BROKEN = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


class Watch:
    """Follows one operation, over streams that may break, until a deadline."""

    def __init__(self, operation: v1.Operation | str, progress: Progress | None, timeout: float, retry: Retry) -> None:
        """Of an operation or its id; the timeout in seconds."""
        self._progress = progress
        # The deadline limits it, not a number: a server may be away for long while it is upgraded.
        self._attempts = Attempts(Retry(math.inf, retry.first_seconds, retry.longest_seconds), timeout)
        name = operation if isinstance(operation, str) else operation.operation_id
        self.request = v1.WatchOperationRequest(operation_id=name)

    def left(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return self._attempts.left()

    def saw(self, operation: v1.Operation) -> bool:
        """Tells of progress. Whether it has ended well; OperationFailed where it has ended otherwise."""
        self._attempts.begin_again()
        if self._progress is not None:
            self._progress(operation)
        if operation.state in ENDED and operation.state != v1.OPERATION_STATE_SUCCEEDED:
            raise OperationFailed(operation)
        return operation.state == v1.OPERATION_STATE_SUCCEEDED

    def broke(self, error: LightkeepError | None = None) -> float:
        """How many seconds to wait before the stream is asked for again; raises the error where it is not."""
        away = own(grpc.StatusCode.UNAVAILABLE, "the stream has ended before the operation")
        error = error or away
        pause = self._attempts.pause(away if error.code in BROKEN and not error.reason else error)
        if pause is None:
            raise error
        return pause
