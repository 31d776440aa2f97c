"""The content of one file: sent through a data connection, and judged by the answer to STOR.

`upload` has said STOR, in one write with what other files still need. The server's words go before what was seen here.

Sources: RFC 959 §4.1.3.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    LocalError,
    NameRefusedError,
    NotSupportedError,
    RemoteError,
    ServerFullError,
    TransferFailedError,
    UnwrittenError,
)
from ftpsyncd.remote import crowded, directories, remedies
from ftpsyncd.remote.agreeing import Offer, agree
from ftpsyncd.remote.data import DataLine, broke, stalled, unanswered
from ftpsyncd.remote.opening import PASSIVE_REFUSED_REMEDY
from ftpsyncd.remote.outgoing import Outgoing
from ftpsyncd.remote.port import RESUMABLE
from ftpsyncd.remote.pour import pour
from ftpsyncd.remote.replies import (
    Reply,
    of_the_name,
    says_denied,
    says_filtered,
    says_no_data_connection,
    says_unwritten,
)

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

SMALL = 1024 * 1024
"""Files up to this size are begun together with the end of the file before; larger ones wait for it."""
PARTING_S = 0.002
"""How long opening a data connection must have taken for it to be ended in haste: a round trip is worth it then."""
SLOW_S = 1.0
SLOW_ROUND_TRIPS = 16
"""After a transfer that took longer than both, the next file waits: else the end of that one would wait for it."""
REFUSED_MOST = 3
"""Files in a row that are themselves to blame where they are refused a data connection (425, 522)."""
_TLS_REMEDY = (
    'It is tried again; if it lasts, set `tls_max: "1.2"`, since TLS 1.3 may be what the server cannot have there, or'
    " ask whoever runs it."
)
_ALONE_REMEDY = (
    "It is tried again. A listing had a data connection right behind it: if it lasts, ask whoever runs the server, or a"
    " firewall on the way, why this file has none."
)
_UNCONTINUED = frozenset({NameRefusedError, NotSupportedError, TransferFailedError})
"""What a refusal to go on with a part may be taken for."""


class Sending:
    """One transfer, from the STOR that was just said to its final answer.

    Args:
        session: nothing else is said meanwhile.
        upload: the file; what becomes of it is noted there.
        ahead: so many commands were said before STOR; their answers are not looked at.
    """

    def __init__(self, session: Session, upload: Outgoing, ahead: int) -> None:
        self._session = session
        self._upload = upload
        self._ahead = ahead
        self._failure: FtpsyncdError | None = None
        """What went wrong on this side."""

    # ── The content ──────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, offer: Offer) -> None:
        """Send the content; a failure is kept for `judge`."""
        session, upload = self._session, self._upload
        began = time.monotonic()
        line = self._opened(offer)
        if line is None:
            return
        opening_s = (now := time.monotonic()) - began
        upload.slow_after = now + max(SLOW_S, SLOW_ROUND_TRIPS * opening_s)
        self._await_the_server(line)
        job = upload.job
        parts = session.may_part and upload.is_hidden and not job.resume and opening_s > PARTING_S
        haste = parts and job.size <= SMALL
        if job.size <= SMALL and not haste:
            line.hold_back()
        if self._poured(line):
            # As long as opening it took, the server cannot have said anything of the end yet.
            upload.parted = line.finish(self._is_begun if haste else None, opening_s)

    def _opened(self, offer: Offer) -> DataLine | None:
        """The data connection; None if it failed to come about."""
        upload = self._upload
        try:
            line = offer.open(self._session, self._refusal_or_end)
        except TransferFailedError as error:
            self._failure = error
            return None
        except RemoteError as error:
            # The server waits for a connection that will not come: its next words would come in a minute.
            upload.stored = True
            self._failure = error
            return None
        upload.stored = True
        return line

    def _await_the_server(self, line: DataLine) -> None:
        """Wait until the server has said that it receives, where the content must not come, or be told of, before."""
        session = self._session
        try:
            if self._upload.job.size <= SMALL and session.announces and not session.reads_in_turn:
                # All of it, with its end, may overtake the command: pyftpdlib would then wait for another connection.
                # The answer of such a server comes while the data connection opens.
                session.announces = session.control.await_answer(self._first)
            self._announce()
        except BaseException:
            line.abort()
            raise

    def _poured(self, line: DataLine) -> bool:
        """Whether all of the content is on its way; if not, the data connection has ended."""
        session, upload = self._session, self._upload
        job = upload.job
        try:
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
                self._failure = error
                return False
            # A reset before the server has taken the connection would leave it waiting for one.
            session.control.await_answer(self._first)
            line.abort()
            self._broken_off(self._first())
            if isinstance(error, FtpsyncdError):
                self._failure = error
                return False
            session.abandon()
            raise
        return True

    def _announce(self) -> None:
        """Say that a large file is on its way, once the server has said so: an older part is gone then."""
        upload = self._upload
        if upload.job.size < RESUMABLE:
            return
        # It costs a large file one round trip.
        self._session.control.await_answer(self._first)
        if self._is_begun() and upload.is_hidden:
            upload.job.begun(upload.may_be_continued)
        elif self._is_begun():
            upload.job.exposed(True)  # noqa: FBT003 - the port's

    def _broken_off(self, first: Reply | None) -> None:
        """Whoever broke it off, or has no line any more, has to see to the part that is under the final name.

        Args:
            first: the first answer to STOR: nothing is there before that.
        """
        if first is not None and first.preliminary and not self._upload.is_hidden:
            self._upload.job.exposed(True)  # noqa: FBT003 - the port's

    # ── What the server has said of it so far ────────────────────────────────────────────────────────────────────

    def _answers(self) -> list[Reply]:
        return list(self._session.control.queued)[self._ahead :]

    def _first(self) -> Reply | None:
        """The first answer to STOR."""
        return next(iter(self._answers()), None)

    def _refusal_or_end(self) -> Reply | None:
        """The final one."""
        return next((reply for reply in self._answers() if not reply.preliminary), None)

    def _is_begun(self) -> bool:
        """Whether the server has said that it receives the file."""
        reply = self._first()
        return reply is not None and reply.preliminary

    # ── What became of it ────────────────────────────────────────────────────────────────────────────────────────

    def judge(self, *, another: bool) -> Offer | None:
        """Read the answers to STOR, after those to the commands ahead of it were taken, and note what they mean.

        Args:
            another: an EPSV followed in the same write.

        Returns:
            The data connection that it has agreed on.
        """
        session, upload, failure = self._session, self._upload, self._failure
        if isinstance(failure, RemoteError) and not isinstance(failure, TransferFailedError):
            if session.usable:
                session.abandon()
            upload.error = failure
            return None
        timeouts = session.control.timeouts
        in_order = failure is None or (isinstance(failure, LocalError) and upload.is_hidden)
        first: Reply | None = None
        try:
            # After a reset the server speaks soon or, not having noticed the connection, never. The first word may be
            # the last.
            patience_s = timeouts.after(upload.job.size) if in_order else timeouts.close_s
            first = session.first(patience_s)
            reply = crowded.explained(session, first, session.check(first, patience_s), another=another)
        except RemoteError as error:
            self._broken_off(first)
            upload.unanswered = True
            if failure is not None and not isinstance(failure, RemoteError):
                upload.error = failure
            else:
                upload.error = unanswered(failure, error)
            if upload.parted and error.reply[:3] != "421":
                session.profile.parted(well=False)
            return None
        offer = None
        if another:
            reply, offer = self._offered(reply, None if in_order else timeouts.close_s)
        upload.reply = reply.text
        upload.ended = time.monotonic()
        upload.stored = first.preliminary or reply.good
        # vsftpd says 150, and then 425 or 522.
        upload.reached = upload.stored and reply.code not in {425, 522}
        if failure is not None and not isinstance(failure, RemoteError):
            upload.error = failure
        elif not reply.good:
            self._note_refusal(first, reply)
        elif failure is not None:
            upload.error = failure
        upload.arrived = upload.error is None
        return offer

    def _note_refusal(self, first: Reply, reply: Reply) -> None:
        """Note what the server's last word means, and what may be there."""
        session, upload = self._session, self._upload
        at_once = not first.preliminary
        error = upload.error = self._refused(of_the_name(reply) if at_once else reply)
        if stalled(self._failure) and type(error) is TransferFailedError:
            upload.error = self._failure
        if not at_once and type(error) is NameRefusedError and broke(self._failure) and not self._is_of_the_name(reply):
            # IIS and ESP servers say 550 of a line that broke, in words of their own; a person would have to see to it.
            error = upload.error = TransferFailedError(error.message, reply=error.reply)
        if at_once and upload.kept.size and type(error) in _UNCONTINUED:
            # proftpd says "try again" where nothing may be continued, for ever, and that may be so in one directory
            # only: what is there goes, and the file is sent whole.
            upload.stored = upload.unwelcome = True
        # Not with another answer: vsftpd has made or emptied the file when it says 425 for want of a data connection.
        upload.refused = at_once and not upload.unwelcome and isinstance(error, NameRefusedError)
        upload.touched = at_once and not upload.refused
        # pure-ftpd makes the file first, and says then that a quota does not allow it.
        upload.stored |= upload.is_hidden and isinstance(error, ServerFullError)
        if session.blames_connection(first, reply) and not (upload.error is error and self._is_alone(error, reply)):
            session.abandon()

    def _is_alone(self, error: RemoteError, reply: Reply) -> bool:
        """Whether this file alone was refused a data connection, so that the session is well; the error says who was.

        Most such refusals are about a session that has grown old: the first files in a row are tried again over other
        ones. For further ones, and for any in active mode, a listing is asked for: if that has a data connection, the
        file is to blame. If not, the server is, unless others have arrived beside this file before.
        """
        session, upload, account = self._session, self._upload, self._session.account
        active = isinstance(error, DataUnreachableError)
        if not active and not (type(error) is TransferFailedError and says_no_data_connection(reply)):
            return False
        refused, path = account.refused_data, upload.job.path
        known = path in account.refused_alone
        if not (active or known) and len(refused) <= REFUSED_MOST:
            refused.add(path)
        in_a_row = len(refused) > REFUSED_MOST and not known
        if (active or known or in_a_row) and directories.has_data(session):
            upload.reached = True
            upload.error = TransferFailedError(error.message, reply=error.reply, remedy=_ALONE_REMEDY)
            # What is there of it stays where nothing more is said: a part, or under its final name the version before.
            # And a REST ends, which no transfer has used up.
            return session.usable and not upload.kept.size and (upload.is_hidden or not upload.stored)
        if not active:
            error.remedy = PASSIVE_REFUSED_REMEDY if session.control.context is None else _TLS_REMEDY
            if in_a_row:
                said = f"The server refuses each file a data connection: {error.reply}"
                upload.error = DataUnreachableError(said, reply=error.reply, remedy=error.remedy)
        return False

    def _is_of_the_name(self, reply: Reply) -> bool:
        """Whether the words of a refusal show that it is about the file, whatever became of the line."""
        about = self._upload.job.path, self._session.account.spec.encoding
        return says_denied(reply, *about) or says_filtered(reply, *about)

    def _refused(self, reply: Reply) -> RemoteError:
        """What the server's last word means, which is not that it has the file."""
        error = self._session.refusal(reply, "STOR", self._upload.job.path)
        encoding = self._session.account.spec.encoding
        filtered = says_filtered(reply, self._upload.job.path, encoding)
        if self._upload.is_hidden and type(error) is NameRefusedError and filtered:
            # Perhaps only the temporary one.
            error.remedy = remedies.filtered(self._upload.job.path)
        if self._failure is None and says_unwritten(reply):
            # The line is well: it took all that there is.
            return UnwrittenError(error.message, reply=error.reply)
        return error

    def _offered(self, stored: Reply, timeout_s: float | None) -> tuple[Reply, Offer | None]:
        """Read the answer to the EPSV that followed STOR; returns the answer to STOR, and what was agreed on."""
        session = self._session
        try:
            reply = session.check(session.first(timeout_s), timeout_s)
            early = not stored.good and reply.code in {226, 250}
            if early:
                # The server has read it in the middle of the transfer, and refused.
                stored, reply = reply, stored
            if reply.code in {227, 229}:
                return stored, agree(session, reply, None, joined=True)
            if reply.passing and not early:
                # No port is free, say: it is asked for again when there is a file.
                return stored, None
        except RemoteError as error:
            if error.reply[:3] == "421":
                return stored, None
        session.profile.overlapping = False
        return stored, None
