"""What the ledger has of what was listed: the rows and failures of one directory, or of some names in it.

In: a listing. Out: what it is to be compared with, and what of it has to be compared at all: nearly all files of a scan
are published as they are, and nothing is to be decided of them. One per mapping, used by its `mirror` on the engine's
thread.
"""

from __future__ import annotations

from ftpsyncd.core.plan import Selection
from ftpsyncd.model import Failure, Listing, Row, join
from ftpsyncd.site import Site
from ftpsyncd.waits import Waits


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

    def beside(self, listing: Listing) -> tuple[Listing, dict[str, Row], dict[str, Failure]]:
        """The rows and failures of the names that were asked for, by name.

        Returns:
            The listing, of a whole directory without the files of which nothing is to be decided and in the order of
            names; the rows; the failures.
        """
        site, rows, failures = self._site, dict[str, Row](), dict[str, Failure]()
        if listing.names is None:
            failures = site.ledger.failures.in_directory(site.id, listing.directory)
            rows, published = site.ledger.beside(site.id, listing.directory, listing.entries)
            if published:
                rows, listing = self._without_settled(listing, rows, published, failures)
            # The disk's order is its own affair; in that of names people look for them, and `plan` tells what is done.
            return listing._replace(entries=dict(sorted(listing.entries.items()))), rows, failures
        for name in listing.names:
            path = join(listing.directory, name)
            if (row := site.ledger.row(site.id, path)) is not None:
                rows[name] = row
            if (failure := site.ledger.failures.of(site.id, path)) is not None:
                failures[name] = failure
        return listing, rows, failures

    def _without_settled(
        self, listing: Listing, rows: dict[str, Row], published: set[str], failures: dict[str, Failure]
    ) -> tuple[dict[str, Row], Listing]:
        """Leave out the files that are published as they are.

        What the plan would say of such a file is that it needs nothing. That is passed over where nothing is noted
        about it that would have to be cleared up, and where it is still one that is to be published.
        """
        prefix = f"{listing.directory}/" if listing.directory else ""
        includes, entries = self._selection.includes, listing.entries
        if failures or not self._waits.nothing_noted():
            rest = {name for name in published if name in failures or self._waits.is_noted(prefix + name)}
        else:
            rest = set()
        rest.update([name for name in published if not includes(prefix + name)])
        for name in rest:
            row = self._site.ledger.row(self._site.id, prefix + name)
            if row is not None:
                rows[name] = row
        if len(published) - len(rest) == len(entries):
            return rows, listing._replace(entries={})
        left = {name: entry for name, entry in entries.items() if name not in published or name in rest}
        return rows, listing._replace(entries=left)
