"""The ledger's tables: their SQL from the first version on, and how paths, numbers and rows are stored in them. Pure.

Paths are BLOBs of the bytes that the file system gives, cut into directory and name; dates that exceed SQLite's
integers are kept all the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from ftpsyncd.ledger import history
from ftpsyncd.model import Exposure, Failure, Fingerprint, Intent, Kind, Row

_FIRST = """
CREATE TABLE mapping(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    destination TEXT NOT NULL,      -- host, port, user and directory: another destination is another mapping
    root_inode INTEGER,
    root_filesystem INTEGER,
    hold_kind TEXT,
    hold_since_ns INTEGER,
    hold_message TEXT,
    paused INTEGER NOT NULL DEFAULT 0, -- when it was, in ns; 1: by a version that kept no time; 0: it is not
    files INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    last_publish_ns INTEGER,
    UNIQUE(name, destination)
);
CREATE TABLE entry(
    mapping INTEGER NOT NULL,
    dir BLOB NOT NULL,
    name BLOB NOT NULL,
    kind INTEGER NOT NULL,          -- 0 file, 1 directory
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    published_ns INTEGER NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY(mapping, dir, name)
) WITHOUT ROWID;
CREATE INDEX entry_inode ON entry(mapping, inode, size, mtime_ns);
CREATE TABLE failure(
    mapping INTEGER NOT NULL,
    dir BLOB NOT NULL,
    name BLOB NOT NULL,
    size INTEGER, mtime_ns INTEGER, inode INTEGER,
    attempts INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    next_try_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    reply TEXT NOT NULL,
    remedy TEXT NOT NULL,
    failed_ns INTEGER NOT NULL,
    PRIMARY KEY(mapping, dir, name)
) WITHOUT ROWID;
CREATE TABLE intent(
    mapping INTEGER NOT NULL,
    path BLOB NOT NULL,
    kind INTEGER NOT NULL,
    temporary BLOB NOT NULL,
    source BLOB NOT NULL,
    fingerprints TEXT NOT NULL,     -- JSON: [[size, mtime_ns, inode], ...]
    PRIMARY KEY(mapping, path)
) WITHOUT ROWID;
"""

_PROFILES = """
CREATE TABLE profile(
    account TEXT PRIMARY KEY,       -- user@host:port
    text TEXT NOT NULL              -- JSON, of remote.keeping.Keeper
) WITHOUT ROWID;
ALTER TABLE intent ADD COLUMN received INTEGER NOT NULL DEFAULT 0;   -- ctime in ns of the file of which a part is there
"""

_PARTS = """
ALTER TABLE intent ADD COLUMN parts BLOB NOT NULL DEFAULT x'';     -- remote paths, separated by NUL
"""

_DISCARDING = """
ALTER TABLE mapping ADD COLUMN discarding INTEGER NOT NULL DEFAULT 0;  -- 1: what is gone is being forgotten
"""

_APPROVED = """
CREATE TABLE approved(
    mapping INTEGER NOT NULL,
    path BLOB NOT NULL,
    changed INTEGER NOT NULL,       -- 1: a file, whatever has become of it at the server; 0: what is gone here
    files INTEGER NOT NULL,
    PRIMARY KEY(mapping, path, changed)
) WITHOUT ROWID;
"""

_EXPOSED = """
ALTER TABLE intent ADD COLUMN exposed TEXT NOT NULL DEFAULT '';    -- JSON: [size, since_ns, until_ns]
"""

_WORST = """
CREATE INDEX failure_worst ON failure(mapping, parked DESC, failed_ns, kind);   -- all that counts and lists ask for
"""

_SPELLING = """
ALTER TABLE mapping ADD COLUMN encoding TEXT NOT NULL DEFAULT '';  -- of the names at the server; empty: not known
"""

_BRINGS = """
ALTER TABLE intent ADD COLUMN brings BLOB NOT NULL DEFAULT x'';    -- paths, separated by NUL
"""

_CTIME = """
ALTER TABLE entry ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;  -- of a file, at its last look; 0: by published_ns
"""

_ELSEWHERE = """
CREATE TABLE elsewhere(
    mapping INTEGER NOT NULL,
    path BLOB NOT NULL,
    place BLOB NOT NULL,            -- a directory on another disk; empty: another folder in the root's place
    PRIMARY KEY(mapping, path)
) WITHOUT ROWID;
-- Older versions concluded it from the hold: a daemon of theirs may have been killed, and all be as it was by now.
INSERT INTO elsewhere SELECT intent.mapping, path, x'' FROM intent JOIN mapping ON mapping.id=intent.mapping
    WHERE hold_kind IN ('replaced_source', 'unmounted_source') AND hold_message LIKE '/%';
