"""What waits in one mapping: files that are not at rest, files that wait for the server, and since when.

In: what the plan decides about files, what a worker saw of them. Out: marks for the next look at each, failures of
those that a single pass does not await. Whatever is noted about a path that is over when it turns out to be published
is told from here (`Waits.is_noted`), and ended here (`Waits.settled`). One per mapping, used by its `mirror` on the
engine's thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ftpsyncd.actions import RenameDir
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.inside import Inside
from ftpsyncd.core.settle import BUSY_AGAIN_S, Sighting
from ftpsyncd.counting import exactly
from ftpsyncd.errors import FileBusyError
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site, Slices, Waiting
from ftpsyncd.model import Failure, Fingerprint, Listing
from ftpsyncd.paths import basename, parent
from ftpsyncd.quoting import quote

LOOK_GAP_S = 0.01
"""A path that keeps changing is looked at no more often than this, and ever more rarely."""
LONGEST_GAP_S = 0.1
GAP_OF_ONE_S = 0.002
"""For each file that is open for writing, all of them are looked at so much more rarely: of hundreds that are written
all the time, the looks alone would leave no time for anything else."""
SOON_S = 35.0
"""A `sync` waits for a file to come to rest, for another try, or for a delete, that comes within this time."""
OFFERED_MAX = 2000
"""Files whose waiting is timed; they leave in about the order they came, so the oldest are among them."""
AGES_MORE = 64
"""So many more than twice as many ages as there are files are kept."""
FAILED_MAX = 10_000
"""Paths that have failed and wait for their next try are noted up to this many: the ledger has them all."""
NOTED_MAX = 50_000
"""Files that are not at rest are noted up to this many, in 40 MB; of more, those of which the disk tells by itself when
they will be are not: `why` reads that off their stamps, and each is looked at when it is."""
PATHS_AT_ONCE = 10_000
"""Paths that wait for the server, and are looked through in one turn of the engine: some ten milliseconds."""
RESTLESS_S = 600.0
"""A file that does not come to rest for so long is reported."""


@dataclass(slots=True)
class Pending:
    """A path that is not to be acted on yet, and why."""

    why: str
    first: float
    sighting: Sighting | None = None
    looks: int = 0
    reported: bool = False
    late: bool = False
    """It waits for what the server may do late."""
    gone: bool = False
    """It is not on disk, and to be deleted."""
    source: str = ""
    """It is published under this path, and may be renamed; empty: it is not."""

    @property
    def unsettled(self) -> bool:
        """It is not at rest, or the server may do something late; else it has failed, and waits for its next try."""
        return self.sighting is not None or self.late

    @property
    def busy(self) -> bool:
        """A program has it open for writing."""
        return self.sighting is not None and self.sighting.busy


class Waits:
    """The files of one mapping that wait.

    Args:
        site: the mapping.
        absent: what is gone from it; a path that waits, or is published, is not.
    """

    def __init__(self, site: Site, absent: Deletes) -> None:
        self.pending: dict[str, Pending] = {}
        self._inside = Inside(self.pending)
        self._busy = 0
        """How many of them a program has open for writing."""
        self._unsettled: dict[str, Pending] = {}
        """Those of them that are not at rest, or wait for what the server may do late."""
        self._last = ""
        """Of the files for which there was no room, the one that comes to rest last: it is noted, so that it shows for
        as long as any of them waits that something does."""
        self._last_due = 0.0
        self._ages: list[tuple[float, str]] = []
        """A heap: since when each of them waits; what does not agree with them any more means nothing."""
        self.offered: dict[str, float] = {}
        """Since when files wait for the server, the oldest first."""
        self._overtaken: dict[str, Pending] = {}
        """Files that changed before they had been sent, for as long as no version of them gets there."""
        self._site = site
        self._name = site.spec.name
        self._queue = site.queue
        self._absent = absent

    def __repr__(self) -> str:
        return f"<Waits pending={len(self.pending)} offered={len(self.offered)}>"

    def clear(self) -> None:
        """Nothing can be seen: what was noted may be over."""
        self.pending.clear()
        self._busy = 0
        self._inside.clear()
        self._unsettled.clear()
        self._ages.clear()
        self.offered.clear()
        self._overtaken.clear()
        self._site.moves.clear()

    # ── what is seen on disk ─────────────────────────────────────────────────────────────────────────────────

    def look_at(self, path: str, now: float) -> None:
        """Mark a path; one that is known to be unsettled has its next look already, if that has not begun.

        What is answered now may have been seen before the change: the file could have been gone, and be back. One that
        failed has its next try, which what changed may bring forward.
        """
        pending = self.pending.get(path)
        if pending is None or pending.sighting is None:
            self._site.dirty.mark(path, now)
        elif pending.busy:
            longest_s = max(LONGEST_GAP_S, GAP_OF_ONE_S * self._busy)
            self._site.dirty.mark(path, now + min(longest_s, LOOK_GAP_S * 2 ** min(pending.looks, 9)))
        elif self._site.spec.settle_s <= LONGEST_GAP_S:
            self._site.dirty.mark(path, now + LOOK_GAP_S)
        elif not self._site.dirty.awaits(path):
            self._site.dirty.mark(path, now + LONGEST_GAP_S)

    def sighting_of(self, path: str) -> Sighting | None:
        """How a file looked that was not at rest."""
        pending = self.pending.get(path)
        return pending.sighting if pending else None

    def is_gone(self, path: str) -> bool:
        """Whether what waits under a path is its delete."""
        pending = self.pending.get(path)
        return pending is not None and pending.gone

    def present(self, path: str) -> None:
        """A path is on disk: it neither waits nor is it gone."""
        self._end(path)
        self._is_there(path)

    def _is_there(self, path: str) -> None:
        """A path is not gone."""
        self._absent.back(path)
        if other := self._site.moves.back(path):
            self._site.dirty.mark(other, 0.0)

    def is_directory(self, path: str) -> None:
        """A directory has this path: what was noted about a file there is over."""
        self.present(path)
        self.sent(path)

    def gone(self, path: str) -> float | None:
        """A path is not on disk; since when its delete has waited, if it did."""
        before = self._end(path)
        self.sent(path)
        return before.first if before is not None and before.gone else None

    def listed(self, listing: Listing) -> None:
        """All of a directory was looked at: what was not at rest, and is not there, is gone."""
        waiting = self._inside.directly(listing.directory)
        unsettled = [path for path in waiting if self.pending[path].unsettled]
        overtaken = [path for path in self._overtaken if parent(path) == listing.directory]
        for path in [path for path in unsettled + overtaken if basename(path) not in listing.entries]:
            self.gone(path)

    def vanished(self, listing: Listing, at: Moment) -> Slices[list[str]]:
        """Names that are not in a directory, all of which was listed, but are to be, or something below, at the server.

        Of what never was published nothing is recorded that would have it decided about.
        """
        queue, name, directory = self._queue, self._name, listing.directory
        prefix = f"{directory}/" if directory else ""
        start, gone = len(prefix), dict[str, None]()
        paths = queue.waiting_paths(name) if queue.busy_below(name, directory) else []
        for first in range(0, len(paths), PATHS_AT_ONCE):
            if first:
                at = yield
            for path in paths[first : first + PATHS_AT_ONCE]:
                if path.startswith(prefix) and path != directory:
                    child = path[start:].partition("/")[0]
                    if child not in listing.entries and child not in listing.unreadable and queue.brings(name, path):
                        gone[child] = None
        return list(gone), at

    def _begin(self, path: str, pending: Pending) -> None:
        """A path waits."""
        before = self.pending.get(path)
        self._busy += pending.busy - (before is not None and before.busy)
        if before is not None and before.source != pending.source:
            self._stays(before.source, path)
        if pending.source:
            self._site.moves.wait(pending.source, path, self._absent.since(pending.source))
            self._absent.back(pending.source)
        self.pending[path] = pending
        self._inside.add(path)
        if pending.unsettled:
            self._unsettled[path] = pending
        else:
            self._unsettled.pop(path, None)
        if before is None or before.first != pending.first:
            heapq.heappush(self._ages, (pending.first, path))
            if len(self._ages) > 2 * len(self.pending) + AGES_MORE:
                self._ages = [(each.first, waiting) for waiting, each in self.pending.items()]
                heapq.heapify(self._ages)

    def _end(self, path: str) -> Pending | None:
        """A path does not wait any more; how it did."""
        pending = self.pending.pop(path, None)
        if pending is not None:
            self._busy -= pending.busy
            self._inside.discard(path)
            self._unsettled.pop(path, None)
            self._stays(pending.source, path)
        return pending

    def _stays(self, source: str, path: str) -> None:
        """Nothing waits any more to be renamed from one path to another: what is gone there is looked at."""
        if source and self._site.moves.over(source, path):
            self._site.dirty.mark(source, 0.0)

    def sent(self, path: str) -> None:
        """A file waits for the server no more."""
        self.offered.pop(path, None)
        self._overtaken.pop(path, None)

    def nothing_below(self, directory: str) -> None:
        """A directory is not there: nothing below it comes to rest."""
        for path in list(self._inside.below(directory)):
            self._end(path)
        prefix = f"{directory}/"
        for path in [p for p in self._overtaken if p.startswith(prefix)]:
            del self._overtaken[path]

    def settled(self, path: str, *, had_failure: bool, gone: bool = False) -> None:
        """A path needs nothing: whatever was noted about it is over, but what a person allowed of one that is gone."""
        if gone:
            self.gone(path)
        else:
            self.present(path)
            self.sent(path)
        self._take_back(path)
        if had_failure:
            self._site.ledger.failures.clear(self._site.id, path)

    def _take_back(self, path: str) -> None:
        """What waits under a path is not to be done; but whether a directory was renamed there is still to be asked.

        Until that is answered, nobody knows what the server has under either name.
        """
        waiting = self._queue.waiting(self._name, path)
        if not (isinstance(waiting, RenameDir) and waiting.interrupted):
            self._queue.withdraw(self._name, path)

    def nothing_noted(self) -> bool:
        """Whether nothing is noted about any path; cheap."""
        noted = self.pending or self.offered or self._absent or self._queue.load(self._name).waiting
        return not noted and self._site.moves.none_cut_off

    def is_noted(self, path: str) -> bool:
        """Whether something is noted about a path that is over when it is found settled."""
        return (
            path in self.pending
            or path in self.offered
            or self._absent.knows(path)
            or self._absent.is_allowed(path)
            or self._site.moves.may_have_left(path)
            or self._queue.waiting(self._name, path) is not None
        )

    # ── what it waits for ────────────────────────────────────────────────────────────────────────────────────

    def wait(
        self,
        path: str,
        due: float,
        why: str,
        sighting: Sighting | None,
        at: Moment,
        *,
        gone: bool = False,
        source: str = "",
    ) -> None:
        """A path is not to be acted on before ``due``."""
        if not gone:
            self._is_there(path)
        self._wait(path, due, Pending(why, at.now, sighting, source=source), at)

    def _wait(self, path: str, due: float, pending: Pending, at: Moment) -> None:
        self._take_back(path)
        before = self.pending.get(path) or self._overtaken.get(path)
        if before is not None:
            pending.first, pending.looks, pending.reported = before.first, before.looks + 1, before.reported
        if self._is_given_up(pending, at):
            self.present(path)
            self._report_not_ready(path, pending, at)
            return
        if before is None and not pending.unsettled and len(self.pending) >= FAILED_MAX:
            # However many a server refuses, and for however long.
            self._site.dirty.mark(path, due)
            return
        if before is None and len(self.pending) >= NOTED_MAX and self._tells_itself(pending, due):
            if due <= self._last_due and self._last in self.pending:
                self._site.dirty.mark(path, due)
                return
            last = self.pending.get(self._last)
            if last is not None and last.sighting is not None and not (last.sighting.written or last.source):
                self._end(self._last)
            self._last, self._last_due = path, due
        self._begin(path, pending)
        if path in self._overtaken:
            self._overtaken[path] = pending
        self._report_restless(path, pending, at)
        self._site.dirty.mark(path, due)

    def _tells_itself(self, pending: Pending, due: float) -> bool:
        """Whether a file's stamps tell when it will be at rest, however it looked before; a pass that ends gives up.

        Of one that may be renamed nothing else keeps its old name from being counted as deleted.
        """
        sighting = pending.sighting
        if sighting is None or sighting.busy or pending.source or self._site.one_pass:
            return False
        return due < sighting.since + self._site.spec.settle_s

    def overtaken(self, path: str, at: Moment) -> None:
        """A worker found that a file has changed before it had been sent: what there is now is tried next."""
        restless = self._overtaken.setdefault(path, Pending("it changed before it had been sent", at.now))
        self._report_restless(path, restless, at)

    def for_writer(self, path: str, fingerprint: Fingerprint, at: Moment) -> None:
        """A worker found that a program has the file open for writing."""
        sighting = Sighting(fingerprint, 0, at.now, at.now, busy=True, written=True)
        due = at.now + max(BUSY_AGAIN_S, self._site.spec.settle_s)
        self.wait(path, due, "a program has it open for writing", sighting, at)

    def for_late(self, path: str, until: float, why: str, at: Moment, *, gone_since: float | None = None) -> None:
        """What is brought to the server now, or deleted there, may be taken along by what is done there late.

        Args:
            path: it.
            until: when it is looked at again.
            why: what it waits for.
            at: now.
            gone_since: when it was first seen to be gone; None: it is there.
        """
        if gone_since is None:
            self._is_there(path)
        if len(self.pending) - (path in self.pending) >= QUEUE_ROOM:
            # However much there is, and however long it takes until the server can be asked.
            self._end(path)
            self._take_back(path)
            self._site.dirty.mark(path, until)
            return
        first = at.now if gone_since is None else gone_since
        self._wait(path, until, Pending(why, first, late=True, gone=gone_since is not None), at)

    def for_server(self, path: str, now: float) -> None:
        """A file is to be published; how long that takes counts from when it was seen first."""
        pending = self._end(path)
        if len(self.offered) < OFFERED_MAX:
            self.offered.setdefault(path, pending.first if pending else now)
        self._is_there(path)

    def _is_given_up(self, pending: Pending, at: Moment) -> bool:
        """Whether a pass that ends does not wait for this file: somebody writes it, or it keeps changing."""
        restless = pending.sighting is not None and at.now - pending.first > self._site.spec.settle_s + SOON_S
        return self._site.one_pass and (pending.busy or restless)

    def _report_not_ready(self, path: str, pending: Pending, at: Moment) -> None:
        fingerprint = pending.sighting.fingerprint if pending.sighting else None
        remedy = FileBusyError.remedy if pending.busy else "It is published when it comes to rest."
        failure = Failure(fingerprint, 1, False, at.wall_ns, "FileBusyError", pending.why, "", remedy, at.wall_ns)  # noqa: FBT003
        self._site.ledger.failures.put(self._site.id, path, failure)
        self._site.tell(EventKind.FAILED, path, pending.why, remedy=remedy, error=FileBusyError.__name__)

    def _report_restless(self, path: str, pending: Pending, at: Moment) -> None:
        if at.now - pending.first > RESTLESS_S and not (pending.reported or pending.late or pending.source):
            pending.reported = True
            why = f"it has not come to rest for {RESTLESS_S / 60:.0f} minutes"
            remedy = f"It is published when it stays as it is for {exactly(self._site.spec.settle_s)} (`settle`)."
            if pending.busy:
                remedy = FileBusyError.remedy
            elif path in self._overtaken:
                why += ", and no version of it stayed for long enough to be sent"
                remedy = "Write it less often, make it smaller, or give ftpsyncd a faster line."
            self._site.tell(EventKind.FAILED, path, why, error=FileBusyError.__name__, remedy=remedy)

    # ── for how long ─────────────────────────────────────────────────────────────────────────────────────────

    def any_unsettled(self) -> bool:
        """Whether a file is not at rest, or anything waits for what may come late."""
        return bool(self._unsettled)

    def unsettled(self) -> Collection[tuple[str, Pending]]:
        """What is not at rest, or waits for what may come late; the others have failed, and wait for their next try."""
        return self._unsettled.items()

    def restless(self) -> Iterator[tuple[str, Pending]]:
        """What is unsettled, and the files of which each version changed before it had been sent."""
        yield from self.unsettled()
        yield from ((path, pending) for path, pending in self._overtaken.items() if path not in self.pending)

    def longest(self) -> Waiting | None:
        """The file that has waited for longest; None if none waits."""
        while self.offered:
            path, since = next(iter(self.offered.items()))
            if self._still_waits(path):
                break
            del self.offered[path]
        found = [Waiting(since, _told(path, self._for_server(path)))] if self.offered else []
        while self._ages:
            first, path = self._ages[0]
            if (pending := self.pending.get(path)) is not None and pending.first == first:
                found.append(Waiting(first, _told(path, pending.why) if pending.unsettled else ""))
                break
            heapq.heappop(self._ages)
        return min(found, default=None)

    def _for_server(self, path: str) -> str:
        """What a file that is to be sent waits for; empty if its last try failed."""
        if self._queue.space.has_put_off(self._name, path):
            return "there is no space for it at the server"
        if self._queue.at_work(self._name, path) is not None:
            return "it is on its way"
        if self._queue.waiting(self._name, path) is None:
            return ""
        if self._queue.gate.is_doubtful:
            # What is wrong with that is told of the server.
            return f"it waits for the server {self._site.spec.server}"
        return "it waits for its turn"

    def _still_waits(self, path: str) -> bool:
        if self._queue.waiting(self._name, path) is not None or self._queue.occupied(self._name, path):
            return True
        if self._queue.space.has_put_off(self._name, path):
            return True
        failure = self._site.ledger.failures.of(self._site.id, path)
        return path in self.pending or (failure is not None and not failure.parked)


def _told(path: str, why: str) -> str:
    """What is told of a path that waits; nothing if what it waits for is told elsewhere."""
    return f"{quote(path)}: {why}" if why else ""
