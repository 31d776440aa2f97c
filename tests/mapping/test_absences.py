"""What is found gone: what comes first, before it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.settle import Sighting
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.absences import Absences
from ftpsyncd.mapping.inquiries import Leaving
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Fingerprint, Kind, Listing, Presence, Row
from ftpsyncd.specs import DeletePolicy
from tests.core.vocabulary import NOW, SHA, WALL, M, failed
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FRESH = Fingerprint(1, 2, 9)


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
    assert absences._other_names._gone == ["d"], "what was in it may have names elsewhere"
    absences.found("d", Kind.DIR, AT, 0.0)
    assert mirror.removals.absent.since("d") == NOW, "it has been gone since it was found first"


def test_what_was_found_gone_is_found_again_where_nothing_can_be_seen_any_more(mirror: Mirror) -> None:
    absences = mirror.comparing._absences
    absences.found("d", Kind.DIR, AT, 0.0)
    absences.clear()
    note(absences)
    assert not mirror.removals.absent.knows("d")


def test_what_was_noted_as_gone_is_not_noted_again_by_the_next_look(mirror: Mirror) -> None:
    absences = mirror.comparing._absences
    absences.found("d", Kind.DIR, AT, 0.0)
    note(absences)
    mirror.removals.absent.back("d")
    note(absences)
    assert not mirror.removals.absent.knows("d")


def test_what_could_not_be_read_is_told_no_more_when_it_is_gone(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    unread = Listing("d/e", Presence.PRESENT, {}, unreadable={"a": "Permission denied", "b": "Permission denied"})
    absences._unreadable.listed(unread, AT)
    absences.found("d/e/a", Kind.FILE, AT, 0.0)
    assert list(absences._unreadable.problems) == ["d/e/b"]
    absences.nothing_below("d/e")
    assert not absences._unreadable.problems
    assert site.ledger.row(site.id, "d/e") is not None


def test_what_leaves_or_is_at_work_is_looked_at_again_and_is_not_gone(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    site.queue.offer(Upload(M, "d/e/a", Fingerprint(11, 2, 7)))
    assert site.queue.take(NOW) is not None
    site.ledger.put(site.id, "d/e/b", Row(Kind.FILE, Fingerprint(10, 1, 8), SHA, WALL))
    site.queue.offer(Rename(M, "d/c", "d/e/b", Fingerprint(10, 1, 8), SHA))
    for path in ("d/e/a", "d/e/b"):
        absences.found(path, Kind.FILE, AT, 0.0)
        assert not mirror.removals.absent.knows(path)
    assert mirror.offers.again == {"d/e/a", "d/e/b"}


def test_what_waits_to_be_renamed_is_not_gone_nor_looked_at_before_that_is_begun(mirror: Mirror) -> None:
    absences, moves = mirror.comparing._absences, mirror.site.moves
    moves.wait("d/e/a", "d/c", None)
    absences.found("d/e/a", Kind.FILE, AT, 0.0)
    assert not mirror.removals.absent.knows("d/e/a")
    assert not mirror.offers.again


def test_nothing_below_a_directory_that_is_not_there_waits_for_anything(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    site.queue.offer(Upload(M, "new/a", FRESH))
    site.queue.offer(Upload(M, "newer", Fingerprint(1, 2, 10)))
    site.queue.offer(Sweep(M, "new/c", ""))
    for path in ("new/b", "newest"):
        sighting = Sighting(FRESH, WALL, NOW, NOW)
        absences._waits.wait(path, NOW + 5, "it changed a moment ago", sighting, AT)
        site.ledger.failures.put(site.id, path, failed(None))
        mirror.offers.not_renamed(path)
    absences.nothing_below("new")
    assert sorted(site.queue.waiting_paths(M)) == ["new/c", "newer"], "what is open at the server is asked all the same"
    assert list(absences._waits.pending) == ["newest"]
    assert (mirror.offers.any_not_renamed("new"), mirror.offers.any_not_renamed("newest")) == (False, True)
    assert [path for path, _ in site.ledger.failures.worst(site.id, 9)] == ["newest"]


def test_of_a_directory_that_is_published_what_failed_is_told_until_it_is_gone_there_too(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    site.ledger.failures.put(site.id, "d/e/a", failed(None))
    absences.nothing_below("d/e")
    assert site.ledger.failures.of(site.id, "d/e/a") is not None


@pytest.mark.parametrize(("path", "kind"), [("d/e/a", Kind.FILE), ("d", Kind.DIR)])
def test_what_may_leave_with_a_directory_waits_for_that_from_when_it_was_gone(
    mirror: Mirror, path: str, kind: Kind
) -> None:
    absences, intents = mirror.comparing._absences, mirror.intents
    rename = RenameDir(M, "new", "d/e", 5)
    intents.begin(rename)
    intents.late.cut_off("new")
    intents.end(rename)
    for later in (0.0, 5.0):
        absences.found(path, kind, AT._replace(now=NOW + later), 0.0)
        pending = absences._waits.pending[path]
        assert (pending.first, pending.gone, pending.late) == (NOW, True, True)
        whose = "a directory in it" if path == "d" else "its directory"
        assert f"a rename of {whose}, which" in pending.why
        note(absences)
        assert not mirror.removals.absent.knows(path)
    mirror.dirty.clear()
    intents.inquiries.ended("new")
    assert mirror.dirty.awaits(path), "it is looked at when the server has told"


def test_what_is_seen_elsewhere_is_not_gone_before_the_server_has_told_which_it_has(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    doubtful = Row(Kind.FILE, Fingerprint(10, 1, 7).doubted(), SHA, WALL)
    site.ledger.put(site.id, "d/e/a", doubtful)
    mirror.intents.begin(Upload(M, "d/e/a", Fingerprint(11, 2, 7)))
    mirror.removals.source.places._was_seen("d/e/a", "")
    absences.found("d/e/a", Kind.FILE, AT, 0.0)
    assert isinstance(site.queue.waiting(M, "d/e/a"), Sweep)
    assert not mirror.removals.absent.knows("d/e/a")
    absences.found("d", Kind.DIR, AT, 0.0)
    note(absences)
    assert not mirror.removals.absent.knows("d")
    mirror.dirty.clear()
    mirror.intents.inquiries.ended("d/e/a")
    assert mirror.dirty.awaits("d/e/a")
    assert mirror.dirty.awaits("d"), "both are looked at when the server has told"


def test_a_file_is_gone_at_once_and_what_waits_below_a_directory_that_is_gone_waits_no_more(mirror: Mirror) -> None:
    absences = mirror.comparing._absences
    absences.found("d/e/a", Kind.FILE, AT, 0.0)
    assert mirror.removals.absent.since("d/e/a") == NOW
    absences._waits.wait("d/e/b", NOW + 5, "it changed a moment ago", Sighting(FRESH, WALL, NOW, NOW), AT)
    absences.found("d/e", Kind.DIR, AT, 0.0)
    note(absences)
    assert not absences._waits.pending


def test_a_directory_is_not_gone_before_it_is_known_what_was_left_in_it(mirror: Mirror) -> None:
    absences, site = mirror.comparing._absences, mirror.site
    mirror.intents.begin(Upload(M, "d/e/b", FRESH))
    absences.found("d", Kind.DIR, AT, 0.0)
    note(absences)
    assert isinstance(site.queue.waiting(M, "d/e/b"), Sweep)
    assert not mirror.removals.absent.knows("d")


def test_a_file_that_a_person_wants_to_stay_is_dropped_and_what_leaves_a_directory_goes_first(mirror: Mirror) -> None:
    absences, site, discarded = mirror.comparing._absences, mirror.site, mirror.removals.discarded
    discarded.begin(NOW + 1, unseen=False)
    site.ledger.put(site.id, "d/b", Row(Kind.FILE, FRESH, SHA, WALL))
    absences.found("d/b", Kind.FILE, AT, 0.0)
    assert site.ledger.row(site.id, "d/b") is None, "dropped at once"
    site.moves.wait("d/e/a", "c", None)
    for path in ("d/e", "d"):
        absences.found(path, Kind.DIR, AT, 0.0)
        note(absences)
        list(mirror.comparing._forgetting.go_on(AT))
        assert site.ledger.row(site.id, "d/e") is not None
        assert path in mirror.offers.again, "it is looked at when the file has left"
        assert discarded.put_off_below("d") == ["d/e"]
    site.moves.clear()
    absences.found("d/e", Kind.DIR, AT, 0.0)
    note(absences)
    list(mirror.comparing._forgetting.go_on(AT))
    assert site.ledger.row(site.id, "d/e/a") is None


@pytest.mark.parametrize(
    ("deletes", "disk", "left", "held"),
    [
        (DeletePolicy.KEEP, True, True, False),
        (DeletePolicy.KEEP, False, False, False),
        (DeletePolicy.MIRROR, True, True, True),
    ],
)
def test_what_was_on_a_disk_that_went_with_its_directory_is_not_dropped_where_nothing_is_deleted(
    deletes: DeletePolicy,
    disk: bool,  # noqa: FBT001
    left: bool,  # noqa: FBT001
    held: bool,  # noqa: FBT001
) -> None:
    """It would be sent again when the disk is back."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        story._spec = story._spec._replace(deletes=deletes, delete_after_s=0.0)
        story.adjust()
        absences = story.mirror.comparing._absences
        for path, device in (("d", 0), ("d/e", int(disk))):
            ledger.put(story.id, path, Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL, device))
        absences.found("d", Kind.DIR, AT, 0.0)
        note(absences)
        list(story.mirror.comparing._forgetting.go_on(AT))
        assert (ledger.row(story.id, "d/e") is not None) is left
        assert (story.mirror.removals.hold is not None) is disk
        assert story.mirror.removals.absent.knows("d") is held


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
