"""The ledger lost, damaged, too new, or on a disk that is full: nothing is sent twice, deleted, or recorded wrongly."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.quoting import as_word
from tests.e2e.site import Site, site, sizes
from tests.e2e.test_source import copies, fill, some_checks_later, watchful
from tests.figures import Figures
from tests.servers import Server, running
from tests.smalldisk import eat, small_disk
from tests.variants import also
from tests.waiting import until

pytestmark = pytest.mark.lasting(90)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def kinds_told(s: Site) -> dict[str, int]:
    """How many receipts of each kind there are."""
    entries = json.loads(s.command("history", "--json", "--limit", "0").stdout)["entries"]
    return {kind: sum(e["kind"] == kind for e in entries) for kind in {e["kind"] for e in entries}}


# ── Lost ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real_server
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", *also("pure-ftpd", "pyftpdlib")])
def test_a_lost_ledger_sends_nothing_again_and_deletes_nothing(kind: str, tmp_path: Path, figures: Figures) -> None:
    with running(kind) as server, watchful(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        assert len(before) == 10
        (s.published / "foreign.jpg").write_bytes(b"never published from here")
        shutil.rmtree(tmp_path / "state")
        (s.drop / "a.jpg").unlink()
        (s.drop / "b.jpg").write_bytes(b"changed while nobody looked")
        (s.drop / "new.jpg").write_bytes(b"made while nobody looked")
        s.start()
        until((s.published / "new.jpg").exists, "what is new is published", 60)
        s.until_state("in_sync")
        some_checks_later(s)
        after = copies(s.published)
        unchanged = before.keys() - {"b.jpg"}
        assert {path: after[path] for path in unchanged} == {path: before[path] for path in unchanged}
        assert after.keys() == before.keys() | {"new.jpg", "foreign.jpg"}
        assert (s.published / "b.jpg").read_bytes() == b"changed while nobody looked"
        assert kinds_told(s) == {"adopted": 8, "published": 2}
        (s.drop / "c.jpg").unlink()
        until(lambda: not (s.published / "c.jpg").exists(), "what was found there is managed again")
    figures.tell("G4", f"files sent again after the ledger was lost ({kind})", 0, limit=0)


def test_a_lost_ledger_at_a_server_without_dates_sends_again_and_deletes_nothing(tmp_path: Path) -> None:
    """Size alone is no proof: without a date to compare, the file is sent, under the same safe name as ever."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        for path in s.published.rglob("*.jpg"):
            os.utime(path, (1, 1))
        shutil.rmtree(tmp_path / "state")
        s.command("sync")
        after = copies(s.published)
        assert {p: digest for p, (_, digest) in after.items()} == {p: digest for p, (_, digest) in before.items()}
        assert kinds_told(s) == {"published": 10}


# ── Damaged ──────────────────────────────────────────────────────────────────────────────────────────────────────


def scramble(ledger: Path, table: str = "") -> None:
    """Noise over all pages but the first ones, or over the root of a table."""
    db = sqlite3.connect(ledger)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()
    db.close()
    for companion in ("-wal", "-shm"):
        ledger.with_name(ledger.name + companion).unlink(missing_ok=True)
    data = bytearray(ledger.read_bytes())
    start, end = (4096 * (root[0] - 1), 4096 * root[0]) if root else (8192, len(data))
    data[start:end] = random.Random(1).randbytes(end - start)
    ledger.write_bytes(data)


def checkpointed(ledger: Path) -> None:
    """Have everything that was committed in the file itself, which stays as one that was not closed in order."""
    db = sqlite3.connect(ledger)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _scrambled(ledger: Path) -> None:
    db = sqlite3.connect(ledger)
    db.execute("PRAGMA application_id=0")
    db.close()
    scramble(ledger)


def _gone(ledger: Path) -> None:
    ledger.unlink()


def _empty(ledger: Path) -> None:
    ledger.write_bytes(b"")


def _overwritten(ledger: Path) -> None:
    """Nothing can be read of it."""
    checkpointed(ledger)
    ledger.write_bytes(b"no ledger" * 1000)


