"""When a file or directory was made: no rename changes that, and no program can set it.

In: what is open, or a name in it. Out: a moment, where kernel and file system keep it. Python's own `os.stat` does not
tell. Called by `publishing.lastlook` and `scan`, of files, and by `tree` and `scan`, of directories. Source: statx(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from ftpsyncd.local import mounts

_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800
_BYTES = 256
_LAYOUT = struct.Struct("=I76xqI")
"""Of struct statx: stx_mask, stx_btime."""
_KEEPERS = frozenset({"btrfs", "ext4", "f2fs", "xfs"})
"""File systems that keep it of each directory, the topmost too; exFAT has that made whenever it is mounted."""


@cache
def _statx() -> Any:
    """The function of the C library; None where it has none."""
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is not None:
        statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    return statx


def told_ns(descriptor: int) -> int:
    """When what is open was made, as the file system tells it, in nanoseconds; 0: it does not."""
    return _asked(descriptor, b"", _AT_EMPTY_PATH)


def named_ns(name: str, directory_fd: int) -> int:
    """When what has a name in an open directory was made, be it a link; as `told_ns`."""
    return _asked(directory_fd, os.fsencode(name), _AT_SYMLINK_NOFOLLOW)


def _asked(descriptor: int, name: bytes, flags: int) -> int:
    if sys.platform != "linux" or _statx() is None:
        return 0
    told = ctypes.create_string_buffer(_BYTES)
    if _statx()(descriptor, name, flags, _STATX_BTIME, told) != 0:
        return 0
    mask, seconds, nanoseconds = _LAYOUT.unpack_from(told)
    return int(seconds) * 10**9 + int(nanoseconds) if mask & _STATX_BTIME else 0


def born_ns(descriptor: int) -> int | None:
    """When an open file was made, by this machine's clock, in nanoseconds.

    Returns:
        None if that is not known: a file server, for one, has its own clock.
    """
    with suppress(OSError):  # it cannot be told now
        mount = mounts.of_descriptor(descriptor)
        if mount is not None and not mounts.is_network_type(mount.filesystem):
            return told_ns(descriptor) or None
    return None


class _Keepers:
    """Which devices keep it; asked once of each, as long as nothing is mounted."""

    def __init__(self) -> None:
        self._known: tuple[Sequence[mounts.Mount], dict[int, bool]] = ((), {})

    def keep(self, descriptor: int, device: int) -> bool:
        """Whether the file system of what is open does.

        Raises:
            OSError: it cannot be told now.
        """
        table, known = self._known
        if table is not (now := mounts.current()):
            table, known = self._known = now, {}
        if device not in known:
            mount = mounts.of_descriptor(descriptor)
            known[device] = mount is not None and mount.filesystem in _KEEPERS
        return known[device]


_keepers = _Keepers()


def lasting_ns(descriptor: int, device: int) -> int:
    """When an open directory was made, the same for as long as it is there; 0: not known.

    Args:
        descriptor: of it.
        device: its st_dev.

    Raises:
        OSError: it cannot be told now.
    """
    return told_ns(descriptor) if _keepers.keep(descriptor, device) else 0
