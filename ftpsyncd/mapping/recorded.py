"""What the ledger has of what was listed: the rows and failures of one directory, or of some names in it.

In: a listing. Out: what it is to be compared with, and what of it has to be compared at all: nearly all files of a scan
are published as they are, and nothing is to be decided of them. Of a very large directory that is found out some rows
at a time. One per mapping, used by its `comparing` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ftpsyncd.core.plan import Selection
from ftpsyncd.mapping.site import Moment, Site, Slices
from ftpsyncd.mapping.waits import Waits
from ftpsyncd.model import Failure, Listing, Row
from ftpsyncd.paths import join

ROWS_AT_ONCE = 10_000
"""Rows and names of a directory that are gone through in bulk in one go: some twenty milliseconds, and in a turn of the
engine two of these at most."""


class Facts(NamedTuple):
    """Some names of one directory: what is there, and what is recorded of them now."""

    listing: Listing
    rows: dict[str, Row]
    failures: dict[str, Failure]


class Comparison:
    """One listing and the names of which something is to be decided; as long as there are of these.

    What is recorded of them is read when it is their turn: an action may have ended since the listing came.

    Args:
        site: the mapping.
        listing: it.
        names: what is there in the order of names, then what is only recorded.
        known: those of them that had rows a moment ago; None where that is not known.
    """

    def __init__(self, site: Site, listing: Listing, names: Sequence[str], known: set[str] | None) -> None:
        self.listing = listing
        self._site = site
        self._names = names
        self._known = known
        self._done = 0

    def __len__(self) -> int:
        return len(self._names) - self._done

    def some(self, most: int, *, at_once: bool) -> Facts:
        """The next names.

        Args:
            most: at most so many.
            at_once: nothing has happened since this was made: what had no row has none.
        """
        site, listing = self._site, self.listing
        names = self._names[self._done : self._done + most]
        known = [n for n in names if n in self._known] if self._known is not None and at_once else names
        self._done += len(names)
        entries = listing.entries
        here = listing._replace(entries={name: entries[name] for name in names if name in entries})
        if listing.names is not None:
            return self._one_by_one(here._replace(names=frozenset(names)), names)
        rows = site.ledger.in_bulk.rows_of(site.id, listing.directory, known)
        return Facts(here, rows, site.ledger.failures.of_names(site.id, listing.directory, names))

    def _one_by_one(self, listing: Listing, names: Iterable[str]) -> Facts:
        """What is recorded of names that were asked for: of a few, which lately had to do with an action."""
        site, rows, failures = self._site, dict[str, Row](), dict[str, Failure]()
        for name in names:
            path = join(listing.directory, name)
            if (row := site.ledger.row(site.id, path)) is not None:
                rows[name] = row
            if (failure := site.ledger.failures.of(site.id, path)) is not None:
                failures[name] = failure
        return Facts(listing, rows, failures)


class Recorded:
    """What is recorded of one mapping.

    Args:
        site: the mapping.
        waits: what is noted about its files.
        selection: which paths are published.
    """

    def __init__(self, site: Site, waits: Waits, selection: Selection) -> None:
        self._site = site
        self._waits = waits
        self._selection = selection

    def beside(self, listing: Listing, at: Moment) -> Slices[Comparison]:
        """What of a listing is to be compared: of a whole directory not the files of which nothing is to be decided."""
        site = self._site
        if listing.names is not None:
            return Comparison(site, listing, sorted(listing.names), None), at
        failed = site.ledger.failures.names_in(site.id, listing.directory)
        entries, known, noted, sliced = dict(listing.entries), list[str](), set[str](), False
        rows = site.ledger.in_bulk.beside(site.id, listing.directory, listing.entries, most=ROWS_AT_ONCE)
        while True:
            known += rows.others
            some = self._noted(listing, rows.same, failed)
            noted |= some
            if some or len(rows.same) < len(entries):
                for name in rows.same - some:
                    del entries[name]
            else:
                entries.clear()
            if not rows.last:
                break
            sliced = True
            at = yield
            rows = site.ledger.in_bulk.beside(
                site.id, listing.directory, listing.entries, after=rows.last, most=ROWS_AT_ONCE
            )
        listing = listing._replace(entries=entries)
        # The disk's order is its own affair; in that of names people look for them, and `plan` tells what is done.
        names = list[str]()
        for part in _parts(list(entries)):
            if names:
                sliced = True
                at = yield
            names += sorted(part)
        # Of parts that are in order.
        names.sort()
        recorded = {*known, *noted}
        names += [name for name in known if name not in entries]
        names += [name for name in failed if name not in entries and name not in recorded]
        return Comparison(site, listing, names, None if sliced else recorded), at

    def _noted(self, listing: Listing, published: set[str], failed: Collection[str]) -> set[str]:
        """Those of the files that are published as they are of which something is to be decided all the same.

        What the plan would say of such a file is that it needs nothing. That is passed over where nothing is noted
        about it that would have to be cleared up, and where it is still one that is to be published.
        """
        prefix = f"{listing.directory}/" if listing.directory else ""
        includes = self._selection.includes
        rest = set[str]()
        if failed or not self._waits.nothing_noted():
            failures = set(failed)
            rest = {name for name in published if name in failures or self._waits.is_noted(prefix + name)}
        rest.update([name for name in published if not includes(prefix + name)])
        if self._site.spec.follow_symlinks:
            # That a link leads to another disk is recorded, should it be away one day.
            here = listing.entries
            rest.update([name for name in published if here[name].device != listing.device or name in listing.mounted])
        return rest


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Names in parts of `ROWS_AT_ONCE`."""
    return (names[first : first + ROWS_AT_ONCE] for first in range(0, len(names), ROWS_AT_ONCE))
