"""The last look at the disk before something is done at a server: a plan is only as fresh as the look it was made from.

In: a mapping's folder as the workers know it, and paths in it. Called by `publish` and `deleting`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ftpsyncd.errors import FileChangedError, LocalUnreadableError, SourceMissingError
from ftpsyncd.local.tree import is_spelled_so, look_through, root_identity
from ftpsyncd.model import RootIdentity
from ftpsyncd.specs import MappingSpec

_T = TypeVar("_T")


@dataclass(slots=True)
class Folder:
    """A mapping as the workers see it."""

    spec: MappingSpec
    root: RootIdentity | None = None
    """The folder that the ledger knows; nothing is deleted at the server while another one is in its place."""


def require_gone(folder: Folder, path: str, still_there: Callable[[int], bool]) -> None:
    """The last look before a delete: the root is there, the path is not (or is something else).

    Raises:
        FileChangedError: it is there again.
        LocalUnreadableError: that cannot be found out.
        SourceMissingError: the root is absent, or another folder than the one that was published.
    """
    status = _seen(folder.spec, path)
    if status is not None and still_there(status.st_mode) and _is_spelled_so(folder.spec, path):
        raise FileChangedError("It is there again.")
    # The root after the path: a disk unmounted between the two looks is noticed.
    if folder.root is None or root_identity(folder.spec.local) != folder.root:
        raise SourceMissingError(f"The folder {folder.spec.local} is not there, or not the one it was.")


def _seen(spec: MappingSpec, path: str) -> os.stat_result | None:
    """What a scan would find there: where links are followed, what they lead to."""
    if not spec.follow_symlinks:
        return lstat(local_path(spec, path))
    return _look_at(lambda relative: look_through(spec.local, relative), path)


def local_path(spec: MappingSpec, path: str) -> str:
    """Where a path is on disk; text, because making a `Path` costs more than the look that follows."""
    return f"{spec.local}/{path}"


def exists(spec: MappingSpec, path: str) -> bool:
    """Whether something in a mapping's folder has this path, in this spelling.

    Raises:
        LocalUnreadableError: it cannot be looked at.
    """
    return lstat(local_path(spec, path)) is not None and _is_spelled_so(spec, path)


def _is_spelled_so(spec: MappingSpec, path: str) -> bool:
    return bool(_look_at(lambda relative: is_spelled_so(str(spec.local), relative), path))


def lstat(path: str) -> os.stat_result | None:
    """The stat of a path; None only if it is certain that nothing is there.

    Raises:
        LocalUnreadableError: it cannot be looked at.
    """
    return _look_at(os.lstat, path)


def stat_of(path: str) -> os.stat_result | None:
    """The same of what a symlink leads to."""
    return _look_at(os.stat, path)


def _look_at(look: Callable[[str], _T | None], path: str) -> _T | None:
    try:
        return look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LocalUnreadableError(f"It cannot be looked at: {error.strerror}.") from error
