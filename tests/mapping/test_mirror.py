"""The state of one mapping between looks: what is put off is looked at again, whatever became of its reason."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from unittest import mock

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Failed, MakeDir, RemoveDir, Rename, RenameDir, Upload
from ftpsyncd.core.deletes import WINDOW_S
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import NAMES_PER_DIRECTORY, Sighting, sight
from ftpsyncd.core.turn import Lane, Order
from ftpsyncd.engine import again
from ftpsyncd.engine.done import apply
from ftpsyncd.engine.outcomes import Outcomes
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.errors import FileChangedError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED, FailureCounts
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.limits import Shortage
from ftpsyncd.mapping.looks import LOOKS_AT_ONCE, SILENT_S
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.offers import REFUSED_KEPT, Offers
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.unreadable import LONGEST_AGAIN_S
from ftpsyncd.mapping.waits import RESTLESS_S
from ftpsyncd.model import MIXED, Disk, Entry, Hold, HoldKind, Intent, Kind, Listing, Presence, RootIdentity, Row
from ftpsyncd.paths import basename, parent
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import DeleteLimit, DeletePolicy, MappingSpec
from ftpsyncd.status import MappingState
from tests.core.vocabulary import (
    DISK,
    NOW,
    OTHER_DISK,
    WALL,
    M,
    S,
    Without,
    failed,
    fifo,
    file,
    folder,
    made,
    mounted,
    published,
)

AT = Moment(NOW, WALL)
PICTURE = file()
ELSEWHERE = PICTURE._replace(device=OTHER_DISK)
ROOT = RootIdentity(2, 3)
CHANGED_THERE = failed(None, parked=True)._replace(kind=CHANGED)


class Asked:
    """A disk that only remembers what it was asked."""

    def __init__(self) -> None:
        self.names: list[tuple[str, frozenset[str]]] = []
        self.whole: list[str] = []

    def list_dir(self, directory: str) -> None:
        self.whole.append(directory)

    def probe(self, directory: str, names: Collection[str]) -> None:
        self.names.append((directory, frozenset(names)))

    def check(self) -> None:
        raise AssertionError("nobody had a reason to doubt the root")

    def answers(self) -> bool:
        raise AssertionError("nobody had a reason to doubt the disk")


class Story:
    """A mirror whose looks at the disk the test answers."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        settle_s: float = 2.0,
        delete_after_s: float = 0.0,
        deletes: DeletePolicy = DeletePolicy.MIRROR,
        max_deletes: DeleteLimit = DeleteLimit(),  # noqa: B008 - frozen
        one_pass: bool = False,
        empty_dirs: bool = False,
        selection: Without = Without(),  # noqa: B008 - frozen
    ) -> None:
        self.events: list[Event] = []
        self.queue = Queue(4)
        self.disk = Asked()
        spec = MappingSpec(
            M,
            Path("/srv/gallery"),
            "web",
            "/htdocs",
            settle_s=settle_s,
            delete_after_s=delete_after_s,
            deletes=deletes,
            max_deletes=max_deletes,
            empty_dirs=empty_dirs,
        )
        self.ledger = ledger
        self.id = ledger.mappings.number(M, "there")
        self.mirror = Mirror(
            spec,
            selection,
            self.id,
            ledger,
            self.queue,
            Folder(spec),
            self.events.append,
            today=lambda: "2024-05-01",
            one_pass=one_pass,
        )
        self.mirror.looks.attach(self.disk)

    def absent(self, directory: str) -> None:
        """The disk was asked for something in a directory that is not there."""
        self.mirror.on_answer(Listing(directory, Presence.ABSENT, {}, frozenset("a")), AT)

    def starts(self, path: str) -> Action:
        """The queue hands out the action for a path."""
        while (action := self.queue.take(NOW)) is not None:
            if action.path == path:
                return action
        raise AssertionError(f"nothing can start for {path}")

    def lists(self, directory: str, **entries: Entry) -> None:
        """The disk was asked for a whole directory."""
        self.mirror.on_answer(Listing(directory, Presence.PRESENT, entries, None, inode=1, device=DISK), AT)

    def sees(self, directory: str, **entries: Entry | None) -> None:
        """The disk was asked for some names; None: there is nothing of that name."""
        there = {name: entry for name, entry in entries.items() if entry is not None}
        self.mirror.on_answer(Listing(directory, Presence.PRESENT, there, frozenset(entries), inode=1, device=DISK), AT)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(Path(":memory:")) as ledger:
        ledger.put(ledger.mappings.number(M, "there"), "old", made())
        ledger.put(ledger.mappings.number(M, "there"), "old/a", published(PICTURE))
        yield ledger


@pytest.fixture
def story(ledger: Ledger) -> Story:
    return Story(ledger)


def test_a_directory_that_left_is_looked_at_again_when_its_rename_is_taken_back(story: Story):
    """Moved on before the server was told, it has no rename to wait for any more."""
    story.queue.offer(RenameDir(M, "new", "old", 50))
    story.sees("", old=None)
    story.mirror.pump(AT)
    assert story.disk.names == []
    story.sees("", new=None)
    story.mirror.pump(AT)
    assert story.disk.names == [("", frozenset({"old"}))]


def test_a_directory_that_left_is_looked_at_again_when_its_rename_is_replaced(story: Story):
    story.queue.offer(RenameDir(M, "new", "old", 50))
    story.sees("", old=None)
    story.sees("", new=PICTURE._replace(fingerprint=PICTURE.fingerprint._replace(inode=99)))
    story.mirror.pump(AT)
    assert story.disk.names == [("", frozenset({"old"}))]


def test_a_file_that_left_is_looked_at_again_when_its_rename_is_taken_back(story: Story):
    story.sees("", b=PICTURE)
    assert story.queue.moves_from(M, "old/a")
    story.sees("old", a=None)
    story.mirror.pump(AT)
    assert story.disk.names == []
    story.sees("", b=None)
    story.mirror.pump(AT)
    assert story.disk.names == [("old", frozenset({"a"}))]


def test_a_file_that_is_looked_at_twice_is_renamed_all_the_same(story: Story):
    """Its own rename took away its source: it was sent, and what was there before counted as deleted."""
    for _ in range(2):
        story.sees("", b=PICTURE)
        story.mirror.pump(AT)
        assert isinstance(story.queue.waiting(M, "b"), Rename)


def test_what_a_file_took_the_place_of_is_sent_and_the_file_is_renamed(story: Story):
    """Taken back for a rename that would come to nothing, it left its old path, which then counted as deleted."""
    other = file(inode=8)
    story.ledger.put(story.id, "b", published(other))
    story.sees("", b=PICTURE)
    story.sees("", c=other)
    assert isinstance(story.queue.waiting(M, "b"), Rename)
    assert not story.queue.moves_from(M, "b")
    assert "c" in story.mirror.waits.pending


def test_nothing_is_looked_at_again_while_another_rename_leaves_the_same_path(story: Story):
    story.queue.offer(RenameDir(M, "new", "old", 50))
    story.queue.offer(RenameDir(M, "newer", "old", 50))
    story.sees("", old=None)
    story.sees("", new=None)
    story.mirror.pump(AT)
    assert story.disk.names == []


def test_a_folder_that_was_moved_into_the_one_that_took_its_place_is_not_renamed_into_itself(story: Story):
    """By its inode it is the whole of what was published."""
    story.ledger.put(story.id, "", made(77))
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"old": folder()}, None, inode=77, device=DISK), AT)
    story.mirror.pump(AT)
    assert not story.queue.moves_from(M, "")
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK), AT)
    story.mirror.pump(AT)
    assert story.queue.moves_from(M, "old"), "any other is"


def test_a_file_that_was_changed_at_the_server_is_no_source_of_a_rename(story: Story):
    """What is there would be found under the new name, and be taken for what was published."""
    story.ledger.failures.put(story.id, "old/a", CHANGED_THERE)
    story.sees("", b=PICTURE)
    assert not story.queue.moves_from(M, "old/a")
    assert "b" in story.mirror.waits.pending


def test_a_directory_with_a_file_that_was_changed_at_the_server_is_not_renamed(story: Story):
    story.ledger.failures.put(story.id, "old/a", CHANGED_THERE)
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK), AT)
    assert not story.queue.moves_from(M, "old")
    assert "new/a" in story.mirror.waits.pending


def test_what_waits_in_a_directory_that_gets_another_name_is_not_done_under_the_old_one(story: Story):
    """It would be made once more at the server, for that."""
    story.queue.offer(Upload(M, "old/b", file(inode=8).fingerprint))
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK), AT)
    story.mirror.pump(AT)
    assert isinstance(story.queue.waiting(M, "new"), RenameDir)
    assert story.queue.waiting(M, "old/b") is None


def test_of_very_many_directories_that_the_server_would_not_rename_the_first_are_tried_once_more(story: Story):
    for number in range(REFUSED_KEPT + 1):
        story.mirror.offers.not_renamed(f"d{number}")
    assert not story.mirror.offers.any_not_renamed("d0")
    assert story.mirror.offers.any_not_renamed("d1")
    assert story.mirror.offers.any_not_renamed(f"d{REFUSED_KEPT}")


@pytest.mark.parametrize("action", [Delete(M, "old/a"), RemoveDir(M, "old")], ids=["a file", "a directory"])
def test_what_was_to_be_deleted_and_was_not_is_looked_at_once_more(story: Story, action: Delete | RemoveDir):
    """A hold that began meanwhile withholds it, and people are told of it."""
    story.mirror.offers.not_performed(action, AT)
    story.mirror.pump(AT)
    assert story.disk.names == [(parent(action.path), frozenset({basename(action.path)}))]


def test_what_waits_for_space_takes_no_room_in_the_queue(ledger: Ledger):
    """Nor does what waited there before: files of other directories would wait behind it."""
    story = Story(ledger, settle_s=0.0)
    story.queue.offer(Upload(M, "old/b", file(inode=8).fingerprint))
    for name in ("x", "y"):
        story.queue.space.refused(M, f"old/{name}", "552 Quota exceeded", NOW)
    before = story.queue.space.waiting(M)
    story.sees("old", b=file(inode=9), c=file(inode=10))
    assert story.queue.load(M).waiting == 0
    assert story.queue.space.waiting(M) == before + 2


def test_a_new_directory_that_cannot_be_read_is_there_at_the_server(ledger: Ledger):
    """Whether it is a published one under a new name cannot be seen, with `empty_dirs`."""
    story = Story(ledger, empty_dirs=True)
    story.sees("", new=folder(8))
    story.mirror.on_answer(Listing("new", Presence.UNREADABLE, {}, None, problem="permission denied"), AT)
    story.mirror.pump(AT)
    assert story.queue.waiting(M, "new") == MakeDir(M, "new", 8)


@pytest.mark.parametrize(("made_after_ns", "renamed"), [(-1, True), (0, True), (1, False)])
def test_a_directory_that_was_made_since_another_was_published_is_not_that_one(
    story: Story,
    made_after_ns: int,
    renamed: bool,  # noqa: FBT001
):
    """Though it has its inode, and so have the files in it those of the others, with their sizes and dates."""
    row = story.ledger.row(story.id, "old")
    assert row is not None
    listing = Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK)
    story.mirror.on_answer(listing._replace(made_wall_ns=row.published_ns + made_after_ns), AT)
    story.mirror.pump(AT)
    assert story.queue.moves_from(M, "old") is renamed


def test_a_directory_that_is_not_there_costs_no_look_at_all_that_waits_elsewhere(story: Story):
    """`rm -r` of many folders, while many new files in others come to rest."""
    waits = story.mirror.waits

    def took_s() -> float:
        began = time.thread_time()
        for number in range(200):
            waits.nothing_below(f"none/{number}")
        return time.thread_time() - began

    def wait(path: str) -> None:
        waits.wait(path, NOW, "it changed a moment ago", sight(PICTURE, None, NOW), AT)

    for number in range(50):
        wait(f"d/{number}")
    few_s = min(took_s() for _ in range(3))
    for number in range(20_000):
        wait(f"d/{number}")
    wait("none/7/a")
    wait("none/8/b/c")
    assert min(took_s() for _ in range(3)) < 10 * few_s
    assert len(waits.pending) == 20_000
    story.lists("d")
    assert not waits.pending


@pytest.mark.parametrize(("inode", "entered"), [(7, True), (9, False)], ids=["it", "another one"])
def test_a_directory_is_entered_while_it_is_made_if_it_is_known_as_that_one_then(
    story: Story,
    inode: int,
    entered: bool,  # noqa: FBT001 - a case
):
    """What was found in another one is looked for when that was made: then it is seen to be another."""
    making = MakeDir(M, "a", 7)
    story.queue.offer(making)
    assert story.queue.take(NOW) == making
    listing = Listing("a", Presence.PRESENT, {"b": folder(8), "x": PICTURE}, None, inode=inode, device=DISK)
    story.mirror.on_answer(listing, AT)
    story.mirror.pump(AT)
    assert story.disk.whole == (["a/b"] if entered else [])
    assert story.mirror.offers.again == (set() if entered else {"a"})


