"""What this machine lacks: that nothing further can be opened, or that there is no memory, was behind an error.

In: errors of the system, and those that others made of them. Out: words, or the error that tells it. Called where
something is opened (`local`, `remote`, `ledger`), by workers, and where commands and the daemon end.

Sources: open(2), socket(2), getrlimit(2).
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import ExitStack

from ftpsyncd.errors import FtpsyncdError, NoDescriptorError, NoMemoryError

_STRANGE = os.strerror(errno.EMFILE)
_NO_ROOM = "failed to map segment from shared object"
"""Of the loader of libraries, with nothing behind it: where that is not allowed, it says so (mmap(2))."""


def files(error: BaseException) -> str:
    """What is said of an error that means that no file, or connection, can be opened now; empty for any other."""
    match getattr(error, "errno", None):
        case errno.EMFILE:
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return f"This process may have {soft} files open, and has them"
        case errno.ENFILE:
            return "No further file can be opened on this machine (fs.file-max)"
        case None if isinstance(error, ImportError) and _STRANGE in str(error):
            # Of the loader of libraries, which has no numbers for what is wrong.
            return files(OSError(errno.EMFILE, ""))
        case _:
            return ""


def behind(error: BaseException) -> FtpsyncdError | None:
    """What this machine lacked where that led to an error, whatever it was taken for on the way; None if nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if said := files(cause):
            return NoDescriptorError(f"{said}.")
        unloaded = isinstance(cause, ImportError) and str(cause).endswith(_NO_ROOM)
        if unloaded or isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return NoMemoryError("There is no memory left for this process.")
        cause = cause.__cause__ or cause.__context__
    return None


def few_left(needed: int) -> str:
    """As `files`, where not so many further files can be opened now; for libraries that do not tell why they fail."""
    with ExitStack() as opened:
        try:
            for _ in range(needed):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            return files(error)
    return ""
