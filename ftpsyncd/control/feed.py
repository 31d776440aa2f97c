"""What happens, as it happens, for whoever listens: the last events in a ring, and the transfers of this moment.

In: events and statuses, on the engine's thread, which is never kept waiting: a short lock, an append, and at most one
wake-up of the server's loop at a time. Out: events after a position; a reader too slow for the ring finds that it has
lost some. `sse` sends them.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from ftpsyncd.control.shapes import record_to_json
from ftpsyncd.engine.report import iso
from ftpsyncd.events import Event
from ftpsyncd.status import MappingState, MappingStatus, ServerState, ServerStatus, Status, Transfer
from ftpsyncd.typed import Typed

ROOM = 2000
"""Events that can be read again after a lost connection."""


class Position(NamedTuple):
    """Where a reader is: the run of the daemon, and the number of the next event."""

    run: str
    next: int


class News(NamedTuple):
    """What a reader gets."""

    events: list[bytes]
    """Each a complete message of the stream."""
    position: Position
    lost: bool
    """Events between the last position and these are no longer there."""


class _Item:
    """One event; encoded when somebody reads it first."""

    __slots__ = ("_bytes", "_data", "_id", "_name")

    def __init__(self, name: str, event_id: str, data: Callable[[], dict[str, Any]]) -> None:
        self._name = name
        self._id = event_id
        self._data: Callable[[], dict[str, Any]] | None = data
        self._bytes = b""

    def encoded(self) -> bytes:
        """The message; called on the loop's thread only."""
        if self._data is not None:
            self._bytes, self._data = message(self._name, self._data(), event_id=self._id), None
        return self._bytes


class Feed:
    """The ring of events and the state that the next ones are compared with.

    Args:
        room: how many events it holds.
        typed: how the commands that are named are typed for this service.
    """

    def __init__(self, room: int = ROOM, typed: Typed = Typed()) -> None:  # noqa: B008 - immutable
        self._typed = typed
        self._lock = threading.Lock()
        self._ring: deque[_Item] = deque(maxlen=room)
        self._run = f"{time.time_ns():x}"
        self._count = 1
        # Number 0 is what was before the first event: it can be asked for like any other.
        self._wake: Callable[[], None] | None = None
        self._woken = False
        self._mappings: dict[str, MappingState] = {}
        self._servers: dict[str, ServerState] = {}
        self._transfers: tuple[Transfer, ...] = ()
        self._shown = 0

    # ── on the engine's thread ───────────────────────────────────────────────────────────────────────────────

    def tell(self, event: Event) -> None:
        """Something happened."""
        at_ns = time.time_ns()
        self._add(event.kind.value, lambda: event_to_json(self._typed.record(event), at_ns))

    def show(self, status: Status) -> None:
        """How it is now: changes of state become events, transfers are passed on as they are."""
        at_ns = time.time_ns()
        mappings, self._mappings = self._mappings, {mapping.name: mapping.state for mapping in status.mappings}
        servers, self._servers = self._servers, {server.name: server.state for server in status.servers}
        for mapping in status.mappings:
            if mappings.get(mapping.name) is not mapping.state:
                self._add("mapping_state", partial(_state_to_json, self._typed.record(mapping), at_ns))
        for server in status.servers:
            if servers.get(server.name) is not server.state:
                self._add("server_state", partial(_state_to_json, self._typed.record(server), at_ns))
        if status.transfers or self._transfers:
            with self._lock:
                self._transfers = status.transfers
                self._shown += 1
            self._call()

    def _add(self, name: str, data: Callable[[], dict[str, Any]]) -> None:
        with self._lock:
            self._ring.append(_Item(name, f"{self._run}-{self._count}", data))
            self._count += 1
        self._call()

    def _call(self) -> None:
        with self._lock:
            wake = None if self._woken else self._wake
            self._woken = True
        if wake is not None:
            wake()

    # ── on the server's loop ─────────────────────────────────────────────────────────────────────────────────

    def listen(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called once when there is news, and again only after `rearm`; None: nobody listens."""
        with self._lock:
            self._wake, self._woken = wake, False

    def rearm(self) -> None:
        """The last call was understood: call again at the next news."""
        with self._lock:
            self._woken = False

    def now(self) -> Position:
        """The position of a reader who wants to know what happens from now on."""
        return Position(self._run, self._count)

    def position(self, last_id: str) -> Position:
        """The position after the event of this id, whether it is still there or not."""
        run, _, number = last_id.rpartition("-")
        # As long as a count can be: Python refuses to read thousands of digits.
        known = run == self._run and re.fullmatch("[0-9]{1,19}", number) and int(number) < self._count
        return Position(self._run, int(number) + 1) if known else Position("", 0)

    def after(self, position: Position) -> News:
        """The events from this position on."""
        with self._lock:
            first = self._count - len(self._ring)
            lost = position.run != self._run or position.next < first
            items = list(islice(self._ring, 0 if lost else position.next - first, None))
            now = self.now()
        return News([item.encoded() for item in items], now, lost)

    def transfers(self) -> tuple[int, tuple[Transfer, ...]]:
        """The transfers at the last look, and the number of that look."""
        with self._lock:
            return self._shown, self._transfers


def message(name: str, data: dict[str, Any], *, event_id: str = "") -> bytes:
    """One message of an event stream; its data are JSON in ASCII, which has no line breaks."""
    line = f"id: {event_id}\n" if event_id else ""
    return f"{line}event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode("ascii")


def event_to_json(event: Event, at_ns: int) -> dict[str, Any]:
    """The shape of an event."""
    return {
        "at": iso(at_ns),
        "mapping": event.mapping,
        "server": event.server,
        "path": event.path,
        "source": event.source,
        "size": event.size,
        "sha256": event.sha256.hex(),
        "duration_s": round(event.duration_s, 6),
        "attempts": event.attempts,
        "message": event.message,
        "reply": event.reply,
        "remedy": event.remedy,
        "error": event.error,
    }


def _state_to_json(status: MappingStatus | ServerStatus, at_ns: int) -> dict[str, Any]:
    return {"at": iso(at_ns), **record_to_json(status)}
