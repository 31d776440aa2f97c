"""Fifty readers of the control socket, in a process of their own: ``python readers.py SOCKET READERS``.

Nine of ten ask for everything there is to read, one route per second in turn, as dashboards and `status --watch` do;
the others follow the stream of events. Ends when its standard input does, and prints how many answers it had.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
from collections import Counter

ROUTES = ("/v1/status", "/metrics", "/v1/history?limit=100", "/v1/mappings/drop", "/healthz")
PERIOD_S = 1.0


def ask(path: str, route: str) -> socket.socket:
    """Send a request. A reader costs the machine as little as can be: what it costs the daemon is to be seen."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(30)
    connection.connect(path)
    connection.sendall(f"GET {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii"))
    return connection


def poll(path: str, number: int, over: threading.Event, counts: Counter[str]) -> None:
    """Ask one route after the other until it is over."""
    over.wait(PERIOD_S * (number % 10) / 10)
    for route in itertools.islice(itertools.cycle(ROUTES), number, None):
        with ask(path, route) as connection, connection.makefile("rb") as answer:
            status = answer.readline().split()[1].decode("ascii")
            length = len(answer.read())
        assert length > 0
        counts[status] += 1
        if over.wait(PERIOD_S):
            return


def follow(path: str, over: threading.Event, counts: Counter[str]) -> None:
    """Read the stream of events until it is over."""
    with ask(path, "/v1/events") as connection:
        # What a reader does with it is its own cost: counted as it comes, not taken apart.
        while not over.is_set():
            counts["event"] += connection.recv(1 << 16).count(b"event:")


def main(path: str, readers: int) -> None:
    """Read until standard input ends."""
    over = threading.Event()
    counts: Counter[str] = Counter()
    threads = [
        threading.Thread(target=follow, args=(path, over, counts), daemon=True)
        if number % 10 == 0
        else threading.Thread(target=poll, args=(path, number, over, counts), daemon=True)
        for number in range(readers)
    ]
    for thread in threads:
        thread.start()
    print("reading", flush=True)  # noqa: T201 - that is the sign the test waits for
    sys.stdin.read()
    over.set()
    print(dict(counts), flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
