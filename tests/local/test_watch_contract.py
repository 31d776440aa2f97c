"""Every row of what is known to go wrong with watching: whoever looks where the watcher points ends up right."""

# ruff: noqa: PTH102, PTH118, PTH123, PTH208 - the plainest calls: what is tested is below them, and some names are bytes

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.local import inotify
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.watch import RootWatcher
from ftpsyncd.specs import WatchMode
from tests.local.mirror import Watched
from tests.waiting import until

pytestmark = pytest.mark.lasting(60)


@pytest.fixture(params=[WatchMode.NATIVE, WatchMode.POLL], ids=["native", "poll"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").mkdir()
    (root / "old" / "file.jpg").write_bytes(b"old")
    found = Watched(root, request.param).start()
    yield found
    found.close()


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path / "root"
    root.mkdir()
    found = Watched(root).start()
    yield found
    found.close()


def test_the_report_says_how_it_watches(watched: Watched) -> None:
    assert watched.report.kind in {"native", "poll"}
    assert watched.report.problem == ""
    assert watched.report.root is not None
    assert watched.watcher.check() == watched.report


def test_a_new_file_a_change_and_a_delete_are_noticed(watched: Watched) -> None:
    path = watched.root / "a.jpg"
    path.write_bytes(b"1")
    watched.settle()
    path.write_bytes(b"22")
    watched.settle()
    path.unlink()
    watched.settle()


def test_a_folder_made_with_a_file_in_it_at_once(watched: Watched) -> None:
    for number in range(200):
        deep = watched.root / f"n{number}" / "b" / "c"
        deep.mkdir(parents=True)
        (deep / "file.jpg").write_bytes(b"x" * number)
    watched.settle()


def test_cp_of_a_tree(watched: Watched, tmp_path: Path) -> None:
    source = _tree(tmp_path / "source")
    subprocess.run(["cp", "-r", source, watched.root / "copied"], check=True)
    watched.settle()


def test_tar_into_a_new_folder(watched: Watched, tmp_path: Path) -> None:
    source = _tree(tmp_path / "source")
    archive = tmp_path / "archive.tar"
    subprocess.run(["tar", "-cf", archive, "-C", source, "."], check=True)
    target = watched.root / "new"
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    watched.settle()


def test_a_folder_renamed_again_and_again_with_writes_in_between(watched: Watched) -> None:
    folder = watched.root / "old"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for number in range(50):
        renamed = watched.root / f"renamed {number}"
        folder.rename(renamed)
        folder = renamed
        (folder / "deep" / "deeper" / f"{number}.jpg").write_bytes(b"x")
    watched.settle()
    (folder / "deep" / "deeper" / "last.jpg").write_bytes(b"last")
    watched.settle()


def test_a_folder_moved_below_another_one(watched: Watched) -> None:
    (watched.root / "a" / "b").mkdir(parents=True)
    (watched.root / "c").mkdir()
    watched.settle()
    (watched.root / "a").rename(watched.root / "c" / "a")
    watched.settle()
    (watched.root / "c" / "a" / "b" / "x.jpg").write_bytes(b"x")
    watched.settle()


def test_a_folder_moved_in_with_content(watched: Watched, tmp_path: Path) -> None:
    source = _tree(tmp_path / "source")
    source.rename(watched.root / "in")
    watched.settle()
    (watched.root / "in" / "d1" / "later.jpg").write_bytes(b"later")
    watched.settle()


def test_a_folder_moved_out_is_not_reported_any_more(watched: Watched, tmp_path: Path) -> None:
    _tree(watched.root / "tree")
    watched.settle()
    outside = tmp_path / "outside"
    (watched.root / "tree").rename(outside)
    watched.settle()
    watched.round_trip()
    watched.mirror.clear()
    (outside / "d1" / "written outside.jpg").write_bytes(b"x")
    watched.round_trip()
    assert not any(
        "tree" in path for changes in watched.mirror.told for path in changes.paths | changes.deep | changes.folders
    )
    outside.rename(watched.root / "back")
    watched.settle()
    (watched.root / "back" / "d1" / "again.jpg").write_bytes(b"x")
    watched.settle()


def test_a_folder_replaced_by_a_file_and_back(watched: Watched) -> None:
    place = watched.root / "old"
    shutil.rmtree(place)
    place.write_bytes(b"a file now")
    watched.settle()
    place.unlink()
    _tree(place)
    watched.settle()


def test_a_folder_renamed_over_an_empty_one(watched: Watched) -> None:
    (watched.root / "empty").mkdir()
    watched.settle()
    (watched.root / "old").rename(watched.root / "empty")
    watched.settle()
    (watched.root / "empty" / "x.jpg").write_bytes(b"x")
    watched.settle()


def test_folders_swapped_while_nobody_reads(watched: Watched) -> None:
    one, two, away = watched.root / "old", watched.root / "two", watched.root / "away"
    _tree(two)
    watched.settle()
    for _ in range(21):
        one.rename(away)
        two.rename(one)
        away.rename(two)
    (one / "d1" / "one.jpg").write_bytes(b"1")
    (two / "two.jpg").write_bytes(b"2")
    watched.settle()
    (one / "d1" / "three.jpg").write_bytes(b"3")
    watched.settle()


def test_folders_that_change_places_at_once_are_both_watched_afterwards(watched: Watched) -> None:
    """As `mv --exchange` and `exch` do; of one of the names the last event says that it was left."""
    one, two = watched.root / "old", watched.root / "deep" / "two"
    two.parent.mkdir()
    _tree(one)
    _tree(two)
    watched.settle()
    for number in range(3):
        exchange(one, two)
        watched.settle()
        watched.round_trip()
        for place in (one, two, one / "d1", two / "d1"):
            (place / f"{number}.jpg").write_bytes(b"x" * number)
        watched.settle()


class OneCase(inotify.Inotify):
    """The kernel, on a file system that does not tell upper from lower case."""

    def add(self, path: str, mask: int) -> int:
        place = ""
        for name in path.strip("/").split("/"):
            names = os.listdir(place or "/")
            found = name if name in names else next((each for each in names if each.lower() == name.lower()), name)
            place = f"{place}/{found}"
        return super().add(place, mask)


@pytest.mark.usefixtures("one_case")
def test_a_folder_whose_name_changes_in_case_only_is_not_taken_for_two(tmp_path: Path) -> None:
    """The file system finds it under the old name, too, where it would be polled, and published, for ever."""
    root, got = tmp_path / "root", list[Changes]()
    (root / "Dir").mkdir(parents=True)
    watcher = RootWatcher(
        root,
        mode=WatchMode.NATIVE,
        poll_every_s=1,
        descend=lambda _path: True,
        deliver=got.append,
        open_kernel=OneCase,
    )
    try:
        watcher.start()
        until(lambda: got, "what was there before is told")
        (root / "Dir").rename(root / "dir")
        until(lambda: any("dir" in changes.deep for changes in got))
        assert (watcher.check().kind, watcher.check().problem) == ("native", "")
        assert not any("Dir" in changes.deep for changes in got)
        (root / "dir" / "new.jpg").write_bytes(b"new")
        until(lambda: any("dir/new.jpg" in changes.paths for changes in got))
    finally:
        watcher.stop()


def test_a_folder_that_changes_places_with_a_file_or_an_excluded_one_is_watched_afterwards(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("drafts", "one"):
        _tree(root / name)
    (root / "file").write_bytes(b"x")
    found = Watched(root, wanted=lambda path: path.rpartition("/")[2] != "drafts").start()
    try:
        for other in ("drafts", "file", "drafts", "file"):
            for places in ((root / "one", root / other), (root / other, root / "one")):
                exchange(*places)
                found.settle()
                found.round_trip()
                for place in (root / "one", root / "file"):
                    if place.is_dir():
                        (place / "d1" / "new.jpg").write_bytes(os.urandom(5))
                found.settle()
    finally:
        found.close()


def test_truncate_by_path_is_noticed(watched: Watched) -> None:
    os.truncate(watched.root / "old" / "file.jpg", 1)
    watched.settle()


def test_utime_and_chmod_are_noticed(watched: Watched) -> None:
    path = watched.root / "old" / "file.jpg"
    os.utime(path, (1, 1))
    watched.settle()
    path.chmod(0)
    watched.settle()


def test_an_append_that_writes_nothing_does_no_harm(watched: Watched) -> None:
    with (watched.root / "old" / "file.jpg").open("ab"):
        pass
    watched.round_trip()


def test_a_write_without_close_is_noticed(watched: Watched) -> None:
    with (watched.root / "long.mp4").open("wb", buffering=0) as writing:
        watched.settle()
        writing.write(b"more")
        watched.settle()


def test_a_file_without_a_name_that_gets_one(watched: Watched) -> None:
    try:
        descriptor = os.open(watched.root, os.O_TMPFILE | os.O_WRONLY)
    except OSError as error:
        pytest.skip(f"the file system has no O_TMPFILE: {error}")
    place = os.open(watched.root, os.O_RDONLY)
    try:
        os.write(descriptor, b"content")
        # The descriptor of the place makes Python call linkat(2), which alone can follow the link in /proc.
        os.link(f"/proc/self/fd/{descriptor}", "final.jpg", dst_dir_fd=place, follow_symlinks=True)
    finally:
        os.close(place)
        os.close(descriptor)
    watched.settle()


def test_names_of_every_kind(watched: Watched) -> None:
    for name in (b"a b", b"-rf", b"new\nline", b"\xff\xfe", b"[*]?", "é".encode(), b"x" * 255):
        folder = os.path.join(os.fsencode(watched.root), name)
        os.mkdir(folder)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    watched.settle()


def test_a_link_is_noticed_and_nothing_behind_it(watched: Watched, tmp_path: Path) -> None:
    outside = _tree(tmp_path / "outside")
    (watched.root / "link").symlink_to(outside)
    watched.settle()
    watched.mirror.clear()
    (outside / "d1" / "behind.jpg").write_bytes(b"x")
    watched.round_trip()
    assert not any(
        path.startswith("link/") for changes in watched.mirror.told for path in changes.paths | changes.folders
    )


def test_a_write_through_a_hard_link_outside_is_left_to_the_rescan_or_polled(watched: Watched, tmp_path: Path) -> None:
    outside = tmp_path / "same file"
    outside.hardlink_to(watched.root / "old" / "file.jpg")
    outside.write_bytes(b"written through the other name")
    if watched.report.kind == "poll":
        watched.settle()
    else:
        (watched.root / "marker").mkdir()
        until(lambda: watched.mirror.hinted("marker"))
        assert not watched.mirror.is_right()


def test_what_is_excluded_is_not_watched(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "drafts" / "below").mkdir(parents=True)
    found = Watched(root, wanted=lambda path: path.rpartition("/")[2] != "drafts").start()
    try:
        (root / "drafts" / "below" / "x.jpg").write_bytes(b"x")
        (root / "new" / "drafts").mkdir(parents=True)
        found.settle()
        (root / "new" / "drafts" / "x.jpg").write_bytes(b"x")
        found.round_trip()
        assert not any(
            "drafts/" in path
            for changes in found.mirror.told
            for path in changes.paths | changes.deep | changes.folders
        )
        (root / "drafts").rename(root / "final")
        found.settle()
        (root / "final" / "below" / "y.jpg").write_bytes(b"y")
        found.settle()
        (root / "final").rename(root / "drafts")
        found.round_trip()
        found.mirror.clear()
        (root / "drafts" / "below" / "z.jpg").write_bytes(b"z")
        found.round_trip()
        assert not any(
            "below" in path for changes in found.mirror.told for path in changes.paths | changes.deep | changes.folders
        )
    finally:
        found.close()


def test_our_own_reading_causes_nothing(native: Watched) -> None:
    (native.root / "a.jpg").write_bytes(b"x" * 1000)
    native.settle()
    native.round_trip()
    native.mirror.clear()
    (native.root / "a.jpg").read_bytes()
    os.listdir(native.root)
    native.round_trip()
    assert not native.mirror.hinted("a.jpg")


_CHURN = """
import ctypes, os, random, sys
rename = ctypes.CDLL(None).renameat2
root, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
def folders():
    found = [root]
    for path, names, _ in os.walk(root):
        found += [os.path.join(path, name) for name in names]
    return found
known = folders()
for step in range(count):
    if step % 20 == 0:
        known = folders()
    place, other = chance.choice(known), chance.choice(known)
    name = f"n{chance.randrange(12)}"
    try:
        match chance.randrange(9):
            case 0 | 1 | 2:
                with open(os.path.join(place, "f" + name), "ab") as file:
                    file.write(b"x")
            case 3:
                os.makedirs(os.path.join(place, name, "sub"))
                known.append(os.path.join(place, name))
            case 4 | 5:
                if place != root:
                    os.rename(place, os.path.join(other, name))
            case 6:
                os.rename(os.path.join(place, "f" + name), os.path.join(other, "f" + name))
            case 8:
                rename(-100, os.fsencode(place), -100, os.fsencode(other), 2)
            case 7:
                os.system(f"rm -rf '{os.path.join(place, name)}'") if step % 5 == 0 else os.unlink(os.path.join(place, "f" + name))
    except OSError:
        pass
"""


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_in_whatever_order(watched: Watched, seed: int) -> None:
    _tree(watched.root / "tree")
    run = [sys.executable, "-c", _CHURN, os.fspath(watched.root)]
    both = [subprocess.Popen([*run, str(seed * 2 + n), "1500"]) for n in range(2)]
    try:
        # As long as the machine needs for that many steps.
        assert [process.wait() for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()
    watched.settle()
    for path, names, _ in os.walk(watched.root):
        for name in names:
            (Path(path) / name / "afterwards").write_bytes(b"x")
    watched.settle()


def exchange(one: Path, two: Path) -> None:
    """Have two names change places in one step (renameat2(2), RENAME_EXCHANGE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(two), 2):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one)


def _tree(top: Path) -> Path:
    chance = random.Random(7)
    for number in range(10):
        folder = top / f"d{number}" / "sub"
        folder.mkdir(parents=True)
        for file in range(5):
            (folder / f"{file}.jpg").write_bytes(chance.randbytes(100))
            (folder.parent / f"{file}.jpg").write_bytes(chance.randbytes(100))
    return top
