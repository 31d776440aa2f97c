"""Ending a data connection so that a server which lingers confirms at once.

vsftpd closes its data connections with SO_LINGER (socket(7)): it says 226 only when its own end of the stream was
acknowledged, a round trip after it has read the last byte. What ends that wait is a reset behind the end of our stream,
sent when the end itself is on its way and the server has accepted the connection. Linux, on the server's side, still
hands over all that came before the end, and the end itself. Where another system does not, or a packet on its way is
lost and cannot be sent again, the server reports a broken transfer (426): `upload` then sends the file once more, asks
the size of every file as ever, and the profile counts how often this went well.

Linux only: elsewhere there is no such end. Sources: tcp(7), TCP_INFO and TCP_NOTSENT_LOWAT; linux/tcp.h; RFC 9293
§3.10.7.4 (reset), RFC 5961 §3 (only one that follows what was received counts).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from ftpsyncd.remote.sockets import end_by_reset

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_INFO = getattr(socket, "TCP_INFO", None)
_LAYOUT = struct.Struct("=B27xI68xI40xI")
"""Of struct tcp_info: tcpi_state, tcpi_sacked, tcpi_total_retrans, tcpi_notsent_bytes (Linux 4.6 and later)."""
_OPEN = 1
_ENDED = frozenset({4, 5})
"""Both streams are open: ESTABLISHED; only ours has ended: FIN_WAIT1 and FIN_WAIT2 (net/tcp_states.h)."""
_GLANCE_S = 0.001
"""No event tells that the end of a stream was sent: how often to look."""


class _State(NamedTuple):
    state: int
    sacked: int
    retransmitted: int
    unsent: int

    @property
    def lost(self) -> bool:
        """Whether anything was lost on this connection so far."""
        return bool(self.sacked or self.retransmitted)


def part(
    sock: socket.socket,
    await_room: Callable[[], bool],
    last_words: Callable[[], bool],
    accepted: Callable[[], bool],
    await_news: Callable[[float | None], bool],
) -> bool:
    """End our stream, and have it followed by a reset.

    Args:
        sock: connected, all data handed to the kernel; the caller closes it in any case.
        await_room: waits until the socket can be written to; False: there is no more use.
        last_words: says what ends the stream above TCP; False: there is no more use.
        accepted: whether the server has accepted the connection: a reset before that would undo it altogether.
        await_news: waits until the server speaks, or for so many seconds; False: there is no more use.

    Returns:
        Whether the close will be a reset. If not, it is an orderly end as ever, which may be said already.

    Raises:
        OSError: the socket is of no use.
    """
    if _NOTSENT_LOWAT is None or _INFO is None:
        return False
    # Writable means from now on: all that was written is on its way.
    sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, 1)
    while (now := _state(sock)).unsent:
        if now.state != _OPEN or now.lost or not await_room():
            return False
    if now.state != _OPEN or now.lost or not last_words():
        return False
    # The method of SSLSocket would forget TLS.
    socket.socket.shutdown(sock, socket.SHUT_WR)
    # The end itself may have to wait, for the window or for the device, and a reset would take it back.
    while (now := _state(sock)).unsent or not accepted():
        if now.state not in _ENDED or now.lost or not await_news(_GLANCE_S if now.unsent else None):
            return False
    if now.lost:
        return False
    end_by_reset(sock)
    return True


def _state(sock: socket.socket) -> _State:
    told = sock.getsockopt(socket.IPPROTO_TCP, _INFO, _LAYOUT.size)  # type: ignore[arg-type]
    if len(told) < _LAYOUT.size:
        raise OSError("This kernel does not tell how much of a stream was sent.")
    return _State(*_LAYOUT.unpack(told))
