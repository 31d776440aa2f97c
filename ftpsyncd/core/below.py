"""Below which directories there is something: counted so that one more file of a directory costs one number. Pure.

Each directory counts what is directly in it: the keys that were added, and directories that have something below. So
a change is told to the directory above only when the first thing comes or the last one goes.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.core.extent import Key
from ftpsyncd.paths import above


class Below:
    """A multiset of keys that knows which directories have any of them below.

    Args:
        emptied: told of every directory that has nothing below any more.
    """

    __slots__ = ("_counts", "_emptied")

    def __init__(self, emptied: Callable[[Key], None]) -> None:
        self._emptied = emptied
        self._counts: dict[Key, int] = {}

    def __bool__(self) -> bool:
        """Whether any directory has something below."""
        return bool(self._counts)

    def __contains__(self, directory: Key) -> bool:
        """Whether anything is below, however deep."""
        return directory in self._counts

    def add(self, key: Key) -> None:
        """There is one more at this key."""
        counts = self._counts
        mapping, path = key
        for each in above(path):
            directory = (mapping, each)
            before = counts.get(directory, 0)
            counts[directory] = before + 1
            if before:
                return

    def discard(self, key: Key) -> None:
        """There is one less at this key, which was added."""
        counts = self._counts
        mapping, path = key
        emptied = []
        for each in above(path):
            directory = (mapping, each)
            left = counts[directory] - 1
            if left:
                counts[directory] = left
                break
            del counts[directory]
            emptied.append(directory)
        # Told when all is counted: who is told may ask.
        for directory in emptied:
            self._emptied(directory)
