"""What is put in doubt in the ledger, and what not."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import NamedTuple

import pytest

from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import doubts
from ftpsyncd.model import MISSING, Fingerprint, Kind, Row
from tests.core.vocabulary import SHA, WALL, failed, file
from tests.ledger.twomappings import MAPPING, OTHER, two_mappings

A = Fingerprint(10, 1, 7)


class Doubted(NamedTuple):
    """Paths of a mapping, by what the ledger says of them now."""

    files: AbstractSet[str] = frozenset()
    """To be sent if they are not there, or changed."""
    wholly: AbstractSet[str] = frozenset()
    """To be sent whatever is there."""
    directories: AbstractSet[str] = frozenset()


ledger = pytest.fixture(two_mappings)


def publish(ledger: Ledger, *paths: str, mtime_ns: int = 1, mapping: int = MAPPING) -> None:
    for path in paths:
        row = Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL)
        if not path.endswith("/"):
            row = Row(Kind.FILE, Fingerprint(10, mtime_ns, 7), SHA, WALL)
        ledger.put(mapping, path.rstrip("/"), row)


def doubted(ledger: Ledger, mapping: int = MAPPING) -> Doubted:
    rows = dict(ledger.walk(mapping))
    files = {path for path in rows if doubts.is_in_doubt(ledger, mapping, path)}
    return Doubted(
        {path for path in files if rows[path].sha256},
        {path for path in files if not rows[path].sha256},
        {path for path, row in rows.items() if row.kind is Kind.DIR and row.fingerprint == MISSING},
    )


def test_of_a_file_in_doubt_the_content_may_be_known(ledger: Ledger) -> None:
    publish(ledger, "a", "b", "c", "d/")
    assert doubts.doubt_row(ledger, MAPPING, "a")
    assert doubts.doubt_row(ledger, MAPPING, "b", whole=False)
    for path in ("d", "unknown"):
        assert not doubts.doubt_row(ledger, MAPPING, path)
    assert doubted(ledger) == Doubted({"b"}, {"a"})


def test_a_directory_in_doubt_is_in_doubt_by_itself(ledger: Ledger) -> None:
    publish(ledger, "a", "d/", "d/a", "d/e/")
    assert doubts.doubt_directory(ledger, MAPPING, "d")
    for path in ("a", "unknown"):
        assert not doubts.doubt_directory(ledger, MAPPING, path)
    assert doubted(ledger) == Doubted(directories={"d"})
    assert not doubts.is_in_doubt(ledger, MAPPING, "d"), "it is no file"
    assert not doubts.is_in_doubt(ledger, MAPPING, "unknown")


@pytest.mark.parametrize(
    ("directory", "found"),
    [
        ("d", Doubted(frozenset(), {"d/a", "d/e/b"}, {"d", "d/e"})),
        ("d/e", Doubted(frozenset(), {"d/e/b"}, {"d/e"})),
        ("f", Doubted(frozenset(), {"f/a"}, set())),
        ("empty", Doubted(directories={"empty"})),
        ("d/a", Doubted(frozenset(), {"d/a"}, set())),
        ("", Doubted(frozenset(), {"a", "d/a", "d/e/b", "d2/a", "f/a"}, {"d", "d/e", "empty"})),
        ("unknown", Doubted()),
    ],
)
def test_a_tree_is_in_doubt_with_all_below_it(ledger: Ledger, directory: str, found: Doubted) -> None:
    publish(ledger, "", "a", "d/", "d/a", "d/e/", "d/e/b", "d2/a", "f/a", "empty/")
    publish(ledger, "d/", "d/a", mapping=OTHER)
    assert doubts.doubt_tree(ledger, MAPPING, directory) is (found != Doubted())
    assert doubted(ledger) == found
    assert doubted(ledger, OTHER) == Doubted()


def test_of_files_on_another_disk_those_with_dates_in_whole_seconds_are_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "ROWS_AT_ONCE", 3)
    publish(ledger, "d/a", "d2/a", "e/b", "f", mtime_ns=7 * 10**9)
    publish(ledger, "d/", "d/b", "e/c")
    after, turns = "", 0
    while after or not turns:
        after, turns = doubts.doubt_some_dated(ledger, MAPPING, ["d", "e"], after), turns + 1
    assert doubted(ledger) == Doubted({"d/a", "e/b"})
    assert turns == 3


@pytest.mark.parametrize("rows", [3, 4])
def test_of_files_on_another_disk_some_are_gone_through_in_a_turn(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Where the disk of the whole folder is another one, too."""
    monkeypatch.setattr(doubts, "ROWS_AT_ONCE", 3)
    publish(ledger, *"abcd"[:rows], mtime_ns=10**9)
    assert doubts.doubt_some_dated(ledger, MAPPING, [""], "") == "c"
    assert doubted(ledger) == Doubted({"a", "b", "c"})
    assert doubts.doubt_some_dated(ledger, MAPPING, [""], "c") == ""
    assert doubted(ledger) == Doubted(set("abcd"[:rows]))


def test_what_is_recorded_under_both_names_of_a_directory_is_in_doubt_under_the_new_one(ledger: Ledger) -> None:
    """Of what both have, what was recorded under the new name is what is there, if anything is."""
    publish(ledger, "old/", "old/a", "old/d/", "old/d/b", "older", "new/", "new/c", "newer")
    ledger.put(MAPPING, "new/a", Row(Kind.FILE, Fingerprint(20, 2, 8), SHA, WALL))
    for path in ("old/a", "new/c", "older", "newer"):
        ledger.failures.put(MAPPING, path, failed(file()))
    doubts.join_in_doubt(ledger, MAPPING, "old", "new")
    assert dict(ledger.walk(MAPPING)).keys() == {
        *("new", "new/a", "new/c", "new/d", "new/d/b"),
        *("older", "newer"),
    }
    assert doubted(ledger) == Doubted(frozenset(), {"new/a", "new/c", "new/d/b"}, {"new", "new/d"})
    row = ledger.row(MAPPING, "new/a")
    assert row is not None
    assert row.fingerprint.size == 20
    assert {path for path, _ in ledger.failures.all(MAPPING)} == {"older", "newer"}


def test_a_directory_that_is_not_recorded_has_what_is_in_it(ledger: Ledger) -> None:
    publish(ledger, "old/a")
    doubts.join_in_doubt(ledger, MAPPING, "old", "new")
    assert doubted(ledger) == Doubted(frozenset(), {"new/a"}, set())
    assert ledger.row(MAPPING, "new") is None
