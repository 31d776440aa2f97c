"""Renames that are refused, or answered strangely: what stood under the new name, and what is believed of the answer."""

from __future__ import annotations

import time

import pytest

from ftpsyncd.core import names
from ftpsyncd.errors import (
    FtpsyncdError,
    NameRefusedError,
    NotFoundError,
    ProtocolError,
    ServerFullError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.remote import renaming
from tests.contract.remotes import job, publish
from tests.remote.scripted import Act, Connection, Scripted, account, hang_up
from tests.remote.test_misbehaving import IN_USE, errors_of

TEMPORARY = job("/a").temporary
DATE = "20200913122640"
"""That of a `job`."""


def careful(words: str) -> Act:
    """It replaces nothing."""

    async def refuse(connection: Connection, path: str) -> None:
        if path in connection.server.files:
            await connection.say(words)
        else:
            await connection.server.default(connection, f"RNTO {path}")

    return refuse


def refusing(*paths: str) -> Act:
    """Nothing may be renamed to these."""

    async def refuse(connection: Connection, path: str) -> None:
        if path in paths:
            await connection.say("550 Permission denied.")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    return refuse


@pytest.mark.parametrize("words", ["550 File exists.", "450 Not now.", "451 Local error."])
def test_what_looks_like_the_new_version_is_not_taken_for_it_while_that_waits_for_its_name(words: str):
    """Size and date are the same, as those of a picture that was edited with the date kept."""
    with Scripted(RNTO=careful(words)) as server, account(server)() as session:
        server.files["/a"], server.dates["/a"] = b"earlier", DATE
        (result,) = publish(session, job("/a"))
        assert (result.error, result.left) == (None, "")
        assert server.files == {"/a": b"content"}
        assert session.displaced is None
        # How it is done here is known from now on.
        del server.log[:]
        assert errors_of(publish(session, job("/a", b"another"))) == [None]
        assert server.files == {"/a": b"another"}
        assert server.verbs().count("RNTO") == 1


def test_what_is_published_is_not_touched_where_there_is_no_room_for_a_rename():
    with Scripted(RNTO="452 No space left.") as server, account(server)() as session:
        server.files["/a"] = b"earlier"
        assert errors_of(publish(session, job("/a"))) == [ServerFullError]
        assert "RNFR /a" not in server.log
        assert server.files == {"/a": b"earlier"}


@pytest.mark.parametrize("refused", [("/A",), ("/A", "/a")])
def test_a_file_that_may_have_neither_name_of_two_cases_is_told_of(refused: tuple[str, ...]):
    """To the server both are one name, which is in its own way."""

    async def size(connection: Connection, path: str) -> None:
        await connection.server.default(connection, f"SIZE {path.lower()}")

    with Scripted(RNTO=refusing(*refused), SIZE=size) as server, account(server)() as session:
        server.files["/a"] = b"content"
        with pytest.raises(NameRefusedError) as caught:
            session.rename("/a", "/A")
        assert list(server.files) == ([names.aside("/A")] if "/a" in refused else ["/a"])
        assert caught.value.aside == (names.aside("/A") if "/a" in refused else "")


@pytest.mark.parametrize("left", [None, b"cont"], ids=["nothing", "a part"])
def test_a_strange_yes_is_believed_of_a_whole_file_only(left: bytes | None):
    async def lose(connection: Connection, path: str) -> None:
        del connection.server.files[connection.renaming], connection.server.dates[connection.renaming]
        if left is not None:
            connection.server.files[path] = left
        await connection.say("200 Fine.")

    with Scripted(RNTO=lose) as server, account(server)() as session:
        assert errors_of(publish(session, job("/a"), job("/b"))) == [ProtocolError] * 2
        assert session.usable


def test_nor_is_it_where_the_line_ends_before_anybody_can_look():
    with Scripted(RNTO="200 Fine.") as server, account(server)() as session:

        async def look(connection: Connection, _path: str) -> None:
            server.script["SIZE"] = hang_up
            await connection.say("213 7")

        server.script["SIZE"] = look
        assert errors_of(publish(session, job("/a"))) == [ServerUnavailableError]
        assert server.files == {TEMPORARY: b"content"}


def test_what_is_in_use_is_given_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(renaming, "WAITS_S", (0.3, 0.3))

    async def scanned(connection: Connection, path: str) -> None:
        began.append(time.monotonic())
        if began[-1] - began[0] < 0.25:
            await connection.say(IN_USE)
        else:
            await connection.server.default(connection, f"RNTO {path}")

    began: list[float] = []
    with Scripted(RNTO=scanned) as server, account(server)() as session:
        assert errors_of(publish(session, job("/a"))) == [None]


@pytest.mark.parametrize(
    ("words", "there", "error"),
    [
        ("550 RNFR command failed.", False, NotFoundError),
        ("550 RNFR command failed.", True, NameRefusedError),
        ("550 Permission denied.", False, NameRefusedError),
        ("450 Not now.", False, TransferFailedError),
    ],
)
def test_whether_what_may_not_be_renamed_is_there_is_told_as_far_as_it_shows(
    words: str, error: type[FtpsyncdError], *, there: bool
):
    """vsftpd has the same words for both."""
    with Scripted(RNFR=words) as server, account(server)() as session:
        server.files |= {"/a": b"content"} if there else {}
        with pytest.raises(error) as caught:
            session.rename("/a", "/b")
        assert type(caught.value) is error


def test_nor_is_what_nobody_may_see_told_as_gone():
    """proftpd and pure-ftpd say so of whatever is in a directory that nobody is let into."""
    with Scripted(CWD="550 Permission denied.") as server, account(server)() as session:
        with pytest.raises(NameRefusedError) as caught:
            session.rename("/closed/a", "/b")
        assert not isinstance(caught.value, NotFoundError)
        assert caught.value.reply == "550 No such file."
