"""Names that a server might change silently: found out with a directory of our own before the first of them is used."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ftpsyncd.errors import NameRefusedError, NotFoundError, NotSupportedError
from ftpsyncd.quoting import named
from ftpsyncd.remote import lengths
from ftpsyncd.remote.profile import SAMPLES, Oddity, oddities
from ftpsyncd.remote.transfer import deliver

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def assure(session: Session, path: str) -> None:
    """Make sure that the server keeps this name as it is: a changed name could be that of another file.

    Tried once per oddity with a directory of our own, beside the path. Nor may it be too long for it.

    Raises:
        NameNotSendableError, ServerUnavailableError: as `lengths.assure`.
        NameRefusedError: the server would store it under another name, or this cannot be found out.
    """
    lengths.assure(session, path)
    for oddity in oddities(path):
        if oddity not in session.profile.keeps:
            try:
                session.profile.keeps[oddity] = keeps(session, oddity, path.rpartition("/")[0])
            except NotFoundError:
                raise  # the directory is not there, and is made
            except NameRefusedError as error:
                raise NameRefusedError(
                    f"Whether the server keeps {named(path)} as it is cannot be found out: {error}",
                    reply=error.reply,
                    remedy="Rename the file, or check the permissions at the server.",
                ) from error
        if not session.profile.keeps[oddity]:
            raise NameRefusedError(
                f"The server would store {named(path)} under another name: it changes {oddity.value}.",
                remedy="Rename the file.",
            )


def keeps(session: Session, oddity: Oddity, directory: str) -> bool:
    """Whether the server stores names with this oddity as they are.

    Raises:
        NameRefusedError: nothing can be stored there, or seen of it.
        RemoteError: the session ended.
    """
    try:
        return keeps_name(session, directory, SAMPLES[oddity].format(f"{secrets.token_hex(4)}.filepart"))
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
    made = session.exchange([session.command("MKD", path)])[0]
    if not made.good:
        error = session.error(made, "MKD", path)
        if isinstance(error, NotFoundError) or not isinstance(error, NameRefusedError | NotSupportedError):
            raise error
        sent = deliver(session, session.command("STOR", path), b"")
        if not sent.good:
            raise session.error(sent, "STOR", path)
    stored: set[str] = set()
    try:
        stored = {entry.name for entry in session.list_dir(directory or "/", dated=False) if token in entry.name}
    finally:
        if session.usable:
            # Under every name that it might have: pure-ftpd makes "x " as "x_" and does not find it again as "x ".
            verb = "RMD" if made.good else "DELE"
            # The longest first: it may be within another.
            left = sorted({name, *stored}, key=len, reverse=True)
            session.exchange([session.command(verb, f"{directory}/{each}") for each in left])
    if not stored:
        raise NameRefusedError(
            f"The server does not list {named(path)}, which it has stored: it may have another name."
        )
    return stored == {name}
