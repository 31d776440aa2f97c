"""Connections that come and go while the daemon runs: one that fails is no outage as long as others work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from loguru import logger

from ftpsyncd import logs
from ftpsyncd.actions import Did, Done, Failed, Probe, Upload
from ftpsyncd.config import load
from ftpsyncd.core import gate
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.daemon.service import Service
from ftpsyncd.engine import answering
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.errors import DataUnreachableError, FtpsyncdError, LoginRefusedError, ServerUnavailableError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing.planned import Progress
from tests.core.vocabulary import NOW
from tests.engine.test_outcomes import Story
from tests.remote.scripted import Connection, Hangup, Scripted, listing
from tests.waiting import until

PAUSE_S = 0.3
"""Instead of a quarter of a minute."""


class Moody(Scripted):
    """It hangs up on whoever connects when it is told to, and takes its time for a file called ``slow``."""

    def __init__(self, most: int = 100) -> None:
        super().__init__()
        self.most = most
        """Connections that it bears; the others are ended without a word."""
        self.at_once: set[Connection] = set()
        self.turned_away = 0
        self.goes_on = threading.Event()

    async def do_greeting(self, c: Connection, _a: str) -> str:
        if len(self.at_once) >= self.most:
            self.turned_away += 1
            raise Hangup
        self.at_once.add(c)
        return "220 Hello."

    async def do_stor(self, c: Connection, path: str) -> str:
        if "slow" not in path:
            return await super().do_stor(c, path)
        self.files[c.at(path)] = await c.receive()
        await asyncio.to_thread(self.goes_on.wait, 60)
        await c.end_data()
        return "226 Stored."

    async def _talk(self, connection: Connection) -> None:
        try:
            await super()._talk(connection)
        finally:
            self.at_once.discard(connection)

    def has(self, name: str) -> bool:
        return f"/m/{name}" in self.files


@contextmanager
def publishing(tmp_path: Path, server: Scripted) -> Iterator[tuple[Path, Service, list[str]]]:
    """A daemon at work in this process; its folder, and what it says."""
    (tmp_path / "in").mkdir()
    config = tmp_path / "config.yaml"
    config.write_text(
        f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: u, tls: 'off', password: p}}}}\n"
        f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s}}}}\n"
        f"state_dir: {tmp_path}/state\ncontrol: {{socket: {tmp_path}/s}}\n"
    )
    config.chmod(0o600)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="INFO")
    one = Service(load(config))
    try:
        one.start()
        try:
            assert one.engine.watching.wait(30)
            yield tmp_path / "in", one, lines
        finally:
            one.stop()
    finally:
        logger.remove(sink)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "FIRST_PAUSE_S", PAUSE_S)


@pytest.fixture(autouse=True)
def _all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads is not even written, and a test of the log may have left it so."""
    monkeypatch.setattr(logs, "_least", [20])


def state(one: Service) -> Breaker:
    return one.engine.servers["web"].queue.gate.state


def test_a_connection_that_failed_once_keeps_nothing_waiting_for_what_is_under_way(tmp_path: Path) -> None:
    with Moody() as server, publishing(tmp_path, server) as (drop, one, _):
        (drop / "slow.jpg").write_bytes(b"x" * 1000)
        until(lambda: any("slow" in path for path in server.files), "the slow file is on its way", 30)
        server.most = 0
        (drop / "a.jpg").write_bytes(b"a")
        until(lambda: state(one) is Breaker.OFFLINE, "no other connection can be opened", 30)
        server.most = 100
        until(lambda: server.has("a.jpg"), "it is published beside the slow one", 30)
        until(lambda: state(one) is Breaker.CLOSED, "the server counts as well", 30)
        assert not server.has("slow.jpg")
        server.goes_on.set()
        until(lambda: server.has("slow.jpg"), "the slow one, too", 30)


def test_the_first_file_after_an_outage_keeps_no_other_waiting(tmp_path: Path) -> None:
    with Moody(most=0) as server, publishing(tmp_path, server) as (drop, one, lines):
        (drop / "slow.jpg").write_bytes(b"x" * 1000)
        until(lambda: state(one) is Breaker.OFFLINE, "the server is not there", 30)
        for name in ("a.jpg", "b.jpg"):
            (drop / name).write_bytes(b"a")
        until(lambda: one.engine.servers["web"].queue.backlog()[0] == 3, "they wait", 30)
        server.most = 100
        until(lambda: any("slow" in path for path in server.files), "the slow file is on its way", 30)
        until(lambda: server.has("a.jpg") and server.has("b.jpg"), "the others are published", 30)
        assert not server.has("slow.jpg")
        assert state(one) is Breaker.CLOSED
        assert sum("the server answers again" in line for line in lines) == 1
        server.goes_on.set()
        until(lambda: server.has("slow.jpg"), "the slow one, too", 30)


