"""Short stories, told again and again: each time something else goes wrong, and each time one step later.

Where `test_whole_engine` throws dice, this goes step by step: for every story and every trouble, each place between two
steps of the daemon at which the trouble may come (`make test`: every third place).
"""

from __future__ import annotations

import pytest

from tests.figures import Figures
from tests.model.stage import Op
from tests.model.stories import STEPS, STORIES, begun, moments, tell

pytestmark = pytest.mark.lasting(120)

TROUBLES: dict[str, Op] = {
    "the daemon is killed": ("crash",),
    "the connection ends": ("fault", "*", "unavailable", 1),
    "a reply is lost": ("fault_after", "*", "unavailable", 1),
    "a file begins late": ("fault", "STOR", "late", 1),
    "a file's end comes late": ("fault_after", "STOR", "late", 1),
    "a rename comes late": ("fault", "RNTO", "late", 1),
    "the file is written again": ("write", "a/1", 100),
    "everything comes back": ("write_all",),
    "the folder is replaced": ("vanish", "beside"),
    "the directory moves on": ("rename", 1, "b/a"),
}

LONG = {
    "a file and a directory change places",
    "a file begins late",
    "a rename comes late",
    "a file's end comes late",
    "everything comes back",
    "the directory moves on",
}
"""Stories and troubles that are told by `make test-long` only: others come near them."""


def _every(story: str) -> list[object]:
    return [
        pytest.param(
            STORIES[story], trouble, id=f"{story}, {name}", marks=pytest.mark.long if {story, name} & LONG else ()
        )
        for name, trouble in TROUBLES.items()
    ]


@pytest.mark.parametrize(("story", "trouble"), [case for story in STORIES for case in _every(story)])
def test_trouble_at_every_step(story: tuple[Op, ...], trouble: Op, figures: Figures):
    places = tell(story).steps_of_story
    assert places > 20, "nothing happened in this story"
    for steps in moments(places):
        tell(story, ((steps, trouble),))
    figures.tell("G3", "places between two steps at which trouble came", len(moments(places)), adds=True)


@pytest.mark.parametrize("first", range(26, 31))
def test_a_directory_that_was_made_is_known_although_another_was_to_get_its_name(first: int):
    """The daemon dies twice: after it made the directory, and after the rename was refused as the name is taken."""
    for second in moments(12, 44):
        with begun() as world:
            world.do(("make_folder", "c"))
            world.do(("write", "c/1", 20))
            world.later(first, ("crash",))
            world.do(("go_on", 10.0))
            world.drop.delete("c")
            world.drop.rename("a", "c")
            world.do(("start",))
            world.later(second, ("crash",))
            world.do(("go_on", 10.0))
            world.drop.rename("c", "d")
            world.come_to_rest()


@pytest.mark.parametrize("trouble", [("crash",), ("fault_after", "RMD", "unavailable", 1)], ids=["killed", "lost"])
@pytest.mark.parametrize("which", [4, 5], ids=["empty", "with a file"])
def test_a_directory_that_is_made_again_is_there_wherever_its_removal_was_cut_off(trouble: Op, which: int):
    """The new one may have the inode of the old one, which most file systems use again at once."""
    for steps in moments(STEPS):
        with begun(empty_dirs=True) as world:
            path = world._paths()[which]
            world.do(("delete", which))
            world.later(steps, trouble)
            world.do(("go_on", 7.0))
            world.do(("make_folder", path))
            world.come_to_rest()


def test_a_directory_that_the_server_would_not_rename_is_made_before_what_waited_for_it():
    """Made for something in it, it stayed there when the daemon died, and it was gone here by the next start."""
    for steps in moments(1, STEPS):
        with begun() as world:
            world.all(("pause",), ("rename", 1, "c"), ("go_on", 3.0))
            world.all(("write", "c/9", 20), ("make_folder", "c/d"), ("write", "c/d/1", 20), ("go_on", 8.0))
            world.do(("fault", "RNTO", "refused", 1))
            world.later(steps, ("crash",))
            world.all(("resume",), ("go_on", 10.0))
            world.drop.delete("c")
            world.do(("start",))
            world.come_to_rest()


def test_a_directory_is_renamed_before_what_waited_for_it_also_where_its_old_name_is_another_one_by_then():
    """The one that it was in was renamed first; what waits for it does not make it under its new name instead."""
    for steps in moments(STEPS):
        with begun() as world:
            world.drop.make_folder("x")
            world.all(("write", "x/1", 20), ("write", "x/2", 20))
            world.drop.rename("a", "x/a")
            world.all(("go_on", 20.0), ("pause",))
            world.drop.rename("x/a", "z")
            world.drop.rename("x", "y")
            world.do(("go_on", 3.0))
            world.all(("write", "z/9", 20), ("make_folder", "z/d"), ("write", "z/d/1", 20), ("go_on", 8.0))
            world.later(steps, ("crash",))
            world.all(("resume",), ("go_on", 10.0))
            world.drop.delete("z")
            world.do(("start",))
            world.come_to_rest()
