"""What mappings that are not there any more left half sent at a server, so that nobody else would sweep it.

In: the ledger's intents of mappings that the configuration does not have, or has with another place. Out: sweeps for
a server's queue, and words about what nobody can reach or delete. One `Leftovers` per server, used by the engine's
thread. What lies where another mapping publishes now is that one's (`takeovers`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ftpsyncd.actions import Did, Failed, Outcome, Sweep
from ftpsyncd.core.schedule import Queue
from ftpsyncd.errors import NO_ANSWER
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.late import stands
from ftpsyncd.mapping.openintents import LATE_S, PUT_OFF_S
from ftpsyncd.model import Intent, Kind
from ftpsyncd.paths import remote_join
from ftpsyncd.quoting import quote
from ftpsyncd.specs import with_plain_host

NAMES_SHOWN = 5
"""Of what is left where no configured server leads."""
SWEEPS = 2
"""The second one a minute later, since a command that hung on the line may come late."""


class Left(NamedTuple):
    """What one interrupted upload of a mapping that has gone may have left."""

    mapping: int
    """Its number in the ledger."""
    name: str
    destination: str
    """Where it published to (`specs.destination`)."""
    path: str
    intent: Intent

    def is_of(self, account: str) -> bool:
        """Whether it is at the server of an account (``user@host:port``)."""
        return self.destination.startswith(f"{account}/")

    def sweeps(self, account: str) -> Iterator[Sweep]:
        """What removes it from there: of no mapping, each with an absolute remote path."""
        for temporary in dict.fromkeys((self.intent.temporary, *self.intent.parts)):
            if temporary:
                yield Sweep("", temporary, temporary)
        if self.intent.exposed is not None:
            yield Sweep("", remote_join(self.destination[len(account) :], self.path), "", exposed=self.intent.exposed)


def left_behind(ledger: Ledger, configured: Collection[int]) -> list[Left]:
    """What the mappings that are not configured may have left.

    Args:
        ledger: as it is now.
        configured: the numbers of those that are.
    """
    return [
        Left(mapping, name, with_plain_host(destination), path, intent)
        for mapping, name, destination in ledger.begun.mappings()
        if mapping not in configured
        for path, intent in ledger.begun.of(mapping)
        # What was published whole after that is no leftover, and stays.
        if (intent.temporary or intent.parts or intent.exposed is not None)
        and stands(ledger, mapping, path, intent) is None
    ]


def unreachable(left: Iterable[Left]) -> list[Event]:
    """What is said of what no configured server leads to."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in left:
        names = found.setdefault((each.name, each.destination), [])
        names += [name for name in (each.intent.temporary, *each.intent.parts) if name]
        names += [each.path] if each.intent.exposed is not None else []
    return [
        Event(
            EventKind.KEPT,
            name,
            message=f"what was being sent to {destination} when that was cut off may be left there ({_some(names)}):"
            " no server of the configuration leads there any more",
        )
        for (name, destination), names in found.items()
    ]


@dataclass(slots=True)
class _Task:
    left: Left
    sweep: Sweep
    due: float = 0.0
    """Monotonic seconds."""
    done: int = 0
    refused: bool = False
    """That was told."""


class Leftovers:
    """What is to be swept at one server; true while there is any.

    Args:
        server: its name.
        account: that leads there.
        ledger: shared; the engine commits.
        queue: of the server.
        emit: takes events for the log.
        found: what is left there.
    """

    def __init__(
        self,
        server: str,
        account: str,
        ledger: Ledger,
        queue: Queue,
        emit: Callable[[Event], None],
        found: Iterable[Left],
    ) -> None:
        self._server = server
        self._ledger = ledger
        self._queue = queue
        self._emit = emit
        self._open = {sweep.path: _Task(left, sweep) for left in found for sweep in left.sweeps(account)}

    def __repr__(self) -> str:
        return f"<Leftovers open={len(self._open)}>"

    def __bool__(self) -> bool:
        return bool(self._open)

    def ask(self, now: float) -> None:
        """Nothing else is to be done at the server: sweep what is due (monotonic seconds)."""
        for path, task in self._open.items():
            if now >= task.due and not self._queue.occupied("", path):
                self._queue.offer(task.sweep)

    def over(self, outcome: Outcome, now: float) -> None:
        """A sweep has ended."""
        task = self._open.get(outcome.action.path)
        if task is None:
            return
        if isinstance(outcome, Failed):
            self._failed(task, outcome, now)
            return
        task.done, task.due = task.done + 1, now + LATE_S
        if outcome.did is Did.KEPT or task.done == SWEEPS:
            del self._open[task.sweep.path]
            if outcome.did is Did.KEPT:
                self._tell(EventKind.KEPT, task, "it does not show, by its size and date, that it is a part: it stays")
            self._settle(task.left)

    def _failed(self, task: _Task, failed: Failed, now: float) -> None:
        if failed.connecting or failed.error.retry in NO_ANSWER:
            task.due = now + LATE_S
            return
        task.due = now + PUT_OFF_S
        if not task.refused:
            task.refused = True
            self._tell(EventKind.FAILED, task, f"it cannot be deleted: {failed.error.message}")

    def _tell(self, kind: EventKind, task: _Task, what: str) -> None:
        message = f"left at {self._server} by an interrupted upload of a mapping that is gone; {what}"
        self._emit(Event(kind, task.left.name, task.sweep.path, self._server, message))

    def _settle(self, left: Left) -> None:
        """Nothing of it is left; whether the file had arrived is for its mapping to find out, should that be back."""
        if any(task.left is left for task in self._open.values()):
            return
        rest = left.intent._replace(temporary="", received=0, parts=(), exposed=None)
        if rest == Intent(Kind.FILE):
            self._ledger.begun.clear(left.mapping, left.path)
        else:
            self._ledger.begun.put(left.mapping, left.path, rest)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(quote(name) for name in names[:NAMES_SHOWN]) + more
