"""The last look at the disk before something is done at a server: a plan is only as fresh as the look it was made from.

In: a mapping's folder as the workers know it, and paths in it. Called by `publish`, `existing` and `deleting`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ftpsyncd.actions import Rename, Upload
from ftpsyncd.errors import FileBusyError, FileChangedError, LocalUnreadableError, SourceMissingError
from ftpsyncd.local import toolong
from ftpsyncd.local.birth import born_ns
from ftpsyncd.local.quiet import open_and_look, open_quietly, writer_present
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import is_spelled_so, look_through, require_descriptors, root_identity
from ftpsyncd.model import Fingerprint, RootIdentity
from ftpsyncd.paths import parent
from ftpsyncd.remote import hashes
from ftpsyncd.specs import MappingSpec

_T = TypeVar("_T")


RECORDED_NS = 60 * 10**9
"""A file that is published is recorded as that some time after it was looked at last: behind the server's answer to its
rename, and what else the engine does. Meanwhile it may be gone, and another one have its inode. In nanoseconds."""


@dataclass(slots=True)
class Folder:
    """A mapping as the workers see it."""

    spec: MappingSpec
    root: RootIdentity | None = None
    """The folder that the ledger knows; nothing is deleted at the server while another one is in its place."""
    whose: str = ""
    """The mapping is this one's: on another machine, one of the same name may publish to the same place (`claim`)."""
    was: tuple[str, ...] = ()
    """Whose it was when something may have been begun of which nothing is known."""

    @property
    def sender(self) -> str:
        """By whom its files are sent: no two ever send to the same temporary file."""
        return f"{self.whose}{self.spec.name}"

    @property
    def senders_before(self) -> list[str]:
        """By whom its files were sent then."""
        return [f"{each}{self.spec.name}" for each in self.was]


def require_gone(folder: Folder, path: str, still_there: Callable[[int], bool]) -> None:
    """The last look before a delete: the root is there, the path is not (or is something else).

    Raises:
        FileChangedError: it is there again.
        LocalUnreadableError: that cannot be found out.
        SourceMissingError: the root is absent, or another folder than the one that was published.
    """
    status = _seen(folder.spec, path)
    if status is not None and still_there(status.st_mode) and _is_spelled_so(folder.spec, path):
        raise FileChangedError("It is there again.")
    # The root after the path: a disk unmounted between the two looks is noticed.
    if folder.root is None or root_identity(folder.spec.local) != folder.root:
        raise SourceMissingError(f"The folder {folder.spec.local} is not there, or not the one it was.")


def open_planned(spec: MappingSpec, upload: Upload) -> tuple[BinaryIO, int]:
    """Open the planned file: the very one, and nobody writing it. Returns its ctime, too, in ns.

    Raises:
        FileChangedError: it is another one by now.
        FileBusyError: a program writes it.
        LocalError: it cannot be opened.
    """
    file, status = open_and_look(spec.local, upload.path, follow_symlinks=spec.follow_symlinks)
    try:
        _require_planned_and_quiet(file, status, upload)
    except BaseException:
        file.close()
        raise
    return file, status.st_ctime_ns


def _require_planned_and_quiet(file: BinaryIO, status: os.stat_result, upload: Upload) -> None:
    if fingerprint_of(status) != upload.fingerprint:
        raise FileChangedError("It changed since it was planned.")
    if writer_present(file.fileno()):
        raise FileBusyError("A program has it open for writing.")


def require_same(
    file: BinaryIO, spec: MappingSpec, upload: Upload, ctime_ns: int, sha256: bytes, sign: Callable[[], None]
) -> None:
    """The open file is still the planned one, of the content that was read, and still under its name.

    Args:
        file: from `open_planned`.
        spec: of its mapping.
        upload: what was planned.
        ctime_ns: from `open_planned`.
        sha256: of the content that was read; empty: any change of the ctime counts.
        sign: see `hashes.blocks`.

    Raises:
        FileChangedError: it is not.
        LocalUnreadableError: that cannot be found out.
    """
    named = planned_stat(spec, upload.path)
    if named is not None and fingerprint_of(named) == upload.fingerprint:
        sent = hashes.status_of(file)
        same = fingerprint_of(sent) == upload.fingerprint
        if same and hashes.still_holds(file, sent.st_ctime_ns, sha256, ctime_ns, sign):
            return
    raise FileChangedError("It changed while it was sent.")


