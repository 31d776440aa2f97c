"""The root itself: missing, moved, deleted, made anew, mounted over; and watching threads that die."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.local import inotify, mounts
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.watch import RootWatcher
from ftpsyncd.specs import WatchMode
from tests.local.mirror import Watched
from tests.waiting import until

both = pytest.mark.parametrize("mode", [WatchMode.NATIVE, WatchMode.POLL])
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "root"
    shutil.rmtree(tmp_path / "root", ignore_errors=True)


@both
def test_a_missing_root_is_reported_and_picked_up_when_it_appears(root: Path, mode: WatchMode) -> None:
    watched = Watched(root, mode).start()
    try:
        assert watched.report.kind == "none"
        assert watched.report.root is None
        assert watched.report.problem == f"the folder {root} is not there"
        assert watched.watcher.check().kind == "none"
        assert watched.mirror.told == []
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "a.jpg").write_bytes(b"x")
        report = watched.watcher.check()
        assert (report.kind, report.problem) == (mode.value, "")
        watched.settle()
        (root / "sub" / "b.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


def test_a_file_in_place_of_the_root_is_a_missing_root(root: Path) -> None:
    root.write_bytes(b"")
    watched = Watched(root).start()
    try:
        assert watched.report.kind == "none"
        assert "Not a directory" in watched.report.problem
    finally:
        watched.close()
        root.unlink()


@both
def test_of_a_root_that_cannot_be_opened_any_more_it_is_told_why(root: Path, mode: WatchMode) -> None:
    root.mkdir()
    watched = Watched(root, mode).start()
    try:
        root.rmdir()
        root.write_bytes(b"in its place")
        assert watched.watcher.check().kind == "none"
        until(lambda: watched.mirror.told[-1].reason == f"the folder {root} cannot be opened: Not a directory")
    finally:
        watched.close()
        root.unlink()


@both
def test_a_root_that_is_moved_away_and_comes_back(root: Path, tmp_path: Path, mode: WatchMode) -> None:
    root.mkdir()
    watched = Watched(root, mode).start()
    try:
        root.rename(tmp_path / "away")
        report = watched.watcher.check()
        assert (report.kind, report.root) == ("none", None)
        until(lambda: any("" in changes.deep and changes.reason for changes in watched.mirror.told))
        (tmp_path / "away" / "meanwhile.jpg").write_bytes(b"x")
        (tmp_path / "away").rename(root)
        assert watched.watcher.check().kind == mode.value
        watched.settle()
        assert "meanwhile.jpg" in watched.mirror.seen
    finally:
        watched.close()


@both
def test_a_root_that_is_deleted_and_made_anew_between_two_checks(root: Path, mode: WatchMode) -> None:
    root.mkdir()
    (root / "a.jpg").write_bytes(b"x")
    watched = Watched(root, mode).start()
    try:
        shutil.rmtree(root)
        root.mkdir()
        (root / "b.jpg").write_bytes(b"x")
        if mode is WatchMode.NATIVE:
            until(lambda: watched.watcher.check() and watched.mirror.reasons(), "a restart")
        watched.settle()
        (root / "c.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


@pytest.mark.root
@as_root
@both
def test_a_root_that_is_unmounted_and_mounted_again(root: Path, mode: WatchMode) -> None:
    root.mkdir()
    _mount(root)
    watched = Watched(root, mode)
    try:
        watched.start()
        mounted = watched.report.root
        (root / "a.jpg").write_bytes(b"x")
        watched.settle()
        subprocess.run(["umount", root], check=True)
        report = watched.watcher.check()
        assert report.root != mounted
        watched.settle()
        assert watched.mirror.seen == {}
        _mount(root)
        assert watched.watcher.check().root != report.root
        (root / "b.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.watcher.stop()
        subprocess.run(["umount", "-l", root], check=False)


@pytest.mark.root
@as_root
def test_a_disk_mounted_inside_the_root_is_watched_after_the_next_check(root: Path) -> None:
    inner = root / "inner"
    inner.mkdir(parents=True)
    watched = Watched(root).start()
    try:
        _mount(inner)
        (inner / "a.jpg").write_bytes(b"x")
        watched.watcher.check()
        watched.settle()
        (inner / "b.jpg").write_bytes(b"x")
        watched.settle()
        subprocess.run(["umount", inner], check=True)
        watched.watcher.check()
        watched.settle()
        (inner / "c.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.watcher.stop()
        subprocess.run(["umount", "-l", inner], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.root
@as_root
def test_a_disk_inside_the_root_that_goes_and_comes_again_between_two_checks_is_watched(root: Path) -> None:
    """The kernel gives the second mount the number of the first; nothing in the table of mounts tells them apart."""
    inner = root / "inner"
    inner.mkdir(parents=True)
    _mount(inner)
    watched = Watched(root)
    try:
        watched.start().settle()
        (inner / "a.jpg").write_bytes(b"x")
        watched.settle()
        subprocess.run(["umount", inner], check=True)
        # What was covered is watched from now on.
        until(lambda: "inner/a.jpg" not in watched.mirror.seen, "it is noticed that it went")
        _mount(inner)
        (inner / "b.jpg").write_bytes(b"x")
        watched.watcher.check()
        watched.settle()
        (inner / "c.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.watcher.stop()
        subprocess.run(["umount", "-l", inner], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.root
@as_root
def test_a_folder_bound_at_two_places_inside_the_root_is_noticed_at_both(root: Path) -> None:
    (root / "one").mkdir(parents=True)
    (root / "two").mkdir()
    subprocess.run(["mount", "--bind", root / "one", root / "two"], check=True)
    watched = Watched(root)
    try:
        assert watched.start().report.kind == "native+poll"
        (root / "one" / "a.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.watcher.stop()
        subprocess.run(["umount", "-l", root / "two"], check=False)


@both
def test_a_receiver_that_raises_gets_everything_again(root: Path, mode: WatchMode) -> None:
    root.mkdir()
    told: list[Changes] = []
    raising = threading.Event()

    def deliver(changes: Changes) -> None:
        told.append(changes)
        if raising.is_set():
            raise ValueError("no")

    watcher = RootWatcher(root, mode=mode, poll_every_s=0.02, descend=lambda _path: True, deliver=deliver)
    try:
        watcher.start()
        until(lambda: told)
        raising.set()
        told.clear()
        (root / "a.jpg").write_bytes(b"x")
        until(lambda: told)
        raising.clear()
        until(
            lambda: (
                watcher.check() and any("" in changes.deep and "ValueError: no" in changes.reason for changes in told)
            )
        )
    finally:
        watcher.stop()


class _Dying(inotify.Inotify):
    """Fails once at a read, as a bug would."""

    dying = threading.Event()

    def read(self) -> tuple[list[tuple[int, int, int, bytes]], int]:
        if self.dying.is_set():
            self.dying.clear()
            raise OSError(errno.EIO, "no more")
        return super().read()


def test_a_thread_that_dies_is_replaced_and_nothing_is_lost(root: Path) -> None:
    root.mkdir()
    watched = Watched(root, open_kernel=_Dying).start()
    try:
        _Dying.dying.set()
        (root / "a.jpg").write_bytes(b"x")
        until(lambda: watched.watcher.check() and any("no more" in reason for reason in watched.mirror.reasons()))
        watched.settle()
        (root / "b.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.close()


def test_after_stop_nothing_is_delivered_and_a_check_does_nothing(root: Path) -> None:
    root.mkdir()
    watched = Watched(root).start()
    watched.close()
    watched.mirror.clear()
    root.mkdir()
    (root / "a.jpg").write_bytes(b"x")
    assert watched.watcher.check().kind == "none"
    assert watched.watcher.start().kind == "none"
    assert watched.mirror.told == []


def test_automatic_choice_polls_what_inotify_cannot_see(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr("ftpsyncd.local.mounts.is_network_filesystem", lambda _path: True)
    watched = Watched(root, WatchMode.AUTO).start()
    try:
        assert watched.report.kind == "poll"
    finally:
        watched.close()
    monkeypatch.setattr("ftpsyncd.local.mounts.is_network_filesystem", lambda _path: False)
    root.mkdir()
    watched = Watched(root, WatchMode.AUTO).start()
    try:
        assert watched.report.kind == "native"
    finally:
        watched.close()


def test_where_there_is_no_inotify_the_emitters_of_watchdog_serve(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RootWatcher, "_open_main", lambda self, _reason: self._open_foreign())
    root.mkdir()
    watched = Watched(root).start()
    try:
        assert watched.report.kind == "native"
        (root / "a.jpg").write_bytes(b"x")
        watched.settle()
        (root / "a.jpg").rename(root / "b.jpg")
        (root / "sub").mkdir()
        watched.settle()
        (root / "sub" / "c.jpg").write_bytes(b"x")
        watched.settle()
        watched.watcher.check()
        assert watched.mirror.reasons() == []
    finally:
        watched.close()


def test_a_network_file_system_inside_the_root_is_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "share").mkdir(parents=True)
    mount = mounts.Mount(1, "share", "nfs4", "server:/x")
    monkeypatch.setattr(mounts, "below", lambda _path, _table: frozenset({mount}))
    watched = Watched(root, WatchMode.AUTO).start()
    try:
        assert (watched.report.kind, watched.report.problem) == ("native+poll", "")
        (root / "share" / "a.jpg").write_bytes(b"x")
        watched.settle()
        until(lambda: any("share" in changes.folders for changes in watched.mirror.told), "the poller's word")
        monkeypatch.setattr(mounts, "below", lambda _path, _table: frozenset())
        assert watched.watcher.check().kind == "native"
    finally:
        watched.close()


def test_a_root_whose_mount_cannot_be_told_now_is_no_other_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    watched = Watched(root).start()
    try:
        watched.mirror.clear()
        monkeypatch.setattr(mounts, "mount_id", lambda _path: None)
        watched.watcher.check()
        monkeypatch.undo()
        watched.watcher.check()
        assert watched.mirror.reasons() == []
    finally:
        watched.close()


def test_a_link_as_root_is_watched(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    link = tmp_path / "link"
    link.symlink_to(root)
    watched = Watched(link).start()
    try:
        (root / "new" / "sub").mkdir(parents=True)
        (root / "new" / "sub" / "a.jpg").write_bytes(b"x")
        watched.settle()
    finally:
        watched.watcher.stop()


def _mount(place: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode()}")


def test_a_start_that_takes_long_ends_when_it_is_stopped(root: Path) -> None:
    """A tree of a million folders must not keep the service from ending."""
    (root / "/".join("d" * 100)).mkdir(parents=True)
    entered: list[str] = []

    def descend(path: str) -> bool:
        if not entered:
            stopping.start()
        entered.append(path)
        time.sleep(0.005)  # a slow disk
        return True

    watcher = RootWatcher(root, mode=WatchMode.NATIVE, poll_every_s=60, descend=descend, deliver=lambda _changes: None)
    stopping = threading.Thread(target=watcher.stop)
    watcher.start()
    stopping.join()
    assert 0 < len(entered) < 100
