"""What people want done again: what is tried, compared and published then, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import MakeDir, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.engine import again
from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import MISSING, Fingerprint, Kind, Listing, Presence, Row
from tests.core.vocabulary import NOW, SHA, WALL, M, failed
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FILE = Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL)
DIRECTORY = Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL)


@pytest.fixture
def story() -> Iterator[Story]:
    """A file is published in a directory, and one beside it."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        for path, row in (("d", DIRECTORY), ("d/a", FILE), ("a", FILE)):
            ledger.put(story.id, path, row)
        story.mirror.dirty.clear()
        story.mirror.dirty.take(NOW)
        yield story


def looks(story: Story) -> list[tuple[str, bool]]:
    """What is looked at now: paths, or a directory with all below it."""
    found: list[tuple[str, bool]] = []
    while (work := story.mirror.dirty.take(NOW)) is not None:
        names = [""] if work.names is None else sorted(work.names)
        found += [(f"{work.directory}/{name}".strip("/"), work.deep) for name in names]
    return found


def test_a_rescan_compares_a_path_with_all_below_it_or_everything(story: Story) -> None:
    assert again.rescan(story.mirror, "d", AT) == f"{M}: comparing d again"
    assert looks(story) == [("d", True)]
    for everything in (None, ""):
        assert again.rescan(story.mirror, everything, AT) == f"{M}: comparing everything again"
        assert looks(story) == [("", True)]


def test_a_retry_of_a_path_tries_it_and_what_is_below_it_and_nothing_beside(story: Story) -> None:
    unread = {"b": "Denied."}
    story.mirror.comparing._absences._unreadable.listed(Listing("d", Presence.PRESENT, {}, unreadable=unread), AT)
    for path in ("d/a", "dd/a"):
        story.ledger.failures.put(story.id, path, failed(None))
    looks(story)
    assert again.retry(story.mirror, "d", AT) == f"{M}: d: 2 failed paths are tried again"
    assert looks(story) == [("d", False), ("d", True)]
    assert [path for path, _ in story.ledger.failures.worst(story.id, 9)] == ["dd/a"]
    story.ledger.failures.put(story.id, "new", failed(None))
    assert again.retry(story.mirror, "new", AT) == f"{M}: new is tried again"
    assert looks(story) == [("new", False)], "nothing is known below it"
    assert again.retry(story.mirror, "new", AT).startswith(f"{M}: nothing of the name new had failed; what")


@pytest.mark.parametrize("path", ["", "d"])
def test_a_retry_has_the_server_tried_and_what_it_would_not_rename(story: Story, path: str) -> None:
    story.queue.gate.failed(NOW - 1, Breaker.OFFLINE, "It is down.")
    story.mirror.offers.not_renamed("d")
    assert not story.queue.wants_probe(NOW)
    again.retry(story.mirror, path, AT)
    assert story.queue.wants_probe(NOW)
    assert not story.mirror.offers.any_not_renamed("d")


def test_what_the_server_lacks_is_published_again_with_one_pass(story: Story) -> None:
    mirror, ledger = story.mirror, story.ledger
    ledger.failures.put(story.id, "a", failed(None))
    assert again.publish(mirror, ["a", "d/a", "unknown"], ["d", "unknown", "a"], AT) == 3
    for path in ("a", "d/a"):
        row = ledger.row(story.id, path)
        assert row is not None
        assert row.fingerprint.is_doubted
    made = ledger.row(story.id, "d")
    assert made is not None
    assert made.fingerprint == MISSING
    assert story.queue.waiting(M, "d") is None, "it may be gone here, too"
    assert story.queue.waiting(M, "unknown") is None
    assert ledger.failures.of(story.id, "a") is None
    assert [each.message for each in story.events if each.kind is EventKind.REPAIR] == [
        "3 paths are not at the server as published, and published again"
    ]
    assert looks(story) == [("", True)]


def test_what_is_at_work_or_waits_for_a_person_is_not_published_again(story: Story) -> None:
    mirror, ledger = story.mirror, story.ledger
    changed = failed(None, parked=True)._replace(kind=CHANGED)
    ledger.failures.put(story.id, "a", changed)
    for action in (Upload(M, "d/a", Fingerprint(11, 1, 7)), MakeDir(M, "e", 6)):
        story.queue.offer(action)
        assert story.queue.take(NOW) == action
    ledger.put(story.id, "e", DIRECTORY)
    assert again.publish(mirror, ["a", "d/a"], ["e"], AT) == 0
    assert ledger.row(story.id, "e") == DIRECTORY
    assert ledger.row(story.id, "d/a") == ledger.row(story.id, "a") == FILE
    assert ledger.failures.of(story.id, "a") is not None
    assert looks(story) == []
    assert not story.events
