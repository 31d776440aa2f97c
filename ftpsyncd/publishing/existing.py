"""What a server has already under the name of an upload: somebody's file, ours from before, or the same content.

In: a session and the uploads of one worker, from `publish`. Out: which of them need not be sent, or must not.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ftpsyncd.actions import Did, Done, Sweep, Upload
from ftpsyncd.core import names, sizes
from ftpsyncd.errors import (
    FtpsyncdError,
    LocalError,
    NameNotSendableError,
    NameRefusedError,
    PlaceTakenError,
    RemoteError,
    Retry,
    TransferFailedError,
)
from ftpsyncd.model import Fingerprint, Kind
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.publishing.lastlook import Folder, open_planned, require_planned, require_same
from ftpsyncd.remote import facts, hashes
from ftpsyncd.remote.port import PartlyListedError, RemoteEntry, RemoteSession
from ftpsyncd.specs import ExistingPolicy, PublishMode

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

COMPARED = 1024 * 1024
"""Of what a broken transfer left, so much of its end is fetched to see whether it is ours."""
BEGINNING = 64 * 1024
"""Bytes that are fetched to see whether a file has a hole there."""
_FRESH_DIRECTORIES = 10_000
_UNKNOWN = RemoteEntry("", Kind.OTHER, None, None)
"""Nobody has told what is there."""


class _EnoughError(Exception):
    """The rest is not needed."""


class _Beginning(io.BytesIO):
    """Takes `BEGINNING` bytes and no more."""

    def write(self, data: Buffer, /) -> int:
        count = super().write(data)
        if self.tell() > BEGINNING:
            raise _EnoughError
        return count


class FreshDirectories:
    """Remote directories that were made empty by us: nothing foreign needs to be looked for in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Remember a directory; the oldest is forgotten when there are too many."""
        with self._lock:
            self._paths[path] = None
            while len(self._paths) > _FRESH_DIRECTORIES:
                del self._paths[next(iter(self._paths))]

    def __contains__(self, path: str) -> bool:
        with self._lock:
            return path in self._paths

    def clear(self) -> None:
        """Forget all: the server may have been changed by somebody."""
        with self._lock:
            self._paths.clear()


class Existing:
    """Looks for one worker at what is there.

    Args:
        folder: the mapping of this name.
        fresh: shared by the workers of a server.
    """

    def __init__(self, folder: Callable[[str], Folder], fresh: FreshDirectories) -> None:
        self._folder = folder
        self._fresh = fresh

    def may_be_foreign(self, upload: Upload) -> bool:
        """Whether something that we never published has to be looked for under the name of an upload."""
        spec = self._folder(upload.mapping).spec
        if upload.replaces or spec.existing is ExistingPolicy.OVERWRITE:
            return False
        return spec.existing is ExistingPolicy.KEEP or parent(remote_join(spec.remote, upload.path)) not in self._fresh

    def is_free(self, upload: Upload) -> bool:
        """Whether it is known without a look that nothing foreign can be under the name of an upload."""
        return upload.replaces or parent(self._remote(upload.mapping, upload.path)) in self._fresh

    def look(self, session: RemoteSession, uploads: Sequence[Upload]) -> list[RemoteEntry | FtpsyncdError | None]:
        """What is at the server under the names of files that we never published."""
        asked = [i for i, upload in enumerate(uploads) if self.may_be_foreign(upload)]
        found: list[RemoteEntry | FtpsyncdError | None] = [None] * len(uploads)
        try:
            paths = [self._remote(uploads[i].mapping, uploads[i].path) for i in asked]
            for i, entry in zip(asked, session.stat_many(paths) if paths else [], strict=True):
                found[i] = entry
        except FtpsyncdError as error:
            if not session.usable:
                return [error] * len(uploads)
            kept = [self._folder(upload.mapping).spec.existing is ExistingPolicy.KEEP for upload in uploads]
            if len(uploads) == 1 and (kept[0] or not isinstance(error, NameRefusedError)):
                return [error]
            if isinstance(error, NameNotSendableError):
                # Nothing was said yet: its neighbours are asked for without it, and not all sent again because of it.
                half = len(uploads) // 2
                return [*self.look(session, uploads[:half]), *self.look(session, uploads[half:])]
            # A name that the server does not tell of must not fail its neighbours, nor cost them their protection.
            # Where one may only write, it tells of none: what may be replaced is sent.
            pairs = zip(uploads, kept, strict=True)
            return [self.look(session, [upload])[0] if stays else _UNKNOWN for upload, stays in pairs]
        return found

    def keeps(self, upload: Upload) -> bool:
        """Whether what is under the name of an upload has to stay there, also what came after a look."""
        return self._folder(upload.mapping).spec.existing is ExistingPolicy.KEEP and self.may_be_foreign(upload)

    def needless(self, session: RemoteSession, upload: Upload, there: RemoteEntry | None) -> Done | None:
        """An outcome if nothing has to be sent, else None."""
        spec = self._folder(upload.mapping).spec
        if there is not None:
            if spec.existing is ExistingPolicy.KEEP and ours_of(there, upload.ours) is None:
                if self._is_our_own(session, upload, there) or _is_of_another_content(there, upload):
                    return None
                require_planned(spec, upload.path, upload.fingerprint)
                return Done(upload, Did.KEPT, upload.fingerprint)
            if _is(there, upload.fingerprint):
                # If it is not here any more, its row would be found gone, and the file deleted at the server.
                ctime_ns = require_planned(spec, upload.path, upload.fingerprint)
                # Under this name it may be another file, which would be deleted with this one.
                session.assure(self._remote(upload.mapping, upload.path))
                return Done(upload, Did.ADOPTED, upload.fingerprint, ctime_ns=ctime_ns)
        if not upload.known_sha256:
            return None
        file, ctime_ns = open_planned(spec, upload)
        with file:
            if hashes.of_file("SHA-256", file, session.noop) != upload.known_sha256.hex():
                return None
            require_same(file, spec, upload, ctime_ns, upload.known_sha256, session.noop)
        remote = self._remote(upload.mapping, upload.path)
        session.assure(remote)
        # The date at the server follows; should the file be gone from there, or be cut, it has to be sent after all.
        seen = session.stat(remote)
        if seen is None or seen.kind is not Kind.FILE or not sizes.fits(seen.size, upload.fingerprint.size):
            return None
        session.set_time(remote, upload.fingerprint.mtime_ns // 10**9)
        return Done(upload, Did.UNCHANGED, upload.fingerprint, upload.known_sha256, ctime_ns=ctime_ns)

    def _is_our_own(self, session: RemoteSession, upload: Upload, there: RemoteEntry) -> bool:
        """Whether what is there is what an earlier try sent of this file: all of it, or a part under its final name.

        All of it may have got there without its date, which comes after it, or which the server cannot set. The file is
        like that, or begins so, so that nothing is lost even if somebody else has put it there.
        """
        spec, remote, size = self._folder(upload.mapping).spec, self._remote(upload.mapping, upload.path), there.size
        if upload.fingerprint not in upload.ours or there.kind is not Kind.FILE or size is None:
            return False
        if sizes.tells(size, upload.fingerprint.size):
            size = upload.fingerprint.size
        elif size > upload.fingerprint.size or (spec.publish is not PublishMode.DIRECT and session.hides(remote)):
            return False
        offset, end = max(0, size - COMPARED), io.BytesIO()
        try:
            if size:
                session.fetch(remote, end, offset=offset)
        except RemoteError as error:
            # One may not read there, or not begin in the middle: nothing is known. What broke is tried again.
            if not session.usable or _broke(error):
                raise
            return False
        with open_planned(spec, upload)[0] as file:
            file.seek(offset)
            return file.read(size - offset) == end.getvalue()

    def is_still_published(self, session: RemoteSession, path: str, sweep: Sweep) -> bool:
        """Whether the server has what was published after an earlier try had been cut off, as far as that can be told.

        It has to have the size. What was sent under a temporary name needs the date besides; if that differs, the
        server may be one that cannot set dates, and the beginning decides. What was sent under its final name needs all
        three: if the earlier try emptied the file while the later one was sent, there is a hole at its beginning,
        although size and date are right. If the server cannot set dates, the file is sent once too often. For a large
        file, the look at its beginning ends the session.

        Args:
            session: to ask with.
            path: absolute remote path.
            sweep: which has the fingerprint.
        """
        spec, published = self._folder(sweep.mapping).spec, sweep.published
        there = session.stat(path)
        if published is None or there is None or there.kind is not Kind.FILE:
            return False
        if not sizes.fits(there.size, published.size):
            return False
        dated = there.mtime_s in {None, published.mtime_ns // 10**9}
        if dated is (sweep.exposed is None):
            return dated
        beginning = _Beginning()
        try:
            with open_planned(spec, Upload(sweep.mapping, sweep.path, published))[0] as file:
                with contextlib.suppress(_EnoughError):
                    session.fetch(path, beginning)
                return file.read(BEGINNING) == beginning.getvalue()[:BEGINNING]
        except LocalError:
            # It is another one by now, which is published anyway.
            return True
        except RemoteError as error:
            # One may not read there: size and date have to do. What broke is no such refusal: it is asked again.
            if not session.usable or error.retry is Retry.SERVER or _broke(error):
                raise
            return True

    def _remote(self, mapping: str, path: str) -> str:
        return remote_join(self._folder(mapping).spec.remote, path)


def _broke(error: RemoteError) -> bool:
    """Whether a look at a file was broken off, and not refused (proftpd: 451 where one may not begin in the middle)."""
    return isinstance(error, TransferFailedError) and error.broke


def require_vacant(session: RemoteSession, path: str, temporary: str = "") -> None:
    """Nothing has come to the place of a file since that was looked at.

    Args:
        session: to ask with.
        path: absolute remote path.
        temporary: the file was sent under this name. Where the server renames nothing, it was not, and what is at its
            place is what was sent.

    Raises:
        PlaceTakenError: something has.
    """
    there, *sent = session.stat_many([path, temporary] if temporary else [path])
    if there is not None and None not in sent:
        raise PlaceTakenError("The server has a file of this name since it was asked.")


def ours_of(there: RemoteEntry, brought: Sequence[Fingerprint]) -> Fingerprint | None:
    """Which file that an interrupted action of ours was to bring the server has, if it has one of them.

    Its disk may keep even seconds only (FAT). Where nothing of ours was under way, no such date is taken for another.
    """
    return next(
        (
            each
            for each in brought
            if facts.is_date(there.mtime_s, each.mtime_ns // 10**9) and sizes.tells(there.size, each.size)
        ),
        None,
    )


def _is(there: RemoteEntry, brought: Fingerprint) -> bool:
    """Whether a file at the server is a local one, by size and date."""
    return there.mtime_s == brought.mtime_ns // 10**9 and sizes.tells(there.size, brought.size)


def _is_of_another_content(there: RemoteEntry, upload: Upload) -> bool:
    """Whether what is there is, by size and date, of an earlier content that was sent under the final name.

    That one is not here any more, to be compared.
    """
    exposed = upload.exposed
    if exposed is None or upload.fingerprint in upload.ours:
        return False
    if there.kind is not Kind.FILE or not exposed.dates(there.mtime_s):
        return False
    return exposed.may_have_left(there.size, there.mtime_s) or any(
        sizes.tells(there.size, each.size) for each in upload.ours
    )


def swept(there: RemoteEntry, sweep: Sweep, *, hidden: bool) -> Did | Fingerprint:
    """What is to become of a file that has the name of one whose upload was interrupted.

    Args:
        there: the file.
        sweep: of that upload.
        hidden: it was sent under another name, so that no part of it can be here.

    Returns:
        Which of ours it is; DELETED: it is a part of one, and has to go; KEPT: it may be a part, or somebody else's;
        SWEPT: it is somebody else's.
    """
    ours, exposed = ours_of(there, sweep.fingerprints), sweep.exposed
    if ours is not None:
        return ours
    if exposed is not None and exposed.dates(there.mtime_s):
        # One that is whole may not have been given its date any more.
        whole = next((each for each in sweep.fingerprints if sizes.tells(there.size, each.size)), None)
        if whole is not None:
            return whole
        if exposed.may_have_left(there.size, there.mtime_s):
            return Did.DELETED
    if exposed is None and hidden:
        return Did.SWEPT
    largest = max((exposed.size if exposed is not None else 0, *(each.size for each in sweep.fingerprints)))
    return Did.KEPT if there.size is None or there.size <= largest else Did.SWEPT


def old_version(session: RemoteSession, temporary: str, remote: str) -> list[str]:
    """What was moved aside for a file whose upload was interrupted right then, if it has to go.

    It gets its name back where the server has no other version, also if the file is not here: its disk may not be
    mounted, and a delete waits, is counted and may be held. Should that come first, this goes with it. One whose name
    nobody knows any more stays then: it may be all that there is of the file. (A next version that has to be moved
    over another one takes it away.)

    Args:
        session: to look with.
        temporary: under which name the upload was sent.
        remote: of the file; the same name, if only that is known: if it has lost its end, nobody knows the file's.
    """
    if remote == temporary and names.may_be_cut(temporary):
        return _replaced(session, names.final(temporary))
    file = names.final(temporary) if remote == temporary else remote
    aside = names.aside(file)
    if temporary == aside:
        return []  # it is swept itself: the new version was published
    there, old = session.stat_many([file, aside])
    if old is None:
        return []
    if there is None:
        session.rename(aside, file)
        return []
    return [aside]


def _replaced(session: RemoteSession, beginning: str) -> list[str]:
    """Old versions that the server lists beside the newer ones, of files whose paths begin so; any other stays."""
    directory = parent(beginning)
    try:
        there = session.list_dir(directory or "/", dated=False)
    except PartlyListedError as error:
        there = error.entries
    except NameRefusedError:
        return []
    files = {f"{directory}/{entry.name}" for entry in there if entry.kind is Kind.FILE}
    newer = (path for path in files if path.startswith(beginning) and names.final(path) == path)
    return [aside for path in newer if (aside := names.aside(path)) in files]