def test_a_directory_is_looked_at_once_although_it_is_made_for_what_is_further_below(story: Story):
    """Each was listed up to six times: when it had been made, it was looked at again to see which it is."""
    story.ledger.put(story.id, "old", made()._replace(device=11))
    story.mirror.on_answer(Listing("a", Presence.PRESENT, {"b": folder(8)}, None, inode=7, device=DISK), AT)
    story.mirror.pump(AT)
    below = Listing(
        "a/b", Presence.PRESENT, {"x": PICTURE}, None, inode=8, device=DISK, mount_point=True, filesystem=11
    )
    story.mirror.on_answer(below, AT)
    story.mirror.pump(AT)
    for planned in (MakeDir(M, "", 0), MakeDir(M, "a", 7), MakeDir(M, "a/b", 8, mount_point=True, filesystem=11)):
        assert story.queue.take(NOW) == planned
        story.queue.finish(planned)
        apply(story.mirror, Done(planned, Did.MADE), AT, lost=0)
    row = story.ledger.row(story.id, "a/b")
    assert row is not None
    assert (row.fingerprint.inode, row.device) == (8, 11)
    asked = list(story.disk.whole)
    story.mirror.pump(AT)
    assert story.disk.whole == asked
    assert story.disk.names == []


def test_which_disk_is_mounted_in_the_folder_is_recorded_also_for_what_an_older_version_recorded(story: Story):
    story.ledger.put(story.id, "old", made()._replace(device=11))
    card = Listing("card", Presence.PRESENT, {"x": PICTURE}, inode=7, device=OTHER_DISK, mount_point=True)
    story.mirror.on_answer(card._replace(filesystem=11), AT)
    story.mirror.pump(AT)
    for planned in (MakeDir(M, "", 0), MakeDir(M, "card", 7, mount_point=True, filesystem=11)):
        assert story.queue.take(NOW) == planned
        story.queue.finish(planned)
        apply(story.mirror, Done(planned, Did.MADE), AT, lost=0)
    row = story.ledger.row(story.id, "card")
    assert row is not None
    assert row.device == 11
    story.ledger.put(story.id, "card", row._replace(device=1))
    story.mirror.on_answer(card._replace(filesystem=12), AT)
    assert story.ledger.row(story.id, "card") == row._replace(device=12)
    story.mirror.on_answer(card._replace(filesystem=13), AT)
    assert story.ledger.row(story.id, "card") == row._replace(device=12)
    assert [event.kind for event in story.events if event.kind is not EventKind.MADE] == [EventKind.HELD]


@pytest.mark.parametrize(
    ("was", "filesystem", "renamed"),
    [(11, 11, True), (11, 12, False), (1, 11, False), (0, 11, False), (11, 0, False), (MIXED, 11, False)],
)
def test_a_file_is_the_published_one_under_a_new_name_only_on_its_disk(
    story: Story,
    was: int,
    filesystem: int,
    renamed: bool,  # noqa: FBT001
):
    """Each disk has inodes of its own, and what was published of one that is away is not gone."""
    story.ledger.put(story.id, "old", made()._replace(device=was))
    new = Listing("new", Presence.PRESENT, {"x": PICTURE}, inode=7, device=OTHER_DISK, mount_point=True)
    story.mirror.on_answer(new._replace(filesystem=filesystem), AT)
    story.mirror.pump(AT)
    assert story.queue.moves_from(M, "old/a") is renamed


def test_which_directory_it_was_is_not_kept_for_longer_than_it_is_needed(story: Story, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ftpsyncd.mapping.offers.SEEN_KEPT", 2)
    for number in range(4):
        story.mirror.on_answer(Listing(f"{number}", Presence.PRESENT, {}, None, inode=10 + number, device=DISK), AT)
        story.mirror.pump(AT)
    seen = story.mirror.offers._seen
    assert seen == {"2": (12, False, 0), "3": (13, False, 0)}
    story.mirror.on_answer(Listing("3", Presence.PRESENT, {"x": PICTURE}, None, inode=14, device=DISK), AT)
    assert story.queue.waiting(M, "3") == MakeDir(M, "3", 14)
    assert seen == {"2": (12, False, 0)}


def test_a_directory_in_which_only_some_names_were_looked_at_is_not_known(story: Story):
    """Recorded as known, it would count as looked through: what else is in it would not be found."""
    story.sees("a", x=PICTURE)
    assert story.queue.waiting(M, "a") == MakeDir(M, "a", 0)


def test_a_directory_that_turns_out_to_be_another_one_is_not_known_nor_are_those_above_it(story: Story):
    """A disk may have been mounted since they were listed."""
    for number, directory in enumerate(("a", "a/b", "a/c")):
        listing = Listing(directory, Presence.PRESENT, {}, None, inode=10 + number, device=DISK)
        story.mirror.on_answer(listing, AT)
        story.mirror.pump(AT)
    story.mirror.on_answer(Listing("a/b", Presence.PRESENT, {}, frozenset("x"), inode=11, device=DISK), AT)
    seen = story.mirror.offers._seen
    assert seen.keys() == {"a", "a/b", "a/c"}
    story.mirror.on_answer(Listing("a/b", Presence.PRESENT, {}, frozenset("x"), inode=14, device=DISK), AT)
    assert seen.keys() == {"a/c"}


def test_the_way_down_to_a_file_is_not_gone_up_again_for_each_level(story: Story, monkeypatch: pytest.MonkeyPatch):
    """In a tree of 1,100 levels, planning took a quarter of a minute."""
    asked: list[str] = []
    is_recorded = Offers.is_recorded

    def noted(offers: Offers, directory: str) -> bool:
        asked.append(directory)
        return is_recorded(offers, directory)

    monkeypatch.setattr(Offers, "is_recorded", noted)
    path = "d"
    for _ in range(100):
        story.mirror.offers.offer(Upload(M, f"{path}/x", PICTURE.fingerprint), Order(Lane.PASS, NOW))
        path += "/d"
    assert story.queue.load(M).waiting == 2 * 100 + 1
    assert len(asked) <= 5 * 100


def test_a_status_costs_no_look_at_all_that_waits(story: Story):
    """One is made four times a second while anything happens; what failed may wait for its next try for days."""
    waits = story.mirror.waits

    def took_s() -> float:
        began = time.thread_time()
        for _ in range(100):
            mapping_status(story.mirror, AT)
        return time.thread_time() - began

    def wait(path: str, since: float, sighting: Sighting | None = None) -> None:
        waits.wait(path, NOW + 60, "the last try failed", sighting, Moment(since, WALL))

    for number in range(50):
        wait(f"d/{number}", NOW - 50)
    few_s = min(took_s() for _ in range(3))
    for number in range(20_000):
        wait(f"d/{number}", NOW - 40)
    wait("a", NOW - 30, sight(PICTURE, None, NOW - 30))
    assert min(took_s() for _ in range(3)) < 10 * few_s
    status = mapping_status(story.mirror, AT)
    assert (status.pending, status.oldest_pending_s) == (1, 50.0)
    for number in range(50):
        waits.present(f"d/{number}")
    assert mapping_status(story.mirror, AT).oldest_pending_s == 40.0
    for number in range(50, 20_000):
        waits.present(f"d/{number}")
    assert mapping_status(story.mirror, AT).oldest_pending_s == 30.0
    wait("a", NOW)
    status = mapping_status(story.mirror, AT)
    assert (status.pending, status.oldest_pending_s) == (0, 30.0), "it has come to rest, and its try failed"
    waits.present("a")
    assert mapping_status(story.mirror, AT).oldest_pending_s is None


def test_a_status_costs_no_look_at_all_that_failed(story: Story):
    """A server that refuses a folder of 300,000 files: a third of a second, four times a second."""
    failures, parked = story.ledger.failures, failed(PICTURE, parked=True)

    def took_s() -> float:
        began = time.thread_time()
        for number in range(20):
            failures.put(story.id, f"d/{number}", parked)
            mapping_status(story.mirror, AT)
        return time.thread_time() - began

    few_s = min(took_s() for _ in range(3))
    for number in range(20_000):
        failures.put(story.id, f"d/{number}", parked)
    assert min(took_s() for _ in range(3)) < 10 * few_s
    assert mapping_status(story.mirror, AT).parked == 20_000
    failures.clear(story.id, "d/7")
    failures.clear(story.id, "none")
    failures.release(story.id, "d/8")
    failures.put(story.id, "d/9", parked._replace(kind=CHANGED))
    assert failures.counts(story.id) == FailureCounts(1, 19_997, 1)
    failures.release_in(story.id, "d")
    assert failures.counts(story.id) == FailureCounts(19_998, 0, 1)
    assert failures.clear_below(story.id, "d") == 19_999
    assert failures.counts(story.id) == FailureCounts(0, 0, 0)


def test_of_very_many_files_that_are_written_all_the_time_each_is_looked_at_more_rarely(story: Story):
    """Else nothing but these is looked at: 300 cameras that record, and no new folder, and no end of a pass."""
    waits, dirty = story.mirror.waits, story.mirror.dirty

    def gap_s(path: str) -> float:
        for _ in range(12):
            waits.wait(path, NOW + 5, "a program has it open for writing", sight(PICTURE, None, NOW, busy=True), AT)
        dirty.clear()
        waits.look_at(path, NOW)
        due = dirty.next_due()
        assert due is not None
        return due - NOW

    assert gap_s("0/film") == pytest.approx(0.1)
    for number in range(500):
        waits.wait(f"{number}/film", NOW + 5, "open", sight(PICTURE, None, NOW, busy=True), AT)
    assert gap_s("0/film") == pytest.approx(1.0)
    for number in range(450):
        waits.present(f"{number}/film")
    for number in range(450, 500):
        waits.wait(f"{number}/film", NOW + 2, "it changed", sight(PICTURE, None, NOW), AT)
    assert gap_s("0/film") == pytest.approx(0.1)


def test_of_very_much_that_failed_and_waits_for_its_next_try_only_some_is_noted(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    """A server may refuse each of a million files, hour by hour; the ledger has them."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.FAILED_MAX", 50)
    waits = story.mirror.waits
    for _ in range(2):
        for number in range(80):
            waits.wait(f"{number}/a", NOW + 60, "the last try failed", None, AT)
    assert len(waits.pending) == 50
    assert all(story.mirror.dirty.awaits(f"{number}/a") for number in range(80))
    waits.wait("new", NOW + 2, "it changed a moment ago", sight(PICTURE, None, NOW), AT)
    assert waits.any_unsettled()
    waits.present("0/a")
    waits.present("new")
    waits.wait("79/a", NOW + 60, "the last try failed", None, AT)
    assert "79/a" in waits.pending


def test_of_very_many_files_that_are_not_at_rest_only_some_are_noted(story: Story, monkeypatch: pytest.MonkeyPatch):
    """A million that arrived within a `settle` of an hour took 0.8 GB; when each may go its own stamps tell."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.NOTED_MAX", 50)
    waits, settle_s = story.mirror.waits, story.mirror.spec.settle_s
    why, seen = "it changed a moment ago", sight(PICTURE, None, NOW)
    for number in range(80):
        waits.wait(f"{number}/a", NOW + settle_s - 1 + number / 100, why, seen, AT)
    assert len(waits.pending) == 51
    assert all(story.mirror.dirty.awaits(f"{number}/a") for number in range(80)), "each is looked at when it is quiet"
    for number in range(50):
        waits.for_server(f"{number}/a", NOW)
    assert waits.any_unsettled(), "as long as any of them waits"
    assert "79/a" in waits.pending
    for number in range(50, 80):
        waits.wait(f"{number}/a", NOW + settle_s - 1 + number / 100, why, seen, AT)
        assert f"{number}/a" in waits.pending, "there is room again"


@pytest.mark.parametrize(
    ("due_s", "seen"),
    [
        (2.0, sight(PICTURE, None, NOW)),
        (1.0, sight(PICTURE, None, NOW, busy=True)),
        (4.0, sight(PICTURE._replace(ctime_ns=0), None, NOW)),
    ],
    ids=["its stamps tell nothing", "it is being written", "its stamps are coarse"],
)
def test_of_files_that_are_at_rest_when_they_have_been_seen_so_each_is_noted(
    story: Story, monkeypatch: pytest.MonkeyPatch, due_s: float, seen: Sighting
):
    """Else they would be new at each look, and never be published."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.NOTED_MAX", 5)
    waits = story.mirror.waits
    for number in range(20):
        waits.wait(f"{number}/a", NOW + due_s, "it changed", seen, AT)
    assert len(waits.pending) == 20
    # One for which there is no room takes the place of none of these.
    for number in range(20, 25):
        waits.wait(f"{number}/a", NOW + 0.1 + number / 100, "it changed", sight(PICTURE, None, NOW), AT)
    assert [path for path in waits.pending if waits.pending[path].sighting is seen] == [f"{n}/a" for n in range(20)]
    assert len(waits.pending) == 21


def test_what_may_be_renamed_by_now_gives_its_place_to_no_file_that_is_not_at_rest(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    """What is gone from its old name would count as deleted."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.NOTED_MAX", 0)
    waits, seen = story.mirror.waits, sight(PICTURE, None, NOW)
    waits.wait("b", NOW + 1.0, "it changed", seen, AT)
    waits.wait("b", NOW + 1.0, "it had the name old/a", seen, AT, source="old/a")
    waits.wait("c", NOW + 1.5, "it changed", seen, AT)
    assert list(waits.pending) == ["b", "c"]
    assert story.mirror.site.moves.awaits("old/a")


