"""The whole engine against everything that may happen, in random sequences: whatever comes, nothing is torn, lost or
wrongly deleted, and in the end both sides are equal."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ftpsyncd.specs import DeletePolicy
from tests.figures import Figures
from tests.model import seeds
from tests.model.stage import Op
from tests.model.world import World

pytestmark = pytest.mark.lasting(20)

NORMAL = 100
SOAK_PARTS = 4
SOAK = seeds.SOAK // SOAK_PARTS
STEPS = 25
SOAK_STEPS = 35

FOLDERS = ("a", "b", "a/b", "b/a", "c")
FILES = ("1", "2", "a/1", "a/2", "a/3", "b/1", "b/2", "a/b/1", "a/b/2", "b/a/1", "c/1", "c")
PATHS = (*FILES, *FOLDERS)
EXCLUDED = ((), ("a/",), ("2",), ("b/*",))
SECONDS = (0.1, 1.0, 2.5, 6.0, 20.0, 70.0, 400.0, 4000.0)


def ops(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Op]:
    return st.tuples(st.just(name), *arguments)


ANY = st.integers(0, 15)
SIZES = st.sampled_from((20, 100, 200))
WRITING = st.one_of(
    ops("write", st.sampled_from(FILES), SIZES),
    ops("swap", st.sampled_from(FILES), SIZES),
    ops("begin", st.sampled_from(FILES), SIZES),
    ops("end", ANY),
    ops("touch", ANY),
    ops("make_folder", st.sampled_from(FOLDERS)),
)
MOVING = st.one_of(
    ops("rename", ANY, st.sampled_from(PATHS)),
    ops("rename", ANY, st.sampled_from(FOLDERS)),
    ops("delete", ANY),
    ops("move_out", ANY),
    ops("move_in", ANY, st.sampled_from(PATHS)),
    ops("link", ANY, st.sampled_from(FILES)),
)
SOURCE = st.one_of(
    ops("vanish", st.sampled_from(("nowhere", "beside", "disk"))),
    ops("come_back"),
    ops("lock", ANY),
    ops("unlock"),
    ops("delete_all"),
    ops("lose_events"),
)
VERBS = ("STOR", "SIZE", "MFMT", "RNFR", "RNTO", "DELE", "MKD", "RMD", "MLST", "CONNECT", "NOOP")
REFUSABLE = ("STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD")
NTH = st.integers(1, 3)
REMOTE = st.one_of(
    ops("fault", st.sampled_from(VERBS), st.just("unavailable"), NTH),
    ops("fault_after", st.sampled_from(VERBS), st.just("unavailable"), NTH),
    ops("fault", st.sampled_from(REFUSABLE), st.just("refused"), NTH),
    ops("fault", st.just("STOR"), st.sampled_from(("broken", "full")), NTH),
    ops("fault_after", st.just("STOR"), st.just("broken"), NTH),
    ops("fault", st.sampled_from(("STOR", "RNTO")), st.just("late"), NTH),
    ops("fault_after", st.just("STOR"), st.just("late"), NTH),
    ops("arrive"),
    ops("fault", st.just("CONNECT"), st.sampled_from(("crowded", "login")), NTH),
    ops("offline"),
    ops("online"),
    ops("allow", st.integers(0, 1)),
    ops("capacity", st.sampled_from((0, 300))),
    ops("put_foreign", ANY),
)
STEPPING = st.sampled_from((("turn",), ("look",), ("work",), ("deliver",), ("deliver_names",)))
PEOPLE = st.one_of(
    ops("approve"),
    ops("discard"),
    ops("retry"),
    ops("ask", ANY),
    ops("pause"),
    ops("resume"),
    ops("exclude", st.sampled_from(EXCLUDED)),
)
CLOCK = st.one_of(
    ops("pass_time", st.sampled_from(SECONDS)), ops("set_clock", st.sampled_from((-4000.0, -3.0, 3.0, 4000.0)))
)
LIFE = st.sampled_from((("crash",), ("restart",), ("start",)))
WITHIN = st.one_of(WRITING, MOVING, SOURCE, REMOTE, STEPPING, CLOCK, st.just(("crash",)), st.just(("crash",)))


class Machine(RuleBasedStateMachine):
    """Random sequences; the rules that make the daemon work come as often as those that disturb it."""

    total: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        deletes=st.sampled_from((DeletePolicy.MIRROR, DeletePolicy.MIRROR, DeletePolicy.TRASH, DeletePolicy.KEEP)),
        replaces=st.booleans(),
        empty_dirs=st.booleans(),
    )
    def begin(self, *, deletes: DeletePolicy, replaces: bool, empty_dirs: bool) -> None:
        self.world = World(deletes=deletes, replaces=replaces, empty_dirs=empty_dirs)
        for path in ("a", "b", "a/b"):
            self.world.make_folder(path)
        for path in ("1", "a/1", "a/2", "b/1"):
            self.world.write(path, 20)
        self.world.go_on(10.0)

    def _do(self, op: Op) -> None:
        assert self.world is not None
        self.total["steps"] += 1
        self.world.do(op)

    @rule(op=WRITING)
    def somebody_writes(self, op: Op) -> None:
        self._do(op)

    @rule(op=MOVING)
    def somebody_moves(self, op: Op) -> None:
        self._do(op)

    @rule(op=SOURCE | REMOTE)
    def something_happens(self, op: Op) -> None:
        self._do(op)

    @rule(op=PEOPLE | CLOCK | LIFE)
    def from_outside(self, op: Op) -> None:
        self._do(op)

    @rule(op=STEPPING)
    def one_step(self, op: Op) -> None:
        self._do(op)

    @rule(steps=st.integers(1, 40), op=WITHIN)
    def later(self, steps: int, op: Op) -> None:
        assert self.world is not None
        self.world.later(steps, op)

    @rule(seconds=st.sampled_from(SECONDS))
    def time_goes_by(self, seconds: float) -> None:
        self._do(("go_on", seconds))

    @rule(seconds=st.sampled_from(SECONDS))
    def more_time_goes_by(self, seconds: float) -> None:
        self._do(("go_on", seconds))

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            self.world.come_to_rest()
        finally:
            self.total["sequences"] += 1
            self.total.update(self.world.counts)
            self.world.close()


COMMON = settings(
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    report_multiple_bugs=False,
)


def _tell(figures: Figures, total: Counter[str]) -> None:
    for guarantee, what, value in (
        ("G3", "random sequences, at the end of which both sides were equal", total["sequences"]),
        ("G3", "things that happened in them", total["steps"] + total["between two steps"]),
        ("G3", "of these between two steps of the daemon", total["between two steps"]),
        ("G3", "crashes", total["crash"]),
        ("G3", "faults of the server", total["fault"] + total["fault_after"] + total["offline"]),
        ("G4", "sources that vanished or were replaced", total["vanish"]),
        ("G4", "deletes at the server, each of them checked", total["deleted at the server"]),
        ("G8", "questions for a path, each of them answered by a sentence", total["ask"]),
        ("G4", "foreign files at the server, all kept", total["put_foreign"]),
    ):
        figures.tell(guarantee, what, value, adds=True)


def test_random_sequences(figures: Figures):
    Machine.total.clear()
    run_state_machine_as_test(
        Machine,
        settings=settings(COMMON, max_examples=NORMAL, derandomize=True, phases=[Phase.generate, Phase.shrink]),
    )
    _tell(figures, Machine.total)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_many_random_sequences(part: int, figures: Figures):
    Machine.total.clear()
    run_state_machine_as_test(Machine, settings=settings(COMMON, max_examples=SOAK, stateful_step_count=SOAK_STEPS))
    _tell(figures, Machine.total)
