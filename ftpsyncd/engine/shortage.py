"""That this process may open no further file, or has no memory left: told once, and borne until that is over.

In: what looks and actions were refused for it, and the passing of time. Out: whether anything is begun now, a sentence
for people, an event when it is over. Used by the engine on its own thread. It is a matter of this machine: no file,
folder or server is blamed for it, and what was refused is done again as it is.
"""

from __future__ import annotations

from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.events import Event, EventKind

AGAIN_S = 3.0
"""Nothing is begun for so long after something was refused that is needed for that."""
CALM_S = 60.0
"""It is over when nothing was refused for so long."""


class Shortage:
    """What this machine lacks; true while it lacks something, as far as is known."""

    def __init__(self) -> None:
        self.message = ""
        """What is lacking, in a sentence; empty when nothing is."""
        self._remedy = ""
        self._until = 0.0

    def __bool__(self) -> bool:
        return bool(self.message)

    @property
    def told(self) -> str:
        """What is lacking, and what helps; empty when nothing is."""
        return f"{self.message} {self._remedy}".rstrip() if self.message else ""

    def holds(self, now: float) -> bool:
        """Whether nothing is to be begun now."""
        return bool(self.message) and now < self._until

    def noted(self, error: FtpsyncdError, now: float, pause_s: float = AGAIN_S) -> bool:
        """Something was refused.

        Args:
            error: what is lacking.
            now: monotonic seconds.
            pause_s: nothing is begun for so long.

        Returns:
            Whether it was for the first time since something was begun.
        """
        if self.holds(now):
            return False
        self.message, self._remedy, self._until = error.message, error.remedy, now + pause_s
        return True

    def over(self, now: float) -> Event | None:
        """An event if nothing was refused for long enough."""
        if not self.message or now < self._until + CALM_S:
            return None
        self.message = ""
        return Event(EventKind.SHORTAGE_OVER, message="nothing was lacking for a while")

    def next_due(self, now: float) -> float | None:
        """When that will be another answer."""
        if not self.message:
            return None
        return self._until if now < self._until else self._until + CALM_S
