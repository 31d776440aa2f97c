"""A daemon, its drop folder and its server in one thread, where anything may happen between any two steps.

Real: engine, mirror, intents, removals, outcomes, ledger (a file), crew, publisher, pool, disk thread, scanner, the folder
and the leases on its files. In memory: the server. Wound by the test: the clocks. The threads are there, but not started:
what they would do is done piece by piece, by `turn`, `look` and `work` (see `stage`).

What holds at every moment is checked where it could be broken, by `Broken`; `come_to_rest` heals the world and
compares both sides.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ftpsyncd.actions import Outcome
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.names import SUFFIX, TRASH
from ftpsyncd.core.schedule import Queue
from ftpsyncd.daemon import knows
from ftpsyncd.engine import again
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.loop import Engine
from ftpsyncd.local import tree
from ftpsyncd.local.disk import DiskThread
from ftpsyncd.local.unwatched import Unwatched
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.openintents import is_rename
from ftpsyncd.mapping.site import Clock
from ftpsyncd.model import Kind, Listing, RootIdentity
from ftpsyncd.paths import after_rename, parent
from ftpsyncd.publishing import lastlook
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.questions import Why
from ftpsyncd.specs import DeleteLimit, DeletePolicy, ExistingPolicy, MappingSpec
from tests.model import stage
from tests.model.doubles import Hands, Looker, MortalLedger, Watcher
from tests.model.life import PATIENCE_S, Life, doubtful
from tests.model.linked import Linked
from tests.model.stage import NO_RESCAN_S, SETTLE_S, WORKERS, Shift

M, SERVER, BASE = "gallery", "web", "/site"


ROUNDING_S = 1e-3
"""Stamps are whole nanoseconds, and times are not."""


class World(Life):
    """Everything, and what may happen to it."""

    def __init__(
        self,
        *,
        deletes: DeletePolicy = DeletePolicy.MIRROR,
        existing: ExistingPolicy = ExistingPolicy.ADOPT,
        replaces: bool = True,
        empty_dirs: bool = False,
        follow_symlinks: bool = False,
        settle_s: float = SETTLE_S,
        max_deletes: int | None = None,
    ) -> None:
        super().__init__(replaces=replaces)
        self._linked = Linked(self.drop, self.time)
        self._max_deletes = stage.MAX_DELETES if max_deletes is None else max_deletes
        self.spec = MappingSpec(
            M,
            self.drop.root,
            SERVER,
            BASE,
            include=("*",),
            settle_s=settle_s,
            deletes=deletes,
            delete_after_s=5.0,
            max_deletes=DeleteLimit(self._max_deletes),
            existing=existing,
            rescan_s=NO_RESCAN_S,
            empty_dirs=empty_dirs,
            follow_symlinks=follow_symlinks,
        )
        self._all_managed = True
        """Nothing at the server was ever given up."""
        self._known_root: RootIdentity | None = None
        self._may_accept = True
        self._deleted = self._approved = 0
        self._absent_s = math.inf
        """How long the old name of a file has to be gone, under any of the settings so far."""
        self._patches = (
            mock.patch.object(tree, "open_directory", self._guarded(tree.open_directory)),
            mock.patch.object(lastlook, "_look_at", self._look_at(lastlook._look_at)),
        )
        for patch in self._patches:
            patch.start()
        if not self.one_pass:
            self.start()

    # ── folders that cannot be read ──────────────────────────────────────────────────────────────────────────

    def _guarded(self, real: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
        def open_directory(root: object, root_fd: int, directory: str, **more: Any) -> tuple[int, str]:
            if self.drop.is_locked(directory):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(root, root_fd, directory, **more)

        return open_directory

    def _look_at(self, real: Callable[..., os.stat_result | None]) -> Callable[..., os.stat_result | None]:
        def look_at(look: Callable[[str], os.stat_result], path: str) -> os.stat_result | None:
            def guarded(local: str) -> os.stat_result:
                if self.drop.is_locked(parent(local.removeprefix(f"{self.drop.root}/"))):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                return look(local)

            return real(guarded, path)

        return look_at

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def write_all(self) -> None:
        """Everything that was published and is not here is written again."""
        for path in self._published():
            if not self.drop.exists(path):
                self.drop.make_folder(parent(path))
                self.drop.write(path, 20)

    def vanish(self, where: str) -> None:
        if self.drop.is_at_home():
            self.drop.vanish(where)
            self._root_moved()

    def come_back(self) -> None:
        if not self.drop.is_at_home():
            self.drop.come_back()
            self._root_moved()

    def lock(self, which: int) -> None:
        if path := self._any(which):
            self.drop.lock(path)

    def unlock(self) -> None:
        self.drop.unlock()

    def edit_there(self, path: str) -> None:
        """Somebody else writes over a published file at the server."""
        file = self.server.files[f"{BASE}/{path}"]
        self.drop.contents = {print_: had for print_, had in self.drop.contents.items() if had != file.content}
        file.content = f"edited at the server instead of {len(file.content)} bytes".encode()
        self.drop.finished.add(file.content)

    def note_patience(self) -> None:
        """What was offered under settings of before may be done under those of now."""
        self._absent_s = min(self._absent_s, self.spec.settle_s, self.spec.delete_after_s)

    def set_clock(self, seconds: float) -> None:
        super().set_clock(seconds)
        # Who is started afterwards goes by when a file was changed.
        self.drop.left.clear()

    def exclude(self, patterns: tuple[str, ...]) -> None:
        """Another filter comes into force, by a reload."""
        spec = self.spec._replace(exclude=patterns)
        wanted = Filter(spec.include, spec.exclude)
        for path, content in [*self._published().items(), *self.drop.files().items()]:
            if not wanted.includes(path):
                self.given_up.add(content)
        if self._engine is not None:
            # So is what is on its way, though it may be gone from here by now.
            for path, intent in self._mirror.intents._open._open.items():
                if not wanted.includes(path):
                    contents = [self.drop.contents.get(each) for each in intent.fingerprints]
                    self.given_up |= {content for content in contents if content is not None}
                if is_rename(intent):
                    self.given_up |= {
                        content
                        for source, content in self._published().items()
                        if source.startswith(f"{intent.source}/")
                        and not wanted.includes(f"{path}{source[len(intent.source) :]}")
                    }
        self._reload(spec)

    def keep(self) -> None:
        """What is gone is to stay at the server from now on, by a reload."""
        self.given_up |= self.drop.finished
        self._reload(self.spec._replace(deletes=DeletePolicy.KEEP))

    def _reload(self, spec: MappingSpec) -> None:
        self.spec, self._all_managed = spec, False
        if self._engine is not None and not (self._turning or self._looking):
            root, queue = self._folder.root, self._mirror.queue
            queue.withdraw_mapping(M)
            for action in self._crew.recall(M):
                queue.finish(action)
            self._attach(root)

    def lose_history(self) -> None:
        """All receipts are too old."""
        self._ledger.history.prune(self.time.wall_ns() + 10**18, 1000)

    # ── what people say ──────────────────────────────────────────────────────────────────────────────────────

    def approve(self) -> None:
        if self._engine is None or self._turning:
            return
        held = self._mirror.removals.hold is not None
        if held or self._ledger.failures.changed_at_server(self._mirror.id):
            here = self.drop.files()
            self._approved += sum(1 for path in self._published() if path not in here)
            self._may_accept |= held
            self._is_asked()
            self._mirror.removals.approve(self._engine._moment())
            # As `Steering` does before it answers.
            self._ledger.commit()

    def discard(self) -> None:
        if self._engine is None or self._turning:
            return
        if self._mirror.removals.hold is not None or self._ledger.failures.changed_at_server(self._mirror.id):
            self.given_up |= self.drop.finished
            self._all_managed = False
            self._may_accept = True
            self._is_asked()
            self._mirror.removals.discard(self._engine._moment())
            # As `Steering` does before it answers.
            self._ledger.commit()

    @property
    def running(self) -> bool:
        """Whether the daemon lives."""
        return self._engine is not None

    # ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        if self._engine is not None or self._depth:
            return
        self._ledger = MortalLedger(self.drop.place / "ledger.db")
        self._engine = Engine(self._ledger, self.events.append, clock=Clock(self.time.monotonic, self.time.wall_ns))
        # An approval outlives the daemon.
        self._deleted, self._approved = 0, max(0, self._approved - self._deleted)
        self._started = self.time.now
        queue = Queue(WORKERS, jitter=0.5)
        engine = self._engine
        self._crew = Hands(
            SERVER,
            self.server.connect,
            WORKERS,
            lambda _name: self._folder,
            self._performed,
            engine.received,
            exposed=engine.exposed,
            opened=lambda: engine.connected(SERVER),
        )
        self._engine.servers[SERVER] = Server(SERVER, queue, self._crew)
        self._attach(None)
        self._ledger.between = self.between

    def _attach(self, root: RootIdentity | None) -> None:
        engine = self._engine
        assert engine is not None
        self._folder = Folder(self.spec, root)
        self._selection = Filter(self.spec.include, self.spec.exclude)
        mirror = Mirror(
            self.spec,
            self._selection,
            engine.ledger.mappings.number(M, "there"),
            engine.ledger,
            engine.servers[SERVER].queue,
            self._folder,
            self.events.append,
            today=lambda: "today",
            one_pass=self.one_pass,
            performs=self.performs,
        )
        if (before := engine.mirrors.get(M)) is not None:
            mirror.go_on_from(before)
        looker = self._looker()
        unwatched = Unwatched(looker, lambda changes: engine.changed(M, changes))
        watcher = unwatched if self.one_pass else Watcher(self.drop.root, self.drop.heard)
        disk = DiskThread(M, looker, watcher, lambda answer: engine.answered(M, answer))
        mirror.looks.attach(disk)
        self._disk, self._mirror = disk, mirror
        engine.mirrors[M] = mirror
        disk._report(disk._watcher.start)

    def _looker(self) -> Looker:
        return Looker(self, self.drop.root, follow_symlinks=self.spec.follow_symlinks)

    def _performed(self, outcome: Outcome) -> None:
        self.check_outcome(outcome)
        if self._engine is not None:
            self._engine.performed(SERVER, outcome)

    def _die(self) -> None:
        super()._die()
        self.drop.heard.entered.clear()

    def deliver(self, *, names_only: bool = False) -> bool:
        """The watcher hands on what the kernel told."""
        if self._engine is None:
            return False
        changes = self.drop.tell(names_only=names_only)
        if changes is not None:
            self._engine.changed(M, changes)
        return changes is not None

    def turn(self) -> bool:
        if self._engine is None or self._turning:
            return False
        empty, step = self._ledger.is_empty(self._mirror.id), self.steps
        told = super().turn()
        self._linked.handed(self._crew._handed, step)
        root = self._ledger.mappings.root(self._mirror.id)
        if root != self._known_root:
            if not (empty or self._may_accept or self._ledger.is_empty(self._mirror.id)):
                raise self._broken(
                    f"G4: another folder was taken for the published one: {root}, before {self._known_root}"
                )
            self._known_root, self._may_accept = root, False
        return told

    def look(self) -> bool:
        """The disk thread answers one question."""
        disk = self._disk
        if self._engine is None or self._looking or not (disk._check or disk._probes or disk._listings):
            return False
        request = disk._next()
        assert request is not None
        self._looking = True
        try:
            request()
        finally:
            self._looking = False
        return True

    def work(self) -> bool:
        """One worker does what has been handed over."""
        if self._engine is None or self._connecting or not self._crew.has_work:
            return False
        before, self._shift = self._shift, self._shift or Shift(dict(self.drop.walk()))
        try:
            self._crew.shift()
        finally:
            self._shift = before
        return True

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────

    def _put_back(self) -> None:
        self.come_back()
        self.unlock()

    def come_to_rest(self, *, arrived: bool = True) -> None:
        """Heal everything, wait, and compare.

        Args:
            arrived: what is to happen later does not, and what hangs on the line arrives at once.
        """
        if arrived:
            self._later.clear()
            self.server.arrive()
        self.mend()
        for _ in range(4):
            self.go_on(PATIENCE_S)
            self.time.now += 4.0
            self.turn()  # the watcher is asked
            self.go_on(PATIENCE_S)
            parked = [path for path, _ in self._ledger.failures.worst(self._mirror.id, 1000)]
            if self._mirror.removals.hold is None and not parked:
                break
            self.approve()
            self._is_asked()
            for path in parked:
                assert self._engine is not None
                again.retry(self._mirror, path, self._engine._moment())
        self._compare()

    def why(self, path: str) -> Why:
        """What a person is told who asks for a path."""
        assert self._engine is not None
        known = knows.known_now(self._mirror, path, path, self._engine._moment())
        return known if isinstance(known, Why) else known.find()

    def ask(self, which: int) -> None:
        """A person asks for a path."""
        paths = sorted({*self._paths(), *self._published()})
        if self._engine is not None and not self._turning and paths:
            path = paths[which % len(paths)]
            said = self.why(path)
            if len(said.sentence.split()) < 3 or "\n" in said.sentence or said.mapping != M:
                raise self._broken(f"G8: of {path} it is only said: {said}")

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def _published(self) -> dict[str, bytes]:
        """What a visitor finds under final names."""
        prefix = f"{BASE}/"
        return {
            path.removeprefix(prefix): file.content
            for path, file in self.server.files.items()
            if path.startswith(prefix)
            and not path.endswith(SUFFIX)
            and not path.startswith(f"{prefix}{TRASH}/")
            and file.content not in self.foreign
        }

    def _seen(self, verb: str, path: str) -> None:
        """The server changed: what would a visitor see?"""
        if verb == "STOR":
            if not path.endswith(SUFFIX):
                raise self._broken(f"G1: {path} grows under its final name")
            self.between("block", path)
        elif verb in {"RNTO", "LATE"}:
            for name, content in self._published().items():
                if content in self.drop.unfinished():
                    raise self._broken(f"G2: {name} is published while it is being written")
                if content not in self.drop.finished:
                    raise self._broken(f"G1: {name} is torn: {content[:30]!r}")
        elif verb == "DELE" and not path.endswith(SUFFIX) and path != self.server.replacing:
            self._removed(path)
        self._check_foreign(verb, path)

    def _check_foreign(self, verb: str, path: str) -> None:
        missing = self.foreign.keys() - {file.content for file in self.server.files.values()}
        if missing:
            raise self._broken(f"G4: {verb} {path} took foreign files: {missing}")

    def _renamed(self, source: str, target: str) -> None:
        """A final name is gone from the server, by a rename."""
        if not source.endswith(SUFFIX):
            trashed = f"/{TRASH}/" in target
            folder = target in self.server.dirs
            self._removed(source, folder=folder, to_trash=trashed, renamed=not trashed)
            if folder:
                # What had left the folder before has the folder's new name at the server, too.
                old, new = source.removeprefix(f"{BASE}/"), target.removeprefix(f"{BASE}/")
                for (name, content), at in list(self.drop.left.items()):
                    self.drop.left.setdefault((after_rename(name, old, new), content), at)
                self.drop.renamed |= {(after_rename(name, old, new), content) for name, content in self.drop.renamed}
            if folder or trashed:
                return
            self.note_patience()
            moved = source.removeprefix(f"{BASE}/"), self.server.files[target].content
            left = self.drop.left.get(moved, -math.inf)
            linked = self._linked.since(moved[0], target.removeprefix(f"{BASE}/"))
            gone_s = self.time.now - (left if linked is None else min(left, linked))
            if gone_s < self._absent_s - ROUNDING_S:
                raise self._broken(f"{source} is missing at the server {gone_s} s after it has gone here")

    def _has_other_name(self, path: str) -> bool:
        """Whether what was here was renamed, and is published under another name: its rename was cut off."""
        published = {*self._published().values()}
        return not published.isdisjoint(content for name, content in self.drop.renamed if name == path)

    def _removed(self, remote: str, *, folder: bool = False, to_trash: bool = False, renamed: bool = False) -> None:
        path = remote.removeprefix(f"{BASE}/")
        shift = self._shift
        assert shift is not None, "somebody else than a worker changed the server"
        if shift.there.get(path) is folder:
            raise self._broken(f"G4: {path} was taken from the server while it is here")
        if renamed:
            return
        root = self._ledger.mappings.root(self._mirror.id)
        if not shift.root_moved and tree.root_identity(self.drop.root) != root:
            raise self._broken(f"G4: {path} was deleted while another folder, or none, is in the root's place")
        self.count("trashed at the server" if to_trash else "deleted at the server")
        if self._has_other_name(path):
            return
        self._deleted += 1
        minutes = int((self.time.now - self._started) // 60) + 1
        if self._deleted > self._max_deletes * minutes + self._approved:
            raise self._broken(f"G4: {self._deleted} deletes in {minutes} minutes, {self._approved} of them approved")

    def looked_at(self, listing: Listing) -> None:
        self._linked.looked(listing, self.steps)

    def _disk_changes(self, paths: set[str]) -> None:
        super()._disk_changes(paths)
        self._linked.goes(paths, self.steps)

    def _root_moved(self) -> None:
        if self._shift is not None:
            self._shift.root_moved = True

    def check_ledger(self) -> None:
        """What the ledger says is at the server is there, unless it says that it may be otherwise."""
        if self._engine is None:
            return
        mapping = self._mirror.id
        in_doubt, moving = doubtful(self._mirror)
        published = self._published()
        rows = dict(self._ledger.walk(mapping))
        for path in rows:
            above = rows.get(parent(path))
            if any(path.startswith(f"{directory}/") for directory in moving):
                # What is in a renamed directory comes before the directory itself: until that, the rename is open.
                continue
            if parent(path) and not self._selection.descend(parent(path)):
                # What is left out now is forgotten, some of it at a time.
                continue
            if parent(path) and (above is None or above.kind is not Kind.DIR):
                raise self._broken(f"G3: the ledger has {path}, but not the directory in which it could be found gone")
        for path, row in rows.items():
            if row.kind is not Kind.FILE or not row.fingerprint.inode or path in in_doubt:
                continue
            if any(path.startswith(f"{directory}/") for directory in moving):
                continue
            there, expected = published.get(path), self.drop.contents.get(row.fingerprint)
            if there is None or (expected is not None and there != expected):
                raise self._broken(
                    f"G3: the ledger has {path} as published, but the server has {there and there[:20]!r}"
                )

    def _compare(self) -> None:
        """Both sides, when nothing is left to do."""
        self._compare_files()
        left = [path for path in self.server.files if path.endswith(SUFFIX)]
        if left:
            raise self._broken(f"{left} were left at the server; {self._state}")
        if self._all_managed and self.spec.deletes is not DeletePolicy.KEEP:
            self._compare_directories()

    @property
    def _state(self) -> str:
        return f"{self._mirror!r} {self._mirror.intents!r} {self._mirror.queue!r}"

    def _compare_files(self) -> None:
        wanted = {path: content for path, content in self.drop.files().items() if self._selection.includes(path)}
        published = self._published()
        for path, content in wanted.items():
            if published.get(path) != content and not self._in_the_way(path, published):
                failure = self._ledger.failures.of(self._mirror.id, path)
                there = published.get(path, b"nothing")[:20]
                raise self._broken(
                    f"G3: {path} is not published: {there!r} instead of {content[:20]!r}; {failure}; {self._state}"
                )
        for path, content in published.items():
            if path not in wanted and content not in self.given_up and self.spec.deletes is not DeletePolicy.KEEP:
                raise self._broken(
                    f"{path} ({content[:20]!r}) stays at the server though it is gone here; {self._state}"
                )

    def _in_the_way(self, path: str, published: dict[str, bytes]) -> bool:
        """Whether something that has to stay at the server has this path, or one above it."""
        remote = f"{BASE}/{path}"
        if remote in self.server.dirs and any(p.startswith(f"{remote}/") for p in self._foreign_paths()):
            return True
        if self._all_managed and self.spec.deletes is not DeletePolicy.KEEP:
            return False
        if remote in self.server.dirs:
            return True
        while path := parent(path):
            if path in published:
                return True
        return False

    def _foreign_paths(self) -> list[str]:
        return [path for path, file in self.server.files.items() if file.content in self.foreign]

    def _blocked(self) -> set[str]:
        """What cannot be published because something that has to stay at the server is in its way."""
        return set()

    def _compare_directories(self) -> None:
        here = {f"{BASE}/{path}" for path in self.drop.folders()} | {BASE, "/"}
        blocked = {f"{BASE}/{path}" for path in self._blocked()}
        if self.spec.empty_dirs and (missing := here - self.server.dirs - blocked - {f"{BASE}/"}):
            raise self._broken(f"the directories {missing} are here, and not at the server")
        for directory in self.server.dirs - here:
            below = [path for path in self.server.files if path.startswith(f"{directory}/")]
            if TRASH not in directory and not below:
                raise self._broken(f"the empty directory {directory} stays at the server though it is gone here")


@contextmanager
def world(**settings: object) -> Iterator[World]:
    with World(**settings) as made:  # type: ignore[arg-type]
        yield made
