"""Under which temporary name a file is sent, and under which names earlier tries of it may have left something.

In: what is about to be begun, from `intents`, and the open intents. Out: names at the server. One per mapping, used on
the engine's thread.

The names are the same for the same path, so that a retry overwrites its own leftover, but others on another machine
(`Folder.sender`). Not after a crash or a lost connection: whoever sent the file may be gone and its session alive, and
the server may hold that file locked, still write what it has of the old content, begin anew when a command arrives that
hung on the line, or give it its final name. Nothing of that may happen to what is sent now, so that this has another
name until all those are swept. A part that is continued gets that name, too: a server may cut it where a REST says that
comes late.

After a power failure the ledger may not know what was begun last, nor are the names those of before (`claim.whose`):
those that the files had then are looked for beside what is sent first.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.core import names
from ftpsyncd.mapping.late import Late
from ftpsyncd.mapping.openintents import OpenIntents
from ftpsyncd.mapping.site import Site
from ftpsyncd.model import Intent
from ftpsyncd.paths import remote_join
from ftpsyncd.specs import PublishMode

PARTS_KEPT = 16
"""Names under which a part may lie: one more for each try that was cut off before the server received anything."""

LOOKED_FOR = 20_000
"""Tries before each of which is deleted what one may have left of which nothing is known: it takes a round trip. What
was on its way at a power failure follows on what was published, and is not recorded as that, in the half minute before:
so long may the kernel keep what is written (``vm.dirty_expire_centisecs``)."""


class Temporary(NamedTuple):
    """Where one try of a file is sent to; absolute remote paths."""

    name: str
    unusual: str
    """The same, if it is not the one that `names.temporary` gives to the path; else empty."""
    left: tuple[str, ...]
    """What earlier tries left under these has to go before."""
    parts: tuple[str, ...]
    """Under these a part may lie that is continued."""


class Temporaries:
    """The temporary names of one mapping.

    Args:
        site: the mapping's.
        open_: its intents.
        late: what of them may come late.
    """

    def __init__(self, site: Site, open_: OpenIntents, late: Late) -> None:
        self._spec = site.spec
        self._sender = site.folder.sender
        self._open = open_
        self._late = late
        self._before = [] if site.spec.publish is PublishMode.DIRECT else site.folder.senders_before
        self._looks = LOOKED_FOR if self._before else 0
        """So many tries more."""
        self._reused: set[str] = set()
        """Uploads that run, with a temporary file that an earlier one may have left."""

    def __repr__(self) -> str:
        return f"<Temporaries reused={len(self._reused)}>"

    def of_next_try(self, path: str, before: Intent, *, going_on: bool) -> Temporary:
        """The names for a try that is about to begin; what was cut off under the path is set apart.

        Args:
            path: of the file.
            before: the open intent about it.
            going_on: with the part that an earlier try has sent.
        """
        usual, parts = self._usual(path), before.parts if going_on else ()
        if before.temporary and path not in self._late.parts:
            self._reused.add(path)
            name = before.temporary
            left, _ = self._apart(path, usual)
        else:
            if before.temporary:
                self._late.set_apart(path)
                parts = (before.temporary, *parts)[:PARTS_KEPT] if going_on else ()
            left, name = self._apart(path, usual)
        if self._looks:
            self._looks -= 1
            unknown = (self._named(path, sender) for sender in self._before)
            left = (*left, *(each for each in unknown if each != name and each not in left))
        return Temporary(name, "" if name == usual else name, tuple(each for each in left if each not in parts), parts)

    def over(self, path: str) -> bool:
        """A try is over; whether it was sent under a name under which an earlier one may have left something."""
        reused = path in self._reused
        self._reused.discard(path)
        return reused

    def of_earlier_tries(self, path: str) -> tuple[str, ...]:
        """What earlier tries of a file may have left, if any of the mapping's was cut off."""
        if not self._late.parts:
            return ()
        own = self._open.temporary_of(path)
        return (*self._apart(path, self._usual(path))[0], *((own,) if own else ()))

    def _usual(self, path: str) -> str:
        return self._named(path, self._sender)

    def _named(self, path: str, owner: str) -> str:
        return names.temporary(remote_join(self._spec.remote, path), owner)

    def _apart(self, path: str, usual: str) -> tuple[tuple[str, ...], str]:
        """The temporary names of a file's tries that were cut off and not swept yet, and one that none has.

        A mapping that is not there any more may have had some of these tries.
        """
        temporary = usual
        while self._open.path_of(temporary) in self._open:
            temporary = self._named(path, temporary)
        found = self._open.apart_of(usual)
        return tuple(each for each in found if not self._late.is_awaited(self._open.path_of(each))), temporary