def test_connections_that_are_ended_without_a_word_while_others_work_are_no_outage(tmp_path: Path) -> None:
    """A firewall counts them, say."""
    names = [f"{n}.jpg" for n in range(200)]
    with Moody(most=1) as server, publishing(tmp_path, server) as (drop, one, lines):
        for name in names:
            (drop / name).write_bytes(b"a")
        until(lambda: all(server.has(name) for name in names), "all are published", 60)
        assert one.engine.servers["web"].queue.gate.cap == 1
        # Each of the other three may have been on its way when the first was ended.
        assert 1 <= server.turned_away <= 3
        assert sum("web: offline" in line for line in lines) <= 3


def test_a_large_file_that_goes_on_shows_that_only_further_connections_are_refused(tmp_path: Path) -> None:
    class Leisurely(Moody):
        async def do_stor(self, c: Connection, path: str) -> str:
            if "slow" not in path:
                return await super().do_stor(c, path)
            await c.say("150 Go on.")
            reader, _ = await c.data()
            parts = []
            while part := await reader.read(100_000):
                parts.append(part)
                await asyncio.sleep(0.0 if self.goes_on.is_set() else 0.05)
            self.files[c.at(path)] = b"".join(parts)
            await c.end_data()
            return "226 Stored."

    with Leisurely(most=1) as server, publishing(tmp_path, server) as (drop, one, lines):
        (drop / "slow.jpg").write_bytes(b"x" * 60_000_000)
        until(lambda: any(t.sent_bytes for t in one.engine.status.transfers), "the slow file is on its way", 30)
        (drop / "a.jpg").write_bytes(b"a")
        until(lambda: server.turned_away, "no other connection can be opened", 30)
        until(lambda: any("web: online" in line for line in lines), "the server works all the same", 30)
        assert state(one) is Breaker.CLOSED
        assert one.engine.servers["web"].queue.gate.cap == 1
        assert not server.has("slow.jpg")
        tries = server.turned_away
        server.goes_on.set()
        until(lambda: server.has("slow.jpg") and server.has("a.jpg"), "both are published", 60)
        assert server.turned_away == tries


def test_a_dead_server_is_not_taken_for_one_that_works_because_a_buffer_fills() -> None:
    """What comes back together from one try tells nothing of the time between two."""

    class Crew:
        connections = 1
        sent = 0

        def transfers(self) -> list[Progress]:
            self.sent += 1000
            return [Progress("m", "slow.jpg", 10_000_000, self.sent)]

    queue = Queue(4, jitter=0.5)
    queue.gate.answered()
    server = Server("web", queue, cast("Any", Crew()))
    told: list[Event] = []

    def back(now: float, *paths: str) -> None:
        for path in paths:
            error = ServerUnavailableError("Connection refused.")
            answering.performed(server, Failed(Probe(path), error, connecting=True), now, told.append)

    back(0.0, "a", "b", "c")
    back(queue.gate.paused_until, "a")
    assert queue.gate.state is Breaker.OFFLINE
    assert [event.kind for event in told] == [EventKind.SERVER_OFFLINE]
    back(queue.gate.paused_until, "a")
    assert (queue.gate.state, queue.gate.cap) == (Breaker.CLOSED, 1)
    assert [event.kind for event in told] == [EventKind.SERVER_OFFLINE, EventKind.SERVER_ONLINE]


class One:
    """Workers with one connection, and nothing on its way."""

    connections = 1

    def transfers(self) -> list[Progress]:
        return []


def failing(error: FtpsyncdError) -> Server:
    """A server that worked, until a further connection was refused."""
    queue = Queue(4, jitter=0.5)
    queue.gate.answered()
    server = Server("web", queue, cast("Any", One()))
    answering.performed(server, Failed(Probe("web"), error, connecting=True), 0.0, lambda _event: None)
    return server


