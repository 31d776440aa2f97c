"""Connections to one server, kept open between uses: a login may cost seconds.

The pool never waits and never limits: its callers are as many as may connect. It changes its state under a lock and
does its network I/O outside. A session comes back only if it is `usable`; doubt closes it. So does it if the host has
other addresses by now: the machine before may go on answering for days, and nobody looks there any more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ftpsyncd import threads
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.remote.port import Connector, RemoteSession
from ftpsyncd.remote.profile import LONGEST_SILENCE_S

LOOKED_UP_S = 300.0
"""So long a session is used without asking whether its host is still where it was."""


class _Idle(NamedTuple):
    session: RemoteSession
    since: float
    """When it was last used for work; decides when it is closed."""
    heard: float
    """When the server last gave a sign of life."""


class Pool:
    """The open sessions of one account.

    Args:
        connect: opens one more.
        idle_close_s: seconds after which an unused session is closed.
        keepalive_s: seconds of silence after which a session must show a sign of life; asked for each time.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connect: Connector,
        *,
        idle_close_s: float = 60.0,
        keepalive_s: Callable[[], float] = lambda: LONGEST_SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._idle_close_s = idle_close_s
        self._keepalive_s = keepalive_s
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        """The most recently used one is last: the others age and are closed."""
        self._leased = 0
        self._given_up: set[RemoteSession] = set()
        """Cut while they were leased, and not counted any more."""
        self._look_up_at: dict[RemoteSession, float] = {}
        """When it is asked whether their host is still where it was."""
        self._closed = False

    def __repr__(self) -> str:
        return f"Pool({self.open_count} open, {self.idle_count} idle)"

    @property
    def open_count(self) -> int:
        """Sessions that are open or being opened."""
        with self._lock:
            return self._leased + len(self._idle)

    @property
    def idle_count(self) -> int:
        """Sessions that wait to be used."""
        with self._lock:
            return len(self._idle)

    @contextmanager
    def lease(self) -> Iterator[RemoteSession]:
        """A session for one thread, for as long as the block lasts.

        Raises:
            RemoteError: what the connector raised.
        """
        session = self._take()
        try:
            yield session
        finally:
            self._give_back(session)

    def _take(self) -> RemoteSession:
        with self._lock:
            # Counted before it is open, so that `open_count` never understates what the server sees.
            self._leased += 1
        try:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            if idle is not None and self.is_elsewhere(idle.session):
                self._close(idle.session)
                idle = None
            if idle is None:
                return self._opened()
            # One that the server has ended would cut off what is begun over it, as far as anybody could tell later.
            sound = self._clock() - idle.heard <= self._keepalive_s() and not idle.session.stirs()
            if sound or _answers(idle.session):
                return idle.session
            # The others will have ended with it, as where a router has forgotten them: each would be awaited in vain.
            self._look_up_at.pop(idle.session, None)
            return self._opened()
        except BaseException:
            with self._lock:
                self._leased -= 1
            raise

    def _opened(self) -> RemoteSession:
        session = self._connect()
        self._look_up_at[session] = self._clock() + LOOKED_UP_S
        return session

    def _close(self, session: RemoteSession, *, patient: bool = True) -> None:
        self._look_up_at.pop(session, None)
        session.close(patient=patient)

    def is_elsewhere(self, session: RemoteSession) -> bool:
        """Whether the host of a session, which this thread has, has other addresses by now; asked now and then."""
        now = self._clock()
        if now < self._look_up_at.get(session, math.inf):
            return False
        if session.is_elsewhere():
            return True
        self._look_up_at[session] = now + LOOKED_UP_S
        return False

    def _give_back(self, session: RemoteSession) -> None:
        left = session.usable and self.is_elsewhere(session)
        now = self._clock()
        with self._lock:
            given_up = session in self._given_up
            self._given_up.discard(session)
            self._leased -= not given_up
            keep = session.usable and not self._closed and not given_up and not left
            if keep:
                self._idle.append(_Idle(session, now, now))
            elif not given_up and not left:
                # What ended this one may have ended all: nothing is entrusted to them before they have answered.
                self._idle = [entry._replace(heard=-math.inf) for entry in self._idle]
        if not keep:
            self._close(session)

    def give_up(self, session: RemoteSession) -> None:
        """End a session whose thread hangs; when it comes back, it is closed."""
        with self._lock:
            self._given_up.add(session)
            self._leased -= 1
        session.cut()

    def tend(self) -> None:
        """Close what was idle for too long, ask the others for a sign of life. Never raises.

        One session at a time is out of reach meanwhile: who needs one takes another.
        """
        while (entry := self._take_due()) is not None:
            keep = self._clock() - entry.since < self._idle_close_s and _answers(entry.session)
            with self._lock:
                self._leased -= 1
                keep_open = keep and not self._closed
                if keep_open:
                    # Put back below what was returned meanwhile: that was used more recently.
                    place = sum(other.since <= entry.since for other in self._idle)
                    self._idle.insert(place, entry._replace(heard=self._clock()))
            if not keep_open:
                self._close(entry.session)

    def _take_due(self) -> _Idle | None:
        """A session that needs it, the least recently used first, taken out; None if none needs it."""
        now = self._clock()
        with self._lock:
            for place, entry in enumerate(self._idle):
                if now - entry.since >= self._idle_close_s or now - entry.heard >= self._keepalive_s():
                    self._leased += 1
                    return self._idle.pop(place)
        return None

    def spare(self) -> None:
        """Close what is idle now, without waiting for the server's last words."""
        for entry in self._take_idle():
            self._close(entry.session, patient=False)

    def close(self, *, patient: bool = True) -> None:
        """Close what is idle; what is leased is closed when it comes back.

        Patient: the server counts them no more then, so that others can be opened in their place.
        """
        with self._lock:
            self._closed = True
        if patient:
            # Each says QUIT and waits a round trip for the answer.
            threads.side_by_side(lambda entry: self._close(entry.session), self._take_idle())
        else:
            self.spare()

    def _take_idle(self) -> list[_Idle]:
        with self._lock:
            idle, self._idle = self._idle, []
            return idle


def _answers(session: RemoteSession) -> bool:
    """Whether an idle session is still alive; closes it if not."""
    try:
        session.noop()
    except FtpsyncdError:
        session.close()
        return False
    return session.usable
