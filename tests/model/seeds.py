"""Random stories by numbers: those of a range are told one after the other, and of each that breaks something is said.

A number tells a story only together with `PYTHONHASHSEED`, by which Python puts names that have no order into one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

SOAK = int(os.environ.get("FTPSYNCD_SEQUENCES", "2000"))
"""Stories of a kind where many are told."""
BROKEN_AT_MOST = 10
"""After so many the others would not tell more."""


def anywhere() -> int:
    """The first number of stories that nobody has told yet."""
    return random.SystemRandom().randrange(1 << 40)


def play(story: Callable[[int], object], first: int, number: int) -> None:
    """Tell the stories of a range of numbers.

    Args:
        story: tells that of a number.
        first: the first one.
        number: how many.

    Raises:
        ExceptionGroup: of what was broken in each, with its number.
    """
    broken: list[AssertionError] = []
    for seed in range(first, first + number):
        try:
            story(seed)
        except AssertionError as error:
            error.add_note(f"seed {seed}, PYTHONHASHSEED={os.environ.get('PYTHONHASHSEED', 'random')}")
            broken.append(error)
            if len(broken) == BROKEN_AT_MOST:
                break
    if broken:
        raise ExceptionGroup(f"{len(broken)} stories, of {number} from seed {first} on", broken)
