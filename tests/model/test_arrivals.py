"""Short stories about what hung on a dead line and arrives at the server late, at many steps of the daemon."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from ftpsyncd.engine.report import mapping_status
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.inquiries import Inquiries
from ftpsyncd.mapping.openintents import LATE_S
from ftpsyncd.mapping.site import QUEUE_ROOM
from ftpsyncd.remote.memory import MemoryFile
from ftpsyncd.specs import DeletePolicy
from ftpsyncd.status import MappingState
from tests.model.doubles import FAULTS
from tests.model.stage import Op
from tests.model.stories import STEPS, begun, moments, tell
from tests.model.world import BASE

pytestmark = pytest.mark.lasting(60)


@pytest.mark.parametrize(
    "hangs", [("fault", "STOR", "late", 1), ("fault_after", "STOR", "late", 1), ("fault", "RNTO", "late", 1)]
)
@pytest.mark.parametrize("change", [("write", "a/1", 120), ("crash",)])
def test_what_hung_on_a_dead_line_does_no_harm_whenever_it_arrives(hangs: Op, change: Op):
    """The session of the try that was cut off lives on at the server, while the next one sends what is there by then."""
    story: tuple[Op, ...] = (hangs, ("write", "a/1", 100), ("go_on", 30.0), ("start",), ("go_on", 30.0))
    for steps in moments(STEPS):
        tell(story, ((steps, change), (steps + 6 * (steps % 2), ("arrive",))))


def test_what_comes_late_into_a_directory_that_waits_to_be_removed_goes_with_it():
    hangs = (("fault", "STOR", "late", 1), ("write", "a/3", 20), ("go_on", 2.5))
    for steps in moments(2 * STEPS):
        tell((*hangs, ("delete", 1), ("go_on", 30.0)), ((steps, ("arrive",)),))


@pytest.mark.parametrize("waits_s", [5.0, 45.0])
def test_what_comes_late_into_a_new_directory_of_an_old_name_is_swept_there(waits_s: float):
    with begun() as world:
        for op in (
            ("fault", "STOR", "late", 1),
            ("write", "a/3", 20),
            ("go_on", 3.0),
            ("rename", 1, "c"),
            ("go_on", 4.0),
        ):
            world.do(op)
        world.make_folder("a")
        for op in (("write", "a/4", 5), ("go_on", waits_s)):
            world.do(op)
        world.come_to_rest()


@pytest.mark.parametrize("hangs", [("fault", "STOR", "late", 1), ("fault", "RNTO", "late", 1)])
def test_what_hung_when_a_part_was_to_be_continued_does_no_harm_whenever_it_arrives(hangs: Op):
    """A server may cut a file where a REST says that comes late, also when somebody else has gone on by then."""
    story: tuple[Op, ...] = (("write", "a/1", 500), ("go_on", 30.0), hangs, ("online",), ("go_on", 60.0))
    continued = 0
    for cut in range(20, 28, 2):
        for steps in moments(10, 50):
            world = tell(story, ((cut, ("offline",)), (cut + steps, ("arrive",))))
            continued += sum(verb == "RNTO" and path.startswith("/site/a/1.") for verb, path in world.server.log) > 1
    assert continued > 15, "nothing was continued twice"


@pytest.mark.parametrize("deletes", [DeletePolicy.MIRROR, pytest.param(DeletePolicy.TRASH, marks=pytest.mark.long)])
@pytest.mark.parametrize("change", [("write", "a/1", 120), ("delete", 2)], ids=["replaced", "deleted"])
def test_a_rename_that_comes_late_does_not_bring_back_what_is_over(change: Op, deletes: DeletePolicy):
    """The server holds the old content, complete under its temporary name, until somebody can reach it."""
    for steps in moments(2 * STEPS):
        with begun(deletes=deletes) as world:
            for op in (("fault", "RNTO", "late", 1), ("fault", "CONNECT", "unavailable", 1), ("write", "a/1", 100)):
                world.do(op)
            # This one waits all the time, so that there is none for sweeping.
            world.do(("write", "b/1", 100))
            world.do(("go_on", 5.0))
            world.do(change)
            world.later(steps, ("arrive",))
            world.come_to_rest(arrived=False)


def arriving(*ops: Op, steps: range = range(STEPS), **settings: object) -> None:
    """All this happens, and what hangs arrives at one step or another after it."""
    for step in moments(steps.start, steps.stop, steps.step):
        with begun(**settings) as world:  # type: ignore[arg-type]
            for op in ops:
                world.do(op)
            world.later(step, ("arrive",))
            world.come_to_rest(arrived=False)


@pytest.mark.parametrize("deletes", [DeletePolicy.MIRROR, pytest.param(DeletePolicy.TRASH, marks=pytest.mark.long)])
@pytest.mark.parametrize("then", [("all",), ("restart",), ("crash",)], ids=["lives", "restarted", "killed"])
@pytest.mark.parametrize("waits_s", [0.0, 10.0], ids=["not deleted", "deleted"])
def test_a_delete_that_comes_late_takes_away_nothing_that_was_published_since(
    deletes: DeletePolicy, then: Op, waits_s: float
):
    hangs = ("fault", "RNTO" if deletes is DeletePolicy.TRASH else "DELE", "late", 1)
    before = (hangs, ("delete", 2), ("go_on", 5.5), then, ("start",), ("go_on", waits_s))
    arriving(*before, ("write", "a/1", 100), deletes=deletes)


def test_what_makes_room_late_takes_away_nothing_that_was_published_since():
    """The server renames over nothing, and the file that stood there was to be deleted before."""
    arriving(("fault", "DELE", "late", 1), ("write", "a/1", 100), ("go_on", 2.5), replaces=False)


@pytest.mark.parametrize("then", [("all",), ("restart",)], ids=["lives", "restarted"])
def test_a_rename_that_comes_late_takes_away_nothing_that_was_published_since(then: Op):
    """Of the user's own file: under its new name is another one by then, and a new one under the old name."""
    hangs = (("fault", "RNTO", "late", 1), ("rename", 2, "b/2"), ("go_on", 10.0), then)
    arriving(*hangs, ("write", "a/1", 100))


