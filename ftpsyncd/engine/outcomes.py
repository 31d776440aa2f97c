"""What an outcome means: of what was done see `done`; of what failed, the next try; for the server see `gating`.

In: an outcome, the mirror of its mapping. Out: changes in ledger, mirror and queue. Called by the engine's thread. The
retry verdict is the error's own (`errors.Retry`); the numbers are those of docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ftpsyncd.actions import Action, Did, Done, Failed, Outcome, Probe, RenameDir, Sweep, Upload
from ftpsyncd.core.extent import MAKES_ROOM, SENDS
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.settle import BUSY_AGAIN_S
from ftpsyncd.core.space import SPACE_RETRY_S
from ftpsyncd.engine import done, room
from ftpsyncd.engine.done import doubt_moved, look_at_source
from ftpsyncd.engine.gating import WITHOUT_DATA, lets_in_in_vain, took_space
from ftpsyncd.engine.tries import Tries
from ftpsyncd.errors import (
    NO_ANSWER,
    ChangedAtServerError,
    FileBusyError,
    FileChangedError,
    FtpsyncdError,
    LeftoverError,
    LocalError,
    NameNotSendableError,
    RemoteError,
    Retry,
    SourceMissingError,
    TooManyTransfersError,
    TransferFailedError,
    TurnMissedError,
)
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure
from ftpsyncd.quoting import as_word, named, quote

QUICK_TRIES = 5
HOURLY_TRIES = 24
NAME_TRIES = 2
FIRST_RETRY_S = 1.0
HOUR_S = 3600.0
LOST_CONNECTIONS = 3
"""An action whose connection ends so often is treated as the cause."""
LOOK_AGAIN_S = 0.05


class Outcomes:
    """Applies outcomes; remembers of failed tries what only matters while the daemon runs.

    Args:
        beside: the other mappings of a mapping's server.
        stir: has a mapping gone on with that another one's outcome is about.
    """

    def __init__(
        self,
        beside: Callable[[Mirror], Collection[Mirror]] = lambda _mirror: (),
        stir: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.tries = Tries()
        self._beside, self._stir = beside, stir

    def apply(self, mirror: Mirror, outcome: Outcome, at: Moment) -> bool:
        """Apply an outcome of one mapping.

        Returns:
            Whether the action has to be queued again as it is.
        """
        action, outcome = outcome.action, _unless_ours_is_left(mirror, outcome)
        if isinstance(outcome, Done):
            lost = self.tries.over((action.mapping, action.path))
            if took_space(outcome):
                # There is space: what others lacked is theirs, a limit for one file, say.
                for name in room.found(mirror, self._beside(mirror), action, at):
                    self._stir(name)
            else:
                self._room_made(mirror, action, at, deleted=outcome.did in {Did.DELETED, Did.GONE})
            done.apply(mirror, outcome, at, lost=lost)
            if outcome.did is Did.PUBLISHED and isinstance(action, SENDS):
                for each in self._beside(mirror):
                    if each.stalls.passed(action.fingerprint.size, at):
                        self._stir(each.spec.name)
            requeue = False
        else:
            requeue = self._failed(mirror, outcome, at)
            if not requeue:
                self._room_made(mirror, action, at, deleted=False)
        mirror.offers.look_again(action, at)
        if action.path in mirror.inherited:
            # It was planned under settings that are over: what it was about is looked at under the new ones.
            mirror.inherited.discard(action.path)
            mirror.dirty.mark(action.path, at.now)
            look_at_source(mirror, action, at)
            return False
        return requeue

    def _room_made(self, mirror: Mirror, action: Action, at: Moment, *, deleted: bool) -> None:
        if isinstance(action, MAKES_ROOM):
            for name in room.made(mirror, self._beside(mirror), action, at, deleted=deleted):
                self._stir(name)

    def _failed(self, mirror: Mirror, failed: Failed, at: Moment) -> bool:
        action, error = failed.action, failed.error
        if isinstance(action, SENDS) and (failed.connecting or isinstance(error, TurnMissedError)):
            mirror.intents.exposures.not_begun(action)
        if failed.connecting or error.retry is Retry.AGAIN:
            return True
        if error.retry is Retry.MACHINE:
            return _put_off(mirror, action, error, at)
        _note_what_is_left(mirror, failed, at)
        if failed.unanswered and isinstance(action, SENDS) and error.retry not in NO_ANSWER:
            # The disk may be to blame for the try, and what was said of it arrive when the next one is under way.
            mirror.intents.doubt(action, at)
        if self.tries.came_forward((action.mapping, action.path), failed.kept):
            # Nothing that happened before counts against it.
            mirror.ledger.failures.clear(mirror.id, action.path)
        if isinstance(error, TooManyTransfersError) or (
            error.retry is Retry.SPACE and room.is_overtaken(mirror, action, at)
        ):
            # Nothing is known against it: it has its turn when there are fewer, or with the room that there is now.
            return True
        match error.retry:
            case Retry.REPLAN:
                _replan(mirror, action, error, at)
                return False
            case Retry.SERVER | Retry.LOGIN | Retry.CAP:
                return self._connection_lost(mirror, failed, at)
            case Retry.SPACE:
                room.no_space(mirror, action, error, at, alone=not self._beside(mirror))
                _record_failure(mirror, action, error, at)
                room.tried_soon(mirror, action, at)
            case _:
                _record_failure(mirror, action, error, at)
        return False

    def _connection_lost(self, mirror: Mirror, failed: Failed, at: Moment) -> bool:
        """The connection ended under an action: nothing is known against the action unless it happens again.

        A server that lets us in and answers nothing pauses, or it would be logged in to for each file again and again.
        What it is tried with after that is at fault if it ends the connection: another one has its turn then.
        """
        key, gate = (failed.action.mapping, failed.action.path), mirror.queue.gate
        lost = self.tries.lost(key)
        mirror.intents.doubt(failed.action, at)
        if isinstance(failed.error, WITHOUT_DATA):
            if lost >= LOST_CONNECTIONS or gate.state is Breaker.OFFLINE:
                self._server_unreachable(mirror, failed.error, at)
                if failed.error.reply:
                    # The server said it of this file: whether of each is shown by another one, when the pause is over.
                    mirror.queue.goes_behind(failed.action)
            return True
        tried = failed.mute and gate.is_doubtful
        if failed.mute:
            self._server_unreachable(mirror, failed.error, at)
        # A rename of a directory is in the queue again, as one that may have been done.
        if lost < LOST_CONNECTIONS and (isinstance(failed.action, RenameDir) or not tried):
            return not isinstance(failed.action, RenameDir)
        self.tries.over(key)
        if isinstance(failed.action, RenameDir):
            # It may be done all the same; that is for the server to tell, unless it ends the connection then, too.
            if failed.action.ask_only:
                mirror.queue.withdraw(mirror.spec.name, failed.action.path)
                mirror.intents.inquiries.put_off(failed.action.path)
                look_at_source(mirror, failed.action, at)
                if not mirror.intents.late.directories.asks(failed.action):
                    _not_renamed(mirror, failed.action, at)
            else:
                mirror.intents.inquiries.ask_only(failed.action)
            return False
        _record_failure(mirror, failed.action, failed.error, at)
        return False

    @staticmethod
    def _server_unreachable(mirror: Mirror, error: FtpsyncdError, at: Moment) -> None:
        """No file is to blame, and none would fare better: a firewall lets no data through, for instance."""
        if lets_in_in_vain(mirror.queue, error, at.now):
            mirror.site.tell(EventKind.SERVER_OFFLINE, message=f"{error.message} {error.remedy}")


def _unless_ours_is_left(mirror: Mirror, outcome: Outcome) -> Outcome:
    """A directory that stays at the server because of what is ours in it is not done with: it would stay for good."""
    if not isinstance(outcome, Done) or outcome.did is not Did.LEFT:
        return outcome
    left = mirror.intents.inquiries.left_in(outcome.action.path)
    if left is None or mirror.ledger.holds_any(mirror.id, outcome.action.path):
        return outcome
    error = LeftoverError(
        f"The directory is not empty at the server: there may be something of {named(left)} in it, whose transfer"
        " was interrupted, and which could not be deleted."
    )
    return Failed(outcome.action, error)


def _not_swept(mirror: Mirror, sweep: Sweep, error: FtpsyncdError, at: Moment) -> None:
    """Something of ours stays at the server: told once, and tried again in its time (`Inquiries.put_off`)."""
    if mirror.intents.inquiries.put_off(sweep.path):
        what = f"{quote(sweep.temporary)}, which" if sweep.temporary else "what"
        cannot = "cannot be deleted, or not be looked for, at the server now"
        message = f"{what} an interrupted upload may have left, {cannot}: {error.message}"
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


def _note_what_is_left(mirror: Mirror, failed: Failed, at: Moment) -> None:
    """What a try that failed changed at the server, whether it can have left anything there, and whether it stalled."""
    action, error = failed.action, failed.error
    if not isinstance(action, SENDS):
        return
    if isinstance(error, TransferFailedError) and error.stalled:
        mirror.stalls.stalled(action.path, action.fingerprint.size, at)
    if failed.in_place:
        mirror.intents.exposures.begun(action, at)
    if failed.in_place or failed.gone:
        mirror.intents.doubt_row(action.path)
        mirror.takeovers.spoiled(action.path)
    mirror.intents.exposures.over(action.path, at)
    if failed.refused and isinstance(action, Upload):
        mirror.intents.refused(action)


def _put_off(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> bool:
    """This machine could not, and may in a moment (`shortage`); True if it has to be queued again as it is."""
    if isinstance(error, LocalError):
        # It is opened before anything is said to the server.
        return True
    mirror.intents.doubt(action, at)
    # As after a connection that ended, a rename of a directory is in the queue again.
    return not isinstance(action, RenameDir)


def _refused(mirror: Mirror, action: Action, error: FtpsyncdError) -> None:
    """It was not done, and that is certain; a file may have left something under its temporary name."""
    if isinstance(action, RenameDir) and not mirror.intents.late.directories.asks(action):
        doubt_moved(mirror, action)
    if isinstance(action, Sweep):
        mirror.intents.inquiries.put_off(action.path)
    elif not isinstance(action, SENDS) or isinstance(error, NameNotSendableError):
        # What cannot be said was not sent: of this try nothing is left.
        mirror.intents.end(action, sent=False)


def _replan(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> None:
    """The disk is not what the plan saw, or no directory was renamed late."""
    late = isinstance(action, RenameDir) and mirror.intents.late.directories.asks(action)
    _refused(mirror, action, error)
    # Not at once: two files that change names are each the other's source.
    busy = isinstance(error, FileBusyError)
    look_at_source(mirror, action, at, max(BUSY_AGAIN_S, mirror.spec.settle_s) if busy else LOOK_AGAIN_S)
    if isinstance(error, SourceMissingError):
        mirror.check_source(at.now)
    if isinstance(error, FileBusyError) and isinstance(action, SENDS):
        mirror.waits.for_writer(action.path, action.fingerprint, at)
        return
    if isinstance(error, FileChangedError) and isinstance(action, SENDS):
        mirror.waits.overtaken(action.path, at)
        mirror.other_names.changed_under_way(action, at)
    if isinstance(action, RenameDir) and not late:
        _not_renamed(mirror, action, at)
    mirror.dirty.mark(action.path, at.now + LOOK_AGAIN_S)


def _not_renamed(mirror: Mirror, action: RenameDir, at: Moment) -> None:
    """The server would not rename a directory: its files are taken one by one."""
    mirror.offers.not_renamed(action.path)
    mirror.offers.not_brought(action.path, at)


def _record_failure(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment) -> None:
    if isinstance(action, Probe):
        return
    if isinstance(action, Sweep):
        _not_swept(mirror, action, error, at)
        return
    late = isinstance(action, RenameDir) and mirror.intents.late.directories.asks(action)
    _refused(mirror, action, error)
    look_at_source(mirror, action, at)
    if isinstance(action, RenameDir):
        if not late:
            _not_renamed(mirror, action, at)
        return
    before = mirror.ledger.failures.of(mirror.id, action.path)
    fingerprint = action.fingerprint if isinstance(action, SENDS) else None
    attempts = before.attempts + 1 if before is not None and before.fingerprint == fingerprint else 1
    wait_s = retry_after(error.retry, attempts)
    # Of whom all paths are that a person hears of with this one.
    remedy = error.remedy.replace("`ftpsyncd retry`", f"`ftpsyncd retry {as_word(mirror.spec.name)}`")
    failure = Failure(
        fingerprint,
        attempts,
        wait_s is None,
        at.wall_ns + int((wait_s or 0) * 1e9),
        type(error).__name__,
        error.message,
        error.reply if isinstance(error, RemoteError) else "",
        remedy,
        at.wall_ns,
    )
    mirror.ledger.failures.put(mirror.id, action.path, failure)
    # A parked path is looked at once more, too: gone while the action ran, it would be a problem for ever.
    mirror.dirty.mark(action.path, at.now + (LOOK_AGAIN_S if wait_s is None else wait_s))
    _tell_failure(mirror, action, error, failure, at, again=before is not None)


def _tell_failure(
    mirror: Mirror, action: Action, error: FtpsyncdError, failure: Failure, at: Moment, *, again: bool
) -> None:
    if not failure.parked:
        kind = EventKind.FAILED
    else:
        kind = EventKind.HELD if isinstance(error, ChangedAtServerError) else EventKind.PARKED
    # Who was told that a path is parked need not hear of each time that it is tried all the same (`mended`).
    known = failure.parked and failure.attempts > 1 and retry_after(error.retry, failure.attempts - 1) is None
    mirror.site.tell(
        kind,
        action.path,
        error.message,
        at_ns=at.wall_ns,
        again=again,
        quietly=known,
        reply=failure.reply,
        remedy=failure.remedy,
        size=failure.fingerprint.size if failure.fingerprint else 0,
        attempts=failure.attempts,
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
