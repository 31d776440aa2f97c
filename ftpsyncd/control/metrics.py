"""What Prometheus scrapes: counters of the `meter`, and gauges from the last status. The only import of its library.

Names and units follow Prometheus' conventions; `contrib/` has a dashboard and alert rules that use them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ftpsyncd.control.meter import BUCKETS_S, DONE, Counts, Durations, Meter, Place
from ftpsyncd.control.port import Daemon
from ftpsyncd.status import MappingState, MappingStatus, ServerState, Status

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_Key = TypeVar("_Key", bound=tuple[str, ...])

STEP_S = 1.0
"""A clock that is led to the right time is never set by more."""
_PLACE = ("mapping", "server")
_WATCHERS = ("none", "native", "native+poll", "poll")


class Metrics:
    """The exposition of one daemon; thread-safe.

    Args:
        daemon: its status and health.
        meter: what it counted.
        fresh_s: for so long everybody is told the same, so that many readers cost no more than a few.
    """

    def __init__(self, daemon: Daemon, meter: Meter, *, fresh_s: float = 0.0) -> None:
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._text = b""
        self._stale_at = -math.inf
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Numbers(daemon, meter))
        self._registry.register(_Process())

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        with self._lock:
            if (now := time.monotonic()) >= self._stale_at:
                self._text = generate_latest(self._registry)
                self._stale_at = now + self._fresh_s
            return self._text


class _Process(Collector):
    """The numbers of the process."""

    def collect(self) -> Iterable[Metric]:
        """All families."""
        # Made anew: it notes when the machine was started, by the clock as it is set then.
        return ProcessCollector(registry=None).collect()


class _Numbers(Collector):
    """Makes metrics of counts and status at the moment of a scrape."""

    def __init__(self, daemon: Daemon, meter: Meter) -> None:
        self._daemon = daemon
        self._meter = meter
        self._booted_s: float | None = None
        """When the engine was started, by the clock that nobody sets."""
        self._started_s = -math.inf

    def collect(self) -> Iterator[Metric]:
        """All families."""
        status, health = self._daemon.status(), self._daemon.health()
        places = {each.name: (each.name, each.remote.partition(":")[0]) for each in status.mappings}
        yield InfoMetricFamily("ftpsyncd_build", "The running version.", {"version": status.daemon.version})
        yield _gauge("engine_turn_age_seconds", "Time since the engine's loop turned last.", health.engine_turn_age_s)
        yield _gauge("ledger_writable", "1 if what is done can be recorded.", int(not status.daemon.message))
        started_s = self._started(status.daemon.uptime_s)
        yield _gauge("start_time_seconds", "When the engine was started, since the epoch.", started_s)
        yield from _counters(self._meter.read(), list(places.values()), [each.name for each in status.servers])
        yield from _mappings(status, places)
        yield from _servers(status)

    def _started(self, uptime_s: float) -> float:
        """When the engine was started, by the wall clock as it is set now; else the same, since restarts are counted.

        Args:
            uptime_s: as a status tells it: some seconds ago, while nothing happens, and without the machine's sleep.
        """
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._booted_s is None:
            self._booted_s = now_s - uptime_s
        started_s = round(time.time() - (now_s - self._booted_s), 1)
        if abs(started_s - self._started_s) > STEP_S:
            self._started_s = started_s
        return self._started_s


# ── Counters ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _counters(counts: Counts, places: list[Place], servers: list[str]) -> Iterator[Metric]:
    """What was counted; zero where nothing happened yet, so that the first time is a change, too."""
    for name, text, found in (
        ("files_published", "Files sent, verified and given their final name.", counts.files),
        ("published_bytes", "Bytes of these files.", counts.bytes),
        ("files_parked", "Times a file was parked: it waits for a change or for `ftpsyncd retry`.", counts.parked),
        ("holds", "Times deletes were held for a person to decide.", counts.holds),
        ("rescans", "Comparisons of everything because changes may have been missed.", counts.rescans),
    ):
        yield _counter(name, text, _PLACE, {**dict.fromkeys(places, 0), **found})
    kinds = sorted(kind.value for kind in DONE)
    nothing = {(*place, kind): 0 for place in places for kind in kinds}
    yield _counter("actions", "Actions that succeeded.", (*_PLACE, "kind"), {**nothing, **counts.actions})
    text = "Tries that failed, by the kind of the error, until the path is parked; without a connection: see outages."
    yield _counter("failures", text, (*_PLACE, "error"), counts.failures)
    text = "Times a server was found not to work."
    yield _counter("server_outages", text, ("server",), {(name,): counts.outages[name] for name in servers})
    durations = HistogramMetricFamily(
        "ftpsyncd_transfer_duration_seconds",
        "Time from opening a file to the server's word for its last byte.",
        labels=_PLACE,
    )
    for place, measured in {**{place: Durations() for place in places}, **counts.durations}.items():
        durations.add_metric(place, list(_buckets(measured)), measured.sum_s)
    yield durations


def _buckets(durations: Durations) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*BUCKETS_S, None), durations.counts, strict=True):
        total += count
        yield "+Inf" if bound is None else str(bound), total


# ── Gauges ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _mappings(status: Status, places: dict[str, Place]) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, Callable[[MappingStatus], float | None]], ...] = (
        ("queue_depth", "Changes that wait: to come to rest, for their turn, or for the server.", lambda m: m.pending),
        ("actions_in_flight", "Actions that are being performed.", lambda m: m.in_flight),
        (
            "oldest_pending_age_seconds",
            "How long the oldest pending file, or folder that cannot be read, has been waiting.",
            _oldest,
        ),
        ("files_failing", "Files that failed, or cannot be read, and are tried again.", lambda m: m.failed),
        ("parked_files", "Files that wait for a change or for `ftpsyncd retry`.", lambda m: m.parked),
        ("held_deletes", "Deletes that wait for `ftpsyncd approve` or `discard`.", lambda m: m.held),
        (
            "held_directories",
            "Directories without a published file whose removal waits for these.",
            lambda m: m.directories_held,
        ),
        ("files", "Files that the server is known to have.", lambda m: m.published_files),
        ("size_bytes", "Bytes of these files.", lambda m: m.published_bytes),
        (
            "last_publish_timestamp_seconds",
            "When a file was published or renamed last; absent before the first one.",
            _last,
        ),
    )
    for name, text, value in gauges:
        family = GaugeMetricFamily(f"ftpsyncd_{name}", text, labels=_PLACE)
        for mapping in status.mappings:
            if (number := value(mapping)) is not None:
                family.add_metric(places[mapping.name], number)
        yield family
    yield _one_of(
        "mapping_state",
        "1 for the state that a mapping is in.",
        (*_PLACE, "state"),
        ((places[m.name], m.state) for m in status.mappings),
        list(MappingState),
    )
    yield _one_of(
        "watcher",
        "1 for how the changes of a mapping are noticed.",
        (*_PLACE, "kind"),
        ((places[m.name], m.watcher) for m in status.mappings),
        _WATCHERS,
    )


def _oldest(mapping: MappingStatus) -> float:
    return mapping.oldest_pending_s or 0.0


def _last(mapping: MappingStatus) -> float | None:
    return None if mapping.last_publish is None else datetime.fromisoformat(mapping.last_publish).timestamp()


def _servers(status: Status) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "ftpsyncd_server_up", "1 if the server works or has not been tried, 0 if it does not.", labels=("server",)
    )
    connections = GaugeMetricFamily("ftpsyncd_server_connections", "Open connections.", labels=("server",))
    for server in status.servers:
        down = server.state in {ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL}
        up.add_metric((server.name,), int(not down))
        connections.add_metric((server.name,), server.connections)
    yield up
    yield connections
    yield _one_of(
        "server_state",
        "1 for the state that a server is in.",
        ("server", "state"),
        (((s.name,), s.state) for s in status.servers),
        list(ServerState),
    )


# ── Families ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ftpsyncd_{name}", text, value=value)


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[_Key, int]) -> Metric:
    family = CounterMetricFamily(f"ftpsyncd_{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _one_of(
    name: str,
    text: str,
    labels: tuple[str, ...],
    found: Iterable[tuple[tuple[str, ...], str]],
    choices: Iterable[str],
) -> Metric:
    family = GaugeMetricFamily(f"ftpsyncd_{name}", text, labels=labels)
    for key, state in found:
        for choice in choices:
            family.add_metric((*key, str(choice)), int(choice == state))
    return family