LIVES = [pytest.param(("all",), id="lives"), pytest.param(("restart",), id="restarted", marks=pytest.mark.long)]


@pytest.mark.parametrize("then", LIVES)
@pytest.mark.parametrize("change", [("delete", 7), ("rename", 7, "m")], ids=["deleted", "renamed"])
def test_a_directory_that_is_made_late_does_not_stay_when_it_is_gone_here(change: Op, then: Op):
    """The next try made it."""
    arriving(("fault", "MKD", "late", 1), ("make_folder", "n"), ("write", "n/1", 20), ("go_on", 10.0), then, change)


@pytest.mark.parametrize("then", LIVES)
def test_an_empty_directory_that_was_made_again_is_not_gone_when_its_removal_comes_late(then: Op):
    hangs = (("fault", "RMD", "late", 1), ("delete", 4), ("go_on", 10.0), then)
    arriving(*hangs, ("make_folder", "a/b"), empty_dirs=True)


def test_a_directory_that_is_removed_late_is_there_for_what_comes_into_it():
    """Where empty ones are none of ours, nothing of it is awaited."""
    arriving(
        ("fault", "RMD", "late", 1), ("delete", 4), ("go_on", 10.0), ("make_folder", "a/b"), ("write", "a/b/1", 20)
    )


BEFORE = [pytest.param(("all",), id="renamed"), pytest.param(("fault", "CONNECT", "unavailable", 1), id="not renamed")]
"""What the next try has done by the time that something else happens, for which there may have been no connection."""


@pytest.mark.parametrize("then", LIVES)
@pytest.mark.parametrize("before", BEFORE)
def test_a_rename_that_comes_late_does_not_take_away_a_directory_that_was_renamed_back(before: Op, then: Op):
    hangs = (before, ("fault", "RNTO", "late", 1), ("rename", 1, "c"), ("go_on", 2.3), then)
    arriving(*hangs, ("rename", 3, "a"), steps=range(2, 90, 2))


