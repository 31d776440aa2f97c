"""``ftpsyncd probe``: a server's profile, measured, shown and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
from rich.table import Table

from ftpsyncd.claim import Claim, whose, whose_before
from ftpsyncd.cli.completion import complete_server
from ftpsyncd.cli.daemon import client
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import console, emit, words
from ftpsyncd.cli.settings import check_name, load_config, start_log
from ftpsyncd.config import Config, placed
from ftpsyncd.errors import FtpsyncdError, LedgerError, LockHeldError, NameRefusedError, RemoteError, UsageError
from ftpsyncd.inspection.probe import Measure, Probing
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.ledger.recovery import is_lost
from ftpsyncd.quoting import address, one_line, quote
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import found, kept, learned
from ftpsyncd.remote.remedies import remedy


@click.command(
    epilog=examples(
        "ftpsyncd probe web                       what can this server do?",
        "ftpsyncd probe web --directory /scratch  where its files may be put",
        "ftpsyncd probe web --json | jq .profile",
    )
)
@click.argument("server", shell_complete=complete_server)
@click.option(
    "--directory", metavar="PATH", help="Where to put the files of the measurement; a mapping's directory by default."
)
@json_option
@common_options
def probe(server: str, *, directory: str | None, as_json: bool) -> None:
    """Measure what a server can do, and remember it.

    Small files are put into a directory of the account and removed again. Exits with 75 if the server is not available
    now, 1 if it refuses that. docs/servers.md explains the fields.
    """
    start_log(given(), level="error")
    config = load_config(given())
    check_name(server, config.servers, "server")
    place = directory or _directory_of(config, server)
    if not place.startswith("/"):
        raise UsageError(f"{quote(place)} is no absolute path.", remedy="Begin it with a slash.")
    account = Account(config.servers[server])
    probing = Probing(account, place)
    try:
        with tidy_end(), placed(config, server):
            measures = list(probing.run())
    except RemoteError as error:
        refused = isinstance(error, NameRefusedError)
        error.remedy = "Name a directory that this account may write to with --directory." if refused else remedy(error)
        if probing.left:
            error.remedy = f"{error.remedy} {_perhaps(probing.left)}"
        raise
    except (KeyboardInterrupt, SystemExit):
        if probing.left:
            click.echo(_perhaps(probing.left), err=True)
        raise
    stored, message = _keep(config, account)
    if probing.left:
        stays = " and ".join(map(quote, probing.left))
        click.echo(f"The server does not remove what was made for this: have {stays} removed there.", err=True)
    if as_json:
        profile = learned(account.profile)
        profile["features"] = account.profile.features
        emit({
            "server": server,
            "directory": place,
            "measures": measures,
            "left": probing.left,
            "profile": profile,
            "stored": stored,
            "message": message,
        })  # fmt: skip
    else:
        _show(server, account, measures)
        click.echo(one_line(message))


def _perhaps(left: Sequence[str]) -> str:
    return f"Have {' and '.join(map(quote, left))} removed there, if any has stayed."


def _directory_of(config: Config, server: str) -> str:
    directories = [mapping.remote for mapping in config.mappings.values() if mapping.server == server]
    if not directories:
        raise UsageError(f"No mapping publishes to {server}.", remedy="Name a directory with --directory.")
    return directories[0]


def _keep(config: Config, account: Account) -> tuple[bool, str]:
    """Put the profile into the ledger, or hand it to the daemon that has it; whether that was done, and a sentence."""
    path = config.state_dir / LEDGER
    try:
        with Claim(config.state_dir) as claim:
            if gone := is_lost(path, claim):
                # With a new one in its place, nobody would be told any more that what was published is forgotten.
                return False, f"Not stored: {gone}. The next `run` or `sync` begins a new one, and tells of it."
            with Ledger(path) as ledger:
                # It is closed in order then, whatever was begun before.
                whose_before(config.state_dir, whose(config.state_dir), in_order=ledger.in_order)
                before = ledger.profile(account.key)
                ledger.put_profile(account.key, kept(account.profile, time.time(), before))
    except LockHeldError:
        return _hand_over(config, account)
    except LedgerError as error:
        return False, f"Not stored: {error.message}"
    return True, "Stored: the daemon begins with this."


def _hand_over(config: Config, account: Account) -> tuple[bool, str]:
    """Tell the running daemon."""
    try:
        client(config).learn(account.key, found(account.profile))
    except FtpsyncdError as error:
        reason = error.message
        return (
            False,
            f"Not stored: a running ftpsyncd has the ledger, and cannot be told: {reason} It learns by itself.",
        )
    return True, "Stored: the running ftpsyncd knows this from now on."


def _show(server: str, account: Account, measures: list[Measure]) -> None:
    spec = account.spec
    table = Table(
        box=None, pad_edge=False, title_justify="left", title=f"{server}: {spec.user}@{address(spec.host, spec.port)}"
    )
    for heading in ("field", "found", "meaning"):
        table.add_column(heading, overflow="fold")
    for measure in measures:
        table.add_row(words(measure.field, "bold"), words(measure.value), words(measure.meaning, "bright_black"))
    console().print(table)
