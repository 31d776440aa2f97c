"""What is done: rows, what is looked at next, who is told, and what the receipt says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.engine import done
from ftpsyncd.ledger import book
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Exposure, Fingerprint, Kind, Row
from ftpsyncd.specs import PublishMode
from tests.core.vocabulary import NOW, SHA, WALL, M, failed
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FILE = Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL)
DIRECTORY = Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL)
FRESH = Fingerprint(1, 2, 9)
NEW = Upload(M, "new", FRESH)
MOVED = RenameDir(M, "new", "d", 5)


@pytest.fixture
def story() -> Iterator[Story]:
    """Files are published in directories."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        for path, row in (("d", DIRECTORY), ("d/e", DIRECTORY), ("d/a", FILE), ("d/b", FILE), ("d/e/a", FILE)):
            ledger.put(story.id, path, row)
        looks(story)
        yield story


def looks(story: Story) -> set[tuple[str, bool]]:
    """What is looked at now: paths, or directories with all below them."""
    found = set[tuple[str, bool]]()
    while (work := story.mirror.dirty.take(NOW)) is not None:
        names = [""] if work.names is None else work.names
        found.update((f"{work.directory}/{name}".strip("/"), work.deep) for name in names)
    return found


def apply(story: Story, action: Action, did: Did, *, lost: int = 0) -> None:
    story.mirror.intents.begin(action)
    done.apply(story.mirror, Done(action, did, FRESH, SHA), AT, lost=lost)


def known(story: Story) -> set[str]:
    return {path for path, _ in story.ledger.walk(story.id)}


