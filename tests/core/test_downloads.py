"""Which empty files wait for their content, by the names beside them."""

from __future__ import annotations

import pytest

from ftpsyncd.core.downloads import awaited


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a.jpg", "a.jpg.part"),
        ("a.jpg", "a.AbC123xy.jpg.part"),
        ("a b.tar.gz", "a b.tar.AbC123xy.gz.part"),
        ("README", "README.part"),
        ("README", "README.AbC123xy.part"),
        (".jpg", ".jpg.part"),
    ],
)
def test_an_empty_file_beside_what_is_downloaded_waits(name: str, part: str):
    assert awaited([name, "other.jpg"], [name, "other.jpg", part, "more.png"]) == {name}


@pytest.mark.parametrize(
    "other", ["a.jpg", "b.jpg.part", "aa.jpg.part", "a.AbC123xy.png.part", "a.jpg.partial", "a.jpg.crdownload"]
)
def test_what_else_is_there_keeps_nothing_waiting(other: str):
    assert awaited(["a.jpg"], ["a.jpg", other]) == frozenset()


def test_only_empty_files_wait():
    assert awaited([], ["a.jpg", "a.jpg.part"]) == frozenset()
