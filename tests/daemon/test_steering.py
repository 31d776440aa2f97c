"""What watches over the engine: a loop that does not turn is seen, whatever the process does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftpsyncd import patience
from ftpsyncd.config import Config, ControlSpec
from ftpsyncd.control import sharing
from ftpsyncd.control.client import ControlClient
from ftpsyncd.control.server import ControlServer
from ftpsyncd.core.alarms import AlertKind, conditions
from ftpsyncd.core.schedule import Queue
from ftpsyncd.daemon import steering
from ftpsyncd.daemon.steering import Steering
from ftpsyncd.engine import mailbox
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.report import iso
from ftpsyncd.errors import CommandRefusedError, ControlError, UnknownNameError, UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.local.scan import Scanner
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure, Fingerprint, HoldKind, Kind, Row
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.questions import CommandName, Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.specs import AlertLimits, MappingSpec
from ftpsyncd.status import MappingState
from tests.core.vocabulary import Without
from tests.waiting import until


@pytest.fixture
def config(tmp_path: Path) -> Config:
    spec = MappingSpec("gallery", tmp_path / "drop", "web", "/htdocs")
    return Config(tmp_path / "config.yaml", {}, {"gallery": spec}, tmp_path, ControlSpec(tmp_path / "control.sock"))


@contextmanager
def engine_of(config: Config) -> Iterator[Engine]:
    """An engine that is still to be started, and ends before its ledger is closed."""
    with Ledger(config.state_dir / "ledger.db") as ledger:
        engine = Engine(ledger, lambda _event: None)
        try:
            yield engine
        finally:
            engine.stop()


def mirror_of(config: Config, engine: Engine) -> Mirror:
    """The mapping, known to the engine; nobody looks at its disk."""
    spec, ledger = config.mappings["gallery"], engine.ledger
    mapping = ledger.mappings.number("gallery", "there")
    folder, queue = Folder(spec), Queue(1)
    mirror = Mirror(spec, Without(), mapping, ledger, queue, folder, lambda _event: None, today=lambda: "today")
    engine.mirrors["gallery"] = mirror
    return mirror


def test_of_many_mappings_it_is_said_once_what_was_done():
    """A retry of 400 was answered by one line of 20,000 characters, in which those that had failed were not seen."""
    quiet = [f"m{number}: nothing had failed" for number in range(1205)]
    failed = ["a: 2 failed paths are tried again", "b: 2 failed paths are tried again"]
    assert steering.summed([*quiet, *failed]) == (
        "a, b: 2 failed paths are tried again; m0, m1, m2 and 1,202 more: nothing had failed"
    )
    paused = [
        f"m{number}: nothing had failed; it is paused, {steering._resume(f'm{number}')} goes on"
        for number in range(400)
    ]
    assert steering.summed(paused) == (
        "m0, m1, m2 and 397 more: nothing had failed; it is paused, `ftpsyncd resume MAPPING` goes on"
    )
    few = ["a: paused", "b: paused; it is paused"]
    assert steering.summed(few) == "; ".join(few)


def test_of_a_few_mappings_each_is_said_and_of_what_few_have_in_common_all_names():
    assert steering.summed(["a: paused"] * 10) == "; ".join(["a: paused"] * 10)
    said = [*(f"m{number}: paused" for number in range(8)), *(f"{name}: goes on" for name in "abc")]
    assert steering.summed(said) == "a, b, c: goes on; m0, m1, m2 and 5 more: paused"


def test_a_command_is_about_the_mappings_that_are_meant_and_no_others(config: Config) -> None:
    with engine_of(config) as engine:
        mirror_of(config, engine)
        for name, server in (("films", "web"), ("far", "other")):
            spec = MappingSpec(name, config.path.parent / name, server, f"/{name}")
            mapping = engine.ledger.mappings.number(name, name)
            mirror = Mirror(
                spec, Without(), mapping, engine.ledger, Queue(1), Folder(spec), lambda _event: None, today=lambda: "x"
            )
            engine.mirrors[name] = mirror
        engine.start()
        daemon = Steering(config, engine)

        def told(command: CommandName, mapping: str | None = None, server: str | None = None) -> tuple[str, set[str]]:
            said = daemon.command(command, mapping=mapping, server=server, path=None)
            return said, {name for name, mirror in engine.mirrors.items() if mirror.paused}

        pause, resume = CommandName.PAUSE, CommandName.RESUME
        assert told(pause, "gallery") == ("gallery: paused", {"gallery"})
        assert told(pause, server="web") == ("gallery: paused; films: paused", {"gallery", "films"})
        assert told(pause, "far", "web") == ("nothing matches", {"gallery", "films"})
        assert told(resume, "gallery", "web") == ("gallery: goes on", {"films"})
        assert told(resume, "gallery") == ("gallery: was not paused", {"films"})
        assert told(pause)[1] == {"gallery", "films", "far"}
        assert told(resume, server="other")[1] == {"gallery", "films"}


def test_what_was_measured_of_a_server_is_used_for_all_its_entries_and_for_no_other(config: Config) -> None:
    used: list[tuple[str, object]] = []

    class Keeping:
        def __init__(self, name: str) -> None:
            self._name = name

        def adopt(self, learned: object, _now_s: float, _now: float) -> None:
            used.append((self._name, learned))

    with engine_of(config) as engine:
        daemon = Steering(config, engine)
        kept = [("a", "u@one:21", Keeping("a")), ("b", "u@one:21", Keeping("b")), ("c", "u@two:21", Keeping("c"))]
        servers = [SimpleNamespace(account=account, keeper=keeper) for _, account, keeper in kept]
        servers.append(SimpleNamespace(account="u@one:21", keeper=None))
        told = SimpleNamespace(servers=dict(enumerate(servers)), ask=engine.ask, whole=engine.whole)
        engine.start()
        daemon._engine = told  # type: ignore[assignment]
        assert daemon.learn("u@one:21", {"mlsd": False}) == "u@one:21: what was measured is used from now on"
        assert used == [("a", {"mlsd": False}), ("b", {"mlsd": False})]
        with pytest.raises(UsageError, match="publishes nothing to u@three:21"):
            daemon.learn("u@three:21", {})
        assert len(used) == 2


def test_an_engine_that_hangs_is_not_healthy_and_one_that_goes_on_is(config: Config, monkeypatch):
    monkeypatch.setattr(steering, "ENGINE_STUCK_S", 0.5)
    monkeypatch.setattr("ftpsyncd.engine.rounds.CHECK_EVERY_S", 0.05)
    let_go = threading.Event()
    with Ledger(config.state_dir / "ledger.db") as ledger:
        engine = Engine(ledger, lambda _event: None)
        daemon = Steering(config, engine)
        found = daemon.health()
        assert (found.healthy, found.engine_running) == (False, False)
        engine.start()
        until(lambda: daemon.health().healthy, "it turns")
        asking = threading.Thread(target=lambda: engine.ask(lambda _at: let_go.wait(30)))
        asking.start()
        until(lambda: not daemon.health().healthy, "it hangs")
        found = daemon.health()
        assert found.engine_running
        assert found.engine_turn_age_s >= found.limit_s == 0.5
        let_go.set()
        asking.join(30)
        until(lambda: daemon.health().healthy, "it turns again")
        engine.stop()
        assert not daemon.health().engine_running


def test_an_engine_that_hangs_does_not_tell_that_all_is_well(config: Config, monkeypatch):
    """For as long as nobody restarted it: by `status`, and by alerts, which told nobody."""
    monkeypatch.setattr("ftpsyncd.engine.board.ENGINE_STUCK_S", 0.5)
    monkeypatch.setattr("ftpsyncd.engine.rounds.CHECK_EVERY_S", 0.05)
    let_go = threading.Event()
    with engine_of(config) as engine:
        engine.start()
        daemon = Steering(config, engine)
        assert not daemon.status().daemon.stuck
        asking = threading.Thread(target=lambda: engine.ask(lambda _at: let_go.wait(30)))
        asking.start()
        until(lambda: daemon.status().daemon.stuck, "it hangs")
        assert f"the disk of the state directory {config.state_dir} does not answer" in daemon.status().daemon.stuck
        [(kind, _)] = conditions(daemon.status(), AlertLimits())
        assert kind is AlertKind.STUCK
        let_go.set()
        asking.join(30)
        until(lambda: not daemon.status().daemon.stuck, "it turns again")


def test_history_is_read_beside_an_engine_that_hangs(config: Config):
    let_go, entered = threading.Event(), threading.Event()
    with Ledger(config.state_dir / "ledger.db") as ledger:
        mapping = ledger.mappings.number("gallery", "there")
        now_ns = time.time_ns()
        ledger.history.record(mapping, Event(EventKind.PUBLISHED, "gallery", "a.jpg", "web"), now_ns)
        ledger.commit()
        engine = Engine(ledger, lambda _event: None)
        engine.start()

        def hang(_at: object) -> None:
            entered.set()
            let_go.wait(30)

        asking = threading.Thread(target=lambda: engine.ask(hang))
        asking.start()
        assert entered.wait(30)
        page = Steering(config, engine).history(HistoryQuery(), str(config.mappings["gallery"].local / "a.jpg"))
        assert [(entry.path, entry.at) for entry in page.entries] == [("a.jpg", iso(now_ns))]
        let_go.set()
        asking.join(30)
        engine.stop()


def test_what_a_command_did_is_recorded_before_it_is_answered(config: Config, monkeypatch: pytest.MonkeyPatch):
    with Ledger(config.state_dir / "ledger.db") as ledger:
        engine = Engine(ledger, lambda _event: None)
        mirror = mirror_of(config, engine)
        mirror.removals.holding.put(HoldKind.MASS_DELETE, "60 files were deleted at once", Moment(0.0, 1))
        ledger.commit()
        let_go = threading.Event()
        # The rest of that turn, with its own commit.
        monkeypatch.setattr(engine, "_look", lambda _at: mirror.removals.hold is None and let_go.wait(30))
        engine.start()
        daemon = Steering(config, engine)
        said = daemon.command(CommandName.DISCARD, mapping=None, server=None, path=None)
        assert said.startswith("gallery: ")
        with Ledger(config.state_dir / "ledger.db", read_only=True) as recorded:
            assert recorded.decisions.hold(mirror.id) is None
            assert recorded.decisions.discarding(mirror.id)
        let_go.set()
        monkeypatch.setattr(Ledger, "trouble", "its disk is full")
        said = daemon.command(CommandName.PAUSE, mapping=None, server=None, path=None)
        assert said == "gallery: paused; not recorded yet, because its disk is full"
        monkeypatch.undo()
        engine.stop()


def test_an_approval_of_very_many_deletes_lets_others_have_their_turns(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ftpsyncd.core.deletes.APPROVED_AT_ONCE", 10)
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        removals, between = mirror.removals, list[bool]()
        for number in range(35):
            removals.absent.note(f"{number}", 1, 0.0)
        removals.holding.put(HoldKind.MASS_DELETE, "35 files were deleted at once", Moment(0.0, 1))
        approve_some = removals.approve_some

        def some() -> bool:
            engine.mailbox.put(lambda _at: between.append(removals.hold is not None))
            return approve_some()

        monkeypatch.setattr(removals, "approve_some", some)
        engine.start()
        said = Steering(config, engine).command(CommandName.APPROVE, mapping=None, server=None, path=None)
        assert said.startswith("gallery: 35 deletes approved")
        assert between == [True] * 4, "the hold ends with the answer"
        assert removals.hold is None
        with Ledger(config.state_dir / "ledger.db", read_only=True) as recorded:
            assert len(recorded.decisions.approved(mirror.id)) == 35


def changed_at_server(mirror: Mirror, count: int) -> list[str]:
    """Files that are gone, of which the server has other versions now."""
    paths = [f"d/{number:03}" for number in range(count)]
    for path in paths:
        mirror.ledger.put(mirror.id, path, Row(Kind.FILE, Fingerprint(1, 1, 1), b"", 1))
        mirror.ledger.failures.put(mirror.id, path, Failure(None, 1, True, 0, CHANGED, "Changed.", "", "", 1))  # noqa: FBT003
    mirror.ledger.commit()
    return paths


def undecided(mirror: Mirror) -> list[str]:
    return mirror.ledger.failures.changed_at_server(mirror.id)


@pytest.mark.parametrize("name", [CommandName.APPROVE, CommandName.DISCARD])
def test_a_decision_about_very_many_changed_files_lets_others_have_their_turns(
    config: Config, monkeypatch: pytest.MonkeyPatch, name: CommandName
):
    monkeypatch.setattr("ftpsyncd.mapping.changedthere.DECIDED_AT_ONCE", 10)
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        paths = changed_at_server(mirror, 35)
        between, ask = list[int](), engine.ask

        def tell_before(*asked: Any) -> Any:
            engine.mailbox.put(lambda _at: between.append(len(undecided(mirror))))
            return ask(*asked)

        monkeypatch.setattr(engine, "ask", tell_before)
        daemon = Steering(config, engine)
        engine.start()
        said = daemon.command(name, mapping=None, server=None, path=None)
        assert said.startswith(f"gallery: 35 deletes {name.value.rstrip('e')}")
        assert between == [35, 25, 15, 5, 0, 0], "the last two find nothing more, and answer"
        with Ledger(config.state_dir / "ledger.db", read_only=True) as recorded:
            assert undecided(mirror) == []
            approved = [path for path, _, changed in recorded.decisions.approved(mirror.id) if changed]
            assert approved == (paths if name is CommandName.APPROVE else [])
            kept = [path for path in paths if recorded.row(mirror.id, path) is not None]
            assert kept == approved
        said = daemon.command(name, mapping=None, server=None, path=None)
        assert said == "gallery: nothing is held", "it was counted once"


def test_who_hears_nothing_in_the_middle_of_a_decision_is_told_that_some_of_it_was_done(
    config: Config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ftpsyncd.mapping.changedthere.DECIDED_AT_ONCE", 10)
    with engine_of(config) as engine:
        changed_at_server(mirror_of(config, engine), 35)
        left = iter([30.0, 30.0, 0.0])
        monkeypatch.setattr(steering, "left_s", lambda: next(left, 30.0))
        engine.start()
        daemon = Steering(config, engine)
        with pytest.raises(ControlError, match="some of it was decided, say it again for the rest"):
            daemon.command(CommandName.DISCARD, mapping=None, server=None, path=None)
        assert engine.ask(lambda _at: len(undecided(engine.mirrors["gallery"]))) == 15
        said = daemon.command(CommandName.DISCARD, mapping=None, server=None, path=None)
        assert said.startswith("gallery: 35 deletes discarded"), "of both"


def test_who_asks_after_a_command_hears_of_what_it_did(config: Config, monkeypatch: pytest.MonkeyPatch):
    # Too long for the engine to show by itself what is new.
    monkeypatch.setattr("ftpsyncd.engine.board.STATUS_EVERY_S", 60.0)
    with engine_of(config) as engine:
        mirror_of(config, engine)
        engine.start()
        daemon = Steering(config, engine)

        def state_after(name: CommandName) -> MappingState:
            daemon.command(name, mapping=None, server=None, path=None)
            [shown] = daemon.status().mappings
            return shown.state

        assert state_after(CommandName.PAUSE) is MappingState.PAUSED
        assert state_after(CommandName.RESUME) is not MappingState.PAUSED
        assert state_after(CommandName.PAUSE) is MappingState.PAUSED


@pytest.mark.parametrize(
    ("name", "compared"), [(None, "everything"), ("", "everything"), ("day 1", "day 1"), ("gone/a.jpg", "gone/a.jpg")]
)
def test_a_rescan_says_what_is_compared(config: Config, name: str | None, compared: str):
    with Ledger(config.state_dir / "ledger.db") as ledger:
        engine = Engine(ledger, lambda _event: None)
        spec = config.mappings["gallery"]
        mapping = ledger.mappings.number("gallery", "there")
        mirror = Mirror(
            spec, Without(), mapping, ledger, Queue(1), Folder(spec), lambda _event: None, today=lambda: "today"
        )
        engine.mirrors["gallery"] = mirror
        engine.start()
        path = None if name is None else str(spec.local / name)
        said = Steering(config, engine).command(CommandName.RESCAN, mapping=None, server=None, path=path)
        engine.stop()
        assert said == f"gallery: comparing {compared} again"
        work = mirror.dirty.take(time.monotonic())
        assert work is not None
        assert (work.directory, work.deep) == (name or "", True)


@pytest.mark.parametrize(
    "tell",
    [
        lambda daemon: daemon.repair("gallery", ["a.jpg"], []),
        lambda daemon: daemon.command(CommandName.PAUSE, mapping="gallery", server=None, path=None),
    ],
    ids=["repair", "pause"],
)
def test_a_mapping_that_a_reload_has_just_removed_is_one_that_there_is_not(
    config: Config, tell: Callable[[Steering], str]
):
    with engine_of(config) as engine:
        mirror_of(config, engine)
        engine.start()
        engine.ask(lambda _at: engine.remove("gallery"))
        with pytest.raises(UnknownNameError, match="There is no mapping gallery"):
            tell(Steering(config, engine))


@pytest.mark.parametrize("name", [CommandName.RETRY, CommandName.RESCAN])
def test_a_path_and_another_mapping_are_refused(config: Config, name: CommandName):
    shop = MappingSpec("shop", config.state_dir / "shop", "web", "/shop")
    config = config._replace(mappings={**config.mappings, "shop": shop})
    with engine_of(config) as engine:
        mirror_of(config, engine)
        engine.start()
        daemon, path = Steering(config, engine), str(config.mappings["gallery"].local / "a.jpg")
        with pytest.raises(UsageError, match="is in the mapping gallery"):
            daemon.command(name, mapping="shop", server=None, path=path)
        assert daemon.command(name, mapping="gallery", server=None, path=path).startswith("gallery: ")


def test_what_is_asked_of_the_history_is_checked(config: Config):
    with Ledger(config.state_dir / "ledger.db") as ledger:
        ledger.mappings.number("old", "there")
        daemon = Steering(config, Engine(ledger, lambda _event: None))
        assert daemon.history(HistoryQuery("gallery"), None) == HistoryPage(())
        assert daemon.history(HistoryQuery("old"), None) == HistoryPage(())
        with pytest.raises(UnknownNameError, match="There is no mapping galery") as caught:
            daemon.history(HistoryQuery("galery"), None)
        assert caught.value.remedy == "Did you mean gallery?"
        with pytest.raises(UsageError, match=r'"/else where" is in no mapping'):
            daemon.history(HistoryQuery(), "/else where")
        with pytest.raises(UsageError, match="is in the mapping gallery"):
            daemon.history(HistoryQuery("old"), str(config.mappings["gallery"].local / "x"))


def test_a_path_that_is_in_no_mapping_is_refused_with_the_folders_that_there_are(config: Config):
    with Ledger(config.state_dir / "ledger.db") as ledger:
        daemon = Steering(config, Engine(ledger, lambda _event: None))
        with pytest.raises(UsageError, match=r"^/elsewhere/a is in no mapping\.$") as caught:
            daemon.command(CommandName.RETRY, mapping=None, server=None, path="/elsewhere/a")
        assert caught.value.remedy == f"The folders are: {config.mappings['gallery'].local}."


class Hung:
    """A disk on which one call does not return until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, call: str) -> None:
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.calls = 0
        real = getattr(owner, call)

        def hang(*given: object) -> object:
            self.calls += 1
            self.entered.set()
            assert self.let_go.wait(60)
            return real(*given)

        monkeypatch.setattr(owner, call, hang)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("owner", "call"), [(Scanner, "probe"), (os.path, "lexists")])
