"""The publishing cycle: content sent under a temporary name, verified, dated and renamed, in three round trips.

What can travel together does, per file:

1. one write: SIZE and date of the file before, EPSV for this one
2. one write: RNFR and RNTO of the file before, STOR of this one; the data connection opens at the same time
3. data, close, 226

Between STOR and its final reply nothing is sent, ever: servers were seen to rename a file that they had not finished
writing, to swallow commands and to reset the data. When there is no next file, the steps of the last one are flushed.

Sources: RFC 959 §4.1.3, RFC 3659 §4 (SIZE).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ftpsyncd.errors import (
    FtpsyncdError,
    LocalError,
    LocalUnreadableError,
    NotSupportedError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.remote import renaming, replies, resume
from ftpsyncd.remote.port import RESUMABLE, PublishJob, PublishResult
from ftpsyncd.remote.pour import pour
from ftpsyncd.remote.profile import Dating, Resuming
from ftpsyncd.remote.renaming import RenameRefusedError, RenameUnclearError
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.resume import NOTHING, REPEATED, Kept
from ftpsyncd.remote.transfer import Offer, agree, prepare

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_OUT_OF_STEP = frozenset({500, 501, 502, 503})
"""Answers to an RNTO whose RNFR was accepted that make no sense for the name."""
SMALL = 1024 * 1024
"""Files up to this size are begun together with the end of the file before; larger ones wait for it."""


@dataclass(slots=True)
class _Upload:
    """A file on its way: from STOR to its rename."""

    job: PublishJob
    temporary: str
    """Where it is sent to: the job's, or its final path where the server cannot rename."""
    file: BinaryIO
    started: float
    kept: Kept = NOTHING
    """What is there from an earlier try and is not sent again."""
    digest: Any = field(default_factory=hashlib.sha256)
    sent: int = 0
    reply: str = ""
    error: FtpsyncdError | None = None
    stored: bool = False
    """Something may be at the server under the temporary name."""
    verified: bool = False
    """SIZE and ``confirm`` were asked."""
    dated: bool = False

    @property
    def is_hidden(self) -> bool:
        """It is sent under a name of its own, so that a part of it is seen by nobody."""
        return self.temporary != self.job.path

    @property
    def worth_continuing(self) -> bool:
        """The transfer broke, nothing is wrong with what arrived, and it is much."""
        return self.is_hidden and type(self.error) is TransferFailedError and self.sent > REPEATED

    def moved(self, sent: int) -> None:
        """So many bytes are sent."""
        self.sent = sent
        self.job.progress(sent)

    def result(self) -> PublishResult:
        """The outcome; the file is closed."""
        self.file.close()
        return PublishResult(
            self.job,
            self.error,
            self.digest.digest() if self.sent == self.job.size else b"",
            time.monotonic() - self.started,
            self.reply,
            self.dated and not self.error,
            self.kept.size,
        )


