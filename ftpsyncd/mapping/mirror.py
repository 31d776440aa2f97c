"""One mapping at work: how looks at the disk become actions.

In: changes from the watcher, listings from the disk thread, the passing of time. Out: requests to the disk, actions to
the server's queue, rows to the ledger, events. What a listing means is `comparing`'s matter; what is noted from one to
the next belongs to the parts (`waits`, `unreadable`, `mended`, `stalls`, `removals`, `offers`, `intents`, `looks`,
`othercases`, `othernames`, `takeovers`). This module puts them together, and knows whether the root is there, what is
looked at, and what the disk answered, one answer after the other. What people want done again is the matter of `again`.
Used by the engine's thread only; the engine owns all mirrors.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import chain

from ftpsyncd.actions import Delete
from ftpsyncd.core.plan import Selection
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.core.turn import Order
from ftpsyncd.counting import duration
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mapping.answers import Answers
from ftpsyncd.mapping.comparing import Comparing
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.looks import Looks
from ftpsyncd.mapping.mended import Mended
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.offers import Offers
from ftpsyncd.mapping.othercases import OtherCases
from ftpsyncd.mapping.othernames import OtherNames
from ftpsyncd.mapping.recorded import Recorded
from ftpsyncd.mapping.removals import Removals
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site, Step
from ftpsyncd.mapping.stalls import Stalls
from ftpsyncd.mapping.takeovers import Takeovers
from ftpsyncd.mapping.unreadable import Unreadable
from ftpsyncd.mapping.waits import SOON_S, Waits
from ftpsyncd.model import Listing, Presence, RootIdentity
from ftpsyncd.paths import above
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec


class Mirror:
    """One mapping at work.

    Args:
        spec: the mapping.
        selection: which paths it publishes.
        mapping_id: its number in the ledger.
        ledger: shared; the engine commits.
        queue: of its server.
        folder: what the workers know of the mapping; its root is set here.
        emit: takes events for the log.
        today: the date under which `deletes: trash` files things.
        one_pass: a `sync` that ends: files that are not ready are reported, not awaited.
        performs: see `Site.performs`.
    """

    def __init__(
        self,
        spec: MappingSpec,
        selection: Selection,
        mapping_id: int,
        ledger: Ledger,
        queue: Queue,
        folder: Folder,
        emit: Callable[[Event], None],
        *,
        today: Callable[[], str],
        one_pass: bool = False,
        performs: bool = True,
    ) -> None:
        self.spec = spec
        self.id = mapping_id
        self.ledger = ledger
        self.queue = queue
        self.dirty = Dirty()
        moves = Moves(queue, spec.name)
        self.site = Site(spec, mapping_id, ledger, queue, folder, self.dirty, emit, today, moves, one_pass, performs)
        self.removals = Removals(self.site)
        # One pass does not live long enough to see what comes late.
        self.intents = Intents(self.site, sweep_twice=not one_pass)
        self.looks = Looks(self.site)
        self.answers = Answers()
        self.waits = Waits(self.site, self.removals.absent)
        self.unreadable = Unreadable(self.site)
        self.mended = Mended(self.site)
        self.stalls = Stalls(self.site)
        self.other_cases = OtherCases(self.site, self.intents, self.removals.absent)
        self.offers = Offers(
            self.site,
            self.intents.inquiries,
            self.removals.spare,
            selection,
            self.removals.source.places.are_two_disks,
            self._comes_to_rest,
        )
        self.other_names = OtherNames(self.site, self.waits.sighting_of, self._is_known_gone, self.waits.look_at)
        self.comparing = Comparing(
            self.site,
            selection,
            recorded=Recorded(self.site, self.waits, selection),
            waits=self.waits,
            unreadable=self.unreadable,
            removals=self.removals,
            offers=self.offers,
            intents=self.intents,
            looks=self.looks,
            other_names=self.other_names,
            is_native=lambda: self.watcher.kind == "native",
        )
        self._answer_removals()
        self.takeovers = Takeovers(self.site)
        self.takeovers.take_leftovers(self.intents)
        self.paused_ns = ledger.decisions.paused_ns(mapping_id)
        """When a person paused it, by the wall clock; `UNDATED`: that is not known; 0: nobody has."""
        self._going = False
        self.watcher = WatchReport("none", None, "")
        self.inherited = set(queue.under_way.own_paths(spec.name))
        """Own paths of actions that run since before the settings changed: they are not tried again as they are."""
        self._suspend()

    def _answer_removals(self) -> None:
        """Lead what `removals` asks of parts that are made after it, since they need it, to these."""
        self.removals.forgotten = lambda path: self.intents.forgotten(path, whatever=True)
        self.removals.comparing = lambda: bool(self.answers)
        self.removals.comes_to_rest = self._comes_to_rest
        self.removals.unread = self.unreadable.published
        self.removals.passed_over = lambda: self.offers.passed_over

    def _comes_to_rest(self, path: str) -> bool:
        """Whether a file waits under a path until it is at rest."""
        return self.waits.sighting_of(path) is not None

    def __repr__(self) -> str:
        return f"<Mirror {self.spec.name} {self.dirty!r} {self.removals!r} {self.waits!r}>"

    def go_on_from(self, before: Mirror) -> None:
        """Stand in for what published to the same place under settings that are over."""
        self.site.moves.go_on_from(before.site.moves)
        self.removals.go_on_from(before.removals)
        self.other_cases.go_on_from(before.other_cases)
        self.stalls.go_on_from(before.stalls)

    # ── what comes in from the watcher ───────────────────────────────────────────────────────────────────────

    def on_changes(self, changes: Changes, at: Moment) -> None:
        """Paths may differ."""
        look_at = self.waits.look_at
        for path in changes.paths:
            look_at(path, at.now)
        for directory in changes.folders:
            self.dirty.mark_directory(directory, at.now)
        for directory in changes.deep:
            self.dirty.mark_deep(directory, at.now)
            if directory:
                self.dirty.mark(directory, at.now)
        # Of a folder that is missing it was told, and everything is compared when it is back.
        if changes.reason and not self.removals.source.missing:
            self.site.tell(EventKind.RESCAN, message=changes.reason)

    def on_answer(self, answer: Listing | WatchReport, at: Moment) -> None:
        """The disk answered, or its watcher told how it is."""
        self.looks.heard()
        if not self._going:
            self.answers.put(answer)
            self._take_up(at)

    def _take_up(self, at: Moment) -> None:
        """Go on to what was answered next, unless something is being compared."""
        while not self.removals.takes_back and (answer := self.answers.next()) is not None:
            if isinstance(answer, Listing):
                self.answers.begin(self._listed(answer))
                self._compare_some(at)
            else:
                self._reported(answer, at)

    def _compare_some(self, at: Moment) -> None:
        """Go on with what is being compared, for as much as one turn has room for.

        Nothing is begun before all of it is known: too many deletes are too many also where they come in parts.
        """
        if not self.removals.takes_back:
            self.answers.go_on(at)
        self._suspend()

    def _reported(self, report: WatchReport, at: Moment) -> None:
        """The watcher told how it is."""
        self.intents.exposures.all_over(at)
        before, self.watcher = self.watcher, report
        if report.root is not None and report.shortage not in {None, before.shortage}:
            # Not with each number of folders: while folders come and go, that is another one every few seconds.
            self.site.tell(EventKind.WATCHER, message=report.problem)
        if report.root is None:
            self.source_missing(report.problem or f"the folder {self.spec.local} is not there", at.now)
        else:
            self._source_present(report.root, at, report.numbered)

    # ── the root ─────────────────────────────────────────────────────────────────────────────────────────────

    def source_missing(self, why: str, now: float) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        self.removals.source.lost(why, now)
        self.waits.clear()
        self.comparing.clear()
        self.other_names.clear()
        self.dirty.clear()
        self.looks.drop_next()
        for listing in self.answers.drop():
            self.looks.answered(listing)
        self._suspend()

    def _source_present(self, root: RootIdentity, at: Moment, numbered: RootIdentity | None = None) -> None:
        self.removals.source.found(root, at, numbered)
        self._suspend()

    def check_source(self, now: float) -> bool:
        """Have it looked whether the root is there; of a disk that does not answer it is not known.

        Returns:
            Whether it answers.
        """
        silent_s = self.looks.check_source(now)
        if silent_s:
            silence = f"the disk of {self.spec.name} has not answered for {duration(silent_s)}"
            self.source_missing(f"{silence}, and nothing of it is published until it does", now)
        return not silent_s

    # ── looks at the disk ────────────────────────────────────────────────────────────────────────────────────

    def pump(self, at: Moment) -> None:
        """Go on with what is compared; ask for the looks that are due, as far as the queue has room for them."""
        # What is in doubt is so whether there is a folder or not.
        self.other_cases.look_at_them(at)
        if self.removals.takes_back:
            self.removals.take_back_some()
            self._suspend()
            # It may have told meanwhile that it is there again.
            self._take_up(at)
        if self._sees():
            for directory in self.queue.space.to_look_at(self.spec.name, at.now):
                self.dirty.mark_deep(directory, at.now)
            self._compare_some(at)
            self._take_up(at)
        # What was taken up may have told otherwise.
        if self._sees():
            # A pass is not over before what renames were to leave, and do not by now, was looked at.
            self.offers.take_over(at.now)
            self.removals.go_on(at)
            if self.looks.ask_what_is_due(at) and not self.busy_looking(at.now):
                self._all_compared(at)

    def _all_compared(self, at: Moment) -> None:
        """Everything that was to be compared, and could be, has been."""
        if self.looks.in_pass:
            self.looks.pass_ended(at)
            self.removals.pass_ended(at)
            if self.site.performs and not self.paused:
                self.mended.pass_ended(at)
        self.offers.all_compared()
        self.removals.all_compared(at)

    def _is_known_gone(self, path: str) -> bool:
        """Whether it is no news that a path is gone, or a directory above it.

        That is noted, or a delete or a rename of it waits, or runs.
        """
        name, queue = self.spec.name, self.queue
        return any(
            isinstance(queue.waiting(name, each), Delete)
            or isinstance(queue.at_work(name, each), Delete)
            or self.site.moves.leaves(each)
            or self.removals.absent.knows(each)
            or self.waits.is_gone(each)
            for each in chain((path,), above(path))
        )

    def _sees(self) -> bool:
        """Whether there is a folder to look at."""
        return self.looks.disk is not None and not self.removals.source.missing

    def next_due(self) -> float | None:
        """When `pump` will have something to do although nothing happens; None if only an event can help."""
        if self.removals.takes_back:
            return 0.0
        if not self._sees():
            return None
        if self.answers or self.removals.hurries:
            return 0.0
        dues = (self.looks.next_due(), self.queue.space.next_due(self.spec.name))
        return min((due for due in dues if due is not None), default=None)

    def finished(self, now: float) -> bool:
        """For one pass: everything that could be done without a person or a long wait has been done."""
        load = self.queue.load(self.spec.name)
        if self.removals.source.missing or (self.paused and load.waiting >= QUEUE_ROOM):
            # Marks wait for the folder to come back, or for room in the queue; a pass does not.
            return not load.running
        return (
            self.looks.passes > 0
            and not load.running
            and (not load.waiting or self.paused)
            and not self.busy_looking(now)
            and not self.dirty.due_by(now + SOON_S)
            and not self.waits.any_unsettled()
        )

    def looked_through(self, now: float, passes: int = 0) -> bool:
        """For who only looks: everything was compared, or as much as can be while nothing is begun.

        Args:
            now: monotonic seconds.
            passes: this often it had been before.
        """
        if self.removals.source.missing:
            return True
        if self.queue.load(self.spec.name).waiting >= QUEUE_ROOM and not self.looks and not self.answers:
            return True
        return self.looks.passes > passes and not self.busy_looking(now)

    def busy_looking(self, now: float) -> bool:
        """Whether a deep scan or any look is under way."""
        return bool(self.looks or self.answers) or self.removals.working or self.dirty.scanning_deep(now)

    def _listed(self, listing: Listing) -> Generator[None, Moment, None]:
        """The disk told what is in a directory."""
        at = yield
        work = self.looks.answered(listing)
        deep, order = (work.deep, work.order) if work is not None else (False, Order(since=at.now))
        if listing.presence is Presence.ROOT_MISSING:
            self.source_missing(listing.problem or f"the folder {self.spec.local} is not there", at.now)
        if self.removals.source.missing:
            return
        if listing.root is not None and listing.root != self.site.folder.root:
            self._source_present(listing.root, at)
            while self.removals.takes_back:
                at = yield
        yield from self.comparing.listed(listing, at, order, deep=deep)

    def clock_was_set(self, step: Step, now: float) -> None:
        """Somebody set this machine's clock: what was noted by it in this run is told as it would have noted it."""
        self.intents.exposures.clock_was_set(step)
        self.removals.holding.clock_was_set(step)
        if (paused_ns := step.redated(self.paused_ns)) != self.paused_ns:
            self.paused_ns = paused_ns
            self.ledger.decisions.set_paused(self.id, paused_ns)
        self.ledger.mappings.redate(self.id, *step)
        self.ledger.failures.redate(self.id, *step)
        # What failed in an earlier run may be due now, or nobody knows any more when it is.
        if self.ledger.failures.counts(self.id).retrying:
            self.dirty.mark_deep("", now)

    # ── whether it may begin anything ────────────────────────────────────────────────────────────────────────

    @property
    def paused(self) -> bool:
        """Whether a person wants nothing more to be started."""
        return self.paused_ns != 0

    def pause(self, at_ns: int) -> None:
        """A person wants nothing more to be started, since now (wall clock), or as long as before; 0: it goes on."""
        self.paused_ns = at_ns and (self.paused_ns or at_ns)
        self.ledger.decisions.set_paused(self.id, self.paused_ns)
        self._suspend()

    @property
    def suspended(self) -> bool:
        """Whether nothing may be begun: a person wants it so, the disk is not there, or is being compared at length."""
        held_up = self.answers.comparing or self.removals.takes_back or bool(self.removals.source.missing)
        return self.paused or self._going or held_up or not self.site.performs

    def leave(self) -> None:
        """The mapping is going: look at nothing more and begin nothing more."""
        self._going = True
        self.looks.detach()
        self.answers.drop()
        self._suspend()

    def _suspend(self) -> None:
        self.queue.suspend(self.spec.name, suspended=self.suspended)
