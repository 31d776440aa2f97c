"""What a mapping changes where another one had published is not that one's any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, Did, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core import names
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.mapping.takeovers import Takeovers
from ftpsyncd.model import MISSING, Exposure, Fingerprint, Intent, Kind, Row
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec, Overlap, overlap
from tests.core.vocabulary import NOW, SHA, WALL, M

HERE = "u@host:21/site"
A = Fingerprint(10, 1, 7)


class Story:
    """Another mapping had published to some place; now this one publishes to `HERE`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.other = 0

    def had_published(self, destination: str, *paths: str) -> None:
        self.other = self.ledger.mappings.number("other", destination)
        for path in paths:
            kind = Kind.DIR if path.endswith("/") else Kind.FILE
            self.ledger.put(self.other, path.rstrip("/"), Row(kind, A, SHA, WALL))

    def site(self) -> Site:
        spec, mapping = MappingSpec(M, Path("/drop"), "web", "/site"), self.ledger.mappings.number(M, HERE)
        return Site(
            spec,
            mapping,
            self.ledger,
            Queue(4),
            Folder(spec),
            Dirty(),
            lambda _event: None,
            lambda: "2024",
            Moves(Queue(4), M),
        )

    def done(self, action: Action, did: Did) -> None:
        Takeovers(self.site()).done(action, did)

    def swept(self) -> set[str]:
        """What is swept when this one begins."""
        site = self.site()
        intents = Intents(site)
        Takeovers(site).take_leftovers(intents)
        intents.inquiries.ask((), NOW)
        asked = set()
        while (action := site.queue.take(NOW)) is not None:
            assert isinstance(action, Sweep)
            asked.add(action.temporary)
        return asked

    @property
    def left(self) -> set[str]:
        return {path for path, _ in self.ledger.walk(self.other)}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Ledger(tmp_path / "ledger") as ledger:
        yield Story(ledger)


@pytest.mark.parametrize(
    ("other", "how"),
    [
        (HERE, Overlap("", "")),
        ("u@host:21/", Overlap("site", "")),
        ("u@host:21/site/img/old", Overlap("", "img/old")),
        ("u@host:21/site2", None),
        ("u@host:21/sit", None),
        ("u@host:2121/site", None),
        ("other@host:21/site", None),
    ],
)
def test_which_places_overlap(other: str, how: Overlap | None):
    assert overlap(HERE, other) == how
    assert overlap(other, HERE) == (how and Overlap(how.around, how.inside))


@pytest.mark.parametrize(
    ("action", "did", "left"),
    [
        (Upload(M, "d/a", A), Did.PUBLISHED, {"d", "d/b"}),
        (Upload(M, "d/a", A), Did.ADOPTED, {"d", "d/a", "d/b"}),
        (Upload(M, "d/a", A._replace(mtime_ns=2)), Did.ADOPTED, {"d", "d/b"}),
        (Upload(M, "d/new", A), Did.ADOPTED, {"d", "d/a", "d/b"}),
        (Upload(M, "d/a", A), Did.KEPT, {"d", "d/a", "d/b"}),
        (Rename(M, "d/a", "d/b", A, SHA), Did.RENAMED, {"d"}),
        (Rename(M, "d/a", "d/b", A, SHA), Did.PUBLISHED, {"d", "d/b"}),
        (Delete(M, "d/a"), Did.DELETED, {"d", "d/b"}),
        (Delete(M, "d/a"), Did.TRASHED, {"d", "d/b"}),
        (Delete(M, "d"), Did.GONE, {"d", "d/a", "d/b"}),
        (Sweep(M, "d/a", ""), Did.SWEPT, {"d", "d/a", "d/b"}),
        (Sweep(M, "d/a", ""), Did.ADOPTED, {"d", "d/b"}),
        (Sweep(M, "d/a", "", exposed=Exposure(10, 5, 6)), Did.SWEPT, {"d", "d/b"}),
        (RenameDir(M, "e", "d", 5), Did.RENAMED, set()),
        (RemoveDir(M, "d"), Did.REMOVED, set()),
        (RemoveDir(M, "d"), Did.LEFT, {"d", "d/a", "d/b"}),
    ],
)
def test_what_is_changed_is_forgotten(story: Story, action: Action, did: Did, left: set[str]):
    story.had_published(HERE, "d/", "d/a", "d/b")
    story.done(action, did)
    assert story.left == left


