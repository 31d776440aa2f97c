"""Every command line that a page or a help text prints is understood by the program as it stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ftpsyncd.cli.app import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "contrib/README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"^\s*(?:\$ )?(?:sudo )?(?:\S*/)?ftpsyncd ((?!.*: error: ).*)$", re.MULTILINE)
ENDS = re.compile(r"\s{2,}|\s[|>#]|;")
"""Where a command ends, and a comment, an explanation or the rest of a shell's line begins."""


def command() -> click.Context:
    return click.Context(cli, info_name="ftpsyncd")


def on_pages() -> Iterator[str]:
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            yield from LINE.findall(block)


def in_help() -> Iterator[str]:
    yield from LINE.findall(cli.epilog or "")
    for name in COMMANDS:
        yield from LINE.findall(getattr(cli.get_command(command(), name), "epilog", "") or "")


def printed() -> list[str]:
    return sorted({ENDS.split(line)[0] for line in (*on_pages(), *in_help())})


@pytest.mark.parametrize("line", printed())
def test_it_is_understood(line):
    name, *words = shlex.split(line)
    found = cli.get_command(command(), name)
    assert found is not None
    assert found.make_context(name, words, parent=command()).command is found


def test_most_commands_are_printed_somewhere():
    assert {line.split()[0] for line in printed()} == set(COMMANDS)
