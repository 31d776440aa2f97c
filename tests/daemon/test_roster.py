"""What belongs to the running parts is put in and taken out with them; and how long disks that are stopped are awaited.

Nothing runs here: no thread of a disk was started, and no worker has anything to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from ftpsyncd.actions import Did, Done, Outcome, Sweep, Upload
from ftpsyncd.config import Config
from ftpsyncd.config.records import ControlSpec
from ftpsyncd.daemon import roster
from ftpsyncd.daemon.roster import LOOK_AGAIN_S, Roster, _stop_disks
from ftpsyncd.engine.loop import Engine
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.disk import Delivery, DiskThread
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.model import Fingerprint, Intent, Kind
from ftpsyncd.publishing.crew import Crew
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from ftpsyncd.specs import MappingSpec, ServerSpec


class Disk:
    """One that has ended when it is asked for the so-manieth time."""

    def __init__(self, ends_at: int) -> None:
        self._ends_at = ends_at
        self.waits_s: list[float] = []

    def stop(self, timeout_s: float) -> bool:
        self.waits_s.append(timeout_s)
        return len(self.waits_s) >= self._ends_at


NEVER = 1_000_000


def stop(disks: list[Disk], timeout_s: float, enough: Callable[[], bool] = lambda: False) -> None:
    _stop_disks(cast("list[DiskThread]", disks), timeout_s, enough)


def test_all_disks_are_told_at_once_and_awaited_in_turn() -> None:
    disks = [Disk(4), Disk(3)]
    stop(disks, 3600)
    assert [len(disk.waits_s) for disk in disks] == [4, 3]
    for disk in disks:
        assert disk.waits_s == [0.0] + [LOOK_AGAIN_S] * (len(disk.waits_s) - 1)


def test_one_that_does_not_answer_is_not_awaited_beyond_the_time_for_all() -> None:
    disks = [Disk(NEVER), Disk(NEVER)]
    stop(disks, 0)
    assert [disk.waits_s for disk in disks] == [[0.0, 0.0], [0.0]]


def test_nor_longer_than_is_enough() -> None:
    disk, asked = Disk(NEVER), list[int]()

    def enough() -> bool:
        asked.append(1)
        return len(asked) == 3

    stop([disk], 3600, enough)
    assert len(disk.waits_s) == 4


WEB = ServerSpec("web", "ftp.example.com", "u")
ELSEWHERE = ServerSpec("elsewhere", "ftp.example.org", "u")
ACCOUNT = "u@ftp.example.com:21"
A = MappingSpec("a", Path("/srv/a"), "web", "/a")
B = MappingSpec("b", Path("/srv/b"), "elsewhere", "/b")
ALONE = MappingSpec("alone", Path("/srv/alone"), "web", "/alone")
UPLOAD = Upload("a", "x.jpg", Fingerprint(1, 2, 3))


class Parts:
    """A roster, and what it was made with."""

    def __init__(self, ledger: Ledger, *mappings: MappingSpec) -> None:
        self.ledger = ledger
        self.events: list[Event] = []
        self.engine = Engine(ledger, self.events.append)
        place = ledger.path.parent
        self.config = Config(
            place / "config.yaml",
            {"web": WEB, "elsewhere": ELSEWHERE},
            {spec.name: spec for spec in mappings},
            place,
            ControlSpec(place / "socket"),
        )

    def built(self, *, performs: bool = True) -> Roster:
        made = Roster(self.engine, self.events.append, one_pass=True, performs=performs)
        made.build(self.config, self.config.mappings)
        return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def leave(ledger: Ledger, name: str, account: str, temporary: str) -> None:
    """A mapping was cut off there in the midst of an upload."""
    ledger.begun.put(ledger.mappings.number(name, f"{account}/{name}"), "x", Intent(Kind.FILE, temporary))


@pytest.fixture
def left(ledger: Ledger) -> Ledger:
    """By one that is there, one that is gone from the same server, and one of a server that is gone itself."""
    leave(ledger, "a", ACCOUNT, "/a/x.11111111.filepart")
    leave(ledger, "gone", ACCOUNT, "/gone/x.22222222.filepart")
    leave(ledger, "far", "u@ftp.example.net:21", "/far/x.33333333.filepart")
    return ledger


def test_what_was_left_by_mappings_that_are_gone_is_swept_at_its_server_or_told(left: Ledger) -> None:
    parts = Parts(left, A, B)
    parts.built()
    swept: dict[str, list[str]] = {}
    for name, server in parts.engine.servers.items():
        assert server.leftovers is not None
        server.leftovers.ask(1.0)
        swept[name] = [action.path for action in iter(lambda q=server.queue: q.take(1.0), None)]  # type: ignore[misc]
    assert swept == {"web": ["/gone/x.22222222.filepart"], "elsewhere": []}
    assert [(event.kind, event.mapping) for event in parts.events] == [(EventKind.KEPT, "far")]


def test_who_performs_nothing_neither_sweeps_nor_tells_of_it(left: Ledger) -> None:
    parts = Parts(left, A)
    parts.built(performs=False)
    assert parts.engine.servers["web"].leftovers is None
    assert parts.events == []


def test_no_sweep_is_begun_while_mappings_come_that_may_publish_there(
    left: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(left, A)
    made = parts.built()
    server = parts.engine.servers["web"]
    waiting, handed = (Sweep("", path, path) for path in ("/gone/a", "/gone/b"))
    server.queue.offer(handed)
    assert server.queue.take(1.0) == handed
    server.queue.offer(waiting)
    recalled: list[str] = []

    def recall(_crew: Crew, mapping: str) -> list[Sweep]:
        recalled.append(mapping)
        return [handed]

    monkeypatch.setattr(Crew, "recall", recall)
    made.suspend_leftovers()
    assert server.leftovers is None
    assert recalled == [""]
    load = server.queue.load("")
    assert (load.waiting, load.running) == (0, 0)
    made.take_leftovers(parts.config)
    assert server.leftovers


def test_with_a_mapping_goes_what_waits_of_it_and_that_a_directory_is_empty(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may publish there, and what this one has published is foreign to it."""
    parts = Parts(ledger, A, B)
    made = parts.built()
    anew: list[str] = []
    monkeypatch.setattr(Crew, "look_anew", lambda crew: anew.append(crew.name))
    queue = parts.engine.servers["web"].queue
    queue.offer(UPLOAD)
    assert made.take_out("a").spec == A
    assert queue.load("a").waiting == 0
    assert anew == ["web"]
    assert made.specs == {"b": B}
    assert [*parts.engine.mirrors] == ["b"]


