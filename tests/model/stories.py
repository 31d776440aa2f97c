"""What short stories are told with: a daemon at rest, what happens to it, and a comparison at the end."""

from __future__ import annotations

import os

from ftpsyncd.remote.memory import MemoryFile
from ftpsyncd.specs import DeletePolicy, ExistingPolicy
from tests.model.stage import Op
from tests.model.world import BASE, World

STORIES: dict[str, tuple[Op, ...]] = {
    "a file is written anew": (("write", "a/1", 200), ("go_on", 30.0)),
    "a file is renamed": (("rename", 0, "b/2"), ("go_on", 30.0)),
    "a directory is renamed": (("rename", 1, "c"), ("go_on", 30.0)),
    "a directory is deleted": (("delete", 1), ("go_on", 30.0)),
    "a file is written through a second name": (("link", 0, "2"), ("write", "2", 20), ("go_on", 30.0)),
    "a file and a directory change places": (("delete", 0), ("rename", 0, "1"), ("write", "a", 20), ("go_on", 30.0)),
}
"""The paths on disk are, in this order: 1, a, a/1, a/2, a/b, b, b/1; see `begun`."""

STEPS = 50
"""More than it takes to publish or to delete a file."""

THOSE = slice(None) if os.environ.get("FTPSYNCD_MOMENTS") == "all" else slice(1, None, 3)


def moments(*bounds: int) -> range:
    """After how many steps something happens, as `range` has it: `make test` takes every third, `make test-long` all."""
    return range(*bounds)[THOSE]


def begun(
    *,
    deletes: DeletePolicy = DeletePolicy.MIRROR,
    existing: ExistingPolicy = ExistingPolicy.ADOPT,
    replaces: bool = True,
    empty_dirs: bool = False,
) -> World:
    """A daemon at rest, with four files published."""
    world = World(deletes=deletes, existing=existing, replaces=replaces, empty_dirs=empty_dirs)
    for path in ("a", "b", "a/b"):
        world.make_folder(path)
    for path in ("1", "a/1", "a/2", "b/1"):
        world.write(path, 20)
    world.go_on(10.0)
    return world


def put_foreign(world: World, path: str) -> str:
    """Somebody else puts a file at the server, under a name that may be wanted here; its path there."""
    content, remote = f"foreign {path}".encode(), f"{BASE}/{path}"
    world.foreign[content] = remote
    world.server.files[remote] = MemoryFile(content, 1)
    return remote


def tell(story: tuple[Op, ...], later: tuple[tuple[int, Op], ...] = ()) -> World:
    """Tell a story to its end, and compare."""
    with begun() as world:
        before = world.steps
        for steps, op in later:
            world.later(steps, op)
        for op in story:
            world.do(op)
        world.steps_of_story = world.steps - before
        world.come_to_rest()
    return world
