"""Stories of files that are sent under their final names: nothing of them stays there that is not to be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftpsyncd.engine.done import PERHAPS_A_PART
from ftpsyncd.events import EventKind
from ftpsyncd.remote.memory import MemoryFile
from ftpsyncd.specs import DeletePolicy, ExistingPolicy, PublishMode
from tests.model.doubles import FAULTS
from tests.model.stage import Op
from tests.model.stories import STEPS, moments
from tests.model.world import BASE, World

pytestmark = pytest.mark.lasting(60)


class Direct(World):
    """One in which files grow under their final names, and a broken one is deleted there."""

    def _seen(self, verb: str, path: str) -> None:
        if verb == "STOR":
            # The engine does not wait for the worker's end.
            self.turn()
            self.between("block", path)

    def check_ledger(self) -> None:
        """What is at the server may be a part."""

    def remove(self, path: str) -> None:
        """A file is deleted here."""
        self.drop.delete(path)


@pytest.mark.parametrize("kind", ["broken", "refused", "full"])
def test_what_is_put_back_after_an_upload_failed_in_its_place_is_published_again(kind: str):
    """The failed one has cost what was there, and the file is the very one that was published."""
    with Direct() as world:
        world.spec = world.spec._replace(publish=PublishMode.DIRECT)
        world.do(("restart",))
        world.write("1", 20)
        world.do(("go_on", 10.0))
        before = world._published()["1"]
        world.do(("move_out", 0))
        world.do(("write", "1", 500))
        world.server.fail("STOR", FAULTS[kind](), times=2, after=True)
        world.do(("go_on", 2.5))
        assert "1" not in world._published()
        world.drop.delete("1")
        world.do(("move_in", 0, "1"))
        world.do(("go_on", 3000.0))
        assert world._published() == {"1": before}


@contextmanager
def direct(**settings: object) -> Iterator[World]:
    """Files are sent under their final names; some are published already."""
    with Direct(**settings) as world:  # type: ignore[arg-type]
        world.spec = world.spec._replace(publish=PublishMode.DIRECT)
        world.do(("restart",))
        world.make_folder("d")
        world.write("old", 500)
        world.write("d/old", 500)
        world.do(("go_on", 30.0))
        yield world


def told(world: World) -> list[str]:
    """Of which paths the log says that something stays there."""
    return [event.path for event in world.events if event.kind is EventKind.KEPT]


TROUBLES = [("crash",), ("offline",)]
YEAR_S = 365 * 86_400.0
UNTIL_IT_IS_RECORDED = 3
"""Steps between the beginning of a transfer and the commit that knows of it: who dies there leaves a part, and says so."""


@pytest.mark.parametrize("trouble", TROUBLES, ids=["crash", "offline"])
@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(ExistingPolicy.ADOPT, id="adopt"),
        *(
            pytest.param(each, id=each.value, marks=pytest.mark.long)
            for each in ExistingPolicy
            if each is not ExistingPolicy.ADOPT
        ),
    ],
)
@pytest.mark.parametrize("path", ["new", "d/new", "e/new", "old"])
def test_no_part_of_a_file_that_is_gone_stays_under_its_name(trouble: Op, existing: ExistingPolicy, path: str):
    """It was being sent there when that was cut off, and is not here any more when it could be sent again."""
    parts = unrecorded = 0
    for steps in moments(STEPS):
        with direct(existing=existing) as world:
            world.make_folder("e")
            world.write(path, 400)
            world.later(steps, trouble)
            world.do(("go_on", 3.0))
            world._later.clear()
            parts += 0 < len(world._published().get(path, b"")) < 400
            world.drop.delete(path)
            for op in (("online",), ("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            unrecorded += len(told(world))
            assert world._published().keys() == {"old", "d/old", *told(world)} - ({path} - {*told(world)}), steps
            assert world._mirror.removals.held == 0
            assert not world._ledger.failures.changed_at_server(world._mirror.id)
            assert not world._mirror.intents
    assert parts > 1
    assert unrecorded <= (UNTIL_IT_IS_RECORDED if trouble == ("crash",) and path != "old" else 0)


@pytest.mark.parametrize("trouble", TROUBLES, ids=["crash", "offline"])
@pytest.mark.parametrize("size", [200, 600])
def test_a_part_of_an_earlier_content_is_nobody_elses(trouble: Op, size: int):
    """The file was written anew before it could be sent again: `existing: keep` does not protect the part."""
    unrecorded = 0
    for steps in moments(STEPS):
        with direct(existing=ExistingPolicy.KEEP) as world:
            world.write("new", 400)
            world.later(steps, trouble)
            world.do(("go_on", 3.0))
            world._later.clear()
            world.write("new", size)
            for op in (("online",), ("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            unrecorded += len(told(world))
            if world._published()["new"] not in world.drop.finished:
                assert {event.message for event in world.events if event.kind is EventKind.KEPT} == {PERHAPS_A_PART}
            assert told(world) or world._published()["new"] == world.drop.files()["new"], steps
    assert unrecorded <= (UNTIL_IT_IS_RECORDED if trouble == ("crash",) else 0)


def keep_right_clock(world: World) -> None:
    """The server's clock goes on as it does, whatever becomes of ours."""
    ahead_s = world.server.clock() - world.time.now
    world.server.clock = lambda: ahead_s + world.time.now


