"""What an outcome says about the server itself, and what its gate learns of that.

In: an outcome, the queue of the server. Out: its gate closed or open; whether that is news. Called by the engine's
thread.
"""

from __future__ import annotations

from ftpsyncd.actions import Did, Done, Failed, Outcome, Probe, is_answer
from ftpsyncd.core.extent import SENDS
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.errors import DataUnreachableError, FtpsyncdError, Retry, TlsError, TooManyTransfersError
from ftpsyncd.events import EventKind

WITHOUT_DATA = (DataUnreachableError, TlsError)
"""Of an action, over a connection that had come about: no file would get a data connection, or none as it has to be."""


def apply_to_server(queue: Queue, outcome: Outcome, connections: int, now: float) -> EventKind | None:
    """What an outcome says about the server itself.

    Args:
        queue: of the server.
        outcome: of any action there.
        connections: how many are open now.
        now: monotonic seconds.

    Returns:
        SERVER_ONLINE or SERVER_OFFLINE if that is news.
    """
    if isinstance(outcome, Failed) and outcome.connecting:
        return EventKind.SERVER_OFFLINE if _not_connected(queue, outcome, connections, now) else None
    if isinstance(outcome, Failed) and isinstance(outcome.error, TooManyTransfersError):
        # Over another connection a transfer may be under way, or one may have ended a moment ago.
        if queue.gate.lower_cap(now) or not outcome.alone:
            return None
        is_news = queue.gate.failed(now, Breaker.OFFLINE, outcome.error.message, connects=True)
        return EventKind.SERVER_OFFLINE if is_news else None
    if not is_answer(outcome) or (isinstance(outcome, Failed) and outcome.error.retry is Retry.SPACE):
        return None
    if queue.gate.state is Breaker.FULL and not _tells_of_space(outcome):
        # It would be done, or refused, at any full server.
        return None
    if queue.gate.lacks_data and not _tells_of_data(outcome):
        return None
    return answered(queue, connections, now)


def _not_connected(queue: Queue, failed: Failed, connections: int, now: float) -> bool:
    """There was no connection for an action; whether it is news that the server has failed."""
    error = failed.error
    if error.retry is Retry.MACHINE:
        return False
    if error.retry is Retry.CAP and connections and queue.gate.lower_cap(now):
        return False
    if isinstance(error, DataUnreachableError):
        # So many had come about, and ended for want of data, that no other one was opened (`Door.ended`).
        return lets_in_in_vain(queue, error, now)
    state = Breaker.REFUSED if error.retry is Retry.LOGIN else Breaker.OFFLINE
    is_news = queue.gate.failed(now, state, error.message, by_tls=isinstance(error, TlsError))
    if state is Breaker.REFUSED and queue.is_overtaken(failed.action):
        # Of the password as it was before somebody corrected it, most likely.
        queue.gate.retry_now(now)
    return is_news


def lets_in_in_vain(queue: Queue, error: FtpsyncdError, now: float) -> bool:
    """The server lets in, and nothing comes of that, or no data connection; whether that is news."""
    return queue.gate.failed(
        now,
        Breaker.OFFLINE,
        f"{error.message} {error.remedy}",
        connects=True,
        lacks_data=isinstance(error, WITHOUT_DATA),
        begins_in_vain=isinstance(error, DataUnreachableError) and error.reply != "",  # vsftpd says 150, and then 522
    )


def _tells_of_data(outcome: Outcome) -> bool:
    """Whether it may show that data connections come about again; a probe has to do, which is sent if nothing waits."""
    if not isinstance(outcome.action, SENDS):
        return isinstance(outcome.action, Probe)
    return outcome.did is Did.PUBLISHED if isinstance(outcome, Done) else outcome.reached


def _tells_of_space(outcome: Outcome) -> bool:
    """Whether it may show that a server has space again; a probe has to do, which is sent if nothing waits for that."""
    return isinstance(outcome.action, Probe) or (isinstance(outcome, Done) and took_space(outcome))


def took_space(done: Done) -> bool:
    """Whether a file was sent that has a content; also in place of a rename that could not be done."""
    return done.did is Did.PUBLISHED and isinstance(done.action, SENDS) and done.action.fingerprint.size > 0


def answered(queue: Queue, connections: int, now: float) -> EventKind | None:
    """The server has answered over a connection that was open; SERVER_ONLINE if that is news.

    Where none could be opened since, it is the further ones that are refused, in whatever words or without: work goes
    on with those that there are.

    Args:
        queue: of the server.
        connections: how many are open now.
        now: monotonic seconds.
    """
    was = queue.gate.state
    if queue.gate.refuses_others:
        queue.gate.keep_to(connections, now)
    return EventKind.SERVER_ONLINE if queue.gate.answered() and was is not Breaker.UNKNOWN else None
