"""A disk that hangs: a file system in user space whose program never answers. Needs root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MNT_DETACH = 2


@contextmanager
def hung(place: Path) -> Iterator[Callable[[], None]]:
    """Have everything at and below a directory hang; yields what ends that, with an error for whoever waits (fuse(4))."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={program},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hung", os.fsencode(place), b"fuse", 0, options):
        os.close(program)
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    waits = [program]

    def answer() -> None:
        if waits:
            libc.umount2(os.fsencode(place), _MNT_DETACH)
            os.close(waits.pop())

    try:
        yield answer
    finally:
        answer()
