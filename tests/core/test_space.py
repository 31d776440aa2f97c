"""Where a server has no space: what two refused files show, what is tried again, and when."""

from __future__ import annotations

import pytest

from ftpsyncd.core.space import FORGOTTEN_S, MOST, SERVER, SPACE_RETRY_S, WAITING_MOST, Space

NOW = 1000.0
LATER = NOW + SPACE_RETRY_S
G, SHOP = "gallery", "shop"
QUOTA = "552 Quota exceeded."


def refused(space: Space, *paths: str, mapping: str = G, now: float = NOW) -> tuple[str, bool] | None:
    """The last of what these files show."""
    told = None
    for path in paths:
        told = space.refused(mapping, path, QUOTA, now)
    return told


def full(*paths: str, mapping: str = G) -> Space:
    space = Space()
    assert refused(space, *paths, mapping=mapping) is not None
    return space


def test_one_file_shows_nothing_however_often_it_is_refused():
    space = Space()
    assert refused(space, "a/1", "a/1", "a/1") is None
    assert space.admits(G, "a/2", NOW)


@pytest.mark.parametrize(
    ("paths", "directory"),
    [
        (("a/1", "a/2"), "gallery/a"),
        (("1", "2"), "gallery"),
        (("a/1", "b/1"), "gallery"),
        (("a/x/1", "a/y/1"), "gallery/a"),
        (("a/x/1", "a/2"), "gallery/a"),
        (("a/2", "a/x/1"), "gallery/a"),
        (("ab/1", "a/1"), "gallery"),
    ],
)
def test_two_files_show_that_what_holds_both_is_full(paths: tuple[str, ...], directory: str):
    assert refused(Space(), *paths) == (directory, True)


def test_files_of_two_mappings_show_that_the_server_is_full():
    space = Space()
    assert refused(space, "a") is None
    assert refused(space, "a", mapping=SHOP) == (SERVER, True)


def test_what_is_in_a_full_directory_waits_and_all_else_is_sent():
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    assert space.awaits(G, "a/deep/3", NOW)
    assert not space.admits(G, "a/4", NOW)
    assert space.waiting(G) == 3
    for mapping, path in ((G, "b/1"), (G, "1"), (G, "ab/1"), (SHOP, "a/1")):
        assert not space.awaits(mapping, path, NOW)
        assert space.admits(mapping, path, NOW)
    assert space.waiting(SHOP) == 0


@pytest.mark.parametrize("found", ["a/9", "a/deep/9"])
def test_a_file_that_found_space_shows_that_a_directory_is_not_full(found: str):
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    space.found(G, found)
    assert space.to_look_at(G, NOW) == ["a"]
    assert space.admits(G, "a/3", NOW)
    assert refused(space, "a/1") is None


@pytest.mark.parametrize("found", ["b/1", "1", "ab/1"])
def test_a_file_that_found_space_elsewhere_says_nothing_of_a_full_directory(found: str):
    space = full("a/1", "a/2")
    space.found(G, found)
    assert space.awaits(G, "a/3", NOW)


def test_between_two_files_of_a_directory_space_elsewhere_says_nothing():
    space = Space()
    assert refused(space, "a/1") is None
    space.found(G, "b/1")
    assert refused(space, "a/2") == ("gallery/a", True)


@pytest.mark.parametrize(("mapping", "found"), [(G, "c/1"), (G, "1"), (SHOP, "1")])
def test_two_full_directories_are_not_all_where_something_beside_them_found_space(mapping: str, found: str):
    space = full("a/1", "a/2")
    space.found(mapping, found)
    told = refused(space, "b/1")
    # What found space in another mapping says nothing about this one as a whole.
    assert told == (None if mapping == G else ("gallery", True))


@pytest.mark.parametrize("found", ["a/9", "a/deep/9"])
def test_after_one_that_found_space_beside_it_one_that_was_refused_before_shows_nothing(found: str):
    """It may have been too large for what was left."""
    space = Space()
    assert refused(space, "a/1") is None
    space.found(G, found)
    assert refused(space, "a/2") is None
    assert refused(space, "a/3") == ("gallery/a", True)


def test_within_what_holds_others_that_found_space_a_smaller_directory_may_be_full():
    space = Space()
    assert refused(space, "a/x/1") is None
    space.found(G, "b/1")
    assert refused(space, "a/y/1") == ("gallery/a", True)


def test_when_its_time_is_over_one_file_is_tried_and_the_others_wait_for_what_it_shows():
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    assert space.next_due(G) == LATER
    assert space.to_look_at(G, LATER - 1) == []
    assert space.to_look_at(G, LATER) == ["a"]
    assert space.to_look_at(G, LATER) == [], "told once"
    assert space.next_due(G) is None
    assert not space.awaits(G, "a/3", LATER)
    assert space.admits(G, "a/3", LATER)
    assert space.admits(G, "a/3", LATER), "the same one, whose connection was lost"
    assert not space.admits(G, "a/4", LATER)
    assert space.admits(G, "b/1", LATER)


