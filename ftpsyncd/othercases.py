"""Names that are another only where upper and lower case are two: deleted under one, a file may be gone under both.

In: files that were deleted at the server. Out: doubts about published files of such a name, which have them looked for
there. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.core import names
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.intents import Intents
from ftpsyncd.model import basename, join, parent
from ftpsyncd.removals import Moment, Site


class OtherCases:
    """The files of one mapping that may be gone from the server with those that were deleted.

    Args:
        site: the mapping.
        intents: where a row is doubted.
        absent: what is gone on disk, and need not be at the server.
    """

    def __init__(self, site: Site, intents: Intents, absent: Deletes) -> None:
        self._site = site
        self._intents = intents
        self._absent = absent
        self._names: dict[str, set[str]] = {}
        """Of files that may exist, by directory."""

    def deleted(self, path: str) -> None:
        """A file is gone from the server; where upper and lower case are one, perhaps that of another name with it."""
        directory = parent(path)
        if not self._absent.is_doomed(directory):
            self._names.setdefault(directory, set()).update(names.other_cases(basename(path)))

    def look_at_them(self, at: Moment) -> None:
        """Have what may be gone with what was deleted looked for at the server, and sent if it is not there."""
        site = self._site
        while self._names:
            directory, others = self._names.popitem()
            for name in site.ledger.files_among(site.id, directory, others):
                path = join(directory, name)
                if not self._absent.knows(path) and not site.queue.occupied(site.spec.name, path):
                    self._intents.doubt_row(path, whole=False)
                    site.dirty.mark(path, at.now)
