"""What an action takes up: paths, and a part of a connection. Pure."""

from __future__ import annotations

from ftpsyncd.model import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Upload

Key = tuple[str, str]
"""(mapping, path)"""

LARGE_BYTES = 16 << 20
SMALL_BYTES = 256 << 10

UNITS_PER_CONNECTION = 64
"""A connection is handed up to 64 deletes, 8 small files or 2 larger ones ahead of time."""
MOVES = (Rename, RenameDir)
REMOVALS = (RemoveDir, RenameDir, Delete)
MAKES_ROOM = (Delete, RemoveDir)
"""What a full server is glad of."""
_STRUCTURAL = (MakeDir, *REMOVALS)


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
    return isinstance(action, Upload | Rename) and action.fingerprint.size >= LARGE_BYTES


def arrives(key: Key, action: Action) -> bool:
    """Whether it leaves something under this one of its paths."""
    return isinstance(action, Upload | Rename | MakeDir | RenameDir) and key[1] == action.path
