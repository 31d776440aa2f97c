"""The event stream: what readers get, in which order, after a gap too; and that no reader can harm the daemon."""

import asyncio
import json
import logging
import select
import socket
import threading
from contextlib import suppress

import pytest

from ftpsyncd.control import sse
from ftpsyncd.control.client import ControlClient, _UnixConnection
from ftpsyncd.control.feed import Feed
from ftpsyncd.control.server import ControlServer
from ftpsyncd.events import Event, EventKind
from ftpsyncd.status import MappingState, ServerState, ServerStatus, Transfer
from tests.control.fakes import GALLERY, STATUS, FakeDaemon
from tests.waiting import until

QUIET = STATUS._replace(transfers=())


def happened(path="a.jpg", **more):
    return Event(EventKind.PUBLISHED, "gallery", path, "web", **more)


class Reader:
    """An open stream."""

    def __init__(self, path, last_id=None, method="GET"):
        self.connection = _UnixConnection(str(path), 30)
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self.connection.request(method, "/v1/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.comments = 0

    def next(self):
        """The next event: (id, name, data); None at the end."""
        event_id, name, data = "", "", None
        while line := self.answer.readline().decode("ascii").rstrip("\n"):
            field, _, value = line.partition(": ")
            match field:
                case "id":
                    event_id = value
                case "event":
                    name = value
                case "data":
                    data = json.loads(value)
                case "":
                    self.comments += 1
        return (event_id, name, data) if name else None

    def events(self, count):
        found = [self.next() for _ in range(count)]
        assert all(found)
        return found

    def close(self):
        self.connection.close()
        self.answer.close()


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def path(tmp_path, feed):
    path = tmp_path / "control.sock"
    with ControlServer(FakeDaemon(), path, feed=feed):
        yield path
        until(lambda: feed._wake is None, "no reader is left")


@pytest.fixture
def open_reader(path):
    readers = []

    def open_one(last_id=None):
        readers.append(Reader(path, last_id))
        return readers[-1]

    yield open_one
    for reader in readers:
        reader.close()


# ── What readers get ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_is_told_what_happens_from_now_on(feed, open_reader):
    feed.tell(happened("before.jpg"))
    reader = open_reader()
    assert (reader.answer.status, reader.answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    event_id, name, data = reader.next()
    assert event_id
    assert (name, data) == ("hello", {"resumed": False, "lost": False})
    feed.tell(happened("a\udcff\n.jpg", size=7, sha256=b"\xab" * 32, attempts=2, duration_s=0.5, reply="226 Done."))
    _, name, data = reader.next()
    assert name == "published"
    assert data.pop("at").endswith("+00:00")
    assert data == {
        "mapping": "gallery",
        "server": "web",
        "path": "a\udcff\n.jpg",
        "source": "",
        "size": 7,
        "sha256": "ab" * 32,
        "duration_s": 0.5,
        "attempts": 2,
        "message": "",
        "reply": "226 Done.",
        "remedy": "",
        "error": "",
    }


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_arrives_under_its_name(feed, open_reader, kind):
    reader = open_reader()
    reader.next()
    feed.tell(Event(kind))
    assert reader.next()[1] == kind.value


def test_everything_arrives_in_order_while_much_happens(feed, open_reader):
    readers = [open_reader() for _ in range(5)]
    for reader in readers:
        reader.next()
    # No more than the ring holds at a time, so that nobody is cut off however slow this machine is.
    for batch in range(5):
        for number in range(400):
            feed.tell(happened(str(batch * 400 + number)))
        for reader in readers:
            found = reader.events(400)
            assert [data["path"] for _, _, data in found] == [str(batch * 400 + number) for number in range(400)]
            numbers = [int(event_id.rpartition("-")[2]) for event_id, _, _ in found]
            assert numbers == list(range(numbers[0], numbers[0] + 400))


def test_changes_of_state_are_events_and_nothing_else_is(feed, open_reader):
    reader = open_reader()
    reader.next()
    feed.show(QUIET)
    first = reader.events(3)
    assert [(name, data["name"], data["state"]) for _, name, data in first] == [
        ("mapping_state", "gallery", "syncing"),
        ("mapping_state", "sheets", "source_missing"),
        ("server_state", "web", "online"),
    ]
    assert first[0][2]["pending"] == 3
    feed.show(QUIET)
    feed.show(QUIET._replace(mappings=(GALLERY._replace(pending=1), QUIET.mappings[1])))
    feed.show(
        QUIET._replace(
            mappings=(GALLERY._replace(state=MappingState.HELD), QUIET.mappings[1]),
            servers=(ServerStatus("web", ServerState.OFFLINE, 0, "No answer."),),
        )
    )
    assert [(name, data["state"]) for _, name, data in reader.events(2)] == [
        ("mapping_state", "held"),
        ("server_state", "offline"),
    ]


def test_what_is_configured_again_is_told_of_as_if_it_were_new(feed, open_reader):
    reader = open_reader()
    reader.next()
    for status in (QUIET, QUIET._replace(mappings=QUIET.mappings[1:], servers=()), QUIET):
        feed.show(status)
    told = [data["name"] for _, _, data in reader.events(5)]
    assert told == ["gallery", "sheets", "web", "gallery", "web"]


def test_transfers_are_passed_on_until_none_is_left(feed, open_reader):
    feed.show(QUIET)
    reader = open_reader()
    reader.next()
    for sent in (10, 60):
        feed.show(STATUS._replace(transfers=(Transfer("gallery", "a\udcff", sent, 100, 5.5),)))
        event_id, name, data = reader.next()
        assert (event_id, name) == ("", "transfers")
        assert data["transfers"] == [
            {
                "mapping": "gallery",
                "path": "a\udcff",
                "sent_bytes": sent,
                "size_bytes": 100,
                "rate_bytes_s": 5.5,
                "still_s": 0.0,
            }
        ]
    feed.show(QUIET)
    assert reader.next()[2] == {"transfers": []}
    feed.show(QUIET)
    feed.tell(happened())
    assert reader.next()[1] == "published"


def test_a_sign_of_life_comes_while_nothing_happens(feed, open_reader, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)
    reader = open_reader()
    reader.next()
    while reader.comments < 3:
        assert reader.next() is None
    feed.tell(happened())
    while (event := reader.next()) is None:
        pass
    assert event[1] == "published"


# ── After a gap ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_that_comes_back_gets_what_it_missed(feed, open_reader):
    reader = open_reader()
    reader.next()
    for number in range(3):
        feed.tell(happened(str(number)))
    last_id = reader.events(2)[-1][0]
    reader.close()
    for number in range(3, 6):
        feed.tell(happened(str(number)))
    again = open_reader(last_id)
    assert again.next()[1:] == ("hello", {"resumed": True, "lost": False})
    assert [data["path"] for _, _, data in again.events(4)] == ["2", "3", "4", "5"]


def test_the_id_of_the_greeting_is_one_to_come_back_with(feed, open_reader):
    for before in range(2):
        reader = open_reader()
        event_id, _, _ = reader.next()
        reader.close()
        feed.tell(happened(f"missed {before}"))
        again = open_reader(event_id)
        assert again.next()[2] == {"resumed": True, "lost": False}
        assert again.next()[2]["path"] == f"missed {before}"


@pytest.mark.parametrize(
    "last_id", ["", "1-1", "x", "-", "18d-99999", "{run}-9", "{run}--1", "{run}-x", "{run}-\xb2", "{run}-" + "9" * 5000]
)
def test_a_reader_that_comes_back_to_another_run_is_told_so(feed, open_reader, last_id):
    feed.tell(happened("old"))
    reader = open_reader(last_id.format(run=feed.now().run))
    assert reader.next()[1:] == ("hello", {"resumed": True, "lost": True})
    feed.tell(happened("new"))
    assert reader.next()[2]["path"] == "new"


def test_a_reader_that_comes_back_too_late_is_told_so(tmp_path):
    feed, path = Feed(room=5), tmp_path / "small.sock"
    with ControlServer(FakeDaemon(), path, feed=feed):
        first = feed.now()
        for number in range(6):
            feed.tell(happened(str(number)))
        for back, lost in ((0, True), (1, False)):
            reader = Reader(path, f"{first.run}-{first.next - 1 + back}")
            assert reader.next()[2] == {"resumed": True, "lost": lost}
            reader.close()


# ── Readers that could do harm ───────────────────────────────────────────────────────────────────────────────────


def test_a_reader_that_takes_nothing_is_cut_off(feed, path, monkeypatch):
    monkeypatch.setattr(sse, "TAKE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as other:
        other.settimeout(0)
        other.connect(str(path))
        idle.settimeout(30)
        idle.connect(str(path))
        idle.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: feed._wake is not None, "it listens")
        sent = 0

        def more():
            nonlocal sent
            for _ in range(100):
                feed.tell(happened("x" * 1000))
            sent += 100 * 1000
            return feed._wake is None

        until(more, "it is cut off", 60)
        seen = select.poll()
        seen.register(idle, 0)  # told without being asked for: the other end is closed (poll(2), POLLHUP)
        until(lambda: seen.poll(0), "its connection is no longer kept, though it reads nothing", 30)
        got = 0
        with suppress(ConnectionResetError):  # cut off is cut off
            while chunk := idle.recv(1 << 20):
                got += len(chunk)
        assert got < sent
        with pytest.raises(BlockingIOError):  # who asks for nothing yet is left alone
            other.recv(1)
    assert ControlClient(path).status()


def test_a_reader_that_falls_behind_is_cut_off_and_may_come_back(tmp_path):
    feed, path = Feed(room=10), tmp_path / "small.sock"
    with ControlServer(FakeDaemon(), path, feed=feed):
        reader = Reader(path)
        last_id = reader.next()[0]
        for number in range(1000):
            feed.tell(happened(str(number)))
        seen = []
        with suppress(ConnectionResetError):  # cut off is cut off
            while event := reader.next():
                seen.append(event[2]["path"])
        reader.close()
        assert len(seen) < 1000
        again = Reader(path, last_id)
        assert again.next()[2] == {"resumed": True, "lost": True}
        again.close()


def test_the_engine_calls_once_however_much_happens():
    feed, calls = Feed(room=10), []
    feed.tell(happened())
    feed.listen(lambda: calls.append(1))
    for _ in range(1000):
        feed.tell(happened())
    assert len(calls) == 1
    feed.rearm()
    feed.show(STATUS)
    assert len(calls) == 2
    feed.listen(None)
    feed.tell(happened())
    assert len(calls) == 2


def test_readers_are_woken_no_more_often_than_they_should_however_long_it_lasts(monkeypatch):
    monkeypatch.setattr(sse, "GAP_S", 0.05)

    async def woken(periods):
        feed = Feed(room=10)
        broadcast = sse.Broadcast(feed)
        bell, rung, loop = broadcast.join(), 0, asyncio.get_running_loop()
        began = loop.time()
        while loop.time() < began + periods * sse.GAP_S:
            feed.tell(happened())
            await asyncio.sleep(0)  # the loop goes round once
            rung += bell.is_set()
            bell.clear()
        broadcast.leave(bell)
        return rung, (loop.time() - began) / sse.GAP_S

    rung, periods = asyncio.run(woken(20))
    assert 2 <= rung <= periods + 1


def test_a_reader_that_goes_takes_the_news_of_nobody_else(feed):
    async def rung() -> tuple[bool, bool]:
        broadcast = sse.Broadcast(feed)
        stays, goes = broadcast.join(), broadcast.join()
        broadcast.leave(goes)
        feed.tell(happened())
        await asyncio.wait_for(stays.wait(), 30)
        return stays.is_set(), goes.is_set()

    assert asyncio.run(rung()) == (True, False)


def test_a_reader_that_comes_takes_the_news_of_nobody_else(feed, monkeypatch):
    """What happened while no bell was to ring would else have been told with the next event only."""
    monkeypatch.setattr(sse, "GAP_S", 0.01)

    async def rung() -> None:
        broadcast = sse.Broadcast(feed)
        first = broadcast.join()
        feed.tell(happened())
        await asyncio.wait_for(first.wait(), 30)
        first.clear()
        feed.tell(happened())
        broadcast.join()
        await asyncio.wait_for(first.wait(), 30)

    asyncio.run(rung())


def test_who_comes_while_all_streams_end_is_woken_to_end_too(feed):
    async def woken() -> list[bool]:
        broadcast = sse.Broadcast(feed)
        before = broadcast.join()
        waits = not before.is_set()
        broadcast.close()
        return [waits, broadcast.closed, before.is_set(), broadcast.join().is_set()]

    assert asyncio.run(woken()) == [True] * 4


def test_only_so_many_may_listen(feed, path, open_reader, monkeypatch):
    monkeypatch.setattr(sse, "SUBSCRIBERS_MAX", 2)
    readers = [open_reader(), open_reader()]
    for reader in readers:
        reader.next()
    refused = open_reader()
    assert refused.answer.status == 503
    assert set(json.loads(refused.answer.read())) == {"error", "remedy"}
    readers[0].close()

    def has_room():
        reader = Reader(path)
        try:
            return reader.answer.status == 200
        finally:
            reader.close()

    until(has_room, "there is room again")


def test_readers_that_go_are_forgotten_at_once(feed, path):
    for _ in range(20):
        reader = Reader(path)
        reader.next()
        reader.close()
    until(lambda: feed._wake is None, "nobody listens")


def test_only_the_head_is_sent_if_only_the_head_is_wanted(path):
    reader = Reader(path, method="HEAD")
    assert (reader.answer.status, reader.answer.read()) == (200, b"")
    reader.close()


def test_all_streams_end_in_order_when_the_server_stops(tmp_path, feed, caplog):
    path = tmp_path / "ends.sock"
    control = ControlServer(FakeDaemon(), path, feed=feed)
    control.start()
    readers = [Reader(path) for _ in range(10)]
    for reader in readers:
        reader.next()
    feed.tell(happened("last.jpg"))
    with caplog.at_level(logging.WARNING):
        control.stop()
    for reader in readers:
        assert reader.next()[2]["path"] == "last.jpg"
        assert reader.next() is None  # an end that is no accident: http.client would raise IncompleteRead
        assert reader.answer.read() == b""
        reader.close()
    assert feed._wake is None
    assert caplog.messages == []
    feed.tell(happened())


def test_fifty_readers_see_everything_while_others_ask(feed, path):
    wrong, ready = [], threading.Barrier(51)

    def read():
        reader = Reader(path)
        reader.next()
        ready.wait(30)
        paths = [reader.next()[2]["path"] for _ in range(100)]
        if paths != [str(number) for number in range(100)]:
            wrong.append(paths)
        reader.close()

    threads = [threading.Thread(target=read) for _ in range(50)]
    for thread in threads:
        thread.start()
    ready.wait(30)
    for number in range(100):
        feed.tell(happened(str(number)))
        if number % 10 == 0:
            assert ControlClient(path).status()
    for thread in threads:
        thread.join(60)
    assert wrong == []
