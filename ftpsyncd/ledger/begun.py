"""What was begun at the servers and is not known to have ended (intents), kept in the ledger's file.

In: what is going to be done, before it is, and that its outcome is known; from the engine's thread, written with the
ledger's next commit. Out: what is open, also after a crash. Used through `ledger.Ledger.begun`; `intents` and its parts
say what follows from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import (
    BRINGS_SINCE,
    EXPOSED_SINCE,
    PARTS_SINCE,
    RECEIVED_SINCE,
    encoded,
    intent_of,
    intent_values,
)
from ftpsyncd.model import Intent


class Begun:
    """The intents in a ledger.

    Args:
        write_many: one statement for many rows, within the ledger's transaction.
        read: a query.
        version: of the ledger's tables; one that is only read may be older.
    """

    def __init__(
        self,
        write_many: Callable[[str, Iterable[Sequence[object]]], None],
        read: Callable[[str, Sequence[object]], Cursor],
        *,
        version: int,
    ) -> None:
        self._write_many = write_many
        self._read = read
        self._version = version
        self._waiting: dict[tuple[int, str], Intent | None] = {}
        """To be written at the next commit; None: to be removed."""

    def __len__(self) -> int:
        """How many wait to be written."""
        return len(self._waiting)

    def put(self, mapping: int, path: str, intent: Intent) -> None:
        """Record, before it is done, what is going to be done at the server."""
        self._waiting[mapping, path] = intent

    def clear(self, mapping: int, path: str) -> None:
        """What became of it is known."""
        self._waiting[mapping, path] = None

    def of(self, mapping: int) -> list[tuple[str, Intent]]:
        """What was begun at the server and is not known to have ended, by path."""
        self.flush()
        received = "received" if self._version >= RECEIVED_SINCE else "0"
        parts = "parts" if self._version >= PARTS_SINCE else "x''"
        exposed = "exposed" if self._version >= EXPOSED_SINCE else "''"
        brings = "brings" if self._version >= BRINGS_SINCE else "x''"
        cursor = self._read(
            f"SELECT path, kind, temporary, source, fingerprints, {received}, {parts}, {exposed}, {brings}"  # noqa: S608 - constants
            " FROM intent WHERE mapping=? ORDER BY path",
            (mapping,),
        )
        return [(os.fsdecode(r[0]), intent_of(r[1:])) for r in cursor]

    def mappings(self) -> list[tuple[int, str, str]]:
        """Number, name and destination of the mappings of which something was begun and is not known to have ended."""
        self.flush()
        sql = "SELECT id, name, destination FROM mapping WHERE id IN (SELECT mapping FROM intent) ORDER BY id"
        return list(self._read(sql, ()))

    def elsewhere(self, mapping: int) -> dict[str, str]:
        """What is to be published and was seen elsewhere, and where (`mapping.places`)."""
        cursor = self._read("SELECT path, place FROM elsewhere WHERE mapping=?", (mapping,))
        return {os.fsdecode(path): os.fsdecode(place) for path, place in cursor}

    def set_elsewhere(self, mapping: int, path: str, place: str) -> None:
        """Note where something that is to be published was seen."""
        self._write_many("INSERT OR REPLACE INTO elsewhere VALUES(?,?,?)", [(mapping, encoded(path), encoded(place))])

    def clear_elsewhere(self, mapping: int, paths: Iterable[str]) -> None:
        """Where these were seen does not matter any more."""
        self._write_many("DELETE FROM elsewhere WHERE mapping=? AND path=?", [(mapping, encoded(p)) for p in paths])

    def flush(self) -> None:
        """Write what waits in memory: most intents are over before they would be written."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        over = [(mapping, encoded(path)) for (mapping, path), intent in waiting.items() if intent is None]
        begun = [intent_values(*key, intent) for key, intent in waiting.items() if intent is not None]
        self._write_many("DELETE FROM intent WHERE mapping=? AND path=?", over)
        self._write_many("INSERT OR REPLACE INTO intent VALUES(?,?,?,?,?,?,?,?,?,?)", begun)
