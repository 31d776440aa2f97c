"""One pass in this process: it ends when there is nothing left to do, not when somebody happens to look."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from loguru import logger

from ftpsyncd import journal, patience
from ftpsyncd.actions import Sweep, Upload
from ftpsyncd.claim import Claim
from ftpsyncd.config import Config, load, password, reading
from ftpsyncd.core import schedule
from ftpsyncd.daemon import process as daemon
from ftpsyncd.daemon import reloading, roster, service
from ftpsyncd.daemon.service import Service
from ftpsyncd.engine import board, rounds
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import Message
from ftpsyncd.errors import CommandRefusedError, ControlSocketError, LedgerError, LedgerLostError, ThreadLimitError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.local import disk, tree
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.unwatched import Unwatched
from ftpsyncd.mapping import looks
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import RootIdentity
from ftpsyncd.publishing import crew, lastlook, planned
from ftpsyncd.publishing.crew import Crew
from ftpsyncd.specs import MappingSpec
from ftpsyncd.status import MappingState
from tests.remote.scripted import Connection, Scripted
from tests.servers import PASSWORD, USER, running
from tests.waiting import until


def written(path: Path, port: int, mapping: str = "") -> Path:
    """A configuration with one mapping, `m`."""
    path.write_text(
        f"servers: {{web: {{host: 127.0.0.1, port: {port}, user: {USER}, tls: 'off',"
        " password: {env: FTP_PASSWORD}}}\n"
        f"mappings: {{m: {{local: {path.parent}/in, remote: 'web:/m', settle: 0s{mapping}}}}}\n"
        f"state_dir: {path.parent}/state\ncontrol: {{socket: {path.parent}/s}}\n"
    )
    return path


@pytest.mark.parametrize("files", [0, 3])
def test_the_end_of_a_pass_is_told(files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "STATUS_EVERY_S", 120.0)
    monkeypatch.setattr(service, "LOOK_AGAIN_S", 120.0)
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    for i in range(files):
        (tmp_path / f"in/{i}.jpg").write_bytes(b"picture")
    with running("pyftpdlib") as server:
        one = Service(load(written(tmp_path / "config.yaml", server.port)), one_pass=True)
        one.start()
        try:
            began = time.monotonic()
            assert one.await_end(120).finished
            assert time.monotonic() - began < 60
            assert one.progress().files_done == files
        finally:
            one.stop()


@pytest.mark.parametrize("begun", range(6))
def test_a_start_that_is_allowed_too_few_threads_says_so(
    begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    start, left = threading.Thread.start, iter(range(begun))

    def start_so_many(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    one = Service(load(written(tmp_path / "config.yaml", 1)))
    monkeypatch.setattr(threading.Thread, "start", start_so_many)
    with pytest.raises(ThreadLimitError, match="allows this process no more than the"):
        one.start()


@pytest.mark.parametrize("one_pass", [False, True], ids=["by a daemon", "by a pass"])
def test_what_was_only_counted_is_told(*, one_pass: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    # Whatever a test before this one has set.
    monkeypatch.setattr(journal, "wanted", lambda _level: True)
    if not one_pass:
        monkeypatch.setattr(journal, "REPEAT_WINDOW_S", 2.0)
    lines: list[str] = []
    with running("pyftpdlib") as server:
        for number in range(30):
            for made in (tmp_path / "in", server.home / f"m/{number}.jpg"):
                made.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"in/{number}.jpg").write_bytes(b"picture")
        one = Service(load(written(tmp_path / "config.yaml", server.port)), one_pass=one_pass)
        sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="ERROR")
        try:
            one.start()
            try:
                if one_pass:
                    assert one.await_end(120).failed == 30
                else:
                    until(lambda: any(" more parked in the last " in line for line in lines), "the count is told", 60)
            finally:
                one.stop()
        finally:
            logger.remove(sink)
    in_full = [line for line in lines if ".jpg" in line]
    counted = [int(line.split()[1]) for line in lines if " more parked in the last " in line]
    assert len(in_full) + sum(counted) == 30


def test_what_waits_for_a_connection_when_the_settings_change_is_planned_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"picture")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config, port = tmp_path / "config.yaml", silent.getsockname()[1]
        service = Service(load(written(config, port)))
        service.start()
        try:
            queue = service.engine.servers["web"].queue
            until(lambda: queue.in_flight, "the file waits for the greeting", 20)
            service.change(load(written(config, port, ", exclude: ['a.jpg']")))
            begun = service.engine.ask(
                lambda _at: [queue.at_work("m", path) for path in queue.under_way.own_paths("m")]
            )
            # Whether anything of it came to the server is asked about by now, at the latest in a moment.
            assert [action for action in begun if not isinstance(action, Sweep)] == []
        finally:
            silent.close()
            service.stop()


def test_a_reload_does_not_wait_for_what_only_waits_for_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"picture")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = written(tmp_path / "config.yaml", silent.getsockname()[1])
        service = Service(load(config))
        service.start()
        try:
            until(lambda: service.engine.servers["web"].queue.in_flight, "the file waits for the greeting", 20)
            began = time.monotonic()
            config.write_text(config.read_text().replace("'web:/m'", "'web:/n'"))
            assert service.change(load(config)) == "moved m"
            assert time.monotonic() - began < 0.5 * reloading.RETIRE_S
        finally:
            silent.close()
            service.stop()


def test_after_a_reload_what_there_was_no_space_for_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person is at work, who may have made room."""
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = load(written(tmp_path / "config.yaml", silent.getsockname()[1]))
        one = Service(config)
        one.start()
        try:
            space = one.engine.servers["web"].queue.space
            one.engine.ask(lambda at: [space.refused("m", name, "552 No.", at.now) for name in ("a.jpg", "b.jpg")])
            assert space.lack("m", "c.jpg") is not None
            one.change(config)
            assert space.lack("m", "c.jpg") is None
        finally:
            silent.close()
            one.stop()


