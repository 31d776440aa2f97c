"""What a server's words mean: bytes of the control channel in, replies and typed errors out.

Pure: nothing here reads a socket, a clock or a file. `wire` feeds the bytes, `session` and `upload` ask for meanings;
what replies tell besides is read by `facts` and `listings`.
Replies stay bytes until a person or a path needs them: names are bytes at the server, and a decoder that stumbles
over one echoed name would shift every later reply by one.

Sources: RFC 959 §4.2 (replies), RFC 4217 (TLS), and what vsftpd, proftpd, pure-ftpd, pyftpdlib and others were seen to
answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    FileTooLargeError,
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
    TooManyTransfersError,
    TransferFailedError,
)
from ftpsyncd.expression import Expression
from ftpsyncd.quoting import named

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
_ENDED_OTHERWISE: Mapping[bytes, bytes] = {b"221": b"211"}
"""Features that begin as a farewell and end as what they are: FEAT of ftpd on game consoles (mtheall)."""
_SINGLE = re.compile(rb"[1-6][0-9][0-9] [^\r\n]*")
"""A reply of one line as RFC 959 has it, without its end."""
_SHORT = 512
"""Bytes that every line may have."""
_KNOWN = 32
"""Lines of one session that are remembered: a server answers most commands in the same words for each file."""


def _of_one_line(line: bytes, secret: re.Pattern[bytes] | None) -> Reply | None:
    """The reply that a line is by itself; None if it is none."""
    return Reply(int(line[:3]), (line,), secret) if _SINGLE.fullmatch(line) else None


class ReplyReader:
    """Cuts the byte stream of the control channel into replies (RFC 959 §4.2), with bounded memory."""

    def __init__(self) -> None:
        self.secret: re.Pattern[bytes] | None = None
        self._known = lru_cache(maxsize=_KNOWN)(_of_one_line)
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
        if not self._lines and (end := self._buffer.find(b"\r\n", self._at, self._at + _SHORT)) >= 0:
            # Nearly all are of one line and in order.
            single = self._known(self._buffer[self._at : end], self.secret)
            if single is not None:
                self._at, self._size = end + 2, 0
                return single
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
                raise ProtocolError(f"The server sent something that is no FTP reply: {shown(line)}")
            self._lines.append(line)
            return None if line[3:4] == b"-" else Reply(int(line[:3]), (line,), self.secret)
        self._lines.append(line)
        # The last line repeats the code and a space; anything else, codes included, is text.
        code = self._lines[0][:3]
        if line[:3] in {code, _ENDED_OTHERWISE.get(code)} and line[3:4] in {b" ", b""}:
            return Reply(int(line[:3]), tuple(self._lines), self.secret)
        return None


def shown(line: bytes) -> str:
    """The beginning of a line, for people."""
    return ascii(line[:80].decode("latin-1"))


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CROWDED = Expression(
    r"too many|maximum|already connected|try (?:again|later)|simultaneous|concurrent|limit.{0,20}(?:reached|exceeded)"
    r"|overloaded|is restricted to \d|more connection|number of connections|only .{1,20}sessions? .{0,20}allowed"
    r"|may not connect more than|more than \d+ connections|\bmax\b.{0,20}(?:connection|login|session|user)s|zu viele"
    r"|trop de? |demasiad[ao]s (?:conexiones|usuarios)",
    re.IGNORECASE,
)
"""With a 421 or 530. lftp knows most of these (ftp:retry-530); Serv-U: "only 2 sessions from same IP allowed"."""
_TRANSFERS = Expression(
    r"(?:too many|maximum number of) (?:(?:data|simultaneous|concurrent) )?(?:transfers|uploads|downloads)",
    re.IGNORECASE,
)
"""Of a transfer: proftpd (MaxTransfersPerUser, MaxTransfersPerHost) lets in more connections than may transfer."""
_PASSWORD = Expression(
    r"password|incorrect|credential|(?<!connection )attempts|(?:failed|invalid|bad|wrong|unsuccessful) log-?in"
    r"|(?:log-?in|authentication) failed(?!.*(?:connections|clients|sessions|users|simultaneous))",
    re.IGNORECASE,
)
"""Of a refused login it is not the crowd, even if there are "too many failed logins" or one may "try again"."""
_WRONG = Expression(
    r"\b(?:invalid|incorrect|wrong|bad|unknown) (?:user|log-?in|password|credential)"
    r"|\b(?:user ?name|log-?in|password|credentials?)\b.{0,15}\b(?:incorrect|invalid|wrong|not found)",
    re.IGNORECASE,
)
"""With a 4xx (430, as a rule) it is the password all the same: told every few minutes, it would close the account."""
_HOMELESS = Expression(r"\bOOPS:|\bhome ?dir", re.IGNORECASE)
"""How vsftpd and IIS end a login that went well, where the account has no directory that could be entered."""
_SITE_FIRST = Expression(r"valid host ?name is expected", re.IGNORECASE)
"""What IIS says where several sites share an address, and it is not told which is meant."""
_DIED = Expression(r"^500 OOPS: (?:priv_sock|child died)")
"""vsftpd's last words when one of its processes is gone; with others it refuses a login or ends the connection."""
_FULL = Expression(
    r"no space|disk full|disc full|quota|insufficient (?:storage|space|disk)|not enough space"
    r"|nicht (?:genug|gen.{1,2}gend) (?:speicher|platz)|espace insuffisant|espacio en disco insuficiente"
    r"|spazio su disco insufficiente|onvoldoende schijfruimte|espa.{1,2}o insuficiente|ma.{1,2}o miejsca",
    re.IGNORECASE,
)
"""IIS says what Windows says, in the language of that: German, French, Spanish, Italian, Dutch, Portuguese, Polish."""
_TOO_LARGE = Expression(
    r"\bfile (?:is |size )?too (?:large|big)|\bmax(?:imum|\.)? (?:allowed )?(?:file|upload) ?size"
    r"|\b(?:file|upload) size (?:limit|exceed)|larger than (?:the )?(?:allowed|permitted|maximum)",
    re.IGNORECASE,
)
"""Whatever the code: proftpd (MaxStoreFileSize, and disks that hold no such files) says 552 as for a quota."""
_MISSING = Expression(
    r"no such|not found|doesn.?t exist|does not exist|cannot find|can.?t find|can't check for file exist"
    r"|kann d.{2,30} nicht finden",
    re.IGNORECASE,
)
_EXISTS = Expression(r"already exists|file exists|directory exists|: exists|already a", re.IGNORECASE)
_NOT_EMPTY = Expression(r"not empty|enotempty|isn.?t empty", re.IGNORECASE)
_DENIED = Expression(
    r"denied|not permitted|zugriff verweigert|acc.{1,2}s refus|acceso denegado|accesso negato|toegang geweigerd"
    r"|acesso negado|odmowa dost",
    re.IGNORECASE,
)
_UNLISTED = Expression(rb"cannot be listed")
_IRREGULAR = Expression(rb"not a regular file|only retrieve regular files")
_IN_USE = Expression(
    r"\bin use\b|(?:resource|file) (?:is )?busy|sharing violation|file is locked"
    r"|\b(?:another|anderen|autre|otro|altro|ander|outro|inny) pro[cz]",
    re.IGNORECASE,
)
"""Windows says in its own language that another process uses the file."""
_LINE_BROKE = Expression(
    r"\bE(?:CONNRESET|CONNABORTED|PIPE|TIMEDOUT)\b|\bconnection (?:was |has been )?(?:reset|aborted|timed out)"
    r"|broken pipe|network name is no longer available|\bissue during transfer",
    re.IGNORECASE,
)
"""Of a transfer, whatever the code: ftp-srv, as what is made with Node.js, IIS, and SFTPGo, as what is made with the
same library of Go, say 550 as for a name. SFTPGo does so too where that is why: a storage of others refuses a file only
when it is closed."""
_UNREAD = Expression(rb"failed to open directory|unable to (?:read|open)|permission denied", re.IGNORECASE)
_CUT = Expression(rb"\boutput truncated\b|\blisting (?:is |was )?truncated\b", re.IGNORECASE)
_NO_DATA = Expression(rb"\bconnect|\btls\b|\bssl\b|\bports?\b", re.IGNORECASE)
_BROKEN_OFF = Expression(
    rb"\btransferr?ing\b|\btransfer (?:was )?aborted|\bconnection (?:was )?(?:closed|aborted|lost)", re.IGNORECASE
)
_UNWRITTEN = Expression(
    rb"failure writing to local file|error during write to file|error on output file", re.IGNORECASE
)
_FILTERED = Expression(
    r"(?:forbidden|prohibited) file ?name|file extension|file type|name (?:is )?not allowed", re.IGNORECASE
)
"""How proftpd (PathAllowFilter), pure-ftpd and IIS (request filtering) refuse a name for what it looks like."""
_MEANINGFUL = Expression(
    "|".join(
        words.pattern
        for words in (_CROWDED, _FULL, _MISSING, _EXISTS, _NOT_EMPTY, _DENIED, _IN_USE, _LINE_BROKE, _FILTERED)
    ),
    re.IGNORECASE,
)
"""Words that decide, whatever they decide."""
_WORDY = Expression(r"[A-Za-z' ]+")
_BROKE = 551
"""What Apache's FtpServer says of a transfer that its disk, TLS or patience has ended, and BSD's ftpd of a file that it
cannot read to its end; in RFC 959 it is about pages, which nobody has. ftp-srv says it of whatever it cannot fetch."""
_LOGIN_VERBS = frozenset({"", "USER", "PASS", "ACCT"})
_SENDING_VERBS = frozenset({"STOR", "APPE"})
_TRANSFER_VERBS = _SENDING_VERBS | {"RETR"}
_DATA_VERBS = _TRANSFER_VERBS | {"MLSD", "LIST", "NLST"}
_TLS_VERBS = frozenset({"AUTH", "PBSZ", "PROT"})
_PATH_VERBS = frozenset({
    "STOR", "APPE", "RETR", "DELE", "RNFR", "RNTO", "MKD", "RMD", "CWD", "SIZE", "MDTM", "MFMT", "MLST", "MLSD",
    "LIST", "NLST",
})  # fmt: skip


