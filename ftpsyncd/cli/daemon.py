"""Questions that the running daemon answers, and the ledger when none is running."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftpsyncd import config as configuration
from ftpsyncd.cli.options import Given, absolute
from ftpsyncd.cli.settings import check_name, find, load_config, patiently, start_log, used
from ftpsyncd.config import Config
from ftpsyncd.control import shapes
from ftpsyncd.control.meant import Meant
from ftpsyncd.control.moments import iso_utc
from ftpsyncd.errors import ConfigError, DaemonNotRunningError, UnknownNameError, UsageError
from ftpsyncd.questions import Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.status import Status

if TYPE_CHECKING:
    from ftpsyncd.config.document import Document
    from ftpsyncd.control.client import ControlClient

Answer = TypeVar("Answer")


def client(config: Config) -> ControlClient:
    """The way to the daemon that runs with this configuration.

    Raises:
        DaemonNotRunningError: there is no socket.
    """
    meant = Meant.of(config.path, config.state_dir) if config.names_state_dir else None
    try:
        return _client(config.control.socket, meant, lambda: _noted(config))
    except DaemonNotRunningError:
        elsewhere = _noted(config)
        if elsewhere is None:
            raise
        return _client(elsewhere)


def _noted(config: Config) -> Path | None:
    """Where the daemon is until it is told that its socket is to move; None if that is not known."""
    from ftpsyncd.control import whereabouts  # noqa: PLC0415 - needed where nobody is found only

    return whereabouts.noted(config.state_dir)


def _client(
    socket: Path, meant: Meant | None = None, elsewhere: Callable[[], Path | None] | None = None
) -> ControlClient:
    """The way to the daemon that listens there.

    Args:
        socket: its place.
        meant: whose daemon that has to be.
        elsewhere: where it may be if nobody listens on what is there.

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

    return ControlClient(socket, meant=meant, elsewhere=elsewhere)


