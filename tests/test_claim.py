"""The state directory as ours: who comes second is refused, and what is taken away is noticed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from ftpsyncd import claim
from ftpsyncd.claim import MODE, Claim, is_taken
from ftpsyncd.errors import LedgerError, LedgerLostError, LockHeldError
from tests.smalldisk import small_disk


def test_a_second_one_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with Claim(tmp_path / "state"):
        with pytest.raises(LockHeldError):
            Claim(tmp_path / "state")
        assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o750
    Claim(tmp_path / "state").close()


def test_whether_it_is_taken_can_be_asked_without_being_in_the_way(tmp_path: Path) -> None:
    assert not is_taken(tmp_path / "state")
    with Claim(tmp_path / "other"), Claim(tmp_path / "state") as claim:
        assert is_taken(tmp_path / "state")
        claim.close()
        assert not is_taken(tmp_path / "state")


def test_a_lock_of_another_kind_is_not_taken_for_it(tmp_path: Path) -> None:
    Claim(tmp_path / "state").close()
    with (tmp_path / "state/lock").open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert not is_taken(tmp_path / "state")
    Claim(tmp_path / "state").close()


def test_it_is_taken_also_where_the_kernel_does_not_tell_of_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claim(tmp_path / "state"):
        monkeypatch.setattr(Path, "read_bytes", lambda _mounts: b"")
        assert is_taken(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_one_on_another_disk_that_was_made_alike_is_not_taken_for_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "a", "size=1m") as ours, small_disk(tmp_path / "b", "size=1m") as other:
        Claim(ours).close()
        with Claim(other):
            assert (ours / "lock").stat().st_ino == (other / "lock").stat().st_ino
            assert is_taken(other)
            assert not is_taken(ours)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_that_keeps_no_locks_is_not_taken_for_another_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(_file: object, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(LedgerError, match=f"cannot be locked: {os.strerror(number)}") as caught:
        Claim(tmp_path)
    assert "state_dir" in caught.value.remedy


def test_what_is_written_and_what_is_added_is_no_loss(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a")
    with Claim(tmp_path) as claim:
        claim.keep(tmp_path / "ledger")
        (tmp_path / "ledger").write_text("more")
        (tmp_path / "ledger").chmod(0o600)
        (tmp_path / "other").touch()
        claim.require()


def test_a_directory_that_is_there_again_as_it_was_is_no_loss(tmp_path: Path) -> None:
    with Claim(tmp_path / "state") as claim:
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        with pytest.raises(LedgerLostError, match="lock was removed or moved away beneath this process"):
            claim.require()
        (tmp_path / "elsewhere").rename(tmp_path / "state")
        claim.require()


def test_a_file_in_place_of_the_directory_is_a_loss(tmp_path: Path) -> None:
    with Claim(tmp_path / "state") as claim:
        shutil.rmtree(tmp_path / "state")
        (tmp_path / "state").touch()
        with pytest.raises(LedgerLostError, match="removed or moved away"):
            claim.require()


def test_another_file_is_a_loss_even_with_the_number_of_the_old_one(tmp_path: Path) -> None:
    """A number is given again when its file is gone: it is not, as long as it is kept."""
    (tmp_path / "ledger").touch()
    with Claim(tmp_path) as claim:
        claim.keep(tmp_path / "ledger")
        (tmp_path / "ledger").unlink()
        (tmp_path / "ledger").touch()
        with pytest.raises(LedgerLostError, match="ledger was replaced by another file beneath this process"):
            claim.require()


def test_what_we_alone_write_is_a_loss_when_somebody_else_has_written_it(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("ours")
    os.utime(tmp_path / "ledger", ns=(1, 1))
    with Claim(tmp_path) as claim:
        claim.keep(tmp_path / "ledger", ours_alone=True)
        with claim.writing():
            (tmp_path / "ledger").write_text("more of ours")
        claim.require()
        (tmp_path / "ledger").chmod(0o600)
        claim.require()
        (tmp_path / "ledger").write_text("theirs")
        with pytest.raises(LedgerLostError, match="ledger was written by somebody else beneath this process"):
            claim.require()
        assert not claim.is_ours(tmp_path / "ledger")
        with pytest.raises(LedgerLostError), claim.writing():
            pytest.fail("it is not to be written")


def test_a_date_is_no_proof_where_the_server_sets_it_later(tmp_path: Path) -> None:
    (tmp_path / "ledger").touch()
    with Claim(tmp_path, believes_dates=False) as claim:
        claim.keep(tmp_path / "ledger", ours_alone=True)
        os.utime(tmp_path / "ledger", ns=(1, 1))
        claim.require()


def test_who_looks_waits_until_we_have_written(tmp_path: Path) -> None:
    """A checkpoint under way is no loss."""
    (tmp_path / "ledger").touch()
    os.utime(tmp_path / "ledger", ns=(1, 1))
    looked: Future[None] = Future()
    with Claim(tmp_path) as claim:
        claim.keep(tmp_path / "ledger", ours_alone=True)

        def look() -> None:
            claim.require()
            looked.set_result(None)

        looker = threading.Thread(target=look)
        with claim.writing():
            (tmp_path / "ledger").write_text("half")
            looker.start()
            with pytest.raises(TimeoutError):
                looked.result(0.1)
        looked.result(10)
        looker.join()


def test_a_directory_that_may_not_be_looked_into_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    with Claim(tmp_path) as claim:
        monkeypatch.setattr(Path, "stat", refuse)
        claim.require()


def test_what_is_not_there_cannot_be_kept(tmp_path: Path) -> None:
    with Claim(tmp_path) as claim, pytest.raises(LedgerError, match="cannot be used: No such file"):
        claim.keep(tmp_path / "ledger")


def test_it_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - their number
    (tmp_path / "ledger").touch()
    for _ in range(3):
        with Claim(tmp_path) as claim:
            claim.keep(tmp_path / "ledger")
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208 - as above


# ── Closed to others ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def open_hand() -> Iterator[None]:
    """Nothing is taken from the rights of what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_hand")
