"""Performing actions at a server: with `deleting` the only code with side effects there.

In: a session and a stream of actions. Out: one outcome per action. Called by the worker threads of `crew`. Every
action is checked against the disk once more right before it acts, because a plan is only as fresh as the look it was
made from: an upload needs the planned file, a delete needs its absence below a root that is still the same folder.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from ftpsyncd.core import names
from ftpsyncd.deleting import Remover
from ftpsyncd.errors import (
    FileBusyError,
    FileChangedError,
    FtpsyncdError,
    InUseError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    TurnMissedError,
)
from ftpsyncd.lastlook import Folder, exists, local_path, lstat, require_gone, stat_of
from ftpsyncd.local.quiet import open_quietly, writer_present
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import (
    Action,
    Adopt,
    Delete,
    Did,
    Done,
    Failed,
    Fingerprint,
    Forget,
    Kind,
    MakeDir,
    Outcome,
    Probe,
    RemoveDir,
    Rename,
    RenameDir,
    Sweep,
    Upload,
    parent,
    remote_join,
)
from ftpsyncd.remote import hashes
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry, RemoteSession
from ftpsyncd.specs import ExistingPolicy, MappingSpec, PublishMode

DELETES_AT_ONCE = 64
DIRECTORIES_AT_ONCE = 64
UPLOADS_AT_ONCE = 8
"""Uploads whose existence at the server is asked for in one round trip, then sent in one run."""
COMPARED = 1024 * 1024
"""Of what a broken transfer left, so much of its end is fetched to see whether it is ours."""
_FRESH_DIRECTORIES = 10_000


@dataclass(slots=True)
class Progress:
    """A file on its way; written by the worker, read by the engine."""

    mapping: str
    path: str
    size_bytes: int
    sent_bytes: int = 0
    started: float = field(default_factory=time.monotonic)


class Stream(Protocol):
    """Where a worker's actions come from."""

    def next(self) -> Action | None:
        """The next action, or None if there is none right now."""

    def put_back(self, action: Action) -> None:
        """Return an action that was taken too early."""


class FreshDirectories:
    """Remote directories that were made empty by us: nothing foreign needs to be looked for in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Remember a directory; the oldest is forgotten when there are too many."""
        with self._lock:
            self._paths[path] = None
            while len(self._paths) > _FRESH_DIRECTORIES:
                del self._paths[next(iter(self._paths))]

    def __contains__(self, path: str) -> bool:
        with self._lock:
            return path in self._paths

    def clear(self) -> None:
        """Forget all: the server may have been changed by somebody."""
        with self._lock:
            self._paths.clear()


