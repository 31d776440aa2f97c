"""The state directory as ours: nobody else works on it while it is, and we notice when it is not the one it was.

In: a directory. Out: a claim, or why there is none. A lock counts only for those who find it: once the directory, the
lock or the ledger was removed, moved away or replaced, the next one finds no lock, or another ledger, and would publish
beside whoever goes on with the old one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ftpsyncd.errors import LedgerError, LedgerLostError, LockHeldError
from ftpsyncd.threads import begin

LOOK_EVERY_S = 3.0
_END_S = 0.5
"""A look that hangs is waited for so long at the end."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


class Claim:
    """A state directory that is ours until it is closed; also a context manager.

    Args:
        directory: it; made (0750) if it is missing.

    Raises:
        LockHeldError: another ftpsyncd works on it.
        LedgerError: it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._kept: dict[Path, int] = {}
        """Files that have to stay where they are, each with a descriptor of it."""
        self._stack = ExitStack()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
            lock = self._stack.enter_context((directory / "lock").open("a"))
        except OSError as error:
            # "File exists" is what `mkdir` says of a file there.
            why = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
            remedy = None
            if isinstance(error, PermissionError):
                # Perhaps a `sync` of root has made it in a directory that is the service's.
                remedy = (
                    "All in it has to belong to the user that runs ftpsyncd; for the service:"
                    f" `chown -R ftpsyncd: {directory}`."
                )
            raise LedgerError(f"the state directory {directory} cannot be used: {why}", remedy=remedy) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise LockHeldError(f"another ftpsyncd uses the state directory {directory}") from error
        self._kept[directory / "lock"] = lock.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the directory to others."""
        self._kept.clear()
        self._stack.close()

    def keep(self, path: Path) -> None:
        """This file is used, too, and has to stay where it is from now on.

        Raises:
            LedgerError: it is not there.
        """
        try:
            # Nothing is opened by that (open(2)): to close it leaves the locks of SQLite alone.
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise LedgerError(f"{path} cannot be used: {error.strerror}") from error
        self._stack.callback(os.close, descriptor)
        self._kept[path] = descriptor

    def require(self) -> None:
        """Make sure that all is where it was.

        Raises:
            LedgerLostError: it is not.
        """
        for path, descriptor in list(self._kept.items()):
            try:
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    continue
                became = "replaced by another file"
            except OSError as error:
                if error.errno not in _GONE:
                    continue  # nobody can tell; whoever writes there hears of it
                became = "removed or moved away"
            raise LedgerLostError(f"{path} was {became} beneath this process, which cannot go on with it")


class Lookout:
    """Looks every few seconds whether a claim still holds, on a thread of its own: the disk may hang.

    Args:
        claim: it.
        tell: is told what was lost, once, by that thread.
    """

    def __init__(self, claim: Claim, tell: Callable[[LedgerLostError], None]) -> None:
        self._claim = claim
        self._tell = tell
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
