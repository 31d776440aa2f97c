"""Short stories, each about something that may happen to a daemon; `test_stories` has trouble come at many steps."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import pytest

from ftpsyncd.actions import Action, MakeDir, RenameDir
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.names import SUFFIX, TRASH
from ftpsyncd.daemon import knows
from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.errors import LocalUnreadableError, NameRefusedError
from ftpsyncd.events import EventKind
from ftpsyncd.inspection.reasons import Known
from ftpsyncd.ledger.failures import FailureCounts
from ftpsyncd.local.quiet import open_and_look
from ftpsyncd.mapping.site import QUEUE_ROOM
from ftpsyncd.mapping.unreadable import LONGEST_AGAIN_S
from ftpsyncd.model import HoldKind
from ftpsyncd.paths import parent
from ftpsyncd.remote.memory import MemoryFile
from ftpsyncd.specs import DeleteLimit, DeletePolicy, ExistingPolicy
from tests.model.cutoff import CUTS, MANY, cuts, move_all, renamed_and_cut_off
from tests.model.doubles import FAULTS
from tests.model.drop import COARSE_NS
from tests.model.stage import MAX_DELETES, SETTLE_S, Op
from tests.model.stories import STEPS, begun, moments, put_foreign, tell
from tests.model.world import BASE, M, World
from tests.waiting import until

pytestmark = pytest.mark.lasting(60)


def test_a_file_that_changes_while_it_is_sent_is_not_published_from_that_transfer():
    for steps in moments(STEPS):
        world = tell((("write", "a/1", 200), ("go_on", 30.0)), ((steps, ("write", "a/1", 200)),))
        assert world.server.files[f"{BASE}/a/1"].content in world.drop.finished


def test_a_link_whose_target_cannot_be_read_is_not_deleted():
    with World(follow_symlinks=True) as world:
        world.make_folder("a")
        world.write("a/1", 20)
        Path(world.drop.local("link")).symlink_to("a/1")
        world.go_on(10.0)
        assert f"{BASE}/link" in world.server.files
        world.drop.lock("a")
        world.lose_events()
        world.do(("go_on", 60.0))
        assert f"{BASE}/link" in world.server.files
        world.come_to_rest()


def test_what_could_not_be_read_is_looked_at_again_though_nobody_tells():
    """A disk that failed to answer once, a directory that was closed: what changed below it has had no event."""
    with begun() as world:
        world.drop.lock("a")
        world.do(("go_on", 10.0))
        world.drop.locked.clear()
        for path in ("a/3", "a/b/4"):
            world.write(path, 20)
        world.drop.heard.names.clear()
        world.do(("go_on", LONGEST_AGAIN_S))
        assert {f"{BASE}/a/3", f"{BASE}/a/b/4"} <= world.server.files.keys()
        assert not world._mirror.unreadable.problems


@pytest.mark.parametrize("closed_s", [5.0, 60.0, 100_000.0], ids=["tried again", "tried hourly", "parked"])
@pytest.mark.parametrize("heard", [True, False])
def test_a_file_that_could_not_be_read_is_published_when_its_rights_change(
    closed_s: float, monkeypatch: pytest.MonkeyPatch, *, heard: bool
):
    def opened(root: Path, path: str, *, follow_symlinks: bool) -> tuple[BinaryIO, os.stat_result]:
        if not (root / path).stat().st_mode & 0o400:
            raise LocalUnreadableError(f"{path!r} cannot be read: Permission denied.")
        return open_and_look(root, path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr("ftpsyncd.publishing.lastlook.open_and_look", opened)
    with begun() as world:
        world.write("new", 20)
        world.drop.chmod("new", 0)
        world.do(("go_on", closed_s))
        assert f"{BASE}/new" not in world.server.files
        world.drop.chmod("new", 0o600)
        if not heard:
            world.lose_events()
        world.do(("go_on", 5.0))
        assert f"{BASE}/new" in world.server.files


@pytest.mark.parametrize("folder", ["", "d/"], ids=["files", "a folder"])
@pytest.mark.parametrize("decided", ["approve", "discard"])
def test_a_delete_that_was_allowed_and_has_not_begun_is_held_with_those_that_are_too_many(folder: str, decided: str):
    """The server was away meanwhile. They were in no count, and `why` knew of no hold."""
    with World(max_deletes=3) as world:
        gone = [f"{folder}0", f"{folder}1", "2", "3"]
        world.make_folder("d")
        for path in gone:
            world.write(path, 20)
        world.do(("go_on", 30.0))
        world.do(("offline",))
        world._mirror.queue.gate.failed(world.time.now, Breaker.OFFLINE, "it is away")
        for paths in (gone[:2], gone[2:]):
            for path in paths:
                world.drop.delete(path)
            if folder and paths == gone[:2]:
                world.drop.delete("d")
            world.do(("go_on", 15.0))
        world.do(("online",))
        world.do(("go_on", 100.0))
        removals = world._mirror.removals
        assert removals.hold is not None
        assert removals.held == 4
        assert removals.hold.message.startswith("4 files were deleted at once (")
        assert "in the minute before" not in removals.hold.message
        assert world.why(gone[0]).sentence == removals.hold.message
        world.do((decided,))
        world.do(("go_on", 30.0))
        assert set(world._published()) == (set(gone) if decided == "discard" else set())


@pytest.mark.usefixtures("one_case")
def test_what_comes_to_rest_in_a_folder_that_has_its_name_in_another_case_is_published_under_that_only():
    """The disk finds it under the old name, too (exFAT); the server had both folders, with the new files in both."""
    with World() as world:
        world.make_folder("Trip")
        world.write("Trip/1", 20)
        world.do(("go_on", 30.0))
        world.write("Trip/2", 20)
        world.do(("go_on", 0.1))
        # By way of another name, as it has to be on such a disk.
        for path, target in (("Trip", "aside"), ("aside", "trip")):
            world.drop.rename(path, target)
        world.do(("go_on", 60.0))
        assert set(world._published()) == {"trip/1", "trip/2"}
        world.come_to_rest()
        made = [path for verb, path in world.server.log if verb in {"MKD", "RNTO"}]
        assert made.count(f"{BASE}/Trip") == 1


def test_what_failed_of_a_file_is_told_no_more_when_a_folder_has_its_name():
    """Nothing is ever published under it, as long as the folder holds nothing to publish."""
    with World() as world:
        world.server.fail("STOR", NameRefusedError("No.", reply="550 No."), times=10)
        world.write("x", 20)
        world.do(("go_on", 30.0))
        failures = world._ledger.failures
        assert failures.counts(world._mirror.id).parked == 1
        world.all(("delete", 0), ("make_folder", "x"))
        world.do(("go_on", 30.0))
        assert failures.counts(world._mirror.id) == FailureCounts(0, 0)


@pytest.mark.parametrize("how", ["write", "swap"])
def test_what_is_published_under_a_link_as_well_changes_under_both_names(how: str):
    """A link to a file, and one to a directory; nobody tells of what is seen through them."""
    with World(follow_symlinks=True) as world:
        for path in ("a", "a/b"):
            world.make_folder(path)
        for path in ("a/1", "a/b/2"):
            world.write(path, 20)
        Path(world.drop.local("file")).symlink_to("a/1")
        Path(world.drop.local("folder")).symlink_to("a")
        world.lose_events()
        world.do(("go_on", 30.0))
        for path in ("a/1", "a/b/2", "a/b/3", "a/c/4"):
            world.make_folder(parent(path))
            world.do((how, path, 30))
        world.do(("go_on", 30.0))
        published = world._published()
        for path, other in {"file": "a/1", **{f"folder/{p}": f"a/{p}" for p in ("1", "b/2", "b/3", "c/4")}}.items():
            assert published.get(path) == published[other] == Path(world.drop.local(other)).read_bytes(), path


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize(("stops", "goes_on"), [("offline", "online"), ("pause", "resume")])
def test_a_link_to_a_directory_takes_no_upload_away_from_it(stops: str, goes_on: str, *, removed: bool):
    """It looks like that directory under a new name, until the last look before the rename."""
    with World(follow_symlinks=True) as world:
        for path in ("a", "a/b"):
            world.make_folder(path)
        for path in ("a/1", "a/b/2"):
            world.write(path, 20)
        world.go_on(10.0)
        world.do((stops,))
        world.write("a/b/2", 30)
        world.do(("go_on", 30.0))
        link = Path(world.drop.local("link"))
        link.symlink_to("a")
        world.drop._tell("link")
        world.do(("go_on", 30.0))
        assert isinstance(world._mirror.queue.waiting(M, "link"), RenameDir)
        if removed:
            link.unlink()
            world.drop._tell("link")
            world.do(("go_on", 30.0))
        world.do((goes_on,))
        world.do(("go_on", 600.0))
        published = world._published()
        assert published["a/b/2"] == Path(world.drop.local("a/b/2")).read_bytes()
        assert published.get("link/b/2") == (None if removed else published["a/b/2"])


def test_what_is_in_a_directory_is_found_that_is_made_for_two_others():
    """A listing that came while it was made was passed over; after that, nothing in it seemed to be new."""
    with World() as world:
        for path in ("a", "a/b"):
            world.make_folder(path)
        for path in ("a/1", "a/2", "a/b/1"):
            world.write(path, 20)
        world.go_on(10.0)
        for path, target in (("a", "c"), ("c/1", "c/x"), ("c/2", "c/b/y")):
            world.drop.rename(path, target)
        world.upon("MKD", ("all", *2 * (("look",), ("turn",))))
        world.do(("go_on", 10.0))
        world.come_to_rest()


def test_what_waits_to_be_made_in_a_directory_that_is_gone_is_not_made():
    """While the server was away, `b/a` was made, and then `b` took the place of `a`."""
    with begun(empty_dirs=True) as world:
        story: tuple[Op, ...] = (
            ("offline",),
            ("make_folder", "c"),
            ("go_on", 400.0),
            ("make_folder", "b/a"),
            ("go_on", 20.0),
        )
        for op in story:
            world.do(op)
        world.drop.delete("a")
        world.drop.begin("b/a/1", 200)
        world.drop.rename("b", "a")
        world.come_to_rest()
        assert f"{BASE}/b" not in world.server.dirs


@pytest.mark.parametrize("patterns", [("b/*",), ("b/a/",), ("b/a/b/", "b/a/2")])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_directory_that_moves_to_where_not_all_is_published(patterns: tuple[str, ...], replaced: bool):  # noqa: FBT001 - a case
    """Renamed at the server, it would be seen there for ever under a name that is excluded."""
    with begun() as world:
        world.write("a/b/1", 20)
        world.do(("go_on", 30.0))
        world.do(("exclude", patterns))
        world.do(("go_on", 30.0))
        if replaced:
            world.drop.delete("b")
            world.do(("go_on", 30.0))
            world.make_folder("b")
        world.drop.rename("a", "b/a")
        world.come_to_rest()
        wanted = {path for path in world.drop.files() if world._selection.includes(path)}
        assert {path for path in world.server.files if "/a/" in path} == {f"{BASE}/{p}" for p in wanted if "a/" in p}
        assert ("b/a/1" in wanted) == (len(patterns) == 2)


def test_a_change_that_is_noticed_while_its_path_is_being_published_is_not_forgotten():
    look: tuple[Op, ...] = (("turn",), ("look",))
    noticed: tuple[Op, ...] = (
        ("write", "a/1", 20),
        ("deliver",),
        ("turn",),
        ("pass_time", 5.0),
        *look,
        *look,
        ("turn",),
    )
    for steps in moments(STEPS):
        tell((("write", "a/1", 200), ("go_on", 30.0)), tuple((steps, op) for op in noticed))


def test_a_file_that_is_being_written_is_not_published():
    tell((("begin", "a/1", 200), ("go_on", 400.0), ("end", 0), ("go_on", 10.0)))


def test_a_file_that_is_written_while_it_is_sent_is_not_published_before_its_end():
    for steps in moments(STEPS):
        tell((("write", "a/1", 200), ("go_on", 30.0), ("end", 0)), ((steps, ("begin", "a/1", 200)),))


@pytest.mark.parametrize("unseen", [("offline",), ("crash",)])
@pytest.mark.parametrize("steps", range(8))
def test_a_directory_that_left_one_which_was_renamed_itself(unseen: Op, steps: int):
    """When the outer one is renamed at the server, the inner one's rename has lost its source."""
    with begun() as world:
        for path in ("a/b/1", "a/b/2"):
            world.write(path, 20)
        world.do(("go_on", 30.0))
        world.do(unseen)
        if steps % 2:
            world.drop.rename("a", "d")
            world.drop.rename("d/b", "b/c" if steps % 4 == 1 else "c")
        else:
            world.drop.rename("a/b", "b/c" if steps % 4 == 0 else "c")
            world.drop.rename("a", "d")
        if steps >= 4:
            world.do(("go_on", 30.0))
        world.come_to_rest()


