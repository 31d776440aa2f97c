"""One file on its way to the server: what is known of it, and how it gets its final name.

`upload` sends the commands, together with those of other files, and hands the answers back; `verifying` tells before
whether it is complete. Sources: RFC 959 §4.1.3 (RNFR, RNTO).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ftpsyncd import lacking
from ftpsyncd.core import names, sizes
from ftpsyncd.errors import (
    NO_ANSWER,
    AlreadyExistsError,
    FtpsyncdError,
    InUseError,
    LocalError,
    LocalUnreadableError,
    NameRefusedError,
    NotFoundError,
    RemoteError,
    TransferFailedError,
    UnwrittenError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, remedies, renaming, trials
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry
from ftpsyncd.remote.profile import Resuming, spares
from ftpsyncd.remote.renaming import NoRenameError, RenameRefusedError, RenameUnclearError
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.resume import NOTHING, REPEATED, Kept

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_OUT_OF_STEP = frozenset({500, 501, 502, 503})
"""Answers to an RNTO whose RNFR was accepted that make no sense for the name."""


@dataclass(slots=True)
class Outgoing:
    """A file on its way: from STOR to its rename."""

    job: PublishJob
    temporary: str
    """Where it is sent to: the job's, or its final path where the server cannot rename."""
    file: BinaryIO
    started: float
    """Monotonic seconds, as `slow_after` and `ended`."""
    kept: Kept = NOTHING
    """What is there from an earlier try and is not sent again."""
    digest: Any = field(default_factory=hashlib.sha256)
    sent: int = 0
    reply: str = ""
    error: FtpsyncdError | None = None
    stored: bool = False
    """Something may be at the server under the temporary name."""
    refused: bool = False
    """Nothing can be: the server refused that name, and said nothing before."""
    arrived: bool = False
    """The server has confirmed that it received all of it."""
    reached: bool = False
    """A data connection had come about for it, or for a listing behind its refusal, as far as the server tells."""
    unwelcome: bool = False
    """The server refused to have what it holds of it continued."""
    removed_in_place: bool = False
    """It failed, and what was stored of it under the final name was removed."""
    dated: bool = False
    slow_after: float = 0.0
    """When its transfer takes long, for this line."""
    ended: float = 0.0
    """When the server had confirmed the last byte; 0.0: it has not."""
    parted: bool = False
    """Its data connection was reset right behind its end (`parting`)."""
    alone: bool = False
    """The file that it replaces is deleted already: there is no other version of it at the server."""
    unanswered: bool = False
    """The connection ended before the server had answered all that was said of it: that may be done late."""
    touched: bool = False
    """It was refused in words with which a server may have emptied what was under its final name."""
    cleared: bool = False
    """What was under its final name was deleted before it was sent there."""
    replaces: bool | None = None
    """A file has its final name, as far as the server tells; None: it was not asked."""
    looked: bool = False
    """Behind its rename it is asked whether it is still there under its temporary name."""
    left: str = ""
    """Where the version before is still, moved aside, since it could not be deleted any more; empty: it is not."""

    @property
    def is_hidden(self) -> bool:
        """It is sent under a name of its own, so that a part of it is seen by nobody."""
        return self.temporary != self.job.path

    @property
    def has_cost(self) -> bool:
        """What was under its final name is not there any more, or may be emptied."""
        return self.alone or self.cleared or self.is_displaced or (self.touched and not self.is_hidden)

    @property
    def worth_continuing(self) -> bool:
        """The transfer broke, nothing is wrong with what arrived, and it is much."""
        broken = self.is_hidden and type(self.error) is TransferFailedError and self.sent > REPEATED
        return broken and self.may_be_continued and not self.unwelcome

    @property
    def may_be_continued(self) -> bool:
        """What of it comes late, when its session is over, goes where it belongs, and not behind what came after."""
        return self.kept.way is not Resuming.APPE

    def is_shown_as(self, entry: RemoteEntry) -> bool:
        """Whether what the server shows has the size of this file and the date that was set for it."""
        job = self.job
        return self.dated and sizes.tells(entry.size, job.size) and facts.is_date(entry.mtime_s, job.mtime_s)

    @property
    def is_displaced(self) -> bool:
        """What was under its final name is under another one, and nothing in its place, as the server has said."""
        error = self.error
        return isinstance(error, RemoteError) and error.aside != "" and error.retry not in NO_ANSWER

    def expose(self) -> None:
        """It is about to be sent: say so, if that is under its final name."""
        if not self.is_hidden:
            self.job.exposed(False)  # noqa: FBT003 - the port's

    def moved(self, sent: int) -> None:
        """So many bytes are sent."""
        self.sent = sent
        self.job.progress(sent)

    def close(self) -> None:
        """Let go of the file. It was only read: what a disk that was lost meanwhile says then changes nothing."""
        with contextlib.suppress(OSError):
            self.file.close()

    def result(self) -> PublishResult:
        """The outcome; the file is closed."""
        self.close()
        return PublishResult(
            self.job,
            self.error,
            self.digest.digest() if self.sent == self.job.size else b"",
            (self.ended or time.monotonic()) - self.started,
            self.reply,
            self.dated and not self.error,
            self.kept.size,
            in_place=self.removed_in_place or (self.error is not None and self.stored and not self.is_hidden),
            gone=self.error is not None and self.has_cost,
            refused=self.refused,
            arrived=self.arrived,
            reached=self.reached,
            unanswered=self.unanswered,
            left=self.left,
        )


