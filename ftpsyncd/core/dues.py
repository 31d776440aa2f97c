"""When each of many names is due: the first ones found without a look at the others. Pure.

A sorted list beside a dictionary. To move an entry in a list of a thousand takes a microsecond, and a heap would keep
what means nothing any more.

Times are monotonic seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter

_due_of = itemgetter(0)


class Dues:
    """Names with the time at which each is due."""

    __slots__ = ("_at", "_sorted")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._sorted: list[tuple[float, str]] = []

    def __repr__(self) -> str:
        return f"<Dues {len(self._at)}>"

    def of(self, name: str) -> float | None:
        """When a name is due; None if it is not."""
        return self._at.get(name)

    def put(self, name: str, due: float | None) -> None:
        """A name is due then, and not when it was before; None: at no time."""
        before = self._at.get(name)
        if due == before:
            return
        if before is not None:
            del self._sorted[bisect_left(self._sorted, (before, name))]
        if due is None:
            del self._at[name]
        else:
            self._at[name] = due
            insort(self._sorted, (due, name))

    def first(self) -> float | None:
        """When the first of them is due; None if none is."""
        return self._sorted[0][0] if self._sorted else None

    def take(self, until: float) -> list[str]:
        """The names that are due until then, the first ones first; they are due no more."""
        count = bisect_right(self._sorted, until, key=_due_of)
        taken = [name for _, name in self._sorted[:count]]
        del self._sorted[:count]
        for name in taken:
            del self._at[name]
        return taken
