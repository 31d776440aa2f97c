"""Events as log lines: one line per event that matters, bounded when the same thing goes wrong many times.

In: `events.Event`, and the passing of time. Out: loguru records with fields bound. Called on the engine's thread, and
after its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ftpsyncd.counting import number, took
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
    EventKind.NO_RENAMES: "WARNING",
    EventKind.SOURCE_MISSING: "WARNING",
    EventKind.SOURCE_BACK: "INFO",
    EventKind.WATCHER: "WARNING",
    EventKind.RESCAN: "WARNING",
    EventKind.REPAIR: "WARNING",
    EventKind.LEDGER: "ERROR",
    EventKind.LEDGER_BACK: "INFO",
    EventKind.SHORTAGE: "ERROR",
    EventKind.SHORTAGE_OVER: "INFO",
}

_SENT = {EventKind.PUBLISHED, EventKind.UNCHANGED, EventKind.ADOPTED, EventKind.RENAMED, EventKind.KEPT}
"""Those whose size was sent, or would have been."""

_BOUNDED = {
    EventKind.FAILED,
    EventKind.PARKED,
    EventKind.KEPT,
    EventKind.FORGOTTEN,
    EventKind.RESCAN,
    EventKind.REPAIR,
    EventKind.WATCHER,
}

_AWAITS_A_PERSON = {EventKind.PARKED, EventKind.HELD}
"""Who may read nothing else."""


@dataclass(slots=True)
class _Window:
    """The events of one kind and mapping since the first that was logged."""

    began: float
    count: int = 0


class Journal:
    """Writes events to the log.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[EventKind, str], _Window] = {}

    def __call__(self, event: Event) -> None:
        """Log one event, or count it if there are too many of its kind."""
        if not wanted(_LEVELS[event.kind]):
            return
        # Of files that are held one by one there may be many; a hold of all of a mapping's deletes is one.
        bounded = event.kind in _BOUNDED or (event.kind is EventKind.HELD and event.path)
        if bounded and not self._within_bounds(event):
            return
        fields: dict[str, object] = {
            name: value
            for name in ("mapping", "path", "server", "size", "reply", "remedy", "source")
            if (value := getattr(event, name))
        }
        if event.duration_s:
            fields["duration_s"] = round(event.duration_s, 4)
        logger.bind(event=event.kind.value, **fields).log(_LEVELS[event.kind], "{}", sentence(event))

    def tell_counted(self, *, ended: bool = False) -> None:
        """Say how many events were only counted; to be called again and again.

        Args:
            ended: nothing more will happen: do not wait for the end of the minute.
        """
        now = self._clock()
        for (kind, mapping), window in list(self._windows.items()):
            if ended or now >= window.began + REPEAT_WINDOW_S:
                self._windows.pop((kind, mapping), None)
                left_out, span_s = window.count - REPEATS_IN_FULL, max(1, math.ceil(now - window.began))
                if left_out > 0:
                    logger.bind(event=kind.value, mapping=mapping).log(
                        _LEVELS[kind], "{}: {} more {} in the last {} s", mapping, left_out, kind.value, span_s
                    )

    def _within_bounds(self, event: Event) -> bool:
        self.tell_counted()
        window = self._windows.setdefault((event.kind, event.mapping), _Window(self._clock()))
        window.count += 1
        return window.count <= REPEATS_IN_FULL


def sentence(event: Event) -> str:
    """An event as one line for people."""
    what = event.kind.value.replace("_", " ")
    parts = [f"{event.mapping}: {what}" if event.mapping else what]
    if event.kind in {EventKind.SERVER_OFFLINE, EventKind.SERVER_ONLINE}:
        parts = [f"server {event.server}: {what.removeprefix('server ')}"]
    elif event.server and not event.mapping:
        parts = [f"server {event.server}: {what}"]
    if event.source:
        parts.append(f"{quote(event.source)} →")
    if event.path:
        parts.append(quote(event.path))
    if event.size and event.kind in _SENT:
        # What was there already, or is renamed, took nothing.
        lasted = f" in {took(event.duration_s)}" if event.duration_s else ""
        parts.append(f"({number(event.size, 'byte')}{lasted})")
    line = " ".join(parts)
    if event.message:
        line += f" - {event.message}"
    if event.reply and event.reply not in event.message and event.kind in {EventKind.FAILED, EventKind.PARKED}:
        line += f" (server: {event.reply})"
    if event.remedy and event.kind in _AWAITS_A_PERSON:
        line += f"{'' if line.endswith(('.', ')')) else '.'} {event.remedy}"
    return line
