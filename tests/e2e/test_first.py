"""The main job, end to end: drop a file, see it published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.site import contents, site
from tests.servers import Server, running
from tests.waiting import until


def test_files_and_directories_new_changed_renamed_and_deleted_are_published(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path) as s:
        s.start()
        (s.drop / "a.jpg").write_bytes(b"a" * 1000)
        (s.drop / "sub/deeper").mkdir(parents=True)
        (s.drop / "sub/deeper/b.jpg").write_bytes(b"b" * 100_000)
        s.until_equal()
        (s.drop / "a.jpg").write_bytes(b"changed")
        s.until_equal()
        (s.drop / "a.jpg").rename(s.drop / "sub/c.jpg")
        (s.drop / "sub").rename(s.drop / "renamed")
        s.until_equal()
        (s.drop / "renamed/c.jpg").unlink()
        s.until_equal()
        s.until_state("in_sync")
        assert s.stop() == 0


def test_what_happened_while_the_daemon_was_down_is_caught_up_with(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path) as s:
        for i in range(20):
            (s.drop / f"{i}.jpg").write_bytes(bytes([i]) * 100)
        s.start()
        s.until_equal()
        s.stop()
        (s.drop / "0.jpg").unlink()
        (s.drop / "1.jpg").rename(s.drop / "one.jpg")
        (s.drop / "2.jpg").write_bytes(b"other")
        (s.drop / "new.jpg").write_bytes(b"new")
        s.start()
        s.until_equal()
        # The server has it before the daemon has written so.
        until(lambda: "renamed 1.jpg" in s.log(), "the rename is in the log")


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
@pytest.mark.parametrize("kind", ["pyftpdlib", pytest.param("vsftpd", marks=pytest.mark.real_server)])
def test_over_tls_with_verification(kind: str, tls: str, tmp_path: Path) -> None:
    with running(kind, tls=tls) as server, site(server, tmp_path) as s:
        s.start()
        for i in range(30):
            (s.drop / f"{i}.jpg").write_bytes(bytes([i]) * 5000)
        s.until_equal()
        assert len(contents(s.published)) == 30
