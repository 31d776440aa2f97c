"""What may come late: what was cut off, and answered by nobody, may be carried out when something else is there.

In: which paths something was cut off under, by a connection that ended or a daemon that died, and what became of these
paths since. Out: intents that stay open for as long as something may come, over a restart too, and when `inquiries` may
ask about them. One per mapping, used by its `intents` on the engine's thread.

A STOR makes its temporary file when the sender is gone, and an RNTO gives that its final name. Sent under its final
name, it was seen to empty the file that another try has published (vsftpd, proftpd, pyftpdlib), or to put the old
content there (pure-ftpd). A DELE or RNTO takes away what was published since, or brings another file there; an RNTO of
a directory does so with all that is in it. MKD makes a directory that is gone here, RMD removes one that is here.

So what was cut off (`cut_off`) is not over when its path is settled (`settled`): an intent stays, with what is there by
then, and a minute later the server is asked once more (`is_due`). What is begun there meanwhile has to await the same
(`begin`). As long as nothing else is open there, what was published is no matter of doubt (`stands`), and nobody waits.
"""

from __future__ import annotations

from itertools import islice

from ftpsyncd.actions import Action, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.extent import SENDS
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.brought import Brought
from ftpsyncd.mapping.exposures import Exposures
from ftpsyncd.mapping.openintents import LATE_S, OpenIntents, waits
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Exposure, Fingerprint, Intent, Kind
from ftpsyncd.specs import PublishMode

PARTS_AT_ONCE = 1000
"""So many are deleted right before the directory that they are in."""
NOTHING = Intent(Kind.FILE)
"""Nothing is known to be there of what was begun: noted where something may come late, it says just that."""


