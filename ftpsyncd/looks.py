"""The looks of one mapping at its disk that are under way.

In: pieces of work that are due, listings that answer them. Out: requests to the disk. An answer says which directory it
is about, not which request it answers, and requests that wait are merged there; so that each answer means one thing, a
directory is asked for again only when its last answer has come. Used by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ftpsyncd.core.settle import Work
from ftpsyncd.model import Listing


class Disk(Protocol):
    """Where looks at the disk are asked for (`local.disk.DiskThread`)."""

    def list_dir(self, directory: str) -> None:
        """Ask for a whole directory."""

    def probe(self, directory: str, names: Collection[str]) -> None:
        """Ask for some names."""

    def check(self) -> None:
        """Ask for the health of the watcher and the identity of the root."""


class Looks:
    """What was asked and is not answered; its length is the number of such requests."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, bool], Work] = {}
        self._next: dict[tuple[str, bool], Work] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, disk: Disk, work: Work) -> None:
        """Ask for a look, or put it behind the one at the same directory that is under way."""
        key = (work.directory, work.names is None)
        if key in self._asked:
            before = self._next.get(key)
            self._next[key] = work if before is None else _both(before, work)
            return
        self._asked[key] = work
        if work.names is None:
            disk.list_dir(work.directory)
        else:
            disk.probe(work.directory, work.names)

    def answered(self, listing: Listing, disk: Disk | None) -> bool:
        """A look is over; what was put behind it is asked for now.

        Args:
            listing: the answer.
            disk: where to ask; None: the mapping is going, nothing more is asked.

        Returns:
            Whether subdirectories are to be entered.
        """
        key = (listing.directory, listing.names is None)
        work = self._asked.pop(key, None)
        again = self._next.pop(key, None)
        if again is not None and disk is not None:
            self.ask(disk, again)
        return work is not None and work.deep

    def drop_next(self) -> None:
        """Nothing can be seen: forget what was to be asked next."""
        self._next.clear()


def _both(one: Work, other: Work) -> Work:
    """Two pieces of work about one directory in one look."""
    names = None if one.names is None or other.names is None else one.names | other.names
    return Work(one.directory, names, one.deep or other.deep)
