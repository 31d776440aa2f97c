"""What an action that was done means: rows of the ledger, what is looked at next, and what is told of it.

In: a `Done`, the mirror of its mapping. Out: changes in ledger and mirror, a receipt for the log and the history.
Called by `outcomes` on the engine's thread.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.actions import Action, Delete, Did, Done, MakeDir, Probe, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.extent import ASKS, MOVES, SENDS
from ftpsyncd.core.plan import KEPT
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.doubts import doubt_tree, join_in_doubt
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure, Fingerprint, Kind, Row
from ftpsyncd.paths import basename, join, parent
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import PublishMode

_KIND_OF = {
    Did.PUBLISHED: EventKind.PUBLISHED,
    Did.UNCHANGED: EventKind.UNCHANGED,
    Did.ADOPTED: EventKind.ADOPTED,
    Did.KEPT: EventKind.KEPT,
    Did.RENAMED: EventKind.RENAMED,
    Did.DELETED: EventKind.DELETED,
    Did.GONE: EventKind.DELETED,
    Did.TRASHED: EventKind.TRASHED,
    Did.MADE: EventKind.MADE,
    Did.REMOVED: EventKind.REMOVED,
    Did.LEFT: EventKind.REMOVED,
    Did.MOUNTED: EventKind.REMOVED,
    Did.SPOILED: EventKind.FAILED,
}

_ARRIVED = frozenset({Did.PUBLISHED, Did.UNCHANGED, Did.ADOPTED, Did.RENAMED, Did.MADE})
"""After these the server has what is here under the path of the action."""

_SENT_INSTEAD = frozenset({Did.PUBLISHED, Did.UNCHANGED, Did.ADOPTED})
"""After these a rename was not done, and the server has the file under its new name all the same."""

_WORDS = {
    Did.UNCHANGED: "the content is the same, only the date was renewed",
    Did.ADOPTED: "the server had it already, with the same size and date",
    Did.KEPT: "the server has a file of this name that ftpsyncd never published",
    Did.GONE: "it was gone at the server already",
    Did.SPOILED: "what was on the line when an earlier try was cut off has come late, and changed or removed"
    " what was published: it is published again",
    Did.LEFT: "the directory stays at the server: it holds files that are not, or no longer, ftpsyncd's",
    Did.MOUNTED: "the directory stays at the server: a disk is mounted on it there",
}
_SWEPT_IN_VAIN = (
    "it was being sent under its final name when that was cut off; what the server has there now does not show, by its"
    " size and date, that it is of that: it stays"
)
PERHAPS_A_PART = (
    "the server has a file of this name: one that ftpsyncd never published, or a part of what it was sending under this"
    " name when that was cut off; its size and date do not show which"
)


class _Before(NamedTuple):
    """What the ledger said of a path before an outcome changed it."""

    tries: int
    """Failed ones."""
    row: Row | None
    """Of a file that was deleted."""


def apply(mirror: Mirror, done: Done, at: Moment, *, lost: int) -> None:
    """Apply what was done.

    Args:
        mirror: of the mapping.
        done: what, and how.
        at: now.
        lost: so many connections had ended under this action before.
    """
    action, ledger, path = done.action, mirror.ledger, done.action.path
    row = ledger.row(mirror.id, path) if isinstance(action, Delete) else None
    before = _Before(ledger.failures.tries(mirror.id, path), row)
    _look_at_links(mirror, action, at)
    match action:
        case Upload() | Rename():
            _file_done(mirror, action, done, at)
        case RenameDir():
            (_directory_lost if done.did is Did.SPOILED else _directory_renamed)(mirror, action, at)
        case Delete() | RemoveDir():
            _removed(mirror, action, done.did, at)
        case MakeDir(inode=inode, mount_point=mount_point, filesystem=filesystem):
            device = filesystem or int(mount_point)
            ledger.put(mirror.id, path, Row(Kind.DIR, Fingerprint(0, 0, inode), b"", at.wall_ns, device))
            mirror.offers.require_directories(path, at)
            if not inode and path:
                # Made for what is in it: which directory it is, and whether a mount point, is still to be seen.
                mirror.dirty.mark(path, at.now)
        case Sweep():
            _swept(mirror, action, done, at)
        case Probe():
            pass
    if done.did in _ARRIVED:
        mirror.removals.source.arrived(path, at)
    mirror.takeovers.done(action, done.did)
    mirror.intents.end(action, sent=done.did is Did.PUBLISHED, told=done.did is Did.KEPT)
    mirror.intents.left(done.left)
    # A swept leftover says nothing about the failure that left it; a file that was kept is recorded as one.
    if not isinstance(action, ASKS) and done.did is not Did.KEPT:
        ledger.failures.clear(mirror.id, path)
        mirror.mended.done(path, at)
    _tell(mirror, done, before, at, lost=lost)


def record_some(mirror: Mirror, done: Done) -> bool:
    """Before `apply`: record a part of what was done, if it is too much for one turn of the engine.

    The action is not over meanwhile: its intent is open, and nothing else about its paths begins.

    Returns:
        Whether there is more to be recorded before.
    """
    action = done.action
    if not isinstance(action, RenameDir) or done.did is not Did.RENAMED:
        return False
    return mirror.ledger.move_some(mirror.id, action.source, action.path)


def _swept(mirror: Mirror, action: Sweep, done: Done, at: Moment) -> None:
    if done.did is Did.ADOPTED:
        mirror.intents.inquiries.found(action, done.fingerprint, at)
        mirror.offers.require_directories(action.path, at)
        failure = mirror.ledger.failures.of(mirror.id, action.path)
        if failure is not None and failure.fingerprint is None:
            # A directory could not be made there, for this file was in its place.
            mirror.ledger.failures.clear(mirror.id, action.path)
    elif done.did is Did.SPOILED:
        mirror.intents.doubt_row(action.path)
        mirror.dirty.mark(action.path, at.now)


def _directory_renamed(mirror: Mirror, action: RenameDir, at: Moment) -> None:
    source, path = action.source, action.path
    # What it lacks is found gone under its new name, and counts there.
    mirror.removals.absent.elsewhere(source)
    mirror.removals.discarded.moved(source, path)
    mirror.site.moves.moved(source, path)
    row = mirror.ledger.row(mirror.id, path)
    if row is None or row.kind is Kind.FILE:
        mirror.ledger.move(mirror.id, source, path, begun=True)
    else:
        join_in_doubt(mirror.ledger, mirror.id, source, path)
    mirror.other_cases.moved(source, path)
    # Which directories are recorded under either name is another matter now.
    for directory in (source, path):
        mirror.offers.directory_gone(directory)
    mirror.intents.moved(source, path)
    mirror.removals.source.places.moved(source, path)
    mirror.offers.require_directories(path, at)
    mirror.dirty.mark_deep(path, at.now)
    mirror.dirty.mark(path, at.now)
    mirror.dirty.mark(source, at.now)


def _directory_lost(mirror: Mirror, action: RenameDir, at: Moment) -> None:
    """The server has a directory neither under its old name nor under the new one."""
    doubt_tree(mirror.ledger, mirror.id, action.source)
    doubt_moved(mirror, action)
    for path in (action.source, action.path):
        mirror.offers.directory_gone(path)
        mirror.dirty.mark(path, at.now)
    mirror.dirty.mark_deep(action.source, at.now)


def doubt_moved(mirror: Mirror, action: RenameDir) -> None:
    """The server does not confirm a rename that was recorded in part: what has its new name may not be there."""
    if mirror.ledger.row(mirror.id, action.path) is None:
        doubt_tree(mirror.ledger, mirror.id, action.path)


def _removed(mirror: Mirror, action: Delete | RemoveDir, did: Did, at: Moment) -> None:
    path = action.path
    if isinstance(action, Delete):
        mirror.removals.deleted(path, at.now)
        mirror.ledger.forget(mirror.id, path)
        mirror.other_cases.deleted(path)
    elif did in {Did.LEFT, Did.MOUNTED} and mirror.ledger.holds_any(mirror.id, path):
        # Something was published in it meanwhile: that goes first.
        mirror.removals.absent.back(path)
        mirror.dirty.mark(path, at.now)
        return
    else:
        mirror.ledger.forget_tree(mirror.id, path)
        mirror.offers.directory_gone(path)
        mirror.removals.absent.back(path)
    # Something else may have its place by now.
    if not mirror.removals.emptied(parent(path)):
        mirror.dirty.mark(path, at.now)


def _file_done(mirror: Mirror, action: Upload | Rename, done: Done, at: Moment) -> None:
    mirror.waits.sent(action.path)
    for left in mirror.site.moves.cut_off_of(action.fingerprint):
        mirror.dirty.mark(left, at.now)
    mirror.intents.late.arrived(action, at)
    if done.did is Did.PUBLISHED:
        mirror.stalls.arrived(action.path, action.fingerprint.size, at)
    if done.did is not Did.RENAMED:
        look_at_source(mirror, action, at)
    if isinstance(action, Rename) and done.did in _SENT_INSTEAD:
        row = mirror.ledger.row(mirror.id, action.source)
        if row is not None and row.fingerprint == action.fingerprint:
            mirror.site.moves.was_refused(action.source, action.path, action.fingerprint)
    if done.did is Did.KEPT:
        words = _words(mirror, done)
        remedy = "`existing: keep` protects it; rename one of the two, or choose another policy."
        if words is PERHAPS_A_PART:
            name = as_word(mirror.spec.name)
            remedy = f"Delete it at the server if it is a part, and `ftpsyncd retry {name}`. {remedy}"
        failure = Failure(action.fingerprint, 1, True, 0, KEPT, words, "", remedy, at.wall_ns)  # noqa: FBT003
        mirror.ledger.failures.put(mirror.id, action.path, failure)
        return
    ctime_ns = done.ctime_ns
    if done.did is Did.RENAMED and isinstance(action, Rename):
        source = mirror.ledger.row(mirror.id, action.source)
        # Renaming it changes its ctime: it is the published one if it was made before that of then.
        ctime_ns = source.seen_ns if source is not None else 0
        mirror.ledger.move(mirror.id, action.source, action.path)
        mirror.other_cases.moved(action.source, action.path)
        mirror.removals.emptied(parent(action.source))
    sha256 = action.sha256 if isinstance(action, Rename) and not done.sha256 else done.sha256
    mirror.ledger.put(mirror.id, action.path, Row(Kind.FILE, action.fingerprint, sha256, at.wall_ns, ctime_ns=ctime_ns))
    mirror.offers.require_directories(action.path, at)
    if mirror.spec.follow_symlinks:
        # Whether it is on another disk is still to be seen.
        mirror.dirty.mark(action.path, at.now)


def _look_at_links(mirror: Mirror, action: Action, at: Moment) -> None:
    """What is published under one name may be so under others, which lead to it or to a directory above it.

    Where links are followed, the kernel tells of none of the other names. A name that leads to a directory has a row
    with that directory's inode; whether something in it is new there, too, only a look can tell.
    """
    if not mirror.spec.follow_symlinks or isinstance(action, ASKS):
        return
    ledger, path = mirror.ledger, action.path
    row, above = ledger.row(mirror.id, path), ledger.row(mirror.id, parent(path))
    inodes = {row.fingerprint.inode} if row is not None else set()
    if isinstance(action, SENDS):
        inodes.add(action.fingerprint.inode)
    elif isinstance(action, RenameDir):
        inodes.add(action.inode)
    names: set[str] = set()
    for inode in inodes - {0}:
        names.update(name for name, _ in ledger.inodes.names(mirror.id, inode))
        names.update(ledger.inodes.directories(mirror.id, inode))
    if above is not None and above.fingerprint.inode:
        places = ledger.inodes.directories(mirror.id, above.fingerprint.inode)
        names.update(join(place, basename(path)) for place in places)
    for name in names - {path}:
        mirror.dirty.mark(name, at.now)


def _tell(mirror: Mirror, done: Done, before: _Before, at: Moment, *, lost: int) -> None:
    kind = _KIND_OF.get(done.did)
    if kind is None:
        return
    action, size, sha256 = done.action, 0, done.sha256
    if isinstance(action, SENDS):
        size = action.fingerprint.size
    if isinstance(action, Rename) and not sha256:
        sha256 = action.sha256
    if isinstance(action, Delete) and before.row is not None:
        size, sha256 = before.row.fingerprint.size, before.row.sha256
    source = action.source if isinstance(action, MOVES) and done.did is Did.RENAMED else ""
    mirror.site.tell(
        kind,
        action.source if isinstance(action, RenameDir) and not source else action.path,
        _words(mirror, done),
        at_ns=at.wall_ns,
        again=before.tries > 0,
        size=size,
        duration_s=done.duration_s,
        reply=done.reply,
        source=source,
        sha256=sha256,
        attempts=before.tries + lost + 1,
    )


def _words(mirror: Mirror, done: Done) -> str:
    """What the log says of an outcome besides its kind."""
    action = done.action
    if done.did is Did.KEPT and isinstance(action, Sweep):
        return _SWEPT_IN_VAIN
    direct = mirror.spec.publish is PublishMode.DIRECT
    if done.did is Did.KEPT and isinstance(action, SENDS) and action.ours and (direct or action.exposed):
        return PERHAPS_A_PART
    return _WORDS.get(done.did, "")


def look_at_source(mirror: Mirror, action: Action, at: Moment, in_s: float = 0.0) -> None:
    """What a rename was to take away is still at the server, and nobody else may care for it."""
    if isinstance(action, MOVES):
        mirror.dirty.mark(action.source, at.now + in_s)
    if isinstance(action, RenameDir):
        # It may be here still, where a link that is followed leads to it: what waited below it was taken back.
        mirror.dirty.mark_deep(action.source, at.now)