def test_the_lock_is_made_for_owner_and_group(tmp_path: Path) -> None:
    """Who may open it can lock it, and keep everybody from publishing."""
    with Claim(tmp_path / "state") as claim:
        assert rights(tmp_path / "state/lock") == MODE == 0o640
        assert claim.open_to_all == ""


@pytest.mark.parametrize(("before", "after"), [(0o666, 0o640), (0o644, 0o640), (0o604, 0o600), (0o600, 0o600)])
def test_what_an_older_version_left_open_is_closed_and_nothing_opened(tmp_path: Path, before: int, after: int) -> None:
    for name in ("lock", "ledger"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(before)
    with Claim(tmp_path) as claim:
        claim.close_to_others([tmp_path / "ledger", tmp_path / "none"])
        assert [rights(tmp_path / name) for name in ("lock", "ledger")] == [after, after]
        assert claim.open_to_all == ""


def test_only_files_are_closed_and_none_that_a_link_leads_to(tmp_path: Path) -> None:
    folder, link, other = (tmp_path / name for name in ("folder", "link", "other"))
    folder.mkdir(mode=0o755)
    other.touch(0o644)
    link.symlink_to(other)
    with Claim(tmp_path) as claim:
        claim.close_to_others([folder, link])
        assert (rights(folder), rights(other)) == (0o755, 0o644)
        assert claim.open_to_all == ""


def refuse(_path: Path, _mode: int) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def ignore(_path: Path, _mode: int) -> None:
    """As CIFS does, which has the rights of its mount."""


@pytest.mark.parametrize(
    ("chmod", "other", "why"),
    [
        (refuse, 1, "it belongs to another user"),
        (refuse, 0, "its disk keeps no rights"),
        (ignore, 0, "its disk keeps no rights"),
    ],
)
def test_what_cannot_be_closed_is_told_and_no_reason_not_to_work(
    chmod: object, other: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    for name in ("lock", "ledger"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    us = os.geteuid() + other
    monkeypatch.setattr(Path, "chmod", chmod)
    monkeypatch.setattr(os, "geteuid", lambda: us)
    with Claim(tmp_path) as claim:
        claim.close_to_others([tmp_path / "ledger"])
        assert claim.open_to_all == (
            f"every user of this machine can read lock, ledger in the state directory {tmp_path}: {why}."
            " Close that directory, or one above it, to others (`chmod o-rwx`), or have `state_dir` name another one."
        )


def test_what_nobody_else_can_reach_is_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o644)
    tmp_path.chmod(0o750)
    monkeypatch.setattr(Path, "chmod", refuse)
    with Claim(tmp_path) as claim:
        assert claim.open_to_all == ""


def test_a_right_of_the_group_alone_is_not_told_of_as_one_of_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o660)
    monkeypatch.setattr(Path, "chmod", refuse)
    with Claim(tmp_path) as claim:
        assert claim.open_to_all == ""


def test_who_sends_is_told_apart_by_machine_and_by_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two that have the same configuration sent into one temporary file."""
    ids = tmp_path / "machine-id"
    monkeypatch.setattr(claim, "MACHINE", ids)
    found = {claim.whose(tmp_path / "a"), claim.whose(tmp_path / "b")}
    for each in ("1f2e3d\n", "4c5b6a\n"):
        ids.write_text(each)
        found.add(claim.whose(tmp_path / "a"))
        assert claim.whose(tmp_path / "a") in found, "the same as long as nothing changes"
    (tmp_path / "link").symlink_to("a")
    assert claim.whose(tmp_path / "link") in found
    assert len(found) == 4


def test_who_sends_is_told_apart_from_a_copy_of_the_whole_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A virtual machine that was cloned has the other's machine-id, name and paths; so have containers with a name."""
    found = set()
    for each in ("1f2e3d\n", "4c5b6a\n"):
        (tmp_path / "boot_id").write_text(each)
        monkeypatch.setattr(claim, "BOOT", tmp_path / "boot_id")
        found.add(claim.whose(tmp_path / "a"))
    monkeypatch.setattr(claim, "BOOT", tmp_path / "missing")
    found.add(claim.whose(tmp_path / "a"))
    assert len(found) == 3


def test_what_was_sent_before_a_power_failure_is_known_by_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: 2 * claim.SENDERS_KEPT_S)

    def before(now: str, *, in_order: bool = False) -> tuple[str, ...]:
        return claim.whose_before(tmp_path, now, in_order=in_order)

    assert before("first boot\0") == ()
    assert before("first boot\0") == (), "a crash of the daemon alone makes it nobody else's"
    assert before("second") == ("first boot\0",)
    assert before("second") == ("first boot\0",), "it may have been too short for all to be looked for"
    assert before("third") == ("second", "first boot\0")
    assert [before(f"boot {n}") for n in range(9)][-1] == ("boot 7", "boot 6", "boot 5")
    assert before("last", in_order=True) == ("boot 7", "boot 6", "boot 5"), "the ledger knows of all of boot 8"
    moment = time.time() - claim.SENDERS_KEPT_S - 60
    os.utime(tmp_path / claim.SENDER, (moment, moment))
    assert before("last", in_order=True) == ()
    assert before("then") == ("last",)
    assert before("then", in_order=True) == ("last",), "that process may have looked for nothing"
    os.utime(tmp_path / claim.SENDER, (moment, moment))
    assert before("then") == ("last",), "in order it was not"
    assert before("then", in_order=True) == (), "that was enough"
    assert before("at last") == ("then",)
    assert stat.S_IMODE((tmp_path / claim.SENDER).stat().st_mode) == 0o600
    (tmp_path / claim.SENDER).chmod(0o644)
    assert before("at last") == ("then",)
    assert stat.S_IMODE((tmp_path / claim.SENDER).stat().st_mode) == 0o600, "nobody is to read it"