class Way:
    """The way to the daemon that runs with this configuration, whether or not the file is right by now.

    A daemon that answers has validated the file when it started; that it was edited since must not keep anybody from
    steering it, and validating it would take longer than all the rest. Where none answers, the file is validated once.

    Args:
        given: it names the file.

    Raises:
        ConfigError: there is no configuration, or it does not say where the daemon listens.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        self._path, self._socket, self._document, self._meant = patiently(given, self._glance)

    @cached_property
    def config(self) -> Config:
        """The configuration, as the file was a moment ago.

        Raises:
            ConfigError: it cannot be used.
        """
        return used(
            patiently(self._given, lambda: configuration.load(self._path, document=self._document)),
        )

    def _glance(self) -> tuple[Path, Path | None, Document | None, Meant | None]:
        path = find(self._given)
        socket, document = configuration.glance(path)
        # Where `state_dir` has its default, that may be another one for the service.
        state_dir = None if document is None else configuration.named_state_dir(document)
        # What comes through a pipe has no place of its own.
        meant = Meant.of(path, state_dir) if state_dir is not None and path.is_file() else None
        return path, socket, document, meant

    def client(self) -> ControlClient:
        """Whom to ask.

        Raises:
            ConfigError: the file does not say where the daemon listens.
            DaemonNotRunningError: there is no socket.
        """
        if self._socket is not None:
            with suppress(DaemonNotRunningError):
                return _client(self._socket, self._meant, lambda: _noted(self.config))
        return client(self.config)


def at_once(given: Given) -> ControlClient:
    """The daemon that runs with this configuration (`Way`).

    Raises:
        ConfigError: there is no configuration, or it does not say where the daemon listens.
        DaemonNotRunningError: there is no socket.
    """
    return Way(given).client()


def ask_status(given: Given) -> Status:
    """How things are; ``daemon.running`` says who answered."""
    way = Way(given)
    try:
        return shapes.status_from_json(way.client().status())
    except DaemonNotRunningError:
        from ftpsyncd.inspection import survey  # noqa: PLC0415 - loads what a daemon consists of, to ask the ledger in its place

        start_log(given, level="warning")
        return given.typed.record(survey.offline_status(way.config))


def edited_wrongly(given: Given, uptime_s: float) -> bool:
    """Whether the file was edited since the daemon started, and could not be loaded now."""
    path = configuration.find_config(given.config, os.environ)
    try:
        facts = path.stat()
        # What comes through a pipe has been read, and is the caller's own.
        if not stat.S_ISREG(facts.st_mode) or time.time() - facts.st_ctime > uptime_s:
            return False
        configuration.load(path)
    except (OSError, ConfigError):
        return True
    return False


def refuse_unloaded(given: Given, mapping: str | None) -> None:
    """Say so if the file has a mapping that the daemon lacks.

    Raises:
        UsageError: it does.
    """
    try:
        written = load_config(given).mappings
    except ConfigError:
        written = {}
    if mapping in written:
        raise UsageError(
            f"The daemon does not know the mapping {mapping} yet.",
            remedy="It is in the file: `ftpsyncd reload` puts it in force.",
        )


def meant(given: Given, typed: str) -> str:
    """The absolute local path that somebody typed: as it is, or as the place at the server, ``SERVER:PATH``.

    Raises:
        UsageError: nothing is published to that place, or there is no such server.
    """
    path = absolute(typed)
    if ":" not in typed or os.path.lexists(path):
        return path
    from ftpsyncd.inspection import survey  # noqa: PLC0415 - as above

    try:
        config = load_config(given)
    except ConfigError:
        return path
    source = survey.source_of(config, typed)
    server = typed.partition(":")[0]
    if (
        source is None
        and "/" not in server
        and not (survey.located(config, path) or survey.name_in_mapping(config, path))
    ):
        # It may be the name of a file that was deleted, but only in a folder that is published.
        check_name(server, config.servers, "server")
    return source or path


def named_as_configured(given: Given, path: str) -> str | None:
    """The absolute path below the folder of a mapping, if links lead there and it is not that already."""
    from ftpsyncd.inspection import survey  # noqa: PLC0415 - as above

    try:
        return survey.name_in_mapping(load_config(given), path)
    except ConfigError:
        return None


def about(given: Given, path: str | None, ask: Callable[[str | None], Answer]) -> Answer:
    """Ask about an absolute local path, or about everything; in the words of the configuration, if need be.

    Raises:
        UsageError: the path is in no mapping's folder, wherever links lead.
    """
    try:
        return ask(path)
    except UsageError:
        name = None if path is None else named_as_configured(given, path)
        if name is None:
            raise
        return ask(name)


def ask_why(given: Given, path: str) -> Why:
    """Why the absolute local path is, or is not, at the server."""
    answer = _ask_why(given, path)
    name = named_as_configured(given, path) if answer.mapping is None else None
    return answer if name is None else _ask_why(given, name)


def _ask_why(given: Given, path: str) -> Why:
    way = Way(given)
    try:
        return shapes.why_from_json(way.client().why(path))
    except DaemonNotRunningError:
        from ftpsyncd.inspection import reasons  # noqa: PLC0415 - as above

        return given.typed.record(reasons.why(way.config, path))


def ask_history(given: Given, query: HistoryQuery, path: str | None, cursor: str | None) -> HistoryPage:
    """A page of receipts; ``path`` is an absolute local one, ``cursor`` what `next` of the page before was."""
    return about(given, path, lambda name: _ask_history(given, query, name, cursor))


def _ask_history(given: Given, query: HistoryQuery, path: str | None, cursor: str | None) -> HistoryPage:
    way = Way(given)
    try:
        answer = way.client().history(
            mapping=query.mapping,
            kinds=query.kinds,
            since=None if query.since_ns is None else iso_utc(query.since_ns),
            until=None if query.until_ns is None else iso_utc(query.until_ns),
            path=path,
            limit=query.limit,
            before=cursor,
        )
    except UnknownNameError:
        refuse_unloaded(given, query.mapping)
        raise
    except DaemonNotRunningError:
        from ftpsyncd.inspection import survey  # noqa: PLC0415 - as above

        return given.typed.record(survey.history(way.config, query, path, cursor))
    return shapes.history_from_json(answer)
