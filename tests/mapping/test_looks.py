"""What is asked of a disk, and when: never now where nothing would be asked, or the engine would spin."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.core.settle import Work
from ftpsyncd.core.turn import Lane, Order
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.looks import LOOKS_AT_ONCE, NAMES_AT_ONCE, SILENT_S, Looks
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.model import Fingerprint, Listing, Presence
from tests.core.vocabulary import NOW, WALL, M
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
SOONER, LATER = Order(Lane.MARKED, NOW), Order(Lane.MARKED, NOW + 1)


class Silent:
    """A disk that has not answered yet."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy = False
        """Only that takes long: it does answer."""

    def list_dir(self, directory: str) -> None:
        self.asked.append(f"{directory}/")

    def probe(self, directory: str, names: Collection[str]) -> None:
        self.asked += sorted(f"{directory}/{name}" for name in names)

    def take(self) -> list[str]:
        """What was asked since."""
        asked, self.asked = self.asked, []
        return asked

    def check(self) -> None:
        self.asked.append("root")

    def answers(self) -> bool:
        return self.busy


@pytest.fixture
def site() -> Iterator[Site]:
    with Ledger(Path(":memory:")) as ledger:
        site = Story(ledger).mirror.site
        site.dirty.clear()
        yield site


def looks_at(site: Site) -> tuple[Looks, Silent]:
    looks, disk = Looks(site), Silent()
    looks.attach(disk)
    return looks, disk


def test_while_as_many_looks_as_may_be_are_under_way_only_an_answer_helps(site: Site) -> None:
    looks, disk = looks_at(site)
    for number in range(LOOKS_AT_ONCE + 1):
        site.dirty.mark(f"{number}/a", NOW)
    assert looks.next_due() == NOW
    assert looks.ask_what_is_due(AT)
    assert len(disk.asked) == LOOKS_AT_ONCE
    assert looks.next_due() is None


def test_while_much_waits_directories_are_not_due_and_marked_files_are(site: Site) -> None:
    looks, disk = looks_at(site)
    for number in range(QUEUE_ROOM):
        site.queue.offer(Upload(M, f"q/{number}", Fingerprint(10, 1, 7)))
    site.dirty.mark_deep("d", NOW)
    assert looks.next_due() is None
    assert looks.ask_what_is_due(AT)
    assert disk.asked == []
    site.dirty.mark("e/a", NOW + 5)
    assert looks.next_due() == NOW + 5
    assert looks.ask_what_is_due(AT._replace(now=NOW + 5))
    assert disk.asked == ["e/a"]


def test_while_a_part_of_a_deep_scan_is_under_way_the_next_one_is_not_due(site: Site) -> None:
    looks, disk = looks_at(site)
    site.dirty.mark_deep("d", NOW)
    assert looks.next_due() == 0.0
    assert looks.ask_what_is_due(AT)
    site.dirty.mark_deep("e", NOW)
    assert looks.next_due() is None
    assert looks.ask_what_is_due(AT)
    assert disk.asked == ["d/"]


def test_a_disk_is_silent_from_the_first_question_that_it_has_not_answered(site: Site) -> None:
    looks, _ = looks_at(site)
    assert looks.check_source(NOW) == 0.0
    assert looks.check_source(NOW + SILENT_S - 1) == 0.0
    assert looks.check_source(NOW + SILENT_S + 1) == SILENT_S + 1
    looks.heard()
    assert looks.check_source(NOW + SILENT_S + 2) == 0.0


def test_a_disk_that_is_only_busy_or_has_told_anything_is_not_silent(site: Site) -> None:
    looks, disk = looks_at(site)
    disk.busy = True
    looks.check_source(NOW)
    assert looks.check_source(NOW + SILENT_S) == 0.0
    disk.busy = False
    assert looks.check_source(NOW + SILENT_S) == SILENT_S
    assert disk.take() == ["root"] * 3
    looks.answered(listing("d"))
    assert looks.check_source(NOW + SILENT_S + 1) == 0.0


def listing(directory: str, *names: str) -> Listing:
    """An answer: about these names, or about all."""
    return Listing(directory, Presence.PRESENT, {}, frozenset(names) or None)


def some(*names: str, order: Order = LATER) -> Work:
    return Work("d", frozenset(names), deep=False, order=order)


