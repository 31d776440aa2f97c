"""What is offered to the server's queue: actions with the directories they need, and what was renamed.

In: decisions of the plan, listings. Out: actions for the queue, marks on what has to be looked at again. One per
mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.extent import ASKS, MAKES_DIRECTORY, MOVES, SENDS, arrives, keys_of
from ftpsyncd.core.plan import Selection
from ftpsyncd.core.turn import Order
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.mapping.inquiries import Inquiries
from ftpsyncd.mapping.kin import Kin
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site, Slices
from ftpsyncd.model import Entry, Fingerprint, Kind, Listing, Presence, Row
from ftpsyncd.paths import above, basename, parent

SEEN_KEPT = 4096
"""Directories that are noted until something in them is to be published; a way down has half as many at most."""
REFUSED_KEPT = 1000
"""Of more directories that the server would not rename, the first ones are tried once more."""


class Offers:
    """The way from one mapping to its server's queue.

    Args:
        site: the mapping.
        inquiries: what has to be known of the server first.
        spare: is told of a directory that only got another name: nothing of it is gone.
        selection: which paths are published.
        are_two_disks: whether one path was on another disk than another path is now (`Places`).
        is_coming: whether a file is at a path that is not at rest yet.
    """

    def __init__(
        self,
        site: Site,
        inquiries: Inquiries,
        spare: Callable[[str], None],
        selection: Selection,
        are_two_disks: Callable[[str, str], bool],
        is_coming: Callable[[str], bool],
    ) -> None:
        self.again: set[str] = set()
        """To be looked at when what runs about them has ended."""
        self._passed_over: dict[str, None] = {}
        """Directories that were not entered: whether what they hold is new depends on what is done about them first."""
        self._not_renamed: dict[str, None] = {}
        """Directories that the server would not rename: they are made anew."""
        self._site = site
        self._name = site.spec.name
        self._queue = site.queue
        self._inquiries = inquiries
        self._spare = spare
        self._are_two_disks = are_two_disks
        self._is_coming = is_coming
        self._kin = Kin(site, selection)
        self._known_directories: set[str] = set()
        self._seen: dict[str, tuple[int, bool, int]] = {}
        """Of directories that were listed as a whole and are not recorded: which it is, whether a mount point, and of
        which file system."""

    def listed(self, listing: Listing) -> None:
        """A directory that is there was looked at: should it have to be made, it is known which it is.

        Not where only some names were asked for: recorded as a known one, it counts as looked through.
        """
        directory = listing.directory
        if listing.names is not None:
            if directory in self._seen and self._seen[directory][0] != listing.inode:
                # So may those above it be others: a disk may have been mounted on one.
                for each in chain((directory,), above(directory)):
                    self._seen.pop(each, None)
        elif self.is_recorded(directory):
            self._not_renamed.pop(directory, None)
        else:
            self._seen.pop(directory, None)
            self._seen[directory] = listing.inode, listing.mount_point, listing.filesystem
            if len(self._seen) > SEEN_KEPT:
                del self._seen[next(iter(self._seen))]

    def offer(self, action: Action, order: Order) -> None:
        """Queue an action, behind the directories that it needs.

        Args:
            action: what is to be done.
            order: when it has its turn, and the directories that it needs.
        """
        if self._queue.occupied(self._name, action.path) or self._inquiries.settles_first(action):
            path = action.path
            self.again.add(path)
            # What is asked first may be about one of those.
            while (path := parent(path)) and not self.is_recorded(path):
                self.again.add(path)
            return
        directories = []
        for directory in above(action.path):
            if self.is_recorded(directory) or self._queue.occupied(self._name, directory):
                break
            if isinstance(self._queue.waiting(self._name, directory), MAKES_DIRECTORY):
                # Those above it were offered with it.
                break
            directories.append(directory)
        for ancestor in reversed(directories):
            inode, mount_point, filesystem = self._seen.pop(ancestor, (0, False, 0))
            self._queue.offer(MakeDir(self._name, ancestor, inode, mount_point, filesystem=filesystem), order)
        self._queue.offer(action, order)

    def require_directories(self, path: str, at: Moment) -> None:
        """The server has something under a path, and so the directories above it: record those that are not.

        What is in a directory that the ledger does not have would never be found gone. One that is not on disk any more
        is treated like any that is gone; of one that is, the next look tells which it is.
        """
        ledger, mapping = self._site.ledger, self._site.id
        while (path := parent(path)) and not self.is_recorded(path):
            ledger.put(mapping, path, Row(Kind.DIR, Fingerprint(0, 0, 0), b"", at.wall_ns))
            self._site.dirty.mark(path, at.now)

    def is_recorded(self, directory: str) -> bool:
        """Whether the ledger has a directory of this path."""
        if directory in self._known_directories:
            return True
        row = self._site.ledger.row(self._site.id, directory)
        if row is None or row.kind is not Kind.DIR:
            return False
        if len(self._known_directories) >= QUEUE_ROOM:
            self._known_directories.clear()
        self._known_directories.add(directory)
        return True

    def directory_gone(self, directory: str) -> None:
        """The ledger does not have a directory under this path any more."""
        prefix = f"{directory}/"
        self._known_directories = {d for d in self._known_directories if d != directory and not d.startswith(prefix)}

    def not_renamed(self, directory: str) -> None:
        """The server would not rename a directory to this path: it is made anew, and not renamed until it is gone."""
        self._not_renamed[directory] = None
        if len(self._not_renamed) > REFUSED_KEPT:
            del self._not_renamed[next(iter(self._not_renamed))]

    def rename_all(self) -> None:
        """A person wants what the server would not do to be tried again."""
        self._not_renamed.clear()

    def any_not_renamed(self, path: str) -> bool:
        """Whether the server would not rename a directory to this path, or below it."""
        return any(each == path or each.startswith(f"{path}/") for each in self._not_renamed)

    def not_there(self, path: str) -> None:
        """There is no directory of this path: the next one, or one below it, is another one."""
        for each in [each for each in self._not_renamed if each == path or each.startswith(f"{path}/")]:
            del self._not_renamed[each]

    def directory_rename(self, listing: Listing, order: Order, at: Moment) -> Slices[bool]:
        """Whether a directory that the ledger does not know is a known one under a new name; that is offered, then.

        The inode says which. Those of deleted directories are used again, perhaps with all that is in them: the content
        must agree, and it must not have been made since the known one was published.
        """
        path = listing.directory
        if not path or not listing.inode or path in self._not_renamed or self.is_recorded(path):
            return False, at
        at_work = self._queue.at_work(self._name, path)
        if isinstance(at_work, MakeDir) and at_work.inode == listing.inode:
            # Put off, the look would not come back: once it is recorded as this very one, nothing has it entered.
            return False, at
        if at_work is not None:
            self.again.add(path)
            self._passed_over[path] = None
            return True, at
        for source in self._site.ledger.inodes.directories(self._site.id, listing.inode):
            # The folder that was published may be in the one that is now: nothing can be renamed into itself.
            if not source or source == path or path.startswith(f"{source}/") or self.moves_from(source):
                continue
            row = self._site.ledger.row(self._site.id, source)
            if (row is not None and listing.made_wall_ns > row.published_ns) or self._are_two_disks(source, path):
                continue
            renamed, at = yield from self._kin.alike(source, listing, at)
            if renamed:
                renamed, at = yield from self._kin.stays_selected(source, path, at)
            # Some turns later, an action that ran may have made something else of either.
            if renamed and self._is_ours(source) and self._is_still(source, listing):
                self._rename_directory(RenameDir(self._name, path, source, listing.inode), order)
                self._passed_over[path] = None
                return True, at
        return False, at

    def _is_still(self, source: str, listing: Listing) -> bool:
        """Whether a directory is the published one, and the listed one is not known."""
        row = self._site.ledger.row(self._site.id, source)
        known = row is not None and row.kind is Kind.DIR and row.fingerprint.inode == listing.inode
        return known and not self.moves_from(source) and not self.is_recorded(listing.directory)

    def _rename_directory(self, rename: RenameDir, order: Order) -> None:
        if self._inquiries.settles_first(rename):
            self.again.add(rename.path)
            return
        self._queue.withdraw(self._name, rename.source)
        self._queue.withdraw_below(self._name, rename.source)
        self._spare(rename.source)
        self.offer(rename, order)

    @property
    def passed_over(self) -> str | None:
        """A directory that was not entered: what seems to be gone may be in it. None if there is none."""
        return next(iter(self._passed_over), None)

    def all_compared(self) -> None:
        """All that can be looked at has been: what was done about has been entered, too, or is not there any more."""
        while (directory := self.passed_over) is not None and not self._is_undecided(directory):
            del self._passed_over[directory]

    def _is_undecided(self, directory: str) -> bool:
        """Whether a rename or a question about a directory, or about one above it, waits, or anything about it runs."""
        waiting, name = self._queue.waiting, self._name
        return any(
            isinstance(waiting(name, each), RenameDir | Sweep) or self._queue.occupied(name, each)
            for each in chain((directory,), above(directory))
        )

    def _is_ours(self, directory: str) -> bool:
        """Whether nothing in a directory is known to have been changed at the server: that would get the new names."""
        return not self._site.ledger.failures.any_changed_below(self._site.id, directory)

    def not_performed(self, action: Action, at: Moment) -> None:
        """An action's turn came, and the ledger did not call for it any more: what waited for its end is looked at."""
        self.look_again(action, at)
        if isinstance(action, Delete | RemoveDir):
            # A hold that began meanwhile withholds it, too: it is counted, and told, with what is held, and goes out
            # when that is over.
            self._site.dirty.mark(action.path, at.now)
        if isinstance(action, Rename):
            # The server has another file at its source by now: it is sent.
            for _, path in keys_of(action):
                self._site.dirty.mark(path, at.now)
        if isinstance(action, RenameDir):
            # Its source has another path now, moved with a directory above it. What the target holds is still to come.
            self.not_brought(action.path, at)
            self._site.dirty.mark(action.path, at.now)

    def not_brought(self, directory: str, at: Moment) -> None:
        """A directory did not get this name: what waits below it is planned anew, behind what makes the directory.

        Begun now, it would be made for something in it, and nothing would be open about it.
        """
        self._queue.withdraw_below(self._name, directory, MakeDir | Upload | Rename | RenameDir)
        self._site.dirty.mark_deep(directory, at.now)

    def look_again(self, action: Action, at: Moment) -> None:
        """An action is over: look at what had to wait for its end."""
        for _, path in keys_of(action) if self.again else ():
            if path in self.again:
                self.again.discard(path)
                self._site.dirty.mark(path, at.now)
                if self.is_recorded(path):
                    # What was seen in it was passed over, and a look at the directory above does not enter it.
                    self._site.dirty.mark_directory(path, at.now)
        if isinstance(action, MOVES):
            self._look_above(action.source, at.now)

    def _look_above(self, source: str, now: float) -> None:
        """Nothing leaves this path any more: look at the directories above that had to wait for it."""
        while self.again and source:
            source = parent(source)
            if source in self.again:
                self.again.discard(source)
                self._site.dirty.mark(source, now)

    def take_over(self, now: float) -> None:
        """What a rename was to take away at the server, and does not: now somebody else has to."""
        for path in self._queue.freed(self._name):
            self.again.discard(path)
            self._site.dirty.mark(path, now)
            self._look_above(path, now)
            if self._site.spec.follow_symlinks and self.is_recorded(path):
                # A directory that a link led to for a moment: what waited below it was taken back.
                self._site.dirty.mark_deep(path, now)

    def doubt_under_way(self, listing: Listing) -> None:
        """What an action that runs is about is not as that would leave it: look once more when it has ended.

        Until then the ledger has what was there before. A file that is not on disk any more has no row yet by which it
        could be found gone; one that is as it was before seems to be published.
        """
        for path, action in self._queue.under_way.of(self._name):
            if self._differs(listing, path, action):
                self.again.add(path)

    @staticmethod
    def _differs(listing: Listing, path: str, action: Action) -> bool:
        if listing.presence is Presence.ABSENT:
            return arrives((action.mapping, path), action) and path.startswith(f"{listing.directory}/")
        name = basename(path)
        if listing.presence is not Presence.PRESENT or parent(path) != listing.directory:
            return False
        if listing.names is not None and name not in listing.names:
            return False
        return not _is_left_by(action, path, listing.entries.get(name))

    def moved_from(self, path: str, fingerprint: Fingerprint, now: float) -> tuple[str, Row] | None:
        """A published file with this fingerprint that is known, or may well be, gone from its path.

        Not one that somebody changed at the server: what is there is not what is to be published. Nor one that was on
        another disk than this file, as far as that is noted. Nor one that may leave with its directory for a minute
        yet: this file is sent, and what is left of that one is no delete (`leftbehind`). But one that is waited for
        only until the server has answered, if there is no other.

        Args:
            path: where it is now.
            fingerprint: it.
            now: monotonic seconds.
        """
        ledger, mapping = self._site.ledger, self._site.id
        may_have_left, stays = None, []
        files = ledger.inodes.files(mapping, fingerprint)
        for source, row in files:
            failure = ledger.failures.of(mapping, source)
            changed = failure is not None and failure.kind == CHANGED
            if changed or self._is_taken(source, path) or self._are_two_disks(source, path):
                continue
            leaving = self._inquiries.may_leave(source, now)
            if leaving is None:
                return source, row
            if leaving.asked:
                may_have_left = source, row
            else:
                stays.append(source)
        if may_have_left is None:
            for source in stays:
                links = tuple(other for other, _ in files if other not in {path, source})
                self._site.moves.stays_behind(source, path, fingerprint, links, now)
        return may_have_left

    def _is_taken(self, source: str, path: str) -> bool:
        """Whether what is published under one path is to get another name than this one, or is there as another file.

        Such a file would be renamed, or sent, first: the rename of what it takes the place of would come to nothing.
        One that is still being written is sent in a moment, and until then the server keeps what it has there.
        """
        waiting = self._queue.waiting(self._name, path)
        if isinstance(waiting, Rename) and waiting.source == source:
            return False
        if self._queue.moves_from(self._name, source) or any(self._queue.files(self._name, source)):
            return True
        return self._is_coming(source)

    def comes_back(self, path: str, now: float) -> None:
        """Another file is at a path, and not at rest: what waits to be renamed from there is planned anew.

        Should it be gone again before its turn comes, its absence counts from then. Not if there was no room to note
        it (`Waits`): the same would be planned, again and again.
        """
        if not (self._queue.moves_from(self._name, path) and self._is_coming(path)):
            return
        for target in self._queue.waiting_paths(self._name):
            action = self._queue.waiting(self._name, target)
            if isinstance(action, Rename) and action.source == path:
                self._queue.withdraw(self._name, target)
                self._site.dirty.mark(target, now)

    def moves_from(self, path: str) -> bool:
        """Whether a rename away from this path waits, runs, or is still to be cleared up."""
        return self._queue.moves_from(self._name, path) or self._inquiries.moves(path)


def _is_left_by(action: Action, path: str, entry: Entry | None) -> bool:
    """Whether what is on disk under one of an action's paths is what the server has there when it is done."""
    if isinstance(action, ASKS):
        return True
    if not arrives((action.mapping, path), action):
        return entry is None
    if entry is None:
        return False
    if isinstance(action, SENDS):
        return entry.fingerprint == action.fingerprint
    return entry.kind is Kind.DIR
