"""Status for people: the state of mirrors, queues and ledger as the immutable records of `status`.

In: the engine's state, or just the ledger. Out: MappingStatus, ServerStatus, Transfer, Problem. Called by the engine
for a live status and by `survey` for one without a daemon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.plan import next_try_ns
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import RELIST_GAP_S
from ftpsyncd.core.space import Lack
from ftpsyncd.counting import deletes, duration, number
from ftpsyncd.errors import LocalUnreadableError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.decisions import UNDATED
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.model import Failure
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.status import MappingState, MappingStatus, Problem, ServerState, ServerStatus, Status, Transfer

if TYPE_CHECKING:
    # `survey` does without what a daemon consists of.
    from ftpsyncd.mapping.mirror import Mirror
    from ftpsyncd.mapping.site import Moment
    from ftpsyncd.publishing.planned import Progress

PROBLEMS_SHOWN = 100
RATE_OVER_S = 0.25
"""The rate of a file is told over this time at least: what is sent first goes into the kernel's buffer at once."""

_SERVER_STATES = {
    Breaker.UNKNOWN: ServerState.UNKNOWN,
    Breaker.CLOSED: ServerState.ONLINE,
    Breaker.OFFLINE: ServerState.OFFLINE,
    Breaker.REFUSED: ServerState.REFUSED,
    Breaker.FULL: ServerState.FULL,
}

_NOT_WORKING = frozenset({Breaker.OFFLINE, Breaker.REFUSED, Breaker.FULL})


