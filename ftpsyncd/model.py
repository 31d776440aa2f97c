"""The data that travel between the parts: paths, entries, fingerprints, actions, outcomes, specs, status.

Everything here is immutable and free of behaviour beyond what its fields imply. Paths are ``str`` as the operating
system gives them (bytes that are not UTF-8 as surrogates, PEP 383), relative to the mapping's root, with ``/``
between components and no leading or trailing slash; the root itself is ``""``. Remote paths are ``str`` of the same
kind, absolute, beginning with ``/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.errors import FtpsyncdError

# ── Paths ────────────────────────────────────────────────────────────────────────────────────────────────────────


def join(directory: str, name: str) -> str:
    """The path of ``name`` inside ``directory`` (``""`` is the root)."""
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    """The directory that holds ``path``; the root's parent is the root."""
    return path.rpartition("/")[0]


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
    filesystem: int
    """statvfs f_fsid, or st_dev where the file system has no id."""


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
    mount_point: bool = False
    """The listed directory is on another device than the directory that holds it; never so for the root."""


# ── What the ledger remembers ────────────────────────────────────────────────────────────────────────────────────


class Row(NamedTuple):
    """One path that a server has confirmed."""

    kind: Kind
    fingerprint: Fingerprint
    sha256: bytes
    """32 bytes of the published content; empty where it is not known (adopted files, directories)."""
    published_ns: int
    """Wall clock, nanoseconds since the epoch."""
    device: int = 0
    """For a directory: 1 if it was a mount point when recorded, else 0."""


class Intent(NamedTuple):
    """An action that was handed to a worker and has no recorded outcome: the server may have done it or not."""

    kind: Kind
    temporary: str = ""
    """Absolute remote path of the temporary file of an upload."""
    source: str = ""
    """Where a rename comes from."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of the files that may be at the server under this path, the latest last."""
    received: int = 0
    """The server began to receive the latest of them into ``temporary``, when the file's ctime was this (ns), and
    nothing else was sent there since; 0: nothing is known to be there."""


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


# ── Actions and outcomes ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MakeDir:
    """Make a directory at the server."""

    mapping: str
    path: str
    inode: int
    mount_point: bool = False
    why: str = "new directory"


@dataclass(frozen=True, slots=True)
class Upload:
    """Publish a file."""

    mapping: str
    path: str
    fingerprint: Fingerprint
    known_sha256: bytes = b""
    """Of the published content when it has the same size: equal content is not sent again."""
    replaces: bool = False
    """The ledger says that we published this path before."""
    resume: int = 0
    """What the temporary file at the server holds, if it is there, is a part of this very file as long as its ctime
    (ns) is this; 0: nothing is known of it."""
    why: str = "new file"


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename a published file at the server; upload it if its old path turns out to be still there."""

    mapping: str
    path: str
    source: str
    fingerprint: Fingerprint
    sha256: bytes
    replaces: bool = False
    why: str = "renamed"


@dataclass(frozen=True, slots=True)
class RenameDir:
    """Rename a directory at the server with all that is in it."""

    mapping: str
    path: str
    source: str
    inode: int
    why: str = "directory renamed"
    interrupted: bool = False
    """It was tried before, and the server may have done it."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file that we published."""

    mapping: str
    path: str
    trash: str = ""
    """Remote path to rename it to instead of deleting it; empty: delete."""
    sizes: tuple[int, ...] = ()
    """Bytes that the file has at the server if it is ours; empty: that is not known, or a person decided."""
    why: str = "deleted locally"


@dataclass(frozen=True, slots=True)
class RemoveDir:
    """Remove a directory that we made, if the server finds it empty."""

    mapping: str
    path: str
    why: str = "directory deleted locally"


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a ledger row; the server is not touched."""

    mapping: str
    path: str
    kind: Kind
    why: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record what is true already: a directory whose inode changed, for instance. The server is not touched."""

    mapping: str
    path: str
    row: Row
    why: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete a temporary file that an interrupted upload of ours left at the server, and see what became of it."""

    mapping: str
    path: str
    temporary: str
    """Absolute remote path; empty: there is none."""
    why: str = "left over from an interrupted upload"
    kind: Kind = Kind.FILE
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of files that were on their way, if the server may have one under the final name without our knowing."""


@dataclass(frozen=True, slots=True)
class Probe:
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
    SWEPT = "swept"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Done:
    """An action succeeded."""

    action: Action
    did: Did
    fingerprint: Fingerprint | None = None
    """Of the file that was published."""
    sha256: bytes = b""
    duration_s: float = 0.0
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """An action did not succeed; ``error.retry`` says what to do about it."""

    action: Action
    error: FtpsyncdError
    connecting: bool = False
    """No connection could be had: it says something about the server, nothing about the action."""
    kept: int = 0
    """Bytes of an upload that the server had from earlier tries when this one began."""


