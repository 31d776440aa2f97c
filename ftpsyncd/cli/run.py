"""``ftpsyncd run``: the daemon in the foreground."""

from __future__ import annotations

import os

import click

from ftpsyncd.cli.options import Given, common_options, examples, given
from ftpsyncd.cli.settings import load_config, place_of, require_answer, secrets, start_log
from ftpsyncd.config import Config
from ftpsyncd.daemon import process as daemon
from ftpsyncd.daemon.starting import Waiting
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.logs import for_machines
from ftpsyncd.typed import typed_for


@click.command(
    epilog=examples(
        "ftpsyncd run -c /etc/ftpsyncd/config.yaml",
        "ftpsyncd run --log-format json --log-level debug",
        "systemctl start ftpsyncd                      as a service, see README",
    )
)
@common_options
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    given_here = given()
    start_log(given_here, level="info")
    try:
        code = _run(given_here)
    except FtpsyncdError as error:
        if not for_machines():
            raise
        # The log has told of it, where it is found by its level, and in a shape that its readers know.
        code = error.exit_code
    ctx.exit(code)


def _run(given_here: Given) -> int:
    waiting = Waiting()
    with daemon.start_told_of():
        config = load_config(given_here, lambda waited_s: waiting.tell(place_of(given_here), waited_s))
    typed = typed_for(config.path, os.environ)
    start_log(given_here, level=config.log.level, log_format=config.log.format, typed=typed)

    def again() -> Config:
        # Whoever asked for it waits for it, and so does the end.
        require_answer(given_here)
        fresh = load_config(given_here)
        # Here, where nobody waits but who asked for it.
        secrets()
        return fresh

    def adopted(fresh: Config) -> None:
        nonlocal config
        if fresh.log != config.log:
            start_log(given_here, level=fresh.log.level, log_format=fresh.log.format, typed=typed)
        config = fresh

    return daemon.run(config, again, adopted, waiting)
