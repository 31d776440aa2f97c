"""What the parts of one mapping share on the engine's thread, and the moment at which it is its turn.

Handed down by the engine and the `mirror`; nothing here decides anything.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec

QUEUE_ROOM = 1000
"""No further directory is gone through while this many actions of the mapping wait: an outage costs no memory."""

STEP_S = 1.0
"""The wall clock has been set if it is further from the other one than before by more than this."""


def slept_s() -> float:
    """For how long this machine has slept since it was started, where it tells (Linux)."""
    if sys.platform != "linux":
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


class Clock(NamedTuple):
    """Where the engine asks for the time."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds, but for those that the machine sleeps."""
    wall_ns: Callable[[], int] = time.time_ns
    slept_s: Callable[[], float] = slept_s
    """For how long the machine has slept: meanwhile the wall clock went on without being set."""


class Moment(NamedTuple):
    """The clocks at one turn of the engine."""

    now: float
    """Monotonic seconds."""
    wall_ns: int
    wall_trusted: bool = True
    """False for a while after the wall clock was stepped."""
    wall_goes_s: float = math.inf
    """For how long the wall clock has not been set: what it says of before is of another time. Infinite if it was not
    since the daemon started: of before that, nobody knows."""


class Waiting(NamedTuple):
    """What waits in a mapping for longest."""

    since: float
    """Monotonic seconds."""
    told: str
    """Which path it is, and what it waits for; empty where that is told among what failed."""


class Step(NamedTuple):
    """The wall clock was set: what was noted by it before is of another time."""

    since_ns: int
    """Right before the daemon was started, by the clock as it went then."""
    until_ns: int
    """What that said right before it was set."""
    by_ns: int
    """How far it was set forward."""

    def redated(self, moment_ns: int) -> int:
        """A moment as the clock that is set now would have noted it; the same, if it is not of this run."""
        return moment_ns + self.by_ns if self.since_ns <= moment_ns <= self.until_ns else moment_ns


_T = TypeVar("_T")

Slices = Generator[None, Moment, tuple[_T, Moment]]
"""Work that may take seconds, done in slices of some ten milliseconds: each ``yield`` ends what one turn of the engine
has room for, and gets the moment of the next one. At the end, what came of it, and the moment at which that was."""


class Site(NamedTuple):
    """What the parts of one mapping share."""

    spec: MappingSpec
    id: int
    """Of the mapping in the ledger."""
    ledger: Ledger
    queue: Queue
    folder: Folder
    dirty: Dirty
    emit: Callable[[Event], None]
    today: Callable[[], str]
    """The date under which ``deletes: trash`` files things."""
    moves: Moves
    one_pass: bool = False
    """A `sync` that ends: files that are not ready are reported, not awaited."""
    performs: bool = True
    """False: people's decisions are noted, and nothing is begun."""

    def tell(
        self,
        kind: EventKind,
        path: str = "",
        message: str = "",
        *,
        at_ns: int = 0,
        again: bool | None = None,
        quietly: bool = False,
        **more: object,
    ) -> None:
        """Tell the log, and the history where it is something for it, about something in this mapping.

        Args:
            kind: what happened.
            path: to what; empty: to the mapping.
            message: one sentence.
            at_ns: wall clock; now if 0.
            again: see `history.History.record`.
            quietly: tell the history only.
            more: further fields of the event.
        """
        event = Event(kind, self.spec.name, path, self.spec.server, message, **more)  # type: ignore[arg-type]
        self.ledger.history.record(self.id, event, at_ns or time.time_ns(), again=again)
        if not quietly:
            self.emit(event)
