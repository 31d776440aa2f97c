"""Changes that race with looks, workers and outcomes: whatever is quiet in the end is published soon, without a rescan.

`test_whole_engine` lets nearly everything go wrong; here nothing does. A few files are written, taken away, made again
and renamed over each other, right while they are looked at or sent, and what the kernel, the disk and the workers tell
of it comes as late as it may. Then all becomes quiet, and `SOON_S` later both sides are equal and `in_sync`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ftpsyncd.daemon.onepass import progress_of
from ftpsyncd.engine.mailbox import Message
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.engine.rounds import CHECK_EVERY_S
from ftpsyncd.mapping.site import Moment
from ftpsyncd.status import MappingState
from tests.figures import Figures
from tests.model import stage
from tests.model.racing import TELLING, Chance, Racing
from tests.model.seeds import SOAK, anywhere, play
from tests.model.stage import Broken, Op

pytestmark = pytest.mark.lasting(30)

NORMAL = 80
SETTLES_S = (0.0, 0.05, 0.2, 2.0, 2.0)
SOON_S = 15.0
"""Beyond the quiet time: two waits for a delete, and one for a program that has a file open."""

BE_EQUAL: Op = ("be_equal",)
EPISODES = 10
"""In each race; what happens later would hide what was lost before."""


class _World(Racing):
    """One in which nothing goes wrong, and somebody asks behind all that comes in whether a pass would be over."""

    def _and_then(self, message: Message) -> Iterable[Message]:
        return message, self._ask

    def _ask(self, at: Moment) -> None:
        """If a pass is over, all that the kernel has told of is done."""
        assert self._engine is not None
        heard = self.drop.heard
        unheard = heard.names or heard.entered or heard.lost or self.drop.writers
        progress = progress_of(self._engine, at)
        if progress.finished and not (unheard or progress.paused or progress.failed):
            self._compare_files()

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


class _Race(Chance):
    """What happens until all is quiet."""

    def episode(self) -> list[Op]:
        """From quiet to quiet."""
        chance = self.chance
        ops: list[Op] = [self.first(), BE_EQUAL]
        before = chance.random() < 0.4
        if before:
            ops.append(self.meanwhile())
        ops += [("write", self.hot, 20) if chance.random() < 0.4 else self.change()[0], self.some_time()]
        if not before or chance.random() < 0.3:
            ops += [self.meanwhile(), self.some_time()]
        if chance.random() < 0.3:
            ops += [self.told(self.change()[0]), self.some_time()]
        return [*ops, BE_EQUAL]


def race(ops: list[Op], settle_s: float) -> None:
    """Let all this happen; in the end, both sides are equal."""
    with _World(settle_s=settle_s, empty_dirs=True) as world:
        for path in ("a", "b"):
            world.make_folder(path)
        for path in ("1", "a/1", "b/1"):
            world.write(path, 20)
        world.go_on(10.0)
        for op in (*ops, BE_EQUAL):
            world.do(op)


def drawn(seed: int) -> tuple[list[Op], float]:
    """What happens under a number, and the quiet time."""
    chance = random.Random(seed)
    settle_s = chance.choice(SETTLES_S)
    ops = [op for _ in range(EPISODES) for op in _Race(chance).episode()]
    return ops, settle_s


def races(first: int, number: int) -> None:
    play(lambda seed: race(*drawn(seed)), first, number)


@pytest.fixture(autouse=True)
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked to approve what is deleted."""
    monkeypatch.setattr(stage, "MAX_DELETES", 1_000_000)


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
    "taken away when its other name is to take its place": (
        2.0,
        (
            ("all", ("write", "2", 20), ("go_on", 10.0)),
            ("name", "2", "3"),
            ("go_on", 0.01),
            ("upon", "looked", ("move", "2", "a/2")),
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
    races(anywhere(), SOAK)
    figures.tell("G3", "races of changes with looks and workers, equal soon after without a rescan", SOAK, adds=True)
