"""The ledger's file: damage is found and set aside, and a full disk costs nothing but time."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from ftpsyncd.claim import Claim
from ftpsyncd.errors import ExitCode, LedgerDamagedError, LedgerError
from ftpsyncd.ledger import database, recovery, sqlitefile
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.database import Database
from ftpsyncd.ledger.decisions import Decisions
from ftpsyncd.ledger.mappings import Mappings
from ftpsyncd.ledger.recovery import Checkup, open_for_work, set_aside
from ftpsyncd.ledger.tables import MIGRATIONS
from ftpsyncd.model import Fingerprint, Intent, Kind, Row
from tests.smalldisk import eat, small_disk
from tests.waiting import until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def file(size: int = 10) -> Row:
    return Row(Kind.FILE, Fingerprint(size, 1, 7), b"s" * 32, 1)


def fill(ledger: Ledger, mapping: int, count: int, prefix: str = "file") -> None:
    for n in range(count):
        ledger.put(mapping, f"{prefix}{n}", file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def filled(path: Path) -> Path:
    """A ledger of some pages, closed in order."""
    with Ledger(path) as ledger:
        fill(ledger, ledger.mappings.number("gallery", "here"), 2000)
        ledger.decisions.set_paused(ledger.mappings.number("shop", "there"), 5)
    return path


def application_id(path: Path) -> int:
    db = sqlite3.connect(path)
    found: int = db.execute("PRAGMA application_id").fetchone()[0]
    db.close()
    return found


def abandon(ledger: Ledger) -> None:
    """As a crash does: what was committed is there, and it was not closed in order."""
    ledger._db._db.close()


def damage(path: Path, *, pages: slice = slice(3, None)) -> None:
    """Overwrite pages with noise."""
    data = bytearray(path.read_bytes())
    size = 4096
    count = len(data) // size
    noise = random.Random(1)
    for page in range(*pages.indices(count)):
        data[page * size : (page + 1) * size] = noise.randbytes(size)
    path.write_bytes(data)


# ── Damage ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_says_whether_it_was_closed_in_order(path: Path):
    ledger = Ledger(path)
    assert not ledger.in_order, "of what another one may have had in its place, it knows nothing"
    opened = application_id(path)
    ledger.close()
    assert application_id(path) != opened
    ledger = Ledger(path)
    assert ledger.in_order
    assert application_id(path) == opened
    abandon(ledger)
    again = Ledger(path)
    assert not again.in_order
    again.close()
    with Ledger(path) as last:
        assert last.in_order


def test_a_ledger_in_order_is_not_checked_and_one_that_is_not_is(filled: Path, monkeypatch: pytest.MonkeyPatch):
    checks: list[object] = []

    def no_problem(db: sqlite3.Connection, *, indexes: bool) -> str:
        assert not indexes
        checks.append(db)
        return ""

    monkeypatch.setattr(sqlitefile, "problem_of", no_problem)
    abandon(Ledger(filled))
    assert not checks
    Ledger(filled).close()
    assert len(checks) == 1
    Ledger(filled).close()
    assert len(checks) == 1


def test_damage_is_found_after_a_crash(filled: Path):
    abandon(Ledger(filled))
    damage(filled)
    with pytest.raises(LedgerDamagedError, match="is damaged: "):
        Ledger(filled)


class Checked:
    """A connection whose check finds this."""

    def __init__(self, found: str) -> None:
        self._found = found

    def execute(self, _sql: str) -> Checked:
        return self

    def fetchone(self) -> tuple[str]:
        return (self._found,)


@pytest.mark.parametrize(
    ("found", "by_disk"),
    [
        # SQLITE_IOERR_CORRUPTFS and SQLITE_IOERR_READ, as of a pread that failed with EIO.
        ("*** in database main ***\nPage 15: unable to get the page. error code=8458", True),
        ("*** in database main ***\nTree 2 page 15: unable to get the page. error code=266", True),
        ("*** in database main ***\nPage 15: unable to get the page. error code=11", False),
        ("*** in database main ***\nPage 15 is never used", False),
    ],
)
def test_a_disk_that_cannot_read_the_ledger_is_named(found: str, *, by_disk: bool):
    """It was told by a number of SQLite's, as damage of the file."""
    problem = sqlitefile.problem_of(cast("sqlite3.Connection", Checked(found)))
    assert problem.startswith("its disk cannot read all of it") is by_disk
    assert " ".join(found.split()) in problem


