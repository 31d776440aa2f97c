"""Deletes that are refused: tried again, or held for a person, one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Failed, Outcome, RemoveDir, Upload
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.swapped import swapped_away
from ftpsyncd.engine import again
from ftpsyncd.errors import ChangedAtServerError, TransferFailedError
from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import FailureCounts
from ftpsyncd.mapping.clearing import ROWS_AT_ONCE, ROWS_IN_A_TURN
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.mapping.removals import Removals
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure, Fingerprint, Hold, HoldKind, Kind, RootIdentity, Row
from ftpsyncd.specs import DeleteLimit, DeletePolicy
from tests.core.vocabulary import NOW, SHA, WALL, M, S
from tests.engine.test_outcomes import Story

LATER = NOW + 60
WAIT_S = 60.0
"""Longer than `delete_after`: what is left of a folder is judged anew, with all its patience."""
BUSY = TransferFailedError("Try again.", reply="450 Busy.")
CHANGED = ChangedAtServerError("The file at the server is not the one that was published.")


def at(now: float) -> Moment:
    return Moment(now, WALL + int((now - NOW) * S))


def taken(queue: Queue, now: float) -> list[Action]:
    """What may start."""
    actions = []
    while (action := queue.take(now)) is not None:
        actions.append(action)
    return actions


class Deleting(Story):
    """A folder with two files that is gone here, and the server's queue."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, queue=Queue(4))
        ledger.put(self.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
        for n, name in enumerate("ab"):
            ledger.put(self.id, f"d/{name}", Row(Kind.FILE, Fingerprint(10 + n, 1, 7 + n), SHA, WALL))

    def look(self, now: float) -> list[Action]:
        """The folder is found gone (again); what is handed out."""
        self.mirror.removals.gone("d", Kind.DIR, at(now))
        self.mirror.removals.go_on(at(now))
        return [self.mirror.intents.begin(action) for action in taken(self.queue, now)]

    def end(self, outcome: Outcome, now: float) -> None:
        self.apply(outcome, now)
        self.queue.finish(outcome.action)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deleting]:
    with Ledger(Path(":memory:")) as ledger:
        made = Deleting(ledger)
        made.look(NOW)
        monkeypatch.setattr("ftpsyncd.mapping.site.time.time_ns", lambda: at(LATER).wall_ns)
        yield made


def test_a_delete_names_the_size_that_the_file_must_have(story: Deleting) -> None:
    assert story.look(LATER) == [Delete(M, "d/a", sizes=(10,)), Delete(M, "d/b", sizes=(11,))]


