"""Servers whose answers do not keep step with what they are asked: one too many, one too late, or announced for ever."""

from __future__ import annotations

import asyncio
import contextlib
import io
import select
import time
from collections.abc import Callable

import pytest

from ftpsyncd.errors import FtpsyncdError, ProtocolError, ServerUnavailableError
from ftpsyncd.remote import saying
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import hope
from ftpsyncd.remote.session import Session
from tests.contract.remotes import job, publish
from tests.remote.scripted import QUICK, Act, Connection, Scripted, account


async def swallow(_connection: Connection, _argument: str) -> None:
    pass


class TestOneTooMany:
    @pytest.fixture
    def server(self):
        """The answer that nobody asked for comes first; the last file may not be deleted."""
        script: dict[str, list[str | Act | None]] = {
            "DELE": ["250 Done.\n250 Deleted.\n550 Permission denied.", swallow]
        }
        with Scripted(script) as server:
            server.files.update({"/a": b"a", "/b": b"b"})
            yield server

    def test_none_of_the_answers_is_believed(self, server):
        with account(server)() as session:
            with pytest.raises(ProtocolError, match="not asked for: 550 Permission"):
                session.delete_many(["/a", "/b"])
            assert not session.usable

    def test_the_batch_may_be_to_blame(self, server):
        with account(server)() as session:
            with pytest.raises(ProtocolError):
                session.delete_many(["/a", "/b"])
            assert session.profile.doubts == 1

    def test_a_farewell_is_not_one(self):
        with Scripted(DELE="250 Done.\n421 Time for bed.") as server, account(server)() as session:
            assert session.delete_many(["/a"]) == [None]
            with pytest.raises(ServerUnavailableError, match="bed"):
                session.noop()


class TestALateWordAboutATransfer:
    """It was given up (426), and the server says in the end all the same that it is complete."""

    @pytest.mark.parametrize(
        ("verb", "remove"),
        [
            ("DELE", lambda session: session.delete_many(["/a"])),
            ("RMD", lambda session: session.remove_dir("/a")),
        ],
        ids=["DELE", "RMD"],
    )
    def test_it_does_not_mean_that_something_is_removed(self, verb: str, remove: Callable[[Session], object]):
        with Scripted({verb: "226 Transfer complete."}) as server, account(server)() as session:
            with pytest.raises(ProtocolError, match="226 Transfer complete"):
                remove(session)
            assert not session.usable

    def test_nor_anything_about_what_was_removed_with_it(self):
        script: dict[str, list[str | Act | None]] = {
            "DELE": ["226 Transfer complete.\n550 Permission denied.", swallow]
        }
        with Scripted(script) as server, account(server)() as session, pytest.raises(ProtocolError):
            session.delete_many(["/a", "/b"])


async def announced(connection: Connection, pause_s: float) -> None:
    """Announce an answer for four times as long as is borne, and give it then."""
    until = time.monotonic() + 4 * QUICK.reply_s
    while time.monotonic() < until:
        await connection.send(b"150 Still at it.\r\n")
        await asyncio.sleep(pause_s)


async def fetched(connection: Connection) -> None:
    await connection.say("150 Here it comes.")
    await connection.data()
    await connection.end_data()


async def stored(connection: Connection) -> None:
    await connection.receive()
    await connection.end_data()


@pytest.mark.parametrize("pause_s", [0.2, 0.0], ids=["at a pace", "in a flood"])
@pytest.mark.parametrize(
    ("verb", "begin", "answer", "call"),
    [
        ("GREETING", None, "220 Hello.", lambda _session: None),
        ("PASS", None, "230 Welcome.", lambda _session: None),
        ("NOOP", None, "200 Yes.", lambda session: session.noop()),
        ("DELE", None, "250 Deleted.", lambda session: session.delete_many(["/a"])),
        ("RETR", fetched, "226 Sent.", lambda session: session.fetch("/a", io.BytesIO())),
    ],
    ids=["GREETING", "PASS", "NOOP", "DELE", "RETR"],
)
def test_an_answer_that_is_announced_again_and_again_is_not_awaited_for_ever(verb, begin, answer, call, pause_s):
    async def act(connection: Connection, _argument: str) -> None:
        if begin is not None:
            await begin(connection)
        await announced(connection, pause_s)
        await connection.say(answer)

    def wait(session: Session) -> None:
        try:
            call(session)
        finally:
            assert not session.usable, "the answer would be taken for that to the next command"

    with (
        Scripted({verb: act}, hangs=True) as server,
        pytest.raises(ServerUnavailableError),
        account(server)() as session,
    ):
        wait(session)


