"""Renames that a lost connection or a crash has cut off, and what happens to the files before they are published anew.

However long that takes, and whatever names they have by then: they are here, and are none of so many deletes at once.
"""

from __future__ import annotations

import pytest

from ftpsyncd.engine.report import mapping_status
from ftpsyncd.events import EventKind
from ftpsyncd.status import MappingState
from tests.model.cutoff import CUTS, MANY, cuts, move_all
from tests.model.doubles import FAULTS
from tests.model.stage import Op
from tests.model.world import BASE, World


def _rename_all(world: World, cut: tuple[Op, ...]) -> None:
    world.make_folder("b")
    move_all(world, cut)
    world.do(("go_on", min(world.spec.settle_s, world.spec.delete_after_s) + 1.0))
    world.do(("start",))


def _nothing_is_held(world: World) -> None:
    assert EventKind.HELD not in {event.kind for event in world.events}


@cuts
def test_they_are_no_mass_delete_when_they_get_yet_other_names_while_the_server_is_away(cut: tuple[Op, ...]) -> None:
    """They were looked for under the names that they had when that was cut off."""
    with World() as world:
        _rename_all(world, cut)
        world.all(("offline",), ("go_on", 1.0))
        for name in MANY:
            world.drop.rename(f"b/{name}", f"b/new-{name}")
        world.do(("go_on", 60.0))
        assert not world._mirror.removals.held
        world.all(("online",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/new-{name}" for name in MANY}
        _nothing_is_held(world)


@cuts
def test_they_are_no_mass_delete_when_they_come_to_rest_after_what_is_deleted_goes(cut: tuple[Op, ...]) -> None:
    """And the server keeps them under their old names until it has them under the new ones."""
    with World(settle_s=30.0) as world:
        _rename_all(world, cut)
        for _ in range(60):
            world.do(("go_on", 1.0))
            there = world._published().keys()
            assert all(name in there or f"b/{name}" in there for name in MANY)
        world.do(("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        _nothing_is_held(world)


@cuts
def test_they_are_no_mass_delete_when_they_are_written_before_they_are_published(cut: tuple[Op, ...]) -> None:
    """As by a program that puts captions into pictures: what arrived was not what had been there, and all was held."""
    with World() as world:
        _rename_all(world, cut)
        world.all(("offline",), ("go_on", 5.0))
        for name in MANY:
            world.write(f"b/{name}", 33)
        world.all(("go_on", 30.0), ("online",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        _nothing_is_held(world)


@pytest.mark.parametrize("cut", [CUTS["cut off"], CUTS["killed"]], ids=["cut off", "killed"])
def test_they_are_no_mass_delete_where_the_daemon_dies_as_what_was_written_is_sent(cut: tuple[Op, ...]) -> None:
    """What is sent was noted by what was written, and the next daemon did not know from where that had come."""
    with World() as world:
        _rename_all(world, cut)
        world.all(("offline",), ("start",), ("go_on", 5.0))
        for name in MANY:
            world.write(f"b/{name}", 33)
        world.all(("go_on", 200.0), ("upon", "STOR", ("crash",)), ("online",), ("go_on", 400.0))
        assert not world.running
        world.all(("start",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        _nothing_is_held(world)


@cuts
def test_nor_when_the_daemon_is_killed_after_they_were_written(cut: tuple[Op, ...]) -> None:
    """Which file was to be renamed was known by how it had been: after a start, each old name counted as deleted."""
    with World() as world:
        _rename_all(world, cut)
        world.all(("offline",), ("go_on", 5.0))
        for name in MANY:
            world.write(f"b/{name}", 33)
            world.server.fail("STOR", FAULTS["unavailable"](), path=f"{BASE}/b/{name}", times=2)
        world.all(("go_on", 30.0), ("online",), ("go_on", 20.0), ("offline",), ("go_on", 5.0), ("crash",), ("start",))
        world.all(("go_on", 60.0), ("online",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        _nothing_is_held(world)


@pytest.mark.parametrize("cut", [CUTS["cut off"], CUTS["killed"]], ids=["cut off", "killed"])
def test_nor_when_they_get_yet_other_names_after_they_were_written(cut: tuple[Op, ...]) -> None:
    with World() as world:
        _rename_all(world, cut)
        world.all(("offline",), ("go_on", 5.0))
        for name in MANY:
            world.write(f"b/{name}", 33)
        world.do(("go_on", 30.0))
        world.make_folder("c")
        for name in MANY:
            world.drop.rename(f"b/{name}", f"c/{name}")
        world.all(("go_on", 60.0), ("online",), ("go_on", 400.0))
        assert world._published().keys() == {f"c/{name}" for name in MANY}
        _nothing_is_held(world)


def test_they_are_no_mass_delete_where_the_server_would_rename_neither_them_nor_the_directory_that_they_are_in() -> (
    None
):
    """Gone with the directory, none of them was seen to be gone: they counted as second files, and then as deletes."""
    with World() as world:
        world.make_folder("old")
        for name in MANY:
            world.write(f"old/{name}", 20)
        world.do(("go_on", 30.0))
        for path in ("old", *(f"old/{name}" for name in MANY)):
            world.server.fail("RNFR", FAULTS["refused"](), times=100, path=f"{BASE}/{path}")
        world.drop.rename("old", "new")
        # A pass ends meanwhile.
        world.all(("go_on", world.spec.settle_s + 0.5), ("lose_events",), ("go_on", 400.0))
        assert world._published().keys() == {f"new/{name}" for name in MANY}
        _nothing_is_held(world)


def test_they_are_no_mass_delete_where_the_server_would_not_rename_them() -> None:
    with World() as world:
        for name in MANY:
            world.server.fail("RNFR", FAULTS["refused"](), path=f"{BASE}/{name}", times=10)
        _rename_all(world, ())
        world.do(("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        _nothing_is_held(world)


@pytest.mark.parametrize("where", ["nowhere", "beside"])
def test_nor_where_the_folder_is_away_before_what_was_not_renamed_is_deleted(where: str) -> None:
    """What nobody can see was taken for what is there again, such as another name of the file."""
    with World() as world:
        for name in MANY:
            world.server.fail("RNFR", FAULTS["refused"](), path=f"{BASE}/{name}", times=10)
        _rename_all(world, ())
        while not {f"b/{name}" for name in MANY} <= world._published().keys():
            world.do(("go_on", 0.1))
        assert MANY[0] in world._published()
        world.all(("vanish", where), ("go_on", 20.0), ("come_back",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        assert world._mirror.removals.hold is None


def test_they_are_no_mass_delete_where_the_ledger_is_older_than_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was put back from a backup: the server has them under the new names already."""
    monkeypatch.setattr(World, "check_ledger", lambda _world: None)
    with World() as world:
        world.make_folder("b")
        for name in MANY:
            world.write(name, 20)
        world.all(("go_on", 30.0), ("crash",))
        world.server.make_dir(f"{BASE}/b")
        for name in MANY:
            world.drop.rename(name, f"b/{name}")
            world.server.files[f"{BASE}/b/{name}"] = world.server.files.pop(f"{BASE}/{name}")
        world.all(("pass_time", 60.0), ("start",), ("go_on", 60.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
        assert world._ledger.mappings.totals(world._mirror.id).files == len(MANY)
        _nothing_is_held(world)


def test_links_whose_first_names_go_later_are_a_mass_delete() -> None:
    """They were sent as second files, since the first ones were there."""
    with World() as world:
        world.make_folder("b")
        for name in MANY:
            world.write(name, 20)
        world.do(("go_on", 30.0))
        for name in MANY:
            world.drop.link(name, f"b/{name}")
        world.do(("go_on", 30.0))
        assert world._published().keys() == {*MANY, *(f"b/{name}" for name in MANY)}
        for name in MANY:
            world.drop.delete(name)
        world.do(("go_on", 30.0))
        assert world._mirror.removals.held == len(MANY)


@pytest.mark.parametrize("away", [False, True], ids=["it comes to rest", "the server is away"])
def test_a_person_is_told_what_the_old_names_wait_for(*, away: bool) -> None:
    """It was said that they are deleted at once, for as long as the server was away."""
    with World(settle_s=2.0 if away else 30.0) as world:
        _rename_all(world, CUTS["cut off"])
        world.all(*((("offline",),) if away else ()), ("go_on", 12.0))
        said = world.why(MANY[0]).sentence
        told = f"it is gone here; deleted at the server when it is published as b/{MANY[0]}"
        assert said.startswith(f"{told}: The connection ended; " if away else told)
        assert "at once" not in said
        assert world._engine is not None
        status = mapping_status(world._mirror, world._engine._moment())
        assert status.pending == 2 * len(MANY), "what is to come, and what is to go"
        assert status.state is (MappingState.OFFLINE if away else MappingState.SETTLING)
        assert not status.held
        world.all(("online",), ("go_on", 400.0))
        assert world._published().keys() == {f"b/{name}" for name in MANY}