@pytest.mark.parametrize("waits_for", ["a transfer", "a disk"])
def test_a_reload_that_is_under_way_waits_for_nothing_when_the_end_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits_for: str
) -> None:
    """What it may wait for, one after the other, is longer than systemd waits for the end."""
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    monkeypatch.setattr(reloading, "RETIRE_S", 60.0)
    monkeypatch.setattr(roster, "STOP_WAIT_S", 60.0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"picture")
    ends, answers, changed = threading.Event(), threading.Event(), list[str]()

    async def never_ends(connection: Connection, _path: str) -> None:
        await connection.receive()
        await connection.silence()

    with Scripted(STOR=never_ends) as server:
        config = written(tmp_path / "config.yaml", server.port)
        one = Service(load(config), ending=ends.is_set)
        one.start()
        try:
            until(lambda: any(said.startswith("STOR") for said in server.log), "the file is on its way", 20)
            assert one._roster is not None
            disks = one._roster._disks
            if waits_for == "a disk":
                monkeypatch.setattr(disks["m"], "_list", lambda *_asked: answers.wait(60))
                disks["m"].list_dir("")
                until(lambda: not disks["m"]._listings, "it is looked at")
            config.write_text(config.read_text().replace("'web:/m'", "'web:/n'"))
            wanted = load(config)
            reload = threading.Thread(target=lambda: changed.append(one.change(wanted)))
            reload.start()
            if waits_for == "a disk":
                until(lambda: not disks, "its disk is awaited")
            else:
                until(lambda: one.engine.mirrors["m"].suspended, "its transfer is awaited")
            ends.set()
            reload.join(10)
            assert changed == ["moved m"]
        finally:
            ends.set()
            answers.set()
            one.stop(time.monotonic() - service.STOP_S)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing changed"),
        ("log: {level: debug}", "took over the new `log`"),
        ("history: 0s\nalerts: {command: [cat]}", "took over the new `history`, `alerts`"),
        ("log: {format: text}\ncontrol: {socket: other}", "nothing changed; `control.socket` from the next start on"),
    ],
)
def test_a_reload_says_what_else_it_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    config = tmp_path / "config.yaml"
    config.write_text(
        "servers: {web: {host: 127.0.0.1, port: 1, user: u, tls: 'off', password: {env: FTP_PASSWORD}}}\n"
        f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m'}}}}\nstate_dir: {tmp_path}/state\n"
    )
    running_one = Service(load(config), one_pass=True)
    running_one.start()
    try:
        config.write_text(f"{config.read_text()}{text}\n")
        assert running_one.change(load(config)) == said
    finally:
        running_one.stop()


