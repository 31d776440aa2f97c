"""A rename that was cut off, or refused: where its file is by now, and what that means for what is under its old name.

Pure: what was seen is told to a `CutOff`, and what the server and the ledger have is handed in. `moves` remembers them,
by their old names, `leftbehind` finds out what they are asked with.

Of the old name two things are known: whether the server has the file there without a doubt (`refused`), and since when
it has been gone here (`gone_since`). Of the file one is (`lost_since`): it was not seen since the rename, or it was
under its new name, or has not been found for some time. What follows is its `Fate`: the first that holds, in their
order.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from ftpsyncd.model import Fingerprint
from ftpsyncd.paths import after_rename

NOT_SEEN = -math.inf
"""It was not found under its new name so far: what is not found when all has been looked at is deleted here."""


class Fate(Enum):
    """What becomes of what may be under an old name."""

    NOTHING = "nothing of it is there: it is remembered no more"
    GOES = "the file is published under another name: it goes, and counts as renamed"
    WAITS = "the file is about to be published: until then it may be all that the server has of it"
    SOUGHT = "not everything was looked at since the start: the file may be found yet"
    MISSED = "the file was here, and may be about to get yet another name: it counts when it was not found for long"
    COUNTS = "the file is deleted here, and so is what is under its old name"


class CutOff(NamedTuple):
    """The rename of a file that came to nothing, or of which nobody knows whether it was done."""

    path: str
    """The new name, or the one that it has got since."""
    fingerprint: Fingerprint
    """Of the file, as it was published under the old name."""
    links: tuple[str, ...] = ()
    """Other names under which it was published then: that it is so still tells nothing of this one."""
    gone_since: float | None = None
    """When it was first seen to be gone from its old name since then (monotonic seconds)."""
    refused: bool = False
    """It was not done, and the file sent: what the ledger says of the old name is no matter of doubt."""
    lost_since: float | None = NOT_SEEN
    """When it was first not found there, nor anywhere else (monotonic seconds); None: it was seen there."""
    written: Fingerprint | None = None
    """Of the file as it was written in place since, and seen under its new name."""

    @property
    def seen(self) -> Fingerprint:
        """Of the file as it was seen last."""
        return self.written or self.fingerprint

    def is_same_file(self, fingerprint: Fingerprint | None) -> bool:
        """Whether it is the file, which may have been written in place since then."""
        return fingerprint is not None and fingerprint.inode == self.fingerprint.inode != 0

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def gone(self, since: float) -> CutOff:
        """It has been gone from its old name since then at least (monotonic seconds)."""
        return self if self.gone_since is not None and self.gone_since <= since else self._replace(gone_since=since)

    def there(self) -> CutOff | None:
        """Its old name is there: for how long it is gone counts anew. None: what is there is published, and all of it.

        What is in doubt is sent anew, and may go before that.
        """
        return None if self.refused else self._replace(gone_since=None)

    def replaced(self) -> CutOff:
        """Another file has its old name: it is not back there, and what goes from where it was sent is deleted."""
        return self._replace(gone_since=None, lost_since=None)

    def turned(self, source: str) -> CutOff | None:
        """What may be left of the file under its new name, as it has its old one again; None: nothing.

        Seen under both, it is two files, or hard links: should one go some day, it is deleted.
        """
        both = self.lost_since is None and self.gone_since is None
        return None if both else CutOff(source, self.seen, self.links, refused=True, lost_since=None)

    def here(self, path: str, fingerprint: Fingerprint) -> CutOff:
        """A file is here that is not published as it is: if it is this one, that is its name now.

        So it is, under the name that it had before, if it was written in place; under another name, an inode alone may
        be another file's.
        """
        if path in self.links or not (self.seen == fingerprint or self.path == path):
            return self
        return self._replace(path=path, lost_since=None, written=fingerprint)

    def missed(self, now: float) -> CutOff:
        """It was not found anywhere (monotonic seconds)."""
        return self if self.lost_since is not None else self._replace(lost_since=now)

    def gone_on(self, path: str) -> CutOff:
        """It has got another name yet."""
        return self._replace(path=path, links=tuple(each for each in self.links if each != path))

    def moved(self, source: str, target: str) -> CutOff:
        """A directory has another name at the server, and perhaps what is in it by now."""
        path, *links = (after_rename(each, source, target) for each in (self.path, *self.links))
        return self._replace(path=path, links=tuple(links))

    # ── what follows ─────────────────────────────────────────────────────────────────────────────────────────

    def fate(self, *, left: bool, arrived: bool, comes: bool, all_seen: bool, waits: bool = True) -> Fate:
        """What becomes of what may be under the old name.

        Args:
            left: the server may have it there.
            arrived: the file is published under its new name, or another one that it got.
            comes: it is about to be.
            all_seen: everything was looked at since the start.
            waits: there is time for it; else the server needs the room.
        """
        if not left:
            return Fate.NOTHING
        if arrived:
            return Fate.GOES
        if comes and waits:
            return Fate.WAITS
        if not all_seen:
            return Fate.SOUGHT
        return Fate.MISSED if waits and self.lost_since != NOT_SEEN else Fate.COUNTS

    def goes_at(self, fate: Fate, delete_after_s: float) -> float:
        """When it is deleted there, as that or as a delete (monotonic seconds; -inf: nobody has looked since when).

        Args:
            fate: its own.
            delete_after_s: how long what is gone, or not found, is waited for.
        """
        if fate is Fate.SOUGHT:
            return math.inf
        since = [self.gone_since, self.lost_since if fate is Fate.MISSED else None]
        return max((each + delete_after_s for each in since if each is not None), default=-math.inf)
