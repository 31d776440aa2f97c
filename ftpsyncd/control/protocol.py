"""One connection: uvicorn's, with bounds for those that come over TCP.

Every user of the machine may connect there, also without the token. So these have fewer places than there are, or they
could shut out those who use the Unix socket; and who says nothing, or half a request, does not keep a place.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX = 128
"""In all; who comes later is told to try again."""
TCP_MAX = 64
"""Of them over TCP; who comes later is cut off."""
REQUEST_S = 10.0
"""How long a connection over TCP may take for its first request."""


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
            self.loop.call_later(REQUEST_S, self._expect_request)

    def _expect_request(self) -> None:
        begun = getattr(self, "cycle", None)  # None until the first request, whatever its type says
        if begun is None and not self.transport.is_closing():
            self.transport.abort()


def _is_tcp(connection: object) -> bool:
    """What is not known counts as TCP."""
    server = getattr(connection, "server", None)
    return server is None or server[1] is not None