def test_the_engine_rests_when_a_mapping_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    monkeypatch.setattr(rounds, "CHECK_EVERY_S", 0.05)
    (tmp_path / "in").mkdir()
    config = written(tmp_path / "config.yaml", 1)
    one = config.read_text()
    config.write_text(one.replace("{m: {", f"{{other: {{local: {tmp_path}/other, remote: 'web:/other'}}, m: {{"))
    service = Service(load(config))
    service.start()
    try:
        config.write_text(one)
        assert service.change(load(config)) == "removed other"
        turns = itertools.count()
        turn = service.engine.turn
        monkeypatch.setattr(service.engine, "turn", lambda messages: (next(turns), turn(messages)))
        # As long as the check of the other one takes to come, and much longer.
        time.sleep(1.0)
        assert next(turns) < 200
    finally:
        service.stop()


@pytest.mark.parametrize("other", ["removed", "adjusted"])
def test_a_reload_takes_back_what_waits_of_a_mapping_some_at_a_time(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of some hundred thousand new files at a server that is down; other mappings have their turns."""
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    monkeypatch.setattr(schedule, "WITHDRAWN_AT_ONCE", 20)
    (tmp_path / "in").mkdir()
    for number in range(200):
        (tmp_path / f"in/{number}.jpg").write_bytes(b"picture")
    config = written(tmp_path / "config.yaml", 1)
    one = config.read_text().replace("mappings: {", f"mappings: {{b: {{local: {tmp_path}/b, remote: 'web:/b'}}, ")
    config.write_text(one)
    service = Service(load(config))
    service.start()
    try:
        queue = service.engine.servers["web"].queue
        until(lambda: sum(queue.load("m")) >= 200, "all of it waits", 20)
        withdrawn, turn, withdraw = [0], service.engine.turn, queue.withdraw

        def turned(messages: list[Message]) -> None:
            withdrawn.append(0)
            turn(messages)

        def counted(mapping: str, path: str) -> None:
            withdrawn[-1] += 1
            withdraw(mapping, path)

        monkeypatch.setattr(service.engine, "turn", turned)
        monkeypatch.setattr(queue, "withdraw", counted)
        if other == "removed":
            config.write_text(one.replace(f"m: {{local: {tmp_path}/in", f"c: {{local: {tmp_path}/c"))
            assert service.change(load(config)) == "added c; removed m"
        else:
            config.write_text(one.replace("remote: 'web:/m'", "remote: 'web:/m', exclude: ['*.jpg']"))
            assert service.change(load(config)) == "changed m"
        assert queue.load("m").waiting == 0
        assert sum(withdrawn) >= 190
        assert max(withdrawn) <= 25
    finally:
        service.stop()


def test_disks_that_do_not_answer_are_awaited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(Unwatched, "check", lambda _self: answers.wait())
    monkeypatch.setattr(service, "STOP_WAIT_S", 2.0, raising=False)
    names = "abcd"
    for name in names:
        (tmp_path / name).mkdir()
    mappings = ", ".join(f"{name}: {{local: {tmp_path}/{name}, remote: 'web:/{name}'}}" for name in names)
    config = tmp_path / "config.yaml"
    config.write_text(
        "servers: {web: {host: 127.0.0.1, port: 1, user: u}}\n"
        f"mappings: {{{mappings}}}\nstate_dir: {tmp_path}/state\n"
    )
    one = Service(load(config), one_pass=True)
    one.start()
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 7, "one after the other: 8"
    answers.set()


def several(base: Path, keys: str = "") -> Path:
    """A configuration with four mappings."""
    for name in "abcd":
        (base / name).mkdir(exist_ok=True)
    mappings = ", ".join(f"{name}: {{local: {base}/{name}, remote: 'web:/{name}'{keys}}}" for name in "abcd")
    config = base / "config.yaml"
    config.write_text(
        f"servers: {{web: {{host: 127.0.0.1, port: 1, user: u}}}}\nmappings: {{{mappings}}}\nstate_dir: {base}/state\n"
    )
    return config


def test_a_reload_awaits_disks_that_do_not_answer_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(Unwatched, "check", lambda _self: answers.wait())
    monkeypatch.setattr(roster, "STOP_WAIT_S", 2.0, raising=False)
    monkeypatch.setattr(service, "STOP_WAIT_S", 0.1)
    one = Service(load(several(tmp_path)), one_pass=True)
    one.start()
    try:
        began = time.monotonic()
        assert one.change(load(several(tmp_path, ", settle: 7s"))) == "changed a, b, c, d"
        assert time.monotonic() - began < 7, "one after the other: 8"
    finally:
        one.stop()
        answers.set()


def test_a_reload_awaits_servers_that_do_not_answer_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many of them it took so long that systemd took the daemon for a dead one."""
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    monkeypatch.setattr(reloading, "RETIRE_S", 0.1)
    names, config = "abcdefghij", tmp_path / "config.yaml"
    with ExitStack() as stack:
        ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in names]

        def with_keys(keys: str) -> Config:
            account = f"host: 127.0.0.1, user: u, tls: 'off', password: {{env: FTP_PASSWORD}}{keys}"
            servers = ", ".join(f"{n}: {{port: {port}, {account}}}" for n, port in zip(names, ports, strict=True))
            mappings = ", ".join(f"{n}: {{local: {tmp_path}/{n}, remote: '{n}:/'}}" for n in names)
            config.write_text(
                f"servers: {{{servers}}}\nmappings: {{{mappings}}}\ndefaults: {{settle: 0s}}\n"
                f"state_dir: {tmp_path}/state\n"
            )
            return load(config)

        for name in names:
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.jpg").write_bytes(b"picture")
        service = Service(with_keys(""))
        service.start()
        try:
            servers = service.engine.servers
            until(lambda: all(server.queue.in_flight for server in servers.values()), "all wait for the greeting", 20)
            began = time.monotonic()
            service.change(with_keys(", timeout: 7s"))
            assert time.monotonic() - began < 8, "one after the other: 10"
        finally:
            service.stop()


