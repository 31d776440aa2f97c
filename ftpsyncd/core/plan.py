"""The plan: one directory as the disk shows it, compared with its rows in the ledger.

In: a listing, the rows and failures of the same directory, and what the policy says. Out: decisions, one per name at
most but for a directory, which may be both recorded and entered, and what failed under its name be over, and for a file
that is as published, of which it is recorded that a link leads to it on another disk. Pure: the same facts give the
same plan. The order of actions and the withholding of deletes are not decided here; this is only the difference and its
reasons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from ftpsyncd.actions import Adopt, Forget, MakeDir, Rename, Upload
from ftpsyncd.core.settle import BUSY_AGAIN_S, Sighting, quiet_at, sight
from ftpsyncd.core.swapped import Swapped, swapped_away, swapped_directory
from ftpsyncd.errors import LocalUnreadableError
from ftpsyncd.model import MISSING, MIXED, Entry, Failure, Fingerprint, Kind, Listing, Row
from ftpsyncd.paths import basename, join
from ftpsyncd.specs import ExistingPolicy, MappingSpec

_UNREADABLE = LocalUnreadableError.__name__
KEPT = "KeptError"
"""The kind of failure of a file that was not published because of `existing: keep`."""

NO_LONGER_INCLUDED = "no longer included"
"""Why something that was published is forgotten."""
_BUSY = "a program has it open for writing"
AWAITED = "it is empty, and its content is being downloaded beside it (.part)"


class Selection(Protocol):
    """Which paths a mapping publishes (`core.filters.Filter`)."""

    def includes(self, path: str) -> bool:
        """Whether a file is published."""

    def descend(self, path: str) -> bool:
        """Whether a directory may hold anything that is published."""


class Gone(NamedTuple):
    """A published path is not on disk any more (or something else has its name)."""

    path: str
    kind: Kind


class Wait(NamedTuple):
    """A path differs but is not to be acted on before ``at`` (monotonic seconds)."""

    path: str
    at: float
    why: str
    sighting: Sighting | None = None
    gone: bool = False
    """It is not on disk: its delete waits for its next try."""
    source: str = ""
    """It is published under this path, and may be renamed; empty: it is not."""


class Enter(NamedTuple):
    """A directory whose content has to be compared as well."""

    path: str
    inode: int
    known: bool
    """The ledger has this directory."""


class Settled(NamedTuple):
    """A path needs nothing; whatever was noted about it (a failure, a wait) is over."""

    path: str
    had_failure: bool
    gone: bool = False
    """It is not on disk, and its delete is parked."""


class Ask(NamedTuple):
    """A file looks as it was published and may be another all the same: when it was made tells (`Entry.born_ns`)."""

    path: str


Decision = Upload | Rename | MakeDir | Adopt | Forget | Gone | Wait | Enter | Swapped | Settled | Ask


class Look(NamedTuple):
    """Everything the plan of one directory depends on besides the listing and its rows."""

    spec: MappingSpec
    selection: Selection
    now: float
    wall_ns: int
    """Wall clock of now, for the times of failures."""
    stamp_ns: int | None
    """Wall clock comparable with the files' ctime; None where it is not (see `settle.quiet_at`)."""
    deep: bool = False
    """Go into subdirectories that are known already, too."""
    sighting_of: Callable[[str], Sighting | None] = lambda _path: None
    """How an unsettled file looked before."""
    moved_from: Callable[[str, Fingerprint], tuple[str, Row] | None] = lambda _path, _fingerprint: None
    """A published file with the fingerprint of what is at a path, whose own path seems to be gone."""
    gone_since: Callable[[str, str], float | None] = lambda _path, _source: None
    """Since when what is at a path has been gone from the one where it is published; None: that was not seen."""


def plan_directory(
    listing: Listing, rows: Mapping[str, Row], failures: Mapping[str, Failure], look: Look
) -> Iterator[Decision]:
    """Compare one directory with its rows.

    Args:
        listing: a PRESENT listing, whole or of some names. A directory that is gone is planned as an empty listing.
        rows: the ledger's rows of the same directory.
        failures: the ledger's failures of the same directory.
        look: policy, clocks and look-ups.

    Yields:
        Decisions in the order of names as the disk lists them, then those for names only the ledger has; where only
        some names were asked for, in their order.
    """
    entries = listing.entries
    names = entries if listing.names is None else sorted(listing.names)
    for name in names:
        entry = entries.get(name)
        if name in listing.unreadable:
            continue
        yield from _decide(listing, name, entry, rows.get(name), failures.get(name), look)
    if listing.names is None:
        for name, row in rows.items():
            if name not in entries and name not in listing.unreadable:
                yield from _decide(listing, name, None, row, failures.get(name), look)
        for name in failures:
            if name not in entries and name not in rows and name not in listing.unreadable:
                yield Settled(join(listing.directory, name), had_failure=True)


