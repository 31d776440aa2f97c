"""What is there: one path, many, or a directory, with MLST where there is, else with what every server has.

`session` looks with it.

Sources: RFC 959 §4.1.3 (LIST), RFC 3659 (SIZE, MDTM, MLST).
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    TransferFailedError,
)
from ftpsyncd.expression import Expression
from ftpsyncd.model import Kind
from ftpsyncd.paths import basename, parent
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, listings, replies, transfer
from ftpsyncd.remote.port import PartlyListedError, RemoteEntry
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.standing import VISIT

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_NO_FILES = Expression(r"\bno (?:such )?files?\b|\bdirectory (?:is )?empty\b", re.IGNORECASE)
HOME = b"CWD /"
"""Follows every visit: pure-ftpd ends a session whose working directory was removed."""


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

    proftpd and pure-ftpd say of what is in there what they say of what is not there.

    Raises:
        RemoteError: the session ended.
    """
    while path := parent(path):
        visit = session.exchange([session.visit(path), HOME])[0]
        if visit.good:
            return False
        if replies.says_denied(visit, path, session.account.spec.encoding):
            return True
    return False


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
        elif not _absent(session, paths[i], "SIZE", size) and not _absent(session, paths[i], "MDTM", date):
            found[i] = _listed(session, paths[i], size, listed, moves=visits[-1].good)
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
    session: Session, path: str, refusal: Reply, known: dict[str, dict[str, RemoteEntry] | None], *, moves: bool
) -> RemoteEntry | None:
    """A name that the server does not tell of (``refusal``), as the listing of its directory shows it.

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
    there = known[directory]
    # Where one can go nowhere, no directory seems to be there, and where nothing is listed, each is empty (proftpd).
    if (there is None and not moves) or (there == {} and not session.lists):
        raise NameRefusedError(f"The server does not tell of {named(path)}: {refusal.text}", reply=refusal.text)
    return there.get(basename(path)) if there else None


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
    if above not in session.told_of and session.exchange([session.command("MLST", above)])[0].code == 250:
        session.told_of.add(above)
    return above in session.told_of or _knows_bare(session, above, path)


def _knows_bare(session: Session, directory: str, path: str) -> bool:
    """Whether MLST tells of what it refuses, by its bare name: then that is looked into (`reaching`), and all anew."""
    if session.relative or session.profile.paths is not None or not path.strip("/"):
        return False
    bare = b"MLST " + session.name(basename(path))
    visit, told, _ = session.exchange([session.visit(directory), bare, HOME])
    return visit.good and listings.parse_mlst(told, session.account.spec.encoding) is not None


def list_dir(session: Session, path: str, *, dated: bool = True) -> list[RemoteEntry]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.list_dir`."""
    there = _shown(session, path, dated=dated)
    if session.cut_short:
        raise PartlyListedError(
            f"The server lists only {len(there):,} of what is in {named(path)}: {session.cut_short}",
            reply=session.cut_short,
            entries=there,
        )
    return there


def holds_something(session: Session, path: str) -> bool:
    """Whether anything is in a directory; errors as of `list_dir`."""
    try:
        return bool(list_dir(session, path, dated=False))
    except PartlyListedError:
        return True


def _shown(session: Session, path: str, *, dated: bool) -> list[RemoteEntry]:
    """What the server shows of a directory; `Session.cut_short` tells whether that is all."""
    if not session.profile.mlsd:
        return _list_dir(session, path, dated=dated)
    try:
        text = _list_machinely(session, path)
    except (NotSupportedError, NameRefusedError) as error:
        if not isinstance(error, NotSupportedError) and error.reply[:3] != "501":
            return _list_refused(session, path, error, dated=dated)
        there = _list_dir(session, path, dated=dated)
        session.profile.listings = False
        return there
    lines = [line for line in _lines(text) if line.strip()]
    if lines and not any(map(listings.has_facts, lines)):
        # As of small devices, which send anything: all that it tells of would be taken for absent.
        there = _list_dir(session, path, dated=dated)
        session.profile.listings = False
        return there
    encoding = session.account.spec.encoding
    facts = [listings.parse_facts(line, encoding) for line in lines]
    return [entry for entry in facts if entry is not None and entry.name not in {".", ".."}]


def _list_machinely(session: Session, path: str) -> bytes:
    """What MLSD says of a directory."""
    if not session.relative:
        return transfer.read_all(session, session.command("MLSD", path), "MLSD", path)
    _visit(session, path)
    text = transfer.read_all(session, b"MLSD", "MLSD", path)
    session.exchange([HOME])
    return text


def _list_refused(session: Session, path: str, refusal: NameRefusedError, *, dated: bool) -> list[RemoteEntry]:
    """What LIST shows where MLSD was refused: perhaps it is only the path that it does not take, and one can go there.

    Raises:
        NameRefusedError: the directory is there, and may not be read: nothing is no answer of LIST then (proftpd).
        NotFoundError: it is not there.
    """
    if not session.relative and session.profile.paths is None and (text := _text(session, path)):
        return _dated(session, path, _parsed(session, text), dated=dated)
    if isinstance(refusal, NotFoundError) and session.exchange([session.visit(path), HOME])[0].good:
        # pure-ftpd says that it cannot check whether it is there.
        raise NameRefusedError(f"The server does not list {named(path)}: {refusal.reply}", reply=refusal.reply)
    raise refusal


