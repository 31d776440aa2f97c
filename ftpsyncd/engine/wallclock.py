"""The time of day as the engine goes by it: set by hand or by NTP while it runs, or years wrong from the start.

In: the machine's clocks, and what time it is by the receipts. Out: moments, whether the time of day may be compared
with the files' stamps, and since when, and what time it is at least. Used on the engine's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ftpsyncd.mapping.site import STEP_S, Clock, Moment, Step

READ_MOST = 5
"""Times that the clocks are read until that does not take long."""
PROVEN_S = 86400.0
"""A clock that was not set for so long is right: one without a battery is set as soon as there is a network, and one
that a person has set wrong is noticed within a day."""


class WallClock:
    """The clocks of one engine.

    Args:
        clock: what time it is.
        known_ns: the time of day is this at least, whatever the clock says now.
    """

    def __init__(self, clock: Clock, known_ns: int) -> None:
        self.steps = 0
        """How often the clock was set."""
        self.last_step = Step(0, 0, 0)
        """How it was set last."""
        self._clock = clock
        now, wall_ns, self._slept_s = self._read()
        self._since = now + self._slept_s
        """Since when the clock goes as it does; in seconds that the machine has slept, too."""
        self._began = self._since
        """When the engine was made, likewise."""
        self._offset_s = wall_ns / 1e9 - self._since
        self._distrust_until = 0.0
        self._known_ns = known_ns
        """What time it was then at least."""

    def __repr__(self) -> str:
        return f"<WallClock steps={self.steps}>"

    def moment(self, settle_s: Callable[[], float]) -> Moment:
        """Now.

        Args:
            settle_s: the longest quiet time: for so long after the clock was set, a file's stamp may be of before.
        """
        now, wall_ns, self._slept_s = self._read()
        offset_s = wall_ns / 1e9 - now - self._slept_s
        goes_s = self._goes_s(now)
        if abs(offset_s - self._offset_s) > STEP_S:
            self._distrust_until = now + settle_s() + STEP_S
            before_ns = wall_ns - int((offset_s - self._offset_s) * 1e9)
            # With room for what the clocks differ by while they are read.
            began_ns = before_ns - int((self._since + goes_s - self._began + STEP_S) * 1e9)
            self.last_step = Step(began_ns, before_ns, wall_ns - before_ns)
            self._known_ns = before_ns if goes_s >= PROVEN_S else self._known_ns + int(goes_s * 1e9)
            self._since += goes_s
            self.steps += 1
            goes_s = 0.0
        self._offset_s = offset_s
        return Moment(now, wall_ns, now >= self._distrust_until, goes_s if self.steps else math.inf)

    def _read(self) -> tuple[float, int, float]:
        """All clocks at one moment: a process that is stopped in between would see one set."""
        for _ in range(READ_MOST):
            now, wall_ns, slept_s = self._clock.monotonic(), self._clock.wall_ns(), self._clock.slept_s()
            if self._clock.monotonic() - now < STEP_S / 2:
                break
        return now, wall_ns, slept_s

    def _goes_s(self, now: float) -> float:
        """For how long the clock has gone as it does, at a moment that was the last one or later."""
        return now + self._slept_s - self._since

    def surely_ns(self, at: Moment) -> int:
        """The time of day; as long as the clock may be years ahead, what time it is at least."""
        goes_s = self._goes_s(at.now)
        return at.wall_ns if goes_s >= PROVEN_S else min(at.wall_ns, self._known_ns + int(goes_s * 1e9))
