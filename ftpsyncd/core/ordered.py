"""Which of many paths are below a directory, for a collection that is seldom asked: found without a look at the others.

The paths are kept in their order, which those that come are put into when somebody asks, and not before: most of them
are gone again by then. (`inside` is for collections that are asked all the time.) Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator

SOME = 64
"""So many paths that have come are put into their order one by one; more of them all at once."""


class Ordered:
    """The paths of a collection in their order.

    Args:
        paths: the collection, whose owner tells of each path that has come (`add`) or gone (`discard`).
    """

    __slots__ = ("_new", "_order", "_paths")

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = paths
        self._order: list[str] = []
        """Without those that are new; some of it may have gone."""
        self._new = set(paths)

    def add(self, path: str) -> None:
        """A path has come, or was there."""
        self._new.add(path)

    def discard(self, path: str) -> None:
        """A path has gone."""
        self._new.discard(path)
        self._drop_gone()

    def below(self, directory: str) -> Iterator[str]:
        """The paths below a directory that is not the root, in their order; none may come or go meanwhile."""
        if self._new:
            self._put_in()
        # "0" follows the slash.
        first, behind = bisect_left(self._order, f"{directory}/"), bisect_left(self._order, f"{directory}0")
        return (path for path in self._order[first:behind] if path in self._paths)

    def _drop_gone(self) -> None:
        """Not one by one: that would be to look at all of them each time."""
        if len(self._order) > 2 * (len(self._paths) + SOME):
            self._order = [path for path in self._order if path in self._paths]

    def _put_in(self) -> None:
        new, self._new = self._new, set()
        if len(new) > SOME:
            self._order = sorted(self._paths)
            return
        for path in new:
            at = bisect_left(self._order, path)
            if self._order[at : at + 1] != [path]:
                self._order.insert(at, path)
