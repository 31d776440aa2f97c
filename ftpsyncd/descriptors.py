"""Open files: how many this process may have, and how many a configuration needs.

In: what is configured. Out: numbers, and words. Called by `service` and `daemon` at the start, and by `machine` for
`check`. What is said when there are too few after all is the matter of `lacking`.

A `Reserve` is for what has to work also where nobody else can open anything any more.

Source: getrlimit(2).
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Every command imports this, and not all of them a configuration.
    from collections.abc import Iterator, Mapping

    from ftpsyncd.specs import AlertSpec, MappingSpec, ServerSpec

ALWAYS = 32
"""Without any mapping: 19 at rest (ledger, lock, control socket, table of mounts, standard streams), those who ask, and
what Python opens for a moment when it loads a module."""
LEAST = 24
"""With fewer, a daemon or a pass looks at nothing, or sends nothing, if it starts at all."""
FOR_MAPPING = 8
"""Two for watching, and those of a look: the root, the way down, one file."""
FOR_CONNECTION = 4
"""Control line, data connection, the file, and the way to it."""
FOR_MESSAGE = 6
"""An alert on its way: the message, a command's output and its beginning; or a connection, and what leads to it."""
FILES = 65_536
"""LimitNOFILE of the unit."""
FOR_LEDGER = 4
"""Its file, those beside it, and their directory."""


def needed(
    mappings: Mapping[str, MappingSpec], servers: Mapping[str, ServerSpec], alerts: AlertSpec | None = None
) -> int:
    """How many open files are enough for what is configured."""
    connections = sum(servers[name].connections for name in {each.server for each in mappings.values()})
    return ALWAYS + FOR_MAPPING * len(mappings) + FOR_CONNECTION * connections + kept_for(alerts)


def kept_for(alerts: AlertSpec | None) -> int:
    """How many are kept for alerts, so that they are delivered in any case."""
    return 0 if alerts is None else FOR_MESSAGE * (bool(alerts.command) + (alerts.webhook is not None))


def too_few(
    mappings: Mapping[str, MappingSpec], servers: Mapping[str, ServerSpec], alerts: AlertSpec | None = None
) -> str:
    """That fewer files may be open than what is configured needs, in a sentence; empty if there are enough."""
    may, need = allowed(), needed(mappings, servers, alerts)
    return "" if may >= need else f"This process may have {may} files open; this configuration needs up to {need}."


def allowed() -> int:
    """How many files this process may have open: as many as it may allow itself."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard


def allow_files() -> None:
    """Have as many files open as the unit allows, as far as we may: shells and user services begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Reserve:
    """Files kept open so that as many can be opened when it counts. Used by one thread.

    Args:
        count: how many, as far as there are so many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[int] = []
        self._keep()

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Give them up meanwhile; who opens something in another thread may be faster."""
        self.close()
        try:
            yield
        finally:
            self._keep()

    def close(self) -> None:
        """Keep none any more."""
        while self._kept:
            os.close(self._kept.pop())

    def _keep(self) -> None:
        with suppress(OSError):
            while len(self._kept) < self._count:
                self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
