"""Looks at the server's folder every few milliseconds and keeps what it saw; in a thread of its own.

The demo claims that nobody at the server ever sees part of a file under its final name. The witness is the nobody: it
reads every file that is new or has changed, and compares it with what the demo wrote on purpose.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ftpsyncd import lacking
from ftpsyncd.core.names import SUFFIX
from ftpsyncd.demo import pictures
from ftpsyncd.demo.record import Happening, Record

LOOK_EVERY_S = 0.002
PROBLEMS_MAX = 20


class Look(NamedTuple):
    """What a stat says; equal means that there is nothing new to read."""

    size: int
    mtime_ns: int
    inode: int


class Known(NamedTuple):
    """A file under its final name at the server."""

    look: Look
    digest: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the witness has to say."""

    looks: int
    """How many times it looked at the whole folder."""
    reads: int
    """How many files it read and compared."""
    torn: tuple[str, ...]
    """Files that were partial or mixed under their final name; must be empty."""
    early: tuple[str, ...]
    """Files that were visible while their writer had them open; must be empty."""


class Witness:
    """Watches the server's folder.

    Args:
        folder: the server's root.
        drop: the drop folder, for files that a person put there.
        record: what was written on purpose; is told what became visible.
        clock: seconds since the demo began.
    """

    def __init__(self, folder: Path, drop: Path, record: Record, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._drop = drop
        self._record = record
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="demo-witness")
        self._known: dict[str, Known] = {}
        self._looks = 0
        self._reads = 0
        self._torn: list[str] = []
        self._early: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def sighting(self) -> Sighting:
        """What was seen so far."""
        return Sighting(self._looks, self._reads, tuple(self._torn), tuple(self._early))

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            with suppress(OSError):  # that was no look: nothing can be opened now
                self._look_once()

    def _look_once(self) -> None:
        # Taken before the look: what is closed in between is no accusation.
        being_written = self._record.being_written()
        seen = dict(visible(self._folder))
        vanished = {known.look.inode: path for path, known in self._known.items() if path not in seen}
        for path, look in seen.items():
            known = self._known.get(path)
            if known is None or known.look != look:
                self._read(path, look, vanished)
            if path in being_written and path in self._record.being_written():
                _accuse(self._early, path)
        for path in vanished.values():
            del self._known[path]
            self._record.note(Happening(self._clock(), "server", "deleted", path))
        self._looks += 1

    def _read(self, path: str, look: Look, vanished: dict[int, str]) -> None:
        """Read a file that is new or has changed, and say what happened."""
        try:
            data = (self._folder / path).read_bytes()
        except OSError:
            # Renamed or deleted since the look: the next look will tell.
            return
        self._reads += 1
        if self._is_torn(path, data):
            _accuse(self._torn, path)
        digest = sha256(data).digest()
        known = self._known.get(path)
        self._known[path] = Known(look, digest)
        source = vanished.get(look.inode)
        # The digest, too: a freed inode number is soon used again.
        if source is not None and self._known[source].digest == digest:
            del vanished[look.inode], self._known[source]
            self._record.note(Happening(self._clock(), "server", "renamed", path, len(data), source))
        elif known is None or known.digest != digest:
            verb = "published" if known is None else "replaced"
            self._record.note(Happening(self._clock(), "server", verb, path, len(data)))

    def _is_torn(self, path: str, data: bytes) -> bool:
        intended = self._record.intended(path, data)
        if intended:
            return False
        if pictures.is_whole(data) is not False and intended is None:
            return False
        # A person's own file may be broken or have replaced one of ours; then the drop folder has the same bytes.
        try:
            return (self._drop / path).read_bytes() != data
        except OSError:
            return intended is not None


def visible(folder: Path) -> Iterator[tuple[str, Look]]:
    """Every file below the folder that bears a final name."""
    return ((path, look) for path, look in files(folder) if not path.endswith(SUFFIX))


def files(folder: Path) -> Iterator[tuple[str, Look]]:
    """Every file below the folder, with its path relative to it; what vanishes meanwhile is left out.

    Raises:
        OSError: this process may open no further file: what there is, is not known.
    """
    root = str(folder)
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    look = Look(found.st_size, found.st_mtime_ns, found.st_ino)
                    yield entry.path[len(root) + 1 :], look
        except OSError as error:
            if lacking.files(error):
                raise


def _accuse(list_of: list[str], path: str) -> None:
    if path not in list_of and len(list_of) < PROBLEMS_MAX:
        list_of.append(path)
