"""``check``: is everything as it should be? From a configuration to findings, one by one, each with a remedy.

The command line prints them. Nothing is changed but for a scratch file in each remote directory, which is deleted
again at once, and directories that had to be made for it, which are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from ftpsyncd import alerts, patience
from ftpsyncd.config import Config, missing_secrets, placed
from ftpsyncd.counting import number
from ftpsyncd.errors import (
    ConfigError,
    DataUnreachableError,
    ExitCode,
    FtpsyncdError,
    NameRefusedError,
    PathsRefusedError,
    RemoteError,
    TlsFileError,
)
from ftpsyncd.inspection.findings import Area, Finding, Level
from ftpsyncd.inspection.machine import machine
from ftpsyncd.inspection.outsiders import outsiders
from ftpsyncd.inspection.rights import rights
from ftpsyncd.paths import remote_join
from ftpsyncd.quoting import address, quote
from ftpsyncd.remote import facts
from ftpsyncd.remote.account import connect as connect_session
from ftpsyncd.remote.port import RemoteSession
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.specs import MappingSpec, ServerSpec, TlsMode

_REFUSED_REMEDY = "Correct `remote`, or the permissions at the server, then run `ftpsyncd check`."

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
        again = session.account if isinstance(session, Session) else partial(connect, server)
        in_order = yield from _all_rights(mappings, session, again)
        if in_order:
            yield from _abilities(subject, session)


def _all_rights(
    mappings: Sequence[MappingSpec],
    session: RemoteSession,
    again: Callable[[], RemoteSession],
    missed: int = 0,
    *,
    in_place: bool = False,
) -> Generator[Finding, None, bool]:
    """Try each mapping.

    Args:
        mappings: of one server.
        session: there.
        again: opens another one.
        missed: at how many addresses of the host no data connection came about.
        in_place: this one stands in for one that has ended.

    Returns:
        Whether the session that was the last one is in order.
    """
    for done, mapping in enumerate(mappings):
        if not session.usable:
            # It has ended under the mapping before, which tells nothing of this one.
            yield from _not_tried(mappings[done:]) if in_place and done == 1 else _by_another(mappings[done:], again)
            return False
        try:
            yield rights(mapping, session)
        except FtpsyncdError as error:
            others = error.others if isinstance(error, DataUnreachableError) else 0
            if isinstance(session, Session) and (isinstance(error, PathsRefusedError) or missed < others):
                # What this one has learned counts for the next one.
                try:
                    with again() as another:
                        return (yield from _all_rights(mappings[done:], another, again, missed + bool(others)))
                except FtpsyncdError as none:
                    yield _failure(f"mapping {mapping.name}", none)
                    yield from _not_tried(mappings[done + 1 :])
                return False
            if isinstance(error, NameRefusedError):
                # Its usual remedy is `retry`, of a daemon that may not have been started yet.
                known = error.remedy if "remedy" in vars(error) else _REFUSED_REMEDY
                error.remedy = _elsewhere(mapping, session) or known
            area = Area.SERVER if error.exit_code == ExitCode.TEMPFAIL else Area.DIRECTORY
            yield _failure(f"mapping {mapping.name}", error, area)
    return session.usable


def _by_another(mappings: Sequence[MappingSpec], again: Callable[[], RemoteSession]) -> Iterator[Finding]:
    """Try what is left when a session has ended."""
    try:
        with again() as another:
            yield from _all_rights(mappings, another, again, in_place=True)
    except FtpsyncdError as error:
        yield _failure(f"mapping {mappings[0].name}", error)
        yield from _not_tried(mappings[1:])


def _not_tried(mappings: Iterable[MappingSpec]) -> Iterator[Finding]:
    """What is told where one connection after another ends: each costs a time-out, perhaps."""
    for mapping in mappings:
        yield Finding(
            Level.WARNING,
            Area.SERVER,
            f"mapping {mapping.name}",
            "Its remote directory was not tried, since the connections to the server end.",
            "See to the errors of the mappings before, then run `ftpsyncd check` again.",
        )


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
