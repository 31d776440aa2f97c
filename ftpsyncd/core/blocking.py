"""What has to wait for what at one server: for the same path, for what is above it, or for what is below it. Pure.

In: actions that wait, and which of them do no more; `underway` has what runs. Out: for what an action has to wait
(`blocker`), and what may start now of all that was parked behind something.

- One that is being performed is not disturbed: its successor waits for it.
- Nothing below a directory starts while something about the directory itself waits or runs, and nothing about a
  directory starts while something below it runs.
- A removal is the exception: it waits for all that waits below, so that nothing has to wait for it. What moves out of a
  directory need not wait for it either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ftpsyncd.actions import Action, RemoveDir
from ftpsyncd.core.below import Below
from ftpsyncd.core.extent import REMOVALS, Key, is_structural, keys_of
from ftpsyncd.core.underway import UnderWay
from ftpsyncd.paths import above


class Blocking:
    """What waits for the end of something else.

    Args:
        freed: told which keys of a mapping may start now that were parked; some may not wait any more.
    """

    def __init__(self, freed: Callable[[str, Iterable[Key]], None]) -> None:
        self.under_way = UnderWay(self._is_empty)
        self.waiting_below = Below(self._is_empty)
        """The paths about which something waits."""
        self._freed = freed
        self._structural: dict[Key, int] = {}
        """How much waits at a path on which all below it depends."""
        self._parked_behind: dict[Key, dict[Key, None]] = {}
        """What waits for a key; with a slash behind its path, until nothing is below that (`blocker`)."""

    def __repr__(self) -> str:
        return f"<Blocking behind={len(self._parked_behind)} {self.under_way!r}>"

    def waits(self, action: Action) -> None:
        """An action waits from now on."""
        structural = _has_below_wait(action)
        for own in keys_of(action):
            self.waiting_below.add(own)
            if structural:
                self._structural[own] = self._structural.get(own, 0) + 1

    def waits_no_more(self, action: Action) -> None:
        """It is taken back, or begins."""
        structural = _has_below_wait(action)
        for own in keys_of(action):
            self.waiting_below.discard(own)
            if structural:
                left = self._structural.get(own, 0) - 1
                if left > 0:
                    self._structural[own] = left
                else:
                    self._structural.pop(own, None)

    def blocker(self, key: Key, action: Action) -> Key | None:
        """A key whose end has to be awaited before this action may start; with a slash: all that is below it."""
        mapping, under_way = key[0], self.under_way
        for own in keys_of(action):
            if own in under_way:
                return own
            for path in above(own[1]):
                directory = (mapping, path)
                if under_way.holds_below(directory):
                    return directory
                # What leaves a directory goes before its rename: afterwards it would not be there.
                if own == key and directory in self._structural:
                    return directory
        if isinstance(action, REMOVALS):
            for own in keys_of(action):
                if own in under_way.below:
                    return (mapping, f"{own[1]}/")
            if isinstance(action, RemoveDir) and key in self.waiting_below:
                return (mapping, f"{key[1]}/")
        return None

    def park(self, key: Key, blocker: Key) -> None:
        """Have an action wait for the end of what is at a key (`blocker`)."""
        self._parked_behind.setdefault(blocker, {})[key] = None

    def over(self, keys: Iterable[Key]) -> None:
        """What was at these keys has ended, or will not be performed: what was parked behind them may start now."""
        for key in keys:
            parked = self._parked_behind.pop(key, None)
            if parked:
                self._freed(key[0], parked)

    def _is_empty(self, directory: Key) -> None:
        """Of what waits, or of what runs, nothing is below a directory any more: what was parked for that may start."""
        mapping, path = directory
        self.over([(mapping, f"{path}/")])


def _has_below_wait(action: Action) -> bool:
    """Whether nothing below its path starts while it waits."""
    return is_structural(action) and not isinstance(action, RemoveDir)
