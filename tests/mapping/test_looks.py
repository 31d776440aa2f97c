"""When there will be something to ask of the disk: never now where nothing would be asked, or the engine would spin."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.looks import LOOKS_AT_ONCE, SILENT_S, Looks
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.model import Fingerprint
from tests.core.vocabulary import NOW, WALL, M
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)


class Silent:
    """A disk that has not answered yet."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def list_dir(self, directory: str) -> None:
        self.asked.append(f"{directory}/")

    def probe(self, directory: str, names: Collection[str]) -> None:
        self.asked += [f"{directory}/{name}" for name in names]

    def check(self) -> None:
        self.asked.append("root")

    def answers(self) -> bool:
        return False


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


def test_nothing_is_asked_of_what_is_going(site: Site) -> None:
    looks, disk = looks_at(site)
    site.dirty.mark("a", NOW)
    looks.detach()
    assert looks.next_due() is None
    assert looks.check_source(NOW) == 0.0
    assert disk.asked == []
