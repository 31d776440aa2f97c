"""Names at the server: those that are not the user's, how any of them travels, and what it may take for one. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.paths import parent
from ftpsyncd.quoting import quote

SUFFIX = ".filepart"
_IAC = 0xFF
TRASH = ".ftpsyncd-trash"
_NAME_MAX = 143
"""What eCryptfs leaves of 255, as in the encrypted folders of a Synology: a name that fits there must not be too long
while it is on its way."""
_TAIL = re.compile(rf"\.[0-9a-f]{{8}}{re.escape(SUFFIX)}\Z")


@lru_cache(maxsize=1024)  # asked for when a file is handed out, when it is sent, and when a leftover is looked for
def temporary(remote: str, owner: str) -> str:
    """The temporary name for a final remote path: ``NAME.<8 hex>.filepart`` beside it.

    The same path of the same owner always gets the same name, so that a retry overwrites its own leftover. Where that
    must not be, the temporary name of the try before is given as the owner of the next one.
    At most 143 bytes; a long name is cut between characters, never inside one.
    """
    directory, name = parent(remote), remote.rpartition("/")[2]
    tail = f".{_seal(owner, remote)}{SUFFIX}"
    while len(name.encode("utf-8", "surrogateescape")) + len(tail) > _NAME_MAX:
        name = name[:-1]
    return f"{directory}/{name}{tail}"


def final(remote: str) -> str:
    """A remote path without the tail that `temporary` gives it; a long name may have lost more (`may_be_cut`)."""
    return _TAIL.sub("", remote)


def may_be_cut(temporary: str) -> bool:
    """Whether a file's name may have lost its end in this one; a character has four bytes at most."""
    return len(temporary.rpartition("/")[2].encode("utf-8", "surrogateescape")) > _NAME_MAX - 4


def aside(remote: str) -> str:
    """Where the old version of a file is while the new one gets its name, at servers that replace no file: beside it.

    No other file has its old version there, also of those whose names begin alike and are cut: it may be all that the
    server has of one. Known to whoever knows the file's name, as `final` makes it of a temporary one that was not cut.
    """
    return temporary(remote, "")


@lru_cache(maxsize=64)  # each is said several times for one file
def on_the_wire(path: str, encoding: str) -> bytes:
    """A path as it travels to a server.

    Args:
        path: absolute.
        encoding: of names there; its name in Python.

    Raises:
        NameNotSendableError: the path holds CR, LF or NUL, or characters that the encoding lacks.
    """
    if not path.isprintable() and any(c in path for c in "\r\n\0"):
        raise NameNotSendableError(f"The name {quote(final(path))} holds a line break or NUL, which FTP cannot carry.")
    try:
        name = path.encode(encoding, "surrogateescape")
    except UnicodeEncodeError as error:
        what = f"cannot be written in the server's encoding {encoding}"
        raise NameNotSendableError(f"The name {quote(final(path))} {what}.") from error
    if name.count(b"/") != path.count("/"):
        # As ISO-2022-JP and UTF-7 do: it would be another path. Line breaks come of no encoding that keeps ASCII.
        what = "is none in the server's encoding: that makes slashes"
        raise NameNotSendableError(f"The name {quote(final(path))} {what}.")
    if _IAC in name:
        # Telnet's escape (RFC 854): proftpd wants it doubled, vsftpd and pyftpdlib would store the doubled byte.
        what = "holds the byte 0xFF, which servers read differently"
        raise NameNotSendableError(f"The name {quote(final(path))} {what}.")
    return name


def off_the_wire(name: bytes, encoding: str) -> str:
    """A name as a server tells it, in any bytes; those that the encoding has no character for stay what they are.

    Where an encoding reads letters for something else (UTF-7, HZ, ISO-2022-JP) and these make no sense as that, they
    are letters: the name may be anybody's.
    """
    try:
        return name.decode(encoding, "surrogateescape")
    except UnicodeDecodeError:
        return name.decode("ascii", "surrogateescape")


def trial(temporary: str) -> str:
    """The name of the small file with which it is tried, beside a temporary file, whether that can be continued.

    One for each temporary file: who knows what may lie under this name knows what may have been left of a trial.
    """
    return f"{parent(temporary)}/ftpsyncd.{_seal('', temporary)}{SUFFIX}"


def _seal(owner: str, remote: str) -> str:
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, which a command that only reads does not need

    return hashlib.blake2b(f"{owner}\0{remote}".encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def trash(base: str, day: str, path: str) -> str:
    """Where ``deletes: trash`` moves a file: ``BASE/.ftpsyncd-trash/DAY/path``."""
    return f"{base.rstrip('/')}/{TRASH}/{day}/{path}"


def trash_apart(trash: str, number: int = 1) -> str:
    """Another place for what `trash` names, which no other path has: ``BASE/.ftpsyncd-trash/DAY.<8 hex>/path``.

    The second such place is in ``DAY.<8 hex>.2``, and so on.
    """
    base, _, rest = trash.partition(f"/{TRASH}/")
    day, _, path = rest.partition("/")
    more = f".{number}" if number > 1 else ""
    return f"{base}/{TRASH}/{day}.{_seal('', path)}{more}/{path}"


def forms(name: str) -> set[str]:
    """A name, and the same with its accents as parts of the letters, and beside them: one name to a disk of a Mac."""
    return {name} if name.isascii() else {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))}


def folded(name: str) -> str:
    """What is the same for all names that some disk takes for one; Windows leaves dots and spaces at the end away."""
    return unicodedata.normalize("NFC", name.rstrip(". ") or name).casefold()


def cases(name: str) -> list[tuple[bytes, ...]]:
    """Each character of a name as it is, and in its other cases: those that a disk may take for the same."""
    spelled = []
    for character in name:
        others = {each for each in (character.lower(), character.upper()) if len(each) == 1} - {character}
        spelled.append(tuple(each.encode("utf-8", "surrogateescape") for each in (character, *sorted(others))))
    return spelled
