"""A directory with very many names is compared some names at a time, and means what it would mean in one go."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.turn import Lane, Order
from ftpsyncd.engine import again
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.loop import TURN_S, Engine
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.engine.rounds import CHECK_EVERY_S, CHECKED_TOGETHER
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.database import Database
from ftpsyncd.ledger.inodes import Inodes
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mapping.comparing import NAMES_AT_ONCE
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import QUEUE_ROOM, Clock, Moment
from ftpsyncd.model import Entry, Fingerprint, Intent, Kind, Listing, Presence, RootIdentity
from ftpsyncd.paths import basename
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.specs import DeleteLimit, DeletePolicy, MappingSpec
from ftpsyncd.status import MappingState
from tests.core.vocabulary import DISK, NOW, WALL, Without, failed, file, folder, made, published

A, B = "a", "b"
ROOT = RootIdentity(2, 3)
REPORT = WatchReport("native", ROOT, "")
SOME = 2 * NAMES_AT_ONCE + 10


class Asked:
    """A disk that only remembers what it was asked."""

    def __init__(self) -> None:
        self.whole: list[str] = []
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.checks = 0

    def list_dir(self, directory: str) -> None:
        self.whole.append(directory)

    def probe(self, directory: str, names: Collection[str]) -> None:
        self.asked.append((directory, frozenset(names)))

    def check(self) -> None:
        self.checks += 1

    def answers(self) -> bool:
        return True


class Handed:
    """Workers that only remember what they were handed."""

    connections = 1

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        del afresh, expected
        self.actions += actions

    def recall(self, mapping: str) -> list[Action]:
        del mapping
        return []

    def give_up(self, mapping: str) -> None: ...
    def spare(self) -> None: ...
    def transfers(self) -> list[Progress]:
        return []


class Two:
    """An engine with two mappings, each of a server of its own, whose turns and looks the test makes."""

    def __init__(self, ledger: Ledger) -> None:
        self.events: list[Event] = []
        self.engine = Engine(ledger, self.events.append, clock=Clock(lambda: NOW, lambda: WALL))
        self.disk = Asked()
        for name in (A, B):
            limit = DeleteLimit(NAMES_AT_ONCE + 100)
            spec = MappingSpec(name, Path("/srv", name), name, "/", settle_s=0, delete_after_s=0, max_deletes=limit)
            queue = Queue(4)
            mirror = Mirror(
                spec,
                Without(),
                ledger.mappings.number(name, name),
                ledger,
                queue,
                Folder(spec),
                self.events.append,
                today=lambda: "2024-05-01",
            )
            ledger.put(mirror.id, "", made(1))
            mirror.looks.attach(self.disk)
            self.engine.mirrors[name] = mirror
            self.engine.servers[name] = Server(name, queue, Handed())
            self.engine.answered(name, REPORT)
        self.mirror = self.engine.mirrors[A]
        self.ledger = ledger
        self.turn()

    def turn(self) -> None:
        self.engine.turn(self.engine.mailbox.mail())

    def compare_again(self) -> None:
        """Everything, from the next turn on."""

        def mark(at: Moment) -> None:
            for mirror in self.engine.mirrors.values():
                again.rescan(mirror, None, at)

        self.engine.mailbox.put(self.engine.about_any(mark))

    def turns(self) -> int:
        """Until nothing is compared any more; how many turns that took."""
        count = 0
        while self.mirror.answers:
            assert self.engine.next_due(NOW) <= NOW, "it does not wait for a message"
            self.turn()
            count += 1
        return count

    def lists(self, name: str, entries: dict[str, Entry], names: frozenset[str] | None = None) -> None:
        """The disk has told what is in the mapping's folder, or of some names there."""
        self.engine.answered(
            name, Listing("", Presence.PRESENT, entries, names, root=ROOT, inode=1, device=DISK, taken_wall_ns=WALL)
        )

    def handed(self, name: str) -> list[Action]:
        """What was handed to the workers of a mapping's server."""
        crew = self.engine.servers[name].crew
        assert isinstance(crew, Handed)
        return crew.actions

    def held(self) -> str:
        """Why something is withheld; empty if nothing is."""
        hold = self.mirror.removals.hold
        return hold.message if hold is not None else ""

    def missing(self) -> str:
        """Why the folder is not there; empty if it is."""
        return self.mirror.removals.source.missing

    @property
    def waiting(self) -> int:
        """How many actions of the first mapping wait."""
        return self.mirror.queue.load(A).waiting


@pytest.fixture
def two() -> Iterator[Two]:
    with Ledger(Path(":memory:")) as ledger:
        yield Two(ledger)


def many(count: int = SOME) -> dict[str, Entry]:
    """Files in the order of a disk, which is none."""
    return {f"{number * 7919 % count:06}": file(inode=1000 + number) for number in range(count)}


def publish(two: Two, entries: dict[str, Entry]) -> None:
    for name, entry in entries.items():
        two.ledger.put(two.mirror.id, name, published(entry))
    two.ledger.commit()


