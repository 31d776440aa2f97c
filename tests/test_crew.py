"""Workers that hang are noticed; workers that work, or wait for a disk, are left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ftpsyncd import crew as crew_module
from ftpsyncd.crew import STUCK_S, Crew
from ftpsyncd.errors import ServerUnavailableError
from ftpsyncd.model import Outcome, Probe
from ftpsyncd.publish import Folder
from ftpsyncd.remote.port import RemoteSession
from tests.waiting import until


class Gate:
    """A server whose greeting never comes, until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.outcomes: list[Outcome] = []

    def connect(self) -> RemoteSession:
        self.opened.wait()
        raise ServerUnavailableError("gone")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def crew(gate: Gate) -> Iterator[Crew]:
    folders: dict[str, Folder] = {}
    made = Crew("web", gate.connect, 2, folders.__getitem__, gate.outcomes.append)
    yield made
    gate.opened.set()
    assert made.stop(10)


def later(passed_s: float) -> float:
    return time.monotonic() + passed_s


def test_who_has_nothing_to_do_does_not_hang(crew: Crew) -> None:
    assert not crew.stuck(later(STUCK_S + 1))


def test_a_worker_that_shows_no_sign_hangs_until_it_shows_one(crew: Crew, gate: Gate) -> None:
    crew.hand(Probe("web"))
    until(lambda: crew.stuck(later(STUCK_S + 1)), "the worker has begun")
    assert not crew.stuck(later(STUCK_S / 2))
    gate.opened.set()
    until(lambda: gate.outcomes, "the outcome")
    until(lambda: not crew.stuck(later(STUCK_S + 1)), "it works again")


def test_a_worker_that_waits_for_a_disk_is_not_helped_by_a_restart(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    crew.hand(Probe("web"))
    until(lambda: crew.stuck(later(STUCK_S + 1)), "the worker has begun")
    monkeypatch.setattr(crew_module, "_waits_for_disk", lambda _thread: True)
    assert not crew.stuck(later(STUCK_S + 1))
