"""A world in whose folder disks are mounted, taken away and swapped. Needs root.

Three small file systems lie beside the folder for as long as it takes, and are bound into it: to be away and to come
back is then to be unbound and bound, and each has a number that lasts. What is on a disk that is away, or lies under one,
has to stay at the server until a person accepts that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftpsyncd.core.names import SUFFIX
from ftpsyncd.engine.loop import Engine
from ftpsyncd.local import tree
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import MIXED, HoldKind, Kind
from tests.model.passes import Syncing
from tests.model.racing import Racing
from tests.model.stage import Op

DISKS = 3
_MS_BIND, _MNT_DETACH = 4096, 2
_INODES_EACH = 20_000
"""Disks have inodes of their own here: what the test notes about files, it notes by inode."""
_TOLD_AFTER_S = 3.0
"""Within which a watcher sees that something was mounted."""
_WAS = re.compile(r"^(\S+) was (mounted|not mounted|a plain directory|a mount point) .* and is (.*?) now")


def _mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def _umount(target: str | Path) -> None:
    ctypes.CDLL(None).umount2(os.fsencode(target), _MNT_DETACH)


class Disks:
    """The file systems, and the folders that lie beside the drop folder for one story after the other."""

    def __init__(self, place: Path) -> None:
        self.places = [place / f"disk{number}" for number in range(DISKS)]
        for number, disk in enumerate(self.places):
            disk.mkdir()
            _mount("tmpfs", disk, "tmpfs")
            for _ in range((number + 1) * _INODES_EACH):
                os.close(os.open(disk / "x", os.O_CREAT | os.O_RDONLY))
                (disk / "x").unlink()

    def number(self, disk: int) -> int:
        """As the ledger knows one."""
        descriptor = os.open(self.places[disk], os.O_RDONLY)
        try:
            return tree.lasting_filesystem_of(descriptor, os.fstat(descriptor).st_dev)
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        for disk in self.places:
            for each in disk.iterdir():
                if each.is_dir():
                    shutil.rmtree(each)
                else:
                    each.unlink()

    def remove(self) -> None:
        for disk in self.places:
            _umount(disk)


class Mounting(Syncing, Racing):
    """One mapping with disks in its folder."""

    def __init__(self, disks: Disks, **settings: object) -> None:
        self.disks = disks
        disks.clear()
        self.mounts: dict[str, int] = {}
        """What is mounted where, by the path it was mounted at; a folder above may have another name by now."""
        self._untold: float | None = None
        self._there: dict[str, bytes] = {}
        self.accepted: set[bytes] = set()
        """A person wants it to go from the server, or to be left alone there."""
        super().__init__(**settings)  # type: ignore[arg-type]
        self._bare = self.drop.place / "bare"
        self._bare.mkdir()
        _mount(self.drop.folder, self._bare, flags=_MS_BIND)

    def close(self) -> None:
        while points := self._in_order():
            _umount(self.drop.folder / points[-1])
        _umount(self._bare)
        super().close()

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    def do(self, op: Op) -> None:
        try:
            super().do(op)
        except OSError as error:
            # What people are refused who move something to another disk, or remove a mount point.
            if error.errno not in {errno.EXDEV, errno.EBUSY}:
                raise

    def sync(self) -> None:
        """As `Syncing` has it; a daemon that runs ends before."""
        with self._no_daemon() as none:
            if none:
                super().sync()

    def decide(self, what: str) -> None:
        """Likewise."""
        with self._no_daemon() as none:
            if none:
                super().decide(what)

    @contextmanager
    def _no_daemon(self) -> Iterator[bool]:
        self.quit()
        none = self._engine is None and not self._depth
        self.one_pass |= none
        try:
            yield none
        finally:
            self.one_pass &= not none

    def points(self) -> list[str]:
        """Where something is mounted and can be seen, the deepest first."""
        points = self._in_order()
        seen = [
            point
            for i, point in enumerate(points)
            if not any(f"{point}/".startswith(f"{over}/") for over in points[i + 1 :])
        ]
        return sorted(seen, key=len, reverse=True)

    def _in_order(self) -> list[str]:
        """Whatever is mounted in the folder, also what is covered; the last one is the newest."""
        prefix = f"{self.drop.folder}/"
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [place.removeprefix(prefix) for line in lines if (place := line.split()[4]).startswith(prefix)]

    def mount(self, disk: int, point: str, told: bool = True) -> None:  # noqa: FBT001, FBT002 - an Op has no names
        local = self.drop.folder / point
        if point in self.points() or not local.parent.is_dir() or (local.exists() and not local.is_dir()):
            return
        self._covers(point)
        local.mkdir(exist_ok=True)
        _mount(self.disks.places[disk], local, flags=_MS_BIND)
        self._mounts_changed(told)
        self.accepted -= {path.read_bytes() for path in self.disks.places[disk].rglob("*") if path.is_file()}

    def unmount(self, which: int, told: bool = True, leaves: bool = True) -> None:  # noqa: FBT001, FBT002
        points = self.points()
        if not points:
            return
        point = points[which % len(points)]
        if any(each.startswith(f"{point}/") for each in points):
            return
        self._covers(point)
        _umount(self.drop.folder / point)
        if not leaves:
            # Not where something lies below it.
            with suppress(OSError):
                (self.drop.folder / point).rmdir()
        self._mounts_changed(told)

    def swap_disks(self, which: int, disk: int, told: bool = True) -> None:  # noqa: FBT001, FBT002
        points = self.points()
        if points:
            point = points[which % len(points)]
            self.unmount(which, told)
            self.mount(disk, point, told)

    def copy(self, path: str, target: str) -> None:
        """With its date, perhaps to another disk."""
        drop = self.drop
        if not drop.exists(path) or drop.is_folder(path) or drop.exists(target) or not drop._has_folder(target):
            return
        content = drop.contents.get(fingerprint_of(Path(drop.local(path)).stat()))
        if content is None:
            return
        drop._changed(set())
        shutil.copy2(drop.local(path), drop.local(target))
        drop.contents[fingerprint_of(drop._note(drop.local(target)))] = content
        drop._tell(target)

    def _covers(self, point: str) -> None:
        self._disk_changes({path for path, _ in self.drop.walk() if f"{path}/".startswith(f"{point}/")})

    def _mounts_changed(self, told: bool) -> None:  # noqa: FBT001
        if told:
            self.drop.lose()
        elif self._untold is None:
            self._untold = self.time.now + _TOLD_AFTER_S

    def turn(self) -> bool:
        if self._untold is not None and self.time.now >= self._untold:
            self._untold = None
            self.drop.lose()
        return super().turn()

    def _due(self, engine: Engine) -> float:
        due = super()._due(engine)
        return due if self._untold is None else min(due, self._untold)

    def _accepts(self) -> None:
        if self._engine is not None and not self._turning:
            hold = self._mirror.removals.hold
            if hold is not None and hold.kind is not HoldKind.MASS_DELETE and not self._mirror.removals.source.unseen:
                self.accepted |= self.away()

    def approve(self) -> None:
        self._accepts()
        super().approve()

    def discard(self) -> None:
        self._accepts()
        super().discard()

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

    def away(self) -> set[bytes]:
        """The contents that are on disks that are not mounted, or lie below one."""
        places = (self._bare, *self.disks.places)
        everything = {
            p.read_bytes() for place in places for p in place.rglob("*") if p.is_file() and not p.is_symlink()
        }
        return everything - set(self.drop.files().values())

    def _seen(self, verb: str, path: str) -> None:
        try:
            super()._seen(verb, path)
        finally:
            self._there = {name: file.content for name, file in self.server.files.items()}

    def _removed(self, remote: str, *, folder: bool = False, to_trash: bool = False, renamed: bool = False) -> None:
        if not renamed and not remote.endswith(SUFFIX):
            gone = {had for path, had in self._there.items() if path == remote or path.startswith(f"{remote}/")}
            if lost := gone & self.away() - self.accepted - self.given_up:
                raise self._broken(f"G4: {remote} was deleted, and is on a disk that is away: {lost}; {self._state}")
        super()._removed(remote, folder=folder, to_trash=to_trash, renamed=renamed)

    def is_told_truly(self) -> None:
        """What is said of a disk is so, when all that happened was looked at."""
        if self._engine is None or self._turning or self._depth:
            return
        self.resume()
        self.go_on(30.0)
        if self._engine is None or self._later:
            return
        hold = self._mirror.removals.hold
        if hold is None or hold.kind in {HoldKind.MASS_DELETE, HoldKind.TWO_SOURCES} or not self.drop.is_at_home():
            return
        self.count("holds that were looked at")
        points = self.points()
        if (found := _WAS.match(hold.message)) is None:
            if " is mounted now, and some" in hold.message or " is not mounted now, and some" in hold.message:
                path = hold.message.split(" is ")[0]
                if (path in points) is not (" is mounted now" in hold.message):
                    raise self._broken(f"G8: {hold.message!r} with {points}")
            elif " is on another disk now" in hold.message and hold.message.split(" is ")[0] not in points:
                raise self._broken(f"G8: {hold.message!r} with {points}")
            return
        path, now = found[1], found[3]
        true = {
            "not mounted": path not in points and self.drop.exists(path),
            "a mount point": path in points,
            "not there": path not in points and not self.drop.exists(path),
        }
        if not true[now]:
            raise self._broken(f"G8: {hold.message!r} with {points} {self.drop.exists(path)}")

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────

    def _recorded(self) -> Iterator[tuple[str, int]]:
        """Directories that are published, and on which disk each is."""
        for path, row in self._ledger.walk(self._mirror.id):
            if row.kind is Kind.DIR:
                yield path, row.device

    def _mount_as_recorded(self) -> bool:
        """Whether that is possible."""
        numbers = {self.disks.number(disk): disk for disk in range(DISKS)}
        recorded = dict(self._recorded())
        if any(device in {1, MIXED} for device in recorded.values()):
            return False
        for point in self.points():
            if numbers.get(recorded.get(point, 0), -1) != self._mounted_at(point) and point in recorded:
                self._covers(point)
                for each in self.points():
                    if f"{each}/".startswith(f"{point}/"):
                        _umount(self.drop.folder / each)
        for path, device in sorted(recorded.items()):
            if device and path not in self.points():
                local = self.drop.folder / path
                if device not in numbers:
                    return False
                if not local.parent.is_dir() or (local.exists() and not local.is_dir()):
                    return False
                self.mount(numbers[device], path)
        self.drop.lose()
        return True

    def _mounted_at(self, point: str) -> int:
        device = (self.drop.folder / point).stat().st_dev
        return next((disk for disk, place in enumerate(self.disks.places) if place.stat().st_dev == device), -1)

    def come_to_rest(self, *, arrived: bool = True) -> None:
        self._later.clear()
        self.server.arrive()
        self.mend()
        self.go_on(100.0)
        for _ in range(2):
            whole = self._mount_as_recorded()
            self.go_on(100.0)
        hold = self._mirror.removals.hold
        recorded = dict(self._recorded())
        whole = whole and self._mirror.removals.source.places.root_is_back
        if (
            hold is not None
            and whole
            and hold.kind not in {HoldKind.MASS_DELETE, HoldKind.TWO_SOURCES}
            and MIXED not in recorded.values()
        ):
            raise self._broken(
                f"G8: all is mounted as it was, and it is held: {hold.message} {self.points()} {recorded}"
            )
        self.count("ended without a hold" if hold is None else f"ended held: {hold.kind}")
        for _ in range(3):
            self.drop.lose()
            super().come_to_rest(arrived=arrived)
            if self._mirror.removals.hold is None:
                return
        raise self._broken(f"it stays held: {self._mirror.removals.hold}")
