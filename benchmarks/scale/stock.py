"""Trees in bulk, and ledgers that know them already.

In: a root, numbers. Out: files on disk; rows in a ledger, written through the product's own module as publishing would
have written them. Publishing a million files first would take the measurement half an hour and change nothing in it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ftpsyncd.config import load
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local import tree
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Fingerprint, Kind, Row
from ftpsyncd.specs import destination

_ROWS_PER_COMMIT = 50_000
_DIGEST = bytes(range(32))


def directory_name(number: int) -> str:
    """Of a directory in a tree: a hundred at each level, as a person would."""
    return f"d{number // 100:03}/e{number % 100:02}"


def make_files(root: Path, directories: int, files_each: int, content: bytes) -> None:
    """Write files with the same content into numbered directories; with one directory, into the root itself."""
    for number in range(directories):
        place = root / directory_name(number) if directories > 1 else root
        place.mkdir(parents=True, exist_ok=True)
        folder = os.open(place, os.O_RDONLY)
        try:
            for name in range(files_each):
                file = os.open(f"{name:06}.jpg", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
                os.write(file, content)
                os.close(file)
        finally:
            os.close(folder)


def make_directories(root: Path, like: Path, owner: int) -> None:
    """The directories of a tree at the server, without the files; ``owner`` is who sessions run as."""
    for directory, _, _ in os.walk(like):
        place = root / os.path.relpath(directory, like)
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, owner, owner)


def copy_tree(source: Path, target: Path, owner: int) -> None:
    """A whole tree as the server would have it."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    for directory, _, names in os.walk(target):
        for path in (directory, *(f"{directory}/{name}" for name in names)):
            os.chown(path, owner, owner)


def fill_ledger(config: Path, database: Path, mapping: str) -> int:
    """Record everything in a mapping's folder as published; returns the number of files."""
    loaded = load(config)
    spec = loaded.mappings[mapping]
    root = Path(spec.local)
    identity = tree.root_identity(root)
    if identity is None:
        raise FileNotFoundError(root)
    database.parent.mkdir(parents=True, exist_ok=True)
    files = 0
    with Ledger(database) as ledger:
        known = ledger.mappings.number(mapping, destination(spec, loaded.servers[spec.server]))
        ledger.mappings.set_root(known, identity)
        for count, (path, row) in enumerate(_rows(root)):
            ledger.put(known, path, row)
            files += row.kind is Kind.FILE
            if count % _ROWS_PER_COMMIT == 0:
                ledger.commit()
    return files


def _rows(root: Path) -> Iterator[tuple[str, Row]]:
    now = time.time_ns()
    top = str(root)
    for directory, _, names in os.walk(top):
        relative = os.path.relpath(directory, top) if directory != top else ""
        inode = tree.fold(Path(directory).stat().st_ino)
        yield relative, Row(Kind.DIR, Fingerprint(0, 0, inode), b"", now)
        for name in names:
            status = os.stat(f"{directory}/{name}")  # noqa: PTH116 - a million of them
            yield f"{relative}/{name}" if relative else name, Row(Kind.FILE, fingerprint_of(status), _DIGEST, now)
