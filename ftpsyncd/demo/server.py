"""An FTP server for one account on a free loopback port, in a thread of its own."""

from __future__ import annotations

import logging
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

TURN_S = 0.05
"""How long the loop may sleep: the time that stopping takes."""
ALL_RIGHTS = "elradfmwMT"
START_WITHIN_S = 10.0


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
        handler = type("DemoHandler", (FTPHandler,), {"authorizer": accounts, "banner": "ftpsyncd demo server"})
        _silence()
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

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                self._loop.loop(timeout=TURN_S, blocking=False)
        finally:
            self._server.close_all()


def _silence() -> None:
    """Keep pyftpdlib's log off the screen; it would set up a handler of its own if it found none."""
    log = logging.getLogger("pyftpdlib")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    log.propagate = False
