"""The engine: one thread that owns all state and turns messages into work, and work into rows.

In: a mailbox of messages (changes and listings from the disks, outcomes from the workers, requests from people). Out:
actions handed to the crews, one commit per turn, a Status anybody may read. It waits on the mailbox until the next
deadline; nothing polls. Because it alone writes, there are no locks around the state and no order of events to fear:
every message only says what to look at.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ftpsyncd import __version__
from ftpsyncd.core.schedule import Breaker, Queue
from ftpsyncd.errors import LedgerDamagedError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mirror import Mirror
from ftpsyncd.model import (
    Action,
    Delete,
    Did,
    Done,
    Failed,
    Kind,
    Listing,
    MakeDir,
    Outcome,
    Probe,
    RemoveDir,
    Rename,
    RenameDir,
    Upload,
)
from ftpsyncd.outcomes import Outcomes, apply_to_server
from ftpsyncd.publish import Progress
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.removals import Clock, Moment
from ftpsyncd.report import mapping_status, problems_of, server_status, transfer_of, unreadable_of
from ftpsyncd.status import DaemonStatus, Status
from ftpsyncd.threads import begin
from ftpsyncd.together import Together

CHECK_EVERY_S = 3.0
STATUS_EVERY_S = 0.25
ENGINE_STUCK_S = 60.0
"""An engine whose loop has not turned for so long is not alive."""
TURN_MESSAGES = 512
"""Messages handled before the engine hands out work and commits."""
BUSY_ACTIONS = 16
"""Actions handed out from which on the engine gathers messages."""
GATHER_S = 0.005
SMALL_ON_AVERAGE = 128 * 1024
"""Bytes of a file up to which most of its cost is the interpreter's."""
CLOCK_STEP_S = 1.0
PRUNE_ROWS = 1000
"""Old receipts dropped in one turn of the loop: some milliseconds."""
PRUNE_EVERY_S = 600.0
PRUNE_AGAIN_S = 1.0
"""Until the next step while there are more."""

_T = TypeVar("_T")


class BegunError(TimeoutError):
    """What was asked of the engine was not over in time, but has begun."""


class Hands(Protocol):
    """Who performs actions at one server (`crew.Crew`)."""

    @property
    def connections(self) -> int:
        """Open connections."""

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        """Take actions, and be ready for as many files at a time as are expected."""

    def recall(self, mapping: str) -> list[Action]:
        """Take back what was handed over for a mapping and nobody has begun."""

    def give_up(self, mapping: str) -> None:
        """The disk of a mapping does not answer: wait for nobody who waits for it."""

    def transfers(self) -> list[Progress]:
        """Files on their way."""


@dataclass(slots=True)
class Server:
    """One server as the engine sees it."""

    name: str
    queue: Queue
    crew: Hands
    account: str = ""
    """Under which the ledger keeps what is learned of it."""
    keeper: Keeper | None = None


@dataclass(slots=True)
class Counters:
    """What was done since the start."""

    files: int = 0
    bytes: int = 0
    deletes: int = 0
    renames: int = 0
    """Of files, and of directories with all that is in them."""
    failures: int = 0


