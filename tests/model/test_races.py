"""Changes that race with looks, workers and outcomes: whatever is quiet in the end is published soon, without a rescan.

`test_whole_engine` lets nearly everything go wrong; here nothing does. A few files are written, taken away, made again
and renamed over each other, right while they are looked at or sent, and what the kernel, the disk and the workers tell
of it comes as late as it may. Then all becomes quiet, and `SOON_S` later both sides are equal and `in_sync`.
"""

from __future__ import annotations

import os
import random

import pytest

from ftpsyncd.engine import CHECK_EVERY_S
from ftpsyncd.model import parent
from ftpsyncd.report import mapping_status
from ftpsyncd.status import MappingState
from tests.figures import Figures
from tests.model import world as model
from tests.model.world import Broken, Op, World

NORMAL = 80
SOAK = int(os.environ.get("FTPSYNCD_SEQUENCES", "2000"))
SETTLES_S = (0.0, 0.05, 0.2, 2.0, 2.0)
SOON_S = 15.0
"""Beyond the quiet time: two waits for a delete, and one for a program that has a file open."""

FILES = ("1", "2", "a/1", "a/2", "b/1")
FOLDERS = ("a", "b", "c")
ASIDE = "aside"
BE_EQUAL: Op = ("be_equal",)
EPISODES = 10
"""In each race; what happens later would hide what was lost before."""
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


class _World(World):
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
        if self._is_known(path):
            super().write(path, size)

    def begin(self, path: str, size: int) -> None:
        if self._is_known(path):
            super().begin(path, size)

    def _is_known(self, path: str) -> bool:
        """Whether a file has no name that nobody has seen: written under such a one, no event leads to the others."""
        if not self.drop.exists(path) or self.drop.is_folder(path):
            return True
        status = os.lstat(self.drop.local(path))
        names = {p for p, _ in self.drop.walk() if os.lstat(self.drop.local(p)).st_ino == status.st_ino}
        published = {name for name, _ in self._ledger.inodes.names(self._mirror.id, status.st_ino)}
        return status.st_nlink == 1 or names <= published

    def redate(self, path: str) -> None:
        if self._is_known(path):
            self.drop.touch(path)

    def all(self, *ops: Op) -> None:
        """Several things, one right after the other."""
        for op in ops:
            self.do(op)

    def be_equal(self) -> None:
        """All is quiet from now on: so long after it, both sides are equal, and it is said so."""
        self._later.clear()
        self._upon.clear()
        while self.drop.writers:
            self.drop.end(0)
        self.resume()
        self.go_on(CHECK_EVERY_S)
        self.turn()  # it turns so often whatever happens
        self.go_on(self.spec.settle_s + SOON_S - CHECK_EVERY_S)
        self._compare()
        assert self._engine is not None
        status = mapping_status(self._mirror, self._engine._moment())
        if status.state is not MappingState.IN_SYNC:
            raise Broken(f"G3: both sides are equal, and it is {status}: {self._mirror!r}")


