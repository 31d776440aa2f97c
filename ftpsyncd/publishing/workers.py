"""One worker of a crew as the others see it: what it has taken, when it last did something, and how to do without it.

In: what the worker does, on its own thread. Out: whether it hangs, and what it leaves behind when it is given up. A
thread that waits for a disk which does not answer cannot be ended; it can be left alone with its connection cut, so
that another one does the rest. When the disk answers after all, it finds that out and ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ftpsyncd.actions import Action
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.remote.port import RemoteSession

_WAITS_FOR_FUSE = "request_wait_answer"
"""Where in the kernel a thread sleeps that asked the program of a file system in user space."""


class Worker:
    """One thread and what it is at.

    Args:
        run: what the thread does; is handed this worker.
        name: of the thread.
    """

    def __init__(self, run: Callable[[Worker], None], name: str) -> None:
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)
        self.given_up = False
        self.progress: Progress | None = None
        """The file on its way."""
        self._lock = threading.Lock()
        self._taken: deque[Action] = deque()
        self._session: RemoteSession | None = None
        self._at_work_since = 0.0
        """When it last did something, in monotonic seconds; 0.0 while it has nothing to do."""
        self._sent_bytes = 0

    def __repr__(self) -> str:
        state = "given up" if self.given_up else "at work" if self._at_work_since else "idle"
        return f"<Worker {self.thread.name} {state} taken={len(self._taken)}>"

    # ── on its own thread ────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It has something to do for as long as the block lasts."""
        self.sign()
        try:
            yield
        finally:
            with self._lock:
                self._at_work_since, self._session = 0.0, None

    def sign(self) -> None:
        """It does something."""
        self._at_work_since = time.monotonic()

    def uses(self, session: RemoteSession) -> None:
        """It works at this connection from now on."""
        self._session = session

    def takes(self, action: Action) -> bool:
        """It is to perform this; False if it was given up meanwhile, and somebody else has to."""
        with self._lock:
            if not self.given_up:
                self._taken.append(action)
            return not self.given_up

    def leaves(self, action: Action) -> bool:
        """It is done with this, and says what came of it; False if it was given up, and that has been said."""
        with self._lock:
            if action in self._taken:
                self._taken.remove(action)
            return not self.given_up

    def leaves_all(self) -> list[Action]:
        """It is done with all that it has taken, and says what came of it."""
        with self._lock:
            taken, self._taken = list(self._taken), deque()
            return taken

    def show(self, progress: Progress | None) -> None:
        """A file is on its way, or none."""
        self.progress = progress

    # ── on other threads ─────────────────────────────────────────────────────────────────────────────────────

    def is_at_work(self) -> bool:
        """Whether it has something to do."""
        return self._at_work_since > 0.0

    def hangs(self, now: float, for_s: float) -> bool:
        """Whether it has something to do, and has shown no sign of doing it for so long."""
        progress = self.progress
        sent = 0 if progress is None else progress.sent_bytes
        with self._lock:
            if sent != self._sent_bytes and self._at_work_since:
                self._at_work_since, self._sent_bytes = now, sent
            return self._at_work_since > 0.0 and now - self._at_work_since > for_s

    def has_taken(self) -> bool:
        """Whether it has taken anything that it has not answered."""
        with self._lock:
            return bool(self._taken)

    def works_for(self, mapping: str) -> bool:
        """Whether it has taken anything of a mapping."""
        with self._lock:
            return any(action.mapping == mapping for action in self._taken)

    def waits_for_disk(self) -> bool:
        """Whether the kernel lets it wait for a disk (proc(5)).

        A thread sleeps uninterruptibly (state D) for nothing but a disk; with NFS, too, though it can be killed there.
        If the disk is a program (a file system in user space), it sleeps interruptibly, in `request_wait_answer`
        (Linux, fs/fuse/dev.c).
        """
        task = Path(f"/proc/self/task/{self.thread.native_id}")
        try:
            if (task / "stat").read_text().rpartition(")")[2].split()[:1] == ["D"]:
                return True
            # "0" where the kernel does not tell.
            return (task / "wchan").read_text() == _WAITS_FOR_FUSE
        except OSError:
            return False

    def give_up(self) -> tuple[RemoteSession | None, list[Action]]:
        """Reckon with it no more: whatever it does from now on counts for nothing.

        Returns:
            The connection that it used, for somebody to cut, and what it has taken and not answered.
        """
        with self._lock:
            self.given_up, self.progress = True, None
            taken, self._taken = list(self._taken), deque()
            return self._session, taken
