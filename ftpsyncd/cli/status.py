"""``ftpsyncd status``: asked of the daemon, or read from the ledger when none is running."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import RenderableType
from rich.live import Live

from ftpsyncd.cli.daemon import ask_running, ask_status
from ftpsyncd.cli.interrupts import ended_by_person
from ftpsyncd.cli.options import common_options, complete_mapping, examples, given, json_option
from ftpsyncd.cli.output import console, emit, marks
from ftpsyncd.cli.settings import chosen, load_config, start_log
from ftpsyncd.cli.status_view import only, view
from ftpsyncd.config import Config
from ftpsyncd.control import shapes
from ftpsyncd.errors import UsageError
from ftpsyncd.status import Status

REFRESH_S = 0.5


@click.command(
    epilog=examples(
        "ftpsyncd status               how is it going?",
        "ftpsyncd status gallery       of one mapping and its server",
        "ftpsyncd status --watch       live, with a bar for each transfer; ends with Ctrl-C",
        "ftpsyncd status --json | jq '.mappings[] | select(.state != \"in_sync\")'",
    )
)
@click.argument("mappings", nargs=-1, metavar="[MAPPING]...", shell_complete=complete_mapping)
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C.")
@json_option
@common_options
def status(mappings: Sequence[str], *, watch: bool, as_json: bool) -> None:
    """Show what is fine, what waits, and what needs you with the command to type.

    Without a running daemon the answer comes from the ledger.
    """
    if watch and as_json:
        raise UsageError("--watch and --json exclude each other.", remedy="Run `ftpsyncd status --json` repeatedly.")
    # Validating the configuration would take longer than all the rest; a daemon that answers has done so.
    if not (watch or mappings) and (running := ask_running(given())) is not None:
        show(running, as_json=as_json)
        return
    start_log(given(), level="warning")
    config = load_config(given())
    names = chosen(config, mappings) if mappings else []
    if watch:
        keep_showing(config, names)
    else:
        show(only(ask_status(config), names), as_json=as_json)


def show(found: Status, *, as_json: bool) -> None:
    """Print a status, for programs or for people."""
    if as_json:
        emit(shapes.status_to_json(found))
    else:
        screen = console()
        screen.print(view(found, datetime.now(UTC), marks(screen), screen.width))


def keep_showing(config: Config, names: Sequence[str]) -> None:
    """Show the status of these mappings, or of all, live until Ctrl-C."""
    screen = console()

    def picture() -> RenderableType:
        return view(only(ask_status(config), names), datetime.now(UTC), marks(screen), screen.width)

    if not screen.is_terminal:
        screen.print(picture())
        return
    with ended_by_person():
        live = Live(picture(), console=screen, screen=True, auto_refresh=False)
        try:
            live.start(refresh=True)
            tick = threading.Event()
            while not tick.wait(REFRESH_S):
                live.update(picture(), refresh=True)
        finally:
            # Also where Ctrl-C came while the first picture was drawn: as a context manager it would not have begun.
            live.stop()
