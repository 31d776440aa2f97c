"""A start on a disk that hangs: said to be one, ended by a signal, and no reason for others to wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

import pytest
from loguru import logger

from ftpsyncd import patience
from ftpsyncd.daemon import starting
from ftpsyncd.daemon.starting import Start, Wish, Wishes
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


@pytest.mark.usefixtures("told")
def test_why_a_start_failed_is_passed_on() -> None:
    failing = Hanging(LedgerError("no"))
    failing.answers.set()
    _, outcome = begun(Start(failing, SimpleQueue()))
    with pytest.raises(LedgerError, match="no"):
        outcome.result(30)
