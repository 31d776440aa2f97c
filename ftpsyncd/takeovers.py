"""What another mapping had published where this one publishes now: it is there no more when this one has changed it.

In: what was changed at the server. Out: rows that are dropped, leftovers that are swept. Mappings of one configuration
never share a place, but those of different times do: two that change their places by a reload, or one that stands in
for another for a day. Without this, the first one would find its files published when it is back, and the other's
content would stay. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.exposures import stands
from ftpsyncd.intents import Intents
from ftpsyncd.model import Action, Delete, Did, Intent, Kind, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.site import Site

_CHANGED = frozenset({Did.PUBLISHED, Did.RENAMED, Did.DELETED, Did.TRASHED, Did.REMOVED})


class Takeovers:
    """The other mappings that published to the place of this one.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._ledger = site.ledger
        self._others = site.ledger.overlaps(site.id)
        self._place = f"{site.spec.remote.rstrip('/')}/"

    def __repr__(self) -> str:
        return f"<Takeovers others={len(self._others)}>"

    def take_leftovers(self, intents: Intents) -> None:
        """Sweep what the others may have left of uploads that were cut off: they are not there to do it."""
        for other, overlap in self._others:
            for path, intent in self._ledger.begun.of(other):
                if stands(self._ledger, other, path, intent) is not None:
                    # It was published whole after that: it is theirs.
                    continue
                mine = overlap.back(path) if intent.exposed is not None else None
                if mine is not None:
                    intents.inherit_exposed(mine, intent)
                    intent = intent._replace(exposed=None)  # noqa: PLW2901 - without what is taken over
                left = [each for each in (intent.temporary, *intent.parts) if each.startswith(self._place)]
                for temporary in left:
                    intents.inherit(temporary)
                if left:
                    intent = intent._replace(temporary="", received=0, parts=())  # noqa: PLW2901 - likewise
                if left and intent == Intent(Kind.FILE):
                    self._ledger.begun.clear(other, path)
                elif left or mine is not None:
                    self._ledger.begun.put(other, path, intent)

    def done(self, action: Action, did: Did) -> None:
        """An action succeeded at the server."""
        if not self._others:
            return
        match action:
            case Sweep() if did is Did.ADOPTED or action.exposed is not None:
                # What an interrupted action was to bring is there, or was.
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

    def spoiled(self, path: str) -> None:
        """A file was sent under its final name and did not arrive: what was there is gone."""
        self._changed(path)

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