-- Of disks inside the folder, only the first is named.
INSERT OR IGNORE INTO elsewhere SELECT intent.mapping, intent.path, disk.path FROM intent
    JOIN mapping ON mapping.id=intent.mapping
    JOIN (SELECT mapping, device, CAST(CASE dir WHEN x'' THEN name ELSE dir||'/'||name END AS BLOB) AS path
        FROM entry WHERE kind=1 AND name<>x'') AS disk
        ON disk.mapping=mapping.id AND substr(intent.path, 1, length(disk.path)+1)=CAST(disk.path||'/' AS BLOB)
    WHERE hold_kind='replaced_source' AND (
        instr(hold_message, disk.path||' was ')=1 OR instr(hold_message, disk.path||' is ')=1
        OR (device<>0 AND hold_message LIKE '%(and % more): %'));
"""

_BEHIND = """
ALTER TABLE mapping ADD COLUMN behind TEXT;                -- what was told of a mass delete before another hold came
"""

MIGRATIONS = (
    _FIRST,
    _PROFILES,
    history.SCHEMA,
    _PARTS,
    _DISCARDING,
    _APPROVED,
    history.INDEX_OF_LAST,
    _EXPOSED,
    _WORST,
    _SPELLING,
    _BRINGS,
    _CTIME,
    _ELSEWHERE,
    _BEHIND,
)
"""The script at index n turns a ledger of schema n into one of schema n + 1. Published ones are never edited."""
SCHEMA_VERSION = len(MIGRATIONS)
PROFILES_SINCE = RECEIVED_SINCE = 2
HISTORY_SINCE, PARTS_SINCE, DISCARDING_SINCE, APPROVED_SINCE, LAST_SINCE, EXPOSED_SINCE = 3, 4, 5, 6, 7, 8
BRINGS_SINCE, CTIME_SINCE = 11, 12
"""A ledger that is only read stays as it is, and may be older."""

BY_INODE = "entry INDEXED BY entry_inode"
"""Left to itself SQLite prefers the primary key, of which only the mapping is known, and reads all rows of that."""
_KINDS = {Kind.FILE: 0, Kind.DIR: 1}
_NAME_MAX = 255
_PRINT = "[%d,%d,%d]"
_KIND_OF = {0: Kind.FILE, 1: Kind.DIR}
_LARGEST = (1 << 63) - 1


ENCODING, ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""As `os.fsdecode` and `os.fsencode`, spelled out where a call per file would cost as much as the rest."""


def key_of(path: str) -> tuple[bytes, bytes]:
    """Directory and name of a path."""
    directory, _, name = encoded(path).rpartition(b"/")
    return directory, name


def encoded(path: str) -> bytes:
    """As `os.fsencode`."""
    return path.encode(ENCODING, ERRORS)


def row_values(item: tuple[tuple[int, str], Row]) -> tuple[object, ...]:
    """A row of ``entry``: of a mapping and a path."""
    (mapping, path), row = item
    directory, name = key_of(path)
    size, mtime_ns, inode = row.fingerprint
    return (
        mapping,
        directory,
        name,
        0 if row.kind is Kind.FILE else 1,
        size,
        stored(mtime_ns),
        inode,
        row.sha256,
        row.published_ns,
        row.device,
        min(row.ctime_ns, _LARGEST),
    )


