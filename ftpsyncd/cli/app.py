"""The table of commands and the one place where a command ends: exit codes, error lines, interrupts.

`ftpsyncd.cli.main` calls `run`. Commands live in modules of their own and are imported when they are asked for.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from ftpsyncd import __version__, lacking
from ftpsyncd.cli.interrupts import release
from ftpsyncd.cli.options import Given, common_options
from ftpsyncd.cli.streams import end_with_reader, make_streams_forgiving, open_streams, silence
from ftpsyncd.errors import ExitCode, FtpsyncdError, UsageError
from ftpsyncd.logstream import is_journal
from ftpsyncd.quoting import one_line
from ftpsyncd.typed import Typed

COMPLETION = "_FTPSYNCD_COMPLETE"
"""The variable by which shells ask: ``eval "$(_FTPSYNCD_COMPLETE=bash_source ftpsyncd)"``."""
_EMPTY_VALUE = re.compile(r"--[a-z-]+=")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
INTERRUPTED = 130
"""128 + SIGINT, as shells expect it."""

COMMANDS = {
    "demo": ("ftpsyncd.cli.demo", "See it work: an FTP server, a drop folder and a live view; nothing to set up."),
    "run": ("ftpsyncd.cli.run", "Run the daemon in the foreground."),
    "sync": ("ftpsyncd.cli.sync", "Publish everything that waits, once, with progress."),
    "plan": ("ftpsyncd.cli.plan", "Show what a pass would do, and why; touches nothing."),
    "check": ("ftpsyncd.cli.check", "Check the configuration, this machine and each server."),
    "probe": ("ftpsyncd.cli.probe", "Measure what a server can do, and remember it."),
    "status": ("ftpsyncd.cli.status", "What is fine, what waits, and what needs you."),
    "why": ("ftpsyncd.cli.why", "Say in one sentence why a file is, or is not, published."),
    "verify": ("ftpsyncd.cli.verify", "Compare the server with what was published, and mend what differs."),
    "history": ("ftpsyncd.cli.history", "What was published, renamed, deleted, held or failed, with receipts."),
    "retry": ("ftpsyncd.cli.steer", "Try failed and parked files again now."),
    "rescan": ("ftpsyncd.cli.steer", "Compare folders with what was published, now."),
    "pause": ("ftpsyncd.cli.steer", "Stop publishing until `resume`."),
    "resume": ("ftpsyncd.cli.steer", "Go on after `pause`."),
    "approve": ("ftpsyncd.cli.steer", "Let held deletes go out."),
    "discard": ("ftpsyncd.cli.steer", "Drop held deletes: the files stay at the server."),
    "reload": ("ftpsyncd.cli.steer", "Have the daemon read its configuration again."),
    "install-service": ("ftpsyncd.cli.install_service", "Set it up as a systemd service."),
    "put": ("ftpsyncd.cli.put", "Send files to a server by hand."),
    "get": ("ftpsyncd.cli.get", "Fetch a file, or a whole directory, from a server."),
    "rm": ("ftpsyncd.cli.rm", "Delete files at a server by hand."),
    "ls": ("ftpsyncd.cli.ls", "List a directory of a server."),
    "schema": ("ftpsyncd.cli.schema", "Print the JSON Schema of the configuration."),
}
"""Name: (module that has a function of this name, line for the list of commands)."""

PRINTERS = frozenset({"demo", "plan", "status", "why", "history", "ls", "schema"})
"""Commands that do nothing but show: they end when nobody reads any more. All others have work to finish."""

ALONE = frozenset({"demo", "schema"})
"""Commands without a configuration."""

EXAMPLES = """\b
Examples:
  ftpsyncd demo                            see it work, nothing to set up
  ftpsyncd check -c config.yaml            is everything as it should be?
  ftpsyncd run -c config.yaml              publish, for months
  ftpsyncd status                          how is it going?
  ftpsyncd why /srv/drop/gallery/a.jpg     why is this file not there yet?
  ftpsyncd history --since 1h              what has happened?
  ftpsyncd get web:/htdocs/ copy           fetch a whole directory: a restore
"""

CODES = """\b
Exit codes:
  0 done   1 some files failed or are held      2 wrong usage
  75 server, daemon or lock not available now   78 bad configuration
  130 Ctrl-C   143 SIGTERM
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, not when help lists them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names in the order of the table: the way a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name != "run":
            # There it is a wish, which waits until the daemon can grant it.
            release(signal.SIGHUP)
        # Also where its modules cannot be loaded.
        ctx.ensure_object(Given).alone = cmd_name in ALONE
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        if not gc.isenabled():
            # `main` switched it off while there was nothing to be found.
            gc.freeze()
            gc.enable()
        if cmd_name in PRINTERS:
            end_with_reader()
        if not isinstance(command, click.Command):
            message = f"{module}.{cmd_name} is not a command"
            raise TypeError(message)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown one, say which one may be meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - needed for a typing mistake only

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES + "\n" + CODES,
    no_args_is_help=True,
)
@click.version_option(__version__, "-V", "--version", prog_name="ftpsyncd", message="%(prog)s %(version)s")
@common_options
def cli() -> None:
    """Publish drop folders to FTP and FTPS servers: watched, verified, never half a file.

    Without -c, the configuration is $FTPSYNCD_CONFIG, ./config.yaml, ftpsyncd/config.yaml in $XDG_CONFIG_HOME or
    ~/.config, or /etc/ftpsyncd/config.yaml, whichever is found first.
    """


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Args:
        arguments: without the program's name; those of the process if None.
    """
    open_streams()
    make_streams_forgiving()
    leave(outcome(arguments))


def leave(code: int) -> NoReturn:
    """End the process at once: all is closed, and taking down the interpreter is a tenth of a short run.

    Nor would it end where a thread reads from a disk that does not answer.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            pass  # the reader of a list had enough of it
        except OSError:
            code = code or ExitCode.SOME_FAILED
    os._exit(code)


