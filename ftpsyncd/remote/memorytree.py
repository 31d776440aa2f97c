"""What a server in memory holds: files and directories, and what of their changes it refuses.

In: paths and content. Out: the change, told to ``observer``, or the typed error of the reply that a real server gives.
Nothing here knows of commands, connections and scripted faults: they are `memory`'s, and so is the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ftpsyncd.errors import AlreadyExistsError, NameRefusedError, NotFoundError, RemoteError, ServerFullError
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename
from ftpsyncd.remote.port import RemoteEntry


@dataclass(slots=True)
class MemoryFile:
    """A file at the server."""

    content: bytes = b""
    mtime_s: int = 0


@dataclass(slots=True)
class MemoryTree:
    """The files and directories of a server in memory."""

    files: dict[str, MemoryFile] = field(default_factory=dict)
    dirs: set[str] = field(default_factory=lambda: {"/"})
    read_only: set[str] = field(default_factory=set)
    """Directories in which nothing may be made, changed or removed."""
    capacity: int | None = None
    """Bytes of all files together; absent: unlimited."""
    dates: bool = True
    """Dates can be set."""
    observer: Callable[[str, str], None] = lambda _verb, _path: None
    """Called after every change, with the verb and the path."""
    clock: Callable[[], float] = time.time

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    def entry(self, path: str) -> RemoteEntry | None:
        """What is there."""
        if path in self.dirs:
            return RemoteEntry(basename(path), Kind.DIR, None, None)
        file = self.files.get(path)
        return None if file is None else RemoteEntry(basename(path), Kind.FILE, len(file.content), file.mtime_s)

    def entries(self, directory: str) -> list[RemoteEntry]:
        """What is in a directory, by names."""
        entries = (self.entry(name) for name in self.children(directory))
        return [entry for entry in entries if entry is not None]

    def children(self, directory: str) -> list[str]:
        """The paths in a directory, in their order."""
        names = [*self.files, *self.dirs]
        return sorted(name for name in names if name != "/" and _parent(name) == directory)

    def lacks(self, path: str) -> RemoteError | None:
        """The refusal to do anything with what is not there."""
        if path not in self.files and path not in self.dirs:
            return NotFoundError(f"No such file: {path!r}", reply="550 No such file or directory.")
        return None

    def lacks_dir(self, path: str) -> RemoteError | None:
        """The refusal to list what is no directory."""
        if path not in self.dirs:
            return NotFoundError(f"No such directory: {path!r}", reply="550 No such file or directory.")
        return None

    def refusal(self, path: str) -> RemoteError | None:
        """Why a name cannot be made, changed or removed."""
        directory = _parent(path)
        if (missing := self.lacks_dir(directory)) is not None:
            return missing
        if directory in self.read_only:
            return NameRefusedError(f"Permission denied: {path!r}", reply="550 Permission denied.")
        return None

    # ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def unwritable(self, path: str) -> RemoteError | None:
        """Why nothing can be stored under a name."""
        if path in self.dirs:
            return AlreadyExistsError(f"Is a directory: {path!r}", reply="550 Is a directory.")
        return self.refusal(path)

    def write(self, path: str, block: bytes, offset: int, *, new: bool = False) -> RemoteError | None:
        """Store bytes in a file that is made if it is not there, and emptied before if it is to be ``new``."""
        if path not in self.files:
            self.files[path] = MemoryFile(b"", int(self.clock()))
        elif new:
            # The same file: who else writes to it still does.
            self.files[path].content, self.files[path].mtime_s = b"", int(self.clock())
        used = sum(len(file.content) for file in self.files.values())
        room = len(block) if self.capacity is None else max(0, self.capacity - used)
        # Should somebody have cut the file meanwhile, a hole is left, as on a disk.
        content = self.files[path].content.ljust(offset, b"\0")
        self.files[path].content = content[:offset] + block[:room] + content[offset + room :]
        self.observer("STOR", path)
        if room < len(block):
            return ServerFullError("No space left.", reply="452 No space left on device.")
        return None

    def make_dir(self, path: str) -> bool | RemoteError:
        """Make a directory; False: it was there."""
        if path in self.dirs:
            return False
        if path in self.files:
            return NameRefusedError(f"Is a file: {path!r}", reply="550 File exists.")
        if (refusal := self.refusal(path)) is not None:
            return refusal
        self.dirs.add(path)
        self.observer("MKD", path)
        return True

    def remove_dir(self, path: str) -> bool | RemoteError:
        """Remove a directory, if it is there; False: something is in it."""
        if path in self.files:
            return NameRefusedError(f"Not a directory: {path!r}", reply="550 Not a directory.")
        if path not in self.dirs:
            return True
        if self.children(path):
            return False
        if (refusal := self.refusal(path)) is not None:
            return refusal
        self.dirs.discard(path)
        self.observer("RMD", path)
        return True

    def rename(self, source: str, target: str) -> RemoteError | None:
        """Give something another name; a file takes the place of another one."""
        refusal = self._in_the_way(source, target) or self.refusal(target) or self.refusal(source) or self.lacks(source)
        if refusal is not None:
            return refusal
        if source in self.dirs:
            self._move_tree(source, target)
        else:
            self.files[target] = self.files.pop(source)
        self.observer("RNTO", target)
        return None

    def _in_the_way(self, source: str, target: str) -> RemoteError | None:
        """Why what is at ``target`` cannot be replaced, or be below itself."""
        if target.startswith(f"{source.rstrip('/')}/"):
            return NameRefusedError(f"Invalid argument: {target!r}", reply="550 Invalid argument.")
        if target in self.dirs:
            return AlreadyExistsError(f"Is a directory: {target!r}", reply="550 Is a directory.")
        if source in self.dirs and target in self.files:
            return NameRefusedError(f"Not a directory: {target!r}", reply="550 Not a directory.")
        return None

    def _move_tree(self, source: str, target: str) -> None:
        def moved(path: str) -> str:
            return target + path[len(source) :] if path == source or path.startswith(source + "/") else path

        self.dirs = {moved(path) for path in self.dirs}
        self.files = {moved(path): file for path, file in self.files.items()}

    def delete(self, path: str) -> RemoteError | None:
        """Delete a file, if it is there."""
        if path in self.dirs:
            return NameRefusedError(f"Is a directory: {path!r}", reply="550 Is a directory.")
        if path not in self.files:
            return None
        if (refusal := self.refusal(path)) is not None:
            return refusal
        del self.files[path]
        self.observer("DELE", path)
        return None

    def set_time(self, path: str, mtime_s: int) -> bool:
        """Date a file; whether that could be done."""
        file = self.files.get(path)
        if file is None or not self.dates:
            return False
        file.mtime_s = mtime_s
        return True


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
