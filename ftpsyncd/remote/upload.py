"""The publishing cycle: content sent under a temporary name, verified, dated and renamed, in two or three round trips.

What can travel together does, per file:

1. one write: SIZE and date of the file before, EPSV for this one
2. one write: RNFR and RNTO of the file before, STOR of this one; the data connection opens at the same time
3. data, close, 226

Between STOR and its final reply nothing is sent, ever: servers were seen to rename a file that they had not finished
writing, to swallow commands and to reset the data. When there is no next file, the steps of the last ones are flushed.

Servers that are known to read the control line only after a transfer (`profile.reads_in_turn`) get, behind STOR in
the same write, the EPSV for the next file, which depends on no transfer. That saves the first round trip: SIZE and date
of the file before travel with STOR, its rename follows once their answers are judged, with the STOR after that.

Servers that linger (`profile.lingers`) get a reset behind the end of a small file, which saves a round trip, too
(`parting`). If that went wrong, the file is sent once more before anybody is told.

Sources: RFC 959 §4.1.3, RFC 3659 §4 (SIZE).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    NoSocketError,
    RemoteError,
    ServerUnavailableError,
    TlsError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.paths import parent
from ftpsyncd.remote import lengths, naming, reaching, renaming, resume, saying, trials
from ftpsyncd.remote.agreeing import Offer, agree, offered, prepare, reach
from ftpsyncd.remote.outgoing import (
    Outgoing,
    note_unopened,
    opened,
    remove,
    rename,
    renamed,
    require_no_directory,
    settle,
)
from ftpsyncd.remote.port import PublishJob, PublishResult
from ftpsyncd.remote.profile import Resuming
from ftpsyncd.remote.renaming import NoRenameError
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.resume import NOTHING
from ftpsyncd.remote.sending import SMALL, Sending
from ftpsyncd.remote.verifying import checked, checks

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def publish(session: Session, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.publish`."""
    cycle = _Cycle(session, offer=session.take_ready())
    try:
        yield from cycle.run(jobs)
    finally:
        cycle.close()


def _settled(session: Session, upload: Outgoing) -> PublishResult:
    """Mend what can be mended after the rename; the outcome."""
    try:
        settle(session, upload)
    except BaseException:
        upload.close()
        raise
    if not isinstance(upload.error, NoRenameError):
        return upload.result()
    with contextlib.closing(upload):
        return _directly(session, upload)


def _directly(session: Session, upload: Outgoing) -> PublishResult:
    """Send once more, under its final name, a file that the server would not rename."""
    job = upload.job
    try:
        # Not over a file that has come there meanwhile and must stay, nor anything but the file that was planned.
        job.confirm(upload.file, upload.digest.digest())
        left = None if upload.alone else session.delete_many([upload.temporary])[0]
    except FtpsyncdError as error:
        left = error
        remove(session, upload)
    if left is not None:
        upload.error = left
        return upload.result()
    upload.file.seek(0)
    again = job._replace(temporary=job.path, open=lambda: upload.file, resume=False, parts=(), left=(), keep_part=False)
    for result in list(publish(session, [again])):
        if result.error is None and upload.alone:
            remove(session, upload)
        gone = result.gone or (result.error is not None and upload.alone)
        return result._replace(job=job, duration_s=time.monotonic() - upload.started, gone=gone)
    upload.error = ServerUnavailableError("The connection ended before the file was sent under its final name.")
    return upload.result()