def test_why_a_path_is_where_the_disk_does_not_answer_does_not_keep_the_engine_waiting(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    call: str,
    known: bool,  # noqa: FBT001 - whether the engine has that mapping yet
) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 1.0)
    folder = config.mappings["gallery"].local
    folder.mkdir()
    # Behind a link, of which the scanner does not tell whether there is something.
    (folder / "link").symlink_to("elsewhere")
    with engine_of(config) as engine:
        if known:
            mirror_of(config, engine)
        engine.start()
        hung = Hung(monkeypatch, owner, call)
        daemon = Steering(config, engine)
        answers: list[Why] = []
        asking = threading.Thread(target=lambda: answers.append(daemon.why(str(folder / "link" / "a.jpg"))))
        asking.start()
        assert hung.entered.wait(30)
        try:
            assert engine.ask(lambda _at: "it turns", 10) == "it turns"
            asking.join(10)
            # Who asks again has nothing to wait for, and no second look hangs.
            answers += [daemon.why(str(folder / name)) for name in ("a.jpg", "b.jpg")]
        finally:
            hung.let_go.set()
            asking.join(30)
        said = "the disk of the mapping gallery does not answer; nothing changes at the server until it does"
        assert [(why.mapping, why.state, why.sentence) for why in answers] == [("gallery", "unreadable", said)] * 3
        assert hung.calls == 1
        until(lambda: daemon.why(str(folder / "a.jpg")).state == "absent", "the disk answers again")


