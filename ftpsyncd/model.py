"""What the disk shows, and what the ledger remembers: entries, fingerprints, listings, rows, intents, holds.

Everything here is immutable and free of behaviour beyond what its fields imply. Paths are as in `ftpsyncd.paths`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import NamedTuple

# ── What the disk shows ──────────────────────────────────────────────────────────────────────────────────────────


class Fingerprint(NamedTuple):
    """Identity of a file's content as far as a stat can tell; equal means unchanged."""

    size: int
    mtime_ns: int
    inode: int

    @property
    def is_doubted(self) -> bool:
        """Whether it is that of no file, so that whatever is on disk is published anew."""
        # Ledgers have 1 from when it said that no upload could have changed the size.
        return self.inode == 0 and self.mtime_ns in {0, 1}

    def doubted(self) -> Fingerprint:
        """What is left of it when the server may not have the file any more, or has another one."""
        return Fingerprint(self.size, 0, 0)


MISSING = Fingerprint(0, 1, 0)
"""Of a published directory that the server may not have any more: if it is on disk, it is made there again."""


class Kind(Enum):
    """What a directory entry is, without following symlinks unless the mapping says so."""

    FILE = "file"
    DIR = "dir"
    OTHER = "other"
    """A symlink that is not followed, a FIFO, socket or device: never opened."""


class Entry(NamedTuple):
    """One name in a directory."""

    kind: Kind
    fingerprint: Fingerprint
    """For a directory only the inode means anything."""
    ctime_ns: int
    device: int
    """st_dev."""
    note: str = ""
    """Why an OTHER is not published, in words for people ("a symbolic link", "a FIFO")."""
    linked: bool = False
    """A file has other names, too (hard links)."""
    born_ns: int | None = None
    """When a file was made, by the clock of its ctime; 0: its file system does not tell; None: that was not asked."""


class Presence(Enum):
    """What could be said about a directory that was to be listed."""

    PRESENT = "present"
    ABSENT = "absent"
    """ENOENT or ENOTDIR, below a root that is present: it is really gone."""
    UNREADABLE = "unreadable"
    """It could not be listed (or not completely): nothing can be concluded about its content."""
    ROOT_MISSING = "root_missing"
    """The mapping's root is absent, unreadable or not a directory: nothing can be concluded."""


class RootIdentity(NamedTuple):
    """Which folder the root of a mapping is: survives a reboot, not a re-creation or another disk."""

    inode: int
    """Of the folder; a number made from that and from when it was made, on disks that keep it."""
    filesystem: int
    """statvfs f_fsid; where that is the device's number only, made from the file system's UUID; st_dev where there is
    nothing else."""


class Disk(NamedTuple):
    """What is mounted inside a mapping's root."""

    point: str
    """Where, relative to the root."""
    filesystem: int
    """A number as in `Listing.filesystem`."""


class Listing(NamedTuple):
    """What was seen in one directory, whole or only some names."""

    directory: str
    presence: Presence
    entries: Mapping[str, Entry]
    names: frozenset[str] | None = None
    """The names that were asked for, or None for all; a name asked for and not in ``entries`` is absent."""
    busy: frozenset[str] = frozenset()
    """Names of files that some process holds open for writing; known only for names that were asked for."""
    unreadable: Mapping[str, str] = {}
    """Names whose stat failed, with the reason in words."""
    root: RootIdentity | None = None
    inode: int = 0
    device: int = 0
    """Of the listed directory itself."""
    problem: str = ""
    """In words, when ``presence`` is not PRESENT."""
    taken_wall_ns: int = 0
    """Wall clock time at which the listing began (time.time_ns)."""
    changed_wall_ns: int = 0
    """The directory's ctime after it was read: no name has left it since. 0: not told."""
    made_wall_ns: int = 0
    """When the directory was made. 0: not told, or only some names were asked for."""
    mount_point: bool = False
    """The listed directory is on another mount or device than the directory that holds it; never so for the root."""
    filesystem: int = 0
    """Of a mount point: what is mounted there, a number as in `RootIdentity`, or 0: that is not told."""
    disk: Disk | None = None
    """What the directory is on, below its mount point; None: on the file system of the root, or that is not told."""
    disk_told: bool = False
    """That is told: without a disk, nothing is mounted on the way from the root to the directory."""
    mounted: frozenset[str] = frozenset()
    """Names of directories that are on another mount, whatever their device: a bind mount's is the same."""
    awaited: frozenset[str] = frozenset()
    """Names of empty files whose content is being downloaded beside them (`core.downloads`)."""


CLOCKS_DIFFER_S = 300
"""Between the clock of a server, as it shows in the dates of files, and ours; with what of a transfer comes late."""

# ── What the ledger remembers ────────────────────────────────────────────────────────────────────────────────────


