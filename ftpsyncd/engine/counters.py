"""What a run has done, counted: for the summary of a `sync`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ftpsyncd.actions import Did, Done, Outcome
from ftpsyncd.core.extent import SENDS

_DELETED = frozenset({Did.DELETED, Did.GONE, Did.TRASHED})


@dataclass(slots=True)
class Counters:
    """What was done since the start."""

    files: int = 0
    bytes: int = 0
    deletes: int = 0
    renames: int = 0
    """Of files, and of directories with all that is in them."""
    adopted: int = 0
    """Files that the server had already, as they are here."""

    def count(self, outcome: Outcome) -> None:
        """Add what was done; what failed is counted by the ledger, which has it until it succeeds."""
        if not isinstance(outcome, Done):
            return
        did, action = outcome.did, outcome.action
        if did is Did.PUBLISHED:
            if isinstance(action, SENDS):
                self.files += 1
                self.bytes += action.fingerprint.size
        elif did in _DELETED:
            self.deletes += 1
        elif did is Did.RENAMED:
            self.renames += 1
        elif did is Did.ADOPTED and isinstance(action, SENDS):
            self.adopted += 1
