"""Configurations that change while a daemon works: mappings come, go, change their places and come back.

Whatever was under way when they did, in the end each mapping's folder and its place at the server are equal, what others
had published there is not deleted, and no temporary file is left at a server that is still used.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftpsyncd.events import EventKind
from ftpsyncd.specs import DeleteLimit, MappingSpec, PublishMode
from tests.figures import Figures
from tests.model.configured import NAMES, VERBS, Configured, Drawing, servers
from tests.model.seeds import SOAK, anywhere, play
from tests.model.several import configuration
from tests.model.stage import NO_RESCAN_S, Op

pytestmark = pytest.mark.lasting(30)

NORMAL = 60
EPISODES = 4
LATE = ("STOR", "RNTO", "DELE")
BE_EQUAL: Op = ("be_equal",)


class _Turmoil(Drawing):
    """What happens."""

    def episode(self) -> list[Op]:
        """From one reload to quiet."""
        chance = self.chance
        ops: list[Op] = [self.first(), ("go_on", chance.choice((0.1, 10.0)))]
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.4:
                ops += [self.placed(self._trouble()), chance.choice((("all",), self.told(self.change()[0])))]
            if chance.random() < 0.8:
                ops += [self.told(self.change()[0]) if chance.random() < 0.5 else self.meanwhile(), self.some_time()]
            ops += [self.placed(self._reload()), self.longer()]
        if chance.random() < 0.6:
            ops += [self.meanwhile(), self.some_time()]
        return [*ops, BE_EQUAL]

    def _reload(self) -> Op:
        """Other places, or only other settings, or limits of servers."""
        what = self.chance.random()
        if what < 0.1:
            return ("connect_anew",)
        if what < 0.4:
            self.adjust()
        else:
            self.draw()
        return ("reload", self.config)

    def _trouble(self) -> Op:
        chance = self.chance
        verb, nth = chance.choice(VERBS), chance.randrange(1, 4)
        troubles: list[Op] = [
            ("fault", verb, "unavailable", nth),
            ("fault_after", verb, "unavailable", nth),
            ("fault", chance.choice(LATE), "late", nth),
            ("fault_after", "STOR", "late", nth),
            ("fault", chance.choice(("STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD")), "refused", nth),
            ("offline",),
            ("online",),
            ("pause",),
            ("approve",),
            ("discard",),
            ("restart",),
        ]
        if not self._direct:
            troubles += 4 * [("all", ("crash",))]
        return chance.choice(troubles)


class _Reloader(Configured):
    """One whose limits of servers change, too."""

    def connect_anew(self) -> None:
        """Other limits of all servers come into force."""
        more = {name: spec._replace(connections=spec.connections + 1) for name, spec in self.config.servers.items()}
        self.reload(self.config._replace(servers=more))

    def sweep(self, count: int) -> None:
        """So much that mappings which have gone left there waits to be swept."""
        assert self._engine is not None
        waiting = self._engine.servers["web"].queue.load("").waiting
        if waiting != count:
            raise self._broken(f"{waiting} sweeps wait, and not {count}")

    def be_told(self, kind: EventKind, path: str) -> None:
        if (kind, path) not in {(event.kind, event.path) for event in self.events}:
            raise self._broken(f"{path} is not {kind}: {self.events[-5:]}")

    def expect(self, server: str, path: str) -> None:
        """This is at a server by now."""
        if path not in self.hosts[server].files:
            raise self._broken(f"{path} is not at {server}; {self._state}")


def _upon_each(told: Sequence[str], op: Op) -> Op:
    """Let something happen after all this, one after the other: each command is told of before and behind it."""
    for what in reversed(told):
        op = ("upon", what, op)
    return op


def change(begin: tuple[MappingSpec, ...], ops: list[Op], *, replaces: bool = True) -> None:
    """Let all this happen; in the end, each mapping and its place are equal."""
    with _Reloader(configuration(Path("/"), servers()), replaces=replaces) as world:
        world.reload(begin)
        world.settle_in()
        world.start()
        world.go_on(10.0)
        for op in (*ops, BE_EQUAL):
            world.do(op)


def drawn(seed: int) -> tuple[tuple[MappingSpec, ...], list[Op], bool]:
    """What happens under a number."""
    chance = random.Random(seed)
    direct = chance.random() < 0.15
    begin = config = _Turmoil(chance, direct=direct).draw()
    ops: list[Op] = []
    for _ in range(EPISODES):
        turmoil = _Turmoil(chance, config, direct=direct)
        ops += turmoil.episode()
        config = turmoil.config
    return begin, ops, chance.random() < 0.8


def changes(first: int, number: int) -> None:
    def story(seed: int) -> None:
        begin, ops, replaces = drawn(seed)
        change(begin, ops, replaces=replaces)

    play(story, first, number)


def _mapping(local: str, remote: str = "/s", name: str = "one") -> tuple[MappingSpec, ...]:
    spec = MappingSpec(name, Path(local), "web", remote, include=("*",), settle_s=0.2, rescan_s=NO_RESCAN_S)
    return (spec._replace(delete_after_s=5.0, max_deletes=DeleteLimit(1_000_000)),)


STORIES: dict[str, tuple[str, tuple[Op, ...]]] = {
    "the folder above the published one is published from now on": ("p", (("reload", _mapping(".")), ("go_on", 10.0))),
    "the published folder is moved into a new one in its place": (
        "p",
        (("move", "p", "aside"), ("make_folder", "p"), ("move", "aside", "p/old"), ("go_on", 10.0)),
    ),
}
"""With the folder that is published at first; what was lost once."""


@pytest.mark.parametrize(("local", "ops"), STORIES.values(), ids=STORIES)
def test_all_is_published(local: str, ops: tuple[Op, ...]):
    change(_mapping(local), list(ops))


@pytest.mark.parametrize("then", [("upon", "MFMT"), ("all", ("go_on", 6.0))], ids=["under way", "recorded"])
def test_what_an_earlier_mapping_had_sent_and_comes_late_is_noticed_where_another_one_publishes_now(then: Op):
    """The first try hung on a dead line, the second one was over; the other mapping's file was emptied for good."""
    first, other = (
        _mapping(".", name=name)[0]._replace(publish=PublishMode.DIRECT, delete_after_s=0.0) for name in NAMES[:2]
    )
    change(
        (first._replace(remote="/t"),),
        [
            ("reload", (first,)),
            ("fault", "STOR", "late", 1),
            (*then, ("reload", (other._replace(settle_s=2.0),))),
            ("go_on", 6.0),
        ],
    )


