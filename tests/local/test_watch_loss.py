"""The kernel's limits: its queue, its watches, its instances. Nothing is lost, nothing spins, people are told."""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ftpsyncd.local import inotify, limits, watch
from ftpsyncd.local.branches import OVERFLOWED, Branches
from ftpsyncd.local.changes import Batch
from ftpsyncd.local.sources import InotifySource
from ftpsyncd.specs import WatchMode
from tests.local.mirror import Watched
from tests.waiting import until


@pytest.fixture
def root(quick: Path) -> Path:
    found = quick / "root"
    found.mkdir()
    return found


@pytest.fixture
def native(root: Path) -> Iterator[Watched]:
    watched = Watched(root).start()
    yield watched
    watched.close()


def _source(watched: Watched) -> InotifySource:
    assert watched.watcher._native is not None
    return watched.watcher._native


def _watches(source: InotifySource) -> int:
    """How many the kernel has."""
    return Path(f"/proc/self/fdinfo/{source._kernel.fileno()}").read_bytes().count(b"inotify wd:")


def test_an_overflow_loses_nothing_and_ends(native: Watched) -> None:
    moved = native.root / "moved"
    (moved / "below").mkdir(parents=True)
    (native.root / "gone" / "below").mkdir(parents=True)
    native.settle()
    source = _source(native)
    with source._guard:  # the reader cannot read
        for number in range(limits.limit("max_queued_events") // 2 + 1000):
            (native.root / f"{number}.jpg").touch()
        # None of this is seen by the kernel's queue:
        moved.rename(native.root / "elsewhere")
        (native.root / "gone" / "below").rmdir()
        (native.root / "gone").rmdir()
        (native.root / "fresh" / "below").mkdir(parents=True)
    until(lambda: OVERFLOWED in native.mirror.reasons(), "the word about the overflow")
    native.settle()
    for folder in ("elsewhere/below", "fresh/below"):
        (native.root / folder / "late.jpg").write_bytes(b"x")
    native.settle()
    native.watcher.check()
    assert native.mirror.reasons() == [OVERFLOWED]
    assert _watches(source) == 5
    assert _cpu_share(0.5) < 0.2


def test_of_what_was_moved_out_the_kernel_has_no_watch_any_more(native: Watched) -> None:
    series = native.root / "series"
    (series / "one" / "two").mkdir(parents=True)
    native.settle()
    source = _source(native)
    assert _watches(source) == 4
    outside = series.rename(native.root.with_name("outside"))
    until(lambda: _watches(source) == 1, "what is elsewhere is left alone", 30)
    outside.rename(series)
    until(lambda: _watches(source) == 4, "what is back is watched", 30)


def test_what_is_lost_again_right_after_has_its_turn_in_a_while_though_nothing_else_happens(root: Path) -> None:
    with closing(inotify.Inotify()) as kernel:
        branches = Branches(str(root), kernel, lambda _path: True, batch := Batch())
        branches.enter_root("the start")
        for reason in ("the start", "first"):
            assert branches.work(math.inf)
            assert batch.take().reason == reason
            branches.resync("first" if reason == "the start" else "again")
        waits_s = branches.wait_s(time.monotonic())
    assert waits_s is not None
    assert 0.5 < waits_s < 300, "ten times as long as the first one took"


def test_of_folders_that_were_deleted_nothing_is_kept(root: Path) -> None:
    with closing(inotify.Inotify()) as kernel:
        branches = Branches(str(root), kernel, lambda _path: True, Batch())
        for number in range(3):
            (root / f"{number}" / "below").mkdir(parents=True)
        branches.enter_root("the start")
        assert branches.work(math.inf)
        assert len(branches._by_wd) == 7
        for number in range(3):
            shutil.rmtree(root / f"{number}")
        branches.absorb(kernel.read()[0])
        assert branches.work(math.inf)
        assert (len(branches._by_wd), branches._root.children) == (1, {})


def test_a_folder_that_cannot_be_listed_for_want_of_files_is_polled_until_it_can(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below it is not known, and so not watched."""
    (root / "sub" / "below").mkdir(parents=True)
    listed = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("/sub"):
            raise OSError(errno.EMFILE, "Too many open files")
        return listed(path)

    with closing(inotify.Inotify()) as kernel:
        branches = Branches(str(root), kernel, lambda _path: True, Batch())
        with monkeypatch.context() as few:
            few.setattr(os, "scandir", refuse)
            branches.enter_root("the start")
            assert branches.work(math.inf)
        assert (branches.unwatched(), branches.shortage) == (("sub",), limits.Shortage.FILES)
        branches.retry()
        assert branches.work(math.inf)
        assert (branches.unwatched(), branches.shortage) == ((), limits.Shortage.REFUSED)
        assert len(branches._by_wd) == 3


def test_overflow_after_overflow_with_many_folders_does_not_livelock(root: Path) -> None:
    for number in range(3000):
        (root / f"d{number // 100}" / f"{number}").mkdir(parents=True)
    native = Watched(root).start()
    try:
        source = _source(native)
        for turn in range(3):
            with source._guard:
                for number in range(limits.limit("max_queued_events") // 3 + 500):
                    path = root / f"d{number % 30}" / f"{turn} {number}.jpg"
                    path.touch()
            native.round_trip()
        native.settle()
        assert native.mirror.reasons().count(OVERFLOWED) <= 3
        assert _cpu_share(0.5) < 0.2
    finally:
        native.close()


def test_a_burst_of_fifty_thousand_files_arrives_without_an_overflow(root: Path) -> None:
    """In one of three tries: a busy machine may keep the reader from reading for as long as the queue takes to fill."""
    make = "import sys\nfor n in range(50000): open(f'{sys.argv[1]}/{n}', 'w').close()"
    for turn in range(3):
        (root / f"{turn}").mkdir()
        native = Watched(root / f"{turn}").start()
        try:
            told = native.mirror.told
            native.watcher._deliver = told.append  # a receiver as quick as the engine's mailbox
            native.watcher._main.receiver._deliver = told.append  # type: ignore[union-attr]
            subprocess.run([sys.executable, "-c", make, native.root], check=True)
            (native.root / "marker").mkdir()
            until(lambda: native.mirror.hinted("marker") or OVERFLOWED in native.mirror.reasons(), timeout_s=30)  # noqa: B023 - called here
            if OVERFLOWED in native.mirror.reasons():
                continue
            paths = {path for changes in told for path in changes.paths}
            coarse = any("" in changes.folders or "" in changes.deep for changes in told)
            assert coarse or {f"{number}" for number in range(50_000)} <= paths
            return
        finally:
            native.close()
    pytest.fail("the kernel's queue overflowed each time")


def test_ten_thousand_folders_start_in_a_moment(root: Path) -> None:
    for number in range(10_000):
        (root / f"d{number // 100}" / f"{number}").mkdir(parents=True)
    began = time.process_time()
    native = Watched(root)
    try:
        report = native.watcher.start()
        took_s = time.process_time() - began
        assert report.kind == "native"
        assert _watches(_source(native)) == 10_101
        assert took_s < 2
        until(lambda: native.mirror.seen, "the first report")
    finally:
        native.watcher.stop()


class _Scarce(inotify.Inotify):
    """Gives a few watches only, as fs.inotify.max_user_watches would."""

    most = 3

    def __init__(self) -> None:
        super().__init__()
        self.given: set[int] = set()

    def add(self, path: str, mask: int) -> int:
        wd = super().add(path, mask)
        if wd not in self.given and len(self.given) >= type(self).most:
            super().remove(wd)
            raise OSError(errno.ENOSPC, "No space left on device")
        self.given.add(wd)
        return wd

    def remove(self, wd: int) -> None:
        self.given.discard(wd)
        super().remove(wd)


def test_folders_without_a_watch_are_polled_and_the_sysctl_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "RETRY_S", 0.0)
    monkeypatch.setattr(_Scarce, "most", 3)
    for number in range(8):
        (root / f"d{number}" / "sub").mkdir(parents=True)
    watched = Watched(root, open_kernel=_Scarce).start()
    try:
        assert (watched.report.kind, watched.report.shortage) == ("native+poll", limits.Shortage.WATCHES)
        limit = limits.limit("max_user_watches")
        assert f"fs.inotify.max_user_watches is {limit} and used up: 14 folders are looked at" in watched.report.problem
        for number in range(8):
            (root / f"d{number}" / "sub" / "a.jpg").write_bytes(b"x")
            (root / f"new{number}" / "sub").mkdir(parents=True)
            (root / f"new{number}" / "sub" / "b.jpg").write_bytes(b"x")
        watched.settle()
        (root / "d1").rename(root / "renamed")
        (root / "renamed" / "sub" / "c.jpg").write_bytes(b"x")
        watched.settle()
        monkeypatch.setattr(_Scarce, "most", 1000)
        well = watched.report._replace(kind="native", problem="", shortage=None)
        until(lambda: watched.watcher.check() == well, "enough watches")
        (root / "renamed" / "sub" / "d.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


def test_watches_that_run_out_later_are_filled_in_by_the_next_check(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Scarce, "most", 2)
    watched = Watched(root, open_kernel=_Scarce).start()
    try:
        assert watched.report.kind == "native"
        (root / "a" / "b" / "c").mkdir(parents=True)
        # Nobody tells of the last one if it was made after `b` was looked through, which has no watch.
        until(lambda: watched.watcher.check().kind == "native+poll")
        watched.settle()
        (root / "a" / "b" / "c" / "x.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


class _Strict(inotify.Inotify):
    """Refuses folders that nobody may read; tests run as root, whom the kernel refuses nothing."""

    def add(self, path: str, mask: int) -> int:
        if not Path(path).stat().st_mode & 0o444:
            raise PermissionError(errno.EACCES, "Permission denied")
        return super().add(path, mask)


def test_a_folder_that_becomes_readable_is_watched_then(root: Path) -> None:
    (root / "closed" / "sub").mkdir(parents=True)
    (root / "closed").chmod(0)
    watched = Watched(root, open_kernel=_Strict, poll_every_s=3600).start()
    try:
        assert (watched.report.kind, watched.report.shortage) == ("native+poll", limits.Shortage.REFUSED)
        assert watched.report.problem.startswith("1 folder is looked at every 1 h instead of watched")
        (root / "closed").chmod(0o755)
        watched.settle()
        until(lambda: watched.watcher.check().kind == "native")
        (root / "closed" / "sub" / "a.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


@pytest.mark.parametrize("mode", [WatchMode.NATIVE, WatchMode.POLL])
def test_what_is_deeper_than_any_path_may_be_long_is_looked_at_again_and_again(root: Path, mode: WatchMode) -> None:
    name = "d" * 250
    deepest = os.open(root, os.O_RDONLY)
    for _ in range(18):
        os.mkdir(name, dir_fd=deepest)
        above, deepest = deepest, os.open(name, os.O_RDONLY, dir_fd=deepest)
        os.close(above)
    watched, folder = Watched(root, mode), "/".join([name] * 18)
    try:
        watched.start()
        until(lambda: watched.mirror.hinted(folder if mode is WatchMode.NATIVE else ""), "it is known")
        for what in ("new", "changed"):
            watched.mirror.clear()
            file = os.open("a.jpg", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600, dir_fd=deepest)
            os.write(file, b"x")
            os.close(file)
            until(lambda: watched.mirror.hinted(folder), f"a file is {what}")
    finally:
        os.close(deepest)
        watched.watcher.stop()


def test_without_an_instance_everything_is_polled_until_there_is_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "RETRY_S", 0.0)
    refused = threading.Event()
    refused.set()

    def open_kernel() -> inotify.Kernel:
        if refused.is_set():
            raise OSError(errno.EMFILE, "Too many open files")
        return inotify.Inotify()

    watched = Watched(root, open_kernel=open_kernel).start()
    try:
        assert (watched.report.kind, watched.report.shortage) == ("poll", limits.Shortage.INSTANCES)
        assert "fs.inotify.max_user_instances is " in watched.report.problem
        assert watched.watcher.check() == watched.report
        (root / "a.jpg").write_bytes(b"x")
        watched.settle()
        refused.clear()
        report = watched.watcher.check()
        assert (report.kind, report.problem) == ("native", "")
        (root / "b.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


def test_an_instance_that_takes_the_last_descriptor_is_given_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[inotify.Inotify] = []

    def open_kernel() -> inotify.Kernel:
        opened.append(inotify.Inotify())
        return opened[-1]

    def refused(_value: int, _flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "eventfd", refused)
    watched = Watched(root, open_kernel=open_kernel).start()
    try:
        assert watched.report.kind == "poll"
        assert [kernel.fileno() for kernel in opened] == [-1]
    finally:
        watched.close()


_IN_A_NAMESPACE = """
import sys
from pathlib import Path
from ftpsyncd.local.watch import RootWatcher
from ftpsyncd.specs import WatchMode
watcher = RootWatcher(Path(sys.argv[1]), mode=WatchMode.NATIVE, poll_every_s=15, descend=lambda path: True,
                      deliver=lambda changes: None)
report = watcher.start()
watcher.stop()
print(report.kind, report.problem)
"""


@pytest.mark.parametrize(
    ("sysctl", "value", "said"),
    [
        ("max_inotify_watches", 20, "native+poll fs.inotify.max_user_watches"),
        ("max_inotify_instances", 0, "poll fs.inotify.max_user_instances"),
    ],
)
def test_the_kernels_own_refusal(root: Path, sysctl: str, value: int, said: str) -> None:
    for number in range(40):
        (root / f"{number}").mkdir()
    set_limit = f'echo {value} > /proc/sys/user/{sysctl} && exec "$@"'
    run = subprocess.run(
        ["unshare", "-U", "-r", "sh", "-c", set_limit, "sh", sys.executable, "-c", _IN_A_NAMESPACE, root],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode and "Traceback" not in run.stderr:
        pytest.skip(f"no user namespace with limits of its own here: {run.stderr.strip()}")
    assert run.stderr == ""
    assert run.stdout.startswith(said)


def test_ten_thousand_files_are_polled_with_little(root: Path) -> None:
    for number in range(10_000):
        (root / f"{number}.jpg").touch()
    watched = Watched(root, WatchMode.POLL)
    try:
        watched.start()
        os.utime(root / "5000.jpg", (1, 1))
        watched.settle(30)
        assert _cpu_share(1.0) < 0.3  # the rest is at least 20 times as long as a look
    finally:
        watched.close()


def _cpu_share(seconds: float) -> float:
    """The processor time of this process during an interval in which nothing happens, as a share of it."""
    began = time.process_time()
    threading.Event().wait(seconds)
    return (time.process_time() - began) / seconds


@pytest.mark.parametrize(("count", "them"), [(1, "it"), (2, "them")])
def test_a_folder_that_may_not_be_watched_is_not_blamed_on_the_kernel_alone(count: int, them: str) -> None:
    assert f"the user that runs ftpsyncd may not read {them}, or" in limits.words_for_refused(count, 30.0)
