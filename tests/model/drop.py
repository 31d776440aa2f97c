"""The disk of the model: a real folder, every change of it noted, and the events that the kernel would send.

What was ever written to the end is in `finished`; what is being written is in `unfinished`. Each content is another
one, so that a mixture of two is neither. Every change of a file gets a date of its own, because what happens here in a
microsecond takes longer than a tick of the file system's clock elsewhere.
"""

from __future__ import annotations

import bisect
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ftpsyncd.local.changes import Changes
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Fingerprint
from ftpsyncd.paths import basename, join, parent

IN_MEMORY = Path("/dev/shm")


COARSE_NS = 10_000_000
"""At most between a change and the time that the kernel notes for it, which comes from its tick."""


class Time:
    """A clock that the test winds; the wall clock can be set besides."""

    def __init__(self) -> None:
        self._wound: list[tuple[int, float, int]] = [(0, 1000.0, 1_700_000_000 * 10**9)]

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return self.offset_ns + int(self.now * 1e9)

    @property
    def now(self) -> float:
        return self._wound[-1][1]

    @now.setter
    def now(self, now: float) -> None:
        self._wound.append((time.time_ns(), now, self.offset_ns))

    @property
    def offset_ns(self) -> int:
        """How far the wall clock is ahead of the other one."""
        return self._wound[-1][2]

    @offset_ns.setter
    def offset_ns(self, offset_ns: int) -> None:
        self._wound.append((time.time_ns(), self.now, offset_ns))

    def wall_ns_at(self, real_ns: int) -> int:
        """What this clock showed when the machine's showed that; rather later, since the kernel's stamps are coarse."""
        i = bisect.bisect_right(self._wound, real_ns + COARSE_NS, key=lambda wound: wound[0])
        _, now, offset_ns = self._wound[max(i - 1, 0)]
        return offset_ns + int(now * 1e9)


@dataclass(slots=True)
class Writer:
    """A program in the middle of writing a file."""

    file: BinaryIO
    name: str
    """The name by which it was opened, where that is now: absolute, links resolved; empty: it was taken away."""
    inode: int
    content: bytes


@dataclass(slots=True)
class Heard:
    """What the kernel has told a watcher and nobody has read yet; folders by inode, since they move meanwhile."""

    watched: Path
    """What the watcher has found at its root when it was started."""
    inode: int = 0
    """Of that; 0: any."""
    names: set[tuple[int, str]] = field(default_factory=set)
    entered: set[int] = field(default_factory=set)
    """Folders that appeared and are to be looked at with everything below them."""
    unwatched: set[int] = field(default_factory=set)
    """Those of them that nobody watches until then."""
    lost: bool = False
    """The queue overflowed."""

    def watch(self, folder: Path) -> None:
        """A watcher is started on what is at the root now: nothing of before counts, all is looked at."""
        self.watched, self.inode = folder, folder.stat().st_ino
        self.lose()

    def lose(self) -> None:
        """The kernel's queue overflows."""
        self._forget()
        self.lost = True

    def is_below(self, folder: Path) -> bool:
        """Whether this watcher watches a folder."""
        return folder.is_relative_to(self.watched)

    def appeared(self, inode: int, inodes: set[int], *, watched: bool) -> None:
        """A folder is new, with those in it."""
        self.entered.add(inode)
        if not watched:
            self.unwatched |= inodes

    def tell(self, folders: Iterable[str], *, names_only: bool = False) -> Changes | None:
        """What the watcher hands on: names under the paths that their folders have now.

        Args:
            folders: below the root, without itself.
            names_only: the watcher has not yet entered the folders that are new.
        """
        if self.lost:
            self._forget()
            return Changes(frozenset(), frozenset({""}), "the kernel's event queue overflowed")
        if not (self.names or self.entered):
            # Asked before every turn: nothing is looked at then.
            if not names_only:
                self._forget()
            return None
        places = self._places(folders)
        # Sorted: else inodes, which are others each time, would put what the watcher says into an order.
        names = frozenset(sorted(join(places[inode], name) for inode, name in self.names if inode in places))
        entered = () if names_only else self.entered
        deep = frozenset(sorted(places[inode] for inode in entered if inode in places))
        self.names.clear()
        if not names_only:
            self._forget()
        return Changes(names, deep) if names or deep else None

    def _places(self, folders: Iterable[str]) -> dict[int, str]:
        """Where the folders are, by inode; nothing of what has taken the root's place."""
        try:
            if self.inode not in {0, self.watched.stat().st_ino}:
                return {}
            return {(self.watched / path).stat().st_ino: path for path in ("", *folders)}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def _forget(self) -> None:
        self.names.clear()
        self.entered.clear()
        self.unwatched.clear()
        self.lost = False


