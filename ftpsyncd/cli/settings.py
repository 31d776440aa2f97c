"""From the shared options to what commands work with: the configuration, the log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ftpsyncd import config as configuration
from ftpsyncd import systemd
from ftpsyncd.cli.options import Given
from ftpsyncd.config import Config
from ftpsyncd.errors import UsageError


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


def load_config(given: Given) -> Config:
    """The configuration that ``-c``, the environment or the usual places name.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    return used(configuration.load(configuration.find_config(given.config, os.environ)))


def used(config: Config) -> Config:
    """A configuration that is worked with from now on: no record of the log shows its secrets."""
    secrets.add(config)
    return config


def start_log(given: Given, *, level: str, log_format: str = "text") -> None:
    """Log to stderr; where that is the journal, with fields.

    Args:
        given: what was asked for; it wins.
        level: otherwise.
        log_format: otherwise.
    """
    from ftpsyncd import logs  # noqa: PLC0415 - `status` need not wait for it while a daemon answers

    logs.configure(given.log_level or level, given.log_format or log_format, journal=systemd.journal, secrets=secrets)


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
            f"No such {what}: {name}.{hint}", remedy=f"The configuration has: {', '.join(names) or 'none'}."
        )
