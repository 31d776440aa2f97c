"""What a rename of a directory may bring late: when the server is asked about it, and when it can come no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import RenameDir
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.brought import Brought
from ftpsyncd.mapping.openintents import LATE_S, OpenIntents
from ftpsyncd.model import Intent, Kind
from tests.core.vocabulary import NOW, M
from tests.engine.test_outcomes import Story


class Cut:
    """A mapping in which renames of directories are cut off."""

    def __init__(self, ledger: Ledger, *, twice: bool = True) -> None:
        self.open = OpenIntents(Story(ledger).mirror.site)
        self.recorded: set[str] = set()
        self.brought = Brought(self.open, self.recorded.__contains__, twice=twice)

    def brings(self, path: str) -> tuple[str, ...]:
        return self.open[path].brings

    def rename(self, source: str, path: str, *brings: str) -> None:
        self.open.put(path, Intent(Kind.DIR, source=source, brings=brings))
        self.brought.cut_off(path)


@pytest.fixture
def cut() -> Iterator[Cut]:
    with Ledger(Path(":memory:")) as ledger:
        yield Cut(ledger)


def test_it_is_asked_about_when_it_can_come_no_more_and_forgotten_then(cut: Cut) -> None:
    cut.rename("old", "new")
    assert cut.brings("new") == ("old",)
    assert not cut.brought.is_due("new", NOW)
    assert cut.brought.due("new", "old", NOW + 1) == NOW + LATE_S, "since it was first asked"
    assert cut.brought.to_ask("new") == []
    assert cut.brought.is_due("new", NOW + LATE_S)
    assert cut.brought.to_ask("new") == ["old"]
    cut.brought.settled("new")
    assert cut.brought.to_ask("new") == ["old"]
    cut.brought.told("new", "old")
    assert not cut.brings("new")
    assert not cut.brought.to_ask("new")
    cut.rename("old", "new")
    assert cut.brought.due("new", "old", NOW + 99) == NOW + 99 + LATE_S, "it begins anew"


def test_what_is_told_while_it_may_come_is_asked_about_again(cut: Cut) -> None:
    """Forgotten, a directory that comes after the answer would be at the server for good, under a name of before."""
    cut.rename("old", "new")
    cut.brought.due("new", "old", NOW)
    cut.rename("other", "new", "old")
    assert cut.brings("new") == ("old", "other")
    assert cut.brought.to_ask("new") == ["old"], "it may have come by now"
    cut.brought.told("new", "old")
    assert cut.brings("new") == ("old", "other")
    assert not cut.brought.to_ask("new")
    assert cut.brought.is_due("new", NOW + LATE_S)
    assert cut.brought.to_ask("new") == ["old"]
    cut.brought.told("new", "old")
    assert cut.brings("new") == ("other",)


def test_what_was_begun_over_it_is_over_before_it_can_come_no_more(cut: Cut) -> None:
    cut.rename("old", "new")
    cut.brought.due("new", "old", NOW)
    cut.rename("other", "new", "old")
    cut.brought.settled("new")
    assert cut.brought.to_ask("new") == []


def test_of_a_rename_that_is_cut_off_anew_the_time_begins_anew(cut: Cut) -> None:
    cut.rename("old", "new")
    assert cut.brought.due("new", "old", NOW) == NOW + LATE_S
    cut.rename("old", "new", "old")
    assert cut.brought.to_ask("new") == [], "the rename itself is asked about"
    assert cut.brought.due("new", "old", NOW + 30) == NOW + 30 + LATE_S


def test_what_comes_to_its_old_name_late_may_come_along_but_not_into_itself(cut: Cut) -> None:
    cut.rename("oldest", "old")
    cut.rename("old", "new")
    assert cut.brings("new") == ("old", "oldest")
    cut.rename("new", "old/new")
    assert cut.brings("old/new") == ("new", "oldest")


def test_of_what_is_not_a_rename_nothing_more_may_come(cut: Cut) -> None:
    cut.rename("", "new", "old")
    assert cut.brings("new") == ("old",)
    assert cut.brought.to_ask("new") == ["old"]
    cut.brought.due("new", "old", NOW)
    cut.brought.drop("new")
    assert cut.brought.to_ask("new") == []
    assert cut.brought.due("new", "old", NOW + 9) == NOW + 9 + LATE_S


def test_names_under_which_nothing_is_recorded_come_first(cut: Cut) -> None:
    cut.rename("old", "b")
    cut.rename("old", "a")
    cut.recorded.add("b")
    assert cut.brought.places("b", "old") == ("a", "b")


def test_a_pass_that_ends_asks_at_once_and_notes_nothing() -> None:
    with Ledger(Path(":memory:")) as ledger:
        cut = Cut(ledger, twice=False)
        cut.rename("old", "new")
        assert cut.brings("new") == ()
        cut.rename("old", "new", "other")
        cut.brought.settled("new")
        assert cut.brought.due("new", "other", NOW) == NOW
        assert cut.brought.to_ask("new") == ["other"]
        cut.brought.told("new", "other")
        assert cut.brings("new") == ()


@pytest.mark.parametrize(
    ("path", "whole", "leaves"),
    [
        ("top/old", False, True),
        ("top/old/a", False, True),
        ("top/older", False, False),
        ("top", False, False),
        ("top", True, True),
        ("to", True, False),
        ("new", True, False),
    ],
)
def test_what_may_leave_with_its_directory_is_known(cut: Cut, path: str, *, whole: bool, leaves: bool) -> None:
    """Nothing is published or deleted there meanwhile."""
    cut.rename("top/old", "new")
    assert list(cut.brought.taking(path, whole=whole)) == ([("new", "top/old")] if leaves else [])


def test_all_names_that_it_may_have_got_are_known(cut: Cut) -> None:
    cut.rename("old", "b")
    cut.rename("x", "c", "old")
    cut.rename("x", "d")
    assert set(cut.brought.places("a", "old")) == {"a", "b", "c"}


def test_a_question_about_the_rename_that_was_begun_last_is_no_other_question(cut: Cut) -> None:
    cut.rename("old", "new", "other")
    ask = RenameDir(M, "new", "other", 5, ask_only=True)
    assert cut.brought.asks(ask)
    assert cut.brought.asks(ask._replace(path="unknown"))
    assert not cut.brought.asks(ask._replace(source="old"))
    assert not cut.brought.asks(ask._replace(ask_only=False))
