"""Counts what happens, for `metrics`: on the engine's thread, in a microsecond or two, without any library."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from ftpsyncd.events import Event, EventKind

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the histogram of transfers: from a small file nearby to a film over a slow line."""

Place = tuple[str, str]
"""(mapping, server)"""

DONE = frozenset(
    {
        EventKind.PUBLISHED,
        EventKind.UNCHANGED,
        EventKind.ADOPTED,
        EventKind.KEPT,
        EventKind.RENAMED,
        EventKind.DELETED,
        EventKind.TRASHED,
        EventKind.MADE,
        EventKind.REMOVED,
        EventKind.FORGOTTEN,
    }
)
"""What is counted as an action that succeeded."""


@dataclass(slots=True)
class Durations:
    """A histogram: how many transfers ended in each bucket (the last is for all that took longer), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0


@dataclass(slots=True)
class Counts:
    """What was counted since the daemon started."""

    files: Counter[Place] = field(default_factory=Counter)
    bytes: Counter[Place] = field(default_factory=Counter)
    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By mapping, server and kind."""
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By mapping, server and class of the error."""
    parked: Counter[Place] = field(default_factory=Counter)
    holds: Counter[Place] = field(default_factory=Counter)
    rescans: Counter[Place] = field(default_factory=Counter)
    outages: Counter[str] = field(default_factory=Counter)
    """By server."""
    durations: dict[Place, Durations] = field(default_factory=dict)


class Meter:
    """Counts events; `read` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    def tell(self, event: Event) -> None:
        """Something happened."""
        place, counts = (event.mapping, event.server), self._counts
        with self._lock:
            if event.kind in DONE:
                counts.actions[event.mapping, event.server, event.kind.value] += 1
            match event.kind:
                case EventKind.PUBLISHED:
                    counts.files[place] += 1
                    counts.bytes[place] += event.size
                    durations = counts.durations.setdefault(place, Durations())
                    durations.counts[bisect_left(BUCKETS_S, event.duration_s)] += 1
                    durations.sum_s += event.duration_s
                case EventKind.FAILED | EventKind.PARKED:
                    counts.failures[event.mapping, event.server, event.error or "unknown"] += 1
                    counts.parked[place] += event.kind is EventKind.PARKED
                case EventKind.HELD:
                    counts.holds[place] += 1
                    # A delete of one file, which somebody changed at the server, was tried.
                    if event.error:
                        counts.failures[event.mapping, event.server, event.error] += 1
                case EventKind.RESCAN:
                    counts.rescans[place] += 1
                case EventKind.SERVER_OFFLINE:
                    counts.outages[event.server] += 1
                case _:
                    pass

    def read(self) -> Counts:
        """A copy of what was counted so far."""
        counts = self._counts
        with self._lock:
            return Counts(
                counts.files.copy(),
                counts.bytes.copy(),
                counts.actions.copy(),
                counts.failures.copy(),
                counts.parked.copy(),
                counts.holds.copy(),
                counts.rescans.copy(),
                counts.outages.copy(),
                {place: Durations(list(each.counts), each.sum_s) for place, each in counts.durations.items()},
            )
