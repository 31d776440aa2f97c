"""One mapping at work: how looks at the disk become actions.

In: changes from the watcher, listings from the disk thread, the passing of time. Out: requests to the disk, actions to
the server's queue, rows to the ledger, events. The decisions are the pure core's; what is noted from one to the next
belongs to the parts (`recorded`, `waits`, `unreadable`, `removals`, `offers`, `intents`, `looks`, `othercases`,
`othernames`, `takeovers`); this module tells each what concerns it. What people want done again is the matter of
`again`. Used by the engine's thread only; the engine owns all mirrors.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.answers import NAMES_AT_ONCE, Answers, UnderWay
from ftpsyncd.core.deletes import gone_s
from ftpsyncd.core.plan import Enter, Gone, Look, Selection, Settled, Swapped, Wait, plan_directory
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.core.turn import Order
from ftpsyncd.events import Event, EventKind
from ftpsyncd.intents import Intents
from ftpsyncd.lastlook import Folder
from ftpsyncd.ledger import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.looks import Looks
from ftpsyncd.model import (
    Adopt,
    Forget,
    Kind,
    Listing,
    MakeDir,
    Presence,
    Rename,
    RootIdentity,
    Row,
    Upload,
    basename,
    join,
    parent,
)
from ftpsyncd.offers import Offers
from ftpsyncd.othercases import OtherCases
from ftpsyncd.othernames import OtherNames
from ftpsyncd.recorded import Facts, Recorded
from ftpsyncd.removals import Removals
from ftpsyncd.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.specs import DeletePolicy, MappingSpec
from ftpsyncd.takeovers import Takeovers
from ftpsyncd.unreadable import Unreadable
from ftpsyncd.waits import SOON_S, Waits


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
    ) -> None:
        self.spec = spec
        self.id = mapping_id
        self.ledger = ledger
        self.queue = queue
        self.dirty = Dirty()
        self.site = Site(spec, mapping_id, ledger, queue, folder, self.dirty, emit, today, one_pass)
        self.removals = Removals(self.site)
        # One pass does not live long enough to see what comes late.
        self.intents = Intents(self.site, sweep_twice=not one_pass)
        self.removals.forgotten = lambda path: self.intents.forgotten(path, whatever=True)
        self.looks = Looks(self.site)
        self.answers = Answers()
        self.removals.comparing = lambda: bool(self.answers)
        self.waits = Waits(self.site, self.removals.absent)
        self.recorded = Recorded(self.site, self.waits, selection)
        self.unreadable = Unreadable(self.site)
        self.other_cases = OtherCases(self.site, self.intents, self.removals.absent)
        self.offers = Offers(self.site, self.intents, self.removals.spare, selection)
        self.other_names = OtherNames(self.site, self.waits.sighting_of, self.removals.absent.knows, self.waits.look_at)
        self.takeovers = Takeovers(self.site)
        self.takeovers.take_leftovers(self.intents)
        self.paused = ledger.decisions.paused(mapping_id)
        self._going = False
        self.watcher = WatchReport("none", None, "", 0)
        self.inherited = set(queue.running(spec.name))
        """Own paths of actions that run since before the settings changed: they are not tried again as they are."""
        self._selection = selection
        self._to_make: dict[str, MakeDir] = {}
        """New directories until it is known from what is in them whether they are known ones under new names."""
        self._suspend()

    def __repr__(self) -> str:
        return f"<Mirror {self.spec.name} {self.dirty!r} {self.removals!r} {self.waits!r}>"

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
        if changes.reason:
            self.site.tell(EventKind.RESCAN, message=changes.reason)

    def on_answer(self, answer: Listing | WatchReport, at: Moment) -> None:
        """The disk answered, or its watcher told how it is."""
        self.looks.heard()
        if not self._going:
            self.answers.put(answer)
            self._take_up(at)

    def _take_up(self, at: Moment) -> None:
        """Go on to what was answered next, unless something is being compared."""
        while (answer := self.answers.next()) is not None:
            if isinstance(answer, Listing):
                self._listed(answer, at)
            else:
                self._reported(answer, at)

    def _reported(self, report: WatchReport, at: Moment) -> None:
        """The watcher told how it is."""
        self.intents.exposures.all_over(at)
        before, self.watcher = self.watcher, report
        if report.problem and report.problem != before.problem and report.root is not None:
            self.site.tell(EventKind.WATCHER, message=report.problem)
        if report.root is None:
            self.source_missing(report.problem or f"the folder {self.spec.local} is not there")
        else:
            self._source_present(report.root, at, report.numbered)

    # ── the root ─────────────────────────────────────────────────────────────────────────────────────────────

    def source_missing(self, why: str) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        self.removals.source_missing(why)
        self.waits.clear()
        self._to_make.clear()
        self.dirty.clear()
        self.looks.drop_next()
        for listing in self.answers.drop():
            self.looks.answered(listing)
        self._suspend()

    def _source_present(self, root: RootIdentity, at: Moment, numbered: RootIdentity | None = None) -> None:
        self.removals.source_present(root, at, numbered)
        self._suspend()

    def check_source(self, now: float) -> bool:
        """Have it looked whether the root is there; of a disk that does not answer it is not known.

        Returns:
            Whether it answers.
        """
        silent_s = self.looks.check_source(now)
        if silent_s:
            silence = f"the disk of {self.spec.name} has not answered for {silent_s:.0f} s"
            self.source_missing(f"{silence}, and nothing of it is published until it does")
        return not silent_s

    # ── looks at the disk ────────────────────────────────────────────────────────────────────────────────────

    def pump(self, at: Moment) -> None:
        """Go on with what is compared; ask for the looks that are due, as far as the queue has room for them."""
        if self._sees():
            self.offers.take_over(at.now)
            self.other_cases.look_at_them(at)
            if self.answers.under_way is not None:
                self._decide_some(self.answers.under_way, at)
            self._take_up(at)
        # What was taken up may have told otherwise.
        if self._sees():
            self.removals.go_on(at)
            if self.looks.ask_what_is_due(at) and self.looks.in_pass and not self.busy_looking(at.now):
                self.looks.pass_ended(at)
                self.removals.pass_ended(at)

    def _sees(self) -> bool:
        """Whether there is a folder to look at."""
        return self.looks.disk is not None and not self.removals.missing

    def next_due(self) -> float | None:
        """When `pump` will have something to do although nothing happens; None if only an event can help."""
        if self.removals.missing:
            return None
        return 0.0 if self.answers or (self._sees() and self.removals.hurries) else self.looks.next_due()

    def finished(self, now: float) -> bool:
        """For one pass: everything that could be done without a person or a long wait has been done."""
        load = self.queue.load(self.spec.name)
        if self.removals.missing or (self.paused and load.waiting >= QUEUE_ROOM):
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

    def busy_looking(self, now: float) -> bool:
        """Whether a deep scan or any look is under way."""
        return bool(self.looks) or bool(self.answers) or self.removals.working or self.dirty.scanning_deep(now)

    def _listed(self, listing: Listing, at: Moment) -> None:
        """The disk told what is in a directory: compare with the ledger, offer what follows."""
        directory, whole = listing.directory, listing.names is None
        work = self.looks.answered(listing)
        deep, order = (work.deep, work.order) if work is not None else (False, Order(since=at.now))
        if listing.presence is Presence.ROOT_MISSING:
            self.source_missing(listing.problem or f"the folder {self.spec.local} is not there")
        if self.removals.missing:
            return
        if listing.root is not None and listing.root != self.site.folder.root:
            self._source_present(listing.root, at)
        self.offers.doubt_under_way(listing)
        to_make = self._to_make.pop(directory, None) if whole else None
        if listing.presence is Presence.UNREADABLE:
            self._make(to_make, order)
            self.unreadable.note_directory(directory, listing.problem, at)
        elif listing.presence is Presence.ABSENT:
            # The directory that holds it can tell what that means.
            if directory:
                self._nothing_below(directory)
                self.dirty.mark(directory, at.now)
        elif (file := self._file_above(directory)) is not None:
            # The server's file goes first; when it is gone, the directory is entered.
            self.dirty.mark(file, at.now)
        elif not (whole and self.offers.offer_directory_rename(listing, order)):
            self._make(to_make, order)
            self.removals.require_same_disk(listing, at)
            self._compare(listing, at, order, deep=deep)

    def _make(self, new: MakeDir | None, order: Order) -> None:
        """A new directory, if it is one, is no known one under a new name, as far as is known."""
        if new is not None:
            self.offers.offer(new, order)

    def _file_above(self, directory: str) -> str | None:
        """A published file at the place of a directory or of one above it."""
        while directory and not self.offers.is_recorded(directory):
            row = self.ledger.row(self.id, directory)
            if row is not None:
                return directory
            directory = parent(directory)
        return None

    def _compare(self, listing: Listing, at: Moment, order: Order, *, deep: bool) -> None:
        self.unreadable.listed(listing, at)
        self.removals.seen(listing)
        if listing.names is None:
            self.waits.listed(listing)
            self.dirty.size_is(listing.directory, len(listing.entries))
        comparison = self.recorded.beside(listing)
        work = self.answers.under_way = UnderWay(comparison, order, deep)
        if len(comparison) <= NAMES_AT_ONCE:
            self._decide_some(work, at)
        else:
            # Nothing is begun before all of it is known: too many deletes are too many also where they come in parts.
            self._suspend()

    def _decide_some(self, work: UnderWay, at: Moment) -> None:
        """Decide about the next names of what is being compared."""
        facts = work.comparison.some(NAMES_AT_ONCE)
        self.other_names.listed(*facts, at)
        self._plan(facts, at, work.order, deep=work.deep)
        if not work.comparison:
            self.answers.under_way = None
            self._suspend()

    def _plan(self, facts: Facts, at: Moment, order: Order, *, deep: bool) -> None:
        listing, rows, failures = facts
        trusted = at.wall_trusted and self.watcher.kind == "native"
        look = Look(
            self.spec,
            self._selection,
            now=at.now,
            wall_ns=at.wall_ns,
            stamp_ns=listing.taken_wall_ns if trusted else None,
            deep=deep,
            sighting_of=self.waits.sighting_of,
            moved_from=self.offers.moved_from,
        )
        below: list[str] = []
        for decision in plan_directory(listing, rows, failures, look):
            match decision:
                case Enter(path, _, known):
                    self.waits.present(path)
                    if deep or not known:
                        below.append(path)
                case MakeDir(path=path) if rows.get(basename(path)) is None:
                    # What is in it is looked at next (`Enter`).
                    self.waits.present(path)
                    self._to_make[path] = decision
                case Upload() | Rename() | MakeDir():
                    self.ledger.bear_in_mind(self.id, decision.path, rows.get(basename(decision.path)))
                    self._offer_present(decision, listing, at, order)
                case Gone(path, kind):
                    self._gone(path, kind, at, self._gone_s(listing) if trusted else 0.0)
                case Swapped(path, gone=True):
                    self._gone(path, Kind.DIR, at, self._gone_s(listing) if trusted else 0.0)
                case Settled(path, had_failure=True) if path and basename(path) not in listing.entries:
                    # It may have been a directory: what failed below it is over as well.
                    self._nothing_below(path)
                    self._note(decision, at)
                case Adopt(path=path) if self.queue.makes(self.spec.name, path):
                    # A row with an inode says that it is there; the outcome has it looked at again.
                    self.waits.present(path)
                case _:
                    self._note(decision, at)
        self._mark_known_directories(listing, rows, at)
        self.dirty.push_deep(below, order)

    def _gone_s(self, listing: Listing) -> float:
        """For how many seconds what a directory lacks has been gone at least; 0.0 if nothing tells that."""
        if not (self.looks.in_pass and listing.changed_wall_ns):
            return 0.0
        return gone_s(listing, self.ledger.row(self.id, listing.directory) if listing.directory else None)

    def _note(self, decision: Settled | Wait | Swapped | Forget | Adopt, at: Moment) -> None:
        """What needs no action at the server, or not yet."""
        match decision:
            case Settled(path, had_failure, gone):
                self.waits.settled(path, had_failure=had_failure, gone=gone)
            case Wait(path, due, why, sighting, gone):
                self.waits.wait(path, due, why, sighting, at, gone=gone)
            case Swapped(path):
                self.waits.present(path)
                self.removals.swapped(decision, at)
            case Forget() | Adopt():
                self._record(decision)

    def _mark_known_directories(self, listing: Listing, rows: dict[str, Row], at: Moment) -> None:
        """A known directory among asked names: somebody says that it may differ itself."""
        for name in listing.names or ():
            entry = listing.entries.get(name)
            path = join(listing.directory, name)
            if entry is None or entry.kind is not Kind.DIR or name not in rows:
                continue
            # Where a file was, there is nothing to do until the server's file is gone, or kept and forgotten.
            if rows[name].kind is Kind.DIR or self.ledger.row(self.id, path) is None:
                self.dirty.mark_directory(path, at.now)

    def _record(self, decision: Forget | Adopt) -> None:
        """What concerns only the ledger."""
        self.waits.present(decision.path)
        if isinstance(decision, Adopt):
            self.ledger.put(self.id, decision.path, decision.row)
            return
        self.unreadable.over(decision.path)
        self.forget(decision.path, decision.kind)
        self.site.tell(EventKind.FORGOTTEN, decision.path, decision.why)

    def forget(self, path: str, kind: Kind) -> None:
        """Drop a path, with all below it, from the ledger; the server is not touched."""
        self.queue.withdraw(self.spec.name, path)
        self.intents.forgotten(path)
        if kind is Kind.DIR:
            self.queue.withdraw_below(self.spec.name, path)
            self.ledger.forget_tree(self.id, path)
            self.offers.directory_gone(path)
        else:
            self.ledger.forget(self.id, path)
        self.ledger.failures.clear(self.id, path)

    # ── offering actions ─────────────────────────────────────────────────────────────────────────────────────

    def _offer_present(self, action: Upload | Rename | MakeDir, listing: Listing, at: Moment, order: Order) -> None:
        if isinstance(action, MakeDir):
            self.waits.present(action.path)
        else:
            self.waits.for_server(action.path, at.now)
        self.removals.offered(action.path, listing.root)
        if isinstance(action, Rename):
            self.queue.withdraw(self.spec.name, action.source)
            self.removals.absent.back(action.source)
            if not self.queue.moves_from(self.spec.name, action.source):
                self.removals.leaves(action.source)
        self.offers.offer(action, order, listing)

    def _nothing_below(self, directory: str) -> None:
        """A directory is not there: neither is anything that was noted below it, or was to be published there."""
        self.queue.withdraw_below(self.spec.name, directory, MakeDir | Upload | Rename)
        self.waits.nothing_below(directory)
        self.unreadable.nothing_below(directory)
        if self.ledger.row(self.id, directory) is None:
            self.ledger.failures.clear_below(self.id, directory)

    def _gone(self, path: str, kind: Kind, at: Moment, gone_s: float) -> None:
        """A published path is not on disk, and has not been for so many seconds at least."""
        self.waits.gone(path)
        if path in self.unreadable.problems:
            self.unreadable.over(path)
        if self.offers.moves_from(path) or self.queue.occupied(self.spec.name, path):
            self.offers.again.add(path)
            return
        if kind is Kind.DIR:
            if not self.removals.absent.knows(path):
                self.other_names.directory_gone(path, at)
            self._nothing_below(path)
            if not self.intents.clear_below(path):
                return
            if self.removals.took_disks_away(path, at) and self.spec.deletes is DeletePolicy.KEEP:
                # Dropped from the ledger, they would be sent again when the disk is back.
                return
        if not self.removals.gone(path, kind, at, gone_s=gone_s):
            if kind is Kind.DIR and self.queue.leaving(self.spec.name, path):
                # Dropped from the ledger now, it would be sent anew, and be at the server twice.
                self.offers.again.add(path)
                return
            self._record(Forget(self.spec.name, path, kind, "kept at the server"))

    # ── whether it may begin anything ────────────────────────────────────────────────────────────────────────

    def pause(self, *, paused: bool) -> None:
        """A person wants nothing more to be started, or wants it to go on."""
        self.paused = paused
        self.ledger.decisions.set_paused(self.id, paused=paused)
        self._suspend()

    @property
    def suspended(self) -> bool:
        """Whether nothing may be begun: a person wants it so, the disk is not there, or is being compared at length."""
        return self.paused or self._going or self.answers.under_way is not None or bool(self.removals.missing)

    def leave(self) -> None:
        """The mapping is going: look at nothing more and begin nothing more."""
        self._going = True
        self.looks.detach()
        self.answers.drop()
        self._suspend()

    def _suspend(self) -> None:
        self.queue.suspend(self.spec.name, suspended=self.suspended)
