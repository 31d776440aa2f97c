"""What many renames that were cut off have left under old names: it is no mass delete, whatever comes then."""

from __future__ import annotations

import pytest

from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.events import EventKind
from tests.model.cutoff import CUTS, MANY, cuts, move_all, renamed_and_cut_off
from tests.model.doubles import FAULTS
from tests.model.stage import Op
from tests.model.stories import begun
from tests.model.world import BASE, World

pytestmark = pytest.mark.lasting(20)

ALWAYS = {"1", "a/1", "a/2", "b/1"}
NOT_DONE = {name: cut for name, cut in CUTS.items() if name != "done, and not heard of"}


def _goes_well(world: World, *published: str, folder: str) -> None:
    """Nobody is asked, and all is at the server under the names that it has here, and under no others."""
    world.all(("online",), ("go_on", 400.0))
    assert world._published().keys() == {*published, *(f"{folder}/{name}" for name in MANY)}
    assert EventKind.HELD not in {event.kind for event in world.events}


@cuts
def test_where_the_directory_that_they_left_gets_another_name_then(cut: tuple[Op, ...]):
    """Of what was left in it only the former name was known."""
    others = tuple(f"other{number}" for number in range(2 * len(MANY)))
    with begun() as world:
        world.make_folder("old")
        move_all(world, cut, others=others, out_of="old/")
        world.all(("go_on", 4.0), ("start",), ("go_on", 1.0))
        world.drop.rename("old", "new")
        _goes_well(world, *ALWAYS, *(f"new/{name}" for name in others), folder="b")


@pytest.mark.parametrize("how", ["its directory", "each file"])
@cuts
def test_where_all_gets_other_names_once_more_before_it_is_sent(cut: tuple[Op, ...], how: str):
    """What waited to be sent under the first new name did no more, so that it seemed to be deleted here."""
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.all(("offline",), ("start",), ("go_on", 20.0))
        if how == "its directory":
            world.drop.rename("b", "new")
            rest, folder = {"new/1", *ALWAYS - {"b/1"}}, "new"
        else:
            for name in MANY:
                world.drop.rename(f"b/{name}", f"a/{name}")
            rest, folder = ALWAYS, "a"
        world.do(("go_on", 20.0))
        _goes_well(world, *rest, folder=folder)


@pytest.mark.parametrize("fault", ["refused", "unavailable"])
@pytest.mark.parametrize("cut", NOT_DONE.values(), ids=NOT_DONE)
def test_where_the_server_does_not_delete_it_at_once(cut: tuple[Op, ...], fault: str):
    """Each was dealt with when its delete began, and counted when that was tried again."""
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.do(("start",))
        for name in MANY:
            world.server.fail("DELE", FAULTS[fault](), path=f"{BASE}/{name}")
        _goes_well(world, *ALWAYS, folder="b")


def test_where_the_folder_is_away_before_it_is_deleted():
    """What was to be deleted, and was taken back, counted when the folder was there again."""
    with begun() as world:
        renamed_and_cut_off(world, CUTS["killed"])
        world.do(("start",))
        while not {f"b/{name}" for name in MANY} <= world._published().keys():
            world.do(("go_on", 0.1))
        world.all(("offline",), ("go_on", 15.0))
        assert world._mirror.queue.waiting(world.spec.name, MANY[0]) is not None
        world.all(("vanish", "nowhere"), ("go_on", 5.0), ("come_back",), ("go_on", 20.0))
        _goes_well(world, *ALWAYS, folder="b")


@pytest.mark.parametrize("cut", NOT_DONE.values(), ids=NOT_DONE)
def test_where_no_file_arrives_for_a_while(cut: tuple[Op, ...]):
    """What waited for its next try was not taken for what is about to be published."""
    with begun() as world:
        renamed_and_cut_off(world, cut)
        world.server.fail("STOR", FAULTS["broken"](), times=5 * len(MANY))
        world.all(("start",), ("go_on", 400.0))
        assert MANY[-1] in world._published(), "at the server under its old name until it is there under its new one"
        world.do(("go_on", 4000.0))
        _goes_well(world, *ALWAYS, folder="b")


