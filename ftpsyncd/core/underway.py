"""What is under way at one server: which paths it takes up, how much of the connections, what tries the server. Pure.

In: actions that the `schedule` hands out, and their ends. Nothing is begun at a path where something is under way, so
that there is one action at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftpsyncd.actions import Action, Probe
from ftpsyncd.core.below import Below
from ftpsyncd.core.extent import UNITS_PER_CONNECTION, Key, arrives, is_large, is_structural, keys_of, units_of


class UnderWay:
    """The actions that were handed out and have not ended.

    Args:
        emptied: told of every directory below which nothing is under way any more.
    """

    def __init__(self, emptied: Callable[[Key], None]) -> None:
        self.below = Below(emptied)
        """The paths that are taken up."""
        self._at: dict[Key, Action] = {}
        self._arriving: dict[Key, None] = {}
        """The paths at which something will be left: few, even where hundreds of deletes are under way."""
        self._count = 0
        self._units = 0
        self._large = 0
        self._trial: tuple[Action, int] | None = None
        """What was let through after the server had failed, and after which outage; until it has ended."""

    def __repr__(self) -> str:
        return f"<UnderWay {self._count} units={self._units} large={self._large}>"

    def __len__(self) -> int:
        """Actions handed out and not finished."""
        return self._count

    def __contains__(self, key: Key) -> bool:
        """Whether an action has to do with this path."""
        return key in self._at

    def at(self, key: Key) -> Action | None:
        """The action that has to do with this path."""
        return self._at.get(key)

    def keys(self) -> set[Key]:
        """All paths that are taken up."""
        return set(self._at)

    def any_of(self, kinds: tuple[type[Action], ...]) -> bool:
        """Whether an action of some kinds runs."""
        return any(isinstance(action, kinds) for action in self._at.values())

    def of(self, mapping: str) -> Iterator[tuple[str, Action]]:
        """The paths and actions of one mapping, each of both paths if it has two."""
        return ((own[1], action) for own, action in self._at.items() if own[0] == mapping)

    def own_paths(self, mapping: str) -> Iterator[str]:
        """The paths of one mapping's actions, each under its own."""
        return (path for path, action in self.of(mapping) if path == action.path)

    def arriving(self, mapping: str) -> Iterator[str]:
        """The paths at which one mapping's actions will leave something."""
        return (path for owner, path in self._arriving if owner == mapping)

    def holds_below(self, directory: Key) -> bool:
        """Whether everything below a directory has to wait for what is done about it."""
        action = self._at.get(directory)
        return action is not None and is_structural(action)

    def has_room_for(self, action: Action, connections: int) -> bool:
        """Whether an action may be handed out besides; large ones leave one of the connections free."""
        if is_large(action) and self._large >= max(1, connections - 1):
            return False
        return self._units + units_of(action) <= connections * UNITS_PER_CONNECTION

    def is_trying(self, outage: int) -> bool:
        """Whether something is under way that will tell more of a server that failed.

        What began before it did, or was let through after an earlier outage, may take hours, and tells nothing of this
        one when it ends. (Of probes there is one at a time.)

        Args:
            outage: the number of the last one.
        """
        if self._trial is None:
            return False
        action, after = self._trial
        return after == outage or isinstance(action, Probe)

    def is_trying_with_large(self, outage: int) -> bool:
        """Whether what tries the server is a large file, which may take hours (`is_trying`)."""
        return self._trial is not None and self._trial[1] == outage and is_large(self._trial[0])

    def begin(self, action: Action, *, outage: int | None) -> None:
        """An action is handed out.

        Args:
            action: it.
            outage: it is let through after the server failed, the last time with this number; None: that works.
        """
        if outage is not None:
            self._trial = action, outage
        self._count += 1
        self._units += units_of(action)
        self._large += is_large(action)
        for own in keys_of(action):
            self._at[own] = action
            if arrives(own, action):
                self._arriving[own] = None
            self.below.add(own)

    def end(self, action: Action) -> tuple[Key, ...]:
        """An action has ended; the paths that it occupied."""
        keys = keys_of(action)
        if self._trial is not None and keys_of(self._trial[0])[0] == keys[0]:
            self._trial = None
        self._count -= 1
        self._units -= units_of(action)
        self._large -= is_large(action)
        for own in keys:
            self._at.pop(own, None)
            self._arriving.pop(own, None)
            self.below.discard(own)
        return keys
