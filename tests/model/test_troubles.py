"""Races in which everything else happens as well: faults of the server, deaths, holds, other clients, other settings.

Each episode races as in `test_races`, with a few troubles that begin and end at any step. Then all is healed, and nobody
has everything looked at again unless the product does so by itself: both sides are equal, the ledger has what they have,
and nothing is open, held or told to wait. `test_whole_engine` has the same troubles, but rarely at the one step where
something is lost.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from ftpsyncd.core.names import TRASH
from ftpsyncd.engine import again
from ftpsyncd.model import HoldKind, Kind
from ftpsyncd.specs import DeletePolicy, ExistingPolicy, PublishMode
from ftpsyncd.status import MappingState
from tests.figures import Figures
from tests.model.life import PATIENCE_S
from tests.model.racing import Chance, Racing
from tests.model.records import Recorded
from tests.model.seeds import SOAK, anywhere, play
from tests.model.stage import Op
from tests.model.world import BASE

pytestmark = pytest.mark.lasting(30)

NORMAL = 100
SETTLES_S = (0.0, 0.2, 2.0)
SOON_S = 15.0
EPISODES = 5
FILES = ("x", "X", "a/x", "a/X", "b/x", "b/y", "c/x")
"""Some differ in case only: for some servers those are one."""
FOLDERS = ("a", "A", "b", "c")
VERBS = ("STOR", "STOR", "SIZE", "MFMT", "RNFR", "RNTO", "RNTO", "DELE", "MKD", "RMD", "MLST", "CONNECT", "NOOP")
LATE = ("STOR", "RNTO", "DELE")
REFUSABLE = ("STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD")
EXCLUDED = ((), ("a/",), ("x",), ("b/*",), ("A/", "X"))
NOTHING: Op = ("all",)
BE_EQUAL: Op = ("be_equal",)


class Sort(NamedTuple):
    """What a sequence is like, so that it is known what may be left in the end."""

    settle_s: float = 2.0
    replaces: bool = True
    direct: bool = False
    existing: ExistingPolicy = ExistingPolicy.ADOPT
    deletes: DeletePolicy = DeletePolicy.MIRROR


class _World(Racing, Recorded):
    """One that is healed in the end."""

    def __init__(self, sort: Sort) -> None:
        self._edited: set[bytes] = set()
        self._meddled = False
        self._direct = sort.direct
        super().__init__(
            deletes=sort.deletes,
            existing=sort.existing,
            replaces=sort.replaces,
            empty_dirs=True,
            settle_s=sort.settle_s,
        )
        if sort.direct:
            self.spec = self.spec._replace(publish=PublishMode.DIRECT)
            self.do(("restart",))

    # ── what else happens ────────────────────────────────────────────────────────────────────────────────────

    def adjust(self, key: str, value: object) -> None:
        """A setting has another value, by a reload."""
        if self._put_off("adjust", key, value):
            return
        self.note_patience()
        managed = self._all_managed
        self._reload(self.spec._replace(**{key: value}))  # type: ignore[arg-type]
        self._all_managed = managed

    def exclude(self, patterns: tuple[str, ...]) -> None:
        if not self._put_off("exclude", patterns):
            super().exclude(patterns)

    def _put_off(self, *op: object) -> bool:
        """A reload waits for the end of the turn, and for that of a look."""
        busy = self._turning or self._looking
        if busy:
            self.later(1, op)
        return busy

    def delete_there(self, path: str) -> None:
        """Somebody else deletes a published file; not between two commands of ours."""
        if self._is_there(path):
            del self.server.files[f"{BASE}/{path}"]

    def _is_there(self, path: str) -> bool:
        there = not (self._depth or self._direct) and path in self._published()
        self._meddled |= there
        return there

    def edit(self, path: str) -> None:
        """Somebody else writes over a published file; not between two commands of ours."""
        if not self._is_there(path):
            return
        file = self.server.files[f"{BASE}/{path}"]
        file.content = f"by somebody else, of another size than {len(file.content)}, {len(self._edited)}".encode()
        for contents in (self._edited, self.given_up, self.drop.finished):
            contents.add(file.content)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def between(self, what: str, path: str) -> None:
        file = self.server.files.get(path) if what == "DELE" else None
        if file is not None and file.content in self._edited and not self._is_replaced(path):
            raise self._broken(f"G4: {path} is deleted although somebody has changed it at the server")
        super().between(what, path)

    def _is_replaced(self, remote: str) -> bool:
        path = remote.removeprefix(f"{BASE}/")
        return self.server.replacing == remote or self.drop.exists(path) or path in self._mirror.removals.changed_there

    def _renamed(self, source: str, target: str) -> None:
        file = self.server.files.get(target)
        edited = file is not None and file.content in self._edited
        decided = source.removeprefix(f"{BASE}/") in self._mirror.removals.changed_there
        if f"/{TRASH}/" in target and edited and not decided:
            raise self._broken(f"G4: {source} is trashed although somebody has changed it at the server")
        super()._renamed(source, target)

    def _seen(self, verb: str, path: str) -> None:
        if not self._direct:
            super()._seen(verb, path)
            return
        if verb == "STOR":
            # The engine does not wait for the worker's end.
            self.turn()
            self.between("block", path)
        self._check_foreign(verb, path)

    def check_ledger(self) -> None:
        if not (self._direct or self._meddled):
            super().check_ledger()

    def be_honest(self) -> None:
        """For a while nothing happens: where it is said that all is done, all is done, and what is held is told."""
        self.go_on(self.spec.settle_s + SOON_S)
        # What would come now comes too late for it.
        self._later.clear()
        self._upon.clear()
        self.go_on(self.spec.settle_s + SOON_S)
        if self._engine is None or self._meddled or self.server.late or self._direct or not self.drop.is_at_home():
            return
        intents = self._mirror.intents
        if any(map(intents.inquiries.was_asked, intents._open)):
            # What came late is looked for in its time.
            return
        status, hold = self._status(), self._mirror.removals.hold
        if status.state is MappingState.IN_SYNC:
            if status.pending or status.in_flight or (hold is not None and hold.kind is not HoldKind.MASS_DELETE):
                raise self._broken(f"G8: it is said to be in sync: {status}")
            if not (status.failed or status.parked or status.held or self._is_half_kept()):
                self._compare_files()
        elif not status.message and status.state in {MappingState.HELD, MappingState.PAUSED, MappingState.OFFLINE}:
            raise self._broken(f"G8: nothing is told of why: {status}")

    def _is_half_kept(self) -> bool:
        return self.spec.deletes is DeletePolicy.KEEP

    def be_equal(self) -> None:
        """All is healed and quiet: both sides are equal, and so is the ledger."""
        self.all_is_well()
        if self._meddled:
            # Nobody tells of it: it is for `verify --repair` to find.
            self.go_on(PATIENCE_S)
            self.approve()
            self.go_on(PATIENCE_S)
            self._repair()
        self.heal(self.spec.settle_s + SOON_S)
        self._compare()
        self._compare_records()
        self._meddled = False

    def _repair(self) -> None:
        assert self._engine is not None
        published, contents = self._published(), self.drop.contents
        rows = dict(self._ledger.walk(self._mirror.id))
        files = [
            path
            for path, row in rows.items()
            if row.kind is Kind.FILE and published.get(path) != contents.get(row.fingerprint, b"unknown")
        ]
        self._is_asked()
        again.publish(self._mirror, files, [], self._engine._moment())


class _Troubles(Chance):
    """A race with troubles.

    Args:
        chance: decides.
        sort: of the sequence.
    """

    def __init__(self, chance: random.Random, sort: Sort) -> None:
        super().__init__(chance, FILES, FOLDERS, VERBS)
        self._sort = sort

    def episode(self) -> list[Op]:
        """From quiet to quiet."""
        chance = self.chance
        ops: list[Op] = [self.first(), ("go_on", chance.choice((0.1, 10.0)))]
        for _ in range(chance.randrange(1, 4)):
            what, back = self._trouble()
            ops += [self.placed(what), self._race(), self.some_time()]
            if chance.random() < 0.7:
                ops += [self.placed(back), chance.choice((NOTHING, self.change()[0])), self.longer()]
        if chance.random() < 0.5:
            ops.append(("be_honest",))
        return [*ops, BE_EQUAL]

    def _race(self) -> Op:
        return self.meanwhile() if self.chance.random() < 0.6 else self.told(self.change()[0])

    def _trouble(self) -> tuple[Op, Op]:
        """A trouble, and what ends it or follows from it."""
        chance, sort = self.chance, self._sort
        verb, nth, folder = chance.choice(VERBS), chance.randrange(1, 4), chance.choice(("", *FOLDERS))
        retry: Op = ("retry",)
        arrive: Op = ("arrive",)
        weighted: list[tuple[int, Op, Op]] = [
            (3, ("fault", verb, "unavailable", nth), NOTHING),
            (3, ("fault_after", verb, "unavailable", nth), NOTHING),
            (2, ("lose_connections", verb, chance.choice((2, 3, 5))), retry),
            (2, ("fault", chance.choice(REFUSABLE), "refused", nth), retry),
            (1, ("all", *(2 * (("fault", chance.choice(REFUSABLE), "refused", 1),))), retry),
            (2, ("fault", "STOR", chance.choice(("broken", "full")), nth), retry),
            (1, ("fault_after", "STOR", "broken", nth), NOTHING),
            (2, ("fault", chance.choice(LATE), "late", nth), arrive),
            (1, ("fault_after", "STOR", "late", nth), arrive),
            (1, ("fault", "CONNECT", chance.choice(("crowded", "login")), nth), retry),
            (2, ("offline",), ("online",)),
            (1, ("allow", 1), ("allow", 0)),
            (1, ("capacity", chance.choice((50, 300))), ("capacity", 0)),
            (2, ("pause",), ("resume",)),
            (1, ("lose_events",), NOTHING),
            (1, ("restart",), NOTHING),
            (2, ("vanish", chance.choice(("nowhere", "beside", "disk"))), ("come_back",)),
            (1, ("lock", chance.randrange(9)), ("unlock",)),
            (3, ("take_all", folder), chance.choice((("approve",), ("write_all",), NOTHING))),
            (1, ("set_clock", chance.choice((-4000.0, -3.0, 3.0, 4000.0))), NOTHING),
            (1, ("put_foreign", chance.randrange(9)), NOTHING),
            (1, ("delete_there", self.hot), self.change()[0]),
            (2, ("edit", self.hot), ("remove", self.hot)),
            (1, ("all", ("edit", self.hot), ("remove", self.hot)), chance.choice((("approve",), ("write_all",)))),
            (1, ("adjust", "settle_s", chance.choice(SETTLES_S)), ("adjust", "settle_s", sort.settle_s)),
            (1, ("adjust", "deletes", DeletePolicy.TRASH), ("adjust", "deletes", DeletePolicy.MIRROR)),
            (1, ("adjust", "delete_after_s", 0.0), ("adjust", "delete_after_s", 5.0)),
        ]
        if not sort.direct:
            weighted += [(4, ("crash",), ("start",)), (2, ("all", ("crash",)), ("start",))]
        if sort.existing is not ExistingPolicy.KEEP:
            weighted += [
                (3, ("exclude", chance.choice(EXCLUDED)), ("exclude", chance.choice(EXCLUDED))),
                (1, ("take_all", folder), ("discard",)),
                (1, ("adjust", "existing", ExistingPolicy.OVERWRITE), ("adjust", "existing", ExistingPolicy.ADOPT)),
            ]
        _, what, back = chance.choices(weighted, [weight for weight, _, _ in weighted])[0]
        return what, back


def trouble(ops: list[Op], sort: Sort) -> None:
    """Let all this happen; in the end, both sides are equal."""
    with _World(sort) as world:
        for path in ("a", "b"):
            world.make_folder(path)
        for path in ("x", "a/x", "b/x", "b/y"):
            world.write(path, 20)
        world.go_on(10.0)
        for op in (*ops, BE_EQUAL):
            world.do(op)


def drawn(seed: int) -> tuple[list[Op], Sort]:
    """What happens under a number, and what the sequence is like."""
    chance = random.Random(seed)
    direct = chance.random() < 0.15
    existing = ExistingPolicy.KEEP if not direct and chance.random() < 0.2 else ExistingPolicy.ADOPT
    sort = Sort(chance.choice(SETTLES_S), chance.random() < 0.8, direct, existing)
    return [op for _ in range(EPISODES) for op in _Troubles(chance, sort).episode()], sort


def troubles(first: int, number: int) -> None:
    play(lambda seed: trouble(*drawn(seed)), first, number)


def test_whatever_goes_wrong_in_a_race_nothing_is_lost_open_or_untold(figures: Figures):
    troubles(0, NORMAL)
    figures.tell("G3", "races with troubles of all kinds, equal in the end without a rescan", NORMAL, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_whatever_goes_wrong_in_races_for_long_nothing_is_lost_open_or_untold(figures: Figures):
    troubles(anywhere(), SOAK)
    figures.tell("G3", "races with troubles of all kinds, equal in the end without a rescan", SOAK, adds=True)
