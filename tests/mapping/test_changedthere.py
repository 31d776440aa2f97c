"""Files that were changed at the server: what a person wants of them, until that is done, or is to be done no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.mapping import changedthere
from ftpsyncd.mapping.changedthere import ChangedThere
from ftpsyncd.model import RootIdentity
from tests.core.vocabulary import failed, file, folder, listing, made, published
from tests.engine.test_outcomes import Story as Mapping

PATHS = ("a", "d/b", "d/c")


class Story:
    """Three files were to be deleted, and had been changed at the server; another one was refused."""

    def __init__(self, ledger: Ledger) -> None:
        self.mapping = Mapping(ledger)
        self.ledger, self.id = ledger, self.mapping.id
        for path in (*PATHS, "d/other"):
            kind = CHANGED if path in PATHS else "NameRefusedError"
            ledger.put(self.id, path, published(file()))
            ledger.failures.put(self.id, path, failed(None, parked=True)._replace(kind=kind))
        self.changed = self.begun_anew()

    def begun_anew(self) -> ChangedThere:
        """As after a restart."""
        return ChangedThere(self.mapping.mirror.site, [path for path, _, _ in self.ledger.decisions.approved(self.id)])

    @property
    def wanted(self) -> set[str]:
        """What is to be deleted, also after a restart."""
        there, then = (
            {path for path in (*PATHS, "d/other") if path in each} for each in (self.changed, self.begun_anew())
        )
        assert there == then
        return there

    @property
    def failing(self) -> list[str]:
        return [path for path, _ in self.ledger.failures.all(self.id)]


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setattr(changedthere, "DECIDED_AT_ONCE", 2)
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


def test_what_a_person_wants_to_be_deleted_is_tried_again_whatever_is_there(story: Story) -> None:
    assert story.wanted == set()
    assert [len(story.changed.approve_some()) for _ in range(3)] == [2, 1, 0]
    assert story.wanted == set(PATHS)
    assert story.failing == ["d/other"]
    assert story.ledger.decisions.approved(story.id) == [(path, 1, True) for path in PATHS]
    assert (story.changed.answered("approved"), story.changed.answered("discarded")) == (3, 0)
    assert story.changed.answered("approved") == 0, "that is answered"
    assert {path for path, _ in story.ledger.walk(story.id)} == {*PATHS, "d/other"}


def test_what_a_person_wants_to_stay_is_ours_no_longer(story: Story) -> None:
    assert [len(story.changed.discard_some()) for _ in range(3)] == [2, 1, 0]
    assert story.wanted == set()
    assert story.failing == ["d/other"]
    assert {path for path, _ in story.ledger.walk(story.id)} == {"d/other"}
    assert (story.changed.answered("approved"), story.changed.answered("discarded")) == (0, 3)
    told = [(event.kind, event.path) for event in story.mapping.events]
    assert told == [(EventKind.FORGOTTEN, path) for path in PATHS]


def test_it_is_no_longer_that_of_another_name_of_the_mapping_either(story: Story) -> None:
    """Back under that name, it would be held once more."""
    former, elsewhere = (story.ledger.mappings.number(*each) for each in (("former", "there"), ("other", "elsewhere")))
    for mapping in (story.id, former, elsewhere):
        story.ledger.mappings.set_root(mapping, RootIdentity(2, 3))
    for mapping in (former, elsewhere):
        story.ledger.put(mapping, "a", published(file()))
        story.ledger.failures.put(mapping, "a", failed(None, parked=True)._replace(kind=CHANGED))
    story.changed.discard_some()
    assert (story.ledger.row(former, "a"), story.ledger.failures.of(former, "a")) == (None, None)
    assert story.ledger.row(elsewhere, "a") is not None
    assert story.ledger.failures.of(elsewhere, "a") is not None


def test_what_is_done_is_wanted_no_more(story: Story) -> None:
    while story.changed.approve_some():
        pass
    for path in ("a", "d/other"):
        story.changed.over(path)
    assert story.wanted == {"d/b", "d/c"}


def test_what_is_here_again_is_not_deleted(story: Story) -> None:
    while story.changed.approve_some():
        pass
    story.changed.seen(listing({"b": folder(5), "c": file(), "a": file()}, "d"))
    assert story.wanted == {"a", "d/b"}, "a directory of its name is no file"
    story.changed.seen(listing({"a": file()}))
    assert story.wanted == {"d/b"}


def test_what_is_not_ours_any_more_is_not_deleted(story: Story) -> None:
    while story.changed.approve_some():
        pass
    story.ledger.forget(story.id, "d/b")
    story.ledger.put(story.id, "d", made())
    story.changed.forget_unknown()
    assert story.wanted == {"a", "d/c"}
