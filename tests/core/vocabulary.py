"""Words for the tests of the core, so that its tables read like prose: files, folders, rows, failures, looks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftpsyncd.core.plan import Decision, Look, plan_directory
from ftpsyncd.core.settle import Sighting
from ftpsyncd.model import Entry, Failure, Fingerprint, Kind, Listing, Presence, Row
from ftpsyncd.paths import basename
from ftpsyncd.specs import MappingSpec

M = "gallery"
NOW = 1000.0
"""Monotonic seconds."""
WALL = 1_700_000_000 * 10**9
S = 10**9
SETTLE_S = 2.0
SHA = b"s" * 32
DISK = 1
"""The device of the mapping's root."""
OTHER_DISK = 2


def file(size: int = 10, mtime: int = 1, inode: int = 7, *, changed_s_ago: float = 3600.0) -> Entry:
    """A file as a listing shows it; long quiet unless said otherwise."""
    return Entry(Kind.FILE, Fingerprint(size, mtime, inode), WALL - int(changed_s_ago * S), DISK)


def folder(inode: int = 50, *, device: int = DISK) -> Entry:
    """A directory as a listing shows it."""
    return Entry(Kind.DIR, Fingerprint(4096, 3, inode), WALL - 3600 * S, device)


def mounted(inode: int = 50) -> Entry:
    """A directory on which another file system is mounted."""
    return folder(inode, device=OTHER_DISK)


def fifo() -> Entry:
    """Something that is never opened."""
    return Entry(Kind.OTHER, Fingerprint(0, 1, 9), WALL - 3600 * S, DISK, "a FIFO")


def published(entry: Entry, sha256: bytes = SHA) -> Row:
    """The ledger's row of a file as it is."""
    return Row(Kind.FILE, entry.fingerprint, sha256, WALL - 60 * S)


def made(inode: int = 50, *, mount_point: bool = False) -> Row:
    """The ledger's row of a directory."""
    return Row(Kind.DIR, Fingerprint(0, 0, inode), b"", WALL - 60 * S, int(mount_point))


def failed(entry: Entry | None, *, parked: bool = False, next_try_s: float = 30.0, ago_s: float = 5.0) -> Failure:
    """The failure of a file as it is, or with None of something that is no file's content (a delete)."""
    return Failure(
        entry.fingerprint if entry else None,
        attempts=2,
        parked=parked,
        next_try_ns=WALL + int(next_try_s * S),
        kind="NameRefusedError",
        message="Permission denied.",
        reply="550 Permission denied.",
        remedy="",
        failed_ns=WALL - int(ago_s * S),
    )


def seen(
    entry: Entry, *, since_s_ago: float, first_s_ago: float | None = None, busy: bool = False, written: bool = False
) -> Sighting:
    """An earlier look at a file that was not quiet then."""
    first = since_s_ago if first_s_ago is None else first_s_ago
    return Sighting(entry.fingerprint, entry.ctime_ns, NOW - since_s_ago, NOW - first, busy, busy or written)


@dataclass(frozen=True)
class Without:
    """A selection of everything but some paths and what is below them."""

    paths: Collection[str] = ()
    folders: Collection[str] = ()
    """Left out as directories only."""

    def includes(self, path: str) -> bool:
        return not self._below(path, self.paths) and not self._inside(path)

    def descend(self, path: str) -> bool:
        return not self._below(path, self.paths) and not self._below(path, self.folders)

    def _inside(self, path: str) -> bool:
        return any(path.startswith(f"{folder}/") for folder in self.folders)

    @staticmethod
    def _below(path: str, paths: Collection[str]) -> bool:
        return any(path == p or path.startswith(f"{p}/") for p in paths)


def spec(*, empty_dirs: bool = False, settle_s: float = SETTLE_S) -> MappingSpec:
    """A mapping."""
    return MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs", settle_s=settle_s, empty_dirs=empty_dirs)


def listing(
    entries: Mapping[str, Entry],
    directory: str = "",
    *,
    names: Collection[str] | None = None,
    unreadable: Collection[str] = (),
    busy: Collection[str] = (),
    inode: int = 0,
    device: int = DISK,
) -> Listing:
    """What a look at one directory showed."""
    return Listing(
        directory,
        Presence.PRESENT,
        dict(entries),
        None if names is None else frozenset(names),
        busy=frozenset(busy),
        unreadable=dict.fromkeys(unreadable, "permission denied"),
        inode=inode,
        device=device,
        taken_wall_ns=WALL,
    )


@dataclass(frozen=True)
class Scene:
    """One directory on disk and in the ledger; `decisions` says what follows."""

    disk: Mapping[str, Entry] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    directory: str = ""
    names: Collection[str] | None = None
    """None: the whole directory was listed."""
    unreadable: Collection[str] = ()
    busy: Collection[str] = ()
    """Names of files that some program writes."""
    awaited: Collection[str] = ()
    """Names of empty files whose content is being downloaded."""
    bound: Collection[str] = ()
    """Names of directories on which another one is mounted."""
    device: int = DISK
    excluded: Collection[str] = ()
    excluded_folders: Collection[str] = ()
    empty_dirs: bool = False
    deep: bool = False
    clock_trusted: bool = True
    seen: Mapping[str, Sighting] = field(default_factory=dict)
    moved_from: Callable[[str, Fingerprint], tuple[str, Row] | None] = lambda _path, _fingerprint: None
    gone_s: float | None = None
    """For how long what was renamed has been seen to be gone from its old name; None: nobody has looked."""
    settle_s: float = SETTLE_S
    delete_after_s: float = 10.0

    def decisions(self) -> list[Decision]:
        look = Look(
            spec(empty_dirs=self.empty_dirs)._replace(settle_s=self.settle_s, delete_after_s=self.delete_after_s),
            Without(self.excluded, self.excluded_folders),
            now=NOW,
            wall_ns=WALL,
            stamp_ns=WALL if self.clock_trusted else None,
            deep=self.deep,
            sighting_of=self.seen.get,
            moved_from=self.moved_from,
            gone_since=self._gone_since,
        )
        shown = listing(
            self.disk,
            self.directory,
            names=self.names,
            unreadable=self.unreadable,
            busy=self.busy,
            device=self.device,
        )._replace(mounted=frozenset(self.bound), awaited=frozenset(self.awaited))
        return list(plan_directory(shown, self.rows, self.failures, look))

    def _gone_since(self, path: str, _source: str) -> float | None:
        """Of the old name nobody has seen that it is gone from anywhere."""
        return None if self.gone_s is None or basename(path) not in self.disk else NOW - self.gone_s
