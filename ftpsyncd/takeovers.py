"""What another mapping had published where this one publishes now: it is there no more when this one has changed it.

In: what was changed at the server. Out: rows that are dropped. Mappings of one configuration never share a place, but
those of different times do: two that change their places by a reload, or one that stands in for another for a day.
Without this, the first one would find its files published when it is back, and the other's content would stay.
One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.model import Action, Delete, Did, Kind, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.removals import Site

_CHANGED = frozenset({Did.PUBLISHED, Did.RENAMED, Did.DELETED, Did.TRASHED, Did.REMOVED})


class Takeovers:
    """The other mappings that published to the place of this one.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._ledger = site.ledger
        self._others = site.ledger.overlaps(site.id)

    def __repr__(self) -> str:
        return f"<Takeovers others={len(self._others)}>"

    def done(self, action: Action, did: Did) -> None:
        """An action succeeded at the server."""
        if not self._others:
            return
        match action:
            case Sweep() if did is Did.ADOPTED:
                # What an interrupted action was to bring is there.
                self._changed(action.path)
            case Rename() if did is Did.RENAMED:
                self._changed(action.path)
                self._changed(action.source)
            case RenameDir():
                self._tree_changed(action.path)
                self._tree_changed(action.source)
            case RemoveDir() if did in _CHANGED:
                self._tree_changed(action.path)
            case Upload() | Rename() | Delete() if did in _CHANGED:
                self._changed(action.path)
            case _:
                pass

    def _changed(self, path: str) -> None:
        for other, overlap in self._others:
            theirs = overlap.of(path)
            row = self._ledger.row(other, theirs) if theirs is not None else None
            if theirs is not None and row is not None and row.kind is Kind.FILE:
                self._ledger.forget(other, theirs)

    def _tree_changed(self, directory: str) -> None:
        for other, overlap in self._others:
            theirs = overlap.of_tree(directory)
            if theirs is not None:
                self._ledger.forget_tree(other, theirs)
