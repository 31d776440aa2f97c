"""What one server can do: told by FEAT, learned while working, shared by all sessions of an account.

Every field begins with the hopeful assumption; a session that is refused writes down what it learned, and all later
sessions profit. Writes are single assignments, so threads need no lock. `keeping` carries a profile from one run to the
next. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from ftpsyncd.expression import Expression
from ftpsyncd.quoting import quote


class Dating(StrEnum):
    """How a server lets a file's date be set, in the order in which the ways are tried."""

    MFMT = "MFMT"
    """draft-somers-ftp-mfxx."""
    MDTM = "MDTM"
    """MDTM with a date before the name, as vsftpd has it."""
    UTIME = "SITE UTIME date name"
    UTIME_LONG = "SITE UTIME name atime mtime ctime UTC"
    NONE = ""


class Resuming(StrEnum):
    """How a server continues a file of which it has a part, in the order in which the ways are tried."""

    REST = "REST"
    """REST names the byte, STOR continues there (RFC 3659 §5)."""
    APPE = "APPE"
    """Only at the end."""
    NONE = ""


class Hashing(StrEnum):
    """How a server tells a file's hash, in the order in which the ways are tried."""

    HASH = "HASH"
    """draft-bryan-ftpext-hash."""
    XSHA256 = "XSHA256"
    XMD5 = "XMD5"
    XCRC = "XCRC"
    NONE = ""


class Paths(StrEnum):
    """How a server takes the names of files in commands."""

    ABSOLUTE = "absolute"
    """A file was stored, and seen, under one."""
    RELATIVE = "relative"
    """Only within the working directory (`standing`)."""
    DOUBTED = "relative, absolute ones to be tried again"
    """That is long ago, or was another server: names within the working directory work everywhere."""


class Removing(StrEnum):
    """What RMD does to a directory that holds something."""

    REFUSES = "refuses"
    EMPTIES = "removes it with all that is in it"
    """Or that is not known: it is listed before."""
    BEYOND = "removes what is beside it, too"
    """Whatever begins with its name, at a gateway to a store that has no directories."""


class Beyond(StrEnum):
    """What a server does with a REST beyond the end of a file; nothing of ours relies on it."""

    REFUSED = "refused"
    ZEROS = "fills the gap with zeros"
    APPENDED = "appends"
    OTHER = "does something else"


class Oddity(StrEnum):
    """Properties of names that some servers change silently instead of refusing them."""

    CONTROL = "control characters"
    """pure-ftpd stores them as ``_``."""
    BYTES = "bytes that are not UTF-8"
    """pyftpdlib stores them as U+FFFD."""
    LEADING_SPACE = "a leading space"
    TRAILING_SPACE = "a trailing space"
    """pure-ftpd drops it."""
    BACKSLASH = "a backslash"
    """Windows, and most servers on it, take it for a slash: what is behind it is in another directory."""
    QUOTE = "a double quote"
    """ftp-srv leaves it away, and finds the file under both names."""
    OPTION = "a word like an option"
    """Between spaces, as of ``a -l``: ftp-srv takes it out of the name, but for STOR, SIZE and RETR."""
    PATTERN = "a name like a pattern"
    """With brackets, braces, ``*`` or ``?``: FreeBSD's ftpd takes it, in every command, for the one file that it
    matches, if there is one."""


PATTERN = "[x]"
"""Of a sample: without its brackets, that is a name which it matches."""
SAMPLES = {
    Oddity.CONTROL: "{}\x01\t\x7fx",
    Oddity.BYTES: "{}\udcfe\udcc3x",
    Oddity.LEADING_SPACE: " {}",
    Oddity.TRAILING_SPACE: "{} ",
    Oddity.BACKSLASH: "{}\\x",
    Oddity.QUOTE: '{}"x',
    Oddity.OPTION: "{} -x",
    Oddity.PATTERN: f"{PATTERN}{{}}",
}
"""Names that have just one oddity, around a name of our own. None ends with a dot, which Windows leaves away."""


_OPTION = Expression(r" -\w(?: |\Z)")
_PATTERN = Expression(r"[\[*?{]")
_ODD = re.compile(rf'/ | (?:/|\Z)|[\\"]|{_OPTION.pattern}|{_PATTERN.pattern}')
_IN_ALL_ODD = re.compile(r'[ \\"\[*?{]')
"""What `_ODD` finds holds one of these: to look for them alone costs a tenth."""


