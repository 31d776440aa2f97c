"""What is dropped from the ledger while the server keeps it: all that was noted about it goes, and nothing beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Forget, Upload
from ftpsyncd.core.plan import NO_LONGER_INCLUDED
from ftpsyncd.core.settle import Sighting
from ftpsyncd.events import EventKind
from ftpsyncd.ledger import book
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import forgetting
from ftpsyncd.mapping.forgetting import KEPT, ROWS_OF_ONE, Forgetting
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Fingerprint, Intent, Kind, Listing, Presence, RootIdentity, Row
from tests.core.vocabulary import NOW, SHA, WALL, M, Without, failed
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FILE = Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL)
DIRECTORY = Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL)
FRESH = Fingerprint(1, 2, 9)


@pytest.fixture
def story() -> Iterator[Story]:
    """Of a directory and one beside it, whose name begins alike, some is published."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        for path in ("d", "d/e", "dd"):
            ledger.put(story.id, path, DIRECTORY)
        for path in ("a", "d/a", "d/e/a", "d/e/b", "dd/a"):
            ledger.put(story.id, path, FILE)
        yield story


def forgetting_of(story: Story, *left_out: str, folders: Collection[str] = ()) -> Forgetting:
    """What drops things, of a mapping that leaves out some paths."""
    mirror = story.mirror
    absences = mirror.comparing._absences
    return Forgetting(
        mirror.site, Without(left_out, folders), mirror.waits, absences._unreadable, mirror.offers, mirror.intents
    )


def known(story: Story) -> set[str]:
    return {path for path, _ in story.ledger.walk(story.id)}


def turns(work: Iterator[None]) -> int:
    """Do all of it; how many turns of the engine that takes."""
    return 1 + sum(1 for _ in work)


def note(story: Story, *paths: str) -> None:
    """Each of these waits, in every way there is."""
    mirror = story.mirror
    unreadable = mirror.comparing._absences._unreadable
    for path in paths:
        mirror.waits.wait(path, NOW + 5, "it changed a moment ago", Sighting(FRESH, WALL, NOW, NOW), AT)
        unreadable.listed(Listing("", Presence.PRESENT, {}, frozenset({path}), unreadable={path: "Denied."}), AT)
        story.ledger.failures.put(story.id, path, failed(None))
        story.queue.offer(Upload(M, path, FRESH))
        mirror.waits.overtaken(path, AT)


def noted(story: Story) -> tuple[list[str], ...]:
    mirror = story.mirror
    return (
        sorted(mirror.waits.pending),
        sorted(path for path, _ in mirror.waits.restless()),
        sorted(mirror.comparing._absences._unreadable.problems),
        sorted(path for path, _ in story.ledger.failures.worst(story.id, 9)),
        sorted(story.queue.waiting_paths(M)),
    )


def test_nothing_is_noted_any_more_about_a_file_that_is_dropped_and_it_is_told(story: Story) -> None:
    note(story, "a", "b")
    forgetting_of(story).forget(Forget(M, "a", Kind.FILE, NO_LONGER_INCLUDED))
    assert known(story) == {"d", "d/e", "dd", "d/a", "d/e/a", "d/e/b", "dd/a"}
    assert noted(story) == (["b"],) * 5
    told = [event for event in story.events if event.kind is EventKind.FORGOTTEN]
    assert [(event.path, event.message) for event in told] == [("a", NO_LONGER_INCLUDED)]


def test_what_is_in_a_directory_in_the_place_of_a_file_that_is_dropped_is_still_sent(story: Story) -> None:
    story.queue.offer(Upload(M, "a/new", FRESH))
    forgetting_of(story).forget(Forget(M, "a", Kind.FILE, NO_LONGER_INCLUDED))
    assert story.queue.waiting_paths(M) == ["a/new"]


def test_a_directory_is_dropped_with_all_that_is_below_it_when_its_turn_comes(story: Story) -> None:
    drops = forgetting_of(story)
    note(story, "d", "dd")
    for path in ("d/new", "dd/new"):
        story.queue.offer(Upload(M, path, FRESH))
    assert story.mirror.offers.is_recorded("d/e")
    before = known(story)
    drops.forget(Forget(M, "d", Kind.DIR, NO_LONGER_INCLUDED))
    assert known(story) == before
    assert turns(drops.go_on(AT)) == 1
    assert known(story) == {"a", "dd", "dd/a"}
    assert not story.mirror.offers.is_recorded("d/e"), "what is to be there next makes it anew"
    assert story.mirror.offers.is_recorded("dd")
    assert sorted(story.queue.waiting_paths(M)) == ["dd", "dd/new"]
    assert turns(drops.go_on(AT)) == 1
    assert [event.path for event in story.events if event.kind is EventKind.FORGOTTEN] == ["d"], "once"


def test_of_what_was_on_its_way_only_parts_are_swept_when_it_is_dropped(story: Story) -> None:
    """What arrived whole stays, and is none of ours."""
    intents, paths = story.mirror.intents, ("d/e/new", "dd/new")
    for path in paths:
        intents.begin(Upload(M, path, FRESH))
    drops = forgetting_of(story)
    drops.forget(Forget(M, "d", Kind.DIR, KEPT))
    turns(drops.go_on(AT))
    assert [bool(intents._open[path].fingerprints) for path in paths] == [False, True]
    assert all(intents._open[path].temporary for path in paths)


