"""Whether another disk is where a published directory was: mounted by now, gone, or another one. Pure.

In: what is recorded of a directory, and what is there now. Out: that nothing below it counts as deleted, and why. Asked
by `plan` for what a listing shows, and by the mapping for what it knows of its mount points.
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.model import MIXED, Row


class Swapped(NamedTuple):
    """Another file system is where a directory was: nothing below it counts as deleted."""

    path: str
    why: str
    gone: bool = False
    """A mount point that is not there any more, as autofs and udisks leave none behind."""
    mounted: bool = False
    """It is a mount point now."""
    filesystem: int = 0
    """What is mounted there now, as in `Listing`."""
    link: bool = False
    """It is a file, which a link led to on another file system, and leads to nothing now."""


def swapped_directory(
    path: str, row: Row, *, mount_point: bool, filesystem: int = 0, device: int = 0
) -> Swapped | None:
    """Whether a published directory is on another file system than it was, or than some of what is published below.

    Args:
        path: of the directory.
        row: what is recorded of it.
        mount_point: whether it is one now.
        filesystem: what is mounted there now, as in `Listing`; 0: not told.
        device: its st_dev, by which it may have been recorded when nobody told its identifier.
    """
    # what lies on the disk and what lies under it are both published, and never to be seen together
    if row.device == MIXED:
        now = "mounted" if mount_point else "not mounted"
        why = f"{path} is {now} now, and some of what is published below it was there when it was otherwise"
        return Swapped(path, why, mounted=mount_point, filesystem=filesystem)
    if mount_point and filesystem and row.device > MIXED and row.device not in {filesystem, device}:
        why = f"{path} is on another disk now than when it was published"
        return Swapped(path, why, mounted=True, filesystem=filesystem)
    # neither: it was made for what is in it, before anybody had looked at the directory itself
    if not (row.fingerprint.inode or row.device) or bool(row.device) == mount_point:
        return None
    was, now = ("mounted", "not mounted") if row.device else ("a plain directory", "a mount point")
    return Swapped(
        path, f"{path} was {was} when it was published and is {now} now", mounted=mount_point, filesystem=filesystem
    )


def swapped_away(path: str) -> Swapped:
    """A published mount point is gone: its disk is most likely unmounted, not emptied."""
    return Swapped(path, f"{path} was mounted when it was published and is not there now", gone=True)