def test_a_large_file_that_begins_shows_that_a_server_works_and_not_that_it_has_space_for_it() -> None:
    server, told = failing(ServerUnavailableError("It is down.")), list[Event]()
    answering.received(server, 1.0, told.append)
    assert repr(server.queue.gate) == "<Gate closed cap=1>"
    assert [event.kind for event in told] == [EventKind.SERVER_ONLINE]
    server.queue.gate.failed(2.0, Breaker.FULL, "No space.", connects=True)
    answering.received(server, 3.0, told.append)
    assert repr(server.queue.gate) == "<Gate full cap=1>"
    assert len(told) == 1


@pytest.mark.parametrize(
    ("reply", "after"), [("522 SSL connection failed: session reuse required", Breaker.OFFLINE), ("", Breaker.CLOSED)]
)
def test_a_large_file_that_begins_shows_no_data_connections_where_others_were_refused_after_that(
    reply: str, after: Breaker
) -> None:
    """vsftpd says 150 before it looks: with a large one in the queue it was back, and away, every quarter of a minute."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        upload = Upload(story.mirror.spec.name, "a", Fingerprint(10, 1, 1))
        for _ in range(LOST_CONNECTIONS):
            story.apply(Failed(upload, DataUnreachableError("Refused.", reply=reply)))
        assert story.queue.gate.state is Breaker.OFFLINE
        answering.received(Server("web", story.queue, cast("Any", One())), NOW, lambda _event: None)
        assert story.queue.gate.state is after


def test_a_server_that_lets_nobody_write_is_not_told_as_one_that_refuses_the_login(tmp_path: Path) -> None:
    """It was, and was as one that answers nothing, in turn: with a quarter of an hour, or 15 s, until the next try."""
    with Moody() as server, publishing(tmp_path, server) as (drop, one, lines):
        server.script |= {"STOR": "530 Access denied.", "PWD": "530 Access denied."}
        for n in range(20):
            (drop / f"{n}.jpg").write_bytes(b"a")
        until(lambda: state(one) is Breaker.OFFLINE, "it pauses", 30)
        tries = server.verbs().count("STOR")
        until(lambda: server.verbs().count("STOR") > tries + 3, "it is tried again", 60)
        told = [line for line in lines if "server web: offline" in line]
        assert told
        assert all("After the login" in line for line in told)


def test_a_directory_in_which_530_is_said_of_each_file_costs_no_logins_and_keeps_no_others_waiting(
    tmp_path: Path,
) -> None:
    """Each file was tried over three connections, five times, and the server was paused in between."""
    with Moody() as server, publishing(tmp_path, server) as (drop, one, lines):
        server.script["STOR"] = refuse_closed
        (drop / "closed").mkdir()
        for n in range(20):
            (drop / "closed" / f"{n}.jpg").write_bytes(b"a")
            (drop / f"{n}.jpg").write_bytes(b"a")
        until(lambda: one.engine.status.mappings[0].parked == 20, "they wait for somebody to see to it", 60)
        until(lambda: all(server.has(f"{n}.jpg") for n in range(20)), "the others are published", 30)
        assert server.connections <= 4
        assert not any("offline" in line for line in lines)
        assert any("closed/0.jpg" in line and "530 Denied." in line and "permissions" in line for line in lines)


async def refuse_closed(connection: Connection, path: str) -> None:
    """What STOR does where one directory may not be written."""
    if "closed" in connection.at(path):
        await connection.say("530 Denied.")
    else:
        await connection.server.default(connection, f"STOR {path}")


class Picky(Moody):
    """Of some files it says that no data connection comes about, whatever is wrong with them."""

    async def do_stor(self, c: Connection, path: str) -> str:
        if "bad" in path:
            return "425 Unable to build data connection: Operation not permitted"
        return await super().do_stor(c, path)


def test_files_that_alone_are_refused_a_data_connection_keep_no_others_from_being_sent(tmp_path: Path) -> None:
    """More than three in a row speak for all: the server was paused, and tried with the first of these for ever."""
    with Picky() as server, publishing(tmp_path, server) as (drop, one, _):
        for n in range(5):
            (drop / f"bad{n}.jpg").write_bytes(b"a")
        until(lambda: state(one) is Breaker.OFFLINE, "it pauses", 30)
        (drop / "well.jpg").write_bytes(b"a")
        until(lambda: server.has("well.jpg"), "the one that is well is published", 60)


def test_a_good_file_does_not_wait_behind_a_hundred_that_are_refused_a_data_connection(tmp_path: Path) -> None:
    """One of them was tried after each pause, and pauses grow to five minutes: it waited for hours."""
    with Picky() as server, publishing(tmp_path, server) as (drop, one, _):
        server.script["LIST"] = listing
        for n in range(100):
            (drop / f"bad{n:02}.jpg").write_bytes(b"a")
        (drop / "well.jpg").write_bytes(b"a")
        until(lambda: server.has("well.jpg"), "the one that is well is published", 60)
        assert state(one) is Breaker.CLOSED
        assert server.connections < 20, "for each refusal as many"


@pytest.mark.parametrize(
    ("error", "at_once"),
    [(ServerUnavailableError("It is down."), True), (LoginRefusedError("Login incorrect."), False)],
)
def test_a_refused_password_is_not_told_again_because_another_connection_works(
    error: FtpsyncdError, *, at_once: bool
) -> None:
    """What was only away is there again for all connections."""
    server, told = failing(error), list[Event]()
    answering.performed(server, Done(Probe("web"), Did.ANSWERED), 1.0, told.append)
    assert [event.kind for event in told] == [EventKind.SERVER_ONLINE]
    assert server.is_back is at_once


def test_a_server_that_lets_us_in_and_ends_each_connection_is_not_logged_in_to_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose disk has failed, or that is overloaded: what it says comes with the first file."""
    monkeypatch.setattr(gate, "FIRST_PAUSE_S", 600.0)
    names = [f"{n}.jpg" for n in range(100)]
    with Moody() as server, publishing(tmp_path, server) as (drop, one, _):
        server.script["STOR"] = "421 Service not available, closing control connection."
        for name in names:
            (drop / name).write_bytes(b"a")
        queue = one.engine.servers["web"].queue
        until(lambda: state(one) is Breaker.OFFLINE and not queue.in_flight, "it pauses", 30)
        until(lambda: queue.backlog()[0] >= 90, "the files wait", 30)
        # Two times all that may be open, one more, and what was on its way by then.
        assert 9 <= server.connections <= 12
        del server.script["STOR"]
        one.engine.ask(lambda _at: queue.gate.retry_now())
        until(lambda: all(server.has(name) for name in names), "all are published", 60)
        assert state(one) is Breaker.CLOSED
        assert queue.gate.cap == 4


