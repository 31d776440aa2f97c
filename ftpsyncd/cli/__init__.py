"""The command line: words in, results on stdout, messages on stderr, an exit code out.

Importing this package costs nothing. `main` loads click and the table of commands; a command's own module, with the
parts of the program that it needs, is loaded only when that command is run, so that ``ftpsyncd --version`` and shell
completion answer at once.

Read in this order: `app` (the table of commands, and where each ends), `options` and `settings` (what they share),
`completion` and `shells`, a command's own module, with `daemon` (what a running daemon answers), `mending` (what
`verify --repair` does) or `hand` (``SERVER:PATH``), then what it shows: `output` and `hanging`, `progress`,
`status_view`, `demo_view`; `streams` and `interrupts` for a reader who leaves and a person who ends it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

OBJECTS_BETWEEN_SEARCHES = 20_000
"""Little of what this program makes holds itself alive in a cycle. Searching for that after every 700 objects, as
CPython does, costs more than it finds."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Ctrl-C would end the loading with a traceback, and SIGHUP a daemon that is to read its configuration anew: both
    # wait until somebody can act on them (pthread_sigmask(3)). What a careless caller has held back for itself when it
    # started us would wait for ever: SIGTERM would end nothing.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT, signal.SIGHUP})
    read_names_as_utf8()
    # Modules stay as long as the process: looking for garbage among them is an eighth of a start. A command's own
    # modules are the last ones to come (`app.LazyGroup.get_command`).
    gc.disable()
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
    from ftpsyncd.cli.app import run  # noqa: PLC0415 - keeps `import ftpsyncd.cli` free of click

    run()


def read_names_as_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding; the process stays the same one.

    There the bytes of each name on disk would be other letters, and that is what the server would get. What is printed
    stays in the encoding of the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding if sys.stdout else "utf-8")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very command
