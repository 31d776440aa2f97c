"""What a server's words mean: bytes of the control channel in, replies, facts and typed errors out.

Pure: nothing here reads a socket, a clock or a file. `wire` feeds the bytes, `session` and `upload` ask for meanings.
Replies stay bytes until a person or a path needs them: names are bytes at the server, and a decoder that stumbles
over one echoed name would shift every later reply by one.

Sources: RFC 959 §4.2 (replies), RFC 2389 (FEAT), RFC 2428 (EPSV), RFC 3659 (SIZE, MDTM, MLST), RFC 4217 (TLS), and
what vsftpd, proftpd, pure-ftpd and pyftpdlib were seen to answer.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ftpsyncd.errors import (
    AlreadyExistsError,
    InUseError,
    LoginRefusedError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    ServerFullError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
    TransferFailedError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote.port import RemoteEntry

MAX_LINE = 16 * 1024
"""A longer line is no reply: the longest sensible one echoes a path of 4,096 bytes."""
MAX_REPLY = 128 * 1024
"""All lines of one reply together; continuation lines are unbounded in RFC 959."""
_SHOWN = 400
"""Characters of a reply that are kept for people."""
_HIDDEN = b"***"
_LONG_SECRET = 8
"""A shorter one is hidden only where it is a word: it may well be a part of other words, which then would tell it."""


class Reply(NamedTuple):
    """One complete reply of the server.

    ``lines`` are without line ends; the first and the last begin with the code.
    """

    code: int
    lines: tuple[bytes, ...]
    secret: re.Pattern[bytes] | None = None
    """What no person may read, should the server repeat it."""

    def __repr__(self) -> str:
        return f"<Reply {self.text}>"

    @property
    def text(self) -> str:
        """The reply on one line for people: without the password, undecodable and control bytes escaped, shortened."""
        words = b" ".join(self.lines)
        if self.secret is not None:
            words = self.secret.sub(_HIDDEN, words)
        joined = words.decode("utf-8", "backslashreplace")
        if len(joined) <= _SHOWN and joined.isprintable():
            return joined
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in joined)
        return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"

    @property
    def preliminary(self) -> bool:
        """1xx: the transfer begins, another reply follows."""
        return self.code // 100 == 1

    @property
    def good(self) -> bool:
        """2xx: done."""
        return self.code // 100 == 2

    @property
    def passing(self) -> bool:
        """4xx: refused now, which says nothing about another time."""
        return self.code // 100 == 4

    @property
    def more(self) -> bool:
        """3xx: the next command of the sequence is awaited."""
        return self.code // 100 == 3


def pattern_of(secret: bytes) -> re.Pattern[bytes] | None:
    """What finds a secret in a server's words; None if there is none."""
    if not secret:
        return None
    found = re.escape(secret)
    return re.compile(found if len(secret) >= _LONG_SECRET else rb"(?<![\w])" + found + rb"(?![\w])")


_AFTER_CODE = frozenset({b" ", b"-", b""})
_SINGLE = re.compile(rb"([1-6][0-9][0-9] [^\r\n]{0,512})\r\n")
"""A reply as RFC 959 has it, and of a length that every line may have."""


class ReplyReader:
    """Cuts the byte stream of the control channel into replies (RFC 959 §4.2), with bounded memory."""

    def __init__(self) -> None:
        self.secret: re.Pattern[bytes] | None = None
        self._buffer = b""
        self._at = 0
        """What was returned of the buffer."""
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether bytes are held that belong to no returned reply."""
        return self._at < len(self._buffer) or bool(self._lines)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the socket."""
        self._buffer = self._buffer[self._at :] + data
        self._at = 0

    def next(self) -> Reply | None:
        """The next complete reply, or None until more bytes come.

        Raises:
            ProtocolError: what came is not a reply, or is larger than any sensible one.
        """
        if not self._lines and (single := _SINGLE.match(self._buffer, self._at)):
            # Nearly all are of one line and in order.
            self._at, self._size = single.end(), 0
            line = single[1]
            return Reply(int(line[:3]), (line,), self.secret)
        while (line := self._line()) is not None:
            self._size += len(line) or 1
            if self._size > MAX_REPLY:
                raise ProtocolError("The server's reply does not end.")
            if not line and not self._lines:
                continue  # between two replies: the words of Windows for an error end with a line end of their own
            if (reply := self._add(line)) is not None:
                self._lines, self._size = [], 0
                return reply
        if len(self._buffer) - self._at > MAX_LINE:
            raise ProtocolError("The server sent a line that does not end.")
        return None

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return None
        if end - self._at > MAX_LINE:
            raise ProtocolError("The server sent a line that is too long.")
        line = self._buffer[self._at : end].rstrip(b"\r")
        self._at = end + 1
        return line

    def _add(self, line: bytes) -> Reply | None:
        if not self._lines:
            code = line[:3]
            if not (len(code) == 3 and code.isdigit() and b"1" <= code < b"7" and line[3:4] in _AFTER_CODE):
                line = self.secret.sub(_HIDDEN, line) if self.secret is not None else line
                raise ProtocolError(f"The server sent something that is no FTP reply: {_shown(line)}")
            self._lines.append(line)
            return None if line[3:4] == b"-" else Reply(int(line[:3]), (line,), self.secret)
        self._lines.append(line)
        # The last line repeats the code and a space; anything else, codes included, is text.
        if line[:3] == self._lines[0][:3] and line[3:4] in {b" ", b""}:
            return Reply(int(line[:3]), tuple(self._lines), self.secret)
        return None


