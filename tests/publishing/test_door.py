"""What the workers of one server find out for each other at its door, each alone with it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from ftpsyncd.errors import (
    ConfigError,
    DataUnreachableError,
    FtpsyncdError,
    InternalError,
    LoginRefusedError,
    NoDescriptorError,
    NoSocketError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
)
from ftpsyncd.publishing import door as door_module
from ftpsyncd.publishing.door import Door, NoSessionError
from ftpsyncd.remote.memory import MemoryServer
from ftpsyncd.remote.port import RemoteSession
from tests.waiting import until

CONNECTIONS = 2
DOWN = ServerUnavailableError("It is down.")


class Opened:
    """How often it was told that a connection could be opened after all, and how one is opened."""

    def __init__(self) -> None:
        self.told = 0
        self.tries = 0
        self.error: Exception | None = None
        self.door = Door(self._connect, CONNECTIONS, self._tell)

    def _connect(self) -> RemoteSession:
        self.tries += 1
        if self.error is not None:
            raise self.error
        return MemoryServer().connect()

    @property
    def down(self) -> FtpsyncdError | None:
        return self.door.down

    def _tell(self) -> None:
        self.told += 1


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.mark.parametrize("error", [DOWN, LoginRefusedError("No."), ConfigError("No password.")])
def test_what_is_so_for_all_is_tried_once_until_it_may_be_tried_afresh(opened: Opened, error: FtpsyncdError) -> None:
    opened.error = error
    with pytest.raises(type(error)):
        opened.door.open()
    with pytest.raises(NoSessionError) as told:
        opened.door.open()
    assert told.value.error is error
    assert opened.tries == 1
    opened.error = None
    assert opened.told == opened.door.tries == 0
    opened.door.afresh()
    assert opened.door.tries == 1
    opened.door.open()
    assert opened.down is None
    opened.door.open()
    assert opened.told == 1, "only that it was in doubt is worth telling"


@pytest.mark.parametrize("error", [TooManyConnectionsError("Too many."), NoSocketError("Too many open files.")])
def test_what_is_so_for_one_more_connection_says_nothing_about_others(opened: Opened, error: FtpsyncdError) -> None:
    opened.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            opened.door.open()
    assert opened.tries == 2
    assert opened.down is None


def test_a_server_that_was_not_in_doubt_is_not_told_of(opened: Opened) -> None:
    opened.door.open()
    assert (opened.tries, opened.told) == (1, 0)


def test_what_nobody_reckoned_with_is_told_as_that_for_all(opened: Opened) -> None:
    opened.error = KeyError("x")
    with pytest.raises(InternalError, match="KeyError"):
        opened.door.open()
    assert isinstance(opened.door.down, InternalError)


def test_what_this_machine_lacks_is_told_as_that_and_once_only(opened: Opened) -> None:
    opened.error = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(NoDescriptorError):
        opened.door.open()
    assert opened.down is None
    opened.error = lack = NoSocketError("There is no port left.")
    lack.__cause__ = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(NoSocketError) as told:
        opened.door.open()
    assert told.value is lack


class Waited(threading.Condition):
    """Notes that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.by_now = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.by_now.set()
        return super().wait(timeout)


class Knocking:
    """Workers at a door that opens when it is to; what the server says when one of them has knocked is scripted."""

    def __init__(self) -> None:
        self.knocked: list[str] = []
        self.refusal: FtpsyncdError | None = None
        self.answered = threading.Event()
        self.greets: set[str] = set()
        self.door = Door(self._connect, CONNECTIONS, lambda: None)
        self.door._turn = self.waited = Waited()
        self._threads: list[threading.Thread] = []

    def _connect(self) -> RemoteSession:
        name = threading.current_thread().name
        if name in self.greets:
            self.door.greeted()
        self.knocked.append(name)
        assert self.answered.wait(60)
        if self.refusal is not None:
            raise self.refusal
        return MemoryServer().connect()

    def comes(self, name: str) -> None:
        """One more worker wants a connection."""

        def enter() -> None:
            with suppress(FtpsyncdError, NoSessionError):
                self.door.open()

        self._threads.append(threading.Thread(target=enter, name=name))
        self._threads[-1].start()

    def end(self) -> None:
        self.answered.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def at() -> Iterator[Knocking]:
    made = Knocking()
    yield made
    made.end()


