"""What to say of a file on a disk that does not answer: of the configuration itself, secrets, certificates and keys."""

from __future__ import annotations

from typing import Self

from ftpsyncd import patience
from ftpsyncd.errors import ConfigError, ExitCode


class UnansweredError(ConfigError):
    """A file is on a disk that hangs: nobody has to correct anything."""

    exit_code = ExitCode.TEMPFAIL
    remedy = "It is read again when it is needed next."

    @classmethod
    def of(cls, what: object, *, remedy: str | None = None) -> Self:
        """It is this file."""
        silence = f"its disk has not answered for {patience.ANSWER_S:g} s"
        return cls(f"{what} cannot be read: {silence}", remedy=remedy)
