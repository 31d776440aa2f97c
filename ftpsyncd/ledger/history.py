"""The history: a receipt for everything that was done, failed or was withheld, kept for a while in the ledger's file.

In: what happened, from the engine's thread, written with the ledger's next commit: a receipt exists if and only if the
row it belongs to does. Out: pages of receipts, newest first. Used through `ledger.Ledger.history`.

A path that goes on failing does not write a receipt per try: as long as its failure is open, further tries are counted
in the receipts that the failure has already, one as failed and one as parked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ftpsyncd.events import Event, EventKind
from ftpsyncd.paths import above

if TYPE_CHECKING:
    # Who records and never reads back, a `sync`, need not load it.
    from ftpsyncd.receipts import HistoryQuery

SCHEMA = """
CREATE TABLE history(
    id INTEGER PRIMARY KEY,
    mapping INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,       -- of the latest try that is counted in this receipt
    kind TEXT NOT NULL,
    path BLOB NOT NULL,
    source BLOB NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    duration_s REAL NOT NULL,
    attempts INTEGER NOT NULL,
    reply TEXT NOT NULL,
    message TEXT NOT NULL,
    open INTEGER NOT NULL           -- 1: further failures of the path are counted here
);
CREATE INDEX history_time ON history(at_ns);
CREATE INDEX history_open ON history(mapping, path, kind) WHERE open;
"""

INDEX_OF_LAST = """
CREATE INDEX history_last ON history(last_ns) WHERE last_ns>at_ns;     -- of what was tried again: few
"""

RECORDED = frozenset(
    {
        EventKind.PUBLISHED,
        EventKind.UNCHANGED,
        EventKind.ADOPTED,
        EventKind.KEPT,
        EventKind.RENAMED,
        EventKind.DELETED,
        EventKind.TRASHED,
        EventKind.REMOVED,
        EventKind.FORGOTTEN,
        EventKind.FAILED,
        EventKind.PARKED,
        EventKind.HELD,
        EventKind.RELEASED,
    }
)
"""What has a receipt."""

ARRIVED = (EventKind.PUBLISHED, EventKind.UNCHANGED, EventKind.ADOPTED, EventKind.RENAMED)
"""What is written together with a file's row."""

_WITH_ALL_IN_IT = f"'{EventKind.RENAMED.value}','{EventKind.FORGOTTEN.value}'"
"""What is told of a directory only, and done to all that is in it."""

COUNTED = frozenset({EventKind.FAILED, EventKind.PARKED, EventKind.KEPT})
"""What is counted while it goes on, instead of being written each time."""

SAME_TROUBLE_NS = 3600 * 10**9
"""Where nothing says whether a failure is a new one, it is the old one if that was seen so lately."""

_INSERT = (
    "INSERT INTO history(mapping, at_ns, last_ns, kind, path, source, size, sha256, duration_s, attempts, reply,"
    " message, open) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_COLUMNS = (
    "h.id, m.name AS mapping, h.at_ns, h.last_ns, h.kind, hex(h.path) AS path, hex(h.source) AS source, h.size,"
    " hex(h.sha256) AS sha256, h.duration_s, h.attempts, h.reply, h.message"
)
_FIELDS = "id, mapping, at_ns, last_ns, kind, path, source, size, sha256, duration_s, attempts, reply, message"
_TEXT_MAX = 1000
"""Characters of a reply or a message."""
_NS_MAX = (1 << 63) - 1
"""SQLite's largest integer: a moment in the year 2262."""


