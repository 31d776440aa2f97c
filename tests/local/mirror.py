"""A receiver that believes nothing but the watcher's contract: it looks again at what it is told, and only at that."""

# ruff: noqa: PTH114, PTH208 - the plainest calls: what is tested is below them, and some names are bytes

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from ftpsyncd.local import inotify
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.watch import RootWatcher
from ftpsyncd.paths import join
from ftpsyncd.specs import WatchMode
from tests.waiting import until

Facts = tuple[int, int, int, int]


def facts(path: str) -> Facts | None:
    """Mode, size, mtime and inode of whatever is at ``path``; of a folder only its mode and inode."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        return status.st_mode, 0, 0, status.st_ino
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino


class Mirror:
    """Holds what it saw of a tree; right if every change was hinted at after it happened."""

    def __init__(self, root: Path, wanted: Callable[[str], bool] = lambda _path: True) -> None:
        self.root = os.fspath(root)
        self.wanted = wanted
        self.seen: dict[str, Facts] = {}
        self.told: list[Changes] = []
        self.lock = threading.Lock()

    def __call__(self, changes: Changes) -> None:
        with self.lock:
            self.told.append(changes)
            for path in changes.paths:
                # A folder that is known is not looked into: that has to be said.
                self._look(path, into=path not in self.seen)
            for path in changes.folders:
                self._look(path, into=True)
            for path in changes.deep:
                self._forget(path)
                self.seen.update(self._walk(path))

    def _look(self, path: str, *, into: bool) -> None:
        found = facts(self._absolute(path))
        if found is None or not self._inside(path):
            self._forget(path)
            return
        if path:
            self._note(path, found)
        if into and stat.S_ISDIR(found[0]) and self.wanted(path):
            self._list(path)

    def _list(self, path: str) -> None:
        try:
            names = set(os.listdir(self._absolute(path)))
        except OSError:
            return
        prefix = f"{path}/" if path else ""
        known = {other[len(prefix) :].split("/")[0] for other in self.seen if other.startswith(prefix)}
        for name in known - names:
            self._forget(prefix + name)
        for name in names:
            below = facts(self._absolute(prefix + name))
            if below is not None:
                self._note(prefix + name, below)

    def _note(self, path: str, found: Facts) -> None:
        before = self.seen.get(path)
        if before is not None and stat.S_ISDIR(before[0]) and not stat.S_ISDIR(found[0]):
            self._forget(path)
        self.seen[path] = found

    def _inside(self, path: str) -> bool:
        """Whether no part of the way is a symbolic link."""
        parts = path.split("/")[:-1]
        return not any(os.path.islink(self._absolute("/".join(parts[: n + 1]))) for n in range(len(parts)))

    def _forget(self, path: str, *, itself: bool = True) -> None:
        if itself:
            self.seen.pop(path, None)
        prefix = f"{path}/" if path else ""
        for below in [other for other in self.seen if other.startswith(prefix)]:
            del self.seen[below]

    def _walk(self, top: str) -> dict[str, Facts]:
        found: dict[str, Facts] = {}
        if top and (itself := facts(self._absolute(top))) is not None:
            found[top] = itself
        waiting = [top]
        while waiting:
            path = waiting.pop()
            try:
                names = os.listdir(self._absolute(path))
            except OSError:
                continue
            for name in names:
                below = join(path, name)
                fact = facts(self._absolute(below))
                if fact is None:
                    continue
                found[below] = fact
                if stat.S_ISDIR(fact[0]) and self.wanted(below):
                    waiting.append(below)
        return found

    def _absolute(self, path: str) -> str:
        return join(self.root, path) if path else self.root

    def truth(self) -> dict[str, Facts]:
        """What is on disk now."""
        return self._walk("")

    def is_right(self) -> bool:
        with self.lock:
            return self.seen == self.truth()

    def difference(self) -> dict[str, tuple[Facts | None, Facts | None]]:
        """Path to (seen, true), where they differ."""
        truth = self.truth()
        return {
            path: (self.seen.get(path), truth.get(path))
            for path in self.seen.keys() | truth.keys()
            if self.seen.get(path) != truth.get(path)
        }

    def hinted(self, path: str) -> bool:
        """Whether anything was told that covers ``path`` itself."""
        with self.lock:
            return any(path in changes.paths | changes.deep | changes.folders for changes in self.told)

    def reasons(self) -> list[str]:
        with self.lock:
            return [changes.reason for changes in self.told if changes.reason]

    def clear(self) -> None:
        with self.lock:
            self.told.clear()


class Watched:
    """A root with its watcher and a mirror; ends with `close`."""

    def __init__(
        self,
        root: Path,
        mode: WatchMode = WatchMode.NATIVE,
        *,
        wanted: Callable[[str], bool] = lambda _path: True,
        open_kernel: Callable[[], inotify.Kernel] = inotify.Inotify,
        poll_every_s: float = 0.02,
    ) -> None:
        self.root = root
        self.mirror = Mirror(root, wanted)
        self.watcher = RootWatcher(
            root,
            mode=mode,
            poll_every_s=poll_every_s,
            descend=wanted,
            deliver=self.mirror,
            name="test",
            open_kernel=open_kernel,
        )

    def start(self) -> Watched:
        self.report = self.watcher.start()
        if self.report.kind != "none":
            until(lambda: any("" in changes.deep for changes in self.mirror.told), "the first report of the root")
            self.settle()
        return self

    def settle(self, timeout_s: float = 60.0) -> None:
        """Wait until the mirror shows what is on disk; a poller looks again after 20 times the time of a look."""
        try:
            until(self.mirror.is_right, timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError(f"the mirror stays wrong: {self.mirror.difference()}") from None

    def round_trip(self) -> None:
        """Wait until whatever happened before this call has been delivered."""
        marker = self.root / "marker of the test"
        marker.mkdir()
        until(lambda: self.mirror.hinted(marker.name), "the marker")
        marker.rmdir()
        self.settle()

    def close(self) -> None:
        self.watcher.stop()
        self.watcher.stop()
        shutil.rmtree(self.root, ignore_errors=True)
