"""Paths that get another name at the server: what is gone there is not deleted, and no loss of a directory above it.

In: files that seem to have another name here, and whether they wait. Out: what leaves a path, whether its rename waits
in the queue, runs, or is still to be begun. A program that keeps the old version renames it, and writes the new one
under the usual name in a moment: until it is known that nobody does, the server keeps what it has there. One per
mapping, used on the engine's thread.
"""

from __future__ import annotations

from ftpsyncd.core.inside import Inside
from ftpsyncd.core.schedule import Queue
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.model import Fingerprint
from ftpsyncd.paths import after_rename

CUT_OFF_KEPT = 2000
"""Renames that were cut off and are remembered; what had more left behind counts as deleted."""


class _ToCome:
    """A file that is not renamed yet."""

    __slots__ = ("paths", "since")

    def __init__(self, since: float | None) -> None:
        self.paths: dict[str, None] = {}
        """The names that it may get: several only where it has several here."""
        self.since = since
        """When it was first seen to be gone from its old name (monotonic seconds), if that came first."""


class Moves:
    """What leaves paths of one mapping.

    Args:
        queue: of its server.
        mapping: its name.
    """

    def __init__(self, queue: Queue, mapping: str) -> None:
        self._queue = queue
        self._mapping = mapping
        self._to_come: dict[str, _ToCome] = {}
        self._inside = Inside(self._to_come)
        self._cut_off: dict[str, CutOff] = {}
        self._cut_off_inside = Inside(self._cut_off)
        self._cut_off_of: dict[int, dict[str, None]] = {}
        """Of each file, by its inode, the old names of all that is in `_cut_off`."""
        self._put_off: set[str] = set()
        """What is looked at again in minutes only, while what was cut off is not published."""

    def __repr__(self) -> str:
        return f"<Moves {len(self._to_come)} to come>"

    def clear(self) -> None:
        """Nothing can be seen: what was noted may be over."""
        self._to_come.clear()
        self._inside.clear()
        for source, rename in self._cut_off.items():
            self._cut_off[source] = rename._replace(gone_since=None)

    def awaits(self, source: str) -> bool:
        """Whether a rename away from a path is still to be begun."""
        return source in self._to_come

    def target(self, source: str) -> str | None:
        """The name that what is published under a path is to get, if its rename is still to be begun."""
        to_come = self._to_come.get(source)
        return next(reversed(to_come.paths)) if to_come is not None else None

    def since(self, source: str) -> float | None:
        """When what is still to be renamed was seen to be gone (monotonic seconds); None: nobody has looked before."""
        to_come = self._to_come.get(source)
        return to_come.since if to_come is not None else None

    def leaves(self, path: str) -> bool:
        """Whether a rename away from a path waits, runs, or is still to be begun."""
        return path in self._to_come or self._queue.moves_from(self._mapping, path)

    def leaving(self, directory: str) -> set[str]:
        """The paths below a directory that get other names."""
        return {*self._queue.leaving(self._mapping, directory), *self._inside.below(directory)}

    def wait(self, source: str, path: str, since: float | None) -> None:
        """What is published under one path is here under another one: whether it stays gone is awaited.

        Args:
            source: the old path.
            path: the new one.
            since: when it was seen to be gone from there; None: nobody has looked.
        """
        to_come = self._to_come.get(source)
        if to_come is None:
            to_come = self._to_come[source] = _ToCome(since)
            self._inside.add(source)
        to_come.paths[path] = None

    def over(self, source: str, path: str) -> bool:
        """What is at the new path does not wait any more: it is renamed, sent, or not there.

        Returns:
            Whether nothing awaits the old path now that did: it has to be looked at.
        """
        to_come = self._to_come.get(source)
        if to_come is None:
            return False
        to_come.paths.pop(path, None)
        if to_come.paths:
            return False
        self._none_to_come(source)
        return True

    def back(self, source: str) -> str:
        """The old path is there again: should it go once more, that counts from then.

        Returns:
            Under which name it may be left behind in its turn, so that this is to be looked at; empty: under none.
        """
        self._none_to_come(source)
        return self._is_there(source)

    def _none_to_come(self, source: str) -> None:
        if self._to_come.pop(source, None) is not None:
            self._inside.discard(source)

    # ── renames that were cut off ────────────────────────────────────────────────────────────────────────────

    def was_cut_off(self, source: str, rename: CutOff) -> None:
        """A file may have its new name at the server, or not: it is published there anew, and was not deleted here.

        Where two renames in a row were cut off, and a start finds both, it is looked for under its last name.
        """
        self.forget_cut_off(source)
        after = self._cut_off.get(rename.path)
        if after is not None and after.fingerprint.inode == rename.fingerprint.inode and after.path != source:
            rename = rename.gone_on(after.path)
        for old in self._cut_off_of.get(rename.fingerprint.inode, ()):
            if self._cut_off[old].path == source and old != rename.path:
                self._cut_off[old] = self._cut_off[old].gone_on(rename.path)
        while len(self._cut_off) >= CUT_OFF_KEPT:
            self.forget_cut_off(next(iter(self._cut_off)))
        self._cut_off[source] = rename
        self._cut_off_inside.add(source)
        self._cut_off_of.setdefault(rename.fingerprint.inode, {})[source] = None

    def go_on_from(self, before: Moves) -> None:
        """Stand in for the same place under settings that are over: what was cut off then is no delete now."""
        for source, rename in before._cut_off.items():
            self.was_cut_off(source, rename)

    def may_have_left(self, source: str) -> bool:
        """Whether a rename that was cut off, or refused, may have left something under a path."""
        return source in self._cut_off

    @property
    def none_cut_off(self) -> bool:
        """Whether no rename was, of those that are remembered; cheap."""
        return not self._cut_off

    def moved(self, source: str, target: str) -> None:
        """A directory has another name at the server, too, with what was left in it and what was to come there."""
        for old in list(self._cut_off_inside.below(source)):
            rename = self._cut_off[old]
            self.forget_cut_off(old)
            self.was_cut_off(after_rename(old, source, target), rename)
        for old, rename in self._cut_off.items():
            self._cut_off[old] = rename.moved(source, target)

    def is_here(self, path: str, fingerprint: Fingerprint) -> None:
        """A file is here that is not published as it is: if its rename was cut off, this is its name now.

        Where it has the old name of another one, that has not come back.
        """
        before = self._cut_off.get(path)
        if before is not None and not before.is_same_file(fingerprint):
            self._cut_off[path] = before.replaced()
        for source in self.cut_off_of(fingerprint):
            if path != source:
                self._cut_off[source] = self._cut_off[source].here(path, fingerprint)

    def missed(self, source: str, now: float) -> CutOff:
        """A file of which the rename was cut off is not found anywhere (monotonic seconds)."""
        rename = self._cut_off[source] = self._cut_off[source].missed(now)
        return rename

    def put_off(self, path: str) -> None:
        """An old name, or a directory above some, is looked at again in minutes, or when one of the files is lost."""
        self._put_off.add(path)

    def take_put_off(self) -> set[str]:
        """What was put off, which is to be looked at now: what is gone together has to be counted together."""
        put_off, self._put_off = self._put_off, set()
        return put_off

    def cut_off_of(self, fingerprint: Fingerprint) -> list[str]:
        """The old names of a file of which the rename was cut off, however it was written since then."""
        return list(self._cut_off_of.get(fingerprint.inode, ())) if fingerprint.inode else []

    def left_by(self, path: str, fingerprint: Fingerprint) -> str:
        """The old name of a file whose rename was cut off, and which is sent to this path instead; or empty."""
        return next((source for source in self.cut_off_of(fingerprint) if self._cut_off[source].path == path), "")

    def cut_off_below(self, directory: str) -> dict[str, CutOff]:
        """By old names below a directory, how files were to be renamed when that was cut off."""
        return {source: self._cut_off[source] for source in self._cut_off_inside.below(directory)}

    def cut_off(self, source: str, since: float) -> CutOff | None:
        """How a file was to be renamed when that was cut off, which has been gone from its path since then at least."""
        if (rename := self._cut_off.get(source)) is not None:
            rename = self._cut_off[source] = rename.gone(since)
        return rename

    def _is_there(self, source: str) -> str:
        """An old name is there again: see `back`."""
        if (rename := self._cut_off.get(source)) is None:
            return ""
        if (there := rename.there()) is not None:
            self._cut_off[source] = there
        else:
            self.forget_cut_off(source)
        turned = rename.turned(source)
        if turned is None or rename.path == source or rename.path in self._cut_off:
            return ""
        self.was_cut_off(rename.path, turned)
        return rename.path

    def was_refused(self, source: str, path: str, fingerprint: Fingerprint) -> None:
        """A file could not be renamed, and was sent under its new name: what is under the old one was not deleted here.

        Unless that is there still, which is looked at next.
        """
        self.was_cut_off(source, CutOff(path, fingerprint, refused=True))

    def stays_behind(
        self, source: str, path: str, fingerprint: Fingerprint, links: tuple[str, ...], now: float
    ) -> None:
        """A file is sent under its new name, for its old one may leave with a directory that is renamed late.

        That directory is here under another name, and so nothing below its old one (monotonic seconds).
        """
        if source not in self._cut_off:
            self.was_cut_off(source, CutOff(path, fingerprint, links, gone_since=now, refused=True))

    @property
    def all_cut_off(self) -> dict[str, CutOff]:
        """By their old names, how all of these were to be renamed, as it is known now."""
        return dict(self._cut_off)

    def forget_cut_off(self, source: str) -> None:
        """What it left behind is dealt with, or is not what it was."""
        if (rename := self._cut_off.pop(source, None)) is None:
            return
        self._cut_off_inside.discard(source)
        self._put_off.discard(source)
        if not self._cut_off:
            self._put_off.clear()
        sources = self._cut_off_of[rename.fingerprint.inode]
        del sources[source]
        if not sources:
            del self._cut_off_of[rename.fingerprint.inode]
