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
        for each in words:
            await connection.say(each)
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


def test_two_that_say_nothing_of_it_end_the_connection():
    """One answer too many: later ones would be taken for those to other commands."""
    with Scripted(RETR=refusing(WORDS, WORDS)) as server, account(server)() as session:
        server.files["/b"] = b"content"
        with pytest.raises(TransferFailedError, match="Bitte warten"):
            session.fetch("/b", io.BytesIO())
        assert not session.usable
