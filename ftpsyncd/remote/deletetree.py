"""Deleting a whole directory at a server: files before directories, and nothing through a link.

In: a directory, or a file, at the server. Out: what became of each name. What the server does not clearly show as a
directory is left alone, and so is one that is listed within itself. Called by `library`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from ftpsyncd.errors import AlreadyExistsError, FtpsyncdError, NameRefusedError, NotFoundError
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename, remote_join
from ftpsyncd.quoting import named
from ftpsyncd.remote.port import PartlyListedError, RemoteSession
from ftpsyncd.remote.trees import Depth, Ready, Step, TreeResult, Walk, kinds_around


@dataclass(slots=True)
class Deleting(Walk):
    """Delete a directory with all that is in it, files before directories; a link is deleted and not followed."""

    ready: Ready
    depth: Depth = field(default_factory=Depth)
    session: RemoteSession = field(init=False)

    def run(self, remote: str) -> Generator[TreeResult, None, None]:
        """Delete ``remote``: a file, a link, or a directory with its content.

        Raises:
            NotFoundError: there is nothing of this name.
            NameRefusedError: it is the root, or the server does not say what it is.
        """
        if not remote.strip("/"):
            raise NameRefusedError("The root of a server is not deleted.", remedy="Name what is to go.")
        self.session = self.ready()
        entry = self.once_more(lambda: self.session.stat(remote))
        kinds = self.once_more(lambda: kinds_around(self.session, remote))
        kind = kinds.get(basename(remote), None if entry is None else entry.kind)
        if kind is None:
            raise NotFoundError(f"{named(remote)} is not at the server.", remedy="")
        if kind is Kind.DIR:
            yield from self._tree(remote, kinds, 0)
        else:
            yield from self._files([remote])

    def _files(self, paths: list[str]) -> Generator[TreeResult, None, bool]:
        errors = self.once_more(lambda: self.session.delete_many(paths))
        for path, error in zip(paths, errors, strict=True):
            yield TreeResult(path, Step.REMOVED if error is None else Step.FAILED, error=error)
        return not any(errors)

    def _tree(self, remote: str, siblings: dict[str, Kind], depth: int) -> Generator[TreeResult, None, bool]:
        """Delete a directory that its parent's LIST shows as one; returns whether all of it is gone."""
        try:
            if siblings.get(basename(remote)) is not Kind.DIR:
                raise NameRefusedError(
                    f"{named(remote)} is left alone: it may be a directory or a link to one, the server does not say.",
                    remedy="",
                )
            self.depth.check(remote, depth)
            self.session = self.ready()
            before: dict[str, Kind] = {}
            while True:
                found, kinds, is_all = self._found(remote)
                is_last = is_all or found == before
                files = [remote_join(remote, name) for name, kind in sorted(found.items()) if kind is not Kind.DIR]
                empty = yield from self._files(files)
                # What LIST does not show yet it does when others are gone.
                shown = found if is_last else kinds
                for name in sorted(name for name, kind in found.items() if kind is Kind.DIR and name in shown):
                    if self.depth.given_up:
                        return False
                    gone = yield from self._tree(remote_join(remote, name), kinds, depth + 1)
                    empty = empty and gone
                if not empty:
                    return False  # what stays was told
                if is_last:
                    break
                before = found  # the server shows the others when these are gone
            if not self.once_more(lambda: self.session.remove_dir(remote)):
                raise AlreadyExistsError(f"{named(remote)} is not empty.", remedy="")
        except FtpsyncdError as error:
            if not self.session.usable:
                raise
            yield TreeResult(remote, Step.FAILED, error=error)
            return False
        yield TreeResult(remote, Step.REMOVED)
        return True

    def _found(self, remote: str) -> tuple[dict[str, Kind], dict[str, Kind], bool]:
        """What is in a directory, what LIST alone shows of it, and whether that is all.

        Raises:
            NameRefusedError: the server lists what cannot be in it.
        """
        kinds = self.once_more(lambda: self.session.list_kinds(remote))
        is_all = True
        try:
            # LIST shows links that lead nowhere, which MLSD may keep to itself; MLSD shows names that LIST garbles.
            entries = self.once_more(lambda: self.session.list_dir(remote, dated=False))
        except PartlyListedError as error:
            entries, is_all = error.entries, False
        found = {entry.name: entry.kind for entry in entries} | kinds
        wrong = next((name for name in found if name in {"", ".", ".."} or "/" in name), None)
        if wrong is not None:
            raise NameRefusedError(f"{named(remote)} is left alone: the server lists {named(wrong)} in it.", remedy="")
        return found, kinds, is_all
