"""Threads that the service cannot do without: begun, or else it is said which limit stands in their way."""

from __future__ import annotations

import threading

from ftpsyncd.errors import ThreadLimitError


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
