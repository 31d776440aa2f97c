"""Disks of other systems behind pyftpdlib: names that these take for one another, change or refuse.

``windows``: upper and lower case are one, dots and spaces at the end of a name are dropped, some characters refused, no
rename replaces a file; the server has no MLSD and sets no dates, and lists like IIS. A file that may be read only is in
use by a program. ``mac``: case is one, too, and names
are stored decomposed, as HFS+ does. ``folding``: only case is one, as with a share of Samba or FAT under Linux.
``emptying``: a directory is removed with all that is in it.

Used by `servers`, in the process of the server.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from pyftpdlib.filesystems import AbstractedFS, FilesystemError
from pyftpdlib.handlers import FTPHandler

_REFUSED = frozenset('<>:"|?*')
_LISTED_BY_MACHINES = ("MLSD", "MLST", "MFMT")


class Folding(AbstractedFS):  # type: ignore[misc]
    """A name is that of whatever differs in case only."""

    def stored(self, name: str) -> str:
        """What becomes of a name that is new."""
        return name

    def key(self, name: str) -> str:
        """Names with the same one are one."""
        return self.stored(name).casefold()

    def ftp2fs(self, ftppath: str) -> str:
        path = self.root
        *above, last = self.ftpnorm(ftppath)[1:].split("/")
        for name in above:
            path = self._found(path, name) or f"{path}/{self.stored(name)}"
        # A rename gives the name as it is written.
        there = "" if not last or self.cmd_channel.verb == "RNTO" else self._found(path, last)
        return os.path.normpath(there or f"{path}/{self.stored(last)}")

    def _found(self, directory: str, name: str) -> str:
        try:
            there = os.listdir(directory)  # noqa: PTH208 - the server's own way
        except OSError:
            return ""
        return next((f"{directory}/{each}" for each in there if self.key(each) == self.key(name)), "")

    def rename(self, src: str, dst: str) -> None:
        there = self._found(os.path.dirname(dst), os.path.basename(dst))  # noqa: PTH119, PTH120
        if there and there != src:
            self.replace(there)
        os.rename(src, dst)  # noqa: PTH104

    def replace(self, there: str) -> None:
        """A file that is to be replaced by a rename."""
        if os.path.isdir(there):  # noqa: PTH112
            raise OSError(errno.EISDIR, "Is a directory")
        os.unlink(there)  # noqa: PTH108


class Mac(Folding):
    """HFS+."""

    def stored(self, name: str) -> str:
        return unicodedata.normalize("NFD", name)


class Windows(Folding):
    """NTFS behind the Win32 API."""

    def stored(self, name: str) -> str:
        return name.rstrip(". ") or name

    def ftpnorm(self, ftppath: str) -> str:
        # As Windows itself, and FileZilla Server (CanonifyServerDir), have it.
        return str(super().ftpnorm(ftppath.replace("\\", "/")))

    def replace(self, there: str) -> None:
        raise FilesystemError("Cannot create a file when that file already exists")

    def open(self, filename: str, mode: str) -> Any:
        self._require_syntax(filename)
        return super().open(filename, mode)

    def mkdir(self, path: str) -> None:
        self._require_syntax(path)
        super().mkdir(path)

    def rename(self, src: str, dst: str) -> None:
        self._require_syntax(dst)
        self._require_unused(src)
        super().rename(src, dst)

    def remove(self, path: str) -> None:
        self._require_unused(path)
        super().remove(path)

    def _require_syntax(self, path: str) -> None:
        if _REFUSED & set(path.removeprefix(self.root)):
            raise FilesystemError("The filename, directory name, or volume label syntax is incorrect")

    def _require_unused(self, path: str) -> None:
        if stat.S_ISREG(mode := os.stat(path).st_mode) and not mode & stat.S_IWUSR:  # noqa: PTH116
            raise FilesystemError("The process cannot access the file because it is being used by another process")

    def format_list(self, basedir: str, listing: Sequence[str], ignore_err: bool = True) -> Iterator[bytes]:  # noqa: FBT001, FBT002
        for name in listing:
            status = os.lstat(os.path.join(basedir, name))  # noqa: PTH118
            date = time.strftime("%m-%d-%y  %I:%M%p", time.localtime(status.st_mtime))
            size = f"{'<DIR>':<14}" if stat.S_ISDIR(status.st_mode) else f"{status.st_size:13d}"
            size = f"       {size}" if "<" in size else f"{size:>20}"
            yield f"{date}{size} {name}\r\n".encode("utf-8", "surrogateescape")


class Emptying(AbstractedFS):  # type: ignore[misc]
    """A store that removes a directory with all that is in it, as MinIO does."""

    def rmdir(self, path: str) -> None:
        shutil.rmtree(path)


DISKS = {"emptying": Emptying, "folding": Folding, "mac": Mac, "windows": Windows}


def on(disk: str, handler: type[FTPHandler]) -> type[FTPHandler]:
    """A handler that serves such a disk."""

    class OnDisk(handler):  # type: ignore[misc]
        abstracted_fs = DISKS[disk]
        verb = ""
        if disk == "emptying":
            banner = "A store."
        if disk == "windows":
            banner = "Microsoft FTP Service"
            proto_cmds = {verb: facts for verb, facts in handler.proto_cmds.items() if verb not in _LISTED_BY_MACHINES}

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            self.verb = cmd
            super().pre_process_command(line, cmd, arg)

    return OnDisk
