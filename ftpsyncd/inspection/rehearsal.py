"""A pass that touches nothing: the engine on a copy of the ledger, at a server that does all it is told.

In: a mapping, a copy of the ledger. Out: what the pass does, step by step, and what it leaves and why. All that
decides is the daemon's own, down to the worker's last look at the disk, so that there is nothing here that could say
something else than a `sync` does. Only three things stand in for others: looks at the disk are answered at once, the
server confirms everything (`Obedient`), and where the pass would wait, the clock is wound on. What nobody knows without
asking the server is not known here either: whether it is there, and what it has that the ledger does not know.
Called by `preview`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self

from ftpsyncd.actions import Action, Outcome, Upload
from ftpsyncd.core import names
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.loop import Engine
from ftpsyncd.errors import FtpsyncdError, NameNotSendableError, NotSupportedError
from ftpsyncd.events import Event
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.unwatched import Unwatched
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Clock
from ftpsyncd.mapping.waits import RESTLESS_S
from ftpsyncd.model import Kind, Listing, Row
from ftpsyncd.paths import basename
from ftpsyncd.publishing.existing import FreshDirectories
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry, Sink
from ftpsyncd.specs import MappingSpec, ServerSpec


class Obedient:
    """A server that has what the ledger says, and confirms everything (a `remote.port.RemoteSession`).

    Args:
        account: of the server.
        remote: directory of the mapping there.
        ledger: as the pass changes it.
        mapping_id: in the ledger.
    """

    usable = True
    expiring = False
    displaced = None

    def __init__(self, account: ServerSpec, remote: str, ledger: Ledger, mapping_id: int) -> None:
        self._encoding = account.encoding
        self._top = f"{remote.rstrip('/')}/"
        self._ledger = ledger
        self._id = mapping_id

    def is_elsewhere(self) -> bool:
        """Nobody is asked."""
        return False

    def stirs(self) -> bool:
        """There is no server."""
        return False

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """Open each file, as is done right before it is sent, and send nothing."""
        for job in jobs:
            try:
                self._require_sendable(job.temporary)
                job.open().close()
            except FtpsyncdError as error:
                yield PublishResult(job, error)
            else:
                yield PublishResult(job, None)

    def _require_sendable(self, *paths: str) -> None:
        """What no server can be told.

        Raises:
            NameNotSendableError: one of these names.
        """
        for path in paths:
            names.on_the_wire(path, self._encoding)

    def hides(self, _path: str) -> bool:
        """As nearly every server does."""
        return True

    def assure(self, path: str) -> None:
        """It keeps every name."""

    def fetch(
        self,
        path: str,  # noqa: ARG002 - part of the port
        into: Sink,  # noqa: ARG002
        *,
        offset: int = 0,  # noqa: ARG002
        progress: Callable[[int], None] = lambda _: None,  # noqa: ARG002
    ) -> int:
        """There is nothing to be read: whoever asks goes by size and date, as where one may not read at a server.

        Raises:
            NotSupportedError: always.
        """
        raise NotSupportedError("Without a server, nobody knows what a file holds there.")

    def stat(self, path: str) -> RemoteEntry | None:
        """What the ledger says."""
        self._require_sendable(path)
        row = self._ledger.row(self._id, path.removeprefix(self._top)) if path.startswith(self._top) else None
        return None if row is None else _entry(basename(path), row)

    def stat_many(self, paths: Sequence[str]) -> list[RemoteEntry | None]:
        """Likewise."""
        return [self.stat(path) for path in paths]

    def list_dir(self, path: str, *, dated: bool = True) -> list[RemoteEntry]:  # noqa: ARG002 - part of the port
        """Likewise."""
        place = f"{path.rstrip('/')}/"
        if not place.startswith(self._top):
            return []
        rows = self._ledger.rows(self._id, place[len(self._top) :].rstrip("/"))
        return [_entry(name, row) for name, row in rows.items()]

    def list_kinds(self, path: str) -> dict[str, Kind]:
        """Nobody asks for that in a pass."""
        raise NotImplementedError(path)

    def make_dir(self, _path: str) -> bool:
        """It was there, perhaps with something in it."""
        return False

    def make_dir_many(self, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
        """Likewise."""
        for index, path in enumerate(paths):
            try:
                self._require_sendable(path)
            except NameNotSendableError as error:
                yield index, error
            else:
                yield index, False

    def make_dirs(self, path: str) -> bool:
        """Likewise."""
        self._require_sendable(path)
        return False

    def remove_dir(self, _path: str) -> bool:
        """It was empty."""
        return True

    def rename(self, source: str, target: str) -> str:
        """Done."""
        self._require_sendable(source, target)
        return ""

    def delete_many(self, paths: Sequence[str]) -> list[FtpsyncdError | None]:
        """Done, but for what it cannot be told."""
        verdicts: list[FtpsyncdError | None] = []
        for path in paths:
            try:
                self._require_sendable(path)
            except NameNotSendableError as error:
                verdicts.append(error)
            else:
                verdicts.append(None)
        return verdicts

    def set_time(self, _path: str, _mtime_s: int) -> bool:
        """Done."""
        return True

    def noop(self) -> None:
        """It is there."""

    def make_ready(self) -> None:
        """It is."""

    def close(self, *, patient: bool = True) -> None:
        """Nothing is open."""

    def leave(self) -> None:
        """Likewise."""

    def cut(self) -> None:
        """Likewise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        pass


