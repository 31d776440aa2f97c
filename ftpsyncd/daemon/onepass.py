"""One pass to the end (`sync`): how far it is, and what it leaves to somebody else.

In: the engine's state, on its thread. Out: `Progress`, whose messages are all that a person hears of what was not done:
no daemon goes on with it. Called by `service`.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.counting import deletes, number
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.report import changed_message, no_space_message, or_published_first, unreadable_message
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Hold
from ftpsyncd.quoting import as_word, quote


class Progress(NamedTuple):
    """How far a `sync` is."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    deletes_done: int
    failed: int
    held: int
    finished: bool
    unavailable: bool
    """A server could not be reached."""
    messages: tuple[str, ...]
    source_missing: bool = False
    """A folder is not there: nothing of it was compared."""
    paused: int = 0
    """Changes that wait for mappings to go on which a person paused."""
    renames_done: int = 0
    files_adopted: int = 0
    directories_held: int = 0
    """Directories in which no published file is left, and whose removal is withheld, besides what `held` counts."""
    holds: int = 0
    """Mappings whose deletes are withheld, be it that none is known: another folder is there, or cannot be read."""


def progress_of(engine: Engine, at: Moment) -> Progress:
    """How far a pass is; on the engine's thread."""
    mirrors, servers, counters = engine.mirrors.values(), engine.servers.values(), engine.counters
    waiting = [server.queue.backlog() for server in servers]
    files, size = (sum(counts) for counts in zip(*waiting, strict=True)) if waiting else (0, 0)
    down = [server for server in servers if server.queue.gate.is_doubtful]
    unavailable = {server.name for server in down if not server.queue.in_flight}
    failures = [(mirror, engine.ledger.failures.counts(mirror.id)) for mirror in mirrors]
    holds = [(mirror.spec.name, hold) for mirror in mirrors if (hold := _hold(mirror)) is not None]
    paused = [(mirror.spec.name, mirror.queue.load(mirror.spec.name).waiting) for mirror in mirrors if mirror.paused]
    return Progress(
        files_done=counters.files,
        files_total=counters.files + files,
        bytes_done=counters.bytes,
        bytes_total=counters.bytes + size,
        deletes_done=counters.deletes,
        failed=sum(count.retrying + count.parked for _, count in failures)
        + sum(map(_without_space, mirrors))
        + sum(mirror.unreadable.count() for mirror in mirrors),
        held=sum(mirror.removals.held + count.held for mirror, count in failures),
        finished=engine.up_to_date
        and all(mirror.finished(at.now) or mirror.spec.server in unavailable for mirror in mirrors),
        unavailable=bool(unavailable),
        messages=(
            *(f"{server.name}: {server.queue.gate.message}" for server in down),
            *(f"{server.name}: {no_space_message(lack)}" for server in servers for lack in server.queue.space.lacks()),
            *(f"{name}: {paused_message(name, waits)}" for name, waits in paused),
            *(f"{mirror.spec.name}: {words}" for mirror in mirrors if (words := _later_message(mirror))),
            # No ledger has them, so that `status` would not tell after the end.
            *(f"{mirror.spec.name}: {words}" for mirror in mirrors if (words := unreadable_message(mirror))),
            *(f"{mirror.spec.name}: {words}" for mirror in mirrors if (words := mirror.removals.source.missing)),
            *(f"{name}: {hold.message}" for name, hold in holds),
            *(
                f"{mirror.spec.name}: {changed_message(mirror.spec.name, count.held)}"
                for mirror, count in failures
                if count.held
            ),
        ),
        source_missing=any(mirror.removals.source.missing for mirror in mirrors),
        paused=sum(waits for _, waits in paused),
        renames_done=counters.renames,
        files_adopted=counters.adopted,
        directories_held=sum(mirror.removals.directories_held for mirror in mirrors),
        holds=len(holds),
    )


def _hold(mirror: Mirror) -> Hold | None:
    """Why deletes are withheld, if any is, or would be; of a folder that is missing, only that is told."""
    removals = mirror.removals
    if removals.source.missing:
        return None
    return removals.hold if removals.held or removals.directories_held or removals.may_hold_more else None


def paused_message(name: str, waiting: int) -> str:
    """What to tell of a mapping that a `sync` finds paused."""
    waits = f", {number(waiting, 'change waits', 'changes wait')}" if waiting else ""
    return f"paused by a person{waits}; `ftpsyncd resume {as_word(name)}` goes on"


def _later_message(mirror: Mirror) -> str:
    """What to tell of deletes for which a `sync` does not wait; empty if there are none."""
    files, directories = mirror.removals.absent.files, mirror.removals.absent.empty
    if mirror.removals.hold is not None or not (files or directories):
        return ""
    waits = f"{deletes(files, directories, 'waits', 'wait')} for `delete_after`{or_published_first(mirror)}"
    if (directory := mirror.removals.may_be_in) is not None:
        gone = number(files, "file is", "files are") if files else deletes(0, directories, "is", "are")
        waits = f"{gone} gone here, or in {quote(directory)}, which is renamed first"
    return f"{waits}; a later `sync`, or the daemon, goes on"


def _without_space(mirror: Mirror) -> int:
    """How many files wait for space, but for those that count among what failed: they may have found none before."""
    name, tries = mirror.spec.name, mirror.ledger.failures.tries
    waiting = [key[len(name) + 1 :] for lack in mirror.queue.space.lacks(name) for key in lack.waiting]
    return sum(not tries(mirror.id, path) for path in waiting)
