"""How a daemon and all that it publishes are doing at one moment. Immutable; the shapes of docs/control-api.md.

Imported by every command that asks a daemon, so it imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

STOPPED = "no daemon is running"
"""How what is said of a mapping begins of which nothing is worse."""


class MappingState(StrEnum):
    """The state of a mapping in one word."""

    IN_SYNC = "in_sync"
    SYNCING = "syncing"
    SETTLING = "settling"
    OFFLINE = "offline"
    HELD = "held"
    SOURCE_MISSING = "source_missing"
    PAUSED = "paused"


class ServerState(StrEnum):
    """The state of a server in one word."""

    IDLE = "idle"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    """Login or TLS refused: waits long, wants a person."""
    FULL = "full"
    UNKNOWN = "unknown"
    """Not tried yet."""


class DaemonStatus(NamedTuple):
    """The daemon itself."""

    running: bool
    pid: int
    version: str
    uptime_s: float
    message: str = ""
    """What is wrong with the daemon's own memory, the ledger; empty when all is well."""
    notice: str = ""
    """That this daemon had to begin a new ledger, and why; empty if it did not."""
    alerts: str = ""
    """Why the last message of `alerts` could not be delivered; empty if it was, or there was none."""
    shortage: str = ""
    """What this machine lacks, so that nothing, or less at a time, can be begun, and what helps; empty: nothing."""
    at_work: bool = False
    """No daemon runs, but another ftpsyncd has the ledger, such as a `sync`."""
    stuck: str = ""
    """That its engine does nothing any more, so that all the rest is of before; empty if it works."""


class MappingStatus(NamedTuple):
    """One mapping at one moment."""

    name: str
    local: str
    remote: str
    state: MappingState
    pending: int
    in_flight: int
    failed: int
    """Paths whose last try failed and that are tried again."""
    parked: int
    held: int
    """Files whose deletes are withheld until a person decides."""
    published_files: int
    published_bytes: int
    last_publish: str | None
    """ISO 8601 with offset, UTC; None if nothing was published yet."""
    message: str
    """One sentence; empty when all is well."""
    oldest_pending_s: float | None = None
    """How long the file, or folder that cannot be read, has been waiting that waits longest; None if none waits."""
    watcher: str = ""
    """How changes are noticed: ``native``, ``poll``, ``native+poll``, or ``none`` yet; empty without a daemon."""
    since: str | None = None
    """ISO 8601: since when deletes are held, the folder is missing or a person paused it, as far as known; or None."""
    directories_held: int = 0
    """Directories in which no published file is left, and whose removal is withheld, besides what `held` counts."""
    comparing: bool = False
    """The folder is being looked at, or about to be: what is pending may not be all."""
    oldest_pending: str = ""
    """Which file that is, and what it waits for; empty if none waits, or it is among the problems."""
    settling: int = 0
    """Those of `pending` that are not at rest: a program writes them, or has just done so."""


class ServerStatus(NamedTuple):
    """One server at one moment."""

    name: str
    state: ServerState
    connections: int
    message: str
    since: str | None = None
    """ISO 8601: since when it does not work, or the directory is full that `message` names; None if all works."""
    next_try: str | None = None
    """ISO 8601: when it is tried again, where it does not work and that is not now."""


class Transfer(NamedTuple):
    """A file on its way."""

    mapping: str
    path: str
    sent_bytes: int
    size_bytes: int
    rate_bytes_s: float
    still_s: float = 0.0
    """Since when nothing more of it could be sent, or, if all was, the server has not said that it has it."""


class Problem(NamedTuple):
    """A path that could not be published or deleted, for people."""

    mapping: str
    path: str
    parked: bool
    attempts: int
    message: str
    reply: str
    remedy: str
    next_try: str | None
    """ISO 8601; None when parked or held, and for what cannot be read, which is looked at whenever it changes."""
    held: bool = False
    """It is to be deleted, and was changed at the server: it waits for a decision, and is not parked."""
    failed: str | None = None
    """ISO 8601: when the last try failed; None for what cannot be read, and where that is not known, since this
    machine's clock was ahead."""
    awaits: str = ""
    """What has to happen before it is tried again, which is not before `next_try`: words behind "tried again"."""


class Status(NamedTuple):
    """Everything at one moment; the shape of ``status --json``."""

    daemon: DaemonStatus
    mappings: tuple[MappingStatus, ...]
    servers: tuple[ServerStatus, ...]
    transfers: tuple[Transfer, ...]
    problems: tuple[Problem, ...] = ()
    """At most 100, parked and held ones first."""


def only(status: Status, names: Collection[str]) -> Status:
    """What concerns these mappings: themselves, their servers, transfers and problems; everything if there are none."""
    if not names:
        return status
    mappings = tuple(each for each in status.mappings if each.name in names)
    servers = {each.remote.partition(":")[0] for each in mappings}
    return status._replace(
        mappings=mappings,
        servers=tuple(each for each in status.servers if each.name in servers),
        transfers=tuple(each for each in status.transfers if each.mapping in names),
        problems=tuple(each for each in status.problems if each.mapping in names),
    )