def test_a_rename_of_an_earlier_mapping_that_comes_late_finds_nothing_to_rename():
    """It hung on the line when that mapping went, and would have brought its file over that of another one."""
    other = _mapping("q", name="two")
    arrives: Op = ("upon", "RNTO", ("upon", "commit", ("arrive",)))
    change(
        _mapping("p"),
        [
            ("fault", "RNTO", "late", 1),
            ("upon", "RNTO", ("all", ("reload", other), arrives)),
            ("write", "p/1", 20),
            ("go_on", 6.0),
        ],
    )


def test_a_mapping_with_other_settings_goes_on_while_a_reload_waits_for_others():
    """Nobody would have looked at its folder until the transfers of the others were over."""
    (one,), (two,) = _mapping("p"), _mapping("q", name="two")
    two = two._replace(server="alt")
    after = (one._replace(remote="/t"), two._replace(settle_s=0.0))
    change(
        (one, two),
        [
            ("write", "p/1", 200),
            ("upon", "block", ("all", ("write", "q/9", 20), ("reload", after), ("expect", "alt", "/s/9"))),
            ("go_on", 6.0),
        ],
    )


@pytest.mark.parametrize("publish", PublishMode)
def test_what_an_earlier_mapping_left_is_not_swept_when_another_one_publishes_there(publish: PublishMode):
    """A slow server kept the sweep waiting for longer than a reload waits for it; then the other one's file was deleted."""
    (one,), (two,), (three,) = _mapping("p"), _mapping("q", "/t", "two"), _mapping("p", name="three")
    three = three._replace(publish=publish, settle_s=0.0)
    meanwhile: Op = ("all", ("reload", (two, three)), *(60 * (("step",),)))
    change(
        (one._replace(publish=PublishMode.DIRECT), two),
        [
            _upon_each(("block", "block"), ("crash",)),  # with a part of it there
            ("write", "p/1", 200),
            ("go_on", 3.0),
            ("reload", (two,)),
            ("write", "p/1", 100),
            # The temporary name goes first; then the final one is looked at, and not deleted yet.
            _upon_each(("DELE", "DELE", "MLST", "MLST"), meanwhile),
            ("start",),
            ("go_on", 30.0),
            ("expect", "web", "/s/1"),
        ],
    )


