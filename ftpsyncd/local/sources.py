"""The two ways of noticing changes, each as turns of a loop: reading the kernel's queue, and looking again and again.

Comes in: a root. Goes out: a `Batch` that grows until it can be handed on. Made by `watch`,
run on the threads of `observing`.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from ftpsyncd.local import inotify
from ftpsyncd.local.branches import Branches
from ftpsyncd.local.changes import Batch
from ftpsyncd.local.limits import Shortage
from ftpsyncd.local.poller import Poller

SLICE_S = 0.02
"""How long folders are entered before the kernel queue is read again."""

PACE_S = 0.01
"""Between two reads that found little: a program that writes in small pieces wakes us a hundred times a second."""

LITTLE_BYTES = 32 * 1024
"""A read below this found little; above it the kernel queue (16,384 events) is read on at once."""

HANDING_S = 0.02
"""How soon a batch is offered again to a receiver that was busy; meanwhile it grows, in bounded memory."""

LOOK_SHARE = 20
"""A look at a whole tree may take one twentieth of the time at most."""


class Source(Protocol):
    """What `observing` runs on a thread."""

    name: str
    batch: Batch

    def prepare(self) -> None:
        """Whatever must be in place before the first turn; in the thread that starts watching. May raise OSError."""

    def turn(self, hand_on: Callable[[], None]) -> None:
        """One turn of the loop; ``hand_on`` takes the batch if the receiver is free. May raise OSError."""

    def stop(self) -> None:
        """End a wait, from any thread; no further turn does anything."""

    def release(self) -> None:
        """Give back descriptors, after the last turn; idempotent."""


class InotifySource:
    """Reads the kernel's queue.

    Args:
        root: absolute path.
        descend: whether what is in a folder (relative path) can matter.
        open_kernel: makes the inotify instance.
        reason: told with the first report of the root.

    Raises:
        OSError: EMFILE when there is no instance to be had.
    """

    def __init__(
        self, root: str, descend: Callable[[str], bool], open_kernel: Callable[[], inotify.Kernel], reason: str
    ) -> None:
        self.name = f"inotify {root}"
        self.batch = Batch()
        self._reason = reason
        self._stopped = threading.Event()
        self._kernel = open_kernel()
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            self._kernel.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._kernel.fileno(), select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self._guard = threading.Lock()
        """Held by whoever uses the branches or closes the descriptors."""
        self._branches = Branches(root, self._kernel, descend, self.batch)

    def prepare(self) -> None:
        """Watch and read the whole tree; the queue is read meanwhile, so that it cannot overflow by our delay."""
        with self._guard:
            self._branches.enter_root(self._reason)
            while not self._branches.work(time.monotonic() + SLICE_S) and not self._stopped.is_set():
                self._branches.absorb(self._kernel.read()[0])

    def turn(self, hand_on: Callable[[], None]) -> None:
        """Wait for events, take them in, enter folders for a while."""
        for descriptor, _ in self._poll.poll(self._wait_ms()):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
        if self._stopped.is_set():
            return
        with self._guard:
            events, size = self._kernel.read()
            if events:
                self._branches.absorb(events)
            idle = self._branches.work(time.monotonic() + SLICE_S)
            hand_on()
        if idle and size < LITTLE_BYTES:
            self._stopped.wait(PACE_S)

    def _wait_ms(self) -> int | None:
        with self._guard:
            wait_s = self._branches.wait_s(time.monotonic())
        if self.batch:
            wait_s = HANDING_S if wait_s is None else min(wait_s, HANDING_S)
        return None if wait_s is None else int(wait_s * 1000) + (wait_s > 0)

    def stop(self) -> None:
        """End the wait."""
        self._stopped.set()
        self._wake_up()

    def _wake_up(self) -> None:
        with self._guard:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def release(self) -> None:
        """Close the kernel's instance, with all its watches."""
        with self._guard:
            self._kernel.close()
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1

    # ── Asked by `watch` from another thread ───────────────────────────────────────────────────────────────────

    @property
    def lost(self) -> str:
        """In words, when the root's own watch is gone."""
        return self._branches.lost

    @property
    def shortage(self) -> Shortage:
        """Why folders are not watched."""
        return self._branches.shortage

    @property
    def unwatched_count(self) -> int:
        """How many folders are not watched."""
        return self._branches.unwatched_count

    def unwatched(self) -> tuple[str, ...]:
        """The folders that are not watched."""
        with self._guard:
            return self._branches.unwatched()

    def retry(self) -> None:
        """Try again to watch what is not watched."""
        with self._guard:
            self._branches.retry()
        self._wake_up()

    def resync(self, reason: str) -> None:
        """Look through the whole tree again for folders to watch, and report the root."""
        with self._guard:
            self._branches.resync(reason)
        self._wake_up()


class PollSource:
    """Looks at folders, over and over.

    Args:
        root: absolute path.
        descend: whether what is in a folder (relative path) can matter.
        every_s: time between two looks, at least; twenty times as long as a look takes, at least.
        tops: the folders to look at, asked before every look; None: the whole root.
        reason: told with the first report of the root.
    """

    def __init__(
        self,
        root: str,
        descend: Callable[[str], bool],
        every_s: float,
        *,
        tops: Callable[[], Collection[str]] | None = None,
        reason: str = "",
    ) -> None:
        self.name = f"poll {root}"
        self.batch = Batch()
        self._tops = tops
        self._reason = reason
        self._every_s = every_s
        self._rest_s = 0.0
        self._stopped = threading.Event()
        self._poller = Poller(root, descend, self.batch, self._stopped.is_set)

    def prepare(self) -> None:
        """Remember how the whole tree is now, so that whatever comes after the first report differs from it.

        Where only some folders are looked at, the first look reports each of them instead: they were listed before.
        """
        if self._tops is None:
            self._look(report=False)
            self.batch.add_deep("", self._reason)

    def turn(self, hand_on: Callable[[], None]) -> None:
        """Hand on, rest, look."""
        until = time.monotonic() + self._rest_s
        hand_on()
        while (left_s := until - time.monotonic()) > 0:
            if self._stopped.wait(min(left_s, HANDING_S) if self.batch else left_s):
                return
            hand_on()
        self._look(report=True)

    def stop(self) -> None:
        """End the rest or the look."""
        self._stopped.set()

    def release(self) -> None:
        """Nothing is held."""

    def _look(self, *, report: bool) -> None:
        began = time.monotonic()
        self._poller.look(("",) if self._tops is None else self._tops(), report=report)
        self._rest_s = max(self._every_s, LOOK_SHARE * (time.monotonic() - began))
