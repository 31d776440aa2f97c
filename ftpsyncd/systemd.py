"""What the service tells systemd: ready, reloading, stopping, alive (sd_notify(3), sd_watchdog_enabled(3)).

And what it tells the journal: records with fields of their own (systemd.journal-fields(7)), which a line on standard
error cannot have.

The service calls these; each sends one datagram to the socket that ``$NOTIFY_SOCKET`` names. Without that variable,
and whatever else goes wrong, nothing happens: a daemon must not fail because its supervisor is absent or busy. Each
returns whether the message was sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_SEND_TIMEOUT_S = 1.0
"""A supervisor that does not read for so long is not waited for: the engine itself may be calling."""

JOURNAL = "/run/systemd/journal/socket"

_line: list[socket.socket] = []
"""To the supervisor; open from the first message on: also who may open no further file is alive, and says so."""


def ready() -> bool:
    """The service is up, or has finished reloading."""
    return _send("READY=1")


def reloading() -> bool:
    """The configuration is being read again; ``ready`` must follow.

    The time stamp is CLOCK_MONOTONIC in µs, which ``Type=notify-reload`` demands.
    """
    return _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> bool:
    """The service has begun to shut down."""
    return _send("STOPPING=1")


def status(text: str) -> bool:
    """Shows one line of ``text`` in ``systemctl status``."""
    return _send(f"STATUS={_one_line(text)}")


def watchdog() -> bool:
    """Proof of life; call it when the engine's loop has turned, at least every ``watchdog_interval_s``."""
    return _send("WATCHDOG=1")


def extend_timeout(seconds: float) -> bool:
    """Asks for ``seconds`` more before the current start or stop counts as failed."""
    return _send(f"EXTEND_TIMEOUT_USEC={max(0, int(seconds * 1_000_000))}")


def watchdog_interval_s() -> float | None:
    """How often to call ``watchdog``: half of the time systemd allows; None if it does not watch this process."""
    pid = os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None  # the variable was inherited: another process is meant
    try:
        usec = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return usec / 2_000_000 if usec > 0 else None


def journal(fields: Mapping[str, str], address: str = JOURNAL) -> bool:
    """Hand one record to the journal, as its native protocol has it.

    Args:
        fields: by name: capital letters, digits and underscores; values may hold anything.
        address: the journal's socket.

    Returns:
        Whether the journal took it; it does not where it is absent, or for a record larger than a datagram may be.
    """
    record = b"".join(_field(name, value.encode("utf-8", "surrogateescape")) for name, value in fields.items())
    try:
        _hand_over(record, address)
    except OSError:
        return False
    return True


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def _one_line(text: str) -> str:
    """``text`` without control characters: a newline would begin another assignment, such as ``MAINPID=``."""
    return "".join(char if char.isprintable() else " " for char in text)


def _send(state: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace (unix(7))
    elif not address.startswith("/"):
        return False
    try:
        if not _line:
            _line.append(_socket())
        _say(_line[0], state.encode("utf-8", "replace"), address)
    except (OSError, ValueError):  # ValueError: an address with NUL inside
        return False
    return True


def _hand_over(datagram: bytes, address: str) -> None:
    """Send one datagram to a Unix socket.

    Raises:
        OSError: nobody takes it.
        ValueError: the address has a NUL inside.
    """
    with _socket() as sock:
        _say(sock, datagram, address)


def _socket() -> socket.socket:
    """What datagrams are sent through.

    Raises:
        OSError: no descriptor is left.
    """
    import socket  # noqa: PLC0415 - most commands log nothing, and are not started by systemd

    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _say(sock: socket.socket, datagram: bytes, address: str) -> None:
    """As `_hand_over`."""
    sock.settimeout(_SEND_TIMEOUT_S)
    sock.sendto(datagram, address)
