"""Directories that are gone, and are deleted at the server with all that was published in them.

In: directories that nothing withholds any more. Out: deletes for the server's queue, some at a time and as far as it
has room: first what is in a directory, then the directory. One per mapping, used by its `removals` on the engine's
thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ftpsyncd.actions import Delete, RemoveDir
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.inside import Inside
from ftpsyncd.core.plan import retry_in_s
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.model import Kind
from ftpsyncd.paths import join

ROWS_AT_ONCE = 500
"""Rows of a directory that are read at once."""
ROWS_IN_A_TURN = 2000
"""Rows that are gone through in one turn of the engine, whatever follows: some forty milliseconds. Where the server
refuses to delete anything, nothing fills the queue."""
ROWS_OF_ONE = 5
"""To go through a directory with nothing in it takes as long as so many rows of a larger one."""


class Clearing:
    """The directories of one mapping whose deletion goes on; true while any of them is to be gone through.

    Args:
        site: the mapping.
        absent: knows the directories whose deletion has begun (``doom``).
        delete: makes the action that deletes a published file.
    """

    def __init__(self, site: Site, absent: Deletes, delete: Callable[[str], Delete]) -> None:
        self._site = site
        self._absent = absent
        self._delete = delete
        self.cut_short = False
        """It was gone on with as far as one turn of the engine has room, not the queue."""
        self._ahead: dict[str, str] = {}
        """Each with the last name in it that has been dealt with; empty if none has. The last one is the next."""
        self._inside = Inside(self._ahead)

    def __bool__(self) -> bool:
        return bool(self._ahead)

    def begin(self, directory: str) -> None:
        """Delete a directory, and what is in it."""
        self._absent.doom(directory)
        self._put_ahead(directory, "")

    def stop(self) -> None:
        """Delete nothing more."""
        self.cut_short = False
        self._ahead.clear()
        self._inside.clear()

    def _put_ahead(self, directory: str, after: str) -> None:
        self._ahead[directory] = after
        self._inside.add(directory)

    def is_at_work_on(self, directory: str) -> bool:
        """Whether the deletion of a directory goes on, or ended and left something."""
        ahead = directory in self._ahead or directory in self._inside
        return ahead or self._site.queue.busy_below(self._site.spec.name, directory)

    def go_on(self, at: Moment) -> None:
        """Go on, as far as the queue, and a turn of the engine, has room."""
        site, rows = self._site, 0
        while self._ahead and rows < ROWS_IN_A_TURN and site.queue.load(site.spec.name).waiting < QUEUE_ROOM:
            directory, after = self._ahead.popitem()
            self._inside.discard(directory)
            if self._absent.is_doomed(directory):
                rows += ROWS_OF_ONE + self._go_through(directory, after, at)
        self.cut_short = bool(self._ahead) and rows >= ROWS_IN_A_TURN

    def _go_through(self, directory: str, after: str, at: Moment) -> int:
        """Deal with the next rows of a directory; how many those are."""
        site = self._site
        rows = site.ledger.rows(site.id, directory, after=after, most=ROWS_AT_ONCE)
        if len(rows) == ROWS_AT_ONCE:
            self._put_ahead(directory, next(reversed(rows)))
        for name, row in rows.items():
            path = join(directory, name)
            if row.kind is Kind.FILE:
                if self._may_delete(path, at):
                    site.queue.offer(self._delete(path))
            elif not self._absent.is_doomed(path):
                self.begin(path)
        if not rows and not after and self._is_due(directory, at):
            site.queue.offer(RemoveDir(site.spec.name, directory))
        return len(rows)

    def _may_delete(self, path: str, at: Moment) -> bool:
        """Whether a file of a directory that is gone can go now: nothing else is about it, and no try failed lately."""
        site = self._site
        if site.moves.leaves(path) or site.queue.occupied(site.spec.name, path):
            return False
        return self._is_due(path, at)

    def _is_due(self, path: str, at: Moment) -> bool:
        """Whether no try to delete something has failed lately; it is looked at again when it is time for the next."""
        site = self._site
        failure = site.ledger.failures.of(site.id, path)
        wait_s = retry_in_s(failure, at.wall_ns) if failure is not None and failure.fingerprint is None else 0.0
        if wait_s and not math.isinf(wait_s):
            site.dirty.mark(path, at.now + wait_s)
        return not wait_s

    def emptied(self, directory: str) -> bool:
        """Something in a directory is gone from the server: perhaps the last thing in a directory that is gone too.

        Returns:
            Whether the directory is being deleted.
        """
        if not self._absent.is_doomed(directory):
            return False
        if not self._site.ledger.holds_any(self._site.id, directory):
            self._site.queue.offer(RemoveDir(self._site.spec.name, directory))
        return True
