"""What the history keeps of every publish, rename, delete, failure and hold, and how it is asked. Immutable."""

from __future__ import annotations

from typing import NamedTuple


class HistoryQuery(NamedTuple):
    """Which receipts are wanted."""

    mapping: str | None = None
    kinds: tuple[str, ...] = ()
    """Values of `EventKind`; all if empty."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Wall clock; the first is included, the second is not. What was tried several times is of all the time between."""
    path: str = ""
    """Relative to the mapping's folder: this path and all below it."""
    before: tuple[int, int] | None = None
    """Only those older than this one: its time and id."""
    limit: int = 50
    among: tuple[str, ...] = ()
    """Only of these mappings; of any if empty."""


class Receipt(NamedTuple):
    """What happened to a path, or to a mapping; the shape of an entry of ``history --json``."""

    id: int
    at: str
    """ISO 8601 with offset, UTC; of the first try, where several are counted in one receipt."""
    mapping: str
    kind: str
    """A value of `EventKind`."""
    path: str
    source: str
    """The old path of a rename; else empty."""
    size: int
    sha256: str
    """64 hexadecimal digits; empty where the content is not known."""
    duration_s: float
    attempts: int
    last: str
    """Of the latest try; the same as ``at`` where there was one."""
    reply: str
    message: str


class HistoryPage(NamedTuple):
    """Receipts, newest first."""

    entries: tuple[Receipt, ...]
    next: str | None = None
    """What to ask for as ``before`` to read on; None: there are no more."""
