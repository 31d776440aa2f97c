"""A line that ends at a command of which a test says the number.

with running("pyftpdlib") as server, Cutting(server.host, server.port) as proxy:
    proxy.left = 7                 # the eighth command from now on ends all connections
    proxy.also = True              # when the server has it; else before
"""

from __future__ import annotations

import contextlib
import math

from tests.e2e.proxy import Proxy


class Cutting(Proxy):
    """Ends all connections at one command, before the server gets it, or right after."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.left = math.inf
        """Commands that still pass."""
        self.said = 0
        self.also = False
        """So does the one at which they end."""

    def _hold(self, commands: bytes) -> None:
        count = commands.count(b"\r\n")
        self.said += count
        if self.left < count:
            passing = b"".join(commands.splitlines(keepends=True)[: int(self.left) + self.also])
            self.left = math.inf
            for link in self.links("control"):
                with contextlib.suppress(OSError):
                    link.both[1].sendall(passing)
            self.cut()
            raise ConnectionAbortedError
        self.left -= count
