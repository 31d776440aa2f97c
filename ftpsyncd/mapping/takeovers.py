"""What another mapping had published where this one publishes now: it is there no more when this one has changed it.

In: what was changed at the server. Out: rows that are dropped, leftovers that are swept. Mappings of one configuration
never share a place, but those of different times do: two that change their places by a reload, or one that stands in
for another for a day. Without this, the first one would find its files published when it is back, and the other's
content would stay. One per mapping, used by its `mirror` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.actions import Action, Delete, Did, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.mapping.doubts import doubt_row, doubt_tree
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.late import stands
from ftpsyncd.mapping.site import Site
from ftpsyncd.model import Fingerprint, Intent, Kind
from ftpsyncd.specs import Overlap

_CHANGED = frozenset({Did.PUBLISHED, Did.RENAMED, Did.DELETED, Did.GONE, Did.TRASHED, Did.REMOVED})


class Takeovers:
    """The other mappings that published to the place of this one.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._ledger = site.ledger
        self._others = site.ledger.mappings.overlaps(site.id)
        self._place = f"{site.spec.remote.rstrip('/')}/"
        self._id = site.id
        self._left: dict[tuple[int, str], Intent] = {}
        """What is open of them still, for when they are back."""

    def __repr__(self) -> str:
        return f"<Takeovers others={len(self._others)}>"

    def take_leftovers(self, intents: Intents) -> None:
        """See to what the others may have left, or done, with what was cut off: they are not there to do it.

        Parts of it are swept. Whether the rest of it was done nobody knows: what this one had published there is in
        doubt, for both.
        """
        for other, overlap in self._others:
            for path, intent in self._ledger.begun.of(other):
                stood = stands(self._ledger, other, path, intent) is not None
                for each in (path, intent.source) if intent.kind is Kind.FILE else ():
                    mine = overlap.back(each) if each else None
                    if mine is not None:
                        intents.late.expect(mine, intent.exposed if stood else None)
                if stood:
                    # It was published whole after that: it is theirs, until this one publishes there.
                    self._left[other, path] = intent
                    continue
                rest = self._take_parts(overlap, path, intent, intents)
                doubted = self._take_doubts(other, overlap, path, intent, intents)
                if doubted:
                    rest = Intent(Kind.FILE, rest.temporary, parts=rest.parts, exposed=rest.exposed)
                if rest == Intent(Kind.FILE) and (doubted or rest != intent):
                    self._ledger.begun.clear(other, path)
                    continue
                self._left[other, path] = rest
                if rest != intent:
                    self._ledger.begun.put(other, path, rest)

    def _take_parts(self, overlap: Overlap, path: str, intent: Intent, intents: Intents) -> Intent:
        """Take over what may lie in this place as a part of a file; what is left of the intent."""
        mine = overlap.back(path) if intent.exposed is not None else None
        if mine is not None:
            intents.inherit_exposed(mine, intent)
            intent = intent._replace(exposed=None)
        left = [each for each in (intent.temporary, *intent.parts) if each.startswith(self._place)]
        for temporary in left:
            intents.inherit(temporary)
        return intent._replace(temporary="", received=0, parts=()) if left else intent

    def _take_doubts(self, other: int, overlap: Overlap, path: str, intent: Intent, intents: Intents) -> bool:
        """Have this one publish anew what the other may have changed here; whether there is anything."""
        begun = [each for each in (path, intent.source) if each]
        files = begun if intent.kind is Kind.FILE else []
        trees = [] if intent.kind is Kind.FILE else begun
        if intent.brings:
            # Whatever was begun there since, a directory may come late.
            trees = [*trees, path, *intent.brings]
        mine = [each for path in files if (each := overlap.back(path)) is not None]
        doubted = [intents.inherit_doubt(each, intent.fingerprints) for each in mine]
        mine = [each for path in trees if (each := overlap.back_tree(path)) is not None]
        doubted += [doubt_tree(self._ledger, self._id, each) for each in mine]
        if any(doubted):
            for each in files:
                doubt_row(self._ledger, other, each)
            for each in trees:
                doubt_tree(self._ledger, other, each)
        return any(doubted)

    def done(self, action: Action, did: Did) -> None:
        """An action succeeded at the server."""
        match action:
            case Sweep(published=None) if did is Did.ADOPTED or action.exposed is not None:
                # What an interrupted action was to bring is there, or was.
                self._changed(action.path)
            case Sweep(kind=Kind.FILE) if action.fingerprints:
                # It was to bring one, and is not there; what was may have had to make room.
                self._doubt(action.path)
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
            case Upload() if did is Did.ADOPTED:
                # An earlier try may have brought it, whose outcome nobody told.
                self._changed(action.path, unless=action.fingerprint)
            case _:
                pass

    def spoiled(self, path: str) -> None:
        """A file did not arrive, and what was there is gone: it was sent over that, or that had to make room."""
        self._changed(path)

    def _changed(self, path: str, *, unless: Fingerprint | None = None) -> None:
        """A file is another one, or none, by now; perhaps not where the other's was of this size and date."""
        for other, overlap in self._others:
            theirs = overlap.of(path)
            if theirs is None:
                continue
            row = self._ledger.row(other, theirs)
            if row is not None and unless is not None and row.fingerprint[:2] == unless[:2]:
                continue
            if row is not None and row.kind is Kind.FILE:
                self._ledger.forget(other, theirs)
            intent = self._left.pop((other, theirs), None)
            if intent is not None and intent.kind is Kind.FILE:
                # Whatever became of it is over.
                doubt_row(self._ledger, other, intent.source)
                self._ledger.begun.clear(other, theirs)

    def _doubt(self, path: str) -> None:
        """A file may be there no more."""
        for other, overlap in self._others:
            theirs = overlap.of(path)
            if theirs is not None:
                doubt_row(self._ledger, other, theirs)

    def _tree_changed(self, directory: str) -> None:
        for other, overlap in self._others:
            theirs = overlap.of_tree(directory)
            if theirs is not None:
                self._ledger.forget_tree(other, theirs)
