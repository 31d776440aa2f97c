"""Waiting for a condition with a deadline: the only way tests synchronise."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str = "", timeout_s: float = 10.0) -> None:
    """Return soon after ``condition()`` has become true; fail after ``timeout_s``, saying ``what`` was waited for.

    The longer it takes, and the more a look costs (thousands of files), the less often it looks: who is waited for, and the
    tests beside, need the processor.
    """
    began, used = time.monotonic(), time.thread_time()
    while not condition():
        waited_s, look_s = time.monotonic() - began, time.thread_time() - used
        if waited_s > timeout_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}")
        time.sleep(max(min(0.05, max(0.005, waited_s / 20)), min(1.0, 4 * look_s)))
        used = time.thread_time()
