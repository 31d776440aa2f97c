"""``ftpsyncd plan``: what a pass would do, and why; also ``sync --dry-run``."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import click

from ftpsyncd.cli.completion import complete_mapping
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import begun, printer, size
from ftpsyncd.cli.settings import chosen, load_config, start_log
from ftpsyncd.config import Config
from ftpsyncd.counting import deletes, number
from ftpsyncd.inspection import preview
from ftpsyncd.inspection.preview import Planned
from ftpsyncd.quoting import as_word, one_line, quote


@click.command(
    epilog=examples(
        "ftpsyncd plan                      every mapping",
        "ftpsyncd plan gallery              one of them",
        "ftpsyncd plan --json | jq '.planned[] | select(.verb == \"delete\") | .path'",
    )
)
@click.argument("mappings", nargs=-1, metavar="[MAPPING]...", shell_complete=complete_mapping)
@json_option
@common_options
def plan(mappings: Sequence[str], *, as_json: bool) -> None:
    """Show what a pass would do, and why. Touches neither the server nor the ledger.

    The server is not asked, either: what it has already, of the same size and date, is listed as an upload, and the
    pass finds out that it need not be sent.
    """
    start_log(given(), level="warning")
    config = load_config(given())
    show(config, chosen(config, mappings), as_json=as_json)


def show(config: Config, mappings: Sequence[str], *, as_json: bool) -> None:
    """Print the plan as it is found: however long it is, it is not held in memory."""
    planned = map(given().typed.record, preview.plan(config, mappings))
    if as_json:
        print_json(planned)
    else:
        print_lines(planned, given().option)


def print_json(planned: Iterable[Planned]) -> None:
    """One document: ``{"planned": [{mapping, verb, path, size, why, held}…], "totals": {verb: count}, "bytes": n}``.

    What follows a ``paused`` of its mapping is done when that goes on.
    """
    totals: Counter[str] = Counter()
    total_bytes = 0
    planned, write = begun(planned), sys.stdout.write
    write('{"planned": [')
    for index, each in enumerate(planned):
        totals[each.verb] += 1
        total_bytes += each.size if each.verb == "upload" else 0
        record = {name: getattr(each, name) for name in ("mapping", "verb", "path", "size", "why", "held")}
        write(f"{',' if index else ''}\n  {json.dumps(record)}")
    click.echo(f'\n], "totals": {json.dumps(totals)}, "bytes": {total_bytes}}}')


def print_lines(planned: Iterable[Planned], option: str = "") -> None:
    """One line for each action, then the totals; ``option`` stands behind the commands that are named."""
    totals: Counter[str] = Counter()
    held: dict[str, Counter[str]] = {}
    paused: Counter[str] = Counter()
    total_bytes = parked = waiting = 0
    say = printer(sys.stdout)
    style = click.style if sys.stdout.isatty() else _as_it_is
    for each in planned:
        if each.verb == "paused":
            paused[each.mapping] = 0
        # What is no longer managed, waits, or is parked, is told, but nothing is done about it.
        done = each.verb not in NO_ACTIONS and not each.held
        if each.mapping in paused:
            paused[each.mapping] += done
        else:
            totals[each.verb] += done
            total_bytes += each.size if each.verb == "upload" else 0
        if each.held:
            held.setdefault(each.mapping, Counter())[each.verb] += 1
        parked += each.verb == "parked"
        waiting += each.verb == "wait"
        amount = size(each.size) if each.verb == "upload" else ""
        verb = style(f"{each.verb.replace('_', ' '):<10}", fg=COLOURS.get(each.verb))
        # The command is the same for all of them, and named below.
        reason = _APPROVE.sub("held", each.why) if each.held else each.why
        why = style(f"({one_line(reason)})", dim=True)
        say(f"{verb} {amount:>7}  {each.mapping}: {quote(each.path or '.')}  {why}")
    for name, verbs in held.items():
        mapping = as_word(name)
        decides = f"`ftpsyncd approve {mapping}{option}` or `ftpsyncd discard {mapping}{option}` decides."
        click.echo(f"{name}: {_waiting(verbs)} for a person: {decides}")
    for name in +paused:
        waits = number(paused[name], "action waits", "actions wait")
        click.echo(f"{name}: {waits} until it goes on: `ftpsyncd resume {as_word(name)}{option}`.")
    if parked:
        paths = number(parked, "path is", "paths are")
        click.echo(f"{paths} parked: a person is needed, then `ftpsyncd retry{option}`.")
    if not totals.total():
        left = parked or waiting or held or paused.total()
        click.echo("Nothing else to do." if left else "Nothing to do: the servers have everything.")
        return
    counted = ", ".join(f"{count:,} {verb.replace('_', ' ')}" for verb, count in totals.most_common() if count)
    tail = f"; {size(total_bytes)} to send" if total_bytes else ""
    click.echo(click.style(f"{number(totals.total(), 'action')}: {counted}{tail}", bold=True))


def _waiting(held: Counter[str]) -> str:
    """How many files are held, which is what `status` and `approve` count; of directories only where that is all."""
    directories = held["remove_dir"]
    files = held.total() - directories
    return deletes(files, directories, "waits", "wait")


def _as_it_is(text: str, **_style: object) -> str:
    """In the place of `click.style` where there are no colours."""
    return text


_APPROVE = re.compile(r"held for `ftpsyncd approve .*`$")
NO_ACTIONS = frozenset({"unmanaged", "parked", "wait", "paused"})
COLOURS = {
    "upload": "green",
    "rename": "cyan",
    "delete": "red",
    "remove_dir": "red",
    "wait": "yellow",
    "paused": "yellow",
    "parked": "red",
    "sweep": "cyan",
}
