"""So many of something, or so long, in words. Pure; used wherever a sentence counts."""

from __future__ import annotations


def number(count: int, one: str, many: str = "") -> str:
    """``1 file``, ``1,204 files``; ``many`` where that is not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def deletes(files: int, directories: int, one: str = "", many: str = "") -> str:
    """``3 deletes``, as the files that they are of are counted; ``1 directory`` only where no file is among them.

    Args:
        files: to be deleted.
        directories: to be removed in which there is none.
        one: the word behind one of them, if there is any.
        many: behind several.
    """
    what, whats = ("delete", "deletes") if files or not directories else ("directory", "directories")
    return number(files or directories, f"{what} {one}".rstrip(), f"{whats} {many}".rstrip())


def took(seconds: float) -> str:
    """How long something short took: ``0.21 s``; ``less than 0.01 s``."""
    return f"{seconds:.2f} s" if seconds >= 0.005 else "less than 0.01 s"


def exactly(seconds: float) -> str:
    """A duration that somebody has set, in the largest unit that fits: ``0.3 s``, ``90 s``, ``5 min``, ``1 h``."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if seconds and seconds % unit_s == 0:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


def duration(seconds: float) -> str:
    """Seconds for people, one or two units: ``4 s``, ``3 min``, ``2 h 5 min``, ``3 days``; ``less than 1 s``."""
    whole = max(0, round(seconds))
    if not whole:
        return "less than 1 s"
    if whole < 90:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return number(days, "day")
