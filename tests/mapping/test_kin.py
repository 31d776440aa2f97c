"""Whether a directory is a published one under a new name: how much of that it has, and whether all of it stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ftpsyncd.actions import Rename
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import kin
from ftpsyncd.mapping.kin import Kin
from ftpsyncd.mapping.site import Moment, Site, Slices
from ftpsyncd.model import Entry
from tests.core.vocabulary import NOW, SHA, WALL, M, Without, file, folder, listing, made, published
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
A, B, C = (file(inode=inode) for inode in (7, 8, 9))
OTHER = file(size=99)


@pytest.fixture
def site() -> Iterator[Site]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger).mirror.site


def publish(site: Site, entries: Mapping[str, Entry]) -> None:
    """What was published in ``old``, as it was then."""
    for name, entry in entries.items():
        row = (
            made(entry.fingerprint.inode) if entry.fingerprint == folder(entry.fingerprint.inode).fingerprint else None
        )
        site.ledger.put(site.id, f"old/{name}", row or published(entry))


def answer(slices: Slices[bool]) -> tuple[bool, int]:
    """The answer, and after how many turns it came."""
    turns = 1
    try:
        next(slices)
        while True:
            turns += 1
            slices.send(AT._replace(now=NOW + turns))
    except StopIteration as end:
        found, at = end.value
        assert at.now == (NOW if turns == 1 else NOW + turns), "what was awaited took its time"
        return found, turns


def is_alike(site: Site, found: Mapping[str, Entry]) -> bool:
    return answer(Kin(site, Without()).alike("old", listing(found, "new"), AT))[0]


@pytest.mark.parametrize(
    ("before", "found", "alike"),
    [
        ({"a": A}, {"a": A}, True),
        ({"a": A}, {"a": OTHER}, False),
        ({"a": A}, {}, False),
        ({}, {"a": A}, False),
        ({"a": A, "b": B}, {"a": A}, True),
        ({"a": A, "b": B}, {"a": A, "b": OTHER, "c": C}, True),
        ({"a": A, "b": B, "c": C}, {"a": A}, False),
        ({"a": A, "b": B, "c": C}, {"a": A, "b": B}, True),
        ({"d": folder(5)}, {"d": folder(5)}, True),
        ({"d": folder(5)}, {"d": folder(6)}, False),
        ({"d": folder(5), "a": A}, {"d": folder(5)}, True),
        ({"d": folder(5), "a": A, "b": B}, {"d": folder(5)}, False),
    ],
)
def test_a_directory_is_a_published_one_if_it_has_half_of_that_as_it_was(
    site: Site, before: Mapping[str, Entry], found: Mapping[str, Entry], *, alike: bool
) -> None:
    publish(site, before)
    assert is_alike(site, found) is alike


def test_what_is_known_to_go_elsewhere_says_nothing_of_its_directory(site: Site) -> None:
    """Neither that it is there, nor that it is not."""
    publish(site, {"a": A, "b": B, "c": C})
    assert not is_alike(site, {"a": A})
    site.moves.wait("old/b", "else/b", None)
    assert is_alike(site, {"a": A})
    site.moves.wait("old/a", "else/a", None)
    assert not is_alike(site, {"a": A})


def test_what_goes_elsewhere_from_below_says_nothing_of_what_has_its_name(site: Site) -> None:
    publish(site, {"a": A, "b": B})
    site.queue.offer(Rename(M, "else/a", "old/deep/a", A.fingerprint, SHA))
    assert site.moves.leaving("old") == {"old/deep/a"}
    assert is_alike(site, {"a": A})


@pytest.mark.parametrize("same", [True, False])
def test_a_large_directory_is_compared_in_turns(site: Site, monkeypatch: pytest.MonkeyPatch, *, same: bool) -> None:
    """All that are recorded as they are in bulk, the others one by one: each turn has room for some."""
    monkeypatch.setattr(kin, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(kin, "NAMES_AT_ONCE", 4)
    # Changed since they were published, with a date in whole seconds, each may be another file: so looks are needed.
    entries = {f"{n:02}": file(inode=n + 1, mtime=n * 10**9, changed_s_ago=0 if same else 3600.0) for n in range(25)}
    publish(site, entries)
    found = {name: entry if same else file(size=99) for name, entry in entries.items()}
    # Two turns more for each ten, and one for five.
    assert answer(Kin(site, Without()).alike("old", listing(found, "new"), AT)) == (same, 8)


def test_of_a_large_directory_all_is_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kin, "ROWS_AT_ONCE", 10)
    entries = {f"{n:02}": file(inode=n + 1) for n in range(24)}
    publish(site, entries)
    assert is_alike(site, dict(list(entries.items())[12:]))
    assert not is_alike(site, dict(list(entries.items())[13:]))


@pytest.mark.parametrize(
    ("excluded", "stays"),
    [
        ([], True),
        (["new/b/c"], False),
        (["new/b"], False),
        (["new/a"], False),
        (["new"], False),
        (["old"], True),
        (["old/a", "a", "b"], True),
    ],
)
def test_a_directory_is_renamed_only_if_all_in_it_is_published_under_its_new_name(
    site: Site, excluded: list[str], *, stays: bool
) -> None:
    publish(site, {"a": A, "b": folder(5), "b/c": C})
    assert answer(Kin(site, Without(excluded)).stays_selected("old", "new", AT)) == (stays, 1)


def test_an_empty_directory_below_may_be_left_out_as_a_directory_only(site: Site) -> None:
    assert not answer(Kin(site, Without(folders=["new"])).stays_selected("old", "new", AT))[0], "nothing is in it yet"
    publish(site, {"a": A, "b": folder(5)})
    assert not answer(Kin(site, Without(folders=["new/b"])).stays_selected("old", "new", AT))[0]
    assert not answer(Kin(site, Without(folders=["new"])).stays_selected("old", "new", AT))[0]
    assert answer(Kin(site, Without(folders=["new/a"])).stays_selected("old", "new", AT))[0], "that is a file"


@pytest.mark.parametrize(
    ("excluded", "answered"), [([], (True, 3)), (["new/d/24"], (False, 3)), (["new/00"], (False, 1))]
)
def test_whether_all_stays_published_is_asked_in_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch, excluded: list[str], answered: tuple[bool, int]
) -> None:
    monkeypatch.setattr(kin, "ROWS_AT_ONCE", 10)
    publish(site, {f"{'d/' if n >= 12 else ''}{n:02}": file(inode=n + 1) for n in range(25)})
    assert answer(Kin(site, Without(excluded)).stays_selected("old", "new", AT)) == answered
