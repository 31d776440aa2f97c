"""Ways into a mapping's folder by directory descriptors, so that no symbolic link can lead a path out of its root.

Comes in: a root and a relative path. Goes out: an open descriptor, or the identity of the root. Called by `scan` and
`quiet`. A path is walked one component at a time with ``openat(O_NOFOLLOW)`` (open(2), openat(2)): a check by path
followed by an open by path could be tricked by a rename in between.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import string
import time
from collections.abc import Collection
from pathlib import Path

from ftpsyncd import lacking
from ftpsyncd.errors import NoDescriptorError
from ftpsyncd.local import birth, mounts, uuids, wayin
from ftpsyncd.model import RootIdentity
from ftpsyncd.paths import join

_OTHER_CASE = {ord(letter): ord(letter.swapcase()) for letter in string.ascii_letters}

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOCTTY

_LEDGER_INTEGER = (1 << 63) - 1
"""Inode numbers and file system ids are unsigned (mergerfs and NFS use all 64 bits); SQLite's integers are signed."""

LISTED_KEPT = 16
"""Directories whose names are remembered: those on the way down to the ones that are listed one after the other."""
STAMP_NS = 2 * 10**9
"""What changes within this time may leave the same ctime: FAT keeps two seconds."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
"""What the kernel says when there is nothing at a path: the only proof of absence."""


LEADS_NOWHERE = GONE | {errno.ELOOP, errno.EXDEV}
"""As `GONE`, of a symbolic link that is followed: to nothing, in circles, or (in `LinkError`) out of the root."""


class LinkError(OSError):
    """A symbolic link on the way is not followed: outside the root, in a loop, or to nothing."""


def fold(number: int) -> int:
    """A 64-bit unsigned number as one the ledger can keep; only equality of such numbers means anything."""
    return number & _LEDGER_INTEGER


def require_descriptors(error: OSError) -> None:
    """What could not be opened was refused for its own sake.

    Raises:
        NoDescriptorError: this process, or the system, has too many files open: it says nothing about a path.
    """
    if lack := lacking.files(error):
        raise NoDescriptorError(f"{lack}.") from error


def open_root(root: Path) -> int:
    """Open the root for reading; it may be reached through symbolic links (`wayin`). The caller closes it.

    Raises:
        OSError: it is absent, not a directory, or not readable; or a link leads there that may not.
    """
    return wayin.open_folder(root, DIRECTORY_FLAGS)


def why_missing(root: Path) -> str:
    """Why a root cannot be opened now, in words."""
    try:
        os.close(open_root(root))
    except FileNotFoundError:
        return f"the folder {root} is not there"
    except OSError as error:
        return f"the folder {root} cannot be opened: {error.strerror}"
    return f"the folder {root} was missing a moment ago"


def identity_of(descriptor: int) -> RootIdentity:
    """The identity of the directory behind an open descriptor.

    Raises:
        OSError: the file system does not answer.
    """
    status = os.fstat(descriptor)
    inode = fold(status.st_ino)
    if made_ns := birth.lasting_ns(descriptor, status.st_dev):
        # The inode of a folder that was removed is soon another one's.
        inode = _number_for(f"made\0{inode}\0{made_ns}")
    return RootIdentity(inode, filesystem_of(descriptor, status.st_dev))


def filesystem_of(descriptor: int, device: int) -> int:
    """A number for the file system that an open directory is on, as in `RootIdentity`.

    Args:
        descriptor: of the directory.
        device: its st_dev.

    Raises:
        OSError: the file system does not answer.
    """
    filesystem = fold(os.fstatvfs(descriptor).f_fsid)
    if filesystem in {0, device} and (uuid := uuids.of_descriptor(descriptor, device)):
        filesystem = _number_for(f"uuid\0{uuid}")
    return filesystem or _named(descriptor) or device


def lasting_filesystem_of(descriptor: int, device: int) -> int:
    """As `filesystem_of`, if it will be so after another mount, too; else 0.

    A number that is given out anew at every mount (of autofs, for one: major 0) is no reason to call it another one.
    """
    filesystem = filesystem_of(descriptor, device)
    return 0 if filesystem == device and not os.major(device) else filesystem


def root_identity(root: Path) -> RootIdentity | None:
    """The identity of what is at ``root`` now; None if no readable directory is there.

    Raises:
        NoDescriptorError: that cannot be told.
    """
    try:
        descriptor = open_root(root)
    except OSError as error:
        require_descriptors(error)
        return None
    try:
        return identity_of(descriptor)
    except OSError as error:
        require_descriptors(error)
        return None
    finally:
        os.close(descriptor)


def numbered_identity(root: Path) -> RootIdentity | None:
    """As ledgers may know some folders: by the inode alone, and the device's number in the place of the file system."""
    try:
        status = root.stat()
    except OSError:
        return None
    return RootIdentity(fold(status.st_ino), status.st_dev)