def outcome(arguments: Sequence[str] | None) -> int:
    """The exit code of a command; every way to end is turned into a code and at most one message here."""
    try:
        release(signal.SIGINT)
        result = perform(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        # A signal (`interrupts.tidy_end`), or a library.
        remark(end)
        return end.code if isinstance(end.code, int) else ExitCode.SOME_FAILED if end.code else ExitCode.DONE
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown if is_journal(sys.stderr) else None)
        for line in shown.getvalue().splitlines():
            complain(line)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt) as end:
        remark(end)
        return INTERRUPTED
    except BrokenPipeError:
        silence(sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            complain(f"ftpsyncd: error: the output cannot be written: {error.strerror}")
            return ExitCode.SOME_FAILED
        if isinstance(error, FileNotFoundError) and is_nowhere():
            error = UsageError(
                "The current folder is not there any more.", remedy="Go to another one, or give paths from the root."
            )
        return fail(error)
    return result


def is_nowhere() -> bool:
    """Whether this process is in a folder that was removed, so that no path can begin there."""
    try:
        os.getcwd()  # noqa: PTH109 - the same, and loads nothing
    except FileNotFoundError:
        return True
    return False


def perform(arguments: list[str]) -> int:
    """Run a command, or help a shell to complete one; returns the exit code of a command that ends normally.

    This is what click's own ``main`` does, but for its handling of closed pipes, which ends the process with 1:
    ``ftpsyncd plan | head`` is no failure.
    """
    instruction = os.environ.get(COMPLETION)
    if instruction:
        from ftpsyncd.cli.shells import complete  # noqa: PLC0415 - shells only

        return complete(cli, COMPLETION, instruction)
    if any(not word or _EMPTY_VALUE.fullmatch(word) for word in arguments):
        # No path and no name is empty; as a path it would be the current folder.
        raise UsageError(
            "One of the words of the command is empty.", remedy="Quotes around a variable that is not set make one."
        )
    with cli.make_context("ftpsyncd", arguments) as ctx:
        ctx.color = colour()
        try:
            cli.invoke(ctx)
        except FtpsyncdError as error:
            # Here it is known yet which configuration was meant.
            return fail(error, ctx.ensure_object(Given).typed)
        except (OSError, ImportError, MemoryError) as error:
            if lacking.behind(error) is None:
                raise
            return fail(error, ctx.ensure_object(Given).typed)
    return ExitCode.DONE


def fail(error: Exception, typed: Typed = Typed()) -> int:  # noqa: B008 - immutable
    """Say what went wrong, and return the exit code.

    Where this machine lacked something, that is what it was, whatever the part that met it took it for.
    """
    error = lacking.behind(error) or error
    if not isinstance(error, FtpsyncdError):
        tell_bug(error)
        return ExitCode.SOME_FAILED
    tell(error, typed)
    return error.exit_code


def tell(error: FtpsyncdError, typed: Typed = Typed()) -> None:  # noqa: B008 - immutable
    """Say what went wrong and what helps, on stderr; ``typed``: how the commands are that it names."""
    if debugging():
        traceback.print_exc()
    prefix = click.style("ftpsyncd: error: ", fg="red", bold=True)
    problems = error.problems
    if len(problems) > 1:
        # Each on its own line, as it came: editors find the place by FILE:LINE:COLUMN at its beginning.
        complain(f"{prefix}{len(problems)} problems")
        prefix = ""
    for problem in problems:
        complain(prefix + typed.text(one_line(problem)))
    if error.remedy:
        complain(typed.text(one_line(error.remedy)))


def tell_bug(error: Exception) -> None:
    """Say that the program is at fault; the traceback is for those who ask for it."""
    if debugging():
        traceback.print_exc()
        return
    words = " ".join(str(error).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    complain(f"ftpsyncd: error: {what} (this is a bug; run with FTPSYNCD_DEBUG=1 for the traceback)")


def remark(end: BaseException) -> None:
    """Say what was noted of something that was broken off: where a file is that could not be put back, for instance."""
    for note in getattr(end, "__notes__", ()):
        complain(f"ftpsyncd: {one_line(note)}")


def complain(line: str) -> None:
    """One line on stderr; where that is the journal, as an error (sd-daemon(3)), not as a mere word."""
    click.echo(f"<3>{line}" if is_journal(sys.stderr) else line, err=True, color=colour())


def colour() -> bool | None:
    """False where a person wants none (no-color.org), or would see codes; else None: on a terminal only."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def debugging() -> bool:
    """Whether the person asked for tracebacks."""
    return bool(os.environ.get("FTPSYNCD_DEBUG"))
