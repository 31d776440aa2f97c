"""Paths and the directories above them."""

from __future__ import annotations

import pytest

from ftpsyncd.paths import above


@pytest.mark.parametrize(
    ("path", "directories"), [("", []), ("a", [""]), ("a/b", ["a", ""]), ("a/b/c.jpg", ["a/b", "a", ""])]
)
def test_above_a_path_are_its_directories_up_to_the_root(path: str, directories: list[str]) -> None:
    assert list(above(path)) == directories


def test_the_directories_further_up_are_the_same_texts_each_time() -> None:
    """Of each that is made anew, its thousands of characters are hashed anew whenever it is looked up."""
    path = "/".join("d" * 1100)
    first, again = list(above(path)), list(above(f"{path}/e"))[1:]
    assert all(one is other for one, other in zip(first[1:], again[1:], strict=True))
