"""What may be done in the remote directory of a mapping: a scratch file is published there, and taken away again.

In: a session, from `check`. Out: a finding, with a remedy.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from ftpsyncd.core import names
from ftpsyncd.errors import FtpsyncdError, NameRefusedError, NotSupportedError, RemoteError
from ftpsyncd.inspection.findings import Area, Finding, Level
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.quoting import quote
from ftpsyncd.remote import listings
from ftpsyncd.remote.port import PublishJob, RemoteSession
from ftpsyncd.remote.remedies import NO_TRASH
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.trials import make_missing
from ftpsyncd.specs import DeletePolicy, ExistingPolicy, MappingSpec, PublishMode

_REFUSALS = (NameRefusedError, NotSupportedError)
_PATTERN = re.compile(r"[^\w/.-]")
_UMASKS = (
    "`local_umask=022` of vsftpd, with `anon_umask=022` for its virtual users, `Umask 022` of proftpd, `-U 133:022` of"
    " pure-ftpd"
)
SCRATCH = b"ftpsyncd check: this file may be deleted.\n"


class _Trial(NamedTuple):
    """What became of a scratch file."""

    path: str
    temporary: str
    """The same where it was sent under its final name."""
    error: FtpsyncdError | None
    """Why it was not published."""
    taken: bool
    """The server has taken the content."""
    left: list[FtpsyncdError | None]
    """Why it could not be deleted: under its temporary name if it had one, under its path; then why it cannot be moved
    into the trash."""
    unseen: NameRefusedError | None
    """Why nobody may look at it."""
    private: bool
    """Nobody may read it at the server but the account itself."""
    unmoved: FtpsyncdError | None
    """Why it could not be renamed, where it was sent under its final name and `deletes: trash` renames files."""
    made: list[str]
    """Directories that were made for it."""
    stays: FtpsyncdError | None
    """Why one of them, or that of the trash, was not removed."""


@contextlib.contextmanager
def _removed_anyway(session: RemoteSession, files: list[str], made: list[str]) -> Iterator[None]:
    """Have another session remove what the block leaves where its own one has ended, or an error say what stays."""
    try:
        yield
    except BaseException as error:
        if isinstance(session, Session) and not session.usable:
            try:
                with session.account() as another:
                    _remove(another, files, made)
            except FtpsyncdError:
                if isinstance(error, FtpsyncdError):
                    stays = f"{' and '.join(map(quote, (*files, *reversed(made))))}, of this check,"
                    error.remedy = f"{error.remedy} Have {stays} removed there, if any has stayed.".strip()
        raise


def _remove(session: RemoteSession, files: list[str], made: list[str]) -> FtpsyncdError | None:
    """Delete files, and the directories that were made for them; returns why one of these may not be removed.

    Raises:
        FtpsyncdError: something else is in the way.
    """
    refused: FtpsyncdError | None = None
    session.delete_many(files)
    for directory in reversed(made):
        try:
            session.remove_dir(directory)
        except _REFUSALS as error:
            refused = refused or error
    return refused


def rights(mapping: MappingSpec, session: RemoteSession) -> Finding:
    """Publish a scratch file in the mapping's remote directory, and take it away again.

    Raises:
        FtpsyncdError: that is not possible.
    """
    made: list[str] = []
    # Without a dot at its beginning, which many servers forbid: what is published has none there either.
    path = remote_join(mapping.remote, f"ftpsyncd-check-{secrets.token_hex(4)}")
    temporary = path if mapping.publish is PublishMode.DIRECT else names.temporary(path, "check")
    left: list[FtpsyncdError | None] = []
    stays: list[FtpsyncdError | None] = []
    ours = [path] if temporary == path else [temporary, path]
    unmoved: FtpsyncdError | None = None
    moves = temporary == path and mapping.deletes is DeletePolicy.TRASH
    if moves:
        ours.append(f"{path}-moved")
    with _removed_anyway(session, ours, made):
        make_missing(session, mapping.remote, made)
        there = list(made)
        try:
            error, taken = _publish(session, path, temporary)
            unseen = None if error else _unseen(session, path)
            private = not (error or unseen) and _is_private(session, path)
            if moves and not (error or unseen):
                unmoved = _try_rename(session, *ours)
        except (KeyboardInterrupt, SystemExit):
            if isinstance(session, Session):
                # It was cut off in the middle of a word: what comes next would be taken for another answer.
                session.abandon()
            raise
        finally:
            if session.usable:
                left = session.delete_many(ours)
                if mapping.deletes is DeletePolicy.TRASH:
                    left.append(_try_trash(session, mapping.remote, made, stays))
                stays.append(_remove(session, [], there))
        if error is not None and not session.usable:
            raise error
    stay = next((each for each in stays if each is not None), None)
    trial = _Trial(path, temporary, error, taken, left, unseen, private, unmoved, there, stay)
    return _judged(mapping, session, trial)


def _judged(mapping: MappingSpec, session: RemoteSession, trial: _Trial) -> Finding:
    """What is found after a trial that left a session in order, or was done to its end.

    Raises:
        FtpsyncdError: files cannot be published there.
    """
    hides, left = session.hides(trial.path), trial.left
    asked = [trial.path] if trial.path == trial.temporary else [trial.temporary, trial.path]
    if trial.unseen is not None and hides and len(asked) > 1:
        # It was renamed. Where nobody may look, a refused DELE does not tell that nothing is under its temporary name.
        asked, left = asked[1:], left[1:]
    kept = {place: each for place, each in zip(asked, left, strict=False) if isinstance(each, _REFUSALS)}
    if kept and trial.taken and (trial.error is None or not hides):
        return _keeps(mapping, kept, renames=hides)
    trouble = next((each for each in (trial.error, *left) if each is not None), None)
    if trouble is not None:
        raise trouble
    if trial.unseen is not None and (lacks := _hidden(mapping, trial.unseen)):
        return lacks
    how = " (the directory is made at the first publish)" if trial.made and trial.stays is None else ""
    if trial.unmoved is not None:
        return Finding(
            Level.WARNING,
            Area.DIRECTORY,
            f"mapping {mapping.name}",
            f"{mapping.remote} takes and deletes files, but renames none{how}: `deletes: trash` cannot work:"
            f" {trial.unmoved.message}",
            "Have the server allow RNFR and RNTO, or set another `deletes` for the mapping.",
        )
    # Where it was sent under its final name, it is not known whether files can be renamed, but for the trash.
    renames = trial.temporary != trial.path or mapping.deletes is DeletePolicy.TRASH
    does = "takes, renames and deletes files" if renames else "takes and deletes files"
    if trial.temporary != trial.path and not hides:
        trash = "; `deletes: trash` cannot work" if mapping.deletes is DeletePolicy.TRASH else ""
        return Finding(
            Level.WARNING,
            Area.DIRECTORY,
            f"mapping {mapping.name}",
            f"{mapping.remote} takes and deletes files, but renames none{how}: they are sent under their final names, "
            f"and seen there before they are complete{trash}.",
            "Have the server allow RNFR and RNTO.",
        )
    if trial.stays is not None and mapping.deletes is not DeletePolicy.KEEP:
        return Finding(
            Level.WARNING,
            Area.DIRECTORY,
            f"mapping {mapping.name}",
            f"{mapping.remote} {does}, but directories stay there: {trial.stays.message}",
            "Have the server allow RMD: else a folder that is deleted here stays there, empty, and is parked.",
        )
    if trial.private:
        return Finding(
            Level.WARNING,
            Area.DIRECTORY,
            f"mapping {mapping.name}",
            f"{mapping.remote} {does}{how}, but the server lets nobody else read them: to a web server that is "
            "another user there, they are closed.",
            f"If others are to read them, have the server set another umask ({_UMASKS}).",
        )
    return Finding(Level.OK, Area.DIRECTORY, f"mapping {mapping.name}", f"{mapping.remote} {does}{how}.")


def _keeps(mapping: MappingSpec, kept: Mapping[str, FtpsyncdError], *, renames: bool) -> Finding:
    """What is found where nothing may be deleted, so that the scratch file stays."""
    left = list(kept)
    settings = [] if mapping.deletes is DeletePolicy.KEEP else ["`deletes: keep`"]
    what, allowed = "takes files, but deletes none", "DELE"
    if mapping.publish is not PublishMode.DIRECT and renames:
        what = "takes and renames files, but deletes none"
    elif mapping.publish is not PublishMode.DIRECT:
        what = "takes files, but renames and deletes none"
        allowed = "DELE, RNFR and RNTO"
        settings.append("`publish: direct`, which tries neither")
        left += map(names.trial, kept)
    instead = f", or set {' and '.join(settings)}" if settings else ""
    stays = " and ".join(map(quote, left))
    return Finding(
        Level.ERROR if settings else Level.WARNING,
        Area.DIRECTORY,
        f"mapping {mapping.name}",
        f"{mapping.remote} {what}: {next(iter(kept.values())).message}",
        f"Have the server allow {allowed}{instead}. Have {stays}, of this check, removed there.",
    )


def _unseen(session: RemoteSession, path: str) -> NameRefusedError | None:
    """Why nobody may look at a file that was just published, if that is so."""
    try:
        session.stat(path)
    except NameRefusedError as refused:
        return refused
    return None


def _is_private(session: RemoteSession, path: str) -> bool:
    """Whether nobody may read a file that was just published but the account itself, as far as the server tells."""
    if not isinstance(session, Session):
        return False
    if session.profile.mlst:
        return listings.is_private(session.exchange([session.command("MLST", path)])[0])
    # Servers take its argument for a pattern, and that of LIST for options, too.
    plain = session.profile.features and not _PATTERN.search(path)
    return bool(plain) and listings.is_private(session.exchange([session.command("STAT", path)])[0])


def _hidden(mapping: MappingSpec, refused: NameRefusedError) -> Finding | None:
    """What is lost where nobody may look: what might be somebody else's is neither deleted nor replaced."""
    lost, settings = [], []
    if mapping.deletes is not DeletePolicy.KEEP:
        lost.append("none is deleted there")
        settings.append("`deletes: keep`")
    if mapping.existing is ExistingPolicy.KEEP:
        lost.append("with `existing: keep` none is sent")
        settings.append("`existing: adopt`")
    if not lost:
        return None
    what = "takes files, but does not let us look at them"
    return Finding(
        Level.ERROR,
        Area.DIRECTORY,
        f"mapping {mapping.name}",
        f"{mapping.remote} {what}, so that {' and '.join(lost)}: {refused.message}",
        f"Have the server allow SIZE and LIST, or set {' and '.join(settings)}.",
    )


