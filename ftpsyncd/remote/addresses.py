"""Of the addresses that a host has, one that can be reached, soon.

In: a host, and what is known of its addresses. Out: a connection. Attempts are begun a moment after each other, and the
first that comes about wins: an address whose packets vanish costs that moment, and not its time-out. Where a session
cannot begin, or has no data connections, the next one prefers other addresses: one may lead to a machine that is out of
order, or to another server. `wire` opens control lines with it; data lines go to the address of theirs.

Sources: RFC 8305 (happy eyeballs) §5, §8.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple

from ftpsyncd import patience

MOMENT_S = 0.25
"""After so long without an answer the next address is tried, too (RFC 8305 §8)."""
HEAD_START_S = 2.0
"""So long with the address that was reached last (RFC 8305 §5): an attempt too many may count as one connection. And
before one that was of no use, which would win else where it is nearer."""
TOLD_S = 1.0
"""So long name servers are awaited where a connection is in use: files that have arrived wait for their names."""
_USELESS_MOST = 16
Address = tuple[Any, ...]
"""As `socket` has it."""
Found = tuple[Any, ...]
"""What `socket.getaddrinfo` tells of one."""


class Known(NamedTuple):
    """What is known of the addresses of a host."""

    reached: Address = ()
    """Reached last."""
    useless: tuple[Address, ...] = ()
    """Reached, and no session could begin there, or none that has data connections; the last one last."""

    def met(self, address: Address) -> Known:
        """It was reached right now."""
        return Known(address, tuple(each for each in self.useless if each != address))

    def shunned(self, address: Address) -> Known:
        """Reaching it was of no use."""
        others = tuple(each for each in self.useless if each != address)
        return Known(() if address == self.reached else self.reached, (*others, address)[-_USELESS_MOST:])

    def rank(self, address: Address) -> tuple[int, bool]:
        """Its place among others: the one that was reached last comes first, those that were of no use last."""
        return (self.useless.index(address) + 1 if address in self.useless else 0), address != self.reached


class _Attempt(NamedTuple):
    sock: socket.socket
    place: int
    """Among the addresses."""
    until: float
    """When it has failed, monotonic seconds."""


def resolved(host: str, port: int, known: Known = Known()) -> list[Found]:  # noqa: B008 - frozen
    """The addresses of a host, in the order in which they are tried.

    Args:
        host: name or address.
        port: there.
        known: what is known of them.

    Raises:
        OSError: the name is not known.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    if threading.current_thread() is threading.main_thread():
        # Only this one takes signals, and not while the C library waits for name servers that do not answer.
        answers = patience.awaited(ask, lambda _seconds: None, name="ftpsyncd-resolver")
    else:
        answers = ask()
    return sorted(answers, key=lambda each: known.rank(each[4]))


class Inquiry:
    """The addresses of a host for somebody who has other things to do than to wait for name servers.

    What they tell later than that counts at the next question: where the first of two servers is dead, each answer
    takes five seconds.

    Args:
        host: name or address.
        port: there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._answer: Future[list[Found]] | None = None
        """Asked for, and not told yet."""

    def __repr__(self) -> str:
        return f"<Inquiry {'under way' if self._answer is not None else 'at rest'}>"

    def told(self) -> list[Found]:
        """What was told since the last question, or is within `TOLD_S`.

        Raises:
            OSError: the name is not known, or nobody has told by now.
        """
        ask = partial(socket.getaddrinfo, self._host, self._port, type=socket.SOCK_STREAM)
        answer = self._answer = self._answer or patience.asked(ask, "ftpsyncd-resolver")
        if not wait([answer], TOLD_S).done:
            raise TimeoutError("No name server has answered yet.")
        self._answer = None
        return answer.result()


def connected(found: Sequence[Found], timeout_s: float, known: Known = Known()) -> socket.socket:  # noqa: B008 - frozen
    """A connection to one of the addresses of a host.

    Args:
        found: at least one, as from `resolved`.
        timeout_s: for each address.
        known: what is known of them.

    Raises:
        OSError: none can be reached. Of the address that was reached last, or else of the last one that there is: the
            first ones are often of a kind that this machine has no way to at all.
    """
    race = _Race(found, timeout_s, known)
    try:
        return race.run()
    finally:
        race.close()


class _Race:
    """Attempts at several addresses; only the one that wins is still open when it is over."""

    def __init__(self, found: Sequence[Found], timeout_s: float, known: Known) -> None:
        self._found = found
        self._timeout_s = timeout_s
        self._useless = known.useless
        self._is_known = found[0][4] == known.reached
        self._begun = 0
        self._next_at = 0.0
        """When the next attempt begins, monotonic seconds."""
        self._running: dict[int, _Attempt] = {}
        """By descriptor."""
        self._failures: dict[int, OSError] = {}
        """By place."""
        self._poll = select.poll()

    def run(self) -> socket.socket:
        """The first connection that comes about."""
        while True:
            now = time.monotonic()
            if self._begun < len(self._found) and (not self._running or now >= self._next_at):
                winner = self._begin(now)
            elif self._running:
                winner = self._await(now)
            else:
                raise self._failures[0 if self._is_known else max(self._failures)]
            if winner is not None:
                return winner

    def close(self) -> None:
        """Let go of all that have not won."""
        for attempt in self._running.values():
            attempt.sock.close()

    def _begin(self, now: float) -> socket.socket | None:
        place, self._begun = self._begun, self._begun + 1
        self._next_at = now + self._lead_s(place)
        family, kind, protocol, _, where = self._found[place]
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            self._failures[place] = error
            return None
        self._running[sock.fileno()] = _Attempt(sock, place, now + self._timeout_s)
        self._poll.register(sock, select.POLLOUT)
        sock.settimeout(0)
        try:
            sock.connect(where)
        except BlockingIOError:
            return None
        except OSError as error:
            self._fail(sock.fileno(), error)
            return None
        return self._win(sock.fileno())

    def _lead_s(self, place: int) -> float:
        """How long the next one waits for the one at this place."""
        behind = self._found[place + 1 : place + 2]
        is_ahead = (self._is_known and not place) or any(each[4] in self._useless for each in behind)
        return HEAD_START_S if is_ahead else MOMENT_S

    def _await(self, now: float) -> socket.socket | None:
        until = min(attempt.until for attempt in self._running.values())
        if self._begun < len(self._found):
            until = min(until, self._next_at)
        for descriptor, _ in self._poll.poll(max(0.0, until - now) * 1000):
            code = self._running[descriptor].sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return self._win(descriptor)
            self._fail(descriptor, OSError(code, os.strerror(code)))
        now = time.monotonic()
        for descriptor in [each for each, attempt in self._running.items() if attempt.until <= now]:
            self._fail(descriptor, TimeoutError())
        return None

    def _win(self, descriptor: int) -> socket.socket:
        self._poll.unregister(descriptor)
        return self._running.pop(descriptor).sock

    def _fail(self, descriptor: int, error: OSError) -> None:
        self._poll.unregister(descriptor)
        attempt = self._running.pop(descriptor)
        attempt.sock.close()
        self._failures[attempt.place] = error
