"""Hashes of files at the server: which way it offers, what it says, and what ought to be said.

HASH has a draft (draft-bryan-ftpext-hash); XSHA256, XMD5 and XCRC have none, and servers differ in the words of their
replies. So a way counts only after it gave the right hash of a small file (`trials`).
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ftpsyncd.remote import facts
from ftpsyncd.remote.pour import BLOCK, unreadable
from ftpsyncd.remote.profile import Hashing

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

SIGN_OF_LIFE_S = 30.0
"""While much is read here, the server hears from us: many end a session that is silent for some minutes."""


class Hash(NamedTuple):
    """A hash as the server tells it."""

    algorithm: str
    """As HASH names it: ``SHA-256``, ``SHA-512``, ``SHA-1``, ``MD5``, ``CRC32``."""
    digits: str
    """Hexadecimal, lower case."""


class _Crc32:
    """CRC-32 with the face of hashlib."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_NEW: Mapping[str, Callable[[], Any]] = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-1": lambda: hashlib.sha1(usedforsecurity=False),
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "CRC32": _Crc32,
}
_ALGORITHM = {Hashing.XSHA256: ("SHA-256", 64), Hashing.XMD5: ("MD5", 32), Hashing.XCRC: ("CRC32", 8)}


def offered(features: Mapping[str, str]) -> list[Hashing]:
    """The ways that FEAT names, the best first."""
    return [way for way in Hashing if way.value and way.value in features]


def ask(session: Session, way: Hashing, path: str, size: int) -> Hash | None:
    """What the server says; None if it will not for this file.

    Raises:
        RemoteError: the session ended.
    """
    if way is Hashing.HASH and "SHA-256" in session.profile.features.get("HASH", "").upper():
        session.exchange([b"OPTS HASH SHA-256"])
    # Some take the words of a name for offsets unless it is quoted; HASH has no offsets.
    quotes = '"' if way is not Hashing.HASH and " " in path else ""
    command = session.command(way.value, path, quotes=quotes)
    session.stand(command)
    session.say([command])
    # The server reads all of the file first.
    patience_s = session.control.timeouts.after(size)
    reply = session.check(session.first(patience_s), patience_s)
    if way is Hashing.HASH:
        told = facts.parse_hash(reply)
        return Hash(*told) if told is not None and told[0] in _NEW else None
    algorithm, digits = _ALGORITHM[way]
    number = facts.parse_digest(reply, digits)
    return None if number is None else Hash(algorithm, number)


def of_bytes(algorithm: str, content: bytes) -> str:
    """The hash of ``content``, as `Hash.digits` has it."""
    made = _NEW[algorithm]()
    made.update(content)
    return str(made.hexdigest())


def of_file(algorithm: str, file: BinaryIO, sign: Callable[[], None] = lambda: None) -> str:
    """The hash of a file from its beginning.

    Args:
        algorithm: as `Hash` has it.
        file: open.
        sign: see `blocks`.

    Raises:
        LocalError: it cannot be read; else what ``sign`` raises.
    """
    made = _NEW[algorithm]()
    file.seek(0)
    for block in blocks(file, sign):
        made.update(block)
    return str(made.hexdigest())


def still_holds(file: BinaryIO, now_ns: int, sha256: bytes, ctime_ns: int, sign: Callable[[], None]) -> bool:
    """Whether an open file, whose ctime is ``now_ns`` by now, holds what was read from it when it had the other one.

    A program that writes in place and sets the date back changes the ctime only. So do a chmod, a chown and one more
    name (a hard link): then it is read once more, if its hash is known (``sha256`` is not empty).

    Raises:
        LocalError: it cannot be read; else what ``sign`` raises (see `blocks`).
    """
    if now_ns == ctime_ns:
        return True
    same = bool(sha256) and of_file("SHA-256", file, sign) == sha256.hex()
    return same and status_of(file).st_ctime_ns == now_ns


def status_of(file: BinaryIO) -> os.stat_result:
    """The stat of an open file, which a file server may refuse.

    Raises:
        FileChangedError: the file server says that it is not there any more (ESTALE).
        LocalUnreadableError: it cannot be told.
    """
    try:
        return os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(error) from error


def blocks(file: BinaryIO, sign: Callable[[], None], size: int | None = None) -> Iterator[memoryview]:
    """What is left of a file, or its next ``size`` bytes, piece by piece: each is there until the next is asked for.

    Args:
        file: open.
        sign: called every `SIGN_OF_LIFE_S` meanwhile; who waits for what is read is a session, as a rule.
        size: bytes; None: all.

    Raises:
        LocalError: it cannot be read; else what ``sign`` raises.
    """
    buffer = memoryview(bytearray(BLOCK))
    left, heard = size, time.monotonic()
    while left is None or left > 0:
        try:
            count = file.readinto(buffer if left is None else buffer[:left])  # type: ignore[attr-defined]
        except OSError as error:
            raise unreadable(error) from error
        if not count:
            return
        yield buffer[:count]
        if time.monotonic() - heard > SIGN_OF_LIFE_S:
            sign()
            heard = time.monotonic()
        left = None if left is None else left - count
