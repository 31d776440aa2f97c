"""The way to a mapping's folder, and whose symbolic links are followed on it.

Comes in: the folder's path, as it is configured. Goes out: an open descriptor. Called by `tree`.

Who may put a link in the place of the folder, or of one above it (it is in his home directory), could have anything
published that this process may read, passwords for one. So a link that is neither root's nor of the user that we run as
leads only to a folder of the link's own owner. It is what the kernel asks of links in /tmp (proc(5),
protected_symlinks), asked of every link. Where an opened folder is, its descriptor tells; a way with links is gone by
descriptors (openat(2)). So nothing can be exchanged between a look and the opening.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePath

from ftpsyncd.quoting import quote

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MAX = 40
"""As in the kernel (path_resolution(7))."""


def open_folder(folder: Path, flags: int) -> int:
    """Open a folder; the caller closes it.

    Args:
        folder: where it is.
        flags: of open(2), O_DIRECTORY among them.

    Raises:
        PermissionError: a link on the way is neither root's, nor ours, nor of the owner of the folder.
        OSError: as open(2).
    """
    descriptor = os.open(folder, flags)
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(folder):  # noqa: PTH115 - a path object costs more
            # The usual case, ten times as quick: it is where it is said to be, so no link leads there.
            return descriptor
    except OSError:
        # Without /proc nothing is known of links.
        pass
    os.close(descriptor)
    return _go(folder, flags)


def _go(folder: Path, flags: int) -> int:
    ahead = [*reversed(folder.parts)]
    links: list[tuple[str, int]] = []
    current = os.open(".", _STEP)
    try:
        while ahead:
            name = ahead.pop()
            try:
                below = os.open(name, (_STEP if ahead else flags) | os.O_NOFOLLOW, dir_fd=current)
            except OSError as error:
                if error.errno not in {errno.ENOTDIR, errno.ELOOP} or len(links) == _LINKS_MAX:
                    raise
                owner, target = _read(name, current, error)
                links.append((name, owner))
                ahead += reversed(target.parts or ".")
                continue
            os.close(current)
            current = below
        _require_owner(links, os.fstat(current).st_uid)
    except BaseException:
        os.close(current)
        raise
    return current


def _read(name: str, directory_fd: int, trouble: OSError) -> tuple[int, PurePath]:
    """Whose a link is, and what it says; what is no link raises the trouble that it made."""
    link = os.open(name, _LINK, dir_fd=directory_fd)
    try:
        # The empty name is the descriptor's own (readlink(2)).
        return os.fstat(link).st_uid, PurePath(os.readlink("", dir_fd=link))
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EINVAL}:
            raise
        raise trouble from error
    finally:
        os.close(link)


def _require_owner(links: list[tuple[str, int]], owner: int) -> None:
    for name, whose in links:
        if whose not in {0, os.geteuid(), owner}:
            raise PermissionError(
                errno.EACCES,
                f"the symbolic link {quote(name)} on the way there is of user {whose}, and leads to a folder of another"
                f" ({owner}); let the link be root's (`chown -h root`), or have `local` name the folder itself",
            )
