"""What stands in for parts of a daemon whose roster is real: accounts, threads of disks, and who waits for the engine.

Nothing has a thread of its own; `several.Several` has each do a piece of its work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ftpsyncd.engine.loop import Engine
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.local.disk import DiskThread
from ftpsyncd.mapping.site import Moment
from ftpsyncd.remote.memory import MemorySession
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.throttle import Throttle
from ftpsyncd.specs import ServerSpec

if TYPE_CHECKING:
    from tests.model.several import Several

_T = TypeVar("_T")


class Account:
    """In the place of what connects to a server."""

    ahead = False
    greeted: Callable[[], None]
    refused: Callable[[FtpsyncdError], None]

    def __init__(self, several: Several, spec: ServerSpec) -> None:
        self.profile = Profile()
        self.throttle = Throttle(0)
        self.scratching = threading.Lock()
        self.key = f"{spec.user}@{spec.host}:{spec.port}"
        self._server = several.hosts[spec.host]

    def __call__(self) -> MemorySession:
        return self._server.connect()


class Disk(DiskThread):
    """A thread that is not started: it is asked to do the next thing."""

    wanted = False
    """It would have been started."""
    busy = False

    @property
    def watches(self) -> bool:
        return self.begun and not self._stopping

    def do_next(self) -> bool:
        """Do the most urgent thing; whether there was any."""
        if not self.wanted or self._stopping or self.busy:
            return False
        if self.begun and not (self._check or self._probes or self._listings):
            return False
        self.busy = True
        try:
            if self.begun:
                request = self._next()
                assert request is not None
                request()
            else:
                self._report(self._watcher.start)
                self.begun = True
        finally:
            self.busy = False
        return True


class Turned:
    """Tells that the engine has turned: who waits for that lets everything go on meanwhile."""

    def __init__(self, several: Several) -> None:
        self._several = several

    def set(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def wait(self, timeout_s: float) -> None:
        several = self._several
        if not several.step():
            several.time.now += timeout_s


class AskedEngine(Engine):
    """One that is asked on the only thread there is."""

    several: Several

    def ask(
        self,
        question: Callable[[Moment], _T],
        timeout_s: float = 30.0,
        wanted: Callable[[], bool] = lambda: True,
        *,
        to_its_end: bool = False,
    ) -> _T:
        return self.several.asked(question)
