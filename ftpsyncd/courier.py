"""Bringing messages to one place, on a thread of its own: tried again when that fails, and given up after a while.

In: messages. Out: each of them by a function that delivers one, in their order. What cannot be delivered waits in a
short queue, whose oldest message makes room for the newest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from ftpsyncd.descriptors import FOR_MESSAGE, Reserve
from ftpsyncd.logs import logger
from ftpsyncd.threads import begin

TRIES = 4
FIRST_PAUSE_S = 2.0
"""Doubled after each try."""
WAITING = 50
"""Messages that may wait to be delivered."""


class Courier:
    """Delivers to one place.

    Args:
        deliver: brings a message there, and says what went wrong, or nothing.
        ended: set when nothing is to be delivered any more; `deliver` has to heed it, too.
        changed: is told, on the courier's thread, when `trouble` is another one.
        first_pause_s: seconds before the second try of a delivery.
    """

    def __init__(
        self,
        deliver: Callable[[Mapping[str, Any]], str],
        ended: threading.Event,
        changed: Callable[[], None],
        *,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.trouble = ""
        """Why the last message was given up; empty if it was delivered, or there was none."""
        self._deliver = deliver
        self._ended = ended
        self._changed = changed
        self._first_pause_s = first_pause_s
        self._ready = threading.Condition()
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=WAITING)
        self._thread = threading.Thread(target=self._run, name="ftpsyncd-alerts-delivery", daemon=True)

    def start(self) -> None:
        """Begin."""
        begin(self._thread)

    def take(self, message: Mapping[str, Any]) -> None:
        """Have a message delivered, after those before it."""
        with self._ready:
            self._waiting.append(message)
            self._ready.notify()

    def join(self, timeout_s: float) -> None:
        """Wait, once ``ended`` is set, until nothing is being delivered; what waits is dropped."""
        with self._ready:
            self._ready.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        # That nobody can open a file any more is one of the things to be told.
        with closing(Reserve(FOR_MESSAGE)) as reserve:
            while True:
                with self._ready:
                    self._ready.wait_for(lambda: self._waiting or self._ended.is_set())
                    if self._ended.is_set():
                        return
                    message = self._waiting.popleft()
                trouble = self._try(message, reserve)
                if self._ended.is_set():
                    return
                if trouble != self.trouble:
                    self.trouble = trouble
                    self._changed()

    def _try(self, message: Mapping[str, Any], reserve: Reserve) -> str:
        """Deliver, again after a pause if that fails; what failed at last is in the log, as the alert itself is."""
        pause_s = self._first_pause_s
        for attempt in range(1, TRIES + 1):
            bug = None
            try:
                with reserve.spent():
                    problem = self._deliver(message)
            except Exception as error:  # a mistake of ours must not end the thread: nobody would be told any more
                problem, bug = f"a mistake of ours: {type(error).__name__}", error
            if not problem or self._ended.is_set():
                return ""
            last = attempt == TRIES
            logger.bind(event="alert_delivery").opt(exception=bug).log(
                "ERROR" if last else "WARNING", "an alert could not be delivered (try {}): {}", attempt, problem
            )
            if last or self._ended.wait(pause_s):
                break
            pause_s *= 2
        return problem
