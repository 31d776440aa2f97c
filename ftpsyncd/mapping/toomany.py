"""More files deleted at once than is allowed: whether that is so, and what people are told about it.

In: the paths that are gone and not deleted at the server. Out: whether all of them may be. If not, a hold, whose
message tells how many were, and how many of them are gone still: a person decides about these. One per mapping, part of
its `removals`.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.counting import number
from ftpsyncd.logs import one_line, quote
from ftpsyncd.mapping.holding import Holding
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import HoldKind
from ftpsyncd.quoting import as_word

NAMES_SHOWN = 5
"""Of what is held, in the message about it."""
RENEW_S = 1.0
"""A message is not made anew more often than this: it goes through all that is gone."""


class Limit:
    """How many files of one mapping may be deleted at once.

    Args:
        site: the mapping.
        absent: what is gone from it.
        holding: where a mass delete is put on hold.
    """

    def __init__(self, site: Site, absent: Deletes, holding: Holding) -> None:
        self._site = site
        self._absent = absent
        self._holding = holding
        self._too_many: TooMany | None = None
        """What is held; None after a start, until it is known what is gone."""
        self._published_before = site.ledger.mappings.totals(site.id).files

    def __repr__(self) -> str:
        return f"<Limit {self.files} {self._too_many!r}>"

    def go_on_from(self, before: Limit) -> None:
        """Stand in for the limit of settings that are over."""
        self._too_many = before._too_many
        if self._too_many is not None and self._site.spec.max_deletes != before._site.spec.max_deletes:
            self._too_many.set_anew()

    @property
    def files(self) -> int:
        """So many; a share is of what is published, and of what was before the deletes that count with those to come.

        In one pass of what was when it began, however far that is.
        """
        published = self._published_before
        if not self._site.one_pass:
            published = self._site.ledger.mappings.totals(self._site.id).files + self._absent.recently_deleted
        return self._site.spec.max_deletes.of(published)

    def allows(self, at: Moment) -> bool:
        """Whether all that is gone may be deleted without a person; else it is put on hold."""
        self._absent.forget_old(at.now)
        if self._absent.allowed(self.files, at.now):
            return True
        self._too_many = TooMany(self.files, self._absent.recent, self._absent.under_way)
        message = self._too_many.message(self._site.spec.name, self._absent, self.files, at.now)
        self._holding.put(HoldKind.MASS_DELETE, message, at)
        return False

    def tell(self, now: float, *, all_seen: bool) -> None:
        """Have the hold of a mass delete tell of what was found gone since, or is back: a decision is about the rest.

        Args:
            now: monotonic seconds.
            all_seen: what is gone is known, but for what went just now.
        """
        if self._holding.kind is not HoldKind.MASS_DELETE:
            return
        if self._too_many is None and all_seen and self._absent.files > self.files:
            # What was deleted in the minute before is not known any more.
            self._too_many = TooMany(self.files, 0, {})
        if self._too_many is not None and self._too_many.is_news(self._absent, now):
            message = self._too_many.message(self._site.spec.name, self._absent, self.files, now)
            self._holding.reword(message)


class TooMany:
    """A mass delete that is held.

    Args:
        limit: how many files might be deleted at once.
        before: how many were deleted in the minute before, or were to be, which count with those.
        under_way: at which paths how many of these were not deleted yet: what had not begun is held, too.
    """

    def __init__(self, limit: int, before: int, under_way: Mapping[str, int]) -> None:
        self._limit = limit
        self._before = before
        self._under_way = under_way
        self._told, self._told_at = 0, 0.0
        self._most = 0
        """So many were gone together."""

    def __repr__(self) -> str:
        return f"<TooMany told={self._told} limit={self._limit}>"

    def is_news(self, absent: Deletes, now: float) -> bool:
        """Whether more is gone than was told, a moment ago or longer, or less; nothing at all ends the hold."""
        return absent.files not in {0, self._told} and now >= self._told_at + RENEW_S

    def set_anew(self) -> None:
        """Another limit was set: it is told, and what is held waits for a person all the same."""
        self._told = 0

    def message(self, name: str, absent: Deletes, limit: int, now: float) -> str:
        """How many files are gone from a mapping by now, and what can be done.

        Args:
            name: of the mapping.
            absent: what is gone.
            limit: how many may be deleted at once now.
            now: monotonic seconds.
        """
        self._told, self._told_at = absent.files, now
        self._most = max(self._most, self._told)
        paths, mapping = absent.paths, as_word(name)
        some = ", ".join(quote(path) for path in heapq.nsmallest(NAMES_SHOWN, paths))
        if len(paths) > NAMES_SHOWN:
            some += f" and {len(paths) - NAMES_SHOWN} more; `ftpsyncd plan {mapping}` lists all"
        what = number(self._most, "file was", "files were")
        held_too = sum(files for path, files in self._under_way.items() if absent.since(path) is not None)
        earlier = self._before - held_too
        before = f", and {earlier} in the minute before" if earlier else ""
        # In the past: the ledger keeps it, and another limit may be set while no daemon runs.
        why = f"more than max_deletes ({limit}) allowed"
        if self._most + earlier <= limit:
            why = f"more than max_deletes ({self._limit}) allowed then; it is {limit} now, and these still wait for you"
        if self._told < self._most:
            why += f"; {number(self._told, 'of them is', 'of them are')} still gone"
        # With names in it that may be no text for a database.
        return one_line(
            f"{what} deleted at once{before} ({some}), {why}:"
            f" `ftpsyncd approve {mapping}` deletes them at the server, `ftpsyncd discard {mapping}` keeps them there"
        )