def test_a_delete_that_failed_in_a_folder_that_is_gone_is_tried_again(
    story: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = story.look(LATER)
    story.end(Failed(first, BUSY), LATER)
    story.end(Done(second, Did.DELETED), LATER)
    assert story.look(LATER) == [], "not before its time"
    monkeypatch.setattr("ftpsyncd.mapping.site.time.time_ns", lambda: at(LATER + 2).wall_ns)
    [again] = story.look(LATER + 2 + WAIT_S)
    assert again == first
    story.end(Done(again, Did.DELETED), LATER + 2 + WAIT_S)
    [last] = story.look(LATER + 3 + WAIT_S)
    assert isinstance(last, RemoveDir)


def test_a_hold_tells_what_else_was_deleted_in_the_minute_before(story: Deleting) -> None:
    """One more file alone is not what is too much."""
    limited(story, 2)
    assert len(story.look(LATER)) == 2
    story.ledger.put(story.id, "c", Row(Kind.FILE, Fingerprint(1, 1, 20), SHA, WALL))
    for now in (LATER, LATER + 20):
        story.mirror.removals.gone("c", Kind.FILE, at(now))
    hold = story.mirror.removals.hold
    assert hold is not None
    assert hold.message.startswith(
        "1 file was deleted at once, and 2 in the minute before (c), more than max_deletes (2) allowed:"
    )


def limited(story: Deleting, files: int) -> None:
    """Let so many files be deleted at once."""
    story.mirror.spec = story.mirror.spec._replace(max_deletes=DeleteLimit(files))
    story.mirror.removals.limit._site = story.mirror.site._replace(spec=story.mirror.spec)


def gone(story: Deleting, removals: Removals, name: str, now: float) -> None:
    """Another file that is published is found gone."""
    story.ledger.put(story.id, name, Row(Kind.FILE, Fingerprint(1, 1, 20), SHA, WALL))
    removals.gone(name, Kind.FILE, at(now))


def test_of_renames_that_were_cut_off_out_of_a_folder_that_is_gone_it_is_awaited_whether_the_files_are_here(
    story: Deleting,
) -> None:
    """Until all has been looked at since the start nothing tells whether they were renamed or deleted."""
    limited(story, 1)
    moves, doubt = story.mirror.site.moves, story.mirror.intents.doubt_row
    for n, name in enumerate("ab"):
        doubt(f"d/{name}")
        moves.was_cut_off(f"d/{name}", CutOff(f"new/{name}", Fingerprint(10 + n, 1, 7 + n)))
    assert story.look(LATER) == []
    story.mirror.removals.pass_ended(at(LATER))
    story.mirror.removals.all_compared(at(LATER))
    assert story.mirror.dirty.awaits("d")
    assert story.look(LATER) == []
    assert story.mirror.removals.held == 2


def held_in_ledger(story: Deleting) -> str:
    hold = story.ledger.decisions.hold(story.id)
    assert hold is not None
    return hold.message.partition(",")[0]


def test_a_hold_tells_of_what_is_found_gone_later_too_since_a_decision_is_about_all_of_it(story: Deleting) -> None:
    limited(story, 1)
    removals = story.mirror.removals
    assert story.look(LATER) == []
    assert held_in_ledger(story) == "2 files were deleted at once (d)"
    gone(story, removals, "c", LATER)
    gone(story, removals, "e", LATER)
    removals.go_on(at(LATER + 2))
    assert held_in_ledger(story) == "4 files were deleted at once (c"
    assert removals.hold == story.ledger.decisions.hold(story.id)
    removals.absent.back("c")
    removals.go_on(at(LATER + 4))
    assert held_in_ledger(story) == "4 files were deleted at once (d", "so many were"
    assert removals.hold is not None
    assert "; 3 of them are still gone: " in removals.hold.message
    assert removals.approve(at(LATER + 5)).startswith(f"{M}: 3 deletes approved;")


def test_what_was_withheld_is_looked_at_again_when_the_hold_ends(story: Deleting) -> None:
    """Nobody else would look before the next scan."""
    limited(story, 1)
    assert story.look(LATER) == []
    story.mirror.dirty.clear()
    story.mirror.removals.holding.release("it is over", at(LATER))
    assert story.mirror.dirty.due_by(LATER)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (1, "more than max_deletes (1) allowed: `ftpsyncd approve"),
        (0, "more than max_deletes (0) allowed: `ftpsyncd approve"),
        (9, "more than max_deletes (1) allowed then; it is 9 now, and these still wait for you: `ftpsyncd approve"),
    ],
)
def test_a_hold_tells_of_another_limit_that_a_reload_has_set(story: Deleting, files: int, told: str) -> None:
    limited(story, 1)
    assert story.look(LATER) == []
    before = story.mirror.removals
    removals = Removals(before._site._replace(spec=before._site.spec._replace(max_deletes=DeleteLimit(files))))
    removals.go_on_from(before)
    removals.gone("d", Kind.DIR, at(LATER))
    removals.go_on(at(LATER + 2))
    hold = story.ledger.decisions.hold(story.id)
    assert hold == removals.hold
    assert hold is not None, "it is a person's to decide"
    assert f"(d), {told}" in hold.message


@pytest.mark.parametrize("files", [1, 9])
def test_so_does_one_that_outlived_a_restart_when_all_was_looked_at(story: Deleting, files: int) -> None:
    """Not if what is gone would not be too much by itself: what went before is not known any more."""
    limited(story, 1)
    assert story.look(LATER) == []
    again = Removals(story.mirror.site)
    limited(story, files)
    again.limit._site = story.mirror.removals.limit._site
    again.gone("d", Kind.DIR, at(LATER))
    gone(story, again, "c", LATER)
    again.go_on(at(LATER + 2))
    assert held_in_ledger(story) == "2 files were deleted at once (d)", "not all was looked at"
    again.pass_ended(at(LATER + 2))
    again.go_on(at(LATER + 2))
    assert (
        held_in_ledger(story) == f"{3 if files == 1 else 2} files were deleted at once ({'c' if files == 1 else 'd)'}"
    )


