"""What helps against an error where no daemon tries again: in a program, or after a command that was typed. Pure.

The errors' own remedies are for the service's log and status.
"""

from __future__ import annotations

from ftpsyncd.errors import (
    NO_ANSWER,
    FtpsyncdError,
    InUseError,
    LocalError,
    NameRefusedError,
    RemoteError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TooManyConnectionsError,
    TooManyTransfersError,
    TransferFailedError,
    UnwrittenError,
)
from ftpsyncd.paths import basename
from ftpsyncd.quoting import named

_FILTERED = (
    "If the server takes only names with certain endings, have it take `.filepart`, with which files are sent, too"
)
FILTERED = f"{_FILTERED}; or set `publish: direct`. Then run `ftpsyncd retry`."
"""Of a mapping's file whose temporary name may be what is refused."""
_DOTTED = "Some servers take no names that begin with a dot (pure-ftpd with `-x`): have this one take them"
DOTTED = f"{_DOTTED}, or leave the file out (`exclude`). {FILTERED}"
"""The same where either may be: its temporary name begins with a dot as its own does."""
_TAKEN = "If a program at the server takes, or checks, what arrives, have it"
TAKEN = f"{_TAKEN} pass over names that end in `.filepart`."
"""Of a file that was stored under its temporary name, and is there no more."""
TAKEN_AT_ONCE = f"{_TAKEN} leave each file there for some seconds."
"""Of one that was stored under its final name."""

UNOPENED = (
    "Nothing of it is there: perhaps the server's system takes no such name, or does not let the server write in this"
    " directory; the server's log tells."
)
"""Of a file for which a server has the words of a full disk, and of which it has stored nothing."""
NO_TRASH = (
    "Have the server allow this directory (some refuse names that begin with a dot), or set another `deletes` for the"
    " mapping."
)
"""Of a directory that `deletes: trash` needs."""


def filtered(path: str) -> str:
    """What helps a mapping's file of which a name is refused for what it looks like."""
    return DOTTED if basename(path).startswith(".") else FILTERED


def remedy(error: FtpsyncdError) -> str:
    """What helps; what was said with the error itself where something was, empty where the message says it all."""
    if isinstance(error, RemoteError) and error.aside and error.retry in NO_ANSWER:
        return f"What was there before may be at the server as {named(error.aside)}: then give it its name again."
    if error.remedy in {FILTERED, DOTTED}:
        return f"{_FILTERED}." if error.remedy == FILTERED else f"{_DOTTED}. {_FILTERED}."
    if "remedy" in vars(error) or error.retry is Retry.MACHINE:
        return error.remedy
    if isinstance(error, ServerUnavailableError):
        return "Check host, port and network, then try again."
    if isinstance(error, TooManyTransfersError):
        return "Wait until another transfer has ended: the daemon may be at work."
    if isinstance(error, TooManyConnectionsError):
        return "Wait until another connection has ended: the daemon may be using them."
    if isinstance(error, ServerFullError | UnwrittenError):
        return "Free space at the server, then try again."
    if isinstance(error, InUseError):
        return "Close the program that has the file open at the server, then try again."
    if isinstance(error, TransferFailedError) and error.reply.startswith("451") and "rename" not in error.reply.lower():
        # RFC 959 §4.2.2: "local error in processing"; what vsftpd says of a full disk, in the middle of a file, and
        # pure-ftpd of a rename, whatever it fails for.
        return "Perhaps the server's disk is full: see to that, then try again."
    return "" if isinstance(error, NameRefusedError | LocalError) else error.remedy
