"""One file on its way to the server: what to ask about it after its transfer, and what the answers mean.

`upload` sends the commands, together with those of other files, and hands the answers back. Sources: RFC 959 §4.1.3
(RNFR, RNTO), RFC 3659 §4 (SIZE).
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
from ftpsyncd.counting import number
from ftpsyncd.errors import (
    NO_ANSWER,
    AlreadyExistsError,
    FtpsyncdError,
    InUseError,
    LocalError,
    LocalUnreadableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import dating, facts, remedies, renaming, replies, resume, trials
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry
from ftpsyncd.remote.profile import Dating, Paths, Resuming, spares
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
    """A data connection had come about for it, as far as the server tells."""
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


# ── Is it complete? ──────────────────────────────────────────────────────────────────────────────────────────────


def checks(session: Session, upload: Outgoing) -> list[tuple[str, bytes]]:
    """What to ask and set under the temporary name; the date survives the rename."""
    name = upload.temporary
    commands = [("SIZE", session.command("SIZE", name))] if session.profile.size else []
    way = session.profile.dating
    if way is None:
        # A server that takes the command for something else may say yes: read back once.
        commands.append(("try", dating.command(session, dating.first_way(session), name, upload.job.mtime_s)))
        commands.append(("shown", session.command("MDTM", name)))
    elif way is not Dating.NONE:
        commands.append(("date", dating.command(session, way, name, upload.job.mtime_s)))
    if upload.is_hidden and session.profile.rename_over is False and _asks_before(session):
        commands.append(("there", session.command("SIZE", upload.job.path)))
    return commands


def _asks_before(session: Session) -> bool:
    """Whether room is made only where a file is seen: DELE may remove a directory (ftpd of BSD, ftp-srv)."""
    return session.profile.size and not spares(session.greeting)


def checked(session: Session, upload: Outgoing, verbs: Sequence[str], answers: Sequence[Reply]) -> None:
    """Judge the answers to `checks`, then ask whether the local file is still the same; errors stay in the upload."""
    for verb, reply in zip(verbs, answers, strict=False):
        _told(session, upload, verb, reply)
    if upload.error is None and upload.kept.size:
        try:
            resume.verify(session, upload.job, upload.file, upload.digest.hexdigest())
        except FtpsyncdError as error:
            upload.error = error
    # Asked for again: another session may have learned how since the commands were written.
    if upload.error is None and "date" not in verbs and not upload.dated and session.profile.dating is not Dating.NONE:
        tried = dating.first_way(session) if "try" in verbs else None
        with contextlib.suppress(RemoteError):  # a date is never fatal, and what comes next is never left out
            upload.dated = dating.set_time(session, upload.temporary, upload.job.mtime_s, tried=tried)
    if upload.error is None:
        _found(session, upload)
        try:
            upload.job.confirm(upload.file, upload.digest.digest())
        except FtpsyncdError as error:
            upload.error = error


def _told(session: Session, upload: Outgoing, verb: str, reply: Reply) -> None:
    """Note what one of the answers means."""
    match verb:
        case "SIZE":
            _sized(session, upload, reply)
        case "there":
            upload.replaces = not _tells_of_no_file(session, upload.job.path, reply)
        case "shown":
            upload.dated = upload.dated and facts.shows_date(reply, upload.job.mtime_s)
            if upload.dated:
                session.profile.dating = dating.first_way(session)
        case _:
            upload.dated = reply.good


def _tells_of_no_file(session: Session, path: str, reply: Reply) -> bool:
    denied = replies.says_denied(reply, path, session.account.spec.encoding)
    return reply.code >= 400 and isinstance(session.error(reply, "SIZE", path), NameRefusedError) and not denied


def _found(session: Session, upload: Outgoing) -> None:
    """It is complete, and where it belongs."""
    session.profile.paths = session.profile.paths or Paths.ABSOLUTE
    session.account.had_data(upload.job.path)
    if not upload.is_hidden:
        session.profile.trust(renames=False)


def _sized(session: Session, upload: Outgoing, reply: Reply) -> None:
    size = _size_told(upload, reply)
    patient = size != upload.job.size and not upload.parted and not session.waited_in_vain
    if patient and _may_be_late(session, upload, reply, size):
        reply = _patiently(session, upload)
        size = _size_told(upload, reply)
    if size == upload.job.size:
        if upload.parted:
            session.profile.parted(well=True)
        return
    error = session.error(reply, "SIZE", upload.temporary) if size is None and reply.code != 213 else None
    if upload.parted and session.usable:
        # The size alone can tell that nothing of it was lost.
        session.profile.parting = False
    elif error is not None:
        if isinstance(error, NotSupportedError):
            session.profile.size = False
            return
        if not isinstance(error, NotFoundError | NameRefusedError):
            # It tells nothing about the file, only that the server cannot say.
            upload.error = error
            return
        if replies.says_denied(reply, upload.temporary, session.account.spec.encoding) and not isinstance(
            error, NotFoundError
        ):
            # A box for what is dropped into it: nobody may look, and the server's last words count.
            return
    if upload.kept.way:
        session.profile.resuming = Resuming.NONE
    upload.error = _unverified(upload, reply, size)


def _unverified(upload: Outgoing, reply: Reply, size: int | None) -> VerificationError:
    """The error where the server's answer about the size is not that of the whole file."""
    if size is None and reply.good and any(map(str.isdigit, reply.text[3:])):
        what = f"What the server tells as the size of {named(upload.job.path)} is not understood: {reply.text}"
    else:
        what = (
            f"The server holds {'nothing' if size is None else number(size, 'byte')} of the"
            f" {number(upload.job.size, 'byte')} of {named(upload.job.path)} that it confirmed: {upload.reply}"
        )
    error = VerificationError(what, reply=reply.text)
    if size is None and not reply.good:
        error.remedy = remedies.TAKEN if upload.is_hidden else remedies.TAKEN_AT_ONCE
    return error