def test_a_directory_that_is_gone_costs_no_look_at_all_others_that_are_being_deleted(story: Deleting) -> None:
    """Where the server is away, each of them is asked about again every few seconds."""
    removals = story.mirror.removals

    def delete(directories: range) -> None:
        for number in directories:
            removals._clearing.begin(f"e/{number}")

    def took_s(directories: range) -> float:
        began = time.thread_time()
        for number in directories:
            assert removals.gone(f"e/{number}", Kind.DIR, at(LATER))
        return time.thread_time() - began

    few, others, last = range(50), range(50, 20_000), range(20_000, 20_050)
    delete(few)
    few_s = min(took_s(few) for _ in range(3))
    delete(others)
    delete(last)
    assert min(took_s(last) for _ in range(3)) < 10 * few_s
    assert removals._clearing.is_at_work_on("e")
    turns = 0
    while removals.working:
        removals.go_on(at(LATER))
        story.mirror.queue.withdraw_mapping(M)
        turns += 1
    assert turns > 1, "the queue has no room for all"
    assert not removals._clearing.is_at_work_on("e")


def test_very_many_deletes_that_are_refused_for_good_are_gone_through_in_several_turns(story: Deleting) -> None:
    """After each pass anew: of a million files, that kept all mappings, and people, waiting for half a minute."""
    refused = Failure(None, 2, True, 0, "NameRefusedError", "Permission denied.", "550 No.", "", WALL)  # noqa: FBT003
    removals, ledger = story.mirror.removals, story.ledger
    for directory in range(100):
        ledger.put(story.id, f"d/{directory}", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
        for number in range(100):
            ledger.put(story.id, f"d/{directory}/{number}", Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
            ledger.failures.put(story.id, f"d/{directory}/{number}", refused)
    removals._clearing.begin("d")
    looked_at: list[str] = []
    known = ledger.failures.of

    def of(mapping: int, path: str) -> Failure | None:
        looked_at.append(path)
        return known(mapping, path)

    ledger.failures.of = of  # type: ignore[method-assign]
    turns = []
    while removals.working:
        looked_at.clear()
        removals.go_on(at(LATER))
        turns.append(len(looked_at))
        assert removals.hurries is removals.working, "nothing else would have it gone on with"
    assert max(turns) <= ROWS_IN_A_TURN + ROWS_AT_ONCE
    assert sum(turns) == 100 * 100 + 2
    assert [action.path for action in taken(story.queue, LATER)] == ["d/a", "d/b"]


def test_what_was_changed_at_the_server_waits_for_a_person_and_for_nobody_else(story: Deleting) -> None:
    first, second = story.look(LATER)
    story.end(Failed(first, CHANGED), LATER)
    story.end(Done(second, Did.DELETED), LATER)
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0, held=1)
    assert story.look(LATER + 3600) == []
    assert story.mirror.removals.approve(at(LATER)) == f"{M}: 1 delete approved"
    [again] = story.look(LATER + 3600 + WAIT_S)
    assert again == Delete(M, "d/a"), "whatever its size"
    story.end(Done(again, Did.DELETED), LATER + 3600 + WAIT_S)
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    story.ledger.put(story.id, "d/a", Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
    assert story.mirror.removals._delete_action("d/a").sizes == (10,), "the decision was about that one file"


def test_a_mass_delete_is_held_again_when_what_came_in_its_place_is_over(story: Deleting) -> None:
    holding, decisions = story.mirror.removals.holding, story.ledger.decisions
    holding.put(HoldKind.MASS_DELETE, "Too many.", at(LATER))
    for kind in (HoldKind.UNMOUNTED_SOURCE, HoldKind.REPLACED_SOURCE):
        holding.put(kind, "It is another folder.", at(LATER))
        assert decisions.behind(story.id) == "Too many."
    holding.is_back("It is back.", at(LATER))
    assert holding.hold == decisions.hold(story.id) == Hold(HoldKind.MASS_DELETE, at(LATER).wall_ns, "Too many.")
    assert decisions.behind(story.id) is None
    holding.is_back("It is back.", at(LATER))
    assert holding.hold is None


def test_all_is_looked_at_again_when_another_folder_has_come_and_when_the_published_one_is_back(
    story: Deleting,
) -> None:
    """What was asked of the one may have been answered by the other; what was decided is about all of it."""
    source, dirty, ours = story.mirror.removals.source, story.mirror.dirty, RootIdentity(1, 1)
    story.ledger.mappings.set_root(story.id, ours)
    source.places.published = ours
    for root, is_news in ((ours, False), (ours, False), (RootIdentity(2, 1), True), (RootIdentity(2, 1), False)):
        while dirty.take(LATER) is not None:
            pass
        source.found(root, at(LATER))
        assert dirty.scanning_deep(LATER) is is_news
    assert story.ledger.decisions.hold(story.id) is not None
    source.found(ours, at(LATER))
    assert dirty.scanning_deep(LATER)
    assert story.ledger.decisions.hold(story.id) is not None, "before all is seen"
    while dirty.take(LATER) is not None:
        pass
    source.pass_ended(at(LATER))
    assert story.ledger.decisions.hold(story.id) is None
    assert dirty.scanning_deep(LATER)


def test_a_hold_is_written_anew_only_where_something_else_is_told(story: Deleting) -> None:
    holding = story.mirror.removals.holding
    holding.put(HoldKind.MASS_DELETE, "Too many.", at(LATER))
    story.ledger.commit()
    holding.reword("Too many.")
    assert not story.ledger.dirty
    holding.reword("Far too many.")
    assert story.ledger.decisions.hold(story.id) == holding.hold
    assert story.ledger.dirty


@pytest.mark.parametrize("limit", [0, 1000])
def test_what_was_withheld_is_looked_at_one_by_one_unless_it_is_very_much(
    story: Deleting, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.holding.MARKED_AT_ONCE", limit)
    removals, dirty = story.mirror.removals, story.mirror.dirty
    removals.absent.note("d/z", 1, LATER)
    removals.holding.put(HoldKind.MASS_DELETE, "Too many.", at(LATER))
    dirty.clear()
    removals.holding.release("It is not any more.", at(LATER))
    assert (dirty.awaits("d/z"), dirty.scanning_deep(LATER)) == (limit > 0, limit == 0)


@pytest.mark.parametrize("decide", ["approve", "discard"])
@pytest.mark.parametrize(("missing", "why"), [("", "still being looked at"), ("its disk is gone", "its disk is gone")])
def test_nobody_decides_about_a_folder_that_nobody_has_seen(
    story: Deleting, decide: str, missing: str, why: str
) -> None:
    """Right after a start, or a reload, the decision was taken, and was about nothing: all was held again."""
    removals, hold = story.mirror.removals, Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
    story.ledger.mappings.set_root(story.id, RootIdentity(1, 1))
    removals.holding.hold, removals.source.missing = hold, missing
    assert why in getattr(removals, decide)(at(LATER))
    assert removals.hold == hold
    removals.source.found(RootIdentity(2, 1), at(LATER))
    assert why not in getattr(removals, decide)(at(LATER))
    assert story.ledger.decisions.hold(story.id) is None
    assert story.ledger.mappings.root(story.id) == RootIdentity(2, 1)


@pytest.mark.parametrize("decide", ["approve", "discard"])
@pytest.mark.parametrize("kind", [HoldKind.MASS_DELETE, HoldKind.REPLACED_SOURCE])
def test_nothing_is_decided_while_the_folder_is_missing(story: Deleting, decide: str, kind: HoldKind) -> None:
    """What was found gone before its disk went away was deleted, or forgotten, when the disk was back."""
    first, second = story.look(LATER)
    story.end(Failed(first, CHANGED), LATER)
    story.end(Done(second, Did.DELETED), LATER)
    removals, held = story.mirror.removals, Hold(kind, 0, "It waits for you.")
    story.ledger.mappings.set_root(story.id, RootIdentity(1, 1))
    removals.source.places.published = RootIdentity(1, 1)
    removals.source.found(RootIdentity(2 if kind is HoldKind.REPLACED_SOURCE else 1, 1), at(LATER))
    removals.holding.hold = held
    removals.source.lost("its disk is gone", LATER)
    step = getattr(removals, f"{decide}_some")
    assert not step()
    assert getattr(removals, decide)(at(LATER)) == f"{M}: nothing was decided: its disk is gone"
    assert removals.hold == held
    assert story.ledger.failures.counts(story.id).held == 1
    assert story.ledger.decisions.approved(story.id) == []
    assert not story.ledger.decisions.discarding(story.id)
    assert story.ledger.mappings.root(story.id) == RootIdentity(1, 1)


@pytest.mark.parametrize("decide", ["approve", "discard"])
def test_a_person_who_accepts_another_folder_is_told_so(story: Deleting, decide: str) -> None:
    story.mirror.removals.source.places.root = RootIdentity(2, 1)
    story.mirror.removals.absent.clear()
    story.mirror.removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
    story.mirror.removals._all_seen = True
    said = getattr(story.mirror.removals, decide)(at(LATER))
    assert said == f"{M}: the folder is accepted as it is; no delete was held"
    assert story.mirror.removals.hold is None


@pytest.mark.parametrize(
    ("decide", "done"),
    [("approve", "1 directory approved"), ("discard", "1 directory discarded; nothing is removed at the server")],
)
def test_a_person_who_decides_about_an_empty_directory_is_told_so(story: Deleting, decide: str, done: str) -> None:
    story.mirror.removals.source.places.root = RootIdentity(2, 1)
    story.mirror.removals.absent.clear()
    story.mirror.removals.absent.note_directory("empty", 0, NOW)
    story.mirror.removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
    story.mirror.removals._all_seen = True
    assert story.mirror.removals.directories_held == 1
    assert getattr(story.mirror.removals, decide)(at(LATER)) == f"{M}: {done}"
    assert story.mirror.removals.directories_held == 0


@pytest.mark.parametrize(
    ("decide", "later"),
    [
        ("approve", "other deletes follow the usual rules"),
        ("discard", "what else is found to be gone stays there, too"),
    ],
)
def test_a_person_who_decides_before_everything_was_looked_at_is_told_so(
    story: Deleting, decide: str, later: str
) -> None:
    removals = story.mirror.removals
    removals.source.places.root = RootIdentity(2, 1)
    removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
    removals._all_seen = False
    assert getattr(removals, decide)(at(LATER)).endswith(f"; not everything was looked at yet: {later}")
    removals.pass_ended(at(LATER))
    removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, 0, "It is another folder.")
    assert "not everything" not in getattr(removals, decide)(at(LATER))


def test_a_hold_tells_of_the_folder_that_is_configured_now(story: Deleting) -> None:
    site = story.mirror.site
    story.ledger.mappings.set_root(story.id, RootIdentity(1, 1))
    for local, inode in (("/second", 2), ("/third", 3)):
        removals = Removals(site._replace(spec=site.spec._replace(local=Path(local))))
        for _ in range(2):
            removals.source.found(RootIdentity(inode, 1), at(NOW))
        assert removals.hold == story.ledger.decisions.hold(story.id)
        assert removals.hold is not None
        assert removals.hold.message.startswith(f"{local} is not the folder that was published before")
    assert [event.kind for event in story.events].count(EventKind.HELD) == 2


def test_a_folder_that_the_ledger_knows_by_the_number_of_its_device_is_the_same(story: Deleting) -> None:
    site, now = story.mirror.site, RootIdentity(1, 2**60)
    for numbered, same in ((RootIdentity(1, 8), True), (RootIdentity(1, 9), False), (RootIdentity(2, 8), False)):
        story.ledger.mappings.set_root(story.id, RootIdentity(1, 8))
        removals = Removals(site)
        removals.source.found(now, at(NOW), numbered)
        assert (removals.hold is None) is same
        assert (story.ledger.mappings.root(story.id) == now) is same
        assert site.folder.root == (now if same else None)


def test_a_folder_that_the_ledger_knows_by_its_inode_alone_is_the_same(story: Deleting) -> None:
    site, now = story.mirror.site, RootIdentity(2**50, 7)
    for known, same in ((RootIdentity(1, 7), True), (RootIdentity(1, 6), False), (RootIdentity(2, 7), False)):
        story.ledger.mappings.set_root(story.id, known)
        removals = Removals(site)
        removals.source.found(now, at(NOW), RootIdentity(1, 8))
        assert (removals.hold is None) is same
        assert (story.ledger.mappings.root(story.id) == now) is same


def test_of_a_disk_whose_directory_is_recorded_no_more_nothing_is_held_when_all_was_seen(story: Deleting) -> None:
    """Its files were dropped by a new rule, for one: nobody could bring that disk back."""
    source, ours = story.mirror.removals.source, RootIdentity(1, 1)
    story.ledger.mappings.set_root(story.id, ours)
    source.places.published = ours
    source.found(ours, at(NOW))
    source.swapped(swapped_away("d"), at(NOW))
    source.pass_ended(at(NOW))
    assert story.mirror.removals.hold is not None
    story.ledger.forget_tree(story.id, "d")
    source.pass_ended(at(NOW))
    assert story.mirror.removals.hold is None


def test_while_another_folder_is_in_the_place_that_is_told_though_something_arrived_of_a_disk(story: Deleting) -> None:
    """Who approves decides about that folder."""
    source, ours = story.mirror.removals.source, RootIdentity(1, 1)
    story.ledger.mappings.set_root(story.id, ours)
    source.places.published = ours
    source.found(ours, at(NOW))
    source.swapped(swapped_away("d"), at(NOW))
    source.offered("d/a", ours)
    source.found(RootIdentity(2, 1), at(NOW))
    before = story.mirror.removals.hold
    assert before is not None
    assert "is not the folder that was published before" in before.message
    source.arrived("d/a", at(NOW))
    assert story.mirror.removals.hold == before


def test_what_was_changed_at_the_server_can_be_kept(story: Deleting) -> None:
    first, second = story.look(LATER)
    story.end(Failed(first, CHANGED), LATER)
    story.end(Done(second, Did.DELETED), LATER)
    assert "1 delete discarded; the files stay at the server" in story.mirror.removals.discard(at(LATER))
    assert story.ledger.row(story.id, "d/a") is None
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    [last] = story.look(LATER)
    assert isinstance(last, RemoveDir), "which the server refuses while the file is in it"


def test_a_discard_that_is_carried_out_is_about_nothing_else(story: Deleting) -> None:
    """However long ago what is found gone later may have gone, by the time of its directory."""
    removals = story.mirror.removals
    removals.holding.hold, removals._all_seen = Hold(HoldKind.MASS_DELETE, 0, "Too many."), True
    removals.discard(at(LATER))
    assert not removals.gone("d", Kind.DIR, at(LATER))
    removals.dropped()
    assert not story.ledger.decisions.discarding(story.id)
    assert removals.gone("e", Kind.FILE, at(LATER + 10), gone_s=100.0)


def test_what_a_discard_had_put_off_is_not_dropped_while_another_folder_is_in_the_place(story: Deleting) -> None:
    """The directory may be in the one that comes back: dropped from the ledger, it would be nobody's at the server."""
    discarded = story.mirror.removals.discarded
    discarded.begin(LATER, unseen=False)
    discarded.put_off("d")
    assert discarded.is_about("d/a", LATER + 1, known_source=False)
    discarded.interrupted()
    assert not discarded.is_about("d/a", LATER + 1, known_source=False)
    assert discarded.is_about("d/a", LATER + 1, known_source=True)


@pytest.mark.parametrize("unread", [(), ("d",)], ids=["not all was looked at", "a directory cannot be read"])
def test_who_approves_what_is_gone_ends_the_discard_of_what_may_be(story: Deleting, unread: tuple[str, ...]) -> None:
    """What is found gone after that follows the usual rules: it stayed at the server, and nobody was asked."""
    discarded = story.mirror.removals.discarded
    discarded.begin(NOW, unseen=True)
    if unread:
        discarded.all_seen(unread)
    assert discarded.is_about("d/a", LATER, known_source=True)
    discarded.overruled()
    assert not discarded.is_about("d/a", LATER, known_source=True)


def test_what_stays_since_nothing_is_deleted_is_no_matter_of_a_discard(story: Deleting) -> None:
    discarded = story.mirror.removals.discarded
    discarded.put_off("d")
    assert not discarded.is_about("d", LATER, known_source=True)


def test_a_file_that_a_crash_left_in_doubt_has_a_size_too(story: Deleting) -> None:
    story.ledger.put(story.id, "d/a", Row(Kind.FILE, Fingerprint(10, 0, 0), b"", WALL))
    assert story.mirror.removals._delete_action("d/a").sizes == (10,)
    story.ledger.put(story.id, "d/a", Row(Kind.FILE, Fingerprint(0, 5, 7), b"", WALL))
    assert story.mirror.removals._delete_action("d/a").sizes == (0,), "an empty file has a size, too"


def test_an_upload_that_was_cut_off_may_have_changed_the_size_there(story: Deleting) -> None:
    newer = Fingerprint(99, 2, 7)
    story.mirror.intents.begin(Upload(M, "d/a", newer, replaces=True))
    [first, _] = story.look(LATER)
    assert first == Delete(M, "d/a", sizes=(10, 99))


def test_a_repair_leaves_what_was_changed_at_the_server_to_a_person(story: Deleting) -> None:
    first, second = story.look(LATER)
    story.end(Failed(first, CHANGED), LATER)
    story.end(Done(second, Did.DELETED), LATER)
    assert again.publish(story.mirror, ["d/a"], [], at(LATER)) == 0
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0, held=1)
    assert story.look(LATER + 3600) == []


def test_a_repair_of_a_file_that_is_gone_here_does_not_forget_its_size(story: Deleting) -> None:
    assert again.publish(story.mirror, ["d/a"], [], at(NOW)) == 1
    assert story.look(LATER)[0] == Delete(M, "d/a", sizes=(10,))


def held(story: Deleting) -> Removals:
    """More is gone than may be deleted at once."""
    removals = story.mirror.removals
    removals.holding.put(HoldKind.MASS_DELETE, "too many", at(NOW))
    return removals


def test_a_hold_is_about_what_nobody_can_look_at_where_the_folder_or_a_part_of_it_cannot_be_read(
    story: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals = story.mirror.removals
    monkeypatch.setattr(type(removals.source), "is_published", property(lambda _self: published))

    def may_hold_more(*unread: str) -> bool:
        removals.unread = lambda: unread
        return removals.may_hold_more

    published = False
    assert not may_hold_more("e"), "nothing is held"
    held(story)
    assert may_hold_more()
    published = True
    assert not may_hold_more("e"), "it is looked at yet"
    removals.pass_ended(at(NOW))
    assert may_hold_more("e")
    assert not may_hold_more()
    removals.pass_ended(at(NOW))
    assert not may_hold_more("e"), "all that it is about is known by now"


@pytest.mark.parametrize("keeps", [False, True])
def test_where_nothing_is_deleted_any_more_nothing_is_held(*, keeps: bool) -> None:
    with Ledger(Path(":memory:")) as ledger:
        story = Deleting(ledger)
        if keeps:
            story._spec = story._spec._replace(deletes=DeletePolicy.KEEP)
            story.adjust()
        story.look(NOW)
        removals = held(story)
        assert removals.held == 2
        removals.all_compared(at(NOW))
        assert removals.hold is not None, "it is not known yet what is gone"
        removals.pass_ended(at(NOW))
        removals.all_compared(at(NOW))
        assert (removals.hold is None) is keeps


def test_a_discard_is_about_what_is_found_gone_when_the_folder_is_back(story: Deleting) -> None:
    """What it was about is not known any more, and was gone when a person decided all the same."""
    removals = held(story)
    removals.pass_ended(at(NOW))
    removals.discard(at(NOW))
    assert not removals.discarded.is_about("d", LATER, known_source=True)
    removals.source.lost("It is not there.", NOW + 1)
    assert removals.discarded.is_about("d", LATER, known_source=True)
