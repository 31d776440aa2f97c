"""What systemd is told, beat by beat: ready once, alive only while work can go on, and patience during a long start."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest
from loguru import logger

from ftpsyncd import systemd
from ftpsyncd.config import Config
from ftpsyncd.daemon import process
from ftpsyncd.daemon.process import EXTEND_EVERY_S, Herald, _reload, _supervise
from ftpsyncd.daemon.service import Service
from ftpsyncd.daemon.starting import DISKS_S, Wish, Wishes
from ftpsyncd.descriptors import FILES
from ftpsyncd.errors import ConfigError, ControlError, LedgerError, NoDescriptorError, NoMemoryError
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status
from tests.supervisor import Told, supervised
from tests.waiting import until


class Fake:
    """A service in whatever state the test wants."""

    def __init__(self) -> None:
        self.engine_turns = True
        self.workers_hang = False
        self.watchers_up = False
        self.disks_silent = False

    def turning(self) -> bool:
        return self.engine_turns

    def stuck(self) -> bool:
        return self.workers_hang

    def watching(self) -> bool:
        return self.watchers_up

    def silent(self) -> bool:
        return self.disks_silent

    def status(self) -> Status:
        return Status(DaemonStatus(running=True, pid=1, version="0", uptime_s=0.0), (), (), ())


class Up(Fake):
    """A service that runs."""

    config = SimpleNamespace(mappings={}, path=Path("/etc/ftpsyncd/config.yaml"))

    def require_engine(self) -> None:
        pass

    def decisions(self) -> list[tuple[str, MappingState, str]]:
        return []


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What systemd was told since the last time, without the status line."""
    with supervised(tmp_path, monkeypatch) as read:
        yield lambda: [line for line in read() if not line.startswith("STATUS=")]


def test_ready_is_said_once_and_when_every_watcher_is_up(told: Told) -> None:
    service = Fake()
    herald = Herald(service, 0.0)
    herald.beat(1.0)
    assert told() == ["WATCHDOG=1"]
    service.watchers_up = True
    herald.beat(2.0)
    assert told() == ["READY=1", "WATCHDOG=1"]
    herald.beat(3.0)
    assert told() == ["WATCHDOG=1"]


