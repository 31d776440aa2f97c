"""Deletes wait, are judged together, and pass without a person only within the limit."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.core.deletes import WINDOW_S, Deletes, gone_s
from ftpsyncd.model import Listing, Presence
from ftpsyncd.specs import DeleteLimit
from tests.core.vocabulary import NOW, WALL, S, made

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMIT = 50


def gone(*paths: str, now: float = NOW) -> Deletes:
    deletes = Deletes()
    for path in paths:
        deletes.note(path, 1, now)
    return deletes


def many(count: int, prefix: str = "f") -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def admit_all(deletes: Deletes, now: float = NOW) -> None:
    for path in deletes.paths:
        deletes.admit(path, now)


# ── What is gone, and since when ─────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_gone_at_first():
    deletes = Deletes()
    assert deletes.files == 0
    assert deletes.paths == []
    assert deletes.since("a") is None
    assert deletes.allowed(0, NOW)


@pytest.mark.parametrize(
    ("path", "files", "left"),
    [("d/a", 1, 4), ("d/e/a", 2, 3), ("d/a", 9, 0), ("d", 1, 5), ("other/a", 1, 5), ("a", 1, 5)],
)
def test_what_leaves_a_directory_that_is_gone_is_not_deleted_with_it(path: str, files: int, left: int):
    deletes = Deletes()
    deletes.note_directory("d", 5, NOW)
    deletes.leaves(path, files)
    assert deletes.files == left


def test_what_was_renamed_waits_as_what_is_deleted_does_and_does_not_count():
    deletes = gone("a")
    assert deletes.note("old", 1, NOW + 1, counts=False) == NOW + 1
    assert (deletes.files, deletes.since("old")) == (2, NOW + 1)
    assert deletes.allowed(1, NOW)
    assert not deletes.allowed(0, NOW)
    deletes.admit("old", NOW + 2)
    assert deletes.recent == 0


def test_what_leaves_a_directory_was_not_approved_for_more_than_is_left():
    deletes = gone()
    deletes.note_directory("d", 5, NOW)
    deletes.approve()
    deletes.leaves("d/a", 2)
    assert deletes.allowed(0, NOW)
    deletes.note("f", 1, NOW)
    assert not deletes.allowed(0, NOW)


def test_a_path_is_gone_since_it_was_first_noted():
    deletes = Deletes()
    assert deletes.note("a", 1, NOW) == NOW
    assert deletes.note("a", 1, NOW + 5) == NOW
    assert deletes.since("a") == NOW
    assert deletes.files == 1


def test_a_path_that_was_back_is_gone_anew():
    deletes = gone("a")
    deletes.back("a")
    assert deletes.files == 0
    assert deletes.since("a") is None
    assert not deletes.knows("a")
    assert deletes.note("a", 1, NOW + 5) == NOW + 5
    assert deletes.knows("a")


def test_what_is_gone_from_a_directory_that_has_another_name_at_the_server_is_found_gone_there():
    """Under both names it would count twice."""
    deletes = gone("d", "d/a", "d/e/b", "d2/c")
    deletes.elsewhere("d")
    assert (deletes.files, deletes.paths) == (1, ["d2/c"])


def test_of_a_folder_that_cannot_be_read_nothing_is_kept():
    deletes = Deletes({"d/a": 1})
    for path in ("d/a", "b"):
        deletes.note(path, 1, NOW)
    deletes.doom("e/f")
    deletes.clear()
    assert (deletes.files, deletes.paths, deletes.allowed_paths, bool(deletes)) == (0, [], [], False)
    kept = (deletes._inside, deletes._allowed_inside, deletes._doomed_inside)
    assert not any("" in each for each in kept)


def test_what_was_gone_at_a_moment_is_counted_until_it_is_dealt_with():
    """A discard is over when that is none: too early, what a person wants to stay would be deleted; too late, the next."""
    deletes = gone("a", "b", "d/e")
    deletes.note("later", 1, NOW + 5)
    deletes.remember(NOW)
    assert deletes.gone_then == 3
    deletes.note("a", 1, NOW + 6)
    deletes.note("later still", 1, NOW + 6)
    deletes.note("found late", 1, NOW - 1)
    assert deletes.gone_then == 4
    deletes.note_directory("d", 7, NOW + 7)
    assert deletes.gone_then == 4, "gone as long as what is in it"
    for path, left in (("later", 4), ("a", 3), ("found late", 2), ("d", 1), ("b", 0)):
        deletes.back(path)
        assert deletes.gone_then == left


def test_a_path_that_was_never_gone_can_be_back():
    deletes = gone("a")
    deletes.back("b")
    assert deletes.files == 1


def test_a_directory_counts_the_files_below_it():
    deletes = gone("a")
    deletes.note_directory("d", 30, NOW)
    assert deletes.files == 31
    deletes.note_directory("d", 20, NOW + 1)
    assert deletes.files == 21
    deletes.back("d")
    assert deletes.files == 1


def test_directories_without_files_are_counted_while_they_are_gone():
    deletes = Deletes()
    for directory in ("d", "e"):
        deletes.note_directory(directory, 0, NOW)
    counts = [deletes.empty]
    for step in (lambda: deletes.back("d"), lambda: deletes.note_directory("e", 3, NOW), lambda: deletes.back("e")):
        step()
        counts.append(deletes.empty)
    assert counts == [2, 1, 0, 0]


def test_of_what_is_back_nothing_is_kept():
    """In a daemon that runs for months nearly every path is gone once."""
    deletes = Deletes()
    for _ in range(2):
        deletes.note("d/a", 1, NOW)
        deletes.doom("d/e")
        deletes.approve()
        for path in ("d/a", "d/e"):
            deletes.back(path)
        deletes.note("d/b", 1, NOW)
        deletes.admit("d/b", NOW)
        deletes.deleted("d/b", NOW)
    kept = (deletes._inside, deletes._allowed_inside, deletes._doomed_inside, deletes._open_inside)
    assert not any("" in each for each in kept)


def test_a_directory_takes_over_what_was_noted_below_it():
    deletes = gone("d/a", "d/e/b", "d2/a", now=NOW - 7)
    deletes.note("d/c", 1, NOW - 3)
    deletes.note("d/renamed", 1, NOW - 9, counts=False)
    assert deletes.note_directory("d", 5, NOW) == NOW - 7
    assert sorted(deletes.paths) == ["d", "d2/a"]
    assert deletes.files == 6


def test_a_file_counts_once_where_the_directory_that_it_is_in_is_noted_too():
    """One that was deleted and made anew is noted until it is looked at itself; an export told of 3,495 of 3,000."""
    deletes = Deletes()
    deletes.note_directory("d", 3, NOW)
    for _ in range(2):
        deletes.note("d/a", 1, NOW)
        assert deletes.files == 3
    deletes.back("d")
    assert deletes.files == 1


def test_a_directory_with_nothing_noted_below_is_gone_from_now_on():
    deletes = Deletes()
    assert deletes.note_directory("d", 5, NOW) == NOW
    assert deletes.note_directory("d", 5, NOW + 9) == NOW


def test_when_the_source_is_missing_nothing_is_gone():
    deletes = gone("a", "b")
    deletes.doom("d")
    deletes.clear()
    assert deletes.files == 0
    assert deletes.paths == []
    assert not deletes.is_doomed("d")


def test_a_directory_being_deleted_is_doomed_until_it_is_back():
    deletes = Deletes()
    deletes.doom("d")
    assert deletes.is_doomed("d")
    assert not deletes.is_doomed("d/e")
    assert (deletes.knows("d"), deletes.knows("d/e")) == (True, False)
    deletes.back("d")
    assert not deletes.is_doomed("d")
    assert not deletes.knows("d")


def test_a_directory_that_is_spared_is_doomed_no_more_with_all_below_it():
    deletes = Deletes()
    for directory in ("d", "d/e", "de"):
        deletes.doom(directory)
    deletes.spare("d")
    assert [deletes.is_doomed(directory) for directory in ("d", "d/e", "de")] == [False, False, True]


def test_to_spare_a_directory_costs_no_look_at_all_that_are_being_deleted():
    """A server may refuse to remove each of ten thousand."""
    deletes = Deletes()

    def took_s() -> float:
        for number in range(50):
            deletes.doom(f"d/{number}")
        began = time.thread_time()
        for number in range(50):
            deletes.spare(f"d/{number}")
        return time.thread_time() - began

    few_s = min(took_s() for _ in range(3))
    for number in range(50, 20_000):
        deletes.doom(f"d/{number}")
    assert min(took_s() for _ in range(3)) < 10 * few_s


# ── The guard ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_as_many_as_the_limit_pass():
    assert gone(*many(LIMIT)).allowed(LIMIT, NOW)


def test_one_more_is_withheld_and_all_with_it():
    assert not gone(*many(LIMIT + 1)).allowed(LIMIT, NOW)


def test_a_directory_is_as_much_as_its_files():
    deletes = Deletes()
    deletes.note_directory("d", LIMIT + 1, NOW)
    assert not deletes.allowed(LIMIT, NOW)


def test_an_empty_directory_costs_nothing():
    deletes = Deletes()
    deletes.note_directory("d", 0, NOW)
    assert deletes.allowed(0, NOW)
    deletes.deleted("d/a", NOW)
    assert (deletes.files, deletes.recent) == (0, 0), "that was known by then"
    deletes.admit("d", NOW)
    assert not deletes.under_way


def test_what_is_back_counts_no_more():
    deletes = gone(*many(LIMIT + 1))
    deletes.back("f0")
    assert deletes.allowed(LIMIT, NOW)


def test_a_mass_delete_cannot_pass_in_portions():
    deletes = gone(*many(30, "a"))
    admit_all(deletes)
    assert deletes.files == 0
    for path in many(30, "b"):
        deletes.note(path, 1, NOW + 1)
    assert not deletes.allowed(LIMIT, NOW + 1)
    assert not deletes.allowed(LIMIT, NOW + WINDOW_S - 0.1)
    assert deletes.allowed(LIMIT, NOW + WINDOW_S)


def test_what_was_not_deleted_and_is_gone_still_counts_once():
    deletes = gone(*many(LIMIT))
    for seconds in range(3):
        admit_all(deletes, NOW + seconds)
        for path in many(LIMIT):
            deletes.note(path, 1, NOW + seconds + 1)
        assert deletes.allowed(LIMIT, NOW + seconds + 1)
        assert not deletes.allowed(LIMIT - 1, NOW + seconds + 1)


def test_what_was_deleted_and_is_gone_again_counts_twice():
    deletes = gone("a")
    admit_all(deletes)
    deletes.deleted("a", NOW)
    deletes.note("a", 1, NOW + 1)
    assert deletes.allowed(2, NOW + 1)
    assert not deletes.allowed(1, NOW + 1)


@pytest.mark.parametrize("left", ["d", "d/a"])
def test_what_is_left_of_a_directory_that_was_deleted_in_part_counts_once(left: str):
    deletes = Deletes()
    deletes.note_directory("d", 30, NOW)
    deletes.admit("d", NOW)
    for n in range(29):
        deletes.deleted(f"d/e/{n}", NOW)
    if left == "d":
        deletes.note_directory("d", 1, NOW + 1)
    else:
        deletes.note(left, 1, NOW + 1)
    assert deletes.allowed(30, NOW + 1)
    assert not deletes.allowed(29, NOW + 1)


@pytest.mark.parametrize("whole", [False, True], ids=["a file", "a directory"])
def test_what_is_left_of_a_directory_is_taken_back_once_however_often_it_is_found_gone(*, whole: bool):
    """With every look at it, more could be deleted in the same minute."""
    deletes = Deletes()
    deletes.note_directory("d", 5, NOW)
    deletes.admit("d", NOW)
    for _ in range(3):
        if whole:
            deletes.note_directory("d/e", 2, NOW + 1)
        else:
            deletes.note("d/a", 2, NOW + 1)
        assert (deletes.recent, deletes.files) == (3, 2)


def test_what_is_found_gone_as_a_whole_is_taken_back_once_from_all_that_began_below_it():
    deletes = Deletes()
    for directory, now in (("d/e", NOW), ("d/f", NOW + 1)):
        deletes.note_directory(directory, 4, now)
        deletes.admit(directory, now)
    deletes.note_directory("d", 3, NOW + 2)
    assert (deletes.recent, deletes.under_way) == (5, {"d/e": 1, "d/f": 4})


def test_a_file_that_was_not_deleted_does_not_count_again_with_its_directory():
    deletes = gone("d/a", "d/b")
    admit_all(deletes)
    deletes.deleted("d/b", NOW)
    deletes.note_directory("d", 1, NOW + 1)
    assert deletes.allowed(2, NOW + 1)
    assert not deletes.allowed(1, NOW + 1)


@pytest.mark.parametrize("gone_anew", ["d/a", "d", "e"])
def test_a_delete_that_had_waited_and_is_done_counts_once_though_it_was_found_gone_anew(gone_anew: str):
    """It was in the queue when its directory went, too, and was sent all the same."""
    deletes = gone("d/a")
    deletes.admit("d/a", NOW)
    files = {"d/a": 1, "d": 2, "e": 1}[gone_anew]
    (deletes.note if gone_anew == "d/a" else deletes.note_directory)(gone_anew, files, NOW + 1)
    deletes.deleted("d/a", NOW + 2)
    still_gone = files if gone_anew == "e" else files - 1
    assert (deletes.files, deletes.recent) == (still_gone, 1)
    assert deletes.allowed(still_gone + 1, NOW + 3)
    assert deletes.allowed(still_gone, NOW + 3) is not bool(still_gone)
    assert deletes.allowed(still_gone, NOW + 62)


def test_a_delete_that_is_done_counts_once_where_its_directory_was_found_gone_in_place_of_another():
    """Of the two that were admitted, one got another name: the first counts as what is left."""
    deletes = gone("d/a", "d/b")
    deletes.admit("d/a", NOW)
    deletes.admit("d/b", NOW + 1)
    deletes.note_directory("d", 1, NOW + 2)
    deletes.deleted("d/b", NOW + 3)
    assert (deletes.files, deletes.recent) == (1, 1)


def test_a_delete_that_a_person_allowed_counts_for_nobody_though_it_was_found_gone_anew():
    deletes = gone("d/a")
    deletes.approve()
    deletes.admit("d/a", NOW)
    deletes.note_directory("d", 2, NOW + 1)
    deletes.deleted("d/a", NOW + 2)
    assert (deletes.files, deletes.recent) == (2, 0)


def test_what_was_admitted_a_minute_ago_is_not_remembered():
    deletes = gone("a")
    admit_all(deletes)
    assert deletes.allowed(0, NOW + WINDOW_S)
    assert not deletes._open


def test_what_was_deleted_lately_was_published_until_then():
    deletes = gone("a", "b", "c")
    admit_all(deletes)
    deletes.deleted("a", NOW)
    deletes.note("b", 1, NOW + 1)
    assert (deletes.recent, deletes.recently_deleted) == (2, 1)
    after = Deletes()
    after.go_on_from(deletes)
    after.forget_old(NOW + WINDOW_S)
    assert (after.recent, after.recently_deleted) == (0, 0)


def test_every_delete_counts_for_its_own_minute():
    deletes = gone("a", "b", "c")
    deletes.admit("a", NOW)
    deletes.admit("b", NOW + 30)
    assert not deletes.allowed(2, NOW + 59)
    assert deletes.allowed(2, NOW + 60)
    assert not deletes.allowed(1, NOW + 60)
    assert deletes.allowed(1, NOW + 90)


def test_a_person_can_allow_what_is_gone():
    deletes = gone(*many(200))
    assert not deletes.allowed(LIMIT, NOW)
    assert deletes.approve() == 200
    while deletes.files:
        assert deletes.allowed(LIMIT, NOW)
        deletes.admit(deletes.paths[0], NOW)


def test_an_approved_directory_passes_as_a_whole():
    deletes = Deletes()
    deletes.note_directory("d", 500, NOW)
    deletes.approve()
    assert deletes.allowed(LIMIT, NOW)
    deletes.admit("d", NOW)
    assert deletes.files == 0


def test_approved_deletes_leave_room_for_as_many_as_ever():
    deletes = gone(*many(200))
    deletes.approve()
    admit_all(deletes)
    for path in many(LIMIT, "later"):
        deletes.note(path, 1, NOW + 1)
    assert deletes.allowed(LIMIT, NOW + 1)
    deletes.note("one more", 1, NOW + 1)
    assert not deletes.allowed(LIMIT, NOW + 1)


def test_a_few_new_deletes_do_not_withhold_the_approved_ones():
    deletes = gone(*many(200))
    deletes.approve()
    deletes.note("new", 1, NOW)
    assert deletes.allowed(LIMIT, NOW)


def test_a_second_mass_delete_is_not_allowed_by_the_first_approval():
    deletes = gone(*many(200))
    deletes.approve()
    for path in many(LIMIT + 1, "new"):
        deletes.note(path, 1, NOW)
    assert not deletes.allowed(LIMIT, NOW)


def test_an_approval_ends_when_the_files_are_back():
    deletes = gone(*many(200))
    deletes.approve()
    for path in many(200):
        deletes.back(path)
    for path in many(200):
        deletes.note(path, 1, NOW + 5)
    assert not deletes.allowed(LIMIT, NOW + 5)


def test_an_approval_ends_when_the_source_is_missing():
    deletes = gone(*many(200))
    deletes.approve()
    deletes.clear()
    for path in many(200):
        deletes.note(path, 1, NOW + 5)
    assert not deletes.allowed(LIMIT, NOW + 5)


def test_an_approval_does_not_grow_with_its_directory():
    deletes = Deletes()
    deletes.note_directory("d", 100, NOW)
    deletes.approve()
    deletes.note_directory("d", 100 + LIMIT, NOW)
    assert deletes.allowed(LIMIT, NOW)
    deletes.note_directory("d", 101 + LIMIT, NOW)
    assert not deletes.allowed(LIMIT, NOW)


@pytest.mark.parametrize("deleted", [0, 1])
@pytest.mark.parametrize("left", [2, 9])
def test_an_approval_is_about_no_more_than_was_allowed_nor_than_is_gone(left: int, deleted: int):
    """What was allowed beyond that would be taken for files that nobody was asked about."""
    deletes = Deletes({"d": 5})
    deletes.note_directory("d", left, NOW)
    for _ in range(deleted):
        deletes.deleted("d/a", NOW)
    for path in many(3):
        deletes.note(path, 1, NOW)
    unapproved = 3 + max(0, left - (5 - deleted))
    assert deletes.allowed(unapproved, NOW)
    assert not deletes.allowed(unapproved - 1, NOW)


def test_what_leaves_a_directory_approves_nothing_of_the_rest():
    deletes = Deletes()
    deletes.note_directory("d", 5, NOW)
    deletes.leaves("d/a", 1)
    assert not deletes.allowed(3, NOW)


def test_an_approved_directory_that_is_now_a_deleted_file_is_one_file():
    deletes = Deletes()
    deletes.note_directory("d", 100, NOW)
    deletes.approve()
    deletes.note("d", 1, NOW)
    for path in many(LIMIT + 1):
        deletes.note(path, 1, NOW)
    assert not deletes.allowed(LIMIT, NOW)


def test_an_approval_passes_on_to_the_directory_that_is_gone_as_a_whole():
    deletes = gone(*(f"d/{name}" for name in many(200)))
    deletes.approve()
    deletes.note_directory("d", 200, NOW)
    assert deletes.allowed(LIMIT, NOW)


class Kept(dict[str, int]):
    """What outlives the process."""

    def keep(self, changes: Collection[tuple[str, int]]) -> None:
        for path, files in changes:
            if files:
                self[path] = files
            else:
                del self[path]

    def deletes(self) -> Deletes:
        """Of the next process."""
        return Deletes(self, self.keep, self.clear)


def test_an_approval_outlives_the_process_until_all_is_deleted():
    kept = Kept()
    deletes = kept.deletes()
    deletes.note_directory("d", 100, NOW)
    deletes.note("a", 1, NOW)
    deletes.approve()
    assert kept == {"d": 100, "a": 1}
    deletes.admit("d", NOW)
    deletes.doom("d")
    for name in many(60):
        deletes.deleted(f"d/{name}", NOW)
    deletes = kept.deletes()
    deletes.note_directory("d", 40, NOW)
    assert deletes.allowed(0, NOW)
    # What a crash left unseen, or came too late to be counted, was not approved.
    deletes.note_directory("d", 41, NOW)
    assert not deletes.allowed(0, NOW)
    for name in many(40):
        deletes.deleted(f"d/{name}", NOW)
    deletes.deleted("a", NOW)
    assert not kept


def test_an_approval_of_an_earlier_process_passes_on_to_a_directory_that_is_gone_as_a_whole():
    kept = Kept({"d/a": 1, "d/e": 10, "d2/a": 1})
    deletes = kept.deletes()
    deletes.note_directory("d", 12, NOW)
    assert deletes.allowed(1, NOW)
    assert not deletes.allowed(0, NOW)
    assert kept == {"d": 11, "d2/a": 1}


def test_an_approval_of_a_directory_ends_when_the_directory_or_something_in_it_can_be_listed():
    kept = Kept({"d": 100, "e": 100})
    deletes = kept.deletes()
    deletes.there("d/e/f")
    deletes.note_directory("d", 100, NOW)
    assert not deletes.allowed(99, NOW)
    assert kept == {"e": 100}
    deletes.clear()
    assert not kept


def test_an_approval_that_is_given_once_more_is_for_what_is_gone_by_then():
    """What has left the directory meanwhile is not approved, should it be back there and go again."""
    deletes = Deletes()
    deletes.note_directory("d", 5, NOW)
    deletes.approve()
    deletes.leaves("d/a", 2)
    assert deletes.approve() == 3
    deletes.note_directory("d", 5, NOW + 1)
    assert deletes.allowed(2, NOW + 1)
    assert not deletes.allowed(1, NOW + 1)


@pytest.mark.parametrize("clear", [False, True])
def test_that_no_approval_is_left_is_told_only_where_there_was_one(*, clear: bool):
    """Each time that a folder without one is away, something would be written."""
    told: list[str] = []
    deletes = Deletes({"a": 1}, end=lambda: told.append("over"))
    assert (deletes.is_allowed("a"), deletes.is_allowed("b")) == (True, False)
    if not clear:
        deletes.back("a")
        assert not deletes.is_allowed("a")
    deletes.clear()
    deletes.clear()
    assert told == ["over"] * clear


def test_something_is_awaited_while_anything_is_gone_being_deleted_or_allowed_to_be():
    """A pass ends when nothing is."""
    deletes = Deletes()
    assert not deletes
    for begin, end in (
        (lambda: deletes.note("a", 1, NOW), lambda: deletes.back("a")),
        (lambda: deletes.doom("d"), lambda: deletes.spare("d")),
    ):
        begin()
        assert deletes
        end()
        assert not deletes
    assert Deletes({"a": 1})


def test_an_approved_delete_that_was_refused_is_approved_still():
    deletes = gone(*many(200))
    deletes.approve()
    admit_all(deletes)
    for path in many(200):
        deletes.note(path, 1, NOW + 5)
    assert deletes.allowed(0, NOW + 5)


@pytest.mark.parametrize(
    ("limit", "published", "count"),
    [
        (DeleteLimit(count=50), 10, 50),
        (DeleteLimit(count=0), 10, 0),
        (DeleteLimit(percent=30), 100, 30),
        (DeleteLimit(percent=30), 3, 0),
        (DeleteLimit(percent=100), 7, 7),
        (DeleteLimit(percent=0.5), 1000, 5),
    ],
)
def test_a_limit_is_a_number_or_a_share(limit: DeleteLimit, published: int, count: int):
    assert limit.of(published) == count


def test_what_is_approved_some_at_a_time_is_what_is_approved_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ftpsyncd.core.deletes.APPROVED_AT_ONCE", 3)
    kept: list[list[tuple[str, int]]] = []
    deletes = Deletes(keep=lambda changes: kept.append(list(changes)))
    for number in range(10):
        deletes.note(f"{number}", 1, NOW)
    deletes.note_directory("d", 5, NOW)
    deletes.note_directory("empty", 0, NOW)
    steps = 1
    while deletes.approve_some():
        steps += 1
        assert not deletes.allowed(14, NOW) or steps > 1
    assert steps == 4
    assert [len(changes) for changes in kept] == [3, 3, 3, 2]
    assert sorted(path for changes in kept for path, _ in changes) == sorted(deletes.allowed_paths)
    assert deletes.allowed(0, NOW)
    kept.clear()
    deletes.note("late", 1, NOW)
    assert deletes.approve() == 16
    assert kept == [[("late", 1)]], "nothing is noted twice"


# ── Properties ───────────────────────────────────────────────────────────────────────────────────────────────────

PATHS = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e/a", "d2/a"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), PATHS, st.just(1)),
        st.tuples(st.just("note_directory"), st.sampled_from(["d", "d/e", "d2"]), st.integers(0, 5)),
        st.tuples(st.just("back"), PATHS | st.sampled_from(["d", "d/e"]), st.just(0)),
        st.tuples(st.just("approve"), st.just(""), st.just(0)),
        st.tuples(st.just("clear"), st.just(""), st.just(0)),
        st.tuples(st.just("admit"), st.just(""), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.just(""), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 70)),
        st.tuples(st.just("remember"), st.just(""), st.integers(-70, 0)),
    ),
    max_size=40,
)


@dataclass
class Deletion:
    """A path that a guard let through."""

    path: str
    at: float
    to_come: int


class Guarded:
    """A guard, and an account of what it knows, let through, and what was deleted then."""

    def __init__(self, limit: int) -> None:
        self.deletes = Deletes()
        self.limit = limit
        self.now = NOW
        self.known: dict[str, int] = {}
        self.begun: list[Deletion] = []
        self.deleted: list[float] = []
        """When the deletion of each deleted file had begun."""
        self.approved = 0
        self.moment = -math.inf

    def note(self, path: str, files: int) -> None:
        if not self._covered(path):
            self._stop(path, files)
            self.deletes.note(path, files, self.now)
            self.known[path] = files

    def note_directory(self, path: str, files: int) -> None:
        if not self._covered(path):
            self._stop(path, files)
            self.deletes.note_directory(path, files, self.now)
            self.known = {p: n for p, n in self.known.items() if not p.startswith(f"{path}/")} | {path: files}

    def _covered(self, path: str) -> bool:
        """Nothing below a directory that is gone is noted by itself."""
        return any(path.startswith(f"{known}/") for known in self.known)

    def _stop(self, path: str, files: int) -> None:
        """What is found gone anew has not been deleted."""
        for each in reversed(self.begun if path not in self.known else []):
            if f"{each.path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{each.path}/"):
                stopped = min(files, each.to_come)
                files -= stopped
                each.to_come -= stopped

    def back(self, path: str, _number: int) -> None:
        self.deletes.back(path)
        self.known.pop(path, None)

    def approve(self, _path: str, _number: int) -> None:
        self.approved += self.deletes.approve()

    def clear(self, _path: str, _number: int) -> None:
        self.deletes.clear()
        self.known.clear()

    def admit(self, _path: str, number: int) -> None:
        if self.known and self.deletes.allowed(self.limit, self.now):
            path = list(self.known)[number % len(self.known)]
            self.deletes.admit(path, self.now)
            self.begun.append(Deletion(path, self.now, self.known.pop(path)))

    def delete(self, _path: str, number: int) -> None:
        if going_on := [each for each in self.begun if each.to_come]:
            deletion = going_on[number % len(going_on)]
            deletion.to_come -= 1
            self.deleted.append(deletion.at)
            self.deletes.deleted(deletion.path, self.now)

    def wait(self, _path: str, seconds: int) -> None:
        self.now += seconds

    def remember(self, _path: str, ago: int) -> None:
        self.moment = self.now + ago
        self.deletes.remember(self.moment)

    @property
    def gone_then(self) -> int:
        return sum((self.deletes.since(path) or 0.0) <= self.moment for path in self.deletes.paths)

    @property
    def of_the_last_minute(self) -> int:
        return sum(at > self.now - WINDOW_S for at in self.deleted)


@given(STEPS, st.integers(0, 6))
@QUICK
def test_the_sums_are_right_whatever_happens(steps: list[tuple[str, str, int]], limit: int):
    guarded = Guarded(limit)
    for what, path, number in steps:
        getattr(guarded, what)(path, number)
        assert set(guarded.deletes.paths) == guarded.known.keys()
        assert guarded.deletes.files == sum(guarded.known.values())
        assert guarded.deletes.empty == list(guarded.known.values()).count(0)
        assert 0 <= guarded.deletes._approved <= guarded.deletes.files
        assert guarded.deletes.gone_then == guarded.gone_then
        guarded.deletes.forget_old(guarded.now)
        assert 0 <= guarded.deletes.recently_deleted <= guarded.of_the_last_minute


@given(STEPS, st.integers(0, 6))
@QUICK
def test_no_minute_sees_more_deletes_than_the_limit_and_people_allow(steps: list[tuple[str, str, int]], limit: int):
    guarded = Guarded(limit)
    for what, path, number in steps:
        getattr(guarded, what)(path, number)
        assert guarded.of_the_last_minute <= limit + guarded.approved


@pytest.mark.parametrize(
    ("directory", "changed_s", "published_s", "recorded_s", "inode", "gone_for_s"),
    [
        ("", 30, 60, None, 50, 30.0),
        # The file was published after the last change that its stamp tells of: the clock was set, or another one gave it.
        ("", 30, 10, None, 50, 10.0),
        ("", -5, 60, None, 50, 0.0),
        ("", None, 60, None, 50, 0.0),
        ("d", 30, 60, 90, 50, 30.0),
        ("d", 30, 10, 90, 50, 10.0),
        ("d", 30, 60, 20, 50, 20.0),
        # Another directory has the name.
        ("d", 30, 60, 90, 51, 0.0),
        ("d", 30, 60, None, 50, 0.0),
    ],
)
def test_what_a_directory_lacks_is_gone_since_it_was_changed_last_at_the_latest(
    directory: str, changed_s: float | None, published_s: float, recorded_s: float | None, inode: int, gone_for_s: float
):
    """After downtime: what seems to have been gone for longer than it has is deleted without its time."""
    changed_ns = 0 if changed_s is None else WALL - int(changed_s * S)
    listing = Listing(directory, Presence.PRESENT, {}, inode=inode, taken_wall_ns=WALL, changed_wall_ns=changed_ns)
    row = None if recorded_s is None else made(50)._replace(published_ns=WALL - int(recorded_s * S))
    assert gone_s(listing, row, WALL - int(published_s * S)) == gone_for_s
