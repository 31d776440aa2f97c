"""The library face: sending, fetching and deleting files on an FTP or FTPS server, without the daemon.

    with connect(server) as ftp:
        ftp.upload(Path("a.jpg"), "/htdocs/a.jpg")

Nothing returns False for failure: what does not raise has happened. The error's class says whether to try again
(:class:`ftpsyncd.errors.Retry`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    FileChangedError,
    LocalUnreadableError,
    NotFoundError,
    VerificationError,
)
from ftpsyncd.model import Kind, ServerSpec
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry, RemoteSession
from ftpsyncd.remote.session import Account


def connect(server: ServerSpec) -> Ftp:
    """Open a connection.

    Raises:
        ServerUnavailableError, TooManyConnectionsError, TlsError, LoginRefusedError: see `ftpsyncd.errors`.
    """
    return Ftp(Account(server)())


class Ftp:
    """One connection, in the words of people who move files. Remote paths are absolute.

    Args:
        session: the connection to use; closed with this object.
    """

    def __init__(self, session: RemoteSession) -> None:
        self.session = session

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

        Raises:
            AlreadyExistsError: ``overwrite`` is False and the name is taken.
            FileChangedError: the file changed while it was sent; nothing was published.
            LocalUnreadableError, RemoteError.
        """
        try:
            before = path.stat()
        except OSError as error:
            raise LocalUnreadableError(f"{str(path)!r} cannot be read: {error.strerror}.") from error

        def opened() -> BinaryIO:
            try:
                return path.open("rb")
            except OSError as error:
                raise LocalUnreadableError(f"{str(path)!r} cannot be read: {error.strerror}.") from error

        def vacant() -> None:
            if not overwrite and self.exists(remote):
                raise AlreadyExistsError(f"{remote!r} is at the server already.")

        def confirm(file: BinaryIO) -> None:
            now = os.fstat(file.fileno())
            if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise FileChangedError(f"{str(path)!r} changed while it was sent.")
            vacant()

        vacant()
        job = PublishJob(
            remote,
            names.temporary(remote, secrets.token_hex(8)),
            before.st_size,
            before.st_mtime_ns // 1_000_000_000,
            opened,
            confirm,
            progress,
        )
        (result,) = self.session.publish([job])
        if result.error is not None:
            raise result.error
        return result

    def download(
        self, remote: str, path: Path, *, overwrite: bool = True, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Fetch a file: into a temporary file beside ``path``, checked against the server's SIZE, then renamed.

        Raises:
            AlreadyExistsError: ``overwrite`` is False and ``path`` exists.
            NotFoundError: there is no such file.
            VerificationError: fewer or more bytes came than the server says the file has.
        """
        entry = self.stat(remote)
        if entry.kind is Kind.DIR:
            raise NotFoundError(f"{remote!r} is a directory at the server.")
        if not overwrite and path.exists():
            raise AlreadyExistsError(f"{str(path)!r} exists already.")
        part = Path(names.temporary(str(path.absolute()), secrets.token_hex(8)))
        try:
            with part.open("xb") as file:
                count = self.session.fetch(remote, file, progress=progress)
            if entry.size is not None and count != entry.size:
                raise VerificationError(f"{count} of {entry.size} bytes of {remote!r} came.")
            if entry.mtime_s is not None:
                os.utime(part, (entry.mtime_s, entry.mtime_s))
            part.replace(path)
        except OSError as error:
            raise LocalUnreadableError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)

    def delete(self, remote: str) -> None:
        """Delete a file; that it is not there is no error."""
        (error,) = self.session.delete_many([remote])
        if error is not None:
            raise error

    def rename(self, source: str, target: str) -> None:
        """Rename; a file at ``target`` is replaced."""
        self.session.rename(source, target)

    def make_dirs(self, remote: str) -> None:
        """Make a directory and its parents; that they exist is no error."""
        self.session.make_dirs(remote)

    def remove_dir(self, remote: str) -> None:
        """Remove an empty directory.

        Raises:
            AlreadyExistsError: it still holds something.
        """
        if not self.session.remove_dir(remote):
            raise AlreadyExistsError(f"{remote!r} is not empty.")

    def list(self, remote: str = "/") -> list[RemoteEntry]:
        """The entries of a directory, by name."""
        return sorted(self.session.list_dir(remote), key=lambda entry: entry.name)

    def stat(self, remote: str) -> RemoteEntry:
        """Kind, size and date.

        Raises:
            NotFoundError: there is nothing of this name.
        """
        entry = self.session.stat(remote)
        if entry is None:
            raise NotFoundError(f"{remote!r} is not at the server.")
        return entry

    def exists(self, remote: str) -> bool:
        """Whether there is anything of this name."""
        return self.session.stat(remote) is not None

    def close(self) -> None:
        """Say good-bye and close. Never raises."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
