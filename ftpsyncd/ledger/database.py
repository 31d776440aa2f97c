"""The ledger's file as a database: opened, checked, migrated, and written so that a full disk does no harm.

With `sqlitefile`, which opens it and looks at its pages, the only import of sqlite3. WAL with ``synchronous=NORMAL``: a
power failure may lose the last commits, never the file's integrity. `ledger` says what is in it.

- **Damage.** The file says whether it was closed in order. If not, it is checked before it is used, with its indexes if
  damage showed at work; else `check` may be asked for at any time, beside the one who writes.
- **A disk that is full.** What was written since the last commit is kept as statements, too. Where the file cannot be
  written, they are put into a new transaction that stays open, in memory: whoever reads over this connection sees them,
  nobody else does, and nothing is lost but by a crash. Every `RETRY_S` the commit is tried again. One that is full
  already when the file is opened has no room for the memory by which readers and writers agree: until there is some,
  the file is ours alone (``locking_mode=EXCLUSIVE``, wal.html of SQLite, section 8), and nobody else reads it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ftpsyncd import descriptors, lacking, room
from ftpsyncd.claim import Claim
from ftpsyncd.errors import LedgerDamagedError, LedgerError, LedgerLostError, LedgerNewerError, NoDescriptorError
from ftpsyncd.ledger import sqlitefile
from ftpsyncd.ledger.sqlitefile import COMPANIONS, code

RETRY_S = 3.0
"""How often a commit that failed for lack of space is tried again."""
STATEMENTS_MAX = 20_000
"""So many statements may wait in memory for space; then nothing more should be begun."""
COPY_IN_MEMORY = 128 << 20
"""Bytes of a copy that are held in memory. What is more goes to a temporary file, and so does a copy that begins with a
quarter of that, some 200,000 paths: SQLite writes its cache at a commit, as at the end of copying, when so much is new.
"""

_OPEN, _CLOSED, _DOUBTED = 0x66747001, 0x66747000, 0x66747002
"""Values of ``PRAGMA application_id``: somebody works with the file; it was closed in order; damage showed at work."""

_Statement = tuple[str, Sequence[Any], bool]
"""SQL, values, and whether the values are those of many rows."""

Cursor = sqlite3.Cursor


class _Reading(sqlite3.Cursor):
    """A cursor whose rows are read from the file while they are taken, so that errors come then, too."""

    error: Callable[[str, sqlite3.Error], LedgerError]

    def fetchone(self) -> Any:
        """The next row, or None."""
        try:
            return super().fetchone()
        except sqlite3.Error as error:
            raise self.error("read", error) from error

    def fetchall(self) -> list[Any]:
        """All rows."""
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            raise self.error("read", error) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.Error as error:
            raise self.error("read", error) from error


class Database:
    """An open database. Used by one thread.

    Args:
        path: the file; its directory must exist.
        migrations: the script at index n turns a file of schema n into one of schema n + 1.
        read_only: the file must exist.
        scratch: a copy of it, of this moment, that nobody else sees and that is gone when it is closed; an empty one
            where there is no file. It is in memory, and beyond `COPY_IN_MEMORY` in a temporary file.
        claim: of the directory, by whoever writes; keeps the file and what belongs to it, and is asked before each
            commit.

    Raises:
        LedgerDamagedError: it is damaged.
        LedgerNewerError: it was written by a newer version.
        LedgerError: it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        *,
        read_only: bool = False,
        scratch: bool = False,
        claim: Claim | None = None,
    ) -> None:
        self.path = path
        self._claim = claim
        self.trouble = ""
        """Why nothing can be written now, in words; empty if all is well."""
        self.in_order = True
        """It was closed in order when it was last used; one that is new was not: another may have been there before."""
        self._read_only = read_only
        self._scratch = scratch
        self._writing = False
        self._statements: list[_Statement] = []
        """Everything since the last commit."""
        self._retry_at = 0.0
        self._distrusted = False
        self._exclusive = False
        """Nobody else can read it, for lack of space."""
        self._alone_since: int | None = None
        """Read without any lock, since nobody writes: when it was written last."""
        with self._errors("open"):
            if read_only:
                self._db = self._reader()
            elif scratch:
                self._db = self._copy()
            else:
                self._db = self._writer()
            try:
                self.version = self._known_version(len(migrations))
                if not read_only:
                    self._prepare(migrations)
                    self._keep()
            except BaseException:
                self._db.close()
                raise

    def _writer(self) -> sqlite3.Connection:
        """A connection that reads and writes, beside others that read, or on a full disk alone."""
        db, self._exclusive = sqlitefile.to_write(self.path)
        return db

    def _reader(self) -> sqlite3.Connection:
        """A connection that only reads."""
        db, self._alone_since = sqlitefile.to_read(self.path)
        return db

    def _copy(self) -> sqlite3.Connection:
        """A database of nobody else's (https://sqlite.org/inmemorydb.html, "Temporary Databases")."""
        db = sqlite3.connect("", isolation_level=None)
        try:
            db.execute(f"PRAGMA cache_size=-{COPY_IN_MEMORY >> 10}")
            if self.path.exists():
                with closing(self._reader()) as source, self._errors("copy"):
                    source.backup(db)
            # A journal is needed by nobody: what is half done is thrown away with the rest.
            db.execute("PRAGMA journal_mode=OFF")
            db.execute("PRAGMA synchronous=OFF")
        except BaseException:
            db.close()
            raise
        return db

    def _known_version(self, newest: int) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:
            msg = f"the ledger {self.path} was written by a newer ftpsyncd (schema {version}, known {newest})"
            raise LedgerNewerError(msg)
        return version

    def _prepare(self, migrations: Sequence[str]) -> None:
        # Of a copy it is asked whoever works with the file.
        found = self._db.execute("PRAGMA application_id").fetchone()[0]
        self.in_order = self._scratch or found == _CLOSED
        if self.version and not self.in_order:
            # What is in an index and not in its table, or the reverse, shows nowhere else: it would be met for ever.
            problem = sqlitefile.problem_of(self._db, indexes=found == _DOUBTED)
            if problem:
                raise self._damaged(problem)
        if not self._scratch:
            self._db.execute("PRAGMA journal_mode=WAL")
        if self.version < len(migrations):
            # All or nothing: what breaks off leaves the file as it was.
            scripts = "".join(migrations[self.version :])
            self._db.executescript(f"BEGIN IMMEDIATE; {scripts} PRAGMA user_version={len(migrations)}; COMMIT;")
            self.version = len(migrations)
        if self._scratch:
            # Without an end: a commit would only have SQLite write what may stay in memory.
            self._db.execute("BEGIN")
            return
        self.write(f"PRAGMA application_id={_OPEN}", ())
        self.commit()

    # ── errors ───────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: sqlite3.Error) -> LedgerError:
        if self._alone_since not in {None, sqlitefile.written_at(self.path)}:
            return LedgerError(
                f"the ledger {self.path} was written while it was read", remedy="A daemon was started: ask again."
            )
        if code(error) in sqlitefile.NO_PLACE and (few := lacking.few_left(descriptors.FOR_LEDGER)):
            return LedgerError(f"cannot {doing} the ledger {self.path}: {few}", remedy=NoDescriptorError.remedy)
        if self._scratch and doing != "open" and code(error) in sqlitefile.NO_PLACE:
            return LedgerError(
                f"there is no place, or no room, for a temporary copy of the ledger {self.path}: {error}",
                remedy="Have SQLITE_TMPDIR name a folder with room for it that may be written.",
            )
        if code(error) in sqlitefile.DAMAGED:
            self._distrusted = True
            # That of a page which the disk could not read is told in the same words (`unixRead` in SQLite's os_unix.c).
            return self._damaged(
                f"{error}, or its disk cannot read all of it, of which the log of the kernel would tell"
            )
        if room.is_full(self.path.parent):
            # SQLite calls it an I/O error where it cannot make the files beside the ledger.
            return LedgerError(
                f"cannot {doing} the ledger {self.path}: no space is left on its disk",
                remedy="Free space on the disk of the state directory.",
            )
        if room.takes_no_file(self.path.parent):
            return LedgerError(
                f"cannot {doing} the ledger {self.path}: no further file can be made on its disk", remedy=room.INODES
            )
        return LedgerError(f"cannot {doing} the ledger {self.path}: {error}")

    def _damaged(self, problem: str) -> LedgerDamagedError:
        return LedgerDamagedError(f"the ledger {self.path} is damaged: {problem}")

    def distrust(self) -> None:
        """Somebody found it damaged: it is not closed as one that is in order."""
        self._distrusted = True

    # ── reading and writing ──────────────────────────────────────────────────────────────────────────────────

    @property
    def dirty(self) -> bool:
        """Whether something waits for `commit`."""
        return self._writing

    @property
    def overfull(self) -> bool:
        """Whether as much waits in memory for space as may."""
        return bool(self.trouble) and len(self._statements) >= STATEMENTS_MAX

    def read(self, sql: str, values: Sequence[object]) -> Cursor:
        """Ask; what is not yet committed counts."""
        cursor = self._db.cursor(_Reading)
        cursor.error = self._error
        try:
            return cursor.execute(sql, values)
        except sqlite3.Error as error:
            raise self._error("read", error) from error

    def write(self, sql: str, values: Sequence[object]) -> Cursor:
        """Change something at the next commit."""
        return self._write((sql, values, False))

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for many rows."""
        self._write((sql, list(rows), True))

    def _write(self, statement: _Statement) -> Cursor:
        if self._scratch:
            with self._errors("write"):
                return self._execute(statement)
        self._statements.append(statement)
        try:
            self._begin()
            return self._execute(statement)
        except sqlite3.Error as error:
            if not self._is_kept(error):
                self._statements.pop()
                raise self._error("write", error) from error
            return self._keep_in_memory(error)

    def _begin(self) -> None:
        if not self._writing:
            self._db.execute("BEGIN IMMEDIATE")
            self._writing = True

    def _execute(self, statement: _Statement) -> Cursor:
        sql, values, many = statement
        return self._db.executemany(sql, values) if many else self._db.execute(sql, values)

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing; where the disk is full, later."""
        if not self._writing or (self.trouble and time.monotonic() < self._retry_at):
            return
        with self._claimed():
            self._commit()

    def _commit(self) -> None:
        """Every write to the file itself, and not to its write-ahead log, is in here, or in `close`."""
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if not self._is_kept(error):
                raise self._error("write", error) from error
            self._keep_in_memory(error)
            return
        self._writing = False
        self._statements.clear()
        if self.trouble:
            self.trouble = ""
            self._db.execute("PRAGMA cache_spill=ON")
        if self._exclusive and not room.is_full(self.path.parent):
            # That mode is not left within a connection.
            self._db.close()
            with self._errors("open"):
                self._db = self._writer()
            self._keep()

    def _keep(self) -> None:
        """Have the file, and what belongs to it, kept as it is by whoever has claimed its directory."""
        if self._claim is not None and not self._scratch:
            for file in self._files():
                if file.exists():
                    self._claim.keep(file, ours_alone=file == self.path)

    def _files(self) -> list[Path]:
        """The file, and those that SQLite has beside it."""
        return [self.path.with_name(self.path.name + companion) for companion in COMPANIONS]

    def _claimed(self) -> AbstractContextManager[None]:
        """While the file is written.

        Raises:
            LedgerLostError: it may not be written any more.
        """
        return self._claim.writing() if self._claim is not None else nullcontext()

    def _is_kept(self, error: sqlite3.Error) -> bool:
        """Whether what cannot be written for this is kept for later."""
        return not self._read_only and code(error) in sqlitefile.UNWRITABLE

    def _keep_in_memory(self, error: sqlite3.Error) -> Cursor:
        """The file cannot be written: the transaction goes on in memory, whole, whatever SQLite has undone of it."""
        why = "no space is left on its disk" if code(error) == sqlite3.SQLITE_FULL else str(error)
        if room.is_read_only(self.path.parent):
            why = f"its disk is read-only now, of which the log of the kernel tells more ({error})"
        self.trouble = f"the ledger {self.path} cannot be written: {why}"
        self._retry_at = time.monotonic() + RETRY_S
        with self._errors("write"):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._writing = False
            self._db.execute("PRAGMA cache_spill=OFF")
            self._begin()
            # Never empty: what failed was a statement, or the commit of some.
            return [self._execute(statement) for statement in self._statements][-1]

    def close(self) -> None:
        """Commit and close; a copy is gone.

        Raises:
            LedgerLostError: it is not what it was.
            LedgerError: what was written lately cannot be recorded.
        """
        try:
            if not (self._read_only or self._scratch):
                with self._claimed():
                    pass
                self._retry_at = 0.0
                if self._distrusted:
                    self._doubt()
                self.commit()
                if not self.trouble and not self._distrusted:
                    self.write(f"PRAGMA application_id={_CLOSED}", ())
                    self.commit()
            if self.trouble:
                raise LedgerError(self.trouble, remedy="What was done lately is found out again at the next start.")
        except LedgerLostError:
            self._leave()
            raise
        finally:
            self._db.close()

    def _doubt(self) -> None:
        """Have the next one who opens it check all of it; what was not committed yet would not help."""
        with suppress(sqlite3.Error), self._claimed():
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._writing = False
            self._statements.clear()
            self._db.execute(f"PRAGMA application_id={_DOUBTED}")

    def _leave(self) -> None:
        """Write nothing more into a file that is somebody else's by now, and leave nothing of ours beside it.

        SQLite would write into it what is in the write-ahead log, and whoever opens it next take that for its own
        (https://sqlite.org/howtocorrupt.html, section 1.3). If only the log is gone, we still have it open, and all
        that is in it belongs into the file.
        """
        if self._claim is None or not self._claim.became(self.path):
            return
        # A checkpoint that is interrupted is given up, and the log stays (`walCheckpoint` in SQLite's wal.c).
        self._db.interrupt()
        self._db.close()
        for file in self._files()[1:]:
            if self._claim.is_ours(file):
                file.unlink(missing_ok=True)
