"""An account as a program describes it, looked at before anything is sent: as the configuration does with YAML.

In: a `ServerSpec` from whoever. Out: one with the types and within the limits that its fields say, or a `ConfigError`
that names the field and what was expected. Of a password only the type is ever told.
"""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

from ftpsyncd.core import hosts
from ftpsyncd.errors import ConfigError
from ftpsyncd.specs import DataMode, ServerSpec, TlsMode

Word = TypeVar("Word", bound=StrEnum)

TLS_VERSIONS = ("1.2", "1.3")


def checked(spec: ServerSpec) -> ServerSpec:
    """The account, with ``tls`` and ``mode`` as members where they came as text, and files as paths.

    Raises:
        ConfigError: a field has a value that cannot be meant.
    """
    if not isinstance(spec, ServerSpec):
        # Not the value: it may be an address with a password in it.
        raise ConfigError(f"An account is of type {type(spec).__name__}; expected a ServerSpec.", remedy="")
    _host(spec.host)
    _text("user", spec.user)
    _number("port", spec.port, "a whole number from 1 to 65535", 1, 65535)
    if not callable(spec.password):
        _wrong("password", _kind(spec.password), "a function that gives it, such as lambda: os.environ['PASSWORD']")
    _flag("tls_verify", spec.tls_verify)
    if spec.tls_max not in TLS_VERSIONS:
        _wrong("tls_max", repr(spec.tls_max), "one of '1.2', '1.3'")
    _number("connections", spec.connections, "a whole number from 1 on", 1, math.inf)
    _number("bandwidth_bytes_s", spec.bandwidth_bytes_s, "whole bytes per second, 0 for unlimited", 0, math.inf)
    if isinstance(spec.timeout_s, bool) or not isinstance(spec.timeout_s, int | float) or not 0 < spec.timeout_s < 1e6:
        _wrong("timeout_s", repr(spec.timeout_s), "a number of seconds, more than 0")
    _encoding(spec.encoding)
    return spec._replace(
        tls=_word(TlsMode, "tls", spec.tls),
        mode=_word(DataMode, "mode", spec.mode),
        tls_ca=_file("tls_ca", spec.tls_ca),
        client_cert=_file("client_cert", spec.client_cert),
        client_key=_file("client_key", spec.client_key),
    )


def secret(read: Callable[[], str]) -> str:
    """The password.

    Raises:
        ConfigError: the function gives something else than text; else what it raises itself.
    """
    password = read()
    if not isinstance(password, str):
        _wrong("password", f"a function whose value is {_kind(password)}", "text")
    return password


def _host(value: str) -> None:
    expected = "a host name such as 'ftp.example.com', or an IP address without brackets"
    _text("host", value, expected)
    if "/" in value or "@" in value:
        # Not the value: there may be a password in it.
        _wrong("host", "a URL", expected)
    if "[" in value:
        _wrong("host", repr(value), expected)
    if hosts.is_misread(value):
        _wrong("host", repr(value), f"{expected}: {hosts.ADDRESS_FORM}")
    if meant := hosts.meanings(value):
        _wrong("host", repr(value), f"the one of these that is meant: {' or '.join(meant)}")
    if value.count(":") == 1:
        _wrong("host", repr(value), f"{expected}: `port` is a field of its own")
    if ":" not in value and not hosts.has_form(value):
        _wrong("host", repr(value), expected)


def _text(field: str, value: str, expected: str = "text that is not empty") -> None:
    if not isinstance(value, str) or not value.strip():
        _wrong(field, repr(value) if isinstance(value, str) else _kind(value), expected)


def _number(field: str, value: int, expected: str, lowest: float, highest: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        _wrong(field, repr(value), expected)


def _flag(field: str, value: bool) -> None:  # noqa: FBT001 - it is what is looked at
    if not isinstance(value, bool):
        _wrong(field, repr(value), "True or False")


def _file(field: str, value: Path | None) -> Path | None:
    if value is None:
        return None
    path: object = value.__fspath__() if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        _wrong(field, repr(value) if isinstance(path, str) else _kind(value), "the path of a file")
    return Path(path)


def _encoding(value: str) -> None:
    try:
        if isinstance(value, str) and codecs.lookup(value) and "/Az.".encode(value, "surrogateescape") == b"/Az.":
            return
    except (LookupError, UnicodeError, ValueError):
        pass
    _wrong("encoding", repr(value), "a character encoding that contains ASCII, such as 'utf-8' or 'latin-1'")


def _word(kind: type[Word], field: str, said: object) -> Word:
    meant = next((word for word in kind if said == word), None)
    if meant is None:
        _wrong(field, repr(said), f"one of {', '.join(kind)}")
    return meant


def _wrong(field: str, what: str, expected: str) -> NoReturn:
    raise ConfigError(f"`{field}` is {what}; expected {expected}.", remedy="")


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
