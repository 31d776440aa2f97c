"""A proxy between the daemon and an FTP server (without TLS): counts what is uploaded, and breaks what it is told to.

with running("vsftpd") as server, Proxy(server.host, server.port) as proxy:
    with site(server, tmp_path, server_keys={"host": "127.0.0.1", "port": proxy.port}) as s:
        proxy.cut_at = 40_000_000      # everything is cut when so many bytes have passed; once
        proxy.lose_226 = True          # everything is cut instead of passing on the next 226
        proxy.uploaded                 # bytes of all data connections so far
        proxy.slow = True              # from now on, data connections pass one byte per second
    proxy.hold_at = b"STOR "       # the next command line that holds this stays on the line, with all after it
    proxy.held                     # what stays there
    proxy.release()                # and now passes
    frozen = proxy.freeze()        # on the connections there are, nothing passes any more, not even their end
    proxy.thaw(frozen)             # and now does
        with Faults(proxy, seed=1):    # connections are cut, reset and stalled at random moments
            ...
"""

from __future__ import annotations

import contextlib
import math
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from tests.e2e.beside import Beside

_BLOCK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: a close sends RST and no FIN."""
_CONNECT_S = 10.0


class Link:
    """Two sockets between which bytes are passed on, in both directions, each by a thread."""

    def __init__(self, kind: str, client: socket.socket, server: socket.socket) -> None:
        self.kind = kind
        """"control" or "data"."""
        self.both = (client, server)
        self.ended = threading.Event()
        self.held_until = 0.0
        """Monotonic seconds: nothing passes before."""

    def cut(self) -> None:
        """End it: both sides see that the other one has closed."""
        self.ended.set()
        self._shut(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End it: both sides see a reset, and what was on its way is lost."""
        for sock in self.both:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.ended.set()
        # Wakes the threads and says nothing to the peers; the threads close the sockets.
        self._shut(socket.SHUT_RD)

    def wait(self) -> None:
        """Return when bytes may pass; never if it was ended meanwhile."""
        while (left_s := self.held_until - time.monotonic()) > 0:
            # In short turns: it may be thawed meanwhile.
            if self.ended.wait(min(left_s, 0.05)):
                raise ConnectionAbortedError

    def _shut(self, how: int) -> None:
        for sock in self.both:
            with contextlib.suppress(OSError):
                sock.shutdown(how)


