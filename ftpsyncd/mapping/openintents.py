"""The open intents of one mapping: what was begun and has no recorded outcome, as the ledger has it.

In: intents, from `intents`, `late` and `exposures`; what the server would not settle. Out: the same in the ledger, and
which of them are about renamed directories, exposed files, temporary names. The only place that writes them for a
mapping that is there; used on the engine's thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ftpsyncd.core import names
from ftpsyncd.core.ordered import Ordered
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
        self._base = site.spec.remote.rstrip("/")
        self._open = dict(site.ledger.begun.of(site.id))
        self._ordered = Ordered(self._open)
        self.renames = {path: intent.source for path, intent in self._open.items() if is_rename(intent)}
        """Directories that may have been renamed at the server: new path and old."""
        self.brings = {path: intent.brings for path, intent in self._open.items() if intent.brings}
        """Old names of directories that may come to a path late, whatever was begun there since."""
        self._sourced = {path for path, intent in self._open.items() if intent.source or intent.brings}
        """What may have been renamed, or may be late, files too: the new paths."""
        self._apart: dict[str, dict[str, None]] = {}
        """Temporary files that are noted under their own paths, by the file whose name they bear."""
        self._uses: Counter[str] = Counter()
        """How many intents name a temporary file: each is looked for in all of them else, when it is asked about."""
        self._continues: Counter[str] = Counter()
        """How many intents name a part that is to be continued: by the path under which that would be apart."""
        for path, intent in self._open.items():
            self._count_in(path, intent)
        self.exposed = {path for path, intent in self._open.items() if intent.exposed is not None}
        """Files that were sent under their final names and may not have arrived."""
        self._put_off: dict[str, float | None] = {}
        """Those that the server would not settle, and when it is asked again (monotonic; None: not known yet)."""
        self._told: set[str] = set()
        """Those of which somebody was told so."""
        self._changed: dict[str, None] = {}
        """Those that came, or changed, or whose temporary file is used by one less, since somebody asked which."""

    def __repr__(self) -> str:
        return f"<OpenIntents {len(self._open)}>"

    def __bool__(self) -> bool:
        return bool(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, path: str) -> bool:
        return path in self._open

    def __getitem__(self, path: str) -> Intent:
        return self._open[path]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._open))

    def get(self, path: str) -> Intent | None:
        """The intent about a path, if one is open."""
        return self._open.get(path)

    def changed(self) -> list[str]:
        """Those about which the answer of `inquiries` may be another one than when this was asked last."""
        changed, self._changed = self._changed, {}
        return list(changed)

    def below(self, directory: str) -> Iterator[str]:
        """The paths below a directory that is not the root, in their order; none may come or go meanwhile."""
        return self._ordered.below(directory)

    def naming(self, directory: str) -> list[tuple[str, Intent]]:
        """The intents that may name something below a directory that is not the root, as they are now: in their order.

        Those about paths below it, since temporary files are beside theirs; and those of renames, wherever they are.
        """
        return [(path, self._open[path]) for path in sorted({*self._ordered.below(directory), *self._sourced})]

    def put(self, path: str, intent: Intent) -> None:
        """Note an intent, in the place of one about the same path; the engine commits."""
        before = self._open.get(path)
        if before is None:
            self._ordered.add(path)
        else:
            self._put_off.pop(path, None)
            self._count_out(path, before)
            self._forget(path, before, after=intent)
        self._open[path] = intent
        self._changed[path] = None
        self._count_in(path, intent)
        if intent.source or intent.brings:
            self._sourced.add(path)
        if is_rename(intent):
            self.renames[path] = intent.source
        if intent.brings:
            self.brings[path] = intent.brings
        if intent.exposed is not None:
            self.exposed.add(path)
        self._site.ledger.begun.put(self._site.id, path, intent)

    def drop(self, path: str) -> None:
        """Nothing is open about a path any more; said by `late` only, which awaits nothing of it then."""
        before = self._open.get(path)
        if before is None:
            return
        self._put_off.pop(path, None)
        self._told.discard(path)
        self._forget(path, before, after=None)
        self._count_out(path, before)
        self._changed.pop(path, None)
        del self._open[path]
        self._ordered.discard(path)
        self._site.ledger.begun.clear(self._site.id, path)

    def _forget(self, path: str, before: Intent, *, after: Intent | None) -> None:
        """What an intent has that few have, and the one in its place, if there is one, has not."""
        if (before.source or before.brings) and not (after and (after.source or after.brings)):
            self._sourced.discard(path)
        if is_rename(before) and not (after and is_rename(after)):
            del self.renames[path]
        if before.brings and not (after and after.brings):
            del self.brings[path]
        if before.exposed is not None and (after is None or after.exposed is None):
            self.exposed.discard(path)

    def _count_in(self, path: str, intent: Intent) -> None:
        self._uses[intent.temporary] += 1
        for part in intent.parts:
            self._continues[self.path_of(part)] += 1
        if intent.temporary and self.path_of(intent.temporary) == path:
            self._apart.setdefault(names.final(intent.temporary), {})[intent.temporary] = None

    def _count_out(self, path: str, before: Intent) -> None:
        _one_less(self._uses, before.temporary)
        # Of what is left nothing but what is open is noted, so that it cannot grow while nobody asks.
        if before.temporary and (own := self.path_of(before.temporary)) in self._open:
            self._changed[own] = None
            if own == path:
                self._forget_apart(before.temporary)
        for part in before.parts:
            own = self.path_of(part)
            _one_less(self._continues, own)
            if own in self._open:
                self._changed[own] = None

    # ── temporary names ──────────────────────────────────────────────────────────────────────────────────────────

    def path_of(self, remote: str) -> str:
        """The path in the mapping of an absolute remote path: what is set apart is noted under its own."""
        return remote.removeprefix(self._base).lstrip("/")

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
        return list(self._apart.get(names.final(temporary), ())) if self._apart else []

    def _forget_apart(self, temporary: str) -> None:
        file = names.final(temporary)
        del self._apart[file][temporary]
        if not self._apart[file]:
            del self._apart[file]

    def is_apart(self, path: str) -> bool:
        """Whether what is noted there is a temporary file under its own path."""
        intent = self._open[path]
        return bool(intent.temporary) and self.path_of(intent.temporary) == path

    def uses(self, temporary: str) -> int:
        """How many intents name a temporary file."""
        return self._uses[temporary]

    def is_continued(self, path: str) -> bool:
        """Whether a try goes on with the part that is noted under this path."""
        return path in self._continues

    # ── what the server would not settle ─────────────────────────────────────────────────────────────────────────

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

    def may_be_asked(self, path: str, now: float) -> bool:
        """Whether the server may be asked about it again (monotonic seconds)."""
        if waits(self._put_off, path, now, PUT_OFF_S):
            return False
        self._put_off.pop(path, None)
        return True


def _one_less(counted: Counter[str], what: str) -> None:
    counted[what] -= 1
    if not counted[what]:
        del counted[what]


def is_rename(intent: Intent) -> bool:
    """Whether it tells of a directory that was to be renamed."""
    return intent.kind is Kind.DIR and bool(intent.source)


def waits(dues: dict[str, float | None], path: str, now: float, wait_s: float) -> bool:
    """Whether the time for this has not come yet; it begins to run when it is asked for first."""
    if path not in dues:
        return False
    due = dues[path]
    if due is None:
        due = dues[path] = now + wait_s
    return now < due
