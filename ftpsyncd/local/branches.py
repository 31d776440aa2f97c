"""Which watch descriptor is which folder: the table behind inotify, kept right through moves, losses and races.

Comes in: events of the kernel. Goes out: paths, into a `Batch`. Called by `sources` from one thread.

Folders are nodes with a pointer to their parent, so a renamed folder costs one pointer, however much is below it.
The rule that closes all races: a new, moved or doubtful folder is first watched and read, recursively, and only then
reported with everything below it. This goes in slices between reads of the kernel queue, so that the queue is drained
while a large tree is being entered, and an overflow can never feed itself: watches are added, never all renewed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable

from ftpsyncd import lacking
from ftpsyncd.local import inotify
from ftpsyncd.local.changes import Batch
from ftpsyncd.local.inotify import Kernel
from ftpsyncd.local.limits import Shortage
from ftpsyncd.paths import join

# MODIFY is needed for truncate(2), which closes nothing; ATTRIB for utime and for a chmod that makes a file readable.
# No OPEN, no ACCESS, no CLOSE_NOWRITE: what we read ourselves causes no event.
_MASK = (
    inotify.IN_CLOSE_WRITE
    | inotify.IN_MODIFY
    | inotify.IN_ATTRIB
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_ONLYDIR
    | inotify.IN_EXCL_UNLINK
)
_BRANCH_MASK = _MASK | inotify.IN_DONT_FOLLOW
_ROOT_MASK = _MASK | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF

_SPECIAL = inotify.IN_ISDIR | inotify.IN_IGNORED | inotify.IN_UNMOUNT | inotify.IN_Q_OVERFLOW
_SELF = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF

OVERFLOWED = "the kernel's event queue overflowed"

PAIRING_S = 0.5
"""How long a folder that was moved away may come back under another name with its watches. Reports do not wait."""

RESYNC_PAUSE_S = 1.0
"""Between two rounds after overflows, at least; and ten times as long as the last one took."""

RETRIED = 100
"""So many unwatched folders are tried for one that can be watched; each costs a system call."""

_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_EXHAUSTED = frozenset({errno.ENOSPC, errno.ENOMEM})


class _Node:
    """One folder."""

    __slots__ = ("children", "name", "parent", "wd")

    def __init__(self, name: str, parent: _Node | None) -> None:
        self.name = name
        self.parent = parent
        self.children: dict[str, _Node] = {}
        self.wd = -1
        """-1: not watched."""


class _Round:
    """A folder that is being entered: reported when nothing of it is left to do."""

    __slots__ = ("left", "reason", "top")

    def __init__(self, top: _Node, reason: str) -> None:
        self.top = top
        self.reason = reason
        self.left = 1


class Branches:
    """The watched folders below one root.

    Args:
        root: absolute path of the root.
        kernel: the inotify instance.
        descend: whether what is in a folder (relative path) can matter; excluded folders are not watched.
        batch: receives what may have changed.
    """

    def __init__(self, root: str, kernel: Kernel, descend: Callable[[str], bool], batch: Batch) -> None:
        self._root_path = root
        self._kernel = kernel
        self._descend = descend
        self._batch = batch
        self._root = _Node("", None)
        self._by_wd: dict[int, _Node] = {}
        self._names: dict[int, set[bytes]] = {}
        self._entering: deque[tuple[_Round, _Node]] = deque()
        self._leaving: deque[_Node] = deque()
        self._moved: dict[int, tuple[_Node, float]] = {}
        self._unwatched: set[_Node] = set()
        self._resync_from: float | None = None
        self._resync_reason = ""
        self._resync_round: _Round | None = None
        self._resync_began = 0.0
        self._resync_allowed = 0.0
        self.lost = ""
        """In words, once the root's own watch is gone; the table is then of no more use."""
        self.shortage = Shortage.REFUSED
        """Why folders are not watched, as far as it was seen last."""

    # ── What the emitter asks ──────────────────────────────────────────────────────────────────────────────────

    def enter_root(self, reason: str) -> None:
        """Watch the root itself and queue everything below it; reported with ``reason`` when that is done.

        Raises:
            OSError: the root cannot be watched at all (absent, not a directory, unreadable); a lack of watches is
                no error here: the root is then among `unwatched`.
        """
        try:
            self._root.wd = self._kernel.add(self._root_path, _ROOT_MASK)
            self._by_wd[self._root.wd] = self._root
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
        self._enter(self._root, reason)

    def unwatched(self) -> tuple[str, ...]:
        """The folders that the kernel did not take a watch for, as relative paths."""
        return tuple(path for node in self._unwatched if (path := self._path(node)) is not None)

    @property
    def unwatched_count(self) -> int:
        """How many folders are not watched; cheap."""
        return len(self._unwatched)

    def wait_s(self, now: float) -> float | None:
        """How long there is nothing to do without new events; None: for ever."""
        if self._entering or self._leaving:
            return 0.0
        due = [at + PAIRING_S for _, at in self._moved.values()]
        if self._resync_from is not None:
            due.append(self._resync_from)
        return max(0.0, min(due) - now) if due else None

    def retry(self) -> None:
        """Try again to watch what is not watched, if the kernel takes one of the first few now."""
        self.shortage = Shortage.REFUSED
        for node in list(self._unwatched)[:RETRIED]:
            path = self._path(node)
            if path is not None and self._watch(node, self._absolute(path)) and node not in self._unwatched:
                for other in [node, *self._unwatched]:
                    self._enter(other)
                return

    def resync(self, reason: str) -> None:
        """Enter everything again, without giving up any watch, and report the root with ``reason``."""
        if self._resync_from is None:
            self._resync_from = self._resync_allowed
            self._resync_reason = reason

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────────

    def absorb(self, events: list[tuple[int, int, int, bytes]]) -> None:
        """Take in events in the kernel's order; the batch has their paths afterwards."""
        names = self._names
        for wd, mask, cookie, name in events:
            if mask & _SPECIAL or not name:
                self._special(wd, mask, cookie, name)
            elif wd in names:
                names[wd].add(name)
            else:
                names[wd] = {name}
        # Names are turned into paths at the end: a folder that moved meanwhile was reported under its old path
        # by its parent, and is reported under the new one when it has been entered.
        for wd, found in names.items():
            node = self._by_wd.get(wd)
            path = self._path(node) if node is not None else None
            if path is not None:
                self._batch.add_names(path, map(os.fsdecode, found))
        names.clear()

    def _special(self, wd: int, mask: int, cookie: int, name: bytes) -> None:
        if mask & inotify.IN_Q_OVERFLOW:
            self.resync(OVERFLOWED)
            return
        node = self._by_wd.get(wd)
        if node is None:
            return
        if mask & (inotify.IN_IGNORED | inotify.IN_UNMOUNT):
            self._watch_ended(node, wd, mask)
        elif name:
            self._names.setdefault(wd, set()).add(name)
            self._folder_changed(node, os.fsdecode(name), mask, cookie)
        elif node is self._root and mask & _SELF:
            self._root_lost("was moved away" if mask & inotify.IN_MOVE_SELF else "was deleted")
        elif (path := self._path(node)) is not None:
            self._batch.add(path)

    def _watch_ended(self, node: _Node, wd: int, mask: int) -> None:
        if node is self._root:
            self._root_lost("was unmounted" if mask & inotify.IN_UNMOUNT else "was deleted")
        if mask & inotify.IN_IGNORED:
            del self._by_wd[wd]
            node.wd = -1
            # Deleted: its parent tells, or has told; entering it finds nothing. Unmounted: what was covered appears.
            if node is not self._root and self._path(node) is not None:
                self._enter(node)

    def _root_lost(self, how: str) -> None:
        if not self.lost:
            self.lost = f"the folder {how}"
            self._batch.add_deep("", self.lost)

    def _folder_changed(self, node: _Node, name: str, mask: int, cookie: int) -> None:
        if mask & inotify.IN_MOVED_FROM:
            child = node.children.pop(name, None)
            if child is not None:
                child.parent = None
                self._moved[cookie] = (child, time.monotonic())
            self._left(node, name)
        elif mask & inotify.IN_DELETE:
            self._leave(node.children.pop(name, None))
        elif mask & inotify.IN_MOVED_TO:
            came, _ = self._moved.pop(cookie, (None, 0.0))
            self._appeared(node, name, came)
        elif mask & inotify.IN_CREATE:
            self._appeared(node, name, None)
        elif (child := node.children.get(name)) in self._unwatched and child is not None:
            self._enter(child)  # a chmod may have made it readable

    def _left(self, parent: _Node, name: str) -> None:
        """A folder left this name; if there is one all the same, it need not be told of by any further event.

        Of two that change places (renameat2(2), RENAME_EXCHANGE) the kernel says that A was moved to B, and then that B
        was moved to A: the last that is heard of the name B is that it was left. A file system that does not tell upper
        from lower case finds under this name what has got it in another case, too.
        """
        path = self._path(parent)
        if path is not None and _is_folder(self._absolute(path), name):
            self._appeared(parent, name, None)

    def _appeared(self, parent: _Node, name: str, node: _Node | None) -> None:
        self._leave(parent.children.pop(name, None))
        path = self._path(parent)
        if path is None or not self._descend(join(path, name)):
            self._leave(node)
            return
        if node is None:
            node = _Node(name, parent)
        node.name, node.parent = name, parent
        parent.children[name] = node
        self._enter(node)

    # ── Work in slices ─────────────────────────────────────────────────────────────────────────────────────────

    def work(self, until: float) -> bool:
        """Go on entering and leaving folders until a monotonic time; True when nothing is left to do."""
        now = time.monotonic()
        for cookie in [cookie for cookie, (_, at) in self._moved.items() if now >= at + PAIRING_S]:
            self._leave(self._moved.pop(cookie)[0])  # moved out of the tree: what happens there is not ours
        if self._resync_from is not None and now >= self._resync_from and self._resync_round is None:
            self._resync_from = None
            self._resync_began = now
            self._resync_round = self._enter(self._root, self._resync_reason)
        while (self._entering or self._leaving) and time.monotonic() < until:
            if self._leaving:
                self._leave_one(self._leaving.popleft())
            else:
                self._enter_one(*self._entering.popleft())
        return not (self._entering or self._leaving)

    def _enter(self, node: _Node, reason: str = "") -> _Round:
        new = _Round(node, reason)
        self._entering.append((new, node))
        return new

    def _enter_one(self, current: _Round, node: _Node) -> None:
        path = self._path(node)
        if path is not None:
            for child in self._read(node, path):
                self._entering.append((current, child))
                current.left += 1
        current.left -= 1
        if current.left == 0:
            top = self._path(current.top)
            if top is not None:
                self._batch.add_deep(top, current.reason)
            if current is self._resync_round:
                now = time.monotonic()
                self._resync_round = None
                self._resync_allowed = now + max(RESYNC_PAUSE_S, 10 * (now - self._resync_began))

    def _read(self, node: _Node, path: str) -> list[_Node]:
        """Watch a folder, then read which folders are in it."""
        absolute = self._absolute(path)
        if not self._watch(node, absolute):
            return []
        try:
            with os.scandir(absolute) as found:
                names = {item.name for item in found if item.is_dir(follow_symlinks=False)}
        except OSError as error:
            if lacking.files(error):
                self.shortage = Shortage.FILES
            if node.wd >= 0:
                self._unwatched.add(node)  # what is below it is not known, so not watched: the poller tells of it
            return []
        for name in node.children.keys() - names:
            self._leave(node.children.pop(name))
        children = []
        for name in names:
            if self._descend(join(path, name)):
                child = node.children.get(name)
                if child is None:
                    child = node.children[name] = _Node(name, node)
                children.append(child)
        return children

    def _watch(self, node: _Node, absolute: str) -> bool:
        """Have the kernel watch a folder; False if it is not there."""
        try:
            wd = self._kernel.add(absolute, _BRANCH_MASK if node.parent else _ROOT_MASK)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self.shortage = Shortage.WATCHES
            gone = error.errno in _VANISHED
            if not gone:
                self._unwatched.add(node)
            return not gone
        other = self._by_wd.get(wd)
        if other is not node:
            if other is not None and not self._take_over(other, absolute):
                self._unwatched.add(node)
                return True
            self._unwatch(node)
            self._by_wd[wd] = node
            node.wd = wd
        self._unwatched.discard(node)
        return True

    def _take_over(self, other: _Node, absolute: str) -> bool:
        """The kernel knows the folder at ``absolute`` as another of ours; False if it really is at both places."""
        path = self._path(other)
        if path is not None:
            if _same_folder(self._absolute(path), absolute):
                return False  # a bind mount inside the root: one watch cannot tell two places apart
            self._enter(other)
        other.wd = -1
        return True

    # ── Leaving ────────────────────────────────────────────────────────────────────────────────────────────────

    def _leave(self, node: _Node | None) -> None:
        """Give up a folder that was moved out or deleted, with everything below it, in slices."""
        if node is not None:
            node.parent = None
            self._leaving.append(node)

    def _leave_one(self, node: _Node) -> None:
        self._unwatch(node)
        self._unwatched.discard(node)
        for child in node.children.values():
            self._leave(child)
        node.children = {}

    def _unwatch(self, node: _Node) -> None:
        if node.wd >= 0:
            self._by_wd.pop(node.wd, None)
            self._kernel.remove(node.wd)
            node.wd = -1

    # ── Paths ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _path(self, node: _Node) -> str | None:
        """The relative path of a folder; None if it is not below the root any more."""
        names = []
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/".join(reversed(names)) if node is self._root else None

    def _absolute(self, path: str) -> str:
        return join(self._root_path, path) if path else self._root_path


def _is_folder(place: str, name: str) -> bool:
    """Whether a folder lists a folder of this very name."""
    try:
        return stat.S_ISDIR(os.lstat(join(place, name)).st_mode) and name in os.listdir(place)  # noqa: PTH208 - text
    except OSError:
        return False


def _same_folder(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False
