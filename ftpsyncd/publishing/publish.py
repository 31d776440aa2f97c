"""Performing actions at a server: with `deleting` and `existing` the only code with side effects there.

In: a session and a stream of actions. Out: one outcome per action. Called by the worker threads of `crew`. Every
action is checked against the disk once more right before it acts, because a plan is only as fresh as the look it was
made from: an upload needs the planned file, a delete needs its absence below a root that is still the same folder.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ftpsyncd.actions import (
    Action,
    Adopt,
    Delete,
    Did,
    Done,
    Failed,
    Forget,
    MakeDir,
    Outcome,
    Probe,
    RemoveDir,
    Rename,
    RenameDir,
    Sweep,
    Upload,
)
from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    FileChangedError,
    FtpsyncdError,
    InUseError,
    LocalUnreadableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    TurnMissedError,
)
from ftpsyncd.model import Fingerprint, Kind
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.publishing.batches import Stream, more_deletes, more_directories, more_uploads
from ftpsyncd.publishing.deleting import Remover
from ftpsyncd.publishing.existing import Existing, FreshDirectories, old_version, swept
from ftpsyncd.publishing.lastlook import (
    Folder,
    exists,
    is_as_published,
    planned_stat,
    require_gone,
    require_planned,
)
from ftpsyncd.publishing.planned import PlannedFile, Progress
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteSession
from ftpsyncd.specs import ExistingPolicy, MappingSpec, PublishMode


class _Instead(NamedTuple):
    """What is performed in place of a rename."""

    upload: Upload
    displaced: bool = False
    """What was published under the new name was moved aside for the rename, and is not there any more."""

    def told(self, action: Action, outcome: Outcome) -> Outcome:
        """The outcome of the upload as the rename's own."""
        if isinstance(outcome, Failed):
            return outcome._replace(action=action, gone=outcome.gone or self.displaced)
        return outcome._replace(action=action)


