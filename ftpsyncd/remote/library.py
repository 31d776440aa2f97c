"""The library face: sending, fetching and deleting files on an FTP or FTPS server, without the daemon.

    with connect(server) as ftp:
        ftp.upload(Path("a.jpg"), "/htdocs/a.jpg")

Nothing returns False for failure: what does not raise has happened. The error's class says whether to try again
(:class:`ftpsyncd.errors.Retry`). docs/library.md has an example of each call.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    LocalUnwritableError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    PathsRefusedError,
    ServerUnavailableError,
)
from ftpsyncd.model import Kind, remote_join
from ftpsyncd.quoting import named
from ftpsyncd.remote import landing, localfile, trees
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.landing import Directory, Fetched
from ftpsyncd.remote.port import Connector, PublishJob, PublishResult, RemoteEntry, RemoteSession
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.trees import Moved, Step, TreeResult
from ftpsyncd.specs import ServerSpec

_T = TypeVar("_T")


def connect(server: ServerSpec, *, profile: Profile | None = None) -> Ftp:
    """Open a connection.

    Args:
        server: the account.
        profile: what is known about the server from earlier.

    Raises:
        ConfigError: ``tls`` or ``mode`` is no word that is known; what the password's function raises comes as it is.
        ServerUnavailableError, TooManyConnectionsError, TlsError, LoginRefusedError: see `ftpsyncd.errors`.
    """
    account = Account(server, profile=profile)
    return Ftp(account(), origin=f"{server.user}@{server.host}:{server.port}", again=account)


class Ftp:
    """One connection, in the words of people who move files.

    Remote paths are absolute; another one raises `NameNotSendableError`: the directory that it is relative to is the
    server's business, and a temporary file would not be beside it.

    A connection that ends (servers end those that are idle, many after five minutes) fails the call that finds it out
    with `ServerUnavailableError`; the next call begins with another one. After `close` there is no other one.

    Args:
        session: the connection to use; closed with this object.
        origin: which server and account this is; a download is continued only from the same one.
        again: opens another connection where one has ended, and to clear up after an upload whose connection was lost.
    """

    def __init__(self, session: RemoteSession, *, origin: str = "", again: Connector | None = None) -> None:
        self.session = session
        self._origin = origin
        self._again = again
        self._closed = False

    def upload(
        self,
        path: Path,
        remote: str,
        *,
        overwrite: bool = True,
        progress: Callable[[int], None] = lambda _: None,
    ) -> PublishResult:
        """Send a file so that nobody ever sees a part of it: under a temporary name, verified, renamed, dated.

        The directory must exist (`make_dirs`). The check for ``overwrite=False`` is made just before sending and
        once more before the rename; FTP has no atomic form of it.

        Args:
            path: a regular file, or a link to one.
            remote: the absolute path that it gets.
            overwrite: replace a file that is there.
            progress: called with the bytes sent so far; what it raises breaks the transfer off, and the connection
                with it.

        Raises:
            AlreadyExistsError: ``overwrite`` is False and the name is taken, or a directory has it.
            FileChangedError: the file changed while it was sent; nothing was published.
            LocalUnreadableError: it is not there, no regular file, or cannot be read.
            NameNotSendableError, NameRefusedError: the name cannot be sent, or the server does not take it.
            ServerFullError: there is no space at the server.
            VerificationError, TransferFailedError: it did not arrive as it is; another try may pass.
        """
        job = self._job(path, remote, overwrite=overwrite, progress=lambda sent, _size: progress(sent))
        self._ready()
        if not overwrite and self.exists(remote):
            raise localfile.taken(remote)
        (result,) = self._publish([job])
        if result.error is not None:
            raise result.error
        return result

    def _is_there(self, remote: str, *, begun: bool) -> bool:
        # Once it has begun, on the connection that goes on to send: no other one takes its place between two files.
        entry = self.session.stat(_absolute(remote)) if begun else self.look(remote)
        return entry is not None

    def _job(self, path: Path, remote: str, *, overwrite: bool, progress: Callable[[int, int], None]) -> PublishJob:
        target = _absolute(remote)
        return localfile.job(lambda: self.session, path, target, overwrite=overwrite, progress=progress)

    def _publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """Publish, and leave no temporary file behind: neither on Ctrl-C nor when the connection is lost."""
        begun: set[str] = set()
        source: Iterator[PublishJob] = iter(jobs)
        # What is looked at before the first one may show that another connection is needed.
        source = itertools.chain(list(itertools.islice(source, 1)), source)
        done = False

        def noted() -> Iterator[PublishJob]:
            nonlocal done
            for job in source:
                begun.add(job.temporary)
                yield job
            done = True

        try:
            lost = False
            while not done and not lost:
                for result in self.session.publish(noted()):
                    if isinstance(result.error, PathsRefusedError) and self._again is not None:
                        # Nothing of it was kept, and nothing comes behind it: it is the first one again.
                        source = itertools.chain([result.job], source)
                        continue
                    lost = result.error is not None and not self.session.usable
                    if result.error is None or self.session.usable:
                        begun.discard(result.job.temporary)
                    yield result
                if not done and not lost:
                    # The session ended in order: before its TLS ticket expires, or since the names of files are to
                    # be told otherwise. Or it was finished already.
                    self._renew()
        except GeneratorExit:
            self._take_back(begun)
            raise
        finally:
            if begun:
                self.session.close()
                self._clear_up(sorted(begun))

    def _ready(self) -> RemoteSession:
        """The connection; another one if it has ended, or has no data connections to come."""
        if not self.session.usable or (self.session.expiring and self._again is not None):
            self._renew()
        return self.session

    def _take_back(self, begun: set[str]) -> None:
        """Nobody wants the rest. That is said between two transfers: the connection is in order."""
        if begun and self.session.usable:
            with contextlib.suppress(FtpsyncdError):
                self.session.delete_many(sorted(begun))
                begun.clear()

    def _renew(self) -> None:
        self.session.close()
        if self._again is None or self._closed:
            raise ServerUnavailableError("The connection to the server is finished.")
        self.session = self._again()

    def _clear_up(self, temporaries: list[str]) -> None:
        """Delete what may be left of uploads that were broken off; another connection is tried once."""
        if self._again is not None:
            with contextlib.suppress(FtpsyncdError), self._again() as session:
                session.delete_many(temporaries)

    def upload_tree(
        self, local: Path, remote: str, *, overwrite: bool = True, progress: Moved = lambda _remote, _sent, _size: None
    ) -> Iterator[TreeResult]:
        """Send a directory with all that is in it, each file as `upload` does, and yield what became of each.

        The work is done while the results are taken. ``remote`` is made; its parent must exist. Symlinks and special
        files are skipped. Errors of one file are results; what ends the connection is raised.

        Args:
            local: the directory.
            remote: what it becomes.
            overwrite: replace files that are there.
            progress: called with the remote path, the bytes sent and the size.

        Raises:
            LocalUnreadableError: the directory cannot be read.
            NameRefusedError: ``remote`` cannot be made.
        """
        self._ready()
        yield from self._upload_tree(local, _absolute(remote), 0, overwrite=overwrite, progress=progress)

    def _upload_tree(
        self, local: Path, remote: str, depth: int, *, overwrite: bool, progress: Moved
    ) -> Iterator[TreeResult]:
        if depth > trees.DEEPEST:
            raise NameRefusedError(f"{named(local)} is more than {trees.DEEPEST} directories deep.", remedy="")
        found = trees.folder(local)
        if remote.strip("/"):
            self._told(lambda session: session.make_dir(remote))
        for name in found.others:
            yield TreeResult(remote_join(remote, name), Step.SKIPPED, note="a symbolic link or no regular file")
        pairs = [(local / name, remote_join(remote, name)) for name in found.files]
        yield from self.upload_many(pairs, overwrite=overwrite, progress=progress)
        for name in found.dirs:
            target = remote_join(remote, name)
            try:
                yield from self._upload_tree(local / name, target, depth + 1, overwrite=overwrite, progress=progress)
            except FtpsyncdError as error:
                if not self.session.usable:
                    raise
                yield TreeResult(target, Step.FAILED, error=error)

    def upload_many(
        self,
        pairs: Iterable[tuple[Path, str]],
        *,
        overwrite: bool = True,
        progress: Moved = lambda _remote, _sent, _size: None,
    ) -> Iterator[TreeResult]:
        """Send files as `upload` does, and yield what became of each: quicker, as each begins while the last one ends.

        The work is done while the results are taken. Errors of one file are results; what ends the connection is
        raised. A file gets its name when the next two are on their way, or there are no more.

        Args:
            pairs: local and remote path of each; the remote directories exist. Whoever waits in it keeps the last files
                waiting: where they come one by one, `upload` is for them.
            overwrite: replace files that are there.
            progress: called with the remote path, the bytes sent and the size.
        """
        self._ready()
        refused: deque[tuple[int, TreeResult]] = deque()
        begun = 0

        def jobs() -> Iterator[PublishJob]:
            nonlocal begun
            for path, remote in pairs:
                try:
                    if not overwrite and self._is_there(remote, begun=begun > 0):
                        raise localfile.taken(remote)
                    job = self._job(path, remote, overwrite=overwrite, progress=partial(progress, remote))
                except FtpsyncdError as error:
                    if not self.session.usable:
                        raise
                    refused.append((begun, TreeResult(remote, Step.FAILED, error=error)))
                else:
                    begun += 1
                    yield job

        for before, result in enumerate(self._publish(jobs())):
            # The next file is looked at before the last one is done: results come in the order of the files.
            while refused and refused[0][0] <= before:
                yield refused.popleft()[1]
            if result.error is not None and not self.session.usable:
                raise result.error
            step = Step.SENT if result.error is None else Step.FAILED
            yield TreeResult(result.job.path, step, result.job.size, result.error)
        yield from (result for _, result in refused)

    def download(
        self, remote: str, path: Path, *, overwrite: bool = True, progress: Callable[[int], None] = lambda _: None
    ) -> Fetched:
        """Fetch a file: into a temporary file beside ``path``, checked against the server's size, dated, then renamed.

        If the transfer breaks, what has come stays as ``NAME.<8 hex>.filepart`` (where it is more than 1 MiB), and the
        next download of the same file to the same path continues it: its last MiB is fetched again and compared. A
        file that has another size or date at the server by then is begun anew. Of two downloads of the same file at
        once, each has its own temporary file.

        Args:
            remote: the absolute path of the file.
            path: what it becomes; its directory exists.
            overwrite: replace a local file.
            progress: called with the bytes of the file that are here, those of an earlier try included; what it raises
                breaks the transfer off, and the connection with it.

        Raises:
            AlreadyExistsError: ``overwrite`` is False and ``path`` exists, even if it was made meanwhile.
            LocalUnwritableError: ``path`` cannot be written.
            NotFoundError: there is no such file.
            VerificationError: fewer or more bytes came than the server says the file has; nothing is kept.
        """
        entry = self.stat(remote)
        if entry.kind is Kind.DIR:
            raise NotFoundError(f"{named(remote)} is a directory at the server.", remedy="")
        if not path.name:
            raise LocalUnwritableError(f"{named(path)} is no name of a file.", remedy="")
        with Directory.opened(path.parent) as into:
            return landing.fetch(
                self.session,
                remote,
                entry,
                into,
                path.name,
                origin=self._origin,
                overwrite=overwrite,
                progress=progress,
            )

    def download_tree(
        self, remote: str, local: Path, *, overwrite: bool = True, progress: Moved = lambda _remote, _got, _size: None
    ) -> Iterator[TreeResult]:
        """Fetch a directory with all that is in it, each file as `download` does, and yield what became of each.

        The work is done while the results are taken. ``local`` is made. Nothing is written outside of it, whatever
        names the server sends: those that are no plain names are refused, and no local symlink is followed. Symlinks
        at the server, temporary files of uploads and what ``deletes: trash`` keeps below ``remote`` are skipped. Files
        that are here with the same size and date are not fetched again, so a second call continues the first. Errors
        of one file are results; what ends the connection, and a full disk, are raised.

        Args:
            remote: the directory.
            local: what it becomes.
            overwrite: replace local files that differ.
            progress: called with the remote path, the bytes that are here and the size, None if it is not known.

        Raises:
            NotFoundError: there is no such directory.
            LocalUnwritableError: ``local`` cannot be made.
        """
        return trees.Fetching(self._ready, self._origin, overwrite, progress).run(_absolute(remote), local)

    def delete(self, remote: str) -> None:
        """Delete a file; that it is not there is no error.

        Raises:
            NameRefusedError: the server does not let it go, or it is a directory.
        """
        (error,) = self._ready().delete_many([_absolute(remote)])
        if error is not None:
            raise error

    def rename(self, source: str, target: str) -> None:
        """Rename; a file at ``target`` is replaced.

        Raises:
            AlreadyExistsError: ``target`` is a directory.
            NameRefusedError: there is no ``source`` (`NotFoundError` where the server says so), or the server refuses.
        """
        self._ready().rename(_absolute(source), _absolute(target))

    def make_dirs(self, remote: str) -> None:
        """Make a directory and its parents; that they exist is no error.

        Raises:
            NameRefusedError: the server refuses, or a file has the name.
        """
        self._told(lambda session: session.make_dirs(_absolute(remote)))

    def _told(self, do: Callable[[RemoteSession], _T]) -> _T:
        """Do something, if need be once more where it shows how the names of files are to be told."""
        try:
            return do(self._ready())
        except PathsRefusedError:
            if self._again is None:
                raise
            self._renew()
            return do(self.session)

    def remove_dir(self, remote: str) -> None:
        """Remove an empty directory.

        Raises:
            AlreadyExistsError: it still holds something.
        """
        if not self._ready().remove_dir(_absolute(remote)):
            raise AlreadyExistsError(f"{named(remote)} is not empty.")

    def delete_tree(self, remote: str) -> Iterator[TreeResult]:
        """Delete a directory with all that is in it (or a file), and yield what became of each name.

        The work is done while the results are taken. Symlinks are deleted and not followed; what the server does not
        clearly show as a directory is left alone.

        Raises:
            NotFoundError: there is nothing of this name.
        """
        return trees.Deleting(self._ready).run(_absolute(remote))

    def list(self, remote: str = "/") -> list[RemoteEntry]:
        """The entries of a directory by name, each as `stat` has it.

        Raises:
            NotFoundError: there is no such directory.
        """
        return sorted(trees.listed(self._ready(), _absolute(remote)), key=lambda entry: entry.name)

    def stat(self, remote: str) -> RemoteEntry:
        """Kind, size (bytes) and date (seconds since the epoch); None for what the server does not say.

        Raises:
            NotFoundError: there is nothing of this name.
        """
        entry = self.look(remote)
        if entry is None:
            raise NotFoundError(f"{named(remote)} is not at the server.")
        return entry

    def exists(self, remote: str) -> bool:
        """Whether there is anything of this name."""
        return self.look(remote) is not None

    def look(self, remote: str) -> RemoteEntry | None:
        """`stat`; None if there is nothing of this name."""
        return self._told(lambda session: session.stat(_absolute(remote)))

    def close(self) -> None:
        """Say good-bye and close. Never raises."""
        self._closed = True
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _absolute(remote: str) -> str:
    if not remote.startswith("/"):
        raise NameNotSendableError(f"{named(remote)} is no absolute path.", remedy="Begin it with a slash.")
    return remote
