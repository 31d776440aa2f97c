"""What a comparison finds gone: published paths that are not on disk, until `removals` judges them.

In: published paths that a listing lacks. Out: absences, or what comes first: questions to the server about what may be
there or leave with a directory, waits for its answer, rows that are dropped since a person wants that to stay. One per
mapping, used by its `comparing` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Generator

from ftpsyncd.actions import Forget, MakeDir, Rename, Upload
from ftpsyncd.mapping.forgetting import KEPT, Forgetting
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.offers import Offers
from ftpsyncd.mapping.othernames import OtherNames
from ftpsyncd.mapping.removals import Removals
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.mapping.unreadable import Unreadable
from ftpsyncd.mapping.waits import Waits
from ftpsyncd.model import Kind
from ftpsyncd.specs import DeletePolicy


class Absences:
    """What is found gone of one mapping.

    Args:
        site: the mapping.
        waits: files that wait.
        unreadable: what cannot be read.
        removals: what judges it.
        offers: what may come to be under way.
        intents: what was handed out.
        other_names: hard links.
        forgetting: drops what is to stay at the server.
    """

    def __init__(
        self,
        site: Site,
        *,
        waits: Waits,
        unreadable: Unreadable,
        removals: Removals,
        offers: Offers,
        intents: Intents,
        other_names: OtherNames,
        forgetting: Forgetting,
    ) -> None:
        self._site = site
        self._waits = waits
        self._unreadable = unreadable
        self._removals = removals
        self._offers = offers
        self._intents = intents
        self._other_names = other_names
        self._forgetting = forgetting
        self._directories: list[tuple[str, float]] = []
        """Directories that were found gone and are not noted yet, and for how many seconds each has been at least."""

    def __repr__(self) -> str:
        return f"<Absences {self._site.spec.name}>"

    def clear(self) -> None:
        """Nothing can be seen: what was found gone is found again."""
        self._directories.clear()

    def found(self, path: str, kind: Kind, at: Moment, gone_s: float) -> None:
        """A published path is not on disk, and has not been for so many seconds at least."""
        since = self._waits.gone(path)
        if path in self._unreadable.problems:
            self._unreadable.over(path)
        if self._site.moves.awaits(path):
            # It is looked at again when what waits for that does no more.
            return
        if self._offers.moves_from(path) or self._site.queue.occupied(self._site.spec.name, path):
            self._offers.again.add(path)
            return
        if kind is Kind.FILE and self._has_asked_which(path):
            return
        whole = kind is Kind.DIR
        if (leaving := self._intents.inquiries.may_leave(path, at.now, whole=whole)) is not None:
            whose = "a directory in it" if leaving.old.startswith(f"{path}/") else "its directory"
            # Each look finds it gone anew: what is told of it counts from the first.
            known = [each for each in (since, self._removals.absent.since(path)) if each is not None]
            self._waits.for_late(path, leaving.until, leaving.why(whose), at, gone_since=min(known, default=at.now))
            self._intents.inquiries.await_answer(leaving, path)
            return
        if kind is Kind.DIR and not self._removals.absent.knows(path):
            self._directories.append((path, gone_s))
        else:
            self._note_as_gone(path, kind, at, gone_s)

    def note_directories(self, at: Moment) -> Generator[None, Moment, Moment]:
        """Note the directories that were found gone just now; the moment then.

        What is left out by now of what was in them stays at the server, and does not count as deleted.
        """
        at = yield from self._forgetting.left_out_below([path for path, _ in self._directories], at)
        for path, seconds in self._directories:
            row = self._site.ledger.row(self._site.id, path)
            if row is not None and row.kind is Kind.DIR:
                self._other_names.directory_gone(path)
                self._note_as_gone(path, Kind.DIR, at, seconds)
            else:
                # Some turns later, an action that ran has made something else of it.
                self._site.dirty.mark(path, at.now)
        self._directories.clear()
        return at

    def nothing_below(self, directory: str) -> None:
        """A directory is not there: neither is anything that was noted below it, or was to be published there."""
        self._site.queue.withdraw_below(self._site.spec.name, directory, MakeDir | Upload | Rename)
        self._waits.nothing_below(directory)
        self._offers.not_there(directory)
        self._unreadable.nothing_below(directory)
        if self._site.ledger.row(self._site.id, directory) is None:
            self._site.ledger.failures.clear_below(self._site.id, directory)

    def _note_as_gone(self, path: str, kind: Kind, at: Moment, gone_s: float) -> None:
        if kind is Kind.DIR:
            self.nothing_below(path)
            if self._keeps_first(path, at) or self._has_asked_which(path):
                return
            if not self._intents.inquiries.clear_below(path):
                return
            if self._removals.source.took_disks_away(path, at) and self._site.spec.deletes is DeletePolicy.KEEP:
                # Dropped from the ledger, they would be sent again when the disk is back.
                return
        if not self._removals.gone(path, kind, at, gone_s=gone_s):
            if kind is Kind.DIR and self._site.moves.leaving(path):
                # Dropped from the ledger now, it would be sent anew, and be at the server twice.
                self._removals.discarded.put_off(path)
                self._offers.again.add(path)
                return
            self._forgetting.forget(Forget(self._site.spec.name, path, kind, KEPT))

    def _keeps_first(self, directory: str, at: Moment) -> bool:
        """Whether some of a directory that is gone is to be dropped first, since a person wants that to stay."""
        discarded = self._removals.discarded
        put_off = discarded.put_off_below(directory)
        for each in put_off:
            if self._site.moves.leaving(each):
                self._offers.again.add(directory)
            else:
                discarded.dropped(each)
                self._forgetting.forget(Forget(self._site.spec.name, each, Kind.DIR, KEPT))
                self._site.dirty.mark(directory, at.now)
        return bool(put_off)

    def _has_asked_which(self, path: str) -> bool:
        """Whether it has to be known first if the server has, at a path or below it, what was seen elsewhere.

        That is not gone, but out of sight, though what had its name before may be gone.
        """
        seen = self._removals.source.places.seen_elsewhere(path)
        asked = [each for each in seen if self._intents.inquiries.ask_which(each, path)]
        return bool(asked)
