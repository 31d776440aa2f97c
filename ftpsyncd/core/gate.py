"""Whether anything is started at one server now, and over how many connections: a circuit breaker and a cap. Pure.

When the server fails, nothing is started for a while; then one action is let through, and what becomes of it decides.
A server that allows no further connection lowers the cap, which grows back in time.

Times are monotonic seconds.
"""

from __future__ import annotations

import math
from enum import Enum

FIRST_PAUSE_S = 15.0
PAUSE_FACTOR = 1.5
LONGEST_PAUSE_S = 300.0
LOGIN_PAUSE_S = 900.0
TLS_PAUSE_S = LONGEST_PAUSE_S
"""No password is refused where TLS does not come about: that is tried as often as whether a server is back."""
FULL_PAUSE_S = 300.0
ASKED_AFTER_S = 10.0
"""Only a file shows whether there is space: by then what failed has been looked at, and is used to try the server."""
CAP_GROWS_AFTER_S = 300.0
JUDGED_BEFORE_S = 30.0
"""What fails so soon after this machine's clock was set may have been judged by it before: connecting takes a while."""


class Breaker(Enum):
    """Whether the server is believed to work."""

    UNKNOWN = "unknown"
    CLOSED = "closed"
    OFFLINE = "offline"
    REFUSED = "refused"
    FULL = "full"


