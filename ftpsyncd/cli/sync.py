"""``ftpsyncd sync``: one pass to the end, with progress, a summary and an honest exit code."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

import click

from ftpsyncd.cli.completion import complete_mapping
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import console, emit, is_drawn, marks, redraws, size
from ftpsyncd.cli.progress import Lines, Picture, Show, Silent, summary, summary_lines
from ftpsyncd.cli.settings import chosen, load_config, start_log
from ftpsyncd.counting import number
from ftpsyncd.daemon.onepass import Progress
from ftpsyncd.daemon.service import Service
from ftpsyncd.descriptors import allow_files
from ftpsyncd.engine.counters import Counters
from ftpsyncd.errors import ExitCode
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.status import Status

LOGGED = "error"
"""What the summary does not tell."""
TURN_S = 0.25
"""As often as there is a new status."""


@click.command(
    epilog=examples(
        "ftpsyncd sync                     all mappings",
        "ftpsyncd sync gallery shop        two of them",
        "ftpsyncd sync --dry-run           only show what would be done",
    )
)
@click.argument("mappings", nargs=-1, metavar="[MAPPING]...", shell_complete=complete_mapping)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and why; the same as `plan`.")
@json_option
@common_options
@click.pass_context
def sync(ctx: click.Context, mappings: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """Publish everything that waits, once, then end.

    Exits with 1 if some files failed, if deletes are held, or would be, if a folder is missing, or if something waits
    for a mapping that is paused, with 75 if a server is not available. Deletes that come due within half a minute are
    awaited; the others are left to a later `sync` or the daemon. Ctrl-C stops after the current files; a second one
    ends at once.
    """
    start_log(given(), level="warning" if dry_run else LOGGED)
    config = load_config(given())
    names = chosen(config, mappings)
    if dry_run:
        from ftpsyncd.cli import plan as plans  # noqa: PLC0415 - the other command

        plans.show(config, names, as_json=as_json)
        return
    started = time.monotonic()
    service = Service(config, one_pass=True, mappings=names)
    ignore_lease_signals()
    allow_files()
    with tidy_end():
        progress, status = follow(service, show_for(as_json=as_json))
    progress = given().typed.record(progress)
    code = exit_code(progress)
    if as_json:
        emit({**facts(progress), "duration_s": round(time.monotonic() - started, 3), "exit_code": code})
    elif is_drawn(sys.stdout):
        screen = console()
        screen.print(summary(progress, status, time.monotonic() - started, marks(screen), given().option))
    else:
        for line in summary_lines(progress, status, time.monotonic() - started, marks(sys.stdout), given().option):
            click.echo("".join(text for text, _style in line))
    ctx.exit(code)


def show_for(*, as_json: bool) -> Show:
    """A bar on a terminal, occasional lines elsewhere, nothing beside JSON."""
    if as_json:
        return Silent()
    if not is_drawn(sys.stderr):
        return Lines()
    screen = console(stderr=True)
    return Picture(screen) if redraws(screen) else Lines()


def follow(service: Service, show: Show) -> tuple[Progress, Status]:
    """Run the service to its end and show how far it is; stops it whatever happens."""
    service.start()
    try:
        with _logged(show), show:
            while not (progress := service.await_end(TURN_S)).finished:
                show.update(progress, service.status().transfers)
            show.update(progress, ())
        return progress, service.status()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, KeyboardInterrupt):
            click.echo("Stopping after the current files; Ctrl-C again ends at once.", err=True)
        service.stop()
        click.echo(left_off(service.engine.counters), err=True)
        raise
    finally:
        service.stop()


@contextlib.contextmanager
def _logged(show: Show) -> Iterator[None]:
    """Have the log go past a picture for as long as that is drawn: a line would break it, and stay in the midst."""
    if show.aside is None:
        yield
        return
    start_log(given(), level=LOGGED, stream=show.aside)
    try:
        yield
    finally:
        start_log(given(), level=LOGGED)
        show.tell()


def left_off(counters: Counters) -> str:
    """What a pass has done that somebody ended."""
    parts = [f"{number(counters.files, 'file')} published ({size(counters.bytes)})"]
    if counters.renames:
        parts.append(f"{counters.renames:,} renamed")
    if counters.deletes:
        parts.append(f"{counters.deletes:,} deleted")
    return f"Stopped: {', '.join(parts)}; another `sync`, or the daemon, goes on from there."


def exit_code(progress: Progress) -> int:
    """75 if a server could not be used, else 1 if something failed, is held, is missing or waits paused, else 0."""
    if progress.unavailable:
        return ExitCode.TEMPFAIL
    held = progress.held or progress.directories_held or progress.holds
    wanting = progress.failed or held or progress.source_missing or progress.paused
    return ExitCode.SOME_FAILED if wanting else ExitCode.DONE


def facts(progress: Progress) -> dict[str, object]:
    """The shape of ``sync --json``, without duration and exit code."""
    return {
        "files_done": progress.files_done,
        "bytes_done": progress.bytes_done,
        "deletes_done": progress.deletes_done,
        "renames_done": progress.renames_done,
        "files_adopted": progress.files_adopted,
        "failed": progress.failed,
        "held": progress.held,
        "directories_held": progress.directories_held,
        "holds": progress.holds,
        "paused": progress.paused,
        "source_missing": progress.source_missing,
        "server_unavailable": progress.unavailable,
        "messages": list(progress.messages),
    }
