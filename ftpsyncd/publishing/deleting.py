"""Deleting at a server: only what is gone from the disk, and only what is still as it was published.

In: a session and the actions of one worker, from `publish`. Out: outcomes. The server is asked for the size of what is
to go, and the disk is looked at once more, right before.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Sequence

from ftpsyncd.actions import Delete, Did, Done, Failed, Outcome, RemoveDir
from ftpsyncd.core import names, sizes
from ftpsyncd.counting import number
from ftpsyncd.errors import (
    AlreadyExistsError,
    ChangedAtServerError,
    FtpsyncdError,
    MountPointError,
    NameRefusedError,
    NotFoundError,
    RemoteError,
    Retry,
)
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.publishing.lastlook import Folder, require_gone
from ftpsyncd.quoting import as_word, named
from ftpsyncd.remote.port import RemoteEntry, RemoteSession
from ftpsyncd.remote.remedies import NO_TRASH

PLACES_AT_ONCE = 8
"""In the trash, looked at in one round trip."""
PLACES = 100 * PLACES_AT_ONCE
"""For what is deleted under one path on one day: a server that says of every place that it is taken is not believed."""


class Remover:
    """Deletes for one worker.

    Args:
        folder: the mapping of this name.
    """

    def __init__(self, folder: Callable[[str], Folder]) -> None:
        self._folder = folder

    def remove_dir(self, session: RemoteSession, action: RemoveDir) -> Did:
        """Remove a directory if it is empty, but for temporary files of ours that came late."""
        require_gone(self._folder(action.mapping), action.path, stat.S_ISDIR)
        remote = self._remote(action.mapping, action.path)
        # Twice, should one come between the two.
        for _ in range(2 if action.left else 1):
            if action.left:
                session.delete_many(action.left)
            try:
                if session.remove_dir(remote):
                    return Did.REMOVED
            except MountPointError:
                return Did.MOUNTED
        return Did.LEFT

    def delete(self, session: RemoteSession, deletes: Sequence[Delete]) -> Iterator[Outcome]:
        """Delete files, of the same server and none of them into the trash; one outcome each."""
        sure: list[Delete] = []
        for delete in deletes:
            try:
                require_gone(self._folder(delete.mapping), delete.path, stat.S_ISREG)
            except FtpsyncdError as error:
                yield Failed(delete, error)
            else:
                sure.append(delete)
        yield from self._delete_ours(session, self._sizes_seen(session, sure))

    def _sizes_seen(
        self, session: RemoteSession, deletes: Sequence[Delete]
    ) -> list[tuple[Delete, RemoteEntry | FtpsyncdError | None]]:
        """What the server has under the names of files that are to be deleted."""
        try:
            paths = [self._remote(delete.mapping, delete.path) for delete in deletes]
            return list(zip(deletes, session.stat_many(paths) if paths else [], strict=True))
        except FtpsyncdError as error:
            if session.usable and len(deletes) > 1:
                # A name that cannot even be asked for must not fail its neighbours.
                return [pair for delete in deletes for pair in self._sizes_seen(session, [delete])]
            return [(delete, error) for delete in deletes]

    def _delete_ours(
        self, session: RemoteSession, deletes: Sequence[tuple[Delete, RemoteEntry | FtpsyncdError | None]]
    ) -> Iterator[Outcome]:
        """Delete what is still as it was published."""
        sure: list[Delete] = []
        gone: set[Delete] = set()
        for delete, there in deletes:
            refused: FtpsyncdError | None
            if isinstance(there, FtpsyncdError):
                # What a person has decided goes also where nobody may look.
                refused = there if delete.sizes else None
            else:
                remote = self._remote(delete.mapping, delete.path)
                refused = _changed(delete, there) or _in_the_way(delete, there, remote)
            if refused is None:
                sure.append(delete)
            else:
                yield Failed(delete, refused)
            if there is None:
                gone.add(delete)
        if not sure:
            return
        started = time.monotonic()
        left = [name for delete in sure for name in self._left(delete)]
        try:
            verdicts = session.delete_many([*left, *(self._remote(d.mapping, d.path) for d in sure)])[len(left) :]
        except FtpsyncdError as error:
            verdicts = [error] * len(sure)
        each_s = (time.monotonic() - started) / len(sure)
        for delete, verdict in zip(sure, verdicts, strict=True):
            if verdict is None:
                yield Done(delete, Did.GONE if delete in gone else Did.DELETED, duration_s=each_s)
            else:
                yield Failed(delete, verdict)

    def trash(self, session: RemoteSession, action: Delete) -> Did:
        """Move a file to where the deleted ones are kept at the server."""
        require_gone(self._folder(action.mapping), action.path, stat.S_ISREG)
        source = self._remote(action.mapping, action.path)
        there, taken = _seen(session, action, source)
        changed = _changed(action, there)
        if changed is not None:
            raise changed
        if left := self._left(action):
            session.delete_many(left)
        # The same day, something of this name may have been moved there.
        if taken is None:
            try:
                return _move(session, source, action.trash)
            except RemoteError as error:
                # Or a file with the name of a directory above.
                if not session.usable or error.retry not in {Retry.FILE, Retry.NAME}:
                    raise
        return _move(session, source, _free_place(session, action.trash))

    def _left(self, delete: Delete) -> tuple[str, ...]:
        """What earlier tries of the file may have left: temporary files, and the version before, moved aside."""
        return (*delete.left, names.aside(self._remote(delete.mapping, delete.path))) if delete.left else ()

    def _remote(self, mapping: str, path: str) -> str:
        return remote_join(self._folder(mapping).spec.remote, path)


def _seen(session: RemoteSession, action: Delete, source: str) -> tuple[RemoteEntry | None, RemoteEntry | None]:
    """What the server has under a file's name, and at its place in the trash.

    Raises:
        FtpsyncdError: nobody may look, and no person has decided.
    """
    try:
        there, taken = session.stat_many([source, action.trash])
    except FtpsyncdError:
        if action.sizes or not session.usable:
            raise
        # As in `_delete_ours`; what is in the trash already is not moved over in any case.
        return None, session.stat(action.trash)
    return there, taken


def _free_place(session: RemoteSession, trash: str) -> str:
    """A place apart in the trash in which nothing is."""
    for first in range(1, PLACES, PLACES_AT_ONCE):
        places = [names.trash_apart(trash, number) for number in range(first, first + PLACES_AT_ONCE)]
        for place, there in zip(places, session.stat_many(places), strict=True):
            if there is None:
                return place
    raise AlreadyExistsError(f"The trash has no more room for {named(trash)}.")


def _move(session: RemoteSession, source: str, trash: str) -> Did:
    try:
        session.make_dirs(parent(trash))
    except NameRefusedError as error:
        if type(error) is NameRefusedError:
            error.remedy = f"{NO_TRASH} Then run `ftpsyncd retry`."
        raise
    try:
        session.rename(source, trash)
    except NotFoundError:
        if session.stat(source) is not None:
            raise  # it is the place in the trash that is not there any more
        return Did.GONE
    return Did.TRASHED


def _in_the_way(delete: Delete, there: RemoteEntry | None, remote: str) -> AlreadyExistsError | None:
    """What is told where a file is to go that somebody has changed, as a person has decided: a directory has its name.

    The server may remove it with DELE if it is empty (ftpd of BSD, ftp-srv), and that is nobody's decision.
    """
    if delete.sizes or there is None or there.kind is not Kind.DIR:
        return None
    return AlreadyExistsError(
        f"{named(remote)} is a directory at the server, and no file that could be deleted.",
        remedy="Remove it at the server, or give it another name there, then run `ftpsyncd retry`.",
    )


def _changed(delete: Delete, there: RemoteEntry | None) -> ChangedAtServerError | None:
    """What speaks against deleting: the server shows something else than we published. Silence does not."""
    if not delete.sizes or there is None:
        return None
    if there.kind is Kind.FILE and any(sizes.fits(there.size, size) for size in delete.sizes):
        return None
    if there.kind is Kind.FILE and delete.exposed and delete.exposed.may_have_left(there.size, there.mtime_s):
        return None
    what = "it is no file"
    name = as_word(delete.mapping)
    deletes = "deletes it all the same"
    if there.kind is Kind.FILE:
        what = f"{number(there.size or 0, 'byte')} instead of {delete.sizes[0]:,}"
    elif there.kind is Kind.DIR and not delete.trash:
        what = "there is a directory in its place"
        deletes = "has it deleted once you have removed that directory at the server"
    return ChangedAtServerError(
        f"The file at the server is not the one that was published ({what}): it is not deleted.",
        remedy=f"`ftpsyncd approve {name}` {deletes}, `ftpsyncd discard {name}` keeps it.",
    )
