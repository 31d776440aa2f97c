"""What goes on in a thread of its own beside a test, from ``with`` to its end."""

from __future__ import annotations

import threading
from typing import Self


class Beside:
    """Something that goes on beside the test; what it does is `run`, until `over` is set.

    Args:
        name: of its thread.
    """

    def __init__(self, name: str) -> None:
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name)

    def run(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when it has ended."""
        self.over.set()
        self._thread.join()