def test_the_end_does_not_wait_for_servers_that_let_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took all of its time for that, and called it transfers that were abandoned."""
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"picture")
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = Service(load(written(tmp_path / "config.yaml", silent.getsockname()[1])))
        one.start()
        try:
            until(lambda: one.engine.servers["web"].queue.in_flight, "the greeting is waited for", 20)
        finally:
            began = time.monotonic()
            one.stop()
            logger.remove(sink)
    assert time.monotonic() - began < 10
    assert not [line for line in lines if "abandoned" in line]


class Slow:
    """The crew of a server where something runs for ever."""

    name = "web"

    def interrupt(self) -> None:
        pass

    def stop(self, timeout_s: float, *, patient: bool) -> bool:
        assert not patient
        threading.Event().wait(timeout_s)
        return False


def test_many_servers_together_take_no_more_time_to_end_than_one(tmp_path: Path) -> None:
    one = Service(load(several(tmp_path)), one_pass=True)
    one.start()
    try:
        assert one._roster is not None
        crews = dict(one._roster._crews)
        one._roster._crews = {str(number): cast("Crew", Slow()) for number in range(50)}
        began = time.monotonic()
        one._roster.stop_crews(0.5)
        assert time.monotonic() - began < 15, "one after the other: 25"
        one._roster._crews = crews
    finally:
        one.stop()


def test_the_end_waits_for_no_settings_that_are_still_to_be_put_in_force(tmp_path: Path) -> None:
    """Those of some hundred mappings took longer than systemd waits for the end."""
    ending = threading.Event()
    one = Service(load(several(tmp_path)), one_pass=True, ending=ending.is_set)
    one.start()
    try:
        ending.set()
        said = one.change(load(several(tmp_path, ", settle: 7s")))
        assert said == "the rest is for the next start, since the end is wanted"
    finally:
        one.stop()


def test_a_reload_is_refused_while_the_engine_does_not_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk of the ledger stood still for a while, it ended the daemon instead."""
    monkeypatch.setattr(service, "TURN_WAIT_S", 0.2, raising=False)
    one, goes_on, adopted = Service(load(several(tmp_path)), one_pass=True), threading.Event(), list[Config]()
    one.start()

    def hang(_at: Moment) -> None:
        goes_on.wait(60)

    def reload() -> str:
        answer: Future[str] = Future()
        daemon._reload(one, lambda: load(several(tmp_path, ", settle: 7s")), adopted.append, [answer])
        return answer.result(0)

    try:
        one.engine.mailbox.put(hang)
        with pytest.raises(CommandRefusedError, match="does not answer"):
            reload()
        assert not adopted
        goes_on.set()
        until(lambda: one.engine.ask(lambda _at: True), "it turns again", 20)
        assert reload() == "reloaded: changed a, b, c, d"
        assert adopted
    finally:
        goes_on.set()
        one.stop()


