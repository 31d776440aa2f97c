"""The data that travel between the parts: paths, entries, fingerprints, rows, actions, outcomes.

Everything here is immutable and free of behaviour beyond what its fields imply. Paths are ``str`` as the operating
system gives them (bytes that are not UTF-8 as surrogates, PEP 383), relative to the mapping's root, with ``/``
between components and no leading or trailing slash; the root itself is ``""``. Remote paths are ``str`` of the same
kind, absolute, beginning with ``/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from functools import lru_cache
from typing import NamedTuple

from ftpsyncd.errors import NO_ANSWER, FtpsyncdError, RemoteError

# ── Paths ────────────────────────────────────────────────────────────────────────────────────────────────────────


def join(directory: str, name: str) -> str:
    """The path of ``name`` inside ``directory`` (``""`` is the root)."""
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    """The directory that holds ``path``; the root's parent is the root."""
    return path.rpartition("/")[0]


def above(path: str) -> tuple[str, ...]:
    """The directories above ``path``, the nearest one first and the root last; nothing is above the root."""
    return _levels(path.rpartition("/")[0]) if path else ()


@lru_cache(maxsize=128)  # files come directory by directory; one may have 2,000 above it (PATH_MAX)
def _levels(directory: str) -> tuple[str, ...]:
    """A directory and all above it: each time the same texts, which have been hashed before.

    To make and to hash the texts of a thousand directories costs ten times as much as to look them up.
    """
    levels = [directory]
    while directory:
        levels.append(directory := _above(directory))
    return tuple(levels)


@lru_cache(maxsize=4096)
def _above(directory: str) -> str:
    return parent(directory)


def basename(path: str) -> str:
    """The last component of ``path``."""
    return path.rpartition("/")[2]


def remote_join(base: str, path: str) -> str:
    """The absolute remote path of the relative ``path`` below the remote directory ``base``."""
    if not path:
        return base
    return f"{base.rstrip('/')}/{path}"


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
        program agree in whole seconds only. It has been changed since then in any case.
        """
        return entry.ctime_ns > self.seen_ns and not entry.fingerprint.mtime_ns % 10**9

    def is_another(self, entry: Entry) -> bool:
        """Whether a file that looks unchanged was made anew, as far as its file system tells."""
        return self.may_be_another(entry) and (entry.born_ns or 0) > self.seen_ns


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


# ── Actions and outcomes ─────────────────────────────────────────────────────────────────────────────────────────


class MakeDir(NamedTuple):
    """Make a directory at the server."""

    mapping: str
    path: str
    inode: int
    mount_point: bool = False
    why: str = "new directory"
    filesystem: int = 0
    """Of a mount point: as in `Listing`."""


class Upload(NamedTuple):
    """Publish a file."""

    mapping: str
    path: str
    fingerprint: Fingerprint
    known_sha256: bytes = b""
    """Of the published content when it has the same size: equal content is not sent again."""
    replaces: bool = False
    """The ledger says that we published this path before."""
    resume: int = 0
    """What the temporary file at the server holds, or one of ``parts``, if it is there, is a part of this very file as
    long as its ctime (ns) is this; 0: nothing is known of it."""
    why: str = "new file"
    temporary: str = ""
    """Absolute remote path of its temporary file, if it is not the usual one."""
    left: tuple[str, ...] = ()
    """Those of earlier tries that were cut off: they are deleted before anything of this one can be seen."""
    parts: tuple[str, ...] = ()
    """Those of them that may hold the part to be continued: what is there is renamed to ``temporary`` before."""
    ours: tuple[Fingerprint, ...] = ()
    """Of files that earlier tries may have brought to its place: what agrees with one of them is no foreign file."""
    exposed: Exposure | None = None
    """Of earlier tries under its final name that may have left a part there: that is no foreign file either."""
    afresh: bool = False
    """An earlier try was cut off, and what it has under way may come to its final name yet."""


class Rename(NamedTuple):
    """Rename a published file at the server; upload it if it is still here, too, or not there as it was published."""

    mapping: str
    path: str
    source: str
    fingerprint: Fingerprint
    sha256: bytes
    replaces: bool = False
    why: str = "renamed"
    published_ns: int = 0
    """When it was published under its old name, or got that at the server (wall clock); 0: not known."""
    temporary: str = ""
    """Of the upload, if it takes one: its temporary file, if it is not the usual one."""
    left: tuple[str, ...] = ()
    """As in `Upload`."""
    ours: tuple[Fingerprint, ...] = ()
    """As in `Upload`."""
    exposed: Exposure | None = None
    """As in `Upload`."""
    afresh: bool = False
    """As in `Upload`."""


class RenameDir(NamedTuple):
    """Rename a directory at the server with all that is in it."""

    mapping: str
    path: str
    source: str
    inode: int
    why: str = "directory renamed"
    interrupted: bool = False
    """It was tried before, and the server may have done it."""
    ask_only: bool = False
    """Only whether it was done is asked: each try has ended the connection."""
    places: tuple[str, ...] = ()
    """Of one that may have been done: all names that it may have got, this one too; the likeliest first."""


class Delete(NamedTuple):
    """Delete a file that we published."""

    mapping: str
    path: str
    trash: str = ""
    """Remote path to rename it to instead of deleting it; empty: delete."""
    sizes: tuple[int, ...] = ()
    """Bytes that the file may have at the server if it is ours; empty: a person decided."""
    why: str = "deleted locally"
    left: tuple[str, ...] = ()
    """As in `Upload`: none of them may come to the file's place afterwards."""
    exposed: Exposure | None = None
    """Of an upload to its place that may not have arrived: a part of it is ours, too."""


