"""A small FTP server that behaves, except where a test says otherwise.

    async def full(connection, argument):
        await connection.receive(10)
        await connection.say("452 No space left.")

    with Scripted(STOR=full) as server:
        session = account(server)()

Each keyword replaces what a command does: a string is said instead, a coroutine function is called with the
`Connection` and the argument, a list is used up one element per command, after which the default behaviour is back.
``GREETING`` is what happens after the connection is accepted.

With ``tls``, a context, it has explicit TLS, after PBSZ and PROT P also on data connections (RFC 4217 §9: without them
these are in clear text). They have the context ``data_tls``, which may be another one than that of the control line:
then it has forgotten the session that is to be resumed there.

``hangs``: it is silent on purpose, so that who asks it is to lose patience soon (`account`).

`files` is what it holds, `log` what it was sent. A command that arrives while a transfer is going on is recorded in
`early`: no client of ours may ever send one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import pytest

from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Profile, Removing
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import ServerSpec, TlsMode

QUICK = Timeouts(connect_s=1, reply_s=1, stall_s=1, final_s=1, close_s=0.3)
"""For servers that are silent on purpose: not shorter, since they answer the most of what they are asked."""
PATIENT = Timeouts(connect_s=20, reply_s=20, stall_s=20, final_s=20, close_s=0.3)
"""A server that answers may be kept from it for a while, where the machine is busy."""

AT_ANY_MOMENT = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""For tests in which a signal comes when it comes: where that is between `socket.socket` and the name that it is to
have, nobody can close the socket, which Python then does by itself, and tells.
"""

Act = Callable[["Connection", str], Awaitable[None]]
Behaviour = str | Act | Sequence[str | Act | None]
"""None in a list is one time the default."""


class Hangup(Exception):  # noqa: N818 - not an error: the script ends the connection
    """Ends the connection."""