@pytest.mark.parametrize("then", ["nothing arrives", "they are deleted", "the server is full"])
def test_a_directory_that_is_gone_stays_until_they_are_published(then: str):
    """It was deleted when they were on their way: more than is allowed, without a person, and perhaps none ever came."""
    old = {f"old/{name}" for name in MANY}
    with begun() as world:
        world.make_folder("old")
        for path in old:
            world.write(path, 20)
        world.all(("go_on", 30.0), *NOT_DONE["cut off"])
        for name in MANY:
            world.drop.rename(f"old/{name}", f"b/{name}")
        world.drop.delete("old")
        if then == "nothing arrives":
            world.server.fail("STOR", FAULTS["refused"](), times=1000)
        elif then == "they are deleted":
            world.server.fail("STOR", FAULTS["broken"](), times=1000)
            world.do(("go_on", 20.0))
            for name in MANY:
                world.drop.delete(f"b/{name}")
        else:
            world.do(("capacity", sum(len(file.content) for file in world.server.files.values())))
        world.do(("go_on", 400.0))
        assert world._published().keys() == {*ALWAYS, *old}
        assert world._mirror.removals.held == len(MANY)
        world.all(("approve",), ("go_on", 400.0))
        assert not world._published().keys() & old
        assert (f"b/{MANY[0]}" in world._published()) is (then == "the server is full")


@pytest.mark.parametrize("cut", NOT_DONE.values(), ids=NOT_DONE)
def test_files_with_other_names_that_are_deleted_then_count(cut: tuple[Op, ...]):
    """They were published under those before, which does not show that they have arrived: nobody was asked."""
    with begun() as world:
        world.make_folder("links")
        for name in MANY:
            world.write(name, 20)
            world.drop.link(name, f"links/{name}")
        world.all(("go_on", 30.0), *cut)
        for name in MANY:
            world.drop.rename(name, f"b/{name}")
        world.server.fail("STOR", FAULTS["broken"](), times=2 * len(MANY))
        world.all(("go_on", 4.0), ("start",), ("go_on", 0.5))
        for name in MANY:
            world.drop.delete(f"b/{name}")
        world.do(("go_on", 400.0))
        assert world._published().keys() == {*ALWAYS, *MANY, *(f"links/{name}" for name in MANY)}
        assert world._mirror.removals.held == len(MANY)


def test_what_goes_while_the_server_is_away_is_counted_together():
    """Each old name was looked at in its five minutes only, and so many deletes passed as a few at a time."""
    with begun() as world:
        renamed_and_cut_off(world, NOT_DONE["cut off"])
        world.all(("offline",), ("go_on", 1.0))
        for name in MANY:
            world.do(("go_on", 70.0))
            world._mirror.dirty.mark(name, world.time.now)
        for name in MANY:
            world.drop.delete(f"b/{name}")
        world.all(("online",), ("go_on", 700.0))
        assert world._published().keys() == {*ALWAYS, *MANY}
        assert world._mirror.removals.held == len(MANY)


