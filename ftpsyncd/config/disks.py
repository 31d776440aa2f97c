"""What the rules have to know of the disks on which the mappings' folders, the ledger and the secrets are.

In: folders, and names in them. Out: what is there. Called by `rules`. A disk may hang for ever, and a daemon loads its
configuration on the thread that systemd and signals wait for: so all are asked side by side, and not for long.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_IROTH, S_ISDIR, S_ISREG, S_IXOTH
from typing import NamedTuple

from ftpsyncd import patience


class Seen(NamedTuple):
    """What is at one mapping's `local`."""

    real: Path
    """It without symbolic links; as it is written where the disk does not answer."""
    trouble: str = ""
    """Why it cannot be looked at; empty if it can, or is not there."""
    lacks: str = ""
    """Why it is probably written wrongly, or its disk not mounted; empty if it is there, or may be made there."""
    there: frozenset[str] = frozenset()
    """Of the names in it that were asked for."""


class Place(NamedTuple):
    """Where a file, or a directory, of our own really is."""

    real: Path
    """Without symbolic links; as it is written where the disk does not answer."""
    is_open: bool = False
    """A file that every user of this machine can read, through the folders above it, too."""


def find(paths: Iterable[Path]) -> dict[Path, Place]:
    """Where they are."""
    asked = list(paths)
    return {path: Place(path) for path in asked} | patience.answers({path: partial(_find, path) for path in asked})


def _find(path: Path) -> Place:
    real = Path(os.path.realpath(path))
    try:
        mode = real.stat().st_mode
        readable = S_ISREG(mode) and bool(mode & S_IROTH)
        return Place(real, readable and all(above.stat().st_mode & S_IXOTH for above in real.parents))
    except OSError:
        return Place(real)


def look(folders: Mapping[str, tuple[Path, Collection[str]]]) -> dict[str, Seen]:
    """Look at folders, each with the names in it that somebody wants to know about.

    Args:
        folders: by the names of their mappings.
    """
    seen = patience.answers({name: partial(_look, *folder) for name, folder in folders.items()})
    return {name: seen.get(name) or _silent(local) for name, (local, _) in folders.items()}


def _silent(local: Path) -> Seen:
    return Seen(local, f"cannot look at {local}: its disk has not answered for {patience.ANSWER_S:g} s")


def _look(local: Path, names: Collection[str]) -> Seen:
    real = Path(os.path.realpath(local))
    there = frozenset(name for name in names if os.path.lexists(local / name))
    try:
        return Seen(real, lacks=_lacks(local), there=there)
    except OSError as error:
        return Seen(real, f"cannot look at {local.parent}: {error.strerror}", there=there)


def _lacks(local: Path) -> str:
    """What is wrong with a folder that cannot be opened, in words; empty if it merely is not there yet.

    Raises:
        OSError: nobody can tell.
    """
    try:
        if not S_ISDIR(local.parent.stat().st_mode):
            return f"its parent {local.parent} is no folder"
    except FileNotFoundError:
        return f"not even its parent folder {local.parent} is"
    except NotADirectoryError:
        return f"what should be a folder above it is none: {local.parent}"
    with suppress(OSError):  # the daemon waits for it and says so
        if not S_ISDIR(local.stat().st_mode):
            return "a file is in its place"
    return ""
