"""What is there: one path, or many, with MLST where there is, else with what every server has.

`session` looks with it; `directories` has what is in a directory.

Sources: RFC 959 §4.1.3 (LIST), RFC 3659 (SIZE, MDTM, MLST).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
)
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename, parent
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, listings, replies
from ftpsyncd.remote.directories import TOLD_OF_MOST, entries, goes_nowhere
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.standing import HOME

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def stat_many(session: Session, paths: Sequence[str]) -> list[RemoteEntry | None]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.stat_many`."""
    if session.profile.mlst:
        answers = session.exchange([session.command("MLST", path) for path in paths])
        session.profile.stats_missed = 0
        if not any(_unknown(session, reply, "MLST") for reply in answers) or _knows_mlst(session):
            return _entries(session, paths, answers)
    return _sized(session, paths)


def as_far_as_shown(session: Session, paths: Sequence[str]) -> list[RemoteEntry | None]:
    """`stat_many`; empty if the server does not let us look.

    Raises:
        RemoteError: the session ended.
    """
    try:
        return stat_many(session, paths)
    except RemoteError:
        if not session.usable:
            raise
        return []


def out_of_sight(session: Session, path: str) -> bool:
    """Whether there may be something at a path where nothing is shown: nobody is let into a directory that it is in.

    proftpd and pure-ftpd say of what is in there what they say of what is not there. proftpd may say so of every
    directory, the root too, where nobody may go to any (<Limit DIRS>).

    Raises:
        RemoteError: the session ended.
    """
    goes_home = True
    while path := parent(path):
        visit, home = session.exchange([session.visit(path), HOME])
        if visit.good:
            return False
        if replies.says_denied(visit, path, session.account.spec.encoding):
            return True
        goes_home = home.good
    return not goes_home


def _entries(session: Session, paths: Sequence[str], answers: Sequence[Reply]) -> list[RemoteEntry | None]:
    """What MLST has said; where that tells nothing, what there is else."""
    found: list[RemoteEntry | None] = []
    bare: list[int] = []
    links: list[int] = []
    for path, reply in zip(paths, answers, strict=True):
        entry = listings.parse_mlst(reply, session.account.spec.encoding)
        if entry is not None:
            entry = entry._replace(name=basename(path))
            if entry.kind is Kind.FILE and listings.may_be_link(reply):
                links.append(len(found))
        elif reply.code == 250 or not _is_absent(session, path, reply):
            bare.append(len(found))
        found.append(entry)
    for i, seen in zip(bare, _sized(session, [paths[i] for i in bare]), strict=True):
        found[i] = seen
    for i, size in zip(links, session.exchange([session.command("SIZE", paths[i]) for i in links]), strict=True):
        entry, told = found[i], facts.parse_size(size)
        if entry is not None and told is not None:
            found[i] = entry._replace(size=told)
    return found


def _sized(session: Session, paths: Sequence[str]) -> list[RemoteEntry | None]:
    """What there is, by SIZE and MDTM, by going there, and by LIST."""
    commands = [session.command(verb, path) for path in paths for verb in ("SIZE", "MDTM")]
    answers = session.exchange(commands)
    found: list[RemoteEntry | None] = []
    for path, size, date in zip(paths, answers[::2], answers[1::2], strict=True):
        _sane(session, size, "SIZE", {213})
        known = facts.parse_size(size)
        if known is not None:
            found.append(RemoteEntry(basename(path), Kind.FILE, known, facts.parse_mdtm(date)))
        else:
            found.append(None)
    # What has no size may be a directory, or what has one where directories have sizes: one can go there.
    every = any(entry is not None for entry in found) and _sizes_dirs(session)
    unknown = [i for i, entry in enumerate(found) if entry is None or every]
    visits = session.exchange([*(session.visit(paths[i] or "/") for i in unknown), HOME]) if unknown else []
    listed: dict[str, dict[str, RemoteEntry] | None] = {}
    for i, visit in zip(unknown, visits, strict=False):
        size, date = answers[2 * i : 2 * i + 2]
        if visit.good:
            found[i] = RemoteEntry(basename(paths[i]), Kind.DIR, None, None)
        elif found[i] is not None:
            continue
        elif 213 in {size.code, date.code}:
            # It may have told a size that is none: a large one, counted in 32 bits.
            found[i] = RemoteEntry(basename(paths[i]), Kind.FILE, None, facts.parse_mdtm(date))
        elif replies.says_irregular(size) and not visits[-1].good and goes_nowhere(session, paths[i]):
            # Nobody may go anywhere (<Limit DIRS> of proftpd).
            found[i] = RemoteEntry(basename(paths[i]), Kind.DIR, None, None)
        elif not _absent(session, paths[i], "SIZE", size) and not _absent(session, paths[i], "MDTM", date):
            found[i] = _listed(session, paths[i], (size, date), listed, moves=visits[-1].good)
    return found


