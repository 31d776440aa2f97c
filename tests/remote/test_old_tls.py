"""Servers whose TLS is older than what counts as safe: no certificate is to blame, nor anything that can be set here."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftpsyncd.errors import Retry, ServerUnavailableError, TlsError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.remedies import remedy
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import ServerSpec, TlsMode

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=0.3)


def record(kind: int, content: bytes) -> bytes:
    """RFC 5246 §6.2.1."""
    return bytes([kind, 3, 1]) + len(content).to_bytes(2, "big") + content


def alert(code: int) -> bytes:
    """A fatal one (RFC 5246 §7.2)."""
    return record(21, bytes([2, code]))


def hello(version: int, cipher: int) -> bytes:
    """A ServerHello without extensions (RFC 5246 §7.4.1.3)."""
    body = bytes([3, version]) + bytes(32) + b"\0" + cipher.to_bytes(2, "big") + b"\0"
    return record(22, b"\2" + len(body).to_bytes(3, "big") + body)


@pytest.mark.parametrize("reset", [False, True])
def test_one_that_closes_without_a_word_is_thought_of(reset):
    """What SChannel does, and asyncio: the network is well, and the port is right."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            sock, _ = listener.accept()
            with sock:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.recv(65536)

        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        spec = ServerSpec("s", "127.0.0.1", "u", port=listener.getsockname()[1], tls=TlsMode.IMPLICIT)
        with pytest.raises(ServerUnavailableError, match="beginning TLS") as caught:
            Account(spec, timeouts=QUICK)()
        thread.join(10)
    assert "no TLS that is safe by today's measure" in remedy(caught.value)
    assert caught.value.retry is Retry.SERVER


@contextmanager
def answering(words: bytes) -> Iterator[int]:
    """The port of a server that answers the first bytes so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(words)
                sock.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):
                        pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("words", "reason", "helps"),
    [
        (hello(1, 0x002F), "UNSUPPORTED_PROTOCOL", "The server is too old"),
        (hello(3, 0xC02F), "UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "The server is too old"),
        (alert(70), "TLSV1_ALERT_PROTOCOL_VERSION", "Leave `tls_max` away, if it is set; else the server is too old"),
        (alert(40), "SSLV3_ALERT_HANDSHAKE_FAILURE", "Set `client_cert`, if the server wants one; else the server"),
        (b"220 Welcome.\r\n", "WRONG_VERSION_NUMBER", "Set `tls: explicit`, or correct `port`"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
def test_it_is_said_who_can_help(words: bytes, reason: str, helps: str):
    with answering(words) as port:
        spec = ServerSpec("s", "127.0.0.1", "u", port=port, tls=TlsMode.IMPLICIT)
        with pytest.raises(TlsError, match=reason) as caught:
            Account(spec, timeouts=QUICK)()
    assert caught.value.remedy.startswith(helps)
    assert "tls_ca" not in caught.value.remedy
    assert caught.value.retry is Retry.LOGIN
