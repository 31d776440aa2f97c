"""A worker that hangs at a disk is given up: what it left is done by others, once, and what it does then counts no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ftpsyncd.actions import Delete, Done, Failed, Outcome, Probe, RemoveDir, Upload
from ftpsyncd.errors import Retry
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing import crew as crew_module
from ftpsyncd.publishing import deleting
from ftpsyncd.publishing.crew import ENTERING_S, Crew
from ftpsyncd.publishing.lastlook import Folder, open_planned
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteSession
from ftpsyncd.specs import MappingSpec, PublishMode
from tests.waiting import until


class Disk:
    """One that answers a worker when it is told to."""

    def __init__(self) -> None:
        self._asked, self._answers = threading.Event(), threading.Event()

    def wait(self) -> None:
        """On the worker's thread."""
        self._asked.set()
        assert self._answers.wait(60)

    def answer(self) -> None:
        """From now on."""
        self._answers.set()

    def hangs(self) -> None:
        """Return as soon as a worker waits for it."""
        assert self._asked.wait(10)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """What is asked of it hangs soon enough for a test."""
    monkeypatch.setattr(crew_module, "HUNG_S", 0.2)
    return Disk()


@pytest.fixture
def asked(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The paths about which it is asked, and waited for, before they are deleted; by itself, all of "slow"."""
    paths = set[str]()

    def look(folder: Folder, path: str, _still_there: Callable[[int], bool]) -> None:
        if folder.spec.name == "slow" and (not paths or path in paths):
            disk.wait()

    monkeypatch.setattr(deleting, "require_gone", look)
    return paths


class Crewed:
    """A crew, and what it says."""

    def __init__(self, server: MemoryServer, folders: Callable[[str], Folder], most: int, **others: Any) -> None:
        self.outcomes = list[Outcome]()
        self.crew = Crew("web", server.connect, most, folders, self.outcomes.append, **others)

    def given_up(self) -> bool:
        """The engine says so again and again, for as long as the disk does not answer."""
        self.crew.give_up("slow")
        return True

    def give_up(self) -> None:
        """Return when that is answered."""
        until(lambda: self.given_up() and self.outcomes, "it is given up")

    def outlive(self, upload: Upload, disk: Disk) -> None:
        """A worker hangs with a file, and is given up; return when the disk has answered it, and it has ended."""
        self.crew.hand([upload])
        disk.hangs()
        (worker,) = self.crew._workers
        self.give_up()
        disk.answer()
        end_of(worker.thread)


@contextmanager
def crewed(
    disk: Disk, server: MemoryServer, folders: Folder | dict[str, Folder], most: int = 1, **others: Any
) -> Iterator[Crewed]:
    """A crew, which ends when the disk has answered."""
    each = folders.__getitem__ if isinstance(folders, dict) else lambda _name: folders
    it = Crewed(server, each, most, **others)
    try:
        yield it
    finally:
        disk.answer()
        assert it.crew.stop(10)


def end_of(thread: threading.Thread) -> None:
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    """A file that is there."""
    (tmp_path / "a").write_bytes(b"a")
    status = (tmp_path / "a").stat()
    return Upload("slow", "a", Fingerprint(1, status.st_mtime_ns, status.st_ino), replaces=True)


@pytest.mark.usefixtures("asked")
def test_what_a_worker_leaves_that_a_disk_keeps_waiting_is_answered_once_and_done_by_others(
    disk: Disk, tmp_path: Path
) -> None:
    """It was about to delete for two mappings; nothing that it does when the disk answers counts."""
    folders = {name: Folder(MappingSpec(name, tmp_path / name, "web", f"/{name}")) for name in ("slow", "swift")}
    server = MemoryServer(dirs={"/", "/slow", "/swift"})
    server.files = {f"/{name}/{i}": MemoryFile(b"", 0) for name in folders for i in range(3)}
    deletes = [Delete(name, str(i)) for i in range(2) for name in ("swift", "slow")]
    with crewed(disk, server, folders) as it:
        crew, outcomes = it.crew, it.outcomes
        crew.hand(deletes)
        disk.hangs()
        (hung,) = crew._workers
        crew.give_up("swift")
        crew.give_up("another")
        assert not outcomes, "it has not hung for long"
        it.give_up()
        assert {outcome.action for outcome in outcomes} == set(deletes)
        assert len(outcomes) == len(deletes)
        for outcome in outcomes:
            assert isinstance(outcome, Failed)
            assert outcome.error.retry is Retry.SERVER
            assert not outcome.connecting, "the server is not to blame"
        assert crew.connections == server.sessions == 0
        outcomes.clear()
        crew.hand([Delete("swift", "2")])
        until(lambda: outcomes, "another one does the rest")
        assert isinstance(outcomes[0], Done)
        assert crew.connections == 1
        disk.answer()
        end_of(hung.thread)
        assert len(outcomes) == 1
        assert sorted(server.files) == ["/slow/0", "/slow/1", "/slow/2", "/swift/0", "/swift/1"]
        assert crew.connections == server.sessions == 1


@pytest.mark.usefixtures("asked")
def test_a_worker_that_hangs_is_not_given_up_for_the_disk_of_another_mapping(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection would be cut, and what it does begun anew: it may be at a server that takes its time."""
    monkeypatch.setattr(crew_module, "HUNG_S", 0.0)
    server = MemoryServer(files={"/a": MemoryFile(b"", 0)})
    with crewed(disk, server, Folder(MappingSpec("slow", tmp_path, "web", "/"))) as it:
        it.crew.hand([Delete("slow", "a")])
        disk.hangs()
        (worker,) = it.crew._workers
        until(lambda: worker.hangs(time.monotonic(), 0.0), "it hangs")
        it.crew.give_up("another")
        assert not worker.given_up
        assert (it.outcomes, it.crew.connections) == ([], 1)
        disk.answer()
        until(lambda: it.outcomes, "it ends what it does")
        assert isinstance(it.outcomes[0], Done)


@pytest.mark.usefixtures("asked")
def test_what_waits_behind_it_is_answered_where_no_other_thread_can_begin(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was awaited until something else was handed over: with nobody there, nobody could be seen to hang either."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    slow, waiting = Delete("slow", "0"), Probe("web")
    folder = Folder(MappingSpec("slow", tmp_path, "web", "/slow"))
    with crewed(disk, MemoryServer(dirs={"/", "/slow"}), folder) as it:
        it.crew.hand([slow])
        disk.hangs()
        it.crew.hand([waiting])
        with monkeypatch.context() as limits:
            limits.setattr(threading.Thread, "start", refuse)
            it.give_up()
        assert [outcome.action for outcome in it.outcomes] == [slow, waiting]
        assert isinstance(it.outcomes[1], Failed)
        assert (it.outcomes[1].connecting, it.outcomes[1].error.retry) == (True, Retry.MACHINE)


def test_what_waits_behind_a_worker_that_is_given_up_is_done_by_another(
    disk: Disk, asked: set[str], tmp_path: Path
) -> None:
    asked.add("hangs")
    server = MemoryServer(files={"/hangs": MemoryFile(b"", 0)})
    with crewed(disk, server, Folder(MappingSpec("slow", tmp_path, "web", "/"))) as it:
        it.crew.hand([RemoveDir("slow", "hangs"), Probe("web")])
        disk.hangs()
        until(lambda: it.given_up() and len(it.outcomes) == 2, "both are answered")
        assert isinstance(it.outcomes[0], Failed)
        assert isinstance(it.outcomes[1], Done)


@pytest.mark.usefixtures("asked")
def test_who_waits_for_a_connection_has_that_of_a_worker_that_is_given_up(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server allows fewer connections than there are workers by now."""
    monkeypatch.setattr(crew_module, "TEND_EVERY_S", 600.0)
    folder, allowed = Folder(MappingSpec("slow", tmp_path, "web", "/")), [2]
    with crewed(disk, MemoryServer(), folder, most=2, allowed=lambda: allowed[0]) as it:
        crew, outcomes = it.crew, it.outcomes
        crew.hand([Probe("web"), Probe("web")], expected=2)
        until(lambda: len(outcomes) == 2 and crew._idle == 2, "both wait")
        allowed[0] = 1
        crew.hand([RemoveDir("slow", "hangs")])
        disk.hangs()
        crew.hand([Probe("web")])
        until(lambda: crew._idle == 1, "one waits")
        assert len(outcomes) == 2
        until(lambda: it.given_up() and len(outcomes) == 4, "both are answered")
        assert isinstance(outcomes[2], Failed)
        assert isinstance(outcomes[3], Done)


def test_a_worker_that_was_given_up_tells_of_no_file_that_it_would_have_sent(
    disk: Disk, upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may be sending it by then, under the same final name."""

    def open_slowly(spec: MappingSpec, upload: Upload) -> tuple[BinaryIO, int]:
        disk.wait()
        return open_planned(spec, upload)

    monkeypatch.setattr("ftpsyncd.publishing.planned.open_planned", open_slowly)
    folder = Folder(MappingSpec("slow", tmp_path, "web", "/", publish=PublishMode.DIRECT))
    exposed = list[Upload]()
    with crewed(disk, MemoryServer(), folder, exposed=exposed.append) as it:
        it.outlive(upload, disk)
        assert not exposed
        it.crew.hand([upload])
        until(lambda: len(it.outcomes) == 2, "another one sends it")
        assert exposed == [upload]


class Receiving(MemorySession):
    """It has begun to receive a file, and tells so after a while."""

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        for job in jobs:
            for result in super().publish([self._slow(job)]):
                yield result._replace(job=job)

    def _slow(self, job: PublishJob) -> PublishJob:
        server = self.server
        assert isinstance(server, ReceivingServer)

        def begun(resumable: bool) -> None:  # noqa: FBT001 - the port's
            server.disk.wait()
            job.begun(resumable)

        return job._replace(begun=begun)


class ReceivingServer(MemoryServer):
    disk: Disk

    def session(self) -> MemorySession:
        return Receiving(self)


def test_a_worker_that_was_given_up_does_not_tell_that_the_server_receives_its_file(
    disk: Disk, upload: Upload, tmp_path: Path
) -> None:
    """Another one may be sending it by then, under another name: nothing of it is there to be continued."""
    server, received = ReceivingServer(resumable=1), list[tuple[Upload, int]]()
    server.disk = disk

    def tell(upload: Upload, ctime_ns: int) -> None:
        received.append((upload, ctime_ns))

    with crewed(disk, server, Folder(MappingSpec("slow", tmp_path, "web", "/")), received=tell) as it:
        it.outlive(upload, disk)
        assert not received
        it.crew.hand([upload])
        until(lambda: len(it.outcomes) == 2, "another one sends it")
        assert received == [(upload, (tmp_path / "a").stat().st_ctime_ns)]


@pytest.mark.usefixtures("asked")
def test_what_runs_still_when_a_crew_ends_does_nothing_more_at_the_server(disk: Disk, tmp_path: Path) -> None:
    server, outcomes = MemoryServer(files={"/a": MemoryFile(b"", 0)}), list[Outcome]()
    folder = Folder(MappingSpec("slow", tmp_path, "web", "/"))
    crew = Crew("web", server.connect, 1, lambda _name: folder, outcomes.append)
    crew.hand([Delete("slow", "a")])
    try:
        disk.hangs()
        (worker,) = crew._workers
        assert not crew.stop(0.0)
        assert server.sessions == 0
    finally:
        disk.answer()
    end_of(worker.thread)
    assert sorted(server.files) == ["/a"]
    assert not outcomes


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("has_taken", [False, True])
def test_who_was_not_let_in_yet_is_not_waited_for_at_the_end_of_all(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_taken: bool, patient: bool
) -> None:
    """A server that takes half a minute to greet would keep the end waiting; what has begun is waited for in any case."""

    def connect() -> RemoteSession:
        if not has_taken:
            disk.wait()
        return server.connect()

    folder, waits = Folder(MappingSpec("slow", tmp_path, "web", "/")), list[float]()
    server = MemoryServer(files={"/a": MemoryFile(b"", 0)})
    crew = Crew("web", connect, 1, lambda _name: folder, lambda _outcome: None)
    crew.hand([Delete("slow", "a")])
    try:
        disk.hangs()
        (worker,) = crew._workers
        with monkeypatch.context() as limits:
            limits.setattr(worker.thread, "join", waits.append)
            assert crew.stop(600.0, patient=patient) is not (patient or has_taken)
        (waited,) = waits
        assert (waited > ENTERING_S) is (patient or has_taken)
    finally:
        disk.answer()
    end_of(worker.thread)
