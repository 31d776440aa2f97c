"""The tree of errors: what went wrong, whether to try again, and what a person can do about it.

Every error that leaves a module of this package is one of these. The class decides three things, so that no
caller has to look at message texts: the exit code of a command that fails with it, the retry verdict for the
engine, and the remedy shown to people.

    FtpsyncdError
    ├── UsageError                    wrong words on the command line
    │   └── UnknownNameError          no mapping or server of this name
    ├── ConfigError                   the configuration cannot be used
    ├── MisuseError                   a program calls the library in a way that cannot work
    ├── InternalError                 a bug of ours, kept from doing more harm
    ├── ThreadLimitError              the system allows no further thread
    ├── NoMemoryError                 there is no memory for what this process was about to do
    ├── LockHeldError                 another daemon owns this state directory
    ├── LedgerError                   the ledger cannot be read or written
    │   ├── LedgerDamagedError        its file is damaged
    │   ├── LedgerLostError           somebody took it away from the process that used it
    │   └── LedgerNewerError          a newer ftpsyncd wrote it
    ├── ControlError                  the running daemon cannot be talked to
    │   ├── DaemonNotRunningError     nobody answers on the control socket
    │   └── ControlSocketError        the daemon cannot offer its control socket
    ├── CommandRefusedError           the running daemon understood, but cannot do it
    ├── LocalError                    something about one local path
    │   ├── SourceMissingError        the mapping's root is not there
    │   ├── FileChangedError          changed, replaced or vanished while we looked: plan it anew
    │   ├── PlaceTakenError           something came under its name at the server meanwhile: look there first
    │   ├── TurnMissedError           its connection ended before its turn came
    │   ├── FileBusyError             somebody has it open for writing
    │   ├── LocalUnreadableError      the file cannot be read
    │   ├── NoDescriptorError         this process may open no further file
    │   ├── LocalUnwritableError      a download cannot be written
    │   └── NameNotSendableError      the name cannot be expressed in an FTP command
    └── RemoteError                   something about the server; keeps the server's own words
        ├── ServerUnavailableError    no connection, a timeout, a dropped connection, 421
        │   ├── DataUnreachableError  commands are answered, and no data connection comes about
        │   ├── NoSocketError         this process may open no further connection
        │   └── ProtocolError         the server talks nonsense; the connection is finished
        ├── TooManyConnectionsError   the server's connection cap is reached
        │   └── TooManyTransfersError the connection is let in, and may not transfer beside the others (451)
        ├── LoginRefusedError         wrong user or password
        ├── TlsError                  no TLS, or a certificate that does not verify
        │   └── TlsFileError          an anchor, certificate or key of the configuration cannot be loaded
        ├── TransferFailedError       this transfer failed; another try may pass
        │   ├── VerificationError     the server holds something else than was sent
        │   ├── UnwrittenError        all of it was sent, and the server's disk did not take it (451, 551)
        │   └── InUseError            a program at the server has the file open (550, 450)
        ├── ServerFullError           no space or quota (452, 552)
        ├── FileTooLargeError         the server takes no file of this size
        ├── NameRefusedError          this name is refused (550, 553): permission, type, policy
        │   ├── NotFoundError         no such file or directory at the server
        │   ├── AlreadyExistsError    something with this name is there already
        │   └── MountPointError       a directory that is to be removed has a disk mounted on it there
        ├── PathsRefusedError         as it turned out, names are to be told otherwise: once more
        ├── ChangedAtServerError      a file that is to be deleted is not the one that we published
        ├── LeftoverError             a directory that is to be removed holds what a transfer of ours left
        └── NotSupportedError         the server lacks the command (500, 502, 504)
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from ftpsyncd.quoting import one_line

_FEW_FILES = (
    "Raise the limit: `LimitNOFILE` with `systemctl edit ftpsyncd`, or `ulimit -n`; `ftpsyncd check` tells how many are"
    " needed."
)


class ExitCode:
    """Exit codes of every command (README.md tells of each; the EX_* are those of sysexits.h)."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    TEMPFAIL = 75
    CONFIG = 78