def test_a_place_around_this_one(story: Story):
    story.had_published("u@host:21/", "site/d/a", "d/a")
    story.done(Delete(M, "d/a"), Did.DELETED)
    assert story.left == {"d/a"}


def test_a_place_in_this_one(story: Story):
    story.had_published(f"{HERE}/d", "a", "d/a", "e/", "e/b")
    story.done(Upload(M, "a", A), Did.PUBLISHED)
    story.done(Upload(M, "d/a", A), Did.PUBLISHED)
    assert story.left == {"d/a", "e", "e/b"}
    story.done(RemoveDir(M, "d/e"), Did.REMOVED)
    assert story.left == {"d/a"}
    story.done(RenameDir(M, "f", "d", 5), Did.RENAMED)
    assert not story.left


def test_another_place_is_left_alone(story: Story):
    story.had_published("u@host:21/site2", "a")
    story.done(Upload(M, "a", A), Did.PUBLISHED)
    assert story.left == {"a"}


def test_what_another_one_left_half_sent_is_swept(story: Story):
    story.had_published(HERE)
    print_ = Fingerprint(9, 9, 9)
    begun = Intent(Kind.FILE, "/site/a.filepart", "", (print_,), 5, ("/site/b.filepart",))
    story.ledger.begun.put(story.other, "a", begun)
    story.ledger.begun.put(story.other, "c.filepart", Intent(Kind.FILE, "/site/c.filepart"))
    assert story.swept() == {"/site/a.filepart", "/site/b.filepart", "/site/c.filepart"}
    # Whether the file had arrived is still for that one to find out.
    assert story.ledger.begun.of(story.other) == [("a", Intent(Kind.FILE, fingerprints=(print_,)))]
    assert len(story.ledger.begun.of(story.ledger.mappings.number(M, HERE))) == 3


def test_what_another_one_left_outside_this_place_stays_noted_for_it(story: Story):
    """Its rename away from here is in doubt; what it had sent to where that was to go is its own to sweep."""
    story.had_published("u@host:21/", "site/b")
    parts = Intent(Kind.FILE, "/else/a.filepart", parts=("/else/b.filepart",), exposed=Exposure(10, 5, 6))
    story.ledger.begun.put(story.other, "else/a", parts._replace(source="site/b", fingerprints=(A,)))
    site = story.site()
    story.ledger.put(site.id, "b", Row(Kind.FILE, A, SHA, WALL))
    Takeovers(site).take_leftovers(Intents(site))
    row = story.ledger.row(site.id, "b")
    assert row is not None
    assert row.fingerprint.is_doubted
    assert story.ledger.begun.of(story.other) == [("else/a", parts)]


def test_what_another_one_left_of_a_file_is_deleted_before_that_is_sent(story: Story):
    """Also after a restart: its rename may hang on a dead line, and would bring it over what was sent."""
    story.had_published(HERE)
    left, of_another = (names.temporary(f"/site/{name}", "other") for name in ("a", "b"))
    story.ledger.begun.put(story.other, "a", Intent(Kind.FILE, left, "", (A,)))
    story.ledger.begun.put(story.other, "b", Intent(Kind.FILE, of_another, "", (A,)))
    site = story.site()
    Takeovers(site).take_leftovers(Intents(site))
    for intents in (Intents(site), Intents(site)):
        upload = intents.begin(Upload(M, "a", B))
        assert isinstance(upload, Upload)
        assert upload.left == (left,)
        delete = intents.begin(Delete(M, "a"))
        assert isinstance(delete, Delete)
        assert left in delete.left


