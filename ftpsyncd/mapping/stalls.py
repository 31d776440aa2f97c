"""Files whose transfer moved nothing for minutes: tried again as soon as another shows that the network lets through.

A path of packets that loses the large ones (an MTU), or a firewall that forgets connections, stops every file but the
smallest. Nobody tells of its end, and each of the files would wait for its own next try, up to an hour. One that
arrived, and is as large, shows that it is over. If a file stalls all the same, it may be itself to blame, and what
arrives besides brings its next try forward ever more rarely.

In: what became of uploads, also of those of the server's other mappings. Out: failures that wait no longer, marks. One
per mapping, used by its `mirror` on the engine's thread. After a restart, files wait for their own tries.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.mapping.site import Moment, Site

ENOUGH_BYTES = 65536
"""A file of so many needs packets as large, and as many, as any larger one, as far as networks stop them."""
FIRST_AGAIN_S = 60.0
LONGEST_AGAIN_S = 3600.0
KEPT = 1000
"""Files that are remembered; of more, those that stalled first wait for their own tries."""


class _Stalled(NamedTuple):
    size: int
    due: float
    """From when on it is brought forward, monotonic seconds."""
    wait_s: float
    brought: bool = False
    """It was, and what came of it is not known."""


class Stalls:
    """The files of one mapping that stalled, and have not arrived.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._of: dict[str, _Stalled] = {}

    def __repr__(self) -> str:
        return f"<Stalls {len(self._of)}>"

    def go_on_from(self, before: Stalls) -> None:
        """Stand in for the same place under settings that are over."""
        self._of.update(before._of)

    def stalled(self, path: str, size: int, at: Moment) -> None:
        """The transfer of a file moved nothing any more."""
        before = self._of.pop(path, None)
        wait_s = 0.0 if before is None else before.wait_s
        if before is not None and before.brought:
            wait_s = min(LONGEST_AGAIN_S, max(FIRST_AGAIN_S, 2 * wait_s))
        self._of[path] = _Stalled(size, at.now + wait_s, wait_s)
        if len(self._of) > KEPT:
            del self._of[next(iter(self._of))]

    def arrived(self, path: str, size: int, at: Moment) -> None:
        """A file was published: what stalled and is no larger, as far as that matters, may be as well."""
        self._of.pop(path, None)
        self.passed(size, at)

    def passed(self, size: int, at: Moment) -> bool:
        """A file of this mapping, or of another one of its server, was published; whether any is tried again for it."""
        brought = False
        for other, stalled in list(self._of.items()):
            if not stalled.brought and at.now >= stalled.due and size >= min(stalled.size, ENOUGH_BYTES):
                brought = True
                self._of[other] = stalled._replace(brought=True)
                self._site.ledger.failures.release(self._site.id, other)
                self._site.dirty.mark(other, at.now)
        return brought