class Proxy:
    """Threads that pass bytes on; all end with the block.

    Args:
        host: of the server.
        port: of its control line.
    """

    def __init__(self, host: str, port: int) -> None:
        self.cut_at = 0
        self.cut_every = 0
        self.lose_226 = False
        self.slow = False
        self.hold_at = b""
        self.held = b""
        self._released = threading.Event()
        self.uploaded = 0
        self.cuts = 0
        self._server = (host, port)
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._joining = threading.Condition(self._lock)
        self._links: dict[Link, int] = {}
        """Those that pass bytes, with how many directions are left."""
        self._waiting: set[socket.socket] = set()
        """Data ports to which nobody has come yet."""
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.release()
        # Only a shutdown wakes an accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        with self._lock:
            for listener in self._waiting:
                listener.shutdown(socket.SHUT_RDWR)
        while threads := list(self._threads):
            for thread in threads:
                thread.join(2 * _CONNECT_S)
                assert not thread.is_alive()

    def links(self, kind: str | None = None) -> list[Link]:
        """The connections there are."""
        with self._lock:
            return [link for link in self._links if kind in {None, link.kind}]

    def next_links(self, kind: str, timeout_s: float) -> list[Link]:
        """The connections of a kind, as soon as there is one; none if none comes in time."""
        with self._joining:
            self._joining.wait_for(lambda: any(link.kind == kind for link in self._links), timeout_s)
        return self.links(kind)

    def cut(self) -> None:
        """End every connection."""
        for link in self.links():
            link.cut()

    def release(self) -> None:
        """What was held passes."""
        self._released.set()

    def freeze(self) -> list[Link]:
        """A line that dies silently; the connections it had, which new ones do not touch."""
        frozen = self.links()
        for link in frozen:
            link.held_until = math.inf
        return frozen

    def thaw(self, frozen: list[Link]) -> None:
        """It lives again: all that was on its way arrives."""
        for link in frozen:
            link.held_until = 0.0

    def _hold(self, commands: bytes) -> None:
        if self.hold_at and self.hold_at in commands:
            self.hold_at, self.held = b"", commands
            self._released.wait()

    def _start(self, act: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=self._run, args=(act, *arguments), name="proxy")
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _run(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            if link := self._joined("control", client, self._server):
                self._start(self._pass, link, *link.both, self._hold)
                self._start(self._replies, link)

    def _joined(self, kind: str, client: socket.socket, place: tuple[str, int]) -> Link | None:
        """A link from a client to a port of the server; a client that cannot be joined is left."""
        try:
            server = socket.create_connection(place, _CONNECT_S)
        except OSError:
            client.close()
            return None
        server.settimeout(None)
        link = Link(kind, client, server)
        with self._joining:
            self._links[link] = 2
            self._joining.notify_all()
        if self._closing.is_set():
            link.cut()
        return link

    def _leave(self, link: Link) -> None:
        """One direction has ended; the second one closes the sockets."""
        with self._lock:
            self._links[link] -= 1
            if self._links[link]:
                return
            del self._links[link]
        for sock in link.both:
            sock.close()

    def _pass(self, link: Link, source: socket.socket, target: socket.socket, passing: Callable[[bytes], None]) -> None:
        try:
            while data := source.recv(1 if self.slow and link.kind == "data" else _BLOCK):
                if self.slow and link.kind == "data":
                    link.held_until = time.monotonic() + 1
                link.wait()
                passing(data)
                target.sendall(data)
            link.wait()
            if not link.ended.is_set():
                target.shutdown(socket.SHUT_WR)
        except OSError:
            # A reset: the other side learns of it, else it waits for more and keeps its locks.
            if not link.ended.is_set():
                link.reset()
        finally:
            self._leave(link)

    def _replies(self, link: Link) -> None:
        """Pass replies on, line by line; a data port becomes one of ours."""
        client, server = link.both
        try:
            with contextlib.suppress(OSError), server.makefile("rb") as lines:
                for line in lines:
                    link.wait()
                    if self.lose_226 and line.startswith(b"226"):
                        self.lose_226 = False
                        self.cuts += 1
                        self.cut()
                        return
                    client.sendall(self._with_ports_of_ours(line))
                if not link.ended.is_set():
                    client.shutdown(socket.SHUT_WR)
        finally:
            self._leave(link)

    def _with_ports_of_ours(self, line: bytes) -> bytes:
        extended = re.match(rb"229 .*\|\|\|(\d+)\|", line, re.DOTALL)
        if extended:
            return line.replace(extended[1], b"%d" % self._data_port(int(extended[1])))
        passive = re.match(rb"227 .*?\d+,\d+,\d+,\d+,(\d+),(\d+)", line, re.DOTALL)
        if passive:
            port = self._data_port(256 * int(passive[1]) + int(passive[2]))
            return b"227 Entering (127,0,0,1,%d,%d).\r\n" % divmod(port, 256)
        return line

    def _data_port(self, port: int) -> int:
        """A port of ours that leads to one of the server's."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(60)
        with self._lock:
            if self._closing.is_set():
                listener.close()
                raise ConnectionAbortedError
            self._waiting.add(listener)
        self._start(self._data, listener, port)
        return int(listener.getsockname()[1])

    def _data(self, listener: socket.socket, port: int) -> None:
        try:
            client = listener.accept()[0]
        except OSError:
            return
        finally:
            with self._lock:
                self._waiting.discard(listener)
            listener.close()
        if link := self._joined("data", client, (self._server[0], port)):
            server = link.both[1]
            self._start(self._pass, link, server, client, lambda _data: None)
            self._pass(link, client, server, self._count)

    def _count(self, data: bytes) -> None:
        with self._lock:
            self.uploaded += len(data)
            before = self.uploaded - len(data)
            again = self.cut_every > 0 and self.uploaded // self.cut_every > before // self.cut_every
            reached = again or 0 < self.cut_at <= self.uploaded
            if reached:
                self.cut_at = 0
                self.cuts += 1
        if reached:
            self.cut()


class Faults(Beside):
    """A bad line: at random moments connections of a proxy are cut, reset, or stalled for a while.

    Args:
        proxy: whose connections.
        seed: the same one makes the same choices (of whatever connections there are then).
        every_s: between two faults, on average.
        longest_stall_s: how long nothing passes at most.
    """

    def __init__(self, proxy: Proxy, seed: int, *, every_s: float = 0.5, longest_stall_s: float = 3.0) -> None:
        super().__init__("faults")
        self.done: Counter[str] = Counter()
        """How often each fault hit a connection: "data reset", "control stalled"."""
        self._proxy = proxy
        self._random = random.Random(seed)
        self._every_s = every_s
        self._longest_stall_s = longest_stall_s

    def count(self, what: str) -> int:
        """How many connections were "cut", "reset" or "stalled"."""
        return sum(count for fault, count in self.done.items() if fault.endswith(what))

    def run(self) -> None:
        while not self.over.wait(self._random.expovariate(1 / self._every_s)):
            kind = self._random.choice(["data", "data", "control", "all"])
            # Data connections come and go in milliseconds.
            links = self._proxy.links() if kind == "all" else self._proxy.next_links(kind, 2 * self._every_s)
            if kind != "all" and links:
                links = [self._random.choice(links)]
            fault = self._random.choice(["cut", "reset", "stalled"])
            self.over.wait(self._random.choice([0.0, 0.0, 0.001, 0.01]))
            for link in links:
                self._do(fault, link)

    def _do(self, fault: str, link: Link) -> None:
        self.done[f"{link.kind} {fault}"] += 1
        if fault == "cut":
            link.cut()
        elif fault == "reset":
            link.reset()
        else:
            link.held_until = time.monotonic() + self._random.uniform(0.1, self._longest_stall_s)
