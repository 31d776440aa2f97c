"""Serves the control API on a Unix socket, and on a TCP port of the loopback if that is wanted, in a thread of its own.

The service has it listen before the engine runs, starts it afterwards, and stops it before the engine ends. While
nobody asks, nothing here wakes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Scope

from ftpsyncd.control.app import THREADS, create_app
from ftpsyncd.control.feed import Feed
from ftpsyncd.control.guard import Guard, Porter
from ftpsyncd.control.listening import BACKLOG, listen, listen_tcp, remove
from ftpsyncd.control.meant import Meant
from ftpsyncd.control.meter import Meter
from ftpsyncd.control.metrics import Metrics
from ftpsyncd.control.port import Daemon
from ftpsyncd.control.protocol import Bounded, Connection
from ftpsyncd.control.sse import Broadcast
from ftpsyncd.control.tokenfile import token_in
from ftpsyncd.control.whereabouts import Identity, identity, note
from ftpsyncd.errors import ControlSocketError, ThreadLimitError
from ftpsyncd.logs import logger, quote
from ftpsyncd.threads import begin, limit_reached

_FRESH_S = 0.25
"""Metrics are as old as the status may be."""
_GRACE_S = 1
"""How long answers on their way may take when the server stops."""
_START_S = 10.0
_STOP_S = 2.0
_TELL_EVERY_S = 60.0
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ControlServer:
    """The control socket and the thread that serves it; also a context manager.

    Args:
        daemon: who is asked and steered.
        socket_path: where; its directory is made (0750) if it is missing, the socket itself is 0660.
        feed: what is told of here, `/v1/events` tells its readers.
        meter: what is told of here is counted in `/metrics`.
        http: address and port of a TCP listener, too.
        token_file: what those who ask over TCP have to know; made if it is missing.
        state_dir: where to note the socket for who looks for it at another place; nowhere if None.
        meant: who means another daemon is sent away; nobody is if None.
    """

    def __init__(
        self,
        daemon: Daemon,
        socket_path: Path,
        *,
        feed: Feed | None = None,
        meter: Meter | None = None,
        http: tuple[str, int] | None = None,
        token_file: Path | None = None,
        state_dir: Path | None = None,
        meant: Meant | None = None,
    ) -> None:
        self._daemon = daemon
        self._path = socket_path
        self._feed = feed or Feed()
        self._meter = meter or Meter()
        self._http = http
        self._token_file = token_file or socket_path.with_name("control.token")
        self._state_dir = state_dir
        self._meant = meant
        self._made: Identity | None = None
        self._token = ""
        self._listeners: list[socket.socket] = []
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._moving = threading.Lock()
        """Held by whoever changes where it listens."""
        self._told = False
        """That the socket cannot be made anew."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def listen(self) -> None:
        """Take the socket, and the port; who asks from now on waits until the start.

        Raises:
            ControlSocketError: the socket cannot be made, or another daemon answers on it.
        """
        with ExitStack() as stack:
            listeners = []
            if self._http is not None:
                self._token = token_in(self._token_file)
                listeners.append(stack.enter_context(listen_tcp(*self._http)))
            listeners.append(stack.enter_context(listen(self._path)))
            stack.pop_all()
        self._listeners = listeners
        self._listens_at(self._path)

    def start(self) -> None:
        """Returns when requests are answered.

        Raises:
            ControlSocketError: as `listen`, which is done here if it was not before; or nobody can be answered.
            ThreadLimitError: the system allows too few threads.
        """
        if not self._listeners:
            self.listen()
        broadcast = Broadcast(self._feed)
        app: ASGIApp = create_app(self._daemon, broadcast, Metrics(self._daemon, self._meter, fresh_s=_FRESH_S))
        if self._meant is not None:
            app = Porter(app, self._meant)
        if self._http is not None:
            app = Guard(app, *self._http, self._token)
        self._server = _Server(app, broadcast)
        thread = threading.Thread(target=self._server.serve_on, args=(self._listeners,), name="control", daemon=True)
        begin(thread)
        self._thread, self._listeners = thread, []
        if not self._server.up.wait(_START_S) or not self._server.started:
            trouble = self._server.trouble or "it did not start in time"
            self.stop()
            if isinstance(trouble, ThreadLimitError):
                raise trouble
            raise ControlSocketError(f"The control API cannot be served on {quote(str(self._path))}: {trouble}.")

    def move(self, socket_path: Path) -> None:
        """Take another socket in place of the one there is; requests and readers of events are not disturbed.

        One that somebody removed is made anew.

        Raises:
            ControlSocketError: it cannot be made, or another daemon answers on it; the old one stays.
        """
        with self._moving:
            if self._server is None:
                raise RuntimeError("the control API is not served")
            self._move(self._server, socket_path)

    def restore(self) -> None:
        """Make the socket anew if somebody removed it: nobody could ask any more, nor wish for a reload.

        So it goes with $XDG_RUNTIME_DIR when its user has logged out, and when he has logged in again it can be made.
        To be called again and again, on any thread.
        """
        with self._moving:
            if self._server is None or identity(self._path) is not None:
                return
            if not os.path.isdir(self._path.parent.parent):  # noqa: PTH112 - Path.is_dir raises where a disk fails
                return
            shown = quote(str(self._path))
            try:
                self._move(self._server, self._path)
            except ControlSocketError as problem:
                if not self._told:
                    logger.bind(event="control").warning("the control socket was removed: {}", problem.message)
                self._told = True
            else:
                logger.bind(event="control").warning("the control socket {} was removed, and is made anew", shown)
                self._told = False

    def _move(self, server: _Server, socket_path: Path) -> None:
        """As `move`."""
        path, made = self._path, self._made
        if made is not None and identity(socket_path) == made:
            self._listens_at(socket_path)
            return
        listener = listen(socket_path)
        # Noted before the old one is gone.
        self._listens_at(socket_path)
        try:
            server.listen_on(listener, lambda: remove(path, made))
        except (OSError, RuntimeError) as problem:
            listener.close()
            remove(self._path, self._made)
            self._listens_at(path)
            shown = quote(str(socket_path))
            raise ControlSocketError(f"The control API cannot be served on {shown}: {problem}.") from problem

    def _listens_at(self, path: Path) -> None:
        self._path, self._made = path, identity(path)
        if self._state_dir is not None:
            with suppress(OSError):  # a full disk: only who looks at another place does without it
                note(self._state_dir, path, self._made)

    def stop(self) -> None:
        """Lets answers on their way end, for two seconds at most, and removes the socket; may be called again."""
        with self._moving:
            if self._server is not None and self._thread is not None:
                self._server.finish()
                self._thread.join(_STOP_S)
                if self._thread.is_alive():  # a call of the daemon hangs; the thread dies with the process
                    logger.bind(event="control").warning("The control API did not stop in time.")
            for listener in self._listeners:
                listener.close()
            remove(self._path, self._made)
            self._listeners, self._made, self._server, self._thread = [], None, None, None


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, its messages and its ten wake-ups per second."""

    def __init__(self, app: ASGIApp, broadcast: Broadcast) -> None:
        super().__init__(
            uvicorn.Config(
                Bounded(app, lambda: self.server_state.connections),
                loop="asyncio",
                http=Connection,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                log_level="critical",  # what goes wrong is answered and logged by the application itself
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                # So often asyncio accepts in a row, and once more from Python 3.14 on. Where no descriptor is left,
                # each of these is an error in the log, and a wish to try again.
                backlog=1,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._broadcast = broadcast
        broadcast.cut_off = self._cut_off
        self.up = threading.Event()
        """Set when requests are answered, or never will be."""
        self.trouble: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: asyncio.Event | None = None
        self._tell_at = 0.0
        """Not before is it told again that nobody can be let in; in the loop's seconds."""

    def serve_on(self, listeners: list[socket.socket]) -> None:
        """The thread: serves until ``finish``; closes the listeners."""
        try:
            with ExitStack() as stack:
                for listener in listeners:
                    stack.enter_context(listener)
                with asyncio.Runner() as runner:
                    runner.run(self._serve_on(listeners))
        except ThreadLimitError as limit:
            self.trouble = limit
        except Exception as problem:  # the thread's end: whoever waits in start() reports it
            self.trouble = problem
            if self.up.is_set():
                # Nobody waits there any more: it ends the daemon, which nobody could ask for anything.
                raise
            logger.bind(event="control").opt(exception=problem).error("The control API ended")
        finally:
            self.up.set()

    def finish(self) -> None:
        """Ends ``serve_on``; from any thread, at any time."""
        if self._loop is not None and self._finished is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended already
                self._loop.call_soon_threadsafe(self._finished.set)

    def listen_on(self, listener: socket.socket, instead: Callable[[], None]) -> None:
        """Accepts on another Unix socket; from any thread.

        Args:
            listener: it; closed in the end.
            instead: removes the name of the one before, on which nothing more is accepted afterwards.

        Raises:
            RuntimeError: the thread has ended.
            OSError: the system allows no more, or the thread hangs.
        """
        if self._loop is None:
            raise RuntimeError("nobody is answered")
        wanted = Future[None]()
        moving = self._listen_on(listener, instead, wanted)
        try:
            moved = asyncio.run_coroutine_threadsafe(moving, self._loop)
        except RuntimeError:
            moving.close()
            raise
        try:
            moved.result(_START_S)
        except TimeoutError:
            # It does not come later, when nobody counts on it. One that has begun is not left half done.
            if wanted.cancel():
                raise TimeoutError("what answers there hangs") from None
            moved.result(_START_S)

    async def _listen_on(self, listener: socket.socket, instead: Callable[[], None], wanted: Future[None]) -> None:
        if not wanted.set_running_or_notify_cancel():
            return
        before = self.servers
        try:
            await super().startup([listener])
        except OSError:
            # It has begun by forgetting them.
            self.servers = before
            raise
        listener.listen(BACKLOG)
        *others, old = before
        self.servers = [*others, *self.servers]
        instead()
        await _accept_no_more([old])
        old.close()

    async def _serve_on(self, listeners: list[socket.socket]) -> None:
        self._loop, self._finished = asyncio.get_running_loop(), asyncio.Event()
        # The runner joins these threads when it closes the loop.
        self._loop.set_default_executor(_threads())
        self._loop.set_exception_handler(self._failed)
        await self.serve(sockets=listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
        self.up.set()

    async def main_loop(self) -> None:
        """Waits for ``finish``; uvicorn's own loop looks ten times per second whether it should end."""
        if self._finished is not None:
            await self._finished.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends politely, then cuts off who does not."""
        self._broadcast.close()
        await _accept_no_more(self.servers)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next turn

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something has failed that nobody waits for: tell the log, but not every second that no descriptor is left."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            loop.default_exception_handler(context)
        elif loop.time() >= self._tell_at:
            self._tell_at = loop.time() + _TELL_EVERY_S
            logger.bind(event="control").warning("nobody is let in at the control socket: {}", error.strerror)

    def _cut_off(self, scope: Scope) -> None:
        """Ends the connection of a request without waiting for its reader."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "scope", None) is scope and connection.transport is not None:
                connection.transport.abort()


def _threads() -> ThreadPoolExecutor:
    """Threads for calls of the daemon, all begun at once: later the system may allow no further one."""
    pool, all_here = ThreadPoolExecutor(THREADS, thread_name_prefix="control"), threading.Barrier(THREADS)
    try:
        for _ in range(THREADS):
            pool.submit(all_here.wait)
    except RuntimeError as error:
        all_here.abort()
        pool.shutdown()
        raise limit_reached() from error
    return pool


async def _accept_no_more(servers: Iterable[asyncio.Server]) -> None:
    """Let in those who have connected by now, and nobody after them.

    Let those who were accepted in this turn have their connections: asyncio loses them if it closes the server now. Its
    transport attaches itself to a server that has sockets, or is left open for the collector of garbage.
    """
    listeners = [listener for server in servers for listener in server.sockets]
    for listener in listeners:
        for _ in range(BACKLOG):
            if not _somebody_waits(listener):
                break
            # One is let in each turn, at least.
            await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    for listener in listeners:
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)


def _somebody_waits(listener: socket.socket) -> bool:
    looked = select.poll()
    looked.register(listener, select.POLLIN)
    return bool(looked.poll(0))
