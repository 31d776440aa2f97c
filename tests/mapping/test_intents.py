"""What is done about actions whose outcome was lost: rows are doubted, the server is asked, nothing of ours stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.names import temporary, trial
from ftpsyncd.core.ordered import Ordered
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.events import Event
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import temporaries
from ftpsyncd.mapping.exposures import PRINTS_KEPT
from ftpsyncd.mapping.inquiries import LOOKED_AT_ALWAYS, MEANWHILE_S
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.openintents import LATE_S, PUT_OFF_S
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.mapping.temporaries import PARTS_KEPT
from ftpsyncd.model import CLOCKS_DIFFER_S, MISSING, Exposure, Fingerprint, Intent, Kind, Row
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec, PublishMode
from tests.core.vocabulary import NOW, SHA, WALL, M

A, B = Fingerprint(10, 1, 7), Fingerprint(10, 2, 7)
AT = Moment(NOW, WALL)


class Story:
    """A ledger that outlives daemons; `crash` is a daemon that ends and another that starts."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.id = ledger.mappings.number(M, "here")
        self.spec = MappingSpec(M, Path("/drop"), "web", "/site")
        self.crash()

    def crash(self, *, one_pass: bool = False, whose: str = "", was: tuple[str, ...] = ()) -> None:
        self.queue = Queue(4)
        self.dirty = Dirty()
        events: list[Event] = []
        site = Site(
            self.spec,
            self.id,
            self.ledger,
            self.queue,
            Folder(self.spec, whose=whose, was=was),
            self.dirty,
            events.append,
            lambda: "2024",
            Moves(self.queue, M),
        )
        self.intents = Intents(site, sweep_twice=not one_pass)

    def published(self, path: str, fingerprint: Fingerprint = A) -> None:
        self.ledger.put(self.id, path, Row(Kind.FILE, fingerprint, SHA, WALL))

    def directory(self, path: str) -> None:
        self.ledger.put(self.id, path, Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))

    def believes(self, path: str) -> Fingerprint | None:
        """What the ledger says is at the server."""
        row = self.ledger.row(self.id, path)
        return row.fingerprint if row else None

    def asked(self, after_s: float = 0.0) -> list[Action]:
        """What the server is asked when there is nothing else to do."""
        self.intents.inquiries.ask((), NOW + after_s)
        return self._taken()

    def asked_meanwhile(self, after_s: float = 0.0) -> list[Action]:
        """What the server is asked when there are other things to do."""
        self.intents.inquiries.ask_meanwhile((), NOW + after_s)
        return self._taken()

    def _taken(self) -> list[Action]:
        found: list[Action] = []
        while (action := self.queue.take(NOW)) is not None:
            found.append(action)
        return found

    def over(self, *asked: Action) -> None:
        """The server has told."""
        for action in asked:
            self.queue.finish(action)
            self.intents.end(action)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Ledger(tmp_path / "ledger") as ledger:
        yield Story(ledger)


NEWER = Fingerprint(60, 3, 8)


def test_a_rename_that_may_come_late_is_awaited_also_while_the_new_directory_is_made(story: Story):
    story.directory("a")
    rename = RenameDir(M, "c", "a", 5)
    story.intents.begin(rename)
    story.crash()
    # The server would not do it when it was asked.
    story.intents.end(rename)
    assert story.intents.inquiries.may_leave("a/1", NOW) is not None
    story.intents.begin(MakeDir(M, "c", 5))
    assert story.intents.inquiries.may_leave("a/1", NOW) is not None


def test_nothing_waits_for_an_answer_about_a_directory_that_can_have_brought_nothing(story: Story):
    story.directory("new")
    story.ledger.begun.put(story.id, "new", Intent(Kind.DIR, brings=("old",)))
    story.crash()
    assert not story.intents.inquiries.settles_first(Upload(M, "new/a", A))
    assert story.queue.take(NOW) is None
    assert story.intents.inquiries.may_leave("old/a", NOW) is not None, "it may be published there now"


def test_of_a_pass_that_ends_it_is_asked_at_once_what_was_brought_late(story: Story):
    story.directory("old")
    story.ledger.begun.put(story.id, "new", Intent(Kind.DIR, brings=("old",)))
    story.crash(one_pass=True)
    leaving = story.intents.inquiries.may_leave("old/a", NOW)
    assert leaving is not None
    assert leaving.asked
    asked = story.asked()
    assert asked == [RenameDir(M, "new", "old", 0, interrupted=True, ask_only=True)]
    story.over(*asked)
    assert story.intents.inquiries.may_leave("old/a", NOW) is None
    story.over(*story.asked())
    assert not story.intents


def test_what_may_be_brought_late_stays_noted_beside_what_a_rename_has_left_for_the_next_pass(story: Story):
    story.published("old", A)
    story.ledger.begun.put(story.id, "new", Intent(Kind.FILE, "", "old", (A,), brings=("folder",)))
    story.crash(one_pass=True)
    story.intents.end(Sweep(M, "new", "", fingerprints=(A,)))
    assert dict(story.ledger.begun.of(story.id))["new"] == Intent(Kind.FILE, "", "old", (A,), brings=("folder",))


def test_of_a_delete_that_was_cut_off_nobody_knows_whether_it_was_done_though_an_earlier_try_is_awaited_there(
    story: Story,
):
    """What was published where something may come late counts as published; but not when it was to be deleted since."""
    upload = Upload(M, "a", A)
    story.intents.begin(upload)
    story.crash()
    story.intents.begin(upload)
    story.published("a")
    story.intents.end(upload)
    story.crash()
    assert story.believes("a") == A
    story.intents.begin(Delete(M, "a", sizes=(A.size,)))
    story.crash()
    assert story.believes("a") == A.doubted()


@pytest.mark.parametrize("action", [Upload(M, "d/a", NEWER, replaces=True), Rename(M, "d/a", "old", NEWER, SHA)])
def test_which_files_of_ours_may_be_there_is_known_until_the_delete_is_done(story: Story, action: Action):
    story.published("d/a")
    story.intents.begin(action)
    story.crash(one_pass=True)
    assert story.asked() == [Sweep(M, "d/a", partial("d/a"))]
    story.intents.end(Sweep(M, "d/a", partial("d/a")))
    planned, begun = Delete(M, "d/a", sizes=(10,)), Delete(M, "d/a", sizes=(10, 60))
    for _ in range(2):
        story.crash(one_pass=True)
        assert story.asked() == [], "there is nothing to be swept"
        assert story.intents.inquiries.clear_below("d"), "and nothing to be waited for"
        assert story.intents.begin(planned) == begun
    story.intents.end(begun)
    assert story.intents.begin(planned) == begun, "it had been refused"
    story.ledger.forget(story.id, "d/a")
    story.intents.end(begun)
    assert dict(story.ledger.begun.of(story.id)) == {"d/a": Intent(Kind.FILE)}, "what of it may come late is awaited"


def test_tries_without_a_connection_crowd_out_nothing_that_may_have_arrived(story: Story):
    """It was changed here while the server could not be reached, and then it went."""
    story.intents.begin(Upload(M, "a", A))
    story.crash(one_pass=True)
    for _ in range(3 * PRINTS_KEPT):
        begun = story.intents.begin(Upload(M, "a", B))
    assert isinstance(begun, Upload)
    assert begun.ours == (A, B)
    assert [sweep.fingerprints for sweep in story.asked() if isinstance(sweep, Sweep) and sweep.fingerprints] == [
        (A, B)
    ]


class Counting(dict[str, Any]):
    """Counts what is looked at when somebody goes through it, and what is taken out of it one by one."""

    looked_at = 0
    taken = 0

    def __getitem__(self, path: str) -> Any:
        self.taken += 1
        return super().__getitem__(path)

    def __iter__(self) -> Iterator[str]:
        for path in super().__iter__():
            self.looked_at += 1
            yield path

    def items(self) -> Any:
        return ((path, self[path]) for path in self)

    def keys(self) -> Any:
        return list(self)


