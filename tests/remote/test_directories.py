"""Directories that somebody else makes or removes at the same moment."""

from __future__ import annotations

import pytest

from ftpsyncd.errors import NameRefusedError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from tests.remote.scripted import Connection, Scripted

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


@pytest.mark.parametrize("way", WAYS)
def test_where_a_file_has_its_name_there_is_none(way):
    with Scripted(MKD="550 File exists.") as server, session_of(server) as session:
        server.files["/d"] = b""
        try:
            verdict = WAYS[way](session)
        except NameRefusedError as error:
            verdict = error
        assert str(verdict) == "'/d' is at the server already and is no directory: 550 File exists."
        assert session.usable


def session_of(server: Scripted) -> Session:
    return Account(server.spec(), timeouts=QUICK)()
