"""What is seen to beside the work, at every turn of the engine: old receipts, what was learned of servers, a full disk.

In: the moment of a turn, and the servers. Out: rows of the ledger that come and go, and events. Part of `engine`, on
its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ftpsyncd.engine import answering
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.wallclock import WallClock
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment

REMEMBER_EVERY_S = 0.25
"""What is learned of a server is kept so often: it may change with every file."""
PRUNE_ROWS = 1000
"""Old receipts dropped in one turn of the loop: some milliseconds."""
PRUNE_EVERY_S = 600.0
PRUNE_AGAIN_S = 1.0
"""Until the next step while there are more."""


class Upkeep:
    """What is kept in the ledger and told of it, beside what is published.

    Args:
        ledger: open for writing.
        wall: the time of day.
        emit: takes events for the log.
    """

    def __init__(self, ledger: Ledger, wall: WallClock, emit: Callable[[Event], None]) -> None:
        self._ledger = ledger
        self._wall = wall
        self._emit = emit
        self._prune_at = 0.0
        self._remembered_at = 0.0
        self._trouble = ""
        """Why the ledger could not be written at the last turn."""

    def __repr__(self) -> str:
        return f"<Upkeep prune_at={self._prune_at} trouble={self._trouble!r}>"

    def prune(self, at: Moment) -> None:
        """Drop receipts that are too old, a few at a time; not by a clock that is years ahead after a start."""
        if at.now < self._prune_at or not at.wall_trusted:
            return
        history = self._ledger.history
        # Without a history all that there is goes, whatever time it is.
        today_ns = self._wall.surely_ns(at) if history.keep_s else at.wall_ns
        more = history.prune(today_ns, PRUNE_ROWS) == PRUNE_ROWS
        self._prune_at = at.now + (PRUNE_AGAIN_S if more else PRUNE_EVERY_S)

    def remember(self, servers: Iterable[Server], at: Moment, *, at_once: bool = False) -> None:
        """Have the ledger keep what was learned of the servers, unless it has just done so."""
        if not at_once and at.now < self._remembered_at + REMEMBER_EVERY_S:
            return
        self._remembered_at = at.now
        for server in servers:
            if server.keeper is not None:
                server.keeper.profile.cap = server.queue.gate.lowered_to
                text = server.keeper.tend(at.wall_ns / 1e9)
                if text is not None:
                    self._ledger.put_profile(server.account, text)
                answering.learned(server, self._emit)

    def tell_trouble(self, servers: Iterable[Server]) -> None:
        """Say that the ledger cannot be written, or that it can be again.

        Meanwhile nothing but additions is begun: a crash would cost them no more than another look at the server,
        where a rename or a delete that no record tells of could not be told from somebody else's.
        """
        trouble, before = self._ledger.trouble, self._trouble
        self._trouble = trouble
        for server in servers:
            server.queue.only_additions = bool(trouble)
        if trouble and not before:
            message = f"{trouble}; files are published and recorded later, renames and deletes wait"
            remedy = "Free space on the disk of the state directory."
            self._emit(Event(EventKind.LEDGER, message=message, remedy=remedy))
        elif before and not trouble:
            self._emit(Event(EventKind.LEDGER_BACK, message="the ledger can be written again; what waited is recorded"))
