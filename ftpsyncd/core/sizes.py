"""Sizes of files as servers tell them, compared with what they are: the one place that knows how these may differ.

A server that counts in 32 bits begins again after 4 GiB, and what it tells between 2 and 4 GiB may be negative. Pure.
"""

from __future__ import annotations

COUNTED = 2**32
"""Bytes after which such a server begins again."""
MOST_TURNS = 16
"""A file there is believed to have less than so many times that: 64 GiB. Content without end ends."""


def tells(told: int | None, size: int) -> bool:
    """Whether a server says that a file has this size, as one that counts in 32 bits may say it, too.

    An empty file is not taken for one of 4 GiB.

    Args:
        told: bytes, or a negative number; None: it says nothing.
        size: bytes.
    """
    if told is None:
        return False
    return told == size or (told != 0 and abs(told) < COUNTED <= 2 * size and (told - size) % COUNTED == 0)


def fits(told: int | None, size: int) -> bool:
    """Whether nothing that a server says speaks against this size: `tells`, or it says nothing."""
    return told is None or tells(told, size)


def may_reach(told: int | None, count: int) -> bool:
    """Whether a file of which a server tells this size may have so many bytes, or more."""
    again = told is not None and told != 0 and abs(told) < COUNTED and count < MOST_TURNS * COUNTED
    return told is None or told >= count or again


def may_be_more(told: int, most: int) -> bool:
    """Whether a file that has at most ``most`` bytes may have more than a server tells of it."""
    return told + COUNTED <= most
