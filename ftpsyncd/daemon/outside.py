"""What a daemon shows to the outside: the control socket, the events and counts that it tells of, and alerts.

In: events and statuses, on the engine's thread, which is not kept waiting. Out: answers to whoever asks. `service` owns
one, but for a single pass, which nobody asks anything.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftpsyncd.alerts import Alerter
from ftpsyncd.config import Config
from ftpsyncd.control.feed import Feed
from ftpsyncd.control.meant import Meant
from ftpsyncd.control.meter import Meter
from ftpsyncd.control.server import ControlServer
from ftpsyncd.control.spoken import Spoken
from ftpsyncd.daemon.steering import Steering
from ftpsyncd.engine.loop import Engine
from ftpsyncd.events import Event
from ftpsyncd.status import Status
from ftpsyncd.typed import Typed


class Outside:
    """The control socket and the alerts of a running service.

    Args:
        reload: has the configuration read again, and says what came of it; called by the control socket's threads.
        typed: how the commands that are named are typed for this service.
    """

    def __init__(self, reload: Callable[[], str] | None, typed: Typed) -> None:
        self._reload = reload
        self._typed = typed
        self._meter = Meter()
        self._feed = Feed(typed=typed)
        self._steering: Steering | None = None
        self._server: ControlServer | None = None
        self._alerter: Alerter | None = None

    def tell(self, event: Event) -> None:
        """Something happened."""
        self._meter.tell(event)
        self._feed.tell(event)

    def show(self, status: Status) -> None:
        """How it is now."""
        self._feed.show(status)

    def listen(self, config: Config, engine: Engine) -> None:
        """Take the control socket, before anything is done that it would be in vain for.

        Raises:
            ControlError: the control socket cannot be made.
        """
        self._steering = Steering(config, engine, self._reload)
        server = ControlServer(
            Spoken(self._steering, self._typed),
            config.control.socket,
            feed=self._feed,
            meter=self._meter,
            http=config.control.http,
            token_file=config.state_dir / "control.token",
            state_dir=config.state_dir,
            meant=Meant.of(config.path, config.state_dir),
        )
        server.listen()
        self._server = server

    def start(self, config: Config, engine: Engine) -> None:
        """Begin to answer and to alert; what was told before is not lost.

        Raises:
            ControlError: nobody can be answered.
        """
        if self._server is not None:
            self._server.start()
        self._start_alerts(config, engine)

    def move(self, socket: Path) -> None:
        """Answer at another control socket.

        Raises:
            ControlError: it cannot be made; the old one stays.
        """
        if self._server is not None:
            self._server.move(socket)

    def tend(self) -> None:
        """See to it that it can be asked; to be called again and again, on a thread that may wait for a disk."""
        if (server := self._server) is not None:
            server.restore()

    def change(self, config: Config, engine: Engine) -> None:
        """Answer and alert by another configuration from now on; `move` has been told of the socket."""
        if self._alerter is None or config.alerts is None or not self._alerter.adopt(config.alerts):
            self._stop_alerts()
            engine.unheard("")
            self._start_alerts(config, engine)
        if self._steering is not None:
            self._steering.config = config

    def stop(self) -> None:
        """Tell and answer no more; also after a start that failed."""
        self._stop_alerts()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _start_alerts(self, config: Config, engine: Engine) -> None:
        if config.alerts is not None:
            self._alerter = Alerter(config.alerts, lambda: engine.status, engine.unheard, typed=self._typed)
            self._alerter.start()

    def _stop_alerts(self) -> None:
        if self._alerter is not None:
            self._alerter.stop()
            self._alerter = None