def test_new_settings_have_what_waits_planned_anew_and_nothing_else(ledger: Ledger) -> None:
    parts = Parts(ledger, A, ALONE)
    made = parts.built()
    queue = parts.engine.servers["web"].queue
    queue.offer(UPLOAD)
    queue.offer(UPLOAD._replace(mapping="alone"))
    wanted = {**parts.config.mappings, "a": A._replace(settle_s=9.0)}
    made.adjust(parts.config._replace(mappings=wanted), "a")
    assert (queue.load("a").waiting, queue.load("alone").waiting) == (0, 1)
    assert parts.engine.mirrors["a"].spec.settle_s == 9.0


def test_what_publishes_the_same_in_the_same_place_goes_on_from_what_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(ledger, A)
    made = parts.built()
    went_on: list[Mirror] = []
    monkeypatch.setattr(Mirror, "go_on_from", lambda _mirror, before: went_on.append(before))
    first = parts.engine.mirrors["a"]
    made.adjust(parts.config, "a")
    assert went_on == [first]
    second = made.take_out("a")
    made.add(parts.config, "a", second)
    assert went_on == [first, second]
    third = made.take_out("a")
    made.add(parts.config._replace(mappings={"a": A._replace(remote="/another")}), "a", third)
    assert went_on == [first, second], "what it knew is of files in another place"


def test_a_server_that_is_taken_out_is_known_to_nobody(ledger: Ledger) -> None:
    parts = Parts(ledger, A, B)
    made = parts.built()
    made.take_out("a")
    assert made.take_out_server("web").name == "web"
    assert made.accounts == {"elsewhere": ELSEWHERE}
    assert [*parts.engine.servers] == ["elsewhere"]
    made.pace(WEB._replace(bandwidth_bytes_s=1000))
    assert made.accounts == {"elsewhere": ELSEWHERE}


