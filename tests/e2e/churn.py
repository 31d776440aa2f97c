"""What goes on at both ends of a site while it is put to the test: random changes here, somebody else's files there."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.beside import Beside
from tests.e2e.site import Spy, digest, wait_a_moment

LARGE = 3_000_000
RESUMABLE = 12_000_000
"""What breaks off is continued."""
MOST_FILES = 400
"""With so many, more is deleted than created."""
QUICK = (0.0, 0.005, 0.03)


class Changer(Beside):
    """A person and some programs: creates, overwrites, renames and deletes files and directories until told to stop.

    Every content is closed before it counts, and remembered in ``ever`` under each path where it may be seen: what the
    server holds under a path moves along with the directories above it.

    Args:
        root: below which it changes things.
        seed: the same one makes the same choices.
        pauses_s: between two changes, one of these.
        resumable: whether some files are as large as those that are continued when they break off.
    """

    def __init__(self, root: Path, seed: int, *, pauses_s: Sequence[float] = QUICK, resumable: bool = False) -> None:
        super().__init__("changer")
        self.ever: dict[str, set[bytes]] = {}
        self.changes = 0
        self._root = root
        self._random = random.Random(seed)
        self._pauses_s = pauses_s
        self._resumable = resumable
        self._next = 0
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Return when it has stopped; a change that failed is raised here."""
        super().stop()
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self._change()
                self.changes += 1
                self.over.wait(self._random.choice(self._pauses_s))
        except OSError as error:
            self._failure = error

    def _change(self) -> None:
        many = len(self._files()) > MOST_FILES
        weighted = {
            self._create: 10,
            self._overwrite: 5,
            self._rename: 4,
            self._rename_over: 2,
            self._delete: 14 if many else 4,
            self._move_directory: 2,
            self._drop_directory: 0.3,
        }
        self._random.choices(list(weighted), weights=list(weighted.values()))[0]()

    def _files(self) -> list[Path]:
        return sorted(p for p in self._root.rglob("*") if p.is_file())

    def _directories(self) -> list[Path]:
        return [self._root, *sorted(p for p in self._root.rglob("*") if p.is_dir())]

    def _name(self, stem: str) -> str:
        self._next += 1
        return f"{stem}{self._next}"

    def _path(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def _size(self) -> int:
        dice = self._random.random()
        if self._resumable and dice < 0.02:
            return RESUMABLE
        return LARGE if dice < 0.1 else self._random.randrange(20_000)

    def _write(self, path: Path) -> None:
        size = self._size()
        content = self._random.randbytes(size)
        with path.open("wb") as file:
            file.write(content[: size // 2])
            file.flush()
            wait_a_moment(self._random.choice([0.0, 0.0, 0.02]))
            file.write(content[size // 2 :])
        self.ever.setdefault(self._path(path), set()).add(digest(content))

    def _create(self) -> None:
        directory = self._random.choice(self._directories())
        if self._random.random() < 0.15 and len(directory.relative_to(self._root).parts) < 4:
            directory /= self._name("dir")
            directory.mkdir()
        self._write(directory / f"{self._name('file')}.jpg")

    def _overwrite(self) -> None:
        if files := self._files():
            self._write(self._random.choice(files))

    def _rename(self) -> None:
        if files := self._files():
            source = self._random.choice(files)
            directory = self._random.choice([*self._directories(), source.parent])
            self._move(source, directory / f"{self._name('renamed')}.jpg")

    def _rename_over(self) -> None:
        files = self._files()
        if len(files) > 1:
            self._move(*self._random.sample(files, 2))

    def _move(self, source: Path, target: Path) -> None:
        source.rename(target)
        self.ever.setdefault(self._path(target), set()).update(self.ever[self._path(source)])

    def _delete(self) -> None:
        if files := self._files():
            self._random.choice(files).unlink()

    def _move_directory(self) -> None:
        source = self._random.choice(self._directories())
        inside = [d for d in self._directories() if not d.is_relative_to(source)]
        if inside:
            target = self._random.choice(inside) / self._name("moved")
            source.rename(target)
            before, after = f"{self._path(source)}/", f"{self._path(target)}/"
            for path, held in list(self.ever.items()):
                if path.startswith(before):
                    self.ever.setdefault(after + path.removeprefix(before), set()).update(held)

    def _drop_directory(self) -> None:
        directory = self._random.choice(self._directories())
        if directory != self._root:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(directory)


class Foreigner(Beside):
    """Somebody else who puts files into the published directories, at the server; all of them must stay.

    Some look like the daemon's temporary files. A name tells the content. A file may move with its directory when that
    is renamed.

    Args:
        root: the published folder on the server's disk.
        seed: the same one makes the same choices.
    """

    PREFIX = "foreign"

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__("foreigner")
        self.placed: set[str] = set()
        self._root = root
        self._random = random.Random(seed)

    def run(self) -> None:
        number = 0
        while not self.over.wait(self._random.uniform(0.1, 1.0)):
            number += 1
            ending = self._random.choice([".jpg", f".jpg.{self._random.randrange(1 << 32):08x}.filepart"])
            # Gone by now is what it may be: directories come and go there.
            with contextlib.suppress(FileNotFoundError):
                self._place(f"{self.PREFIX}{number}{ending}")

    def _place(self, name: str) -> None:
        directory = self._random.choice([self._root, *sorted(p for p in self._root.rglob("*") if p.is_dir())])
        # By hard link, so that no look sees half of it and none replaces another file.
        made = self._root.parent / name
        made.write_bytes(self.content(name))
        try:
            os.link(made, directory / name)
        finally:
            made.unlink()
        self.placed.add(name)

    @staticmethod
    def content(name: str) -> bytes:
        """What is in a file of theirs."""
        return name.encode() * 200

    def lost(self) -> set[str]:
        """Names of files that are not there any more, or not intact."""
        found = {p.name for p in self._root.rglob(f"{self.PREFIX}*") if p.read_bytes() == self.content(p.name)}
        return self.placed - found


def torn(spy: Spy, ever: dict[str, set[bytes]]) -> list[str]:
    """Paths under which anything was visible that nobody had put there as a whole."""
    found = []
    for path, seen in spy.seen.items():
        name = path.rpartition("/")[2]
        theirs = name.startswith(Foreigner.PREFIX)
        allowed = {digest(Foreigner.content(name))} if theirs else ever.get(path, set())
        if not seen <= allowed:
            found.append(path)
    return sorted(found)
