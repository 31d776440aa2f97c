"""All directories below one, however deep: `os.walk` of Python 3.11 calls itself for each level, a thousand at most.

Comes in: a directory. Goes out: the directories, and the names in each. Called by commands that only count or tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ftpsyncd.paths import join


def walk(
    top: str,
    descend: Callable[[str], bool] = lambda _directory: True,
    closed: Callable[[str], object] = lambda _directory: None,
) -> Iterator[tuple[str, list[str]]]:
    """A directory and those below it, each before those in it; what cannot be listed is passed over.

    Args:
        top: the directory.
        descend: whether to go into one below it; gets its path relative to ``top``.
        closed: is told likewise of one that may not be listed.

    Yields:
        The path relative to ``top`` (empty for itself), and the names in it of all but directories. Links are none.
    """
    ahead = [""]
    while ahead:
        directory = ahead.pop()
        names: list[str] = []
        below: list[str] = []
        try:
            with os.scandir(join(top, directory) if directory else top) as found:
                for item in found:
                    (below if item.is_dir(follow_symlinks=False) else names).append(item.name)
        except OSError as error:
            if isinstance(error, PermissionError):
                closed(directory)
            continue
        yield directory, names
        ahead += [path for name in reversed(below) if descend(path := join(directory, name))]