def test_damage_that_is_met_at_work_is_found_at_the_next_start(filled: Path):
    damage(filled, pages=slice(30, None))
    ledger = Ledger(filled)  # closed in order: not checked
    mapping = ledger.mappings.find("gallery", "here")
    assert mapping is not None
    # SQLite says the same of a page that its disk could not read (EIO): neither is told for certain.
    with pytest.raises(LedgerDamagedError, match="malformed, or its disk cannot read all of it"):
        list(ledger.walk(mapping))
    ledger.close()
    with pytest.raises(LedgerDamagedError):
        Ledger(filled)


def edited(path: Path, *statements: tuple[str, tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Change a database behind SQLite's back; what the last statement returns."""
    found: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema=ON")
        for sql, values in statements:
            found = db.execute(sql, values).fetchall()
    return found


def test_an_index_that_lacks_what_is_in_its_table_is_met_once_and_not_at_each_start(filled: Path):
    """`quick_check` finds nothing, and each delete of that row ended the daemon."""
    [index] = edited(filled, ("SELECT * FROM sqlite_master WHERE name='entry_inode'", ()))
    edited(filled, ("DELETE FROM sqlite_master WHERE name='entry_inode'", ()))
    edited(filled, ("UPDATE entry SET inode=inode+1000000 WHERE dir=x'' AND name<>x''", ()))
    edited(filled, ("INSERT INTO sqlite_master VALUES(?,?,?,?,?)", index))
    with closing(sqlite3.connect(filled)) as db:
        assert not sqlitefile.problem_of(db)
    ledger = Ledger(filled)
    mapping = ledger.mappings.find("gallery", "here")
    assert mapping is not None
    name = next(name for name, row in ledger.rows(mapping, "").items() if row.fingerprint.inode > 1000000)
    with pytest.raises(LedgerDamagedError):
        ledger.forget(mapping, name)
    ledger.close()
    again, notice = open_for_work(filled, keep_history_s=0, now=NOW)
    with again:
        assert "missing from index entry_inode" in notice
        assert again.mappings.find("gallery", "here") is None


@pytest.mark.parametrize("how", ["noise", "garbage", "cut off"])
def test_a_damaged_ledger_is_kept_and_a_new_one_begun(filled: Path, how: str):
    abandon(Ledger(filled))
    if how == "noise":
        damage(filled)
    elif how == "garbage":
        filled.write_bytes(b"this is no database, " * 1000)
    else:
        filled.write_bytes(filled.read_bytes()[:20_000])
    before = filled.read_bytes()
    ledger, notice = open_for_work(filled, keep_history_s=0, now=NOW)
    with ledger:
        kept = filled.with_name("ledger.db.damaged-20260203-040506")
        assert str(kept) in notice
        assert "nothing is deleted" in notice
        assert kept.read_bytes() == before
        assert ledger.mappings.find("gallery", "here") is None
        shop = ledger.mappings.find("shop", "there")
        if how == "noise":
            assert shop is not None, "what a person paused stays paused, where that can still be read"
            assert ledger.decisions.paused_ns(shop) == 5
            with Ledger(filled, read_only=True) as on_disk:
                assert on_disk.decisions.paused_ns(shop) == 5, "also for the next start, whatever happens now"
    again, notice = open_for_work(filled, keep_history_s=0, now=NOW)
    again.close()
    assert notice == ""


def test_damage_that_shows_when_the_directory_is_claimed_already_is_told_of_all_the_same(tmp_path: Path):
    """It was closed in order, so nothing of it was read before it was kept an eye on."""
    path = tmp_path / "state/ledger.db"
    with Claim(path.parent):
        Ledger(path).close()
    damage(path, pages=slice(2, None))
    with Claim(path.parent) as claim:
        ledger, notice = open_for_work(path, keep_history_s=0, now=NOW, claim=claim)
        with ledger:
            assert str(path.with_name("ledger.db.damaged-20260203-040506")) in notice
            fill(ledger, ledger.mappings.number("gallery", "here"), 1)
            claim.require()


def test_a_ledger_of_which_nothing_is_left_is_begun_anew_with_a_word(path: Path):
    """A power failure, or a restore that broke off; nothing that a person paused can be known."""
    for emptied in (False, True, False):
        if emptied:
            path.write_bytes(b"")
        ledger, notice = open_for_work(path, keep_history_s=0, now=NOW)
        ledger.close()
        assert notice.startswith(f"the ledger {path} is an empty file" if emptied else "")
        assert bool(notice) is emptied


def test_what_is_beside_an_empty_file_is_no_ledger(path: Path):
    """SQLite deletes the write-ahead log then, whatever is in it."""
    log = path.with_name(f"{path.name}-wal")
    with Ledger(path) as ledger:
        fill(ledger, ledger.mappings.number("gallery", "here"), 1)
        ledger.commit()
        kept = log.read_bytes()
    path.write_bytes(b"")
    log.write_bytes(kept)
    ledger, notice = open_for_work(path, keep_history_s=0, now=NOW)
    with ledger:
        assert ledger.mappings.all() == []
        assert notice.startswith(f"the ledger {path} is an empty file")


def test_a_ledger_that_is_gone_is_told_of_where_there_was_one(path: Path):
    with Claim(path.parent / "state") as claim:
        ledger, notice = open_for_work(path.parent / "state/ledger.db", keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
        assert notice == "", "it is the first"
    with Claim(path.parent / "state") as claim:
        ledger, notice = open_for_work(path.parent / "state/ledger.db", keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
        assert notice == "", "it is there"
    with Claim(path.parent / "state") as claim:
        (path.parent / "state/ledger.db").unlink()
        ledger, notice = open_for_work(path.parent / "state/ledger.db", keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
        assert notice.startswith(
            f"there is no ledger {path.parent}/state/ledger.db, though its directory was used before"
        )


def test_who_is_killed_while_a_damaged_ledger_is_read_is_told_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A disk that fails may take minutes for it. What a person had paused was published, and no word said of it."""
    path = tmp_path / "state/ledger.db"

    class Killed(BaseException):
        """No error that anybody handles."""

    def killed(_path: Path) -> list[tuple[str, str, int]]:
        raise Killed

    with Claim(path.parent):
        path.write_bytes(b"no database " * 500)
    with monkeypatch.context() as patch, Claim(path.parent) as claim:
        patch.setattr(recovery, "_paused_in", killed)
        with pytest.raises(Killed):
            open_for_work(path, keep_history_s=0, now=NOW, claim=claim)
    with Claim(path.parent) as claim:
        ledger, notice = open_for_work(path, keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
    assert notice.startswith("there is no ledger")
    assert "what a person paused is paused no more" in notice


def test_who_is_killed_before_what_was_paused_is_paused_anew_is_told_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The new ledger was there, and in order: what a person had paused was published, and no word said of it."""
    path = tmp_path / "state/ledger.db"

    class Killed(BaseException):
        """No error that anybody handles."""

    def killed(*_: object) -> None:
        raise Killed

    with Claim(path.parent), Ledger(path) as ledger:
        fill(ledger, ledger.mappings.number("gallery", "here"), 2000)
        ledger.decisions.set_paused(ledger.mappings.number("shop", "there"), 5)
    damage(path)
    with monkeypatch.context() as patch, Claim(path.parent) as claim:
        patch.setattr(Decisions, "set_paused", killed)
        with pytest.raises(Killed):
            open_for_work(path, keep_history_s=0, now=NOW, claim=claim)
    with Claim(path.parent) as claim:
        ledger, notice = open_for_work(path, keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
    assert notice.startswith("there is no ledger")
    assert "what a person paused is paused no more" in notice
    assert [file.name for file in path.parent.glob("*.begun*")] == [], "nothing is left of what was begun then"


def test_what_was_paused_stays_so_where_the_new_ledger_cannot_be_written_beside_its_place(
    filled: Path, monkeypatch: pytest.MonkeyPatch
):
    abandon(Ledger(filled))
    damage(filled)
    number = Mappings.number
    tries: list[str] = []

    def once(mappings: Mappings, name: str, destination: str) -> int:
        tries.append(name)
        if len(tries) == 1:
            raise LedgerError("No space left on device.")
        return number(mappings, name, destination)

    with monkeypatch.context() as patch:
        patch.setattr(Mappings, "number", once)
        ledger, notice = open_for_work(filled, keep_history_s=0, now=NOW)
    with ledger:
        shop = ledger.mappings.find("shop", "there")
        assert shop is not None
        assert ledger.decisions.paused_ns(shop) == 5
        assert "paused no more" not in notice
    assert list(filled.parent.glob("*.begun*")) == []


def test_what_was_paused_stays_so_for_who_is_killed_right_after_the_new_ledger_has_its_place(
    filled: Path, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        """No error that anybody handles."""

    abandon(Ledger(filled))
    damage(filled)
    pause, done = recovery._pause, list[object]()

    def once(ledger: Ledger, paused: Collection[tuple[str, str, int]]) -> None:
        if done:
            raise Killed
        done.append(paused)
        pause(ledger, paused)

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "_pause", once)
        with pytest.raises(Killed):
            open_for_work(filled, keep_history_s=0, now=NOW)
    with Ledger(filled) as ledger:
        assert ledger.decisions.paused_mappings() == [("shop", "there", 5)]


def test_several_damaged_ledgers_are_all_kept(path: Path):
    for n in range(3):
        path.write_bytes(b"no database %d " % n * 500)
        open_for_work(path, keep_history_s=0, now=NOW)[0].close()
    assert sorted(p.name for p in path.parent.glob("*damaged*")) == [
        "ledger.db.damaged-20260203-040506",
        "ledger.db.damaged-20260203-040506-2",
        "ledger.db.damaged-20260203-040506-3",
    ]


def test_what_belongs_to_a_damaged_ledger_goes_with_it(path: Path):
    for companion in ("", "-wal", "-shm"):
        path.with_name(path.name + companion).write_bytes(companion.encode() + b" noise" * 1000)
    kept = set_aside(path, NOW)
    assert list(path.parent.glob("ledger.db-*")) == []
    assert kept.with_name(f"{kept.name}-wal").read_bytes().startswith(b"-wal")


def test_a_ledger_that_cannot_be_set_aside_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch):
    path.write_bytes(b"no database " * 500)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(LedgerError, match="cannot be set aside: Permission denied"):
        open_for_work(path, keep_history_s=0, now=NOW)


# ── Closed to others ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def open_hand() -> Iterator[None]:
    """Nothing is taken from the rights of what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def rights(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


@pytest.mark.usefixtures("open_hand")
def test_a_ledger_is_made_for_owner_and_group_and_what_sqlite_has_beside_it_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[dict[str, int]] = []
    connect = sqlitefile._connect

    def connected(path: Path) -> sqlite3.Connection:
        opened.append(rights(path.parent))
        return connect(path)

    monkeypatch.setattr(sqlitefile, "_connect", connected)
    with Ledger(path) as ledger:
        fill(ledger, ledger.mappings.number("gallery", "here"), 10)
        ledger.commit()
        assert rights(path.parent) == {"ledger.db": 0o640, "ledger.db-wal": 0o640, "ledger.db-shm": 0o640}
    assert opened == [{"ledger.db": 0o640}], "not for a moment more"


def test_a_ledger_of_a_person_who_keeps_all_to_himself_is_his_alone(path: Path):
    before = os.umask(0o077)
    try:
        Ledger(path).close()
    finally:
        os.umask(before)
    assert rights(path.parent) == {"ledger.db": 0o600}


@pytest.mark.usefixtures("open_hand")
def test_a_ledger_of_an_older_version_is_closed_with_its_log_and_its_damaged_ones(tmp_path: Path):
    path = tmp_path / "state/ledger.db"
    with Claim(path.parent):
        abandoned = Ledger(path)
        fill(abandoned, abandoned.mappings.number("gallery", "here"), 10)
        abandoned.commit()
        # A crash leaves both beside it.
        beside = {name: path.with_name(name).read_bytes() for name in ("ledger.db-wal", "ledger.db-shm")}
        abandon(abandoned)
    for name, content in beside.items():
        path.with_name(name).write_bytes(content)
    for name in ("ledger.db.damaged-20250101-000000", "ledger.db.damaged-20250101-000000-wal", "somebodys.db"):
        path.with_name(name).write_bytes(b"noise")
    for file in path.parent.iterdir():
        file.chmod(0o666)
    with Claim(path.parent) as claim, open_for_work(path, keep_history_s=0, now=NOW, claim=claim)[0]:
        found = rights(path.parent)
        assert found.pop("somebodys.db") == 0o666
        assert len(found) == 6
        assert set(found.values()) == {0o640}


@pytest.mark.usefixtures("open_hand")
def test_a_damaged_ledger_that_others_could_read_is_put_aside_closed(filled: Path):
    abandon(Ledger(filled))
    damage(filled)
    filled.chmod(0o644)
    with Claim(filled.parent) as claim:
        ledger, notice = open_for_work(filled, keep_history_s=0, now=NOW, claim=claim)
        ledger.close()
    assert notice
    assert set(rights(filled.parent).values()) == {0o640}


def test_a_checkup_beside_work_finds_damage_and_leaves_the_rest_in_peace(filled: Path):
    found: list[str] = []
    with Ledger(filled), Checkup(filled, found.append) as checkup:
        until(lambda: not checkup._thread.is_alive(), "the check is over", 60)
    assert found == []
    damage(filled)
    with Checkup(filled, found.append) as checkup:
        until(lambda: not checkup._thread.is_alive(), "the check is over", 60)
    assert len(found) == 1


def test_a_checkup_ends_when_it_is_to(filled: Path, monkeypatch: pytest.MonkeyPatch):
    """An endless query in place of the check: leaving must interrupt it."""
    running = threading.Event()

    def endless(db: sqlite3.Connection) -> str:
        running.set()
        sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"
        return str(db.execute(sql).fetchone())

    monkeypatch.setattr(sqlitefile, "problem_of", endless)
    found: list[str] = []
    with Checkup(filled, found.append):
        assert running.wait(60)
    assert found == []


def test_a_checkup_without_memory_tells_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite has none, and Python says so in its own way."""

    def refuse(_db: sqlite3.Connection) -> str:
        raise MemoryError

    monkeypatch.setattr(sqlitefile, "problem_of", refuse)
    assert sqlitefile.check(filled) == ""


def test_a_million_rows_are_checked_in_bounded_time(tmp_path: Path, figures):
    """A tenth of them, since a test must be short; the time is that of pages, so it grows in proportion."""
    path, rows = tmp_path / "ledger.db", 100_000
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        ledger._write_many(
            "INSERT INTO entry VALUES(?,?,?,0,?,?,?,?,?,0,0)",
            (
                (mapping, b"2026/folder%04d" % (n // 1000), b"picture-%07d.jpg" % n, n, n, n, os.urandom(32), n)
                for n in range(rows)
            ),
        )
    began = time.process_time()
    assert sqlitefile.check(path) == ""
    spent_s = time.process_time() - began
    figures.tell("G3", "CPU time of the ledger's integrity check, per million rows", round(spent_s * 10, 2), unit="s")
    assert spent_s < 5


# ── A full disk ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB."""
    with small_disk(tmp_path / "small", "size=1500k") as place:
        yield place


@pytest.mark.root
@as_root
def test_on_a_full_disk_nothing_is_lost_and_nothing_is_recorded_half(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "RETRY_S", 0.0)
    path = small / "ledger.db"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        fill(ledger, mapping, 100, "before")
        ledger.commit()
        ballast = eat(small)
        for n in range(30):
            fill(ledger, mapping, 200, f"during{n}-")
            ledger.commit()
        assert "no space is left" in ledger.trouble
        assert str(path) in ledger.trouble
        assert ledger.mappings.totals(mapping).files == 6100, "whoever works with it sees everything"
        with Ledger(path, read_only=True) as reader:
            seen = reader.mappings.totals(mapping).files
            assert 100 <= seen < 6100
            assert seen == len([1 for _ in reader.walk(mapping)]), "nothing is half there"
        ballast.unlink()
        ledger.commit()
        assert not ledger.trouble
        with Ledger(path, read_only=True) as reader:
            assert reader.mappings.totals(mapping).files == 6100
            assert len([1 for _ in reader.walk(mapping)]) == 6100
    assert sqlitefile.check(path) == ""


@pytest.mark.root
@as_root
def test_a_ledger_closed_on_a_full_disk_says_so_and_is_what_it_was(small: Path):
    path = small / "ledger.db"
    ledger = Ledger(path)
    mapping = ledger.mappings.number("gallery", "here")
    fill(ledger, mapping, 100, "before")
    ledger.commit()
    ballast = eat(small)
    for n in range(30):
        fill(ledger, mapping, 200, f"during{n}-")
        ledger.commit()
    with pytest.raises(LedgerError, match="no space is left"):
        ledger.close()
    ballast.unlink()
    with Ledger(path) as again:
        assert not again.in_order
        assert again.row(mapping, "before99") == file()
        assert again.mappings.totals(mapping).files == len([1 for _ in again.walk(mapping)])


@pytest.mark.root
@as_root
@pytest.mark.parametrize("in_order", [True, False])
def test_a_ledger_is_opened_on_a_full_disk_and_written_when_there_is_space(
    small: Path, monkeypatch: pytest.MonkeyPatch, *, in_order: bool
):
    """A daemon ended at each start there, where one that runs goes on."""
    monkeypatch.setattr(database, "RETRY_S", 0.0)
    path = small / "ledger.db"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        fill(ledger, mapping, 100, "before")
        ledger.commit()
        if not in_order:
            died = {each.name: each.read_bytes() for each in small.iterdir() if not each.name.endswith("-shm")}
    if not in_order:
        for name, content in died.items():
            (small / name).write_bytes(content)
    ballast = eat(small)
    with Ledger(path) as ledger:
        assert ledger.in_order is in_order
        assert "no space is left" in ledger.trouble
        fill(ledger, mapping, 100, "during")
        ledger.commit()
        assert ledger.trouble
        assert ledger.mappings.totals(mapping).files == 200
        with pytest.raises(LedgerError, match="no space is left on its disk"):
            Ledger(path, read_only=True)
        ballast.unlink()
        ledger.commit()
        assert not ledger.trouble
        with Ledger(path, read_only=True) as reader:
            assert reader.mappings.totals(mapping).files == 200
        fill(ledger, mapping, 100, "after")
        ledger.commit()
    assert sqlitefile.check(path) == ""
    with Ledger(path) as again:
        assert again.in_order
        assert len([1 for _ in again.walk(mapping)]) == 300


@pytest.mark.root
@as_root
def test_an_older_ledger_on_a_full_disk_stays_as_it_is_until_there_is_space(small: Path):
    path = small / "ledger.db"
    db = sqlite3.connect(path)
    db.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version=1;")
    db.execute("INSERT INTO mapping(name, destination, files) VALUES('gallery', 'here', 7)")
    db.commit()
    db.close()
    ballast = eat(small)
    with pytest.raises(LedgerError, match="no space is left on its disk") as raised:
        Ledger(path)
    assert raised.value.exit_code == ExitCode.TEMPFAIL, "it is tried again"
    with Ledger(path, read_only=True) as reader:
        assert reader.mappings.totals(1).files == 7
    ballast.unlink()
    with Ledger(path) as ledger:
        assert ledger.mappings.totals(1).files == 7


@pytest.mark.root
@as_root
def test_a_new_ledger_on_a_full_disk_is_refused(small: Path):
    eat(small)
    with pytest.raises(LedgerError, match=r"cannot open the ledger .*: no space is left on its disk") as caught:
        Ledger(small / "ledger.db")
    assert caught.value.remedy == "Free space on the disk of the state directory."


@pytest.mark.root
@as_root
@contextmanager
def so_many_files_left(count: int) -> Iterator[None]:
    """This process may open no more than so many further files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        last = os.open(os.devnull, os.O_RDONLY)
        opened.callback(os.close, last)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + count, hard))
        yield


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_that_is_not_opened_for_want_of_files_is_told_as_that(filled: Path, *, read_only: bool):
    with (
        Ledger(filled),
        so_many_files_left(1),
        pytest.raises(LedgerError, match="files open, and has them") as told,
    ):
        Ledger(filled, read_only=read_only)
    assert "ulimit -n" in told.value.remedy


def test_a_disk_without_inodes_is_told_as_that_and_not_as_one_that_is_full(tmp_path: Path):
    with small_disk(tmp_path, "nr_inodes=8"):
        Ledger(tmp_path / "ledger.db").close()
        with suppress(OSError):
            for number in range(8):
                (tmp_path / f"{number}").touch()
        with pytest.raises(LedgerError, match="no further file can be made on its disk") as caught:
            Ledger(tmp_path / "ledger.db")
        assert "df -i" in caught.value.remedy


@pytest.mark.root
@as_root
def test_too_much_that_waits_for_space_is_told(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "STATEMENTS_MAX", 500)
    path = small / "ledger.db"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        ballast = eat(small)
        fill(ledger, mapping, 100)
        before = ledger.overfull
        for n in range(30):
            fill(ledger, mapping, 200, f"during{n}-")
            ledger.commit()
        assert (before, ledger.overfull) == (False, True)
        ballast.unlink()


@pytest.mark.root
@as_root
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is needed")
def test_a_disk_that_the_kernel_has_made_read_only_is_named(tmp_path: Path):
    """As after an error of the disk: "disk I/O error" was all that was told. What is recorded stays in memory."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as out:
        out.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        ledger = Ledger(place / "ledger.db")
        mapping = ledger.mappings.number("gallery", "here")
        fill(ledger, mapping, 10)
        ledger.commit()
        subprocess.run(["mount", "-o", "remount,abort", place], check=True)
        fill(ledger, mapping, 10, "during")
        ledger.commit()
        assert "cannot be written: its disk is read-only now" in ledger.trouble
        assert len([1 for _ in ledger.walk(mapping)]) == 20
        with pytest.raises(LedgerError, match="read-only"):
            ledger.close()
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_without_trouble_nothing_is_kept(path: Path):
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        fill(ledger, mapping, 100)
        ledger.commit()
        assert ledger._db._statements == []


def test_bytes_are_stored_as_they_are_without_a_search_for_another_form(path: Path):
    content = bytes(range(256))
    with closing(Database(path, ["CREATE TABLE t(a BLOB);"])) as database:
        database.write("INSERT INTO t VALUES(?)", (content,))
        assert database.read("SELECT a, typeof(a) FROM t", ()).fetchall() == [(content, "blob")]
    # Not public, but all that tells which forms are known.
    known: dict[object, Callable[[bytes], object]] = vars(sqlite3)["adapters"]
    assert known[bytes, sqlite3.PrepareProtocol](content) is content


def test_an_error_that_is_no_lack_of_space_is_an_error(path: Path):
    db = Database(path, ["CREATE TABLE t(a UNIQUE);"])
    db.write("INSERT INTO t VALUES(1)", ())
    with pytest.raises(LedgerError, match="cannot write"):
        db.write("INSERT INTO t VALUES(1)", ())
    assert not db.trouble
    assert db.read("SELECT count(*) FROM t", ()).fetchone() == (1,)
    db.close()


@pytest.fixture
def as_nobody(path: Path) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Without any right to write: its group may read the ledger."""
    opened = [folder for folder in path.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in opened}
    for folder in opened:
        folder.chmod(0o755)

    @contextmanager
    def powerless() -> Iterator[None]:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    yield powerless
    for folder, mode in modes.items():
        folder.chmod(mode)


@as_root
def test_who_may_only_read_reads_a_ledger_that_nobody_uses(
    filled: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    with as_nobody(), Ledger(filled, read_only=True) as ledger:
        assert ledger.mappings.find("gallery", "here") is not None
    assert list(filled.parent.iterdir()) == [filled]


@as_root
def test_who_may_only_read_is_told_why_after_a_crash(
    filled: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    filled.with_name("ledger.db-wal").write_bytes(b"")
    with as_nobody(), pytest.raises(LedgerError, match="not closed in order") as caught:
        Ledger(filled, read_only=True)
    assert "sudo" in caught.value.remedy


@as_root
def test_who_reads_while_a_daemon_starts_finds_no_damage(
    filled: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    with as_nobody():
        reading = Database(filled, [""] * 99, read_only=True)
    filled.write_bytes(b"SQLite format 3\0" + bytes(100_000))
    with pytest.raises(LedgerError, match="was written while it was read"):
        reading.read("SELECT * FROM entry", ()).fetchall()
    reading.close()


# ── A copy to try something with ─────────────────────────────────────────────────────────────────────────────────

_TRIES = """
import resource, sys
from pathlib import Path
from typing import cast
from ftpsyncd.ledger import database
from ftpsyncd.errors import LedgerError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import Fingerprint, Kind, Row

path = Path(sys.argv[1])
# It keeps the file by which readers agree: that one is not what is tried here.
reader = Ledger(path, read_only=True) if path.exists() else None
# No file can be written: as where no place for temporary files is, or the one that is there is full.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
database.COPY_IN_MEMORY = int(sys.argv[2])
try:
    with Ledger(path, scratch=True, keep_history_s=0) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        for number in range(20_000):
            ledger.put(mapping, f"new{number}", Row(Kind.FILE, Fingerprint(1, 1, 7), b"s" * 32, 1))
        ledger.commit()
        print(ledger.mappings.totals(mapping).files)
except LedgerError as error:
    print(error.exit_code, error.message, error.remedy)
"""


@pytest.fixture
def large(path: Path) -> Path:
    """A ledger of more than SQLite keeps in its cache of itself."""
    with Ledger(path) as ledger:
        fill(ledger, ledger.mappings.number("gallery", "here"), 30_000)
    assert path.stat().st_size > 2 << 20
    return path


def tries(path: Path, in_memory: int) -> str:
    words = [sys.executable, "-c", _TRIES, str(path), str(in_memory)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_copy_takes_no_temporary_file_within_its_bound(large: Path):
    before = large.read_bytes()
    assert tries(large, database.COPY_IN_MEMORY) == "50000\n"
    assert large.read_bytes() == before


def test_where_a_copy_needs_a_temporary_file_and_has_no_place_for_it_that_is_told(large: Path):
    told = tries(large, 1 << 20)
    assert told.startswith("75 there is no place, or no room, for a temporary copy of the ledger")
    assert "SQLITE_TMPDIR" in told


def test_where_the_place_ends_while_something_is_tried_that_is_told(path: Path):
    assert "no room" in tries(path, 1 << 20)


def test_what_is_written_to_a_copy_is_read_there_and_nowhere_else(filled: Path):
    before = filled.read_bytes()
    with Ledger(filled, scratch=True) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        ledger.forget(mapping, "file0")
        ledger.begun.put(mapping, "file1", Intent(Kind.FILE, "/file1.0.filepart"))
        ledger.commit()
        ledger.begun.put(mapping, "file2", Intent(Kind.FILE, "/file2.0.filepart"))
        ledger.begun.clear(mapping, "file1")
        ledger.commit()
        assert ledger.mappings.totals(mapping).files == 1999
        assert [path for path, _ in ledger.begun.of(mapping)] == ["file2"]
        assert not ledger.trouble
    assert filled.read_bytes() == before


@pytest.mark.parametrize("module", sorted(Path(database.__file__).parent.glob("*.py")), ids=lambda module: module.stem)
def test_no_placeholder_has_a_number(module: Path):
    """Values that come in a row fit those without only: of others the first Pythons 3.12 warn."""
    assert not re.findall(r"[=<>(, ]\?\d", module.read_text())
