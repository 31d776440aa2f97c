"""A server in memory: the same port, the same typed errors, and faults that a test scripts.

    server = MemoryServer()
    server.fail("RNTO", ServerUnavailableError("gone"), path="/a", after=True)
    with server.connect() as session:
        ...
    server.files["/a"].content

Faults are matched by the verbs of FTP, so that a script reads like a trace of the real thing: STOR, SIZE, RNFR, RNTO,
DELE, MKD, RMD, MFMT, MLST, MLSD, RETR, NOOP, and CONNECT for the opening of a session. Errors of the family
"server unavailable" finish the session, as they do on the wire.

``observer`` is called after every change that a visitor of the server could see, with the verb and the path: a test
looks at `files` there and finds no torn file under a final name, or fails. What is there, and what of its changes is
refused, is `memorytree`'s matter; how files are published, `memoryupload`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from ftpsyncd.core import names
from ftpsyncd.errors import (
    FtpsyncdError,
    NameNotSendableError,
    NotFoundError,
    RemoteError,
    ServerUnavailableError,
    TooManyConnectionsError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote import memoryupload
from ftpsyncd.remote.memorytree import MemoryFile, MemoryTree
from ftpsyncd.remote.port import RESUMABLE, PublishJob, PublishResult, RemoteEntry, Sink

__all__ = ["MemoryFile", "MemoryServer", "MemorySession"]

_BLOCK = 256 * 1024


@dataclass(slots=True)
class _Fault:
    verb: str
    error: RemoteError
    path: str | None
    nth: int
    after: bool
    times: int


@dataclass(slots=True)
class MemoryServer(MemoryTree):
    """What the server holds, and how it misbehaves. Thread-safe as far as sessions use it."""

    max_sessions: int | None = None
    replaces: bool = True
    """RNTO over an existing file is allowed."""
    online: bool = True
    """Set to False, every session ends at its next command and no new one opens."""
    moved: bool = False
    """Its host has other addresses by now."""
    log: list[tuple[str, str]] = field(default_factory=list)
    """Every command: verb and path."""
    sessions: int = 0
    """Open now."""
    block: int = _BLOCK
    """Bytes that arrive at once."""
    resumable: int = RESUMABLE
    """From this size on, files are continued."""
    _faults: list[_Fault] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def connect(self) -> MemorySession:
        """Open a session; a :class:`ftpsyncd.remote.port.Connector`."""
        with self.lock:
            self.strike("CONNECT", "", after=False)
            if not self.online:
                raise ServerUnavailableError("The server is down.")
            if self.max_sessions is not None and self.sessions >= self.max_sessions:
                raise TooManyConnectionsError("Too many connections.", reply="421 Too many connections.")
            self.sessions += 1
            self.log.append(("CONNECT", ""))
            return self.session()

    def session(self) -> MemorySession:
        """A connection that is let in."""
        return MemorySession(self)

    def fail(
        self,
        verb: str,
        error: RemoteError,
        *,
        path: str | None = None,
        nth: int = 1,
        after: bool = False,
        times: int = 1,
    ) -> None:
        """Let a command fail.

        Args:
            verb: of the command; ``*`` is any.
            error: what the session raises.
            path: only for this path; absent: for any.
            nth: the how-manieth matching command from now on is the first to fail.
            after: the command takes effect and then fails (a lost reply).
            times: how many of them fail.
        """
        self._faults.append(_Fault(verb, error, path, nth, after, times))

    def strike(self, verb: str, path: str, *, after: bool) -> None:
        """Raise the scripted fault of this command, if there is one."""
        for fault in self._faults:
            if fault.after == after and fault.verb in {verb, "*"} and fault.path in {None, path} and fault.times:
                fault.nth -= 1
                if fault.nth <= 0:
                    fault.times -= 1
                    raise fault.error


class MemorySession:
    """One connection to a `MemoryServer`; made by its `connect`."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self._usable = True
        self._closed = False

    @property
    def usable(self) -> bool:
        """See `port.RemoteSession.usable`."""
        return self._usable

    def is_elsewhere(self) -> bool:
        """See `port.RemoteSession.is_elsewhere`."""
        return self.server.moved

    def stirs(self) -> bool:
        """See `port.RemoteSession.stirs`."""
        return False

    @property
    def expiring(self) -> bool:
        """See `port.RemoteSession.expiring`."""
        return False

    @property
    def displaced(self) -> tuple[str, str] | None:
        """See `port.RemoteSession.displaced`."""
        return None

    # ── The wire ─────────────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def require_sendable(path: str) -> None:
        """Raises what a name is refused with that no command can carry."""
        if any(c in path for c in "\r\n\0"):
            raise NameNotSendableError(f"The name {path!r} holds a line break or NUL, which FTP cannot carry.")

    def do(self, verb: str, path: str, act: Callable[[], RemoteError | None]) -> None:
        """One command: faults before, effect, observer, faults after."""
        self.require_sendable(path)
        self.begin(verb, path)
        with self.server.lock:
            error = act()
        if error is not None:
            raise error
        self.end(verb, path)

    def begin(self, verb: str, path: str) -> None:
        """A command is said: whoever lets it fail before it does anything raises."""
        with self.server.lock:
            self.server.log.append((verb, path))
            self.alive()
            try:
                self.server.strike(verb, path, after=False)
            except ServerUnavailableError:
                self._usable = False
                raise

    def end(self, verb: str, path: str) -> None:
        """A command was carried out: whoever loses its reply raises."""
        with self.server.lock:
            self.alive()
            try:
                self.server.strike(verb, path, after=True)
            except ServerUnavailableError:
                self._usable = False
                raise

    def alive(self) -> None:
        """Raises, as what comes over a line that has ended does."""
        if not self._usable or not self.server.online:
            self._usable = False
            raise ServerUnavailableError("The connection to the server is finished.")

    # ── Transfers ────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """See `port.RemoteSession.publish`."""
        return memoryupload.publish(self, jobs)

    def hides(self, _path: str) -> bool:
        """See `port.RemoteSession.hides`."""
        return True

    def assure(self, _path: str) -> None:
        """See `port.RemoteSession.assure`."""

    def fetch(self, path: str, into: Sink, *, offset: int = 0, progress: Callable[[int], None] = lambda _: None) -> int:
        """See `port.RemoteSession.fetch`."""
        content = b""

        def act() -> RemoteError | None:
            nonlocal content
            if path not in self.server.files:
                return NotFoundError(f"No such file: {path!r}", reply="550 No such file or directory.")
            content = self.server.files[path].content[offset:]
            return None

        self.do("RETR", path, act)
        into.write(content)
        progress(offset + len(content))
        return len(content)

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    def stat(self, path: str) -> RemoteEntry | None:
        """See `port.RemoteSession.stat`."""
        self.do("MLST", path, lambda: None)
        return self.server.entry(path)

    def stat_many(self, paths: Sequence[str]) -> list[RemoteEntry | None]:
        """See `port.RemoteSession.stat_many`."""
        return [self.stat(path) for path in paths]

    def list_dir(self, path: str, *, dated: bool = True) -> list[RemoteEntry]:  # noqa: ARG002 - part of the port
        """See `port.RemoteSession.list_dir`."""
        self.do("MLSD", path, lambda: self.server.lacks_dir(path))
        with self.server.lock:
            return self.server.entries(path)

    def list_kinds(self, path: str) -> dict[str, Kind]:
        """See `port.RemoteSession.list_kinds`."""
        return {entry.name: entry.kind for entry in self.list_dir(path)}

    # ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def make_dir(self, path: str) -> bool:
        """See `port.RemoteSession.make_dir`."""
        return self._told("MKD", path, lambda: self.server.make_dir(path))

    def _told(self, verb: str, path: str, act: Callable[[], bool | RemoteError]) -> bool:
        """One command that tells something besides that it was done."""
        said = False

        def noted() -> RemoteError | None:
            nonlocal said
            answer = act()
            if isinstance(answer, RemoteError):
                return answer
            said = answer
            return None

        self.do(verb, path, noted)
        return said

    def make_dir_many(self, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
        """See `port.RemoteSession.make_dir_many`."""
        for i, path in enumerate(paths):
            verdict: bool | FtpsyncdError
            try:
                verdict = self.make_dir(path)
            except FtpsyncdError as error:
                if not self.usable:
                    raise
                verdict = error
            yield i, verdict

    def make_dirs(self, path: str) -> bool:
        """See `port.RemoteSession.make_dirs`."""
        made = False
        parts = [part for part in path.split("/") if part]
        for n in range(1, len(parts) + 1):
            made = self.make_dir("/" + "/".join(parts[:n]))
        return made

    def remove_dir(self, path: str) -> bool:
        """See `port.RemoteSession.remove_dir`."""
        return self._told("RMD", path, lambda: self.server.remove_dir(path))

    def rename(self, source: str, target: str) -> str:
        """See `port.RemoteSession.rename`."""
        server = self.server
        self.do("RNFR", source, lambda: server.lacks(source))
        makes_room = source in server.files and target in server.files and not server.replaces
        if makes_room:
            for verdict in self.delete_many([target]):
                if verdict is not None:
                    raise verdict
        # Whether it is there is asked again then: somebody may have been faster.
        try:
            self.do("RNTO", target, lambda: server.rename(source, target))
        except RemoteError as error:
            if makes_room:
                # As where what was moved aside could not be given its name again: it is not under that any more.
                error.aside = names.aside(target)
            raise
        return ""

    def delete_many(self, paths: Sequence[str]) -> list[FtpsyncdError | None]:
        """See `port.RemoteSession.delete_many`."""
        verdicts: list[FtpsyncdError | None] = []
        for path in paths:
            try:
                self.do("DELE", path, lambda path=path: self.server.delete(path))  # type: ignore[misc]
                verdicts.append(None)
            except ServerUnavailableError:
                raise
            except FtpsyncdError as error:
                verdicts.append(error)
        return verdicts

    def set_time(self, path: str, mtime_s: int) -> bool:
        """See `port.RemoteSession.set_time`."""
        return self._told("MFMT", path, lambda: self.server.set_time(path, mtime_s))

    def noop(self) -> None:
        """See `port.RemoteSession.noop`."""
        self.do("NOOP", "", lambda: None)

    # ── End ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def make_ready(self) -> None:
        """See `port.RemoteSession.make_ready`."""

    def close(self, *, patient: bool = True) -> None:  # noqa: ARG002 - part of the port
        """See `port.RemoteSession.close`."""
        self._usable = False
        with self.server.lock:
            if not self._closed:
                self._closed = True
                self.server.sessions -= 1

    def leave(self) -> None:
        """See `port.RemoteSession.leave`."""
        # Without the lock, which a thread of the parent process may have had.
        self._usable = False

    def cut(self) -> None:
        """See `port.RemoteSession.cut`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