def _named(descriptor: int) -> int:
    """A number for a file system without an id and a disk (NFS, mergerfs), made from its type and source; 0 for others.

    Its st_dev will not do: that is given out anew at every mount, so it would be another folder after a reboot.
    """
    mount = mounts.of_descriptor(descriptor)
    if mount is None or not (mounts.is_network_type(mount.filesystem) or mount.filesystem.startswith("fuse.")):
        return 0
    return _number_for(f"{mount.filesystem}\0{mount.source}")


def _number_for(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return fold(int.from_bytes(digest))


def open_directory(
    root: Path, root_fd: int, directory: str, *, follow_symlinks: bool, spellings: Spellings | None = None
) -> tuple[int, str]:
    """Open ``directory`` below an open root; the caller closes the descriptor.

    Args:
        root: the root.
        root_fd: it is open.
        directory: relative path.
        follow_symlinks: go on where links lead, inside the root.
        spellings: what is listed in another case is not there; None: it is.

    Returns:
        The descriptor, and the relative path of the real directory (differs from ``directory`` only where
        a symbolic link was followed).

    Raises:
        LinkError: ``follow_symlinks`` is set and a link on the way may not be followed.
        OSError: as openat(2); a link that is not followed is ENOTDIR.
    """
    current, real = root_fd, ""
    seen = {_place(root_fd)} if follow_symlinks else set()
    try:
        for name in directory.split("/") if directory else ():
            try:
                below = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=current)
                real = join(real, name)
            except OSError as error:
                if not (follow_symlinks and error.errno in {errno.ENOTDIR, errno.ELOOP} and _is_link(name, current)):
                    raise
                real = resolve_link(root, join(real, name))
                below, _ = open_directory(root, root_fd, real, follow_symlinks=False)
            above, current = current, below
            try:
                if spellings is not None and not spellings.is_listed(name, above):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            finally:
                if above != root_fd:
                    os.close(above)
            if follow_symlinks:
                _go_to_new(current, seen)
    except BaseException:
        if current != root_fd:
            os.close(current)
        raise
    return current if directory else os.dup(root_fd), real


def places_on_the_way(root: Path, root_fd: int, directory: str) -> set[tuple[int, int]]:
    """(st_dev, st_ino) of the root and of every directory down to ``directory``, links followed.

    A link inside ``directory`` to one of these would lead in circles.

    Raises:
        OSError: as `open_directory`.
    """
    places = {_place(root_fd)}
    parts = directory.split("/") if directory else []
    for depth in range(1, len(parts) + 1):
        descriptor, _ = open_directory(root, root_fd, "/".join(parts[:depth]), follow_symlinks=True)
        try:
            places.add(_place(descriptor))
        finally:
            os.close(descriptor)
    return places


def is_spelled_so(root: str, path: str) -> bool:
    """Whether what a relative path leads to is listed there in this very spelling.

    Where a file system does not tell upper from lower case, a path also leads to what has been renamed to another case.

    Raises:
        OSError: that cannot be found out.
    """
    directory = root
    for name in path.split("/"):
        # A large directory is listed only where there is a doubt.
        if _in_another_case(name, f"{directory}/") and name not in os.listdir(directory):  # noqa: PTH208 - no path object
            return False
        directory = f"{directory}/{name}"
    return True


def other_spellings(names: Collection[str], directory_fd: int) -> set[str]:
    """Those of some names, all found in an open directory, that it lists in another case.

    Raises:
        OSError: it cannot be listed.
    """
    doubtful = {name for name in names if _in_another_case(name, directory_fd=directory_fd)}
    return doubtful.difference(os.listdir(directory_fd)) if doubtful else doubtful


