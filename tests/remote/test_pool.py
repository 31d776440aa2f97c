"""Connections are kept, proved alive, and thrown away on doubt."""

from __future__ import annotations

import contextlib
import select
import threading

import pytest

from ftpsyncd.errors import LoginRefusedError, ServerUnavailableError, TooManyConnectionsError
from ftpsyncd.remote import MemoryServer, Pool
from ftpsyncd.remote.memory import MemorySession
from ftpsyncd.remote.port import RemoteSession
from ftpsyncd.remote.session import Session
from tests.remote.scripted import Connection, Scripted, account
from tests.waiting import until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def pool(server, clock):
    pool = Pool(server.connect, idle_close_s=60, keepalive_s=lambda: 30, clock=clock)
    yield pool
    pool.close()
    assert server.sessions == 0


def verbs(server: MemoryServer) -> list[str]:
    return [verb for verb, _ in server.log]


def test_a_session_is_used_again(pool, server):
    for _ in range(3):
        with pool.lease() as session:
            session.noop()
    assert verbs(server).count("CONNECT") == 1
    assert (pool.open_count, pool.idle_count) == (1, 1)


def test_one_that_the_server_has_ended_meanwhile_is_not_used():
    """It was idle for less than anybody asks whether it is there: what was begun over it counted as cut off."""
    connections: list[Connection] = []

    async def keep(connection: Connection, _argument: str) -> None:
        connections.append(connection)
        await connection.say("200 Fine.")

    with Scripted(NOOP=keep) as server, contextlib.closing(Pool(account(server))) as pool:
        with pool.lease() as session:
            session.noop()
        assert isinstance(session, Session)
        server._loop.call_soon_threadsafe(connections[0].writer.close)
        until(lambda: select.select([session.control._sock], [], [], 0)[0], "its end has come")
        with pool.lease() as another:
            another.noop()
        assert server.connections == 2
        with pool.lease() as again:
            assert again is another


def test_the_most_recently_used_one_is_taken(pool):
    with pool.lease() as first, pool.lease() as second:
        assert pool.open_count == 2
        assert pool.idle_count == 0
    # The inner one came back first, so the outer one is the most recent.
    with pool.lease() as again:
        assert again is first
        assert again is not second


def test_one_whose_host_has_moved_is_replaced_however_much_it_is_used(pool, server, clock):
    """The machine before may answer for days: what is sent there nobody sees."""
    for clock.now in range(0, 2000, 20):
        with pool.lease() as session:
            assert not pool.is_elsewhere(session)
    assert verbs(server) == ["CONNECT"]
    server.moved = True
    for clock.now in range(2000, 2320, 20):
        with pool.lease():
            pass
    assert verbs(server) == ["CONNECT"] * 2
    server.moved = False
    with pool.lease() as session:
        server.moved, clock.now = True, 3000
        assert pool.is_elsewhere(session)
    assert (pool.open_count, server.sessions) == (0, 0)


def test_what_has_moved_says_nothing_against_the_others(pool, server, clock):
    with pool.lease(), pool.lease():
        pass
    server.moved, clock.now = True, 20
    server.log.clear()
    with pool.lease() as session:
        pool._look_up_at[session] = 0.0
    with pool.lease():
        pass
    assert verbs(server) == []
    assert not set(pool._look_up_at) - {entry.session for entry in pool._idle}, (
        "of those that are closed nothing is held"
    )


def test_one_that_was_silent_must_answer_first(pool, server, clock):
    with pool.lease():
        pass
    clock.now = 31
    with pool.lease():
        pass
    assert verbs(server) == ["CONNECT", "NOOP"]


def test_a_dead_one_is_replaced(pool, server, clock):
    with pool.lease():
        pass
    server.fail("NOOP", ServerUnavailableError("gone"))
    clock.now = 31
    with pool.lease() as session:
        session.noop()
    assert verbs(server) == ["CONNECT", "NOOP", "CONNECT", "NOOP"]
    assert pool.open_count == 1


def test_where_one_is_dead_the_others_are_not_asked_one_after_the_other(pool, server, clock):
    """A router may have forgotten them all: each answer would be awaited for the whole time-out."""
    with pool.lease(), pool.lease(), pool.lease(), pool.lease():
        pass
    server.log.clear()
    server.fail("NOOP", ServerUnavailableError("time-out"), times=4)
    clock.now = 31
    with pool.lease():
        pass
    assert verbs(server) == ["NOOP", "CONNECT"]
    pool.tend()
    assert verbs(server) == ["NOOP", "CONNECT", *["NOOP"] * 3]
    assert (pool.open_count, server.sessions) == (1, 1)


def test_when_one_is_lost_the_others_must_answer_first(pool, server, clock):
    """Else a file would be tried over each of them, and be at fault for it in the end."""
    with pool.lease(), pool.lease(), pool.lease():
        pass
    server.fail("MLST", ServerUnavailableError("time-out"))
    with pytest.raises(ServerUnavailableError), pool.lease() as session:
        session.stat("/x")
    server.log.clear()
    server.fail("NOOP", ServerUnavailableError("time-out"))
    with pool.lease(), pool.lease():
        pass
    assert verbs(server) == ["NOOP", "CONNECT", "NOOP"]
    server.log.clear()
    with pool.lease(), pool.lease():
        pass
    assert verbs(server) == []
    assert pool.open_count == server.sessions == 2


def test_a_doubtful_one_does_not_come_back(pool, server):
    server.fail("MLST", ServerUnavailableError("broken pipe"))
    with pytest.raises(ServerUnavailableError), pool.lease() as session:
        session.stat("/x")
    assert pool.open_count == 0
    assert server.sessions == 0


