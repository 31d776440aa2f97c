"""The sockets on which the control API listens: made so that nobody else may use them, and removed if they are ours.

In: a path, or an address of the loopback. Out: listening sockets. Called by `server`.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path

from ftpsyncd.control.whereabouts import Identity, identity
from ftpsyncd.errors import ControlSocketError
from ftpsyncd.logs import quote
from ftpsyncd.quoting import address

BACKLOG = 128


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket on the loopback.

    Raises:
        ControlSocketError: there can be none.
    """
    with ExitStack() as stack:
        try:
            # A kernel that was started without IPv6 knows no such socket.
            sock = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            # A restarted daemon need not wait until the kernel has forgotten the last one's connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError as problem:
            raise ControlSocketError(
                f"The control API cannot be offered on {address(host, port)}: {problem.strerror or problem}.",
                remedy=port_remedy(problem),
            ) from problem
        stack.pop_all()
    return sock


def port_remedy(problem: OSError) -> str:
    """What helps where nobody can listen on the port of `control.http`."""
    if problem.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
        return "Set `control.http` to an address that this machine has, such as 127.0.0.1, or leave it out."
    return "Set `control.http` to a free port, or leave it out."


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, never open to others than owner and group, not even for a moment.

    Raises:
        ControlSocketError: it cannot be made, or another daemon answers on it.
    """
    shown = quote(str(path))
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as problem:  # no descriptor is left
        raise ControlSocketError(f"The control socket {shown} cannot be made: {problem.strerror}.") from problem
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _remove_stale(path)
        os.fchmod(sock.fileno(), 0o660)  # bind() makes the node with this mode, less the umask (unix(7))
        sock.bind(os.fspath(path))
        path.chmod(0o660)
        sock.listen(BACKLOG)
    except ControlSocketError:
        sock.close()
        raise
    except OSError as problem:
        sock.close()
        if "too long" in str(problem):  # sun_path has 108 bytes (unix(7)); Python raises it without an errno
            remedy = "Set `control.socket` to a path of at most 107 bytes."
            raise ControlSocketError(f"The path of the control socket {shown} is too long.", remedy=remedy) from problem
        trouble = problem.strerror or problem
        raise ControlSocketError(f"The control socket {shown} cannot be made: {trouble}.") from problem
    return sock


def _remove_stale(path: Path) -> None:
    """Removes what a killed daemon left at ``path``: a socket on which nobody answers. Nothing else is removed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlSocketError(f"{quote(str(path))} is in the way of the control socket: it is not a socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        code = probe.connect_ex(os.fspath(path))
    if code == errno.ENOENT:  # its daemon ended just now
        return
    if code in {errno.EACCES, errno.EPERM}:  # left by a daemon that root started once, for instance
        raise ControlSocketError(
            f"{quote(str(path))} is in the way of the control socket: this user may not ask whether a daemon answers.",
            remedy="Stop that daemon if it runs, and remove the socket; or give this one its own `control.socket`.",
        )
    if code != errno.ECONNREFUSED:  # also EAGAIN: somebody listens, and is busy
        remedy = "Stop the other daemon, or give this one its own `control.socket`."
        raise ControlSocketError(f"Another daemon answers on {quote(str(path))}.", remedy=remedy)
    path.unlink(missing_ok=True)


def remove(path: Path, made: Identity | None) -> None:
    """Removes our own socket; another daemon may have put its socket there since."""
    if made is not None and identity(path) == made:
        with suppress(OSError):
            path.unlink()
