"""Sending the bytes of a file: by the kernel or by blocks, hashed on the same thread or beside it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import random
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from ftpsyncd.errors import FileChangedError, LocalUnreadableError, TransferFailedError
from ftpsyncd.remote.pour import BLOCK, LARGE, RECORD, TOLD_EVERY, _Beside, pour
from ftpsyncd.remote.throttle import Throttle

CONTENT = random.Random(5).randbytes(LARGE + 3 * BLOCK + 17)
SIZES = [0, 1, BLOCK, LARGE - 1, LARGE, len(CONTENT)]


class Line:
    """Takes what a data line would send, never more than it feels like."""

    def __init__(self, *, protected: bool = False, failure: OSError | None = None, good: int = 0) -> None:
        self.protected = protected
        self.failure = failure
        self.good = good
        self.got = bytearray()
        self.by_kernel = 0
        self.most = 0
        """Bytes that were sent at a time."""

    def send(self, data: memoryview) -> None:
        self.got += data
        self.most = max(self.most, len(data))

    def send_file(self, descriptor: int, offset: int, count: int) -> int:
        if self.failure is not None and len(self.got) >= self.good:
            raise self.failure
        part = os.pread(descriptor, min(count, 300_001), offset)
        self.got += part
        self.by_kernel += len(part)
        return len(part)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", path.open("rb", buffering=0))


def poured(line: Line, file: BinaryIO, size: int, start: int = 0) -> tuple[bytes, list[int]]:
    """The SHA-256 of what was poured, and what was told on the way."""
    digest = hashlib.sha256(CONTENT[:start])
    told: list[int] = []
    file.seek(start)
    pour(line, file, start, size, digest, throttle=Throttle(0), moved=told.append)
    return digest.digest(), told


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("protected", [False, True], ids=["plain", "tls"])
def test_all_is_sent_hashed_and_told(path: Path, size: int, protected: bool):  # noqa: FBT001
    line = Line(protected=protected)
    with opened(path) as file:
        digest, told = poured(line, file, size)
    assert bytes(line.got) == CONTENT[:size]
    assert digest == hashlib.sha256(CONTENT[:size]).digest()
    assert told == sorted(set(told))
    assert told[-1:] == ([size] if size else [])
    assert all(b - a >= TOLD_EVERY for a, b in zip([0, *told], told[:-1], strict=False))
    assert line.by_kernel == (size if size >= LARGE and not protected else 0)
    assert line.most <= (RECORD if protected else BLOCK)


def test_what_is_no_file_of_the_system_is_read(path: Path):
    line = Line()
    digest, _ = poured(line, io.BytesIO(path.read_bytes()), len(CONTENT))
    assert (bytes(line.got), line.by_kernel) == (CONTENT, 0)
    assert digest == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("start", [1, BLOCK, 3 * BLOCK])
def test_it_goes_on_from_where_an_earlier_try_ended(path: Path, start: int):
    line = Line()
    with opened(path) as file:
        digest, _ = poured(line, file, len(CONTENT), start)
    assert bytes(line.got) == CONTENT[start:]
    assert digest == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_kernel_cannot_send_it_is_read(path: Path, code: int):
    line = Line(failure=OSError(code, "no"))
    with opened(path) as file:
        digest, _ = poured(line, file, len(CONTENT))
    assert (bytes(line.got), line.by_kernel) == (CONTENT, 0)
    assert digest == hashlib.sha256(CONTENT).digest()


def test_where_no_thread_may_begin_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    line = Line()
    with opened(path) as file:
        digest, told = poured(line, file, len(CONTENT))
    assert (bytes(line.got), line.by_kernel) == (CONTENT, 0)
    assert digest == hashlib.sha256(CONTENT).digest()
    assert told == sorted(set(told))


@pytest.mark.parametrize("good", [0, LARGE])
def test_a_bad_disk_is_the_files_failure(path: Path, good: int):
    line = Line(failure=OSError(errno.EIO, "Input/output error"), good=good)
    with opened(path) as file, pytest.raises(LocalUnreadableError, match="Input/output error"):
        poured(line, file, len(CONTENT))


@pytest.mark.parametrize("protected", [False, True], ids=["plain", "tls"])
def test_a_file_that_became_shorter_is_told(path: Path, protected: bool):  # noqa: FBT001
    with opened(path) as file, pytest.raises(FileChangedError, match=f"{len(CONTENT):,} bytes"):
        poured(Line(protected=protected), file, len(CONTENT) + 1)


def test_a_file_cut_between_sending_and_hashing_is_told(path: Path):
    class Cutting(Line):
        def send_file(self, descriptor: int, offset: int, count: int) -> int:
            sent = super().send_file(descriptor, offset, count)
            if offset + sent == len(CONTENT):
                os.truncate(path, 1)
            return sent

    with opened(path) as file, pytest.raises(FileChangedError):
        poured(Cutting(), file, len(CONTENT))


def test_a_line_that_breaks_ends_it_at_once(path: Path):
    class Breaking(Line):
        def send_file(self, descriptor: int, offset: int, count: int) -> int:
            if offset > BLOCK:
                raise TransferFailedError("broken")
            return super().send_file(descriptor, offset, count)

    line = Breaking()
    with opened(path) as file, pytest.raises(TransferFailedError):
        poured(line, file, len(CONTENT))
    assert len(line.got) < LARGE


def test_what_the_kernel_sends_in_odd_pieces_is_hashed_once_and_in_order(tmp_path: Path) -> None:
    """As with a limit of bandwidth: none of them ends where a block does."""
    content = random.Random(1).randbytes(3 * BLOCK)
    (tmp_path / "a").write_bytes(content)
    digest, start = hashlib.sha256(), 0
    beside = _Beside.begun(digest)
    assert beside is not None
    with (tmp_path / "a").open("rb") as file, beside:
        for count in (1, BLOCK - 7, 2 * BLOCK - 100, 106):
            beside.read(file.fileno(), start, count)
            start += count
    assert start == len(content)
    assert digest.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("fails", [False, True])
def test_nobody_hashes_any_more_when_it_is_over(tmp_path: Path, *, fails: bool) -> None:
    """The descriptor may be another file's by then."""
    (tmp_path / "a").write_bytes(b"x")
    beside = _Beside.begun(hashlib.sha256())
    assert beside is not None
    before = {thread for thread in threading.enumerate() if thread.name.startswith("ftpsyncd-hash")}
    assert before
    with (tmp_path / "a").open("rb") as file, contextlib.suppress(TransferFailedError), beside:
        beside.read(file.fileno(), 0, 1)
        if fails:
            raise TransferFailedError("The line broke.")
    assert not before & {*threading.enumerate()}
