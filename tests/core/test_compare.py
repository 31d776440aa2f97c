"""One directory at the server against the ledger's rows of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core.compare import Drift, Seen, compare, is_unsettled, judge
from ftpsyncd.model import Fingerprint, Kind, Row

FILE = Row(Kind.FILE, Fingerprint(10, 5, 7), b"", 1)
EMPTY = Row(Kind.FILE, Fingerprint(0, 5, 7), b"", 1)
FOLDER = Row(Kind.DIR, Fingerprint(0, 0, 8), b"", 1)
MADE = Row(Kind.DIR, Fingerprint(0, 0, 0), b"", 1)
DOUBTED = Row(Kind.FILE, Fingerprint(10, 0, 0), b"", 1)
LARGE = Row(Kind.FILE, Fingerprint(5_000_000_000, 5, 7), b"", 1)
DELETED = Row(Kind.FILE, Fingerprint(10, 5, 7).doubted(), b"", 1)

TABLE = [
    (None, None, None),
    (None, Seen(Kind.FILE, 1), Drift.UNKNOWN),
    (None, Seen(Kind.DIR, None), Drift.UNKNOWN),
    (FILE, None, Drift.MISSING),
    (FOLDER, None, Drift.MISSING),
    (FILE, Seen(Kind.FILE, 10), None),
    (FILE, Seen(Kind.FILE, 11), Drift.WRONG_SIZE),
    (FILE, Seen(Kind.FILE, 0), Drift.WRONG_SIZE),
    (EMPTY, Seen(Kind.FILE, 0), None),
    (FILE, Seen(Kind.FILE, None), None),
    (LARGE, Seen(Kind.FILE, 5_000_000_000), None),
    (LARGE, Seen(Kind.FILE, 5_000_000_000 - 2**32), None),
    (LARGE, Seen(Kind.FILE, 5_000_000_000 - 2**32 - 1), Drift.WRONG_SIZE),
    (FILE, Seen(Kind.DIR, None), Drift.WRONG_KIND),
    (FILE, Seen(Kind.OTHER, None), Drift.WRONG_KIND),
    (FOLDER, Seen(Kind.DIR, None), None),
    (FOLDER, Seen(Kind.DIR, 4096), None),
    (FOLDER, Seen(Kind.FILE, 0), Drift.WRONG_KIND),
]


@pytest.mark.parametrize(("row", "seen", "drift"), TABLE)
def test_one_name(row: Row | None, seen: Seen | None, drift: Drift | None) -> None:
    assert judge(row, seen) is drift


@pytest.mark.parametrize(
    ("row", "unsettled"),
    [(FILE, False), (EMPTY, False), (FOLDER, False), (MADE, False), (DOUBTED, True), (DELETED, True)],
)
def test_what_the_ledger_doubts_is_a_file_without_a_fingerprint(row: Row, unsettled: bool) -> None:  # noqa: FBT001
    assert is_unsettled(row) is unsettled


def test_what_the_ledger_doubts_is_not_judged() -> None:
    assert list(compare({"a": DOUBTED, "b": FILE}, {})) == ["b"]


NAMES = st.sampled_from("abcd")


@given(
    st.dictionaries(NAMES, st.sampled_from([FILE, EMPTY, FOLDER, DOUBTED])),
    st.dictionaries(NAMES, st.sampled_from([Seen(Kind.FILE, 10), Seen(Kind.FILE, 3), Seen(Kind.DIR, None)])),
)
def test_a_directory_is_the_sum_of_its_names(rows: dict[str, Row], seen: dict[str, Seen]) -> None:
    found = list(compare(rows, seen))
    assert len(found) == len(set(found))
    settled = {name: row for name, row in rows.items() if row is not DOUBTED}
    expected = {
        name
        for name in settled.keys() | (seen.keys() - rows.keys())
        if judge(settled.get(name), seen.get(name)) is not None
    }
    assert set(found) == expected
