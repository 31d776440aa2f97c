"""The engine: one thread that owns all state and turns messages into work, and work into rows.

In: a mailbox of messages (changes and listings from the disks, outcomes from the workers, requests from people). Out:
actions handed to the crews, one commit per turn, a Status anybody may read. It waits on the mailbox until the next
deadline; nothing polls. Because it alone writes, there are no locks around the state and no order of events to fear:
every message only says what to look at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ftpsyncd.actions import Done, Failed, Outcome, Upload
from ftpsyncd.core.extent import Key
from ftpsyncd.core.gate import Breaker
from ftpsyncd.engine import answering
from ftpsyncd.engine.board import Board
from ftpsyncd.engine.counters import Counters
from ftpsyncd.engine.done import record_some
from ftpsyncd.engine.handout import Server, ask_what_is_left, busy, go_on_without, hand, many_small_files, take
from ftpsyncd.engine.mailbox import Mailbox, Message
from ftpsyncd.engine.outcomes import Outcomes
from ftpsyncd.engine.rounds import Rounds
from ftpsyncd.engine.shortage import AGAIN_S, Shortage
from ftpsyncd.engine.upkeep import Upkeep
from ftpsyncd.engine.wallclock import WallClock
from ftpsyncd.errors import FtpsyncdError, LedgerDamagedError, NoDescriptorError, Retry
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Clock, Moment
from ftpsyncd.model import Listing
from ftpsyncd.status import Status
from ftpsyncd.threads import begin
from ftpsyncd.together import Together

TURN_S = 0.1
"""A turn that has taken so long handles no further message, and goes on with no further mapping, before the next one:
what is to be handed out, and who asks, does not wait for all of them."""

_T = TypeVar("_T")


class Engine:
    """The owner of all mirrors, queues and the ledger.

    Args:
        ledger: opened for writing; closed by the caller after the engine has stopped.
        emit: takes events for the log; called on the engine's thread, must not block.
        show: takes each new status, likewise.
        clock: what time it is.
        together: where the threads run while there are many small files; None: where the kernel puts them.
        ended: is told, by the engine's thread, when it has ended.
        notice: that the ledger is a new one in place of another, for the status.
    """

    def __init__(
        self,
        ledger: Ledger,
        emit: Callable[[Event], None],
        show: Callable[[Status], None] = lambda _status: None,
        clock: Clock = Clock(),  # noqa: B008 - immutable
        together: Together | None = None,
        ended: Callable[[], None] = lambda: None,
        notice: str = "",
    ) -> None:
        self.ledger = ledger
        self._ended = ended
        self._clock = clock
        self._show = show
        self.emit = emit
        self.mirrors: dict[str, Mirror] = {}
        """Changed by what is asked (`ask`), and by `remove`; or before the start."""
        self.servers: dict[str, Server] = {}
        self.counters = Counters()
        self.started = clock.monotonic()
        self.last_turn = self.started
        self.failure: BaseException | None = None
        self.last_woken = self.started
        self.watching = threading.Event()
        self.turned = threading.Event()
        self.mailbox = Mailbox()
        self._together = together
        self._stopping = False
        self._idle, self._finished = True, False
        self.up_to_date = False
        """All that came in has been gone on with, in a turn that was not cut short: what follows from it is known."""
        self.whole = threading.Event()
        """Not while a reload has taken out mappings that it puts in again: nobody is told that there are none."""
        self.whole.set()
        self._reported: set[str] = set()
        self._rounds = Rounds(self.mirrors)
        self._outcomes = Outcomes(self._beside, self._rounds.stir)
        self._checked = 0
        """Folders that were checked in the last turn: their disks answer at about the same time."""
        self._wall = WallClock(clock, ledger.history.known_ns())
        self._upkeep = Upkeep(ledger, self._wall, emit)
        self._shortage = Shortage()
        self._board = Board(
            ledger, self.mirrors, self.servers, self._rounds, self._shortage, now=self.started, notice=notice
        )
        self._thread = threading.Thread(target=self._run, name="ftpsyncd-engine", daemon=True)

    def __repr__(self) -> str:
        return f"<Engine mappings={len(self.mirrors)} servers={len(self.servers)}>"

    # ── from other threads ───────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the engine's thread."""
        # Who asks before the first turn is over hears of what there is, too.
        self._board.renew(self._moment())
        begin(self._thread)

    def without(self, server: str, message: str) -> None:
        """Before the start: something is known to be missing, without which a server cannot be used yet."""
        if self.servers[server].queue.gate.failed(self._clock.monotonic(), Breaker.OFFLINE, message):
            self.emit(Event(EventKind.SERVER_OFFLINE, server=server, message=message))

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the loop after the turn that runs; what workers still deliver is dropped."""

        def end(_at: Moment) -> None:
            self._stopping = True

        self.mailbox.put(end)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def changed(self, mapping: str, changes: Changes) -> None:
        """A watcher noticed something."""
        self._comes_in(lambda at: self._on_changes(mapping, changes, at))

    def answered(self, mapping: str, answer: Listing | WatchReport | Exception) -> None:
        """A disk answered, or could not be asked yet, or cannot be asked any more."""
        self._comes_in(lambda at: self._on_answer(mapping, answer, at))

    def _comes_in(self, message: Message) -> None:
        def handle(at: Moment) -> None:
            self.up_to_date = self._finished = False
            message(at)

        self.mailbox.put(handle)

    def damaged(self, problem: str) -> None:
        """Somebody found that the ledger is damaged: the next start does without it."""

        def end(_at: Moment) -> None:
            self.ledger.distrust()
            raise LedgerDamagedError(f"the ledger {self.ledger.path} is damaged: {problem}")

        self.mailbox.put(end)

    def lost(self, error: BaseException) -> None:
        """Something is gone that it cannot do without, such as the ledger from its place: it ends of this."""

        def end(_at: Moment) -> None:
            raise error

        self.mailbox.put(end)

    def performed(self, server: str, outcome: Outcome) -> None:
        """A worker has an outcome."""
        self._comes_in(lambda at: self._on_outcome(server, outcome, at))

    def received(self, upload: Upload, ctime_ns: int) -> None:
        """A worker says that the server has begun to receive a large file."""
        self._comes_in(lambda at: self._on_received(upload, ctime_ns, at))

    def exposed(self, upload: Upload) -> None:
        """A worker is about to send a file under its final name."""
        self._comes_in(lambda at: self._on_exposed(upload, at))

    def connected(self, server: str) -> None:
        """A worker has a connection to a server again."""

        def note(_at: Moment) -> None:
            if server in self.servers:
                answering.connected(self.servers[server], self.emit)

        self.mailbox.put(note)

    def unheard(self, trouble: str) -> None:
        """Why people cannot be told of what needs them; nothing: they can."""

        def note(_at: Moment) -> None:
            self._board.unheard = trouble

        self.mailbox.put(note)

    def remove(self, mapping: str) -> Mirror:
        """Have nothing more to do with a mapping (engine's thread)."""
        self._rounds.drop(mapping)
        self._reported.discard(mapping)
        self._outcomes.tries.drop(mapping)
        return self.mirrors.pop(mapping)

    def ask(
        self,
        question: Callable[[Moment], _T],
        timeout_s: float = 30.0,
        wanted: Callable[[], bool] = lambda: True,
        *,
        to_its_end: bool = False,
    ) -> _T:
        """Run something on the engine's thread and return its result (`Mailbox.ask`).

        Raises:
            BegunError: the engine has begun with it and does not turn; it will be done.
            TimeoutError: the engine does not turn, or it is not wanted any more; it will not be done.
        """
        return self.mailbox.ask(self.about_any(question), timeout_s, wanted, to_its_end=to_its_end)

    def about_any(self, question: Callable[[Moment], _T]) -> Callable[[Moment], _T]:
        """A question that may change whatever it likes: only who asks knows of which mappings; it may tell of them."""

        def answer(at: Moment) -> _T:
            self._rounds.stir_all()
            try:
                return question(at)
            finally:
                self._rounds.stir_all()

        return answer

    def renew_status(self, timeout_s: float) -> None:
        """Have `status` tell of this moment.

        Raises:
            TimeoutError: the engine does not turn.
        """
        self.ask(self.tell_of, timeout_s)

    def tell_of(self, at: Moment) -> None:
        """On the engine's thread: have `status` tell of this moment."""
        if self.whole.is_set():
            self._board.renew(at)

    @property
    def status(self) -> Status:
        """The latest status; at most a quarter of a second old while things happen. If it is much older, it says so."""
        still_s = self._clock.monotonic() - self.last_woken
        return self._board.read(still_s)

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread.is_alive()

    # ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.turn(self._wait())
            self._upkeep.remember(self.servers.values(), self._moment(), at_once=True)
            self.ledger.commit()
        except BaseException as error:
            self.failure = error
        finally:
            if self._together is not None:
                self._together.part()
            self.watching.set()
            self.mailbox.close()
            self._ended()

    def _wait(self) -> list[Message]:
        """Messages, waiting for the first one until the next deadline."""
        now = self._clock.monotonic()
        # While the workers have much to do, what they say is handled together; so is what several disks say.
        many = self._checked > 1
        return self.mailbox.wait(self.next_due(now) - now, gather=lambda: many or busy(self.servers.values()))

    def next_due(self, now: float) -> float:
        """When there will be something to do although no message comes; in monotonic seconds, perhaps past."""
        dues = [self._rounds.next_check(now)]
        if self.ledger.overfull:
            return min(dues)
        if self._rounds.cut_short:
            dues.append(now)
        if (due := self._rounds.next_due()) is not None:
            dues.append(due)
        if (due := self._shortage.next_due(now)) is not None:
            dues.append(due)
        if not self._shortage.holds(now):
            dues.extend(due for server in self.servers.values() if (due := server.queue.next_due(now)) is not None)
        if self._board.last_due < self.last_turn or any(server.queue.in_flight for server in self.servers.values()):
            dues.append(self._board.next_due)
        return min(dues)

    def turn(self, messages: list[Message]) -> None:
        """Handle messages, ask for looks, hand out work, commit, publish the status."""
        at = self._moment()
        self.last_woken = at.now
        self._handle(messages, at)
        self._look(at)
        servers = list(self.servers.values())
        self._upkeep.remember(servers, at)
        if (event := self._shortage.over(at.now)) is not None:
            self.emit(event)
        able = [] if self._shortage.holds(at.now) else servers
        rounds = self._rounds
        handed = [(server, take(server, self.mirrors, self.ledger, at, rounds.began)) for server in able]
        unsettled = rounds.with_intents()
        for server in able:
            ask_what_is_left(server, unsettled, at)
        if self._together is not None:
            self._together.tend(at.now, wanted=many_small_files(servers))
        self._upkeep.prune(at)
        # Committed before anything is handed out: a temporary file is known before it can exist.
        self.ledger.commit()
        self._upkeep.tell_trouble(servers)
        for server, (actions, afresh) in handed:
            hand(server, actions, afresh=afresh)
        if messages or any(actions for _, (actions, _) in handed):
            self.last_turn = at.now
        rounds.note()
        idle = all(server.queue.idle for server in servers)
        if idle and not self._idle:
            self._outcomes.tries.rest(self._is_failing)
        finished = idle and not rounds.cut_short and rounds.finished(at.now)
        if at.now >= self._board.next_due:
            self._board.last_due = at.now
            self.tell_of(at)
            self._show(self._board.latest)
            self.turned.set()
        elif (idle and not self._idle) or (finished and not self._finished):
            # Who waits for this need not wait for the next status.
            self.turned.set()
        self._idle, self._finished, self.up_to_date = idle, finished, not rounds.cut_short

    def _handle(self, messages: list[Message], at: Moment) -> None:
        for number, message in enumerate(messages):
            if number and self._is_long(at):
                self.mailbox.put_back(messages[number:])
                return
            message(at)

    def _is_long(self, at: Moment) -> bool:
        """Whether this turn has taken long enough."""
        return self._clock.monotonic() - at.now > TURN_S

    def _look(self, at: Moment) -> None:
        """Ask the disks for what is due, and go on with what they answered."""
        self._checked = 0
        for mirror in self._rounds.to_check(at.now):
            self._checked += 1
            if not mirror.check_source(at.now):
                self._rounds.stir(mirror.spec.name)
                go_on_without(self.servers[mirror.spec.server], mirror)
        if not self.ledger.overfull:
            self._rounds.share(self.servers.values())
            self._rounds.go_on(at, lambda: self._is_long(at))

    def _moment(self) -> Moment:
        steps = self._wall.steps
        at = self._wall.moment(lambda: max((m.spec.settle_s for m in self.mirrors.values()), default=0.0))
        if self._wall.steps != steps:
            for server in self.servers.values():
                server.queue.gate.clock_was_set(at.now)
            for mirror in self.mirrors.values():
                mirror.clock_was_set(self._wall.last_step, at.now)
            self._rounds.stir_all()
        return at

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────

    def _stirred(self, mapping: str) -> Mirror | None:
        """The mirror about which something came in; None: it is not there any more."""
        mirror = self.mirrors.get(mapping)
        if mirror is not None:
            self._rounds.stir(mapping)
        return mirror

    def _on_changes(self, mapping: str, changes: Changes, at: Moment) -> None:
        mirror = self._stirred(mapping)
        if mirror is not None:
            mirror.on_changes(changes, at)

    def _on_answer(self, mapping: str, answer: Listing | WatchReport | Exception, at: Moment) -> None:
        mirror = self._stirred(mapping)
        if mirror is None:
            return
        if isinstance(answer, FtpsyncdError) and answer.retry is Retry.MACHINE:
            mirror.looks.heard()
            if isinstance(answer, NoDescriptorError):
                self._lacks(answer, at)
            else:
                # This folder is not watched for it; all else goes on, and so does who waits for the start.
                self._lacks(answer, at, pause_s=0.0)
                self._has_reported(mapping)
            return
        if isinstance(answer, Exception):
            raise answer
        mirror.on_answer(answer, at)
        if isinstance(answer, Listing):
            return
        self._has_reported(mapping)

    def _has_reported(self, mapping: str) -> None:
        """It is known of a folder whether it is watched."""
        self._reported.add(mapping)
        if not self.watching.is_set() and self._reported >= self.mirrors.keys():
            self.watching.set()

    def _on_outcome(self, server_name: str, outcome: Outcome, at: Moment) -> None:
        server = self.servers.get(server_name)
        if server is None:
            return
        action = outcome.action
        mirror = self._stirred(action.mapping)
        if mirror is not None and isinstance(outcome, Done) and record_some(mirror, outcome):
            # As if it had ended later: others have their turns between.
            self.performed(server_name, outcome)
            return
        if isinstance(outcome, Failed) and outcome.error.retry is Retry.MACHINE:
            self._lacks(outcome.error, at)
        answering.performed(server, outcome, at.now, self.emit)
        requeue = False
        if mirror is not None:
            requeue = self._outcomes.apply(mirror, outcome, at)
            self.counters.count(outcome)
        elif server.leftovers:
            server.leftovers.over(outcome, at.now)
        server.queue.finish(action, requeue=requeue)

    def _lacks(self, error: FtpsyncdError, at: Moment, pause_s: float = AGAIN_S) -> None:
        """This process could not open something: for a moment nothing is begun, and then over one connection less."""
        known = bool(self._shortage)
        if not self._shortage.noted(error, at.now, pause_s):
            return
        for server in self.servers.values():
            server.queue.gate.lower_cap(at.now)
            server.crew.spare()
        if not known:
            message = f"{error.message} Nothing is lost: what is to be done waits until that is possible."
            self.emit(Event(EventKind.SHORTAGE, message=message, remedy=error.remedy))

    def _beside(self, mirror: Mirror) -> list[Mirror]:
        """The other mappings that publish to the same server."""
        server = mirror.spec.server
        return [each for each in self.mirrors.values() if each.spec.server == server and each is not mirror]

    def _is_failing(self, key: Key) -> bool:
        """Whether something has failed, and is tried again, or waits for a person."""
        mapping, path = key
        mirror = self.mirrors.get(mapping)
        return mirror is not None and self.ledger.failures.tries(mirror.id, path) > 0

    def _on_received(self, upload: Upload, ctime_ns: int, at: Moment) -> None:
        mirror = self._stirred(upload.mapping)
        if mirror is not None:
            # It is recorded at the end of this turn; until then a crash means that the file is sent whole.
            mirror.intents.received(upload, ctime_ns)
            answering.received(self.servers[mirror.spec.server], at.now, self.emit)

    def _on_exposed(self, upload: Upload, at: Moment) -> None:
        mirror = self._stirred(upload.mapping)
        if mirror is not None:
            mirror.intents.exposures.begun(upload, at)