def test_names_that_come_while_some_of_a_directory_are_looked_at_are_asked_for_together_when_those_are_known(
    site: Site,
) -> None:
    looks, disk = looks_at(site)
    looks.ask(some("a"))
    for name, order in (("b", LATER), ("c", SOONER), ("d", LATER)):
        looks.ask(some(name, order=order))
    assert disk.take() == ["d/a"]
    assert looks.answered(listing("d", "a")) == some("a")
    assert disk.take() == ["d/b", "d/c", "d/d"]
    assert looks.answered(listing("d", "b", "c", "d")) == some("b", "c", "d", order=SOONER)
    assert not looks
    assert disk.take() == []
    assert looks.answered(listing("d", "a")) is None, "nobody knows any more"


@pytest.mark.parametrize("first", [True, False])
def test_a_deep_look_that_comes_behind_another_at_all_of_a_directory_stays_deep(
    site: Site,
    first: bool,  # noqa: FBT001
) -> None:
    looks, disk = looks_at(site)
    shallow = Work("d", None, deep=False, order=SOONER)
    looks.ask(shallow)
    for deep in (first, not first):
        looks.ask(Work("d", None, deep=deep, order=LATER))
    assert looks.answered(listing("d")) == shallow
    assert looks.answered(listing("d")) == Work("d", None, deep=True, order=LATER)
    assert disk.take() == ["d/", "d/"]


def test_a_look_at_all_of_a_directory_does_not_wait_for_one_at_some_names(site: Site) -> None:
    looks, disk = looks_at(site)
    whole = Work("d", None, deep=False)
    looks.ask(some("a"))
    looks.ask(whole)
    assert disk.take() == ["d/a", "d/"]
    assert looks.answered(listing("d")) == whole
    assert looks.answered(listing("d", "a")) == some("a")


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_names_are_asked_for_some_at_a_time(site: Site, more: int) -> None:
    looks, disk = looks_at(site)
    names = {str(number) for number in range(NAMES_AT_ONCE + more)}
    looks.ask(some(*names))
    first = disk.take()
    assert len(first) == NAMES_AT_ONCE
    looks.answered(listing("d", "0"))
    assert {*first, *disk.take()} == {f"d/{name}" for name in names}
    assert bool(looks) == bool(more), "nothing is asked for where nothing is left"


def test_where_nothing_can_be_seen_what_was_to_be_asked_next_is_not(site: Site) -> None:
    looks, disk = looks_at(site)
    looks.ask(some("a"))
    looks.ask(some("b"))
    looks.drop_next()
    assert looks.answered(listing("d", "a")) == some("a")
    assert disk.take() == ["d/a"]


@pytest.mark.parametrize("one_pass", [True, False])
def test_the_next_pass_comes_in_its_time_but_for_a_sync_that_ends(
    site: Site,
    one_pass: bool,  # noqa: FBT001
) -> None:
    site = site._replace(one_pass=one_pass)
    looks, _ = looks_at(site)
    site.dirty.mark("d/a", NOW)
    looks.ask_what_is_due(AT)
    in_pass = [looks.in_pass]
    site.dirty.mark_deep("", NOW)
    looks.ask_what_is_due(AT)
    assert [*in_pass, looks.in_pass] == [False, True]
    looks.answered(listing(""))
    looks.answered(listing("d", "a"))
    looks.pass_ended(AT)
    assert (looks.in_pass, looks.passes) == (False, 1)
    due = site.dirty.next_due()
    if one_pass:
        assert due is None
    else:
        assert due is not None
        assert 0.75 * site.spec.rescan_s <= due - NOW <= 1.25 * site.spec.rescan_s


def test_where_all_that_may_wait_is_marked_by_itself_nothing_more_is_asked_for(site: Site) -> None:
    """Of a directory that was copied in, so much that it fills the queue twice leaves room for what is marked."""
    looks, disk = looks_at(site)
    for number in range(2 * QUEUE_ROOM):
        site.queue.offer(Upload(M, f"q/{number}", Fingerprint(10, 1, 7)), Order(Lane.PASS, NOW))
    site.dirty.mark("e/a", NOW)
    assert looks.next_due() == NOW
    assert looks.ask_what_is_due(AT)
    assert disk.take() == ["e/a"]
    looks.answered(listing("e", "a"))
    for number in range(QUEUE_ROOM):
        site.queue.offer(Upload(M, f"r/{number}", Fingerprint(10, 1, 7)), SOONER)
    site.dirty.mark("e/a", NOW)
    assert looks.next_due() is None
    assert not looks.ask_what_is_due(AT)
    assert disk.take() == []


def test_nothing_is_asked_of_what_is_going(site: Site) -> None:
    looks, disk = looks_at(site)
    site.dirty.mark("a", NOW)
    looks.detach()
    assert looks.next_due() is None
    assert looks.check_source(NOW) == 0.0
    assert disk.asked == []