class RemoveDir(NamedTuple):
    """Remove a directory that we made, if the server finds it empty."""

    mapping: str
    path: str
    why: str = "directory deleted locally"
    left: tuple[str, ...] = ()
    """Temporary files that may have come back into it: absolute remote paths, deleted before."""


class Forget(NamedTuple):
    """Drop a ledger row; the server is not touched."""

    mapping: str
    path: str
    kind: Kind
    why: str


class Adopt(NamedTuple):
    """Record what is true already: a directory whose inode changed, for instance. The server is not touched."""

    mapping: str
    path: str
    row: Row
    why: str


class Sweep(NamedTuple):
    """Delete a temporary file that an interrupted upload of ours left at the server, and see what became of it."""

    mapping: str
    """Empty: one that is not there any more."""
    path: str
    """Without a mapping an absolute remote path."""
    temporary: str
    """Absolute remote path; empty: there is none."""
    why: str = "left over from an interrupted upload"
    kind: Kind = Kind.FILE
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of files that were on their way, if the server may have one under the final name without our knowing."""
    exposed: Exposure | None = None
    """Of an upload under the final name that may have left a part there: that is deleted."""
    published: Fingerprint | None = None
    """What was published there after something had been cut off: is it still so? Then ``exposed`` says whether that was
    sent under the final name; nothing is deleted."""


class Probe(NamedTuple):
    """Find out whether the server answers; carries no path."""

    server: str
    mapping: str = ""
    path: str = ""
    why: str = "is the server back?"


Action = MakeDir | Upload | Rename | RenameDir | Delete | RemoveDir | Forget | Adopt | Sweep | Probe


class Did(StrEnum):
    """What became of an action that succeeded."""

    __hash__ = str.__hash__
    """Python's own is a function in Python, and this is asked for several times per file."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    """The content was at the server already; only the record (and the date) were renewed."""
    ADOPTED = "adopted"
    """The server had a file of the same size and date that we never published."""
    KEPT = "kept"
    """A foreign file was there and ``existing: keep`` protects it."""
    RENAMED = "renamed"
    DELETED = "deleted"
    TRASHED = "trashed"
    MADE = "made"
    REMOVED = "removed"
    LEFT = "left"
    """A directory that still holds foreign files stays at the server."""
    MOUNTED = "mounted"
    """So does one that a disk is mounted on there."""
    SWEPT = "swept"
    SPOILED = "spoiled"
    """What had been published there is not, or not as it was: what hung on the line of an earlier try has come. Of a
    rename: what had been published under its old name."""
    ANSWERED = "answered"


class Done(NamedTuple):
    """An action succeeded."""

    action: Action
    did: Did
    fingerprint: Fingerprint | None = None
    """Of the file that was published."""
    sha256: bytes = b""
    duration_s: float = 0.0
    reply: str = ""
    ctime_ns: int = 0
    """Of that file when it was looked at last; 0: not known."""
    left: str = ""
    """Something of ours that is at the server still, by its absolute remote path, and is to go."""


class Failed(NamedTuple):
    """An action did not succeed; ``error.retry`` says what to do about it."""

    action: Action
    error: FtpsyncdError
    connecting: bool = False
    """No connection could be had: it says something about the server, nothing about the action."""
    kept: int = 0
    """Bytes of an upload that the server had from earlier tries when this one began."""
    in_place: bool = False
    """An upload under the final name: what was published there may be gone."""
    mute: bool = False
    """The connection ended, as the last ones did, each before the server had answered anything over it."""
    gone: bool = False
    """What was published there was deleted, or moved aside, to make room for it, or may be emptied."""
    refused: bool = False
    """The server took nothing of an upload, and has nothing of this try."""
    unanswered: bool = False
    """The connection ended before the server had answered all that was said of an upload, whatever the error is."""


Outcome = Done | Failed


def is_answer(outcome: Outcome) -> bool:
    """Whether the server has done something, or refused to."""
    if isinstance(outcome, Done):
        return True
    return isinstance(outcome.error, RemoteError) and outcome.error.retry not in NO_ANSWER
