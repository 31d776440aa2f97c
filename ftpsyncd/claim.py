"""The state directory as ours: nobody else works on it while it is, and we notice when it is not the one it was.

In: a directory. Out: a claim, or why there is none. A lock counts only for those who find it: once the directory, the
lock or the ledger was removed, moved away or replaced, the next one finds no lock, or another ledger, and would publish
beside whoever goes on with the old one. And a ledger that somebody else has written over, or whose write-ahead log is
gone, does not say any more what is at the servers.

Nor is what lies there for everybody: the ledger names files, servers and what was done, and whoever may open the lock
can take it, or the ledger's, and keep us from our work.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ftpsyncd.errors import LedgerError, LedgerLostError, LockHeldError
from ftpsyncd.quoting import as_word
from ftpsyncd.threads import begin

MODE = 0o640
"""Of a file in the state directory, at most, whatever the umask."""
MACHINE = Path("/etc/machine-id")
"""Of systemd and D-Bus: of each machine another one, but for those that were made by copying a whole machine."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Of no two machines that run the same, also where one is a copy of the other (random(4))."""
SENDER = "sender"
"""A note in the state directory: whose it is, and was before."""
SENDERS_KEPT = 4
"""Of those: one more for each boot, or other name of the machine, after a crash."""
SENDERS_KEPT_S = 86400.0
"""For so long whoever it was before a crash is kept in mind also behind a process that ended in order, and behind the
next boot: a `sync` that found no network has looked for nothing."""
LOOK_EVERY_S = 3.0
_END_S = 0.5
"""A look that hangs is waited for so long at the end."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


def whose(directory: Path) -> str:
    """What tells a state directory from any other one, also from its copy on another machine; nobody is to read it.

    It need not last: who gets another one tells apart what it was before.
    """
    # In most containers there is no machine's, and the name is one of their own.
    machine, boot = (_read(each) for each in (MACHINE, BOOT))
    return "\0".join((machine, boot, os.uname().nodename, str(directory.resolve()), ""))


def whose_before(directory: Path, now: str, *, in_order: bool) -> tuple[str, ...]:
    """Whose a state directory was (`whose`) when something may have been begun of which the ledger knows nothing.

    A power failure takes its last commits along, and the boot that follows makes it another one's. The note of it is on
    the disk before anything is sent.

    Args:
        directory: it; ours.
        now: whose it is.
        in_order: the ledger was closed in order: then it knows of all that was begun by who noted this last.
    """
    note = directory / SENDER
    closed, since_s = False, -math.inf
    try:
        status = note.stat()
        closed, since_s = not status.st_mode & 0o077, status.st_mtime
        noted = json.loads(note.read_bytes())
    except (OSError, ValueError, RecursionError):
        noted = []
    known = [each for each in noted if isinstance(each, str)] if isinstance(noted, list) else []
    over = {now}
    if in_order:
        # The one before that may not have been looked for.
        this_boot = known[:1] == [now] and _read(BOOT) != ""
        over.update(known[:1] if _ago_s(since_s, this_boot=this_boot) <= SENDERS_KEPT_S else known)
    before = [each for each in known if each not in over][: SENDERS_KEPT - 1]
    if known != [now, *before] or not closed:
        draft = note.with_name(f"{SENDER}.new")
        # Where it cannot be written, nothing is known of this time.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            draft.touch(0o600, exist_ok=False)
            with draft.open("wb") as file:
                file.write(json.dumps([now, *before]).encode("ascii"))
                file.flush()
                if in_order and before:
                    # Each boot of a day would keep them in mind for one more.
                    os.utime(file.fileno(), (since_s, since_s))
                os.fsync(file.fileno())
            draft.replace(note)
            # Its name, too: a file's own content is all that a file's fsync is about (fsync(2)).
            opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
    return tuple(before)


def _ago_s(since_s: float, *, this_boot: bool) -> float:
    """How long ago something was that a clock dated which may have been years wrong: it need not have a battery."""
    by_clock_s = abs(time.time() - since_s)
    return min(by_clock_s, time.clock_gettime(time.CLOCK_BOOTTIME)) if this_boot else by_clock_s


def _read(path: Path) -> str:
    """What the system says there; empty where it does not."""
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


@dataclass(slots=True)
class _Kept:
    """A file that has to stay where it is."""

    descriptor: int
    ours_alone: bool = False
    """Nobody but us writes it, and we only within `Claim.writing`."""
    left: tuple[int, int] = (0, 0)
    """Its size and mtime (ns) as we left it."""


class Claim:
    """A state directory that is ours until it is closed; also a context manager.

    Args:
        directory: it; made (0750) if it is missing.
        believes_dates: a file's date there changes when it is written, and at no other time; not so at servers that set
            it when a file is closed (SMB).

    Raises:
        LockHeldError: another ftpsyncd works on it.
        LedgerError: it cannot be used.
    """

    def __init__(self, directory: Path, *, believes_dates: bool = True) -> None:
        self._believes_dates = believes_dates
        self._kept: dict[Path, _Kept] = {}
        """Files that have to stay where they are, each with a descriptor of it."""
        self._open_to_all: dict[str, str] = {}
        """Why everybody can read a file, by its name."""
        self._directory = directory
        self._writing = threading.RLock()
        """Nobody looks at a file while we write it."""
        self._stack = ExitStack()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
            self.used_before = (directory / "lock").exists()
            """Somebody had it before us."""
            with suppress(FileExistsError):
                (directory / "lock").touch(MODE, exist_ok=False)
            lock = self._stack.enter_context((directory / "lock").open("a"))
        except OSError as error:
            # "File exists" is what `mkdir` says of a file there.
            why = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
            remedy = None
            if isinstance(error, PermissionError) and not os.path.isdir(directory):  # noqa: PTH112 - that of Path raises
                remedy = "Let the user that runs ftpsyncd make it, or have `state_dir` name another one."
            elif isinstance(error, PermissionError):
                # Perhaps a `sync` of root has made it in a directory that is the service's.
                remedy = (
                    "All in it has to belong to the user that runs ftpsyncd; for the service:"
                    f" `chown -R ftpsyncd: {as_word(directory)}`."
                )
            raise LedgerError(f"the state directory {directory} cannot be used: {why}", remedy=remedy) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise LockHeldError(f"another ftpsyncd uses the state directory {directory}") from error
        except OSError as error:
            # NFS whose lock manager does not run, for one: ENOLCK.
            self.close()
            raise LedgerError(
                f"the state directory {directory} cannot be locked: {error.strerror}",
                remedy="Have `state_dir` name a directory on a disk of this machine, or the file server keep locks.",
            ) from error
        self._kept[directory / "lock"] = _Kept(lock.fileno())
        self.close_to_others([directory / "lock"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the directory to others."""
        self._kept.clear()
        self._stack.close()

    @property
    def open_to_all(self) -> str:
        """What everybody on this machine can read, why, and what helps, in words; empty if nothing."""
        if not self._open_to_all:
            return ""
        names, why = ", ".join(self._open_to_all), "; ".join(dict.fromkeys(self._open_to_all.values()))
        return (
            f"every user of this machine can read {names} in the state directory {self._directory}: {why}."
            " Close that directory, or one above it, to others (`chmod o-rwx`), or have `state_dir` name another one."
        )

    def close_to_others(self, files: Iterable[Path]) -> None:
        """Leave these to their owner and group, who get no right that they had not; what is not there need not be.

        They may have been made by an older version, or be copies. One that cannot be closed is no reason not to work.
        """
        for file in files:
            why = _why_open(file)
            if why and lets_others_in(file.parent):
                self._open_to_all[file.name] = why

    def keep(self, path: Path, *, ours_alone: bool = False) -> None:
        """This file is used, too, and has to stay where it is from now on.

        Args:
            path: it.
            ours_alone: nobody but us writes it, and we do within `writing` only.

        Raises:
            LedgerError: it is not there.
        """
        try:
            # Nothing is opened by that (open(2)): to close it leaves the locks of SQLite alone.
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise LedgerError(f"{path} cannot be used: {error.strerror}") from error
        self._stack.callback(os.close, descriptor)
        self._kept[path] = _Kept(descriptor, ours_alone, _state_of(os.fstat(descriptor)))

    def let_go(self, path: Path) -> None:
        """This file is not used any more, and need not stay where it is; one that was never kept is none."""
        # Its descriptor stays to the end: it keeps nobody from anything.
        self._kept.pop(path, None)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """We write what is kept; nobody looks meanwhile.

        Raises:
            LedgerLostError: it is not what it was, and may not be written.
        """
        with self._writing:
            self.require()
            try:
                yield
            finally:
                for kept in self._kept.values():
                    kept.left = _state_of(os.fstat(kept.descriptor))

    def require(self) -> None:
        """Make sure that all is where it was, and as we left it.

        Raises:
            LedgerLostError: it is not.
        """
        with self._writing:
            for path in list(self._kept):
                became = self.became(path)
                if became:
                    raise LedgerLostError(f"{path} was {became} beneath this process, which cannot go on with it")

    def is_ours(self, path: Path) -> bool:
        """Whether a file is kept, and what it was."""
        return path in self._kept and not self.became(path)

    def became(self, path: Path) -> str:
        """What has become of a file that is kept, in words; empty if it is what it was, or nobody can tell."""
        kept = self._kept[path]
        try:
            found, ours = path.stat(), os.fstat(kept.descriptor)
        except OSError as error:
            # If nobody can tell, whoever writes there hears of it.
            return "removed or moved away" if error.errno in _GONE else ""
        if not os.path.samestat(found, ours):
            return "replaced by another file"
        touched = kept.ours_alone and self._believes_dates and _state_of(found) != kept.left
        return "written by somebody else" if touched else ""


