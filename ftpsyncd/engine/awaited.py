"""What has to happen before something that failed is tried again, whatever the time for which that is noted.

In: a path of a mapping, and its failure. Out: words for people. Changes nothing; asked by the status, and by `why`.
"""

from __future__ import annotations

from ftpsyncd.actions import RenameDir
from ftpsyncd.core.gate import Breaker
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.model import Failure, Kind
from ftpsyncd.paths import above
from ftpsyncd.quoting import as_word, quote


def renamed_first(mirror: Mirror, path: str) -> tuple[str, bool] | None:
    """The directory above a path that is still to get its new name at the server, and whether that is under way."""
    queue, name = mirror.queue, mirror.spec.name
    for directory in above(path):
        if isinstance(queue.at_work(name, directory), RenameDir):
            return directory, True
        if isinstance(queue.waiting(name, directory), RenameDir):
            return directory, False
        # A file that had the name of a directory may be what leaves.
        row = mirror.ledger.row(mirror.id, directory)
        if (row is None or row.kind is Kind.DIR) and queue.moves_from(name, directory):
            return directory, False
    return None


def awaited(mirror: Mirror, path: str, failure: Failure) -> str:
    """What is awaited before a path is tried again, in words behind "tried again"; empty: its time only.

    Args:
        mirror: of its mapping.
        path: it.
        failure: what it failed of; it is not parked.
    """
    name, gate, removals = mirror.spec.name, mirror.queue.gate, mirror.removals
    is_delete = failure.fingerprint is None and mirror.ledger.row(mirror.id, path) is not None
    if removals.source.missing:
        return "when the folder can be read"
    if mirror.paused:
        return f"after `ftpsyncd resume {as_word(name)}`"
    if is_delete and removals.hold is not None:
        return "when you have decided about the deletes that are held"
    # Deletes make room at a server that is full.
    if gate.is_doubtful and not (is_delete and gate.state is Breaker.FULL):
        return f"when the server {mirror.spec.server} works again"
    if (directory := renamed_first(mirror, path)) is not None:
        return f"when its directory {quote(directory[0])} has been renamed at the server"
    if mirror.intents.inquiries.may_go_along(path):
        return "when the server has told whether it renamed the directory"
    return ""