@pytest.mark.parametrize("set_s", [YEAR_S, -YEAR_S])
@pytest.mark.parametrize("gone", [True, False])
def test_a_part_is_known_again_when_the_clock_was_set_after_it_was_cut_off(set_s: float, *, gone: bool):
    """The server's clock, by which it is dated, was right all the time."""
    parts = 0
    for steps in range(20, 50, 5):
        with direct(existing=ExistingPolicy.KEEP) as world:
            keep_right_clock(world)
            world.do(("set_clock", -set_s))
            world.do(("go_on", 10.0))
            world.write("new", 400)
            world.later(steps, ("offline",))
            world.do(("go_on", 33.0))
            world._later.clear()
            parts += 0 < len(world._published().get("new", b"")) < 400
            world.do(("set_clock", set_s))
            world.do(("go_on", 30.0))
            if gone:
                world.drop.delete("new")
            else:
                world.write("new", 600)
            for op in (("online",), *(("go_on", 100.0),) * 4):
                world.do(op)
            assert world._published().get("new") == (None if gone else world.drop.files()["new"]), steps
            assert not told(world)
    assert parts > 1


@pytest.mark.parametrize("existing", [ExistingPolicy.ADOPT, ExistingPolicy.OVERWRITE])
@pytest.mark.parametrize("size", [100, *(pytest.param(size, marks=pytest.mark.long) for size in (401, 700))])
@pytest.mark.parametrize("trouble", TROUBLES, ids=["crash", "offline"])
def test_a_foreign_file_stays_if_nothing_of_ours_took_its_place(trouble: Op, existing: ExistingPolicy, size: int):
    """It would have been written over; what was to take its place was cut off before, and is gone."""
    content = b"f" * size
    unrecorded = 0
    for steps in moments(STEPS):
        with direct(existing=existing) as world:
            # The directory is not one that was made a moment ago: it is looked into.
            world.do(("restart",))
            world.server.files[f"{BASE}/new"] = MemoryFile(content, int(world.server.clock()) - 1000)
            world.write("new", 400)
            world.later(steps, trouble)
            world.do(("go_on", 3.0))
            world._later.clear()
            stays = world._published().get("new") == content
            world.drop.delete("new")
            for op in (("online",), ("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            there = world._published()
            assert there.keys() - {"new"} == {"old", "d/old"}, steps
            assert there.get("new") == content if stays else "new" not in there or told(world) == ["new"], steps
            unrecorded += not stays and "new" in there
    # Not before the server has begun to receive it.
    assert unrecorded <= (2 * UNTIL_IT_IS_RECORDED if trouble == ("crash",) else 0)


def test_a_file_that_took_the_place_of_a_part_since_is_not_deleted():
    """By its date it is none; the log says that it stays."""
    with direct() as world:
        world.write("new", 400)
        world.upon("STOR", ("later", 4, ("offline",)))
        world.do(("go_on", 3.0))
        assert 0 < len(world._published()["new"]) < 400
        world.drop.delete("new")
        world.do(("go_on", 3600.0))
        theirs = b"by hand"
        world.server.files[f"{BASE}/new"] = MemoryFile(theirs, int(world.server.clock()))
        for op in (("online",), ("go_on", 600.0)):
            world.do(op)
        assert world._published()["new"] == theirs
        assert told(world) == ["new"]


@pytest.mark.parametrize("trouble", TROUBLES, ids=["crash", "offline"])
def test_a_directory_can_take_the_place_of_a_part(trouble: Op):
    unrecorded = 0
    for steps in moments(STEPS):
        with direct() as world:
            world.write("new", 400)
            world.later(steps, trouble)
            world.do(("go_on", 3.0))
            world._later.clear()
            world.drop.delete("new")
            world.make_folder("new")
            world.write("new/in it", 20)
            for op in (("online",), ("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            if world._published().keys() != {"old", "d/old", "new/in it"}:
                unrecorded += 1
                assert "new" in [path for path, _ in world._ledger.failures.worst(world._mirror.id, 9)], steps
    assert unrecorded <= (UNTIL_IT_IS_RECORDED if trouble == ("crash",) else 0)


@pytest.mark.parametrize("after", ["fault", "fault_after"], ids=["a STOR", "the rest of a content"])
@pytest.mark.parametrize(
    "change", [("write", "old", 450), ("crash",), ("delete", 0), pytest.param(("restart",), marks=pytest.mark.long)]
)
@pytest.mark.parametrize("path", ["new", "old"])
def test_what_hung_on_a_dead_line_is_found_whenever_it_arrives(path: str, change: Op, after: str):
    """It goes to the final name, and nobody is told; a minute later the server is asked."""
    spoiled = 0
    for steps in moments(STEPS):
        with direct() as world:
            world.do((after, "STOR", "late", 1))
            world.write(path, 400)
            world.later(steps, change)
            world.later(steps + 6 * (steps % 4 // 2), ("arrive",))
            world.do(("go_on", 30.0))
            world._later.clear()
            for op in (("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            spoiled += any("come late" in event.message for event in world.events)
            assert world._published() == world.drop.files(), steps
            assert world._mirror.removals.held == 0
            assert not world._mirror.intents
    assert spoiled or after != "fault" or change == ("delete", 0)


@pytest.mark.parametrize("trouble", TROUBLES, ids=["crash", "offline"])
@pytest.mark.parametrize("size", [400, 600])
def test_where_deletes_are_kept_a_file_stays_and_a_part_does_not(size: int, trouble: Op):
    """What was published may stay, or what was to take its place; half of that is of no use to anybody."""
    parts = kept = 0
    for steps in moments(STEPS):
        with direct(deletes=DeletePolicy.KEEP) as world:
            published = world._published()["old"]
            world.write("old", size)
            world.later(steps, trouble)
            world.do(("go_on", 3.0))
            world._later.clear()
            written = world.drop.files()["old"]
            parts += world._published()["old"] not in {published, written}
            world.drop.delete("old")
            for op in (("online",), ("start",), *(("go_on", 100.0),) * 4):
                world.do(op)
            there = world._published().get("old")
            assert there in {None, published, written}, steps
            kept += there == published
            assert not world._mirror.intents
    assert parts > 1
    assert kept > 1


def come_late(world: World) -> None:
    """All that hangs on dead lines arrives, and everything that follows is done."""
    for op in (("arrive",), *(("go_on", 100.0),) * 4):
        world.do(op)
    assert not world._mirror.intents


def test_what_comes_late_over_a_file_that_was_looked_for_meanwhile_is_found():
    """A second try ended because the file was gone for a moment; then the server was asked what the first had left."""
    with direct() as world:
        world.do(("fault", "STOR", "late", 1))
        world.do(("upon", "DELE", ("remove", "old")))
        for op in (("write", "old", 200), ("go_on", 2.1), ("write", "old", 200), ("go_on", 10.0)):
            world.do(op)
        come_late(world)
        assert world._published() == world.drop.files()


def test_what_comes_late_is_found_after_the_delete_of_a_file_that_was_to_be_sent_once_more():
    """Its second try had not begun when the file went; then it was deleted at the server."""
    with direct() as world:
        for op in (
            ("fault", "CONNECT", "unavailable", 1),
            ("fault", "STOR", "late", 1),
            ("write", "d/old", 20),
            ("go_on", 2.5),
            ("remove", "d/old"),
            ("go_on", 30.0),
        ):
            world.do(op)
        assert "d/old" not in world._published()
        come_late(world)
        assert world._published() == world.drop.files()


def test_a_removal_that_comes_late_is_found_though_the_try_ended_of_a_change_here():
    """What was sent of it was to be removed when the line died; a third content was published meanwhile."""
    with direct() as world:
        world.do(("fault", "DELE", "late", 1))
        world.do(("upon", "SIZE", ("write", "old", 300)))
        for op in (("write", "old", 200), ("go_on", 30.0)):
            world.do(op)
        assert world.server.late
        assert world._published() == world.drop.files()
        come_late(world)
        assert world._published() == world.drop.files()


def test_a_file_that_was_changed_there_while_there_was_no_connection_is_held_and_no_part_of_ours():
    """What was to replace it here, and is larger, was never sent; then it was deleted here."""
    with direct() as world:
        world.do(("offline",))
        world.do(("restart",))
        for op in (("write", "old", 900), ("go_on", 60.0), ("remove", "old")):
            world.do(op)
        theirs = b"by hand"
        world.server.files[f"{BASE}/old"] = MemoryFile(theirs, int(world.server.clock()))
        world.do(("online",))
        world.do(("go_on", 600.0))
        assert world._published()["old"] == theirs
        assert world._ledger.failures.changed_at_server(world._mirror.id) == ["old"]


@pytest.mark.parametrize("kind", ["refused", "full"])
def test_what_is_published_stays_while_the_server_takes_nothing_in_its_place(kind: str):
    """It has answered each try: nothing of them can come late, for which it would have to be out of the way."""
    with direct() as world:
        before = world._published()["old"]
        world.server.fail("STOR", FAULTS[kind](), times=100)
        for op in (("write", "old", 600), ("go_on", 1000.0)):
            world.do(op)
            assert world._published()["old"] == before
        world.server._faults.clear()
        world.do(("retry",))
        world.do(("go_on", 30.0))
        assert world._published() == world.drop.files()


@pytest.mark.parametrize("waits_s", [2.5, 30.0])
def test_what_comes_late_over_a_file_that_is_left_out_by_now_is_taken_away(waits_s: float):
    """It is no file of ours any more, but an empty one that we have left there is of no use to anybody."""
    with direct() as world:
        world.do(("fault", "STOR", "late", 1))
        for op in (("write", "d/old", 200), ("go_on", waits_s), ("exclude", ("d/",))):
            world.do(op)
        come_late(world)
        assert world._published().get("d/old") != b""


@pytest.mark.parametrize("waits_s", [0.0, 2.2, 2.5, 30.0])
def test_a_file_that_is_left_out_while_another_content_may_come_late_stays(waits_s: float):
    """What was published is smaller than what was to take its place: whole all the same, and no part of that."""
    with direct() as world:
        for op in (
            ("fault", "CONNECT", "unavailable", 1),
            ("fault", "STOR", "late", 1),
            ("write", "d/old", 700),
            ("go_on", waits_s),
        ):
            world.do(op)
        there = world._published()["d/old"]
        world.server.late.clear()
        world.do(("exclude", ("d/",)))
        for _ in range(4):
            world.do(("go_on", 100.0))
        assert world._published()["d/old"] == there
        assert not world._mirror.intents


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_directory_takes_the_place_of_a_file_that_was_sent_and_could_not_be_taken_back(refused: int):
    """It is here instead when the file has arrived; the server refuses to delete that, and what goes with it."""
    with direct() as world:
        world.server.fail("DELE", FAULTS["refused"](), times=refused)
        world.write("new", 100)
        world.do(("upon", "SIZE", ("all", ("remove", "new"), ("make_folder", "new"), ("write", "new/1", 20))))
        for _ in range(4):
            world.do(("go_on", 3600.0))
        assert world._published().keys() == {"old", "d/old", "new/1"}
        world.come_to_rest()
