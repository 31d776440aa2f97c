"""Whether a file has arrived as it is: what to ask about it after its transfer, and what the answers mean.

`upload` sends the commands, together with those of other files, and hands the answers back; `outgoing` then gives it
its final name. Sources: RFC 3659 §3 and §4 (MDTM, SIZE).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftpsyncd.counting import number
from ftpsyncd.errors import (
    FtpsyncdError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    VerificationError,
)
from ftpsyncd.quoting import named
from ftpsyncd.remote import dating, facts, remedies, renaming, replies, resume
from ftpsyncd.remote.outgoing import Outgoing, asks_before
from ftpsyncd.remote.profile import Dating, Paths, Resuming
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


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
    if upload.is_hidden and session.profile.rename_over is False and asks_before(session):
        commands.append(("there", session.command("SIZE", upload.job.path)))
    return commands


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
