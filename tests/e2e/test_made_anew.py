"""Files that are removed and made anew with their names, sizes, dates and inodes: as out of an archive, on ext4."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ftpsyncd.local import birth
from tests.e2e.site import Site, site
from tests.servers import running
from tests.waiting import until

DATE = 1_700_000_000
"""Whole seconds, as in an archive."""
TRIES = 20
"""After which another program has the inode."""
FEW = 20
MANY = 300
"""More than are looked at by their names alone."""


def make(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (DATE, DATE))


def make_anew(files: list[Path], content: bytes) -> set[str]:
    """Remove each file, and make another of its size and date; the names of those that got its inode."""
    same: set[str] = set()
    for path in files:
        before = path.stat()
        assert len(content) == before.st_size
        for _ in range(TRIES):
            path.unlink()
            make(path, content)
            if path.stat().st_ino == before.st_ino:
                same.add(path.name)
                break
    if not same or not keeps_births(files[0].parent):
        pytest.skip("this file system gives them other inodes, or does not tell when a file was made")
    return same


def keeps_births(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return birth.told_ns(descriptor) != 0
    finally:
        os.close(descriptor)


def series(folder: Path, number: int, content: bytes) -> list[Path]:
    """Files of one date."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{n}.jpg" for n in range(number)]
    for path in files:
        make(path, content)
    return files


def receipts(s: Site, names: set[str]) -> list[str]:
    """What was done about some files, by kind."""
    told = json.loads(s.command("history", "--json", "--limit", 0).stdout)
    return sorted(each["kind"] for each in told["entries"] if each["path"] in names)


def test_a_daemon_publishes_files_that_were_made_anew_and_look_as_before(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path, rescan="1h") as s:
        files = series(s.drop, FEW, b"one")
        s.start()
        s.until_equal()
        make_anew(files, b"two")
        s.until_equal(20)
        until(lambda: s.mapping_status()["state"] == "in_sync", "all is told as published")


def test_many_of_them_are_published_after_downtime_by_one_pass(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        files = series(s.drop / "series", MANY, b"one")
        s.command("sync")
        assert s._equal()
        make_anew(files, b"two")
        s.command("sync")
        assert s._equal()


def test_what_is_unpacked_again_with_its_content_is_read_once_and_not_sent(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        files = series(s.drop, FEW, b"one")
        s.command("sync")
        same = make_anew(files, b"one")
        s.command("sync")
        s.command("sync")
        assert receipts(s, same) == ["published"] * len(same) + ["unchanged"] * len(same)


def test_where_the_rights_of_a_whole_tree_change_nothing_is_read_or_sent(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        files = series(s.drop, MANY, b"one")
        s.command("sync")
        for path in files:
            path.chmod(0o640)
        s.command("sync")
        assert receipts(s, {path.name for path in files}) == ["published"] * MANY