def publish(session: Session, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.publish`."""
    cycle = _Cycle(session)
    try:
        yield from cycle.run(jobs)
    finally:
        cycle.close()


@dataclass(slots=True)
class _Cycle:
    session: Session
    before: _Upload | None = None
    """Complete under its temporary name; its verification and rename are still to come."""
    offer: Offer | None = None
    opened: _Upload | None = None

    def run(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        source = iter(jobs)
        while self.session.usable:
            expiring = self.session.control.ticket_expiring
            job = None if expiring else next(source, None)
            if job is None:
                yield from self._flush()
                if expiring:
                    self.session.close()
                return
            try:
                upload = yield from self._begin(job)
            except FtpsyncdError as error:
                # Nothing of this job was sent. The file before is ended first: results come in order.
                yield from self._flush()
                yield PublishResult(job, error)
                continue
            yield from self._lost()
            before, self.before = self.before, None
            self.opened = upload
            self._transfer(upload, before)
            self.opened = None
            if upload.error is None:
                self.before = upload
            elif not (upload.worth_continuing and resume.worthwhile(self.session, job)):
                self._remove(upload)
            if before is not None:
                self._settle(before)
                yield before.result()
            if upload.error is not None:
                yield upload.result()
            elif upload.kept.size:
                # Its hash is asked for, which may take a while: no data connection waits meanwhile.
                yield from self._flush()
        yield from self._lost()

    def _begin(self, job: PublishJob) -> Generator[PublishResult, None, _Upload]:
        """All that comes before STOR.

        Raises:
            FtpsyncdError: this job cannot be started; nothing was sent of it.
        """
        session = self.session
        temporary = job.temporary if session.profile.renames else job.path
        session.command("STOR", temporary)
        session.command("RNTO", job.path)
        session.assure(job.path)
        if job.size > SMALL or job.resume:
            yield from self._flush()
        if job.resume and temporary == job.temporary != job.path:
            return self._continue(job)
        self._verify(another=True)
        return _Upload(job, temporary, _open(job), time.monotonic())

    def _continue(self, job: PublishJob) -> _Upload:
        """Find out how much of the file is there from an earlier try, hash that much here, and go on behind it."""
        session = self.session
        # What is found out may take data connections.
        self._drop_offer()
        kept = resume.kept(session, job)
        upload = _Upload(job, job.temporary, _open(job), time.monotonic(), kept)
        try:
            resume.hash_ahead(session, upload.file, upload.digest, kept.size)
            if kept.size < job.size:
                self._verify(another=True)
            if kept.way is Resuming.REST and not session.exchange([f"REST {kept.size}".encode()])[0].more:
                upload.file.seek(0)
                upload.digest, upload.kept = hashlib.sha256(), NOTHING
        except BaseException:
            upload.file.close()
            raise
        upload.sent = upload.kept.size
        upload.stored = bool(upload.kept.size)
        return upload

    def _drop_offer(self) -> None:
        if self.offer is not None:
            self.offer.drop()
            self.offer = None

    def close(self) -> None:
        """Let go of what an abandoned iteration left behind."""
        if self.opened is not None:
            # Left in the middle of a transfer: whatever the server says next belongs to it.
            self.session.abandon()
            self.opened.file.close()
        self._drop_offer()
        if self.before is not None:
            self._remove(self.before)
            self.before.file.close()

    def _lost(self) -> Iterator[PublishResult]:
        """The result of the file before, if it failed or the session ended under it."""
        before = self.before
        if before is not None and before.error is None and not self.session.usable:
            before.error = self._gone()
        if before is not None and before.error is not None:
            self.before = None
            self._remove(before)
            yield before.result()

    def _gone(self) -> ServerUnavailableError:
        return ServerUnavailableError("The connection ended before the file had its final name.")

    def _flush(self) -> Iterator[PublishResult]:
        """Verify and rename the file before, without a next one."""
        before = self.before
        if before is None:
            return
        with contextlib.suppress(RemoteError):  # it is in before.error, or `_lost` says it
            self._verify(another=False)
        if before.error is None and self.session.usable:
            try:
                self._renamed(before, self.session.exchange(_rename(self.session, before)))
            except RemoteError as error:
                before.error = error
            self._settle(before)
            self.before = None
            yield before.result()
        yield from self._lost()

    # Round trip 1

    def _verify(self, *, another: bool) -> None:
        """SIZE and date of the file before, and a data connection for the next, in one write.

        Raises:
            RemoteError: no data connection can be had, or the session ended.
        """
        session, before = self.session, self.before
        if before is not None and (before.verified or before.error is not None):
            before = None
        checks = [] if before is None else self._checks(before)
        commands = [command for _, command in checks]
        listener = None
        wanted = another and self.offer is None
        if wanted:
            command, listener = prepare(session)
            commands.append(command)
        try:
            answers = session.exchange(commands)
        except RemoteError:
            if listener is not None:
                listener.close()
            raise
        if before is not None:
            self._checked(before, [verb for verb, _ in checks], answers)
        if wanted:
            self.offer = agree(session, answers[-1], listener)

    def _checks(self, upload: _Upload) -> list[tuple[str, bytes]]:
        """What to ask and set under the temporary name; the date survives the rename."""
        session, job = self.session, upload.job
        commands = [("SIZE", session.command("SIZE", upload.temporary))] if session.profile.size else []
        if session.profile.dating:
            commands.append(("date", session.dating(session.profile.dating, upload.temporary, job.mtime_s)))
        return commands

    def _checked(self, upload: _Upload, verbs: list[str], answers: list[Reply]) -> None:
        """Judge the answers to `_checks`, then ask whether the local file is still the same."""
        upload.verified = True
        for verb, reply in zip(verbs, answers, strict=False):
            if verb == "SIZE":
                self._sized(upload, reply)
            else:
                upload.dated = reply.good
        if upload.error is None and upload.kept.size:
            try:
                resume.verify(self.session, upload.job, upload.file, upload.digest.hexdigest())
            except FtpsyncdError as error:
                upload.error = error
        # Asked for again: another session may have learned how since the commands were written.
        if upload.error is None and "date" not in verbs and self.session.profile.dating is not Dating.NONE:
            upload.dated = self.session.set_time(upload.temporary, upload.job.mtime_s)
        if upload.error is None:
            try:
                upload.job.confirm(upload.file)
            except FtpsyncdError as error:
                upload.error = error

    def _sized(self, upload: _Upload, reply: Reply) -> None:
        size = replies.parse_size(reply)
        if size == upload.job.size:
            return
        if size is None:
            error = self.session.error(reply, "SIZE", upload.temporary)
            if isinstance(error, NotSupportedError):
                self.session.profile.size = False
                return
        if upload.kept.way:
            self.session.profile.resuming = Resuming.NONE
        upload.error = VerificationError(
            f"The server holds {'nothing' if size is None else f'{size} bytes'} of the {upload.job.size} bytes of "
            f"{upload.job.path!r} that it confirmed: {upload.reply}",
            reply=reply.text,
        )

    # Round trips 2 and 3

    def _transfer(self, upload: _Upload, before: _Upload | None) -> None:
        """Rename the file before, send this one; errors are kept in the uploads."""
        session = self.session
        if upload.kept.size and upload.kept.size == upload.job.size:
            upload.reply = "It was there already, complete."
            return
        ahead = [] if before is None else _rename(session, before)
        store = session.command("APPE" if upload.kept.way is Resuming.APPE else "STOR", upload.temporary)
        try:
            if ahead and before is not None and not session.profile.pipelining:
                self._renamed(before, session.exchange(ahead))
                ahead = []
            session.control.send([*ahead, store])
        except RemoteError as error:
            upload.error = error
            if before is not None and before.error is None:
                before.error = error
            return
        offer, self.offer = self.offer, None
        assert offer is not None  # noqa: S101 - `_verify` made it or raised
        failure = self._send(upload, offer, len(ahead))
        try:
            if before is not None and ahead:
                self._renamed(before, [session.check(session.first()) for _ in ahead])
        except RemoteError as error:
            if error.reply[:3] != "421":
                session.profile.doubt()
            if before is not None:
                before.error = error
            upload.error = upload.error or error
            return
        self._stored(upload, failure)

    def _send(self, upload: _Upload, offer: Offer, ahead: int) -> FtpsyncdError | None:
        """Send the content; what went wrong on this side, if anything did."""
        session = self.session
        queued = session.control.queued

        def answer() -> Reply | None:
            return next((reply for reply in list(queued)[ahead:] if not reply.preliminary), None)

        try:
            line = offer.open(session, answer)
        except TransferFailedError as error:
            return error
        except RemoteError as error:
            # The server waits for a connection that will not come: its next words would come in a minute.
            upload.stored = True
            return error
        upload.stored = True
        self._announce(upload, ahead)
        try:
            job = upload.job
            if job.size > SMALL:
                line.keep_alive()
            pour(
                line,
                upload.file,
                upload.sent,
                job.size,
                upload.digest,
                throttle=session.account.throttle,
                moved=upload.moved,
            )
        except BaseException as error:
            if isinstance(error, LocalError) and upload.is_hidden:
                # In order: nobody sees the part, and servers answer an end more surely than a reset.
                line.finish()
                return error
            # A reset before the server has taken the connection would leave it waiting for one.
            session.control.await_answer(lambda: next(iter(list(queued)[ahead:]), None))
            line.abort()
            if isinstance(error, FtpsyncdError):
                return error
            session.abandon()
            raise
        line.finish()
        return None

    def _announce(self, upload: _Upload, ahead: int) -> None:
        """Say that a large file is on its way, once the server has said so: an older part is gone then."""
        if not upload.is_hidden or upload.job.size < RESUMABLE:
            return
        queued = self.session.control.queued

        def first() -> Reply | None:
            return next(iter(list(queued)[ahead:]), None)

        # It costs a large file one round trip.
        self.session.control.await_answer(first)
        reply = first()
        if reply is not None and reply.preliminary:
            upload.job.begun()

    def _stored(self, upload: _Upload, failure: FtpsyncdError | None) -> None:
        """Read the replies to STOR and judge: the server's words go before what this side saw."""
        session = self.session
        if isinstance(failure, RemoteError) and not isinstance(failure, TransferFailedError):
            if session.usable:
                session.abandon()
            upload.error = failure
            return
        timeouts = session.control.timeouts
        in_order = failure is None or (isinstance(failure, LocalError) and upload.is_hidden)
        try:
            # After a reset the server speaks soon or, not having noticed the connection, never.
            first = session.first(None if in_order else timeouts.close_s)
            reply = session.check(first, timeouts.after(upload.job.size) if in_order else timeouts.close_s)
        except RemoteError as error:
            upload.error = failure if failure is not None and not isinstance(failure, RemoteError) else error
            return
        upload.reply = reply.text
        upload.stored = first.preliminary
        if failure is not None and not isinstance(failure, RemoteError):
            upload.error = failure
        elif not reply.good:
            upload.error = session.error(reply, "STOR", upload.job.path)
            if reply.code in {425, 522}:
                # A TLS ticket that expired fails every later data connection, too: only a new session mends it.
                session.abandon()
        elif failure is not None:
            upload.error = failure

    def _renamed(self, upload: _Upload, answers: list[Reply]) -> None:
        """Judge the answers to `_rename`."""
        if not answers:
            return
        if upload.error is not None:
            upload.stored = not answers[0].good
            return
        *_, began, ended = answers
        if ended.code == 250:
            self.session.profile.trust()
        elif ended.good:
            # Perhaps the words of another command: see what became of the names.
            upload.error = RenameUnclearError(ended)
        elif began.more:
            upload.error = RenameRefusedError(ended)
        elif began.code in {500, 502, 504}:
            self.session.profile.renames = False
            upload.error = TransferFailedError(
                f"The server cannot rename; files are sent under their final names from now on: {began.text}",
                reply=began.text,
            )
        else:
            upload.error = self.session.error(began, "RNFR", upload.temporary)

    def _settle(self, upload: _Upload) -> None:
        """After the transfer that was going on: mend a refused rename, remove what must not stay."""
        if isinstance(upload.error, RenameUnclearError):
            job = upload.job
            upload.error = renaming.unclear(self.session, upload.temporary, job.path, job.size, upload.error.refusal)
        elif isinstance(upload.error, RenameRefusedError):
            refusal, job = upload.error.refusal, upload.job
            try:
                if refusal.code in _OUT_OF_STEP and self.session.profile.pipelining:
                    # The server has RNFR forgotten when RNTO came with it: from now on one at a time.
                    self.session.profile.pipelining = False
                    self.session.rename(upload.temporary, job.path)
                else:
                    renaming.refused(self.session, upload.temporary, job.path, refusal)
                upload.error = None
            except RemoteError as error:
                upload.error = error
        if upload.error is not None:
            self._remove(upload)

    def _remove(self, upload: _Upload) -> None:
        """Delete the temporary file of a failed upload, as far as that can be done."""
        if upload.stored and self.session.usable:
            with contextlib.suppress(FtpsyncdError):
                self.session.delete_many([upload.temporary])
                upload.stored = False


def _rename(session: Session, upload: _Upload) -> list[bytes]:
    """What ends an upload: the rename, or the removal of what must not be seen."""
    job = upload.job
    if upload.error is not None:
        return [session.command("DELE", upload.temporary)]
    if upload.temporary == job.path:
        return []
    commands = [session.command("RNFR", upload.temporary), session.command("RNTO", job.path)]
    if session.profile.rename_over is False:
        commands.insert(0, session.command("DELE", job.path))
    return commands


def _open(job: PublishJob) -> BinaryIO:
    try:
        return job.open()
    except FtpsyncdError:
        raise
    except OSError as error:
        raise LocalUnreadableError(f"The file cannot be opened: {error.strerror}.") from error
