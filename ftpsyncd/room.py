"""Whether a disk has room for what SQLite needs beside a database: bytes, and further files; whether it can be written.

In: a directory. Out: yes or no, as statvfs(3) and open(2) tell it. Used by `database`, and by `machine` for what helps.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

INODES = "Remove files from that disk: it has no inodes left (`df -i`)."
"""What helps where `takes_no_file`."""

_NEEDED_BYTES = 64 * 1024
"""Room that SQLite needs at least to begin: 32 KiB of shared memory, and a page or two."""


def is_full(directory: Path) -> bool:
    """Whether SQLite could not write the files that it needs beside a database."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _NEEDED_BYTES


def takes_no_file(directory: Path) -> bool:
    """Whether the disk takes no further file, however much space it has."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return False
    # Btrfs, for one, has no such limit, and tells 0 of 0.
    return status.f_files > 0 and status.f_favail == 0


def is_read_only(directory: Path) -> bool:
    """Whether the disk takes no writes: it was mounted so, or the kernel has made it so after an error.

    Of the latter (``errors=remount-ro`` of ext4) newer kernels tell nothing but by refusing what is begun.
    """
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EROFS
    return False
