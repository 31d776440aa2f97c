"""The order within a mapping: whatever comes and goes, each lane gives the least first, and keeps nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftpsyncd.actions import MakeDir, Upload
from ftpsyncd.core.turn import Lane, Order, Places, Turn, path_of, sorted_as
from ftpsyncd.model import Fingerprint
from tests.core.vocabulary import NOW, M

PATHS = ["a", "a b", "a/b", "a/b/c", "b", "B", "ä", "a\udce4", "img10", "img2"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "discard", "pop"]), st.sampled_from(PATHS), st.integers(0, 5)),
    max_size=60,
)


def upload(path: str) -> Upload:
    return Upload(M, path, Fingerprint(1, 1, 1))


@pytest.mark.parametrize("path", [*PATHS, ""])
def test_a_path_comes_back_as_it_was(path: str):
    assert path_of(sorted_as(path)) == path


def test_a_directory_comes_before_its_content_and_that_before_its_next_sibling():
    paths = ["b", "a b", "a/b", "a", "a/b/c", "B"]
    assert sorted(paths, key=sorted_as) == ["B", "a", "a/b", "a/b/c", "a b", "b"]


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_the_least_of_a_lane_comes_first(steps: list[tuple[str, str, int]]):
    places, turn = Places(), Turn()
    model: dict[str, tuple[Lane, float, str]] = {}
    for what, path, number in steps:
        lane, since = Lane(number % 3), NOW + number // 3
        if what == "add" and path not in model:
            turn.add(places.give(upload(path), Order(lane, since)))
            model[path] = lane, since, sorted_as(path)
        elif what == "discard":
            turn.discard((M, path))
            model.pop(path, None)
        elif what == "pop":
            place = turn.pop(lane)
            waiting = sorted(each for each in model.values() if each[0] is lane)
            assert (place is None) == (not waiting)
            if place is not None:
                assert (place.lane, place.since, place.name) == waiting[0]
                del model[place.key[1]]
        assert len(turn) == len(model)


@pytest.mark.parametrize("since", [1, -1], ids=["ever later", "ever earlier"])
def test_what_comes_and_goes_is_not_kept(since: int):
    places, turn = Places(), Turn()
    turn.add(places.give(upload("stays"), Order(Lane.PASS, NOW)))
    for number in range(5000):
        turn.add(places.give(upload("a"), Order(Lane.PASS, NOW + since * number)))
        turn.discard((M, "a"))
        places.drop((M, "a"))
        assert sum(len(line.row) + len(line.late) for line in turn._lines) < 200
    assert len(places._places) == 1
    place = turn.pop(Lane.PASS)
    assert place is not None
    assert place.key == (M, "stays")


def test_directories_are_made_in_advance():
    places, turn = Places(), Turn()
    for action in (upload("a/b"), MakeDir(M, "z", 1), MakeDir(M, "y", 1)):
        turn.add(places.give(action, Order(Lane.FRESH, NOW)))
    order = []
    while (place := turn.pop(Lane.FRESH)) is not None:
        order.append(place.key[1])
    assert order == ["z", "y", "a/b"]
