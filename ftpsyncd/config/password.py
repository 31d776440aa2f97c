"""Secrets by reference: where a password is, and how to read it when it is needed.

In: what stands below ``password:``. Out: a :class:`Reference`, bound by `loading` to a callable for
``ServerSpec.password``. No representation, error or log line of these classes holds a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftpsyncd import patience
from ftpsyncd.config.reading import content
from ftpsyncd.config.unanswered import UnansweredError
from ftpsyncd.config.unfit import Unfit, closest
from ftpsyncd.errors import ConfigError
from ftpsyncd.expression import Expression

_Answer = TypeVar("_Answer")

_KINDS = ("env", "file", "credential")
NAME_PATTERNS = {"env": r"^[A-Za-z_][A-Za-z0-9_]*$", "file": r"^.+$", "credential": r"^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$"}
_VARIABLE = Expression(r"\$(\{[A-Z_][A-Z0-9_]*\}|[A-Z_][A-Z0-9_]*)")
_CONTROL = Expression("[\x00-\x1f\x7f]")
_MAX_BYTES = 4096
_GLANCES = patience.Glances()
"""At the files with secrets: a disk that hangs holds up one thread for each of them, however often they are read."""


class Reference(NamedTuple):
    """What the file says: the kind (``text``, ``env``, ``file``, ``credential``) and its argument."""

    kind: str
    argument: str

    def __repr__(self) -> str:
        return f"Reference({self.kind!r})"

    @property
    def looks_like_variable(self) -> bool:
        """Whether the secret is written as a shell writes a variable, which nobody replaces here."""
        return self.kind == "text" and _VARIABLE.fullmatch(self.argument) is not None


def parse(value: object, what: str = "password") -> Reference:
    """Understand the value of ``password:``, or what is written like one; nothing of it is in an error.

    Args:
        value: as the file has it.
        what: it is, for people.

    Raises:
        Unfit: it cannot be meant.
    """
    expected = f"{{env: NAME}}, {{file: PATH}}, {{credential: NAME}}, or the {what} as text"
    if isinstance(value, str) and value:
        return Reference("text", value)
    if not isinstance(value, dict):
        raise Unfit(expected, found=_kind_of(value), hint="quote one that begins with # or is a YAML word")
    if len(value) != 1:
        raise Unfit(expected, found=f"{len(value)} keys")
    [(kind, argument)] = value.items()
    if kind not in _KINDS:
        meant = closest(kind, _KINDS)
        raise Unfit(expected, found="an unknown key", hint=f"did you mean `{meant}`?" if meant else "")
    if not isinstance(argument, str) or not re.fullmatch(NAME_PATTERNS[kind], argument):
        named = {"env": "the name of a variable, without $", "file": "a path", "credential": "the name of a credential"}
        raise Unfit(f"{named[kind]} after `{kind}:`", found="something else")
    return Reference(kind, argument)


def _kind_of(value: object) -> str:
    return "a list" if isinstance(value, list) else "nothing" if value in (None, "") else "something else"


def bind(
    reference: Reference | None, path: Callable[[str], Path], environ: Mapping[str, str], where: str
) -> Callable[[], str]:
    """The callable for ``ServerSpec.password``.

    Args:
        reference: where the secret is; None: there is none.
        path: makes a path of the file absolute.
        environ: for variables and credentials.
        where: the reference stands, which is how errors begin.
    """
    if reference is None:
        return Text("")
    match reference.kind:
        case "env":
            return Variable(reference.argument, environ, where)
        case "file":
            return File(str(path(reference.argument)), where=where)
        case "credential":
            return Credential(reference.argument, environ, where)
        case _:
            return Text(reference.argument)


class _Source:
    """Where a password is. Two are equal if it is the same place: a reload asks what has changed.

    Args:
        place: what the reference says.
        environ: for variables and credentials.
        where: the reference stands itself, ``file:line:col  key.path``; empty if that is not known.
    """

    __slots__ = ("_environ", "_place", "_where")

    def __init__(self, place: str, environ: Mapping[str, str] = os.environ, where: str = "") -> None:
        self._place = place
        self._environ = environ
        self._where = where

    def __call__(self) -> str:
        """Read it.

        Raises:
            ConfigError: it is not there, cannot be read, is empty, not UTF-8, or cannot be sent.
        """
        try:
            return self._read()
        except ConfigError as error:
            if not self._where:
                raise
            raise type(error)(f"{self._where}: {error.message}", remedy=error.remedy) from None

    def _read(self) -> str:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and type(self) is type(other) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"


class Text(_Source):
    """A password that stands in the configuration file itself; empty if there is none."""

    __slots__ = ()

    def _read(self) -> str:
        return self._place

    def __repr__(self) -> str:
        return "Text()"


class Variable(_Source):
    """A password in an environment variable."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Which variable."""
        return self._place

    def _read(self) -> str:
        secret = self._environ.get(self._place)
        what = f"the environment variable {self._place}"
        if not secret:
            raise ConfigError(
                f"{what} is {'empty' if secret == '' else 'not set'}",
                remedy=f"Set {self._place} in the environment of ftpsyncd, or refer to a file.",
            )
        return _checked(secret, what)


