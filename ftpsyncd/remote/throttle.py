"""The bandwidth limit of a server, shared by its connections.

Each connection reserves the next free stretch of time for a portion, then waits until it begins: first come, first
served, so that connections share fairly, and no time that passed unused is made up for later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PORTION_S = 0.05
"""A portion takes about this long, so that no connection waits for long behind another."""


class Throttle:
    """Makes senders wait.

    Args:
        rate_bytes_s: bytes per second of all connections together; 0 is unlimited.
        clock: monotonic seconds.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        rate_bytes_s: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = rate_bytes_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def portion(self, most: int) -> int:
        """How many bytes to send at a time, at most ``most``."""
        return min(most, max(1024, int(self._rate * _PORTION_S))) if self._rate else most

    def take(self, count: int) -> None:
        """Wait until ``count`` bytes may be sent."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + count / self._rate
        if start > now:
            self._sleep(start - now)