def iso(wall_ns: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds")


def mapping_status(mirror: Mirror, at: Moment) -> MappingStatus:
    """One mapping now."""
    load = mirror.queue.load(mirror.spec.name)
    totals = mirror.ledger.mappings.totals(mirror.id)
    failures = mirror.ledger.failures.counts(mirror.id)
    state, message = _state(mirror, failures.held, at)
    # Who may not read a folder is not to learn from its files that they never arrived: it waits as they do.
    waiting = [each for each in (mirror.waits.longest(), mirror.unreadable.longest()) if each is not None]
    longest = min(waiting, default=None)
    waits = load.waiting + len(mirror.waits.unsettled()) + mirror.queue.space.waiting(mirror.spec.name)
    gone = 0 if mirror.removals.hold else mirror.removals.absent.files + mirror.removals.absent.empty
    return MappingStatus(
        name=mirror.spec.name,
        local=str(mirror.spec.local),
        remote=f"{mirror.spec.server}:{mirror.spec.remote}",
        state=state,
        pending=waits + gone,
        in_flight=load.running,
        failed=failures.retrying + mirror.unreadable.count(),
        parked=failures.parked,
        held=mirror.removals.held + failures.held,
        published_files=totals.files,
        published_bytes=totals.bytes,
        last_publish=iso(totals.last_publish_ns) if totals.last_publish_ns else None,
        message=message,
        oldest_pending_s=None if longest is None else round(at.now - longest.since, 1),
        oldest_pending="" if longest is None else longest.told,
        watcher=mirror.watcher.kind,
        since=_since(mirror, state, at),
        directories_held=mirror.removals.directories_held,
        comparing=_is_comparing(mirror, at.now) or mirror.dirty.due_by(at.now + RELIST_GAP_S),
        settling=len(mirror.waits.unsettled()),
    )


def at_rest_until(mirror: Mirror, status: MappingStatus, now: float) -> float:
    """Until when the status of a mapping stays true if nothing comes in about it; ``now``: it may be another one soon.

    What waits for anything tells for how long, and why, which time alone may change.
    """
    if status.state is not MappingState.IN_SYNC or status.oldest_pending_s is not None:
        return now
    due = mirror.dirty.next_due()
    return math.inf if due is None else due - RELIST_GAP_S


def _iso_of(moment: float, at: Moment) -> str:
    """A moment, past or to come, that is known in monotonic seconds."""
    return iso(at.wall_ns + round((moment - at.now) * 1e9))


def _to_come(moment: float, at: Moment) -> str | None:
    """Likewise; None if it is over."""
    return _iso_of(moment, at) if moment > at.now else None


def _since(mirror: Mirror, state: MappingState, at: Moment) -> str | None:
    """Since when it is in a state in which it needs a person, as far as that is known."""
    source, hold = mirror.removals.source, mirror.removals.hold
    if source.missing:
        return _iso_of(source.missing_since, at)
    if state is MappingState.PAUSED:
        return iso_of_pause(mirror.paused_ns, at.wall_ns)
    if hold is None or state not in {MappingState.HELD, MappingState.SOURCE_MISSING}:
        return None
    return iso_of_past(hold.since_ns, at.wall_ns)


def iso_of_past(moment_ns: int, wall_ns: int) -> str | None:
    """When something was; None if that is still to come, since it was noted by a clock that was ahead."""
    return iso(moment_ns) if moment_ns <= wall_ns else None


def iso_of_pause(paused_ns: int, wall_ns: int) -> str | None:
    """When a person paused a mapping, if that was noted, and not by a clock that was ahead."""
    return None if paused_ns == UNDATED else iso_of_past(paused_ns, wall_ns)


def changed_message(name: str, files: int) -> str:
    """What is said of files that are to be deleted and were changed at the server."""
    what = number(files, "file was", "files were")
    return (
        f"{what} deleted here and changed at the server: `ftpsyncd approve {as_word(name)}` deletes there all the same,"
        f" `ftpsyncd discard {as_word(name)}` keeps what is there"
    )


def outdated(status: Status, state_dir: Path, still_s: float) -> Status:
    """A status that is not renewed any more, since the engine has not turned for so long: it says so."""
    stuck = (
        f"the daemon has done nothing for {duration(still_s)}, and what it tells is of before; perhaps the disk of the"
        f" state directory {state_dir} does not answer"
    )
    return status._replace(daemon=status.daemon._replace(stuck=stuck))


def _state(mirror: Mirror, changed: int, at: Moment) -> tuple[MappingState, str]:
    """The first of these that is true, worst first, and the sentence that goes with it."""
    load, removals = mirror.queue.load(mirror.spec.name), mirror.removals
    hold, source = removals.hold, removals.source
    queued = load.waiting + load.running > 0
    if source.missing:
        state = MappingState.SOURCE_MISSING, f"{source.missing}; nothing is deleted at the server meanwhile"
    elif hold is not None and source.unmounted:
        state = MappingState.SOURCE_MISSING, hold.message
    elif mirror.paused:
        state = MappingState.PAUSED, f"paused by a person; `ftpsyncd resume {as_word(mirror.spec.name)}` goes on"
    elif hold is not None and (removals.held or removals.directories_held or removals.may_hold_more):
        state = MappingState.HELD, hold.message
    elif changed:
        state = MappingState.HELD, changed_message(mirror.spec.name, changed)
    elif queued and mirror.queue.gate.state in _NOT_WORKING:
        state = MappingState.OFFLINE, f"waits for the server {mirror.spec.server}: {mirror.queue.gate.message}"
    elif queued or _is_comparing(mirror, at.now):
        state = MappingState.SYNCING, _without_space(mirror) or mirror.watcher.problem
    else:
        state = _state_of_rest(mirror, at.now)
    return state


def _is_comparing(mirror: Mirror, now: float) -> bool:
    """Whether a pass, or any look at the disk, is under way."""
    return mirror.busy_looking(now) or not mirror.looks.passes


def _state_of_rest(mirror: Mirror, now: float) -> tuple[MappingState, str]:
    """The state while nothing is under way."""
    for path, pending in mirror.waits.unsettled():
        return MappingState.SETTLING, f"{path}: {pending.why}"
    if mirror.queue.space.waiting(mirror.spec.name):
        return MappingState.OFFLINE, _without_space(mirror)
    if (gone := mirror.removals.absent).files or gone.empty:
        waits = f"{deletes(gone.files, gone.empty, 'waits', 'wait')} for delete_after"
        return MappingState.SETTLING, f"{waits}{or_published_first(mirror)}"
    if mirror.dirty.due_by(now + RELIST_GAP_S):
        # Such as a file that changed while it was sent: it is looked at again in a moment.
        return MappingState.SYNCING, mirror.watcher.problem
    return MappingState.IN_SYNC, unreadable_message(mirror) or mirror.watcher.problem


def or_published_first(mirror: Mirror) -> str:
    """What is to be put behind that deletes wait for `delete_after`; empty if they wait for nothing else."""
    first = mirror.removals.published_first
    return f", or until what has other names now is published ({quote(first)})" if first else ""


def no_space_message(lack: Lack) -> str:
    """What is said of a directory that is full at a server; it is told by the mapping's name and the path in that."""
    return f"there is no space at the server for what is in {quote(lack.key)} ({lack.message})"


def _without_space(mirror: Mirror) -> str:
    """What of a mapping waits for space at the server, in words; empty if nothing does."""
    lacks = [lack for lack in mirror.queue.space.lacks(mirror.spec.name) if lack.waiting]
    return f"{no_space_message(lacks[0])}; all else is sent" if lacks else ""


def unreadable_message(mirror: Mirror) -> str:
    """What cannot be compared, in words; empty if everything can."""
    if not mirror.unreadable.problems:
        return ""
    path, why = next(iter(mirror.unreadable.problems.items()))
    more = f", and {len(mirror.unreadable.problems) - 1} more" if len(mirror.unreadable.problems) > 1 else ""
    return f"{path or 'the folder'} cannot be read: {why}{more}; nothing is deleted there meanwhile"


def server_status(name: str, queue: Queue, connections: int, at: Moment, limits: str = "") -> ServerStatus:
    """One server now; ``limits``: what of it is worse than it should be."""
    state = _SERVER_STATES[queue.gate.state]
    if state is ServerState.UNKNOWN and connections:
        state = ServerState.ONLINE
    lacks = queue.space.lacks()
    if state is ServerState.ONLINE and lacks:
        more = f" (and {len(lacks) - 1} more)" if len(lacks) > 1 else ""
        message = f"{no_space_message(lacks[0])}{more}; all else is sent"
        return ServerStatus(
            name, ServerState.FULL, connections, message, _iso_of(lacks[0].since, at), _to_come(lacks[0].until, at)
        )
    since = next_try = None
    if queue.gate.is_doubtful:
        since, next_try = _iso_of(queue.gate.failing_since, at), _to_come(queue.gate.paused_until, at)
    return ServerStatus(name, state, connections, queue.gate.message or limits, since, next_try)


def transfer_of(progress: Progress, now: float) -> Transfer:
    """A file on its way now."""
    rate = (progress.sent_bytes - progress.kept_bytes) / max(now - progress.started, RATE_OVER_S)
    still_s = max(0.0, now - progress.moved)
    return Transfer(
        progress.mapping, progress.path, progress.sent_bytes, progress.size_bytes, round(rate, 1), round(still_s, 1)
    )


def problems_of(
    ledger: Ledger,
    mappings: Mapping[str, int],
    wall_ns: int,
    awaits: Callable[[str, str, Failure], str] = lambda *_: "",
) -> tuple[Problem, ...]:
    """What could not be published or deleted, what waits for a person first, at most 100.

    Args:
        ledger: which has it.
        mappings: their numbers in it, by name.
        wall_ns: what time it is.
        awaits: what a path of a mapping waits for that is not parked, whatever the time of its next try.
    """
    found: list[tuple[str, str, Failure]] = []
    parked = 0
    for name, mapping_id in mappings.items():
        counts = ledger.failures.counts(mapping_id)
        # A status is made four times a second: of many mappings that have failures only those are read that it shows.
        if counts.parked or counts.held or (counts.retrying and len(found) < PROBLEMS_SHOWN):
            found += ((name, path, failure) for path, failure in ledger.failures.worst(mapping_id, PROBLEMS_SHOWN))
            parked += counts.parked + counts.held
        if parked >= PROBLEMS_SHOWN:
            break
    found.sort(key=lambda item: not item[2].parked)
    return tuple(
        problem_of(name, path, failure, wall_ns, "" if failure.parked else awaits(name, path, failure))
        for name, path, failure in found[:PROBLEMS_SHOWN]
    )


def unreadable_of(mirrors: Iterable[Mirror]) -> tuple[Problem, ...]:
    """What is there and cannot be read, so that it is not known what would have to be done about it; at most 100."""
    found = (
        Problem(mirror.spec.name, path, False, 1, f"It cannot be read: {why}.", "", LocalUnreadableError.remedy, None)  # noqa: FBT003
        for mirror in mirrors
        for path, why in mirror.unreadable.problems.items()
    )
    return tuple(islice(found, PROBLEMS_SHOWN))


def problem_of(mapping: str, path: str, failure: Failure, wall_ns: int, awaits: str = "") -> Problem:
    """A recorded failure for people."""
    held = failure.parked and failure.kind == CHANGED
    return Problem(
        mapping,
        path,
        failure.parked and not held,
        failure.attempts,
        failure.message,
        failure.reply,
        failure.remedy,
        None if failure.parked else iso(next_try_ns(failure, wall_ns)),
        held,
        iso_of_past(failure.failed_ns, wall_ns),
        awaits,
    )
