"""A proxy between the daemon and an FTP server (without TLS): counts what is uploaded, and cuts when it is told to.

with running("vsftpd") as server, Proxy(server.host, server.port) as proxy:
    with site(server, tmp_path, server_keys={"host": "127.0.0.1", "port": proxy.port}) as s:
        proxy.cut_at = 40_000_000      # everything is cut when so many bytes have passed; once
        proxy.lose_226 = True          # everything is cut instead of passing on the next 226
        proxy.uploaded                 # bytes of all data connections so far
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Self

_BLOCK = 64 * 1024


class Proxy:
    """Threads that pass bytes on; all end with the block.

    Args:
        host: of the server.
        port: of its control line.
    """

    def __init__(self, host: str, port: int) -> None:
        self.cut_at = 0
        self.cut_every = 0
        self.lose_226 = False
        self.uploaded = 0
        self.cuts = 0
        self._server = (host, port)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # Only a shutdown wakes an accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for sock in self._sockets:
            sock.close()

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _start(self, act: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=act, args=arguments, name="proxy")
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _keep(self, sock: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.append(sock)
        return sock

    def _accept(self) -> None:
        while True:
            try:
                client = self._keep(self._listener.accept()[0])
                server = self._keep(socket.create_connection(self._server))
            except OSError:
                return
            self._start(self._pass, client, server, lambda _data: None)
            self._start(self._replies, server, client)

    def _pass(self, source: socket.socket, target: socket.socket, passing: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                passing(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        """Pass replies on, line by line; a data port becomes one of ours."""
        with contextlib.suppress(OSError), server.makefile("rb") as lines:
            for line in lines:
                if self.lose_226 and line.startswith(b"226"):
                    self.lose_226 = False
                    self.cuts += 1
                    self.cut()
                    return
                client.sendall(re.sub(rb"^(229 .*\|\|\|)(\d+)(\|.*)", self._instead, line, flags=re.DOTALL))
            client.shutdown(socket.SHUT_WR)

    def _instead(self, match: re.Match[bytes]) -> bytes:
        listener = self._keep(socket.create_server(("127.0.0.1", 0)))
        self._start(self._data, listener, int(match[2]))
        return b"%s%d%s" % (match[1], listener.getsockname()[1], match[3])

    def _data(self, listener: socket.socket, port: int) -> None:
        try:
            client = self._keep(listener.accept()[0])
            server = self._keep(socket.create_connection((self._server[0], port)))
        except OSError:
            return
        self._start(self._pass, server, client, lambda _data: None)
        self._pass(client, server, self._count)

    def _count(self, data: bytes) -> None:
        with self._lock:
            self.uploaded += len(data)
            before = self.uploaded - len(data)
            again = self.cut_every > 0 and self.uploaded // self.cut_every > before // self.cut_every
            reached = again or 0 < self.cut_at <= self.uploaded
            if reached:
                self.cut_at = 0
                self.cuts += 1
        if reached:
            self.cut()
