"""Workers that hang are noticed; workers that work, or wait for a disk, are left alone."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from ftpsyncd.actions import Delete, Did, Done, Failed, MakeDir, Outcome, Probe, RemoveDir, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.gating import apply_to_server
from ftpsyncd.errors import (
    ConfigError,
    DataUnreachableError,
    FileChangedError,
    FtpsyncdError,
    InternalError,
    LoginRefusedError,
    NoDescriptorError,
    Retry,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
)
from ftpsyncd.events import EventKind
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing import crew as crew_module
from ftpsyncd.publishing.batches import Stream
from ftpsyncd.publishing.crew import STUCK_S, Crew
from ftpsyncd.publishing.lastlook import Folder, open_planned
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.publishing.workers import Worker
from ftpsyncd.remote import pool
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteSession
from ftpsyncd.specs import MappingSpec
from tests.hungdisk import hung
from tests.waiting import until


class Gate:
    """A server whose greeting never comes, until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.outcomes: list[Outcome] = []
        self.tries = 0

    def connect(self) -> RemoteSession:
        self.tries += 1
        self.opened.wait()
        raise ServerUnavailableError("gone")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def crew(gate: Gate) -> Iterator[Crew]:
    folders: dict[str, Folder] = {}
    made = Crew("web", gate.connect, 2, folders.__getitem__, gate.outcomes.append)
    yield made
    gate.opened.set()
    assert made.stop(10)


class Door:
    """A server that greets at once and lets nobody in before it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.knocked = 0
        self.greeted: Callable[[], None] = lambda: None

    def connect(self) -> RemoteSession:
        self.knocked += 1
        self.greeted()
        assert self.opened.wait(60)
        return MemoryServer().connect()


def test_connections_are_ready_when_the_files_come() -> None:
    door, outcomes = Door(), list[Outcome]()
    crew = Crew("web", door.connect, 4, dict[str, Folder]().__getitem__, outcomes.append)
    door.greeted = crew.door.greeted
    try:
        crew.hand([Probe("web")], expected=3)
        until(lambda: door.knocked == 3, "the others connect when the first is greeted")
        door.opened.set()
        until(lambda: crew.connections == 3, "all are let in")
        until(lambda: outcomes, "the outcome")
    finally:
        door.opened.set()
        assert crew.stop(10)


def test_nobody_connects_beside_one_who_was_not_greeted(crew: Crew, gate: Gate) -> None:
    crew.hand([Probe("web")], expected=2)
    until(lambda: gate.tries == 1, "the first tries")
    gate.opened.set()
    until(lambda: gate.outcomes, "the outcome")
    assert crew.stop(10)
    assert gate.tries == 1


def test_a_password_that_cannot_be_opened_now_is_not_the_fault_of_a_server() -> None:
    """It was offline, as it was told, and paused for minutes."""

    def connect() -> RemoteSession:
        error = ConfigError("the file /etc/web-password cannot be read: Too many open files")
        error.__context__ = OSError(errno.EMFILE, "Too many open files")
        raise error

    outcomes = list[Outcome]()
    crew = Crew("web", connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    crew.hand([Probe("web")])
    until(lambda: outcomes, "the outcome")
    assert crew.stop(10)
    [outcome] = outcomes
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, NoDescriptorError)


class Mortal:
    """A server that lives until it dies; the dead one takes its time to refuse."""

    def __init__(self) -> None:
        self.memory = MemoryServer()
        self.dead = False
        self.tries = 0
        self.another = threading.Event()

    def connect(self) -> RemoteSession:
        if not self.dead:
            return self.memory.connect()
        self.tries += 1
        if self.tries > 1:
            self.another.set()
        self.another.wait(0.5)
        raise ServerUnavailableError("The connection was refused.")

    def die(self) -> None:
        self.dead = True
        self.memory.online = False


def test_a_server_that_died_a_moment_ago_is_tried_once_and_not_by_each_worker() -> None:
    server, outcomes = Mortal(), list[Outcome]()
    crew = Crew("web", server.connect, 4, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes, "it works")
        assert isinstance(outcomes.pop(), Done)
        server.die()
        crew.hand([Probe("web") for _ in range(12)])
        until(lambda: len(outcomes) == 12, "all come back")
        assert all(isinstance(each, Failed) for each in outcomes)
        assert server.tries == 1
    finally:
        assert crew.stop(10)


class Refusing(Door):
    """It greets all, and refuses the first password; the thread that told it is not heard of before `opened`."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: Callable[[LoginRefusedError], None] = lambda _error: None
        self.told = 0

    def connect(self) -> RemoteSession:
        self.knocked += 1
        first = self.knocked == 1
        if not first:
            # It is greeted between the refusal and the return of the one who was refused.
            until(lambda: self.told, "the first has told its password")
        self.greeted()
        if first:
            until(lambda: self.knocked > 1, "another connects beside the first")
        self.told += 1
        error = LoginRefusedError("Login incorrect.")
        self.refused(error)
        if first:
            assert self.opened.wait(60)
        raise error


