"""Commands out, in as few writes as the server can take, and its answers, one each and in order.

`session` says everything with it that is no transfer. What ends the session here is looked into: a server, or
something on the way, may not bear a command, or several at a time, which the profile learns.

Sources: RFC 959 §5.4.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from ftpsyncd.errors import FtpsyncdError, ProtocolError, RemoteError, ServerUnavailableError
from ftpsyncd.remote import lengths, undecoded
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

BATCH = 64
"""Commands in one write at most: their replies fit any socket buffer."""
BEGIN_TLS = b"AUTH TLS"
LATE_S = 5.0
"""After so long, what nobody asked for is no answer to what was said before: a data connection was not made in time."""


def say(session: Session, commands: Sequence[bytes]) -> None:
    """See `Session.say`. What comes a moment late of a batch is found here: there was an answer too many to that."""
    try:
        session.control.send(commands)
    except ProtocolError:
        if session.control.said_too_much and time.monotonic() < session.batched_until:
            session.answered_twice(renames=_renames(session.batch))
        raise
    session.batched_until, session.batch = 0.0, ()  # a password may have been in it


def batched(session: Session, commands: Sequence[bytes]) -> None:
    """Note which commands were said together with others, and that all of them are answered right now."""
    if commands:
        session.batched_until, session.batch = time.monotonic() + LATE_S, commands


def said(session: Session, commands: Sequence[bytes], timeout_s: float | None = None) -> Generator[Reply, None, None]:
    """See `Session.said`.

    A refused RNFR, said without what is behind it, is the answer to the RNTO there, too, which is not said: at some
    servers it would be of the RNFR before that, and some do not answer it.
    """
    refused: Reply | None = None
    for part in _writes(session, commands):
        if refused is not None and part[0].startswith(b"RNTO "):
            yield refused
            del part[0]
        refused = None
        if part:
            last = yield from _at_once(session, part, timeout_s)
            refused = last if part[-1].startswith(b"RNFR ") and last.code >= 400 else None


def _at_once(session: Session, part: Sequence[bytes], timeout_s: float | None) -> Generator[Reply, None, Reply]:
    """`said`, of what goes out in one write; returns the last reply."""
    session.batching = session.usable and len(part) > 1
    answers: list[Reply] = []
    try:
        session.unmet.before_words()
        say(session, part)
        while len(answers) < len(part):
            command = part[len(answers)]
            if lengths.is_doubtful(session, command):
                lengths.await_answer(session, command, timeout_s)
            reply = session.final(timeout_s)
            lengths.judge(session, command, reply)
            undecoded.answered(session, command)
            session.unmet.heard(command, reply)
            yield reply
            answers.append(reply)
    except ServerUnavailableError as error:
        _look_into(session, part, answers, error)
        raise
    except BaseException as error:
        if not isinstance(error, FtpsyncdError):
            # Nobody wants the rest, or a signal came in between. What still comes would be taken for answers to
            # other commands. Not that the batch was to blame.
            session.batching = False
            session.abandon()
        raise
    if part != [BEGIN_TLS]:  # what comes before TLS begins is looked at there
        _expect_no_more(session, part)
    session.batching = False
    if len(part) > 1:
        batched(session, part)
    return answers[-1]


def heard_ahead(session: Session, said: Sequence[bytes]) -> list[Reply]:
    """The answers to what was said ahead of a transfer, in one write with it.

    Raises:
        RemoteError: the session ended.
    """
    answers: list[Reply] = []
    try:
        answers.extend(session.final() for _ in said)  # those that came are in it if one does not
    except RemoteError as error:
        if error.reply[:3] != "421" and not swallows(session, said, answers):
            session.doubt(renames=_renames(said))
        raise
    return answers


def _expect_no_more(session: Session, part: Sequence[bytes]) -> None:
    """Believe none of the answers where there is one too many: nobody knows which of them was not asked for.

    Raises:
        ProtocolError: there is; the session is finished.
    """
    try:
        session.control.expect_no_more()
    except ProtocolError:
        if len(part) > 1 and session.control.said_too_much:
            session.answered_twice(renames=_renames(part))
        else:
            session.doubt(renames=_renames(part))
        raise


def _renames(part: Sequence[bytes]) -> bool:
    return any(each.startswith(b"RNFR ") for each in part)


def swallows(session: Session, said: Sequence[bytes], answers: Sequence[Reply]) -> bool:
    """Learn that RNTO is not answered behind an RNFR that was refused in the same write, if silence ended the session.

    Once is enough: such a server does so each time, and what is learned costs some round trips for a week.

    Args:
        session: where that was said.
        said: in one write, the last of it or not.
        answers: as they were taken, each for the next of what was said.

    Returns:
        Whether there was such an RNTO, and silence.
    """
    if not session.control.fell_silent:
        return False
    pairs = zip(said, said[1:], answers, strict=False)
    found = any(one.startswith(b"RNFR ") and two.startswith(b"RNTO ") and was.code >= 400 for one, two, was in pairs)
    if found:
        session.profile.renames_joined = False
    return found


def _look_into(
    session: Session, part: Sequence[bytes], answers: Sequence[Reply], error: ServerUnavailableError
) -> None:
    """Learn what may have ended the session while the answer to a command was awaited."""
    command = part[len(answers)]
    if session.control.said_too_much:
        # Nothing of this was said: no command of it is to blame.
        if session.batching:
            session.doubt(renames=_renames(part))
    elif lengths.learns(session, command, error.reply):
        session.batching = False
    elif error.reply[:3] != "421" and not session.control.was_cut:
        _look_at_command(session, part, answers, silent=isinstance(error.__cause__, TimeoutError))


def _look_at_command(session: Session, part: Sequence[bytes], answers: Sequence[Reply], *, silent: bool) -> None:
    """See `_look_into`, where it may be a command that the server, or something on the way, does not bear."""
    command = part[len(answers)]
    if swallows(session, part, answers) or (not silent and undecoded.ended(session, command)):
        session.batching = False
    elif command == b"EPSV" and ":" not in session.control.local:
        # All before it was answered: as a rule, that it came in a batch is not to blame. A login finds that out.
        session.misses_epsv()
    elif command.startswith(b"MLST ") and silent:
        # The login has shown that batches are answered. Sessions that end side by side count once.
        session.batching = False
        if session.profile.stats_missed == session.missed:
            session.profile.misses_stats()
    elif session.batching:
        session.doubt(renames=_renames(part))


def _writes(session: Session, commands: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The commands in portions of which each goes out in one write, once the one before was answered."""
    size = BATCH if session.pipelines else 1
    part: list[bytes] = []
    for command in commands:
        alone = _is_doubtful(session, command)
        if part and (alone or len(part) == size):
            yield part
            part = []
            alone = _is_doubtful(session, command)
        part.append(command)
        if alone or (command.startswith(b"RNFR ") and not session.profile.renames_joined):
            yield part
            part = []
    if part:
        yield part


def _is_doubtful(session: Session, command: bytes) -> bool:
    return lengths.is_doubtful(session, command) or undecoded.is_doubtful(session, command)
