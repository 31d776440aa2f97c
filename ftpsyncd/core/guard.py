"""How many deletes may go out without a person. Pure.

A sliding window: deletes admitted during the last minute count, together with those that wait, against the limit.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class Guard:
    """Admits deletes up to a limit in a window of `WINDOW_S` seconds, or up to what a person approved."""

    def __init__(self) -> None:
        self._admitted: deque[tuple[float, int]] = deque()
        self._approved = 0

    def approve(self, count: int) -> None:
        """A person allows ``count`` deletes beyond the limit."""
        self._approved = count

    def allows(self, count: int, limit: int, now: float) -> bool:
        """Whether ``count`` deletes that wait together stay within the limit."""
        while self._admitted and self._admitted[0][0] <= now - WINDOW_S:
            self._admitted.popleft()
        if count <= self._approved:
            return True
        return sum(n for _, n in self._admitted) + count <= limit

    def admit(self, count: int, now: float) -> None:
        """``count`` deletes go out."""
        if self._approved >= count:
            self._approved -= count
            return
        self._admitted.append((now, count))

    def withdraw_approval(self) -> None:
        """Everything approved has been done or is no longer due."""
        self._approved = 0
