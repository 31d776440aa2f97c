"""What is there in one mapping and cannot be read: why, and when it is looked at again.

In: listings. Out: marks for the next look, one event for each path. Nothing else need ever tell that a path can be read
again, so that each is tried ever more rarely. Only so many are noted by themselves; where there are more, all of their
directory is looked at again. One per mapping, used by its `comparing` on the engine's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ftpsyncd.errors import LocalUnreadableError
from ftpsyncd.events import EventKind
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site, Waiting
from ftpsyncd.model import Kind, Listing
from ftpsyncd.paths import basename, join, parent

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
        self._since: dict[str, float] = {}
        """When that was found first (monotonic seconds), the oldest first."""
        self._again_s: dict[str, float] = {}
        """How long they wait for their next look."""
        self._rest_again_s = FIRST_AGAIN_S
        self._rest_due = -math.inf
        """When the directories of those are looked at for which there is no room."""
        self._site = site

    def __repr__(self) -> str:
        return f"<Unreadable {len(self.problems)}>"

    def published(self) -> frozenset[str]:
        """What of it was published; the root can hold whatever was."""
        ledger, mapping = self._site.ledger, self._site.id
        return frozenset(path for path in self.problems if not path or ledger.row(mapping, path) is not None)

    def count(self, prefix: str = "") -> int:
        """How many there are whose paths begin so, but for those that count among what failed.

        The server may have refused a directory that cannot be read here.
        """
        tries, mapping = self._site.ledger.failures.tries, self._site.id
        return sum(path.startswith(prefix) and not tries(mapping, path) for path in self.problems)

    def note_directory(self, path: str, why: str, at: Moment) -> None:
        """A directory cannot be listed."""
        if self._has_room_for(path):
            self._note(path, why, at, self._site.dirty.mark_directory)
        elif not self._site.one_pass:
            # When it can be, all below it is to be looked at: nobody would know then that it could not.
            self._site.dirty.mark_deep("", at.now + LONGEST_AGAIN_S)

    def _has_room_for(self, path: str) -> bool:
        return path in self.problems or len(self.problems) < QUEUE_ROOM

    def _note(self, path: str, why: str, at: Moment, mark: Callable[[str, float], None]) -> None:
        if path not in self.problems:
            error = LocalUnreadableError.__name__
            self._site.tell(EventKind.FAILED, path, f"it cannot be read: {why}", error=error)
            self.problems[path] = why
            self._since[path] = at.now
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
        self._since.pop(path, None)
        known = self.problems.pop(path, None) is not None
        if known and not self.problems:
            self._rest_again_s = FIRST_AGAIN_S
        return known

    def longest(self) -> Waiting | None:
        """What could not be read for longest; None if everything can."""
        since = next(iter(self._since.values()), None)
        # It is among what failed.
        return None if since is None else Waiting(since, "")

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
        rest = False
        for name, why in listing.unreadable.items():
            path = join(directory, name)
            if self._has_room_for(path):
                self._note(path, why, at, self._site.dirty.mark)
            else:
                rest = True
        if rest and not self._site.one_pass:
            self._look_at_rest(directory, at)

    def _look_at_rest(self, directory: str, at: Moment) -> None:
        """Some names of a directory could not be noted: look at all of it again, ever more rarely."""
        if at.now >= self._rest_due:
            self._rest_due = at.now + self._rest_again_s
            self._rest_again_s = min(2 * self._rest_again_s, LONGEST_AGAIN_S)
        self._site.dirty.mark_directory(directory, self._rest_due)