def _sizes_dirs(session: Session) -> bool:
    """Whether the server tells sizes of directories as well (Twisted does): the root is asked for, once."""
    profile = session.profile
    if profile.sizes_dirs is None:
        where = b"/" if not session.relative else b"."
        profile.sizes_dirs = facts.parse_size(session.exchange([b"SIZE " + where])[0]) is not None
    return profile.sizes_dirs


def _unknown(session: Session, reply: Reply, verb: str) -> bool:
    # 501 is about the parameters, or so they say: some answer it whatever the path is.
    return reply.code == 501 or (
        reply.code in {500, 502, 504} and isinstance(session.error(reply, verb), NotSupportedError)
    )


def _knows_mlst(session: Session) -> bool:
    """Whether it was the path that was not understood, for its length perhaps: the root is asked for."""
    session.profile.stats = not _unknown(session, session.exchange([session.command("MLST", "/")])[0], "MLST")
    return session.profile.stats


def _absent(session: Session, path: str, verb: str, refusal: Reply) -> bool:
    """Whether it says that there is no such file, and not that the command is unknown or not allowed."""
    denied = replies.says_denied(refusal, path, session.account.spec.encoding)
    return isinstance(session.error(refusal, verb, path), NameRefusedError) and not denied


def _listed(
    session: Session,
    path: str,
    refusals: Sequence[Reply],
    known: dict[str, dict[str, RemoteEntry] | None],
    *,
    moves: bool,
) -> RemoteEntry | None:
    """A name that the server does not tell of (``refusals``), as the listing of its directory shows it.

    ``known`` are directories that were listed before, or are not there (None); ``moves``: one can go to directories.

    Raises:
        NameRefusedError: none of that may be seen either.
    """
    directory = parent(path) or "/"
    if directory not in known:
        try:
            known[directory] = {entry.name: entry for entry in entries(session, directory)}
        except NotFoundError:
            known[directory] = None
        except NameRefusedError as unseen:
            if moves:
                raise
            raise NameRefusedError(
                f"The server does not tell of {named(path)}: {unseen.reply}", reply=unseen.reply
            ) from unseen
    there = known[directory]
    # Where one can go nowhere, no directory seems to be there, and where nothing may be looked at, each is empty
    # (proftpd). Where no command tells of a file (aioftp), that is no refusal: what is listed counts, if it is nothing.
    blind = not session.shown.lists and not all(_is_unsupported(session, refusal) for refusal in refusals)
    if (there is None and not moves) or (there == {} and blind):
        said = refusals[0].text
        raise NameRefusedError(f"The server does not tell of {named(path)}: {said}", reply=said)
    return there.get(basename(path)) if there else None


def _is_unsupported(session: Session, refusal: Reply) -> bool:
    """Whether the server has no such command, whatever it is about."""
    return isinstance(session.error(refusal, "SIZE"), NotSupportedError)


def _sane(session: Session, reply: Reply, verb: str, codes: set[int]) -> None:
    """A success code of another command means that replies and commands are out of step."""
    if reply.code < 400 and reply.code not in codes:
        session.doubt()
        session.abandon()
        raise ProtocolError(f"The server answers {verb} with: {reply.text}", reply=reply.text)


def _is_absent(session: Session, path: str, reply: Reply) -> bool:
    """Whether a refusal of MLST means that there is nothing, and not that it tells of nothing there.

    Raises:
        RemoteError: something else is wrong.
    """
    _sane(session, reply, "MLST", set())
    error = session.error(reply, "MLST", path)
    if not isinstance(error, NameRefusedError):
        raise error
    if isinstance(error, NotFoundError) or replies.says_unlisted(reply):
        return True
    if replies.says_denied(reply, path, session.account.spec.encoding):
        return False
    # Other words may be for everything there (proftpd's, for what a <Limit> denies): would it tell of what is there?
    above = parent(path) or "/"
    if above not in session.shown.told_of and session.exchange([session.command("MLST", above)])[0].code == 250:
        if len(session.shown.told_of) >= TOLD_OF_MOST:
            session.shown.told_of.clear()
        session.shown.told_of.add(above)
    return above in session.shown.told_of or _knows_bare(session, above, path)


def _knows_bare(session: Session, directory: str, path: str) -> bool:
    """Whether MLST tells of what it refuses, by its bare name: then that is looked into (`reaching`), and all anew."""
    if session.relative or session.profile.paths is not None or not path.strip("/"):
        return False
    bare = b"MLST " + session.name(basename(path))
    visit, told, _ = session.exchange([session.visit(directory), bare, HOME])
    return visit.good and listings.parse_mlst(told, session.account.spec.encoding) is not None
