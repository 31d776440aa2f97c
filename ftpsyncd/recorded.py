"""What the ledger has of what was listed: the rows and failures of one directory, or of some names in it.

In: a listing. Out: what it is to be compared with, and what of it has to be compared at all: nearly all files of a scan
are published as they are, and nothing is to be decided of them. One per mapping, used by its `mirror` on the engine's
thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ftpsyncd.core.plan import Selection
from ftpsyncd.model import Failure, Listing, Row, join
from ftpsyncd.site import Site
from ftpsyncd.waits import Waits


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
        known: those of them that had rows when the listing came; None where that is not known.
    """

    def __init__(self, site: Site, listing: Listing, names: Sequence[str], known: set[str] | None) -> None:
        self.listing = listing
        self._site = site
        self._names = names
        self._known = known
        self._done = 0

    def __len__(self) -> int:
        return len(self._names) - self._done

    def some(self, most: int) -> Facts:
        """The next names, at most so many."""
        site, listing = self._site, self.listing
        names = self._names[self._done : self._done + most]
        # While nothing else came between, what had no row has none.
        known = [n for n in names if n in self._known] if self._known is not None and not self._done else names
        self._done += len(names)
        entries = listing.entries
        here = listing._replace(entries={name: entries[name] for name in names if name in entries})
        if listing.names is not None:
            return self._one_by_one(here._replace(names=frozenset(names)), names)
        rows = site.ledger.rows_of(site.id, listing.directory, known)
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

    def beside(self, listing: Listing) -> Comparison:
        """What of a listing is to be compared: of a whole directory not the files of which nothing is to be decided."""
        site = self._site
        if listing.names is not None:
            return Comparison(site, listing, sorted(listing.names), None)
        failed = site.ledger.failures.names_in(site.id, listing.directory)
        known, published = site.ledger.beside(site.id, listing.directory, listing.entries)
        noted = self._noted(listing, published, failed)
        if published:
            listing = _without(listing, published - noted)
        # The disk's order is its own affair; in that of names people look for them, and `plan` tells what is done.
        names = sorted(listing.entries)
        recorded = {*known, *noted}
        names += [name for name in known if name not in listing.entries]
        names += [name for name in failed if name not in listing.entries and name not in recorded]
        return Comparison(site, listing, names, recorded)

    def _noted(self, listing: Listing, published: set[str], failed: Sequence[str]) -> set[str]:
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
        return rest


def _without(listing: Listing, settled: set[str]) -> Listing:
    """A listing without some of its names."""
    if len(settled) == len(listing.entries):
        return listing._replace(entries={})
    return listing._replace(entries={name: entry for name, entry in listing.entries.items() if name not in settled})
