"""Experiments at a server with small files of our own: what FEAT does not tell, or tells wrongly.

Each leaves nothing behind as long as the session lives; what one that ended has left is noted (`scratch`). `resume`
needs the answers before it continues a file for the first time, `outgoing` when a rename is refused, `removing` before
a directory is removed; `probe` asks for most of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ftpsyncd.core import names
from ftpsyncd.errors import (
    FtpsyncdError,
    InUseError,
    NameRefusedError,
    NotSupportedError,
    RemoteError,
    ServerFullError,
    TooManyTransfersError,
    TransferFailedError,
)
from ftpsyncd.paths import basename, parent
from ftpsyncd.remote import facts, hashes, renaming, replies, scratch
from ftpsyncd.remote.port import RemoteSession
from ftpsyncd.remote.profile import Beyond, Hashing, Removing, Resuming, stores_beside
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.transfer import deliver

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

CONTENT = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(160))
"""5,120 bytes in which no part looks like another, and no zeros like content."""
PART = 3000
"""So much of it is there when it is continued."""
INSIDE = 2000
"""Where REST continues: before the end, as `resume` does it."""
GAP = 1000
"""How far beyond the end a REST is tried."""
FORBIDDEN = (NameRefusedError, NotSupportedError)
"""What a rename may be refused with where none is allowed; those derived from them are about the names."""
NOT_KNOWN = frozenset({500, 502, 504})
"""Replies that are about a command, whatever it is to be done to (RFC 959 §4.2)."""
_PASSING = frozenset({425, 450})
"""Refusals that pass; proftpd says 451 where it is told to let nothing be continued."""
_OF_THE_MOMENT = (InUseError, ServerFullError)
MOST_TRIALS = 2
"""A server that ends the session so often under a trial is not tried again."""


@contextmanager
def small_file(session: Session, path: str) -> Iterator[str]:
    """A small file of our own under this path, or another one beside it; what is there afterwards is removed."""
    path = scratch.free(session, path)
    with scratch.noted(session, [("DELE", path)]):
        try:
            yield path
        finally:
            if session.usable:
                with contextlib.suppress(FtpsyncdError):
                    session.delete_many([path])


def make_missing(session: RemoteSession, directory: str, made: list[str]) -> None:
    """Make the directories that are not there, from the top.

    Args:
        session: at the server.
        directory: the lowest one.
        made: takes those that were made, or may have been when the session ended.

    Raises:
        RemoteError: that is refused, and what was made is removed; or the session ended.
    """
    missing: list[str] = []
    while directory.strip("/") and not _is_seen(session, directory):
        missing.insert(0, directory)
        directory = parent(directory)
    try:
        for each in missing:
            made.append(each)
            if not session.make_dir(each):
                made.pop()
    except FtpsyncdError:
        if session.usable:
            made.pop()
            while made:
                session.remove_dir(made.pop())
        raise


def _is_seen(session: RemoteSession, directory: str) -> bool:
    """Whether it is there; False also where nobody may look: to make what is there already is no error."""
    try:
        return session.stat(directory) is not None
    except NameRefusedError:
        return False


def holds(session: Session, path: str, content: bytes) -> bool:
    """Whether a file at the server is exactly this, by its hash or, without one, by fetching it."""
    size = facts.parse_size(session.exchange([session.command("SIZE", path)])[0])
    if size != len(content):
        return False
    if session.profile.hashing:
        told = hashes.ask(session, session.profile.hashing, path, len(content))
        return told is not None and told.digits == hashes.of_bytes(told.algorithm, content)
    into = io.BytesIO()
    try:
        session.fetch(path, into)
    except RemoteError:
        # An account that may not read, for instance: then nothing is known.
        if not session.usable:
            raise
        return False
    return into.getvalue() == content


def learn_resuming(session: Session, path: str) -> None:
    """Find out how the server continues a file and tells hashes; the profile remembers both.

    A server that cannot be tried now, because it is full for instance, is tried another time.

    Args:
        session: at the server.
        path: of the small file; who calls sees to what is left of it when this process ends.

    Raises:
        RemoteError: the session ended.
    """
    profile = session.profile
    ended = profile.trials
    try:
        with small_file(session, path) as ours:
            if not deliver(session, session.command("STOR", ours), CONTENT[:PART]).good:
                return
            profile.hashing = hashing(session, ours, CONTENT[:PART])
            profile.resuming = resuming(session, ours)
    except RemoteError as error:
        if not session.usable and not isinstance(error, TooManyTransfersError):
            # A cut line ends those of several sessions, which counts once.
            profile.trials = ended + 1
            if profile.trials >= MOST_TRIALS:
                profile.resuming = Resuming.NONE
        raise


def learn_renaming(session: Session, path: str, other: str) -> None:
    """Find out whether the server renames anything in a directory; the profile remembers if not, the session if so.

    A server that cannot be tried now, because it is full for instance, is tried another time.

    Args:
        session: at the server.
        path: of the small file, in that directory.
        other: its other name, there as well.

    Raises:
        RemoteError: the session ended.
    """
    with small_file(session, path) as source, small_file(session, other) as target:
        session.delete_many([target])
        if not deliver(session, session.command("STOR", source), CONTENT[:PART]).good:
            return
        reply = renaming.one_by_one(session, source, target)
        if reply.good:
            session.renames = True
        elif reply.code in NOT_KNOWN:
            session.profile.renames = False
        elif forbids_renaming(session, reply) or (
            reply.code == 530 and type(session.refusal(reply, "RNTO", other)) in FORBIDDEN
        ):
            session.profile.refuses_renames(path.rpartition("/")[0])


def may_store_beside(session: Session, final: str) -> bool:
    """Whether it has to be found out (`learn_storing`) before a file is sent under its final name, since one is there.

    On one that is not there nothing depends, and the files before it need not be ended for a trial.

    Raises:
        RemoteError: the session ended.
    """
    unknown = session.profile.stores_over is None and stores_beside(session.greeting)
    return unknown and session.exchange([session.command("SIZE", final)])[0].good


def learn_storing(session: Session, final: str) -> None:
    """Find out whether STOR replaces a file, before one that is there is to be; the profile remembers it.

    pure-ftpd with ``AutoRename`` (``-r``) leaves it as it is, stores ``NAME.1`` beside it, and confirms as ever: what
    was to replace a file under its final name would be taken for published where the two have the same size.
    A server that cannot be tried now is tried another time.

    Args:
        session: at the server.
        final: the path of that file.

    Raises:
        RemoteError: the session ended.
    """
    path = scratch.free(session, names.trial(final))
    beside = f"{path}.1"
    with scratch.noted(session, [("DELE", path), ("DELE", beside)]):
        try:
            store = session.command("STOR", path)
            if all(deliver(session, store, CONTENT[:size]).good for size in (PART, INSIDE)):
                size = facts.parse_size(session.exchange([session.command("SIZE", path)])[0])
                session.profile.stores_over = size != PART
        finally:
            if session.usable:
                session.delete_many([path, beside])


def forbids_renaming(session: Session, reply: Reply) -> bool:
    """Whether a rename of a file that is there to a name that is free is refused for good: no command, or no right."""
    return type(replies.error_of(reply, "RNTO", "", session.account.spec.encoding)) in FORBIDDEN


def learn_removing(session: Session, path: str) -> None:
    """Find out what RMD does to a directory that holds something; the profile remembers it.

    Until that is known it is believed to remove what is in it. Where nothing can be stored, or the session ends, it is
    tried another time; not for ever, if each ends.

    Args:
        session: at the server.
        path: of a directory of our own.

    Raises:
        NameNotSendableError: a name is too long for the server; nothing was tried.
        RemoteError: the session ended.
    """
    profile, path = session.profile, scratch.free(session, path)
    ours = [f"{path}/{basename(path)}", names.temporary(path, "")]
    make, *store = session.command("MKD", path), *(session.command("STOR", each) for each in ours)
    profile.removing = Removing.EMPTIES
    try:
        with scratch.noted(session, [*(("DELE", each) for each in ours), ("RMD", path)]):
            try:
                session.exchange([make])
                stored = all(deliver(session, each, CONTENT[:PART]).good for each in store)
                found = _removing(session, path, ours) if stored else None
            finally:
                if session.usable:
                    session.exchange([session.command("DELE", each) for each in ours])
                    _removed(session, path)
        # Not before: what is left where this process ends under that goes with the next try.
        profile.removing = found
    except RemoteError as error:
        profile.removing_missed += not isinstance(error, TooManyTransfersError)
        if profile.removing_missed < MOST_TRIALS:
            profile.removing = None
        raise


def _removing(session: Session, path: str, ours: list[str]) -> Removing:
    """What RMD does to a directory in which, and beside which, there is a small file."""
    if not all(_whole(session, ours)):
        return Removing.EMPTIES
    gone = _removed(session, path)
    inside, beside = _whole(session, ours)
    if not beside:
        return Removing.BEYOND
    return Removing.REFUSES if inside and not gone else Removing.EMPTIES


def _whole(session: Session, paths: list[str]) -> list[bool]:
    """Which of the small files are there."""
    answers = session.exchange([session.command("SIZE", path) for path in paths])
    return [facts.parse_size(answer) == PART for answer in answers]


def _removed(session: Session, path: str) -> bool:
    session.account.moves += 1
    return session.exchange([session.command("RMD", path)])[0].good


def hashing(session: Session, path: str, content: bytes) -> Hashing:
    """The first way that tells the hash of a file that is there."""
    for way in hashes.offered(session.profile.features):
        told = hashes.ask(session, way, path, len(content))
        if told is not None and told.digits == hashes.of_bytes(told.algorithm, content):
            return way
    return Hashing.NONE


def resuming(session: Session, path: str) -> Resuming | None:
    """The first way that continues a file correctly; None: that cannot be told now. `path` is overwritten."""
    for way in (Resuming.REST, Resuming.APPE):
        does = continues(session, way, path)
        if does is not False:
            return way if does else None
    return Resuming.NONE


def continues(session: Session, way: Resuming, path: str) -> bool | None:
    """Whether a file of which a part is there becomes the whole, byte for byte; None: that cannot be told now.

    The server may have no space, no port, or a program that looks for viruses in what has just come.
    """
    stored = _stored(session, path)
    if not stored.good:
        return None if _passes(session, stored) else False
    if way is Resuming.REST:
        reply = deliver(session, session.command("STOR", path), CONTENT[INSIDE:], rest=INSIDE)
    else:
        reply = deliver(session, session.command("APPE", path), CONTENT[PART:])
    if not reply.good:
        return None if _passes(session, reply) else False
    return holds(session, path, CONTENT)


def _stored(session: Session, path: str) -> Reply:
    """Store the part anew; what is there is deleted first where the server may store another one beside it."""
    if stores_beside(session.greeting):
        session.delete_many([path])
    return deliver(session, session.command("STOR", path), CONTENT[:PART])


def _passes(session: Session, refusal: Reply) -> bool:
    """Whether it says nothing about another time."""
    error = session.error(refusal, "STOR")
    broke = isinstance(error, TransferFailedError) and error.broke
    return broke or refusal.code in _PASSING or isinstance(error, _OF_THE_MOMENT)


def beyond(session: Session, path: str) -> Beyond:
    """What a REST beyond the end of a file does; `path` is overwritten."""
    _stored(session, path)
    reply = deliver(session, session.command("STOR", path), CONTENT[:GAP], rest=PART + GAP)
    size = facts.parse_size(session.exchange([session.command("SIZE", path)])[0])
    if not reply.good:
        return Beyond.REFUSED
    if size == PART + GAP:
        return Beyond.APPENDED
    return Beyond.ZEROS if size == PART + 2 * GAP else Beyond.OTHER
