"""How long a command may be, which each server decides for itself, and few tell in time.

pyftpdlib takes 2,048 bytes and answers twice to more, vsftpd and pure-ftpd say so and end the session beyond 4,094 and
4,110, proftpd says nothing beyond 4,100, or 509 where its CommandBufferSize is 512, and GNU inetutils takes what is
beyond some 510 for another command. Whatever comes next would be taken
for the answer to another command, or the network be blamed. So a command that is longer than all that were answered so
far is said alone, from `LONG` on; where it is refused for its length, or passed over, all paths that need such commands
are refused here, before anything is said.

Called by `session`, which says the commands, and by `naming`, before a file is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftpsyncd.errors import NameNotSendableError, ProtocolError, ServerUnavailableError
from ftpsyncd.expression import Expression
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

LONG = 500
"""Bytes that every server is believed to take."""
SPARE = 96
"""Bytes of the longest command besides the path, and of what a temporary name has more than the final one."""
_TOO_LONG = Expression(
    r"\b(?:line|command|path|pathname|filename|name|argument|input)\b.{0,20}\btoo long", re.IGNORECASE
)
_NOT_UNDERSTOOD = frozenset({500, 502})
_REFUSALS = frozenset({"421", "500", "501"})
"""Of the command, whatever it is to be done to: a name that is too long for a disk gets a 550 or 553."""


def require(session: Session, name: bytes) -> None:
    """Refuse a path that needs longer commands than the server takes, where it has refused one for its length.

    Never one for which `assure` has found that it does: what was begun is ended.

    Args:
        session: at the server.
        name: the path as it travels.

    Raises:
        NameNotSendableError: it is too long.
    """
    profile = session.profile
    if profile.taken < len(name) + SPARE >= profile.too_long:
        raise NameNotSendableError(
            f"The path has {len(name):,} bytes at the server, which takes no command of {profile.too_long:,} bytes."
        )


def assure(session: Session, path: str) -> None:
    """Make sure that the server takes commands with this path before anything depends on one.

    Raises:
        NameNotSendableError: it is known not to.
        ServerUnavailableError: it turned out not to; the session is finished.
    """
    name = session.name(path)
    if is_unproven(session, name):
        # No letter of it: GNU inetutils would do what is beyond 510 bytes, if that is a command.
        harmless = re.sub(rb"[^/]", b"x", name)
        session.exchange([b"SIZE " + harmless + b"/".ljust(SPARE - len(b"SIZE "), b"x")])


def is_unproven(session: Session, name: bytes) -> bool:
    """Whether `assure` has something to find out, which may end the session."""
    return _is_doubtful(session, len(name) + SPARE)


def is_doubtful(session: Session, command: bytes) -> bool:
    """Whether it is longer than anything that the server has answered."""
    return _is_doubtful(session, len(command))


def _is_doubtful(session: Session, size: int) -> bool:
    return size > LONG and size > session.profile.taken


def await_answer(session: Session, command: bytes, timeout_s: float | None) -> None:
    """Wait for the answer to a command of which that is not certain.

    Raises:
        ServerUnavailableError: it was passed over, since another one is answered; the session is finished.
    """
    control = session.control
    patience_s = control.timeouts.reply_s if timeout_s is None else timeout_s
    if control.await_answer(control.earliest, patience_s) or control.broken:
        return
    control.send([b"NOOP"])
    if control.await_answer(control.earliest) and not control.broken:
        _learn(session, command)
        raise _unheard(session, command)


def judge(session: Session, command: bytes, reply: Reply) -> None:
    """Note that a command was answered.

    Raises:
        ServerUnavailableError: it was too long; the session is finished, since more may be said to it.
    """
    if len(command) > LONG:
        if learns(session, command, reply.text):
            raise _unheard(session, command, reply.text)
        if is_doubtful(session, command) and reply.code in _NOT_UNDERSTOOD and _is_answered_again(session):
            _learn(session, command)
            raise _unheard(session, command, "it takes one that is too long for two")
        session.profile.taken = max(session.profile.taken, len(command))


def _is_answered_again(session: Session) -> bool:
    """Whether another answer comes, before that to a NOOP: of what was cut off, as if it were a command."""
    control = session.control
    try:
        control.send([b"NOOP"])
    except ProtocolError:  # it is there already
        return True
    return not control.reply().good


def learns(session: Session, command: bytes, words: str) -> bool:
    """Whether the server says that a command was too long; the profile remembers it."""
    said = len(command) > LONG and words[:3] in _REFUSALS and _TOO_LONG.search(words) is not None
    if said:
        _learn(session, command)
    return said


def _learn(session: Session, command: bytes) -> None:
    profile = session.profile
    profile.too_long = min(len(command), profile.too_long or len(command))
    session.abandon()


def _unheard(session: Session, command: bytes, words: str = "") -> ServerUnavailableError:
    return ServerUnavailableError(
        f"{session.account.spec.host} takes no command of {len(command):,} bytes: {words or 'it does not answer'}",
        reply=words,
    )
