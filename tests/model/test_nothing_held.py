"""A daemon that runs for years: what it holds comes of what is there, and not of what has passed.

The same thing happens again and again, with new names each time, and is over each time. After some rounds no container
that can be reached from the engine may hold more than before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsyncd.specs import MappingSpec, ServerSpec
from tests.model.racing import Named
from tests.model.several import HOSTS, Several, configuration
from tests.model.sizes import sizes
from tests.model.stage import Op
from tests.model.world import World

ROUNDS = 2
"""As often before it is looked how much there is, and again after that."""
KEPT = 1
"""What is kept of directories and rows so that they need not be asked for again: one round brings as much."""
NOT_OURS = ("MemoryServer.", "Scanner._mounts", "Spellings._tell_apart")
"""What stands in for a server, and the mounts of the machine, with what is known of each until they change."""
LATER_S = 4000.0
"""What a server would not settle is asked for again by then."""


class _Lasting(Named, World):
    """One in which what happens is told by name."""

    def close_folder(self, path: str) -> None:
        self.drop.lock(path)


@pytest.fixture(autouse=True)
def _little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (
        "core.filters._REMEMBERED_DIRECTORIES",
        "core.settle.NAMES_PER_DIRECTORY",
        "ledger.book._REMEMBERED",
        "mapping.offers.QUEUE_ROOM",
        "mapping.offers.SEEN_KEPT",
        "publishing.existing._FRESH_DIRECTORIES",
    ):
        monkeypatch.setattr(f"ftpsyncd.{limit}", KEPT)
    monkeypatch.setattr("ftpsyncd.core.ordered.SOME", 0)


def _files(folder: str) -> Iterator[Op]:
    """A new folder with files in it."""
    yield "make_folder", folder
    for name in ("1", "2"):
        yield "write", f"{folder}/{name}", 20


def _comes_and_goes(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "go_on", 30.0
    yield "remove", name


def _gets_other_names(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "go_on", 30.0
    yield "move", f"{name}/1", f"{name}/3"
    yield "move", name, f"{name}-new"
    yield "go_on", 30.0
    yield "move", f"{name}-new/3", f"{name}-out"
    yield "go_on", 30.0
    yield "remove", f"{name}-new"
    yield "remove", f"{name}-out"


def _is_not_renamed_there(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "go_on", 30.0
    yield "fault", "RNTO", "refused", 1
    yield "move", name, f"{name}-new"
    yield "go_on", 30.0
    yield "remove", f"{name}-new"


def _goes_when_it_was_not_renamed_there(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "go_on", 30.0
    yield "fault", "RNTO", "refused", 1
    yield "upon", "RNTO", ("remove", f"{name}-new")
    yield "move", name, f"{name}-new"


def _is_cut_off_and_goes(name: str) -> Iterator[Op]:
    yield "fault", "STOR", "unavailable", 1
    yield "upon", "STOR", ("remove", f"{name}")
    yield "write", name, 20


def _is_cut_off_when_it_is_removed_and_is_back(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "go_on", 30.0
    yield "fault", "RMD", "unavailable", 1
    yield "upon", "RMD", ("all", *_files(name))
    yield "remove", name
    yield "go_on", 30.0
    yield "move", name, f"{name}-new"
    yield "go_on", 30.0
    yield "remove", f"{name}-new"


def _is_cut_off_when_it_is_made_and_goes(name: str) -> Iterator[Op]:
    yield "fault", "MKD", "unavailable", 1
    yield "upon", "MKD", ("remove", name)
    yield from _files(name)


def _breaks_off_and_goes(name: str) -> Iterator[Op]:
    yield "fault_after", "STOR", "broken", 1
    yield "write", name, 400
    yield "go_on", 2.5
    yield "remove", name


def _is_cut_off_and_arrives_late(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "fault_after", "STOR", "late", 1
    yield "go_on", 30.0
    yield "fault", "RNTO", "late", 1
    yield "move", name, f"{name}-new"
    yield "go_on", 30.0
    yield ("arrive",)
    yield "go_on", 100.0
    yield "remove", f"{name}-new"


def _is_refused(name: str) -> Iterator[Op]:
    yield "fault", "MKD", "refused", 1
    yield from _files(name)
    yield "fault", "STOR", "refused", 1
    yield "write", f"{name}.jpg", 20
    yield "go_on", 5.0
    yield "remove", name
    yield "remove", f"{name}.jpg"


def _waits_for_space(name: str) -> Iterator[Op]:
    yield "capacity", 1
    yield from _files(name)
    yield "go_on", 30.0
    yield "remove", name
    yield "capacity", 0


def _waits_for_the_server(name: str) -> Iterator[Op]:
    yield ("offline",)
    yield from _files(name)
    yield "go_on", 30.0
    yield "remove", name
    yield "write", f"{name}.jpg", 20
    yield "go_on", 30.0
    yield ("online",)
    yield "go_on", 600.0
    yield "remove", f"{name}.jpg"


def _is_seen_in_another_folder(name: str) -> Iterator[Op]:
    yield ("offline",)
    yield "vanish", "beside"
    yield "write", name, 20
    yield "go_on", 30.0
    yield "remove", name
    yield "go_on", 30.0
    yield ("come_back",)
    yield ("online",)


def _cannot_be_read(name: str) -> Iterator[Op]:
    yield from _files(name)
    yield "close_folder", name
    yield "go_on", 30.0
    yield ("unlock",)
    yield "go_on", 30.0
    yield "close_folder", name
    yield "remove", name


def _is_being_written(name: str) -> Iterator[Op]:
    yield "begin", name, 20
    yield "go_on", 30.0
    yield "remove", name
    yield "end", 0


def _has_two_names(name: str) -> Iterator[Op]:
    yield "write", name, 20
    yield "name", name, f"{name}-also"
    yield "go_on", 30.0
    yield "write", name, 30
    yield "go_on", 30.0
    yield "remove", name
    yield "go_on", 30.0
    yield "remove", f"{name}-also"


def _is_held(name: str) -> Iterator[Op]:
    yield from _files(name)
    for number in range(3, 7):
        yield "write", f"{name}/{number}", 20
    yield "go_on", 90.0
    yield "remove", name
    yield "go_on", 30.0
    yield ("approve",)


def _is_paused_and_reloaded(name: str) -> Iterator[Op]:
    yield ("pause",)
    yield from _files(name)
    yield "go_on", 30.0
    yield "exclude", (f"{name}/1",)
    yield ("resume",)
    yield "go_on", 30.0
    yield "exclude", ()
    yield "go_on", 30.0
    yield "remove", name


STORIES: dict[str, Callable[[str], Iterator[Op]]] = {
    story.__name__.strip("_").replace("_", " "): story
    for story in (
        _comes_and_goes,
        _gets_other_names,
        _is_not_renamed_there,
        _goes_when_it_was_not_renamed_there,
        _is_cut_off_and_goes,
        _is_cut_off_when_it_is_removed_and_is_back,
        _is_cut_off_when_it_is_made_and_goes,
        _breaks_off_and_goes,
        _is_cut_off_and_arrives_late,
        _is_refused,
        _waits_for_space,
        _waits_for_the_server,
        _is_seen_in_another_folder,
        _cannot_be_read,
        _is_being_written,
        _has_two_names,
        _is_held,
        _is_paused_and_reloaded,
    )
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_of_what_is_over_nothing_is_held(story: Callable[[str], Iterator[Op]]):
    with _Lasting() as world:
        world.write("always", 20)
        world.go_on(10.0)
        before, after = (_most(world, story, first, ROUNDS) for first in (0, ROUNDS))
        assert {where: (before[where], most) for where, most in after.items() if most > before[where]} == {}


def _most(world: _Lasting, story: Callable[[str], Iterator[Op]], first: int, rounds: int) -> Counter[str]:
    """How much every container held at most when one of these rounds was over."""
    most = Counter[str]()
    for number in range(first, first + rounds):
        for op in story(f"new{number}"):
            world.do(op)
        world.do(("go_on", LATER_S))
        # Nothing of it is left to do, for us or for a person.
        world.do(("go_on", 30.0))
        most |= Counter({where: held for where, held in sizes(world._engine).items() if not where.startswith(NOT_OURS)})
    return most


@pytest.mark.parametrize("then", [("upon", "RNTO", ("remove", "b")), ("all",)], ids=["it goes", "it is made"])
def test_where_a_directory_could_not_be_renamed_the_next_one_is(then: Op):
    with _Lasting() as world:
        for op in (*_files("a"), ("go_on", 10.0), ("fault", "RNTO", "refused", 1), then, ("move", "a", "b")):
            world.do(op)
        for op in (("go_on", 10.0), ("remove", "b"), ("go_on", 100.0), *_files("c"), ("go_on", 10.0)):
            world.do(op)
        sent = [path for verb, path in world.server.log if verb == "STOR"]
        world.do(("move", "c", "b"))
        world.go_on(10.0)
        assert [path for verb, path in world.server.log if verb == "STOR"] == sent
        world.come_to_rest()


class _Reloading(Named, Several):
    """One whose configuration changes."""


def _rounds_of_mappings(world: _Reloading, first: int) -> Counter[str]:
    """How much there was at most when a mapping had come, was at work, and had gone."""
    server = ServerSpec("web", HOSTS[0], "u", connections=2)
    most = Counter[str]()

    def reload(*names: str) -> None:
        specs = (MappingSpec(name, world.drop.root / name, "web", f"/{name}", include=("*",)) for name in names)
        world.do(("reload", configuration(world.drop.place, {"web": server}, *specs)))
        world.do(("go_on", 100.0))

    for number in range(first, first + ROUNDS):
        name = f"new{number}"
        for op in _files(name):
            world.do(op)
        reload("always", name)
        world.do(("offline",))
        world.do(("move", f"{name}/1", f"{name}/3"))
        world.do(("go_on", 100.0))
        reload("always")
        world.do(("online",))
        world.do(("go_on", LATER_S))
        most |= sizes(world._engine, world._roster)
    return most


def test_of_mappings_that_have_gone_nothing_is_held():
    with _Reloading(configuration(Path("/"), {})) as world:
        world.make_folder("always")
        world.start()
        before, after = (_rounds_of_mappings(world, first) for first in (0, ROUNDS))
        grown = {where: (before[where], most) for where, most in after.items() if most > before[where]}
        assert {where: most for where, most in grown.items() if not where.startswith(NOT_OURS)} == {}
