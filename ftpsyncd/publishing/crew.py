"""The worker threads of one server: they lease sessions and perform what the engine hands them.

In: actions (`hand`). Out: outcomes, delivered from the worker's thread to the engine's mailbox. One thread uses one
connection; threads start when there is work for them and end when there is none for a minute. When the server cannot
be reached, everything handed over comes back with the same error at once: one attempt, not one per action.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from ftpsyncd.actions import Action, Done, Failed, Outcome, Upload, is_answer
from ftpsyncd.errors import (
    FtpsyncdError,
    NoSocketError,
    RemoteError,
    Retry,
    ServerUnavailableError,
    ThreadLimitError,
    TooManyTransfersError,
    TurnMissedError,
)
from ftpsyncd.publishing.door import Door, NoSessionError, counts_for_all, internal
from ftpsyncd.publishing.existing import FreshDirectories
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.publishing.workers import Worker
from ftpsyncd.remote.pool import Pool
from ftpsyncd.remote.port import Connector, RemoteSession
from ftpsyncd.remote.profile import LONGEST_SILENCE_S

TEND_EVERY_S = 15.0
IDLE_CLOSE_S = 60.0
IDLE_THREAD_S = 60.0
"""Not less: the last thread to go has closed all connections."""
CROWDED_S = 5.0
"""For so long, a server that refused a further connection is not asked for one; the engine will have heard by then."""
ENTERING_S = 0.5
"""At the end of all, workers that have begun nothing are waited for so long: a server may not have let them in yet."""
STUCK_S = 1800.0
"""Far beyond every time-out of a session, and the time that reading a huge file takes."""
HUNG_S = 15.0
"""A worker that has done nothing for so long waits for the disk, if that does not answer."""


class Crew:
    """Workers and connections of one server.

    Args:
        name: of the server, for thread names.
        connect: opens a session.
        connections: the most threads, and so connections, at a time.
        folder: the mapping of a name.
        deliver: takes outcomes; called from worker threads, must not block.
        received: is told when the server has begun to receive a large file; called like ``deliver``, before it.
        silence_s: how long a connection may be silent before it is asked for a sign of life.
        exposed: is told of an upload that is about to be sent under its final name; called like ``received``.
        allowed: how many connections the server allows now, as far as is known; at most ``connections``.
        opened: is told that a connection was opened after that was in doubt; called like ``received``.
    """

    def __init__(
        self,
        name: str,
        connect: Connector,
        connections: int,
        folder: Callable[[str], Folder],
        deliver: Callable[[Outcome], None],
        received: Callable[[Upload, int], None] = lambda _upload, _ctime_ns: None,
        silence_s: Callable[[], float] = lambda: LONGEST_SILENCE_S,
        exposed: Callable[[Upload], None] = lambda _upload: None,
        allowed: Callable[[], int] | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.door = Door(connect, connections, opened)
        self._pool = Pool(self.door.open, idle_close_s=IDLE_CLOSE_S, keepalive_s=silence_s)
        self._allowed = allowed or (lambda: connections)
        self._crowded_until = 0.0
        """The server has just refused a further connection; in monotonic seconds."""
        self._folder = folder
        self._deliver = deliver
        self._received = received
        self._exposed = exposed
        self._fresh = FreshDirectories()
        self._ready = threading.Condition()
        self._handed: deque[Action] = deque()
        self._workers: set[Worker] = set()
        self._busy: set[Worker] = set()
        """Those of them that have, or want, a connection for what was handed over."""
        self._idle = 0
        self._stopping = False

    def __repr__(self) -> str:
        return f"<Crew {self.name} workers={len(self._workers)} handed={len(self._handed)} {self._pool!r}>"

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._pool.open_count

    def look_anew(self) -> None:
        """Take no directory for empty any more because it was made from here."""
        self._fresh.clear()

    def spare(self) -> None:
        """Close the connections that nobody uses now; does not wait."""
        self._pool.spare()

    def transfers(self) -> list[Progress]:
        """The files on their way."""
        with self._ready:
            return [progress for worker in self._workers if (progress := worker.progress) is not None]

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        """Give actions to the workers.

        Args:
            actions: one outcome comes for each.
            afresh: the server may be tried again although it was down.
            expected: how many files will follow, up to the connections they may use: while directories are made for
                them, the other connections log in.
        """
        with self._ready:
            if afresh:
                self.door.afresh()
                self._crowded_until = 0.0
            self._handed.extend(actions)
            self._start(max(len(self._handed) - self._idle, expected - len(self._workers)))
            if self._idle:
                self._ready.notify(len(actions))
        self._require_somebody()

    def _start(self, count: int) -> None:
        """Start so many workers more, as far as there may be; `_ready` is held."""
        for _ in range(min(count, self._most() - len(self._workers))):
            worker = Worker(self._work, f"ftpsyncd-{self.name}-worker")
            self._workers.add(worker)
            try:
                worker.thread.start()
            except RuntimeError:
                # The system allows no further one now: those that there are do the work.
                self._workers.discard(worker)
                break

    def _require_somebody(self) -> None:
        """Where no worker could be started, everything handed over comes back."""
        with self._ready:
            nobody, tries = not self._workers, self.door.tries
        if nobody:
            lack = NoSocketError("The system lets no thread begin.", remedy=ThreadLimitError.remedy)
            self._without_session(lack, tries)

    def _most(self) -> int:
        """How many workers may be at work, each of which needs a connection; `_ready` is held."""
        allowed = self._allowed()
        if time.monotonic() < self._crowded_until:
            allowed = min(allowed, self._pool.open_count)
        return max(1, allowed)

    def stuck(self, now: float) -> bool:
        """Whether every worker that is at work has shown no sign of it for `STUCK_S`: a new process would do better.

        A worker that waits for a disk that does not answer does not count: no new process could help it.
        """
        with self._ready:
            at_work = [worker for worker in self._workers if worker.is_at_work()]
            hung = [worker for worker in at_work if worker.hangs(now, STUCK_S)]
            return len(hung) == len(at_work) and not all(worker.waits_for_disk() for worker in hung)

    def give_up(self, mapping: str) -> None:
        """The disk of a mapping does not answer: do without the workers that wait for it, and cut their connections.

        What they had taken is answered as after an outage. Others are started in their place.
        """
        now = time.monotonic()
        with self._ready:
            hung = [worker for worker in self._workers if worker.hangs(now, HUNG_S) and worker.works_for(mapping)]
            self._workers.difference_update(hung)
            self._busy.difference_update(hung)
            left = [worker.give_up() for worker in hung]
            if hung:
                # Those that had no connection may have one now.
                self._ready.notify_all()
        for session, actions in left:
            if session is not None:
                self._pool.give_up(session)
            for action in actions:
                self._deliver(Failed(action, ServerUnavailableError(f"The disk of {mapping} does not answer.")))
        with self._ready:
            if not self._stopping:
                self._start(len(self._handed) - self._idle)
            waits = bool(self._handed)
        if waits:
            self._require_somebody()

    def recall(self, mapping: str) -> list[Action]:
        """Take back what was handed over for a mapping and no worker has begun."""
        with self._ready:
            recalled = [action for action in self._handed if action.mapping == mapping]
            self._handed = deque(action for action in self._handed if action.mapping != mapping)
        return recalled

    def interrupt(self) -> None:
        """Begin nothing more; what runs goes on."""
        with self._ready:
            self._stopping = True
            self._handed.clear()
            self._ready.notify_all()

    def stop(self, timeout_s: float, *, patient: bool = True) -> bool:
        """Stop after the actions that run now.

        Args:
            timeout_s: how long they may take.
            patient: another crew may connect to this server afterwards. It finds the connections free, and what ran
                still is cut: else it would get to the server later, and take the place of what came there meanwhile.
                If nobody does, who waits to be let in by the server is not waited for.

        Returns:
            False if some ran still.
        """
        self.interrupt()
        with self._ready:
            workers = list(self._workers)
        deadline = time.monotonic() + timeout_s
        soon = deadline if patient else min(deadline, time.monotonic() + ENTERING_S)
        for worker in workers:
            by = deadline if worker.has_taken() else soon
            worker.thread.join(max(0.0, by - time.monotonic()))
        late = [worker for worker in workers if worker.thread.is_alive() and (patient or worker.has_taken())]
        for session, _ in [worker.give_up() for worker in late] if patient else ():
            if session is not None:
                self._pool.give_up(session)
        self._pool.close(patient=patient)
        return not late

    # ── in the workers ───────────────────────────────────────────────────────────────────────────────────────

    def next(self) -> Action | None:
        """The next action if there is one right now (the stream that `Publisher.perform` draws from)."""
        with self._ready:
            return self._handed.popleft() if self._handed and not self._stopping else None

    def put_back(self, action: Action) -> None:
        """Return an action taken too early; another worker may take it."""
        with self._ready:
            self._handed.appendleft(action)
            self._ready.notify()

    def _work(self, worker: Worker) -> None:
        publisher = self._publisher(worker)
        try:
            self._warm_up()
            while not worker.given_up and self._await_work(worker):
                try:
                    self._shift(worker, publisher)
                finally:
                    self._leave_off(worker)
        finally:
            with self._ready:
                self._workers.discard(worker)

    def _publisher(self, worker: Worker) -> Publisher:
        def received(upload: Upload, ctime_ns: int) -> None:
            if not worker.given_up:
                # It may take hours until it is told that the file has arrived, and longer than the line lasts.
                self.door.answered()
                self._received(upload, ctime_ns)

        def exposed(upload: Upload) -> None:
            if not worker.given_up:
                self._exposed(upload)

        return Publisher(self._folder, self._fresh, worker.show, received, exposed)

    def _warm_up(self) -> None:
        """Have a connection ready; why there is none is told when there is work for it."""
        with suppress(NoSessionError), ExitStack() as stack:
            if not self._handed:
                self._make_ready(self._lease(stack))

    def _make_ready(self, session: RemoteSession) -> None:
        """Use the time until there is work; what fails is met again, and told, when there is."""
        with suppress(Exception):
            if not self._handed:
                session.make_ready()

    def _await_work(self, worker: Worker) -> bool:
        """Wait for an action, and tend the connections meanwhile; False when this thread is no longer needed."""
        until, over = time.monotonic() + IDLE_THREAD_S, False
        while True:
            with self._ready:
                if not self._has_work() and not self._stopping and not over:
                    self._idle += 1
                    try:
                        self._ready.wait(TEND_EVERY_S)
                    finally:
                        self._idle -= 1
                if self._has_work():
                    self._busy.add(worker)
                    return True
                if self._stopping or over:
                    # In one step: whoever hands something over from now on does not count on this thread.
                    self._workers.discard(worker)
                    return False
            # Looked at before: what has been idle for as long as this thread is closed by it, however long that takes.
            over = time.monotonic() >= until
            self._pool.tend()

    def _has_work(self) -> bool:
        """Whether there is something for one worker more; `_ready` is held.

        As many as there may be connections do all that there is: another one would ask for a connection in vain.
        """
        return bool(self._handed) and not self._stopping and len(self._busy) < self._most()

    def _leave_off(self, worker: Worker) -> None:
        """A worker has given its connection back: another one may do what is left."""
        with self._ready:
            self._busy.discard(worker)
            if self._handed:
                self._ready.notify()

    def _shift(self, worker: Worker, publisher: Publisher) -> None:
        """Perform what there is on one session; every action taken gets an outcome, whatever happens."""
        error: FtpsyncdError
        tries = self.door.tries
        try:
            with worker.at_work(), ExitStack() as stack:
                session = self._lease(stack)
                worker.uses(session)
                # While this one connected, another may have taken what was handed over.
                self._make_ready(session)
                ended: list[FtpsyncdError] = []
                told = False
                for outcome in publisher.perform(
                    session, _Taking(self, worker, partial(self._pool.is_elsewhere, session))
                ):
                    told = told or isinstance(outcome, Done) or not isinstance(outcome.error, TurnMissedError)
                    if worker.leaves(outcome.action):
                        worker.sign()
                        self._deliver(self._noted(outcome, session, ended))
                if not (told or session.usable or worker.given_up):
                    # Else another one would be opened at once for the same, and for ever.
                    self.door.ended(ServerUnavailableError("The connection ended before anything was done over it."))
            error = TurnMissedError("The connection ended before its turn.")
        except NoSessionError as none:
            self._without_session(none.error, tries)
            return
        except FtpsyncdError as failed:
            error = failed
        except Exception as bug:
            error = internal(bug)
        for action in worker.leaves_all():
            self._deliver(Failed(action, error, unanswered=not isinstance(error, TurnMissedError)))

    def _noted(self, outcome: Outcome, session: RemoteSession, ended: list[FtpsyncdError]) -> Outcome:
        """An outcome, marked if the connection ended as the last ones did, without an answer; counted once for each."""
        if isinstance(outcome, Done) or is_answer(outcome):
            self.door.answered()
            return outcome
        if isinstance(outcome.error, TooManyTransfersError):
            self.door.answered()
            with self._ready:
                self._crowded_until = time.monotonic() + CROWDED_S
            # The one that was refused is leased still, and who is told may ask before or after it is given back.
            return outcome._replace(alone=self._pool.open_count <= 1)
        if session.usable or not isinstance(outcome.error, RemoteError) or outcome.error.retry is Retry.MACHINE:
            return outcome
        if not ended:
            self.door.ended(outcome.error)
        ended.append(outcome.error)
        return outcome._replace(mute=self.door.is_mute)

    def _lease(self, stack: ExitStack) -> RemoteSession:
        """A session, kept until the stack unwinds."""
        if self.door.down is not None:
            raise NoSessionError(self.door.down)
        try:
            return stack.enter_context(self._pool.lease())
        except NoSessionError:
            raise
        except FtpsyncdError as error:
            raise NoSessionError(error) from error
        except Exception as bug:
            raise NoSessionError(internal(bug)) from bug

    def _without_session(self, error: FtpsyncdError, tries: int) -> None:
        """No connection: everything handed over comes back, or just one action if the others may have connections.

        Args:
            error: why there is none.
            tries: those of the `door` when it was wanted. What was handed over to be tried afresh since then is tried.
        """
        self._fresh.clear()
        with self._ready:
            if self.door.tries != tries:
                return
            if counts_for_all(error) or not self._pool.open_count:
                actions = list(self._handed)
                self._handed.clear()
            else:
                actions = [self._handed.popleft()] if self._handed else []
                self._crowded_until = time.monotonic() + CROWDED_S
        for action in actions:
            self._deliver(Failed(action, error, connecting=True))


class _Taking:
    """The crew's stream, noting what one worker has taken and not yet answered; at its end where the host has moved."""

    def __init__(self, crew: Crew, worker: Worker, is_elsewhere: Callable[[], bool]) -> None:
        self._crew = crew
        self._worker = worker
        self._is_elsewhere = is_elsewhere

    def next(self) -> Action | None:
        if self._is_elsewhere():
            return None
        action = self._crew.next()
        if action is not None and not self._worker.takes(action):
            self._crew.put_back(action)
            return None
        return action

    def put_back(self, action: Action) -> None:
        if self._worker.leaves(action):
            self._crew.put_back(action)