def test_a_turn_decides_about_some_names_and_another_mapping_goes_on_in_between(two: Two) -> None:
    two.lists(A, many())
    two.turn()
    assert two.waiting == NAMES_AT_ONCE
    two.lists(B, {"small": file()}, frozenset({"small"}))
    two.turn()
    assert two.waiting == 2 * NAMES_AT_ONCE
    assert [action.path for action in two.handed(B)] == ["small"]
    assert mapping_status(two.mirror, two.engine._moment()).state is MappingState.SYNCING
    assert two.handed(A) == [], "what a directory means is known when all of it was compared"
    assert two.turns() == 1
    started = [action.path for action in two.handed(A)]
    assert started
    assert started == sorted(many())[: len(started)]
    assert two.waiting + len(started) == SOME


class Slow:
    """A clock that shows how long each look at it took."""

    def __init__(self) -> None:
        self.now, self.step = NOW, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def slow(two: Two) -> Clock:
    """Let the engine go by a clock that goes on with each look at it."""
    clock = two.engine._clock = two.engine._wall._clock = Clock(Slow(), lambda: WALL)
    return clock


def test_a_long_turn_leaves_messages_to_the_next_one(two: Two) -> None:
    """A thousand mappings may tell what they see at once; what is found is handed out in between."""
    clock = slow(two)
    assert isinstance(clock.monotonic, Slow)
    clock.monotonic.step = TURN_S / 2.5
    for number in range(10):
        two.lists(B, {f"{number}": file(inode=100 + number)}, frozenset({f"{number}"}))
    two.turn()
    handed = [action.path for action in two.handed(B)]
    assert 0 < len(handed) < 10
    assert handed == [f"{number}" for number in range(len(handed))]
    while len(two.handed(B)) < 10:
        before = len(two.handed(B))
        two.engine.turn(two.engine.mailbox.wait(0.0, gather=lambda: False))
        assert len(two.handed(B)) > before
    assert [action.path for action in two.handed(B)] == [f"{number}" for number in range(10)], "in their order"


