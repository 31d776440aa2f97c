"""When a file was made, as the kernel tells it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ftpsyncd.local import birth, mounts, tree
from ftpsyncd.local.scan import Scanner

TICK_NS = 20_000_000
"""The kernel's stamps are those of its last tick."""


def born_ns(path: Path) -> int | None:
    with path.open("rb") as file:
        return birth.born_ns(file.fileno())


def is_kept(directory: Path) -> bool:
    """Whether the file system of a directory keeps it, and that of each directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        mount = mounts.of_descriptor(descriptor)
        return mount is not None and mount.filesystem in birth._KEEPERS and birth.told_ns(descriptor) > 0
    finally:
        os.close(descriptor)


def test_neither_another_name_nor_a_date_nor_a_new_content_changes_it(tmp_path: Path):
    before_ns = time.time_ns()
    (tmp_path / "a").write_bytes(b"a")
    after_ns = time.time_ns()
    born = born_ns(tmp_path / "a")
    if born is None:
        pytest.skip("this file system does not keep it")
    assert before_ns - TICK_NS <= born <= after_ns
    os.utime(tmp_path / "a", (1000, 1000))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"another")
    assert born_ns(tmp_path / "b") == born


def test_it_is_what_another_program_is_told(tmp_path: Path):
    """What is not told at all has the other tests skipped: where it is kept, that would be a fault of ours."""
    (tmp_path / "a").write_bytes(b"a")
    asked = subprocess.run(["stat", "--format=%W", tmp_path / "a"], check=False, capture_output=True, text=True)
    if asked.returncode or not asked.stdout.strip().isdecimal():
        pytest.skip("there is no GNU stat")
    with (tmp_path / "a").open("rb") as file:
        assert birth.told_ns(file.fileno()) // 10**9 == int(asked.stdout)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert birth.named_ns("a", directory) // 10**9 == int(asked.stdout)
    finally:
        os.close(directory)


def test_the_clock_of_a_file_server_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(mounts, "is_network_type", lambda _filesystem: True)
    assert born_ns(tmp_path / "a") is None


def test_a_library_that_does_not_know_the_question_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(birth, "_statx", lambda: None)
    assert born_ns(tmp_path / "a") is None


def test_a_root_that_is_made_anew_is_another_one_though_it_has_the_inode(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    if not is_kept(root):
        pytest.skip("this file system does not keep it")
    before, numbered = tree.root_identity(root), tree.numbered_identity(root)
    (root / "a").write_bytes(b"a")
    root.rename(tmp_path / "renamed")
    (tmp_path / "renamed").rename(root)
    assert tree.root_identity(root) == before
    for _ in range(20):
        (root / "a").unlink(missing_ok=True)
        root.rmdir()
        time.sleep(TICK_NS / 10**9)
        root.mkdir()
        if tree.numbered_identity(root) == numbered:
            break
    else:
        pytest.skip("no inode is used twice here")
    assert tree.root_identity(root) != before


def test_a_root_is_known_by_its_inode_where_the_moment_may_be_another_after_the_next_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(birth, "_keepers", birth._Keepers())
    monkeypatch.setattr(birth, "_KEEPERS", frozenset())
    root = tree.root_identity(tmp_path)
    assert root is not None
    assert root.inode == tmp_path.stat().st_ino


def test_a_listing_tells_when_the_directory_was_made(tmp_path: Path):
    before_ns = time.time_ns()
    (tmp_path / "d").mkdir()
    after_ns = time.time_ns()
    (tmp_path / "d" / "a").write_bytes(b"a")
    (tmp_path / "d").rename(tmp_path / "e")
    made = Scanner(tmp_path).list_dir("e").made_wall_ns
    if not made:
        pytest.skip("this file system does not keep it")
    assert before_ns - TICK_NS <= made <= after_ns
    assert not Scanner(tmp_path).probe("e", ["a"]).made_wall_ns, "where only names are asked for, it says nothing"
