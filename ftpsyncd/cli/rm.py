"""``ftpsyncd rm SERVER:PATH…``: files and directories deleted by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from ftpsyncd.cli.completion import complete_place
from ftpsyncd.cli.hand import Place, Tally, config_for, connected, literally, moving, place
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given
from ftpsyncd.cli.settings import start_log
from ftpsyncd.errors import ExitCode, FtpsyncdError, NameRefusedError, NotFoundError, UsageError
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename
from ftpsyncd.quoting import quote
from ftpsyncd.remote import Ftp, Step, TreeResult
from ftpsyncd.remote.trees import kinds_around


@click.command(
    epilog=examples(
        "ftpsyncd rm web:/htdocs/a.jpg web:/htdocs/b.jpg",
        "ftpsyncd rm -r web:/htdocs/old              all that is in it; asks first",
        "ftpsyncd rm -r --yes web:/htdocs/old        for scripts",
    )
)
@click.argument("paths", nargs=-1, required=True, metavar="SERVER:PATH...", shell_complete=complete_place)
@click.option("-r", "--recursive", is_flag=True, help="Delete directories with all that is in them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_context
def rm(ctx: click.Context, paths: Sequence[str], *, recursive: bool, yes: bool) -> None:
    """Delete files at a server, and print what was removed.

    With -r it asks first on a terminal, and refuses where there is none unless --yes says that it is meant. Symbolic
    links are deleted and never followed. A file that a mapping publishes comes back when it changes here.
    """
    start_log(given(), level="error")
    places = [place(path) for path in paths]
    for each in places:
        if each.path == "/":
            raise UsageError(f"{each} is all of the server, which is not deleted.", remedy="Name what is to go.")
    config = config_for(places)
    if recursive and not yes:
        confirm(places)
    failed = 0
    with tidy_end():
        for server in dict.fromkeys(each.server for each in places):
            with connected(config, server) as ftp, moving() as show:
                tally = Tally(server, show, given().typed)
                for each in places:
                    if each.server == server:
                        for result in removed(ftp, each, recursive=recursive):
                            tally.add(result)
                            if result.step is Step.REMOVED:
                                click.echo(f"removed {quote(f'{server}:{result.remote}')}")
                failed += tally.failed
    ctx.exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def confirm(places: Sequence[Place]) -> None:
    """Ask whether it is meant.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("rm -r asks before it deletes, and there is no terminal to ask on.", remedy="Add --yes.")
    what = ", ".join(str(each) for each in places)
    try:
        sure = click.confirm(f"Delete {what} with all that is in it?", err=True)
    except click.Abort:
        click.echo(err=True)  # the shell's prompt stands on a line of its own
        raise
    if not sure:
        click.echo("Nothing was deleted.", err=True)
        raise click.exceptions.Exit(ExitCode.SOME_FAILED)


def removed(ftp: Ftp, where: Place, *, recursive: bool) -> Iterator[TreeResult]:
    """Delete what one argument names."""
    try:
        with literally(where):
            if recursive:
                yield from ftp.delete_tree(where.path)
            else:
                _be_no_directory(ftp, where)
                ftp.delete(where.path)
                yield TreeResult(where.path, Step.REMOVED)
    except FtpsyncdError as error:
        if not ftp.session.usable:
            raise
        yield TreeResult(where.path, Step.FAILED, error=error)


def _be_no_directory(ftp: Ftp, where: Place) -> None:
    """Refuse what is not there or is a directory."""
    entry = ftp.look(where.path)
    kind = None if entry is None else entry.kind
    if kind in {None, Kind.DIR}:
        # A link to a directory, or to nothing, is only a link.
        kind = kinds_around(ftp.session, where.path).get(basename(where.path), kind)
    if kind is None:
        raise NotFoundError(f"{where} is not at the server.", remedy="")
    if kind is Kind.DIR:
        raise NameRefusedError(f"{where} is a directory.", remedy="-r deletes it with all that is in it.")