def test_a_pass_whose_ledger_is_slow_is_no_mistake_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended as with a bug, after half a minute; and so it did where that was the end of the engine."""
    ask = Engine.ask

    def with_little_patience(
        asked: Engine, question: Callable[[Moment], object], timeout_s: float = 30.0, **more: bool
    ) -> object:
        return ask(asked, question, min(timeout_s, 0.2), **more)  # type: ignore[arg-type]

    one, begun, goes_on = Service(load(several(tmp_path)), one_pass=True), threading.Event(), threading.Event()

    def hang(_at: Moment) -> None:
        begun.set()
        goes_on.wait(60)

    one.start()
    try:
        one.await_end(20)
        monkeypatch.setattr(Engine, "ask", with_little_patience)
        monkeypatch.setattr(service, "TURN_S", 0.2, raising=False)
        for ends in (False, True):
            begun.clear()
            goes_on.clear()
            one.engine.mailbox.put(hang)
            if ends:
                one.engine.lost(LedgerLostError("the ledger is not at its place"))
            assert begun.wait(20)
            later = threading.Timer(0.6, goes_on.set)
            later.start()
            with pytest.raises(LedgerLostError) if ends else nullcontext():
                assert one.progress().failed == 0
            later.join()
    finally:
        goes_on.set()
        with suppress(LedgerLostError):
            one.stop()


def test_a_reload_during_which_the_engine_ends_tells_why_it_did(tmp_path: Path) -> None:
    """And at once: what still runs belongs to nobody."""
    one = Service(load(several(tmp_path)), one_pass=True)
    one.start()
    try:
        one.engine.lost(LedgerLostError("the ledger is not at its place"))
        until(lambda: not one.engine.alive, "the engine has ended", 20)
        began = time.monotonic()
        with pytest.raises(LedgerLostError):
            one.change(load(several(tmp_path, ", settle: 7s")))
        assert time.monotonic() - began < 10
    finally:
        one.stop()


def test_a_folder_for_which_no_thread_may_begin_is_no_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this machine that lacks something: the others go on, and so does it when there is a thread for it."""
    monkeypatch.setattr(rounds, "CHECK_EVERY_S", 0.05)
    start, allowed = threading.Thread.start, threading.Event()

    def begin(thread: threading.Thread) -> None:
        if thread.name == f"inotify {tmp_path}/b" and not allowed.is_set():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    one = Service(load(several(tmp_path)))
    one.start()
    try:

        def states() -> dict[str, MappingState]:
            return {mapping.name: mapping.state for mapping in one.status().mappings}

        until(lambda: one.status().daemon.shortage, "it is told", 20)
        until(lambda: all(states()[name] is MappingState.IN_SYNC for name in "acd"), "the others go on", 20)
        assert "allows this process no more than" in one.status().daemon.shortage
        assert states()["b"] is MappingState.SYNCING
        assert one.watching()
        allowed.set()
        until(lambda: states()["b"] is MappingState.IN_SYNC, "it goes on", 20)
    finally:
        one.stop()


