"""The threads that read what changed below a root, and hand it on. Only import of watchdog.

Comes in: a source (`sources`), or a path on systems without inotify. Goes out: `Changes`, through a callback on a
thread of its own, and why that cannot be relied upon any more. Used by `watch.RootWatcher`.

The threads, the queue and their orderly end are watchdog's (its extension point: ``BaseObserver(emitter_class)``);
the reading is ours, because watchdog's own reader loses most of a burst and falls into a livelock after it. One event
here carries a whole batch of paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventEmitter, EventQueue, ObservedWatch

from ftpsyncd.local.changes import Changes
from ftpsyncd.local.sources import Source
from ftpsyncd.paths import parent
from ftpsyncd.threads import limit_reached


class _Batched(FileSystemEvent):
    """A whole batch of changes as one event of watchdog's; equal only to itself, so the queue never merges two."""

    def __init__(self, changes: Changes) -> None:
        super().__init__("")
        self.changes = changes

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _Emitter(EventEmitter):
    """Watchdog's reading thread around one of our sources."""

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        timeout: float,
        event_filter: list[type[FileSystemEvent]] | None = None,
        source: Source,
    ) -> None:
        super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter)
        self.name = source.name
        self.source = source
        self.failure = ""

    def on_thread_start(self) -> None:
        self.source.prepare()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # ends this thread: check() finds it dead, tells why, and starts another
            self.failure = f"the watching thread ended ({type(error).__name__}: {error})"

    def queue_events(self, timeout: float) -> None:  # noqa: ARG002 - a source knows itself how long to wait
        self.source.turn(self._hand_on)

    def _hand_on(self) -> None:
        """Queue what was collected, unless the receiver still has the last batch: then let it grow, bounded."""
        if self.source.batch and self._event_queue.empty():
            self.queue_event(_Batched(self.source.batch.take()))

    def on_thread_stop(self) -> None:
        self.source.stop()


class _Receiver(FileSystemEventHandler):
    """Hands batches on, and remembers when that failed: those changes are lost until the next check."""

    def __init__(self, root: str, deliver: Callable[[Changes], None]) -> None:
        self._prefix = root.rstrip("/") + "/"
        self._deliver = deliver
        self.failure = ""

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._deliver(event.changes if isinstance(event, _Batched) else self._translated(event))
        except Exception as error:  # would end watchdog's thread with a traceback; check() starts anew and tells why
            self.failure = f"changes could not be handed on ({type(error).__name__}: {error})"

    def _translated(self, event: FileSystemEvent) -> Changes:
        """An event of watchdog's own emitters, used where there is no inotify."""
        both = (os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
        paths = frozenset(path.removeprefix(self._prefix) for path in both if path.startswith(self._prefix))
        folders = frozenset(parent(path) for path in paths)
        return Changes(paths, paths if event.is_directory else frozenset(), folders=folders)


class Observation(NamedTuple):
    """The threads around one source, and what they tell of themselves."""

    observer: BaseObserver
    receiver: _Receiver
    source: Source | None
    """None for watchdog's own emitters."""

    def trouble(self) -> str:
        """Why this cannot be relied upon any more; empty if it can."""
        if self.receiver.failure:
            return self.receiver.failure
        emitters = list(self.observer.emitters)
        failures = [emitter.failure for emitter in emitters if isinstance(emitter, _Emitter) and emitter.failure]
        if failures:
            return failures[0]
        if not emitters or not all(thread.is_alive() for thread in (self.observer, *emitters)):
            return "a watching thread ended"
        return ""

    def stop(self) -> None:
        """End its threads and give back its descriptors."""
        self.observer.stop()
        if self.observer.ident is not None:
            self.observer.join()
        if self.source is not None:
            self.source.release()


def observe(source: Source, path: str, deliver: Callable[[Changes], None], name: str) -> Observation:
    """Start the threads around a source; when it returns, whatever changes from now on will be delivered.

    Args:
        source: what reads.
        path: the root, absolute.
        deliver: receives changes on a thread of its own; if it raises, that is a trouble of the observation.
        name: of what is watched, for the name of that thread.

    Raises:
        OSError: the source cannot begin.
        ThreadLimitError: the system allows no further thread.
    """
    observer = BaseObserver(_Emitter, source=source)
    observer.name = f"deliver {name}"
    receiver = _Receiver(path, deliver)
    observer.schedule(receiver, path, recursive=True)
    running = Observation(observer, receiver, source)
    try:
        observer.start()
    except RuntimeError as error:
        running.stop()
        raise limit_reached() from error
    except BaseException:
        running.stop()
        raise
    return running


def observe_foreign(path: str, deliver: Callable[[Changes], None]) -> Observation:
    """Watchdog's own emitters, on systems without inotify; arguments as of `observe`."""
    from watchdog.observers import Observer  # noqa: PLC0415 - loads what only other systems need

    observer = Observer()
    receiver = _Receiver(path, deliver)
    observer.schedule(receiver, path, recursive=True)
    observer.start()
    return Observation(observer, receiver, None)