def test_what_the_daemon_knows_of_a_path_is_told_without_its_disk(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Scanner, "probe", lambda *_: pytest.fail("looked at"))
    with engine_of(config) as engine:
        mirror_of(config, engine).removals.source.missing = "the folder is not there"
        engine.start()
        said = Steering(config, engine).why(str(config.mappings["gallery"].local / "a.jpg"))
        assert said.state == "source_missing"


def test_of_what_the_daemon_is_about_to_come_to_nobody_is_told_to_have_it_looked_for(config: Config):
    """Of most of ten thousand files that were dropped at once, `rescan` was said to help."""
    spec = config.mappings["gallery"]._replace(settle_s=0.0)
    config = config._replace(mappings={"gallery": spec})
    spec.local.mkdir()
    (spec.local / "a.jpg").touch()
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        mirror.dirty.clear()
        engine.start()
        daemon = Steering(config, engine)
        said = daemon.why(str(spec.local / "a.jpg")).sentence
        assert said.endswith("the daemon publishes it when it looks at it: `ftpsyncd rescan gallery` has it do so")
        engine.ask(lambda at: mirror.dirty.mark_deep("", at.now))
        said = daemon.why(str(spec.local / "a.jpg")).sentence
        assert said == "not published yet; the daemon is looking through the folder, and comes to it"