def test_what_may_come_late_is_not_looked_for_in_all_that_is_open_one_by_one(story: Story):
    """With 50,000 files that failed and 3,000 that were cut off, one turn of the engine took half a minute."""
    for number in range(100):
        story.intents.begin(Upload(M, f"d/{number}", A))
        story.intents.inherit(f"/site/e/{number}.filepart")
    open_ = story.intents._open
    for number in range(100):
        story.intents.late._await(f"e/{number}.filepart")
    tried_again = {f"d/{number}" for number in range(100)}
    story.intents.inquiries.ask(tried_again, NOW)
    assert story.queue.load(M).waiting == 0, "not yet"
    open_._open = counting = Counting(open_._open)
    story.intents.inquiries.ask(tried_again, NOW + LATE_S)
    assert story.queue.load(M).waiting == 100
    assert counting.looked_at <= 3 * 200


def test_of_many_that_are_open_those_that_have_changed_are_looked_at_and_now_and_then_the_others(story: Story):
    """With 50,000 files that were to be tried again, each turn without anything else to do took 85 ms."""
    many = 2 * LOOKED_AT_ALWAYS
    for number in range(many):
        story.intents.begin(Upload(M, f"d/{number}", A))
    open_ = story.intents._open
    open_._open = counting = Counting(open_._open)
    tried_again = {f"d/{number}" for number in range(many)}
    story.intents.inquiries.ask(tried_again, NOW)
    assert counting.looked_at == many
    for number in range(10):
        story.intents.begin(Delete(M, f"e/{number}"))
        story.intents.inquiries.ask({*tried_again, f"e/{number}"}, NOW)
        story.intents.end(Delete(M, f"e/{number}"))
        story.intents.inherit(f"/site/f/{number}.filepart")
        story.intents.inquiries.ask(tried_again, NOW)
        assert story.queue.load(M).waiting == number + 1, "that is new"
    assert counting.looked_at == many
    for _ in range(10):
        story.intents.inquiries.ask({f"d/{number}" for number in range(1, many)}, NOW + 1.0)
    assert counting.looked_at <= 3 * many
    assert isinstance(story.queue.waiting(M, "d/0"), Sweep), "it is to be tried no more"


def test_of_many_that_are_open_none_is_looked_at_twice_before_the_queue_had_room_for_all(story: Story):
    for number in range(3 * QUEUE_ROOM):
        story.intents.inherit(f"/site/{number}.filepart")
    open_ = story.intents._open
    open_._open = counting = Counting(open_._open)
    asked: set[str] = set()
    for part in range(1, 4):
        story.intents.inquiries.ask((), NOW + part)
        while (action := story.queue.take(NOW)) is not None:
            asked.add(action.path)
            story.queue.finish(action)
        assert len(asked) == part * QUEUE_ROOM
    assert counting.looked_at == 3 * QUEUE_ROOM


def test_what_two_have_used_is_asked_about_when_one_has_done_with_it_however_many_are_open(story: Story):
    for number in range(2 * LOOKED_AT_ALWAYS):
        story.intents.begin(Upload(M, f"d/{number}", A))
    tried_again = {"a", *story.intents._open}
    part = partial("a")
    story.intents.inherit(part)
    path = story.intents._open.path_of(part)
    story.intents.late._await(path)
    story.intents._open.put("a", Intent(Kind.FILE, part, fingerprints=(A,)))
    for after_s in (0.0, LATE_S):
        story.intents.inquiries.ask(tried_again, NOW + after_s)
        assert story.queue.load(M).waiting == 0
    story.intents._open.drop("a")
    story.intents.inquiries.ask(tried_again, NOW + LATE_S)
    assert story.queue.waiting(M, path) is not None


def test_what_is_forgotten_is_not_looked_for_in_all_that_is_open_one_by_one(story: Story):
    """With 50,000 open intents each file that was forgotten took 60 ms, and so did each directory that was removed."""
    for number in range(200):
        story.intents.begin(Upload(M, f"{number}/a", A))
    open_ = story.intents._open
    open_._open = counting = Counting(open_._open)
    open_._ordered = Ordered(counting)
    for number in range(100):
        story.intents.forgotten(f"{number}/a" if number % 2 else f"{number}")
        story.intents.begin(RemoveDir(M, f"{number}"))
        assert story.intents.inquiries.clear_below(f"{number}") is False, "its temporary file is there still"
    assert counting.looked_at <= 3 * 200
    for number in range(200):
        intent = open_._open[f"{number}/a"]
        assert intent.temporary == partial(f"{number}/a")
        assert bool(intent.fingerprints) == (number >= 100)


def test_the_end_of_an_action_looks_at_little_of_what_keeps_directories_from_being_removed(story: Story):
    """With 5,000 awaited parts and 500 such directories it took 160 ms, and with 50,000 open parts in some, 50 ms."""
    directories, in_each = 10, 50
    for number in range(directories * in_each):
        story.intents.inherit(f"/site/{number % directories}/{number}.filepart")
        story.intents.late._await_part(f"/site/e/{number}.filepart")
    assert not any(story.intents.inquiries.clear_below(f"{number}") for number in range(directories))
    open_, late = story.intents._open, story.intents.late
    open_._open = counting = Counting(open_._open)
    late._awaited = awaited = Counting(late._awaited)
    for number in range(20):
        story.intents.end(story.intents.begin(Delete(M, f"{number}")))
    assert counting.taken <= 20 * (directories + 5)
    assert awaited.looked_at == awaited.taken == 0


def test_what_moves_with_its_directory_is_not_looked_for_in_all_that_is_open_one_by_one(story: Story):
    """With 50,000 open intents each directory that was renamed took 160 ms."""
    for number in range(200):
        story.intents.begin(Upload(M, f"{number}/a", A))
    story.intents.begin(Rename(M, "z", "7/b", B, SHA))
    open_ = story.intents._open
    open_._open = counting = Counting(open_._open)
    open_._ordered = Ordered(counting)
    for number in range(100):
        story.intents.moved(f"{number}", f"new/{number}")
    assert counting.looked_at <= 3 * 200
    parts = [open_.path_of(partial(f"{number}/a")) for number in range(100)]
    moved = [f"new/{path}" for number in range(100) for path in (f"{number}/a", parts[number])]
    beside = [f"{number}/a" for number in range(100, 200)]
    assert set(open_) == {"z", open_.path_of(partial("z")), *moved, *beside}
    assert all(open_[f"new/{part}"].temporary == f"/site/new/{part}" for part in parts)
    assert open_["z"].source == "new/7/b"


def test_what_may_come_late_is_not_asked_about_while_a_try_uses_it(story: Story):
    part = partial("a")
    story.intents.inherit(part)
    path = story.intents._open.path_of(part)
    story.intents.late._await(path)
    story.intents._open.put("a", Intent(Kind.FILE, part, fingerprints=(A,)))
    for after_s in (0.0, LATE_S):
        story.intents.inquiries.ask({"a"}, NOW + after_s)
        assert story.queue.load(M).waiting == 0
    story.intents._open.drop("a")
    assert [each.path for each in story.asked(after_s=LATE_S)] == [path]


@pytest.mark.parametrize("published", [False, True])
def test_of_a_file_that_the_server_refused_nothing_is_kept(story: Story, *, published: bool):
    if published:
        story.published("a", MISSING)
    for _ in range(2):
        begun = story.intents.begin(Upload(M, "a", NEWER))
        assert isinstance(begun, Upload)
        story.intents.refused(begun)
        assert not story.intents
        assert story.ledger.begun.of(story.id) == []


