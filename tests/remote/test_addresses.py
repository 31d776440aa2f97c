"""A host of several addresses is reached as soon as one of them is there, and nothing of the others stays."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from ftpsyncd.errors import DataUnreachableError, LoginRefusedError, ServerUnavailableError, TlsError
from ftpsyncd.remote import addresses
from ftpsyncd.remote.addresses import Address, Known, connected, resolved
from ftpsyncd.remote.library import Ftp
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import TlsMode
from tests.contract.remotes import job, publish
from tests.remote.scripted import Connection, Scripted, account, hang_up, silence
from tests.servers import certificates

PATIENT = Timeouts(connect_s=30.0, reply_s=0.3, close_s=0.3)
"""Who waits for the end of an attempt is noticed."""

NOWHERE: Address = ("fe80::1", 21, 0, 0)
"""No packet is sent there: on which link it is, is not said (or there is no version 6 here)."""
listening: dict[Address, socket.socket] = {}


def deaf(stack: contextlib.ExitStack, host: str) -> Address:
    """An address whose packets seem to vanish: so many wait to be accepted that no more is taken."""
    listener = stack.enter_context(socket.create_server((host, 0), backlog=0))
    where = tuple(listener.getsockname())
    stack.callback(listening.pop, where)
    listening[where] = listener
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.settimeout(0)
        waiting.connect_ex(where)
    return where


def refusing(stack: contextlib.ExitStack) -> Address:
    """One that refuses."""
    kept = stack.enter_context(socket.socket())
    kept.bind(("127.0.0.1", 0))
    return tuple(kept.getsockname())


def open_descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[Address, float]:
    """When a connection was begun to each address, in this order."""
    tried: dict[Address, float] = {}

    class Noting(socket.socket):
        def connect(self, where: Any) -> None:
            tried[where] = time.monotonic()
            super().connect(where)

    monkeypatch.setattr(socket, "socket", Noting)
    return tried


def resolve(monkeypatch: pytest.MonkeyPatch, found: Sequence[Address]) -> None:
    """Every host has these addresses."""
    families = [socket.AF_INET6 if ":" in where[0] else socket.AF_INET for where in found]
    entries = [(family, socket.SOCK_STREAM, 0, "", where) for family, where in zip(families, found, strict=True)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_where, **_how: list(entries))


def test_dead_addresses_cost_a_moment_each_and_the_first_time_only(stack, monkeypatch, tried):
    monkeypatch.setattr(addresses, "MOMENT_S", 0.02)
    server = stack.enter_context(Scripted())
    there = ("127.0.0.1", server.port)
    dead = [deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3"), deaf(stack, "127.0.0.4")]
    resolve(monkeypatch, [*dead, there])
    acc = account(server, None, PATIENT)
    tried.clear()
    began = time.monotonic()
    acc().close()
    assert time.monotonic() - began < PATIENT.connect_s / 2
    assert list(tried) == [*dead, there]
    tried.clear()
    acc().close()
    assert list(tried) == [there]


def test_one_that_refuses_or_has_no_way_costs_not_even_that(stack, monkeypatch, tried):
    monkeypatch.setattr(addresses, "MOMENT_S", 60.0)
    server = stack.enter_context(Scripted())
    found = [NOWHERE, refusing(stack), ("127.0.0.1", server.port)]
    resolve(monkeypatch, found)
    began = time.monotonic()
    account(server, None, PATIENT)().close()
    assert time.monotonic() - began < PATIENT.connect_s / 2
    assert [where for where in tried if where in found] == found


def test_a_slow_one_wins_while_the_next_is_under_way(stack, monkeypatch):
    monkeypatch.setattr(addresses, "MOMENT_S", 0.02)
    slow, other = deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3")
    resolve(monkeypatch, [slow, other])

    class Waking(socket.socket):
        def connect(self, where: Any) -> None:
            if where == other:
                # It is heard by the second packet that Linux sends, after a second.
                listening[slow].listen(10)
            super().connect(where)

    monkeypatch.setattr(socket, "socket", Waking)
    with connected(resolved("a.test", 21), 30.0) as sock:
        assert sock.getpeername() == slow


def test_nothing_is_left_of_those_that_lose(stack, monkeypatch):
    monkeypatch.setattr(addresses, "MOMENT_S", 0.02)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    resolve(monkeypatch, [deaf(stack, "127.0.0.2"), listener.getsockname()])
    before = open_descriptors()
    with connected(resolved("a.test", 21), 30.0):
        assert len(open_descriptors()) == len(before) + 1
    assert open_descriptors() == before
    resolve(monkeypatch, [deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3")])
    before = open_descriptors()
    with pytest.raises(TimeoutError):
        connected(resolved("a.test", 21), 0.1)
    assert open_descriptors() == before


def test_one_that_was_reached_before_has_a_head_start(stack, monkeypatch, tried):
    """Else each connection over a long line would be two, and servers count."""
    monkeypatch.setattr(addresses, "MOMENT_S", 0.0)
    slow, other = deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3")
    resolve(monkeypatch, [other, slow])
    tried.clear()
    with pytest.raises(TimeoutError):
        connected(resolved("a.test", 21, Known(slow)), 0.1, Known(slow))
    assert list(tried) == [slow, other]
    assert tried[other] - tried[slow] >= 0.1, "only when that had failed"


def test_the_failure_that_is_told_is_of_an_address_that_counts(stack, monkeypatch):
    dead = refusing(stack)
    for found, known in (([NOWHERE, dead], Known()), ([dead, NOWHERE], Known(dead))):
        resolve(monkeypatch, found)
        with pytest.raises(ConnectionRefusedError):
            connected(resolved("a.test", 21, known), 5.0, known)


async def not_available(connection: Connection, _argument: str) -> None:
    await connection.say("421 Not available at the moment.")
    await connection.hang_up()


def of_another() -> ssl.SSLContext:
    """Of a server with a certificate that proves nothing here."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def of_this_one() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    return context


