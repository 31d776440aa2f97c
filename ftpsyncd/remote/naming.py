"""Names that a server might change silently: found out with a directory of our own before the first of them is used."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftpsyncd.errors import FtpsyncdError, NameRefusedError, NotFoundError, NotSupportedError, RemoteError
from ftpsyncd.expression import Expression
from ftpsyncd.paths import parent
from ftpsyncd.quoting import named
from ftpsyncd.remote import facts, lengths, remedies, replies, scratch
from ftpsyncd.remote.port import PartlyListedError
from ftpsyncd.remote.profile import PATTERN, SAMPLES, Oddity, oddities
from ftpsyncd.remote.standing import HOME
from ftpsyncd.remote.transfer import deliver

if TYPE_CHECKING:
    from ftpsyncd.remote.replies import Reply
    from ftpsyncd.remote.session import Session

_AT_THE_END = Expression(r"""[\s:"']*…["'.]*\Z|\.\Z""")
"""Of a refusal from which our own name was taken; and its full stop."""


def assure(session: Session, path: str) -> None:
    """Make sure that the server keeps this name as it is: a changed name could be that of another file.

    Tried once per oddity with a directory of our own, beside the path. Nor may it be too long for it.

    Raises:
        NameNotSendableError, ServerUnavailableError: as `lengths.assure`.
        NameRefusedError: the server would store it under another name, or this cannot be found out.
    """
    lengths.assure(session, path)
    for oddity in oddities(path):
        kept = session.profile.keeps.get(oddity)
        if kept is None:
            ours = f"{path.rpartition('/')[0]}/{SAMPLES[oddity].format(f'{secrets.token_hex(4)}.filepart')}"
            try:
                kept = keeps(session, oddity, ours)
            except NotFoundError:
                raise  # the directory is not there, and is made
            except NameRefusedError as error:
                raise _refused(session, path, oddity, ours, error) from error
            if kept is None:
                continue
            session.profile.keeps = {**session.profile.keeps, oddity: kept}
        if not kept:
            raise NameRefusedError(
                f"The server would store {named(path)} under another name: it changes {oddity.value}.",
                remedy="Rename the file.",
            )


def _refused(session: Session, path: str, oddity: Oddity, ours: str, error: NameRefusedError) -> NameRefusedError:
    """What it means that a name of ours with the same oddity could not be stored, or not be seen, beside a path."""
    directory, _, name = ours.rpartition("/")
    if error.reply and oddity not in oddities(directory) and _takes_plain(session, directory):
        # Without the name of ours, which a person has never seen.
        words = _AT_THE_END.sub("", error.reply.replace(ours, "…").replace(name, "…"))
        return NameRefusedError(
            f"The server refuses {named(path)}, since it takes no names with {oddity.value}: {words}.",
            reply=words,
            remedy="Rename it here.",
        )
    return NameRefusedError(
        f"Whether the server keeps {named(path)} as it is cannot be found out: {error}",
        reply=error.reply,
        remedy="Rename the file, or check the permissions at the server.",
    )


def explained(session: Session, error: FtpsyncdError, temporary: str, path: str) -> FtpsyncdError:
    """What is told of a refused file, with what helps where only its temporary name was, as far as that shows.

    vsftpd (``deny_file``) says of such a name that it is denied, whatever is asked about it; to proftpd (``HideFiles``
    with ``IgnoreHidden``) nothing of such a name is there, even if it is to be made.

    Args:
        session: nothing is going on in it.
        error: why the file could not be sent.
        temporary: the name under which it was to be sent.
        path: that which it would have got.
    """
    if type(error) not in {NameRefusedError, NotFoundError} or not session.usable:
        return error
    with contextlib.suppress(RemoteError):
        if isinstance(error, NotFoundError):
            filtered = session.exchange([session.visit(parent(temporary) or "/"), HOME])[0].good
        else:
            words = session.exchange([session.command("SIZE", each) for each in (temporary, path)])
            encoding = session.account.spec.encoding
            denied = [replies.says_denied(reply, path, encoding) for reply in words]
            filtered = denied == [True, False]
        if filtered:
            error.remedy = remedies.filtered(path)
    return error


def keeps(session: Session, oddity: Oddity, ours: str) -> bool | None:
    """Whether the server stores names with this oddity as they are; ``ours`` is one. None: see `keeps_pattern`.

    Raises:
        NameRefusedError: nothing can be stored there, or seen of it.
        RemoteError: the session ended.
    """
    directory, _, name = ours.rpartition("/")
    if oddity is Oddity.PATTERN:
        return keeps_pattern(session, directory, name)
    try:
        return keeps_name(session, directory, name)
    except NotFoundError:
        if oddity is Oddity.BACKSLASH and session.stat(directory or "/") is not None:
            return False  # what is missing is the directory before the backslash
        raise


def keeps_name(session: Session, directory: str, name: str) -> bool:
    """Whether the server stores a name, that holds 8 hexadecimal digits of our own and ``.filepart``, as it is.

    Tried with a directory, and with an empty file where none may be made.

    Raises:
        NameRefusedError: nothing can be stored there, or seen of it; a refusal changes no name.
        RemoteError: the session ended.
    """
    path = f"{directory}/{name}"
    end = name.index(".filepart")
    token = name[end - 8 : end]
    stored: set[str] = set()
    with scratch.noted(session, _either_way(path)) as removals:
        verb = _store(session, path)
        try:
            with contextlib.suppress(NameRefusedError):  # not of this name: the directory may not be read
                shown = _names_with(session, directory, token)
                stored = _stored_apart(session, directory, name) if shown is None else shown
        finally:
            # Under every name that it might have: pure-ftpd makes "x " as "x_" and does not find it again as "x ".
            # The longest first: it may be within another.
            left = [f"{directory}/{each}" for each in sorted({name, *stored}, key=len, reverse=True)]
            removals[:] = [(verb, each) for each in left]
            if session.usable:
                answers = session.exchange([session.command(verb, each) for each in left])
                _note_left(session, verb, answers)
    if not stored:
        raise NameRefusedError(
            f"The server does not list {named(path)}, which it has stored: it may have another name."
        )
    return stored == {name}


def _names_with(session: Session, directory: str, token: str) -> set[str] | None:
    """The names in a directory that hold this; None: of those that the server lists none does, and it lists only some.

    Raises:
        NameRefusedError: it may not be read.
    """
    try:
        entries, is_all = session.list_dir(directory or "/", dated=False), True
    except PartlyListedError as error:
        entries, is_all = error.entries, False
    found = {entry.name for entry in entries if token in entry.name}
    return found if found or is_all else None


def _stored_apart(session: Session, directory: str, name: str) -> set[str]:
    """Under which name the server stores this one, in a directory of our own, which it lists whole; empty: unknown.

    It is the same beside: there it can be removed under that.

    Raises:
        RemoteError: the session ended, or the directory may not be read.
    """
    place = f"{directory}/{secrets.token_hex(4)}.filepart"
    stored: set[str] = set()
    with scratch.noted(session, [*_either_way(f"{place}/{name}"), ("RMD", place)]) as removals:
        if session.account.dirs_stay or not session.exchange([session.command("MKD", place)])[0].good:
            return stored
        try:
            verb = _store(session, f"{place}/{name}")
            stored = {entry.name for entry in session.list_dir(place, dated=False)}
            # Also what is not listed there either, as beside (`keeps_name`).
            names = sorted({name, *stored}, key=len, reverse=True)
            removals[:] = [*((verb, f"{place}/{each}") for each in names), ("RMD", place)]
        finally:
            if session.usable:
                session.exchange([session.command(each, path) for each, path in removals])
    return stored


def keeps_pattern(session: Session, directory: str, name: str) -> bool | None:
    """Whether the server takes a name like a pattern, of our own (`SAMPLES`), for itself beside one that it matches.

    Seen without a listing, since such names are many, and a directory may be closed for reading.

    Returns:
        None: nothing can be stored there, or such names are refused; what is to be sent will be, too, and tells why.

    Raises:
        NotFoundError: the directory is not there.
        RemoteError: the session ended.
    """
    path, other = (f"{directory}/{each}" for each in (name, name.replace(PATTERN, PATTERN.strip("[]"))))
    with scratch.noted(session, [*_either_way(path), *_either_way(other)]):
        return _keeps_both(session, path, other)


def _keeps_both(session: Session, path: str, other: str) -> bool | None:
    """`keeps_pattern`, of two directories."""
    if session.account.dirs_stay:
        return _is_stored_beside(session, path, other)
    made = session.exchange([session.command("MKD", other)])[0]
    if not made.good:
        error = session.error(made, "MKD", other)
        if isinstance(error, NotFoundError) or not isinstance(error, NameRefusedError | NotSupportedError):
            raise error
        return _is_stored_beside(session, path, other)
    if session.exchange([session.command("MKD", path)])[0].good:
        _note_left(session, "RMD", session.exchange([session.command("RMD", each) for each in (path, other)]))
        return True
    _, alone = session.exchange([session.command("RMD", other), session.command("MKD", path)])
    if not alone.good:
        return None
    session.exchange([session.command("RMD", path)])
    return False


def _is_stored_beside(session: Session, path: str, other: str) -> bool | None:
    """`keeps_pattern`, where no directories may be made: an empty file beside one of one byte."""
    if not deliver(session, session.command("STOR", other), b"x").good:
        return None
    sent = deliver(session, session.command("STOR", path), b"")
    size = facts.parse_size(session.exchange([session.command("SIZE", other)])[0])
    session.exchange([session.command("DELE", each) for each in (path, other)])
    return size == 1 if sent.good and size is not None else None


def _takes_plain(session: Session, directory: str) -> bool:
    """Whether anything may be stored in a directory under a name of ours without any oddity; it goes again."""
    path = f"{directory}/{secrets.token_hex(4)}.filepart"
    with scratch.noted(session, _either_way(path)):
        try:
            verb = _store(session, path)
        except NameRefusedError:
            return False
        session.exchange([session.command(verb, path)])
    return True


def _note_left(session: Session, verb: str, answers: Sequence[Reply]) -> None:
    """Make no further directory for a trial where the account may make, and not remove them: that one is left."""
    if verb == "RMD" and not any(reply.good for reply in answers):
        session.account.dirs_stay = True


def _either_way(path: str) -> list[tuple[str, str]]:
    """What removes what `_store` makes."""
    return [("DELE", path), ("RMD", path)]


def _store(session: Session, path: str) -> str:
    """Make a directory, or an empty file where none may be made; returns the command that removes it again.

    Raises:
        NameRefusedError: neither may be made.
        RemoteError: the session ended.
    """
    made = None if session.account.dirs_stay else session.exchange([session.command("MKD", path)])[0]
    if made is not None and made.good:
        return "RMD"
    error = NotSupportedError("No directory could be removed.") if made is None else session.error(made, "MKD", path)
    if isinstance(error, NotFoundError) or not isinstance(error, NameRefusedError | NotSupportedError):
        raise error
    sent = deliver(session, session.command("STOR", path), b"")
    if not sent.good:
        # An empty file: no transfer broke, nor was there much to be written.
        raise session.error(replies.of_the_name(sent), "STOR", path)
    return "DELE"
