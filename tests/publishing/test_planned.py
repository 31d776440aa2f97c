"""One planned file during one try: what it is sent as, and when it is looked at once more."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.core import names
from ftpsyncd.errors import FileChangedError, PlaceTakenError
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.publishing import planned
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import LOOK_EVERY_S, PlannedFile, Progress
from ftpsyncd.remote.memory import MemoryFile, MemoryServer
from ftpsyncd.specs import MappingSpec, PublishMode
from tests.core.vocabulary import M

CONTENT = b"content"
REMOTE = "/htdocs/a.jpg"


class Clock:
    """Monotonic seconds that the test tells."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Try:
    """A try of a file that is there."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "a.jpg"
        self.path.write_bytes(CONTENT)
        self.spec = MappingSpec(M, tmp_path, "web", "/htdocs")
        self.server = MemoryServer()
        self.session = self.server.connect()
        self.shown: list[Progress] = []

    @property
    def ctime_ns(self) -> int:
        return self.path.stat().st_ctime_ns

    def begins(self, *, vacant_at: float | None = None, **changes: Any) -> PlannedFile:
        upload = Upload(M, "a.jpg", fingerprint_of(self.path.stat()))._replace(**changes)
        folder = Folder(self.spec, whose="ours ")
        return PlannedFile(self.session, folder, upload, self.shown.append, vacant_at=vacant_at)

    def directly(self) -> None:
        self.spec = self.spec._replace(publish=PublishMode.DIRECT)

    def is_taken(self) -> None:
        self.server.files[REMOTE] = MemoryFile(b"foreign", 1)


@pytest.fixture
def a_try(tmp_path: Path) -> Try:
    return Try(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(planned, "time", clock)
    return clock


def test_it_is_sent_under_a_name_of_its_own_or_the_one_that_was_planned_or_its_final_one(a_try: Try) -> None:
    file = a_try.begins()
    assert (file.remote, file.temporary, file.direct) == (REMOTE, names.temporary(REMOTE, f"ours {M}"), False)
    another = "/htdocs/a.jpg.0123abcd.filepart"
    assert a_try.begins(temporary=another).temporary == another
    a_try.directly()
    file = a_try.begins(temporary=another)
    assert (file.remote, file.temporary, file.direct) == (REMOTE, REMOTE, True)


def test_a_part_is_continued_only_if_it_is_one_of_this_very_content(a_try: Try) -> None:
    ctime_ns = a_try.ctime_ns
    assert a_try.begins(resume=ctime_ns).resume
    assert not a_try.begins(resume=ctime_ns + 1).resume
    assert not a_try.begins(resume=0).resume
    a_try.directly()
    assert not a_try.begins(resume=a_try.ctime_ns).resume


def test_what_changes_after_that_is_not_sent_behind_the_part(a_try: Try) -> None:
    file = a_try.begins(resume=a_try.ctime_ns)
    status = a_try.path.stat()
    a_try.path.write_bytes(CONTENT[::-1])
    os.utime(a_try.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    while a_try.ctime_ns == status.st_ctime_ns:
        os.utime(a_try.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(FileChangedError, match="since it was planned"):
        file.open()


def test_its_progress_is_shown_from_when_it_is_opened(a_try: Try, clock: Clock) -> None:
    file = a_try.begins()
    assert a_try.shown == []
    clock.now += 5.0
    with file.open():
        (progress,) = a_try.shown
        assert (progress.started, progress.moved, progress.sent_bytes) == (clock.now, clock.now, 0)
        assert file.ctime_ns == a_try.ctime_ns
        clock.now += 1.0
        file.sent(3)
        assert (progress.sent_bytes, progress.kept_bytes) == (3, 0)
        assert (progress.started, progress.moved) == (clock.now - 1.0, clock.now)


def test_what_an_earlier_try_had_sent_does_not_count_as_sent_now(a_try: Try, clock: Clock) -> None:
    file = a_try.begins(resume=a_try.ctime_ns)
    with file.open():
        (progress,) = a_try.shown
        clock.now += 1.0
        file.sent(4)
        assert (progress.kept_bytes, progress.sent_bytes, progress.started) == (4, 4, clock.now)
        clock.now += 0.5
        file.sent(6)
        assert (progress.kept_bytes, progress.sent_bytes, progress.started) == (4, 6, clock.now - 0.5)


def test_it_is_looked_at_every_moment_while_it_is_sent(a_try: Try, clock: Clock) -> None:
    file = a_try.begins()
    with file.open():
        clock.now += LOOK_EVERY_S
        file.sent(1)
        a_try.path.unlink()
        clock.now += LOOK_EVERY_S - 0.5
        file.sent(2)
        clock.now += 0.5
        with pytest.raises(FileChangedError):
            file.sent(3)


@pytest.mark.parametrize("hidden", [True, False])
def test_what_comes_to_its_place_meanwhile_stays(
    a_try: Try, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, hidden: bool
) -> None:
    """Where the file is hidden until it is complete, that is asked for at its end; else before anything is sent."""
    monkeypatch.setattr(type(a_try.session), "hides", lambda _self, _path: hidden)
    sha256 = hashlib.sha256(CONTENT).digest()
    file = a_try.begins(vacant_at=clock.now)
    a_try.is_taken()
    with file.open() as opened:
        a_try.server.files[file.temporary] = MemoryFile(CONTENT, 1)
        file.confirm(opened, sha256)  # a moment ago it was not there
        clock.now += LOOK_EVERY_S
        with pytest.raises(PlaceTakenError):
            file.confirm(opened, sha256)
        free = a_try.begins()
        with free.open() as another:
            free.confirm(another, sha256)  # it need not stay
    again = a_try.begins(vacant_at=clock.now - LOOK_EVERY_S)
    if hidden:
        again.open().close()
    else:
        with pytest.raises(PlaceTakenError):
            again.open()


def test_what_is_sent_directly_is_asked_for_before_and_not_behind_itself(a_try: Try, clock: Clock) -> None:
    a_try.directly()
    file = a_try.begins(vacant_at=clock.now - LOOK_EVERY_S)
    with file.open() as opened:
        a_try.is_taken()
        file.confirm(opened, hashlib.sha256(CONTENT).digest())
    with pytest.raises(PlaceTakenError):
        a_try.begins(vacant_at=clock.now - LOOK_EVERY_S).open()


@pytest.mark.parametrize("resume", [False, True])
def test_a_hash_tells_that_it_is_the_same_but_not_of_a_part(a_try: Try, *, resume: bool) -> None:
    file = a_try.begins(resume=a_try.ctime_ns if resume else 0)
    with file.open() as opened:

        def confirm() -> None:
            file.confirm(opened, hashlib.sha256(CONTENT).digest())

        confirm()
        before = a_try.ctime_ns
        while a_try.ctime_ns == before:
            a_try.path.chmod(0o640)
            a_try.path.chmod(0o600)
        if resume:
            with pytest.raises(FileChangedError, match="while it was sent"):
                confirm()
        else:
            confirm()
