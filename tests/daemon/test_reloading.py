"""What a reload finds to do, and how it has parts of that done by the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsyncd.daemon import reloading
from ftpsyncd.daemon.difference import Difference, difference
from ftpsyncd.daemon.reloading import Reload
from ftpsyncd.daemon.roster import Roster
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import BegunError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.specs import MappingSpec, ServerSpec

WEB = ServerSpec("web", "ftp.example.com", "u")
A = MappingSpec("a", Path("/a"), "web", "/a")


def compared(old: list[MappingSpec], new: list[MappingSpec], web: ServerSpec = WEB) -> Difference:
    def by_name(specs: list[MappingSpec]) -> dict[str, MappingSpec]:
        return {spec.name: spec for spec in specs}

    servers = {"other": WEB._replace(name="other", host="ftp.example.org"), "same": WEB._replace(name="same")}
    return difference(by_name(old), by_name(new), {"web": WEB} | servers, {"web": web} | servers)


def changed(**changes: object) -> MappingSpec:
    values = {"name": "a", "local": Path("/a"), "server": "web", "remote": "/a", **changes}
    return MappingSpec(**values)  # type: ignore[arg-type]


def test_nothing_is_nothing():
    assert compared([A], [A]) == Difference()
    assert compared([A], [A]).sentence == "nothing changed"


def test_what_concerns_no_mapping_is_told_too():
    assert Difference(added=["b"], other=["log", "alerts"]).sentence == "added b; took over the new `log`, `alerts`"


def test_mappings_come_and_go():
    b = MappingSpec("b", Path("/b"), "web", "/b")
    assert compared([A], [A, b]).added == ["b"]
    assert compared([A, b], [b]).removed == ["a"]
    assert compared([A], [b]).sentence == "added b; removed a"


@pytest.mark.parametrize("change", [{"local": Path("/c")}, {"remote": "/c"}, {"server": "other"}])
def test_another_place_is_a_move(change: dict[str, object]):
    found = compared([A], [changed(**change)])
    assert (found.moved, found.adjusted) == (["a"], [])


@pytest.mark.parametrize("change", [{"settle_s": 9.0}, {"include": ("*",)}, {"rescan_s": 1.0}])
def test_another_setting_is_an_adjustment(change: dict[str, object]):
    found = compared([A], [changed(**change)])
    assert (found.moved, found.adjusted) == ([], ["a"])


def test_what_is_changed_is_told_by_name_whatever_the_order_of_the_file():
    names = list("hbgadfce")
    old = [changed(name=name) for name in names]
    assert compared(old, [changed(name=name, settle_s=9.0) for name in names]).adjusted == sorted(names)
    assert compared(old, [changed(name=name, remote=f"/{name}") for name in names]).moved == sorted({*names} - {"a"})


def test_what_a_reload_that_failed_has_left_without_a_server_is_moved():
    found = difference({"a": A}, {"a": A}, {}, {"web": WEB})
    assert (found.moved, found.adjusted) == (["a"], [])


def test_another_bandwidth_needs_no_other_connection():
    found = compared([A], [A], WEB._replace(bandwidth_bytes_s=1000))
    assert (found.servers, found.paced, found.sentence) == ([], ["web"], "sends at another rate to web")
    found = compared([A], [A], WEB._replace(bandwidth_bytes_s=1000, connections=2))
    assert (found.servers, found.paced) == (["web"], [])


@pytest.mark.parametrize("change", [{"host": "ftp2.example.com"}, {"port": 2121}, {"user": "somebody else"}])
def test_another_account_is_connected_to_anew_and_a_move(change: dict[str, object]):
    """What is published is another ledger's, as if the directory were another one: all is published there anew."""
    found = compared([A], [A, changed(name="b", server="other")], WEB._replace(**change))  # type: ignore[arg-type]
    assert (found.servers, found.moved) == (["web"], ["a"])
    assert found.sentence == "added b; moved a; connects anew to web"


def test_the_same_account_under_another_name_is_no_move():
    """It was told as one, as if everything were published anew."""
    assert compared([A], [changed(server="same")]).sentence == "changed a"


@pytest.mark.parametrize("host", ["FTP.Example.com", "ftp.example.com."])
def test_the_same_host_written_in_another_way_is_no_move(host: str):
    assert compared([A], [A], WEB._replace(host=host)).sentence == "connects anew to web"


def test_another_limit_of_the_server_is_no_move():
    assert compared([A], [A], WEB._replace(connections=2)).sentence == "connects anew to web"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """It turns."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        engine = Engine(ledger, lambda _event: None)
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()


def reload(engine: Engine) -> Reload:
    return Reload(engine, Roster(engine, lambda _event: None), lambda: False)


@pytest.fixture
def carry_out(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], str]], str]:
    """Do a part of a reload on the engine's thread, and have little patience with it."""
    monkeypatch.setattr(reloading, "TURN_S", 0.5)
    return reload(engine)._on_engine


def test_others_have_their_turns_between_the_parts_of_what_takes_long(engine: Engine):
    said: list[str] = []

    def work() -> Iterator[None]:
        for part in ("first", "second", "third"):
            # From now on it waits for its turn.
            engine.mailbox.put(lambda _at: said.append("another"))
            said.append(part)
            yield

    reload(engine)._in_turns(work())
    assert said == ["first", "another", "second", "another", "third", "another"]


def test_a_part_of_a_reload_that_takes_long_is_awaited(carry_out: Callable[[Callable[[], str]], str]):
    """The daemon ended, with half of the reload in force, where the names of 500,000 files got another encoding."""

    def takes_long() -> str:
        until = time.monotonic() + 2 * reloading.TURN_S
        while (left_s := until - time.monotonic()) > 0:
            threading.Event().wait(left_s)
        return "done"

    assert carry_out(takes_long) == "done"


def test_an_engine_that_does_not_turn_for_a_while_is_awaited(
    engine: Engine, carry_out: Callable[[Callable[[], str]], str]
):
    """The daemon ended, with half of the reload in force, and called it a mistake of its own."""
    begun, goes_on = threading.Event(), threading.Event()

    def hang(_at: Moment) -> None:
        begun.set()
        goes_on.wait(60)

    engine.mailbox.put(hang)
    assert begun.wait(20)
    later = threading.Timer(3 * reloading.TURN_S, goes_on.set)
    later.start()
    assert carry_out(lambda: "done") == "done"
    later.join()


def test_the_end_waits_for_no_engine_that_does_not_turn(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reloading, "TURN_S", 0.1)
    begun, goes_on = threading.Event(), threading.Event()

    def hang(_at: Moment) -> None:
        begun.set()
        goes_on.wait(60)

    engine.mailbox.put(hang)
    assert begun.wait(20)
    ending = Reload(engine, Roster(engine, lambda _event: None), lambda: True)
    with pytest.raises(TimeoutError):
        ending._on_engine(lambda: "done")
    goes_on.set()


def test_what_an_engine_had_begun_when_it_ended_is_not_awaited(carry_out: Callable[[Callable[[], str]], str]):
    def ends() -> str:
        raise SystemExit

    with pytest.raises(BegunError):
        carry_out(ends)