@pytest.mark.parametrize(
    ("place", "theirs", "mine"), [(HERE, "a", "a"), ("u@host:21/", "site/a", "a"), (f"{HERE}/d", "a", "d/a")]
)
def test_what_another_one_was_sending_under_its_final_name_is_seen_to(story: Story, place: str, theirs: str, mine: str):
    """What this one had published there is gone, perhaps: it is published anew, or what is there deleted."""
    story.had_published(place)
    begun = Intent(Kind.FILE, f"/site/{mine}.filepart", "", (A,), exposed=Exposure(10, 5, 6))
    story.ledger.begun.put(story.other, theirs, begun)
    site = story.site()
    story.ledger.put(site.id, mine, Row(Kind.FILE, Fingerprint(20, 2, 8), SHA, WALL))
    intents = Intents(site)
    Takeovers(site).take_leftovers(intents)
    row = story.ledger.row(site.id, mine)
    assert row is not None
    assert row.fingerprint.is_doubted
    delete = intents.begin(Delete(M, mine, sizes=(20,)))
    assert isinstance(delete, Delete)
    assert (delete.sizes, delete.exposed) == ((20, 10), Exposure(10, 5, 6))
    assert not story.ledger.begun.of(story.other)


B = Fingerprint(20, 2, 8)


@pytest.mark.parametrize(
    "begun",
    [
        ("a", Intent(Kind.FILE, "/site/a.filepart", "", (A,))),
        ("a", Intent(Kind.FILE)),
        ("a", Intent(Kind.FILE, source="b")),
        ("b", Intent(Kind.FILE, source="a")),
    ],
    ids=["upload", "delete", "rename to", "rename from"],
)
def test_what_another_one_may_have_done_is_in_doubt_for_both(story: Story, begun: tuple[str, Intent]):
    """Nobody has recorded whether it was done: this one would take for published what is not there, or another file."""
    path, intent = begun
    story.had_published(HERE, "a", "b", "c")
    story.ledger.begun.put(story.other, path, intent)
    site = story.site()
    for name in ("a", "c"):
        story.ledger.put(site.id, name, Row(Kind.FILE, B, SHA, WALL))
    intents = Intents(site)
    Takeovers(site).take_leftovers(intents)
    rows = dict(story.ledger.walk(site.id))
    assert {name for name, row in rows.items() if row.fingerprint.is_doubted} == {"a"}
    theirs = dict(story.ledger.walk(story.other))
    assert {name for name, row in theirs.items() if row.fingerprint.is_doubted} == {path, intent.source or path}
    assert not story.ledger.begun.of(story.other)
    # What that one may have put there is no other client's, should it have to be deleted.
    delete = intents.begin(Delete(M, "a", sizes=(20,)))
    assert isinstance(delete, Delete)
    assert delete.sizes == (20, *(each.size for each in intent.fingerprints))