def _list_dir(session: Session, path: str, *, dated: bool) -> list[RemoteEntry]:
    """With LIST, and MDTM for each file if dates are wanted."""
    return _dated(session, path, entries(session, path), dated=dated)


def _dated(session: Session, path: str, there: list[RemoteEntry], *, dated: bool) -> list[RemoteEntry]:
    """Entries of a directory, with dates if these are wanted."""
    if not dated:
        return there
    asked: dict[str, bytes] = {}
    for entry in there:
        # What cannot be asked for has no date; the other names have theirs.
        with contextlib.suppress(NameNotSendableError):
            if entry.kind is Kind.FILE:
                asked[entry.name] = session.command("MDTM", f"{path.rstrip('/')}/{entry.name}")
    dates = dict(zip(asked, map(facts.parse_mdtm, session.exchange(list(asked.values()))), strict=True))
    return [entry._replace(mtime_s=dates.get(entry.name)) for entry in there]


def _list_here(session: Session, path: str) -> bytes:
    """What LIST shows of the working directory, hidden names too where the server knows how to ask for them.

    One that does not takes ``-a`` for a name, and refuses or shows nothing at all, not even ``.``, which is hidden.
    """
    asked, refusal, text = False, "", b""
    if session.lists_all:
        try:
            text = transfer.read_all(session, b"LIST -a", "LIST", path)
            asked = True
        except RemoteError as error:
            if not session.usable:
                raise
            refusal = error.reply
    if text:
        session.lists = True
        session.lists_itself = session.lists_itself or _names_itself(text)
        return text
    try:
        text = transfer.read_all(session, b"LIST", "LIST", path)
    except (NameRefusedError, TransferFailedError) as error:
        # We are in it: that is how some servers say that it is empty, with 550 or 450.
        if not session.usable or not _NO_FILES.search(error.reply):
            raise
        return b""
    if text:
        session.lists = True
        session.lists_all = session.lists_all and not refusal.startswith("5")
        return text
    if asked and _lists_itself(session):
        raise NameRefusedError(f"The server lists nothing of {named(path)}, not even itself: it may not be read.")
    if not session.lists and _names_something(session, path):
        raise NameRefusedError(
            f"The server lists nothing of {named(path)}, though something is in it: LIST does not work there."
        )
    return text


def _names_something(session: Session, path: str) -> bool:
    """Whether NLST names what is there where LIST shows nothing: netkit's shows what /bin/ls says, if there is one."""
    _visit(session, path)
    try:
        text = transfer.read_all(session, b"NLST", "NLST", path)
    except RemoteError:
        if not session.usable:
            raise
        return False
    names = (line.rpartition(b"/")[2] for line in _lines(text))
    name = next((name for name in names if name not in {b"", b".", b".."} and b"\r" not in name), None)
    return name is not None and any(reply.good for reply in session.exchange([b"SIZE " + name, VISIT + name]))


def _lists_itself(session: Session) -> bool:
    """Whether the server shows ``.`` of what may be read, and nothing of what may not (proftpd): the root is asked for.

    Once for each session: that is the only word about it.
    """
    if session.lists_itself is None:
        session.lists_itself = False
        session.exchange([HOME])
        with contextlib.suppress(NameRefusedError, TransferFailedError):
            text = transfer.read_all(session, b"LIST -a", "LIST", "/")
            session.lists, session.lists_itself = bool(text), _names_itself(text)
    return session.lists_itself


def _names_itself(text: bytes) -> bool:
    return re.search(rb"^d.* \.\r?$", text, re.MULTILINE) is not None


def _visit(session: Session, path: str) -> None:
    visit = session.exchange([session.visit(path)])[0]
    if not visit.good:
        error = session.error(visit, "CWD", path)
        if isinstance(error, NameRefusedError) and not replies.says_denied(visit, path, session.account.spec.encoding):
            error = NotFoundError(error.message, reply=error.reply)
        raise error


def entries(session: Session, path: str, *, strict: bool = True) -> list[RemoteEntry]:
    """The entries as LIST shows them, without dates; not ``strict``: as far as it is understood."""
    return _parsed(session, _text(session, path), strict=strict)


def _text(session: Session, path: str) -> bytes:
    """What LIST says of a directory."""
    # LIST with a name would be parsed as options and patterns: go there and list without one.
    _visit(session, path)
    try:
        return _list_here(session, path)
    finally:
        if session.usable:
            session.exchange([HOME])


def _parsed(session: Session, text: bytes, *, strict: bool = True) -> list[RemoteEntry]:
    return list(listings.parse_list(iter(_lines(text)), session.account.spec.encoding, strict=strict))


def _lines(text: bytes) -> list[bytes]:
    """The lines of a listing. A name may hold a line feed, but not where every line ends with one.

    Programs in .NET may begin with the mark of text in UTF-8.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    return text.split(b"\r\n") if text.endswith(b"\r\n") else text.replace(b"\r\n", b"\n").split(b"\n")
