"""Where at one server there is no space, as far as files that were refused show. Pure.

A server says "no space" of a file that is too large for what is left, of an account that is used up, and of a
directory that has a quota, or a disk, of its own: in the same words. So two files decide, with none that found space in
between: of one directory, that this is full; of two, that what holds both is, up to the whole mapping, and all mappings
of the server. What is in a full directory waits; then one file of it is tried, and shows whether the others may follow.
All else goes on.

Directories are told by keys: the mapping's name, and below it the path (``gallery/2024/may``); empty: the server.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ftpsyncd.paths import join, parent

SPACE_RETRY_S = 300.0
"""For how long nothing is sent to where there was no space."""
SERVER = ""
"""The key of all that the server has."""
MOST = 64
"""Single files that were refused are remembered, and of a full directory files that wait are named, as many as this."""
WAITING_MOST = 1000
"""Files that wait for space in one directory, up to which they are counted."""
FORGOTTEN_S = 3600.0
"""A full directory for which nothing was tried for so long after its time is not known to be full."""
FIRST_WAIT_S = 1.0
"""Between the first two tries of a file since there may be room for it; then twice as long each time."""


@dataclass(slots=True)
class _Refused:
    """A file for which there was no space."""

    path: str
    works: str | None = None
    """The nearest directory above that holds something which found space since; None: nothing did."""


@dataclass(slots=True)
class _Tried:
    """A file that was tried because there may be room for it."""

    until: float
    """Not for that reason again before then."""
    wait_s: float
    """How long that is after the try before."""
    is_due: bool = False
    """It is tried then."""

    def again(self, now: float) -> _Tried:
        """It is tried now."""
        wait_s = min(SPACE_RETRY_S, self.wait_s * 2)
        return _Tried(now + wait_s, wait_s)


@dataclass(slots=True)
class Lack:
    """A directory without space."""

    key: str
    message: str
    """The server's words."""
    until: float
    """When one file of it is tried."""
    since: float
    """When it, or a directory inside it, was found to be full."""
    works: str | None = None
    trial: str | None = None
    """The one that is being tried."""
    tries_large: bool = False
    """That one is large: only at its end, perhaps hours later, it shows whether there is space."""
    waiting: set[str] = field(default_factory=set)
    """Files that wait for space, as keys; at most `WAITING_MOST`."""
    announced: bool = False
    """Since its time was over, what is in it has been looked at, or is going to be."""