def test_a_usable_one_comes_back_even_after_an_error(pool):
    with pytest.raises(KeyError), pool.lease():
        raise KeyError
    assert pool.idle_count == 1


@pytest.mark.parametrize(
    "error", [TooManyConnectionsError("n"), LoginRefusedError("no"), ServerUnavailableError("down")]
)
def test_the_connectors_error_passes(pool, server, error):
    server.fail("CONNECT", error)
    with pytest.raises(type(error)), pool.lease():
        pass
    assert pool.open_count == 0


def test_tending_closes_what_is_idle_for_too_long(pool, server, clock):
    with pool.lease(), pool.lease():
        pass
    clock.now = 40
    with pool.lease():
        pass
    clock.now = 61
    pool.tend()
    assert (pool.open_count, server.sessions) == (1, 1)
    clock.now = 100
    pool.tend()
    assert (pool.open_count, server.sessions) == (0, 0)


def test_tending_keeps_alive_and_does_not_renew_the_idle_time(pool, server, clock):
    with pool.lease():
        pass
    clock.now = 30
    pool.tend()
    clock.now = 45
    pool.tend()
    assert verbs(server) == ["CONNECT", "NOOP"]
    clock.now = 60
    pool.tend()
    assert server.sessions == 0


def test_while_one_is_asked_for_a_sign_of_life_the_others_are_there(server, clock, monkeypatch):
    asked, go_on = threading.Event(), threading.Event()

    def slow(session: RemoteSession) -> bool:
        asked.set()
        assert go_on.wait(60)
        return session.usable

    monkeypatch.setattr("ftpsyncd.remote.pool._answers", slow)
    pool = Pool(server.connect, idle_close_s=60, keepalive_s=lambda: 30, clock=clock)
    with pool.lease(), pool.lease():
        pass
    clock.now = 31
    tending = threading.Thread(target=pool.tend)
    tending.start()
    try:
        assert asked.wait(60)
        clock.now = 20  # so that who takes one does not ask it, too
        with pool.lease():
            assert pool.open_count == 2
        assert verbs(server).count("CONNECT") == 2
    finally:
        clock.now = 31
        go_on.set()
        tending.join(60)
        pool.close()
    assert server.sessions == 0


class Asked(MemoryServer):
    """Something happens while it is asked for a sign of life."""

    def meanwhile(self, session: MemorySession) -> None:
        """Nothing yet."""

    def session(self) -> MemorySession:
        class Session(MemorySession):
            def noop(self) -> None:
                super().noop()
                outer.meanwhile(self)

        outer = self
        return Session(self)


@pytest.fixture
def asked(monkeypatch):
    """Sessions that were asked for a sign of life, in this order."""
    found = list[RemoteSession]()
    monkeypatch.setattr(Asked, "meanwhile", lambda _server, session: found.append(session))
    return found


def test_what_was_asked_for_a_sign_of_life_stays_behind_what_was_used_since(clock, asked):
    pool = Pool(Asked().connect, idle_close_s=60, keepalive_s=lambda: 30, clock=clock)
    with pool.lease() as newer:
        with pool.lease() as older:
            pass
        clock.now = 20
    clock.now = 31
    pool.tend()
    assert asked == [older]
    with pool.lease() as taken:
        assert taken is newer
    pool.close()


def test_what_is_asked_for_a_sign_of_life_while_all_are_closed_is_closed_too(clock, monkeypatch):
    server = Asked()
    pool = Pool(server.connect, idle_close_s=60, keepalive_s=lambda: 30, clock=clock)
    with pool.lease(), pool.lease():
        pass
    monkeypatch.setattr(Asked, "meanwhile", lambda _server, _session: pool.close())
    clock.now = 31
    pool.tend()
    assert (pool.open_count, server.sessions) == (0, 0)


def test_one_that_answers_and_can_do_no_more_is_replaced(clock, monkeypatch):
    """As where the server has said good-bye behind its answer."""
    pool = Pool(Asked().connect, idle_close_s=60, keepalive_s=lambda: 30, clock=clock)
    with pool.lease() as first:
        pass
    monkeypatch.setattr(Asked, "meanwhile", lambda _server, session: session.cut())
    clock.now = 31
    with pool.lease() as second:
        assert second is not first
        assert second.usable
    pool.close()


def test_how_long_silence_lasts_is_asked_for_each_time(server, clock):
    silence = [30.0]
    pool = Pool(server.connect, idle_close_s=60, keepalive_s=lambda: silence[0], clock=clock)
    with pool.lease():
        pass
    clock.now = 11
    pool.tend()
    assert "NOOP" not in verbs(server)
    silence[0] = 10.0  # the server has told how long it waits
    pool.tend()
    assert verbs(server).count("NOOP") == 1
    pool.close()


def test_tending_survives_a_dead_server(pool, server, clock):
    with pool.lease(), pool.lease():
        pass
    server.online = False
    clock.now = 31
    pool.tend()
    assert pool.open_count == 0


def test_after_closing_nothing_stays_open(server, clock):
    pool = Pool(server.connect, clock=clock)
    with pool.lease():
        with pool.lease():
            pass
        pool.close()
        assert server.sessions == 1
    assert server.sessions == 0
    assert pool.open_count == 0


def test_where_no_thread_may_begin_all_are_closed(server, clock, monkeypatch):
    pool = Pool(server.connect, clock=clock)
    with pool.lease(), pool.lease():
        pass

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool.close()
    assert server.sessions == 0


def test_threads_share_it(pool, server):
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                with pool.lease() as session:
                    session.noop()
                pool.tend()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert pool.open_count == pool.idle_count == server.sessions <= 4


def test_it_shows_its_counts(pool):
    with pool.lease():
        assert repr(pool) == "Pool(1 open, 0 idle)"
