"""How much is to be done at one server: of each mapping, in files and bytes, and which paths renames will leave. Pure.

Sums that are asked for at each turn, kept up to date with each action that comes, begins or ends.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.actions import Action, Upload
from ftpsyncd.core.extent import MOVES, Key


class Load(NamedTuple):
    """How much of a mapping waits and runs."""

    waiting: int = 0
    running: int = 0


class Backlog:
    """What waits and what runs at one server."""

    def __init__(self) -> None:
        self._loads: dict[str, Load] = {}
        self._sources: dict[Key, int] = {}
        self.files = 0
        """Of both, those to be uploaded."""
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Backlog files={self.files} bytes={self.bytes}>"

    def load(self, mapping: str) -> Load:
        """How much of one mapping waits and runs."""
        return self._loads.get(mapping, Load())

    def is_left(self, key: Key) -> bool:
        """Whether a rename away from this path waits or runs."""
        return key in self._sources

    def left_below(self, directory: Key) -> list[str]:
        """The paths below a directory that renames away from there, which wait or run, will leave."""
        mapping, path = directory
        prefix = f"{path}/" if path else ""
        return [source for each, source in self._sources if each == mapping and source.startswith(prefix)]

    def begins(self, action: Action) -> None:
        """What waited runs."""
        waiting, running = self._loads[action.mapping]
        self._loads[action.mapping] = Load(waiting - 1, running + 1)

    def count(self, action: Action, *, waiting: int = 0, running: int = 0) -> None:
        """One more, or one less (-1), waits or runs."""
        load = self.load(action.mapping)
        load = Load(load.waiting + waiting, load.running + running)
        if load == Load():
            self._loads.pop(action.mapping, None)
        else:
            self._loads[action.mapping] = load
        step = waiting + running
        if isinstance(action, Upload):
            self.files += step
            self.bytes += step * action.fingerprint.size
        elif isinstance(action, MOVES):
            source = (action.mapping, action.source)
            left = self._sources.get(source, 0) + step
            if left > 0:
                self._sources[source] = left
            else:
                self._sources.pop(source, None)
