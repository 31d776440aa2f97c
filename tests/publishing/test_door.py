"""What the workers of one server find out for each other at its door, each alone with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ftpsyncd.errors import (
    ConfigError,
    DataUnreachableError,
    FtpsyncdError,
    InternalError,
    LoginRefusedError,
    NoSocketError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
)
from ftpsyncd.publishing.door import Door, NoSessionError
from ftpsyncd.remote.memory import MemoryServer
from ftpsyncd.remote.port import RemoteSession

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
    ],
    ids=["ended", "without TLS for data"],
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