FILLED: tuple[Op, ...] = (("make_folder", "a"), ("write", "a/3", 20), ("write", "a/1", 30))
MOVED = {
    "on, and filled anew": (("rename", 3, "d"), *FILLED),
    "back, and changed": (("rename", 3, "a"), *FILLED, ("delete", 3)),
    "deleted, and filled anew": (("delete", 3), *FILLED),
    "back, and emptied": (("rename", 3, "a"), ("delete", 1)),
}


@pytest.mark.parametrize("then", LIVES)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_a_rename_that_comes_late_takes_nothing_along_that_comes_to_the_old_name(
    change: tuple[Op, ...], before: Op, then: Op
):
    """Nothing does until it is known: some of it would be here then, and some there."""
    hangs = (before, ("fault", "RNTO", "late", 1), ("rename", 1, "c"), ("go_on", 2.3), then)
    arriving(*hangs, *change, ("go_on", 2.0), steps=range(1, 60, 6))


BEGUN_THERE = {
    "filled anew": FILLED,
    "filled anew, and the new one gone": (("delete", 3), *FILLED),
    "gone": (("delete", 3),),
    "filled anew, and the new one a file": (("delete", 3), ("write", "c", 20), *FILLED),
    "filled anew, and the new one moved on": (("rename", 3, "d"), *FILLED),
}


@pytest.mark.parametrize("change", BEGUN_THERE.values(), ids=BEGUN_THERE)
def test_a_rename_that_comes_late_is_not_forgotten_wherever_the_daemon_dies_at_what_is_begun_there(
    change: tuple[Op, ...],
):
    """The server had refused it besides: a directory of the new name is made, and that is what is open there then."""
    hangs = (("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"))
    for killed in moments(14, 46):
        for arrives in (1, 25):
            with begun() as world:
                world.later(killed, ("crash",))
                world.all(*hangs, ("go_on", 4.0), ("start",), *change)
                world.later(arrives, ("arrive",))
                world.come_to_rest(arrived=False)


def test_what_is_in_a_directory_that_may_have_come_late_is_looked_at_when_that_is_known():
    """Nothing else has it looked at: the directory that it is in is recorded, and had been looked through."""
    with begun() as world:
        world.all(("write", "a/b/1", 20), ("go_on", 10.0))
        world.all(("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"), ("go_on", 4.0))
        world.all(("crash",), ("write", "c/b/2", 20), ("offline",), ("start",), ("go_on", 5.0), ("online",))
        world.come_to_rest(arrived=False)


HANGS: Op = ("fault", "RNTO", "late", 1)
TWICE: dict[str, tuple[Op, ...]] = {
    "moved on, and back": (
        *(HANGS, ("rename", 1, "c"), ("go_on", 1.0), HANGS, ("rename", 3, "d"), ("go_on", 10.0), ("rename", 3, "a")),
    ),
    "back, moved, and back": (
        *(HANGS, ("rename", 1, "c"), ("go_on", 1.0), ("rename", 3, "a"), HANGS, ("rename", 1, "d"), ("go_on", 20.0)),
        ("rename", 3, "a"),
    ),
    "refused, moved on, and another in its place": (
        *(HANGS, ("fault", "RNTO", "refused", 1), ("rename", 1, "c"), ("go_on", 4.0)),
        *(HANGS, ("upon", "MLST", ("crash",)), ("rename", 3, "d"), ("go_on", 1.0), ("make_folder", "a")),
    ),
    "moved on, and refused there": (
        *(HANGS, ("fault", "CONNECT", "unavailable", 1), ("rename", 1, "c"), ("go_on", 10.0), ("rename", 3, "d")),
        *(("go_on", 6.0), HANGS, ("fault", "RNTO", "refused", 1), ("rename", 3, "e"), ("go_on", 2.3), ("crash",)),
    ),
}


@pytest.mark.parametrize("empty_dirs", [False, True])
@pytest.mark.parametrize("hangs", TWICE.values(), ids=TWICE)
def test_a_directory_that_may_come_late_to_one_name_or_another_is_looked_for_under_each(
    hangs: tuple[Op, ...], monkeypatch: pytest.MonkeyPatch, *, empty_dirs: bool
):
    """Asked about the first one, the server has it under neither that nor the old name: it was taken for lost."""
    monkeypatch.setattr("ftpsyncd.mapping.kin.ROWS_AT_ONCE", 10_000)
    with begun(empty_dirs=empty_dirs) as world:
        world.all(*hangs, ("start",))
        world.come_to_rest(arrived=False)