@pytest.mark.parametrize(
    "bad",
    [
        {"GREETING": silence},
        {"GREETING": not_available},
        {"GREETING": "HTTP/1.1 400 Bad Request"},
        {"AUTH": "502 No TLS here."},
        {"AUTH": hang_up},
        {"tls": of_another},
        {"tls": of_this_one, "USER": not_available},
        {"tls": of_this_one, "USER": hang_up},
        {"tls": of_this_one, "USER": silence},
    ],
    ids=["mute", "421", "HTTP", "no TLS", "ends", "another", "421 to a user", "ends a login", "mute to a user"],
)
def test_where_no_session_can_begin_the_others_are_tried_at_once(stack, monkeypatch, bad):
    """As where one of several machines is out of order, or the address of version 6 leads elsewhere."""
    behaviour = {key: value() if key == "tls" else value for key, value in bad.items()}
    useless = [stack.enter_context(Scripted(**behaviour)) for _ in range(2)]
    server = stack.enter_context(Scripted(tls=of_this_one()))
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in (*useless, server)])
    timeouts = PATIENT if silence in bad.values() else None
    acc = account(server, None, timeouts, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)
    for _ in range(2):
        acc().close()
    assert [each.connections for each in (*useless, server)] == [1, 1, 2], "which one works is kept in mind"
    assert not any("PASS" in each.verbs() for each in useless)


def test_what_is_told_is_of_one_that_was_reached_and_of_several_what_may_be_over_soon(stack, monkeypatch):
    """A certificate is another person's matter, and tried again only much later. To version 6 there may be no way."""
    other = stack.enter_context(Scripted(tls=of_another()))
    away = refusing(stack)
    there = ("127.0.0.1", other.port)
    for found in ([there, away], [away, there]):
        resolve(monkeypatch, found)
        acc = account(other, None, PATIENT, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)
        with pytest.raises(TlsError):
            acc()
    server = stack.enter_context(Scripted(GREETING=not_available))
    for found in ([there, ("127.0.0.1", server.port)], [("127.0.0.1", server.port), there]):
        resolve(monkeypatch, found)
        with pytest.raises(ServerUnavailableError, match="421"):
            account(other, None, PATIENT, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)()
    assert server.connections == 2


@pytest.mark.parametrize("answer", ["530 Login incorrect.", hang_up], ids=["refused", "ended"])
def test_the_password_is_told_at_one_of_them(stack, monkeypatch, answer):
    """All may be one machine, which counts, and shuts out who tells it in vain."""
    both = [stack.enter_context(Scripted(PASS=answer)) for _ in range(2)]
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in both])
    with pytest.raises((LoginRefusedError, ServerUnavailableError)):
        account(both[0], Profile(pipelining=False))()
    assert [each.connections for each in both] == [1, 0]


