"""What a run has done, counted: for the summary of a `sync`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ftpsyncd.model import Did, Done, Outcome, Rename, Upload


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
        if isinstance(outcome, Done):
            if outcome.did is Did.PUBLISHED and isinstance(outcome.action, Upload | Rename):
                self.files += 1
                self.bytes += outcome.action.fingerprint.size
            self.deletes += outcome.did in {Did.DELETED, Did.TRASHED}
            self.renames += outcome.did is Did.RENAMED
            self.adopted += outcome.did is Did.ADOPTED and isinstance(outcome.action, Upload | Rename)
