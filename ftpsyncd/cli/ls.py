"""``ftpsyncd ls SERVER[:PATH]``: what is in a directory of a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from ftpsyncd.cli.completion import complete_place
from ftpsyncd.cli.hand import config_for, connected, literally, place
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import emit, local_time
from ftpsyncd.cli.settings import start_log
from ftpsyncd.model import Kind
from ftpsyncd.quoting import quote
from ftpsyncd.remote import RemoteEntry
from ftpsyncd.remote.port import PartlyListedError


@click.command(
    epilog=examples(
        "ftpsyncd ls web                             the root",
        "ftpsyncd ls -l web:/htdocs                  with kind, size and date",
        "ftpsyncd ls --json web:/htdocs | jq -r '.entries[].name'",
    )
)
@click.argument("path", metavar="SERVER[:PATH]", shell_complete=complete_place)
@click.option("-l", "--long", "with_facts", is_flag=True, help="Kind, size in bytes and date (local time) of each.")
@json_option
@common_options
def ls(path: str, *, with_facts: bool, as_json: bool) -> None:
    """List a directory of a server, or a file.

    One name on each line, directories with a slash; names with a space, or that could mislead a terminal, stand in
    quotes.

    --json prints {"server", "path", "entries": [{"name", "kind", "size", "mtime"}, …]}: kind is file, dir or other (a
    link, for example), size is in bytes, mtime in ISO 8601; both are null where the server does not say.
    """
    start_log(given(), level="error")
    where = place(path, bare=True)
    config = config_for([where])
    with tidy_end(), connected(config, where.server) as ftp, literally(where):
        entry = None if where.inside else ftp.stat(where.path)
        dated = with_facts or as_json
        cut: PartlyListedError | None = None
        try:
            entries = ftp.list(where.path, dated=dated) if entry is None or entry.kind is Kind.DIR else [entry]
        except PartlyListedError as error:
            entries, cut = sorted(error.entries, key=lambda each: each.name), error
    if as_json:
        emit({"server": where.server, "path": where.path, "entries": [facts(each) for each in entries]})
    else:
        for line in long_lines(entries) if with_facts else [shown(each) for each in entries]:
            click.echo(line)
    if cut is not None:
        raise cut


def facts(entry: RemoteEntry) -> dict[str, object]:
    """One entry of ``ls --json``."""
    return {
        "name": entry.name,
        "kind": entry.kind.value,
        "size": entry.size,
        "mtime": None if entry.mtime_s is None else datetime.fromtimestamp(entry.mtime_s, UTC).isoformat(),
    }


def shown(entry: RemoteEntry) -> str:
    """A name as it stands on a line."""
    return quote(entry.name) + ("/" if entry.kind is Kind.DIR else "")


def long_lines(entries: Sequence[RemoteEntry]) -> list[str]:
    """Kind, size, date and name, in columns."""
    sizes = ["-" if each.size is None else str(each.size) for each in entries]
    width = max(map(len, sizes), default=0)
    lines = []
    for each, amount in zip(entries, sizes, strict=True):
        date = "-" if each.mtime_s is None else local_time(datetime.fromtimestamp(each.mtime_s, UTC))
        lines.append(f"{each.kind.value:<5}  {amount:>{width}}  {date:<19}  {shown(each)}")
    return lines
