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

from ftpsyncd.ledger.failures import ParkedIn, Trial
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.paths import parent

FIRST_AGAIN_S = 900.0
LONGEST_AGAIN_S = 86400.0
BYTES_PER_S = 10_000
"""A file of so many bytes is tried once in a second at most, on the average of a directory's life."""
DIRECTORIES_AT_ONCE = 100
"""In which something is tried after one pass; the others come after the next ones."""
TRIED_KEPT = 1000
"""Tries of which it is not known what came of them; of more, the first ones show nothing."""


class Mended:
    """Finds out for one mapping whether what it has parked can be done by now.

    Args:
        site: the mapping.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tried: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<Mended trying={len(self._tried)}>"

    def pass_ended(self, at: Moment) -> None:
        """Everything was compared: try what has waited for long enough, unless the server does not work at all."""
        site = self._site
        if site.queue.gate.is_doubtful:
            return
        failures = site.ledger.failures
        trial = Trial(int(site.spec.empty_dirs), at.wall_ns, 10**9 // BYTES_PER_S)
        due = [each for each in failures.parked_by_directory(site.id, trial) if is_due(each, at.wall_ns)]
        due.sort(key=lambda each: each.last_ns)
        self._tried = {path: None for path in self._tried if self._is_still_tried(path)}
        for each in due[:DIRECTORIES_AT_ONCE]:
            # What failed longest ago, and is still to be done.
            path = failures.first_parked_in(site.id, each.directory, trial)
            if path is not None:
                self._tried[path] = None
                failures.release(site.id, path)
                site.dirty.mark(path, at.now)
        while len(self._tried) > TRIED_KEPT:
            del self._tried[next(iter(self._tried))]

    def _is_still_tried(self, path: str) -> bool:
        """Whether it is not known yet what became of a try: a large file may take longer than the next pass."""
        failure = self._site.ledger.failures.of(self._site.id, path)
        return failure is not None and not failure.parked

    def done(self, path: str, at: Moment) -> None:
        """Something was done: if it had been parked, its neighbours may not be in vain, either."""
        if path in self._tried:
            del self._tried[path]
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
