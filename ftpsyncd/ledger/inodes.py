"""Under which names the ledger has an inode: old paths of what was renamed, and other names of one file.

In: an inode, a fingerprint or a directory. Out: paths. Used through `ledger.Ledger.inodes`, by `offers` and
`othernames`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import BY_INODE, columns, inside, row_of, stored, subtree
from ftpsyncd.model import Fingerprint, Row
from ftpsyncd.paths import join

ROWS_AT_ONCE = 10_000
"""Rows of a directory whose other names are looked up in one go: some thirty milliseconds."""


class Inodes:
    """Looks for inodes in the rows of one ledger.

    Args:
        read: a query.
        version: of the ledger's tables; one that is only read may be older.
    """

    def __init__(self, read: Callable[[str, Sequence[object]], Cursor], *, version: int) -> None:
        self._read = read
        self._columns = columns(version)

    def files(self, mapping: int, fingerprint: Fingerprint) -> list[tuple[str, Row]]:
        """Published files with this fingerprint: candidates for the old path of a rename."""
        cursor = self._read(
            f"SELECT dir, name, {self._columns} FROM {BY_INODE}"  # noqa: S608 - a constant
            " WHERE mapping=? AND inode=? AND size=? AND mtime_ns=? AND kind=0 LIMIT 8",
            (mapping, fingerprint.inode, fingerprint.size, stored(fingerprint.mtime_ns)),
        )
        return [(join(os.fsdecode(r[0]), os.fsdecode(r[1])), row_of(r[2:])) for r in cursor]

    def directories(self, mapping: int, inode: int) -> list[str]:
        """Recorded directories with this inode: candidates for the old path of a directory rename."""
        cursor = self._read(
            f"SELECT dir, name FROM {BY_INODE} WHERE mapping=? AND inode=? AND kind=1 LIMIT 8",  # noqa: S608 - a constant
            (mapping, inode),
        )
        return [join(os.fsdecode(r[0]), os.fsdecode(r[1])) for r in cursor]

    def names(self, mapping: int, inode: int) -> list[tuple[str, Fingerprint]]:
        """Published files with this inode: one file of several names, as it was when each of them was published."""
        cursor = self._read(
            f"SELECT dir, name, {self._columns} FROM {BY_INODE}"  # noqa: S608 - a constant
            " WHERE mapping=? AND inode=? AND kind=0",
            (mapping, inode),
        )
        return [(join(os.fsdecode(r[0]), os.fsdecode(r[1])), row_of(r[2:]).fingerprint) for r in cursor]

    def names_outside(self, mapping: int, directory: str) -> Iterator[tuple[set[str], int]]:
        """Published files outside a directory that have another name inside it (hard links).

        Yields:
            Those of the next files inside, `ROWS_AT_ONCE` at most, which are looked up right then, and how many these
            are.
        """
        below = (os.fsencode(directory), *subtree(directory))
        for (where, values), keys in zip(inside(directory), ("name", "dir,name"), strict=True):
            last: tuple[bytes, ...] | None = ()
            marks = ",".join("?" * len(keys.split(",")))
            while last is not None:
                some, given = (f"{where} AND ({keys})>({marks})", (*values, *last)) if last else (where, values)
                sql = f"SELECT {keys} FROM entry WHERE mapping=? AND {some} ORDER BY {keys} LIMIT 1 OFFSET ?"  # noqa: S608 - constants
                last = self._read(sql, (mapping, *given, ROWS_AT_ONCE - 1)).fetchone()
                if last is not None:
                    some, given = f"{some} AND ({keys})<=({marks})", (*given, *last)
                own = f"FROM entry WHERE mapping=? AND kind=0 AND {some}"
                sql = (
                    f"SELECT other.dir, other.name FROM (SELECT inode {own}) AS own"  # noqa: S608 - constants
                    f" CROSS JOIN {BY_INODE.replace('entry', 'entry AS other', 1)}"
                    " ON other.mapping=? AND other.inode=own.inode AND other.kind=0"
                    " WHERE own.inode<>0 AND NOT (other.dir=? OR (other.dir>=? AND other.dir<?))"
                )
                rows = self._read(sql, (mapping, *given, mapping, *below))
                found = {join(os.fsdecode(r[0]), os.fsdecode(r[1])) for r in rows}
                files = ROWS_AT_ONCE if last else self._read(f"SELECT count(*) {own}", (mapping, *given)).fetchone()[0]
                yield found, files