def _shown(line: bytes) -> str:
    return ascii(line[:80].decode("latin-1"))


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CROWDED = re.compile(
    r"too many|maximum|already connected|try (?:again|later)|simultaneous|concurrent|limit.{0,20}(?:reached|exceeded)"
    r"|overloaded|is restricted to \d|more connection|number of connections|only .{1,20}sessions? .{0,20}allowed"
    r"|may not connect more than|zu viele|trop de? |demasiad[ao]s (?:conexiones|usuarios)",
    re.IGNORECASE,
)
"""With a 421 or 530. lftp knows most of these (ftp:retry-530); Serv-U: "only 2 sessions from same IP allowed"."""
_PASSWORD = re.compile(
    r"password|incorrect|credential|(?<!connection )attempts|(?:failed|invalid|bad|wrong|unsuccessful) log-?in"
    r"|(?:log-?in|authentication) failed(?!.*(?:connections|clients|sessions|users|simultaneous))",
    re.IGNORECASE,
)
"""With a 530 it is not the crowd, even if there are "too many failed logins" or one may "try again"."""
_DIED = re.compile(r"^500 OOPS: (?:priv_sock|child died)")
"""vsftpd's last words when one of its processes is gone; with others it refuses a login or ends the connection."""
_FULL = re.compile(
    r"no space|disk full|disc full|quota|insufficient (?:storage|space|disk)|not enough space"
    r"|nicht (?:genug|gen.{1,2}gend) (?:speicher|platz)|espace insuffisant|espacio en disco insuficiente"
    r"|spazio su disco insufficiente|onvoldoende schijfruimte|espa.{1,2}o insuficiente|ma.{1,2}o miejsca",
    re.IGNORECASE,
)
"""IIS says what Windows says, in the language of that: German, French, Spanish, Italian, Dutch, Portuguese, Polish."""
_MISSING = re.compile(
    r"no such|not found|doesn.?t exist|does not exist|cannot find|can.?t find|can't check for file exist"
    r"|kann d.{2,30} nicht finden",
    re.IGNORECASE,
)
_EXISTS = re.compile(r"already exists|file exists|directory exists|: exists|already a", re.IGNORECASE)
_NOT_EMPTY = re.compile(r"not empty|enotempty|isn.?t empty", re.IGNORECASE)
_DENIED = re.compile(
    r"denied|zugriff verweigert|acc.{1,2}s refus|acceso denegado|accesso negato|toegang geweigerd|acesso negado"
    r"|odmowa dost",
    re.IGNORECASE,
)
_IN_USE = re.compile(
    r"\bin use\b|(?:resource|file) (?:is )?busy|sharing violation|file is locked"
    r"|\b(?:another|anderen|autre|otro|altro|ander|outro|inny) pro[cz]",
    re.IGNORECASE,
)
"""Windows says in its own language that another process uses the file."""
_MEANINGFUL = re.compile(
    "|".join(words.pattern for words in (_CROWDED, _FULL, _MISSING, _EXISTS, _NOT_EMPTY, _DENIED, _IN_USE)),
    re.IGNORECASE,
)
"""Words that decide, whatever they decide."""
_WORDY = re.compile(r"[A-Za-z' ]+")
_LOGIN_VERBS = frozenset({"", "USER", "PASS", "ACCT"})
_TLS_VERBS = frozenset({"AUTH", "PBSZ", "PROT"})
_PATH_VERBS = frozenset({
    "STOR", "APPE", "RETR", "DELE", "RNFR", "RNTO", "MKD", "RMD", "CWD", "SIZE", "MDTM", "MFMT", "MLST", "MLSD",
    "LIST", "NLST",
})  # fmt: skip