def says_not_empty(reply: Reply, subject: str, encoding: str) -> bool:
    """Whether a refused RMD was refused because the directory holds something."""
    return bool(_NOT_EMPTY.search(_told(reply, subject, encoding)))


def says_denied(reply: Reply, subject: str, encoding: str) -> bool:
    """Whether the reason is a lack of rights: then it tells nothing about what is there."""
    return bool(_DENIED.search(_told(reply, subject, encoding)))


def says_unlisted(reply: Reply) -> bool:
    """Whether MLST found nothing, in proftpd's words; it has others for what may not be looked at."""
    return bool(_UNLISTED.search(b" ".join(reply.lines)))


def says_irregular(reply: Reply) -> bool:
    """Whether a refused SIZE found something that is no file, in the words of proftpd and pure-ftpd.

    Others that are alike ("not a plain file", "not retrievable") are said of what is not there, too.
    """
    return bool(_IRREGULAR.search(b" ".join(reply.lines)))


def says_unread(reply: Reply) -> bool:
    """Whether a listing that is empty was not made at all: vsftpd and pure-ftpd say so in the words of a success."""
    return bool(_UNREAD.search(b" ".join(reply.lines)))


def says_cut(reply: Reply) -> bool:
    """Whether a listing that came well is not all: pure-ftpd shows 10,000 names (``-L``), and says so after them."""
    return bool(_CUT.search(b" ".join(reply.lines)))


