"""Whether a disk has room for what SQLite needs beside a database: bytes, and further files.

In: a directory. Out: yes or no, as statvfs(3) tells it. Used by `database`, and by `machine` for what helps.
"""

from __future__ import annotations

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
