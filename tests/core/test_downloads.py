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


def test_a_hundred_thousand_names_are_no_trouble():
    """Not each of the one with each of the others: that would be five thousand million comparisons."""
    names = [f"{number}.jpg" for number in range(100_000)]
    parts = [f"{number}.AbC123xy.jpg.part" for number in range(0, 100_000, 2)]
    assert awaited(names, [*names, *parts]) == set(names[::2])
