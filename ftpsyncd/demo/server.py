"""An FTP server for one account on a free loopback port, in a thread of its own."""

from __future__ import annotations

import logging
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

TURN_S = 0.05
"""How long the loop may sleep: the time that stopping takes."""
ALL_RIGHTS = "elradfmwMT"
LINE_BYTES_S = 1_000_000
"""For each connection: loopback is so fast that nobody would see a transfer, and a half file would have no time to be
seen either."""


class SlowLine(DTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """A data connection of a steady rate; pyftpdlib's own throttle moves a second's worth at once, then stands."""

    ac_in_buffer_size = LINE_BYTES_S // 50
    _rest: Any = None

    def recv(self, buffer_size: int) -> bytes:
        """Receive a piece, then leave the channel alone for as long as the piece is worth."""
        piece: bytes = super().recv(buffer_size)
        if piece:
            self.del_channel()
            seconds = len(piece) / LINE_BYTES_S
            self._rest = self.ioloop.call_later(seconds, self._go_on, _errback=self.handle_error)
        return piece

    def _go_on(self) -> None:
        self._rest = None
        self.add_channel(events=self.ioloop.READ)

    def close(self) -> None:
        """Close, and do not go on."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        super().close()


class LoopbackServer:
    """Serves a folder by FTP until it is closed.

    Args:
        home: the account's root.
    """

    def __init__(self, home: Path) -> None:
        self.user = "demo"
        self.password = secrets.token_urlsafe(9)
        self._home = home
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="demo-server")
        self._loop = IOLoop()
        accounts = DummyAuthorizer()
        accounts.add_user(self.user, self.password, str(home), perm=ALL_RIGHTS)
        # A class of its own: pyftpdlib keeps its settings on the class, and two demos must not share them.
        settings = {"authorizer": accounts, "banner": "ftpsyncd demo server", "dtp_handler": SlowLine}
        handler = type("DemoHandler", (FTPHandler,), settings)
        self._propagated = _silence()
        self._server = FTPServer(("127.0.0.1", 0), handler, ioloop=self._loop)
        self.port: int = self._server.address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        logging.getLogger("pyftpdlib").propagate = self._propagated

    def _serve(self) -> None:
        try:
            soonest_s = None
            while not self._stopping.is_set():
                soonest_s = self._loop.loop(timeout=min(TURN_S, soonest_s or TURN_S), blocking=False)
        finally:
            self._server.close_all()


def _silence() -> bool:
    """Keep pyftpdlib's log off the screen; it would set up a handler of its own if it found none.

    Returns:
        Whether it was heard before.
    """
    log = logging.getLogger("pyftpdlib")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    propagated, log.propagate = log.propagate, False
    return propagated
