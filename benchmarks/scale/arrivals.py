"""When files get their final names in the server's folder: seen through inotify, so that looking costs nothing.

In: a folder to drop into, the folder at the server. Out: seconds from close() to complete, file by file. A program that
renames is seen when it does; one that writes under the final name when the server closes a file of the right size.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ftpsyncd.local import inotify

LIMIT_S = 60.0


class Arrivals:
    """Complete files in one folder, as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kernel = inotify.Inotify()
        self._kernel.add(str(folder), inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self._kernel.close()

    def wait(self, until: float) -> list[tuple[str, float]]:
        """Names that came, with the time of each; returns when some came, or at the time given."""
        left_s = until - time.perf_counter()
        if left_s > 0 and not select.select([self._kernel], [], [], left_s)[0]:
            return []
        events, _ = self._kernel.read()
        at = time.perf_counter()
        return [(os.fsdecode(name), at) for _, _, _, name in events]


def drop_and_time(
    drop: Path, arrived: Path, names: list[str], content: bytes, interval_s: float, *, limit_s: float = LIMIT_S
) -> dict[str, float]:
    """Write one file after the other at a steady pace; what did not arrive is not in the result.

    Returns:
        Name → seconds from just before its close() until it was complete under its final name.
    """
    closed: dict[str, float] = {}
    took: dict[str, float] = {}
    with Arrivals(arrived) as arrivals:

        def collect(until: float) -> None:
            for name, at in arrivals.wait(until):
                if name in closed and name not in took and _size(arrived / name) == len(content):
                    took[name] = at - closed[name]

        due = time.perf_counter()
        for name in names:
            with (drop / name).open("wb") as file:
                file.write(content)
                file.flush()
                closed[name] = time.perf_counter()
            due += interval_s
            while time.perf_counter() < due:
                collect(due)
        deadline = time.perf_counter() + limit_s
        while len(took) < len(names) and time.perf_counter() < deadline:
            collect(deadline)
    return took


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
