"""Renames, and what is done when they are refused or answered strangely.

`session` renames with it, `upload` ends its files with it.

Sources: RFC 959 §4.1.3.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    InUseError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import looking, replies
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.standing import together

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


WAITS_S = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Before a rename is tried again of a file that is in use at the server: the connection does nothing else meanwhile."""


class RenameRefusedError(RemoteError):
    """RNFR or RNTO was refused while a transfer was going on; it is looked into after that."""

    def __init__(self, refusal: Reply, error: RemoteError | None = None) -> None:
        super().__init__("The rename was refused.", reply=refusal.text)
        self.refusal = refusal
        self.error = error
        """Of RNFR; None: RNTO was refused."""


class NoRenameError(TransferFailedError):
    """Nothing may be renamed there, which the profile knows by now: the file is to be sent under its final name."""

    def __init__(self, reply: str) -> None:
        super().__init__(
            f"The server cannot rename there; files are sent under their final names from now on: {reply}", reply=reply
        )


class RenameUnclearError(RenameRefusedError):
    """RNTO was answered by a success that is not its own."""


def commands(session: Session, source: str, target: str) -> list[bytes]:
    """RNFR and RNTO.

    Raises:
        NameNotSendableError: as `Session.name`.
    """
    if session.relative:
        return [*together(session.name(source), session.name(target))]
    return [session.command("RNFR", source), session.command("RNTO", target)]


def is_begun(reply: Reply) -> bool:
    """Whether it is the answer to an RNFR that awaits RNTO; some servers say 250."""
    return reply.more or reply.code == 250


