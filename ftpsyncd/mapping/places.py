"""Which folder is in the place of a mapping's root, and which disks are in it: those that were published, or others.

In: what looks at the disk tell, and what is published. Out: whether what is not there can be taken for deleted, and in
words why not. What was published of another folder, or with a disk there that is not there otherwise, is out of sight
when everything is as it was; the ledger keeps that it was so. One per mapping, part of its `source`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain

from ftpsyncd.core.inside import Inside
from ftpsyncd.core.swapped import Swapped, swapped_away, swapped_directory
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.logs import one_line
from ftpsyncd.mapping.doubts import doubt_some_dated
from ftpsyncd.model import MIXED, HoldKind, Kind, Listing, RootIdentity
from ftpsyncd.paths import above, after_rename, basename, parent
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import MappingSpec

_OTHER_DISK = "on another file system than the folder that was published before: is its disk not mounted?"
_OTHER_FOLDER = "not the folder that was published before:"


class Places:
    """The root of one mapping, and the directories in it that are on another file system than they were.

    Args:
        spec: the mapping.
        mapping: its number in the ledger.
        ledger: knows the folder that was published.
    """

    def __init__(self, spec: MappingSpec, mapping: int, ledger: Ledger) -> None:
        self.root: RootIdentity | None = None
        """Which folder is there now, as far as is known."""
        self.published = ledger.mappings.root(mapping)
        self._spec = spec
        self._mapping = mapping
        self._ledger = ledger
        self._swapped: dict[str, Swapped] = {}
        """Directories that are on another file system than they were."""
        self._links: dict[str, Swapped] = {}
        """Files that a link led to on another file system, and leads to no more."""
        self._elsewhere = ledger.begun.elsewhere(mapping)
        """What is to be published and was seen in another folder than the published one (empty), or below a directory
        that is swapped. Also in the ledger: it may have arrived when the daemon is killed, and all be mounted as it was
        by the next start."""
        self._elsewhere_inside = Inside(self._elsewhere)
        for path in self._elsewhere:
            self._elsewhere_inside.add(path)
        self._new: dict[str, int] = {}
        """Mount points that the ledger does not have, and what is mounted on each, as in `Listing`; of this pass."""
        self._doubted: tuple[object, str] = (None, "")
        """Which other disks what is on them was doubted for, and up to which path so far (`doubt_some`)."""

    def __repr__(self) -> str:
        swapped = len(self._swapped) + len(self._links)
        return f"<Places root={self.root} published={self.published} swapped={swapped}>"

    @property
    def are_as_published(self) -> bool:
        """Whether everything is mounted as it was when it was published."""
        return self.root_is_back and not self.any_swapped

    @property
    def root_is_back(self) -> bool:
        """Whether the folder that was published is in the root's place, whatever is mounted in it."""
        return self.root is not None and self.root == self.published

    @property
    def may_be_published(self) -> bool:
        """Whether that folder is in the root's place, as far as is known."""
        return self.root is None or self.root_is_back

    @property
    def any_swapped(self) -> bool:
        """Whether a directory is on another file system than it was, or a link leads to none."""
        return bool(self._swapped or self._links)

    @property
    def on_another_disk(self) -> bool:
        """Whether a folder of another file system is in the root's place: its disk is most likely not there."""
        return (
            self.root is not None and self.published is not None and self.root.filesystem != self.published.filesystem
        )

    def are_two_disks(self, source: str, path: str) -> bool:
        """Whether what is published under one path was on another disk than what is under another path now.

        Their inodes say nothing about each other then: the one is out of sight, and did not become the other. One disk
        at two places, as where it is mounted elsewhere now, or bound, is known by its number.
        """
        if self.on_another_disk:
            return True
        if any(all(f"{each}/".startswith(f"{place}/") for each in (source, path)) for place in self._swapped):
            return True
        was = self._disk_of(source, self._recorded_on)
        return was is None or was != self._disk_of(path, self._mounted_on)

    def _disk_of(self, path: str, device_of: Callable[[str], int]) -> int | str | None:
        """On which disk something is: its number; the mount point where that has none; None: it may be on several."""
        for each in chain((path,), above(path)):
            if device := device_of(each):
                return None if device == MIXED else each if device < MIXED else device
        return self.published.filesystem if self.published is not None else 0

    def _recorded_on(self, directory: str) -> int:
        """As `Row.device`, as it was published."""
        row = self._ledger.row(self._mapping, directory)
        return row.device if row is not None and row.kind is Kind.DIR else 0

    def _mounted_on(self, directory: str) -> int:
        """The same as it was seen last."""
        if (swapped := self._swapped.get(directory)) is not None:
            return swapped.filesystem or int(swapped.mounted)
        return self._recorded_on(directory) or self._new.get(directory, 0)

    def root_is_published(self, numbered: RootIdentity | None) -> bool:
        """Whether the root is the folder that was published, or is from now on, since there is nothing to be lost.

        Args:
            numbered: the root by its inode alone, and the number of its device: an older ledger may know it by either.
        """
        if self.root == self.published:
            return True
        formerly = {None, numbered}
        if self.root is not None and numbered is not None:
            formerly.add(RootIdentity(numbered.inode, self.root.filesystem))
        known = self.published in formerly
        if not known and not self._ledger.is_empty(self._mapping):
            return False
        if not known:
            self._lose_sight([""])
        self._accept_root()
        return True

    def why_held(self, *, two: bool) -> tuple[HoldKind, str]:
        """Why nothing can be deleted because of the folder in the root's place, in words.

        Args:
            two: something was published of another folder than the one that was published before.
        """
        already = ", some were already; nothing" if two else ", nothing"
        if self.root == self.published:
            kind = HoldKind.TWO_SOURCES
            what = (
                "the folder that was published before, and files were published from another one in its place: nothing"
            )
        elif self.on_another_disk:
            kind, what = HoldKind.UNMOUNTED_SOURCE, f"{_OTHER_DISK} new files are published{already}"
        else:
            kind, what = HoldKind.REPLACED_SOURCE, f"{_OTHER_FOLDER} new files are published{already}"
        name = as_word(self._spec.name)
        words = one_line(
            f"{self._spec.local} is {what} is deleted; `ftpsyncd approve {name}` accepts the folder as it is, with its"
            f" deletes; `ftpsyncd discard {name}` accepts it and keeps what is at the server"
        )
        return (HoldKind.TWO_SOURCES if two else kind), words

    # ── Disks in the folder ────────────────────────────────────────────────────────────────────────────────────

    def is_news(self, swapped: Swapped) -> bool:
        """Note that another file system is where a directory was; whether that was not known."""
        noted = self._links if swapped.link else self._swapped
        known = noted.get(swapped.path)
        if known is not None and known.mounted is swapped.mounted:
            if swapped.filesystem or swapped.gone is not known.gone:
                # The directory above tells only that it is a mount point; and a third disk may be there by now. One
                # that is away may have its mount point again.
                noted[swapped.path] = swapped
            return False
        noted[swapped.path] = swapped
        return True

    def why_swapped(self) -> list[str]:
        """Of each of these that it is so; in the order of names, directories first."""
        return [swapped.why for noted in (self._swapped, self._links) for _, swapped in sorted(noted.items())]

    def listed(self, listing: Listing) -> None:
        """A directory that the ledger does not have was looked at: it may be a mount point."""
        if listing.mount_point:
            self._new[listing.directory] = listing.filesystem or 1
        else:
            self._new.pop(listing.directory, None)

    def back(self, directory: str) -> bool:
        """A directory is on the file system that it was on; whether that is news."""
        return self._swapped.pop(directory, None) is not None

    def seen(self, listing: Listing) -> None:
        """Links lead to files again, or are not there themselves, which is a person's doing."""
        for path in [path for path in self._links if parent(path) == listing.directory]:
            name = basename(path)
            entry, asked = listing.entries.get(name), listing.names is None or name in listing.names
            if asked and (entry is None or entry.kind is not Kind.OTHER):
                del self._links[path]

    def disks_of(self, directory: str) -> list[Swapped]:
        """Of a directory that is gone: itself, if it was a mount point, and those below it that were."""
        row = self._ledger.row(self._mapping, directory)
        disks = self._ledger.in_bulk.mount_points_below(self._mapping, directory)
        if row is not None and row.kind is Kind.DIR and row.device:
            disks.append(directory)
        return [swapped_away(disk) for disk in disks]

    def keep_recorded(self) -> None:
        """What the ledger has is to be known from it, and directories that it has no more are of no interest."""
        self._new.clear()
        for noted in (self._swapped, self._links):
            for path in [path for path in noted if self._ledger.row(self._mapping, path) is None]:
                del noted[path]

    # ── What is published from where ───────────────────────────────────────────────────────────────────────────

    def offered(self, path: str, root: RootIdentity | None, *, runs: bool) -> None:
        """Something is to be published here, as it was seen in a folder: perhaps not the one that it should be.

        Args:
            path: where.
            root: the folder.
            runs: what was seen there before is being published.
        """
        if root is not None and self.published is not None and root != self.published:
            self._was_seen(path, "")
            return
        if self._swapped:
            where = next((directory for directory in self._swapped if self._is_on(directory, path)), None)
            if where is not None:
                self._was_seen(path, where)
                return
        if not runs and path in self._elsewhere:
            self._drop([path])

    def _was_seen(self, path: str, where: str) -> None:
        if self._elsewhere.get(path) != where:
            self._elsewhere[path] = where
            self._elsewhere_inside.add(path)
            self._ledger.begun.set_elsewhere(self._mapping, path, where)

    def _drop(self, paths: Collection[str]) -> None:
        """Where these were seen does not matter any more."""
        for path in paths:
            del self._elsewhere[path]
            self._elsewhere_inside.discard(path)
        if paths:
            self._ledger.begun.clear_elsewhere(self._mapping, paths)

    @property
    def any_elsewhere(self) -> bool:
        """Whether anything is to be published that was seen elsewhere, as far as is known."""
        return bool(self._elsewhere)

    def seen_elsewhere(self, path: str) -> list[str]:
        """What is to be published at a path, or below it, and was seen elsewhere."""
        return [*([path] if path in self._elsewhere else []), *self._elsewhere_inside.below(path)]

    def keep_under_way(self, is_under_way: Callable[[str], bool]) -> None:
        """What was seen elsewhere and is not going to be published any more is of no interest."""
        self._drop([path for path in self._elsewhere if not is_under_way(path)])

    def moved(self, source: str, target: str) -> None:
        """A directory was renamed at the server, with what may have arrived in it."""
        for path, where in list(self._elsewhere.items()):
            after = after_rename(path, source, target)
            where_after = target if where == source else after_rename(where, source, target)
            if (after, where_after) != (path, where):
                self._drop([path])
                self._was_seen(after, where_after)

    def _is_on(self, directory: str, path: str) -> bool:
        """Whether something is below a directory that is on another file system, which is not noted of it yet."""
        row = self._ledger.row(self._mapping, directory) if path.startswith(f"{directory}/") else None
        return row is not None and row.device != MIXED

    def arrived(self, path: str) -> str | None:
        """Something is published here; returns where it was seen: None if that is where it should be.

        Empty: in another folder than the published one. What was seen on a disk, or where one is missing, is noted at
        its directory: else it would be taken for deleted when everything is mounted as it was.
        """
        where = self._elsewhere.get(path)
        if where is not None:
            self._drop([path])
        row = self._ledger.row(self._mapping, where) if where else None
        if where and row is not None and row.device != MIXED:
            mixed = row._replace(device=MIXED)
            self._ledger.put(self._mapping, where, mixed)
            # Where it is back by then, it is as it was recorded: what has arrived is out of sight.
            known = self._swapped.get(where)
            mounted = known.mounted if known is not None else bool(row.device)
            filesystem = known.filesystem if known is not None else row.device if row.device > MIXED else 0
            now = swapped_directory(where, mixed, mount_point=mounted, filesystem=filesystem)
            if now is not None:
                self._swapped[where] = now
        return where

    # ── What a person decides ──────────────────────────────────────────────────────────────────────────────────

    def doubt_some(self) -> bool:
        """Right before `accept`: have some of what is on other disks than before compared, at each call some more.

        Returns:
            Whether there may be more.
        """
        places = [""] if self.on_another_disk else sorted(self._swapped)
        disks = self.root, {place: swapped.filesystem for place, swapped in self._swapped.items()}
        known, after = self._doubted
        if not places or (known == disks and not after):
            return False
        after = doubt_some_dated(self._ledger, self._mapping, places, after if known == disks else "")
        self._doubted = disks, after
        return bool(after)

    def accept(self) -> None:
        """From now on everything is as it should be: it is what is published.

        What is on its way and was seen elsewhere than there still is out of sight when it arrives. So is what was seen
        in the folder, or on the disk, that was published until now.
        """
        accepted = set(self._swapped)
        if self.root != self.published:
            accepted.add("")
        dropped = [path for path, where in self._elsewhere.items() if where in accepted]
        self._drop(dropped)
        self._lose_sight(accepted, dropped)
        self._accept_root()
        for path, swapped in (*self._swapped.items(), *self._links.items()):
            row = self._ledger.row(self._mapping, path)
            if row is not None:
                self._ledger.put(self._mapping, path, row._replace(device=swapped.filesystem or int(swapped.mounted)))
        self._swapped.clear()
        self._links.clear()

    def _lose_sight(self, places: Collection[str], but: Collection[str] = ()) -> None:
        """New files that are on their way, below what another folder or disk is in the place of, are not of that.

        Args:
            places: directories that are on another disk from now on; empty: another folder is in the root's place.
            but: these were seen on it. What has a row was seen to be gone, and is part of the decision.
        """
        for path, intent in self._ledger.begun.of(self._mapping) if places else ():
            where = next((place for place in sorted(places) if not place or path.startswith(f"{place}/")), None)
            if where is None or path in but or path in self._elsewhere or not intent.fingerprints:
                continue
            if intent.kind is Kind.FILE and self._ledger.row(self._mapping, path) is None:
                self._was_seen(path, where)

    def _accept_root(self) -> None:
        if self.root is not None:
            self._ledger.mappings.set_root(self._mapping, self.root)
            self.published = self.root
