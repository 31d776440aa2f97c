"""The demo on a screen: drop folder and server side by side, path by path. Pure."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ftpsyncd.cli.output import Marks, bar, percent, size, words
from ftpsyncd.counting import number
from ftpsyncd.demo.record import Happening
from ftpsyncd.demo.stage import Line, Scene, Verdict
from ftpsyncd.demo.witness import Sighting
from ftpsyncd.quoting import as_word, one_line, quote

CHROME = 14
"""Rows of the screen that are not files."""
FILES_MIN = 4
HAPPENINGS_SHOWN = 4
NARROW = 76

LOOKS = {
    "dropped": "green",
    "overwritten": "green",
    "opened": "yellow",
    "closed": "yellow",
    "published": "green",
    "replaced": "green",
    "renamed": "cyan",
    "deleted": "red",
}


def view(scene: Scene, signs: Marks, width: int, height: int) -> RenderableType:
    """The whole screen.

    Args:
        scene: what is shown.
        signs: what the terminal can show.
        width: columns.
        height: rows; what does not fit is counted instead of shown.
    """
    return Group(
        _head(width),
        Text(),
        _sides(scene, signs, width, max(FILES_MIN, height - CHROME)),
        Text(),
        Rule(style="bright_black", characters=signs.empty[:1]),
        *(happening_line(each, signs) for each in scene.happenings[-HAPPENINGS_SHOWN:]),
        *(Text() for _ in range(HAPPENINGS_SHOWN - len(scene.happenings))),
        Rule(style="bright_black", characters=signs.empty[:1]),
        words(scene.message, "yellow") if scene.message else _try_it(scene, width),
        _watched(scene.sighting, signs),
    )


def _head(width: int) -> Text:
    head = Text("ftpsyncd demo", style="bold", overflow="ellipsis", no_wrap=True)
    if width >= NARROW:
        head.append("   what is dropped on the left is published on the right", style="not bold bright_black")
    return head


def _sides(scene: Scene, signs: Marks, width: int, rows: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    narrow = width < NARROW
    table.add_column("Drop folder", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=7, justify="right", no_wrap=True)
    table.add_column("", width=10 if narrow else 18, no_wrap=True)
    table.add_column("Server", ratio=1, no_wrap=True, overflow="ellipsis")
    if not narrow:
        table.add_column("", width=7, justify="right", no_wrap=True)
    shown = scene.lines if len(scene.lines) <= rows else scene.lines[: rows - 1]
    for line in shown:
        cells: list[RenderableType] = [
            _name(line.path) if line.local else Text(),
            Text(size(line.local.size) if line.local else "", style="bright_black"),
            between(line, signs, narrow=narrow),
            _name(line.path) if line.remote else Text(),
            Text(size(line.remote.size) if line.remote else "", style="bright_black"),
        ]
        table.add_row(*cells[: len(table.columns)])
    if len(shown) < len(scene.lines):
        table.add_row(Text(f"{signs.dots} and {len(scene.lines) - len(shown)} more", style="bright_black"))
    # What is below stays where it is, however many files there are: the eye finds it again.
    for _ in range(rows - table.row_count):
        table.add_row()
    return table


def _name(path: str) -> Text:
    """A name alone in its cell needs no quotes."""
    return Text(one_line(path), no_wrap=True, overflow="ellipsis")


def between(line: Line, signs: Marks, *, narrow: bool) -> Text:
    """What is between the two sides of a path, in words that fit."""
    if line.local is None:
        return Text(f"{signs.bad} deleting", style="red")
    if line.writing:
        return Text(f"{signs.dots} writing" if narrow else f"{signs.dots} being written", style="yellow")
    if line.arrived is not None:
        share = line.arrived / line.local.size if line.local.size else 1.0
        return bar(share, 5 if narrow else 11, signs).append(f" {percent(share):>4}", style="green")
    if line.remote is None:
        return Text(f"{signs.wait} settling", style="cyan")
    if (line.local.size, line.local.mtime_s) != (line.remote.size, line.remote.mtime_s):
        return Text(f"{signs.busy} changed", style="cyan")
    return Text(f"{signs.good} same" if narrow else f"{signs.good} published", style="green")


def happening_line(happening: Happening, signs: Marks) -> Text:
    """What happened, on one line: when, where, what."""
    line = Text(overflow="ellipsis", no_wrap=True)
    line.append(f"{happening.at_s:6.1f} s  ", style="bright_black")
    line.append(f"{'server' if happening.where == 'server' else 'folder'}  ", style="bright_black")
    line.append(f"{happening.verb:<11}  ", style=LOOKS.get(happening.verb, ""))
    if happening.source:
        line.append(f"{one_line(happening.source)} {signs.arrow} ")
    line.append(one_line(happening.path))
    if happening.size:
        line.append(f"  {size(happening.size)}", style="bright_black")
    return line


def _try_it(scene: Scene, width: int) -> Text:
    text = Text("Try it: ", style="bold", overflow="fold")
    text.append(f"cp photo.jpg {as_word(scene.drop)}", style="not bold cyan")
    text.append("     Ctrl-C ends", style="not bold bright_black")
    if width >= NARROW:
        text.append("\n        ").append(f"ftpsyncd status -c {as_word(scene.config)}", style="not bold cyan")
    return text


def _watched(seen: Sighting, signs: Marks) -> Text:
    if seen.torn or seen.early:
        return words(f"{signs.bad} half visible at the server: {', '.join((*seen.torn, *seen.early))}", "bold red")
    text = Text(f"{signs.good} ", style="green", overflow="ellipsis", no_wrap=True)
    return text.append(f"Looked at the server {number(seen.looks, 'time')}: never a partial file", style="bright_black")


def welcome(scene: Scene) -> Text:
    """The first lines where there is no live view."""
    return Text(
        f"ftpsyncd demo: {quote(str(scene.drop))} is published to {scene.address} (password {scene.password})\n"
        f"Try it: cp photo.jpg {as_word(scene.drop)}"
    )


def farewell(signs: Marks) -> Text:
    """The last line after Ctrl-C."""
    return Text.assemble((f"{signs.good} ", "green"), "The demo is over; its folders are removed.")


def verdict_view(verdict: Verdict, signs: Marks) -> RenderableType:
    """What was compared, and what came out."""
    seen = verdict.sighting
    compared = f"compared {number(verdict.files, 'file')}, {size(verdict.size_bytes)}"
    lines = []
    if verdict.differing:
        paths = ", ".join(quote(path) for path in verdict.differing)
        lines.append(Text(f"{signs.bad} {compared}: {len(verdict.differing)} differ: {paths}", style="bold red"))
    elif verdict.leftovers:
        paths = ", ".join(quote(path) for path in verdict.leftovers)
        lines.append(
            Text(f"{signs.bad} {compared}: identical, but temporary files are left: {paths}", style="bold red")
        )
    else:
        lines.append(
            Text.assemble(
                (f"{signs.good} ", "bold green"), f"{compared}: identical on both sides; no temporary files left"
            )
        )
    watched = f"looked at the server {number(seen.looks, 'time')} and read {number(seen.reads, 'file')}"
    for accused, fault in (
        (seen.torn, "partial under their final name"),
        (seen.early, "published while being written"),
    ):
        if accused:
            lines.append(Text(f"{signs.bad} {fault}: {', '.join(map(quote, accused))}", style="bold red"))
    if not (seen.torn or seen.early):
        lines.append(
            Text.assemble((f"{signs.good} ", "bold green"), f"{watched}: never a partial file under its final name")
        )
    return Group(*lines)
