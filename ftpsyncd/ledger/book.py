"""The ledger: what each server has confirmed, one row per mapping and path, in SQLite.

The engine is the only writer; it collects changes and commits them in batches (`commit`). Reading commands open the
same file read-only. A power failure may lose the last commits: work done twice, never work skipped. The file itself is
`database`'s matter; what is recorded besides those rows is that of the parts that the ledger puts together.

Paths are stored as the bytes the file system gives (BLOB), so every name that can be on disk can be in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from ftpsyncd.claim import Claim
from ftpsyncd.errors import LedgerError
from ftpsyncd.ledger.alike import Alike
from ftpsyncd.ledger.begun import Begun
from ftpsyncd.ledger.database import Cursor, Database
from ftpsyncd.ledger.decisions import Decisions
from ftpsyncd.ledger.failures import Failures
from ftpsyncd.ledger.history import History
from ftpsyncd.ledger.inbulk import InBulk
from ftpsyncd.ledger.inodes import Inodes
from ftpsyncd.ledger.mappings import Mappings
from ftpsyncd.ledger.tables import (
    FILES_AND_BYTES,
    HISTORY_SINCE,
    LAST_SINCE,
    MIGRATIONS,
    PROFILES_SINCE,
    columns,
    files_and_bytes,
    inside,
    key_of,
    row_of,
    row_values,
)
from ftpsyncd.model import Kind, Row
from ftpsyncd.paths import join

LEDGER = "ledger.db"
"""The file's name in the state directory."""

_PUT = "INSERT OR REPLACE INTO entry VALUES(?,?,?,?,?,?,?,?,?,?,?)"
_REMEMBERED = 10_000
MOVED_AT_ONCE = 10_000
"""Rows below a directory that get their new paths, or are dropped, in one go: some forty milliseconds."""


