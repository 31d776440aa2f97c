"""What is there in one mapping and cannot be read: why, and when it is looked at again.

In: listings. Out: marks for the next look, one event for each path. Nothing else need ever tell that a path can be read
again, so that each is tried ever more rarely. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.errors import LocalUnreadableError
from ftpsyncd.events import EventKind
from ftpsyncd.model import Kind, Listing, basename, join, parent
from ftpsyncd.site import QUEUE_ROOM, Moment, Site

FIRST_AGAIN_S = 1.0
LONGEST_AGAIN_S = 300.0
"""What cannot be read is looked at again after 1, 2, 4 … 300 seconds."""


class Unreadable:
    """The paths of one mapping that cannot be read.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self.problems: dict[str, str] = {}
        """Why, by path."""
        self._again_s: dict[str, float] = {}
        """How long they wait for their next look."""
        self._site = site

    def __repr__(self) -> str:
        return f"<Unreadable {len(self.problems)}>"

    def note_directory(self, path: str, why: str, at: Moment) -> None:
        """A directory cannot be listed."""
        self._note(path, why, at, self._site.dirty.mark_directory)

    def _note(self, path: str, why: str, at: Moment, mark: Callable[[str, float], None]) -> None:
        if path not in self.problems:
            if len(self.problems) >= QUEUE_ROOM:
                return
            error = LocalUnreadableError.__name__
            self._site.tell(EventKind.FAILED, path, f"it cannot be read: {why}", error=error)
            self.problems[path] = why
        if not self._site.one_pass:
            pause_s = self._again_s.get(path, FIRST_AGAIN_S)
            self._again_s[path] = min(2 * pause_s, LONGEST_AGAIN_S)
            mark(path, at.now + pause_s)

    def over(self, path: str) -> bool:
        """It can be read, or nothing is there any more.

        Returns:
            Whether it could not be read.
        """
        self._again_s.pop(path, None)
        return self.problems.pop(path, None) is not None

    def nothing_below(self, directory: str) -> None:
        """A directory is not there: neither is anything below it."""
        prefix = f"{directory}/"
        for path in [p for p in self.problems if p.startswith(prefix)]:
            self.over(path)

    def listed(self, listing: Listing, at: Moment) -> None:
        """What cannot be read now, and what can be again; whether a directory can, its own listing alone tells."""
        directory = listing.directory
        if self.over(directory):
            # Of what changed below it meanwhile nobody may have heard.
            self._site.dirty.mark_deep(directory, at.now)
        for path in [p for p in self.problems if parent(p) == directory]:
            name = basename(path)
            entry = listing.entries.get(name)
            seen = (listing.names is None or name in listing.names) and name not in listing.unreadable
            if seen and (entry is None or entry.kind is not Kind.DIR):
                self.over(path)
        for name, why in listing.unreadable.items():
            self._note(join(directory, name), why, at, self._site.dirty.mark)
