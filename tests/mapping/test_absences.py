"""What is found gone: what comes first, before it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.absences import Absences
from ftpsyncd.mapping.inquiries import Leaving
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Fingerprint, Kind, Row
from tests.core.vocabulary import NOW, SHA, WALL
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A file is published in a directory in another one."""
    with Ledger(Path(":memory:")) as ledger:
        mirror = Story(ledger).mirror
        for path in ("d", "d/e"):
            ledger.put(mirror.site.id, path, Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
        ledger.put(mirror.site.id, "d/e/a", Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
        yield mirror


def note(absences: Absences) -> None:
    """All turns that it takes."""
    turns = absences.note_directories(AT)
    next(turns, None)
    for _ in turns:
        turns.send(AT)


def test_a_directory_is_judged_when_what_was_gone_beside_it_is_known(mirror: Mirror) -> None:
    absences = mirror.comparing._absences
    absences.found("d", Kind.DIR, AT, 0.0)
    assert not mirror.removals.absent.knows("d")
    note(absences)
    assert mirror.removals.absent.knows("d")
    absences.found("d", Kind.DIR, AT, 0.0)
    assert mirror.removals.absent.since("d") == NOW, "it has been gone since it was found first"


def test_what_was_found_gone_is_found_again_where_nothing_can_be_seen_any_more(mirror: Mirror) -> None:
    absences = mirror.comparing._absences
    absences.found("d", Kind.DIR, AT, 0.0)
    absences.clear()
    note(absences)
    assert not mirror.removals.absent.knows("d")


def test_what_has_become_a_file_in_the_meantime_is_no_directory_that_is_gone(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    absences.found("d", Kind.DIR, AT, 0.0)
    site.ledger.put(site.id, "d", Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
    note(absences)
    assert not mirror.removals.absent.knows("d")
    assert mirror.dirty.next_due() == NOW


def test_what_is_to_stay_is_dropped_before_the_directory_that_it_is_in_counts_as_gone(mirror: Mirror) -> None:
    absences, site, discarded = mirror.comparing._absences, mirror.site, mirror.removals.discarded
    discarded.begin(NOW - 1, unseen=False)
    discarded.put_off("d/e")
    absences.found("d", Kind.DIR, AT, 0.0)
    note(absences)
    list(mirror.comparing._forgetting.go_on(AT))
    assert site.ledger.row(site.id, "d/e/a") is None
    assert site.ledger.row(site.id, "d") is not None
    assert not mirror.removals.absent.knows("d")
    assert mirror.dirty.next_due() == NOW, "it is looked at again"
    assert discarded.put_off_below("d") == []


def test_what_waits_for_a_rename_that_may_come_late_is_told_when_it_will_be_known() -> None:
    leaving = Leaving("new", "d", NOW, asked=True)
    assert "a rename of its directory" in leaving.why("its directory")
    assert "asked first" in leaving.why("its directory")
    assert "once more within a minute" in leaving._replace(asked=False).why("its directory")
