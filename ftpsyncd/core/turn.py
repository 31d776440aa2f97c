"""In which order the actions of one mapping, and the directories that it compares, have their turn. Pure.

What was found in three ways takes turns, so that none waits for all of another: what was marked by itself, such as a
file that somebody has just changed; what is new as a whole, such as a folder that was dropped; and what a comparison of
everything finds. Within each, what was marked earlier comes first; of the same moment, what has the lesser name, a
directory's content right behind the directory itself. Names are compared by code points: `B` before `a`, `img10` before
`img2`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from ftpsyncd.actions import Action, MakeDir
from ftpsyncd.core.extent import Key

_LAST = "\U0010ffff"
"""A name behind all others."""


class Lane(IntEnum):
    """How something was found."""

    MARKED = 0
    """By itself, or because its directory was marked."""
    FRESH = 1
    """In a directory that is new, or was marked with all that is below it."""
    PASS = 2
    """In a comparison of everything."""


_MARKED = Lane.MARKED
_FROM = tuple(tuple(Lane((first + n) % len(Lane)) for n in range(len(Lane))) for first in Lane)
"""The lanes in turn, beginning with each of them."""


class Order(NamedTuple):
    """What decides, before the name, when something has its turn."""

    lane: Lane = Lane.MARKED
    since: float = 0.0
    """When it was marked, or the comparison began (monotonic seconds)."""


class Place(NamedTuple):
    """The place of an action in its lane; the lesser is first."""

    since: float
    name: str
    number: int
    """Of what has neither name nor time: in the order in which it came."""
    key: Key
    lane: Lane


def sorted_as(path: str) -> str:
    """A path as it is compared with others: what is in a directory comes before the directory's next sibling."""
    return path.replace("/", "\0")


def path_of(name: str) -> str:
    """Undo `sorted_as`; no path holds NUL."""
    return name.replace("\0", "/")


class Places:
    """The places of what waits at one server, and of what runs there and may have to wait again."""

    def __init__(self) -> None:
        self._places: dict[Key, Place] = {}
        self._number = 0
        self._newest = 0.0

    def give(self, action: Action, order: Order | None) -> Place:
        """A new place.

        Args:
            action: what is to have its turn.
            order: None: after all that was marked until now.
        """
        self._number += 1
        key = (action.mapping, action.path)
        if order is None:
            values = (self._newest, _LAST, self._number, key, _MARKED)
        else:
            lane, since = order
            if lane is _MARKED and since > self._newest:
                self._newest = since
            # Directories are made in advance: else what is in one had to wait, and others went before it.
            name = "" if isinstance(action, MakeDir) else sorted_as(action.path)
            values = (since, name, self._number, key, lane)
        # What Place(...) does, in half the time: there is one for every file.
        place = self._places[key] = tuple.__new__(Place, values)
        return place

    def of(self, key: Key) -> Place:
        """The place that was given."""
        return self._places[key]

    def drop(self, key: Key) -> None:
        """It is needed no more."""
        self._places.pop(key, None)


class _Line:
    """The places in one lane: those that came in their order, which are nearly all, and a heap of the others."""

    __slots__ = ("late", "row")

    def __init__(self) -> None:
        self.row: deque[Place] = deque()
        self.late: list[Place] = []

    def put(self, place: Place) -> None:
        if not self.row or self.row[-1] < place:
            self.row.append(place)
        else:
            heapq.heappush(self.late, place)

    def first(self) -> Place | None:
        """Take out the first one."""
        if self.late and (not self.row or self.late[0] < self.row[0]):
            return heapq.heappop(self.late)
        return self.row.popleft() if self.row else None

    def keep(self, wanted: Callable[[Place], bool]) -> None:
        self.row = deque(filter(wanted, self.row))
        self.late = list(filter(wanted, self.late))
        heapq.heapify(self.late)


class Turn:
    """The actions of one mapping that may have their turn; true while there are any."""

    def __init__(self) -> None:
        self._lines = tuple(_Line() for _ in Lane)
        self._in: dict[Key, Place] = {}
        self._stale = 0
        """Places in the lanes that mean nothing any more."""
        self._next = Lane.MARKED

    def __len__(self) -> int:
        return len(self._in)

    def add(self, place: Place) -> None:
        """Have an action wait for its turn at its place."""
        key = place.key
        before = self._in.get(key)
        if before is not place:
            if before is not None:
                self.discard(key)
            self._in[key] = place
            self._lines[place.lane].put(place)

    def discard(self, key: Key) -> None:
        """An action has no turn any more."""
        if self._in.pop(key, None) is not None:
            self._stale += 1
            if self._stale > len(self._in) + 64:
                self._stale = 0
                for line in self._lines:
                    line.keep(lambda place: self._in.get(place.key) is place)

    def lanes(self) -> list[Lane]:
        """The lanes that have any, the one whose turn it is first."""
        lines = self._lines
        return [lane for lane in _FROM[self._next] if lines[lane].row or lines[lane].late]

    def pop(self, lane: Lane) -> Place | None:
        """Take the first one out of a lane; None if there is none."""
        line = self._lines[lane]
        while (place := line.first()) is not None:
            if self._in.get(place.key) is place:
                del self._in[place.key]
                return place
            self._stale -= 1
        return None

    def had(self, lane: Lane) -> None:
        """A lane had its turn: the next one is another's."""
        self._next = _FROM[lane][1]