class File(_Source):
    """A password in a file of its own; a byte order mark, and one line feed (or CR LF) at its end, do not count."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"the file {self._place}"

    @property
    def path(self) -> Path:
        """Which file."""
        return Path(self._place)

    @property
    def once(self) -> bool:
        """Whether it may be read but once: a pipe.

        Raises:
            ConfigError: its disk does not answer.
        """
        return not self._asked(lambda: os.path.isfile(self._place))  # noqa: PTH113 - Path.is_file raises where a folder is closed

    def _read(self) -> str:
        what = str(self)
        try:
            # A pipe may take as long as whoever writes it.
            raw = self._raw() if self.once else self._asked(self._raw)
        except PermissionError as error:
            raise ConfigError(
                f"{what} cannot be read: {error.strerror}",
                remedy="Let the user who runs ftpsyncd read it, and enter the folders above it.",
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{what} cannot be read: {error.strerror}",
                remedy="Create it with the secret as its only line, readable by the user who runs ftpsyncd only.",
            ) from None
        if len(raw) > _MAX_BYTES:
            raise ConfigError(f"{what} is larger than {_MAX_BYTES} bytes: this is no secret of one line")
        # Editors of Windows begin a file with a mark that nobody sees.
        secret = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8-sig", "replace")
        if not secret:
            raise ConfigError(f"{what} is empty", remedy="Write the secret into it.")
        if "\N{REPLACEMENT CHARACTER}" in secret:
            raise ConfigError(f"{what} is not UTF-8 text", remedy="Save it as UTF-8.")
        return _checked(secret, what)

    def _raw(self) -> bytes:
        return content(self.path, _MAX_BYTES + 1)

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        """What the disk answers.

        Raises:
            ConfigError: it does not.
        """
        try:
            return _GLANCES.take(self.path, question)
        except TimeoutError:
            raise UnansweredError.of(self) from None


class Credential(_Source):
    """A password that systemd hands over (systemd.exec(5), LoadCredential=)."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"the credential {self._place}"

    def _read(self) -> str:
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise ConfigError(
                f"the credential {self._place} is not there: $CREDENTIALS_DIRECTORY is not set",
                remedy=f"Run under systemd with LoadCredential={self._place}:/path/to/file, or use {{file: PATH}}.",
            )
        return File(str(Path(directory) / self._place))()


def _checked(secret: str, what: str) -> str:
    """``secret``, unless it would end an FTP command early."""
    if _CONTROL.search(secret):
        raise ConfigError(
            f"{what} holds a line break or another control character",
            remedy="A secret is one line of visible characters.",
        )
    return secret