def inside(directory: str) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    """Conditions for the rows in a directory and for those further below it.

    Two, because with OR between them SQLite reads all rows of the mapping.
    """
    return ("dir=?", (os.fsencode(directory),)), ("dir>=? AND dir<?", subtree(directory))


def subtree(directory: str) -> tuple[bytes, bytes]:
    """The half-open range of ``dir`` values strictly below a directory ("/" + 1 is "0")."""
    prefix = os.fsencode(directory)
    return (prefix + b"/", prefix + b"0") if prefix else (b"\x00", b"\xff" * (_NAME_MAX + 1))


def among(names: Sequence[str]) -> tuple[str, list[bytes]]:
    """A list of placeholders for some names, at least one, and their values.

    There are more of them than names, up to the next power of two, and the last name is repeated: so that the
    statements are few, and kept prepared.
    """
    values = [encoded(name) for name in names]
    values += values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
    return f"({','.join('?' * len(values))})", values


def stored(number: int) -> int | bytes:
    """A number that may exceed SQLite's integers: there are dates far beyond the year 2262, and sparse files."""
    return number if -(1 << 63) <= number < 1 << 63 else number.to_bytes(16, "big", signed=True)


def loaded(value: int | bytes) -> int:
    """Undo `stored`."""
    return int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else value


FILES_AND_BYTES = "count(*), ifnull(sum(size>>32),0), ifnull(sum(size&4294967295),0)"
"""Of rows of ``entry``, for `files_and_bytes`: of files of 8 EiB, the most that there are, two sum up to an error."""


def files_and_bytes(row: tuple[int, int, int]) -> tuple[int, int]:
    """How many files, and how many bytes they have together."""
    files, high, low = row
    return files, (high << 32) + low


def intent_values(mapping: int, path: str, intent: Intent) -> tuple[object, ...]:
    """A row of ``intent``."""
    return (
        mapping,
        encoded(path),
        _KINDS[intent.kind],
        encoded(intent.temporary),
        encoded(intent.source),
        f"[{','.join(map(_PRINT.__mod__, intent.fingerprints))}]",
        stored(intent.received),
        encoded("\0".join(intent.parts)),
        "" if intent.exposed is None else _PRINT % intent.exposed,
        encoded("\0".join(intent.brings)),
    )


def intent_of(r: tuple[int, bytes, bytes, str, int | bytes, bytes, str, bytes]) -> Intent:
    """From kind on."""
    fingerprints = tuple(Fingerprint(*values) for values in json.loads(r[3]))
    exposed = Exposure(*json.loads(r[6])) if r[6] else None
    temporary, source = os.fsdecode(r[1]), os.fsdecode(r[2])
    return Intent(_KIND_OF[r[0]], temporary, source, fingerprints, loaded(r[4]), _paths(r[5]), exposed, _paths(r[7]))


def _paths(joined: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(joined).split("\0")) if joined else ()


def columns(version: int) -> str:
    """What `row_of` is made from, of a ledger with tables of this version."""
    ctime = "ctime_ns" if version >= CTIME_SINCE else "0"
    return f"kind, size, mtime_ns, inode, sha256, published_ns, device, {ctime}"


def row_of(r: tuple[int, int, int | bytes, int, bytes, int, int, int]) -> Row:
    """From kind on."""
    return Row(_KIND_OF[r[0]], Fingerprint(r[1], loaded(r[2]), r[3]), r[4], r[5], r[6], r[7])


def failure_of(
    r: tuple[int | None, int | bytes | None, int | None, int, int, int, str, str, str, str, int],
) -> Failure:
    """From size on."""
    size, mtime_ns, inode = r[:3]
    fingerprint = None
    if size is not None and mtime_ns is not None and inode is not None:
        fingerprint = Fingerprint(size, loaded(mtime_ns), inode)
    return Failure(fingerprint, r[3], bool(r[4]), r[5], r[6], r[7], r[8], r[9], r[10])