class Publisher:
    """Performs the actions of one worker.

    Args:
        folder: the mapping of this name.
        fresh: shared by the workers of a server.
        show: told of the file on its way, and None when there is none.
        received: told of a large upload that the server has begun to receive, and of the file's ctime.
        exposed: told of an upload that is about to be sent under its final name, where nothing foreign is.
    """

    def __init__(
        self,
        folder: Callable[[str], Folder],
        fresh: FreshDirectories,
        show: Callable[[Progress | None], None] = lambda _progress: None,
        received: Callable[[Upload, int], None] = lambda _upload, _ctime_ns: None,
        exposed: Callable[[Upload], None] = lambda _upload: None,
    ) -> None:
        self._folder = folder
        self._fresh = fresh
        self._show = show
        self._received = received
        self._exposed = exposed
        self._remover = Remover(folder)
        self._existing = Existing(folder, fresh)

    def perform(self, session: RemoteSession, stream: Stream) -> Iterator[Outcome]:
        """Perform actions until the stream has none or the session is unusable; one outcome per action taken."""
        while session.usable and (action := stream.next()) is not None:
            match action:
                case Upload() if self._is_plain(action):
                    yield from self._send(session, self._plain_uploads(stream, action), {})
                case Upload():
                    yield from self._upload(session, more_uploads(stream, action))
                case Delete(trash=""):
                    yield from self._remover.delete(session, more_deletes(stream, action))
                case MakeDir() if action.path:
                    yield from self._make_dirs(session, more_directories(stream, action))
                case _:
                    yield from self._one(session, action)

    def _one(self, session: RemoteSession, action: Action) -> Iterator[Outcome]:
        started = time.monotonic()
        try:
            outcome = self._single(session, action)
        except FtpsyncdError as error:
            yield Failed(action, error)
            return
        if isinstance(outcome, _Instead):
            yield from (outcome.told(action, each) for each in self._upload(session, [outcome.upload]))
        elif isinstance(outcome, Done):
            yield outcome._replace(duration_s=time.monotonic() - started)
        elif isinstance(outcome, Fingerprint):
            yield Done(action, Did.ADOPTED, outcome, duration_s=time.monotonic() - started)
        else:
            yield Done(action, outcome, duration_s=time.monotonic() - started)

    def _single(self, session: RemoteSession, action: Action) -> Did | Done | _Instead | Fingerprint:
        """One action; something else is performed instead of some; a Fingerprint is that of a file found to be ours."""
        match action:
            case MakeDir():
                did: Did | Done | _Instead | Fingerprint = self._make_with_parents(session, action)
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
        vacant: dict[Upload, float] = {}
        looked_at = time.monotonic()
        for upload, there in zip(uploads, self._existing.look(session, uploads), strict=True):
            if isinstance(there, FtpsyncdError):
                yield Failed(upload, there)
                continue
            try:
                did = self._existing.needless(session, upload, there)
            except FtpsyncdError as error:
                yield Failed(upload, error)
                continue
            if did is None:
                to_send.append(upload)
                if there is None and self._existing.may_be_foreign(upload):
                    vacant[upload] = looked_at
            else:
                yield did
        if to_send:
            yield from self._send(session, to_send, vacant)

    def _is_plain(self, upload: Upload) -> bool:
        """Whether there is nothing to ask before an upload: it is simply sent."""
        return not upload.known_sha256 and not self._existing.may_be_foreign(upload)

    def _plain_uploads(self, stream: Stream, first: Upload) -> Iterator[Upload]:
        """``first`` and the plain uploads that follow it, drawn one by one as the session gets to them."""
        action: Action | None = first
        while isinstance(action, Upload) and self._is_plain(action):
            yield action
            action = stream.next()
        if action is not None:
            stream.put_back(action)

    def _send(
        self, session: RemoteSession, uploads: Iterable[Upload], vacant: Mapping[Upload, float]
    ) -> Iterator[Outcome]:
        """Send files; one that is refused is tried again before the next one, however many follow.

        Args:
            session: to the server.
            uploads: the files.
            vacant: those under whose names the server was seen to have nothing, and when (monotonic seconds).
        """
        open_jobs: dict[int, tuple[PublishJob, Upload, PlannedFile]] = {}
        retry: list[tuple[Upload, PublishResult]] = []
        left, more = iter(uploads), True

        def jobs() -> Iterator[PublishJob]:
            nonlocal more
            for upload in left:
                job, file = self._job(session, upload, vacant.get(upload))
                open_jobs[id(job)] = (job, upload, file)
                yield job
                if retry:
                    return
            more = False

        while more and session.usable:
            for result in session.publish(jobs()):
                _, upload, file = open_jobs.pop(id(result.job))
                if isinstance(result.error, NameRefusedError) and not result.arrived:
                    # The directory may be missing.
                    retry.append((upload, result))
                else:
                    yield _uploaded(upload, result, file)
            self._show(None)
            for upload, first in retry:
                outcome = self._send_again(session, upload, vacant.get(upload))
                if isinstance(outcome, Failed):
                    gone, refused = first.gone or outcome.gone, first.refused and outcome.refused
                    outcome = outcome._replace(gone=gone, refused=refused)
                yield outcome
            retry.clear()
        for _, upload, _ in open_jobs.values():
            yield Failed(upload, TurnMissedError("The connection ended before this file's turn."))

    def _send_again(self, session: RemoteSession, upload: Upload, vacant_at: float | None) -> Outcome:
        """STOR was refused: perhaps somebody removed the directory. Make it and try once more."""
        job, file = self._job(session, upload, vacant_at)
        try:
            session.make_dirs(parent(job.path))
            for result in session.publish([job]):
                return _uploaded(upload, result, file)
        except FtpsyncdError as error:
            return Failed(upload, error)
        finally:
            self._show(None)
        return Failed(upload, TurnMissedError("The connection ended before this file's turn."))

    def _job(self, session: RemoteSession, upload: Upload, vacant_at: float | None) -> tuple[PublishJob, PlannedFile]:
        # What was there, and is to be sent over all the same, is a part of ours.
        keeps = vacant_at is not None and self._existing.keeps(upload)
        folder = self._folder(upload.mapping)
        file = PlannedFile(session, folder, upload, self._show, vacant_at=vacant_at if keeps else None)

        def exposed(begun: bool) -> None:  # noqa: FBT001 - the port's
            if begun or vacant_at is not None or self._existing.is_free(upload):
                self._exposed(upload)

        job = PublishJob(
            path=file.remote,
            temporary=file.temporary,
            size=upload.fingerprint.size,
            mtime_s=upload.fingerprint.mtime_ns // 10**9,
            open=file.open,
            confirm=file.confirm,
            progress=file.sent,
            # Under its final name a part is there for everybody, and nobody knows what they do to it.
            resume=file.resume,
            afresh=upload.afresh,
            parts=upload.parts if file.resume else (),
            left=upload.left if file.resume else (*upload.left, *upload.parts),
            keep_part=not file.direct,
            begun=lambda continuable: self._received(upload, file.ctime_ns if continuable else 0),
            exposed=exposed,
        )
        return job, file

    # ── everything else ──────────────────────────────────────────────────────────────────────────────────────

    def _make_with_parents(self, session: RemoteSession, action: MakeDir) -> Did:
        remote = self._remote(action.mapping, action.path)
        if session.make_dirs(remote):
            self._fresh.add(remote)
        return Did.MADE

    def _make_dirs(self, session: RemoteSession, directories: Sequence[MakeDir]) -> Iterator[Outcome]:
        """Each is told as soon as it is made: other connections send what is in it."""
        paths = [self._remote(action.mapping, action.path) for action in directories]
        waiting = dict(enumerate(directories))
        refused: list[MakeDir] = []
        try:
            for i, verdict in session.make_dir_many(paths):
                action = waiting.pop(i)
                if isinstance(verdict, NameRefusedError):
                    refused.append(action)
                    continue
                if isinstance(verdict, FtpsyncdError):
                    yield Failed(action, verdict)
                    continue
                if verdict:
                    self._fresh.add(paths[i])
                yield Done(action, Did.MADE)
        except FtpsyncdError as error:
            yield from (Failed(action, error) for action in (*refused, *waiting.values()))
            return
        for action in refused:
            # Perhaps somebody removed the directory above, or one that is the same to the server: with those above.
            yield from self._one(session, action)

    def _rename(self, session: RemoteSession, action: Rename) -> Done | _Instead:
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
            exposed=action.exposed,
            afresh=action.afresh,
        )
        target = self._remote(action.mapping, action.path)
        # A file of this name may be protected: that is for an upload to say.
        if spec.existing is ExistingPolicy.KEEP and not action.replaces and session.stat(target) is not None:
            return _Instead(upload)
        # The old path still there (a hard link, a file put back), as far as anybody can tell: a second file, no rename.
        if _may_be_there(spec, action.source):
            return _Instead(upload)
        source = self._remote(action.mapping, action.source)
        try:
            there = session.stat(source)
        except (NameRefusedError, NotSupportedError):
            # Where one may only write, nobody is told.
            return _Instead(upload)
        if there is not None and not (there.kind is Kind.FILE and sizes.fits(there.size, action.fingerprint.size)):
            # Somebody else's, or a part: under the new name it would count as published. What becomes of it under the
            # old one is for its delete to say.
            return _Instead(upload)
        if not is_as_published(spec, action, session.noop):
            return _Instead(upload)
        require_planned(spec, action.path, action.fingerprint)
        if action.left:
            session.delete_many(action.left)
        try:
            left = session.rename(source, target)
        except (NotFoundError, NameRefusedError, NotSupportedError, InUseError) as error:
            return _Instead(upload, displaced=error.aside != "")
        return Done(action, Did.RENAMED, left=left)

    def _sweep(self, session: RemoteSession, action: Sweep) -> Did | Fingerprint:
        # What a mapping left that has gone is told by its remote path.
        remote = self._remote(action.mapping, action.path) if action.mapping else action.path
        if action.published is not None:
            return Did.SWEPT if self._existing.is_still_published(session, remote, action) else Did.SPOILED
        if action.temporary:
            # Before anything is looked at: where nobody may look, it goes all the same.
            _raise_first(session.delete_many([action.temporary]))
        found = self._brought(session, action, remote)
        left = old_version(session, action.temporary, remote) if action.temporary else []
        if found is Did.DELETED:
            left.append(remote)
        if left:
            _raise_first(session.delete_many(left))
        return Did.SWEPT if found is Did.DELETED else found

    def _brought(self, session: RemoteSession, action: Sweep, remote: str) -> Did | Fingerprint:
        """What was interrupted may have brought something under its final name: what that is, as `swept` says it.

        ADOPTED: the directory that was to be made or renamed.
        """
        if action.kind is not Kind.DIR and not action.fingerprints and not action.exposed:
            return Did.SWEPT
        there = session.stat(remote)
        if there is None or not _keeps(session, remote):
            return Did.SWEPT
        if there.kind is Kind.DIR:
            return Did.ADOPTED if action.kind is Kind.DIR else Did.SWEPT
        if not action.fingerprints and not action.exposed:
            return Did.SWEPT
        return swept(there, action, hidden=self._is_hidden(session, action))

    def _is_hidden(self, session: RemoteSession, action: Sweep) -> bool:
        """Whether a part of what is swept can be under a temporary name only."""
        if not action.mapping:
            return action.exposed is None
        direct = self._folder(action.mapping).spec.publish is PublishMode.DIRECT
        return not direct and session.hides(self._remote(action.mapping, action.path))

    def _rename_dir(self, session: RemoteSession, action: RenameDir) -> Did:
        spec = self._folder(action.mapping).spec
        if action.interrupted:
            places = action.places or (action.path,)
            paths = [self._remote(action.mapping, path) for path in (action.source, *places)]
            source, *found = session.stat_many(paths)
            directories = (path for path, entry in zip(places, found, strict=True) if entry and entry.kind is Kind.DIR)
            there = next(directories, None)
            if source is None and there == action.path:
                return Did.RENAMED
            if source is None and there is None and action.ask_only:
                # It came late, and what it had brought is gone from there, too.
                return Did.SPOILED
        if action.ask_only:
            raise FileChangedError("The directory was not renamed.")
        require_gone(self._folder(action.mapping), action.source, lambda _mode: True)
        status = planned_stat(spec, action.path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise FileChangedError("The directory moved on.")
        session.rename(self._remote(action.mapping, action.source), self._remote(action.mapping, action.path))
        return Did.RENAMED

    def _remote(self, mapping: str, path: str) -> str:
        return remote_join(self._folder(mapping).spec.remote, path)


def _uploaded(upload: Upload, result: PublishResult, file: PlannedFile) -> Outcome:
    if result.error is not None:
        return Failed(
            upload,
            result.error,
            kept=result.kept,
            in_place=result.in_place,
            gone=result.gone,
            refused=result.refused,
            reached=result.reached,
            unanswered=result.unanswered,
        )
    return Done(
        upload,
        Did.PUBLISHED,
        upload.fingerprint,
        result.sha256,
        duration_s=result.duration_s,
        reply=result.reply,
        ctime_ns=file.ctime_ns,
        left=result.left,
    )


def _may_be_there(spec: MappingSpec, path: str) -> bool:
    """Whether something has a path here, or that cannot be told: the folder that it is in may be closed by now."""
    try:
        return exists(spec, path)
    except LocalUnreadableError:
        return True


def _keeps(session: RemoteSession, path: str) -> bool:
    """Whether what the server has under this name is what bears it, and not another file."""
    try:
        session.assure(path)
    except NameRefusedError:
        return False
    return True


def _raise_first(verdicts: Sequence[FtpsyncdError | None]) -> None:
    for verdict in verdicts:
        if verdict is not None:
            raise verdict
