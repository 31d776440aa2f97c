"""Where downloads land: local directories that are held open, and files that appear there whole or not at all.

Nothing here follows a symlink or leaves a directory: names are single components, opened relative to a descriptor with
O_NOFOLLOW, so that a link that is put in the way while we work leads nowhere either.

Content arrives in ``NAME.<8 hex>.filepart`` beside its final name. The name is made from what the server says about the
file, so another try finds the part of exactly this file and continues it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    LocalUnwritableError,
    NameRefusedError,
    NotSupportedError,
    RemoteError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.model import basename
from ftpsyncd.quoting import named
from ftpsyncd.remote.port import RemoteEntry, RemoteSession

REPEATED = 1024 * 1024
"""Bytes before the end of a part that are fetched again and compared: it must be the beginning of this very file."""
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Fetched(NamedTuple):
    """A file that came down."""

    size: int
    """Bytes of the file."""
    continued_at: int
    """How many of them were here already, from an earlier try."""


class Directory:
    """A local directory, held open; a context manager.

    Args:
        descriptor: of the directory; closed with this object.
        path: for messages.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The directory that the caller names; links on the way to it are the caller's own and followed.

        Raises:
            LocalUnwritableError: it cannot be entered.
        """
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path)
        except OSError as error:
            raise unwritable(path, error) from error

    def entered(self, name: str) -> Self:
        """A directory in this one; made if it is not there, never reached through a link.

        Raises:
            LocalUnwritableError: it is no directory, or cannot be made or entered.
        """
        path = self.path / name
        there = self.look(name)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            what = "a symbolic link, which is not followed" if stat.S_ISLNK(there.st_mode) else "no directory"
            raise LocalUnwritableError(f"{named(path)} is {what}.")
        try:
            if there is None:
                os.mkdir(name, dir_fd=self.descriptor)
            return type(self)(os.open(name, _ENTER, dir_fd=self.descriptor), path)
        except OSError as error:
            raise unwritable(path, error) from error

    def look(self, name: str, *, through: bool = False) -> os.stat_result | None:
        """What is here under a name, itself and not what it points to; None if nothing is.

        Args:
            name: a single one.
            through: what a link leads to; nothing if that is nowhere.

        Raises:
            LocalUnwritableError: that cannot be found out.
        """
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=through)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def longest_name(self) -> int:
        """Bytes that a name may have here."""
        return os.fpathconf(self.descriptor, "PC_NAME_MAX")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)


def unwritable(path: Path, error: OSError) -> LocalUnwritableError:
    """The typed error for what the local file system says."""
    return LocalUnwritableError(f"{named(path)} cannot be written: {error.strerror}.")


def fetch(
    session: RemoteSession,
    remote: str,
    entry: RemoteEntry,
    into: Directory,
    name: str,
    *,
    origin: str,
    overwrite: bool,
    progress: Callable[[int], None],
) -> Fetched:
    """Fetch a file to ``name`` in a directory: continued if a part of it is there, checked, dated, then renamed.

    If the transfer breaks, the part stays for the next try, provided that the server tells size and date.

    Args:
        session: the connection.
        remote: the absolute path at the server.
        entry: what the server said about it.
        into: where to.
        name: a single component.
        origin: which server this is; parts of another server's files are not continued.
        overwrite: replace what is there under ``name``.
        progress: called with the bytes that are here.

    Raises:
        AlreadyExistsError: ``overwrite`` is False and the name is taken, even if it was taken meanwhile.
        LocalUnwritableError: the file cannot be written.
        VerificationError: more or fewer bytes came than the server says the file has; the part is removed.
        RemoteError: it cannot be fetched.
    """
    path = into.path / name
    _vacant(into, name, overwrite=overwrite)
    part = _Part.opened(into, name, f"{origin}\0{remote}", entry)
    try:
        try:
            continued = _fill(session, remote, entry, part, progress)
            size = part.complete(entry)
            part.publish(name, overwrite=overwrite)
        except OSError as error:
            raise unwritable(path, error) from error
    except (VerificationError, AlreadyExistsError):
        part.drop()
        raise
    except BaseException:
        part.leave()
        raise
    part.file.close()
    return Fetched(size, continued)


def _vacant(into: Directory, name: str, *, overwrite: bool) -> None:
    """Say early what the end of a long download would say."""
    there = into.look(name)
    if there is None:
        return
    if not overwrite:
        raise AlreadyExistsError(f"{named(into.path / name)} exists already.", remedy="")
    if stat.S_ISDIR(there.st_mode):
        raise LocalUnwritableError(f"{named(into.path / name)} is a directory.")
    if stat.S_ISLNK(there.st_mode):
        # /dev/stdout is one, to a device or a pipe.
        there = into.look(name, through=True) or there
    if not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode) or stat.S_ISDIR(there.st_mode)):
        # The rename would put a file in the place of /dev/null, for everybody.
        raise LocalUnwritableError(f"{named(into.path / name)} is no regular file, and is not replaced.", remedy="")


class _Part:
    """The file that content arrives in."""

    def __init__(self, into: Directory, name: str, descriptor: int, *, lasting: bool) -> None:
        self.into = into
        self.name = name
        self.file: BinaryIO = os.fdopen(descriptor, "r+b")
        self.lasting = lasting
        """Another try can find it again."""

    @classmethod
    def opened(cls, into: Directory, name: str, source: str, entry: RemoteEntry) -> _Part:
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


def _fill(session: RemoteSession, remote: str, entry: RemoteEntry, part: _Part, progress: Callable[[int], None]) -> int:
    """Fetch what is missing; returns how much was there.

    Where continuing is refused, or the part turns out not to be the beginning of this file, all of it is fetched.
    """
    there = part.length()
    offset = there - REPEATED
    if entry.size is not None and offset > 0 and there <= entry.size:
        run = _Run(session, remote, entry, part, progress)
        try:
            run.fetch(offset, there)
        except RemoteError as error:
            if run.unlike:
                part.file.truncate(0)
            # proftpd without AllowRetrieveRestart says 451, "try again"; so it does for ever.
            refused = not run.got and (
                isinstance(error, NotSupportedError | NameRefusedError) or error.reply[:3] in {"450", "451"}
            )
            if not session.usable or not (run.unlike or refused):
                raise
        else:
            return there
    else:
        part.file.truncate(0)
    run = _Run(session, remote, entry, part, progress)
    try:
        # What is there of this file stays until it is written over: if this breaks, too, nothing is lost.
        run.fetch(0, 0)
    except RemoteError as error:
        if run.unlike:
            raise VerificationError(f"More than the {entry.size} bytes of {named(remote)} came.") from error
        raise
    return 0


class _Run:
    """One transfer into a part, watched."""

    def __init__(
        self,
        session: RemoteSession,
        remote: str,
        entry: RemoteEntry,
        part: _Part,
        progress: Callable[[int], None],
    ) -> None:
        self._session = session
        self._remote = remote
        self._size = entry.size
        self._part = part
        self._progress = progress
        self._offset = 0
        self._known = b""
        """What the part holds from the offset on, until it was compared."""
        self.got = False
        """Something came."""
        self.unlike = False
        """Something came that does not fit."""

    def fetch(self, offset: int, there: int) -> None:
        """Fetch from ``offset`` to the end; the bytes up to ``there`` are known and must come again.

        They are written over themselves, so that a transfer that breaks among them loses nothing.
        """
        file = self._part.file
        self._offset = offset
        self._known = os.pread(file.fileno(), there - offset, offset)
        file.seek(offset)
        count = offset + self._session.fetch(self._remote, file, offset=offset, progress=self._seen)
        self._compare(count)
        if self.unlike:
            # Not said in the middle: pure-ftpd never answers to a TLS data connection that is broken off.
            raise TransferFailedError(f"What was here of {named(self._remote)} is not its beginning.")
        if not sizes.fits(self._size, count):
            if self._size is not None and count > self._size:
                raise self._beyond()
            raise VerificationError(f"{count} of {self._size} bytes of {named(self._remote)} came.")

    def _seen(self, count: int) -> None:
        self.got = True
        if not sizes.may_reach(self._size, count):
            raise self._beyond()
        if count >= self._offset + len(self._known):
            self._compare(count)
        self._progress(count)

    def _beyond(self) -> TransferFailedError:
        self.unlike = True
        return TransferFailedError("More came than the file has.")

    def _compare(self, count: int) -> None:
        known, self._known = self._known, b""
        if not known:
            return
        self._part.file.flush()
        came = os.pread(self._part.file.fileno(), len(known), self._offset)
        self.unlike = came != known or count < self._offset + len(known)