def test_beside_a_large_file_a_small_one_is_tried_since_that_takes_hours():
    space = full("a/1", "a/2")
    assert space.admits(G, "a/film", LATER, large=True)
    assert not space.admits(G, "a/film 2", LATER, large=True)
    assert space.admits(G, "a/3", LATER)
    assert not space.admits(G, "a/4", LATER)
    space.found(G, "a/3")
    assert space.admits(G, "a/4", LATER)


def test_a_small_one_that_is_refused_beside_a_large_one_is_enough():
    space = full("a/1", "a/2")
    assert space.admits(G, "a/film", LATER, large=True)
    assert space.admits(G, "a/3", LATER)
    assert refused(space, "a/3", now=LATER) == ("gallery/a", False)
    assert space.awaits(G, "a/4", LATER + 1)
    space.found(G, "a/film")
    assert space.admits(G, "a/4", LATER + 1)


def test_a_try_that_is_refused_is_enough():
    space = full("a/1", "a/2")
    assert space.admits(G, "a/1", LATER)
    assert not space.admits(G, "a/2", LATER)
    assert refused(space, "a/1", now=LATER + 1) == ("gallery/a", False)
    assert space.awaits(G, "a/1", LATER + 2)
    assert space.next_due(G) == LATER + 1 + SPACE_RETRY_S


def test_after_a_try_that_found_space_what_waited_is_looked_at():
    space = full("a/1", "a/2")
    assert space.admits(G, "a/1", LATER)
    assert not space.admits(G, "a/2", LATER)
    space.found(G, "a/1")
    assert space.next_due(G) == 0.0
    assert space.to_look_at(G, LATER) == ["a"]
    assert space.admits(G, "a/2", LATER)


def test_a_try_that_shows_nothing_makes_way_for_another_one():
    space = full("a/1", "a/2")
    assert space.admits(G, "a/1", LATER)
    assert not space.admits(G, "a/2", LATER)
    space.over(G, "a/2")
    assert not space.admits(G, "a/2", LATER), "it was not tried"
    space.over(G, "a/1")
    assert space.to_look_at(G, LATER) == ["a"]
    assert space.admits(G, "a/2", LATER)


def test_what_was_put_off_beside_a_try_that_shows_nothing_is_looked_at_again():
    """It was told to be looked at once, and waited for the next scan of everything."""
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/2", NOW)
    assert space.to_look_at(G, LATER) == ["a"]
    assert space.admits(G, "a/1", LATER)
    assert not space.admits(G, "a/2", LATER)
    assert space.to_look_at(G, LATER) == []
    assert space.next_due(G) is None
    space.over(G, "a/1")
    assert space.next_due(G) is not None
    assert space.to_look_at(G, LATER) == ["a"]


def test_a_directory_around_full_ones_takes_their_place():
    space = full("a/x/1", "a/x/2")
    assert space.awaits(G, "a/x/3", NOW)
    assert refused(space, "a/y/1") == ("gallery/a", True)
    assert [lack.key for lack in space.lacks(G)] == ["gallery/a"]
    assert space.awaits(G, "a/z/1", NOW)
    assert space.waiting(G) == 2


def test_it_lacks_space_since_the_first_of_them_did():
    space = full("a/1", "a/2")
    assert space.next_due(G) is None, "nothing waits"
    refused(space, "b/1", now=NOW + 5)
    refused(space, "b/2", now=NOW + 5)
    assert [(lack.key, lack.since) for lack in space.lacks()] == [("gallery", NOW)]


def test_it_lacks_space_since_the_first_of_several_did():
    space = full("a/1", "a/2")
    space.found(G, "9")
    refused(space, "b/1", "b/2", now=NOW + 5)
    assert [(lack.key, lack.since) for lack in space.lacks()] == [("gallery/a", NOW), ("gallery/b", NOW + 5)]
    refused(space, "c/1", now=NOW + 6)
    assert [(lack.key, lack.since) for lack in space.lacks()] == [("gallery", NOW)]


def test_a_person_who_says_that_there_is_space_is_believed_for_one_mapping():
    space = full("a/1", "a/2")
    space.found(SHOP, "9")
    assert refused(space, "x/1", "x/2", mapping=SHOP) == ("shop/x", True)
    assert space.awaits(G, "a/3", NOW)
    space.try_now(G)
    assert space.to_look_at(G, NOW) == ["a"]
    assert space.admits(G, "a/3", NOW)
    assert not space.admits(SHOP, "x/3", NOW)


def test_where_a_person_says_that_there_is_space_a_file_that_was_refused_before_shows_nothing():
    space = Space()
    refused(space, "a/1")
    space.try_now(G)
    assert refused(space, "a/2") is None
    assert refused(space, "a/3") == ("gallery/a", True)


