"""What to say of a file on a disk that does not answer: of secrets, certificates and keys."""

from __future__ import annotations

from ftpsyncd import patience
from ftpsyncd.errors import ConfigError, ExitCode


class UnansweredError(ConfigError):
    """A file that the configuration names is on a disk that hangs: nobody has to correct anything.

    Args:
        what: the file.
    """

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, what: object) -> None:
        super().__init__(
            f"{what} cannot be read: its disk has not answered for {patience.ANSWER_S:g} s",
            remedy="It is read again when it is needed next.",
        )