class Engine:
    """The owner of all mirrors, queues and the ledger.

    Args:
        ledger: opened for writing; closed by the caller after the engine has stopped.
        emit: takes events for the log; called on the engine's thread, must not block.
        show: takes each new status, likewise.
        clock: what time it is.
        together: where the threads run while there are many small files; None: where the kernel puts them.
    """

    def __init__(
        self,
        ledger: Ledger,
        emit: Callable[[Event], None],
        show: Callable[[Status], None] = lambda _status: None,
        clock: Clock = Clock(),  # noqa: B008 - immutable
        together: Together | None = None,
    ) -> None:
        self.ledger = ledger
        self._clock = clock
        self._show = show
        self.emit = emit
        self.mirrors: dict[str, Mirror] = {}
        self.servers: dict[str, Server] = {}
        self.counters = Counters()
        self.started = clock.monotonic()
        self.last_turn = self.started
        self.failure: BaseException | None = None
        self.last_woken = self.started
        self.watching = threading.Event()
        self.turned = threading.Event()
        self._mailbox: queue.SimpleQueue[Callable[[Moment], None]] = queue.SimpleQueue()
        self._outcomes = Outcomes()
        self._together = together
        self._stopping = False
        self._idle, self._finished = True, False
        self._reported: set[str] = set()
        self._check_at: dict[str, float] = {}
        self._status = Status(DaemonStatus(True, os.getpid(), __version__, 0.0), (), (), ())  # noqa: FBT003
        self._status_at = 0.0
        self._prune_at = 0.0
        self._remembered_at = 0.0
        self._clock_offset_s = clock.wall_ns() / 1e9 - self.started
        self._unrecorded = ""
        """Why the ledger could not be written at the last turn."""
        self._distrust_wall_until = 0.0
        self._thread = threading.Thread(target=self._run, name="ftpsyncd-engine", daemon=True)

    def __repr__(self) -> str:
        return f"<Engine mappings={len(self.mirrors)} servers={len(self.servers)}>"

    # ── from other threads ───────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the engine's thread."""
        # Who asks before the first turn is over hears of what there is, too.
        self._status = self._snapshot(self._moment())
        begin(self._thread)

    def without(self, server: str, message: str) -> None:
        """Before the start: something is known to be missing, without which a server cannot be used yet."""
        if self.servers[server].queue.server_failed(self._clock.monotonic(), Breaker.OFFLINE, message):
            self.emit(Event(EventKind.SERVER_OFFLINE, server=server, message=message))

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the loop after the turn that runs; what workers still deliver is dropped."""

        def end(_at: Moment) -> None:
            self._stopping = True

        self._mailbox.put(end)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def changed(self, mapping: str, changes: Changes) -> None:
        """A watcher noticed something."""
        self._mailbox.put(lambda at: self._on_changes(mapping, changes, at))

    def answered(self, mapping: str, answer: Listing | WatchReport) -> None:
        """A disk answered."""
        self._mailbox.put(lambda at: self._on_answer(mapping, answer, at))

    def damaged(self, problem: str) -> None:
        """Somebody found that the ledger is damaged: the next start does without it."""

        def end(_at: Moment) -> None:
            self.ledger.distrust()
            raise LedgerDamagedError(f"the ledger {self.ledger.path} is damaged: {problem}")

        self._mailbox.put(end)

    def performed(self, server: str, outcome: Outcome) -> None:
        """A worker has an outcome."""
        self._mailbox.put(lambda at: self._on_outcome(server, outcome, at))

    def received(self, upload: Upload, ctime_ns: int) -> None:
        """A worker says that the server has begun to receive a large file."""
        self._mailbox.put(lambda _at: self._on_received(upload, ctime_ns))

    def rescan(self) -> None:
        """Compare everything again."""

        def mark(at: Moment) -> None:
            for mirror in self.mirrors.values():
                mirror.dirty.mark_deep("", at.now)

        self._mailbox.put(mark)

    def remove(self, mapping: str) -> Mirror:
        """Have nothing more to do with a mapping (engine's thread)."""
        # A check that nobody carries out would be due for ever, and the loop never rest.
        self._check_at.pop(mapping, None)
        self._reported.discard(mapping)
        return self.mirrors.pop(mapping)

    def ask(self, question: Callable[[Moment], _T], timeout_s: float = 30.0) -> _T:
        """Run something on the engine's thread and return its result.

        Raises:
            BegunError: the engine has begun with it and does not turn; it will be done.
            TimeoutError: the engine does not turn; it will not be done.
        """
        future: Future[_T] = Future()

        def answer(at: Moment) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(question(at))
            except Exception as error:
                future.set_exception(error)

        self._mailbox.put(answer)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            if future.cancel():
                raise
            if future.done():
                return future.result()
            raise BegunError from None

    def renew_status(self, timeout_s: float = 30.0) -> None:
        """Have `status` tell of this moment.

        Raises:
            TimeoutError: the engine does not turn.
        """
        self.ask(self.tell_of, timeout_s)

    def tell_of(self, at: Moment) -> None:
        """On the engine's thread: have `status` tell of this moment."""
        self._status = self._snapshot(at)

    @property
    def status(self) -> Status:
        """The latest status; at most a quarter of a second old while things happen."""
        return self._status

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread.is_alive()

    # ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.turn(self._wait())
            self._remembered_at = 0.0
            self._remember(self._moment())
            self.ledger.commit()
        except BaseException as error:
            self.failure = error
        finally:
            if self._together is not None:
                self._together.part()
            self.watching.set()

    def _wait(self) -> list[Callable[[Moment], None]]:
        """Messages, waiting for the first one until the next deadline."""
        now = self._clock.monotonic()
        due = self._next_due(now)
        try:
            messages = [self._mailbox.get(timeout=max(0.0, due - now))]
        except queue.Empty:
            return []
        if sum(server.queue.in_flight for server in self.servers.values()) >= BUSY_ACTIONS:
            # The workers have more to do: what they say meanwhile is handled, and committed, together.
            time.sleep(GATHER_S)
        messages.extend(self.mail(TURN_MESSAGES - 1))
        return messages

    def mail(self, most: int = TURN_MESSAGES) -> list[Callable[[Moment], None]]:
        """The messages that are there, without waiting; whoever turns the engine by hand passes them to `turn`."""
        messages: list[Callable[[Moment], None]] = []
        while len(messages) < most:
            try:
                messages.append(self._mailbox.get_nowait())
            except queue.Empty:
                break
        return messages

    def _next_due(self, now: float) -> float:
        dues = [now + CHECK_EVERY_S, *self._check_at.values()]
        if self.ledger.overfull:
            return min(dues)
        dues.extend(due for mirror in self.mirrors.values() if (due := mirror.next_due()) is not None)
        dues.extend(due for server in self.servers.values() if (due := server.queue.next_due(now)) is not None)
        if self._status_at < self.last_turn or any(server.queue.in_flight for server in self.servers.values()):
            dues.append(self._status_at + STATUS_EVERY_S)
        return min(dues)

    def turn(self, messages: list[Callable[[Moment], None]]) -> None:
        """Handle messages, ask for looks, hand out work, commit, publish the status."""
        at = self._moment()
        self.last_woken = at.now
        for message in messages:
            message(at)
        self._look(at)
        self._remember(at)
        handed = [(server, self._take(server, at)) for server in self.servers.values()]
        if self._together is not None:
            self._together.tend(at.now, wanted=self._many_small_files())
        self._prune(at)
        # Committed before anything is handed out: a temporary file is known before it can exist.
        self.ledger.commit()
        self._tell_trouble()
        for server, (actions, afresh) in handed:
            startable = [action for action in actions if self._may_start(server, action)]
            if startable:
                expected = 0 if afresh else min(server.queue.cap, server.queue.backlog()[0])
                server.crew.hand(startable, afresh=afresh, expected=expected)
        if messages or any(actions for _, (actions, _) in handed):
            self.last_turn = at.now
        idle = all(server.queue.idle for server in self.servers.values())
        finished = idle and all(mirror.finished(at.now) for mirror in self.mirrors.values())
        if at.now >= self._status_at + STATUS_EVERY_S:
            self._status_at = at.now
            self._status = self._snapshot(at)
            self._show(self._status)
            self.turned.set()
        elif (idle and not self._idle) or (finished and not self._finished):
            # Who waits for this need not wait for the next status.
            self.turned.set()
        self._idle, self._finished = idle, finished

    def _many_small_files(self) -> bool:
        """Whether the workers are busy with files whose cost is mostly the interpreter's."""
        if sum(server.queue.in_flight for server in self.servers.values()) < BUSY_ACTIONS:
            return False
        backlogs = [server.queue.backlog() for server in self.servers.values()]
        files, size = sum(files for files, _ in backlogs), sum(size for _, size in backlogs)
        return 0 < size < files * SMALL_ON_AVERAGE

    def _look(self, at: Moment) -> None:
        """Ask the disks for what is due."""
        for name, mirror in self.mirrors.items():
            if self._check_at.get(name, 0.0) <= at.now:
                self._check_at[name] = at.now + CHECK_EVERY_S * random.uniform(0.9, 1.1)  # noqa: S311
                if not mirror.check_source(at.now):
                    self._go_on_without(mirror)
            if not self.ledger.overfull:
                mirror.pump(at)

    def _go_on_without(self, mirror: Mirror) -> None:
        """Its disk does not answer: its server is there for the other mappings."""
        server = self.servers[mirror.spec.server]
        for action in reversed(server.crew.recall(mirror.spec.name)):
            server.queue.finish(action, requeue=True)
        server.crew.give_up(mirror.spec.name)

    @staticmethod
    def _may_start(server: Server, action: Action) -> bool:
        """Whether an action that was taken may be handed out; if not, it waits again."""
        if server.queue.may_start(action):
            return True
        # It was taken before the commit showed that it cannot be recorded.
        server.queue.finish(action, requeue=True)
        return False

    def _tell_trouble(self) -> None:
        """Say that the ledger cannot be written, or that it can be again.

        Meanwhile nothing but additions is begun: a crash would cost them no more than another look at the server,
        where a rename or a delete that no record tells of could not be told from somebody else's.
        """
        trouble, before = self.ledger.trouble, self._unrecorded
        self._unrecorded = trouble
        for server in self.servers.values():
            server.queue.only_additions = bool(trouble)
        if trouble and not before:
            message = f"{trouble}; files are published and recorded later, renames and deletes wait"
            remedy = "Free space on the disk of the state directory."
            self.emit(Event(EventKind.LEDGER, message=message, remedy=remedy))
        elif before and not trouble:
            self.emit(Event(EventKind.LEDGER_BACK, message="the ledger can be written again; what waited is recorded"))

    def _prune(self, at: Moment) -> None:
        """Drop receipts that are too old, a few at a time; not by a clock that has just been set."""
        if at.now < self._prune_at or not at.wall_trusted:
            return
        more = self.ledger.history.prune(at.wall_ns, PRUNE_ROWS) == PRUNE_ROWS
        self._prune_at = at.now + (PRUNE_AGAIN_S if more else PRUNE_EVERY_S)

    def _remember(self, at: Moment) -> None:
        """Have the ledger keep what was learned of the servers."""
        if at.now < self._remembered_at + STATUS_EVERY_S:
            return
        self._remembered_at = at.now
        for server in self.servers.values():
            if server.keeper is not None:
                server.keeper.profile.cap = server.queue.cap if server.queue.cap < server.queue.connections else 0
                text = server.keeper.tend(at.wall_ns / 1e9)
                if text is not None:
                    self.ledger.put_profile(server.account, text)

    def _moment(self) -> Moment:
        now, wall_ns = self._clock.monotonic(), self._clock.wall_ns()
        offset_s = wall_ns / 1e9 - now
        if abs(offset_s - self._clock_offset_s) > CLOCK_STEP_S:
            longest_settle_s = max((m.spec.settle_s for m in self.mirrors.values()), default=0.0)
            self._distrust_wall_until = now + longest_settle_s + CLOCK_STEP_S
        self._clock_offset_s = offset_s
        return Moment(now, wall_ns, now >= self._distrust_wall_until)

    def _take(self, server: Server, at: Moment) -> tuple[list[Action], bool]:
        """What may be handed to a server's workers now, and whether to try the server that failed with it."""
        taken: list[Action] = []
        q = server.queue
        afresh = q.is_doubtful
        while not self.ledger.overfull and (action := q.take(at.now)) is not None:
            mirror = self.mirrors.get(action.mapping)
            if mirror is None or not self._still_wanted(mirror, action):
                q.finish(action)
                if mirror is not None:
                    mirror.offers.not_performed(action, at)
                continue
            taken.append(mirror.intents.begin(action))
        if q.wants_probe(at.now):
            probe = Probe(server.name)
            q.start_probe(probe)
            taken.append(probe)
        if q.idle and not q.only_additions:
            for mirror in self.mirrors.values():
                # Not before the first pass: what it finds on disk goes on with what is there.
                if mirror.queue is not q or mirror.suspended or not mirror.intents:
                    continue
                if mirror.looks.passes and not mirror.busy_looking(at.now):
                    mirror.intents.ask(mirror.waits.pending, at.now)
        return taken, afresh

    @staticmethod
    def _still_wanted(mirror: Mirror, action: Action) -> bool:
        """Whether the ledger still calls for an action that may have waited for long."""
        match action:
            case Delete() | RemoveDir():
                if mirror.removals.hold is not None or mirror.removals.missing:
                    return False
                row = mirror.ledger.row(mirror.id, action.path)
                return row is not None and (row.kind is Kind.FILE) == isinstance(action, Delete)
            case Upload() | Rename():
                row = mirror.ledger.row(mirror.id, action.path)
                if row is not None and row.fingerprint == action.fingerprint:
                    return False
                # Another file may have come to the old path at the server while the rename waited.
                source = mirror.ledger.row(mirror.id, action.source) if isinstance(action, Rename) else None
                return isinstance(action, Upload) or (source is not None and source.fingerprint == action.fingerprint)
            case RenameDir():
                return mirror.ledger.row(mirror.id, action.source) is not None
            case MakeDir():
                row = mirror.ledger.row(mirror.id, action.path)
                # Without an inode: made for what is in it, or missing at the server.
                return row is None or row.kind is not Kind.DIR or not row.fingerprint.inode
            case _:
                return True

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────

    def _on_changes(self, mapping: str, changes: Changes, at: Moment) -> None:
        mirror = self.mirrors.get(mapping)
        if mirror is not None:
            mirror.on_changes(changes, at)

    def _on_answer(self, mapping: str, answer: Listing | WatchReport, at: Moment) -> None:
        mirror = self.mirrors.get(mapping)
        if mirror is None:
            return
        if isinstance(answer, Listing):
            mirror.on_listing(answer, at)
            return
        mirror.on_report(answer, at)
        self._reported.add(mapping)
        if self._reported >= self.mirrors.keys():
            self.watching.set()

    def _on_outcome(self, server_name: str, outcome: Outcome, at: Moment) -> None:
        server = self.servers.get(server_name)
        if server is None:
            return
        action = outcome.action
        news = apply_to_server(server.queue, outcome, server.crew.connections, at.now)
        if news is not None:
            self._tell_server(server, news, outcome)
        mirror = self.mirrors.get(action.mapping)
        requeue = False
        if mirror is not None:
            requeue = self._outcomes.apply(mirror, outcome, at)
            self._count(outcome, requeue=requeue)
        server.queue.finish(action, requeue=requeue)

    def _on_received(self, upload: Upload, ctime_ns: int) -> None:
        mirror = self.mirrors.get(upload.mapping)
        if mirror is not None:
            # It is recorded at the end of this turn; until then a crash means that the file is sent whole.
            mirror.intents.received(upload, ctime_ns)

    def _tell_server(self, server: Server, news: EventKind, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.emit(Event(news, server=server.name, message=outcome.error.message, remedy=outcome.error.remedy))
        else:
            self.emit(Event(news, server=server.name, message="the server answers again"))

    def _count(self, outcome: Outcome, *, requeue: bool) -> None:
        if isinstance(outcome, Failed):
            self.counters.failures += not requeue
        elif isinstance(outcome, Done):
            if outcome.did is Did.PUBLISHED and isinstance(outcome.action, Upload | Rename):
                self.counters.files += 1
                self.counters.bytes += outcome.action.fingerprint.size
            self.counters.deletes += outcome.did in {Did.DELETED, Did.TRASHED}
            self.counters.renames += outcome.did is Did.RENAMED

    # ── the status ───────────────────────────────────────────────────────────────────────────────────────────

    def _snapshot(self, at: Moment) -> Status:
        uptime_s = round(at.now - self.started, 1)
        daemon = DaemonStatus(True, os.getpid(), __version__, uptime_s, self.ledger.trouble)  # noqa: FBT003
        return Status(
            daemon,
            tuple(mapping_status(mirror, at) for mirror in self.mirrors.values()),
            tuple(server_status(s.name, s.queue, s.crew.connections) for s in self.servers.values()),
            tuple(transfer_of(p, at.now) for s in self.servers.values() for p in s.crew.transfers()),
            (
                *unreadable_of(self.mirrors.values()),
                *problems_of(self.ledger, {m.spec.name: m.id for m in self.mirrors.values()}),
            ),
        )
