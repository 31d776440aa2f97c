"""The group that a TLS 1.3 server asks for when it takes none of those that it was offered a key for.

Such a HelloRetryRequest costs a round trip, of every connection: many servers take only one group, and OpenSSL offers
a key for another one. Who offers it at once saves that. In: the first bytes of a server's answer. Pure.

Sources: RFC 8446 §4.1.3, §4.1.4, §4.2.8, §5.1; the numbers of groups: §4.2.7.
"""

from __future__ import annotations

GROUPS = {0x0017: "prime256v1", 0x0018: "secp384r1", 0x0019: "secp521r1"}
"""As :meth:`ssl.SSLContext.set_ecdh_curve` calls them; it knows no X25519, for which OpenSSL offers a key anyway."""
_HANDSHAKE, _SERVER_HELLO, _KEY_SHARE = 22, 2, 51
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The "random" of a ServerHello that is a HelloRetryRequest."""
LONGEST = 512
"""Bytes: far more than a HelloRetryRequest has."""


class _Reader:
    """Takes fields from the front; IndexError where there are fewer bytes."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def bytes(self, count: int) -> bytes:
        if len(self.left) < count:
            raise IndexError
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "big")

    def vector(self, size: int) -> _Reader:
        return _Reader(self.bytes(self.number(size)))


def wanted_group(answer: bytes) -> str:
    """The name of the group, or empty: the answer is none of this kind, not complete, or names none that is known."""
    try:
        return GROUPS.get(_selected(_Reader(answer)), "")
    except IndexError:
        return ""


def _selected(record: _Reader) -> int:
    if record.number(1) != _HANDSHAKE:
        return 0
    record.bytes(2)
    message = record.vector(2)
    if message.number(1) != _SERVER_HELLO:
        return 0
    hello = message.vector(3)
    hello.bytes(2)
    if hello.bytes(len(_RETRY)) != _RETRY:
        return 0
    hello.vector(1)
    hello.bytes(3)
    extensions = hello.vector(2)
    while extensions.left:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _KEY_SHARE:
            return content.number(2)
    return 0
