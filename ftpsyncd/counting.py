"""So many of something, in words. Pure; used wherever a sentence counts."""

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
