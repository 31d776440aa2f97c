"""The content of a file that a person has named, whatever is there: a pipe, a socket, a device without an end.

In: a path. Out: bytes, or an OSError whose words are for people. Used for the configuration (`document`) and for
secrets (`password`).
"""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path

WRITER_S = 2.0
"""So long a named pipe may wait for whoever is to write into it: somebody may have been started together with us.
Shorter than a disk may take to answer (`patience.ANSWER_S`), for which it would be taken."""


def content(path: Path, most: int) -> bytes:
    """What is in a file, up to ``most`` bytes; a pipe is read to its end, as long as that takes whoever writes it.

    Args:
        path: of the file.
        most: bytes, at least 1.

    Raises:
        OSError: it cannot be read; also where it is a socket, or a pipe that nobody writes into.
        ValueError: a path that no file can have.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - Path.open takes no opener; closed below
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(error.errno, "it is a socket") from None
        raise
    with file:
        first = _first_byte(file.fileno()) if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode) else b""
        os.set_blocking(file.fileno(), True)
        return first + file.read(most - len(first))


def _without_waiting(path: str, flags: int) -> int:
    """Else a pipe that nobody writes into would be waited for without an end (fifo(7))."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _first_byte(pipe: int) -> bytes:
    """The first byte, if it has come by now.

    Raises:
        OSError: there is none, and nobody who writes.
    """
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    ended = bool(waiting.poll(WRITER_S * 1000))
    try:
        first = os.read(pipe, 1)
    except BlockingIOError:
        return b""  # somebody has it open for writing
    if not first and not ended:
        raise OSError(errno.ENXIO, "it is a pipe that nobody writes into")
    return first