def test_a_pass_is_not_over_before_what_a_rename_was_to_leave_is_looked_at(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken back while some names are compared, and nothing else is to be done."""
    publish(two, {"old": file()})
    two.lists(A, {"old": file()})
    two.compare_again()
    two.turn()
    two.lists(A, {"old": file()})
    two.turn()
    assert two.mirror.finished(NOW)
    monkeypatch.setattr("ftpsyncd.mapping.comparing.NAMES_AT_ONCE", 1)
    two.mirror.queue.offer(Rename(A, "new", "old", file().fingerprint, b""))
    two.lists(A, {}, frozenset({"a", "new"}))
    two.turn()
    assert two.waiting == 1
    two.turn()
    assert two.waiting == 0
    assert two.engine.up_to_date
    assert two.disk.asked == [("", frozenset({"old"}))]
    assert not two.mirror.finished(NOW)


def test_a_long_turn_leaves_mappings_to_the_next_one(two: Two) -> None:
    two.turn()
    pumped: list[str] = []
    for name, mirror in two.engine.mirrors.items():
        mirror.pump = lambda _at, name=name: pumped.append(name)  # type: ignore[method-assign, misc]
        mirror.next_due = lambda: None  # type: ignore[method-assign]
    clock = slow(two)
    assert isinstance(clock.monotonic, Slow)
    two.compare_again()
    two.turn()
    assert pumped == [A, B]
    clock.monotonic.step = 2 * TURN_S
    two.compare_again()
    two.turn()
    assert pumped == [A, B, A]
    assert two.engine.next_due(clock.monotonic.now) <= clock.monotonic.now
    two.engine.changed(A, Changes(frozenset({"name"}), frozenset()))
    two.turn()
    assert pumped == [A, B, A, B], "it has waited for longer"
    assert two.engine.next_due(clock.monotonic.now) <= clock.monotonic.now
    clock.monotonic.step = 0.0
    two.turn()
    assert pumped == [A, B, A, B, A]
    two.turn()
    assert pumped == [A, B, A, B, A], "nothing has come in, and nothing is due"
    assert two.engine.next_due(clock.monotonic.now) > clock.monotonic.now


@pytest.mark.parametrize(("after_s", "checks"), [(0.0, 0), (CHECK_EVERY_S * CHECKED_TOGETHER, 2), (CHECK_EVERY_S, 1)])
def test_folders_that_are_due_at_about_the_same_time_are_checked_in_one_turn(
    two: Two, after_s: float, checks: int
) -> None:
    """400 mappings at rest had the engine turn 260 times in a second, each time with a commit and a status."""
    first = NOW if after_s else NOW + 0.1
    two.disk.checks = 0
    two.engine._rounds._checks.put(A, first)
    two.engine._rounds._checks.put(B, first + after_s)
    two.turn()
    assert two.disk.checks == checks


def test_many_names_of_one_file_are_asked_for_once_in_a_turn(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand hard links to one picture, which is changed: not a thousand questions with a thousand answers."""
    names = [f"{number:06}" for number in range(NAMES_AT_ONCE)]
    publish(two, dict.fromkeys(names, file(inode=7)))
    asked: list[int] = []
    names_of = Inodes.names

    def count(inodes: Inodes, mapping: int, inode: int) -> list[tuple[str, Fingerprint]]:
        asked.append(inode)
        return names_of(inodes, mapping, inode)

    monkeypatch.setattr(Inodes, "names", count)
    two.lists(A, dict.fromkeys(names, file(size=11, inode=7)._replace(linked=True)))
    two.turn()
    assert asked == [7]
    assert two.waiting + len(two.handed(A)) == len(names)


def test_a_file_that_changes_is_looked_at_however_much_of_a_large_directory_waits(two: Two) -> None:
    """Else it waits for all of that; what was marked by itself has its turn in between."""
    mirror = two.mirror
    two.compare_again()
    two.turn()
    two.lists(A, many(3 * QUEUE_ROOM))
    two.turn()
    two.turns()
    assert two.waiting > 2 * QUEUE_ROOM
    assert mirror.queue.marked(A) == 0
    two.engine.changed(A, Changes(frozenset({"title.jpg"}), frozenset()))
    two.turn()
    assert two.disk.asked == [("", frozenset({"title.jpg"}))]
    two.lists(A, {"title.jpg": file(inode=7)}, frozenset({"title.jpg"}))
    two.turn()
    assert mirror.queue.marked(A) == 1


def test_of_what_is_marked_by_itself_only_so_much_waits_too(two: Two) -> None:
    mirror = two.mirror
    for number in range(3 * QUEUE_ROOM):
        mirror.queue.offer(Upload(A, f"{number}", Fingerprint(1, 1, 1)), Order(Lane.MARKED, NOW))
    assert mirror.queue.marked(A) == 3 * QUEUE_ROOM
    two.engine.changed(A, Changes(frozenset({"title.jpg"}), frozenset()))
    two.turn()
    assert two.disk.asked == []
    assert mirror.next_due() is None


def test_a_small_directory_is_compared_at_once(two: Two) -> None:
    two.lists(A, many(NAMES_AT_ONCE))
    two.turn()
    assert not two.mirror.answers
    assert two.handed(A)


def test_files_that_are_published_as_they_are_cost_no_turn(two: Two) -> None:
    entries = many()
    publish(two, entries)
    two.lists(A, {**entries, "new": file()})
    two.turn()
    assert not two.mirror.answers
    assert [action.path for action in two.handed(A)] == ["new"]


def test_a_large_directory_of_known_files_is_gone_through_some_rows_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.recorded.ROWS_AT_ONCE", 300)
    entries = many()
    publish(two, entries)
    changed = min(entries)
    now_there = {**entries, "new": file(inode=1), changed: file(size=99, inode=1000)}
    del now_there[max(entries)]
    two.lists(A, now_there)
    two.turn()
    assert two.mirror.answers
    two.lists(B, {"small": file()}, frozenset({"small"}))
    two.turn()
    assert [action.path for action in two.handed(B)] == ["small"], "another mapping goes on in between"
    assert two.handed(A) == []
    two.turns()
    assert [action.path for action in two.handed(A)] == [changed, "new", max(entries)]
    assert isinstance(two.handed(A)[-1], Delete)


def test_what_is_noted_about_a_file_meanwhile_is_not_passed_over(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry while it is compared: what failed is looked at by the pass that follows."""
    monkeypatch.setattr("ftpsyncd.mapping.recorded.ROWS_AT_ONCE", 300)
    entries = many()
    publish(two, entries)
    for name in (min(entries), max(entries)):
        two.ledger.failures.put(two.mirror.id, name, failed(entries[name], parked=True))
    two.lists(A, entries)
    two.turn()
    two.turns()
    assert two.ledger.failures.counts(two.mirror.id).parked == 0, "they are published as they are"
    assert (two.handed(A), two.waiting) == ([], 0)


def test_names_that_nobody_knew_come_in_their_order_whatever_the_parts_that_they_are_sorted_in(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.recorded.ROWS_AT_ONCE", 300)
    entries = many()
    two.lists(A, entries)
    two.turn()
    assert two.waiting == 0
    two.turns()
    started = [action.path for action in two.handed(A)]
    assert started
    assert started == sorted(entries)[: len(started)]


@pytest.mark.parametrize("same", [SOME, SOME // 2, SOME // 2 - 1])
def test_a_large_directory_is_known_again_under_another_name(
    two: Two, monkeypatch: pytest.MonkeyPatch, same: int
) -> None:
    """Which takes several turns; half of what was in it must be there still."""
    monkeypatch.setattr("ftpsyncd.mapping.kin.ROWS_AT_ONCE", 300)
    entries = many()
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in entries.items()})
    there = dict(sorted(entries.items())[:same])
    two.engine.answered(
        A, Listing("new", Presence.PRESENT, there, None, root=ROOT, inode=50, device=DISK, taken_wall_ns=WALL)
    )
    two.turn()
    assert two.mirror.answers
    two.lists(B, {"small": file()}, frozenset({"small"}))
    two.turn()
    assert [action.path for action in two.handed(B)] == ["small"]
    two.turns()
    renamed = [action for action in two.handed(A) if isinstance(action, RenameDir)]
    assert [(action.source, action.path) for action in renamed] == ([("old", "new")] if same >= SOME // 2 else [])


def test_a_large_directory_is_not_renamed_to_where_some_of_it_is_not_to_be_published(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.mapping.kin.ROWS_AT_ONCE", 300)
    entries = many()
    two.mirror.offers._kin._selection = Without([f"new/{max(entries)}"])
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in entries.items()})
    two.engine.answered(
        A, Listing("new", Presence.PRESENT, entries, None, root=ROOT, inode=50, device=DISK, taken_wall_ns=WALL)
    )
    two.turns()
    assert not [action for action in two.handed(A) if isinstance(action, RenameDir)]


def test_a_directory_that_is_known_again_is_not_renamed_if_it_is_not_the_same_any_more(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran when it was listed ends while it is compared: another directory has the old path, for instance."""
    monkeypatch.setattr("ftpsyncd.mapping.kin.ROWS_AT_ONCE", 300)
    entries = many()
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in entries.items()})
    two.engine.answered(
        A, Listing("new", Presence.PRESENT, entries, None, root=ROOT, inode=50, device=DISK, taken_wall_ns=WALL)
    )
    two.turn()
    assert two.mirror.answers
    two.ledger.put(two.mirror.id, "old", made(51))
    two.turns()
    assert not [action for action in two.handed(A) if isinstance(action, RenameDir)]


