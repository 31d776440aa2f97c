"""What stands in for parts of the daemon and of what is around it, so that things happen between any two of their steps.

The server is in memory, and has what hung on lines arrive late; looks at the disk are real, with the times of the test's
clock; workers do a piece when they are told to; a ledger can die. `stage` has what happens in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftpsyncd.actions import Action
from ftpsyncd.errors import (
    LoginRefusedError,
    NameRefusedError,
    RemoteError,
    ServerFullError,
    ServerUnavailableError,
    TooManyConnectionsError,
    TransferFailedError,
)
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local import tree
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.scan import Scanner
from ftpsyncd.mapping.openintents import LATE_S
from ftpsyncd.model import Kind, Listing, RootIdentity
from ftpsyncd.paths import parent
from ftpsyncd.publishing.crew import Crew
from ftpsyncd.publishing.workers import Worker
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from tests.model.drop import COARSE_NS, Heard

if TYPE_CHECKING:
    from tests.model.stage import Stage

FAULTS: dict[str, Callable[[], RemoteError]] = {
    "unavailable": lambda: ServerUnavailableError("The connection ended."),
    "refused": lambda: NameRefusedError("Permission denied.", reply="550 Permission denied."),
    "broken": lambda: TransferFailedError("The transfer was cut.", reply="426 Aborted."),
    "full": lambda: ServerFullError("No space left.", reply="452 No space."),
    "crowded": lambda: TooManyConnectionsError("Too many connections.", reply="421 Too many connections."),
    "login": lambda: LoginRefusedError("Login refused.", reply="530 Login incorrect."),
}


class _LateError(ServerUnavailableError):
    """The line hangs with a command, or the end of a file, on it: the session is over, and what hangs arrives later."""


FAULTS["late"] = lambda: _LateError("Nothing passes any more.")
LATEST_S = LATE_S - 10.0
"""After which what hung on a line has arrived."""


class Server(MemoryServer):
    """The server, with the world's doings between its commands."""

    between: Callable[[str, str], None]
    renamed: Callable[[str, str], None]
    replacing = ""
    renaming = ""
    now: Callable[[], float]
    late: list[tuple[float, Callable[[], object]]]
    """What hangs on lines that are dead for us, and when it arrives at the latest."""

    def strike(self, verb: str, path: str, *, after: bool) -> None:
        self.between(verb, path)
        try:
            super().strike(verb, path, after=after)
        except _LateError:
            self.late.append((self.now() + LATEST_S, self._effect(verb, path, after=after)))
            raise

    def arrive(self, now: float = math.inf) -> None:
        """What hung arrives, if it is time."""
        due = [act for at, act in self.late if at <= now]
        self.late = [(at, act) for at, act in self.late if at > now]
        for act in due:
            act()

    def _effect(self, verb: str, path: str, *, after: bool) -> Callable[[], object]:
        """What a real server does when that arrives after all, whoever has sent it."""
        source = self.renaming
        file = self.files.get(path)
        sent = file.content if file is not None else b""

        def store() -> None:
            # It makes the file, or truncates it, before it misses the sender; with REST some servers cut it there.
            if path in self.files:
                self.files[path].content = b""
            elif parent(path) in self.dirs and path not in self.dirs:
                self.files.setdefault(path, MemoryFile(b"", int(self.clock())))
            self.observer("LATE", path)

        def write() -> None:
            # Into the file that was open, whatever it is called by now.
            if file is not None:
                file.content = sent + file.content[len(sent) :]
            self.observer("LATE", path)

        def rename() -> None:
            self.rename(source, path)
            self.observer("LATE", path)

        def delete() -> None:
            self.files.pop(path, None)
            self.observer("LATE", path)

        effects: dict[tuple[str, bool], Callable[[], object]] = {
            ("STOR", False): store,
            ("STOR", True): write,
            ("RNTO", False): rename,
            ("DELE", False): delete,
            ("MKD", False): lambda: self.make_dir(path),
            ("RMD", False): lambda: self.remove_dir(path),
        }
        return effects.get((verb, after), lambda: None)

    def session(self) -> MemorySession:
        return _Session(self)


