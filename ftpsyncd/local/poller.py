"""Noticing changes by looking: for file systems that inotify cannot see, and for what it has no watches left for.

Comes in: folders to look at. Goes out: folders that differ from the last look, into a `Batch`. Called by `sources`.
Remembered is one number per folder, not per file: memory grows with folders, not with their content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from ftpsyncd.local.changes import Batch
from ftpsyncd.local.tree import DIRECTORY_FLAGS, open_directory
from ftpsyncd.paths import join

LONGEST = 4095 - 256
"""Bytes of a folder's path with which the kernel takes (PATH_MAX) that of anything in it; else it goes name by name."""


class Poller:
    """Compares folders with what they were at the last look.

    Args:
        root: absolute path of the root.
        descend: whether what is in a folder (relative path) can matter.
        batch: receives the folders that differ.
        stopped: asked once per folder; a look that is stopped midway is forgotten.
    """

    def __init__(self, root: str, descend: Callable[[str], bool], batch: Batch, stopped: Callable[[], bool]) -> None:
        self._root = root
        self._descend = descend
        self._batch = batch
        self._stopped = stopped
        self._known: dict[str, int] = {}

    def look(self, tops: Collection[str], *, report: bool) -> None:
        """Look at ``tops`` and all below them; with ``report``, tell what is new, changed or gone."""
        seen: dict[str, int] = {}
        waiting = list(tops)
        while waiting:
            if self._stopped():
                return
            path = waiting.pop()
            if path in seen:
                continue
            digest, folders = self._digest(path)
            seen[path] = digest
            waiting.extend(below for name in folders if self._descend(below := join(path, name)))
            if report and self._known.get(path) != digest:
                self._batch.add_folder(path)
        if report:
            for path in self._known.keys() - seen.keys():
                self._batch.add_folder(path)
        self._known = seen

    def _digest(self, path: str) -> tuple[int, list[str]]:
        """A number that differs when anything in the folder does, and the names of the folders in it."""
        absolute = join(self._root, path) if path else self._root
        try:
            if len(os.fsencode(absolute)) <= LONGEST:
                return _digest(absolute, follow_symlinks=not path)
            descriptor = _open(self._root, path)
            try:
                return _digest(descriptor, follow_symlinks=True)
            finally:
                os.close(descriptor)
        except OSError as error:
            return -(error.errno or 1), []


def _open(root: str, path: str) -> int:
    """Open a folder whose path, or that of something in it, is too long for the kernel."""
    above = os.open(root, DIRECTORY_FLAGS)
    try:
        return open_directory(Path(root), above, path, follow_symlinks=False)[0]
    finally:
        os.close(above)


def _digest(folder: str | int, *, follow_symlinks: bool) -> tuple[int, list[str]]:
    """See `Poller._digest`.

    The folder's own time stamps alone would not do: a file that is written in place does not change them. They are part
    of it because a name may come and go between two looks, and be seen by a listing in between.

    Args:
        folder: its path, or a descriptor.
        follow_symlinks: it may be a link; a descriptor is none.

    Raises:
        OSError: the folder is gone, or cannot be read.
    """
    own = os.stat(folder, follow_symlinks=follow_symlinks)  # noqa: PTH116 - no path object per folder
    facts = [("", own.st_ino, own.st_mtime_ns, own.st_ctime_ns, own.st_mode)]
    folders: list[str] = []
    with os.scandir(folder) as found:
        for item in found:
            name = item.name
            try:
                status = item.stat(follow_symlinks=False)
            except OSError as error:
                facts.append((name, -1, error.errno or 0, 0, 0))
                continue
            if item.is_dir(follow_symlinks=False):
                # Its own size and times change with its content, which is looked at by itself.
                folders.append(name)
                facts.append((name, -2, 0, status.st_ino, status.st_mode))
            else:
                facts.append((name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns))
    facts.sort()
    return hash(tuple(facts)), folders
