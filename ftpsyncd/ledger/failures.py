"""The failures: paths that could not be published or deleted, until they are or are gone, kept in the ledger's file.

In: what became of a try, from the engine's thread, written with the ledger's next commit. Out: which paths wait, for
when or for whom. Used through `ledger.Ledger.failures`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ftpsyncd.core.plan import KEPT
from ftpsyncd.errors import ChangedAtServerError, NameNotSendableError, ServerFullError, UnwrittenError
from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import among, failure_of, inside, key_of, stored
from ftpsyncd.model import Failure
from ftpsyncd.paths import join

CHANGED = ChangedAtServerError.__name__
"""The kind of failures that wait for `approve` or `discard`."""

FOR_GOOD = (CHANGED, KEPT, NameNotSendableError.__name__)
"""The kinds of failures that nothing mends but a change here, or a person's decision."""
NO_SPACE = (ServerFullError.__name__, UnwrittenError.__name__)
"""The kinds of failures of files for which there was no space at the server."""
_MENDABLE = f"parked AND kind NOT IN ({','.join('?' * len(FOR_GOOD))})"
_HAS_ROW = (
    "EXISTS(SELECT 1 FROM entry WHERE entry.mapping=failure.mapping AND entry.dir=failure.dir"
    " AND entry.name=failure.name)"
)
_MAY_BE_TRIED = f"CASE WHEN size IS NULL THEN ? OR {_HAS_ROW} ELSE failed_ns>? OR size*?<=?-failed_ns END"
"""With the values of a `Trial`."""

_RETRYING, _PARKED, _HELD = range(3)
"""Places in `FailureCounts`."""

Statement = Callable[[str, Sequence[object]], Cursor]


class FailureCounts(NamedTuple):
    """How many paths of a mapping failed."""

    retrying: int
    parked: int
    held: int = 0
    """Files that are to be deleted and were changed at the server."""


class ParkedIn(NamedTuple):
    """What is parked in one directory, and may be mended at the server."""

    directory: str
    first_ns: int
    """When that failed which has not been tried for longest; wall clock."""
    last_ns: int
    """When anything of it failed last."""
    attempts: int
    """Of that which failed most often."""


class Trial(NamedTuple):
    """What of that may be tried now."""

    empty_dirs: int
    """1: also a directory that could not be made and was never published; 0: only when something in it is."""
    now_ns: int
    """Wall clock."""
    wait_ns: int
    """For how long each byte of a file that failed has it wait."""

    @property
    def values(self) -> tuple[int, ...]:
        """Those of `_MAY_BE_TRIED`."""
        return (self.empty_dirs, self.now_ns, self.wait_ns, self.now_ns)