class Drop:
    """A drop folder, and what its users do.

    Args:
        time: stamps what is written.
        changed: told, before each change, of the paths that go.
    """

    def __init__(self, time: Time, changed: Callable[[set[str]], None]) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="ftm-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.root = self.place / "drop"
        self.folder = self.place / "folder"
        self.outside = self.place / "outside"
        self.elsewhere = Path(tempfile.mkdtemp(prefix="ftm-"))
        for folder in (self.folder, self.outside):
            folder.mkdir()
        self.point_to(self.folder)
        self._time = time
        self._changed = changed
        self._serial = 0
        self.heard = Heard(self.folder)
        self.hearers = {"": self.heard}
        """Who is told by the kernel."""
        self.writers: list[Writer] = []
        self.finished: set[bytes] = set()
        self.contents: dict[Fingerprint, bytes] = {}
        self.stamps: dict[int, int] = {}
        """When each inode was changed last (ctime), by the clock of the test."""
        self.locked: set[int] = set()
        """Folders that cannot be read."""
        self.left: dict[tuple[str, bytes], float] = {}
        """From which paths files have gone, with what was in them, and when one was renamed (monotonic seconds).

        `-inf` for what has gone in another way, or more than once: what was begun before may go on for it. A worker
        looks whether it is there right before a rename, and may meet it gone again.
        """
        self.renamed: set[tuple[str, bytes]] = set()
        """The same of files that have got another name, themselves or with a directory that they were in, however often,
        and whatever else has become of the path."""

    def remove(self) -> None:
        for writer in self.writers:
            writer.file.close()
        shutil.rmtree(self.place)
        shutil.rmtree(self.elsewhere)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────

    def local(self, path: str) -> str:
        return f"{self.root}/{path}" if path else str(self.root)

    def walk(self, root: Path | None = None) -> Iterator[tuple[str, bool]]:
        """Every path in the folder, and whether it is a folder."""
        stack = [""]
        while stack:
            directory = stack.pop()
            try:
                with os.scandir(self.local(directory) if root is None else root / directory) as found:
                    items = sorted((item.name, item.is_dir(follow_symlinks=False)) for item in found)
            except OSError:
                return  # the root is gone
            for name, is_folder in items:
                path = join(directory, name)
                yield path, is_folder
                if is_folder:
                    stack.append(path)

    def files(self) -> dict[str, bytes]:
        return {path: Path(self.local(path)).read_bytes() for path, is_folder in self.walk() if not is_folder}

    def folders(self) -> list[str]:
        return ["", *(path for path, is_folder in self.walk() if is_folder)]

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.local(path))

    def is_folder(self, path: str) -> bool:
        return Path(self.local(path)).is_dir()

    def below(self, path: str) -> set[str]:
        return {path, *(p for p, _ in self.walk() if p.startswith(f"{path}/"))}

    def is_locked(self, path: str) -> bool:
        """Whether a folder, or one above it, cannot be read."""
        while self.locked and path:
            try:
                if os.lstat(self.local(path)).st_ino in self.locked:
                    return True
            except OSError:
                pass
            path = parent(path)
        return False

    def unfinished(self) -> set[bytes]:
        return {writer.content for writer in self.writers}

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def _content(self, size: int) -> bytes:
        self._serial += 1
        return f"{self._serial}:".encode().ljust(size, b".") + f"{self._serial}".encode()

    def _stamp(self, local: str | int) -> os.stat_result:
        """Give a file a date of its own, and note when it was."""
        self._serial += 1
        # No whole seconds, which would be those of a disk that knows no others.
        mtime_ns = self._time.wall_ns() + self._serial * 10**9 + 1
        os.utime(local, ns=(mtime_ns, mtime_ns))
        return self._note(local)

    def _note(self, local: str | int) -> os.stat_result:
        status = os.fstat(local) if isinstance(local, int) else Path(local).stat()
        self.stamps[status.st_ino] = self._time.wall_ns()
        return status

    def write(self, path: str, size: int) -> None:
        """Write a file in place, all at once."""
        if not self._can_be_file(path):
            return
        content = self._content(size)
        self._changed(set())
        self._is_written(path, content)
        with Path(self.local(path)).open("wb") as file:
            file.write(content)
        self.contents[fingerprint_of(self._stamp(self.local(path)))] = content
        self.finished.add(content)
        self._tell(path)

    def _is_written(self, path: str, content: bytes) -> None:
        """What is here will have this in it, and is the same file."""
        if self.exists(path):
            before = Path(self.local(path)).read_bytes()
            self.renamed |= {(name, content) for name, each in self.renamed if each == before}

    def swap(self, path: str, size: int) -> None:
        """Write a file as careful programs do: elsewhere, then renamed over."""
        if not self._can_be_file(path) or self._on_other_disk():
            return
        aside = self.outside / "aside"
        content = self._content(size)
        aside.write_bytes(content)
        self.contents[fingerprint_of(self._stamp(str(aside)))] = content
        self.finished.add(content)
        self._changed(set())
        aside.rename(self.local(path))
        self._tell(path)

    def begin(self, path: str, size: int) -> None:
        """Begin to write a file in place, and keep it open."""
        if not self._can_be_file(path) or len(self.writers) >= 2:
            return
        self._changed(set())
        content = self._content(size)
        self._is_written(path, content)
        file = Path(self.local(path)).open("wb", buffering=0)  # noqa: SIM115 - closed by `end`
        file.write(content[: size // 2])
        status = self._stamp(file.fileno())
        self.writers.append(Writer(file, os.path.realpath(self.local(path)), status.st_ino, content))
        self._tell(path)

    def end(self, which: int) -> None:
        """The program writes the rest and closes the file, wherever it is by now."""
        if not self.writers:
            return
        writer = self.writers.pop(which % len(self.writers))
        writer.file.seek(0)
        writer.file.write(writer.content)
        status = self._stamp(writer.file.fileno())
        writer.file.close()
        self.contents[fingerprint_of(status)] = writer.content
        self.finished.add(writer.content)
        if writer.name:
            top = f"{self.root.resolve()}/"
            if writer.name.startswith(top):
                self._tell(writer.name.removeprefix(top))
            return
        # More than the kernel does, which tells nothing of a name that was taken away (IN_EXCL_UNLINK).
        for path, is_folder in self.walk():
            if not is_folder and os.lstat(self.local(path)).st_ino == status.st_ino:
                self._tell(path)

    def _name_moved(self, name: str, target: str = "") -> None:
        """A name is another one now, or is taken away; whoever has it open has it open under that."""
        for writer in self.writers:
            if writer.name == name or writer.name.startswith(f"{name}/"):
                writer.name = target and target + writer.name.removeprefix(name)

    def touch(self, path: str) -> None:
        """Only the date changes."""
        if not self.exists(path) or self.is_folder(path):
            return
        before = self.contents.get(fingerprint_of(Path(self.local(path)).stat()))
        after = fingerprint_of(self._stamp(self.local(path)))
        if before is not None:
            self.contents[after] = before
        self._tell(path)

    def link(self, path: str, target: str) -> None:
        """A second name for a file."""
        if not self.exists(path) or self.is_folder(path) or self.exists(target) or not self._has_folder(target):
            return
        self._changed(set())
        os.link(self.local(path), self.local(target))
        self._note(self.local(target))
        self._tell(target)

    def _can_be_file(self, path: str) -> bool:
        if not self._has_folder(path) or self.is_folder(path):
            return False
        if not self.exists(path):
            return True
        inode = os.lstat(self.local(path)).st_ino
        return all(writer.inode != inode for writer in self.writers)

    def _has_folder(self, path: str) -> bool:
        return self.is_folder(parent(path)) and not self.is_locked(parent(path))

    # ── moving ───────────────────────────────────────────────────────────────────────────────────────────────

    def make_folder(self, path: str) -> None:
        if self.exists(path) or not self._has_folder(path):
            return
        Path(self.local(path)).mkdir()
        self._tell(path)
        self._appeared(path)

    def _leaves(self, path: str, when: float) -> None:
        """Something goes from a path, with all that is below."""
        for each in self.below(path):
            file = Path(self.local(each))
            if file.is_file():
                gone = each, file.read_bytes()
                self.left[gone] = -math.inf if gone in self.left else when

    def rename(self, path: str, target: str) -> None:
        """Rename a file or a folder; a file may take another's place."""
        if not self.exists(path) or not self._has_folder(target) or target == path or target.startswith(f"{path}/"):
            return
        if self.exists(target) and (self.is_folder(path) or self.is_folder(target)):
            return
        is_folder = self.is_folder(path)
        self._leaves(path, -math.inf if is_folder else self._time.now)
        files = (each for each in self.below(path) if Path(self.local(each)).is_file())
        self.renamed |= {(each, Path(self.local(each)).read_bytes()) for each in files}
        self._changed(self.below(path))
        self._tell(path)
        if not (self.exists(target) and Path(self.local(path)).samefile(self.local(target))):
            self._name_moved(os.path.realpath(self.local(target)))
            self._name_moved(os.path.realpath(self.local(path)), os.path.realpath(self.local(target)))
        Path(self.local(path)).rename(self.local(target))
        if is_folder:
            self._appeared(target, came_from=path)
        else:
            self._note(self.local(target))
        self._tell(target)

    def delete(self, path: str) -> None:
        """Delete a file or a folder with everything in it."""
        if not self.exists(path):
            return
        self._leaves(path, -math.inf)
        gone = self.below(path)
        self._changed(gone)
        for each in sorted(gone, reverse=True):
            self._tell(each)
        self._name_moved(os.path.realpath(self.local(path)))
        if self.is_folder(path):
            shutil.rmtree(self.local(path))
        else:
            Path(self.local(path)).unlink()

    def move_out(self, path: str) -> None:
        """Move something out of the folder, to where nobody watches."""
        if not self.exists(path) or self._on_other_disk() or len(list(self.outside.iterdir())) >= 3:
            return
        self._serial += 1
        self._leaves(path, -math.inf)
        self._changed(self.below(path))
        self._tell(path)
        self._name_moved(os.path.realpath(self.local(path)), str(self.outside / f"{self._serial}"))
        Path(self.local(path)).rename(self.outside / f"{self._serial}")

    def move_in(self, which: int, target: str) -> None:
        """Move something back in, perhaps elsewhere."""
        things = sorted(self.outside.iterdir())
        if not things or self._on_other_disk() or self.exists(target) or not self._has_folder(target):
            return
        thing = things[which % len(things)]
        self._name_moved(str(thing), os.path.realpath(self.local(target)))
        thing.rename(self.local(target))
        if self.is_folder(target):
            self._appeared(target)
        else:
            self._note(self.local(target))
        self._tell(target)

    # ── the source as a whole ────────────────────────────────────────────────────────────────────────────────

    def point_to(self, folder: Path | None) -> None:
        """Put a folder at the place of the root, or none."""
        aside = self.place / "link"
        if folder is None:
            self.root.unlink(missing_ok=True)
        else:
            aside.symlink_to(folder)
            aside.rename(self.root)

    def _on_other_disk(self) -> bool:
        return self.root.is_symlink() and self.root.readlink() == self.elsewhere

    def is_at_home(self) -> bool:
        return self.root.is_symlink() and self.root.readlink() == self.folder

    def vanish(self, where: str) -> None:
        """The folder is gone, or another one is in its place: beside it, or on another disk."""
        self._changed({path for path, _ in self.walk()})
        other = {"nowhere": None, "beside": self.place / "other", "disk": self.elsewhere}[where]
        if other is not None:
            other.mkdir(exist_ok=True)
        self.point_to(other)

    def come_back(self) -> None:
        self._changed({path for path, _ in self.walk()})
        self.point_to(self.folder)

    def chmod(self, path: str, mode: int) -> None:
        """Change who may read a file."""
        Path(self.local(path)).chmod(mode)
        self._note(self.local(path))
        self._tell(path)

    def lock(self, path: str) -> None:
        """Take away the right to read a folder."""
        if path and self.is_folder(path):
            self.locked.add(os.lstat(self.local(path)).st_ino)
            self._tell(path)

    def unlock(self) -> None:
        for path in self.folders()[1:]:
            if os.lstat(self.local(path)).st_ino in self.locked:
                self._tell(path)
                self._appeared(path)
        self.locked.clear()

    # ── what the kernel tells ────────────────────────────────────────────────────────────────────────────────

    def _tell(self, path: str) -> None:
        """A folder's watch tells of a name in it, unless nobody has come to watch that folder yet."""
        try:
            status = Path(self.local(parent(path))).stat()
        except OSError:
            return
        if self.is_locked(parent(path)):
            return
        for heard in self.hearers.values():
            if status.st_ino not in heard.unwatched:
                heard.names.add((status.st_ino, basename(path)))

    def _appeared(self, path: str, *, came_from: str | None = None) -> None:
        inodes = {os.lstat(self.local(p)).st_ino for p in self.below(path) if self.is_folder(p)}
        for heard in self.hearers.values():
            watched = came_from is not None and heard.is_below((self.root / came_from).parent.resolve())
            heard.appeared(os.lstat(self.local(path)).st_ino, inodes, watched=watched)

    def lose(self) -> None:
        """The kernel's queue overflows."""
        for heard in self.hearers.values():
            heard.lose()

    def tell(self, name: str = "", *, names_only: bool = False) -> Changes | None:
        """What a watcher hands on."""
        heard = self.hearers[name]
        return heard.tell(self._folders_below(heard.watched), names_only=names_only)

    def _folders_below(self, root: Path) -> Iterator[str]:
        return (path for path, is_folder in self.walk(root) if is_folder)