def test_a_folder_that_is_replaced_while_deletes_wait_keeps_them():
    for steps in moments(STEPS):
        tell((("delete", 3), ("go_on", 30.0)), ((steps, ("vanish", "beside")),))


@pytest.mark.parametrize("where", ["nowhere", "beside", "disk"])
def test_a_folder_that_is_not_the_one_it_was_deletes_nothing(where: str):
    with begun() as world:
        before = dict(world.server.files)
        world.do(("vanish", where))
        world.do(("go_on", 400.0))
        assert world.server.files == before
        world.do(("restart",))
        world.do(("go_on", 400.0))
        assert world.server.files == before
        world.come_to_rest()
        assert world.server.files == before


def test_a_disk_that_hangs_while_deletes_wait_deletes_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch):
    for steps in range(0, STEPS, 7):
        with begun() as world:
            world.do(("delete", 0))
            for _ in range(steps):
                if not (world.deliver() or world.turn() or world.look()):
                    world.time.now += 1.0
            before = dict(world.server.files)
            with monkeypatch.context() as hung:
                hung.setattr(world, "look", lambda: False)
                hung.setattr(world._disk, "answers", lambda: False)
                for _ in range(20):
                    world.do(("pass_time", 3.0))
                    world.do(("go_on", 0.1))
                assert world._mirror.removals.source.missing.startswith(f"the disk of {M} has not answered for ")
                assert world.why("1").state == "source_missing"
                after = dict(world.server.files)
                world.do(("go_on", 4000.0))
            assert world.server.files == after
            assert after in (before, {path: file for path, file in before.items() if path != f"{BASE}/1"})
            world.come_to_rest()


def _note(seen: list[tuple[str, str]], verb: str, path: str) -> None:
    seen.append((verb, path))


@pytest.mark.parametrize("trouble", [("exclude", ()), ("crash",)], ids=["a reload", "a crash"])
def test_what_was_being_published_of_another_folder_is_not_deleted_when_that_has_gone(trouble: Op):
    """It is not in the folder that is back, and nobody has deleted it."""
    arrived = 0
    for steps in moments(2 * STEPS):
        world = begun()
        seen: list[tuple[str, str]] = []
        world.server.observer = partial(_note, seen)
        try:
            for op in (("vanish", "beside"), ("go_on", 10.0), ("write", "new", 100), ("later", steps, trouble)):
                world.do(op)
            world.later(steps + 2, ("come_back",))
            world.do(("go_on", 10.0))
            world._later.clear()
            world.do(("come_back",))
            world.do(("start",))
            for _ in range(3):
                world.do(("go_on", 100.0))
                world.time.now += 4.0
                world.turn()
            came = ("RNTO", f"{BASE}/new") in seen
            arrived += came
            assert came is ("new" in world._published()), steps
        finally:
            world.close()
    assert arrived


def test_what_was_asked_of_the_folder_while_another_was_in_its_place_is_asked_again():
    with begun() as world:
        world.do(("lock", 1))
        world.do(("write", "2", 20))
        world.later(3, ("vanish", "beside"))
        world.do(("go_on", 0.1))
        world.come_to_rest()
        assert "2" in world._published()


@pytest.mark.parametrize("where", ["nowhere", "beside", "disk"])
def test_a_folder_that_is_not_the_one_it_was_makes_nothing_forgotten_that_is_kept(where: str):
    with begun(deletes=DeletePolicy.KEEP) as world:
        world.do(("vanish", where))
        world.do(("go_on", 400.0))
        world.do(("pass_time", 10.0))
        world.do(("turn",))
        world.do(("go_on", 400.0))
        assert world._ledger.mappings.totals(world._mirror.id).files == 4
        world.come_to_rest()


def test_where_deletes_are_kept_a_file_that_is_back_in_time_was_never_forgotten():
    """Some programs save a file by deleting it first."""
    with begun(deletes=DeletePolicy.KEEP) as world:
        world.do(("delete", 0))
        world.do(("go_on", 4.0))
        assert "kept at the server in" in world.why("1").sentence
        world.do(("write", "1", 40))
        world.do(("go_on", 30.0))
        assert EventKind.FORGOTTEN not in {event.kind for event in world.events}
        world.do(("delete", 0))
        world.do(("go_on", 30.0))
        assert [event.path for event in world.events if event.kind is EventKind.FORGOTTEN] == ["1"]
        assert f"{BASE}/1" in world.server.files


@pytest.mark.parametrize("deletes", [DeletePolicy.KEEP, DeletePolicy.MIRROR])
def test_a_directory_that_was_forgotten_and_is_made_again_is_recorded_again(deletes: DeletePolicy):
    with begun(deletes=deletes) as world:
        world.write("a/b/1", 20)
        world.write("a/b/2", 20)
        world.do(("go_on", 30.0))
        world.drop.delete("a")
        for op in (("go_on", 30.0), ("discard",), ("go_on", 30.0)):
            world.do(op)
        assert world._ledger.mappings.totals(world._mirror.id).files == 2
        world.make_folder("a")
        world.write("a/3", 20)
        world.do(("go_on", 30.0))
        assert world._ledger.row(world._mirror.id, "a") is not None
        world.drop.delete("a")
        world.do(("go_on", 30.0))
        assert (f"{BASE}/a/3" in world.server.files) == (deletes is DeletePolicy.KEEP)


def test_a_hold_is_over_as_soon_as_all_that_it_was_about_is_back():
    """It stayed until the next rescan, and what a person deleted before that was held with it, for good."""
    with World(max_deletes=3) as world:
        paths = ["1", "2", "3", "4"]
        for path in paths:
            world.write(path, 20)
        world.do(("go_on", 30.0))
        for path in paths:
            world.drop.delete(path)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == 4
        passes = world._mirror.looks.passes
        for path in paths:
            world.write(path, 30)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.hold is None
        world.drop.delete("1")
        world.do(("go_on", 30.0))
        assert world._mirror.looks.passes == passes, "all of it was noticed without a rescan"
        assert world._published().keys() == {"2", "3", "4"}


def test_a_hold_of_deletes_ends_when_they_are_to_be_kept():
    with begun() as world:
        world.do(("delete_all",))
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == 4
        world.spec = world.spec._replace(deletes=DeletePolicy.KEEP)
        world.do(("restart",))
        world.do(("go_on", 30.0))
        assert world._ledger.decisions.hold(world._mirror.id) is None
        assert world._ledger.mappings.totals(world._mirror.id).files == 0
        assert len(world._published()) == 4


@pytest.mark.parametrize("first", ["directory", "file"])
def test_a_file_and_a_directory_of_one_name_find_room_in_the_trash_of_one_day(first: str):
    with World(deletes=DeletePolicy.TRASH) as world:
        if first == "directory":
            world.make_folder("a")
        world.write("a/1" if first == "directory" else "a", 20)
        world.go_on(10.0)
        world.do(("delete", 0))
        world.go_on(30.0)
        if first == "file":
            world.make_folder("a")
        world.write("a" if first == "directory" else "a/1", 100)
        world.go_on(10.0)
        world.do(("delete", 0))
        world.go_on(30.0)
        assert sum(f"/{TRASH}/" in path for path in world.server.files) == 2
        world.come_to_rest()


def test_a_directory_that_cannot_be_read_deletes_nothing():
    with begun() as world:
        before = dict(world.server.files)
        world.do(("lock", 1))
        world.do(("lose_events",))
        world.do(("go_on", 400.0))
        assert world.server.files == before
        world.come_to_rest()


def test_more_deletes_than_allowed_wait_for_a_person():
    with begun() as world:
        before = dict(world.server.files)
        world.do(("delete_all",))
        world.do(("go_on", 400.0))
        assert world.server.files == before
        world.do(("approve",))
        world.do(("go_on", 30.0))
        assert world.server.files == {}


def test_a_delete_that_waits_when_its_directory_goes_too_is_one_of_so_many_at_once():
    """Sent before the others, it is not gone a second time with the directory, and not forgotten either."""
    with begun() as world:
        world.do(("pause",))
        world.drop.delete("a/1")
        world.do(("go_on", 15.0))
        assert world._mirror.queue.load("gallery").waiting == 1
        world.do(("delete_all",))
        world.do(("go_on", 3.0))
        world.do(("resume",))
        world.do(("go_on", 40.0))
        assert len(world.server.files) == MAX_DELETES == world._mirror.removals.held


def live_reason(world: World, path: str) -> str:
    """What the daemon says of a path before it looks at the disk."""
    assert world._engine is not None
    known = knows.known_now(world._mirror, path, path, world._engine._moment())
    told = known.gone if isinstance(known, Known) else known
    assert told is not None
    return told.sentence


def test_what_a_paused_mapping_waits_for_is_told_with_that():
    with begun() as world:
        world.do(("pause",))
        world.do(("delete", 0))
        world.do(("write", "late", 20))
        world.do(("go_on", 1.0))
        for path in ("1", "late"):
            assert "gallery is paused, `ftpsyncd resume gallery` goes on" in live_reason(world, path)


