"""What races are made of: a world in which what happens is told by name, and changes that meet what the daemon does.

`test_races` lets only people race with it; `test_troubles` adds what goes wrong, and what people decide.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from ftpsyncd.paths import parent
from tests.model.stage import Op, Stage
from tests.model.world import World

FILES = ("1", "2", "a/1", "a/2", "b/1")
FOLDERS = ("a", "b", "c")
ASIDE = "aside"
HOT = 0.85
"""Of the changes, those to one file."""
AROUND = (
    *6 * (("look", "looked"),),
    ("commit", "committed"),
    ("commit", "look"),
    ("STOR", "block"),
    ("STOR", "looked"),
    ("block", "RNFR"),
    ("SIZE", "MFMT"),
    *3 * (("RNFR", "RNTO"),),
    ("RNTO", "looked"),
    ("RNTO", "commit"),
    ("MKD", "committed"),
    ("DELE", "looked"),
    ("DELE", "commit"),
    ("RMD", "look"),
)
"""Two steps of the daemon that follow one another."""
TELLING: tuple[tuple[Op, ...], ...] = (
    (),
    (("deliver",),),
    (("deliver",), ("turn",)),
    (("deliver",), ("turn",), ("look",), ("turn",)),
)
SECONDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0)
LONGER = (*SECONDS, 20.0, 70.0, 400.0)
STEPS = ("look", "looked", "commit", "committed", "block")
"""Of the daemon itself, at which something may happen; besides there are the commands of the server."""


class Named(Stage):
    """One in which what happens is told by name."""

    def move(self, path: str, target: str) -> None:
        self.drop.rename(path, target)

    def take_out(self, path: str) -> None:
        """Out of the folder, where nobody watches."""
        self.drop.move_out(path)

    def bring_in(self, path: str) -> None:
        """From there, over whatever has the name now."""
        if any(self.drop.outside.iterdir()):
            if not self.drop.is_folder(path):
                self.drop.delete(path)
            self.drop.move_in(0, path)

    def remove(self, path: str) -> None:
        self.drop.delete(path)

    def name(self, path: str, target: str) -> None:
        self.drop.link(path, target)

    def write(self, path: str, size: int) -> None:
        if self._is_told_of(path):
            super().write(path, size)

    def begin(self, path: str, size: int) -> None:
        if self._is_told_of(path):
            super().begin(path, size)

    def redate(self, path: str) -> None:
        if self._is_told_of(path):
            self.drop.touch(path)

    def _is_told_of(self, path: str) -> bool:
        """Whether the kernel tells whoever has to know of a change of a file: it has no other name."""
        return self._names(path) <= 1

    def _names(self, path: str) -> int:
        """How many a file has; 0: there is none."""
        is_file = self.drop.exists(path) and not self.drop.is_folder(path)
        return os.lstat(self.drop.local(path)).st_nlink if is_file else 0


class Racing(Named, World):
    """One mapping."""

    def _is_told_of(self, path: str) -> bool:
        """Or none that nobody has seen: written under such a one, no event leads to the others."""
        if self._names(path) <= 1 or not self.running:
            return self._names(path) <= 1
        inode = os.lstat(self.drop.local(path)).st_ino
        names = {p for p, _ in self.drop.walk() if os.lstat(self.drop.local(p)).st_ino == inode}
        return names <= {name for name, _ in self._ledger.inodes.names(self._mirror.id, inode)}


class Chance:
    """What people do: one file, or folder, is changed, and again right around a look or a transfer.

    Args:
        chance: decides.
        files: that there are, or may be; the first three are changed most.
        folders: likewise, for the hot files that are in none.
        verbs: commands of the server, at which something may happen.
    """

    def __init__(
        self,
        chance: random.Random,
        files: Sequence[str] = FILES,
        folders: Sequence[str] = FOLDERS,
        verbs: Sequence[str] = (),
    ) -> None:
        self.chance = chance
        self.hot = chance.choice(files[:3])
        self._files = files
        self._folders = folders
        self._steps = (*STEPS, *verbs)
        self._folder = parent(self.hot) or chance.choice(folders)

    def first(self) -> Op:
        """What there is when the race begins."""
        return self.chance.choice((("write", self.hot, 20), ("remove", self.hot), ("all",)))

    def some_time(self) -> Op:
        """Some time, or only pieces of what is to be done."""
        chance = self.chance
        if chance.random() < 0.75:
            return ("go_on", chance.choice(SECONDS))
        pieces: tuple[Op, ...] = (("deliver",), ("deliver_names",), ("turn",), ("look",), ("work",))
        return ("all", *(chance.choice(pieces) for _ in range(4)), ("pass_time", chance.choice((0.0, *SECONDS))))

    def longer(self) -> Op:
        """As `some_time`, or much more."""
        return ("go_on", self.chance.choice(LONGER)) if self.chance.random() < 0.5 else self.some_time()

    def placed(self, op: Op) -> Op:
        """It happens now, some steps later, or at one kind of step."""
        chance = self.chance
        match chance.randrange(3):
            case 0:
                return op
            case 1:
                return ("later", chance.randrange(1, 30), op)
            case _:
                return ("upon", chance.choice(self._steps), op)

    def meanwhile(self) -> Op:
        """Two changes that follow one another, the second often undoing the first; each at its own step."""
        chance = self.chance
        one, back = self.change()
        other = back if chance.random() < 0.6 else self.change()[0]
        before, after = chance.choice(AROUND)
        match chance.randrange(6):
            case 0:
                return ("upon", chance.choice((before, after)), self.told(("all", one, other)))
            case 1:
                return ("all", one, ("upon", chance.choice((before, after)), self.told(other)))
            case 2:
                return ("later", chance.randrange(1, 12), self.told(("all", one, other)))
            case _:
                told = self.told(one) if chance.random() < 0.5 else one
                return ("all", ("upon", before, told), ("upon", after, self.told(other)))

    def told(self, change: Op) -> Op:
        """A change, and how much of what follows from it happens at once."""
        return ("all", change, *self.chance.choice(TELLING))

    def change(self) -> tuple[Op, Op]:
        """A change, and what undoes it or leads on from it."""
        chance = self.chance
        one = self.hot if chance.random() < HOT else chance.choice(self._files)
        other = chance.choice(tuple(path for path in (*self._files, ASIDE) if path != one))
        size, folder = chance.choice((20, 20, 100, 200)), self._folder
        place = chance.choice(tuple(path for path in (*self._folders, f"{folder}/b", f"b/{folder}") if path != folder))
        write: Op = ("write", one, size)
        weighted: dict[tuple[Op, Op], int] = {
            (("remove", one), write): 6,
            (write, ("remove", one)): 3,
            (write, write): 2,
            (("swap", one, size), ("swap", one, size)): 2,
            (("take_out", one), ("bring_in", one)): 4,
            (("all", ("take_out", one), write), ("bring_in", one)): 3,
            (("bring_in", one), ("take_out", one)): 2,
            (("move", one, other), ("move", other, one)): 4,
            (("move", other, one), ("move", one, other)): 2,
            (("all", ("move", one, other), write), ("move", other, one)): 2,
            (("name", one, other), ("remove", one)): 1,
            (("all", ("remove", one), ("name", other, one)), ("remove", other)): 1,
            (("redate", one), write): 1,
            (("begin", one, size), ("end", 0)): 2,
            (("all", ("remove", one), ("make_folder", one)), ("all", ("remove", one), write)): 2,
            (("move", folder, place), ("move", place, folder)): 3,
            (("take_out", folder), ("bring_in", folder)): 2,
            (("remove", folder), ("all", ("make_folder", folder), write)): 2,
            (("make_folder", folder), ("remove", folder)): 2,
            (("pause",), ("resume",)): 1,
        }
        return chance.choices(list(weighted), list(weighted.values()))[0]
