"""What is remembered of failed tries: as much as the next ones need, and no longer."""

from __future__ import annotations

from ftpsyncd.engine import tries
from ftpsyncd.engine.tries import Tries

A, B = ("gallery", "a"), ("sheets", "a")


def test_connections_that_ended_are_counted_until_something_is_known():
    found = Tries()
    assert [found.lost(A), found.lost(A), found.lost(B)] == [1, 2, 1]
    assert [found.over(A), found.over(A), found.lost(A)] == [2, 0, 1]


def test_a_file_that_has_come_forward_begins_anew():
    found = Tries()
    assert not found.came_forward(A, 0)
    found.lost(A)
    assert found.came_forward(A, 5)
    assert found.lost(A) == 1
    assert not found.came_forward(A, 5)
    assert found.lost(A) == 2


def test_of_very_many_those_that_were_tried_lately_are_known(monkeypatch):
    monkeypatch.setattr(tries, "MOST", 3)
    found = Tries()
    for path in "abac" * 2 + "d":
        found.lost(("gallery", path))
    assert len(found) == 3
    assert [found.over(("gallery", path)) for path in "abcd"] == [4, 0, 2, 1]


def test_what_is_over_and_has_not_failed_is_forgotten():
    found = Tries()
    for key in (A, B):
        found.lost(key)
    found.rest(lambda key: key == B)
    assert (found.over(A), found.lost(B)) == (0, 2)


def test_of_a_mapping_that_has_gone_nothing_is_known():
    found = Tries()
    for key in (A, B):
        found.lost(key)
    found.drop("gallery")
    assert (found.over(A), found.over(B)) == (0, 1)
