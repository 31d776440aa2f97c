"""The configuration: a YAML file becomes frozen records, with every problem reported at once.

In: a file, the environment. Out: :class:`Config`, made of the specs of :mod:`ftpsyncd.specs`. Called by `service`,
`check`, `demo` and the command line. The contract is docs/config.md.

Read in this order: `reading` (what is in a file, or a pipe), `document` (YAML with positions), `mistakes` (what is no
YAML), `unfit` (why a value does not fit), `unanswered` (why a file cannot be read), `units`, `values`, `password` and
`places` (single values), `section` (what a key is), `keys` (what each key accepts), `rules` and `disks` (what keys mean
together), `loading` (all of it in a row), `records` (what becomes of it), `referred` (the secrets and certificates that
it refers to). PyYAML is imported only when a file is really loaded: a command that needs no configuration does not pay
for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftpsyncd.config.records import KEEP_HISTORY_S, Config, ControlSpec, LogSpec
from ftpsyncd.config.referred import Missing, known_secrets, missing_secrets, placed
from ftpsyncd.config.unanswered import UnansweredError
from ftpsyncd.errors import ConfigError

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
    "named_state_dir",
    "placed",
    "schema",
]

_JOIN = "Use sudo, or join the group of the service: `usermod -aG ftpsyncd USER`, then log in again."


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
