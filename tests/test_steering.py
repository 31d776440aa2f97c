"""What watches over the engine: a loop that does not turn is seen, whatever the process does."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ftpsyncd import steering
from ftpsyncd.config import Config, ControlSpec
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine import Engine
from ftpsyncd.errors import UnknownNameError, UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.lastlook import Folder
from ftpsyncd.ledger import Ledger
from ftpsyncd.mirror import Mirror
from ftpsyncd.model import HoldKind
from ftpsyncd.questions import CommandName
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.removals import Moment
from ftpsyncd.report import iso
from ftpsyncd.specs import MappingSpec
from ftpsyncd.steering import Steering
from tests.core.vocabulary import Without
from tests.waiting import until


@pytest.fixture
def config(tmp_path: Path) -> Config:
    spec = MappingSpec("gallery", tmp_path / "drop", "web", "/htdocs")
    return Config(tmp_path / "config.yaml", {}, {"gallery": spec}, tmp_path, ControlSpec(None))


def test_an_engine_that_hangs_is_not_healthy_and_one_that_goes_on_is(config: Config, monkeypatch):
    monkeypatch.setattr(steering, "ENGINE_STUCK_S", 0.5)
    monkeypatch.setattr("ftpsyncd.engine.CHECK_EVERY_S", 0.05)
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


def test_history_is_read_beside_an_engine_that_hangs(config: Config):
    let_go, entered = threading.Event(), threading.Event()
    with Ledger(config.state_dir / "ledger.db") as ledger:
        mapping = ledger.mapping("gallery", "there")
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
        spec = config.mappings["gallery"]
        folder, queue = Folder(spec), Queue(1)
        mapping = ledger.mapping("gallery", "there")
        mirror = Mirror(spec, Without(), mapping, ledger, queue, folder, lambda _event: None, today=lambda: "today")
        engine.mirrors["gallery"] = mirror
        mirror.removals._put_on_hold(HoldKind.MASS_DELETE, "60 files were deleted at once", Moment(0.0, 1))
        ledger.commit()
        let_go = threading.Event()
        # The rest of that turn, with its own commit.
        monkeypatch.setattr(engine, "_look", lambda _at: mirror.removals.hold is None and let_go.wait(30))
        engine.start()
        daemon = Steering(config, engine)
        said = daemon.command(CommandName.DISCARD, mapping=None, server=None, path=None)
        assert said.startswith("gallery: ")
        with Ledger(config.state_dir / "ledger.db", read_only=True) as recorded:
            assert recorded.hold(mapping) is None
            assert recorded.discarding(mapping)
        let_go.set()
        monkeypatch.setattr(Ledger, "trouble", "its disk is full")
        said = daemon.command(CommandName.PAUSE, mapping=None, server=None, path=None)
        assert said == "gallery: paused; not recorded yet, because its disk is full"
        monkeypatch.undo()
        engine.stop()


def test_what_is_asked_of_the_history_is_checked(config: Config):
    with Ledger(config.state_dir / "ledger.db") as ledger:
        ledger.mapping("old", "there")
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
