"""Nothing is deleted here, and so nobody is asked about deletes, whatever goes wrong at the server or with the daemon.

Files and folders get other names, many at a time, and new ones come. Lines break, again and again, servers are away, and
the daemon dies: what a rename has left under an old name, or a try under a new one, is no delete, and no person has to
decide about it. Only a few deletes at once are allowed; in the end both sides are equal.

These are few stories, by their numbers: of random ones one in some hundreds has somebody asked as yet (5586 with
`PYTHONHASHSEED=11`, for one).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.events import EventKind
from ftpsyncd.specs import DeleteLimit
from tests.model.seeds import play
from tests.model.stage import MAX_DELETES, Op
from tests.model.world import World

pytestmark = pytest.mark.lasting(20)

NORMAL = 16
SEED = 1
"""The first number of these."""
VERBS = ("STOR", "SIZE", "MFMT", "RNFR", "RNTO", "RNTO", "MKD", "MLST", "CONNECT", "DELE", "RMD")
FOLDERS = ("a", "b", "a/b")
FILES = (*(f"{number}" for number in range(6)), *(f"a/{number}" for number in range(7)), "a/b/1", "a/b/2", "b/1")
SECONDS = (0.1, 0.6, 2.1, 3.0, 6.0, 20.0, 70.0, 400.0)
CALM_S = 100.0
"""After a start; and before the end, when all that may come late was asked about."""


class _World(World):
    """One in which nobody is asked."""

    def rest(self, seconds: float) -> None:
        """Let everything run for a while; nothing is held then."""
        self.go_on(seconds)
        held = [event.message for event in self.events if event.kind is EventKind.HELD]
        if held:
            raise self._broken(f"somebody is asked though nothing was deleted: {held}")

    def move(self, path: str, target: str) -> None:
        """As `rename`, by name."""
        self.drop.rename(path, target)

    def be_well(self) -> None:
        """Nothing goes wrong from now on."""
        self.all_is_well()


class _Renaming:
    """What happens.

    Args:
        chance: decides.
        world: to whom.
    """

    def __init__(self, chance: random.Random, world: World) -> None:
        self._chance = chance
        self._drop = world.drop
        self._serial = 0

    def ops(self) -> Iterator[Op]:
        """From a start to a rest."""
        chance = self._chance
        for _ in range(chance.randrange(2, 8)):
            what = chance.random()
            if what < 0.45:
                yield self._trouble()
            elif what < 0.55:
                yield "later", chance.randrange(1, 40), self._trouble()
            if chance.random() < 0.3:
                yield from self._many()
            else:
                for _ in range(chance.randrange(1, 3)):
                    yield self._one()
            yield "rest", chance.choice(SECONDS)
        yield ("be_well",)
        yield "rest", 20_000.0
        yield "rest", CALM_S
        yield ("come_to_rest",)

    def _paths(self) -> tuple[list[str], list[str]]:
        paths = sorted(self._drop.walk())
        return [path for path, is_folder in paths if is_folder], [path for path, is_folder in paths if not is_folder]

    def _new(self, folders: list[str]) -> str:
        self._serial += 1
        return (
            f"{self._chance.choice(folders)}/{self._serial}new" if self._chance.random() < 0.7 else f"{self._serial}new"
        )

    def _one(self) -> Op:
        folders, files = self._paths()
        folder = self._chance.choice(folders)
        outside = [each for each in folders if each != folder and not each.startswith(f"{folder}/")] or folders
        weighted: dict[Op, int] = {
            ("move", self._chance.choice(files), self._new(folders)): 4,
            ("move", folder, self._new(outside)): 4,
            ("write", self._new(folders), self._chance.choice((20, 100, 200))): 1,
            ("make_folder", self._new(folders)): 1,
        }
        return self._chance.choices(list(weighted), list(weighted.values()))[0]

    def _many(self) -> Iterator[Op]:
        """`mv a/* b/`, say."""
        folders, files = self._paths()
        folder = self._chance.choice(folders)
        for file in self._chance.sample(files, min(len(files), self._chance.randrange(MAX_DELETES + 1, 10))):
            yield "move", file, self._new([folder])

    def _trouble(self) -> Op:
        chance = self._chance
        verb, times = chance.choice(VERBS), chance.randrange(1, 5)
        if chance.random() < 0.35:
            # What loses its connection so often is tried in another way.
            return "lose_connections", chance.choice(("RNFR", "RNTO")), chance.randrange(LOST_CONNECTIONS - 1, 6)
        troubles: tuple[Op, ...] = (
            ("lose_connections", verb, times),
            ("fault", verb, "unavailable", times),
            ("fault_after", verb, "unavailable", times),
            ("fault", "STOR", "broken", times),
            ("fault", chance.choice(("STOR", "RNTO", "DELE")), "late", times),
            ("upon", verb, ("crash",)),
            ("upon", verb, ("offline",)),
            ("crash",),
            ("restart",),
            ("start",),
            ("offline",),
            ("online",),
            ("lose_events",),
            ("retry",),
        )
        return chance.choice(troubles)


def _tell(seed: int) -> None:
    chance = random.Random(seed)
    with _World(max_deletes=1000) as world:
        for folder in FOLDERS:
            world.make_folder(folder)
        for file in FILES:
            world.write(file, 20)
        world.go_on(20.0)
        world.spec = world.spec._replace(max_deletes=DeleteLimit(MAX_DELETES))
        world.all(("restart",), ("rest", CALM_S))
        for op in _Renaming(chance, world).ops():
            world.do(op)


def test_nobody_is_asked_about_what_only_got_other_names():
    play(_tell, SEED, NORMAL)
