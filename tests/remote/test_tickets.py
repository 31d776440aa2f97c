"""A TLS session whose ticket has not long to live is not used for data: servers refuse data lines that do not resume."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.remote import Ftp, PublishJob
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import TlsMode
from tests.contract.remotes import job
from tests.remote.scripted import Scripted
from tests.servers import certificates

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=1)


@pytest.fixture
def server() -> Iterator[Scripted]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    with Scripted(tls=context) as running:
        yield running


def account(server: Scripted, version: str = "1.3") -> Account:
    return Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=certificates().ca, tls_max=version), timeouts=QUICK)


def lifetime(session: Session) -> float:
    """What the server has said of its ticket, in seconds; with TLS 1.3 that comes after the handshake."""
    session.noop()
    told = session.control.session
    assert told is not None
    assert told.has_ticket
    return float(told.ticket_lifetime_hint)


def grow_old(session: Session, age_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks say that this session began so long ago."""
    told = session.control.session
    assert told is not None
    now = told.time + age_s
    monkeypatch.setattr(session.control, "_began", time.monotonic() - age_s)
    monkeypatch.setattr("ftpsyncd.remote.wire.time.time", lambda: now)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("share", "ends"), [(0.75, False), (0.85, True)])
def test_a_fifth_of_its_lifetime_must_be_left(server: Scripted, monkeypatch, version: str, share: float, ends: bool):  # noqa: FBT001
    with account(server, version)() as session:
        age_s = share * lifetime(session)
        assert age_s > 60, "a younger connection is not asked"
        grow_old(session, age_s, monkeypatch)
        assert session.expiring is ends


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("share", "ends"), [(0.75, False), (0.85, True), (100.0, True)])
def test_a_clock_that_was_set_forward_ends_the_ticket_of_a_young_connection(
    server: Scripted, monkeypatch, version: str, share: float, *, ends: bool
):
    """By that clock OpenSSL judges whether it is offered at all."""
    with account(server, version)() as session:
        now = time.time() + share * lifetime(session)
        monkeypatch.setattr("ftpsyncd.remote.wire.time.time", lambda: now)
        assert session.expiring is ends


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("resumes", "most"), [(True, 3), (False, 20)])
def test_the_session_is_asked_for_seldom(server: Scripted, monkeypatch, version: str, resumes: bool, most: int):  # noqa: FBT001
    """Python 3.11 keeps what it answers for ever: a daemon grew by six kilobytes with each file."""
    asked: list[object] = []
    real: Any = ssl.SSLSocket.session

    def ask(self: ssl.SSLSocket) -> object:
        asked.append(self)
        return real.fget(self)

    monkeypatch.setattr(ssl.SSLSocket, "session", property(ask, real.fset))
    if not resumes:
        server.data_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.data_tls.load_cert_chain(certificates().server)
    with account(server, version)() as session:
        for n in range(40):
            assert [result.error for result in session.publish([job(f"/{n}")])] == [None]
            assert session.control.data_resumed is resumes
            assert not session.expiring
    assert 1 <= len(asked) <= most


def test_no_further_file_begins_and_the_session_ends_in_order(server: Scripted, monkeypatch):
    with account(server)() as session:

        def jobs() -> Iterator[PublishJob]:
            yield job("/a")
            grow_old(session, 0.85 * lifetime(session), monkeypatch)
            yield job("/b")
            raise AssertionError("asked for a file that could not be begun")

        assert [result.error for result in session.publish(jobs())] == [None, None]
        assert not session.usable
    assert server.verbs()[-1] == "QUIT"
    assert server.files == {"/a": b"content", "/b": b"content"}


def test_a_program_gets_another_connection(server: Scripted, monkeypatch, tmp_path: Path):
    server.files["/a"] = b"content"
    again = account(server)
    with Ftp(again(), again=again) as ftp:
        first: Any = ftp.session
        grow_old(first, 0.85 * lifetime(first), monkeypatch)
        assert ftp.stat("/a").size == 7
        assert ftp.session is not first
        assert not first.usable
        ftp.download("/a", tmp_path / "a")
        assert server.connections == 2
