"""What servers tell of files: lines of MLSD, MLST and LIST in, entries out.

Pure: bytes in; names are decoded in the encoding of the server.

Sources: RFC 3659 §7 (MLST, MLSD) and what vsftpd, proftpd, pure-ftpd, IIS and others were seen to list: RFC 959 leaves
the form of LIST open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ftpsyncd.core import names
from ftpsyncd.errors import NotSupportedError
from ftpsyncd.expression import Expression
from ftpsyncd.model import Kind
from ftpsyncd.remote.facts import parse_time
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.remote.replies import Reply, shown

_KINDS: Mapping[str, Kind | None] = {"file": Kind.FILE, "dir": Kind.DIR, "cdir": None, "pdir": None}


def parse_facts(line: bytes, encoding: str = "utf-8") -> RemoteEntry | None:
    """One line of MLSD, or the inner line of MLST without its leading space (RFC 3659 §7.2).

    None for the directory itself, its parent, and lines that are no facts.
    """
    facts_part, name = _halves(line)
    if not _are_facts(facts_part, name):
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
        names.off_the_wire(name, encoding),
        kind,
        int(size) if kind is Kind.FILE and re.fullmatch(r"[0-9]{1,19}", size) else None,
        parse_time(facts.get("modify", "").encode("latin-1")),
    )


def has_facts(line: bytes) -> bool:
    """Whether a line may be one of MLSD, be it about the directory itself (RFC 3659 §7.2)."""
    return _are_facts(*_halves(line))


def _are_facts(facts_part: bytes, name: bytes) -> bool:
    return bool(name) and (not facts_part or b"=" in facts_part)


_NAMING = re.compile(rb"(?i)(?:[a-z.]{0,40}?(?:owner|group|user)[a-z.]{0,40}|type=os\.unix)=")
"""Facts that are names: of somebody, as of Windows' groups (``UNIX.groupname=domain users``), or where a link leads to
(``type=OS.unix=slink:``). Bounded: whatever a server sends as one, it must not be searched for minutes."""


def _halves(line: bytes) -> tuple[bytes, bytes]:
    """Facts, and the name behind the space that ends them.

    In facts there is none (RFC 3659 §7.2), but proftpd before 1.3.8 tells names that hold one (proftpd#1367). Some
    servers leave the last semicolon away.
    """
    end = line.find(b" ")
    if end > 0 and line[end - 1 : end] != b";" and _NAMING.match(line, line.rfind(b";", 0, end) + 1, end):
        end = line.find(b"; ", end) + 1 or end
    return (line[:end], line[end + 1 :]) if end >= 0 else (line, b"")


_OPEN_TO_ALL = Expression(rb"(?i)[; ]unix\.mode=0*777;")


def may_be_link(reply: Reply) -> bool:
    """Whether what MLST tells of may be a link: all that is known of it are its rights, which are those of all links.

    proftpd says of a link to a file that it is a file, with the size of the link.
    """
    return any(_OPEN_TO_ALL.search(line) for line in reply.lines)


_MODE = Expression(rb"(?i)[; ]unix\.mode=0*([0-7]{3,4});")
_RIGHTS = Expression(rb"\A[ ]?-[-r][-w][-xsS]([-rwxsStT]{6})[.]?[ ]")
"""Of a file in a line as ls writes it; where a list says more of them (``+``), they are not known."""


def is_private(reply: Reply) -> bool:
    """Whether MLST, or STAT with a path, shows a file that nobody may read but its owner."""
    for line in reply.lines[1:-1]:
        if mode := _MODE.search(line):
            return not int(mode[1], 8) & 0o044
        if rights := _RIGHTS.search(line):
            return b"r" not in rights[1]
    return False


_DEVICE = Expression(rb"(?i)[; ]unique=([0-9a-f]+)[ug][0-9a-f]+;")


def device(reply: Reply) -> bytes | None:
    """The number of the disk that what MLST tells of is on; None: it is not told.

    proftpd, pure-ftpd and pyftpdlib make ``unique`` (RFC 3659 §7.5.2) of that and the number of the inode.
    """
    return next((found[1] for line in reply.lines if (found := _DEVICE.search(line))), None)


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


_LS = Expression(
    rb"(?P<type>[-dlbcps])[-rwxsStTl]{9}[+@.]?[ ]+\d+[ ]+\S+[ ]+\S+[ ]+(?P<size>-?\d{1,19})[ ]+"
    rb"[A-Za-z]{3}[ ]+\d{1,2}[ ]+(?:\d{1,2}:\d\d|\d{4})[ ](?P<name>.+)",
    re.DOTALL,
)
_LS_ODD = Expression(
    rb"(?P<type>[-A-Za-z?])(?:[-rwxsStTlL]{9}[+@.]?|[ ]*\[[-A-Z]{8}\])(?:[ ]+\d+|(?![ ]+\d+[ ]))[ ]+"
    rb"[^ :][^:]{0,200}?[ ]{1,40}(?P<size>\d{1,19})[ ]{1,40}"
    rb"(?:(?:%(month)s[ ]+%(day)s|%(day)s[ ]+%(month)s)[ ]+(?:\d{1,2}:\d\d|\d{4}(?![ ]+\d{1,2}:))"
    rb"|\d{4}-\d\d-\d\d[ ]+\d\d:\d\d(?::\d\d(?:\.\d+[ ]+[-+]\d{4})?)?)[ ](?P<name>.+)"
    % {b"month": rb"(?:[^\s\d:]{2,12}|\d{1,2}[\x80-\xff]{2,3})", b"day": rb"\d{1,2}(?:\.|[\x80-\xff]{2,3})?"},
    re.DOTALL,
)
"""The same with spaces in owner or group, or without one of them; with the rights of NetWare; with months and dates in
the ways of other countries (``6 May``, ``Mär``, ``5月``) and of ISO 8601."""
_DOS = Expression(
    rb"(?:\d\d[-/]\d\d[-/]\d\d(?:\d\d)?|\d{4}-\d\d-\d\d)[ ]+\d\d:\d\d(?:[ ]?[AP]M)?[ ]+"
    rb"(?:(?P<tag><(?P<dir>DIR|JUNCTION|SYMLINKD?)>)|(?P<size>\d{1,3}(?:,\d{3}){1,6}|\d{1,19}))[ ](?P<name>.+)",
    re.DOTALL,
)
_TAG_WIDTH = 14
"""``<DIR>`` and the like, with the spaces that IIS puts behind it; one more is before the name."""
_TOTAL = Expression(rb"(?P<total>(?i:total:?))?(?(total)|[^\s\d]+)[ ]+(?P<number>\d[\d.,]*)[ ]?[kKMGT]?B?\s*")
"""``total 12``, in any language; a server of few words may mean a file and its size."""


def parse_list(lines: Iterator[bytes], encoding: str = "utf-8", *, strict: bool = True) -> Iterator[RemoteEntry]:
    """The entries of a LIST in the form of ``ls -l`` or of IIS, for servers without MLSD.

    Dates are left out: a listing gives them in the server's time zone and to the minute. The name begins after
    exactly one space, so that leading spaces survive. The first line may be a total, if it says so or entries follow.

    Raises:
        NotSupportedError: a line is not understood, and ``strict``: what it tells of would be taken for absent.
    """
    doubtful = b""
    for number, line in enumerate(filter(bytes.strip, lines)):
        if (entry := _entry(line, encoding)) is not None:
            doubtful = b""
            if entry.name not in {"", ".", ".."}:
                yield entry
        elif number == 0 and (match := _TOTAL.fullmatch(line)):
            doubtful = b"" if match["total"] or match["number"] == b"0" else line
        elif strict:
            raise _not_understood(line)
    if doubtful and strict:
        raise _not_understood(doubtful)


def _not_understood(line: bytes) -> NotSupportedError:
    return NotSupportedError(f"A line of the server's listing is not understood: {shown(line)}")


def _entry(line: bytes, encoding: str) -> RemoteEntry | None:
    """What a line of LIST tells of; None: it is not understood."""
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
    else:
        return None
    size = match["size"].replace(b",", b"") if kind is Kind.FILE else b""
    # A negative one is that of a large file, from a server that counts in 32 bits.
    return RemoteEntry(names.off_the_wire(name, encoding), kind, int(size) if size.isdigit() else None, None)
