"""Which file system a disk holds, whatever number the system has given to the disk this time.

Comes in: an open descriptor. Goes out: the file system's own identifier, in hexadecimal digits. Called by `tree`.

Some file systems (XFS, exFAT, FAT, NTFS, F2FS) tell the device's number for an id (statvfs(3), ``f_fsid``), or none
(ntfs-3g). The number is given out anew: at a boot that finds the disks in another order, or when a disk is plugged in
again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from ftpsyncd.local import mounts

_UDEV = Path("/run/udev/data")
"""Where udev(7) keeps what it has found on block devices: a file ``bMAJOR:MINOR`` each. Other than /dev/disk/by-uuid it
can be seen by a service with ``PrivateDevices``."""

_GETFSUUID = 0x80111500
"""FS_IOC_GETFSUUID, _IOR(0x15, 0, struct fsuuid2), of linux/fs.h since 6.9; some file systems only."""
_FSUUID_BYTES = 17
"""struct fsuuid2: the length, and 16 bytes."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What the system says of any file that is opened, and will not say a moment later."""

_UUID = re.compile(rb"^E:ID_FS_UUID=([0-9A-Fa-f-]+)$", re.MULTILINE)


class _Known:
    """What was found about devices; valid for as long as nothing is mounted or unmounted."""

    def __init__(self) -> None:
        self._using = threading.Lock()
        self._mounts: Sequence[mounts.Mount] = ()
        self._found: dict[int, str] = {}

    def of_device(self, device: int) -> str:
        """What udev knows of the device with this number (st_dev); empty if it knows nothing.

        Raises:
            OSError: that cannot be asked now.
        """
        table = mounts.current()
        with self._using:
            if table is not self._mounts:
                self._mounts, self._found = table, {}
            if device not in self._found:
                self._found[device] = _of_udev(device)
            return self._found[device]


_known = _Known()


def of_descriptor(descriptor: int, device: int) -> str:
    """The identifier of the file system that an open file is on; empty if nobody tells.

    Args:
        descriptor: of any file on it.
        device: its st_dev.

    Raises:
        OSError: that cannot be found out now; it is no other disk for that.
    """
    return _of_kernel(descriptor) or _known.of_device(device)


def _of_kernel(descriptor: int) -> str:
    answer = bytearray(_FSUUID_BYTES)
    try:
        fcntl.ioctl(descriptor, _GETFSUUID, answer)
    except OSError:
        return ""
    uuid = answer[1 : 1 + answer[0]]
    return uuid.hex() if any(uuid) else ""


def _of_udev(device: int) -> str:
    try:
        text = (_UDEV / f"b{os.major(device)}:{os.minor(device)}").read_bytes()
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        return ""
    found = _UUID.search(text)
    return found[1].decode().replace("-", "").lower() if found else ""
