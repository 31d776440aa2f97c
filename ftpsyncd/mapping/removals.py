"""What may be deleted at the server, and what is withheld: everything that guards against a wrong delete.

In: paths that are gone, the ends of passes, decisions of people. Out: deletes for the server's queue. One per mapping,
used by its `mirror` on the engine's thread. A delete goes out only for a path that the ledger knows, that stayed gone
for ``delete_after`` below a source that is provably the same folder (`source`), and within ``max_deletes`` (`toomany`);
the worker looks once more before it acts. Otherwise it is withheld (`holding`). What is in a directory that is gone
follows with it (`clearing`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from ftpsyncd.actions import Delete, RemoveDir
from ftpsyncd.core import names
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.core.gate import Breaker
from ftpsyncd.counting import deletes
from ftpsyncd.mapping import leftbehind
from ftpsyncd.mapping.changedthere import ChangedThere
from ftpsyncd.mapping.clearing import Clearing
from ftpsyncd.mapping.discards import Discard
from ftpsyncd.mapping.holding import MARKED_AT_ONCE, Holding
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.mapping.source import Source
from ftpsyncd.mapping.toomany import Limit
from ftpsyncd.model import Hold, HoldKind, Kind, Listing
from ftpsyncd.paths import above, parent
from ftpsyncd.specs import DeletePolicy

LOOK_AGAIN_S = 1.0
"""A directory whose deletion goes on is not asked about more often than this."""
ASKED_AT_ONCE = 5000
"""Decisions that are looked through in one turn of the engine: some ten milliseconds."""


class Removals:
    """The absences and deletes of one mapping, and what withholds them."""

    def __init__(self, site: Site) -> None:
        approved = site.ledger.decisions.approved(site.id)
        self.absent = Deletes(
            {path: files for path, files, changed in approved if not changed},
            lambda changes: site.ledger.decisions.set_approved(site.id, changes),
            lambda: site.ledger.decisions.end_approvals(site.id),
        )
        self.forgotten: Callable[[str], None] = lambda _path: None
        """Is told what a person wants to stay at the server although it is gone here."""
        self.comparing: Callable[[], bool] = lambda: False
        """Whether something that was looked at is not compared to its end."""
        self.passed_over: Callable[[], str | None] = lambda: None
        """A directory of which it is not known what it holds, until something was done about it at the server."""
        self.unread: Callable[[], Collection[str]] = lambda: ()
        """What was published and cannot be read, so that nobody knows what of it is gone."""
        self.comes_to_rest: Callable[[str], bool] = lambda _path: False
        """Whether a file waits under a path until it is at rest."""
        self._after_pass: set[str] = set()
        """Gone, and deleted unless they are found under another name until all was looked at: gone for long when they
        were first looked for, or perhaps in a directory that was passed over; in one pass whatever is gone, so that all
        of it is judged together."""
        self.takes_back = False
        """Not all deletes are taken back that were: until then nothing begins, and nothing is concluded."""
        self.holding = Holding(site, self.absent)
        self.limit = Limit(site, self.absent, self.holding)
        self.source = Source(site, self.holding, self._stop)
        self._site = site
        self._clearing = Clearing(site, self.absent, self._delete_action)
        self.changed_there = ChangedThere(site, (path for path, _, changed in approved if changed))
        self._unsure: list[str] = []
        """Where a person allowed something to be deleted, and it is to be asked whether that is ours still."""
        self._all_seen = False
        """A pass has ended since the folder is the one it is: what is gone is known, but for what went just now."""
        self._all_read = False
        """Likewise, and in one all that was published could be read: what a hold is about is known."""
        self.discarded = Discard(site, self.absent)

    def __repr__(self) -> str:
        return f"<Removals {self.absent!r} {self.holding!r} {self.source!r}>"

    def go_on_from(self, before: Removals) -> None:
        """Stand in for what guarded the same place under settings that are over."""
        self.absent.go_on_from(before.absent)
        self.limit.go_on_from(before.limit)

    @property
    def hold(self) -> Hold | None:
        """Why deletes are withheld; None if they are not."""
        return self.holding.hold

    @property
    def held(self) -> int:
        """How many deletes are withheld."""
        return self.absent.files if self.hold is not None else 0

    @property
    def directories_held(self) -> int:
        """How many directories in which no published file is left are not removed; `held` counts none for them."""
        return self.absent.empty if self.hold is not None else 0

    @property
    def may_hold_more(self) -> bool:
        """Whether a hold is, or may be, about what nobody can look at, so that `held` does not tell of it.

        So it is after a start: what it was about is found gone anew, but not in a folder that cannot be read.
        """
        if self.hold is None or not self.source.is_published:
            return self.hold is not None
        return self._all_seen and not self._all_read and bool(self.unread())

    @property
    def working(self) -> bool:
        """Whether directories that are gone, or decisions, are being gone through."""
        return bool(self._clearing or self._unsure)

    @property
    def hurries(self) -> bool:
        """Whether `go_on` has something to do though nothing happens."""
        return bool(self._unsure) or self._clearing.cut_short

    def pass_ended(self, at: Moment) -> None:
        """Everything that was to be compared has been: what is gone is known, and old absences count."""
        self._all_seen, unread = True, self.unread()
        if self.source.is_published:
            self.discarded.all_seen(unread)
        self._unsure = self.absent.allowed_paths
        self._forget_decisions()
        self._all_read |= not unread
        self.source.pass_ended(at)
        leftbehind.forget_old(self._site)

    def all_compared(self, at: Moment) -> None:
        """All that can be looked at has been.

        A hold that is about nothing any more ends, and not only with the next pass: what is deleted until then would be
        held with what is back. What was not found under another name by now is dealt with as gone.
        """
        keeps = self._all_seen and self._site.spec.deletes is DeletePolicy.KEEP
        if self.holding.kind is HoldKind.MASS_DELETE and (keeps or (self._all_read and not self.absent.files)):
            self.holding.release("nothing is left to delete", at)
        if not self._after_pass or self.may_be_in is not None:
            return
        if len(self._after_pass) > MARKED_AT_ONCE:
            for directory in {parent(path) for path in self._after_pass}:
                self._site.dirty.mark_directory(directory, at.now)
        else:
            for path in self._after_pass:
                self._site.dirty.mark(path, at.now)
        self._after_pass.clear()

    @property
    def may_be_in(self) -> str | None:
        """A directory in which whatever is gone may be: nothing is judged to be gone for good; None: that can be."""
        # A full server may rename nothing before there is room, which deletes make.
        full = self._site.queue.gate.state is Breaker.FULL
        return None if full else self.passed_over()

    @property
    def published_first(self) -> str:
        """A name under which a file is published before it is deleted under its old one; empty: no delete waits so."""
        return leftbehind.first_awaited(self._site, self.absent.knows, self.comes_to_rest)

    def _forget_decisions(self) -> None:
        """What is no longer ours (newly excluded, for instance) will not be deleted, whatever was allowed."""
        ledger, mapping = self._site.ledger, self._site.id
        for path in ledger.in_bulk.unknown(mapping, self._unsure[-ASKED_AT_ONCE:]):
            self.absent.back(path)
        del self._unsure[-ASKED_AT_ONCE:]
        self.changed_there.forget_unknown()

    def _stop(self) -> None:
        """Take back every delete that has not begun."""
        self.absent.clear()
        self._all_seen = self._all_read = False
        self.discarded.interrupted()
        self._after_pass.clear()
        self._unsure.clear()
        self._clearing.stop()
        self.takes_back = True
        self.take_back_some()

    def take_back_some(self) -> None:
        """Go on with taking back deletes that have not begun (`takes_back`)."""
        self.takes_back = self._site.queue.withdraw_some(self._site.spec.name, Delete | RemoveDir)

    # ── what is gone ─────────────────────────────────────────────────────────────────────────────────────────

    def gone(self, path: str, kind: Kind, at: Moment, *, gone_s: float = 0.0) -> bool:
        """A published path is gone: wait, withhold or delete.

        Args:
            path: it.
            kind: what was published.
            at: now.
            gone_s: for how many seconds it has been gone at least; told by a pass only, which may yet find it under
                another name.

        Returns:
            False if it is to be dropped from the ledger and kept at the server (`dropped` is told when it has been).
        """
        site = self._site
        queued = site.queue.waiting(site.spec.name, path)
        if isinstance(queued, Delete | RemoveDir):
            return True
        if self.absent.is_doomed(path):
            if self._clearing.is_at_work_on(path):
                # What is paused does not go on before a pass is over.
                if not (site.one_pass and site.ledger.decisions.paused_ns(site.id)):
                    site.dirty.mark(path, at.now + max(site.spec.delete_after_s, LOOK_AGAIN_S))
                return True
            # Something in it could not be deleted, or was there again for a moment.
            self.absent.spare(path)
        site.queue.withdraw(site.spec.name, path)
        if self._was_left_behind(path, kind, at, gone_s):
            return True
        known = self.absent.since(path) is not None
        since = self._noted(path, kind, at.now - gone_s)
        if self._is_to_stay(path, since):
            self.discarded.carried_out(path)
            return False
        due = self._due(path, kind, since, at)
        if due > at.now:
            site.dirty.mark(path, due)
        elif (gone_s and not known) or self.may_be_in is not None or self._awaits_pass(path, kind):
            self._after_pass.add(path)
        elif self.hold is None:
            return self._gone_for_good(path, kind, at)
        return True

    def _due(self, path: str, kind: Kind, since: float, at: Moment) -> float:
        """When what is gone since then may be deleted, or is asked about again (monotonic seconds)."""
        due = since + self._site.spec.delete_after_s
        if kind is not Kind.DIR or due > at.now:
            return due
        again = leftbehind.below_due(self._site, path, at, self.comes_to_rest, all_seen=self._all_seen)
        if again is None:
            # What is not found by now counts.
            self._noted(path, kind, since)
        return due if again is None else again

    def _awaits_pass(self, path: str, kind: Kind) -> bool:
        """Whether it is known only when all has been seen what is gone together, or is here under another name."""
        if self._all_seen:
            return False
        cut_off = kind is Kind.DIR and leftbehind.below(self._site, path, self.comes_to_rest, all_seen=False)
        return self._site.one_pass or bool(cut_off)

    def _noted(self, path: str, kind: Kind, since: float) -> float:
        """Note something as gone since then at the latest; returns since when."""
        if kind is Kind.FILE:
            return self.absent.note(path, 1, since)
        return self.absent.note_directory(path, self._files_to_go(path), since)

    def _is_to_stay(self, path: str, since: float) -> bool:
        """Whether a person wants what is gone from a path since then to stay at the server."""
        return self.discarded.is_about(path, since, known_source=self.source.is_published)

    def _was_left_behind(self, path: str, kind: Kind, at: Moment, gone_s: float) -> bool:
        """Whether something is not deleted here, but had its rename cut off (`leftbehind`); dealt with if so."""
        since = self.absent.since(path)
        # Counted in a hold, and told so, it is for the person who decides about that.
        if kind is not Kind.FILE or self.hold is not None or self._is_to_stay(path, at.now if since is None else since):
            return False
        due = leftbehind.due(self._site, path, at, gone_s, self.comes_to_rest, all_seen=self._all_seen)
        if due is None:
            return False
        # People are told that it is to go, and when.
        self.absent.note(path, 1, at.now - gone_s, counts=False)
        if due == math.inf:
            self._after_pass.add(path)
        elif due > at.now:
            self._site.dirty.mark(path, due)
        else:
            # Known until it is deleted: refused, or taken back, it is no mass delete the next time either.
            self.absent.back(path)
            self._delete(path, kind)
        return True

    def dropped(self) -> None:
        """All that was to be dropped from the ledger has been."""
        self.discarded.end_if_over()

    def _files_to_go(self, directory: str) -> int:
        """How many published files are below a directory that is gone, but for those that get other names, or have."""
        site = self._site
        paths = site.moves.leaving(directory)
        # What leaves a directory that gets another name itself is among its files.
        paths.update(leftbehind.below(site, directory, self.comes_to_rest, all_seen=self._all_seen))
        leaving = sum(self._files_at(path) for path in paths if paths.isdisjoint(above(path)))
        return max(0, site.ledger.in_bulk.files_below(site.id, directory) - leaving)

    def _files_at(self, path: str) -> int:
        row = self._site.ledger.row(self._site.id, path)
        if row is None or row.kind is Kind.FILE:
            return int(row is not None)
        return self._site.ledger.in_bulk.files_below(self._site.id, path)

    def moves(self, path: str) -> None:
        """A file that is published here is to get another name, if that was not known."""
        if not self._site.moves.leaves(path):
            self.leaves(path)

    def leaves(self, path: str) -> None:
        """What is published here gets another name: it is not deleted with a directory above it that is gone."""
        if any(self._site.moves.leaves(each) for each in above(path)):
            return
        row = self._site.ledger.row(self._site.id, path)
        whole = row is not None and row.kind is Kind.DIR
        self.absent.leaves(path, self._files_to_go(path) if whole else self._files_at(path))

    def _gone_for_good(self, path: str, kind: Kind, at: Moment) -> bool:
        """Nothing is to be awaited any more; the answer is that of `gone`."""
        if self._site.spec.deletes is DeletePolicy.KEEP:
            self.absent.back(path)
            return False
        if self.limit.allows(at):
            self.absent.admit(path, at.now)
            self._delete(path, kind)
        return True

    def _delete(self, path: str, kind: Kind) -> None:
        if kind is Kind.FILE:
            self._site.queue.offer(self._delete_action(path))
        else:
            self._clearing.begin(path)

    def _delete_action(self, path: str) -> Delete:
        spec = self._site.spec
        trash = ""
        if spec.deletes is DeletePolicy.TRASH:
            trash = names.trash(spec.remote, self._site.today(), path)
        row = self._site.ledger.row(self._site.id, path)
        # Of a row in doubt the open intent tells which others it may have after a crash (`Intents.begin`).
        sizes = (row.fingerprint.size,) if row is not None and path not in self.changed_there else ()
        return Delete(spec.name, path, trash, sizes)

    def go_on(self, at: Moment) -> None:
        """Go on deleting directories that are gone, as far as the queue has room."""
        self.absent.forget_old(at.now)
        self.limit.tell(at.now, all_seen=self._all_seen)
        if self._unsure:
            self._forget_decisions()
        self._clearing.go_on(at)

    def seen(self, listing: Listing) -> None:
        """What is on disk was not deleted: a decision about its deletion is over."""
        self.absent.there(listing.directory)
        self.discarded.there(listing.directory)
        self.source.places.seen(listing)
        self.changed_there.seen(listing)

    def spare(self, directory: str) -> None:
        """A directory that is gone was found under another name: nothing in it is deleted."""
        self.leaves(directory)
        self.absent.back(directory)
        self.absent.spare(directory)

    def emptied(self, directory: str) -> bool:
        """Something in a directory is gone from the server (`Clearing.emptied`)."""
        return self._clearing.emptied(directory)

    # ── what people decide ───────────────────────────────────────────────────────────────────────────────────

    def approve_some(self) -> bool:
        """Right before `approve`: note some of what it is about, at each call in a turn of its own.

        Of what a hold is about nothing is done before: that is there still. Files that were changed at the server are
        held each on its own, and so decided.

        Returns:
            Whether there is more.
        """
        if self.source.unseen:
            return False
        more = self.changed_there.approve_some() or self.source.places.doubt_some()
        return bool(more) or (self.hold is not None and self.absent.approve_some())

    def discard_some(self) -> bool:
        """Right before `discard`: carry it out for some of the files that were changed at the server.

        Returns:
            Whether there may be more.
        """
        if self.source.unseen:
            return False
        paths = self.changed_there.discard_some()
        for path in paths:
            self.forgotten(path)
            self.emptied(parent(path))
        return bool(paths) or self.source.places.doubt_some()

    def approve(self, at: Moment) -> str:
        """A person wants what is withheld to be done."""
        site = self._site
        if self.source.unseen:
            return self.undecided
        while self.changed_there.approve_some() or self.source.places.doubt_some():
            pass
        files = self.changed_there.answered("approved")
        if self.hold is None and not files:
            return f"{site.spec.name}: nothing is held"
        unseen, directories = self.hold is not None and self._seen_in_part, 0
        if self.hold is not None:
            directories = self.directories_held
            files += self.absent.approve()
            self.discarded.overruled()
            self.source.accept()
            self.holding.release("approved", at)
        site.dirty.mark_deep("", at.now)
        later = "; not everything was looked at yet: other deletes follow the usual rules" if unseen else ""
        return f"{site.spec.name}: {_decided(files, directories, 'approved')}{later}"

    def discard(self, at: Moment) -> str:
        """A person wants what is withheld never to be done: the files stay at the server, unmanaged."""
        site = self._site
        if self.source.unseen:
            return self.undecided
        while self.discard_some():
            pass
        files = self.changed_there.answered("discarded")
        if self.hold is None and not files:
            return f"{site.spec.name}: nothing is held"
        unseen, directories = False, 0
        if self.hold is not None:
            files += self.absent.files
            directories = self.directories_held
            unseen = self._seen_in_part
            self.discarded.begin(at.now, unseen=unseen)
            self.source.accept()
            self.holding.release("discarded", at)
            site.dirty.mark_deep("", at.now)
        later = "; not everything was looked at yet: what else is found to be gone stays there, too" if unseen else ""
        stays = "the files stay" if files else "nothing is removed"
        return f"{site.spec.name}: {_decided(files, directories, f'discarded; {stays} at the server')}{later}"

    @property
    def undecided(self) -> str:
        """What a person is told who decides about a folder that is not seen; empty if it is."""
        if not self.source.unseen:
            return ""
        why = self.source.missing or "its folder is still being looked at; say it again in a moment"
        return f"{self._site.spec.name}: nothing was decided: {why}"

    @property
    def _seen_in_part(self) -> bool:
        """Whether more may be gone than is known; below a directory on another disk, nothing was looked for."""
        unread = not self._all_read and bool(self.unread())
        return not self._all_seen or unread or self.comparing() or self.source.places.any_swapped

    def deleted(self, path: str, now: float) -> None:
        """A file is gone from the server (monotonic seconds)."""
        self.absent.deleted(path, now)
        self.changed_there.over(path)
        self._site.moves.forget_cut_off(path)


def _decided(files: int, directories: int, done: str) -> str:
    """What a person is told whose decision was about so many files, and directories without any, that are gone."""
    if not files and not directories:
        return "the folder is accepted as it is; no delete was held"
    return f"{deletes(files, directories)} {done}"
