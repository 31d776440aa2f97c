"""Sizes, times and counts as people read them; JSON that survives strange names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console
from rich.screen import Screen
from rich.table import Table
from rich.text import Text

from ftpsyncd.cli.output import (
    ASCII,
    UNICODE,
    Fitted,
    ago,
    bar,
    console,
    emit,
    in_local_time,
    local_time,
    marks,
    percent,
    printer,
    size,
    until,
)
from ftpsyncd.counting import duration, exactly, number

NOW = datetime(2024, 5, 17, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (3_200_000, "3.2 MB"),
        (48_000_000_000, "48 GB"),
        (2_000_000_000_000_000, "2.0 PB"),
    ],
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0%"), (0.29, "29%"), (0.5, "50%"), (0.9999, "99%"), (1.0, "100%")])
def test_only_all_of_something_is_a_hundred_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "less than 1 s"),
        (0.4, "less than 1 s"),
        (0.6, "1 s"),
        (89, "89 s"),
        (90, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 day"),
        (259_200, "3 days"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.3, "0.3 s"),
        (90.0, "90 s"),
        (300.0, "5 min"),
        (5400.0, "90 min"),
        (3600.0, "1 h"),
        (86_400.0, "24 h"),
    ],
)
def test_what_somebody_has_set_is_told_exactly(seconds, text):
    assert exactly(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "never"),
        ("2024-05-17T11:59:58+00:00", "just now"),
        ("2024-05-17T13:30:00+02:00", "30 min ago"),
        ("2024-05-17T12:00:30+00:00", "just now"),
        ("2024-05-17T12:02:00+00:00", "when the clock was ahead"),
        ("2027-05-17T12:00:00+00:00", "when the clock was ahead"),
    ],
)
def test_times_past(moment, text):
    assert ago(moment, NOW) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [(None, ""), ("2024-05-17T12:05:00+00:00", "in 5 min"), ("2024-05-17T11:00:00+00:00", "now")],
)
def test_times_to_come(moment, text):
    assert until(moment, NOW) == text


def test_counts():
    assert (number(1, "file"), number(1204, "file"), number(2, "try", "tries")) == ("1 file", "1,204 files", "2 tries")


@pytest.mark.parametrize(("done", "text"), [(-1, "──────────"), (0.5, "━━━━━─────"), (2, "━━━━━━━━━━")])
def test_a_bar_never_leaves_its_place(done, text):
    assert bar(done, 10, UNICODE).plain == text


def test_json_carries_names_that_are_not_utf_8(capsys):
    emit({"path": "/d/caf\udce9.jpg"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["path"] == "/d/caf\udce9.jpg"


def test_a_terminal_without_utf_8_gets_plain_signs():
    class Latin(StringIO):
        encoding = "latin-1"

    assert marks(Console(file=Latin())).good == "+"


def test_names_in_brackets_are_no_markup(capsys):
    console().print("[red]name[/red]")
    assert capsys.readouterr().out == "[red]name[/red]\n"


def test_what_is_no_terminal_gets_no_blanks_to_the_right(capsys):
    table = Table.grid(expand=True)
    table.add_row("gallery", "")
    console().print(table)
    assert capsys.readouterr().out == "gallery\n"


def test_a_sentence_for_who_reads_no_terminal_is_one_line(capsys):
    console().print(Text("word " * 30))
    assert capsys.readouterr().out == " ".join(["word"] * 30) + "\n"


def on_a_screen(picture, rows, signs=UNICODE):
    """What stands on a screen of its own of so many rows."""
    screen = Console(file=StringIO(), width=30, height=rows, force_terminal=True, color_system=None)
    lines = screen.render_lines(Screen(Fitted(picture, signs, "ftpsyncd status")))
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


FIVE = Text("one two\nthree\n\nfour\nfive")


def test_a_picture_that_fits_stands_there_as_it_is():
    assert on_a_screen(FIVE, 5) == ["one two", "three", "", "four", "five"]
    assert on_a_screen(FIVE, 7) == ["one two", "three", "", "four", "five", "", ""]


def test_a_picture_that_does_not_fit_says_how_much_is_missing():
    assert on_a_screen(FIVE, 4) == ["one two", "three", "", "… 2 more lines: ftpsyncd stat…"]
    assert on_a_screen(FIVE, 3, ASCII)[-1].startswith("... 3 more lines: ftpsyncd")
    assert on_a_screen(FIVE, 2)[0] == "one two"
    assert on_a_screen(FIVE, 1) == ["one two"]


class _Stream(StringIO):
    """Counts how often what was written had to go out."""

    def __init__(self, *, looked_at: bool) -> None:
        super().__init__()
        self._looked_at = looked_at
        self.flushes = 0

    def isatty(self) -> bool:
        return self._looked_at

    def flush(self) -> None:
        self.flushes += 1


@pytest.mark.parametrize(("looked_at", "flushes"), [(True, 100), (False, 0)])
def test_each_line_goes_out_by_itself_only_where_a_person_looks(monkeypatch, looked_at, flushes):
    stream = _Stream(looked_at=looked_at)
    monkeypatch.setattr("sys.stdout", stream)
    say = printer(stream)
    for number_ in range(100):
        say(f"line {number_}")
    assert stream.getvalue().splitlines() == [f"line {number_}" for number_ in range(100)]
    assert stream.flushes == flushes


class TestMomentsHere:
    @pytest.fixture(autouse=True)
    def tokyo(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
        monkeypatch.undo()
        time.tzset()

    @pytest.mark.parametrize(
        ("sentence", "shown"),
        [
            ("published 2026-01-02T03:04:05.678+00:00, 8 bytes", "published 2026-01-02 12:04:05, 8 bytes"),
            ("it is tried again at 2026-01-02T03:04:05.678+00:00.", "it is tried again at 2026-01-02 12:04:05."),
            ("it waits", "it waits"),
            # Names are what they are.
            ("published as 2026-01-02T03:04:05.678+00:00.jpg", "published as 2026-01-02T03:04:05.678+00:00.jpg"),
            ('published as "a 2026-01-02T03:04:05.678+00:00"', 'published as "a 2026-01-02T03:04:05.678+00:00"'),
            ("No: 'a 2026-01-02T03:04:05.678+00:00 b'.", "No: 'a 2026-01-02T03:04:05.678+00:00 b'."),
            (r'No: "a\" 2026-01-02T03:04:05.678+00:00 b".', r'No: "a\" 2026-01-02T03:04:05.678+00:00 b".'),
            (
                "The server's word at 2026-01-02T03:04:05.678+00:00: 'no'",
                "The server's word at 2026-01-02 12:04:05: 'no'",
            ),
            ("published as 2026-13-32T25:61:61.678+00:00", "published as 2026-13-32T25:61:61.678+00:00"),
            ("cam/2026-01-02T03:04:05.678+00:00 is there", "cam/2026-01-02T03:04:05.678+00:00 is there"),
        ],
    )
    def test_a_sentence_tells_them(self, sentence: str, shown: str):
        assert in_local_time(sentence) == shown

    def test_the_last_hour_of_the_calendar_has_a_date_too(self):
        assert local_time(datetime(9999, 12, 31, 23, tzinfo=UTC)) == "9999-12-31 23:00:00"

    def test_a_year_has_four_digits(self):
        assert local_time(datetime(5, 6, 7, 12, tzinfo=UTC)).startswith("0005-06-07 ")