def _size_told(upload: Outgoing, reply: Reply) -> int | None:
    """The size that the server tells, as that of the file where it means that."""
    return upload.job.size if facts.tells_size(reply, upload.job.size) else facts.parse_size(reply)


def _may_be_late(session: Session, upload: Outgoing, reply: Reply, size: int | None) -> bool:
    """Whether all of what has just arrived may be shown in a moment: of a file that is there, or a part of it."""
    if size is not None:
        return size < upload.job.size
    return not reply.good and isinstance(session.error(reply, "SIZE", upload.temporary), NotFoundError)


def _patiently(session: Session, upload: Outgoing) -> Reply:
    """Ask again for the size of what has just arrived, until it is all there or no more is to be expected.

    A gateway to a cloud shows a file when it has it there; what is written behind the last word is shown bit by bit.
    """
    for wait_s in renaming.WAITS_S:
        time.sleep(wait_s)
        reply = session.exchange([session.command("SIZE", upload.temporary)])[0]
        if _size_told(upload, reply) == upload.job.size:
            break
    else:
        session.waited_in_vain = True
    return reply


# ── Its final name ───────────────────────────────────────────────────────────────────────────────────────────────


def rename(session: Session, upload: Outgoing) -> list[bytes]:
    """What ends an upload that is complete, and of a file that did not change."""
    if not upload.is_hidden:
        return []
    commands = renaming.commands(session, upload.temporary, upload.job.path)
    makes_room = session.profile.rename_over is False and session.renames
    if makes_room and (not _asks_before(session) if upload.replaces is None else upload.replaces):
        commands.insert(0, session.command("DELE", upload.job.path))
    upload.looked = session.profile.size and not session.profile.renamed
    if upload.looked:
        # The first one at this server: a yes alone may be the answer to a command that it ignores.
        commands.append(session.command("SIZE", upload.temporary))
    return commands


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
    elif renaming.is_begun(began):
        upload.error = RenameRefusedError(ended)
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