class Forgetful(Moody):
    """It forgets that somebody has logged in, as where a token has expired behind a gateway; NOOP is for everybody."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: set[Connection] = set()

    async def default(self, connection: Connection, line: str) -> None:
        if connection in self.forgotten and not line.startswith(("NOOP", "QUIT")):
            await connection.say("530 Please login with USER and PASS.")
        else:
            await super().default(connection, line)


@pytest.mark.parametrize("known", [False, True], ids=["a new file", "a new version"])
def test_a_connection_on_which_we_are_not_logged_in_any_more_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    monkeypatch.setattr(gate, "FIRST_PAUSE_S", 600.0)
    with Forgetful() as server, publishing(tmp_path, server) as (drop, one, lines):
        (drop / "a.jpg").write_bytes(b"a")
        until(lambda: one.engine.status.mappings[0].published_files == 1, "the first is published", 30)
        server.forgotten = set(server.at_once)
        (drop / ("a.jpg" if known else "b.jpg")).write_bytes(b"second")
        until(lambda: b"second" in server.files.values(), "the second, too", 30)
        assert not any("offline" in line or "failed" in line for line in lines)


def test_that_files_are_seen_before_they_are_complete_is_told(tmp_path: Path) -> None:
    """A server that renames nothing, or no longer: what was promised of names does not hold there."""
    with Moody() as server, publishing(tmp_path, server) as (drop, one, lines):
        server.script["RNTO"] = "550 Permission denied."
        (drop / "a.jpg").write_bytes(b"a")
        until(lambda: server.has("a.jpg"), "it is published under its final name", 30)
        until(lambda: "m: files are sent under their final names" in one.engine.status.servers[0].message, "status", 30)
        (drop / "b.jpg").write_bytes(b"b")
        until(lambda: server.has("b.jpg"), "so is another", 30)
        until(lambda: one.engine.status.mappings[0].published_files == 2, "both are recorded", 30)
    told = [line for line in lines if "the server renames nothing in /m: files are sent under their" in line]
    assert len(told) == 1, "once"
    assert told[0].startswith("server web: no renames")
