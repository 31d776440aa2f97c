"""Keeps the threads of this process on one CPU while there are many small files to publish.

CPython lets one thread run at a time. Whoever makes a system call lets the next one run; on another CPU that one has to
be woken there, and the first one, back after some microseconds, waits for it in turn. With five threads that make
thirty short calls for each file, a third of all CPU time went into that (`perf`: waking and switching). On one CPU the
thread that runs goes on until it really waits for something.

Where files are large, hashing and sending need no interpreter and use several CPUs: threads stay where they are then.

In: what the engine says is wanted. Out: sched_setaffinity(2) for all threads. Where that is not allowed, nothing
happens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

LASTS_S = 1.0
"""Threads stay together for so long after that was last wanted."""
ANEW_S = 10.0
"""So often they part for a moment, and meet where the kernel has put the first one meanwhile."""

KEPT_OUT = "ftpsyncd-alerts"
"""What a thread starts keeps its CPUs: no command of an operator is to inherit one of ours."""

Mask = set[int]


def current_cpu() -> int:
    """The CPU that the calling thread runs on, or ran on a moment ago (proc(5): ``processor``)."""
    stat = Path(f"/proc/self/task/{threading.get_native_id()}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[36])


def threads(*, all_of_them: bool) -> Iterable[int]:
    """The kernel's numbers of the threads; all, or those that are to come together."""
    return [
        thread.native_id
        for thread in threading.enumerate()
        if thread.native_id is not None and (all_of_them or not thread.name.startswith(KEPT_OUT))
    ]


class Together:
    """Whether the threads of this process are together, for the thread that decides about it.

    Args:
        get: the CPUs that a thread may use; 0 is the caller.
        put: restricts a thread to some CPUs.
        here: the CPU of the caller.
    """

    def __init__(
        self,
        get: Callable[[int], Mask] = os.sched_getaffinity,
        put: Callable[[int, Mask], None] = os.sched_setaffinity,
        here: Callable[[], int] = current_cpu,
    ) -> None:
        self._get, self._put, self._here = get, put, here
        self._mask: Mask = set()
        """What the threads may use when they are not together; empty: they are not."""
        self._until = 0.0
        self._anew_at = 0.0
        self._allowed = True

    def __bool__(self) -> bool:
        """Whether they are together."""
        return bool(self._mask)

    def tend(self, now: float, *, wanted: bool) -> None:
        """Gather them if that is wanted, let them go if it has not been wanted for `LASTS_S`.

        Args:
            now: monotonic seconds.
            wanted: there is much to do for all of them, and little that needs no interpreter.
        """
        if wanted:
            self._until = now + LASTS_S
            if not self._mask:
                self._gather(now)
            elif now >= self._anew_at:
                self.part()
        elif self._mask and now >= self._until:
            self.part()

    def part(self) -> None:
        """Let every thread use all its CPUs again."""
        mask, self._mask = self._mask, set()
        if mask:
            self._put_all(mask, threads(all_of_them=True))

    def _gather(self, now: float) -> None:
        if not self._allowed:
            return
        try:
            mask, cpu = self._get(0), self._here()
        except (OSError, ValueError, IndexError):  # no /proc, or another one than Linux's
            self._allowed = False
            return
        if len(mask) > 1:
            self._mask, self._anew_at = mask, now + ANEW_S
            self._put_all({cpu}, threads(all_of_them=False))

    def _put_all(self, mask: Mask, who: Iterable[int]) -> None:
        for thread in who:
            try:
                self._put(thread, mask)
            except ProcessLookupError:
                continue  # it has ended
            except OSError:
                # A sandbox; or the CPUs were taken from us meanwhile, which the kernel has answered by itself.
                self._allowed = False
                return
