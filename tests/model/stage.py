"""What all models of a daemon have: a drop folder, a server, clocks, and things that happen between any two steps.

The threads of the daemon are there, but not started: what they would do is done piece by piece. At every seam (a
command of the server, a block of a file, a look at the disk, a commit) `Stage.between` lets happen what `Stage.later`
and `Stage.upon` have put there. What the daemon consists of, and what must hold, is the matter of `world` (one mapping)
and `several` (mappings and servers that come and go).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from ftpsyncd.actions import Failed, Outcome
from ftpsyncd.core.names import TRASH
from ftpsyncd.errors import InternalError
from ftpsyncd.events import Event
from ftpsyncd.model import Listing
from ftpsyncd.remote.memory import MemoryFile
from tests.model.doubles import FAULTS, Server
from tests.model.drop import Drop, Time

MAX_DELETES = 3
BLOCK = 64
RESUMABLE = 150
SETTLE_S = 2.0
WORKERS = 2
NO_RESCAN_S = 1e7
"""Nothing may be found only because everything is looked at again some time."""

Op = tuple[object, ...]
"""What happens: the name of a method of `World`, and its arguments."""


class Broken(AssertionError):  # noqa: N818 - a guarantee, not an error of the test
    """A guarantee does not hold."""


class Crash(BaseException):
    """The daemon dies on the spot."""


@dataclass(slots=True)
class Shift:
    """What a worker may rely on: what was on disk during all of its work."""

    there: dict[str, bool]
    """Paths, and whether each is a folder."""
    root_moved: bool = False


class Stage:
    """A drop folder, servers, and what may happen to them.

    Args:
        servers: how many there are; `fault` and the like are about the first.
        replaces: the servers rename over what is there.
    """

    def __init__(self, servers: int = 1, *, replaces: bool = True) -> None:
        self.time = Time()
        self.drop = Drop(self.time, self._disk_changes)
        self.servers = [
            Server(
                replaces=replaces,
                observer=self._seen,
                block=BLOCK,
                resumable=RESUMABLE,
                clock=lambda: self.time.wall_ns() / 1e9,
            )
            for _ in range(servers)
        ]
        for server in self.servers:
            server.late, server.now = [], self.time.monotonic
            # All is done on one thread, but for sessions that are closed in the middle of a command.
            server.lock = nullcontext()  # type: ignore[assignment]
            server.between = self.between
            server.renamed = self._renamed
        self.server = self.servers[0]
        self.counts: dict[str, int] = {}
        self.foreign: dict[bytes, str] = {}
        self.given_up: set[bytes] = set()
        """Contents that may stay at the server although nothing here has them any more."""
        self.events: list[Event] = []
        self.steps = 0
        """Steps of the daemon so far, each of them a place where something may happen."""
        self.steps_of_story = 0
        self._later: list[tuple[int, Op]] = []
        self._upon: dict[str, Op] = {}
        self._depth = 0
        self._turning = self._looking = self._connecting = False
        self._shift: Shift | None = None
        self._first_broken: Broken | None = None

    # ── what a model adds ────────────────────────────────────────────────────────────────────────────────────

    def _die(self) -> None:
        """The daemon is dead on the spot."""

    def _seen(self, verb: str, path: str) -> None:
        """A server changed: what would a visitor see?"""

    def looked_at(self, listing: Listing) -> None:
        """The disk was looked at, and nothing happened since."""

    def _renamed(self, source: str, target: str) -> None:
        """A name is gone from a server, by a rename."""

    def _disk_changes(self, paths: set[str]) -> None:
        if self._shift is not None:
            for path in paths:
                self._shift.there.pop(path, None)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def do(self, op: Op) -> None:
        """Let something happen now; a daemon that dies of it is dead afterwards."""
        name, *arguments = op
        self.count(str(name))
        try:
            getattr(self, str(name))(*arguments)
        except Crash:
            if self._depth:
                raise
            self._die()
        if self._first_broken is not None:
            raise self._first_broken

    def later(self, steps: int, op: Op) -> None:
        """Let something happen after so many steps of the daemon, whatever it is at then."""
        self._later.append((self.steps + steps, op))

    def upon(self, what: str, op: Op) -> None:
        """Let something happen right before the server is next told this."""
        self._upon[what] = op

    def between(self, what: str, _path: str) -> None:
        """Two steps of the daemon: whatever is to happen here happens."""
        self.steps += 1
        for server in self.servers:
            server.arrive(self.time.now)
        if self._depth >= 3:
            return
        due = [op for at, op in self._later if at <= self.steps]
        if what in self._upon:
            due.append(self._upon.pop(what))
        if not due:
            return
        self._later = [(at, op) for at, op in self._later if at > self.steps]
        connecting, self._connecting = self._connecting, self._connecting or what == "CONNECT"
        self._depth += 1
        try:
            for op in due:
                self.count("between two steps")
                self.do(op)
        finally:
            self._depth -= 1
            self._connecting = connecting

    def _broken(self, what: str) -> Broken:
        """Kept, too: a worker that lives on after it would hide it."""
        broken = Broken(what)
        self._first_broken = self._first_broken or broken
        return broken

    def check_outcome(self, outcome: Outcome) -> None:
        """What holds for every outcome of a worker."""
        if self._first_broken is not None:
            raise self._first_broken
        if isinstance(outcome, Failed) and isinstance(outcome.error, InternalError):
            raise self._broken(f"an internal error: {outcome}") from outcome.error.__context__

    def all(self, *ops: Op) -> None:
        """Several things, one right after the other."""
        for op in ops:
            self.do(op)

    def count(self, what: str) -> None:
        """Note that something happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def _paths(self) -> list[str]:
        return sorted(path for path, _ in self.drop.walk())

    def _any(self, which: int) -> str:
        paths = self._paths()
        return paths[which % len(paths)] if paths else ""

    def write(self, path: str, size: int) -> None:
        self.drop.write(path, size)

    def swap(self, path: str, size: int) -> None:
        self.drop.swap(path, size)

    def begin(self, path: str, size: int) -> None:
        self.drop.begin(path, size)

    def end(self, which: int) -> None:
        self.drop.end(which)

    def touch(self, which: int) -> None:
        if path := self._any(which):
            self.drop.touch(path)

    def link(self, which: int, target: str) -> None:
        if path := self._any(which):
            self.drop.link(path, target)

    def make_folder(self, path: str) -> None:
        self.drop.make_folder(path)

    def rename(self, which: int, target: str) -> None:
        if path := self._any(which):
            self.drop.rename(path, target)

    def delete(self, which: int) -> None:
        if path := self._any(which):
            self.drop.delete(path)

    def delete_all(self) -> None:
        for path in self._paths():
            self.drop.delete(path)

    def move_out(self, which: int) -> None:
        if path := self._any(which):
            self.drop.move_out(path)

    def move_in(self, which: int, target: str) -> None:
        self.drop.move_in(which, target)

    def lose_events(self) -> None:
        self.drop.lose()

    def put_foreign(self, which: int) -> None:
        """Somebody else puts a file at the server, in a directory of ours or beside it."""
        directories = sorted(d for d in self.server.dirs if TRASH not in d)
        content = f"foreign {len(self.foreign)}".encode()
        path = f"{directories[which % len(directories)].rstrip('/')}/foreign-{len(self.foreign)}"
        self.foreign[content] = path
        self.server.files[path] = MemoryFile(content, 0)

    def fault(self, verb: str, kind: str, nth: int) -> None:
        self.server.fail(verb, FAULTS[kind](), nth=nth)

    def lose_connections(self, verb: str, times: int) -> None:
        """The connection ends whenever this command is sent, so many times."""
        self.server.fail(verb, FAULTS["unavailable"](), times=times)

    def fault_after(self, verb: str, kind: str, nth: int) -> None:
        """The command is done, and its reply is lost."""
        self.server.fail(verb, FAULTS[kind](), nth=nth, after=True)

    def arrive(self) -> None:
        """The lines that hung live again."""
        self.server.arrive()

    def offline(self) -> None:
        self.server.online = False

    def online(self) -> None:
        self.server.online = True

    def allow(self, sessions: int) -> None:
        self.server.max_sessions = sessions or None

    def capacity(self, size: int) -> None:
        self.server.capacity = size or None

    def pass_time(self, seconds: float) -> None:
        self.time.now += seconds

    def set_clock(self, seconds: float) -> None:
        self.time.offset_ns += int(seconds * 1e9)
