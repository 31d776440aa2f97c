"""What the control API needs of the daemon; the service satisfies it, tests fake it.

Every method is called from the server's own threads, several at once, and must return soon: it looks at the last
status, posts to the engine's mailbox or reads the ledger, and never waits for a server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from ftpsyncd.questions import CommandName, Health, Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.status import Status

ANSWER_S = 20.0
"""How long the daemon may take; less than the client waits, so that people read our words."""
MARGIN_S = 1.0
"""So much earlier a call has to end, for its answer to be heard."""

gives_up_at: ContextVar[float] = ContextVar("gives_up_at")
"""Monotonic seconds: when whoever asked is told that there is no answer; goes along with a call to its thread."""

is_there: ContextVar[Callable[[], bool]] = ContextVar("is_there")
"""Whether whoever asked still waits for the answer; may be called on any thread, also when the call is over."""


def still_asked() -> Callable[[], bool]:
    """What tells whether the call is still wanted: what has not begun when it is not must not be done any more."""
    return is_there.get(lambda: True)


def left_s() -> float:
    """How much time a call of the daemon has left; what it has not begun by then must not be done any more."""
    now = time.monotonic()
    return max(0.0, gives_up_at.get(now + ANSWER_S) - MARGIN_S - now)


class Daemon(Protocol):
    """The running daemon as the outside sees it."""

    def status(self) -> Status:
        """Everything at this moment; the last snapshot will do."""
        ...

    def why(self, path: str) -> Why:
        """Why the local ``path`` is, or is not, at the server.

        Args:
            path: as a person gave it: absolute, bytes that are not UTF-8 as surrogates (PEP 383).
        """
        ...

    def command(self, name: CommandName, *, mapping: str | None, server: str | None, path: str | None) -> str:
        """Does ``name`` to what is named, or to everything if nothing is; returns one sentence that says what.

        A mapping or server that is named exists at the time of asking.

        Raises:
            UsageError: the request makes no sense: a path in no mapping, a combination that this command lacks.
            FtpsyncdError: it makes sense but cannot be done now.
        """
        ...

    def repair(self, mapping: str, files: Sequence[str], directories: Sequence[str]) -> str:
        """Publishes again what a comparison found not to be at the server as it was published.

        Args:
            mapping: one that exists.
            files: missing or wrong, relative to the mapping's folder.
            directories: missing, likewise.

        Returns:
            One sentence that says what is done.
        """
        ...

    def learn(self, account: str, learned: Mapping[str, Any]) -> str:
        """Uses from now on what was measured of a server.

        Args:
            account: ``user@host:port``.
            learned: a profile as JSON knows it.

        Returns:
            One sentence that says what is done.

        Raises:
            UsageError: nothing is published to this account.
        """
        ...

    def history(self, query: HistoryQuery, path: str | None) -> HistoryPage:
        """A page of receipts.

        Args:
            query: which ones; its ``path`` is not used.
            path: only what is about this path or below it, as a person gave it: absolute.

        Raises:
            UnknownNameError: there is no such mapping, and there was none.
            UsageError: the path lies in no mapping, or in another one than the query names.
            FtpsyncdError: the ledger cannot be read.
        """
        ...

    def health(self) -> Health:
        """Whether the engine's loop has turned lately; called on the server's own loop, so it must not block."""
        ...
