"""The end of a protected data connection, seen from the server."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftpsyncd.remote import parting
from ftpsyncd.remote.data import DataLine
from ftpsyncd.remote.wire import Control, Timeouts
from tests.servers import certificates

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=5)
CONTENT = b"x" * 50_000


class Peer:
    """A server's end of a data connection, which speaks TLS only as far as it is told."""

    def __init__(self, sock: socket.socket, version: ssl.TLSVersion, words: socket.socket) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates().server)
        context.maximum_version = version
        self.sock = sock
        self.words = words
        """Its end of the control line."""
        # Python's default takes the end of TCP's stream for that of TLS.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)

    def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self._in.write(self.sock.recv(65536))
            else:
                self.flush()
                return

    def read_to_the_end_of_the_stream(self) -> bytes:
        """What came before the client's close_notify; the end of TCP's stream was there, too, when this returns."""
        while block := self.sock.recv(65536):
            self._in.write(block)
        self._in.write_eof()
        content = b""
        while block := self.tls.read(65536):
            content += block
        return content

    def end(self) -> None:
        """Say close_notify, too."""
        self.tls.unwrap()
        self.flush()

    def flush(self) -> None:
        if self._out.pending:
            self.sock.sendall(self._out.read())


@contextmanager
def protected(version: ssl.TLSVersion, timeouts: Timeouts = QUICK) -> Iterator[tuple[DataLine, Peer]]:
    """A data connection that has sent `CONTENT`, and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        control = Control("127.0.0.1", port, timeouts)
        control.context = ssl.create_default_context(cafile=certificates().ca)
        sock = socket.create_connection(("127.0.0.1", port))
        line = DataLine(control, sock, control.final)
        with listener.accept()[0] as words, listener.accept()[0] as theirs:
            theirs.settimeout(10)
            peer = Peer(theirs, version, words)
            server = threading.Thread(target=peer.shake_hands)
            server.start()
            line.secure()
            line.send(memoryview(CONTENT))
            server.join(10)
            yield line, peer
        control.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_stream_ends_with_our_close_notify_and_does_not_wait_for_the_servers(version):
    """proftpd, having sent its own, waits for the end of the stream before it confirms: a round trip for each file."""
    with protected(version) as (line, peer):
        client = threading.Thread(target=line.finish)
        client.start()
        assert peer.read_to_the_end_of_the_stream() == CONTENT
        assert client.is_alive(), "it waits for the server's close_notify"
        peer.end()
        client.join(10)
        assert not client.is_alive()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_close_notify_that_never_comes_is_awaited_for_the_close_time(version):
    assert Timeouts().close_s == 5.0
    with protected(version, QUICK._replace(close_s=0.5)) as (line, peer):
        began = time.monotonic()
        line.finish()
        assert 0.4 < time.monotonic() - began < QUICK.close_s
        assert peer.read_to_the_end_of_the_stream() == CONTENT


def test_nor_for_longer_if_the_server_trickles():
    with protected(ssl.TLSVersion.TLSv1_3, QUICK._replace(close_s=0.5)) as (line, peer):
        over = threading.Event()

        def trickle() -> None:
            # The beginning of a record of 16 KiB, a byte at a time.
            for byte in b"\x17\x03\x03\x40\x00" + bytes(60):
                if over.wait(0.1):
                    return
                peer.sock.sendall(bytes([byte]))

        server = threading.Thread(target=trickle)
        server.start()
        began = time.monotonic()
        line.finish()
        took = time.monotonic() - began
        over.set()
        server.join(10)
        assert took < QUICK.close_s


def test_it_is_not_awaited_any_more_when_the_server_has_confirmed():
    with protected(ssl.TLSVersion.TLSv1_3) as (line, peer):
        client = threading.Thread(target=line.finish)
        client.start()
        assert peer.read_to_the_end_of_the_stream() == CONTENT
        peer.words.sendall(b"226 Stored.\r\n")
        client.join(QUICK.close_s / 2)
        assert not client.is_alive()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_reset_behind_the_end_is_behind_our_close_notify_too(version, monkeypatch):
    """Without it, what arrived could be a part that somebody in between has cut."""
    state = parting._state
    # On a busy machine even a loopback connection may send something twice.
    monkeypatch.setattr(parting, "_state", lambda sock: state(sock)._replace(sacked=0, retransmitted=0))
    with protected(version) as (line, peer):
        assert line.finish(lambda: True, 10.0), "it was ended by a reset"
        assert peer.read_to_the_end_of_the_stream() == CONTENT


def segments(sock: socket.socket) -> int:
    """How many came on a connection so far (tcp(7), TCP_INFO: tcpi_segs_in)."""
    (count,) = struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144), 140)
    return int(count)


@pytest.mark.parametrize(("held_back", "packets"), [(True, 1), (False, 2)])
def test_the_end_goes_with_the_last_bytes_that_were_held_back(held_back, packets):
    """As a packet of its own it costs a round trip where those before it fill TCP's first window."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        control = Control("127.0.0.1", port, QUICK)
        with listener.accept()[0]:
            line = DataLine.connect(control, port, control.final)
            with listener.accept()[0] as theirs:
                theirs.settimeout(10)
                before = segments(theirs)
                if held_back:
                    line.hold_back()
                line.send(memoryview(b"x" * 100))
                line.finish()
                assert theirs.recv(200, socket.MSG_WAITALL) == b"x" * 100
                assert segments(theirs) - before == packets
        control.close()
