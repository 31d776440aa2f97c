"""What is done next at a server: order, turns, lanes, pauses; and a model that watches a queue under any use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ftpsyncd.actions import Action, Delete, MakeDir, Probe, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.backlog import Load
from ftpsyncd.core.blocking import Blocking
from ftpsyncd.core.extent import LARGE_BYTES, SMALL_BYTES, Key, arrives, is_large, is_structural, keys_of, units_of
from ftpsyncd.core.gate import (
    CAP_GROWS_AFTER_S,
    FIRST_PAUSE_S,
    FULL_PAUSE_S,
    LOGIN_PAUSE_S,
    LONGEST_PAUSE_S,
    PAUSE_FACTOR,
    Breaker,
)
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.space import SPACE_RETRY_S
from ftpsyncd.core.turn import Lane, Order
from ftpsyncd.model import Fingerprint
from tests.core.vocabulary import NOW, SHA, M

OTHER = "shop"
PROBE = Probe("web")


def upload(path: str, size: int = 1, mapping: str = M) -> Upload:
    return Upload(mapping, path, Fingerprint(size, 1, 1))


def large(path: str) -> Upload:
    return upload(path, LARGE_BYTES)


def make_dir(path: str) -> MakeDir:
    return MakeDir(M, path, 1)


def remove_dir(path: str) -> RemoveDir:
    return RemoveDir(M, path)


def delete(path: str) -> Delete:
    return Delete(M, path)


def rename(source: str, path: str) -> Rename:
    return Rename(M, path, source, Fingerprint(1, 1, 1), SHA)


def rename_dir(source: str, path: str) -> RenameDir:
    return RenameDir(M, path, source, 1)


def sweep(path: str) -> Sweep:
    return Sweep(M, path, f"/{path}.filepart")


def queue_of(*actions: Action, connections: int = 4, jitter: float = 0.5) -> Queue:
    """A queue of a server that answers."""
    queue = Queue(connections, jitter=jitter)
    queue.gate.answered()
    for action in actions:
        queue.offer(action)
    return queue


def test_what_waits_to_be_brought_is_told_apart_from_what_is_to_go():
    queue = Queue(4)
    actions: list[Action] = [upload("d/a"), make_dir("d/sub"), rename_dir("old", "new"), delete("gone")]
    for action in (*actions, remove_dir("left")):
        queue.offer(action)
    queue.offer(upload("b", mapping=OTHER))
    assert sorted(queue.waiting_paths(M)) == ["d/a", "d/sub", "gone", "left", "new"]
    assert [path for path in queue.waiting_paths(M) if queue.brings(M, path)] == ["d/a", "d/sub", "new"]
    assert not queue.brings(M, "old")
    assert not queue.brings(M, "b")


def test_of_very_many_that_wait_for_another_only_some_are_looked_at_in_one_go(monkeypatch: pytest.MonkeyPatch):
    """All that is in a new folder waits for that to be made; meanwhile there are other mappings."""
    monkeypatch.setattr("ftpsyncd.core.schedule.PARKED_AT_ONCE", 10)
    inside = [upload(f"d/{number:03}") for number in range(35)]
    queue = queue_of(*inside)
    queue.offer(make_dir("d"), Order())
    queue.offer(upload("a", mapping=OTHER), Order())
    started = taken(queue)
    assert sorted(action.path for action in started) == ["a", "d"]
    turns = 0
    while queue.next_due(NOW) == NOW:
        assert taken(queue) == []
        turns += 1
        assert turns < 10
    assert turns in {2, 3}
    for action in started:
        queue.finish(action)
    done: list[Action] = []
    while some := taken(queue):
        done += some
        for action in some:
            queue.finish(action)
    assert done == inside, "in their order"
    assert queue.idle
    assert queue.next_due(NOW) is None


def taken(queue: Queue, now: float = NOW) -> list[Action]:
    """Everything that may start now."""
    actions = []
    while (action := queue.take(now)) is not None:
        actions.append(action)
    return actions


# ── Latest wins ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_actions_start_in_the_order_in_which_they_were_offered():
    assert taken(queue_of(upload("b"), upload("a"), upload("c"))) == [upload("b"), upload("a"), upload("c")]


def test_an_empty_queue_has_nothing():
    queue = queue_of()
    assert queue.idle
    assert queue.take(NOW) is None
    assert queue.next_due(NOW) is None
    assert not queue.wants_probe(NOW)


def test_a_newer_action_for_a_path_takes_the_place_of_the_one_that_waits():
    queue = queue_of(upload("a", 1), upload("b"), upload("a", 2))
    assert queue.waiting(M, "a") == upload("a", 2)
    assert queue.load(M) == Load(waiting=2)
    assert taken(queue) == [upload("a", 2), upload("b")]


def test_a_running_action_is_not_disturbed_and_its_successor_waits_for_it():
    queue = queue_of(upload("a", 1))
    (running,) = taken(queue)
    queue.offer(upload("a", 2))
    assert queue.occupied(M, "a")
    assert taken(queue) == []
    queue.finish(running)
    assert not queue.occupied(M, "a")
    assert taken(queue) == [upload("a", 2)]


def test_a_withdrawn_action_does_not_start():
    queue = queue_of(upload("a"), upload("b"))
    queue.withdraw(M, "a")
    queue.withdraw(M, "nothing")
    assert queue.waiting(M, "a") is None
    assert taken(queue) == [upload("b")]


def test_an_action_withdrawn_and_offered_again_starts_once_and_last():
    queue = queue_of(upload("a"), upload("b"))
    queue.withdraw(M, "a")
    queue.offer(upload("a"))
    assert taken(queue) == [upload("b"), upload("a")]


def test_everything_below_a_directory_can_be_taken_back():
    queue = queue_of(upload("d/a"), upload("d/e/b"), upload("d"), upload("d-2/a"), upload("d/a", mapping=OTHER))
    queue.withdraw_below(M, "d")
    assert taken(queue) == [upload("d"), upload("d/a", mapping=OTHER), upload("d-2/a")]


def test_actions_of_a_kind_can_be_taken_back():
    queue = queue_of(delete("a"), upload("b"), remove_dir("d"), Delete(OTHER, "a"))
    assert not queue.withdraw_some(M, Delete | RemoveDir)
    assert set(taken(queue)) == {upload("b"), Delete(OTHER, "a")}


def test_everything_of_a_mapping_can_be_taken_back():
    queue = queue_of(upload("a"), rename("b", "c"), upload("a", mapping=OTHER))
    queue.withdraw_mapping(M)
    assert queue.load(M) == Load()
    assert not queue.moves_from(M, "b")
    assert taken(queue) == [upload("a", mapping=OTHER)]


def test_of_a_mapping_that_has_gone_nothing_is_known():
    queue = queue_of(rename("b", "c"), upload("a", mapping=OTHER))
    queue.suspend(M, suspended=True)
    queue.drop(M)
    assert (queue.freed(M), queue.load(M)) == (set(), Load())
    queue.offer(upload("a"))
    assert set(taken(queue)) == {upload("a", mapping=OTHER), upload("a")}


def test_of_very_much_of_a_mapping_some_is_taken_back_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ftpsyncd.core.schedule.WITHDRAWN_AT_ONCE", 3)
    queue = queue_of(upload("o", mapping=OTHER), *(upload(f"{number}") for number in range(7)))
    waits = []
    while queue.withdraw_some(M):
        waits.append(queue.load(M).waiting)
    assert waits == [4, 1]
    assert queue.load(M) == Load()
    assert taken(queue) == [upload("o", mapping=OTHER)]


# ── Ancestors block ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "above",
    [make_dir("d"), delete("d"), rename_dir("old", "d"), rename_dir("d", "new")],
    ids=["made", "a file deleted", "renamed to", "renamed from"],
)
def test_nothing_below_a_directory_starts_before_what_is_to_be_done_about_it(above: Action):
    queue = queue_of(above, upload("d/a"), upload("d/e/b"))
    assert taken(queue) == [above]
    queue.finish(above)
    assert set(taken(queue)) == {upload("d/a"), upload("d/e/b")}


def test_what_was_offered_first_waits_for_its_directory_all_the_same():
    queue = queue_of(upload("d/a"), make_dir("d"))
    assert taken(queue) == [make_dir("d")]
    queue.finish(make_dir("d"))
    assert taken(queue) == [upload("d/a")]


def test_directories_are_made_from_the_top():
    queue = queue_of(make_dir("d/e/f"), make_dir("d/e"), make_dir("d"))
    for path in ("d", "d/e", "d/e/f"):
        assert taken(queue) == [make_dir(path)]
        queue.finish(make_dir(path))


def test_a_file_blocks_nothing_below():
    assert len(taken(queue_of(upload("d"), upload("d/a")))) == 2


def test_a_neighbour_with_a_longer_name_is_not_blocked():
    assert taken(queue_of(make_dir("d"), upload("d2/a"), upload("d-/a"))) == [
        make_dir("d"),
        upload("d2/a"),
        upload("d-/a"),
    ]


def test_the_same_path_of_another_mapping_is_another_path():
    queue = queue_of(make_dir("d"), upload("d/a", mapping=OTHER), upload("d", mapping=OTHER))
    assert len(taken(queue)) == 3


@pytest.mark.parametrize("about", [delete("d"), rename_dir("d", "new"), rename_dir("old", "d"), remove_dir("d")])
def test_a_directory_is_not_touched_while_something_below_it_runs(about: Action):
    queue = queue_of(upload("d/e/a"))
    (running,) = taken(queue)
    queue.offer(about)
    assert taken(queue) == []
    queue.finish(running)
    assert taken(queue) == [about]


def test_a_directory_is_removed_after_all_that_waits_below_it():
    queue = queue_of(remove_dir("d"), delete("d/a"), remove_dir("d/e"), delete("d/e/b"))
    first = taken(queue)
    assert set(first) == {delete("d/a"), delete("d/e/b")}
    for action in first:
        queue.finish(action)
    assert taken(queue) == [remove_dir("d/e")]
    queue.finish(remove_dir("d/e"))
    assert taken(queue) == [remove_dir("d")]


def test_a_directory_is_busy_while_anything_about_it_or_below_it_waits_or_runs():
    queue = Queue(4)
    for action in (Delete(M, "d/e/a"), RemoveDir(M, "d")):
        assert not queue.busy_below(M, "d")
        queue.offer(action)
        assert queue.busy_below(M, "d")
        assert not queue.busy_below(M, "d/f")
        taken = queue.take(NOW)
        assert taken == action
        assert queue.busy_below(M, "d")
        queue.finish(action)
    assert not queue.busy_below(M, "d")


def test_a_removal_that_waited_starts_when_what_is_below_is_taken_back():
    queue = queue_of(make_dir("d/e"), upload("d/e/a"), remove_dir("d"))
    assert taken(queue) == [make_dir("d/e")]
    queue.withdraw(M, "d/e/a")
    queue.finish(make_dir("d/e"))
    assert taken(queue) == [remove_dir("d")]


def test_nothing_below_starts_while_a_directory_is_removed():
    queue = queue_of(remove_dir("d"))
    assert taken(queue) == [remove_dir("d")]
    queue.offer(upload("d/a"))
    assert taken(queue) == []
    queue.finish(remove_dir("d"))
    assert taken(queue) == [upload("d/a")]


def test_a_removal_that_waits_does_not_keep_its_directory_from_being_used_again():
    """Otherwise both would wait for each other for ever."""
    queue = queue_of(remove_dir("d"), upload("d/a"))
    assert taken(queue) == [upload("d/a")]
    queue.finish(upload("d/a"))
    assert taken(queue) == [remove_dir("d")]


# ── Renames occupy two paths ─────────────────────────────────────────────────────────────────────────────────────


def test_a_rename_occupies_both_paths():
    queue = queue_of(rename("a", "b"))
    assert queue.moves_from(M, "a")
    assert not queue.moves_from(M, "b")
    (running,) = taken(queue)
    assert queue.occupied(M, "a")
    assert queue.occupied(M, "b")
    assert queue.moves_from(M, "a")
    queue.offer(upload("a"))
    queue.offer(upload("b"))
    assert taken(queue) == []
    queue.finish(running)
    assert not queue.moves_from(M, "a")
    assert set(taken(queue)) == {upload("a"), upload("b")}


def test_a_rename_waits_for_what_runs_under_its_old_path():
    queue = queue_of(upload("a"))
    (running,) = taken(queue)
    queue.offer(rename("a", "b"))
    assert taken(queue) == []
    queue.finish(running)
    assert taken(queue) == [rename("a", "b")]


def test_two_renames_in_a_circle_do_not_wait_for_each_other():
    queue = queue_of(rename("a", "b"), rename("b", "a"))
    assert taken(queue) == [rename("a", "b")]
    queue.finish(rename("a", "b"))
    assert taken(queue) == [rename("b", "a")]


def test_a_rename_into_a_new_directory_waits_for_it():
    queue = queue_of(make_dir("d"), rename("a", "d/a"))
    assert taken(queue) == [make_dir("d")]
    queue.finish(make_dir("d"))
    assert taken(queue) == [rename("a", "d/a")]


def test_a_renamed_directory_is_not_renamed_before_what_runs_below_its_old_path():
    queue = queue_of(upload("old/a"))
    (running,) = taken(queue)
    queue.offer(rename_dir("old", "new"))
    queue.offer(upload("old/b"))
    assert taken(queue) == []
    queue.finish(running)
    assert taken(queue) == [rename_dir("old", "new")]
    queue.finish(rename_dir("old", "new"))
    assert taken(queue) == [upload("old/b")]


def below_an_old_path_that_waits() -> tuple[Queue, Action]:
    """A directory rename waits for an upload that runs, and another upload waits for the rename."""
    queue = queue_of(upload("old/a"))
    (running,) = taken(queue)
    queue.offer(rename_dir("old", "new"))
    queue.offer(upload("old/b"))
    assert taken(queue) == []
    return queue, running


def test_what_waited_for_a_rename_goes_on_when_the_rename_is_taken_back():
    queue, _ = below_an_old_path_that_waits()
    queue.withdraw(M, "new")
    assert taken(queue) == [upload("old/b")]


def test_what_waited_for_a_rename_goes_on_when_something_else_replaces_the_rename():
    queue, _ = below_an_old_path_that_waits()
    queue.offer(make_dir("new"))
    assert set(taken(queue)) == {make_dir("new"), upload("old/b")}


def test_what_moves_out_of_a_directory_goes_before_the_directory_itself():
    """And not after it: its old path would not be there any more."""
    queue = queue_of(rename_dir("z/w", "n"), rename_dir("z", "n/k"))
    assert taken(queue) == [rename_dir("z/w", "n")]
    queue.finish(rename_dir("z/w", "n"))
    assert taken(queue) == [rename_dir("z", "n/k")]


# ── Turns, lanes and room ────────────────────────────────────────────────────────────────────────────────────────


def test_mappings_take_turns():
    queue = queue_of(*(upload(str(n)) for n in range(4)), *(upload(str(n), mapping=OTHER) for n in range(2)))
    assert [action.mapping for action in taken(queue)] == [M, OTHER, M, OTHER, M, M]


def found(queue: Queue, lane: Lane, since: float, *actions: Action) -> None:
    for action in actions:
        queue.offer(action, Order(lane, since))


def paths(actions: list[Action]) -> list[str]:
    return [action.path for action in actions]


@pytest.mark.parametrize("lane", Lane)
def test_what_was_found_together_comes_by_names(lane: Lane):
    queue = queue_of()
    some = ["c", "a b", "a/d", "a/c", "img2", "img10", "B"]
    found(queue, lane, NOW, *map(upload, some))
    found(queue, lane, NOW + 1, upload("A"))
    assert paths(taken(queue)) == ["B", "a/c", "a/d", "a b", "c", "img10", "img2", "A"]


def test_what_waited_for_its_directory_comes_in_its_place():
    queue = queue_of(connections=1)
    days = ["x", "y", "z"]
    for day in reversed(days):
        found(queue, Lane.PASS, NOW, make_dir(day), upload(f"{day}/b"), upload(f"{day}/a"))
    made = taken(queue)
    assert paths(made) == ["z", "y", "x"], "in advance, in whatever order"
    for action in made:
        queue.finish(action)
    assert paths(taken(queue)) == ["x/a", "x/b", "y/a", "y/b", "z/a", "z/b"]


def test_what_was_found_in_different_ways_takes_turns():
    queue = queue_of()
    found(queue, Lane.PASS, NOW, *(upload(f"p{n}") for n in range(4)))
    found(queue, Lane.FRESH, NOW + 1, *(upload(f"n{n}") for n in range(3)))
    found(queue, Lane.MARKED, NOW + 2, *(upload(f"m{n}") for n in range(2)))
    assert paths(taken(queue)) == ["m0", "n0", "p0", "m1", "n1", "p1", "n2", "p2", "p3"]


def test_a_file_changed_alone_does_not_wait_for_a_tree():
    queue = queue_of(connections=1)
    found(queue, Lane.FRESH, NOW, *(upload(f"tree/{n:03}") for n in range(500)))
    first = [queue.take(NOW) for _ in range(4)]
    found(queue, Lane.MARKED, NOW + 1, upload("title"))
    later = [queue.take(NOW) for _ in range(2)]
    assert [action.path for action in first + later if action] == [
        *(f"tree/{n:03}" for n in range(4)),
        "title",
        "tree/004",
    ]


def test_a_file_that_changes_all_the_time_does_not_keep_others_waiting():
    queue = queue_of(connections=1)
    found(queue, Lane.PASS, NOW, *(upload(f"p{n}") for n in range(3)))
    done = []
    for turn in range(6):
        found(queue, Lane.MARKED, NOW + turn, upload("hot", size=turn + 1))
        action = queue.take(NOW)
        assert action is not None
        queue.finish(action)
        done.append(action.path)
    assert done == ["hot", "p0", "hot", "p1", "hot", "p2"]


def test_what_is_queued_again_has_its_old_place_and_what_replaces_it_the_same():
    queue = queue_of(connections=1)
    found(queue, Lane.PASS, NOW, upload("a"), upload("b"), upload("c"))
    first = queue.take(NOW)
    assert first == upload("a")
    queue.finish(first, requeue=True)
    found(queue, Lane.MARKED, NOW + 1, upload("b", size=9))
    assert taken(queue) == [upload("a"), upload("b", size=9), upload("c")]


def test_a_removal_without_an_order_comes_behind_what_was_marked_before():
    queue = queue_of()
    found(queue, Lane.MARKED, NOW, upload("z"))
    queue.offer(delete("y"))
    queue.offer(delete("x"))
    found(queue, Lane.MARKED, NOW + 1, upload("a"))
    assert paths(taken(queue)) == ["z", "y", "x", "a"]


def test_a_mapping_that_is_blocked_does_not_delay_another():
    queue = queue_of(make_dir("d"))
    taken(queue)
    queue.offer(upload("d/a"))
    queue.offer(upload("a", mapping=OTHER))
    assert taken(queue) == [upload("a", mapping=OTHER)]


def test_a_suspended_mapping_starts_nothing_and_loses_nothing():
    queue = queue_of(upload("a"), upload("a", mapping=OTHER))
    queue.suspend(M, suspended=True)
    queue.suspend(M, suspended=True)
    assert taken(queue) == [upload("a", mapping=OTHER)]
    assert queue.load(M) == Load(waiting=1)
    queue.suspend(M, suspended=False)
    assert taken(queue) == [upload("a")]


@pytest.mark.parametrize("suspended", [True, False])
def test_what_waits_of_a_suspended_mapping_is_no_work(suspended: bool):  # noqa: FBT001 - a case
    queue = queue_of(upload("a"))
    queue.suspend(M, suspended=suspended)
    assert queue.idle is suspended


def test_large_files_leave_one_connection_to_small_ones():
    queue = queue_of(*(large(f"large{n}") for n in range(5)), upload("small"), connections=3)
    assert taken(queue) == [large("large0"), large("large1"), upload("small")]
    queue.finish(large("large0"))
    assert taken(queue) == [large("large2")]


def test_large_files_under_a_second_name_leave_one_too():
    """They look renamed, and are sent if the first name is there still: hard links, as of `cp -al`."""
    copies = [Rename(M, f"copy{n}", f"{n}", Fingerprint(LARGE_BYTES, 1, n), SHA) for n in range(5)]
    queue = queue_of(*copies, upload("small"), connections=3)
    assert taken(queue) == [*copies[:2], upload("small")]


def test_a_single_connection_takes_a_large_file_too():
    queue = queue_of(large("a"), large("b"), connections=1)
    assert taken(queue) == [large("a")]


def test_small_files_behind_very_many_large_ones_are_found_in_the_end():
    queue = queue_of(*(large(f"large{n}") for n in range(200)), upload("small"), connections=2)
    assert taken(queue) == [large("large0")]
    for n in range(134):
        queue.finish(large(f"large{n}"))
        assert taken(queue) == [large(f"large{n + 1}")]
    queue.finish(large("large134"))
    assert taken(queue) == [large("large135"), upload("small")]


@pytest.mark.parametrize(
    ("action", "handed"),
    [(delete, 64), (upload, 8), (lambda path: upload(path, SMALL_BYTES), 2), (make_dir, 64)],
    ids=["deletes", "small files", "larger files", "directories"],
)
@pytest.mark.parametrize("connections", [1, 3])
def test_a_connection_is_handed_so_much_ahead(action, handed: int, connections: int):
    queue = queue_of(*(action(f"a{n}") for n in range(300)), connections=connections)
    assert len(taken(queue)) == handed * connections
    queue.finish(action("a0"))
    assert len(taken(queue)) == 1


def test_units_follow_the_work():
    assert units_of(delete("a")) == units_of(rename("a", "b")) == units_of(PROBE) == 1
    assert units_of(upload("a", SMALL_BYTES - 1)) < units_of(upload("a", SMALL_BYTES))


def test_the_backlog_counts_files_and_bytes_that_wait_and_run():
    queue = queue_of(upload("a", 10), upload("b", 5), delete("c"))
    queue.take(NOW)
    assert queue.backlog() == (2, 15)


def test_loads_are_counted_per_mapping():
    queue = queue_of(upload("a"), upload("b"), upload("a", mapping=OTHER))
    queue.take(NOW)
    assert (queue.load(M), queue.load(OTHER)) == (Load(waiting=1, running=1), Load(waiting=1))
    assert queue.load("never heard of") == Load()
    assert not queue.idle
    assert queue.in_flight == 1


# ── When an action ends ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_requeued_action_goes_first():
    queue = queue_of(*(upload(str(n), SMALL_BYTES) for n in range(4)), connections=1)
    first = taken(queue)
    assert first == [upload("0", SMALL_BYTES), upload("1", SMALL_BYTES)]
    queue.finish(first[0], requeue=True)
    assert queue.load(M) == Load(waiting=3, running=1)
    assert queue.take(NOW) == first[0]


def test_a_requeued_action_does_not_replace_a_newer_one():
    queue = queue_of(upload("a", 1))
    (running,) = taken(queue)
    queue.offer(upload("a", 2))
    queue.finish(running, requeue=True)
    assert taken(queue) == [upload("a", 2)]


def test_a_probe_is_not_queued_again():
    queue = queue_of()
    queue.start_probe(PROBE)
    assert queue.in_flight == 1
    queue.finish(PROBE, requeue=True)
    assert queue.idle
    assert taken(queue) == []


# ── When the server fails ────────────────────────────────────────────────────────────────────────────────────────


def failing(queue: Queue, now: float, state: Breaker = Breaker.OFFLINE) -> bool:
    return queue.gate.failed(now, state, "Connection refused.")


def pause_of(queue: Queue, now: float) -> float:
    due = queue.next_due(now)
    assert due is not None
    return due - now


def test_a_server_that_fails_is_left_alone_and_keeps_its_queue():
    queue = queue_of(upload("a"), upload("b"))
    assert failing(queue, NOW)
    assert queue.gate.state is Breaker.OFFLINE
    assert queue.gate.message == "Connection refused."
    assert taken(queue, NOW + FIRST_PAUSE_S - 0.1) == []
    assert not queue.wants_probe(NOW + FIRST_PAUSE_S - 0.1)
    assert queue.load(M) == Load(waiting=2)


def test_after_the_pause_one_action_is_let_through():
    queue = queue_of(upload("a"), upload("b"))
    failing(queue, NOW)
    later = NOW + pause_of(queue, NOW)
    assert taken(queue, later) == [upload("a")]
    assert not queue.wants_probe(later)
    assert queue.next_due(later) is None, "only the outcome can help"


def test_what_began_before_the_server_failed_is_not_awaited():
    """It may take hours; and it tells nothing of whether others can connect."""
    queue = queue_of(large("a"), upload("b"), upload("c"))
    before = queue.take(NOW)
    assert before == large("a")
    failing(queue, NOW)
    later = NOW + pause_of(queue, NOW)
    assert taken(queue, later - 0.1) == []
    assert taken(queue, later) == [upload("b")]
    assert queue.next_due(later) is None, "only the outcome can help"
    queue.finish(before)
    assert taken(queue, later) == [], "that was not it"
    queue.finish(upload("b"), requeue=True)
    assert taken(queue, later) == [upload("b")]


def test_a_trial_of_an_outage_that_is_over_is_not_awaited_in_the_next():
    queue = queue_of(large("a"), upload("b"))
    failing(queue, NOW)
    tried = queue.take(NOW + 20)
    assert tried == large("a")
    assert queue.gate.connected()
    failing(queue, NOW + 21)
    assert taken(queue, NOW + 21 + pause_of(queue, NOW + 21)) == [upload("b")]


def test_there_is_one_probe_at_a_time():
    queue = queue_of()
    failing(queue, NOW)
    assert queue.wants_probe(NOW + 20)
    queue.start_probe(PROBE)
    queue.gate.answered()
    failing(queue, NOW + 30)
    assert not queue.wants_probe(NOW + 60)
    assert queue.next_due(NOW + 60) is None
    queue.finish(PROBE)
    assert queue.wants_probe(NOW + 60)


@pytest.mark.parametrize("state", [Breaker.OFFLINE, Breaker.REFUSED])
def test_a_connection_opens_the_queue_where_none_could_be_opened(state: Breaker):
    queue = queue_of(large("a"), upload("b"))
    failing(queue, NOW, state)
    assert queue.take(NOW + 1000) == large("a")
    assert queue.gate.connected()
    assert not queue.gate.connected(), "no news"
    assert (queue.gate.state, queue.gate.message) == (Breaker.CLOSED, "")
    assert queue.take(NOW + 1000) == upload("b")


@pytest.mark.parametrize("state", [Breaker.OFFLINE, Breaker.FULL])
def test_a_connection_says_nothing_where_the_server_failed_over_one(state: Breaker):
    queue = queue_of()
    queue.gate.failed(NOW, state, "No space, or no data connection.", connects=True)
    assert not queue.gate.connected()
    assert queue.gate.state is state


@pytest.mark.parametrize("withdrawn", [True, False])
def test_a_file_that_was_to_show_whether_there_is_space_and_is_not_sent_makes_way_for_another(*, withdrawn: bool):
    """Its connection was lost; before it had its turn again it was gone, or not wanted any more."""
    queue, later = queue_of(upload("d/1")), NOW + SPACE_RETRY_S
    for name in ("d/1", "d/2"):
        queue.space.refused(M, name, "552 Quota exceeded.", NOW)
    (tried,) = taken(queue, later)
    assert queue.space.admits(M, "d/1", later)
    queue.finish(tried, requeue=True)
    assert not queue.space.admits(M, "d/2", later)
    if withdrawn:
        queue.withdraw(M, "d/1")
    else:
        (tried,) = taken(queue, later)
        queue.finish(tried)
    assert queue.space.to_look_at(M, later) == ["d"]
    assert queue.space.admits(M, "d/2", later)


class Counting(dict[Key, Action]):
    """Counts what is looked at when somebody goes through it."""

    looked_at = 0

    def __iter__(self) -> Iterator[Key]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key

    def items(self) -> Any:
        return ((key, self[key]) for key in self)


def test_for_what_makes_room_at_a_full_server_not_all_is_looked_through_that_waits_for_it():
    """Each look at 100,000 files took twelve milliseconds, 256 of them in each turn of the engine."""
    files = [upload(f"new/{number:03}") for number in range(500)]
    deletes = [delete(f"old/{number:03}") for number in range(50)]
    queue = queue_of(*files, *deletes)
    queue._waiting = waiting = Counting(queue._waiting)
    queue.gate.failed(NOW, Breaker.FULL, "No space.", connects=True)
    assert taken(queue) == deletes
    assert waiting.looked_at == 0
    assert not queue.makes_room
    queue.gate.answered()
    begun, sent = list[Action](deletes), list[Action]()
    while begun:
        for action in begun:
            queue.finish(action)
        begun = taken(queue)
        sent += begun
    assert sent == files, "what has begun has no turn any more"


def test_what_makes_room_and_has_to_wait_is_not_looked_at_again_for_all_that_has_not(monkeypatch: pytest.MonkeyPatch):
    looked_at: list[Key] = []
    blocker = Blocking.blocker

    def look(blocking: Blocking, key: Key, action: Action) -> Key | None:
        looked_at.append(key)
        return blocker(blocking, key, action)

    directories = [remove_dir(f"{number:03}") for number in range(100)]
    inside = [delete(f"{number:03}/a") for number in range(100)]
    queue = queue_of(*directories, *inside)
    queue.gate.failed(NOW, Breaker.FULL, "No space.", connects=True)
    monkeypatch.setattr(Blocking, "blocker", look)
    assert taken(queue) == inside
    assert len(looked_at) <= 3 * 100
    for action in inside:
        queue.finish(action)
    assert taken(queue) == directories


@pytest.mark.parametrize(("state", "pause_s"), [(Breaker.FULL, FULL_PAUSE_S), (Breaker.OFFLINE, FIRST_PAUSE_S)])
def test_where_connections_can_be_opened_a_small_file_is_tried_beside_a_large_one(state: Breaker, pause_s: float):
    """Whether there is space again, or data gets through, shows at its end, perhaps hours later; or it alone hangs, as
    where the server keeps its part locked. All others would wait for that."""
    queue = queue_of(large("film"), large("film 2"), upload("b"), upload("c"))
    queue.gate.failed(NOW, state, "No space, or no data connection.", connects=True)
    later = NOW + 1.1 * pause_s
    assert taken(queue, NOW + 0.8 * pause_s) == []
    assert taken(queue, later) == [large("film"), upload("b")]
    assert not queue.wants_probe(later)
    queue.finish(upload("b"))
    queue.gate.answered()
    assert taken(queue, later) == [large("film 2"), upload("c")]


def test_a_small_file_is_tried_beside_a_large_one_whatever_a_paused_mapping_has_to_delete():
    """It had waited for the end of the large one, perhaps hours later, while the other mapping was paused."""
    queue = queue_of(large("film"), upload("b"), delete("old")._replace(mapping="shop"))
    queue.suspend("shop", suspended=True)
    queue.gate.failed(NOW, Breaker.FULL, "No space.", connects=True)
    assert taken(queue, NOW + FULL_PAUSE_S) == [large("film"), upload("b")]
    queue.suspend("shop", suspended=False)
    assert taken(queue, NOW + FULL_PAUSE_S) == [delete("old")._replace(mapping="shop")]
    assert not queue.makes_room


def test_where_none_can_be_opened_only_one_is_tried():
    """As soon as one is, all goes on."""
    queue = queue_of(large("film"), upload("b"))
    failing(queue, NOW)
    assert taken(queue, NOW + 20) == [large("film")]
    assert queue.gate.connected()
    assert taken(queue, NOW + 20) == [upload("b")]


def test_a_small_file_that_comes_while_a_full_server_is_tried_with_a_large_one_is_tried_too():
    queue = queue_of(large("film"))
    queue.gate.failed(NOW, Breaker.FULL, "No space.", connects=True)
    later = NOW + FULL_PAUSE_S
    assert taken(queue, later) == [large("film")]
    queue.offer(large("film 2"))
    queue.offer(upload("b"))
    assert taken(queue, later + 1) == [upload("b")]
    queue.gate.failed(later + 2, Breaker.FULL, "No space.", connects=True)
    queue.finish(upload("b"), requeue=True)
    assert taken(queue, later + 3) == []


def test_an_answer_opens_the_queue_again():
    queue = queue_of(upload("a"), upload("b"))
    failing(queue, NOW)
    (tried,) = taken(queue, NOW + 20)
    assert queue.gate.answered()
    queue.finish(tried)
    assert queue.gate.state is Breaker.CLOSED
    assert queue.gate.message == ""
    assert taken(queue, NOW + 20) == [upload("b")]
    assert not queue.gate.answered(), "no news"


def test_a_probe_asks_where_nothing_waits():
    queue = queue_of()
    failing(queue, NOW)
    later = NOW + pause_of(queue, NOW)
    assert not queue.wants_probe(later - 0.1)
    assert queue.take(later) is None
    assert queue.wants_probe(later)
    queue.start_probe(PROBE)
    assert not queue.wants_probe(later)
    queue.offer(upload("a"))
    assert queue.take(later) is None
    queue.finish(PROBE)
    queue.gate.answered()
    assert queue.take(later) == upload("a")


def test_a_probe_asks_where_everything_is_suspended():
    queue = queue_of(upload("a"))
    queue.suspend(M, suspended=True)
    failing(queue, NOW)
    assert queue.take(NOW + 20) is None
    assert queue.wants_probe(NOW + 20)


def fail_again_and_again(queue: Queue, times: int) -> list[float]:
    """The pauses of a server that fails at each try."""
    now, pauses = NOW, []
    for _ in range(times):
        failing(queue, now)
        pauses.append(pause_of(queue, now))
        now += pauses[-1]
        assert queue.take(now) is None
        assert queue.wants_probe(now)
        queue.start_probe(PROBE)
        queue.finish(PROBE)
    return pauses


def test_the_pause_grows_to_its_limit():
    pauses = fail_again_and_again(queue_of(jitter=0.5), 12)
    assert pauses == pytest.approx([min(LONGEST_PAUSE_S, FIRST_PAUSE_S * PAUSE_FACTOR**n) for n in range(12)])
    assert pauses[-1] == LONGEST_PAUSE_S


@pytest.mark.parametrize("jitter", [0.0, 0.25, 1.0])
def test_the_pause_is_spread_by_a_tenth(jitter: float):
    even, spread = (fail_again_and_again(queue_of(jitter=j), 9) for j in (0.5, jitter))
    factor = 0.9 + 0.2 * jitter
    assert spread == pytest.approx([pause * factor for pause in even])


def test_connections_that_fail_together_are_one_failure():
    queue = queue_of()
    for _ in range(30):
        failing(queue, NOW)
    assert pause_of(queue, NOW) == FIRST_PAUSE_S
    failing(queue, NOW + FIRST_PAUSE_S)
    assert pause_of(queue, NOW + FIRST_PAUSE_S) == FIRST_PAUSE_S * PAUSE_FACTOR


def test_failing_is_news_once():
    queue = queue_of()
    assert failing(queue, NOW)
    assert not failing(queue, NOW)
    assert not failing(queue, NOW + 500)
    assert failing(queue, NOW + 500, Breaker.REFUSED)


def test_an_answer_makes_the_next_pause_short_again():
    queue = queue_of()
    fail_again_and_again(queue, 6)
    queue.gate.answered()
    failing(queue, NOW + 10_000)
    assert pause_of(queue, NOW + 10_000) == FIRST_PAUSE_S


def test_a_person_makes_the_next_pause_short_again():
    queue = queue_of()
    fail_again_and_again(queue, 6)
    queue.gate.retry_now()
    failing(queue, NOW + 10_000)
    assert pause_of(queue, NOW + 10_000) == FIRST_PAUSE_S


def test_what_fails_late_of_one_outage_lets_nothing_through_beside_what_tries_the_server():
    queue = queue_of(upload("a"), upload("b"))
    failing(queue, NOW)
    assert taken(queue, NOW + FIRST_PAUSE_S) == [upload("a")]
    failing(queue, NOW + FIRST_PAUSE_S)
    assert taken(queue, NOW + 10_000) == []
    assert not queue.wants_probe(NOW + 10_000)


@pytest.mark.parametrize(("state", "pause"), [(Breaker.REFUSED, LOGIN_PAUSE_S), (Breaker.FULL, FULL_PAUSE_S)])
def test_a_refused_login_and_a_full_server_have_their_own_pauses(state: Breaker, pause: float):
    queue = queue_of(upload("a"))
    failing(queue, NOW, state)
    assert queue.gate.state is state
    assert pause_of(queue, NOW) == pause
    assert taken(queue, NOW + pause - 1) == []
    assert taken(queue, NOW + pause) == [upload("a")]


def test_a_person_can_end_the_pause():
    queue = queue_of(upload("a"))
    failing(queue, NOW, Breaker.REFUSED)
    queue.gate.retry_now()
    assert queue.next_due(NOW) == NOW
    assert taken(queue, NOW) == [upload("a")]


def test_a_server_that_was_never_tried_is_tried_with_all():
    queue = Queue(2)
    queue.offer(upload("a"))
    queue.offer(upload("b"))
    assert queue.gate.state is Breaker.UNKNOWN
    assert len(taken(queue)) == 2


# ── The cap ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_cap_falls_and_grows_back_one_by_one():
    queue = queue_of(*(upload(f"a{n}", SMALL_BYTES) for n in range(99)), connections=4)
    assert queue.gate.lower_cap(NOW)
    assert queue.gate.lower_cap(NOW)
    assert (queue.gate.cap, queue.gate.lowered_to) == (2, 2)
    assert len(taken(queue, NOW)) == 4
    assert queue.next_due(NOW) == NOW + CAP_GROWS_AFTER_S
    assert taken(queue, NOW + CAP_GROWS_AFTER_S - 1) == []
    assert len(taken(queue, NOW + CAP_GROWS_AFTER_S)) == 2
    assert queue.gate.cap == 3
    assert len(taken(queue, NOW + 2 * CAP_GROWS_AFTER_S)) == 2
    assert (queue.gate.cap, queue.gate.lowered_to) == (4, 0)
    assert queue.next_due(NOW + 2 * CAP_GROWS_AFTER_S) is None


def test_the_cap_does_not_fall_below_one():
    queue = queue_of(connections=2)
    assert queue.gate.lower_cap(NOW)
    assert not queue.gate.lower_cap(NOW)
    assert queue.gate.cap == 1


def test_a_cap_lowered_again_waits_again():
    queue = queue_of(upload("a"), connections=4)
    queue.gate.lower_cap(NOW)
    queue.gate.lower_cap(NOW + 200)
    queue.take(NOW + 301)
    assert queue.gate.cap == 2
    queue.take(NOW + 500)
    assert queue.gate.cap == 3


def test_the_cap_falls_to_what_is_open_where_no_other_can_be_opened():
    queue = queue_of(upload("a"), connections=4)
    queue.gate.keep_to(2, NOW)
    assert queue.gate.cap == 2
    queue.gate.keep_to(3, NOW)
    assert queue.gate.cap == 2, "more are not allowed"
    queue.gate.keep_to(0, NOW)
    assert queue.gate.cap == 2, "that is an outage"
    queue.take(NOW + CAP_GROWS_AFTER_S)
    assert queue.gate.cap == 3


def test_with_nothing_to_do_nobody_wakes_for_the_cap():
    queue = queue_of(connections=4)
    queue.gate.lower_cap(NOW)
    assert queue.next_due(NOW) is None


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [Breaker.OFFLINE, None], ids=["offline", "blocked"])
def test_a_path_that_comes_and_goes_leaves_no_trace(state: Breaker | None):
    queue = queue_of(make_dir("d"))
    taken(queue)
    if state is not None:
        failing(queue, NOW, state)
    for _ in range(1000):
        queue.offer(upload("d/a"))
        assert queue.take(NOW) is None
        queue.withdraw(M, "d/a")
    held = sum(len(turn) for turn in queue._turns.values()) + sum(
        len(p) for p in queue._blocking._parked_behind.values()
    )
    assert held <= 2


# ── Properties: a queue and a simple model of it ─────────────────────────────────────────────────────────────────

MAPPINGS = st.sampled_from([M, OTHER])
PATHS = st.sampled_from(
    ["d", "e", "d/a", "d/b", "d/f", "d/f/a", "d/f/g", "d/f/g/a", "e/a", "e/f", "e/f/a", "d2", "d2/a"]
)
SIZES = st.sampled_from([1, 1, SMALL_BYTES, LARGE_BYTES])


def below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


@st.composite
def actions(draw: st.DrawFn) -> Action:
    mapping, path = draw(MAPPINGS), draw(PATHS)
    match draw(st.integers(0, 7)):
        case 0 | 1:
            return upload(path, draw(SIZES), mapping)
        case 2:
            return MakeDir(mapping, path, 1)
        case 3:
            return RemoveDir(mapping, path)
        case 4:
            return Delete(mapping, path)
        case 5:
            return Sweep(mapping, path, f"/{path}.filepart")
        case kind:
            # A directory cannot be moved into itself.
            source = draw(PATHS.filter(lambda p: p != path and not below(path, p)))
            if kind == 6:
                return Rename(mapping, path, source, Fingerprint(1, 1, 1), SHA)
            return RenameDir(mapping, path, source, 1)


class QueueMachine(RuleBasedStateMachine):
    """Offers, takes and finishes at random; the model knows what waits and what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.queue = Queue(3, jitter=0.5)
        self.queued: dict[Key, Action] = {}
        self.running: list[Action] = []
        self.suspended: set[str] = set()
        self.trial: Action | None = None
        """What was let through in this outage."""

    @initialize(connections=st.integers(1, 3))
    def begin(self, connections: int) -> None:
        self.queue = Queue(connections, jitter=0.5)

    # ── what the engine and the mirrors do ───────────────────────────────────────────────────────────────────

    @rule(action=actions())
    def offer(self, action: Action) -> None:
        if isinstance(action, RenameDir):
            # As the mirror does: what waits about the old directory has lost its meaning.
            self.withdraw(action.mapping, action.source)
            self.withdraw_below(action.mapping, action.source)
        self.queue.offer(action)
        self.queued[action.mapping, action.path] = action

    @rule(mapping=MAPPINGS, path=PATHS)
    def withdraw(self, mapping: str, path: str) -> None:
        self.queue.withdraw(mapping, path)
        self.queued.pop((mapping, path), None)

    @rule(mapping=MAPPINGS, path=PATHS)
    def withdraw_below(self, mapping: str, path: str) -> None:
        self.queue.withdraw_below(mapping, path)
        self._drop(lambda action: action.mapping == mapping and below(action.path, path))

    @rule(mapping=MAPPINGS)
    def withdraw_deletes(self, mapping: str) -> None:
        self.queue.withdraw_some(mapping, Delete | RemoveDir)
        self._drop(lambda action: action.mapping == mapping and isinstance(action, Delete | RemoveDir))

    @rule(mapping=MAPPINGS)
    def suspend(self, mapping: str) -> None:
        self.queue.suspend(mapping, suspended=True)
        self.suspended.add(mapping)

    @rule(mapping=MAPPINGS)
    def resume(self, mapping: str) -> None:
        self.queue.suspend(mapping, suspended=False)
        self.suspended.discard(mapping)

    @rule()
    def take(self) -> None:
        action = self.queue.take(self.now)
        if action is not None:
            self._began(action)

    @rule()
    def take_all(self) -> None:
        """As the engine does in each turn: afterwards nothing is due at once."""
        while (action := self.queue.take(self.now)) is not None:
            self._began(action)
        if self.queue.wants_probe(self.now):
            assert PROBE not in self.running
            self._tries(PROBE)
            self.queue.start_probe(PROBE)
            self.running.append(PROBE)
        due = self.queue.next_due(self.now)
        assert due is None or due > self.now, "a busy loop"
        wanted = [action for key, action in self.queued.items() if key[0] not in self.suspended]
        assert self.running or not wanted or due is not None, "everything waits, nobody will ever wake it"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), requeue=st.booleans())
    def finish(self, data: st.DataObject, requeue: bool) -> None:  # noqa: FBT001
        self._finish(data.draw(st.integers(0, len(self.running) - 1)), requeue=requeue)

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        state=st.sampled_from([Breaker.OFFLINE, Breaker.REFUSED, Breaker.FULL]),
        connects=st.booleans(),
    )
    def fail(self, data: st.DataObject, state: Breaker, connects: bool) -> None:  # noqa: FBT001
        if self.queue.gate.state in {Breaker.CLOSED, Breaker.UNKNOWN} and self.trial is not PROBE:
            self.trial = None
        self.queue.gate.failed(self.now, state, "it failed", connects=connects)
        self._finish(data.draw(st.integers(0, len(self.running) - 1)), requeue=True)

    @precondition(lambda self: self.running)
    @rule()
    def answer(self) -> None:
        self.queue.gate.answered()
        self._finish(0, requeue=False)

    @rule()
    def lower_cap(self) -> None:
        before = self.queue.gate.cap
        assert self.queue.gate.lower_cap(self.now) == (before > 1)
        assert self.queue.gate.cap == max(1, before - 1)

    @rule()
    def retry_now(self) -> None:
        self.queue.gate.retry_now()

    @rule(seconds=st.sampled_from([0.1, 10.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def _began(self, action: Action) -> None:
        key = (action.mapping, action.path)
        assert self.queued.pop(key, None) is action, "not offered, handed twice, or not the latest"
        assert action.mapping not in self.suspended
        own = set(keys_of(action))
        for other in self.running:
            theirs = set(keys_of(other))
            assert not own & theirs, f"{action} shares a path with {other}"
            if is_structural(other):
                assert not any(self._below(a, b) for a in own for b in theirs), f"{action} starts below {other}"
            if isinstance(action, RemoveDir | RenameDir | Delete):
                assert not any(self._below(b, a) for a in own for b in theirs), f"{action} starts above {other}"
        for waiting in self.queued.values():
            theirs = set(keys_of(waiting))
            if isinstance(action, RemoveDir):
                assert not any(self._below(b, key) for b in theirs), f"{action} does not wait for {waiting}"
            elif isinstance(waiting, MakeDir):
                assert not self._below(key, (waiting.mapping, waiting.path)), f"{action} does not wait for {waiting}"
        makes_room = self.queue.gate.state is Breaker.FULL and isinstance(action, RemoveDir | Delete)
        if self.queue.gate.state not in {Breaker.CLOSED, Breaker.UNKNOWN} and not makes_room:
            self._tries(action)
        self.running.append(action)

    def _tries(self, action: Action) -> None:
        if self.queue.gate.lets_in and self.trial is not None and is_large(self.trial):
            assert not is_large(action), "one large file tells as much as two"
        else:
            assert self.trial is None, "only one is let through"
        self.trial = action

    @staticmethod
    def _below(key: Key, other: Key) -> bool:
        return key[0] == other[0] and below(key[1], other[1])

    def _finish(self, index: int, *, requeue: bool) -> None:
        action = self.running.pop(index)
        if action is self.trial:
            self.trial = None
        self.queue.finish(action, requeue=requeue)
        key = (action.mapping, action.path)
        if requeue and not isinstance(action, Probe):
            self.queued.setdefault(key, action)

    def _drop(self, doomed) -> None:
        self.queued = {key: action for key, action in self.queued.items() if not doomed(action)}

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.in_flight == len(self.running)
        assert self.queue.idle == (not self.running and all(mapping in self.suspended for mapping, _ in self.queued))
        for mapping in (M, OTHER):
            marked = [key for key, action in self.queued.items() if not isinstance(action, Delete | RemoveDir)]
            assert self.queue.marked(mapping) == sum(key[0] == mapping for key in marked)
            waits = sum(key[0] == mapping for key in self.queued)
            runs = sum(action.mapping == mapping for action in self.running)
            assert self.queue.load(mapping) == Load(waits, runs)

    @invariant()
    def paths_agree(self) -> None:
        runs = {key for action in self.running for key in keys_of(action)}
        every = [*self.queued.values(), *self.running]
        sources = {(a.mapping, a.source) for a in every if isinstance(a, Rename | RenameDir)}
        for mapping in (M, OTHER):
            for path in ("d", "d/a", "d/f", "e"):
                assert self.queue.waiting(mapping, path) is self.queued.get((mapping, path))
                assert self.queue.occupied(mapping, path) == ((mapping, path) in runs)
                assert self.queue.moves_from(mapping, path) == ((mapping, path) in sources)
            arriving = {key for action in self.running for key in keys_of(action) if arrives(key, action)}
            assert {(mapping, path) for path in self.queue.under_way.arriving(mapping)} == {
                key for key in arriving if key[0] == mapping
            }

    def teardown(self) -> None:
        """The server works, nothing new comes: everything is taken, and nothing remains."""
        for mapping in (M, OTHER):
            self.resume(mapping)
        self.queue.gate.answered()
        for _ in range(1 + len(self.queued) + len(self.running)):
            self.take_all()
            while self.running:
                self._finish(0, requeue=False)
        assert not self.queued, f"never taken: {list(self.queued.values())}"
        self.counts_agree()
        queue, under_way = self.queue, self.queue.under_way
        leftovers = (
            under_way._units,
            under_way._large,
            under_way._at,
            under_way._arriving,
            queue._backlog._sources,
            queue._blocking._parked_behind,
        )
        assert not any(leftovers), leftovers
        assert not queue._blocking._structural, "a path seems occupied for ever"
        assert not any((under_way.below, queue._blocking.waiting_below)), "a directory seems in use for ever"


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def test_what_leaves_a_directory_is_known_until_it_has_left():
    queue = Queue(2)
    for source, path in (("d/a", "x"), ("d/e/b", "y"), ("da", "z")):
        queue.offer(rename(source, path))
    queue.offer(rename_dir("d/f", "w"))
    assert sorted(queue.leaving(M, "d")) == ["d/a", "d/e/b", "d/f"]
    assert sorted(queue.leaving(M, "")) == ["d/a", "d/e/b", "d/f", "da"], "all is below the root"
    assert queue.leaving(OTHER, "d") == []
    taken = queue.take(NOW)
    assert taken is not None
    assert sorted(queue.leaving(M, "d")) == ["d/a", "d/e/b", "d/f"]
    queue.finish(taken)
    queue.withdraw(M, "y")
    assert queue.leaving(M, "d") == ["d/f"]


def test_what_arrives_is_known_without_a_look_at_the_deletes_under_way():
    """It is asked with every delete that ends: hundreds of them are under way together, and none leaves anything."""
    queue = queue_of(*[delete(f"d/{number}") for number in range(400)], connections=8)
    while queue.take(NOW) is not None:
        pass
    queue.under_way.begin(upload("new"), outage=None)
    asked = []
    sys.setprofile(lambda _frame, event, _what: asked.append(event) if event == "call" else None)
    try:
        arriving = list(queue.under_way.arriving(M))
    finally:
        sys.setprofile(None)
    assert arriving == ["new"]
    assert len(queue.under_way) > 300
    assert len(asked) < 10