def test_what_an_earlier_try_may_have_left_is_asked_for_though_the_next_one_is_refused(story: Story):
    story.intents.begin(Upload(M, "a", A))
    story.intents.doubt(Upload(M, "a", A), AT)
    begun = story.intents.begin(Upload(M, "a", NEWER))
    assert isinstance(begun, Upload)
    story.intents.refused(begun)
    [sweep] = [each for each in story.asked() if each.path == "a"]
    assert isinstance(sweep, Sweep)
    assert sweep.fingerprints == (A, NEWER)


def test_a_part_under_a_final_name_is_asked_for_though_the_next_try_is_refused(story: Story):
    """By a mapping that has gone, for instance: of the file itself nothing of ours is there."""
    story.intents.inherit_exposed("a", Intent(Kind.FILE, exposed=Exposure(60, WALL)))
    begun = story.intents.begin(Upload(M, "a", NEWER))
    assert isinstance(begun, Upload)
    story.intents.refused(begun)
    assert [each.path for each in for_parts(story.asked())] == ["a"]


def test_what_is_not_ours_any_more_is_forgotten_when_nothing_about_it_runs(story: Story):
    """What runs brings it to the server yet."""
    upload = Upload(M, "a", A)
    story.queue.offer(upload)
    assert story.queue.take(NOW) == upload
    story.intents.begin(upload)
    for running, prints in ((True, (A,)), (False, ())):
        story.intents.forgotten("a")
        ((_, intent),) = story.ledger.begun.of(story.id)
        assert intent.fingerprints == prints
        if running:
            story.queue.finish(upload)


def test_a_rename_that_was_cut_off_is_known_by_both_names_after_its_directory_got_another_one(story: Story):
    story.intents.begin(Rename(M, "d/b", "d/a", A, SHA))
    story.intents.moved("d", "e")
    assert dict(story.ledger.begun.of(story.id))["e/b"].source == "e/a"


def test_a_part_that_another_mapping_has_left_is_swept_twice(story: Story):
    """What hung on its line may bring it back."""
    part = Sweep(M, "a.filepart", "/site/a.filepart")
    story.intents.inherit("/site/a.filepart")
    assert story.asked() == [part]
    story.queue.finish(part)
    story.intents.end(part)
    assert story.asked() == []
    assert story.asked(LATE_S) == [part]
    story.queue.finish(part)
    story.intents.end(part)
    assert not story.intents


@pytest.mark.parametrize("empty_dirs", [False, True])
def test_a_directory_whose_removal_was_cut_off_is_made_again_should_it_be_back(story: Story, *, empty_dirs: bool):
    """Where empty ones are none of ours, it is made for what comes into it."""
    story.spec = story.spec._replace(empty_dirs=empty_dirs)
    story.crash()
    story.directory("d")
    story.intents.begin(RemoveDir(M, "d"))
    story.crash()
    assert (story.believes("d") == MISSING) is empty_dirs


def test_what_was_sent_under_its_final_name_is_remembered_until_it_is_known_what_is_there(story: Story):
    upload = Upload(M, "a", NEWER)
    story.intents.exposures.begun(upload, AT)
    assert not story.intents, "nothing is under way"
    story.intents.begin(upload)
    story.intents.exposures.begun(Upload(M, "a", A), AT)
    assert story.ledger.begun.of(story.id)[0][1].exposed is None, "a word about an earlier try"
    story.intents.exposures.begun(upload, AT)
    story.crash(one_pass=True)
    story.intents.exposures.all_over(AT._replace(wall_ns=WALL + 5))
    sweep = Sweep(M, "a", partial("a"), fingerprints=(NEWER,), exposed=Exposure(60, WALL, WALL + 5))
    assert story.asked() == [sweep]
    story.intents.begin(Upload(M, "a", A))
    story.intents.exposures.begun(Upload(M, "a", A), AT._replace(wall_ns=WALL + 7))
    story.intents.exposures.over("a", AT._replace(wall_ns=WALL + 9))
    [mine] = [each for path, each in story.ledger.begun.of(story.id) if path == "a"]
    assert mine.exposed == Exposure(60, WALL, WALL + 9), "a part of the larger one may still be there"
    story.intents.end(Upload(M, "a", A))
    left = [path for path, _ in story.ledger.begun.of(story.id)]
    assert left == ["a", own("a")], "an earlier try may come late"


def test_a_part_of_ours_is_deleted_like_what_it_was_to_replace(story: Story):
    story.published("a")
    story.intents.begin(Upload(M, "a", NEWER, replaces=True))
    story.intents.exposures.begun(Upload(M, "a", NEWER, replaces=True), AT)
    story.crash(one_pass=True)
    assert story.asked() == [Sweep(M, "a", partial("a"))]
    story.intents.end(Sweep(M, "a", partial("a")))
    for planned, exposed in ((Delete(M, "a", sizes=(10,)), Exposure(60, WALL)), (Delete(M, "a"), None)):
        begun = story.intents.begin(planned)
        assert isinstance(begun, Delete)
        assert begun.exposed == exposed, "what a person has decided about is not asked for"


@pytest.mark.parametrize("action", [MakeDir(M, "a", 5), Upload(M, "a/b", B), MakeDir(M, "a/b/c", 5)])
def test_a_part_is_out_of_the_way_before_a_directory_takes_its_place(story: Story, action: Action):
    story.intents.begin(Upload(M, "a", NEWER))
    story.intents.exposures.begun(Upload(M, "a", NEWER), AT)
    story.crash()
    assert story.intents.inquiries.settles_first(action)
    [sweep] = story.asked()
    story.intents.end(sweep)
    assert not story.intents.inquiries.settles_first(action)


def sent_again(story: Story, fingerprint: Fingerprint = NEWER, path: str = "a") -> None:
    """A file was sent under its final name, that was cut off, and it has been published since."""
    story.intents.begin(Upload(M, path, fingerprint))
    story.intents.exposures.begun(Upload(M, path, fingerprint), AT)
    story.intents.doubt(Upload(M, path, fingerprint), AT)
    again = story.intents.begin(Upload(M, path, fingerprint))
    assert isinstance(again, Upload)
    assert again.ours == (fingerprint,)
    story.intents.late.arrived(again, AT)
    story.ledger.put(story.id, path, Row(Kind.FILE, fingerprint, b"", WALL))
    story.intents.end(again)


def looks(asked: list[Action]) -> list[tuple[str, Fingerprint | None]]:
    """Those that only look at what was published."""
    return [(each.path, each.published) for each in asked if isinstance(each, Sweep) and each.published is not None]


def for_parts(asked: list[Action]) -> list[Sweep]:
    """Those that may delete what stands under a final name."""
    return [each for each in asked if isinstance(each, Sweep) and each.exposed is not None]


@pytest.mark.parametrize("crash", [False, True])
def test_what_was_published_after_a_try_was_cut_off_is_looked_at_a_minute_later(story: Story, crash: bool):  # noqa: FBT001 - a case
    sent_again(story)
    if crash:
        story.crash()
    row = story.ledger.row(story.id, "a")
    assert row is not None
    assert row.fingerprint == NEWER, "no matter of doubt"
    assert not story.intents.inquiries.settles_first(Upload(M, "a/b", B)), "nobody waits for it"
    assert looks(story.asked()) == []
    assert looks(story.asked(after_s=LATE_S - 0.1)) == []
    assert looks(story.asked(after_s=LATE_S)) == [("a", NEWER)]
    story.intents.end(Sweep(M, "a", "", published=NEWER))
    assert looks(story.asked(after_s=3 * LATE_S)) == [], "once"