def says_not_empty(reply: Reply, subject: str = "", encoding: str = "utf-8") -> bool:
    """Whether a refused RMD was refused because the directory holds something."""
    return bool(_NOT_EMPTY.search(_told(reply, subject, encoding)))


def says_denied(reply: Reply, subject: str = "", encoding: str = "utf-8") -> bool:
    """Whether the reason is a lack of rights: then it tells nothing about what is there."""
    return bool(_DENIED.search(_told(reply, subject, encoding)))


def _told(reply: Reply, subject: str, encoding: str) -> str:
    """What a server says, without the name that it repeats: a folder may be called ``not found``."""
    text = b" ".join(reply.lines).decode(encoding, "surrogateescape")
    if not _MEANINGFUL.search(subject):
        return text
    for name in {subject, subject.strip("/"), subject.replace('"', '""')}:
        if "/" in name:
            text = re.sub(re.escape(name) + r"(?!\w)", "*", text, flags=re.IGNORECASE)
    for part in subject.split("/"):
        if _MEANINGFUL.search(part):
            name = re.escape(part)
            if _WORDY.fullmatch(part):
                # The server may say this by itself: it is the name only where it stands like one.
                name = rf"(?<=[/\\\"'`(]){name}(?!\w)|(?<!\w){name}(?=[/\\\"'`:)])"
            text = re.sub(name, "*", text)
    return text


def error_of(reply: Reply, verb: str, subject: str = "", encoding: str = "utf-8") -> RemoteError:
    """The typed error for a reply that is not the wanted one.

    Args:
        reply: what the server said.
        verb: the command it answers, upper case, ``""`` for the greeting.
        subject: what the message is about: a path, or the account.
        encoding: of names at the server.
    """
    kind = _kind_of(reply, verb, _told(reply, subject, encoding))
    about = f" {named(subject)}" if subject else ""
    if kind is NotSupportedError and verb:
        about = f" ({verb})"
    return kind(f"{_SAYS[kind]}{about}: {reply.text}", reply=reply.text)


_SAYS: Mapping[type[RemoteError], str] = {
    ServerUnavailableError: "The server is not available",
    TooManyConnectionsError: "The server allows no further connection",
    LoginRefusedError: "The server refuses the login",
    TlsError: "The server refuses TLS",
    TransferFailedError: "The server could not complete",
    InUseError: "A program at the server uses",
    ServerFullError: "The server has no space for",
    NameRefusedError: "The server refuses",
    NotFoundError: "The server does not have",
    AlreadyExistsError: "The server already has",
    NotSupportedError: "The server does not know this command",
    ProtocolError: "The server gave an answer that does not fit",
}


def _kind_of(reply: Reply, verb: str, text: str) -> type[RemoteError]:  # noqa: C901, PLR0912 - RFC 959 §4.2.1 in order
    code = reply.code
    if code < 400 or code >= 600:
        return ProtocolError
    if _DIED.search(text) or (verb not in _LOGIN_VERBS and text.startswith("500 OOPS:")):
        return ServerUnavailableError
    crowded = _CROWDED.search(text) and not (code >= 500 and _PASSWORD.search(text))
    if code == 421 or verb in _LOGIN_VERBS:
        if crowded:
            return TooManyConnectionsError
        if code == 421 or code < 500:
            return ServerUnavailableError
        return LoginRefusedError if verb else ServerUnavailableError
    if verb in _TLS_VERBS or code in {431, 533, 534, 535, 536}:
        return TlsError
    if code == 530:
        return TooManyConnectionsError if crowded else LoginRefusedError
    if code in {452, 552} or _FULL.search(text):
        return ServerFullError
    if code in {450, 550} and verb in _PATH_VERBS and _IN_USE.search(text):
        return InUseError
    if code < 500 or code == 522:
        # 522: the data connection's TLS was refused (vsftpd: no session reuse). A fresh connection may mend it.
        return TransferFailedError
    if code in {500, 502, 504}:
        return NotSupportedError
    if code == 503:
        return ProtocolError
    if verb not in _PATH_VERBS:
        return NotSupportedError
    if code == 521:
        return AlreadyExistsError if verb == "MKD" else TlsError
    if _MISSING.search(text):
        return NotFoundError
    if _EXISTS.search(text):
        return AlreadyExistsError
    return NameRefusedError


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def parse_feat(reply: Reply) -> dict[str, str]:
    """The features of a 211 reply (RFC 2389 §3.2): upper-case name → parameters; empty if there are none."""
    features: dict[str, str] = {}
    if reply.code != 211:
        return features
    for line in reply.lines[1:-1]:
        name, _, parameters = line.removeprefix(b"211-").decode("latin-1").strip().partition(" ")
        if name:
            features[name.upper()] = parameters.strip()
    return features