def opened(job: PublishJob) -> BinaryIO:
    """The local file of a job.

    Raises:
        LocalError: it cannot be opened, or is not the planned one.
    """
    try:
        return job.open()
    except FtpsyncdError:
        raise
    except OSError as error:
        why = lacking.behind(error) or LocalUnreadableError(f"The file cannot be opened: {error.strerror}.")
        raise why from error


# ── Its final name ───────────────────────────────────────────────────────────────────────────────────────────────


def rename(session: Session, upload: Outgoing) -> list[bytes]:
    """What ends an upload that is complete, and of a file that did not change."""
    if not upload.is_hidden:
        return []
    commands = renaming.commands(session, upload.temporary, upload.job.path)
    makes_room = session.profile.rename_over is False and session.renames
    if makes_room and (not asks_before(session) if upload.replaces is None else upload.replaces):
        commands.insert(0, session.command("DELE", upload.job.path))
    upload.looked = session.profile.size and not session.profile.renamed
    if upload.looked:
        # The first one at this server: a yes alone may be the answer to a command that it ignores.
        commands.append(session.command("SIZE", upload.temporary))
    return commands


def asks_before(session: Session) -> bool:
    """Whether room is made only where a file is seen: DELE may remove a directory (ftpd of BSD, ftp-srv)."""
    return session.profile.size and not spares(session.greeting)


def renamed(session: Session, upload: Outgoing, answers: Sequence[Reply]) -> None:
    """Judge the answers to `rename`; errors stay in the upload."""
    if not answers:
        return
    left = answers[-1] if upload.looked else None
    *before, began, ended = answers[:-1] if upload.looked else answers
    upload.alone = not ended.good and any(reply.good for reply in before)
    # A refused RNFR leaves the one before it in force (proftpd, pure-ftpd, pyftpdlib): it would be of another file.
    began_well = began.code < 400
    if ended.good and began_well:
        if ended.code != 250 or (left is not None and facts.tells_size(left, upload.job.size)):
            # Perhaps the words of another command, or nothing was done: see what became of the names.
            upload.error = RenameUnclearError(ended)
            return
        session.profile.trust()
        session.renames = True
        session.profile.renamed = session.profile.renamed or (left is not None and left.code >= 400)
    elif renaming.is_begun(began) or began.code == 530:
        # Of the latter, what it means can be asked only when nothing else is going on.
        upload.error = RenameRefusedError(ended if renaming.is_begun(began) else began)
    elif began.code in trials.NOT_KNOWN:
        session.profile.renames = False
        upload.error = NoRenameError(began.text)
    else:
        error = session.error(began, "RNFR", upload.temporary)
        if isinstance(error, NotFoundError):
            # A moment ago it was.
            error.remedy = remedies.TAKEN
        if isinstance(error, InUseError):
            upload.error = RenameRefusedError(began)
        else:
            upload.error = RenameRefusedError(began, error) if type(error) in trials.FORBIDDEN else error


def settle(session: Session, upload: Outgoing) -> None:
    """After the transfer that was going on: mend a refused rename, remove what must not stay.

    After a `NoRenameError` nothing is removed: the file is sent under its final name, and that comes before.
    """
    if isinstance(upload.error, RenameUnclearError):
        job = upload.job
        upload.error = renaming.unclear(session, upload.temporary, job.path, job.size, upload.error.refusal)
    elif isinstance(upload.error, RenameRefusedError):
        upload.error = _mended(session, upload, upload.error)
    if upload.error is not None and not upload.alone and not isinstance(upload.error, NoRenameError):
        remove(session, upload)


