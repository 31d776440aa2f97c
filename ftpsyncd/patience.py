"""Questions to disks, of which any may never answer: asked side by side, and awaited for so long at most.

In: what is to be found out. Out: what was. Used where somebody waits for the answer: the configuration while it is
loaded, the file itself, secrets, what answers without a daemon, `check`. The work of a mapping has a thread of its own
(`local.disk`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
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

    threads = [_begun(ask, "question to a disk")]
    _wait_for(threads[0], AT_ONCE_S)
    # One of them keeps the others waiting: each gets its own.
    threads += [_begun(ask, "question to a disk") for _ in range(len(waiting))]
    for thread in threads:
        _wait_for(thread, deadline - time.monotonic())
    if failed:
        raise failed[0]
    return found.copy()


def awaited(
    act: Callable[[], _Answer],
    tell: Callable[[float], None],
    *,
    every_s: float | None = None,
    name: str = "question to a disk",
) -> _Answer:
    """What ``act`` returns, or raises, however long a disk takes for it; the thread that asks can obey signals.

    Args:
        act: asks the disk, or name servers, on a thread of its own.
        tell: is told again and again for how many seconds has been waited.
        every_s: how often; by default every `ANSWER_S`.
        name: of the thread.
    """
    began, answer = time.monotonic(), asked(act, name)
    while not answer.done():
        try:
            return answer.result(ANSWER_S if every_s is None else every_s)
        except TimeoutError:
            if not answer.done():
                tell(time.monotonic() - began)
    return answer.result()


def asked(act: Callable[[], _Answer], name: str) -> Future[_Answer]:
    """What ``act`` returns, or raises, when it has: it is done on a thread of its own, if there can be one.

    Args:
        act: asks somebody who may never answer.
        name: of the thread.
    """
    answer = Future[_Answer]()

    def ask() -> None:
        try:
            answer.set_result(act())
        except BaseException as error:  # raised where the answer is asked for
            answer.set_exception(error)

    _begun(ask, name)
    return answer


def _begun(act: Callable[[], None], name: str) -> threading.Thread:
    """A thread that does something; where the system allows no further one, it is done here."""
    thread = threading.Thread(target=act, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        act()
    return thread


def _wait_for(thread: threading.Thread, timeout_s: float) -> None:
    if thread.is_alive():
        thread.join(max(0.0, timeout_s))


class Glances:
    """Looks at the disk for those who wait for the answer; used on any thread, but one that must not wait.

    One at a time at each place, on a thread of its own: a disk that does not answer holds up no more than that.
    """

    def __init__(self) -> None:
        self._over = threading.Condition()
        self._begun: dict[Path, float] = {}
        """When the look that is under way at a place began, in monotonic seconds."""

    def take(self, place: Path, look: Callable[[], _Answer]) -> _Answer:
        """What ``look`` returns.

        Raises:
            TimeoutError: the disk of the place has not answered for `ANSWER_S`, this look or the one before it.
            MemoryError: there is none left for it.
        """
        until = time.monotonic() + ANSWER_S
        with self._over:
            while (begun := self._begun.get(place)) is not None:
                if not self._over.wait(min(until, begun + ANSWER_S) - time.monotonic()):
                    raise TimeoutError
            self._begun[place] = time.monotonic()
        try:
            answer: Future[_Answer] = Future()

            def ask() -> None:
                try:
                    answer.set_result(look())
                except Exception as error:
                    answer.set_exception(error)
                finally:
                    self._end(place)

            _begun(ask, f"glance at {place}")
        except MemoryError:
            # The look has not begun: nobody who comes later is to wait for its end.
            self._end(place)
            raise
        return answer.result(max(0.0, until - time.monotonic()))

    def _end(self, place: Path) -> None:
        with self._over:
            self._begun.pop(place, None)
            self._over.notify_all()
