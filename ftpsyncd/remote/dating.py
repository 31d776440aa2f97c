"""The date of a file at the server: the ways in which it is set, and which of them is true.

`verifying` sets it with the commands that end an upload, `session` alone.

Sources: draft-somers-ftp-mfxx (MFMT), RFC 3659 §3 (MDTM), and what vsftpd and others take for the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsyncd.remote import facts, looking
from ftpsyncd.remote.profile import Dating

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


def command(session: Session, way: Dating, path: str, mtime_s: int) -> bytes:
    """The command that sets a date.

    Args:
        session: that says it.
        way: not `Dating.NONE`.
        path: of the file.
        mtime_s: seconds since the epoch.
    """
    stamp = facts.format_time(mtime_s)
    match way:
        case Dating.MFMT | Dating.MDTM:
            return session.command(f"{way} {stamp}", path)
        case Dating.UTIME:
            return session.command(f"SITE UTIME {stamp}", path)
        case _:
            return session.command("SITE UTIME", path, f" {stamp} {stamp} {stamp} UTC")


def first_way(session: Session) -> Dating:
    """How a date is set by most of the servers that look like this one; `set_time` tries the other ways."""
    return Dating.MFMT if "MFMT" in session.profile.features else Dating.MDTM


def set_time(session: Session, path: str, mtime_s: int, *, tried: Dating | None = None) -> bool:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.set_time`. ``tried``: a way that was tried just now, in vain."""
    known = session.profile.dating
    if known is Dating.NONE:
        session.name(path)  # one that cannot be sent is told of here, too
        return False
    if known is not None:
        return session.exchange([command(session, known, path, mtime_s)])[0].good
    for way in Dating:
        if way in {Dating.NONE, tried} or (way is Dating.MFMT and "MFMT" not in session.profile.features):
            continue
        # A server that takes the command for something else may say yes: read back once.
        said, shown = session.exchange([command(session, way, path, mtime_s), session.command("MDTM", path)])
        if said.good and facts.shows_date(shown, mtime_s):
            session.profile.dating = way
            return True
    if mtime_s in facts.KEPT_EVERYWHERE and any(looking.as_far_as_shown(session, [path])):
        session.profile.dating = Dating.NONE
    return False
