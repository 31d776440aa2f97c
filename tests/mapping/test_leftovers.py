"""What mappings that have gone left half sent is swept by whoever still reaches the server, or told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Did, Done, Failed, Sweep
from ftpsyncd.core.schedule import Queue
from ftpsyncd.errors import FtpsyncdError, LoginRefusedError, NameRefusedError, ServerUnavailableError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.leftovers import Leftovers, left_behind, unreachable
from ftpsyncd.mapping.openintents import LATE_S, PUT_OFF_S
from ftpsyncd.model import Exposure, Fingerprint, Intent, Kind, Row
from tests.core.vocabulary import NOW

ACCOUNT = "u@host:21"
PRINT = Fingerprint(10, 1, 7)
EXPOSED = Exposure(10, 5, 6)


class Story:
    """A ledger with a mapping that is configured no more, and a server."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.here = ledger.mappings.number("here", f"{ACCOUNT}/here")
        self.gone = ledger.mappings.number("gone", f"{ACCOUNT}/gone")
        self.events: list[Event] = []
        self.queue = Queue(4)

    def start(self) -> None:
        found = left_behind(self.ledger, {self.here})
        self.leftovers = Leftovers("web", ACCOUNT, self.ledger, self.queue, self.events.append, found)

    def asked(self, after_s: float = 0.0) -> list[Sweep]:
        """What is swept when there is nothing else to do; answered by `done` or `failed`."""
        self.leftovers.ask(NOW + after_s)
        found = []
        while (action := self.queue.take(NOW)) is not None:
            assert isinstance(action, Sweep)
            found.append(action)
        return found

    def done(self, sweep: Sweep, did: Did = Did.SWEPT, after_s: float = 0.0) -> None:
        self.queue.finish(sweep)
        self.leftovers.over(Done(sweep, did), NOW + after_s)

    def failed(self, sweep: Sweep, error: FtpsyncdError, *, connecting: bool = False) -> None:
        self.queue.finish(sweep)
        self.leftovers.over(Failed(sweep, error, connecting=connecting), NOW)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Ledger(tmp_path / "ledger") as ledger:
        yield Story(ledger)


def test_all_that_was_left_is_swept_twice_and_then_forgotten(story: Story):
    story.ledger.begun.put(story.gone, "d/a", Intent(Kind.FILE, "/gone/d/a.filepart", parts=("/gone/d/b.filepart",)))
    story.ledger.begun.put(story.gone, "x", Intent(Kind.FILE, "", "", (PRINT,), exposed=EXPOSED))
    story.ledger.begun.put(story.gone, "e", Intent(Kind.DIR, source="f"))
    story.ledger.begun.put(story.here, "y", Intent(Kind.FILE, "/here/y.filepart"))
    story.start()
    sweeps = {
        Sweep("", "/gone/d/a.filepart", "/gone/d/a.filepart"),
        Sweep("", "/gone/d/b.filepart", "/gone/d/b.filepart"),
        Sweep("", "/gone/x", "", exposed=EXPOSED),
    }
    for first in (True, False):
        asked = story.asked(0.0 if first else LATE_S)
        assert set(asked) == sweeps
        assert story.asked(LATE_S) == [], "they run"
        assert len(story.ledger.begun.of(story.gone)) == 3
        for sweep in asked:
            story.done(sweep)
        assert story.asked(LATE_S - 1) == []
    # Whether these had arrived is for the mapping to find out, should it be back.
    rest = [("e", Intent(Kind.DIR, source="f")), ("x", Intent(Kind.FILE, fingerprints=(PRINT,)))]
    assert story.ledger.begun.of(story.gone) == rest
    assert not story.leftovers
    assert not story.events
    story.start()
    assert not story.leftovers
    assert len(story.ledger.begun.of(story.here)) == 1


def test_what_cannot_be_deleted_is_told_once_and_tried_again_each_hour(story: Story):
    story.ledger.begun.put(story.gone, "a", Intent(Kind.FILE, "/gone/a.filepart"))
    story.start()
    for _ in range(2):
        [sweep] = story.asked(PUT_OFF_S)
        story.failed(sweep, NameRefusedError("Permission denied."))
        assert story.asked(PUT_OFF_S - 1) == []
    [event] = story.events
    assert (event.kind, event.mapping, event.path) == (EventKind.FAILED, "gone", "/gone/a.filepart")
    assert "Permission denied." in event.message
    assert len(story.ledger.begun.of(story.gone)) == 1


