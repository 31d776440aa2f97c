"""Which of many paths are below a directory: found without a look at the others. Pure.

Each directory knows what is directly in it: paths, and directories that have some below. So one more costs a step for
each directory that had none, and those below a directory are found in as many steps as there are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from ftpsyncd.paths import parent


class Inside:
    """The paths of a collection by the directories above them.

    Args:
        paths: the collection, whose owner tells of each path that has come (`add`) or gone (`discard`).
    """

    __slots__ = ("_in", "_paths")

    def __init__(self, paths: Container[str]) -> None:
        self._paths = paths
        self._in: dict[str, set[str]] = {}

    def __contains__(self, directory: str) -> bool:
        """Whether any path is below a directory, however deep."""
        return directory in self._in

    def add(self, path: str) -> None:
        """A path has come."""
        while path:
            above = parent(path)
            beside = self._in.get(above)
            if beside is not None:
                beside.add(path)
                return
            self._in[above] = {path}
            path = above

    def discard(self, path: str) -> None:
        """A path has gone."""
        while path and path not in self._in and path not in self._paths:
            above = parent(path)
            beside = self._in[above]
            beside.discard(path)
            if beside:
                return
            del self._in[above]
            path = above

    def clear(self) -> None:
        """All have gone."""
        self._in.clear()

    def directly(self, directory: str) -> Iterator[str]:
        """The paths in a directory itself; none may come or go meanwhile."""
        return (path for path in self._in.get(directory, ()) if path in self._paths)

    def below(self, directory: str) -> Iterator[str]:
        """The paths below a directory; none may come or go meanwhile."""
        ahead = [directory]
        while ahead:
            for path in self._in.get(ahead.pop(), ()):
                if path in self._paths:
                    yield path
                if path in self._in:
                    ahead.append(path)
