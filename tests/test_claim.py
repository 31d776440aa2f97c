"""The state directory as ours: who comes second is refused, and what is taken away is noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from ftpsyncd.claim import Claim
from ftpsyncd.errors import LedgerError, LedgerLostError, LockHeldError


def test_a_second_one_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with Claim(tmp_path / "state"):
        with pytest.raises(LockHeldError):
            Claim(tmp_path / "state")
        assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o750
    Claim(tmp_path / "state").close()


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
