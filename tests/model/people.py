"""People who sort things: folders that move about, and each name is new."""

from __future__ import annotations

import random

from tests.model.drop import Drop
from tests.model.stage import Op

FEWEST = 4
"""Files, and folders less one: with fewer, one is made."""


class People:
    """Who works in a folder.

    Args:
        drop: the folder.
        chance: decides what is done.
    """

    def __init__(self, drop: Drop, chance: random.Random) -> None:
        self._drop = drop
        self.chance = chance
        self._serial = 0

    def settle_in(self) -> None:
        """Put there what it begins with."""
        for path in ("a", "b", "a/b", "c"):
            self._drop.make_folder(path)
        for path in ("1", "a/1", "a/2", "a/b/1", "b/1", "c/1"):
            self._drop.write(path, 20)

    def act(self) -> None:
        """Do one thing."""
        name, *arguments = self._op()
        getattr(self._drop, str(name))(*arguments)

    def _op(self) -> Op:
        paths = sorted(self._drop.walk())
        folders = [path for path, is_folder in paths if is_folder]
        files = [path for path, is_folder in paths if not is_folder]
        if len(files) < FEWEST:
            return "write", self._new("file", folders), self._size()
        if len(folders) < FEWEST - 1:
            return "make_folder", self._new("made", folders)
        one, other, folder = self.chance.choice(files), self.chance.choice(files), self.chance.choice(folders)
        weighted: dict[Op, int] = {
            ("rename", folder, self._new("moved", folders)): 7,
            ("write", self._new("file", folders), self._size()): 5,
            ("delete", one): 4,
            ("rename", one, self._new("renamed", folders)): 3,
            ("rename", one, other): 2,
            ("make_folder", self._new("made", folders)): 2,
            ("delete", folder): 1,
        }
        return self.chance.choices(list(weighted), list(weighted.values()))[0]

    def _new(self, stem: str, folders: list[str]) -> str:
        self._serial += 1
        where = f"{self.chance.choice(folders)}/" if folders and self.chance.random() < 0.85 else ""
        return f"{where}{stem}{self._serial}"

    def _size(self) -> int:
        return self.chance.choice((20, 100, 200))
