"""What is on disk: one directory at a time, problems as data.

Comes in: a relative directory, perhaps some names in it. Goes out: a `Listing`; nothing is raised for anything a disk
can do. That this process may open no further file says nothing about a disk, and is raised. Called by
`disk.DiskThread`. Memory is bounded by the largest directory. The cost per file is one stat and three tuples: no path
objects, no sorting.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.core import downloads
from ftpsyncd.local import birth, mounts, quiet, toolong, tree
from ftpsyncd.model import MIXED, Disk, Entry, Fingerprint, Kind, Listing, Presence, RootIdentity
from ftpsyncd.paths import basename, join, parent

_NAME_MAX = 255
"""Bytes, of nearly every file system; one that takes more does not call them too many (pathconf(3))."""
_INODE_MASK = (1 << 63) - 1
"""As `tree.fold`, spelled out here because a call per file would cost as much as the rest."""

LINK = "a symbolic link"
_NOTES = {
    stat.S_IFLNK: LINK,
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def fingerprint_of(status: os.stat_result) -> Fingerprint:
    """The fingerprint of a file: whoever compares with a `Listing` must build it with this function."""
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino & _INODE_MASK)


class _Opened(NamedTuple):
    """A directory open for listing."""

    descriptor: int
    directory: str
    """As it was asked for."""
    real: str
    """Relative path without symbolic links."""
    root_fd: int


class _Seen(NamedTuple):
    """What was found, before it becomes a Listing."""

    entries: dict[str, Entry]
    unreadable: dict[str, str]
    busy: frozenset[str] = frozenset()
    targets: Mapping[str, str] = {}
    """Where links that are followed lead to: real paths relative to the root."""
    awaited: frozenset[str] = frozenset()


class Scanner:
    """Lists directories below one root.

    Args:
        root: the mapping's folder; need not exist.
        follow_symlinks: report links that lead to a file or directory inside the root as what they lead to.
    """

    def __init__(self, root: Path, *, follow_symlinks: bool = False) -> None:
        self.root = root
        self.follow_symlinks = follow_symlinks
        self._mounts: tuple[RootIdentity | None, Sequence[mounts.Mount]] = (None, ())
        self._mount_points: frozenset[str] = frozenset()
        """Inside the root, according to ``_mounts``."""
        self._disks: dict[tuple[str, int], Disk] = {}
        """What is mounted at these of them, by the device as well: one mount may have several (btrfs)."""
        self._spellings = tree.Spellings()

    def root_identity(self) -> RootIdentity | None:
        """Which folder is at the root now; None if it is absent, unreadable or not a directory.

        Raises:
            NoDescriptorError: nothing can be opened now.
        """
        return tree.root_identity(self.root)

    def list_dir(self, directory: str) -> Listing:
        """List a whole directory.

        Raises:
            NoDescriptorError: nothing can be opened now.
        """
        return self._listing(directory, None, self._all_entries)

    def probe(self, directory: str, names: Collection[str]) -> Listing:
        """Look at some names of a directory only; tells which of the files somebody is writing, and when each was made.

        Raises:
            NoDescriptorError: nothing can be opened now.
        """
        wanted = frozenset(names)
        return self._listing(directory, wanted, lambda opened: self._some_entries(opened, wanted))

    def _listing(self, directory: str, names: frozenset[str] | None, look: Callable[[_Opened], _Seen]) -> Listing:
        taken = time.time_ns()
        failed = Listing(directory, Presence.UNREADABLE, {}, names, taken_wall_ns=taken)
        try:
            with self._open_root() as (root_fd, identity):
                failed = failed._replace(root=identity)
                listing = self._below(root_fd, failed, look)
        except OSError as error:
            tree.require_descriptors(error)
            words = f"the folder {self.root} cannot be opened: {_words(error)}"
            return failed._replace(presence=Presence.ROOT_MISSING, problem=words)
        if self.root_identity() != identity:
            # What was seen may belong to a folder that is not the mapping's any more.
            words = f"the folder {self.root} was replaced while it was being looked at"
            return failed._replace(presence=Presence.ROOT_MISSING, root=None, problem=words)
        return listing

    @contextmanager
    def _open_root(self) -> Iterator[tuple[int, RootIdentity]]:
        root_fd = tree.open_root(self.root)
        try:
            yield root_fd, tree.identity_of(root_fd)
        finally:
            os.close(root_fd)

    def _below(self, root_fd: int, failed: Listing, look: Callable[[_Opened], _Seen]) -> Listing:
        """The listing of an open root's directory; never raises OSError (that would count as a missing root)."""
        directory = failed.directory
        try:
            descriptor, real = tree.open_directory(
                self.root, root_fd, directory, follow_symlinks=self.follow_symlinks, spellings=self._spellings
            )
        except tree.LinkError as error:
            # Of a link to nothing, or out of the root, the directory that it is in says that it is not there, either.
            presence = Presence.UNREADABLE if error.errno == errno.ELOOP else Presence.ABSENT
            return failed._replace(presence=presence, problem=f"{directory!r} leads through {error.strerror}")
        except OSError as error:
            tree.require_descriptors(error)
            presence = Presence.ABSENT if error.errno in tree.GONE and directory else Presence.UNREADABLE
            if _is_no_name(directory, error):
                presence = Presence.ABSENT
            return failed._replace(presence=presence, problem=f"{directory!r}: {_words(error)}")
        try:
            status = os.fstat(descriptor)
            mount_point = bool(directory) and self._above(directory, descriptor) != status.st_dev
            made = birth.lasting_ns(descriptor, status.st_dev) if failed.names is None else 0
            seen = look(_Opened(descriptor, directory, real, root_fd))
            # Not before: what left while it was read has to count as well.
            changed = os.fstat(descriptor).st_ctime_ns
            mounted, elsewhere = self._mounted(_Opened(descriptor, directory, real, root_fd), seen, failed.root)
            mount_point = mount_point or elsewhere
            filesystem = _filesystem_of(descriptor, status.st_dev) if mount_point else 0
            point = "" if mount_point else self._mount_of(real)
            disk = self._disk_of(descriptor, point, status.st_dev)
            told = not mount_point and bool(self._mounts[1]) and (disk is not None or not point)
        except OSError as error:
            tree.require_descriptors(error)
            if directory and error.errno in tree.GONE and self._is_gone(root_fd, directory):
                # An open directory that is removed lists as empty, but not everywhere (FUSE).
                return failed._replace(presence=Presence.ABSENT, problem=f"{directory!r}: {_words(error)}")
            # Also a readdir that fails midway: a part of a directory proves nothing about the rest.
            return failed._replace(problem=f"{directory!r} could not be listed: {_words(error)}")
        finally:
            os.close(descriptor)
        return failed._replace(
            presence=Presence.PRESENT,
            entries=seen.entries,
            busy=seen.busy,
            awaited=seen.awaited,
            unreadable=seen.unreadable,
            inode=status.st_ino & _INODE_MASK,
            device=status.st_dev,
            changed_wall_ns=changed,
            made_wall_ns=made,
            mount_point=mount_point,
            filesystem=filesystem,
            disk=disk,
            disk_told=told,
            mounted=mounted,
        )

    def _is_gone(self, root_fd: int, directory: str) -> bool:
        try:
            descriptor, _ = tree.open_directory(self.root, root_fd, directory, follow_symlinks=self.follow_symlinks)
        except OSError as error:
            return error.errno in tree.GONE
        os.close(descriptor)
        return False

    def _mounted(self, opened: _Opened, seen: _Seen, root: RootIdentity | None) -> tuple[frozenset[str], bool]:
        """Names in a directory that are on another mount than it, and whether itself is on another than its parent.

        Asked after the look: what was seen on a mount that has gone since is not taken for the directory below it.
        """
        table = mounts.current()
        if self._mounts[0] != root or self._mounts[1] is not table:
            self._mounts, self._mount_points = (root, table), mounts.points_below(self.root, table)
            self._spellings = tree.Spellings()
            self._disks.clear()
        if not self._mount_points:
            return frozenset(), False
        here = self._mount_of(opened.real)
        names = {basename(point) for point in self._mount_points if parent(point) == opened.real}
        names = {name for name in names if name not in seen.targets}
        names |= {name for name, target in seen.targets.items() if self._mount_of(target) != here}
        above = parent(opened.directory)
        if opened.directory and self.follow_symlinks:
            descriptor, above = tree.open_directory(self.root, opened.root_fd, above, follow_symlinks=True)
            os.close(descriptor)
        return frozenset(names), bool(opened.directory) and self._mount_of(above) != here

    def _disk_of(self, descriptor: int, point: str, device: int) -> Disk | None:
        """What an open directory, which was looked at, is on where something is mounted above it inside the root.

        It is asked once for as long as nothing is mounted or unmounted: the answer would be the same for each.
        """
        if not point:
            return None
        if (point, device) not in self._disks and _is_mounted_at(point, descriptor):
            self._disks[point, device] = Disk(point, _filesystem_of(descriptor, device))
        return self._disks.get((point, device))

    def _mount_of(self, path: str) -> str:
        """The mount point inside the root that a real path is on; empty: it is on the root's own mount."""
        while path and path not in self._mount_points:
            path = parent(path)
        return path

    def _above(self, directory: str, descriptor: int) -> int:
        """The device of the directory that holds an open one under the name by which it was asked for."""
        if not self.follow_symlinks:
            # "..", unlike a path, cannot lead to a folder that was put there a moment ago.
            with suppress(PermissionError):
                return os.stat("..", dir_fd=descriptor).st_dev
        return toolong.stat(f"{self.root}/{parent(directory)}").st_dev

    def _all_entries(self, opened: _Opened) -> _Seen:
        entries: dict[str, Entry] = {}
        unreadable: dict[str, str] = {}
        links: list[str] = []
        empty: list[str] = []
        new, file, regular = tuple.__new__, Kind.FILE, stat.S_IFREG
        with os.scandir(opened.descriptor) as found:
            for item in found:
                name = item.name
                try:
                    status = item.stat(follow_symlinks=False)
                except OSError as error:
                    _remember_failure(unreadable, name, error)
                    continue
                if status.st_mode & 0o170000 == regular:
                    # tuple.__new__ skips the Python-level constructor of a NamedTuple: half of its cost.
                    print_ = new(Fingerprint, (status.st_size, status.st_mtime_ns, status.st_ino & _INODE_MASK))
                    entries[name] = new(
                        Entry, (file, print_, status.st_ctime_ns, status.st_dev, "", status.st_nlink > 1, None)
                    )
                    if not status.st_size:
                        empty.append(name)
                    continue
                entries[name] = _entry_of(status)
                if stat.S_ISLNK(status.st_mode):
                    links.append(name)
        awaited = downloads.awaited(empty, entries)
        if self.follow_symlinks and links:
            _, targets = self._follow(opened, links, entries, unreadable)
            return _Seen(entries, unreadable, targets=targets, awaited=awaited)
        return _Seen(entries, unreadable, awaited=awaited)

    def _some_entries(self, opened: _Opened, names: Collection[str]) -> _Seen:
        entries: dict[str, Entry] = {}
        unreadable: dict[str, str] = {}
        busy: set[str] = set()
        links: list[str] = []
        targets: dict[str, str] = {}
        for name in names:
            try:
                status = os.stat(name, dir_fd=opened.descriptor, follow_symlinks=False)
            except (OSError, ValueError) as error:
                _remember_failure(unreadable, name, error)
                continue
            entries[name] = _entry_of(status)
            if stat.S_ISLNK(status.st_mode):
                links.append(name)
            elif stat.S_ISREG(status.st_mode):
                entries[name] = _with_birth(entries[name], name, opened.descriptor)
                if _is_busy(name, opened.descriptor):
                    busy.add(name)
        for name in tree.other_spellings(entries, opened.descriptor):
            del entries[name]
            busy.discard(name)
        links = [name for name in links if name in entries]
        if self.follow_symlinks and links:
            written, targets = self._follow(opened, links, entries, unreadable, by_name=True)
            busy |= written
        empty = [name for name, entry in entries.items() if entry.kind is Kind.FILE and not entry.fingerprint.size]
        beside = os.listdir(opened.descriptor) if empty else ()  # noqa: PTH208 - a descriptor
        awaited = downloads.awaited(empty, beside)
        return _Seen(entries, unreadable, frozenset(busy), targets, awaited)

    def _follow(
        self,
        opened: _Opened,
        links: list[str],
        entries: dict[str, Entry],
        unreadable: dict[str, str],
        *,
        by_name: bool = False,
    ) -> tuple[set[str], dict[str, str]]:
        """Replace the entries of links by what they lead to; where that cannot be told, they are unreadable.

        Of what was asked for by its name it is looked at, too, when it was made, and whether it is being written.

        Returns:
            The names whose target is being written, and where each leads.
        """
        busy: set[str] = set()
        targets: dict[str, str] = {}
        try:
            circle = tree.places_on_the_way(self.root, opened.root_fd, opened.directory)
        except OSError as error:
            tree.require_descriptors(error)
            for name in links:
                del entries[name]
                unreadable[name] = _words(error)
            return busy, targets
        for name in links:
            try:
                target = tree.resolve_link(self.root, join(opened.real, name))
                directory, _, last = target.rpartition("/")
                fd, _ = tree.open_directory(self.root, opened.root_fd, directory, follow_symlinks=False)
                try:
                    status = os.stat(last or ".", dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) in circle:
                        raise tree.LinkError(errno.ELOOP, "a symbolic link in a loop")
                    entry = _entry_of(status)
                    if by_name and stat.S_ISREG(status.st_mode):
                        entry = _with_birth(entry, last, fd)
                        if _is_busy(last, fd):
                            busy.add(name)
                finally:
                    os.close(fd)
            except OSError as error:
                tree.require_descriptors(error)
                if error.errno in tree.LEADS_NOWHERE:
                    entries[name] = entries[name]._replace(note=_words(error))
                else:
                    del entries[name]
                    unreadable[name] = _words(error)
                continue
            entries[name] = entry
            targets[name] = target
        return busy, targets