@pytest.mark.parametrize("then", ["published", "the server is away", "deleted"])
def test_what_is_sent_in_place_of_the_rename_of_its_directory_is_no_delete(then: str):
    """Whose rename had lost its connection for the third time was sent as a new one, and the old one held."""
    old = {f"old/{name}" for name in MANY}
    with begun() as world:
        world.make_folder("old")
        for path in old:
            world.write(path, 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        if then == "deleted":
            world.server.fail("STOR", FAULTS["broken"](), times=1000)
        world.drop.rename("old", "new")
        world.do(("go_on", 2.0))
        if then == "the server is away":
            world.all(("offline",), ("go_on", 1000.0))
        if then == "deleted":
            world.drop.delete("new")
            world.do(("go_on", 400.0))
            assert world._published().keys() == {*ALWAYS, *old}
            assert world._mirror.removals.held == len(MANY)
        else:
            _goes_well(world, *ALWAYS, folder="new")


@pytest.mark.parametrize("away_s", [0.0, 100.0], ids=["at once", "after the server was away"])
@pytest.mark.parametrize("names", [("old", "new"), ("new", "old")])
def test_what_is_there_again_as_another_name_of_the_same_file_counts_when_it_is_deleted(
    names: tuple[str, str], away_s: float
):
    """As after `mv old new; cp -al new old`: as it had been published, it was passed over, and the rename stayed."""
    old, new = names
    with begun() as world:
        world.make_folder(old)
        for name in MANY:
            world.write(f"{old}/{name}", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        world.drop.rename(old, new)
        world.do(("go_on", 2.0))
        if away_s:
            world.all(("go_on", 8.0), ("offline",), ("go_on", away_s))
        world.make_folder(old)
        for name in MANY:
            world.drop.link(f"{new}/{name}", f"{old}/{name}")
        world.all(("online",), ("go_on", 400.0))
        both = {*ALWAYS, *(f"{folder}/{name}" for folder in names for name in MANY)}
        assert world._published().keys() == both
        for name in MANY:
            world.drop.delete(f"{old}/{name}")
        world.do(("go_on", 400.0))
        assert world._published().keys() == both
        assert world._mirror.removals.held == len(MANY)


@pytest.mark.parametrize("away", [False, True], ids=["at once", "the server is away"])
def test_a_directory_that_is_gone_is_not_deleted_while_they_get_yet_other_names(*, away: bool):
    """Between two looks they were under neither name, and counted as deleted with it, or went before they had arrived."""
    with begun() as world:
        world.make_folder("old")
        for name in MANY:
            world.write(f"old/{name}", 20)
        world.all(("go_on", 30.0), *NOT_DONE["cut off"])
        for name in MANY:
            world.drop.rename(f"old/{name}", f"b/{name}")
        world.drop.delete("old")
        world.all(("go_on", 5.0), *((("offline",), ("go_on", 20.0)) if away else ()))
        world.drop.rename("b", "new")
        world.do(("go_on", 100.0))
        _goes_well(world, "new/1", *ALWAYS - {"b/1"}, folder="new")


def test_what_leaves_a_directory_before_that_is_renamed_in_vain_is_no_delete():
    """It waited to be renamed itself; when it did no more, as it was sent, it was taken for what is there again."""
    with begun() as world:
        world.make_folder("old")
        for name in (*MANY, "other"):
            world.write(f"old/{name}", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        for name in MANY:
            world.drop.rename(f"old/{name}", f"b/{name}")
        world.do(("go_on", 0.5))
        world.drop.rename("old", "new")
        _goes_well(world, *ALWAYS, "new/other", folder="b")


def test_what_was_sent_in_place_of_the_rename_of_its_directory_is_no_delete_after_a_restart():
    """What it was sent for was noted, but not that the server has it under its old name without a doubt."""
    with begun() as world:
        world.make_folder("old")
        for name in MANY:
            world.write(f"old/{name}", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        world.drop.rename("old", "new")
        world.all(("go_on", 3.0), ("restart",))
        _goes_well(world, *ALWAYS, folder="new")


def test_a_directory_is_gone_since_it_went_though_a_file_in_it_has_been_for_longer():
    """The old name of that waited for the server: the directory was due at once, before it was found elsewhere."""
    with begun() as world:
        world.make_folder("old")
        for name in (*MANY, "first"):
            world.write(f"old/{name}", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        world.drop.rename("old/first", "first")
        world.server.fail("STOR", FAULTS["broken"](), times=3)
        world.do(("go_on", 12.0))
        world.drop.rename("old", "new")
        _goes_well(world, *ALWAYS, "first", folder="new")


@pytest.mark.parametrize("then", [(), (("go_on", 1.0), ("restart",))], ids=["it goes on", "a restart"])
def test_what_is_under_its_name_again_by_the_rename_of_a_directory_is_no_delete_under_the_one_that_it_was_sent_to(
    then: tuple[Op, ...],
):
    """As what had been sent there was noted under its first name only, which it has again at the server and here."""
    with begun() as world:
        world.make_folder("old")
        for name in MANY:
            world.write(f"old/{name}", 20)
        world.all(("go_on", 30.0), ("lose_connections", "RNTO", LOST_CONNECTIONS))
        world.drop.rename("old", "new")
        world.do(("go_on", 3.0))
        world.drop.rename("new", "newer")
        world.all(*then)
        _goes_well(world, *ALWAYS, folder="newer")


def test_where_others_have_the_old_names_what_goes_from_the_new_ones_is_deleted():
    """They were taken for the files that had come back, and what was gone for left behind: a mass delete passed."""
    with begun() as world:
        move_all(world, CUTS["done, and not heard of"])
        while not {f"b/{name}" for name in MANY} <= world._published().keys():
            world.do(("go_on", 0.1))
        world.do(("offline",))
        for name in MANY:
            world.write(name, 50)
            world.drop.delete(f"b/{name}")
        world.all(("go_on", 5.0), ("online",), ("go_on", 400.0))
        assert {f"b/{name}" for name in MANY} <= world._published().keys()
        assert [event.kind for event in world.events].count(EventKind.HELD) == 1
