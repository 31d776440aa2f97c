"""Names that are not UTF-8, at servers that end the session where one is said (aioftp).

Each file with such a name would cost the connection, again and again, and with it all others wait for a server that is
taken for one that is away. So a command with such bytes is said alone until one was answered. Where two in a row were
the last that was said in a session, none is said any more.

Called by `session`, and by `saying`, which says the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsyncd.errors import NameNotSendableError

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

MOST_ENDS = 2


def require(name: bytes) -> None:
    """Refuse a name, as it travels, that would end the session, as it did before (`Profile.bytes_borne` is False).

    Raises:
        NameNotSendableError: it would.
    """
    if not _is_text(name):
        raise NameNotSendableError("The server ends the connection where a name is said that is not UTF-8.")


def is_doubtful(session: Session, command: bytes) -> bool:
    """Whether a command has such bytes, and none was answered so far."""
    return session.profile.bytes_borne is None and not _is_text(command)


def answered(session: Session, command: bytes) -> None:
    """Note that the server bears a command."""
    if is_doubtful(session, command):
        session.profile.bytes_borne = True


def ended(session: Session, command: bytes) -> bool:
    """Whether a command is the reason why the session ended; the profile remembers it."""
    profile = session.profile
    doubtful = is_doubtful(session, command)
    if doubtful:
        profile.bytes_missed += 1
        if profile.bytes_missed >= MOST_ENDS:
            profile.bytes_borne = False
    return doubtful


def _is_text(words: bytes) -> bool:
    if words.isascii():
        return True
    try:
        words.decode()
    except UnicodeDecodeError:
        return False
    return True
