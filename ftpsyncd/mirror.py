"""The state of one mapping: what may differ, what waits, what is gone; and how looks at the disk become actions.

In: changes from the watcher, listings from the disk thread, outcomes from the workers, the passing of time. Out:
requests to the disk, actions to the server's queue, rows to the ledger, events. Used by the engine's thread only; the
engine owns all mirrors. The decisions are the pure core's; this module carries them to the places they concern.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from ftpsyncd.core import names
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.plan import Enter, Gone, Look, Selection, Settled, Swapped, Wait, plan_directory
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty, Sighting, Work
from ftpsyncd.ledger import Ledger
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.watch import WatchReport
from ftpsyncd.model import (
    Action,
    Adopt,
    Delete,
    DeletePolicy,
    Event,
    EventKind,
    Failure,
    Fingerprint,
    Forget,
    Hold,
    HoldKind,
    Kind,
    Listing,
    MakeDir,
    MappingSpec,
    Presence,
    RemoveDir,
    Rename,
    RenameDir,
    RootIdentity,
    Row,
    Sweep,
    Upload,
    join,
    parent,
    remote_join,
)
from ftpsyncd.publish import Folder

QUEUE_ROOM = 1000
"""No further directory is listed while this many actions of the mapping wait: an outage costs no memory."""
LOOKS_AT_ONCE = 4
"""Requests to the disk under way."""
LOOK_GAP_S = 0.01
"""A path that keeps changing is looked at no more often than this, and ever more rarely."""
LONGEST_GAP_S = 0.1
BUSY_AGAIN_S = 5.0
"""A file that is open for writing is looked at again after this time even if no event says that it was closed."""
SOON_S = 35.0
"""A `sync` waits for another try that comes within this time."""
RESTLESS_S = 600.0
"""A file that does not come to rest for so long is reported."""


class Disk(Protocol):
    """Where looks at the disk are asked for (`local.disk.DiskThread`)."""

    def list_dir(self, directory: str) -> None:
        """Ask for a whole directory."""

    def probe(self, directory: str, names: Collection[str]) -> None:
        """Ask for some names."""

    def check(self) -> None:
        """Ask for the health of the watcher and the identity of the root."""


@dataclass(slots=True)
class Pending:
    """A path that is not to be acted on yet, and why."""

    why: str
    first: float
    sighting: Sighting | None = None
    busy: bool = False
    looks: int = 0
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """The clocks at one turn of the engine."""

    now: float
    """Monotonic seconds."""
    wall_ns: int
    wall_trusted: bool = True
    """False for a while after the wall clock was stepped."""


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
        self.folder = folder
        self.one_pass = one_pass
        self.dirty = Dirty()
        self.deletes = Deletes()
        self.pending: dict[str, Pending] = {}
        self.again: set[str] = set()
        self.not_renamed: set[str] = set()
        self.hold = ledger.hold(mapping_id)
        self.paused = ledger.paused(mapping_id)
        self.missing = ""
        self.watcher = WatchReport("none", None, "", 0)
        self.problems: dict[str, str] = {}
        self.discarding = False
        self.passes = 0
        self._selection = selection
        self._emit = emit
        self._today = today
        self._disk: Disk | None = None
        self._asked: set[tuple[str, bool]] = set()
        self._deep_asked: set[str] = set()
        self._in_pass = False
        self._doomed: list[str] = []
        self._swapped: set[str] = set()
        self._swapped_in_pass: set[str] = set()
        self._leftovers = dict(ledger.intents(mapping_id))
        self._expected_root = ledger.root(mapping_id)
        self._known_directories: set[str] = set()
        queue.suspend(spec.name, suspended=self.paused)

    def __repr__(self) -> str:
        return f"<Mirror {self.spec.name} {self.dirty!r} {self.deletes!r} pending={len(self.pending)}>"

    def attach(self, disk: Disk) -> None:
        """Tell the mirror where to ask for looks."""
        self._disk = disk

    def emit(self, kind: EventKind, path: str = "", message: str = "", **more: object) -> None:
        """Tell the log about something in this mapping."""
        self._emit(Event(kind, self.spec.name, path, self.spec.server, message, **more))  # type: ignore[arg-type]

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
            self.emit(EventKind.RESCAN, message=changes.reason)

    def look_at(self, path: str, now: float) -> None:
        """Mark a path; one that is known to be unsettled has its next look already."""
        pending = self.pending.get(path)
        if pending is None:
            self.dirty.mark(path, now)
        elif pending.busy:
            self.dirty.mark(path, now + min(LONGEST_GAP_S, LOOK_GAP_S * 2 ** min(pending.looks, 8)))
        elif self.spec.settle_s <= LONGEST_GAP_S:
            self.dirty.mark(path, now + LOOK_GAP_S)

    def on_report(self, report: WatchReport, at: Moment) -> None:
        """The watcher told how it is."""
        before, self.watcher = self.watcher, report
        if report.problem and report.problem != before.problem and report.root is not None:
            self.emit(EventKind.WATCHER, message=report.problem)
        if report.root is None:
            self.source_missing(report.problem or f"the folder {self.spec.local} is not there")
        else:
            self._source_present(report.root, at)

    # ── the root ─────────────────────────────────────────────────────────────────────────────────────────────

    def source_missing(self, why: str) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        if not self.missing:
            self.emit(EventKind.SOURCE_MISSING, message=f"{why}; nothing is deleted at the server")
        self.missing = why
        self.folder.root = None
        self._stop_deletes()
        self.pending.clear()
        self.dirty.clear()

    def check_source(self) -> None:
        """Somebody found the root missing: look now."""
        if self._disk is not None:
            self._disk.check()

    def _stop_deletes(self) -> None:
        """Take back every delete that has not begun."""
        self.deletes.clear()
        self._doomed.clear()
        self.queue.withdraw_where(self.spec.name, Delete | RemoveDir)

    def _source_present(self, root: RootIdentity, at: Moment) -> None:
        if self.missing:
            self.missing = ""
            self.emit(EventKind.SOURCE_BACK, message=f"the folder {self.spec.local} is there")
            self.dirty.mark_deep("", at.now)
        if root == self._expected_root:
            self.folder.root = root
        elif self._expected_root is None or self.ledger.is_empty(self.id):
            self.accept_root(root)
        else:
            self.folder.root = None
            self._hold_replaced(root, at)

    def accept_root(self, root: RootIdentity) -> None:
        """From now on this is the folder that is published."""
        self.ledger.set_root(self.id, root)
        self._expected_root = self.folder.root = root

    def _hold_replaced(self, root: RootIdentity, at: Moment) -> None:
        if self.hold is not None and self.hold.kind is HoldKind.REPLACED_SOURCE:
            return
        what = "on another file system" if root.filesystem != self._filesystem else "another folder of the same name"
        self._stop_deletes()
        self.put_on_hold(
            HoldKind.REPLACED_SOURCE,
            f"{self.spec.local} is not the folder that was published before ({what}): new files are published, nothing"
            f" is deleted; `ftpsyncd approve {self.spec.name}` accepts the folder as it is, with its deletes;"
            f" `ftpsyncd discard {self.spec.name}` accepts it and keeps what is at the server",
            at,
        )

    def _same_source(self) -> bool:
        """Whether everything is mounted as it was when it was published."""
        return self.folder.root is not None and self.folder.root == self._expected_root and not self._swapped

    @property
    def _filesystem(self) -> int:
        return self._expected_root.filesystem if self._expected_root else 0

    # ── looks at the disk ────────────────────────────────────────────────────────────────────────────────────

    def pump(self, at: Moment) -> None:
        """Ask for the looks that are due, as far as the queue has room for what they may bring."""
        if self._disk is None or self.missing:
            return
        self._delete_doomed()
        while len(self._asked) < LOOKS_AT_ONCE:
            waiting = self.queue.load(self.spec.name).waiting
            if waiting >= 2 * QUEUE_ROOM:
                return
            work = self.dirty.take(at.now, marked_only=waiting >= QUEUE_ROOM)
            if work is None:
                break
            self._ask(self._disk, work)
        if self._in_pass and not self.busy_looking(at.now):
            self._pass_ended(at)

    def _ask(self, disk: Disk, work: Work) -> None:
        if work.deep:
            self._in_pass = True
            self._deep_asked.add(work.directory)
        self._asked.add((work.directory, work.names is None))
        if work.names is None:
            disk.list_dir(work.directory)
        else:
            disk.probe(work.directory, work.names)

    def next_due(self) -> float | None:
        """When `pump` will have something to do although nothing happens; None if only an event can help."""
        if self.missing or len(self._asked) >= LOOKS_AT_ONCE:
            return None
        if self.queue.load(self.spec.name).waiting >= QUEUE_ROOM:
            return None
        return self.dirty.next_due()

    def finished(self, now: float) -> bool:
        """For one pass: everything that could be done without a person or a long wait has been done."""
        load = self.queue.load(self.spec.name)
        return (
            (self.passes > 0 or bool(self.missing))
            and not (load.waiting or load.running)
            and not self.busy_looking(now)
            and not self.dirty.due_by(now + SOON_S)
            and not any(pending.sighting for pending in self.pending.values())
            and (not self.deletes.files or self.hold is not None)
        )

    def busy_looking(self, now: float) -> bool:
        """Whether a deep scan or any look is under way."""
        return bool(self._asked) or bool(self._doomed) or self.dirty.scanning_deep(now)

    def _pass_ended(self, at: Moment) -> None:
        self._in_pass = False
        self.passes += 1
        self.discarding = False
        if not self.one_pass:
            # Spread, so that many mappings do not scan in step.
            self.dirty.mark_deep("", at.now + self.spec.rescan_s * random.uniform(0.75, 1.25))  # noqa: S311
        self._swapped, self._swapped_in_pass = self._swapped_in_pass, set()
        if self.hold is None:
            return
        if self.hold.kind is HoldKind.MASS_DELETE and not self.deletes.files:
            self.release_hold("nothing is left to delete")
        if self.hold is not None and self.hold.kind is HoldKind.REPLACED_SOURCE and self._same_source():
            self.release_hold("the folder that was published before is back")

    def sweep_leftovers(self) -> None:
        """Remove temporary files of interrupted uploads, once nothing waits that would use them."""
        for path, temporary in list(self._leftovers.items()):
            if not self.queue.occupied(self.spec.name, path) and path not in self.pending:
                self.queue.offer(Sweep(self.spec.name, path, temporary))

    @property
    def has_leftovers(self) -> bool:
        """Whether interrupted uploads may have left temporary files at the server."""
        return bool(self._leftovers)

    def intend(self, action: Action) -> None:
        """An upload is about to begin: its temporary file becomes known to the ledger first."""
        if isinstance(action, Upload | Rename):
            temporary = names.temporary(remote_join(self.spec.remote, action.path), self.spec.name)
            self._leftovers[action.path] = temporary
            self.ledger.intend(self.id, action.path, temporary)

    def intent_done(self, path: str) -> None:
        """No temporary file of this path is left."""
        if self._leftovers.pop(path, None) is not None:
            self.ledger.settle_intent(self.id, path)

    def on_listing(self, listing: Listing, at: Moment) -> None:
        """The disk answered: compare with the ledger, offer what follows."""
        directory, whole = listing.directory, listing.names is None
        self._asked.discard((directory, whole))
        deep = whole and directory in self._deep_asked
        if deep:
            self._deep_asked.discard(directory)
        if listing.presence is Presence.ROOT_MISSING:
            self.source_missing(listing.problem or f"the folder {self.spec.local} is not there")
            return
        if self.missing:
            return
        if listing.root is not None and listing.root != self.folder.root:
            self._source_present(listing.root, at)
        if listing.presence is Presence.ABSENT:
            # The directory that holds it can tell what that means.
            if directory:
                self.dirty.mark(directory, at.now)
            return
        if listing.presence is Presence.UNREADABLE:
            self._note_problem(directory, listing.problem)
            return
        self.problems.pop(directory, None)
        for name, why in listing.unreadable.items():
            self._note_problem(join(directory, name), why)
        if not (whole and self._offer_directory_rename(listing)):
            self._compare(listing, at, deep=deep)

    def _note_problem(self, path: str, why: str) -> None:
        if path not in self.problems and len(self.problems) < QUEUE_ROOM:
            self.emit(EventKind.FAILED, path, f"it cannot be read: {why}")
            self.problems[path] = why

    def _compare(self, listing: Listing, at: Moment, *, deep: bool) -> None:
        directory = listing.directory
        if listing.names is None:
            rows = self.ledger.rows(self.id, directory)
            failures = self.ledger.failures(self.id, directory)
        else:
            rows, failures = {}, {}
            for name in listing.names:
                path = join(directory, name)
                if (row := self.ledger.row(self.id, path)) is not None:
                    rows[name] = row
                if (failure := self.ledger.failure(self.id, path)) is not None:
                    failures[name] = failure
        self._plan(listing, rows, failures, at, deep=deep)

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
                case Settled(path, had_failure):
                    self._settled(path, had_failure=had_failure)
                case Wait(path, due, why, sighting):
                    self._wait(path, due, why, sighting, at)
                case Enter(path, _, known):
                    self._present(path)
                    if deep or not known:
                        below.append(path)
                case Swapped(path, why):
                    self._swap(path, why, at)
                case Gone(path, kind):
                    self._gone(path, kind, at)
                case Forget() | Adopt():
                    self._record(decision)
                case _:
                    self._offer_present(decision, listing, at)
        # A known directory among asked names: somebody says that it may differ itself.
        if listing.names is not None:
            for name in listing.names:
                entry = listing.entries.get(name)
                if entry is not None and entry.kind is Kind.DIR and name in rows:
                    self.dirty.mark_directory(join(listing.directory, name), at.now)
        self.dirty.push_deep(below)

    def _settled(self, path: str, *, had_failure: bool) -> None:
        self._present(path)
        self.queue.withdraw(self.spec.name, path)
        if had_failure:
            self.ledger.clear_failure(self.id, path)

    def _sighting_of(self, path: str) -> Sighting | None:
        pending = self.pending.get(path)
        return pending.sighting if pending else None

    def _present(self, path: str) -> None:
        """A path is on disk: it neither waits nor is it gone."""
        self.pending.pop(path, None)
        self.deletes.back(path)
        self.problems.pop(path, None)

    def _wait(self, path: str, due: float, why: str, sighting: Sighting | None, at: Moment) -> None:
        self.deletes.back(path)
        self.queue.withdraw(self.spec.name, path)
        before = self.pending.get(path)
        first = before.first if before else at.now
        self.pending[path] = Pending(why, first, sighting, reported=before.reported if before else False)
        self._report_restless(path, self.pending[path], at)
        self.dirty.mark(path, due)

    def wait_for_writer(self, path: str, at: Moment) -> None:
        """A program has the file open for writing."""
        before = self.pending.get(path)
        pending = Pending("a program has it open for writing", at.now, busy=True)
        if before is not None:
            pending.first, pending.looks, pending.reported = before.first, before.looks + 1, before.reported
        self.pending[path] = pending
        self.queue.withdraw(self.spec.name, path)
        self._report_restless(path, pending, at)
        self.dirty.mark(path, at.now + max(BUSY_AGAIN_S, self.spec.settle_s))

    def _report_restless(self, path: str, pending: Pending, at: Moment) -> None:
        if at.now - pending.first > RESTLESS_S and not pending.reported:
            pending.reported = True
            self.emit(EventKind.FAILED, path, f"it has not come to rest for {RESTLESS_S / 60:.0f} minutes")

    def _record(self, decision: Forget | Adopt) -> None:
        """What concerns only the ledger."""
        self._present(decision.path)
        if isinstance(decision, Adopt):
            self.ledger.put(self.id, decision.path, decision.row)
            return
        self.forget(decision.path, decision.kind)
        self.emit(EventKind.FORGOTTEN, decision.path, decision.why)

    def forget(self, path: str, kind: Kind) -> None:
        """Drop a path, with all below it, from the ledger; the server is not touched."""
        self.queue.withdraw(self.spec.name, path)
        if kind is Kind.DIR:
            self.queue.withdraw_below(self.spec.name, path)
            self.ledger.forget_tree(self.id, path)
        else:
            self.ledger.forget(self.id, path)
        self.ledger.clear_failure(self.id, path)

    def _moved_from(self, fingerprint: Fingerprint) -> tuple[str, Row] | None:
        """A published file with this fingerprint that is known, or may well be, gone from its path."""
        for path, row in self.ledger.same_file(self.id, fingerprint):
            if not self.queue.moves_from(self.spec.name, path):
                return path, row
        return None

    # ── offering actions ─────────────────────────────────────────────────────────────────────────────────────

    def _offer_present(self, action: Upload | Rename | MakeDir, listing: Listing, at: Moment) -> None:
        path = action.path
        if isinstance(action, Upload) and path.rpartition("/")[2] in listing.busy:
            self.wait_for_writer(path, at)
            return
        self._present(path)
        if isinstance(action, Rename):
            self.queue.withdraw(self.spec.name, action.source)
            self.deletes.back(action.source)
        self._offer_with_parents(action, listing)

    def _offer_with_parents(self, action: Action, listing: Listing | None = None) -> None:
        if self.queue.occupied(self.spec.name, action.path):
            self.again.add(action.path)
            return
        directories = []
        directory = action.path
        while directory:
            directory = parent(directory)
            if self._recorded_directory(directory) or self.queue.occupied(self.spec.name, directory):
                break
            directories.append(directory)
        for ancestor in reversed(directories):
            inode = listing.inode if listing is not None and listing.directory == ancestor else 0
            if not isinstance(self.queue.waiting(self.spec.name, ancestor), MakeDir | RenameDir):
                self.queue.offer(MakeDir(self.spec.name, ancestor, inode))
        self.queue.offer(action)

    def _recorded_directory(self, directory: str) -> bool:
        if directory in self._known_directories:
            return True
        row = self.ledger.row(self.id, directory)
        if row is None or row.kind is not Kind.DIR:
            return False
        if len(self._known_directories) >= QUEUE_ROOM:
            self._known_directories.clear()
        self._known_directories.add(directory)
        return True

    def directory_gone(self, directory: str) -> None:
        """A directory is not at the server any more under this path."""
        prefix = f"{directory}/"
        self._known_directories = {d for d in self._known_directories if d != directory and not d.startswith(prefix)}

    def _offer_directory_rename(self, listing: Listing) -> bool:
        """Whether a directory that the ledger does not know is a known one under a new name.

        The inode says which; the content must agree, because inodes of deleted directories are used again.
        """
        path = listing.directory
        if not path or not listing.inode or path in self.not_renamed or self._recorded_directory(path):
            return False
        if self.queue.occupied(self.spec.name, path):
            self.again.add(path)
            return True
        for source in self.ledger.same_directory(self.id, listing.inode):
            if source == path or path.startswith(f"{source}/") or self.queue.moves_from(self.spec.name, source):
                continue
            rows = self.ledger.rows(self.id, source)
            alike = sum(1 for name, row in rows.items() if _alike(listing.entries.get(name), row))
            if rows and 2 * alike >= len(rows):
                self.queue.withdraw(self.spec.name, source)
                self.queue.withdraw_below(self.spec.name, source)
                self.deletes.back(source)
                self._offer_with_parents(RenameDir(self.spec.name, path, source, listing.inode))
                return True
        return False

    # ── deletes ──────────────────────────────────────────────────────────────────────────────────────────────

    def _swap(self, path: str, why: str, at: Moment) -> None:
        self._swapped_in_pass.add(path)
        if path not in self._swapped:
            self._swapped.add(path)
            self.put_on_hold(
                HoldKind.REPLACED_SOURCE,
                f"{why}: nothing below it is deleted; `ftpsyncd approve {self.spec.name}` accepts the folder as it is",
                at,
            )

    def _gone(self, path: str, kind: Kind, at: Moment) -> None:
        name = self.spec.name
        self.pending.pop(path, None)
        self.problems.pop(path, None)
        if self.queue.moves_from(name, path) or self.queue.occupied(name, path):
            self.again.add(path)
            return
        if isinstance(self.queue.waiting(name, path), Delete | RemoveDir) or self.deletes.is_doomed(path):
            return
        self.queue.withdraw(name, path)
        if self.discarding or self.spec.deletes is DeletePolicy.KEEP:
            self.deletes.back(path)
            self._record(Forget(name, path, kind, "kept at the server"))
            return
        files = 1 if kind is Kind.FILE else self.ledger.files_below(self.id, path)
        due = self.deletes.note(path, files, at.now) + self.spec.delete_after_s
        if due > at.now:
            self.dirty.mark(path, due)
        elif self.hold is None and self._within_limit(at):
            self.deletes.admit(path, at.now)
            self._delete(path, kind)

    def _within_limit(self, at: Moment) -> bool:
        limit = self.spec.max_deletes.of(self.ledger.totals(self.id).files)
        if self.deletes.allowed(limit, at.now):
            return True
        count = self.deletes.files
        some = ", ".join(sorted(self.deletes.paths)[:3])
        self.put_on_hold(
            HoldKind.MASS_DELETE,
            f"{count} files were deleted at once ({some}, …), more than max_deletes ({limit}) allows:"
            f" `ftpsyncd approve {self.spec.name}` deletes them at the server,"
            f" `ftpsyncd discard {self.spec.name}` keeps them there",
            at,
        )
        return False

    def _delete(self, path: str, kind: Kind) -> None:
        if kind is Kind.FILE:
            self.queue.offer(self._delete_action(path))
        else:
            self.deletes.doom(path)
            self._doomed.append(path)

    def _delete_action(self, path: str) -> Delete:
        trash = ""
        if self.spec.deletes is DeletePolicy.TRASH:
            trash = names.trash(self.spec.remote, self._today(), path)
        return Delete(self.spec.name, path, trash)

    def _delete_doomed(self) -> None:
        """Go on deleting directories that are gone, as far as the queue has room."""
        while self._doomed and self.queue.load(self.spec.name).waiting < QUEUE_ROOM:
            directory = self._doomed.pop()
            rows = self.ledger.rows(self.id, directory)
            for name, row in rows.items():
                path = join(directory, name)
                if row.kind is Kind.FILE:
                    self.queue.offer(self._delete_action(path))
                elif not self.deletes.is_doomed(path):
                    self.deletes.doom(path)
                    self._doomed.append(path)
            if not rows:
                self.queue.offer(RemoveDir(self.spec.name, directory))

    def emptied(self, directory: str) -> None:
        """Something in a directory is gone from the server: perhaps the last thing in a directory that is gone too."""
        if self.deletes.is_doomed(directory) and not self.ledger.holds_any(self.id, directory):
            self.queue.offer(RemoveDir(self.spec.name, directory))

    # ── holds ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_on_hold(self, kind: HoldKind, message: str, at: Moment) -> None:
        """Withhold deletes until a person decides."""
        self.hold = Hold(kind, at.wall_ns, message)
        self.ledger.set_hold(self.id, self.hold)
        self.emit(EventKind.HELD, message=message)

    def release_hold(self, why: str) -> None:
        """Nothing is withheld any more."""
        self.hold = None
        self.ledger.set_hold(self.id, None)
        self.emit(EventKind.RELEASED, message=why)

    def approve(self, at: Moment) -> str:
        """A person wants what is withheld to be done."""
        if self.hold is None:
            return f"{self.spec.name}: nothing is held"
        files = self.deletes.approve()
        self._accept_source()
        self.release_hold("approved")
        for path in self.deletes.paths:
            self.dirty.mark(path, at.now)
        self.dirty.mark_deep("", at.now)
        return f"{self.spec.name}: {files} deletes approved"

    def discard(self, at: Moment) -> str:
        """A person wants what is withheld never to be done: the files stay at the server, unmanaged."""
        if self.hold is None:
            return f"{self.spec.name}: nothing is held"
        files = self.deletes.files
        self._accept_source()
        self.release_hold("discarded")
        self.discarding = True
        self._in_pass = True
        self.dirty.mark_deep("", at.now)
        return f"{self.spec.name}: {files} deletes discarded; the files stay at the server"

    def _accept_source(self) -> None:
        if self.watcher.root is not None:
            self.accept_root(self.watcher.root)
        for path in self._swapped:
            row = self.ledger.row(self.id, path)
            if row is not None:
                self.ledger.put(self.id, path, row._replace(device=0 if row.device else 1))
        self._swapped.clear()

    @property
    def held(self) -> int:
        """How many deletes are withheld."""
        return self.deletes.files if self.hold is not None else 0


def _alike(entry: object, row: Row) -> bool:
    """Whether what is on disk under a name is what was published under it."""
    fingerprint = getattr(entry, "fingerprint", None)
    if fingerprint is None:
        return False
    if row.kind is Kind.DIR:
        return bool(fingerprint.inode == row.fingerprint.inode)
    return bool(fingerprint == row.fingerprint)