@dataclass(slots=True)
class _Cycle:
    session: Session
    before: Outgoing | None = None
    """Sent; its verification is still to come."""
    verified: Outgoing | None = None
    """Complete under its temporary name; its rename is still to come."""
    ending: Outgoing | None = None
    """Its rename is on its way with the transfer that is going on."""
    offer: Offer | None = None
    opened: Outgoing | None = None
    again: deque[Outgoing] = field(default_factory=deque)
    """To be sent once more: their data connections were ended in haste, and they did not arrive."""
    cleared: bool = False
    """Of the file that is being begun, what was under its final name is deleted."""
    ended_by: RemoteError | None = None
    """What ended the session, where that is known; no file before is to blame."""
    slow: bool = False
    """The last transfer took so long that its final name, two round trips away, shall not wait for another one."""

    def run(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        source = iter(jobs)
        while self.session.usable:
            expiring = self.session.control.ticket_expiring
            again = self.again.popleft() if self.again else None
            job = again.job if again is not None else None if expiring else next(source, None)
            if job is not None:
                yield from self._one(job, again)
                continue
            yield from self._flush()
            if not self.again:
                if expiring:
                    self.session.close()
                return
        yield from self._lost()

    def _one(self, job: PublishJob, again: Outgoing | None) -> Iterator[PublishResult]:
        """Send one file, together with what the ones before it still need.

        Args:
            job: the file.
            again: its last try; the file is open still.
        """
        try:
            upload = yield from self._begin(job, again)
        except FtpsyncdError as error:
            # Nothing of this job was sent. The files before are ended first: results come in order.
            if again is not None:
                again.close()
            self._note_end(error)
            yield from self._flush()
            yield PublishResult(job, reaching.explained(self.session, error, job.temporary), gone=self.cleared)
            return
        try:
            yield from self._lost()
        except GeneratorExit:
            upload.close()
            raise
        self.opened = upload
        ended = self._transfer(upload)
        self.opened = self.ending = None
        self._note_end(upload.error)
        repeats = upload.error is not None and self._repeats(upload)
        self._keep(upload, repeats=repeats)
        failed = upload.error
        if ended is not None:
            yield from self._settled(ended)
        if failed is not None or upload.kept.size:
            # The hash of a file that was continued is asked for, which may take a while: no data connection waits.
            yield from self._flush()
        if failed is not None and not repeats:
            yield self._failed(upload, failed)
        else:
            yield from self._lost()

    def _note_end(self, error: FtpsyncdError | None) -> None:
        """Note what the session ends with, for the files before: no data connection, or the server's last words."""
        if isinstance(error, RemoteError) and not self.session.usable:
            self.ended_by = self.ended_by or error

    def _keep(self, upload: Outgoing, *, repeats: bool) -> None:
        """After its transfer: what arrived is to be verified, and of what did not, only what is worth it stays."""
        if upload.error is None:
            self.before = upload
        elif repeats:
            remove(self.session, upload)
        else:
            upload.close()
            note_unopened(self.session, upload)
            if not (upload.worth_continuing and resume.worthwhile(self.session, upload.job)):
                remove(self.session, upload)

    def _failed(self, upload: Outgoing, error: FtpsyncdError) -> PublishResult:
        """The result of a file that did not arrive, with what can be found out about why."""
        upload.error = reaching.explained(self.session, error, upload.temporary)
        if upload.is_hidden:
            upload.error = naming.explained(self.session, upload.error, upload.temporary, upload.job.path)
        else:
            upload.error = renaming.explained(self.session, upload.error, upload.job.path)
        return upload.result()

    def _repeats(self, upload: Outgoing) -> bool:
        """Whether a file that did not arrive is sent once more, since its data connection was ended in haste."""
        if not (upload.parted and type(upload.error) in {TransferFailedError, VerificationError}):
            return False
        self.session.profile.parted(well=False)
        self.again.append(upload)
        return True

    def _settled(self, upload: Outgoing) -> Iterator[PublishResult]:
        """The outcome of a file after the words that ended it, if it is known by now."""
        if not self._repeats(upload):
            yield _settled(self.session, upload)

    def _begin(self, job: PublishJob, again: Outgoing | None) -> Generator[PublishResult, None, Outgoing]:
        """All that comes before STOR.

        Raises:
            FtpsyncdError: this job cannot be started; nothing was sent of it.
        """
        session, self.cleared = self.session, False
        name = session.name(job.path)
        alone = (session.is_passive and not session.agrees_ahead) or lengths.is_unproven(session, name)
        if job.size > SMALL or job.resume or self.slow or alone or self._goes_elsewhere(job):
            # Before anything else: the rename of the file before may show that there is none.
            yield from self._flush()
        temporary = job.temporary if session.profile.renames_at(job.path) else job.path
        session.name(temporary)
        if session.relative:
            reaching.try_again(session, temporary)
            session.stand(session.command("STOR", temporary))
        session.assure(job.path)
        if temporary == job.path and trials.may_store_beside(session, job.path):
            yield from self._flush()
            trials.learn_storing(session, job.path)
        # A part that will not be continued here goes with what has to go.
        left = (*job.left, *job.parts, job.temporary) if job.resume and temporary != job.temporary else job.left
        if left:
            session.delete_many(left)
        if job.resume and temporary == job.temporary != job.path:
            return (yield from self._continue(job))
        yield from self._agree()
        if again is None:
            upload = Outgoing(job, temporary, opened(job), time.monotonic())
        else:
            again.file.seek(0)
            upload = Outgoing(job, temporary, again.file, again.started)
        try:
            if (job.afresh or session.profile.stores_over is False) and not upload.is_hidden:
                # Not before everything else is ready: what is there may be the published file.
                require_no_directory(session, job.path)
                refusal = session.delete_many([job.path])[0]
                self.cleared = upload.cleared = refusal is None
                if refusal is not None and session.profile.stores_over is False:
                    raise refusal  # noqa: TRY301 - it would be stored beside, and what is there stay
            # Who opens the file may look at the server, which may take a listing.
            yield from self._agree()
        except BaseException:
            upload.close()
            raise
        return upload

    def _goes_elsewhere(self, job: PublishJob) -> bool:
        """Whether the session has to go to another directory, away from the files before."""
        before = self.before or self.verified
        return self.session.relative and before is not None and parent(before.job.path) != parent(job.path)

    def _continue(self, job: PublishJob) -> Generator[PublishResult, None, Outgoing]:
        """Find out how much of the file is there from an earlier try, hash that much here, and go on behind it."""
        session = self.session
        kept = resume.take_over(session, job)
        upload = Outgoing(job, job.temporary, opened(job), time.monotonic())
        try:
            upload.kept = kept = resume.proven(session, job, upload.file, kept)
            resume.hash_ahead(session, upload.file, upload.digest, kept.size)
            if kept.size < job.size:
                yield from self._agree()
            if kept.way is Resuming.REST and not self._rest(upload):
                upload.file.seek(0)
                upload.digest, upload.kept = hashlib.sha256(), NOTHING
        except BaseException:
            upload.close()
            raise
        upload.sent = upload.kept.size
        upload.stored = bool(upload.kept.size)
        return upload

    def _rest(self, upload: Outgoing) -> bool:
        """Say where the file is continued; between that and STOR nothing may be said (RFC 3659 §5.1)."""
        self.session.stand(self._store(upload))
        return self.session.exchange([f"REST {upload.kept.size}".encode()])[0].more

    def _stand(self, upload: Outgoing, store: bytes) -> None:
        if upload.kept.way is not Resuming.REST:
            self.session.stand(store)

    def _store(self, upload: Outgoing) -> bytes:
        return self.session.command("APPE" if upload.kept.way is Resuming.APPE else "STOR", upload.temporary)

    def _agree(self) -> Iterator[PublishResult]:
        """See to it that there is a data connection to be used; what else can travel with that does.

        Raises:
            RemoteError: none can be had, or the session ended.
        """
        while self.offer is None or self.offer.number != self.session.offers:
            # If there is one, something else has used data connections meanwhile: the server forgot this one.
            self._drop_offer()
            yield from self._verify(another=True)
            yield from self._lost()
        self.offer = reach(self.session, self.offer)

    def _drop_offer(self) -> None:
        if self.offer is not None:
            self.offer.drop()
            self.offer = None

    def close(self) -> None:
        """Let go of what an abandoned iteration left behind."""
        if self.opened is not None:
            # Left in the middle of a transfer: whatever the server says next belongs to it.
            self.session.abandon()
            self.opened.close()
        if self.ending is not None:
            self.ending.close()
        self._drop_offer()
        for upload in (self.verified, self.before, *self.again):
            if upload is not None:
                if upload.is_hidden:  # else it is all that there is of the file
                    remove(self.session, upload)
                upload.close()

    def _lost(self) -> Iterator[PublishResult]:
        """The results of the files before that failed, or under which the session ended."""
        verified, before = self.verified, self.before
        if verified is not None and self._is_lost(verified):
            self.verified = None
            remove(self.session, verified)
            if not self._repeats(verified):
                yield verified.result()
        if before is not None and self._is_lost(before):
            self.before = None
            remove(self.session, before)
            if not self._repeats(before):
                yield before.result()
        while self.again and not self.session.usable:
            yield self.again.popleft().result()

    def _is_lost(self, upload: Outgoing) -> bool:
        if upload.error is None and not self.session.usable:
            what, by = "The connection ended before the file had its final name", self.ended_by
            if by is None:
                upload.error = ServerUnavailableError(f"{what}.")
            elif isinstance(by, DataUnreachableError | NoSocketError | TlsError):
                kind = NoSocketError if isinstance(by, NoSocketError) else DataUnreachableError
                upload.error = kind(f"{what}: {by.message}", reply=by.reply, remedy=by.remedy)
            else:
                upload.error = ServerUnavailableError(f"{what}: {by.message}", reply=by.reply)
        return upload.error is not None

    def _flush(self) -> Iterator[PublishResult]:
        """Verify and rename the files before, without a next one."""
        if self.before is not None:
            try:
                yield from self._verify(another=False)
            except RemoteError as error:  # it is in the upload's error, or `_lost` says it
                self._note_end(error)
        yield from self._lost()
        last = self.verified
        if last is None:
            return
        # A gateway to a cloud copies the file for it. (One that took less than `sending.SLOW_S` is soon copied.)
        patience_s = self.session.control.timeouts.after(last.job.size)
        try:
            renamed(self.session, last, self.session.exchange(rename(self.session, last), patience_s))
        except RemoteError as error:
            last.error = error
        self.verified = None
        yield from self._settled(last)
        yield from self._lost()

    # Round trip 1

    def _verify(self, *, another: bool) -> Iterator[PublishResult]:
        """SIZE and date of the file before, and a data connection for the next, in one write if that may be.

        There is no such connection where another was used meanwhile, since that makes it void.

        Raises:
            RemoteError: no data connection can be had, or the session ended.
        """
        session, before, ended = self.session, self.before, self.verified
        renames = [] if ended is None else rename(session, ended)
        asked = [] if before is None else checks(session, before)
        commands = [*renames, *(command for _, command in asked)]
        listener = None
        joined = another and session.joins
        if joined:
            command, listener = prepare(session)
            commands.append(command)
        number = session.offers
        try:
            answers = session.exchange(commands)
            if ended is not None:
                self.verified = None
                renamed(session, ended, answers[: len(renames)])
                yield from self._settled(ended)
            if before is not None:
                self.before, self.verified = None, before
                checked(session, before, [verb for verb, _ in asked], answers[len(renames) :])
        except BaseException:
            if listener is not None:
                listener.close()
            raise
        if another and not joined:
            self.offer = offered(session)
        elif joined and session.offers == number:
            self.offer = agree(session, answers[-1], listener, joined=len(answers) > 1)
        elif listener is not None:
            listener.close()

    # Round trips 2 and 3

    def _transfer(self, upload: Outgoing) -> Outgoing | None:
        """Rename one file before, verify another, send this one; errors are kept in the uploads.

        Returns:
            The file that was renamed.
        """
        session = self.session
        if upload.kept.size and upload.kept.size == upload.job.size:
            upload.reply = "It was there already, complete."
            upload.arrived = True
            return None
        ended = self.ending = self.verified
        self.verified, before = None, self.before
        renames = [] if ended is None else rename(session, ended)
        asked = [] if before is None else checks(session, before)
        upload.expose()
        store = self._store(upload)
        another = session.overlaps and upload.job.size <= SMALL
        answers: list[Reply] = []
        try:
            ahead = [*renames, *(command for _, command in asked)]
            if ahead and not (session.profile.pipelining and (session.profile.renames_joined or not renames)):
                answers, ahead = session.exchange(ahead), []
            self._stand(upload, store)
            session.say([*ahead, store, *([prepare(session)[0]] if another else [])])
        except RemoteError as error:
            upload.error = error
            if ended is not None:
                ended.error = ended.error or error
            return ended
        offer, self.offer = self.offer, None
        assert offer is not None  # noqa: S101 - `_agree` made it or raised
        sending = Sending(session, upload, len(ahead))
        sending.send(offer)
        try:
            answers += saying.heard_ahead(session, ahead)
        except RemoteError as error:
            if ended is not None:
                ended.error = error
            upload.error = upload.error or error
            return ended
        if ended is not None:
            renamed(session, ended, answers[: len(renames)])
        self.offer = sending.judge(another=another)
        saying.swallows(session, ahead, answers)
        saying.batched(session, ahead if upload.error is None else [])
        self.slow = upload.ended > upload.slow_after
        if before is not None:
            self.before, self.verified = None, before
            self._judge(before, [verb for verb, _ in asked], answers[len(renames) :])
        return ended

    def _judge(self, before: Outgoing, verbs: list[str], answers: list[Reply]) -> None:
        try:
            checked(self.session, before, verbs, answers)
        except RemoteError as error:
            before.error = before.error or error
