"""Renames of very many files that are cut off: all of them would be a mass delete, were they deletes."""

from __future__ import annotations

import pytest

from tests.model.stage import MAX_DELETES, Op
from tests.model.world import World

MANY = tuple(f"{number}.jpg" for number in range(MAX_DELETES + 2))
CUTS: dict[str, tuple[Op, ...]] = {
    "cut off": (("lose_connections", "RNTO", len(MANY)),),
    "done, and not heard of": tuple(("fault_after", "RNTO", "unavailable", nth + 1) for nth in range(len(MANY))),
    "killed": (("upon", "RNTO", ("crash",)),),
}
"""By how: what is done before the files are renamed."""
cuts = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)


def move_all(world: World, cut: tuple[Op, ...], *, others: tuple[str, ...] = (), out_of: str = "") -> None:
    """Have all of them published, prepare a cut, and move them to the folder `b`, which is there.

    Args:
        world: in which this happens.
        cut: one of `CUTS`.
        others: names that are published beside them, and stay.
        out_of: the folder that they are in, with a slash behind it; by default the root.
    """
    for name in (*MANY, *others):
        world.write(f"{out_of}{name}", 20)
    world.do(("go_on", world.spec.settle_s + 30.0))
    for op in cut:
        world.do(op)
    for name in MANY:
        world.drop.rename(f"{out_of}{name}", f"b/{name}")


def renamed_and_cut_off(world: World, cut: tuple[Op, ...]) -> None:
    """The same, and the daemon has begun to rename them at the server, and been cut off."""
    move_all(world, cut)
    world.do(("go_on", 4.0))
