"""When a file was made: no rename changes that, and no program can set it.

In: an open file. Out: a moment of this machine's clock, where kernel and file system keep it. Python's own `os.stat`
does not tell. Called by `publishing.lastlook`. Source: statx(2).
"""

from __future__ import annotations

import ctypes
import struct
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from ftpsyncd.local import mounts

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_BYTES = 256
_LAYOUT = struct.Struct("=I76xqI")
"""Of struct statx: stx_mask, stx_btime."""


@cache
def _statx() -> Any:
    """The function of the C library; None where it has none."""
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is not None:
        statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    return statx


def born_ns(descriptor: int) -> int | None:
    """When an open file was made, in wall-clock nanoseconds.

    Returns:
        None if that is not known: neither kernel nor file system need keep it, and a file server has its own clock.
    """
    if sys.platform != "linux" or _statx() is None:
        return None
    with suppress(OSError):  # it cannot be told now
        mount = mounts.of_descriptor(descriptor)
        if mount is not None and not mounts.is_network_type(mount.filesystem):
            told = ctypes.create_string_buffer(_BYTES)
            if _statx()(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, told) == 0:
                mask, seconds, nanoseconds = _LAYOUT.unpack_from(told)
                return int(seconds) * 10**9 + int(nanoseconds) if mask & _STATX_BTIME else None
    return None