class Retry(Enum):
    """What the engine does about a failed action."""

    REPLAN = "replan"
    """The disk is not what the plan saw: look again, nothing failed."""
    AGAIN = "again"
    """Nothing was done, and nothing is wrong: once more, as it is, on another connection."""
    FILE = "file"
    """Try this path again: five quick tries, hourly for a day, then parked."""
    NAME = "name"
    """Two tries, then parked until the file changes, or something at the server, or a person says ``retry``."""
    SPACE = "space"
    """This file waits; a second one with the same verdict, and none published in between, shows what is full, a
    directory or the server, and that waits."""
    MACHINE = "machine"
    """This machine lacks something for the moment: nothing is wrong with the file, nor with the server."""
    SERVER = "server"
    """Nothing is wrong with the file: pause the whole server with backoff."""
    CAP = "cap"
    """Use one connection less, then go on."""
    LOGIN = "login"
    """Pause the server for a long time and call a person: never hammer a login."""
    NEVER = "never"
    """No retry can mend it: parked at once."""


NO_ANSWER = frozenset({Retry.SERVER, Retry.CAP, Retry.LOGIN, Retry.MACHINE})
"""Verdicts by which a server has said nothing about what was to be done."""


class FtpsyncdError(Exception):
    """Base of all errors of this package.

    Args:
        message: one sentence, complete without a traceback, never with a secret in it.
        remedy: what a person can do; the class's own ``remedy`` if absent.
    """

    exit_code: ClassVar[int] = ExitCode.SOME_FAILED
    retry: ClassVar[Retry] = Retry.NEVER
    remedy: str = ""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return self.message

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, one sentence each."""
        return (self.message,)


class UsageError(FtpsyncdError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class UnknownNameError(UsageError):
    """There is no mapping or server of this name."""


class ConfigError(FtpsyncdError):
    """The configuration cannot be used; the message holds every problem found, one per line.

    Args:
        problems: one sentence each; a line break in it, as in the name of a file, is escaped.
        remedy: what a person can do.
    """

    exit_code = ExitCode.CONFIG
    remedy = "Correct the configuration and run `ftpsyncd check`."

    def __init__(self, *problems: str, remedy: str | None = None) -> None:
        super().__init__("\n".join(map(one_line, problems)), remedy=remedy)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem, in the order of the file."""
        return tuple(self.message.split("\n"))


class MisuseError(FtpsyncdError):
    """A program calls the library in a way that cannot work: a wrong type, or a connection that is in use."""

    remedy = "A connection is for one thread at a time, and not for progress functions: open another one."


class InternalError(FtpsyncdError):
    """Something that must not happen happened; the path is tried again, and a person should tell us."""

    retry = Retry.FILE
    remedy = "This is a bug in ftpsyncd; please report it."


class ThreadLimitError(FtpsyncdError):
    """The system allows the service too few threads."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.MACHINE
    remedy = (
        "Three are needed for each mapping and one for each connection: raise `TasksMax` with `systemctl edit"
        " ftpsyncd`, or the limit of the user (`ulimit -u`, and `ulimit -v` of what they take) or of the container."
    )


class NoMemoryError(FtpsyncdError):
    """There is no memory for what this process was about to do, or it may not have it; no path is to blame."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.MACHINE
    remedy = (
        "Stop what takes it, or allow more: `MemoryMax` with `systemctl edit ftpsyncd`, or the limit of the user"
        " (`ulimit -v`) or of the container."
    )


class LockHeldError(FtpsyncdError):
    """Another ftpsyncd works on the same state directory."""

    exit_code = ExitCode.TEMPFAIL
    remedy = (
        "If that is the daemon, it publishes already: `ftpsyncd rescan` has it compare now. Another configuration needs"
        " a state_dir of its own."
    )


class LedgerError(FtpsyncdError):
    """The ledger cannot be read or written."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.SERVER
    remedy = "Check the space and the permissions of the state directory."


class LedgerDamagedError(LedgerError):
    """The ledger's file is damaged."""

    remedy = "The next `ftpsyncd run` or `ftpsyncd sync` sets it aside and begins a new one; nothing is sent twice."


class LedgerLostError(LedgerError):
    """The ledger, or the lock beside it, is not where it was: another process may have one of its own by now."""

    remedy = (
        "The next start uses what is there then, or begins a new ledger; nothing is deleted for it. Stop ftpsyncd"
        " before you change its state directory."
    )


