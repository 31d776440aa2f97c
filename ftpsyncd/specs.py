"""What the parts below `service` know of the configuration: servers, mappings, alerts. Immutable.

In: nothing. Out: plain data, made by `config`. Names and units are those of docs/config.md.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.expression import Expression

_HOST = Expression(r"@([^@/]*)(:[0-9]+)(?=/|\Z)")
"""The host and the port of an account."""


class DeletePolicy(StrEnum):
    """What a local delete does at the server."""

    MIRROR = "mirror"
    TRASH = "trash"
    KEEP = "keep"


class ExistingPolicy(StrEnum):
    """What to do about a remote file that we never published."""

    ADOPT = "adopt"
    OVERWRITE = "overwrite"
    KEEP = "keep"


class PublishMode(StrEnum):
    """Under which name a file is sent."""

    ATOMIC = "atomic"
    DIRECT = "direct"


class WatchMode(StrEnum):
    """How changes are noticed."""

    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


class TlsMode(StrEnum):
    """How a connection is protected (RFC 4217: explicit; implicit is the older practice on port 990)."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"
    OFF = "off"


class DataMode(StrEnum):
    """Who opens the data connection (RFC 959 §3.3)."""

    PASSIVE = "passive"
    ACTIVE = "active"


class ServerSpec(NamedTuple):
    """One FTP account and its limits."""

    name: str
    """What it is called here."""
    host: str
    """A name, or an address of version 4 or 6 without brackets."""
    user: str
    port: int = 21
    """Of the control line; servers with implicit TLS mostly have it on 990."""
    password: Callable[[], str] = lambda: ""
    """Reads the secret when it is needed, so that a rotated secret is picked up; raises ConfigError."""
    tls: TlsMode = TlsMode.EXPLICIT
    tls_verify: bool = True
    """False: any certificate will do."""
    tls_ca: Path | None = None
    """PEM file of certificates to trust besides the system's."""
    client_cert: Path | None = None
    """PEM file, with `client_key`, for a server that asks for one."""
    client_key: Path | None = None
    """PEM file; without a passphrase."""
    tls_max: str = "1.3"
    """The highest version to offer: ``1.2`` or ``1.3``."""
    mode: DataMode = DataMode.PASSIVE
    connections: int = 4
    """The most at a time; for those that open several."""
    bandwidth_bytes_s: int = 0
    """The most over all connections of a daemon, or of a command; each of a program has it alone. 0: unlimited."""
    timeout_s: float = 30.0
    """For a control reply; the last word about a file has a minute at least (`ftpsyncd.remote.wire.Timeouts`)."""
    encoding: str = "utf-8"
    """Of file names at the server: a codec of Python's that contains ASCII."""


class AlertLimits(NamedTuple):
    """How long something may last before a person is told."""

    server_offline_s: float = 300.0
    oldest_pending_s: float = 3600.0
    source_missing_s: float = 60.0
    paused_s: float = 3600.0
    remind_s: float = 86400.0
    """How often what lasts is told again; 0: never."""


class AlertSpec(NamedTuple):
    """Whom to tell when something needs a person."""

    command: tuple[str, ...] = ()
    webhook: Callable[[], str] | None = None
    """Reads the address when it is needed; raises ConfigError."""
    limits: AlertLimits = AlertLimits()
    secret_variables: frozenset[str] = frozenset()
    """Of the environment: those that hold a secret of the configuration, and are for no command."""


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """How many deletes at once need no person: a count, or a share of what is published."""

    count: int = 50
    percent: float | None = None

    def of(self, published_files: int) -> int:
        """The number of deletes allowed when ``published_files`` are published."""
        if self.percent is None:
            return self.count
        return int(published_files * self.percent / 100)


class MappingSpec(NamedTuple):
    """One local folder published to one remote directory."""

    name: str
    local: Path
    server: str
    remote: str
    include: tuple[str, ...] = ("@media",)
    exclude: tuple[str, ...] = ()
    settle_s: float = 2.0
    deletes: DeletePolicy = DeletePolicy.MIRROR
    delete_after_s: float = 10.0
    max_deletes: DeleteLimit = DeleteLimit()
    existing: ExistingPolicy = ExistingPolicy.ADOPT
    publish: PublishMode = PublishMode.ATOMIC
    watch: WatchMode = WatchMode.AUTO
    poll_every_s: float = 15.0
    rescan_s: float = 900.0
    follow_symlinks: bool = False
    empty_dirs: bool = False


def plain_host(host: str) -> str:
    """A host as it is known by: the same in capitals, and with the dot at its end that has no domain added.

    And one with characters beyond ASCII as it is asked for (``xn--…``, RFC 3490).
    """
    if not host.isascii():
        # What cannot be encoded is no host, and stands for nothing else.
        with suppress(UnicodeError):
            host = host.encode("idna").decode("ascii")
    return host.lower().rstrip(".")


def account_key(server: ServerSpec) -> str:
    """What an account is known by: other accounts of a server may be allowed other things."""
    return f"{server.user}@{plain_host(server.host)}:{server.port}"


def destination(spec: MappingSpec, server: ServerSpec) -> str:
    """Which directory of which account a mapping publishes to: another one is a ledger of its own."""
    return f"{account_key(server)}{spec.remote}"


def with_plain_host(place: str) -> str:
    """A destination, or an account, as it is told now: older versions kept the host as it was written."""
    return _HOST.compiled.sub(lambda found: f"@{plain_host(found[1])}{found[2]}", place, count=1)


class Overlap(NamedTuple):
    """Where the place of one mapping is in that of another: one of the two is empty, both if it is the same place."""

    inside: str
    """The directory of the other that is the place of the first."""
    around: str
    """The directory of the first that is the place of the other."""

    def of(self, path: str) -> str | None:
        """What the other calls the path of a file of the first; None if it is not in its place."""
        if not self.around:
            return f"{self.inside}/{path}" if self.inside else path
        return path.removeprefix(f"{self.around}/") if path.startswith(f"{self.around}/") else None

    def back(self, path: str) -> str | None:
        """What the first calls the path of a file of the other; None if it is not in its place."""
        return Overlap(self.around, self.inside).of(path)

    def back_tree(self, directory: str) -> str | None:
        """What the first calls the part of a directory of the other that is in its place; empty: all that it has."""
        return Overlap(self.around, self.inside).of_tree(directory)

    def of_tree(self, directory: str) -> str | None:
        """What the other calls the part of a directory of the first that is in its place; empty: all that it has."""
        return "" if f"{self.around}/".startswith(f"{directory}/") else self.of(directory)


def overlap(one: str, other: str) -> Overlap | None:
    """How two destinations (see `destination`) overlap; None if they do not."""
    mine, theirs = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    if mine.startswith(theirs):
        return Overlap(mine[len(theirs) : -1], "")
    return Overlap("", theirs[len(mine) : -1]) if theirs.startswith(mine) else None
