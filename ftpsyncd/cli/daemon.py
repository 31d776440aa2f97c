"""Questions that the running daemon answers, and the ledger when none is running."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ftpsyncd import config as configuration
from ftpsyncd.cli.options import Given
from ftpsyncd.config import Config
from ftpsyncd.control import shapes
from ftpsyncd.control.moments import iso_utc
from ftpsyncd.errors import DaemonNotRunningError
from ftpsyncd.questions import Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.status import Status

if TYPE_CHECKING:
    from ftpsyncd.control.client import ControlClient


def client(config: Config) -> ControlClient:
    """The way to the daemon that runs with this configuration.

    Raises:
        DaemonNotRunningError: it cannot be running, as it has no control socket.
    """
    if config.control.socket is None:
        raise DaemonNotRunningError(
            "This configuration has no control socket.", remedy="Set `control: {socket: PATH}`."
        )
    return _client(config.control.socket)


def _client(socket: Path) -> ControlClient:
    """The way to the daemon that listens there.

    Raises:
        DaemonNotRunningError: there is no socket.
    """
    try:
        socket.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise DaemonNotRunningError(f"No daemon answers on {socket}.") from None
    except OSError:
        pass  # the client knows what to say
    from ftpsyncd.control.client import ControlClient  # noqa: PLC0415 - an HTTP client, and there may be nobody to ask

    return ControlClient(socket)


def ask_status(config: Config) -> Status:
    """How things are; ``daemon.running`` says who answered."""
    try:
        return shapes.status_from_json(client(config).status())
    except DaemonNotRunningError:
        from ftpsyncd import survey  # noqa: PLC0415 - loads what a daemon consists of, to ask the ledger in its place

        return survey.offline_status(config)


def ask_running(given: Given) -> Status | None:
    """How things are, if a daemon answers where the configuration plainly says it listens; else None.

    Raises:
        ConfigError: there is no configuration, or it is not YAML.
        ControlError: a daemon is there, but cannot be asked.
    """
    socket = configuration.find_socket(configuration.find_config(given.config, os.environ))
    try:
        return shapes.status_from_json(_client(socket).status()) if socket is not None else None
    except DaemonNotRunningError:
        return None


def ask_why(config: Config, path: str) -> Why:
    """Why the absolute local path is, or is not, at the server."""
    try:
        return shapes.why_from_json(client(config).why(path))
    except DaemonNotRunningError:
        from ftpsyncd import survey  # noqa: PLC0415 - as above

        return survey.why(config, path)


def ask_history(config: Config, query: HistoryQuery, path: str | None, cursor: str | None) -> HistoryPage:
    """A page of receipts; ``path`` is an absolute local one, ``cursor`` what `next` of the page before was."""
    try:
        answer = client(config).history(
            mapping=query.mapping,
            kinds=query.kinds,
            since=None if query.since_ns is None else iso_utc(query.since_ns),
            until=None if query.until_ns is None else iso_utc(query.until_ns),
            path=path,
            limit=query.limit,
            before=cursor,
        )
    except DaemonNotRunningError:
        from ftpsyncd import survey  # noqa: PLC0415 - as above

        return survey.history(config, query, path, cursor)
    return shapes.history_from_json(answer)
