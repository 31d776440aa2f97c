"""The composition root: from a configuration to a running service, and its orderly end.

Order of start: lock, ledger, control socket (nobody is answered yet), engine, workers, disks (each starts its watcher),
answers at the control socket. Order of stop: control socket, disks, workers (transfers end or are abandoned), engine,
ledger, lock. The engine and all below it get specs, and know nothing of the configuration's classes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from ftpsyncd import descriptors
from ftpsyncd.claim import Claim, Lookout
from ftpsyncd.config import Config, Missing, UnansweredError, missing_secrets
from ftpsyncd.daemon.onepass import Progress, paused_message, progress_of
from ftpsyncd.daemon.reloading import TURN_S, Reload
from ftpsyncd.daemon.roster import Roster
from ftpsyncd.engine.board import ENGINE_STUCK_S
from ftpsyncd.engine.loop import Engine
from ftpsyncd.errors import CommandRefusedError, ConfigError, LedgerLostError, NoDescriptorError, UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.journal import Journal
from ftpsyncd.ledger.book import LEDGER
from ftpsyncd.ledger.recovery import Checkup, open_for_work
from ftpsyncd.local.disk import STOP_WAIT_S
from ftpsyncd.local.mounts import is_network_filesystem
from ftpsyncd.logs import logger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.status import MappingState, Status
from ftpsyncd.together import Together
from ftpsyncd.typed import Typed, typed_for

if TYPE_CHECKING:
    from ftpsyncd.daemon.outside import Outside

_T = TypeVar("_T")

STOP_S = 25.0
"""How long the service may take to stop, with its running transfers; TimeoutStopSec of the unit is longer."""
RECORD_S = 4.0
"""The engine has at least so long to record what was done, also where all that time is over."""
TURN_WAIT_S = 30.0
"""An engine that has not come to a reload by then does not get it."""
LOOK_AGAIN_S = 0.25
"""Who waits for the end of a pass looks so often: each look keeps the engine from its work, and the end is told."""


class Service:
    """A running service inside this process.

    Args:
        config: what to run.
        one_pass: end by itself when nothing is left to do (`sync`): no watching, no control socket.
        performs: False: begin nothing at a server, and look at no disk before `look`.
        mappings: only these; all if None.
        observe: is told every event besides the log.
        reload: has the configuration read again, and says what came of it; called by the control socket's threads.
        ended: is told when the engine has ended, by its thread.
        ending: whether the end is wanted: a reload that is under way does not keep it waiting.
    """

    def __init__(
        self,
        config: Config,
        *,
        one_pass: bool = False,
        performs: bool = True,
        mappings: Sequence[str] | None = None,
        observe: Callable[[Event], None] = lambda _event: None,
        reload: Callable[[], str] | None = None,
        ended: Callable[[], None] = lambda: None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config = config
        self.one_pass = one_pass
        self._performs = performs
        names = list(config.mappings) if mappings is None else list(mappings)
        for name in names:
            if name not in config.mappings:
                known = ", ".join(sorted(config.mappings))
                raise UsageError(f"there is no mapping {name!r}; there are: {known}")
        self._names = names
        self._socket = config.control.socket
        self._observe = observe
        self._ended = ended
        self._ending = ending
        self._journal = Journal()
        self._outside = None if one_pass else _outside(reload, typed_for(config.path, os.environ))
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._roster: Roster | None = None
        self._stop_by: float | None = None
        self.awaits = "the passwords"
        """What the start is about to do with a disk, in words."""
        self.unalerted: list[str] = []
        """Why alerts cannot be delivered, found at the start."""

    @property
    def engine(self) -> Engine:
        """The engine of a started service."""
        if self._engine is None:
            raise RuntimeError("the service is not running")
        return self._engine

    # ── start and stop ───────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start everything.

        Raises:
            LockHeldError: another ftpsyncd works on the same state directory.
            NoDescriptorError: fewer files may be open than anything needs.
            LedgerError: the ledger cannot be opened.
            ConfigError: a password is missing at every server that is needed, and not because of a disk.
            ControlError: the control socket cannot be made.
        """
        alerts = None if self.one_pass else self.config.alerts
        if descriptors.allowed() < descriptors.LEAST + descriptors.kept_for(alerts):
            raise NoDescriptorError(descriptors.too_few(self.config.mappings, self.config.servers, alerts))
        missing = self._missing_secrets() if self._performs else {}
        with ExitStack() as stack:
            self._stack = stack
            self.awaits = f"the state directory {self.config.state_dir}"
            claim = stack.enter_context(
                Claim(self.config.state_dir, believes_dates=not is_network_filesystem(self.config.state_dir))
            )
            stack.callback(lambda: self._journal.tell_counted(ended=True))
            ledger, notice = open_for_work(
                self.config.state_dir / LEDGER,
                keep_history_s=self.config.history_s,
                now=datetime.now().astimezone(),
                claim=claim,
            )
            stack.enter_context(ledger)
            if claim.open_to_all and not self.one_pass:
                logger.bind(event="state_dir").warning("{}", claim.open_to_all)
            if notice:
                self._emit(Event(EventKind.LEDGER, message=notice))
            engine = self._engine = Engine(
                ledger, self._emit, self._show, together=Together(), ended=self._ended, notice=notice
            )
            roster = self._roster = Roster(engine, self._emit, one_pass=self.one_pass, performs=self._performs)
            roster.build(self.config, self._names)
            if self._outside is not None:
                stack.callback(self._outside.stop)
                self.awaits = f"the control socket {self.config.control.socket}"
                self._outside.listen(self.config, engine)
            for server, problems in missing.items():
                engine.without(server, " | ".join(problem.words for problem in problems))
            stack.callback(lambda: engine.stop(max(RECORD_S, self._left_s())))
            engine.start()
            stack.callback(lambda: roster.stop_crews(self._left_s()))
            stack.callback(lambda: roster.stop_disks(min(STOP_WAIT_S, self._left_s())))
            if self._performs:
                roster.start()
            tend = (lambda: None) if self._outside is None else self._outside.tend
            stack.enter_context(Lookout(claim, engine.lost, tend))
            if self._outside is not None:
                if ledger.in_order:
                    # One that was not closed in order has been checked before anything else, or is new.
                    stack.enter_context(Checkup(ledger.path, engine.damaged))
                stack.callback(self._outside.stop)
                self._outside.start(self.config, engine)
            self._stack = stack.pop_all()

    def look(self) -> None:
        """Begin to look at the disks, where that was not begun with all else.

        Raises:
            ThreadLimitError: the system allows too few threads.
        """
        if self._roster is not None:
            self._roster.start()

    def _missing_secrets(self) -> dict[str, list[Missing]]:
        """The servers that have to wait for a secret; the others need not.

        Raises:
            ConfigError: none is left, nor one that waits for a disk only; names all that is missing.
        """
        missing = missing_secrets(self.config)
        needed = {self.config.mappings[name].server for name in self._names}
        lost = {name for name, problems in missing.items() if not all(problem.passes for problem in problems)}
        if needed and needed <= lost:
            raise ConfigError(*(problem.words for problems in missing.values() for problem in problems))
        self.unalerted = [problem.words for problem in missing.get("", [])]
        return {name: problems for name, problems in missing.items() if name in needed}

    def stop(self, asked_at: float | None = None) -> None:
        """Stop everything; transfers that do not end in time are done again at the next start.

        Args:
            asked_at: monotonic seconds; `STOP_S` later all must be over. None: now.
        """
        self._stop_by = (time.monotonic() if asked_at is None else asked_at) + STOP_S
        if self._engine is not None and isinstance(self._engine.failure, LedgerLostError):
            # Whoever has the ledger that is there now knows nothing of what still runs here.
            self._stop_by = time.monotonic()
        if self._roster is not None:
            self._roster.interrupt()
        self._stack.close()

    def _left_s(self) -> float:
        """How much of the time to stop is left; a moment in any case."""
        now = time.monotonic()
        if self._stop_by is None:
            self._stop_by = now + STOP_S
        return max(0.1, self._stop_by - now)

    def _emit(self, event: Event) -> None:
        self._journal(event)
        if self._outside is not None:
            self._outside.tell(event)
        self._observe(event)

    def _show(self, status: Status) -> None:
        # The engine turns, and shows how it is, every few seconds at least.
        self._journal.tell_counted()
        if self._outside is not None:
            self._outside.show(status)

    def move(self, config: Config) -> None:
        """Answer at the control socket of another configuration, before anything else of it is in force.

        Raises:
            ControlError: it cannot be made; the old one stays.
            CommandRefusedError: the engine does not turn, so that nothing can be put in force.
            FtpsyncdError: it has ended, because of this.
        """
        try:
            self._await_turn()
        except TimeoutError:
            self.require_engine()
            what = f"The disk of the state directory {self.config.state_dir} is slow, or does not answer"
            raise CommandRefusedError(
                f"{what}: nothing can be recorded now.", remedy="Reload again when it does."
            ) from None
        if self._outside is not None:
            self._outside.move(config.control.socket)
            self._socket = config.control.socket

    def _await_turn(self) -> None:
        """Wait until the engine has turned.

        Raises:
            TimeoutError: it has not for `TURN_WAIT_S`, or the end is wanted meanwhile.
        """
        deadline = time.monotonic() + TURN_WAIT_S
        while True:
            try:
                self.engine.ask(lambda _at: None, min(TURN_S, max(0.0, deadline - time.monotonic())))
            except TimeoutError:
                if self._ending() or not self.engine.alive or time.monotonic() >= deadline:
                    raise
            else:
                return

    def change(self, config: Config) -> str:
        """Run another configuration from now on; what did not change is not disturbed.

        Returns:
            One sentence that says what changed.

        Raises:
            FtpsyncdError: the engine has ended meanwhile, because of this.
        """
        try:
            return self._change(config)
        except TimeoutError:
            self.require_engine()
            # It has not come to it.
            return "the rest is for the next start, since the end is wanted"

    def _change(self, config: Config) -> str:
        if self._roster is None:
            raise RuntimeError("the service is not running")
        wanted, before = config, self.config
        control = before.control._replace(socket=self._socket)
        config = config._replace(state_dir=before.state_dir, control=control)
        found = Reload(self.engine, self._roster, self._ending).change(config)
        others = (("log", "log"), ("history", "history_s"), ("alerts", "alerts"))
        found.other = [key for key, name in others if getattr(config, name) != getattr(before, name)]
        found.other += ["control.socket"] * (control.socket != before.control.socket)
        later = ["state_dir"] * (wanted.state_dir != before.state_dir)
        later += [f"control.{key}" for key in control._fields if getattr(wanted.control, key) != getattr(control, key)]
        self.config = config
        if self._outside is not None:
            self._outside.change(config, self.engine)
        return found.sentence + (f"; `{'` and `'.join(later)}` from the next start on" if later else "")

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> Status:
        """Everything at this moment."""
        return self.engine.status

    def decisions(self) -> list[tuple[str, MappingState, str]]:
        """What a person has decided or is to decide about mappings, as the ledger has it: name, state, sentence."""
        mirrors = list(self.engine.mirrors.values())
        held = [(m.spec.name, MappingState.HELD, hold.message) for m in mirrors if (hold := m.removals.hold)]
        paused = [(m.spec.name, MappingState.PAUSED, paused_message(m.spec.name, 0)) for m in mirrors if m.paused]
        return [*held, *paused]

    def watching(self) -> bool:
        """Whether every mapping's watcher is up (or its folder is known to be missing)."""
        return self.engine.watching.is_set()

    def silent(self) -> bool:
        """Whether all watchers that are not up wait for disks that do not answer."""
        return self._roster is not None and self._roster.silent()

    def require_engine(self) -> None:
        """Raises what ended the engine, if something did."""
        if self.engine.failure is not None:
            raise self.engine.failure

    def turning(self) -> bool:
        """Whether the engine's loop has turned lately."""
        return time.monotonic() - self.engine.last_woken < ENGINE_STUCK_S

    def stuck(self) -> bool:
        """Whether a server's workers have done nothing for so long, though they have work, that they must hang."""
        return self._roster is not None and self._roster.stuck()

    def await_end(self, timeout_s: float) -> Progress:
        """For one pass: how far it is when nothing is left to do, or else when the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.engine.turned.wait(max(0.0, min(LOOK_AGAIN_S, deadline - time.monotonic())))
            self.engine.turned.clear()
            progress = self.progress()
            if progress.finished or time.monotonic() >= deadline:
                return progress

    def progress(self) -> Progress:
        """How far a `sync` is."""
        return self.asked(lambda at: progress_of(self.engine, at))

    def asked(self, question: Callable[[Moment], _T]) -> _T:
        """What the engine answers, however long that takes: the ledger's disk may be slow, or somebody have it locked.

        Raises:
            FtpsyncdError: it has ended, because of this.
        """
        while True:
            self.require_engine()
            try:
                return self.engine.ask(question, TURN_S, to_its_end=True)
            except TimeoutError:
                if not self.engine.alive:
                    self.require_engine()
                    raise


def _outside(reload: Callable[[], str] | None, typed: Typed) -> Outside:
    from ftpsyncd.daemon.outside import Outside  # noqa: PLC0415 - a `sync`, which nobody asks, need not load what answers

    return Outside(reload, typed)


def require_secrets(config: Config) -> None:
    """Make sure that every password can be read.

    Raises:
        UnansweredError: one cannot, because of its disk.
        ConfigError: one cannot, and has to be corrected; names all that cannot be read.
    """
    missing = [problem for problems in missing_secrets(config).values() for problem in problems]
    if missing:
        words = [problem.words for problem in missing]
        raise UnansweredError(*words, remedy="") if all(problem.passes for problem in missing) else ConfigError(*words)
