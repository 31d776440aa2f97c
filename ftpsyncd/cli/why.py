"""``ftpsyncd why PATH``: one sentence about one file or folder."""

from __future__ import annotations

import click

from ftpsyncd.cli.daemon import ask_why, meant
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import emit, in_local_time
from ftpsyncd.cli.settings import start_log
from ftpsyncd.control import shapes
from ftpsyncd.quoting import one_line


@click.command(
    epilog=examples(
        "ftpsyncd why /srv/drop/gallery/sunset.jpg",
        "ftpsyncd why sunset.jpg                     below the current folder",
        "ftpsyncd why web:/htdocs/gallery/sunset.jpg  of what is published there",
        "ftpsyncd why --json sunset.jpg              with its receipt",
    )
)
@click.argument("path", type=click.Path())
@json_option
@common_options
def why(path: str, *, as_json: bool) -> None:
    """Say why PATH is published, waits, failed or is ignored, and what would change it.

    Of a published file it says when, how large it is, how long that took, and its sha256; of one that failed, what the
    server said.

    PATH is a local one, or SERVER:/PATH for what is published there.

    A running daemon answers; without one, the answer comes from the ledger and the disk.
    """
    start_log(given(), level="warning")
    answer = ask_why(given(), meant(given(), path))
    if as_json:
        emit(shapes.why_to_json(answer))
    elif not answer.also:
        click.echo(one_line(in_local_time(answer.sentence)))
    else:
        for each in (answer, *answer.also):
            click.echo(one_line(f"{each.mapping}: {in_local_time(each.sentence)}"))
