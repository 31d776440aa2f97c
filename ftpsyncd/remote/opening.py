"""How a data connection comes about: a port that is listened on or dialled, and TLS that resumes the control line's.

The control line is watched meanwhile: a server that refuses a transfer says so there, and comes to no port. `agreeing`
has which port it is, `data` what the connection is used for.

Sources: RFC 959 §3.2 and §3.3, RFC 2428 (EPSV, EPRT), RFC 4217 §10.2 (resumption).
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from ftpsyncd.errors import DataUnreachableError, NoSocketError, RemoteError, TransferFailedError
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.sockets import FAILURES, hasten, translate
from ftpsyncd.remote.wire import Control

_PASSIVE_REMEDY = (
    "The server answers, but not on its ports for data: open these in the firewalls on the way, or set `mode: active`."
)
ACTIVE_REMEDY = "The server cannot connect to this machine, as behind NAT or a firewall: set `mode: passive`."
"""What helps where the control line is well."""
PASSIVE_REFUSED_REMEDY = "It is tried again; if it lasts, have the server allow passive mode, or set `mode: active`."
Answer = Callable[[], Reply | None]
"""The final reply to a transfer, once it is queued."""


def refused(answer: Answer) -> bool:
    """Whether the control line said that this transfer will not be."""
    reply = answer()
    return reply is not None and not reply.good


class Listener:
    """A listening socket for one active-mode data connection (RFC 959 §3.3, RFC 2428 §2)."""

    def __init__(self, control: Control) -> None:
        self._control = control
        try:
            # The whole address, as in `dial`.
            here = (control.local, 0, *control.local_address[2:])
            self._sock = socket.create_server(here, family=control.family, backlog=1)
        except FAILURES as error:
            raise translate(error, "listening for a data connection") from error
        self._sock.settimeout(0)
        self.port = int(self._sock.getsockname()[1])

    def accept(self, answer: Answer) -> socket.socket:
        """The server's connection; one from any other address is closed and not counted.

        Raises:
            TransferFailedError: the server refused by a reply.
            DataUnreachableError: the server did not come.
            ServerUnavailableError: the control line ended.
        """
        deadline = time.monotonic() + self._control.timeouts.connect_s
        while True:
            if refused(answer):
                raise TransferFailedError("The server refused to open the data connection.")
            try:
                if (left_s := deadline - time.monotonic()) <= 0.0:
                    raise TimeoutError  # however many others come
                self._control.wait(self._sock, select.POLLIN, left_s)
                sock, address = self._sock.accept()
            except BlockingIOError:
                continue
            except FAILURES as error:
                raise _unreachable(error, "waiting for the server's data connection", ACTIVE_REMEDY) from error
            if str(address[0]) == self._control.peer:
                hasten(sock)
                return sock
            sock.close()

    def close(self) -> None:
        """Stop listening."""
        self._sock.close()


def dial(control: Control, port: int) -> socket.socket:
    """A connection to the control peer's own address.

    Raises:
        DataUnreachableError: the port cannot be reached.
        ServerUnavailableError: no socket can be had.
    """
    doing = f"opening the data connection to port {port}"
    try:
        sock = socket.socket(control.family, socket.SOCK_STREAM)
    except FAILURES as error:
        raise translate(error, doing) from error
    try:
        sock = wrapped(control, sock)
        sock.settimeout(control.timeouts.connect_s)
        # The whole address: an IPv6 one carries its scope behind the port.
        sock.connect((control.peer, port, *control.peer_address[2:]))
        hasten(sock)
    except FAILURES as error:
        sock.close()
        raise _unreachable(error, doing, _PASSIVE_REMEDY) from error
    except BaseException:
        sock.close()
        raise
    return sock


def wrapped(control: Control, sock: socket.socket) -> socket.socket:
    """Make a socket a TLS one that resumes the control line's session; as it is where the control line has no TLS.

    A socket that is to be connected is wrapped before: `ssl` loses the descriptor of one that is reset meanwhile.
    """
    if control.context is None:
        return sock
    return control.context.wrap_socket(
        sock,
        server_hostname=control.certified,
        session=control.session,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=False,
    )


def _unreachable(error: Exception, doing: str, remedy: str) -> RemoteError:
    """No data connection came about; what the control line says of itself stays what it is."""
    failure = translate(error, doing)
    ours = failure is error or isinstance(failure, NoSocketError)
    return failure if ours else DataUnreachableError(failure.message, remedy=remedy)
