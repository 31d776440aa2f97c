"""The tree of errors is the one that its module draws."""

from __future__ import annotations

import re

from ftpsyncd import errors
from ftpsyncd.errors import FtpsyncdError


def drawn() -> set[tuple[str, str]]:
    """Pairs of a class and its parent, from the picture."""
    above: dict[int, str] = {}
    pairs = set()
    for line in re.finditer(r"^ {4}(.*?)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(line[1]) // 4
        above[depth] = line[2]
        if depth:
            pairs.add((line[2], above[depth - 1]))
    return pairs


def defined(kind: type[FtpsyncdError] = FtpsyncdError) -> set[tuple[str, str]]:
    pairs = set()
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            pairs |= {(each.__name__, kind.__name__)} | defined(each)
    return pairs


def test_the_picture_of_the_tree_has_every_error_at_its_place():
    assert len(defined()) > 30
    assert drawn() == defined()
