"""What all connections need, control lines and data lines: options of sockets, and what failures of these mean.

Sources: tcp(7), socket(7).
"""

from __future__ import annotations

import fcntl
import re
import socket
import ssl
import struct
import termios

from ftpsyncd import lacking
from ftpsyncd.errors import NoSocketError, RemoteError, ServerUnavailableError, TlsError
from ftpsyncd.remote.tls import CERTIFICATES, OUR_CERTIFICATES

_FOR_NAMES = 2
"""Files that the resolver may have to open beside what is open: while the first of two name servers is silent, glibc
keeps its socket. (OpenSSL needs one, for an anchor.)"""
FAILURES = (OSError, EOFError, ValueError)
"""What sockets and `ssl` raise; ValueError where a socket was closed or TLS had ended already."""


def ended(error: Exception) -> bool:
    """Whether the peer, or somebody in between, has ended the connection, be it with or without the words of TLS.

    Python before 3.11.4 has no class of its own for what OpenSSL 3 says then.
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | EOFError):
        return True
    return isinstance(error, ssl.SSLError) and getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"


def translate(error: Exception, doing: str, *, short: NoSocketError | None = None) -> RemoteError:
    """The typed error for an exception of the socket or TLS layer.

    Args:
        error: any OSError (those of `ssl` and `socket` are), EOFError or ValueError (a closed or unwrapped socket).
        doing: what was being done, as in "connecting to host:port".
        short: `few_left` right before that: other threads may have closed files since.
    """
    match error:
        case RemoteError():
            return error
        case ssl.SSLCertVerificationError():
            why = str(getattr(error, "verify_message", error)).rstrip(".")
            told = TlsError(
                f"The server's certificate does not verify: {why}.",
                remedy=CERTIFICATES.get(getattr(error, "verify_code", 0)),
            )
            return short or few_left() or told
        case TimeoutError():
            return ServerUnavailableError(f"Time-out while {doing}.")
        case _ if ended(error):
            return ServerUnavailableError(f"The server closed the connection while {doing}.")
        case ssl.SSLError() if re.search("ALERT.*(CERTIFICATE|UNKNOWN_CA)", getattr(error, "reason", None) or ""):
            # With TLS 1.3 the alert comes after the handshake: the server judges when we believe to be through.
            return TlsError(
                f"The server does not accept our certificate, or the lack of one: {error.reason}.",
                remedy=OUR_CERTIFICATES.get(error.reason),
            )
        case ssl.SSLError():
            # On a line that had begun well: a dying vsftpd says its last words in clear text.
            return ServerUnavailableError(f"TLS failed while {doing}: {getattr(error, 'reason', None) or error}.")
        case socket.gaierror():
            unknown = ServerUnavailableError(f"The host name is not known ({error.strerror}) while {doing}.")
            return short or few_left() or unknown
        case ConnectionRefusedError():
            return ServerUnavailableError(f"The connection was refused while {doing}.")
        case OSError():
            return _of_the_system(error, doing)
        case _:
            return ServerUnavailableError(f"{type(error).__name__} while {doing}.")


def few_left() -> NoSocketError | None:
    """That no further file can be opened, which the resolver and OpenSSL do not tell; else None."""
    few = lacking.few_left(_FOR_NAMES)
    return NoSocketError(f"{few}.") if few else None


def _of_the_system(error: OSError, doing: str) -> RemoteError:
    if lack := lacking.files(error):
        return NoSocketError(f"{lack}.")
    return ServerUnavailableError(f"{error.strerror or type(error).__name__} while {doing}.")


def hasten(sock: socket.socket) -> None:
    """Set what every FTP connection needs: without TCP_NODELAY a small TLS file waits 40 ms for a delayed ACK."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Let nothing that comes next wait for its acknowledgement; Linux forgets that again (tcp(7), TCP_QUICKACK).

    A server without TCP_NODELAY keeps its second reply until the first one is acknowledged, for 40 ms if we let it.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def hold_back(sock: socket.socket, *, yes: bool = True) -> None:
    """Whether what is written waits for more, to fill packets (tcp(7), TCP_CORK); what has waited goes out at once."""
    if hasattr(socket, "TCP_CORK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, yes)


def end_by_reset(sock: socket.socket, *, yes: bool = True) -> None:
    """Whether a close, also that of a process which dies, takes back what was not delivered yet and says reset.

    Otherwise the kernel goes on trying to deliver it for minutes: a command that hung on the line would be carried out
    when it is long over. An orderly end on a data line makes the server take a part for the whole (226).
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", yes, 0))


def undelivered(sock: socket.socket) -> int:
    """Bytes that were sent on an open socket and that the peer has not acknowledged (tcp(7), SIOCOUTQ)."""
    count = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", count)[0])


def keep_alive(sock: socket.socket) -> None:
    """Set what every connection needs that lasts: keepalive finds peers that vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
