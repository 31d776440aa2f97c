"""``ftpsyncd status``: asked of the daemon, or read from the ledger when none is running."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ftpsyncd.cli.completion import complete_mapping
from ftpsyncd.cli.daemon import ask_status, edited_wrongly, refuse_unloaded
from ftpsyncd.cli.interrupts import ended_by_person, tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import Fitted, console, emit, marks, redraws
from ftpsyncd.cli.settings import check_name, starting
from ftpsyncd.control import shapes
from ftpsyncd.errors import UsageError
from ftpsyncd.status import Status, only

# The view, and rich with it, is imported where it is drawn: who wants JSON need not wait for it.
if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_S = 0.5


@click.command(
    epilog=examples(
        "ftpsyncd status               how is it going?",
        "ftpsyncd status gallery       of one mapping and its server",
        "ftpsyncd status --watch       live, with a bar for each transfer",
        "ftpsyncd status --json | jq '.mappings[] | select(.state != \"in_sync\")'",
    )
)
@click.argument("mappings", nargs=-1, metavar="[MAPPING]...", shell_complete=complete_mapping)
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C; once where nothing can be drawn over.")
@json_option
@common_options
def status(mappings: Sequence[str], *, watch: bool, as_json: bool) -> None:
    """Show what is fine, what waits, and what needs you with the command to type.

    Without a running daemon the answer comes from the ledger.
    """
    if watch and as_json:
        raise UsageError("--watch and --json exclude each other.", remedy="Run `ftpsyncd status --json` repeatedly.")
    found = ask_status(given())
    for name in mappings:
        known = [each.name for each in found.mappings]
        if name not in known and found.daemon.running:
            refuse_unloaded(given(), name)
        check_name(name, known, "mapping")
    if watch:
        keep_showing(mappings)
        return
    show(only(found, mappings), as_json=as_json)
    if found.daemon.running and not as_json and edited_wrongly(given(), found.daemon.uptime_s):
        wrong = "The configuration on disk is wrong, and not in force: `ftpsyncd check` says why."
        click.echo(given().typed.text(wrong), err=True)


def show(found: Status, *, as_json: bool) -> None:
    """Print a status, for programs or for people."""
    if as_json:
        emit(shapes.status_to_json(found))
    else:
        screen = console()
        screen.print(_drawn(found, screen))


def _drawn(found: Status, screen: Console, *, calls_first: bool = False) -> RenderableType:
    from ftpsyncd.cli.status_view import Typed, view  # noqa: PLC0415 - see above

    asked = given()
    typed = Typed("" if found.daemon.running else starting(asked), asked.option)
    return view(found, datetime.now(UTC), marks(screen), screen.width, typed, calls_first=calls_first)


def keep_showing(names: Sequence[str]) -> None:
    """Show the status of these mappings, or of all, live until Ctrl-C."""
    from rich.live import Live  # noqa: PLC0415 - see above

    screen, asked = console(), given()

    def picture() -> RenderableType:
        found = only(ask_status(asked), names)
        low = _drawn(found, screen, calls_first=True)
        return Fitted(_drawn(found, screen), marks(screen), "status without --watch shows all", low=low)

    if not redraws(screen):
        show(only(ask_status(asked), names), as_json=False)
        return
    # Also SIGTERM, as timeout(1) sends it, leaves the terminal as it was.
    with ended_by_person(), tidy_end():
        live = Live(picture(), console=screen, screen=True, auto_refresh=False)
        try:
            live.start(refresh=True)
            tick = threading.Event()
            while not tick.wait(REFRESH_S):
                live.update(picture(), refresh=True)
        finally:
            # Also where Ctrl-C came while the first picture was drawn: as a context manager it would not have begun.
            live.stop()
