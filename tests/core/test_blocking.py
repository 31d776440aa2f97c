"""What has to wait for what: paths, what is above them, and what is below."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, Upload
from ftpsyncd.core.blocking import Blocking
from ftpsyncd.core.extent import Key
from ftpsyncd.model import Fingerprint
from tests.core.vocabulary import SHA, M

PLAIN = Fingerprint(10, 1, 7)


class Parked(Blocking):
    """Remembers what may start now."""

    def __init__(self, *waiting: Action) -> None:
        super().__init__(self._note)
        self.free: list[Key] = []
        for action in waiting:
            self.waits(action)

    def _note(self, mapping: str, parked: Iterable[Key]) -> None:
        assert all(key[0] == mapping for key in parked)
        self.free += parked

    def begins(self, action: Action) -> None:
        """What waited is handed out."""
        self.waits_no_more(action)
        self.under_way.begin(action, outage=None)

    def ends(self, action: Action) -> None:
        """It has ended."""
        self.over(self.under_way.end(action))

    def blocks(self, action: Action) -> str | None:
        """The path behind which something would be parked."""
        blocker = self.blocker((M, action.path), action)
        return None if blocker is None else blocker[1]


NEW, INSIDE = MakeDir(M, "d", 5), Upload(M, "d/e/a", PLAIN)
OLD, GONE = RemoveDir(M, "d"), Delete(M, "d/e/a")


def test_what_runs_at_a_path_has_to_end_first():
    blocking = Parked(INSIDE)
    assert blocking.blocks(INSIDE) is None
    blocking.begins(INSIDE)
    assert blocking.blocks(INSIDE) == "d/e/a"


def test_below_a_directory_that_is_to_be_made_nothing_starts_however_deep():
    blocking = Parked(NEW, INSIDE)
    assert blocking.blocks(NEW) is None
    assert blocking.blocks(INSIDE) == "d"
    blocking.begins(NEW)
    assert blocking.blocks(INSIDE) == "d", "it is not there yet"
    blocking.ends(NEW)
    assert blocking.blocks(INSIDE) is None


def test_a_removal_waits_for_what_is_below_and_nothing_for_a_removal_that_waits():
    blocking = Parked(OLD, GONE)
    assert blocking.blocks(GONE) is None
    assert blocking.blocks(OLD) == "d/"
    blocking.begins(GONE)
    assert blocking.blocks(OLD) == "d/", "it runs still"
    blocking.ends(GONE)
    assert blocking.blocks(OLD) is None


def test_what_moves_out_of_a_directory_does_not_wait_for_it():
    moves = Rename(M, "e/a", "d/a", PLAIN, SHA)
    blocking = Parked(NEW, moves)
    assert blocking.blocks(moves) is None
    assert blocking.blocks(Rename(M, "d/a", "e/a", PLAIN, SHA)) == "d"


@pytest.mark.parametrize("begins", [True, False], ids=["it has ended", "it is taken back"])
def test_what_was_parked_is_told_once_what_blocked_it_is_over(begins):
    blocking = Parked(NEW, INSIDE)
    blocking.park((M, INSIDE.path), (M, "d"))
    if begins:
        blocking.begins(NEW)
        assert blocking.free == []
        blocking.ends(NEW)
    else:
        blocking.waits_no_more(NEW)
        blocking.over([(M, "d")])
    assert blocking.free == [(M, INSIDE.path)]
    blocking.over([(M, "d")])
    assert blocking.free == [(M, INSIDE.path)]


def test_a_removal_is_told_when_the_last_below_has_gone():
    other = Delete(M, "d/b")
    blocking = Parked(OLD, GONE, other)
    blocking.park((M, "d"), (M, "d/"))
    for action in (GONE, other):
        assert blocking.free == []
        blocking.waits_no_more(action)
    assert blocking.free == [(M, "d")]


def test_two_that_hold_what_is_below_are_counted():
    """A rename takes up two paths: one of them may be where a directory is to be made."""
    again = MakeDir(M, "d", 5)
    blocking = Parked(NEW, again)
    blocking.waits_no_more(NEW)
    assert blocking.blocks(INSIDE) == "d"
    blocking.waits_no_more(again)
    assert blocking.blocks(INSIDE) is None


def test_what_leaves_the_place_of_a_new_directory_takes_nothing_of_what_waits_for_that():
    """A file gets another name, a directory is made where it was, and filled: not before it is there."""
    leaves = Rename(M, "b", "d", PLAIN, SHA)
    blocking = Parked(NEW, leaves)
    blocking.waits_no_more(leaves)
    assert blocking.blocks(INSIDE) == "d"