def test_a_disk_that_stops_to_answer_is_shown_until_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the work, with all other disks at work."""
    answers, root_identity = threading.Event(), Scanner.root_identity
    answers.set()

    def look(scanner: Scanner) -> RootIdentity | None:
        if scanner.root.name == "b":
            answers.wait(60)
        return root_identity(scanner)

    monkeypatch.setattr(Scanner, "root_identity", look)
    # The other three are to have answered by then, however busy the machine is.
    monkeypatch.setattr(looks, "SILENT_S", 1.0)
    monkeypatch.setattr(disk, "ANSWER_S", 1.0)
    monkeypatch.setattr(rounds, "CHECK_EVERY_S", 0.05)
    told: list[Event] = []
    one = Service(load(several(tmp_path)), one_pass=True, observe=told.append)
    one.start()
    try:

        def states() -> set[tuple[str, MappingState]]:
            return {(mapping.name, mapping.state) for mapping in one.status().mappings}

        rest = {(name, MappingState.IN_SYNC) for name in "acd"}
        until(lambda: states() == rest | {("b", MappingState.IN_SYNC)}, "all is compared")
        answers.clear()
        until(lambda: states() == rest | {("b", MappingState.SOURCE_MISSING)}, "its silence is noticed")
        assert one.progress().source_missing
        answers.set()
        until(lambda: states() == rest | {("b", MappingState.IN_SYNC)}, "it is over")
        source = [
            (event.kind, event.mapping)
            for event in told
            if event.kind in {EventKind.SOURCE_MISSING, EventKind.SOURCE_BACK}
        ]
        assert source == [(EventKind.SOURCE_MISSING, "b"), (EventKind.SOURCE_BACK, "b")]
    finally:
        answers.set()
        one.stop()


def test_all_mappings_are_told_of_before_the_first_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks right after the start would hear that there is no mapping of that name."""
    turns, turn = threading.Event(), Engine.turn

    def later(one: Engine, messages: list[Callable[[Moment], None]]) -> None:
        turns.wait(60)
        turn(one, messages)

    monkeypatch.setattr(Engine, "turn", later)
    one = Service(load(several(tmp_path)), one_pass=True)
    one.start()
    try:
        status = one.status()
        assert [(mapping.name, mapping.state) for mapping in status.mappings] == [
            (name, MappingState.SYNCING) for name in "abcd"
        ]
        assert [server.name for server in status.servers] == ["web"]
    finally:
        turns.set()
        one.stop()


