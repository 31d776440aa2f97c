"""What is worth a line in the log, an alarm, or an event to those who follow a daemon. Immutable."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class EventKind(StrEnum):
    """What happened, in one word; the log's ``event`` field."""

    __hash__ = str.__hash__
    """As in `Did`."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    KEPT = "kept"
    RENAMED = "renamed"
    DELETED = "deleted"
    TRASHED = "trashed"
    MADE = "made"
    REMOVED = "removed"
    FORGOTTEN = "forgotten"
    FAILED = "failed"
    PARKED = "parked"
    HELD = "held"
    RELEASED = "released"
    SERVER_OFFLINE = "server_offline"
    SERVER_ONLINE = "server_online"
    NO_RENAMES = "no_renames"
    SOURCE_MISSING = "source_missing"
    SOURCE_BACK = "source_back"
    WATCHER = "watcher"
    RESCAN = "rescan"
    REPAIR = "repair"
    LEDGER = "ledger"
    LEDGER_BACK = "ledger_back"
    SHORTAGE = "shortage"
    SHORTAGE_OVER = "shortage_over"


class Event(NamedTuple):
    """Something that happened; rendered by the log, later by the control socket too."""

    kind: EventKind
    mapping: str = ""
    path: str = ""
    server: str = ""
    message: str = ""
    size: int = 0
    duration_s: float = 0.0
    reply: str = ""
    remedy: str = ""
    source: str = ""
    """The old path of a rename."""
    sha256: bytes = b""
    """Of the content; empty where it is not known."""
    attempts: int = 1
    """Which try this was, counted from 1."""
    error: str = ""
    """Class name of the error of a failure."""
