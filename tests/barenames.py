"""pyftpdlib as a server that takes the names of files only within its working directory.

``absolute``: a path from the root is refused, one from the working directory is not. ``slash``: so is every name with a
slash. ``below``: a path is taken for one below the working directory, whatever it begins with. CWD takes any path, as
all such servers do.

Used by `servers`, in the process of the server.
"""

from __future__ import annotations

from collections.abc import Callable

from pyftpdlib.handlers import FTPHandler

_DATED = frozenset({"MFMT", "MDTM"})
"""A date may come before the name."""
_ABOUT_FILES = frozenset({
    "STOR", "APPE", "RETR", "DELE", "RNFR", "RNTO", "MKD", "RMD", "SIZE", "MLST", "MLSD", *_DATED,
})  # fmt: skip

REFUSED: dict[str, Callable[[str], bool]] = {
    "absolute": lambda name: name.startswith("/"),
    "slash": lambda name: "/" in name,
    "below": lambda _name: False,
}


def on(kind: str, handler: type[FTPHandler]) -> type[FTPHandler]:
    """A handler that refuses such names, or understands them so."""

    class Bare(handler):  # type: ignore[misc]
        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            if cmd not in _ABOUT_FILES:
                super().pre_process_command(line, cmd, arg)
                return
            date, _, name = arg.partition(" ") if cmd in _DATED and arg[:14].isdigit() else ("", "", arg)
            if REFUSED[kind](name):
                self.respond("553 Only a name in the working directory is allowed here.")
                return
            if kind == "below" and name:
                arg = f"{date} {name.lstrip('/')}" if date else name.lstrip("/")
            super().pre_process_command(f"{cmd} {arg}", cmd, arg)

    return Bare
