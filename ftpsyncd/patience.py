"""Questions to disks, of which any may never answer: asked side by side, and awaited for so long at most.

In: what is to be found out. Out: what was. Used where somebody waits for the answer: the configuration while it is
loaded, what answers without a daemon, `check`. The work of a mapping has a thread of its own (`local.disk`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

ANSWER_S = 5.0
"""A disk that has not told in this time what was asked of it does not answer."""
AT_ONCE_S = 0.05
"""Disks that answer have done so by then, one after the other: as a rule one thread does."""

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


def answers(questions: Mapping[_Key, Callable[[], _Answer]]) -> dict[_Key, _Answer]:
    """Ask; what is not answered within `ANSWER_S` is missing in what is returned. What a question raises is raised.

    The threads end when the disks answer, and keep no process from ending.
    """
    deadline = time.monotonic() + ANSWER_S
    waiting = deque(questions.items())
    found: dict[_Key, _Answer] = {}
    failed: list[Exception] = []

    def ask() -> None:
        while waiting:
            try:
                key, question = waiting.popleft()
            except IndexError:  # another thread has it
                return
            try:
                found[key] = question()
            except Exception as error:  # raised again below
                failed.append(error)

    def another() -> threading.Thread:
        thread = threading.Thread(target=ask, name="question to a disk", daemon=True)
        thread.start()
        return thread

    threads = [another()]
    threads[0].join(AT_ONCE_S)
    # One of them keeps the others waiting: each gets its own.
    threads += [another() for _ in range(len(waiting))]
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if failed:
        raise failed[0]
    return found.copy()
