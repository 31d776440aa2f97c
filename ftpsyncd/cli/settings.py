"""From the shared options to what commands work with: the configuration, the log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypeVar

import click

from ftpsyncd import config as configuration
from ftpsyncd import patience, systemd
from ftpsyncd.cli.options import Given
from ftpsyncd.config import Config
from ftpsyncd.errors import UsageError
from ftpsyncd.quoting import one_line, quote
from ftpsyncd.typed import Typed, systemctl, unit_for

_Answer = TypeVar("_Answer")


class Secrets:
    """What no record of the log may show: of every configuration that this process has used, also an earlier one.

    Read once, and where nothing is logged not at all.
    """

    def __init__(self) -> None:
        self._unread: list[Config] = []
        self._known: tuple[str, ...] = ()

    def add(self, config: Config) -> None:
        """This configuration is used."""
        self._unread.append(config)

    def __call__(self) -> tuple[str, ...]:
        """All that can be read; the same object as long as nothing was added."""
        while self._unread:
            config = self._unread.pop()
            self._known = tuple({*self._known, *configuration.known_secrets(config)})
        return self._known


secrets = Secrets()


_GLANCES = patience.Glances()
"""At the configuration's file, by a daemon that has one already."""


def load_config(given: Given, tell: Callable[[float], None] | None = None) -> Config:
    """The configuration that ``-c``, the environment or the usual places name, however long its disk takes.

    Args:
        given: what was asked for.
        tell: see `patiently`.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """

    def load() -> Config:
        return configuration.load(find(given))

    return used(patiently(given, load, tell))


def find(given: Given) -> Path:
    """Where the configuration is; what is typed from now on is for its service.

    Raises:
        ConfigError: there is none.
    """
    given.found = configuration.find_config(given.config, os.environ)
    return given.found


def used(config: Config) -> Config:
    """A configuration that is worked with from now on: no record of the log shows its secrets."""
    secrets.add(config)
    return config


def patiently(given: Given, act: Callable[[], _Answer], tell: Callable[[float], None] | None = None) -> _Answer:
    """What comes of something that reads the configuration; Ctrl-C is obeyed also where its disk does not answer.

    Args:
        given: what was asked for.
        act: reads it.
        tell: is told every few seconds for how many has been waited; by default, standard error is told once.
    """
    told: list[float] = []

    def tell_once(waited_s: float) -> None:
        if not told:
            click.echo(f"ftpsyncd: waiting for {place_of(given)}: its disk is slow, or does not answer", err=True)
        told.append(waited_s)

    return patience.awaited(act, tell or tell_once)


def place_of(given: Given) -> str:
    """Where the configuration is, as far as that was said."""
    named = given.config or os.environ.get("FTPSYNCD_CONFIG")
    return f"the configuration {one_line(os.fspath(named))}" if named else "the configuration"


def starting(given: Given) -> str:
    """How the daemon of this configuration is started: by the service that its place tells, if any, or by hand."""
    path = patiently(given, lambda: find(given))
    by_hand, unit = f"`ftpsyncd run{given.option}`", unit_for(path, os.environ)
    return f"`{systemctl('start', unit)}`, or {by_hand}" if unit else by_hand


def require_answer(given: Given) -> None:
    """Make sure that the disk of the configuration answers, for who cannot wait.

    Raises:
        UnansweredError: it does not.
        ConfigError: there is no configuration.
    """

    def look() -> None:
        path = configuration.find_config(given.config, os.environ)
        with suppress(OSError):  # whoever loads it says why it cannot be read
            # What comes through a pipe can be read only once.
            if path.is_file():
                path.read_bytes()

    try:
        _GLANCES.take(given.config or Path(), look)
    except TimeoutError:
        again = "Run `ftpsyncd reload` when it does."
        raise configuration.UnansweredError.of(place_of(given), remedy=again) from None


def start_log(
    given: Given, *, level: str, log_format: str = "text", typed: Typed | None = None, stream: TextIO | None = None
) -> None:
    """Log to stderr; where that is the journal, with fields.

    Args:
        given: what was asked for; it wins.
        level: otherwise.
        log_format: otherwise.
        typed: how the commands that are named are typed; by default as here.
        stream: in the place of stderr.
    """
    from ftpsyncd import logs  # noqa: PLC0415 - `status` need not wait for it while a daemon answers

    logs.configure(
        given.log_level or level,
        given.log_format or log_format,
        stream,
        journal=systemd.journal,
        secrets=secrets,
        typed=typed or given.typed,
    )


def chosen(config: Config, names: Sequence[str]) -> list[str]:
    """The mappings that a command is about: those named, or all.

    Raises:
        UsageError: there is no mapping of that name.
    """
    for name in names:
        check_name(name, config.mappings, "mapping")
    return list(dict.fromkeys(names)) or list(config.mappings)


def check_name(name: str, known: Iterable[str], what: str) -> None:
    """Refuse a name that the configuration lacks.

    Raises:
        UsageError: ``name`` is not among ``known``; the remedy lists those.
    """
    names = list(known)
    if name not in names:
        import difflib  # noqa: PLC0415 - needed for a typing mistake only

        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"There is no {what} {quote(name)}.{hint}", remedy=f"The configuration has: {', '.join(names) or 'none'}."
        )
