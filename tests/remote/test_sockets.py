"""What is asked of the kernel for each connection (tcp(7)): no delay for little, and a peer that vanished is noticed."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl

import pytest

from ftpsyncd.errors import NoSocketError
from ftpsyncd.remote import wire
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.opening import Listener
from ftpsyncd.remote.sending import SMALL
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.sockets import translate
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import TlsMode
from tests.contract.remotes import ends_in_haste, job, publish
from tests.fewfiles import no_number_left
from tests.remote.scripted import Scripted
from tests.servers import certificates

Options = dict[str, int]
HASTY = {"TCP_NODELAY": 1}
HELD_BACK = {"TCP_CORK": 1}
"""Until the end of the stream, which goes with the last bytes."""
NOTICED = {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""Ninety seconds after the last word a peer that vanished is known to have."""


def options(sock: socket.socket | None) -> Options:
    """What is set, of what matters."""
    assert sock is not None
    found = {"SO_KEEPALIVE": sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)}
    for name in ("TCP_NODELAY", "TCP_CORK", *NOTICED):
        if name.startswith("TCP"):
            found[name] = sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
    return found


@pytest.fixture(params=["plain", "tls"])
def protection(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    if request.param == "plain":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    return context


def session_of(server: Scripted, protection: ssl.SSLContext | None) -> Session:
    tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca} if protection is not None else {}
    return Account(server.spec(**tls))()


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), ssl.SSLCertVerificationError(1, "no")]
)
def test_what_could_not_be_opened_for_it_is_not_the_fault_of_a_server(error: OSError) -> None:
    """The resolver's files, and the system's anchors: the server was told of as one that is away, or not the right one."""
    assert not isinstance(translate(error, "connecting"), NoSocketError)
    with no_number_left():
        assert isinstance(translate(error, "connecting"), NoSocketError)


@pytest.mark.parametrize("since", [False, True], ids=["", "others have closed theirs since"])
@pytest.mark.parametrize("what", ["the name", "the certificate"])
def test_nor_is_it_while_a_connection_begins(monkeypatch: pytest.MonkeyPatch, what: str, *, since: bool) -> None:
    """A server was paused for up to five minutes, as one whose name is not known or whose certificate is not right."""
    stack = contextlib.ExitStack()

    def name(*_where: object, **_how: object) -> None:
        if since:
            stack.close()
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    def certificate(_control: Control, _sock: ssl.SSLSocket) -> str:
        if since:
            stack.close()
        raise ssl.SSLCertVerificationError(1, "unable to get local issuer certificate")

    with stack, Scripted() as server:
        if what == "the name":
            monkeypatch.setattr(wire, "resolved", name)
            stack.enter_context(no_number_left())
            with pytest.raises(NoSocketError):
                Control("127.0.0.1", server.port, Timeouts())
            return
        control = Control("127.0.0.1", server.port, Timeouts())
        monkeypatch.setattr(Control, "_shake_hands", certificate)
        with contextlib.closing(control):
            control.reply()
            stack.enter_context(no_number_left())
            with pytest.raises(NoSocketError):
                control.secure(ssl.create_default_context())


def test_the_control_line(protection: ssl.SSLContext | None) -> None:
    with Scripted(tls=protection) as server, session_of(server, protection) as session:
        assert options(session.control._sock).items() >= {**HASTY, **NOTICED}.items()


@pytest.mark.parametrize("reached", [False, True])
def test_a_small_file_is_not_delayed(protection: ssl.SSLContext | None, *, reached: bool) -> None:
    seen: list[Options] = []
    with Scripted(tls=protection) as server, session_of(server, protection) as session:
        session.profile.reached = reached
        small = job("/a", progress=lambda _: seen.append(options(session.control.data)))
        assert [result.error for result in publish(session, small)] == [None]
        assert seen
        assert seen[0].items() >= {**HASTY, **HELD_BACK}.items()


def test_nothing_is_held_back_of_a_file_whose_end_a_reset_follows(
    protection: ssl.SSLContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is sent when all else is on its way, and what is held back would be so for a fifth of a second."""
    seen: list[Options] = []
    in_haste = ends_in_haste(monkeypatch)
    with Scripted(tls=protection, GREETING="220 (vsFTPd 3.0.3)") as server, session_of(server, protection) as session:
        small = job("/a", progress=lambda _: seen.append(options(session.control.data)))
        assert [result.error for result in publish(session, small)] == [None]
        assert in_haste == [True]
        assert seen
        assert not seen[0].items() & HELD_BACK.items()


def test_a_large_file(protection: ssl.SSLContext | None) -> None:
    seen: list[Options] = []
    with Scripted(tls=protection) as server, session_of(server, protection) as session:
        large = job("/a", b"x" * (SMALL + 1), progress=lambda _: seen.append(options(session.control.data)))
        assert [result.error for result in publish(session, large)] == [None]
        assert seen
        assert seen[0].items() >= {**HASTY, **NOTICED}.items()


def test_what_is_fetched(protection: ssl.SSLContext | None) -> None:
    seen: list[Options] = []
    with Scripted(tls=protection) as server, session_of(server, protection) as session:
        server.files["/f"] = b"x"
        session.fetch("/f", io.BytesIO(), progress=lambda _: seen.append(options(session.control.data)))
        assert seen
        assert seen[0].items() >= {**HASTY, **NOTICED}.items()


def test_a_data_connection_that_the_server_opens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = Control("127.0.0.1", server.getsockname()[1], Timeouts(connect_s=5))
        listener = Listener(control)
        try:
            with (
                server.accept()[0],
                socket.create_connection(("127.0.0.1", listener.port), 5),
                listener.accept(lambda: None) as ours,
            ):
                assert options(ours).items() >= HASTY.items()
        finally:
            listener.close()
            control.close()