def test_a_large_directory_that_is_not_to_be_published_any_more_is_forgotten_some_rows_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", 300)
    two.mirror.comparing._selection = Without(["old"])
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in many().items()})
    two.lists(A, {"old": folder(50)})
    two.turn()
    assert two.mirror.answers
    two.lists(B, {"small": file()}, frozenset({"small"}))
    two.turn()
    assert [action.path for action in two.handed(B)] == ["small"]
    assert two.ledger.row(two.mirror.id, "old") is not None, "who dies now finds it again, and goes on"
    two.turns()
    assert two.ledger.row(two.mirror.id, "old") is None
    assert two.ledger.mappings.totals(two.mirror.id).files == 0
    assert [event.path for event in two.events if event.kind is EventKind.FORGOTTEN] == ["old"]


def test_many_directories_that_are_not_to_be_published_any_more_are_forgotten_some_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a pattern for a part of a large tree, none of them so large that it would take a turn by itself."""
    monkeypatch.setattr("ftpsyncd.mapping.forgetting.FORGOTTEN_AT_ONCE", 500)
    names = [f"{number:02}" for number in range(50)]
    two.mirror.comparing._selection = Without(names)
    for number, name in enumerate(names):
        two.ledger.put(two.mirror.id, name, made(50 + number))
        publish(two, {f"{name}/{each}": file(inode=1000 + each) for each in range(100)})
    two.ledger.put(two.mirror.id, "stays", made(49))
    publish(two, {"stays/a": file()})
    two.lists(A, {name: folder(50 + number) for number, name in enumerate(names)} | {"stays": folder(49)})
    left = [two.ledger.mappings.totals(two.mirror.id).files]
    two.turn()
    two.lists(B, {"small": file()}, frozenset({"small"}))
    while two.mirror.answers:
        left.append(two.ledger.mappings.totals(two.mirror.id).files)
        two.turn()
    assert [action.path for action in two.handed(B)] == ["small"]
    left.append(two.ledger.mappings.totals(two.mirror.id).files)
    assert (left[0], left[-1]) == (5001, 1)
    assert max(before - after for before, after in itertools.pairwise(left)) <= 2 * 500, (
        "one slice for the message, and one more"
    )
    assert sorted(event.path for event in two.events if event.kind is EventKind.FORGOTTEN) == names


def test_a_discard_is_not_over_before_all_that_it_is_about_is_forgotten(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a daemon that dies in between would delete the rest at the server, after its restart."""
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", 300)
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in many().items()})
    two.lists(A, {}, frozenset({"old"}))
    two.turn()
    assert two.held()
    two.mirror.removals._all_seen = True
    assert two.mirror.removals.discard(two.engine._moment()).startswith(f"{A}: {SOME:,} deletes discarded")
    two.lists(A, {}, frozenset({"old"}))
    two.turn()
    while two.mirror.answers:
        assert two.ledger.decisions.discarding(two.mirror.id)
        assert two.ledger.row(two.mirror.id, "old") is not None
        two.turn()
    assert not two.ledger.decisions.discarding(two.mirror.id)
    assert two.ledger.mappings.totals(two.mirror.id).files == 0
    assert [action for action in two.handed(A) if isinstance(action, Delete)] == []


