"""A rename that was cut off: what is seen of its file, and what becomes of what is under its old name."""

from __future__ import annotations

import math

import pytest

from ftpsyncd.mapping.cutoff import NOT_SEEN, CutOff, Fate
from ftpsyncd.model import Fingerprint
from tests.core.vocabulary import NOW

A = Fingerprint(10, 1, 7)
WRITTEN, ANOTHER = A._replace(size=30, mtime_ns=3), Fingerprint(20, 2, 8)
CUT_OFF = CutOff("new", A, ("link",))
HERE = CUT_OFF.here("new", A)
AFTER_S = 20.0


def test_nothing_is_to_become_of_what_the_server_has_not_whatever_is_known_of_the_file():
    for comes in (True, False):
        assert HERE.fate(left=False, arrived=not comes, comes=comes, all_seen=comes) is Fate.NOTHING


@pytest.mark.parametrize(
    ("arrived", "comes", "all_seen", "fate", "in_need"),
    [
        (True, True, False, Fate.GOES, Fate.GOES),
        (True, False, True, Fate.GOES, Fate.GOES),
        (False, True, True, Fate.WAITS, Fate.COUNTS),
        (False, True, False, Fate.WAITS, Fate.SOUGHT),
        (False, False, False, Fate.SOUGHT, Fate.SOUGHT),
        (False, False, True, Fate.MISSED, Fate.COUNTS),
    ],
)
def test_what_becomes_of_an_old_name(*, arrived: bool, comes: bool, all_seen: bool, fate: Fate, in_need: Fate):
    """A server that needs the room waits for nothing; what was never seen under a new name is not missed there."""
    for rename in (HERE, HERE.missed(NOW), CUT_OFF):
        now, then = (
            rename.fate(left=True, arrived=arrived, comes=comes, all_seen=all_seen, waits=waits)
            for waits in (True, False)
        )
        assert (now, then) == (Fate.COUNTS if fate is Fate.MISSED and rename is CUT_OFF else fate, in_need)


def test_when_it_goes():
    gone = HERE.gone(NOW)
    assert [gone.goes_at(fate, AFTER_S) for fate in (Fate.GOES, Fate.COUNTS)] == [NOW + AFTER_S] * 2
    assert gone.goes_at(Fate.SOUGHT, AFTER_S) == math.inf
    assert gone.missed(NOW + 5).goes_at(Fate.MISSED, AFTER_S) == NOW + 5 + AFTER_S
    assert gone.missed(NOW - 5).goes_at(Fate.MISSED, AFTER_S) == NOW + AFTER_S
    assert gone.missed(NOW + 5).goes_at(Fate.GOES, AFTER_S) == NOW + AFTER_S, "it was found"
    assert HERE.missed(NOW).goes_at(Fate.MISSED, AFTER_S) == NOW + AFTER_S, "gone with its directory"
    assert HERE.goes_at(Fate.GOES, AFTER_S) == -math.inf


def test_it_is_gone_and_missed_since_the_first_look_that_did_not_find_it():
    assert CUT_OFF.gone(NOW).gone(NOW + 1).gone(NOW - 1).gone_since == NOW - 1
    assert HERE.missed(NOW).missed(NOW + 1).lost_since == NOW
    assert HERE.missed(NOW).here("new", A).lost_since is None
    assert CUT_OFF.missed(NOW).lost_since == NOT_SEEN, "it was not here"


@pytest.mark.parametrize(
    ("path", "fingerprint", "after"),
    [
        ("newer", A, ("newer", A)),
        ("new", WRITTEN, ("new", WRITTEN)),
        ("newer", WRITTEN, None),
        ("newer", ANOTHER, None),
        ("link", A, None),
    ],
    ids=["renamed", "written", "perhaps another file", "another file", "a name that it had before"],
)
def test_it_is_the_file_by_its_look_or_its_name(path: str, fingerprint: Fingerprint, after: tuple[str, Fingerprint]):
    here = CUT_OFF.here(path, fingerprint)
    assert (here is CUT_OFF) is (after is None)
    assert after is None or (here.path, here.seen, here.lost_since) == (*after, None)


@pytest.mark.parametrize("refused", [True, False])
def test_under_its_old_name_again_it_may_be_left_under_the_new_one_unless_it_was_seen_under_both(*, refused: bool):
    rename = HERE._replace(refused=refused)
    assert rename.turned("old") is None
    for each in (rename.gone(NOW), CUT_OFF):
        assert each.turned("old") == CutOff("old", A, ("link",), refused=True, lost_since=None)
    there = rename.gone(NOW).there()
    assert (there is None) is refused, "what is in doubt is sent anew, and may go before"
    assert there is None or there.gone_since is None


def test_where_another_file_has_its_old_name_nothing_of_it_is_left_under_the_new_one():
    for rename in (CUT_OFF, HERE.gone(NOW).missed(NOW)):
        assert rename.replaced().turned("old") is None
        assert rename.replaced().gone(NOW).gone_since == NOW, "should that go, it is known since when"


def test_it_goes_on_with_its_directory_and_to_other_names():
    rename = CutOff("d/new", A, ("d/link", "e"))
    assert rename.moved("d", "c") == CutOff("c/new", A, ("c/link", "e"))
    assert rename.gone_on("e") == CutOff("e", A, ("d/link",))
