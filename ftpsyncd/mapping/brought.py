"""Directories that a rename may bring late: their old names, from which something may be taken away until it is known.

In: what was cut off, answers of the server. Out: which old names the server is to be asked about, and when. One per
mapping, used by its `late` and its `inquiries` on the engine's thread.

An RNTO that hung on a line is done when nothing has the new name: so nothing is published or deleted below the old one
meanwhile, since some of the directory would be there then, and some here. Whatever is begun under the new name, its
intent says what a rename may bring there (`Intent.brings`), so that a daemon which dies at that does not forget it. The
server is asked when it may have come already and something is to be done where it would be, and once more when it is
too late for it to come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ftpsyncd.actions import RenameDir
from ftpsyncd.mapping.openintents import LATE_S, OpenIntents, is_rename


class Brought:
    """What renames of directories may bring late in one mapping.

    Args:
        open_: its intents.
        is_recorded: whether the ledger has something under a path.
        twice: it is noted, and asked about when it is too late to come; a pass that ends asks at once about what others
            have noted.
    """

    def __init__(self, open_: OpenIntents, is_recorded: Callable[[str], bool], *, twice: bool) -> None:
        self._open = open_
        self._is_recorded = is_recorded
        self._twice = twice
        self._dues: dict[str, dict[str, float]] = {}
        """By new path and old one, until when it may come (monotonic seconds; -inf: it cannot any more)."""
        self._to_ask: dict[str, dict[str, None]] = {}
        """By new path, the old ones about which the server is to be asked as soon as it can."""

    def __repr__(self) -> str:
        return f"<Brought {len(self._open.brings)}>"

    def cut_off(self, path: str) -> None:
        """The connection ended under what is open about a path, or the daemon: a rename of a directory may come yet.

        What may come there besides may have come by now.
        """
        intent, olds = self._open[path], self._open.brings.get(path, ())
        if self._twice and is_rename(intent):
            # What comes to its old name late may come along.
            brought = (*olds, intent.source, *self._open.brings.get(intent.source, ()))
            # Nothing can be renamed into itself.
            brings = tuple(old for old in dict.fromkeys(brought) if not f"{path}/".startswith(f"{old}/"))
            if brings != olds:
                self._open.put(path, intent._replace(brings=brings))
        if olds:
            self._dues.get(path, {}).pop(intent.source, None)
            self._to_ask[path] = {old: None for old in olds if old != intent.source}

    def settled(self, path: str) -> None:
        """What was begun under a path is over: what may come there is asked about when it cannot come any more."""
        dues = self._dues.get(path, {})
        self._to_ask[path] = {old: None for old in self._to_ask.get(path, ()) if dues.get(old) == -math.inf}

    def drop(self, path: str) -> None:
        """Nothing is known any more of when to ask about a path."""
        self._dues.pop(path, None)
        self._to_ask.pop(path, None)

    def taking(self, path: str, *, whole: bool = False) -> Iterator[tuple[str, str]]:
        """New paths and old ones of the directories with which a path may leave.

        Args:
            path: it.
            whole: or something below it.
        """
        for new, olds in list(self._open.brings.items()):
            for old in olds:
                if path == old or path.startswith(f"{old}/") or (whole and old.startswith(f"{path}/")):
                    yield new, old

    def places(self, path: str, old: str) -> tuple[str, ...]:
        """All names that a directory may have got, one that is given among them.

        Those come first under which the ledger has nothing: what is there can be nothing else.
        """
        renames = (new for new, source in self._open.renames.items() if source == old)
        brought = (new for new, olds in self._open.brings.items() if old in olds)
        return tuple(sorted(dict.fromkeys((path, *renames, *brought)), key=self._is_recorded))

    def due(self, path: str, old: str, now: float) -> float:
        """Until when it may come to a path (monotonic seconds): then the server is asked, as soon as it can."""
        dues = self._dues.setdefault(path, {})
        due = dues.setdefault(old, now + LATE_S if self._twice else now)
        if due <= now:
            dues[old] = -math.inf
            self._to_ask.setdefault(path, {})[old] = None
        return due

    def is_due(self, path: str, now: float) -> bool:
        """Whether the server is to be asked about anything that may come to a path (monotonic seconds)."""
        for old in self._open.brings.get(path, ()):
            self.due(path, old, now)
        return bool(self._to_ask.get(path))

    def to_ask(self, path: str) -> list[str]:
        """The old names of what may have come to a path, and is to be asked about."""
        return list(self._to_ask.get(path, ()))

    def asks(self, action: RenameDir) -> bool:
        """Whether it only asks what a rename may have brought, which is not the one begun last under its path."""
        intent = self._open.get(action.path)
        return action.ask_only and (intent is None or action.source != intent.source)

    def told(self, path: str, old: str) -> None:
        """The server has told whether it has come, or need not be asked; what cannot come any more is forgotten."""
        self._to_ask.get(path, {}).pop(old, None)
        over = not self._twice or self._dues.get(path, {}).get(old) == -math.inf
        brings = tuple(each for each in self._open.brings.get(path, ()) if each != old)
        if over and brings != self._open.brings.get(path, ()):
            self._open.put(path, self._open[path]._replace(brings=brings))
            self._dues.get(path, {}).pop(old, None)
            if not brings:
                self.drop(path)
