"""Who publishes by `sync` alone, from cron: passes that end, are killed at any moment, or meet faults.

Between them people work in the folder, decide what is held, and change the configuration. Whenever a pass says that it
has left nothing undone, and nobody changed anything meanwhile, that is true; and in the end, when all is well, a few
passes make both sides equal, and the ledger has what they have.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from ftpsyncd.specs import DeletePolicy, ExistingPolicy
from tests.figures import Figures
from tests.model.doubles import FAULTS
from tests.model.passes import Passing
from tests.model.people import People
from tests.model.racing import Chance, Racing
from tests.model.records import Recorded
from tests.model.seeds import SOAK, anywhere, play
from tests.model.stage import Op
from tests.model.world import M

pytestmark = pytest.mark.lasting(20)

NORMAL = 24
EPISODES = 2
SETTLES_S = (0.0, 0.2, 2.0, 60.0)
ANY_NUMBER = 1_000_000
VERBS = ("STOR", "STOR", "SIZE", "MFMT", "RNFR", "RNTO", "RNTO", "DELE", "MKD", "RMD", "MLST", "CONNECT")
REFUSABLE = ("STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD")
EXCLUDED = ((), (), ("a/",), ("1",), ("b/*",))
FOLDERS = ("", "a", "b", "c")
NOTHING: Op = ("all",)
SYNC: Op = ("sync",)
BE_EQUAL: Op = ("be_equal",)


class Sort(NamedTuple):
    """What a life is like."""

    settle_s: float = 2.0
    replaces: bool = True
    empty_dirs: bool = True
    existing: ExistingPolicy = ExistingPolicy.ADOPT
    deletes: DeletePolicy = DeletePolicy.MIRROR
    max_deletes: int = ANY_NUMBER


class _World(Passing, Racing, Recorded):
    """One mapping, and people who sort things."""

    def __init__(self, sort: Sort) -> None:
        super().__init__(**sort._asdict())
        self._people = People(self.drop, random.Random(0))
        self._people.settle_in()

    def act(self, seed: int) -> None:
        self._people.chance.seed(seed)
        self._people.act()

    def adjust(self, key: str, value: object) -> None:
        """A setting has another value from the next pass on."""
        self.note_patience()
        self.spec = self.spec._replace(**{key: value})  # type: ignore[arg-type]

    def compare_again(self) -> None:
        """All of it, in the midst of a pass."""
        assert self._engine is not None
        again = self._engine.about_any(lambda at: self._mirror.dirty.mark_deep("", at.now))
        self._engine.mailbox.put(again)

    def _compare_all(self) -> None:
        super()._compare_all()
        self._compare_records()


class _Passes(Chance):
    """What happens from one peace to the next.

    Args:
        chance: decides.
        sort: of the life.
    """

    def __init__(self, chance: random.Random, sort: Sort) -> None:
        super().__init__(chance, verbs=VERBS)
        self._sort = sort

    def episode(self) -> list[Op]:
        """Some passes, until all is equal."""
        ops = [op for _ in range(self.chance.randrange(1, 5)) for op in self._pass()]
        return [*ops, BE_EQUAL]

    def _pass(self) -> list[Op]:
        chance = self.chance
        ops = [self._change() for _ in range(chance.randrange(6))]
        ops += [self.placed(self._change()) for _ in range(chance.choice((0, 0, 1, 3)))]
        troubles = [self._trouble() for _ in range(chance.choice((0, 0, 1, 2)))]
        ops += [what for what, _ in troubles]
        if chance.random() < 0.4:
            ops.append(("later", chance.randrange(1, 120), ("crash",)))
        ops += [SYNC, ("pass_time", chance.choice((0.5, 5.0, 100.0, 4000.0)))]
        return ops + [back for _, back in troubles if chance.random() < 0.7]

    def _change(self) -> Op:
        chance = self.chance
        return ("act", chance.randrange(1 << 30)) if chance.random() < 0.7 else self.change()[0]

    def _trouble(self) -> tuple[Op, Op]:
        """A trouble before a pass, and what happens after it."""
        chance, sort = self.chance, self._sort
        verb, nth, folder = chance.choice(VERBS), chance.randrange(1, 4), chance.choice(FOLDERS)
        keeps = sort.existing is ExistingPolicy.KEEP
        # What was given up is somebody else's file.
        discards = "retry" if keeps else "discard"
        decides: Op = ("decide", chance.choice(("approve", discards, "retry", "pause", "resume")))
        weighted: list[tuple[int, Op, Op]] = [
            (3, ("fault", verb, "unavailable", nth), NOTHING),
            (3, ("fault_after", verb, "unavailable", nth), NOTHING),
            (2, ("lose_connections", verb, chance.choice((2, 3, 5))), NOTHING),
            (3, ("fault", chance.choice(REFUSABLE), "refused", nth), decides),
            (2, ("fault", "STOR", chance.choice(("broken", "full")), nth), decides),
            (1, ("fault", "CONNECT", chance.choice(("crowded", "login")), nth), decides),
            (1, ("offline",), ("online",)),
            (1, ("allow", 1), ("allow", 0)),
            (1, ("capacity", chance.choice((50, 300))), ("capacity", 0)),
            (1, ("vanish", chance.choice(("nowhere", "beside", "disk"))), ("come_back",)),
            (1, ("lock", chance.randrange(9)), ("unlock",)),
            (3, ("take_all", folder), decides),
            (1, decides, ("decide", "resume")),
            (1, ("set_clock", chance.choice((-4000.0, -3.0, 3.0, 4000.0))), NOTHING),
            (1, ("put_foreign", chance.randrange(9)), NOTHING),
            (1, ("adjust", "settle_s", chance.choice(SETTLES_S)), NOTHING),
            (1, ("adjust", "delete_after_s", chance.choice((0.0, 60.0))), ("adjust", "delete_after_s", 5.0)),
        ]
        if sort.deletes is DeletePolicy.MIRROR:
            weighted.append((1, ("adjust", "deletes", DeletePolicy.TRASH), ("adjust", "deletes", DeletePolicy.MIRROR)))
        if not keeps:
            weighted.append((3, ("exclude", chance.choice(EXCLUDED)), ("exclude", chance.choice(EXCLUDED))))
        _, what, back = chance.choices(weighted, [weight for weight, _, _ in weighted])[0]
        return what, back


def life(ops: list[Op], sort: Sort) -> dict[str, int]:
    """Let all this happen; how often what did."""
    with _World(sort) as world:
        for op in (SYNC, *ops):
            world.do(op)
    return world.counts


def test_a_pass_over_a_mapping_that_is_paused_ends_also_if_all_is_compared_once_more():
    """As when the clock is set meanwhile: a directory whose deletion waits for the person was looked at for ever."""
    with _World(Sort()) as world:
        for op in (SYNC, ("decide", "pause"), ("remove", "b"), ("start",), ("go_on", 10.0), ("compare_again",), SYNC):
            world.do(op)
        assert world.progress is not None
        assert world.progress.paused == 1


@pytest.mark.parametrize("number", [2, 5], ids=["few", "more than may be deleted at once"])
def test_what_a_rename_that_was_cut_off_has_left_stays_until_a_pass_has_sent_the_file(number: int):
    """The only version at the server was deleted when the file had failed, or held as a mass delete."""
    names = [f"moved{number}" for number in range(number)]
    with _World(Sort(max_deletes=3)) as world:
        world.adjust("delete_after_s", 0.0)
        for name in names:
            world.drop.write(name, 20)
        world.time.now += 30.0
        world.all(SYNC)
        for name in names:
            world.drop.rename(name, f"new-{name}")
        world.time.now += 30.0
        world.server.fail("STOR", FAULTS["broken"](), times=100)
        world.all(("lose_connections", "RNTO", number))
        for _ in range(3):
            world.do(SYNC)
            assert world._published().keys() >= {*names}
            assert world.progress is not None
            assert world.progress.held == 0
            world.time.now += 30.0
        world.all(("mend",), SYNC)
        world.time.now += 3600.0
        world.all(SYNC)
        assert world._published().keys() >= {f"new-{name}" for name in names}
        assert world._published().keys().isdisjoint(names)


@pytest.mark.parametrize("failures", [0, 8])
def test_renames_that_are_cut_off_make_no_mass_delete_for_the_next_pass_either(failures: int):
    """The pass does not wait for `delete_after` if that is long, and only it knew why those names are gone.

    Where a file that was sent instead had failed before it arrived, that was not noted.
    """
    names = [f"moved{number}" for number in range(4)]
    with _World(Sort(max_deletes=3)) as world:
        world.adjust("delete_after_s", 300.0)
        for name in names:
            world.write(name, 20)
        world.do(SYNC)
        for name in names:
            world.drop.rename(name, f"new-{name}")
        world.time.now += 30.0
        world.server.fail("STOR", FAULTS["broken"](), times=failures)
        world.all(("lose_connections", "RNTO", len(names)), SYNC)
        assert world._published().keys() >= {*names, *(f"new-{name}" for name in names)}
        assert world.progress is not None
        assert world.progress.messages == (
            f"{M}: 4 deletes wait for `delete_after`; a later `sync`, or the daemon, goes on",
        )
        world.time.now += 3600.0
        world.do(SYNC)
        assert not world._published().keys() & {*names}
        assert not world.progress.held


def drawn(seed: int) -> tuple[list[Op], Sort]:
    """What happens under a number, and what the life is like."""
    chance = random.Random(seed)
    sort = Sort(
        chance.choice(SETTLES_S),
        chance.random() < 0.7,
        chance.random() < 0.5,
        chance.choice((ExistingPolicy.ADOPT, ExistingPolicy.ADOPT, ExistingPolicy.OVERWRITE, ExistingPolicy.KEEP)),
        chance.choice((DeletePolicy.MIRROR, DeletePolicy.MIRROR, DeletePolicy.TRASH)),
        chance.choice((ANY_NUMBER, ANY_NUMBER, 2)),
    )
    return [op for _ in range(EPISODES) for op in _Passes(chance, sort).episode()], sort


def lives(first: int, number: int) -> int:
    """How often a pass was killed in so many."""
    killed: list[int] = []
    play(lambda seed: killed.append(life(*drawn(seed)).get("crash", 0)), first, number)
    return sum(killed)


def test_passes_from_cron_whatever_they_meet_make_both_sides_equal_in_the_end(figures: Figures):
    killed = lives(0, NORMAL)
    assert killed
    figures.tell("G3", "passes of `sync` that were killed, both sides equal after the last one", killed, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_passes_from_cron_make_both_sides_equal_for_long(figures: Figures):
    killed = lives(anywhere(), SOAK)
    figures.tell("G3", "passes of `sync` that were killed, both sides equal after the last one", killed, adds=True)
