"""The demo as people see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ftpsyncd.cli.demo_view import happening_line, verdict_view, view
from ftpsyncd.cli.output import ASCII, UNICODE
from ftpsyncd.demo.record import Happening
from ftpsyncd.demo.stage import Line, Scene, Side, Verdict
from ftpsyncd.demo.witness import Sighting
from tests.cli.terminal import check_snapshot, drawn

SEEN = Sighting(looks=12_345, reads=20, torn=(), early=())
SCENE = Scene(
    drop=Path("/tmp/ftpsyncd-demo-x/drop"),
    address="ftp://demo@127.0.0.1:40000/",
    password="x",
    config=Path("/tmp/ftpsyncd-demo-x/config.yaml"),
    lines=(
        Line("film (being recorded).wav", Side(118_000, 50), None, None, writing=True),
        Line("harbour at dawn.bmp", Side(230_000, 50), Side(230_000, 50), None, writing=False),
        Line(
            "holidays/a beach with a name that is longer than most.png", Side(88_000, 50), None, 44_000, writing=False
        ),
        Line("logo.gif", None, Side(311_000, 40), None, writing=False),
        Line("market.png", Side(5, 60), None, None, writing=False),
        Line("sunset.png", Side(870_000, 60), Side(569_000, 50), None, writing=False),
    ),
    happenings=(
        Happening(2.2, "drop", "overwritten", "sunset.png", 870_000),
        Happening(2.9, "server", "renamed", "harbour at dawn.bmp", 230_000, "harbour.bmp"),
        Happening(3.6, "drop", "deleted", "logo.gif"),
    ),
    sighting=SEEN,
    message="",
)
VERDICT = Verdict(files=14, size_bytes=3_200_000, differing=(), leftovers=(), sighting=SEEN)


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 30)])
def test_the_demo_looks_like_its_snapshot(width, height):
    text = drawn(view(SCENE, UNICODE, width, height), width)
    assert len(text.splitlines()) <= height
    assert max(map(len, text.splitlines())) <= width
    check_snapshot(f"demo-{width}", text)


def test_many_files_are_counted_instead_of_shown():
    scene = replace(SCENE, lines=SCENE.lines * 10)
    text = drawn(view(scene, UNICODE, 80, 24), 80)
    assert len(text.splitlines()) <= 24
    assert "… and 51 more" in text


def test_a_terminal_without_unicode_gets_plain_signs():
    # The sign for what was cut off is rich's own, printed as an escape where the encoding lacks it.
    assert drawn(view(SCENE, ASCII, 80, 24), 80).replace("…", "").isascii()


def test_what_goes_wrong_is_said():
    torn = replace(SCENE, sighting=replace(SEEN, torn=("a.png",)), message="the server is full")
    text = drawn(view(torn, UNICODE, 80, 24), 80)
    assert "half visible at the server: a.png" in text
    assert "the server is full" in text


def test_names_cannot_steer_the_terminal():
    text = drawn(happening_line(Happening(0.0, "drop", "dropped", "a\x1b[2J\n.png"), UNICODE), 80)
    assert "a\\x1b[2J\\n.png" in text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (VERDICT, "compared 14 files, 3.2 MB: identical on both sides; no temporary files left"),
        (VERDICT, "never a partial file under its final name"),
        (replace(VERDICT, differing=("a.png",)), "1 differ: a.png"),
        (replace(VERDICT, leftovers=("a.png.12345678.filepart",)), "temporary files are left: a.png.12345678.filepart"),
        (replace(VERDICT, sighting=replace(SEEN, torn=("a.png",))), "partial under their final name: a.png"),
        (replace(VERDICT, sighting=replace(SEEN, early=("f.wav",))), "published while being written: f.wav"),
    ],
)
def test_the_verdict_is_plain(verdict, words):
    assert words in drawn(verdict_view(verdict, UNICODE), 120)


@pytest.mark.parametrize(
    "flaw",
    [
        {"differing": ("a",)},
        {"leftovers": ("a",)},
        {"sighting": replace(SEEN, torn=("a",))},
        {"sighting": replace(SEEN, early=("a",))},
    ],
)
def test_any_flaw_makes_the_verdict_bad(flaw):
    assert VERDICT.good
    assert not replace(VERDICT, **flaw).good
