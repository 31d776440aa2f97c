"""What one server can do: told by FEAT, learned while working, shared by all sessions of an account.

Every field begins with the hopeful assumption; a session that is refused writes down what it learned, and all later
sessions profit. Writes are single assignments, so threads need no lock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Dating(StrEnum):
    """How a server lets a file's date be set, in the order in which the ways are tried."""

    MFMT = "MFMT"
    """draft-somers-ftp-mfxx."""
    MDTM = "MDTM"
    """MDTM with a date before the name, as vsftpd has it."""
    UTIME = "SITE UTIME date name"
    UTIME_LONG = "SITE UTIME name atime mtime ctime UTC"
    NONE = ""


class Oddity(StrEnum):
    """Properties of names that some servers change silently instead of refusing them."""

    CONTROL = "control characters"
    """pure-ftpd stores them as ``_``."""
    BYTES = "bytes that are not UTF-8"
    """pyftpdlib stores them as U+FFFD."""
    LEADING_SPACE = "a leading space"
    TRAILING_SPACE = "a trailing space"
    """pure-ftpd drops it."""


SAMPLES = {
    Oddity.CONTROL: "{}\x01\t\x7f.",
    Oddity.BYTES: "{}\udcfe\udcc3.",
    Oddity.LEADING_SPACE: " {}",
    Oddity.TRAILING_SPACE: "{} ",
}
"""Names that have just one oddity, around a name of our own."""


def oddities(path: str) -> list[Oddity]:
    """What about a path a server might change."""
    if path.isprintable() and "/ " not in path and " /" not in path and not path.endswith(" "):
        return []
    parts = path.split("/")
    found = {
        Oddity.CONTROL: any(c < " " or c == "\x7f" for c in path),
        Oddity.BYTES: any("\udc80" <= c <= "\udcff" for c in path),
        Oddity.LEADING_SPACE: any(part.startswith(" ") for part in parts),
        Oddity.TRAILING_SPACE: any(part.endswith(" ") for part in parts),
    }
    return [oddity for oddity, present in found.items() if present]


_ONE_AT_A_TIME = re.compile(r"icrosoft FTP Service|MadGoat|MikroTik")
"""Servers known to lose commands that come together (lftp keeps the same list)."""


@dataclass(slots=True)
class Profile:
    """What is known about one server."""

    features: dict[str, str] = field(default_factory=dict)
    """FEAT: upper-case name → parameters."""
    pipelining: bool = True
    """Several commands may be sent in one write."""
    doubts: int = 0
    """Batches that ended a session, since the last file that was published in one."""
    epsv: bool = True
    size: bool = True
    renames: bool = True
    """RNFR is known."""
    rename_over: bool | None = None
    """RNTO replaces a file; None: it was never refused."""
    dating: Dating | None = None
    """None: not tried yet."""

    keeps: dict[Oddity, bool] = field(default_factory=dict)
    """Whether names with an oddity are stored as they are; absent: not tried yet."""

    def greeted(self, banner: str) -> None:
        """Conclude from the server's greeting."""
        if _ONE_AT_A_TIME.search(banner):
            self.pipelining = False

    def doubt(self) -> None:
        """A batch ended the session: once is an accident, twice in a row a server that cannot take batches."""
        self.doubts += 1
        if self.doubts > 1:
            self.pipelining = False

    def trust(self) -> None:
        """A file was published by batches."""
        self.doubts = 0

    @property
    def mlst(self) -> bool:
        """Machine listings (RFC 3659 §7)."""
        return "MLST" in self.features or "MLSD" in self.features
