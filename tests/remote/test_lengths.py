"""Commands that are longer than a server takes: found out without a wrong answer, and told as what they are."""

from __future__ import annotations

import asyncio

import pytest

from ftpsyncd.errors import NameNotSendableError, Retry, ServerUnavailableError
from ftpsyncd.remote import lengths
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper, hope, kept, refusals
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from tests.contract.remotes import job, publish
from tests.remote.scripted import PATIENT, Connection, Scripted
from tests.servers import KINDS, running

LIMIT = 1500


def path(size: int) -> str:
    """A path of so many bytes."""
    return ("/" + "/".join(["d" * 99] * (size // 100 + 1)))[:size].rstrip("/").ljust(size, "x")


class Short(Scripted):
    """Takes no line of more than `LIMIT` bytes."""

    def __init__(self, way: str) -> None:
        self.way = way
        super().__init__(hangs=way == "proftpd")

    async def _act(self, connection: Connection, verb: str, argument: str) -> None:
        if len(verb) + 1 + len(argument) <= LIMIT:
            await super()._act(connection, verb, argument)
            return
        match self.way:
            case "vsftpd":
                await connection.say("500 Input line too long.")
                await connection.hang_up()
            case "pure-ftpd":
                await connection.say("421 Line too long")
                await connection.hang_up()
            case "pyftpdlib":
                await connection.say('500 Command too long.\n500 Command "" not understood.')
            case "another":
                await connection.say("501 Pathname is too long")
            case "inetutils":
                await connection.say(f"500 '{verb} {argument[:99]}': command not understood.")
                verb, _, argument = f"{verb} {argument}"[LIMIT:].partition(" ")
                self.log.append(verb)
                await super()._act(connection, verb, argument)
            case _:  # proftpd
                pass


WAYS = ["vsftpd", "pure-ftpd", "pyftpdlib", "proftpd", "another", "inetutils"]


def account(server: Scripted, profile: Profile | None = None) -> Account:
    return Account(server.spec(), profile=profile, timeouts=PATIENT._replace(reply_s=1) if server.hangs else PATIENT)


def found_out(session: Session, what: str, told: str = r"too long|does not answer") -> None:
    with pytest.raises(ServerUnavailableError, match=told) as error:
        session.stat(what)
    assert not session.usable
    assert "network" in error.value.remedy  # who meets it tries again, and is told below


@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_out_once_and_refused_before_anything_is_said_from_then_on(way):
    with Short(way) as server:
        acc = account(server)
        with acc() as session:
            found_out(session, path(LIMIT), "it does not answer" if way == "proftpd" else "too long")
        assert LIMIT < acc.profile.too_long <= LIMIT + 10
        assert acc.profile.size
        assert acc.profile.pipelining
        with acc() as session:
            server.log.clear()
            for call in (session.stat, session.list_dir, session.make_dir, session.remove_dir):
                with pytest.raises(NameNotSendableError, match="The path has 1,500 bytes") as error:
                    call(path(LIMIT))
                assert error.value.retry is Retry.NEVER
            assert server.log == []
            assert session.stat("/short") is None


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_not_sent_before_it_is_known(way):
    with Short(way) as server:
        acc = account(server)
        acc.ahead = True
        long = path(LIMIT - 30)
        with acc() as session:
            first, *others = publish(session, job("/a"), job(long), job("/b"))
            assert first.error is None
            assert isinstance(others[0].error, ServerUnavailableError)
        with acc() as session:
            refused, went = publish(session, job(long), job("/b"))
            assert isinstance(refused.error, NameNotSendableError)
            assert went.error is None
        assert sorted(server.files) == ["/a", "/b"]
        assert not any(line.startswith("STOR /d") for line in server.log)


def test_no_name_becomes_a_command_where_what_is_too_long_is_taken_for_two():
    with Short("inetutils") as server:
        long = path(LIMIT - len("SIZE ")) + "DELE /a"
        with account(server)() as session:
            there, gone = publish(session, job("/a"), job(long))
            assert there.error is None
            assert isinstance(gone.error, ServerUnavailableError)
        assert "DELE" not in server.log
        assert sorted(server.files) == ["/a"]


def test_a_long_path_that_is_taken_is_said_alone_once():
    with Scripted() as server, account(server)() as session:
        long = path(1200)
        results = publish(session, job(long), job(long[:-1] + "y"))
        assert [result.error for result in results] == [None, None]
        alone = [batch for line, batch in zip(server.log, server.batches, strict=True) if "xxxxxxxx" in line]
        assert alone == [1]
        assert session.profile.taken == 1200 + lengths.SPARE
        # What is shorter than all that is in one write again.
        server.batches.clear()
        session.stat_many([long, long[:-1] + "y"])
        assert max(server.batches) > 1
        assert "NOOP" not in server.verbs()


def test_what_was_taken_is_ended_whatever_another_session_learns():
    with Scripted() as server, account(server)() as session:
        long = path(1200)
        (result,) = publish(session, job(long))
        assert result.error is None
        session.profile.too_long = 1200
        assert session.stat(long) is not None
        with pytest.raises(NameNotSendableError):
            session.stat(path(1300))


def test_a_path_is_refused_also_where_only_a_temporary_name_beside_it_would_be_too_long():
    with Scripted() as server, account(server, Profile(too_long=LIMIT))() as session:
        assert session.stat(path(LIMIT - lengths.SPARE - 1)) is None
        server.log.clear()
        with pytest.raises(NameNotSendableError):
            session.stat(path(LIMIT - lengths.SPARE))
        assert server.log == []


def test_the_shortest_that_was_refused_counts():
    with Scripted() as server, account(server)() as session:
        for size, shortest in ((1600, 1600), (1400, 1400), (1500, 1400)):
            assert lengths.learns(session, b"x" * size, "500 Line too long")
            assert session.profile.too_long == shortest


def test_of_what_every_server_takes_nothing_is_learned():
    with Scripted() as server, account(server)() as session:
        assert not lengths.learns(session, b"x" * lengths.LONG, "500 Line too long")
        assert session.profile.too_long == 0
        assert session.usable


def test_one_that_is_slow_is_not_taken_for_one_that_passes_it_over():
    async def slow(c: Connection, what: str) -> None:
        await asyncio.sleep(0.5)
        await c.server.default(c, f"SIZE {what}")

    with Scripted(SIZE=slow, FEAT="500 No.") as server:
        acc = Account(server.spec(), timeouts=PATIENT)
        with acc() as session:
            assert said(session, b"SIZE " + path(1200).encode()).startswith("550")
        assert acc.profile.too_long == 0


@pytest.mark.parametrize(("words", "asks"), [("500 What?", 1), ("550 None.", 0)])
def test_whether_it_was_taken_for_two_is_asked_once_where_it_was_not_understood(words: str, asks: int):
    with Scripted(SIZE=words) as server, account(server)() as session:
        for _ in range(2):
            assert said(session, b"SIZE " + path(1200).encode()) == words
        assert server.verbs().count("NOOP") == asks
        assert session.profile.taken == len(b"SIZE ") + 1200


@pytest.mark.parametrize("words", ["421 You were idle too long.", "500 What?", "550 File name too long"])
def test_other_words_say_nothing_about_commands(words):
    with Scripted(SIZE=words, MDTM=words) as server:
        acc = account(server)
        with acc() as session:
            assert said(session, b"SIZE " + path(1200).encode()) == words
        assert acc.profile.too_long == 0


def said(session: Session, command: bytes) -> str:
    try:
        return session.exchange([command])[0].text
    except ServerUnavailableError as error:
        return error.reply


def test_a_server_that_hangs_is_not_taken_for_one_that_passes_it_over():
    async def hang(c: Connection, _a: str) -> None:
        await c.silence()

    with Scripted(SIZE=hang, FEAT="500 No.", hangs=True) as server:
        acc = account(server)
        with acc() as session, pytest.raises(ServerUnavailableError, match="Time-out"):
            session.stat(path(1200))
        assert acc.profile.too_long == 0


def test_it_is_kept_for_a_while():
    profile, again = Profile(too_long=2048, taken=1800), Profile()
    Keeper(again, kept(profile, 1e9), 1e9)
    assert (again.too_long, again.taken) == (2048, 0)
    assert "too_long" in refusals(again)
    hope(again, "too_long")
    assert again.too_long == 0


@pytest.mark.real_server
@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("kind", KINDS)
def test_real_servers(kind: str, tls: str):
    with running(kind, tls=tls) as server:
        acc = Account(server.spec(), timeouts=Timeouts(reply_s=3))
        with acc() as session:
            found_out(session, path(4500))
        assert acc.profile.size
        with acc() as session:
            results = dict(session.make_dir_many([path(4500), "/short"]))
            assert isinstance(results[0], NameNotSendableError)
            assert results[1] is True
            (result,) = publish(session, job("/short/a"))
            assert result.error is None


@pytest.mark.real_server
@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_a_server_that_takes_short_commands_only(tls: str):
    with running("proftpd", tls=tls, directives=("CommandBufferSize 512",)) as server:
        acc = Account(server.spec(), timeouts=Timeouts(reply_s=3))
        with acc() as session:
            found_out(session, path(600))
        assert acc.profile.pipelining
        with acc() as session:
            long, short, longest = publish(session, job(path(600)), job("/a"), job(f"/{'b' * 150}"))
            assert isinstance(long.error, NameNotSendableError)
            assert (short.error, longest.error) == (None, None)
