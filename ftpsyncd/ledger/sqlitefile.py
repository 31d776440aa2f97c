"""The file of a SQLite database: how it is opened, whether its pages are in order, and what its errors mean.

In: a path. Out: connections, and raw errors of SQLite; what they are to whoever works with the ledger is said in
`database`. Nothing here knows what is in the file.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ftpsyncd import claim, descriptors, lacking, room
from ftpsyncd.errors import LedgerError
from ftpsyncd.expression import Expression

UNWRITABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
NO_PLACE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""What SQLite says of a temporary file that it cannot make, or cannot write."""
COMPANIONS = ("", "-wal", "-shm")
"""What SQLite appends to the name of a database for the files that belong to it."""

IN_MEMORY = Path(":memory:")
"""SQLite's name for a database without a file."""

_ERROR_CODE = Expression(r"error code=([0-9]+)", re.ASCII)
_NOT_OURS = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})

# Bytes are stored as they are. Unless told so, sqlite3 looks for another form of each, and makes an error, which it
# drops, of finding none: that costs as much as to store it. For each file fourteen values are bytes.
sqlite3.register_adapter(bytes, bytes.__bytes__)

# ── Opening ──────────────────────────────────────────────────────────────────────────────────────────────────────


def to_write(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection that reads and writes.

    Returns:
        It, and whether nobody else can read the file meanwhile: on a full disk there is no room for the memory by which
        readers and writers agree.
    """
    _make(path)
    db, alone = _connect(path), False
    try:
        db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        db.close()
        if code(error) not in UNWRITABLE or not room.is_full(path.parent):
            raise
        db, alone = _connect(path), True
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("PRAGMA synchronous=NORMAL")
    return db, alone


def _make(path: Path) -> None:
    """Make the file if there is none: SQLite would let everybody read it, and gives those beside it the same rights."""
    if path != IN_MEMORY:
        # What is wrong with its place is said by SQLite.
        with suppress(OSError):
            path.touch(claim.MODE, exist_ok=False)


def _connect(path: Path) -> sqlite3.Connection:
    # The engine's thread uses it; the service's start thread opened it.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)


def to_read(path: Path) -> tuple[sqlite3.Connection, int | None]:
    """A connection that only reads, also for who may not make the files by which readers and writers agree.

    Returns:
        It, and when the file was written last if it is read without any lock, since nobody writes.

    Raises:
        LedgerError: it was not closed in order, and cannot be read without those files.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        db.close()
        if code(error) not in _NOT_OURS or lacking.few_left(descriptors.FOR_LEDGER):
            raise
        since = written_at(path)
        if path.with_name(f"{path.name}-wal").exists():
            raise LedgerError(
                f"cannot open the ledger {path}: it was not closed in order, and you may not write beside it",
                remedy="Use sudo, or start the daemon, which answers in its place.",
            ) from error
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None), since
    return db, None


# ── What errors mean ─────────────────────────────────────────────────────────────────────────────────────────────


def code(error: sqlite3.Error) -> int | None:
    """The kind of an error, without its finer distinctions; None where it is not SQLite's."""
    found = getattr(error, "sqlite_errorcode", None)
    return None if found is None else found & 0xFF


def written_at(path: Path) -> int:
    """When a file was written last, in ns since the epoch; 0 if nobody can tell."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


# ── Its pages ────────────────────────────────────────────────────────────────────────────────────────────────────


def problem_of(db: sqlite3.Connection, *, indexes: bool = False) -> str:
    """What is wrong with the pages of a database; empty if nothing is.

    Args:
        db: it.
        indexes: also whether each index has what its table has, which takes several times as long.
    """
    check = "integrity_check" if indexes else "quick_check"
    found: str = db.execute(f"PRAGMA {check}(1)").fetchone()[0]
    return "" if found == "ok" else _explained(" ".join(found.split()))


def _explained(problem: str) -> str:
    """What a check has found, for people: of a page that the disk cannot read it tells a number (`SQLITE_IOERR_…`)."""
    told = _ERROR_CODE.search(problem)
    if told is None or int(told[1]) & 0xFF != sqlite3.SQLITE_IOERR:
        return problem
    return f"its disk cannot read all of it, of which the log of the kernel tells more ({problem})"


def check(path: Path, begun: Callable[[Callable[[], None]], None] = lambda _interrupt: None) -> str:
    """What is wrong with a database that somebody else may be writing; empty if nothing is, or nobody can tell.

    Args:
        path: the file.
        begun: is given a function that ends the check from another thread.
    """
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except sqlite3.Error:
        return ""

    def interrupt() -> None:
        with suppress(sqlite3.ProgrammingError):  # it is closed by now
            db.interrupt()

    try:
        begun(interrupt)
        return problem_of(db)
    except sqlite3.Error as error:
        return str(error) if code(error) in DAMAGED else ""
    except MemoryError:
        return ""
    finally:
        db.close()
