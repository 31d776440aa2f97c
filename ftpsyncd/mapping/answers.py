"""What a mapping's disk has answered and is not compared yet, in the order in which it answered.

In: listings and reports. Out: the next of them; the comparison that is under way, which goes on some names at a time:
one of a hundred thousand names takes seconds, and the engine is there for other mappings, too. What was seen later is
taken up later, so that each comparison means what it would mean if it were made in one go. One per mapping, used by its
`mirror` on the engine's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

from ftpsyncd.local.changes import WatchReport
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Listing


class Answers:
    """The answers of one disk; true while any of them is not compared to its end."""

    def __init__(self) -> None:
        self._waiting: deque[Listing | WatchReport] = deque()
        self._under_way: Generator[None, Moment, None] | None = None

    def __bool__(self) -> bool:
        return self.comparing or bool(self._waiting)

    @property
    def comparing(self) -> bool:
        """Whether a comparison is not over."""
        return self._under_way is not None

    def put(self, answer: Listing | WatchReport) -> None:
        """The disk answered."""
        self._waiting.append(answer)

    def next(self) -> Listing | WatchReport | None:
        """Take out the next one; None if there is none, or what came before it is not over."""
        return self._waiting.popleft() if self._waiting and self._under_way is None else None

    def begin(self, comparison: Generator[None, Moment, None]) -> None:
        """Compare this before anything else is taken up.

        Args:
            comparison: waits for a moment, and goes on at each as far as one turn has room for; it ends when all is
                compared.
        """
        next(comparison)
        self._under_way = comparison

    def go_on(self, at: Moment) -> None:
        """Go on with the comparison that is under way, if there is one."""
        if self._under_way is None:
            return
        try:
            self._under_way.send(at)
        except StopIteration:
            self._under_way = None

    def drop(self) -> list[Listing]:
        """Nothing can be concluded from them any more; the listings that were not taken up."""
        dropped = [answer for answer in self._waiting if isinstance(answer, Listing)]
        self._waiting.clear()
        self._under_way = None
        return dropped
