"""What waits in one mapping: when it is looked at again, since when it has waited, and what of very many is noted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Delete, Upload
from ftpsyncd.core.settle import Sighting
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import waits as waits_module
from ftpsyncd.mapping.site import Moment, Slices
from ftpsyncd.mapping.waits import AGES_MORE, GAP_OF_ONE_S, LONGEST_GAP_S, LOOK_GAP_S, Waits
from ftpsyncd.model import Failure, Fingerprint, Listing, Presence
from tests.core.vocabulary import NOW, WALL, M
from tests.engine.test_outcomes import Story
from tests.mapping.test_mirror import PICTURE

A = Fingerprint(10, 1, 7)
AT = Moment(NOW, WALL)
BUSY = Sighting(A, 0, NOW, NOW, busy=True, written=True)
FRESH = Sighting(A, 0, NOW, NOW)
LONG_S = 100.0


@pytest.fixture
def waits() -> Iterator[Waits]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger).mirror.waits


def wait(waits: Waits, path: str, sighting: Sighting | None = FRESH, *, at: Moment = AT, source: str = "") -> None:
    waits.wait(path, at.now + LONG_S, "it is new", sighting, at, source=source)


def gap_s(waits: Waits, path: str) -> float:
    """After how long a file is looked at once something is told of it."""
    waits.look_at(path, NOW)
    due = waits._site.dirty.next_due()
    assert due is not None
    waits._site.dirty.clear()
    return due - NOW


@pytest.mark.parametrize(("looks", "gap"), [(0, LOOK_GAP_S), (1, 2 * LOOK_GAP_S), (9, LONGEST_GAP_S)])
def test_a_file_that_is_written_is_looked_at_ever_more_rarely(waits: Waits, looks: int, gap: float) -> None:
    for _ in range(looks + 1):
        wait(waits, "a", BUSY)
    assert gap_s(waits, "a") == pytest.approx(gap)


def test_a_file_that_is_written_for_days_is_looked_at_no_more_rarely(waits: Waits) -> None:
    wait(waits, "a", BUSY)
    waits.pending["a"].looks = 100_000
    assert gap_s(waits, "a") == pytest.approx(LONGEST_GAP_S)


def test_of_many_that_are_written_each_is_looked_at_more_rarely(waits: Waits) -> None:
    paths = [f"{number}" for number in range(100)]
    for path in paths:
        wait(waits, path, BUSY)
        wait(waits, path, BUSY)
    waits.pending["0"].looks = 20
    assert gap_s(waits, "0") == pytest.approx(100 * GAP_OF_ONE_S)
    for path in paths[80:]:
        waits.present(path)
    assert gap_s(waits, "0") == pytest.approx(80 * GAP_OF_ONE_S)
    for path in paths[60:80]:
        wait(waits, path)
    assert gap_s(waits, "0") == pytest.approx(60 * GAP_OF_ONE_S)
    waits.clear()
    assert not waits.any_unsettled()
    wait(waits, "0", BUSY)
    waits.pending["0"].looks = 20
    assert gap_s(waits, "0") == pytest.approx(LONGEST_GAP_S)


def test_what_is_told_of_a_file_that_is_not_written_has_it_looked_at(waits: Waits) -> None:
    assert gap_s(waits, "new") == 0
    wait(waits, "failed", None)
    assert gap_s(waits, "failed") == 0, "what changed may bring its next try forward"
    waits._site.dirty.clear()
    wait(waits, "a")
    assert gap_s(waits, "a") == pytest.approx(LONG_S), "it has its next look"
    assert gap_s(waits, "a") == pytest.approx(LONGEST_GAP_S), "that has begun"


def test_nothing_is_known_of_a_folder_that_cannot_be_seen(waits: Waits) -> None:
    wait(waits, "d/a")
    waits.for_late("d/b", NOW + LONG_S, "it may come late", AT)
    wait(waits, "d/failed", None)
    waits.for_server("d/c", NOW)
    waits.overtaken("d/e", AT)
    assert {path for path, _ in waits.restless()} == {"d/a", "d/b", "d/e"}
    waits.clear()
    assert not [*waits.restless(), *waits.pending, *waits.offered, *waits._inside.below("d"), *waits._ages]
    assert not waits.any_unsettled()


def test_the_old_name_is_looked_at_when_nothing_waits_any_more_to_be_renamed_from_it(waits: Waits) -> None:
    moves, dirty = waits._site.moves, waits._site.dirty
    wait(waits, "new", source="old")
    wait(waits, "new", source="old")
    assert moves.awaits("old")
    assert not dirty.awaits("old"), "it waits still"
    wait(waits, "new", source="older")
    assert dirty.awaits("old")
    assert (moves.awaits("old"), moves.awaits("older")) == (False, True)
    wait(waits, "new")
    assert dirty.awaits("older")
    assert not moves.awaits("older")


@pytest.mark.parametrize(
    ("directory", "there", "lacks"), [("", {"d"}, ["e", "other"]), ("d", {"kept"}, ["a", "in"]), ("f", set(), [])]
)
def test_a_directory_lacks_what_is_to_be_sent_from_it_or_from_below(
    waits: Waits, monkeypatch: pytest.MonkeyPatch, directory: str, there: set[str], lacks: list[str]
) -> None:
    """Some paths at a time: whatever else is to be done at the server."""
    monkeypatch.setattr(waits_module, "PATHS_AT_ONCE", 2)
    for path in ("d/a", "d/in/a", "d/in/b", "d/kept", "d/strange", "d/f/a", "e/in/a", "other"):
        waits._site.queue.offer(Upload(M, path, A))
    waits._site.queue.offer(Delete(M, "d/gone"))
    unreadable = {"strange": "", "f": ""}
    listing = Listing(directory, Presence.PRESENT, dict.fromkeys(there, PICTURE), unreadable=unreadable)
    found: list[tuple[list[str], Moment]] = []

    def all_of_it() -> Slices[None]:
        found.append((yield from waits.vanished(listing, AT)))
        return None, AT

    slices, turns = all_of_it(), 0
    with contextlib.suppress(StopIteration):
        next(slices)
        while True:
            turns += 1
            slices.send(Moment(NOW + turns, WALL))
    [(names, at)] = found
    assert (sorted(names), at.now) == (lacks, NOW + turns)
    assert turns == (0 if directory == "f" else 4)


def test_a_delete_waits_since_it_was_seen_to_be_due_and_nothing_else_does(waits: Waits) -> None:
    waits.for_late("d/a", NOW + LONG_S, "it may come late", AT, gone_since=NOW - 5)
    wait(waits, "d/b")
    assert [waits.is_gone(path) for path in ("d/a", "d/b", "d/c")] == [True, False, False]
    assert [waits.gone(path) for path in ("d/a", "d/b", "d/c")] == [NOW - 5, None, None]


@pytest.mark.parametrize("directory", ["d", "e"])
def test_what_is_not_there_any_more_waits_no_more_unless_it_has_failed(waits: Waits, directory: str) -> None:
    for path in ("d/a", "d/there"):
        wait(waits, path)
        waits.for_server(f"{path}-sent", NOW)
    wait(waits, "d/failed", None)
    for path in ("d/over", "d/there-over"):
        waits.overtaken(path, AT)
        waits.for_server(path, NOW)
    waits.listed(Listing(directory, Presence.PRESENT, {"there": PICTURE, "there-over": PICTURE}))
    gone = directory == "d"
    assert waits.pending.keys() == {"d/there", "d/failed", *(() if gone else ("d/a",))}
    assert waits.offered.keys() == {"d/a-sent", "d/there-sent", "d/there-over", *(() if gone else ("d/over",))}


def test_what_becomes_a_directory_waits_no_more_and_is_not_gone(waits: Waits) -> None:
    wait(waits, "a")
    waits._absent.note("a", 1, NOW)
    waits.is_directory("a")
    assert "a" not in waits.pending
    assert waits._absent.since("a") is None


def test_what_has_waited_for_longest_is_known_however_much_came_and_went(waits: Waits) -> None:
    wait(waits, "later", at=Moment(NOW + 5, WALL))
    wait(waits, "first")
    for number in range(3 * AGES_MORE):
        wait(waits, "short", at=Moment(NOW + 10 + number, WALL))
        waits.present("short")
    longest = waits.longest()
    assert longest is not None
    assert longest.since == NOW
    assert len(waits._ages) <= 2 * len(waits.pending) + AGES_MORE + 1
    wait(waits, "first", at=Moment(NOW + LONG_S, WALL))
    assert waits.longest() == longest, "it has waited since it was first seen"


def test_what_is_sent_has_waited_since_it_was_first_seen(waits: Waits) -> None:
    wait(waits, "a")
    waits._absent.note("b", 1, NOW)
    waits.for_server("a", NOW + 5)
    waits.for_server("b", NOW + 6)
    assert waits._absent.since("b") is None
    assert list(waits.offered.items()) == [("a", NOW), ("b", NOW + 6)]


@pytest.mark.parametrize("why", ["it waits", "it is sent", "it failed", "it is parked", "nobody knows"])
def test_what_is_to_be_sent_waits_until_nobody_sends_or_tries_it_again(waits: Waits, why: str) -> None:
    site = waits._site
    waits.for_server("a", NOW)
    if why in {"it waits", "it is sent"}:
        site.queue.offer(Upload(M, "a", A))
        if why == "it is sent":
            assert site.queue.take(NOW) is not None
    elif why in {"it failed", "it is parked"}:
        failure = Failure(A, 1, why == "it is parked", WALL, "TransferFailedError", "It failed.", "", "", WALL)
        site.ledger.failures.put(site.id, "a", failure)
    longest = waits.longest()
    told = {"it waits": "a: it waits for its turn", "it is sent": "a: it is on its way", "it failed": ""}
    assert (None if longest is None else longest.told) == told.get(why)


class TestOfVeryMany:
    """Those are noted of which the disk does not tell when they come to rest, and the one that does so last."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waits_module, "NOTED_MAX", 2)

    def comes(self, waits: Waits, path: str, due_s: float, sighting: Sighting = FRESH) -> None:
        waits.wait(path, NOW + due_s, "it is new", sighting, AT)

    def test_the_last_one_shows_that_any_of_them_waits(self, waits: Waits) -> None:
        for number, path in enumerate("abc"):
            self.comes(waits, path, 1.0 + number / 10)
        assert list(waits.pending) == ["a", "b", "c"]
        self.comes(waits, "d", 1.1)
        assert list(waits.pending) == ["a", "b", "c"], "it comes to rest before the last one"
        assert waits._site.dirty.awaits("d")
        self.comes(waits, "e", 1.4)
        assert list(waits.pending) == ["a", "b", "e"]
        waits.present("e")
        self.comes(waits, "f", 1.3)
        assert list(waits.pending) == ["a", "b", "f"], "none waits that comes to rest after it"

    def test_that_is_noted_for_good_if_a_program_had_it_open_since(self, waits: Waits) -> None:
        for number, path in enumerate("abc"):
            self.comes(waits, path, 1.0 + number / 10)
        self.comes(waits, "c", 1.5, BUSY._replace(busy=False))
        self.comes(waits, "d", 1.6)
        assert list(waits.pending) == ["a", "b", "c", "d"]
