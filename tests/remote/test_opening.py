"""How a data connection comes about: who is let in, and where it goes."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from ftpsyncd.errors import DataUnreachableError, ServerUnavailableError, TransferFailedError
from ftpsyncd.remote.opening import Listener, dial
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.wire import Control, Timeouts


def test_an_address_of_one_link_is_listened_on_with_its_link(monkeypatch):
    asked = []

    def create_server(address, **_how) -> socket.socket:
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_server", create_server)
    for whole, family in [(("fe80::1", 4711, 0, 7), socket.AF_INET6), (("192.0.2.1", 4711), socket.AF_INET)]:
        control: Any = SimpleNamespace(local=whole[0], local_address=whole, family=family)
        Listener(control).close()
    assert asked == [("fe80::1", 0, 0, 7), ("192.0.2.1", 0)]


def test_nobody_but_the_server_opens_a_data_connection() -> None:
    """In active mode whoever knows the port could send or read in its place."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=5))
        listener = Listener(control)
        there = ("127.0.0.1", listener.port)
        try:
            with (
                server.accept()[0],
                socket.create_connection(there, 5, ("127.0.0.2", 0)) as stranger,
                ThreadPoolExecutor(1) as thread,
            ):
                accepted = thread.submit(listener.accept, lambda: None)
                stranger.settimeout(5)
                assert stranger.recv(1) == b"", "it is closed"
                with socket.create_connection(there, 5) as theirs, accepted.result(10) as ours:
                    assert ours.getpeername() == theirs.getsockname()
        finally:
            listener.close()
            control.close()


def test_strangers_that_go_on_coming_are_not_let_in_for_longer_than_the_server_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=0.2))
        listener = Listener(control)
        listener.close()
        until = time.monotonic() + 10
        crowd = Crowd(until)
        monkeypatch.setattr(listener, "_sock", crowd)
        try:
            with server.accept()[0], pytest.raises(DataUnreachableError, match="Time-out while waiting for the server"):
                listener.accept(lambda: None)
            assert time.monotonic() < until
        finally:
            crowd.close()
            control.close()


def test_a_refusal_that_is_there_is_not_waited_past() -> None:
    """Nobody will come to this port any more, though the time for that has hardly begun."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=30))
        listener = Listener(control)
        try:
            with server.accept()[0], pytest.raises(TransferFailedError, match="refused to open"):
                listener.accept(lambda: Reply(550, (b"550 No.",)))
        finally:
            listener.close()
            control.close()


def test_a_control_line_that_ends_is_no_port_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=30))
        listener = Listener(control)
        try:
            server.accept()[0].close()
            with pytest.raises(ServerUnavailableError) as caught:
                listener.accept(lambda: None)
            assert not isinstance(caught.value, DataUnreachableError)
        finally:
            listener.close()
            control.close()


def test_a_port_that_does_not_answer_is_not_tried_for_longer_than_a_connection_may_take() -> None:
    """The kernel alone would try for two minutes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        ExitStack() as waiting,
    ):
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=0.2))
        waiting.callback(control.close)
        for _ in range(3):
            other = waiting.enter_context(socket.socket())
            other.settimeout(0)
            other.connect_ex(full.getsockname())
        with pytest.raises(DataUnreachableError, match="Time-out"):
            dial(control, full.getsockname()[1])


class Crowd:
    """A listening socket at which another stranger is always waiting."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._ready, self._other = socket.socketpair()
        self._other.send(b"x")

    def fileno(self) -> int:
        return self._ready.fileno()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        assert time.monotonic() < self._until, "it goes on without end"
        return socket.socket(), ("127.0.0.2", 1)

    def close(self) -> None:
        self._ready.close()
        self._other.close()