def test_no_password_is_told_while_the_one_who_was_refused_is_on_its_way_back() -> None:
    door, outcomes = Refusing(), list[Outcome]()
    crew = Crew("web", door.connect, 2, dict[str, Folder]().__getitem__, outcomes.append)
    door.greeted, door.refused = crew.door.greeted, crew.door.refused
    try:
        crew.hand([Probe("web"), Probe("web")])
        until(lambda: outcomes, "the second gives up")
        assert door.told == 1
    finally:
        door.opened.set()
        assert crew.stop(10)
    assert door.told == 1


class Broken:
    """What no connection can be opened with, and why."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    def connect(self) -> RemoteSession:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("error", [ConfigError("The password file cannot be read."), OSError(107, "not connected")])
@pytest.mark.parametrize("ahead", [0, 1])
def test_what_lets_nobody_connect_is_told_at_once_for_all_that_was_handed_over(error: Exception, ahead: int) -> None:
    broken, outcomes = Broken(error), list[Outcome]()
    crew = Crew("web", broken.connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        crew.hand([], expected=ahead)
        until(lambda: broken.tries == ahead, "the first try")
        crew.hand([Probe("web") for _ in range(12)])
        until(lambda: len(outcomes) == 12, "all come back")
        for outcome in outcomes:
            assert isinstance(outcome, Failed)
            assert outcome.connecting
            assert isinstance(outcome.error, ConfigError | InternalError)
        assert broken.tries == 1
    finally:
        assert crew.stop(10)


def test_a_thread_that_cannot_begin_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = list[Outcome]()
    crew = Crew("web", MemoryServer().connect, 1, dict[str, Folder]().__getitem__, outcomes.append)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    try:
        with monkeypatch.context() as limits:
            limits.setattr(threading.Thread, "start", refuse)
            crew.hand([Probe("web")])
        (outcome,) = outcomes
        assert isinstance(outcome, Failed)
        assert outcome.connecting
        assert outcome.error.retry is Retry.MACHINE, "the server is not to blame"
        assert "TasksMax" in outcome.error.remedy
        outcomes.clear()
        crew.hand([Probe("web")], afresh=True)
        until(lambda: outcomes, "it works again")
        assert isinstance(outcomes[0], Done)
    finally:
        assert crew.stop(10)


class Slow(MemorySession):
    """Its answers take a moment."""

    def noop(self) -> None:
        super().noop()
        time.sleep(0.001)


class SlowServer(MemoryServer):
    def session(self) -> MemorySession:
        return Slow(self)


class Crowded:
    """A server that lets in so many at a time, and an engine that hands over again what came back."""

    def __init__(self, most: int, connections: int, *, again: bool = True, hears: bool = True) -> None:
        self.memory = SlowServer(max_sessions=most)
        self.refused = 0
        self.done = 0
        self.back = 0
        self.allowed = connections
        self._again = again
        self._hears = hears
        self.crew = Crew(
            "web",
            self.connect,
            connections,
            dict[str, Folder]().__getitem__,
            self.deliver,
            allowed=lambda: self.allowed,
        )

    def connect(self) -> RemoteSession:
        try:
            return self.memory.connect()
        except TooManyConnectionsError:
            self.refused += 1
            raise

    def deliver(self, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            self.done += 1
            return
        assert isinstance(outcome, Failed)
        assert outcome.connecting
        self.back += 1
        self.allowed = max(1, self.allowed - self._hears)
        if self._again:
            self.crew.hand([outcome.action])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_who_was_let_in_does_the_work_and_nobody_else_asks_again_and_again(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "CROWDED_S", 0.0)
    server = Crowded(most, 4)
    try:
        for handed in range(10, 501, 10):
            server.crew.hand([Probe("web") for _ in range(10)])
            until(lambda handed=handed: server.done >= handed - 5, "half of it is done")  # type: ignore[misc]
        until(lambda: server.done == 500, "all of it is done")
        assert server.refused == 4 - most
        assert server.allowed == most
    finally:
        assert server.crew.stop(10)


def test_a_server_that_refused_a_connection_is_not_asked_at_once_for_another() -> None:
    """The engine has not heard of it yet."""
    server = Crowded(1, 4, hears=False)
    try:
        server.crew.hand([Probe("web") for _ in range(500)])
        until(lambda: server.done == 500, "all of it is done")
        assert 1 <= server.refused <= 3
    finally:
        assert server.crew.stop(10)


def test_a_server_that_lets_nobody_in_is_not_asked_once_for_each_action() -> None:
    server = Crowded(0, 2, again=False)
    try:
        server.crew.hand([Probe("web") for _ in range(100)])
        until(lambda: server.back == 100, "all come back")
        assert server.refused <= 2
    finally:
        assert server.crew.stop(10)


def test_what_is_handed_over_without_a_pause_goes_to_where_the_host_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a daemon that always has something to do publishes at a machine where nobody looks, for as long as it runs."""
    monkeypatch.setattr(pool, "LOOKED_UP_S", -1.0)
    memory, used, outcomes = MemoryServer(), list[MemorySession](), list[Outcome]()

    class Looking(MemorySession):
        asked = 0

        def noop(self) -> None:
            used.append(self)
            super().noop()

        def is_elsewhere(self) -> bool:
            self.asked += 1
            return self.asked > 10

    monkeypatch.setattr(MemoryServer, "session", lambda server: Looking(server))  # noqa: PLW0108 - a class is not bound
    crew = Crew("web", memory.connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        crew.hand([Probe("web") for _ in range(30)])
        until(lambda: len(outcomes) == 30, "all is done")
        assert [outcome for outcome in outcomes if isinstance(outcome, Failed)] == []
        assert len(set(used)) > 1
    finally:
        assert crew.stop(10)


def test_more_connections_are_opened_when_more_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "CROWDED_S", 0.0)
    server = Crowded(1, 3)
    try:
        server.crew.hand([Probe("web") for _ in range(30)])
        until(lambda: server.done == 30, "all is done")
        assert server.crew.connections == 1
        server.memory.max_sessions, server.allowed = 3, 3

        def busy() -> bool:
            server.crew.hand([Probe("web") for _ in range(30)])
            return server.crew.connections == 3

        until(busy, "the others are opened")
    finally:
        assert server.crew.stop(10)