class Connection:
    """One control connection, and its data connection."""

    def __init__(self, server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.renaming = ""
        self.directory = "/"
        """In which it stands."""
        self.sized = self.private = False
        """PBSZ was said; the last PROT was P."""
        self._listener: socket.socket | None = None
        self._open: list[asyncio.StreamWriter] = []
        self._accepted: list[socket.socket] = []

    def at(self, path: str) -> str:
        """The absolute path that is meant."""
        return path if path.startswith("/") or not path else f"{self.directory.rstrip('/')}/{path}"

    async def say(self, text: str) -> None:
        """Send a reply; ``\\n`` separates lines."""
        await self.send(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n")

    async def send(self, data: bytes) -> None:
        """Send bytes, in pieces if the server is to."""
        step = self.server.piece or len(data)
        for start in range(0, len(data), step):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            if self.server.piece:
                await asyncio.sleep(0)

    async def silence(self) -> None:
        """Say nothing until the client goes away."""
        while await self.reader.read(65536):
            pass
        raise Hangup

    async def hang_up(self) -> None:
        """Close the control connection."""
        raise Hangup

    async def listen(self) -> int:
        """Offer a data connection; returns its port."""
        await self.end_data()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        return int(self._listener.getsockname()[1])

    async def data(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The client's data connection."""
        assert self._listener is not None
        while True:
            try:
                # Not sock_accept: cancelled at the wrong moment it loses what it accepted.
                sock, _ = self._listener.accept()
                break
            except BlockingIOError:
                await asyncio.sleep(0.001)
        self._accepted.append(sock)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        tls = self.server.data_tls if self.private else None
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._open.append(writer)
        return reader, writer

    async def receive(self, count: int = -1) -> bytes:
        """Accept the data connection after a 150 and read: to the end, or ``count`` bytes."""
        await self.say("150 Go on.")
        reader, _ = await self.data()
        data = await (reader.read() if count < 0 else reader.readexactly(count))
        if self.reader._buffer:  # type: ignore[attr-defined]
            self.server.early.append(bytes(self.reader._buffer))  # type: ignore[attr-defined]
        return data

    async def end_data(self, *, reset: bool = False) -> None:
        """Close the data connection and stop offering one."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in self._open:
            if reset:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._open.clear()
        for sock in self._accepted:
            sock.close()
        self._accepted.clear()


class Scripted:
    """The server; a context manager."""

    def __init__(
        self,
        script: Mapping[str, Behaviour] | None = None,
        *,
        piece: int = 0,
        wordy: bool = False,
        hangs: bool = False,
        tls: ssl.SSLContext | None = None,
        **more: Behaviour,
    ) -> None:
        self.tls = self.data_tls = tls
        self.files: dict[str, bytes] = {}
        self.dates: dict[str, str] = {}
        self.dirs = {"/"}
        self.log: list[str] = []
        self.early: list[bytes] = []
        self.connections = 0
        self.batches: list[int] = []
        """How many lines each read from the client held."""
        self.piece = piece
        self.wordy = wordy
        self.hangs = hangs
        everything = {**(script or {}), **more}
        self.script: dict[str, Any] = {
            verb: list(act) if isinstance(act, list | tuple) else act for verb, act in everything.items()
        }
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._stop: asyncio.Event

    def spec(self, **changes: Any) -> ServerSpec:
        values = {"name": "s", "host": "127.0.0.1", "user": "u", "port": self.port, "password": lambda: "p"}
        return ServerSpec(**{"tls": TlsMode.OFF, **values, **changes})

    def verbs(self) -> list[str]:
        return [line.partition(" ")[0] for line in self.log]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.ensure_future(self._talk(Connection(self, reader, writer))))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The turn of the loop in which transports that were aborted close their sockets.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _talk(self, connection: Connection) -> None:
        self.connections += 1
        try:
            await self._act(connection, "GREETING", "")
            while line := await connection.reader.readline():
                text = line.decode("latin-1").rstrip("\r\n")
                self.log.append(text)
                self.batches.append(1 + bytes(connection.reader._buffer).count(b"\n"))  # type: ignore[attr-defined]
                verb, _, argument = text.partition(" ")
                await self._act(connection, verb.upper(), argument)
        except (Hangup, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            try:
                await connection.end_data()
                connection.writer.close()
                with contextlib.suppress(OSError):
                    await connection.writer.wait_closed()
            finally:
                # Also when the end of the server interrupts this.
                connection.writer.transport.abort()

    async def _act(self, connection: Connection, verb: str, argument: str) -> None:
        act = self.script.get(verb)
        if isinstance(act, list):
            act = act.pop(0) if act else None
        if act is None:
            act = self.default
            argument = f"{verb} {argument}"
        if isinstance(act, str):
            await connection.say(act)
        else:
            await act(connection, argument)

    async def default(self, connection: Connection, line: str) -> None:
        """What a decent server does."""
        verb, _, argument = line.partition(" ")
        handler = getattr(self, f"do_{verb.lower()}", None)
        if handler is None:
            await connection.say("502 Not here.")
            return
        reply = await handler(connection, argument)
        if not reply:
            return  # it is said
        if self.wordy and reply[3] == " ":
            reply = f"{reply[:3]}-There is more to say\n 226 not the end\n123 neither\n{reply}"
        await connection.say(reply)

    async def do_greeting(self, _c: Connection, _a: str) -> str:
        return "220 Hello."

    async def do_user(self, _c: Connection, _a: str) -> str:
        return "331 Password?"

    async def do_pass(self, _c: Connection, _a: str) -> str:
        return "230 Welcome."

    async def do_auth(self, c: Connection, _a: str) -> str:
        await c.say("234 Begin." if self.tls is not None else "502 Not here.")
        if self.tls is not None:
            await c.writer.start_tls(self.tls)
        return ""

    async def do_pbsz(self, c: Connection, _a: str) -> str:
        c.sized = True
        return "200 Zero."

    async def do_prot(self, c: Connection, level: str) -> str:
        if not c.sized:
            return "503 PBSZ first."
        c.private = level == "P"
        return "200 Private." if c.private else "200 Clear."

    async def do_feat(self, _c: Connection, _a: str) -> str:
        return "211-Features:\n MFMT\n MDTM\n SIZE\n EPSV\n REST STREAM\n211 End"

    async def do_type(self, _c: Connection, _a: str) -> str:
        return "200 Binary."

    async def do_opts(self, _c: Connection, _a: str) -> str:
        return "200 Fine."

    async def do_noop(self, _c: Connection, _a: str) -> str:
        return "200 Yes."

    async def do_quit(self, c: Connection, _a: str) -> str:
        await c.say("221 Bye.")
        raise Hangup

    async def do_epsv(self, c: Connection, _a: str) -> str:
        return f"229 Here (|||{await c.listen()}|)"

    async def do_pasv(self, c: Connection, _a: str) -> str:
        port = await c.listen()
        return f"227 There (127,0,0,1,{port // 256},{port % 256})"

    async def do_stor(self, c: Connection, path: str) -> str:
        path = c.at(path)
        self.files[path] = b""
        self.files[path] = await c.receive()
        await c.end_data()
        return "226 Stored."

    async def do_retr(self, c: Connection, path: str) -> str:
        path = c.at(path)
        if path not in self.files:
            return "550 No such file."
        await c.say("150 Here it comes.")
        _, writer = await c.data()
        writer.write(self.files[path])
        await writer.drain()
        await c.end_data()
        return "226 Sent."

    async def do_size(self, c: Connection, path: str) -> str:
        path = c.at(path)
        return f"213 {len(self.files[path])}" if path in self.files else "550 No such file."

    async def do_mdtm(self, c: Connection, path: str) -> str:
        path = c.at(path)
        return f"213 {self.dates[path]}" if path in self.dates else "550 No such file."

    async def do_mfmt(self, c: Connection, argument: str) -> str:
        stamp, _, path = argument.partition(" ")
        self.dates[c.at(path)] = stamp
        return f"213 Modify={stamp}; {path}"

    async def do_rnfr(self, c: Connection, path: str) -> str:
        path = c.renaming = c.at(path)
        return "350 To what?" if path in self.files else "550 No such file."

    async def do_rnto(self, c: Connection, path: str) -> str:
        path = c.at(path)
        if c.renaming not in self.files:
            return "503 RNFR first."
        self.files[path] = self.files.pop(c.renaming)
        if c.renaming in self.dates:
            self.dates[path] = self.dates.pop(c.renaming)
        return "250 Renamed."

    async def do_dele(self, c: Connection, path: str) -> str:
        path = c.at(path)
        self.dates.pop(path, None)
        return "250 Deleted." if self.files.pop(path, None) is not None else "550 No such file."

    async def do_mkd(self, c: Connection, path: str) -> str:
        path = c.at(path)
        if path in self.dirs:
            return "550 Directory exists."
        self.dirs.add(path)
        return f'257 "{path}" made.'

    async def do_rmd(self, c: Connection, path: str) -> str:
        path = c.at(path)
        if path not in self.dirs:
            return "550 No such directory."
        if any(each.startswith(f"{path}/") for each in (*self.files, *self.dirs)):
            return "550 Directory not empty."
        self.dirs.discard(path)
        return "250 Removed."

    async def do_cwd(self, c: Connection, path: str) -> str:
        path = c.at(path)
        if path not in self.dirs:
            return "550 No such directory."
        c.directory = path
        return "250 Here."

    async def do_pwd(self, c: Connection, _a: str) -> str:
        return f'257 "{c.directory}" is where you are.'


def account(
    server: Scripted, profile: Profile | None = None, timeouts: Timeouts | None = None, /, **changes: object
) -> Account:
    """An account at a server; one that was seen to rename files, and to remove no directory that holds something, if
    nothing else is known of it: none is asked for under its old name, and it is not tried.
    """
    return Account(
        server.spec(**changes),
        profile=profile or Profile(renamed=True, removing=Removing.REFUSES),
        timeouts=timeouts or (QUICK if server.hangs else PATIENT),
    )


async def listing(connection: Connection, _argument: str) -> None:
    """What LIST does: it shows a file, over a data connection."""
    await connection.say("150 Here it comes.")
    _, writer = await connection.data()
    writer.write(b"-rw-r--r-- 1 u g 1 Jan 1 2024 a\r\n")
    await writer.drain()
    await connection.end_data()
    await connection.say("226 Sent.")


async def silence(connection: Connection, _argument: str) -> None:
    """What a command does: it is never answered."""
    await connection.silence()


async def hang_up(connection: Connection, _argument: str) -> None:
    """What a command does: it ends the connection."""
    await connection.hang_up()


def choking(verb: str) -> Act:
    """What a command does that ends the connection if others came with it in one write."""

    async def choke(connection: Connection, argument: str) -> None:
        if connection.server.batches[-1] > 1:
            await connection.hang_up()
        await connection.server.default(connection, f"{verb} {argument}")

    return choke