def test_one_without_data_connections_is_tried_after_the_others(stack, monkeypatch):
    """As where a firewall was opened for version 4 only."""
    closed = refusing(stack)[1]
    shut = stack.enter_context(
        Scripted(EPSV=f"229 Here (|||{closed}|)", PASV=f"227 There (127,0,0,1,{closed // 256},{closed % 256})")
    )
    server = stack.enter_context(Scripted())
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in (shut, server)])
    acc = account(server)
    for reached in (False, True):
        acc.profile.reached = reached
        acc._known = Known()
        with acc() as session:
            assert isinstance(publish(session, job("/a"))[0].error, DataUnreachableError)
        with acc() as session:
            assert publish(session, job("/a"))[0].error is None
    assert (shut.connections, server.connections) == (2, 2)


@pytest.fixture
def several(stack, monkeypatch) -> tuple[list[Scripted], Ftp]:
    """Ways to one machine, of which only the last has data connections; and a connection to the first."""

    async def shows(connection: Connection, path: str) -> None:
        at = connection.at(path) or connection.directory
        names = ["y"] if at.startswith("/d") else ["d", "x"]
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write("".join(f"{'d' if n == 'd' else '-'}rw-r--r-- 1 u u 1 Jan 1 2026 {n}\r\n" for n in names).encode())
        await connection.end_data()
        await connection.say("226 That is all.")

    closed = refusing(stack)[1]
    nowhere = {"EPSV": f"229 Here (|||{closed}|)", "PASV": f"227 There (127,0,0,1,{closed // 256},{closed % 256})"}
    servers = [stack.enter_context(Scripted({**nowhere, "LIST": shows})) for _ in range(2)]
    servers.append(stack.enter_context(Scripted(LIST=shows)))
    machine = {"/x": b"0", "/d/y": b"1"}
    for server in servers:
        server.dirs.add("/d")
        server.files = machine
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in servers])
    acc = account(servers[0])
    return servers, stack.enter_context(Ftp(acc(), again=acc))


@pytest.mark.parametrize("reached", [False, True], ids=["at first", "where ports were reached before"])
@pytest.mark.parametrize("by_hand", ["put", "put a folder", "ls", "get", "get a folder", "rm"])
def test_by_hand_another_address_is_tried_where_there_are_no_data_connections(several, tmp_path, by_hand, reached):
    servers, ftp = several
    ftp.session.profile.reached = reached
    (tmp_path / "a").write_bytes(b"new")
    match by_hand:
        case "put":
            ftp.upload(tmp_path / "a", "/a")
        case "put a folder":
            assert [each.error for each in ftp.upload_tree(tmp_path, "/")] == [None]
        case "ls":
            assert [each.name for each in ftp.list("/d")] == ["y"]
        case "get":
            ftp.download("/x", tmp_path / "x")
        case "get a folder":
            assert [each.error for each in ftp.download_tree("/", tmp_path / "copy")] == [None, None]
        case "rm":
            assert [each.error for each in ftp.delete_tree("/d")] == [None, None]
    assert [server.connections for server in servers] == [1, 1, 1]
    if by_hand.startswith("put"):
        assert servers[-1].files["/a"] == b"new"
        assert set(servers[-1].files) == {"/a", "/x", "/d/y"}
        assert "DELE" in servers[-1].verbs()


def test_by_hand_each_address_is_tried_once(several, monkeypatch, tmp_path):
    servers, ftp = several
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in servers[:2]])
    (tmp_path / "a").write_bytes(b"new")
    ftp.close()
    acc = account(servers[0])
    for do in (lambda ftp: ftp.upload(tmp_path / "a", "/a"), lambda ftp: ftp.list("/d")):
        for server in servers:
            server.connections = 0
        with Ftp(acc(), again=acc) as ftp, pytest.raises(DataUnreachableError):
            do(ftp)
        assert all(server.connections < 4 for server in servers[:2])