def test_what_went_with_its_directory_is_told_to_be_held_or_deleted_as_that_is(config: Config):
    folder = config.mappings["gallery"].local
    folder.mkdir()
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        mirror.ledger.put(mirror.id, "d/e/a.jpg", Row(Kind.FILE, Fingerprint(1, 1, 1), b"", 1))
        mirror.removals.absent.note_directory("d", 1, time.monotonic())
        engine.start()
        daemon = Steering(config, engine)
        assert "it is gone here; deleted at the server in" in daemon.why(str(folder / "d/e/a.jpg")).sentence
        assert daemon.why(str(folder / "d/e/never.jpg")).state == "absent"
        mirror.removals.holding.put(HoldKind.MASS_DELETE, "1 file was deleted", Moment(0.0, 1))
        assert daemon.why(str(folder / "d/e/a.jpg")).state == "held"


@pytest.mark.parametrize("name", [CommandName.RETRY, CommandName.RESCAN])
def test_what_a_person_wants_tried_in_a_mapping_that_is_paused_is_not_said_to_be(config: Config, name: CommandName):
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        engine.start()
        daemon = Steering(config, engine)
        assert "paused" not in daemon.command(name, mapping=None, server=None, path=None)
        engine.ask(lambda _at: mirror.pause(1))
        said = daemon.command(name, mapping=None, server=None, path=None)
        assert said.endswith("; it is paused, `ftpsyncd resume gallery` goes on")


