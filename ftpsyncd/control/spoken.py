"""The daemon as the control API has it speak: each command that an answer names goes to this daemon when it is typed.

In: the daemon's own answers and errors, whose sentences may have come from its ledger. Out: the same, typed for its
configuration. `outside` puts it between the daemon and the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ftpsyncd.control.port import Daemon
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.questions import CommandName, Health, Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.status import Status
from ftpsyncd.typed import Typed


class Spoken(Daemon):
    """A daemon whose sentences are typed for it.

    Args:
        daemon: answers.
        typed: how its commands are typed.
    """

    def __init__(self, daemon: Daemon, typed: Typed) -> None:
        self._daemon = daemon
        self._typed = typed

    def status(self) -> Status:
        """See `Daemon`."""
        with self._errors():
            return self._typed.record(self._daemon.status())

    def why(self, path: str) -> Why:
        """See `Daemon`."""
        with self._errors():
            return self._typed.record(self._daemon.why(path))

    def command(self, name: CommandName, *, mapping: str | None, server: str | None, path: str | None) -> str:
        """See `Daemon`."""
        with self._errors():
            return self._typed.text(self._daemon.command(name, mapping=mapping, server=server, path=path))

    def repair(self, mapping: str, files: Sequence[str], directories: Sequence[str]) -> str:
        """See `Daemon`."""
        with self._errors():
            return self._typed.text(self._daemon.repair(mapping, files, directories))

    def learn(self, account: str, learned: Mapping[str, Any]) -> str:
        """See `Daemon`."""
        with self._errors():
            return self._typed.text(self._daemon.learn(account, learned))

    def history(self, query: HistoryQuery, path: str | None) -> HistoryPage:
        """See `Daemon`."""
        with self._errors():
            return self._typed.record(self._daemon.history(query, path))

    def health(self) -> Health:
        """See `Daemon`."""
        return self._daemon.health()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FtpsyncdError as error:
            error.message, error.remedy = self._typed.text(error.message), self._typed.text(error.remedy)
            raise
