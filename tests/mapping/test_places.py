"""Disks in a mapping's folder: what is accepted of others than those that were published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Did, Done, Failed, RenameDir
from ftpsyncd.core.swapped import Swapped, swapped_away, swapped_directory
from ftpsyncd.errors import FileChangedError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import doubts
from ftpsyncd.mapping.places import Places
from ftpsyncd.model import MIXED, Fingerprint, Intent, Kind, Listing, Presence, RootIdentity, Row
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import DISK, OTHER_DISK, SHA, M, file, folder, made, mounted
from tests.mapping.test_mirror import PICTURE
from tests.mapping.test_passed_over import AFTER_S, Tale

WHOLE, EXACT = 1_600_000_000 * 10**9, 1_600_000_000 * 10**9 + 1


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(Path(":memory:")) as ledger:
        mapping = ledger.mappings.number(M, "there")
        ledger.mappings.set_root(mapping, RootIdentity(2, 3))
        for directory in ("card", "cards"):
            ledger.put(mapping, directory, made()._replace(device=11))
            for name, mtime_ns in (("a", WHOLE), ("b", EXACT), ("c", WHOLE)):
                row = Row(Kind.FILE, Fingerprint(9, mtime_ns, 7), SHA, 1)
                ledger.put(mapping, f"{directory}/{name}", row)
        yield ledger


@pytest.mark.parametrize(
    ("root", "doubted"),
    [
        (RootIdentity(2, 3), {"card/a", "card/c"}),
        (RootIdentity(5, 3), {"card/a", "card/c"}),
        (RootIdentity(2, 4), {"card/a", "card/c", "cards/a", "cards/c"}),
    ],
    ids=["the same root", "another folder", "another disk"],
)
def test_what_may_be_another_content_on_another_disk_is_compared_some_at_a_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, root: RootIdentity, doubted: set[str]
) -> None:
    """Also asked again, right before the decision, it is not gone through once more."""
    monkeypatch.setattr(doubts, "ROWS_AT_ONCE", 2)
    mapping = ledger.mappings.number(M, "there")
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    places.root = root
    places.is_news(Swapped("card", "it is another one", mounted=True, filesystem=12))
    calls = 1
    while places.doubt_some():
        calls += 1
    assert calls > 3

    def found() -> set[str]:
        rows = {path: row for path, row in ledger.walk(mapping) if row.kind is Kind.FILE}
        assert {row.sha256 for row in rows.values()} == {SHA}
        return {path for path, row in rows.items() if row.fingerprint.is_doubted}

    assert found() == doubted
    ledger.put(mapping, "card/a", Row(Kind.FILE, Fingerprint(9, WHOLE, 7), SHA, 1))
    assert not places.doubt_some()
    assert found() == doubted - {"card/a"}
    places.is_news(Swapped("card", "it is a third one", mounted=True, filesystem=13))
    while places.doubt_some():
        pass
    assert found() == doubted


def test_nothing_is_doubted_where_all_is_on_its_disk(ledger: Ledger) -> None:
    mapping = ledger.mappings.number(M, "there")
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    places.root = RootIdentity(5, 3)
    assert not places.doubt_some()
    assert not any(row.fingerprint.is_doubted for _, row in ledger.walk(mapping))


@pytest.mark.parametrize("empty", [True, False])
def test_another_folder_is_taken_as_it_is_where_nothing_was_published(ledger: Ledger, *, empty: bool) -> None:
    """Nothing can be deleted that is not there; nobody need decide about that."""
    mapping = ledger.mappings.number("new" if empty else M, "there")
    ledger.mappings.set_root(mapping, RootIdentity(2, 3))
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    places.root = RootIdentity(5, 4)
    assert places.root_is_published(RootIdentity(6, 4)) is empty
    assert ledger.mappings.root(mapping) == (RootIdentity(5, 4) if empty else RootIdentity(2, 3))


DISKS = {"card": 11, "card/inner": 13, "bound": 3, "some": 1, "others": 1, "mixed": MIXED}
"""What the ledger has mounted, on a root with the number 3."""


@pytest.mark.parametrize(
    ("source", "path", "two"),
    [
        ("a", "b", False),
        ("a", "cards/b", False),
        ("card/a", "card/b", False),
        ("a", "card/b", True),
        ("card/a", "b", True),
        ("card/a", "card/inner/b", True),
        # One disk at two places.
        ("a", "bound/b", False),
        # Their numbers are not known.
        ("some/a", "some/b", False),
        ("some/a", "others/b", True),
        # It is not known which of them this was on.
        ("mixed/a", "mixed/b", True),
        # A link leads to the one.
        ("link", "b", False),
        # These have come.
        ("a", "new/b", True),
        ("a", "new of the same/b", False),
        ("a", "unmounted/b", False),
    ],
)
def test_an_inode_is_known_again_on_its_disk_only(ledger: Ledger, source: str, path: str, *, two: bool) -> None:
    """Elsewhere it is that of another file, whose name what is at the server would get."""
    mapping = ledger.mappings.number(M, "there")
    for directory, device in DISKS.items():
        ledger.put(mapping, directory, made()._replace(device=device))
    ledger.put(mapping, "cards", made())
    ledger.put(mapping, "link", Row(Kind.FILE, Fingerprint(9, WHOLE, 7), SHA, 1, device=1))
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    places.root = places.published
    for directory, is_mounted, filesystem in (
        ("new", True, 0),
        ("new of the same", True, 3),
        ("unmounted", True, 0),
        ("unmounted", False, 0),
    ):
        places.listed(Listing(directory, Presence.PRESENT, {}, mount_point=is_mounted, filesystem=filesystem))
    assert places.are_two_disks(source, path) is two
    places.root = RootIdentity(2, 4)
    assert places.are_two_disks(source, path), "another disk is in the root's place"


@pytest.mark.parametrize(
    ("mounted", "filesystem", "source", "path", "two"),
    [
        (True, 12, "card/a", "card/b", True),
        # Whether what is mounted deeper is as it was is not known before it is looked at.
        (True, 12, "card/inner/a", "card/inner/b", True),
        (True, 12, "cards/a", "cards/b", False),
        (True, 12, "card/a", "b", True),
        (True, 12, "a", "card/b", True),
        (True, 3, "a", "card/b", False),
        (True, 0, "a", "card/b", True),
        (False, 0, "a", "card/b", False),
    ],
)
def test_nor_is_it_where_another_disk_is_mounted_by_now(
    ledger: Ledger, source: str, path: str, *, mounted: bool, filesystem: int, two: bool
) -> None:
    mapping = ledger.mappings.number(M, "there")
    for directory, device in DISKS.items():
        ledger.put(mapping, directory, made()._replace(device=device))
    ledger.put(mapping, "cards", made())
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    places.root = places.published
    places.is_news(Swapped("card", "it is another one", mounted=mounted, filesystem=filesystem))
    assert places.are_two_disks(source, path) is two


def test_a_folder_that_no_ledger_knows_yet_is_the_published_one(ledger: Ledger) -> None:
    mapping = ledger.mappings.number("shop", "there")
    ledger.put(mapping, "a", Row(Kind.FILE, Fingerprint(9, WHOLE, 7), SHA, 1))
    places = Places(MappingSpec("shop", Path("/srv/shop"), "web", "/htdocs"), mapping, ledger)
    places.root = RootIdentity(5, 4)
    assert places.root_is_published(RootIdentity(6, 4))
    assert ledger.mappings.root(mapping) == places.published == RootIdentity(5, 4)


def test_what_is_on_its_way_when_another_folder_is_taken_as_it_is_was_seen_in_the_former_one(ledger: Ledger) -> None:
    mapping = ledger.mappings.number("new", "there")
    ledger.mappings.set_root(mapping, RootIdentity(2, 3))
    ledger.begun.put(mapping, "a", Intent(Kind.FILE, fingerprints=(Fingerprint(9, WHOLE, 7),)))
    places = Places(MappingSpec("new", Path("/srv/new"), "web", "/htdocs"), mapping, ledger)
    places.root = RootIdentity(5, 4)
    assert places.root_is_published(RootIdentity(6, 4))
    assert ledger.begun.elsewhere(mapping) == {"a": ""}


def test_a_mount_point_that_is_there_again_without_its_disk_is_told_of_as_that(ledger: Ledger) -> None:
    mapping = ledger.mappings.number(M, "there")
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), mapping, ledger)
    assert places.is_news(swapped_away("card"))
    there = swapped_directory("card", made()._replace(device=11), mount_point=False)
    assert there is not None
    assert not places.is_news(there)
    assert places.why_swapped() == [there.why]


class Card(Tale):
    """A folder with a disk in it, which is away."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, {"old": folder(50), "old/a": PICTURE, "card": folder(70), "inner": folder(60)})
        ledger.put(self.id, "card", made(71, mount_point=True))
        self.there["inner/a"] = file(inode=8)
        self.is_mounted = False
        self.mirror.removals.source.found(RootIdentity(1, DISK), self.at)
        self.looks_through()

    def looks_through(self) -> None:
        self.mirror.dirty.mark_deep("", self.at.now)
        self.goes_on()

    def mounts(self) -> None:
        self.there = {path: entry for path, entry in self.there.items() if not path.startswith("card")}
        self.there["card"] = mounted(71)
        self.is_mounted = True

    def _listing(self, directory: str, names: frozenset[str] | None) -> Listing:
        listing = super()._listing(directory, names)
        if directory == "card" and self.is_mounted:
            return listing._replace(device=OTHER_DISK, mount_point=True)
        return listing


