"""The file that content arrives in: beside its final name, where another try finds it, and its name in the end.

It is called ``NAME.<8 hex>.filepart``, made from what the server says about the file. `landing` fills it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from typing import BinaryIO

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import AlreadyExistsError, LocalUnwritableError, VerificationError
from ftpsyncd.model import basename
from ftpsyncd.quoting import named
from ftpsyncd.remote.folders import Directory, unwritable
from ftpsyncd.remote.port import RemoteEntry

REPEATED = 1024 * 1024
"""Bytes before the end of a part that are fetched again and compared: it must be the beginning of this very file."""
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Part:
    """The file that content arrives in."""

    def __init__(self, into: Directory, name: str, descriptor: int, *, lasting: bool) -> None:
        self.into = into
        self.name = name
        self.file: BinaryIO = os.fdopen(descriptor, "r+b")
        self.lasting = lasting
        """Another try can find it again."""

    @classmethod
    def opened(cls, into: Directory, name: str, source: str, entry: RemoteEntry) -> Part:
        """The part of this very file from an earlier try, or a new one.

        A part that is a link, has another owner or is being filled by somebody else is left alone.
        """
        try:
            if entry.size is not None and entry.mtime_s is not None:
                lasting = _beside(name, f"{source}\0{entry.size}\0{entry.mtime_s}")
                descriptor = _claimed(into, lasting)
                if descriptor is not None:
                    return cls(into, lasting, descriptor, lasting=True)
            passing = _beside(name, secrets.token_hex(8))
            descriptor = os.open(passing, _WRITE | os.O_EXCL, 0o666, dir_fd=into.descriptor)
            return cls(into, passing, descriptor, lasting=False)
        except OSError as error:
            raise unwritable(into.path / name, error) from error

    def length(self) -> int:
        """Bytes that are in it."""
        return os.fstat(self.file.fileno()).st_size

    def complete(self, entry: RemoteEntry) -> int:
        """Have it on the disk, with its date; returns its size."""
        self.file.flush()
        size = self.length()
        if not sizes.fits(entry.size, size):
            raise VerificationError(f"{size} of {entry.size} bytes of {named(self.into.path / self.name)} were kept.")
        if entry.mtime_s is not None:
            os.utime(self.file.fileno(), (entry.mtime_s, entry.mtime_s))
        # Else a power cut could leave the final name without the content.
        os.fsync(self.file.fileno())
        return size

    def publish(self, name: str, *, overwrite: bool) -> None:
        """Give it the final name."""
        here = self.into.descriptor
        if overwrite:
            os.replace(self.name, name, src_dir_fd=here, dst_dir_fd=here)
            return
        try:
            # Unlike a rename, a link never replaces, whoever was quicker.
            os.link(self.name, name, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{named(self.into.path / name)} exists already.", remedy="") from error
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise LocalUnwritableError(
                    f"{named(self.into.path / name)} cannot be written: its file system cannot promise not to replace.",
                    remedy="Allow to replace, or choose another file system.",
                ) from error
            raise
        os.unlink(self.name, dir_fd=here)

    def leave(self) -> None:
        """Stay for the next try if that can find it and there is enough in it to be continued."""
        # What does not get to the disk now is fetched again: the length says how much did.
        with contextlib.suppress(OSError):
            self.file.flush()
        if self.lasting and self.length() > REPEATED:
            self._close()
        else:
            self.drop()

    def drop(self) -> None:
        """Go."""
        # Before the lock is released: nobody can have claimed it.
        with contextlib.suppress(OSError):
            os.unlink(self.name, dir_fd=self.into.descriptor)
        self._close()

    def _close(self) -> None:
        # Closing writes what is left, which a full disk refuses again; the descriptor is closed all the same.
        with contextlib.suppress(OSError):
            self.file.close()


def _beside(name: str, owner: str) -> str:
    return basename(names.temporary(f"/{name}", owner))


def _claimed(into: Directory, name: str) -> int | None:
    """The descriptor of a part that is ours and that nobody else is filling; None if there is no such thing."""
    try:
        descriptor = os.open(name, _WRITE, 0o666, dir_fd=into.descriptor)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENXIO}:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        # It may have got its final name between the opening and the lock.
        same = os.path.samestat(found, os.stat(name, dir_fd=into.descriptor, follow_symlinks=False))
        ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid() and same
    except (BlockingIOError, FileNotFoundError):
        ours = False
    except OSError as error:
        nothing = os.fstat(descriptor).st_size == 0
        os.close(descriptor)
        if error.errno not in _NO_LOCKS:
            raise
        # Nobody here can claim a part, so nobody loses one that is empty.
        if nothing:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=into.descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    if not ours:
        os.close(descriptor)
        return None
    return descriptor
