"""``check``: is everything as it should be? From a configuration to findings, one by one, each with a remedy.

The command line prints them. Nothing is changed but for a scratch file in each remote directory, which is deleted
again at once, and directories that had to be made for it, which are removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import BinaryIO

from ftpsyncd import alerts, patience
from ftpsyncd.config import Config, missing_secrets, placed
from ftpsyncd.core import names
from ftpsyncd.counting import number
from ftpsyncd.errors import (
    ConfigError,
    ExitCode,
    FtpsyncdError,
    NameRefusedError,
    NotSupportedError,
    PathsRefusedError,
    RemoteError,
    TlsFileError,
)
from ftpsyncd.inspection.findings import Area, Finding, Level
from ftpsyncd.inspection.machine import machine
from ftpsyncd.inspection.outsiders import outsiders
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.quoting import address, quote
from ftpsyncd.remote import facts
from ftpsyncd.remote.account import connect as connect_session
from ftpsyncd.remote.port import PublishJob, RemoteSession
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.remote.trials import make_missing
from ftpsyncd.specs import DeletePolicy, MappingSpec, PublishMode, ServerSpec, TlsMode

_REFUSALS = (NameRefusedError, NotSupportedError)
_REFUSED_REMEDY = "Correct `remote`, or the permissions at the server, then run `ftpsyncd check`."
SCRATCH = b"ftpsyncd check: this file may be deleted.\n"

Connect = Callable[[ServerSpec], RemoteSession]


def check(config: Config, *, offline: bool, connect: Connect = connect_session) -> Iterator[Finding]:
    """Look at everything, in the order in which a person would mend it.

    Args:
        config: a configuration that could be loaded.
        offline: leave the servers alone.
        connect: opens a session; raises a RemoteError.
    """
    unfit = yield from _config(config)
    yield from _alerts(config)
    yield from outsiders(config)
    yield from machine(config)
    if offline:
        return
    for server in config.servers.values():
        if server.name in unfit:
            continue  # nobody can log in there, which has been told
        mappings = [mapping for mapping in config.mappings.values() if mapping.server == server.name]
        yield from _server(server, mappings, connect)


# ── The configuration ────────────────────────────────────────────────────────────────────────────────────────────


def _config(config: Config) -> Generator[Finding, None, set[str]]:
    """Returns the names of the servers that cannot be logged in to with what is here."""
    counts = f"{number(len(config.servers), 'server')}, {number(len(config.mappings), 'mapping')}"
    yield Finding(Level.OK, Area.CONFIG, "config", f"{config.path} is valid: {counts}.")
    for warning in config.warnings:
        yield Finding(Level.WARNING, Area.CONFIG, "config", str(warning))
    missing = missing_secrets(config)
    unfit = set(missing)
    for problem in chain.from_iterable(missing.values()):
        remedy = "Provide it there, or correct the configuration."
        yield Finding(Level.ERROR, Area.CONFIG, "secrets", problem.words, remedy)
    for server in config.servers.values():
        has_files = server.tls_ca is not None or server.client_cert is not None
        if has_files and server.name not in unfit and (error := _unfit_files(config, server)) is not None:
            unfit.add(server.name)
            yield Finding(Level.ERROR, Area.CONFIG, f"server {server.name}", error.message, error.remedy)
    if not missing and config.servers:
        yield Finding(Level.OK, Area.CONFIG, "secrets", "All passwords can be read.")
    return unfit


def _unfit_files(config: Config, server: ServerSpec) -> TlsFileError | None:
    try:
        with placed(config, server.name):
            tls_context(server)
    except TlsFileError as error:
        return error
    return None


def _alerts(config: Config) -> Iterator[Finding]:
    if config.alerts is None:
        return
    if config.alerts.webhook is not None and (problem := _unfit_address(config.alerts.webhook)):
        yield Finding(
            Level.ERROR,
            Area.CONFIG,
            "alerts",
            f"The address of the webhook {problem}.",
            "Correct it where `alerts.webhook` says that it stands.",
        )
    if config.alerts.command:
        name = config.alerts.command[0]
        seen = patience.answers({name: partial(alerts.unfit_program, name)})
        if name not in seen:
            silence = f"The disk of {quote(name)} has not answered for {patience.ANSWER_S:g} s."
            yield Finding(Level.WARNING, Area.CONFIG, "alerts", silence, "Check the mount.")
        elif unfit := seen[name]:
            yield Finding(Level.ERROR, Area.CONFIG, "alerts", *unfit)


def _unfit_address(webhook: Callable[[], str]) -> str:
    try:
        return alerts.unfit(webhook())
    except ConfigError:
        return ""  # it cannot be read, which was told


# ── The servers ──────────────────────────────────────────────────────────────────────────────────────────────────


def _server(server: ServerSpec, mappings: Sequence[MappingSpec], connect: Connect) -> Iterator[Finding]:
    subject = f"server {server.name}"
    try:
        session = connect(server)
    except FtpsyncdError as error:
        yield _failure(subject, error)
        return
    with session:
        where = address(server.host, server.port)
        yield Finding(Level.OK, Area.SERVER, subject, f"Logged in to {where} as {server.user}.")
        # What is wrong with less has been told of the configuration.
        if server.tls is not TlsMode.OFF:
            version = session.control.tls_version if isinstance(session, Session) else "TLS"
            verified = "verifies" if server.tls_verify else "is not verified"
            yield Finding(Level.OK, Area.SERVER, subject, f"Encrypted with {version}; the certificate {verified}.")
        yield from _all_rights(mappings, session)
        if session.usable or (isinstance(session, Session) and session.profile.relative):
            yield from _abilities(subject, session)


def _all_rights(mappings: Sequence[MappingSpec], session: RemoteSession) -> Iterator[Finding]:
    for done, mapping in enumerate(mappings):
        if not session.usable:
            return
        try:
            yield _rights(mapping, session)
        except PathsRefusedError:
            if not isinstance(session, Session):
                raise
            # What this one has learned counts for the next one.
            try:
                with session.account() as another:
                    yield from _all_rights(mappings[done:], another)
            except FtpsyncdError as none:
                yield _failure(f"mapping {mapping.name}", none)
            return
        except FtpsyncdError as error:
            if isinstance(error, NameRefusedError):
                # Its usual remedy is `retry`, of a daemon that may not have been started yet.
                known = error.remedy if "remedy" in vars(error) else _REFUSED_REMEDY
                error.remedy = _elsewhere(mapping, session) or known
            area = Area.SERVER if error.exit_code == ExitCode.TEMPFAIL else Area.DIRECTORY
            yield _failure(f"mapping {mapping.name}", error, area)


def _elsewhere(mapping: MappingSpec, session: RemoteSession) -> str:
    """What may help where `remote` is refused, and the login leads to another directory than the root."""
    if not isinstance(session, Session):
        return ""
    try:
        # This one may have gone somewhere.
        with session.account() as another:
            told = facts.parse_257(another.exchange([b"PWD"])[0])
    except RemoteError:
        return ""
    home = (told or b"").decode(session.account.spec.encoding, "replace").rstrip("/")
    if not home.startswith("/") or f"{mapping.remote}/".startswith(f"{home}/"):
        return ""
    meant = quote(f"{mapping.server}:{remote_join(home, mapping.remote.strip('/'))}")
    return (
        f"The login leads to {quote(home)}: if the directory is there, set `remote: {meant}`. Else check the "
        "permissions at the server."
    )


def _failure(subject: str, error: FtpsyncdError, area: Area = Area.SERVER) -> Finding:
    said = error.reply if isinstance(error, RemoteError) else ""
    quoted = f" The server said: {said}" if said and said not in error.message else ""
    return Finding(Level.ERROR, area, subject, f"{error.message}{quoted}", error.remedy)


def _abilities(subject: str, session: RemoteSession) -> Iterator[Finding]:
    """What was learned while the scratch files were published; a server that lacks something is served without it."""
    if not isinstance(session, Session):
        return
    profile = session.profile
    has: list[str] = [name for name in ("EPSV", "SIZE", "MLST", "UTF8", "REST") if name in profile.features]
    if profile.dating is not None:
        has.append(f"dates by {profile.dating}" if profile.dating else "no dates")
    if not profile.pipelining:
        has.append("one command at a time")
    if profile.relative:
        has.append("names only within the working directory")
    yield Finding(Level.OK, Area.SERVER, subject, f"The server offers: {', '.join(has) or 'the minimum'}.")


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
                    stays = f"{' and '.join(map(quote, files))}, of this check,"
                    error.remedy = f"{error.remedy} Have {stays} removed there, if any has stayed.".strip()
        raise


def _remove(session: RemoteSession, files: list[str], made: list[str]) -> None:
    """Delete files, and the directories that were made for them."""
    session.delete_many(files)
    for directory in reversed(made):
        session.remove_dir(directory)


def _rights(mapping: MappingSpec, session: RemoteSession) -> Finding:
    """Publish a scratch file in the mapping's remote directory, and take it away again.

    Raises:
        FtpsyncdError: that is not possible.
    """
    made: list[str] = []
    # Without a dot at its beginning, which many servers forbid: what is published has none there either.
    path = remote_join(mapping.remote, f"ftpsyncd-check-{secrets.token_hex(4)}")
    temporary = path if mapping.publish is PublishMode.DIRECT else names.temporary(path, "check")
    left: list[FtpsyncdError | None] = []
    ours = [path] if temporary == path else [temporary, path]
    with _removed_anyway(session, ours, made):
        make_missing(session, mapping.remote, made)
        there = list(made)
        try:
            error, taken = _publish(session, path, temporary)
        except (KeyboardInterrupt, SystemExit):
            if isinstance(session, Session):
                # It was cut off in the middle of a word: what comes next would be taken for another answer.
                session.abandon()
            raise
        finally:
            if session.usable:
                left = session.delete_many(ours)
                if mapping.deletes is DeletePolicy.TRASH:
                    left.append(_try_trash(session, mapping.remote, made))
                _remove(session, [], there)
        if error is not None and not session.usable:
            raise error
    kept = {place: each for place, each in zip(ours, left, strict=False) if isinstance(each, _REFUSALS)}
    if kept and taken and (error is None or not session.hides(path)):
        return _keeps(mapping, kept, renames=session.hides(path))
    trouble = next((each for each in (error, *left) if each is not None), None)
    if trouble is not None:
        raise trouble
    how = " (the directory is made at the first publish)" if there else ""
    if temporary != path and not session.hides(path):
        trash = "; `deletes: trash` cannot work" if mapping.deletes is DeletePolicy.TRASH else ""
        return Finding(
            Level.WARNING,
            Area.DIRECTORY,
            f"mapping {mapping.name}",
            f"{mapping.remote} takes and deletes files, but renames none{how}: they are sent under their final names, "
            f"and seen there before they are complete{trash}.",
            "Have the server allow RNFR and RNTO.",
        )
    return Finding(
        Level.OK, Area.DIRECTORY, f"mapping {mapping.name}", f"{mapping.remote} takes, renames and deletes files{how}."
    )


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


def _try_trash(session: RemoteSession, remote: str, made: list[str]) -> FtpsyncdError | None:
    """Make the directory into which deleted files are moved, and take it away again; returns why that failed.

    Should the session end under that, it is among those that were ``made``.
    """
    trash: list[str] = []
    try:
        make_missing(session, remote_join(remote, names.TRASH), trash)
        _remove(session, [], trash)
    except NameRefusedError as error:
        error.message = f"`deletes: trash` cannot work: {error.message}"
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
