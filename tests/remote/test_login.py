"""Logging in beside one another: a wrong password is told once, and nobody waits for more than that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ftpsyncd.errors import LoginRefusedError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from tests.remote.scripted import Connection, Scripted
from tests.waiting import until

PATIENT = Timeouts(connect_s=60, reply_s=60, close_s=1)
SESSIONS = 4


class Doorkeeper:
    """Says nothing about a password until everybody has told a name."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        self.names = 0
        self.everybody = threading.Event()

    async def user(self, connection: Connection, _name: str) -> None:
        self.names += 1
        await connection.say("331 Password?")

    async def password(self, connection: Connection, _word: str) -> None:
        until_then = connection.server._loop.run_in_executor(None, self.everybody.wait, 60)
        assert await until_then
        await connection.say(self.verdict)


def together(account: Account, keeper: Doorkeeper) -> list[Session | LoginRefusedError]:
    def one() -> Session | LoginRefusedError:
        try:
            return account()
        except LoginRefusedError as error:
            return error

    with ThreadPoolExecutor(SESSIONS) as pool:
        waiting = [pool.submit(one) for _ in range(SESSIONS)]
        until(lambda: keeper.names == SESSIONS, "all have told their names")
        keeper.everybody.set()
        return [each.result(60) for each in waiting]


@pytest.mark.parametrize("count", [1, 2])
def test_a_wrong_password_is_told_once(count):
    keeper = Doorkeeper("530 Login incorrect.")
    with Scripted(USER=keeper.user, PASS=keeper.password) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        for _ in range(count):
            found = together(account, keeper)
            assert [type(each) for each in found] == [LoginRefusedError] * SESSIONS
            assert {str(each) for each in found} == {str(found[0])}
            keeper.names = 0
            keeper.everybody.clear()
        # Whoever comes later tries again: it may have been corrected.
        assert server.verbs().count("PASS") == count


def test_a_right_one_lets_all_in():
    keeper = Doorkeeper("230 Welcome.")
    with Scripted(USER=keeper.user, PASS=keeper.password) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        greeted: list[int] = []
        account.greeted = lambda: greeted.append(1)
        found = together(account, keeper)
        assert server.verbs().count("PASS") == SESSIONS
        assert len(greeted) == SESSIONS
        for session in found:
            assert isinstance(session, Session)
            session.close()


def test_a_refusal_is_told_before_it_counts():
    """A session that begins when it counts would tell the password again: it must find out another way by then."""
    with Scripted(PASS="530 Login incorrect.") as server:
        account = Account(server.spec(), timeouts=PATIENT)
        counted: list[int] = []
        account.refused = lambda _error: counted.append(account.refusals)
        for _ in range(2):
            with pytest.raises(LoginRefusedError):
                account()
        assert counted == [0, 1]
        assert account.refusals == 2
