"""Local directories that are held open: nothing here follows a symlink or leaves a directory.

Names are single components, opened relative to a descriptor with O_NOFOLLOW, so that a link that is put in the way
while we work leads nowhere either. `landing` and `fetchtree` write into them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from ftpsyncd.errors import LocalUnwritableError
from ftpsyncd.quoting import named

ACL = "system.posix_acl_access"
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """A local directory, held open; a context manager.

    Args:
        descriptor: of the directory; closed with this object.
        path: for messages.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The directory that the caller names; links on the way to it are the caller's own and followed.

        Raises:
            LocalUnwritableError: it cannot be entered.
        """
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path)
        except OSError as error:
            raise no_folder(path, error) from error

    def entered(self, name: str) -> Self:
        """A directory in this one; made if it is not there, never reached through a link.

        Raises:
            LocalUnwritableError: it is no directory, or cannot be made or entered.
        """
        path = self.path / name
        there = self.look(name)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            what = "a symbolic link, which is not followed" if stat.S_ISLNK(there.st_mode) else "no directory"
            raise LocalUnwritableError(f"{named(path)} is {what}.")
        try:
            if there is None:
                os.mkdir(name, dir_fd=self.descriptor)
            return type(self)(os.open(name, _ENTER, dir_fd=self.descriptor), path)
        except OSError as error:
            raise unwritable(path, error) from error

    def look(self, name: str, *, through: bool = False) -> os.stat_result | None:
        """What is here under a name, itself and not what it points to; None if nothing is.

        Args:
            name: a single one.
            through: what a link leads to; nothing if that is nowhere.

        Raises:
            LocalUnwritableError: that cannot be found out.
        """
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=through)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def acl(self, name: str) -> bytes | None:
        """The access control list of a file, in the form of the kernel; None if it has none."""
        try:
            # A list cannot be asked for by a descriptor of the directory; what is held open is reached all the same.
            return os.getxattr(f"/proc/self/fd/{self.descriptor}/{name}", ACL, follow_symlinks=False)
        except OSError:
            return None  # the file system knows none, as a rule

    def longest_name(self) -> int:
        """Bytes that a name may have here."""
        return os.fpathconf(self.descriptor, "PC_NAME_MAX")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)


def unwritable(path: Path, error: OSError) -> LocalUnwritableError:
    """The typed error for what the local file system says."""
    return LocalUnwritableError(f"{named(path)} cannot be written: {error.strerror}.")


def no_folder(path: Path, error: OSError) -> LocalUnwritableError:
    """The same where a folder should be, or was to be made."""
    if isinstance(error, FileNotFoundError):
        return LocalUnwritableError(f"There is no folder {named(path)} here.", remedy="Make it first.")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return LocalUnwritableError(f"{named(path)} is no folder.", remedy="")
    return unwritable(path, error)
