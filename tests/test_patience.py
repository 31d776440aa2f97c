"""Disks are asked side by side, and nobody waits for one that hangs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ftpsyncd import patience


def test_all_that_answers_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 10.0)
    began = threading.active_count()
    assert patience.answers({number: lambda number=number: number**2 for number in range(50)}) == {  # type: ignore[misc]
        number: number**2 for number in range(50)
    }
    assert threading.active_count() == began
    assert patience.answers({}) == {}


@pytest.mark.parametrize("hung", [{"a"}, {"c"}, {"a", "b", "d"}, {"a", "b", "c", "d"}])
def test_what_hangs_is_left_out_and_keeps_no_other_waiting(hung: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 1.5)
    goes_on, late = threading.Event(), threading.Semaphore(0)

    def ask(name: str) -> str:
        if name in hung:
            goes_on.wait(20)
            late.release()
        return name

    began = time.monotonic()
    found = patience.answers({name: lambda name=name: ask(name) for name in "abcd"})  # type: ignore[misc]
    assert time.monotonic() - began < 15
    assert found == {name: name for name in "abcd" if name not in hung}
    goes_on.set()
    assert all(late.acquire(timeout=10) for _ in hung)
    assert found.keys() == set("abcd") - hung


def test_what_a_question_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        patience.answers({1: lambda: None, 2: fail})


def test_people_look_at_one_folder_one_after_the_other(tmp_path: Path) -> None:
    glances, goes_on, entered = patience.Glances(), threading.Event(), threading.Event()
    looking, together, answers = 0, 0, []

    def look() -> int:
        nonlocal looking, together
        looking += 1
        together = max(together, looking)
        entered.set()
        assert goes_on.wait(20)
        looking -= 1
        return together

    askers = [
        threading.Thread(target=lambda: answers.append(glances.take(tmp_path, look)))  # each sees the most there were
        for _ in range(5)
    ]
    for asker in askers:
        asker.start()
    assert entered.wait(10)
    assert glances.take(tmp_path / "elsewhere", lambda: "another disk") == "another disk"
    goes_on.set()
    for asker in askers:
        asker.join(10)
    assert answers == [1] * 5


def test_a_look_that_fails_is_over(tmp_path: Path) -> None:
    glances = patience.Glances()

    def fail() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            glances.take(tmp_path, fail)
    assert glances.take(tmp_path, lambda: 1) == 1


def test_nobody_waits_for_a_look_that_has_hung_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 0.2)
    glances, goes_on = patience.Glances(), threading.Event()
    with pytest.raises(TimeoutError):
        glances.take(tmp_path, lambda: goes_on.wait(20))
    monkeypatch.setattr(patience, "ANSWER_S", 0.0)  # whoever asks now has no time to wait
    with pytest.raises(TimeoutError):
        glances.take(tmp_path, lambda: pytest.fail("a second look"))
    monkeypatch.setattr(patience, "ANSWER_S", 10.0)
    waiting: list[int] = []
    asker = threading.Thread(target=lambda: waiting.append(glances.take(tmp_path, lambda: 7)))
    asker.start()
    goes_on.set()
    asker.join(10)
    assert waiting == [7]


def test_where_no_further_thread_is_allowed_it_is_looked_at_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread_begins(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread_begins)
    glances = patience.Glances()
    assert [glances.take(tmp_path, lambda: 1) for _ in range(2)] == [1, 1]
    assert patience.answers({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}


def test_a_look_for_which_there_was_no_memory_keeps_no_later_one_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place was taken for one whose disk does not answer, a password's file for as long as the daemon ran."""

    def no_memory(_thread: threading.Thread) -> None:
        raise MemoryError

    glances = patience.Glances()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_memory)
        with pytest.raises(MemoryError):
            glances.take(tmp_path, lambda: 1)
    monkeypatch.setattr(patience, "ANSWER_S", 0.2)
    assert glances.take(tmp_path, lambda: 1) == 1
