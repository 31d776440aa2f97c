"""A batch is bounded, and coarser rather than incomplete."""

from __future__ import annotations

from ftpsyncd.local import inotify
from ftpsyncd.local.changes import Batch, Changes


def test_a_batch_gives_each_path_once_and_is_empty_then() -> None:
    batch = Batch()
    assert not batch
    batch.add("a")
    batch.add("a")
    batch.add_names("dir", ["x", "y"])
    batch.add_names("", ["top"])
    batch.add_deep("new")
    assert batch.take() == Changes(frozenset({"a", "dir/x", "dir/y", "top"}), frozenset({"new"}))
    assert not batch
    assert batch.take() == Changes(frozenset(), frozenset())


def test_the_root_with_everything_below_covers_the_rest() -> None:
    batch = Batch()
    batch.add("a")
    batch.add_deep("", "something was lost")
    assert batch.take() == Changes(frozenset(), frozenset({""}), "something was lost")


def test_too_many_names_of_few_directories_become_these_directories() -> None:
    batch = Batch(most_paths=100)
    batch.add_names("a/b", map(str, range(60)))
    batch.add_names("a/c", map(str, range(60)))
    assert batch.take() == Changes(frozenset(), frozenset(), folders=frozenset({"a/b", "a/c"}))
    assert not batch


def test_too_many_directories_become_the_one_above_them() -> None:
    batch = Batch(most_paths=100)
    for number in range(101):
        batch.add(f"a/b/{number}/x")
    batch.add("elsewhere")
    assert batch.take() == Changes(frozenset({"elsewhere"}), frozenset({"a/b"}))


def test_too_many_folders_become_the_one_above_them() -> None:
    batch = Batch(most_paths=100)
    for number in range(51):
        batch.add_folder(f"a/b/{number}")
    assert batch
    assert batch.take() == Changes(frozenset(), frozenset({"a/b"}))


def test_too_many_new_directories_become_the_one_above_them() -> None:
    batch = Batch(most_paths=100)
    for number in range(101):
        batch.add_deep(f"{number}")
    assert batch.take().deep == {""}


def test_events_are_parsed_as_the_kernel_packs_them() -> None:
    header = inotify._HEADER.pack
    data = header(1, inotify.IN_CREATE, 0, 16) + b"a.jpg".ljust(16, b"\0") + header(-1, inotify.IN_Q_OVERFLOW, 0, 0)
    assert inotify.parse(memoryview(data)) == [(1, inotify.IN_CREATE, 0, b"a.jpg"), (-1, inotify.IN_Q_OVERFLOW, 0, b"")]
