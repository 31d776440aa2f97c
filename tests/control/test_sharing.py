"""Readers who ask the same at the same time share an answer, and nobody gets one that is older than his question."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ftpsyncd.control import sharing
from ftpsyncd.control.port import MARGIN_S, left_s
from ftpsyncd.control.sharing import Few, Sharing
from ftpsyncd.errors import ControlError


class Work:
    """A question whose answers the test lets out one by one: 1, 2, 3 …"""

    def __init__(self) -> None:
        self.begun = 0
        self._may_end = threading.Semaphore(0)
        self._has_begun = threading.Event()

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self._has_begun.set()
        assert self._may_end.acquire(timeout=30)
        return number

    def end_one(self) -> None:
        self._may_end.release()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self._has_begun.wait, 30)


def asked(shared: Sharing, work: Callable[[], int], question: str = "status") -> asyncio.Task[int]:
    return asyncio.create_task(shared.ask(question, work))


def test_who_asks_while_an_answer_is_worked_out_shares_the_next_one() -> None:
    async def story() -> None:
        shared, work = Sharing(), Work()
        first = asked(shared, work)
        await work.until_begun()
        later = [asked(shared, work) for _ in range(10)]
        work.end_one()
        assert await first == 1
        work.end_one()
        assert await asyncio.gather(*later) == [2] * 10
        assert work.begun == 2
        after = asked(shared, work)
        work.end_one()
        assert await after == 3

    asyncio.run(story())


def test_those_who_ask_together_share_one() -> None:
    async def story() -> None:
        shared, work = Sharing(), Work()
        readers = [asked(shared, work) for _ in range(10)]
        work.end_one()
        assert await asyncio.gather(*readers) == [1] * 10
        assert work.begun == 1

    asyncio.run(story())


def test_another_question_has_an_answer_of_its_own_and_does_not_wait() -> None:
    async def story() -> None:
        shared, slow = Sharing(), Work()
        waiting = asked(shared, slow)
        await slow.until_begun()
        assert await asked(shared, lambda: 7, "history") == 7
        slow.end_one()
        assert await waiting == 1

    asyncio.run(story())


def test_a_reader_who_leaves_takes_nothing_away() -> None:
    async def story() -> None:
        shared, work = Sharing(), Work()
        leaving, staying = asked(shared, work), asked(shared, work)
        await work.until_begun()
        leaving.cancel()
        work.end_one()
        assert await staying == 1
        assert leaving.cancelled()

    asyncio.run(story())


def test_a_failure_is_told_to_all_and_is_over_then() -> None:
    def broken() -> int:
        raise ControlError("No.")

    async def story() -> None:
        shared = Sharing()
        told = await asyncio.gather(*(asked(shared, broken) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in told] == ["No."] * 3
        assert await asked(shared, lambda: 5) == 5

    asyncio.run(story())


def test_a_daemon_that_hangs_keeps_nobody_longer_than_he_would_wait_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "ANSWER_S", 0.2)

    async def story() -> None:
        shared, work = Sharing(), Work()
        first = asked(shared, work)
        await work.until_begun()
        second = asked(shared, work)
        told = await asyncio.gather(first, second, return_exceptions=True)
        assert all(isinstance(each, ControlError) for each in told)
        work.end_one()
        work.end_one()

    asyncio.run(story())


def test_a_call_knows_how_long_its_asker_waits_also_where_it_had_to_wait_for_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "ANSWER_S", 5.0)
    assert left_s() > 5.0  # nobody is told that there is no answer

    async def story() -> None:
        loop, busy, work = asyncio.get_running_loop(), asyncio.Event(), Work()
        loop.set_default_executor(ThreadPoolExecutor(1))

        def hold() -> int:
            loop.call_soon_threadsafe(busy.set)
            return work()

        first = asyncio.create_task(sharing.in_time(asyncio.to_thread(hold)))
        await busy.wait()
        before = time.monotonic()
        second = asyncio.create_task(sharing.in_time(asyncio.to_thread(lambda: time.monotonic() + left_s())))
        await asyncio.sleep(0)
        asked_by = time.monotonic()
        work.end_one()
        assert await first == 1
        assert before <= await second - (5.0 - MARGIN_S) <= asked_by

    asyncio.run(story())


def test_so_many_calls_are_under_way_at_most_and_one_that_is_given_up_is_until_it_ends() -> None:
    async def story() -> None:
        few, works = Few(2), [Work() for _ in range(4)]
        calls = [asyncio.create_task(few.run(work)) for work in works]
        for work in works[:2]:
            await work.until_begun()
        calls[0].cancel()
        await asyncio.wait(calls[:1])
        for _ in range(3):
            # What may begin is handed to a thread before this is.
            await asyncio.to_thread(int)
        assert [work.begun for work in works] == [1, 1, 0, 0], "a thread has it still"
        for work in (works[1], works[2], works[0], works[3]):
            await work.until_begun()
            work.end_one()
        assert await asyncio.gather(*calls[1:]) == [1] * 3

    asyncio.run(story())


def test_those_of_a_kind_are_among_all_that_are_under_way() -> None:
    async def story() -> None:
        every = Few(2)
        ones, others = Few(1, every), Few(2, every)
        works = [Work() for _ in range(4)]
        fews = (ones, ones, others, others)
        calls = [asyncio.create_task(few.run(work)) for few, work in zip(fews, works, strict=True)]
        for work in (works[0], works[2]):
            await work.until_begun()
        assert [work.begun for work in works] == [1, 0, 1, 0]
        for work in (works[0], works[2], works[1], works[3]):
            await work.until_begun()
            work.end_one()
        assert await asyncio.gather(*calls) == [1] * 4

    asyncio.run(story())


def test_a_call_that_fails_when_nobody_waits_any_more_is_not_reported() -> None:
    reported: list[object] = []

    def broken() -> int:
        raise ControlError("No.")

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: reported.append(context))
        few, work = Few(1), Work()
        call = asyncio.create_task(few.run(lambda: work() and broken()))
        await work.until_begun()
        call.cancel()
        work.end_one()
        # Its turn comes when that is over.
        assert await few.run(lambda: 3) == 3
        with pytest.raises(ControlError, match="No"):
            await few.run(broken)

    asyncio.run(story())
    gc.collect()
    assert reported == []
