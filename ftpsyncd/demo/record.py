"""What the demo knows of its own doing, shared by the story, the witness and the screen."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from hashlib import sha256

KEPT = 200


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened in the drop folder or at the server."""

    at_s: float
    """Seconds since the demo began."""
    where: str
    """``drop`` or ``server``."""
    verb: str
    path: str
    size: int = 0
    source: str = ""
    """The old path of a rename."""


class Record:
    """Contents that were written on purpose, files that are being written, and what happened. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: dict[str, set[bytes]] = {}
        self._open: set[str] = set()
        self._happenings: deque[Happening] = deque(maxlen=KEPT)
        self._count = 0

    def intend(self, path: str, data: bytes) -> None:
        """Note that ``path`` is about to hold ``data``."""
        with self._lock:
            self._contents.setdefault(path, set()).add(sha256(data).digest())

    def moved(self, source: str, path: str) -> None:
        """Note that a path takes its contents along."""
        with self._lock:
            self._contents.setdefault(path, set()).update(self._contents.get(source, ()))

    def intended(self, path: str, data: bytes) -> bool | None:
        """Whether ``path`` was ever meant to hold exactly ``data``; None if the path is not of the demo's making."""
        with self._lock:
            known = self._contents.get(path)
        return None if known is None else sha256(data).digest() in known

    def begin_writing(self, path: str) -> None:
        """Note that a new file is open and not complete."""
        with self._lock:
            self._open.add(path)

    def end_writing(self, path: str) -> None:
        """Note that a file is complete; to be called before it is closed."""
        with self._lock:
            self._open.discard(path)

    def being_written(self) -> frozenset[str]:
        """New files that are open and not complete."""
        with self._lock:
            return frozenset(self._open)

    def note(self, happening: Happening) -> None:
        """Keep what happened; the oldest is forgotten."""
        with self._lock:
            self._happenings.append(happening)
            self._count += 1

    def since(self, count: int) -> tuple[int, tuple[Happening, ...]]:
        """What happened after the first ``count`` happenings, and how many there are now."""
        with self._lock:
            fresh = min(self._count - count, len(self._happenings))
            return self._count, tuple(self._happenings)[len(self._happenings) - fresh :]