def test_what_is_done_to_a_path_right_now_is_called_that(monkeypatch):
    world = begun()
    said: list[str] = []
    hand = world._crew.hand

    def ask(actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        said.extend(live_reason(world, action.path) for action in actions)
        hand(actions, afresh=afresh, expected=expected)

    monkeypatch.setattr(world._crew, "hand", ask)
    try:
        world.do(("delete", 0))
        world.do(("write", "late", 20))
        world.do(("go_on", 30.0))
        assert said == ["it is being published right now", "it is being deleted right now"]
    finally:
        world.close()


def sorted_apart(*, deletes: DeletePolicy = DeletePolicy.MIRROR, empty_dirs: bool = False) -> World:
    """While nothing ran, more files than may be deleted were moved from one directory into several new ones."""
    world = World(deletes=deletes, empty_dirs=empty_dirs)
    names = [str(number) for number in range(3 * MAX_DELETES)]
    world.drop.make_folder("old")
    for name in names:
        world.drop.write(f"old/{name}", 20)
    world.do(("go_on", 30.0))
    world.do(("crash",))
    for number, name in enumerate(names):
        world.drop.make_folder(f"new{number % 3}")
        world.drop.rename(f"old/{name}", f"new{number % 3}/{name}")
    world.drop.delete("old")
    world.do(("pass_time", 60.0))
    return world


@pytest.mark.parametrize("deletes", [DeletePolicy.MIRROR, DeletePolicy.KEEP])
@pytest.mark.parametrize("empty_dirs", [False, True])
def test_what_got_other_names_while_nothing_ran_is_no_delete(deletes: DeletePolicy, empty_dirs: bool):  # noqa: FBT001
    with sorted_apart(deletes=deletes, empty_dirs=empty_dirs) as world:
        world.do(("offline",))
        world.do(("start",))
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == 0
        world.do(("online",))
        world.do(("go_on", 400.0))
        assert world._ledger.decisions.hold(world._mirror.id) is None
        assert not [event for event in world.events if event.kind is EventKind.HELD]
        moved = [event for event in world.events if event.kind is EventKind.RENAMED]
        assert len(moved) == 3 * MAX_DELETES
        assert world._published().keys() == world.drop.files().keys()
        assert f"{BASE}/old" not in world.server.dirs or deletes is DeletePolicy.KEEP


def test_what_is_gone_counts_beside_what_only_got_other_names():
    with sorted_apart() as world:
        for number in range(MAX_DELETES + 1):
            delete(world, f"new{number % 3}/{number}")
        world.do(("offline",))
        world.do(("start",))
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == MAX_DELETES + 1
        world.do(("online",))
        world.do(("go_on", 400.0))
        assert world._mirror.removals.held == MAX_DELETES + 1
        assert len(world.server.files) == 3 * MAX_DELETES


@pytest.mark.parametrize("trouble", [("crash",), ("offline",), ("lose_connections", "MLST", LOST_CONNECTIONS)])
def test_what_was_changed_at_the_server_is_not_deleted_whatever_goes_wrong(trouble: Op):
    for steps in moments(STEPS):
        with begun() as world:
            world.do(("edit_there", "1"))
            world.do(("delete", 0))
            # Just before its deletion.
            world.do(("go_on", 4.9))
            world.later(steps, trouble)
            for op in (("go_on", 60.0), ("start",), ("online",), ("go_on", 400.0), ("start",), ("go_on", 400.0)):
                world.do(op)
            world.start()
            assert f"{BASE}/1" in world.server.files
            assert world._ledger.failures.changed_at_server(world._mirror.id) == ["1"]


@pytest.mark.parametrize("edited", [True, False])
@pytest.mark.parametrize("again", [4, 8, 12, 16, 20])
def test_the_size_is_asked_also_of_a_file_whose_upload_and_whose_delete_a_crash_cut_off(again: int, *, edited: bool):
    """Of one that nobody edited the server has what was published first or what was sent last: it is deleted."""
    for steps in moments(30):
        with begun() as world:
            world.write("1", 60)
            world.later(steps, ("crash",))
            world.do(("go_on", 30.0))
            world._later.clear()
            if not world.running:
                world.drop.delete("1")
                if edited:
                    world.do(("edit_there", "1"))
                world.do(("start",))
                world.do(("go_on", 4.9))
                world.later(again, ("crash",))
                for op in (("go_on", 60.0), ("start",), ("go_on", 400.0)):
                    world.do(op)
                world._later.clear()
                world.do(("start",))
                world.do(("go_on", 400.0))
                assert (f"{BASE}/1" in world.server.files) == edited, steps
                assert world._ledger.failures.changed_at_server(world._mirror.id) == ["1"] * edited, steps
                if edited:
                    world.discard()
                    world.do(("go_on", 400.0))
                    world.do(("restart",))
                    world.do(("go_on", 400.0))
                    assert f"{BASE}/1" in world.server.files
                    assert world._ledger.row(world._mirror.id, "1") is None
                assert not world._mirror.intents


@pytest.mark.parametrize("back", [("write", "1", 40), ("move_in", 0, "1")], ids=["another", "the same"])
def test_an_approved_delete_of_what_was_changed_at_the_server_is_over_when_the_file_is_back(back: Op):
    with begun() as world:
        approved: tuple[Op, ...] = (("move_out", 0), ("go_on", 60.0), ("pause",), ("approve",), ("go_on", 30.0))
        for op in (("edit_there", "1"), *approved, back, ("go_on", 60.0), ("resume",), ("go_on", 60.0)):
            world.do(op)
        for op in (("edit_there", "1"), ("delete", 0), ("go_on", 60.0)):
            world.do(op)
        assert f"{BASE}/1" in world.server.files
        assert world._ledger.failures.changed_at_server(world._mirror.id) == ["1"]


def test_what_is_deleted_after_a_discard_is_not_discarded():
    """So much waits for the server that no pass ends."""
    world = begun()

    def half_a_minute() -> None:
        for _ in range(10):
            for op in (("pass_time", 3.0), ("deliver",), ("turn",), ("go_on", 0.1)):
                world.do(op)

    try:
        for path in "2345":
            world.write(path, 20)
        world.do(("go_on", 30.0))
        world.do(("pause",))
        world.make_folder("c")
        for n in range(QUEUE_ROOM + 10):
            world.write(f"c/{n}", 1)
        half_a_minute()
        for path in "2345":
            world.drop.delete(path)
        half_a_minute()
        assert world._mirror.removals.held == 4
        world.do(("discard",))
        half_a_minute()
        assert world._mirror.busy_looking(world.time.now)
        assert world._ledger.row(world._mirror.id, "2") is None
        world.drop.delete("1")
        half_a_minute()
        world.do(("resume",))
        world.do(("go_on", 400.0))
        assert world._published().keys() & set("12345") == set("2345")
    finally:
        world.close()


def test_a_discard_is_also_about_what_nobody_has_looked_for_yet():
    with begun() as world:
        world.do(("delete_all",))
        world.do(("go_on", 30.0))
        # The hold is in the ledger; what it is about is found again by the pass, and no clock tells since when.
        world.do(("restart",))
        world.do(("set_clock", 100.0))
        world.do(("discard",))
        world.do(("pass_time", 1.0))
        world.do(("go_on", 400.0))
        assert len(world._published()) == 4
        assert world._ledger.mappings.totals(world._mirror.id).files == 0


@pytest.mark.parametrize("home", ["the same", "another"])
def test_a_discard_is_for_good_wherever_the_daemon_dies_after_its_answer(home: str):
    """What is left of it is few enough by then to be deleted without a person."""
    died = 0
    for steps in moments(30):
        with begun() as world:
            if home == "another":
                world.do(("vanish", "beside"))
                world.do(("go_on", 10.0))
                world.write("1", 40)
            else:
                world.do(("delete_all",))
            world.do(("go_on", 30.0))
            assert world._ledger.decisions.hold(world._mirror.id) is not None
            world.do(("discard",))
            told = len(world.events)
            world.later(steps, ("crash",))
            world.do(("go_on", 5.0))
            died += not world.running
            for op in (("start",), ("go_on", 400.0)):
                world.do(op)
            world._later.clear()
            for op in (("start",), ("go_on", 400.0)):
                world.do(op)
            assert set(world._published()) == {"1", "a/1", "a/2", "b/1"}, steps
            assert EventKind.HELD not in {event.kind for event in world.events[told:]}
            assert world._ledger.decisions.hold(world._mirror.id) is None
            assert world._ledger.mappings.totals(world._mirror.id).files == (home == "another")
            # It is over: what is deleted now is deleted at the server.
            world.write("2", 20)
            world.do(("go_on", 30.0))
            world.do(("restart",))
            world.do(("go_on", 30.0))
            world.drop.delete("2")
            world.do(("go_on", 30.0))
            assert "2" not in world._published()
    assert died > 1


def test_an_approval_is_for_good_wherever_the_daemon_dies_after_its_answer():
    died = 0
    for steps in moments(40):
        with begun() as world:
            world.do(("delete_all",))
            world.do(("go_on", 30.0))
            world.do(("approve",))
            told = len(world.events)
            world.later(steps, ("crash",))
            world.do(("go_on", 30.0))
            died += not world.running
            world._later.clear()
            for op in (("start",), ("go_on", 400.0)):
                world.do(op)
            assert not world._published(), steps
            assert EventKind.HELD not in {event.kind for event in world.events[told:]}, steps
            # It is over: files of the same names are protected like others.
            assert not world._ledger.decisions.approved(world._mirror.id)
            for path in ("1", "a/1", "a/2", "b/1"):
                world.drop.make_folder(path.rpartition("/")[0])
                world.write(path, 30)
            world.do(("go_on", 70.0))
            world.do(("delete_all",))
            world.do(("restart",))
            world.do(("go_on", 30.0))
            assert world._published().keys() == {"1", "a/1", "a/2", "b/1"}
    assert died > 3


@pytest.mark.parametrize("ending", ["crash", "restart"])
def test_an_approval_is_over_when_the_files_are_back(ending: str):
    with begun() as world:
        world.do(("delete_all",))
        world.do(("go_on", 30.0))
        world.do(("offline",))
        for op in (("approve",), ("crash",), ("start",), ("write_all",), ("go_on", 30.0)):
            world.do(op)
        assert not world._ledger.decisions.approved(world._mirror.id)
        world.do(("online",))
        world.do(("go_on", 400.0))
        world.do(("delete_all",))
        world.do((ending,))
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert world._published().keys() == {"1", "a/1", "a/2", "b/1"}
        assert world._ledger.decisions.hold(world._mirror.id) is not None


def delete(world: World, *paths: str) -> None:
    for path in paths:
        world.do(("delete", world._paths().index(path)))


def test_a_discard_is_over_though_another_folder_came_and_went_before_all_was_looked_at():
    """Until the next rescan, everything that was deleted here stayed at the server."""
    with begun() as world:
        for op in (("vanish", "beside"), ("go_on", 10.0), ("discard",), ("come_back",), ("go_on", 10.0)):
            world.do(op)
        for op in (("vanish", "beside"), ("go_on", 30.0)):
            world.do(op)
        assert world._ledger.decisions.hold(world._mirror.id) is None
        assert not world._ledger.decisions.discarding(world._mirror.id)


def test_a_reload_begins_no_new_minute_for_deletes():
    """Two go out, and two more after a reload: together more than are allowed at once."""
    with begun() as world:
        delete(world, "1", "a/1")
        world.do(("go_on", 15.0))
        assert world._published().keys() == {"a/2", "b/1"}
        world.do(("exclude", ("nothing",)))
        delete(world, "a/2", "b/1")
        world.do(("go_on", 15.0))
        assert world._published().keys() == {"a/2", "b/1"}
        hold = world._ledger.decisions.hold(world._mirror.id)
        assert hold is not None
        assert "2 files were deleted at once, and 2 in the minute before" in hold.message
        world.do(("approve",))
        world.come_to_rest()
        assert not world._published()


def test_deletes_that_a_reload_takes_back_are_not_counted_twice():
    with begun() as world:
        world.do(("offline",))
        delete(world, "1", "a/1")
        for op in (("go_on", 15.0), ("exclude", ("nothing",)), ("go_on", 15.0), ("online",), ("go_on", 60.0)):
            world.do(op)
        assert world._published().keys() == {"a/2", "b/1"}
        assert world._ledger.decisions.hold(world._mirror.id) is None


def test_an_approval_that_a_crash_cut_off_is_not_about_what_was_deleted_since():
    with begun() as world:
        for path in ("c/1", "c/2", "c/3", "c/4"):
            world.drop.make_folder("c")
            world.write(path, 20)
        world.do(("go_on", 10.0))
        for path in ("1", "a/1", "a/2", "b/1"):
            world.drop.delete(path)
        world.do(("go_on", 30.0))
        world.do(("offline",))
        world.do(("approve",))
        world.do(("crash",))
        world.do(("delete_all",))
        world.do(("online",))
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert world._mirror.removals.held >= 4
        assert {"c/1", "c/2", "c/3", "c/4"} <= world._published().keys()


def test_an_approval_of_what_is_no_longer_ours_is_over():
    with begun() as world:
        world.do(("edit_there", "a/1"))
        for path in ("1", "a/1", "a/2", "b/1"):
            world.drop.delete(path)
        world.do(("go_on", 30.0))
        world.do(("offline",))
        world.do(("approve",))
        assert {path for path, _, _ in world._ledger.decisions.approved(world._mirror.id)} == {"1", "a/1", "a/2", "b/1"}
        world.do(("exclude", ("a/",)))
        world.do(("go_on", 30.0))
        assert {path for path, _, _ in world._ledger.decisions.approved(world._mirror.id)} == {"1", "b/1"}


def test_an_approval_outlives_deletes_that_the_server_refused_for_a_while():
    with begun() as world:
        world.do(("delete_all",))
        world.do(("go_on", 30.0))
        for path in world._published():
            world.server.fail("DELE", NameRefusedError("Permission denied."), path=f"{BASE}/{path}")
        world.do(("approve",))
        told = len(world.events)
        world.do(("go_on", 400.0))
        assert not world._published()
        assert EventKind.HELD not in {event.kind for event in world.events[told:]}


def test_an_approved_delete_of_a_changed_file_outlives_a_crash():
    with begun() as world:
        world.do(("edit_there", "1"))
        world.drop.delete("1")
        world.do(("go_on", 30.0))
        assert world._ledger.failures.changed_at_server(world._mirror.id) == ["1"]
        world.do(("offline",))
        world.do(("approve",))
        world.do(("crash",))
        world.do(("online",))
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert "1" not in world._published()
        assert not world._ledger.decisions.approved(world._mirror.id)


def test_a_discard_that_a_crash_cut_off_forgets_nothing_while_the_disk_is_not_mounted():
    with begun() as world:
        world.do(("delete_all",))
        world.write("2", 20)
        world.do(("go_on", 30.0))
        world.do(("discard",))
        world.do(("crash",))
        world.do(("vanish", "disk"))
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert world._ledger.mappings.totals(world._mirror.id).files == 5
        world.do(("come_back",))
        world.do(("go_on", 400.0))
        assert world._ledger.mappings.totals(world._mirror.id).files == 1
        assert world._published().keys() == {"1", "a/1", "a/2", "b/1", "2"}


@pytest.mark.parametrize("killed", [False, True])
def test_what_was_sent_of_another_folder_stays_though_ours_is_back_and_its_directory_has_another_name(*, killed: bool):
    """Whether it had arrived was known only when the directory was renamed at the server, with that in it."""
    with begun() as world:
        world.do(("vanish", "beside"))
        world.all(("make_folder", "a"), ("go_on", 30.0), ("write", "a/new", 200))
        world.all(
            ("fault_after", "RNTO", "unavailable", 1), ("upon", "RNTO", ("later", 1, ("offline",))), ("go_on", 10.0)
        )
        assert "a/new" in world._published()
        world.all(("come_back",), ("go_on", 30.0))
        if killed:
            world.all(("crash",), ("start",))
        world.drop.rename("a", "c")
        world.all(("go_on", 5.0), ("online",), ("go_on", 400.0))
        assert "c/new" in world._published()
        assert world._mirror.removals.hold is not None
        assert world._mirror.removals.hold.kind is HoldKind.TWO_SOURCES


@pytest.mark.parametrize("gone", ["1", "a"], ids=["a file", "a folder"])
@pytest.mark.parametrize("killed", [False, True])
def test_another_version_that_was_sent_of_another_folder_stays_though_the_file_is_gone_from_ours(
    gone: str, *, killed: bool
):
    """Whether it had arrived was not asked where something was published before: it was deleted in place of that."""
    path = "a/1" if gone == "a" else gone
    with begun() as world:
        world.drop.delete(gone)
        world.all(("vanish", "beside"), ("go_on", 30.0), ("make_folder", "a"), ("write", path, 200))
        world.all(("fault_after", "RNTO", "unavailable", 1), ("upon", "RNTO", ("later", 1, ("offline",))))
        world.all(("go_on", 10.0), ("come_back",))
        if killed:
            world.all(("crash",), ("start",))
        world.all(("go_on", 30.0), ("online",), ("go_on", 400.0))
        assert len(world._published()[path]) > 100
        assert world._mirror.removals.hold is not None
        assert world._mirror.removals.hold.kind is HoldKind.TWO_SOURCES
        world.all(("approve",), ("go_on", 400.0))
        assert path not in world._published()
        assert world._mirror.removals.hold is None


@pytest.mark.parametrize("refused", ["refused", "broken"])
@pytest.mark.parametrize("gone", ["1", "a"], ids=["a file", "a folder"])
def test_another_version_that_was_sent_of_another_folder_stays_where_the_server_would_not_settle_what_it_has(
    gone: str, refused: str
):
    """What was left under its temporary name could not be deleted, once: then what had arrived was, unasked."""
    path = "a/1" if gone == "a" else gone
    with begun() as world:
        world.drop.delete(gone)
        world.all(("vanish", "beside"), ("go_on", 30.0), ("make_folder", "a"), ("write", path, 200))
        world.all(("fault_after", "RNTO", "unavailable", 1), ("upon", "RNTO", ("later", 1, ("offline",))))
        world.all(("go_on", 10.0), ("come_back",), ("fault", "DELE", refused, 1))
        world.all(("go_on", 30.0), ("online",), ("go_on", 400.0))
        assert len(world._published()[path]) > 100
        assert world.why(path).state == "held"


@pytest.mark.parametrize("killed", [False, True])
def test_what_did_not_arrive_of_another_folder_keeps_nothing_from_being_deleted(*, killed: bool):
    with begun() as world:
        world.drop.delete("1")
        world.all(("vanish", "beside"), ("go_on", 30.0), ("write", "1", 200))
        world.all(("fault_after", "STOR", "unavailable", 1), ("upon", "STOR", ("later", 1, ("offline",))))
        world.all(("go_on", 10.0), ("come_back",))
        if killed:
            world.all(("crash",), ("start",))
        world.all(("go_on", 30.0), ("online",), ("go_on", 400.0))
        assert world._published().keys() == {"a/1", "a/2", "b/1"}
        assert world._mirror.removals.hold is None


@pytest.mark.parametrize("killed", [False, True])
def test_a_discard_keeps_also_what_was_sent_of_another_folder_and_is_not_known_yet_to_have_arrived(*, killed: bool):
    """It was at the server when somebody said that all is to stay there, and deleted as soon as that was known."""
    with begun() as world:
        world.all(("vanish", "beside"), ("go_on", 30.0), ("write", "early", 20), ("go_on", 10.0), ("write", "new", 200))
        world.all(("fault_after", "RNTO", "unavailable", 1), ("upon", "RNTO", ("later", 1, ("offline",))))
        world.all(("go_on", 10.0), ("come_back",), ("go_on", 30.0), ("discard",), ("go_on", 30.0))
        assert "new" in world._published()
        if killed:
            world.all(("crash",), ("start",))
        world.all(("online",), ("go_on", 400.0))
        assert {"early", "new"} <= world._published().keys()
        assert world._mirror.removals.hold is not None
        world.all(("discard",), ("go_on", 400.0))
        assert {"early", "new"} <= world._published().keys()
        assert world._mirror.removals.hold is None


@pytest.mark.parametrize("away", ["disk", "beside"])
@pytest.mark.parametrize("killed", [False, True])
def test_a_discard_keeps_also_what_was_sent_of_the_folder_before_and_is_not_known_yet_to_have_arrived(
    away: str, *, killed: bool
):
    """The other way round: ours is away, and the folder in its place accepted, before the server tells."""
    with begun() as world:
        world.all(("write", "new", 200), ("fault_after", "RNTO", "unavailable", 1))
        world.all(("upon", "RNTO", ("later", 1, ("offline",))), ("go_on", 10.0))
        world.all(("vanish", away), ("go_on", 30.0), ("discard",), ("go_on", 30.0))
        published = world._published().keys()
        assert "new" in published
        if killed:
            world.all(("crash",), ("start",))
        world.all(("online",), ("go_on", 400.0))
        assert world._published().keys() == published
        assert world._mirror.removals.hold is not None
        world.all(("discard",), ("go_on", 400.0))
        assert world._published().keys() == published
        assert world._mirror.removals.hold is None


@pytest.mark.parametrize("away", ["disk", "beside"])
def test_the_first_files_are_not_deleted_either_when_they_turn_out_to_have_arrived_after_their_folder_has_gone(
    away: str,
):
    """Nothing was recorded yet that could be lost, so that the folder in its place is the published one unasked."""
    with World() as world:
        world.all(("write", "new", 200), ("fault_after", "RNTO", "unavailable", 1))
        world.all(("upon", "RNTO", ("later", 1, ("offline",))), ("go_on", 10.0), ("vanish", away), ("go_on", 30.0))
        world.all(("online",), ("go_on", 400.0))
        assert world._published().keys() == {"new"}
        assert world._mirror.removals.hold is not None
        assert world._mirror.removals.hold.kind is HoldKind.TWO_SOURCES
        world.all(("approve",), ("go_on", 400.0))
        assert not world._published()


@pytest.mark.parametrize("away", ["disk", "beside", "nowhere"])
@pytest.mark.parametrize("start", [(), (("restart",),), (("crash",), ("start",))], ids=["it runs", "restart", "crash"])
def test_a_mass_delete_is_held_for_a_person_also_when_another_folder_has_come_and_gone(start: Sequence[Op], away: str):
    """As at a boot at which a disk is mounted late: what was too much with the minute before would not be by then."""
    with begun() as world:
        for first, second in (("1", "a/1"), ("a/2", "b/1")):
            world.drop.delete(first)
            world.drop.delete(second)
            world.do(("go_on", 10.0))
        held = world._mirror.removals.hold
        assert held is not None
        assert held.kind is HoldKind.MASS_DELETE
        world.all(("vanish", away), ("go_on", 30.0), *start, ("go_on", 100.0), ("come_back",), ("go_on", 400.0))
        assert world._published().keys() == {"a/2", "b/1"}
        assert world._mirror.removals.hold is not None
        assert world._mirror.removals.hold[::2] == held[::2]
        world.all(("approve",), ("go_on", 30.0))
        assert not world._published()
        assert world._ledger.decisions.behind(world._mirror.id) is None


def test_a_discard_is_also_about_what_is_looked_for_after_the_folder_was_away():
    with begun() as world:
        world.do(("delete_all",))
        world.do(("go_on", 30.0))
        world.do(("discard",))
        world.do(("vanish", "nowhere"))
        # No clock tells any more since when they are gone.
        world.do(("set_clock", 100.0))
        world.do(("go_on", 30.0))
        world.do(("come_back",))
        world.do(("go_on", 400.0))
        assert world._published().keys() == {"1", "a/1", "a/2", "b/1"}
        assert world._ledger.mappings.totals(world._mirror.id).files == 0


def test_deletes_that_are_refused_and_tried_again_do_not_make_a_mass_delete():
    with begun() as world:
        for path in ("1", "a/1", "a/2"):
            world.server.fail("DELE", FAULTS["broken"](), path=f"{BASE}/{path}", times=3)
            world.drop.delete(path)
        world.do(("go_on", 400.0))
        assert world._published().keys() == {"b/1"}
        assert EventKind.HELD not in {event.kind for event in world.events}


@pytest.mark.parametrize("away_s", [0.0, 600.0])
@cuts
def test_renames_that_are_cut_off_do_not_make_a_mass_delete(cut: tuple[Op, ...], away_s: float):
    """All is here under other names: a person would have been asked whether it is to stay under the old ones, too."""
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.do(("pass_time", away_s))
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert world._published().keys() >= {f"b/{name}" for name in MANY}
        assert not world._published().keys() & set(MANY)
        assert EventKind.HELD not in {event.kind for event in world.events}


def _no_mass_delete(world: World) -> None:
    world.all(("online",), ("go_on", 400.0))
    assert world._published().keys() == {"1", "a/1", "a/2", "b/1", *(f"b/{name}" for name in MANY)}
    assert EventKind.HELD not in {event.kind for event in world.events}


@pytest.mark.parametrize("sent", [False, True], ids=["is not sent", "is sent"])
@pytest.mark.parametrize("then", ["crash", "reload"])
@cuts
def test_renames_that_are_cut_off_do_not_make_a_mass_delete_after_what_comes_then(
    cut: tuple[Op, ...], then: str, *, sent: bool
):
    """What they had left behind was known to the daemon, and these settings, only under which they were cut off."""
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.do(("start",))
        if sent:
            while not {f"b/{name}" for name in MANY} <= world._published().keys():
                world.do(("go_on", 0.5))
        else:
            world.all(("offline",), ("go_on", 20.0))
        if then == "crash":
            world.all(("crash",), ("start",))
        else:
            world._reload(world.spec._replace(exclude=("*.x",)))
        _no_mass_delete(world)


@cuts
def test_renames_that_are_cut_off_do_not_make_a_mass_delete_when_what_is_sent_instead_is_cut_off_too(
    cut: tuple[Op, ...],
):
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.all(("offline",), ("start",), ("go_on", 20.0), ("upon", "STOR", ("crash",)), ("online",), ("go_on", 60.0))
        # What is there under its new name already is not sent.
        assert world.running is (cut is CUTS["done, and not heard of"])
        world.do(("start",))
        _no_mass_delete(world)


@cuts
def test_renames_that_are_cut_off_make_no_mass_delete_of_the_directory_that_was_emptied_by_them(cut: tuple[Op, ...]):
    """`mv old/* b/; rmdir old`: what the directory had held counted as deleted with it."""
    with begun() as world:
        world.make_folder("old")
        move_all(world, cut, out_of="old/")
        world.drop.delete("old")
        world.all(("go_on", 4.0), ("start",))
        _no_mass_delete(world)
        assert f"{BASE}/old" not in world.server.dirs


def test_renames_that_are_cut_off_make_no_mass_delete_where_the_folder_gets_another_name_that_the_files_are_in_by_then():
    with begun() as world:
        renamed_and_cut_off(world, CUTS["killed"])
        world.all(("start",), ("go_on", 2.0))
        assert world._published().keys() >= {*MANY, *(f"b/{name}" for name in MANY)}
        world.drop.rename("b", "new")
        world.do(("go_on", 400.0))
        assert not world._published().keys() & {*MANY, *(f"b/{name}" for name in MANY)}
        assert EventKind.HELD not in {event.kind for event in world.events}


def test_what_goes_after_its_rename_was_cut_off_counts_as_deleted():
    with begun() as world:
        renamed_and_cut_off(world, CUTS["killed"])
        for name in MANY:
            world.drop.delete(f"b/{name}")
        world.do(("start",))
        world.do(("go_on", 400.0))
        assert world._mirror.removals.held == len(MANY)
        assert EventKind.HELD in {event.kind for event in world.events}


@pytest.mark.parametrize("offline", [False, True])
def test_a_discard_is_about_a_directory_also_under_the_name_that_it_gets_before_something_has_left_it(*, offline: bool):
    """What it lacks was deleted under that name, and the decision never over: who started next went by it."""
    old, others = [f"top/old/{number}" for number in range(3)], [f"top/{number}" for number in range(6)]
    with World(max_deletes=3) as world:
        for folder in ("top", "top/old", "b"):
            world.make_folder(folder)
        for path in (*old, *others, "x", "y"):
            world.write(path, 20)
        world.do(("go_on", 30.0))
        for path in (*old[1:], "x", "y"):
            world.drop.delete(path)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == 4
        if offline:
            world.do(("offline",))
        world.drop.rename(old[0], "b/0")
        world.drop.delete("top/old")
        world.all(("go_on", 1.0), ("discard",), ("go_on", 0.2))
        assert world._ledger.decisions.discarding(world._mirror.id)
        world.drop.rename("top", "other")
        world.all(("go_on", 10.0), ("online",), ("go_on", 400.0))
        stay = {path.replace("top", "other", 1) for path in (*old[1:], *others)}
        # Renamed before anything has left it, it may keep that, too.
        assert {*stay, "b/0", "x", "y"} <= world._published().keys()
        assert not world._ledger.decisions.discarding(world._mirror.id)


@pytest.mark.parametrize("killed", [False, True])
@cuts
def test_what_a_rename_that_was_cut_off_left_stays_if_a_hold_counted_it_and_a_person_said_so(
    cut: tuple[Op, ...], *, killed: bool
):
    """It was deleted after the answer that it stays at the server, as soon as it was published under its new name."""
    gone = [f"gone{number}" for number in range(MAX_DELETES + 1)]
    with begun() as world:
        for name in gone:
            world.write(name, 20)
        world.do(("go_on", 30.0))
        renamed_and_cut_off(world, ())
        for name in MANY:
            world.drop.rename(f"b/{name}", name)
        for name in gone:
            world.drop.delete(name)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == len(gone)
        renamed_and_cut_off(world, cut)
        world.all(("start",), ("go_on", 30.0))
        absent = set(world._mirror.removals.absent.paths)
        assert absent > set(gone)
        stay = absent & world._published().keys()
        world.do(("discard",))
        if killed:
            world.all(("crash",), ("start",))
        world.do(("go_on", 400.0))
        assert world._published().keys() >= {*stay, *(f"b/{name}" for name in MANY)}
        assert not world._ledger.decisions.discarding(world._mirror.id)


def test_what_a_rename_that_was_cut_off_left_goes_when_it_has_been_gone_for_as_long_as_all_that_is_deleted():
    """What counts is when it was seen gone last: it was deleted right after a program had taken its new version away."""
    with begun() as world:
        world.write("x", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", 1))
        world.drop.rename("x", "b/x")
        world.do(("go_on", 3.0))
        assert world._published().keys() >= {"x", "b/x"}
        world.all(("begin", "x", 20), ("go_on", 3.5))
        world.drop.delete("x")
        world.do(("go_on", world.spec.delete_after_s - 1.0))
        assert "x" in world._published()
        world.do(("go_on", 30.0))
        assert "x" not in world._published()


def test_files_that_are_deleted_twice_in_a_minute_count_twice():
    with begun() as world:
        for _ in range(2):
            for path in ("1", "a/1", "a/2"):
                world.write(path, 20)
            world.do(("go_on", 10.0))
            for path in ("1", "a/1", "a/2"):
                world.drop.delete(path)
            world.do(("go_on", 10.0))
        assert world._mirror.removals.held == 3
        assert world.counts["deleted at the server"] == 3


def test_a_directory_of_which_one_file_could_not_be_deleted_is_gone_in_the_end():
    tell((("delete", 1), ("fault", "DELE", "refused", 2), ("go_on", 60.0)))


@pytest.mark.parametrize("meanwhile", [(), (("crash",), ("pass_time", 60.0))], ids=["live", "after downtime"])
def test_what_is_in_a_directory_that_is_still_to_be_renamed_is_not_deleted(meanwhile: tuple[Op, ...]):
    """What the other one holds is looked at when it is renamed at the server, which may answer much later."""
    with begun() as world:
        world.do(("go_on", 60.0))
        for op in meanwhile:
            world.do(op)
        world.drop.rename("b", "a/b/c")
        world.drop.rename("a", "d")
        world.do(("pass_time", 60.0))
        world.do(("offline",))
        world.do(("start",))
        world.do(("go_on", 60.0))
        told = len(world.events)
        world.do(("online",))
        world.come_to_rest()
        renamed = [(event.source, event.path) for event in world.events[told:] if event.kind is EventKind.RENAMED]
        assert renamed == [("a", "d"), ("b", "d/b/c")]
        assert "deleted at the server" not in world.counts
        assert not any(event.kind is EventKind.PUBLISHED for event in world.events[told:])


def test_a_part_is_removed_when_the_file_turns_out_to_be_there_already():
    """Another content is sent, that breaks off and its part cannot be deleted; then the old content is back."""
    with begun() as world:
        world.do(("move_out", 0))
        world.do(("write", "1", 20))
        world.do(("fault_after", "STOR", "broken", 1))
        world.do(("fault", "DELE", "refused", 1))
        world.do(("fault", "DELE", "refused", 1))
        world.do(("go_on", 2.5))
        assert [path for path in world.server.files if path.endswith(".filepart")]
        world.do(("delete", 0))
        world.do(("move_in", 0, "1"))
        world.do(("touch", 0))
        world.come_to_rest()
        assert EventKind.UNCHANGED in {event.kind for event in world.events}


@pytest.mark.parametrize("op", [("go_on", 10.0), ("restart",), ("write", "c", 20)], ids=["", "restarted", "a file now"])
@pytest.mark.parametrize("refused", [2, 30])
def test_a_directory_is_removed_when_a_part_of_ours_in_it_can_be_deleted(refused: int, op: Op):
    """It goes while a file of it is sent, and the server refuses to delete what it has of that."""
    with begun() as world:
        world.make_folder("c")
        world.write("c/1", 200)
        world.server.fail("DELE", FAULTS["refused"](), times=refused)
        world.do(("upon", "SIZE", ("delete", 7)))
        world.do(("go_on", 10.0))
        world.do(op)
        world.do(("go_on", 60.0))
        assert (f"{BASE}/c" in world.server.dirs) is (refused > 2)
        assert ("The directory is not empty at the server" in world.why("c").sentence) is (refused > 2)
        world.server._faults.clear()
        world.do(("go_on", 7200.0))
        assert f"{BASE}/c" not in world.server.dirs
        world.come_to_rest()


@pytest.mark.parametrize("runs", [False, True], ids=["nothing runs", "a daemon runs"])
def test_what_is_excluded_when_its_directory_is_gone_stays_at_the_server(*, runs: bool):
    """It was deleted with the directory, into which nobody looks any more, and counted against `max_deletes`."""
    with begun() as world:
        world.write("a/b/3", 20)
        world.write("a/b/4", 20)
        world.do(("go_on", 10.0))
        if not runs:
            world.quit()
        world.drop.delete("a")
        if runs:
            world.do(("go_on", 2.0))
        world.exclude(("a/2", "a/b/"))
        world.start()
        world.do(("go_on", 60.0))
        assert world._mirror.removals.hold is None
        assert {path for path in world._published() if path.startswith("a/")} == {"a/2", "a/b/3", "a/b/4"}
        assert not {path for path, _ in world._ledger.walk(world._mirror.id) if path.startswith("a")}
        assert [event.path for event in world.events if event.kind is EventKind.FORGOTTEN] == ["a/2", "a/b"]
        left = next(event.message for event in world.events if event.kind is EventKind.REMOVED)
        assert left.endswith("it holds files that are not, or no longer, ftpsyncd's")


def test_what_came_from_a_folder_that_cannot_be_read_any_more_is_published():
    """Whether it is there still cannot be told: it was taken for a file that cannot be read, and parked after a day."""
    with begun() as world:
        world.drop.rename("a/1", "c")
        world.drop.lock("a")
        world.do(("go_on", 60.0))
        published = world._published()
        assert published["c"] == published["a/1"]
        assert "c" not in {path for path, _ in world._ledger.failures.worst(world._mirror.id, 10)}
        world.come_to_rest()


def test_what_is_left_out_while_its_directory_gets_the_name_that_is_left_out_stays_at_the_server():
    """Also the version of a file that is not here any more."""
    with begun() as world:
        world.all(("write", "a/1", 100), ("rename", 1, "c"), ("upon", "RNTO", ("exclude", ("c/",))), ("go_on", 30.0))
        assert {f"{BASE}/c/1", f"{BASE}/c/2"} <= world.server.files.keys()
        world.come_to_rest()


def test_what_others_made_of_a_file_is_not_published_under_its_new_name():
    """It was edited at the server, and got another name here."""
    with begun() as world:
        ours = world._published()["1"]
        world.do(("edit_there", "1"))
        theirs = world._published()["1"]
        world.drop.rename("1", "9")
        world.do(("go_on", 60.0))
        assert (world._published()["1"], world._published()["9"]) == (theirs, ours)
        assert world._ledger.failures.changed_at_server(world._mirror.id) == ["1"]
        world.do(("approve",))
        world.do(("go_on", 60.0))
        assert (world._published().get("1"), world._published()["9"]) == (None, ours)


def test_what_others_put_into_our_directories_stays():
    world = tell((*(("put_foreign", which) for which in range(5)), ("delete", 1), ("go_on", 60.0)))
    assert len(world.foreign) == 5


@pytest.mark.parametrize("replaces", [True, False])
def test_a_directory_that_is_renamed_takes_no_foreign_files_place(replaces: bool):  # noqa: FBT001 - a case
    with begun(replaces=replaces) as world:
        foreign = put_foreign(world, "c")
        world.do(("rename", 1, "c"))
        world.do(("go_on", 400.0))
        assert world.server.files[foreign].content in world.foreign
        world.foreign.clear()
        del world.server.files[foreign]
        world.come_to_rest()
        assert f"{BASE}/c/1" in world.server.files


@pytest.mark.parametrize("op", [("write", "2", 20), ("rename", 0, "2")])
def test_a_foreign_file_that_is_to_be_kept_is_replaced_by_nothing(op: Op):
    with begun(existing=ExistingPolicy.KEEP) as world:
        foreign = put_foreign(world, "2")
        world.do(op)
        world.do(("go_on", 400.0))
        assert world.events[-1].kind is (EventKind.KEPT if op[0] == "write" else EventKind.DELETED)
        del world.server.files[foreign]
        world.foreign.clear()
        world.come_to_rest()


def test_a_foreign_file_that_was_to_be_kept_is_replaced_when_the_policy_is_another_one():
    """As the failure advises; nobody says `retry`."""
    with begun(existing=ExistingPolicy.KEEP) as world:
        foreign = put_foreign(world, "2")
        world.do(("write", "2", 20))
        world.do(("go_on", 400.0))
        assert world.server.files[foreign].content in world.foreign
        world.foreign.clear()
        world._reload(world.spec._replace(existing=ExistingPolicy.OVERWRITE))
        world.do(("go_on", 10.0))
        assert world.server.files[foreign].content == world.drop.files()["2"]
        world.come_to_rest()


@pytest.mark.parametrize("dates", [True, False])
@pytest.mark.parametrize("op", [("write", "2", 20), ("rename", 0, "2")])
@pytest.mark.parametrize("trouble", [("crash",), ("fault_after", "*", "unavailable", 1)])
def test_what_arrived_without_our_hearing_of_it_is_no_foreign_file(op: Op, trouble: Op, *, dates: bool):
    """Also where the server sets no dates: then it has what we would send."""
    for steps in moments(STEPS):
        with begun(existing=ExistingPolicy.KEEP) as world:
            world.server.dates = dates
            world.later(steps, trouble)
            world.do(op)
            world.do(("go_on", 30.0))
            world.do(("start",))
            world.do(("go_on", 30.0))
            world.do(("write", "2", 40))
            world.come_to_rest()
            assert EventKind.KEPT not in {event.kind for event in world.events}


def test_the_old_version_of_a_file_is_published_again_when_its_place_was_made_free_in_vain():
    """The server had deleted it, and refused the new one its name; then it was put back."""
    with begun(replaces=False) as world:
        before = world._published()["1"]
        world.do(("move_out", 0))
        world.do(("write", "1", 20))
        world.server.fail("RNTO", FAULTS["refused"](), times=2)
        world.do(("go_on", 2.5))
        assert "1" not in world._published()
        world.drop.delete("1")
        world.do(("move_in", 0, "1"))
        world.do(("go_on", 100.0))
        assert world._published()["1"] == before
        world.come_to_rest()


@pytest.mark.parametrize("touched", [False, True])
def test_an_empty_directory_that_was_refused_is_made_at_its_next_try(*, touched: bool):
    """Whoever looked at it meanwhile, or a moment too early, had it forgotten until the next rescan."""
    with begun(empty_dirs=True) as world:
        # Each try is two commands: perhaps the one above was missing.
        world.do(("fault", "MKD", "refused", 1))
        world.do(("fault", "MKD", "refused", 1))
        world.do(("make_folder", "new"))
        world.do(("go_on", 0.5))
        assert f"{BASE}/new" not in world.server.dirs
        if touched:
            world.drop._tell("new")
        world.do(("go_on", 10.0))
        assert f"{BASE}/new" in world.server.dirs
        assert not world._ledger.failures.worst(world._mirror.id, 1)


@pytest.mark.parametrize("within", [("online",), ("write", "d/1", 20)], ids=["empty", "with a file"])
@pytest.mark.parametrize("op", [("write", "d", 20), ("rename", 0, "d")], ids=["sent", "renamed"])
def test_a_directory_takes_the_place_of_a_file_that_arrived_without_our_hearing_of_it(op: Op, within: Op):
    """The server refused it for ever: what was known of the file was forgotten when the directory was begun."""
    for steps in moments(STEPS):
        with begun(empty_dirs=True) as world:
            world.do(("fault_after", "RNTO", "unavailable", 1))
            world.do(op)
            for later in (("delete", world._paths().index("d")), ("make_folder", "d"), within):
                world.later(steps, later)
            world.do(("go_on", 30.0))
            world.come_to_rest()
            assert f"{BASE}/d" in world.server.dirs or not world.drop.is_folder("d")


@pytest.mark.parametrize("name", ["a/3", "a/1"], ids=["other files", "the same names"])
def test_a_directory_that_was_renamed_without_our_hearing_of_it_is_followed_where_it_went_on(name: str):
    """There was no connection to ask with, and by then it has a third name, and another one its first."""
    with begun() as world:
        world.all(("fault", "CONNECT", "unavailable", 1), ("fault_after", "RNTO", "unavailable", 1), ("rename", 1, "c"))
        world.do(("go_on", 2.3))
        world.all(("rename", world._paths().index("c"), "d"), ("make_folder", "a"), ("write", name, 20))
        world.come_to_rest()


def test_nothing_is_asked_again_and_again_while_a_file_in_the_way_may_not_go():
    with begun() as world:
        world.do(("delete_all",))
        world.do(("make_folder", "1"))
        world.do(("write", "1/1", 20))
        world.do(("go_on", 30.0))
        before = world.counts.get("looks", 0)
        world.do(("go_on", 400.0))
        assert world.counts.get("looks", 0) - before < 10


def test_a_file_that_is_back_in_time_is_not_deleted():
    with begun() as world:
        world.do(("move_out", 6))
        world.do(("go_on", 4.0))
        world.do(("move_in", 0, "b/1"))
        world.do(("go_on", 30.0))
        assert "deleted at the server" not in world.counts
        world.come_to_rest()
        assert f"{BASE}/b/1" in world.server.files


def test_what_a_directory_lacks_that_takes_the_place_of_another_waits_as_all_that_is_gone():
    """It was prepared an hour ago, and the published one was there until a moment ago."""
    with begun() as world:
        world.spec = world.spec._replace(delete_after_s=600.0, exclude=("/new/",))
        world.do(("restart",))
        world.make_folder("new")
        world.make_folder("new/b")
        for path in ("a/b/1", "a/b/2", "new/1", "new/2", "new/b/1"):
            world.write(path, 20)
        world.do(("go_on", 3600.0))
        world.drop.move_out("a")
        world.drop.rename("new", "a")
        world.do(("go_on", 500.0))
        assert "a/b/2" in world._published()
        assert world._published()["a/b/1"] == world.drop.files()["a/b/1"]
        world.do(("go_on", 200.0))
        assert "a/b/2" not in world._published()
        world.come_to_rest()


CLOCK_SET_S = (4000.0, -4000.0, 400 * 86400.0, -400 * 86400.0)


@pytest.mark.parametrize("set_s", CLOCK_SET_S)
def test_what_failed_in_an_earlier_run_is_tried_at_once_when_the_clock_was_set(set_s: float):
    """Its next try is due by the clock as it is now, or of a time that nobody can tell any more."""
    with begun() as world:
        world.server.fail("STOR", FAULTS["broken"](), times=1000)
        world.do(("write", "2", 20))
        world.do(("go_on", 5000.0))
        world.do(("restart",))
        world.do(("go_on", 30.0))
        world.server._faults.clear()
        world.do(("set_clock", set_s))
        world.do(("go_on", 60.0))
        assert f"{BASE}/2" in world.server.files


@pytest.mark.parametrize("set_s", CLOCK_SET_S)
def test_what_failed_is_tried_when_it_would_have_been_though_the_clock_was_set(set_s: float):
    with begun() as world:
        world.server.fail("STOR", FAULTS["broken"](), times=1000)
        world.do(("write", "2", 20))
        world.do(("go_on", 5000.0))
        failure = world._ledger.failures.of(world._mirror.id, "2")
        assert failure is not None
        left_s = (failure.next_try_ns - world.time.wall_ns()) / 1e9
        assert left_s > 60
        world.server._faults.clear()
        world.do(("set_clock", set_s))
        world.do(("go_on", left_s - 10))
        assert f"{BASE}/2" not in world.server.files
        world.do(("go_on", 30.0))
        assert f"{BASE}/2" in world.server.files


@pytest.mark.parametrize("set_s", [0.0, 4000.0, 400 * 86400.0])
def test_what_is_gone_waits_for_delete_after_though_the_clock_was_set_forward_meanwhile(set_s: float):
    """A machine that starts with its clock behind, whose disk comes after the network: stamps tell of another time."""
    with begun() as world:
        world.spec = world.spec._replace(delete_after_s=600.0)
        world.do(("crash",))
        world.drop.delete("a/1")
        deleted_ns = time.time_ns()
        until(lambda: time.time_ns() > deleted_ns + COARSE_NS, "the stamp of that is before what follows")
        world.do(("vanish", "nowhere"))
        world.do(("start",))
        world.do(("go_on", 300.0))
        world.do(("set_clock", set_s))
        world.do(("go_on", 30.0))
        world.do(("come_back",))
        world.do(("go_on", 150.0))
        assert "a/1" in world._published()
        world.do(("go_on", 600.0 if set_s else 150.0))
        assert "a/1" not in world._published()


def test_what_is_excluded_while_it_is_sent_is_not_sent_again():
    with begun() as world:
        world.upon("STOR", ("exclude", ("2",)))
        world.do(("fault", "STOR", "unavailable", 1))
        world.do(("write", "2", 20))
        world.do(("go_on", 60.0))
        assert f"{BASE}/2" not in world.server.files
        world.come_to_rest()
        assert f"{BASE}/2" not in world.server.files


@pytest.mark.parametrize("verb", ["MLST", "DELE"])
def test_what_is_to_be_kept_while_it_is_being_deleted_is_not_tried_again(verb: str):
    with begun() as world:
        world.upon(verb, ("keep",))
        world.do(("fault", verb, "unavailable", 1))
        world.do(("delete", 0))
        world.do(("go_on", 60.0))
        assert "keep" in world.counts
        world.come_to_rest()
        assert f"{BASE}/1" in world.server.files


@pytest.mark.parametrize(
    ("verb", "failing", "change"),
    [
        ("RNTO", ("write", "1", 20), ("write", "1", 30)),
        ("RNTO", ("write", "1", 20), ("delete", 0)),
        ("DELE", ("delete", 0), ("write", "1", 30)),
    ],
)
def test_a_change_to_what_failed_is_not_left_until_its_next_try(verb: str, failing: Op, change: Op):
    """Also when something had it looked at since, as a start does."""
    with begun() as world:
        world.server.fail(verb, FAULTS["full"](), path=f"{BASE}/1")
        world.do(failing)
        world.do(("go_on", 10.0))
        world.do(("restart",))
        world.do(("go_on", 10.0))
        assert "1" in world._mirror.waits.pending
        world.do(change)
        world.do(("go_on", 30.0))
        assert world._published().get("1") == world.drop.files().get("1")


def test_a_leftover_is_swept_beside_a_mapping_that_is_paused():
    with begun() as world:
        world.upon("RNTO", ("crash",))
        world.do(("write", "2", 200))
        world.do(("go_on", 30.0))
        world.do(("delete", 1))
        world.do(("start",))
        queue = world._mirror.queue
        queue.suspend("paused", suspended=True)
        queue.offer(MakeDir("paused", "2", 1))
        assert any(path.endswith(SUFFIX) for path in world.server.files)
        world.do(("go_on", 300.0))
        assert not any(path.endswith(SUFFIX) for path in world.server.files)


def test_a_leftover_of_a_mapping_that_is_paused_waits_for_its_end():
    with begun() as world:
        world.upon("RNTO", ("crash",))
        world.do(("write", "2", 200))
        world.do(("go_on", 30.0))
        world.do(("delete", 1))
        world.do(("start",))
        world.do(("pause",))
        world.do(("go_on", 300.0))
        assert world._mirror.queue.idle
        world.come_to_rest()


@pytest.mark.parametrize(
    "content", [b"somebody else's", b"somebody else's file!"], ids=["another size", "another date"]
)
def test_a_foreign_file_under_the_name_of_one_that_never_arrived_stays(content: bytes):
    killed = 0
    for steps in moments(STEPS):
        with begun() as world:
            world.later(steps, ("crash",))
            world.do(("write", "2", 20))
            world.do(("go_on", 5.0))
            if not world.running and f"{BASE}/2" not in world.server.files:
                killed += 1
                world.do(("delete", 1))
                assert not world.drop.exists("2")
                world.server.files[f"{BASE}/2"] = MemoryFile(content, 1)
                world.do(("start",))
                world.do(("go_on", 400.0))
                assert world.server.files[f"{BASE}/2"].content == content
    assert killed > 1


def test_of_what_was_published_there_is_the_receipt_and_of_what_failed_the_servers_words():
    with begun() as world:
        said = world.why("1")
        assert said.receipt is not None
        size = len(world.server.files[f"{BASE}/1"].content)
        assert (said.receipt.kind, said.receipt.path, said.receipt.size) == ("published", "1", size)
        assert said.sentence.startswith(f"published {said.receipt.at}, {size} bytes")
        assert said.sentence.endswith(f", sha256 {said.receipt.sha256}")
        assert len(said.receipt.sha256) == 64
        world.do(("rename", 0, "2"))
        world.do(("go_on", 30.0))
        said = world.why("2")
        assert said.receipt is not None
        assert (said.receipt.kind, said.receipt.source) == ("renamed", "1")
        assert said.sentence.startswith(f"published as 1, renamed {said.receipt.at}, {size} bytes, sha256 ")
        world.do(("lose_history",))
        said = world.why("2")
        assert (said.state, said.receipt) == ("published", None)
        assert f", {size} bytes, sha256 " in said.sentence
        world.server.fail("STOR", FAULTS["broken"](), times=3)
        world.do(("write", "2", 40))
        world.do(("go_on", 5.0))
        said = world.why("2")
        assert said.state == "failed"
        assert "(the server said: 426 Aborted.)" in said.sentence
        assert said.receipt is not None
        assert (said.receipt.kind, said.receipt.attempts) == ("failed", said.details["attempts"])
        world.do(("write", "2", 60))
        world.do(("go_on", 0.5))
        said = world.why("2")
        assert said.state == "settling"
        assert "(the server said: 426 Aborted.)" in said.sentence
        world.do(("go_on", 60.0))
        said = world.why("2")
        assert said.state == "published"
        assert said.receipt is not None
        assert said.receipt.attempts > 1
        assert f", after {said.receipt.attempts} tries, " in said.sentence
        world.server.fail("DELE", FAULTS["broken"](), times=4)
        world.do(("delete", 0))
        world.do(("go_on", 5.5))
        said = world.why("2")
        assert said.state == "failed"
        assert said.sentence.startswith("it is gone here, and still at the server: ")
        assert "(the server said: 426 Aborted.)" in said.sentence
        world.do(("go_on", 2.0))
        said = world.why("2")
        assert said.state == "settling"
        assert "(the server said: 426 Aborted.)" in said.sentence


def test_for_every_delay_there_is_a_sentence():
    with begun() as world:
        assert world.why("1").state == "published"
        world.do(("write", "1", 20))
        world.do(("go_on", 0.5))
        assert "it changed a moment ago and has to be quiet for " in world.why("1").sentence
        world.do(("offline",))
        world.do(("go_on", 60.0))
        assert "The server is down" in world.why("1").sentence
        world.do(("online",))
        world.do(("go_on", 400.0))
        assert world.why("1").state == "published"
        world.do(("delete", 6))
        world.do(("go_on", 1.0))
        assert "deleted at the server in" in world.why("b/1").sentence
        world.do(("write", "b/2", 20))
        world.do(("go_on", 60.0))
        world.do(("delete_all",))
        world.do(("go_on", 60.0))
        assert "approve" in world.why("1").sentence
        world.do(("vanish", "nowhere"))
        world.do(("go_on", 60.0))
        assert "until it can be read" in world.why("1").sentence


@pytest.mark.parametrize("deletes", [DeletePolicy.MIRROR, DeletePolicy.TRASH])
def test_a_directory_whose_place_a_link_takes_is_gone(deletes: DeletePolicy):
    """What is behind a link that is not followed is not what was published, whatever a look at its path finds."""
    with begun(deletes=deletes) as world:
        world.drop.rename("a", "c")
        Path(world.drop.local("a")).symlink_to("c")
        world.lose_events()
        world.do(("go_on", 300.0))
        assert {"c/1", "c/2"} <= world._published().keys()
        Path(world.drop.local("b")).rename(world.drop.place / "elsewhere")
        Path(world.drop.local("b")).symlink_to(world.drop.place / "elsewhere")
        Path(world.drop.local("c")).rename(world.drop.place / "further")
        Path(world.drop.local("c")).symlink_to("c")
        world.lose_events()
        world.do(("go_on", 300.0))
        world.do(("approve",))
        world.do(("go_on", 300.0))
        assert world._published().keys() == {"1"}
        assert world.server.dirs & {f"{BASE}/{name}" for name in "abc"} == set()


def test_what_was_published_through_links_goes_when_they_are_not_followed_any_more():
    with World(follow_symlinks=True) as world:
        world.make_folder("a")
        world.write("a/1", 20)
        Path(world.drop.local("link")).symlink_to("a")
        world.lose_events()
        world.do(("go_on", 30.0))
        assert "link/1" in world._published()
        world._reload(world.spec._replace(follow_symlinks=False))
        world.lose_events()
        world.do(("go_on", 300.0))
        assert world._published().keys() == {"a/1"}


def test_a_rename_that_waits_takes_along_only_what_was_planned():
    """What was published comes back under another name while another file is sent under the old one, and deleted."""
    for steps in moments(20, 2 * STEPS):
        with begun() as world:
            world.do(("move_out", 0))
            world.do(("write", "1", 1000))
            for op in (("move_in", 0, "c"), ("deliver",), ("turn",), ("look",), ("turn",)):
                world.later(20, op)
            world.later(steps, ("delete", 0))
            world.do(("go_on", 30.0))
            world.come_to_rest()


def test_two_files_that_change_names_while_programs_have_them_open_keep_nobody_busy():
    with begun() as world:
        one, other, spare = (Path(world.drop.local(path)) for path in ("a/1", "a/2", "a/x"))
        with one.open("r+b"), other.open("r+b"):
            one.rename(spare)
            other.rename(one)
            spare.rename(other)
            world.lose_events()
            looks = world.counts["looks"]
            world.do(("go_on", 60.0))
            assert world.counts["looks"] - looks < 100
        world.come_to_rest()


@pytest.mark.parametrize("kind", ["refused", "broken"])
def test_an_approval_outlives_the_refused_deletes_of_single_files(kind: str):
    with begun() as world:
        files = [f"f{number}" for number in range(MAX_DELETES + 2)]
        for path in files:
            world.write(path, 20)
        world.do(("go_on", 30.0))
        for path in files:
            world.drop.delete(path)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.hold is not None
        for path in files:
            world.server.fail("DELE", FAULTS[kind](), path=f"{BASE}/{path}")
        world.do(("approve",))
        told = len(world.events)
        world.do(("go_on", 400.0))
        kinds = [event.kind for event in world.events[told:]]
        assert EventKind.FAILED in kinds
        assert EventKind.HELD not in kinds
        assert not set(files) & world._published().keys()


NAME_USED: dict[str, tuple[Op, ...]] = {
    "another file replaces it": (("rename", "b/1", "b/2"),),
    "another file replaces it twice": (("rename", "b/1", "b/2"), ("rename", "a/1", "b/2")),
    "it is deleted": (("delete", "b/2"),),
    "it is moved out of the folder": (("move_out", "b/2"),),
    "it is renamed": (("rename", "b/2", "a/b/1"),),
    "its directory is deleted": (("delete", "b"),),
    "its directory is moved out of the folder": (("move_out", "b"),),
    "its directory becomes a file": (("delete", "b"), ("write", "b", 20)),
    "its directory is renamed": (("rename", "b", "c"),),
}
"""What happens to a name by which a file was written, before anybody looks."""


@pytest.mark.parametrize("seen", ["published", "on its way", "never"])
@pytest.mark.parametrize("afterwards", NAME_USED.values(), ids=NAME_USED)
def test_a_file_of_two_names_is_published_whatever_becomes_of_the_one_it_was_written_by(
    afterwards: tuple[Op, ...], seen: str
):
    with begun() as world:
        world.drop.link("1", "b/2")
        if seen != "never":
            world.do(("go_on", 30.0 if seen == "published" else 0.0))
        world.drop.write("b/2", 100)
        if seen == "never":
            # Of a name that nobody has looked at it is not known what it was: here it is seen written at least.
            world.do(("go_on", 0.5))
        written = world.drop.files()["1"]
        for name, *arguments in afterwards:
            getattr(world.drop, str(name))(*arguments)
        world.do(("go_on", 30.0))
        assert world._published()["1"] == written
        world.come_to_rest()


@pytest.mark.parametrize("name_used", ["refused by the server", "excluded"])
def test_a_file_of_two_names_is_published_although_the_one_it_was_written_by_is_not(name_used: str):
    with begun() as world:
        world.drop.link("1", "b/2")
        world.do(("go_on", 30.0))
        if name_used == "excluded":
            world.do(("exclude", ("b/2",)))
            world.do(("go_on", 30.0))
        else:
            for _ in range(10):
                world.server.fail("RNTO", FAULTS["refused"](), path=f"{BASE}/b/2")
        world.drop.write("b/2", 100)
        world.do(("go_on", 30.0))
        assert world._published()["1"] == world.drop.files()["1"]


def test_two_names_of_a_file_do_not_have_each_other_looked_at_in_circles():
    with begun() as world:
        world.drop.link("1", "b/2")
        world.do(("go_on", 30.0))
        world.server.online = False
        looks = world.counts["looks"]
        for size in (100, 200, 100):
            world.drop.write("b/2", size)
            world.drop.begin("1", 100)
            world.do(("go_on", 20.0))
            world.drop.end(0)
            world.do(("go_on", 20.0))
        assert world.counts["looks"] - looks < 150


def test_a_name_that_is_written_by_and_replaced_while_it_is_published_leads_to_the_other_at_every_step():
    with begun() as world:
        before = world.steps
        world.do(("link", 0, "2"))
        until = world.time.now + SETTLE_S
        while not any(world._mirror.queue.files(M, "2")):
            if not world.deliver() | world.turn() | world.look():
                assert world.time.now < until
                world.pass_time(SETTLE_S)
        seen = world.steps - before
    story: tuple[Op, ...] = (("link", 0, "2"), ("go_on", 30.0))
    places = tell(story).steps_of_story
    assert places - seen > 15, "nothing happened in this story"
    for steps in moments(seen, places):
        tell(story, ((steps, ("write", "2", 20)), (steps, ("swap", "2", 20))))


@pytest.mark.parametrize(
    ("left_s", "when"), [(7200.0, "in 2 h"), (42.4, "in 42 s"), (0.3, "in less than 1 s"), (0.0, "at once")]
)
def test_when_something_is_deleted_is_said_as_people_say_it(left_s: float, when: str):
    """It was said in seconds and tenths: in 7200.0 s, and at last in 0.0 s."""
    with World() as world:
        world.write("a", 20)
        world.do(("go_on", 30.0))
        world.drop.delete("a")
        world.do(("go_on", 1.0))
        since = world.time.now - world.spec.delete_after_s + left_s
        with mock.patch.object(Deletes, "since", return_value=since):
            assert world.why("a").sentence == f"it is gone here; deleted at the server {when}"


@pytest.mark.parametrize(
    ("held", "when"),
    [
        (False, "in 4 s"),
        (True, "when you have decided about the deletes that are held (`ftpsyncd approve gallery`, or `discard`)"),
    ],
)
def test_of_what_has_the_place_of_something_published_it_is_said_that_this_goes_first(held: bool, when: str):  # noqa: FBT001 - a case
    """Of a file in a directory's place it was said that it is gone; of one in a file's, that a rescan publishes it."""
    with World(max_deletes=0 if held else None, settle_s=0.0) as world:
        world.make_folder("d")
        for path in ("d/1", "f"):
            world.write(path, 20)
        world.do(("go_on", 30.0))
        for path in ("d", "f"):
            world.drop.delete(path)
        world.do(("go_on", 1.0))
        world.write("d", 20)
        for path in ("f", "f/e"):
            world.make_folder(path)
        world.write("f/1", 20)
        world.do(("go_on", 30.0 if held else 0.0))
        first = f"is deleted at the server first, {when}"
        assert {path: world.why(path).sentence for path in ("d", "f", "f/1", "f/e")} == {
            "d": f"a directory was published under this name, and {first}",
            "f": f"a file was published under this name: it {first}",
            "f/1": f"not published yet; a file was published as f, and {first}",
            "f/e": f"not at the server yet; a file was published as f, and {first}",
        }
        assert world.why("d/1").state == ("held" if held else "settling")
        world.do(("approve",))
        world.come_to_rest()


def test_of_what_gives_its_name_to_something_else_it_is_said_that_it_is_renamed_first():
    """It was said that the published file is deleted."""
    with World(settle_s=0.0) as world:
        world.write("f", 20)
        world.do(("go_on", 30.0))
        world.do(("offline",))
        for path in ("n", "f"):
            if path == "f":
                world.drop.rename("f", "n/f")
            world.make_folder(path)
        world.write("f/1", 20)
        world.do(("go_on", 0.0))
        assert world.why("n/f").sentence.startswith("waits in the queue of web (renamed from f)")
        assert world.why("f").sentence == "a file was published under this name: it is renamed at the server first"
        assert world.why("f/1").sentence.startswith(
            "not published yet; a file was published as f, and is renamed at the server first: The server is down"
        )
        world.do(("online",))
        world.come_to_rest()


def test_a_hold_is_not_over_while_what_it_is_about_cannot_be_read():
    """It was, at a start: nothing seemed to be left to delete. What could be read then went to the server in portions."""
    with World(max_deletes=3) as world:
        for folder in ("d", "e"):
            world.make_folder(folder)
            for name in ("1", "2", "stays"):
                world.write(f"{folder}/{name}", 20)
        world.do(("go_on", 30.0))
        for path in ("d/1", "d/2", "e/1", "e/2"):
            world.drop.delete(path)
        world.do(("go_on", 100.0))
        assert world._mirror.removals.held == 4
        for folder in ("d", "e"):
            world.drop.lock(folder)
        world.do(("restart",))
        world.do(("go_on", 100.0))
        for folder in ("d", "e"):
            world.drop.locked.discard(Path(world.drop.local(folder)).stat().st_ino)
            world.do(("go_on", 2 * LONGEST_AGAIN_S))
            assert len(world._published()) == 6
        assert world._mirror.removals.held == 4
        world.come_to_rest()


@pytest.mark.parametrize("decided", [("discard",), ("all", ("discard",), ("crash",))], ids=["now", "before the start"])
def test_a_discard_is_about_what_could_not_be_read_when_all_was_looked_at(decided: Op):
    """What of it was gone by then was held again, or deleted if it was few enough; what goes elsewhere is no part of it."""
    with World(max_deletes=3) as world:
        for folder in ("d", "d/e"):
            world.make_folder(folder)
            for name in ("1", "2", "stays"):
                world.write(f"{folder}/{name}", 20)
        world.write("later", 20)
        world.do(("go_on", 30.0))
        gone = ("d/1", "d/2", "d/e/1", "d/e/2")
        for path in gone:
            world.drop.delete(path)
        world.do(("go_on", 100.0))
        assert world._mirror.removals.held == 4
        if decided == ("discard",):
            world.quit()
        else:
            world.do(decided)
        world.drop.lock("d")
        world.start()
        world.do(("go_on", 100.0))
        if decided == ("discard",):
            world.do(decided)
            world.do(("go_on", 100.0))
        world.drop.delete("later")
        world.do(("go_on", 100.0))
        assert "later" not in world._published()
        world.drop.unlock()
        world.do(("go_on", 2 * LONGEST_AGAIN_S))
        assert world._published().keys() == {*gone, "d/stays", "d/e/stays"}
        assert world._ledger.mappings.totals(world._mirror.id).files == 2
        assert not world._ledger.decisions.discarding(world._mirror.id)


@pytest.mark.parametrize("where", ["beside", "disk"])
def test_what_is_held_stays_so_when_another_folder_comes_and_goes_and_more_is_allowed(where: str):
    """A higher limit releases nothing by itself; judged anew when the folder was back, all was within it."""
    with World(max_deletes=3) as world:
        for name in ("1", "2", "3", "4", "stays"):
            world.write(name, 20)
        world.do(("go_on", 30.0))
        for name in ("1", "2", "3", "4"):
            world.drop.delete(name)
        world.do(("go_on", 100.0))
        assert world._mirror.removals.held == 4
        world._reload(world.spec._replace(max_deletes=DeleteLimit(10)))
        world.do(("go_on", 100.0))
        for op in (("vanish", where), ("go_on", 30.0), ("come_back",), ("go_on", 300.0)):
            world.do(op)
        assert world._mirror.removals.held == 4
        assert len(world._published()) == 5
        world.do(("approve",))
        world.do(("go_on", 30.0))
        assert world._published().keys() == {"stays"}
        assert world._mirror.removals.hold is None