def test_the_other_names_of_what_was_in_a_large_directory_are_looked_for_some_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpsyncd.ledger.inodes.ROWS_AT_ONCE", 300)
    monkeypatch.setattr("ftpsyncd.mapping.othernames.ROWS_AT_ONCE", 300)
    entries = many()
    last = max(entries)
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in entries.items()} | {"linked": entries[last]})
    two.lists(A, {}, frozenset({"old"}))
    two.turn()
    assert not two.mirror.dirty.awaits("linked")
    two.lists(B, {"small": file()}, frozenset({"small"}))
    assert two.turns() == 2
    assert [action.path for action in two.handed(B)] == ["small"]
    assert ("", frozenset({"linked"})) in two.disk.asked


@pytest.mark.parametrize("deletes", DeletePolicy)
def test_the_other_names_of_what_was_in_many_directories_are_looked_for_some_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch, deletes: DeletePolicy
) -> None:
    """A part of a large tree is gone, none of it so large that it would take a turn by itself."""
    monkeypatch.setattr("ftpsyncd.mapping.othernames.ROWS_AT_ONCE", 1000)
    two.mirror.removals._site = two.mirror.site._replace(spec=two.mirror.spec._replace(deletes=deletes))
    names = [f"{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        two.ledger.put(two.mirror.id, name, made(50 + number))
        publish(two, {f"{name}/{each}": file(inode=100 * number + each + 1) for each in range(100)})
    publish(two, {f"linked{number}": file(inode=100 * number + 1) for number in range(40)})
    looked, outside = [0], Inodes.names_outside

    def counted(inodes: Inodes, mapping: int, directory: str) -> Iterator[tuple[set[str], int]]:
        for found, files in outside(inodes, mapping, directory):
            looked[-1] += files
            yield found, files

    monkeypatch.setattr(Inodes, "names_outside", counted)
    there = {f"linked{number}": file(inode=100 * number + 1) for number in range(40)}
    two.lists(A, there)
    two.turn()
    while two.mirror.answers:
        looked.append(0)
        two.turn()
    two.turn()
    assert sum(looked) == 4000
    assert max(looked) <= 2 * 1000, "one slice for the message, and one more"
    asked = {name for _, names in two.disk.asked for name in names}
    asked |= two.mirror.looks._next["", False].names or frozenset()
    assert asked >= there.keys(), "also where what is gone is dropped from the ledger"


def test_of_a_large_directory_that_is_gone_only_so_much_waits_to_be_deleted(two: Two) -> None:
    count = 2 * QUEUE_ROOM + 10
    two.mirror.spec = two.mirror.spec._replace(max_deletes=DeleteLimit(count))
    two.mirror.removals.limit._site = two.mirror.site._replace(spec=two.mirror.spec)
    two.ledger.put(two.mirror.id, "old", made(50))
    publish(two, {f"old/{name}": entry for name, entry in many(count).items()})
    two.lists(A, {}, frozenset({"old"}))
    two.turn()
    two.turn()
    two.lists(A, {}, frozenset({"old"}))
    most, deleted = 0, 0
    for _ in range(count):
        two.turn()
        most = max(most, two.waiting)
        handed, two.handed(A)[:] = [*two.handed(A)], []
        if not handed:
            break
        deleted += sum(isinstance(action, Delete) for action in handed)
        for action in handed:
            two.engine.performed(A, Done(action, Did.DELETED if isinstance(action, Delete) else Did.REMOVED))
    assert deleted == count
    assert most <= QUEUE_ROOM + 2 * NAMES_AT_ONCE
    assert two.ledger.row(two.mirror.id, "old") is None, "the directory goes last"


def test_too_many_deletes_are_held_also_where_no_slice_has_too_many(two: Two) -> None:
    publish(two, many())
    two.lists(A, {})
    assert two.turns() == 0
    two.turn()
    assert not two.held(), "so many may be deleted at once"
    assert two.turns() == 2
    assert two.handed(A) == []
    assert f"and {NAMES_AT_ONCE + 100} in the minute before" in two.held()
    two.turn()
    assert [action for action in two.handed(A) if isinstance(action, Delete)] == []


def test_who_decides_before_all_is_compared_is_told_so(two: Two) -> None:
    publish(two, many())
    two.mirror.removals._all_seen = True
    two.lists(A, {})
    two.turn()
    two.turn()
    assert two.held()
    assert two.mirror.answers
    said = two.mirror.removals.approve(two.engine._moment())
    assert said.endswith("not everything was looked at yet: other deletes follow the usual rules")


def test_an_approval_of_very_many_deletes_is_few_statements(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(two, many())
    two.lists(A, {})
    two.turn()
    two.turns()
    removals = two.mirror.removals
    gone, written = removals.absent.files, 0
    write = Database._write

    def count(database: Database, statement: Any) -> Any:
        nonlocal written
        written += 1
        return write(database, statement)

    monkeypatch.setattr(Database, "_write", count)
    assert removals.approve(two.engine._moment()).startswith(f"{A}: {gone:,} deletes approved")
    two.ledger.commit()
    assert gone > 400
    assert written < 10
    assert len(two.ledger.decisions.approved(two.mirror.id)) == gone


def test_at_the_end_of_a_pass_what_is_approved_is_not_asked_for_one_by_one(two: Two) -> None:
    entries = many()
    publish(two, entries)
    two.lists(A, {})
    two.turn()
    two.turns()
    removals = two.mirror.removals
    removals.approve(two.engine._moment())
    allowed = removals.absent.allowed_paths
    two.ledger.forget(two.mirror.id, allowed[0])
    two.ledger.commit()
    two.ledger._rows.clear()
    said: list[str] = []
    two.ledger._db._db.set_trace_callback(said.append)
    removals.pass_ended(two.engine._moment())
    two.ledger._db._db.set_trace_callback(None)
    assert len(allowed) > 400
    assert len(said) < 10
    assert removals.absent.allowed_paths == allowed[1:]


def test_what_is_approved_is_asked_for_in_several_turns_at_the_end_of_a_pass(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(two, many())
    two.lists(A, {})
    two.turn()
    two.turns()
    removals = two.mirror.removals
    removals.approve(two.engine._moment())
    allowed = removals.absent.allowed_paths
    for path in (min(allowed), max(allowed)):
        two.ledger.forget(two.mirror.id, path)
    monkeypatch.setattr("ftpsyncd.mapping.removals.ASKED_AT_ONCE", 300)
    removals.pass_ended(two.engine._moment())
    turns = 0
    while removals.working:
        assert two.engine.next_due(NOW) <= NOW, "it does not wait for a message"
        removals.go_on(two.engine._moment())
        turns += 1
    assert turns == len(allowed) // 300
    assert sorted(removals.absent.allowed_paths) == sorted(allowed)[1:-1]


@pytest.mark.parametrize(("most", "marks"), [(9, 2), (10, 10)])
def test_at_the_end_of_a_pass_very_much_that_is_gone_is_looked_at_by_directories(
    two: Two, monkeypatch: pytest.MonkeyPatch, most: int, marks: int
) -> None:
    """Some hundred thousand files that were deleted while nobody watched: not so many marks in one turn."""
    monkeypatch.setattr("ftpsyncd.mapping.removals.MARKED_AT_ONCE", most)
    two.ledger.put(two.mirror.id, "d", made(50))
    publish(two, {f"{number}": file(inode=1000 + number) for number in range(5)})
    publish(two, {f"d/{number}": file(inode=2000 + number) for number in range(5)})
    told: list[str] = []
    dirty, removals = two.mirror.dirty, two.mirror.removals

    def noted(mark: Callable[[str, float], None]) -> Callable[[str, float], None]:
        def note(path: str, due: float) -> None:
            told.append(path)
            mark(path, due)

        return note

    monkeypatch.setattr(dirty, "mark", noted(dirty.mark))
    monkeypatch.setattr(dirty, "mark_directory", noted(dirty.mark_directory))
    two.compare_again()
    two.turn()
    for directory, entries in (("", {"d": folder(50)}), ("d", {})):
        gone_since = WALL - 3600 * 10**9
        two.engine.answered(
            A,
            Listing(
                directory,
                Presence.PRESENT,
                entries,
                None,
                root=ROOT,
                inode=50 if directory else 1,
                device=DISK,
                taken_wall_ns=WALL,
                changed_wall_ns=gone_since,
            ),
        )
        two.turn()
    assert two.mirror.looks.passes == 1
    assert len(told) == marks
    assert removals.absent.files == 10
    assert two.handed(A) == []
    two.turn()
    asked = {directory for directory, _ in two.disk.asked} | set(two.disk.whole)
    assert asked >= {"", "d"}
    two.lists(A, {"d": folder(50)})
    two.engine.answered(A, Listing("d", Presence.PRESENT, {}, None, root=ROOT, inode=50, device=DISK))
    two.turn()
    two.turn()
    assert len([action for action in two.handed(A) if isinstance(action, Delete)]) + two.waiting == 10


def test_what_many_refused_files_may_have_left_is_asked_about_some_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lets nobody write any more, and tens of thousands of files."""
    monkeypatch.setattr("ftpsyncd.mapping.inquiries.QUEUE_ROOM", 100)
    for number in range(450):
        two.ledger.begun.put(two.mirror.id, f"{number}", Intent(Kind.FILE, f"/{number}.filepart"))
    two.ledger.commit()
    two.mirror.intents = Intents(two.mirror.site)
    two.compare_again()
    two.turn()
    two.lists(A, {})
    most, swept = 0, set[str]()
    for _ in range(200):
        two.turn()
        most = max(most, two.waiting)
        handed, two.handed(A)[:] = [*two.handed(A)], []
        for action in handed:
            assert isinstance(action, Sweep)
            swept.add(action.path)
            two.engine.performed(A, Done(action, Did.SWEPT))
        if not (handed or two.waiting):
            break
    assert len(swept) == 450
    assert most <= 100
    # Of what an earlier daemon had begun, each is asked about once more when it is late.
    assert two.mirror.intents.late._awaited.keys() == set(two.mirror.intents._open)


def let_very_many_deletes_wait(two: Two) -> None:
    """All of a directory is gone, and the server away; then it is there again."""
    entries = many()
    two.engine.servers[A].queue.gate.failed(NOW, Breaker.OFFLINE, "it is down")
    two.mirror.removals.limit._site = two.mirror.site._replace(
        spec=two.mirror.spec._replace(max_deletes=DeleteLimit(2 * SOME))
    )
    publish(two, entries)
    two.lists(A, {})
    two.turns()
    two.turn()
    two.turns()
    assert two.waiting == SOME
    two.engine.servers[A].queue.gate.answered()


def test_when_a_disk_goes_very_many_deletes_are_taken_back_some_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them begins meanwhile, also where the disk is back before; and what is gone then is found again."""
    let_very_many_deletes_wait(two)
    monkeypatch.setattr("ftpsyncd.core.schedule.WITHDRAWN_AT_ONCE", 100)
    two.engine.answered(A, WatchReport("native", None, "it is gone"))
    two.turn()
    assert SOME - 200 <= two.waiting < SOME
    two.engine.answered(A, REPORT)
    two.lists(A, {})
    left = [two.waiting]
    while two.mirror.removals.takes_back:
        assert two.engine.next_due(NOW) <= NOW, "it does not wait for a message"
        two.turn()
        left.append(two.waiting)
        assert not [action for action in two.handed(A) if isinstance(action, Delete)]
    assert left[-1] <= NAMES_AT_ONCE, "all were taken back; what is gone is being found again"
    assert max(before - after for before, after in itertools.pairwise(left)) <= 200
    two.turns()
    two.turn()
    two.turns()
    deletes = [action for action in two.handed(A) if isinstance(action, Delete)]
    assert two.waiting + len(deletes) == SOME


def test_where_another_folder_has_come_none_of_very_many_deletes_begins_before_all_are_taken_back(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_very_many_deletes_wait(two)
    monkeypatch.setattr("ftpsyncd.core.schedule.WITHDRAWN_AT_ONCE", 100)
    two.engine.answered(A, REPORT._replace(root=RootIdentity(ROOT.inode + 1, ROOT.filesystem + 1)))
    two.turn()
    left = [two.waiting]
    while two.mirror.removals.takes_back:
        two.turn()
        left.append(two.waiting)
        assert not [action for action in two.handed(A) if isinstance(action, Delete)]
    assert 0 < left[0] < SOME
    assert left[-1] == 0


def test_a_disk_that_goes_ends_an_approval_of_very_many_deletes_with_few_statements(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = many()
    publish(two, entries)
    two.lists(A, {})
    two.turn()
    two.turns()
    removals, decisions = two.mirror.removals, two.ledger.decisions
    removals.approve(two.engine._moment())
    decisions.set_approved(two.mirror.id, [("changed", 1)], changed=True)
    decisions.set_approved(two.engine.mirrors[B].id, [("of another", 1)])
    two.ledger.commit()
    assert len(decisions.approved(two.mirror.id)) > 400
    said: list[str] = []
    two.ledger._db._db.set_trace_callback(said.append)
    two.mirror.source_missing("the disk is gone", NOW)
    two.ledger._db._db.set_trace_callback(None)
    assert len(said) < 10
    assert removals.absent.allowed_paths == []
    assert decisions.approved(two.mirror.id) == [("changed", 1, True)]
    assert decisions.approved(two.engine.mirrors[B].id) == [("of another", 1, False)]


def test_half_of_an_approval_deletes_nothing_and_outlives_no_answer(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is killed while it is noted: nobody was told that anything is approved."""
    monkeypatch.setattr("ftpsyncd.core.deletes.APPROVED_AT_ONCE", 300)
    entries = many()
    publish(two, entries)
    two.lists(A, {})
    two.turn()
    two.turns()
    assert two.mirror.removals.approve_some()
    two.ledger.commit()
    again = Two(two.ledger)
    assert again.held()
    again.lists(A, {})
    again.turn()
    again.turns()
    for _ in range(3):
        again.turn()
    assert again.held()
    assert [action for action in again.handed(A) if isinstance(action, Delete)] == []
    steps = 0
    while again.mirror.removals.approve_some():
        steps += 1
    gone = again.mirror.removals.absent.files
    assert steps == (gone - 300) // 300
    assert again.mirror.removals.approve(again.engine._moment()).startswith(f"{A}: {gone:,} deletes approved")


def test_what_was_seen_later_is_taken_up_later(two: Two) -> None:
    entries = many()
    publish(two, entries)
    two.lists(A, {})
    two.turn()
    # They are back; and the watcher says that the folder is not there, in this order.
    two.lists(A, entries, frozenset(entries))
    two.engine.answered(A, WatchReport("native", None, "it is gone"))
    two.turn()
    assert two.mirror.removals.absent.files
    assert not two.missing()
    two.turns()
    assert not two.mirror.removals.absent.files
    assert two.missing() == "it is gone"
    kinds = [event.kind for event in two.events]
    assert kinds.index(EventKind.HELD) < kinds.index(EventKind.SOURCE_MISSING)


def test_what_became_of_a_name_meanwhile_counts_and_not_what_was_recorded_at_first(two: Two) -> None:
    entries = many()
    publish(two, entries)
    last = max(entries)
    two.lists(A, {})
    two.turn()
    # A rename that ran has ended: nothing is published here any more.
    two.ledger.move(two.mirror.id, last, "elsewhere")
    two.turns()
    assert two.mirror.removals.absent.since(last) is None
    assert two.mirror.removals.absent.since(f"{SOME - 2:06}") is not None


def test_what_was_published_between_the_listing_and_its_comparison_is_not_forgotten(two: Two) -> None:
    """It stayed at the server for ever, should it be deleted, and was counted twice when it was sent again."""
    entries = many()
    first = min(entries)
    two.lists(A, entries)
    two.engine.mailbox.put(lambda _at: two.ledger.put(two.mirror.id, first, published(entries[first])))
    two.turn()
    two.turns()
    assert two.ledger.row(two.mirror.id, first) == published(entries[first])
    assert two.mirror.queue.waiting(A, first) is None
    assert two.ledger.mappings.totals(two.mirror.id).files == 1
    assert two.waiting + len(two.handed(A)) == SOME - 1


def test_a_failure_that_came_meanwhile_counts(two: Two) -> None:
    entries = many()
    two.lists(A, entries)
    two.turn()
    last = max(entries)
    two.ledger.failures.put(two.mirror.id, last, failed(entries[last], parked=True))
    two.turns()
    assert two.mirror.queue.waiting(A, last) is None
    assert two.waiting + len(two.handed(A)) == SOME - 1


def test_a_file_that_got_another_name_is_renamed_whatever_lies_between(two: Two) -> None:
    entries = many()
    publish(two, entries)
    last = max(entries)
    moved = {f"x{name}": entry for name, entry in entries.items() if name != last}
    two.lists(A, {**moved, "0first": entries[last]})
    two.turn()
    assert two.turns() == 4
    renames = [action for action in two.handed(A) if isinstance(action, Rename)]
    assert (renames[0].path, renames[0].source) == ("0first", last)
    assert all(isinstance(action, Rename) for action in two.handed(A))
    assert two.mirror.removals.absent.files == 0


def test_failures_of_what_is_not_there_any_more_are_over(two: Two) -> None:
    for name in many():
        two.ledger.failures.put(two.mirror.id, name, failed(file(), parked=True))
    two.lists(A, {})
    two.turn()
    assert two.ledger.failures.counts(two.mirror.id).parked == SOME - NAMES_AT_ONCE
    two.turns()
    assert two.ledger.failures.counts(two.mirror.id).parked == 0


def test_when_the_folder_goes_nothing_more_is_concluded_and_the_looks_are_free_again(two: Two) -> None:
    entries = many()
    publish(two, entries)
    two.mirror.dirty.mark_directory("d", NOW)
    two.lists(A, {})
    two.turn()
    two.lists(A, {}, frozenset({"x"}))
    two.engine.answered(A, Listing("d", Presence.ABSENT, {}))
    two.turn()
    assert ("d", True) in two.mirror.looks._asked, "an answer that waits is not asked for again"
    two.mirror.source_missing("it does not answer", NOW)
    assert not two.mirror.answers
    assert ("d", True) not in two.mirror.looks._asked
    assert not two.mirror.removals.absent.files
    two.turn()
    assert (two.handed(A), two.waiting) == ([], 0)
    two.engine.answered(A, REPORT)
    two.turn()
    assert not two.mirror.suspended


def test_a_mapping_that_goes_is_not_compared_to_the_end(two: Two) -> None:
    two.lists(A, many())
    two.turn()
    two.mirror.leave()
    assert not two.mirror.answers
    two.turn()
    assert two.waiting == NAMES_AT_ONCE
    two.lists(A, many())
    two.turn()
    assert not two.mirror.answers, "it would never be over"


def test_the_engine_rests_while_a_mapping_goes_whose_folder_was_to_be_looked_at(two: Two) -> None:
    """For ten seconds, if a transfer that runs takes so long."""
    two.mirror.dirty.mark_deep("", NOW)
    two.mirror.dirty.push_deep(["d", "e"], Order(Lane.PASS, NOW))
    two.mirror.leave()
    two.turn()
    assert two.mirror.dirty.next_due() is not None
    assert two.engine.next_due(NOW) > NOW


def test_a_pass_does_not_end_before_what_it_found_is_compared(two: Two) -> None:
    publish(two, many())
    two.compare_again()
    two.turn()
    assert two.mirror.looks
    two.lists(A, {})
    two.turn()
    two.turn()
    assert two.mirror.looks.passes == 0
    two.turns()
    assert two.mirror.looks.passes == 1


def test_many_names_that_were_asked_for_are_compared_some_at_a_time_too(two: Two) -> None:
    entries = many()
    two.lists(A, entries, frozenset(entries))
    two.turn()
    assert two.waiting == NAMES_AT_ONCE
    two.turns()
    paths = [basename(action.path) for action in two.handed(A) if isinstance(action, Upload)]
    assert paths == sorted(entries)[: len(paths)]
    assert two.waiting + len(paths) == SOME