def parse_epsv(reply: Reply) -> int:
    """The port of a 229 reply (RFC 2428 §3): ``(|||port|)`` with any delimiter; the address is the control peer's."""
    match = re.search(rb"\(([\x21-\x7e])\1\1(\d{1,5})\1\)", reply.lines[-1])
    return _port(int(match[2]) if match else 0, reply)


_SIX = re.compile(rb",[ ]{0,3}".join([rb"(\d{1,3})"] * 6))
"""Four of an address and two of a port; some put blanks behind the commas."""


def parse_pasv(reply: Reply) -> int:
    """The port of a 227 reply (RFC 959 §4.1.2); the address in it is not followed.

    A server behind NAT names its inner address, a hostile one names a victim: the control peer's address is right
    in the first case and safe in the second.
    """
    match = _SIX.search(reply.lines[-1], 3)
    numbers = [int(n) for n in match.groups()] if match else [0] * 6
    return _port(numbers[4] * 256 + numbers[5] if max(numbers) <= 255 else 0, reply)


def pasv_address(reply: Reply) -> str:
    """The address that a 227 reply names, for people; empty if there is none."""
    match = _SIX.search(reply.lines[-1], 3)
    return ".".join(number.decode("ascii") for number in match.groups()[:4]) if match and reply.code == 227 else ""


def _port(port: int, reply: Reply) -> int:
    if not 0 < port < 65536:
        raise ProtocolError(f"The server offers no usable data port: {reply.text}", reply=reply.text)
    return port


def parse_size(reply: Reply) -> int | None:
    """The number of a 213 reply to SIZE (RFC 3659 §4), which some put behind words; None if it is none."""
    match = re.fullmatch(rb"213[ ](?:[^\d]*[ ])?(\d{1,19})\s*", reply.lines[-1])
    return int(match[1]) if reply.code == 213 and match else None


_COUNTED = 2**32
"""Sizes after which a server begins again that counts in 32 bits."""


def tells_size(reply: Reply, size: int) -> bool:
    """Whether the answer to SIZE is this number of bytes, as a server with sizes of 32 bits may tell it, too.

    From 2 GiB on, such a number is negative, or begins anew after 4 GiB. An empty file is not taken for one of 4 GiB.
    """
    match = re.fullmatch(rb"213[ ](?:[^\d-]*[ ])?(-?\d{1,19})\s*", reply.lines[-1])
    if reply.code != 213 or not match:
        return False
    told = int(match[1])
    return told == size or (told != 0 and abs(told) < _COUNTED <= 2 * size and (told - size) % _COUNTED == 0)


def parse_time(stamp: bytes) -> int | None:
    """Seconds since the epoch of a time-val ``YYYYMMDDHHMMSS[.sss]`` in UTC (RFC 3659 §2.3); None if it is none."""
    match = re.fullmatch(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d*)?", stamp)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(g) for g in match.groups())
    if year < 1970 or not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    # A leap second at the end of the year 9999 would be in a year of five digits.
    return min(calendar.timegm((year, month, day, hour, minute, second)), _LAST_SECOND)


_LAST_SECOND = 253_402_300_799
"""The end of the year 9999: file systems hold later dates, four digits do not."""


KEPT_EVERYWHERE = range(calendar.timegm((1980, 1, 2, 0, 0, 0)), calendar.timegm((2038, 1, 1, 0, 0, 0)))
"""Dates that every file system has: FAT begins with 1980, seconds in 32 bits end in 2038."""