def test_where_the_server_waits_as_a_whole_nothing_is_known_of_its_directories_afterwards():
    space = full("a/1", "a/2")
    space.found(G, "b/9")
    assert refused(space, "b/1") is None
    assert space.awaits(G, "a/3", NOW)
    space.clear()
    assert space.lacks() == []
    assert space.to_look_at(G, NOW) == ["a"], "what waited is not forgotten"
    assert refused(space, "b/2") is None
    assert refused(space, "b/3") == ("gallery/b", True)


def test_what_is_tried_does_not_count_as_waiting_and_what_is_looked_at_again_neither():
    space = full("a/1", "a/2")
    for name in ("a/1", "a/2", "a/3"):
        assert space.awaits(G, name, NOW)
    assert space.waiting(G) == 3
    assert space.admits(G, "a/1", LATER)
    assert space.waiting(G) == 2
    space.over(G, "a/1")
    assert space.waiting(G) == 0


def test_which_files_wait_for_space_is_known_until_there_is_some():
    space = Space()
    assert not space
    refused(space, "a/1", "a/2")
    assert space
    assert space.awaits(G, "a/3", NOW)
    assert [space.has_put_off(G, path) for path in ("a/3", "a/4", "b/3")] == [True, False, False]
    space.found(G, "a/9")
    assert not space.has_put_off(G, "a/3")
    assert space, "what waited is to be looked at"
    assert space.to_look_at(G, NOW) == ["a"]
    assert not space


def test_what_found_space_far_away_takes_nothing_from_what_found_it_nearby():
    space = Space()
    assert refused(space, "a/x/1") is None
    space.found(G, "a/y/9")
    space.found(G, "b/9")
    assert refused(space, "a/z/1") is None


def test_of_many_files_that_were_refused_those_are_remembered_that_were_last():
    space = Space()
    for number in (*range(MOST), 0, MOST):
        assert refused(space, f"{number}/1") is None
        space.found(G, "1")
    assert refused(space, "1/2") is None, "the first of it is forgotten"
    assert refused(space, "0/2") == ("gallery/0", True)


def test_of_a_mapping_that_goes_nothing_is_left():
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    space.drop(G)
    assert space.next_due(G) is None
    assert space.to_look_at(G, NOW) == []
    assert space.lacks() == []


def test_what_is_remembered_is_bounded():
    space = Space()
    for number in range(10 * MOST):
        assert refused(space, f"{number}/1") is None
        space.found(G, "1")
    assert len(space._refused) <= MOST
    space = full("a/1", "a/2")
    for number in range(2 * WAITING_MOST):
        assert space.awaits(G, f"a/{number}", NOW)
    assert space.waiting(G) == WAITING_MOST


def test_what_nobody_wants_to_send_any_more_is_forgotten():
    space = full("a/1", "a/2")
    assert space.to_look_at(G, LATER) == []
    assert space.lacks(G) == [], "nothing waits for it"
    refused(space, "b/1", now=LATER + FORGOTTEN_S)
    assert not space._lacks


@pytest.mark.parametrize("how", ["one is tried", "one waits"])
def test_what_is_tried_for_hours_or_waits_for_space_is_not_forgotten(how: str):
    space = full("a/1", "a/2")
    space.found(G, "9")
    if how == "one is tried":
        assert space.admits(G, "a/film", LATER, large=True)
    else:
        assert space.awaits(G, "a/3", NOW)
    assert refused(space, "b/1", now=LATER + FORGOTTEN_S) is None
    assert [lack.key for lack in space.lacks()] == ["gallery/a"]


def test_after_a_delete_in_a_full_directory_one_file_is_tried_at_once():
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    space.freed(G, "b/9")
    assert space.to_try(NOW + 1) == {SERVER}
    assert space.to_look_at(G, NOW + 1) == []
    space.freed(G, "a/9")
    assert space.to_look_at(G, NOW + 1) == [], "not before all is deleted that is to be"
    assert space.to_try(NOW + 1) == {f"{G}/a"}
    assert space.to_try(NOW + 1) == set()
    assert space.to_look_at(G, NOW + 1) == ["a"]
    assert space.admits(G, "a/3", NOW + 1)
    assert not space.admits(G, "a/1", NOW + 1)


@pytest.mark.parametrize("deleted", ["a/9", "9"], ids=["in what was full", "in what was not"])
def test_so_it_is_where_more_was_found_to_be_full_before_all_was_deleted(deleted: str):
    space = full("a/1", "a/2")
    assert space.awaits(G, "a/3", NOW)
    space.freed(G, deleted)
    assert refused(space, "b/1") == (G, True)
    assert space.to_try(NOW + 1) >= {G}
    assert space.to_look_at(G, NOW + 1) == [""]
    assert space.admits(G, "a/3", NOW + 1)


def test_where_nothing_was_deleted_nothing_is_tried_before_its_time():
    space = full("a/1", "a/2")
    space.freed(G, "a/9")
    for path in ("b/1", "b/2"):
        space.found(G, "c/1")
        refused(space, path)
    assert space.to_try(NOW + 1) == {f"{G}/a"}
