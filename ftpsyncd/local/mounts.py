"""Which file system a path is on, and whether inotify sees everything that happens there.

Comes in: a path. Goes out: a type, a mount id, the mounts below. Called by `watch` and `scan`. Source:
proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_MOUNTINFO = Path("/proc/self/mountinfo")

_REMOTE_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "glusterfs", "lustre"),
        *("beegfs", "gpfs", "panfs", "pvfs2", "orangefs", "davfs", "9p", "drvfs", "wslfs", "virtiofs", "vboxsf"),
        *("vmhgfs", "hgfs", "prl_fs", "fakeowner", "acfs", "gfs", "gfs2", "ocfs2", "curlftpfs", "sshfs"),
    }
)
"""Changed by other machines (or by the host of a virtual one): inotify(7) sees this kernel's own changes only."""

_LOCAL_FUSE = frozenset(
    {
        *("fuseblk", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.exfat-fuse", "fuse.encfs", "fuse.cryfs"),
        *("fuse.gocryptfs", "fuse.fuse-overlayfs", "fuse.lxcfs", "fuse.ext2", "fuse.fuse2fs", "fuse.apfs"),
    }
)
"""The FUSE file systems whose every change passes through this kernel; of any other one it cannot be known."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo."""

    mount_id: int
    point: str
    """Absolute path; bytes that are not UTF-8 as surrogates."""
    filesystem: str
    """Its type: "ext4", "nfs4", "fuse.sshfs"."""
    source: str
    """What is mounted: "/dev/sda1", "server:/export"."""


def parse(text: bytes) -> list[Mount]:
    """The mounts in the content of a mountinfo file, in its order (a later one covers an earlier one).

    Blanks, tabs, newlines and backslashes in paths are octal escapes; lines that make no sense are left out.
    """
    mounts = []
    for line in text.split(b"\n"):
        before, separator, after = line.partition(b" - ")
        fields, tail = before.split(b" "), after.split(b" ")
        if separator and len(fields) >= 6 and len(tail) >= 2 and fields[0].isdigit():
            mounts.append(Mount(int(fields[0]), _unescaped(fields[4]), os.fsdecode(tail[0]), _unescaped(tail[1])))
    return mounts


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field))


class _Table:
    """The mounts of this process, parsed anew only when the kernel says that one came or went: it tells by poll(2)."""

    def __init__(self) -> None:
        self._using = threading.Lock()
        self._descriptor = -1
        """Stays open: it can be read also when no further one is left."""
        self._poll = select.poll()
        self._mounts: Sequence[Mount] = ()

    def mounts(self, *, anew: bool = False) -> Sequence[Mount]:
        """Those of now; none where the system has no mountinfo.

        The same object for as long as nothing changes: one that went and came again may have got the same number.

        Args:
            anew: also where a directory above one got another name, of which the kernel does not tell.

        Raises:
            OSError: it was never opened, and no descriptor is left, for one.
        """
        with self._using:
            changed = False
            if self._descriptor < 0:
                try:
                    self._descriptor = os.open(_MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    return self._mounts
                self._poll.register(self._descriptor, select.POLLPRI | select.POLLERR)
            elif not (changed := bool(self._poll.poll(0))) and not anew:
                return self._mounts
            with open(self._descriptor, "rb", buffering=0, closefd=False) as file:
                file.seek(0)
                found = parse(file.read())
            if changed or found != self._mounts:
                self._mounts = found
            return self._mounts


_table = _Table()


def current(*, anew: bool = False) -> Sequence[Mount]:
    """The mounts of this process, at the cost of one system call while nothing changes; none if that cannot be told.

    Args:
        anew: see `_Table.mounts`; costs as much as there are mounts.
    """
    try:
        return _table.mounts(anew=anew)
    except OSError:
        return ()


def mount_id(path: Path) -> int | None:
    """The id of the mount that ``path`` is on; None if the path is absent, or it cannot be told now.

    Asked of the kernel through a descriptor (``mnt_id`` in fdinfo, proc(5)): exact also for covered mounts.
    """
    try:
        descriptor = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _mount_id_of(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _mount_id_of(descriptor: int) -> int | None:
    """The id of the mount that an open file is on; None if the system does not tell such things.

    Raises:
        OSError: it does, but no descriptor is left, for one.
    """
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_bytes().splitlines()
    except FileNotFoundError:
        return None
    ids = (line[7:].strip() for line in lines if line.startswith(b"mnt_id:"))
    return next((int(each) for each in ids if each.isdigit()), None)


def of_descriptor(descriptor: int) -> Mount | None:
    """The mount that an open file or directory is on; None if the system does not tell.

    Raises:
        OSError: it cannot be told now: no descriptor is left, for one.
    """
    known = _mount_id_of(descriptor)
    return next((mount for mount in _table.mounts() if mount.mount_id == known), None)


def filesystem_type(path: Path) -> str:
    """The type of the file system that ``path`` is on (for an absent path: that of its nearest parent); "" unknown."""
    mounts, known = current(), mount_id(path)
    for mount in mounts:
        if mount.mount_id == known:
            return mount.filesystem
    return _covering(mounts, os.path.realpath(path))


def is_network_type(filesystem: str) -> bool:
    """Whether changes made elsewhere reach a file system of this type without inotify seeing them."""
    if filesystem.startswith("fuse"):
        return filesystem not in _LOCAL_FUSE
    return filesystem in _REMOTE_TYPES


def is_network_filesystem(path: Path) -> bool:
    """Whether inotify misses changes at ``path`` because others than this kernel make them."""
    return is_network_type(filesystem_type(path))


def below(path: Path, table: Sequence[Mount]) -> frozenset[Mount]:
    """Every mount inside the directory ``path``, with places relative to it."""
    return frozenset(_inside(table, path))


def points_below(path: Path, table: Sequence[Mount]) -> frozenset[str]:
    """Where, relative to the directory ``path``, something is mounted inside it."""
    return frozenset(mount.point for mount in _inside(table, path))


def _inside(table: Sequence[Mount], path: Path) -> list[Mount]:
    prefix = os.path.realpath(path).rstrip("/") + "/"
    return [mount._replace(point=mount.point.removeprefix(prefix)) for mount in table if mount.point.startswith(prefix)]


def _covering(mounts: Sequence[Mount], path: str) -> str:
    filesystem, longest = "", -1
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and len(mount.point) >= longest:
            filesystem, longest = mount.filesystem, len(mount.point)
    return filesystem