class Publisher:
    """Performs the actions of one worker.

    Args:
        folder: the mapping of this name.
        fresh: shared by the workers of a server.
        show: told of the file on its way, and None when there is none.
        received: told of a large upload that the server has begun to receive, and of the file's ctime.
    """

    def __init__(
        self,
        folder: Callable[[str], Folder],
        fresh: FreshDirectories,
        show: Callable[[Progress | None], None] = lambda _progress: None,
        received: Callable[[Upload, int], None] = lambda _upload, _ctime_ns: None,
    ) -> None:
        self._folder = folder
        self._fresh = fresh
        self._show = show
        self._received = received
        self._remover = Remover(folder)

    def perform(self, session: RemoteSession, stream: Stream) -> Iterator[Outcome]:
        """Perform actions until the stream has none or the session is unusable; one outcome per action taken."""
        while session.usable and (action := stream.next()) is not None:
            match action:
                case Upload() if self._is_plain(action):
                    yield from self._send(session, self._plain_uploads(stream, action))
                case Upload():
                    yield from self._upload(session, _more_uploads(stream, action))
                case Delete(trash=""):
                    yield from self._remover.delete(session, _more_deletes(stream, action))
                case MakeDir() if action.path:
                    yield from self._make_dirs(session, _more_directories(stream, action))
                case _:
                    yield from self._one(session, action)

    def _one(self, session: RemoteSession, action: Action) -> Iterator[Outcome]:
        started = time.monotonic()
        try:
            outcome = self._single(session, action)
        except FtpsyncdError as error:
            yield Failed(action, error)
            return
        if isinstance(outcome, Upload):
            yield from (_renamed_by_upload(action, o) for o in self._upload(session, [outcome]))
        elif isinstance(outcome, Fingerprint):
            yield Done(action, Did.ADOPTED, outcome, duration_s=time.monotonic() - started)
        else:
            yield Done(action, outcome, duration_s=time.monotonic() - started)

    def _single(self, session: RemoteSession, action: Action) -> Did | Upload | Fingerprint:
        """One action; an Upload is to be performed instead; a Fingerprint is that of a file found to be ours."""
        match action:
            case MakeDir():
                did: Did | Upload | Fingerprint = self._make_root(session, action)
            case RemoveDir():
                did = self._remover.remove_dir(session, action)
            case Rename():
                did = self._rename(session, action)
            case RenameDir():
                did = self._rename_dir(session, action)
            case Delete():
                did = self._remover.trash(session, action)
            case Sweep():
                did = self._sweep(session, action)
            case Probe():
                session.noop()
                did = Did.ANSWERED
            case Upload() | Forget() | Adopt():
                raise AssertionError(action)
        return did

    # ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────

    def _upload(self, session: RemoteSession, uploads: Sequence[Upload]) -> Iterator[Outcome]:
        to_send: list[Upload] = []
        for upload, there in zip(uploads, self._look(session, uploads), strict=True):
            if isinstance(there, FtpsyncdError):
                yield Failed(upload, there)
                continue
            try:
                did = self._needless(session, upload, there)
            except FtpsyncdError as error:
                yield Failed(upload, error)
                continue
            if did is None:
                to_send.append(upload)
            else:
                yield did
        if to_send:
            yield from self._send(session, to_send)

    def _look(self, session: RemoteSession, uploads: Sequence[Upload]) -> list[RemoteEntry | FtpsyncdError | None]:
        """What is at the server under the names of files that we never published."""
        asked = [i for i, upload in enumerate(uploads) if self._may_be_foreign(upload)]
        found: list[RemoteEntry | FtpsyncdError | None] = [None] * len(uploads)
        try:
            paths = [self._remote(uploads[i].mapping, uploads[i].path) for i in asked]
            for i, entry in zip(asked, session.stat_many(paths) if paths else [], strict=True):
                found[i] = entry
        except FtpsyncdError as error:
            if not session.usable or len(uploads) == 1:
                return [error] * len(uploads)
            # A name that cannot even be asked for must not fail its neighbours, nor cost them their protection.
            policies = [self._folder(upload.mapping).spec.existing for upload in uploads]
            return [
                self._look(session, [upload])[0] if policy is ExistingPolicy.KEEP else None
                for upload, policy in zip(uploads, policies, strict=True)
            ]
        return found

    def _may_be_foreign(self, upload: Upload) -> bool:
        policy = self._folder(upload.mapping).spec.existing
        if upload.replaces or policy is ExistingPolicy.OVERWRITE:
            return False
        return policy is ExistingPolicy.KEEP or parent(self._remote(upload.mapping, upload.path)) not in self._fresh

    def _needless(self, session: RemoteSession, upload: Upload, there: RemoteEntry | None) -> Done | None:
        """An outcome if nothing has to be sent, else None."""
        spec = self._folder(upload.mapping).spec
        if there is not None:
            if spec.existing is ExistingPolicy.KEEP and _ours_of(there, upload.ours) is None:
                if self._is_our_part(session, upload, there):
                    return None
                return Done(upload, Did.KEPT, upload.fingerprint)
            if (there.size, there.mtime_s) == (upload.fingerprint.size, upload.fingerprint.mtime_ns // 10**9):
                return Done(upload, Did.ADOPTED, upload.fingerprint)
        if not upload.known_sha256:
            return None
        file, ctime_ns = self._open(spec, upload)
        with file:
            if hashes.of_file("SHA-256", file) != upload.known_sha256.hex():
                return None
            _require_same(file, spec, upload, ctime_ns, upload.known_sha256)
        remote = self._remote(upload.mapping, upload.path)
        # The date at the server follows; should the file be gone from there, or be cut, it has to be sent after all.
        seen = session.stat(remote)
        if seen is None or seen.kind is not Kind.FILE or seen.size not in {None, upload.fingerprint.size}:
            return None
        session.set_time(remote, upload.fingerprint.mtime_ns // 10**9)
        return Done(upload, Did.UNCHANGED, upload.fingerprint, upload.known_sha256)

    def _is_our_part(self, session: RemoteSession, upload: Upload, there: RemoteEntry) -> bool:
        """Whether what is there is what an earlier try sent of this very file under its final name.

        The file begins like that, so that nothing is lost even if somebody else has put it there.
        """
        spec, remote = self._folder(upload.mapping).spec, self._remote(upload.mapping, upload.path)
        exposed = spec.publish is PublishMode.DIRECT or not session.hides(remote)
        if not (exposed and upload.fingerprint in upload.ours and there.kind is Kind.FILE):
            return False
        if there.size is None or there.size >= upload.fingerprint.size:
            return False
        offset, part = max(0, there.size - COMPARED), io.BytesIO()
        try:
            if there.size:
                session.fetch(remote, part, offset=offset)
        except RemoteError:
            # One may not read there, or not begin in the middle: nothing is known.
            if not session.usable:
                raise
            return False
        with self._open(spec, upload)[0] as file:
            file.seek(offset)
            return file.read(len(part.getvalue())) == part.getvalue()

    def _is_plain(self, upload: Upload) -> bool:
        """Whether there is nothing to ask before an upload: it is simply sent."""
        return not upload.known_sha256 and not self._may_be_foreign(upload)

    def _plain_uploads(self, stream: Stream, first: Upload) -> Iterator[Upload]:
        """``first`` and the plain uploads that follow it, drawn one by one as the session gets to them."""
        action: Action | None = first
        while isinstance(action, Upload) and self._is_plain(action):
            yield action
            action = stream.next()
        if action is not None:
            stream.put_back(action)

    def _send(self, session: RemoteSession, uploads: Iterable[Upload]) -> Iterator[Outcome]:
        open_jobs: dict[int, tuple[PublishJob, Upload]] = {}

        def jobs() -> Iterator[PublishJob]:
            for upload in uploads:
                job = self._job(upload)
                open_jobs[id(job)] = (job, upload)
                yield job

        retry: list[Upload] = []
        for result in session.publish(jobs()):
            upload = open_jobs.pop(id(result.job))[1]
            if _directory_may_be_missing(result.error):
                retry.append(upload)
            else:
                yield _uploaded(upload, result)
        self._show(None)
        for upload in retry:
            yield self._send_again(session, upload)
        for _, upload in open_jobs.values():
            yield Failed(upload, TurnMissedError("The connection ended before this file's turn."))

    def _send_again(self, session: RemoteSession, upload: Upload) -> Outcome:
        """STOR was refused: perhaps somebody removed the directory. Make it and try once more."""
        job = self._job(upload)
        try:
            session.make_dirs(parent(job.path))
            for result in session.publish([job]):
                return _uploaded(upload, result)
        except FtpsyncdError as error:
            return Failed(upload, error)
        finally:
            self._show(None)
        return Failed(upload, TurnMissedError("The connection ended before this file's turn."))

    def _job(self, upload: Upload) -> PublishJob:
        spec = self._folder(upload.mapping).spec
        remote = remote_join(spec.remote, upload.path)
        direct = spec.publish is PublishMode.DIRECT
        progress = Progress(upload.mapping, upload.path, upload.fingerprint.size)
        # Content can change under the same fingerprint, where a program sets the date back; never under the same ctime.
        resume = not direct and upload.resume != 0 and _ctime_ns(spec, upload) == upload.resume
        ctime_ns = 0

        def open_file() -> BinaryIO:
            nonlocal ctime_ns
            self._show(progress)
            progress.started = time.monotonic()
            file, ctime_ns = self._open(spec, upload)
            if resume and ctime_ns != upload.resume:
                file.close()
                raise FileChangedError("It changed since it was planned.")
            return file

        def note(sent: int) -> None:
            progress.sent_bytes = sent

        return PublishJob(
            path=remote,
            temporary=remote if direct else upload.temporary or names.temporary(remote, spec.name),
            size=upload.fingerprint.size,
            mtime_s=upload.fingerprint.mtime_ns // 10**9,
            open=open_file,
            # Of a part that is continued, the hash is that of this file, which may be another content than the part.
            confirm=lambda file, sha256: _require_same(file, spec, upload, ctime_ns, b"" if resume else sha256),
            progress=note,
            # Under its final name a part is there for everybody, and nobody knows what they do to it.
            resume=resume,
            parts=upload.parts if resume else (),
            left=upload.left if resume else (*upload.left, *upload.parts),
            keep_part=not direct,
            begun=lambda continuable: self._received(upload, ctime_ns if continuable else 0),
        )

    def _open(self, spec: MappingSpec, upload: Upload) -> tuple[BinaryIO, int]:
        """Open the planned file: the very one, and nobody writing it. Returns its ctime, too, in ns."""
        file = open_quietly(spec.local, upload.path, follow_symlinks=spec.follow_symlinks)
        try:
            return file, _require_planned_and_quiet(file, upload)
        except BaseException:
            file.close()
            raise

    # ── everything else ──────────────────────────────────────────────────────────────────────────────────────

    def _make_root(self, session: RemoteSession, action: MakeDir) -> Did:
        remote = self._remote(action.mapping, action.path)
        if session.make_dirs(remote):
            self._fresh.add(remote)
        return Did.MADE

    def _make_dirs(self, session: RemoteSession, directories: Sequence[MakeDir]) -> Iterator[Outcome]:
        """Each is told as soon as it is made: other connections send what is in it."""
        paths = [self._remote(action.mapping, action.path) for action in directories]
        waiting = dict(enumerate(directories))
        try:
            for i, verdict in session.make_dir_many(paths):
                action = waiting.pop(i)
                if isinstance(verdict, FtpsyncdError):
                    yield Failed(action, verdict)
                    continue
                if verdict:
                    self._fresh.add(paths[i])
                yield Done(action, Did.MADE)
        except FtpsyncdError as error:
            yield from (Failed(action, error) for action in waiting.values())

    def _rename(self, session: RemoteSession, action: Rename) -> Did | Upload:
        spec = self._folder(action.mapping).spec
        upload = Upload(
            action.mapping,
            action.path,
            action.fingerprint,
            replaces=action.replaces,
            why=f"copy of {action.source}",
            temporary=action.temporary,
            left=action.left,
            ours=action.ours,
        )
        target = self._remote(action.mapping, action.path)
        # A file of this name may be protected: that is for an upload to say.
        if spec.existing is ExistingPolicy.KEEP and not action.replaces and session.stat(target) is not None:
            return upload
        # The old path still there (a hard link, a file put back): it is a second file, not a rename.
        if exists(spec, action.source):
            return upload
        self._require(spec, action.path, action.fingerprint)
        if action.left:
            session.delete_many(action.left)
        try:
            session.rename(self._remote(action.mapping, action.source), target)
        except (NotFoundError, NameRefusedError, NotSupportedError, InUseError):
            return upload
        return Did.RENAMED

    def _sweep(self, session: RemoteSession, action: Sweep) -> Did | Fingerprint:
        did: Did | Fingerprint = Did.SWEPT
        if action.kind is Kind.DIR or action.fingerprints:
            there = session.stat(self._remote(action.mapping, action.path))
            if there is not None and action.kind is there.kind is Kind.DIR:
                did = Did.ADOPTED
            elif there is not None and action.kind is not Kind.DIR and there.kind is not Kind.DIR:
                did = _ours_of(there, action.fingerprints) or did
        if action.temporary:
            _raise_first(session.delete_many([action.temporary]))
        return did

    def _rename_dir(self, session: RemoteSession, action: RenameDir) -> Did:
        spec = self._folder(action.mapping).spec
        if action.interrupted and self._is_renamed(session, action):
            return Did.RENAMED
        require_gone(self._folder(action.mapping), action.source, lambda _mode: True)
        status = _stat(spec, action.path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise FileChangedError("The directory moved on.")
        session.rename(self._remote(action.mapping, action.source), self._remote(action.mapping, action.path))
        return Did.RENAMED

    def _is_renamed(self, session: RemoteSession, action: RenameDir) -> bool:
        paths = [self._remote(action.mapping, action.source), self._remote(action.mapping, action.path)]
        source, target = session.stat_many(paths)
        return source is None and target is not None and target.kind is Kind.DIR

    def _remote(self, mapping: str, path: str) -> str:
        return remote_join(self._folder(mapping).spec.remote, path)

    def _require(self, spec: MappingSpec, path: str, fingerprint: Fingerprint) -> None:
        status = _stat(spec, path)
        if status is None or fingerprint_of(status) != fingerprint:
            raise FileChangedError("It changed since it was planned.")


def _more_uploads(stream: Stream, first: Upload) -> list[Upload]:
    """``first`` and the uploads that follow it directly in the stream."""
    group = [first]
    while len(group) < UPLOADS_AT_ONCE and (action := stream.next()) is not None:
        if not isinstance(action, Upload):
            stream.put_back(action)
            break
        group.append(action)
    return group


def _more_deletes(stream: Stream, first: Delete) -> list[Delete]:
    """``first`` and the deletes that follow it directly in the stream."""
    group = [first]
    while len(group) < DELETES_AT_ONCE and (action := stream.next()) is not None:
        if not isinstance(action, Delete) or action.trash:
            stream.put_back(action)
            break
        group.append(action)
    return group


def _more_directories(stream: Stream, first: MakeDir) -> list[MakeDir]:
    """``first`` and the directories to be made that follow it directly in the stream; their parents exist."""
    group = [first]
    while len(group) < DIRECTORIES_AT_ONCE and (action := stream.next()) is not None:
        if not isinstance(action, MakeDir) or not action.path:
            stream.put_back(action)
            break
        group.append(action)
    return group


def _ours_of(there: RemoteEntry, brought: Sequence[Fingerprint]) -> Fingerprint | None:
    """Which file that an interrupted action of ours was to bring the server has, if it has one of them."""
    seen = (there.size, there.mtime_s)
    return next((each for each in brought if seen == (each.size, each.mtime_ns // 10**9)), None)


def _uploaded(upload: Upload, result: PublishResult) -> Outcome:
    if result.error is not None:
        return Failed(upload, result.error, kept=result.kept)
    return Done(
        upload,
        Did.PUBLISHED,
        upload.fingerprint,
        result.sha256,
        duration_s=result.duration_s,
        reply=result.reply,
    )


def _renamed_by_upload(action: Action, outcome: Outcome) -> Outcome:
    """The outcome of an upload that stood in for a rename, as the rename's own."""
    return outcome._replace(action=action)


def _directory_may_be_missing(error: FtpsyncdError | None) -> bool:
    return isinstance(error, NameRefusedError)


def _require_planned_and_quiet(file: BinaryIO, upload: Upload) -> int:
    status = os.fstat(file.fileno())
    if fingerprint_of(status) != upload.fingerprint:
        raise FileChangedError("It changed since it was planned.")
    if writer_present(file.fileno()):
        raise FileBusyError("A program has it open for writing.")
    return status.st_ctime_ns


def _require_same(file: BinaryIO, spec: MappingSpec, upload: Upload, ctime_ns: int, sha256: bytes) -> None:
    """The open file is still the planned one, of the content that was read, and still under its name."""
    status = _stat(spec, upload.path)
    if (
        status is None
        or fingerprint_of(status) != upload.fingerprint
        or fingerprint_of(os.fstat(file.fileno())) != upload.fingerprint
        or not hashes.still_holds(file, sha256, ctime_ns)
    ):
        raise FileChangedError("It changed while it was sent.")


def _stat(spec: MappingSpec, path: str) -> os.stat_result | None:
    """The stat of what is published under a path, as the scan has it; None if nothing is there."""
    local = local_path(spec, path)
    return stat_of(local) if spec.follow_symlinks else lstat(local)


def _ctime_ns(spec: MappingSpec, upload: Upload) -> int:
    """When the file was last changed in any way; 0 if it cannot be told."""
    path = spec.local / upload.path
    try:
        status = path.stat() if spec.follow_symlinks else path.lstat()
    except OSError:
        return 0
    return status.st_ctime_ns


def _raise_first(verdicts: Sequence[FtpsyncdError | None]) -> None:
    for verdict in verdicts:
        if verdict is not None:
            raise verdict
