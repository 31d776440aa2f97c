"""Disks in the folder that are mounted, unmounted and swapped at any moment, over crashes, reloads and decisions.

Whatever comes, what is on a disk that is away, or lies under one, stays at the server until a person accepts that; what
is told of a hold is so; and when all is mounted as it is recorded, nothing is held, and both sides are equal.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.specs import DeletePolicy
from tests.model.mounting import DISKS, Disks, Mounting
from tests.model.seeds import SOAK, anywhere, play
from tests.model.stage import Op

NORMAL = 20
FOLDERS = ("a", "b", "m", "n", "a/m", "b/m", "m/s")
FILES = ("1", "2", "a/1", "a/2", "m/1", "m/2", "n/1", "a/m/1", "a/m/2", "b/m/1", "m/s/1", "m/s/2")
POINTS = ("m", "a/m", "n", "b/m", "m/s")
SECONDS = (0.1, 1.0, 2.5, 6.0, 20.0, 70.0)
STEPS: tuple[Op, ...] = (("turn",), ("look",), ("work",), ("deliver",))

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]


APART = "FTPSYNCD_TEST_APART"
"""Set in a mount namespace of our own."""


@pytest.fixture
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Disks], None]], None]:
    """Runs a test in a mount namespace of its own: who tests mounts beside it would see these come and go."""

    def inside(test: Callable[[Disks], None]) -> None:
        disks = Disks(tmp_path)
        try:
            test(disks)
        finally:
            disks.remove()

    def outside(_test: Callable[[Disks], None]) -> None:
        alone = ("unshare", "--mount", "--propagation", "private")
        words = ("-m", "pytest", "-q", "-m", "", "--basetemp", tmp_path / "t", request.node.nodeid)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [*alone, sys.executable, *words],
            cwd=request.config.rootpath,
            env={**environ, APART: "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return inside if APART in os.environ else outside


class _Chance:
    """What happens."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def _one_of(self, weighted: list[tuple[int, Op]]) -> Op:
        return self.chance.choices([op for _, op in weighted], [weight for weight, _ in weighted])[0]

    def _change(self) -> list[tuple[int, Op]]:
        chance, told = self.chance, self.chance.random() < 0.6
        return [
            (20, ("write", chance.choice(FILES), 20)),
            (5, ("copy", chance.choice(FILES), chance.choice(FILES))),
            (5, ("move", chance.choice(FILES + FOLDERS), chance.choice(FILES + FOLDERS))),
            (3, ("remove", chance.choice(FILES + FOLDERS))),
            (3, ("make_folder", chance.choice(FOLDERS))),
            (10, ("mount", chance.randrange(DISKS), chance.choice(POINTS), told)),
            (10, ("unmount", chance.randrange(4), told, chance.random() < 0.6)),
            (6, ("swap_disks", chance.randrange(4), chance.randrange(DISKS), told)),
        ]

    def op(self) -> Op:
        """Anything."""
        chance = self.chance
        return self._one_of(
            [
                *self._change(),
                (4, ("vanish", chance.choice(("nowhere", "beside", "disk")))),
                (5, ("come_back",)),
                (5, ("approve",)),
                (3, ("discard",)),
                (3, ("restart",)),
                (3, ("start",)),
                (8, ("sync",)),
                (2, ("decide", chance.choice(("approve", "discard")))),
                (3, ("exclude", chance.choice(((), (), ("2",))))),
                (3, ("is_told_truly",)),
                (2, ("offline",)),
                (3, ("online",)),
                (1, ("fault_after", "STOR", "unavailable", 1)),
                (4, ("go_on", chance.choice(SECONDS))),
            ]
        )

    def between(self) -> Op:
        """Anything that happens between two steps of the daemon."""
        return self._one_of([*self._change(), (8, ("crash",)), (5, ("come_back",)), (25, self.chance.choice(STEPS))])


def _tell(disks: Disks, seed: int) -> None:
    chance = random.Random(seed)
    ops = _Chance(chance)
    deletes = chance.choice((*DeletePolicy, DeletePolicy.MIRROR, DeletePolicy.MIRROR))
    empty_dirs, most = chance.random() < 0.3, chance.choice((3, 1000))
    with Mounting(disks, deletes=deletes, empty_dirs=empty_dirs, max_deletes=most) as world:
        world.all(*(("make_folder", path) for path in ("a", "b", "m", "n", "a/m")))
        world.all(("mount", 0, "m"), ("mount", 1, "a/m"))
        world.all(*(("write", path, 20) for path in FILES if chance.random() < 0.8), ("go_on", 30.0))
        for _ in range(chance.choice((6, 12, 25))):
            if chance.random() < 0.3:
                world.later(chance.randrange(1, 40), ops.between())
            elif chance.random() < 0.3:
                world.do(("go_on", chance.choice(SECONDS)))
            else:
                world.do(ops.op())
        world.come_to_rest()


def test_nothing_on_a_disk_that_is_away_is_deleted_and_all_is_equal_when_it_is_back(
    apart: Callable[[Callable[[Disks], None]], None],
) -> None:
    apart(lambda disks: play(lambda seed: _tell(disks, seed), 0, NORMAL))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_so_it_is_in_many_stories(apart: Callable[[Callable[[Disks], None]], None]) -> None:
    apart(lambda disks: play(lambda seed: _tell(disks, seed), anywhere(), SOAK // 4))