@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_a_disk_that_hangs_while_its_files_are_opened_keeps_no_other_mapping_waiting(
    tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are published to one server, over one connection."""
    answers, hanging = threading.Event(), threading.Event()
    root_identity, open_planned = tree.root_identity, lastlook.open_planned

    def look(root: Path) -> RootIdentity | None:
        if root.name == "slow" and hanging.is_set():
            answers.wait(60)
        return root_identity(root)

    def open_when_it_answers(spec: MappingSpec, upload: Upload) -> tuple[BinaryIO, int]:
        if spec.name == "slow":
            hanging.set()
            answers.wait(60)
        return open_planned(spec, upload)

    monkeypatch.setattr(tree, "root_identity", look)
    monkeypatch.setattr(planned, "open_planned", open_when_it_answers)
    monkeypatch.setattr(looks, "SILENT_S", 0.3)
    monkeypatch.setattr(disk, "ANSWER_S", 0.2)
    monkeypatch.setattr(crew, "HUNG_S", 0.3)
    monkeypatch.setattr(rounds, "CHECK_EVERY_S", 0.05)
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    for name in ("slow", "swift"):
        (tmp_path / name).mkdir()
    for i in range(20):
        (tmp_path / f"slow/{i}.jpg").write_bytes(b"picture")
    with running("pyftpdlib", tls=tls) as server:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: '{tls}', connections: 1,"
            " tls_verify: false, password: {env: FTP_PASSWORD}}}\n"
            f"defaults: {{settle: 0s}}\nmappings: {{slow: {{local: {tmp_path}/slow, remote: 'web:/slow'}},"
            f" swift: {{local: {tmp_path}/swift, remote: 'web:/swift'}}}}\n"
            f"state_dir: {tmp_path}/state\ncontrol: {{socket: {tmp_path}/s}}\n"
        )
        one = Service(load(config))
        one.start()
        try:
            until(hanging.is_set, "a file on the slow disk is being opened")
            (tmp_path / "swift/a.jpg").write_bytes(b"other picture")

            def states() -> dict[str, MappingState]:
                return {mapping.name: mapping.state for mapping in one.status().mappings}

            until((server.home / "swift/a.jpg").exists, "the other mapping is published")

            def waits() -> bool:
                # The status may still be the one from before the worker on that disk was given up.
                slow = one.status().mappings[0]
                assert slow.failed == slow.parked == 0
                return (slow.state, slow.pending, slow.in_flight) == (MappingState.SOURCE_MISSING, 20, 0)

            until(waits, "it is told why the rest is not, and all of that waits")
            assert not list((server.home / "slow").glob("*.jpg"))
            answers.set()
            until(lambda: set(states().values()) == {MappingState.IN_SYNC}, "all is published when it answers")
            assert sorted(path.name for path in (server.home / "slow").iterdir()) == sorted(
                f"{i}.jpg" for i in range(20)
            )
        finally:
            answers.set()
            one.stop()


@pytest.mark.parametrize("lost", [False, True])
def test_the_time_to_stop_counts_from_when_it_was_asked_for(tmp_path: Path, *, lost: bool) -> None:
    """Whoever has the ledger that is there now knows nothing of what still runs: then there is none."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/film.mov").write_bytes(os.urandom(5_000_000))
    with running("pyftpdlib") as server:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: 'off',"
            f" password: {PASSWORD}, bandwidth: 100 kB/s}}}}\n"
            f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s}}}}\nstate_dir: {tmp_path}/state\n"
        )
        one = Service(load(config), one_pass=True)
        one.start()
        until(lambda: one.status().transfers, "the transfer runs")
        if lost:
            one.engine.lost(LedgerLostError("the ledger is not at its place"))
            until(lambda: one.engine.failure is not None, "that has ended the engine", 20)
        began = time.monotonic()
        with suppress(LedgerLostError):
            one.stop(None if lost else began - service.STOP_S)
        assert time.monotonic() - began < 20


def test_a_start_without_its_port_does_nothing_at_a_server(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"picture")
    with running("pyftpdlib") as server, socket.create_server(("127.0.0.1", 0)) as other:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: 'off', password: {PASSWORD}}}}}\n"
            f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s}}}}\nstate_dir: {tmp_path}/state\n"
            f"control: {{socket: {tmp_path}/socket, http: '127.0.0.1:{other.getsockname()[1]}'}}\n"
        )
        one = Service(load(config))
        with pytest.raises(ControlSocketError, match="Address already in use"):
            one.start()
        assert not one.engine.alive
        assert one.engine.last_turn == one.engine.started
        assert not (tmp_path / "socket").exists()


def test_a_state_directory_of_somebody_else_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(LedgerError, match=r"cannot be used: Permission denied$") as caught:
        Claim(tmp_path)
    assert f"`chown -R ftpsyncd: {tmp_path}`" in caught.value.remedy


