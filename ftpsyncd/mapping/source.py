"""The folder that a mapping is published from: whether it is there, and whether it is the one that it was.

In: what looks at the disk tell of the root and of the disks in it, and what is published. Out: a hold where another
folder or disk is in their place, since what is not there is not known to be gone then (`places` knows which they are).
One per mapping, part of its `removals`.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.core.swapped import Swapped, swapped_directory
from ftpsyncd.events import EventKind
from ftpsyncd.logs import one_line
from ftpsyncd.mapping.holding import Holding
from ftpsyncd.mapping.places import Places
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Disk, HoldKind, Kind, Listing, RootIdentity
from ftpsyncd.paths import above
from ftpsyncd.quoting import as_word

_OTHER = frozenset({HoldKind.REPLACED_SOURCE, HoldKind.UNMOUNTED_SOURCE})


class Source:
    """The root of one mapping, and what follows from it for deletes.

    Args:
        site: the mapping.
        holding: where deletes are withheld.
        stop: takes back every delete that has not begun.
    """

    def __init__(self, site: Site, holding: Holding, stop: Callable[[], None]) -> None:
        self._site = site
        self._holding = holding
        self._stop = stop
        self.missing = ""
        """Why it cannot be read; empty if it can."""
        self.missing_since = 0.0
        """When that was noticed (monotonic seconds)."""
        self.places = Places(site.spec, site.id, site.ledger)
        hold = holding.hold
        self._told = hold.message if hold is not None and hold.kind is HoldKind.REPLACED_SOURCE else None
        """Why deletes were held before the start, until all has been seen: what is found then may be just that."""

    def __repr__(self) -> str:
        return f"<Source {self.places!r} missing={self.missing!r}>"

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_published(self) -> bool:
        """Whether what is not in this folder is gone: no other folder or disk is in its place."""
        return self._holding.kind in {None, HoldKind.MASS_DELETE}

    @property
    def unmounted(self) -> bool:
        """Whether deletes are held because the disk of the root is most likely not there."""
        if self._are_two:
            return self.places.on_another_disk
        return self._holding.kind is HoldKind.UNMOUNTED_SOURCE

    @property
    def unseen(self) -> bool:
        """Whether a decision would be about a folder that cannot be read, or of which nobody knows yet which it is."""
        unknown = not self.is_published and self.places.root is None and not self.places.any_swapped
        return bool(self.missing) or unknown

    @property
    def _are_two(self) -> bool:
        return self._holding.kind is HoldKind.TWO_SOURCES

    # ── what is seen of it ───────────────────────────────────────────────────────────────────────────────────

    def lost(self, why: str, now: float) -> None:
        """The root cannot be read: nothing can be concluded, nothing is deleted."""
        if not self.missing:
            self.missing_since = now
            self._site.tell(EventKind.SOURCE_MISSING, message=f"{why}; nothing is deleted at the server")
        self.missing = why
        self._site.folder.root = None
        self._stop()

    def found(self, root: RootIdentity, at: Moment, numbered: RootIdentity | None = None) -> None:
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
            if self._are_two:
                self._hold(at)
        else:
            site.folder.root = None
            self._hold(at)

    def swapped(self, swapped: Swapped, at: Moment) -> None:
        """Another file system is where a directory was."""
        known = self._holding.kind in _OTHER and (swapped.link or not self.places.may_be_published)
        if self.places.is_news(swapped) and not (self._are_two or known):
            # Of many links one is told of at once, and when a pass is over how many there are. Of another folder in the
            # root's place it goes on being told.
            self._about_disks_now(at, known=self._told is not None)

    def _about_disks(self) -> str:
        """Why deletes are held: of the directories that are on another file system than they were, in words."""
        first, *others = self.places.why_swapped()
        more = f" (and {len(others)} more)" if others else ""
        accepts = f"`ftpsyncd approve {as_word(self._site.spec.name)}` accepts the folder as it is"
        return one_line(f"{first}{more}: nothing is deleted at the server; {accepts}")

    def _about_disks_now(self, at: Moment, *, known: bool) -> None:
        """Deletes are held because of disks; known: people were told of that already, if perhaps in other words."""
        if known and self._holding.kind is HoldKind.REPLACED_SOURCE:
            self._holding.reword(self._about_disks())
        else:
            self._holding.put(HoldKind.REPLACED_SOURCE, self._about_disks(), at)

    def require_same_disk(self, listing: Listing, at: Moment) -> None:
        """A directory may be looked at before the one that holds it, which would tell that its disk is unmounted.

        Or before its mount point, which would tell that the disk is back: what is seen there is not seen elsewhere.
        """
        if listing.disk is not None and self.places.any_swapped:
            self._is_on(listing.disk, listing.device, at)
        row = self._site.ledger.row(self._site.id, listing.directory) if listing.directory else None
        if row is None or row.kind is not Kind.DIR:
            self.places.listed(listing)
            return
        mounted, filesystem, device = listing.mount_point, listing.filesystem, listing.device
        swapped = swapped_directory(listing.directory, row, mount_point=mounted, filesystem=filesystem, device=device)
        if swapped is None:
            self._back(listing.directory, at)
            if row.device in {1, device} and mounted and filesystem not in {0, row.device}:
                self._site.ledger.put(self._site.id, listing.directory, row._replace(device=filesystem))
        else:
            self.swapped(swapped, at)

    def require_same_disk_above(self, listing: Listing, at: Moment) -> None:
        """Something in a directory is gone: is all that was mounted above it mounted still, and nothing else?

        It may be looked at before the mount point, as where it is polled by itself, or while a pass has not come to
        that; and what is below a mount point may have directories of the same names.
        """
        disk, places = listing.disk, above(listing.directory)
        # Through a link that is followed, what a disk is mounted on has another path.
        if not listing.disk_told or (disk is not None and disk.point not in places):
            return
        for each in places:
            here = disk is not None and each == disk.point
            filesystem, device = (disk.filesystem, listing.device) if disk is not None and here else (0, 0)
            row = self._site.ledger.row(self._site.id, each)
            if row is not None and row.kind is Kind.DIR:
                swapped = swapped_directory(each, row, mount_point=here, filesystem=filesystem, device=device)
                if swapped is not None:
                    self.swapped(swapped, at)
            if here:
                return

    def _is_on(self, disk: Disk, device: int, at: Moment) -> None:
        """A directory is on a disk: that is back, if its mount point would tell so."""
        row, filesystem = self._site.ledger.row(self._site.id, disk.point), disk.filesystem
        if row is None or row.kind is not Kind.DIR or not row.device:
            return
        if swapped_directory(disk.point, row, mount_point=True, filesystem=filesystem, device=device) is None:
            self._back(disk.point, at)

    def _back(self, directory: str, at: Moment) -> None:
        # `pass_ended` draws the conclusion: where folders are polled, nothing else begins a pass for a mount.
        if self.places.back(directory) and self._holding.kind in _OTHER:
            self._site.dirty.mark_deep("", at.now)

    def took_disks_away(self, directory: str, at: Moment) -> bool:
        """Whether a directory that is gone was a mount point, or had some: what was there is withheld."""
        disks = self.places.disks_of(directory)
        for disk in disks:
            self.swapped(disk, at)
        return bool(disks)

    def pass_ended(self, at: Moment) -> None:
        """Everything was looked at: perhaps it is all as it was published."""
        self.places.keep_recorded()
        self._keep_under_way()
        told, self._told = self._told, None
        if self._holding.kind in _OTHER and self.places.are_as_published:
            self._holding.is_back("the folder that was published before is back", at)
            # What an earlier decision is about is known when all has been seen of this folder.
            self._site.dirty.mark_deep("", at.now)
        elif self._holding.kind in _OTHER and self.places.root_is_back:
            # What it tells of may be as it was by now, and another disk not: who approves decides about that one.
            self._about_disks_now(at, known=told in {None, self._about_disks()})

    # ── what is published from it ────────────────────────────────────────────────────────────────────────────

    def offered(self, path: str, root: RootIdentity | None) -> None:
        """Something is to be published here, as it was seen in a folder (`Places.offered`)."""
        runs = self._site.queue.occupied(self._site.spec.name, path)
        self.places.offered(path, root, runs=runs)

    def _keep_under_way(self) -> None:
        """Where something was seen matters until it is known whether it has arrived."""
        if not self.places.any_elsewhere:
            return
        site, name = self._site, self._site.spec.name
        begun = {path for path, _ in site.ledger.begun.of(site.id)}
        self.places.keep_under_way(
            lambda path: path in begun or site.queue.occupied(name, path) or site.queue.waiting(name, path) is not None
        )

    def arrived(self, path: str, at: Moment) -> None:
        """Something is published here (`Places.arrived`)."""
        where = self.places.arrived(path)
        if where == "":
            self._hold(at, two=True)
        elif where and self.places.any_swapped and self.places.root_is_back:
            if self._holding.kind is HoldKind.REPLACED_SOURCE:
                # Whoever decides by the words of a `sync` would be told by the next one that these are not so any more.
                self._holding.reword(self._about_disks())
            elif self._holding.kind not in {*_OTHER, HoldKind.TWO_SOURCES}:
                # It had ended, since all is mounted as it was.
                self._holding.put(HoldKind.REPLACED_SOURCE, self._about_disks(), at)

    def accept(self) -> None:
        """A person decided: from now on it is what is published."""
        self.places.accept()
        self._told = None
        if self.places.root is not None:
            self._site.folder.root = self.places.root

    def _hold(self, at: Moment, *, two: bool = False) -> None:
        hold = self._holding.hold
        kind, message = self.places.why_held(two=two or self._are_two)
        if hold is not None and (hold.kind, hold.message) == (kind, message):
            return
        if not two or self.is_published:
            # Not where something arrived of a folder whose absences are withheld already: they are what they were.
            self._stop()
            self._site.dirty.mark_deep("", at.now)
        self._holding.put(kind, message, at)
