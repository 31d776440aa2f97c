"""What failed tries of an action say of its next one: how often the connection ended, how far a large file has come.

In: what became of tries, from `outcomes`. Out: counts. They matter only while the daemon runs, and only for as long as
the action is tried: what is deleted here meanwhile, or left out, has no further outcome, and is forgotten when nothing
is to be done at any server. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ftpsyncd.core.extent import Key

MOST = 1000
"""Actions of which something is remembered; of more, those whose last try is longest ago begin anew."""


class _Tries(NamedTuple):
    lost: int = 0
    kept: int = 0


class Tries:
    """The failed tries of actions, by mapping and path."""

    def __init__(self) -> None:
        self._of: dict[Key, _Tries] = {}

    def __repr__(self) -> str:
        return f"<Tries {len(self._of)}>"

    def __len__(self) -> int:
        return len(self._of)

    def lost(self, key: Key) -> int:
        """The connection ended under an action; how often it has since anything was known against it, or brought."""
        before = self._of.get(key, _Tries())
        self._remember(key, before._replace(lost=before.lost + 1))
        return before.lost + 1

    def came_forward(self, key: Key, kept: int) -> bool:
        """A try left so many bytes of a file at the server; whether those are more than any before it had left.

        Then nothing that happened before counts.
        """
        if kept <= self._of.get(key, _Tries()).kept:
            return False
        self._remember(key, _Tries(kept=kept))
        return True

    def over(self, key: Key) -> int:
        """Something is known of an action, or against it: the next one begins anew.

        Returns:
            How often the connection had ended under it.
        """
        return self._of.pop(key, _Tries()).lost

    def rest(self, is_failing: Callable[[Key], bool]) -> None:
        """Nothing is to be done at any server now: what has not failed, and waits for its next try, is not tried again.

        Args:
            is_failing: whether it has.
        """
        self._of = {key: tries for key, tries in self._of.items() if is_failing(key)}

    def drop(self, mapping: str) -> None:
        """A mapping is not here any more."""
        self._of = {key: tries for key, tries in self._of.items() if key[0] != mapping}

    def _remember(self, key: Key, tries: _Tries) -> None:
        self._of.pop(key, None)
        self._of[key] = tries
        if len(self._of) > MOST:
            del self._of[next(iter(self._of))]
