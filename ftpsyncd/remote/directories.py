"""What is in a directory at the server, with MLSD where there is, else with LIST, and what is known of both.

`session` lists with it, and `looking` looks for what nothing else tells of.

Sources: RFC 959 §4.1.3 (LIST, NLST), RFC 3659 (MLSD, MDTM).
"""

from __future__ import annotations

import codecs
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    TransferFailedError,
)
from ftpsyncd.expression import Expression
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, listings, replies, transfer, whole
from ftpsyncd.remote.port import PartlyListedError, RemoteEntry
from ftpsyncd.remote.standing import HOME, VISIT

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_BROKEN = frozenset({"", "425", "426"})
"""Replies to a listing that are about the data connection; empty: it failed, whatever the server said."""
_NO_FILES = Expression(r"\bno (?:such )?files?\b|\bdirectory (?:is )?empty\b", re.IGNORECASE)
_ENOUGH = 256 * 1024
"""Bytes of a listing that cost less than another session."""


class _EnoughError(Exception):
    """More than that comes."""


@dataclass(slots=True)
class Shown:
    """What one session has been shown so far."""

    told_of: set[str] = field(default_factory=set)
    """Directories that MLST told of: what it does not tell of in these is not there, whatever the words are. Some of
    them: who asks again has the same answer."""
    lists: bool = False
    """A listing has shown something: LIST works."""
    lists_all: bool = True
    """It is asked for hidden names, too: ``-a`` was not refused."""
    lists_itself: bool | None = None
    """A listing of a directory that may be read shows ``.``, too, if that is asked for; None: not seen yet."""
    cut_short: str = ""
    """The server's words where the last listing was not all that there is."""


TOLD_OF_MOST = 1000
"""Directories that are known to be told of; a session may last for months, and come to a million of them."""


def list_dir(session: Session, path: str, *, dated: bool = True) -> list[RemoteEntry]:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.list_dir`."""
    there = _shown(session, path, dated=dated)
    if session.shown.cut_short:
        raise PartlyListedError(
            f"The server lists only {len(there):,} of what is in {named(path)}: {session.shown.cut_short}",
            reply=session.shown.cut_short,
            entries=there,
        )
    return there


def holds_something(session: Session, path: str) -> bool:
    """Whether anything is in a directory; errors as of `list_dir`."""
    try:
        return bool(list_dir(session, path, dated=False))
    except PartlyListedError:
        return True


def has_data(session: Session) -> bool:
    """Whether a data connection comes about now: that of a listing does, of which no more is read than shows that.

    Where nothing may be listed, that is not known, and False. The session may have ended afterwards.
    """

    def enough(count: int) -> None:
        if count > _ENOUGH:
            raise _EnoughError

    try:
        transfer.retrieve(session, b"LIST", "LIST", "", lambda _part: None, 0, enough)
    except _EnoughError:
        return True
    except RemoteError:
        return False
    return True


def _shown(session: Session, path: str, *, dated: bool) -> list[RemoteEntry]:
    """What the server shows of a directory; `Shown.cut_short` tells whether that is all."""
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
        return whole.read_all(session, session.command("MLSD", path), "MLSD", path)
    _visit(session, path)
    text = whole.read_all(session, b"MLSD", "MLSD", path)
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
    if isinstance(refusal, NotFoundError):
        visit, home = session.exchange([session.visit(path), HOME])
        if visit.good or (not home.good and goes_nowhere(session, path)):
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
    if session.shown.lists_all:
        try:
            text = whole.read_all(session, b"LIST -a", "LIST", path)
            asked = True
        except RemoteError as error:
            if not session.usable or _broke(error):
                raise  # without hidden names, these would be taken for absent
            refusal = error.reply
    if text:
        session.shown.lists = True
        session.shown.lists_itself = session.shown.lists_itself or _names_itself(text)
        return text
    try:
        text = whole.read_all(session, b"LIST", "LIST", path)
    except (NameRefusedError, TransferFailedError) as error:
        # We are in it: that is how some servers say that it is empty, with 550 or 450.
        if not session.usable or not _NO_FILES.search(error.reply):
            raise
        return b""
    if text:
        session.shown.lists = True
        session.shown.lists_all = session.shown.lists_all and not refusal.startswith("5")
        return text
    if asked and _lists_itself(session):
        raise NameRefusedError(f"The server lists nothing of {named(path)}, not even itself: it may not be read.")
    if not session.shown.lists and _names_something(session, path):
        raise NameRefusedError(
            f"The server lists nothing of {named(path)}, though something is in it: LIST does not work there."
        )
    return text


def _names_something(session: Session, path: str) -> bool:
    """Whether NLST names what is there where LIST shows nothing: netkit's shows what /bin/ls says, if there is one."""
    _visit(session, path)
    try:
        text = whole.read_all(session, b"NLST", "NLST", path)
    except RemoteError as error:
        if not session.usable or _broke(error) or _failed(error.reply):
            raise  # what is in it would be taken for absent
        return False
    names = (line.rpartition(b"/")[2] for line in _lines(text))
    told = [name for name in names if name not in {b"", b".", b".."} and b"\r" not in name]
    if not told:
        return False
    size, visit = session.exchange([b"SIZE " + told[0], VISIT + told[0]])
    if size.code in {500, 502, 504}:
        # No command tells of files: words with a space may be those of a program, all others are a name.
        return visit.good or any(b" " not in name for name in told)
    return size.good or visit.good


def _broke(error: RemoteError) -> bool:
    """Whether a listing failed with its data connection, or for want of one."""
    return error.reply[:3] in _BROKEN or (isinstance(error, TransferFailedError) and error.broke)


def _failed(reply: str) -> bool:
    """Whether a server says that its disk failed, or its program (451, RFC 959 §4.2), and not that nothing is there."""
    return reply.startswith("451") and not _NO_FILES.search(reply)


def _lists_itself(session: Session) -> bool:
    """Whether the server shows ``.`` of what may be read, and nothing of what may not (proftpd): the root is asked for.

    Once for each session: that is the only word about it.
    """
    if session.shown.lists_itself is None:
        session.exchange([HOME])
        try:
            text = whole.read_all(session, b"LIST -a", "LIST", "/")
        except (NameRefusedError, TransferFailedError) as error:
            if _broke(error):
                raise  # what may not be read would be empty from then on
            session.shown.lists_itself = False
        else:
            session.shown.lists, session.shown.lists_itself = bool(text), _names_itself(text)
    return session.shown.lists_itself


def _names_itself(text: bytes) -> bool:
    return re.search(rb"^d.* \.\r?$", text, re.MULTILINE) is not None


def _visit(session: Session, path: str) -> None:
    visit = session.exchange([session.visit(path)])[0]
    if not visit.good:
        error = session.error(visit, "CWD", path)
        if isinstance(error, NameRefusedError) and not replies.says_denied(visit, path, session.account.spec.encoding):
            if not goes_nowhere(session, path):
                raise NotFoundError(error.message, reply=error.reply)
            raise NameRefusedError(f"The server does not let us into {named(path)}: {visit.text}", reply=visit.text)
        raise error


def goes_nowhere(session: Session, path: str) -> bool:
    """Whether nobody may go to any directory, as far as it shows on the way to a path.

    Of one that is there the server may say, as of the root, that it is not (<Limit DIRS> of proftpd). The root alone
    may be closed to all, and what is below it not.

    Raises:
        RemoteError: the session ended.
    """
    if session.exchange([HOME])[0].good:
        return False
    while path := parent(path):
        if session.exchange([session.visit(path), HOME])[0].good:
            return False
    return True


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
