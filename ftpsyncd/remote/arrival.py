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
from collections.abc import Iterator
from typing import BinaryIO

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import AlreadyExistsError, LocalUnwritableError, VerificationError
from ftpsyncd.paths import basename
from ftpsyncd.quoting import named
from ftpsyncd.remote.folders import ACL, Directory, unwritable
from ftpsyncd.remote.port import RemoteEntry

REPEATED = 1024 * 1024
"""Bytes before the end of a part that are fetched again and compared: it must be the beginning of this very file."""
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_NOT_SET = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What a disk says that sets no dates, owners or rights, or none for this user (utimensat(2), chown(2), chmod(2)): a
share, a camera."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Part:
    """The file that content arrives in; a `port.Sink`. What the disk says of it is raised as LocalUnwritableError.

    Args:
        into: where it is.
        final: the name that it gets in the end, by which errors call it.
        name: the one that it has.
        descriptor: of it, open.
        lasting: another try can find it again.
    """

    def __init__(self, into: Directory, final: str, name: str, descriptor: int, *, lasting: bool) -> None:
        self._into = into
        self._final = final
        self._name = name
        self._file: BinaryIO = os.fdopen(descriptor, "r+b")
        self._lasting = lasting
        self._private = False
        """Only its owner can read it while it arrives, whatever a new file would allow."""

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
                    with _kept(into, lasting, descriptor):
                        return cls(into, name, lasting, descriptor, lasting=True)
            passing = _beside(name, secrets.token_hex(8))
            descriptor = os.open(passing, _WRITE | os.O_EXCL, 0o666, dir_fd=into.descriptor)
            with _kept(into, passing, descriptor):
                return cls(into, name, passing, descriptor, lasting=False)
        except OSError as error:
            raise unwritable(into.path / name, error) from error

    @contextlib.contextmanager
    def _touched(self) -> Iterator[None]:
        """What is raised meanwhile is about this file: a progress function, say, may fail for its own reasons."""
        try:
            yield
        except OSError as error:
            raise unwritable(self._into.path / self._final, error) from error

    def be_private(self) -> None:
        """Be for our eyes only until the end, which may not come, where a file is replaced that is not for all."""
        there = self._into.look(self._final)
        with self._touched():
            ours = os.fstat(self._file.fileno())
            if there is not None and stat.S_ISREG(there.st_mode) and not there.st_mode & stat.S_IROTH:
                self._private = True
                self._allow(stat.S_IMODE(ours.st_mode) & stat.S_IRWXU)
            else:
                # An earlier try may have found one.
                self._private = bool(ours.st_size) and not ours.st_mode & (stat.S_IRWXG | stat.S_IRWXO)

    def _be_as_new(self) -> None:
        """Have the rights of a new file."""
        if self._private:
            # Where no further file can be made it stays private.
            with contextlib.suppress(OSError):
                self._allow(stat.S_IMODE(_new(self._into).st_mode))

    def _allow(self, rights: int) -> None:
        try:
            os.fchmod(self._file.fileno(), rights)
        except OSError as error:
            if error.errno not in _NOT_SET:
                raise

    def length(self) -> int:
        """Bytes that are in it."""
        with self._touched():
            return os.fstat(self._file.fileno()).st_size

    def stand(self, offset: int) -> None:
        """Write behind so many bytes from now on."""
        with self._touched():
            self._file.seek(offset)

    def write(self, data: bytes, /) -> None:
        """See `port.Sink`."""
        with self._touched():
            self._file.write(data)

    def read(self, count: int, offset: int) -> bytes:
        """So many bytes of it, or as many as there are."""
        with self._touched():
            self._file.flush()
            return os.pread(self._file.fileno(), count, offset)

    def empty(self) -> None:
        """Keep nothing of what is in it."""
        with self._touched():
            self._file.truncate(0)

    def complete(self, entry: RemoteEntry) -> tuple[int, bool]:
        """Have it on the disk, with its date where that can be set; its size, and whether it has the date.

        Raises:
            VerificationError: the size is not that of the file at the server.
        """
        with self._touched():
            self._file.flush()
        size = self.length()
        if not sizes.fits(entry.size, size):
            raise VerificationError(f"{size} of {entry.size} bytes of {named(self._into.path / self._name)} were kept.")
        dated = entry.mtime_s is not None
        try:
            if entry.mtime_s is not None:
                os.utime(self._file.fileno(), (entry.mtime_s, entry.mtime_s))
        except OSError as error:
            if error.errno not in _NOT_SET:
                raise unwritable(self._into.path / self._final, error) from error
            dated = False
        with self._touched():
            # Else a power cut could leave the final name without the content.
            os.fsync(self._file.fileno())
        return size, dated

    def publish(self, *, overwrite: bool) -> None:
        """Give it the final name.

        Raises:
            AlreadyExistsError: that is taken, and not to be replaced.
        """
        here, path = self._into.descriptor, self._into.path / self._final
        with self._touched():
            if overwrite:
                self._take_place()
                os.replace(self._name, self._final, src_dir_fd=here, dst_dir_fd=here)
                return
            self._be_as_new()
            try:
                # Unlike a rename, a link never replaces, whoever was quicker.
                os.link(self._name, self._final, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
            except FileExistsError as error:
                raise AlreadyExistsError(f"{named(path)} exists already.", remedy="") from error
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise LocalUnwritableError(
                        f"{named(path)} cannot be written: its file system cannot promise not to replace.",
                        remedy="Allow to replace, or choose another file system.",
                    ) from error
                raise
            os.unlink(self._name, dir_fd=here)

    def _take_place(self) -> None:
        """Have owner and rights of the file that is replaced: what was private stays that, a script can still be run.

        Where the owner cannot be set, it has the rights of a new file: the others would be another one's.
        """
        there, acl = self._into.look(self._final), self._into.acl(self._final)
        descriptor = self._file.fileno()
        if there is None or not stat.S_ISREG(there.st_mode):
            self._be_as_new()
            return
        ours = os.fstat(descriptor)
        try:
            if (there.st_uid, there.st_gid) != (ours.st_uid, ours.st_gid):
                os.fchown(descriptor, there.st_uid, there.st_gid)
            _set_acl(descriptor, acl)
            os.fchmod(descriptor, stat.S_IMODE(there.st_mode) & 0o777)
        except OSError as error:
            if error.errno not in _NOT_SET:
                raise
            self._be_as_new()

    def leave(self) -> None:
        """Stay for the next try if that can find it and there is enough in it to be continued."""
        # What does not get to the disk now is fetched again: the length says how much did.
        with contextlib.suppress(OSError):
            self._file.flush()
        if self._lasting and self.length() > REPEATED and not self._is_published():
            self.close()
        else:
            self.drop()

    def _is_published(self) -> bool:
        """It has its final name besides its own one: it was broken off between the two steps of a link."""
        with self._touched():
            return os.fstat(self._file.fileno()).st_nlink > 1

    def drop(self) -> None:
        """Go."""
        # Before the lock is released: nobody can have claimed it.
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._into.descriptor)
        self.close()

    def close(self) -> None:
        """Stay as it is."""
        # Closing writes what is left, which a full disk refuses again; the descriptor is closed all the same.
        with contextlib.suppress(OSError):
            self._file.close()