MIXED = 2
"""Of a directory's row: some of what is published below it was so while it was a mount point, some while not, or while
another disk was mounted there."""


class Row(NamedTuple):
    """One path that a server has confirmed."""

    kind: Kind
    fingerprint: Fingerprint
    sha256: bytes
    """32 bytes of the published content; empty where it is not known (adopted files, directories)."""
    published_ns: int
    """Wall clock, nanoseconds since the epoch."""
    device: int = 0
    """For a directory: 0 if it was no mount point when recorded; else the file system that was mounted there, or 1
    where that is not known; `MIXED`: both, or several. For a file: 1 if a link led to it on another disk."""
    ctime_ns: int = 0
    """Of a file, when it was last seen to be the published one; 0: that was not recorded."""

    @property
    def seen_ns(self) -> int:
        """What is on disk is not the file that was published if it was made after this, by the clock of its ctime."""
        return self.ctime_ns or self.published_ns

    def may_be_another(self, entry: Entry) -> bool:
        """Whether a file that looks unchanged may have been made anew: with the date, the size and the inode of this.

        So may be what is unpacked out of an archive where its former version was removed; dates that were not set by a
        program agree in whole seconds only. It has been changed since then in any case: where its ctime is earlier, the
        clock was ahead then.
        """
        changed = entry.ctime_ns > self.seen_ns or entry.ctime_ns < self.ctime_ns
        return changed and not entry.fingerprint.mtime_ns % 10**9

    def is_another(self, entry: Entry) -> bool:
        """Whether a file that looks unchanged was made anew, as far as its file system tells; or may have been.

        By a clock that was set back since nobody can tell.
        """
        born_ns = entry.born_ns or 0
        return self.may_be_another(entry) and (born_ns > self.seen_ns or entry.ctime_ns < self.ctime_ns * bool(born_ns))


class Exposure(NamedTuple):
    """A file was sent under its final name and may not have arrived: what is there may be a part of it."""

    size: int
    """Bytes of the largest file that was sent there and did not arrive for certain."""
    since_ns: int
    """Wall clock when the first of them was begun."""
    until_ns: int = 0
    """Wall clock when the last of them was known to be over; 0: that is not known yet."""

    def may_have_left(self, size: int | None, mtime_s: int | None) -> bool:
        """Whether what the server shows is a part: too small for the whole, and as old as one must be.

        Args:
            size: bytes; None: it does not say.
            mtime_s: seconds since the epoch; None: it does not say. A part has the date of the server's clock.
        """
        return size is not None and size < self.size and self.dates(mtime_s)

    def dates(self, mtime_s: int | None) -> bool:
        """Whether what the server shows under this date may have been sent then."""
        if mtime_s is None or mtime_s < self.since_ns // 10**9 - CLOCKS_DIFFER_S:
            return False
        return not self.until_ns or mtime_s <= self.until_ns // 10**9 + CLOCKS_DIFFER_S


class Intent(NamedTuple):
    """An action that was handed to a worker and has no recorded outcome: the server may have done it or not."""

    kind: Kind
    temporary: str = ""
    """Absolute remote path of the temporary file of an upload."""
    source: str = ""
    """Where a rename comes from."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of the files that may be at the server under this path, the latest last; also where a directory is to be."""
    received: int = 0
    """The server began to receive the latest of them into ``temporary``, or one of ``parts``, when the file's ctime was
    this (ns), and nothing else was sent there since; 0: nothing is known to be there."""
    parts: tuple[str, ...] = ()
    """Where a part of the latest may lie instead: it was to be renamed to ``temporary``, and continued there."""
    exposed: Exposure | None = None
    """It was sent under its final name, where nothing foreign was."""
    brings: tuple[str, ...] = ()
    """Old names of directories that were to be renamed to this path when that was cut off: one of them may come yet,
    whatever was begun here since."""


class Failure(NamedTuple):
    """The last failure of a path, kept until it is published or changes."""

    fingerprint: Fingerprint | None
    """Of the file that failed; None where the failure is not about a file's content (a delete)."""
    attempts: int
    parked: bool
    next_try_ns: int
    """Wall clock; meaningless when parked."""
    kind: str
    """Class name of the error."""
    message: str
    reply: str
    remedy: str
    failed_ns: int


class HoldKind(StrEnum):
    """Why deletes wait for a person."""

    MASS_DELETE = "mass_delete"
    REPLACED_SOURCE = "replaced_source"
    UNMOUNTED_SOURCE = "unmounted_source"
    TWO_SOURCES = "two_sources"
    """Files were published from the folder that was published before, and from another one in its place."""


class Hold(NamedTuple):
    """Deletes withheld until a person decides."""

    kind: HoldKind
    since_ns: int
    message: str