class Failures:
    """The failures of one ledger.

    Args:
        write: one statement, within the ledger's transaction.
        read: a query.
    """

    def __init__(self, write: Statement, read: Statement) -> None:
        self._write = write
        self._read = read
        self._failing: set[int] = set()
        """Mappings that have, or had, failures: of the others nothing need be asked or cleared."""
        self._counted: dict[int, list[int]] | None = None
        """Their `counts`, as far as they are known; None where somebody else writes them."""

    def load(self) -> None:
        """By who writes: find out which mappings have failures, before anything is cleared, and before `tries`."""
        self._counted = {}
        self._failing = {mapping for (mapping,) in self._read("SELECT DISTINCT mapping FROM failure", ())}

    def of(self, mapping: int, path: str) -> Failure | None:
        """The failure of one path."""
        found = self._read(
            "SELECT size, mtime_ns, inode, attempts, parked, next_try_ns, kind, message, reply, remedy, failed_ns"
            " FROM failure WHERE mapping=? AND dir=? AND name=?",
            (mapping, *key_of(path)),
        ).fetchone()
        return failure_of(found) if found else None

    def names_in(self, mapping: int, directory: str) -> list[str]:
        """The names in one directory that failed."""
        cursor = self._read("SELECT name FROM failure WHERE mapping=? AND dir=?", (mapping, os.fsencode(directory)))
        return [os.fsdecode(name) for (name,) in cursor]

    def of_names(self, mapping: int, directory: str, names: Sequence[str]) -> dict[str, Failure]:
        """The failures of some names of one directory, by name: of at most some thousand."""
        if not names:
            return {}
        some, values = among(names)
        columns = "name, size, mtime_ns, inode, attempts, parked, next_try_ns, kind, message, reply, remedy, failed_ns"
        sql = f"SELECT {columns} FROM failure WHERE mapping=? AND dir=? AND name IN {some}"  # noqa: S608 - constants
        cursor = self._read(sql, (mapping, os.fsencode(directory), *values))
        return {os.fsdecode(r[0]): failure_of(r[1:]) for r in cursor}

    def worst(self, mapping: int, limit: int) -> list[tuple[str, Failure]]:
        """Some failures of a mapping, parked ones first."""
        cursor = self._read(
            "SELECT dir, name, size, mtime_ns, inode, attempts, parked, next_try_ns, kind, message, reply, remedy,"
            " failed_ns FROM failure WHERE mapping=? ORDER BY parked DESC, failed_ns LIMIT ?",
            (mapping, limit),
        )
        return [(join(os.fsdecode(r[0]), os.fsdecode(r[1])), failure_of(r[2:])) for r in cursor]

    def all(self, mapping: int) -> Iterator[tuple[str, Failure]]:
        """The failures of a mapping, in the order of their directories."""
        cursor = self._read(
            "SELECT dir, name, size, mtime_ns, inode, attempts, parked, next_try_ns, kind, message, reply, remedy,"
            " failed_ns FROM failure WHERE mapping=? ORDER BY dir, name",
            (mapping,),
        )
        return ((join(os.fsdecode(r[0]), os.fsdecode(r[1])), failure_of(r[2:])) for r in cursor)

    def counts(self, mapping: int) -> FailureCounts:
        """How many paths wait for another try, how many are parked, and how many are held.

        Of who writes they are counted once: a status asks four times a second, and there may be hundreds of thousands.
        """
        if self._counted is not None and mapping not in self._failing:
            return FailureCounts(0, 0)
        if self._counted is not None and mapping in self._counted:
            return FailureCounts(*self._counted[mapping])
        sql = (
            "SELECT ifnull(sum(parked=0),0), ifnull(sum(parked AND kind<>?),0), ifnull(sum(parked AND kind=?),0)"
            " FROM failure WHERE mapping=?"
        )
        counts = FailureCounts(*self._read(sql, (CHANGED, CHANGED, mapping)).fetchone())
        if self._counted is not None:
            self._counted[mapping] = [*counts]
        return counts

    def _group(self, mapping: int, path: str) -> int | None:
        """Which of `FailureCounts` a path is counted in; None: it has not failed."""
        sql = "SELECT parked, kind FROM failure WHERE mapping=? AND dir=? AND name=?"
        found = self._read(sql, (mapping, *key_of(path))).fetchone()
        return None if found is None else _group_of(*found)

    def _count(self, mapping: int, group: int | None, step: int) -> None:
        if group is not None and self._counted is not None and mapping in self._counted:
            self._counted[mapping][group] += step

    def recount(self, mapping: int) -> None:
        """More has changed than is known of single paths."""
        if self._counted is not None:
            self._counted.pop(mapping, None)

    def parked_by_directory(self, mapping: int, trial: Trial) -> list[ParkedIn]:
        """The directories in which something is parked that may be mended at the server, and may be tried now."""
        if mapping not in self._failing:
            return []
        sql = (
            "SELECT dir, min(failed_ns), max(failed_ns), max(attempts) FROM failure"  # noqa: S608 - constants
            f" WHERE mapping=? AND {_MENDABLE} GROUP BY dir HAVING max({_MAY_BE_TRIED})"
        )
        return [ParkedIn(os.fsdecode(r[0]), *r[1:]) for r in self._read(sql, (mapping, *FOR_GOOD, *trial.values))]

    def first_parked_in(self, mapping: int, directory: str, trial: Trial) -> str | None:
        """The path in a directory, of those for which `parked_by_directory` names it, that failed longest ago."""
        sql = (
            "SELECT name FROM failure"  # noqa: S608 - constants
            f" WHERE mapping=? AND dir=? AND {_MENDABLE} AND {_MAY_BE_TRIED} ORDER BY failed_ns LIMIT 1"
        )
        found = self._read(sql, (mapping, os.fsencode(directory), *FOR_GOOD, *trial.values)).fetchone()
        return join(directory, os.fsdecode(found[0])) if found else None

    def release(self, mapping: int, path: str) -> None:
        """A parked path is tried again; how often it has failed is remembered."""
        sql = "UPDATE failure SET parked=0, next_try_ns=failed_ns WHERE mapping=? AND dir=? AND name=?"
        if (group := self._group(mapping, path)) is not None:
            self._write(sql, (mapping, *key_of(path)))
            self._count(mapping, group, -1)
            self._count(mapping, _RETRYING, 1)

    def release_in(self, mapping: int, directory: str) -> None:
        """All that `parked_by_directory` counts in a directory is tried again."""
        sql = f"UPDATE failure SET parked=0, next_try_ns=failed_ns WHERE mapping=? AND dir=? AND {_MENDABLE}"  # noqa: S608 - constants
        self._write(sql, (mapping, os.fsencode(directory), *FOR_GOOD))
        self.recount(mapping)

    def without_space(self, mapping: int, limit: int = 64, *, below: str = "") -> list[str]:
        """Files for which the server had no space, and which are tried again; some, those that have waited longest.

        Args:
            mapping: whose.
            limit: at most so many.
            below: only those in this directory, at any depth.
        """
        if mapping not in self._failing:
            return []
        found: list[tuple[int, bytes, bytes]] = []
        for where, values in inside(below):
            which = f"mapping=? AND {where} AND NOT parked AND kind IN (?,?)"
            sql = f"SELECT failed_ns, dir, name FROM failure WHERE {which} ORDER BY failed_ns LIMIT ?"  # noqa: S608 - a constant
            found += self._read(sql, (mapping, *values, *NO_SPACE, limit))
        return [join(os.fsdecode(above), os.fsdecode(name)) for _, above, name in sorted(found)[:limit]]

    def changed_at_server(self, mapping: int, limit: int = -1) -> list[str]:
        """Files that are to be deleted and were changed at the server: they wait for a person. All, or some of them."""
        sql = "SELECT dir, name FROM failure WHERE mapping=? AND parked AND kind=? LIMIT ?"
        return [join(os.fsdecode(r[0]), os.fsdecode(r[1])) for r in self._read(sql, (mapping, CHANGED, limit))]

    def any_changed_below(self, mapping: int, directory: str) -> bool:
        """Whether a file below a directory is among those (`changed_at_server`)."""
        for where, values in inside(directory):
            sql = f"SELECT 1 FROM failure WHERE mapping=? AND {where} AND parked AND kind=? LIMIT 1"  # noqa: S608 - a constant
            if self._read(sql, (mapping, *values, CHANGED)).fetchone() is not None:
                return True
        return False

    def tries(self, mapping: int, path: str) -> int:
        """How often a path has failed since it was last published."""
        if mapping not in self._failing:
            return 0
        sql = "SELECT attempts FROM failure WHERE mapping=? AND dir=? AND name=?"
        found = self._read(sql, (mapping, *key_of(path))).fetchone()
        return found[0] if found else 0

    def put(self, mapping: int, path: str, failure: Failure) -> None:
        """Record that a path failed."""
        self._failing.add(mapping)
        self._count(mapping, self._group(mapping, path), -1)
        size, mtime_ns, inode = failure.fingerprint or (None, None, None)
        self._write(
            "INSERT OR REPLACE INTO failure VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                mapping,
                *key_of(path),
                size,
                None if mtime_ns is None else stored(mtime_ns),
                inode,
                failure.attempts,
                int(failure.parked),
                failure.next_try_ns,
                failure.kind,
                failure.message,
                failure.reply,
                failure.remedy,
                failure.failed_ns,
            ),
        )
        self._count(mapping, _group_of(failure.parked, failure.kind), 1)

    def redate(self, mapping: int, since_ns: int, until_ns: int, by_ns: int) -> None:
        """The clock was set: what failed between two moments did so, and is tried again, by so much later."""
        if mapping in self._failing:
            sql = (
                "UPDATE failure SET failed_ns=failed_ns+?, next_try_ns=next_try_ns+?"
                " WHERE mapping=? AND failed_ns BETWEEN ? AND ?"
            )
            self._write(sql, (by_ns, by_ns, mapping, since_ns, until_ns))

    def clear(self, mapping: int, path: str) -> None:
        """Drop the failure of one path."""
        if mapping not in self._failing or (group := self._group(mapping, path)) is None:
            return
        self._write("DELETE FROM failure WHERE mapping=? AND dir=? AND name=?", (mapping, *key_of(path)))
        self._count(mapping, group, -1)

    def clear_below(self, mapping: int, directory: str) -> int:
        """Drop the failures of everything below a directory; returns how many there were."""
        count = 0
        for where, values in inside(directory):
            count += self._write(f"DELETE FROM failure WHERE mapping=? AND {where}", (mapping, *values)).rowcount  # noqa: S608 - a constant
        if count:
            self.recount(mapping)
        return count

    def clear_all(self, mapping: int) -> int:
        """Drop all failures of a mapping; returns how many there were."""
        counts = self.counts(mapping)
        self._write("DELETE FROM failure WHERE mapping=?", (mapping,))
        self.recount(mapping)
        return sum(counts)


def _group_of(parked: int, kind: str) -> int:
    """Which of `FailureCounts` a failure is counted in."""
    if not parked:
        return _RETRYING
    return _HELD if kind == CHANGED else _PARKED
