"""The open intents of one mapping: what was begun and has no recorded outcome, and when each is asked about.

In: intents, from `intents` and `exposures`. Out: the same in the ledger, and for how long an answer is waited for. The
only place that writes them for a mapping that is there; used on the engine's thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ftpsyncd.core import names
from ftpsyncd.mapping.site import Site
from ftpsyncd.model import Intent, Kind

LATE_S = 60.0
"""A server may carry out what it was sent long before, when a line that hung moves again: for so long at most, we hope.
vsftpd makes the file of a STOR before it misses the data connection."""
PUT_OFF_S = 3600.0
"""A server that would not settle something is asked again after this time, and at the next start."""


class OpenIntents:
    """The open intents of one mapping by their paths; those of a daemon that died are there from the start.

    Args:
        site: the mapping's.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open = dict(site.ledger.begun.of(site.id))
        self.renames = {path: intent.source for path, intent in self._open.items() if is_rename(intent)}
        """Directories that may have been renamed at the server: new path and old."""
        self._apart: dict[str, dict[str, None]] = {}
        """Temporary files that are noted under their own paths, by the file whose name they bear."""
        self._uses: Counter[str] = Counter()
        """How many intents name a temporary file: each is looked for in all of them else, when it is asked about."""
        for path, intent in self._open.items():
            self._note_if_apart(path, intent)
            self._uses[intent.temporary] += 1
        self.exposed = {path for path, intent in self._open.items() if intent.exposed is not None}
        """Files that were sent under their final names and may not have arrived."""
        self.cut_off = {path for path, intent in self._open.items() if intent.temporary}
        """Whose temporary file may still be in the hands of a session that nobody listens to, and come back when it is
        gone."""
        self.interrupted: set[str] = set()
        """Files of which a try was cut off: what hung on its line may come yet, and to the final name."""
        self._put_off: dict[str, float | None] = {}
        """Those that the server would not settle, and when it is asked again (monotonic; None: not known yet)."""
        self._told: set[str] = set()
        """Those of which somebody was told so."""
        self._late: dict[str, float | None] = {}
        """Those that are asked about for the second time, and when (monotonic seconds; None: not yet known)."""

    def __repr__(self) -> str:
        return f"<OpenIntents {len(self._open)}>"

    def __bool__(self) -> bool:
        return bool(self._open)

    def __contains__(self, path: str) -> bool:
        return path in self._open

    def __getitem__(self, path: str) -> Intent:
        return self._open[path]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._open))

    def get(self, path: str) -> Intent | None:
        """The intent about a path, if one is open."""
        return self._open.get(path)

    def items(self) -> list[tuple[str, Intent]]:
        """Paths and intents, as they are now."""
        return list(self._open.items())

    def put(self, path: str, intent: Intent) -> None:
        """Note an intent, in the place of one about the same path; the engine commits."""
        self._forget_if_apart(path)
        self._count_out(path)
        self._open[path] = intent
        self._uses[intent.temporary] += 1
        self._note_if_apart(path, intent)
        if is_rename(intent):
            self.renames[path] = intent.source
        else:
            self.renames.pop(path, None)
        (self.exposed.discard if intent.exposed is None else self.exposed.add)(path)
        self._put_off.pop(path, None)
        self._site.ledger.begun.put(self._site.id, path, intent)

    def drop(self, path: str) -> None:
        """Nothing is open about a path any more."""
        self._put_off.pop(path, None)
        self._late.pop(path, None)
        self._told.discard(path)
        self.cut_off.discard(path)
        self.interrupted.discard(path)
        self.renames.pop(path, None)
        self.exposed.discard(path)
        self._forget_if_apart(path)
        self._count_out(path)
        if self._open.pop(path, None) is not None:
            self._site.ledger.begun.clear(self._site.id, path)

    def _count_out(self, path: str) -> None:
        before = self._open.get(path)
        if before is not None:
            self._uses[before.temporary] -= 1
            if not self._uses[before.temporary]:
                del self._uses[before.temporary]

    # ── temporary names ──────────────────────────────────────────────────────────────────────────────────────────

    def path_of(self, remote: str) -> str:
        """The path in the mapping of an absolute remote path: what is set apart is noted under its own."""
        return remote.removeprefix(self._site.spec.remote.rstrip("/")).lstrip("/")

    def temporary_of(self, path: str) -> str:
        """The temporary file that an earlier upload may have left."""
        before = self._open.get(path)
        return before.temporary if before is not None else ""

    def apart(self, temporary: str) -> None:
        """A temporary file is to be swept, whatever follows under the path of its file."""
        self.put(self.path_of(temporary), Intent(Kind.FILE, temporary))

    def apart_of(self, temporary: str) -> list[str]:
        """The temporary files that are set apart and bear the name of the same file as this one, whoever has sent them.

        A long name has lost its end: one of another file with the same beginning is no loss.
        """
        return list(self._apart.get(names.final(temporary), ()))

    def _note_if_apart(self, path: str, intent: Intent) -> None:
        if intent.temporary and self.path_of(intent.temporary) == path:
            self._apart.setdefault(names.final(intent.temporary), {})[intent.temporary] = None

    def _forget_if_apart(self, path: str) -> None:
        if path not in self._open or not self.is_apart(path):
            return
        temporary = self._open[path].temporary
        file = names.final(temporary)
        del self._apart[file][temporary]
        if not self._apart[file]:
            del self._apart[file]

    def is_apart(self, path: str) -> bool:
        """Whether what is noted there is a temporary file under its own path."""
        intent = self._open[path]
        return bool(intent.temporary) and self.path_of(intent.temporary) == path

    def set_apart(self, path: str) -> None:
        """Keep a temporary file under its own path, so that it does not matter what follows under the file's."""
        intent = self._open[path]
        if intent.temporary and self.path_of(intent.temporary) != path:
            self.put(path, intent._replace(temporary="", received=0, parts=()))
            self.apart(intent.temporary)
            if path in self.cut_off:
                self.cut_off.remove(path)
                self.cut_off.add(self.path_of(intent.temporary))

    def move(self, path: str, path_after: str, after: Intent, *, sweep_twice: bool) -> None:
        """An intent is about another path now, since a directory was renamed at the server.

        What was cut off and hung on a line comes under the old name, if there is such a directory again, or under the
        new one, where the server has gone into it: it is swept under both once more when it is late.

        Args:
            path: the old one.
            path_after: the new one.
            after: the intent, with all of its names new.
            sweep_twice: see `Intents`.
        """
        temporary, cut_off, swept = self._open[path].temporary, path in self.cut_off, self.is_late(path)
        self.drop(path)
        self.put(path_after, after)
        if cut_off:
            self.cut_off.add(path_after)
        self.set_apart(path_after)
        if temporary and sweep_twice and (cut_off or swept):
            self.apart(temporary)
            self.ask_again(self.path_of(temporary))
            if swept:
                self.ask_again(path_after)

    # ── when the server is asked ─────────────────────────────────────────────────────────────────────────────────

    @property
    def asked_before(self) -> set[str]:
        """Those that are not waited for: the server would not settle them, or they are asked about once more."""
        return self._put_off.keys() | self._late.keys()

    def put_off(self, path: str) -> bool:
        """The server refused to settle this, and asking again at once would be asking for ever.

        Returns:
            Whether that is news.
        """
        news = path in self._open and path not in self._told
        if path in self._open:
            self._put_off[path] = None
            self._told.add(path)
        return news

    def is_put_off(self, path: str) -> bool:
        """Whether the server would not settle it, and is not asked again yet."""
        return path in self._put_off

    def is_late(self, path: str) -> bool:
        """Whether it was settled once, and is asked about for the second time."""
        return path in self._late

    def ask_again(self, path: str) -> None:
        """It was settled; what hung on the line may come when it is `LATE_S` late."""
        self._late[path] = None

    def await_late(self, path: str) -> None:
        """What hung on the line may happen to a file of this name, should one be published until then."""
        if path not in self._open:
            self.put(path, Intent(Kind.FILE))
            self.ask_again(path)
        elif self._open[path].kind is Kind.FILE:
            self.interrupted.add(path)

    def is_due(self, path: str, now: float) -> bool:
        """Whether it may be asked about now (monotonic seconds)."""
        if _waits(self._put_off, path, now, PUT_OFF_S) or _waits(self._late, path, now, LATE_S):
            return False
        if path in self._late:
            # Not while another upload may be using it.
            temporary = self._open[path].temporary
            if temporary and self._uses[temporary] > 1:
                return False
        self._put_off.pop(path, None)
        return True


def is_rename(intent: Intent) -> bool:
    """Whether it tells of a directory that was to be renamed."""
    return intent.kind is Kind.DIR and bool(intent.source)


def _waits(dues: dict[str, float | None], path: str, now: float, wait_s: float) -> bool:
    """Whether the time for this has not come yet; it begins to run when it is asked for first."""
    if path not in dues:
        return False
    due = dues[path]
    if due is None:
        due = dues[path] = now + wait_s
    return now < due