def is_taken(directory: Path) -> bool:
    """Whether a process has it now, as far as the kernel tells. To try would refuse whoever comes in that moment."""
    try:
        lock = os.open(directory / "lock", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        number, disk = os.fstat(lock).st_ino, _disk_of(lock)
        held = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, ValueError):
        return False
    finally:
        os.close(lock)
    for line in held.splitlines():
        place = next((field for field in line.split() if field.count(":") == 2), "")
        major, _, rest = place.partition(":")
        minor, _, inode = rest.partition(":")
        if " FLOCK " in line and inode == str(number) and disk in {None, (int(major, 16), int(minor, 16))}:
            return True
    return False


def _disk_of(descriptor: int) -> tuple[int, int] | None:
    """The file system that an open file is on, as the kernel's lists have it; None if it cannot be told.

    Some tell of another device in `stat` (proc_locks(5)). On two that were made alike, the locks often have one inode.
    """
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except (OSError, ValueError):
        return None
    known = next((fact.split()[1] for fact in facts if fact.startswith("mnt_id:")), "")
    device = next((fields[2] for fields in map(bytes.split, mounts) if fields[0] == known.encode()), b"")
    major, _, minor = device.partition(b":")
    return (int(major), int(minor)) if minor else None


def _why_open(file: Path) -> str:
    """Take from a file the rights that it is not to have; why everybody has some all the same, or nothing."""
    try:
        mode = file.lstat().st_mode
        # A link may lead to anything, for whoever else writes in the directory.
        if not stat.S_ISREG(mode) or not stat.S_IMODE(mode) & ~MODE:
            return ""
        with suppress(OSError):
            file.chmod(stat.S_IMODE(mode) & MODE)
        # A disk that keeps no rights may say yes to everything.
        became = file.lstat()
    except OSError:
        return ""
    if not became.st_mode & stat.S_IRWXO:
        return ""
    return "it belongs to another user" if became.st_uid != os.geteuid() else "its disk keeps no rights"


def lets_others_in(directory: Path) -> bool:
    """Whether everybody can reach what is in a directory, as far as that is up to it."""
    try:
        return bool(directory.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return True


def _state_of(status: os.stat_result) -> tuple[int, int]:
    """Its size in bytes, and when it was written."""
    return status.st_size, status.st_mtime_ns


class Lookout:
    """Looks every few seconds whether a claim still holds, on a thread of its own: the disk may hang.

    Args:
        claim: it.
        tell: is told what was lost, once, by that thread.
        tend: is called each time that it holds: what else has to be looked after, and may hang.
    """

    def __init__(self, claim: Claim, tell: Callable[[LedgerLostError], None], tend: Callable[[], None]) -> None:
        self._claim = claim
        self._tell = tell
        self._tend = tend
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ftpsyncd-lookout", daemon=True)

    def __enter__(self) -> Self:
        begin(self._thread)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            try:
                self._claim.require()
            except LedgerLostError as error:
                self._tell(error)
                return
            self._tend()
