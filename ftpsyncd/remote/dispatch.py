"""Sending by hand: one file, several, a whole directory, with nothing left at the server of what is broken off.

Called by `library`; the daemon's files go through `ftpsyncd.publishing.publish`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    LocalUnreadableError,
    MisuseError,
    NameRefusedError,
    PathsRefusedError,
)
from ftpsyncd.model import Exposure
from ftpsyncd.paths import remote_join
from ftpsyncd.quoting import named
from ftpsyncd.remote import localfile
from ftpsyncd.remote.arguments import LocalPath, local_path, pair, remote_file
from ftpsyncd.remote.line import Line
from ftpsyncd.remote.port import PublishJob, PublishResult
from ftpsyncd.remote.trees import DEEPEST, Moved, Step, TreeResult


def one(line: Line, path: Path, remote: str, *, overwrite: bool, progress: Callable[[int], None]) -> PublishResult:
    """See `library.Ftp.upload`."""
    job = _job(line, path, remote, overwrite=overwrite, progress=lambda sent, _size: progress(sent))
    line.ready()
    if not overwrite and line.told(lambda session: session.stat(remote)) is not None:
        raise localfile.taken(remote)
    (result,) = _publish(line, [job])
    if result.error is not None:
        raise result.error
    return result


@dataclass(frozen=True, slots=True)
class Sending:
    """Send many files.

    Args:
        line: the connection.
        overwrite: replace files that are there.
        moved: progress.
    """

    line: Line
    overwrite: bool
    moved: Moved

    def tree(self, local: Path, remote: str, depth: int = 0) -> Generator[TreeResult, None, None]:
        """See `library.Ftp.upload_tree`."""
        self.line.ready()
        if depth > DEEPEST:
            raise NameRefusedError(f"{named(local)} is more than {DEEPEST} directories deep.", remedy="")
        found = _folder(local)
        if remote.strip("/"):
            self.line.told(lambda session: session.make_dir(remote))
        for name in found.others:
            yield TreeResult(remote_join(remote, name), Step.SKIPPED, note="a symbolic link or no regular file")
        yield from self.files((local / name, remote_join(remote, name)) for name in found.files)
        for name in found.dirs:
            target = remote_join(remote, name)
            try:
                yield from self.tree(local / name, target, depth + 1)
            except FtpsyncdError as error:
                if not self.line.session.usable:
                    raise
                yield TreeResult(target, Step.FAILED, error=error)

    def files(self, pairs: Iterable[tuple[LocalPath, str]]) -> Generator[TreeResult, None, None]:
        """See `library.Ftp.upload_many`."""
        self.line.ready()
        refused: deque[tuple[int, TreeResult]] = deque()
        begun = 0

        def jobs() -> Iterator[PublishJob]:
            nonlocal begun
            for each in pairs:
                path, remote = pair(each)
                try:
                    job = self._next(path, remote, begun=begun > 0)
                except MisuseError:
                    raise
                except FtpsyncdError as error:
                    if not self.line.session.usable:
                        raise
                    refused.append((begun, TreeResult(remote, Step.FAILED, error=error)))
                else:
                    begun += 1
                    yield job

        for before, result in enumerate(_publish(self.line, jobs())):
            # The next file is looked at before the last one is done: results come in the order of the files.
            while refused and refused[0][0] <= before:
                yield refused.popleft()[1]
            if result.error is not None and not self.line.session.usable:
                raise result.error
            step = Step.SENT if result.error is None else Step.FAILED
            yield TreeResult(result.job.path, step, result.job.size, result.error)
        yield from (result for _, result in refused)

    def _next(self, path: LocalPath, remote: str, *, begun: bool) -> PublishJob:
        source, target = local_path(path, LocalUnreadableError), remote_file(remote)
        line = self.line
        if not self.overwrite:
            # Once it has begun, on the connection that goes on to send: no other one takes its place between two files.
            there = line.session.stat(target) if begun else line.told(lambda session: session.stat(target))
            if there is not None:
                raise localfile.taken(target)
        return _job(line, source, target, overwrite=self.overwrite, progress=partial(self.moved, target))


def _job(line: Line, path: Path, remote: str, *, overwrite: bool, progress: Callable[[int, int], None]) -> PublishJob:
    return localfile.job(lambda: line.session, path, remote, overwrite=overwrite, progress=progress)


@dataclass(slots=True)
class _Begun:
    """What is begun at the server and not ended yet: nothing of it is to stay.

    A process that is forked meanwhile leaves it to its parent.

    Args:
        line: the connection.
    """

    line: Line
    temporaries: set[str] = field(default_factory=set)
    torn: dict[str, Exposure] = field(default_factory=dict)
    """What is sent under its final name, where the server renames nothing: a part of it may be seen there."""
    failed: dict[str, FtpsyncdError] = field(default_factory=dict)
    """Why it was broken off; the error says, too, where a part may be seen."""
    process: int = field(default_factory=os.getpid)

    def noted(self, job: PublishJob) -> PublishJob:
        """A job that is begun now."""
        began_ns = time.time_ns()

        def expose(begun: bool) -> None:  # noqa: FBT001 - the port's
            if begun:
                self.torn[job.path] = Exposure(job.size, began_ns)

        self.temporaries.add(job.temporary)
        return job._replace(exposed=expose)

    def end(self, job: PublishJob) -> None:
        """The file has its name, or nothing of it is there any more."""
        self.temporaries.discard(job.temporary)
        self.torn.pop(job.path, None)

    def take_back(self) -> None:
        """Nobody wants the rest. That is said between two transfers: the connection is in order."""
        if self.temporaries and self.line.session.usable and os.getpid() == self.process:
            with contextlib.suppress(FtpsyncdError):
                self.line.session.delete_many(sorted(self.temporaries))
                self.temporaries.clear()

    def clear_up(self) -> None:
        """What is left was broken off: the connection is not to be trusted any more."""
        if self.temporaries and os.getpid() == self.process:
            self.line.session.close()
            if self.line.clear_up(sorted(self.temporaries), self.torn):
                return
            for path in self.torn.keys() & self.failed.keys():
                self.failed[path].message += f" A part of it may be at the server as {named(path)}."


@dataclass(slots=True)
class _Again:
    """What has to be sent over another connection, since nothing of it was kept.

    Args:
        line: the connection.
    """

    line: Line
    missed: int = 0
    """At how many addresses of the host no data connection came about."""
    unreached: DataUnreachableError | None = None
    """At the one of now."""

    def takes(self, error: FtpsyncdError | None) -> bool:
        """Whether what a file has failed with says so."""
        self.unreached = None
        if isinstance(error, DataUnreachableError) and self.missed < error.others:
            self.unreached = error
            return True
        return isinstance(error, PathsRefusedError) and self.line.again is not None

    def go_on(self, begun: _Begun) -> None:
        """Take another connection, at another address of the host if that is needed.

        Raises:
            ServerUnavailableError: there is none.
        """
        if self.unreached is None:
            self.line.renew()
            return
        self.missed = self.line.go_elsewhere(self.unreached, self.missed)
        # That may be the same machine, where the session before has what it was to receive, and a lock on it.
        begun.take_back()


def _publish(line: Line, jobs: Iterable[PublishJob]) -> Generator[PublishResult, None, None]:
    """Publish, and leave no temporary file behind: neither on Ctrl-C nor when the connection is lost."""
    begun = _Begun(line)
    source: Iterator[PublishJob] = iter(jobs)
    # What is looked at before the first one may show that another connection is needed.
    source = itertools.chain(list(itertools.islice(source, 1)), source)
    done = False

    def noted() -> Iterator[PublishJob]:
        nonlocal done
        for job in source:
            yield begun.noted(job)
        done = True

    again = _Again(line)
    try:
        lost = False
        while not done and not lost:
            with line.under_way() as session:
                for result in session.publish(noted()):
                    if again.takes(result.error):
                        # Nothing of it was kept, and nothing comes behind it: it is the first one again.
                        source, done = itertools.chain([result.job], source), False
                        continue
                    lost = result.error is not None and not line.session.usable
                    line.mend(result)
                    if result.error is None or session.usable:
                        begun.end(result.job)
                    else:
                        begun.failed[result.job.path] = result.error
                    yield result
            if line.session is not session:
                # A call between two results has found the connection ended, and has begun this one.
                begun.take_back()
            elif not done and not lost:
                # The session ended in order: before its TLS ticket expires, or since the names of files are to
                # be told otherwise, or no data connection came about. Or it was finished already.
                again.go_on(begun)
    except GeneratorExit:
        begun.take_back()
        raise
    finally:
        begun.clear_up()


@dataclass(slots=True)
class _Folder:
    """What is in a local directory, for sending."""

    files: list[str]
    dirs: list[str]
    others: list[str]
    """Symlinks and special files, which are not sent."""


def _folder(local: Path) -> _Folder:
    """Look at a local directory.

    Raises:
        LocalUnreadableError: it cannot be listed.
    """
    found = _Folder([], [], [])
    try:
        with os.scandir(local) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found.dirs.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    found.files.append(entry.name)
                else:
                    found.others.append(entry.name)
    except OSError as error:
        raise LocalUnreadableError(f"{named(local)} cannot be read: {error.strerror}.") from error
    for part in (found.files, found.dirs, found.others):
        part.sort()
    return found