def rename(session: Session, source: str, target: str) -> str:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.rename`."""
    words = commands(session, source, target)
    session.assure(target)
    session.account.moves += 1
    began, ended = session.exchange(words)
    if not is_begun(began):
        raise _not_begun(session, source, began)
    left = ""
    if not ended.good:
        left = refused(session, source, target, ended)
    elif not session.profile.renamed and session.stat(source) is not None:
        if names.folded(source) == names.folded(target):
            return ""  # a server that does not tell the two apart has it under its old name, too
        raise NotSupportedError(f"The server says yes to a rename and does nothing: {ended.text}", reply=ended.text)
    session.renames = session.profile.renamed = True
    return left


def _not_begun(session: Session, source: str, refusal: Reply) -> RemoteError:
    """What is told of a refused RNFR, of which servers have the same words for what is not there and what may not go.

    vsftpd says "RNFR command failed." of both; pure-ftpd says of all in a directory that nobody is let into that it is
    not there.
    """
    error = session.refusal(refusal, "RNFR", source)
    if isinstance(error, NotFoundError):
        if not looking.out_of_sight(session, source):
            return error
        return NameRefusedError(f"The server lets nobody see whether {named(source)} is there", reply=refusal.text)
    if type(error) is not NameRefusedError or replies.says_denied(refusal, source, session.account.spec.encoding):
        return error
    if looking.as_far_as_shown(session, [source]) != [None]:
        return error
    return NotFoundError(f"The server does not have {named(source)}: {refusal.text}", reply=refusal.text)


def refused(
    session: Session,
    source: str,
    target: str,
    refusal: Reply,
    *,
    is_it: Callable[[RemoteEntry], bool] = lambda _there: False,
) -> str:
    """Rename again, with the file that stands at ``target`` moved aside if need be; raise where that is not the reason.

    Only if both are files: a directory that is renamed takes nobody's place. The target is not deleted before the
    rename: a server that renames nothing would be left with neither version. Where it cannot even be moved aside, it
    stays as it is.

    Args:
        session: at the server.
        source: what was to be renamed.
        target: its new name.
        refusal: the answer to RNTO.
        is_it: whether what stands at ``target``, while nothing does at ``source``, is what was to be renamed: then that
            was done and denied (prim-ftpd says 553 on memory cards).

    Returns:
        Where the file that stood at ``target`` is still, since it could not be deleted any more; empty: it is not.
    """
    error = session.refusal(refusal, "RNTO", target)
    if not session.usable:
        said = f"The connection ended before the file had its final name: {error.reply}"
        raise ServerUnavailableError(said, reply=error.reply)
    if refusal.code not in {450, 451} and refusal.code < 550:
        raise error
    there = session.stat(target)
    if there is not None and there.kind is Kind.DIR:
        raise _is_directory(target, refusal.text) from error
    if there is None or there.kind is not Kind.FILE:
        raise error
    comes = session.stat(source)
    if comes is None and is_it(there):
        session.renames = True
        return ""
    if comes is None or comes.kind is Kind.DIR:
        raise error
    if replies.says_filtered(refusal, target, session.account.spec.encoding):
        raise error  # it is the name, which what has it could not be given again either
    around = names.folded(source) == names.folded(target) and _around(session, source, target, error)
    again = refusal if around else _moved(session, source, target)
    if around or again.good:
        # It was busy, or in its own way. From a server that never replaces, files are deleted before new versions come.
        session.renames = True
        return ""
    left = _replace(session, source, target, error)
    if not _is_in_use(session, target, again):
        session.profile.rename_over = False
    return left


def explained(session: Session, error: FtpsyncdError, target: str) -> FtpsyncdError:
    """What is told of a file that was refused its final name though it needs no rename: a directory may have that."""
    if type(error) is not NameRefusedError or not session.usable:
        return error
    with contextlib.suppress(RemoteError):
        there = session.stat(target)
        if there is not None and there.kind is Kind.DIR:
            return _is_directory(target, error.reply)
    return error


def _is_directory(target: str, reply: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"{named(target)} is a directory at the server: {reply}", reply=reply)


def _around(session: Session, source: str, target: str, error: RemoteError) -> bool:
    """Rename a file to another case of its name by way of a third one: to the server it may be in its own way.

    Returns:
        Whether that was done. If not, it has its old name.

    Raises:
        RemoteError: ``error``, where it has neither, or the session ended.
    """
    with _displacing(session, target) as aside:
        if not _moved(session, source, aside).good:
            return False
        done = _moved(session, aside, target).good
        back = done or _moved(session, aside, source).good
    if not back:
        raise _displaced(error, aside)
    return done


def _replace(session: Session, source: str, target: str, error: RemoteError) -> str:
    """Move aside what stands at ``target``, and delete it when it is replaced; ``error`` is raised if it may not go.

    Should the line end meanwhile, whoever sweeps a temporary file of ``target`` finds it there. Where it is still is
    returned, as from `refused`: the new version is published, whatever becomes of the old one.
    """
    session.delete_many([names.aside(target)])  # an older one, of which that is so
    with _displacing(session, target) as aside:
        moved = _moved(session, target, aside)
        ended = _moved(session, source, target) if moved.good else moved
        back = _moved(session, aside, target) if moved.good and not ended.good else moved
    if not moved.good:
        raise session.error(moved, "RNFR", target) if _is_in_use(session, target, moved) else error
    session.renames = True
    if not ended.good:
        failure = session.refusal(ended, "RNTO", target)
        raise failure if back.good else _displaced(failure, aside)
    with contextlib.suppress(RemoteError):
        if session.delete_many([aside]) == [None]:
            return ""
    return aside


@contextlib.contextmanager
def _displacing(session: Session, path: str) -> Iterator[str]:
    """Where a file may be meanwhile instead of at ``path``: the error tells, or the session where it is broken off."""
    aside = names.aside(path)
    session.displaced = (path, aside)
    try:
        yield aside
    except RemoteError as lost:
        session.displaced = None
        lost.aside = aside
        raise
    session.displaced = None


def _displaced(refusal: RemoteError, aside: str) -> RemoteError:
    """The same error, where what was moved aside could not be given its name again either: somebody has to know."""
    refusal.aside = aside
    refusal.message += f" What was there before is at the server as {named(aside)}."
    return refusal


def _moved(session: Session, source: str, target: str) -> Reply:
    """The answer to RNTO, or to RNFR where that was refused already."""
    began, ended = session.exchange(commands(session, source, target))
    return ended if is_begun(began) else began


def one_by_one(session: Session, source: str, target: str) -> Reply:
    """Rename with each command in a write of its own; the answer to RNTO, or to RNFR where that was refused already."""
    rnfr, rnto = commands(session, source, target)
    began = session.exchange([rnfr])[0]
    if not is_begun(began):
        return began
    (ended,) = session.said([rnto])  # nothing may be said between the two
    return ended


def patiently(session: Session, source: str, target: str, refusal: Reply) -> Reply:
    """Rename again and again what a program at the server has open for a moment, as one that looks for viruses does.

    Sent anew, a file would be looked into anew.

    Returns:
        The last answer, as from `one_by_one`.
    """
    for wait_s in WAITS_S:
        if not _is_in_use(session, target, refusal):
            break
        time.sleep(wait_s)
        refusal = one_by_one(session, source, target)
    return refusal


def _is_in_use(session: Session, path: str, refusal: Reply) -> bool:
    return isinstance(replies.error_of(refusal, "RNTO", path, session.account.spec.encoding), InUseError)


def unclear(session: Session, source: str, target: str, size: int, reply: Reply) -> FtpsyncdError | None:
    """Whether a rename that was answered strangely was done: the old name is gone, the new one complete.

    One that is confirmed twice though the file keeps its old name means that nothing is renamed at this server, which
    the profile learns. A gateway to a cloud may show the old name for a moment.
    """
    try:
        for wait_s in (0.0, *(WAITS_S if reply.code == 250 and session.profile.renames else ())):
            time.sleep(wait_s)
            old, new = session.stat_many([source, target])
            if old is None:
                break
        if old is not None and reply.code == 250 and not session.renames:
            if session.profile.renames and one_by_one(session, source, target).good:
                session.profile.renames = session.stat(source) is None
            if not session.profile.renames:
                return NoRenameError(reply.text)
            old, new = session.stat_many([source, target])
    except RemoteError as error:
        return error
    if old is None and new is not None and sizes.fits(new.size, size):
        session.renames = session.profile.renamed = True
        return None
    return ProtocolError(f"The server answers RNTO with: {reply.text}", reply=reply.text)
