"""What may have changed since the last time, collected without events' types and in bounded memory.

Comes in: paths from `branches` and `poller`. Goes out: `Changes`, to the engine by way of `watch`. An event is only a
hint that a path may differ; which kind of event it was is forgotten here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from ftpsyncd.local.limits import Shortage
from ftpsyncd.model import RootIdentity
from ftpsyncd.paths import parent

MOST_PATHS = 20_000
"""More paths than this in one batch are told as directories."""

MOST_DIRECTORIES = 2_000
"""More directories than this in their place are told as the one directory above them all."""


class Changes(NamedTuple):
    """Hints that something may differ from what was seen before. Paths are relative; ``""`` is the root."""

    paths: frozenset[str]
    """Each of these may differ: appeared, changed, vanished."""
    deep: frozenset[str]
    """Each of these, if it is a directory, may differ with everything below it."""
    reason: str = ""
    """In words, when something was lost: "the kernel's event queue overflowed"."""
    folders: frozenset[str] = frozenset()
    """Each of these is to be listed again: its own entries, not what is below. Among the paths it would only be asked
    for by its name, which a look at all of the directory above answers, too."""


class WatchReport(NamedTuple):
    """How well a root is being watched."""

    kind: str
    """"native", "poll", "native+poll" (polled is what the kernel cannot watch) or "none"."""
    root: RootIdentity | None
    """The folder that is watched; None if it is missing."""
    problem: str
    """In words, with the sysctl's name and value where that is the remedy; empty when all is well."""
    numbered: RootIdentity | None = None
    """The same folder, known by the number of its device."""
    shortage: Shortage | None = None
    """Why something is polled that should be watched; None if nothing is. The problem's words change with the number of
    folders, which may be another one at each look."""


class Batch:
    """Collects changes until they are taken; not thread-safe.

    Args:
        most_paths: bound of what is kept; beyond it precision is given up, never completeness.
    """

    def __init__(self, most_paths: int = MOST_PATHS) -> None:
        self._most_paths = most_paths
        self._paths: set[str] = set()
        self._deep: set[str] = set()
        self._folders: set[str] = set()
        self._reason = ""

    def __bool__(self) -> bool:
        return bool(self._paths or self._deep or self._folders)

    def add_folder(self, directory: str) -> None:
        """Note a directory whose own entries may differ."""
        self._add_folders({directory})

    def add(self, path: str) -> None:
        """Note one path."""
        self._paths.add(path)
        if len(self._paths) > self._most_paths:
            self._coarsen()

    def add_names(self, directory: str, names: Iterable[str]) -> None:
        """Note names in one directory."""
        prefix = f"{directory}/" if directory else ""
        self._paths.update([prefix + name for name in names])
        if len(self._paths) > self._most_paths:
            self._coarsen()

    def add_deep(self, directory: str, reason: str = "") -> None:
        """Note a directory with everything below it."""
        self._deep.add(directory)
        if reason:
            self._reason = reason
        if len(self._deep) > self._most_paths:
            self._deep = {_above_all(self._deep)}

    def take(self) -> Changes:
        """Everything collected so far; the batch is empty afterwards."""
        if "" in self._deep:
            taken = Changes(frozenset(), frozenset({""}), self._reason)
        else:
            taken = Changes(frozenset(self._paths), frozenset(self._deep), self._reason, frozenset(self._folders))
        self._paths, self._deep, self._folders, self._reason = set(), set(), set(), ""
        return taken

    def _coarsen(self) -> None:
        directories = {parent(path) for path in self._paths}
        self._paths = set()
        self._add_folders(directories)

    def _add_folders(self, directories: set[str]) -> None:
        self._folders |= directories
        if len(self._folders) > min(MOST_DIRECTORIES, self._most_paths // 2):
            self._deep.add(_above_all(self._folders))
            self._folders = set()


def _above_all(directories: Iterable[str]) -> str:
    """The deepest directory that contains all of ``directories``; ``""`` if only the root does."""
    return os.path.commonpath([f"/{directory}" for directory in directories]).lstrip("/")
