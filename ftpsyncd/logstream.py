"""The stream under the log: a line is written whole, or it is known that it was not, and nobody is kept waiting.

In: lines. Out: bytes on a file, a pipe or a terminal. What a full disk or a reader that is away does not take is not
kept: a stream of Python's would write it much later, or tear it, and fail once more when the process ends.
"""

from __future__ import annotations

import os
import select
from typing import TextIO

READER_S = 1.0
"""Who reads the log may keep us waiting for so long, once: nothing more is written until he goes on."""
_PIECE = select.PIPE_BUF // 4
"""Characters; of up to four bytes each. So much a pipe takes when it takes something (pipe(7))."""


def is_journal(stream: TextIO) -> bool:
    """Whether ``stream`` is the journal's own: an inherited variable alone proves nothing (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class LogStream:
    """Writes lines.

    Args:
        stream: where to. Its descriptor, if it has one, is written without its buffer.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._torn = False
        """The last line is there in part."""

    def write(self, line: str) -> bool:
        """Write a line; False if that, or the rest of it, cannot be, or would keep everybody waiting."""
        # In the C locale the stream could not take what a name may hold.
        writable = line.encode(self._encoding, "backslashreplace").decode(self._encoding) + "\n"
        if self._torn:
            writable = f"\n{writable}"
        for start in range(0, len(writable), _PIECE):
            if not self.is_read(READER_S) or not self._put(writable[start : start + _PIECE]):
                return False
        self._torn = False
        return True

    def is_read(self, patience_s: float) -> bool:
        """Whether the stream takes something: a pipe is full when nobody reads it, and a terminal may be stopped."""
        descriptor = self._descriptor()
        if descriptor is None:
            return True
        stream = select.poll()
        stream.register(descriptor, select.POLLOUT)
        return bool(stream.poll(patience_s * 1000))

    def _put(self, piece: str) -> bool:
        descriptor = self._descriptor()
        try:
            if descriptor is None:
                self._stream.write(piece)
                self._stream.flush()
            else:
                data = piece.encode(self._encoding)
                while data:
                    data = data[os.write(descriptor, data) :]
                    self._torn = True
        except (OSError, ValueError):
            return False  # a full disk or a closed terminal must not stop the publishing
        return True

    def _descriptor(self) -> int | None:
        try:
            return self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            return None
