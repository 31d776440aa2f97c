"""A disk that hangs: a file system in user space whose program does not answer. Needs root."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MNT_DETACH = 2
_REQUEST_MAX = 1 << 16
_HEADER = struct.Struct("<IIQ")
"""Of a request: length, opcode, number; and so begins an answer, with an error in the second place."""
_INIT = 26
_VERSION = (7, 31)


@contextmanager
def hung(place: Path, *, greeted: bool = False) -> Iterator[Callable[[], None]]:
    """Have everything at and below a directory hang; yields what ends that, with an error for whoever waits (fuse(4)).

    Args:
        place: the directory.
        greeted: the program has answered the kernel's first question, as every one has that worked before it hung; who
            asks then sleeps another sleep.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={program},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hung", os.fsencode(place), b"fuse", 0, options):
        os.close(program)
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    waits = [program]
    if greeted:
        _greet(program)

    def answer() -> None:
        if waits:
            libc.umount2(os.fsencode(place), _MNT_DETACH)
            os.close(waits.pop())

    try:
        yield answer
    finally:
        answer()


def _greet(program: int) -> None:
    """Answer FUSE_INIT (fuse_init_out in linux/fuse.h), with nothing that this side could do besides."""
    _, opcode, number = _HEADER.unpack_from(os.read(program, _REQUEST_MAX))
    assert opcode == _INIT
    words = struct.pack("<IIIIHHII", *_VERSION, 0, 0, 1, 1, _REQUEST_MAX, 1).ljust(64, b"\0")
    os.write(program, _HEADER.pack(_HEADER.size + len(words), 0, number) + words)
