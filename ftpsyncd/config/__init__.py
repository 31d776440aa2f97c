"""The configuration: a YAML file becomes frozen records, with every problem reported at once.

In: a file, the environment. Out: :class:`Config`, made of the specs of :mod:`ftpsyncd.specs`. Called by `service`,
`check`, `demo` and the command line. The contract is docs/config.md.

Read in this order: `reading` (what is in a file, or a pipe), `document` (YAML with positions), `unfit` (why a value
does not fit), `units`, `values`, `password` and `places` (single values), `section` (what a key is), `keys` (what each
key accepts), `rules` (what keys mean together), `loading` (all of it in a row). PyYAML is imported only when a file is
really loaded: a command that needs no configuration does not pay for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ftpsyncd import lacking, patience
from ftpsyncd.config.unanswered import UnansweredError
from ftpsyncd.errors import ConfigError, TlsFileError
from ftpsyncd.specs import AlertSpec, MappingSpec, ServerSpec

if TYPE_CHECKING:
    from ftpsyncd.config.document import Document

__all__ = [
    "KEEP_HISTORY_S",
    "Config",
    "ControlSpec",
    "LogSpec",
    "Missing",
    "UnansweredError",
    "find_config",
    "glance",
    "known_secrets",
    "load",
    "missing_secrets",
    "placed",
    "schema",
]

KEEP_HISTORY_S = 30 * 86400.0
"""How long receipts are kept where the file does not say."""

_JOIN = "Use sudo, or join the group of the service: `usermod -aG ftpsyncd USER`, then log in again."


class ControlSpec(NamedTuple):
    """Where a running daemon listens for commands."""

    socket: Path
    """A Unix socket."""
    http: tuple[str, int] | None = None
    """Loopback address (IPv6 without brackets) and port of a TCP listener; None: no TCP listener."""


class LogSpec(NamedTuple):
    """What is logged, and how."""

    level: str = "info"
    """One of debug, info, warning, error."""
    format: str = "text"
    """One of text, json."""


class Config(NamedTuple):
    """A configuration that passed every check that needs no network."""

    path: Path
    """Absolute path of the file it came from."""
    servers: Mapping[str, ServerSpec]
    mappings: Mapping[str, MappingSpec]
    state_dir: Path
    control: ControlSpec
    history_s: float = KEEP_HISTORY_S
    """How long receipts are kept; 0: none are written."""
    log: LogSpec = LogSpec()
    alerts: AlertSpec | None = None
    """Whom to tell when something needs a person; None: nobody."""
    names_state_dir: bool = False
    """The file does; else that is where the environment has it, which may be another one for the service."""
    warnings: tuple[str, ...] = ()
    """Allowed, but probably not wanted; one sentence each, with its place in the file."""
    places: Mapping[str, str] = MappingProxyType({})
    """Of keys that refer to secrets and certificates (``servers.web.tls_ca``): ``file:line:col  key.path``."""


def load(path: Path, *, environ: Mapping[str, str] = os.environ, document: Document | None = None) -> Config:
    """Read and validate a configuration file.

    Looks at the disk (are the local folders there?), never at the network, and reads no secret.

    Args:
        path: the file; relative paths in it are relative to its folder.
        environ: for defaults ($STATE_DIRECTORY …) and, later, for the secrets that it refers to.
        document: the file as `glance` has read it just now; it is not read again.

    Raises:
        ConfigError: the message has one line per problem, each ``file:line:col  key.path: found …; expected …``.
    """
    from ftpsyncd.config import loading  # noqa: PLC0415  # for YAML: see the module docstring

    return loading.load(path, environ=environ, document=document)


def glance(path: Path, *, environ: Mapping[str, str] = os.environ) -> tuple[Path | None, Document | None]:
    """Where a daemon that runs with this file listens, at a fraction of the cost of `load`.

    Returns:
        The socket, None if finding it takes `load`; and the file for `load`, None if it has to be read anew for that,
        as it is wrong.

    Raises:
        ConfigError: the file cannot be read, or is not YAML, and does not say plainly all the same where that is.
    """
    from ftpsyncd.config import document, places  # noqa: PLC0415  # as in `load`

    path = Path(os.path.abspath(path))  # noqa: PTH100  # as there
    raw = document.raw(path)
    try:
        found = document.parse(path, raw)
    except ConfigError:
        salvaged = document.salvage(path, raw, places.OF_THE_SOCKET)
        # What came through a pipe cannot be read again, to say what is wrong with it.
        if salvaged is None or not path.is_file():
            raise
        return places.socket_at_a_glance(salvaged, environ), None
    socket = places.socket_at_a_glance(found, environ)
    # What it complains of now would be told twice.
    return socket, document.parse(path, raw) if socket is None else found


def named_state_dir(document: Document, *, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The `state_dir` that a file names plainly, read by `glance`; None if it names none, or not so."""
    from ftpsyncd.config import places  # noqa: PLC0415  # as in `load`

    return places.named_state_dir(document, environ)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file, for editors; it accepts whatever `load` accepts."""
    from ftpsyncd.config import keys  # noqa: PLC0415  # as in `load`

    return keys.schema()


def find_config(explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file to use: ``-c``, else $FTPSYNCD_CONFIG, else the first that exists of the usual places.

    Raises:
        ConfigError: nothing was found; the message lists the places, or names the one that cannot be read. A file
            that was named explicitly is not replaced by another one.
    """
    named = explicit or (Path(environ["FTPSYNCD_CONFIG"]) if environ.get("FTPSYNCD_CONFIG") else None)
    if named is not None:
        if _is_there(named):
            return named
        source = "" if explicit else " (named by $FTPSYNCD_CONFIG)"
        raise ConfigError(
            f"{named}{source}: no such file", remedy="Check the name; `config.example.yaml` is a file to start from."
        )
    # A service of the system may have no variable that tells its user's home.
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  # Path.home raises if there is none
    of_user = [f"{home}/.config/ftpsyncd/config.yaml"] if home.startswith("/") else []
    usual = ["./config.yaml", *of_user, "/etc/ftpsyncd/config.yaml"]
    if (own := environ.get("XDG_CONFIG_HOME", "")).startswith("/"):
        # Where `install-service --user` puts it, and the service finds it (%E).
        usual.insert(1, f"{own}/ftpsyncd/config.yaml")
    closed: ConfigError | None = None
    for place in map(Path, usual):
        try:
            if _is_there(place):
                return place
        except ConfigError as error:
            closed = error
    if closed is not None:
        raise closed
    raise ConfigError(
        f"no configuration found; looked at: $FTPSYNCD_CONFIG (not set), {', '.join(usual)}",
        remedy="Name a file with -c, or copy config.example.yaml to one of these places; `ftpsyncd demo` needs none.",
    )


def _is_there(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        ConfigError: it lies where this user may not look.
    """
    try:
        path.stat()
    except PermissionError:
        raise ConfigError(f"{path}: cannot be read: Permission denied", remedy=_JOIN) from None
    except (OSError, ValueError):
        return False
    return True


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