def _mended(session: Session, upload: Outgoing, refused: RenameRefusedError) -> FtpsyncdError | None:
    """Rename after all; what is wrong if that cannot be done."""
    if upload.alone:
        session.renames = False
    try:
        _rename_otherwise(session, upload, refused)
    except RemoteError as error:
        failure = error
    else:
        return None
    if upload.alone and isinstance(failure, NameRefusedError):
        # A moment ago a file had this name, and now none has: that is not left to a person.
        return TransferFailedError(failure.message, reply=failure.reply)
    try:
        return NoRenameError(failure.reply) if _renames_nothing(session, upload, failure) else failure
    except RemoteError as error:
        return failure if session.usable else error


def _rename_otherwise(session: Session, upload: Outgoing, refused: RenameRefusedError) -> None:
    """Rename one command at a time, or with what stands there moved aside.

    Raises:
        RemoteError: that is refused, too.
    """
    if refused.error is not None:
        raise refused.error
    refusal, path = refused.refusal, upload.job.path
    if refusal.code in _OUT_OF_STEP and session.profile.pipelining:
        refusal = renaming.one_by_one(session, upload.temporary, path)
        if refusal.code not in _OUT_OF_STEP:
            # The server has RNFR forgotten when RNTO came with it: from now on one at a time.
            session.profile.pipelining = False
    if not refusal.good:
        refusal = renaming.patiently(session, upload.temporary, path, refusal)
    if refusal.good:
        session.renames = True
    elif upload.alone:
        upload.left = session.rename(upload.temporary, path)
    else:
        upload.left = renaming.refused(session, upload.temporary, path, refusal, is_it=upload.is_shown_as)


def _renames_nothing(session: Session, upload: Outgoing, failure: RemoteError) -> bool:
    """Whether nothing may be renamed there, so that a refusal tells nothing about the name; the profile learns it.

    Not where a file is missing, busy or in the way, a name not allowed, or this connection has renamed anything: a
    small file of our own must be refused another name, too.

    Raises:
        RemoteError: nobody may look, or the session ended.
    """
    if type(failure) not in trials.FORBIDDEN or upload.alone or session.renames or not session.usable:
        return False
    there, comes = session.stat_many([upload.job.path, upload.temporary])
    if comes is None or comes.kind is not Kind.FILE or not sizes.fits(comes.size, upload.job.size):
        return False
    if there is not None and there.kind is not Kind.FILE:
        return False
    if session.profile.renames_at(upload.job.path):
        small = names.trial(upload.temporary)
        trials.learn_renaming(session, small, names.trial(small))
    return not session.profile.renames_at(upload.job.path)


def note_unopened(session: Session, upload: Outgoing) -> None:
    """Where the server could not write a file, see whether it has opened it at all: else its disk is not full for that.

    Apache's FtpServer opens it behind its 150, and says 551 of that, too.
    """
    error = upload.error
    if isinstance(error, UnwrittenError) and error.reply.startswith("551") and session.usable:
        with contextlib.suppress(FtpsyncdError):
            if session.stat(upload.temporary) is None:
                upload.error = TransferFailedError(error.message, reply=error.reply, remedy=remedies.UNOPENED)


def remove(session: Session, upload: Outgoing) -> None:
    """Delete the temporary file of a failed upload, as far as that can be done."""
    if upload.stored and session.usable:
        local = isinstance(upload.error, LocalError) and upload.reply.startswith("5")
        refused = local or type(upload.error) is NameRefusedError
        if refused and not upload.is_hidden and _is_directory(session, upload.temporary):
            # ftp-srv begins the transfer before it finds that out, and its DELE removes directories.
            upload.stored = False
            return
        upload.removed_in_place = not upload.is_hidden
        with contextlib.suppress(FtpsyncdError):
            session.delete_many([upload.temporary])
            upload.stored = False
        upload.unanswered |= not session.usable


def require_no_directory(session: Session, path: str) -> None:
    """See to it that a path may be deleted, where DELE may remove a directory.

    Raises:
        AlreadyExistsError: one is there.
    """
    if not spares(session.greeting) and _is_directory(session, path):
        raise AlreadyExistsError(f"{named(path)} is a directory at the server.")


def _is_directory(session: Session, path: str) -> bool:
    """Whether a directory is seen to be at a path."""
    with contextlib.suppress(FtpsyncdError):
        there = session.stat(path)
        return there is not None and there.kind is Kind.DIR
    return False
