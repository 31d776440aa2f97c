"""Transfers that are refused since there are others, in whatever words: proftpd says its own after those it was given."""

from __future__ import annotations

import io

import pytest

from ftpsyncd.errors import RemoteError, TooManyTransfersError, TransferFailedError
from ftpsyncd.remote.account import Account
from tests.contract.remotes import job, publish
from tests.remote.scripted import Act, Connection, Scripted, account
from tests.servers import running

WORDS = "451 Bitte warten Sie einen Augenblick."


def refusing(*words: str) -> Act:
    async def refuse(connection: Connection, _path: str) -> None:
        # In one piece: else the client may ask for the second before it is there.
        await connection.say("\n".join(words))
        await connection.end_data()

    return refuse


@pytest.mark.real_server
@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("verb", ["STOR", "RETR"])
def test_they_are_known_whatever_the_words_are(verb, tls):
    with running("proftpd", tls=tls, directives=(f'MaxTransfersPerUser {verb} 1 "{WORDS[4:]}"',)) as server:
        (server.home / "a").write_bytes(b"content")
        (server.home / "a").chmod(0o644)
        for _ in range(5):
            with Account(server.spec())() as session:
                if verb == "STOR":
                    (error,) = [result.error for result in publish(session, job("/b"))]
                else:
                    with pytest.raises(RemoteError) as caught:
                        session.fetch("/a", io.BytesIO())
                    error = caught.value
                assert type(error) is TooManyTransfersError
                assert not session.usable


def test_one_word_alone_is_about_the_file():
    with Scripted(STOR=[refusing(WORDS)], RETR=[refusing(WORDS)]) as server, account(server)() as session:
        server.files["/b"] = b"content"
        (error,) = [result.error for result in publish(session, job("/a"))]
        assert type(error) is TransferFailedError
        with pytest.raises(TransferFailedError, match="Bitte warten"):
            session.fetch("/b", io.BytesIO())
        assert [result.error for result in publish(session, job("/c"))] == [None]
        assert server.connections == 1


def test_who_hangs_up_behind_it_has_said_all_there_is_about_the_file():
    async def refuse(connection: Connection, _path: str) -> None:
        await connection.say(WORDS)
        await connection.hang_up()

    with Scripted(STOR=[refuse]) as server, account(server)() as session:
        (error,) = [result.error for result in publish(session, job("/a"))]
        assert type(error) is TransferFailedError
        assert not session.usable


@pytest.mark.parametrize(
    ("words", "error", "connections"),
    [((WORDS,), TransferFailedError, 1), ((WORDS, "451 Too many transfers."), TooManyTransfersError, 2)],
)
def test_where_another_command_was_said_its_answer_comes_next(words: tuple[str, ...], error: type, connections: int):
    with Scripted(GREETING="220 ProFTPD Server ready.", STOR=[refusing(*words)]) as server:
        acc = account(server)
        with acc() as session:
            first, *rest = publish(session, job("/a"), job("/b"))
            assert type(first.error) is error
            assert [result.error for result in rest] == [None] * (2 - connections)
            assert "NOOP" not in server.verbs()
        with acc() as session:
            assert [result.error for result in publish(session, job("/c"))] == [None]


@pytest.mark.parametrize(
    "words",
    [
        ("550 None.",),
        ("451 You already have too many transfers.",),
        # What was begun is none too many.
        ("150 Here it comes.", WORDS),
    ],
)
def test_nothing_is_asked_besides_where_the_answer_tells_all(words: tuple[str, ...]):
    with Scripted(RETR=refusing(*words)) as server, account(server)() as session:
        server.files["/b"] = b"content"
        with pytest.raises(RemoteError):
            session.fetch("/b", io.BytesIO())
        assert "NOOP" not in server.verbs()


@pytest.mark.parametrize("late", [False, True])
def test_two_that_say_nothing_of_it_end_the_connection(*, late: bool):
    """One answer too many: later ones would be taken for those to other commands."""
    with (
        Scripted(RETR=refusing(*[WORDS] * (1 if late else 2)), NOOP=f"{WORDS}\r\n200 Done.") as server,
        account(server)() as session,
    ):
        server.files["/b"] = b"content"
        with pytest.raises(TransferFailedError, match="Bitte warten"):
            session.fetch("/b", io.BytesIO())
        assert not session.usable
        assert server.verbs()[-1] == ("NOOP" if late else "RETR")