def test_what_may_come_late_is_looked_at_though_the_server_always_has_something_else_to_do(story: Story):
    sent_again(story)
    story.queue.offer(Upload(M, "a film", B))
    film = story.queue.take(NOW)
    assert looks(story.asked_meanwhile()) == []
    assert looks(story.asked_meanwhile(after_s=LATE_S - 0.1)) == []
    assert looks(story.asked_meanwhile(after_s=LATE_S - 0.1 + MEANWHILE_S)) == [("a", NEWER)]
    story.intents.end(Sweep(M, "a", "", published=NEWER))
    assert looks(story.asked_meanwhile(after_s=3 * LATE_S)) == [], "once"
    assert story.queue.at_work(M, "a film") == film


def test_what_may_come_late_is_awaited_until_the_server_has_told(story: Story):
    sent_again(story)
    assert looks(story.asked()) == []
    assert looks(story.asked(after_s=LATE_S)) == [("a", NEWER)]
    story.crash()
    assert looks(story.asked()) == []
    assert looks(story.asked(after_s=LATE_S)) == [("a", NEWER)]


@pytest.mark.parametrize("before", [None, A, A.doubted()], ids=["nothing", "a file", "a file in doubt"])
def test_what_is_found_at_the_server_is_recorded_where_the_ledger_knows_nothing_better(
    story: Story, before: Fingerprint | None
):
    if before is not None:
        story.published("a", before)
    story.intents.inquiries.found(Sweep(M, "a", ""), NEWER, AT)
    assert story.believes("a") == (A if before == A else Fingerprint(NEWER.size, 0, 0))
    assert story.dirty.awaits("a") is (before != A)


def test_what_is_cut_off_is_asked_about_only_when_nothing_is_left_that_may_settle_it(story: Story):
    story.intents.begin(Upload(M, "a", NEWER, temporary="/site/.a.x.filepart"))
    story.intents.doubt(Upload(M, "a", NEWER), AT)
    for after_s in (0, LATE_S, 2 * LATE_S):
        assert story.asked_meanwhile(after_s) == []
    assert [each.path for each in story.asked(2 * LATE_S)] == ["a"]


other_actions = pytest.mark.parametrize(
    "other",
    [
        Upload(M, "d/a", B),
        Upload(M, "d/a/b", B),
        Rename(M, "b", "d/a", B, SHA),
        RenameDir(M, "e", "d", 5),
        RemoveDir(M, "d"),
    ],
    ids=["of its own", "of what is below", "of what leaves", "of its folder that gets another name", "of its folder"],
)


@other_actions
def test_what_may_come_late_is_not_looked_at_before_an_action_that_waits(story: Story, other: Action):
    sent_again(story, path="d/a")
    story.asked_meanwhile()
    story.queue.offer(other)
    story.intents.inquiries.ask_meanwhile((), NOW + LATE_S)
    assert story.queue.take(NOW) == other
    assert story.queue.take(NOW) is None


@other_actions
def test_nor_is_it_while_that_is_under_way(story: Story, other: Action):
    sent_again(story, path="d/a")
    story.asked_meanwhile()
    story.queue.offer(other)
    assert story.queue.take(NOW) == other
    story.intents.inquiries.ask_meanwhile((), NOW + LATE_S)
    assert story.queue.waiting(M, "d/a") is None
    story.queue.finish(other)
    assert looks(story.asked_meanwhile(LATE_S + MEANWHILE_S)) == [("d/a", NEWER)]


def test_of_much_that_may_come_late_little_is_looked_at_at_a_time_while_others_wait(story: Story):
    for number in range(25):
        sent_again(story, path=f"a{number}")
    assert story.asked_meanwhile() == []
    asked = [story.asked_meanwhile(LATE_S + second) for second in range(4)]
    assert [len(each) for each in asked] == [10, 10, 5, 0]


def test_one_pass_leaves_the_look_to_the_next_one(story: Story):
    story.crash(one_pass=True)
    sent_again(story)
    assert looks(story.asked()) == []
    story.crash(one_pass=True)
    assert looks(story.asked()) == [("a", NEWER)]


@pytest.mark.parametrize("deleted", [False, True])
def test_one_pass_that_publishes_or_deletes_there_leaves_the_look_to_the_next_one_too(story: Story, *, deleted: bool):
    sent_again(story)
    story.crash(one_pass=True)
    if deleted:
        begun = story.intents.begin(Delete(M, "a", sizes=(60,)))
        story.ledger.forget(story.id, "a")
    else:
        begun = begin(story, B)
        story.published("a", B)
    story.intents.end(begun)
    story.over(*story.asked())
    story.crash(one_pass=True)
    asked = story.asked()
    assert for_parts(asked) if deleted else looks(asked) == [("a", B)]
    story.over(*asked)
    assert not story.intents, "once"


def test_a_newer_content_is_looked_at_in_the_place_of_the_one_before(story: Story):
    sent_again(story)
    story.asked()
    newest = NEWER._replace(size=61)
    begun = story.intents.begin(Upload(M, "a", newest, replaces=True))
    assert isinstance(begun, Upload)
    assert begun.ours == (NEWER,), "what the line of the first one still has may not get into it"
    story.intents.exposures.begun(begun, AT)
    story.intents.late.arrived(begun, AT)
    story.ledger.put(story.id, "a", Row(Kind.FILE, newest, b"", WALL))
    story.intents.end(begun)
    assert looks(story.asked()) == []
    assert looks(story.asked(after_s=LATE_S)) == [("a", newest)]


@pytest.mark.parametrize("action", [Delete(M, "a", sizes=(60,)), Upload(M, "a", B, replaces=True)])
def test_what_stays_published_since_nothing_was_done_about_it_is_looked_at_all_the_same(story: Story, action: Action):
    """The server has refused it, and here is what was published before, again."""
    sent_again(story)
    story.over(*story.asked())
    begun = story.intents.begin(action)
    if isinstance(action, Delete):
        story.intents.end(begun)
    else:
        story.over(*story.asked())
    assert looks(story.asked()) == []
    assert looks(story.asked(after_s=LATE_S)) == [("a", NEWER)]


@pytest.mark.parametrize(
    ("action", "renamed", "path"),
    [
        (Upload(M, "old/a", A), ("old", "new"), "new/a"),
        (Rename(M, "b", "old/a", A, SHA), ("old", "new"), "b"),
        (Rename(M, "old/b", "a", A, SHA), ("old", "new"), "new/b"),
    ],
)
@pytest.mark.parametrize("swept", [False, True])
def test_what_is_published_where_something_was_cut_off_before_a_directory_got_another_name_is_looked_at(
    story: Story, action: Action, renamed: tuple[str, str], path: str, *, swept: bool
):
    """By a bare name it comes into the renamed directory, and a rename to where no directory was renamed."""
    begun = story.intents.begin(action)
    story.intents.doubt(begun, AT)
    if swept:
        story.over(*story.asked())
    story.intents.moved(*renamed)
    again = begin(story, A, path)
    story.published(path)
    story.intents.end(again)
    story.over(*story.asked())
    assert (path, A) in looks(story.asked(after_s=LATE_S))


def test_what_is_published_from_where_a_file_was_to_get_another_name_is_looked_at_too(story: Story):
    """The rename that was cut off may be done late, and take away what is there by then."""
    story.published("a")
    rename = story.intents.begin(Rename(M, "b", "a", A, SHA))
    story.intents.doubt(rename, AT)
    for path, fingerprint in (("b", A), ("a", B)):
        sent = begin(story, fingerprint, path)
        story.published(path, fingerprint)
        story.intents.end(sent)
    story.over(*story.asked())
    assert sorted(looks(story.asked(after_s=LATE_S))) == [("a", B), ("b", A)]


@pytest.mark.parametrize("then", ["lives", "killed"])
def test_what_a_renamed_directory_brings_to_where_something_may_come_late_is_looked_at(story: Story, then: str):
    story.intents.doubt(begin(story, A, "d/x"), AT)
    story.over(*story.asked())
    story.directory("e")
    story.published("e/x", B)
    story.ledger.move(story.id, "e", "d")
    story.intents.moved("e", "d")
    if then == "killed":
        story.crash()
    assert story.believes("d/x") == B
    story.over(*story.asked())
    assert looks(story.asked(after_s=LATE_S)) == [("d/x", B)]