@pytest.mark.parametrize("late", [False, True], ids=["begun last", "late"])
@pytest.mark.parametrize(
    ("place", "doubted"), [(HERE, {"d", "d/a", "e/a"}), ("u@host:21/", {"a", "d", "d/a", "e/a"}), (f"{HERE}/x", set())]
)
def test_where_another_one_may_have_renamed_a_directory_all_below_is_in_doubt(
    story: Story, place: str, doubted: set[str], *, late: bool
):
    story.had_published(place)
    source, path = ("site", "old") if place.endswith("/") else ("d", "e")
    begun = Intent(Kind.FILE, brings=(source,)) if late else Intent(Kind.DIR, source=source)
    story.ledger.begun.put(story.other, path, begun)
    site = story.site()
    story.ledger.put(site.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
    for name in ("a", "d/a", "e/a"):
        story.ledger.put(site.id, name, Row(Kind.FILE, B, SHA, WALL))
    Takeovers(site).take_leftovers(Intents(site))
    rows = dict(story.ledger.walk(site.id))
    assert {p for p, row in rows.items() if row.fingerprint.is_doubted or row.fingerprint == MISSING} == doubted
    assert bool(story.ledger.begun.of(story.other)) is not bool(doubted)


@pytest.mark.parametrize("did", [Did.SWEPT, Did.KEPT])
def test_where_it_is_asked_for_what_was_cut_off_what_was_there_before_is_in_doubt(story: Story, did: Did):
    """It may have had to make room. Forgotten, it would stay at the server if it is gone here."""
    story.had_published(HERE, "a", "b")
    story.done(Sweep(M, "a", "", fingerprints=(B,)), did)
    assert {path: row.fingerprint for path, row in story.ledger.walk(story.other)} == {"a": A.doubted(), "b": A}


def test_only_what_this_one_has_published_there_is_in_doubt_for_the_other_one(story: Story):
    """Back again, that one finds out by itself what became of the rest, and need not send it anew."""
    story.had_published(HERE, "a", "b")
    for name in ("a", "b"):
        story.ledger.begun.put(story.other, name, Intent(Kind.FILE))
    site = story.site()
    story.ledger.put(site.id, "a", Row(Kind.FILE, B, SHA, WALL))
    Takeovers(site).take_leftovers(Intents(site))
    assert {path: row.fingerprint for path, row in story.ledger.walk(story.other)} == {"a": A.doubted(), "b": A}
    assert story.ledger.begun.of(story.other) == [("b", Intent(Kind.FILE))]


def test_a_file_of_another_one_by_the_name_of_this_place_says_nothing_of_what_is_in_it(story: Story):
    story.had_published("u@host:21/", "site")
    story.ledger.begun.put(story.other, "site", Intent(Kind.FILE))
    site = story.site()
    story.ledger.put(site.id, "a", Row(Kind.FILE, B, SHA, WALL))
    Takeovers(site).take_leftovers(Intents(site))
    assert dict(story.ledger.walk(site.id)) == {"a": Row(Kind.FILE, B, SHA, WALL)}
    assert story.ledger.begun.of(story.other) == [("site", Intent(Kind.FILE))]


def test_where_it_is_asked_for_what_was_cut_off_elsewhere_nothing_of_another_one_is_in_doubt(story: Story):
    story.had_published(f"{HERE}/d", "a")
    story.done(Sweep(M, "a", "", fingerprints=(B,)), Did.SWEPT)
    assert [row.fingerprint for _, row in story.ledger.walk(story.other)] == [A]
    story.done(Sweep(M, "d/a", "", fingerprints=(B,)), Did.SWEPT)
    assert [row.fingerprint for _, row in story.ledger.walk(story.other)] == [A.doubted()]


def test_where_another_one_may_have_renamed_a_directory_all_below_is_in_doubt_for_that_one_too(story: Story):
    story.had_published(HERE, "d/", "d/a", "e/a", "a")
    story.ledger.begun.put(story.other, "e", Intent(Kind.DIR, source="d"))
    site = story.site()
    story.ledger.put(site.id, "d/a", Row(Kind.FILE, B, SHA, WALL))
    Takeovers(site).take_leftovers(Intents(site))
    rows = dict(story.ledger.walk(story.other))
    assert {p for p, row in rows.items() if row.fingerprint.is_doubted or row.fingerprint == MISSING} == {
        "d",
        "d/a",
        "e/a",
    }


def test_what_another_one_was_about_is_over_when_this_one_has_changed_it(story: Story):
    """Back again, it would take what it finds there for its own."""
    story.had_published(HERE, "b")
    story.ledger.begun.put(story.other, "a", Intent(Kind.FILE, source="b", fingerprints=(A,)))
    site = story.site()
    takeovers = Takeovers(site)
    takeovers.take_leftovers(Intents(site))
    assert story.ledger.begun.of(story.other)
    takeovers.done(Upload(M, "a", B), Did.PUBLISHED)
    assert not story.ledger.begun.of(story.other)
    row = story.ledger.row(story.other, "b")
    assert row is not None
    assert row.fingerprint.is_doubted


def test_a_directory_that_another_one_was_renaming_stays_noted_for_it_where_this_one_publishes_a_file(story: Story):
    """Back again, it finds out whether that was done; forgotten, all below it would count as published."""
    story.had_published(HERE, "d/", "d/a")
    renaming = Intent(Kind.DIR, source="d")
    story.ledger.begun.put(story.other, "e", renaming)
    site = story.site()
    takeovers = Takeovers(site)
    takeovers.take_leftovers(Intents(site))
    takeovers.done(Upload(M, "e", B), Did.PUBLISHED)
    assert story.ledger.begun.of(story.other) == [("e", renaming)]
    assert story.left == {"d", "d/a"}


def test_what_may_come_late_where_another_one_had_published_is_awaited_when_this_one_publishes_there(story: Story):
    story.had_published(HERE, "a")
    exposed = Exposure(99, 5)
    story.ledger.begun.put(story.other, "a", Intent(Kind.FILE, fingerprints=(A,), exposed=exposed))
    site, upload = story.site(), Upload(M, "a", B)
    intents, takeovers = Intents(site), Takeovers(site)
    takeovers.take_leftovers(intents)
    assert story.left == {"a"}
    assert story.ledger.begun.of(story.other)
    assert not story.ledger.begun.of(site.id)
    intents.begin(upload)
    intents.late.arrived(upload, Moment(NOW, WALL))
    intents.end(upload)
    takeovers.done(upload, Did.PUBLISHED)
    late = Intent(Kind.FILE, fingerprints=(B,), exposed=exposed._replace(until_ns=WALL))
    assert story.ledger.begun.of(site.id) == [("a", late)]
    assert not story.ledger.begun.of(story.other), "that is over: the file is this one's"
    assert not story.left


def test_what_was_sent_elsewhere_under_its_final_name_is_left_to_others(story: Story):
    story.had_published("u@host:21/")
    begun = Intent(Kind.FILE, "", "", (A,), exposed=Exposure(10, 5, 6))
    story.ledger.begun.put(story.other, "site2/a", begun)
    assert not story.swept()
    assert story.ledger.begun.of(story.other) == [("site2/a", begun)]


def test_a_delete_that_another_one_had_begun_elsewhere_is_left_to_others(story: Story):
    """It has no parts to tell of, and whether it was done is still to be found out there."""
    story.had_published("u@host:21/", "site2/a")
    begun = Intent(Kind.FILE)
    story.ledger.begun.put(story.other, "site2/a", begun)
    assert not story.swept()
    assert story.ledger.begun.of(story.other) == [("site2/a", begun)]


def test_what_did_not_arrive_under_its_final_name_has_cost_what_was_there(story: Story):
    story.had_published(HERE, "d/", "d/a", "d/b")
    Takeovers(story.site()).spoiled("d/a")
    assert story.left == {"d", "d/b"}


def test_only_what_was_left_in_this_place_is_swept(story: Story):
    story.had_published("u@host:21/")
    story.ledger.begun.put(story.other, "site2/a", Intent(Kind.FILE, "/site2/a.filepart"))
    story.ledger.begun.put(story.other, "site/a", Intent(Kind.FILE, "/site/a.filepart"))
    assert story.swept() == {"/site/a.filepart"}
    assert [path for path, _ in story.ledger.begun.of(story.other)] == ["site2/a"]


@pytest.mark.parametrize("published", [False, True])
def test_what_the_other_published_after_a_try_was_cut_off_is_not_taken_over(story: Story, published: bool):  # noqa: FBT001 - a case
    """It would be found, recorded as ours, and deleted, since it is not in this folder."""
    story.had_published(HERE, *(["a"] if published else []))
    story.ledger.begun.put(story.other, "a", Intent(Kind.FILE, fingerprints=(A,), exposed=Exposure(99, 5, 6)))
    assert story.swept() == (set() if published else {""})