class Space:
    """What is known of one server's space."""

    def __init__(self) -> None:
        self._refused: dict[str, _Refused] = {}
        """By directory: one file of each, none of which makes it full."""
        self._lacks: dict[str, Lack] = {}
        """None of them is inside another one."""
        self._again: set[str] = set()
        """Directories that have space again, with files that waited for it."""
        self._freed: set[str] = set()
        """Where files were deleted; not everything that was to be has been."""
        self._tried: dict[str, _Tried] = {}
        """By key, files of which none makes a directory full."""

    def __repr__(self) -> str:
        return f"<Space lacking={sorted(self._lacks)}>"

    def __bool__(self) -> bool:
        """Whether files wait for space, or would have to, or there is space again and nobody knows yet."""
        return bool(self._lacks or self._again)

    # ── what becomes of files ────────────────────────────────────────────────────────────────────────────────

    def refused(self, mapping: str, path: str, message: str, now: float) -> tuple[str, bool] | None:
        """There was no space for a file.

        Returns:
            The key of what is full now because of it, and whether that is news; None if that is not known of anything.
        """
        self._forget(now)
        key = join(mapping, path)
        directory = parent(key)
        lack = self._around(directory)
        if lack is not None:
            lack.until, lack.message, lack.trial = now + SPACE_RETRY_S, message, None
            lack.works, lack.announced = None, False
            return lack.key, False
        before = self._refused.get(directory)
        if before is not None and before.path != key:
            return self._is_full(directory, message, now), True
        shared = self._shared(directory)
        if shared is not None:
            return self._is_full(shared, message, now), True
        self._refused.pop(directory, None)
        self._refused[directory] = _Refused(key)
        if len(self._refused) > MOST:
            del self._refused[next(iter(self._refused))]
        return None

    def found(self, mapping: str, path: str) -> None:
        """There was space for a file."""
        self._tried.pop(join(mapping, path), None)
        if not self._refused and not self._lacks:
            return
        directory = parent(join(mapping, path))
        lack = self._around(directory)
        if lack is not None:
            self._open(lack)
        for above in _upwards(directory):
            self._refused.pop(above, None)
        for known, one in self._all():
            nearest = _shared(known, directory)
            if one.works is None or len(nearest) > len(one.works):
                one.works = nearest

    def freed(self, mapping: str, path: str) -> None:
        """A file was deleted: what lacks space around it is tried when no more is to be deleted (`to_try`)."""
        lack = self.lack(mapping, path)
        self._freed.add(SERVER if lack is None else lack.key)

    @property
    def is_freed(self) -> bool:
        """Whether `to_try` was not asked since a file was deleted."""
        return bool(self._freed)

    def to_try(self, now: float) -> set[str]:
        """What may have space, as files were deleted there since this was asked: full directories, tried from now on.

        And the server, by its key, where one was in none.
        """
        freed, self._freed = self._freed, set()
        for key in freed & self._lacks.keys():
            lack = self._lacks[key]
            lack.until = min(now, lack.until)
        return {key if key in self._lacks else SERVER for key in freed}

    def tries_in_s(self, mapping: str, path: str, now: float) -> float:
        """How soon a file that found no space by itself is tried since room was made; whoever asks sees to that.

        Each time later, up to `SPACE_RETRY_S`: where something is deleted every second, a file that the server never
        takes would be sent in vain as often, and be in the way of those that have room.
        """
        key = join(mapping, path)
        tried = self._tried.pop(key, None)
        if tried is not None and tried.is_due and now >= tried.until:
            tried = tried.again(tried.until)
        if tried is None or now >= tried.until + SPACE_RETRY_S:
            tried, in_s = _Tried(now + FIRST_WAIT_S, FIRST_WAIT_S), 0.0
        elif now >= tried.until:
            tried, in_s = tried.again(now), 0.0
        else:
            tried.is_due, in_s = True, tried.until - now
        self._tried[key] = tried
        if len(self._tried) > MOST:
            del self._tried[next(iter(self._tried))]
        return in_s

    def over(self, mapping: str, path: str) -> None:
        """What was done about a path has ended, or is not to be done any more, and told nothing of space."""
        if self._lacks and (lack := self._around(parent(join(mapping, path)))) and lack.trial == join(mapping, path):
            lack.trial = None
            self._look_again(lack)

    # ── what may be sent ─────────────────────────────────────────────────────────────────────────────────────

    def lack(self, mapping: str, path: str) -> Lack | None:
        """The full directory that a path is in."""
        return self._around(parent(join(mapping, path))) if self._lacks else None

    def awaits(self, mapping: str, path: str, now: float) -> bool:
        """Whether a file need not be offered yet, since there is no space for it; it is counted then."""
        lack = self.lack(mapping, path)
        if lack is None or now >= lack.until:
            return False
        self._put_off(lack, join(mapping, path))
        return True

    def admits(self, mapping: str, path: str, now: float, *, large: bool = False) -> bool:
        """Whether a file may be sent now: of a full directory, when its time is over, one; others are counted.

        Beside a large one, another one that is not: it shows sooner what they wait for.
        """
        lack = self.lack(mapping, path)
        if lack is None:
            return True
        key = join(mapping, path)
        beside_large = lack.tries_large and not large
        if now >= lack.until and (lack.trial in {None, key} or beside_large):
            lack.trial, lack.tries_large = key, large
            lack.waiting.discard(key)
            return True
        self._put_off(lack, key)
        return False

    @staticmethod
    def _put_off(lack: Lack, key: str) -> None:
        if len(lack.waiting) < WAITING_MOST:
            lack.waiting.add(key)

    def has_put_off(self, mapping: str, path: str) -> bool:
        """Whether a file waits for space."""
        lack = self.lack(mapping, path)
        return lack is not None and join(mapping, path) in lack.waiting

    # ── when it is tried again ───────────────────────────────────────────────────────────────────────────────

    def to_look_at(self, mapping: str, now: float) -> list[str]:
        """The directories of a mapping of which files waited that may be tried now; each is told once."""
        for lack in self._of(mapping):
            if now >= lack.until and not lack.announced:
                self._look_again(lack)
        found = {key for key in self._again if _holds(mapping, key)}
        self._again -= found
        return sorted(key[len(mapping) + 1 :] for key in found)

    def next_due(self, mapping: str) -> float | None:
        """When `to_look_at` will have something; None if only what becomes of files can help."""
        if any(_holds(mapping, key) for key in self._again):
            return 0.0
        return min((lack.until for lack in self._of(mapping) if lack.waiting and not lack.announced), default=None)

    def try_now(self, mapping: str) -> None:
        """A person says that there is space again."""
        for lack in list(self._of(mapping)):
            self._open(lack)
        for key in [key for key in self._refused if _holds(mapping, key)]:
            del self._refused[key]
        self._tried = {key: tried for key, tried in self._tried.items() if not _holds(mapping, key)}

    def drop(self, mapping: str) -> None:
        """The mapping is not here any more."""
        self.try_now(mapping)
        self._again = {key for key in self._again if not _holds(mapping, key)}

    def clear(self) -> None:
        """Nothing is known of any directory: the server as a whole waits, or has another account."""
        for lack in list(self._lacks.values()):
            self._open(lack)
        self._refused.clear()
        self._tried.clear()

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────

    def lacks(self, mapping: str = SERVER) -> list[Lack]:
        """The directories of a mapping, or all of them, for which files wait, or would have to; by name."""
        found = (lack for lack in self._of(mapping) if lack.waiting or lack.trial or not lack.announced)
        return sorted(found, key=lambda lack: lack.key)

    def waiting(self, mapping: str) -> int:
        """How many files of a mapping wait for space, as far as they are counted."""
        return sum(len(lack.waiting) for lack in self._of(mapping))

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self, mapping: str) -> Iterator[Lack]:
        return (lack for key, lack in self._lacks.items() if not mapping or _holds(mapping, key))

    def _all(self) -> Iterator[tuple[str, _Refused | Lack]]:
        yield from self._refused.items()
        yield from self._lacks.items()

    def _around(self, directory: str) -> Lack | None:
        """The full directory that a directory is, or is in."""
        for above in _upwards(directory):
            if above in self._lacks:
                return self._lacks[above]
        return None

    def _shared(self, directory: str) -> str | None:
        """The smallest directory that is full if this one has no space, either, as others inside it have none.

        Not where something inside it found space since these had none.
        """
        shared = [(_shared(other, directory), one.works) for other, one in self._all() if other != directory]
        found = (each for each, works in shared if works is None or (each != works and _holds(works, each)))
        return max(found, key=len, default=None)

    def _is_full(self, key: str, message: str, now: float) -> str:
        full = Lack(key, message, now + SPACE_RETRY_S, now)
        for inner in [known for known in self._lacks if _holds(key, known)]:
            lack = self._lacks.pop(inner)
            full.waiting |= lack.waiting
            full.since = min(full.since, lack.since)
        for inner in [known for known in self._refused if _holds(key, known)]:
            del self._refused[inner]
        self._lacks[key] = full
        if any(_holds(key, freed) for freed in self._freed) or SERVER in self._freed:
            # Files were deleted in it, or may have been: what was full then was less, or nothing.
            self._freed.add(key)
        return key

    def _open(self, lack: Lack) -> None:
        """There is space again, or it is to be tried whether there is."""
        del self._lacks[lack.key]
        self._look_again(lack)

    def _look_again(self, lack: Lack) -> None:
        lack.announced = True
        if lack.waiting:
            self._again.add(lack.key)
            lack.waiting.clear()

    def _forget(self, now: float) -> None:
        """Let go of what nobody has asked about for long."""
        for key, lack in list(self._lacks.items()):
            if lack.trial is None and not lack.waiting and now >= lack.until + FORGOTTEN_S:
                del self._lacks[key]


def _upwards(directory: str) -> Iterator[str]:
    """A directory and all above it, the server too."""
    yield directory
    while directory:
        directory = parent(directory)
        yield directory


def _holds(directory: str, other: str) -> bool:
    """Whether a directory is another one, or holds it."""
    return not directory or other == directory or other.startswith(f"{directory}/")


def _shared(one: str, other: str) -> str:
    """The nearest directory that holds both."""
    return next(above for above in _upwards(one) if _holds(above, other))
