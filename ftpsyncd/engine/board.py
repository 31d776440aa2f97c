"""What is told of the engine: the latest status, how old it may get, and what else than mappings and servers is in it.

Part of `loop`: made on the engine's thread, of what that owns; read by any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ftpsyncd import __version__
from ftpsyncd.engine.awaited import awaited
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.report import outdated, problems_of, server_status, transfer_of, unreadable_of
from ftpsyncd.engine.rounds import Rounds
from ftpsyncd.engine.shortage import Shortage
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.status import DaemonStatus, Status

STATUS_EVERY_S = 0.25
ENGINE_STUCK_S = 60.0
"""An engine whose loop has not turned for so long is not alive."""


class Board:
    """The latest status.

    Args:
        now: when the engine was made; monotonic seconds.
        notice: that the ledger is a new one in place of another.
    """

    def __init__(
        self,
        ledger: Ledger,
        mirrors: Mapping[str, Mirror],
        servers: Mapping[str, Server],
        rounds: Rounds,
        shortage: Shortage,
        *,
        now: float,
        notice: str,
    ) -> None:
        self._ledger = ledger
        self._mirrors = mirrors
        self._servers = servers
        self._rounds = rounds
        self._shortage = shortage
        self._notice = notice
        self._started = now
        self.unheard = ""
        """Why people cannot be told of what needs them; nothing: they can."""
        self.last_due = 0.0
        """When a turn found it due last; monotonic seconds."""
        self.latest = Status(DaemonStatus(True, os.getpid(), __version__, 0.0), (), (), ())  # noqa: FBT003

    def __repr__(self) -> str:
        return f"<Board mappings={len(self.latest.mappings)} last_due={self.last_due:.3f}>"

    @property
    def next_due(self) -> float:
        """When the status is made anew if something has happened since; monotonic seconds."""
        return self.last_due + STATUS_EVERY_S

    def renew(self, at: Moment) -> None:
        """Have the status tell of this moment."""
        uptime_s = round(at.now - self._started, 1)
        troubles = (self._ledger.trouble, self._notice, self.unheard, self._shortage.told)
        servers = self._servers.items()
        self.latest = Status(
            DaemonStatus(True, os.getpid(), __version__, uptime_s, *troubles),  # noqa: FBT003
            self._rounds.status(at),
            tuple([server_status(name, s.queue, s.crew.connections, at, s.limits) for name, s in servers]),
            tuple([transfer_of(progress, at.now) for _, s in servers for progress in s.crew.transfers()]),
            (
                *unreadable_of(self._mirrors.values()),
                *problems_of(
                    self._ledger,
                    {mirror.spec.name: mirror.id for mirror in self._mirrors.values()},
                    at.wall_ns,
                    lambda name, path, failure: awaited(self._mirrors[name], path, failure),
                ),
            ),
        )

    def read(self, still_s: float) -> Status:
        """The latest status; it says so itself if the engine has not turned for too long (seconds)."""
        return self.latest if still_s < ENGINE_STUCK_S else outdated(self.latest, self._ledger.path.parent, still_s)
