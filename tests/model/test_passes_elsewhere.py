"""Passes of `sync` that find another configuration: mappings came, went, or changed their places since the last one.

As `test_reloads`, but no daemon runs: what a pass that was killed has left is found by one that publishes other folders
to other places. In the end, when all is well, each mapping's folder and its place are equal a few passes later.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ftpsyncd.specs import MappingSpec
from tests.figures import Figures
from tests.model.configured import VERBS, Configured, Drawing, servers
from tests.model.passes import Passing
from tests.model.seeds import SOAK, anywhere, play
from tests.model.several import configuration
from tests.model.stage import Op

pytestmark = pytest.mark.lasting(20)

NORMAL = 24
PASSES = 6
REFUSABLE = ("STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD")
SYNC: Op = ("sync",)
BE_EQUAL: Op = ("be_equal",)


class _World(Passing, Configured):
    """Several mappings, and no daemon."""

    def mend(self) -> None:
        super().mend()
        for spec in self.config.mappings.values():
            self._make_root(spec)


class _Passes(Drawing):
    """What happens."""

    def one(self) -> list[Op]:
        """A pass, and what happens before it."""
        chance = self.chance
        ops = [self.change()[0] for _ in range(chance.randrange(4))]
        ops += [self.placed(self.change()[0]) for _ in range(chance.choice((0, 0, 1, 2)))]
        if chance.random() < 0.5:
            ops.append(self._trouble())
        if chance.random() < 0.5:
            ops.append(("reload", self.adjust() if chance.random() < 0.3 else self.draw()))
        if chance.random() < 0.5:
            at_once: Op = ("upon", chance.choice(("block", *VERBS)), ("crash",))
            ops.append(chance.choice((at_once, ("later", chance.randrange(1, 80), ("crash",)))))
        return [*ops, SYNC, ("pass_time", chance.choice((0.5, 5.0, 100.0, 4000.0)))]

    def _trouble(self) -> Op:
        chance = self.chance
        verb, nth = chance.choice(VERBS), chance.randrange(1, 4)
        troubles: tuple[Op, ...] = (
            ("fault", verb, "unavailable", nth),
            ("fault_after", verb, "unavailable", nth),
            ("fault", chance.choice(REFUSABLE), "refused", nth),
            ("offline",),
            ("online",),
            ("decide", chance.choice(("approve", "discard", "retry", "pause", "resume"))),
        )
        return chance.choice(troubles)


def life(begin: tuple[MappingSpec, ...], ops: list[Op], *, replaces: bool = True) -> dict[str, int]:
    """Let all this happen; how often what did."""
    with _World(configuration(Path("/"), servers()), replaces=replaces) as world:
        world.reload(begin)
        world.settle_in()
        for op in (SYNC, *ops, BE_EQUAL):
            world.do(op)
    return world.counts


def test_a_pass_sweeps_what_a_killed_one_has_half_sent_where_nothing_is_published_any_more():
    before = MappingSpec("one", Path("p"), "web", "/s", include=("*",), settle_s=0.0)
    killed: Op = ("upon", "block", ("crash",))
    counts = life((before,), [("write", "p/2", 200), killed, SYNC, ("reload", (before._replace(remote="/t"),))])
    assert counts["crash"] == 1


def drawn(seed: int) -> tuple[tuple[MappingSpec, ...], list[Op], bool]:
    """What happens under a number."""
    chance = random.Random(seed)
    passes = _Passes(chance, direct=False)
    begin = passes.draw()
    return begin, [op for _ in range(PASSES) for op in passes.one()], chance.random() < 0.8


def lives(first: int, number: int) -> int:
    """How often a pass was killed in so many."""
    killed: list[int] = []

    def story(seed: int) -> None:
        begin, ops, replaces = drawn(seed)
        killed.append(life(begin, ops, replaces=replaces).get("crash", 0))

    play(story, first, number)
    return sum(killed)


def test_passes_that_find_another_configuration_make_all_mappings_equal_in_the_end(figures: Figures):
    killed = lives(0, NORMAL)
    assert killed
    figures.tell("G3", "passes of `sync` killed while places changed, all equal after the last", killed, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_passes_that_find_another_configuration_for_long_make_all_mappings_equal_in_the_end(figures: Figures):
    killed = lives(anywhere(), SOAK)
    figures.tell("G3", "passes of `sync` killed while places changed, all equal after the last", killed, adds=True)
