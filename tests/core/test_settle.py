"""Dirty paths merge, come when they are due, and are never lost; a file is quiet when it has shown no change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.core import settle
from ftpsyncd.core.settle import (
    DIRTY_DIRECTORIES,
    MARKED_IN_A_ROW,
    NAMES_MOST,
    NAMES_PER_DIRECTORY,
    NEW_S,
    RELIST_GAP_S,
    Dirty,
    Work,
    quiet_at,
    sight,
)
from ftpsyncd.core.turn import Lane, Order
from ftpsyncd.paths import basename, join, parent
from tests.core.vocabulary import NOW, WALL, S, file, seen

PASS = Order(Lane.PASS, NOW)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def names(directory: str, *names_of: str) -> Work:
    return Work(directory, frozenset(names_of), deep=False)


def whole(directory: str) -> Work:
    return Work(directory, None, deep=False)


def deep(directory: str) -> Work:
    return Work(directory, None, deep=True)


def take(dirty: Dirty, now: float, *, marked_only: bool = False) -> Work | None:
    """The next piece of work, whatever its turn."""
    work = dirty.take(now, marked_only=marked_only)
    return None if work is None else work._replace(order=Order())


def taken(dirty: Dirty, now: float) -> list[Work]:
    """Everything that is due."""
    works = []
    while (work := take(dirty, now)) is not None:
        works.append(work)
        assert len(works) < 100_000, "it hands out work for ever"
    return works


# ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_marked_nothing_due():
    dirty = Dirty()
    assert dirty.next_due() is None
    assert take(dirty, NOW) is None
    assert not dirty.due_by(NOW)


def test_a_name_comes_when_it_is_due_and_once():
    dirty = Dirty()
    dirty.mark("d/a", NOW + 2)
    assert dirty.next_due() == NOW + 2
    assert taken(dirty, NOW + 1.9) == []
    assert taken(dirty, NOW + 2) == [names("d", "a")]
    assert taken(dirty, NOW + 100) == []
    assert dirty.next_due() is None


def test_due_by_looks_ahead():
    dirty = Dirty()
    dirty.mark("a", NOW + 2)
    assert not dirty.due_by(NOW + 1)
    assert dirty.due_by(NOW + 2)


def test_names_of_one_directory_come_together():
    dirty = Dirty()
    for path in ("d/a", "d/b", "e/a", "d/c"):
        dirty.mark(path, NOW)
    assert sorted(taken(dirty, NOW), key=lambda work: work.directory) == [names("d", "a", "b", "c"), names("e", "a")]


def test_names_that_are_not_due_stay():
    dirty = Dirty()
    dirty.mark("d/a", NOW)
    dirty.mark("d/b", NOW + 5)
    assert taken(dirty, NOW) == [names("d", "a")]
    assert dirty.next_due() == NOW + 5
    assert taken(dirty, NOW + 5) == [names("d", "b")]


def test_an_earlier_mark_wins_whichever_comes_first():
    for dues in [(NOW + 9, NOW + 1), (NOW + 1, NOW + 9)]:
        dirty = Dirty()
        for due in dues:
            dirty.mark("a", due)
        assert dirty.next_due() == NOW + 1
        assert taken(dirty, NOW + 1) == [names("", "a")]
        assert taken(dirty, NOW + 100) == []


def test_a_path_marked_again_after_it_was_taken_comes_again():
    dirty = Dirty()
    dirty.mark("a", NOW)
    assert taken(dirty, NOW) == [names("", "a")]
    dirty.mark("a", NOW)
    assert taken(dirty, NOW) == [names("", "a")]


def test_nobody_wakes_for_a_time_that_was_put_off():
    dirty = Dirty()
    dirty.mark("a", NOW + 10)
    dirty.mark("a", NOW)
    assert take(dirty, NOW) == names("", "a")
    dirty.mark("a", NOW + 60)
    assert dirty.next_due() == NOW + 60


def test_what_is_due_first_comes_first():
    dirty = Dirty()
    dirty.mark("late/a", NOW + 2)
    dirty.mark("early/a", NOW + 1)
    assert [work.directory for work in taken(dirty, NOW + 3)] == ["early", "late"]


def test_the_root_itself_is_looked_at_as_a_directory():
    dirty = Dirty()
    dirty.mark("", NOW)
    assert taken(dirty, NOW) == [whole("")]


# ── Whole directories ────────────────────────────────────────────────────────────────────────────────────────────


def test_as_many_names_as_allowed_stay_names():
    dirty = Dirty()
    every = [str(n) for n in range(NAMES_PER_DIRECTORY)]
    for name in every:
        dirty.mark(f"d/{name}", NOW)
    assert taken(dirty, NOW) == [names("d", *every)]


def test_one_name_more_and_the_directory_is_listed():
    dirty = Dirty()
    for n in range(NAMES_PER_DIRECTORY + 1):
        dirty.mark(f"d/{n}", NOW)
    assert taken(dirty, NOW) == [whole("d")]


@pytest.mark.parametrize("last", [0, NAMES_PER_DIRECTORY])
def test_a_collapsed_directory_is_listed_when_its_first_name_is_due(last: int):
    dirty = Dirty()
    for n in range(NAMES_PER_DIRECTORY + 1):
        dirty.mark(f"d/{n}", NOW + (1 if n == last else 10))
    assert dirty.next_due() == NOW + 1
    assert taken(dirty, NOW + 1) == [whole("d")]


def test_a_known_name_does_not_collapse_a_full_directory():
    dirty = Dirty()
    for n in range(NAMES_PER_DIRECTORY):
        dirty.mark(f"d/{n}", NOW)
    dirty.mark("d/0", NOW)
    (work,) = taken(dirty, NOW)
    assert work.names is not None


def test_a_listing_answers_the_names_that_are_due_and_leaves_the_others():
    dirty = Dirty()
    dirty.mark("d/now", NOW)
    dirty.mark("d/later", NOW + 10)
    dirty.mark_directory("d", NOW)
    assert taken(dirty, NOW) == [whole("d")]
    assert taken(dirty, NOW + 10) == [names("d", "later")]


def test_a_name_due_after_a_listing_that_is_due_anyway_adds_nothing():
    dirty = Dirty()
    dirty.mark_directory("d", NOW)
    dirty.mark("d/a", NOW + 5)
    assert taken(dirty, NOW) == [whole("d")]
    assert taken(dirty, NOW + 5) == []


def test_a_listing_that_is_asked_for_again_is_not_put_off():
    dirty = Dirty()
    dirty.mark_directory("d", NOW)
    dirty.mark_directory("d", NOW + 5)
    assert taken(dirty, NOW) == [whole("d")]


def test_a_look_is_awaited_until_it_begins():
    dirty = Dirty()
    dirty.mark("d/a", NOW)
    assert (dirty.awaits("d/a"), dirty.awaits("d/b"), dirty.awaits("e/a")) == (True, False, False)
    dirty.mark_directory("d", NOW)
    assert (dirty.awaits("d/a"), dirty.awaits("d/b"), dirty.awaits("e/a")) == (True, True, False)
    assert taken(dirty, NOW) == [whole("d")]
    assert not dirty.awaits("d/a")


def test_a_name_due_before_a_listing_comes_by_itself():
    dirty = Dirty()
    dirty.mark_directory("d", NOW + 5)
    dirty.mark("d/a", NOW)
    assert taken(dirty, NOW) == [names("d", "a")]
    assert taken(dirty, NOW + 5) == [whole("d")]


def test_a_directory_is_not_listed_again_at_once():
    dirty = Dirty()
    dirty.mark_directory("d", NOW)
    assert taken(dirty, NOW) == [whole("d")]
    dirty.mark_directory("d", NOW)
    dirty.mark_directory("e", NOW)
    assert taken(dirty, NOW) == [whole("e")]
    assert dirty.next_due() == NOW + RELIST_GAP_S
    assert taken(dirty, NOW + RELIST_GAP_S) == [whole("d")]


# ── The whole tree ───────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_before_directories_of_a_deep_scan():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    assert take(dirty, NOW) == deep("")
    dirty.push_deep(["d", "e"], PASS)
    dirty.mark("f/a", NOW)
    assert take(dirty, NOW) == names("f", "a")
    assert take(dirty, NOW) == deep("d")


def test_what_is_marked_all_the_time_keeps_no_scan_waiting():
    """As files that are written all the time, in more directories than can be asked about as often as they change."""
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    dirty.mark_deep("new", NOW)
    works = []
    for turn in range(4 * MARKED_IN_A_ROW):
        for number in range(2 * MARKED_IN_A_ROW):
            dirty.mark(f"busy {number}/a", NOW + turn)
        works.append(take(dirty, NOW + turn))
        if works[-1] == deep(""):
            dirty.push_deep(["d"], PASS)
    turns = {turn: work for turn, work in enumerate(works) if work and work.deep}
    assert list(turns.values()) == [deep("new"), deep(""), deep("d")]
    assert list(turns) == [MARKED_IN_A_ROW, 2 * MARKED_IN_A_ROW + 1, 3 * MARKED_IN_A_ROW + 2], "nor the other way round"
    assert dirty.take(NOW + 1000, marked_only=True) is not None


def test_while_there_is_no_room_for_a_scan_it_waits_however_much_is_marked():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    for number in range(2 * MARKED_IN_A_ROW):
        dirty.mark(f"busy {number}/a", NOW)
        assert take(dirty, NOW, marked_only=True) == names(f"busy {number}", "a")
    assert take(dirty, NOW, marked_only=True) is None
    dirty.mark("busy/a", NOW)
    assert take(dirty, NOW) == deep("")
    assert take(dirty, NOW) == names("busy", "a")


@pytest.mark.parametrize("later", [names("d", "b"), whole("d")], ids=["a name", "the directory"])
def test_a_scan_answers_what_is_due_in_a_directory_and_nothing_that_is_due_later(later: Work):
    """What is due later may change, or comes to rest, when the scan has been there."""
    dirty = Dirty()
    for number in range(MARKED_IN_A_ROW):
        dirty.mark(f"busy {number}/a", NOW)
    dirty.mark("d/a", NOW)
    if later.names is None:
        dirty.mark_directory("d", NOW + 5)
    else:
        dirty.mark("d/b", NOW + 5)
    dirty.mark_deep("d", NOW)
    for number in range(MARKED_IN_A_ROW):
        assert take(dirty, NOW) == names(f"busy {number}", "a")
    assert take(dirty, NOW) == deep("d")
    assert take(dirty, NOW) is None
    assert dirty.next_due() == NOW + 5
    assert taken(dirty, NOW + 5) == [later]


def test_only_marked_paths_come_when_there_is_no_room_for_a_scan():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    dirty.mark("a", NOW)
    assert take(dirty, NOW, marked_only=True) == names("", "a")
    assert take(dirty, NOW, marked_only=True) is None
    assert dirty.next_due(marked_only=True) is None
    assert dirty.next_due() == NOW
    dirty.push_deep(["d"], PASS)
    assert dirty.next_due(marked_only=True) is None
    assert take(dirty, NOW) == deep("d")
    assert take(dirty, NOW) == deep("")


def test_a_deep_scan_goes_depth_first_and_by_names():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    assert take(dirty, NOW) == deep("")
    dirty.push_deep(["c", "a b", "a", "B"], PASS)
    assert take(dirty, NOW) == deep("B")
    assert take(dirty, NOW) == deep("a")
    assert take(dirty, NOW) == deep("a b"), "it was asked for while `a` had not been answered"
    dirty.push_deep(["a/d", "a/c"], PASS)
    dirty.push_deep(["a b/e"], PASS)
    assert [work.directory for work in taken(dirty, NOW)] == ["a/c", "a/d", "a b/e", "c"]


def test_what_is_new_is_scanned_before_the_rest_of_the_tree_the_earlier_first():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    root = dirty.take(NOW)
    assert root is not None
    dirty.push_deep(["a", "b"], root.order)
    dirty.mark_deep("z", NOW + 1)
    dirty.mark_deep("y", NOW + 1)
    dirty.mark_deep("x", NOW + 2)
    works = [dirty.take(NOW + 2) for _ in range(2)]
    dirty.push_deep(["y/n"], Order(Lane.FRESH, NOW + 1))
    while (work := dirty.take(NOW + 2)) is not None:
        works.append(work)
    assert [(work.directory, *work.order) for work in works if work] == [
        ("y", Lane.FRESH, NOW + 1),
        ("z", Lane.FRESH, NOW + 1),
        ("y/n", Lane.FRESH, NOW + 1),
        ("x", Lane.FRESH, NOW + 2),
        ("a", Lane.PASS, NOW),
        ("b", Lane.PASS, NOW),
    ]


def test_a_directory_found_in_one_that_was_marked_is_new():
    dirty = Dirty()
    dirty.mark_directory("d", NOW)
    listed = dirty.take(NOW)
    assert listed is not None
    assert listed.order == Order(Lane.MARKED, NOW)
    dirty.push_deep(["d/e"], listed.order)
    work = dirty.take(NOW)
    assert work is not None
    assert work.order == Order(Lane.FRESH, NOW)


def test_what_is_copied_into_a_new_directory_is_a_part_of_it():
    dirty = Dirty()
    dirty.mark_deep("new", NOW)
    dirty.take(NOW)
    seen = []
    for at in (1.0, NEW_S, 2 * NEW_S, 3 * NEW_S + 1, 3 * NEW_S + 2):
        dirty.mark("new/a", NOW + at)
        dirty.mark("old/a", NOW + at)
        works = [dirty.take(NOW + at) for _ in range(2)]
        seen.append([work.order for work in works if work])
    part = Order(Lane.FRESH, NOW)
    assert [orders[0] for orders in seen] == [
        part,
        part,
        part,
        Order(Lane.MARKED, NOW + 3 * NEW_S + 1),
        Order(Lane.MARKED, NOW + 3 * NEW_S + 2),
    ]
    assert all(orders[1].lane is Lane.MARKED for orders in seen)


def test_what_changes_where_a_comparison_of_everything_has_just_been_does_not_wait_for_the_rest_of_that():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    assert take(dirty, NOW) == deep("")
    dirty.push_deep(["d", "e"], PASS)
    assert take(dirty, NOW) == deep("d")
    dirty.mark("x", NOW + 1)
    dirty.mark("d/x", NOW + 1)
    found = [dirty.take(NOW + 1) for _ in range(2)]
    assert [work.order for work in found if work is not None] == [Order(Lane.MARKED, NOW + 1)] * 2


def test_of_new_directories_no_more_are_kept_than_of_dirty_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settle, "DIRTY_DIRECTORIES", 3)
    dirty = Dirty()
    for number in range(10):
        dirty.push_deep([f"d{number}"], Order(Lane.FRESH, NOW))
        dirty.take(NOW)
        assert 0 < len(dirty._new) <= 3


def test_new_directories_in_which_nothing_happens_any_more_are_forgotten():
    dirty = Dirty()
    for number in range(10):
        now = NOW + number * NEW_S
        dirty.push_deep([f"d{number}"], Order(Lane.FRESH, now))
        dirty.take(now)
        dirty.mark("d0/a", now)
        dirty.take(now)
        assert dirty._new.keys() <= {"d0", f"d{number}", f"d{number - 1}"}
    assert "d0" in dirty._new


def test_a_deep_scan_under_way_is_finished_before_the_next_begins():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    assert take(dirty, NOW) == deep("")
    dirty.push_deep(["a", "b"], PASS)
    dirty.mark_deep("", NOW)
    assert [take(dirty, NOW), take(dirty, NOW), take(dirty, NOW)] == [deep("a"), deep("b"), deep("")]
    assert take(dirty, NOW) is None


def test_a_deep_scan_that_has_not_begun_is_not_asked_for_twice():
    dirty = Dirty()
    dirty.mark_deep("", NOW)
    dirty.mark_deep("", NOW)
    assert taken(dirty, NOW) == [deep("")]


def test_the_next_deep_scan_waits_for_its_time_and_the_earlier_time_wins():
    dirty = Dirty()
    dirty.mark_deep("", NOW + 900)
    dirty.mark_deep("", NOW + 600)
    dirty.mark_deep("", NOW + 700)
    assert not dirty.scanning_deep(NOW)
    assert dirty.next_due() == NOW + 600
    assert taken(dirty, NOW + 599) == []
    assert dirty.scanning_deep(NOW + 600)
    assert taken(dirty, NOW + 600) == [deep("")]


def test_a_subtree_is_scanned_at_once_and_once():
    dirty = Dirty()
    dirty.mark_deep("d", NOW)
    dirty.mark_deep("d", NOW)
    dirty.mark_deep("d/below", NOW)
    dirty.push_deep(["d"], PASS)
    assert dirty.scanning_deep(NOW)
    assert dirty.due_by(NOW)
    assert taken(dirty, NOW) == [deep("d")]


def test_a_neighbour_with_a_longer_name_is_another_subtree():
    dirty = Dirty()
    dirty.mark_deep("d", NOW)
    dirty.mark_deep("d2/below", NOW)
    assert set(taken(dirty, NOW)) == {deep("d"), deep("d2/below")}


def test_a_subtree_marked_while_its_parent_is_listed_is_scanned_again():
    dirty = Dirty()
    dirty.mark_deep("d", NOW)
    assert take(dirty, NOW) == deep("d")
    dirty.mark_deep("d/new", NOW)
    assert take(dirty, NOW) == deep("d/new")


def test_a_deep_listing_answers_the_marks_of_its_directory_that_are_due():
    dirty = Dirty()
    dirty.mark("d/a", NOW + 1)
    dirty.mark("d/b", NOW + 9)
    dirty.mark_directory("d", NOW + 2)
    dirty.mark_deep("d", NOW)
    assert take(dirty, NOW) == deep("d")
    dirty.mark_deep("d", NOW)
    # between the due times: what is due is marked first, so it is taken first
    assert taken(dirty, NOW + 5) == [whole("d"), deep("d")]
    assert taken(dirty, NOW + 9) == [names("d", "b")]


def test_a_deep_listing_makes_a_second_look_at_the_same_directory_needless(monkeypatch: pytest.MonkeyPatch):
    dirty = Dirty()
    dirty.mark_deep("d", NOW)
    monkeypatch.setattr(dirty, "_take_marked", lambda _now: None)  # the order in which a full queue lets it through
    dirty.mark("d/a", NOW)
    dirty.mark("d/later", NOW + 5)
    dirty.mark_directory("d", NOW)
    assert take(dirty, NOW) == deep("d")
    monkeypatch.undo()
    assert taken(dirty, NOW) == []
    assert taken(dirty, NOW + 5) == [names("d", "later")]


def mark_one_in_each(dirty: Dirty, count: int, due: float = NOW) -> None:
    for n in range(count):
        dirty.mark(f"d{n}/a", due)


def test_as_many_directories_as_allowed_stay_apart():
    dirty = Dirty()
    mark_one_in_each(dirty, DIRTY_DIRECTORIES)
    assert len(taken(dirty, NOW)) == DIRTY_DIRECTORIES


def test_one_directory_more_and_the_tree_is_scanned():
    dirty = Dirty()
    mark_one_in_each(dirty, DIRTY_DIRECTORIES + 1)
    assert taken(dirty, NOW) == [deep("")]


def test_what_is_due_before_all_that_is_left_to_a_scan_comes_in_its_time():
    dirty = Dirty()
    dirty.mark("first/a", NOW + 1)
    mark_one_in_each(dirty, DIRTY_DIRECTORIES, NOW + 10)
    assert dirty.next_due() == NOW + 1
    assert taken(dirty, NOW + 1) == [names("first", "a")]
    assert dirty.next_due() == NOW + 10
    assert taken(dirty, NOW + 10) == [deep("")]


def test_nothing_is_kept_that_a_scan_answers_which_comes_in_any_case():
    dirty = Dirty()
    dirty.mark_deep("", NOW + 900)
    for number in range(DIRTY_DIRECTORIES):
        dirty.mark(f"d{number}/a", NOW + 1000 + number)
    dirty.mark("first/a", NOW)
    assert taken(dirty, NOW) == [names("first", "a")]
    assert taken(dirty, NOW + 900) == [deep("")]
    assert dirty.next_due() is None


@pytest.mark.parametrize("mark", [Dirty.mark_directory, Dirty.mark])
def test_of_too_many_directories_one_more_is_left_to_a_scan_that_comes_before(
    mark: Callable[[Dirty, str, float], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settle, "DIRTY_DIRECTORIES", 3)
    dirty = Dirty()
    for number in range(3):
        dirty.mark_directory(f"d{number}", NOW + 10)
    dirty.mark_deep("", NOW + 5)
    mark(dirty, "one/more", NOW + 10)
    assert dirty.next_due() == NOW + 5
    assert take(dirty, NOW + 5) == deep("")
    assert taken(dirty, NOW + 10) == [whole(f"d{number}") for number in range(3)]


def test_files_that_wait_in_very_many_directories_have_the_tree_scanned_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
):
    """As those that a server refuses, hour by hour, or with a long `settle`: the tree was scanned at the time of each."""
    monkeypatch.setattr(settle, "DIRTY_DIRECTORIES", 50)
    dirty, dues = Dirty(), {f"{number * 7919 % 500:03}": NOW + 7.2 * (number + 1) for number in range(500)}
    for directory, due in dues.items():
        dirty.mark(f"{directory}/a", due)
    scans, late, now = 0, 0.0, NOW
    while now < NOW + 3600:
        now = max(now, dirty.next_due() or NOW + 3600)
        while (work := dirty.take(now)) is not None:
            if work.deep and not work.directory:
                scans += 1
                dirty.push_deep(list(dues), work.order)
                continue
            due = dues[work.directory]
            if due <= now:
                late = max(late, now - due)
                dues[work.directory] = due = now + 3600
            dirty.mark(f"{work.directory}/a", due)
    assert scans <= 4 * 500 / 50
    assert late == 0.0


@pytest.mark.parametrize("mark", [Dirty.mark, Dirty.mark_directory])
def test_the_mark_that_collapses_the_tree_does_not_wait_for_the_others(mark):
    dirty = Dirty()
    mark_one_in_each(dirty, DIRTY_DIRECTORIES, NOW + 3600)
    mark(dirty, "last/a", NOW)
    assert dirty.next_due() == NOW
    assert [work.directory for work in taken(dirty, NOW)] == [parent("last/a") if mark is Dirty.mark else "last/a"]
    assert dirty.next_due() == NOW + 3600
    assert taken(dirty, NOW + 3600) == [deep("")]


def test_clear_forgets_all_but_the_next_scan():
    dirty = Dirty()
    dirty.mark("d/a", NOW)
    dirty.mark_deep("d", NOW)
    dirty.mark_deep("", NOW + 900)
    dirty.size_is("large", 10**6)
    dirty.clear()
    assert taken(dirty, NOW + 899) == []
    assert taken(dirty, NOW + 900) == [deep("")]
    for number in range(NAMES_PER_DIRECTORY + 1):
        dirty.mark(f"large/{number}", NOW)
    work = take(dirty, NOW)
    assert work is not None
    assert work.names, "it is as large as it was"


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_subtrees_collapse_to_the_tree():
    dirty = Dirty()
    for n in range(3 * DIRTY_DIRECTORIES):
        dirty.mark_deep(f"d{n}", NOW)
    assert len(dirty._frontier) <= DIRTY_DIRECTORIES
    assert taken(dirty, NOW)[-1] == deep("")


def test_a_path_that_is_put_off_again_and_again_leaves_no_trace():
    dirty = Dirty()
    dirty.mark("other", NOW + 20_000)
    for n in range(20_000):
        dirty.mark("a", NOW + n + 10**6)
        dirty.mark("a", NOW + n)
        assert take(dirty, NOW + n) == names("", "a")
    assert len(dirty._heap) < 1000
    assert len(dirty._marks[""]._order) < 1000


def test_no_more_directories_are_remembered_where_a_scan_of_the_whole_tree_comes_later():
    dirty = Dirty()
    dirty.mark_deep("", NOW + 900)
    mark_one_in_each(dirty, 2 * DIRTY_DIRECTORIES)
    assert len(dirty._marks) <= DIRTY_DIRECTORIES
    assert dirty.next_due() == NOW


def test_listings_long_past_are_not_remembered():
    dirty = Dirty()
    for n in range(1000):
        dirty.mark_directory(f"d{n}", NOW + n)
        assert take(dirty, NOW + n) == whole(f"d{n}")
    assert len(dirty._listed) <= NAMES_PER_DIRECTORY + 2


# ── Properties: a model of who is owed a look ────────────────────────────────────────────────────────────────────

TREE = ["", "d", "d/e", "d/e/f", "d2", "g"]
PATHS = st.sampled_from([f"{d}/{n}".lstrip("/") for d in TREE for n in "abcd"] + TREE)
DELAYS = st.sampled_from([0.0, 0.0, 0.1, 1.0, 10.0, 3600.0])
STEPS = st.one_of(
    st.tuples(st.just("mark"), PATHS, DELAYS),
    st.tuples(st.just("mark"), PATHS, DELAYS),
    st.tuples(st.just("mark_directory"), st.sampled_from(TREE), DELAYS),
    st.tuples(st.just("mark_deep"), st.sampled_from(TREE), st.just(0.0)),
    st.tuples(st.just("mark_deep"), st.just(""), DELAYS),
    st.tuples(st.just("take"), st.just(""), st.just(0.0)),
    st.tuples(st.just("answer"), st.just(""), st.just(0.0)),
    st.tuples(st.just("wait"), st.just(""), DELAYS),
)


@dataclass
class Owed:
    """A mark that no look has answered yet."""

    what: str
    path: str
    due: float
    marked: float

    def answered_by(self, work: Work) -> bool:
        if self.what == "mark" and self.path:
            looked_at = work.names is None or basename(self.path) in work.names
            return work.directory == parent(self.path) and looked_at
        if self.what == "mark_deep":
            return work.deep and work.directory == self.path
        return work.names is None and work.directory == self.path


@dataclass
class Watchman:
    """Drives a Dirty as the engine does, and keeps the account of what is owed."""

    dirty: Dirty = field(default_factory=Dirty)
    now: float = NOW
    owed: list[Owed] = field(default_factory=list)
    asked: dict[str, float] = field(default_factory=dict)
    """Names marked since they were last looked at by name, with the earliest due time."""
    listing: list[str] = field(default_factory=list)
    """Directories of a deep scan whose listing is under way."""
    latest: float = 0.0
    """The most that a look came after it was due."""

    def do(self, what: str, path: str, delay: float) -> None:
        match what:
            case "take":
                self.take()
            case "answer":
                self.answer()
            case "wait":
                self.now += delay
            case _:
                getattr(self.dirty, what)(path, self.now + delay)
                self.owed.append(Owed(what, path, self.now + delay, self.now))
                if what == "mark":
                    self.asked[path] = min(self.now + delay, self.asked.get(path, self.now + delay))

    def take(self) -> bool:
        work = self.dirty.take(self.now)
        if work is None:
            return False
        assert work.names != frozenset(), "a look at nothing"
        for name in work.names or ():
            due = self.asked.get(join(work.directory, name))
            assert due is not None, f"{name} was looked at and nobody asked"
            assert due <= self.now, f"{name} was looked at before its time"
            del self.asked[join(work.directory, name)]
        answered = [o for o in self.owed if o.answered_by(work)]
        self.latest = max(self.latest, *(self.now - max(o.due, o.marked) for o in answered), 0.0)
        self.owed = [o for o in self.owed if o not in answered]
        if work.deep:
            self.listing.append(work.directory)
        return True

    def answer(self) -> bool:
        """The disk lists a directory of the deep scan: its subdirectories come next."""
        if not self.listing:
            return False
        directory = self.listing.pop(0)
        self.dirty.push_deep([d for d in TREE if d and parent(d) == directory], PASS)
        return True

    def run(self, until: float) -> None:
        """Let time pass as the engine does: sleep until the next due time, take all there is."""
        turns = 0
        while (due := self.dirty.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            if not self.take() and not self.answer():
                again = self.dirty.next_due()
                assert again is None or again > self.now, "a busy loop: due, and nothing to take"
            while self.take() or self.answer():
                pass
            turns += 1
            assert turns < 1000, "it never comes to rest"
        while self.answer():
            self.run(self.now)
        self.now = max(self.now, until)


@contextmanager
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "NAMES_PER_DIRECTORY", 2)
        patch.setattr(settle, "DIRTY_DIRECTORIES", 3)
        yield


@given(st.lists(STEPS, max_size=30))
@QUICK
def test_nothing_marked_is_ever_lost(steps: list[tuple[str, str, float]]):
    with small_limits():
        watchman = Watchman()
        for step in steps:
            watchman.do(*step)
        watchman.run(watchman.now + 2 * 3600)
        assert watchman.owed == []
        assert watchman.dirty.next_due() is None


@given(st.lists(STEPS, max_size=30), st.booleans())
@QUICK
def test_every_look_comes_in_its_time(steps: list[tuple[str, str, float]], small: bool):  # noqa: FBT001
    """At most the gap between two listings late, if somebody takes when something is due."""
    with small_limits() if small else nullcontext():
        watchman = Watchman()
        for what, path, delay in steps:
            if what in {"take", "answer", "wait"}:
                watchman.run(watchman.now + delay)
            else:
                watchman.do(what, path, delay)
        watchman.run(watchman.now + 2 * 3600)
        assert watchman.latest <= RELIST_GAP_S + 1e-6


@given(st.lists(STEPS, max_size=60))
@QUICK
def test_memory_is_bounded_whatever_happens(steps: list[tuple[str, str, float]]):
    with small_limits():
        watchman = Watchman()
        for step in steps:
            watchman.do(*step)
            dirty = watchman.dirty
            assert len(dirty._marks) <= 3
            assert all(len(marks.names) <= 2 for marks in dirty._marks.values())
            assert len(dirty._frontier) == len(set(dirty._frontier)) == len(dirty._in_frontier) < len(TREE)


# ── Quiet ────────────────────────────────────────────────────────────────────────────────────────────────────────

FILE = file(changed_s_ago=5.0)
GROWN = file(size=11, changed_s_ago=5.0)
RENAMED_OVER = file(inode=8, changed_s_ago=5.0)
CHMODED = file(changed_s_ago=4.0)


def test_the_first_sight_begins_now():
    assert sight(FILE, None, NOW) == seen(FILE, since_s_ago=0)


def test_an_unchanged_file_keeps_its_first_sight():
    before = seen(FILE, since_s_ago=3)
    assert sight(FILE, before, NOW) == before


@pytest.mark.parametrize("changed", [GROWN, RENAMED_OVER, CHMODED], ids=["grown", "renamed over", "only its ctime"])
def test_any_change_begins_anew_and_remembers_since_when_it_is_restless(changed):
    assert sight(changed, seen(FILE, since_s_ago=3, first_s_ago=8), NOW) == seen(changed, since_s_ago=0, first_s_ago=8)


@pytest.mark.parametrize(
    ("changed_s_ago", "watched_s", "trusted", "left_s"),
    [
        (5.0, 0.0, True, -3.0),
        (2.0, 0.0, True, 0.0),
        (0.5, 0.0, True, 1.5),
        (0.5, 1.75, True, 0.25),
        (0.0, 0.0, True, 2.0),
        (-1.0, 0.0, True, 2.0),
        (-1e6, 1.0, True, 1.0),
        (5.0, 0.0, False, 2.0),
        (5.0, 0.5, False, 1.5),
        (5.0, 2.0, False, 0.0),
    ],
)
def test_quiet_at(changed_s_ago: float, watched_s: float, trusted: bool, left_s: float):  # noqa: FBT001
    sighting = seen(file(changed_s_ago=changed_s_ago), since_s_ago=watched_s)
    at = quiet_at(sighting, NOW, WALL if trusted else None, 2.0)
    assert at == pytest.approx(NOW + left_s)


@pytest.mark.parametrize(
    ("mtime_ns", "changed_s_ago", "left_s"),
    [
        (WALL, 3.0, 1.0),
        (WALL, 4.0, 0.0),
        (WALL, 0.0, 3.0),
        (0, 1.0, 3.0),
        # A program's date of whole seconds, and the date of a change that the clock of another disk gave.
        (WALL, 2.5, 0.0),
        (WALL + 1, 2.0, 0.0),
    ],
)
def test_whole_seconds_may_be_older_than_the_change(mtime_ns: int, changed_s_ago: float, left_s: float):
    entry = file(mtime=mtime_ns, changed_s_ago=changed_s_ago)
    at = quiet_at(seen(entry, since_s_ago=1.0), NOW, WALL, 2.0)
    assert max(at, NOW) == pytest.approx(NOW + left_s)


@pytest.mark.parametrize("changed_s_ago", [3.0, 1e6, -1e6])
def test_a_date_that_a_program_may_have_set_tells_nothing(changed_s_ago: float):
    """FAT keeps one time: what `cp -p` has copied a moment ago seems to have been quiet for years."""
    entry = file(mtime=WALL - int(changed_s_ago) * S, changed_s_ago=changed_s_ago)
    assert entry.ctime_ns == entry.fingerprint.mtime_ns
    assert quiet_at(seen(entry, since_s_ago=1.0), NOW, WALL, 2.0) == pytest.approx(NOW + 3.0)


def test_the_quiet_time_begins_when_a_file_was_first_seen_without_its_writer():
    written = sight(FILE, None, NOW - 3, busy=True)
    assert written.busy
    still = sight(FILE, written, NOW - 2, busy=True)
    closed = sight(FILE, still, NOW)
    assert (closed.busy, closed.since, closed.first) == (False, NOW, NOW - 3)
    # Its stamps are old: the writer had nothing more to write for a while before it closed the file.
    assert quiet_at(closed, NOW, WALL, 2.0) == NOW + 2
    assert sight(FILE, closed, NOW + 1) == closed


def test_that_of_one_that_a_program_opens_and_writes_nothing_to_yet_begins_when_it_closes_it():
    written = sight(FILE, seen(FILE, since_s_ago=3), NOW - 1, busy=True)
    assert written.busy
    closed = sight(FILE, written, NOW)
    assert quiet_at(closed, NOW, WALL, 2.0) == NOW + 2


def test_one_that_was_written_once_has_one_time_in_its_stamps_which_counts():
    """Fine ones: no program has set them."""
    entry = file(mtime=WALL - 5 * S + 1, changed_s_ago=5.0 - 1e-9)
    assert entry.ctime_ns == entry.fingerprint.mtime_ns
    assert quiet_at(seen(entry, since_s_ago=0), NOW, WALL, 2.0) <= NOW


def test_without_a_quiet_time_every_file_is_quiet():
    for entry in (FILE, file(changed_s_ago=0.0), file(changed_s_ago=-9.0)):
        for wall in (WALL, None):
            assert quiet_at(sight(entry, None, NOW), NOW, wall, 0.0) <= NOW


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 10), st.booleans())
@QUICK
def test_a_file_is_never_quiet_before_it_showed_the_same_for_the_quiet_time(
    changed_s_ago: float,
    watched_s: float,
    settle_s: float,
    trusted: bool,  # noqa: FBT001
):
    """Either its last change lies so far back by its own stamp, or it was watched for so long."""
    entry = file(changed_s_ago=changed_s_ago)
    at = quiet_at(seen(entry, since_s_ago=watched_s), NOW, WALL if trusted else None, settle_s)
    stamped_s = (WALL - entry.ctime_ns) / S if trusted else 0.0
    if at <= NOW:
        assert max(stamped_s, watched_s) >= settle_s - 1e-6
    assert at <= NOW - watched_s + settle_s + 1e-6


class TestLargeDirectories:
    """To list one costs more than to ask for some of its names: a program that goes on writing there must not cause it."""

    def marked(self, entries: int, names: int) -> list[Work]:
        dirty = Dirty()
        dirty.size_is("large", entries)
        for number in range(names):
            dirty.mark(f"large/{number}", NOW)
        taken = []
        while (work := take(dirty, NOW)) is not None:
            taken.append(work)
        return taken

    @pytest.mark.parametrize(
        ("entries", "kept"), [(0, 64), (1280, 64), (2000, 100), (20_000, 1000), (10**6, NAMES_MOST)]
    )
    def test_as_many_names_are_kept_as_cost_less_than_a_listing(self, entries: int, kept: int):
        [work] = self.marked(entries, kept)
        assert work.names is not None
        assert len(work.names) == kept
        assert self.marked(entries, kept + 1) == [Work("large", None, deep=False)]

    def test_names_that_become_a_listing_are_looked_at_also_where_its_time_had_been_put_aside(self):
        """It may be listed again a moment later only, and was due then; what was due before is not any more."""
        dirty = Dirty()
        dirty.mark_directory("d", NOW)
        take(dirty, NOW)
        dirty.mark_directory("d", NOW)
        again = dirty.next_due()
        assert again is not None
        assert again > NOW
        for sooner in range(3 * NAMES_PER_DIRECTORY):
            dirty.mark("d/a", again - 0.0001 * (sooner + 1))
        for number in range(NAMES_PER_DIRECTORY):
            dirty.mark(f"d/{number}", again - 0.0001)
        assert dirty.next_due() == again
        assert take(dirty, again) == Work("d", None, deep=False)

    def test_a_directory_that_has_become_small_is_listed_again(self):
        dirty = Dirty()
        dirty.size_is("", 10**6)
        dirty.size_is("", 10)
        for number in range(NAMES_PER_DIRECTORY + 1):
            dirty.mark(f"{number}", NOW)
        assert take(dirty, NOW) == Work("", None, deep=False)

    def test_what_is_known_of_sizes_is_bounded(self):
        dirty = Dirty()
        for number in range(DIRTY_DIRECTORIES + 10):
            dirty.size_is(f"d{number}", 10**6)
        assert len(dirty._names_kept) <= DIRTY_DIRECTORIES
