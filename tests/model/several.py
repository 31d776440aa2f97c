"""Mappings and servers that come and go: a daemon whose configuration changes, with its real roster, on one thread.

Real: what is real in `world`, and the roster, which takes mappings in and out. In memory: two servers. All mappings
publish folders of one drop folder, also such as lie in one another. A reload may come at any step, also while workers
are in the middle of a transfer that does not end before it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar
from unittest import mock

from ftpsyncd.actions import Outcome
from ftpsyncd.config import Config, ControlSpec
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.names import SUFFIX
from ftpsyncd.daemon import reloading, roster
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.local import tree, watch
from ftpsyncd.local.changes import Changes
from ftpsyncd.local.scan import Scanner, fingerprint_of
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Clock, Moment
from ftpsyncd.model import Kind
from ftpsyncd.paths import join, parent
from ftpsyncd.remote.port import Connector
from ftpsyncd.specs import MappingSpec, PublishMode, ServerSpec
from ftpsyncd.status import MappingState
from tests.model.doubles import Hands, Looker, MortalLedger, Server, Watcher
from tests.model.drop import Heard
from tests.model.life import Life, doubtful, left_over
from tests.model.rosterparts import Account, AskedEngine, Disk, Turned
from tests.model.stage import Shift

HOSTS = ("web", "alt")
SOON_S = 20.0

_T = TypeVar("_T")


class Several(Life):
    """Everything, and what may happen to it.

    Args:
        config: to begin with.
        replaces: the servers rename over what is there.
    """

    def __init__(self, config: Config, *, replaces: bool = True) -> None:
        super().__init__(len(HOSTS), replaces=replaces)
        self.hosts: dict[str, Server] = dict(zip(HOSTS, self.servers, strict=True))
        for server in self.servers:
            server.observer = partial(self._seen_at, server)
            server.renamed = partial(self._renamed_at, server)
        self.config = config
        self._direct = False
        """A file may stand half sent under its final name."""
        self._roster: roster.Roster | None = None
        self._reloading = False
        self._served: list[Mirror] = []
        """The mappings that there were when the worker that is at it began."""
        clocks = SimpleNamespace(monotonic=self.time.monotonic, time=lambda: self.time.wall_ns() / 1e9)
        self._patches = [
            mock.patch.object(where, name, value)
            for where, name, value in (
                (roster, "Account", lambda spec: Account(self, spec)),
                (roster, "Crew", self._crew),
                (roster, "DiskThread", Disk),
                (roster, "Scanner", self._looker),
                (roster, "begin", self._begin_disk),
                (roster, "time", clocks),
                (reloading, "time", clocks),
                (watch, "RootWatcher", self._watcher),
            )
        ]
        for patch in self._patches:
            patch.start()

    # ── what the roster makes ────────────────────────────────────────────────────────────────────────────────

    def _crew(
        self,
        name: str,
        connect: Connector,
        connections: int,
        folder: object,
        deliver: Callable[[Outcome], None],
        *rest: object,
    ) -> Hands:
        def checked(outcome: Outcome) -> None:
            self.check_outcome(outcome)
            deliver(outcome)

        return Hands(name, connect, connections, folder, checked, *rest)  # type: ignore[arg-type]

    def _looker(self, root: Path, *, follow_symlinks: bool) -> Scanner:
        return Looker(self, root, follow_symlinks=follow_symlinks)

    def _watcher(self, local: Path, *, name: str, deliver: Callable[[Changes], None], **_rest: object) -> Watcher:
        heard = self.drop.hearers[name] = Heard(local)
        return Watcher(local, heard, deliver)

    @staticmethod
    def _begin_disk(disk: Disk) -> None:
        disk.wanted = True

    # ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        if self._engine is not None or self._depth:
            return
        ledger = MortalLedger(self.drop.place / "ledger.db")
        clock = Clock(self.time.monotonic, self.time.wall_ns)
        self._engine = engine = AskedEngine(ledger, self.events.append, clock=clock)
        engine.several, engine.turned = self, Turned(self)  # type: ignore[assignment]
        self._roster = roster.Roster(engine, self.events.append, one_pass=self.one_pass, performs=self.performs)
        self._roster.build(self.config, list(self.config.mappings))
        self._roster.start()
        ledger.between = self.between

    def _die(self) -> None:
        super()._die()
        self._roster = None
        self._reloading = False
        self.drop.hearers.clear()

    def reload(self, config: Config) -> None:
        """The configuration is another one from now on; a daemon that works reads it."""
        if self._turning or self._reloading:
            self.later(1, ("reload", config))
            return
        self._give_up_places(config)
        self.config = config
        self._direct |= any(spec.publish is PublishMode.DIRECT for spec in config.mappings.values())
        if self._roster is None or self._engine is None:
            return
        self._reloading = True
        try:
            reloading.Reload(self._engine, self._roster, lambda: False).change(config)
        finally:
            self._reloading = False

    def _give_up_places(self, config: Config) -> None:
        """What is at a place that is left stays there, and so may what is on its way."""
        for name, spec in self.config.mappings.items():
            after = config.mappings.get(name)
            if after is None or (after.local, after.server, after.remote, after.exclude) != (
                spec.local,
                spec.server,
                spec.remote,
                spec.exclude,
            ):
                self.given_up.update(self._published(spec).values())
                self.given_up.update(self.drop.contents.values())

    def approve(self) -> None:
        """A person wants all that is held to be done."""
        for mirror, at in self._held():
            mirror.removals.approve(at)
            mirror.ledger.commit()

    def discard(self) -> None:
        """A person wants all that is held to stay at the servers."""
        for mirror, at in self._held():
            self.given_up |= self.drop.finished
            mirror.removals.discard(at)
            mirror.ledger.commit()

    def _held(self) -> list[tuple[Mirror, Moment]]:
        if self._engine is None or self._turning:
            return []
        self._is_asked()
        at = self._engine._moment()
        return [
            (mirror, at)
            for mirror in self._engine.mirrors.values()
            if mirror.removals.hold is not None or mirror.ledger.failures.changed_at_server(mirror.id)
        ]

    def asked(self, question: Callable[[Moment], _T]) -> _T:
        """The engine's answer, at its next turn."""
        assert self._engine is not None
        answers: list[_T] = []
        question = self._engine.about_any(question)
        self._engine.mailbox.put(lambda at: answers.append(question(at)))
        while not answers:
            if not self.turn():
                raise self._broken("the engine does not turn")
        return answers[0]

    def step(self) -> bool:
        """One thing is done, if there is any to do."""
        return self._engine is not None and (self.deliver() or self.turn() or self.look() or self.work())

    def _disks(self) -> list[tuple[str, Disk]]:
        disks = [] if self._roster is None else list(self._roster._disks.items())
        return [(name, disk) for name, disk in disks if isinstance(disk, Disk)]

    def deliver(self, *, names_only: bool = False) -> bool:
        """The watchers hand on what the kernel told."""
        told = False
        for name, disk in self._disks():
            changes = self.drop.tell(name, names_only=names_only) if disk.watches else None
            if changes is not None:
                assert isinstance(disk._watcher, Watcher)
                disk._watcher.deliver(changes)
                told = True
        return told

    def look(self) -> bool:
        """One disk thread does one thing."""
        return any(disk.do_next() for _, disk in self._disks())

    def work(self) -> bool:
        """One worker does what has been handed over."""
        if self._roster is None or self._connecting:
            return False
        for crew in self._roster._crews.values():
            assert isinstance(crew, Hands)
            if crew.has_work:
                before = self._shift, self._served
                self._shift = self._shift or Shift(dict(self.drop.walk()))
                self._served = list(self._engine.mirrors.values()) if self._engine is not None else []
                try:
                    crew.shift()
                finally:
                    self._shift, self._served = before
                return True
        return False

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────

    def be_equal(self) -> None:
        """All is healed and quiet: each mapping and its place are equal, and the ledger has that."""
        self.all_is_well()
        for spec in self.config.mappings.values():
            self._make_root(spec)
        self.heal(SOON_S)
        self._compare()

    def _make_root(self, spec: MappingSpec) -> None:
        """What is not there can neither be published nor compared."""
        path = self._relative(spec)
        while path and not self.drop.is_folder(path):
            above = path
            while parent(above) and not self.drop.is_folder(parent(above)):
                above = parent(above)
            self.drop.delete(above)
            self.drop.make_folder(above)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def _state(self) -> str:
        engine = self._engine
        mirrors = [] if engine is None else [f"{m!r} {m.intents!r} {m.queue!r}" for m in engine.mirrors.values()]
        return f"{self.config.mappings}; {'; '.join(mirrors)}"

    def _relative(self, spec: MappingSpec) -> str:
        """The folder of a mapping in the drop folder."""
        return str(spec.local.relative_to(self.drop.root)).removeprefix(".")

    def _published(self, spec: MappingSpec) -> dict[str, bytes]:
        """What a visitor finds under final names where a mapping publishes."""
        prefix, server = f"{spec.remote}/", self.hosts[self.config.servers[spec.server].host]
        return {
            path.removeprefix(prefix): file.content
            for path, file in server.files.items()
            if path.startswith(prefix) and not path.endswith(SUFFIX)
        }

    def _seen_at(self, server: Server, verb: str, path: str) -> None:
        if verb == "STOR":
            if self._direct:
                # The engine does not wait for the worker's end.
                self.turn()
            elif not path.endswith(SUFFIX):
                raise self._broken(f"G1: {path} grows under its final name")
            self.between("block", path)
        elif self._direct:
            return
        elif verb in {"RNTO", "LATE"}:
            for name, file in server.files.items():
                if not name.endswith(SUFFIX) and file.content not in self.drop.finished:
                    raise self._broken(f"G1: {name} is torn, or published too early: {file.content[:30]!r}")
        elif verb == "DELE" and not path.endswith(SUFFIX) and path != server.replacing:
            self._removed(server, path)

    def _renamed_at(self, server: Server, source: str, target: str) -> None:
        if not source.endswith(SUFFIX):
            self._removed(server, source, folder=target in server.dirs, renamed=True)

    def _removed(self, server: Server, remote: str, *, folder: bool = False, renamed: bool = False) -> None:
        """A final name is gone from a server."""
        engine, shift = self._engine, self._shift
        assert engine is not None
        assert shift is not None, "somebody else than a worker changed the server"
        mirror = next((m for m in self._served if self._is_at(m.spec, server, remote)), None)
        if mirror is None:
            raise self._broken(f"G4: {remote} was taken away where nobody publishes: {self.config.mappings}")
        path = remote.removeprefix(f"{mirror.spec.remote}/")
        if shift.there.get(join(self._relative(mirror.spec), path)) is folder:
            raise self._broken(f"G4: {path} of {mirror.spec.name} was taken from the server while it is here")
        root = engine.ledger.mappings.root(mirror.id)
        if not renamed and not shift.root_moved and tree.root_identity(mirror.spec.local) != root:
            raise self._broken(f"G4: {path} of {mirror.spec.name} was deleted while another folder is in its place")
        self.count("renamed at the server" if renamed else "deleted at the server")

    def _is_at(self, spec: MappingSpec, server: Server, remote: str) -> bool:
        account = self.config.servers.get(spec.server)
        return account is not None and self.hosts[account.host] is server and remote.startswith(f"{spec.remote}/")

    def _disk_changes(self, paths: set[str]) -> None:
        super()._disk_changes(paths)
        if self._shift is not None and self._engine is not None:
            roots = {self._relative(mirror.spec) for mirror in self._engine.mirrors.values()}
            self._shift.root_moved |= bool(roots & paths)

    def check_ledger(self) -> None:
        """What the ledger says is at a server is there, unless it says that it may be otherwise."""
        if self._engine is None or self._direct or self._reloading:
            return
        for mirror in self._engine.mirrors.values():
            if self.config.mappings.get(mirror.spec.name) != mirror.spec:
                continue
            in_doubt, moving = doubtful(mirror)
            published = self._published(mirror.spec)
            for path, row in mirror.ledger.walk(mirror.id):
                if row.kind is not Kind.FILE or not row.fingerprint.inode or path in in_doubt:
                    continue
                if any(path.startswith(f"{directory}/") for directory in moving):
                    continue
                there, expected = published.get(path), self.drop.contents.get(row.fingerprint)
                if there is None or (expected is not None and there != expected):
                    what = there and there[:20]
                    raise self._broken(f"G3: {mirror.spec.name} has {path} as published, the server {what!r}")

    def _compare(self) -> None:
        """Both sides of all mappings, when nothing is left to do."""
        assert self._engine is not None
        for mirror in self._engine.mirrors.values():
            self._compare_mapping(mirror)
        in_use = {self.config.servers[name].host for name in self._engine.servers}
        for host in in_use:
            left = [path for path in self.hosts[host].files if path.endswith(SUFFIX)]
            if left:
                raise self._broken(f"{left} were left at {host}; {self._state}")

    def _compare_mapping(self, mirror: Mirror) -> None:
        spec, ledger = mirror.spec, mirror.ledger
        base, selection = self._relative(spec), Filter(spec.include, spec.exclude)
        local = {
            path.removeprefix(f"{base}/" if base else ""): content
            for path, content in self.drop.files().items()
            if not base or path.startswith(f"{base}/")
        }
        wanted = {path: content for path, content in local.items() if selection.includes(path)}
        published = self._published(spec)
        failed = {path for path, _ in ledger.failures.worst(mirror.id, 1000)}
        blocked = {path for path in failed if path in published or self._in_the_way(spec, path, published)}
        if failed - blocked:
            raise self._broken(f"G8: {failed} of {spec.name} failed when all is healed; {self._state}")
        for path, content in wanted.items():
            if published.get(path) != content and path not in blocked:
                there = published.get(path, b"nothing")[:20]
                failure = ledger.failures.of(mirror.id, path)
                raise self._broken(
                    f"G3: {path} of {spec.name} is {there!r} instead of {content[:20]!r}; {failure}; {self._state}"
                )
        for path, content in published.items():
            if path not in wanted and content not in self.given_up and not self._direct:
                raise self._broken(f"{path} of {spec.name} ({content[:20]!r}) stays at the server; {self._state}")
        for what, wrong in self._left_over(mirror, wanted, blocked):
            if wrong:
                raise self._broken(f"{what} of {spec.name} when all is done: {wrong}; {self._state}")

    def _in_the_way(self, spec: MappingSpec, path: str, published: Mapping[str, bytes]) -> bool:
        """Whether something that has to stay at the server has this path, or one above it, also above the mapping."""
        server = self.hosts[self.config.servers[spec.server].host]
        if f"{spec.remote}/{path}" in server.dirs:
            return True
        while path := parent(path):
            if path in published:
                return True
        above = spec.remote
        while above and above not in server.files:
            above = parent(above)
        return bool(above)

    def _left_over(
        self, mirror: Mirror, wanted: Mapping[str, bytes], blocked: set[str]
    ) -> Iterator[tuple[str, object]]:
        assert self._engine is not None
        ledger = mirror.ledger
        status = mapping_status(mirror, self._engine._moment())
        rows = {path: row for path, row in ledger.walk(mirror.id) if path}
        files = {path: row.fingerprint for path, row in rows.items() if row.kind is Kind.FILE}
        here = {path: fingerprint_of((mirror.spec.local / path).stat()) for path in wanted if path not in blocked}
        yield "the ledger's files", files != here and (files, here)
        counts = status.pending, status.in_flight, status.held
        if status.state is not MappingState.IN_SYNC or any(counts):
            yield "G8: the status", status
        yield from left_over(mirror)
        totals = ledger.mappings.totals(mirror.id)
        yield "the totals", totals.files != len(files) and totals


def configuration(place: Path, servers: Mapping[str, ServerSpec], *mappings: MappingSpec) -> Config:
    """Such a one, of mappings that publish folders in one place."""
    return Config(
        place / "config.yaml", servers, {spec.name: spec for spec in mappings}, place, ControlSpec(place / "socket")
    )
