"""The start of the daemon, beside the main thread: that one obeys signals and says what is waited for.

In: a service that is to start, wishes. Out: it has started, or the end was wanted before. A disk under the state
directory may hang for ever, and then nobody can be asked: not the ledger, and no control socket. To end and to begin
anew would not help, and leave one more process behind each time, which nothing can end until the disk answers.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Protocol

from ftpsyncd import patience, systemd
from ftpsyncd.logs import logger
from ftpsyncd.threads import begin

DISKS_S = 30.0
"""Longer is not waited for disks that do not answer at all before the start counts as done."""


class Wish(Enum):
    """What a signal or a command wants of the running daemon."""

    STOP = "stop"
    RELOAD = "reload"
    GO_ON = "go on"
    """The start is over."""
    LOOK = "look"
    """Something has ended that the daemon cannot do without: see why."""


Wishes = SimpleQueue[tuple[Wish, Future[str] | None]]
"""A SimpleQueue, since only its `put` may be called by a signal handler whatever the interrupted code is doing."""


class Startable(Protocol):
    """What is started (`service.Service`)."""

    @property
    def awaits(self) -> str:
        """What the start is about to do with a disk, in words."""

    def start(self) -> None:
        """Start everything."""


class Waiting:
    """What is told of a start that waits for disks: the log once of each, systemd again and again."""

    def __init__(self) -> None:
        self.ready = False
        """systemd was told that the service is up, for what that is worth."""
        self._told = ""

    def tell(self, what: str, waited_s: float) -> None:
        """It has waited for so long, and does so for this now."""
        said = f"the start waits for {what}: its disk is slow, or does not answer"
        if said != self._told:
            self._told = said
            logger.bind(event="start").warning("{}", said)
        systemd.status(said)
        if self.ready:
            systemd.watchdog()
        elif waited_s > DISKS_S:
            # What starts after us is not to wait for ever.
            self.ready = systemd.ready()
        else:
            systemd.extend_timeout(2 * DISKS_S)


class Start:
    """One start.

    Args:
        service: what is started.
        wishes: what signals and commands want meanwhile.
        waiting: tells what is waited for.
    """

    def __init__(self, service: Startable, wishes: Wishes, waiting: Waiting | None = None) -> None:
        self._waiting = waiting or Waiting()
        self._service = service
        self._wishes = wishes
        self._outcome: Future[None] = Future()

    @property
    def ready(self) -> bool:
        """Whether systemd was told that the service is up."""
        return self._waiting.ready

    def carry_out(self) -> bool:
        """Start; False if the end was wanted, and the start does not come to one.

        Raises:
            FtpsyncdError: it cannot start.
        """
        begin(threading.Thread(target=self._run, name="ftpsyncd-start", daemon=True))
        began_at = look_at = time.monotonic()
        later: list[tuple[Wish, Future[str] | None]] = []
        while True:
            try:
                # By then it is known which of the disks that are asked side by side do not answer.
                left_s = look_at + 1.2 * patience.ANSWER_S - time.monotonic()
                wish = self._wishes.get(timeout=max(0.0, left_s))
                if wish[0] is Wish.GO_ON:
                    break
                later.append(wish)
            except Empty:
                if any(wish is Wish.STOP for wish, _ in later):
                    return False
                look_at = time.monotonic()
                self._waiting.tell(self._service.awaits, look_at - began_at)
        for wish in later:
            self._wishes.put(wish)
        self._outcome.result()
        return True

    def _run(self) -> None:
        try:
            self._service.start()
        except BaseException as error:
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)
        finally:
            self._wishes.put((Wish.GO_ON, None))
