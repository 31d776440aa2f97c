"""Rows that may not be true any more: what a server has there is found out by publishing it anew.

In: paths of one mapping in the ledger. Out: rows that say so. Used by `intents` and `inquiries`, for what was begun and
has no outcome, by `takeovers`, for what another mapping may have done, for a directory that was renamed late, and by
`places`, for what is on another disk.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import MISSING, Fingerprint, Kind, Row
from ftpsyncd.paths import parent

ROWS_AT_ONCE = 2000
"""Rows that are looked through in one turn of the engine: some thirty milliseconds."""


def doubt_row(ledger: Ledger, mapping: int, path: str, *, whole: bool = True) -> bool:
    """The server may not have what the ledger says of a file: it is published anew. False: the ledger has none.

    Args:
        ledger: of which the row is changed.
        mapping: its number there.
        path: of the file.
        whole: what it holds there is in doubt; else only whether it is there, and it is sent only if not.
    """
    row = ledger.row(mapping, path)
    if row is None or row.kind is not Kind.FILE:
        return False
    ledger.put(mapping, path, row._replace(fingerprint=row.fingerprint.doubted(), sha256=b"" if whole else row.sha256))
    return True


def doubt_directory(ledger: Ledger, mapping: int, path: str) -> bool:
    """The server may not have a directory: it is made anew. False: the ledger has none."""
    row = ledger.row(mapping, path)
    if row is None or row.kind is not Kind.DIR:
        return False
    ledger.put(mapping, path, row._replace(fingerprint=MISSING))
    return True


def is_in_doubt(ledger: Ledger, mapping: int, path: str) -> bool:
    """Whether the server may have something else than the ledger says of a file."""
    row = ledger.row(mapping, path)
    return row is not None and row.kind is Kind.FILE and row.fingerprint.is_doubted


def doubt_tree(ledger: Ledger, mapping: int, directory: str) -> bool:
    """The server may have nothing of a directory and all below it. False: the ledger has nothing of it either."""
    below = [path for path, _ in ledger.in_bulk.below(mapping, directory)]
    row = ledger.row(mapping, directory) if directory else None
    for path in ([directory] if row is not None else []) + below:
        if not doubt_directory(ledger, mapping, path):
            doubt_row(ledger, mapping, path)
    return bool(below) or row is not None


def require_directories(ledger: Ledger, mapping: int, directory: str) -> list[str]:
    """Record a directory, and those below it, in which something is recorded, but not they; which those are.

    Of a rename that was recorded in part the directory itself comes last. Without it, nobody would look there for what
    is gone. Which directory each is on disk is still to be seen.
    """
    if ledger.row(mapping, directory) is not None:
        return []
    missing: dict[str, None] = {}
    for path in ledger.in_bulk.directories_below(mapping, directory):
        while path != parent(directory) and path not in missing and ledger.row(mapping, path) is None:
            missing[path] = None
            path = parent(path)  # noqa: PLW2901 - up to the directory
    for path in missing:
        ledger.put(mapping, path, Row(Kind.DIR, Fingerprint(0, 0, 0), b"", 0))
    return list(missing)


def doubt_some_dated(ledger: Ledger, mapping: int, directories: Sequence[str], after: str) -> str:
    """Have some files below directories on another disk read, though they look as they were published.

    Each disk has inodes of its own: one that was filled in the same order has those of the other, and dates that a
    program has set agree in whole seconds. Dates that agree to the nanosecond are those of copies.

    Args:
        ledger: of which rows are changed.
        mapping: its number there.
        directories: the root may be one.
        after: the path up to which that was done; empty: not yet.

    Returns:
        The path up to which it is done now; empty: there is nothing more.
    """
    rows = list(ledger.walk(mapping, after=after, most=ROWS_AT_ONCE))
    prefixes = tuple(f"{directory}/" if directory else "" for directory in directories)
    for path, row in rows:
        if row.kind is Kind.FILE and not row.fingerprint.mtime_ns % 10**9 and path.startswith(prefixes):
            doubt_row(ledger, mapping, path, whole=False)
    return rows[-1][0] if len(rows) == ROWS_AT_ONCE else ""


def join_in_doubt(ledger: Ledger, mapping: int, source: str, target: str) -> None:
    """The server may have under a directory's new name what was recorded under either; nothing under the old one.

    It was renamed late, and took the place of what was made meanwhile; or somebody has removed it, and there is only
    that. What the directory lacks here by now is found gone under the new name.
    """
    for path in [source, *(path for path, _ in ledger.in_bulk.below(mapping, source))]:
        after, row = f"{target}{path[len(source) :]}", ledger.row(mapping, path)
        ledger.forget(mapping, path)
        if row is not None and ledger.row(mapping, after) is None:
            ledger.put(mapping, after, row)
    for directory in (source, target):
        ledger.failures.clear_below(mapping, directory)
    doubt_tree(ledger, mapping, target)
