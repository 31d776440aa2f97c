"""What to say of a file on a disk that does not answer: of secrets, certificates and keys."""

from __future__ import annotations

from ftpsyncd import patience
from ftpsyncd.errors import ConfigError


def unanswered(what: object) -> ConfigError:
    """The disk of something hangs."""
    return ConfigError(
        f"{what} cannot be read: its disk has not answered for {patience.ANSWER_S:g} s",
        remedy="It is read again when it is needed next.",
    )
