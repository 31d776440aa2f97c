"""A person's decision that what is gone stays at the server: kept until all that it is about has been forgotten.

In: the decision, what is found gone, and when a comparison of everything ends. Out: whether something that is gone is
to be dropped from the ledger instead of being deleted at the server. The ledger has the decision before it is answered,
so that it is for good, whatever happens. One per mapping, used by its `removals` on the engine's thread.
"""

from __future__ import annotations

import math

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.mapping.site import Site


class Discard:
    """The last `discard` of one mapping.

    Args:
        site: the mapping.
        absent: what is gone from it.
    """

    def __init__(self, site: Site, absent: Deletes) -> None:
        self._site = site
        self._absent = absent
        self._until = -math.inf
        """What was gone by then (monotonic) is dropped from the ledger instead of being deleted at the server."""
        self._open = site.ledger.decisions.discarding(site.id)
        """Not all of it has been dropped yet; the ledger says so, too."""
        self._unseen = self._open
        """So is, until the pass ends, what is found gone later: it may have been gone by then."""

    def __repr__(self) -> str:
        return f"<Discard open={self._open} unseen={self._unseen}>"

    def begin(self, now: float, *, unseen: bool) -> None:
        """A person decided.

        Args:
            now: monotonic seconds.
            unseen: more may be gone than is known.
        """
        self._until, self._unseen = now, unseen
        self._absent.remember(now)
        self._keep(is_open=True)

    def is_about(self, path: str, since: float, *, known_source: bool) -> bool:
        """Whether a path that is gone stays at the server; then its absence is dealt with.

        Args:
            path: it.
            since: when it was first seen gone, in monotonic seconds.
            known_source: what is not in the folder is gone: no other folder or disk is in its place.
        """
        if since > self._until and not (self._unseen and known_source):
            return False
        self._absent.back(path)
        return True

    def all_seen(self) -> None:
        """Everything was looked at: what is found gone from now on went later."""
        self._unseen = False
        self.end_if_over()

    def interrupted(self) -> None:
        """What was found gone is known no more."""
        self._unseen |= self._open

    def overruled(self) -> None:
        """A later decision is about all that is gone."""
        if self._unseen:
            self.all_seen()

    def end_if_over(self) -> None:
        """Have done with it once nothing is left that it is about: all of that has been dropped from the ledger."""
        if self._open and not self._unseen and not self._absent.gone_then:
            self._until = -math.inf
            self._keep(is_open=False)

    def _keep(self, *, is_open: bool) -> None:
        self._open = is_open
        self._site.ledger.decisions.set_discarding(self._site.id, discarding=is_open)
