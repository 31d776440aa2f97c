"""The life of a daemon in a model: it turns piece by piece, dies, begins again, and comes to rest when all is well.

What it consists of, and what must hold, is the matter of `world` (one mapping) and `several` (mappings and servers that
come and go); what happens to it is that of `stage`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Self

from ftpsyncd.engine import again
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import Message
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.ledger.decisions import UNDATED
from ftpsyncd.local import tree
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.model import Kind
from tests.model.doubles import MortalLedger
from tests.model.stage import NO_RESCAN_S, Crash, Stage

PATIENCE_S = 20_000.0
"""In which all that goes wrong by itself has been tried again: hourly tries, pauses of a refused login."""
LATE_S = 70.0
"""After which what was cut off is asked about for the second time."""
HEALINGS = 6
"""Rounds of waiting, until nothing is held, failed or open any more."""
ROUNDS = 3000


class Life(Stage):
    """A stage with a daemon.

    Args:
        servers: as `Stage`'s.
        replaces: likewise.
    """

    one_pass = False
    """It is a `sync`."""
    performs = True
    """As `Site.performs`."""

    def __init__(self, servers: int = 1, *, replaces: bool = True) -> None:
        super().__init__(servers, replaces=replaces)
        self._engine: Engine | None = None
        """Of the daemon that lives."""
        self._patches: Collection[Any] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._engine is not None:
            self._die()
        for patch in self._patches:
            patch.stop()
        self.drop.remove()

    # ── what a model adds ────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """A daemon begins, if none lives."""

    def deliver(self, *, names_only: bool = False) -> bool:
        """The watchers hand on what the kernel told."""
        return False

    def look(self) -> bool:
        """A disk thread answers one question."""
        return False

    def work(self) -> bool:
        """One worker does what has been handed over."""
        return False

    def approve(self) -> None:
        """A person wants all that is held to be done."""

    def check_ledger(self) -> None:
        """What the ledger says is at a server is there."""

    def _compare_files(self) -> None:
        """What is here is at the servers, and nothing else of ours."""

    def _compare(self) -> None:
        """Both sides are equal, when nothing is left to do."""

    def _put_back(self) -> None:
        """The source is as it was, and can be read."""

    @property
    def _state(self) -> str:
        return ""

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────

    def crash(self) -> None:
        """The daemon is killed."""
        if self._engine is not None:
            raise Crash

    def _die(self) -> None:
        """The daemon is dead on the spot."""
        assert self._engine is not None
        ledger = self._engine.ledger
        assert isinstance(ledger, MortalLedger)
        ledger.between = lambda _what, _path: None
        ledger.die()
        self._engine = None
        self._turning = self._looking = self._connecting = False
        self._shift = None
        for server in self.servers:
            server.sessions = 0

    def quit(self) -> None:
        """The daemon ends in order."""
        if self._engine is not None and not self._depth:
            self._engine._upkeep.remember(self._engine.servers.values(), self._engine._moment(), at_once=True)
            self._engine.ledger.commit()
            self._die()

    def restart(self) -> None:
        """The daemon ends in order and is started again."""
        self.quit()
        self.start()

    def pause(self) -> None:
        self._pause(UNDATED)

    def resume(self) -> None:
        self._pause(0)

    def _pause(self, at_ns: int) -> None:
        if self._engine is not None and not self._turning:
            self._is_asked()
            for mirror in self._engine.mirrors.values():
                mirror.pause(at_ns)

    def _is_asked(self) -> None:
        """A person has the daemon do something, as `Engine.ask` does."""
        assert self._engine is not None
        self._engine._rounds.stir_all()

    def retry(self) -> None:
        if self._engine is not None and not self._turning:
            self._is_asked()
            for mirror in self._engine.mirrors.values():
                again.retry(mirror, None, self._engine._moment())

    def deliver_names(self) -> bool:
        """As `deliver`; the watchers have not yet entered the folders that are new."""
        return self.deliver(names_only=True)

    def turn(self) -> bool:
        """One turn of the engine with what is in its mailbox."""
        engine = self._engine
        if engine is None or self._turning:
            return False
        self._turning = True
        try:
            messages = engine.mailbox.mail()
            engine.turn([each for message in messages for each in self._and_then(message)])
        finally:
            self._turning = False
        self._check_rounds(engine)
        self.check_ledger()
        # What was told in the midst of this turn is for the next one.
        return bool(messages) or not engine.mailbox._messages.empty()

    def _check_rounds(self, engine: Engine) -> None:
        """What is known of mappings that had no turn is what they would say: nothing changes one unheard."""
        rounds, at = engine._rounds, engine._moment()
        if rounds._all or engine.ledger.overfull:
            return
        for name, mirror in engine.mirrors.items():
            if name in rounds._ahead:
                continue
            if rounds._dues.of(name) != mirror.next_due():
                raise self._broken(f"G3: {name} is due at {mirror.next_due()}, not at {rounds._dues.of(name)}")
            if bool(mirror.intents) != (name in rounds._with_intents):
                raise self._broken(f"G3: nobody knows that something is open in {name}, or is not any more")
            status = mapping_status(mirror, at)
            told = rounds._told.get(name)
            if told is not None and at.now < told[1] and told[0] != status:
                raise self._broken(f"G8: it tells {told[0]}, and should tell {status}")

    def _and_then(self, message: Message) -> Iterable[Message]:
        """A message, and what somebody asks right behind it."""
        return (message,)

    # ── going on ─────────────────────────────────────────────────────────────────────────────────────────────

    def go_on(self, seconds: float) -> None:
        """Everything runs for a while."""
        if not self._depth:
            until = self.time.now + seconds
            self._run(until)
            self.time.now = max(self.time.now, until)

    def _run(self, until: float) -> None:
        """Everything runs until then, or until the daemon has ended."""
        for _ in range(ROUNDS):
            while self._engine is not None and (self.deliver() | self.turn() | self.look() | self.work()):
                pass
            if self._engine is None:
                return
            due = self._due(self._engine)
            if due > until:
                return
            self.time.now = max(self.time.now + 0.001, due)
            self.turn()
        raise self._broken(f"G3: it does not come to rest until {until}: {self._state}")

    def _due(self, engine: Engine) -> float:
        now = self.time.now
        dues = [mirror.next_due() for mirror in engine.mirrors.values()]
        dues += [server.queue.next_due(now) for server in engine.servers.values()]
        for name, mirror in engine.mirrors.items():
            if mirror.removals.source.missing or tree.root_identity(mirror.spec.local) != mirror.watcher.root:
                dues.append(engine._rounds._checks.of(name) or now)
        return min((due for due in dues if due is not None), default=now + NO_RESCAN_S)

    def all_is_well(self) -> None:
        """Nothing goes wrong from now on, what hung on lines has arrived, and the daemon works."""
        self._later.clear()
        self._upon.clear()
        for server in self.servers:
            server.arrive()
        self.mend()

    def mend(self) -> None:
        """Servers, writers and disks are well, and the daemon works."""
        self._mend_world()
        self.do(("start",))
        self.resume()

    def _mend_world(self) -> None:
        for server in self.servers:
            server._faults.clear()
            server.online, server.capacity, server.max_sessions = True, None, None
        while self.drop.writers:
            self.drop.end(0)
        self._put_back()

    def heal(self, soon_s: float) -> None:
        """Everything runs until nothing is open, held or failed, with the help of a person.

        Args:
            soon_s: what is over without a person and a long wait is over after it.
        """
        for healing in range(HEALINGS):
            self.go_on(PATIENCE_S)
            self.time.now += LATE_S
            self.turn()  # it turns so often whatever happens
            self.go_on(soon_s)
            if not self._is_anything_open() or healing == HEALINGS - 1:
                break
            self._decide()

    def _is_anything_open(self) -> bool:
        """Whether something waits for a person, or for its time."""
        assert self._engine is not None
        return any(server.leftovers for server in self._engine.servers.values()) or any(
            mirror.removals.hold is not None or mirror.intents or mirror.ledger.failures.worst(mirror.id, 1)
            for mirror in self._engine.mirrors.values()
        )

    def _decide(self) -> None:
        """A person does what he can."""
        assert self._engine is not None
        self.approve()
        self._is_asked()
        for mirror in self._engine.mirrors.values():
            # The others are tried again by themselves.
            for path, failure in mirror.ledger.failures.worst(mirror.id, 1000):
                if failure.parked:
                    again.retry(mirror, path, self._engine._moment())


def doubtful(mirror: Mirror) -> tuple[set[str], set[str]]:
    """Paths of which the server may have something else than the ledger says, and directories that may have moved."""
    paths: set[str] = set()
    moving: set[str] = set()
    for path, intent in mirror.intents._open._open.items():
        paths |= {path, intent.source}
        if intent.kind is Kind.DIR and intent.source:
            moving |= {path, intent.source}
        if intent.brings:
            moving |= {path, *intent.brings}
    return paths, moving


def left_over(mirror: Mirror) -> Iterator[tuple[str, object]]:
    """What a mapping keeps of what it has done; there is nothing of it when nothing is left to do."""
    ledger, queue = mirror.ledger, mirror.queue
    yield "intents", ledger.begun.of(mirror.id)
    yield "a hold", ledger.decisions.hold(mirror.id)
    yield "approvals", ledger.decisions.approved(mirror.id)
    yield "a discard", ledger.decisions.discarding(mirror.id)
    yield "absences", mirror.removals.absent and repr(mirror.removals.absent)
    yield "files that wait", mirror.waits.pending or mirror.waits._overtaken
    yield "looks", mirror.looks._asked or mirror.looks._next
    yield "places in the queue", queue._places._places
    yield "sources of renames", queue._backlog._sources
    yield "directories at work", queue.under_way._at or queue._blocking._structural
    yield "a backlog", any(queue.backlog()) or queue.under_way._units or queue.under_way._large