class Late:
    """What may come late in one mapping.

    Args:
        site: the mapping's.
        open_: its intents; only here they are dropped.
        exposures: those of them about files that were sent under their final names.
        twice: what was swept is swept once more when it may have come back; a pass that ends does not wait for it.
    """

    def __init__(self, site: Site, open_: OpenIntents, exposures: Exposures, *, twice: bool) -> None:
        self._site = site
        self._open = open_
        self._exposures = exposures
        self._twice = twice
        self.directories = Brought(open_, lambda path: site.ledger.row(site.id, path) is not None, twice=twice)
        """Those that a rename may bring."""
        self.parts: set[str] = set()
        """Whose temporary file may still be in the hands of a session that nobody listens to, and come back when it is
        gone."""
        self._hanging: set[str] = set()
        """Where a try was cut off, and nothing is settled since: something may come to the final name."""
        self._awaited: dict[str, float | None] = {}
        """Settled once, and asked about for the second time: when (monotonic seconds; None: not yet known)."""
        self._came_along: set[str] = set()
        """What is open about a path because a directory was renamed: the server was told nothing under this name."""
        self._expected: dict[str, Exposure | None] = {}
        """Where what another mapping had begun may come, and what it had exposed there."""

    def __repr__(self) -> str:
        return f"<Late parts={len(self.parts)} hanging={len(self._hanging)} awaited={len(self._awaited)}>"

    # ── what was cut off ─────────────────────────────────────────────────────────────────────────────────────────

    def take_up(self, path: str) -> bool:
        """What an earlier daemon has left open; False if that is more than what may come late."""
        nothing_known = self._open[path]._replace(brings=()) == NOTHING
        only_awaits = nothing_known and self._site.ledger.row(self._site.id, path) is None
        if self.stands(path) is None and not only_awaits:
            return False
        if self._twice:
            self._await(path)
        else:
            # It is asked at once; what is begun there before leaves the look to the next one.
            self._hang(path)
        return True

    def cut_off(self, path: str) -> None:
        """The connection ended under what is open about a path, or the daemon: what hung on the line may come yet."""
        self._came_along.discard(path)
        if self._open[path].temporary:
            self.parts.add(path)
        self.directories.cut_off(path)
        self._hang(path)

    def _hang(self, path: str) -> None:
        """It may bring a file or directory under this name, or take one away, or give it another name."""
        intent = self._open[path]
        if self._open.is_apart(path):
            return
        if intent.kind is Kind.DIR:
            if self._twice:
                self._hanging.add(path)
            return
        self._hanging.add(path)
        if intent.source:
            self._watch(intent.source, Kind.FILE)

    def hangs(self, path: str) -> bool:
        """Whether something was cut off there that may come yet, since nothing is settled."""
        return path in self._hanging

    def goes_on(self, path: str) -> None:
        """What is sent there now, in the place of a rename, has left something: that stays noted, also if it fails."""
        self._hanging.add(path)

    def _watch(self, path: str, kind: Kind, brings: tuple[str, ...] = ()) -> None:
        """It may happen to something of this name, should that be published until then."""
        self._came_along.discard(path)
        if path not in self._open:
            self._open.put(path, Intent(kind, brings=brings))
            self._await(path)
        elif self._open[path].kind is kind:
            self._hanging.add(path)

    def expect(self, path: str, exposed: Exposure | None) -> None:
        """What a mapping that is not there any more has begun here may come late.

        What it has here is none of ours, so that nothing is asked about it; but it may happen to what we publish there.
        """
        self._expected[path] = exposed

    def inherit(self, path: str, intent: Intent) -> None:
        """A mapping that is not there any more was cut off where this one publishes."""
        if self._exposures.inherit(path, intent):
            self._hang(path)

    def sweep_twice(self, temporary: str) -> None:
        """A temporary file is to be swept, and once more when it may have come back."""
        self._open.apart(temporary)
        self.parts.add(self._open.path_of(temporary))

    # ── what follows there ───────────────────────────────────────────────────────────────────────────────────────

    def begin(self, action: Action) -> None:
        """An action is about to be handed out: what may come late may happen to what it does."""
        self._came_along.discard(action.path)
        if action.path in self._awaited and not _asks(action):
            # That time is not over, and begins anew when this is settled.
            self._hang(action.path)
            if not isinstance(action, RemoveDir) or self._site.spec.empty_dirs:
                # An intent of its own takes the place of the one that only awaits.
                del self._awaited[action.path]
        if isinstance(action, SENDS) and action.path in self._expected:
            self.inherit(action.path, Intent(Kind.FILE, exposed=self._expected.pop(action.path)))

    def arrived(self, action: Upload | Rename, at: Moment) -> None:
        """The server has a file, before its intent ends; an earlier try may come after it."""
        path, intent = action.path, self._open.get(action.path)
        if intent is None or path not in self._hanging:
            return
        if intent.exposed is None and self._site.spec.publish is PublishMode.DIRECT:
            self._exposures.begun(action, at)
        self._exposures.over(path, at)

    def settled(self, action: Action, rest: Intent, *, told: bool = False) -> None:
        """An action is over: in the place of its intent is what remains of it, and what may come late.

        Args:
            action: it has an outcome.
            rest: what is still open about its path for other reasons; `NOTHING`: all is known.
            told: somebody was told that what is there stays, whatever it is.
        """
        path = action.path
        brings = self._open.brings.get(path, ())
        after = None if told else self._after(action)
        if after is None and brings:
            after = NOTHING._replace(brings=brings)
        part = self._open.temporary_of(path) if self._twice and path in self.parts else ""
        self._over(path)
        if brings:
            self.directories.settled(path)
        if after is not None and not rest.fingerprints:
            self._open.put(path, after)
            self._await(path)
            if rest.temporary and part:
                # It is swept now, and once more then.
                self.sweep_twice(rest.temporary)
                return
            if rest.temporary:
                self._open.apart(rest.temporary)
        elif rest != NOTHING:
            self._open.put(path, rest._replace(brings=brings))
            if after is not None:
                # What ends it has to await what may come late, too.
                self._hang(path)
        if part:
            self._await_part(part)

    def _after(self, action: Action) -> Intent | None:
        """What stays noted although an action has ended, since what hung on a line may come to the final name yet."""
        if isinstance(action, Sweep) and not self._twice:
            # What one pass was told of by the server is not asked again by every other one.
            return self._left_behind(action.path)
        intent = self._open.get(action.path)
        if intent is None or action.path not in self._hanging:
            return None
        # Also when nothing was done: what was published before stays published, and has to await the same.
        prints = self._published(action.path)
        if intent.kind is Kind.DIR and not prints:
            return intent._replace(temporary="", source="")
        match action:
            case _ if prints:
                pass
            case Upload() | Rename():
                prints = (action.fingerprint,)
            case Sweep():
                # What it found whole is no part the next time, though it may be smaller than what may come late.
                prints = action.fingerprints
            case _:
                pass
        # What was sent in the place of a rename may have left something under the old name.
        source = intent.source if isinstance(action, Upload) else ""
        return Intent(Kind.FILE, "", source, prints, exposed=intent.exposed, brings=intent.brings)

    def _left_behind(self, path: str) -> Intent | None:
        """What the next pass has to know of a rename that was cut off: what it left goes when the file has arrived."""
        intent = self._open.get(path)
        if intent is None or not (intent.source and intent.fingerprints):
            return None
        left_by = self._site.moves.left_by(path, intent.fingerprints[-1])
        if left_by != intent.source:
            return None
        return Intent(Kind.FILE, "", intent.source, intent.fingerprints, brings=intent.brings)

    def let_go(self, path: str) -> None:
        """What is under a path is no longer ours: nothing is open about it but which directories may come there."""
        brings = self._open.brings.get(path, ())
        self._over(path)
        if brings:
            self._open.put(path, NOTHING._replace(brings=brings))
            self._await(path)
        else:
            self.directories.drop(path)

    def _over(self, path: str) -> None:
        """Nothing is open about a path any more, and nothing of it is awaited."""
        self._awaited.pop(path, None)
        self.parts.discard(path)
        self._hanging.discard(path)
        self._came_along.discard(path)
        self._open.drop(path)

    # ── where it comes to ────────────────────────────────────────────────────────────────────────────────────────

    def set_apart(self, path: str) -> None:
        """Keep a temporary file under its own path, so that it does not matter what follows under the file's."""
        intent = self._open[path]
        if not intent.temporary or self._open.is_apart(path):
            return
        self._open.put(path, intent._replace(temporary="", received=0, parts=()))
        self._open.apart(intent.temporary)
        part = self._open.path_of(intent.temporary)
        (self._came_along.add if path in self._came_along else self._came_along.discard)(part)
        if path in self.parts:
            self.parts.remove(path)
            self.parts.add(part)

    def move(self, path: str, path_after: str, after: Intent) -> None:
        """An intent is about another path now, since a directory was renamed at the server.

        What was cut off and hung on a line comes under the old name, if there is such a directory again, or under the
        new one, where the server has gone into it: both are asked about once more when it is late. Of all the names
        that directories may get within a minute, those are the one that the server was told and the last one.

        Args:
            path: the old one.
            path_after: the new one.
            after: the intent, with all of its names new.
        """
        temporary, apart = self._open[path].temporary, self._open.is_apart(path)
        part, hanging, awaited = path in self.parts, path in self._hanging, path in self._awaited
        was_told = path not in self._came_along
        brings = self._open.brings.get(path, ())
        self._over(path)
        self.directories.drop(path)
        if path_after not in self._open and not (was_told and path == path_after):
            self._came_along.add(path_after)
        self._open.put(path_after, after)
        if part:
            self.parts.add(path_after)
        self.set_apart(path_after)
        if temporary and self._twice and was_told and (part or awaited):
            self._await_part(temporary)
        if not (hanging or awaited):
            return
        if was_told and not apart and path != path_after:
            self._watch(path, after.kind, brings)
        if after.kind is Kind.DIR and hanging:
            self._hanging.add(path_after)
        if awaited or (after.kind is Kind.FILE and self.stands(path_after) is not None):
            self._await(path_after)
        elif after.kind is Kind.FILE:
            # What is published there next has to await it.
            self._hanging.add(path_after)

    def brought(self, directory: str) -> None:
        """A directory was renamed to where something may come late: to what it has brought, for instance."""
        for path in list(self._open.below(directory)):
            intent, published = self._open[path], self._published(path)
            if published and path in self._awaited and intent.kind is Kind.FILE and not intent.temporary:
                self._open.put(path, intent._replace(fingerprints=published))

    def _published(self, path: str) -> tuple[Fingerprint, ...]:
        """Of the file that the server has there without a doubt, if there is one."""
        row = self._site.ledger.row(self._site.id, path)
        if row is None or row.kind is not Kind.FILE or row.fingerprint.is_doubted:
            return ()
        return (row.fingerprint,)

    def parts_below(self, directory: str) -> tuple[str, ...]:
        """Some temporary files that may be in a directory though they were swept, or could not be; absolute paths."""
        below = (path for path in self._open.below(directory) if path in self._awaited or self._open.is_put_off(path))
        return tuple(islice((name for path in below if (name := self._open[path].temporary)), PARTS_AT_ONCE))

    # ── when the server is asked ─────────────────────────────────────────────────────────────────────────────────

    def is_awaited(self, path: str) -> bool:
        """Whether it was settled once, and is asked about for the second time."""
        return path in self._awaited

    def awaited(self) -> list[str]:
        """All of which that holds."""
        return list(self._awaited)

    def due(self, path: str, now: float) -> float | None:
        """When the server is asked what came late (monotonic seconds); None: nothing of that kind is awaited."""
        if path not in self._awaited:
            return None
        return now if self.is_due(path, now) else self._awaited[path]

    def _await(self, path: str) -> None:
        """It is settled; what hung on the line may come when it is `LATE_S` late."""
        self._awaited[path] = None

    def _await_part(self, temporary: str) -> None:
        path = self._open.path_of(temporary)
        self._came_along.discard(path)
        self._open.apart(temporary)
        self._await(path)

    def is_due(self, path: str, now: float) -> bool:
        """Whether nothing is awaited about a path, or the time is over (monotonic seconds)."""
        if waits(self._awaited, path, now, LATE_S):
            return False
        temporary = self._open.temporary_of(path) if path in self._awaited else ""
        # Not while another upload may be using it.
        return not temporary or self._open.uses(temporary) == 1

    def stands(self, path: str) -> Fingerprint | None:
        """See `stands`."""
        intent = self._open.get(path)
        return stands(self._site.ledger, self._site.id, path, intent) if intent is not None else None


def _asks(action: Action) -> bool:
    """Whether it changes nothing, and only asks the server what has come."""
    return isinstance(action, Sweep) or (isinstance(action, RenameDir) and action.ask_only)


def stands(ledger: Ledger, mapping: int, path: str, intent: Intent) -> Fingerprint | None:
    """The file that was published where an earlier try may come late; None: there is no such thing.

    No upload is begun of what the ledger has as published, so that it was recorded since.

    Args:
        ledger: as it is now.
        mapping: its number there.
        path: of the file.
        intent: the open one about it.
    """
    if intent.temporary or not intent.fingerprints:
        return None
    row = ledger.row(mapping, path)
    if row is None or row.kind is not Kind.FILE or row.fingerprint != intent.fingerprints[-1]:
        return None
    return row.fingerprint
