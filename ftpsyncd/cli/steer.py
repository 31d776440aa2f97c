"""Commands that tell the running daemon something: retry, rescan, pause, resume, approve, discard, reload.

Where none runs, all but `rescan` and `reload` note it for the next pass (`daemon.deciding`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ftpsyncd.cli.completion import complete_mapping, complete_server
from ftpsyncd.cli.daemon import about, at_once, meant, refuse_unloaded
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import emit
from ftpsyncd.cli.settings import check_name, load_config, start_log
from ftpsyncd.config import Config
from ftpsyncd.descriptors import allow_files
from ftpsyncd.errors import CommandRefusedError, ConfigError, DaemonNotRunningError, UnknownNameError, UsageError
from ftpsyncd.questions import CommandName
from ftpsyncd.quoting import one_line

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def tell(
    name: CommandName, *, as_json: bool, mapping: str | None = None, server: str | None = None, path: str | None = None
) -> None:
    """Pass a command to the daemon, or note it for the next pass, and print what was done."""
    start_log(given(), level="warning")
    named = [option for option, value in (("MAPPING", mapping), ("--server", server), ("--path", path)) if value]
    # A mapping has one server; a path may be published by several mappings.
    if server and len(named) > 1:
        raise UsageError(
            f"{' and '.join(named)} exclude each other.", remedy="Give one of them, or none for everything."
        )
    full = None if path is None else meant(given(), path)
    try:
        done = about(
            given(), full, lambda where: at_once(given()).command(name, mapping=mapping, server=server, path=where)
        )
    except UnknownNameError:
        refuse_unloaded(given(), mapping)
        raise
    except CommandRefusedError as refused:
        if name is not CommandName.RELOAD:
            raise
        # Nothing but the file can be wrong with a reload.
        raise ConfigError(*refused.message.split("\n"), remedy=refused.remedy) from refused
    except DaemonNotRunningError as nobody:
        config = load_config(given())
        if mapping is not None:
            check_name(mapping, config.mappings, "mapping")
        if server is not None:
            check_name(server, config.servers, "server")
        done = _note(config, name, nobody, mapping=mapping, server=server, path=full)
    if as_json:
        emit({"command": name, "mapping": mapping, "server": server, "path": full, "message": done})
    else:
        click.echo(one_line(done))


def _note(
    config: Config,
    name: CommandName,
    nobody: DaemonNotRunningError,
    *,
    mapping: str | None,
    server: str | None,
    path: str | None,
) -> str:
    """Nobody can be told: note in the ledger what a pass goes by, and say so.

    Raises:
        DaemonNotRunningError: it is something that only a daemon can do.
    """
    from ftpsyncd.daemon import deciding  # noqa: PLC0415 - loads what a daemon consists of, to do without one

    if name not in deciding.NOTED:
        raise nobody

    def tell_long() -> None:
        click.echo(f"ftpsyncd: no daemon runs: looking at what is gone from {one_line(mapping or '')}", err=True)

    def decide(where: str | None) -> str:
        return deciding.decide(config, name, mapping=mapping, server=server, path=where, long=tell_long)

    # Of what is found meanwhile the answer tells.
    start_log(given(), level="error")
    allow_files()
    with tidy_end():
        return given().typed.text(about(given(), path, decide))


def _scope(command: Decorated) -> Decorated:
    """A mapping, a server, or nothing for everything."""
    mapping = click.argument("mapping", required=False, shell_complete=complete_mapping)
    server = click.option(
        "--server", metavar="SERVER", shell_complete=complete_server, help="All mappings of this server."
    )
    return mapping(server(command))


_path = click.option(
    "--path",
    type=click.Path(),
    metavar="PATH",
    help="Only this file or folder (SERVER:/PATH, too); of all mappings that publish it, or of MAPPING.",
)
_decided = click.argument("mapping", shell_complete=complete_mapping)


@click.command(
    epilog=examples(
        "ftpsyncd retry                                all that failed or is parked",
        "ftpsyncd retry gallery                        of one mapping",
        "ftpsyncd retry --server web                   of one server (a new password)",
        "ftpsyncd retry --path /srv/drop/gallery/a.jpg",
    )
)
@_scope
@_path
@json_option
@common_options
def retry(mapping: str | None, server: str | None, path: str | None, *, as_json: bool) -> None:
    """Try failed and parked files again now, instead of at their next time.

    Without a running daemon the next `sync` does, or the daemon when it starts.
    """
    tell(CommandName.RETRY, mapping=mapping, server=server, path=path, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd rescan                               all folders",
        "ftpsyncd rescan gallery                       one mapping",
        "ftpsyncd rescan --path /srv/drop/gallery/2024",
    )
)
@_scope
@_path
@json_option
@common_options
def rescan(mapping: str | None, server: str | None, path: str | None, *, as_json: bool) -> None:
    """Compare folders with what was published, now, and publish the difference."""
    tell(CommandName.RESCAN, mapping=mapping, server=server, path=path, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd pause gallery                        after what is on its way",
        "ftpsyncd pause --server web                   while the server is maintained",
        "ftpsyncd pause                                everything",
    )
)
@_scope
@json_option
@common_options
def pause(mapping: str | None, server: str | None, *, as_json: bool) -> None:
    """Stop publishing until `resume`; changes are remembered.

    Without a running daemon that is noted: the next `sync` keeps to it, and the daemon when it starts.
    """
    tell(CommandName.PAUSE, mapping=mapping, server=server, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd resume gallery",
        "ftpsyncd resume                               everything",
    )
)
@_scope
@json_option
@common_options
def resume(mapping: str | None, server: str | None, *, as_json: bool) -> None:
    """Go on after `pause`.

    Without a running daemon the next `sync` does, or the daemon when it starts.
    """
    tell(CommandName.RESUME, mapping=mapping, server=server, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd plan gallery                         what is held?",
        "ftpsyncd approve gallery                      delete it at the server, too",
    )
)
@_decided
@json_option
@common_options
def approve(mapping: str, *, as_json: bool) -> None:
    """Let the held deletes of MAPPING go out: all that is gone now, and nothing that goes later.

    Nothing is decided, which exits with 1, while the folder is missing. Without a running daemon it is looked through,
    and they go out with the next `sync`, or when the daemon starts; nothing is decided then if it is not as you were
    told any more, or, with 75, while a `sync` runs.
    """
    tell(CommandName.APPROVE, mapping=mapping, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd plan gallery                         what is held?",
        "ftpsyncd discard gallery                      keep the files at the server",
    )
)
@_decided
@json_option
@common_options
def discard(mapping: str, *, as_json: bool) -> None:
    """Drop the held deletes of MAPPING: the files stay at the server and are no longer ours.

    Nothing is decided, which exits with 1, while the folder is missing. Without a running daemon it is looked through,
    and what is gone is dropped at once; if not everything can be looked at, the next `sync` goes on, or the daemon when
    it starts, and `status` says so until then. Nothing is decided then if the folder is not as you were told any more,
    or, with 75, while a `sync` runs.
    """
    tell(CommandName.DISCARD, mapping=mapping, as_json=as_json)


@click.command(
    epilog=examples(
        "ftpsyncd reload                after editing the configuration",
        "systemctl reload ftpsyncd      the same",
    )
)
@json_option
@common_options
def reload(*, as_json: bool) -> None:
    """Have the daemon read its configuration again; a wrong one changes nothing, and is explained.

    What did not change is not disturbed. `state_dir` and `control.http` take effect at the next start. Exits with 78 if
    the configuration is wrong.
    """
    tell(CommandName.RELOAD, as_json=as_json)
