"""The looks of one mapping at its disk: those that are under way, and the passes that they make up.

In: what is due, listings that answer. Out: requests to the disk. An answer says which directory it is about, not which
request it answers, and requests that wait are merged there; so that each answer means one thing, a directory is asked
for again only when its last answer has come. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from itertools import islice
from typing import Protocol

from ftpsyncd.core.settle import Work
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.model import Listing

LOOKS_AT_ONCE = 4
"""Requests to the disk under way."""
NAMES_AT_ONCE = 5000
"""Names of a directory in one request: a second at most for a disk that answers at once."""
SILENT_S = 15.0
"""A disk that has told nothing for so long, though it was asked, is looked into: does it answer at all (within 5 s)?

Others at the same server may wait for it meanwhile. Not much less: to wake a sleeping disk takes ten seconds."""


class Disk(Protocol):
    """Where looks at the disk are asked for (`local.disk.DiskThread`)."""

    def list_dir(self, directory: str) -> None:
        """Ask for a whole directory."""

    def probe(self, directory: str, names: Collection[str]) -> None:
        """Ask for some names."""

    def check(self) -> None:
        """Ask for the health of the watcher and the identity of the root."""

    def answers(self) -> bool:
        """Whether it answers, as far as is known; does not wait: ask again later."""


class Looks:
    """What was asked and is not answered; true while there is any.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self.passes = 0
        """How often everything was compared."""
        self.in_pass = False
        self.disk: Disk | None = None
        """Where looks are asked for; None: the mapping is not there yet, or it is going, and nothing is asked."""
        self._site = site
        self._asked: dict[tuple[str, bool], Work] = {}
        self._next: dict[tuple[str, bool], Work] = {}
        self._silent_since: float | None = None
        """When the disk was asked for its health; None when it has told anything since."""

    def __bool__(self) -> bool:
        return bool(self._asked)

    def attach(self, disk: Disk) -> None:
        """Ask this disk from now on."""
        self.disk = disk

    def detach(self) -> None:
        """The mapping is going: ask for nothing more."""
        self.disk = None

    def check_source(self, now: float) -> float:
        """It is time to look whether the root is there, or somebody found it missing: look now.

        Returns:
            For how many seconds the disk has not answered; 0.0 if it does, or is only busy with what takes long, such
            as to begin to watch a large tree.
        """
        if self.disk is None:
            return 0.0
        if self._silent_since is None:
            self._silent_since = now
        self.disk.check()
        silent_s = now - self._silent_since
        return 0.0 if silent_s < SILENT_S or self.disk.answers() else silent_s

    def heard(self) -> None:
        """The disk told something."""
        self._silent_since = None

    def ask_what_is_due(self, at: Moment) -> bool:
        """Ask for the looks that are due, as far as the queue has room for what they may bring.

        Returns:
            False if it has none at all: not for what is marked by itself, however much of large directories waits.
        """
        site, passing_on = self._site, not self._in_depth
        while len(self._asked) < LOOKS_AT_ONCE:
            if not self._has_room:
                return False
            work = site.dirty.take(at.now, marked_only=self._is_full or not passing_on)
            if work is None:
                break
            self.in_pass |= work.deep
            self.ask(work)
        return True

    def next_due(self) -> float | None:
        """When there will be something to ask although nothing happens; None if only an event can help."""
        if self.disk is None or len(self._asked) >= LOOKS_AT_ONCE or not self._has_room:
            return None
        return self._site.dirty.next_due(marked_only=self._in_depth or self._is_full)

    @property
    def _is_full(self) -> bool:
        """Whether so much waits that no further directory is gone through."""
        return self._site.queue.load(self._site.spec.name).waiting >= QUEUE_ROOM

    @property
    def _has_room(self) -> bool:
        """Whether there is room for what is marked by itself: one large directory may fill the queue for hours."""
        queue, name = self._site.queue, self._site.spec.name
        return queue.load(name).waiting < 2 * QUEUE_ROOM or queue.marked(name) < QUEUE_ROOM

    @property
    def _in_depth(self) -> bool:
        """Whether a part of a deep scan is under way: the next part is asked for when all of it was compared.

        Else the disk's thread would look while the engine compares what it told before; each would have to wait for the
        interpreter's lock at every file.
        """
        return any(work.deep for work in self._asked.values())

    def pass_ended(self, at: Moment) -> None:
        """Everything that was to be compared has been: the next pass comes in its time."""
        self.in_pass = False
        self.passes += 1
        if not self._site.one_pass:
            # Spread, so that many mappings do not scan in step.
            spread = random.uniform(0.75, 1.25)  # noqa: S311
            self._site.dirty.mark_deep("", at.now + self._site.spec.rescan_s * spread)

    def ask(self, work: Work) -> None:
        """Ask for a look, or put it behind the one at the same directory that is under way."""
        if self.disk is None:
            return
        key = (work.directory, work.names is None)
        if key in self._asked:
            before = self._next.get(key)
            self._next[key] = work if before is None else _both(before, work)
            return
        self._asked[key] = work
        if work.names is None:
            self.disk.list_dir(work.directory)
            return
        some = work.names
        if len(some) > NAMES_AT_ONCE:
            some = frozenset(islice(some, NAMES_AT_ONCE))
            self._next[key] = work._replace(names=work.names - some)
        self.disk.probe(work.directory, some)

    def answered(self, listing: Listing) -> Work | None:
        """A look is over; what was put behind it is asked for now.

        Returns:
            What was asked; None if nobody knows any more.
        """
        self.heard()
        key = (listing.directory, listing.names is None)
        work = self._asked.pop(key, None)
        again = self._next.pop(key, None)
        if again is not None:
            self.ask(again)
        return work

    def drop_next(self) -> None:
        """Nothing can be seen: forget what was to be asked next."""
        self._next.clear()


def _both(one: Work, other: Work) -> Work:
    """Two pieces of work about one directory in one look."""
    names = None if one.names is None or other.names is None else one.names | other.names
    return Work(one.directory, names, one.deep or other.deep, min(one.order, other.order))
