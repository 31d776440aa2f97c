"""Names that are two only where disks tell case, or accents, apart: gone under one, a file may be gone under both.

In: what was deleted at the server, or renamed there. Out: doubts about published files of such a path, which have them
looked for there. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Collection

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.names import folded
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename, join, parent


class OtherCases:
    """The files of one mapping that may be gone from the server with others.

    Args:
        site: the mapping.
        intents: where a row is doubted.
        absent: what is gone on disk, and need not be at the server.
    """

    def __init__(self, site: Site, intents: Intents, absent: Deletes) -> None:
        self._site = site
        self._intents = intents
        self._absent = absent
        self._gone: dict[str, set[str]] = {}
        """Names that files had, by directory."""
        self._doubtful: set[str] = set()
        """Files that may be gone."""

    def go_on_from(self, before: OtherCases) -> None:
        """What has to wait for the end of what runs is still to be looked for under settings that are new."""
        self._gone, self._doubtful = before._gone, before._doubtful

    def deleted(self, path: str) -> None:
        """The server has no file under this path any more, and perhaps none under another that is the same to it."""
        self._gone.setdefault(parent(path), set()).add(basename(path))
        self._doubtful |= self._arriving_at(path)

    def moved(self, source: str, target: str) -> None:
        """A file, or a directory with all that was in it, has another path at the server now."""
        ledger, mapping = self._site.ledger, self._site.id
        doubtful = self._files_alike(parent(source), [basename(source)]) | self._arriving_at(source)
        for directory in ledger.alike.directories(mapping, source) - {source, target}:
            doubtful.update(path for path, kind in ledger.in_bulk.below(mapping, directory) if kind is Kind.FILE)
        self._doubtful |= doubtful - {source, target}

    def _arriving_at(self, gone: str) -> set[str]:
        """What is on its way to such a path, or into such a directory: the ledger does not know it yet."""
        same, arriving = folded(gone), self._site.queue.under_way.arriving(self._site.spec.name)
        return {path for path in arriving if (each := folded(path)) == same or each.startswith(f"{same}/")}

    def look_at_them(self, at: Moment) -> None:
        """Have what may be gone looked for at the server, and sent if it is not there."""
        site = self._site
        while self._gone:
            self._doubtful |= self._files_alike(*self._gone.popitem())
        # What runs now is judged when it has ended: its row is written then.
        for path in [path for path in self._doubtful if not site.queue.occupied(site.spec.name, path)]:
            self._doubtful.remove(path)
            if not self._absent.knows(path) and self._intents.doubt_row(path, whole=False):
                site.dirty.mark(path, at.now)

    def _files_alike(self, directory: str, names: Collection[str]) -> set[str]:
        """Published files whose paths some disk takes for those of names in a directory."""
        ledger, mapping = self._site.ledger, self._site.id
        places = ledger.alike.directories(mapping, directory)
        return {
            path
            for place in places
            if not self._absent.is_doomed(place)
            for name in names
            for path in ledger.alike.files(mapping, place, name)
            if path != join(directory, name)
        }
