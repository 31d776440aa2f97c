"""What the shell completes besides commands: names of the configuration, none if it cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ftpsyncd.cli.options import Given
from ftpsyncd.cli.settings import load_config
from ftpsyncd.config import Config
from ftpsyncd.errors import FtpsyncdError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_mapping(ctx: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Names of mappings."""
    config = _config(ctx)
    return [name for name in config.mappings if name.startswith(incomplete)] if config else []


def complete_server(ctx: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Names of servers."""
    config = _config(ctx)
    return [name for name in config.servers if name.startswith(incomplete)] if config else []


def complete_place(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Names of servers with their colon."""
    return [f"{name}:" for name in complete_server(ctx, option, incomplete)]


def complete_path_or_place(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """A path here, or behind one a place, for shell completion: which of the words is the last one, nobody knows yet.

    Bash offers paths where no server begins so.
    """
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - shells only

    places = complete_place(ctx, option, incomplete) if ctx.params.get("target") else []
    # Bash drops what comes before a file.
    return [CompletionItem(incomplete, type="file"), *(CompletionItem(each) for each in places)]


def _config(ctx: click.Context) -> Config | None:
    try:
        return load_config(ctx.ensure_object(Given))
    except FtpsyncdError:
        return None
