"""Directories made: one, a chain from the top, or many at once; that one is there already is no error.

`session` makes them with it.

Sources: RFC 959 §4.1.3 (MKD).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ftpsyncd.errors import AlreadyExistsError, FtpsyncdError, NameRefusedError, RemoteError
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import naming, reaching, replies
from ftpsyncd.remote.profile import oddities
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.standing import HOME

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def many(session: Session, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.make_dir_many`."""
    commands: dict[int, bytes] = {}
    for i, path in enumerate(paths):
        try:
            commands[i] = session.command("MKD", path)
            naming.assure(session, path)
        except FtpsyncdError as error:
            if not session.usable:
                raise
            commands.pop(i, None)
            yield i, error
    refused: dict[int, Reply] = {}
    for i, reply in zip(commands, session.answers(list(commands.values())), strict=True):
        if reply.good:
            yield i, True
        else:
            refused[i] = reply
    # Asked for only now: each answer is a packet, and more than ten at once cost another round trip on a new line.
    visits = session.exchange([*(session.visit(paths[i]) for i in refused), HOME]) if refused else []
    for (i, reply), visit in zip(refused.items(), visits, strict=False):
        verdict: bool | FtpsyncdError
        try:
            verdict = _made(session, paths[i], reply, visit, visits[-1])
        except RemoteError as error:
            verdict = error
        yield i, verdict


def chain(session: Session, path: str) -> bool:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.make_dirs`."""
    parts = [part for part in path.split("/") if part]
    return make(session, ["/" + "/".join(parts[:n]) for n in range(1, len(parts) + 1)]) if parts else False


def make(session: Session, paths: Sequence[str]) -> bool:
    """Make directories from the top. A refused MKD says little: being able to go there says that it exists.

    Returns:
        Whether the last one was made now; False: it was there already.
    """
    last = paths[-1]
    commands = [*(session.command("MKD", path) for path in paths), session.visit(last), HOME]
    if len(paths) > 1 and not session.profile.keeps.keys() >= set(oddities(last)):
        # What is tried beside a name needs the directory that it stands in.
        make(session, paths[:-1])
    naming.assure(session, last)
    *_, made, visit, home = session.exchange(commands)
    try:
        return _made(session, last, made, visit, home)
    except NameRefusedError:
        if len(paths) > 1 and session.usable:
            # Where one above it cannot be made, what is said of that one is the reason.
            make(session, paths[:-1])
        raise


def _made(session: Session, path: str, made: Reply, visit: Reply, home: Reply) -> bool:
    """What the answers to MKD and CWD, there and back, mean; raises if the directory is not there."""
    if made.good:
        return True
    if visit.good:
        return False
    error = reaching.explained(session, session.refusal(made, "MKD", path), path, above=True)
    if isinstance(error, AlreadyExistsError) and not home.good:
        # One may go nowhere: it can be a directory all the same.
        return False
    if isinstance(error, AlreadyExistsError):
        # Perhaps it was there, or one that is the same to the server (case), and was removed between the answers.
        if session.exchange([session.command("MKD", path)])[0].good:
            return True
        if replies.says_denied(visit, path, session.account.spec.encoding):
            raise NameRefusedError(
                f"{named(path)} is at the server already, and the server does not let us in: {visit.text}",
                reply=visit.text,
            )
        raise _is_no_directory(path, made)
    if isinstance(error, NameRefusedError) and session.usable and _is_file(session, path):
        # vsftpd says the same of whatever it does not make.
        raise _is_no_directory(path, made)
    raise error


def _is_file(session: Session, path: str) -> bool:
    try:
        entry = session.stat(path)
    except NameRefusedError:
        return False
    return entry is not None and entry.kind is Kind.FILE


def _is_no_directory(path: str, made: Reply) -> NameRefusedError:
    return NameRefusedError(
        f"{named(path)} is at the server already and is no directory: {made.text}",
        reply=made.text,
        remedy="Rename one of the two.",
    )
