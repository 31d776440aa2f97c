"""Files of several names (hard links): the kernel tells of a change under the name only that was used for it.

In: what is seen under a name, and what was known of it. Out: looks at the other names under which the same file is
published. One per mapping, used by its `mirror` on the engine's thread.

The name that was used may be gone before anybody looks, or be another file's: what was known under it leads to the
others all the same. Each such look follows from something new, so that two names never send each other in circles.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from ftpsyncd.actions import Rename, Upload
from ftpsyncd.core.settle import Sighting
from ftpsyncd.ledger.inodes import ROWS_AT_ONCE
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Entry, Failure, Fingerprint, Kind, Listing, Row

ROWS_OF_ONE = 50
"""To look for the other names of what was in a directory takes as long as so many files, however few are in it."""


class OtherNames:
    """The other names of the files of one mapping.

    Args:
        site: the mapping.
        sighting_of: how a file looked that was not at rest.
        known_gone: whether it is noted already that a path is gone, perhaps with its directory.
        look_at: has a path looked at, in monotonic seconds.
    """

    def __init__(
        self,
        site: Site,
        sighting_of: Callable[[str], Sighting | None],
        known_gone: Callable[[str], bool],
        look_at: Callable[[str, float], None],
    ) -> None:
        self._site = site
        self._sighting_of = sighting_of
        self._known_gone = known_gone
        self._look_at = look_at
        self._gone: list[str] = []
        """Directories that are gone: what has names outside of them is still to be looked at."""
        self._led: set[str] = set()
        """Names that are gone and have led to the others, and about which something runs still."""

    def clear(self) -> None:
        """Nothing can be seen."""
        self._gone.clear()
        self._led.clear()

    def listed(self, listing: Listing, rows: dict[str, Row], failures: dict[str, Failure], at: Moment) -> None:
        """Names were looked at: where one is new, or stands for another file than before, look at the others.

        Args:
            listing: what is there.
            rows: of the names in it, and of those that are not there any more.
            failures: the same.
            at: now.
        """
        entries, prefix = listing.entries, f"{listing.directory}/" if listing.directory else ""
        asked = set[tuple[int, Fingerprint | None]]()
        for name in listing.names or {**entries, **rows}:
            entry = entries.get(name)
            if name in listing.unreadable:
                continue
            path, seen = prefix + name, entry.fingerprint if entry is not None else None
            for inode in self._changed(path, entry, rows.get(name), failures.get(name)):
                # A file may have very many names; what was looked at just now need not be looked at for another one.
                if (inode, seen) not in asked:
                    asked.add((inode, seen))
                    self._look_at_names(inode, path, seen, at)

    def _changed(self, path: str, entry: Entry | None, row: Row | None, failure: Failure | None) -> set[int]:
        """The files, by inodes, that a name stood for, or stands for now, if that is news."""
        known = self._known(path, row, failure)
        inodes = {print_.inode for print_ in known}
        if entry is not None and entry.kind is Kind.FILE:
            self._led.discard(path)
            if entry.fingerprint in known:
                return set()
            # Nearly every file has one name only, and is written in place or replaced.
            inodes.discard(entry.fingerprint.inode)
            if entry.linked:
                inodes.add(entry.fingerprint.inode)
        elif self._known_gone(path) or self._has_led(path):
            return set()
        return inodes

    def _has_led(self, path: str) -> bool:
        """Whether a name that is gone has led to the others before, and what ran about it then runs still."""
        if not self._site.queue.occupied(self._site.spec.name, path):
            self._led.discard(path)
            return False
        led = path in self._led
        self._led.add(path)
        return led

    def _known(self, path: str, row: Row | None, failure: Failure | None) -> set[Fingerprint]:
        """Of the files that were seen or published under a path and may be there still."""
        known = set(self._site.queue.files(self._site.spec.name, path))
        if row is not None and row.kind is Kind.FILE:
            known.add(row.fingerprint)
        if failure is not None and failure.fingerprint is not None:
            known.add(failure.fingerprint)
        if (sighting := self._sighting_of(path)) is not None:
            known.add(sighting.fingerprint)
        return known

    def changed_under_way(self, action: Upload | Rename, at: Moment) -> None:
        """A worker found another file under a path, or the same one changed."""
        self._look_at_names(action.fingerprint.inode, action.path, None, at)

    def directory_gone(self, directory: str) -> None:
        """What was in a directory may have been changed before it went, and with it what is published elsewhere."""
        self._gone.append(directory)

    def look_outside(self, at: Moment) -> Generator[None, Moment, Moment]:
        """Look at that, in each turn of the engine at as much as it has room for; the moment then.

        The ledger has what was in the directories still.
        """
        rows = 0
        while self._gone:
            for paths, files in self._site.ledger.inodes.names_outside(self._site.id, self._gone.pop()):
                if rows >= ROWS_AT_ONCE:
                    rows, at = 0, (yield)
                for path in paths:
                    self._look_at(path, at.now)
                rows += files + ROWS_OF_ONE
        return at

    def _look_at_names(self, inode: int, path: str, seen: Fingerprint | None, at: Moment) -> None:
        """Look at the published names of a file but for one, and for those that have been published as it was seen."""
        if inode:
            for other, published in self._site.ledger.inodes.names(self._site.id, inode):
                if other != path and published != seen and not self._known_gone(other):
                    self._look_at(other, at.now)
