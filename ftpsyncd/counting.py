"""So many of something, in words. Pure; used wherever a sentence counts."""

from __future__ import annotations


def number(count: int, one: str, many: str = "") -> str:
    """``1 file``, ``1,204 files``; ``many`` where that is not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