def test_a_directory_under_a_new_name_costs_no_look_at_all_that_failed(story: Story):
    """Many folders of a mapping get other names, of which very much waits for a person."""
    name = "older"
    story.ledger.put(story.id, name, made(51))
    story.ledger.put(story.id, f"{name}/a", published(PICTURE))
    for number in range(100):
        story.ledger.failures.put(story.id, f"d/{number}", CHANGED_THERE)
    story.ledger.failures.put(story.id, f"{name}/b/c", CHANGED_THERE)
    asked: list[str] = []
    story.ledger.commit()
    story.ledger._db._db.set_trace_callback(asked.append)
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK), AT)
    story.ledger._db._db.set_trace_callback(None)
    about = [sql for sql in asked if "FROM failure" in sql and "SELECT" in sql]
    assert about
    for sql in about:
        plan = [row[3] for row in story.ledger._db._db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert all("dir" in step for step in plan), sql
    assert story.queue.moves_from(M, "old")
    story.mirror.on_answer(Listing("newer", Presence.PRESENT, {"a": PICTURE}, None, inode=51, device=DISK), AT)
    assert not story.queue.moves_from(M, name), "something in it was changed at the server"


def test_a_scan_goes_on_when_all_that_was_told_is_compared(story: Story):
    """Meanwhile only what was marked by itself is looked at; the engine does not turn in vain."""
    names = [f"{number}" for number in range(3 * LOOKS_AT_ONCE)]
    story.mirror.dirty.push_deep(names, Order(Lane.PASS, NOW))
    story.mirror.pump(AT)
    first = story.disk.whole[:]
    assert len(first) == LOOKS_AT_ONCE
    for directory in first[:-1]:
        story.mirror.on_answer(Listing(directory, Presence.PRESENT, {}, None, inode=1, device=DISK), AT)
        story.mirror.pump(AT)
    assert story.disk.whole == first
    assert story.mirror.next_due() is None
    story.mirror.dirty.mark("changed", NOW)
    assert story.mirror.next_due() == NOW
    story.mirror.pump(AT)
    assert story.disk.names == [("", frozenset({"changed"}))]
    story.mirror.on_answer(Listing(first[-1], Presence.PRESENT, {}, None, inode=1, device=DISK), AT)
    story.mirror.pump(AT)
    assert len(story.disk.whole) == 2 * LOOKS_AT_ONCE - 1, "the probe takes one of the looks"


# ── Looks that overlap ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_pass_asked_for_during_a_look_at_its_first_directory_is_a_pass_of_its_own(story: Story):
    """The answer under way may be older than the request, and the next one is to enter directories as well."""
    story.mirror.dirty.mark_deep("", NOW)
    story.mirror.pump(AT)
    story.mirror.dirty.mark_deep("", NOW)
    story.mirror.pump(AT)
    assert story.disk.whole == [""]
    story.lists("", old=folder())
    assert story.mirror.busy_looking(NOW)
    story.mirror.pump(AT)
    assert story.disk.whole == ["", "old", ""]
    story.lists("old", a=PICTURE)
    story.lists("", old=folder())
    story.mirror.pump(AT)
    assert story.disk.whole == ["", "old", "", "old"]


def test_names_asked_for_during_a_look_are_asked_for_together_after_it(story: Story):
    for names in (["a"], ["b"], ["c"]):
        for name in names:
            story.mirror.dirty.mark(f"old/{name}", NOW)
        story.mirror.pump(AT)
    assert story.disk.names == [("old", frozenset("a"))]
    story.sees("old", a=PICTURE)
    assert story.disk.names[1:] == [("old", frozenset("bc"))]
    story.sees("old", b=None, c=None)
    assert not story.mirror.busy_looking(NOW)


def test_folders_that_differ_are_looked_into_however_many_they_are(story: Story):
    """Of their names in the directory above only some are remembered; then it is listed, which enters none of them."""
    folders = frozenset(f"old/{number}" for number in range(2 * NAMES_PER_DIRECTORY))
    story.mirror.on_changes(Changes(frozenset(), frozenset(), folders=folders), AT)
    works = []
    while (work := story.mirror.dirty.take(NOW)) is not None:
        works.append(work)
    assert {work.directory for work in works if work.names is None} >= folders


def test_what_was_seen_in_a_directory_that_was_being_made_is_looked_at_again(story: Story):
    """The mark on its name may be answered by a look at the directory above, which does not enter it."""
    making = MakeDir(M, "old", 50)
    story.queue.offer(making)
    assert story.starts("old") == making
    story.mirror.offers.again.add("old")
    story.queue.finish(making)
    story.mirror.offers.look_again(making, AT)
    story.mirror.dirty.mark_directory("", NOW)
    works = [story.mirror.dirty.take(NOW) for _ in range(2)]
    assert "old" in {work.directory for work in works if work is not None and work.names is None}


def test_a_mapping_that_goes_asks_for_nothing_more(story: Story):
    for name in "ab":
        story.mirror.dirty.mark(f"old/{name}", NOW)
        story.mirror.pump(AT)
    story.mirror.looks.detach()
    story.sees("old", a=PICTURE)
    assert len(story.disk.names) == 1


# ── A repair ─────────────────────────────────────────────────────────────────────────────────────────────────────


class TestADirectoryMadeAgainForARepair:
    """A row that has an inode says that the server has the directory: it gets one when that is so."""

    @pytest.fixture
    def repair(self, story: Story) -> Story:
        story.ledger.put(story.id, "", made(1))
        again.publish(story.mirror, [], ["old"], AT)
        return story

    @staticmethod
    def inode(story: Story) -> int:
        row = story.ledger.row(story.id, "old")
        assert row is not None
        return row.fingerprint.inode

    def test_it_is_made_whatever_is_seen_meanwhile(self, repair: Story):
        """The server may be offline for long, and the first pass still under way."""
        repair.lists("", old=folder())
        repair.sees("", old=folder())
        assert self.inode(repair) == 0
        making = repair.starts("old")
        assert isinstance(making, MakeDir)
        repair.sees("", old=folder())
        repair.queue.finish(making, requeue=True)
        assert self.inode(repair) == 0
        assert isinstance(repair.starts("old"), MakeDir)

    def test_one_that_is_gone_here_too_is_not_made(self, repair: Story):
        """Its delete is held, say: it was made at the server, empty, at once."""
        assert repair.queue.take(NOW) is None
        repair.sees("", old=None)
        assert repair.queue.take(NOW) is None

    def test_it_is_known_again_when_it_has_been_made(self, repair: Story):
        repair.sees("", old=folder())
        making = repair.starts("old")
        repair.queue.finish(making)
        # As the outcome has it.
        repair.ledger.put(repair.id, "old", made(0))
        repair.sees("", old=folder())
        assert self.inode(repair) == folder().fingerprint.inode

    def test_it_is_tried_again_when_the_server_refused(self, repair: Story):
        repair.sees("", old=folder())
        repair.queue.finish(repair.starts("old"))
        repair.ledger.failures.put(repair.id, "old", failed(None, next_try_s=5.0))
        repair.sees("", old=folder())
        assert repair.queue.waiting(M, "old") is None
        assert "old" in repair.mirror.waits.pending
        repair.ledger.failures.put(repair.id, "old", failed(None, next_try_s=-1.0))
        repair.lists("", old=folder())
        assert isinstance(repair.queue.waiting(M, "old"), MakeDir)

    def test_it_is_not_made_when_it_is_gone_here(self, repair: Story):
        repair.sees("", old=None)
        assert not isinstance(repair.queue.waiting(M, "old"), MakeDir)


# ── A directory that is being deleted ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gone", ["disk", "disk/below"])
class TestADiskThatTookItsMountPointWithIt:
    """As autofs and udisks do, with the mount point's own directory perhaps."""

    @pytest.fixture
    def story(self, ledger: Ledger, gone: str) -> Story:
        for path in ("disk", "disk/below"):
            ledger.put(ledger.mappings.number(M, "there"), path, made(mount_point=path == gone))
        ledger.put(ledger.mappings.number(M, "there"), "disk/below/a", published(PICTURE))
        story = Story(ledger)
        story.sees("", disk=None)
        story.mirror.pump(AT)
        return story

    def test_nothing_on_it_is_deleted(self, story: Story):
        hold = story.mirror.removals.hold
        assert hold is not None
        assert hold.kind is HoldKind.REPLACED_SOURCE
        assert story.mirror.removals.held == 1
        assert story.queue.take(NOW) is None

    def test_it_is_deleted_when_a_person_says_so(self, story: Story):
        story.mirror.removals.approve(AT)
        story.sees("", disk=None)
        story.mirror.pump(AT)
        assert isinstance(story.queue.waiting(M, "disk/below/a"), Delete)

    def test_it_is_kept_at_the_server_when_a_person_says_so(self, story: Story):
        story.mirror.removals.discard(AT)
        story.sees("", disk=None)
        assert story.ledger.row(story.id, "disk/below/a") is None
        assert story.queue.take(NOW) is None

    def test_the_hold_ends_when_it_is_back(self, story: Story, gone: str):
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        story.mirror.removals.pass_ended(AT)
        assert [event.kind for event in story.events] == [EventKind.HELD]
        back = Listing(gone, Presence.PRESENT, {}, inode=50, device=OTHER_DISK, mount_point=True)
        story.mirror.on_answer(back, AT)
        story.sees("", disk=mounted() if gone == "disk" else folder())
        story.mirror.removals.pass_ended(AT)
        assert [event.kind for event in story.events] == [EventKind.HELD, EventKind.RELEASED]
        assert story.mirror.removals.absent.since("disk") is None


class TestTwoDisksThatAreAway:
    """What is held is held until both are back; whoever approves deletes what was on those that are not."""

    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        for number, disk in enumerate(("one", "two")):
            ledger.put(story.id, disk, made(50 + number, mount_point=True))
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        story.sees("", one=folder(60), two=folder(61))
        assert self.told(story).startswith(
            "one was mounted when it was published and is not mounted now (and 1 more): "
        )
        return story

    def told(self, story: Story) -> str:
        hold = story.mirror.removals.hold
        return "" if hold is None else hold.message

    def seems_unmounted(self, story: Story) -> bool:
        return story.mirror.removals.source.unmounted

    def comes(self, story: Story, disk: str, inode: int) -> None:
        back = Listing(disk, Presence.PRESENT, {}, inode=inode, device=OTHER_DISK, mount_point=True)
        story.mirror.on_answer(back, AT)
        story.mirror.removals.pass_ended(AT)

    def test_of_the_one_that_is_not_back_it_is_told(self, story: Story):
        """It was told of the other one only, for as long as this one was away."""
        self.comes(story, "one", 50)
        assert self.told(story).startswith("two was mounted when it was published and is not mounted now: ")
        assert [event.kind for event in story.events] == 2 * [EventKind.HELD], "each disk was told of when it went"
        self.comes(story, "two", 51)
        assert self.told(story) == ""

    def test_so_it_is_where_another_folder_was_in_the_roots_place_meanwhile(self, story: Story):
        story.mirror.removals.source.found(RootIdentity(2, 9), AT)
        assert self.seems_unmounted(story)
        story.mirror.removals.source.found(RootIdentity(1, 1), AT)
        self.comes(story, "two", 51)
        assert not self.seems_unmounted(story)
        assert self.told(story).startswith("one was mounted when it was published and is not mounted now: ")

    def test_after_a_start_that_finds_no_other_ones_away_nothing_is_told_anew(self, story: Story, ledger: Ledger):
        """Neither that they are, which was told, nor that they are since then: a `sync` each hour said so each time."""
        told = story.mirror.removals.hold
        story = self.starts_again(ledger)
        story.sees("", two=folder(61))
        story.sees("", one=folder(60))
        story.mirror.removals.pass_ended(AT._replace(wall_ns=2 * WALL))
        assert (story.mirror.removals.hold, story.events) == (told, [])
        ledger.put(story.id, "three", made(52, mount_point=True))
        story.sees("", three=folder(62))
        assert [event.kind for event in story.events] == [EventKind.HELD]
        assert "one was mounted" in self.told(story)
        assert "(and 2 more)" in self.told(story)

    def test_after_a_start_that_finds_others_away_that_is_told(self, story: Story, ledger: Ledger):
        ledger.put(story.id, "three", made(52, mount_point=True))
        story = self.starts_again(ledger)
        story.sees("", one=folder(60), two=folder(61), three=folder(62))
        story.mirror.removals.pass_ended(AT)
        assert [event.message for event in story.events if event.kind is EventKind.HELD] == [self.told(story)]
        assert "(and 2 more)" in self.told(story)

    def test_what_is_decided_before_all_was_seen_again_is_no_hold_any_more(self, story: Story, ledger: Ledger):
        story = self.starts_again(ledger)
        story.sees("", one=folder(60), two=folder(61))
        story.mirror.removals.discard(AT)
        ledger.put(story.id, "three", made(52, mount_point=True))
        story.sees("", three=folder(62))
        story.mirror.removals.pass_ended(AT)
        assert [event.kind for event in story.events] == [EventKind.RELEASED, EventKind.HELD]
        assert self.told(story).startswith("three was mounted when it was published and is not mounted now: ")

    def starts_again(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        return story


@pytest.mark.parametrize(
    ("where", "disk", "told", "held"),
    [
        ("card", None, True, "card was mounted when it was published and is not mounted now"),
        ("card", Disk("card", 11), True, ""),
        ("card", Disk("card", 12), True, "card is on another disk now than when it was published"),
        (
            "card",
            Disk("card/sub", 13),
            True,
            "card/sub was a plain directory when it was published and is a mount point now",
        ),
        ("card", Disk("elsewhere", 11), True, ""),
        ("card", None, False, ""),
        ("plain", None, True, ""),
        (
            "plain",
            Disk("plain", 11),
            True,
            "plain was a plain directory when it was published and is a mount point now",
        ),
    ],
)
def test_what_is_gone_far_below_a_mount_point_is_judged_by_what_is_mounted_there(
    story: Story,
    where: str,
    disk: Disk | None,
    told: bool,  # noqa: FBT001
    held: str,
):
    """Where it is polled by itself, a directory of the same name below the mount point was looked at first."""
    ledger = story.ledger
    ledger.put(story.id, "", made(1))
    ledger.put(story.id, "card", made(50)._replace(device=11))
    ledger.put(story.id, "plain", made(51))
    for directory in (f"{where}/sub", f"{where}/sub/deep"):
        ledger.put(story.id, directory, made(52))
    ledger.put(story.id, f"{where}/sub/deep/a", published(PICTURE))
    there = Listing(f"{where}/sub/deep", Presence.PRESENT, {}, inode=60, device=DISK, disk=disk, disk_told=told)
    for seconds in (0, 60):
        story.mirror.on_answer(there, Moment(NOW + seconds, WALL + seconds * 10**9))
    hold = story.mirror.removals.hold
    assert ("" if hold is None else hold.message.partition(": ")[0]) == held
    deleted = story.queue.take(NOW + 60)
    assert (deleted is None) is bool(held)


class TestWhatWasSeenWhileADiskWasAwayAndArrivesWhenItIsBack:
    """It is below the mount point, out of sight, and nobody has deleted it."""

    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        ledger.put(story.id, "", made(1))
        ledger.put(story.id, "disk", made(50, mount_point=True))
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        story.sees("", disk=folder(60))
        story.mirror.removals.source.offered("disk/a", RootIdentity(1, 1))
        back = Listing("disk", Presence.PRESENT, {}, inode=50, device=OTHER_DISK, mount_point=True)
        story.mirror.on_answer(back, AT)
        return story

    def is_held(self, story: Story) -> bool:
        hold = story.mirror.removals.hold
        return hold is not None and hold.message.startswith("disk is mounted now, and some of what is published below")

    def arrives(self, story: Story) -> None:
        story.ledger.put(story.id, "disk/a", published(PICTURE))
        story.mirror.removals.source.arrived("disk/a", AT)

    def test_the_hold_goes_on(self, story: Story):
        self.arrives(story)
        story.mirror.removals.pass_ended(AT)
        assert self.is_held(story)

    def test_so_it_is_where_it_had_ended(self, story: Story):
        with mock.patch.object(story.queue, "occupied", return_value=True):
            story.mirror.removals.pass_ended(AT)
        assert story.mirror.removals.hold is None
        self.arrives(story)
        assert self.is_held(story)

    def test_nothing_is_held_for_a_directory_that_is_forgotten(self, story: Story):
        story.ledger.forget(story.id, "disk")
        story.mirror.removals.source.arrived("disk/a", AT)
        story.mirror.removals.pass_ended(AT)
        assert story.mirror.removals.hold is None


class TestADirectoryOnADiskThatIsBackIsLookedAtBeforeItsMountPoint:
    """As where a file was changed on it at once."""

    NUMBER = 0x801

    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        ledger.put(story.id, "", made(1))
        ledger.put(story.id, "disk", made(50)._replace(device=77))
        ledger.put(story.id, "disk/below", made(51))
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        story.sees("", disk=folder(60))
        story.mirror.removals.pass_ended(AT)
        assert story.mirror.removals.hold is not None
        return story

    def publishes(self, story: Story, disk: Disk | None) -> None:
        entries, root = {"a": ELSEWHERE}, RootIdentity(1, 1)
        story.mirror.on_answer(
            Listing("disk/below", Presence.PRESENT, entries, root=root, inode=51, device=self.NUMBER, disk=disk), AT
        )
        story.mirror.removals.source.offered("disk/below/a", RootIdentity(1, 1))
        story.ledger.put(story.id, "disk/below/a", published(PICTURE))
        story.mirror.removals.source.arrived("disk/below/a", AT)

    def is_held_when_all_was_seen(self, story: Story) -> bool:
        back = Listing("disk", Presence.PRESENT, {}, inode=50, device=self.NUMBER, mount_point=True, filesystem=77)
        story.mirror.on_answer(back, AT)
        story.mirror.removals.pass_ended(AT)
        return story.mirror.removals.hold is not None

    def test_nobody_is_asked_about_what_was_seen_on_it(self, story: Story):
        self.publishes(story, Disk("disk", 77))
        assert not self.is_held_when_all_was_seen(story)

    @pytest.mark.parametrize("known", [1, NUMBER], ids=["that it was one", "its number"])
    def test_nor_where_only_something_else_of_the_disk_was_told_when_it_was_published(self, story: Story, known: int):
        """As its mount point is judged: nobody may tell its identifier, or not have told it then."""
        story.ledger.put(story.id, "disk", made(50)._replace(device=known))
        self.publishes(story, Disk("disk", 77))
        assert not self.is_held_when_all_was_seen(story)

    @pytest.mark.parametrize("disk", [None, Disk("disk", 78), Disk("disk/below", 77), Disk("other", 77)])
    def test_what_was_seen_elsewhere_is_held(self, story: Story, disk: Disk | None):
        self.publishes(story, disk)
        assert self.is_held_when_all_was_seen(story)


class TestALinkToADiskThatIsAway:
    """With `symlinks: follow`, where what it leads to is not published under its own name."""

    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        for name in ("a", "b"):
            ledger.put(story.id, name, published(PICTURE))
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        story.sees("", a=ELSEWHERE, b=ELSEWHERE)
        story.sees("", a=fifo(), b=fifo())
        story.mirror.removals.pass_ended(AT)
        story.mirror.pump(AT)
        return story

    def told(self, story: Story) -> str:
        hold = story.mirror.removals.hold
        return "" if hold is None else hold.message

    def waiting(self, story: Story) -> list[Action | None]:
        return [story.queue.waiting(M, name) for name in ("a", "b")]

    def test_nothing_is_deleted(self, story: Story):
        assert story.mirror.removals.held == 2
        assert story.queue.take(NOW) is None
        assert self.told(story).startswith("a led to another disk when it was published and leads nowhere now")
        assert [event.kind for event in story.events] == [EventKind.HELD]

    def test_the_hold_ends_when_all_are_back(self, story: Story):
        story.sees("", a=ELSEWHERE)
        story.mirror.removals.pass_ended(AT)
        assert self.told(story).startswith("b led to another disk when it was published and leads nowhere now: ")
        story.sees("", b=ELSEWHERE)
        story.mirror.removals.pass_ended(AT)
        story.mirror.pump(AT)
        assert story.mirror.removals.hold is None
        assert self.waiting(story) == [None, None]

    def test_or_when_they_are_deleted_themselves(self, story: Story):
        story.sees("", a=None, b=ELSEWHERE)
        story.mirror.removals.pass_ended(AT)
        assert story.mirror.removals.hold is None
        story.sees("", a=None)
        story.mirror.pump(AT)
        assert [type(action) for action in self.waiting(story)] == [Delete, type(None)]

    def test_they_are_deleted_when_a_person_says_so(self, story: Story):
        story.mirror.removals.approve(AT)
        story.sees("", a=fifo(), b=fifo())
        story.mirror.pump(AT)
        assert [type(action) for action in self.waiting(story)] == [Delete, Delete]

    def test_they_are_kept_at_the_server_when_a_person_says_so(self, story: Story):
        story.mirror.removals.discard(AT)
        story.sees("", a=fifo(), b=fifo())
        assert [story.ledger.row(story.id, name) for name in ("a", "b")] == [None, None]
        assert story.queue.take(NOW) is None


class TestADiskOverWhatIsPublished:
    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        story = Story(ledger)
        story.mirror.removals.source.places.published = story.mirror.removals.source.places.root = RootIdentity(1, 1)
        ledger.put(story.id, "disk", made(50))
        story.sees("", disk=mounted(50))
        return story

    def unmounted(self, story: Story) -> HoldKind | None:
        """The hold after the disk is gone and everything was looked at."""
        story.mirror.on_answer(Listing("disk", Presence.PRESENT, {}, inode=50, device=DISK), AT)
        story.sees("", disk=folder(50))
        story.mirror.removals.pass_ended(AT)
        hold = story.mirror.removals.hold
        return None if hold is None else hold.kind

    def test_nothing_happens_when_it_goes_and_nothing_on_it_was_published(self, story: Story):
        assert self.unmounted(story) is None

    def publishes(self, story: Story, path: str) -> None:
        story.mirror.removals.source.offered(path, RootIdentity(1, 1))
        story.mirror.removals.source.arrived(path, AT)

    @pytest.mark.parametrize("path", ["disk2/a", "disk", "a"])
    def test_what_is_published_elsewhere_does_not_matter(self, story: Story, path: str):
        self.publishes(story, path)
        assert self.unmounted(story) is None

    def test_nor_does_what_was_seen_before_it_came(self, story: Story):
        story.mirror.removals.source.arrived("disk/a", AT)
        assert self.unmounted(story) is None

    def test_what_was_published_of_it_is_not_deleted_when_it_goes(self, story: Story):
        self.publishes(story, "disk/below/a")
        assert self.unmounted(story) is HoldKind.REPLACED_SOURCE
        story.mirror.removals.approve(AT)
        assert self.unmounted(story) is None

    def test_nor_what_arrives_when_it_has_gone(self, story: Story):
        story.mirror.removals.source.offered("disk/below/a", RootIdentity(1, 1))
        story.queue.offer(Upload(M, "disk/below/a", PICTURE.fingerprint))
        story.starts("disk/below/a")
        assert self.unmounted(story) is None
        story.mirror.removals.source.arrived("disk/below/a", AT)
        assert self.unmounted(story) is HoldKind.REPLACED_SOURCE

    def test_a_person_may_accept_it_while_it_is_there(self, story: Story):
        self.publishes(story, "disk/a")
        story.mirror.removals.approve(AT)
        row = story.ledger.row(story.id, "disk")
        assert row is not None
        assert row.device == 1
        assert story.mirror.removals.hold is None


@pytest.mark.parametrize("decided", ["approve", "discard"])
@pytest.mark.parametrize(("path", "seen"), [("card/b", True), ("b", False), ("card/known", False)])
def test_what_is_on_its_way_of_a_disk_is_not_deleted_where_another_one_is_accepted_before_it_is_known_to_have_arrived(
    ledger: Ledger, decided: str, path: str, *, seen: bool
):
    story = Story(ledger)
    places = story.mirror.removals.source.places
    places.published = places.root = RootIdentity(1, 1)
    ledger.put(story.id, "card", made(50, mount_point=True)._replace(device=1 << 40))
    ledger.put(story.id, "card/known", Row(Kind.FILE, PICTURE.fingerprint, b"", 0))
    ledger.begun.put(story.id, path, Intent(Kind.FILE, fingerprints=(PICTURE.fingerprint,)))
    other = Listing("card", Presence.PRESENT, {}, inode=50, device=OTHER_DISK, mount_point=True, filesystem=1 << 41)
    story.mirror.on_answer(other, AT)
    held = story.mirror.removals.hold
    assert held is not None
    getattr(story.mirror.removals, decided)(AT)
    assert story.mirror.removals.hold is None
    assert ledger.begun.elsewhere(story.id) == ({path: "card"} if seen else {})
    story.mirror.removals.source.arrived(path, AT)
    hold = story.mirror.removals.hold
    assert (hold.kind if hold is not None else None) is (HoldKind.REPLACED_SOURCE if seen else None)


def test_which_disk_a_new_directory_is_on_is_recorded_with_it(ledger: Ledger):
    """With `empty_dirs` the next pass took whatever was mounted there by then for it, and deleted what that lacked."""
    story = Story(ledger, empty_dirs=True)
    story.sees("", card=folder(50))
    there = Listing("card", Presence.PRESENT, {}, inode=50, device=OTHER_DISK, mount_point=True, filesystem=1 << 40)
    story.mirror.on_answer(there, AT)
    make = story.queue.waiting(M, "card")
    assert isinstance(make, MakeDir)
    assert (make.mount_point, make.filesystem) == (True, 1 << 40)


@pytest.mark.parametrize(("number", "held"), [(0x801, False), (0x811, True)])
def test_a_disk_whose_identifier_nobody_told_when_it_was_published_is_known_by_its_number(
    ledger: Ledger, number: int, *, held: bool
):
    """In a container without udev's database the kernel may tell the identifier from an upgrade on."""
    identifier = 1 << 40
    story = Story(ledger)
    ledger.put(story.id, "card", made(50)._replace(device=number))
    ledger.put(story.id, "card/a", published(PICTURE))
    there = Listing("card", Presence.PRESENT, {}, inode=50, device=0x801, mount_point=True, filesystem=identifier)
    story.mirror.on_answer(there, AT)
    assert (story.mirror.removals.hold is not None) is held
    row = ledger.row(story.id, "card")
    assert row is not None
    assert row.device == (number if held else identifier)


@pytest.mark.parametrize(("path", "device"), [("new.jpg", 11), ("card/new.jpg", MIXED), ("cards/new.jpg", 11)])
def test_what_a_crash_cut_off_while_a_disk_in_the_folder_was_away_was_seen_in_no_other_folder(
    ledger: Ledger, path: str, device: int
):
    """It is gone when the next start finds that it had arrived: files of another folder were told of, for good."""
    mapping, root = ledger.mappings.number(M, "there"), RootIdentity(1, 1)
    ledger.mappings.set_root(mapping, root)
    ledger.put(mapping, "card", made()._replace(device=11))
    away = Listing("card", Presence.PRESENT, {}, inode=50, device=DISK)

    def begin() -> Story:
        story = Story(ledger)
        story.mirror.removals.source.found(root, AT)
        story.mirror.on_answer(away, AT)
        story.mirror.removals.pass_ended(AT)
        return story

    begin().mirror.removals.source.offered(path, root)
    ledger.begun.put(mapping, path, Intent(Kind.FILE, fingerprints=(PICTURE.fingerprint,)))
    removals = begin().mirror.removals
    removals.source.arrived(path, AT)
    assert removals.hold is not None
    assert removals.hold.kind is HoldKind.REPLACED_SOURCE
    row = ledger.row(mapping, "card")
    assert row is not None
    assert row.device == device


def test_what_a_crash_cut_off_below_the_place_of_a_disk_is_out_of_sight_when_that_is_back_at_the_next_start(
    ledger: Ledger,
):
    """It was seen in the plain directory; the disk does not have it, and it passed for deleted."""
    mapping, root = ledger.mappings.number(M, "there"), RootIdentity(1, 1)
    ledger.mappings.set_root(mapping, root)
    ledger.put(mapping, "card", made()._replace(device=11))
    away = Listing("card", Presence.PRESENT, {}, inode=50, device=DISK)
    back = Listing("card", Presence.PRESENT, {}, inode=50, device=OTHER_DISK, mount_point=True, filesystem=11)

    def begin(seen: Listing) -> Story:
        story = Story(ledger)
        story.mirror.removals.source.found(root, AT)
        story.mirror.on_answer(seen, AT)
        story.mirror.removals.pass_ended(AT)
        return story

    begin(away).mirror.removals.source.offered("card/new.jpg", root)
    ledger.begun.put(mapping, "card/new.jpg", Intent(Kind.FILE, fingerprints=(PICTURE.fingerprint,)))
    removals = begin(back).mirror.removals
    assert removals.source.is_published
    removals.source.arrived("card/new.jpg", AT)
    assert removals.hold is not None
    row = ledger.row(mapping, "card")
    assert row is not None
    assert row.device == MIXED


class TestAnotherFolderInTheRootsPlace:
    OURS, OTHER, OTHER_DISKS = RootIdentity(1, 1), RootIdentity(2, 1), RootIdentity(2, 9)

    @pytest.fixture
    def story(self, ledger: Ledger) -> Story:
        ledger.put(ledger.mappings.number(M, "there"), "a", published(PICTURE))
        ledger.mappings.set_root(ledger.mappings.number(M, "there"), self.OURS)
        return Story(ledger)

    def hold(self, story: Story) -> HoldKind | None:
        hold = story.mirror.removals.hold
        return None if hold is None else hold.kind

    def comes(self, story: Story, root: RootIdentity) -> None:
        story.mirror.removals.source.found(root, AT)
        story.mirror.removals.pass_ended(AT)

    def test_nothing_is_left_of_it_when_it_goes_if_nothing_of_it_was_published(self, story: Story):
        self.comes(story, self.OTHER)
        assert self.hold(story) is HoldKind.REPLACED_SOURCE
        self.comes(story, self.OTHER_DISKS)
        assert self.hold(story) is HoldKind.UNMOUNTED_SOURCE
        story.mirror.removals.source.arrived("b", AT)
        self.comes(story, self.OURS)
        assert self.hold(story) is None

    @pytest.mark.parametrize("other", [OTHER, OTHER_DISKS])
    def test_what_was_published_of_it_is_not_deleted_when_it_goes(self, ledger: Ledger, story: Story, other):
        self.comes(story, other)
        story.mirror.removals.source.offered("b", other)
        story.mirror.removals.source.arrived("b", AT)
        assert self.hold(story) is HoldKind.TWO_SOURCES
        assert story.mirror.removals.source.unmounted == (other == self.OTHER_DISKS)
        self.comes(story, other)
        assert self.hold(story) is HoldKind.TWO_SOURCES
        self.comes(story, self.OURS)
        assert self.hold(story) is HoldKind.TWO_SOURCES
        assert not story.mirror.removals.source.unmounted
        told = story.mirror.removals.hold
        assert told is not None
        assert "files were published from another one in its place" in told.message
        again = Story(ledger)
        self.comes(again, self.OURS)
        assert self.hold(again) is HoldKind.TWO_SOURCES, "a restart does not release it"
        again.mirror.removals.discard(AT)
        self.comes(again, self.OURS)
        assert self.hold(again) is None

    def test_a_disk_that_the_other_one_lacks_is_not_told_of_in_its_place(self, ledger: Ledger, story: Story):
        ledger.put(story.id, "card", made(50, mount_point=True))
        self.comes(story, self.OTHER)
        story.mirror.on_answer(Listing("card", Presence.PRESENT, {}, inode=50, device=DISK, root=self.OTHER), AT)
        assert story.mirror.removals.source.places.any_swapped
        told = story.mirror.removals.hold
        assert told is not None
        assert "not the folder that was published before" in told.message

    @pytest.mark.parametrize("away", [False, True], ids=["all is mounted", "a disk in it is away"])
    @pytest.mark.parametrize("back", [False, True], ids=["it is still there", "ours is back"])
    def test_what_was_under_way_when_the_daemon_was_killed_was_seen_there(
        self, ledger: Ledger, story: Story, *, back: bool, away: bool
    ):
        """Where ours was back, it passed for a file of that, which was gone, and was deleted."""
        ledger.put(story.id, "card", made(50, mount_point=True))

        def lacks_disk(story: Story, root: RootIdentity) -> None:
            if away:
                story.mirror.on_answer(Listing("card", Presence.PRESENT, {}, inode=50, device=DISK, root=root), AT)

        self.comes(story, self.OTHER)
        lacks_disk(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        ledger.begun.put(story.id, "b", Intent(Kind.FILE, fingerprints=(PICTURE.fingerprint,)))
        if back:
            story.mirror.removals.source.found(self.OURS, AT)
            lacks_disk(story, self.OURS)
            story.mirror.removals.pass_ended(AT)
            assert self.hold(story) is (HoldKind.REPLACED_SOURCE if away else None)
        again = Story(ledger)
        self.comes(again, self.OURS)
        again.mirror.removals.source.arrived("b", AT)
        assert self.hold(again) is HoldKind.TWO_SOURCES
        assert not ledger.begun.elsewhere(story.id)

    def test_nor_what_arrives_when_it_has_gone(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        story.starts("b")
        self.comes(story, self.OURS)
        assert self.hold(story) is None
        story.mirror.removals.source.arrived("b", AT)
        assert self.hold(story) is HoldKind.TWO_SOURCES

    def test_what_goes_before_it_arrives_is_forgotten(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        self.comes(story, self.OURS)
        assert story.mirror.removals.source.places.any_elsewhere
        story.queue.withdraw(M, "b")
        self.comes(story, self.OURS)
        assert not story.ledger.begun.elsewhere(story.id)
        assert not story.mirror.removals.source.places.any_elsewhere

    def test_what_is_sent_of_the_right_one_in_the_end_is_no_second_source(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        self.comes(story, self.OURS)
        story.mirror.removals.source.offered("b", self.OURS)
        story.mirror.removals.source.arrived("b", AT)
        assert self.hold(story) is None

    def test_but_what_is_sent_of_the_other_one_already_is(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        story.mirror.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        assert story.mirror.queue.take(AT.now) is not None
        self.comes(story, self.OURS)
        story.mirror.removals.source.offered("b", self.OURS)
        story.mirror.removals.source.arrived("b", AT)
        assert self.hold(story) is HoldKind.TWO_SOURCES

    def test_what_is_gone_from_it_stays_held_when_something_of_it_arrives(self, story: Story):
        """Nobody would look for it again before the next rescan."""
        self.comes(story, self.OTHER_DISKS)
        story.mirror.removals.source.offered("b", self.OTHER_DISKS)
        story.mirror.removals.gone("a", PICTURE.kind, AT)
        story.mirror.removals.source.arrived("b", AT)
        assert self.hold(story) is HoldKind.TWO_SOURCES
        assert story.mirror.removals.held == 1
        assert story.mirror.removals.approve(AT) == f"{M}: 1 delete approved"

    def test_where_it_is_held_again_everything_is_looked_at_again(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        story.starts("b")
        self.comes(story, self.OURS)
        story.mirror.removals.gone("a", PICTURE.kind, AT)
        story.mirror.dirty.clear()
        story.mirror.dirty._deep_due = None
        story.mirror.removals.source.arrived("b", AT)
        assert story.mirror.removals.held == 0, "what is gone was noted when it could still be deleted"
        assert story.mirror.dirty.scanning_deep(AT.now)

    def test_a_disk_that_goes_besides_does_not_hide_it(self, story: Story):
        self.comes(story, self.OTHER)
        story.mirror.removals.source.offered("b", self.OTHER)
        story.mirror.removals.source.arrived("b", AT)
        story.ledger.put(story.id, "disk", made(mount_point=True))
        story.sees("", disk=folder())
        assert self.hold(story) is HoldKind.TWO_SOURCES
        story.sees("", disk=mounted())
        self.comes(story, self.OURS)
        assert self.hold(story) is HoldKind.TWO_SOURCES


def test_a_directory_in_the_place_of_a_file_that_kept_changing_waits_for_nothing(story: Story):
    """As a file again, it would be told to have been restless all the time."""
    story.mirror.waits.overtaken("a", AT)
    story.sees("", a=folder())
    assert not list(story.mirror.waits.restless())


def test_a_disk_that_took_its_mount_point_with_it_is_not_forgotten_where_deletes_are_kept(ledger: Ledger):
    story = Story(ledger, deletes=DeletePolicy.KEEP)
    for place in ("old", "old/below"):
        ledger.put(story.id, "old", made(mount_point=place == "old"))
        ledger.put(story.id, "old/below", made(mount_point=place == "old/below"))
        story.sees("", old=None)
        assert ledger.row(story.id, "old/a") is not None


def test_a_file_spared_for_a_rename_that_is_taken_back_is_deleted_with_its_directory(story: Story):
    story.sees("", old=None)
    story.mirror.pump(AT)
    assert isinstance(story.queue.waiting(M, "old/a"), Delete)
    story.sees("", b=PICTURE)
    assert story.queue.waiting(M, "old/a") is None
    story.sees("", b=None)
    story.mirror.pump(AT)
    story.absent("old")
    story.sees("", old=None)
    story.mirror.pump(AT)
    assert isinstance(story.queue.waiting(M, "old/a"), Delete)


def test_a_delete_in_a_directory_that_is_gone_waits_for_its_next_try(story: Story):
    story.ledger.failures.put(story.id, "old/a", failed(None, next_try_s=5.0))
    story.sees("", old=None)
    story.mirror.pump(AT)
    assert story.queue.waiting(M, "old/a") is None
    assert story.mirror.dirty.due_by(NOW + 5)


def test_a_delete_that_is_parked_is_not_tried_again_and_again(story: Story):
    story.ledger.failures.put(story.id, "old/a", failed(None, parked=True))
    story.sees("", old=None)
    story.mirror.pump(AT)
    assert story.queue.waiting(M, "old/a") is None
    assert not story.mirror.dirty.due_by(NOW + 1000)


def test_a_directory_that_is_there_again_is_spared(story: Story):
    story.sees("", old=None)
    story.sees("", old=folder(50))
    story.mirror.pump(AT)
    assert story.queue.waiting(M, "old/a") is None


# ── What arrives at the server while it goes from the disk ───────────────────────────────────────────────────────


def test_a_file_that_went_while_it_was_published_is_looked_at_again(story: Story):
    story.queue.offer(Upload(M, "old/b", PICTURE.fingerprint))
    story.starts("old/b")
    story.sees("old", a=PICTURE, b=None)
    assert story.mirror.offers.again == {"old/b"}


def test_a_directory_that_went_while_it_was_made_is_looked_at_again(story: Story):
    story.queue.offer(MakeDir(M, "new", 51))
    story.starts("new")
    story.mirror.on_answer(Listing("", Presence.PRESENT, {}, None, inode=1), AT)
    assert story.mirror.offers.again == {"new"}


def test_nothing_is_made_below_a_new_directory_that_is_gone_again(story: Story):
    """A server that lacks what is above makes that, too; a daemon that dies in between would know nothing of it."""
    for path in ("new", "new/sub"):
        story.queue.offer(MakeDir(M, path, 51))
    story.sees("", new=None)
    assert not story.queue.busy_below(M, "new")


def test_what_waits_to_be_sent_and_is_gone_when_its_directory_is_listed_waits_no_more(story: Story):
    """More names than are remembered of a directory: it is listed, and has nothing that tells of what is not there.

    While a server was away, `status` told all of them as waiting, for as long as it was.
    """
    fresh, other, later = file(inode=77), file(inode=78), Moment(NOW + 10, WALL + 10 * S)

    def answers(directory: str, names: str | None, at: Moment = later, **entries: Entry) -> None:
        asked = None if names is None else frozenset(names.split())
        story.mirror.on_answer(Listing(directory, Presence.PRESENT, entries, asked, inode=1, device=DISK), at)

    for at in (AT, later):
        answers("old", "b c new", at, b=fresh, c=other, new=folder(51))
        answers("old/new", "d", at, d=file(inode=79))
    assert all(story.queue.waiting(M, f"old/{path}") for path in ("b", "c", "new/d"))
    story.disk.names.clear()
    answers("old", None, a=PICTURE, c=other)
    assert story.disk.names == [("old", frozenset(["b", "new"]))]
    answers("old", "b new")
    assert not story.queue.busy_below(M, "old/b")
    assert not story.queue.busy_below(M, "old/new")
    assert story.mirror.waits.is_noted("old/c")
    story.disk.names.clear()
    answers("old", None, a=PICTURE, c=other)
    assert story.disk.names == []


@pytest.mark.parametrize("what", ["more files than are timed", "an empty directory", "a directory that was renamed"])
def test_whatever_waits_to_be_brought_and_is_gone_when_its_directory_is_listed_is_asked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, what: str
):
    """For as long as a server was away, `status` told of it, and then it was made there, to be removed."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.OFFERED_MAX", 1)
    monkeypatch.setattr("ftpsyncd.mapping.waits.PATHS_AT_ONCE", 1)
    story, later = Story(ledger, empty_dirs=True), Moment(NOW + 10, WALL + 10 * S)

    def lists(directory: str, at: Moment = later, **entries: Entry) -> None:
        story.mirror.on_answer(Listing(directory, Presence.PRESENT, entries, None, inode=50, device=DISK), at)
        while story.mirror.answers.comparing:
            story.mirror.answers.go_on(at)

    if what == "more files than are timed":
        for at in (AT, later):
            story.mirror.on_answer(
                Listing("old", Presence.PRESENT, {"b": file(inode=77), "c": file(inode=78)}, frozenset("bc")), at
            )
    elif what == "an empty directory":
        story.sees("old", b=folder(51), c=folder(52))
        lists("old/b")
        lists("old/c")
    else:
        story.queue.offer(RenameDir(M, "old/b", "old/x", 51))
        story.queue.offer(RenameDir(M, "old/c", "old/y", 52))
    story.disk.names.clear()
    lists("old", a=PICTURE)
    assert story.disk.names == [("old", frozenset("bc"))]
    story.mirror.on_answer(Listing("old", Presence.PRESENT, {}, frozenset("bc"), inode=50, device=DISK), later)
    assert not story.queue.busy_below(M, "old/b")
    assert not story.queue.busy_below(M, "old/c")


def test_a_file_whose_directory_went_while_it_was_published_is_looked_at_again(story: Story):
    story.queue.offer(Upload(M, "old/b", PICTURE.fingerprint))
    story.starts("old/b")
    story.absent("old")
    assert story.mirror.offers.again == {"old/b"}


def test_a_file_that_is_there_while_it_is_published_needs_no_other_look(story: Story):
    story.queue.offer(Upload(M, "old/a", PICTURE.fingerprint))
    story.starts("old/a")
    story.sees("old", a=PICTURE)
    assert not story.mirror.offers.again


def test_a_file_that_is_as_it_was_while_its_successor_is_published_is_looked_at_again(story: Story):
    """Until that has arrived, the ledger has it as published."""
    story.queue.offer(Upload(M, "old/a", PICTURE.fingerprint._replace(inode=99), replaces=True))
    story.starts("old/a")
    story.sees("old", a=PICTURE)
    assert story.mirror.offers.again == {"old/a"}


def test_a_file_that_is_there_again_while_it_is_renamed_at_the_server_is_looked_at_again(story: Story):
    story.queue.offer(Rename(M, "old/b", "old/a", PICTURE.fingerprint, b""))
    story.starts("old/b")
    story.sees("old", b=PICTURE)
    assert not story.mirror.offers.again
    story.sees("old", a=PICTURE)
    assert story.mirror.offers.again == {"old/a"}


def test_a_directory_that_left_for_a_moment_is_not_pending_for_ever(story: Story):
    """Its return has to end its absence, though nothing in the ledger differs."""
    story.sees("", old=None)
    assert story.mirror.removals.absent.is_doomed("old")
    story.sees("", old=folder(50))
    assert not story.mirror.removals.absent.is_doomed("old")


@pytest.mark.parametrize("row", [made(0), made(50), None], ids=["adopted", "known", "not there yet"])
def test_a_folder_that_cannot_be_read_is_told_once_however_often_the_one_above_is_looked_at(
    story: Story, row: Row | None
):
    """That it is there says nothing about what is in it; only a listing of its own ends the trouble."""
    if row is None:
        story.ledger.forget_tree(story.id, "old")
    else:
        story.ledger.put(story.id, "old", row)
    closed = Listing("old", Presence.UNREADABLE, {}, None, problem="Permission denied")
    for _ in range(3):
        story.sees("", old=folder())
        story.mirror.on_answer(closed, AT)
    assert [event.path for event in story.events if event.kind is EventKind.FAILED] == ["old"]
    story.lists("old", a=PICTURE)
    story.mirror.on_answer(closed, AT)
    assert [event.path for event in story.events if event.kind is EventKind.FAILED] == ["old", "old"]


def test_what_cannot_be_read_waits_as_a_file_does_so_that_somebody_is_told(story: Story):
    """No alert, no rule and no check ever told of a folder that the daemon may not read, nor of the files in it."""
    assert mapping_status(story.mirror, AT).oldest_pending_s is None
    closed = Listing("old", Presence.UNREADABLE, {}, None, problem="Permission denied")
    name = Listing("", Presence.PRESENT, {}, frozenset({"new"}), unreadable={"new": "Input/output error"})
    for at in (AT, Moment(NOW + 1000, WALL)):
        story.mirror.on_answer(closed, at)
    story.mirror.on_answer(name, Moment(NOW + 2000, WALL))
    status = mapping_status(story.mirror, Moment(NOW + 4000, WALL))
    assert (status.failed, status.parked, status.oldest_pending_s) == (2, 0, 4000.0)
    story.lists("old")
    assert story.mirror.unreadable.longest() == (NOW + 2000, "")
    story.lists("", old=folder(), new=folder())
    story.lists("new")
    assert mapping_status(story.mirror, Moment(NOW + 4000, WALL)).oldest_pending_s is None


def test_files_that_may_have_been_made_anew_are_asked_for_some_at_a_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    """Nothing else of a disk is looked at during a request; a pass is not over before the last one is answered."""
    monkeypatch.setattr("ftpsyncd.mapping.looks.NAMES_AT_ONCE", 2)
    mapping, files = ledger.mappings.number(M, "there"), {f"{n}.jpg": file(mtime=5 * 10**9, inode=n) for n in range(5)}
    for name, entry in files.items():
        ledger.put(mapping, f"old/{name}", published(entry)._replace(ctime_ns=1))
    ledger.forget(mapping, "old/a")
    story = Story(ledger)
    story.lists("old", **files)
    asked: set[str] = set()
    for most in (2, 2, 1):
        [(directory, some)] = story.disk.names
        assert (directory, len(some)) == ("old", most)
        assert story.mirror.busy_looking(NOW)
        story.disk.names.clear()
        story.sees("old", **{name: files[name]._replace(born_ns=2 if name == "3.jpg" else 1) for name in some})
        asked |= some
    assert asked == set(files)
    assert not story.disk.names
    assert not story.mirror.looks
    assert story.mirror.waits.pending.keys() == {"old/3.jpg"}
    rows = ledger.rows(mapping, "old")
    assert rows.pop("3.jpg").fingerprint.is_doubted
    assert {row.ctime_ns for row in rows.values()} == {files["1.jpg"].ctime_ns}
    story.lists("old", **files)
    assert not story.disk.names


def test_a_hold_that_outlives_a_restart_is_told_also_where_what_it_is_about_cannot_be_read(ledger: Ledger):
    """The mapping was in sync, and nobody told of a decision that was to be made, until something else went."""
    ledger.decisions.set_hold(ledger.mappings.number(M, "there"), Hold(HoldKind.MASS_DELETE, WALL, "Too many."))
    story = Story(ledger)
    story.mirror.on_answer(Listing("old", Presence.UNREADABLE, {}, None, problem="Permission denied"), AT)
    story.mirror.looks.pass_ended(AT)
    story.mirror.removals.pass_ended(AT)
    told = mapping_status(story.mirror, AT)
    assert (told.state, told.held, told.message) == (MappingState.HELD, 0, "Too many.")
    story.lists("old", a=PICTURE)
    story.mirror.removals.pass_ended(AT)
    story.mirror.removals.all_compared(AT)
    assert story.mirror.removals.hold is None


@pytest.mark.parametrize("what", ["a directory", "a name"])
def test_what_cannot_be_read_is_looked_at_again_ever_more_rarely_until_it_can(story: Story, what: str):
    closed = Listing("old", Presence.UNREADABLE, {}, None, problem="Input/output error")
    if what == "a name":
        closed = Listing("", Presence.PRESENT, {}, frozenset({"old"}), unreadable={"old": "Input/output error"})
    now, pauses = NOW, []
    for _ in range(12):
        story.mirror.on_answer(closed, Moment(now, WALL))
        due = story.mirror.next_due()
        assert due is not None
        pauses.append(due - now)
        now = due
        story.mirror.pump(Moment(now, WALL))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    story.sees("", old=folder())
    story.lists("old", a=PICTURE)
    assert not story.mirror.unreadable.problems
    assert [name for _, name in story.mirror.dirty._frontier] == ["old"], "what is below it is looked at, too"
    story.mirror.on_answer(closed, Moment(now, WALL))
    assert story.mirror.dirty.due_by(now + 1)


def test_more_than_can_be_noted_is_looked_at_again_with_its_directory(story: Story, monkeypatch: pytest.MonkeyPatch):
    """It is not left to the next rescan, and costs no memory."""
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 2)
    names = ("a", "b", "c", "d")
    closed = Listing("", Presence.PRESENT, {}, frozenset(names), unreadable=dict.fromkeys(names, "Input/output error"))
    now, pauses = NOW, []
    for _ in range(11):
        story.mirror.on_answer(closed, Moment(now, WALL))
        assert set(story.mirror.unreadable.problems) == {"a", "b"}
        due = story.mirror.dirty._marks[""].whole_due
        assert due is not None
        pauses.append(due - now)
        now = due
        story.mirror.pump(Moment(now, WALL))
        story.mirror.looks.answered(Listing("", Presence.PRESENT, {}))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    story.lists("", old=folder())
    assert not story.mirror.unreadable.problems
    story.mirror.on_answer(closed, Moment(now, WALL))
    assert story.mirror.dirty._marks[""].whole_due == now + 1, "it is over, and begins anew"


def test_when_a_directory_that_could_not_be_noted_can_be_read_all_below_it_is_looked_at(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 1)
    for directory in ("old", "new"):
        closed = Listing(directory, Presence.UNREADABLE, {}, None, problem="Permission denied")
        story.mirror.on_answer(closed, AT)
    assert set(story.mirror.unreadable.problems) == {"old"}
    assert story.mirror.dirty._deep_due == NOW + LONGEST_AGAIN_S


def test_a_pass_does_not_wait_for_what_cannot_be_read(story: Story):
    story = Story(story.ledger, one_pass=True)
    story.mirror.on_answer(Listing("old", Presence.UNREADABLE, {}, None, problem="Permission denied"), AT)
    assert story.mirror.next_due() is None


def test_a_pass_does_not_wait_for_what_cannot_be_read_and_is_too_much_to_be_noted(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 1)
    story = Story(story.ledger, one_pass=True)
    unreadable = dict.fromkeys("abc", "Input/output error")
    story.mirror.on_answer(Listing("", Presence.PRESENT, {}, frozenset("abc"), unreadable=unreadable), AT)
    assert story.mirror.next_due() is None


def test_what_failed_in_a_directory_that_is_gone_and_was_never_published_is_no_problem_any_more(story: Story):
    """Parked, it would be told of for ever: nothing in the ledger has the directory looked at again."""
    story.ledger.failures.put(story.id, "new/a", CHANGED_THERE)
    story.ledger.failures.put(story.id, "newer/a", CHANGED_THERE)
    story.mirror.on_answer(Listing("new", Presence.ABSENT, {}, None), AT)
    assert story.ledger.failures.of(story.id, "new/a") is None
    assert story.ledger.failures.of(story.id, "newer/a") is not None


def test_a_directory_where_a_file_was_is_not_read_again_and_again_until_the_file_may_go(story: Story):
    story = Story(story.ledger, delete_after_s=10.0)
    story.ledger.put(story.id, "a", published(file(inode=8)))
    story.sees("", a=folder())
    for seconds in range(int(story.mirror.spec.delete_after_s)):
        story.mirror.pump(Moment(NOW + seconds, WALL))
    assert story.disk.names == []
    story.mirror.pump(Moment(NOW + story.mirror.spec.delete_after_s, WALL))
    assert story.disk.names == [("", frozenset({"a"}))]


class TestWhatWasGoneBeforeItWasLookedFor:
    """A directory's ctime says since when at least: after downtime, nothing waits for `delete_after` once more."""

    @pytest.fixture
    def down(self, ledger: Ledger) -> Story:
        story = Story(ledger, delete_after_s=10.0)
        story.mirror.watcher = WatchReport("native", None, "")
        story.mirror.dirty.mark_deep("", NOW)
        story.mirror.pump(AT)
        return story

    @staticmethod
    def finds(
        story: Story,
        directory: str,
        entries: dict[str, Entry],
        changed_s_ago: float,
        at: Moment = AT,
        *,
        inode: int = 50,
    ) -> None:
        changed = at.wall_ns - round(changed_s_ago * 1e9)
        listing = Listing(
            directory,
            Presence.PRESENT,
            entries,
            inode=inode if directory else 1,
            device=DISK,
            taken_wall_ns=at.wall_ns,
            changed_wall_ns=changed,
        )
        story.mirror.on_answer(listing, at)
        story.mirror.pump(at)

    def test_it_is_deleted_when_the_pass_is_over(self, down: Story):
        self.finds(down, "", {"old": folder(50)}, 500)
        self.finds(down, "old", {}, 10.0)
        assert down.queue.take(NOW) is None
        down.mirror.pump(AT)
        down.sees("old", a=None)
        down.mirror.pump(AT)
        assert isinstance(down.starts("old/a"), Delete)

    def test_not_if_it_may_have_gone_a_moment_ago(self, down: Story):
        self.finds(down, "", {"old": folder(50)}, 500)
        self.finds(down, "old", {}, 9.9)
        down.mirror.pump(AT)
        assert down.disk.names == []
        down.mirror.pump(Moment(NOW + 0.2, WALL))
        assert down.disk.names == [("old", frozenset("a"))]

    def test_not_if_the_pass_finds_it_under_another_name(self, down: Story):
        self.finds(down, "", {"old": folder(50), "new": folder(51)}, 500)
        self.finds(down, "old", {}, 400)
        self.finds(down, "new", {"a": PICTURE}, 400)
        for name in ("old", "new"):
            down.sees(name, a=PICTURE if name == "new" else None)
        assert isinstance(down.queue.waiting(M, "new/a"), Rename)
        assert down.queue.waiting(M, "old/a") is None

    @pytest.mark.parametrize(
        ("kind", "trusted"), [("polling", True), ("native", False)], ids=["network file system", "clock stepped"]
    )
    def test_not_by_a_clock_that_may_be_another(self, down: Story, *, kind: str, trusted: bool):
        down.mirror.watcher = WatchReport(kind, None, "")
        at = AT._replace(wall_trusted=trusted)
        self.finds(down, "", {"old": folder(50)}, 500, at)
        self.finds(down, "old", {}, 500, at)
        down.mirror.pump(at)
        assert down.disk.names == []

    def test_not_for_longer_than_the_clock_was_seen_to_go(self, down: Story):
        """Set forward by an hour, it makes a minute an hour."""
        at = AT._replace(wall_goes_s=9.0)
        self.finds(down, "", {"old": folder(50)}, 500, at)
        self.finds(down, "old", {}, 3600.0, at)
        assert down.mirror.removals.absent.since("old/a") == NOW - 9

    def test_not_if_it_was_published_later_than_that(self, down: Story):
        """From another disk, in whose place this folder is."""
        down.ledger.put(down.id, "old/a", published(PICTURE)._replace(published_ns=WALL - 5 * S))
        self.finds(down, "", {"old": folder(50)}, 500)
        self.finds(down, "old", {}, 500)
        assert down.mirror.removals.absent.since("old/a") == NOW - 5

    def test_not_if_another_folder_is_in_the_place_of_all(self, down: Story):
        """It never had it, however long it has been as it is."""
        down.mirror.removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
        self.finds(down, "", {}, 500)
        assert down.mirror.removals.absent.since("old") == NOW

    @pytest.mark.parametrize("noticed", [True, False])
    def test_not_if_another_directory_is_in_the_place_of_its_own(self, down: Story, *, noticed: bool):
        if noticed:
            self.finds(down, "", {"old": folder(51)}, 500)
        self.finds(down, "old", {}, 500, inode=51)
        down.mirror.pump(AT)
        assert down.mirror.removals.absent.since("old/a") == NOW
        assert down.disk.names == []


@pytest.mark.parametrize(("goes_s", "is_quiet"), [(math.inf, True), (60.0, True), (12.5, False), (9.0, False)])
def test_a_look_right_after_the_clock_was_set_does_not_prove_later_that_a_file_is_at_rest(
    story: Story, goes_s: float, *, is_quiet: bool
):
    """Of a large directory, it is compared to its end some seconds later: by then that clock is trusted again."""
    seen_ns = WALL - 10 * S
    listing = Listing("", Presence.PRESENT, {"a.jpg": file(inode=99)}, inode=1, device=DISK, taken_wall_ns=seen_ns)
    story.mirror.watcher = WatchReport("native", None, "")
    story.mirror.dirty.mark_deep("", NOW)
    at = AT._replace(wall_goes_s=goes_s)
    story.mirror.pump(at)
    story.mirror.on_answer(listing, at)
    assert isinstance(story.queue.waiting(M, "a.jpg"), Upload) is is_quiet


def test_a_file_that_never_comes_to_rest_is_told_once_after_ten_minutes_and_never_offered(story: Story):
    for second in range(0, 1500, 2):
        at = Moment(NOW + second, WALL + second * 10**9)
        growing = file(1000 + second, at.wall_ns, changed_s_ago=-second)
        listing = Listing(
            "",
            Presence.PRESENT,
            {"film.jpg": growing},
            frozenset({"film.jpg"}),
            inode=1,
            device=DISK,
            taken_wall_ns=at.wall_ns,
        )
        story.mirror.on_answer(listing, at)
        assert story.queue.take(at.now) is None
        told = [event for event in story.events if event.path == "film.jpg"]
        assert len(told) == (second > RESTLESS_S)
    assert "has not come to rest for 10 minutes" in told[0].message
    assert "stays as it is for 2 s (`settle`)" in told[0].remedy
    assert RESTLESS_S == 600


class TestOtherNames:
    """A file of two names: one is published as old/a, the other is b."""

    def asked(self, story: Story) -> set[tuple[str, str]]:
        story.mirror.pump(AT)
        names, story.disk.names = story.disk.names, []
        for directory, some in names:
            story.mirror.looks.answered(Listing(directory, Presence.PRESENT, {}, some))
        return {(directory, name) for directory, some in names for name in some}

    def test_a_change_that_is_seen_has_the_other_name_looked_at_once(self, story: Story):
        changed = file(20, 2)._replace(linked=True)
        story.sees("", b=changed)
        assert self.asked(story) == {("old", "a")}
        story.sees("", b=changed)
        assert self.asked(story) == set()
        story.sees("", b=file(20, 3)._replace(linked=True))
        assert self.asked(story) == {("old", "a")}

    def test_a_file_in_the_place_of_the_directory_of_the_other_name_leads_there_once(self, ledger: Ledger):
        """The two sent each other in circles until the directory was deleted: a plan did not end, nor a daemon rest."""
        story, changed = Story(ledger, delete_after_s=10.0), file(20, 2)._replace(linked=True)
        story.sees("", old=changed)
        assert self.asked(story) == {("old", "a")}
        for _ in range(2):
            story.absent("old")
            assert self.asked(story) == {("", "old")}
            story.sees("", old=changed)
            assert self.asked(story) == set()

    def test_a_name_that_is_new_and_nothing_else_has_no_other_looked_at(self, story: Story):
        story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        story.sees("", b=PICTURE._replace(linked=True))
        assert self.asked(story) == set()

    @pytest.mark.parametrize("known_by", ["a failure", "what waits", "what runs"])
    @pytest.mark.parametrize("now", [None, folder(), file(inode=8)], ids=["nothing", "a directory", "another file"])
    def test_what_has_the_place_of_a_name_leads_to_the_other(self, story: Story, known_by: str, now: Entry | None):
        if known_by == "a failure":
            story.ledger.failures.put(story.id, "b", failed(PICTURE, parked=True))
        else:
            story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        if known_by == "what runs":
            story.starts("b")
        story.sees("", b=now)
        assert ("old", "a") in self.asked(story)

    def test_a_worker_that_finds_another_file_leads_to_the_other(self, story: Story):
        story.queue.offer(Upload(M, "b", PICTURE.fingerprint))
        action = story.starts("b")
        story.queue.finish(action)
        Outcomes().apply(story.mirror, Failed(action, FileChangedError("It changed since it was planned.")), AT)
        assert self.asked(story) == {("old", "a")}

    def test_what_went_with_its_directory_leads_to_the_other_once(self, story: Story):
        story.ledger.put(story.id, "gone", made(60))
        story.ledger.put(story.id, "gone/sub", made(61))
        story.ledger.put(story.id, "gone/sub/b", published(PICTURE))
        story = Story(story.ledger, delete_after_s=10.0)
        story.sees("", gone=None)
        assert self.asked(story) == {("old", "a")}
        story.sees("", gone=None)
        assert self.asked(story) == set()


def webcam(story: Story, seconds: int) -> list[Event]:
    """A picture that is renewed every four seconds, and takes longer to be sent; what is told of it."""
    outcomes = Outcomes()
    story.ledger.put(story.id, "", made(1))

    def seen(second: int, version: int) -> Moment:
        at = Moment(NOW + second, WALL + second * 10**9)
        picture = file(1000 + version, WALL + version + 1, changed_s_ago=-version)
        there = {"webcam.jpg": picture}
        story.mirror.on_answer(Listing("", Presence.PRESENT, there, frozenset(there), inode=1, device=DISK), at)
        return at

    for second in range(0, seconds, 4):
        seen(second, second)
        if not story.mirror.waits.any_unsettled():
            break
        at = seen(second + 3, second)
        action = story.queue.take(at.now)
        assert action is not None
        outcomes.apply(story.mirror, Failed(action, FileChangedError("It changed while it was sent.")), at)
        story.queue.finish(action)
    return [event for event in story.events if event.path == "webcam.jpg"]


def test_a_file_that_is_always_replaced_before_it_has_been_sent_is_told_once_after_ten_minutes(story: Story):
    assert webcam(story, 590) == []
    [told] = webcam(story, 1500)
    assert "no version of it stayed for long enough to be sent" in told.message
    assert told.remedy


def test_one_pass_does_not_wait_for_ever_for_a_file_that_is_always_replaced(story: Story):
    story = Story(story.ledger, one_pass=True)
    [told] = webcam(story, 100)
    assert told.kind is EventKind.FAILED
    assert not story.mirror.waits.any_unsettled()
    assert story.ledger.failures.of(story.id, "webcam.jpg") is not None


@pytest.mark.parametrize("one_pass", [True, False])
def test_what_one_pass_publishes_does_not_count_when_it_is_decided_whether_deletes_are_too_many(
    story: Story, *, one_pass: bool
):
    """How far it was by then is chance: a plan told that the delete is held, and the pass deleted."""
    story = Story(story.ledger, max_deletes=DeleteLimit(percent=50), one_pass=one_pass)
    story.ledger.put(story.id, "new", published(file(inode=9)))
    story.mirror.removals.pass_ended(AT)
    story.sees("old", a=None)
    assert isinstance(story.queue.waiting(M, "old/a"), Delete) != one_pass
    assert (story.mirror.removals.hold is not None) == one_pass


def test_one_pass_judges_all_that_is_gone_together(story: Story):
    """Of what was looked at twice before the end, some was deleted, and only the rest of it was too much."""
    story = Story(story.ledger, max_deletes=DeleteLimit(1), one_pass=True)
    story.ledger.put(story.id, "b", published(file(inode=9)))
    story.mirror.dirty.mark_deep("", NOW)
    story.mirror.pump(AT)
    for _ in range(2):
        story.sees("old", a=None)
    assert story.queue.waiting(M, "old/a") is None
    story.lists("", old=folder())
    story.mirror.pump(AT)
    story.lists("old")
    story.mirror.pump(AT)
    story.mirror.pump(AT)
    assert set(story.disk.names) == {("old", frozenset({"a"})), ("", frozenset({"b"}))}
    story.sees("old", a=None)
    story.sees("", b=None)
    assert story.mirror.removals.hold is not None
    assert not story.queue.load(M).waiting


@pytest.mark.parametrize("one_pass", [True, False])
def test_nor_does_what_was_deleted_a_moment_ago(story: Story, *, one_pass: bool):
    """The share became smaller with each of them."""
    for number in range(3):
        story.ledger.put(story.id, f"old/{number}", published(file(inode=9 + number)))
    story = Story(story.ledger, max_deletes=DeleteLimit(percent=50), one_pass=one_pass)
    story.mirror.removals.pass_ended(AT)
    for name in ("0", "1"):
        story.sees("old", **{name: None})
        delete = story.starts(f"old/{name}")
        story.queue.finish(delete)
        apply(story.mirror, Done(delete, Did.DELETED), AT, lost=0)
    assert story.mirror.removals.hold is None
    story.sees("old", **{"2": None})
    assert story.mirror.removals.hold is not None


def test_what_was_deleted_a_minute_ago_is_not_part_of_what_there_is(story: Story):
    for number in range(3):
        story.ledger.put(story.id, f"old/{number}", published(file(inode=9 + number)))
    story = Story(story.ledger, max_deletes=DeleteLimit(percent=50))
    for name in ("0", "1"):
        story.sees("old", **{name: None})
        delete = story.starts(f"old/{name}")
        story.queue.finish(delete)
        apply(story.mirror, Done(delete, Did.DELETED), AT, lost=0)
    gone = Listing("", Presence.PRESENT, {}, frozenset({"old"}), inode=1, device=DISK)
    story.mirror.on_answer(gone, later(WINDOW_S))
    assert story.mirror.removals.hold is not None


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "nothing had failed"), (1, "1 failed path is tried again"), (2, "2 failed paths are tried again")],
)
def test_a_retry_says_what_it_tries(story: Story, count: int, said: str):
    for number in range(count):
        story.ledger.failures.put(story.id, f"{number}.jpg", failed(None))
    story.ledger.commit()
    told = again.retry(story.mirror, None, AT)
    assert said in told
    assert ("web is tried now" in told) == (not count)


def test_what_failed_is_counted_as_failed_also_after_another_look(story: Story):
    """As it is right after the failure: nothing is about to be done, for an hour perhaps."""
    story.ledger.failures.put(story.id, "a.jpg", failed(PICTURE, next_try_s=3600.0))
    story.mirror.dirty.clear()
    story.mirror.looks.passes = 1
    story.sees("", **{"a.jpg": PICTURE})
    status = mapping_status(story.mirror, AT)
    assert (status.state, status.pending, status.failed, status.message) == (MappingState.IN_SYNC, 0, 1, "")
    assert status.oldest_pending_s is not None
    # A file that is not at rest is another matter.
    there, name = {"b.jpg": file(inode=8)}, frozenset({"b.jpg"})
    story.mirror.on_answer(Listing("", Presence.PRESENT, there, name, inode=1, device=DISK, busy=name), AT)
    status = mapping_status(story.mirror, AT)
    assert (status.state, status.pending, status.failed) == (MappingState.SETTLING, 1, 1)
    assert status.message == "b.jpg: a program has it open for writing"


def looked_at(story: Story) -> tuple[set[str], set[str]]:
    """The paths and the whole directories that the disk is asked for."""
    story.mirror.pump(AT)
    names = {f"{directory}/{name}".lstrip("/") for directory, asked in story.disk.names for name in asked}
    return names, set(story.disk.whole)


def test_a_retry_of_a_folder_tries_all_that_failed_in_it(story: Story):
    story.ledger.put(story.id, "day", made())
    for path in ("day/a.jpg", "day/deep/b.jpg", "daylight/c.jpg", "c.jpg"):
        story.ledger.failures.put(story.id, path, failed(None))
    assert again.retry(story.mirror, "day", AT) == f"{M}: day: 2 failed paths are tried again"
    assert sorted(path for path, _ in story.ledger.failures.worst(story.id, 9)) == ["c.jpg", "daylight/c.jpg"]
    assert looked_at(story) == ({"day"}, {"day"})


def test_a_retry_of_a_folder_that_failed_itself_counts_it(story: Story):
    for path in ("day", "day/a.jpg"):
        story.ledger.failures.put(story.id, path, failed(None))
    assert again.retry(story.mirror, "day", AT) == f"{M}: day: 2 failed paths are tried again"
    assert looked_at(story) == ({"day"}, set()), "not recorded, it is entered when it is found"


def test_a_retry_of_a_file_tries_it(story: Story):
    story.ledger.failures.put(story.id, "a.jpg", failed(None))
    assert again.retry(story.mirror, "a.jpg", AT) == f"{M}: a.jpg is tried again"
    assert story.ledger.failures.of(story.id, "a.jpg") is None
    assert looked_at(story) == ({"a.jpg"}, set())


def test_a_retry_of_what_cannot_be_read_tries_it(story: Story):
    story.ledger.put(story.id, "", made(1))
    locked = Listing("", Presence.PRESENT, {}, None, inode=1, device=DISK, unreadable={"locked": "Permission denied"})
    story.mirror.on_answer(locked, AT)
    assert again.retry(story.mirror, "locked", AT) == f"{M}: locked is tried again"


def test_a_retry_of_everything_counts_what_cannot_be_read_as_the_status_does(story: Story):
    """It said that nothing had failed, beside a status with a path that had."""
    story.ledger.put(story.id, "", made(1))
    story.ledger.failures.put(story.id, "a.jpg", failed(PICTURE))
    there, why = {"a.jpg": PICTURE}, {"locked": "Permission denied"}
    story.mirror.on_answer(Listing("", Presence.PRESENT, there, None, inode=1, device=DISK, unreadable=why), AT)
    assert mapping_status(story.mirror, AT).failed == 2
    assert again.retry(story.mirror, None, AT) == f"{M}: 2 failed paths are tried again"
    assert again.retry(story.mirror, None, AT) == f"{M}: 1 failed path is tried again", (
        "it is not known yet whether it can"
    )
    assert looked_at(story)[1] == {""}


@pytest.mark.parametrize(("path", "said"), [(None, ""), ("day", "day: ")])
def test_a_directory_that_cannot_be_read_and_that_the_server_refused_is_one_path_that_failed(
    story: Story, path: str | None, said: str
):
    story.ledger.put(story.id, "", made(1))
    story.ledger.put(story.id, "day", made())
    story.ledger.failures.put(story.id, "day/locked", failed(None))
    why = {"locked": "Permission denied", "other": "Permission denied"}
    story.mirror.on_answer(Listing("day", Presence.PRESENT, {}, None, inode=2, device=DISK, unreadable=why), AT)
    assert mapping_status(story.mirror, AT).failed == 2
    assert again.retry(story.mirror, path, AT) == f"{M}: {said}2 failed paths are tried again"


@pytest.mark.parametrize("path", ["nowhere/at all.jpg", "old"])
def test_a_retry_of_what_had_not_failed_says_so(story: Story, path: str):
    story.ledger.failures.put(story.id, "a.jpg", failed(None))
    said = again.retry(story.mirror, path, AT)
    assert said.startswith(f"{M}: nothing of the name {path} had failed; what is there is compared again")
    assert "is tried again" not in said
    assert looked_at(story)[0] == {path}
    assert story.ledger.failures.of(story.id, "a.jpg") is not None


def test_a_retry_of_the_whole_folder_tries_everything(story: Story):
    story.ledger.failures.put(story.id, "day/a.jpg", failed(None))
    assert again.retry(story.mirror, "", AT) == f"{M}: 1 failed path is tried again"
    assert looked_at(story)[1] == {""}


class Silent(Asked):
    """A disk that is asked and tells nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0
        self.hangs = False

    def check(self) -> None:
        self.checks += 1

    def answers(self) -> bool:
        return not self.hangs


def asked_for(story: Story, seconds: int) -> Moment:
    """Every three seconds it is asked whether the root is there; the last moment."""
    for second in range(0, seconds + 1, 3):
        story.mirror.check_source(NOW + second)
    return Moment(NOW + seconds, WALL + seconds * 10**9)


def test_a_disk_that_does_not_answer_is_told_once_and_nothing_is_deleted_until_it_does(ledger: Ledger):
    story = Story(ledger)
    disk = story.mirror.looks.disk = Silent()
    story.mirror.on_answer(WatchReport("native", ROOT, ""), AT)
    story.sees("old", a=None)
    assert isinstance(story.queue.waiting(M, "old/a"), Delete)
    disk.hangs = True
    asked_for(story, 12)
    assert (story.mirror.removals.source.missing, story.events) == ("", [])
    assert disk.checks == 5
    at = asked_for(story, 90)
    assert [event.kind for event in story.events] == [EventKind.SOURCE_MISSING]
    status = mapping_status(story.mirror, at)
    assert status.state is MappingState.SOURCE_MISSING
    assert status.message == (
        f"the disk of {M} has not answered for 1 min, and nothing of it is published until it does;"
        " nothing is deleted at the server meanwhile"
    )
    assert mapping_status(story.mirror, asked_for(story, 2 * 86400)).message.startswith(
        f"the disk of {M} has not answered for 2 days, and"
    )
    assert story.queue.waiting(M, "old/a") is None
    assert story.mirror.site.folder.root is None
    story.mirror.on_answer(WatchReport("native", ROOT, ""), at)
    assert [event.kind for event in story.events] == [EventKind.SOURCE_MISSING, EventKind.SOURCE_BACK]
    assert mapping_status(story.mirror, at).state is MappingState.SYNCING
    story.mirror.pump(at)
    assert "" in story.disk.whole + disk.whole
    story.mirror.check_source(at.now + 3)
    assert story.mirror.removals.source.missing == ""


def test_that_watches_are_short_is_told_once_and_not_with_each_number_of_folders(story: Story):
    def reported(problem: str, shortage: Shortage | None) -> None:
        kind = "native+poll" if shortage else "native"
        story.mirror.on_answer(WatchReport(kind, ROOT, problem, shortage=shortage), AT)

    for count in (3, 5, 4):
        reported(f"{count} without a watch", Shortage.WATCHES)
    assert mapping_status(story.mirror, AT).message == "4 without a watch"
    reported("2 refused", Shortage.REFUSED)
    reported("", None)
    reported("1 without a watch", Shortage.WATCHES)
    told = [event.message for event in story.events if event.kind is EventKind.WATCHER]
    assert told == ["3 without a watch", "2 refused", "1 without a watch"]


@pytest.mark.parametrize("told", [None, "a listing", "a report"])
def test_a_disk_that_is_busy_or_slow_is_not_taken_for_one_that_does_not_answer(story: Story, told: str | None):
    disk = story.mirror.looks.disk = Silent()
    disk.hangs = told is not None
    story.mirror.on_answer(WatchReport("native", ROOT, ""), AT)
    for _ in range(5):
        asked_for(story, 12)
        if told == "a listing":
            story.sees("", other=None)
        elif told:
            story.mirror.on_answer(WatchReport("native", ROOT, ""), AT)
    if told is None:
        asked_for(story, 900)
    assert (story.mirror.removals.source.missing, story.events) == ("", [])
    assert SILENT_S == 15


def test_a_mapping_that_is_going_asks_nothing_more(story: Story):
    disk = story.mirror.looks.disk = Silent()
    disk.hangs = True
    asked_for(story, 3)
    story.mirror.looks.detach()
    asked_for(story, 90)
    assert (disk.checks, story.mirror.removals.source.missing) == (2, "")


# ── Files that are not at rest ───────────────────────────────────────────────────────────────────────────────────


def noticed(story: Story, path: str) -> None:
    story.mirror.on_changes(Changes(frozenset({path}), frozenset()), AT)


def later(seconds: float) -> Moment:
    return Moment(NOW + seconds, WALL + int(seconds * 10**9))


def test_a_file_that_is_deleted_and_made_again_while_it_is_looked_for_is_looked_at_once_more(story: Story) -> None:
    story.sees("", new=file(changed_s_ago=0.1, inode=9))
    story.mirror.pump(later(2.0))
    assert story.disk.names == [("", frozenset({"new"}))], "it may be at rest by now"
    # It was gone at that look, and this is noticed before the answer is heard.
    noticed(story, "new")
    story.sees("", new=None)
    story.disk.names.clear()
    story.mirror.pump(later(3.0))
    assert story.disk.names == [("", frozenset({"new"}))]


def test_a_change_before_the_next_look_at_a_file_costs_no_other_look(story: Story) -> None:
    story.sees("", new=file(changed_s_ago=0.1, inode=9))
    for _ in range(10):
        noticed(story, "new")
    story.mirror.pump(later(1.0))
    assert story.disk.names == []


def test_a_file_that_was_not_at_rest_and_is_not_in_its_directory_is_not_waited_for(story: Story) -> None:
    story.sees("", new=file(changed_s_ago=0.1, inode=9), stays=file(changed_s_ago=0.1, inode=8))
    story.lists("", stays=file(changed_s_ago=0.1, inode=8), old=folder(5))
    assert [path for path, _ in story.mirror.waits.unsettled()] == ["stays"]
    story.sees("", stays=None)
    assert not story.mirror.waits.any_unsettled()


# ── Directories that get another name after something in them was deleted ────────────────────────────────────────


@pytest.mark.parametrize("when", ["before it is found", "while it is renamed at the server"])
def test_what_a_renamed_directory_lacked_before_is_not_waited_for_under_its_old_path(ledger: Ledger, when: str) -> None:
    story = Story(ledger, delete_after_s=60.0)
    ledger.put(story.id, "", made(1))
    ledger.put(story.id, "old/b", published(PICTURE._replace(fingerprint=PICTURE.fingerprint._replace(inode=77))))
    if when == "before it is found":
        story.sees("old", b=None)
        assert story.mirror.removals.absent.files == 1
    story.mirror.on_answer(Listing("new", Presence.PRESENT, {"a": PICTURE}, None, inode=50, device=DISK), AT)
    renamed = story.starts("new")
    assert isinstance(renamed, RenameDir)
    if when == "while it is renamed at the server":
        # The answer to a look from before is heard only now.
        story.sees("old", b=None)
    Outcomes().apply(story.mirror, Done(renamed, Did.RENAMED), AT)
    story.queue.finish(renamed)
    assert story.mirror.removals.absent.paths == []
    assert story.mirror.removals.absent.files == 0


def test_a_mapping_that_goes_has_nothing_due(story: Story):
    """The engine would turn again and again, for as long as its transfers are waited for."""
    story.mirror.dirty.mark("a", NOW)
    assert story.mirror.next_due() == NOW
    story.mirror.leave()
    assert story.mirror.next_due() is None


def test_what_changed_while_it_was_sent_does_not_wait_when_it_is_left_out(ledger: Ledger):
    """A reload left it out meanwhile, and something else has its name."""
    story = Story(ledger, selection=Without({"old/a"}))
    story.mirror.waits.overtaken("old/a", AT)
    story.sees("old", a=folder(60))
    assert not list(story.mirror.waits.restless())


def test_a_file_that_changed_before_it_had_been_sent_and_is_gone_is_forgotten(story: Story):
    """Where its directory was listed as a whole, it kept changing for ever; the next one of its name was told of."""
    story.mirror.waits.overtaken("old/b", AT)
    story.mirror.waits.overtaken("old/c", AT)
    story.mirror.waits.overtaken("old/in/b", AT)
    story.lists("old", a=PICTURE, c=PICTURE)
    assert {path for path, _ in story.mirror.waits.restless()} == {"old/c", "old/in/b"}


def test_of_a_folder_that_is_missing_it_is_not_told_again_that_everything_is_to_be_compared(story: Story):
    lost = Changes(frozenset(), frozenset({""}), "the folder was unmounted")
    story.mirror.on_changes(lost, AT)
    story.mirror.removals.source.missing = "the folder cannot be opened"
    story.mirror.on_changes(lost._replace(reason="the folder cannot be opened"), AT)
    assert [(event.kind, event.message) for event in story.events] == [(EventKind.RESCAN, "the folder was unmounted")]
