"""``ftpsyncd history``: receipts of what was published, renamed, deleted, held or failed."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import click

from ftpsyncd.cli.completion import complete_mapping
from ftpsyncd.cli.daemon import ask_history, meant
from ftpsyncd.cli.options import Count, Given, common_options, examples, given, json_option
from ftpsyncd.cli.output import begun, local_time, size
from ftpsyncd.cli.settings import start_log
from ftpsyncd.control.moments import parse_moment
from ftpsyncd.counting import duration, number, took
from ftpsyncd.errors import UsageError
from ftpsyncd.ledger.history import RECORDED
from ftpsyncd.quoting import one_line, quote
from ftpsyncd.receipts import HistoryPage, HistoryQuery, Receipt

PAGE = 1000
"""Receipts asked for at a time."""
SHOWN = 50
KINDS = sorted(kind.value for kind in RECORDED)

COLOURS = {
    "published": "green",
    "renamed": "cyan",
    "deleted": "red",
    "trashed": "red",
    "removed": "red",
    "failed": "yellow",
    "parked": "bright_red",
    "held": "bright_yellow",
}


@click.command(
    epilog=examples(
        "ftpsyncd history                              what happened, the last 50",
        "ftpsyncd history gallery --since 2h           of one mapping, in two hours",
        "ftpsyncd history --kind failed --kind parked  what went wrong",
        "ftpsyncd history --path /srv/drop/gallery/a.jpg",
        "ftpsyncd history --since 2026-01-01 --limit 0 --csv > year.csv",
    )
)
@click.argument("mapping", required=False, shell_complete=complete_mapping)
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    type=click.Choice(KINDS),
    multiple=True,
    help=f"Only these; repeatable: {', '.join(KINDS)}.",
)
@click.option("--since", metavar="WHEN", help="How long ago (90m, 2h, 1d), a day, or a local time (2026-01-31T18:00).")
@click.option("--until", metavar="WHEN", help="Before this; written the same way.")
@click.option(
    "--path",
    type=click.Path(),
    metavar="PATH",
    help="Only this file, or what is in this folder, and what was renamed, or kept at the server, with a folder above"
    " it; SERVER:/PATH, too.",
)
@click.option("--limit", type=Count(min=0), metavar="N", default=SHOWN, show_default=True, help="The newest N; 0: all.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, safe to open in a spreadsheet.")
@json_option
@common_options
def history(
    mapping: str | None,
    kinds: Sequence[str],
    since: str | None,
    until: str | None,
    path: str | None,
    limit: int,
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what was published, renamed, deleted, held or failed, newest first.

    A running daemon answers; without one, the answer comes from the ledger. Receipts are kept for 30 days, or as long
    as `history` in the configuration says.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other.", remedy="Give one of them.")
    start_log(given(), level="warning")
    now_ns = time.time_ns()
    query = HistoryQuery(
        mapping=mapping,
        kinds=tuple(kinds),
        since_ns=None if since is None else parse_moment(since, "--since", now_ns),
        until_ns=None if until is None else parse_moment(until, "--until", now_ns),
        limit=limit,
    )
    if query.since_ns is not None and query.until_ns is not None and query.since_ns > query.until_ns:
        raise UsageError(
            "--since is later than --until: nothing can have happened in between.",
            remedy="Exchange the two; `--since 3h --until 2h` is the hour before the last two.",
        )
    pages = read(given(), query, None if path is None else meant(given(), path))
    if as_json:
        print_json(pages)
    elif as_csv:
        print_csv(pages)
    else:
        print_lines(pages, filtered=any((mapping, kinds, since, until, path)))


def read(given: Given, query: HistoryQuery, path: str | None) -> Iterator[HistoryPage]:
    """The pages that a query wants, one after the other: however many there are, one is held in memory."""
    left = query.limit or None
    cursor = None
    while True:
        wanted = PAGE if left is None else min(PAGE, left)
        page = ask_history(given, query._replace(limit=wanted), path, cursor)
        yield page
        left = None if left is None else left - len(page.entries)
        cursor = page.next
        if cursor is None or left == 0:
            return


# ── For people ───────────────────────────────────────────────────────────────────────────────────────────────────


def print_lines(pages: Iterable[HistoryPage], *, filtered: bool) -> None:
    """One line for each receipt."""
    count, page = 0, HistoryPage(())
    for page in pages:
        for receipt in page.entries:
            count += 1
            click.echo(line(receipt))
    if not count:
        click.echo("Nothing of that kind has happened." if filtered else "There are no receipts.")
    tell_of_more(page, count)


def tell_of_more(last: HistoryPage, count: int) -> None:
    """Say so if there are more receipts than those that were printed."""
    if last.next is not None:
        click.echo(f"Only the newest {number(count, 'receipt')}; --limit 0 shows all.", err=True)


def line(receipt: Receipt) -> str:
    """A receipt on one line, its time in local time."""
    kind = click.style(f"{receipt.kind:<9}", fg=COLOURS.get(receipt.kind))
    subject = f"{one_line(receipt.mapping)}: "
    if receipt.source:
        subject += f"{quote(receipt.source)} -> "
    subject += quote(receipt.path) if receipt.path else ""
    facts = "; ".join(filter(None, facts_of(receipt)))
    told = one_line(receipt.message)
    if told and receipt.path:
        told = f"- {told}"
    if receipt.kind in {"failed", "parked"} and receipt.reply and receipt.reply not in receipt.message:
        told += f" (server: {one_line(receipt.reply)})"
    facts = facts and click.style(f"({facts})", dim=True)
    return " ".join(
        filter(None, (local_time(datetime.fromisoformat(receipt.at)), kind, subject.strip(), told.strip(), facts))
    )


def facts_of(receipt: Receipt) -> Iterator[str]:
    """What stands in brackets: the size, how long it took, how often it was tried."""
    if receipt.size:
        lasted = f" in {took(receipt.duration_s)}" if receipt.duration_s else ""
        yield f"{size(receipt.size)}{lasted}"
    if receipt.attempts > 1:
        tries = number(receipt.attempts, "try", "tries")
        if receipt.last != receipt.at:
            last = datetime.fromisoformat(receipt.last)
            between_s = (last - datetime.fromisoformat(receipt.at)).total_seconds()
            # Less than nothing where the clock was set back in between.
            tries += f" in {duration(between_s)}" if between_s >= 0 else ""
            tries += f", the last {local_time(last)}"
        yield tries


# ── For programs ─────────────────────────────────────────────────────────────────────────────────────────────────


def print_json(pages: Iterable[HistoryPage]) -> None:
    """One document in the shape of ``GET /v1/history``."""
    count, page = 0, HistoryPage(())
    pages = begun(pages)
    click.echo('{"entries": [', nl=False)
    for page in pages:
        for receipt in page.entries:
            click.echo(f"{',' if count else ''}\n  {json.dumps(receipt._asdict())}", nl=False)
            count += 1
    click.echo(f'\n], "next": {json.dumps(page.next)}}}')


def print_csv(pages: Iterable[HistoryPage]) -> None:
    """A table whose columns are the fields of a receipt."""
    count, page = 0, HistoryPage(())
    pages = begun(pages)
    click.echo(csv_row(Receipt._fields), nl=False)
    for page in pages:
        for receipt in page.entries:
            click.echo(csv_row(receipt), nl=False)
        count += len(page.entries)
    tell_of_more(page, count)


def csv_row(values: Iterable[object]) -> str:
    """A row after RFC 4180, every field in quotes, texts made harmless."""
    row = io.StringIO()
    csv.writer(row, quoting=csv.QUOTE_ALL).writerow(cell(v) if isinstance(v, str) else v for v in values)
    return row.getvalue()


def cell(text: str) -> str:
    r"""A text that no spreadsheet takes for a formula, whichever separator it believes in.

    Where a formula would begin, at the start or after a separator, stands an apostrophe; what does not print is
    escaped. ``--json`` has the exact text.
    """
    return re.sub(r"(^|[;,|])(\s*)(?=[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])", r"\1\2'", one_line(text))
