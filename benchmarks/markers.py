"""The parts of a page that are written by a program, between two comments each."""

from __future__ import annotations


def replace_between(text: str, begin: str, end: str, content: str) -> str:
    """The text with everything between its markers replaced.

    Args:
        text: of the page.
        begin: the marker before.
        end: the one behind.
        content: what is to stand between them.

    Raises:
        ValueError: a marker is missing, or there twice, or they are in the wrong order.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected {begin} and {end} once each, in this order")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"
