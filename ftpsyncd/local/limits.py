"""Words for people about the kernel's limits on inotify: which sysctl, its value, the value needed (inotify(7))."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from ftpsyncd.counting import exactly, number

_SYSCTL = Path("/proc/sys/fs/inotify")


class Shortage(StrEnum):
    """Why something has to be polled, however many folders that concerns."""

    INSTANCES = "instances"
    WATCHES = "watches"
    FILES = "files"
    REFUSED = "refused"


def limit(name: str) -> int:
    """The value of ``fs.inotify.<name>``; 0 if it cannot be read."""
    try:
        return int((_SYSCTL / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _rounded_up(number: int) -> int:
    """The next power of two: values that administrators know."""
    return 1 << max(0, number - 1).bit_length()


def words(shortage: Shortage, unwatched: int, every_s: float) -> str:
    """What keeps so many folders from being watched, and what helps."""
    every = exactly(every_s)
    match shortage:
        case Shortage.WATCHES:
            return words_for_watches(unwatched, every_s)
        case Shortage.FILES:
            return f"no further file could be opened: {_folders(unwatched)} looked at every {every}, not watched"
        case _:
            return words_for_refused(unwatched, every_s)


def words_for_watches(unwatched: int, every_s: float) -> str:
    """All watches are used up."""
    now = limit("max_user_watches")
    needed = _rounded_up(now + 2 * unwatched)
    return (
        f"fs.inotify.max_user_watches is {now} and used up: {_folders(unwatched)} looked at every {exactly(every_s)}"
        f" instead of watched; set it to {needed} (sysctl -w fs.inotify.max_user_watches={needed})"
    )


def words_for_instances(every_s: float) -> str:
    """No inotify instance can be had."""
    if _no_descriptor_left():
        return f"the limit of open files of this process is reached: the folder is looked at every {exactly(every_s)}"
    now = limit("max_user_instances")
    needed = max(256, _rounded_up(2 * now))
    return (
        f"fs.inotify.max_user_instances is {now} and used up: the folder is looked at every {exactly(every_s)} instead"
        f" of watched; set it to {needed} (sysctl -w fs.inotify.max_user_instances={needed})"
    )


def words_for_refused(unwatched: int, every_s: float) -> str:
    """Watches were refused for other reasons: permission, a very long path, a folder mounted at two places."""
    them = "it" if unwatched == 1 else "them"
    return (
        f"{_folders(unwatched)} looked at every {exactly(every_s)} instead of watched: the user that runs ftpsyncd may"
        f" not read {them}, or the kernel refuses {them} (a very long path, a folder mounted at two places)"
    )


def _folders(count: int) -> str:
    return number(count, "folder is", "folders are")


def _no_descriptor_left() -> bool:
    """The kernel says EMFILE for both limits: tell them apart."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return True
    return False
