"""Files with several names (hard links): when one has gone, as far as the daemon could know when it began to rename.

A file that has another name for long enough is renamed at the server, if the old one is not met there any more by the
worker, who looks last: made as a link, it has both until somebody takes the old one away, perhaps right before that
look. How long the old name is missing counts from the link then, unless a look has told before the rename was begun.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ftpsyncd.actions import Action, Rename
from ftpsyncd.model import Listing
from ftpsyncd.paths import join
from tests.model.drop import Drop, Time

LOOKS_KEPT = 50
"""Of each name the last ones: a rename is not begun so many looks before it is done."""


class _Left(NamedTuple):
    step: int
    """Of the daemon, at which the name went."""
    changed: float
    """When the file was changed last before that (monotonic seconds)."""


class Linked:
    """What is known of the names of one drop folder.

    Args:
        drop: it.
        time: its clocks.
    """

    def __init__(self, drop: Drop, time: Time) -> None:
        self._drop = drop
        self._time = time
        self._left: dict[str, _Left] = {}
        self._looked: dict[str, deque[int]] = {}
        self._begun: dict[str, tuple[Rename, int]] = {}

    def goes(self, paths: Iterable[str], step: int) -> None:
        """These names go, or what is under them changes, at a step of the daemon."""
        for path in paths:
            self._left.pop(path, None)
            if not self._drop.exists(path) or self._drop.is_folder(path):
                continue
            status = os.lstat(self._drop.local(path))
            if status.st_nlink > 1 and status.st_ino in self._drop.stamps:
                ago_s = (self._time.wall_ns() - self._drop.stamps[status.st_ino]) / 1e9
                self._left[path] = _Left(step, self._time.now - ago_s)

    def looked(self, listing: Listing, step: int) -> None:
        """The disk was looked at."""
        for name in listing.entries:
            self._looked.setdefault(join(listing.directory, name), deque(maxlen=LOOKS_KEPT)).append(step)

    def handed(self, actions: Iterable[Action], step: int) -> None:
        """These were handed out by a turn that began at a step."""
        for action in actions:
            if isinstance(action, Rename) and self._begun.get(action.path, (None, 0))[0] is not action:
                self._begun[action.path] = action, step

    def since(self, source: str, target: str) -> float | None:
        """From when the absence of an old name counts if it was there as far as was known; None: it was known to go."""
        left, begun = self._left.get(source), self._begun.get(target)
        if left is None or begun is None:
            return None
        known = any(left.step <= step < begun[1] for step in self._looked.get(target, ()))
        return None if known else left.changed
