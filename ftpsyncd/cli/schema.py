"""``ftpsyncd schema``: the JSON Schema of the configuration, for editors and other programs."""

from __future__ import annotations

import click

from ftpsyncd import config as configuration
from ftpsyncd.cli.options import examples, log_options
from ftpsyncd.cli.output import emit


@click.command(
    epilog=examples(
        "ftpsyncd schema > ftpsyncd.schema.json",
        "# then, as first line of config.yaml:",
        "# yaml-language-server: $schema=ftpsyncd.schema.json",
    )
)
@click.option("--json", "_as_json", is_flag=True, help="Accepted for symmetry: a schema is JSON anyway.")
@log_options
def schema(*, _as_json: bool) -> None:
    """Print the JSON Schema of the configuration."""
    emit(configuration.schema())
