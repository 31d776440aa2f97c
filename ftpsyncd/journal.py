"""Events as log lines: one line per event that matters, bounded when the same thing goes wrong many times.

In: `events.Event`. Out: loguru records with fields bound. Called on the engine's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ftpsyncd.events import Event, EventKind
from ftpsyncd.logs import logger, quote, wanted

REPEATS_IN_FULL = 10
"""Failures of one mapping and kind logged one by one, in each `REPEAT_WINDOW_S`; the rest are counted."""
REPEAT_WINDOW_S = 60.0

_LEVELS = {
    EventKind.PUBLISHED: "INFO",
    EventKind.UNCHANGED: "INFO",
    EventKind.ADOPTED: "INFO",
    EventKind.RENAMED: "INFO",
    EventKind.DELETED: "INFO",
    EventKind.TRASHED: "INFO",
    EventKind.MADE: "DEBUG",
    EventKind.REMOVED: "INFO",
    EventKind.FORGOTTEN: "INFO",
    EventKind.KEPT: "WARNING",
    EventKind.FAILED: "WARNING",
    EventKind.PARKED: "ERROR",
    EventKind.HELD: "WARNING",
    EventKind.RELEASED: "INFO",
    EventKind.SERVER_OFFLINE: "WARNING",
    EventKind.SERVER_ONLINE: "INFO",
    EventKind.SOURCE_MISSING: "WARNING",
    EventKind.SOURCE_BACK: "INFO",
    EventKind.WATCHER: "WARNING",
    EventKind.RESCAN: "WARNING",
    EventKind.LEDGER: "ERROR",
    EventKind.LEDGER_BACK: "INFO",
}

_SENT = {EventKind.PUBLISHED, EventKind.UNCHANGED, EventKind.ADOPTED, EventKind.RENAMED, EventKind.KEPT}
"""Those whose size was sent, or would have been."""

_BOUNDED = {EventKind.FAILED, EventKind.PARKED, EventKind.KEPT, EventKind.FORGOTTEN, EventKind.RESCAN}


class Journal:
    """Writes events to the log.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window_ends: dict[tuple[EventKind, str], float] = {}
        self._counts: dict[tuple[EventKind, str], int] = {}

    def __call__(self, event: Event) -> None:
        """Log one event, or count it if there are too many of its kind."""
        if not wanted(_LEVELS[event.kind]):
            return
        if event.kind in _BOUNDED and not self._within_bounds(event):
            return
        fields: dict[str, object] = {
            name: value
            for name in ("mapping", "path", "server", "size", "reply", "remedy", "source")
            if (value := getattr(event, name))
        }
        if event.duration_s:
            fields["duration_s"] = round(event.duration_s, 4)
        logger.bind(event=event.kind.value, **fields).log(_LEVELS[event.kind], "{}", sentence(event))

    def _within_bounds(self, event: Event) -> bool:
        key, now = (event.kind, event.mapping), self._clock()
        if now >= self._window_ends.get(key, 0.0):
            left_out = self._counts.get(key, 0) - REPEATS_IN_FULL
            if left_out > 0:
                logger.bind(event=event.kind.value, mapping=event.mapping).log(
                    _LEVELS[event.kind], "{}: {} more {} in the last minute", event.mapping, left_out, event.kind.value
                )
            self._window_ends[key], self._counts[key] = now + REPEAT_WINDOW_S, 0
        self._counts[key] += 1
        return self._counts[key] <= REPEATS_IN_FULL


def sentence(event: Event) -> str:
    """An event as one line for people."""
    what = event.kind.value.replace("_", " ")
    parts = [f"{event.mapping}: {what}" if event.mapping else what]
    if event.kind in {EventKind.SERVER_OFFLINE, EventKind.SERVER_ONLINE}:
        parts = [f"server {event.server}: {what.removeprefix('server ')}"]
    if event.source:
        parts.append(f"{quote(event.source)} →")
    if event.path:
        parts.append(quote(event.path))
    if event.size and event.kind in _SENT:
        parts.append(f"({event.size:,} bytes in {event.duration_s:.2f} s)")
    line = " ".join(parts)
    if event.message:
        line += f" - {event.message}"
    if event.reply and event.reply not in event.message and event.kind in {EventKind.FAILED, EventKind.PARKED}:
        line += f" (server: {event.reply})"
    return line