def test_what_is_handed_over_afresh_asks_at_once_for_connections_that_were_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew_module, "CROWDED_S", 600.0)
    server = Crowded(1, 3, hears=False)
    try:
        server.crew.hand([Probe("web") for _ in range(100)])
        until(lambda: server.done == 100, "all is done over one")
        assert server.refused
        server.memory.max_sessions = 3

        def busy(*, afresh: bool) -> bool:
            server.crew.hand([Probe("web") for _ in range(30)], afresh=afresh)
            return server.crew.connections == 3

        assert not busy(afresh=False)
        until(lambda: busy(afresh=True), "the others are opened")
    finally:
        assert server.crew.stop(10)


def test_what_a_worker_puts_back_is_the_next_to_be_taken(crew: Crew) -> None:
    """Files that follow one another keep their order; here, no connection is opened that would take any."""
    first, second = Probe("first"), Probe("second")
    crew.hand([first, second])
    assert crew.next() == first
    crew.put_back(first)
    assert (crew.next(), crew.next(), crew.next()) == (first, second, None)


def test_what_a_worker_puts_back_is_done_at_once_by_another_that_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew_module, "TEND_EVERY_S", 600.0)
    outcomes = list[Outcome]()
    crew = Crew("web", MemoryServer().connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes and crew._idle, "it is done, and the worker waits")
        crew.put_back(Probe("web"))
        until(lambda: len(outcomes) == 2, "so is what was put back")
    finally:
        assert crew.stop(10)


