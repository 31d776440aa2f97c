"""The running parts of a configuration: crews, disks and mirrors, put in and taken out while the engine runs.

In: a configuration, at the start and at every reload. Out: parts registered with the engine. `service` owns one and
calls it from its own thread; what concerns the engine's state is done on the engine's thread.

A reload touches only what differs. A mapping whose settings changed, but not what it publishes where, goes on at once:
its transfers run to their end under the new settings, and are planned anew if they fail. One that publishes something
else somewhere else, or is gone, starts nothing more, and what runs may end for `RETIRE_S`; if it does not, the
connections of its server are given up, which is as harmless as an outage: the ledger knows what was begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from ftpsyncd.config import Config
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.schedule import Queue
from ftpsyncd.daemon.reloading import Difference, difference
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
from ftpsyncd.model import Outcome, RootIdentity
from ftpsyncd.publishing.crew import Crew
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.throttle import Throttle
from ftpsyncd.specs import MappingSpec, ServerSpec, destination
from ftpsyncd.threads import begin, side_by_side

LOOK_AGAIN_S = 0.1
"""While something is awaited: whether it still has to be."""
TURN_S = 30.0
"""An engine that has not come to a part of a reload by then does not turn."""
RETIRE_S = 10.0
"""How long a reload waits for transfers of mappings that go."""

_T = TypeVar("_T")


class Roster:
    """All crews, disks and mirrors of a service.

    Args:
        engine: where they are registered.
        emit: takes the mirrors' events.
        one_pass: for a `sync`: no watching.
        performs: see `Site.performs`.
        ending: whether the end is wanted: then a reload that is under way waits for nothing any more.
    """

    def __init__(
        self,
        engine: Engine,
        emit: Callable[[Event], None],
        *,
        one_pass: bool = False,
        performs: bool = True,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._emit = emit
        self._one_pass = one_pass
        self._performs = performs
        self._ending = ending
        self._crews: dict[str, Crew] = {}
        self._accounts: dict[str, ServerSpec] = {}
        self._throttles: dict[str, Throttle] = {}
        self._disks: dict[str, DiskThread] = {}
        self._folders: dict[str, Folder] = {}

    # ── start and stop ───────────────────────────────────────────────────────────────────────────────────────

    def build(self, config: Config, names: Iterable[str]) -> None:
        """Make all parts, before the engine runs."""
        for name in names:
            for _ in self._respell(config, name):
                pass
            self._add(config, name)
        if self._performs:
            self._take_leftovers(config)

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
        for crew in self._crews.values():
            rest_s = max(0.1, deadline - time.monotonic())
            _stop(crew, rest_s, "they are done again at the next start", patient=False)

    def stuck(self) -> bool:
        """Whether the workers of a server hang."""
        now = time.monotonic()
        return any(crew.stuck(now) for crew in list(self._crews.values()))

    def silent(self) -> bool:
        """Whether all disks that are not watched yet do not answer; asked again and again, it finds out."""
        answers = [disk.answers() for disk in self._disks.values() if not disk.begun]
        return bool(answers) and not any(answers)

    # ── reload ───────────────────────────────────────────────────────────────────────────────────────────────

    def change(self, config: Config) -> Difference:
        """Run another configuration from now on.

        Raises:
            TimeoutError: the engine does not turn.
            ThreadLimitError: the system allows too few threads.
        """
        specs = {name: folder.spec for name, folder in self._folders.items()}
        wanted = {spec.server for spec in config.mappings.values()}
        accounts = {name: config.servers[name] for name in wanted}
        found = difference(specs, config.mappings, self._accounts, accounts)
        closing = {*found.servers, *(name for name in self._accounts if name not in wanted)}
        leaving = {*found.removed, *found.moved, *(name for name, spec in specs.items() if spec.server in closing)}
        adjusted = [name for name in found.adjusted if name not in leaving]
        self._take_out_disks([*leaving, *adjusted])
        for name in adjusted:
            # At once: what the others are waited for is nothing to it.
            self._adjust(config, name)
            begin(self._disks[name])
        late = {specs[name].server for name in self._retire(leaving)}
        coming = [spec for name, spec in config.mappings.items() if name not in specs or name in leaving]
        late |= self._leave_leftovers({destination(spec, config.servers[spec.server]) for spec in coming})
        if late:
            # What they do there cannot be told from what others do on the same connections, once it is not awaited.
            closing |= late
            dragged = {name for name, spec in specs.items() if spec.server in closing} - leaving
            self._take_out_disks([name for name in dragged if name in self._disks])
            self._retire(dragged, patience_s=0.0)
            leaving |= dragged
        left = {name: self._drop(name) for name in leaving}
        self._close(closing)
        for name in found.paced:
            if name in self._accounts:
                self._accounts[name] = accounts[name]
                self._throttles[name].limit(accounts[name].bandwidth_bytes_s)
        for name in [name for name in config.mappings if name not in self._folders]:
            self._in_turns(self._respell(config, name))
            self._on_engine(lambda name=name: self._add(config, name, left.get(name)))  # type: ignore[misc]
            begin(self._disks[name])
        # A person at work: what waits for a pause to end is tried again now, perhaps with a new password.
        self._on_engine(self._retry_now)
        self._on_engine(lambda: self._take_leftovers(config))
        self._engine.renew_status()
        return found

    def _take_out_disks(self, names: Iterable[str]) -> None:
        _stop_disks([self._disks.pop(name) for name in names], STOP_WAIT_S, self._ending)

    def _take_leftovers(self, config: Config) -> None:
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

    def _leave_leftovers(self, coming: Collection[str]) -> set[str]:
        """Sweep nothing more for a while where other mappings come to (`specs.destination`).

        Returns:
            The servers where something is being swept there still.
        """

        def leave() -> None:
            for name, server in self._engine.servers.items():
                server.leftovers = None
                server.queue.withdraw_mapping("")
                for action in self._crews[name].recall(""):
                    server.queue.finish(action)

        def at_work() -> set[str]:
            return {
                name
                for name, server in self._engine.servers.items()
                for path in server.queue.under_way.own_paths("")
                if any(f"{server.account}{path}".startswith(f"{place.rstrip('/')}/") for place in coming)
            }

        if not coming:
            return set()
        self._on_engine(leave)
        return self._await_end(at_work, RETIRE_S)

    def _retry_now(self) -> None:
        for server in self._engine.servers.values():
            server.queue.gate.retry_now()
            server.queue.space.clear()

    def _retire(self, names: set[str], *, patience_s: float = RETIRE_S) -> set[str]:
        """Start nothing more of these mappings and wait for what runs; those of which something still runs."""

        def suspend() -> None:
            for name in names:
                self._leave(name)

        def running() -> set[str]:
            mirrors = self._engine.mirrors
            return {name for name in names if mirrors[name].queue.load(name).running}

        if not names:
            return set()
        self._on_engine(suspend)
        for name in names:
            self._take_back(name)
        return self._await_end(running, patience_s)

    def _await_end(self, running: Callable[[], set[str]], patience_s: float) -> set[str]:
        """Wait until nothing runs any more; what runs still when the patience is over."""
        deadline = time.monotonic() + patience_s
        while still := self._on_engine(running):
            self._engine.turned.clear()
            if self._ending() or time.monotonic() >= deadline:
                return still
            self._engine.turned.wait(LOOK_AGAIN_S)
        return set()

    def _leave(self, name: str) -> None:
        """Begin nothing more of a mapping, nor what was handed over and no worker has begun (engine's thread)."""
        mirror = self._engine.mirrors[name]
        mirror.leave()
        for action in self._crews[mirror.spec.server].recall(name):
            mirror.queue.finish(action)

    def _take_back(self, name: str) -> None:
        """Take back what waits of a mapping that begins nothing more: others have their turns in between."""
        queue = self._engine.mirrors[name].queue
        while self._on_engine(lambda: queue.withdraw_some(name)):
            pass

    def _drop(self, name: str) -> Mirror:
        def drop() -> Mirror:
            mirror = self._engine.remove(name)
            mirror.queue.withdraw_mapping(name)
            mirror.queue.space.drop(name)
            mirror.queue.suspend(name, suspended=False)
            return mirror

        mirror = self._on_engine(drop)
        spec = self._folders.pop(name).spec
        # What it published is now what others find there.
        self._crews[spec.server].look_anew()
        return mirror

    def _close(self, servers: Collection[str]) -> None:
        crews = [self._crews.pop(server) for server in servers]
        for server in servers:
            del self._accounts[server], self._throttles[server]
            self._on_engine(lambda server=server: self._engine.servers.pop(server))  # type: ignore[misc]
        # Each may be awaited for some seconds.
        side_by_side(lambda crew: _stop(crew, 1.0, "they are done again"), crews)

    def _adjust(self, config: Config, name: str) -> None:
        """Give a mapping new settings; transfers that run go on."""

        def swap() -> None:
            before = self._engine.mirrors[name]
            # What a transfer that ended meanwhile has queued again, for instance.
            before.queue.withdraw_mapping(name)
            self._add_mapping(config, config.mappings[name], self._folders[name].root, before)

        self._on_engine(lambda: self._leave(name))
        self._take_back(name)
        self._on_engine(swap)

    def _respell(self, config: Config, name: str) -> Iterator[None]:
        """Before a mapping comes: its names at the server may be in another encoding (engine's thread, in turns)."""
        spec, ledger = config.mappings[name], self._engine.ledger
        account = config.servers[spec.server]
        number = ledger.mappings.number(name, destination(spec, account))
        if respelled := (yield from spelling.take_over(ledger, number, spec, account)):
            self._emit(Event(EventKind.RESCAN, name, message=respelled))

    def _in_turns(self, work: Iterator[None]) -> None:
        """Do something on the engine's thread, each part of it in a turn of its own: others have theirs in between."""
        while self._on_engine(lambda: next(work, True)) is None:
            pass

    def _on_engine(self, act: Callable[[], _T]) -> _T:
        # The names of a million files in another encoding take a quarter of a minute, and half a reload is none.
        return self._engine.ask(lambda _at: act(), TURN_S, to_its_end=True)

    # ── making parts ─────────────────────────────────────────────────────────────────────────────────────────

    def _add(self, config: Config, name: str, before: Mirror | None = None) -> None:
        spec = config.mappings[name]
        if spec.server not in self._crews:
            self._add_server(config.servers[spec.server])
        self._add_mapping(config, spec, None, before)

    def _add_server(self, account: ServerSpec) -> None:
        engine, name = self._engine, account.name
        queue = Queue(account.connections, jitter=hash(name) % 100 / 100)

        def deliver(outcome: Outcome) -> None:
            # Not those of a crew that was replaced while its transfers ran.
            if self._crews.get(name) is crew:
                engine.performed(name, outcome)

        remote = Account(account)
        keeper = Keeper(remote.profile, engine.ledger.profile(remote.key), time.time())
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
        folder = self._folders[spec.name] = Folder(spec, root)
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
        self._disks[spec.name] = disk
        mirror.looks.attach(disk)
        engine.mirrors[spec.name] = mirror


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


def _stop(crew: Crew, timeout_s: float, consequence: str, *, patient: bool = True) -> None:
    if not crew.stop(timeout_s, patient=patient):
        logger.bind(event="stop", server=crew.name).warning(
            "{}: transfers that still ran were abandoned; {}", crew.name, consequence
        )
