"""How far a pass is, whenever somebody asks: it is not over before what follows from all that came in is done, too."""

from __future__ import annotations

import pytest

from ftpsyncd.cli.sync import exit_code
from ftpsyncd.core.alarms import AlertKind, conditions
from ftpsyncd.daemon.onepass import progress_of
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.mapping.site import Moment
from ftpsyncd.specs import AlertLimits
from ftpsyncd.status import DaemonStatus, MappingState, Status
from tests.model.stage import Op
from tests.model.stories import begun

STORIES: dict[str, tuple[Op, ...]] = {
    "a file is gone from a directory that has another name": (("rename", 1, "c"), ("delete", 4)),
    "a file is gone that may be in a directory that has another name": (("rename", 1, "c"), ("delete", 2)),
    "a directory is gone": (("delete", 1),),
}
"""The paths on disk are, in this order: 1, a, a/1, a/2, a/b, b, b/1; with another name of `a`: 1, b, b/1, c, c/1 ..."""


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_it_is_not_over_before_all_is_done(story: tuple[Op, ...]):
    """Who asked right when the last outcome, or the last look, had come in heard that it was; deletes followed."""
    with begun() as world:
        engine = world._engine
        assert engine is not None
        said: list[bool] = []

        def ask(at: Moment) -> None:
            assert engine is not None
            said.append(progress_of(engine, at).finished)

        world.all(*story)
        world.deliver()
        world.turn()
        world.time.now += 60.0
        while not (said and said[-1]):
            while world.look() or world.work():
                pass
            for message in (*engine.mailbox.mail(), lambda _at: None):
                engine.mailbox.put(message)
                engine.mailbox.put(ask)
            world.turn()
            world.time.now = max(world.time.now, engine.next_due(world.time.now))
        assert world._published() == world.drop.files()
        assert len(said) > 3


@pytest.mark.parametrize("paused", [False, True])
def test_the_removal_of_an_empty_directory_that_is_held_is_told(*, paused: bool):
    """No file is held, and a pass ended with 0 and no word, while a file waited for the directory's place."""
    with begun(empty_dirs=True) as world:
        for op in (("vanish", "beside"), ("go_on", 10.0), ("write", "new", 20), ("go_on", 10.0), ("come_back",)):
            world.do(op)
        world.do(("write", "new", 20))
        world.drop.delete("a/b")
        world.do(("write", "a/b", 20))
        world.do(("go_on", 30.0))
        assert world._published().keys() == world.drop.files().keys() - {"a/b"}
        if paused:
            world.do(("pause",))
        engine, mirror = world._engine, world._mirror
        assert engine is not None
        assert mirror.removals.hold is not None
        progress = progress_of(engine, engine._moment())
        assert f"{mirror.spec.name}: {mirror.removals.hold.message}" in progress.messages
        assert exit_code(progress._replace(paused=0)) == 1
        assert (progress.held, progress.directories_held) == (0, 1)
        mapping = mapping_status(mirror, engine._moment())
        assert mapping.state is (MappingState.PAUSED if paused else MappingState.HELD)
        assert (mapping.held, mapping.directories_held) == (0, 1)
        status = Status(DaemonStatus(running=True, pid=0, version="", uptime_s=0.0), (mapping,), (), ())
        assert (AlertKind.HELD, mapping.name) in conditions(status, AlertLimits())
        for op in (("resume",), ("approve",), ("go_on", 30.0)):
            world.do(op)
        progress = progress_of(engine, engine._moment())
        assert (progress.directories_held, progress.messages) == (0, ())
        assert world._published().keys() == world.drop.files().keys()


def test_the_removal_of_an_empty_directory_that_waits_for_delete_after_is_told():
    """No file was to be deleted, and all was said to be in sync, while a file waited for the directory's place."""
    with begun(empty_dirs=True) as world:
        world.drop.delete("a/b")
        world.do(("write", "a/b", 20))
        world.do(("go_on", 3.0))
        engine, mirror = world._engine, world._mirror
        assert engine is not None
        mapping = mapping_status(mirror, engine._moment())
        told = (MappingState.SETTLING, 1, "1 directory waits for delete_after")
        assert (mapping.state, mapping.pending, mapping.message) == told
        later = f"{mirror.spec.name}: 1 directory waits for `delete_after`; a later `sync`, or the daemon, goes on"
        assert progress_of(engine, engine._moment()).messages == (later,)
        world.come_to_rest()
        mapping = mapping_status(mirror, engine._moment())
        assert (mapping.state, mapping.pending, mapping.message) == (MappingState.IN_SYNC, 0, "")
