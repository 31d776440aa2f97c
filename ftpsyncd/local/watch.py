"""Notices that something below a root may have changed, and that noticing itself broke down.

Comes in: a root. Goes out: `Changes`, through a callback, and a `WatchReport` when asked. Called by `disk.DiskThread`.
What changes is read by `sources`, in the threads of `observing`; which of them a root takes, and when they are started
again, is decided here.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.local import inotify, limits, mounts, tree
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.observing import Observation, observe, observe_foreign
from ftpsyncd.local.sources import InotifySource, PollSource, Source
from ftpsyncd.model import RootIdentity
from ftpsyncd.specs import WatchMode

RETRY_S = 60.0
"""How often it is tried again to get what the kernel was short of."""

_NO_INSTANCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSYS})


class _Root(NamedTuple):
    """Which folder a root is at this moment, closer than RootIdentity: also its mount."""

    identity: RootIdentity
    mount_id: int | None
    numbered: RootIdentity | None


class RootWatcher:
    """Watches one root by the best means there are, and replaces what dies.

    Args:
        root: the mapping's folder; need not exist.
        mode: AUTO watches natively except on network file systems, which inotify(7) cannot see into.
        poll_every_s: time between two looks where polling is used; stretched to 20 times the time of a look.
        descend: whether what is in a folder (relative path) can matter; called from several threads.
        deliver: receives changes on a thread of the watcher's; must be thread-safe and quick. If it raises, watching
            is started again at the next check.
        name: of the mapping, for the names of threads.
        open_kernel: makes an inotify instance; another one in tests.
    """

    def __init__(
        self,
        root: Path,
        *,
        mode: WatchMode,
        poll_every_s: float,
        descend: Callable[[str], bool],
        deliver: Callable[[Changes], None],
        name: str = "",
        open_kernel: Callable[[], inotify.Kernel] = inotify.Inotify,
    ) -> None:
        self._root = root
        self._path = os.path.abspath(root)  # noqa: PTH100 - Path.absolute keeps "..", watchdog does not
        self._mode = mode
        self._poll_every_s = poll_every_s
        self._descend = descend
        self._deliver = deliver
        self._name = name or self._path
        self._open_kernel = open_kernel
        self._using = threading.RLock()
        self._stopped = threading.Event()
        self._sources: list[Source] = []
        self._main: Observation | None = None
        self._filling: Observation | None = None
        """The poller for what the kernel cannot watch."""
        self._native: InotifySource | None = None
        self._seen: _Root | None = None
        self._table: Sequence[mounts.Mount] = ()
        self._mounts: frozenset[mounts.Mount] = frozenset()
        """Those inside the root."""
        self._short = ""
        """In words, when there was no inotify instance to be had."""
        self._problem = ""
        self._retry_at = 0.0

    def start(self) -> WatchReport:
        """Begin to watch; when it returns, whatever changes from now on will be delivered.

        Then ``Changes(deep={""})`` is delivered: what was before. A missing root is no error: `check` picks it up
        when it appears.

        Raises:
            ThreadLimitError: the system allows no further thread.
        """
        with self._using:
            if not self._stopped.is_set() and self._main is None:
                self._open("")
            return self._report()

    def check(self) -> WatchReport:
        """See to it that watching works: the root is the same folder on the same mount, all threads live.

        What died or changed is started again, which delivers ``Changes(deep={""})`` with the reason. To be called
        every few seconds; takes well below a millisecond unless the disk hangs.

        Raises:
            ThreadLimitError: the system allows no further thread; what watches goes on.
        """
        with self._using:
            if self._stopped.is_set():
                return self._report()
            seen = self._look()
            if seen != self._seen or (seen is not None and self._trouble()):
                self._replace(seen)
            elif self._native is not None:
                self._tend(self._native)
            return self._report()

    def stop(self) -> None:
        """End all threads and close all descriptors; nothing is delivered afterwards. Idempotent."""
        self._stopped.set()
        for source in list(self._sources):
            source.stop()  # without the lock: a start that is under way ends early
        with self._using:
            self._close()

    # ── Starting and replacing ─────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> _Root | None:
        identity = tree.root_identity(self._root)
        if identity is None:
            return None
        mount = mounts.mount_id(self._root)
        if mount is None and self._seen is not None and self._seen.identity == identity:
            # It cannot be told now, as where no descriptor is left: that makes it no other folder.
            mount = self._seen.mount_id
        return _Root(identity, mount, tree.numbered_identity(self._root))

    def _trouble(self) -> str:
        """Why watching has to be started again although the root is the same; empty if it has not."""
        if self._main is None:
            return "watching did not start"
        if self._native is not None and self._native.lost:
            return self._native.lost
        if self._short and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            if self._instance_to_be_had():
                return "inotify can be used again"
        return self._main.trouble() or (self._filling.trouble() if self._filling else "")

    def _replace(self, seen: _Root | None) -> None:
        if self._seen is None:
            reason = "" if seen != self._seen else self._trouble()
        elif seen is None:
            reason = tree.why_missing(self._root)
        elif seen != self._seen:
            reason = f"the folder {self._root} is another one than before"
        else:
            reason = self._trouble()
        self._close()
        if seen is None:
            self._seen = None
            self._problem = tree.why_missing(self._root)
            self._deliver(Changes(frozenset(), frozenset({""}), reason))
        else:
            self._open(reason)

    def _open(self, reason: str) -> None:
        self._problem = self._short = ""
        self._seen = self._look()
        if self._seen is None:
            self._problem = tree.why_missing(self._root)
            return
        try:
            self._main = self._open_main(reason)
        except OSError as error:
            # Gone between the look and the watch, or the disk fails: the next check tries again.
            self._problem = f"the folder {self._root} cannot be watched: {error.strerror}"
            return
        if self._native is not None:
            self._table = mounts.current(anew=True)
            self._mounts = mounts.below(self._root, self._table)
            self._retry_at = time.monotonic() + RETRY_S
            self._fill_gaps(self._native)

    def _open_main(self, reason: str) -> Observation:
        if self._mode is WatchMode.NATIVE or (
            self._mode is WatchMode.AUTO and not mounts.is_network_filesystem(self._root)
        ):
            if sys.platform != "linux":
                return self._open_foreign()
            try:
                self._native = InotifySource(self._path, self._descend, self._open_kernel, reason)
                return self._run(self._native)
            except OSError as error:
                self._native = None
                if error.errno not in _NO_INSTANCE:
                    raise
                self._short = limits.words_for_instances(self._poll_every_s)
                self._retry_at = time.monotonic() + RETRY_S
        return self._run(PollSource(self._path, self._descend, self._poll_every_s, reason=reason))

    def _run(self, source: Source) -> Observation:
        self._sources.append(source)
        try:
            return observe(source, self._path, self._hand, self._name)
        except BaseException:
            self._sources.remove(source)
            raise

    def _open_foreign(self) -> Observation:
        running = observe_foreign(self._path, self._hand)
        self._hand(Changes(frozenset(), frozenset({""})))
        return running

    def _hand(self, changes: Changes) -> None:
        if not self._stopped.is_set():
            self._deliver(changes)

    def _close(self) -> None:
        for running in (self._filling, self._main):
            if running is not None:
                running.stop()
        self._main = self._filling = self._native = None
        self._sources.clear()

    # ── Keeping it well ────────────────────────────────────────────────────────────────────────────────────────

    def _tend(self, native: InotifySource) -> None:
        table = mounts.current(anew=True)
        mounted = mounts.below(self._root, table)
        if mounted != self._mounts or (mounted and table is not self._table):
            # A mount that comes causes no event, and covers folders whose watches see nothing from then on. One that
            # went a moment ago may look the same.
            native.resync("something was mounted or unmounted inside the folder")
        self._table, self._mounts = table, mounted
        if native.unwatched_count and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            native.retry()
        self._fill_gaps(native)

    def _fill_gaps(self, native: InotifySource) -> None:
        wanted = bool(native.unwatched_count or self._unseen())
        if wanted and self._filling is None:
            self._filling = self._run(
                PollSource(
                    self._path,
                    self._descend,
                    self._poll_every_s,
                    tops=lambda: (*native.unwatched(), *self._unseen()),
                )
            )
        elif not wanted and self._filling is not None:
            self._filling.stop()
            self._filling = None

    def _unseen(self) -> tuple[str, ...]:
        """Network file systems mounted inside the root: watched, but inotify does not see what others do there."""
        if self._mode is WatchMode.NATIVE:
            return ()
        return tuple(mount.point for mount in self._mounts if mounts.is_network_type(mount.filesystem))

    def _instance_to_be_had(self) -> bool:
        try:
            self._open_kernel().close()
        except OSError:
            return False
        return True

    def _report(self) -> WatchReport:
        if self._main is None:
            return WatchReport("none", None, self._problem)
        kind, problem, shortage = "native", self._short, limits.Shortage.INSTANCES if self._short else None
        if self._native is None:
            kind = "poll" if isinstance(self._main.source, PollSource) else "native"
        elif self._filling is not None:
            kind = "native+poll"
            if count := self._native.unwatched_count:
                shortage = self._native.shortage
                problem = limits.words(shortage, count, self._poll_every_s)
        if self._seen is None:
            return WatchReport(kind, None, problem)
        return WatchReport(kind, self._seen.identity, problem, self._seen.numbered, shortage)