def test_of_what_is_swept_in_part_nothing_is_forgotten(story: Story):
    """Nobody would sweep the rest after a restart."""
    begun = Intent(Kind.FILE, "/gone/a.filepart", parts=("/gone/b.filepart",))
    story.ledger.begun.put(story.gone, "a", begun)
    story.start()
    for after_s in (0.0, LATE_S):
        first, *others = sorted(story.asked(after_s), key=lambda sweep: sweep.path)
        story.done(first)
        for sweep in others:
            story.failed(sweep, NameRefusedError("Permission denied."))
    assert story.leftovers
    assert story.ledger.begun.of(story.gone) == [("a", begun)]


@pytest.mark.parametrize(
    ("error", "connecting"),
    [
        (ServerUnavailableError("gone"), True),
        (ServerUnavailableError("gone"), False),
        (LoginRefusedError("not as this user"), True),
    ],
)
def test_a_server_that_is_away_is_asked_again_without_a_word(story: Story, error: FtpsyncdError, *, connecting: bool):
    story.ledger.begun.put(story.gone, "a", Intent(Kind.FILE, "/gone/a.filepart"))
    story.start()
    [sweep] = story.asked()
    story.failed(sweep, error, connecting=connecting)
    assert story.asked(LATE_S - 1) == []
    assert story.asked(LATE_S) == [sweep]
    assert not story.events


def test_what_is_not_known_to_be_a_part_is_told(story: Story):
    story.ledger.begun.put(story.gone, "a", Intent(Kind.FILE, exposed=EXPOSED))
    story.start()
    [sweep] = story.asked()
    story.done(sweep, Did.KEPT)
    assert [(event.kind, event.mapping, event.path) for event in story.events] == [(EventKind.KEPT, "gone", "/gone/a")]
    assert story.ledger.begun.of(story.gone) == []


def test_what_nobody_reaches_is_told_by_mapping(story: Story):
    for number in range(7):
        story.ledger.begun.put(story.gone, f"{number}", Intent(Kind.FILE, f"/gone/{number}.filepart"))
    story.ledger.begun.put(story.here, "a", Intent(Kind.FILE, exposed=EXPOSED))
    gone, here = unreachable(left_behind(story.ledger, ()))[::-1]
    assert (here.kind, here.mapping) == (EventKind.KEPT, "here")
    assert f"{ACCOUNT}/here" in here.message
    assert "(a)" in here.message
    assert "/gone/4.filepart and 2 more)" in gone.message
    for number in (5, 6):
        story.ledger.begun.clear(story.gone, f"{number}")
    assert "/gone/4.filepart)" in unreachable(left_behind(story.ledger, {story.here}))[0].message


def test_of_what_nobody_reaches_only_what_may_lie_there_is_told(story: Story):
    """A directory that was being renamed has no part: the message would name nothing."""
    story.ledger.begun.put(story.gone, "e", Intent(Kind.DIR, source="f"))
    story.ledger.begun.put(story.gone, "a", Intent(Kind.FILE, fingerprints=(PRINT,)))
    assert unreachable(left_behind(story.ledger, ())) == []


def test_an_account_is_told_from_one_with_a_longer_port(story: Story):
    other = story.ledger.mappings.number("other", "u@host:2121/gone")
    story.ledger.begun.put(other, "a", Intent(Kind.FILE, "/gone/a.filepart"))
    [left] = left_behind(story.ledger, {story.here})
    assert left.is_of("u@host:2121")
    assert not left.is_of(ACCOUNT)


def test_what_was_published_after_a_try_was_cut_off_is_not_left_over(story: Story):
    """The note of it stays for a minute, should that try come late; the larger one before would make it a part."""
    story.ledger.begun.put(story.gone, "a", Intent(Kind.FILE, fingerprints=(PRINT,), exposed=EXPOSED._replace(size=99)))
    assert [left.path for left in left_behind(story.ledger, {story.here})] == ["a"]
    story.ledger.put(story.gone, "a", Row(Kind.FILE, PRINT, b"", 5))
    assert left_behind(story.ledger, {story.here}) == []
    story.ledger.put(story.gone, "a", Row(Kind.FILE, PRINT.doubted(), b"", 5))
    assert [left.path for left in left_behind(story.ledger, {story.here})] == ["a"]
