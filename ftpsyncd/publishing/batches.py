"""Actions of one kind that follow one another, for the servers that are told many things in one round trip.

In: the stream from which a worker draws its actions. Out: a few of them, in order; the first one of another kind goes
back. Used by `publish`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ftpsyncd.actions import Action, Delete, MakeDir, Upload
from ftpsyncd.core.extent import LARGE_BYTES

DELETES_AT_ONCE = 64
DIRECTORIES_AT_ONCE = 64
UPLOADS_AT_ONCE = 8
"""Uploads whose existence at the server is asked for in one round trip, then sent in one run."""

_A = TypeVar("_A", bound=Action)


class Stream(Protocol):
    """Where a worker's actions come from."""

    def next(self) -> Action | None:
        """The next action, or None if there is none right now."""

    def put_back(self, action: Action) -> None:
        """Return an action that was taken too early."""


def more_uploads(stream: Stream, first: Upload) -> list[Upload]:
    """``first`` and the uploads that follow it directly in the stream, as long as all of them together are not large.

    One connection sends them one after the other: who is behind a large one would wait for it, and others be idle.
    """
    size = first.fingerprint.size

    def is_short(upload: Upload) -> bool:
        nonlocal size
        size += upload.fingerprint.size
        return size < LARGE_BYTES

    return _run_of(stream, first, UPLOADS_AT_ONCE, is_short)


def more_deletes(stream: Stream, first: Delete) -> list[Delete]:
    """``first`` and the deletes that follow it directly in the stream, but not into the trash."""
    return _run_of(stream, first, DELETES_AT_ONCE, lambda delete: not delete.trash)


def more_directories(stream: Stream, first: MakeDir) -> list[MakeDir]:
    """``first`` and the directories to be made that follow it directly in the stream; their parents exist."""
    return _run_of(stream, first, DIRECTORIES_AT_ONCE, lambda directory: directory.path != "")


def _run_of(stream: Stream, first: _A, at_most: int, belongs: Callable[[_A], bool]) -> list[_A]:
    kind, group = type(first), [first]
    while len(group) < at_most and (action := stream.next()) is not None:
        if not isinstance(action, kind) or not belongs(action):
            stream.put_back(action)
            break
        group.append(action)
    return group
