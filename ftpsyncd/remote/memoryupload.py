"""The publishing cycle at a server in memory: content that others see grow under its temporary name, then the rename.

In: jobs. Out: their results, with the same errors and the same leftovers as the real cycle (`upload`) has. Called by
`memory.MemorySession`, whose commands it says.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from ftpsyncd.errors import (
    FileChangedError,
    FtpsyncdError,
    NameRefusedError,
    RemoteError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.remote.memorytree import MemoryFile
from ftpsyncd.remote.port import PublishJob, PublishResult
from ftpsyncd.remote.resume import REPEATED

if TYPE_CHECKING:
    from ftpsyncd.remote.memory import MemorySession


def publish(session: MemorySession, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
    """See `port.RemoteSession.publish`."""
    source = iter(jobs)
    while session.usable and (job := next(source, None)) is not None:
        yield _Upload(session, job).run()


class _Upload:
    """One file on its way."""

    def __init__(self, session: MemorySession, job: PublishJob) -> None:
        self._session = session
        self._server = session.server
        self._job = job
        self._stored = False
        """Something of the file is there."""
        self._touched = False
        """What was there may be."""
        self._arrived = False
        """The server has received all of it."""
        self._unanswered = False
        """The connection has ended under the removal of what was sent."""

    def run(self) -> PublishResult:
        """What became of it."""
        job, files, started = self._job, self._server.files, time.monotonic()
        before = job.path in files
        try:
            digest, dated, kept = self._publish()
        except FtpsyncdError as error:
            in_place = self._stored and job.temporary == job.path
            touched = self._touched and job.temporary == job.path
            gone = before and not in_place and (touched or job.path not in files)
            refused = isinstance(error, NameRefusedError) and not self._stored
            took_s = time.monotonic() - started
            result = PublishResult(job, error, duration_s=took_s, in_place=in_place, gone=gone, refused=refused)
            return result._replace(arrived=self._arrived, reached=self._stored, unanswered=self._unanswered)
        return PublishResult(job, None, digest, time.monotonic() - started, "226 Transfer complete.", dated, kept)

    def _publish(self) -> tuple[bytes, bool, int]:
        job, session = self._job, self._session
        session.require_sendable(job.path)
        session.require_sendable(job.temporary)
        if job.left:
            session.delete_many(job.left)
        with job.open() as file:
            if job.afresh and job.temporary == job.path:
                session.delete_many([job.path])
            try:
                digest, kept = self._store(file)
                session.do("SIZE", job.temporary, self._verified)
                dated = session.set_time(job.temporary, job.mtime_s)
                job.confirm(file, digest)
                if job.temporary != job.path:
                    session.rename(job.temporary, job.path)
            except FtpsyncdError as error:
                if not (job.keep_part and job.size >= self._server.resumable and type(error) is TransferFailedError):
                    self._discard()
                raise
        return digest, dated, kept

    def _store(self, file: BinaryIO) -> tuple[bytes, int]:
        """Send the content block by block; others see the file grow."""
        job, session, digest = self._job, self._session, hashlib.sha256()
        path = job.temporary
        part = self._take_over() if job.resume else None
        if path == job.path:
            job.exposed(False)  # noqa: FBT003 - the port's
        try:
            session.begin("STOR", path)
        except RemoteError as error:
            # Some servers have emptied it by then.
            self._touched = not isinstance(error, NameRefusedError)
            raise
        sent = kept = len(part.content) if part is not None and _ends_alike(part.content, file) else 0
        if kept:
            digest.update(file.read(kept))
        else:
            self._write(b"", 0, new=True)
        if sent < job.size >= self._server.resumable:
            (job.exposed if path == job.path else job.begun)(True)  # noqa: FBT003 - the port's
        try:
            for block in self._blocks(file, sent):
                digest.update(block)
                self._write(block, sent)
                sent += len(block)
                job.progress(sent)
            session.end("STOR", path)
        except BaseException as error:
            if path == job.path and (not session.usable or not isinstance(error, RemoteError)):
                job.exposed(True)  # noqa: FBT003 - the port's
            raise
        self._arrived = True
        return digest.digest(), kept

    def _blocks(self, file: BinaryIO, sent: int) -> Iterator[bytes]:
        """What is still to be sent."""
        size = self._job.size
        while sent < size:
            block = file.read(min(self._server.block, size - sent))
            if not block:
                raise FileChangedError(f"The file ended after {sent} of {size} bytes.")
            yield block
            sent += len(block)

    def _take_over(self) -> MemoryFile | None:
        """The part of an earlier try, under the name of this one."""
        job, session = self._job, self._session
        entries = zip(job.parts, session.stat_many(job.parts), strict=True)
        there = [part for part, entry in entries if entry is not None and 0 < (entry.size or 0) <= job.size]
        if there:
            with contextlib.suppress(NameRefusedError):  # somebody was faster
                session.rename(there[0], job.temporary)
        session.delete_many(job.parts)
        return self._server.files.get(job.temporary)

    def _write(self, block: bytes, offset: int, *, new: bool = False) -> None:
        server, path = self._server, self._job.temporary
        with server.lock:
            self._session.alive()
            if (refusal := server.unwritable(path)) is not None:
                raise refusal
            self._stored = True
            if (refusal := server.write(path, block, offset, new=new)) is not None:
                raise refusal

    def _verified(self) -> RemoteError | None:
        job, file = self._job, self._server.files.get(self._job.temporary)
        if file is None or len(file.content) != job.size:
            return VerificationError(f"The server does not hold the {job.size} bytes of {job.path!r}.")
        return None

    def _discard(self) -> None:
        job = self._job
        ours = self._stored or job.temporary != job.path
        if ours and self._session.usable and job.temporary in self._server.files:
            with contextlib.suppress(FtpsyncdError):
                self._session.delete_many([job.temporary])
            self._unanswered = not self._session.usable


def _ends_alike(part: bytes, file: BinaryIO) -> bool:
    """Whether the end of a part is the one that the file has there, which is at its beginning afterwards."""
    end = part[-REPEATED:]
    file.seek(len(part) - len(end))
    ours = file.read(len(end))
    file.seek(0)
    return ours == end
