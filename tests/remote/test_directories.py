"""Directories that somebody else makes or removes at the same moment."""

from __future__ import annotations

import pytest

from ftpsyncd.errors import NameRefusedError, RemoteError
from ftpsyncd.remote import connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Oddity
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from tests.remote.scripted import Connection, Scripted
from tests.servers import KINDS, available, running

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=1)
WAYS = {
    "one": lambda session: session.make_dir("/d"),
    "with its parents": lambda session: session.make_dirs("/d"),
    "several": lambda session: dict(session.make_dir_many(["/a", "/d"]))[1],
}


@pytest.mark.parametrize("way", WAYS)
def test_one_that_is_removed_between_two_answers_is_made(way):
    async def just_removed(connection: Connection, argument: str) -> None:
        if argument == "/d" and "MKD /d" not in server.log[:-1]:
            await connection.say("550 File exists.")
            return
        server.dirs.add(argument)
        await connection.say(f'257 "{argument}" made.')

    with Scripted(MKD=just_removed) as server, session_of(server) as session:
        assert WAYS[way](session) is True
        assert "/d" in server.dirs


@pytest.mark.parametrize("reply", ["550 File exists.", "550 Create directory operation failed."])
@pytest.mark.parametrize("way", WAYS)
def test_where_a_file_has_its_name_there_is_none(way, reply: str):
    """vsftpd says the second whatever the reason: rights were told of that had nothing to do with it."""
    with Scripted(MKD=reply) as server, session_of(server) as session:
        server.files["/d"] = b""
        try:
            verdict = WAYS[way](session)
        except NameRefusedError as error:
            verdict = error
        assert isinstance(verdict, NameRefusedError)
        assert str(verdict) == f"'/d' is at the server already and is no directory: {reply}"
        assert "permissions" not in verdict.remedy
        assert session.usable


@pytest.mark.parametrize("reply", ["550 Not allowed.", "451 file system error"])
@pytest.mark.parametrize("holds", [True, False])
def test_one_that_cannot_be_removed_is_looked_into(reply: str, holds: bool):  # noqa: FBT001
    """aioftp says 451 for whatever its disk refuses."""

    async def lists(connection: Connection, _argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write(b"-rw-r--r-- 1 a b 5 Jan  1  2020 f\r\n" * holds)
        await connection.end_data()
        await connection.say("226 Done.")

    with Scripted(RMD=reply, LIST=lists) as server, session_of(server) as session:
        server.dirs.add("/d")
        if holds:
            assert session.remove_dir("/d") is False
        else:
            with pytest.raises(RemoteError, match=reply):
                session.remove_dir("/d")
        assert session.usable
        server.dirs.remove("/d")
        assert session.remove_dir("/d") is True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.real_server
def test_of_a_chain_that_one_above_keeps_from_being_made_that_one_is_told(kind):
    """It was said that the last one "is not there", and parked so, while nothing may be made at the top."""
    if not available(kind):
        pytest.skip(f"no {kind}")
    with running(kind) as server, connect(server.spec()) as ftp:
        closed = server.home / "closed"
        if kind == "pyftpdlib":
            closed.write_bytes(b"")
        else:
            closed.mkdir()
        for path in ("/closed/a/b/c", "/closed/a"):
            with pytest.raises(NameRefusedError) as caught:
                ftp.make_dirs(path)
            first = "/closed" if kind == "pyftpdlib" else "/closed/a"
            assert f"'{first}'" in str(caught.value)
            assert "/b" not in str(caught.value)
        assert ftp.session.usable


def session_of(server: Scripted) -> Session:
    return Account(server.spec(), timeouts=QUICK)()


def test_of_several_one_whose_name_the_server_would_change_is_not_made():
    with Scripted() as server, session_of(server) as session:
        session.profile.keeps[Oddity.TRAILING_SPACE] = False
        verdicts = dict(session.make_dir_many(["/a ", "/b"]))
        assert isinstance(verdicts[0], NameRefusedError)
        assert verdicts[1] is True
        assert [line for line in server.log if line.startswith("MKD")] == ["MKD /b"]
