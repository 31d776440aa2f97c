"""A person's decision that what is gone stays at the server: kept until all that it is about has been forgotten.

In: the decision, what is found gone, and when a comparison of everything ends. Out: whether something that is gone is
to be dropped from the ledger instead of being deleted at the server. The ledger has the decision before it is answered,
so that it is for good, whatever happens. One per mapping, used by its `removals` on the engine's thread.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import chain

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.mapping.site import Site
from ftpsyncd.paths import above, after_rename


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
        self._put_off: dict[str, bool] = {}
        """Directories that it is about, and which are dropped when what gets another name has left them; and whether
        another one was there in the meantime, which lacks what they held."""
        self._unread: Collection[str] = ()
        """Where that holds on, since it could not be read: paths, with all below them."""

    def __repr__(self) -> str:
        return f"<Discard open={self._open} unseen={self._unseen}>"

    def begin(self, now: float, *, unseen: bool) -> None:
        """A person decided.

        Args:
            now: monotonic seconds.
            unseen: more may be gone than is known.
        """
        self._until, self._unseen, self._unread = now, unseen, ()
        self._absent.remember(now)
        self._keep(is_open=True)

    def is_about(self, path: str, since: float, *, known_source: bool) -> bool:
        """Whether a path that is gone stays at the server.

        Args:
            path: it.
            since: when it was first seen gone, in monotonic seconds.
            known_source: what is not in the folder is gone: no other folder or disk is in its place.
        """
        if since <= self._until or self._is_put_off(path):
            return True
        return known_source and (self._unseen or self._may_not_have_been_seen(path))

    def carried_out(self, path: str) -> None:
        """A path that it is about is to be dropped from the ledger: its absence is dealt with."""
        self._put_off.pop(path, None)
        self._absent.back(path)

    def dropped(self, directory: str) -> None:
        """A directory that was put off is dropped, with a directory above it that is gone by now."""
        self._put_off.pop(directory, None)

    def put_off(self, directory: str) -> None:
        """A directory that it is about is dropped later: it is not over before."""
        if self._open:
            self._put_off[directory] = False

    def put_off_below(self, directory: str) -> list[str]:
        """The directories below another one that it is about and that are still to be dropped."""
        return [each for each in self._put_off if each.startswith(f"{directory}/")]

    def there(self, directory: str) -> None:
        """A directory can be listed: neither it nor one above it is gone."""
        for each in chain((directory,), above(directory)):
            if not self._put_off:
                return
            if each in self._put_off:
                self._put_off[each] = True

    def moved(self, source: str, target: str) -> None:
        """A directory has another name at the server, too: what it is about is found gone under that."""
        self._put_off = {after_rename(each, source, target): there for each, there in self._put_off.items()}

    def _is_put_off(self, path: str) -> bool:
        return any(each in self._put_off for each in chain((path,), above(path))) if self._put_off else False

    def _may_not_have_been_seen(self, path: str) -> bool:
        return any(each in self._unread for each in chain((path,), above(path), ("",))) if self._unread else False

    def all_seen(self, unread: Collection[str] = ()) -> None:
        """Everything was looked at: what is found gone from now on went later, but for what is below some paths.

        Args:
            unread: they could not be read.
        """
        self._unread = unread if self._unseen or self._unread else ()
        self._put_off = {directory: there for directory, there in self._put_off.items() if not there}
        self._unseen = False
        self.end_if_over()

    def interrupted(self) -> None:
        """What was found gone is known no more."""
        self._unseen |= self._open
        self._put_off.clear()

    def overruled(self) -> None:
        """A later decision is about all that is gone."""
        if self._unseen or self._unread:
            self.all_seen()

    def end_if_over(self) -> None:
        """Have done with it once nothing is left that it is about: all of that has been dropped from the ledger."""
        if self._open and not (self._unseen or self._unread or self._put_off or self._absent.gone_then):
            self._until = -math.inf
            self._keep(is_open=False)

    def _keep(self, *, is_open: bool) -> None:
        self._open = is_open
        self._site.ledger.decisions.set_discarding(self._site.id, discarding=is_open)
