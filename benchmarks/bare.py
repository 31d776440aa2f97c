"""``python -m benchmarks.bare``: what must be said and sent for each file, and nothing else.

One loop for all connections, without threads, plan, queue, ledger, log or a second look at the file. The commands are
those of ftpsyncd at a server that reads them in turn; each file is hashed, its size is compared, and it is renamed and
dated. What it takes is the least that a Python program takes for this; it handles no error, and nobody should use it.
The account comes from the environment, as for `plain`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from ftplib import FTP
from pathlib import Path
from typing import NamedTuple

from benchmarks.plain import connect, date_command

CHUNK = 1 << 16


class File(NamedTuple):
    """A file, and its names at the server."""

    local: str
    temporary: bytes
    final: bytes


class Sent(NamedTuple):
    """A file that the server has under its temporary name."""

    file: File
    size: int
    date: bytes
    sha256: bytes


class Line:
    """One connection, and the files on their way there.

    Args:
        ftp: logged in.
        dating: MFMT or MDTM.
    """

    def __init__(self, ftp: FTP, dating: str) -> None:
        ftp.voidcmd("TYPE I")
        assert ftp.sock is not None
        self.sock = ftp.sock
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._dating = dating.encode()
        self._host = ftp.host
        self._ftp = ftp
        self._rest = b""
        self._port = 0
        self._awaited: deque[str] = deque()
        self._sent: Sent | None = None
        self._sized: Sent | None = None

    def say(self, file: File | None) -> bool:
        """Say all that can travel together, and send a file; False if nothing was left to be said."""
        commands: list[bytes] = []
        if self._sized is not None:
            done = self._sized.file
            commands += [b"RNFR " + done.temporary, b"RNTO " + done.final]
            self._awaited += ["350", "250"]
        self._sized = None
        if self._sent is not None:
            temporary = self._sent.file.temporary
            commands += [b"SIZE " + temporary, b" ".join((self._dating, self._sent.date, temporary))]
            self._awaited += [f"213 {self._sent.size}", "213"]
        self._sized, self._sent = self._sent, None
        if file is None:
            pass
        elif not self._port:
            commands.append(b"EPSV")
            self._awaited.append("229")
        else:
            commands += [b"STOR " + file.temporary, b"EPSV"]
            self._awaited += ["150", "226", "229"]
        if not commands:
            return False
        self.sock.sendall(b"\r\n".join([*commands, b""]))
        if file is not None and self._port:
            self._send(file)
        return True

    def _send(self, file: File) -> None:
        source = os.open(file.local, os.O_RDONLY)
        try:
            facts, digest = os.fstat(source), hashlib.sha256()
            with socket.create_connection((self._host, self._port)) as data:
                data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while chunk := os.read(source, CHUNK):
                    digest.update(chunk)
                    data.sendall(chunk)
        finally:
            os.close(source)
        date = time.strftime("%Y%m%d%H%M%S", time.gmtime(facts.st_mtime)).encode()
        self._sent = Sent(file, facts.st_size, date, digest.digest())
        self._port = 0

    def hear(self) -> bool:
        """Take what the server says; whether it has answered everything.

        Raises:
            RuntimeError: it said something else than was to be expected.
        """
        heard = self.sock.recv(CHUNK)
        if not heard:
            raise RuntimeError("the server ended the connection")
        *lines, self._rest = (self._rest + heard).split(b"\r\n")
        for line in lines:
            if line[3:4] != b" " or not line[:3].isdigit():
                continue
            reply, wanted = line.decode(), self._awaited.popleft()
            if not reply.startswith(wanted):
                raise RuntimeError(f"{reply!r} instead of {wanted}")
            if wanted == "229":
                self._port = int(reply.rsplit("|", 2)[1])
        return not self._awaited

    @property
    def ready(self) -> bool:
        """Whether a file can be sent at once."""
        return bool(self._port)

    def quit(self) -> None:
        """End it."""
        self._ftp.quit()


def path_at(remote: str, below: Path) -> str:
    """A directory of the tree at the server."""
    return remote if below == Path() else f"{remote}/{below}"


def files_below(local: Path, remote: str) -> Iterator[File]:
    """All files of a tree."""
    for folder, _, names in os.walk(local):
        below = path_at(remote, Path(folder).relative_to(local))
        for name in names:
            final = f"{below}/{name}".encode()
            yield File(f"{folder}/{name}", final + b".0123abcd.filepart", final)


def put(local: Path, remote: str, connections: int) -> None:
    """Publish a tree."""
    first = connect()
    dating = date_command(first)
    for folder in sorted(folder for folder, _, _ in os.walk(local)):
        first.mkd(path_at(remote, Path(folder).relative_to(local)))
    waiting = deque(files_below(local, remote))
    lines = {}
    poll = select.epoll()
    for ftp in [first, *(connect() for _ in range(connections - 1))]:
        line = Line(ftp, dating)
        lines[line.sock.fileno()] = line
        poll.register(line.sock, select.EPOLLIN)
        line.say(waiting[0] if waiting else None)
    left = set(lines)
    while left:
        for number, _ in poll.poll():
            line = lines[number]
            if not line.hear():
                continue
            file = waiting[0] if waiting else None
            if line.ready and waiting:
                waiting.popleft()
            if not line.say(file):
                left.discard(number)
    poll.close()
    for line in lines.values():
        line.quit()


def main() -> None:
    """Put."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("local", type=Path)
    parser.add_argument("remote")
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    put(options.local, options.remote, options.connections)


if __name__ == "__main__":
    main()
