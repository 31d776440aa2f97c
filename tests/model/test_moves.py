"""Folders that move about while the daemon dies again and again: in the end nothing is left under any of their names.

`test_whole_engine` uses a dozen paths, so that names come back; here each name is new, as where people sort things, and
there are many of them. What they find together are intents of one life that the next one has to make sense of.
"""

from __future__ import annotations

import random

import pytest

from ftpsyncd.engine.report import mapping_status
from ftpsyncd.status import MappingState
from tests.figures import Figures
from tests.model import stage
from tests.model.people import People
from tests.model.seeds import SOAK, anywhere, play
from tests.model.world import World

pytestmark = pytest.mark.lasting(20)

NORMAL = 60
SOON_S = 20.0
"""Less than what may come late is waited for."""


class _World(World):
    """One in which people do what they like at any moment."""

    people: People

    def act(self) -> None:
        self.people.act()

    def say_the_truth(self) -> None:
        """Before what may come late is over: both sides are equal, or it is not said that they are."""
        self._later.clear()
        self.go_on(SOON_S)
        assert self._engine is not None
        status = mapping_status(self._mirror, self._engine._moment())
        if status.state is MappingState.IN_SYNC and self.drop.files() != self._published():
            raise self._broken(f"G8: here is {sorted(self.drop.files())}, there {sorted(self._published())}: {status}")


def lives(seed: int) -> int:
    """Some lives of a daemon, to their end; how many crashes it took."""
    chance = random.Random(seed)
    world = _World(empty_dirs=chance.random() < 0.2, replaces=chance.random() < 0.7)
    world.people = People(world.drop, chance)
    try:
        world.people.settle_in()
        world.go_on(10.0)
        for _ in range(chance.randrange(1, 8)):
            for _ in range(chance.randrange(6)):
                world.act()
                if chance.random() < 0.3:
                    world.do(("go_on", chance.choice((0.1, 1.0, 2.5, 6.0))))
            for _ in range(chance.randrange(8)):
                world.later(chance.randrange(1, 100), ("act",))
            world.later(chance.randrange(1, 120), ("crash",))
            world.do(("go_on", chance.choice((1.0, 2.5, 6.0, 20.0))))
            for _ in range(chance.randrange(4)):
                world.act()
            world.do(("start",))
        world.say_the_truth()
        world.come_to_rest()
    finally:
        world.close()
    return world.counts.get("crash", 0)


def many_lives(first: int, number: int) -> int:
    """How many crashes these took."""
    crashes: list[int] = []
    play(lambda seed: crashes.append(lives(seed)), first, number)
    return sum(crashes)


@pytest.fixture(autouse=True)
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked to approve what is deleted."""
    monkeypatch.setattr(stage, "MAX_DELETES", 1_000_000)


def test_folders_that_move_while_the_daemon_dies(figures: Figures):
    crashes = many_lives(0, NORMAL)
    assert crashes > NORMAL
    figures.tell("G3", "crashes while folders moved about, each time until both sides were equal", crashes, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_folders_that_move_for_long_while_the_daemon_dies(figures: Figures):
    crashes = many_lives(anywhere(), SOAK)
    assert crashes > SOAK
    figures.tell("G3", "crashes while folders moved about, each time until both sides were equal", crashes, adds=True)
