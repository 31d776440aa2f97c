"""What an action takes up: paths, and a part of a connection. Pure."""

from __future__ import annotations

from ftpsyncd.actions import Action, Delete, MakeDir, Probe, RemoveDir, Rename, RenameDir, Sweep, Upload

Key = tuple[str, str]
"""(mapping, path)"""

LARGE_BYTES = 16 << 20
SMALL_BYTES = 256 << 10

UNITS_PER_CONNECTION = 64
"""A connection is handed up to 64 deletes, 8 small files or 2 larger ones ahead of time."""
SENDS = (Upload, Rename)
"""What sends a file, or may. (All of these are tuples: `A | B` is made anew wherever it is asked for.)"""
MOVES = (Rename, RenameDir)
REMOVALS = (RemoveDir, RenameDir, Delete)
MAKES_ROOM = (Delete, RemoveDir)
"""What a full server is glad of."""
MAKES_DIRECTORY = (MakeDir, RenameDir)
ASKS = (Sweep, Probe)
"""What changes nothing of what is published."""
_STRUCTURAL = (MakeDir, *REMOVALS)
_ARRIVALS = (*SENDS, *MAKES_DIRECTORY)


def keys_of(action: Action) -> tuple[Key, ...]:
    """The paths that an action occupies, its own first."""
    own = (action.mapping, action.path)
    if isinstance(action, MOVES):
        return own, (action.mapping, action.source)
    return (own,)


def is_structural(action: Action) -> bool:
    """Whether everything below the action's path depends on it."""
    return isinstance(action, _STRUCTURAL)


def units_of(action: Action) -> int:
    """How much of a connection's hand-out an action takes."""
    if isinstance(action, Upload):
        return 8 if action.fingerprint.size < SMALL_BYTES else 32
    return 1


def is_large(action: Action) -> bool:
    """Whether it would keep a connection for long; of a file that is to be renamed another name may be there still.

    Then that one is a copy (a hard link), and sent.
    """
    return isinstance(action, SENDS) and action.fingerprint.size >= LARGE_BYTES


def arrives(key: Key, action: Action) -> bool:
    """Whether it leaves something under this one of its paths."""
    return isinstance(action, _ARRIVALS) and key[1] == action.path
