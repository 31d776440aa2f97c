"""The running parts of a configuration: crews, disks and mirrors, put in and taken out while the engine runs.

In: a configuration. Out: parts registered with the engine. `service` owns one, has all made at the start, and has all
stopped at the end; `reloading` puts in and takes out what differs. What concerns the engine's state is done on the
engine's thread: then the method says so, and whoever calls it sees to that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

from ftpsyncd.actions import Outcome
from ftpsyncd.claim import whose, whose_before
from ftpsyncd.config import Config
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.loop import Engine
from ftpsyncd.events import Event, EventKind
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.disk import STOP_WAIT_S, Delivery, DiskThread, Watcher
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.unwatched import Unwatched
from ftpsyncd.logs import logger
from ftpsyncd.mapping import spelling
from ftpsyncd.mapping.leftovers import Leftovers, left_behind, unreachable
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.model import RootIdentity
from ftpsyncd.publishing.crew import Crew
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.throttle import Throttle
from ftpsyncd.specs import MappingSpec, ServerSpec, destination
from ftpsyncd.threads import begin, side_by_side

LOOK_AGAIN_S = 0.1
"""While something is awaited: whether it still has to be."""


class Roster:
    """All crews, disks and mirrors of a service.

    Args:
        engine: where they are registered.
        emit: takes the mirrors' events.
        one_pass: for a `sync`: no watching.
        performs: see `Site.performs`.
    """

    def __init__(
        self,
        engine: Engine,
        emit: Callable[[Event], None],
        *,
        one_pass: bool = False,
        performs: bool = True,
    ) -> None:
        self._engine = engine
        self._emit = emit
        self._one_pass = one_pass
        self._performs = performs
        state_dir = engine.ledger.path.parent
        self._whose = whose(state_dir)
        # Noted in any case: when this ends, the ledger is one that was closed in order.
        was = whose_before(state_dir, self._whose, in_order=engine.ledger.in_order)
        self._was = was if performs else ()
        self._crews: dict[str, Crew] = {}
        self._accounts: dict[str, ServerSpec] = {}
        self._throttles: dict[str, Throttle] = {}
        self._disks: dict[str, DiskThread] = {}
        self._folders: dict[str, Folder] = {}

    # ── start and stop ───────────────────────────────────────────────────────────────────────────────────────

    def build(self, config: Config, names: Iterable[str]) -> None:
        """Make all parts, before the engine runs."""
        for name in names:
            for _ in self.respell(config, name):
                pass
            self.add(config, name)
        if self._performs:
            self.take_leftovers(config)

    def start(self) -> None:
        """Start watching and looking.

        Raises:
            ThreadLimitError: the system allows too few threads.
        """
        for disk in self._disks.values():
            begin(disk)

    def interrupt(self) -> None:
        """Have all parts begin nothing more; what runs goes on."""
        for disk in self._disks.values():
            disk.stop(0.0)
        for crew in self._crews.values():
            crew.interrupt()

    def stop_disks(self, timeout_s: float) -> None:
        """End watching and looking, ``timeout_s`` later at the latest."""
        _stop_disks(self._disks.values(), timeout_s)

    def stop_crews(self, timeout_s: float) -> None:
        """Let running transfers end for ``timeout_s``; those that do not are abandoned."""
        self.interrupt()
        deadline = time.monotonic() + timeout_s

        def stop(crew: Crew) -> None:
            rest_s = max(0.0, deadline - time.monotonic())
            stop_crew(crew, rest_s, "they are done again at the next start", patient=False)

        # None waits for another one's servers.
        side_by_side(stop, self._crews.values())

    def stuck(self) -> bool:
        """Whether the workers of a server hang."""
        now = time.monotonic()
        return any(crew.stuck(now) for crew in list(self._crews.values()))

    def silent(self) -> bool:
        """Whether all disks that are not watched yet do not answer; asked again and again, it finds out."""
        # A reload may be putting others in.
        answers = [disk.answers() for disk in list(self._disks.values()) if not disk.begun]
        return bool(answers) and not any(answers)

    # ── put in and taken out ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def specs(self) -> dict[str, MappingSpec]:
        """The mappings that run."""
        return {name: folder.spec for name, folder in self._folders.items()}

    @property
    def accounts(self) -> dict[str, ServerSpec]:
        """The servers that are connected to."""
        return dict(self._accounts)

    def respell(self, config: Config, name: str) -> Iterator[None]:
        """Before a mapping comes: its names at the server may be in another encoding (engine's thread, in turns)."""
        spec, ledger = config.mappings[name], self._engine.ledger
        account = config.servers[spec.server]
        number = ledger.mappings.number(name, destination(spec, account))
        if respelled := (yield from spelling.take_over(ledger, number, spec, account)):
            self._emit(Event(EventKind.RESCAN, name, message=respelled))

    def add(self, config: Config, name: str, before: Mirror | None = None) -> None:
        """Put in a mapping, and its server if it is the first one of it (engine's thread).

        Args:
            config: what is wanted.
            name: of the mapping.
            before: what it was, if it was taken out to come back.
        """
        spec = config.mappings[name]
        if spec.server not in self._crews:
            self._add_server(config.servers[spec.server])
        self._add_mapping(config, spec, None, before)

    def adjust(self, config: Config, name: str) -> None:
        """Give a mapping new settings; transfers that run go on (engine's thread)."""
        before = self._engine.mirrors[name]
        # What a transfer that ended meanwhile has queued again, for instance.
        before.queue.withdraw_mapping(name)
        self._add_mapping(config, config.mappings[name], self._folders[name].root, before)

    def start_disk(self, name: str) -> None:
        """Start watching and looking for a mapping that was put in or adjusted.

        Raises:
            ThreadLimitError: the system allows too few threads.
        """
        begin(self._disks[name])

    def take_out_disks(self, names: Iterable[str], enough: Callable[[], bool]) -> None:
        """End watching and looking for mappings that go or change.

        Args:
            names: of the mappings.
            enough: whether disks that do not answer need not be awaited any longer.
        """
        _stop_disks([self._disks.pop(name) for name in names], STOP_WAIT_S, enough)

    def suspend(self, name: str) -> None:
        """Begin nothing more of a mapping, nor what was handed over and no worker has begun (engine's thread)."""
        mirror = self._engine.mirrors[name]
        mirror.leave()
        for action in self._crews[mirror.spec.server].recall(name):
            mirror.queue.finish(action)

    def take_out(self, name: str) -> Mirror:
        """Take out a mapping of which nothing is begun any more (engine's thread)."""
        mirror = self._engine.remove(name)
        mirror.queue.drop(name)
        spec = self._folders.pop(name).spec
        # What it published is now what others find there.
        self._crews[spec.server].look_anew()
        return mirror

    def take_out_server(self, name: str) -> Crew:
        """Take out a server that no mapping has any more (engine's thread); its crew is to be stopped."""
        del self._accounts[name], self._throttles[name], self._engine.servers[name]
        return self._crews.pop(name)

    def pace(self, account: ServerSpec) -> None:
        """Send at another rate to a server, if it is one that is connected to."""
        if account.name in self._accounts:
            self._accounts[account.name] = account
            self._throttles[account.name].limit(account.bandwidth_bytes_s)

    def suspend_leftovers(self) -> None:
        """Begin no sweep more of what mappings that have gone left half sent (engine's thread)."""
        for name, server in self._engine.servers.items():
            server.leftovers = None
            server.queue.withdraw_mapping("")
            for action in self._crews[name].recall(""):
                server.queue.finish(action)

    def take_leftovers(self, config: Config) -> None:
        """See to what mappings that are not configured left half sent at the servers there are (engine's thread)."""
        ledger, accounts = self._engine.ledger, config.servers
        places = [(spec.name, destination(spec, accounts[spec.server])) for spec in config.mappings.values()]
        configured = {ledger.mappings.find(name, place) for name, place in places}
        left = left_behind(ledger, {each for each in configured if each is not None})
        for server in self._engine.servers.values():
            mine = [each for each in left if each.is_of(server.account)]
            server.leftovers = Leftovers(server.name, server.account, ledger, server.queue, self._emit, mine)
        known = [Account(account).key for account in accounts.values()]
        for event in unreachable(each for each in left if not any(each.is_of(key) for key in known)):
            self._emit(event)

    # ── making parts ─────────────────────────────────────────────────────────────────────────────────────────

    def _add_server(self, account: ServerSpec) -> None:
        engine, name = self._engine, account.name
        queue = Queue(account.connections, jitter=hash(name) % 100 / 100)

        def deliver(outcome: Outcome) -> None:
            # Not those of a crew that was replaced while its transfers ran.
            if self._crews.get(name) is crew:
                engine.performed(name, outcome)

        remote = Account(account)
        keeper = Keeper(remote.profile, engine.ledger.profile(remote.key), time.time(), remote.scratching)
        queue.gate.begin_with_cap(remote.profile.cap, time.monotonic())
        crew = Crew(
            name,
            remote,
            account.connections,
            lambda mapping: self._folders[mapping],
            deliver,
            engine.received,
            lambda: remote.profile.silence_s,
            engine.exposed,
            lambda: queue.gate.cap,
            lambda: engine.connected(name),
        )
        remote.greeted, remote.refused, remote.ahead = crew.door.greeted, crew.door.refused, True
        self._crews[name] = crew
        self._accounts[name], self._throttles[name] = account, remote.throttle
        engine.servers[name] = Server(name, queue, crew, remote.key, keeper)

    def _add_mapping(self, config: Config, spec: MappingSpec, root: RootIdentity | None, before: Mirror | None) -> None:
        engine = self._engine
        account = config.servers[spec.server]
        number = engine.ledger.mappings.number(spec.name, destination(spec, account))
        folder = self._folders[spec.name] = Folder(spec, root, self._whose, self._was)
        mirror = Mirror(
            spec,
            Filter(spec.include, spec.exclude),
            number,
            engine.ledger,
            engine.servers[spec.server].queue,
            folder,
            self._emit,
            today=lambda: datetime.now().astimezone().date().isoformat(),
            one_pass=self._one_pass,
            performs=self._performs,
        )
        if before is not None and before.id == mirror.id:
            mirror.go_on_from(before)
        disk = self._disks[spec.name] = self._disk(spec)
        mirror.looks.attach(disk)
        engine.mirrors[spec.name] = mirror

    def _disk(self, spec: MappingSpec) -> DiskThread:
        """What watches the folder of a mapping and looks at it; it is not heard any more when it was taken out."""
        engine = self._engine
        scanner = Scanner(spec.local, follow_symlinks=spec.follow_symlinks)

        def deliver(changes: Changes) -> None:
            if self._disks.get(spec.name) is disk:
                engine.changed(spec.name, changes)

        def answered(answer: Delivery) -> None:
            # A disk that hung when it was stopped may answer much later, to a mirror that never asked.
            if self._disks.get(spec.name) is disk:
                engine.answered(spec.name, answer)

        watcher: Watcher
        if self._one_pass:
            watcher = Unwatched(scanner, deliver)
        else:
            from ftpsyncd.local.watch import RootWatcher  # noqa: PLC0415 - a `sync` need not load watchdog

            watcher = RootWatcher(
                spec.local,
                mode=spec.watch,
                poll_every_s=spec.poll_every_s,
                # A filter of its own: it is used on the watcher's threads.
                descend=Filter(spec.include, spec.exclude).descend,
                deliver=deliver,
                name=spec.name,
            )
        disk = DiskThread(spec.name, scanner, watcher, answered)
        return disk


def _stop_disks(disks: Collection[DiskThread], timeout_s: float, enough: Callable[[], bool] = lambda: False) -> None:
    """End watching and looking of all at the same time: those that do not answer are awaited together.

    Args:
        disks: of mappings.
        timeout_s: how long they are awaited.
        enough: whether they need not be awaited any longer.
    """
    for disk in disks:
        disk.stop(0.0)
    deadline = time.monotonic() + timeout_s
    for disk in disks:
        while not disk.stop(max(0.0, min(LOOK_AGAIN_S, deadline - time.monotonic()))):
            if enough() or time.monotonic() >= deadline:
                return


def stop_crew(crew: Crew, timeout_s: float, consequence: str, *, patient: bool = True) -> None:
    """Let the running transfers of a server end.

    Args:
        crew: of the server.
        timeout_s: those that have not ended by then are abandoned.
        consequence: what comes of that, in words.
        patient: see `Crew.stop`.
    """
    if not crew.stop(timeout_s, patient=patient):
        logger.bind(event="stop", server=crew.name).warning(
            "{}: transfers that still ran were abandoned; {}", crew.name, consequence
        )