def test_a_damaged_ledger_is_set_aside_and_rebuilt_from_what_the_server_has(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        before = copies(s.published)
        s.kill()
        ledger = tmp_path / "state/ledger.db"
        checkpointed(ledger)
        scramble(ledger)
        damaged = ledger.read_bytes()
        assert "is damaged" in s.command("plan", ok=False).stderr
        (s.drop / "a.jpg").unlink()
        s.start()
        s.until_state("in_sync")
        until(lambda: s.mapping_status()["published_files"] == 9, "what is there is recorded again", 60)
        some_checks_later(s)
        assert copies(s.published) == before
        (kept,) = (p for p in (tmp_path / "state").glob("ledger.db.damaged-*") if not p.name.endswith(("-wal", "-shm")))
        assert kept.read_bytes() == damaged
        assert "is damaged" in s.log()
        assert str(kept) in s.log()
        assert kinds_told(s) == {"adopted": 9}
        assert s.stop() == 0
        assert "damaged" not in s.command("sync").stderr, "it is over"


@pytest.mark.parametrize("existing", ["adopt", *also("overwrite", "keep")])
@pytest.mark.parametrize("lost", [_scrambled, _gone, _empty])
def test_that_a_new_ledger_was_begun_is_told_and_nothing_is_deleted_for_it(
    lost: Callable[[Path], None], existing: str, tmp_path: Path
) -> None:
    with running("pyftpdlib") as server, watchful(server, tmp_path, existing=existing) as s:
        fill(s.drop)
        s.command("sync")
        (s.published / "foreign.jpg").write_bytes(b"never published from here")
        lost(tmp_path / "state/ledger.db")
        (s.drop / "a.jpg").unlink()
        (s.drop / "b.jpg").write_bytes(b"changed while nobody looked")
        before = copies(s.published)
        config = json.loads(s.config.read_text())
        config["alerts"] = {"command": ["sh", "-c", f"cat >> {as_word(tmp_path)}/told"]}
        s.config.write_text(json.dumps(config))
        s.start()
        s.until_state("in_sync")
        until((tmp_path / "told").exists, "somebody is told")
        some_checks_later(s)
        after = copies(s.published)
        assert after.keys() == before.keys()
        unchanged = before.keys() if existing == "keep" else before.keys() - {"b.jpg"}
        assert {p: digest for p, (_, digest) in after.items() if p in unchanged} == {p: before[p][1] for p in unchanged}
        raised = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
        (told,) = [each for each in raised if each["kind"] == "new_ledger"]
        notice = s.status()["daemon"]["notice"]
        assert (told["step"], told["message"]) == ("raised", notice)
        assert "a new one was begun: nothing is deleted at the servers for it" in notice
        assert f"ERROR    ledger - {notice}" in s.log()
        assert "a new one was begun" in " ".join(s.command("status", ok=existing != "keep").stdout.split())
        s.stop()
        s.start()
        assert s.status()["daemon"]["notice"] == "", "it is no news any more"


@pytest.mark.parametrize("lost", [_gone, *also(_empty, _overwritten)])
def test_that_what_was_paused_goes_on_without_its_ledger_is_told(
    lost: Callable[[Path], None], tmp_path: Path, some_server: Server
) -> None:
    with watchful(some_server, tmp_path) as s:
        s.command("pause", "drop")
        lost(tmp_path / "state/ledger.db")
        (s.drop / "embargo.jpg").write_bytes(b"not before noon")
        s.start()
        s.until_equal()
        assert "; what a person paused is paused no more" in s.status()["daemon"]["notice"]


def test_who_loses_the_ledger_publishes_on_by_keep_if_he_begins_with_pause_and_adopt(
    tmp_path: Path, some_server: Server
) -> None:
    """As docs/operating.md has it."""
    with watchful(some_server, tmp_path, existing="keep") as s:
        (s.drop / "table.csv").write_bytes(b"1,2")
        s.command("sync")
        shutil.rmtree(tmp_path / "state")
        (s.drop / "embargo.csv").write_bytes(b"not before noon")
        s.write_config(existing="adopt")
        s.command("pause", "drop")
        s.start()
        s.until_state("paused")
        some_checks_later(s)
        assert sizes(s.published).keys() == {b"table.csv"}
        s.command("resume", "drop")
        s.until_equal()
        s.until_state("in_sync")
        s.write_config(existing="keep")
        s.command("reload")
        (s.drop / "table.csv").write_bytes(b"1,3")
        s.until_equal()
        assert not s.status()["problems"]


def test_a_ledger_of_yesterday_knows_nothing_of_what_was_discarded_since(tmp_path: Path, some_server: Server) -> None:
    """As docs/operating.md has it."""
    with watchful(some_server, tmp_path) as s:
        (s.drop / "a.jpg").write_bytes(b"kept at the server")
        s.command("sync")
        shutil.copytree(tmp_path / "state", tmp_path / "backup")
        s.write_config(max_deletes=0)
        s.start()
        (s.drop / "a.jpg").unlink()
        s.until_state("held")
        s.command("discard", "drop")
        s.until_state("in_sync")
        s.stop()
        assert "delete" not in s.command("plan").stdout
        shutil.rmtree(tmp_path / "state")
        shutil.copytree(tmp_path / "backup", tmp_path / "state")
        assert "delete" in s.command("plan").stdout
        s.command("pause")
        s.start()
        s.until_state("paused")
        some_checks_later(s)
        assert sizes(s.published).keys() == {b"a.jpg"}


def test_damage_that_shows_while_the_daemon_runs_ends_it_and_the_next_start_mends_it(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        # Closed in order: it is not checked before it is used, but beside the work. That writes no receipts here.
        scramble(tmp_path / "state/ledger.db", table="history")
        ended = s.command("run", ok=False, timeout_s=60)
        assert ended.returncode == 75
        assert "is damaged" in ended.stderr
        assert "Traceback" not in ended.stderr
        s.start()
        s.until_state("in_sync")
        until(lambda: s.mapping_status()["published_files"] == 10, "what is there is recorded again", 60)
        assert copies(s.published) == before


@pytest.mark.parametrize("command", ["run", "sync", "plan", "status"])
def test_a_ledger_of_a_newer_version_is_refused_with_one_message_and_78(command: str, tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        db = sqlite3.connect(tmp_path / "state/ledger.db")
        db.execute("PRAGMA user_version=99")
        db.close()
        before = copies(tmp_path / "state")
        done = s.command(command, ok=False)
        assert done.returncode == 78
        assert "written by a newer ftpsyncd (schema 99" in done.stderr
        assert "Install the newer version again" in done.stderr
        assert len(done.stderr.splitlines()) == 2
        assert copies(tmp_path / "state")["ledger.db"] == before["ledger.db"]


# ── Taken away ───────────────────────────────────────────────────────────────────────────────────────────────────


def _removed(state: Path) -> None:
    shutil.rmtree(state)


def _moved(state: Path) -> None:
    state.rename(state.with_name("elsewhere"))


def _without_ledger(state: Path) -> None:
    for path in state.glob("ledger.db*"):
        path.unlink()


def _restored(state: Path) -> None:
    shutil.copy2(state / "ledger.db", state / "copy")
    (state / "copy").rename(state / "ledger.db")


def _written_over(state: Path) -> None:
    (state / "ledger.db").write_bytes((state / "ledger.db").read_bytes())


def _emptied(state: Path) -> None:
    (state / "ledger.db").write_bytes(b"")


def _without_log(state: Path) -> None:
    (state / "ledger.db-wal").unlink()


def _without_lock(state: Path) -> None:
    (state / "lock").unlink()


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (_removed, "lock was removed or moved away"),
        pytest.param(_moved, "lock was removed or moved away", marks=pytest.mark.long),
        (_without_ledger, "ledger.db was removed or moved away"),
        (_restored, "ledger.db was replaced by another file"),
        pytest.param(_written_over, "ledger.db was written by somebody else", marks=pytest.mark.long),
        (_emptied, "ledger.db was written by somebody else"),
        (_without_log, "ledger.db-wal was removed or moved away"),
        pytest.param(_without_lock, "lock was removed or moved away", marks=pytest.mark.long),
    ],
)
def test_a_daemon_whose_ledger_is_taken_away_ends_and_the_next_one_deletes_nothing(
    take: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    """A `sync` would find no lock, or another ledger, and publish beside it."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        before = copies(s.published)
        take(s.base / "state")
        assert s.ended() == 75
        assert f"ERROR    the daemon ends: {s.base}/state/{said} beneath this process" in s.log()
        assert f"ftpsyncd: error: {s.base}/state/{said} beneath this process" in s.log()
        assert "Traceback" not in s.log()
        s.start()
        s.until_state("in_sync")
        until(lambda: s.mapping_status()["published_files"] == 10, "what is there is known")
        assert copies(s.published) == before
        (s.drop / "a.jpg").unlink()
        s.until_equal()
        assert s.stop() == 0


def _into_its_place(backup: Path, ledger: Path) -> None:
    shutil.copy2(backup, ledger.with_name("new"))
    ledger.with_name("new").rename(ledger)


def _over_it(backup: Path, ledger: Path) -> None:
    shutil.copyfile(backup, ledger)


@pytest.mark.parametrize("restore", [_into_its_place, _over_it])
def test_a_backup_that_is_restored_beneath_a_daemon_is_what_the_next_one_begins_with(
    restore: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """And not a mixture of it with the write-ahead log of the ledger that was there."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        ledger, backup = s.base / "state/ledger.db", s.base / "backup"
        fill(s.drop)
        s.command("sync")
        shutil.copy2(ledger, backup)
        s.start()
        s.until_state("in_sync")
        (s.drop / "later.jpg").write_bytes(b"published after the backup was made")
        s.until_equal()
        s.until_state("in_sync")
        before = copies(s.published)
        restore(backup, ledger)
        assert s.ended() == 75
        assert ledger.read_bytes() == backup.read_bytes()
        assert [path.name for path in ledger.parent.glob("ledger.db*")] == ["ledger.db"]
        s.command("sync")
        assert kinds_told(s) == {"published": 10, "adopted": 1}, "the backup did not know of that one"
        assert copies(s.published) == before


def test_what_was_in_a_log_that_is_removed_beneath_a_daemon_is_not_lost(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        (s.drop / "a.jpg").unlink()
        s.until_equal()
        s.until_state("in_sync")
        (s.base / "state/ledger.db-wal").unlink()
        assert s.ended() == 75
        # Of the same size as what was there, by which an old ledger would take it for its own.
        (s.published / "a.jpg").write_bytes(b"x" * 1000)
        s.command("sync")
        assert kinds_told(s) == {"published": 10, "deleted": 1}
        assert (s.published / "a.jpg").exists()


def test_what_no_ledger_would_tell_of_is_not_begun(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        shutil.rmtree(s.base / "state")
        (s.drop / "late.jpg").write_bytes(b"x")
        assert s.ended() == 75
        assert not (s.published / "late.jpg").exists()
        s.command("sync")
        s.until_equal()


def test_what_is_on_its_way_when_the_ledger_is_taken_away_is_cut_off(tmp_path: Path) -> None:
    """Another process may send the same file, under the same temporary name."""
    with running("pyftpdlib") as server, site(server, tmp_path, server_keys={"bandwidth": "200 kB/s"}) as s:
        (s.drop / "film.mov").write_bytes(os.urandom(8_000_000))
        s.start()
        until(lambda: s.status()["transfers"], "it is on its way")
        _removed(s.base / "state")
        began = time.monotonic()
        assert s.ended() == 75
        assert time.monotonic() - began < 15
        assert not (s.published / "film.mov").exists()


# ── A disk that is full, or read-only ────────────────────────────────────────────────────────────────────────────


def fill_up_while_publishing(s: Site) -> Path:
    """Drop files until the ledger cannot be written any more; returns the ballast."""
    ballast = eat(s.base / "state")
    for round_ in range(40):
        folder = s.drop / f"round {round_}"
        folder.mkdir()
        for n in range(60):
            (folder / f"{'long name ' * 15}{n}.jpg").write_bytes(b"x" * n)
        until(lambda folder=folder: len(list((s.published / folder.name).glob("*.jpg"))) == 60, "published", 90)  # type: ignore[misc]
        if s.status()["daemon"]["message"]:
            return ballast
    raise AssertionError("the disk did not fill up")


@pytest.mark.root
@as_root
def test_a_full_disk_under_the_ledger_is_told_and_publishing_goes_on(tmp_path: Path, figures: Figures) -> None:
    with running("pyftpdlib") as server, small_disk(tmp_path / "state", "size=2m"), watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        ballast = fill_up_while_publishing(s)
        assert "no space is left" in s.status()["daemon"]["message"]
        shown = " ".join(s.command("status").stdout.split())
        assert "no space is left" in shown
        assert "needs you" in shown or "need you" in shown
        assert "cannot be written" in s.log()
        (s.drop / "published all the same.jpg").write_bytes(b"x")
        until((s.published / "published all the same.jpg").exists, "publishing goes on", 60)
        verified = s.command("verify", "drop", ok=False)
        assert (verified.returncode, verified.stdout) == (75, "")
        assert "cannot be verified" in " ".join(verified.stderr.split())
        (s.drop / "a.jpg").unlink()
        (s.drop / "b.jpg").rename(s.drop / "b renamed.jpg")
        some_checks_later(s)
        assert (s.published / "a.jpg").exists(), "a delete that cannot be recorded waits"
        ballast.unlink()
        until(lambda: not s.status()["daemon"]["message"], "the ledger is written again", 60)
        s.until_equal()
        s.until_state("in_sync")
        assert "can be written again" in s.log()
        count = len(copies(s.drop))
        assert s.mapping_status()["published_files"] == count
        assert s.stop() == 0
        told = kinds_told(s)
        assert (told["published"], told["renamed"], told["deleted"]) == (count + 1, 1, 1), "each was done once"
        figures.tell("G3", "files published while the ledger's disk was full and recorded afterwards", count - 10)


@pytest.mark.root
@as_root
def test_a_stop_on_a_full_disk_is_no_failure_and_says_what_is_not_recorded(tmp_path: Path) -> None:
    """With another code, systemd would start again what somebody has just ended by a signal."""
    with running("pyftpdlib") as server, small_disk(tmp_path / "state", "size=2m"), site(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        ballast = fill_up_while_publishing(s)
        before = copies(s.published)
        assert s.stop() == 0
        *_, warned, ended = s.log().splitlines()
        assert "WARNING  what was done lately is not recorded: the ledger" in warned
        assert "found out again at the next start" in warned
        assert ended.endswith("INFO     stopped")
        ballast.unlink()
        s.start()
        until(lambda: s.mapping_status()["published_files"] == len(before), "what is there is found", 60)
        assert copies(s.published) == before
        assert s.stop() == 0


@pytest.mark.root
@as_root
def test_killed_on_a_full_disk_it_is_started_there_and_nothing_is_recorded_that_is_not_so(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, small_disk(tmp_path / "state", "size=2m"), watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        ballast = fill_up_while_publishing(s)
        s.kill()
        before = copies(s.published)
        eat(s.base / "state")
        s.start()
        assert "no space is left" in s.status()["daemon"]["message"]
        until(lambda: s.mapping_status()["published_files"] == len(before), "what is there is found", 60)
        assert copies(s.published) == before, "what was published and not recorded is found, not sent again"
        (s.drop / "published all the same.jpg").write_bytes(b"x")
        s.until_equal()
        gone = next(s.drop.glob("round 0/*.jpg"))
        gone.unlink()
        some_checks_later(s)
        assert (s.published / "round 0" / gone.name).exists(), "a delete that cannot be recorded waits"
        ballast.unlink()
        s.until_equal()
        s.until_state("in_sync")
        assert not s.status()["daemon"]["message"]
        assert s.mapping_status()["published_files"] == len(before)
        assert s.stop() == 0
        assert "published all the same.jpg" in s.command("history", "--json").stdout


@pytest.mark.root
@as_root
def test_a_pass_on_a_full_disk_publishes_and_says_what_is_not_recorded(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, small_disk(tmp_path / "state", "size=2m"), site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        eat(s.base / "state")
        (s.drop / "published all the same.jpg").write_bytes(b"x")
        done = s.command("sync", ok=False)
        assert done.returncode == 75
        assert "cannot be written: no space is left on its disk" in done.stderr
        s.until_equal()


@pytest.mark.root
@as_root
def test_a_full_disk_under_the_log_makes_no_failure_of_the_end(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, small_disk(tmp_path / "small", "size=64k"), site(server, tmp_path) as s:
        s.log_path.symlink_to(tmp_path / "small/log")
        fill(s.drop)
        s.start()
        s.until_equal()
        eat(tmp_path / "small")
        for n in range(100):
            (s.drop / f"{n}.jpg").write_bytes(b"one more line")
        s.until_equal()
        assert s.stop() == 0


@pytest.mark.root
@as_root
def test_a_state_directory_that_cannot_be_written_is_named_and_ends_with_75(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, small_disk(tmp_path / "state", "size=2m"), site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "state"], check=True)
        for command in ("run", "sync"):
            done = s.command(command, ok=False)
            assert done.returncode == 75, done.stderr
            assert f"{tmp_path / 'state'} cannot be used: Read-only file system" in done.stderr
        assert copies(s.published) == before
