"""Servers that answer nothing between EPSV and the data connection, as Twisted's: found out, and got along with."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator

import pytest

from ftpsyncd.errors import FileChangedError, LocalUnreadableError, NotFoundError, RemoteError, ServerUnavailableError
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote import unmet
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import hope, refusals
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.session import Session
from tests.contract.remotes import job, publish, put, raiser
from tests.remote.scripted import PATIENT, QUICK, Connection, Scripted

PATIENT_S = 20.0
"""After that the server gives up on the data connection, and says 550."""
TAIL = ".0123abcd.filepart"


class Waiting(Scripted):
    """Reads no command while it waits for the data connection that it has agreed on (twisted.protocols.ftp)."""

    def __init__(self, **more) -> None:
        self.lines: dict[Connection, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.gave_up = 0
        super().__init__(**more)

    async def agreed(self, c: Connection, words: str) -> str:
        self.lines.pop(c, None)
        await c.say(words)
        try:
            self.lines[c] = await asyncio.wait_for(c.data(), PATIENT_S)
        except TimeoutError:
            self.gave_up += 1
            return "550 Requested action not taken: internal server error"
        return ""

    async def do_epsv(self, c: Connection, _a: str) -> str:
        return await self.agreed(c, f"229 Entering Extended Passive Mode (|||{await c.listen()}|).")

    async def do_pasv(self, c: Connection, _a: str) -> str:
        port = await c.listen()
        return await self.agreed(c, f"227 Entering Passive Mode (127,0,0,1,{port // 256},{port % 256}).")

    async def do_stor(self, c: Connection, path: str) -> str:
        reader, _ = self.lines.pop(c)
        await c.say("125 Data connection already open, starting transfer")
        self.files[path] = await reader.read()
        await c.end_data()
        return "226 Transfer Complete."

    async def do_retr(self, c: Connection, path: str) -> str:
        _, writer = self.lines.pop(c)
        await c.say("125 Data connection already open, starting transfer")
        writer.write(self.files[path])
        await writer.drain()
        await c.end_data()
        return "226 Transfer Complete."


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    monkeypatch.setattr(unmet, "SILENCE_S", 0.2)
    with Waiting(FEAT="211-Features:\n MDTM\n SIZE\n211 End", MFMT="502 No.", SITE="502 No.") as server:
        yield server
        assert server.gave_up == 0


def account(server: Scripted, profile: Profile | None = None, **changes) -> Account:
    acc = Account(server.spec(**changes), profile=profile, timeouts=QUICK if server.hangs else PATIENT)
    acc.ahead = True
    return acc


def test_it_is_found_out_while_the_first_session_begins_and_nothing_fails(waiting):
    acc = account(waiting)
    with acc() as session:
        assert acc.profile.meanwhile is False
        assert session.stat("/x") is None
        results = publish(session, *[job(f"/{n}", b"x" * n) for n in range(4)])
    assert [result.error for result in results] == [None] * 4
    assert {path: len(content) for path, content in waiting.files.items()} == {f"/{n}": n for n in range(4)}
    assert waiting.connections == 1


def test_what_is_known_costs_no_waiting_and_nothing_is_asked_in_between(waiting):
    acc = account(waiting, Profile(renamed=True, meanwhile=False))
    with acc() as session:
        assert "EPSV" not in waiting.verbs()
        session.make_ready()
        assert "EPSV" not in waiting.verbs()
        began = time.monotonic()
        results = publish(session, job("/a"), job("/b"), job("/c", afresh=True, temporary="/c"))
        assert time.monotonic() - began < PATIENT_S / 4
        assert [result.error for result in results] == [None] * 3
        into = io.BytesIO()
        session.fetch("/a", into)
    order = [line for line in waiting.log if line.startswith(("EPSV", "STOR", "RNTO", "RETR"))]
    stored = ["EPSV", f"STOR /a{TAIL}", "RNTO /a", "EPSV", f"STOR /b{TAIL}", "RNTO /b", "EPSV", "STOR /c"]
    assert order == [*stored, "EPSV", "RETR /a"]


def test_a_file_that_cannot_be_opened_leaves_its_data_connection_to_the_next(waiting):
    with account(waiting, Profile(renamed=True, meanwhile=False))() as session:
        gone = job("/b", open=raiser(LocalUnreadableError("It has gone.")))
        results = publish(session, job("/a"), gone, job("/c"))
    assert [type(result.error) for result in results] == [type(None), LocalUnreadableError, type(None)]
    assert waiting.files == {"/a": b"content", "/c": b"content"}


@pytest.mark.parametrize(
    "second", [job("/b", confirm=raiser(FileChangedError("It changed."))), job("/b", temporary="/b", afresh=True)]
)
def test_what_is_deleted_while_it_is_found_out_costs_no_file(waiting, second):
    acc = account(waiting)
    acc.ahead = False
    with acc() as session:
        put(session, "/b", b"before")
        waiting.log.clear()
        results = publish(session, job("/a"), second, job("/c"))
    assert waiting.verbs().count("EPSV") == 4, "one was made and closed"
    assert acc.profile.meanwhile is False
    assert [isinstance(result.error, RemoteError) for result in results] == [False] * 3
    assert {path: waiting.files[path] for path in ("/a", "/c")} == dict.fromkeys(("/a", "/c"), b"content")


def test_a_session_that_begins_without_one_finds_it_out_when_it_gets_ready(waiting):
    acc = account(waiting)
    acc.profile.pipelining = False
    with acc() as session:
        assert "EPSV" not in waiting.verbs()
        session.make_ready()
        assert acc.profile.meanwhile is False
        assert session.take_ready() is None
        (result,) = publish(session, job("/a"))
        assert result.error is None


def test_what_is_said_after_an_offer_that_nobody_uses_is_answered(waiting):
    acc = account(waiting, Profile(meanwhile=False))
    with acc() as session:
        session.exchange([b"PASV"])
        began = time.monotonic()
        with pytest.raises(NotFoundError):
            session.rename("/no", "/such")
        assert time.monotonic() - began < PATIENT_S / 4


def test_probe_tells_it(waiting):
    measures = {measure.field: measure for measure in Probing(Account(waiting.spec(), timeouts=PATIENT), "/").run()}
    assert measures["passive"].value == "EPSV, PASV"
    assert measures["passive"].meaning == "nothing else is answered until the data connection is made"
    assert waiting.files == {}


def test_it_is_kept_for_a_while(waiting):
    profile = Profile()
    with account(waiting, profile)():
        assert "meanwhile" in refusals(profile)
    hope(profile, "meanwhile")
    assert profile.meanwhile is None


def test_one_that_answers_is_known_at_once_and_keeps_its_offer():
    with Scripted() as server:
        acc = account(server)
        with acc() as session:
            assert acc.profile.meanwhile is True
            (result,) = publish(session, job("/a"))
            assert result.error is None
            assert server.verbs().count("EPSV") == 1


def test_one_that_is_slow_is_not_taken_for_one_of_these_when_it_is_known(monkeypatch):
    monkeypatch.setattr(unmet, "SILENCE_S", 0.1)

    async def slow(c: Connection, path: str) -> None:
        await asyncio.sleep(0.3)
        await c.server.default(c, f"SIZE {path}")

    with Scripted(SIZE=slow) as server:
        acc = account(server, Profile(meanwhile=True, size=True))
        with acc() as session:
            session.make_ready()
            assert session.exchange([b"SIZE /x"])[0].code == 550
            assert acc.profile.meanwhile is True
            assert session.take_ready() is not None


@pytest.mark.parametrize("last", ["421 Too busy.", None])
def test_one_that_goes_away_is_not_taken_for_one_of_these(last):
    async def leave(c: Connection, _a: str) -> None:
        if last is not None:
            await c.say(last)
        await c.hang_up()

    with Scripted(TYPE=leave) as server:
        acc = account(server)
        with pytest.raises(ServerUnavailableError):
            acc()
        assert acc.profile.meanwhile is None


def test_nor_is_one_that_goes_away_when_the_connection_is_made():
    async def leave(c: Connection, _a: str) -> None:
        await c.say(f"229 Entering Extended Passive Mode (|||{await c.listen()}|).")
        await c.data()
        await c.say("421 Too busy.")
        await c.hang_up()

    with Scripted(EPSV=leave) as server:
        acc = account(server)
        with pytest.raises(ServerUnavailableError, match="421 Too busy"):
            acc()
        assert acc.profile.meanwhile is None


def test_that_the_extended_form_is_answered_tells_that_an_accident_before_was_one():
    with Scripted(PASV="227 Go (127,0,0,1,4,1)") as server:
        acc = account(server, Profile(epsv_missed=1))
        acc.ahead = False
        with acc() as session:
            session.exchange([b"PASV"])
            assert acc.profile.epsv_missed == 1
            session.exchange([b"EPSV"])
            assert acc.profile.epsv_missed == 0


def test_one_that_never_answers_is_told_as_ever():
    async def hang(c: Connection, _a: str) -> None:
        await c.silence()

    with Scripted(TYPE=hang, hangs=True) as server:
        acc = account(server)
        with pytest.raises(ServerUnavailableError, match="waiting for the reply"):
            acc()
        assert acc.profile.meanwhile is None


def test_sessions_that_begin_side_by_side_all_find_it_out(waiting):
    acc = account(waiting)
    opened: list[Session] = []
    threads = [threading.Thread(target=lambda: opened.append(acc())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT_S)
    assert len(opened) == 4
    for n, session in enumerate(opened):
        (result,) = publish(session, job(f"/{n}"))
        assert result.error is None
        session.close()