@pytest.mark.parametrize("begin", [swallow, lambda connection, _: stored(connection)], ids=["before", "after"])
def test_nor_is_one_to_an_upload(begin):
    async def act(connection: Connection, path: str) -> None:
        await begin(connection, path)
        await announced(connection, 0.2)
        connection.server.files[path] = b"content"
        await connection.say("226 Stored.")

    with Scripted(hangs=True, STOR=act) as server, account(server)() as session:
        (result,) = publish(session, job("/a"))
        assert type(result.error) is ServerUnavailableError
        assert not session.usable


def test_a_few_announcements_are_waited_out():
    async def act(connection: Connection, _argument: str) -> None:
        for _ in range(5):
            await connection.say("150 Still at it.")
        await connection.say("250 Deleted.")

    with Scripted(DELE=act) as server, Account(server.spec())() as session:
        assert session.delete_many(["/a"]) == [None]


def once_more(verb: str, *, late: bool = True) -> Act:
    """A command that is answered twice if it came together with others: the last of them a moment late, or at once."""

    async def act(connection: Connection, argument: str) -> None:
        batches = connection.server.batches
        is_last = batches[-1] == 1 < max(batches[-2:])
        await connection.server.default(connection, f"{verb} {argument}")
        if late and is_last:
            await asyncio.sleep(0.02)
        if is_last if late else batches[-1] > 1:
            await connection.say("200 And again.")

    return act


def used(acc: Account) -> FtpsyncdError | None:
    """What became of a file that is published over a new connection, of which something else is asked then."""
    with acc() as session:
        if session.pipelines:
            session.control.await_answer(session.control.earliest, 0.1)
        (result,) = publish(session, job("/a"))
        if session.pipelines:
            session.control.await_answer(session.control.earliest, 0.1)
        with contextlib.suppress(ServerUnavailableError):
            session.noop()
    return result.error


class TestOneTooManyThatComesLate:
    """It is found when something else is to be said, which has nothing to do with it."""

    @pytest.mark.parametrize("verb", ["OPTS", "MFMT", "RNTO"])
    def test_the_batch_before_is_to_blame(self, verb: str):
        with Scripted({verb: once_more(verb)}) as server:
            acc = account(server)
            errors = [used(acc) for _ in range(5)]
            assert errors[-1] is None
            assert acc.profile.pipelining is False
            assert (acc.profile.epsv, acc.profile.epsv_missed) == (True, 0)
            assert server.files == {"/a": b"content"}

    def test_so_it_is_where_it_is_taken_for_the_answer_to_a_file(self):
        """A file gets its name over each connection, which clears up all other doubts."""
        with Scripted(RNTO=once_more("RNTO", late=False)) as server:
            acc = account(server)
            for _ in range(5):
                with acc() as session, contextlib.suppress(ServerUnavailableError):
                    results = publish(session, *map(job, ("/a", "/b", "/c")))
                    session.noop()
            assert acc.profile.pipelining is False
            assert [result.error for result in results] == [None] * 3
            hope(acc.profile, "pipelining")
            with acc() as session, contextlib.suppress(ServerUnavailableError):
                publish(session, *map(job, ("/a", "/b", "/c")))
                session.noop()
            assert acc.profile.pipelining is True  # that was the first time again

    def test_once_is_an_accident(self):
        with Scripted(OPTS=[once_more("OPTS")]) as server:
            acc = account(server)
            assert isinstance(used(acc), ProtocolError)
            assert used(acc) is None
            assert acc.profile.pipelining is True

    def test_what_ends_the_line_is_a_last_word(self):
        async def dies(connection: Connection, _argument: str) -> None:
            await connection.say("200 Fine.")
            await asyncio.sleep(0.1)
            await connection.say("500 OOPS: child died")
            await connection.hang_up()

        with Scripted(OPTS=dies) as server:
            acc = account(server)
            for _ in range(3):
                with acc() as session:
                    poll = select.poll()
                    poll.register(session.control._sock, select.POLLRDHUP)
                    assert poll.poll(10_000)
                    with pytest.raises(ServerUnavailableError):
                        session.noop()
            assert (acc.profile.answered_twice, acc.profile.pipelining) == (0, True)

    def test_what_comes_much_later_answers_nothing(self, monkeypatch):
        """Twisted says 550 after ten seconds without a data connection."""
        monkeypatch.setattr(saying, "LATE_S", 0.0)
        with Scripted(OPTS=once_more("OPTS")) as server:
            acc = account(server)
            for _ in range(3):
                used(acc)
            assert (acc.profile.answered_twice, acc.profile.pipelining) == (0, True)
