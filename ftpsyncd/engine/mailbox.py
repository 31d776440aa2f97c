"""Messages for the engine's thread: put by any other thread, handled by this one in their order.

In: functions that are to run on the engine's thread at one of its turns. Out: these, many at a time. Who asks and waits
for an answer learns whether what was asked had begun when the patience ended.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as await_first
from typing import Any, TypeVar

from ftpsyncd.mapping.site import Moment

TURN_MESSAGES = 512
"""Messages handled before the engine hands out work and commits."""
GATHER_S = 0.005
LOOK_AGAIN_S = 1.0
"""While something is awaited to its end: whether there is an engine still that works on it."""

Message = Callable[[Moment], None]

_T = TypeVar("_T")


class BegunError(TimeoutError):
    """What was asked of the engine was not over in time, but has begun."""


class Mailbox:
    """Where the engine's messages wait."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._left: list[Message] = []
        """Taken out of it and not handled yet; the engine's own."""
        self._lock = threading.Lock()
        self._awaited: set[Future[Any]] = set()
        """Answers that somebody waits for."""
        self._closed = False

    def close(self) -> None:
        """Nobody handles messages any more: who waits for an answer need not wait any longer."""
        with self._lock:
            self._closed = True
            awaited = list(self._awaited)
        for answer in awaited:
            answer.cancel()

    def put(self, message: Message) -> None:
        """Have something done at the next turn; from any thread."""
        self._messages.put(message)

    def put_back(self, messages: list[Message]) -> None:
        """Handle these at the next turn, before all others; on the engine's thread."""
        self._left[:0] = messages

    def ask(
        self,
        question: Callable[[Moment], _T],
        timeout_s: float = 30.0,
        wanted: Callable[[], bool] = lambda: True,
        *,
        to_its_end: bool = False,
    ) -> _T:
        """Run something at the next turn and return its result; from any thread but the engine's.

        Args:
            question: what to run.
            timeout_s: how long to wait; what has not begun by then is not done.
            wanted: is asked right before it begins; if it is not any more, it is not done either.
            to_its_end: what has begun by then is awaited for as long as it takes.

        Raises:
            BegunError: the engine has begun with it and does not turn; it will be done, unless the engine has ended.
            TimeoutError: the engine does not turn, or it is not wanted any more; it will not be done.
        """
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise TimeoutError
            self._awaited.add(future)
        try:
            return self._ask(future, question, timeout_s, wanted)
        except BegunError:
            while to_its_end and not (self._closed or future.done()):
                await_first([future], LOOK_AGAIN_S)
            if not (to_its_end and future.done()):
                raise
            return future.result()
        finally:
            with self._lock:
                self._awaited.discard(future)

    def _ask(
        self, future: Future[_T], question: Callable[[Moment], _T], timeout_s: float, wanted: Callable[[], bool]
    ) -> _T:
        deadline = time.monotonic() + timeout_s

        def answer(at: Moment) -> None:
            # Where the process was stopped for a while, this may come before the end of the patience is noticed.
            if time.monotonic() > deadline or not wanted():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(question(at))
            except Exception as error:
                future.set_exception(error)

        self.put(answer)
        try:
            return future.result(timeout_s)
        except CancelledError:
            raise TimeoutError from None
        except TimeoutError:
            if future.cancel():
                raise
            if future.done():
                return future.result()
            raise BegunError from None

    def wait(self, timeout_s: float, *, gather: Callable[[], bool]) -> list[Message]:
        """The messages of a turn; none if there was none in time.

        Args:
            timeout_s: until the first one.
            gather: whether more of them are about to come, so that they are handled, and committed, together.
        """
        if not self._left:
            try:
                self._left.append(self._messages.get(timeout=max(0.0, timeout_s)))
            except queue.Empty:
                return []
            if gather():
                time.sleep(GATHER_S)
        return self.mail()

    def mail(self) -> list[Message]:
        """The messages that are there, without waiting; whoever turns the engine by hand passes them to its `turn`."""
        messages, self._left = self._left[:TURN_MESSAGES], self._left[TURN_MESSAGES:]
        while len(messages) < TURN_MESSAGES:
            try:
                messages.append(self._messages.get_nowait())
            except queue.Empty:
                break
        return messages
