"""``ftpsyncd check``: findings as they are made, each with what helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import click
from rich.padding import Padding
from rich.text import Text

from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import Marks, console, emit, marks, words
from ftpsyncd.cli.settings import load_config, start_log
from ftpsyncd.counting import number
from ftpsyncd.inspection import check as checks
from ftpsyncd.inspection.findings import Finding, Level, exit_code

LOOKS = {Level.OK: ("good", "green"), Level.WARNING: ("call", "yellow"), Level.ERROR: ("bad", "bold red")}


@click.command(
    epilog=examples(
        "ftpsyncd check -c config.yaml            everything",
        "ftpsyncd check --offline                 without asking the servers",
        "ftpsyncd check --json | jq '.findings[] | select(.level == \"error\")'",
    )
)
@click.option("--offline", is_flag=True, help="Leave the servers alone.")
@json_option
@common_options
@click.pass_context
def check(ctx: click.Context, *, offline: bool, as_json: bool) -> None:
    """Check the configuration, this machine, and each server: login, TLS, rights.

    In each remote directory a scratch file is published and deleted. Exits with 78 if the configuration or this
    machine must be mended, else 75 if a server cannot be used, 1 if one refuses something in a directory.
    """
    start_log(given(), level="error")
    config = load_config(given())
    with tidy_end():
        found = map(_typed, checks.check(config, offline=offline))
        if as_json:
            findings = list(found)
            code = exit_code(findings)
            emit({"findings": findings, "exit_code": code})
        else:
            code = exit_code(show(found))
    ctx.exit(code)


def _typed(finding: Finding) -> Finding:
    """A finding, its commands typed for the configuration that is checked."""
    typed = given().typed
    return replace(finding, message=typed.text(finding.message), remedy=typed.text(finding.remedy))


def show(found: Iterable[Finding]) -> list[Finding]:
    """Print findings as they come; returns them."""
    screen = console()
    signs = marks(screen)
    findings: list[Finding] = []
    for each in found:
        findings.append(each)
        for indent, line in lines(each, signs):
            # On a terminal the lines that it is folded into are indented, too.
            screen.print(Padding(line, (0, 0, 0, indent)) if screen.is_terminal else Text(" " * indent) + line)
    screen.print()
    screen.print(verdict(findings, signs))
    return findings


def lines(finding: Finding, signs: Marks) -> Iterator[tuple[int, Text]]:
    """A finding and, below it, what helps; each with the columns that it is indented by."""
    sign, style = LOOKS[finding.level]
    subject = words(finding.subject, "bold")
    text = Text.assemble((f"{getattr(signs, sign)} ", style), subject, ": ", words(finding.message), overflow="fold")
    yield 0, text
    if finding.remedy:
        yield 2, Text(f"{signs.arrow} ").append_text(words(finding.remedy, "cyan"))


def verdict(findings: Iterable[Finding], signs: Marks) -> Text:
    """The last line: is it fit to run?"""
    levels = [finding.level for finding in findings]
    errors, warnings = levels.count(Level.ERROR), levels.count(Level.WARNING)
    if errors:
        return Text(f"{signs.bad} {number(errors, 'error')}, {number(warnings, 'warning')}", style="bold red")
    if warnings:
        return Text(f"{signs.call} It works; {number(warnings, 'warning')}", style="bold yellow")
    return Text(f"{signs.good} All is well", style="bold green")