class Gate:
    """Before one server.

    Args:
        connections: the configured upper bound of connections.
        jitter: a number in 0..1 for each pause, so that many servers do not come back in step.
    """

    def __init__(self, connections: int, *, jitter: float = 0.0) -> None:
        self.connections = connections
        self.cap = connections
        self.state = Breaker.UNKNOWN
        self.message = ""
        self.failing_since = 0.0
        """When it failed for the first time since it worked."""
        self.outages = 0
        """How often it has failed, counted once until it worked again."""
        self._connects = True
        """When it failed last, it was not a connection that could not be opened."""
        self._lacks_data = False
        """When it failed last, commands were answered, and no data connection came about."""
        self._begins_in_vain = False
        """When it failed last, it may have said before that it receives the file."""
        self._by_clock = False
        """What it failed of last may be a matter of this machine's clock, such as a certificate."""
        self._clock_set_at = -math.inf
        """When somebody set this machine's clock, until something has been judged again that may be of before."""
        self._jitter = jitter
        self._pause_s = 0.0
        self._open_until = 0.0
        self._cap_grows_at: float | None = None

    def __repr__(self) -> str:
        return f"<Gate {self.state.value} cap={self.cap}>"

    @property
    def paused_until(self) -> float:
        """When the pause after the last failure is over; monotonic seconds."""
        return self._open_until

    @property
    def is_doubtful(self) -> bool:
        """The server failed when it was last tried."""
        return self.state is not Breaker.CLOSED and self.state is not Breaker.UNKNOWN

    def lets_through(self, now: float, *, trying: bool) -> bool:
        """Whether an action may start; of a server that failed one at a time, after a pause."""
        return not self.is_doubtful or self.may_try(now, trying=trying)

    def may_try(self, now: float, *, trying: bool) -> bool:
        """Whether the server failed, the pause after that is over, and no trial is under way.

        Args:
            now: monotonic seconds.
            trying: something that was let through since it failed has not ended yet.
        """
        return self.is_doubtful and now >= self._open_until and not trying

    def may_ask(self, now: float, *, trying: bool) -> bool:
        """Whether it may be tried by a mere question, since nothing that waits can be used; as `may_try`."""
        return self.may_try(now, trying=trying) and now >= self._asked_at

    @property
    def _asked_at(self) -> float:
        return self._open_until + (ASKED_AFTER_S if self.state is Breaker.FULL else 0.0)

    def answered(self) -> bool:
        """An action was answered by the server; True if it was not believed to work before."""
        news = self.state is not Breaker.CLOSED
        self.state, self.message, self._pause_s = Breaker.CLOSED, "", 0.0
        return news

    def connected(self) -> bool:
        """A connection was opened; True if none could be before, so that this is news.

        Where the server failed in another way, only what is done over it can tell more.
        """
        return self.is_doubtful and not self._connects and self.answered()

    @property
    def refuses_others(self) -> bool:
        """It was not reached when another connection was to be opened; that says nothing about those that are open."""
        return self.state is Breaker.OFFLINE and not self._connects

    @property
    def lets_in(self) -> bool:
        """It failed, and connections can be opened, as far as is known: what they are good for shows when used."""
        return self.state is Breaker.FULL or (self.state is Breaker.OFFLINE and self._connects)

    @property
    def lacks_data(self) -> bool:
        """It failed since no data connection comes about: what is done without one tells nothing of that."""
        return self.state is Breaker.OFFLINE and self._lacks_data

    @property
    def begins_in_vain(self) -> bool:
        """It failed with files that it may have begun to receive: that it begins with another one tells nothing."""
        return self.state is Breaker.FULL or (self.lacks_data and self._begins_in_vain)

    def failed(
        self,
        now: float,
        state: Breaker,
        message: str,
        *,
        connects: bool = False,
        by_tls: bool = False,
        lacks_data: bool = False,
        begins_in_vain: bool = False,
    ) -> bool:
        """The server failed as a whole; True if that is news (another state than before).

        Args:
            now: monotonic seconds.
            state: what it is in now.
            message: why, for people.
            connects: connections can be opened, as far as is known.
            by_tls: TLS did not come about, and no password was refused; the clock of this machine may be what is wrong.
            lacks_data: commands are answered, and no data connection comes about.
            begins_in_vain: that is told after the server has said, perhaps, that it receives the file.
        """
        news = self.state is not state
        if not self.is_doubtful:
            self.outages += 1
            self.failing_since = now
        # Whatever else fails during a pause belongs to the same failure.
        if news or self._open_until <= now:
            self._open_until = now + self._next_pause_s(state, by_tls=by_tls)
            self._connects = False
        self._connects |= connects
        self._by_clock, self._lacks_data, self._begins_in_vain = by_tls, lacks_data, begins_in_vain
        self.state, self.message = state, message
        if by_tls and now < self._clock_set_at + JUDGED_BEFORE_S:
            # Perhaps by the clock as it was before; once, since it may be true.
            self._clock_set_at = -math.inf
            self.retry_now()
        return news

    def _next_pause_s(self, state: Breaker, *, by_tls: bool) -> float:
        if state is Breaker.REFUSED:
            return TLS_PAUSE_S if by_tls else LOGIN_PAUSE_S
        if state is Breaker.FULL:
            return FULL_PAUSE_S
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * PAUSE_FACTOR) if self._pause_s else FIRST_PAUSE_S
        return self._pause_s * (1 + 0.2 * (self._jitter - 0.5))

    def retry_now(self, now: float = 0.0) -> None:
        """A person says that the server may be tried again at once, from ``now`` on (monotonic seconds)."""
        self._open_until, self._pause_s = now, 0.0

    def clock_was_set(self, now: float) -> None:
        """Somebody set this machine's clock: what was judged by it is judged again, and nothing else."""
        self._clock_set_at = now
        if self.is_doubtful and self._by_clock:
            self.retry_now()

    def lower_cap(self, now: float) -> bool:
        """The server allows no further connection; False if it allows not even one."""
        if self.cap <= 1:
            return False
        self.cap -= 1
        self._cap_grows_at = now + CAP_GROWS_AFTER_S
        return True

    def keep_to(self, connections: int, now: float) -> None:
        """Others than these cannot be opened at the moment."""
        if 0 < connections < self.cap:
            self.cap = connections
            self._cap_grows_at = now + CAP_GROWS_AFTER_S

    def begin_with_cap(self, cap: int, now: float) -> None:
        """The server allowed no more connections in an earlier run; that may have changed, so the cap grows back."""
        self.keep_to(cap, now)

    @property
    def lowered_to(self) -> int:
        """So few connections are allowed at the moment; 0: as many as are configured."""
        return self.cap if self.cap < self.connections else 0

    def grow(self, now: float) -> None:
        """Let the cap be as high as it may be by now."""
        if self._cap_grows_at is not None and now >= self._cap_grows_at:
            self.cap = min(self.connections, self.cap + 1)
            self._cap_grows_at = now + CAP_GROWS_AFTER_S if self.cap < self.connections else None

    def next_due(self, now: float, *, trying: bool, waiting: bool) -> float | None:
        """When more may be started although nothing else happens; None if only events can help.

        Args:
            now: monotonic seconds.
            trying: as in `may_try`.
            waiting: whether anything is to be started.
        """
        dues = []
        if self.is_doubtful and not trying:
            dues.append(self._open_until if now < self._open_until else max(now, self._asked_at))
        if self._cap_grows_at is not None and waiting:
            dues.append(self._cap_grows_at)
        return min(dues, default=None)
