"""A disk of some kilobytes or megabytes, to be filled to the last byte. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """Mount one at a place, which is made; ``options`` are those of a tmpfs (``size=2m``)."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def eat(place: Path) -> Path:
    """Fill a disk to the last byte; the file that does so."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as out:
        for size in (65536, 4096, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue
    return ballast