def test_a_state_directory_that_cannot_be_made_is_not_said_to_be_of_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(LedgerError, match=r"cannot be used: Permission denied$") as caught:
        Claim(tmp_path / "state")
    assert caught.value.remedy == "Let the user that runs ftpsyncd make it, or have `state_dir` name another one."


def test_a_file_in_the_place_of_the_state_directory_is_called_that(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.touch()
    with pytest.raises(LedgerError, match=r"state cannot be used: Not a directory$"):
        Claim(place)


@pytest.mark.parametrize("one_pass", [False, True])
def test_what_cannot_be_closed_to_others_is_said_once_and_keeps_nobody_from_publishing(
    *, one_pass: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger may be on a disk that keeps no rights. Who runs a pass every few minutes need not hear it each time."""
    (tmp_path / "in").mkdir()
    place = tmp_path / "state"
    place.mkdir()
    for name in ("lock", "ledger.db"):
        (place / name).touch()
        (place / name).chmod(0o644)
    place.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda _path, _mode: None)
    config = tmp_path / "config.yaml"
    config.write_text(
        "servers: {web: {host: 127.0.0.1, port: 1, user: u, tls: 'off', password: p}}\n"
        f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s}}}}\nstate_dir: {place}\n"
        f"control: {{socket: {tmp_path}/socket}}\n"
    )
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    one = Service(load(config), one_pass=one_pass, performs=False)
    try:
        one.start()
    finally:
        one.stop()
        logger.remove(number)
    told = [line.partition(":")[0] for line in lines if "every user" in line]
    expected = f"WARNING every user of this machine can read lock, ledger.db in the state directory {place}"
    assert told == ([] if one_pass else [expected])


def test_a_start_whose_only_password_is_on_a_disk_that_does_not_answer_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no configuration that somebody has to correct: with 78, systemd would not start it again."""
    (tmp_path / "in").mkdir()
    (tmp_path / "pw").write_text(PASSWORD)
    read, answers = reading.content, threading.Event()

    def reads(path: Path, most: int) -> bytes:
        assert answers.wait(60)
        return read(path, most)

    monkeypatch.setattr(password, "content", reads)
    monkeypatch.setattr(patience, "ANSWER_S", 0.2)
    with running("pyftpdlib") as server:
        config = written(tmp_path / "config.yaml", server.port)
        config.write_text(config.read_text().replace("{env: FTP_PASSWORD}", f"{{file: {tmp_path}/pw}}"))
        one = Service(load(config))
        one.start()
        try:
            [shown] = one.status().servers
            assert "its disk has not answered for 0.2 s" in shown.message
            (tmp_path / "in/a.jpg").write_bytes(b"a")
            answers.set()
            one.engine.ask(lambda _at: one.engine.servers["web"].queue.gate.retry_now())
            until((server.home / "m/a.jpg").exists, "it is published", 30)
        finally:
            answers.set()
            one.stop()


def test_a_directory_that_a_disk_is_mounted_on_at_the_server_is_left_and_told(tmp_path: Path) -> None:
    """It cannot be removed as long as that lasts, and nobody has to do anything about it."""
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/a.jpg").write_bytes(b"picture")
    told: list[Event] = []
    with running("pyftpdlib") as server:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: 'off', password: {PASSWORD}}}}}\n"
            f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s, delete_after: 0s}}}}\nstate_dir: {tmp_path}/state\n"
        )

        def passed() -> None:
            one = Service(load(config), one_pass=True, observe=told.append)
            one.start()
            try:
                assert one.await_end(60).finished
            finally:
                one.stop()

        passed()
        shutil.rmtree(tmp_path / "in/d")
        place = server.home / "m/d"
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False).returncode:
            pytest.skip("nothing may be mounted here")
        try:
            passed()
        finally:
            subprocess.run(["umount", place], check=True)
    removed = [event for event in told if event.path == "d" and event.kind is EventKind.REMOVED]
    assert [event.message for event in removed] == ["the directory stays at the server: a disk is mounted on it there"]
    assert not [event for event in told if event.kind is EventKind.FAILED]
