"""Which published paths are gone, since when, and how many of them may be deleted without a person. Pure.

A path that is gone waits for ``delete_after``. What waits together is judged together against ``max_deletes``, and
with what went out during the last minute, so that one mass delete cannot pass in portions. What a person approved does
not count against the limit until it is deleted, also where it was refused and is tried again. The approval ends with
the absence: a path that came back is protected as before.
Times are monotonic seconds; counts are files.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from ftpsyncd.core.inside import Inside
from ftpsyncd.model import Listing, Row
from ftpsyncd.paths import above

WINDOW_S = 60.0
"""Deletes admitted in this time count as "at once"."""
APPROVED_AT_ONCE = 5000
"""Paths that are approved in one go: some twenty milliseconds."""


def gone_s(listing: Listing, row: Row | None, published_ns: int) -> float:
    """For how many seconds what a directory lacks has been gone at least; 0.0 if nothing tells that.

    Args:
        listing: of the whole directory.
        row: of the directory itself; None for the root, which has none that counts.
        published_ns: when the server was found to have it: it was here until then.
    """
    since_ns = max(listing.changed_wall_ns, published_ns)
    if not listing.changed_wall_ns:
        return 0.0
    if listing.directory:
        # Its time says nothing about what was published from another directory of this path, also one further up.
        if row is None or row.fingerprint.inode != listing.inode:
            return 0.0
        since_ns = max(since_ns, row.published_ns)
    return max(0.0, (listing.taken_wall_ns - since_ns) / 1e9)


class Absence(NamedTuple):
    """A published path that is not on disk."""

    since: float
    files: int
    """1, or for a directory the number of published files below it."""
    approved: int = 0
    """How many of the files a person allowed to be deleted, or nobody has to."""


@dataclass(slots=True)
class _Admission:
    """A path whose deletion began without a person."""

    path: str
    at: float
    files: int
    """That count as deleted at once with others."""
    open: int
    """How many of them have not been deleted so far: they may be refused, and are gone again."""


class Deletes:
    """The absences of one mapping and the guard over their deletion.

    Args:
        allowed: what a person allowed to be deleted, by an earlier process: how many files at each path.
        keep: is told of all changes of that at once; 0 files: it is over.
        end: is told that all of that is over.
    """

    def __init__(
        self,
        allowed: Mapping[str, int] | None = None,
        keep: Callable[[Collection[tuple[str, int]]], None] = lambda _changes: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._keep = keep
        self._end = end
        self._allowed: dict[str, int] = {}
        """What a person allowed to be deleted and is not deleted yet; it outlives its admission, and a refusal."""
        self._allowed_inside = Inside(self._allowed)
        for path, files in (allowed or {}).items():
            self._allowed[path] = files
            self._allowed_inside.add(path)
        self._absent: dict[str, Absence] = {}
        self._inside = Inside(self._absent)
        self._files = self._empty = 0
        self._moment, self._gone_then = -math.inf, 0
        self._admitted: deque[_Admission] = deque()
        self._recent = 0
        """The sum of their files."""
        self._to_come = 0
        """How many of those are not deleted so far."""
        self._open: dict[str, _Admission] = {}
        """Those of them of which not all is deleted."""
        self._open_inside = Inside(self._open)
        self._approved = 0
        self._doomed: set[str] = set()
        self._doomed_inside = Inside(self._doomed)

    def __repr__(self) -> str:
        return f"<Deletes absent={len(self._absent)} files={self._files} doomed={len(self._doomed)}>"

    @property
    def files(self) -> int:
        """How many published files are gone and not yet being deleted."""
        return self._files

    @property
    def empty(self) -> int:
        """How many directories are gone, and not yet being deleted, in which no published file is left."""
        return self._empty

    def __bool__(self) -> bool:
        return bool(self._absent or self._doomed or self._allowed)

    def knows(self, path: str) -> bool:
        """Whether anything is noted about a path, or is being done to it."""
        return path in self._absent or path in self._doomed

    @property
    def paths(self) -> list[str]:
        """The paths that are gone and not yet being deleted; for a directory its own path only."""
        return list(self._absent)

    def since(self, path: str) -> float | None:
        """When a path was first seen gone; None if it is not known to be gone."""
        absence = self._absent.get(path)
        return absence.since if absence else None

    def note(self, path: str, files: int, now: float, *, counts: bool = True) -> float:
        """A file is gone; returns since when.

        Args:
            path: of the file.
            files: 1.
            now: monotonic seconds.
            counts: as deleted; else it was renamed, and only goes as what is deleted does.
        """
        if self._open and path not in self._absent:
            self._take_back(self._open_at(path), files)
        before = self._absent.get(path)
        if before is None and counts:
            # A directory above it that was gone, and is noted until it is looked at itself, counts it already.
            self.leaves(path, files)
        since = now if before is None else before.since
        self._put(path, Absence(since, files, min(files, self._allowed.get(path, 0)) if counts else files))
        return since

    def note_directory(self, path: str, files: int, now: float) -> float:
        """A directory is gone with all that is below it, which needs no note of its own; returns since when.

        It is since the first of what counts below it: of what does not, a file may wait for long to be published
        elsewhere, and tells nothing of the others.
        """
        if self._open and path not in self._absent:
            inside = sorted((self._open[inner] for inner in self._open_inside.below(path)), key=lambda each: each.at)
            self._take_back((*self._open_at(path), *inside), files)
        below = {inner: self._absent[inner] for inner in self._inside.below(path)}
        for inner in below:
            self._dealt_with(inner)
        counted = (absence for absence in below.values() if absence.files > absence.approved)
        since = min(absence.since for absence in (*counted, self._absent.get(path, Absence(now, 0))))
        if parts := list(self._allowed_inside.below(path)):
            allowed = self._allowed.get(path, 0) + sum(self._allowed[p] for p in parts)
            for inner in parts:
                self._allow(inner, 0)
            self._allow(path, allowed)
        self._put(path, Absence(since, files, min(files, self._allowed.get(path, 0))))
        return since

    def leaves(self, path: str, files: int) -> None:
        """So many files below a directory, perhaps one that is gone, are not deleted with it.

        They get other names, or are gone each for itself.
        """
        for directory in above(path):
            if (absence := self._absent.get(directory)) is not None:
                left = max(0, absence.files - files)
                self._put(directory, Absence(absence.since, left, min(left, absence.approved)))
                return

    def back(self, path: str) -> None:
        """A path is there again, or its absence has been dealt with."""
        if not (self._absent or self._doomed or self._allowed):
            return
        self._dealt_with(path)
        self._allow(path, 0)

    def elsewhere(self, directory: str) -> None:
        """A directory has another name at the server, too: what it lacks is found gone there, not here."""
        for path in list(self._inside.below(directory)):
            self.back(path)
        self.back(directory)

    def there(self, directory: str) -> None:
        """A directory can be listed: neither it nor one above it is gone, whatever is noted still."""
        for each in chain((directory,), above(directory)):
            if not self._allowed:
                return
            self._allow(each, 0)

    def clear(self) -> None:
        """Nothing can be said to be gone: the source is missing."""
        if self._allowed:
            self._end()
        self._allowed.clear()
        self._allowed_inside.clear()
        self._absent.clear()
        self._inside.clear()
        self._doomed.clear()
        self._doomed_inside.clear()
        self._files = self._empty = self._approved = self._gone_then = 0

    def _put(self, path: str, absence: Absence | None) -> None:
        """Note or drop an absence, and keep the sums."""
        before = self._absent.pop(path, None)
        if before is not None:
            self._files -= before.files
            self._empty -= not before.files
            self._approved -= before.approved
            self._gone_then -= before.since <= self._moment
        if absence is None and before is not None:
            self._inside.discard(path)
        if absence is not None:
            self._absent[path] = absence
            if before is None:
                self._inside.add(path)
            self._files += absence.files
            self._empty += not absence.files
            self._approved += absence.approved
            self._gone_then += absence.since <= self._moment

    def _dealt_with(self, path: str) -> None:
        self._put(path, None)
        self._end_doom(path)

    def _allow(self, path: str, files: int) -> None:
        """A person allows so many files to be deleted at a path, or that is over."""
        if self._note_allowed(path, files):
            self._keep([(path, files)])

    def _note_allowed(self, path: str, files: int) -> bool:
        """As `_allow`, but for what is kept; whether it is a change."""
        before = self._allowed.pop(path, 0)
        if files:
            self._allowed[path] = files
            if not before:
                self._allowed_inside.add(path)
        elif before:
            self._allowed_inside.discard(path)
        if files == before:
            return False
        if (absence := self._absent.get(path)) is not None:
            self._put(path, absence._replace(approved=min(absence.files, files)))
        return True

    def go_on_from(self, before: Deletes) -> None:
        """Count what was deleted lately under settings that are over: a reload does not begin a new minute."""
        self._admitted, self._recent, self._to_come = before._admitted, before._recent, before._to_come
        self._open, self._open_inside = before._open, before._open_inside

    def remember(self, moment: float) -> None:
        """Count from now on what was gone at a moment already (`gone_then`)."""
        self._moment = moment
        self._gone_then = sum(absence.since <= moment for absence in self._absent.values())

    @property
    def gone_then(self) -> int:
        """How many of the paths that are noted were gone at the moment that is remembered; 0 if none is."""
        return self._gone_then

    @property
    def recent(self) -> int:
        """How many files were deleted during the last minute without a person, as of the last question."""
        return self._recent

    @property
    def recently_deleted(self) -> int:
        """How many of these are not published any more."""
        return self._recent - self._to_come

    @property
    def under_way(self) -> dict[str, int]:
        """Where deletes began during the last minute without a person, and how many files are not deleted yet."""
        return {path: admission.open for path, admission in self._open.items()}

    # ── the guard ────────────────────────────────────────────────────────────────────────────────────────────

    def allowed(self, limit: int, now: float) -> bool:
        """Whether all that is gone may be deleted without a person."""
        self.forget_old(now)
        unapproved = self._files - self._approved
        return not unapproved or unapproved + self._recent <= limit

    def forget_old(self, now: float) -> None:
        """What was deleted longer than a minute ago does not count any more."""
        while self._admitted and self._admitted[0].at <= now - WINDOW_S:
            over = self._admitted.popleft()
            self._recent -= over.files
            self._to_come -= over.open
            self._close(over)

    def admit(self, path: str, now: float) -> None:
        """The deletion of an absent path begins."""
        absence = self._absent[path]
        self._dealt_with(path)
        files = absence.files - absence.approved
        if files > 0:
            admission = self._open[path] = _Admission(path, now, files, files)
            self._open_inside.add(path)
            self._admitted.append(admission)
            self._recent += files
            self._to_come += files

    def deleted(self, path: str, now: float) -> None:
        """A file has been deleted: it counts for the whole of its minute.

        Args:
            path: of the file.
            now: monotonic seconds.
        """
        admission = next(self._open_at(path), None)
        if admission is not None:
            self._settle(admission, 1)
        if self._allowed:
            for each in chain((path,), above(path)):
                if files := self._allowed.get(each):
                    self._allow(each, files - 1)
                    return
        if admission is None:
            self._counted_as_gone(path, now)

    def _counted_as_gone(self, path: str, now: float) -> None:
        """A delete was done that had waited: of what was found gone anew meanwhile, it is not to come any more."""
        for each in chain((path,), above(path)):
            absence = self._absent.get(each)
            if absence is not None and absence.files > absence.approved:
                self._put(each, absence._replace(files=absence.files - 1))
                self._admitted.append(_Admission(path, now, 1, 0))
                self._recent += 1
                return

    def _take_back(self, admissions: Iterable[_Admission], files: int) -> None:
        """What was admitted is gone from the disk still, or again: it was not deleted, and does not count twice."""
        for admission in tuple(admissions):
            taken = min(files, admission.open)
            files -= taken
            admission.files -= taken
            self._recent -= taken
            self._settle(admission, taken)

    def _open_at(self, path: str) -> Iterator[_Admission]:
        """The admissions of a path and of the directories above it."""
        for each in chain((path,), above(path)):
            if not self._open:
                return
            if each in self._open:
                yield self._open[each]

    def _settle(self, admission: _Admission, files: int) -> None:
        admission.open -= files
        self._to_come -= files
        if not admission.open:
            self._close(admission)

    def _close(self, admission: _Admission) -> None:
        if self._open.get(admission.path) is admission:
            del self._open[admission.path]
            self._open_inside.discard(admission.path)

    def approve(self) -> int:
        """A person allows everything that is gone now to be deleted; returns how many files that is."""
        while self.approve_some():
            pass
        return self._files

    def approve_some(self) -> bool:
        """A person allows some more of what is gone to be deleted, at `APPROVED_AT_ONCE` paths.

        Returns:
            Whether there may be more.
        """
        # What is approved is put behind what is not, so that this does not go through all of it each time.
        some = list(islice(filter(self._is_unapproved, self._absent.items()), APPROVED_AT_ONCE))
        self._keep([(path, absence.files) for path, absence in some if self._note_allowed(path, absence.files)])
        return len(some) == APPROVED_AT_ONCE

    def _is_unapproved(self, gone: tuple[str, Absence]) -> bool:
        """Whether not just all of what is gone at a path is approved."""
        path, absence = gone
        return self._allowed.get(path, 0) != absence.files

    @property
    def allowed_paths(self) -> list[str]:
        """Where a person allowed something to be deleted that is not deleted yet."""
        return list(self._allowed)

    def is_allowed(self, path: str) -> bool:
        """Whether a person allowed something at this path to be deleted."""
        return path in self._allowed

    # ── directories being deleted ────────────────────────────────────────────────────────────────────────────

    def doom(self, directory: str) -> None:
        """The deletion of a directory that is gone has begun; its content needs no further admission."""
        self._doomed.add(directory)
        self._doomed_inside.add(directory)

    def spare(self, directory: str) -> None:
        """The deletion of a directory came to its end without all of it: what is left is judged anew."""
        for path in (directory, *self._doomed_inside.below(directory)):
            self._end_doom(path)

    def _end_doom(self, path: str) -> None:
        if path in self._doomed:
            self._doomed.discard(path)
            self._doomed_inside.discard(path)

    def is_doomed(self, directory: str) -> bool:
        """Whether a directory that is gone is being deleted already."""
        return directory in self._doomed
