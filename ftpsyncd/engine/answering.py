"""Whether servers answer, and how well: what is concluded and told when something was performed, begun, or learned.

In: a server, and what happened. Out: its gate closed or open, events of what is news. Called by the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from ftpsyncd.actions import Failed, Outcome
from ftpsyncd.core.gate import Breaker
from ftpsyncd.engine.gating import answered, apply_to_server
from ftpsyncd.engine.handout import Server
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.events import Event, EventKind

Emit = Callable[[Event], None]


def performed(server: Server, outcome: Outcome, now: float, emit: Emit) -> None:
    """There is an outcome of something at a server.

    Args:
        server: that one.
        outcome: of any action there.
        now: monotonic seconds.
        emit: takes events.
    """
    gate = server.queue.gate
    was, until = gate.state, gate.paused_until
    news = apply_to_server(server.queue, outcome, server.crew.connections, now)
    _tell(server, was, news, emit, outcome.error if isinstance(outcome, Failed) else None)
    if gate.refuses_others and gate.paused_until != until:
        _look_at_transfers(server, now, emit, first=was is not Breaker.OFFLINE)


def received(server: Server, now: float, emit: Emit) -> None:
    """A server has begun to receive a large file, which may take hours; arguments as of `performed`."""
    was = server.queue.gate.state
    if not server.queue.gate.begins_in_vain:  # whether there is space, or a data connection, for it shows at its end
        _tell(server, was, answered(server.queue, server.crew.connections, now), emit)


def _look_at_transfers(server: Server, now: float, emit: Emit, *, first: bool) -> None:
    """No further connection can be opened: what goes on over the others between two tries shows that these work.

    Not before the second one: what is sent goes into the kernel's buffer, which is full some time during the pause.
    """
    sent = {(each.mapping, each.path): each.sent_bytes for each in server.crew.transfers()}
    if any(count > server.sent.get(key, count) for key, count in sent.items()):
        was = server.queue.gate.state
        _tell(server, was, answered(server.queue, server.crew.connections, now), emit)
    server.sent = {} if first else sent


def connected(server: Server, emit: Emit) -> None:
    """A connection was opened where that was in doubt; arguments as of `performed`."""
    was = server.queue.gate.state
    _tell(server, was, EventKind.SERVER_ONLINE if server.queue.gate.connected() else None, emit)


def learned(server: Server, emit: Emit) -> None:
    """Something may have been learned of a server: say what people have to know; arguments as of `performed`."""
    limits = server.keeper.profile.without_renames if server.keeper is not None else ""
    if limits and limits != server.limits:
        emit(Event(EventKind.NO_RENAMES, server=server.name, message=limits, remedy="Have it allow RNFR and RNTO."))
    server.limits = limits


def _tell(server: Server, was: Breaker, news: EventKind | None, emit: Emit, error: FtpsyncdError | None = None) -> None:
    if news is EventKind.SERVER_ONLINE:
        # A refused password is told again when its pause is over, and not because another connection works still.
        server.is_back = was is not Breaker.REFUSED
        emit(Event(news, server=server.name, message="the server answers again"))
    elif news is not None and error is not None:
        emit(Event(news, server=server.name, message=error.message, remedy=error.remedy))
