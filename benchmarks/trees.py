"""The trees that are published: made from a seed, and compared afterwards, byte for byte.

In: `TreeSpec`. Out: files on disk; `Manifest`, what a tree holds; `differences` between two.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SEED = 20240229
NEWEST = 1_700_000_000
"""Modification time of the first file, seconds since 1970; each further one is a minute older."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class TreeSpec:
    """Files of random sizes within bounds, dealt out to directories in turn."""

    files: int
    smallest: int
    largest: int
    directories: int = 1
    suffix: str = ".jpg"


@dataclass(frozen=True)
class Entry:
    """What is compared of a file."""

    size: int
    sha256: str
    mtime_s: int


Manifest = Mapping[str, Entry]
"""Path below the root → file."""


def layout(spec: TreeSpec, seed: int = SEED) -> dict[str, int]:
    """Path below the root → size, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable is the point
    return {
        f"{number % spec.directories:03}/{number:05}{spec.suffix}": chance.randint(spec.smallest, spec.largest)
        for number in range(spec.files)
    }


def make_tree(root: Path, spec: TreeSpec, seed: int = SEED) -> None:
    """Write the files of a spec; contents cannot be compressed, dates are in the past."""
    chance = random.Random(seed + 1)  # noqa: S311 - as above
    for number, (name, size) in enumerate(layout(spec, seed).items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, _CHUNK):
                file.write(chance.randbytes(min(_CHUNK, size - start)))
        mtime = NEWEST - 60 * number
        os.utime(path, (mtime, mtime))


def manifest(root: Path) -> dict[str, Entry]:
    """Every file below a directory, whatever its name; none if the directory does not exist."""
    found = {}
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts = path.stat()
        found[str(path.relative_to(root))] = Entry(facts.st_size, digest, int(facts.st_mtime))
    return found


def differences(wanted: Manifest, found: Manifest) -> list[str]:
    """What is wrong with a published tree; empty if it holds the same files with the same content, and no others."""
    problems = [f"missing: {name}" for name in wanted.keys() - found.keys()]
    problems += [f"too many: {name}" for name in found.keys() - wanted.keys()]
    for name in wanted.keys() & found.keys():
        ours, theirs = wanted[name], found[name]
        if (ours.size, ours.sha256) != (theirs.size, theirs.sha256):
            problems.append(f"different: {name} ({ours.size} bytes, published {theirs.size})")
    return sorted(problems)


def dates_kept(wanted: Manifest, found: Manifest) -> bool:
    """Whether every published file has the source's modification time, to the second."""
    return all(name in found and found[name].mtime_s == entry.mtime_s for name, entry in wanted.items())
