"""Is anybody writing this file? And: opening a file for reading in a way that can neither block nor be tricked.

Comes in: an open descriptor or a path below a root. Goes out: an answer, or an open file. Called by `scan` (before a
file counts as settled) and by whoever publishes (before, and after, its bytes are read).

A read lease (fcntl(2), "Leases") is refused with EAGAIN exactly while somebody has the file open for writing, by
descriptor or by a writable shared mapping; about 8 µs per question. It is released at once: while it is held, an
opener for writing waits and the holder gets a signal.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ftpsyncd.errors import FileBusyError, FileChangedError, LocalUnreadableError, SourceMissingError
from ftpsyncd.local import mounts, tree
from ftpsyncd.paths import basename, parent

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""O_NONBLOCK: opening a FIFO must not wait for its writer; O_NOCTTY: a terminal must not become ours."""

_DELEGATED = frozenset({"nfs4", "cifs", "smb3"})
"""Types of file systems on which a lease is a delegation or an oplock of the file server. Where that grants none, the
kernel says EAGAIN of every file, whoever writes it (``nfs4_add_lease``, ``cifs_setlease`` in Linux)."""


def writer_present(fd: int) -> bool | None:
    """Whether some process has the regular file behind ``fd`` open for writing.

    Args:
        fd: opened read-only; further read-only descriptors, our own included, do not matter.

    Returns:
        None if it cannot be told: the file belongs to another user and CAP_LEASE is absent (EACCES), the file system
        or the system has no leases (EINVAL, EOPNOTSUPP, ENOLCK and others), or a file server grants none.
    """
    if sys.platform != "linux":
        return None
    try:
        # A lease that is broken in the microseconds we hold it sends SIGIO, which would end the process; SIGURG
        # in its place is ignored by default. Set per descriptor, so no handler of the process is touched.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN and not _is_delegated(fd) else None
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # EAGAIN: the kernel took the lease back already, because a writer was waiting for it.
        return True if error.errno == errno.EAGAIN else None
    return False


def _is_delegated(fd: int) -> bool:
    with suppress(OSError):  # that cannot be told now: it is asked again
        mount = mounts.of_descriptor(fd)
        return mount is not None and mount.filesystem in _DELEGATED
    return False


def ignore_lease_signals() -> None:
    """Ignore SIGIO, the signal of a broken lease (fcntl(2)), for the whole process.

    A second safety belt besides F_SETSIG in `writer_present`. Call it from the main thread (signal.signal).
    """
    if sys.platform == "linux":
        # Not SIG_IGN, which the programs that we start would inherit (execve(2)).
        signal.signal(signal.SIGIO, lambda *_: None)


def open_regular(name: str, directory_fd: int) -> tuple[int, os.stat_result]:
    """Open the regular file ``name`` in an open directory for reading; the caller closes the descriptor.

    Returns its stat, too. Never waits: not for the writer of a FIFO, not for the holder of a write lease. A symbolic
    link is not followed.

    Raises:
        OSError: as openat(2); EAGAIN: a write lease is held (Samba, for one); EINVAL: not a regular file.
    """
    descriptor = os.open(name, _FILE_FLAGS, dir_fd=directory_fd)
    regular = False
    try:
        status = os.fstat(descriptor)
        regular = stat.S_ISREG(status.st_mode)
    finally:
        if not regular:
            os.close(descriptor)
    if not regular:
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor, status


def open_quietly(root: Path, path: str, *, follow_symlinks: bool = False) -> BinaryIO:
    """Open the regular file ``path`` below ``root`` for reading, unbuffered; the caller closes it.

    Raises:
        LocalError: as `open_and_look`.
    """
    return open_and_look(root, path, follow_symlinks=follow_symlinks)[0]


def open_and_look(root: Path, path: str, *, follow_symlinks: bool) -> tuple[BinaryIO, os.stat_result]:
    """`open_quietly`, and the stat of what was opened.

    Raises:
        SourceMissingError: the root is not there.
        FileChangedError: the file is gone, or something else than a regular file is in its place.
        FileBusyError: a process holds a write lease on it.
        LocalUnreadableError: it is there but cannot be opened.
        NoDescriptorError: nothing can be opened now.
    """
    try:
        root_fd = tree.open_root(root)
    except OSError as error:
        tree.require_descriptors(error)
        raise SourceMissingError(f"The folder {root} cannot be opened: {error.strerror}.") from error
    try:
        descriptor, status = _open_below(root, root_fd, path, follow_symlinks=follow_symlinks)
    except OSError as error:
        tree.require_descriptors(error)
        if error.errno in tree.GONE | {errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EXDEV, errno.ESTALE}:
            raise FileChangedError(f"{path!r} is not the file it was: {error.strerror}.") from error
        if error.errno == errno.EAGAIN:
            raise FileBusyError(f"{path!r} is in use by another program.") from error
        raise LocalUnreadableError(f"{path!r} cannot be read: {error.strerror}.") from error
    finally:
        os.close(root_fd)
    return io.FileIO(descriptor), status


def _open_below(root: Path, root_fd: int, path: str, *, follow_symlinks: bool) -> tuple[int, os.stat_result]:
    directory_fd, real = tree.open_directory(root, root_fd, parent(path), follow_symlinks=follow_symlinks)
    try:
        return open_regular(basename(path), directory_fd)
    except OSError as error:
        if not (follow_symlinks and error.errno == errno.ELOOP):
            raise
    finally:
        os.close(directory_fd)
    target = tree.resolve_link(root, f"{real}/{basename(path)}" if real else basename(path))
    return _open_below(root, root_fd, target, follow_symlinks=False)