Outcome = Done | Failed

# ── Specs: what the parts below `service` know of the configuration ──────────────────────────────────────────────


class DeletePolicy(StrEnum):
    """What a local delete does at the server."""

    MIRROR = "mirror"
    TRASH = "trash"
    KEEP = "keep"


class ExistingPolicy(StrEnum):
    """What to do about a remote file that we never published."""

    ADOPT = "adopt"
    OVERWRITE = "overwrite"
    KEEP = "keep"


class PublishMode(StrEnum):
    """Under which name a file is sent."""

    ATOMIC = "atomic"
    DIRECT = "direct"


class WatchMode(StrEnum):
    """How changes are noticed."""

    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


class TlsMode(StrEnum):
    """How a connection is protected (RFC 4217: explicit; implicit is the older practice on port 990)."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"
    OFF = "off"


class DataMode(StrEnum):
    """Who opens the data connection (RFC 959 §3.3)."""

    PASSIVE = "passive"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One FTP account and its limits."""

    name: str
    host: str
    user: str
    port: int = 21
    password: Callable[[], str] = field(repr=False, default=lambda: "")
    """Reads the secret when it is needed, so that a rotated secret is picked up; raises ConfigError."""
    tls: TlsMode = TlsMode.EXPLICIT
    tls_verify: bool = True
    tls_ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    tls_max: str = "1.3"
    mode: DataMode = DataMode.PASSIVE
    connections: int = 4
    bandwidth_bytes_s: int = 0
    """0: unlimited."""
    timeout_s: float = 30.0
    """For a control reply."""
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """How long something may last before a person is told."""

    server_offline_s: float = 300.0
    oldest_pending_s: float = 3600.0
    source_missing_s: float = 60.0
    paused_s: float = 3600.0
    remind_s: float = 86400.0
    """How often what lasts is told again; 0: never."""


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """Whom to tell when something needs a person."""

    command: tuple[str, ...] = ()
    webhook: Callable[[], str] | None = field(repr=False, default=None)
    """Reads the address when it is needed; raises ConfigError."""
    limits: AlertLimits = AlertLimits()


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """How many deletes at once need no person: a count, or a share of what is published."""

    count: int = 50
    percent: float | None = None

    def of(self, published_files: int) -> int:
        """The number of deletes allowed when ``published_files`` are published."""
        if self.percent is None:
            return self.count
        return int(published_files * self.percent / 100)


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """One local folder published to one remote directory."""

    name: str
    local: Path
    server: str
    remote: str
    include: tuple[str, ...] = ("@media",)
    exclude: tuple[str, ...] = ()
    settle_s: float = 2.0
    deletes: DeletePolicy = DeletePolicy.MIRROR
    delete_after_s: float = 10.0
    max_deletes: DeleteLimit = DeleteLimit()
    existing: ExistingPolicy = ExistingPolicy.ADOPT
    publish: PublishMode = PublishMode.ATOMIC
    watch: WatchMode = WatchMode.AUTO
    poll_every_s: float = 15.0
    rescan_s: float = 900.0
    follow_symlinks: bool = False
    empty_dirs: bool = False


# ── Status ───────────────────────────────────────────────────────────────────────────────────────────────────────


class MappingState(StrEnum):
    """The state of a mapping in one word."""

    IN_SYNC = "in_sync"
    SYNCING = "syncing"
    SETTLING = "settling"
    OFFLINE = "offline"
    HELD = "held"
    SOURCE_MISSING = "source_missing"
    PAUSED = "paused"


