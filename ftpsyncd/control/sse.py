"""Server-sent events (WHATWG HTML, section 9.2): the feed as an answer that does not end.

Everything here runs on the server's loop. A reader is told at most `GAP_S` after something happened, many events at
once if there are many. One who does not take what it is sent, or who falls behind the feed's ring, is cut off; it may
come back with Last-Event-ID. Whatever a reader does, the engine does not notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ftpsyncd.control.feed import Feed, Position, message
from ftpsyncd.control.shapes import record_to_json

SUBSCRIBERS_MAX = 64
HEARTBEAT_S = 15.0
GAP_S = 0.25
"""Between two wake-ups: what happens meanwhile is sent at once, so that many readers cost little."""
TAKE_S = 10.0
"""How long a reader may take for one message."""

_HEARTBEAT = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Broadcast:
    """Wakes those who read the feed.

    Args:
        feed: what they read.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.cut_off: Callable[[Scope], None] = lambda _scope: None
        """Ends the connection of a request at once, without waiting for a reader that reads nothing; the server's."""
        self.closed = False
        self._readers: set[asyncio.Event] = set()
        self._seen = (0, 0)
        self._resting = False
        """The bells have rung, and are not to ring again before `GAP_S` is over."""

    @property
    def full(self) -> bool:
        """Whether nobody else may listen."""
        return len(self._readers) >= SUBSCRIBERS_MAX

    def join(self) -> asyncio.Event:
        """A reader's bell; to be given back by `leave`."""
        bell = asyncio.Event()
        if not self._readers:
            loop = asyncio.get_running_loop()

            def wake() -> None:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._ring)

            self._seen = self._state()
            self.feed.listen(wake)
        self._readers.add(bell)
        if self.closed:
            bell.set()
        return bell

    def leave(self, bell: asyncio.Event) -> None:
        """This reader is gone."""
        self._readers.discard(bell)
        if not self._readers:
            self.feed.listen(None)

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        for bell in self._readers:
            bell.set()

    def _ring(self) -> None:
        if self._resting:
            return
        self._resting = True
        self._seen = self._state()
        for bell in self._readers:
            bell.set()
        asyncio.get_running_loop().call_later(GAP_S, self._rearm)

    def _rearm(self) -> None:
        self._resting = False
        self.feed.rearm()
        # What came while the feed was not to call has rung no bell.
        if self._readers and self._seen != self._state():
            self._ring()

    def _state(self) -> tuple[int, int]:
        return self.feed.now().next, self.feed.transfers()[0]


class EventStream(Response):
    """The answer to one reader.

    Args:
        broadcast: whom to listen to.
        last_id: what the reader had last; None: it begins now.
    """

    def __init__(self, broadcast: Broadcast, last_id: str | None) -> None:
        super().__init__(None, 200, _HEADERS, media_type="text/event-stream")
        # Its length is not known; Response() has set it to 0.
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._last_id = last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader goes, falls behind, or the server ends."""
        bell = self._broadcast.join()
        gone: asyncio.Future[object] = asyncio.ensure_future(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_news(bell, gone, send)
            await _take(send, b"", more=False)
        except (TimeoutError, _BehindError):
            self._broadcast.cut_off(scope)
        finally:
            self._broadcast.leave(bell)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _send_news(self, bell: asyncio.Event, gone: asyncio.Future[object], send: Send) -> None:
        feed = self._broadcast.feed
        position, shown = await self._greet(send), 0
        while not gone.done():
            bell.clear()
            ending = self._broadcast.closed
            news = feed.after(position)
            if news.lost:
                raise _BehindError
            position = news.position
            parts = news.events
            number, transfers = feed.transfers()
            if number != shown:
                shown = number
                parts = [*parts, message("transfers", {"transfers": [record_to_json(each) for each in transfers]})]
            if parts:
                await _take(send, b"".join(parts))
            if ending:
                return
            if not await _rang(bell, gone):
                await _take(send, _HEARTBEAT)

    async def _greet(self, send: Send) -> Position:
        """The first message, and where to begin."""
        feed = self._broadcast.feed
        now = feed.now()
        if self._last_id is None:
            position, lost = now, False
        else:
            position = feed.position(self._last_id)
            lost = feed.after(position).lost
        begin = now if lost else position
        # Its id makes it possible to come back although nothing has happened yet.
        event_id = f"{begin.run}-{begin.next - 1}"
        hello = message("hello", {"resumed": self._last_id is not None, "lost": lost}, event_id=event_id)
        await _take(send, hello)
        return begin


class _BehindError(Exception):
    """The reader is too slow."""


async def _take(send: Send, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(TAKE_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_gone(receive: Receive) -> object:
    while (last := await receive())["type"] != "http.disconnect":
        pass
    return last


async def _rang(bell: asyncio.Event, gone: asyncio.Future[object]) -> bool:
    """Wait for news or the reader's end; False if it is time for a sign of life."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(bell.wait())
    ends: set[asyncio.Future[object]] = {waiting, gone}
    try:
        done, _ = await asyncio.wait(ends, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return bool(done)