class _Session(MemorySession):
    """Tells which files a rename took away, and which delete was half of a rename."""

    def rename(self, source: str, target: str) -> str:
        server = self.server
        assert isinstance(server, Server)
        before, server.replacing, server.renaming = server.replacing, target, source
        try:
            left = super().rename(source, target)
        finally:
            server.replacing = before
        server.renamed(source, target)
        return left


class Looker(Scanner):
    """Looks at a real folder; the times are those of the test's clock.

    Args:
        stage: on which.
        root: the folder.
        follow_symlinks: as `Scanner`'s.
    """

    def __init__(self, stage: Stage, root: Path, *, follow_symlinks: bool = False) -> None:
        super().__init__(root, follow_symlinks=follow_symlinks)
        self._stage = stage

    def _listing(self, directory: str, names: frozenset[str] | None, look: Callable[..., object]) -> Listing:
        stage = self._stage
        stage.count("looks")
        stage.between("look", directory)
        listing = super()._listing(directory, names, look)  # type: ignore[arg-type]
        entries = {
            name: entry._replace(ctime_ns=stage.drop.stamps.get(entry.fingerprint.inode, stage.time.wall_ns()))
            if entry.kind is Kind.FILE
            else entry
            for name, entry in listing.entries.items()
        }
        changed = listing.changed_wall_ns and stage.time.wall_ns_at(listing.changed_wall_ns)
        made = listing.made_wall_ns and stage.time.wall_ns_at(listing.made_wall_ns - COARSE_NS)
        listing = listing._replace(entries=entries, taken_wall_ns=stage.time.wall_ns(), changed_wall_ns=changed)
        listing = listing._replace(made_wall_ns=made)
        stage.looked_at(listing)
        stage.between("looked", directory)
        return listing


class Watcher:
    """Says what a watcher of the real folder says when it is started or asked."""

    def __init__(self, local: Path, heard: Heard, deliver: Callable[[Changes], None] = lambda _changes: None) -> None:
        self.deliver = deliver
        self._local = local
        self._heard = heard
        self._root: RootIdentity | None = None

    def start(self) -> WatchReport:
        return self._report(anew=True)

    def check(self) -> WatchReport:
        return self._report(anew=False)

    def _report(self, *, anew: bool) -> WatchReport:
        root = tree.root_identity(self._local)
        if root is not None and (anew or root != self._root):
            self._heard.watch(self._local.resolve())
        self._root = root
        return WatchReport("native", root, "" if root else "the folder is not there")

    def stop(self) -> None:
        pass


class _Body:
    """In the place of a worker's thread: alive for as long as the worker is at it."""

    native_id = None

    def join(self, timeout_s: float | None = None) -> None:
        """It does not end while somebody waits for it."""

    def is_alive(self) -> bool:
        return True


class Hands(Crew):
    """A crew whose work is done when the test says so, by as many workers at a time as it has connections."""

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        if afresh:
            self.door.afresh()
        self._handed.extend(actions)

    def _start(self, count: int) -> None:
        """No threads."""

    @property
    def has_work(self) -> bool:
        return bool(self._handed) and len(self._workers) < self._most()

    def shift(self) -> None:
        """A worker does what has been handed over; several may be at it at once, one called within the other."""
        worker = Worker(lambda _worker: None, "model")
        worker.thread = _Body()  # type: ignore[assignment]
        self._workers.add(worker)
        try:
            self._shift(worker, self._publisher(worker))
        finally:
            self._workers.discard(worker)


class MortalLedger(Ledger):
    """A ledger between whose commits things happen."""

    between: Callable[[str, str], None] = staticmethod(lambda _what, _path: None)

    def commit(self) -> None:
        self.between("commit", "")
        super().commit()
        self.between("committed", "")

    def die(self) -> None:
        """What was not committed is lost."""
        # Not the database's own way to close, which commits.
        self._db._db.close()
