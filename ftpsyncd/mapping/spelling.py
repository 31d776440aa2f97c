"""In which encoding the names of a mapping were told to its server; what becomes of its rows when that is another one.

In: the ledger, a mapping as it is configured now. Out: rows under the paths that lead, in the encoding of now, to what
was published in that of before. To the pass that follows, these were renamed here meanwhile: it finds each file under
its own name, and renames it at the server. Called on the engine's thread before a mapping is added, and by `preview`.
"""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from ftpsyncd.core import names
from ftpsyncd.counting import number
from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.doubts import doubt_row
from ftpsyncd.model import MISSING, Kind, Row
from ftpsyncd.specs import MappingSpec, ServerSpec

ROWS_AT_ONCE = 2000
"""Rows that are gone through in one turn of the engine: some thirty milliseconds."""


class _Respelled(NamedTuple):
    """A path in the ledger that leads, in the encoding of now, to something else than what is published."""

    path: str
    row: Row
    leads: str | None
    """What leads to that now; None: nothing does."""


def take_over(ledger: Ledger, mapping: int, spec: MappingSpec, server: ServerSpec) -> Generator[None, None, str]:
    """Have the ledger tell in the encoding of now what the server has; the caller commits.

    Each ``yield`` ends what one turn of the engine has room for. Nothing is written before the last turn, so that the
    ledger tells all names in the one encoding or in the other, whenever the daemon ends: 200,000 rows take 3 s then.
    The rows do not change in between, since the mapping is not there, and no other one publishes to its place.

    Args:
        ledger: open for writing.
        mapping: its number there.
        spec: of the mapping.
        server: with the encoding of now.

    Returns:
        What people are told, in a sentence; empty where all paths are what they were.
    """
    now, before = codecs.lookup(server.encoding).name, ledger.mappings.encoding(mapping)
    if now == before:
        return ""
    if not before:
        # Nothing was published by who knew of this.
        ledger.mappings.set_encoding(mapping, now)
        return ""
    respelled: list[_Respelled] = []
    stays_there = _sent(spec.remote, before) == _sent(spec.remote, now)
    after: str | None = None
    while rows := list(ledger.walk(mapping, after=after, most=ROWS_AT_ONCE)):
        after = rows[-1][0]
        if stays_there:
            respelled += _respelled(rows, before, now)
        else:
            # Another directory is theirs now.
            respelled += [_Respelled(path, row, None) for path, row in rows if path]
        yield
    ledger.mappings.set_encoding(mapping, now)
    for path, failure in list(ledger.failures.all(mapping)):
        if failure.kind == NameNotSendableError.__name__:
            ledger.failures.clear(mapping, path)
    if not respelled:
        return ""
    _record(ledger, mapping, respelled)
    lost = sum(leads is None for _, _, leads in respelled)
    stays = f"; what is there of {lost} of them under their names in {before} stays" if lost else ""
    return (
        f"names are told to the server in {now} now, and were in {before}: what is published under"
        f" {number(len(respelled), 'path')} gets its names in {now}{stays}"
    )


def _record(ledger: Ledger, mapping: int, respelled: Sequence[_Respelled]) -> None:
    for path, row, leads in respelled:
        if leads is not None:
            continue
        # It need not be read once more.
        ledger.bear_in_mind(mapping, path, row)
        if row.kind is Kind.DIR:
            ledger.put(mapping, path, row._replace(fingerprint=MISSING))
        else:
            doubt_row(ledger, mapping, path)
    ledger.rename_all(mapping, [(path, leads, row) for path, row, leads in respelled if leads is not None])


def _respelled(rows: Iterable[tuple[str, Row]], before: str, now: str) -> Iterator[_Respelled]:
    """What would be other bytes now, which ASCII may be, too: ``+`` in UTF-7, ``~`` in HZ and Shift-JIS-2004."""
    for path, row in rows:
        sent = _sent(path, before)
        if sent is None:
            yield _Respelled(path, row, None)
            continue
        leads = names.off_the_wire(sent, now)
        if _sent(leads, now) != sent:
            yield _Respelled(path, row, None)
        elif leads != path:
            yield _Respelled(path, row, leads)


def _sent(path: str, encoding: str) -> bytes | None:
    """What a server is told of a path; None: it cannot be told."""
    try:
        return names.on_the_wire(path, encoding)
    except NameNotSendableError:
        return None