def _entry(name: str, row: Row) -> RemoteEntry:
    """What the ledger says, as a server would."""
    return RemoteEntry(name, row.kind, row.fingerprint.size if row.kind is Kind.FILE else None, None)


class _Handed:
    """Keeps what is handed out until it is performed (`handout.Hands`, `batches.Stream`)."""

    connections = 1

    def __init__(self) -> None:
        self._actions: deque[Action] = deque()

    def __bool__(self) -> bool:
        return bool(self._actions)

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:  # noqa: ARG002 - Hands
        self._actions.extend(actions)

    def recall(self, _mapping: str) -> list[Action]:
        return []

    def give_up(self, _mapping: str) -> None:
        pass

    def spare(self) -> None:
        pass

    def transfers(self) -> list[Progress]:
        return []

    def next(self) -> Action | None:
        if not self._actions:
            return None
        action = self._actions.popleft()
        # To find out whether content is the same all of it would have to be read.
        return action._replace(known_sha256=b"") if isinstance(action, Upload) and action.known_sha256 else action

    def put_back(self, action: Action) -> None:
        self._actions.appendleft(action)


class _Wound:
    """This machine's clocks, wound on instead of waiting."""

    def __init__(self) -> None:
        self._on_ns = 0

    @property
    def on_ns(self) -> int:
        """How far they are wound on."""
        return self._on_ns

    def monotonic(self) -> float:
        return time.monotonic() + self._on_ns / 1e9

    def wall_ns(self) -> int:
        return time.time_ns() + self._on_ns

    def wind(self, seconds: float) -> None:
        self._on_ns += max(0, int(seconds * 1e9))


class _Disk:
    """Answers at once whatever is asked (`looks.Disk`)."""

    def __init__(
        self,
        scanner: Scanner,
        clock: _Wound,
        answered: Callable[[Listing | WatchReport], None],
        changed: Callable[[Changes], None],
    ) -> None:
        self._scanner = scanner
        self._watcher = Unwatched(scanner, changed)
        self._clock = clock
        self._answered = answered

    def start(self) -> None:
        self._answered(self._watcher.start())

    def list_dir(self, directory: str) -> None:
        self._tell(self._scanner.list_dir(directory))

    def probe(self, directory: str, names: Collection[str]) -> None:
        self._tell(self._scanner.probe(directory, names))

    def _tell(self, listing: Listing) -> None:
        self._answered(listing._replace(taken_wall_ns=listing.taken_wall_ns + self._clock.on_ns))

    def check(self) -> None:
        self._answered(self._watcher.check())

    def answers(self) -> bool:
        return True


class Performed(NamedTuple):
    """An action that the pass performs."""

    action: Action
    """As it was planned."""
    outcome: Outcome


class Rehearsal:
    """One pass over one mapping.

    Args:
        spec: the mapping.
        mapping_id: in the ledger.
        ledger: a copy, which is changed as the pass would change the ledger.
        account: of its server.
    """

    def __init__(self, spec: MappingSpec, mapping_id: int, ledger: Ledger, account: ServerSpec) -> None:
        self.events: list[Event] = []
        """What was told since somebody took it away."""
        self._clock = _Wound()
        self._longest_ns = int((spec.settle_s + RESTLESS_S) * 1e9)
        """What is not done by then is not done at all: a pass goes on for as long as something changes all the time."""
        self.began_ns = self._clock.wall_ns()
        """Wall clock."""
        self._engine = Engine(ledger, self.events.append, clock=Clock(self._clock.monotonic, self._clock.wall_ns))
        self._handed = _Handed()
        queue, folder = Queue(account.connections), Folder(spec)
        self._engine.servers[spec.server] = Server(spec.server, queue, self._handed)
        self.mirror = Mirror(
            spec,
            Filter(spec.include, spec.exclude),
            mapping_id,
            ledger,
            queue,
            folder,
            self.events.append,
            today=lambda: datetime.now().astimezone().date().isoformat(),
            one_pass=True,
        )
        self.mirror.pause(0)
        scanner = Scanner(spec.local, follow_symlinks=spec.follow_symlinks)
        engine, name = self._engine, spec.name
        disk = _Disk(
            scanner, self._clock, lambda answer: engine.answered(name, answer), lambda all_: engine.changed(name, all_)
        )
        self.mirror.looks.attach(disk)
        self._engine.mirrors[spec.name] = self.mirror
        self._publisher = Publisher(lambda _name: folder, FreshDirectories())
        self._session = Obedient(account, spec.remote, ledger, mapping_id)
        disk.start()

    def run(self) -> Iterator[Performed | Event]:
        """The pass, to its end: what is performed, and what is told meanwhile."""
        engine = self._engine
        while True:
            messages = engine.mailbox.mail()
            engine.turn(messages)
            yield from self._told()
            if messages or (self._handed and self._looks_next()):
                # The disk is quicker than the server.
                continue
            if self._handed:
                for outcome in self._publisher.perform(self._session, self._handed):
                    engine.performed(self.mirror.spec.server, outcome)
                    yield Performed(outcome.action, outcome)
            else:
                now = self._clock.monotonic()
                if self.mirror.finished(now) or self._clock.on_ns > self._longest_ns:
                    return
                self._clock.wind(engine.next_due(now) - now)

    def _looks_next(self) -> bool:
        """Whether there is something to be looked at, or compared, now."""
        due = self.mirror.next_due()
        return bool(self.mirror.looks) or (due is not None and due <= self._clock.monotonic())

    def _told(self) -> Iterator[Event]:
        yield from self.events
        self.events.clear()
