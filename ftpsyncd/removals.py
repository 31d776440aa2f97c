"""What may be deleted at the server, and what is withheld: everything that guards against a wrong delete.

In: paths that are gone, the identity of the source, decisions of people. Out: deletes for the server's queue, holds for
the ledger and for people. One per mapping, used by its `mirror` on the engine's thread. A delete goes out only for a
path that the ledger knows, that stayed gone for ``delete_after`` below a source that is provably the same folder, and
within ``max_deletes``; the worker looks once more before it acts. What is in a directory that is gone follows with it
(`clearing`).
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.changedthere import ChangedThere
from ftpsyncd.clearing import Clearing
from ftpsyncd.core import names
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.plan import Swapped, swapped_directory
from ftpsyncd.discards import Discard
from ftpsyncd.events import EventKind
from ftpsyncd.logs import one_line
from ftpsyncd.model import Delete, Hold, HoldKind, Kind, Listing, RemoveDir, RootIdentity, parent
from ftpsyncd.places import Places
from ftpsyncd.site import Moment, Site
from ftpsyncd.specs import DeletePolicy
from ftpsyncd.toomany import TooMany

_OTHER_SOURCE = frozenset({HoldKind.REPLACED_SOURCE, HoldKind.UNMOUNTED_SOURCE})
LOOK_AGAIN_S = 1.0
"""A directory whose deletion goes on is not asked about more often than this."""
ASKED_AT_ONCE = 5000
"""Decisions that are looked through in one turn of the engine: some ten milliseconds."""
MARKED_AT_ONCE = 1000
"""More than so many paths are not looked at one by one: their directories are, or everything is."""


class Removals:
    """The absences, holds and deletes of one mapping."""

    def __init__(self, site: Site) -> None:
        approved = site.ledger.decisions.approved(site.id)
        self.absent = Deletes(
            {path: files for path, files, changed in approved if not changed},
            lambda changes: site.ledger.decisions.set_approved(site.id, changes),
            lambda: site.ledger.decisions.end_approvals(site.id),
        )
        self.forgotten: Callable[[str], None] = lambda _path: None
        """Is told what a person wants to stay at the server although it is gone here."""
        self.comparing: Callable[[], bool] = lambda: False
        """Whether something that was looked at is not compared to its end."""
        self._after_pass: set[str] = set()
        """Gone for long when they were first looked for; deleted unless the pass finds them under another name."""
        self.takes_back = False
        """Not all deletes are taken back that were: until then nothing begins, and nothing is concluded."""
        self.hold = site.ledger.decisions.hold(site.id)
        self._too_many: TooMany | None = None
        """What a mass delete is that is held; None after a start, until it is known what is gone."""
        self.missing = ""
        """Why the source cannot be read; empty if it can."""
        self._site = site
        self.places = Places(site.spec, site.id, site.ledger)
        if self.hold is not None and self.hold.kind in _OTHER_SOURCE:
            self.places.cut_off(path for path, _ in site.ledger.begun.of(site.id))
        self._clearing = Clearing(site, self.absent, self._delete_action)
        self.changed_there = ChangedThere(site, (path for path, _, changed in approved if changed))
        self._unsure: list[str] = []
        """Where a person allowed something to be deleted, and it is to be asked whether that is ours still."""
        self._all_seen = False
        """A pass has ended since the folder is the one it is: what is gone is known, but for what went just now."""
        self._discard = Discard(site, self.absent)

    def __repr__(self) -> str:
        return f"<Removals {self.absent!r} hold={self.hold and self.hold.kind.value} missing={self.missing!r}>"

    def go_on_from(self, before: Removals) -> None:
        """Stand in for what guarded the same place under settings that are over."""
        self.absent.go_on_from(before.absent)
        self.places.go_on_from(before.places)
        self._too_many = before._too_many

    @property
    def held(self) -> int:
        """How many deletes are withheld."""
        return self.absent.files if self.hold is not None else 0

    @property
    def working(self) -> bool:
        """Whether directories that are gone, or decisions, are being gone through."""
        return bool(self._clearing or self._unsure)

    @property
    def hurries(self) -> bool:
        """Whether `go_on` has something to do though nothing happens."""
        return bool(self._unsure)

    # ── the source ───────────────────────────────────────────────────────────────────────────────────────────

    def source_missing(self, why: str) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        if not self.missing:
            self._site.tell(EventKind.SOURCE_MISSING, message=f"{why}; nothing is deleted at the server")
        self.missing = why
        self._site.folder.root = None
        self._stop()

    def source_present(self, root: RootIdentity, at: Moment, numbered: RootIdentity | None = None) -> None:
        """The root can be read: is it the folder that was published before?

        Args:
            root: which folder it is.
            at: now.
            numbered: the same by the number of its device, as an older ledger may know it.
        """
        site = self._site
        before, self.places.root = self.places.root, root
        if self.missing:
            self.missing = ""
            site.tell(EventKind.SOURCE_BACK, message=f"the folder {site.spec.local} is there")
            site.dirty.mark_deep("", at.now)
        elif before not in {None, root}:
            # What was asked of this folder was answered by the other one, for as long as that was in its place.
            site.dirty.mark_deep("", at.now)
        if self.places.root_is_published(numbered):
            site.folder.root = root
            if self._has_two_sources:
                self._hold_source(at)
        else:
            site.folder.root = None
            self._hold_source(at)

    def swapped(self, swapped: Swapped, at: Moment) -> None:
        """Another file system is where a directory was."""
        if self.places.is_news(swapped) and not self._has_two_sources:
            name = self._site.spec.name
            self._put_on_hold(
                HoldKind.REPLACED_SOURCE,
                f"{swapped.why}: nothing is deleted at the server; `ftpsyncd approve {name}` accepts the folder as it"
                " is",
                at,
            )

    def offered(self, path: str, root: RootIdentity | None) -> None:
        """Something is to be published here, as it was seen in a folder (`Places.offered`)."""
        runs = self._site.queue.occupied(self._site.spec.name, path)
        self.places.offered(path, root, two=self._has_two_sources, runs=runs)

    def arrived(self, path: str, at: Moment) -> None:
        """Something is published here (`Places.arrived`)."""
        if self.places.arrived(path):
            self._hold_source(at, two=True)

    def require_same_disk(self, listing: Listing, at: Moment) -> None:
        """A directory may be looked at before the one that holds it, which would tell that its disk is unmounted."""
        row = self._site.ledger.row(self._site.id, listing.directory) if listing.directory else None
        if row is None or row.kind is not Kind.DIR:
            return
        swapped = swapped_directory(listing.directory, row, mount_point=listing.mount_point)
        if swapped is None:
            # `pass_ended` draws the conclusion.
            self.places.back(listing.directory)
        else:
            self.swapped(swapped, at)

    def took_disks_away(self, directory: str, at: Moment) -> bool:
        """Whether a directory that is gone was a mount point, or had some: what was there is withheld."""
        disks = self.places.disks_of(directory)
        for disk in disks:
            self.swapped(disk, at)
        return bool(disks)

    def pass_ended(self, at: Moment) -> None:
        """Everything that was to be compared has been: holds that have become pointless end, old absences count."""
        self._look_again_after_pass(at)
        self._all_seen = True
        if self._is_published_source():
            self._discard.all_seen()
        self._unsure = self.absent.allowed_paths
        self._forget_decisions()
        self.places.keep_recorded()
        if self.hold is None:
            return
        keeps = self._site.spec.deletes is DeletePolicy.KEEP
        if self.hold.kind is HoldKind.MASS_DELETE and (keeps or not self.absent.files):
            self._release("nothing is left to delete", at)
        elif self.hold.kind in _OTHER_SOURCE and self.places.are_as_published:
            self._release("the folder that was published before is back", at)
            # What an earlier decision is about is known when all has been seen of this folder.
            self._site.dirty.mark_deep("", at.now)

    def _look_again_after_pass(self, at: Moment) -> None:
        """What is gone was not found under another name: now it is dealt with like anything that is gone."""
        if len(self._after_pass) > MARKED_AT_ONCE:
            for directory in {parent(path) for path in self._after_pass}:
                self._site.dirty.mark_directory(directory, at.now)
        else:
            for path in self._after_pass:
                self._site.dirty.mark(path, at.now)
        self._after_pass.clear()

    def _forget_decisions(self) -> None:
        """What is no longer ours (newly excluded, for instance) will not be deleted, whatever was allowed."""
        ledger, mapping = self._site.ledger, self._site.id
        for path in ledger.in_bulk.unknown(mapping, self._unsure[-ASKED_AT_ONCE:]):
            self.absent.back(path)
        del self._unsure[-ASKED_AT_ONCE:]
        self.changed_there.forget_unknown()

    def _is_published_source(self) -> bool:
        """Whether what is not in this folder is gone: no other folder or disk is in its place."""
        return self.hold is None or self.hold.kind is HoldKind.MASS_DELETE

    @property
    def unmounted(self) -> bool:
        """Whether it is held because the disk of the root is most likely not there."""
        if self._has_two_sources:
            return self.places.on_another_disk
        return self.hold is not None and self.hold.kind is HoldKind.UNMOUNTED_SOURCE

    @property
    def _has_two_sources(self) -> bool:
        return self.hold is not None and self.hold.kind is HoldKind.TWO_SOURCES

    def _hold_source(self, at: Moment, *, two: bool = False) -> None:
        kind, message = self.places.why_held(two=two or self._has_two_sources)
        if self.hold is not None and (self.hold.kind, self.hold.message) == (kind, message):
            return
        if not two or self._is_published_source():
            # Not where something arrived of a folder whose absences are withheld already: they are what they were.
            self._stop()
            self._site.dirty.mark_deep("", at.now)
        self._put_on_hold(kind, message, at)

    def _stop(self) -> None:
        """Take back every delete that has not begun."""
        self.absent.clear()
        self._all_seen = False
        self._discard.interrupted()
        self._after_pass.clear()
        self._unsure.clear()
        self._clearing.stop()
        self.takes_back = True
        self.take_back_some()

    def take_back_some(self) -> None:
        """Go on with taking back deletes that have not begun (`takes_back`)."""
        self.takes_back = self._site.queue.withdraw_some(self._site.spec.name, Delete | RemoveDir)

    # ── what is gone ─────────────────────────────────────────────────────────────────────────────────────────

    def gone(self, path: str, kind: Kind, at: Moment, *, gone_s: float = 0.0) -> bool:
        """A published path is gone: wait, withhold or delete.

        Args:
            path: it.
            kind: what was published.
            at: now.
            gone_s: for how many seconds it has been gone at least; told by a pass only, which may yet find it under
                another name.

        Returns:
            False if it is to be dropped from the ledger and kept at the server (`dropped` is told when it has been).
        """
        site = self._site
        queued = site.queue.waiting(site.spec.name, path)
        if isinstance(queued, Delete | RemoveDir):
            return True
        if self.absent.is_doomed(path):
            if self._clearing.is_at_work_on(path):
                site.dirty.mark(path, at.now + max(site.spec.delete_after_s, LOOK_AGAIN_S))
                return True
            # Something in it could not be deleted, or was there again for a moment.
            self.absent.spare(path)
        site.queue.withdraw(site.spec.name, path)
        known = self.absent.since(path) is not None
        if kind is Kind.FILE:
            since = self.absent.note(path, 1, at.now - gone_s)
        else:
            since = self.absent.note_directory(path, self._files_to_go(path), at.now - gone_s)
        if self._discard.is_about(path, since, known_source=self._is_published_source()):
            return False
        due = since + site.spec.delete_after_s
        if due > at.now:
            site.dirty.mark(path, due)
        elif gone_s and not known:
            self._after_pass.add(path)
        elif self.hold is None:
            return self._gone_for_good(path, kind, at)
        return True

    def dropped(self) -> None:
        """All that was to be dropped from the ledger has been."""
        self._discard.end_if_over()

    def _files_to_go(self, directory: str) -> int:
        """How many published files are below a directory that is gone, but for those that get other names."""
        site = self._site
        leaving = sum(self._files_at(path) for path in site.queue.leaving(site.spec.name, directory))
        return max(0, site.ledger.in_bulk.files_below(site.id, directory) - leaving)

    def _files_at(self, path: str) -> int:
        row = self._site.ledger.row(self._site.id, path)
        if row is None or row.kind is Kind.FILE:
            return int(row is not None)
        return self._site.ledger.in_bulk.files_below(self._site.id, path)

    def leaves(self, path: str) -> None:
        """What is published here gets another name: it is not deleted with a directory above it that is gone."""
        self.absent.leaves(path, self._files_at(path))

    def _gone_for_good(self, path: str, kind: Kind, at: Moment) -> bool:
        """Nothing is to be awaited any more; the answer is that of `gone`."""
        if self._site.spec.deletes is DeletePolicy.KEEP:
            self.absent.back(path)
            return False
        if self._within_limit(at):
            self.absent.admit(path, at.now)
            self._delete(path, kind)
        return True

    def _within_limit(self, at: Moment) -> bool:
        if self.absent.allowed(self._limit, at.now):
            return True
        self._too_many = TooMany(self._limit, self.absent.recent)
        message = self._too_many.message(self._site.spec.name, self.absent, at.now)
        self._put_on_hold(HoldKind.MASS_DELETE, message, at)
        return False

    @property
    def _limit(self) -> int:
        return self._site.spec.max_deletes.of(self._site.ledger.totals(self._site.id).files)

    def _tell_how_many(self, at: Moment) -> None:
        """Have the hold of a mass delete tell of what was found gone since, too: a decision is about all of it."""
        if self.hold is None or self.hold.kind is not HoldKind.MASS_DELETE:
            return
        if self._too_many is None and self._all_seen and self.absent.files > self._limit:
            # What was deleted in the minute before is not known any more.
            self._too_many = TooMany(self._limit, 0)
        if self._too_many is not None and self._too_many.is_news(self.absent, at.now):
            self.hold = self.hold._replace(message=self._too_many.message(self._site.spec.name, self.absent, at.now))
            self._site.ledger.decisions.set_hold(self._site.id, self.hold)

    def _delete(self, path: str, kind: Kind) -> None:
        if kind is Kind.FILE:
            self._site.queue.offer(self._delete_action(path))
        else:
            self._clearing.begin(path)

    def _delete_action(self, path: str) -> Delete:
        spec = self._site.spec
        trash = ""
        if spec.deletes is DeletePolicy.TRASH:
            trash = names.trash(spec.remote, self._site.today(), path)
        row = self._site.ledger.row(self._site.id, path)
        # Of a row in doubt the open intent tells which others it may have after a crash (`Intents.begin`).
        sizes = (row.fingerprint.size,) if row is not None and path not in self.changed_there else ()
        return Delete(spec.name, path, trash, sizes)

    def go_on(self, at: Moment) -> None:
        """Go on deleting directories that are gone, as far as the queue has room."""
        self._tell_how_many(at)
        if self._unsure:
            self._forget_decisions()
        self._clearing.go_on(at)

    def seen(self, listing: Listing) -> None:
        """What is on disk was not deleted: a decision about its deletion is over."""
        self.absent.there(listing.directory)
        self.changed_there.seen(listing)

    def spare(self, directory: str) -> None:
        """A directory that is gone was found under another name: nothing in it is deleted."""
        self.leaves(directory)
        self.absent.back(directory)
        self.absent.spare(directory)

    def emptied(self, directory: str) -> bool:
        """Something in a directory is gone from the server (`Clearing.emptied`)."""
        return self._clearing.emptied(directory)

    # ── what people decide ───────────────────────────────────────────────────────────────────────────────────

    def approve_some(self) -> bool:
        """Right before `approve`: note some of what it is about, at each call in a turn of its own.

        Nothing of it is done before: the hold is there still.

        Returns:
            Whether there is more.
        """
        return self.hold is not None and not self._source_unseen and self.absent.approve_some()

    def approve(self, at: Moment) -> str:
        """A person wants what is withheld to be done."""
        site = self._site
        if self._source_unseen:
            return self._undecided
        files = self.changed_there.approve()
        if self.hold is None and not files:
            return f"{site.spec.name}: nothing is held"
        unseen = self.hold is not None and self._seen_in_part
        if self.hold is not None:
            files += self.absent.approve()
            self._discard.overruled()
            self._accept_source()
            self._release("approved", at)
        site.dirty.mark_deep("", at.now)
        later = "; not everything was looked at yet: other deletes follow the usual rules" if unseen else ""
        return f"{site.spec.name}: {_decided(files, 'approved')}{later}"

    def discard(self, at: Moment) -> str:
        """A person wants what is withheld never to be done: the files stay at the server, unmanaged."""
        site = self._site
        if self._source_unseen:
            return self._undecided
        changed = self.changed_there.undecided
        if self.hold is None and not changed:
            return f"{site.spec.name}: nothing is held"
        files = len(changed)
        unseen = False
        for path in changed:
            self.changed_there.discard(path)
            self.forgotten(path)
            self.emptied(parent(path))
        if self.hold is not None:
            files += self.absent.files
            unseen = self._seen_in_part
            self._discard.begin(at.now, unseen=unseen)
            self._accept_source()
            self._release("discarded", at)
            site.dirty.mark_deep("", at.now)
        later = "; not everything was looked at yet: what else is found to be gone stays there, too" if unseen else ""
        return f"{site.spec.name}: {_decided(files, 'discarded; the files stay at the server')}{later}"

    @property
    def _source_unseen(self) -> bool:
        """Whether a decision would be about a folder of which it is not known yet which it is."""
        return not self._is_published_source() and self.places.root is None and not self.places.any_swapped

    @property
    def _undecided(self) -> str:
        why = self.missing or "its folder is still being looked at; say it again in a moment"
        return f"{self._site.spec.name}: nothing was decided: {why}"

    @property
    def _seen_in_part(self) -> bool:
        """Whether more may be gone than is known; below a directory on another disk, nothing was looked for."""
        return not self._all_seen or self.comparing() or self.places.any_swapped

    def _accept_source(self) -> None:
        self.places.accept()
        if self.places.root is not None:
            self._site.folder.root = self.places.root

    def deleted(self, path: str) -> None:
        """A file is gone from the server."""
        self.absent.deleted(path)
        self.changed_there.over(path)

    def _put_on_hold(self, kind: HoldKind, message: str, at: Moment) -> None:
        # With names in it that may be no text for a database.
        message = one_line(message)
        self.hold = Hold(kind, at.wall_ns, message)
        self._site.ledger.decisions.set_hold(self._site.id, self.hold)
        self._site.tell(EventKind.HELD, message=message, at_ns=at.wall_ns)

    def _release(self, why: str, at: Moment) -> None:
        self.hold = None
        # What was withheld is looked at again: nobody else would before the next scan.
        paths = self.absent.paths
        if len(paths) > MARKED_AT_ONCE:
            self._site.dirty.mark_deep("", at.now)
        else:
            for path in paths:
                self._site.dirty.mark(path, 0.0)
        self._site.ledger.decisions.set_hold(self._site.id, None)
        self._site.tell(EventKind.RELEASED, message=why)


def _decided(files: int, done: str) -> str:
    """What a person is told whose decision was about so many files that are gone."""
    if not files:
        return "the folder is accepted as it is; no delete was held"
    return f"{files} {'delete' if files == 1 else 'deletes'} {done}"
