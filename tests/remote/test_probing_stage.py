"""The files of ours that a server is measured with: put there once it answers in step, and gone again, or told of."""

from __future__ import annotations

import time

import pytest

from ftpsyncd.errors import RemoteError
from ftpsyncd.inspection.stage import Stage
from tests.remote.scripted import Act, Connection, Scripted, account


async def hang_up(connection: Connection, _argument: str) -> None:
    await connection.hang_up()


async def delete_no_directory(connection: Connection, path: str) -> None:
    if path in connection.server.dirs:
        await connection.say("550 It is a directory.")
        return
    known = connection.server.files.pop(path, None) is not None
    await connection.say("250 Gone." if known else "550 No such file.")


@pytest.mark.parametrize(
    ("directory", "beside"), [("/", "/"), ("/made", "/made/"), ("/made/", "/made/"), ("made/for/", "made/for/")]
)
def test_names_have_one_slash(directory: str, beside: str) -> None:
    with Scripted() as server:
        stage = Stage(account(server), directory)
        assert stage.path("x").startswith(f"{beside}x.")
        assert stage.path("x") != stage.path()


@pytest.mark.parametrize("answer", ["215 UNIX Type: L8", "500 What?", "502 Not here."])
def test_a_server_that_answers_once_to_what_begins_the_session_is_in_step(answer: str) -> None:
    with Scripted(SYST=answer) as server:
        stage = Stage(account(server), "/")
        assert stage.usable() is stage.usable()
        assert stage.account.profile.pipelining
        assert server.connections == 1
        stage.clean()


@pytest.mark.parametrize("answer", ["200 Type is I.", "200 Type is I.\r\n215 UNIX Type: L8", "not a reply"])
def test_one_that_answers_once_too_often_is_spoken_to_in_another_session_one_command_at_a_time(answer: str) -> None:
    with Scripted(SYST=answer) as server:
        stage = Stage(account(server), "/")
        session = stage.usable()
        assert session.usable
        assert not stage.account.profile.pipelining
        session.abandon()
        stage.usable()
        assert server.connections == 3
        assert server.verbs().count("SYST") == 1
        stage.clean()


def test_all_is_removed_though_the_line_ends_over_it() -> None:
    with Scripted(RMD=[hang_up], DELE=delete_no_directory) as server:
        stage = Stage(account(server), "/made/for/this")
        stage.prepare()
        assert server.dirs == {"/", "/made", "/made/for", "/made/for/this"}
        stage.clean()
        assert (server.files, server.dirs, stage.left) == ({}, {"/"}, [])


def test_what_the_server_does_not_remove_is_told_once() -> None:
    with Scripted(DELE="550 No.", RMD="550 No.") as server:
        stage = Stage(account(server), "/made/for")
        stage.prepare()
        stage.account.dirs_stay = True
        stage.clean()
        assert stage.left == [stage.path(), "/made/for", "/made"]


def listing(*lines: str) -> Act:
    """What is listed: the files that there are, and some lines besides."""

    async def tell(connection: Connection, _path: str) -> None:
        names = [path.rpartition("/")[2] for path in connection.server.files]
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        for line in (*(f"type=file;size=1; {name}" for name in names), *lines):
            writer.write(f"{line}\r\n".encode())
        await writer.drain()
        await connection.end_data()
        await connection.say("226 That was all.")

    return tell


@pytest.mark.parametrize("lines", [(), ("no fact at all",)], ids=["all is read", "some is not"])
@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("stay", [True, False])
def test_what_has_other_names_there_is_known_by_what_is_in_each(
    lines: tuple[str, ...], *, refused: bool, stay: bool
) -> None:
    """Looked for where something stays in any case, or cannot be removed since it is no directory."""
    dele = "550 No." if refused else "250 Gone."
    with Scripted(FEAT="211-F\r\n MLSD\r\n211 End", MLSD=listing(*lines), DELE=dele) as server:
        stage = Stage(account(server), "/")
        stage.prepare()
        stage.tried += ["TRIED.01234567.filepart", "without"]
        server.files |= {"/tried.01234567.filepart": b"", "/theirs.0123abcd.filepart": b"", "/without": b""}
        stage.account.dirs_stay = stay
        stage.clean()
        assert stage.left == ([stage.path(), "/tried.01234567.filepart"] if refused or stay else [])


def test_what_may_be_there_is_told_where_there_is_no_connection_any_more() -> None:
    with Scripted() as server:
        stage = Stage(account(server), "/made/for")
        stage.prepare()
        stage.account.profile.scratch = {"RMD /made/for/A": time.monotonic(), f"DELE {stage.path()}": time.monotonic()}
        stage.broken_off()
        server.script["GREETING"] = "421 Closed."
        stage.clean()
        assert stage.failed
        assert stage.left == [stage.path(), stage.path("ftpsyncd-2"), "/made/for/A", "/made/for", "/made"]


def test_nothing_is_removed_where_there_was_no_connection() -> None:
    with Scripted(GREETING="421 Closed.") as server:
        stage = Stage(account(server), "/")
        with pytest.raises(RemoteError):
            stage.prepare()
        stage.clean()
        assert (stage.left, server.connections) == ([], 1)
