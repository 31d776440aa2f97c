"""The least that a line allows: the round trips of the transfers, with everything else for nothing.

In: sizes, a server, a round trip. Out: seconds. Pure. A program that sends one file after the other on each of its
connections, and nothing ahead of a transfer but what depends on none, cannot be faster.
"""

from __future__ import annotations

from collections.abc import Iterable

INITIAL_WINDOW = 10
"""Packets that TCP sends before the first acknowledgement (RFC 6928)."""
STANDARD_MTU = 1500
HEADERS_BYTES = 52
"""Of each packet: IPv4, TCP and its timestamps (RFC 7323)."""


def windows(size: int, mtu: int, first: int = INITIAL_WINDOW) -> int:
    """How often TCP waits for acknowledgements until all is sent: the window doubles each time (slow start)."""
    packets = -(-size // (mtu - HEADERS_BYTES))
    sent, window, count = 0, first, 0
    while sent < packets:
        sent, window, count = sent + window, 2 * window, count + 1
    return max(1, count)


def least_s(sizes: Iterable[int], *, connections: int, rtt_ms: float, mtu: int, first: int = INITIAL_WINDOW) -> float:
    """Seconds for all files, if no connection ever waits for anything else and all end at the same moment.

    A file takes a round trip to open its data connection, and one for each window; the 226 comes with the last of them.
    """
    trips = sum(1 + windows(size, mtu, first) for size in sizes)
    return trips * rtt_ms / 1000 / connections
