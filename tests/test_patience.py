"""Disks are asked side by side, and nobody waits for one that hangs."""

from __future__ import annotations

import threading
import time

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
    monkeypatch.setattr(patience, "ANSWER_S", 0.5)
    goes_on, late = threading.Event(), threading.Semaphore(0)

    def ask(name: str) -> str:
        if name in hung:
            goes_on.wait(20)
            late.release()
        return name

    began = time.monotonic()
    found = patience.answers({name: lambda name=name: ask(name) for name in "abcd"})  # type: ignore[misc]
    assert time.monotonic() - began < 5
    assert found == {name: name for name in "abcd" if name not in hung}
    goes_on.set()
    assert all(late.acquire(timeout=10) for _ in hung)
    assert found.keys() == set("abcd") - hung


def test_what_a_question_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        patience.answers({1: lambda: None, 2: fail})
