"""What was sent under its final name and may not have arrived, so that a part of it stands there for everybody.

In: what workers and outcomes tell of uploads with `publish: direct`, or at servers that rename nothing. Out: the note
of it in the open intent of the path (`model.Exposure`), by which a part is known again. One per mapping, used by its
`mirror` and its `intents` on the engine's thread.

A try that was cut off may hang on a line, and get to the server when another one has published the file: vsftpd,
proftpd and pyftpdlib were seen to empty it, pure-ftpd to put the old content there. So the note stays then, and the
server is asked a minute later what is there. As long as it stays, what is published is no matter of doubt (`stands`).

So it is with whatever was cut off, sent under its final name or not: a DELE or RNTO that nobody answered may take away
what was published since, or bring another file there.
"""

from __future__ import annotations

from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.openintents import OpenIntents
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Action, Exposure, Fingerprint, Intent, Kind, Rename, Sweep, Upload
from ftpsyncd.specs import PublishMode

PRINTS_KEPT = 7
"""Earlier uploads under the same path that are remembered, each begun and interrupted."""


class Exposures:
    """The exposed files of one mapping.

    Args:
        site: the mapping's.
        open_: its intents, which have the notes.
    """

    def __init__(self, site: Site, open_: OpenIntents) -> None:
        self._site = site
        self._open = open_
        self._expected: dict[str, Exposure | None] = {}
        """Where what another mapping had begun may come late, and what it had exposed there."""

    def __repr__(self) -> str:
        return f"<Exposures {len(self._open.exposed)}>"

    def __contains__(self, path: str) -> bool:
        """Whether it is not known yet what is there; what may come late is not waited for."""
        return path in self._open.exposed and not self._open.is_late(path)

    def __bool__(self) -> bool:
        return bool(self._open.exposed)

    def begun(self, upload: Upload | Rename, at: Moment) -> None:
        """A file that runs is sent under its final name: whole or not, what is there from now on is ours."""
        intent = self._open.get(upload.path)
        if intent is not None and intent.fingerprints[-1:] == (upload.fingerprint,):
            size, before = upload.fingerprint.size, intent.exposed
            exposed = Exposure(size, at.wall_ns)
            if before is not None:
                exposed = Exposure(max(size, before.size), before.since_ns)
            self._open.put(upload.path, intent._replace(exposed=exposed))

    def over(self, path: str, at: Moment) -> None:
        """A try is over: nothing of it comes to the final name any more."""
        intent = self._open.get(path)
        if intent is not None and intent.exposed is not None and not intent.exposed.until_ns:
            self._open.put(path, intent._replace(exposed=intent.exposed._replace(until_ns=at.wall_ns)))

    def expect(self, path: str, exposed: Exposure | None) -> None:
        """What a mapping that is not there any more has begun here may come late.

        What it has here is none of ours, so that nothing is asked about it; but it may happen to what we publish there.
        """
        self._expected[path] = exposed

    def take_expected(self, path: str) -> None:
        """A file is about to be published: what may come late there is awaited from now on."""
        if path in self._expected and self.inherit(path, Intent(Kind.FILE, exposed=self._expected.pop(path))):
            self.cut_off(path)

    def cut_off(self, path: str) -> None:
        """The connection ended under a try, or the daemon: what hung on the line may come to the server yet.

        It may bring a file, or take one away, or give it another name.
        """
        intent = self._open[path]
        if intent.kind is not Kind.FILE or self._open.is_apart(path):
            return
        self._open.interrupted.add(path)
        if intent.source:
            self._open.await_late(intent.source)

    def arrived(self, action: Upload | Rename, at: Moment) -> None:
        """The server has a file, before its intent ends; an earlier try may come after it."""
        path, intent = action.path, self._open.get(action.path)
        if intent is None or path not in self._open.interrupted:
            return
        if intent.exposed is None and self._site.spec.publish is PublishMode.DIRECT:
            self.begun(action, at)
        self.over(path, at)

    def later(self, action: Action) -> Intent | None:
        """What stays noted although an action has ended, since what hung on a line may come to the final name yet."""
        intent = self._open.get(action.path)
        if intent is None or intent.kind is not Kind.FILE or action.path not in self._open.interrupted:
            return None
        prints: tuple[Fingerprint, ...] = ()
        match action:
            case Upload() | Rename():
                prints = (action.fingerprint,)
            case Sweep():
                # What it found whole is no part the next time, though it may be smaller than what may come late.
                prints = action.fingerprints
            case _:
                pass
        return Intent(Kind.FILE, fingerprints=prints, exposed=intent.exposed)

    def let_go(self, path: str) -> None:
        """The file is no longer ours, but a part of it may be there; what was published before is none."""
        intent, row = self._open[path], self._site.ledger.row(self._site.id, path)
        if row is not None and row.kind is Kind.FILE:
            self._open.put(path, intent._replace(fingerprints=(row.fingerprint, *intent.fingerprints)))

    def stands(self, path: str) -> Fingerprint | None:
        """See `stands`."""
        intent = self._open.get(path)
        return stands(self._site.ledger, self._site.id, path, intent) if intent is not None else None

    def all_over(self, at: Moment) -> None:
        """The daemon runs: what an earlier one sent is over."""
        for path in list(self._open.exposed):
            if not self._site.queue.occupied(self._site.spec.name, path):
                self.over(path, at)

    def inherit(self, path: str, intent: Intent) -> bool:
        """A mapping that is not there any more was sending a file, under its final name, where this one publishes.

        Returns:
            Whether that is noted: what is there is in doubt.
        """
        before, exposed = self._open.get(path) or Intent(Kind.FILE), intent.exposed
        if before.kind is not Kind.FILE:
            return False
        if exposed is None:
            exposed = before.exposed
        elif before.exposed is not None:
            size, since_ns = max(exposed.size, before.exposed.size), min(exposed.since_ns, before.exposed.since_ns)
            exposed = Exposure(size, since_ns)
        prints = (*intent.fingerprints, *before.fingerprints)[-PRINTS_KEPT - 1 :]
        self._open.put(path, before._replace(fingerprints=prints, exposed=exposed))
        return True


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
