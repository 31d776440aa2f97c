"""Looks at what has a longer path than the kernel takes (PATH_MAX), as only what is deep in a folder may.

Comes in: an absolute path. Goes out: its stat. Called by `publishing.lastlook`, since what is found by descriptors
(`scan`) has to be seen by its path, too, or it would never be published, and never deleted; and by `scan` where links
are followed, since only a path leads back through them.
"""

from __future__ import annotations

import errno
import os

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def lstat(path: str) -> os.stat_result:
    """Look at a path of any length, be it a link.

    Raises:
        OSError: as lstat(2).
    """
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    return _by_steps(path, follow_symlinks=False)


def stat(path: str) -> os.stat_result:
    """Look at what a path of any length leads to.

    Raises:
        OSError: as stat(2).
    """
    try:
        return os.stat(path)  # noqa: PTH116 - text, as whoever asks has it
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    return _by_steps(path, follow_symlinks=True)


def _by_steps(path: str, *, follow_symlinks: bool) -> os.stat_result:
    """Go there one directory at a time, through links, as the kernel does."""
    directory, _, name = path.rpartition("/")
    current = os.open("/", _STEP)
    try:
        for each in directory.strip("/").split("/"):
            above, current = current, os.open(each, _STEP, dir_fd=current)
            os.close(above)
        return os.stat(name, dir_fd=current, follow_symlinks=follow_symlinks)
    finally:
        os.close(current)