def oddities(path: str) -> list[Oddity]:
    """What about a path a server might change."""
    if path.isprintable() and not (_IN_ALL_ODD.search(path) and _ODD.search(path)):
        return []
    parts = path.split("/")
    found = {
        Oddity.CONTROL: any(c < " " or c == "\x7f" for c in path),
        Oddity.BYTES: any("\udc80" <= c <= "\udcff" for c in path),
        Oddity.LEADING_SPACE: any(part.startswith(" ") for part in parts),
        Oddity.TRAILING_SPACE: any(part.endswith(" ") for part in parts),
        Oddity.BACKSLASH: "\\" in path,
        Oddity.QUOTE: '"' in path,
        Oddity.OPTION: _OPTION.search(path) is not None,
        Oddity.PATTERN: _PATTERN.search(path) is not None,
    }
    return [oddity for oddity, present in found.items() if present]


_ONE_AT_A_TIME = re.compile(r"icrosoft FTP Service|MadGoat|MikroTik")
"""Servers known to lose commands that come together (lftp keeps the same list)."""


_READS_IN_TURN = re.compile(r"vsFTPd|ProFTPD|Pure-FTPd")
"""Servers known to leave a command that came together with STOR or PASS until the transfer or the login is over.
Others reset the data connection (pyftpdlib), and nothing in their answers would tell beforehand."""


def reads_in_turn(banner: str) -> bool:
    """Whether what depends on no transfer or login may follow it in the same write, judged by the greeting."""
    return _READS_IN_TURN.search(banner) is not None


_LINGERS = re.compile(r"vsFTPd")
"""Servers known to confirm a file only when their end of the data connection was acknowledged, and to read to the end
what came before a reset."""


def lingers(banner: str) -> bool:
    """Whether a reset behind the end of a file saves a round trip, judged by the greeting (`parting`)."""
    return _LINGERS.search(banner) is not None


_SPARES = re.compile(r"vsFTPd|ProFTPD|Pure-FTPd|pyftpdlib|FileZilla Server|icrosoft FTP Service")
"""Servers known to have the system remove a directory, which removes none that holds something, and a file in another
way, which removes none at all."""


def spares(banner: str) -> bool:
    """Whether RMD leaves a directory alone that holds something, and DELE every one, judged by the greeting."""
    return _SPARES.search(banner) is not None


_STORES_BESIDE = re.compile(r"Pure-FTPd")
"""Servers that may be told to leave a file alone that is to be stored anew, and to store it beside."""


def stores_beside(banner: str) -> bool:
    """Whether STOR may have to be tried before anything is sent under its final name, judged by the greeting."""
    return _STORES_BESIDE.search(banner) is not None


_CREDIT = 16
_CREDIT_MOST = 64
_CREDIT_LOST = 16
"""A file that has to be sent twice costs about as much as so many saved round trips: with more losses than that, the
credit is used up, and at once where it never works."""

MOST_WITHOUT_RENAMES = 8
"""A server that was seen to allow no renames in more directories than that allows none anywhere."""

LONGEST_SILENCE_S = 30.0


