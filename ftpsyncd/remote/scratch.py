"""What trials of ours may have left at a server: small files and directories that somebody has to remove.

Who tries something removes what was made for it; a session that ends meanwhile cannot. So what it would have removed
stays noted in the profile, over a restart too, and each session of the account that begins, tries something or has
nothing to do removes it (`clear_up`), the last one a minute later: a STOR or MKD that hung on the line may have come
meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ftpsyncd.core import names
from ftpsyncd.errors import NameNotSendableError, RemoteError

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

LATE_S = 60.0
"""A server may carry out what it was sent when a line that hung moves again: for so long at most, we hope."""
MOST = 64
"""So much is noted at most; the oldest, which was removed before as a rule, makes room."""


@contextmanager
def noted(session: Session, removals: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Have what is made in the block removed by another session, should this one end before the block does.

    Args:
        session: that makes it.
        removals: command and path, in the order in which they can be removed; handed on, and may be changed, since a
            server may give other names.

    Raises:
        RemoteError: the session ended while it removed what others have left.
    """
    clear_up(session)
    try:
        yield removals
    finally:
        if not session.usable:
            now = time.monotonic()
            with session.account.scratching:
                scratch = session.profile.scratch | {f"{verb} {path}": now for verb, path in removals}
                session.profile.scratch = dict(list(scratch.items())[-MOST:])


def free(session: Session, path: str) -> str:
    """A path for a trial: this one, or another beside it where an earlier trial may have left something, or may yet."""
    while any(f" {path}" in removal for removal in session.profile.scratch):
        path = names.trial(path)
    return path


def clear_up(session: Session, *, fresh: bool = False) -> None:
    """Remove what sessions of the account have left that have ended.

    Args:
        session: of the account.
        fresh: it has just begun. Should that end it, what may be to blame is tried by one more such session; one that
            is older may have been dead before.

    Raises:
        RemoteError: the session ended.
    """
    left = session.profile.scratch
    began, commands = time.monotonic(), []
    if not left or not session.usable or (max(left.values()) < session.tidied > began - LATE_S):
        return
    for verb, _, path in (removal.partition(" ") for removal in left):
        with contextlib.suppress(NameNotSendableError):  # of a name that the server does not bear nothing is there
            commands.append(session.command(verb, path))
    session.account.moves += 1
    try:
        session.exchange(commands)
    except RemoteError:
        if fresh:
            _over(session, {each: -math.inf for each, since in left.items() if since > -math.inf}, left)
        raise
    session.tidied = began
    _over(session, {each: since for each, since in left.items() if began - since < LATE_S}, left)


def _over(session: Session, still: Mapping[str, float], left: Iterable[str]) -> None:
    """Note what is still to be removed of what was."""
    with session.account.scratching:
        others = {each: since for each, since in session.profile.scratch.items() if each not in left}
        session.profile.scratch = {**still, **others}
