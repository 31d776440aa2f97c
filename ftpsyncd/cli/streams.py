"""The standard streams: there, forgiving, and of no consequence to work when their reader leaves."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Reader(io.FileIO):
    """Where a stream leads to: its reader may leave."""

    patient = True
    """The rest is said to nobody, rather than broken off with an error."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or act as if."""
        try:
            while (written := super().write(data)) is None:
                # Who shares the stream with us has made it one that keeps nobody waiting (O_NONBLOCK).
                select.select([], [self], [])
        except BrokenPipeError:
            if not self.patient:
                raise
            silence(self.fileno())
            written = memoryview(data).nbytes
        return written


class _Listener(_Reader):
    """Where messages go: one that cannot be written, since a disk is full, keeps no work from being done."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or act as if."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def open_streams() -> None:
    """Read from and write to nothing where the caller has closed a stream (``>&-``).

    Python says None there, and the next file or connection would get the number that everybody takes for a stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free, so that of this stream: nothing else was opened yet.
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def make_streams_forgiving() -> None:
    """Bear names that the terminal's encoding lacks, which print as escapes, readers that leave, and lost messages."""
    for name, raw in (("stdout", _Reader), ("stderr", _Listener)):
        stream = getattr(sys, name)
        stream.flush()
        forgiving = io.TextIOWrapper(
            io.BufferedWriter(raw(stream.fileno(), "w", closefd=False)),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, forgiving)


def end_with_reader() -> None:
    """For commands that only print: without a reader of stdout nothing is left to be done."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Reader):
        raw.patient = False


def silence(number: int) -> None:
    """Point a stream at nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