def says_unwritten(reply: Reply) -> bool:
    """Whether an upload failed at the server's disk: what vsftpd, its kin and pure-ftpd say where no space is left.

    So does Apache's FtpServer, with a code of its own (551). BusyBox says it of a broken connection, too.
    """
    return (reply.passing or reply.code == _BROKE) and bool(_UNWRITTEN.search(b" ".join(reply.lines)))


def of_the_name(reply: Reply) -> Reply:
    """The last word about a transfer that was not begun (no 150), or of nothing: then 551 tells of the name, as 550."""
    return reply._replace(code=550) if reply.code == _BROKE else reply


def says_no_data_connection(reply: Reply) -> bool:
    """Whether a transfer was refused for want of a data connection.

    With 425 some refuse a file that they cannot open, and FileZilla Server 1 tells of a transfer that broke.
    """
    words = b" ".join(reply.lines)
    return reply.code in {425, 522} and bool(_NO_DATA.search(words)) and not _BROKEN_OFF.search(words)


def says_too_many_transfers(reply: Reply) -> bool:
    """Whether a transfer was refused because there are others at the same time; of one of our own small files."""
    return reply.passing and bool(_TRANSFERS.search(reply.text))


def says_no_tls_now(refusal: Reply) -> bool:
    """Whether a refused AUTH says that TLS is lacking for the moment only, and not that there is none (RFC 2228 §4)."""
    return refusal.passing and refusal.code != 421