def test_one_of_no_use_does_not_win_because_it_is_nearer(stack, monkeypatch, tried):
    monkeypatch.setattr(addresses, "MOMENT_S", 0.0)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    slow, useless = deaf(stack, "127.0.0.2"), listener.getsockname()
    resolve(monkeypatch, [useless, slow])
    known = Known().met(useless).shunned(useless)
    tried.clear()
    with connected(resolved("a.test", 21, known), 0.5, known) as sock:
        assert sock.getpeername() == useless, "the other one is not there"
    assert list(tried) == [slow, useless]
    assert tried[useless] - tried[slow] >= 0.4


def test_that_a_host_has_moved_is_found_out_unless_nobody_tells(stack, monkeypatch):
    server = stack.enter_context(Scripted())
    here, there = ("127.0.0.1", server.port), ("127.0.0.2", server.port)
    resolve(monkeypatch, [here])
    with account(server)() as session:
        assert not session.is_elsewhere()
        resolve(monkeypatch, [there, here])
        assert not session.is_elsewhere()
        resolve(monkeypatch, [there])
        assert [session.is_elsewhere() for _ in range(3)] == [False, True, True]

        def silent(*_where: object, **_how: object) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", silent)
        assert not session.is_elsewhere()


def test_a_host_of_which_other_addresses_are_told_each_time_has_not_moved(stack, monkeypatch):
    """A session that has work would be given up every few minutes for nothing."""
    server = stack.enter_context(Scripted())
    resolve(monkeypatch, [("127.0.0.1", server.port)])
    with account(server)() as session:
        for last in (2, 3, 4, 1, 5, 6):
            resolve(monkeypatch, [(f"127.0.0.{last}", server.port), (f"127.0.1.{last}", server.port)])
            assert not session.is_elsewhere()


def test_a_connection_in_use_does_not_wait_for_name_servers(stack, monkeypatch):
    """For half a minute, again and again, complete files would wait for their names."""
    server, over = stack.enter_context(Scripted()), threading.Event()
    stack.callback(over.set)
    with account(server)() as session:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_where, **_how: over.wait(60) and [])
        monkeypatch.setattr(addresses, "TOLD_S", 0.01)
        began = time.monotonic()
        assert not session.is_elsewhere()
        assert time.monotonic() - began < 30


def test_what_name_servers_tell_later_counts_at_the_next_question(stack, monkeypatch):
    """Where the first of them is dead, each answer takes five seconds: a host that has moved was never found to have."""
    server, goes_on, told = stack.enter_context(Scripted()), threading.Semaphore(0), threading.Semaphore(0)
    with account(server)() as session:

        def slow(*_where: object, **_how: object) -> list[tuple[Any, ...]]:
            goes_on.acquire(timeout=60)
            told.release()
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.2", server.port))]

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        monkeypatch.setattr(addresses, "TOLD_S", 0.0)
        found = []
        for _ in range(2):
            found += [session.is_elsewhere(), session.is_elsewhere()]
            goes_on.release()
            assert told.acquire(timeout=60)
            assert not told.acquire(blocking=False), "it was asked once"
            monkeypatch.setattr(addresses, "TOLD_S", 60.0)
            found.append(session.is_elsewhere())
            monkeypatch.setattr(addresses, "TOLD_S", 0.0)
    assert found == [False, False, False, False, False, True]


@pytest.mark.parametrize("waits", [True, False], ids=["the main thread", "another thread"])
def test_who_takes_signals_does_not_wait_for_name_servers(monkeypatch, waits):
    """Ctrl-C would be heard when the C library has tried all of them: ten seconds for one."""
    asked: list[threading.Thread] = []
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 21))]

    def ask(*_where: object, **_how: object) -> list[tuple[Any, ...]]:
        asked.append(threading.current_thread())
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    if waits:
        assert resolved("a.test", 21) == answer
        assert asked != [threading.main_thread()]
    else:
        thread = threading.Thread(target=resolved, args=("a.test", 21))
        thread.start()
        thread.join()
        assert asked == [thread]


def test_what_name_servers_refuse_is_told_where_it_was_asked(monkeypatch):
    def refuse(*_where: object, **_how: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(socket.gaierror, match="not known"):
        resolved("a.test", 21)


def test_a_machine_without_room_for_another_socket_says_so(monkeypatch):
    def full(*_kind: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    resolve(monkeypatch, [("127.0.0.1", 1)])
    monkeypatch.setattr(socket, "socket", full)
    with pytest.raises(OSError, match="Too many"):
        connected(resolved("a.test", 21), 1.0)
