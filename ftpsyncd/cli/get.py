"""``ftpsyncd get SERVER:PATH [LOCAL]``: a file, or a whole directory, fetched by hand."""

from __future__ import annotations

from pathlib import Path

import click

from ftpsyncd.cli.completion import complete_place
from ftpsyncd.cli.hand import (
    Place,
    Tally,
    config_for,
    connected,
    is_folder,
    literally,
    moving,
    place,
    refuse_swapped,
)
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given
from ftpsyncd.cli.output import size
from ftpsyncd.cli.settings import start_log
from ftpsyncd.errors import ExitCode, UsageError
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename
from ftpsyncd.quoting import as_word
from ftpsyncd.remote import Ftp, Step


@click.command(
    epilog=examples(
        "ftpsyncd get web:/htdocs/a.jpg              to the current folder",
        "ftpsyncd get web:/htdocs/a.jpg b.jpg        under another name",
        "ftpsyncd get web:/htdocs/ site              a directory, as the folder site",
    )
)
@click.argument("source", metavar="SERVER:PATH", shell_complete=complete_place)
@click.argument("local", required=False, metavar="[LOCAL]", type=click.Path())
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace local files.")
@common_options
@click.pass_context
def get(ctx: click.Context, source: str, local: str | None, *, no_overwrite: bool) -> None:
    """Fetch a file, or with a slash at the end of PATH a directory with all that is in it.

    Content arrives under a temporary name and is renamed when it is complete. What broke off is continued when the
    command is given again, and files of a directory that are here with the same size and date are not fetched again.
    Names that would lead out of the folder are refused. Symbolic links at the server, and the directory into which
    `deletes: trash` moves files, are skipped.
    """
    start_log(given(), level="error")
    refuse_swapped(source, [local] if local else [], "put")
    if local == "-":
        raise UsageError(
            "What is fetched has to be whole: nothing is written to standard output.",
            remedy="./- is a file or a folder of that name.",
        )
    where = place(source)
    config = config_for([where])
    if where.path == "/" and local is None:
        example = f"For example: ftpsyncd get {as_word(source)} copy"
        raise UsageError("Where shall all of the server go to?", remedy=example)
    with tidy_end(), connected(config, where.server) as ftp, literally(where):
        if where.inside:
            folder = Path(basename(where.path) if local is None else local)
            failed = fetch_tree(ftp, where, folder, overwrite=not no_overwrite)
        else:
            failed = fetch_file(ftp, where, local, overwrite=not no_overwrite)
    ctx.exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def fetch_tree(ftp: Ftp, where: Place, local: Path, *, overwrite: bool) -> int:
    """Fetch a directory; returns how many names failed."""
    show = moving()
    tally = Tally(where.server, show, given().typed)
    with tally.told(Step.FETCHED), show:
        for result in ftp.download_tree(where.path, local, overwrite=overwrite, progress=show.moved):
            tally.add(result)
    return tally.failed


def fetch_file(ftp: Ftp, where: Place, local: str | None, *, overwrite: bool) -> int:
    """Fetch a file; returns how many failed, which is none: it raises.

    Raises:
        UsageError: it is a directory.
    """
    entry = ftp.stat(where.path)
    if entry.kind is Kind.DIR:
        raise UsageError(f"{where} is a directory.", remedy="With a slash at the end, all that is in it is fetched.")
    path = Path(local or basename(where.path))
    if local is not None and (local.endswith("/") or is_folder(path)):
        path /= basename(where.path)
    total = entry.size
    with moving(files=1 if total else 0, total=total or 0) as show:
        fetched = ftp.download(
            where.path, path, overwrite=overwrite, progress=lambda count: show.moved(where.path, count, total)
        )
    earlier = f", of which {size(fetched.continued_at)} had come earlier" if fetched.continued_at else ""
    click.echo(f"1 file ({size(fetched.size)}) fetched{earlier}.")
    return 0
