"""What is to be done at a server, and what became of it: actions and outcomes.

Everything here is immutable and free of behaviour beyond what its fields imply. Paths are as in `ftpsyncd.paths`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ftpsyncd.errors import NO_ANSWER, FtpsyncdError, RemoteError
from ftpsyncd.model import Exposure, Fingerprint, Kind, Row


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
    GONE = "gone"
    """A file that was to be deleted: the server showed none under its name. If there was one all the same, it went."""
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
    reached: bool = False
    """A data connection had come about for an upload, or for a listing behind its refusal, whatever became of it."""
    alone: bool = False
    """No other connection was open, over which a transfer could have been under way; told of too many transfers."""


Outcome = Done | Failed


def is_answer(outcome: Outcome) -> bool:
    """Whether the server has done something, or refused to."""
    if isinstance(outcome, Done):
        return True
    return isinstance(outcome.error, RemoteError) and outcome.error.retry not in NO_ANSWER
