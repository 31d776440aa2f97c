"""What is parked and may have been mended at the server: what is tried, how seldom, and what follows if it works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Delete, Did, Done, Failed, MakeDir, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.errors import (
    FileTooLargeError,
    FtpsyncdError,
    NameNotSendableError,
    NameRefusedError,
    TransferFailedError,
)
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import ParkedIn
from ftpsyncd.mapping import mended
from ftpsyncd.mapping.mended import DIRECTORIES_AT_ONCE, FIRST_AGAIN_S, LONGEST_AGAIN_S, is_due
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure, Fingerprint, Kind, Row
from tests.core.vocabulary import NOW, SHA, WALL, M, S
from tests.engine.test_outcomes import Story

DENIED = NameRefusedError("The server refuses 'x'.", reply="550 Permission denied.")


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


def at(seconds: float) -> Moment:
    """So long after everything began."""
    return Moment(NOW + seconds, WALL + int(seconds * S))


def park(story: Story, *paths: str, error: FtpsyncdError = DENIED, size: int = 10, seconds: float = 0.0) -> None:
    for path in paths:
        for _ in range(2):
            story.apply(Failed(Upload(M, path, Fingerprint(size, 1, 7)), error), now=NOW + seconds)


def tried(story: Story, seconds: float) -> list[str]:
    """What is tried after a pass that ends then."""
    before = {path for path, failure in story.ledger.failures.all(story.id) if failure.parked}
    story.mirror.mended.pass_ended(at(seconds))
    return sorted(path for path in before if not failure_of(story, path).parked)


def failure_of(story: Story, path: str) -> Failure:
    failure = story.ledger.failures.of(story.id, path)
    assert failure is not None
    return failure


def test_of_each_directory_one_file_is_tried_a_quarter_of_an_hour_later(story: Story):
    park(story, "a/1", "a/2", "b/1", "3")
    assert tried(story, FIRST_AGAIN_S - 1) == []
    story.mirror.dirty.clear()
    assert tried(story, FIRST_AGAIN_S) == ["3", "a/1", "b/1"]
    assert story.mirror.dirty.due_by(NOW + FIRST_AGAIN_S)


def test_if_it_works_the_others_of_the_directory_are_tried(story: Story):
    park(story, "a/1", "a/2", "a/3", "b/1")
    assert tried(story, FIRST_AGAIN_S) == ["a/1", "b/1"]
    story.mirror.dirty.clear()
    story.apply(Done(Upload(M, "a/1", Fingerprint(10, 1, 7)), Did.PUBLISHED, sha256=SHA), now=NOW + FIRST_AGAIN_S)
    assert not failure_of(story, "a/2").parked
    assert not failure_of(story, "a/3").parked
    assert story.mirror.dirty.awaits("a/2"), "now, and not after the next pass only"
    assert not story.mirror.dirty.awaits("b/2")
    assert story.ledger.failures.of(story.id, "a/1") is None


def test_what_is_published_besides_shows_nothing(story: Story):
    park(story, "a/1")
    story.apply(Done(Upload(M, "a/new", Fingerprint(10, 1, 8)), Did.PUBLISHED, sha256=SHA), now=NOW + 1)
    assert failure_of(story, "a/1").parked


def test_if_it_does_not_another_one_has_its_turn_later_and_nobody_is_told(story: Story):
    park(story, "a/1", "a/2")
    (told,) = [event for event in story.events if event.path == "a/1" and event.kind == "parked"]
    assert told.attempts == 2
    assert tried(story, FIRST_AGAIN_S) == ["a/1"]
    story.events.clear()
    story.apply(Failed(Upload(M, "a/1", Fingerprint(10, 1, 7)), DENIED), now=NOW + FIRST_AGAIN_S + 1)
    assert failure_of(story, "a/1").parked
    assert failure_of(story, "a/1").attempts == 3
    assert story.events == []
    assert tried(story, 2 * FIRST_AGAIN_S) == []
    assert tried(story, 4 * FIRST_AGAIN_S) == ["a/2"]


def test_what_is_never_mended_is_tried_ever_more_rarely(story: Story):
    park(story, "a/1")
    moments = []
    for minute in range(0, 14 * 1440, 15):
        if tried(story, minute * 60.0):
            moments.append(minute)
            story.apply(Failed(Upload(M, "a/1", Fingerprint(10, 1, 7)), DENIED), now=NOW + minute * 60.0)
    assert moments[:4] == [15, 45, 105, 225]
    assert len(moments) < 24
    assert moments[-1] - moments[-2] == LONGEST_AGAIN_S / 60


def test_a_large_file_is_tried_more_rarely(story: Story):
    park(story, "a/film", size=1_000_000_000)
    assert tried(story, 10 * FIRST_AGAIN_S) == []
    assert tried(story, 100_000.0) == ["a/film"]


@pytest.mark.parametrize(
    ("error", "is_tried"),
    [
        (NameNotSendableError("It has a line break."), False),
        (FileTooLargeError("The server takes no file as large.", reply="552 Too large."), True),
        (DENIED, True),
    ],
)
def test_what_nothing_at_the_server_mends_is_left_alone(story: Story, error: FtpsyncdError, *, is_tried: bool):
    park(story, "a/1", error=error)
    assert bool(tried(story, LONGEST_AGAIN_S)) is is_tried


def test_a_file_that_failed_for_a_day_is_tried_again_too(story: Story):
    broken = TransferFailedError("Failure writing.", reply="451 Failure writing to local file.")
    for _ in range(29):
        story.apply(Failed(Upload(M, "a/1", Fingerprint(10, 1, 7)), broken))
    assert failure_of(story, "a/1").parked
    assert tried(story, LONGEST_AGAIN_S - 1) == []
    assert tried(story, LONGEST_AGAIN_S) == ["a/1"]


def test_a_delete_that_was_refused_is_tried_again(story: Story):
    story.ledger.put(story.id, "a/1", Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
    for _ in range(2):
        story.apply(Failed(Delete(M, "a/1"), DENIED))
    assert tried(story, FIRST_AGAIN_S) == ["a/1"]


def test_a_directory_that_could_not_be_made_is_when_what_is_in_it_is_tried(story: Story):
    for _ in range(2):
        story.apply(Failed(MakeDir(M, "a", 60), DENIED))
    park(story, "a/1", seconds=1.0)
    assert tried(story, FIRST_AGAIN_S + 1) == ["a/1"]


def test_nothing_is_tried_at_a_server_that_does_not_work(story: Story):
    park(story, "a/1")
    story.queue.gate.failed(NOW, Breaker.OFFLINE, "No.")
    assert tried(story, FIRST_AGAIN_S) == []


def test_of_very_many_directories_some_are_tried_after_each_pass(story: Story):
    park(story, *(f"{number}/1" for number in range(DIRECTORIES_AT_ONCE + 10)))
    assert len(tried(story, FIRST_AGAIN_S)) == DIRECTORIES_AT_ONCE
    assert len(tried(story, FIRST_AGAIN_S + 1)) == 10


def test_that_in_which_the_last_try_is_longest_ago_comes_first(story: Story, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mended, "DIRECTORIES_AT_ONCE", 1)
    for seconds, path in enumerate(("b/1", "c/1", "a/1")):
        park(story, path, seconds=seconds)
    assert [tried(story, FIRST_AGAIN_S + 9) for _ in range(3)] == [["b/1"], ["c/1"], ["a/1"]]


def test_directories_in_which_nothing_can_be_tried_keep_no_others_waiting(story: Story):
    """Rights that were wrong for an hour: folders that could not be made have failed before what is in them."""
    folders = range(DIRECTORIES_AT_ONCE + 10)
    for number in folders:
        for path in (f"{number}", f"{number}/in it"):
            for _ in range(2):
                story.apply(Failed(MakeDir(M, path, 60), DENIED))
    park(story, *(f"{number}/in it/1" for number in folders), seconds=1.0)
    assert len(tried(story, FIRST_AGAIN_S + 1)) == DIRECTORIES_AT_ONCE
    assert len(tried(story, FIRST_AGAIN_S + 2)) == 10


def test_large_files_keep_no_others_of_their_directory_waiting(story: Story):
    park(story, *(f"a/film {number}" for number in range(20)), size=1_000_000_000)
    park(story, "a/picture", seconds=1.0)
    assert tried(story, FIRST_AGAIN_S + 1) == ["a/picture"]


def test_folders_that_could_not_be_made_keep_no_file_beside_them_waiting(story: Story):
    for number in range(20):
        for _ in range(2):
            story.apply(Failed(MakeDir(M, f"a/{number}", 60), DENIED))
    park(story, "a/picture", seconds=1.0)
    assert tried(story, FIRST_AGAIN_S + 1) == ["a/picture"]


def test_a_try_that_takes_longer_than_the_next_pass_shows_all_the_same_that_it_works(story: Story):
    park(story, "a/1", "a/2", "a/3")
    assert tried(story, FIRST_AGAIN_S) == ["a/1"]
    story.apply(Failed(Upload(M, "b/1", Fingerprint(10, 1, 7)), DENIED), now=NOW + FIRST_AGAIN_S)
    assert tried(story, 2 * FIRST_AGAIN_S) == ["a/2"]
    story.apply(Done(Upload(M, "a/1", Fingerprint(10, 1, 7)), Did.PUBLISHED, sha256=SHA), now=NOW + 2 * FIRST_AGAIN_S)
    assert not failure_of(story, "a/3").parked


def test_of_tries_that_come_to_nothing_not_all_are_remembered(story: Story, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mended, "TRIED_KEPT", 5)
    park(story, *(f"{number}/1" for number in range(20)))
    assert len(tried(story, FIRST_AGAIN_S)) == 20
    assert len(story.mirror.mended._tried) == 5


def test_a_clock_that_was_far_ahead_keeps_nothing_waiting():
    year = 365 * 86400 * S
    assert is_due(ParkedIn("a", WALL + 12 * year, WALL + 12 * year, 2), WALL)
