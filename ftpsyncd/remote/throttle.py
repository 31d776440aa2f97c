"""The bandwidth limit of a server, shared by its connections.

Each connection reserves the next free stretch of time for a portion, then waits until it begins: first come, first
served. Connections share fairly because their portions are equal, whichever way they send or fetch; time that passed
unused is not made up for later, but for what a busy machine is late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PORTION_S = 0.01
"""A portion takes about this long: a small file, which is less than one, takes its turn for little else."""
_SMALLEST = 1024
_LARGEST = 64 * 1024
"""Bytes. No way of sending may need less: who takes larger portions than others gets more of the rate."""
_LATE_S = 0.05
"""By so much a portion may be late without being lost: sleeps end late, and sending takes a while."""


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

    def limit(self, rate_bytes_s: int) -> None:
        """Have another rate from now on, for what is under way, too; see the constructor."""
        with self._lock:
            self._rate = rate_bytes_s
            # Who has taken a slow turn waits until that, and nobody else.
            self._free_at = self._clock()

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return bool(self._rate)

    def portion(self, most: int) -> int:
        """How many bytes to send next, at most ``most``; with a limit the same for all who could send as many."""
        rate = self._rate
        return min(most, _LARGEST, max(_SMALLEST, int(rate * _PORTION_S))) if rate else most

    def take(self, count: int) -> None:
        """Wait until ``count`` bytes may be sent."""
        if not self._rate:
            return
        with self._lock:
            if not self._rate:
                return
            now = self._clock()
            start = max(now - _LATE_S, self._free_at)
            self._free_at = start + count / self._rate
        if start > now:
            self._sleep(start - now)
