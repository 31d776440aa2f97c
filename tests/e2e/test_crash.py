"""The daemon is killed again and again while things change: nothing is lost, nothing is torn, nothing is left over."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.site import Spy, digest, site, wait_a_moment
from tests.servers import Server
from tests.waiting import until

KILLS = 20
LONGEST_LIFE_S = 0.8
LARGE = 3_000_000


class Changer:
    """A person and some programs: creates, overwrites, renames and deletes files and directories until told to stop.

    Every content is closed before it counts, and remembered in ``ever`` under each path where it may be seen: what the
    server holds under a path moves along with the directories above it.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.ever: dict[str, set[bytes]] = {}
        self.changes = 0
        self._root = root
        self._random = random.Random(seed)
        self._next = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="changer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            kinds = [
                self._create,
                self._overwrite,
                self._rename,
                self._delete,
                self._move_directory,
                self._drop_directory,
            ]
            self._random.choices(kinds, weights=[10, 5, 4, 4, 2, 0.3])[0]()
            self.changes += 1
            self._stop.wait(self._random.choice([0.0, 0.005, 0.03]))

    def _files(self) -> list[Path]:
        return sorted(p for p in self._root.rglob("*") if p.is_file())

    def _directories(self) -> list[Path]:
        return [self._root, *sorted(p for p in self._root.rglob("*") if p.is_dir())]

    def _name(self, stem: str) -> str:
        self._next += 1
        return f"{stem}{self._next}"

    def _path(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def _write(self, path: Path) -> None:
        size = LARGE if self._random.random() < 0.1 else self._random.randrange(20_000)
        content = self._random.randbytes(size)
        with path.open("wb") as file:
            file.write(content[: size // 2])
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
            target = self._random.choice([*self._directories(), source.parent]) / f"{self._name('renamed')}.jpg"
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


@pytest.mark.timeout(240)
def test_killed_at_20_random_moments_it_ends_with_both_sides_equal_and_nothing_left_over(
    server: Server, tmp_path: Path, report: Callable[[str], None]
) -> None:
    seed = random.getrandbits(32)
    report(f"{server.kind}: seed {seed}")
    moments = random.Random(seed)
    with site(server, tmp_path, settle="0.1s", delete_after="0.2s") as s, Spy(s.published) as spy:
        with Changer(s.drop, seed) as changer:
            for _ in range(KILLS):
                s.start()
                wait_a_moment(moments.uniform(0.0, LONGEST_LIFE_S))
                s.kill()
        s.start()
        # Temporary files count as a difference.
        s.until_equal(60)
        s.until_state("in_sync")
        spy.until_seen_all()
        spy.assert_never_torn(changer.ever)
        assert changer.changes > 500
        until(lambda: s.mapping_status()["published_files"] == sum(p.is_file() for p in s.drop.rglob("*")), "counted")