def _decide(
    listing: Listing, name: str, entry: Entry | None, row: Row | None, failure: Failure | None, look: Look
) -> Iterator[Decision]:
    path = join(listing.directory, name)
    if entry is None or entry.kind is Kind.OTHER:
        return _decide_absent(path, row, failure, look, there=entry is not None)
    if entry.kind is Kind.FILE:
        busy = _BUSY if name in listing.busy else AWAITED if name in listing.awaited else ""
        elsewhere = _is_elsewhere(listing, name, entry)
        return _decide_file(path, entry, row, failure, look, busy=busy, elsewhere=elsewhere)
    return _decide_directory(listing, path, entry, row, failure, look)


def _is_elsewhere(listing: Listing, name: str, entry: Entry) -> bool:
    """Whether what has a name is on another file system, or mount, than the directory."""
    return entry.device != listing.device or name in listing.mounted


def _decide_absent(
    path: str, row: Row | None, failure: Failure | None, look: Look, *, there: bool = False
) -> Iterator[Decision]:
    # nothing on disk, nothing published
    if row is None:
        yield Settled(path, had_failure=failure is not None)
    # published once, excluded since: no longer ours to delete
    elif not _selected(path, row.kind, look):
        yield Forget(look.spec.name, path, row.kind, NO_LONGER_INCLUDED)
    # a disk that took its mount point with it
    elif row.device and row.kind is Kind.DIR:
        yield swapped_away(path)
    # the disk that a link leads to
    elif row.device and there:
        why = f"{path} led to another disk when it was published and leads nowhere now"
        yield Swapped(path, why, gone=True, link=True)
    # a delete that the server refused is tried again in its time
    elif failure is not None and failure.fingerprint is None and (blocked := _blocked(path, failure, look)):
        yield blocked._replace(gone=True)
    else:
        yield Gone(path, row.kind)


def _decide_file(
    path: str, entry: Entry, row: Row | None, failure: Failure | None, look: Look, *, busy: str, elsewhere: bool
) -> Iterator[Decision]:
    unchanged = row is not None and row.kind is Kind.FILE and row.fingerprint == entry.fingerprint
    if row is not None and unchanged and look.selection.includes(path):
        if entry.born_ns is None and row.may_be_another(entry):
            yield Ask(path)
            return
        # the usual case: published and unchanged
        if not row.is_another(entry):
            yield from _unchanged(path, entry, row, failure, look, elsewhere=elsewhere)
            return
        # made anew: what the server has may be another content
        row = row._replace(fingerprint=row.fingerprint.doubted())
        yield Adopt(look.spec.name, path, row, "the file was made anew")
    # a file where a directory was: the server's directory has to go first; an excluded one is as good as absent
    if (row is not None and row.kind is Kind.DIR) or not look.selection.includes(path):
        yield from _decide_absent(path, row, failure, look)
        return
    blocked = None
    if failure is not None and failure.fingerprint == entry.fingerprint and not _is_over(entry, failure, look):
        blocked = _blocked(path, failure, look)
    yield blocked or _publish(path, entry, row, look, busy=busy)


def _unchanged(
    path: str, entry: Entry, row: Row, failure: Failure | None, look: Look, *, elsewhere: bool
) -> Iterator[Decision]:
    """A published file; what else there is to be known of it is recorded."""
    yield Settled(path, had_failure=failure is not None)
    if bool(row.device) is not elsewhere:
        row = row._replace(device=int(elsewhere))
        yield Adopt(look.spec.name, path, row, f"a link leads to it on {'another' if elsewhere else 'the same'} disk")
    if row.may_be_another(entry):
        # rights or links were changed: it is not asked again when it was made
        yield Adopt(look.spec.name, path, row._replace(ctime_ns=entry.ctime_ns), "it is the same file")


def _publish(path: str, entry: Entry, row: Row | None, look: Look, *, busy: str) -> Decision:
    """A file that the server does not have in this form: rename, wait or upload; ``busy`` says who writes it."""
    mapping = look.spec.name
    # Content that was published under a path that is gone has been quiet since: it need not settle again.
    moved = look.moved_from(path, entry.fingerprint)
    if moved is not None and moved[0] != path:
        source, source_row = moved
        renaming = sight(entry, look.sighting_of(path), look.now)
        due = _renamed_at(path, source, renaming, look)
        if due > look.now:
            # A file with other names, too, may have that one still.
            had = "has, or had," if entry.linked else "had"
            why = f"it {had} the name {source}, and whether that is written anew is awaited first"
            return Wait(path, due, why, renaming, source=source)
        why, published_ns = f"renamed from {source}", source_row.published_ns
        return Rename(
            mapping, path, source, entry.fingerprint, source_row.sha256, row is not None, why, published_ns=published_ns
        )
    sighting = sight(entry, look.sighting_of(path), look.now, busy=bool(busy))
    if busy:
        again = look.now + max(BUSY_AGAIN_S, look.spec.settle_s)
        return Wait(path, again, busy, sighting)
    quiet = quiet_at(sighting, look.now, look.stamp_ns, look.spec.settle_s)
    if quiet > look.now:
        return Wait(path, quiet, "it changed a moment ago", sighting)
    if row is None:
        return Upload(mapping, path, entry.fingerprint)
    known = row.sha256 if row.fingerprint.size == entry.fingerprint.size else b""
    return Upload(mapping, path, entry.fingerprint, known, replaces=True, why="changed")


