"""What a configuration refers to: passwords, the webhook's address, certificates and keys; read, missing, or unfit.

In: a :class:`Config`. Out: what no record of the log may show, and what cannot be read, with the place in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ftpsyncd import lacking, patience
from ftpsyncd.config.records import Config
from ftpsyncd.config.unanswered import UnansweredError
from ftpsyncd.errors import ConfigError, TlsFileError


def known_secrets(config: Config) -> set[str]:
    """The passwords and the webhook's address, as far as they can be read, and read again by whoever needs them."""
    sources = [server.password for server in config.servers.values()]
    if config.alerts is not None and config.alerts.webhook is not None:
        sources.append(config.alerts.webhook)
    found = patience.answers({number: partial(_read_again, source) for number, source in enumerate(sources)})
    return {secret for secret in found.values() if secret is not None}


def _read_again(secret: Callable[[], str]) -> str | None:
    """A secret; None if it cannot be read, or if whoever needs it could not read it then."""
    with suppress(ConfigError):
        return None if getattr(secret, "once", False) else secret()
    return None


class Missing(NamedTuple):
    """Something that the configuration refers to, and that cannot be read."""

    words: str
    """Where it is referred to, why it cannot be read, and what helps; no secret is in it."""
    passes: bool = False
    """Its disk does not answer, or no file can be opened now: it may be there later without anybody's doing."""


def missing_secrets(config: Config) -> dict[str, list[Missing]]:
    """What is missing of the passwords and certificate files that the configuration refers to, without secrets.

    Returns:
        Of each server that lacks something, what; of the alerts under an empty name, which comes first.
    """
    questions: dict[tuple[str, str], Callable[[], ConfigError | None]] = {}
    silent: dict[tuple[str, str], ConfigError | None] = {}

    def ask(name: str, key: str, what: object, question: Callable[[], ConfigError | None]) -> None:
        questions[name, key], silent[name, key] = question, UnansweredError.of(f"{config.places.get(key, key)}: {what}")

    if config.alerts is not None and config.alerts.webhook is not None:
        ask("", "alerts.webhook", config.alerts.webhook, partial(_why_no_secret, config.alerts.webhook))
    for name, server in config.servers.items():
        ask(name, f"servers.{name}.password", server.password, partial(_why_no_secret, server.password))
        for key in ("tls_ca", "client_cert", "client_key"):
            file: Path | None = getattr(server, key)
            if file is not None:
                ask(
                    name,
                    f"servers.{name}.{key}",
                    f"the file {file}",
                    partial(_why_no_file, file, config.places.get(f"servers.{name}.{key}", key)),
                )
    found: dict[str, list[Missing]] = {}
    for (name, _key), error in (silent | patience.answers(questions)).items():
        if error is not None:
            words = f"{error.message}. {error.remedy}" if error.remedy else error.message
            passes = isinstance(error, UnansweredError) or lacking.behind(error) is not None
            found.setdefault(name, []).append(Missing(words, passes))
    return found


@contextmanager
def placed(config: Config, server: str) -> Iterator[None]:
    """Say of a certificate or key of a server that cannot be loaded where the configuration names it.

    Raises:
        TlsFileError: it cannot.
    """
    try:
        yield
    except TlsFileError as error:
        where = config.places.get(f"servers.{server}.{error.key}")
        if where is None:
            raise
        raise TlsFileError(f"{where}: {error.message}", remedy=error.remedy) from error


def _why_no_secret(secret: Callable[[], str]) -> ConfigError | None:
    """Why a secret cannot be read; None if it can."""
    try:
        secret()
    except ConfigError as error:
        return error
    return None


def _why_no_file(file: Path, where: str) -> ConfigError | None:
    """Why a file that is named somewhere cannot be read; None if it can."""
    try:
        # A pipe would be waited for, and what is read for each context has to be there each time.
        if not (file.is_dir() or file.is_file()) and file.exists():
            return ConfigError(f"{where}: cannot read {file}: it is no regular file", remedy="")
        with file.open("rb"):
            return None
    except OSError as error:
        remedy = "Let the user who runs ftpsyncd read it, and enter the folders above it."
        closed = isinstance(error, PermissionError)
        found = ConfigError(f"{where}: cannot read {file}: {error.strerror}", remedy=remedy if closed else "")
        found.__cause__ = error
        return found
