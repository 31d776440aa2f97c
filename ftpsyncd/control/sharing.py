"""One answer for all who ask the same at the same time: fifty readers cost the daemon little more than a few.

Called by `app` on the server's loop; the work itself is done on other threads. Nobody gets an answer that is older than
his question: who asks while an answer is being worked out shares the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, TypeVar

from ftpsyncd.control.port import ANSWER_S, gives_up_at
from ftpsyncd.errors import ControlError

_Answer = TypeVar("_Answer")
_Begin = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]


class Sharing:
    """Questions under way, by what is asked; used on one loop."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, asyncio.Task[Any]] = {}
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def ask(
        self,
        question: Hashable,
        call: Callable[[], _Answer],
        run: Callable[[Callable[[], _Answer]], Awaitable[_Answer]] = asyncio.to_thread,
    ) -> _Answer:
        """The answer to a question: of ``call``, or of that of somebody else who asked the same and still waits.

        Args:
            question: what is asked; equal questions have the same answer.
            call: works it out, on a thread of its own.
            run: has it run there.

        Raises:
            ControlError: there was no answer in time.
            FtpsyncdError: what ``call`` raised.
        """
        task = self._next.get(question)
        if task is None:
            task = self._next[question] = asyncio.create_task(self._answer(question, call, run))
        # Who leaves does not take the answer away from the others.
        return await in_time(asyncio.shield(task))

    async def _answer(
        self,
        question: Hashable,
        call: Callable[[], _Answer],
        run: Callable[[Callable[[], _Answer]], Awaitable[_Answer]],
    ) -> _Answer:
        if question in self._begun:
            await asyncio.wait([self._begun[question]])
        self._begun[question] = self._next.pop(question)
        try:
            return await in_time(run(call))
        finally:
            del self._begun[question]


class Few:
    """Runs calls on threads, of which so many are under way at most, those that hang and are given up among them.

    Args:
        most: so many; used on one loop.
        of: others that are under way with these, of which there are so many at most together.
    """

    def __init__(self, most: int, of: Few | None = None) -> None:
        self._free = asyncio.Semaphore(most)
        self._begin: _Begin = asyncio.to_thread if of is None else of.run

    async def run(self, call: Callable[[], _Answer]) -> _Answer:
        """What a call returns; it waits for its turn."""
        await self._free.acquire()
        running: asyncio.Future[_Answer] = asyncio.ensure_future(self._begin(call))
        running.add_done_callback(self._over)
        # Who gives up waiting does not end it.
        return await asyncio.shield(running)

    def _over(self, running: asyncio.Future[Any]) -> None:
        self._free.release()
        if not running.cancelled():
            # Whoever still waits is told what it failed of.
            running.exception()


async def in_time(answer: Awaitable[_Answer]) -> _Answer:
    """Wait for an answer of the daemon, but not for ever, since it may hang.

    A call in a thread that is begun here knows how long it is waited for (`port.left_s`).

    Raises:
        ControlError: there was none in time.
    """
    before = gives_up_at.set(time.monotonic() + ANSWER_S)
    try:
        return await asyncio.wait_for(answer, ANSWER_S)
    except TimeoutError as problem:
        raise ControlError(f"The daemon's engine did not answer within {ANSWER_S:g} s.") from problem
    finally:
        gives_up_at.reset(before)
