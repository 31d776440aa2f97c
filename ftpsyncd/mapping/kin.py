"""Whether a directory is a published one under a new name: does its content agree, and is all of it still published?

In: a listing of the one, the rows of the other. Out: yes or no; of large directories after several turns of the engine,
some rows at each. One per mapping, used by its `offers` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.core.plan import Selection
from ftpsyncd.mapping.site import Moment, Site, Slices
from ftpsyncd.model import Entry, Kind, Listing, Row
from ftpsyncd.paths import basename, parent

ROWS_AT_ONCE = 10_000
"""Rows that are compared in bulk in one go: some twenty milliseconds, and in a turn two of these at most."""
NAMES_AT_ONCE = 500
"""Rows that are looked at one by one in one turn, likewise."""


class Kin:
    """The comparison of directories that may be one.

    Args:
        site: the mapping.
        selection: which paths are published.
    """

    def __init__(self, site: Site, selection: Selection) -> None:
        self._site = site
        self._selection = selection

    def alike(self, source: str, listing: Listing, at: Moment) -> Slices[bool]:
        """Whether at least half of what was published in a directory is in the listed one, as it was."""
        ledger, mapping, entries = self._site.ledger, self._site.id, listing.entries
        # What is known to have gone elsewhere says nothing.
        elsewhere = {basename(path) for path in self._site.moves.leaving(source) if parent(path) == source}
        rows, alike, last = 0, 0, ""
        while True:
            beside = ledger.in_bulk.beside(mapping, source, entries, after=last, most=ROWS_AT_ONCE)
            others = [name for name in beside.others if name not in elsewhere]
            same = beside.same - elsewhere
            rows += len(others) + len(same)
            alike += len(same)
            there = [name for name in others if name in entries]
            for first in range(0, len(there), NAMES_AT_ONCE):
                if first:
                    at = yield
                names = there[first : first + NAMES_AT_ONCE]
                found = ledger.in_bulk.rows_of(mapping, source, names)
                alike += sum(_is_alike(entries[name], row) for name, row in found.items())
            if not beside.last:
                return rows > 0 and 2 * alike >= rows, at
            last = beside.last
            at = yield

    def stays_selected(self, source: str, target: str, at: Moment) -> Slices[bool]:
        """Whether all that is published below a directory is to be published under its new name, too.

        Else it must not be renamed at the server: who moves a folder to ``drafts/`` takes it off the site.
        """
        includes, descend = self._selection.includes, self._selection.descend
        if not descend(target):
            return False, at
        after: tuple[str, str] | None = None
        while True:
            below = self._site.ledger.in_bulk.some_below(self._site.id, source, after=after, most=ROWS_AT_ONCE)
            for directory, name, kind in below:
                path = f"{target}{directory[len(source) :]}/{name}"
                if not (includes(path) if kind is Kind.FILE else descend(path)):
                    return False, at
            if len(below) < ROWS_AT_ONCE:
                return True, at
            after = below[-1][:2]
            at = yield


def _is_alike(entry: Entry, row: Row) -> bool:
    """Whether what is on disk under a name is what was published under it."""
    if row.kind is Kind.DIR:
        return entry.fingerprint.inode == row.fingerprint.inode
    return entry.fingerprint == row.fingerprint
