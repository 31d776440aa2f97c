"""What is dropped from the ledger while the server keeps it: it is left out by now, or is to stay there.

In: what a comparison found to be no longer ours, and directories that are gone. Out: rows, failures, waits and actions
that are dropped. Of what may be very much some is dropped in each turn of the engine. One per mapping, used by its
`comparing` and `absences` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from ftpsyncd.actions import Forget
from ftpsyncd.core.plan import NO_LONGER_INCLUDED, Selection
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.offers import Offers
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.mapping.unreadable import Unreadable
from ftpsyncd.mapping.waits import Waits
from ftpsyncd.model import Kind

FORGOTTEN_AT_ONCE = 10_000
"""Rows below directories that are dropped from the ledger, or looked through, in one turn: some forty milliseconds."""
KEPT = "kept at the server"
"""Why something is forgotten that is gone here."""
ROWS_OF_ONE = 40
"""To drop a directory with nothing in it takes as long as so many rows of a larger one."""


class Forgetting:
    """Drops what is no longer ours of one mapping.

    Args:
        site: the mapping.
        selection: which paths it publishes.
        waits: files that wait.
        unreadable: what cannot be read.
        offers: the way to the queue.
        intents: what was handed out.
    """

    def __init__(
        self, site: Site, selection: Selection, waits: Waits, unreadable: Unreadable, offers: Offers, intents: Intents
    ) -> None:
        self._site = site
        self._selection = selection
        self._waits = waits
        self._unreadable = unreadable
        self._offers = offers
        self._intents = intents
        self._directories: list[Forget] = []
        """Those that are to be dropped, which may be much."""

    def __repr__(self) -> str:
        return f"<Forgetting {self._site.spec.name}>"

    def clear(self) -> None:
        """Nothing can be seen: what was to be dropped is found again."""
        self._directories.clear()

    def forget(self, forget: Forget) -> None:
        """Drop a path: of a directory all that is below it, when `go_on` has its turn."""
        self._waits.present(forget.path)
        self._unreadable.over(forget.path)
        if forget.kind is not Kind.DIR:
            self._forget(forget)
        elif self._intents.inquiries.moved_in_part(forget.path):
            # What is left of it has another name at the server, which is recorded first. Without its own row the rest
            # would be below a directory that the ledger does not have.
            self._offers.again.add(forget.path)
        else:
            self._directories.append(forget)

    def go_on(self, at: Moment) -> Generator[None, Moment, Moment]:
        """Drop the directories that are to be dropped, each turn as many rows as it has room for; the moment then."""
        rows = 0
        while self._directories:
            if rows >= FORGOTTEN_AT_ONCE:
                rows, at = 0, (yield)
            forget = self._directories[-1]
            if any(self._site.ledger.forget_some(mapping, forget.path) for mapping in self._known_to(forget)):
                rows = FORGOTTEN_AT_ONCE
            else:
                self._directories.pop()
                rows += ROWS_OF_ONE + self._forget(forget)
        return at

    def left_out_below(self, directories: Iterable[str], at: Moment) -> Generator[None, Moment, Moment]:
        """Drop what was published below directories that are gone, and is left out since; the moment then.

        Nobody will look into these, which would have it dropped: it would be deleted with them.
        """
        rows, ledger, mapping = 0, self._site.ledger, self._site.id
        for directory in directories:
            after: tuple[str, str] | None = None
            while True:
                if rows >= FORGOTTEN_AT_ONCE:
                    rows, at = 0, (yield)
                below = ledger.in_bulk.some_below(mapping, directory, after=after, most=FORGOTTEN_AT_ONCE)
                self._forget_left_out(below)
                rows += ROWS_OF_ONE + len(below)
                at = yield from self.go_on(at)
                if len(below) < FORGOTTEN_AT_ONCE:
                    break
                after = below[-1][:2]
        return at

    def _forget_left_out(self, rows: Iterable[tuple[str, str, Kind]]) -> None:
        """Drop those of some rows (directory, name and kind of each) that are left out."""
        includes, descend, mapping = self._selection.includes, self._selection.descend, self._site.spec.name
        for directory, name, kind in rows:
            path = f"{directory}/{name}"
            # What is in a directory that is left out goes with that.
            if descend(directory) and not (includes(path) if kind is Kind.FILE else descend(path)):
                self.forget(Forget(mapping, path, kind, NO_LONGER_INCLUDED))

    def _known_to(self, forget: Forget) -> list[int]:
        """In which mappings of the ledger a path is dropped.

        Where this one had another name before, what stays at the server would be deleted there as soon as it has that
        again: it is gone from the folder.
        """
        site = self._site
        return [site.id, *(site.ledger.mappings.namesakes(site.id) if forget.why == KEPT else ())]

    def _forget(self, forget: Forget) -> int:
        """Drop a path, with all below it, from the ledger; the server is not touched.

        Returns:
            The number of rows.
        """
        path, kind, rows = forget.path, forget.kind, 0
        self._site.queue.withdraw(self._site.spec.name, path)
        self._intents.forgotten(path)
        # A try that ran when it was left out has ended since.
        self._waits.sent(path)
        if kind is Kind.DIR:
            self._site.queue.withdraw_below(self._site.spec.name, path)
            self._offers.directory_gone(path)
        for mapping in self._known_to(forget):
            if kind is Kind.DIR:
                rows += self._site.ledger.forget_tree(mapping, path)
            else:
                self._site.ledger.forget(mapping, path)
                rows += 1
        self._site.ledger.failures.clear(self._site.id, path)
        self._site.tell(EventKind.FORGOTTEN, path, forget.why)
        return rows
