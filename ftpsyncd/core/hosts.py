"""Names of hosts: their form, and what those with characters beyond ASCII mean. Pure."""

from __future__ import annotations

from ftpsyncd.expression import Expression

_TWO_MEANINGS = Expression("[\u00df\u03c2\u200c\u200d]")
"""The sharp s, the sigma that ends a word, and two joiners (RFC 5894 §7.2)."""


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
