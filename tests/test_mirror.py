"""The state of one mapping between looks: what is put off is looked at again, whatever became of its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from ftpsyncd.core.schedule import Queue
from ftpsyncd.ledger import Ledger
from ftpsyncd.mirror import Mirror
from ftpsyncd.model import Entry, Event, Listing, MappingSpec, Presence, RenameDir
from ftpsyncd.publish import Folder
from ftpsyncd.removals import Moment
from tests.core.vocabulary import NOW, WALL, M, Without, file, folder, made, published

AT = Moment(NOW, WALL)
PICTURE = file()


class Asked:
    """A disk that only remembers what it was asked."""

    def __init__(self) -> None:
        self.names: list[tuple[str, frozenset[str]]] = []

    def list_dir(self, directory: str) -> None:
        raise AssertionError(f"nobody had a reason to list {directory!r}")

    def probe(self, directory: str, names: Collection[str]) -> None:
        self.names.append((directory, frozenset(names)))

    def check(self) -> None:
        raise AssertionError("nobody had a reason to doubt the root")


class Story:
    """A mirror whose looks at the disk the test answers."""

    def __init__(self, ledger: Ledger) -> None:
        self.events: list[Event] = []
        self.ledger = ledger
        self.queue = Queue(4)
        self.disk = Asked()
        spec = MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs")
        self.id = ledger.mapping(M, "there")
        self.mirror = Mirror(
            spec,
            Without(),
            self.id,
            ledger,
            self.queue,
            Folder(spec),
            self.events.append,
            today=lambda: "2024-05-01",
        )
        self.mirror.attach(self.disk)

    def sees(self, directory: str, **entries: Entry | None) -> None:
        """The disk was asked for some names; None: there is nothing of that name."""
        there = {name: entry for name, entry in entries.items() if entry is not None}
        self.mirror.on_listing(Listing(directory, Presence.PRESENT, there, frozenset(entries), inode=1), AT)


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        ledger.put(ledger.mapping(M, "there"), "old", made())
        ledger.put(ledger.mapping(M, "there"), "old/a", published(PICTURE))
        yield Story(ledger)


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


def test_nothing_is_looked_at_again_while_another_rename_leaves_the_same_path(story: Story):
    story.queue.offer(RenameDir(M, "new", "old", 50))
    story.queue.offer(RenameDir(M, "newer", "old", 50))
    story.sees("", old=None)
    story.sees("", new=None)
    story.mirror.pump(AT)
    assert story.disk.names == []


def test_a_directory_where_a_file_was_is_not_read_again_and_again_until_the_file_may_go(story: Story):
    story.ledger.put(story.id, "a", published(PICTURE))
    story.sees("", a=folder())
    for seconds in range(int(story.mirror.spec.delete_after_s)):
        story.mirror.pump(Moment(NOW + seconds, WALL))
    assert story.disk.names == []
    story.mirror.pump(Moment(NOW + story.mirror.spec.delete_after_s, WALL))
    assert story.disk.names == [("", frozenset({"a"}))]
