"""Which mappings have something to do in a turn: a turn costs what there is to do in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.engine.rounds import CHECK_EVERY_S, CHECKED_TOGETHER, Rounds
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.unreadable import FIRST_AGAIN_S
from ftpsyncd.model import Intent, Kind, Listing, Presence, RootIdentity
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec
from ftpsyncd.status import MappingState
from tests.core.vocabulary import DISK, NOW, WALL, Without, file, made
from tests.mapping.test_slices import Asked, Handed

ROOT = RootIdentity(1, DISK)
REPORT = WatchReport("native", ROOT, "")
MANY = 50


class All:
    """Mappings of one server at rest."""

    def __init__(self, ledger: Ledger) -> None:
        self.now, self.pumped, self.told = NOW, list[str](), list[str]()
        self.queue, self.disk = Queue(4), Asked()
        self.server = Server("web", self.queue, Handed())
        self.mirrors: dict[str, Mirror] = {}
        self.ledger = ledger
        for number in range(MANY):
            mirror = self.comes(f"m{number:02}")
            ledger.put(mirror.id, "", made(1))
        self.rounds = Rounds(self.mirrors)
        for mirror in self.mirrors.values():
            mirror.on_answer(REPORT, self.at)
            mirror.on_changes(Changes(frozenset(), frozenset({""})), self.at)
        self.turn()
        for name in self.mirrors:
            self.lists(name)
        self.turn()
        assert [status.state for status in self.rounds.status(self.at)] == [MappingState.IN_SYNC] * MANY

    @property
    def at(self) -> Moment:
        return Moment(self.now, WALL)

    def comes(self, name: str) -> Mirror:
        spec = MappingSpec(name, Path("/srv", name), "web", f"/{name}", settle_s=0)
        number = self.ledger.mappings.number(name, name)
        mirror = Mirror(
            spec, Without(), number, self.ledger, self.queue, Folder(spec), lambda _event: None, today=lambda: "today"
        )
        mirror.looks.attach(self.disk)
        self.mirrors[name] = mirror
        return mirror

    def lists(self, name: str, *files: str) -> None:
        entries = {each: file() for each in files}
        listing = Listing("", Presence.PRESENT, entries, None, root=ROOT, inode=1, device=DISK, taken_wall_ns=WALL)
        self.mirrors[name].on_answer(listing, self.at)
        self.rounds.stir(name)

    def turn(self) -> None:
        self.rounds.to_check(self.now)
        self.rounds.share([self.server])
        self.rounds.go_on(self.at, lambda: False)
        self.rounds.note()


@pytest.fixture
def all_(monkeypatch: pytest.MonkeyPatch) -> Iterator[All]:
    with Ledger(Path(":memory:")) as ledger:
        made_ = All(ledger)
        pump = Mirror.pump

        def pumped(mirror: Mirror, at: Moment) -> None:
            made_.pumped.append(mirror.spec.name)
            pump(mirror, at)

        def told(mirror: Mirror, at: Moment) -> object:
            made_.told.append(mirror.spec.name)
            return mapping_status(mirror, at)

        monkeypatch.setattr(Mirror, "pump", pumped)
        monkeypatch.setattr("ftpsyncd.engine.rounds.mapping_status", told)
        yield made_


def test_a_turn_goes_on_with_what_something_came_in_about(all_: All):
    """200 folders at rest took 12 % of a core: each turn went through all of them."""
    all_.lists("m07")
    all_.turn()
    all_.turn()
    assert all_.pumped == ["m07"]
    all_.rounds.status(all_.at)
    all_.rounds.status(all_.at)
    assert all_.told == ["m07"]


def test_a_mapping_is_gone_on_with_when_it_is_due(all_: All):
    all_.mirrors["m07"].dirty.mark("name", NOW + 60)
    all_.lists("m07")
    all_.turn()
    assert all_.rounds.next_due() == NOW + 60
    all_.now = NOW + 59
    all_.turn()
    assert all_.disk.asked == []
    all_.now = NOW + 60
    all_.turn()
    assert all_.disk.asked == [("", frozenset({"name"}))]
    assert [status.state for status in all_.rounds.status(all_.at)].count(MappingState.SYNCING) == 1


def test_a_status_is_told_anew_when_what_is_due_next_is_near(all_: All):
    """Also before the turn that looks at it."""
    all_.mirrors["m07"].dirty.mark("name", NOW + 60)
    all_.lists("m07")
    all_.turn()
    assert not any(status.comparing for status in all_.rounds.status(all_.at))
    all_.now = NOW + 60
    assert [status.name for status in all_.rounds.status(all_.at) if status.comparing] == ["m07"]


def test_for_how_long_something_waits_is_told_anew_also_if_that_was_no_time_yet(all_: All):
    """Told in the turn in which it failed, it was 0 s until the next try, which may be minutes away."""
    listing = Listing(
        "", Presence.PRESENT, {}, None, root=ROOT, inode=1, device=DISK, unreadable={"a": "no"}, taken_wall_ns=WALL
    )
    all_.mirrors["m07"].on_answer(listing, all_.at)
    all_.rounds.stir("m07")
    all_.turn()
    waited = list[float | None]()
    for _ in range(2):
        waited += (status.oldest_pending_s for status in all_.rounds.status(all_.at) if status.name == "m07")
        all_.now += FIRST_AGAIN_S / 2
    assert waited == [0.0, FIRST_AGAIN_S / 2]


def test_what_was_handed_out_is_told_and_may_end(all_: All):
    all_.lists("m07", "a.jpg")
    all_.turn()
    assert sum(status.in_flight for status in all_.rounds.status(all_.at)) == 0
    action = all_.queue.take(all_.now)
    assert action is not None
    all_.rounds.began("m07")
    all_.rounds.note()
    assert sum(status.in_flight for status in all_.rounds.status(all_.at)) == 1
    assert not all_.rounds.finished(all_.now)
    all_.queue.finish(action)
    assert all_.rounds.finished(all_.now)
    assert not all_.rounds._unfinished, "none of them is asked again until it moves"


def test_all_mappings_of_a_server_are_gone_on_with_while_space_is_short_there_and_when_it_is_full(all_: All):
    """A file that found space, of whatever mapping, has the files of others looked at that waited for it."""
    upload = Upload("m01", "a", file().fingerprint)
    all_.queue.space.refused("m01", "a", "no space", NOW)
    all_.queue.space.refused("m01", "b", "no space", NOW)
    assert not all_.queue.space.admits(upload.mapping, "c", NOW)
    all_.turn()
    assert all_.pumped == list(all_.mirrors)
    all_.queue.space.found("m01", "d")
    all_.turn()
    assert all_.pumped == 2 * list(all_.mirrors), "there is space again, and that has to be known"
    all_.turn()
    assert all_.pumped == 2 * list(all_.mirrors)
    all_.queue.gate.failed(NOW, Breaker.FULL, "no space")
    all_.turn()
    all_.turn()
    assert all_.pumped == 3 * list(all_.mirrors)
    all_.queue.gate.answered()
    all_.turn()
    assert all_.pumped == 4 * list(all_.mirrors)
    another = Server("another", Queue(4), Handed())
    another.queue.gate.failed(NOW, Breaker.FULL, "no space")
    all_.rounds.share([another])
    all_.turn()
    assert all_.pumped == 4 * list(all_.mirrors)


def test_each_folder_is_checked_in_its_time(all_: All):
    """They are spread, so that a turn has not all of them; but those that are due within a moment are checked at once."""
    assert all_.rounds.next_check(all_.now) < NOW + CHECK_EVERY_S
    for _ in range(40):
        due = all_.rounds.next_check(all_.now)
        assert all_.rounds.to_check(due - 0.001) == []
        all_.now = due
        assert 0 < len(all_.rounds.to_check(all_.now)) <= MANY
    assert NOW + 39 * CHECKED_TOGETHER * CHECK_EVERY_S < all_.now < NOW + 40 * 1.1 * CHECK_EVERY_S
    assert all_.pumped == [], "what follows, the answers tell"


def test_the_engine_is_seen_to_turn_where_there_is_no_folder():
    rounds = Rounds({})
    assert rounds.to_check(NOW) == []
    assert rounds.next_check(NOW) == NOW + CHECK_EVERY_S


def test_it_is_seen_to_turn_also_before_a_check_that_is_due_late(all_: All, monkeypatch: pytest.MonkeyPatch):
    """Who asks after each turn whether all is done would find a check under way each time."""
    monkeypatch.setattr("random.uniform", lambda _least, most: most)
    all_.now += 2 * CHECK_EVERY_S
    assert len(all_.rounds.to_check(all_.now)) == MANY
    assert all_.rounds.next_check(all_.now) == all_.now + CHECK_EVERY_S
    assert all_.rounds.to_check(all_.now + CHECK_EVERY_S) == []


def test_one_that_comes_has_the_others_checked_no_earlier(all_: All, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("random.uniform", lambda _least, most: most)
    due = all_.rounds.next_check(all_.now)
    all_.comes("new")
    all_.rounds.stir_all()
    assert [mirror.spec.name for mirror in all_.rounds.to_check(all_.now)] == ["new"]
    assert all_.rounds.next_check(all_.now) == due


def test_until_its_turn_a_status_is_told_of_what_came_in(all_: All):
    """It may be asked for in the midst of a turn, or after one that was cut short; what is told then is not at rest."""
    for stir, told in (
        (lambda: all_.rounds.stir("m07"), ["m07"]),
        (lambda: all_.rounds.began("m07"), ["m07"]),
        (all_.rounds.stir_all, list(all_.mirrors)),
    ):
        all_.told.clear()
        stir()
        all_.rounds.status(all_.at)
        all_.rounds.status(all_.at)
        assert all_.told == 2 * told
        all_.turn()
        all_.rounds.status(all_.at)
        all_.told.clear()
        all_.rounds.status(all_.at)
        assert not all_.told


def test_what_a_turn_has_no_time_for_comes_first_in_the_next(all_: All):
    for name in ("m07", "m05"):
        all_.rounds.stir(name)
    all_.rounds.go_on(all_.at, lambda: True)
    assert (all_.pumped, all_.rounds.cut_short) == (["m07"], True)
    all_.rounds.stir("m03")
    all_.turn()
    assert (all_.pumped, all_.rounds.cut_short) == (["m07", "m05", "m03"], False)


def test_the_server_is_asked_of_whom_something_was_begun_until_it_is_known_to_have_ended(all_: All):
    intent = Intent(Kind.FILE, fingerprints=(file().fingerprint,))
    all_.ledger.begun.put(all_.ledger.mappings.number("new", "new"), "a", intent)
    mirror = all_.comes("new")
    all_.rounds.stir_all()
    all_.rounds.go_on(all_.at, lambda: False)
    assert all_.rounds.with_intents() == [mirror], "in the turn in which it comes"
    all_.rounds.note()
    assert all_.rounds.with_intents() == [mirror]
    mirror.intents.forgotten("a", whatever=True)
    all_.rounds.note()
    assert all_.rounds.with_intents() == []


def test_nothing_is_known_of_a_mapping_that_is_gone(all_: All):
    all_.mirrors["m07"].dirty.mark("name", NOW + CHECK_EVERY_S)
    all_.lists("m07")
    all_.turn()
    all_.rounds.stir("m07")
    all_.rounds.began("m07")
    all_.pumped.clear()
    del all_.mirrors["m07"]
    all_.rounds.drop("m07")
    assert all_.rounds.finished(all_.now)
    all_.rounds.stir_all()
    all_.now += 10 * CHECK_EVERY_S
    assert all_.mirrors.keys() == {mirror.spec.name for mirror in all_.rounds.to_check(all_.now)}
    all_.turn()
    assert all_.pumped == list(all_.mirrors)
    assert len(all_.rounds.status(all_.at)) == MANY - 1