@dataclass(slots=True)
class Profile:
    """What is known about one server."""

    paths: Paths | None = None
    """None: absolute ones, though none was proved to work yet."""
    features: dict[str, str] = field(default_factory=dict)
    """FEAT: upper-case name → parameters."""
    face: str = ""
    """By which the server is known again: its greeting and the names of its features; empty: never met."""
    pipelining: bool = True
    """Several commands may be sent in one write."""
    overlapping: bool = True
    """EPSV behind STOR was answered after the transfer; asked only of servers that are known for it."""
    parting: bool = True
    """A data connection may be reset right behind its end; done only with servers that gain by it."""
    parting_credit: int = _CREDIT
    """How well that has gone lately."""
    doubts: int = 0
    """Batches that ended a session, since the last file that was published in one."""
    doubts_renames: bool = False
    """One of these held a rename, as far as is known: what is published without one does not clear it up."""
    answered_twice: int = 0
    """Sessions in which there was an answer too many to a batch; no file that is published clears that up."""
    epsv: bool = True
    epsv_missed: int = 0
    """How often in a row EPSV was the last that was said in a session, while no port that it named was ever reached."""
    meanwhile: bool | None = None
    """Commands are answered while a data connection that was agreed on is not made yet; None: not seen yet."""
    reached: bool = False
    """A data port that EPSV named was reached."""
    joined: bool = True
    """A data port is reached also where the word about it came together with others: what opens the ports that it reads
    of, on the way, may read only how a packet begins (Linux's nf_conntrack_ftp)."""
    size: bool = True
    sizes_dirs: bool | None = None
    """SIZE is answered for directories, too; None: not asked yet."""
    stats: bool = True
    """MLST is answered where FEAT offers it; a firewall may know better."""
    stats_missed: int = 0
    """How often in a row MLST was the last that was said in a session, and nothing came."""
    listings: bool = True
    """So is MLSD."""
    renames: bool = True
    """RNFR and RNTO are known and allowed; else files are sent under their final names."""
    no_renames: list[str] = field(default_factory=list)
    """Directories where they are not allowed, nor anywhere below, whatever is elsewhere."""
    renamed: bool = False
    """A file was gone from under its old name after it was renamed."""
    renames_joined: bool = True
    """RNTO is answered also where it came in one write with an RNFR that was refused."""
    rename_over: bool | None = None
    """RNTO replaces a file; None: it was never refused."""
    stores_over: bool | None = None
    """STOR replaces a file; else it stores another one beside it, and says so of neither. None: not tried yet."""
    removing: Removing | None = None
    """None: not tried yet."""
    removing_missed: int = 0
    """How often trying that has ended the session."""
    dating: Dating | None = None
    """None: not tried yet."""
    resuming: Resuming | None = None
    """Tried with a small file; None: not tried yet."""
    trials: int = 0
    """How often trying that, or comparing the end of a part, has ended the session."""
    beyond: Beyond | None = None
    hashing: Hashing | None = None
    """A way that gave the right hash of a small file; None: not tried yet."""
    utf8: bool | None = None
    """The server says that it takes names as UTF-8 (RFC 2640)."""
    too_long: int = 0
    """Bytes of the shortest command that it took no notice of, or refused for its length; 0: there was none."""
    taken: int = 0
    """Bytes of the longest command that it has answered, as far as that was in doubt (`lengths`)."""
    bytes_borne: bool | None = None
    """A command that is not UTF-8 was answered; False: such ones end the session (`undecoded`); None: not seen yet."""
    bytes_missed: int = 0
    """How often one was the last that was said in a session."""
    tls_group: str = ""
    """The only one that the server takes of those that TLS 1.3 offers a key for (`hello`); empty: it never asked."""
    closes_tls: bool | None = None
    """Listings under TLS end with close_notify; False: the first two had none and were alike. None: not seen yet."""
    cap: int = 0
    """Connections it allowed when it allowed no more; 0: it never refused one."""
    idle_s: int = 0
    """Silence after which it ends a session, if it told; 0: it did not."""

    keeps: dict[Oddity, bool] = field(default_factory=dict)
    """Whether names with an oddity are stored as they are; absent: not tried yet."""

    scratch: dict[str, float] = field(default_factory=dict)
    """What trials of ours may have left: what removes it, and when that was left (monotonic; -inf: long ago)."""

    _loaded: bool = False
    """What is here comes from an earlier run, and the server has not been met since."""
    _other_face: str = ""
    """The last session met a server that looked like this."""

    def greeted(self, banner: str) -> None:
        """Conclude from the server's greeting."""
        if _ONE_AT_A_TIME.search(banner):
            self.pipelining = False

    def met(self, banner: str, features: dict[str, str]) -> None:
        """A session began: is it still the server that all this was learned of?

        Behind one name may be several machines, so another face counts when it is seen twice in a row, or first.
        """
        face = f"{lasting(banner)}\n{' '.join(sorted(features))}"
        if self.face and face != self.face and (self._loaded or face == self._other_face):
            self.forget()
            self.greeted(banner)
        self.face = self.face or face
        self._other_face = "" if face == self.face else face
        self._loaded = False
        self.features = features

    def forget(self) -> None:
        """Know nothing any more, but how commands surely get to the files that they are about, and which are ours."""
        blank = Profile(paths=Paths.DOUBTED if self.relative else None, scratch=self.scratch)
        for name in Profile.__slots__:
            setattr(self, name, getattr(blank, name))

    def recall(self, face: str) -> None:
        """What is known comes from an earlier run, which learned it of a server with this face."""
        self.face = face
        self._loaded = True

    def doubt(self, *, renames: bool = True) -> None:
        """A batch ended a session: once is an accident, twice in a row a server that cannot take batches.

        Args:
            renames: there was a rename in it, or there may have been.
        """
        self.doubts += 1
        self.doubts_renames |= renames
        if self.doubts > 1:
            self.pipelining = False

    def answers_twice(self) -> None:
        """There was an answer too many to a batch, and nothing was wrong with the line.

        Once is an accident. Where it comes a moment late, each session has published something before it is noticed.
        """
        self.answered_twice += 1
        if self.answered_twice > 1:
            self.pipelining, self.answered_twice = False, 0

    def misses_epsv(self) -> None:
        """EPSV was not answered, or ended the session: some firewalls swallow it, or cut the line, and know PASV.

        Once is an accident, and so it is where EPSV has worked: then the next time counts.
        """
        self.epsv_missed = 0 if self.reached else self.epsv_missed + 1
        self.reached = False
        if self.epsv_missed > 1:
            self.epsv, self.epsv_missed = False, 0

    def misses_stats(self) -> None:
        """MLST was not answered at all: uftpd 2.13 hangs there, and something on the way may swallow it.

        Once is an accident.
        """
        self.stats_missed += 1
        if self.stats_missed > 1:
            self.stats, self.stats_missed = False, 0

    def trust(self, *, renames: bool = True) -> None:
        """A file was published by batches, with a rename or under its final name."""
        if renames or not self.doubts_renames:
            self.doubts, self.doubts_renames = 0, False

    def parted(self, *, well: bool) -> None:
        """A file arrived whose data connection was reset behind its end, or did not."""
        self.parting_credit = min(self.parting_credit + 1, _CREDIT_MOST) if well else self.parting_credit - _CREDIT_LOST
        if self.parting_credit < 0:
            self.parting, self.parting_credit = False, _CREDIT

    def renames_at(self, path: str) -> bool:
        """Whether what is published at a path may be renamed there, as far as is known."""
        return self.renames and not any(path.startswith(f"{directory}/") for directory in self.no_renames)

    @property
    def without_renames(self) -> str:
        """Where nothing may be renamed, and what that means, in a sentence; empty: no such place is known."""
        if self.renames and not self.no_renames:
            return ""
        where = f" in {', '.join(map(quote, self.no_renames))}" if self.renames else ""
        return (
            f"the server renames nothing{where}: files are sent under their final names there, and seen before they are"
            " complete"
        )

    def refuses_renames(self, directory: str) -> None:
        """Nothing may be renamed in a directory; that holds below it as well, and from many such for all others."""
        within = f"{directory}/"
        if any(within.startswith(f"{known}/") for known in self.no_renames):
            return  # another session has found out meanwhile
        elsewhere = [known for known in self.no_renames if not known.startswith(within)]
        if not directory or len(elsewhere) == MOST_WITHOUT_RENAMES:
            self.renames, self.no_renames = False, []
        else:
            self.no_renames = [*elsewhere, directory]

    @property
    def extended_seen(self) -> tuple[bool, int]:
        """What sessions have seen of EPSV so far."""
        return self.reached, self.epsv_missed

    @property
    def relative(self) -> bool:
        """Whether commands take names only within the working directory, as far as is known."""
        return self.paths in {Paths.RELATIVE, Paths.DOUBTED}

    @property
    def silence_s(self) -> float:
        """How long a session may be silent: half of what the server bears, where it told, and at most 30 s."""
        return min(LONGEST_SILENCE_S, self.idle_s / 2) if self.idle_s else LONGEST_SILENCE_S

    @property
    def mlst(self) -> bool:
        """What one path is can be asked for in words for machines (RFC 3659 §7)."""
        return self.stats and ("MLST" in self.features or "MLSD" in self.features)

    @property
    def mlsd(self) -> bool:
        """So can what is in a directory."""
        return self.listings and ("MLST" in self.features or "MLSD" in self.features)


_FLEETING = Expression(
    r"\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE
)
_NUMBER = Expression(r"\d+(?:[.:,/-]\d+)*[a-z]?")
_VERSION = Expression(r"\d+\.\d+(?:\.\d+)?[a-z]?")


def lasting(banner: str) -> str:
    """A greeting without what changes from one to the next: dates, counts, addresses; versions stay."""
    text = _NUMBER.sub(lambda match: match[0] if _VERSION.fullmatch(match[0]) else "#", banner)
    return " ".join(_FLEETING.sub("#", text).split())
