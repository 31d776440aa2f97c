"""Fifty readers of the control socket, in a process of their own: ``python readers.py SOCKET READERS``.

Nine of ten ask for everything there is to read, one route per second in turn, as dashboards and `status --watch` do;
the others follow the stream of events. Ends when its standard input does, and prints how many answers it had.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import sys
import threading
from collections import Counter

ROUTES = ("/v1/status", "/metrics", "/v1/history?limit=100", "/v1/mappings/drop", "/healthz")
PERIOD_S = 1.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def poll(path: str, number: int, over: threading.Event, counts: Counter[str]) -> None:
    """Ask one route after the other until it is over."""
    over.wait(PERIOD_S * (number % 10) / 10)
    for route in itertools.islice(itertools.cycle(ROUTES), number, None):
        connection = _Connection(path)
        connection.request("GET", route)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        counts[str(answer.status)] += 1
        if over.wait(PERIOD_S):
            return


def follow(path: str, over: threading.Event, counts: Counter[str]) -> None:
    """Read the stream of events until it is over."""
    connection = _Connection(path)
    connection.request("GET", "/v1/events")
    answer = connection.getresponse()
    # What a reader does with it is its own cost: counted as it comes, not taken apart.
    while not over.is_set():
        counts["event"] += answer.read1(1 << 16).count(b"event:")
    connection.close()


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
