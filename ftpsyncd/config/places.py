"""Paths of the configuration: relative ones, the home directory, and the defaults from the environment.

In: paths as written, the environment. Out: absolute paths. Called by `loading`.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.config.document import Document, Loc

OF_THE_SOCKET = ("state_dir", "control")
"""The entries that say where a daemon listens."""
_LONGEST_SOCKET = 107
"""Bytes; sun_path of unix(7) without its NUL."""
_NO_HOME = "this user has no home directory ($HOME is not set)"


class Places(NamedTuple):
    """Makes paths of one file absolute."""

    document: Document
    environ: Mapping[str, str]

    def path(self, loc: Loc, text: str | None) -> Path | None:
        """``text`` as an absolute path, relative to the file's folder; ``~`` is the home directory."""
        if text is None:
            return None
        if text == "~" or text.startswith("~/"):
            home = self._home()
            if not home:
                self.document.complain(loc, f"found `{text}`; expected a path from `/`: {_NO_HOME}")
            text = f"{home}{text[1:]}"
        elif text.startswith("~"):
            self.document.complain(loc, f"found `{text}`; expected ~/… for your own home, or a path from `/`")
        return Path(os.path.normpath(self.document.path.parent / text))

    def state_dir(self, text: object) -> Path:
        """Where the ledger lives: as written, else $STATE_DIRECTORY, else the XDG place."""
        loc: Loc = ("state_dir",)
        if isinstance(text, str) and text.strip():
            return self.path(loc, text) or Path()
        if self.document.has(loc):
            self.document.complain(loc, "found no path; expected a path, or the key left out for its default")
        if given := self._first("STATE_DIRECTORY"):
            return given
        xdg = self.environ.get("XDG_STATE_HOME", "")
        if xdg.startswith("/"):
            return Path(xdg) / "ftpsyncd"
        home = self._home()
        if not home:
            self.document.complain(loc, f"missing; expected a path: {_NO_HOME}")
        return Path(f"{home}/.local/state/ftpsyncd")

    def default_socket(self, state_dir: Path) -> Path:
        """The control socket where none is configured: of each state directory another one.

        What is meant for a daemon would else be done by that of another configuration of the same user: an approval,
        for one, of what that holds.
        """
        xdg = self.environ.get("XDG_RUNTIME_DIR", "")
        directory = self._first("RUNTIME_DIRECTORY") or (Path(xdg) / "ftpsyncd" if xdg.startswith("/") else None)
        if directory is None:
            return state_dir / "control.sock"
        if not self.document.has(("state_dir",)):
            return directory / "control.sock"
        # Short, as paths of sockets have to be.
        return directory / f"control-{binascii.crc32(os.fsencode(state_dir)):08x}.sock"

    def _home(self) -> str:
        """Empty if there is none."""
        home = self.environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  # Path.home raises if there is none
        return home if home.startswith("/") else ""

    def _first(self, variable: str) -> Path | None:
        """The first path of a variable that systemd sets; it separates several by colons (systemd.exec(5))."""
        first = self.environ.get(variable, "").split(":")[0]
        return Path(first) if first.startswith("/") else None


def socket_at_a_glance(document: Document, environ: Mapping[str, str]) -> Path | None:
    """Where a daemon with this file listens, without validating the file.

    Returns:
        None if the file is not plainly right about that; then it must be loaded, which says what is wrong.
    """
    top = document.data if isinstance(document.data, dict) else {}
    control = top.get("control") or {}
    socket = control.get("socket") if isinstance(control, dict) else ""
    if socket is not None and not (isinstance(socket, str) and socket.strip()):
        return None
    places = Places(document, environ)
    found = places.path(("control", "socket"), socket) or places.default_socket(places.state_dir(top.get("state_dir")))
    return None if document.problems else found


def named_state_dir(document: Document, environ: Mapping[str, str]) -> Path | None:
    """The `state_dir` that a file names plainly; None if it names none, or not so."""
    named = document.data.get("state_dir") if isinstance(document.data, dict) else None
    if not isinstance(named, str) or not named.strip() or named.startswith("~"):
        return None
    return Places(document, environ).path(("state_dir",), named)


def too_long_for_socket(path: Path) -> bool:
    """True if no Unix socket can have this path."""
    return len(os.fsencode(path)) > _LONGEST_SOCKET