def format_time(mtime_s: int) -> str:
    """The time-val of RFC 3659 §2.3 for a date, in whole seconds, UTC; it has room for the years 1970 to 9999."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(_fitting(mtime_s)))


def _fitting(mtime_s: int) -> int:
    return min(max(mtime_s, 0), _LAST_SECOND)


def shows_date(reply: Reply, mtime_s: int) -> bool:
    """Whether the answer to MDTM is the date that was sent as `format_time`; FAT has even seconds only."""
    sent, shown = _fitting(mtime_s), parse_mdtm(reply)
    return shown is not None and (shown == sent or (shown % 2 == 0 and abs(shown - sent) <= 2))


def parse_mdtm(reply: Reply) -> int | None:
    """The date of a 213 reply to MDTM (RFC 3659 §3); None if it is none."""
    return parse_time(reply.lines[-1][4:].strip()) if reply.code == 213 else None


def parse_hash(reply: Reply) -> tuple[str, str] | None:
    """Algorithm and hexadecimal digits of a 213 reply to HASH (draft-bryan-ftpext-hash §3.2); None if it is none."""
    match = re.match(rb"213[ ]+([A-Za-z0-9-]+)[ ]+(?:\d+-\d+[ ]+)?([0-9A-Fa-f]{8,128})\b", reply.lines[-1])
    return (match[1].decode("ascii").upper(), match[2].decode("ascii").lower()) if match else None


def parse_digest(reply: Reply, digits: int) -> str | None:
    """The hexadecimal number of a reply to XSHA256, XMD5 or XCRC; None if there is none of this length.

    Servers place it as they like; leading zeros of a short one may be missing.
    """
    if not reply.good:
        return None
    words = b" ".join(line[4:] for line in reply.lines).split()
    found = [word.decode("ascii").lower() for word in words if re.fullmatch(rb"[0-9A-Fa-f]{1,128}", word)]
    fitting = [word for word in found if len(word) == digits] or [word for word in found if digits == 8 > len(word)]
    return fitting[-1].zfill(digits) if fitting else None


def parse_257(reply: Reply) -> bytes | None:
    """The quoted path of a 257 reply (RFC 959 appendix II: quotes inside are doubled); None if there is none."""
    match = re.search(rb'"((?:[^"]|"")*)"', reply.lines[0])
    return match[1].replace(b'""', b'"') if reply.code == 257 and match else None


_KINDS: Mapping[str, Kind | None] = {"file": Kind.FILE, "dir": Kind.DIR, "cdir": None, "pdir": None}


def parse_facts(line: bytes, encoding: str = "utf-8") -> RemoteEntry | None:
    """One line of MLSD, or the inner line of MLST without its leading space (RFC 3659 §7.2).

    None for the directory itself, its parent, and lines that are no facts.
    """
    facts_part, space, name = line.partition(b" ")
    if not space or not name or (facts_part and b"=" not in facts_part):
        return None
    facts = {}
    for fact in facts_part.decode("latin-1").split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = _KINDS.get(facts.get("type", "file").lower(), Kind.OTHER)
    if kind is None:
        return None
    size = facts.get("size", "")
    return RemoteEntry(
        name.decode(encoding, "surrogateescape"),
        kind,
        int(size) if kind is Kind.FILE and re.fullmatch(r"[0-9]{1,19}", size) else None,
        parse_time(facts.get("modify", "").encode("latin-1")),
    )


_OPEN_TO_ALL = re.compile(rb"(?i)[; ]unix\.mode=0*777;")


def may_be_link(reply: Reply) -> bool:
    """Whether what MLST tells of may be a link: all that is known of it are its rights, which are those of all links.

    proftpd says of a link to a file that it is a file, with the size of the link.
    """
    return any(_OPEN_TO_ALL.search(line) for line in reply.lines)


_TYPED = re.compile(rb"(?i)[ ]*(?:[a-z.]+=[^; ]*;)*type=")


def parse_mlst(reply: Reply, encoding: str = "utf-8") -> RemoteEntry | None:
    """The entry of a reply to MLST (RFC 3659 §7.2); its name is the path as the server spells it.

    ``cdir`` is a directory here: it is the one that was asked for. Some put everything on one line, behind 213.
    """
    lines = reply.lines[1:-1] if reply.code == 250 else ()
    if len(reply.lines) == 1 and reply.code in {213, 250} and _TYPED.match(reply.lines[0], 4):
        lines = (reply.lines[0][4:],)
    for line in lines:
        # Some put the code before every line of a reply.
        facts = re.sub(rb"(?i)\btype=[cp]dir\b", b"type=dir", line.removeprefix(b"250-").lstrip(b" "))
        if (entry := parse_facts(facts, encoding)) is not None:
            return entry
    return None


_LS = re.compile(
    rb"(?P<type>[-dlbcps])[-rwxsStTl]{9}[+@.]?[ ]+\d+[ ]+\S+[ ]+\S+[ ]+(?P<size>-?\d+)[ ]+"
    rb"[A-Za-z]{3}[ ]+\d{1,2}[ ]+(?:\d{1,2}:\d\d|\d{4})[ ](?P<name>.+)",
    re.DOTALL,
)
_LS_ODD = re.compile(
    rb"(?P<type>[-A-Za-z?])(?:[-rwxsStTlL]{9}[+@.]?|[ ]*\[[-A-Z]{8}\])(?:[ ]+\d+|(?![ ]+\d+[ ]))[ ]+"
    rb"[^ :][^:]{0,200}?[ ]{1,40}(?P<size>\d{1,19})[ ]{1,40}"
    rb"(?:(?:%(month)s[ ]+%(day)s|%(day)s[ ]+%(month)s)[ ]+(?:\d{1,2}:\d\d|\d{4}(?![ ]+\d{1,2}:))"
    rb"|\d{4}-\d\d-\d\d[ ]+\d\d:\d\d(?::\d\d(?:\.\d+[ ]+[-+]\d{4})?)?)[ ](?P<name>.+)"
    % {b"month": rb"(?:[^\s\d:]{2,12}|\d{1,2}[\x80-\xff]{2,3})", b"day": rb"\d{1,2}(?:\.|[\x80-\xff]{2,3})?"},
    re.DOTALL,
)
"""The same with spaces in owner or group, or without one of them; with the rights of NetWare; with months and dates in
the ways of other countries (``6 May``, ``Mär``, ``5月``) and of ISO 8601."""
_DOS = re.compile(
    rb"(?:\d\d-\d\d-\d\d(?:\d\d)?|\d{4}-\d\d-\d\d)[ ]+\d\d:\d\d(?:[AP]M)?[ ]+"
    rb"(?:(?P<tag><(?P<dir>DIR|JUNCTION|SYMLINKD?)>)|(?P<size>\d+))[ ](?P<name>.+)",
    re.DOTALL,
)
_TAG_WIDTH = 14
"""``<DIR>`` and the like, with the spaces that IIS puts behind it; one more is before the name."""
_NO_ENTRY = re.compile(rb"\s*|[^\s\d]+[ ]+\d[\d.,]*[ ]?[kKMGT]?B?\s*")
"""``total 12``, in any language, or nothing."""


def parse_list(lines: Iterator[bytes], encoding: str = "utf-8", *, strict: bool = True) -> Iterator[RemoteEntry]:
    """The entries of a LIST in the form of ``ls -l`` or of IIS, for servers without MLSD.

    Dates are left out: a listing gives them in the server's time zone and to the minute. The name begins after
    exactly one space, so that leading spaces survive.

    Raises:
        NotSupportedError: a line is not understood, and ``strict``: what it tells of would be taken for absent.
    """
    for line in lines:
        if match := _LS.fullmatch(line) or _LS_ODD.fullmatch(line):
            kind = {b"-": Kind.FILE, b"d": Kind.DIR}.get(match["type"], Kind.OTHER)
            name = match["name"]
            if b"[" in line[:4]:
                name = name.lstrip(b" ")  # NetWare puts a column of spaces before it
            if match["type"] == b"l":
                name = name.partition(b" -> ")[0]
        elif match := _DOS.fullmatch(line):
            kind = {None: Kind.FILE, b"DIR": Kind.DIR}.get(match["dir"], Kind.OTHER)
            name, pad = match["name"], b" " * (_TAG_WIDTH - len(match["tag"] or b""))
            if match["dir"]:
                name = name[len(pad) :] if name.startswith(pad) else name.lstrip(b" ")
            if kind is Kind.OTHER and name.endswith(b"]"):
                name = name.rpartition(b" [")[0]
        elif _NO_ENTRY.fullmatch(line) or not strict:
            continue
        else:
            raise NotSupportedError(f"A line of the server's listing is not understood: {_shown(line)}")
        if name in {b"", b".", b".."}:
            continue
        # A negative one is that of a large file, from a server that counts in 32 bits.
        size = int(match["size"]) if kind is Kind.FILE and not match["size"].startswith(b"-") else None
        yield RemoteEntry(name.decode(encoding, "surrogateescape"), kind, size, None)
