"""A transfer that is refused since there are others: what proftpd says where it has been given other words for that.

With `MaxTransfersPerUser` and `MaxTransfersPerHost` it says 451 in the words of its configuration, in any language, and
right behind that 451 in its own, often in a packet of its own. Called by `sending` and `transfer`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ftpsyncd.errors import RemoteError
from ftpsyncd.remote.replies import Reply, says_too_many_transfers

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def explained(session: Session, first: Reply, last: Reply, *, another: bool = False) -> Reply:
    """The reply that tells why a transfer was refused: the last one, or one that follows, if that says it.

    Args:
        session: with whom it was to be.
        first: the first answer to the command; where the transfer has begun, it was none too many.
        last: the final one.
        another: another command has been said, whose answer follows in any case; else a NOOP is.
    """
    if first.preliminary or last.code != 451 or says_too_many_transfers(last):
        return last
    control = session.control
    with contextlib.suppress(RemoteError):  # it may have come right before the NOOP was to be said
        if not another:
            control.send([b"NOOP"])
        control.await_answer(control.earliest)
    second = control.earliest()
    if second is not None and says_too_many_transfers(second):
        return second
    if not another:
        if second is not None and second.good:
            control.queued.popleft()
        else:
            session.abandon()  # the answer to the NOOP would be taken for that to another command
    return last