@pytest.mark.parametrize("back", [False, True], ids=["done before", "done when the disk is back"])
def test_a_directory_that_was_moved_to_where_a_disk_is_away_stays_at_the_server_when_that_is_back(
    *, back: bool
) -> None:
    """Nothing was noted of it, as it is of files: under the disk it was out of sight, and all in it deleted."""
    with Ledger(Path(":memory:")) as ledger:
        card = Card(ledger)
        assert card.mirror.removals.hold is not None
        card.there |= {"card/new": card.there.pop("old"), "card/new/a": card.there.pop("old/a")}
        card.looks_through()
        rename = card.begins()
        assert isinstance(rename, RenameDir)
        assert (rename.path, rename.source) == ("card/new", "old")
        if back:
            card.mounts()
            card.looks_through()
        card.ends(Done(rename, Did.RENAMED))
        if not back:
            card.mounts()
        for _ in range(3):
            card.looks_through()
            card.goes_on(AFTER_S + 1)
        assert card.begins() is None
        hold = card.mirror.removals.hold
        assert hold is not None
        assert hold.message.startswith("card is mounted now, and some of what is published below it was there when")


def test_a_directory_that_the_server_would_not_rename_there_is_of_no_interest_when_the_disk_is_back() -> None:
    with Ledger(Path(":memory:")) as ledger:
        card = Card(ledger)
        card.there |= {"card/new": card.there.pop("old"), "card/new/a": card.there.pop("old/a")}
        card.looks_through()
        rename = card.begins()
        assert isinstance(rename, RenameDir)
        card.mounts()
        card.ends(Failed(rename, FileChangedError("The directory moved on.")))
        card.looks_through()
        assert card.mirror.removals.hold is None
        assert not card.mirror.removals.source.places.any_elsewhere
        assert not ledger.begun.elsewhere(card.id)


