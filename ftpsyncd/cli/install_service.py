"""``ftpsyncd install-service``: units, user, directories and a configuration to begin with."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.text import Text

from ftpsyncd import install
from ftpsyncd.cli.options import examples, log_options
from ftpsyncd.cli.output import console, marks, words
from ftpsyncd.errors import ExitCode, UsageError
from ftpsyncd.quoting import as_word, quote

_LOOKS = {
    "made": ("good", "green"),
    "updated": ("good", "green"),
    "ran": ("good", "green"),
    "unchanged": ("good", "dim"),
    "kept": ("good", "dim"),
    "skipped": ("call", "yellow"),
    "failed": ("bad", "bold red"),
}


@click.command(
    name="install-service",
    epilog=examples(
        "ftpsyncd install-service --dry-run      what would be done",
        "sudo ftpsyncd install-service           a service of the system",
        "ftpsyncd install-service --user         a service of your own",
    ),
)
@click.option("--user", "for_user", is_flag=True, help="A service of this user, not of the system.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Install into this tree and run nothing (for packages and images).",
)
@log_options
@click.pass_context
def install_service(ctx: click.Context, *, for_user: bool, dry_run: bool, root: Path | None) -> None:
    """Write the systemd unit, its snippets and a configuration to begin with.

    Done again after an update, it brings the unit up to date and changes nothing else; a configuration that is there
    stays as it is. Nothing is started: that is yours to do when the configuration is right.
    """
    program = install.own_program()
    if for_user:
        if root is not None:
            raise UsageError("--user and --root exclude each other.")
        install.require_startable(program)
        steps = install.user_steps(_config_home(), program, run=True)
    else:
        if root is None and os.geteuid() != 0 and not dry_run:
            raise UsageError(
                "A system service is installed by root.", remedy="Use sudo, or --user for a service of your own."
            )
        if root is None:
            install.require_startable(program)
            install.require_reachable(program)
        else:
            program = install.within(root, program)
        steps = install.system_steps(root or Path("/"), program, run=root is None)
    failed = kept = False
    screen = console()
    signs = marks(screen)
    for taken in install.apply(steps, dry_run=dry_run):
        sign, style = _LOOKS[taken.did]
        did = {"ran": "would run", "made": "would make", "updated": "would update"}.get(taken.did) if dry_run else None
        note = f" ({taken.note})" if taken.note else ""
        screen.print(
            Text.assemble((f"{getattr(signs, sign)} ", style), f"{did or taken.did} ", words(taken.what + note))
        )
        failed = failed or taken.did == "failed"
        kept = kept or taken.did == "kept"
    if failed:
        ctx.exit(ExitCode.SOME_FAILED)
    if root is not None and not os.path.lexists(root / program.lstrip("/")):
        screen.print(Text(f"The units start {quote(program)}, which is not in this tree."), soft_wrap=True)
    if not dry_run and root is None:
        screen.print()
        for line in _after_an_update(for_user=for_user) if kept else _next_steps(for_user=for_user):
            screen.print(Text(line), soft_wrap=True)  # so that a command can be copied


def _config_home() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME", "")
    if given.startswith("/"):
        return Path(given)
    try:
        return Path.home() / ".config"
    except RuntimeError as error:
        raise UsageError(
            "This user has no home directory.", remedy="Set $HOME, or have root install a system service."
        ) from error


def _after_an_update(*, for_user: bool) -> list[str]:
    manager = "systemctl --user" if for_user else "systemctl"
    return [
        "Your configuration is as it was. If the service runs, put this version in force:",
        f"  {manager} restart ftpsyncd",
    ]


def _next_steps(*, for_user: bool) -> list[str]:
    if for_user:
        place = _config_home() / "ftpsyncd"
        return [
            f"Now edit {place}/config.yaml, type the password (and Enter, Ctrl-D), and start it:",
            f"  install -m 600 /dev/stdin {as_word(place / 'web-password')}",
            "  ftpsyncd check && systemctl --user enable --now ftpsyncd",
            "  loginctl enable-linger        # also without a login",
        ]
    return [
        "Now edit /etc/ftpsyncd/config.yaml, type the password (and Enter, Ctrl-D), let the service read the drop",
        "folder, and start it:",
        "  install -m 640 -g ftpsyncd /dev/stdin /etc/ftpsyncd/web-password",
        "  setfacl -R -m u:ftpsyncd:rX,d:u:ftpsyncd:rX FOLDER",
        "  ftpsyncd check && systemctl enable --now ftpsyncd",
    ]
