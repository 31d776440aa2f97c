"""One connection: uvicorn's, with bounds for those that come over TCP.

Every user of the machine may connect there, also without the token. So these have fewer places than there are, or they
could shut out those who use the Unix socket; and who says nothing, or half a request, does not keep a place.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from typing import Self

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ftpsyncd.control.answers import refusal
from ftpsyncd.control.port import is_there

CONNECTIONS_MAX = 128
"""In all; who comes later is told to try again."""
TCP_MAX = 64
"""Of them over TCP; who comes later is cut off."""
REQUEST_S = 10.0
"""How long a connection over TCP may take for a request: from its beginning, or from the first byte after an answer."""


class Bounded:
    """Lets as many in as may be: who comes while more are connected is told so, and to leave.

    Args:
        app: answers everybody else.
        connections: those that are, the one who asks among them.
    """

    def __init__(self, app: ASGIApp, connections: Callable[[], Collection[object]]) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whoever does something for it can tell whether the one who asked is still there."""
        app = self._app
        if len(self._connections()) > CONNECTIONS_MAX:
            error = f"More than {CONNECTIONS_MAX} connections are open."
            app = refusal(503, error, "Try again later.", {"Connection": "close"})
        with ExitStack() as stack:
            if scope["method"] != "GET" and (asker := self._asker(scope)) is not None:
                is_there.set(stack.enter_context(asker).is_there)
            await app(scope, receive, send)

    def _asker(self, scope: Scope) -> Asker | None:
        """Whoever sent a request; None if that cannot be told."""
        for connection in self._connections():
            if isinstance(connection, Connection) and connection.scope is scope:
                with suppress(OSError):  # no descriptor is left: he is believed to be there
                    return Asker(connection.transport.get_extra_info("socket"))
        return None


class Asker:
    """Who waits at the other end of a connection; used on any thread.

    Args:
        connection: a descriptor of its own is made of it, which is open for as long as somebody may look at it.

    Raises:
        OSError: there can be none.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = connection.dup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._lock:
            if self._line is not None:
                self._line.close()
            self._line = None

    def is_there(self) -> bool:
        """Whether he has not hung up, and has no answer yet."""
        with self._lock:
            if self._line is None:
                return False
            looked = select.poll()
            looked.register(self._line, select.POLLRDHUP)
            return not looked.poll(0)


class Connection(H11Protocol):
    """A connection to the control API."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Somebody has connected."""
        super().connection_made(transport)
        if not _is_tcp(self):
            return
        if sum(map(_is_tcp, self.connections)) > TCP_MAX:
            transport.abort()
        else:
            self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        super().data_received(data)
        last = self._last_request()
        # What follows an answer begins the next request. One that has come whole by now is the last one itself.
        if _is_tcp(self) and last is not None and last.response_complete and last is not self._expected_after:
            self._expect_request()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: told in the shape of all errors."""
        answer = refusal(400, msg, "The control API speaks HTTP/1.1.", {"Connection": "close"})
        for event in (
            h11.Response(status_code=answer.status_code, headers=answer.raw_headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _expect_request(self) -> None:
        self._expected_after = self._last_request()
        self.loop.call_later(REQUEST_S, self._give_up_after, self._expected_after)

    def _give_up_after(self, last: RequestResponseCycle | None) -> None:
        if self._last_request() is last and not self.transport.is_closing():
            self.transport.abort()

    def _last_request(self) -> RequestResponseCycle | None:
        return getattr(self, "cycle", None)  # None until the first request, whatever its type says


def _is_tcp(connection: object) -> bool:
    """What is not known counts as TCP."""
    server = getattr(connection, "server", None)
    return server is None or server[1] is not None
