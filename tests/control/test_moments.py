"""Points in time are read alike by every Python, in every zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ftpsyncd.control.moments import iso_utc, parse_moment
from ftpsyncd.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW_NS = 1_769_900_000 * 10**9


@pytest.fixture(params=["UTC", "WEST+12", "EAST-14"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[timedelta]:
    """This machine is elsewhere: how far its time is ahead."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield timedelta(hours={"UTC": 0, "WEST+12": -12, "EAST-14": 14}[request.param])
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("20260131", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T18", datetime(2026, 1, 31, 18, tzinfo=UTC)),
        ("2026-01-31 18:30", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("20260131T183015", datetime(2026, 1, 31, 18, 30, 15, tzinfo=UTC)),
        ("2026-01-31T18:30:15.25", datetime(2026, 1, 31, 18, 30, 15, 250_000, tzinfo=UTC)),
        ("2026-01-31T18:30:15,123456789", datetime(2026, 1, 31, 18, 30, 15, 123_456, tzinfo=UTC)),
        ("0001-01-02", datetime(1, 1, 2, tzinfo=UTC)),
        ("9999-12-30", datetime(9999, 12, 30, tzinfo=UTC)),
    ],
)
def test_without_an_offset_it_is_local_time(zone: timedelta, text: str, there: datetime) -> None:
    assert parse_moment(text, "since", NOW_NS) == (there - zone - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-29T01:59:59.5", datetime(2026, 3, 29, 0, 59, 59, 500_000, tzinfo=UTC)),
        ("2026-03-29T02:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # there is none: 03:30 by the other clock
        ("2026-03-29T03:00", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # there are two
        ("2026-10-25T03:00", datetime(2026, 10, 25, 2, 0, tzinfo=UTC)),
    ],
)
def test_when_the_clock_changes_every_python_reads_the_same(
    monkeypatch: pytest.MonkeyPatch, text: str, meant: datetime
) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        read_ns = parse_moment(text, "since", NOW_NS)
    time.tzset()
    assert read_ns == (meant - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-31T18:30Z", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31T18:30:15.5+01:00", datetime(2026, 1, 31, 17, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-01-31 18:30:15 -0530", datetime(2026, 2, 1, 0, 0, 15, tzinfo=UTC)),
        ("2026-01-31T18+01", datetime(2026, 1, 31, 17, tzinfo=UTC)),
        # Beside these is no day in which local time could be looked up.
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T23:59:59", datetime(1, 1, 1, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_else_the_zone_does_not_count(text: str, meant: datetime) -> None:
    moment_ns = parse_moment(text, "since", NOW_NS)
    assert moment_ns == (meant - EPOCH) // timedelta(microseconds=1) * 1000
    assert parse_moment(iso_utc(moment_ns), "since", 0) == moment_ns  # the way to the daemon


def test_how_long_ago() -> None:
    assert parse_moment("2h", "since", NOW_NS) == NOW_NS - 7200 * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "120",
        "-1h",
        "",
        "2026-02-30",
        "0000-01-01",
        "2026-1-31",
        "2026-W05-6",
        "2026-01-31T",
        "2026-01-31x18:00",
        "2026-01-31T18:00:60",
        "2026-01-31T18:3015",
        "2026-01-31T18:00z",
        "2026-01-31T18:00+24:00",
        "2026-01-31T18:00+01:60",
        "2026-01-31T18:00\n",
        "\uff12026-01-31",
        # Half an hour, or a half second? Pythons differ.
        "2026-01-31T18.5",
        "2026-01-31T18:30.5",
        # Midnight for some Pythons, and nothing for others.
        "2026-01-31T24:00",
        "20260131T24",
        # Beside the calendar in UTC, as which it goes to the daemon.
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00+12:00",
    ],
)
def test_what_is_neither_is_said_to_be(text: str) -> None:
    with pytest.raises(UsageError, match="`since` must be how long ago it was, or a time"):
        parse_moment(text, "since", NOW_NS)