def require_planned(spec: MappingSpec, path: str, fingerprint: Fingerprint) -> int:
    """The planned file is there. Returns its ctime in ns.

    Raises:
        FileChangedError: it is another one by now.
        LocalUnreadableError: that cannot be found out.
    """
    status = planned_stat(spec, path)
    if status is None or fingerprint_of(status) != fingerprint:
        raise FileChangedError("It changed since it was planned.")
    return status.st_ctime_ns


def is_as_published(spec: MappingSpec, rename: Rename, sign: Callable[[], None]) -> bool:
    """Whether a file that got another name here is the published one, and not another that has its inode since.

    That would have to have the same size and date: what is copied with its date from a camera or out of an archive, in
    whole seconds, may. So such a file is read, unless it is known to have been made well before the other was
    published, and as far as it may be read, and it is known what was published.

    Args:
        spec: of its mapping.
        rename: what was planned.
        sign: see `hashes.blocks`.

    Raises:
        LocalError: it is not there any more.
    """
    if rename.fingerprint.mtime_ns % 10**9 or not rename.sha256:
        return True
    try:
        with open_quietly(spec.local, rename.path, follow_symlinks=spec.follow_symlinks) as file:
            born = born_ns(file.fileno())
            if born is not None and born <= rename.published_ns - RECORDED_NS:
                return True
            return hashes.of_file("SHA-256", file, sign) == rename.sha256.hex()
    except (FileBusyError, LocalUnreadableError):
        return True


def planned_stat(spec: MappingSpec, path: str) -> os.stat_result | None:
    """The stat of what is published under a path, as the scan has it; None if nothing is there."""
    local = local_path(spec, path)
    return stat_of(local) if spec.follow_symlinks else lstat(local)


def planned_ctime_ns(spec: MappingSpec, upload: Upload) -> int:
    """When the file was last changed in any way; 0 if it cannot be told."""
    path = local_path(spec, upload.path)
    try:
        status = toolong.stat(path) if spec.follow_symlinks else toolong.lstat(path)
    except OSError:
        return 0
    return status.st_ctime_ns


def _seen(spec: MappingSpec, path: str) -> os.stat_result | None:
    """What a scan would find there: where links are followed, what they lead to."""
    if not spec.follow_symlinks:
        status = lstat(local_path(spec, path))
        return None if status is not None and _leads_through_link(spec, path) else status
    return _look_at(lambda relative: look_through(spec.local, relative), path)


def local_path(spec: MappingSpec, path: str) -> str:
    """Where a path is on disk; text, because making a `Path` costs more than the look that follows."""
    return f"{spec.local}/{path}"


def exists(spec: MappingSpec, path: str) -> bool:
    """Whether something in a mapping's folder has this path, in this spelling.

    Raises:
        LocalUnreadableError: it cannot be looked at.
    """
    return _seen_as_named(spec, path) is not None and _is_spelled_so(spec, path)


def _seen_as_named(spec: MappingSpec, path: str) -> os.stat_result | None:
    """What has a path, be it a link; but nothing that is reached through a link that is not followed."""
    return lstat(local_path(spec, path)) if spec.follow_symlinks else _seen(spec, path)


def _leads_through_link(spec: MappingSpec, path: str) -> bool:
    """Whether a link has taken the place of a directory on the way: what is found behind it is not published."""
    while path := parent(path):
        status = lstat(local_path(spec, path))
        if status is None or stat.S_ISLNK(status.st_mode):
            return True
    return False


def _is_spelled_so(spec: MappingSpec, path: str) -> bool:
    return bool(_look_at(lambda relative: is_spelled_so(str(spec.local), relative), path))


def lstat(path: str) -> os.stat_result | None:
    """The stat of a path; None only if it is certain that nothing is there.

    Raises:
        LocalUnreadableError: it cannot be looked at.
    """
    return _look_at(toolong.lstat, path)


def stat_of(path: str) -> os.stat_result | None:
    """The same of what a symlink leads to."""
    return _look_at(toolong.stat, path)


def _look_at(look: Callable[[str], _T | None], path: str) -> _T | None:
    try:
        return look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            # A link on the way leads in circles.
            return None
        require_descriptors(error)
        raise LocalUnreadableError(f"It cannot be looked at: {error.strerror}.") from error