def test_a_dead_server_is_tried_by_one_and_the_others_hear_of_it(at: Knocking) -> None:
    at.refusal = DOWN
    at.comes("first")
    until(lambda: at.knocked, "one tries")
    at.comes("second")
    until(lambda: at.waited.by_now.is_set() or len(at.knocked) > 1, "the other one waits")
    at.end()
    assert at.knocked == ["first"]


def test_all_who_waited_for_a_greeting_connect_beside_each_other(at: Knocking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one after the other's greeting: each costs a round trip or two."""
    monkeypatch.setattr(door_module, "time", SimpleNamespace(monotonic=lambda: 1.0))
    at.greets = {"first"}
    at.comes("first")
    until(lambda: at.knocked, "one tries, and is greeted")
    at.comes("second")
    at.comes("third")
    until(lambda: len(at.knocked) == 3, "nobody waits for another greeting")


def test_a_greeting_of_another_one_does_not_let_in_who_comes_later(
    at: Knocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may have died meanwhile: whether it is there is found out by one again."""
    at.refusal = DOWN
    times = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(door_module, "time", SimpleNamespace(monotonic=lambda: next(times)))
    at.comes("first")
    until(lambda: at.knocked, "one tries")
    at.door.greeted()
    at.comes("second")
    until(lambda: at.waited.by_now.is_set() or len(at.knocked) > 1, "the other one waits")
    at.end()
    assert at.knocked == ["first"]


@pytest.mark.parametrize(("error", "stops"), [(LoginRefusedError("No."), True), (DOWN, False)])
def test_who_is_greeted_goes_on_but_where_a_password_was_refused_meanwhile(
    opened: Opened, error: FtpsyncdError, *, stops: bool
) -> None:
    """Another one may have met a moment in which the server was away: this one has it before him."""
    opened.door.greeted()
    opened.door.down = error
    if stops:
        with pytest.raises(NoSessionError):
            opened.door.greeted()
    else:
        opened.door.greeted()


def test_a_refused_password_is_told_by_nobody_else(opened: Opened) -> None:
    error = LoginRefusedError("No.")
    opened.door.refused(error)
    for ask in (opened.door.greeted, opened.door.open):
        with pytest.raises(NoSessionError) as told:
            ask()
        assert told.value.error is error
    assert opened.tries == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DOWN, lambda error: error is DOWN),
        (
            TlsError("No data under TLS.", reply="534 No.", remedy="Ask."),
            lambda error: (
                (type(error), error.message, error.reply, error.remedy)
                == (DataUnreachableError, "No data under TLS.", "534 No.", "Ask.")
            ),
        ),
        (
            LoginRefusedError("Not now.", reply="530 No.", remedy="Ask."),
            lambda error: (
                (type(error), error.message, error.reply, error.remedy)
                == (ServerUnavailableError, "Not now.", "530 No.", "Ask.")
            ),
        ),
    ],
    ids=["ended", "without TLS for data", "without a login"],
)
def test_one_that_lets_us_in_again_and_again_and_answers_nothing_is_down(
    opened: Opened, error: FtpsyncdError, told: Callable[[object], bool]
) -> None:
    door = opened.door
    for _ in range(2 * CONNECTIONS):
        door.ended(error)
    assert (door.is_mute, opened.down) == (False, None)
    door.answered()
    for _ in range(2 * CONNECTIONS):
        door.ended(error)
    assert (door.is_mute, opened.down) == (False, None)
    door.ended(error)
    assert door.is_mute
    assert told(opened.down)
    door.answered()
    assert not door.is_mute
