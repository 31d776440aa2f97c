"""A local file as a job: opened late, and confirmed to be the same file when all of it is sent.

Called by the library for each file that is sent by hand; the daemon's own jobs come from its plan
(`ftpsyncd.publishing.publish`).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ftpsyncd import lacking
from ftpsyncd.core import names
from ftpsyncd.counting import number
from ftpsyncd.errors import AlreadyExistsError, FileChangedError, LocalUnreadableError
from ftpsyncd.quoting import named
from ftpsyncd.remote import hashes
from ftpsyncd.remote.port import PublishJob, RemoteSession
from ftpsyncd.remote.pour import unreadable


def job(
    session: Callable[[], RemoteSession],
    path: Path,
    remote: str,
    *,
    overwrite: bool,
    progress: Callable[[int, int], None],
) -> PublishJob:
    """What `RemoteSession.publish` takes.

    Args:
        session: the connection that it is sent over, asked once more before the rename where nothing may be replaced.
        path: the file; links to it are followed.
        remote: the absolute path at the server.
        overwrite: replace what is there.
        progress: called with the bytes sent and the size.

    Raises:
        LocalUnreadableError: it is not there, or no regular file.
    """
    try:
        before = path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if not stat.S_ISREG(before.st_mode):
        # Opening a FIFO would wait for somebody who writes into it.
        raise _unreadable(path, "Is a directory" if stat.S_ISDIR(before.st_mode) else "Not a regular file")

    def opened() -> BinaryIO:
        try:
            return path.open("rb", buffering=0)
        except OSError as error:
            raise lacking.behind(error) or _unreadable(path, error.strerror) from error

    def confirm(file: BinaryIO, sha256: bytes) -> None:
        now = hashes.status_of(file)
        same = (now.st_size, now.st_mtime_ns, now.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
        if not same or not hashes.still_holds(file, now.st_ctime_ns, sha256, before.st_ctime_ns, session().noop):
            raise FileChangedError(f"{named(path)} changed while it was sent.")
        if _has_more(file, before.st_size):
            size = number(before.st_size, "byte")
            raise LocalUnreadableError(
                f"{named(path)} holds more than the {size} that its size says, as those in /proc do.",
                remedy="Copy it, and send the copy.",
            )
        if not overwrite:
            there, ours = session().stat_many([remote, temporary])
            # Where the server cannot rename, what is there is what was sent.
            if there is not None and ours is not None:
                raise taken(remote)

    temporary = names.temporary(remote, secrets.token_hex(8))
    return PublishJob(
        remote,
        temporary,
        before.st_size,
        before.st_mtime_ns // 1_000_000_000,
        opened,
        confirm,
        lambda sent: progress(sent, before.st_size),
    )


def _has_more(file: BinaryIO, size: int) -> bool:
    """Whether anything is behind the end of an open file that has not changed.

    Raises:
        LocalError: it cannot be read.
    """
    try:
        return bool(os.pread(file.fileno(), 1, size))
    except OSError as error:
        raise unreadable(error) from error


def taken(remote: str) -> AlreadyExistsError:
    """The error where nothing may be replaced."""
    return AlreadyExistsError(f"{named(remote)} is at the server already.", remedy="")


def _unreadable(path: Path, why: str | None) -> LocalUnreadableError:
    return LocalUnreadableError(f"{named(path)} cannot be read: {why}.")
