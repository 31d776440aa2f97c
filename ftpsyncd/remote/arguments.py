"""What programs hand to the library, looked at before anything is done: a wrong type gets a sentence of its own.

In: whatever somebody passes. Out: what `library` works with, or an error that says what was expected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ftpsyncd.errors import LocalError, MisuseError, NameNotSendableError
from ftpsyncd.quoting import named
from ftpsyncd.remote.profile import Profile

LocalPath = str | os.PathLike[str]
"""A path of this machine."""
_Item = TypeVar("_Item")
_Told = TypeVar("_Told", bound=Callable[..., None])


def remote_path(value: str) -> str:
    """A path at the server, from its root: with one slash between two names, and none at its end.

    Raises:
        MisuseError: it is no text.
        NameNotSendableError: it is relative, or has ``..`` in it: what that is, only the server knows, and a temporary
            file might not be beside its file; or it holds half a character (a lone surrogate).
    """
    if not isinstance(value, str):
        raise _wrong("remote", value, "a `str`")
    if not value.startswith("/"):
        raise NameNotSendableError(f"{named(value)} is no absolute path.", remedy="Begin it with a slash.")
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise NameNotSendableError(f"{named(value)} has `..` in it.", remedy="Name the path from the root.")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise NameNotSendableError(f"{named(value)} holds half a character, as no name does.", remedy="") from None
    return "/" + "/".join(parts)


def remote_file(value: str) -> str:
    """A path at the server that a file is to have.

    Raises:
        MisuseError, NameNotSendableError: as `remote_path`; or it ends with a slash, as those of directories do.
    """
    path = remote_path(value)
    if value.endswith(("/", "/.")):
        raise NameNotSendableError(f"{named(value)} is no name of a file.", remedy="Put one behind the slash.")
    return path


def local_path(value: LocalPath, refusal: type[LocalError]) -> Path:
    """A path of this machine.

    Args:
        value: as text, or as an object that stands for one (`os.PathLike`).
        refusal: the error for what no path can be.

    Raises:
        MisuseError: it is neither.
        LocalError: as ``refusal`` says; it is empty, holds NUL, or characters that no name here has.
    """
    path = value.__fspath__() if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise _wrong("path", value, "a `str` or a `Path`")
    if not path:
        # As a path it would be the current directory, which is rarely what an empty variable stands for.
        raise refusal("A path is empty.", remedy="The current directory is '.'.")
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise refusal(f"{named(path)} holds characters that no name here can have.", remedy="") from None
    if b"\0" in encoded:
        raise refusal(f"{named(path)} holds NUL, which no name here can have.", remedy="")
    return Path(path)


def flag(name: str, value: bool) -> bool:  # noqa: FBT001 - it is what is looked at
    """True or False, and nothing that only counts as one: ``"no"`` would count as True.

    Raises:
        MisuseError: it is something else.
    """
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def teller(name: str, value: _Told) -> _Told:
    """A function that is told how far something is.

    Raises:
        MisuseError: it cannot be called.
    """
    if not callable(value):
        raise _wrong(name, value, "a function")
    return value


def learned(value: Profile | None) -> Profile | None:
    """What is known about a server, if anything is.

    Raises:
        MisuseError: it is something else.
    """
    if value is not None and not isinstance(value, Profile):
        raise _wrong("profile", value, "a `Profile` or None")
    return value


def many(value: Iterable[_Item]) -> Iterable[_Item]:
    """Something that can be gone through.

    Raises:
        MisuseError: it cannot.
    """
    if not isinstance(value, Iterable):
        raise _wrong("pairs", value, "something that yields pairs")
    return value


def pair(value: tuple[LocalPath, str]) -> tuple[LocalPath, str]:
    """A local and a remote path.

    Raises:
        MisuseError: it is no two of anything.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise MisuseError(f"A pair is {_kind(value)}; expected a local and a remote path.", remedy="")
    first, second = value
    return first, second


def _wrong(name: str, value: object, expected: str) -> MisuseError:
    return MisuseError(f"`{name}` is {_kind(value)}; expected {expected}.", remedy="")


def _kind(value: object) -> str:
    """What something is, and not its content, which may be a secret in the wrong place."""
    return "None" if value is None else f"of type {type(value).__name__}"
