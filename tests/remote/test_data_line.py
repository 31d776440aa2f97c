"""The end of a protected data connection, seen from the server."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from ftpsyncd.remote.data import DataLine
from ftpsyncd.remote.wire import Control, Timeouts
from tests.servers import certificates

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=5)
CONTENT = b"x" * 50_000


class Peer:
    """A server's end of a data connection, which speaks TLS only as far as it is told."""

    def __init__(self, sock: socket.socket, version: ssl.TLSVersion) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates().server)
        context.maximum_version = version
        self.sock = sock
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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_stream_ends_with_our_close_notify_and_does_not_wait_for_the_servers(version):
    """proftpd, having sent its own, waits for the end of the stream before it confirms: a round trip for each file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        control = Control("127.0.0.1", port, QUICK)
        control.context = ssl.create_default_context(cafile=certificates().ca)
        sock = socket.create_connection(("127.0.0.1", port))
        line = DataLine(control, sock, lambda: None)
        with listener.accept()[0], listener.accept()[0] as theirs:
            theirs.settimeout(10)
            peer = Peer(theirs, version)
            server = threading.Thread(target=peer.shake_hands)
            server.start()
            line.secure()
            line.send(memoryview(CONTENT))
            server.join(10)
            client = threading.Thread(target=line.finish)
            client.start()
            assert peer.read_to_the_end_of_the_stream() == CONTENT
            assert client.is_alive(), "it waits for the server's close_notify"
            peer.end()
            client.join(10)
            assert not client.is_alive()
        control.close()
