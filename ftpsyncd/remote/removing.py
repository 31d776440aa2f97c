"""What is removed: files, and directories that are empty; that one is gone already is no error.

`session` removes with it.

Sources: RFC 959 §4.1.3 (DELE, RMD).
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from ftpsyncd.core import names
from ftpsyncd.errors import (
    FtpsyncdError,
    InUseError,
    MountPointError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
)
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent
from ftpsyncd.quoting import named
from ftpsyncd.remote import directories, listings, looking, reaching, replies, trials
from ftpsyncd.remote.profile import Removing, spares
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


_TRANSFERRED = 226
"""Of a transfer that was given up, it may come late, and is no word about what was said after that."""


def _done(reply: Reply) -> bool:
    return reply.good and reply.code != _TRANSFERRED


def directory(session: Session, path: str) -> bool:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.remove_dir`."""
    command = session.command("RMD", path)
    if not _may_be_said(session, path):
        return False
    session.account.moves += 1
    reply = session.exchange([command])[0]
    if _done(reply):
        return True
    error = session.refusal(reply, "RMD", path)
    # aioftp says 451 for whatever its disk refuses. What is busy on Linux, with something in it, is where a disk is
    # mounted, or the root of the account (proftpd, pure-ftpd): it is not empty all the same.
    if not (isinstance(error, NameRefusedError | InUseError) or (reply.passing and session.usable)):
        raise error
    if replies.says_not_empty(reply, path, session.account.spec.encoding):
        return False
    there = session.stat(path)
    if there is None:
        if replies.says_denied(reply, path, session.account.spec.encoding) and looking.out_of_sight(session, path):
            raise error
        return True
    if there.kind is Kind.DIR and directories.holds_something(session, path):
        return False
    if isinstance(error, NameRefusedError) and reaching.removed_here(session, path):
        return True
    if isinstance(error, InUseError) and _is_mount_point(session, path):
        raise MountPointError(f"A disk is mounted on {named(path)} at the server: {reply.text}", reply=reply.text)
    raise error


def _may_be_said(session: Session, path: str) -> bool:
    """Whether RMD does no harm to anybody: that of MinIO, phones and others removes all that is in a directory.

    Tried once, with a directory of our own beside this one.

    Raises:
        NameRefusedError: the server removes even more, or nobody may look at what is in it.
        RemoteError: that cannot be found out.
    """
    profile = session.profile
    if profile.removing is None and spares(session.greeting):
        profile.removing = Removing.REFUSES
    elif profile.removing is None:
        with contextlib.suppress(NameNotSendableError):  # a longer one than this
            trials.learn_removing(session, names.trial(path))
    if profile.removing is Removing.BEYOND:
        raise NameRefusedError(
            f"{named(path)} is left alone: with a directory, the server removes whatever begins with its name.",
            remedy="Remove it in another way.",
        )
    return profile.removing is Removing.REFUSES or not _holds_something(session, path)


def _holds_something(session: Session, path: str) -> bool:
    try:
        return directories.holds_something(session, path)
    except NameRefusedError:
        if session.stat(path) is None:
            return False
        raise


def _is_mount_point(session: Session, path: str) -> bool:
    """Whether a directory is on another disk than the one that it is in, as far as the server tells."""
    if not session.profile.mlst:
        return False
    above, ours = session.exchange([session.command("MLST", each) for each in (parent(path) or "/", path)])
    disks = {listings.device(above), listings.device(ours)}
    return len(disks) > 1 and None not in disks


def files(session: Session, paths: Sequence[str]) -> list[FtpsyncdError | None]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.delete_many`."""
    verdicts: list[FtpsyncdError | None] = [None] * len(paths)
    commands: list[tuple[int, bytes]] = []
    for i, path in enumerate(paths):
        try:
            commands.append((i, session.command("DELE", path)))
        except NameNotSendableError as error:
            verdicts[i] = error
    refused: list[int] = []
    denied: set[int] = set()
    for (i, _), reply in zip(commands, session.exchange([c for _, c in commands]), strict=True):
        if not _done(reply):
            verdicts[i] = refusal = session.refusal(reply, "DELE", paths[i])
            if reply.code < 400:
                raise refusal  # the other answers are of other commands, too
            if isinstance(refusal, NameRefusedError):
                refused.append(i)
            if replies.says_denied(reply, paths[i], session.account.spec.encoding):
                denied.add(i)
    for i in _gone(session, paths, verdicts, refused, denied):
        verdicts[i] = None
    return verdicts


def _gone(
    session: Session,
    paths: Sequence[str],
    verdicts: Sequence[FtpsyncdError | None],
    refused: Sequence[int],
    denied: Container[int],
) -> list[int]:
    """Which of those that the server does not delete are not there, ``denied`` those for want of rights."""
    # vsftpd says "Delete operation failed." for every reason: look which of them are there.
    doubtful = [i for i in refused if not isinstance(verdicts[i], NotFoundError)]
    there = dict(zip(doubtful, looking.as_far_as_shown(session, [paths[i] for i in doubtful]), strict=False))
    if session.usable:
        # Where names are told otherwise than the server takes them, it says the same of what is there.
        reaching.confirm_refused(session, [paths[i] for i in refused])
    unseen = [i for i in doubtful if there.get(i, verdicts[i]) is None]
    closed: dict[str, bool] = {}
    for i in unseen:
        if i in denied and (directory := parent(paths[i])) not in closed:
            closed[directory] = looking.out_of_sight(session, paths[i])
    hidden = {i for i in unseen if i in denied and closed[parent(paths[i])]}
    return [i for i in refused if i not in hidden and (i not in doubtful or i in unseen)]
