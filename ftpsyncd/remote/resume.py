"""Continuing a large upload that broke: how much of it is at the server, and whether the result is right.

`upload` asks before it sends and after. Nothing is continued blindly: the caller vouches that the temporary file holds
a part of this very content, the server has shown with a small file that it continues correctly, SIZE is asked before
and after, the end of a part is sent again or compared, and where the server tells hashes, the whole file's is compared
before it gets its final name.

Sources: RFC 3659 §5 (REST), RFC 959 §4.1.3 (APPE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import FileChangedError, RemoteError, TransferFailedError, VerificationError
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, hashes, renaming, trials
from ftpsyncd.remote.port import RESUMABLE, PublishJob
from ftpsyncd.remote.profile import Hashing, Resuming

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

REPEATED = 1024 * 1024
"""Bytes before the end of a part that are sent again, or compared: what a server wrote last before it crashed may be
zeros."""


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
    if profile.hashing is None or profile.resuming is None:
        trials.learn_resuming(session, names.trial(job.temporary))
    if profile.resuming is Resuming.REST:
        # Inside the file: beyond its end some servers put zeros.
        return Kept(there - REPEATED, Resuming.REST)
    if there == job.size:
        return Kept(there)
    # Behind more than the server tells, what is appended would be in the wrong place, and the size would not show it.
    appends = profile.resuming is Resuming.APPE and not sizes.may_be_more(there, job.size)
    return Kept(there, Resuming.APPE) if appends else NOTHING


class _End:
    """Takes the end of a part, and no more than that: a server may send all of the file whatever REST says."""

    def __init__(self) -> None:
        self.came = bytearray()

    def write(self, block: bytes) -> None:
        self.came += block
        if len(self.came) > REPEATED:
            raise TransferFailedError("The server sent more than the end of the file.")


def proven(session: Session, job: PublishJob, file: BinaryIO, kept: Kept) -> Kept:
    """What can stay of what was taken over: an end that is not sent again has to be the one that the file has there.

    If it is not, or cannot be fetched, the part is deleted. The file is at its beginning afterwards.

    Raises:
        LocalUnreadableError: the local file cannot be read.
        RemoteError: the session ended.
    """
    if not kept.size or kept.way is Resuming.REST or _ends_alike(session, job, file, kept.size):
        return kept
    session.delete_many([job.temporary])
    return NOTHING


def _ends_alike(session: Session, job: PublishJob, file: BinaryIO, size: int) -> bool:
    profile, end = session.profile, _End()
    ended = profile.trials
    if ended >= trials.MOST_TRIALS:
        return False
    try:
        session.fetch(job.temporary, end, offset=size - REPEATED)
    except RemoteError:
        if not session.usable:
            profile.trials = ended + 1
            raise
        # Where nothing was sent, the next transfer would begin there: ftp-srv forgets a REST by a transfer only.
        session.exchange([b"REST 0"])
        return False
    profile.trials = 0
    file.seek(size - REPEATED)
    ours = b"".join(bytes(block) for block in hashes.blocks(file, session.noop, REPEATED))
    file.seek(0)
    return end.came == ours


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