@pytest.mark.parametrize("again", [("all",), ("fault_after", "STOR", "unavailable", 1)], ids=["published", "cut off"])
def test_what_is_being_sent_when_it_is_left_out_is_none_of_ours_afterwards(again: Op):
    (one,) = _mapping("p")
    left_out: Op = ("all", ("reload", (one._replace(exclude=("1",)),)), *(30 * (("step",),)))
    change((one,), [again, ("upon", "block", left_out), ("write", "p/1", 20), ("go_on", 10.0)])


def test_what_another_mapping_has_put_into_a_new_directory_is_looked_for_there():
    """The directory was made from here, and empty then."""
    (one,), (two,) = _mapping("p"), _mapping("q", name="two")
    change(
        (one,),
        [
            ("make_folder", "q/n"),
            ("name", "p/n/1", "q/n/1"),
            ("reload", (two,)),
            ("go_on", 0.5),
            ("be_told", EventKind.ADOPTED, "n/1"),
        ],
    )


def test_what_waits_to_be_swept_is_left_to_the_mapping_that_comes_there():
    (one,), (two,) = _mapping("p"), _mapping("q", "/t", "two")
    change(
        (one._replace(publish=PublishMode.DIRECT), two),
        [
            ("upon", "block", ("crash",)),
            ("write", "p/1", 200),
            ("go_on", 3.0),
            ("reload", (two,)),
            ("offline",),
            ("start",),
            ("go_on", 5.0),
            ("pass_time", 61.0),
            ("turn",),
            ("go_on", 1.0),
            ("sweep", 2),
            ("reload", (one, two)),
            ("sweep", 0),
        ],
    )


def test_what_had_to_make_room_for_a_file_that_never_came_is_published_again():
    """The other mapping was cut off between the two, and did not want that file any more."""
    (other,) = _mapping("q", name="two")
    change(
        _mapping("p"),
        [
            ("upon", "DELE", ("all", ("connect_anew",), ("reload", (other._replace(exclude=("1",)),)))),
            ("reload", (other,)),
            ("go_on", 10.0),
            ("reload", _mapping("p")),
            ("go_on", 10.0),
        ],
        replaces=False,
    )


def test_a_reload_that_connects_anew_begins_no_new_minute_for_deletes():
    (one,) = _mapping("p")
    change(
        (one._replace(max_deletes=DeleteLimit(1)),),
        [
            ("remove", "p/1"),
            ("go_on", 10.0),
            ("connect_anew",),
            ("remove", "p/n/1"),
            ("go_on", 10.0),
            ("expect", "web", "/s/n/1"),
        ],
    )


def test_a_delete_that_was_to_go_out_when_a_hold_began_goes_out_when_that_is_over():
    """What went with it seemed to be too much, and was only renamed."""
    (one,) = _mapping("")
    change(
        (one._replace(max_deletes=DeleteLimit(1), delete_after_s=0.0),),
        [("all", ("crash",)), ("take_out", "q/1"), ("move", "q", "p/m"), ("start",), ("make_folder", "q")],
    )


def test_whatever_a_reload_meets_all_mappings_and_their_places_are_equal_in_the_end(figures: Figures):
    changes(0, NORMAL)
    figures.tell("G3", "sequences of reloads at any step, all mappings equal in the end", NORMAL, adds=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_whatever_reloads_meet_for_long_all_mappings_and_their_places_are_equal_in_the_end(figures: Figures):
    changes(anywhere(), SOAK)
    figures.tell("G3", "sequences of reloads at any step, all mappings equal in the end", SOAK, adds=True)