def test_that_it_is_ready_is_said_until_that_is_heard(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd was busy in that moment, it waited for a daemon that was up, and killed it."""
    monkeypatch.setattr(systemd, "_SEND_TIMEOUT_S", 0.01)
    service = Fake()
    service.watchers_up = True
    herald = Herald(service, 0.0)
    while systemd.watchdog():
        pass
    herald.beat(1.0)
    assert set(told()) == {"WATCHDOG=1"}
    herald.beat(2.0)
    assert told() == ["READY=1", "WATCHDOG=1"]


def test_an_engine_that_does_not_turn_feeds_no_watchdog(told: Told) -> None:
    service = Fake()
    service.watchers_up = True
    herald = Herald(service, 0.0)
    herald.beat(1.0)
    told()
    service.engine_turns = False
    herald.beat(2.0)
    assert told() == []
    service.engine_turns = True
    herald.beat(3.0)
    assert told() == ["WATCHDOG=1"]


def test_workers_that_hang_feed_no_watchdog(told: Told) -> None:
    service = Fake()
    service.watchers_up = service.workers_hang = True
    herald = Herald(service, 0.0)
    herald.beat(1.0)
    assert told() == ["READY=1"]


def test_a_long_first_look_asks_for_more_time_again_and_again_before_it_is_over(told: Told) -> None:
    service = Fake()
    herald = Herald(service, 0.0)
    asked = []
    for second in range(1, 61):
        herald.beat(float(second))
        asked += [second for line in told() if line == f"EXTEND_TIMEOUT_USEC={int(4 * EXTEND_EVERY_S * 1e6)}"]
    assert len(asked) == 3
    assert all(later - earlier < 4 * EXTEND_EVERY_S for earlier, later in pairwise(asked))
    service.watchers_up = True
    for second in range(61, 121):
        herald.beat(float(second))
        assert not [line for line in told() if line.startswith("EXTEND")]


def test_disks_that_do_not_answer_are_not_waited_for_any_longer(told: Told) -> None:
    service = Fake()
    service.disks_silent = True
    herald = Herald(service, 0.0)
    herald.beat(DISKS_S - 1)
    assert "READY=1" not in told()
    herald.beat(DISKS_S + 1)
    assert "READY=1" in told()


@pytest.mark.parametrize("allowed", [2048, 300])
def test_as_many_files_may_be_open_as_the_system_allows(allowed: int) -> None:
    """Begun by hand or by a user's systemd, 400 folders were too many for the 1,024 that it begins with."""
    script = f"""
import resource
from ftpsyncd.descriptors import allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {allowed}))
allow_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed)] * 2


def test_no_more_files_are_allowed_than_in_the_unit() -> None:
    unit = (Path(__file__).parents[2] / "systemd/ftpsyncd.service").read_text()
    assert f"LimitNOFILE={FILES}\n" in unit


def test_a_reload_does_not_end_a_start(told: Told) -> None:
    def again() -> Config:
        wishes.put((Wish.STOP, None))
        raise ConfigError("it is wrong")

    service = cast("Service", Up())
    wishes: Wishes = SimpleQueue()
    wishes.put((Wish.RELOAD, None))
    _supervise(service, wishes, lambda answers: _reload(service, again, lambda _config: None, answers))
    assert told() == ["WATCHDOG=1"]


def test_a_reload_that_takes_long_is_no_dead_daemon(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """With some hundred mappings, each of which takes turns of a busy engine, it was killed in the middle."""
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    service, wishes = Up(), cast("Wishes", SimpleQueue())
    service.watchers_up = True
    wishes.put((Wish.RELOAD, None))

    def reload(_answers: Sequence[Future[str]]) -> None:
        told()
        until(lambda: "WATCHDOG=1" in told(), "it is told to live", 10)
        wishes.put((Wish.STOP, None))

    assert _supervise(cast("Service", service), wishes, reload, ready=True) == 0


def test_reloads_that_are_wanted_at_the_same_time_are_one_and_all_hear_of_it() -> None:
    wishes: Wishes = SimpleQueue()
    asked: list[Future[str]] = [Future(), Future()]
    for answer in (None, asked[0], None, asked[1]):
        wishes.put((Wish.RELOAD, answer))
    reloads = 0

    def reload(answers: Sequence[Future[str]]) -> None:
        nonlocal reloads
        reloads += 1
        for answer in answers:
            answer.set_result("reloaded")
        wishes.put((Wish.STOP, None))

    assert _supervise(cast("Service", Up()), wishes, reload) == 0
    assert reloads == 1
    assert [answer.result(0) for answer in asked] == ["reloaded"] * 2


def test_who_wants_a_reload_of_a_daemon_that_ends_is_told_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """He held up the control socket, and with it the end, for as long as anybody waits."""
    monkeypatch.setattr(process, "END_LOOK_S", 0.05)
    asking = process.Asking()
    asking.for_end()
    began = time.monotonic()
    with pytest.raises(ControlError, match="ends"):
        asking.for_reload()
    assert time.monotonic() - began < process.RELOAD_ANSWER_S / 2


def test_who_wants_a_reload_hears_of_it_also_when_that_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_LOOK_S", 0.01)
    asking = process.Asking()

    def grant() -> None:
        wish, answer = asking.wishes.get(timeout=60)
        assert wish is Wish.RELOAD
        assert answer is not None
        threading.Event().wait(0.3)
        answer.set_result("reloaded")

    granting = threading.Thread(target=grant)
    granting.start()
    assert asking.for_reload() == "reloaded"
    granting.join()
    monkeypatch.setattr(process, "RELOAD_ANSWER_S", 0.1)
    with pytest.raises(TimeoutError):
        asking.for_reload()


def test_the_time_to_end_counts_from_the_first_wish_for_it() -> None:
    asking = process.Asking()
    asking.for_end()
    first = asking.end_at
    asking.for_end()
    assert first is not None
    assert asking.end_at == first


def test_the_end_waits_for_no_reload_that_was_wanted_before() -> None:
    wishes: Wishes = SimpleQueue()
    wishes.put((Wish.RELOAD, None))
    wishes.put((Wish.LOOK, None))
    wishes.put((Wish.STOP, None))
    reloads: list[object] = []
    assert _supervise(cast("Service", Up()), wishes, reloads.append) == 0
    assert not reloads


def test_a_stop_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STOP_S", "RECORD_S", "END_LOOK_S"):
        monkeypatch.setattr(process, name, 0.1)
    answers = threading.Event()
    service = SimpleNamespace(stop=lambda _asked_at: answers.wait(60), config=SimpleNamespace(state_dir="/state"))
    try:
        with pytest.raises(LedgerError, match="the disk of the state directory /state does not answer"):
            process._stop(cast("Service", service), None)
    finally:
        answers.set()


def test_a_stop_of_which_a_reload_has_taken_the_time_has_some_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_LOOK_S", 0.05)
    stopped: list[object] = []

    def stop(_asked_at: float) -> None:
        threading.Event().wait(0.3)
        stopped.append(_asked_at)

    service = SimpleNamespace(stop=stop, config=SimpleNamespace(state_dir="/state"))
    process._stop(cast("Service", service), 1.0)
    assert stopped == [1.0]


def test_a_first_look_that_hangs_gets_no_more_time(told: Told) -> None:
    service = Fake()
    service.engine_turns = False
    herald = Herald(service, 0.0)
    herald.beat(2 * EXTEND_EVERY_S)
    assert told() == []


MISTAKEN = """
import ftpsyncd.engine.loop
from ftpsyncd.cli import main

turns, turn = iter(range(5)), ftpsyncd.engine.loop.Engine.turn

def turn_or_fail(self, messages):
    if next(turns, None) is None:
        raise ValueError("what nobody thought of")
    turn(self, messages)

ftpsyncd.engine.loop.Engine.turn = turn_or_fail
main()
"""


LOST_THREAD = """
import ftpsyncd.local.disk
from ftpsyncd.cli import main

def tell(self, listing):
    raise ValueError("what nobody thought of")

ftpsyncd.local.disk.DiskThread._tell = tell
main()
"""


LOST_LOOKOUT = """
import ftpsyncd.claim, ftpsyncd.daemon.outside
from ftpsyncd.cli import main

def look(self):
    raise ValueError("what nobody thought of")

ftpsyncd.claim.LOOK_EVERY_S = 0.1
ftpsyncd.daemon.outside.Outside.tend = look
main()
"""


LOST_CONTROL = """
import asyncio
import ftpsyncd.control.server
from ftpsyncd.cli import main

async def serve(self):
    await asyncio.sleep(0.5)
    raise ValueError("what nobody thought of")

ftpsyncd.control.server._Server.main_loop = serve
main()
"""


UPDATED = """
import os, pathlib, signal, sys
from ftpsyncd.cli import main
from ftpsyncd.daemon import process

class Updated:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ftpsyncd", "pathspec"}:
            raise ImportError(f"{name} is of another version, or gone")

supervise, reload = process._supervise, process._reload

def update(*args, **more):
    sys.meta_path.insert(0, Updated())
    config = pathlib.Path(sys.argv[-1])
    text = config.read_text().replace("'web:/m'", "'web:/m', include: ['*.own']")
    config.write_text(text + "alerts: {command: [/bin/true]}\\n")
    os.kill(os.getpid(), signal.SIGHUP)
    return supervise(*args, **more)

def reload_and_end(*args):
    reload(*args)
    os.kill(os.getpid(), signal.SIGTERM)

process._supervise, process._reload = update, reload_and_end
main()
"""


@pytest.mark.parametrize("told", [process._told_of, process.start_told_of])
def test_a_daemon_that_has_no_memory_left_ends_as_one_that_may_be_started_again(
    told: Callable[[], AbstractContextManager[None]],
) -> None:
    with pytest.raises(NoMemoryError) as ended, told():
        raise MemoryError
    assert ended.value.exit_code == 75
    with pytest.raises(LedgerError, match="full") as known, told():
        raise LedgerError("full")
    assert known.value.__cause__ is None


@pytest.mark.parametrize("told", [process._told_of, process.start_told_of])
def test_what_could_not_be_opened_is_no_wrong_configuration(
    told: Callable[[], AbstractContextManager[None]],
) -> None:
    """With 78, systemd would not start it again."""
    error = ConfigError("config.yaml: cannot be read: Too many open files in system")
    error.__context__ = OSError(errno.ENFILE, "Too many open files in system")
    with pytest.raises(NoDescriptorError) as ended, told():
        raise error
    assert ended.value.exit_code == 75


def ended(tmp_path: Path, *program: str) -> tuple[int, list[dict[str, Any]], str]:
    """A daemon that ends by itself: its code, the records of its log, and what else it said."""
    (tmp_path / "in").mkdir()
    (tmp_path / "config.yaml").write_text(
        "servers: {web: {host: 127.0.0.1, port: 1, user: u, tls: 'off'}}\n"
        f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m'}}}}\n"
        f"state_dir: {tmp_path}/state\ncontrol: {{socket: {tmp_path}/s}}\nlog: {{format: json}}\n"
    )
    command = [sys.executable, *program, "run", "-c", str(tmp_path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stderr.splitlines()
    said = [line for line in lines if not line.startswith("{")]
    return done.returncode, [json.loads(line) for line in lines if line.startswith("{")], "\n".join(said)


@pytest.mark.parametrize(
    ("program", "place"),
    [
        (MISTAKEN, "in turn_or_fail"),
        (LOST_THREAD, "in tell"),
        (LOST_LOOKOUT, "in look"),
        (LOST_CONTROL, "in serve"),
    ],
)
def test_the_log_tells_of_a_mistake_that_ends_the_daemon_and_where_it_was_made(
    tmp_path: Path, program: str, place: str
) -> None:
    code, records, said = ended(tmp_path, "-c", program)
    assert code == 1
    assert "this is a bug" in said
    [failed] = [record for record in records if record["event"] == "failed"]
    assert failed["level"] == "error"
    assert failed["exception"]["message"] == "what nobody thought of"
    assert any(place in frame for frame in failed["exception"]["frames"])


def test_a_reload_needs_nothing_of_a_program_that_was_updated_or_removed_since_the_start(tmp_path: Path) -> None:
    """What patterns and alerts need was loaded for the first ones: of another version, or gone, it ended the daemon."""
    code, records, said = ended(tmp_path, "-c", UPDATED)
    assert (code, said) == (0, "")
    assert [record["message"] for record in records if record["event"] == "reload"] == [
        "reloaded: changed m; took over the new `alerts`"
    ]


def test_a_thread_that_ends_by_a_mistake_is_told_of_in_the_log() -> None:
    """It stood on standard error, in many lines, beside a log that was to be JSON."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message} {exception}")
    try:
        error = ValueError("what nobody thought of")
        thread = threading.Thread(name="ftpsyncd-web-worker")
        process._thread_ended(cast("Service", Up()), threading.ExceptHookArgs((ValueError, error, None, thread)))
    finally:
        logger.remove(sink)
    [line] = lines
    assert line.startswith("ERROR the thread ftpsyncd-web-worker ended by a mistake of ours")
    assert "what nobody thought of" in line


