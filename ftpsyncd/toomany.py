"""More files deleted at once than is allowed: what people are told about it.

In: the paths that are gone and not deleted at the server. Out: the message of the hold, of the moment that it began and
of those at which more was found gone: a person decides about all of it.
"""

from __future__ import annotations

import heapq

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.logs import one_line, quote

NAMES_SHOWN = 5
"""Of what is held, in the message about it."""
RENEW_S = 1.0
"""A message is not made anew more often than this: it goes through all that is gone."""


class TooMany:
    """A mass delete that is held.

    Args:
        limit: how many files might be deleted at once.
        before: how many were deleted in the minute before, which count with those.
    """

    def __init__(self, limit: int, before: int) -> None:
        self._limit = limit
        self._before = before
        self._told, self._told_at = 0, 0.0

    def __repr__(self) -> str:
        return f"<TooMany told={self._told} limit={self._limit}>"

    def is_news(self, absent: Deletes, now: float) -> bool:
        """Whether more is gone than was told, a moment ago or longer."""
        return absent.files > self._told and now >= self._told_at + RENEW_S

    def message(self, name: str, absent: Deletes, now: float) -> str:
        """How many files are gone from a mapping by now, and what can be done."""
        self._told, self._told_at = absent.files, now
        paths = absent.paths
        some = ", ".join(quote(path) for path in heapq.nsmallest(NAMES_SHOWN, paths))
        if len(paths) > NAMES_SHOWN:
            some += f" and {len(paths) - NAMES_SHOWN} more; `ftpsyncd plan {name}` lists all"
        what = "1 file was" if self._told == 1 else f"{self._told} files were"
        before = f", and {self._before} in the minute before" if self._before else ""
        # With names in it that may be no text for a database.
        return one_line(
            f"{what} deleted at once{before} ({some}), more than max_deletes ({self._limit}) allows:"
            f" `ftpsyncd approve {name}` deletes them at the server, `ftpsyncd discard {name}` keeps them there"
        )
