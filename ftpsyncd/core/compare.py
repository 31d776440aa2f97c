"""One directory at the server compared with the ledger's rows of it: what is missing, wrong, or unknown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from ftpsyncd.core import sizes
from ftpsyncd.model import Kind, Row


class Drift(StrEnum):
    """How the server differs from what the ledger says it has."""

    MISSING = "missing"
    WRONG_KIND = "wrong_kind"
    """A directory where a file was published, or the reverse."""
    WRONG_SIZE = "wrong_size"
    WRONG_CONTENT = "wrong_content"
    """The size is right, the hash is not."""
    SAME_NAME = "same_name"
    """The server takes its name for that of another path that was published: it has one of the two."""
    UNKNOWN = "unknown"
    """The server has something that was never published from here."""


class Seen(NamedTuple):
    """What the server shows under one name."""

    kind: Kind
    size: int | None
    """None where the server does not say."""


def is_unsettled(row: Row) -> bool:
    """Whether the ledger itself doubts a file and will publish it anew."""
    return row.kind is Kind.FILE and row.fingerprint.is_doubted


def judge(row: Row | None, seen: Seen | None) -> Drift | None:
    """Compare one name; None if all is as it should be, as far as can be seen."""
    if row is None:
        return None if seen is None else Drift.UNKNOWN
    if seen is None:
        return Drift.MISSING
    if row.kind is not seen.kind:
        return Drift.WRONG_KIND
    if row.kind is Kind.FILE and not sizes.fits(seen.size, row.fingerprint.size):
        return Drift.WRONG_SIZE
    return None


def compare(rows: Mapping[str, Row], seen: Mapping[str, Seen]) -> Iterator[str]:
    """The names of a directory that differ, those of the ledger first."""
    for name, row in rows.items():
        if not is_unsettled(row) and judge(row, seen.get(name)) is not None:
            yield name
    yield from (name for name in seen if name not in rows)