@pytest.mark.parametrize("name", [CommandName.APPROVE, CommandName.DISCARD])
def test_a_decision_about_a_folder_that_is_missing_is_refused(config: Config, name: CommandName) -> None:
    """And not answered like one that was taken: a script would go on."""
    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        mirror.removals.source.missing = "the folder is not there"
        engine.start()
        daemon = Steering(config, engine)
        with pytest.raises(CommandRefusedError, match=r"^gallery: nothing was decided: the folder is not there$"):
            daemon.command(name, mapping="gallery", server=None, path=None)
        for other in (CommandName.RETRY, CommandName.RESCAN, CommandName.PAUSE):
            assert daemon.command(other, mapping="gallery", server=None, path=None).startswith("gallery: ")
        mirror.removals.source.missing = ""
        assert daemon.command(name, mapping="gallery", server=None, path=None) == "gallery: nothing is held"


def test_a_command_whose_asker_has_left_is_not_carried_out(config: Config) -> None:
    """Ctrl-C, or a time-out of his own: nobody hears what was done."""
    socket, let_go, entered = config.state_dir / "s", threading.Event(), threading.Event()

    def hang(_at: object) -> None:
        entered.set()
        assert let_go.wait(60)

    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        engine.start()
        asking = threading.Thread(target=lambda: engine.ask(hang))
        asking.start()
        assert entered.wait(30)
        with ControlServer(Steering(config, engine), socket):
            with pytest.raises(ControlError, match=r"did not answer within 0\.5 s"):
                ControlClient(socket, timeout_s=0.5).command("pause")
            let_go.set()
            asking.join(30)
            assert not engine.ask(lambda _at: mirror.paused)


