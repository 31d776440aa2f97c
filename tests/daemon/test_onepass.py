"""How far a pass is, whenever somebody asks: it is not over before what follows from all that came in is done, too."""

from __future__ import annotations

import pytest

from ftpsyncd.daemon.onepass import progress_of
from ftpsyncd.mapping.site import Moment
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
