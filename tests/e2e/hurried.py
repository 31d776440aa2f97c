"""The program with other numbers than those it is delivered with, for stories that would wait minutes for them.

    python -m tests.e2e.hurried ftpsyncd.mapping.openintents.LATE_S=20 -- run -c config.yaml

A number is set before anything of the program runs, and in every module that has it: in a fork of the nursery all are
loaded. What a module makes of it when it is loaded, such as the default of an argument, would keep the other one.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def put(word: str) -> None:
    """Set one number, ``ftpsyncd.module.NUMBER=value``, for whoever has imported it and whoever will."""
    name, _, text = word.partition("=")
    module, _, number = name.rpartition(".")
    # Fails where it has another name by now: it would be set in vain.
    delivered: Any = getattr(importlib.import_module(module), number)
    value = type(delivered)(text)
    for loaded in [each for each_name, each in sys.modules.items() if each_name.startswith("ftpsyncd.")]:
        if vars(loaded).get(number) is delivered:
            setattr(loaded, number, value)


def hurry() -> None:
    """Take the numbers from the command line, and run the program with the rest of it."""
    end = sys.argv.index("--")
    for word in sys.argv[1:end]:
        put(word)
    del sys.argv[1 : end + 1]
    from ftpsyncd.cli import main  # noqa: PLC0415 - see above

    main()


if __name__ == "__main__":
    hurry()
