"""What a server is asked about open intents: was it done, and what lies there of it?

In: the open intents, and when nothing waits that would settle them anyway, or the server is busy with other things;
actions that could not begin, or a directory not be removed, before it is known what the server has there. Out:
questions for its queue, asked like everything else (`Sweep`, a `RenameDir` that was interrupted). Part of `intents`,
which learns of the answers; used on the engine's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from itertools import chain
from typing import NamedTuple

from ftpsyncd.actions import Action, MakeDir, RenameDir, Sweep
from ftpsyncd.core.extent import MAKES_DIRECTORY
from ftpsyncd.mapping.doubts import doubt_directory, is_in_doubt
from ftpsyncd.mapping.exposures import Exposures
from ftpsyncd.mapping.late import Late
from ftpsyncd.mapping.openintents import LATE_S, OpenIntents, is_rename
from ftpsyncd.mapping.site import QUEUE_ROOM, Moment, Site
from ftpsyncd.model import Fingerprint, Intent, Kind, Row
from ftpsyncd.paths import above

LOOKED_AT_ALWAYS = 1000
"""As long as no more intents are open, all of them are looked at whenever there is nothing else to do."""
LOOKED_AT_A_SECOND = 10_000
"""Of more, so many on average, and those that have changed: a fortieth of a core."""
MEANWHILE_S = 1.0
"""So often at most is looked for what is to be asked about while the server is busy with other things."""
ASKED_MEANWHILE = 10
"""So much of that is asked at a time: what was sent for it goes ahead of a backlog."""


class Leaving(NamedTuple):
    """A directory is perhaps renamed late, and what is below its old name would go with it."""

    new: str
    """Its new path."""
    old: str
    """Its old one."""
    until: float
    """When it will be known (monotonic seconds)."""
    asked: bool
    """The server is being asked; else it is when the time is over."""

    def why(self, whose: str) -> str:
        """What waits for it is told this.

        Args:
            whose: rename it is, in words.
        """
        when = "the server is asked first" if self.asked else "the server is asked once more within a minute"
        return f"the connection ended under a rename of {whose}, which may be done late: {when}"


class Inquiries:
    """What is asked about the open intents of one mapping.

    Args:
        site: the mapping's.
        open_: its intents.
        exposures: those of them about files that were sent under their final names.
        late: what of them may come late.
        end: is told of a question that need not be asked.
    """

    def __init__(
        self, site: Site, open_: OpenIntents, exposures: Exposures, late: Late, end: Callable[[Action], None]
    ) -> None:
        self._site = site
        self._open = open_
        self._exposures = exposures
        self._late = late
        self._end = end
        self._to_remove: set[str] = set()
        """Directories that are gone and not yet removed at the server, because something below them is open."""
        self._until_told: dict[str, dict[str, None]] = {}
        """By the new path of a directory that may be renamed late, what is not begun until the server has told."""
        self._below_waits: set[str] = set()
        """Directories of which it has to be known first whether they came, for what is to be done below them."""
        self._ahead: list[str] = []
        """Open intents that are to be looked at when the queue has room."""
        self._look_at_all_at = -math.inf
        """Not before (monotonic seconds): while 50,000 are open, a look at all of them takes a tenth of a second."""
        self._meanwhile_at = -math.inf
        """The same for what is asked about while the server is busy."""

    def __repr__(self) -> str:
        return f"<Inquiries {self._open!r} to_remove={len(self._to_remove)}>"

    def ask(self, unsettled: Container[str], now: float) -> None:
        """Have the server asked and cleaned up, once nothing waits that would settle it anyway: some of it at a time.

        Args:
            unsettled: paths that will be published soon.
            now: monotonic seconds.
        """
        self._look_ahead(now)
        while self._ahead:
            some, self._ahead = self._ahead[:LOOKED_AT_ALWAYS], self._ahead[LOOKED_AT_ALWAYS:]
            due = [path for path in some if path not in unsettled and self._is_due(path, now)]
            for number, path in enumerate(due):
                if self._site.queue.load(self._site.spec.name).waiting >= QUEUE_ROOM:
                    self._ahead[:0] = due[number:]
                    return
                if path in self._open and not self._ask_what_came(path) and self._late_is_over(path, now):
                    self._ask(path)

    def ask_meanwhile(self, unsettled: Container[str], now: float) -> None:
        """Have the server asked what came late although it has other things to do, which may take it hours or days.

        All else that is open waits until it has not, since that may settle it.

        Args:
            unsettled: paths that will be published soon.
            now: monotonic seconds.
        """
        if now < self._meanwhile_at or self._site.one_pass:
            return
        awaited = self._late.awaited()
        self._meanwhile_at = now + max(MEANWHILE_S, len(awaited) / LOOKED_AT_A_SECOND)
        due = (path for path in awaited if path not in unsettled and self._is_due(path, now))
        # From all of them, so that the time of each begins to run.
        for path in [path for path in due if not self._is_busy(path)][:ASKED_MEANWHILE]:
            if path in self._open and not self._ask_what_came(path) and self._late_is_over(path, now):
                self._ask(path)

    def _is_busy(self, path: str) -> bool:
        """Whether anything waits or runs that has to do with a path, with what is below it or what it is in."""
        queue, name = self._site.queue, self._site.spec.name
        if queue.busy_below(name, path) or queue.moves_from(name, path):
            return True
        over = above(path)
        return any(
            queue.waiting(name, each) or queue.at_work(name, each) or queue.moves_from(name, each) for each in over
        )

    def _look_ahead(self, now: float) -> None:
        """Choose what is to be looked at."""
        more = len(self._open) - LOOKED_AT_ALWAYS
        changed = self._open.changed()
        if more <= 0 or self._site.one_pass or (not self._ahead and now >= self._look_at_all_at):
            self._ahead = list(self._open)
            self._look_at_all_at = now + max(0, more) / LOOKED_AT_A_SECOND
        else:
            self._ahead += changed

    def _is_due(self, path: str, now: float) -> bool:
        if path not in self._open or self._open.is_continued(path):
            return False
        due = (self._late.directories.is_due(path, now), self._late_is_over(path, now))
        return any(due) and self._open.may_be_asked(path, now)

    def _late_is_over(self, path: str, now: float) -> bool:
        """Whether what was begun last under a path is to be asked about: not while a directory may come there late."""
        over = self._late.is_due(path, now)
        return over and not (self._late.is_awaited(path) and path in self._open.brings)

    def was_asked(self, path: str) -> bool:
        """Whether nobody waits for it: the server would not settle it, or it is asked about once more."""
        return self._open.is_put_off(path) or self._late.is_awaited(path)

    # ── what has to be known first ───────────────────────────────────────────────────────────────────────────

    def moves(self, path: str) -> bool:
        """Whether a directory may have been renamed away from this path at the server, which is still to be asked."""
        return path in self._open.renames.values()

    def moved_in_part(self, directory: str) -> bool:
        """Whether a rename away from a directory, or from below it, is recorded in part (`Ledger.move_some`).

        The server has done it. What has its old path in the ledger yet is under the new one there, which is another
        matter than what becomes of this directory.
        """
        site, prefix = self._site, f"{directory}/"
        left = [new for new, old in self._open.renames.items() if f"{old}/".startswith(prefix)]
        return any(
            site.ledger.row(site.id, new) is None and bool(site.ledger.in_bulk.some_below(site.id, new, most=1))
            for new in left
            if not new.startswith(prefix)
        )

    def settles_first(self, action: Action) -> bool:
        """Whether it has to be known before an action what the server has at its path, or above; it is asked, then.

        A directory of ours may be there that the ledger does not know: one that was renamed, with all that is in it,
        or one that was made. Begun without that, the action's own intent would take the place of the one that tells.
        Or a file, or a part of one that was sent under its final name, where a directory is to be now.
        """
        path, intent = action.path, self._open.get(action.path)
        tells = intent is not None and intent.kind is Kind.DIR and not self._late.is_awaited(path)
        if tells and not isinstance(action, MakeDir) and self._have_asked(path):
            return True
        if isinstance(action, MAKES_DIRECTORY) and self._may_have_come(path) and self._have_asked(path):
            return True
        if not self._open:
            return False
        if self._may_have_been_renamed(path) and self._have_asked(path):
            return True
        for directory in above(path):
            if self._may_have_come(directory) and self._have_asked(directory):
                return True
            if self._may_have_been_renamed(directory) and self._have_asked(directory):
                self._below_waits.add(directory)
                return True
        return False

    def may_leave(self, path: str, now: float, *, whole: bool = False) -> Leaving | None:
        """Whether nothing is done at a path, as it may leave with a directory that is renamed late.

        Else some of what the directory holds would be here then, and some there, and neither be known. When the time is
        over, the server is asked.

        Args:
            path: of what is to be brought, or to go.
            now: monotonic seconds.
            whole: it goes with all that is in it.
        """
        if not self._open.brings:
            return None
        directories = self._late.directories
        for new, old in directories.taking(path, whole=whole):
            if self._is_asked(new, old):
                return Leaving(new, old, now + LATE_S, asked=True)
            due = directories.due(new, old, now)
            if due > now:
                return Leaving(new, old, due, asked=False)
            if self._is_asked(new, old):
                return Leaving(new, old, now + LATE_S, asked=True)
        return None

    def may_go_along(self, path: str) -> bool:
        """Whether `may_leave` would have a path wait; nothing is asked for that."""
        return any(not self._open.is_put_off(new) for new, _ in self._late.directories.taking(path))

    def _is_asked(self, new: str, old: str) -> bool:
        """Whether the server will tell soon whether a directory has come to its new path; it is asked, then."""
        if self._open.is_put_off(new):
            return False
        queue, name = self._site.queue, self._site.spec.name
        waiting = queue.waiting(name, new)
        if not queue.occupied(name, new) and not isinstance(waiting, RenameDir | MakeDir | Sweep):
            asked = self._ask_what_came(new)
            if not asked and self._open.renames.get(new) == old:
                self._ask(new)
            if waiting is not None and queue.waiting(name, new) is not waiting:
                # Its place was taken by the question.
                self._until_told.setdefault(new, {})[new] = None
        return old in self._late.directories.to_ask(new) or self._open.renames.get(new) == old

    def await_answer(self, leaving: Leaving, path: str) -> None:
        """Have a path looked at when the server has told what `may_leave` waits for, whatever that is."""
        waiting = self._until_told.setdefault(leaving.new, {})
        if len(waiting) < QUEUE_ROOM:
            waiting[path] = None

    def _may_have_been_renamed(self, path: str) -> bool:
        """Whether a directory may have got this name, which is not only awaited."""
        return path in self._open.renames or bool(self._late.directories.to_ask(path))

    def _may_have_come(self, path: str) -> bool:
        """Whether the server may have a file at a path, or a part of one, of which the ledger has nothing."""
        intent = self._open.get(path)
        if intent is None or self._late.is_awaited(path):
            return False
        if intent.exposed is not None:
            return True
        if not intent.fingerprints:
            return False
        site = self._site
        return not site.queue.occupied(site.spec.name, path) and site.ledger.row(site.id, path) is None

    def _have_asked(self, path: str) -> bool:
        """Have the server asked about an open intent; False if nobody will, or it would not tell."""
        queue, name = self._site.queue, self._site.spec.name
        if self._open.is_put_off(path):
            return False
        if not queue.occupied(name, path) and not isinstance(queue.waiting(name, path), RenameDir | Sweep):
            self._ask_all(path)
        # What there was nothing to be asked about is only awaited by now.
        return bool(self._late.directories.to_ask(path)) or (path in self._open and not self._late.is_awaited(path))

    def clear_below(self, directory: str) -> bool:
        """A directory is to be removed at the server: is it known what is in it? If not, it is looked at again then.

        What was swept once is not waited for: what of it comes back meanwhile is deleted right before the directory.
        """
        for path in list(dict.fromkeys(self._open_below(directory))):
            if not self._site.queue.occupied(self._site.spec.name, path):
                self._ask_all(path)
        clear = not any(self._open_below(directory))
        if not clear:
            self._to_remove.add(directory)
        return clear

    def _open_below(self, directory: str) -> Iterator[str]:
        """What is open below a directory, and waited for; nothing may be asked meanwhile."""
        prefix, below = f"{directory}/", self._open.below(directory)
        # What may have been renamed away from there is not there, and its rows tell what it took along.
        left = (path for path, source in self._open.renames.items() if source.startswith(prefix))
        return (path for path in chain(below, left) if not (self.was_asked(path) or self._only_tells(path)))

    def left_in(self, directory: str) -> str | None:
        """Of what a transfer of ours may have left in a directory, the first; its path."""
        below = ((path, self._open[path]) for path in self._open.below(directory))
        return next((path for path, intent in below if intent.temporary or intent.exposed), None)

    def put_off(self, path: str) -> bool:
        """The server refused to settle this; whether that is news."""
        news = self._open.put_off(path)
        self.ended(path)
        return news

    def moved(self, path: str, path_after: str) -> None:
        """An intent is about another path now."""
        if (waiting := self._until_told.pop(path, None)) is not None:
            self._until_told.setdefault(path_after, {}).update(waiting)
        if path in self._below_waits:
            self._below_waits.discard(path)
            self._below_waits.add(path_after)

    def ended(self, path: str) -> None:
        """An intent is over: look again at what had to wait for it, and at directories that may be removed now."""
        for each in self._until_told.pop(path, ()):
            self._site.dirty.mark(each, 0.0)
        if path in self._below_waits:
            self._below_waits.discard(path)
            self._site.dirty.mark_deep(path, 0.0)
        # It is asked at the end of each action: one that is open below a directory is enough.
        for directory in [d for d in self._to_remove if not any(self._open_below(d))]:
            self._to_remove.discard(directory)
            self._site.dirty.mark(directory, 0.0)

    # ── how it is asked ──────────────────────────────────────────────────────────────────────────────────────

    def _ask_all(self, path: str) -> None:
        """Ask what may have come to a path, and when that is known, about what was begun there last."""
        if not self._ask_what_came(path):
            self._ask(path)

    def _ask_what_came(self, path: str) -> bool:
        """Ask which directory may have come to a path, if any is to be asked about; whether that is so."""
        for old in self._late.directories.to_ask(path):
            if self._site.ledger.row(self._site.id, old) is None:
                # Nothing was published under that name.
                self._late.directories.told(path, old)
                continue
            action = RenameDir(self._site.spec.name, path, old, 0, interrupted=True, ask_only=True)
            self._site.queue.offer(action)
            return True
        return False

    def _ask(self, path: str) -> None:
        if self._only_tells(path):
            return
        intent = self._open[path]
        if is_rename(intent):
            self.about_rename(path, intent)
            return
        sweep = Sweep(self._site.spec.name, path, intent.temporary)
        makes_sure = intent.kind is Kind.DIR and self._late.is_awaited(path) and self._site.spec.empty_dirs
        if makes_sure and doubt_directory(self._site.ledger, self._site.id, path):
            # A directory that is here is made once more.
            self._site.dirty.mark(path, 0.0)
        published = self._late.stands(path)
        if published is not None:
            why = "an earlier try was cut off and may have come late: is it still as it was published?"
            self._site.queue.offer(sweep._replace(published=published, exposed=intent.exposed, why=why))
            return
        if self._site.ledger.row(self._site.id, path) is None:
            sweep = sweep._replace(kind=intent.kind, fingerprints=intent.fingerprints, exposed=intent.exposed)
        if sweep.temporary or sweep.fingerprints or sweep.exposed or sweep.kind is Kind.DIR:
            self._site.queue.offer(sweep)
        else:
            self._end(sweep)

    def ask_which(self, path: str, gone: str) -> bool:
        """Have the server asked which version of a published file it has; False: nobody will, or it was asked.

        Args:
            path: of the file, of which another version was on its way.
            gone: it, or a directory above it: it is looked at when the server has told.
        """
        queue, name, intent = self._site.queue, self._site.spec.name, self._open.get(path)
        if intent is None or intent.kind is not Kind.FILE or not intent.fingerprints or self.was_asked(path):
            return False
        if not is_in_doubt(self._site.ledger, self._site.id, path):
            return False
        if not queue.occupied(name, path) and not isinstance(queue.waiting(name, path), Sweep):
            why = "what was on its way was seen in another folder, or on another disk: has it arrived?"
            sweep = Sweep(name, path, intent.temporary, why, fingerprints=intent.fingerprints, exposed=intent.exposed)
            queue.offer(sweep)
        self._until_told.setdefault(path, {})[gone] = None
        return True

    def ask_only(self, rename: RenameDir) -> None:
        """Whether a directory was renamed is to be asked, and it is not to be tried any more."""
        if rename.path in self._open.renames or self._late.directories.asks(rename):
            self._site.queue.offer(rename._replace(interrupted=True, ask_only=True))

    def about_rename(self, path: str, intent: Intent) -> None:
        """Whether a directory was renamed is to be asked, and to be done if it was not."""
        action = RenameDir(self._site.spec.name, path, intent.source, 0, interrupted=True)
        if self._site.ledger.row(self._site.id, intent.source) is not None:
            self._site.queue.offer(action)
        else:
            self._end(action)

    def found(self, sweep: Sweep, fingerprint: Fingerprint | None, at: Moment) -> None:
        """The server has what an interrupted action was to bring: it is ours, and treated like anything published."""
        ledger, mapping = self._site.ledger, self._site.id
        another = fingerprint is not None and is_in_doubt(ledger, mapping, sweep.path)
        if ledger.row(mapping, sweep.path) is None or another:
            size = fingerprint.size if fingerprint is not None else 0
            kind = Kind.FILE if fingerprint is not None else sweep.kind
            ledger.put(mapping, sweep.path, Row(kind, Fingerprint(size, 0, 0), b"", at.wall_ns))
            self._site.dirty.mark(sweep.path, at.now)

    def _only_tells(self, path: str) -> bool:
        """Whether an intent has nothing to be asked, and only tells which files of ours may be there."""
        intent, site = self._open[path], self._site
        has_files = bool(intent.fingerprints) and not intent.temporary and not intent.parts
        return has_files and is_in_doubt(site.ledger, site.id, path)