class ServerState(StrEnum):
    """The state of a server in one word."""

    IDLE = "idle"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    """Login or TLS refused: waits long, wants a person."""
    FULL = "full"
    UNKNOWN = "unknown"
    """Not tried yet."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The daemon itself."""

    running: bool
    pid: int
    version: str
    uptime_s: float
    message: str = ""
    """What is wrong with the daemon's own memory, the ledger; empty when all is well."""


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """One mapping at one moment."""

    name: str
    local: str
    remote: str
    state: MappingState
    pending: int
    in_flight: int
    failed: int
    """Paths whose last try failed and that are tried again."""
    parked: int
    held: int
    """Actions withheld until a person decides."""
    published_files: int
    published_bytes: int
    last_publish: str | None
    """ISO 8601 with offset, UTC; None if nothing was published yet."""
    message: str
    """One sentence; empty when all is well."""
    oldest_pending_s: float | None = None
    """How long the file that waits longest has been waiting; None if none waits."""
    watcher: str = ""
    """How changes are noticed: ``native``, ``poll``, ``native+poll``, or ``none`` yet; empty without a daemon."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine lives, for who watches over the daemon."""

    healthy: bool
    engine_running: bool
    engine_turn_age_s: float
    """Since its loop turned last."""
    limit_s: float
    """More than this is not healthy."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server at one moment."""

    name: str
    state: ServerState
    connections: int
    message: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file on its way."""

    mapping: str
    path: str
    sent_bytes: int
    size_bytes: int
    rate_bytes_s: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that could not be published, for people."""

    mapping: str
    path: str
    parked: bool
    attempts: int
    message: str
    reply: str
    remedy: str
    next_try: str | None
    """ISO 8601; None when parked, and for what cannot be read, which is looked at whenever it changes."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment; the shape of ``status --json``."""

    daemon: DaemonStatus
    mappings: tuple[MappingStatus, ...]
    servers: tuple[ServerStatus, ...]
    transfers: tuple[Transfer, ...]
    problems: tuple[Problem, ...] = ()
    """At most 100, parked ones first."""


# ── What a person asks the daemon, and what it answers ───────────────────────────────────────────────────────────


class CommandName(StrEnum):
    """What the running daemon can be told to do."""

    RESCAN = "rescan"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    APPROVE = "approve"
    DISCARD = "discard"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a path is, or is not, at the server; the shape of ``why --json``."""

    path: str
    """As it was asked for."""
    mapping: str | None
    """None if the path lies in no mapping."""
    state: str
    """One word, such as ``published``, ``settling``, ``pending``, ``failed``, ``parked``, ``held`` or ``ignored``."""
    sentence: str
    """For people: the reason, and what would change it."""
    details: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """What the sentence says, for programs: the server's reply, the size, the time, the pattern."""


# ── Events: what is worth a line in the log ──────────────────────────────────────────────────────────────────────


class EventKind(StrEnum):
    """What happened, in one word; the log's ``event`` field."""

    __hash__ = str.__hash__
    """As in `Did`."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    KEPT = "kept"
    RENAMED = "renamed"
    DELETED = "deleted"
    TRASHED = "trashed"
    MADE = "made"
    REMOVED = "removed"
    FORGOTTEN = "forgotten"
    FAILED = "failed"
    PARKED = "parked"
    HELD = "held"
    RELEASED = "released"
    SERVER_OFFLINE = "server_offline"
    SERVER_ONLINE = "server_online"
    SOURCE_MISSING = "source_missing"
    SOURCE_BACK = "source_back"
    WATCHER = "watcher"
    RESCAN = "rescan"
    IN_SYNC = "in_sync"
    LEDGER = "ledger"
    LEDGER_BACK = "ledger_back"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; rendered by the log, later by the control socket too."""

    kind: EventKind
    mapping: str = ""
    path: str = ""
    server: str = ""
    message: str = ""
    size: int = 0
    duration_s: float = 0.0
    reply: str = ""
    remedy: str = ""
    source: str = ""
    """The old path of a rename."""
    sha256: bytes = b""
    """Of the content; empty where it is not known."""
    attempts: int = 1
    """Which try this was, counted from 1."""
    error: str = ""
    """Class name of the error of a failure."""


# ── The history ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which receipts are wanted."""

    mapping: str | None = None
    kinds: tuple[str, ...] = ()
    """Values of `EventKind`; all if empty."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Wall clock; the first is included, the second is not."""
    path: str = ""
    """Relative to the mapping's folder: this path and all below it."""
    before: tuple[int, int] | None = None
    """Only those older than this one: its time and id."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to a path, or to a mapping; the shape of an entry of ``history --json``."""

    id: int
    at: str
    """ISO 8601 with offset, UTC; of the first try, where several are counted in one receipt."""
    mapping: str
    kind: str
    """A value of `EventKind`."""
    path: str
    source: str
    """The old path of a rename; else empty."""
    size: int
    sha256: str
    """64 hexadecimal digits; empty where the content is not known."""
    duration_s: float
    attempts: int
    last: str
    """Of the latest try; the same as ``at`` where there was one."""
    reply: str
    message: str


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Receipts, newest first."""

    entries: tuple[Receipt, ...]
    next: str | None = None
    """What to ask for as ``before`` to read on; None: there are no more."""


class HoldKind(StrEnum):
    """Why deletes wait for a person."""

    MASS_DELETE = "mass_delete"
    REPLACED_SOURCE = "replaced_source"
    UNMOUNTED_SOURCE = "unmounted_source"


class Hold(NamedTuple):
    """Deletes withheld until a person decides."""

    kind: HoldKind
    since_ns: int
    message: str
