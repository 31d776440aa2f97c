"""What is parked and may have been mended: of each directory one path is tried again, and shows whether all may be.

Rights that were wrong at the server for an hour, a limit that was lifted, a directory that was in the way: whoever
mends such things there tells nobody here, and what failed meanwhile would wait for `retry` for ever. So after each pass
of comparing everything one parked path of a directory is tried, a quarter of an hour after the last one failed at the
earliest, and ever more rarely, down to once a day; a large file more rarely still, since it may be refused at its end.
If that works, the others of the directory are tried, too. What no server can mend (a name that cannot be sent) and what
is for a person to decide (a file that somebody changed, or put there) is left alone.

In: the end of each pass, what was done. Out: failures that wait for their next try, marks. One per mapping, used by its
`mirror` on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.ledger.failures import ParkedIn
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import join, parent

FIRST_AGAIN_S = 900.0
LONGEST_AGAIN_S = 86400.0
BYTES_PER_S = 10_000
"""A file of so many bytes is tried once in a second at most, on the average of a directory's life."""
DIRECTORIES_AT_ONCE = 100
"""In which something is tried after one pass; the others come after the next ones."""
CANDIDATES = 10
"""Of a directory; those that failed longest ago."""


class Mended:
    """Finds out for one mapping whether what it has parked can be done by now.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tried: set[str] = set()

    def __repr__(self) -> str:
        return f"<Mended trying={len(self._tried)}>"

    def pass_ended(self, at: Moment) -> None:
        """Everything was compared: try what has waited for long enough, unless the server does not work at all."""
        site = self._site
        if site.queue.gate.is_doubtful:
            return
        due = [each for each in site.ledger.failures.parked_by_directory(site.id) if is_due(each, at.wall_ns)]
        due.sort(key=lambda each: each.last_ns)
        self._tried.clear()
        for each in due[:DIRECTORIES_AT_ONCE]:
            path = self._representative(each.directory, at.wall_ns)
            if path is not None:
                self._tried.add(path)
                site.ledger.failures.release(site.id, path)
                site.dirty.mark(path, at.now)

    def _representative(self, directory: str, wall_ns: int) -> str | None:
        """What is tried of a directory: what failed longest ago, and is still to be done."""
        site = self._site
        for name, size, failed_ns in site.ledger.failures.parked_in(site.id, directory, CANDIDATES):
            path = join(directory, name)
            if size is not None and 0 <= wall_ns - failed_ns < size / BYTES_PER_S * 1e9:
                continue
            # A directory that could not be made is when there is something in it that is tried.
            if size is not None or site.spec.empty_dirs or site.ledger.row(site.id, path) is not None:
                return path
        return None

    def done(self, path: str, at: Moment) -> None:
        """Something was done: if it had been parked, its neighbours may not be in vain, either."""
        if path in self._tried:
            self._tried.discard(path)
            directory = parent(path)
            self._site.ledger.failures.release_in(self._site.id, directory)
            self._site.dirty.mark_directory(directory, at.now)


def is_due(parked: ParkedIn, wall_ns: int) -> bool:
    """Whether something of a directory is to be tried.

    The longer it lasts the more rarely: after half as long again each time, or twice as long as before the last try.
    """
    since_s = (wall_ns - parked.last_ns) / 1e9
    if since_s < 0:
        # The wall clock was set back.
        return True
    lasts_s = (wall_ns - parked.first_ns) / 1e9
    doubled_s = FIRST_AGAIN_S * float(2 ** min(max(0, parked.attempts - 2), 10))
    wait_s = min(LONGEST_AGAIN_S, max(doubled_s, lasts_s / 2))
    return since_s >= wait_s