class Told:
    """Stands in for who is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def __call__(self, *args: object, **more: object) -> None:
        self.calls.append((*args, *more.items()))


def test_a_receipt_counts_the_tries_that_failed_and_the_connections_that_ended(story: Story) -> None:
    failure = failed(None)
    story.ledger.failures.put(story.id, "new", failure)
    apply(story, NEW, Did.PUBLISHED, lost=3)
    assert story.events[-1].attempts == failure.attempts + 3 + 1
    assert story.ledger.failures.of(story.id, "new") is None
    apply(story, NEW, Did.PUBLISHED)
    assert story.events[-1].attempts == 1


@pytest.mark.parametrize("inode", [0, 6])
def test_a_directory_that_was_made_for_what_is_in_it_is_looked_at(story: Story, inode: int) -> None:
    """Which it is, and whether a mount point, nobody has seen."""
    apply(story, MakeDir(M, "f", inode), Did.MADE)
    assert ("f", False) in looks(story) if not inode else looks(story) == set()
    apply(story, MakeDir(M, "", inode), Did.MADE)
    assert looks(story) == set(), "of the folder itself that is known"


@pytest.mark.parametrize(
    ("action", "did", "arrives"),
    [
        (NEW, Did.PUBLISHED, True),
        (NEW, Did.UNCHANGED, True),
        (NEW, Did.ADOPTED, True),
        (NEW, Did.KEPT, False),
        (MOVED, Did.RENAMED, True),
        (MakeDir(M, "f", 6), Did.MADE, True),
        (Delete(M, "d/a"), Did.DELETED, False),
        (RemoveDir(M, "d"), Did.LEFT, False),
    ],
)
def test_who_has_to_know_is_told(
    story: Story,
    monkeypatch: pytest.MonkeyPatch,
    action: Action,
    did: Did,
    arrives: bool,  # noqa: FBT001
) -> None:
    source, takeovers, intents = Told(), Told(), Told()
    monkeypatch.setattr(story.mirror.removals.source, "arrived", source)
    monkeypatch.setattr(story.mirror.takeovers, "done", takeovers)
    monkeypatch.setattr(story.mirror.intents, "end", intents)
    apply(story, action, did)
    assert source.calls == [(action.path, AT)] * arrives
    assert takeovers.calls == [(action, did)]
    assert intents.calls == [(action, ("sent", did is Did.PUBLISHED), ("told", did is Did.KEPT))]


def test_of_a_large_directory_that_was_renamed_some_is_recorded_before(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "MOVED_AT_ONCE", 2)
    story.mirror.intents.begin(MOVED)
    for action, did in ((NEW, Did.PUBLISHED), (MOVED, Did.SPOILED), (MOVED, Did.GONE)):
        assert not done.record_some(story.mirror, Done(action, did))
        assert known(story) == {"d", "d/e", "d/a", "d/b", "d/e/a"}
    assert done.record_some(story.mirror, Done(MOVED, Did.RENAMED))
    assert "d" in known(story)
    assert len([path for path in known(story) if path.startswith("new/")]) == 2
    while done.record_some(story.mirror, Done(MOVED, Did.RENAMED)):
        pass
    apply(story, MOVED, Did.RENAMED)
    assert known(story) == {"new", "new/e", "new/a", "new/b", "new/e/a"}


def test_all_that_is_noted_under_the_old_name_of_a_directory_is_about_the_new_one(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = story.mirror
    told = Told()
    for noted in (
        mirror.removals.discarded,
        mirror.site.moves,
        mirror.other_cases,
        mirror.intents,
        mirror.removals.source.places,
    ):
        monkeypatch.setattr(noted, "moved", told)
    assert mirror.offers.is_recorded("d/e")
    apply(story, MOVED, Did.RENAMED)
    assert told.calls == [("d", "new")] * 5
    assert not mirror.offers.is_recorded("d/e")
    assert looks(story) == {("new", True), ("new", False), ("d", False)}


def test_one_whose_new_name_is_recorded_joins_that_in_doubt(story: Story) -> None:
    story.ledger.put(story.id, "new", DIRECTORY)
    apply(story, MOVED, Did.RENAMED)
    assert known(story) == {"new", "new/e", "new/a", "new/b", "new/e/a"}
    row = story.ledger.row(story.id, "new/a")
    assert row is not None
    assert row.fingerprint.is_doubted


def test_a_file_that_has_arrived_waits_no_more_and_its_old_name_is_looked_at(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, late, stalls = story.mirror, Told(), Told()
    monkeypatch.setattr(mirror.intents.late, "arrived", late)
    monkeypatch.setattr(mirror.stalls, "arrived", stalls)
    mirror.waits.for_server("new", NOW)
    mirror.site.moves.was_cut_off("d/a", CutOff("new", FRESH))
    apply(story, NEW, Did.PUBLISHED)
    assert not mirror.waits.offered
    assert ("d/a", False) in looks(story)
    assert late.calls == [(NEW, AT)]
    assert stalls.calls == [("new", FRESH.size, AT)]
    assert story.ledger.row(story.id, "new") == Row(Kind.FILE, FRESH, SHA, WALL)
    apply(story, NEW, Did.ADOPTED)
    assert len(stalls.calls) == 1, "nothing was sent"


def test_a_file_that_is_renamed_has_its_row_with_when_that_was_seen(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = Told()
    monkeypatch.setattr(story.mirror.other_cases, "moved", cases)
    seen = FILE._replace(ctime_ns=WALL + 5)
    story.ledger.put(story.id, "d/a", seen)
    rename = Rename(M, "f/a", "d/a", FILE.fingerprint, SHA)
    story.mirror.intents.begin(rename)
    done.apply(story.mirror, Done(rename, Did.RENAMED), AT, lost=0)
    assert {"f", "f/a"} <= known(story)
    assert "d/a" not in known(story)
    assert cases.calls == [("d/a", "f/a")]
    assert ("d/a", False) not in looks(story), "it is as it was published"
    row = story.ledger.row(story.id, "f/a")
    assert row is not None
    assert (row.fingerprint, row.sha256, row.ctime_ns) == (FILE.fingerprint, SHA, WALL + 5)
    receipt = story.events[-1]
    assert (receipt.path, receipt.source, receipt.size, receipt.sha256) == ("f/a", "d/a", FILE.fingerprint.size, SHA)


def test_a_file_that_was_sent_instead_of_renamed_has_its_old_name_looked_at(story: Story) -> None:
    rename = Rename(M, "f", "d/a", FILE.fingerprint, SHA)
    apply(story, rename, Did.PUBLISHED)
    assert ("d/a", False) in looks(story)
    assert story.mirror.site.moves.cut_off_below("d") == {"d/a": CutOff("f", FILE.fingerprint, refused=True)}
    assert story.events[-1].source == "", "it is no rename"
    assert story.events[-1].sha256 == SHA


def test_what_is_published_under_the_old_name_by_then_was_left_behind_by_nobody(story: Story) -> None:
    apply(story, Rename(M, "f", "d/a", FRESH, SHA), Did.PUBLISHED)
    assert ("d/a", False) in looks(story)
    assert not story.mirror.site.moves.all_cut_off


def test_a_directory_that_is_lost_at_the_server_is_published_anew(story: Story) -> None:
    story.ledger.put(story.id, "new/moved", FILE)
    apply(story, MOVED, Did.SPOILED)
    for path in ("d/a", "d/e/a", "new/moved"):
        row = story.ledger.row(story.id, path)
        assert row is not None
        assert row.fingerprint.is_doubted
    assert looks(story) == {("d", True), ("d", False), ("new", False)}
    assert story.events[-1].path == "d", "of that it is told that it failed"


def test_what_is_recorded_under_the_new_name_of_its_own_is_no_matter_of_doubt_then(story: Story) -> None:
    for path, row in (("new", DIRECTORY), ("new/theirs", FILE)):
        story.ledger.put(story.id, path, row)
    done.doubt_moved(story.mirror, MOVED)
    assert story.ledger.row(story.id, "new/theirs") == FILE


def test_what_was_deleted_is_not_there_for_anybody_and_its_place_is_looked_at(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, cases = Told(), Told()
    monkeypatch.setattr(story.mirror.removals, "deleted", deleted)
    monkeypatch.setattr(story.mirror.other_cases, "deleted", cases)
    apply(story, Delete(M, "d/a"), Did.DELETED)
    assert (deleted.calls, cases.calls) == ([("d/a", NOW)], [("d/a",)])
    assert "d/a" not in known(story)
    assert ("d/a", False) in looks(story)
    receipt = story.events[-1]
    assert (receipt.size, receipt.sha256) == (FILE.fingerprint.size, SHA)


@pytest.mark.parametrize("did", [Did.LEFT, Did.MOUNTED, Did.REMOVED])
def test_a_directory_that_stays_since_something_was_published_in_it_is_not_forgotten(story: Story, did: Did) -> None:
    story.mirror.removals.absent.note_directory("d", 3, NOW)
    apply(story, RemoveDir(M, "d"), did)
    assert not story.mirror.removals.absent.knows("d")
    assert known(story) == (set() if did is Did.REMOVED else {"d", "d/e", "d/a", "d/b", "d/e/a"})
    assert ("d", False) in looks(story)


def test_one_that_holds_what_is_none_of_ours_is_forgotten(story: Story) -> None:
    story.ledger.put(story.id, "f", DIRECTORY)
    apply(story, RemoveDir(M, "f"), Did.LEFT)
    assert "f" not in known(story)


def test_what_an_interrupted_action_brought_is_recorded_and_ends_the_failure_of_a_directory_there(story: Story) -> None:
    story.ledger.failures.put(story.id, "f/new", failed(None))
    apply(story, Sweep(M, "f/new", "", fingerprints=(FRESH,)), Did.ADOPTED)
    assert {"f", "f/new"} <= known(story), "with the directories that it is in"
    assert story.ledger.failures.of(story.id, "f/new") is None
    assert ("f/new", False) in looks(story)


def test_what_came_late_and_spoiled_what_was_published_is_published_again(story: Story) -> None:
    apply(story, Sweep(M, "d/a", "", published=FILE.fingerprint), Did.SPOILED)
    row = story.ledger.row(story.id, "d/a")
    assert row is not None
    assert row.fingerprint.is_doubted
    assert looks(story) == {("d/a", False)}


@pytest.mark.parametrize(
    ("mode", "upload", "words"),
    [
        (PublishMode.ATOMIC, NEW, "never published"),
        (PublishMode.DIRECT, NEW, "never published"),
        (PublishMode.DIRECT, NEW._replace(ours=(FRESH,)), "or a part of what"),
        (PublishMode.ATOMIC, NEW._replace(ours=(FRESH,)), "never published"),
        (PublishMode.ATOMIC, NEW._replace(ours=(FRESH,), exposed=Exposure(1, 2, 3)), "or a part of what"),
    ],
)
def test_a_foreign_file_that_is_kept_is_told_as_what_it_may_be(
    story: Story, mode: PublishMode, upload: Upload, words: str
) -> None:
    story._spec = story._spec._replace(publish=mode)
    story.adjust()
    done.apply(story.mirror, Done(upload, Did.KEPT), AT, lost=0)
    failure = story.ledger.failures.of(story.id, "new")
    assert failure is not None
    assert failure.parked
    assert words in failure.message
    assert ("if it is a part" in failure.remedy) is ("part" in words)
    assert story.events[-1].message == failure.message
    assert "new" not in known(story)


def test_what_was_swept_in_vain_is_told_as_such(story: Story) -> None:
    apply(story, Sweep(M, "new", "", exposed=Exposure(1, 2, 3)), Did.KEPT)
    assert "it stays" in story.events[-1].message


def test_where_links_are_followed_all_names_of_what_was_done_are_looked_at(story: Story) -> None:
    """The kernel tells of the one that was used only."""
    story._spec = story._spec._replace(follow_symlinks=True)
    story.adjust()
    link = Row(Kind.DIR, DIRECTORY.fingerprint, b"", WALL)
    for path, row in (("to d", link), ("other", FILE._replace(fingerprint=Fingerprint(3, 1, 9))), ("d/e", FILE)):
        story.ledger.put(story.id, path, row)
    looks(story)
    upload = Upload(M, "d/a", FRESH)
    apply(story, upload, Did.PUBLISHED)
    named = {path for path, _ in looks(story)}
    assert named == {"d/a", "d/b", "d/e", "d/e/a", "other", "to d/a"}, "as it was, as it is, and through the link"
    apply(story, Sweep(M, "d/a", ""), Did.SWEPT)
    assert "to d/a" not in {path for path, _ in looks(story)}
