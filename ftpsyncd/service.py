"""The composition root: from a configuration to a running service, and its orderly end.

Order of start: lock, ledger, engine, workers, disks (each starts its watcher), control socket. Order of stop: control
socket, disks, workers (transfers end or are abandoned), engine, ledger, lock. Nothing below this module knows the
configuration's classes.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from loguru import logger

from ftpsyncd import systemd
from ftpsyncd.config import Config, check_secrets
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.schedule import Breaker, Queue
from ftpsyncd.crew import Crew
from ftpsyncd.engine import Engine, Server
from ftpsyncd.errors import ConfigError, ExitCode, LedgerError, LockHeldError, UsageError
from ftpsyncd.journal import Journal
from ftpsyncd.ledger import Ledger
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.disk import DiskThread, Watcher
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.watch import RootWatcher, WatchReport
from ftpsyncd.mirror import Mirror
from ftpsyncd.model import (
    Event,
    MappingSpec,
    ServerState,
    Status,
)
from ftpsyncd.publish import Folder
from ftpsyncd.remote.profile import Keeper
from ftpsyncd.remote.session import Account
from ftpsyncd.removals import Moment
from ftpsyncd.steering import ENGINE_STUCK_S, Steering
from ftpsyncd.survey import destination

STOP_S = 20.0
"""How long running transfers may take when the service stops; TimeoutStopSec of the unit is longer."""


def claim(directory: Path) -> IO[str]:
    """Make a state directory ours until what is returned is closed.

    Raises:
        LockHeldError: another ftpsyncd works on it.
        LedgerError: it cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock: IO[str] = (directory / "lock").open("a")
    except OSError as error:
        raise LedgerError(f"the state directory {directory} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise LockHeldError(f"another ftpsyncd uses the state directory {directory}") from error
    return lock


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a `sync` is."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    deletes_done: int
    failed: int
    held: int
    finished: bool
    unavailable: bool
    """A server could not be reached."""
    messages: tuple[str, ...]
    source_missing: bool = False
    """A folder is not there: nothing of it was compared."""


class Unwatched:
    """Stands in for a watcher in a `sync`: one look at everything, no events."""

    def __init__(self, scanner: Scanner, deliver: Callable[[Changes], None]) -> None:
        self._scanner = scanner
        self._deliver = deliver

    def start(self) -> WatchReport:
        """Say that everything may differ."""
        report = self.check()
        self._deliver(Changes(frozenset(), frozenset({""})))
        return report

    def check(self) -> WatchReport:
        """Look at the root."""
        root = self._scanner.root_identity()
        problem = "" if root else f"the folder {self._scanner.root} is not there"
        # "native": the clock that stamps the files is taken for this machine's, as with a local file system.
        return WatchReport("native", root, problem, 0)

    def stop(self) -> None:
        """Nothing to stop."""


class Service:
    """A running service inside this process.

    Args:
        config: what to run.
        one_pass: end by itself when nothing is left to do (`sync`): no watching, no control socket.
        mappings: only these; all if None.
        observe: is told every event besides the log (the demo's live view).
    """

    def __init__(
        self,
        config: Config,
        *,
        one_pass: bool = False,
        mappings: Sequence[str] | None = None,
        observe: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.config = config
        self.one_pass = one_pass
        names = list(config.mappings) if mappings is None else list(mappings)
        for name in names:
            if name not in config.mappings:
                known = ", ".join(sorted(config.mappings))
                raise UsageError(f"there is no mapping {name!r}; there are: {known}")
        self._mappings = [config.mappings[name] for name in names]
        self._observe = observe
        self._journal = Journal()
        self._stack = ExitStack()
        self._crews: dict[str, Crew] = {}
        self._disks: dict[str, DiskThread] = {}
        self._folders: dict[str, Folder] = {}
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine of a started service."""
        if self._engine is None:
            raise RuntimeError("the service is not running")
        return self._engine

    # ── start and stop ───────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start everything.

        Raises:
            LockHeldError: another ftpsyncd works on the same state directory.
            LedgerError: the ledger cannot be opened.
            ConfigError: a password is missing.
            ControlError: the control socket cannot be made.
        """
        missing = check_secrets(self.config)
        if missing:
            raise ConfigError("\n".join(missing))
        with ExitStack() as stack:
            self._stack = stack
            stack.enter_context(claim(self.config.state_dir))
            ledger = stack.enter_context(Ledger(self.config.state_dir / "ledger.db"))
            engine = self._engine = Engine(ledger, self._emit)
            self._build(engine)
            stack.callback(engine.stop)
            engine.start()
            stack.callback(self._stop_crews)
            stack.callback(self._stop_disks)
            for disk in self._disks.values():
                disk.start()
            if not self.one_pass:
                self._serve_control(stack)
            self._stack = stack.pop_all()

    def _build(self, engine: Engine) -> None:
        for name in dict.fromkeys(spec.server for spec in self._mappings):
            server = self.config.servers[name]
            queue = Queue(server.connections, jitter=hash(name) % 100 / 100)
            account = Account(server)
            keeper = Keeper(account.profile, engine.ledger.profile(account.key), time.time())
            queue.begin_with_cap(account.profile.cap, time.monotonic())
            crew = Crew(
                name,
                account,
                server.connections,
                self._folders.__getitem__,
                partial(engine.performed, name),
                engine.received,
            )
            self._crews[name] = crew
            engine.servers[name] = Server(name, queue, crew, account.key, keeper)
        for spec in self._mappings:
            self._add_mapping(engine, spec)

    def _add_mapping(self, engine: Engine, spec: MappingSpec) -> None:
        server = self.config.servers[spec.server]
        folder = self._folders[spec.name] = Folder(spec)
        mirror = Mirror(
            spec,
            Filter(spec.include, spec.exclude),
            engine.ledger.mapping(spec.name, destination(spec, server)),
            engine.ledger,
            engine.servers[spec.server].queue,
            folder,
            self._emit,
            today=lambda: datetime.now().astimezone().date().isoformat(),
            one_pass=self.one_pass,
        )
        scanner = Scanner(spec.local, follow_symlinks=spec.follow_symlinks)

        def deliver(changes: Changes) -> None:
            engine.changed(spec.name, changes)

        watcher: Watcher
        if self.one_pass:
            watcher = Unwatched(scanner, deliver)
        else:
            watcher = RootWatcher(
                spec.local,
                mode=spec.watch,
                poll_every_s=spec.poll_every_s,
                # A filter of its own: it is used on the watcher's threads.
                descend=Filter(spec.include, spec.exclude).descend,
                deliver=deliver,
                name=spec.name,
            )
        disk = DiskThread(spec.name, scanner, watcher, lambda answer: engine.answered(spec.name, answer))
        self._disks[spec.name] = disk
        mirror.attach(disk)
        engine.mirrors[spec.name] = mirror

    def _serve_control(self, stack: ExitStack) -> None:
        if self.config.control.socket is None:
            return
        from ftpsyncd.control.server import ControlServer  # noqa: PLC0415 - a `sync` need not load a web server

        stack.enter_context(ControlServer(Steering(self.config, self.engine), self.config.control.socket))

    def _stop_crews(self) -> None:
        for crew in self._crews.values():
            crew.interrupt()
        deadline = time.monotonic() + STOP_S
        for crew in self._crews.values():
            if not crew.stop(max(0.1, deadline - time.monotonic())):
                logger.bind(event="stop", server=crew.name).warning(
                    "{}: transfers that still ran were abandoned; they are done again at the next start", crew.name
                )

    def _stop_disks(self) -> None:
        for disk in self._disks.values():
            disk.stop()

    def stop(self) -> None:
        """Stop everything; transfers that do not end in time are done again at the next start."""
        self._stack.close()

    def _emit(self, event: Event) -> None:
        self._journal(event)
        self._observe(event)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> Status:
        """Everything at this moment."""
        return self.engine.status

    def rescan(self) -> None:
        """Compare everything again; returns at once."""
        if self._engine is not None:
            self._engine.rescan()

    def wait_watching(self, timeout_s: float) -> bool:
        """Wait until every mapping's watcher is up (or its folder is known to be missing)."""
        return self.engine.watching.wait(timeout_s) and self.engine.failure is None

    def wait_finished(self, timeout_s: float) -> bool:
        """For one pass: wait until nothing is left to do; False when the time is over first."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.engine.turned.clear()
            if self.progress().finished:
                return True
            if time.monotonic() >= deadline:
                return False
            self.engine.turned.wait(0.1)

    def progress(self) -> Progress:
        """How far a `sync` is."""
        if self.engine.failure is not None:
            raise self.engine.failure
        return self.engine.ask(self._progress)

    def _progress(self, at: Moment) -> Progress:
        engine = self.engine
        waiting = [server.queue.backlog() for server in engine.servers.values()]
        files, size = (sum(counts) for counts in zip(*waiting, strict=True)) if waiting else (0, 0)
        down = [s for s in engine.servers.values() if s.queue.state in {Breaker.OFFLINE, Breaker.REFUSED, Breaker.FULL}]
        unavailable = {server.name for server in down if not server.queue.in_flight}
        finished = all(m.finished(at.now) or m.spec.server in unavailable for m in engine.mirrors.values())
        counters = engine.counters
        failures = [engine.ledger.failure_counts(mirror.id) for mirror in engine.mirrors.values()]
        return Progress(
            counters.files,
            counters.files + files,
            counters.bytes,
            counters.bytes + size,
            counters.deletes,
            sum(count.retrying + count.parked for count in failures),
            sum(mirror.removals.held for mirror in engine.mirrors.values()),
            finished,
            bool(unavailable),
            tuple(
                [f"{server.name}: {server.queue.message}" for server in down]
                + [f"{m.spec.name}: {m.removals.missing}" for m in engine.mirrors.values() if m.removals.missing]
                + [
                    f"{m.spec.name}: {m.removals.hold.message}"
                    for m in engine.mirrors.values()
                    if m.removals.hold and m.removals.held
                ]
            ),
            any(m.removals.missing for m in engine.mirrors.values()),
        )


# ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────────────


def run(config: Config) -> int:
    """Run the daemon in the foreground until a signal ends it.

    Returns:
        The exit code.

    Raises:
        FtpsyncdError: it cannot start.
    """
    ignore_lease_signals()
    wanted = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted.set())
    service = Service(config)
    # Until reload of the configuration is built, SIGHUP does what every doubt does: compare everything again.
    signal.signal(signal.SIGHUP, lambda *_: service.rescan())
    service.start()
    try:
        return _supervise(service, wanted)
    finally:
        systemd.stopping()
        service.stop()
        logger.bind(event="stopped").info("stopped")


def _supervise(service: Service, wanted: threading.Event) -> int:
    """Tell systemd how it is until the end is wanted or the engine fails."""
    engine = service.engine
    names = ", ".join(f"{spec.name} → {spec.server}:{spec.remote}" for spec in service.config.mappings.values())
    logger.bind(event="started", pid=os.getpid()).info("started: {}", names)
    ready = False
    interval_s = min(3.0, (systemd.watchdog_interval_s() or 6.0) / 2)
    while not wanted.wait(interval_s if ready else 0.05):
        if engine.failure is not None:
            raise engine.failure
        if not ready and engine.watching.is_set():
            ready = True
            systemd.ready()
        if time.monotonic() - engine.last_woken < ENGINE_STUCK_S:
            systemd.watchdog()
        systemd.status(_headline(service.status()))
    return ExitCode.DONE


def _headline(status: Status) -> str:
    files = sum(m.published_files for m in status.mappings)
    pending = sum(m.pending + m.in_flight for m in status.mappings)
    trouble = sum(m.parked + m.held for m in status.mappings)
    offline = [s.name for s in status.servers if s.state in {ServerState.OFFLINE, ServerState.REFUSED}]
    text = f"{files} files published, {pending} pending"
    if trouble:
        text += f", {trouble} need a person (ftpsyncd status)"
    if offline:
        text += f", offline: {', '.join(offline)}"
    return text