def _renamed_at(path: str, source: str, sighting: Sighting, look: Look) -> float:
    """When a file that has another name has it at the server, too: when the old one has been absent for long enough.

    A program that keeps the old version renames it, and then takes its time to write the new one under the usual name,
    which must not be missing at the server meanwhile. Its rename has changed the file's ctime, as quiet times need.
    """
    absent_s = min(look.spec.settle_s, look.spec.delete_after_s)
    if not absent_s:
        return look.now
    since = look.gone_since(path, source)
    return quiet_at(sighting, look.now, look.stamp_ns, absent_s) if since is None else since + absent_s


def _decide_directory(
    listing: Listing, path: str, entry: Entry, row: Row | None, failure: Failure | None, look: Look
) -> Iterator[Decision]:
    mapping, inode = look.spec.name, entry.fingerprint.inode
    mount_point = _is_elsewhere(listing, basename(path), entry)
    # a directory where a file was: the server's file has to go first; an excluded one is as good as absent
    if (row is not None and row.kind is Kind.FILE) or not look.selection.descend(path):
        yield from _decide_absent(path, row, failure, look)
        return
    if row is None:
        yield from _decide_new_directory(path, inode, failure, look, mount_point=mount_point)
        return
    swapped = swapped_directory(path, row, mount_point=mount_point)
    if swapped is not None:
        yield swapped
    elif row.fingerprint == MISSING:
        blocked = _blocked(path, failure, look) if failure is not None and failure.fingerprint is None else None
        yield Enter(path, inode, known=False)
        known = row.device if mount_point and row.device > MIXED else 0
        yield blocked or MakeDir(mapping, path, inode, mount_point, why="missing at the server", filesystem=known)
        return
    elif row.fingerprint.inode != inode:
        yield from _made_anew(path, entry, row, failure, look, mount_point=mount_point)
        return
    elif not look.deep or failure is not None:
        yield Settled(path, had_failure=failure is not None)
    if look.deep:
        yield Enter(path, inode, known=True)


def _decide_new_directory(
    path: str, inode: int, failure: Failure | None, look: Look, *, mount_point: bool
) -> Iterator[Decision]:
    if failure is not None and failure.fingerprint is not None:
        # It was a file's.
        yield Settled(path, had_failure=True)
        failure = None
    blocked = _blocked(path, failure, look) if failure is not None else None
    if look.spec.empty_dirs and blocked is None:
        yield MakeDir(look.spec.name, path, inode, mount_point)
    yield Enter(path, inode, known=False)
    if look.spec.empty_dirs and isinstance(blocked, Wait):
        # Nothing else may ever have it looked at again.
        yield blocked


def _made_anew(
    path: str, entry: Entry, row: Row, failure: Failure | None, look: Look, *, mount_point: bool
) -> Iterator[Decision]:
    """A published directory is another one by now."""
    mapping, inode = look.spec.name, entry.fingerprint.inode
    if failure is not None:
        # What failed was about the one before, which was to be removed.
        yield Settled(path, had_failure=True)
    # Nothing that it lacks was seen in it before now.
    # Which disk that is shows when it is listed itself.
    device = row.device if mount_point and row.device else int(mount_point)
    renewed = Row(Kind.DIR, Fingerprint(0, 0, inode), b"", look.wall_ns, device)
    yield Adopt(mapping, path, renewed, "the directory was made anew")
    yield Enter(path, inode, known=False)


def _blocked(path: str, failure: Failure, look: Look) -> Wait | Settled | None:
    """What an earlier failure of the very same thing means for now."""
    if failure.parked:
        return Settled(path, had_failure=False)
    wait_s = retry_in_s(failure, look.wall_ns)
    if wait_s > 0:
        return Wait(path, look.now + wait_s, f"the last try failed: {failure.message}")
    return None


def _is_over(entry: Entry, failure: Failure, look: Look) -> bool:
    """Whether there is no more what a file failed of, though its fingerprint does not tell.

    One that could not be read was changed since, by a chmod for instance (a time to come proves nothing: a file that
    keeps it would be tried again and again); or what protected another one at the server is not wanted any more.
    """
    if failure.kind == KEPT:
        return look.spec.existing is not ExistingPolicy.KEEP
    return failure.kind == _UNREADABLE and failure.failed_ns < entry.ctime_ns <= look.wall_ns


def retry_in_s(failure: Failure, wall_ns: int) -> float:
    """For how long something that failed is not tried again; infinite if it is parked."""
    if failure.parked:
        return math.inf
    return max(0.0, (next_try_ns(failure, wall_ns) - wall_ns) / 1e9)


def next_try_ns(failure: Failure, wall_ns: int) -> int:
    """When something that failed, and is not parked, is tried again; wall clock, past if that is due.

    Where the clock was set back since it failed, its times mean nothing, and nobody waits for years.
    """
    return wall_ns if failure.failed_ns > wall_ns else failure.next_try_ns


def _selected(path: str, kind: Kind, look: Look) -> bool:
    return look.selection.includes(path) if kind is Kind.FILE else look.selection.descend(path)
