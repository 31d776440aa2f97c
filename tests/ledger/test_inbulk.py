"""Many rows at once: of which directory, mapping and kind they are, and which of them are beside what is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.inbulk import Beside
from ftpsyncd.model import Entry, Fingerprint, Kind, Row
from ftpsyncd.specs import Overlap

NS = 1_700_000_000 * 10**9
ODD = "\udcff"
"""A name that is not in UTF-8."""


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(Path(":memory:")) as ledger:
        yield ledger


@pytest.fixture
def mapping(ledger: Ledger) -> int:
    return ledger.mappings.number("gallery", "there")


@pytest.fixture
def other(ledger: Ledger) -> int:
    return ledger.mappings.number("other", "elsewhere")


def file(size: int = 10, mtime_ns: int = 1, inode: int = 7, *, ctime_ns: int = 0) -> Row:
    return Row(Kind.FILE, Fingerprint(size, mtime_ns, inode), b"s" * 32, NS, ctime_ns=ctime_ns)


def directory(device: int = 0) -> Row:
    return Row(Kind.DIR, Fingerprint(10, 1, 7), b"", NS, device)


def entry(row: Row, kind: Kind = Kind.FILE, *, ctime_ns: int = NS) -> Entry:
    """As it is on disk."""
    return Entry(kind, row.fingerprint, ctime_ns, 0)


def fill(ledger: Ledger, mapping: int, *paths: str, row: Row | None = None) -> None:
    for path in paths:
        ledger.put(mapping, path, row or file())


def test_only_a_file_that_is_as_it_was_published_is_the_same(ledger: Ledger, mapping: int) -> None:
    rows = {
        "same": file(),
        "grown": file(11),
        "touched": file(10, 2),
        "replaced": file(10, 1, 8),
        "gone": file(),
        "now a directory": file(),
        "was a directory": directory(),
        ODD: file(),
    }
    for name, row in rows.items():
        ledger.put(mapping, f"d/{name}", row)
    on_disk = {name: entry(file()) for name in rows if name not in {"gone", "now a directory"}}
    on_disk["now a directory"] = entry(file(), Kind.DIR)
    assert ledger.in_bulk.beside(mapping, "d", {**on_disk, "new": entry(file())}) == Beside(
        sorted(set(rows) - {"same", ODD}), {"same", ODD}, ""
    )


@pytest.mark.parametrize(
    ("mtime_ns", "recorded_ns", "ctime_ns", "same"),
    [
        (10**9, 0, NS, True),
        (10**9, 0, NS + 1, False),
        (10**9, NS + 5, NS + 5, True),
        (10**9, NS + 5, NS + 6, False),
        (10**9, NS + 5, NS + 4, False),
        (10**9 + 1, NS + 5, NS + 6, True),
        (10**9 + 1, 0, NS + 1, True),
    ],
)
def test_a_file_with_a_date_in_whole_seconds_that_may_be_another_one_is_compared(
    ledger: Ledger, mapping: int, mtime_ns: int, recorded_ns: int, ctime_ns: int, *, same: bool
) -> None:
    row = file(mtime_ns=mtime_ns, ctime_ns=recorded_ns)
    ledger.put(mapping, "a", row)
    seen = entry(row, ctime_ns=ctime_ns)
    assert row.may_be_another(seen) is not same
    found = ledger.in_bulk.beside(mapping, "", {"a": seen})
    assert (found.same, found.others) == (({"a"}, []) if same else (set(), ["a"]))


def test_rows_are_set_beside_the_disk_some_at_a_time(ledger: Ledger, mapping: int, other: int) -> None:
    fill(ledger, mapping, "d/a", "d/b", "d/c", "d/e/x", "e")
    fill(ledger, other, "d/aa")
    on_disk = {"a": entry(file()), "c": entry(file())}

    def beside(after: str, most: int) -> Beside:
        return ledger.in_bulk.beside(mapping, "d", on_disk, after=after, most=most)

    assert beside("", 2) == Beside(["b"], {"a"}, "b")
    assert beside("b", 2) == Beside([], {"c"}, "")
    assert beside("", 3) == Beside(["b"], {"a", "c"}, "c"), "there may be more"
    assert beside("c", 3) == Beside([], set(), "")
    assert beside("", 4) == beside("", -1) == Beside(["b"], {"a", "c"}, "")


def test_what_is_below_a_directory_is_told_of_one_mapping_with_its_kind(
    ledger: Ledger, mapping: int, other: int
) -> None:
    paths = ("d/a", f"d/{ODD}/a", "d/e/a", "d0/a", "d")
    fill(ledger, mapping, *paths)
    for path in ("", "d/e", "f"):
        ledger.put(mapping, path, directory())
    fill(ledger, other, "d/theirs")
    bulk = ledger.in_bulk
    below = {("d/a", Kind.FILE), (f"d/{ODD}/a", Kind.FILE), ("d/e/a", Kind.FILE), ("d/e", Kind.DIR)}
    assert set(bulk.below(mapping, "d")) == below
    everything = {*((path, Kind.FILE) for path in paths), ("d/e", Kind.DIR), ("f", Kind.DIR)}
    assert set(bulk.below(mapping, "")) == everything, "the root is not below itself"
    assert sorted(bulk.directories_below(mapping, "d")) == ["d", "d/e", f"d/{ODD}"]
    assert sorted(bulk.directories_below(mapping, "")) == ["", "d", "d/e", f"d/{ODD}", "d0"]
    assert bulk.directories_below(mapping, "f") == []
    assert bulk.files_below(mapping, "d") == 3
    assert bulk.unknown(mapping, ["d/a", "d/theirs", "e", "d/e"]) == ["d/theirs", "e"]
    assert bulk.rows_of(mapping, "d", ["e", "a", "theirs"]) == {"a": file(), "e": directory()}
    assert bulk.rows_of(mapping, "d", []) == {}


def test_some_of_what_is_below_a_directory_is_told_in_order_and_goes_on_where_it_ended(
    ledger: Ledger, mapping: int
) -> None:
    fill(ledger, mapping, "d/b", "d/e/a", "d/e/b", "d/e-/a", "d/f/a", "d-/a", "d0/a", "e")
    ledger.put(mapping, "d/a", directory())
    found = ledger.in_bulk.some_below(mapping, "d", most=9)
    a_file = Kind.FILE
    assert found == [
        ("d", "a", Kind.DIR),
        ("d", "b", a_file),
        ("d/e", "a", a_file),
        ("d/e", "b", a_file),
        ("d/e-", "a", a_file),
        ("d/f", "a", a_file),
    ]
    for number, (above, name, _) in enumerate(found, start=1):
        for most in (1, 2, 9):
            behind = ledger.in_bulk.some_below(mapping, "d", after=(above, name), most=most)
            assert behind == found[number : number + most]


def test_mount_points_below_a_directory_are_told(ledger: Ledger, mapping: int, other: int) -> None:
    for path, row in {
        "d": directory(1),
        "d/e": directory(1),
        f"d/f/{ODD}": directory(5),
        "d/g": directory(),
        "d/link": file()._replace(device=1),
        "d0": directory(1),
    }.items():
        ledger.put(mapping, path, row)
    ledger.put(other, "d/theirs", directory(1))
    assert sorted(ledger.in_bulk.mount_points_below(mapping, "d")) == ["d/e", f"d/f/{ODD}"]
    assert sorted(ledger.in_bulk.mount_points_below(mapping, "")) == ["d", "d/e", f"d/f/{ODD}", "d0"]


@pytest.mark.parametrize(
    ("overlap", "theirs"),
    [
        (Overlap("", ""), {"a": 1, "d/a": 2, f"{ODD}/a": 4}),
        (Overlap("x", ""), {"x/a": 1, "x/d/a": 2, f"x/{ODD}/a": 4}),
        (Overlap(ODD, ""), {f"{ODD}/a": 1, f"{ODD}/d/a": 2, f"{ODD}/{ODD}/a": 4}),
        (Overlap("", "d"), {"a": 2, "e/a": 8}),
        (Overlap("", ODD), {"a": 4}),
    ],
    ids=["the same place", "inside", "inside a directory of an odd name", "around", "around one of an odd name"],
)
def test_what_two_mappings_have_is_counted_where_their_places_overlap(
    ledger: Ledger, mapping: int, other: int, overlap: Overlap, theirs: dict[str, int]
) -> None:
    for path, size in {"a": 1, "d/a": 2, f"{ODD}/a": 4, "d/e/a": 8, "d0/a": 16, "k": 32}.items():
        ledger.put(mapping, path, file(size))
    for path in theirs:
        ledger.put(other, path, file(1000))
    ledger.put(other, "nowhere/a", file(1000))
    ledger.put(mapping, "m", directory())
    for path in ("m", "k", "x/k"):
        ledger.put(other, path, directory())
    found = ledger.in_bulk.in_both(mapping, other, overlap)
    assert found == (len(theirs), sum(theirs.values())), "files only, and our sizes"
    of_theirs = {overlap.of(path) for path in ("a", "d/a", f"{ODD}/a", "d/e/a", "d0/a", "k")}
    assert set(theirs) <= of_theirs
