"""The program with other numbers than those it is delivered with, for stories that would wait minutes for them.

    python -m tests.e2e.hurried ftpsyncd.mapping.late.LATE_S=20 -- run -c config.yaml

A number is set before what else there is of the program is loaded: whoever imports it gets this one.
"""

from __future__ import annotations

import importlib
import sys


def hurry() -> None:
    """Take the numbers from the command line, and run the program with the rest of it."""
    end = sys.argv.index("--")
    for word in sys.argv[1:end]:
        name, _, value = word.partition("=")
        module, _, number = name.rpartition(".")
        loaded = importlib.import_module(module)
        # Fails where it has another name by now: it would be set in vain.
        setattr(loaded, number, type(getattr(loaded, number))(value))
    del sys.argv[1 : end + 1]
    from ftpsyncd.cli import main  # noqa: PLC0415 - see above

    main()


if __name__ == "__main__":
    hurry()
