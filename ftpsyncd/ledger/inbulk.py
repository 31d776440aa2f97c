"""Many rows of the ledger at once: those of one directory, or of all that is below it, read or compared in bulk.

In: a directory. Out: names, kinds and counts, and records only where they are asked for. Used through
`ledger.Ledger.in_bulk`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import (
    CTIME_SINCE,
    ENCODING,
    ERRORS,
    FILES_AND_BYTES,
    among,
    columns,
    files_and_bytes,
    inside,
    row_of,
    subtree,
)
from ftpsyncd.model import Entry, Kind, Row
from ftpsyncd.paths import basename, join, parent
from ftpsyncd.specs import Overlap

_READ_AT_ONCE = 500
"""Names asked for with one statement; SQLite takes 999 values in old versions (SQLITE_MAX_VARIABLE_NUMBER)."""


class Beside(NamedTuple):
    """Some rows of one directory beside what is on disk."""

    others: list[str]
    """The names of all other rows."""
    same: set[str]
    """The names of the files that are recorded exactly as they are, and are no others (`Row.may_be_another`)."""
    last: str
    """The last name, where there may be rows behind it; empty if there are none."""


class InBulk:
    """Reads many rows of one ledger.

    Args:
        read: a query.
        version: of the ledger's tables; one that is only read may be older.
    """

    def __init__(self, read: Callable[[str, Sequence[object]], Cursor], *, version: int) -> None:
        self._read = read
        self._columns = columns(version)
        self._times = (
            "CASE ctime_ns WHEN 0 THEN published_ns ELSE ctime_ns END, ctime_ns"
            if version >= CTIME_SINCE
            else "published_ns, 0"
        )
        """`Row.seen_ns` and `Row.ctime_ns`."""

    def beside(
        self, mapping: int, directory: str, entries: Mapping[str, Entry], *, after: str = "", most: int = -1
    ) -> Beside:
        """One directory's rows compared with what is on disk, without making a record of any.

        Args:
            mapping: whose.
            directory: its path.
            entries: what is in it on disk.
            after: only the rows with greater names.
            most: at most so many rows; all of them if negative.
        """
        cursor = self._read(
            f"SELECT kind, size, mtime_ns, inode, {self._times}, name FROM entry"  # noqa: S608 - constants
            " WHERE mapping=? AND dir=? AND name>? ORDER BY name LIMIT ?",
            (mapping, os.fsencode(directory), os.fsencode(after), most),
        )
        same: set[str] = set()
        others: list[str] = []
        name = ""
        note, found, file = same.add, entries.get, Kind.FILE
        # All in one go: taken one by one, each would cost a call more.
        for kind, size, mtime_ns, inode, seen_ns, ctime_ns, raw in cursor.fetchall():
            name = raw.decode(ENCODING, ERRORS)
            entry = found(name)
            # Dates that are stored otherwise (`stored`) are merely not found to be the same here.
            if entry is not None and entry[1] == (size, mtime_ns, inode) and entry[0] is file and kind == 0:
                # As `Row.may_be_another`.
                if (entry[2] > seen_ns or entry[2] < ctime_ns) and not mtime_ns % 1_000_000_000:
                    others.append(name)
                else:
                    note(name)
            else:
                others.append(name)
        return Beside(others, same, name if len(others) + len(same) == most else "")

    def rows_of(self, mapping: int, directory: str, names: Sequence[str]) -> dict[str, Row]:
        """The rows of some names of one directory, by name: of at most some thousand."""
        if not names:
            return {}
        some, values = among(names)
        sql = f"SELECT name, {self._columns} FROM entry WHERE mapping=? AND dir=? AND name IN {some}"  # noqa: S608 - constants
        cursor = self._read(sql, (mapping, os.fsencode(directory), *values))
        return {os.fsdecode(r[0]): row_of(r[1:]) for r in cursor}

    def unknown(self, mapping: int, paths: Iterable[str]) -> list[str]:
        """Those of many paths that have no row."""
        by_directory: dict[str, list[str]] = {}
        for path in paths:
            by_directory.setdefault(parent(path), []).append(basename(path))
        found: list[str] = []
        for directory, names in by_directory.items():
            for first in range(0, len(names), _READ_AT_ONCE):
                asked = names[first : first + _READ_AT_ONCE]
                some, values = among(asked)
                sql = f"SELECT name FROM entry WHERE mapping=? AND dir=? AND name IN {some}"  # noqa: S608 - placeholders
                known = {os.fsdecode(name) for (name,) in self._read(sql, (mapping, os.fsencode(directory), *values))}
                found += [join(directory, name) for name in asked if name not in known]
        return found

    def files_below(self, mapping: int, directory: str) -> int:
        """The number of published files below a directory, at any depth."""
        low, high = subtree(directory)
        sql = (
            "SELECT (SELECT count(*) FROM entry WHERE mapping=? AND dir=? AND kind=0)"
            " + (SELECT count(*) FROM entry WHERE mapping=? AND dir>=? AND dir<? AND kind=0)"
        )
        return int(self._read(sql, (mapping, os.fsencode(directory), mapping, low, high)).fetchone()[0])

    def in_both(self, mapping: int, other: int, overlap: Overlap) -> tuple[int, int]:
        """How many of a mapping's files are recorded of another one, too, and their bytes.

        Args:
            mapping: whose.
            other: of another time, or name.
            overlap: of the place of the first with that of the other.
        """
        around, within = os.fsencode(overlap.around), os.fsencode(overlap.inside)
        at: tuple[object, ...] = ()
        theirs = "mine.dir"
        if around:
            theirs, at = "substr(mine.dir, ?)", (len(around) + 2,)
        elif within:
            theirs, at = "CAST(CASE mine.dir WHEN x'' THEN ? ELSE ?||'/'||mine.dir END AS BLOB)", (within, within)
        files = size = 0
        for where, values in inside(overlap.around):
            sql = (
                f"SELECT {FILES_AND_BYTES.replace('size', 'mine.size')} FROM entry AS mine JOIN entry AS theirs"  # noqa: S608 - constants
                f" ON theirs.mapping=? AND theirs.dir={theirs} AND theirs.name=mine.name AND theirs.kind=0"
                f" WHERE mine.mapping=? AND mine.kind=0 AND mine.{where.replace(' dir', ' mine.dir')}"
            )
            some = files_and_bytes(self._read(sql, (other, *at, mapping, *values)).fetchone())
            files, size = files + some[0], size + some[1]
        return files, size

    def below(self, mapping: int, directory: str) -> Iterator[tuple[str, Kind]]:
        """What is recorded below a directory, at any depth, each with its kind; in no order."""
        for where, values in inside(directory):
            sql = f"SELECT dir, name, kind FROM entry WHERE mapping=? AND name<>x'' AND {where}"  # noqa: S608 - a constant
            for above, name, kind in self._read(sql, (mapping, *values)):
                yield join(os.fsdecode(above), os.fsdecode(name)), Kind.DIR if kind else Kind.FILE

    def directories_below(self, mapping: int, directory: str) -> list[str]:
        """A directory and those below it in which anything is recorded, whether they are recorded themselves or not."""
        found: list[str] = []
        for where, values in inside(directory):
            sql = f"SELECT DISTINCT dir FROM entry WHERE mapping=? AND name<>x'' AND {where}"  # noqa: S608 - a constant
            found += [os.fsdecode(above) for (above,) in self._read(sql, (mapping, *values))]
        return found

    def some_below(
        self, mapping: int, directory: str, *, after: tuple[str, str] | None = None, most: int
    ) -> list[tuple[str, str, Kind]]:
        """What is recorded below a directory, at any depth: each directory, name and kind, in the order of these.

        Args:
            mapping: whose.
            directory: not the root.
            after: only those behind this directory and name.
            most: at most so many.
        """
        low, high = subtree(directory)
        found: list[tuple[bytes, bytes, int]] = []
        sql = "SELECT dir, name, kind FROM entry WHERE mapping=? AND dir=? AND name>? ORDER BY name LIMIT ?"
        if after is None or after[0] == directory:
            name = os.fsencode(after[1] if after is not None else "")
            found += self._read(sql, (mapping, os.fsencode(directory), name, most))
            after = None
        sql = (
            "SELECT dir, name, kind FROM entry WHERE mapping=? AND (dir, name)>(?,?) AND dir<?"
            " ORDER BY dir, name LIMIT ?"
        )
        begin = (low, b"") if after is None else (os.fsencode(after[0]), os.fsencode(after[1]))
        found += self._read(sql, (mapping, *begin, high, most - len(found)))
        return [(os.fsdecode(above), os.fsdecode(name), Kind.DIR if kind else Kind.FILE) for above, name, kind in found]

    def mount_points_below(self, mapping: int, directory: str) -> list[str]:
        """The recorded directories below a directory, at any depth, that were mount points."""
        found: list[str] = []
        for where, values in inside(directory):
            sql = f"SELECT dir, name FROM entry WHERE mapping=? AND kind=1 AND device<>0 AND {where}"  # noqa: S608 - a constant
            rows = self._read(sql, (mapping, *values))
            found += [join(os.fsdecode(above), os.fsdecode(name)) for above, name in rows]
        return found