class Cursor(Protocol):
    """What is used of a database's cursor."""

    @property
    def rowcount(self) -> int:
        """Rows that a statement changed."""

    def fetchall(self) -> list[Any]:
        """All rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Recorded(NamedTuple):
    """One receipt as it is stored."""

    id: int
    mapping: str
    at_ns: int
    last_ns: int
    kind: str
    path: str
    source: str
    size: int
    sha256: bytes
    duration_s: float
    attempts: int
    reply: str
    message: str


class History:
    """The receipts of one ledger.

    Args:
        write: one statement, within the ledger's transaction.
        write_many: one statement for many rows, likewise.
        read: a query.
        keep_s: how long receipts are kept; 0: none are written, and what there is goes.
        last_is_indexed: whether the file has `INDEX_OF_LAST`; one of an older version that is only read has not.
    """

    def __init__(
        self,
        write: Callable[[str, tuple[object, ...]], Cursor],
        write_many: Callable[[str, Iterable[tuple[object, ...]]], None],
        read: Callable[[str, tuple[object, ...]], Cursor],
        *,
        keep_s: float,
        last_is_indexed: bool,
    ) -> None:
        self.keep_s = keep_s
        self._by_last = "INDEXED BY history_last" if last_is_indexed else ""
        self._write = write
        self._write_many = write_many
        self._read = read
        self._new: list[tuple[object, ...]] = []

    @property
    def waiting(self) -> bool:
        """Whether receipts wait for `flush`."""
        return bool(self._new)

    def record(self, mapping: int, event: Event, at_ns: int, *, again: bool | None = None) -> None:
        """Note what happened, if it is of a kind that has receipts.

        Args:
            mapping: its number in the ledger.
            event: what happened.
            at_ns: wall clock.
            again: for failures: whether the path has been failing since its last receipt; None if nobody knows.
        """
        if event.kind not in RECORDED or not self.keep_s:
            return
        # A hold of the mapping's deletes is another one each time; a file that is held by itself goes on being held.
        if event.kind not in COUNTED and not (event.kind is EventKind.HELD and event.path):
            self._new.append(_values(mapping, event, at_ns))
            return
        self.flush()
        path = os.fsencode(event.path)
        if again is False:
            self._write("UPDATE history SET open=0 WHERE mapping=? AND path=? AND open", (mapping, path))
        counted = self._write(
            "UPDATE history SET last_ns=?, attempts=max(attempts+1,?), reply=?, message=?, size=?"
            " WHERE mapping=? AND path=? AND kind=? AND open AND last_ns>=?",
            (
                at_ns,
                event.attempts,
                _text(event.reply),
                _text(event.message),
                event.size,
                mapping,
                path,
                event.kind.value,
                at_ns - SAME_TROUBLE_NS if again is None else 0,
            ),
        )
        if not counted.rowcount:
            sql = "UPDATE history SET open=0 WHERE mapping=? AND path=? AND kind=? AND open"
            self._write(sql, (mapping, path, event.kind.value))
            self._write(_INSERT, _values(mapping, event, at_ns, still_open=True))

    def flush(self) -> None:
        """Write what was noted."""
        if self._new:
            new, self._new = self._new, []
            self._write_many(_INSERT, new)

    def prune(self, now_ns: int, limit: int) -> int:
        """Drop up to ``limit`` receipts that are too old; returns how many there were."""
        sql = "SELECT id FROM history WHERE at_ns<? ORDER BY at_ns LIMIT ?"
        old = self._read(sql, (now_ns - int(self.keep_s * 1e9), limit)).fetchall()
        if old:
            self._write_many("DELETE FROM history WHERE id=?", old)
        return len(old)

    def known_ns(self) -> int:
        """What time it is at least, by the receipts; wall clock, 0 if there are none.

        Not by those that may be of a clock that was years ahead: there is a gap before them in which all the others
        have become too old, and they are not of as long a time themselves.
        """
        keep_ns = int(self.keep_s * 1e9)
        newest = first = self._moment("max", "1", none=0)
        while newest - first < keep_ns:
            earlier = self._moment("min", "at_ns>?", first - keep_ns, none=first)
            if earlier == first:
                return self._moment("max", "at_ns<?", first, none=newest)
            first = earlier
        return newest

    def _moment(self, which: str, condition: str, *values: int, none: int) -> int:
        """When the first or last receipt that fits was written."""
        sql = f"SELECT {which}(at_ns) FROM history INDEXED BY history_time WHERE {condition}"  # noqa: S608 - constants
        [(moment,)] = self._read(sql, values).fetchall()
        return none if moment is None else int(moment)

    def page(self, query: HistoryQuery) -> list[Recorded]:
        """The receipts that fit, newest first, at most ``query.limit``.

        Of what was tried again and again, a receipt is of all the time from the first try to the latest: it fits a
        period that has anything of that.
        """
        if query.since_ns is None:
            return self._found(query, "INDEXED BY history_time")
        since_ns = _storable(query.since_ns)
        found = self._found(query, "INDEXED BY history_time", "h.at_ns>=?", since_ns)
        if len(found) < query.limit:
            rest = query._replace(limit=query.limit - len(found))
            earlier = "h.at_ns<? AND h.last_ns>=? AND h.last_ns>h.at_ns"
            # All of them began earlier than those.
            found += self._found(rest, self._by_last, earlier, since_ns, since_ns)
        return found

    def _found(self, query: HistoryQuery, index: str, begun: str = "", *moments: int) -> list[Recorded]:
        """Receipts, newest first, of which ``begun`` is true, too; the query's ``since_ns`` is not used."""
        conditions, values = ["h.mapping=m.id"], list[object]()

        def require(condition: str, *given: object) -> None:
            conditions.append(condition)
            values.extend(given)

        if query.mapping is not None:
            require("m.name=?", query.mapping)
        if query.among:
            require(f"m.name IN ({','.join('?' * len(query.among))})", *query.among)
        if query.kinds:
            require(f"h.kind IN ({','.join('?' * len(query.kinds))})", *query.kinds)
        if begun:
            require(begun, *moments)
        if query.until_ns is not None:
            require("h.at_ns<?", _storable(query.until_ns))
        if query.path:
            path = os.fsencode(query.path)
            low, high = path + b"/", path + b"0"
            inside = " OR ".join(f"{column}=? OR ({column}>=? AND {column}<?)" for column in ("h.path", "h.source"))
            # The one receipt of a directory tells what became of each file in it.
            over = [os.fsencode(each) for each in above(query.path) if each]
            marks = ",".join("?" * len(over))
            with_it = f"h.kind IN ({_WITH_ALL_IN_IT}) AND (h.path IN ({marks}) OR h.source IN ({marks}))"
            require(f"({inside} OR {with_it})", path, low, high, path, low, high, *over, *over)
        if query.before is not None:
            require("(h.at_ns, h.id)<(?,?)", *query.before)
        # CROSS JOIN: the order of time comes from the index, so that a page costs no more than its receipts. All in one
        # row: for each row that it fetches, sqlite3 lets another thread run, and a daemon that publishes has many.
        page = (
            f"SELECT {_COLUMNS} FROM history h {index} CROSS JOIN mapping m"  # noqa: S608 - constants
            f" WHERE {' AND '.join(conditions)} ORDER BY h.at_ns DESC, h.id DESC LIMIT ?"
        )
        sql = f"SELECT json_group_array(json_array({_FIELDS})) FROM ({page})"  # noqa: S608 - constants
        [(text,)] = self._read(sql, (*values, query.limit)).fetchall()
        found = [_recorded(row) for row in json.loads(text)]
        # SQLite promises no order within a group.
        found.sort(key=lambda recorded: (recorded.at_ns, recorded.id), reverse=True)
        return found

    def of_arrival(self, mapping: int, path: str, at_ns: int) -> Recorded | None:
        """How a file came to be at the server as its row says; none if that is older than the history.

        Args:
            mapping: its number in the ledger.
            path: of the file.
            at_ns: since when its row says that it is there, which was written together with the receipt.
        """
        kinds = ",".join(f"'{kind.value}'" for kind in ARRIVED)
        # Few things are recorded in one moment, and the times have an index: paths need none for this.
        return self._one(
            "history_time", f"h.at_ns=? AND h.mapping=? AND h.path=? AND h.kind IN ({kinds})", at_ns, mapping, path
        )

    def of_failure(self, mapping: int, path: str) -> Recorded | None:
        """The latest tries of a path whose failure is open."""
        return self._one("history_open", "h.open AND h.mapping=? AND h.path=?", mapping, path)

    def _one(self, index: str, condition: str, *values: int | str) -> Recorded | None:
        """The latest receipt that fits; the path is the last of the values."""
        self.flush()
        sql = (
            f"SELECT {_COLUMNS} FROM history h INDEXED BY {index} CROSS JOIN mapping m ON m.id=h.mapping"  # noqa: S608 - constants
            f" WHERE {condition} ORDER BY h.last_ns DESC, h.id DESC LIMIT 1"
        )
        found = self._read(sql, (*values[:-1], os.fsencode(str(values[-1])))).fetchall()
        return _recorded(list(found[0])) if found else None

    def mappings(self) -> list[str]:
        """The names of all mappings that the ledger knows, also those that are no longer configured."""
        return [name for (name,) in self._read("SELECT DISTINCT name FROM mapping ORDER BY name", ())]


def _values(mapping: int, event: Event, at_ns: int, *, still_open: bool = False) -> tuple[object, ...]:
    return (
        mapping,
        at_ns,
        at_ns,
        str(event.kind),
        os.fsencode(event.path),
        os.fsencode(event.source),
        event.size,
        event.sha256,
        event.duration_s,
        event.attempts,
        _text(event.reply),
        _text(event.message),
        int(still_open),
    )


def _storable(moment_ns: int) -> int:
    """A moment that SQLite can compare; what is asked of the years before or after has the same receipts."""
    return max(-_NS_MAX, min(moment_ns, _NS_MAX))


def _text(text: str) -> str:
    """What SQLite takes as text: no half characters, and no more than is read."""
    if not text or text.isascii():
        return text[:_TEXT_MAX]
    return text[:_TEXT_MAX].encode("utf-8", "backslashreplace").decode("utf-8")


def _recorded(row: list[Any]) -> Recorded:
    row[5], row[6] = os.fsdecode(bytes.fromhex(row[5])), os.fsdecode(bytes.fromhex(row[6]))
    row[8] = bytes.fromhex(row[8])
    return Recorded._make(row)
