"""``ftpsyncd demo``: the stage on a terminal, or plain lines elsewhere, and the verdict at the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

import click
from rich.console import Console
from rich.live import Live

from ftpsyncd.cli.demo_view import farewell, happening_line, verdict_view, view, welcome
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import Seconds, examples, given, log_options
from ftpsyncd.cli.output import Fitted, console, marks, redraws
from ftpsyncd.cli.settings import start_log
from ftpsyncd.demo.stage import Demo
from ftpsyncd.descriptors import allow_files
from ftpsyncd.errors import ExitCode
from ftpsyncd.local.quiet import ignore_lease_signals

FRAME_S = 0.125
SETTLED_WITHIN_S = 60.0
LONGEST_S = 86_400
"""Who wants it for longer leaves the end out."""


@click.command(
    epilog=examples(
        "ftpsyncd demo                 until Ctrl-C",
        "ftpsyncd demo --seconds 20    ends by itself; 0 if both sides are equal",
        "ftpsyncd demo | cat           plain lines instead of the live view",
    )
)
@click.option(
    "--seconds", type=Seconds(min=1, max=LONGEST_S), metavar="N", help="End after N seconds and compare both sides."
)
@log_options
@click.pass_context
def demo(ctx: click.Context, *, seconds: float | None) -> None:
    """See it work: an FTP server, a drop folder and a live view; nothing to set up, no network.

    Pictures are dropped, overwritten, renamed and deleted, and a film is recorded slowly, while the server's folder is
    watched for anything half visible. Everything is removed at the end.
    """
    start_log(given(), level="error")
    screen = console()
    ignore_lease_signals()
    allow_files()
    try:
        with tidy_end(), Demo() as stage, _shown(stage, screen) as show:
            _play(stage, show, seconds)
            verdict = stage.settled(SETTLED_WITHIN_S, show.refresh)
    except KeyboardInterrupt:
        if seconds is not None:
            raise
        # Without an end of its own, Ctrl-C is the way to end the demo.
        screen.print(farewell(marks(screen)), soft_wrap=not screen.is_terminal)
        return
    screen.print(verdict_view(verdict, marks(screen)), soft_wrap=not screen.is_terminal)
    ctx.exit(ExitCode.DONE if verdict.good else ExitCode.SOME_FAILED)


def _play(stage: Demo, show: Show, seconds: float | None) -> None:
    """Let the story run for so many seconds, or until Ctrl-C, and end it."""
    tick = threading.Event()
    while seconds is None or stage.elapsed_s < seconds:
        show.refresh()
        tick.wait(FRAME_S)
    stage.end_story()


class Show(Protocol):
    """Something that can be brought up to date."""

    def refresh(self) -> None:
        """Show what is now."""


class Picture:
    """The live view, on a screen of its own so that the terminal's content is untouched."""

    def __init__(self, stage: Demo, screen: Console, live: Live) -> None:
        self._stage = stage
        self._screen = screen
        self._live = live

    def refresh(self) -> None:
        """Redraw."""
        screen = self._screen
        picture = view(self._stage.scene(), marks(screen), screen.width, screen.height)
        self._live.update(Fitted(picture, marks(screen)), refresh=True)


class Lines:
    """A line for everything that happens."""

    def __init__(self, stage: Demo, screen: Console) -> None:
        self._stage = stage
        self._screen = screen
        self._seen = 0

    def refresh(self) -> None:
        """Print what is new."""
        self._seen, fresh = self._stage.happened(self._seen)
        for happening in fresh:
            self._screen.print(happening_line(happening, marks(self._screen)), soft_wrap=True)
        self._screen.file.flush()


@contextlib.contextmanager
def _shown(stage: Demo, screen: Console) -> Iterator[Show]:
    """The live view on a terminal, else lines."""
    if redraws(screen):
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            yield Picture(stage, screen, live)
        return
    screen.print(welcome(stage.scene()), soft_wrap=True)
    show = Lines(stage, screen)
    yield show
    show.refresh()
