"""The stream from which a worker draws its actions, for tests."""

from __future__ import annotations

from collections import deque

from ftpsyncd.actions import Action


class Drawn:
    """Actions that were planned before; it can be seen what is left of them."""

    def __init__(self, *actions: Action) -> None:
        self.left = deque(actions)

    def next(self) -> Action | None:
        return self.left.popleft() if self.left else None

    def put_back(self, action: Action) -> None:
        self.left.appendleft(action)
