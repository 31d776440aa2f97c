"""What was sent under its final name and may not have arrived, so that a part of it stands there for everybody.

In: what workers and outcomes tell of uploads with `publish: direct`, or at servers that rename nothing. Out: the note
of it in the open intent of the path (`model.Exposure`), by which a part is known again. One per mapping, used by its
`mirror` and its `intents` on the engine's thread. For how long the note stays is the matter of `intents` and `late`.
"""

from __future__ import annotations

from ftpsyncd.actions import Rename, Upload
from ftpsyncd.mapping.openintents import OpenIntents
from ftpsyncd.mapping.site import Moment, Site, Step
from ftpsyncd.model import Exposure, Intent, Kind

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

    def __repr__(self) -> str:
        return f"<Exposures {len(self._open.exposed)}>"

    def __contains__(self, path: str) -> bool:
        return path in self._open.exposed

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

    def not_begun(self, upload: Upload | Rename) -> None:
        """A file that was to be sent under its final name was not: nothing of this try is there."""
        intent = self._open.get(upload.path)
        if intent is None or intent.fingerprints[-1:] != (upload.fingerprint,):
            return
        if intent.exposed != upload.exposed:
            self._open.put(upload.path, intent._replace(exposed=upload.exposed))

    def over(self, path: str, at: Moment) -> None:
        """A try is over: nothing of it comes to the final name any more."""
        intent = self._open.get(path)
        if intent is not None and intent.exposed is not None and not intent.exposed.until_ns:
            self._open.put(path, intent._replace(exposed=intent.exposed._replace(until_ns=at.wall_ns)))

    def let_go(self, path: str) -> None:
        """The file is no longer ours, but a part of it may be there; what was published before is none."""
        intent, row = self._open[path], self._site.ledger.row(self._site.id, path)
        if row is not None and row.kind is Kind.FILE:
            self._open.put(path, intent._replace(fingerprints=(row.fingerprint, *intent.fingerprints)))

    def all_over(self, at: Moment) -> None:
        """The daemon runs: what an earlier one sent is over."""
        for path in list(self._open.exposed):
            if not self._site.queue.occupied(self._site.spec.name, path):
                self.over(path, at)

    def clock_was_set(self, step: Step) -> None:
        """Date what was sent meanwhile as the clock would have that is right now: a part has a date of the server's."""
        for path in list(self._open.exposed):
            intent = self._open[path]
            exposed = intent.exposed
            if exposed is None:
                continue
            redated = Exposure(exposed.size, step.redated(exposed.since_ns), step.redated(exposed.until_ns))
            if redated != exposed:
                self._open.put(path, intent._replace(exposed=redated))

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
