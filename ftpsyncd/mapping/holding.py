"""The hold on a mapping's deletes: put for a reason, recorded, told and released.

In: why deletes are withheld (`toomany`, `source`), and that they are no longer. Out: the hold in the ledger, so that a
restart does not release it, and as people are told of it; what was withheld is looked at again when it ends. One per
mapping, part of its `removals`.
"""

from __future__ import annotations

from ftpsyncd.core.deletes import Deletes
from ftpsyncd.events import EventKind
from ftpsyncd.logs import one_line
from ftpsyncd.mapping.site import Moment, Site, Step
from ftpsyncd.model import Hold, HoldKind

MARKED_AT_ONCE = 1000
"""More than so many paths are not looked at one by one: their directories are, or everything is."""


class Holding:
    """Whether the deletes of one mapping are withheld, and why.

    Args:
        site: the mapping.
        absent: what is gone from it.
    """

    def __init__(self, site: Site, absent: Deletes) -> None:
        self._site = site
        self._absent = absent
        self.hold = site.ledger.decisions.hold(site.id)
        """None: they are not."""
        self._mass_delete = site.ledger.decisions.behind(site.id)
        """What was told of too much at once before another folder or disk was in the place of the published one; None:
        it was not."""

    def __repr__(self) -> str:
        return f"<Holding {self.hold and self.hold.kind.value}>"

    @property
    def kind(self) -> HoldKind | None:
        """Why; None if there is no hold."""
        return None if self.hold is None else self.hold.kind

    def put(self, kind: HoldKind, message: str, at: Moment) -> None:
        """Withhold deletes from now on, in the place of another reason."""
        if self.hold is not None and self.kind is HoldKind.MASS_DELETE:
            # Nothing counts as too much while there is a hold: this is another one.
            self._mass_delete = self.hold.message
            self._site.ledger.decisions.set_behind(self._site.id, self._mass_delete)
        # With names in it that may be no text for a database.
        message = one_line(message)
        self.hold = Hold(kind, at.wall_ns, message)
        self._site.ledger.decisions.set_hold(self._site.id, self.hold)
        self._site.tell(EventKind.HELD, message=message, at_ns=at.wall_ns)

    def reword(self, message: str) -> None:
        """The same hold is about more, or something else, than was told."""
        if self.hold is not None and self.hold.message != message:
            self.hold = self.hold._replace(message=message)
            self._site.ledger.decisions.set_hold(self._site.id, self.hold)

    def clock_was_set(self, step: Step) -> None:
        """It began when the clock that is set now would have said so."""
        if self.hold is not None and (since_ns := step.redated(self.hold.since_ns)) != self.hold.since_ns:
            self.hold = self.hold._replace(since_ns=since_ns)
            self._site.ledger.decisions.set_hold(self._site.id, self.hold)

    def is_back(self, why: str, at: Moment) -> None:
        """The published folder is in its place again: withhold what was before, as too much at once, or nothing.

        Judged anew, that may be within the limit by now, though a person was to decide.
        """
        before = self._mass_delete
        self.release(why, at)
        if before is not None:
            self.put(HoldKind.MASS_DELETE, before, at)

    def release(self, why: str, at: Moment) -> None:
        """Withhold nothing any more."""
        self.hold = None
        if self._mass_delete is not None:
            self._mass_delete = None
            self._site.ledger.decisions.set_behind(self._site.id, None)
        # What was withheld is looked at again: nobody else would before the next scan.
        paths = self._absent.paths
        if len(paths) > MARKED_AT_ONCE:
            self._site.dirty.mark_deep("", at.now)
        else:
            for path in paths:
                self._site.dirty.mark(path, 0.0)
        self._site.ledger.decisions.set_hold(self._site.id, None)
        self._site.tell(EventKind.RELEASED, message=why)
