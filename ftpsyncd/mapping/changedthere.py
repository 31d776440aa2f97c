"""Files that somebody changed at the server: they are not deleted there unless a person wants it all the same.

In: what people decide about them. Out: whether the size of such a file is asked before it is deleted; rows and failures
that are dropped. A worker found the other size and did not delete (`deleting`); since then the path has failed. One per
mapping, used by its `removals` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ftpsyncd.events import EventKind
from ftpsyncd.mapping.site import Site
from ftpsyncd.model import Kind, Listing
from ftpsyncd.paths import join

Decision = Literal["approved", "discarded"]
DECIDED_AT_ONCE = 500
"""Files about which a decision is carried out in one turn of the engine: some fifty milliseconds."""


class ChangedThere:
    """The changed files of one mapping.

    Args:
        site: the mapping's.
        wanted: those that a person wanted to be deleted, before the daemon began.
    """

    def __init__(self, site: Site, wanted: Iterable[str]) -> None:
        self._site = site
        self._wanted = set(wanted)
        self._decided: dict[Decision, int] = {"approved": 0, "discarded": 0}
        """About so many there has been a decision that is not answered yet."""

    def __repr__(self) -> str:
        return f"<ChangedThere wanted={len(self._wanted)}>"

    def __contains__(self, path: str) -> bool:
        """Whether a person wants it to be deleted, whatever the server has of it."""
        return path in self._wanted

    def approve_some(self) -> list[str]:
        """A person wants all of them to be deleted: carry that out for some more, and return these."""
        ledger, mapping, paths = self._site.ledger, self._site.id, self._some("approved")
        self._wanted.update(paths)
        ledger.decisions.set_approved(mapping, [(path, 1) for path in paths], changed=True)
        for path in paths:
            ledger.failures.clear(mapping, path)
        return paths

    def discard_some(self) -> list[str]:
        """A person wants all of them to stay at the server, and to be ours no longer: carry that out for some more."""
        ledger, mapping, paths = self._site.ledger, self._site.id, self._some("discarded")
        # Under an old name of the mapping it would be held once more as soon as that is back.
        known_to = [mapping, *(ledger.mappings.namesakes(mapping) if paths else ())]
        for path in paths:
            for each in known_to:
                ledger.forget(each, path)
                ledger.failures.clear(each, path)
            self._site.tell(EventKind.FORGOTTEN, path, "it was changed at the server, and stays there")
        return paths

    def answered(self, decision: Decision) -> int:
        """A decision has been carried out and is answered: about how many files it was."""
        files, self._decided[decision] = self._decided[decision], 0
        return files

    def _some(self, decision: Decision) -> list[str]:
        """Some of those about which there is no decision yet; that is carried out at once."""
        paths = self._site.ledger.failures.changed_at_server(self._site.id, DECIDED_AT_ONCE)
        self._decided[decision] += len(paths)
        return paths

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