def test_what_is_cut_off_where_something_may_come_late_is_asked_about_at_once(story: Story):
    """It is settled first, like all that is cut off; the minute begins anew then."""
    sent_again(story)
    story.ledger.forget(story.id, "a")
    story.intents.begin(Upload(M, "a", B))
    story.intents.doubt(Upload(M, "a", B), AT)
    assert story.intents.inquiries.settles_first(MakeDir(M, "a", 5))
    [sweep] = [each for each in story.asked() if each.path == "a"]
    assert isinstance(sweep, Sweep)
    assert B in sweep.fingerprints
    story.over(sweep)
    assert not story.intents.inquiries.settles_first(MakeDir(M, "a", 5))
    assert story.intents.late.is_awaited("a")


def test_what_comes_late_after_its_file_was_deleted_is_swept(story: Story):
    sent_again(story)
    delete = Delete(M, "a", sizes=(60,))
    story.intents.begin(delete)
    story.ledger.forget(story.id, "a")
    story.intents.end(delete)
    assert for_parts(story.asked()) == []
    [sweep] = for_parts(story.asked(after_s=LATE_S))
    assert (sweep.path, sweep.temporary) == ("a", "")
    story.intents.end(sweep)
    assert for_parts(story.asked(after_s=3 * LATE_S)) == [], "once"


@pytest.mark.parametrize(
    ("size", "mtime_s", "part"),
    [
        (59, 1_000, True),
        (0, 1_000 - CLOCKS_DIFFER_S, True),
        (59, 2_000 + CLOCKS_DIFFER_S, True),
        (60, 1_500, False),
        (59, 1_000 - CLOCKS_DIFFER_S - 1, False),
        (59, 2_000 + CLOCKS_DIFFER_S + 1, False),
        (None, 1_500, False),
        (59, None, False),
    ],
)
def test_a_part_is_known_by_size_and_date(size: int | None, mtime_s: int | None, part: bool):  # noqa: FBT001 - a case
    assert Exposure(60, 1_000 * 10**9, 2_000 * 10**9).may_have_left(size, mtime_s) is part


def test_while_it_is_sent_a_part_may_be_of_any_later_time():
    assert Exposure(60, 1_000 * 10**9).may_have_left(1, 10**9)


def test_nothing_is_asked_about_what_was_forgotten(story: Story):
    story.published("a")
    story.intents.begin(Upload(M, "a", B, replaces=True))
    story.intents.begin(Upload(M, "d/b", B))
    story.crash()
    story.ledger.forget(story.id, "a")
    for path in ("a", "d"):
        story.intents.forgotten(path)
    assert story.asked() == [Sweep(M, "a", partial("a")), Sweep(M, "d/b", partial("d/b"))]


