"""What replies tell: features, ports, sizes, dates, hashes, a path.

Pure: a reply in, a value out; None, or an error, where it is not what was asked for.

Sources: RFC 959 (PASV, 257), RFC 2389 (FEAT), RFC 2428 (EPSV), RFC 3659 (SIZE, MDTM), draft-bryan-ftpext-hash (HASH),
and what servers were seen to answer.
"""

from __future__ import annotations

import calendar
import re
import time

from ftpsyncd.core import sizes
from ftpsyncd.errors import ProtocolError
from ftpsyncd.expression import Expression
from ftpsyncd.remote.replies import Reply


def parse_feat(reply: Reply) -> dict[str, str]:
    """The features of a 211 reply (RFC 2389 §3.2): upper-case name → parameters; empty if there are none.

    Some say 221, as of an end, and go on.
    """
    features: dict[str, str] = {}
    if reply.code not in {211, 221}:
        return features
    for line in reply.lines[1:-1]:
        name, _, parameters = re.sub(rb"^2[12]1-", b"", line).decode("latin-1").strip().partition(" ")
        if name:
            features[name.upper()] = parameters.strip()
    return features


_EXTENDED = Expression(rb"\(([\x21-\x7e])\1\1(\d{1,5})\1\)")


def find_epsv(reply: Reply) -> int:
    """The port of a 229 reply (RFC 2428 §3): ``(|||port|)`` with any delimiter; the address is the control peer's.

    0: it names none.
    """
    match = _EXTENDED.search(reply.lines[-1])
    port = int(match[2]) if match else 0
    return port if port < 65536 else 0


def parse_epsv(reply: Reply) -> int:
    """The same port.

    Raises:
        ProtocolError: it names none.
    """
    return _port(find_epsv(reply), reply)


_SIX = re.compile(rb"[ ]{0,3},[ ]{0,3}".join([rb"(\d{1,3})"] * 6))
"""Four of an address and two of a port; some put blanks around the commas."""


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


_BYTES = rb"(?i:[ ]bytes?)?\s*"
_SIZE = Expression(rb"213[ ](?:[^\d]*[ ])?(\d{1,19})%b" % _BYTES)
_SIGNED_SIZE = Expression(rb"213[ ](?:[^\d-]*[ ])?(-?\d{1,19})%b" % _BYTES)


def parse_size(reply: Reply) -> int | None:
    """The number of a 213 reply to SIZE (RFC 3659 §4), which some put between words (Zope); None if it is none."""
    match = _SIZE.fullmatch(reply.lines[-1])
    return int(match[1]) if reply.code == 213 and match else None


def tells_size(reply: Reply, size: int) -> bool:
    """Whether the answer to SIZE is this number of bytes (`sizes.tells`); ftp-srv says words where it is none."""
    if size == 0 and reply.code == 213 and not re.search(rb"\d", reply.lines[-1][4:]):
        return True
    match = _SIGNED_SIZE.fullmatch(reply.lines[-1])
    return reply.code == 213 and match is not None and sizes.tells(int(match[1]), size)


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
    """Whether the answer to MDTM is the date that was sent as `format_time`."""
    return is_date(parse_mdtm(reply), mtime_s)


def is_date(shown: int | None, mtime_s: int) -> bool:
    """Whether what a server shows is the date that was sent as `format_time`; FAT has even seconds only."""
    sent = _fitting(mtime_s)
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