def _set_acl(descriptor: int, acl: bytes | None) -> None:
    """Give a file an access control list, or none, whatever its directory gives to new ones.

    With a list, what the mode says of the group is only the most that anybody named in the list may do: without it,
    the group itself might do that.
    """
    if acl is not None:
        os.setxattr(descriptor, ACL, acl)
        return
    with contextlib.suppress(OSError):  # it has none, as a rule
        os.removexattr(descriptor, ACL)


def _beside(name: str, owner: str) -> str:
    return basename(names.temporary(f"/{name}", owner))


def _claimed(into: Directory, name: str) -> int | None:
    """The descriptor of a part that is ours and that nobody else is filling; None if there is no such thing."""
    try:
        descriptor, made = _begun(into, name)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENXIO}:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        # It may have got its final name between the opening and the lock.
        same = os.path.samestat(found, os.stat(name, dir_fd=into.descriptor, follow_symlinks=False))
        alone = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and same
        ours = alone and (made or _is_owned_by_us(into, found))
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
        if made:
            _drop_empty(into, name, descriptor)
        os.close(descriptor)
        raise
    if not ours:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _kept(into: Directory, name: str, descriptor: int) -> Iterator[None]:
    """An open part that is ours: nothing of it stays where somebody breaks off what is done with it meanwhile."""
    try:
        yield
    except BaseException:
        _drop_empty(into, name, descriptor)
        raise  # whose the descriptor is by now, nobody knows: closed twice, it could be that of another file


def _drop_empty(into: Directory, name: str, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if os.fstat(descriptor).st_size == 0:
            os.unlink(name, dir_fd=into.descriptor)


def _begun(into: Directory, name: str) -> tuple[int, bool]:
    """The descriptor of a part, and whether it was made just now."""
    try:
        return os.open(name, _WRITE | os.O_EXCL, 0o666, dir_fd=into.descriptor), True
    except FileExistsError:
        return os.open(name, _WRITE, 0o666, dir_fd=into.descriptor), False


def _is_owned_by_us(into: Directory, found: os.stat_result) -> bool:
    """Whether a file belongs to whom our files belong to here.

    That may be somebody else than we are: a share or a FAT disk may give all its files one owner, and NFS makes nobody
    of root.
    """
    if found.st_uid == os.geteuid():
        return True
    return _new(into).st_uid == found.st_uid


def _new(into: Directory) -> os.stat_result:
    """A new file, as the disk makes it: to whom it belongs, and who may do what with it."""
    trial = _beside("trial", secrets.token_hex(8))
    descriptor = os.open(trial, _WRITE | os.O_EXCL, 0o666, dir_fd=into.descriptor)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(trial, dir_fd=into.descriptor)
