"""What people do to a drop folder, told in a thread: new files, a slow writer, an overwrite, a rename, a delete."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ftpsyncd.demo import pictures
from ftpsyncd.demo.record import Happening, Record

FILES_MAX = 12
"""The demo deletes what it made before the folder becomes hard to read."""
SLOW_PIECES = 6
SLOW_PAUSE_S = 0.6
"""Longer than the demo's settle time: quiet alone would publish the file too early."""

PLACES = ("harbour", "sunset", "meadow", "market", "bridge", "forest", "lagoon", "summit", "station", "garden", "dunes")
TIMES = ("at dawn", "in May", "from above", "by night", "after rain", "close up")

Act = Callable[[], None]


class Story:
    """Changes the drop folder over time until it is stopped.

    Args:
        folder: the drop folder.
        record: is told what is written.
        clock: seconds since the demo began.
        seed: decides what is drawn and in which order.
    """

    def __init__(self, folder: Path, record: Record, clock: Callable[[], float], seed: int) -> None:
        self._folder = folder
        self._record = record
        self._clock = clock
        self._dice = random.Random(seed)  # noqa: S311 - colours are no secrets
        self._made: list[str] = []
        self._drawn = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="demo-story")
        self._slow = threading.Thread(target=self._write_slowly, name="demo-slow-writer")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Complete what is being written, then do no more."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._slow.ident is not None:
            self._slow.join()

    def _tell(self) -> None:
        for pause_s, act in self._acts():
            if self._ending.wait(pause_s):
                return
            try:
                act()
            except OSError:
                # The person at the keyboard may have moved or deleted what this act is about.
                continue

    def _acts(self) -> Iterator[tuple[float, Act]]:
        """Pauses in seconds and what follows them. First everything once, quickly; then at a calm pace, for ever."""
        yield 0.2, lambda: self._drop("sunset.png")
        yield 0.4, lambda: self._drop("holidays/beach.png")
        yield 0.3, self._slow.start
        yield 0.3, lambda: self._drop("harbour.bmp")
        yield 0.3, lambda: self._drop("logo.gif")
        yield 0.7, lambda: self._drop("sunset.png")
        yield 0.7, lambda: self._rename("harbour.bmp", "harbour at dawn.bmp")
        yield 0.7, lambda: self._delete("logo.gif")
        while True:
            yield self._dice.uniform(1.0, 2.0), self._anything

    def _anything(self) -> None:
        kind = self._dice.choices(("new", "overwrite", "rename"), (5, 2, 2))[0]
        if len(self._made) >= FILES_MAX:
            self._delete(self._dice.choice(self._made))
        elif kind == "overwrite" and self._made:
            self._drop(self._dice.choice(self._made))
        elif kind == "rename" and self._made:
            source = self._dice.choice(self._made)
            self._rename(source, self._new_name(Path(source).suffix))
        else:
            self._drop(self._new_name(self._dice.choice((".png", ".png", ".bmp", ".gif", ".wav"))))

    def _new_name(self, suffix: str) -> str:
        while True:
            folder = self._dice.choice(("", "", "holidays/"))
            name = f"{folder}{self._dice.choice(PLACES)} {self._dice.choice(TIMES)}{suffix}"
            if name not in self._made:
                return name

    def _draw(self, name: str) -> bytes:
        self._drawn += 1
        seed = self._dice.randrange(1 << 30) + self._drawn
        wide = self._dice.randrange(160, 680, 40)
        high = wide * 3 // 4
        match Path(name).suffix:
            case ".bmp":
                return pictures.bmp(wide // 2, high // 2, seed)
            case ".gif":
                return pictures.gif(wide, high, seed)
            case ".wav":
                return pictures.wav(self._dice.uniform(1.0, 4.0), seed)
            case _:
                return pictures.png(wide, high, seed)

    def _drop(self, name: str) -> None:
        """Write a file as a plain program does: open it under its name, write, close."""
        data = self._draw(name)
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._record.intend(name, data)
        verb = "overwritten" if name in self._made else "dropped"
        target.write_bytes(data)
        self._note(verb, name, len(data))
        if name not in self._made:
            self._made.append(name)

    def _rename(self, source: str, name: str) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._record.moved(source, name)
        (self._folder / source).rename(target)
        self._made.remove(source)
        self._made.append(name)
        self._record.note(Happening(self._clock(), "drop", "renamed", name, source=source))

    def _delete(self, name: str) -> None:
        self._made.remove(name)
        (self._folder / name).unlink()
        self._note("deleted", name)

    def _write_slowly(self) -> None:
        """Write a film in pieces with the file open all the time, as a recorder does."""
        name = "film (being recorded).wav"
        data = pictures.wav(8.0, 7)
        piece = len(data) // SLOW_PIECES + 1
        self._record.intend(name, data)
        self._record.begin_writing(name)
        self._note("opened", name)
        try:
            with (self._folder / name).open("wb", buffering=0) as film:
                for at in range(0, len(data), piece):
                    film.write(data[at : at + piece])
                    self._ending.wait(SLOW_PAUSE_S)
                self._note("closed", name, len(data))
                self._record.end_writing(name)
        except OSError:
            # The folder went away under the recorder: the film is lost, the demo goes on.
            self._record.end_writing(name)

    def _note(self, verb: str, name: str, size: int = 0) -> None:
        self._record.note(Happening(self._clock(), "drop", verb, name, size))


def stopwatch() -> Callable[[], float]:
    """A clock that begins now."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
