"""A start on a disk that hangs: said to be one, ended by a signal, and no reason for others to wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
from loguru import logger

from ftpsyncd import patience
from ftpsyncd.daemon import starting
from ftpsyncd.daemon.starting import Start, Waiting, Wish, Wishes
from ftpsyncd.errors import LedgerError
from tests.supervisor import Told, supervised
from tests.waiting import until


class Hanging:
    """A service whose disk answers when it is let go."""

    awaits = "the state directory /mnt/state"

    def __init__(self, problem: LedgerError | None = None) -> None:
        self.answers = threading.Event()
        self._problem = problem

    def start(self) -> None:
        assert self.answers.wait(60)
        if self._problem is not None:
            raise self._problem


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What systemd was told since the last time."""
    monkeypatch.setattr(patience, "ANSWER_S", 0.05)
    with supervised(tmp_path, monkeypatch) as read:
        yield read


@pytest.fixture
def service() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.answers.set()


def begun(start: Start) -> tuple[threading.Thread, Future[bool]]:
    """Carry it out beside the test."""
    outcome: Future[bool] = Future()

    def carry_out() -> None:
        try:
            outcome.set_result(start.carry_out())
        except LedgerError as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    return thread, outcome


WAITS = "the start waits for the state directory /mnt/state: its disk is slow, or does not answer"


def test_what_the_start_waits_for_is_told_and_systemd_waits_with_it(service: Hanging, told) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    wishes: Wishes = SimpleQueue()
    start = Start(service, wishes)
    _, outcome = begun(start)
    heard: list[str] = []
    until(lambda: heard.extend(told()) or heard.count(f"STATUS={WAITS}") > 5, "what it waits for")  # type: ignore[func-returns-value]
    assert any(each.startswith("EXTEND_TIMEOUT_USEC=") for each in heard)
    assert "READY=1" not in heard
    wishes.put((Wish.RELOAD, None))
    service.answers.set()
    assert outcome.result(30)
    logger.remove(sink)
    assert lines == [f"{WAITS}\n"], "once"
    assert not start.ready
    assert wishes.get(timeout=1)[0] is Wish.RELOAD, "it is granted when the start is over"
    assert wishes.empty()


def test_who_starts_after_us_does_not_wait_for_ever(service: Hanging, told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "DISKS_S", 0.2)
    start = Start(service, SimpleQueue())
    _, outcome = begun(start)
    heard: list[str] = []
    until(lambda: heard.extend(told()) or heard.count("WATCHDOG=1") > 1, "signs of life")  # type: ignore[func-returns-value]
    assert heard.count("READY=1") == 1
    service.answers.set()
    assert outcome.result(30)
    assert start.ready


@pytest.mark.usefixtures("told")
def test_a_start_that_hangs_is_ended_by_a_signal(service: Hanging) -> None:
    wishes: Wishes = SimpleQueue()
    _, outcome = begun(Start(service, wishes))
    wishes.put((Wish.STOP, None))
    assert outcome.result(30) is False


@pytest.mark.usefixtures("told")
def test_who_asks_for_the_end_again_and_again_does_not_put_it_off(service: Hanging) -> None:
    wishes: Wishes = SimpleQueue()
    thread, outcome = begun(Start(service, wishes))
    deadline = time.monotonic() + 10
    while thread.is_alive() and time.monotonic() < deadline:
        wishes.put((Wish.STOP, None))
        thread.join(0.01)
    assert outcome.done()
    assert outcome.result() is False


@pytest.mark.usefixtures("told")
def test_a_start_that_comes_to_its_end_is_stopped_in_order(service: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 30.0)  # it does come to its end, however busy the machine is
    wishes: Wishes = SimpleQueue()
    service.answers.set()
    wishes.put((Wish.STOP, None))
    _, outcome = begun(Start(service, wishes))
    assert outcome.result(30)
    assert wishes.get(timeout=1)[0] is Wish.STOP


class Asked(SimpleQueue[tuple[Wish, Future[str] | None]]):
    """Wishes of which the first look finds none, and for how long each look would have waited."""

    def __init__(self) -> None:
        self.waits_s: list[float | None] = []

    def get(self, block: bool = True, timeout: float | None = None) -> tuple[Wish, Future[str] | None]:  # noqa: FBT001, FBT002 - as there
        self.waits_s.append(timeout)
        if len(self.waits_s) == 1:
            raise Empty
        return super().get(block, 60)


@pytest.mark.usefixtures("told")
def test_each_look_waits_for_as_long_as_a_disk_may_take(service: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would look, and tell systemd, as often as the machine can."""
    monkeypatch.setattr(patience, "ANSWER_S", 3600.0)
    service.answers.set()
    wishes = Asked()
    assert Start(service, wishes).carry_out()
    assert len(wishes.waits_s) == 2
    assert all(each is not None and 3600 < each <= 1.2 * 3600 for each in wishes.waits_s)


@pytest.mark.usefixtures("told")
def test_a_look_that_is_overdue_is_taken_at_once(service: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 0.0)
    wishes: Wishes = SimpleQueue()
    wishes.put((Wish.STOP, None))
    assert Start(service, wishes).carry_out() is False


def test_what_systemd_was_told_before_holds_for_the_next_try(service: Hanging) -> None:
    waiting = Waiting()
    waiting.ready = True
    assert Start(service, SimpleQueue(), waiting).ready


@pytest.mark.usefixtures("told")
def test_why_a_start_failed_is_passed_on() -> None:
    failing = Hanging(LedgerError("no"))
    failing.answers.set()
    _, outcome = begun(Start(failing, SimpleQueue()))
    with pytest.raises(LedgerError, match="no"):
        outcome.result(30)
