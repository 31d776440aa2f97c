"""Odd names where the server does not list what was just stored: pure-ftpd shows only so many names of a directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ftpsyncd.errors import NameRefusedError
from ftpsyncd.remote import naming
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import PartlyListedError, RemoteEntry
from ftpsyncd.remote.profile import Oddity
from ftpsyncd.remote.session import Session
from tests.servers import Server, running

pytestmark = [pytest.mark.real_server, pytest.mark.root]
NAMES = {f"{number}.jpg" for number in range(4_000)}
"""So many that a new one is hardly ever among the eight that are shown."""


@pytest.fixture
def server() -> Iterator[Server]:
    with running("pure-ftpd", directives=("-L", "8:3")) as server:
        (server.home / "d").mkdir()
        for name in NAMES:
            (server.home / "d" / name).touch()
        (server.home / "d").chmod(0o777)
        yield server


@pytest.fixture
def session(server: Server) -> Iterator[Session]:
    with Account(server.spec())() as session:
        yield session


def test_a_name_that_is_changed_is_found_out_and_nothing_stays(server: Server, session: Session) -> None:
    """What was made for the trial has another name, which the server does not list there."""
    for _ in range(3):
        with pytest.raises(NameRefusedError, match="under another name: it changes a trailing space"):
            naming.assure(session, "/d/a ")
    assert session.profile.keeps == {Oddity.TRAILING_SPACE: False}
    assert {path.name for path in (server.home / "d").iterdir()} == NAMES


def test_a_name_that_is_kept_may_be_sent(server: Server, session: Session) -> None:
    naming.assure(session, '/d/a"b')
    assert session.profile.keeps == {Oddity.QUOTE: True}
    assert {path.name for path in (server.home / "d").iterdir()} == NAMES


def test_where_no_directory_may_be_made_either_that_is_told(server: Server, session: Session) -> None:
    session.account.dirs_stay = True
    with pytest.raises(NameRefusedError, match="cannot be found out"):
        naming.assure(session, '/d/a"b')
    assert {path.name for path in (server.home / "d").iterdir()} == NAMES


@pytest.mark.parametrize("is_all", [True, False], ids=["all that is listed", "some of what is there"])
def test_a_name_that_is_listed_nowhere_cannot_be_found_out_and_nothing_stays(monkeypatch, *, is_all: bool) -> None:
    """Each try left a directory of our own there, with the name in it."""
    look = Session.list_dir

    def some(session: Session, path: str, *, dated: bool = True) -> list[RemoteEntry]:
        there = look(session, path, dated=dated)
        if path != "/d" or is_all:
            return there
        raise PartlyListedError("The server lists only some.", reply="226 Truncated.", entries=there)

    monkeypatch.setattr(Session, "list_dir", some)
    with running("vsftpd", directives=('hide_file={*"x}',)) as server, Account(server.spec())() as session:
        (server.home / "d").mkdir()
        (server.home / "d").chmod(0o777)
        for _ in range(2):
            with pytest.raises(NameRefusedError, match="cannot be found out"):
                naming.assure(session, '/d/a"b')
        assert list((server.home / "d").iterdir()) == []