def test_it_is_told_once_that_a_connection_came_about_after_that_was_in_doubt() -> None:
    server, outcomes, told = MemoryServer(online=False), list[Outcome](), list[int]()
    crew = Crew(
        "web",
        server.connect,
        1,
        dict[str, Folder]().__getitem__,
        outcomes.append,
        opened=lambda: told.append(len(outcomes)),
    )
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes, "there is none")
        crew.hand([Probe("web")], afresh=True)
        until(lambda: len(outcomes) == 2, "there is still none")
        assert not told
        server.online = True
        crew.hand([Probe("web"), Probe("web")], afresh=True)
        until(lambda: len(outcomes) == 4, "it works")
        assert told == [2], "before what is done over it"
        crew.door.open().close()
        assert told == [2], "a further one is no news"
    finally:
        assert crew.stop(10)


def test_what_is_handed_over_afresh_is_tried_also_while_an_earlier_try_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by `retry`, when the server has come back: it came back itself with what had been found before."""
    server, outcomes = MemoryServer(online=False), list[Outcome]()
    crew = Crew("web", server.connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    give_back, given_back = crew._without_session, list[FtpsyncdError]()

    def give_back_late(error: FtpsyncdError, tries: int) -> None:
        if not given_back:
            given_back.append(error)
            server.online = True
            crew.hand([Probe("web")], afresh=True)
        give_back(error, tries)

    monkeypatch.setattr(crew, "_without_session", give_back_late)
    try:
        crew.hand([Probe("web")])
        until(lambda: len(outcomes) == 2, "both are told of")
        assert given_back
        assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    finally:
        assert crew.stop(10)


def test_a_server_that_answers_nothing_is_left_alone_when_all_connections_have_ended_twice() -> None:
    server, outcomes = MemoryServer(), list[Outcome]()
    server.fail("NOOP", ServerUnavailableError("It ended."), times=1000)
    crew = Crew("web", server.connect, 2, dict[str, Folder]().__getitem__, outcomes.append)

    def back(count: int) -> list[Failed]:
        until(lambda: len(outcomes) >= count, "all come back")
        return [outcome for outcome in outcomes if isinstance(outcome, Failed)]

    def connects() -> int:
        return [verb for verb, _ in server.log].count("CONNECT")

    try:
        crew.hand([Probe("web") for _ in range(50)])
        failed = back(50)
        assert 1 <= sum(outcome.mute for outcome in failed) <= 2
        assert 5 <= sum(not outcome.connecting for outcome in failed) <= connects()
        assert connects() <= 6
        before = connects()
        crew.hand([Probe("web")], afresh=True)
        assert back(51)[-1].mute, "it is still so"
        # One that was opened and had nothing to do may be there still.
        assert connects() <= before + 1
        server._faults.clear()
        crew.hand([Probe("web")], afresh=True)
        until(lambda: len(outcomes) == 52, "it works again")
        assert isinstance(outcomes[-1], Done)
        server.fail("NOOP", ServerUnavailableError("It ended."))
        crew.hand([Probe("web")])
        assert not back(53)[-1].mute, "counted anew"
    finally:
        assert crew.stop(10)


class Failing(MemorySession):
    """What it does fails, and with some errors it cannot go on."""

    def __init__(self, server: MemoryServer, error: FtpsyncdError, *, ends: bool) -> None:
        super().__init__(server)
        self._error = error
        self._ends = ends

    def noop(self) -> None:
        if self._ends:
            self.cut()
        raise self._error


@pytest.mark.parametrize(
    ("error", "ends"),
    [(TlsError("No TLS for data."), False), (FileChangedError("It changed while it was sent."), True)],
    ids=["the connection goes on", "it was ended from here"],
)
def test_what_is_no_silence_of_the_server_does_not_count_as_such(error: FtpsyncdError, *, ends: bool) -> None:
    class Server(MemoryServer):
        def session(self) -> MemorySession:
            return Failing(self, error, ends=ends)

    server, outcomes = Server(), list[Outcome]()
    crew = Crew("web", server.connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        for tries in range(1, 10):
            crew.hand([Probe("web")])
            until(lambda tries=tries: len(outcomes) == tries, "it fails")  # type: ignore[misc]
        for outcome in outcomes:
            assert isinstance(outcome, Failed)
            assert (outcome.error, outcome.mute, outcome.connecting) == (error, False, False)
    finally:
        assert crew.stop(10)


class Vanishing(MemorySession):
    """It ends, and tells nothing of what it was to send."""

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        next(iter(jobs), None)
        self.cut()
        return iter(())


class Stillborn(MemorySession):
    """It has ended when it was just opened."""

    @property
    def usable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [Vanishing, Stillborn])
def test_a_server_whose_connections_end_without_any_outcome_is_left_alone(
    tmp_path: Path, kind: type[MemorySession]
) -> None:
    """What was to be done would be looked at, and begun again, at once and for ever."""

    class Server(MemoryServer):
        def session(self) -> MemorySession:
            return kind(self)

    (tmp_path / "a").write_bytes(b"content")
    upload = Upload("m", "a", fingerprint_of((tmp_path / "a").stat()))
    folder = Folder(MappingSpec("m", tmp_path, "web", "/", include=("*",)), root_identity(tmp_path))
    server, outcomes = Server(), list[Outcome]()
    crew = Crew("web", server.connect, 1, lambda _name: folder, outcomes.append)

    def is_down() -> bool:
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        return bool(failed) and failed[-1].connecting

    try:
        for tries in range(1, 6):
            crew.hand([upload])
            until(lambda tries=tries: len(outcomes) == tries, "it is answered")  # type: ignore[misc]
            if is_down():
                break
        assert is_down()
        assert [verb for verb, _ in server.log].count("CONNECT") <= 4
    finally:
        assert crew.stop(10)


@pytest.mark.parametrize(
    "error",
    [DataUnreachableError("None comes about.", reply="425 No."), TlsError("Not under TLS.", reply="534 No.")],
    ids=["refused", "TLS"],
)
def test_where_all_connections_end_for_want_of_data_that_is_what_is_told(error: FtpsyncdError) -> None:
    """With many files; a delete then had it told as working again, or it was told as one that refuses the login."""

    class Server(MemoryServer):
        def session(self) -> MemorySession:
            return Failing(self, error, ends=True)

    server, outcomes = Server(), list[Outcome]()
    crew = Crew("web", server.connect, 2, dict[str, Folder]().__getitem__, outcomes.append)
    queue = Queue(2)
    queue.gate.answered()
    try:
        crew.hand([Probe("web") for _ in range(50)])
        until(lambda: len(outcomes) == 50, "all come back")
    finally:
        assert crew.stop(10)
    last = outcomes[-1]
    assert isinstance(last, Failed)
    assert last.connecting
    assert apply_to_server(queue, last, 1, 0.0) is EventKind.SERVER_OFFLINE
    assert (queue.gate.state, queue.gate.cap) == (Breaker.OFFLINE, 2)
    assert queue.gate.message == f"{error.message} {error.remedy}"
    assert apply_to_server(queue, Done(Delete("m", "a"), Did.DELETED), 1, 1.0) is None
    assert (queue.gate.state, queue.gate.cap) == (Breaker.OFFLINE, 2)


def test_a_connection_that_ends_under_many_actions_has_ended_once(tmp_path: Path) -> None:
    folder = Folder(MappingSpec("m", tmp_path, "web", "/"), root_identity(tmp_path))
    server, outcomes = MemoryServer(files={f"/{n}": MemoryFile(b"", 0) for n in range(20)}), list[Outcome]()
    server.fail("DELE", ServerUnavailableError("It ended."))
    crew = Crew("web", server.connect, 1, lambda _name: folder, outcomes.append)
    try:
        crew.hand([Delete("m", str(n)) for n in range(20)])
        until(lambda: len(outcomes) == 20, "all come back")
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        assert len(failed) > 3
        assert not any(outcome.mute or outcome.connecting for outcome in failed)
    finally:
        assert crew.stop(10)


def test_what_was_taken_is_answered_also_where_nobody_reckoned_with_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def perform(_publisher: Publisher, _session: RemoteSession, stream: Stream) -> Iterator[Outcome]:
        taken = [stream.next(), stream.next()]
        if all(taken):
            raise KeyError("a bug")
        yield Done(Probe("nothing"), Did.ANSWERED)

    monkeypatch.setattr(Publisher, "perform", perform)
    outcomes = list[Outcome]()
    crew = Crew("web", MemoryServer().connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    try:
        crew.hand([Probe("a"), Probe("b")])
        until(lambda: len(outcomes) == 2, "both are answered")
        for outcome, name in zip(outcomes, ("a", "b"), strict=True):
            assert isinstance(outcome, Failed)
            assert outcome.action == Probe(name)
            assert isinstance(outcome.error, InternalError)
            assert "KeyError" in outcome.error.message
            assert outcome.unanswered, "nobody knows what was said"
    finally:
        assert crew.stop(10)


def test_a_directory_that_was_made_empty_may_hold_something_after_an_outage(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"a")
    status = (tmp_path / "d/a").stat()
    upload = Upload("m", "d/a", Fingerprint(1, status.st_mtime_ns, status.st_ino))
    folder = Folder(MappingSpec("m", tmp_path, "web", "/"))
    server, outcomes = MemoryServer(), list[Outcome]()
    crew = Crew("web", server.connect, 1, lambda _name: folder, outcomes.append)
    try:
        crew.hand([MakeDir("m", "d", 0)])
        until(lambda: outcomes, "it is made")
        server.online = False
        crew.hand([Probe("web")])
        until(lambda: len(outcomes) == 2, "the connection has ended")
        crew.hand([Probe("web")])
        until(lambda: len(outcomes) == 3, "there is no other one")
        server.online = True
        server.files["/d/a"] = MemoryFile(b"a", status.st_mtime_ns // 10**9)
        crew.hand([upload], afresh=True)
        until(lambda: len(outcomes) == 4, "it is looked at")
        assert isinstance(outcomes[3], Done)
        assert outcomes[3].did is Did.ADOPTED
    finally:
        assert crew.stop(10)


def test_a_server_that_begins_to_receive_large_files_answers_though_no_line_lasts_for_one(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100)
    status = (tmp_path / "large").stat()
    upload = Upload("m", "large", Fingerprint(100, status.st_mtime_ns, status.st_ino))
    server, outcomes = MemoryServer(resumable=50, block=10), list[Outcome]()
    server.fail("STOR", ServerUnavailableError("It ended."), after=True, times=1000)
    folder = Folder(MappingSpec("m", tmp_path, "web", "/"))
    crew = Crew("web", server.connect, 1, lambda _name: folder, outcomes.append)
    try:
        for tries in range(1, 10):
            crew.hand([upload])
            until(lambda tries=tries: len(outcomes) == tries, "the line ends")  # type: ignore[misc]
        assert not any(isinstance(outcome, Failed) and (outcome.mute or outcome.connecting) for outcome in outcomes)
        assert [verb for verb, _ in server.log].count("CONNECT") == 9
    finally:
        assert crew.stop(10)


@pytest.mark.parametrize("known", [b"", b"h" * 32], ids=["new", "changed, perhaps only touched"])
def test_a_large_file_keeps_none_waiting_that_other_connections_could_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bytes
) -> None:
    """Eight files are asked about in one round trip; sent by one connection, seven might wait for the first for hours."""
    monkeypatch.setattr("ftpsyncd.publishing.batches.LARGE_BYTES", 1000)
    sizes = {"a film": 5000, **{f"picture {number}": 10 for number in range(7)}}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    seen = {name: fingerprint_of((tmp_path / name).stat()) for name in sizes}
    uploads = [Upload("m", name, print_, known, replaces=bool(known)) for name, print_ in seen.items()]
    sent = threading.Event()

    def open_slowly(spec: MappingSpec, upload: Upload) -> tuple[BinaryIO, int]:
        if upload.path == "a film":
            assert sent.wait(60)
        return open_planned(spec, upload)

    for module in ("planned", "existing"):
        monkeypatch.setattr(f"ftpsyncd.publishing.{module}.open_planned", open_slowly)
    folder, outcomes = Folder(MappingSpec("m", tmp_path, "web", "/")), list[Outcome]()
    crew = Crew("web", MemoryServer().connect, 2, lambda _name: folder, outcomes.append)
    try:
        crew.hand(uploads)
        until(lambda: len(outcomes) == 7, "the others are sent")
        assert "a film" not in {outcome.action.path for outcome in outcomes}
        sent.set()
        until(lambda: len(outcomes) == 8, "and so is the large one")
        assert all(isinstance(outcome, Done) for outcome in outcomes)
    finally:
        sent.set()
        assert crew.stop(10)


def later(passed_s: float) -> float:
    return time.monotonic() + passed_s


def test_who_has_nothing_to_do_does_not_hang(crew: Crew) -> None:
    assert not crew.stuck(later(STUCK_S + 1))


def test_a_worker_that_shows_no_sign_hangs_until_it_shows_one(crew: Crew, gate: Gate) -> None:
    crew.hand([Probe("web")])
    until(lambda: crew.stuck(later(STUCK_S + 1)), "the worker has begun")
    assert not crew.stuck(later(STUCK_S / 2))
    gate.opened.set()
    until(lambda: gate.outcomes, "the outcome")
    until(lambda: not crew.stuck(later(STUCK_S + 1)), "it works again")


def test_a_worker_that_sends_does_not_hang_however_long_that_takes() -> None:
    worker, progress = Worker(lambda _worker: None, "sends"), Progress("m", "film.mp4", 10**12)
    with worker.at_work():
        worker.show(progress)
        assert worker.hangs(later(31), 30)
        for minute in range(1, 10):
            progress.sent_bytes += 1000
            assert not worker.hangs(later(60 * minute), 30)
            assert not worker.hangs(later(60 * minute + 29), 30)
            assert worker.hangs(later(60 * minute + 31), 30)


def test_a_crew_is_not_stuck_while_one_worker_works(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    crew = Crew("web", gate.connect, 2, dict[str, Folder]().__getitem__, gate.outcomes.append)
    try:
        crew.hand([Probe("web"), Probe("web")])
        until(lambda: sum(worker.is_at_work() for worker in crew._workers) == 2, "both have begun")
        assert crew.stuck(later(STUCK_S + 1))
        (one, _) = crew._workers
        monkeypatch.setattr(one, "_at_work_since", later(STUCK_S / 2))
        assert not crew.stuck(later(STUCK_S + 1))
    finally:
        gate.opened.set()
        assert crew.stop(10)


def test_what_is_recalled_is_done_by_nobody_else(crew: Crew) -> None:
    """Here, no connection is opened over which any would be done."""
    crew.hand([RemoveDir("a", "1"), RemoveDir("b", "2"), RemoveDir("a", "3")])
    assert crew.recall("a") == [RemoveDir("a", "1"), RemoveDir("a", "3")]
    assert (crew.next(), crew.next()) == (RemoveDir("b", "2"), None)


def test_a_worker_that_waits_for_a_disk_is_not_helped_by_a_restart(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    crew.hand([Probe("web")])
    until(lambda: crew.stuck(later(STUCK_S + 1)), "the worker has begun")
    monkeypatch.setattr(Worker, "waits_for_disk", lambda _worker: True)
    assert not crew.stuck(later(STUCK_S + 1))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("greeted", [False, True])
def test_it_is_seen_that_a_worker_waits_for_a_disk(tmp_path: Path, *, greeted: bool) -> None:
    """One that never answered, and one that did until now: threads that ask them are in different states."""
    (tmp_path / "disk").mkdir()
    begin = threading.Event()

    def look(_worker: Worker) -> None:
        assert begin.wait(10)
        with suppress(OSError):
            (tmp_path / "disk/file").stat()

    worker = Worker(look, "looks at a disk")
    with hung(tmp_path / "disk", greeted=greeted):
        worker.thread.start()
        assert not worker.waits_for_disk(), "it waits for somebody else"
        begin.set()
        until(worker.waits_for_disk, "it is seen to wait for the disk", 10)
    worker.thread.join(10)
    assert not worker.waits_for_disk()


def test_one_connection_is_asked_for_whatever_is_known_of_the_server() -> None:
    """Else it would be told that the system lets no thread begin."""
    server, outcomes = MemoryServer(), list[Outcome]()
    crew = Crew("web", server.connect, 1, dict[str, Folder]().__getitem__, outcomes.append, allowed=lambda: 0)
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes, "the outcome")
        assert isinstance(outcomes[0], Done)
    finally:
        assert crew.stop(10)
    assert server.sessions == 0, "it is closed at the end"


def test_no_connection_outlives_the_last_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would close it before the next file comes, however long that takes."""
    for name, seconds in {"TEND_EVERY_S": 0.02, "IDLE_CLOSE_S": 0.5, "IDLE_THREAD_S": 0.5}.items():
        monkeypatch.setattr(crew_module, name, seconds)
    server, outcomes = MemoryServer(), list[Outcome]()
    crew = Crew("web", server.connect, 1, dict[str, Folder]().__getitem__, outcomes.append)
    tend = crew._pool.tend

    def tend_for_long() -> None:
        """As where the last of them takes its time for a sign of life: the time of the thread is over meanwhile."""
        tend()
        time.sleep(0.6)

    monkeypatch.setattr(crew._pool, "tend", tend_for_long)
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes, "it works")
        until(lambda: not crew._workers, "the thread has ended")
        assert server.sessions == 0
    finally:
        assert crew.stop(10)


def test_connections_that_nobody_uses_are_kept_alive_then_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"TEND_EVERY_S": 0.02, "IDLE_CLOSE_S": 0.5, "IDLE_THREAD_S": 0.5}.items():
        monkeypatch.setattr(crew_module, name, seconds)
    server, outcomes = MemoryServer(), list[Outcome]()
    folders = dict[str, Folder]().__getitem__
    crew = Crew("web", server.connect, 2, folders, outcomes.append, silence_s=lambda: 0.1)
    try:
        crew.hand([Probe("web")])
        until(lambda: outcomes, "it works")
        until(lambda: server.sessions == 0, "the connection is closed")
        until(lambda: not crew._workers, "the thread has ended")
        asked = [verb for verb, _ in server.log].count("NOOP")
        assert asked >= 3  # the probe's own, and signs of life
        outcomes.clear()
        crew.hand([Probe("web")])
        until(lambda: outcomes, "it works again")
        assert isinstance(outcomes[0], Done)
    finally:
        assert crew.stop(10)
