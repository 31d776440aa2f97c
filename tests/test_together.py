"""All threads on one CPU while that helps, and only then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd.together import ANEW_S, LASTS_S, Together, current_cpu
from tests.e2e.site import site
from tests.servers import running
from tests.waiting import until


class Kernel:
    """Which CPUs the threads may use, as a kernel with four of them knows it."""

    def __init__(self, cpus: int = 4) -> None:
        self.all = set(range(cpus))
        self.cpu = 2
        self.masks: dict[int, set[int]] = {}
        self.put_error: Callable[[int], OSError | None] = lambda _thread: None
        self.here_error: Exception | None = None
        self.calls = 0

    def get(self, thread: int) -> set[int]:
        assert thread == 0
        return self.all

    def put(self, thread: int, mask: set[int]) -> None:
        self.calls += 1
        if error := self.put_error(thread):
            raise error
        self.masks[thread] = mask

    def here(self) -> int:
        if self.here_error is not None:
            raise self.here_error
        return self.cpu

    def together(self) -> Together:
        return Together(self.get, self.put, self.here)

    def used(self) -> set[frozenset[int]]:
        return {frozenset(mask) for mask in self.masks.values()}


@contextmanager
def another_thread(name: str) -> Iterator[int]:
    """A thread that does nothing; gives the kernel's number of it."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name=name)
    thread.start()
    try:
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        over.set()
        thread.join()


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_all_threads_come_where_the_first_one_is(kernel: Kernel) -> None:
    together = kernel.together()
    together.tend(100.0, wanted=True)
    assert together
    assert kernel.used() == {frozenset({2})}
    assert kernel.masks.keys() == {thread.native_id for thread in threading.enumerate()}


def test_who_starts_commands_of_others_stays_where_it_is(kernel: Kernel) -> None:
    with another_thread("ftpsyncd-alerts-delivery") as alerts:
        together = kernel.together()
        together.tend(100.0, wanted=True)
        assert kernel.masks
        assert alerts not in kernel.masks
        # It may have been started by one of those that were together.
        together.part()
        assert alerts in kernel.masks


def test_nothing_happens_while_it_is_not_wanted(kernel: Kernel) -> None:
    together = kernel.together()
    together.tend(100.0, wanted=False)
    assert not together
    assert kernel.calls == 0


def test_they_part_when_it_has_not_been_wanted_for_a_while(kernel: Kernel) -> None:
    together = kernel.together()
    together.tend(100.0, wanted=True)
    together.tend(100.0 + LASTS_S / 2, wanted=False)
    assert together
    together.tend(100.0 + LASTS_S, wanted=False)
    assert not together
    assert kernel.used() == {frozenset(kernel.all)}


def test_being_wanted_again_and_again_asks_the_kernel_for_nothing(kernel: Kernel) -> None:
    together = kernel.together()
    together.tend(100.0, wanted=True)
    calls = kernel.calls
    for i in range(50):
        together.tend(100.0 + ANEW_S * i / 51, wanted=True)
    assert kernel.calls == calls


def test_from_time_to_time_they_meet_elsewhere(kernel: Kernel) -> None:
    together = kernel.together()
    together.tend(100.0, wanted=True)
    together.tend(100.0 + ANEW_S, wanted=True)
    assert kernel.used() == {frozenset(kernel.all)}
    kernel.cpu = 3
    together.tend(100.1 + ANEW_S, wanted=True)
    assert kernel.used() == {frozenset({3})}


def test_with_one_cpu_there_is_nothing_to_do() -> None:
    kernel = Kernel(cpus=1)
    together = kernel.together()
    together.tend(100.0, wanted=True)
    assert not together
    assert kernel.calls == 0


def test_a_thread_that_has_ended_is_passed_over(kernel: Kernel) -> None:
    gone = threading.get_native_id()
    kernel.put_error = lambda thread: ProcessLookupError() if thread == gone else None
    with another_thread("worker") as other:
        kernel.together().tend(100.0, wanted=True)
        assert gone not in kernel.masks
        assert other in kernel.masks


def test_where_it_is_forbidden_it_is_tried_once(kernel: Kernel) -> None:
    kernel.put_error = lambda _thread: PermissionError()
    together = kernel.together()
    for at in range(5):
        together.tend(100.0 + at * 2 * ANEW_S, wanted=at % 2 == 0)
    assert not together
    # Once to gather them, once to undo what may have been done of that.
    assert kernel.calls == 2


@pytest.mark.parametrize("error", [FileNotFoundError(), IndexError(), ValueError()])
def test_without_proc_nothing_happens(kernel: Kernel, error: Exception) -> None:
    kernel.here_error = error
    together = kernel.together()
    together.tend(100.0, wanted=True)
    assert not together
    assert kernel.calls == 0


def test_the_kernel_says_where_this_thread_is() -> None:
    before = os.sched_getaffinity(0)
    try:
        for cpu in sorted(before)[:2]:
            os.sched_setaffinity(0, {cpu})
            assert current_cpu() == cpu
    finally:
        os.sched_setaffinity(0, before)


def _masks(pid: int) -> set[frozenset[int]]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.add(frozenset(os.sched_getaffinity(int(task.name))))
        except ProcessLookupError:
            continue
    return found


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one CPU")
def test_the_daemon_gathers_for_a_burst_and_parts_after_it(tmp_path: Path) -> None:
    everywhere = frozenset(os.sched_getaffinity(0))
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        s.start()
        assert s.process is not None
        pid = s.process.pid
        assert _masks(pid) == {everywhere}
        for i in range(600):
            (s.drop / f"{i}.jpg").write_bytes(b"small")
        until(lambda: all(len(mask) == 1 for mask in _masks(pid)), "its threads are together", 60)
        s.until_equal()
        until(lambda: _masks(pid) == {everywhere}, "its threads are where they like", 60)
