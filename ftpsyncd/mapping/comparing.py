"""What a listing means: the disk beside the ledger, decision by decision.

In: listings, whole or of some names. Out: actions that are offered, waits, absences, marks, rows. What is found is told
to the parts that it concerns (`waits`, `unreadable`, `absences`, `offers`, `intents`, `othernames`); the decisions are
the pure core's (`core.plan`). A large directory is compared some names at a time: in between, the engine is there for
other mappings (`site.Slices`). One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from itertools import chain

from ftpsyncd.actions import Adopt, Forget, MakeDir, Rename, RenameDir, Upload
from ftpsyncd.core.deletes import gone_s
from ftpsyncd.core.plan import Ask, Enter, Gone, Look, Selection, Settled, Wait, plan_directory
from ftpsyncd.core.settle import Work
from ftpsyncd.core.swapped import Swapped
from ftpsyncd.core.turn import Order
from ftpsyncd.mapping.absences import Absences
from ftpsyncd.mapping.forgetting import Forgetting
from ftpsyncd.mapping.inquiries import Leaving
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.looks import Looks
from ftpsyncd.mapping.offers import Offers
from ftpsyncd.mapping.othernames import OtherNames
from ftpsyncd.mapping.recorded import Facts, Recorded
from ftpsyncd.mapping.removals import Removals
from ftpsyncd.mapping.site import STEP_S, Moment, Site
from ftpsyncd.mapping.unreadable import Unreadable
from ftpsyncd.mapping.waits import Waits
from ftpsyncd.model import Kind, Listing, Presence, Row
from ftpsyncd.paths import above, basename, join

NAMES_AT_ONCE = 500
"""Names of a directory that are decided about in one turn of the engine: some ten to twenty milliseconds."""


class Comparing:
    """The comparison of one mapping's disk with the ledger.

    Args:
        site: the mapping.
        selection: which paths it publishes.
        recorded: what a listing is compared with.
        waits: files that wait.
        unreadable: what cannot be read.
        removals: what is gone.
        offers: the way to the queue.
        intents: what was handed out.
        looks: whether a pass is under way; and the way to the disk, for when a file was made.
        other_names: hard links.
        is_native: whether this machine's clock stamps the files.
    """

    def __init__(
        self,
        site: Site,
        selection: Selection,
        *,
        recorded: Recorded,
        waits: Waits,
        unreadable: Unreadable,
        removals: Removals,
        offers: Offers,
        intents: Intents,
        looks: Looks,
        other_names: OtherNames,
        is_native: Callable[[], bool],
    ) -> None:
        self.recorded = recorded
        self._site = site
        self._selection = selection
        self._waits = waits
        self._unreadable = unreadable
        self._removals = removals
        self._offers = offers
        self._intents = intents
        self._looks = looks
        self._other_names = other_names
        self._is_native = is_native
        self._to_make: dict[str, MakeDir] = {}
        """New directories until it is known from what is in them whether they are known ones under new names."""
        self._forgetting = Forgetting(site, selection, waits, unreadable, offers, intents)
        self._absences = Absences(
            site,
            waits=waits,
            unreadable=unreadable,
            removals=removals,
            offers=offers,
            intents=intents,
            other_names=other_names,
            forgetting=self._forgetting,
        )

    def __repr__(self) -> str:
        return f"<Comparing {self._site.spec.name}>"

    def clear(self) -> None:
        """Nothing can be seen: what was noted may be over."""
        self._to_make.clear()
        self._forgetting.clear()
        self._absences.clear()

    def listed(self, listing: Listing, at: Moment, order: Order, *, deep: bool) -> Generator[None, Moment, None]:
        """The disk told what is in a directory: compare with the ledger, offer what follows.

        Args:
            listing: what it told.
            at: now; each further turn has its own.
            order: when what is found has its turn.
            deep: go on into the subdirectories, all of them.
        """
        directory, whole = listing.directory, listing.names is None
        self._offers.doubt_under_way(listing)
        to_make = self._to_make.pop(directory, None) if whole else None
        if listing.presence is Presence.UNREADABLE:
            self._make(to_make, at, order)
            self._unreadable.note_directory(directory, listing.problem, at)
        elif listing.presence is Presence.ABSENT:
            # The directory that holds it can tell what that means.
            if directory:
                self._absences.nothing_below(directory)
                self._site.dirty.mark(directory, at.now)
        elif (file := self._file_above(directory)) is not None:
            # The server's file goes first; when it is gone, the directory is entered.
            self._site.dirty.mark(file, at.now)
        else:
            self._removals.source.require_same_disk(listing, at)
            renamed = False
            if whole:
                renamed, at = yield from self._offers.directory_rename(listing, order, at)
                if isinstance(self._site.queue.waiting(self._site.spec.name, directory), RenameDir):
                    # While another folder is in the root's place no directory is renamed: only disks in it matter.
                    self._removals.source.offered(directory, None)
            if not renamed:
                if to_make is not None:
                    # The directory above does not tell which disk is mounted on it: another one would pass for that.
                    to_make = to_make._replace(mount_point=listing.mount_point, filesystem=listing.filesystem)
                self._make(to_make, at, order)
                yield from self._compare(listing, at, order, deep=deep)

    def _make(self, new: MakeDir | None, at: Moment, order: Order) -> None:
        """A new directory, if it is one, is no known one under a new name, as far as is known."""
        if new is None:
            return
        if (leaving := self._intents.inquiries.may_leave(new.path, at.now)) is not None:
            self._wait_for_late(new.path, leaving, "its directory", at)
        else:
            self._offers.offer(new, order)

    def _wait_for_late(self, path: str, leaving: Leaving, whose: str, at: Moment) -> None:
        """Something waits, since a rename that comes late may take along what is brought there now."""
        self._waits.for_late(path, leaving.until, leaving.why(whose), at)
        self._intents.inquiries.await_answer(leaving, path)

    def _file_above(self, directory: str) -> str | None:
        """A published file at the place of a directory or of one above it."""
        for each in chain((directory,), above(directory)):
            row = self._site.ledger.row(self._site.id, each)
            if row is not None:
                return None if row.kind is Kind.DIR else each
        return None

    def _compare(self, listing: Listing, at: Moment, order: Order, *, deep: bool) -> Generator[None, Moment, None]:
        """Compare what is there with what is recorded, and decide about what differs."""
        self._unreadable.listed(listing, at)
        self._removals.seen(listing)
        self._offers.listed(listing)
        if listing.names is None:
            self._waits.listed(listing)
            self._site.dirty.size_is(listing.directory, len(listing.entries))
        comparison, at = yield from self.recorded.beside(listing, at)
        at_once = len(comparison) <= NAMES_AT_ONCE
        if not at_once:
            at = yield
        asked: list[str] = []
        if listing.names is None:
            asked, at = yield from self._waits.vanished(listing, at)
        while comparison:
            facts = comparison.some(NAMES_AT_ONCE, at_once=at_once)
            self._other_names.listed(*facts, at)
            asked += self._plan(facts, at, order, deep=deep)
            at = yield from self._absences.note_directories(at)
            at = yield from self._other_names.look_outside(at)
            at = yield from self._forgetting.go_on(at)
            self._removals.dropped()
            if comparison:
                at = yield
        if asked:
            self._looks.ask(Work(listing.directory, frozenset(asked), deep=False, order=order))

    def _plan(self, facts: Facts, at: Moment, order: Order, *, deep: bool) -> list[str]:
        """Decide about some names; returns those that have to be asked for by themselves."""
        listing, rows, failures = facts
        trusted = self._is_native() and self._is_of_one_clock(listing, at)
        look = Look(
            self._site.spec,
            self._selection,
            now=at.now,
            wall_ns=at.wall_ns,
            stamp_ns=listing.taken_wall_ns if trusted else None,
            deep=deep,
            sighting_of=self._waits.sighting_of,
            moved_from=lambda path, fingerprint: self._offers.moved_from(path, fingerprint, at.now),
            gone_since=self._gone_since,
        )
        below: list[str] = []
        asked: list[str] = []
        judged = False
        for decision in plan_directory(listing, rows, failures, look):
            match decision:
                case Enter(path, _, known):
                    self._waits.is_directory(path)
                    if deep or not known:
                        below.append(path)
                case Ask(path):
                    asked.append(basename(path))
                case MakeDir(path=path) if rows.get(basename(path)) is None:
                    # What is in it is looked at next (`Enter`).
                    self._to_make[path] = decision
                case Upload() | Rename() | MakeDir():
                    self._site.ledger.bear_in_mind(self._site.id, decision.path, rows.get(basename(decision.path)))
                    self._offer_present(decision, listing, at, order)
                case Gone() | Swapped(gone=True):
                    if not judged:
                        self._removals.source.require_same_disk_above(listing, at)
                        judged = True
                    self._found_gone(decision, listing, rows[basename(decision.path)], at, trusted=trusted)
                case Settled() | Wait() | Swapped() | Forget() | Adopt():
                    self._note(decision, facts, at)
        self._mark_known_directories(listing, rows, at)
        self._site.dirty.push_deep(below, order)
        return asked

    def _found_gone(self, decision: Gone | Swapped, listing: Listing, row: Row, at: Moment, *, trusted: bool) -> None:
        """A published path is not on disk, or its disk is most likely not there."""
        if isinstance(decision, Swapped) and decision.link:
            self._removals.source.swapped(decision, at)
        self._absences.found(decision.path, row.kind, at, self._gone_s(listing, row, at) if trusted else 0.0)

    def _is_of_one_clock(self, listing: Listing, at: Moment) -> bool:
        """Whether the wall clock was not set so shortly before the look that stamps of before may seem to be old."""
        looked_s = (at.wall_ns - listing.taken_wall_ns) / 1e9
        return at.wall_trusted and at.wall_goes_s - looked_s > self._site.spec.settle_s + STEP_S

    def _was_more(self, path: str, listing: Listing, *, had_failure: bool) -> bool:
        """Whether something that is not there, and never was published, was known of, or something below it."""
        gone = bool(path) and basename(path) not in listing.entries
        busy = self._site.queue.busy_below(self._site.spec.name, path)
        return gone and (had_failure or busy or self._offers.any_not_renamed(path))

    def _gone_s(self, listing: Listing, row: Row, at: Moment) -> float:
        """For how many seconds what a directory lacks has been gone at least; 0.0 if nothing tells that."""
        if not (self._looks.in_pass and listing.changed_wall_ns and self._removals.source.is_published):
            # Another folder in the place of the published one has never had it.
            return 0.0
        directory = self._site.ledger.row(self._site.id, listing.directory) if listing.directory else None
        # A clock that was set forward makes it longer than it was.
        return min(at.wall_goes_s, gone_s(listing, directory, row.published_ns))

    def _gone_since(self, path: str, source: str) -> float | None:
        """Since when what is at a path has been gone from where it is published; None if that was not seen."""
        site = self._site
        waiting, at_work = site.queue.waiting(site.spec.name, path), site.queue.at_work(site.spec.name, path)
        if any(isinstance(action, Rename) and action.source == source for action in (waiting, at_work)):
            # That was seen when it was offered.
            return -math.inf
        return site.moves.since(source) if site.moves.awaits(source) else self._removals.absent.since(source)

    def _adopt(self, decision: Adopt, rows: dict[str, Row]) -> None:
        """What is true already is recorded, and in ``rows``: the file may have to be published because of it."""
        if self._site.queue.makes(self._site.spec.name, decision.path):
            # A row with an inode says that it is there; the outcome has it looked at again.
            self._waits.present(decision.path)
            return
        rows[basename(decision.path)] = decision.row
        self._record(decision)

    def _note(self, decision: Settled | Wait | Swapped | Forget | Adopt, facts: Facts, at: Moment) -> None:
        """What needs no action at the server, or not yet."""
        match decision:
            case Settled(path, had_failure, gone):
                if self._was_more(path, facts.listing, had_failure=had_failure):
                    # It may have been a directory: what failed below it, or was to be done there, is over as well.
                    self._absences.nothing_below(path)
                self._waits.settled(path, had_failure=had_failure, gone=gone)
            case Wait(path, due, why, sighting, gone, source):
                if source:
                    self._site.queue.withdraw(self._site.spec.name, source)
                    self._removals.moves(source)
                if sighting is not None:
                    self._site.moves.is_here(path, sighting.fingerprint)
                self._waits.wait(path, due, why, sighting, at, gone=gone, source=source)
                self._offers.comes_back(path, at.now)
            case Swapped(path):
                self._waits.present(path)
                self._removals.source.swapped(decision, at)
            case Adopt():
                self._adopt(decision, facts.rows)
            case Forget():
                self._record(decision)

    def _mark_known_directories(self, listing: Listing, rows: dict[str, Row], at: Moment) -> None:
        """A known directory among asked names: somebody says that it may differ itself."""
        for name in listing.names or ():
            entry = listing.entries.get(name)
            path = join(listing.directory, name)
            if entry is None or entry.kind is not Kind.DIR or name not in rows:
                continue
            # Where a file was, there is nothing to do until the server's file is gone, or kept and forgotten.
            if rows[name].kind is Kind.DIR or self._site.ledger.row(self._site.id, path) is None:
                self._site.dirty.mark_directory(path, at.now)

    def _record(self, decision: Forget | Adopt) -> None:
        """What concerns only the ledger."""
        if isinstance(decision, Forget):
            self._forgetting.forget(decision)
            return
        self._waits.present(decision.path)
        self._site.ledger.put(self._site.id, decision.path, decision.row)

    # ── offering actions ─────────────────────────────────────────────────────────────────────────────────────

    def _offer_present(self, action: Upload | Rename | MakeDir, listing: Listing, at: Moment, order: Order) -> None:
        inquiries = self._intents.inquiries
        if isinstance(action, Upload):
            self._site.moves.is_here(action.path, action.fingerprint)
        if (leaving := inquiries.may_leave(action.path, at.now)) is not None:
            self._wait_for_late(action.path, leaving, "its directory", at)
            return
        if isinstance(action, Rename) and (leaving := inquiries.may_leave(action.source, at.now)) is not None:
            self._wait_for_late(action.path, leaving, "the directory that it comes from", at)
            return
        if isinstance(action, Rename):
            self._removals.moves(action.source)
        if isinstance(action, MakeDir):
            self._waits.present(action.path)
        else:
            self._waits.for_server(action.path, at.now)
        if isinstance(action, Upload) and self._site.queue.space.awaits(self._site.spec.name, action.path, at.now):
            # However many wait for space, the queue has room for others.
            self._site.queue.withdraw(self._site.spec.name, action.path)
            return
        self._removals.source.offered(action.path, listing.root)
        if isinstance(action, Rename):
            self._site.queue.withdraw(self._site.spec.name, action.source)
            self._removals.absent.back(action.source)
        self._offers.offer(action, order)
