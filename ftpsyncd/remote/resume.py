"""Continuing a large upload that broke: how much of it is at the server, and whether the result is right.

`upload` asks before it sends and after. Nothing is continued blindly: the caller vouches that the temporary file holds
a part of this very content, the server has shown with a small file that it continues correctly, SIZE is asked before
and after, and where the server tells hashes, the whole file's is compared before it gets its final name.

Sources: RFC 3659 §5 (REST), RFC 959 §4.1.3 (APPE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import FileChangedError, VerificationError
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, hashes, renaming, trials
from ftpsyncd.remote.port import RESUMABLE, PublishJob
from ftpsyncd.remote.profile import Hashing, Resuming

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

REPEATED = 1024 * 1024
"""Bytes before the end of a part that are sent again: what a server wrote last before it crashed may be zeros."""


class Kept(NamedTuple):
    """What need not be sent again."""

    size: int = 0
    way: Resuming = Resuming.NONE
    """How to continue behind it; NONE: nothing is kept, or nothing is missing."""


NOTHING = Kept()


def worthwhile(session: Session, job: PublishJob) -> bool:
    """Whether a part of this file would be continued later, so that it may stay at the server."""
    return job.keep_part and job.size >= RESUMABLE and session.profile.resuming is not Resuming.NONE


def take_over(session: Session, job: PublishJob) -> Kept:
    """How much of the file is there from an earlier try and can stay; it has the temporary name of this one afterwards.

    May use data connections of its own.

    Raises:
        RemoteError: the session ended.
    """
    places = [*job.parts, job.temporary]
    sizes = [0 for _ in places]
    if session.profile.size:
        answers = session.exchange([session.command("SIZE", place) for place in places])
        sizes = [facts.parse_size(answer) or 0 for answer in answers]
    part = next((place for place, size in zip(places, sizes, strict=True) if REPEATED < size <= job.size), "")
    kept = _kept(session, job, sizes[places.index(part)]) if part else NOTHING
    if kept.size and part != job.temporary and not _renamed(session, part, job.temporary):
        kept = NOTHING
    # Whoever sent them last may still give them their final name: they go before anything is sent. So does what is not
    # continued under the name of this try: proftpd may be told to let nothing be written over.
    others = [place for place in job.parts if place != part] if kept.size else places
    if others:
        session.delete_many(others)
    return kept


def _renamed(session: Session, part: str, temporary: str) -> bool:
    *_, ended = session.exchange(renaming.commands(session, part, temporary))
    return ended.good


def _kept(session: Session, job: PublishJob, there: int) -> Kept:
    profile = session.profile
    if profile.hashing is None and not hashes.offered(profile.features):
        profile.hashing = Hashing.NONE
    if profile.hashing is None or (profile.resuming is None and not (profile.hashing and there == job.size)):
        trials.learn_resuming(session, names.trial(job.temporary))
    if there == job.size and (profile.hashing or profile.resuming is not Resuming.REST):
        return Kept(there)
    if profile.resuming is Resuming.REST:
        # Inside the file: beyond its end some servers put zeros.
        return Kept(there - REPEATED, Resuming.REST)
    # Behind more than the server tells, what is appended would be in the wrong place, and the size would not show it.
    appends = profile.resuming is Resuming.APPE and not sizes.may_be_more(there, job.size)
    return Kept(there, Resuming.APPE) if appends else NOTHING


def hash_ahead(session: Session, file: BinaryIO, digest: Any, size: int) -> None:
    """Read what is not sent again into the digest.

    Raises:
        FileChangedError: the file is shorter.
        LocalUnreadableError: it cannot be read.
        RemoteError: the session ended.
    """
    done = 0
    for block in hashes.blocks(file, session.noop, size):
        digest.update(block)
        done += len(block)
    if done < size:
        raise FileChangedError(f"The file ended after {done} of {size} bytes.")


def verify(session: Session, job: PublishJob, file: BinaryIO, sha256: str) -> None:
    """Compare hashes, where the server tells them: a file that was not sent in one piece is right as a whole.

    Raises:
        VerificationError: it is not. Files are sent whole to this server from now on.
        LocalUnreadableError: the local file cannot be read.
        RemoteError: the session ended.
    """
    way = session.profile.hashing
    if not way:
        return
    told = hashes.ask(session, way, job.temporary, job.size)
    if told is None:
        # It refuses for a file of this size: what was tried with a small one has to do.
        return
    ours = sha256 if told.algorithm == "SHA-256" else hashes.of_file(told.algorithm, file, session.noop)
    if told.digits != ours:
        session.profile.resuming = Resuming.NONE
        raise VerificationError(
            f"The server's {told.algorithm} of {named(job.path)}, not sent in one piece, is not that of the file.",
            remedy="It is sent whole.",
        )
