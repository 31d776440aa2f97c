"""A folder that is looked at once, and not watched: for a pass, and for what tries one.

In: nothing but the folder. Out: that everything in it may differ, and which folder it is.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.tree import numbered_identity, why_missing


class Unwatched:
    """Stands in for a watcher: one look at everything, no events (`disk.Watcher`)."""

    def __init__(self, scanner: Scanner, deliver: Callable[[Changes], None]) -> None:
        self._scanner = scanner
        self._deliver = deliver

    def start(self) -> WatchReport:
        """Say that everything may differ."""
        report = self.check()
        self._deliver(Changes(frozenset(), frozenset({""})))
        return report

    def check(self) -> WatchReport:
        """Look at the root."""
        root = self._scanner.root_identity()
        problem = "" if root else why_missing(self._scanner.root)
        # "native": the clock that stamps the files is taken for this machine's, as with a local file system.
        return WatchReport("native", root, problem, numbered_identity(self._scanner.root))

    def stop(self) -> None:
        """Nothing to stop."""