LEAVES: tuple[Op, ...] = (("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 4, "c"))


def test_a_directory_that_leaves_another_one_late_does_not_stay_when_both_are_gone_here():
    """What was in it is not deleted under its old name, where nothing would be, and forgotten."""
    killed = (("upon", "MKD", ("crash",)), *LEAVES, ("go_on", 4.0), ("start",), ("delete", 1), ("delete", -1))
    arriving(("write", "a/b/1", 20), ("go_on", 10.0), *killed, steps=range(1, 60))


def test_a_directory_with_one_in_it_that_may_leave_late_waits_to_be_deleted_and_says_so():
    with begun() as world:
        world.all(("write", "a/b/1", 20), ("go_on", 10.0), *LEAVES, ("go_on", 4.0), ("delete", 1), ("go_on", 10.0))
        said = world.why("a").sentence
        assert "not deleted at the server yet, because the connection ended under a rename of a directory in it" in said
        world.come_to_rest()


@pytest.mark.parametrize("then", [("all",), ("upon", "MKD", ("crash",))], ids=["lives", "killed"])
@pytest.mark.parametrize("file", [("write", "c", 20), ("rename", 2, "c")], ids=["new", "renamed"])
def test_a_directory_takes_the_place_of_a_file_that_comes_late(file: Op, then: Op):
    """It came between the question whether it was there and the making of the directory, which was refused for it."""
    hangs = (("fault", "RNTO", "late", 1), ("fault", "CONNECT", "unavailable", 1), file, ("go_on", 2.3))
    for arrives in moments(2 * STEPS):
        with begun() as world:
            world.all(*hangs, ("delete", -1), ("make_folder", "c"), ("write", "c/1", 20), then)
            world.later(arrives, ("arrive",))
            world.all(("go_on", 30.0), ("start",))
            world.come_to_rest(arrived=False)


@pytest.mark.parametrize("room", [1, QUEUE_ROOM])
def test_what_awaits_a_rename_that_may_come_late_is_told_and_waits_a_minute_at_most(
    room: int, monkeypatch: pytest.MonkeyPatch
):
    """Also if the server has never nothing else to do, since it is asked when the time is over; and if it is much."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.QUEUE_ROOM", room)
    with begun() as world:
        world.all(("fault", "RNTO", "late", 1), ("rename", 1, "c"), ("go_on", 2.3), *FILLED, ("go_on", 10.0))
        told = [
            said
            for path in ("a/1", "a/3")
            if "ended under a rename of its directory" in (said := world.why(path)).sentence
        ]
        assert [said.state for said in told] == min(room, 2) * ["settling"]
        assert all(": the server is asked once more within a minute (for " in said.sentence for said in told)
        with mock.patch.object(Inquiries, "ask"):
            world.do(("go_on", LATE_S + 5.0))
        assert {f"{BASE}/a/1", f"{BASE}/a/3"} <= world.server.files.keys()
        world.come_to_rest()


def test_what_leaves_a_directory_whose_rename_may_come_late_is_sent_at_once():
    """The server would not rename the directory after the line had broken: what is below the old name has new ones."""
    with begun() as world:
        world.all(("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"), ("go_on", 10.0))
        assert {f"{BASE}/c/1", f"{BASE}/c/2"} <= world.server.files.keys()
        # What is to be deleted waits, and is told of.
        assert world._engine is not None
        status = mapping_status(world._mirror, world._engine._moment())
        assert status.state is MappingState.SETTLING
        assert status.pending == 1
        assert "ended under a rename of its directory" in status.message
        said = world.why("a")
        assert said.sentence.startswith("it is gone here; not deleted at the server yet, because the connection ended")
        world.all(("rename", 4, "b/9"), ("go_on", 10.0))
        assert {f"{BASE}/b/9", f"{BASE}/a/1"} <= world.server.files.keys()
        world.come_to_rest()


def test_what_waits_for_a_rename_that_may_come_late_is_not_to_be_deleted_where_nothing_is():
    with begun(deletes=DeletePolicy.KEEP) as world:
        world.all(("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"), ("go_on", 10.0))
        assert world.why("a").sentence.startswith("it is gone here; not forgotten yet, because the connection ended")


def test_of_what_is_gone_and_waits_for_a_late_rename_it_is_told_for_how_long_however_often_it_is_looked_at():
    with begun() as world:
        world.all(("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"), ("go_on", 10.0))
        before = float(world.why("a").details["waited_s"] or 0)
        world.do(("go_on", 15.0))
        world._mirror.dirty.mark("a", world.time.now)
        world.do(("go_on", 5.0))
        assert world.why("a").details["waited_s"] == pytest.approx(before + 20.0, abs=1.0)


def test_what_leaves_a_directory_while_it_is_asked_whether_that_was_renamed_waits_for_the_answer_only():
    with begun() as world:
        world.all(("fault_after", "RNTO", "late", 1), ("upon", "MLST", ("crash",)), ("rename", 1, "c"), ("go_on", 9.0))
        world.all(("rename", 4, "b/9"), ("rename", 4, "d"), ("offline",), ("start",), ("go_on", 5.0))
        said = world.why("b/9").sentence
        assert "ended under a rename of the directory that it comes from" in said
        assert ": the server is asked first (for " in said
        assert "): The server is down; the server is tried again in " in said
        world.all(("online",), ("go_on", LATE_S - 20.0))
        assert {f"{BASE}/b/9", f"{BASE}/d/2"} <= world.server.files.keys()
        world.come_to_rest()


@pytest.mark.parametrize("then", [("all",), ("crash",)], ids=["lives", "killed"])
def test_a_directory_that_seems_to_have_been_renamed_late_is_not_believed_to_hold_what_was_under_the_old_name(then: Op):
    """Somebody has deleted it there, and the one of the new name was made by us, and does not yet hold everything."""
    with begun() as world:
        world.all(("fault", "RNTO", "late", 1), ("fault", "RNTO", "refused", 1), ("rename", 1, "c"))
        world.server.fail("STOR", FAULTS["broken"](), nth=2, times=100)
        world.all(("write", "c/3", 20), ("go_on", 20.0))
        gone = [path for path in (*world.server.files, *world.server.dirs) if f"{path}/".startswith(f"{BASE}/a/")]
        for path in gone:
            world.server.files.pop(path, None)
            world.server.dirs.discard(path)
        world.all(then, ("start",), ("go_on", 2 * LATE_S))
        world.server._faults.clear()
        world.come_to_rest()


def test_a_rename_that_comes_late_over_a_file_that_was_adopted_is_mended():
    """Somebody else has brought the newer content; the older one is complete at the server, under its temporary name."""
    adopted = 0
    for steps in moments(STEPS):
        with begun() as world:
            hangs = (("fault", "RNTO", "late", 1), ("fault", "CONNECT", "unavailable", 1), ("write", "a/3", 100))
            world.all(*hangs, ("write", "b/3", 20), ("go_on", 5.0), ("write", "a/3", 120))
            mtime_s = Path(world.drop.local("a/3")).stat().st_mtime_ns // 10**9
            world.server.files[f"{BASE}/a/3"] = MemoryFile(world.drop.files()["a/3"], mtime_s)
            world.later(steps, ("arrive",))
            world.come_to_rest(arrived=False)
            adopted += any(event.kind is EventKind.ADOPTED and event.path == "a/3" for event in world.events)
    assert adopted


def test_what_may_come_late_is_not_awaited_under_each_name_that_directories_had_meanwhile():
    """Each further name of a directory would double what is awaited below it, and asked of the server a minute later."""
    with begun() as world:
        world.do(("fault_after", "STOR", "late", 1))
        world.write("a/b/1", 20)
        world.go_on(5.0)
        outer, inner, awaited = "a", "b", []
        for number in range(4):
            world.drop.rename(f"{outer}/{inner}", f"{outer}/b{number}")
            world.go_on(3.0)
            world.drop.rename(outer, f"a{number}")
            world.go_on(3.0)
            outer, inner = f"a{number}", f"b{number}"
            awaited.append(len(world._mirror.intents._open))
        assert 0 < awaited[-1] == awaited[0]
        world.come_to_rest()