class LedgerNewerError(LedgerError):
    """The ledger was written by a newer version: waiting cannot help."""

    exit_code = ExitCode.CONFIG
    remedy = "Install the newer version again, or give this one another state_dir."


class ControlError(FtpsyncdError):
    """The running daemon cannot be talked to: no permission, no answer in time, or words that make no sense."""

    exit_code = ExitCode.TEMPFAIL
    remedy = "Check `control.socket`, and how the daemon is: `systemctl status ftpsyncd` or its log tells."


class DaemonNotRunningError(ControlError):
    """Nobody answers on the control socket, or the daemon ended while it was asked."""

    remedy = "Start it with `systemctl start ftpsyncd` or `ftpsyncd run`, or name with -c a configuration that runs."


class ControlSocketError(ControlError):
    """The daemon cannot offer its control socket."""

    remedy = "Set `control.socket` to a path in a directory that the service's user may write."


class CommandRefusedError(FtpsyncdError):
    """The running daemon understood the request, but cannot do it now."""


class LocalError(FtpsyncdError):
    """Something about one local path."""


class SourceMissingError(LocalError):
    """The root of a mapping is not there, or is not the folder it was."""

    retry = Retry.REPLAN
    remedy = "Mount or create the folder; publishing goes on by itself."


class FileChangedError(LocalError):
    """The file is not the one that was planned: it changed, was replaced or vanished."""

    retry = Retry.REPLAN


class PlaceTakenError(LocalError):
    """Something came under a file's name at the server while it waited or was sent: it is looked at, not replaced."""

    retry = Retry.REPLAN


class TurnMissedError(LocalError):
    """The connection ended before the file's turn: it is looked at again, and nothing is known against it."""

    retry = Retry.REPLAN


class FileBusyError(LocalError):
    """A process has the file open for writing."""

    retry = Retry.REPLAN
    remedy = "It is published when the writing process closes it."


class LocalUnreadableError(LocalError):
    """The file is there but cannot be read."""

    retry = Retry.FILE
    remedy = "Let the service's user read the file; it is published when that changes."


class NoDescriptorError(LocalError):
    """This process may open no further file, or the whole system has no room for one; no path is to blame."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.MACHINE
    remedy = _FEW_FILES


class LocalUnwritableError(LocalError):
    """A download cannot be written: permission, space, a directory in its place, a name that does not fit."""

    retry = Retry.NAME
    remedy = "Check the permissions and the space of the folder."


class NameNotSendableError(LocalError):
    """The name has bytes that no FTP command can carry (CR, LF, NUL) or that the encoding lacks."""

    retry = Retry.NEVER
    remedy = "Rename the file."


class RemoteError(FtpsyncdError):
    """Something about the server.

    Args:
        message: one sentence.
        reply: the server's own words, as received, without secrets; empty if there were none.
    """

    retry = Retry.FILE
    aside: str = ""
    """Where, at the server, the version before of a file may be that has none under its name now; empty: nowhere."""

    def __init__(self, message: str, *, reply: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.reply = reply


class ServerUnavailableError(RemoteError):
    """No connection, a timeout, a connection that ended, or 421."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.SERVER
    remedy = "Check host, port and network if it lasts; a running daemon tries again by itself."


class DataUnreachableError(ServerUnavailableError):
    """The control line is well, and no data connection comes about: a firewall, or NAT. No file is to blame."""

    others: int = 0
    """How many other addresses the host has, of which the next connections take one first; 0 also where one that came
    about before speaks for this one."""


class NoSocketError(ServerUnavailableError):
    """As `NoDescriptorError`, of a connection: the server is not to blame."""

    retry = Retry.MACHINE
    remedy = _FEW_FILES


class ProtocolError(ServerUnavailableError):
    """The server's words make no sense; nothing more can be said on this connection."""


class TooManyConnectionsError(RemoteError):
    """The server allows no further connection for this account."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.CAP
    remedy = "Fewer connections are used by itself; set `connections` to spare the attempts."


class TooManyTransfersError(TooManyConnectionsError):
    """The server allows no further transfer at the same time for this account; the connection is finished."""


class LoginRefusedError(RemoteError):
    """The server refuses user or password (530, 430)."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.LOGIN
    remedy = (
        "Correct `user` and `password` of this server, then run `ftpsyncd check`, and `ftpsyncd reload` where a daemon"
        " runs."
    )


