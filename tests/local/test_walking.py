"""A walk over a tree, however deep that is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.cli.put import amount
from ftpsyncd.inspection.machine import _folders
from ftpsyncd.local.walking import walk
from ftpsyncd.specs import MappingSpec


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in ("a/b/c", "a/d", "e"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    return tmp_path


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """More levels than Python calls itself."""
    levels = sys.getrecursionlimit() + 100
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=descriptor)
            below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        os.close(os.open("file", os.O_CREAT, dir_fd=descriptor))
    finally:
        os.close(descriptor)
    yield tmp_path
    # shutil.rmtree calls itself for each level, too.
    while (tmp_path / "d").exists():
        (tmp_path / "d").rename(tmp_path / "top")
        for name in os.listdir(tmp_path / "top"):  # noqa: PTH208 - one or none
            (tmp_path / "top" / name).rename(tmp_path / name)
        shutil.rmtree(tmp_path / "top")


def test_it_finds_what_is_there(tree: Path) -> None:
    found = {directory: sorted(names) for directory, names in walk(os.fspath(tree))}
    assert found == {"": ["link"], "a": [], "a/b": [], "a/b/c": ["file"], "a/d": ["file"], "e": ["file"]}
    order = list(found)
    assert all(order.index(above) < order.index(path) for path in order if path for above in [path.rpartition("/")[0]])


def test_it_goes_where_it_is_to_go_only(tree: Path) -> None:
    assert sorted(directory for directory, _ in walk(os.fspath(tree), lambda path: path != "a/b")) == [
        "",
        "a",
        "a/d",
        "e",
    ]
    assert list(walk(os.fspath(tree / "nothing"))) == []


def test_a_tree_may_be_deeper_than_the_stack(deep: Path) -> None:
    count = sys.getrecursionlimit() + 101
    assert sum(1 for _ in walk(os.fspath(deep))) == count
    assert sum(1 for _ in _folders(MappingSpec("m", deep, "web", "/m"), str)) == count
    assert amount([deep]) == {"files": 1, "total": 0}
