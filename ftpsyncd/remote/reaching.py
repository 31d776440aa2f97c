"""Whether a server refuses a file, or only the way in which its name was told: what is refused is looked into once.

A refusal has the same words for a missing right, a missing directory and a path where only a bare name is understood.
So a small file of our own is sent, into the same directory, under a bare name and then under a path. Only if the first
is taken and the second is not, names are told within the working directory from then on (`standing`). Nobody has to
wait for that where a file was ever stored under a path.

What is only looked for, fetched or removed sends nothing: where a path is not known, its bare name is asked for in its
directory, and if that is known, the same is concluded.

What was asked before in the other way may have been answered wrongly (a file that is there as absent): the session is
closed then, and all that is not done is asked about, and done, anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from ftpsyncd.paths import basename, parent
from ftpsyncd.remote import facts, listings, scratch, trials
from ftpsyncd.remote.profile import Paths
from ftpsyncd.remote.standing import HOME
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


def explained_by_looking(session: Session, error: RemoteError, path: str) -> RemoteError:
    """`explained`, as far as it can be found out without sending anything.

    Args:
        session: in order, and nothing is going on in it.
        error: what was made of the refusal.
        path: of the file or directory that was refused.
    """
    if not session.usable or not _may_be_about_paths(error):
        return error
    try:
        confirm_refused(session, [path])
    except PathsRefusedError as otherwise:
        return otherwise
    return error


def confirm_refused(session: Session, paths: Sequence[str]) -> None:
    """`confirm_absent` of those that are refused, perhaps for another reason: the server knows these under their paths.

    Raises:
        PathsRefusedError: one is there under its bare name only.
        RemoteError: the session ended.
    """
    if paths and not session.relative and session.profile.paths is None:
        seen = _seen(session, [session.name(path) for path in paths])
        confirm_absent(session, [path for path, told in zip(paths, seen, strict=True) if told is None])


def confirm_absent(session: Session, paths: Iterable[str]) -> None:
    """Look for what is not there under its path under its bare name, too, where no file was ever found under one.

    Raises:
        PathsRefusedError: there is one of them.
        RemoteError: the session ended.
    """
    if session.relative or session.profile.paths is not None:
        return
    below: dict[str, list[bytes]] = {}
    for path in paths:
        if path.strip("/"):
            below.setdefault(parent(path) or "/", []).append(session.name(basename(path)))
    for directory, bare in below.items():
        seen = _seen(session, bare) if _goes(session, directory) else []
        session.exchange([HOME])
        for told in filter(None, seen):
            session.profile.paths = Paths.RELATIVE
            raise _ended(session, told)


def _seen(session: Session, known_as: list[bytes]) -> list[str | None]:
    """What the server says of each of these names; None: nothing."""
    verbs = [*([b"MLST "] if session.profile.mlst else []), b"SIZE ", b"MDTM "]
    encoding = session.account.spec.encoding
    replies = session.exchange([verb + name for name in known_as for verb in verbs])
    told = [r.text if r.code == 213 or listings.parse_mlst(r, encoding) is not None else None for r in replies]
    return [next(filter(None, told[i : i + len(verbs)]), None) for i in range(0, len(told), len(verbs))]


def removed_here(session: Session, path: str) -> bool:
    """Remove an empty directory that was refused under its path by its bare name; whether that was done.

    It is tried only where it is not known which of the two the server takes.

    Raises:
        RemoteError: the session ended.
    """
    if session.relative or session.profile.paths is not None:
        return False
    gone = _goes(session, parent(path) or "/") and session.exchange([b"RMD " + session.name(basename(path))])[0].good
    session.exchange([HOME])
    return gone


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
    by_path = scratch.free(session, names.trial(path))
    bare = scratch.free(session, names.trial(by_path))
    with scratch.noted(session, [("DELE", bare), ("DELE", by_path)]):
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
        error = session.refusal(reply, "STOR", path)
        if not _may_be_about_paths(error):
            raise error
        return False
    finally:
        if session.usable:
            session.exchange([b"DELE " + whole, b"DELE " + name])
