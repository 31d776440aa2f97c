"""Servers that end the session where a name is said that is not UTF-8, as aioftp's: found out, and got along with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ftpsyncd.errors import NameNotSendableError, ServerUnavailableError
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import refusals
from ftpsyncd.remote.profile import Profile
from tests.contract.remotes import job, publish
from tests.remote.scripted import PATIENT, Connection, Hangup, Scripted

BAD, WELL = "/latin-1 \udce9.jpg", "/é.jpg"


class Decoding(Scripted):
    """Decodes what it reads as UTF-8, and bears no other."""

    async def default(self, connection: Connection, line: str) -> None:
        try:
            line.encode("latin-1").decode()
        except UnicodeDecodeError:
            raise Hangup from None
        await super().default(connection, line)

    async def do_list(self, c: Connection, _a: str) -> str:
        await c.say("150 Here it comes.")
        _, writer = await c.data()
        for path in (*self.files, *self.dirs - {"/"}):
            directory, _, name = path.rpartition("/")
            if (directory or "/") == c.directory:
                kind = "d" if path in self.dirs else "-"
                writer.write(f"{kind}rw-r--r-- 1 a b 512 Jan  1  2020 {name}\r\n".encode("latin-1"))
        await writer.drain()
        await c.end_data()
        return "226 Done."


@pytest.fixture
def decoding() -> Iterator[Decoding]:
    with Decoding() as server:
        yield server


def account(server: Scripted, profile: Profile | None = None) -> Account:
    return Account(server.spec(), profile=profile, timeouts=PATIENT)


def test_after_two_sessions_the_file_is_refused_and_all_others_go_on(decoding):
    acc = account(decoding)
    for _ in range(2):
        with acc() as session, pytest.raises(ServerUnavailableError):
            session.stat_many(["/a", BAD, "/b"])
    assert refusals(acc.profile) == {"bytes_borne"}
    with acc() as session:
        results = publish(session, job("/a"), job(BAD), job(WELL))
        assert [type(result.error) for result in results] == [type(None), NameNotSendableError, type(None)]
        assert isinstance(session.delete_many([BAD])[0], NameNotSendableError)
        assert session.usable
    assert acc.profile.pipelining


def test_such_names_are_said_alone_until_one_was_answered():
    with Scripted() as server, account(server)() as session:
        session.stat_many(["/a", BAD, "/b", BAD, "/c"])
        assert session.profile.bytes_borne
        first, *others = (size for size, line in zip(server.batches, server.log, strict=True) if not line.isascii())
        assert first == 1
        assert max(others) > 1


def test_a_line_that_breaks_under_other_names_is_not_taken_for_it(decoding):
    decoding.script["SIZE"] = [hang_up, hang_up]
    acc = account(decoding)
    for _ in range(2):
        with acc() as session, pytest.raises(ServerUnavailableError):
            session.stat_many([WELL])
    assert acc.profile.bytes_borne is None


async def hang_up(_connection: Connection, _argument: str) -> None:
    raise Hangup


def test_probe_tells_it_and_leaves_nothing(decoding):
    acc = account(decoding)
    measures = {measure.field: measure for measure in Probing(acc, "/made/for/this").run()}
    assert "refuses bytes that are not UTF-8" in measures["names"].value, measures["names"].meaning
    assert acc.profile.bytes_borne is False
    assert decoding.files == {}
    assert decoding.dirs == {"/"}
