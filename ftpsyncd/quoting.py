"""Names and texts on one line, visible to the last character: for logs, messages and tables. Pure.

Apart from `logs`, because commands that log nothing need not wait until a library for logging is loaded.
"""

from __future__ import annotations

import re
import shlex

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNQUOTED = str.maketrans(dict.fromkeys(' "\\'))
_PLAIN = str.maketrans(dict.fromkeys("'\"\\"))
_QUOTED = {'"': '\\"', "\\": "\\\\"}
_WORD = re.compile(r"[\w@%+=:,./-]+")
"""What every shell takes for one word, as `shlex` has it, and letters beyond ASCII."""


def quote(path: str) -> str:
    r"""A path as it stands in logs and messages: on one line, visible to the last character, unambiguous.

    Harmless paths stay as they are. All others stand in double quotes, with ``\n``, ``\r``, ``\t``, ``\\`` and
    ``\"``; ``\xNN`` for other ASCII controls and for bytes that are not UTF-8; ``\uNNNN`` and ``\UNNNNNNNN`` for
    characters that do not show or that reorder the text around them (U+202E and its kin).
    """
    if path and path.isprintable() and path == path.translate(_UNQUOTED):
        return path
    return f'"{quoted(path)}"'


def named(path: object) -> str:
    """A path (a `str` or `Path`) within a sentence: always in quotation marks, else as `quote` has it."""
    text = str(path)
    return f"'{text}'" if text.isprintable() and text == text.translate(_PLAIN) else f'"{quoted(text)}"'


def as_word(text: object) -> str:
    """A name or path (a `str` or `Path`) as one word of a command to be copied, quoted where a shell needs that.

    What does not print stands as shells read it within ``$'…'`` (POSIX.1-2024), in which there is no other ``'``: in
    plain quotes an escape is a backslash and a letter, and the command would be about another file.
    """
    plain = str(text)
    if _WORD.fullmatch(plain):
        return plain
    return shlex.quote(plain) if plain.isprintable() else f"$'{''.join(map(_for_shell, plain))}'"


def _for_shell(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable() and char != "'":
        return char
    # Half of a pair, as YAML and JSON may spell it, is in no file's name: it has no bytes but those of its number.
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return _NAMED.get(char) or "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", errors))


def address(host: str, port: int) -> str:
    """Where something listens, for people: an address of version 6 stands in brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def one_line(text: str) -> str:
    """``text`` with everything escaped that does not print; unlike ``quote`` it leaves backslashes alone."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _NAMED.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """`text` as it stands between double quotes."""
    return "".join(_QUOTED.get(c) or (c if c.isprintable() else _escaped(c)) for c in text)
