"""The working directory of a session, at servers that take the names of files only within it.

In RFC 959 a pathname is whatever the server makes of it. Some refuse every STOR that names a directory, or take each
name for one in the working directory, and store where a client has gone before; most clients for people do that, so
nobody notices. A session at such a server (`Profile.relative`) says CWD where another directory is meant than before,
and the bare name after that. What a session says to all other servers goes through none of this.

A CWD is never said together with what follows it: refused, it would have that done elsewhere.

Sources: RFC 959 §4.1.1 (CWD), §5.3.2 (pathname); everything.curl.dev, "Directory traversing" (singlecwd).
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

LASTS_S = 10.0
"""For so long a session believes to be where it went: somebody else may rename that directory and make it anew."""
VISIT = b"CWD "
HOME = b"CWD /"
"""Follows every visit: pure-ftpd ends a session whose working directory was removed."""


class Placed(bytes):
    """A command with a bare name, which is in a directory."""

    directory: bytes

    @classmethod
    def of(cls, before: bytes, path: bytes, after: bytes) -> Placed:
        """The command for a path, with what is said before and after it; the root has no name: it is gone to."""
        directory, _, name = path.rpartition(b"/")
        return cls.within(directory, before, name, after)

    @classmethod
    def within(cls, directory: bytes, before: bytes, name: bytes, after: bytes = b"") -> Placed:
        """The command for a name below a directory, which is empty for the root."""
        placed = cls(before + name + after if name else before.rstrip(b" ") + after)
        placed.directory = directory or b"/"
        return placed


def together(source: bytes, target: bytes) -> tuple[Placed, Placed]:
    """RNFR and RNTO, which must follow each other (RFC 959 §4.1.3): from the directory that both names are below."""
    *from_, _ = ours = source.split(b"/")
    *to, _ = theirs = target.split(b"/")
    common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(from_, to, strict=False)))
    directory = b"/".join(ours[:common])
    return (
        Placed.within(directory, b"RNFR ", b"/".join(ours[common:])),
        Placed.within(directory, b"RNTO ", b"/".join(theirs[common:])),
    )


def _runs(commands: Sequence[bytes]) -> list[tuple[bytes | None, list[bytes]]]:
    """The commands in pieces of which each can be said in one place, and that; None: anywhere."""
    runs: list[tuple[bytes | None, list[bytes]]] = []
    goes = False
    for command in commands:
        directory = command.directory if isinstance(command, Placed) else None
        place, run = runs[-1] if runs else (None, [])
        if not runs or (directory is not None and (goes or place not in {None, directory})):
            runs.append((directory, [command]))
            goes = False
        else:
            runs[-1] = (place if directory is None else directory, run)
            run.append(command)
        goes = goes or command.startswith(VISIT)
    return runs


class Standing:
    """Where one session stands.

    Args:
        session: says CWD.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._here: bytes | None = None
        """None: nobody knows."""
        self._until = 0.0
        self._moves = 0
        """Of the account, when it came here."""

    def answers(self, commands: Sequence[bytes], timeout_s: float | None) -> Generator[Reply, None, None]:
        """See `Session.answers`. Where a directory cannot be gone to, that is the answer to all that is about it."""
        for directory, run in _runs(commands):
            refusal = None if directory is None else self.go(directory)
            if refusal is None:
                yield from self._said(run, timeout_s)
                continue
            for command in run:
                if isinstance(command, Placed):
                    yield refusal
                else:
                    yield from self._said([command], timeout_s)

    def _said(self, commands: Sequence[bytes], timeout_s: float | None) -> Generator[Reply, None, None]:
        with contextlib.closing(self._session.said(commands, timeout_s)) as coming:
            for place, reply in enumerate(coming):
                self._heard(commands[place], reply)
                yield reply

    def _heard(self, command: bytes, reply: Reply) -> None:
        if command.startswith(VISIT):
            self._came(command.removeprefix(VISIT) if reply.good else None)

    def _came(self, directory: bytes | None) -> None:
        self._here, self._until = directory, time.monotonic() + LASTS_S
        self._moves = self._session.account.moves

    def go(self, directory: bytes) -> Reply | None:
        """Be in a directory; why not, if it is refused.

        Raises:
            RemoteError: the session ended.
        """
        if self._here == directory and self._moves == self._session.account.moves and time.monotonic() < self._until:
            return None
        self._here = None
        (reply,) = self._session.said([VISIT + directory])
        if reply.good:
            self._came(directory)
            return None
        return reply
