"""Names of hosts: their form, what those with characters beyond ASCII mean, and misread addresses. Pure."""

from __future__ import annotations

import re

from ftpsyncd.expression import Expression

_TWO_MEANINGS = Expression("[\u00df\u03c2\u200c\u200d]")
"""The sharp s, the sigma that ends a word, and two joiners (RFC 5894 §7.2)."""

_NUMBERS = Expression(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]+|[0-9]+))*\.?", re.ASCII)
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ADDRESS = Expression(rf"{_BYTE}(?:\.{_BYTE}){{3}}", re.ASCII)
ADDRESS_FORM = "an IPv4 address is four numbers from 0 to 255, without zeros in front"


def is_misread(host: str) -> bool:
    """Whether something that looks like an IPv4 address is read as another one, or as none.

    The C library takes ``192.168.001.010`` for 192.168.1.8, as numbers with a zero in front are octal, and ``10.1`` for
    10.0.0.1 (inet_aton(3)): who fills up with zeros would have the password told to another host.
    """
    return bool(_NUMBERS.fullmatch(host)) and not _ADDRESS.fullmatch(host)


def meanings(host: str) -> tuple[str, ...]:
    """The names on the wire of a host name that stands for more than one; else nothing.

    Python encodes names as RFC 3490 (IDNA 2003) has it, where ``straße.example`` is ``strasse.example``; registries
    and browsers as RFC 5891 (IDNA 2008), where it is ``xn--strae-oqa.example``: another host, perhaps somebody else's.
    """
    if host.isascii():
        return ()
    if not _TWO_MEANINGS.search(host):
        return ()
    labels = host.lower().split(".")
    newer = ".".join(each if each.isascii() else f"xn--{each.encode('punycode').decode('ascii')}" for each in labels)
    try:
        return newer, host.encode("idna").decode("ascii")
    except UnicodeError:
        return (newer,)


def has_form(host: str) -> bool:
    """Whether a name can be looked for at all: its parts have 1 to 63 bytes as they are encoded (RFC 1035 §2.3.4)."""
    if host.isascii():
        # Loading the codec takes time.
        return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False
