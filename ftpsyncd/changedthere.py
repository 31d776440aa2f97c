"""Files that somebody changed at the server: they are not deleted there unless a person wants it all the same.

In: what people decide about them. Out: whether the size of such a file is asked before it is deleted; rows and failures
that are dropped. A worker found the other size and did not delete (`deleting`); since then the path has failed. One per
mapping, used by its `removals` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from ftpsyncd.events import EventKind
from ftpsyncd.model import Kind, Listing, join
from ftpsyncd.site import Site


class ChangedThere:
    """The changed files of one mapping.

    Args:
        site: the mapping's.
        wanted: those that a person wanted to be deleted, before the daemon began.
    """

    def __init__(self, site: Site, wanted: Iterable[str]) -> None:
        self._site = site
        self._wanted = set(wanted)

    def __repr__(self) -> str:
        return f"<ChangedThere wanted={len(self._wanted)}>"

    def __contains__(self, path: str) -> bool:
        """Whether a person wants it to be deleted, whatever the server has of it."""
        return path in self._wanted

    @property
    def undecided(self) -> list[str]:
        """Those about which a person is to decide."""
        return self._site.ledger.failures.changed_at_server(self._site.id)

    def approve(self) -> int:
        """A person wants all of them to be deleted; how many that are."""
        ledger, mapping, paths = self._site.ledger, self._site.id, self.undecided
        self._wanted.update(paths)
        ledger.decisions.set_approved(mapping, [(path, 1) for path in paths], changed=True)
        for path in paths:
            ledger.failures.clear(mapping, path)
        return len(paths)

    def discard(self, path: str) -> None:
        """A person wants this one to stay at the server: it is ours no longer."""
        self._site.ledger.forget(self._site.id, path)
        self._site.ledger.failures.clear(self._site.id, path)
        self._site.tell(EventKind.FORGOTTEN, path, "it was changed at the server, and stays there")

    def over(self, path: str) -> None:
        """It was deleted, or need not be: what was decided about it is over."""
        if path in self._wanted:
            self._wanted.discard(path)
            self._site.ledger.decisions.set_approved(self._site.id, [(path, 0)], changed=True)

    def seen(self, listing: Listing) -> None:
        """What is on disk is not deleted."""
        if self._wanted:
            for path in [join(listing.directory, name) for name, e in listing.entries.items() if e.kind is Kind.FILE]:
                self.over(path)

    def forget_unknown(self) -> None:
        """What is no longer ours is not deleted, whatever was wanted."""
        for path in self._site.ledger.in_bulk.unknown(self._site.id, self._wanted):
            self.over(path)
