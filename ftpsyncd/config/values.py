"""Single values as people write them, other than quantities (`units`). Pure.

In: a value from YAML. Out: what a spec holds. Called by `keys`. Each parser raises :class:`ftpsyncd.config.unfit.Unfit`
with what it expects, in words.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from ftpsyncd.config.unfit import Unfit, UnfitEntries, closest
from ftpsyncd.config.units import is_number, without_quotes
from ftpsyncd.core import hosts
from ftpsyncd.core.filters import GROUPS, parse_pattern

_Entry = TypeVar("_Entry")
_Words = TypeVar("_Words", bound=StrEnum)

NAME_PATTERN = r"^[^\s:/.\-][^\s:/]{0,63}$"
"""Names of servers and mappings: they are words on a command line, and ``SERVER:PATH`` must be unambiguous."""
NAME_EXPECTED = "a name of at most 64 characters without spaces, `:` and `/`, not beginning with `.` or `-`"


class Symlinks(StrEnum):
    """What a symbolic link in a folder is."""

    SKIP = "skip"
    FOLLOW = "follow"


class Level(StrEnum):
    """From which severity on lines are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


class TlsVersion(StrEnum):
    """The highest version of TLS to offer."""

    V1_2 = "1.2"
    V1_3 = "1.3"


class Target(NamedTuple):
    """``SERVER:/PATH``."""

    server: str
    path: str
    """Normalised: absolute, no empty components, no slash at the end (except the root itself)."""


def flag(value: object) -> bool:
    """A boolean."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:
        raise Unfit("true or false", hint="these have no quotes")
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower())
    raise Unfit("true or false", hint=f"did you mean {meant}?" if meant else "")


def whole(lowest: int, highest: int) -> Callable[[object], int]:
    """A parser of whole numbers within limits, both included."""

    def parse(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise Unfit(f"a whole number from {lowest} to {highest}", hint=without_quotes(value))

    return parse


def text(expected: str) -> Callable[[object], str]:
    """A parser of non-empty text."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value
        raise Unfit(expected, hint="quote a number: it is meant as text" if is_number(value) else "")

    return parse


def host(value: object) -> str:
    """A host name or an IP address, in small letters, since it is the same in others; IPv6 without brackets."""
    expected = "a host name such as ftp.example.com, or an IP address"
    if not isinstance(value, str) or not value:
        raise Unfit(expected)
    if "/" in value or "@" in value:
        raise Unfit(expected, found="a URL", hint="only the name, without ftp:// and path; the account goes to `user:`")
    bare = value.removeprefix("[").removesuffix("]")
    if ":" in value:
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            raise Unfit(expected, hint="the port has a key of its own: `port:`") from None
    if hosts.is_misread(value):
        raise Unfit(expected, hint=hosts.ADDRESS_FORM)
    if meant := hosts.meanings(value):
        raise Unfit("a name that stands for one host", hint=f"write the one that is meant: {' or '.join(meant)}")
    try:
        encoded = value if _is_plain(value) else value.encode("idna").decode("ascii")
    except UnicodeError:
        raise Unfit(expected) from None
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", encoded):
        raise Unfit(expected)
    return value.lower()


def _is_plain(name: str) -> bool:
    """Whether a host name is its own encoding (RFC 3490, section 4.1): most are, and loading the codec takes time."""
    return name.isascii() and all(0 < len(label) < 64 for label in name.removesuffix(".").split("."))


def encoding(value: object) -> str:
    """A text encoding in which FTP commands look as in ASCII."""
    expected = "a character encoding that contains ASCII, such as utf-8, latin-1 or cp1252"
    try:
        if isinstance(value, str) and codecs.lookup(value) and "/Az.".encode(value, "surrogateescape") == b"/Az.":
            return value
    except (LookupError, UnicodeError, ValueError):
        pass
    raise Unfit(expected)


