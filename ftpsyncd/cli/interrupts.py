"""Ctrl-C, SIGTERM and a closed terminal while something has to be put away first."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SHOW_CURSOR = "\x1b[?25h"


def release(*numbers: signal.Signals) -> None:
    """Take signals that were held back (`ftpsyncd.cli.main`) from now on, and the one that has waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def tidy_end() -> Iterator[None]:
    """Turn signals into exceptions once, so that ``finally`` runs; a second one ends the process at once.

    The first Ctrl-C raises KeyboardInterrupt, SIGTERM and SIGHUP raise SystemExit (128 + number). What the caller had
    ignored stays so: with nohup(1), the end of the terminal is not ours. Only for the main thread.

    A SIGHUP is never a second one: of a terminal that is closed, the shell tells its jobs and then, as it ends itself,
    the kernel tells them once more, and nobody is there any more to be impatient.
    """
    seen = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1 and number == signal.SIGHUP:
            return
        if seen > 1:
            # Threads may hang on a dead server: only the kernel ends them now. A progress bar has hidden the cursor.
            if sys.stderr.isatty():
                os.write(2, f"{SHOW_CURSOR}\n".encode())
            os._exit(128 + number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        _leave(number, frame)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ended_by_person() -> Iterator[None]:
    """Where Ctrl-C is the way to end, it is no failure."""
    with contextlib.suppress(KeyboardInterrupt):
        yield
