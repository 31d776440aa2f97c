"""What a configuration becomes: frozen records, made of the specs of :mod:`ftpsyncd.specs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ftpsyncd.specs import AlertSpec, MappingSpec, ServerSpec

KEEP_HISTORY_S = 30 * 86400.0
"""How long receipts are kept where the file does not say."""


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
