"""Sending the bytes of one file: straight from the page cache where nothing has to be encrypted, hashed on the side.

`upload` calls. A file is read, hashed and sent block by block on its own thread. Only where the kernel sends a large
one (sendfile(2)), a second thread computes the SHA-256, which takes longer than sending, by reading the same bytes
once more while they are in memory. That the file does not change between the two is the caller's to confirm
afterwards, as it is for any two blocks. Under TLS a second thread would win nothing: a server decrypts and writes
more slowly than one thread hashes and encrypts.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from ftpsyncd.counting import number
from ftpsyncd.errors import FileChangedError, LocalError, LocalUnreadableError
from ftpsyncd.remote.throttle import Throttle

BLOCK = 128 * 1024
"""Small enough to stay in the cache of the core that reads it and then hashes or sends it."""
RECORD = 16 * 1024
"""Bytes of a TLS record at most (RFC 8446 §5.1). While more is hashed at a time, a server that decrypts as fast as it
is sent to has nothing to do, and then too much: 1 GiB to vsftpd on loopback took a quarter more time."""
TOLD_EVERY = 256 * 1024
"""Bytes between two words about how far it is."""
LARGE = 4 * 1024 * 1024
"""Bytes still to be sent from which on the kernel sends and a second thread hashes."""
_SENT_AT_ONCE = 1024 * 1024
_BEHIND = 8
"""Blocks that hashing may be behind sending: few enough to be still in memory."""
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW})

Moved = Callable[[int], None]


class Outlet(Protocol):
    """Where the bytes go (`data.DataLine`)."""

    @property
    def protected(self) -> bool:
        """Whether what is sent gets encrypted, which the kernel cannot do."""

    def send(self, data: memoryview) -> None:
        """Send all of a block."""

    def send_file(self, descriptor: int, offset: int, count: int) -> int:
        """Have the kernel send a part of a file; returns how much, 0 at its end."""


def pour(line: Outlet, file: BinaryIO, start: int, size: int, digest: Any, *, throttle: Throttle, moved: Moved) -> None:
    """Send the bytes from ``start`` to ``size`` of a file and hash them.

    Args:
        line: where to.
        file: unbuffered, at ``start``.
        start: bytes that are sent and hashed already.
        size: of the whole file.
        digest: a hashlib object; complete when this returns.
        throttle: is asked before every block.
        moved: told how many bytes of the file are sent, at most every `TOLD_EVERY`.

    Raises:
        FileChangedError: the file ended early.
        LocalUnreadableError: it cannot be read.
        TransferFailedError: the data connection failed.
    """
    descriptor = None if line.protected or size - start < LARGE else _descriptor(file)
    if descriptor is not None and (beside := _Beside.begun(digest)) is not None:
        with beside:
            start = _let_kernel_send(line, descriptor, start, size, beside, throttle, moved)
    if start < size:
        _read_and_send(line, file, start, size, digest, throttle, moved)


class _Beside:
    """Hashes on a thread of its own, in order, at most `_BEHIND` blocks behind; used in a ``with`` block."""

    def __init__(self, digest: Any) -> None:
        self._digest = digest
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="ftpsyncd-hash")
        self._open: deque[Future[None]] = deque()
        self._block = memoryview(bytearray(BLOCK))

    @classmethod
    def begun(cls, digest: Any) -> Self | None:
        """One whose thread runs; None where the system allows no further one."""
        beside = cls(digest)
        try:
            beside._executor.submit(int)
        except RuntimeError:
            return None
        return beside

    def read(self, descriptor: int, start: int, count: int) -> None:
        """Hash ``count`` bytes of a file from ``start`` on."""
        while len(self._open) >= _BEHIND:
            self._open.popleft().result()
        self._open.append(self._executor.submit(self._read, descriptor, start, count))

    def _read(self, descriptor: int, start: int, count: int) -> None:
        end = start + count
        while start < end:
            try:
                got = os.preadv(descriptor, [self._block[: end - start]], start)
            except OSError as error:
                raise unreadable(error) from error
            if not got:
                raise _ended(start)
            self._digest.update(self._block[:got])
            start += got

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whatever happened, the thread is done with buffers and descriptor before the caller goes on.
        self._executor.shutdown(cancel_futures=error is not None)
        if error is None:
            for future in self._open:
                future.result()


def _read_and_send(
    line: Outlet, file: BinaryIO, start: int, size: int, digest: Any, throttle: Throttle, moved: Moved
) -> None:
    """Read, hash and send block by block."""
    block = memoryview(bytearray(min(BLOCK, size - start)))
    told = start
    while start < size:
        # With a limit, the portions of all its connections are alike.
        most = RECORD if line.protected and not throttle.is_limited else throttle.portion(BLOCK)
        try:
            count = file.readinto(block[: min(most, size - start)])  # type: ignore[attr-defined]
        except OSError as error:
            raise unreadable(error) from error
        if not count:
            raise _ended(start)
        part = block[:count]
        digest.update(part)
        throttle.take(count)
        line.send(part)
        start += count
        if start - told >= throttle.portion(TOLD_EVERY) or start == size:
            told = start
            moved(start)


def _let_kernel_send(
    line: Outlet, descriptor: int, start: int, size: int, beside: _Beside, throttle: Throttle, moved: Moved
) -> int:
    """Send with sendfile(2); returns how far that went: not at all where the file system cannot."""
    told = begin = start
    while start < size:
        part, end = start, min(start + throttle.portion(_SENT_AT_ONCE), size)
        throttle.take(end - start)
        while start < end:
            try:
                sent = line.send_file(descriptor, start, end - start)
            except OSError as error:
                if error.errno in _NO_SENDFILE and start == begin:
                    return start
                raise unreadable(error) from error
            if not sent:
                raise _ended(start)
            start += sent
        beside.read(descriptor, part, end - part)
        if start - told >= throttle.portion(TOLD_EVERY) or start == size:
            told = start
            moved(start)
    return start


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except OSError:  # io.UnsupportedOperation: it is not a file of the operating system
        return None


def unreadable(error: OSError) -> LocalError:
    """What it means that an open file cannot be read, or asked about."""
    if error.errno == errno.ESTALE:
        return FileChangedError("Another machine has deleted or replaced the file.")
    return LocalUnreadableError(f"The file cannot be read: {error.strerror}.")


def _ended(at: int) -> FileChangedError:
    return FileChangedError(f"The file ended after {number(at, 'byte')}; it was longer when its upload began.")
