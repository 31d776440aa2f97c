"""What cannot be read is told once, and looked at again, ever more rarely, until it can be or is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.unreadable import FIRST_AGAIN_S, LONGEST_AGAIN_S, Unreadable
from ftpsyncd.model import Entry
from tests.core.vocabulary import NOW, WALL, file, folder, listing, made, published
from tests.engine.test_outcomes import Story as One

WHY = "permission denied"
NOTHING: Mapping[str, Entry] = {}


class Marks:
    """What is to be looked at, how, and when."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, float]] = []

    def mark(self, path: str, due: float) -> None:
        self.made.append(("path", path, due))

    def mark_directory(self, path: str, due: float) -> None:
        self.made.append(("directory", path, due))

    def mark_deep(self, path: str, due: float) -> None:
        self.made.append(("deep", path, due))


class Story:
    """A mapping, in a daemon or in one pass."""

    def __init__(self, ledger: Ledger, *, one_pass: bool = False) -> None:
        self.mapping = One(ledger)
        self._marks = Marks()
        site = self.mapping.mirror.site._replace(one_pass=one_pass, dirty=cast("Any", self._marks))
        self.site = site
        self.unreadable = Unreadable(site)

    def lists(
        self,
        *unreadable: str,
        directory: str = "",
        now: float = NOW,
        names: list[str] | None = None,
        there: Mapping[str, Entry] = NOTHING,
    ) -> None:
        found = listing(there, directory, unreadable=unreadable, names=names)
        self.unreadable.listed(found, Moment(now, WALL))

    def closed(self, directory: str, now: float = NOW) -> None:
        """A directory cannot be listed."""
        self.unreadable.note_directory(directory, WHY, Moment(now, WALL))

    @property
    def problems(self) -> set[str]:
        return set(self.unreadable.problems)

    @property
    def marks(self) -> list[tuple[str, str, float]]:
        """Since the last time; for each the seconds until it is due."""
        found, self._marks.made[:] = [(how, path, due - NOW) for how, path, due in self._marks.made], []
        return found


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(Path(":memory:")) as ledger:
        yield ledger


@pytest.fixture
def story(ledger: Ledger) -> Story:
    return Story(ledger)


def test_it_is_told_once_and_looked_at_again_ever_more_rarely(story: Story) -> None:
    due, now = [], NOW
    for _ in range(12):
        story.lists("a", now=now)
        [(how, path, after)] = story.marks
        assert (how, path) == ("path", "a")
        due.append(NOW + after - now)
        now = NOW + after
    assert due == [min(FIRST_AGAIN_S * 2**n, LONGEST_AGAIN_S) for n in range(12)]
    [event] = story.mapping.events
    assert (event.kind, event.path, event.message) == (EventKind.FAILED, "a", f"it cannot be read: {WHY}")
    assert story.unreadable.problems == {"a": WHY}


def test_what_could_be_read_meanwhile_is_told_and_looked_at_anew(story: Story) -> None:
    for _ in range(3):
        story.lists("a")
    assert story.unreadable.over("a")
    assert not story.unreadable.over("a")
    assert not story.problems
    assert story.marks[-1] == ("path", "a", 4 * FIRST_AGAIN_S)
    story.lists("a")
    assert story.marks == [("path", "a", FIRST_AGAIN_S)]
    assert len(story.mapping.events) == 2


def test_a_directory_is_listed_again_and_all_below_it_when_it_can_be(story: Story) -> None:
    story.closed("d")
    assert story.marks == [("directory", "d", FIRST_AGAIN_S)]
    story.lists(directory="e")
    assert story.problems == {"d"}
    story.lists(directory="d", now=NOW + 5)
    assert story.marks == [("deep", "d", 5)]
    assert not story.problems
    story.lists(directory="d")
    assert story.marks == []


@pytest.mark.parametrize(
    ("names", "there", "left"),
    [
        (None, {}, {"d/e/b"}),
        (None, {"a": file()}, {"d/e/b"}),
        (None, {"a": folder()}, {"d/a", "d/e/b"}),
        (["a"], {}, {"d/e/b"}),
        (["b"], {"b": file()}, {"d/a", "d/e/b"}),
    ],
    ids=["gone", "a file", "a directory", "asked for and gone", "not asked for"],
)
def test_a_name_can_be_read_again_or_is_gone_as_its_directory_tells(
    story: Story, names: list[str] | None, there: dict[str, Entry], left: set[str]
) -> None:
    """Whether a directory can, only its own listing tells."""
    story.lists("a", directory="d")
    story.lists("b", directory="d/e")
    story.lists(directory="d", names=names, there=there)
    assert story.problems == left


def test_nothing_is_left_of_what_was_below_a_directory_that_is_gone(story: Story) -> None:
    for directory in ("d", "d/e", "d2"):
        story.lists("a", directory=directory)
    story.closed("d")
    story.unreadable.nothing_below("d")
    assert story.problems == {"d", "d2/a"}


def test_since_when_something_cannot_be_read_is_of_what_could_not_for_longest(story: Story) -> None:
    assert story.unreadable.longest() is None
    for number in range(3):
        story.lists(f"{number}", now=NOW + number, directory=f"d{number}")
    story.lists("0", now=NOW + 5, directory="d0")
    assert story.unreadable.longest() == (NOW, ""), "which it is is told among what failed"
    story.unreadable.over("d0/0")
    assert story.unreadable.longest() == (NOW + 1, "")


def test_of_what_was_published_it_is_known_that_it_cannot_be_read(story: Story) -> None:
    story.lists("a", "b")
    for path in ("", "d"):
        story.closed(path)
    story.site.ledger.put(story.site.id, "a", published(file()))
    story.site.ledger.put(story.site.id, "other", made())
    assert story.unreadable.published() == {"a", ""}


def test_one_pass_tells_and_looks_at_nothing_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 2)
    story = Story(ledger, one_pass=True)
    story.lists("a", "b", "c")
    story.closed("d")
    assert story.marks == []
    assert story.problems == {"a", "b"}
    assert len(story.mapping.events) == 2


def test_where_very_many_cannot_be_read_their_directories_are_looked_at_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 1)
    rests: list[tuple[str, str, float]] = []
    for after in (0, 0.5, 1, 3, 1000):
        story.lists("a", "b", now=NOW + after)
        rests += [each for each in story.marks if each[0] == "directory"]
    assert story.problems == {"a"}
    # What is not yet due stays so, also for another directory; then it is due ever more rarely.
    assert rests == [("directory", "", due) for due in (1, 1, 3, 7, 1008)]
    story.lists(now=NOW + 2000)
    assert not story.problems
    story.lists("a", "b", now=NOW + 2000)
    assert story.marks[-1] == ("directory", "", 2001)


def test_how_rarely_their_directories_are_is_forgotten_when_all_can_be_read_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 2)
    dues: list[float] = []
    for after, again in ((0, ""), (1, ""), (3, ""), (7, "a"), (15, "ab")):
        # As long as one of them cannot be read, nothing is forgotten.
        for path in again:
            story.unreadable.over(path)
        story.lists("a", "b", "c", now=NOW + after)
        dues.append(story.marks[-1][2])
    assert dues == [1, 3, 7, 15, 16]


def test_a_directory_for_which_there_is_no_room_has_all_looked_at_in_time(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.unreadable.QUEUE_ROOM", 1)
    for directory in ("d", "e", "d"):
        story.closed(directory)
    assert story.problems == {"d"}
    assert story.marks == [
        ("directory", "d", FIRST_AGAIN_S),
        ("deep", "", LONGEST_AGAIN_S),
        ("directory", "d", 2 * FIRST_AGAIN_S),
    ]
