"""What people want done again in a mapping at work: tried, compared, published.

In: their commands, with a path or without, on the engine's thread. Out: marks on what is looked at next, failures and
rows in question, and one sentence of what that means. Used by `steering`, and by `verify --repair`.
"""

from __future__ import annotations

from collections.abc import Collection

from ftpsyncd.counting import number
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import MISSING, Kind


def retry(mirror: Mirror, path: str | None, at: Moment) -> str:
    """A person wants failed and parked paths to be tried again now."""
    spec, dirty, failures = mirror.spec, mirror.dirty, mirror.ledger.failures
    mirror.queue.try_again(at.now)
    mirror.queue.space.try_now(spec.name)
    mirror.offers.rename_all()
    if not path:
        count = mirror.unreadable.count() + failures.clear_all(mirror.id)
        dirty.mark_deep("", at.now)
        if not count and not mirror.site.performs:
            return f"{spec.name}: nothing had failed"
        if not count:
            return f"{spec.name}: compared again, and {spec.server} is tried now; nothing had failed"
        return f"{spec.name}: {_failed(count)} tried again"
    itself = failures.of(mirror.id, path) is not None or path in mirror.unreadable.problems
    below = mirror.unreadable.count(f"{path}/")
    failures.clear(mirror.id, path)
    below += failures.clear_below(mirror.id, path)
    if mirror.offers.is_recorded(path):
        dirty.mark_deep(path, at.now)
    dirty.mark(path, at.now)
    if below:
        return f"{spec.name}: {path}: {_failed(itself + below)} tried again"
    if itself:
        return f"{spec.name}: {path} is tried again"
    if not mirror.site.performs:
        return f"{spec.name}: nothing of the name {path} had failed"
    return (
        f"{spec.name}: nothing of the name {path} had failed; what is there is compared again, and"
        f" {spec.server} is tried now"
    )


def rescan(mirror: Mirror, path: str | None, at: Moment) -> str:
    """A person wants the folder, or what is at a path and below it, to be compared again."""
    mirror.dirty.mark_deep(path or "", at.now)
    return f"{mirror.spec.name}: comparing {path or 'everything'} again"


def publish(mirror: Mirror, files: Collection[str], directories: Collection[str], at: Moment) -> int:
    """A person found that the server does not have these as they were published: mend that.

    Nothing is deleted: what the ledger does not know is passed over, and so is what waits for a person because it
    was changed at the server and is gone here.

    Returns:
        How many of them the ledger knows.
    """
    name, ledger, queue = mirror.spec.name, mirror.ledger, mirror.queue
    known = 0
    held = set(ledger.failures.changed_at_server(mirror.id))
    for path in directories:
        row = ledger.row(mirror.id, path)
        if row is not None and row.kind is Kind.DIR and not queue.occupied(name, path):
            # It is made where it is found on disk: it may be gone here, too, and its delete be held.
            ledger.put(mirror.id, path, row._replace(fingerprint=MISSING))
            known += 1
    for path in files:
        # What runs right now makes it right by itself.
        if path in held or queue.occupied(name, path):
            continue
        if mirror.intents.doubt_row(path):
            ledger.failures.clear(mirror.id, path)
            known += 1
    if known:
        what = number(known, "path is", "paths are")
        mirror.site.tell(EventKind.REPAIR, message=f"{what} not at the server as published, and published again")
        # A pass, not a look at each: whoever asked can see from the state when it is over.
        mirror.dirty.mark_deep("", at.now)
    return known


def _failed(count: int) -> str:
    return f"{count} failed {'path is' if count == 1 else 'paths are'}"
