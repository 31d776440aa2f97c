"""The state of one mapping: what may differ, what waits, what is gone; and how looks at the disk become actions.

In: changes from the watcher, listings from the disk thread, outcomes from the workers, the passing of time. Out:
requests to the disk, actions to the server's queue, rows to the ledger, events. Used by the engine's thread only; the
engine owns all mirrors. The decisions are the pure core's; this module carries them to the places they concern.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ftpsyncd.core import names
from ftpsyncd.core.plan import (
    Enter,
    Gone,
    Look,
    Selection,
    Settled,
    Swapped,
    Wait,
    plan_directory,
    swapped_away,
    swapped_directory,
)
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import BUSY_AGAIN_S, Dirty, Sighting
from ftpsyncd.errors import FileBusyError, LocalUnreadableError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.intents import Intents
from ftpsyncd.lastlook import Folder
from ftpsyncd.ledger import CHANGED, Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.looks import Disk, Looks
from ftpsyncd.model import (
    Adopt,
    Failure,
    Fingerprint,
    Forget,
    Kind,
    Listing,
    MakeDir,
    Presence,
    Rename,
    Row,
    Upload,
    basename,
    join,
    parent,
)
from ftpsyncd.offers import Offers
from ftpsyncd.removals import QUEUE_ROOM, Moment, Removals, Site
from ftpsyncd.specs import DeletePolicy, MappingSpec

LOOKS_AT_ONCE = 4
"""Requests to the disk under way."""
LOOK_GAP_S = 0.01
"""A path that keeps changing is looked at no more often than this, and ever more rarely."""
LONGEST_GAP_S = 0.1
SOON_S = 35.0
"""A `sync` waits for another try, or for a delete, that comes within this time."""
UNREADABLE_AGAIN_S = 1.0
LONGEST_AGAIN_S = 300.0
"""What cannot be read is looked at again after 1, 2, 4 … 300 seconds: nothing else need ever tell that it can be."""
OFFERED_MAX = 2000
"""Files whose waiting is timed; they leave in about the order they came, so the oldest are among them."""
RESTLESS_S = 600.0
"""A file that does not come to rest for so long is reported."""


@dataclass(slots=True)
class Pending:
    """A path that is not to be acted on yet, and why."""

    why: str
    first: float
    sighting: Sighting | None = None
    looks: int = 0
    reported: bool = False

    @property
    def busy(self) -> bool:
        """A program has it open for writing."""
        return self.sighting is not None and self.sighting.busy


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
        self.one_pass = one_pass
        self.dirty = Dirty()
        self.site = Site(spec, mapping_id, ledger, queue, folder, self.dirty, emit, today)
        self.removals = Removals(self.site)
        # One pass does not live long enough to see what comes late.
        self.intents = Intents(self.site, sweep_twice=not one_pass)
        self.removals.forgotten = self.intents.forgotten
        self.pending: dict[str, Pending] = {}
        self.offers = Offers(self.site, self.intents, self.removals.spare, selection)
        self.paused = ledger.paused(mapping_id)
        self.watcher = WatchReport("none", None, "", 0)
        self.problems: dict[str, str] = {}
        self._look_again_s: dict[str, float] = {}
        """How long the problems wait for their next look."""
        self.offered: dict[str, float] = {}
        """Since when files wait for the server, the oldest first."""
        self.inherited = set(queue.running(spec.name))
        """Own paths of actions that run since before the settings changed: they are not tried again as they are."""
        self.passes = 0
        self._selection = selection
        self._disk: Disk | None = None
        self._looks = Looks()
        self._in_pass = False
        self._other_cases: dict[str, set[str]] = {}
        """Names of files that may be gone from the server with those that were deleted, by directory."""
        queue.suspend(spec.name, suspended=self.paused)

    def __repr__(self) -> str:
        return f"<Mirror {self.spec.name} {self.dirty!r} {self.removals!r} pending={len(self.pending)}>"

    def attach(self, disk: Disk) -> None:
        """Tell the mirror where to ask for looks."""
        self._disk = disk

    def detach(self) -> None:
        """It is going: ask for nothing more."""
        self._disk = None

    # ── what comes in from the watcher ───────────────────────────────────────────────────────────────────────

    def on_changes(self, changes: Changes, at: Moment) -> None:
        """Paths may differ."""
        for path in changes.paths:
            self.look_at(path, at.now)
        for directory in changes.deep:
            self.dirty.mark_deep(directory, at.now)
            if directory:
                self.dirty.mark(directory, at.now)
        if changes.reason:
            self.site.tell(EventKind.RESCAN, message=changes.reason)

    def look_at(self, path: str, now: float) -> None:
        """Mark a path; one that is known to be unsettled has its next look already.

        One that failed has its next try, which what changed may bring forward.
        """
        pending = self.pending.get(path)
        if pending is None or pending.sighting is None:
            self.dirty.mark(path, now)
        elif pending.busy:
            self.dirty.mark(path, now + min(LONGEST_GAP_S, LOOK_GAP_S * 2 ** min(pending.looks, 8)))
        elif self.spec.settle_s <= LONGEST_GAP_S:
            self.dirty.mark(path, now + LOOK_GAP_S)

    def on_report(self, report: WatchReport, at: Moment) -> None:
        """The watcher told how it is."""
        before, self.watcher = self.watcher, report
        if report.problem and report.problem != before.problem and report.root is not None:
            self.site.tell(EventKind.WATCHER, message=report.problem)
        if report.root is None:
            self.source_missing(report.problem or f"the folder {self.spec.local} is not there")
        else:
            self.removals.source_present(report.root, at)

    # ── the root ─────────────────────────────────────────────────────────────────────────────────────────────

    def source_missing(self, why: str) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        self.removals.source_missing(why)
        self.pending.clear()
        self.offered.clear()
        self.dirty.clear()
        self._looks.drop_next()

    def check_source(self) -> None:
        """Somebody found the root missing: look now."""
        if self._disk is not None:
            self._disk.check()

    # ── looks at the disk ────────────────────────────────────────────────────────────────────────────────────

    def pump(self, at: Moment) -> None:
        """Ask for the looks that are due, as far as the queue has room for what they may bring."""
        if self._disk is None or self.removals.missing:
            return
        self.offers.take_over(at.now)
        self._look_at_other_cases(at)
        self.removals.go_on(at)
        while len(self._looks) < LOOKS_AT_ONCE:
            waiting = self.queue.load(self.spec.name).waiting
            if waiting >= 2 * QUEUE_ROOM:
                return
            work = self.dirty.take(at.now, marked_only=waiting >= QUEUE_ROOM)
            if work is None:
                break
            self._in_pass |= work.deep
            self._looks.ask(self._disk, work)
        if self._in_pass and not self.busy_looking(at.now):
            self._pass_ended(at)

    def next_due(self) -> float | None:
        """When `pump` will have something to do although nothing happens; None if only an event can help."""
        if self.removals.missing or len(self._looks) >= LOOKS_AT_ONCE:
            return None
        if self.queue.load(self.spec.name).waiting >= QUEUE_ROOM:
            return None
        return self.dirty.next_due()

    def finished(self, now: float) -> bool:
        """For one pass: everything that could be done without a person or a long wait has been done."""
        load = self.queue.load(self.spec.name)
        if self.removals.missing or (self.paused and load.waiting >= QUEUE_ROOM):
            # Marks wait for the folder to come back, or for room in the queue; a pass does not.
            return not load.running
        return (
            self.passes > 0
            and not load.running
            and (not load.waiting or self.paused)
            and not self.busy_looking(now)
            and not self.dirty.due_by(now + SOON_S)
            and not any(pending.sighting for pending in self.pending.values())
        )

    def busy_looking(self, now: float) -> bool:
        """Whether a deep scan or any look is under way."""
        return bool(self._looks) or self.removals.working or self.dirty.scanning_deep(now)

    def _pass_ended(self, at: Moment) -> None:
        self._in_pass = False
        self.passes += 1
        if not self.one_pass:
            # Spread, so that many mappings do not scan in step.
            self.dirty.mark_deep("", at.now + self.spec.rescan_s * random.uniform(0.75, 1.25))  # noqa: S311
        self.removals.pass_ended(at)

    def on_listing(self, listing: Listing, at: Moment) -> None:
        """The disk answered: compare with the ledger, offer what follows."""
        directory, whole = listing.directory, listing.names is None
        deep = self._looks.answered(listing, self._disk)
        if listing.presence is Presence.ROOT_MISSING:
            self.source_missing(listing.problem or f"the folder {self.spec.local} is not there")
        if self.removals.missing:
            return
        if listing.root is not None and listing.root != self.site.folder.root:
            self.removals.source_present(listing.root, at)
        self._doubt_arrivals(listing)
        if listing.presence is Presence.UNREADABLE:
            self._note_problem(directory, listing.problem, at, self.dirty.mark_directory)
        elif listing.presence is Presence.ABSENT:
            # The directory that holds it can tell what that means.
            if directory:
                self._nothing_below(directory)
                self.dirty.mark(directory, at.now)
        elif (file := self._file_above(directory)) is not None:
            # The server's file goes first; when it is gone, the directory is entered.
            self.dirty.mark(file, at.now)
        elif not (whole and self.offers.offer_directory_rename(listing)):
            self._require_same_disk(listing, at)
            self._compare(listing, at, deep=deep)

    def _doubt_arrivals(self, listing: Listing) -> None:
        """What arrives at the server and is not on disk any more has no row yet by which it could be found gone."""
        directory, prefix = listing.directory, f"{listing.directory}/"
        for path in self.queue.arriving(self.spec.name):
            if listing.presence is Presence.ABSENT:
                gone = path.startswith(prefix)
            else:
                asked = parent(path) == directory and (listing.names is None or basename(path) in listing.names)
                gone = asked and listing.presence is Presence.PRESENT and basename(path) not in listing.entries
            if gone:
                self.offers.again.add(path)

    def _require_same_disk(self, listing: Listing, at: Moment) -> None:
        """A directory may be looked at before the one that holds it, which would tell that its disk is unmounted."""
        row = self.ledger.row(self.id, listing.directory) if listing.directory else None
        if row is None or row.kind is not Kind.DIR:
            return
        swapped = swapped_directory(listing.directory, row, mount_point=listing.mount_point)
        if swapped is None:
            self.removals.not_swapped(listing.directory)
        else:
            self.removals.swapped(swapped.path, swapped.why, at)

    def _file_above(self, directory: str) -> str | None:
        """A published file at the place of a directory or of one above it."""
        while directory and not self.offers.is_recorded(directory):
            row = self.ledger.row(self.id, directory)
            if row is not None:
                return directory
            directory = parent(directory)
        return None

    def _note_problem(self, path: str, why: str, at: Moment, mark: Callable[[str, float], None]) -> None:
        if path not in self.problems:
            if len(self.problems) >= QUEUE_ROOM:
                return
            self.site.tell(EventKind.FAILED, path, f"it cannot be read: {why}", error=LocalUnreadableError.__name__)
            self.problems[path] = why
        if not self.one_pass:
            pause_s = self._look_again_s.get(path, UNREADABLE_AGAIN_S)
            self._look_again_s[path] = min(2 * pause_s, LONGEST_AGAIN_S)
            mark(path, at.now + pause_s)

    def _problem_over(self, path: str) -> bool:
        """Whether there was one."""
        self._look_again_s.pop(path, None)
        return self.problems.pop(path, None) is not None

    def _note_problems(self, listing: Listing, at: Moment) -> None:
        """What cannot be read now, and what can be again; whether a directory can, its own listing alone tells."""
        directory = listing.directory
        if self._problem_over(directory):
            # Of what changed below it meanwhile nobody may have heard.
            self.dirty.mark_deep(directory, at.now)
        for path in [p for p in self.problems if parent(p) == directory]:
            name = basename(path)
            entry = listing.entries.get(name)
            seen = (listing.names is None or name in listing.names) and name not in listing.unreadable
            if seen and (entry is None or entry.kind is not Kind.DIR):
                self._problem_over(path)
        for name, why in listing.unreadable.items():
            self._note_problem(join(directory, name), why, at, self.dirty.mark)

    def _compare(self, listing: Listing, at: Moment, *, deep: bool) -> None:
        directory = listing.directory
        self._note_problems(listing, at)
        self.removals.seen(listing)
        if listing.names is None:
            failures = self.ledger.failures(self.id, directory)
            rows, published = self.ledger.beside(self.id, directory, listing.entries)
            if published:
                rows, listing = self._without_settled(listing, rows, published, failures)
        else:
            rows, failures = {}, {}
            for name in listing.names:
                path = join(directory, name)
                if (row := self.ledger.row(self.id, path)) is not None:
                    rows[name] = row
                if (failure := self.ledger.failure(self.id, path)) is not None:
                    failures[name] = failure
        self._plan(listing, rows, failures, at, deep=deep)

    def _without_settled(
        self, listing: Listing, rows: dict[str, Row], published: set[str], failures: dict[str, Failure]
    ) -> tuple[dict[str, Row], Listing]:
        """Leave out the files that are published as they are: for nearly all files of a scan nothing is to be decided.

        What the plan would say of such a file is that it needs nothing. That is passed over where nothing is noted
        about it that would have to be cleared up, and where it is still one that is to be published.
        """
        prefix = f"{listing.directory}/" if listing.directory else ""
        includes, entries = self._selection.includes, listing.entries
        if failures or not self._nothing_noted():
            rest = {name for name in published if name in failures or self._is_noted(prefix + name)}
        else:
            rest = set()
        rest.update([name for name in published if not includes(prefix + name)])
        for name in rest:
            row = self.ledger.row(self.id, prefix + name)
            if row is not None:
                rows[name] = row
        if len(published) - len(rest) == len(entries):
            return rows, listing._replace(entries={})
        left = {name: entry for name, entry in entries.items() if name not in published or name in rest}
        return rows, listing._replace(entries=left)

    def _nothing_noted(self) -> bool:
        """Whether nothing is noted about any path; cheap."""
        return not (self.pending or self.offered or self.removals.absent or self.queue.load(self.spec.name).waiting)

    def _is_noted(self, path: str) -> bool:
        """Whether something is noted about a path that is over when it is found settled."""
        return (
            path in self.pending
            or path in self.offered
            or self.removals.absent.knows(path)
            or self.queue.waiting(self.spec.name, path) is not None
        )

    def _plan(
        self, listing: Listing, rows: dict[str, Row], failures: dict[str, Failure], at: Moment, *, deep: bool
    ) -> None:
        trusted = at.wall_trusted and self.watcher.kind == "native"
        look = Look(
            self.spec,
            self._selection,
            now=at.now,
            wall_ns=at.wall_ns,
            stamp_ns=listing.taken_wall_ns if trusted else None,
            deep=deep,
            sighting_of=self._sighting_of,
            moved_from=self._moved_from,
        )
        below: list[str] = []
        for decision in plan_directory(listing, rows, failures, look):
            match decision:
                case Enter(path, _, known):
                    self._present(path)
                    if deep or not known:
                        below.append(path)
                case Upload() | Rename() | MakeDir():
                    self.ledger.bear_in_mind(self.id, decision.path, rows.get(basename(decision.path)))
                    self._offer_present(decision, listing, at)
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
                    self._present(path)
                case _:
                    self._note(decision, at)
        self._mark_known_directories(listing, rows, at)
        self.dirty.push_deep(below)

    def _gone_s(self, listing: Listing) -> float:
        """For how many seconds what a directory lacks has been gone at least; 0.0 if nothing tells that."""
        if not (self._in_pass and listing.changed_wall_ns):
            return 0.0
        since_ns = listing.changed_wall_ns
        if listing.directory:
            # Its time says nothing about what was published from another directory of this path, also one further up.
            row = self.ledger.row(self.id, listing.directory)
            if row is None or row.fingerprint.inode != listing.inode:
                return 0.0
            since_ns = max(since_ns, row.published_ns)
        return max(0.0, (listing.taken_wall_ns - since_ns) / 1e9)

    def _note(self, decision: Settled | Wait | Swapped | Forget | Adopt, at: Moment) -> None:
        """What needs no action at the server, or not yet."""
        match decision:
            case Settled(path, had_failure):
                self._settled(path, had_failure=had_failure)
            case Wait(path, due, why, sighting):
                self._wait(path, due, why, sighting, at)
            case Swapped(path, why):
                self._present(path)
                self.removals.swapped(path, why, at)
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

    def _settled(self, path: str, *, had_failure: bool) -> None:
        self._present(path)
        self.offered.pop(path, None)
        self.queue.withdraw(self.spec.name, path)
        if had_failure:
            self.ledger.clear_failure(self.id, path)

    def _sighting_of(self, path: str) -> Sighting | None:
        pending = self.pending.get(path)
        return pending.sighting if pending else None

    def _present(self, path: str) -> None:
        """A path is on disk: it neither waits nor is it gone."""
        self.pending.pop(path, None)
        self.removals.absent.back(path)

    def _wait(self, path: str, due: float, why: str, sighting: Sighting | None, at: Moment) -> None:
        self.removals.absent.back(path)
        self.queue.withdraw(self.spec.name, path)
        pending = Pending(why, at.now, sighting)
        before = self.pending.get(path)
        if before is not None:
            pending.first, pending.looks, pending.reported = before.first, before.looks + 1, before.reported
        if self._is_given_up(pending, at):
            self._present(path)
            self._report_not_ready(path, pending, at)
            return
        self.pending[path] = pending
        self._report_restless(path, pending, at)
        self.dirty.mark(path, due)

    def _is_given_up(self, pending: Pending, at: Moment) -> bool:
        """Whether a pass that ends does not wait for this file: somebody writes it, or it keeps changing."""
        restless = pending.sighting is not None and at.now - pending.first > self.spec.settle_s + SOON_S
        return self.one_pass and (pending.busy or restless)

    def _report_not_ready(self, path: str, pending: Pending, at: Moment) -> None:
        fingerprint = pending.sighting.fingerprint if pending.sighting else None
        remedy = FileBusyError.remedy if pending.busy else "It is published when it comes to rest."
        failure = Failure(fingerprint, 1, False, at.wall_ns, "FileBusyError", pending.why, "", remedy, at.wall_ns)  # noqa: FBT003
        self.ledger.put_failure(self.id, path, failure)
        self.site.tell(EventKind.FAILED, path, pending.why, remedy=remedy, error=FileBusyError.__name__)

    def wait_for_writer(self, path: str, fingerprint: Fingerprint, at: Moment) -> None:
        """A worker found that a program has the file open for writing."""
        sighting = Sighting(fingerprint, 0, at.now, at.now, busy=True, written=True)
        due = at.now + max(BUSY_AGAIN_S, self.spec.settle_s)
        self._wait(path, due, "a program has it open for writing", sighting, at)

    def _report_restless(self, path: str, pending: Pending, at: Moment) -> None:
        if at.now - pending.first > RESTLESS_S and not pending.reported:
            pending.reported = True
            why = f"it has not come to rest for {RESTLESS_S / 60:.0f} minutes"
            self.site.tell(EventKind.FAILED, path, why, error=FileBusyError.__name__)

    def _record(self, decision: Forget | Adopt) -> None:
        """What concerns only the ledger."""
        self._present(decision.path)
        if isinstance(decision, Adopt):
            self.ledger.put(self.id, decision.path, decision.row)
            return
        self._problem_over(decision.path)
        self.forget(decision.path, decision.kind)
        self.site.tell(EventKind.FORGOTTEN, decision.path, decision.why)

    def forget(self, path: str, kind: Kind) -> None:
        """Drop a path, with all below it, from the ledger; the server is not touched."""
        self.queue.withdraw(self.spec.name, path)
        if kind is Kind.DIR:
            self.queue.withdraw_below(self.spec.name, path)
            self.ledger.forget_tree(self.id, path)
            self.offers.directory_gone(path)
        else:
            self.ledger.forget(self.id, path)
        self.intents.forgotten(path)
        self.ledger.clear_failure(self.id, path)

    def _moved_from(self, fingerprint: Fingerprint) -> tuple[str, Row] | None:
        """A published file with this fingerprint that is known, or may well be, gone from its path.

        Not one that somebody changed at the server: what is there is not what is to be published.
        """
        for path, row in self.ledger.same_file(self.id, fingerprint):
            failure = self.ledger.failure(self.id, path)
            changed = failure is not None and failure.kind == CHANGED
            if not changed and not self.queue.moves_from(self.spec.name, path):
                return path, row
        return None

    # ── offering actions ─────────────────────────────────────────────────────────────────────────────────────

    def _offer_present(self, action: Upload | Rename | MakeDir, listing: Listing, at: Moment) -> None:
        pending = self.pending.get(action.path)
        if not isinstance(action, MakeDir) and len(self.offered) < OFFERED_MAX:
            self.offered.setdefault(action.path, pending.first if pending else at.now)
        self._present(action.path)
        if isinstance(action, Rename):
            self.queue.withdraw(self.spec.name, action.source)
            self.removals.absent.back(action.source)
        self.offers.offer(action, listing)

    def _nothing_below(self, directory: str) -> None:
        """A directory is not there: neither is anything that was noted below it, or was to be published there."""
        self.queue.withdraw_below(self.spec.name, directory, MakeDir | Upload | Rename)
        prefix = f"{directory}/"
        for noted in (self.pending, self.problems, self._look_again_s):
            for path in [p for p in noted if p.startswith(prefix)]:
                del noted[path]
        if self.ledger.row(self.id, directory) is None:
            self.ledger.clear_failures_below(self.id, directory)

    def _gone(self, path: str, kind: Kind, at: Moment, gone_s: float) -> None:
        """A published path is not on disk, and has not been for so many seconds at least."""
        self.pending.pop(path, None)
        self._problem_over(path)
        self.offered.pop(path, None)
        if self.offers.moves_from(path) or self.queue.occupied(self.spec.name, path):
            self.offers.again.add(path)
            return
        if kind is Kind.DIR:
            self._nothing_below(path)
            if not self.intents.clear_below(path):
                return
            if self._took_disks_away(path, at) and self.spec.deletes is DeletePolicy.KEEP:
                # Dropped from the ledger, they would be sent again when the disk is back.
                return
        if not self.removals.gone(path, kind, at, gone_s=gone_s):
            self._record(Forget(self.spec.name, path, kind, "kept at the server"))

    def _took_disks_away(self, directory: str, at: Moment) -> bool:
        """Whether a directory that is gone was a mount point, or had some: what was there is withheld."""
        row = self.ledger.row(self.id, directory)
        disks = self.ledger.mount_points_below(self.id, directory)
        if row is not None and row.device:
            disks.append(directory)
        for disk in disks:
            self.removals.swapped(disk, swapped_away(disk).why, at)
        return bool(disks)

    def deleted(self, path: str) -> None:
        """A file is gone from the server; where upper and lower case are one, perhaps that of another name with it."""
        directory = parent(path)
        if not self.removals.absent.is_doomed(directory):
            self._other_cases.setdefault(directory, set()).update(names.other_cases(basename(path)))

    def _look_at_other_cases(self, at: Moment) -> None:
        """Have what may be gone with what was deleted looked for at the server, and sent if it is not there."""
        while self._other_cases:
            directory, others = self._other_cases.popitem()
            for name in self.ledger.files_among(self.id, directory, others):
                path = join(directory, name)
                if not self.removals.absent.knows(path) and not self.queue.occupied(self.spec.name, path):
                    self.intents.doubt_row(path, whole=False)
                    self.dirty.mark(path, at.now)

    # ── how long things wait ─────────────────────────────────────────────────────────────────────────────────

    def oldest_wait(self, now: float) -> float | None:
        """For how many seconds the file that waits longest has been waiting; None if none waits."""
        while self.offered:
            path, since = next(iter(self.offered.items()))
            if self._still_waits(path):
                break
            del self.offered[path]
        else:
            since = now
        if self.pending:
            since = min(since, *(pending.first for pending in self.pending.values()))
        return now - since if self.offered or self.pending else None

    def _still_waits(self, path: str) -> bool:
        if self.queue.waiting(self.spec.name, path) is not None or self.queue.occupied(self.spec.name, path):
            return True
        failure = self.ledger.failure(self.id, path)
        return path in self.pending or (failure is not None and not failure.parked)

    # ── what people say ──────────────────────────────────────────────────────────────────────────────────────

    def retry(self, path: str | None, at: Moment) -> str:
        """A person wants failed and parked paths to be tried again now."""
        self.queue.retry_now()
        self.offers.not_renamed.clear()
        if path is None:
            count = self.ledger.clear_failures(self.id)
            self.dirty.mark_deep("", at.now)
            if not count:
                return f"{self.spec.name}: compared again, and {self.spec.server} is tried now; nothing had failed"
            return f"{self.spec.name}: {count} failed {'path is' if count == 1 else 'paths are'} tried again"
        self.ledger.clear_failure(self.id, path)
        self.dirty.mark(path, at.now)
        return f"{self.spec.name}: {path} is tried again"

    def publish_again(self, files: Collection[str], directories: Collection[str], at: Moment) -> int:
        """A person found that the server does not have these as they were published: mend that.

        Nothing is deleted: what the ledger does not know is passed over, and so is what waits for a person because it
        was changed at the server and is gone here.

        Returns:
            How many of them the ledger knows.
        """
        known = 0
        held = set(self.ledger.changed_at_server(self.id))
        for path in directories:
            row = self.ledger.row(self.id, path)
            if row is not None and row.kind is Kind.DIR and not self.queue.occupied(self.spec.name, path):
                self.ledger.put(self.id, path, row._replace(fingerprint=Fingerprint(0, 0, 0)))
                self.queue.offer(MakeDir(self.spec.name, path, 0, why="missing at the server"))
                known += 1
        for path in files:
            # What runs right now makes it right by itself.
            if path in held or self.queue.occupied(self.spec.name, path):
                continue
            if self.intents.doubt_row(path):
                self.ledger.clear_failure(self.id, path)
                known += 1
        if known:
            what = "1 path is" if known == 1 else f"{known} paths are"
            self.site.tell(EventKind.RESCAN, message=f"{what} not at the server as published, and published again")
            # A pass, not a look at each: whoever asked can see from the state when it is over.
            self.dirty.mark_deep("", at.now)
        return known

    def pause(self, *, paused: bool) -> None:
        """A person wants nothing more to be started, or wants it to go on."""
        self.paused = paused
        self.ledger.set_paused(self.id, paused=paused)
        self.queue.suspend(self.spec.name, suspended=paused)
