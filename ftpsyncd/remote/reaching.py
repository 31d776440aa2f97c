"""Whether a server refuses a file, or only the way in which its name was told: what is refused is looked into once.

A refusal has the same words for a missing right, a missing directory and a path where only a bare name is understood.
So a small file of our own is sent, into the same directory, under a bare name and then under a path. Only if the first
is taken and the second is not, names are told within the working directory from then on (`standing`). Nobody has to
wait for that where a file was ever stored under a path.

What was asked before in the other way may have been answered wrongly (a file that is there as absent): the session is
closed then, and all that is not done is asked about, and done, anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsyncd.core import names
from ftpsyncd.errors import (
    FtpsyncdError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    PathsRefusedError,
    RemoteError,
)
from ftpsyncd.model import basename, parent
from ftpsyncd.remote import facts, trials
from ftpsyncd.remote.looking import HOME
from ftpsyncd.remote.profile import Paths
from ftpsyncd.remote.transfer import deliver

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_ABOUT_NAMES = (NameRefusedError, NotFoundError, NotSupportedError)


def explained(session: Session, error: FtpsyncdError, path: str, *, above: bool = False) -> FtpsyncdError:
    """What is told of a refusal: another error where it was about the way in which the name of the file was told.

    It is that of the connection where this was lost before that could be found out.

    Args:
        session: in order, and nothing is going on in it.
        error: what was made of it.
        path: of the file or directory that was refused.
        above: the directory that it would be in may have been refused for the same reason: it is tried in the first one
            above it that is there.
    """
    if session.relative or not isinstance(error, RemoteError) or not _may_be_about_paths(error):
        return error
    if session.usable and session.profile.paths is None and session.refused_in != (directory := parent(path)):
        session.refused_in = directory
        try:
            while not _learn(session, path) and above and parent(path):
                path = parent(path)
        except RemoteError as lost:
            if _is_to_be_tried_again(session):
                return lost
    if not session.profile.relative:
        return error
    return _ended(session, error.reply)


def _is_to_be_tried_again(session: Session) -> bool:
    """Whether a trial ended the session, so that it is still not known what was refused; not for ever, if each does."""
    if session.usable or session.account.lost_in_trials >= trials.MOST_TRIALS:
        return False
    session.account.lost_in_trials += 1
    return True


def _ended(session: Session, reply: str) -> PathsRefusedError:
    session.close()
    return PathsRefusedError(
        f"The server takes names only within the working directory; from now on it gets them so: {reply}", reply=reply
    )


def confirm_absent(session: Session, path: str) -> None:
    """Look for what is not there under a path under its bare name, too, where no file was ever found under one.

    Raises:
        PathsRefusedError: there it is.
        RemoteError: the session ended.
    """
    if session.relative or session.profile.paths is not None or not path.strip("/"):
        return
    visit = session.exchange([session.visit(parent(path) or "/")])[0]
    name = session.name(basename(path))
    size, date = session.exchange([b"SIZE " + name, b"MDTM " + name]) if visit.good else (visit, visit)
    session.exchange([HOME])
    if size.code == 213 or date.code == 213:
        session.profile.paths = Paths.RELATIVE
        raise _ended(session, size.text)


def _may_be_about_paths(error: RemoteError) -> bool:
    return type(error) in _ABOUT_NAMES and bool(error.reply)


def try_again(session: Session, path: str) -> None:
    """Find out whether a server takes paths by now, if it was long ago that it did not; later sessions profit.

    Args:
        session: that tells names within the working directory.
        path: of a file that goes to a directory in which it can be tried.

    Raises:
        RemoteError: the session ended.
    """
    if session.profile.paths is Paths.DOUBTED and session.refused_in != (directory := parent(path)):
        session.refused_in = directory
        try:
            _learn(session, path)
        except RemoteError:
            if not session.usable:
                raise


def _learn(session: Session, path: str) -> bool:
    """Send two small files into the directory of a path; the profile learns whether the first way, or both, will do.

    Returns:
        Whether one can go to that directory.

    Raises:
        RemoteError: one is refused for a reason that has nothing to do with that, or the session ended.
    """
    directory = parent(path) or "/"
    by_path = names.trial(path)
    bare = names.trial(by_path)
    try:
        if not _goes(session, directory):
            return False
        here = session.name(basename(bare))
        try:
            if not deliver(session, b"STOR " + here, trials.CONTENT[: trials.PART]).good:
                return True
            seen = _size(session, here)
        finally:
            if session.usable:
                session.exchange([b"DELE " + here])
        if seen in {None, trials.PART}:
            taken = _takes(session, by_path, is_told=seen is not None)
            session.profile.paths = Paths.ABSOLUTE if taken else Paths.RELATIVE
        return True
    finally:
        if session.usable:
            session.exchange([HOME])


def _goes(session: Session, directory: str) -> bool:
    """Go to a directory; whether that has moved the session, where it tells where it is."""
    _, before, visit, after = session.exchange([HOME, b"PWD", session.visit(directory), b"PWD"])
    if not visit.good:
        return False
    was, now = facts.parse_257(before), facts.parse_257(after)
    return now is None or now != was or now.strip(b"/") == session.name(directory).strip(b"/")


def _size(session: Session, name: bytes) -> int | None:
    """Of a file right here; None: the server does not tell."""
    return facts.parse_size(session.exchange([b"SIZE " + name])[0])


def _takes(session: Session, path: str, *, is_told: bool) -> bool:
    """Whether a small file can be stored under a path, and is in its directory then, where the session stands.

    Some put the path below the working directory, where such a directory may be, too.

    Args:
        session: at the server.
        path: of the file.
        is_told: the server tells the sizes of files right here.

    Raises:
        RemoteError: it is refused for a reason that has nothing to do with that, or the session ended.
    """
    name, whole = session.name(basename(path)), session.name(path)
    reply = deliver(session, b"STOR " + whole, trials.CONTENT[: trials.PART])
    try:
        if reply.good:
            return not is_told or _size(session, name) == trials.PART
        error = session.error(reply, "STOR", path)
        if not _may_be_about_paths(error):
            raise error
        return False
    finally:
        if session.usable:
            session.exchange([b"DELE " + whole, b"DELE " + name])