class Spellings:
    """Whether directories list names in the case in which they are found, remembered for as long as nothing is mounted.

    Else a directory would be listed anew for each that is opened in it. Where a file system tells cases apart, a
    directory of it for which that was switched off (ext4) is taken for one that does, too.
    """

    def __init__(self) -> None:
        self._tell_apart: set[int] = set()
        """Devices."""
        self._listed: dict[tuple[int, int, int], frozenset[str]] = {}
        """What was in directories of others: by device, inode and ctime."""

    def is_listed(self, name: str, directory_fd: int) -> bool:
        """Whether a name that was found in an open directory is listed there in this case.

        Raises:
            OSError: it cannot be listed.
        """
        status = os.fstat(directory_fd)
        if status.st_dev in self._tell_apart:
            return True
        key = status.st_dev, status.st_ino, status.st_ctime_ns
        names = self._listed.get(key)
        if names is None:
            if not _in_another_case(name, directory_fd=directory_fd):
                if name.translate(_OTHER_CASE) != name and _is_there(name, directory_fd):
                    self._tell_apart.add(status.st_dev)
                return True
            names = frozenset(os.listdir(directory_fd))
            if time.time_ns() - status.st_ctime_ns > STAMP_NS:
                self._listed[key] = names
                if len(self._listed) > LISTED_KEPT:
                    del self._listed[next(iter(self._listed))]
        return name in names


def _is_there(name: str, directory_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def _in_another_case(name: str, prefix: str = "", directory_fd: int | None = None) -> bool:
    """Whether a name is found with all its letters in the other case, too."""
    other = name.translate(_OTHER_CASE)
    if other == name:
        return False
    try:
        os.stat(prefix + other, dir_fd=directory_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def resolve_link(root: Path, path: str) -> str:
    """The real path, relative to the root, of a link at the real relative path ``path``.

    Raises:
        LinkError: it leads out of the root, in circles, or to nothing.
        OSError: where it leads cannot be found out.
    """
    top = os.path.realpath(root)
    try:
        target = os.path.realpath(os.path.join(top, path), strict=True)  # noqa: PTH118 - bytes that are not UTF-8
    except OSError as error:
        if error.errno not in LEADS_NOWHERE:
            raise
        words = "a symbolic link in a loop" if error.errno == errno.ELOOP else "a symbolic link to nothing"
        raise LinkError(error.errno or errno.ENOENT, words) from error
    if target == top:
        return ""
    prefix = top.rstrip("/") + "/"
    if not target.startswith(prefix):
        raise LinkError(errno.EXDEV, "a symbolic link to a place outside the folder")
    return target[len(prefix) :]


def look_through(root: Path, path: str) -> os.stat_result | None:
    """What is at ``path`` where links are followed; None if there is nothing, or a link that leads nowhere.

    Raises:
        OSError: that cannot be found out.
    """
    try:
        root_fd = open_root(root)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    try:
        return _look_through(root, root_fd, path)
    except OSError as error:
        if error.errno in LEADS_NOWHERE:
            return None
        raise
    finally:
        os.close(root_fd)


def _look_through(root: Path, root_fd: int, path: str) -> os.stat_result:
    directory, _, name = path.rpartition("/")
    descriptor, real = open_directory(root, root_fd, directory, follow_symlinks=True)
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    finally:
        os.close(descriptor)
    if not stat.S_ISLNK(status.st_mode):
        return status
    directory_of_target, _, last = resolve_link(root, join(real, name)).rpartition("/")
    descriptor, _ = open_directory(root, root_fd, directory_of_target, follow_symlinks=False)
    try:
        status = os.stat(last or ".", dir_fd=descriptor, follow_symlinks=False)
    finally:
        os.close(descriptor)
    if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) in places_on_the_way(root, root_fd, directory):
        raise LinkError(errno.ELOOP, "a symbolic link in a loop")
    return status


def _go_to_new(descriptor: int, seen: set[tuple[int, int]]) -> None:
    place = _place(descriptor)
    if place in seen:
        raise LinkError(errno.ELOOP, "a symbolic link in a loop")
    seen.add(place)


def _place(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _is_link(name: str, directory_fd: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode)
