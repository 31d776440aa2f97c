"""What a path that failed waits for: "tried again in 5 s" is said only where that is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Rename, RenameDir, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.daemon import knows
from ftpsyncd.engine.awaited import awaited, renamed_first
from ftpsyncd.engine.report import problems_of
from ftpsyncd.inspection.reasons import Known
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Fingerprint, Hold, HoldKind, Kind, Row
from ftpsyncd.questions import Why
from tests.core.vocabulary import NOW, SHA, WALL, M, failed, file
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FAILED = failed(file())
DELETE = failed(None)


@pytest.fixture
def story() -> Iterator[Story]:
    """A file that is to be sent to ``d``, and failed; ``d/gone`` is to be deleted, and was refused."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        ledger.put(story.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
        ledger.put(story.id, "d/gone", Row(Kind.FILE, Fingerprint(1, 2, 3), SHA, WALL))
        ledger.failures.put(story.id, "d/a", FAILED)
        ledger.failures.put(story.id, "d/gone", DELETE)
        yield story


def offline(story: Story) -> None:
    story.queue.gate.failed(NOW, Breaker.OFFLINE, "It is down.")


def full(story: Story) -> None:
    story.queue.gate.failed(NOW, Breaker.FULL, "No space.")


def paused(story: Story) -> None:
    story.mirror.pause(WALL)


def missing(story: Story) -> None:
    story.mirror.removals.source.missing = "it is not there"


def held(story: Story) -> None:
    story.mirror.removals.holding.hold = Hold(HoldKind.MASS_DELETE, WALL, "Too many.")


def renamed(story: Story) -> None:
    story.queue.offer(RenameDir(M, "d", "old", 5))


def renamed_late(story: Story) -> None:
    rename = RenameDir(M, "new", "d", 5)
    story.mirror.intents.begin(rename)
    story.mirror.intents.late.cut_off("new")
    story.mirror.intents.end(rename)


@pytest.mark.parametrize(
    ("happens", "file_waits", "delete_waits"),
    [
        (lambda _story: None, "", ""),
        (offline, "when the server web works again", "when the server web works again"),
        (full, "when the server web works again", ""),
        (paused, f"after `ftpsyncd resume {M}`", f"after `ftpsyncd resume {M}`"),
        (missing, "when the folder can be read", "when the folder can be read"),
        (held, "", "when you have decided about the deletes that are held"),
        (renamed, *["when its directory d has been renamed at the server"] * 2),
        (renamed_late, *["when the server has told whether it renamed the directory"] * 2),
    ],
    ids=["nothing", "offline", "full", "paused", "missing", "held", "renamed", "renamed late"],
)
def test_what_is_awaited_before_something_is_tried_again(
    story: Story, happens: Callable[[Story], None], file_waits: str, delete_waits: str
) -> None:
    happens(story)
    asked = story.queue.load(M)
    assert awaited(story.mirror, "d/a", FAILED) == file_waits
    assert awaited(story.mirror, "d/gone", DELETE) == delete_waits
    assert story.queue.load(M) == asked, "nothing is done for that"
    problems = problems_of(
        story.ledger, {M: story.id}, WALL, lambda _name, path, failure: awaited(story.mirror, path, failure)
    )
    assert {each.path: each.awaits for each in problems} == {"d/a": file_waits, "d/gone": delete_waits}


def test_what_is_published_and_sent_anew_is_no_delete_nor_is_a_directory_that_is_to_be_made(story: Story) -> None:
    full(story)
    assert awaited(story.mirror, "d/gone", FAILED) == "when the server web works again"
    assert awaited(story.mirror, "d/new", DELETE) == "when the server web works again"
    story.queue.gate.answered()
    held(story)
    assert awaited(story.mirror, "d/gone", FAILED) == awaited(story.mirror, "d/new", DELETE) == ""


def test_whether_a_directory_is_being_renamed_is_known(story: Story) -> None:
    assert renamed_first(story.mirror, "d/a") is None
    renamed(story)
    assert renamed_first(story.mirror, "d/a") == ("d", False)
    assert renamed_first(story.mirror, "old/a") == ("old", False)
    assert isinstance(story.queue.take(NOW), RenameDir)
    assert renamed_first(story.mirror, "d/a") == ("d", True)


def test_a_directory_in_the_place_of_a_file_that_gets_another_name_waits_for_no_rename_of_a_directory(
    story: Story,
) -> None:
    """That file only leaves; what is in a published directory that leaves goes with it."""
    story.queue.offer(RenameDir(M, "new", "d", 5))
    assert renamed_first(story.mirror, "d/a") == ("d", False)
    story.ledger.put(story.id, "e", Row(Kind.FILE, Fingerprint(1, 2, 4), SHA, WALL))
    story.queue.offer(Rename(M, "moved", "e", Fingerprint(1, 2, 4), SHA))
    assert renamed_first(story.mirror, "e/a") is None


def test_who_asks_why_is_told_that_too(story: Story) -> None:
    def after(path: str) -> str:
        known = knows.known_now(story.mirror, path, path, AT)
        assert isinstance(known, Known)
        assert known.failure is not None
        return known._failed(known.failure).sentence.partition(": it is ")[2]

    assert after("d/a").startswith("tried again at 20")
    offline(story)
    assert after("d/a") == "tried again when the server web works again."
    paused(story)
    assert after("d/a") == f"not tried again now; {M} is paused, `ftpsyncd resume {M}` goes on"


def test_who_asks_about_a_file_that_waits_for_a_full_server_is_not_sent_to_check(story: Story) -> None:
    """What that publishes is so small that it has room: it said that all is well."""
    story.queue.offer(Upload(M, "new", Fingerprint(1, 2, 9), why="new file"))

    def said() -> str:
        known = knows.known_now(story.mirror, "new", "new", AT)
        assert isinstance(known, Why)
        return known.sentence

    offline(story)
    assert said().endswith(" s, and `ftpsyncd check` says what helps")
    full(story)
    assert said().endswith(": No space; the server is tried again in 5 min; free space there, or raise the quota")