def says_filtered(reply: Reply, subject: str, encoding: str) -> bool:
    """Whether a refusal is about what a name looks like, whatever is there under it."""
    return bool(_FILTERED.search(_told(reply, subject, encoding)))


def _told(reply: Reply, subject: str, encoding: str) -> str:
    """What a server says, without the name that it repeats: a folder may be called ``not found``."""
    text = names.off_the_wire(b" ".join(reply.lines), encoding)
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
    says, about = _SAYS[kind], f" {named(subject)}" if subject else ""
    if says_no_tls_now(reply) and verb == "AUTH":
        says = "The server cannot begin TLS now"
    if kind is NotSupportedError and verb:
        about = f" ({verb})"
    if kind is TooManyTransfersError:
        about = ""  # it is not about a file
    remedy = SESSION_ENDS if kind is ServerUnavailableError and _SESSION.search(reply.text) else None
    if kind is LoginRefusedError and _HOMELESS.search(reply.text):
        remedy = _NO_HOME
    if kind is LoginRefusedError and _SITE_FIRST.search(reply.text):
        remedy = _WHICH_SITE
    if kind is LoginRefusedError and verb not in _LOGIN_VERBS:
        says, remedy = "After the login, the server refuses", _NOT_LOGGED_IN
    return kind(f"{says}{about}: {reply.text}", reply=reply.text, remedy=remedy)


_SESSION = Expression(r"\bsession time-?out\b", re.IGNORECASE)
SESSION_ENDS = (
    "The server ends each session after a time (`TimeoutSession` of proftpd). Have it allow longer ones if a file needs"
    " more than that: one of less than 9 MiB has to arrive within a session; larger ones are continued."
)
"""Of a server that says so."""
_NOT_LOGGED_IN = (
    "It has forgotten the login, which is made anew by itself, or the account has no right to that: if it lasts, have"
    " the server grant that."
)
"""Of a 530 to anything but a login."""
_NO_HOME = (
    "By these words it is not the password: the server cannot give the account its directory, or not as it is set up:"
    " ask whoever runs it."
)
_WHICH_SITE = (
    "The server (IIS) has several sites: name the one that is meant before the user, as in"
    " `user: ftp.example.com|NAME`."
)
_SAYS: Mapping[type[RemoteError], str] = {
    ServerUnavailableError: "The server is not available",
    TooManyConnectionsError: "The server allows no further connection",
    TooManyTransfersError: "The server allows no further transfer at the same time",
    LoginRefusedError: "The server refuses the login",
    TlsError: "The server refuses TLS",
    TransferFailedError: "The server could not complete",
    InUseError: "A program at the server uses",
    ServerFullError: "The server has no space for",
    FileTooLargeError: "The server takes no file as large as",
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
    crowded = _CROWDED.search(text) and not _PASSWORD.search(text)
    if code == 421 or verb in _LOGIN_VERBS:
        if crowded:
            return TooManyConnectionsError
        if code == 421 or (code < 500 and not (verb and _WRONG.search(text))):
            return ServerUnavailableError
        return LoginRefusedError if verb else ServerUnavailableError
    if verb == "AUTH" and says_no_tls_now(reply):
        return ServerUnavailableError
    if verb in _TLS_VERBS or code in {431, 533, 534, 535, 536}:
        return TlsError
    if code == 530:
        return TooManyConnectionsError if crowded else LoginRefusedError
    if verb in _TRANSFER_VERBS and code < 500 and _TRANSFERS.search(text):
        return TooManyTransfersError
    if verb in _SENDING_VERBS and _TOO_LARGE.search(text):
        return FileTooLargeError
    if code in {452, 552} or _FULL.search(text):
        return ServerFullError
    if code in {450, 550} and verb in _PATH_VERBS and _IN_USE.search(text):
        return InUseError
    says_why = _MISSING.search(text) or _EXISTS.search(text) or _DENIED.search(text)
    broke = verb in _DATA_VERBS and not says_why and (code == _BROKE or _LINE_BROKE.search(text))
    if code < 500 or code == 522 or broke:
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
