"""Which paths may differ, when they are to be looked at, and whether a file is quiet.

In: paths that an event, a timer or an outcome marked. Out: small pieces of work for the disk (`take`): some names of
one directory, one whole directory, or one directory of a deep scan. Events carry no meaning beyond "may differ", so
marks merge: many names of one directory collapse to the directory, many directories collapse to the root. That bounds
memory whatever happens on disk.

Times are monotonic seconds unless a name says otherwise.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

from ftpsyncd.core.turn import Lane, Order, path_of, sorted_as
from ftpsyncd.model import Entry, Fingerprint
from ftpsyncd.paths import above, basename, parent

NAMES_PER_DIRECTORY = 64
"""More dirty names than this in one directory: the directory is listed instead, unless it is large."""
NAMES_SHARE = 20
"""To list a directory costs about as much as to ask for each twentieth of its names, asked for one by one."""
NAMES_MOST = 4096
"""However large a directory is, more dirty names than this are not kept."""
DIRTY_DIRECTORIES = 4096
"""Of more dirty directories, at least half, those that are due last, are left to a scan of the whole tree."""
MARKED_IN_A_ROW = 8
"""After so many pieces of what was marked one of a deep scan has its turn: files that change all the time, in very many
directories, must not keep it waiting for ever."""
RELIST_GAP_S = 0.25
"""A directory is not listed as a whole more often than this."""
NEW_S = 60.0
"""A directory counts as new until nothing in it has been looked at for so long: somebody copies into it."""
BUSY_AGAIN_S = 5.0
"""A file that is open for writing is looked at again after this time even if no event says that it was closed."""

COARSE_S = 2.0
"""Stamps of whole seconds may be older than the change by as much: FAT keeps two seconds, HFS+ and ext3 one."""


class Work(NamedTuple):
    """One piece of work for the disk."""

    directory: str
    names: frozenset[str] | None
    """None: list the whole directory."""
    deep: bool
    """Go on into the subdirectories, all of them."""
    order: Order = Order()
    """When what is found has its turn."""


class _Marks:
    """What is dirty in one directory."""

    __slots__ = ("_order", "names", "whole_due")

    def __init__(self) -> None:
        self.names: dict[str, float] = {}
        self.whole_due: float | None = None
        self._order: list[tuple[float, str]] = []
        """A heap of the names; what does not agree with them any more means nothing."""

    def __bool__(self) -> bool:
        return bool(self.names) or self.whole_due is not None

    def add(self, name: str, due: float) -> None:
        """Look at a name at ``due``."""
        self.names[name] = due
        heapq.heappush(self._order, (due, name))
        if len(self._order) > 2 * (len(self.names) + NAMES_PER_DIRECTORY):
            self._order = [(due, name) for name, due in self.names.items()]
            heapq.heapify(self._order)

    def due(self) -> float:
        """When anything is due; infinite if nothing is."""
        while self._order and self.names.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)
        soonest = self._order[0][0] if self._order else math.inf
        return soonest if self.whole_due is None else min(soonest, self.whole_due)

    def take_names(self, now: float) -> frozenset[str]:
        """The names that are due; they are marked no more."""
        taken = set()
        while self._order and self._order[0][0] <= now:
            due, name = heapq.heappop(self._order)
            if self.names.get(name) == due:
                del self.names[name]
                taken.add(name)
        return frozenset(taken)

    def drop_names(self) -> None:
        """No name is marked any more."""
        self.names.clear()
        self._order.clear()


class Dirty:
    """The dirty paths of one mapping."""

    def __init__(self) -> None:
        self._marks: dict[str, _Marks] = {}
        self._heap: list[tuple[float, str]] = []
        self._frontier: list[tuple[Order, str]] = []
        """A heap: the order of each directory, and its name as it is sorted."""
        self._in_frontier: set[str] = set()
        self._new: dict[str, tuple[Order, float]] = {}
        """The order of directories that are new, and when something in each was looked at last."""
        self._listed: dict[str, float] = {}
        self._names_kept: dict[str, int] = {}
        """How many dirty names are kept of a directory, for those that are large."""
        self._deep_due: float | None = None
        self._marked_in_a_row = 0
        """Pieces of what was marked that were handed out since one of a deep scan could be."""

    def __repr__(self) -> str:
        return f"<Dirty directories={len(self._marks)} frontier={len(self._frontier)}>"

    def scanning_deep(self, now: float) -> bool:
        """Whether a deep scan is under way or due."""
        return bool(self._frontier) or (self._deep_due is not None and self._deep_due <= now)

    def due_by(self, when: float) -> bool:
        """Whether anything is to be looked at until ``when``."""
        due = self.next_due()
        return due is not None and due <= when

    def clear(self) -> None:
        """Forget every mark but the next scan of the whole tree."""
        deep_due, names_kept = self._deep_due, self._names_kept
        self.__init__()  # type: ignore[misc]
        self._deep_due, self._names_kept = deep_due, names_kept

    def size_is(self, directory: str, names: int) -> None:
        """A directory was listed, and had so many names."""
        kept = min(names // NAMES_SHARE, NAMES_MOST)
        if kept > NAMES_PER_DIRECTORY:
            if len(self._names_kept) >= DIRTY_DIRECTORIES:
                self._names_kept.clear()
            self._names_kept[directory] = kept
        else:
            self._names_kept.pop(directory, None)

    def mark(self, path: str, due: float) -> None:
        """A path may differ: look at it at ``due`` (an earlier mark wins)."""
        if not path:
            self.mark_directory("", due)
            return
        directory, name = parent(path), basename(path)
        marks = self._marks_of(directory, due)
        if marks is None:
            return
        kept = self._names_kept.get(directory, NAMES_PER_DIRECTORY)
        if name not in marks.names and len(marks.names) >= kept:
            soonest = min(due, *marks.names.values())
            marks.drop_names()
            self._set_whole(directory, marks, soonest)
            return
        if marks.whole_due is not None and marks.whole_due <= due:
            return
        if due < marks.names.get(name, due + 1):
            sooner = due < marks.due()
            marks.add(name, due)
            if sooner:
                self._push(due, directory)

    def awaits(self, path: str) -> bool:
        """Whether a look at a path is still to be asked for; one that is under way may be over at the disk."""
        marks = self._marks.get(parent(path))
        return marks is not None and (marks.whole_due is not None or basename(path) in marks.names)

    def mark_directory(self, directory: str, due: float) -> None:
        """Anything directly in a directory may differ."""
        marks = self._marks_of(directory, due)
        if marks is not None:
            self._set_whole(directory, marks, due)

    def mark_deep(self, directory: str, due: float) -> None:
        """Anything below a directory may differ. Only for the root may ``due`` lie in the future."""
        if directory and self._covered(directory):
            return
        if not directory or len(self._frontier) >= DIRTY_DIRECTORIES:
            self._deep_due = due if self._deep_due is None else min(due, self._deep_due)
        else:
            self._enter(directory, Order(Lane.FRESH, due))

    def push_deep(self, directories: list[str], order: Order) -> None:
        """Subdirectories of a directory just listed, to be scanned in the order of that."""
        if order.lane is Lane.MARKED:
            # They are new.
            order = Order(Lane.FRESH, order.since)
        for directory in directories:
            if directory not in self._in_frontier:
                self._enter(directory, order)

    def _enter(self, directory: str, order: Order) -> None:
        heapq.heappush(self._frontier, (order, sorted_as(directory)))
        self._in_frontier.add(directory)

    def take(self, now: float, *, marked_only: bool = False) -> Work | None:
        """The next piece of work that is due; single names before deep scans, each of these by names.

        However much is marked, a deep scan goes on (`MARKED_IN_A_ROW`).
        """
        its_turn = self._marked_in_a_row >= MARKED_IN_A_ROW and not marked_only and self.scanning_deep(now)
        work = None if its_turn else self._take_marked(now)
        if work is not None:
            self._marked_in_a_row += 1
        if work is not None or marked_only:
            return work
        self._marked_in_a_row = 0
        if self._frontier:
            # A scan under way is finished before the next one starts: losses that keep coming cannot starve it.
            order, name = heapq.heappop(self._frontier)
            directory = path_of(name)
            self._in_frontier.discard(directory)
            if order.lane is Lane.FRESH:
                self._is_new(directory, order, now)
        elif self._deep_due is not None and self._deep_due <= now:
            self._deep_due, directory, order = None, "", Order(Lane.PASS, now)
        else:
            return None
        # A whole listing answers every mark in this directory that is due.
        marks = self._marks.get(directory)
        if marks is not None and marks.due() <= now:
            marks.take_names(now)
            if marks.whole_due is not None and marks.whole_due <= now:
                marks.whole_due = None
            self._drop_if_clean(directory, marks)
        return Work(directory, None, deep=True, order=order)

    def next_due(self, *, marked_only: bool = False) -> float | None:
        """When `take` will next have something; None if never."""
        if self._frontier and not marked_only:
            return 0.0
        deep_due = None if marked_only else self._deep_due
        while self._heap:
            due, directory = self._heap[0]
            marks = self._marks.get(directory)
            if marks is not None and marks.due() == due:
                return due if deep_due is None else min(due, deep_due)
            heapq.heappop(self._heap)
            if marks is not None:
                # An entry for then may have been dropped as meaning nothing, when something else was due before.
                heapq.heappush(self._heap, (marks.due(), directory))
        return deep_due

    def _take_marked(self, now: float) -> Work | None:
        while self._heap and self._heap[0][0] <= now:
            _, directory = heapq.heappop(self._heap)
            marks = self._marks.get(directory)
            if marks is None:
                continue
            if marks.whole_due is not None and marks.whole_due <= now:
                marks.whole_due = None
                marks.take_names(now)
                self._remember_listing(directory, now)
                self._drop_if_clean(directory, marks)
                return Work(directory, None, deep=False, order=self._order_in(directory, now))
            names = marks.take_names(now)
            self._drop_if_clean(directory, marks)
            if names:
                return Work(directory, names, deep=False, order=self._order_in(directory, now))
        return None

    def _is_new(self, directory: str, order: Order, now: float) -> None:
        """A directory is new; those in which nothing has been looked at for long, which are the first, are not."""
        self._new.pop(directory, None)
        self._new[directory] = order, now
        while len(self._new) > DIRTY_DIRECTORIES or now - self._new[next(iter(self._new))][1] > NEW_S:
            del self._new[next(iter(self._new))]

    def _order_in(self, directory: str, now: float) -> Order:
        """Of what was marked in a directory: what is copied into a new one is a part of that."""
        order, last = self._new.get(directory, (Order(), -math.inf))
        if now - last > NEW_S:
            return Order(Lane.MARKED, now)
        self._is_new(directory, order, now)
        return order

    def _marks_of(self, directory: str, due: float) -> _Marks | None:
        """The marks of a directory; None if there are too many, and a scan of the whole tree comes before ``due``."""
        marks = self._marks.get(directory)
        if marks is None:
            if len(self._marks) >= DIRTY_DIRECTORIES:
                scan_due = self._deep_due
                if scan_due is None or scan_due > due:
                    scan_due = self._collapse()
                if scan_due <= due:
                    return None
            marks = self._marks[directory] = _Marks()
        return marks

    def _collapse(self) -> float:
        """Leave at least half of the marks, those that are due last, to a scan of the whole tree; when that is.

        Were it all of them, files that wait for their times in very many directories would have the tree scanned at the
        time of each: all the time.
        """
        dues = {directory: marks.due() for directory, marks in self._marks.items()}
        due = min(sorted(dues.values())[len(dues) // 2], math.inf if self._deep_due is None else self._deep_due)
        self._marks = {directory: marks for directory, marks in self._marks.items() if dues[directory] < due}
        self.mark_deep("", due)
        return due

    def _set_whole(self, directory: str, marks: _Marks, due: float) -> None:
        due = max(due, self._listed.get(directory, 0.0) + RELIST_GAP_S)
        if marks.whole_due is None or due < marks.whole_due:
            marks.whole_due = due
            self._push(due, directory)

    def _push(self, due: float, directory: str) -> None:
        """Have a directory looked through at ``due``; entries that mean nothing any more must not pile up."""
        heapq.heappush(self._heap, (due, directory))
        if len(self._heap) > 2 * (len(self._marks) + NAMES_PER_DIRECTORY):
            self._heap = [(marks.due(), marked) for marked, marks in self._marks.items()]
            heapq.heapify(self._heap)

    def _drop_if_clean(self, directory: str, marks: _Marks) -> None:
        if not marks:
            del self._marks[directory]
        else:
            self._push(marks.due(), directory)

    def _remember_listing(self, directory: str, now: float) -> None:
        if len(self._listed) > NAMES_PER_DIRECTORY:
            self._listed = {d: at for d, at in self._listed.items() if at + RELIST_GAP_S > now}
        self._listed[directory] = now

    def _covered(self, directory: str) -> bool:
        """Whether a pending deep scan will come to this directory anyway."""
        return directory in self._in_frontier or any(each in self._in_frontier for each in above(directory))


class Sighting(NamedTuple):
    """How a file that was not yet quiet looked, and since when it looks so."""

    fingerprint: Fingerprint
    ctime_ns: int
    since: float
    first: float
    """When it was first seen unquiet since it was last quiet."""
    busy: bool = False
    """A program has it open for writing."""
    written: bool = False
    """A program had it open for writing since ``first``: no stamp of the file tells when it was closed."""


def sight(entry: Entry, before: Sighting | None, now: float, *, busy: bool = False) -> Sighting:
    """The sighting of an entry, continued from an earlier one if nothing changed in between."""
    if before is None:
        return Sighting(entry.fingerprint, entry.ctime_ns, now, now, busy, busy)
    unchanged = before.fingerprint == entry.fingerprint and before.ctime_ns == entry.ctime_ns
    if unchanged and not busy and not before.busy:
        return before
    return Sighting(entry.fingerprint, entry.ctime_ns, now, before.first, busy, busy or before.written)


def quiet_at(sighting: Sighting, now: float, wall_ns: int | None, settle_s: float) -> float:
    """When the file will have shown the same size, mtime and inode, and no writer, for the quiet time.

    Args:
        sighting: the file as it looks now.
        now: monotonic seconds.
        wall_ns: wall clock of the look, if the clock that stamped the file can be compared with it: then a file
            whose last change is old need not wait. None on a network file system or after a clock step.
        settle_s: the quiet time.

    Returns:
        Monotonic seconds; not after ``now`` if it is quiet already.
    """
    if _is_coarse(sighting):
        # Before that, another change could leave the same stamps, or this one be later than they say.
        settle_s += COARSE_S
    by_watching = sighting.since + settle_s
    if wall_ns is None or sighting.written or _has_one_stamp(sighting):
        return by_watching
    # ctime, not mtime: no program can set it back, so a copy that preserves mtime counts from its end.
    # A ctime in the future gives a negative age: watching is sooner.
    age_s = (wall_ns - sighting.ctime_ns) / 1e9
    return min(by_watching, now + settle_s - age_s)


def _has_one_stamp(sighting: Sighting) -> bool:
    """Whether the file system may keep one time only, so that a program that sets the date sets the ctime, too.

    FAT does: "all mtime updates will be applied to ctime, but ctime updates are ignored" (Linux, fs/fat/misc.c).
    """
    return _is_coarse(sighting) and sighting.ctime_ns == sighting.fingerprint.mtime_ns


def _is_coarse(sighting: Sighting) -> bool:
    """Whether the file system seems to keep whole seconds only: of a program's date alone that would prove nothing."""
    return not (sighting.ctime_ns % 10**9 or sighting.fingerprint.mtime_ns % 10**9)
