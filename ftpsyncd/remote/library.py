"""The library face: sending, fetching and deleting files on an FTP or FTPS server, without the daemon.

    with connect(server) as ftp:
        ftp.upload(Path("a.jpg"), "/htdocs/a.jpg")

Nothing returns False for failure: what does not raise has happened. The error's class says whether to try again
(:class:`ftpsyncd.errors.Retry`). docs/library.md has an example of each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    LocalUnreadableError,
    LocalUnwritableError,
    NotFoundError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import arguments, dispatch, landing, trees
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.arguments import LocalPath, local_path, remote_file, remote_path
from ftpsyncd.remote.deletetree import Deleting
from ftpsyncd.remote.fetchtree import Fetching
from ftpsyncd.remote.folders import Directory
from ftpsyncd.remote.landing import Fetched
from ftpsyncd.remote.line import Line, Results
from ftpsyncd.remote.port import Connector, PublishResult, RemoteEntry, RemoteSession
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.remedies import remedy
from ftpsyncd.remote.trees import Moved
from ftpsyncd.specs import ServerSpec


def connect(server: ServerSpec, *, profile: Profile | None = None) -> Ftp:
    """Open a connection.

    Args:
        server: the account.
        profile: what is known about the server from earlier.

    Raises:
        ConfigError: a field of ``server`` has a value that cannot be meant; what the password's function raises comes
            as it is.
        MisuseError: ``profile`` is something else.
        ServerUnavailableError, TooManyConnectionsError, TlsError, LoginRefusedError: see `ftpsyncd.errors`.
    """
    account = Account(server, profile=arguments.learned(profile))
    try:
        session = account()
    except FtpsyncdError as error:
        error.remedy = remedy(error)
        raise
    return Ftp(session, origin=account.key, again=account)


class Ftp:
    """One connection, in the words of people who move files.

    Remote paths are text, absolute and without ``..``; another one raises `NameNotSendableError`: the directory that it
    is relative to is the server's business, and a temporary file might not be beside it. Local ones are text or
    a `Path`.

    One call at a time: from another thread, or from a progress function, a second one raises `MisuseError`, as does an
    argument of a wrong type. Between two results of those that yield them there is room for other calls.

    A connection that ends (servers end those that are idle, many after five minutes) fails the call that finds it out
    with `ServerUnavailableError`; the next call begins with another one. After `close` there is no other one.

    Args:
        session: the connection to use; closed with this object.
        origin: which server and account this is; a download is continued only from the same one.
        again: opens another connection where one has ended, and to clear up after an upload whose connection was lost.
    """

    def __init__(self, session: RemoteSession, *, origin: str = "", again: Connector | None = None) -> None:
        self._line = Line(session, again)
        self._origin = origin

    @property
    def session(self) -> RemoteSession:
        """The connection of now."""
        return self._line.session

    def upload(
        self,
        path: LocalPath,
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
        source, target = local_path(path, LocalUnreadableError), remote_file(remote)
        replace, tell = arguments.flag("overwrite", overwrite), arguments.teller("progress", progress)
        with self._line as line:
            return dispatch.one(line, source, target, overwrite=replace, progress=tell)

    def upload_tree(
        self,
        local: LocalPath,
        remote: str,
        *,
        overwrite: bool = True,
        progress: Moved = lambda _remote, _sent, _size: None,
    ) -> Results:
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
        source, target = local_path(local, LocalUnreadableError), remote_path(remote)
        return Results(self._line, self._sending(overwrite=overwrite, progress=progress).tree(source, target))

    def upload_many(
        self,
        pairs: Iterable[tuple[LocalPath, str]],
        *,
        overwrite: bool = True,
        progress: Moved = lambda _remote, _sent, _size: None,
    ) -> Results:
        """Send files as `upload` does, and yield what became of each: quicker, as each begins while the last one ends.

        The work is done while the results are taken. Errors of one file are results; what ends the connection is
        raised. A file gets its name when the next two are on their way, or there are no more.

        Args:
            pairs: local and remote path of each; the remote directories exist. Whoever waits in it keeps the last files
                waiting: where they come one by one, `upload` is for them.
            overwrite: replace files that are there.
            progress: called with the remote path, the bytes sent and the size.
        """
        sending = self._sending(overwrite=overwrite, progress=progress)
        return Results(self._line, sending.files(self._line.between(arguments.many(pairs))))

    def _sending(self, *, overwrite: bool, progress: Moved) -> dispatch.Sending:
        replace, tell = arguments.flag("overwrite", overwrite), arguments.teller("progress", progress)
        return dispatch.Sending(self._line, replace, tell)

    def download(
        self, remote: str, path: LocalPath, *, overwrite: bool = True, progress: Callable[[int], None] = lambda _: None
    ) -> Fetched:
        """Fetch a file: into a temporary file beside ``path``, checked against the server's size, dated, then renamed.

        Where the disk sets no dates, it comes without (`Fetched.dated`).

        If the transfer breaks, what has come stays as ``NAME.<8 hex>.filepart`` (where it is more than 1 MiB), and the
        next download of the same file to the same path continues it: its last MiB is fetched again and compared. A
        file that has another size or date at the server by then is begun anew, and so is one that is replaced by one of
        another size just before it is fetched. Of two downloads of the same file at once, each has its own temporary
        file.

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
            VerificationError: fewer or more bytes came than the server says the file has, or it was changed there each
                of three times; nothing is kept.
        """
        source, target = remote_path(remote), local_path(path, LocalUnwritableError)
        replace, tell = arguments.flag("overwrite", overwrite), arguments.teller("progress", progress)
        with self._line as line:
            entry = _found(line, source)
            if entry.kind is Kind.DIR:
                raise NotFoundError(f"{named(source)} is a directory at the server.", remedy="")
            if not target.name:
                raise LocalUnwritableError(f"{named(target)} is no name of a file.", remedy="")
            with Directory.opened(target.parent) as into:
                return line.told(
                    lambda _session: landing.fetch(
                        line.ready,
                        source,
                        entry,
                        into,
                        target.name,
                        origin=self._origin,
                        overwrite=replace,
                        progress=tell,
                    )
                )

    def download_tree(
        self,
        remote: str,
        local: LocalPath,
        *,
        overwrite: bool = True,
        progress: Moved = lambda _remote, _got, _size: None,
    ) -> Results:
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
        replace, tell = arguments.flag("overwrite", overwrite), arguments.teller("progress", progress)
        fetching = Fetching(self._line.ready, self._origin, replace, tell)
        source, target = remote_path(remote), local_path(local, LocalUnwritableError)
        return Results(self._line, fetching.run(source, target))

    def delete(self, remote: str) -> None:
        """Delete a file; that it is not there is no error.

        Raises:
            NameRefusedError: the server does not let it go, or it is a directory.
        """
        target = remote_path(remote)
        with self._line as line:
            (error,) = line.told(lambda session: session.delete_many([target]))
            if error is not None:
                raise error

    def rename(self, source: str, target: str) -> None:
        """Rename; a file at ``target`` is replaced. To its own name: nothing is done.

        Raises:
            AlreadyExistsError: ``target`` is a directory.
            NameRefusedError: there is no ``source`` (`NotFoundError` where the server shows so), or the server refuses.
        """
        before, after = remote_path(source), remote_path(target)
        with self._line as line:
            if before == after:
                # Nothing is to be done, which is what a server that renames nothing does, too.
                _found(line, before)
                return
            try:
                line.told(lambda session: session.rename(before, after))
            except FtpsyncdError as error:
                line.put_back(after, error)
                raise
            if not line.session.usable:
                # It has ended at the last step, which is to delete what was replaced.
                line.clear_up([names.aside(after)])

    def make_dirs(self, remote: str) -> None:
        """Make a directory and its parents; that they exist is no error.

        Raises:
            NameRefusedError: the server refuses, or a file has the name.
        """
        target = remote_path(remote)
        with self._line as line:
            line.told(lambda session: session.make_dirs(target))

    def remove_dir(self, remote: str) -> None:
        """Remove an empty directory.

        Raises:
            AlreadyExistsError: it still holds something.
            MountPointError: a disk is mounted on it at the server.
        """
        target = remote_path(remote)
        with self._line as line:
            if not line.told(lambda session: session.remove_dir(target)):
                raise AlreadyExistsError(f"{named(target)} is not empty.")

    def delete_tree(self, remote: str) -> Results:
        """Delete a directory with all that is in it (or a file), and yield what became of each name.

        The work is done while the results are taken. Symlinks are deleted and not followed; what the server does not
        clearly show as a directory is left alone.

        Raises:
            NotFoundError: there is nothing of this name.
        """
        return Results(self._line, Deleting(self._line.ready).run(remote_path(remote)))

    def list(self, remote: str = "/", *, dated: bool = True) -> list[RemoteEntry]:
        """The entries of a directory by name, each as `stat` has it.

        Args:
            remote: the directory.
            dated: False: without the dates that the listing does not tell (as on vsftpd and others without MLSD), which
                takes a command for each file.

        Raises:
            NotFoundError: there is no such directory.
            PartlyListedError: the server lists only a part of it (``entries``) and says so.
        """
        target, asks = remote_path(remote), arguments.flag("dated", dated)
        with self._line as line:
            found = line.told(lambda session: trees.listed(session, target, dated=asks))
        return sorted(found, key=lambda entry: entry.name)

    def stat(self, remote: str) -> RemoteEntry:
        """Kind, size (bytes) and date (seconds since the epoch); None for what the server does not say.

        Raises:
            NotFoundError: there is nothing of this name.
        """
        target = remote_path(remote)
        with self._line as line:
            return _found(line, target)

    def exists(self, remote: str) -> bool:
        """Whether there is anything of this name."""
        return self.look(remote) is not None

    def look(self, remote: str) -> RemoteEntry | None:
        """`stat`; None if there is nothing of this name."""
        target = remote_path(remote)
        with self._line as line:
            return line.told(lambda session: session.stat(target))

    def close(self) -> None:
        """Say good-bye and close. Never raises; a call that is going on in another thread finds out, and raises."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _found(line: Line, remote: str) -> RemoteEntry:
    entry = line.told(lambda session: session.stat(remote))
    if entry is None:
        raise NotFoundError(f"{named(remote)} is not at the server.")
    return entry
