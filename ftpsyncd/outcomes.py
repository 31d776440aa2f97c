"""What an outcome means: rows and failures for the ledger, the next try, and what the server's queue learns from it.

In: an outcome, the mirror of its mapping. Out: changes in ledger, mirror and queue. Called by the engine's thread. The
retry verdict is the error's own (`errors.Retry`); the numbers are those of docs/architecture.md.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.core.schedule import Breaker, Key, Queue
from ftpsyncd.core.settle import BUSY_AGAIN_S
from ftpsyncd.errors import (
    DataUnreachableError,
    FileBusyError,
    FileChangedError,
    FtpsyncdError,
    NameNotSendableError,
    RemoteError,
    Retry,
    SourceMissingError,
)
from ftpsyncd.events import EventKind
from ftpsyncd.mirror import Mirror
from ftpsyncd.model import (
    Action,
    Delete,
    Did,
    Done,
    Failed,
    Failure,
    Fingerprint,
    Kind,
    MakeDir,
    Outcome,
    Probe,
    RemoveDir,
    Rename,
    RenameDir,
    Row,
    Sweep,
    Upload,
    basename,
    join,
    parent,
)
from ftpsyncd.quoting import quote
from ftpsyncd.removals import Moment
from ftpsyncd.specs import PublishMode

QUICK_TRIES = 5
HOURLY_TRIES = 24
NAME_TRIES = 2
FIRST_RETRY_S = 1.0
HOUR_S = 3600.0
SPACE_RETRY_S = 300.0
LOST_CONNECTIONS = 3
"""An action whose connection ends so often is treated as the cause."""
LOOK_AGAIN_S = 0.05

_KIND_OF = {
    Did.PUBLISHED: EventKind.PUBLISHED,
    Did.UNCHANGED: EventKind.UNCHANGED,
    Did.ADOPTED: EventKind.ADOPTED,
    Did.KEPT: EventKind.KEPT,
    Did.RENAMED: EventKind.RENAMED,
    Did.DELETED: EventKind.DELETED,
    Did.TRASHED: EventKind.TRASHED,
    Did.MADE: EventKind.MADE,
    Did.REMOVED: EventKind.REMOVED,
    Did.LEFT: EventKind.REMOVED,
    Did.SPOILED: EventKind.FAILED,
}

_ARRIVED = frozenset({Did.PUBLISHED, Did.UNCHANGED, Did.ADOPTED, Did.RENAMED, Did.MADE})
"""After these the server has what is here under the path of the action."""

_WORDS = {
    Did.UNCHANGED: "the content is the same, only the date was renewed",
    Did.ADOPTED: "the server had it already, with the same size and date",
    Did.KEPT: "the server has a file of this name that ftpsyncd never published",
    Did.SPOILED: "what was on the line when an earlier try was cut off has come late, and changed or removed the"
    " published file: it is published again",
    Did.LEFT: "the directory stays at the server: it holds files that ftpsyncd never published",
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


class Outcomes:
    """Applies outcomes; remembers what only matters while the daemon runs (lost connections, full servers)."""

    def __init__(self) -> None:
        self._lost: dict[Key, int] = {}
        self._kept: dict[Key, int] = {}
        self._full: dict[str, set[Key]] = {}

    def apply(self, mirror: Mirror, outcome: Outcome, at: Moment) -> bool:
        """Apply an outcome of one mapping.

        Returns:
            Whether the action has to be queued again as it is.
        """
        action = outcome.action
        if isinstance(outcome, Done):
            lost = self._lost.pop((action.mapping, action.path), 0)
            self._kept.pop((action.mapping, action.path), None)
            self._full.get(mirror.spec.server, set()).discard((action.mapping, action.path))
            _done(mirror, outcome, at, lost=lost)
            requeue = False
        else:
            requeue = self._failed(mirror, outcome, at)
        mirror.offers.look_again(action, at)
        if action.path in mirror.inherited:
            # It was planned under settings that are over: what it was about is looked at under the new ones.
            mirror.inherited.discard(action.path)
            mirror.dirty.mark(action.path, at.now)
            _look_at_source(mirror, action, at)
            return False
        return requeue

    def _failed(self, mirror: Mirror, failed: Failed, at: Moment) -> bool:
        action, error = failed.action, failed.error
        if failed.connecting or error.retry is Retry.AGAIN:
            return True
        if isinstance(action, Upload | Rename):
            if failed.in_place:
                mirror.intents.exposures.begun(action, at)
                mirror.intents.doubt_row(action.path)
                mirror.takeovers.spoiled(action.path)
            mirror.intents.exposures.over(action.path, at)
        key = (action.mapping, action.path)
        if failed.kept > self._kept.get(key, 0):
            # The last try brought a large file forward: nothing that happened before counts against it.
            self._kept[key] = failed.kept
            self._lost.pop(key, None)
            mirror.ledger.failures.clear(mirror.id, action.path)
        match error.retry:
            case Retry.REPLAN:
                _replan(mirror, action, error, at)
                return False
            case Retry.SERVER | Retry.LOGIN | Retry.CAP:
                return self._connection_lost(mirror, failed, at)
            case Retry.SPACE:
                self._server_full(mirror, action, error, at)
            case _:
                pass
        _record_failure(mirror, action, error, at)
        return False

    def _connection_lost(self, mirror: Mirror, failed: Failed, at: Moment) -> bool:
        """The connection ended under an action: nothing is known against the action unless it happens again."""
        key = (failed.action.mapping, failed.action.path)
        lost = self._lost[key] = self._lost.get(key, 0) + 1
        mirror.intents.doubt(failed.action, at)
        if isinstance(failed.error, DataUnreachableError):
            if lost >= LOST_CONNECTIONS or mirror.queue.state is Breaker.OFFLINE:
                self._server_unreachable(mirror, failed.error, at)
            return True
        if lost < LOST_CONNECTIONS:
            # A rename of a directory is in the queue again, as one that may have been done.
            return not isinstance(failed.action, RenameDir)
        del self._lost[key]
        self._kept.pop(key, None)
        if isinstance(failed.action, RenameDir):
            # It may be done all the same; that is for the server to tell, unless it ends the connection then, too.
            if failed.action.ask_only:
                mirror.queue.withdraw(mirror.spec.name, failed.action.path)
                mirror.intents.put_off(failed.action.path)
                _look_at_source(mirror, failed.action, at)
                _not_renamed(mirror, failed.action, at)
            else:
                mirror.intents.ask_only(failed.action)
            return False
        _record_failure(mirror, failed.action, failed.error, at)
        return False

    @staticmethod
    def _server_unreachable(mirror: Mirror, error: FtpsyncdError, at: Moment) -> None:
        """A firewall lets no data through: no file is to blame, and none would fare better."""
        message = f"{error.message} {error.remedy}"
        if mirror.queue.server_failed(at.now, Breaker.OFFLINE, message):
            mirror.site.tell(EventKind.SERVER_OFFLINE, message=message)

    def _server_full(self, mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> None:
        full = self._full.setdefault(mirror.spec.server, set())
        full.add((action.mapping, action.path))
        if len(full) > 1:
            full.clear()
            mirror.queue.server_failed(at.now, Breaker.FULL, error.message)
            mirror.site.tell(EventKind.SERVER_OFFLINE, message=f"no space left at the server: {error.message}")


def apply_to_server(queue: Queue, outcome: Outcome, connections: int, now: float) -> EventKind | None:
    """What an outcome says about the server itself.

    Args:
        queue: of the server.
        outcome: of any action there.
        connections: how many are open now.
        now: monotonic seconds.

    Returns:
        SERVER_ONLINE or SERVER_OFFLINE if that is news.
    """
    if isinstance(outcome, Failed) and outcome.connecting:
        error = outcome.error
        if error.retry is Retry.CAP and connections and queue.lower_cap(now):
            return None
        state = Breaker.REFUSED if error.retry is Retry.LOGIN else Breaker.OFFLINE
        return EventKind.SERVER_OFFLINE if queue.server_failed(now, state, error.message) else None
    if isinstance(outcome, Failed) and not isinstance(outcome.error, RemoteError):
        return None
    if isinstance(outcome, Failed) and outcome.error.retry in {Retry.SERVER, Retry.SPACE, Retry.CAP, Retry.LOGIN}:
        return None
    was = queue.state
    if queue.server_answered() and was is not Breaker.UNKNOWN:
        return EventKind.SERVER_ONLINE
    return None


def _done(mirror: Mirror, done: Done, at: Moment, *, lost: int) -> None:
    action, ledger, path = done.action, mirror.ledger, done.action.path
    row = ledger.row(mirror.id, path) if isinstance(action, Delete) else None
    before = _Before(ledger.failures.tries(mirror.id, path), row)
    _look_at_links(mirror, action, at)
    match action:
        case Upload() | Rename():
            _file_done(mirror, action, done, at)
        case RenameDir():
            _directory_renamed(mirror, action, at)
        case Delete() | RemoveDir():
            _removed(mirror, action, done.did, at)
        case MakeDir(inode=inode, mount_point=mount_point):
            ledger.put(mirror.id, path, Row(Kind.DIR, Fingerprint(0, 0, inode), b"", at.wall_ns, int(mount_point)))
            mirror.offers.require_directories(path, at)
            if not inode and path:
                # Made for what is in it: which directory it is, and whether a mount point, is still to be seen.
                mirror.dirty.mark(path, at.now)
        case Sweep():
            _swept(mirror, action, done, at)
        case Probe():
            pass
    if done.did in _ARRIVED:
        mirror.removals.arrived(path, at)
    mirror.takeovers.done(action, done.did)
    mirror.intents.end(action, sent=done.did is Did.PUBLISHED, told=done.did is Did.KEPT)
    # A swept leftover says nothing about the failure that left it; a file that was kept is recorded as one.
    if not isinstance(action, Sweep | Probe) and done.did is not Did.KEPT:
        ledger.failures.clear(mirror.id, path)
    _tell(mirror, done, before, at, lost=lost)


def _swept(mirror: Mirror, action: Sweep, done: Done, at: Moment) -> None:
    if done.did is Did.ADOPTED:
        mirror.intents.found(action, done.fingerprint, at)
        mirror.offers.require_directories(action.path, at)
    elif done.did is Did.SPOILED:
        mirror.intents.doubt_row(action.path)
        mirror.dirty.mark(action.path, at.now)


def _directory_renamed(mirror: Mirror, action: RenameDir, at: Moment) -> None:
    source, path = action.source, action.path
    mirror.ledger.move(mirror.id, source, path)
    mirror.other_cases.moved(source, path)
    # What was recorded under the new name is not there any more.
    for directory in (source, path):
        mirror.offers.directory_gone(directory)
    mirror.intents.moved(source, path)
    mirror.offers.require_directories(path, at)
    mirror.dirty.mark_deep(path, at.now)
    mirror.dirty.mark(path, at.now)
    mirror.dirty.mark(source, at.now)


def _removed(mirror: Mirror, action: Delete | RemoveDir, did: Did, at: Moment) -> None:
    path = action.path
    if isinstance(action, Delete):
        mirror.removals.deleted(path)
        mirror.ledger.forget(mirror.id, path)
        mirror.other_cases.deleted(path)
    elif did is Did.LEFT and mirror.ledger.holds_any(mirror.id, path):
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
    mirror.intents.exposures.arrived(action, at)
    if done.did is not Did.RENAMED:
        _look_at_source(mirror, action, at)
    if done.did is Did.KEPT:
        words = _words(mirror, done)
        remedy = "`existing: keep` protects it; rename one of the two, or choose another policy."
        if words is PERHAPS_A_PART:
            remedy = f"Delete it at the server if it is a part, and `ftpsyncd retry`. {remedy}"
        failure = Failure(action.fingerprint, 1, True, 0, "KeptError", words, "", remedy, at.wall_ns)  # noqa: FBT003
        mirror.ledger.failures.put(mirror.id, action.path, failure)
        return
    if done.did is Did.RENAMED and isinstance(action, Rename):
        mirror.ledger.move(mirror.id, action.source, action.path)
        mirror.other_cases.moved(action.source, action.path)
        mirror.removals.emptied(parent(action.source))
    sha256 = action.sha256 if isinstance(action, Rename) and not done.sha256 else done.sha256
    mirror.ledger.put(mirror.id, action.path, Row(Kind.FILE, action.fingerprint, sha256, at.wall_ns))
    mirror.offers.require_directories(action.path, at)


def _look_at_links(mirror: Mirror, action: Action, at: Moment) -> None:
    """What is published under one name may be so under others, which lead to it or to a directory above it.

    Where links are followed, the kernel tells of none of the other names. A name that leads to a directory has a row
    with that directory's inode; whether something in it is new there, too, only a look can tell.
    """
    if not mirror.spec.follow_symlinks or isinstance(action, Sweep | Probe):
        return
    ledger, path = mirror.ledger, action.path
    row, above = ledger.row(mirror.id, path), ledger.row(mirror.id, parent(path))
    inodes = {row.fingerprint.inode} if row is not None else set()
    if isinstance(action, Upload | Rename):
        inodes.add(action.fingerprint.inode)
    elif isinstance(action, RenameDir):
        inodes.add(action.inode)
    names: set[str] = set()
    for inode in inodes - {0}:
        names.update(name for name, _ in ledger.names_of(mirror.id, inode))
        names.update(ledger.same_directory(mirror.id, inode))
    if above is not None and above.fingerprint.inode:
        places = ledger.same_directory(mirror.id, above.fingerprint.inode)
        names.update(join(place, basename(path)) for place in places)
    for name in names - {path}:
        mirror.dirty.mark(name, at.now)


def _tell(mirror: Mirror, done: Done, before: _Before, at: Moment, *, lost: int) -> None:
    kind = _KIND_OF.get(done.did)
    if kind is None:
        return
    action, size, sha256 = done.action, 0, done.sha256
    if isinstance(action, Upload | Rename):
        size = action.fingerprint.size
    if isinstance(action, Rename) and not sha256:
        sha256 = action.sha256
    if isinstance(action, Delete) and before.row is not None:
        size, sha256 = before.row.fingerprint.size, before.row.sha256
    source = action.source if isinstance(action, Rename | RenameDir) and done.did is Did.RENAMED else ""
    mirror.site.tell(
        kind,
        action.path,
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
    if done.did is Did.KEPT and isinstance(action, Upload | Rename) and action.ours and (direct or action.exposed):
        return PERHAPS_A_PART
    return _WORDS.get(done.did, "")


def _not_swept(mirror: Mirror, sweep: Sweep, error: FtpsyncdError, at: Moment) -> None:
    """Something of ours stays at the server: told once, and tried again in its time (`Intents.put_off`)."""
    if mirror.intents.put_off(sweep.path):
        what = f"{quote(sweep.temporary)}, which" if sweep.temporary else "what"
        message = f"{what} an interrupted upload may have left, cannot be deleted at the server now: {error.message}"
        reply = error.reply if isinstance(error, RemoteError) else ""
        mirror.site.tell(
            EventKind.FAILED,
            sweep.path,
            message,
            at_ns=at.wall_ns,
            reply=reply,
            remedy=error.remedy,
            error=type(error).__name__,
        )


def _refused(mirror: Mirror, action: Action, error: FtpsyncdError) -> None:
    """It was not done, and that is certain; a file may have left something under its temporary name."""
    if isinstance(action, Sweep):
        mirror.intents.put_off(action.path)
    elif not isinstance(action, Upload | Rename) or isinstance(error, NameNotSendableError):
        # What cannot be said was not sent: of this try nothing is left.
        mirror.intents.end(action, sent=False)


def _replan(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> None:
    """The disk is not what the plan saw."""
    _refused(mirror, action, error)
    # Not at once: two files that change names are each the other's source.
    busy = isinstance(error, FileBusyError)
    _look_at_source(mirror, action, at, max(BUSY_AGAIN_S, mirror.spec.settle_s) if busy else LOOK_AGAIN_S)
    if isinstance(error, SourceMissingError):
        mirror.check_source(at.now)
    if isinstance(error, FileBusyError) and isinstance(action, Upload | Rename):
        mirror.waits.for_writer(action.path, action.fingerprint, at)
        return
    if isinstance(error, FileChangedError) and isinstance(action, Upload | Rename):
        mirror.waits.overtaken(action.path, at)
        mirror.other_names.changed_under_way(action, at)
    if isinstance(action, RenameDir):
        _not_renamed(mirror, action, at)
    mirror.dirty.mark(action.path, at.now + LOOK_AGAIN_S)


def _not_renamed(mirror: Mirror, action: RenameDir, at: Moment) -> None:
    """The server would not rename a directory: its files are taken one by one."""
    mirror.offers.not_renamed.add(action.path)
    mirror.dirty.mark_deep(action.path, at.now)


def _look_at_source(mirror: Mirror, action: Action, at: Moment, in_s: float = 0.0) -> None:
    """What a rename was to take away is still at the server, and nobody else may care for it."""
    if isinstance(action, Rename | RenameDir):
        mirror.dirty.mark(action.source, at.now + in_s)
    if isinstance(action, RenameDir):
        # It may be here still, where a link that is followed leads to it: what waited below it was taken back.
        mirror.dirty.mark_deep(action.source, at.now)


def _record_failure(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> None:
    if isinstance(action, Probe):
        return
    if isinstance(action, Sweep):
        _not_swept(mirror, action, error, at)
        return
    _refused(mirror, action, error)
    _look_at_source(mirror, action, at)
    if isinstance(action, RenameDir):
        _not_renamed(mirror, action, at)
        return
    before = mirror.ledger.failures.of(mirror.id, action.path)
    fingerprint = action.fingerprint if isinstance(action, Upload | Rename) else None
    attempts = before.attempts + 1 if before is not None and before.fingerprint == fingerprint else 1
    wait_s = retry_after(error.retry, attempts)
    failure = Failure(
        fingerprint,
        attempts,
        wait_s is None,
        at.wall_ns + int((wait_s or 0) * 1e9),
        type(error).__name__,
        error.message,
        error.reply if isinstance(error, RemoteError) else "",
        error.remedy,
        at.wall_ns,
    )
    mirror.ledger.failures.put(mirror.id, action.path, failure)
    # A parked path is looked at once more, too: gone while the action ran, it would be a problem for ever.
    mirror.dirty.mark(action.path, at.now + (LOOK_AGAIN_S if wait_s is None else wait_s))
    kind = EventKind.PARKED if wait_s is None else EventKind.FAILED
    mirror.site.tell(
        kind,
        action.path,
        error.message,
        at_ns=at.wall_ns,
        again=before is not None,
        reply=failure.reply,
        remedy=error.remedy,
        size=fingerprint.size if fingerprint else 0,
        attempts=attempts,
        error=failure.kind,
    )


def retry_after(retry: Retry, attempts: int) -> float | None:
    """Seconds until the next try after ``attempts`` failed ones; None: parked."""
    if retry is Retry.SPACE:
        return SPACE_RETRY_S
    if retry is Retry.NEVER:
        return None
    if retry is Retry.NAME:
        return FIRST_RETRY_S if attempts < NAME_TRIES else None
    if attempts < QUICK_TRIES:
        return float(FIRST_RETRY_S * 2 ** (attempts - 1))
    return HOUR_S if attempts < QUICK_TRIES + HOURLY_TRIES else None
