"""Paths in the ledger that are one on some disks: where case, or how accents are spelled, makes no difference.

In: a path. Out: what is recorded under a path like it. Used through `ledger.Ledger.alike`, by `othercases`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ftpsyncd.core.names import cases, forms
from ftpsyncd.ledger.database import Cursor
from ftpsyncd.paths import join


class Alike:
    """Looks for paths in the rows of one ledger.

    Args:
        read: a query.
    """

    def __init__(self, read: Callable[[str, Sequence[object]], Cursor]) -> None:
        self._read = read

    def directories(self, mapping: int, directory: str) -> set[str]:
        """A directory, and those whose paths some disk takes for its own (`core.names.folded`), as far as rows tell."""
        places = {""}
        for name in directory.split("/") if directory else ():
            places = {join(place, alike) for place in places for alike in self._names_alike(mapping, place, name)}
        return places

    def files(self, mapping: int, directory: str, name: str) -> list[str]:
        """The published files of one directory that have this name, or one that some disk takes for it."""
        sql = "SELECT 1 FROM entry WHERE mapping=? AND dir=? AND name=? AND kind=0"
        place = os.fsencode(directory)
        return [
            join(directory, alike)
            for alike in self._names_alike(mapping, directory, name)
            if self._read(sql, (mapping, place, os.fsencode(alike))).fetchone()
        ]

    def _names_alike(self, mapping: int, directory: str, name: str) -> set[str]:
        """A name, and what some disk takes for it and is the beginning of a name that is recorded."""
        return {alike for form in forms(name) for alike in self._in_other_cases(mapping, directory, form)}

    def _in_other_cases(self, mapping: int, directory: str, name: str) -> set[str]:
        """A name, and what differs from it in case only and is the beginning of a name that is recorded.

        Found one character after the other, with as many questions as the name has letters: a directory may be large.
        """
        own, others = b"", set[bytes]()
        for character, *more in cases(name):
            forks = {own + each for each in more}
            forks |= {other + each for other in others for each in (character, *more)}
            others = {fork for fork in forks if not more or self._any_begins(mapping, directory, fork)}
            own += character
        return {name, *map(os.fsdecode, others)}

    def _any_begins(self, mapping: int, directory: str, beginning: bytes) -> bool:
        """Whether a name that is recorded in this directory begins so."""
        sql = "SELECT 1 FROM entry WHERE mapping=? AND dir=? AND name>=? AND name<? LIMIT 1"
        values = (mapping, os.fsencode(directory), beginning, beginning + b"\xff")
        return self._read(sql, values).fetchone() is not None
