"""Which published paths are gone, since when, and how many of them may be deleted without a person. Pure.

A path that is gone waits for ``delete_after``. What waits together is judged together against ``max_deletes``, and
with what went out during the last minute, so that one mass delete cannot pass in portions. Times are monotonic
seconds; counts are files.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_S = 60.0
"""Deletes admitted in this time count as "at once"."""


class Absence(NamedTuple):
    """A published path that is not on disk."""

    since: float
    files: int
    """1, or for a directory the number of published files below it."""


class Deletes:
    """The absences of one mapping and the guard over their deletion."""

    def __init__(self) -> None:
        self._absent: dict[str, Absence] = {}
        self._files = 0
        self._admitted: deque[tuple[float, int]] = deque()
        self._approved = 0
        self._doomed: set[str] = set()

    def __repr__(self) -> str:
        return f"<Deletes absent={len(self._absent)} files={self._files} doomed={len(self._doomed)}>"

    @property
    def files(self) -> int:
        """How many published files are gone and not yet being deleted."""
        return self._files

    @property
    def paths(self) -> list[str]:
        """The paths that are gone and not yet being deleted; for a directory its own path only."""
        return list(self._absent)

    def since(self, path: str) -> float | None:
        """When a path was first seen gone; None if it is not known to be gone."""
        absence = self._absent.get(path)
        return absence.since if absence else None

    def note(self, path: str, files: int, now: float) -> float:
        """A file is gone; returns since when."""
        before = self._absent.get(path)
        since = before.since if before else now
        self._files += files - (before.files if before else 0)
        self._absent[path] = Absence(since, files)
        return since

    def note_directory(self, path: str, files: int, now: float) -> float:
        """A directory is gone with all that is below it, which needs no note of its own; returns since when."""
        prefix = f"{path}/"
        below = [p for p in self._absent if p.startswith(prefix)]
        since = min((self._absent[p].since for p in below), default=now)
        for inner in below:
            self.back(inner)
        return self.note(path, files, since)

    def back(self, path: str) -> None:
        """A path is there again, or its absence has been dealt with."""
        absence = self._absent.pop(path, None)
        if absence is not None:
            self._files -= absence.files
        self._doomed.discard(path)

    def clear(self) -> None:
        """Nothing can be said to be gone: the source is missing."""
        self._absent.clear()
        self._doomed.clear()
        self._files = 0

    # ── the guard ────────────────────────────────────────────────────────────────────────────────────────────

    def allowed(self, limit: int, now: float) -> bool:
        """Whether all that is gone may be deleted without a person."""
        while self._admitted and self._admitted[0][0] <= now - WINDOW_S:
            self._admitted.popleft()
        if self._files <= self._approved:
            return True
        return self._files + sum(files for _, files in self._admitted) <= limit

    def admit(self, path: str, now: float) -> None:
        """The deletion of an absent path begins."""
        files = self._absent[path].files
        self.back(path)
        if files <= self._approved:
            self._approved -= files
        else:
            self._admitted.append((now, files))

    def approve(self) -> int:
        """A person allows everything that is gone now to be deleted; returns how many files that is."""
        self._approved = self._files
        return self._files

    # ── directories being deleted ────────────────────────────────────────────────────────────────────────────

    def doom(self, directory: str) -> None:
        """The deletion of a directory that is gone has begun; its content needs no further admission."""
        self._doomed.add(directory)

    def is_doomed(self, directory: str) -> bool:
        """Whether a directory that is gone is being deleted already."""
        return directory in self._doomed
