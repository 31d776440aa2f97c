"""A place for files by the thousand."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")
_ROOM = 1 << 28


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is room, for what is told by the kernel in the same way on every disk.

    On some (ext4 without a journal) each new file takes a tenth of a millisecond of the processor while many have just
    been deleted: that was most of what these tests cost.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="ftpsyncd-test-", dir=_MEMORY) as name:
        yield Path(name)