def test_what_a_crew_that_was_replaced_has_done_is_not_heard_of(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cut off, and is done again; an outcome that comes late would be that of what was begun since."""
    parts = Parts(ledger, A)
    told: list[Callable[[Outcome], None]] = []

    class Overheard(Crew):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            told.append(cast("Callable[[Outcome], None]", args[4]))

    monkeypatch.setattr(roster, "Crew", Overheard)
    heard: list[str] = []
    monkeypatch.setattr(parts.engine, "performed", lambda server, _outcome: heard.append(server))
    made = parts.built()
    outcome = Done(UPLOAD, Did.PUBLISHED, UPLOAD.fingerprint)
    told[0](outcome)
    assert heard == ["web"]
    made.take_out("a")
    made.take_out_server("web")
    told[0](outcome)
    made.add(parts.config, "a")
    told[0](outcome)
    assert heard == ["web"]
    told[1](outcome)
    assert heard == ["web", "web"]


def test_what_a_disk_that_was_taken_out_answers_is_not_heard(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have hung, and answers much later, to a mirror that never asked."""
    parts = Parts(ledger, A)
    answers: list[Callable[[Delivery], None]] = []

    class Overheard(DiskThread):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            answers.append(cast("Callable[[Delivery], None]", args[3]))

    monkeypatch.setattr(roster, "DiskThread", Overheard)
    heard: list[tuple[str, Delivery]] = []
    monkeypatch.setattr(parts.engine, "answered", lambda name, answer: heard.append((name, answer)))
    made = parts.built()
    first, second = OSError("first"), OSError("second")
    answers[0](first)
    made.take_out_disks(["a"], lambda: True)
    answers[0](second)
    made.adjust(parts.config, "a")
    answers[0](second)
    assert heard == [("a", first)]
    answers[1](second)
    assert heard == [("a", first), ("a", second)]


def test_whose_the_directory_was_before_a_crash_is_known_to_who_publishes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    was: list[object] = []

    def folder(*args: object) -> Folder:
        was.append(args[3])
        return Folder(*args)  # type: ignore[arg-type]

    def whose_before(directory: Path, _now: str, *, in_order: bool) -> tuple[str, ...]:
        assert directory == ledger.path.parent
        assert in_order == ledger.in_order
        return ("before",)

    monkeypatch.setattr(roster, "Folder", folder)
    monkeypatch.setattr(roster, "whose_before", whose_before)
    Parts(ledger, A).built()
    Parts(ledger, A).built(performs=False)
    assert was == [("before",), ()]


def test_a_server_that_was_found_to_allow_fewer_connections_begins_with_these(ledger: Ledger) -> None:
    keeper = Keeper(Profile(), "", time.time())
    keeper.profile = Profile(cap=2)
    text = keeper.tend(time.time())
    assert text is not None
    ledger.put_profile(ACCOUNT, text)
    parts = Parts(ledger, A)
    parts.built()
    assert parts.engine.servers["web"].queue.gate.cap == 2
    assert parts.engine.servers["web"].account == ACCOUNT


@pytest.mark.parametrize("within_s", [3600.0, 0.0])
def test_all_parts_are_to_begin_nothing_more_before_any_is_awaited(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, within_s: float
) -> None:
    made = Parts(ledger, A, B).built()
    done: list[tuple[str, object]] = []

    def stop(_crew: Crew, timeout_s: float, *, patient: bool) -> bool:
        assert within_s / 2 <= timeout_s <= within_s
        done.append(("awaited", patient))
        return True

    def end(disk: DiskThread, timeout_s: float) -> bool:
        done.append((disk.name, timeout_s))
        return True

    monkeypatch.setattr(DiskThread, "stop", end)
    monkeypatch.setattr(Crew, "interrupt", lambda crew: done.append(("interrupted", crew.name)))
    monkeypatch.setattr(Crew, "stop", stop)
    made.stop_crews(within_s)
    assert sorted(done[:4], key=str) == [
        ("disk a", 0.0),
        ("disk b", 0.0),
        ("interrupted", "elsewhere"),
        ("interrupted", "web"),
    ]
    assert done[4:] == [("awaited", False)] * 2
