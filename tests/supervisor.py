"""systemd's end of the notify socket, for tests of what a service tells it (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd import systemd

Told = Callable[[], list[str]]


@contextmanager
def hung_up() -> Iterator[None]:
    """Leave nothing open afterwards through which a supervisor was told anything."""
    try:
        yield
    finally:
        while systemd._line:
            systemd._line.pop().close()


@contextmanager
def supervised(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Be what a service is started by; yields what returns the messages since the last time."""
    with hung_up(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(directory / "notify"))
        supervisor.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "notify"))

        def read() -> list[str]:
            found = []
            while True:
                try:
                    found.append(supervisor.recv(65536).decode())
                except BlockingIOError:
                    return found

        yield read
