"""A note in the state directory: where the daemon that works there listens.

Who has edited `control.socket` looks at the new place, and the daemon is at the old one until it is told; the note
leads there. A daemon that was killed leaves its note behind: it names the socket by its identity, too, so that it never
leads to another daemon that listens at that path now.
"""

from __future__ import annotations

import os
from pathlib import Path

from ftpsyncd.claim import MODE

NAME = "control.place"
"""Of the note."""

Identity = tuple[int, int]
"""Device and inode."""


def identity(path: Path) -> Identity | None:
    """Of what is at a path; None if nothing can be seen there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def note(state_dir: Path, socket: Path, made: Identity | None) -> None:
    """Write down where the daemon listens.

    Raises:
        OSError: it cannot be written.
    """
    device, inode = made or (0, 0)
    draft = state_dir / f"{NAME}.new"
    # One that was not finished is made anew, with these rights.
    draft.unlink(missing_ok=True)
    draft.touch(MODE)
    draft.write_bytes(b"%d %d %s" % (device, inode, os.fsencode(socket)))
    draft.replace(state_dir / NAME)


def noted(state_dir: Path) -> Path | None:
    """The socket of the daemon that works there; None if it is not known, or is not there any more."""
    try:
        device, inode, path = (state_dir / NAME).read_bytes().split(b" ", 2)
        made, socket = (int(device), int(inode)), Path(os.fsdecode(path))
    except (OSError, ValueError):
        return None
    return socket if identity(socket) == made else None
