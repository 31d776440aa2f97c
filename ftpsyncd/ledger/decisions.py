"""What people decided about a mapping, or are to decide: holds, discards, approvals, pauses.

In: decisions, from `removals` with its parts, and from `mirror`. Out: the same, after a restart. Used through
`ledger.Ledger.decisions`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import APPROVED_SINCE, DISCARDING_SINCE
from ftpsyncd.model import Hold, HoldKind

UNDATED = 1
"""When something was decided that older versions kept without its time."""


class Decisions:
    """The decisions in a ledger.

    Args:
        write: one statement in the ledger's transaction.
        write_many: the same for many rows.
        read: a query that sees what was written.
        version: of the ledger's tables; one that is only read may be older.
    """

    def __init__(
        self,
        write: Callable[[str, Sequence[object]], Cursor],
        write_many: Callable[[str, Iterable[Sequence[object]]], None],
        read: Callable[[str, Sequence[object]], Cursor],
        *,
        version: int,
    ) -> None:
        self._write = write
        self._write_many = write_many
        self._read = read
        self._version = version

    def hold(self, mapping: int) -> Hold | None:
        """The hold on this mapping's deletes."""
        row = self._read("SELECT hold_kind, hold_since_ns, hold_message FROM mapping WHERE id=?", (mapping,)).fetchone()
        return None if row[0] is None else Hold(HoldKind(row[0]), row[1], row[2])

    def set_hold(self, mapping: int, hold: Hold | None) -> None:
        """Hold this mapping's deletes, or release them with None."""
        kind, since, message = (hold.kind.value, hold.since_ns, hold.message) if hold else (None, None, None)
        self._write(
            "UPDATE mapping SET hold_kind=?, hold_since_ns=?, hold_message=? WHERE id=?",
            (kind, since, message, mapping),
        )

    def behind(self, mapping: int) -> str | None:
        """What was told of the mass delete that was held before the hold came which there is now; None: none was."""
        message: str | None = self._read("SELECT behind FROM mapping WHERE id=?", (mapping,)).fetchone()[0]
        return message

    def set_behind(self, mapping: int, message: str | None) -> None:
        """Remember a mass delete while another hold is in its place; None: there is none."""
        self._write("UPDATE mapping SET behind=? WHERE id=?", (message, mapping))

    def discarding(self, mapping: int) -> bool:
        """Whether a person discarded this mapping's deletes, and not all that is gone has been forgotten yet."""
        if self._version < DISCARDING_SINCE:
            return False
        return bool(self._read("SELECT discarding FROM mapping WHERE id=?", (mapping,)).fetchone()[0])

    def set_discarding(self, mapping: int, *, discarding: bool) -> None:
        """Remember that a person discarded this mapping's deletes, until all that is gone has been forgotten."""
        self._write("UPDATE mapping SET discarding=? WHERE id=?", (int(discarding), mapping))

    def approved(self, mapping: int) -> list[tuple[str, int, bool]]:
        """What a person allowed to be deleted and is not deleted yet.

        Returns:
            Each path, how many files, and whether it is a file that was changed at the server.
        """
        if self._version < APPROVED_SINCE:
            return []
        found = self._read("SELECT path, files, changed FROM approved WHERE mapping=?", (mapping,))
        return [(os.fsdecode(path), files, bool(changed)) for path, files, changed in found]

    def approved_files(self, mapping: int) -> int:
        """How many files a person allowed to be deleted that are not deleted yet."""
        if self._version < APPROVED_SINCE:
            return 0
        sql = "SELECT ifnull(sum(files),0) FROM approved WHERE mapping=?"
        return int(self._read(sql, (mapping,)).fetchone()[0])

    def set_approved(self, mapping: int, paths: Collection[tuple[str, int]], *, changed: bool = False) -> None:
        """Remember that a person allowed so many files to be deleted at some paths; 0: none any more."""
        allowed = [(mapping, os.fsencode(path), int(changed), files) for path, files in paths if files]
        over = [(mapping, os.fsencode(path), int(changed)) for path, files in paths if not files]
        if allowed:
            self._write_many("INSERT OR REPLACE INTO approved VALUES(?,?,?,?)", allowed)
        if over:
            self._write_many("DELETE FROM approved WHERE mapping=? AND path=? AND changed=?", over)

    def end_approvals(self, mapping: int) -> None:
        """Forget what a person allowed to be deleted, but for files that were changed at the server."""
        self._write("DELETE FROM approved WHERE mapping=? AND NOT changed", (mapping,))

    def paused_ns(self, mapping: int) -> int:
        """When a person paused this mapping (wall clock); `UNDATED`: that is not known; 0: it is not paused."""
        return int(self._read("SELECT paused FROM mapping WHERE id=?", (mapping,)).fetchone()[0])

    def set_paused(self, mapping: int, at_ns: int) -> None:
        """Remember when a person paused this mapping, wherever it publishes to; as `paused_ns` has it."""
        self._write("UPDATE mapping SET paused=? WHERE name=(SELECT name FROM mapping WHERE id=?)", (at_ns, mapping))

    def paused_mappings(self) -> list[tuple[str, str, int]]:
        """Name and destination of all mappings that a person paused, and when."""
        return list(self._read("SELECT name, destination, paused FROM mapping WHERE paused", ()))