# ── What is on its way and was seen elsewhere ──────────────────────────────────────────────────────────────────────

HERE, THERE = RootIdentity(2, 3), RootIdentity(5, 3)


def with_a_card(ledger: Ledger) -> Places:
    """Those of a folder in which another disk is where ``card`` was."""
    places = Places(MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs"), ledger.mappings.number(M, "there"), ledger)
    places.root = HERE
    places.is_news(Swapped("card", "it is another one", mounted=True, filesystem=12))
    return places


def device_of(ledger: Ledger, path: str) -> int:
    row = ledger.row(ledger.mappings.number(M, "there"), path)
    assert row is not None
    return row.device


def test_a_disk_is_known_for_as_long_as_what_was_there_is_recorded(ledger: Ledger) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    places.is_news(Swapped("link", "it leads to nothing", link=True))
    places.listed(Listing("new", Presence.PRESENT, {}, mount_point=True, filesystem=14))
    places.keep_recorded()
    assert [places.any_swapped, len(places.why_swapped())] == [True, 1]
    assert not places._new, "the ledger has it by now, or nothing of it is published"
    ledger.forget(mapping, "card")
    places.keep_recorded()
    assert not places.any_swapped


def test_where_something_was_seen_that_is_to_be_published_is_known_as_it_was_seen_last(ledger: Ledger) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    for path, root, noted in (
        ("a", HERE, {}),
        ("a", None, {}),
        ("cards/d", HERE, {}),
        ("card/d", THERE, {"card/d": ""}),
        ("card/d", HERE, {"card/d": "card"}),
        ("a", THERE, {"card/d": "card", "a": ""}),
        ("a", HERE, {"card/d": "card"}),
    ):
        places.offered(path, root, runs=False)
        assert ledger.begun.elsewhere(mapping) == noted
        assert places.any_elsewhere is bool(noted)
    ledger.commit()
    places.offered("card/d", HERE, runs=False)
    places.keep_under_way(lambda _path: True)
    assert not ledger.dirty, "that is known"
    places.keep_under_way(lambda path: path != "card/d")
    assert ledger.begun.elsewhere(mapping) == {}


def test_what_was_seen_elsewhere_and_is_being_sent_is_not_what_is_there_by_now(ledger: Ledger) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    places.offered("a", THERE, runs=False)
    places.offered("a", HERE, runs=True)
    assert ledger.begun.elsewhere(mapping) == {"a": ""}
    assert places.arrived("a") == ""
    assert places.arrived("a") is None
    assert ledger.begun.elsewhere(mapping) == {}


def test_in_the_first_folder_everything_is_where_it_should_be(ledger: Ledger) -> None:
    mapping = ledger.mappings.number("new", "there")
    places = Places(MappingSpec("new", Path("/srv/new"), "web", "/htdocs"), mapping, ledger)
    places.offered("a", THERE, runs=False)
    assert not places.any_elsewhere


@pytest.mark.parametrize(
    ("source", "target", "path", "where"),
    [
        ("card", "disk", "disk/inner/d", "disk"),
        ("card/inner", "card/other", "card/other/d", "card"),
        ("cards", "others", "card/inner/d", "card"),
    ],
)
def test_a_directory_that_gets_another_name_takes_along_what_was_seen_in_it(
    ledger: Ledger, source: str, target: str, path: str, where: str
) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    places.offered("card/inner/d", HERE, runs=False)
    places.moved(source, target)
    assert ledger.begun.elsewhere(mapping) == {path: where}


def test_so_does_one_further_above(ledger: Ledger) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    ledger.put(mapping, "a/card", made()._replace(device=11))
    places.is_news(Swapped("a/card", "it is another one", mounted=True, filesystem=12))
    places.offered("a/card/d", HERE, runs=False)
    places.moved("a", "b")
    assert ledger.begun.elsewhere(mapping) == {"b/card/d": "b/card"}


@pytest.mark.parametrize(("recorded", "back", "now"), [(11, False, 12), (11, True, 11), (1, True, 0)])
def test_when_it_has_arrived_its_disk_is_out_of_sight_also_where_the_former_one_is_back(
    ledger: Ledger, recorded: int, now: int, *, back: bool
) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    ledger.put(mapping, "card", made()._replace(device=recorded))
    for name in ("card/d", "card/e"):
        places.offered(name, HERE, runs=False)
    if back:
        assert places.back("card")
    assert places.arrived("card/d") == "card"
    assert device_of(ledger, "card") == MIXED
    assert places._swapped["card"].filesystem == now
    assert places.arrived("card/e") == "card"
    # What is seen there now is noted at the directory already.
    places.offered("card/f", HERE, runs=False)
    assert not places.any_elsewhere


def test_what_a_person_accepts_is_where_it_should_be_and_what_was_on_its_way_of_the_former_is_not(
    ledger: Ledger,
) -> None:
    places, mapping = with_a_card(ledger), ledger.mappings.number(M, "there")
    prints = (Fingerprint(9, WHOLE, 7),)
    for path in ("card/of the former", "card/a", "card/of the new", "card/of another folder", "of the root"):
        ledger.begun.put(mapping, path, Intent(Kind.FILE, fingerprints=prints))
    ledger.begun.put(mapping, "card/directory", Intent(Kind.DIR, fingerprints=prints))
    ledger.begun.put(mapping, "card/swept", Intent(Kind.FILE, "/htdocs/card/x.filepart"))
    places.offered("card/of the new", HERE, runs=False)
    places.offered("card/of another folder", THERE, runs=False)
    link = Row(Kind.FILE, Fingerprint(9, WHOLE, 7), SHA, 1, device=1)
    ledger.put(mapping, "link", link)
    places.is_news(Swapped("link", "it leads to nothing", link=True))
    places.accept()
    assert ledger.begun.elsewhere(mapping) == {"card/of another folder": "", "card/of the former": "card"}
    assert [device_of(ledger, path) for path in ("card", "cards", "link")] == [12, 11, 0]
    assert not places.any_swapped
    places.root = THERE
    places.accept()
    assert ledger.begun.elsewhere(mapping) == {"card/of the former": "card"} | dict.fromkeys(
        ("card/of the new", "of the root"), ""
    )
    assert ledger.mappings.root(mapping) == places.published == THERE