def test_where_nothing_can_be_seen_what_was_to_be_dropped_is_not(story: Story) -> None:
    drops, before = forgetting_of(story), known(story)
    drops.forget(Forget(M, "d", Kind.DIR, NO_LONGER_INCLUDED))
    drops.clear()
    turns(drops.go_on(AT))
    assert known(story) == before


def test_what_a_rename_took_along_in_part_is_recorded_first(story: Story) -> None:
    story.ledger.put(story.id, "new/moved", FILE)
    story.ledger.begun.put(story.id, "new", Intent(Kind.DIR, source="d"))
    story.adjust()
    drops, before = forgetting_of(story), known(story)
    drops.forget(Forget(M, "d", Kind.DIR, NO_LONGER_INCLUDED))
    turns(drops.go_on(AT))
    assert known(story) == before
    assert story.mirror.offers.again == {"d"}


def test_so_much_is_dropped_in_one_turn_and_the_directory_last(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOVED_AT_ONCE", 2)
    drops = forgetting_of(story)
    drops.forget(Forget(M, "d", Kind.DIR, NO_LONGER_INCLUDED))
    work, left = drops.go_on(AT), []
    for _ in work:
        left.append(len(known(story) & {"d", "d/e", "d/a", "d/e/a", "d/e/b"}))
        assert "d" in known(story)
    assert left == [3, 1], "two at a time"
    assert known(story) == {"a", "dd", "dd/a"}


@pytest.mark.parametrize(("room", "takes"), [(1, 3), (ROWS_OF_ONE + 2, 2), (2 * ROWS_OF_ONE + 4, 1)])
def test_of_many_directories_so_many_are_dropped_in_one_turn(
    story: Story, monkeypatch: pytest.MonkeyPatch, room: int, takes: int
) -> None:
    """Each costs some time, however little is in it."""
    monkeypatch.setattr(forgetting, "FORGOTTEN_AT_ONCE", room)
    story.ledger.put(story.id, "f", DIRECTORY)
    drops = forgetting_of(story)
    for path in ("dd", "d/e", "f"):
        drops.forget(Forget(M, path, Kind.DIR, NO_LONGER_INCLUDED))
    assert turns(drops.go_on(AT)) == takes
    assert known(story) == {"a", "d", "d/a"}


@pytest.mark.parametrize(
    ("left_out", "left"),
    [
        ((), {"d", "d/e", "d/a", "d/e/a", "d/e/b"}),
        (("d/a", "d/e/b"), {"d", "d/e", "d/e/a"}),
        (("d/e",), {"d", "d/a"}),
        (("d",), {"d", "d/e", "d/a", "d/e/a", "d/e/b"}),
    ],
    ids=["nothing", "files", "a directory", "all of it, which goes as a whole"],
)
@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_what_is_left_out_of_a_directory_that_is_gone_is_dropped_before(
    story: Story, monkeypatch: pytest.MonkeyPatch, left_out: tuple[str, ...], left: set[str], at_once: int
) -> None:
    monkeypatch.setattr(forgetting, "FORGOTTEN_AT_ONCE", at_once)
    work = forgetting_of(story, *left_out, "dd/a", "a").left_out_below(["d"], AT)
    number = turns(work)
    assert (number == 1) is (at_once == 100)
    assert known(story) == {*left, "a", "dd", "dd/a"}


def test_a_file_that_is_called_as_directories_are_that_are_left_out_is_not(story: Story) -> None:
    turns(forgetting_of(story, folders=("d/a", "d/e")).left_out_below(["d"], AT))
    assert known(story) == {"a", "d", "d/a", "dd", "dd/a"}


@pytest.mark.parametrize(("why", "stays"), [(KEPT, False), (NO_LONGER_INCLUDED, True)])
@pytest.mark.parametrize(("path", "kind"), [("a", Kind.FILE), ("d", Kind.DIR)])
def test_what_is_to_stay_is_dropped_under_former_names_of_the_mapping_too(
    story: Story,
    path: str,
    kind: Kind,
    why: str,
    stays: bool,  # noqa: FBT001
) -> None:
    """With that name again, it would be found gone, and deleted."""
    former = story.ledger.mappings.number("former", "there")
    for mapping in (former, story.id):
        story.ledger.mappings.set_root(mapping, RootIdentity(1, 2))
    for each in ("a", "d/a", "d"):
        story.ledger.put(former, each, FILE if each != "d" else DIRECTORY)
    drops = forgetting_of(story)
    drops.forget(Forget(M, path, kind, why))
    turns(drops.go_on(AT))
    assert story.ledger.row(story.id, path) is None
    gone = {path} if kind is Kind.FILE else {"d", "d/a"}
    assert {each for each, _ in story.ledger.walk(former)} == {"a", "d", "d/a"} - (set() if stays else gone)