def _filesystem_of(descriptor: int, device: int) -> int:
    """As `Listing.filesystem`; smaller numbers mean something else in the ledger.

    Raises:
        OSError: the file system does not answer.
    """
    filesystem = tree.lasting_filesystem_of(descriptor, device)
    return filesystem if filesystem > MIXED else 0


def _is_mounted_at(point: str, descriptor: int) -> bool:
    """Whether an open directory is on what is mounted there, and not on what that covers.

    Raises:
        OSError: no descriptor is left to ask it with, for one.
    """
    mount = mounts.of_descriptor(descriptor)
    return mount is not None and mount.point.endswith(f"/{point}")


def _with_birth(entry: Entry, name: str, directory_fd: int) -> Entry:
    """A file with when it was made: that may tell it from the one before (`Row.may_be_another`).

    Asked after the stat: should another one have come in between, it tells that.
    """
    return entry._replace(born_ns=birth.named_ns(name, directory_fd))


def _entry_of(status: os.stat_result) -> Entry:
    kind = stat.S_IFMT(status.st_mode)
    print_ = fingerprint_of(status)
    if kind == stat.S_IFREG:
        return Entry(Kind.FILE, print_, status.st_ctime_ns, status.st_dev, linked=status.st_nlink > 1)
    if kind == stat.S_IFDIR:
        return Entry(Kind.DIR, print_, status.st_ctime_ns, status.st_dev)
    return Entry(Kind.OTHER, print_, status.st_ctime_ns, status.st_dev, _NOTES.get(kind, "not a regular file"))


def _remember_failure(unreadable: dict[str, str], name: str, error: OSError | ValueError) -> None:
    """A name that vanished is simply absent; any other failure proves nothing and is told."""
    if isinstance(error, OSError) and (error.errno in tree.GONE or _is_no_name(name, error)):
        return
    unreadable[name] = _words(error)


def _is_no_name(path: str, error: OSError) -> bool:
    """Whether nothing can be at a path, as a person may ask for it: a name in it is too long for any file."""
    return error.errno == errno.ENAMETOOLONG and any(len(os.fsencode(name)) > _NAME_MAX for name in path.split("/"))


def _is_busy(name: str, directory_fd: int) -> bool:
    try:
        descriptor, _ = quiet.open_regular(name, directory_fd)
    except OSError as error:
        tree.require_descriptors(error)
        return error.errno == errno.EAGAIN
    try:
        return quiet.writer_present(descriptor) is True
    finally:
        os.close(descriptor)


def _words(error: OSError | ValueError) -> str:
    """An error as people say it, without the path that OSError's own text repeats."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