def test_after_a_power_failure_what_a_try_may_have_left_of_which_nothing_is_known_goes_first(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    """The ledger has lost it, and another boot has other names: it stayed at the server for good."""
    monkeypatch.setattr(temporaries, "LOOKED_FOR", 3)
    story.crash(whose="now ", was=("before ", "long ago "))
    lost = tuple(temporary("/site/a", f"{each} {M}") for each in ("before", "long ago"))
    for _ in range(2):
        action = story.intents.begin(Upload(M, "a", A))
        assert isinstance(action, Upload)
        assert action.left == lost
        story.intents.end(action)
    story.intents.begin(Upload(M, "b", A))
    assert story.intents.begin(Upload(M, "c", A)) == Upload(M, "c", A), "not for months"


def test_a_part_of_before_that_is_known_is_continued(story: Story):
    story.crash(whose="before ")
    upload = story.intents.begin(Upload(M, "a", A))
    assert isinstance(upload, Upload)
    story.intents.received(upload, CTIME)
    story.crash(whose="now ", was=("before ",))
    action = story.intents.begin(Upload(M, "a", A))
    assert isinstance(action, Upload)
    assert (action.parts, action.left) == ((temporary("/site/a", f"before {M}"),), ())


def test_what_is_sent_under_its_final_name_has_no_other_one(story: Story):
    story.spec = story.spec._replace(publish=PublishMode.DIRECT)
    story.crash(whose="now ", was=("before ",))
    assert story.intents.begin(Upload(M, "a", A)) == Upload(M, "a", A)


def partial(path: str, tries: int = 1) -> str:
    """The temporary file of the first try, or of one that follows others that were cut off."""
    name = M
    for _ in range(tries):
        name = temporary(f"/site/{path}", name)
    return name


def own(path: str, tries: int = 1) -> str:
    """The path under which such a file is kept in mind by itself."""
    return partial(path, tries).removeprefix("/site/")


def test_what_ended_leaves_nothing_to_ask(story: Story):
    actions: list[Action] = [Upload(M, "a", A), MakeDir(M, "d", 5), RenameDir(M, "e", "f", 6), Delete(M, "b")]
    for action in actions:
        story.intents.begin(action)
        story.intents.end(action)
    story.crash()
    assert not story.intents
    assert story.asked() == []


@pytest.mark.parametrize("action", [Upload(M, "a", B, replaces=True), Delete(M, "a")], ids=["replaced", "deleted"])
def test_a_file_that_may_have_been_replaced_or_deleted_is_published_anew(story: Story, action: Action):
    story.published("a")
    story.intents.begin(action)
    story.crash()
    assert story.believes("a") not in {A, B, None}
    assert story.ledger.mappings.totals(story.id).files == 1


def test_a_file_that_may_have_been_renamed_is_doubted_under_both_names(story: Story):
    story.published("old")
    story.intents.begin(Rename(M, "new", "old", A, SHA))
    story.crash()
    assert story.believes("old") not in {A, None}
    assert story.asked() == [Sweep(M, "new", partial("new"), fingerprints=(A,))]


def test_a_new_file_that_may_have_been_published_is_looked_for_by_all_it_may_be(story: Story):
    story.intents.begin(Upload(M, "a", A))
    story.crash()
    story.intents.begin(Upload(M, "a", B))
    story.crash()
    sweep, first = story.asked()
    assert first == Sweep(M, own("a"), partial("a"))
    assert sweep == Sweep(M, "a", partial("a", 2), fingerprints=(A, B))
    assert isinstance(sweep, Sweep)
    story.intents.inquiries.found(sweep, A, AT)
    assert story.believes("a") not in {A, B, None}
    row = story.ledger.row(story.id, "a")
    assert row is not None
    assert row.fingerprint.size == A.size, "should it be deleted, that is the size to be found"
    assert story.dirty.next_due() == NOW


def test_a_directory_that_may_have_been_made_is_looked_for(story: Story):
    story.intents.begin(MakeDir(M, "d", 5))
    story.crash()
    [sweep] = story.asked()
    assert sweep == Sweep(M, "d", "", kind=Kind.DIR)
    assert isinstance(sweep, Sweep)
    story.intents.inquiries.found(sweep, None, AT)
    story.intents.end(sweep)
    row = story.ledger.row(story.id, "d")
    assert row is not None
    assert row.kind is Kind.DIR
    assert story.asked() == [], "it may be made late: the minute begins"
    assert story.asked(LATE_S) == []
    assert not story.intents, "it is here"


def test_a_directory_that_may_have_been_renamed_is_asked_for_before_anything_below_it_is_touched(story: Story):
    story.directory("old")
    story.intents.begin(RenameDir(M, "new", "old", 5))
    story.crash()
    assert story.intents.inquiries.moves("old")
    story.queue.offer(Upload(M, "new/a", A))
    assert story.queue.take(NOW) == RenameDir(M, "new", "old", 0, interrupted=True)
    assert story.queue.take(NOW) is None


RENAMED = RenameDir(M, "new", "p/old", 0, interrupted=True)


@pytest.mark.parametrize(
    "action", [MakeDir(M, "new", 5), Upload(M, "new", A), RenameDir(M, "new", "other", 6), Upload(M, "new/x/a", A)]
)
def test_nothing_takes_the_place_of_what_tells_of_an_interrupted_rename(story: Story, action: Action):
    story.directory("p/old")
    story.intents.begin(RenameDir(M, "new", "p/old", 5))
    story.crash()
    # As a rename of the directory above takes everything back.
    story.queue.withdraw(M, "new")
    for _ in range(2):
        assert story.intents.inquiries.settles_first(action)
        assert story.queue.waiting(M, "new") == RENAMED
    assert not story.intents.inquiries.settles_first(Upload(M, "newer/a", A))
    story.intents.end(RENAMED)
    assert not story.intents.inquiries.settles_first(action)


@pytest.mark.parametrize(
    ("action", "first"),
    [
        (RenameDir(M, "d", "old", 5), True),
        (Upload(M, "d", A), True),
        (Rename(M, "d", "old", A, SHA), True),
        (MakeDir(M, "d", 5), False),
        (Upload(M, "d/a", A), False),
    ],
)
def test_whether_a_directory_was_made_is_asked_before_something_else_takes_its_name(
    story: Story, action: Action, *, first: bool
):
    story.intents.begin(MakeDir(M, "d", 5))
    story.crash()
    assert story.intents.inquiries.settles_first(action) is first
    assert (story.queue.waiting(M, "d") == Sweep(M, "d", "", kind=Kind.DIR)) is first


def test_what_the_server_will_not_tell_keeps_nothing_waiting(story: Story):
    story.intents.begin(MakeDir(M, "d", 5))
    story.crash()
    story.intents.inquiries.put_off("d")
    assert not story.intents.inquiries.settles_first(Upload(M, "d", A))


def test_a_directory_is_not_removed_while_one_may_have_been_renamed_away_from_it(story: Story):
    """Its rows go with the directory, and they tell what the server has under the new name."""
    story.directory("p")
    story.directory("p/old")
    story.intents.begin(RenameDir(M, "new", "p/old", 5))
    story.crash()
    story.queue.withdraw(M, "new")
    assert not story.intents.inquiries.clear_below("p")
    assert story.queue.take(NOW) == RENAMED
    story.dirty.clear()
    story.ledger.move(story.id, "p/old", "new")
    story.intents.moved("p/old", "new")
    story.intents.end(RENAMED)
    assert story.dirty.next_due() == 0.0, "p is looked at again"
    assert story.intents.inquiries.clear_below("p")


def test_a_directory_whose_rename_is_recorded_is_not_asked_for_again(story: Story):
    story.directory("new")
    story.intents.begin(RenameDir(M, "new", "old", 5))
    story.crash()
    assert not story.intents.inquiries.moves("old")
    assert story.asked() == []


def test_a_directory_is_not_asked_whether_it_was_renamed_into_itself(story: Story):
    """What was to be above it went below it, after it was asked: such a question would wait for itself for good."""
    story.directory("p/old")
    story.intents.begin(RenameDir(M, "q/new", "p/old", 5))
    story.crash()
    story.queue.withdraw(M, "q/new")
    story.intents.end(RenameDir(M, "q/new", "p/old", 0, interrupted=True))
    story.ledger.move(story.id, "q", "p/old/q")
    story.intents.moved("q", "p/old/q")
    assert story.asked() == []
    # There may be another q by then.
    asked = story.asked(LATE_S)
    assert asked == [RenameDir(M, "q/new", "p/old", 0, interrupted=True, ask_only=True)]
    story.over(*asked)
    asked = story.asked(LATE_S)
    assert {action.path for action in asked} == {"q/new", "p/old/q/new"}
    assert not any(isinstance(action, RenameDir) for action in asked)
    story.over(*asked)
    assert not story.intents


def test_nor_where_that_was_not_asked_before(story: Story):
    story.directory("p/old")
    story.intents.begin(RenameDir(M, "q/new", "p/old", 5))
    story.crash()
    story.queue.withdraw(M, "q/new")
    story.ledger.move(story.id, "q", "p/old/q")
    story.intents.moved("q", "p/old/q")
    asked = [*story.asked(), *story.asked(LATE_S)]
    assert [action.path for action in asked if isinstance(action, RenameDir) and action.source == "p/old"] == []


def test_a_lost_connection_is_a_small_crash(story: Story):
    story.published("a")
    delete = Delete(M, "a")
    story.intents.begin(delete)
    story.intents.doubt(delete, AT)
    assert story.believes("a") not in {A, None}
    assert story.dirty.next_due() == NOW


def test_a_delete_that_was_interrupted_still_knows_the_size(story: Story):
    story.published("a")
    story.intents.begin(Delete(M, "a"))
    story.crash()
    believed = story.believes("a")
    assert believed is not None
    assert believed.is_doubted
    assert believed.size == A.size


def test_leftovers_move_with_their_directory_and_survive_what_follows_there(story: Story):
    story.intents.begin(Upload(M, "old/a", A))
    story.crash()
    story.intents.moved("old", "new")
    moved = partial("old/a").replace("/old/", "/new/")
    story.intents.begin(Upload(M, "new/a", B))
    story.intents.end(Upload(M, "new/a", B))
    assert [s.temporary for s in story.asked() if isinstance(s, Sweep)] == [moved]


def test_leftovers_are_out_of_the_way_before_their_directory_is_removed(story: Story):
    story.intents.begin(Upload(M, "d/a", A))
    story.crash()
    assert not story.intents.inquiries.clear_below("d")
    swept = story.queue.take(NOW)
    assert swept == Sweep(M, "d/a", partial("d/a"), fingerprints=(A,))
    assert story.dirty.next_due() is None
    story.intents.end(swept)
    assert story.dirty.next_due() is not None
    assert story.intents.inquiries.clear_below("d")


def test_a_delete_does_not_make_a_leftover_forgotten(story: Story):
    story.published("a")
    story.intents.begin(Upload(M, "a", B))
    story.crash()
    delete = Delete(M, "a")
    story.intents.begin(delete)
    story.ledger.forget(story.id, "a")
    story.intents.end(delete)
    assert [s.temporary for s in story.asked() if isinstance(s, Sweep)] == [partial("a")]


@pytest.mark.parametrize("again", [Upload(M, "a", B), Rename(M, "a", "old", A, SHA)], ids=["adopted", "renamed"])
def test_a_leftover_is_swept_when_the_file_came_without_being_sent(story: Story, again: Action):
    story.intents.begin(Upload(M, "a", A))
    story.intents.begin(again)
    story.published("a", B)
    story.intents.end(again, sent=False)
    assert story.asked() == [Sweep(M, "a", partial("a"))]


def test_where_nothing_can_be_left_nothing_is_swept(story: Story):
    """A lost ledger is found again by looking at every file: that must not cost a command each."""
    adopted = Upload(M, "a", A)
    story.intents.begin(adopted)
    story.published("a")
    story.intents.end(adopted, sent=False)
    assert story.asked() == []
    story.intents.begin(Upload(M, "a", B))
    story.intents.end(Upload(M, "a", B))
    story.intents.begin(adopted)
    story.intents.end(adopted, sent=False)
    assert story.asked() == []


def test_a_leftover_that_the_server_will_not_delete_is_tried_again_at_the_next_start(story: Story):
    story.intents.begin(Upload(M, "d/a", A))
    story.crash()
    [sweep] = story.asked()
    assert isinstance(sweep, Sweep)
    assert not story.intents.inquiries.clear_below("d")
    story.queue.finish(sweep)
    story.intents.inquiries.put_off(sweep.path)
    assert story.dirty.due_by(NOW), "the directory is not kept waiting"
    assert story.intents.inquiries.clear_below("d")
    assert story.asked() == []
    story.crash()
    assert story.asked() == [sweep]


def test_a_leftover_that_the_server_will_not_delete_is_tried_again_in_an_hour(story: Story):
    story.intents.begin(Upload(M, "a", A))
    story.crash()
    for hour in range(3):
        [sweep] = story.asked(hour * PUT_OFF_S)
        assert isinstance(sweep, Sweep)
        story.queue.finish(sweep)
        story.intents.inquiries.put_off(sweep.path)
        assert story.asked(hour * PUT_OFF_S) == []
        assert story.asked((hour + 1) * PUT_OFF_S - 1.0) == []


# ── What a server brings back ────────────────────────────────────────────────────────────────────────────────────


def swept(asked: list[Action]) -> list[str]:
    return [each.temporary for each in asked if isinstance(each, Sweep)]


@pytest.mark.parametrize("again", [True, False], ids=["sent again", "swept"])
def test_what_a_crash_cut_off_is_swept_once_more_a_minute_later(story: Story, again: bool):  # noqa: FBT001 - a case
    """The server may make the temporary file when it is all over: a STOR can hang on the line for long."""
    part = partial("d/a")
    begin(story, A, "d/a")
    story.crash()
    if again:
        story.intents.end(begin(story, A, "d/a"))
    [first] = story.asked()
    assert swept([first]) == [part]
    story.queue.finish(first)
    story.intents.end(first)
    assert story.asked() == []
    assert story.asked(after_s=LATE_S - 0.1) == []
    *about_file, second = sorted(story.asked(after_s=LATE_S), key=lambda sweep: swept([sweep]))
    story.over(*about_file)
    assert swept([second]) == [part]
    story.queue.finish(second)
    story.intents.end(second)
    assert not story.intents
    story.crash()
    assert not story.intents


def test_what_a_lost_connection_cut_off_is_swept_when_it_has_been_sent_again(story: Story):
    upload = begin(story, A)
    story.intents.doubt(upload, AT)
    story.intents.end(begin(story, A))
    for after_s, parts in ((0.0, [partial("a")]), (LATE_S, ["", partial("a")])):
        sweeps = story.asked(after_s)
        assert sorted(swept(sweeps)) == parts
        story.over(*sweeps)
        assert story.asked(after_s) == []
    assert not story.intents


@pytest.mark.parametrize("first", [True, False], ids=["swept once", "not yet swept"])
def test_what_was_cut_off_below_a_renamed_directory_is_swept_under_both_names_a_minute_later(
    story: Story,
    first: bool,  # noqa: FBT001 - a case
):
    """By its path it comes into a new directory of the old name, by a bare name into the renamed one."""
    old = partial("old/a")
    new = old.replace("/old/", "/new/")

    def sweep(after_s: float) -> list[str]:
        sweeps = story.asked(after_s)
        for each in sweeps:
            story.queue.finish(each)
            story.intents.end(each)
        return [name for name in swept(sweeps) if name]

    story.intents.doubt(begin(story, A, "old/a"), AT)
    if first:
        story.intents.end(begin(story, A, "old/a"))
        assert sweep(0) == [old]
    story.intents.moved("old", "new")
    assert sweep(0) == ([] if first else [new])
    assert sweep(LATE_S - 0.1) == []
    assert sorted(sweep(2 * LATE_S)) == sorted([old, new])
    assert not story.intents


def test_a_directory_that_is_to_be_removed_does_not_wait_for_it(story: Story):
    begin(story, A, "d/a")
    story.crash()
    story.intents.end(begin(story, A, "d/a"))
    assert not story.intents.inquiries.clear_below("d")
    [first] = story.asked()
    assert swept([first]) == [partial("d/a")]
    story.queue.finish(first)
    story.intents.end(first)
    assert story.intents.inquiries.clear_below("d")
    # It may be approved much later only, and what comes late has come by then.
    assert story.intents.begin(RemoveDir(M, "d")) == RemoveDir(M, "d", left=(partial("d/a"),))
    assert story.asked() == [], "the minute begins"
    sweeps = story.asked(LATE_S)
    assert sorted(swept(sweeps)) == ["", partial("d/a")]
    story.over(*sweeps)
    assert story.intents.begin(RemoveDir(M, "d")) == RemoveDir(M, "d")
    assert not story.intents


def test_what_is_sent_again_has_another_name_until_the_old_one_is_swept_for_good(story: Story):
    """The server may still hold the old one locked, write to it, or truncate it when a STOR comes late."""
    upload = begin(story, A)
    assert upload.temporary == ""
    story.intents.doubt(upload, AT)
    again = begin(story, B)
    assert (again.left, again.temporary) == ((partial("a"),), partial("a", 2))
    story.intents.doubt(again, AT)
    third = begin(story, again.fingerprint)
    assert (third.left, third.temporary) == ((partial("a"), partial("a", 2)), partial("a", 3))
    story.intents.end(third)
    for after_s in (0.0, LATE_S):
        sweeps = story.asked(after_s)
        assert sorted(filter(None, swept(sweeps))) == sorted([partial("a"), partial("a", 2)])
        assert begin(story, A).temporary == partial("a", 3)
        story.intents.end(Upload(M, "a", A))
        story.over(*sweeps)
        assert story.asked(after_s) == [], "the minute begins"
    assert begin(story, A).temporary == ""


def test_what_was_cut_off_goes_before_its_file_is_deleted(story: Story):
    """A rename that comes late would bring it back, and nobody would know of it."""
    story.intents.doubt(begin(story, A), AT)
    for name in ("a", "b"):
        delete = story.intents.begin(Delete(M, name))
        assert isinstance(delete, Delete)
        assert delete.left == ((partial("a"),) if name == "a" else ())


def test_what_has_to_go_first_is_not_forgotten_when_a_try_did_not_get_as_far(story: Story):
    """There was no connection, say."""
    story.intents.doubt(begin(story, A), AT)
    for _ in range(3):
        assert begin(story, B).left == (partial("a"),)


def test_what_waits_from_an_earlier_try_is_given_the_name_that_holds_now(story: Story):
    upload = begin(story, A)
    story.intents.doubt(upload, AT)
    again = begin(story, A)
    story.intents.end(again)
    for after_s in (0.0, LATE_S):
        story.over(*story.asked(after_s))
        assert story.asked(after_s) == [], "the minute begins"
    handed = story.intents.begin(again)
    assert isinstance(handed, Upload)
    assert (handed.left, handed.temporary) == ((), "")


def test_a_rename_that_becomes_an_upload_has_another_name_too(story: Story):
    story.intents.doubt(begin(story, A), AT)
    rename = story.intents.begin(Rename(M, "a", "old", B, SHA))
    assert isinstance(rename, Rename)
    assert (rename.left, rename.temporary) == ((partial("a"),), partial("a", 2))


def test_where_the_server_has_answered_the_name_stays(story: Story):
    """It was refused, say: the session lives and has let go of the file."""
    begin(story, A)
    again = begin(story, B)
    assert (again.left, again.temporary) == ((), "")


def test_a_second_crash_begins_the_minute_again(story: Story):
    begin(story, A)
    story.crash()
    story.intents.end(begin(story, A))
    [first] = story.asked()
    story.queue.finish(first)
    story.intents.end(first)
    assert story.asked() == []
    story.published("a")
    story.crash()
    [second] = story.asked()
    assert swept([second]) == [partial("a")]
    story.over(second)
    assert story.asked() == []
    assert sorted(swept(story.asked(after_s=LATE_S))) == ["", partial("a")]


def test_one_pass_does_not_wait_for_it(story: Story):
    begin(story, A)
    story.crash(one_pass=True)
    story.intents.end(begin(story, A))
    [sweep] = story.asked()
    story.over(sweep)
    story.published("a")
    assert story.asked() == []
    story.crash(one_pass=True)
    [look] = story.asked()
    assert look == Sweep(M, "a", "", published=A, why=look.why), "but the next one asks whether the file is still there"
    story.over(look)
    assert not story.intents


# ── What a later upload may go on with ───────────────────────────────────────────────────────────────────────────

CTIME = 1_700_000_000_123_456_789


def resumes(story: Story, fingerprint: Fingerprint, path: str = "a") -> int:
    """What the next upload of a file is told about the part at the server."""
    action = story.intents.begin(Upload(M, path, fingerprint))
    assert isinstance(action, Upload)
    return action.resume


def begin(story: Story, fingerprint: Fingerprint, path: str = "a") -> Upload:
    action = story.intents.begin(Upload(M, path, fingerprint))
    assert isinstance(action, Upload)
    return action


def test_a_part_of_the_same_file_is_continued_even_after_a_crash(story: Story):
    upload = begin(story, A)
    assert upload.resume == 0
    story.intents.received(upload, CTIME)
    assert resumes(story, A) == CTIME
    story.crash()
    assert resumes(story, A) == CTIME
    story.crash()
    assert resumes(story, A) == CTIME


def test_what_a_trial_may_have_left_is_swept_whatever_becomes_of_the_file(story: Story):
    story.intents.received(begin(story, A, "d/a"), CTIME)
    story.crash()
    assert resumes(story, A, "d/a") == CTIME
    part = partial("d/a", 2)
    swept = {action.temporary for action in story.asked() if isinstance(action, Sweep)}
    assert swept == {part, trial(part)}
    story.crash()
    story.intents.end(begin(story, B, "d/a"))
    left = [action for action in story.asked() if isinstance(action, Sweep)]
    assert {(sweep.path, sweep.temporary) for sweep in left} == {
        (own("d/a"), partial("d/a")),
        (own("d/a", 2), part),
        (trial(part).removeprefix("/site/"), trial(part)),
    }
    for sweep in left:
        story.intents.end(sweep)
    assert story.asked() == []


def where(upload: Upload) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return upload.temporary, upload.parts, upload.left


def test_a_part_is_continued_under_a_name_that_no_earlier_try_knows(story: Story):
    """A REST and a STOR that come late may cut what lies under the name they were sent with."""
    story.intents.received(begin(story, A), CTIME)
    story.crash()
    # Renamed or not by the time that this one dies: it may lie here or there.
    assert where(begin(story, A)) == (partial("a", 2), (partial("a"),), ())
    assert where(begin(story, A)) == (partial("a", 2), (partial("a"),), ()), "there was no connection"
    story.crash()
    upload = begin(story, A)
    assert where(upload) == (partial("a", 3), (partial("a", 2), partial("a")), ())
    story.intents.received(upload, CTIME)
    story.intents.doubt(upload, AT)
    assert where(begin(story, A)) == (partial("a", 4), (partial("a", 3),), (partial("a"), partial("a", 2)))


def test_where_a_part_may_lie_is_remembered_for_some_tries_only(story: Story):
    upload = begin(story, A)
    story.intents.received(upload, CTIME)
    for _ in range(2 * PARTS_KEPT):
        story.intents.doubt(upload, AT)
        upload = begin(story, A)
    assert len(upload.parts) == PARTS_KEPT
    assert len(upload.left) == PARTS_KEPT


def test_parts_of_another_content_go_first(story: Story):
    story.intents.received(begin(story, A), CTIME)
    story.crash()
    begin(story, A)
    story.crash()
    assert where(begin(story, B)) == (partial("a", 3), (), (partial("a"), partial("a", 2)))


def test_a_part_of_another_content_goes_first_though_the_try_between_had_no_connection(story: Story):
    story.intents.received(begin(story, A), CTIME)
    story.crash()
    assert where(begin(story, A)) == (partial("a", 2), (partial("a"),), ())
    assert where(begin(story, B)) == (partial("a", 2), (), (partial("a"),))


def test_that_a_temporary_name_was_used_before_counts_for_the_try_that_has_it(story: Story):
    """Else each later one that fails would have it swept, whether anything was ever sent under it or not."""
    temporaries = story.intents._temporaries
    begin(story, A)
    assert not temporaries.over("a")
    begin(story, A)
    assert temporaries.over("a")
    assert not temporaries.over("a")


def test_a_rename_that_becomes_an_upload_continues_nothing(story: Story):
    story.intents.received(begin(story, A), CTIME)
    story.crash()
    rename = story.intents.begin(Rename(M, "a", "old", A, SHA))
    assert isinstance(rename, Rename)
    assert (rename.temporary, rename.left) == (partial("a", 2), (partial("a"),))


def test_a_part_waits_for_the_try_that_continues_it(story: Story):
    story.intents.received(begin(story, A), CTIME)
    story.crash()
    begin(story, A)
    assert partial("a") not in swept(story.asked())
    story.intents.received(begin(story, A), CTIME)
    assert partial("a") in swept(story.asked()), "it is renamed by now: if not, it is nothing"


def test_a_part_that_is_to_be_continued_moves_with_its_directory(story: Story):
    story.intents.received(begin(story, A, "old/a"), CTIME)
    story.crash()
    begin(story, A, "old/a")
    story.intents.moved("old", "new")
    moved = {f"/site/new/{name.rpartition('/')[2]}" for name in (partial("old/a"), partial("old/a", 2))}
    assert set(swept(story.asked())) >= moved


def test_what_the_server_never_began_to_receive_is_not_continued(story: Story):
    # An older part, left by a sweep that failed, may still be there under the same name.
    begin(story, A)
    story.crash()
    assert resumes(story, A) == 0


def test_a_part_is_not_continued_once_another_content_was_begun(story: Story):
    story.intents.received(begin(story, A), CTIME)
    assert resumes(story, B) == 0
    story.crash()
    # B may have replaced the part, or not: neither is known.
    assert resumes(story, A) == 0
    story.crash()
    assert resumes(story, B) == 0


def test_of_two_contents_only_the_latest_can_be_continued(story: Story):
    story.intents.received(begin(story, A), CTIME)
    story.intents.received(begin(story, B), CTIME + 1)
    story.crash()
    assert resumes(story, B) == CTIME + 1
    assert resumes(story, A) == 0


def test_a_late_word_about_an_earlier_content_is_not_believed(story: Story):
    earlier = begin(story, A)
    begin(story, B)
    story.intents.received(earlier, CTIME)
    assert resumes(story, B) == 0


def test_a_part_that_is_gone_is_not_continued(story: Story):
    for end in (Upload(M, "a", A), Sweep(M, "a", partial("a")), Delete(M, "a")):
        story.intents.received(begin(story, A), CTIME)
        if isinstance(end, Delete):
            story.intents.begin(end)
        story.intents.end(end)
        assert resumes(story, A) == 0
        story.intents.end(Upload(M, "a", A))


def test_a_part_that_moved_with_its_directory_is_not_continued(story: Story):
    story.intents.received(begin(story, A, "old/a"), CTIME)
    story.intents.moved("old", "new")
    assert resumes(story, A, "new/a") == 0
    assert resumes(story, A, "old/a") == 0


def test_a_word_about_nothing_open_is_ignored(story: Story):
    story.intents.received(Upload(M, "a", A), CTIME)
    assert not story.intents
    assert resumes(story, A) == 0


def test_a_file_that_was_to_be_renamed_and_is_sent_instead_can_be_continued(story: Story):
    story.published("old")
    story.intents.begin(Rename(M, "a", "old", A, SHA))
    story.intents.received(Upload(M, "a", A), CTIME)
    story.crash()
    assert resumes(story, A) == CTIME