def test_what_was_asked_too_long_ago_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped meanwhile: the engine goes on before whoever waits learns that his time is over."""
    box, done, outcome = mailbox.Mailbox(), list[Moment](), Future[None]()

    def ask() -> None:
        try:
            outcome.set_result(box.ask(done.append, 30.0))
        except TimeoutError as error:
            outcome.set_exception(error)

    threading.Thread(target=ask).start()
    [message] = box.wait(30.0, gather=lambda: False)
    later = time.monotonic() + 31.0
    monkeypatch.setattr(mailbox, "time", SimpleNamespace(monotonic=lambda: later))
    message(Moment(later, 0))
    with pytest.raises(TimeoutError):
        outcome.result(10.0)
    assert done == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_command_that_failed_is_carried_out_later_only_if_it_says_so(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    begun: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setattr(sharing, "ANSWER_S", 1.5)
    socket = config.state_dir / "s"
    let_go, entered = threading.Event(), threading.Event()

    def hang(_at: object) -> None:
        entered.set()
        assert let_go.wait(60)

    with engine_of(config) as engine:
        mirror = mirror_of(config, engine)
        engine.start()
        asking = threading.Thread(target=lambda: engine.ask(hang))
        if begun:
            pause = mirror.pause

            def pause_late(at_ns: int) -> None:
                hang(None)
                pause(at_ns)

            monkeypatch.setattr(mirror, "pause", pause_late)
        else:
            asking.start()
            assert entered.wait(30)
        with ControlServer(Steering(config, engine), socket):
            try:
                with pytest.raises(ControlError) as caught:
                    ControlClient(socket).command("pause")
            finally:
                let_go.set()
            assert engine.ask(lambda _at: mirror.paused) is begun
        later = "what it was told has begun, and is done when it answers again"
        done = later if begun else "nothing was done, and nothing will be"
        assert caught.value.message == f"The daemon's engine did not answer within 19 s; {done}."
        if not begun:
            asking.join(30)
