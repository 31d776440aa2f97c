"""Servers under TLS that read only the beginning of a record, and then wait for what their TLS has taken in already."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence

import pytest

from ftpsyncd.remote.account import Account
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import ServerSpec
from tests.servers import certificates, running

MANY = [b"DELE /" + b"a" * (94 + n % 5) for n in range(64)]
LONG = [verb + b" /" + b"b" * 440 for verb in (b"SIZE", b"MFMT", b"RNFR", b"RNTO", b"STOR") * 4]
MIXED = [b"RMD /" + b"c" * (n * 37 % 411) for n in range(64)]
ROOM = [511, 4102]
"""How much proftpd reads at once: where its CommandBufferSize is 512, and as it comes."""


def glance(listener: socket.socket, context: ssl.SSLContext, room: int) -> None:
    """Serve one connection as proftpd and pure-ftpd do: read once whenever the socket has something.

    An incomplete command takes room of what is read next.
    """
    peer, _ = listener.accept()
    with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as line:
        poll, kept = select.poll(), b""
        poll.register(line, select.POLLIN)
        while poll.poll() and (data := line.recv(room - len(kept))):
            *lines, kept = (kept + data).split(b"\r\n")
            line.sendall(b"".join(b"200 %d\r\n" % len(each) for each in lines))


@contextlib.contextmanager
def connected(room: int) -> Iterator[Control]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=glance, args=(listener, context, room))
        thread.start()
        control = Control("127.0.0.1", listener.getsockname()[1], Timeouts(reply_s=2.0))
        try:
            control.secure(tls_context(ServerSpec("s", "127.0.0.1", "u", tls_ca=certificates().ca)))
            yield control
        finally:
            control.close()
            thread.join()


@pytest.mark.parametrize("commands", [MANY, LONG, MIXED], ids=["many", "long", "mixed"])
@pytest.mark.parametrize("room", ROOM)
def test_it_reads_and_answers_all_that_was_said_in_one_go(room: int, commands: Sequence[bytes]):
    with connected(room) as control:
        for _ in range(3):
            control.send(commands)
            assert [control.reply().text for _ in commands] == [f"200 {len(each)}" for each in commands]


def packets(control: Control) -> int:
    """How many with data have been sent (tcp(7), TCP_INFO; `tcpi_data_segs_out` of Linux 4.6 and later)."""
    told = control._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", told, 156)[0])


def test_all_of_it_travels_in_one_packet():
    with connected(4096) as control:
        before = packets(control)
        control.send(MIXED)
        control.reply()
        assert packets(control) == before + 1


@pytest.mark.real_server
@pytest.mark.parametrize("lines", [(), ("CommandBufferSize 512",)], ids=["4096", "512"])
@pytest.mark.parametrize("size", [90, 400])
def test_proftpd_answers_all_of_it(lines: tuple[str, ...], size: int):
    with running("proftpd", tls="explicit", directives=lines) as server:
        account = Account(server.spec(), timeouts=Timeouts(reply_s=5.0))
        with account() as session:
            paths = [f"/{n}".ljust(size, "x") for n in range(64)]
            assert session.stat_many(paths) == [None] * 64
        assert account.profile.doubts == 0
        assert account.profile.pipelining
