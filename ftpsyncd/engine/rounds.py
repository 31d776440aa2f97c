"""Which mappings have something to do in a turn: those that something came in about, and those whose time has come.

In: the names of mappings about which something came in, or was begun. Out: the mirrors that are gone on with, and those
whose folders are checked; when there will be something to do; the status of each, made anew if it may be another one.
So a turn costs what there is to do in it, however many mappings are at rest. Part of `loop`, on the engine's thread.

A mirror changes by what comes in about it, by the actions of it that are handed out, by time (`Mirror.next_due`), and
by what the others of its server do to what they share: the space there. Whoever does anything else with mirrors, such
as a person, says that it may be any of them (`stir_all`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from ftpsyncd.core.dues import Dues
from ftpsyncd.core.gate import Breaker
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.report import at_rest_until, mapping_status
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.status import MappingStatus

CHECK_EVERY_S = 3.0
CHECKED_TOGETHER = 1 / 10
"""Of that time: the folders that are due within it are checked together, since each turn costs some by itself."""


class Rounds:
    """What is known of all mappings between two turns.

    Args:
        mirrors: all there are, by name; those that come are told of by `stir_all`, those that go by `drop`.
    """

    def __init__(self, mirrors: Mapping[str, Mirror]) -> None:
        self._mirrors = mirrors
        self._ahead: dict[str, None] = {}
        """What is to be gone on with, what came first first."""
        self._moved: dict[str, None] = {}
        """What has been since it was noted when it is due."""
        self._dues = Dues()
        self._checks = Dues()
        """When the folder of each is checked."""
        self._unfinished: dict[str, None] = {}
        """Those that had not done all there was to do when that was last asked, or have moved since."""
        self._with_intents: dict[str, Mirror] = {}
        self._told: dict[str, tuple[MappingStatus, float]] = {}
        """The status of those at rest, and until when it stays true if nothing comes in."""
        self._full: set[str] = set()
        """Servers that are full."""
        self._all = True
        """Any of them may have changed, and which there are."""

    def __repr__(self) -> str:
        return f"<Rounds ahead={len(self._ahead)} due={self._dues!r} at_rest={len(self._told)}>"

    # ── what comes in ────────────────────────────────────────────────────────────────────────────────────────

    def stir(self, name: str) -> None:
        """Something came in about a mapping."""
        if name not in self._ahead:
            self._ahead[name] = None
            self._told.pop(name, None)

    def stir_all(self) -> None:
        """Any of them may have changed, and others may have come."""
        self._all = True
        self._told.clear()

    def began(self, name: str) -> None:
        """Something of a mapping may have left the queue, or come into it: what follows shows at the turn's end."""
        self._moved[name] = None
        self._told.pop(name, None)

    def drop(self, name: str) -> None:
        """A mapping is not here any more."""
        for each in (self._ahead, self._moved, self._unfinished, self._with_intents, self._told):
            each.pop(name, None)
        self._dues.put(name, None)
        # A check that nobody carries out would be due for ever, and the loop never rest.
        self._checks.put(name, None)

    # ── what is done in a turn ───────────────────────────────────────────────────────────────────────────────

    def to_check(self, now: float) -> list[Mirror]:
        """The mirrors whose folders are to be checked now: some at a time."""
        self._take_up_all()
        first = self._checks.first()
        if first is None or first > now:
            return []
        names = self._checks.take(now + CHECK_EVERY_S * CHECKED_TOGETHER)
        for name in names:
            self._checks.put(name, now + CHECK_EVERY_S * random.uniform(0.9, 1.1))  # noqa: S311
        return [self._mirrors[name] for name in names]

    def share(self, servers: Iterable[Server]) -> None:
        """Go on with all mappings of servers at which space is short, or was, or which are full, or were."""
        for server in servers:
            is_full = server.queue.gate.state is Breaker.FULL
            if server.queue.space or is_full is not (server.name in self._full):
                (self._full.add if is_full else self._full.discard)(server.name)
                for name, mirror in self._mirrors.items():
                    if mirror.queue is server.queue:
                        self.stir(name)

    def go_on(self, at: Moment, is_long: Callable[[], bool]) -> None:
        """Go on with what came in and what is due, until that has taken long enough (`cut_short`)."""
        self._take_up_all()
        for name in self._dues.take(at.now):
            self._ahead.setdefault(name)
        for name in list(self._ahead):
            del self._ahead[name]
            mirror = self._mirrors[name]
            self.began(name)
            mirror.pump(at)
            if mirror.intents:
                self._with_intents[name] = mirror
            if self._ahead and is_long():
                # Those behind it come first in the next turn.
                return

    def _take_up_all(self) -> None:
        if self._all:
            self._all = False
            for name in self._mirrors:
                self._ahead.setdefault(name)
                if self._checks.of(name) is None:
                    self._checks.put(name, 0.0)

    @property
    def cut_short(self) -> bool:
        """Not all that there was to go on with has had its turn."""
        return bool(self._ahead)

    def with_intents(self) -> Sequence[Mirror]:
        """The mirrors of which something was begun, and is not known to have ended: it may be asked about now."""
        for name in self._with_intents:
            self.began(name)
        return list(self._with_intents.values())

    def note(self) -> None:
        """The turn is over: note when those that moved in it have something to do."""
        for name in self._moved:
            mirror = self._mirrors[name]
            self._dues.put(name, mirror.next_due())
            self._unfinished[name] = None
            if mirror.intents:
                self._with_intents[name] = mirror
            else:
                self._with_intents.pop(name, None)
        self._moved.clear()

    # ── what is known of them ────────────────────────────────────────────────────────────────────────────────

    def next_check(self, now: float) -> float:
        """When a folder is to be checked, or might be: the engine is seen to turn, also when no check is under way."""
        due = self._checks.first()
        return now + CHECK_EVERY_S if due is None else min(due, now + CHECK_EVERY_S)

    def next_due(self) -> float | None:
        """When there will be something to go on with although nothing comes in; None: at no time."""
        return self._dues.first()

    def finished(self, now: float) -> bool:
        """Whether each of them has done all there was to do since it moved (`Mirror.finished`)."""
        for name in list(self._unfinished):
            if not self._mirrors[name].finished(now):
                return False
            del self._unfinished[name]
        return True

    def status(self, at: Moment) -> tuple[MappingStatus, ...]:
        """The status of each."""
        return tuple([self._status(name, mirror, at) for name, mirror in self._mirrors.items()])

    def _status(self, name: str, mirror: Mirror, at: Moment) -> MappingStatus:
        told = self._told.get(name)
        if told is not None and at.now < told[1]:
            return told[0]
        status = mapping_status(mirror, at)
        if not (self._all or name in self._ahead or name in self._moved):
            self._told[name] = status, at_rest_until(mirror, status, at.now)
        return status