def test_so_it_is_where_the_machine_is_started_once_more_before_that_was_looked_for(tmp_path: Path):
    """A `sync` that found no network closed the ledger in order, and somebody restarted the machine for that."""
    claim.whose_before(tmp_path, "cut off", in_order=True)
    assert claim.whose_before(tmp_path, "second boot", in_order=False) == ("cut off",)
    moment = time.time() - claim.SENDERS_KEPT_S + 600
    os.utime(tmp_path / claim.SENDER, (moment, moment))
    assert claim.whose_before(tmp_path, "third boot", in_order=True) == ("cut off",)
    assert (tmp_path / claim.SENDER).stat().st_mtime == pytest.approx(moment), "a boot a day would keep it for ever"
    os.utime(tmp_path / claim.SENDER, (moment - 1200, moment - 1200))
    assert claim.whose_before(tmp_path, "fourth boot", in_order=True) == ()


def test_so_it_is_where_the_clock_was_set_since_that_had_no_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It began in 1970, or where it was at the last shutdown: all before the boot counted as years ago."""
    (tmp_path / "boot_id").write_text("1f2e3d\n")
    monkeypatch.setattr(claim, "BOOT", tmp_path / "boot_id")
    claim.whose_before(tmp_path, "cut off", in_order=True)
    assert claim.whose_before(tmp_path, "second boot", in_order=False) == ("cut off",)
    os.utime(tmp_path / claim.SENDER, (60, 60))
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: 600.0)
    assert claim.whose_before(tmp_path, "second boot", in_order=True) == ("cut off",)
    monkeypatch.setattr(claim, "BOOT", tmp_path / "hidden")
    assert claim.whose_before(tmp_path, "second boot", in_order=True) == (), "it may be any boot"
    claim.whose_before(tmp_path, "third boot", in_order=False)
    os.utime(tmp_path / claim.SENDER, (60, 60))
    monkeypatch.setattr(claim, "BOOT", tmp_path / "boot_id")
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: claim.SENDERS_KEPT_S + 1)
    assert claim.whose_before(tmp_path, "third boot", in_order=True) == (), "that was enough"


@pytest.mark.parametrize("noted", ["", "[", "{}", "7", '[7, null, "old"]', "[" * 100_000])
def test_a_note_of_that_which_is_broken_is_made_anew(tmp_path: Path, noted: str):
    (tmp_path / claim.SENDER).write_text(noted)
    assert claim.whose_before(tmp_path, "new", in_order=False) == (("old",) if "old" in noted else ())
    assert json.loads((tmp_path / claim.SENDER).read_bytes())[0] == "new"


def test_the_note_of_that_is_on_the_disk_with_its_name_before_all_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept: list[str] = []

    def keep(descriptor: int) -> None:
        """What the kernel has of it by now is what a power failure leaves."""
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
            kept.append(f"the name of {json.loads((tmp_path / claim.SENDER).read_bytes())}")
        else:
            kept.append(f"{json.loads(Path(f'/proc/self/fd/{descriptor}').read_bytes())}")

    claim.whose_before(tmp_path, "first", in_order=False)
    monkeypatch.setattr(os, "fsync", keep)
    claim.whose_before(tmp_path, "second", in_order=False)
    assert kept == ["['second', 'first']", "the name of ['second', 'first']"]


def test_a_draft_of_that_which_a_crash_has_left_is_in_nobodys_way(tmp_path: Path):
    (tmp_path / f"{claim.SENDER}.new").write_text('["cut o')
    claim.whose_before(tmp_path, "first", in_order=False)
    assert claim.whose_before(tmp_path, "second", in_order=False) == ("first",)
    assert [each.name for each in tmp_path.iterdir()] == [claim.SENDER]


def test_where_that_cannot_be_noted_all_goes_on(tmp_path: Path):
    (tmp_path / f"{claim.SENDER}.new").mkdir()
    assert claim.whose_before(tmp_path, "new", in_order=False) == ()
