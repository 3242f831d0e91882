"""Whether and when a call is made again."""

import math
import random
import time
from dataclasses import dataclass

import grpc

from ._errors import LightkeepError

# UNAVAILABLE with another reason is the outcome of the work itself, such as a target that is down: the same request has the same answer.
PASSING = {"", "SERVER_STOPPING", "DATABASE_UNAVAILABLE"}


@dataclass(frozen=True)
class Retry:
    """How often a call that may be repeated is made while the server is away, and how long to wait in between."""

    attempts: float = 5
    """How often in all; 1: no retry."""
    first_seconds: float = 0.2
    """The wait after the first failure. It doubles with each further one."""
    longest_seconds: float = 5.0
    """It gets no longer than this."""


class Attempts:
    """The attempts of one call, all within its deadline."""

    def __init__(self, retry: Retry, seconds: float) -> None:
        """Begins to count."""
        self._retry = retry
        self._ends = time.monotonic() + seconds
        self._failed = 0

    def left(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if math.isinf(self._ends) else max(0.0, self._ends - time.monotonic())

    def pause(self, error: LightkeepError) -> float | None:
        """How many seconds to wait before the next attempt; None where there is none."""
        self._failed += 1
        if error.code != grpc.StatusCode.UNAVAILABLE or error.reason not in PASSING or self._failed >= self._retry.attempts:
            return None
        longest = min(self._retry.longest_seconds, self._retry.first_seconds * 2.0 ** min(self._failed - 1, 30))
        # Many clients that wait for one server must not come back at once.
        pause = error.retry_seconds if error.retry_seconds is not None else longest * random.uniform(0.5, 1.0)
        return pause if pause < self._ends - time.monotonic() else None

    def begin_again(self) -> None:
        """The server has answered: what failed before counts no more."""
        self._failed = 0