class TlsError(RemoteError):
    """TLS cannot be had, or the certificate does not verify."""

    exit_code = ExitCode.TEMPFAIL
    retry = Retry.LOGIN
    remedy = (
        "Check `host`, `tls`, `tls_ca` and, if the server wants one, `client_cert` of this server; nothing is sent"
        " without verified TLS."
    )


class TlsFileError(TlsError):
    """An anchor, certificate or key that the configuration names cannot be loaded.

    Args:
        message: one sentence.
        reply: of the server; there is none.
        key: of the server, which names the file (``tls_ca``); empty: the message says where that is.
        remedy: what a person can do.
    """

    exit_code = ExitCode.CONFIG
    remedy = "Correct `tls_ca`, `client_cert` or `client_key` of this server, then run `ftpsyncd check`."

    def __init__(self, message: str, *, reply: str = "", key: str = "", remedy: str | None = None) -> None:
        super().__init__(message, reply=reply, remedy=remedy)
        self.key = key


class TransferFailedError(RemoteError):
    """This transfer failed; another try may pass (425, 426, 451, 551)."""

    @property
    def stalled(self) -> bool:
        """Whether nothing moved for too long: what the server says then answers our reset."""
        return isinstance(self.__cause__, TimeoutError)

    @property
    def broke(self) -> bool:
        """Whether that is about the data connection: what the server says of a file has another code, as 451.

        With a code that refuses for good (551, 550) only its words, or that it had begun, have made it one of these.
        """
        return self.reply[:3] in {"", "425", "426"} or (self.reply[:1] == "5" and type(self) is TransferFailedError)


class VerificationError(TransferFailedError):
    """What the server holds is not what was sent."""


class UnwrittenError(TransferFailedError):
    """All of a file was sent, and the server could not write it on its disk, which is full, most likely."""

    retry = Retry.SPACE
    remedy = "Free space at the server, if its disk is full; a running daemon tries again by itself."


class InUseError(TransferFailedError):
    """A program at the server has the file open: one that shows it, or one that looks for viruses in it."""

    remedy = "It is tried again; if it lasts, close the program that has the file open at the server."


class ServerFullError(RemoteError):
    """No space or no quota left at the server (452, 552)."""

    retry = Retry.SPACE
    remedy = "Free space at the server; a running daemon tries again by itself."


class FileTooLargeError(RemoteError):
    """The server takes no file of this size, however much space it has (552, 550, 451)."""

    retry = Retry.NAME
    remedy = "Have the server allow larger files, or publish a smaller one."


class NameRefusedError(RemoteError):
    """The server refuses this name: permission, type or policy (550, 553)."""

    retry = Retry.NAME
    remedy = "Check the permissions at the server, then run `ftpsyncd retry`."


class NotFoundError(NameRefusedError):
    """No such file or directory at the server."""


class AlreadyExistsError(NameRefusedError):
    """Something of this name is at the server already."""

    remedy = "Rename one of the two, here or at the server, then run `ftpsyncd retry`."


class MountPointError(NameRefusedError):
    """A disk is mounted on an empty directory at the server, which cannot be removed as long as it is (EBUSY)."""

    remedy = "Unmount it at the server, if it is to go."


class PathsRefusedError(RemoteError):
    """The server takes names only within the working directory, as was just learned: from now on it gets them so.

    The session is closed, since what the server has said on it is about other names than was thought.
    """

    retry = Retry.AGAIN
    remedy = "A running daemon does it again by itself; else give the command again."


class ChangedAtServerError(RemoteError):
    """A file that is to be deleted is not the one that we published: somebody else changed it there."""

    retry = Retry.NEVER
    remedy = "`ftpsyncd approve MAPPING` deletes it all the same, `ftpsyncd discard MAPPING` keeps it."


class LeftoverError(RemoteError):
    """A directory that is to be removed holds what a transfer of ours left, which the server does not delete."""

    remedy = "Let the account delete files there, or delete it yourself: the directory is removed then."


class NotSupportedError(RemoteError):
    """The server lacks the command (500, 502, 504)."""

    retry = Retry.NEVER
