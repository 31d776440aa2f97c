"""``ftpsyncd history``: what people, programs and spreadsheets get, from the daemon and from the ledger."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from ftpsyncd.cli import history as module
from ftpsyncd.cli.history import cell, csv_row, line
from ftpsyncd.control.moments import iso_utc, parse_moment
from ftpsyncd.control.server import ControlServer
from ftpsyncd.errors import UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.receipts import HistoryPage, HistoryQuery, Receipt
from tests.cli.terminal import on_a_terminal
from tests.control.fakes import PAGE, FakeDaemon

S = 10**9
NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * S
RECEIPT = PAGE.entries[0]._replace(kind="published", path="a.jpg", source="", reply="226 Done.")


@pytest.fixture(autouse=True)
def utc(monkeypatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def daemon(config_file) -> Iterator[FakeDaemon]:
    fake = FakeDaemon()
    with ControlServer(fake, config_file.parent / "control.sock"):
        yield fake


@pytest.fixture
def ledger(config_file) -> Path:
    """A ledger with 30 publishes, one each minute before noon, of a gallery and one of a mapping that is gone."""
    path: Path = config_file.parent / "state" / "ledger.db"
    path.parent.mkdir()
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "somewhere")
        for number in range(30):
            event = Event(
                EventKind.PUBLISHED, "gallery", f"d/{number}\udcff.jpg", "web", size=number, sha256=b"\x01" * 32
            )
            ledger.history.record(mapping, event, NOON - number * 60 * S)
        old = ledger.mappings.number("old", "elsewhere")
        ledger.history.record(old, Event(EventKind.DELETED, "old", "x", "web", reply="250 Gone."), NOON - 3600 * S)
    return path


@pytest.mark.parametrize("words", [("2h", "3h"), ("2026-02-01", "2026-01-31"), ("1h", "2026-01-31")])
def test_a_period_that_ends_before_it_begins_is_refused(ftpsyncd, ledger, config_file, words):
    """It was told that nothing of that kind had happened."""
    ended = ftpsyncd("history", "--since", words[0], "--until", words[1], "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "--since is later than --until" in ended.err


# ── For people ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("receipt", "shown"),
    [
        (RECEIPT, "2026-01-02 03:04:05 published gallery: a.jpg (10 B in 0.25 s)"),
        (RECEIPT._replace(duration_s=0.001), "2026-01-02 03:04:05 published gallery: a.jpg (10 B in less than 0.01 s)"),
        (
            RECEIPT._replace(kind="renamed", path="b c", source="old\n", duration_s=0.0),
            r'2026-01-02 03:04:05 renamed   gallery: "old\n" -> "b c" (10 B)',
        ),
        (
            RECEIPT._replace(kind="failed", message="Refused.", reply="550 \x1b[31mNo.", attempts=3, last="2026-01-02T05:09:06+00:00"),
            r"2026-01-02 03:04:05 failed    gallery: a.jpg - Refused. (server: 550 \x1b[31mNo.) (10 B in 0.25 s; 3 tries in 2 h 5 min, the last 2026-01-02 05:09:06)",
        ),
        (
            RECEIPT._replace(kind="parked", message="Refused.", attempts=3, last="2025-12-31T05:09:06+00:00"),
            "2026-01-02 03:04:05 parked    gallery: a.jpg - Refused. (server: 226 Done.) (10 B in 0.25 s; 3 tries, the last 2025-12-31 05:09:06)",
        ),
        (
            Receipt(1, "2026-01-02T03:04:05+00:00", "gallery", "held", "", "", 0, "", 0.0, 1, "2026-01-02T03:04:05+00:00", "", "60 files."),
            "2026-01-02 03:04:05 held      gallery: 60 files.",
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Receipt) else "",
)  # fmt: skip
def test_a_receipt_is_one_line(receipt, shown):
    assert click.unstyle(line(receipt)) == shown


def test_times_are_local(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert line(RECEIPT).startswith("2026-01-02 12:04:05 ")


def test_the_newest_are_shown_and_that_there_are_more(ftpsyncd, config_file, ledger):
    ended = ftpsyncd("history", "-c", config_file, "--limit", 3)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        r'2026-01-31 12:00:00 published gallery: "d/0\xff.jpg"',
        r'2026-01-31 11:59:00 published gallery: "d/1\xff.jpg" (1 B)',
        r'2026-01-31 11:58:00 published gallery: "d/2\xff.jpg" (2 B)',
    ]
    assert ended.err == "Only the newest 3 receipts; --limit 0 shows all.\n"
    assert ftpsyncd("history", "-c", config_file, "--limit", 3, "--csv").err == ended.err
    assert ftpsyncd("history", "-c", config_file, "--limit", 3, "--json").err == "", "there it is `next`"
    assert ftpsyncd("history", "-c", config_file).err == ""


def test_where_nothing_happened_that_is_said(ftpsyncd, config_file, ledger):
    assert ftpsyncd("history", "-c", config_file, "--kind", "parked").out == "Nothing of that kind has happened.\n"


def test_before_the_first_publish_there_is_no_history(ftpsyncd, config_file):
    assert ftpsyncd("history", "-c", config_file).out == "There are no receipts.\n"


# ── Which ones ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 31),
        (["gallery"], 30),
        (["old"], 1),
        (["--kind", "deleted"], 1),
        (["--kind", "deleted", "--kind", "published"], 31),
        (["--since", "2026-01-31T11:50:00"], 11),
        (["--since", "2026-01-31T12:50:00+01:00"], 11),
        (["--until", "2026-01-31T11:50:00Z"], 20),
        (["--since", "2026-01-31", "--until", "2026-02-01"], 31),
        (["--until", "2026-01-31"], 0),
        (["--since", "0001-01-02", "--until", "9999-12-31"], 31),
        (["--since", "9999-12-31"], 0),
        (["--until", "1600-01-01"], 0),
        (["--path", "{root}/gallery/d"], 30),
        (["--path", "{root}/gallery/d/5\udcff.jpg"], 1),
        (["--path", "{root}/gallery"], 30),
        (["--path", "{root}/shop"], 0),
        (["gallery", "--path", "{root}/gallery/d", "--limit", "7"], 7),
    ],
)
def test_the_ledger_is_searched_without_a_daemon(ftpsyncd, config_file, ledger, words, count):
    words = [word.format(root=config_file.parent) for word in words]
    ended = ftpsyncd("history", "-c", config_file, "--json", *words)
    assert (ended.code, ended.err) == (0, "")
    assert len(json.loads(ended.out)["entries"]) == count


@pytest.mark.parametrize("limit", [0, 25])
def test_many_come_page_by_page(ftpsyncd, config_file, ledger, monkeypatch, limit):
    monkeypatch.setattr(module, "PAGE", 4)
    ended = ftpsyncd("history", "gallery", "-c", config_file, "--json", "--limit", limit)
    document = json.loads(ended.out)
    count = limit or 30
    assert [entry["path"] for entry in document["entries"]] == [f"d/{number}\udcff.jpg" for number in range(count)]
    assert (document["next"] is None) == (limit == 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["galery"], "There is no mapping galery."),
        (["--since", "yesterday"], "`--since` must be how long ago it was, or a time."),
        (["--until", "120"], "`--until` must be how long ago"),
        (["--kind", "made"], "'made' is not one of"),
        (["--limit", "-1"], "-1 is not in the range"),
        (["--csv", "--json"], "--csv and --json exclude each other."),
        (["--path", "/elsewhere/a.jpg"], "/elsewhere/a.jpg is in no mapping."),
        (["shop", "--path", "{root}/gallery/a.jpg"], "is in the mapping gallery."),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(ftpsyncd, config_file, ledger, words, said):
    ended = ftpsyncd("history", "-c", config_file, *[word.format(root=config_file.parent) for word in words])
    assert (ended.code, ended.out.replace('{"entries": [', "")) == (2, "")
    assert said in ended.err


def test_the_daemon_is_asked_where_one_runs(ftpsyncd, config_file, daemon):
    words = ["gallery", "--kind", "failed", "--kind", "held", "--since", "2026-01-31T12:00Z", "--limit", "1"]
    ended = ftpsyncd("history", "-c", config_file, "--json", "--path", config_file.parent / "gallery/x y", *words)
    assert json.loads(ended.out) == {"entries": [PAGE.entries[0]._asdict()], "next": PAGE.next}
    [(query, path)] = daemon.queries
    assert query == HistoryQuery("gallery", ("failed", "held"), NOON, limit=1)
    assert path == str(config_file.parent / "gallery/x y")


def test_what_the_daemon_does_not_know_is_said(ftpsyncd, config_file, daemon):
    ended = ftpsyncd("history", "nothing", "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "There is no mapping nothing." in ended.err
    assert "gallery, sheets" in ended.err


def test_a_ledger_that_may_not_be_read_is_a_clear_error(ftpsyncd, config_file, ledger):
    ledger.write_bytes(b"no database at all, but long enough to be one" * 100)
    ended = ftpsyncd("history", "-c", config_file)
    assert ended.code == 75
    assert "ledger" in ended.err


# ── Points in time ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOON - 7200 * S),
        ("1h 30m", NOON - 5400 * S),
        ("500ms", NOON - S // 2),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T13:00+01:00", NOON),
        ("2026-01-31 12:00", NOON),
        ("2026-01-31", NOON - 43200 * S),
        ("20260131", NOON - 43200 * S),
        ("1970-01-01T00:00:00.000001Z", 1000),
        ("1969-12-31T23:59:59Z", -S),
        ("9999-12-31T23:59:59Z", 253402300799 * S),
    ],
)
def test_a_moment_is_read(text, moment):
    assert parse_moment(text, "since", NOON) == moment


@pytest.mark.parametrize(
    "text", ["", " ", "120", "now", "-1h", "2h ago", "2026-02-30", "12:00", "0001-01-01T00:00+14:00", "1" * 50]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(UsageError, match="`since` must be"):
        parse_moment(text, "since", NOON)


def test_a_moment_survives_the_way_to_the_daemon():
    for moment in (0, 1000, NOON, NOON + 123_456_000):
        assert parse_moment(iso_utc(moment), "since", 0) == moment


# ── Spreadsheets ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a.jpg", "a.jpg"),
        ("a-b=c+d@e.jpg", "a-b=c+d@e.jpg"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", " '=1"),
        ("\t=1", r"\t=1"),
        ("\r\n=1", r"\r\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=cmd|' /C calc'!A0;.jpg", "a;'=cmd|' /C calc'!A0;.jpg"),
        ("a,-b", "a,'-b"),
        ("a|+b", "a|'+b"),
        ('"=1', '"=1'),
        ("\u2028=1", r"\u2028=1"),
        ("a\udcff", r"a\xff"),
    ],
)
def test_no_cell_is_a_formula(text, safe):
    assert cell(text) == safe
    assert next(csv.reader(io.StringIO(csv_row([text])))) == [safe]


def test_csv_is_a_table_that_any_reader_reads(ftpsyncd, config_file, daemon):
    evil = RECEIPT._replace(path='a",\n=1;=2', source="=b", reply="-", message="@x")
    daemon.page = HistoryPage((evil, RECEIPT))
    ended = ftpsyncd("history", "-c", config_file, "--csv")
    assert (ended.code, ended.err) == (0, "")
    head, first, second = list(csv.reader(io.StringIO(ended.out)))
    assert head == [
        "id", "at", "mapping", "kind", "path", "source", "size", "sha256", "duration_s", "attempts", "last", "reply", "message"
    ]  # fmt: skip
    row = dict(zip(head, first, strict=True))
    assert (row["path"], row["source"], row["reply"], row["message"]) == ("a\",\\n=1;'=2", "'=b", "'-", "'@x")
    assert (second[4], second[6], second[8]) == ("a.jpg", "10", "0.25")


# ── Colours ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_colours_are_for_terminals_and_for_those_who_want_them(config_file, ledger):
    plain = on_a_terminal("history", config_file, NO_COLOR="1")
    assert "published gallery" in plain
    assert "\x1b[" not in plain
    assert "\x1b[32mpublished" in on_a_terminal("history", config_file, NO_COLOR="")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}])
@pytest.mark.parametrize("words", [["plan"], ["history"], ["history", "nothing"]])
def test_no_command_has_colours_where_none_are_wanted_or_shown(config_file, ledger, words, environ):
    assert "\x1b[" not in on_a_terminal(*words, config_file, **environ)