@pytest.mark.parametrize(
    ("files", "parked", "told"),
    [
        (1, 1, "1 file published, 0 pending, 1 needs a person (`ftpsyncd status`)"),
        (1204, 2, "1,204 files published, 0 pending, 2 need a person (`ftpsyncd status`)"),
    ],
)
def test_systemctl_tells_one_as_one(files: int, parked: int, told: str) -> None:
    mapping = MappingStatus("a", "/a", "web:/a", MappingState.IN_SYNC, 0, 0, 0, parked, 0, files, 1, None, "")
    assert process.headline(Fake().status()._replace(mappings=(mapping,))) == told
    held = mapping._replace(parked=0, directories_held=parked)
    assert process.headline(Fake().status()._replace(mappings=(held,))) == told
    unknown = mapping._replace(parked=parked - 1, state=MappingState.HELD)
    assert process.headline(Fake().status()._replace(mappings=(unknown,))) == told


def test_systemctl_tells_what_is_wrong_with_folders_servers_and_the_ledger() -> None:
    mapping = MappingStatus("a", "/a", "web:/a", MappingState.SOURCE_MISSING, 0, 0, 3, 0, 0, 2, 1, None, "")
    servers = tuple(ServerStatus(state.value, state, 0, "") for state in (ServerState.FULL, ServerState.REFUSED))
    daemon = Fake().status().daemon._replace(message="the ledger cannot be written: disk full")
    shown = Fake().status()._replace(daemon=daemon, mappings=(mapping,), servers=servers)
    assert process.headline(shown) == (
        "2 files published, 0 pending, 3 failed and tried again, offline: refused, full: full, source missing: a;"
        " the ledger cannot be written: disk full"
    )


def test_the_end_of_a_command_is_heeded_whatever_who_started_the_daemon_ignored() -> None:
    """A command of alerts that failed was taken for one that had told somebody."""
    script = """
import signal, subprocess, sys
from ftpsyncd.daemon.process import Asking
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
Asking().listen()
print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"]).returncode)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