def tls_version(value: object) -> str:
    """A TLS version; the unquoted number is accepted as well."""
    if str(value) in set(TlsVersion) and not isinstance(value, bool):
        return str(value)
    raise Unfit('"1.2" or "1.3"')


def target(value: object) -> Target:
    """``SERVER:/PATH``, normalised."""
    expected = "SERVER:/PATH, such as web:/htdocs/gallery"
    if not isinstance(value, str):
        raise Unfit(expected)
    server, colon, path = value.partition(":")
    if not colon or not server or value.startswith(("ftp://", "ftps://")):
        raise Unfit(expected, hint="the name of a server from `servers:`, a colon, and the directory there")
    if not path.startswith("/"):
        meant = path.replace("\\", "/").strip().lstrip("/")
        raise Unfit(
            "a path that begins with `/`",
            hint=f"write `{server}:/{meant}`; for a directory below the login directory, put that in front",
        )
    components = [component for component in path.split("/") if component]
    if ".." in components or "." in components:
        raise Unfit("a path without `..` and `.`")
    return Target(server, "/" + "/".join(components))


def pattern(value: object) -> str:
    """A group or a gitignore pattern."""
    if not isinstance(value, str) or not value:
        raise Unfit("a pattern such as *.jpg, or a group such as @image", hint="quote it" if value is not None else "")
    try:
        return parse_pattern(value).text
    except ValueError as error:
        meant = closest(value.lstrip("!"), GROUPS) if "@" in value else ""
        question = f"; did you mean {meant}?" if meant else ""
        raise Unfit("a pattern such as *.jpg, or a group such as @image", hint=f"{error}{question}") from None


LISTEN_PATTERN = r"^(localhost|127(\.[0-9]{1,3}){3}|\[::1\]):[0-9]{1,5}$"


def listen(value: object) -> tuple[str, int]:
    """``HOST:PORT`` on the loopback; the host as an address, without brackets."""
    expected = "a loopback address and a port, such as 127.0.0.1:8021 or [::1]:8021"
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\[[^\s/\[\]]+\]|[^\s:/\[\]]+):([0-9]{1,5})", value)):
        raise Unfit(expected, hint=f"did you mean 127.0.0.1:{value}?" if is_number(value) else "")
    port = int(match[2])
    if not 0 < port <= 65535:
        raise Unfit(expected, hint="a port is a number from 1 to 65535")
    host = "127.0.0.1" if match[1] == "localhost" else match[1].strip("[]")
    try:
        # The pattern is stricter than ipaddress: no ::ffff:127.0.0.1, no zones.
        if re.fullmatch(LISTEN_PATTERN, value) and ipaddress.ip_address(host).is_loopback:
            return host, port
    except ValueError:
        pass
    raise Unfit(
        expected, hint="it must not be reachable from other machines; put a web server with access control in front"
    )


def word(words: type[_Words]) -> Callable[[object], _Words]:
    """A parser of one of a few words."""
    values = [str(each) for each in words]

    def parse(value: object) -> _Words:
        if isinstance(value, str) and value in values:
            return words(value)
        meant = closest(str(value).lower(), values)
        raise Unfit(f"one of {', '.join(values)}", hint=f"did you mean {meant}?" if meant else "")

    return parse


def listing(
    entry: Callable[[object], _Entry], *, least: int = 0, example: str, everything: str = ""
) -> Callable[[object], tuple[_Entry, ...]]:
    """A parser of lists, which looks at every entry even if one does not fit."""

    def parse(value: object) -> tuple[_Entry, ...]:
        if not isinstance(value, list):
            raise Unfit(f"a list such as {example}")
        if len(value) < least:
            raise Unfit("at least one entry", found="an empty list", hint=everything)
        out: list[_Entry] = []
        unfit: dict[int, Unfit] = {}
        for index, each in enumerate(value):
            try:
                out.append(entry(each))
            except Unfit as error:
                unfit[index] = error
        if unfit:
            raise UnfitEntries(unfit)
        return tuple(out)

    return parse
