"""Lives with `sync`: passes that end, or are killed, while no daemon runs, and what people decide between them.

Somebody asks behind each message, and after each turn, whether the pass is over. When it is said to be, it ends, and what
is told of it is the truth.
"""

from __future__ import annotations

from collections.abc import Iterable

from ftpsyncd.daemon.onepass import Progress, progress_of
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import Message
from ftpsyncd.engine.rounds import CHECK_EVERY_S
from ftpsyncd.mapping.site import Moment
from tests.model.life import Life

LONGEST_S = 5000.0
"""Longer than any pass."""
LOOKED_S = 1.0
"""In which who decides has looked at everything."""
LATER_S = 4000.0
"""Between passes, in the end: what has failed is tried again."""
PASSES = 4
"""In the end, until nothing is left to do but what something is in the way of."""


class Syncing(Life):
    """One in which passes come, while no daemon runs."""

    progress: Progress | None = None
    """Of the last pass; None: it was killed, or runs."""
    _awaited = False
    """Somebody asks whether it is over."""

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def sync(self) -> None:
        """A pass, until it is over or killed."""
        self.progress, self._awaited = None, True
        self._happened = self.counts.get("between two steps", 0)
        self.start()
        self._run(self.time.now + LONGEST_S)
        if self._engine is not None:
            raise self._broken(
                f"G3: a pass does not end: {progress_of(self._engine, self._engine._moment())}; {self._state}"
            )

    def decide(self, what: str) -> None:
        """A person decides something; it is noted for the next pass (`daemon.deciding`)."""
        self.performs = False
        try:
            self.start()
            self._run(self.time.now + LOOKED_S)
            getattr(self, what)()
            if what == "discard":
                self._run(self.time.now + LOOKED_S)
            self.quit()
        finally:
            self.performs = True

    def deliver(self, *, names_only: bool = False) -> bool:
        # Nobody watches during a pass.
        return not self.one_pass and super().deliver(names_only=names_only)

    # ── a pass ───────────────────────────────────────────────────────────────────────────────────────────────

    def _and_then(self, message: Message) -> Iterable[Message]:
        return (message, self._ask) if self._awaited else (message,)

    def turn(self) -> bool:
        told, engine = super().turn(), self._engine
        if self._awaited and engine is not None and not (self._turning or self._depth):
            self._ask(engine._moment())
            if self.progress is not None:
                self._passed()
                self.quit()
        return told

    def _due(self, engine: Engine) -> float:
        due = super()._due(engine)
        if not self.one_pass or all(server.queue.idle for server in engine.servers.values()):
            return due
        # It turns so often whatever happens, a little earlier or later.
        return min(due, self.time.now + 1.1 * CHECK_EVERY_S)

    def _ask(self, at: Moment) -> None:
        assert self._engine is not None
        progress = progress_of(self._engine, at)
        if progress.finished and self.progress is None:
            self.progress = progress

    def _die(self) -> None:
        super()._die()
        self._awaited = False

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def _has_done_all(self) -> bool:
        """Whether the pass says that nothing is left to do."""
        progress = self.progress
        assert progress is not None
        wanting = progress.failed or progress.held or progress.paused or progress.source_missing
        return not (wanting or progress.unavailable or progress.messages)

    def _passed(self) -> None:
        """A pass is over: where it has left nothing to anybody, and nobody changed anything meanwhile, all is equal."""
        if self._has_done_all() and self.counts.get("between two steps", 0) == self._happened:
            self._compare_files()


class Passing(Syncing):
    """One in which no daemon runs."""

    one_pass = True
    _to_come = 0
    """So many passes come in peace, until both sides are equal; 0: there is none."""

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def _pause(self, at_ns: int) -> None:
        # Nobody else has the ledger while a pass runs.
        if not self.performs:
            super()._pause(at_ns)

    def mend(self) -> None:
        self._mend_world()

    def be_equal(self) -> None:
        """All is well: some passes later nothing is left to do, and both sides are equal."""
        self.all_is_well()
        self._to_come = PASSES
        while True:
            self.time.now += LATER_S
            self.sync()
            if not self._to_come:
                return
            for what in ("resume", "approve", "retry"):
                self.decide(what)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def _passed(self) -> None:
        if self._to_come:
            self._to_come = 0 if self._has_done_all() and not self._is_anything_open() else self._to_come - 1
            if not self._to_come:
                self._compare_all()
        super()._passed()

    def _compare_all(self) -> None:
        """Both sides, and what is recorded, when all is well."""
        self._compare()
