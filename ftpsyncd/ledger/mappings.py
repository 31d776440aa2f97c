"""The mappings that a ledger knows, configured or not: where each publishes, from which folder, and how much of it.

In: names and destinations; what becomes of files, as it is recorded. Out: the number of a mapping, under which all else
is recorded of it, and its totals. What people decided about mappings is the matter of `decisions`. Used through
`ledger.Ledger.mappings`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.tables import loaded, stored
from ftpsyncd.model import RootIdentity
from ftpsyncd.specs import Overlap, overlap, with_plain_host


class Totals(NamedTuple):
    """What a mapping has published."""

    files: int
    bytes: int
    last_publish_ns: int | None


@dataclass(slots=True)
class _Sums:
    files: int = 0
    bytes: int = 0
    last_publish_ns: int = 0


class Mappings:
    """The mappings in a ledger.

    Args:
        write: one statement in the ledger's transaction.
        read: a query that sees what was written.
        commit: makes all that is written durable.
    """

    def __init__(
        self,
        write: Callable[[str, Sequence[object]], Cursor],
        read: Callable[[str, Sequence[object]], Cursor],
        commit: Callable[[], None],
    ) -> None:
        self._write = write
        self._read = read
        self._commit = commit
        self._sums: dict[int, _Sums] = {}
        """What the totals change by at the next commit."""

    # ── which there are ──────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[tuple[str, str, int, int]]:
        """Name, destination, files and bytes of everything that was ever published, configured or not."""
        self.flush()
        found = self._read("SELECT name, destination, files, bytes FROM mapping ORDER BY name, destination", ())
        return [(name, destination, files, loaded(size)) for name, destination, files, size in found]

    def find(self, name: str, destination: str) -> int | None:
        """The number of a mapping that is known already."""
        found = dict(self._read("SELECT destination, id FROM mapping WHERE name=?", (name,)))
        # One that is only read may have the host as it was written.
        plain = {with_plain_host(place): mapping for place, mapping in found.items()}
        return found.get(destination, plain.get(destination))

    def respell_hosts(self) -> None:
        """Know the accounts by plain hosts (`specs.plain_host`); older versions recorded them as they were written."""
        for table, column in (("mapping", "destination"), ("profile", "account")):
            for (place,) in self._read(f"SELECT {column} FROM {table}", ()).fetchall():  # noqa: S608 - constants
                if (plain := with_plain_host(place)) != place:
                    sql = f"UPDATE OR IGNORE {table} SET {column}=? WHERE {column}=?"  # noqa: S608 - constants
                    self._write(sql, (plain, place))

    def number(self, name: str, destination: str) -> int:
        """The number of a mapping, which is made if it is new; paused if it is under another destination."""
        found = self.find(name, destination)
        if found is not None:
            return found
        self._write(
            "INSERT INTO mapping(name, destination, paused)"
            " SELECT ?, ?, ifnull(max(paused), 0) FROM mapping WHERE name=?",
            (name, destination, name),
        )
        self._commit()
        return self.number(name, destination)

    def overlaps(self, mapping: int) -> list[tuple[int, Overlap]]:
        """The mappings of other times, or names, that published to the same place, to one in it or around it."""
        known = self._read("SELECT id, destination FROM mapping", ())
        # One that has the host of another in other words keeps these (`respell_hosts`).
        places = {number: with_plain_host(place) for number, place in known}
        found = ((other, overlap(places[mapping], place)) for other, place in places.items() if other != mapping)
        return [(other, each) for other, each in found if each is not None]

    def namesakes(self, mapping: int) -> list[int]:
        """The mappings of other times that published from the same folder to the same place: it had other names."""
        sql = (
            "SELECT other.id FROM mapping AS this JOIN mapping AS other USING(destination, root_inode, root_filesystem)"
            " WHERE this.id=? AND other.id<>this.id"
        )
        return [other for (other,) in self._read(sql, (mapping,))]

    # ── their folders ────────────────────────────────────────────────────────────────────────────────────────

    def root(self, mapping: int) -> RootIdentity | None:
        """The folder this mapping was published from."""
        row = self._read("SELECT root_inode, root_filesystem FROM mapping WHERE id=?", (mapping,)).fetchone()
        return None if row[0] is None else RootIdentity(*row)

    def set_root(self, mapping: int, root: RootIdentity) -> None:
        """Remember the folder this mapping is published from."""
        self._write("UPDATE mapping SET root_inode=?, root_filesystem=? WHERE id=?", (*root, mapping))

    # ── how much they have published ─────────────────────────────────────────────────────────────────────────

    def encoding(self, mapping: int) -> str:
        """In which encoding the paths of a mapping were told to its server; empty: not known."""
        return str(self._read("SELECT encoding FROM mapping WHERE id=?", (mapping,)).fetchone()[0])

    def set_encoding(self, mapping: int, encoding: str) -> None:
        """Remember in which encoding the paths of a mapping are told to its server."""
        self._write("UPDATE mapping SET encoding=? WHERE id=?", (encoding, mapping))

    def totals(self, mapping: int) -> Totals:
        """Files and bytes published."""
        self.flush()
        sql = "SELECT files, bytes, last_publish_ns FROM mapping WHERE id=?"
        files, size, last_publish_ns = self._read(sql, (mapping,)).fetchone()
        return Totals(files, loaded(size), last_publish_ns)

    def redate(self, mapping: int, since_ns: int, until_ns: int, by_ns: int) -> None:
        """The clock was set: what was published last between two moments was so by so much later."""
        self.flush()
        sql = "UPDATE mapping SET last_publish_ns=last_publish_ns+? WHERE id=? AND last_publish_ns BETWEEN ? AND ?"
        self._write(sql, (by_ns, mapping, since_ns, until_ns))

    def count(self, mapping: int, files: int, size: int, published_ns: int = 0) -> None:
        """So many files and bytes more, or less, are recorded as published, the last one then."""
        sums = self._sums.get(mapping)
        if sums is None:
            sums = self._sums[mapping] = _Sums()
        sums.files += files
        sums.bytes += size
        sums.last_publish_ns = max(sums.last_publish_ns, published_ns)

    def flush(self) -> None:
        """Write what was counted, which is cheaper at once.

        The bytes are summed up here: two files of which nothing but the end is written (sparse ones) may have more
        together than SQLite can count.
        """
        sums, self._sums = self._sums, {}
        for mapping, change in sums.items():
            (size,) = self._read("SELECT bytes FROM mapping WHERE id=?", (mapping,)).fetchone()
            self._write(
                "UPDATE mapping SET files=files+?, bytes=?,"
                " last_publish_ns=nullif(max(ifnull(last_publish_ns,0),?),0) WHERE id=?",
                (change.files, stored(loaded(size) + change.bytes), change.last_publish_ns, mapping),
            )