class Ledger:
    """An open ledger. Used by one thread.

    Args:
        path: the database file; its directory must exist.
        read_only: for commands that only look; the file must exist.
        scratch: a copy to try something with, that is gone when it is closed; empty where there is no file.
        keep_history_s: how long receipts are kept; 0: none are written.
        claim: of the directory, by whoever writes; keeps the file, and is asked before each commit.

    Raises:
        LedgerDamagedError: the file is damaged.
        LedgerNewerError: it was written by a newer version.
        LedgerError: it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        scratch: bool = False,
        keep_history_s: float = 30 * 86400.0,
        claim: Claim | None = None,
    ) -> None:
        self.path = path
        self._db = Database(path, MIGRATIONS, read_only=read_only, scratch=scratch, claim=claim)
        self.mappings = Mappings(self._write, self._read, self.commit)
        self.history = History(
            self._write,
            self._write_many,
            self._read,
            keep_s=keep_history_s,
            last_is_indexed=self._db.version >= LAST_SINCE,
        )
        self.failures = Failures(self._write, self._read)
        self.decisions = Decisions(self._write, self._write_many, self._read, version=self._db.version)
        self.begun = Begun(self._write_many, self._read, version=self._db.version)
        self.alike = Alike(self._read)
        self.inodes = Inodes(self._read, version=self._db.version)
        self.in_bulk = InBulk(self._read, version=self._db.version)
        self._columns = columns(self._db.version)
        self._read_only = read_only
        self._scratch = scratch
        self._rows: dict[tuple[int, str], Row | None] = {}
        """Rows that were read or written lately: an action asks for the same one several times."""
        self._new: dict[tuple[int, str], Row] = {}
        """Rows to be written before the next statement: in one go they cost a third."""
        if not read_only:
            try:
                self.failures.load()
                self.mappings.respell_hosts()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is collected and close; of a copy nothing is kept."""
        try:
            if not self._scratch:
                self.commit()
        finally:
            self._db.close()

    def commit(self) -> None:
        """Make everything collected since the last commit durable, all or nothing.

        Where the disk is full (`trouble`), it stays in memory and is tried again later.
        """
        if self._scratch and len(self._new) + len(self.begun) < _REMEMBERED:
            # Nobody else sees a copy: most intents are over before they are written.
            return
        self._flush()
        self._db.commit()

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded now, in words; empty if all is well."""
        return self._db.trouble

    @property
    def overfull(self) -> bool:
        """Whether so much waits to be recorded that nothing more should be begun."""
        return self._db.overfull

    @property
    def in_order(self) -> bool:
        """Whether it had been closed in order; if not, it is new, or was checked when it was opened."""
        return self._db.in_order

    def distrust(self) -> None:
        """Somebody found it damaged: the next one who opens it checks it."""
        self._db.distrust()

    @property
    def has_history(self) -> bool:
        """Whether the file has a history; one of an older version that is only read may have none."""
        return self._db.version >= HISTORY_SINCE

    @property
    def dirty(self) -> bool:
        """Whether something waits for `commit`."""
        return self._db.dirty or bool(self.begun) or bool(self._new) or self.history.waiting

    def _write(self, sql: str, values: Sequence[object]) -> Cursor:
        if self._new:
            self._write_rows()
        return self._db.write(sql, values)

    def _write_rows(self) -> None:
        new, self._new = self._new, {}
        self._write_many(_PUT, map(row_values, new.items()))

    def _write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        self._db.write_many(sql, rows)

    def _read(self, sql: str, values: Sequence[object]) -> Cursor:
        if self._new:
            self._write_rows()
        return self._db.read(sql, values)

    def _flush(self) -> None:
        """Write what is collected in memory because it is cheaper at once."""
        if self._new:
            self._write_rows()
        self.mappings.flush()
        self.begun.flush()
        self.history.flush()

    # ── entries ──────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, mapping: int, directory: str, *, after: str = "", most: int = -1) -> dict[str, Row]:
        """The rows of one directory, by name and in the order of names; not the root's own row, whose name is empty.

        Args:
            mapping: whose.
            directory: its path.
            after: only those with greater names.
            most: at most so many; all of them if negative.
        """
        cursor = self._read(
            f"SELECT name, {self._columns} FROM entry"  # noqa: S608 - constants
            " WHERE mapping=? AND dir=? AND name>? ORDER BY name LIMIT ?",
            (mapping, os.fsencode(directory), os.fsencode(after), most),
        )
        return {os.fsdecode(r[0]): row_of(r[1:]) for r in cursor}

    def row(self, mapping: int, path: str) -> Row | None:
        """The row of one path."""
        key = (mapping, path)
        if key in self._rows:
            return self._rows[key]
        found = self._read(
            f"SELECT {self._columns} FROM entry WHERE mapping=? AND dir=? AND name=?",  # noqa: S608 - constants
            (mapping, *key_of(path)),
        ).fetchone()
        row = row_of(found) if found else None
        if not self._read_only:
            self._remember(key, row)
        return row

    def bear_in_mind(self, mapping: int, path: str, row: Row | None) -> None:
        """A row that has just been read with those of its directory will be asked for again."""
        self._remember((mapping, path), row)

    def _remember(self, key: tuple[int, str], row: Row | None) -> None:
        if len(self._rows) >= _REMEMBERED:
            self._rows.clear()
        self._rows[key] = row

    def holds_any(self, mapping: int, directory: str) -> bool:
        """Whether the ledger has a row directly in this directory."""
        sql = "SELECT 1 FROM entry WHERE mapping=? AND dir=? AND name<>x'' LIMIT 1"
        return self._read(sql, (mapping, os.fsencode(directory))).fetchone() is not None

    def is_empty(self, mapping: int) -> bool:
        """Whether nothing was ever published by this mapping."""
        return self._read("SELECT 1 FROM entry WHERE mapping=? AND name<>x'' LIMIT 1", (mapping,)).fetchone() is None

    def walk(self, mapping: int, *, after: str | None = None, most: int = -1) -> Iterator[tuple[str, Row]]:
        """All rows of a mapping, in the order of their directories.

        Args:
            mapping: whose.
            after: only those behind this path.
            most: at most so many; all of them if negative.
        """
        behind, key = ("", ()) if after is None else (" AND (dir, name)>(?,?)", key_of(after))
        sql = f"SELECT dir, name, {self._columns} FROM entry WHERE mapping=?{behind} ORDER BY dir, name LIMIT ?"  # noqa: S608 - constants
        for r in self._read(sql, (mapping, *key, most)):
            yield join(os.fsdecode(r[0]), os.fsdecode(r[1])), row_of(r[2:])

    def put(self, mapping: int, path: str, row: Row) -> None:
        """Record a path as confirmed by the server."""
        if self._read_only:
            raise LedgerError(f"cannot write the ledger {self.path}: it is open for reading only")
        self._count_out(mapping, path)
        self._new[mapping, path] = row
        self._remember((mapping, path), row)
        if row.kind is Kind.FILE:
            self.mappings.count(mapping, 1, row.fingerprint.size, row.published_ns)

    def forget(self, mapping: int, path: str) -> None:
        """Drop the row of one path."""
        self._count_out(mapping, path)
        self._write("DELETE FROM entry WHERE mapping=? AND dir=? AND name=?", (mapping, *key_of(path)))
        self._remember((mapping, path), None)

    def forget_tree(self, mapping: int, directory: str) -> int:
        """Drop the row of a directory and all rows below it; returns how many those are."""
        rows = sum(self._forget_where(mapping, where, values) for where, values in inside(directory))
        self.failures.clear_below(mapping, directory)
        self.forget(mapping, directory)
        return rows

    def forget_some(self, mapping: int, directory: str) -> bool:
        """Before `forget_tree`: drop some of the rows below a directory, but not its own; whether there may be more.

        What is in a directory goes before the directory: wherever this is broken off, and whatever is on disk by then,
        each row that is left can be found gone.
        """
        (here, values), (further, bounds) = inside(directory)
        some = self._last(mapping, further, bounds, "dir,name")
        if some is None and (some := self._last(mapping, here, values, "name")) is not None:
            self._forget_where(mapping, further, bounds)
        if some is not None:
            self._forget_where(mapping, *some)
        return some is not None

    def _last(
        self, mapping: int, where: str, values: Sequence[bytes], keys: str
    ) -> tuple[str, tuple[bytes, ...]] | None:
        """A condition for the last `MOVED_AT_ONCE` of some rows; None if there are not so many."""
        order = ",".join(f"{key} DESC" for key in keys.split(","))
        sql = f"SELECT {keys} FROM entry WHERE mapping=? AND {where} ORDER BY {order} LIMIT 1 OFFSET ?"  # noqa: S608 - constants
        first = self._read(sql, (mapping, *values, MOVED_AT_ONCE - 1)).fetchone()
        if first is None:
            return None
        return f"{where} AND ({keys})>=({','.join('?' * len(first))})", (*values, *first)

    def _forget_where(self, mapping: int, where: str, values: Sequence[object]) -> int:
        """Drop some rows; how many those are."""
        sql = f"SELECT {FILES_AND_BYTES} FROM entry WHERE mapping=? AND kind=0 AND {where}"  # noqa: S608 - constants
        files, size = files_and_bytes(self._read(sql, (mapping, *values)).fetchone())
        self.mappings.count(mapping, -files, -size)
        dropped = self._write(f"DELETE FROM entry WHERE mapping=? AND {where}", (mapping, *values))  # noqa: S608 - constants
        self._rows.clear()
        return dropped.rowcount

    def _count_out(self, mapping: int, path: str) -> None:
        old = self.row(mapping, path)
        if old is not None and old.kind is Kind.FILE:
            self.mappings.count(mapping, -1, -old.fingerprint.size)

    def move(self, mapping: int, source: str, target: str, *, begun: bool = False) -> None:
        """Record that the server renamed a file or a directory with everything below it; what was there is gone.

        Args:
            mapping: whose.
            source: the old path.
            target: the new one.
            begun: some of what is below has its new path already (`move_some`), unless there was something at that.
        """
        row = self.row(mapping, source)
        if row is None or source == target:
            return
        if begun and self.row(mapping, target) is None:
            self.failures.clear_below(mapping, target)
        else:
            self.forget_tree(mapping, target)
        self._write(
            "UPDATE entry SET dir=?, name=? WHERE mapping=? AND dir=? AND name=?",
            (*key_of(target), mapping, *key_of(source)),
        )
        if row.kind is Kind.DIR:
            for table in ("entry", "failure"):
                for where, values in inside(source):
                    self._move_where(table, mapping, source, target, where, values)
            self.failures.recount(mapping)
        self._rows.clear()

    def move_some(self, mapping: int, source: str, target: str) -> bool:
        """Before `move`: give some of the rows below a directory that the server renamed their new paths.

        The directory's own row is the last one, and goes with `move`: until then the ledger has the directory under its
        old path, and the rename is not over.

        Returns:
            Whether there may be more.
        """
        if self.row(mapping, source) is None or self.row(mapping, target) is not None:
            return False
        if f"{source}/".startswith(f"{target}/") or target.startswith(f"{source}/"):
            # What has moved could be below the old path still, or again, and would move once more.
            return False
        if (some := self._some_below(mapping, source)) is None:
            return False
        self._move_where("entry", mapping, source, target, *some)
        self._rows.clear()
        return True

    def rename_all(self, mapping: int, renamed: Sequence[tuple[str, str, Row]]) -> None:
        """Give many rows other paths in one go.

        All go before any comes: the new path of one may be the old path of another. What else has a new path is gone.

        Args:
            mapping: whose.
            renamed: the old path of each, the new one, and the row.
        """
        files, size = self._published(mapping)
        keys = ((mapping, *key_of(source)) for source, _, _ in renamed)
        self._write_many("DELETE FROM entry WHERE mapping=? AND dir=? AND name=?", keys)
        self._write_many(_PUT, (row_values(((mapping, target), row)) for _, target, row in renamed))
        self._rows.clear()
        files_after, size_after = self._published(mapping)
        self.mappings.count(mapping, files_after - files, size_after - size)

    def _published(self, mapping: int) -> tuple[int, int]:
        """Files and bytes of a mapping, counted."""
        sql = f"SELECT {FILES_AND_BYTES} FROM entry WHERE mapping=? AND kind=0"  # noqa: S608 - constants
        return files_and_bytes(self._read(sql, (mapping,)).fetchone())

    def _some_below(self, mapping: int, directory: str) -> tuple[str, tuple[bytes, ...]] | None:
        """A condition for the first `MOVED_AT_ONCE` rows below a directory; None if there are not so many any more."""
        for (where, values), keys in zip(inside(directory), ("name", "dir,name"), strict=True):
            sql = f"SELECT {keys} FROM entry WHERE mapping=? AND {where} ORDER BY {keys} LIMIT 1 OFFSET ?"  # noqa: S608 - constants
            last = self._read(sql, (mapping, *values, MOVED_AT_ONCE - 1)).fetchone()
            if last is not None:
                return f"{where} AND ({keys})<=({','.join('?' * len(last))})", (*values, *last)
        return None

    def _move_where(
        self, table: str, mapping: int, source: str, target: str, where: str, values: Sequence[object]
    ) -> None:
        # CAST keeps the result a BLOB: || yields text.
        self._write(
            f"UPDATE OR REPLACE {table} SET dir=CAST(?||substr(dir,?) AS BLOB) WHERE mapping=? AND {where}",  # noqa: S608 - constants
            (os.fsencode(target), len(os.fsencode(source)) + 1, mapping, *values),
        )

    # ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────

    def profile(self, account: str) -> str:
        """What was learned of the server of an account; empty if nothing was."""
        if self._db.version < PROFILES_SINCE:
            return ""
        found = self._read("SELECT text FROM profile WHERE account=?", (account,)).fetchone()
        return found[0] if found else ""

    def put_profile(self, account: str, text: str) -> None:
        """Keep what was learned of the server of an account."""
        self._write("INSERT OR REPLACE INTO profile VALUES(?,?)", (account, text))
