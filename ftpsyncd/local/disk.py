"""One thread per mapping for everything that waits on its disk, so that a hung disk blocks nobody else.

Comes in: requests from the engine, none of which waits. Goes out: `Listing` and `WatchReport`, through one callback;
`NoDescriptorError` where nothing can be opened now, and the answer when it can; what else this machine lacks to watch.
A mount that does not answer holds up this thread only; requests for it merge while it hangs. Who asks in between and
waits (`why`) has a thread of its own (`patience.Glances`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ftpsyncd import lacking
from ftpsyncd.errors import FtpsyncdError, NoDescriptorError, ThreadLimitError
from ftpsyncd.local.changes import WatchReport
from ftpsyncd.local.scan import Scanner
from ftpsyncd.model import Listing, Presence
from ftpsyncd.patience import ANSWER_S

Delivery = Listing | WatchReport | Exception
"""NoDescriptorError: nothing can be opened for a while. Another one of this machine (`Retry.MACHINE`): it cannot be
watched, or checked, for the moment. Any other: the thread has ended of it."""

STILL_S = 15.0
"""A look that has been in one system call for so long, of a disk that has not told anything for longer, hangs."""
TOGETHER_S = 0.005
"""Listings of directories that follow one another within this time are delivered together."""
PROBES_IN_A_ROW = 8
"""After so many probes a listing that waits has its turn, however many more there are."""
AGAIN_S = 1.0
"""After which it is tried again to open something."""
STOP_WAIT_S = 5.0
"""How long `stop` waits for a disk that does not answer."""


class Watcher(Protocol):
    """What notices changes (`watch.RootWatcher`; a `sync` needs none)."""

    def start(self) -> WatchReport:
        """Begin, and deliver that everything may differ."""

    def check(self) -> WatchReport:
        """Report health and root."""

    def stop(self) -> None:
        """End; idempotent."""


class DiskThread(threading.Thread):
    """Runs one mapping's listings, probes and watch checks, one at a time.

    Args:
        name: of the mapping.
        scanner: does the looking.
        watcher: started, checked and stopped on this thread: its start may wait on a hung mount.
        deliver: called on this thread with each answer; must be thread-safe and quick. A Listing carries what was
            asked (``directory``, ``names``), so answers need no numbers.

    Requests that wait merge: one listing per directory, one probe per directory with all names asked for, one check.
    A probe goes before a listing (it is short, and a finished file waits for it), a check before both; but a listing
    waits for `PROBES_IN_A_ROW` probes at most.
    """

    def __init__(self, name: str, scanner: Scanner, watcher: Watcher, deliver: Callable[[Delivery], None]) -> None:
        super().__init__(name=f"disk {name}", daemon=True)
        self._scanner = scanner
        self._watcher = watcher
        self._deliver = deliver
        self._asked = threading.Condition()
        self._probes: dict[str, set[str]] = {}
        self._listings: dict[str, None] = {}
        self._check = False
        self._probed = 0
        """How many probes have gone before a listing."""
        self._seen: list[Listing] = []
        """What is delivered together with what follows."""
        self._seen_at = 0.0
        """When the first of that was seen."""
        self._stopping = False
        self.begun = False
        """Watching has begun, or it is known why it has not."""
        self._question: threading.Thread | None = None
        self._asked_at = 0.0
        self._working = True
        """It is looking at the disk, and does not wait to be asked."""
        self._switches = 0
        """Of the kernel, from and to this thread."""
        self._moved_at = 0.0
        """When that number was seen to have grown."""

    def list_dir(self, directory: str) -> None:
        """Ask for the whole of a directory."""
        with self._asked:
            self._listings[directory] = None
            self._asked.notify()

    def probe(self, directory: str, names: Collection[str]) -> None:
        """Ask for some names of a directory, and whether they are being written."""
        with self._asked:
            self._probes.setdefault(directory, set()).update(names)
            self._asked.notify()

    def check(self) -> None:
        """Ask for the watcher's health and the root's identity; answers with a WatchReport."""
        with self._asked:
            self._check = True
            self._asked.notify()

    def answers(self) -> bool:
        """Whether the disk answers, as far as is known; does not wait: ask again later.

        To begin to watch a large tree takes its time also at a disk that does. A disk that is mounted further down may
        not answer where the root does: then the thread stands still.
        """
        with self._asked:
            # By the engine, and by whoever waits for the start.
            if self._working and self._stands_still(time.monotonic()):
                return False
            if self._question is None or not self._question.is_alive():
                self._asked_at = time.monotonic()
                self._question = threading.Thread(target=self._look_at_root, name=f"{self.name}, asked", daemon=True)
                # Where the system allows no thread now, it is asked the next time.
                with suppress(RuntimeError):
                    self._question.start()
            return time.monotonic() - self._asked_at < ANSWER_S

    def _stands_still(self, now: float) -> bool:
        switches = 0 if self.native_id is None else _switches(self.native_id)
        if switches != self._switches or not self._moved_at:
            self._switches, self._moved_at = switches, now
        return now - self._moved_at >= STILL_S

    def _look_at_root(self) -> None:
        with suppress(OSError, NoDescriptorError):
            self._scanner.root_identity()

    def stop(self, timeout_s: float = STOP_WAIT_S) -> bool:
        """Stop the watcher and the thread; what was asked and not begun is dropped. Idempotent.

        Returns:
            Whether the thread has ended; False if the disk did not answer in ``timeout_s`` seconds. The thread then
            ends by itself when the disk does, and never keeps the process from ending.
        """
        with self._asked:
            self._stopping = True
            self._asked.notify()
        if self.is_alive() and self is not threading.current_thread():
            self.join(timeout_s)
        return not self.is_alive()

    def run(self) -> None:
        """Start the watcher, then answer until stopped."""
        try:
            self._report(self._watcher.start)
            self.begun = True
            while (request := self._next()) is not None:
                request()
        except Exception as error:  # a fault of ours, or no memory: what was asked would be awaited for ever
            self._deliver(error)
        finally:
            self._watcher.stop()

    def _next(self) -> Callable[[], None] | None:
        """The most urgent request, waiting for one; None when stopping."""
        with self._asked:
            self._working, self._moved_at = False, 0.0
            self._asked.wait_for(lambda: self._stopping or self._check or self._probes or self._listings)
            self._working = True
            if self._stopping:
                return None
            if self._check:
                self._check = False
                return lambda: self._report(self._watcher.check)
            if self._probes and not (self._listings and self._probed >= PROBES_IN_A_ROW):
                self._probed += bool(self._listings)
                directory = next(iter(self._probes))
                names = frozenset(self._probes.pop(directory))
                return lambda: self._list(directory, names)
            self._probed = 0
            directory = next(iter(self._listings))
            del self._listings[directory]
            return lambda: self._list(directory, None)

    def _list(self, directory: str, names: frozenset[str] | None) -> None:
        try:
            listing = self._scanner.list_dir(directory) if names is None else self._scanner.probe(directory, names)
        except NoDescriptorError as error:
            self._put_off(error)
            if names is None:
                self.list_dir(directory)
            else:
                self.probe(directory, names)
            return
        except Exception as error:  # a fault of ours must not end the thread: the engine would wait for ever
            words = f"looking at {directory!r} failed: {type(error).__name__}: {error}"
            listing = Listing(directory, Presence.UNREADABLE, {}, names, problem=words, taken_wall_ns=time.time_ns())
        self._tell(listing)

    def _tell(self, listing: Listing) -> None:
        """Deliver a listing: of a whole directory together with those that follow right behind it.

        Who takes them would else go through each while this thread looks for the next, and the two wait for the
        interpreter's lock at every file: on two CPUs that costs half as much again as the work itself.
        """
        now = time.monotonic()
        if not self._seen:
            self._seen_at = now
        self._seen.append(listing)
        with self._asked:
            more = bool(self._listings) and not (self._stopping or self._check or self._probes)
        if listing.names is not None or not more or now - self._seen_at >= TOGETHER_S:
            self._deliver_seen()

    def _deliver_seen(self) -> None:
        seen, self._seen = self._seen, []
        for listing in seen:
            self._deliver(listing)

    def _put_off(self, error: NoDescriptorError) -> None:
        """Nothing can be opened now: say so, and let some time pass before it is tried again."""
        self._deliver_seen()
        self._deliver(error)
        with self._asked:
            self._asked.wait_for(lambda: self._stopping, AGAIN_S)

    def _report(self, ask: Callable[[], WatchReport]) -> None:
        # What was seen before is told before.
        self._deliver_seen()
        try:
            report = ask()
        except NoDescriptorError as error:
            self._put_off(error)
            self.check()
            return
        except Exception as error:  # as above; the next check tries again
            if (lack := _lack_behind(error)) is not None:
                self._deliver(lack)
                return
            report = WatchReport("none", None, f"watching failed: {type(error).__name__}: {error}")
        self._deliver(report)


def _lack_behind(error: Exception) -> FtpsyncdError | None:
    """What this machine lacked where that led to an error; None if it is another one."""
    return error if isinstance(error, ThreadLimitError) else lacking.behind(error)


def _switches(thread: int) -> int:
    """How often the kernel has let another thread run instead of this one: a thread that hangs is never switched to.

    The kernel finds hung tasks in the same way; the numbers are in /proc/PID/task/TID/status (proc(5)).
    """
    try:
        lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    except OSError:
        # It is just ending.
        return 0
    return sum(int(line.rpartition("\t")[2]) for line in lines if "_ctxt_switches:" in line)