def _try_rename(session: RemoteSession, path: str, moved: str) -> FtpsyncdError | None:
    """Give the scratch file another name, and its own again; returns why that is refused."""
    try:
        session.rename(path, moved)
        session.rename(moved, path)
    except _REFUSALS as error:
        return error
    return None


def _try_trash(
    session: RemoteSession, remote: str, made: list[str], stays: list[FtpsyncdError | None]
) -> FtpsyncdError | None:
    """Make the directory into which deleted files are moved, and take it away again; returns why it cannot be made.

    Should the session end under that, it is among those that were ``made``. Why it may not be removed is in ``stays``.
    """
    trash: list[str] = []
    try:
        make_missing(session, remote_join(remote, names.TRASH), trash)
        stays.append(_remove(session, [], trash))
    except NameRefusedError as error:
        error.message = f"`deletes: trash` cannot work: {error.message}"
        error.remedy = NO_TRASH
        return error
    finally:
        if not session.usable:
            made += trash
    return None


def _publish(session: RemoteSession, path: str, temporary: str) -> tuple[FtpsyncdError | None, bool]:
    """Publish the scratch file; returns why that failed, and whether the server has taken the content."""
    # In memory: there may be no place to write to, or no space.
    with os.fdopen(os.memfd_create("scratch"), "w+b") as scratch:
        scratch.write(SCRATCH)

        def reopen() -> BinaryIO:
            scratch.seek(0)
            return os.fdopen(os.dup(scratch.fileno()), "rb")

        job = PublishJob(
            path=path,
            temporary=temporary,
            size=len(SCRATCH),
            mtime_s=0,
            open=reopen,
            confirm=lambda _file, _sha256: None,
        )
        results = list(session.publish([job]))
    if not results:
        return RemoteError("The server ended the connection before the scratch file was sent."), False
    error, taken = results[0].error, results[0].reply.startswith("2")
    if isinstance(error, NameRefusedError):
        error.message = f"The remote directory {parent(path) or '/'} cannot be written: {error.message}"
    return error, taken
