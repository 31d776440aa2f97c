"""Why a value does not fit, in words. Pure.

In: what a parser expects, and what was probably meant. Out: :class:`Unfit`, raised by the parsers of `units`, `values`
and `password`; `loading` makes a complaint of it, with the place in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Unfit(ValueError):  # noqa: N818  # an adjective for a value, not an error that reaches anybody
    """A value that a key does not accept.

    Args:
        expected: what would be accepted, in words.
        found: what stands there; described from the value if empty.
        hint: what was probably meant; a whole clause.
    """

    def __init__(self, expected: str, *, found: str = "", hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found
        self.hint = hint


class UnfitEntries(Unfit):
    """A list of which some entries do not fit.

    Args:
        entries: why, by index.
    """

    def __init__(self, entries: Mapping[int, Unfit]) -> None:
        super().__init__("entries that fit")
        self.entries = entries


def closest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``word`` was probably meant to be; empty if it resembles none."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for a typing mistake only

    return next(iter(get_close_matches(word, list(known), n=1)), "")
