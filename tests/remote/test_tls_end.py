"""The end of what comes under TLS: somebody in between can end a connection, but not say close_notify."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import sys
from collections.abc import Iterator

import pytest

from ftpsyncd.errors import TransferFailedError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper, kept
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.session import Session
from ftpsyncd.specs import TlsMode
from tests.remote.scripted import Act, Connection, Scripted
from tests.remote.scripted import account as account_at
from tests.servers import KINDS, available, certificates, running

FACTS = [b"type=file;size=1; a\r\n", b"type=file;size=2; b\r\n", b"type=file;size=3; c\r\n"]
CONTENT = b"0123456789" * 1000
NOTHING = "502 Not here."


def sending(content: bytes, *, cut: bool = False) -> Act:
    """What a command for a listing or a file does; ``cut``: TCP's stream ends, and that of TLS does not."""

    async def send(connection: Connection, _argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write(content)
        await writer.drain()
        if cut:
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        else:
            await connection.end_data()
        await connection.say("226 That was all.")

    return send


WHOLE = sending(b"".join(FACTS))
CUT = sending(b"".join(FACTS[:2]), cut=True)
BARE = sending(b"".join(FACTS), cut=True)


@pytest.fixture
def server() -> Iterator[Scripted]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    with Scripted(FEAT="211-Features:\r\n MLSD\r\n SIZE\r\n EPSV\r\n211 End", tls=context) as server:
        yield server


@pytest.fixture(params=["1.2", "1.3"])
def account(server: Scripted, request: pytest.FixtureRequest) -> Account:
    return account_at(server, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca, tls_max=request.param)


def names(session: Session) -> str:
    return "".join(entry.name for entry in session.list_dir("/", dated=False))


def fetched(session: Session) -> bytes:
    into = io.BytesIO()
    session.fetch("/a", into)
    return into.getvalue()


def test_a_listing_that_is_cut_is_no_listing(server, account):
    """What is behind the cut would be taken for absent."""
    server.script["MLSD"] = [WHOLE, CUT, WHOLE]
    with account() as session:
        assert names(session) == "abc"
        with pytest.raises(
            TransferFailedError, match="The listing of '/' may not be all: its TLS has no end"
        ) as caught:
            names(session)
        assert "`ftpsyncd probe`" in caught.value.remedy
        assert session.usable
        assert names(session) == "abc"
        # Of TLS 1.2, Python made a copy of the control line's session for each data connection until 3.12.8 and 3.13.1.
        assert session.control.data_resumed or (account.spec.tls_max == "1.2" and sys.version_info >= (3, 12, 8))


def test_nor_is_one_in_another_session(server, account):
    server.script["MLSD"] = [WHOLE, CUT]
    with account() as session:
        names(session)
    with account() as session, pytest.raises(TransferFailedError, match="has no end"):
        names(session)


def test_the_first_that_is_cut_is_asked_for_again(server, account):
    server.script["MLSD"] = [CUT, WHOLE]
    with account() as session:
        assert names(session) == "abc"
        assert session.profile.closes_tls is True


def test_if_the_second_is_cut_elsewhere_neither_counts(server, account):
    server.script["MLSD"] = [CUT, sending(FACTS[0], cut=True)]
    with account() as session, pytest.raises(TransferFailedError, match="has no end"):
        names(session)
    assert account.profile.closes_tls is None


def test_a_server_that_never_says_close_notify_is_believed(server, account):
    server.script["MLSD"] = BARE
    with account() as session:
        assert [names(session) for _ in range(3)] == ["abc"] * 3
        assert server.verbs().count("MLSD") == 4
        assert session.profile.closes_tls is False


def test_it_is_until_it_says_it_once(server, account):
    server.script["MLSD"] = [BARE, BARE, WHOLE, BARE]
    with account() as session:
        assert [names(session), names(session)] == ["abc", "abc"]
        with pytest.raises(TransferFailedError):
            names(session)


def test_a_file_that_is_cut_is_not_all_where_the_server_tells_no_size(server, account):
    server.script |= {"MLSD": WHOLE, "RETR": [sending(CONTENT[:5000], cut=True), sending(CONTENT)], "SIZE": NOTHING}
    with account() as session:
        names(session)
        with pytest.raises(TransferFailedError, match="'/a' may not be all: its TLS has no end"):
            fetched(session)
        assert fetched(session) == CONTENT


def test_a_file_that_has_its_size_is_all(server, account):
    server.script |= {"MLSD": WHOLE, "RETR": sending(CONTENT, cut=True)}
    server.files["/a"] = CONTENT
    with account() as session:
        names(session)
        assert fetched(session) == CONTENT


def test_one_that_grows_meanwhile_is_told_as_what_it_may_be(server, account):
    """The server never says close_notify, which `probe` would find out once more."""

    async def send(connection: Connection, argument: str) -> None:
        server.files["/a"] = CONTENT * 2
        await sending(CONTENT, cut=True)(connection, argument)

    server.script |= {"MLSD": BARE, "RETR": send}
    server.files["/a"] = CONTENT
    with account() as session:
        names(session)
        with pytest.raises(TransferFailedError, match="'/a' may not be all") as caught:
            fetched(session)
    assert "if the file is being written at the server" in caught.value.remedy
    assert "probe" not in caught.value.remedy


def test_one_that_has_not_is_a_part_whatever_is_known_of_the_server(server, account):
    server.script["RETR"] = [sending(CONTENT[:5000], cut=True), sending(CONTENT)]
    server.files["/a"] = CONTENT
    with account() as session:
        with pytest.raises(TransferFailedError, match="its TLS has no end"):
            fetched(session)
        assert fetched(session) == CONTENT


@pytest.mark.real_server
def test_proftpd_that_loses_the_end_of_what_it_sends_is_found_out():
    """With renegotiations it may reset the data connection at its end, and say 226 (curl and lftp have a part, too)."""
    wanted = ("LoadModule mod_tls.c", "TLSRenegotiate data 1024 timeout 30 required on")
    with running("proftpd", tls="explicit", directives=wanted) as server:
        (server.home / "a").write_bytes(CONTENT * 500)
        (server.home / "a").chmod(0o644)
        for _ in range(8):
            with Account(server.spec(tls_max="1.2"))() as session, contextlib.suppress(TransferFailedError):
                assert len(fetched(session)) == 500 * len(CONTENT)


def test_a_listing_with_hidden_names_that_is_cut_is_not_one_without_them(server, account):
    """LIST without ``-a`` leaves them away, and they would be taken for absent."""
    line = b"-rw-r--r-- 1 u u 1 Jan 1 2020 %b\r\n"
    hidden = [sending(line % b".a" + line % b"b"), sending(line % b".a", cut=True)]

    async def listed(connection: Connection, argument: str) -> None:
        await (hidden.pop(0) if argument == "-a" else sending(line % b"b"))(connection, argument)

    server.script |= {"FEAT": "211-Features:\r\n SIZE\r\n EPSV\r\n211 End", "LIST": listed}
    with account() as session:
        assert names(session) == ".ab"
        with pytest.raises(TransferFailedError, match="has no end"):
            names(session)


def test_without_tls_a_connection_has_no_other_end(server):
    server.script |= {"MLSD": BARE}
    with account_at(server)() as session:
        assert names(session) == "abc"
        assert server.verbs().count("MLSD") == 1
        assert session.profile.closes_tls is None


def test_what_is_known_of_it_is_kept_and_measured_anew_by_probe():
    text = kept(Profile(closes_tls=True), 0.0)
    keeper = Keeper(profile := Profile(), text, 1e9)
    assert profile.closes_tls is True
    keeper.tend(2e9)
    assert profile.closes_tls is True, "that it is so would never be seen again otherwise"
    keeper.adopt({"closes_tls": False}, 2e9)
    assert profile.closes_tls is False


@pytest.mark.real_server
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_servers_say_close_notify_whatever_they_send(kind, version):
    if not available(kind, "explicit"):
        pytest.skip(f"{kind} is not here")
    with running(kind, tls="explicit") as server:
        for name, content in (("large", bytes(3_000_000)), ("small", b"x"), ("empty", b"")):
            (server.home / name).write_bytes(content)
            (server.home / name).chmod(0o644)
        with Account(server.spec(tls_max=version))() as session:
            for name in ("large", "small", "empty"):
                into = io.BytesIO()
                session.fetch(f"/{name}", into)
                assert session.control.data_ended
                assert into.getvalue() == (server.home / name).read_bytes()
            assert {entry.name for entry in session.list_dir("/")} == {"large", "small", "empty"}
            assert session.control.data_ended
            assert session.profile.closes_tls
