"""The token that is asked for over TCP, in its file.

Apart from `guard`, because a command that only asks whether it can be used needs no library for HTTP.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from ftpsyncd.errors import ControlSocketError
from ftpsyncd.quoting import as_word, quote

_TOKEN_BYTES = 32
_TOKEN_SHORTEST = 20
"""Characters; a shorter one could be guessed."""


def token_in(path: Path) -> str:
    """The token in this file, which is made if it is not there; only its owner may read it.

    Raises:
        ControlSocketError: it cannot be made or read, others may read it, or what is in it is no token.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except PermissionError as trouble:
        # Perhaps root has started the daemon once, by hand.
        raise _unusable(path, str(trouble.strerror), remedy=_of_one_user(path)) from trouble
    except OSError as trouble:
        raise _unusable(path, str(trouble.strerror)) from trouble
    try:
        _make(path)
        return _read(path)
    except OSError as trouble:
        raise _unusable(path, str(trouble.strerror)) from trouble


def _make(path: Path) -> None:
    """Write a new token; whoever finds the file finds all of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n")
            file.flush()
            # Else a power failure soon after leaves an empty file of this name, with which no daemon starts.
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        # On a full disk each start would leave one.
        draft.unlink(missing_ok=True)


def unfit(path: Path) -> ControlSocketError | None:
    """Why no daemon could use the token that is there, whoever runs it; None if one could, or there is none."""
    try:
        _read(path, whoever=True)
    except ControlSocketError as trouble:
        return trouble
    except FileNotFoundError:
        return None
    except OSError as trouble:
        return _unusable(path, str(trouble.strerror))
    return None


def _read(path: Path, *, whoever: bool = False) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unusable(path, "it is no file")
        if found.st_mode & 0o077:
            raise _unusable(path, "others can read it", remedy=f"Remove {quote(str(path))}; a new one is made.")
        if found.st_uid != os.geteuid() and not whoever:
            raise _unusable(path, "it belongs to another user", remedy=_of_one_user(path))
        token = os.read(descriptor, 4096).decode("latin-1").strip()
    finally:
        os.close(descriptor)
    if len(token) < _TOKEN_SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise _unusable(path, "it holds no token", remedy=f"Remove {quote(str(path))}; a new one is made.")
    return token


def _of_one_user(path: Path) -> str:
    """What helps where the token is another user's."""
    return (
        "All in the state directory has to belong to the user that runs ftpsyncd; for the service:"
        f" `chown -R ftpsyncd: {as_word(path.parent)}`."
    )


def _unusable(path: Path, why: str, remedy: str | None = None) -> ControlSocketError:
    remedy = remedy or "Let the service's user write the state directory, or leave out `control.http`."
    return ControlSocketError(f"The token file {quote(str(path))} cannot be used: {why}.", remedy=remedy)
