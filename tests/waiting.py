"""Waiting for a condition with a deadline: the only way tests synchronise."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str = "", timeout_s: float = 30.0) -> None:
    """Return soon after ``condition()`` has become true; fail after ``timeout_s``, saying ``what`` was waited for.

    The longer it takes, the less often it looks: who is waited for, and the tests beside, need the processor.
    """
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}")
        time.sleep(min(0.05, max(0.005, waited_s / 20)))