class _Chance:
    """What happens until all is quiet: one file, or folder, is changed, and again right around a look or a transfer.

    Args:
        chance: decides.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._hot = chance.choice(FILES[:3])
        self._folder = parent(self._hot) or chance.choice(FOLDERS)

    def episode(self) -> list[Op]:
        """From quiet to quiet."""
        chance = self._chance
        ops: list[Op] = [chance.choice((("write", self._hot, 20), ("remove", self._hot), ("all",))), BE_EQUAL]
        before = chance.random() < 0.4
        if before:
            ops.append(self._meanwhile())
        ops += [("write", self._hot, 20) if chance.random() < 0.4 else self._change()[0], self._while()]
        if not before or chance.random() < 0.3:
            ops += [self._meanwhile(), self._while()]
        if chance.random() < 0.3:
            ops += [self._told(self._change()[0]), self._while()]
        return [*ops, BE_EQUAL]

    def _while(self) -> Op:
        """Some time, or only pieces of what is to be done."""
        chance = self._chance
        if chance.random() < 0.75:
            return ("go_on", chance.choice(SECONDS))
        pieces: tuple[Op, ...] = (("deliver",), ("deliver_names",), ("turn",), ("look",), ("work",))
        return ("all", *(chance.choice(pieces) for _ in range(4)), ("pass_time", chance.choice((0.0, *SECONDS))))

    def _meanwhile(self) -> Op:
        """Two changes that follow one another, the second often undoing the first; each at its own step."""
        chance = self._chance
        one, back = self._change()
        other = back if chance.random() < 0.6 else self._change()[0]
        before, after = chance.choice(AROUND)
        match chance.randrange(6):
            case 0:
                return ("upon", chance.choice((before, after)), self._told(("all", one, other)))
            case 1:
                return ("all", one, ("upon", chance.choice((before, after)), self._told(other)))
            case 2:
                return ("later", chance.randrange(1, 12), self._told(("all", one, other)))
            case _:
                told = self._told(one) if chance.random() < 0.5 else one
                return ("all", ("upon", before, told), ("upon", after, self._told(other)))

    def _told(self, change: Op) -> Op:
        """A change, and how much of what follows from it happens at once."""
        return ("all", change, *self._chance.choice(TELLING))

    def _change(self) -> tuple[Op, Op]:
        """A change, and what undoes it or leads on from it."""
        chance = self._chance
        one = self._hot if chance.random() < HOT else chance.choice(FILES)
        other = chance.choice(tuple(path for path in (*FILES, ASIDE) if path != one))
        size, folder = chance.choice((20, 20, 100, 200)), self._folder
        place = chance.choice(tuple(path for path in (*FOLDERS, f"{folder}/b", f"b/{folder}") if path != folder))
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


def race(ops: list[Op], settle_s: float) -> None:
    """Let all this happen; in the end, both sides are equal."""
    world = _World(settle_s=settle_s, empty_dirs=True)
    try:
        for path in ("a", "b"):
            world.make_folder(path)
        for path in ("1", "a/1", "b/1"):
            world.write(path, 20)
        world.go_on(10.0)
        for op in (*ops, BE_EQUAL):
            world.do(op)
    finally:
        world.close()


def drawn(seed: int) -> tuple[list[Op], float]:
    """What happens under a number, and the quiet time."""
    chance = random.Random(seed)
    settle_s = chance.choice(SETTLES_S)
    ops = [op for _ in range(EPISODES) for op in _Chance(chance).episode()]
    return ops, settle_s


def races(first: int, number: int) -> None:
    for seed in range(first, first + number):
        try:
            race(*drawn(seed))
        except AssertionError as broken:
            broken.add_note(f"seed {seed}")
            raise


@pytest.fixture(autouse=True)
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked to approve what is deleted."""
    monkeypatch.setattr(model, "MAX_DELETES", 1_000_000)


STORIES: dict[str, tuple[float, tuple[Op, ...]]] = {
    "made again while it is looked for": (
        2.0,
        (
            ("write", "2", 20),
            ("go_on", 0.05),
            ("upon", "look", ("remove", "2")),
            ("upon", "looked", ("all", ("write", "2", 20), ("deliver",))),
            ("go_on", 6.0),
        ),
    ),
    "put back while its successor is published": (
        0.0,
        (
            ("all", ("take_out", "1"), ("write", "1", 20)),
            ("upon", "RNTO", ("all", ("bring_in", "1"), *TELLING[-1])),
            ("go_on", 1.0),
        ),
    ),
    "under its old name, too, while it is renamed at the server": (
        0.0,
        (("move", "1", "2"), ("upon", "RNTO", ("all", ("name", "2", "1"), *TELLING[-1])), ("go_on", 1.0)),
    ),
}
"""With the quiet time; what was lost once."""


@pytest.mark.parametrize(("settle_s", "ops"), STORIES.values(), ids=STORIES)
def test_a_file_is_published(settle_s: float, ops: tuple[Op, ...]):
    race(list(ops), settle_s)


def test_what_races_with_looks_and_workers_is_published_soon(figures: Figures):
    races(0, NORMAL)
    figures.tell("G3", "races of changes with looks and workers, equal soon after without a rescan", NORMAL, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_what_races_for_long_with_looks_and_workers_is_published_soon(figures: Figures):
    races(random.SystemRandom().randrange(1 << 40), SOAK)
    figures.tell("G3", "races of changes with looks and workers, equal soon after without a rescan", SOAK, adds=True)
