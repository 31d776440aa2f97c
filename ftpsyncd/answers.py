"""What a mapping's disk has answered and is not compared yet, in the order in which it answered.

In: listings and reports. Out: the next of them; the comparison that is under way, which goes on some names at a time:
one of a hundred thousand names takes seconds, and the engine is there for other mappings, too. What was seen later is
taken up later, so that each comparison means what it would mean if it were made in one go. One per mapping, used by its
`mirror` on the engine's thread.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ftpsyncd.core.turn import Order
from ftpsyncd.local.changes import WatchReport
from ftpsyncd.model import Listing
from ftpsyncd.recorded import Comparison

NAMES_AT_ONCE = 500
"""Names of a directory that are decided about in one turn of the engine: some ten to twenty milliseconds."""


class UnderWay(NamedTuple):
    """A comparison that is not over."""

    comparison: Comparison
    order: Order
    """When what is found has its turn."""
    deep: bool
    """Go on into the subdirectories, all of them."""


class Answers:
    """The answers of one disk; true while any of them is not compared to its end."""

    def __init__(self) -> None:
        self._waiting: deque[Listing | WatchReport] = deque()
        self.under_way: UnderWay | None = None

    def __bool__(self) -> bool:
        return self.under_way is not None or bool(self._waiting)

    def put(self, answer: Listing | WatchReport) -> None:
        """The disk answered."""
        self._waiting.append(answer)

    def next(self) -> Listing | WatchReport | None:
        """Take out the next one; None if there is none, or what came before it is not over."""
        return self._waiting.popleft() if self._waiting and self.under_way is None else None

    def drop(self) -> list[Listing]:
        """Nothing can be concluded from them any more; the listings that were not taken up."""
        dropped = [answer for answer in self._waiting if isinstance(answer, Listing)]
        self._waiting.clear()
        self.under_way = None
        return dropped
