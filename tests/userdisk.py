"""A file system in user space with one file, ``f``, whose program may fail or die (fuse(4)). Needs root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MNT_FORCE, _MNT_DETACH = 1, 2
_REQUEST_MAX = 1 << 17
_IN = struct.Struct("<IIQQIIII")
"""struct fuse_in_header: length, opcode, number, node, and four more."""
_OUT = struct.Struct("<IiQ")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT, _INTERRUPT, _BATCH_FORGET = (
    1, 2, 3, 14, 15, 18, 25, 26, 36, 42,
)  # fmt: skip
_ROOT, _FILE = 1, 2
_CHANGED_S = 1_500_000_000


class Disk:
    """The program.

    Args:
        place: where it is mounted.
        content: of the file.
        fails_at: reading there or behind is answered with ``code``.
        code: an errno.
    """

    def __init__(self, place: Path, content: bytes, *, fails_at: int, code: int) -> None:
        self.file = place / "f"
        self._content = content
        self._fails_at = fails_at
        self._code = code
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"user", os.fsencode(place), b"fuse", 0, options):
            os.close(self._device)
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def die(self) -> None:
        """Be lost, as with ``umount -f`` or a program that is killed: nothing is answered any more (ENOTCONN)."""
        ctypes.CDLL(None).umount2(os.fsencode(self.file.parent), _MNT_FORCE)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                request = os.read(self._device, _REQUEST_MAX)
                _, act, number, node, *_ = _IN.unpack_from(request)
                if act in {_FORGET, _BATCH_FORGET, _INTERRUPT}:
                    continue
                answer = self._answered(act, node, request[_IN.size :])
                code, data = (-answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(self._device, _OUT.pack(_OUT.size + len(data), code, number) + data)

    def _answered(self, act: int, node: int, words: bytes) -> bytes | int:
        """An answer, or an errno."""
        if act == _READ:
            _, offset, size = struct.unpack_from("<QQI", words)
            return self._code if offset + size > self._fails_at else self._content[offset : offset + size]
        if act == _LOOKUP and words.rstrip(b"\0") != b"f":
            return errno.ENOENT
        return {
            # The version, and how much is read ahead and written at a time.
            _INIT: struct.pack("<IIIIHHII", 7, 31, 1 << 17, 0, 12, 9, 1 << 16, 1).ljust(64, b"\0"),
            _GETATTR: struct.pack("<QII", 0, 0, 0) + self._facts(node),
            _LOOKUP: struct.pack("<QQQQII", _FILE, 0, 0, 0, 0, 0) + self._facts(_FILE),
            _OPEN: struct.pack("<QII", 1, 0, 0),
            _RELEASE: b"",
            _FLUSH: b"",
        }.get(act, errno.ENOSYS)

    def _facts(self, node: int) -> bytes:
        mode, size, links = (0o40755, 4096, 2) if node == _ROOT else (0o100644, len(self._content), 1)
        seconds = (_CHANGED_S,) * 3
        return struct.pack("<6Q10I", node, size, -(-size // 512), *seconds, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)

    def close(self) -> None:
        """Unmount, and end: also where a process in another mount namespace, which has a copy of it, keeps it mounted."""
        self.die()
        ctypes.CDLL(None).umount2(os.fsencode(self.file.parent), _MNT_DETACH)
        # Whoever still reads would read of what gets this number next.
        self._thread.join()
        os.close(self._device)


@contextmanager
def disk(place: Path, content: bytes, *, fails_at: int = 1 << 62, code: int = errno.EIO) -> Iterator[Disk]:
    """Such a file system; see `Disk`."""
    made = Disk(place, content, fails_at=fails_at, code=code)
    try:
        yield made
    finally:
        made.close()
