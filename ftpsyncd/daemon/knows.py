"""Why a path is, or is not, at the server, as far as only a running daemon knows; `inspection.reasons` tells the rest.

In: a mapping at work and a path, on the engine's thread, which looks at no disk. Out: one sentence, or what is known
before the disk is looked at. Called by `steering`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.gate import Breaker, Gate
from ftpsyncd.counting import duration, exactly
from ftpsyncd.engine.awaited import awaited, renamed_first
from ftpsyncd.engine.report import no_space_message
from ftpsyncd.inspection.reasons import Known, failed_lately, known_of
from ftpsyncd.mapping import leftbehind
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Kind
from ftpsyncd.paths import above
from ftpsyncd.questions import Why
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.receipts import Receipt
from ftpsyncd.specs import DeletePolicy

_WORK: Mapping[type[Action], str] = MappingProxyType(
    {
        Upload: "published",
        Rename: "renamed",
        RenameDir: "renamed",
        MakeDir: "made",
        Delete: "deleted",
        RemoveDir: "deleted",
        Sweep: "asked about at the server",
    }
)
"""What is done to a path."""


def _next_try(gate: Gate, now: float) -> str:
    """When a server that failed is tried again, and what a person can do about it."""
    left_s = math.ceil(gate.paused_until - now)
    when = f"in {duration(left_s)}" if left_s > 0 else "now"
    if gate.state is Breaker.FULL:
        # What `check` publishes is so small that it has room.
        return f"the server is tried again {when}; free space there, or raise the quota"
    return f"the server is tried again {when}, and `ftpsyncd check` says what helps"


def known_now(mirror: Mirror, path: str, relative: str, at: Moment) -> Why | Known:
    """Why a path is, or is not, at the server; or what the engine knows before the disk is looked at."""
    live = _live_reason(mirror, path, relative, at)
    if live is not None:
        return live
    spec, lack = mirror.spec, mirror.queue.space.lack(mirror.spec.name, relative)
    known = known_of(spec, path, relative, mirror.ledger, mirror.id)
    return known._replace(
        no_space=no_space_message(lack) if lack is not None else "",
        renamed_first=_renamed_first(mirror, relative, at),
        gone=_gone_reason(mirror, path, relative, at),
        leaves=mirror.site.moves.leaves(relative),
        when_deleted=_when_deleted(mirror, relative, at),
        deleted_first=_deleted_first(mirror, relative, at),
        awaits="" if known.failure is None else awaited(mirror, relative, known.failure),
        looking=mirror.busy_looking(at.now) and not mirror.paused,
    )


def _failing(gate: Gate, now: float) -> str:
    """What a server says that is not at work, to be put after a sentence; empty if it is."""
    return f": {gate.message.rstrip('.')}; {_next_try(gate, now)}" if gate.message else ""


def _renamed_first(mirror: Mirror, path: str, at: Moment) -> str:
    """That what is at a path waits until a directory above it has its new name at the server; empty if it does not."""
    found = renamed_first(mirror, path)
    if found is None:
        target = mirror.site.moves.target(path)
        # It is gone, or there again and still to be looked at.
        return f"it may be {quote(target)} now, and is renamed there unless it is written anew" if target else ""
    directory, runs = found
    if runs:
        return f"its directory {quote(directory)} is being renamed at the server"
    return f"its directory {quote(directory)} is renamed at the server first{_failing(mirror.queue.gate, at.now)}"


def _live_reason(mirror: Mirror, path: str, relative: str, at: Moment) -> Why | None:
    """What only the running daemon knows about a path; None if the ledger tells it all."""
    name, queue = mirror.spec.name, mirror.queue
    if mirror.removals.source.missing:
        sentence = f"{mirror.removals.source.missing}; nothing changes at the server until it can be read"
        return Why(path, name, "source_missing", sentence)
    last, receipt = _last_failure(mirror, relative)
    paused = _paused(mirror)
    pending = mirror.waits.pending.get(relative)
    # What only waits for its next try is in the ledger, with what it failed of.
    if pending is not None and pending.unsettled:
        waited_s = round(at.now - pending.first, 1)
        what = "not published yet"
        if pending.gone:
            keeps = mirror.spec.deletes is DeletePolicy.KEEP
            what = f"it is gone here; not {'forgotten' if keeps else 'deleted at the server'} yet"
        failing = _failing(queue.gate, at.now) if pending.late else ""
        settles = pending.sighting is not None and not (pending.busy or pending.source)
        quiet = f" and has to be quiet for {exactly(mirror.spec.settle_s)}" if settles else ""
        sentence = f"{what}, because {pending.why}{quiet} (for {duration(waited_s)}){failing}{paused}{last}"
        return Why(path, name, "settling", sentence, {"waited_s": waited_s, "settle_s": mirror.spec.settle_s}, receipt)
    if (running := queue.at_work(name, relative)) is not None:
        return Why(path, name, "in_flight", f"it is being {_WORK[type(running)]} right now{last}", receipt=receipt)
    action = queue.waiting(name, relative)
    # A leftover that is going to be swept says nothing about the file itself.
    if action is not None and not isinstance(action, Sweep):
        failing = _failing(queue.gate, at.now)
        sentence = f"waits in the queue of {mirror.spec.server} ({action.why}){failing}{paused}{last}"
        return Why(path, name, "pending", sentence, {"action": type(action).__name__.lower()}, receipt)
    return None


def _last_failure(mirror: Mirror, relative: str) -> tuple[str, Receipt | None]:
    """What the last try failed of, to be put after a sentence, and its receipt; empty if it did not fail."""
    last, receipt = failed_lately(mirror.ledger, mirror.id, relative)
    return last and f"; the last try failed: {last}", receipt


def _paused(mirror: Mirror) -> str:
    """That a mapping is paused, to be put after a sentence; empty if it is not."""
    return (
        f"; {mirror.spec.name} is paused, `ftpsyncd resume {as_word(mirror.spec.name)}` goes on"
        if mirror.paused
        else ""
    )


def _gone_reason(mirror: Mirror, path: str, relative: str, at: Moment) -> Why | None:
    """What is said of a published path that is gone; something else may have its place by now, that is for a look.

    None: it is not known to be gone.
    """
    name, absent = mirror.spec.name, mirror.removals.absent
    last, receipt = _last_failure(mirror, relative)
    gone = relative
    if absent.since(relative) is None and not last and mirror.ledger.row(mirror.id, relative) is not None:
        # What went with a directory has no note of its own.
        gone = next((each for each in above(relative) if absent.since(each) is not None), relative)
    since = absent.since(gone)
    if since is None:
        return None
    if mirror.removals.hold is not None:
        return Why(path, name, "held", mirror.removals.hold.message)
    left_s = _left_s(mirror, since, at)
    what = "forgotten, and kept" if mirror.spec.deletes is DeletePolicy.KEEP else "deleted"
    when = _when_deleted(mirror, gone, at)
    sentence = f"it is gone here; {what} at the server {when}{_paused(mirror)}{last}"
    return Why(path, name, "settling", sentence, {"left_s": left_s}, receipt)


def _left_s(mirror: Mirror, since: float, at: Moment) -> float:
    """For how many seconds what is gone since then is still waited for."""
    return round(max(0.0, since + mirror.spec.delete_after_s - at.now), 1)


def _when_deleted(mirror: Mirror, gone: str, at: Moment) -> str:
    """When what is gone at a path is deleted at the server, in words; empty if it is not known to be gone."""
    removals, name = mirror.removals, mirror.spec.name
    if (since := removals.absent.since(gone)) is None or mirror.site.moves.leaves(gone):
        return ""
    if removals.hold is not None:
        return (
            f"when you have decided about the deletes that are held (`ftpsyncd approve {as_word(name)}`, or `discard`)"
        )
    if target := leftbehind.awaited(mirror.site, gone, removals.comes_to_rest):
        return f"when it is published as {quote(target)}{_failing(mirror.queue.gate, at.now)}"
    left_s = _left_s(mirror, since, at)
    if (may_be_in := removals.may_be_in) is not None and not left_s:
        return f"unless it is in {quote(may_be_in)}, which is renamed first{_failing(mirror.queue.gate, at.now)}"
    return f"in {duration(left_s)}" if left_s else "at once"


def _deleted_first(mirror: Mirror, path: str, at: Moment) -> str:
    """That a file has to go that has the name of a directory which a path is in now; empty if there is no such file."""
    for each in above(path):
        row = mirror.ledger.row(mirror.id, each)
        if row is not None and row.kind is Kind.FILE:
            when = _when_deleted(mirror, each, at)
            when = f", {when}" if when else _failing(mirror.queue.gate, at.now)
            goes = "renamed" if mirror.site.moves.leaves(each) else "deleted"
            return f"a file was published as {quote(each)}, and is {goes} at the server first{when}"
    return ""
