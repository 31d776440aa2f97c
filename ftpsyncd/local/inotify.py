"""A small binding to inotify(7): watches in, parsed events out.

Called by `branches` and `watch`. Written here because watchdog's own reader spends 57 to 160 µs per event and loses
the kernel queue in a burst; this one spends about 1 µs.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import Protocol

IN_MODIFY = 0x00000002
IN_ATTRIB = 0x00000004
IN_CLOSE_WRITE = 0x00000008
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_UNMOUNT = 0x00002000
IN_Q_OVERFLOW = 0x00004000
IN_IGNORED = 0x00008000
IN_ONLYDIR = 0x01000000
IN_DONT_FOLLOW = 0x02000000
IN_EXCL_UNLINK = 0x04000000
IN_ISDIR = 0x40000000

_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
_HEADER = struct.Struct("=iIII")
"""struct inotify_event: wd, mask, cookie, len; then len bytes of name, padded with NUL."""

READ_BYTES = 256 * 1024
"""Of one read: more than 8,000 events of short names, so that the kernel queue (16,384) is empty after a few."""


class Kernel(Protocol):
    """What is needed of inotify; tests put a fake in its place."""

    def fileno(self) -> int:
        """The descriptor to poll."""

    def add(self, path: str, mask: int) -> int:
        """Watch a path."""

    def remove(self, wd: int) -> None:
        """Stop watching."""

    def read(self) -> tuple[list[tuple[int, int, int, bytes]], int]:
        """Events and the bytes they took."""

    def close(self) -> None:
        """Close the descriptor."""


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return libc


def _fail(path: str | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def parse(data: memoryview | bytes) -> list[tuple[int, int, int, bytes]]:
    """The events in what read(2) returned from an inotify descriptor."""
    events = []
    unpack = _HEADER.unpack_from
    offset, end = 0, len(data)
    while offset < end:
        wd, mask, cookie, length = unpack(data, offset)
        offset += 16
        name = bytes(data[offset : offset + length]).rstrip(b"\0") if length else b""
        offset += length
        events.append((wd, mask, cookie, name))
    return events


class Inotify:
    """One inotify instance; used by one thread at a time.

    Raises:
        OSError: EMFILE when fs.inotify.max_user_instances (or the limit of open files) is reached.
    """

    def __init__(self) -> None:
        self._fd: int = _libc().inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._fd < 0:
            raise _fail()
        self._buffer = bytearray(READ_BYTES)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._fd

    def add(self, path: str, mask: int) -> int:
        """Watch a path; gives the same watch descriptor again for a directory that is watched already.

        Raises:
            OSError: ENOSPC when fs.inotify.max_user_watches is reached, ENOENT, ENOTDIR, EACCES and others.
        """
        wd: int = _libc().inotify_add_watch(self._fd, os.fsencode(path), mask)
        if wd < 0:
            raise _fail(path)
        return wd

    def remove(self, wd: int) -> None:
        """Stop watching; a descriptor that the kernel dropped already is not an error."""
        _libc().inotify_rm_watch(self._fd, wd)

    def read(self) -> tuple[list[tuple[int, int, int, bytes]], int]:
        """The events that wait now, as (wd, mask, cookie, name), and how many bytes of the queue they took."""
        try:
            size = os.readv(self._fd, [self._buffer])
        except BlockingIOError:
            return [], 0
        return parse(memoryview(self._buffer)[:size]), size

    def close(self) -> None:
        """Close the instance with all its watches; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
