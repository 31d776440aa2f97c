"""A host of several addresses is reached as soon as one of them is there, and nothing of the others stays."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.errors import ServerUnavailableError
from ftpsyncd.remote import addresses
from ftpsyncd.remote.addresses import Address, Known, connected
from ftpsyncd.remote.wire import Timeouts
from tests.remote.scripted import Scripted, account, silence

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
    with connected("a.test", 21, 30.0) as sock:
        assert sock.getpeername() == slow


def test_nothing_is_left_of_those_that_lose(stack, monkeypatch):
    monkeypatch.setattr(addresses, "MOMENT_S", 0.02)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    resolve(monkeypatch, [deaf(stack, "127.0.0.2"), listener.getsockname()])
    before = open_descriptors()
    with connected("a.test", 21, 30.0):
        assert len(open_descriptors()) == len(before) + 1
    assert open_descriptors() == before
    resolve(monkeypatch, [deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3")])
    before = open_descriptors()
    with pytest.raises(TimeoutError):
        connected("a.test", 21, 0.1)
    assert open_descriptors() == before


def test_one_that_was_reached_before_has_a_head_start(stack, monkeypatch, tried):
    """Else each connection over a long line would be two, and servers count."""
    monkeypatch.setattr(addresses, "MOMENT_S", 0.0)
    slow, other = deaf(stack, "127.0.0.2"), deaf(stack, "127.0.0.3")
    resolve(monkeypatch, [other, slow])
    tried.clear()
    with pytest.raises(TimeoutError):
        connected("a.test", 21, 0.1, Known(slow))
    assert list(tried) == [slow, other]
    assert tried[other] - tried[slow] >= 0.1, "only when that had failed"


def test_the_failure_that_is_told_is_of_an_address_that_counts(stack, monkeypatch):
    dead = refusing(stack)
    for found, known in (([NOWHERE, dead], Known()), ([dead, NOWHERE], Known(dead))):
        resolve(monkeypatch, found)
        with pytest.raises(ConnectionRefusedError):
            connected("a.test", 21, 5.0, known)


def test_one_where_nothing_is_said_is_tried_after_the_others(stack, monkeypatch):
    """As where one of several machines hangs: its kernel takes the connection."""
    mute = [stack.enter_context(Scripted(GREETING=silence)) for _ in range(2)]
    server = stack.enter_context(Scripted())
    resolve(monkeypatch, [("127.0.0.1", each.port) for each in (*mute, server)])
    acc = account(server, None, PATIENT)
    for _ in mute:
        with pytest.raises(ServerUnavailableError):
            acc()
    acc().close()
    assert server.connections == 1


def test_a_machine_without_room_for_another_socket_says_so(monkeypatch):
    def full(*_kind: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    resolve(monkeypatch, [("127.0.0.1", 1)])
    monkeypatch.setattr(socket, "socket", full)
    with pytest.raises(OSError, match="Too many"):
        connected("a.test", 21, 1.0)
