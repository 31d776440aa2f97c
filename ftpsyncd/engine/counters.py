"""What a run has done, counted: for the summary of a `sync`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ftpsyncd.model import Did, Done, Failed, Outcome, Rename, Upload


@dataclass(slots=True)
class Counters:
    """What was done since the start."""

    files: int = 0
    bytes: int = 0
    deletes: int = 0
    renames: int = 0
    """Of files, and of directories with all that is in them."""
    failures: int = 0

    def count(self, outcome: Outcome, *, requeue: bool) -> None:
        """Add an outcome; ``requeue``: the action is tried again without further ado, and has not failed."""
        if isinstance(outcome, Failed):
            self.failures += not requeue
        elif isinstance(outcome, Done):
            if outcome.did is Did.PUBLISHED and isinstance(outcome.action, Upload | Rename):
                self.files += 1
                self.bytes += outcome.action.fingerprint.size
            self.deletes += outcome.did in {Did.DELETED, Did.TRASHED}
            self.renames += outcome.did is Did.RENAMED
