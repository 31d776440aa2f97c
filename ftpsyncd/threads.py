"""Threads that the service cannot do without: begun, or else it is said which limit stands in their way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from ftpsyncd.errors import ThreadLimitError

_T = TypeVar("_T")


def side_by_side(act: Callable[[_T], None], items: Iterable[_T]) -> None:
    """Do the same to several things at the same time, and wait until all is done.

    Args:
        act: raises nothing.
        items: to each of which it is done; one after the other where the system allows no further thread.
    """
    threads = []
    for item in items:
        thread = threading.Thread(target=act, args=(item,), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            act(item)
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()


def begin(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        ThreadLimitError: the system allows no further one.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise limit_reached() from error


def limit_reached() -> ThreadLimitError:
    """What to say when a thread cannot be started."""
    count = threading.active_count()
    return ThreadLimitError(f"The system allows this process no more than the {count} threads that it has.")
