"""Durations, rates and shares as people write them. Pure.

In: a value from YAML (text or number). Out: seconds, bytes per second, a :class:`DeleteLimit`. Called by `keys`. Each
parser raises :class:`Unfit`; the patterns beside them are what the JSON Schema tells an editor.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ftpsyncd.config.unfit import Unfit
from ftpsyncd.expression import Expression
from ftpsyncd.specs import DeleteLimit

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_ONE_DURATION = Expression(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|min|m|h|d)")

DURATION_PATTERN = r"^ *([0-9]+(\.[0-9]+)? *(ms|s|min|m|h|d) *)+$|^ *[0-9]+(\.[0-9]+)? *$"
"""ECMA 262 and Python alike."""

_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_RATE = Expression(r" *([0-9]+(?:\.[0-9]+)?) *([kKmMgGtT]i?)?(B|bit)?(/s)? *")
RATE_PATTERN = r"^ *[0-9]+(\.[0-9]+)? *([kKmMgGtT]i?)?(B|bit)?(/s)? *$"

_PERCENT = Expression(r" *([0-9]+(?:\.[0-9]+)?) *% *")
PERCENT_PATTERN = r"^ *[0-9]+(\.[0-9]+)? *% *$"

_MAX_DIGITS = 30


def is_number(value: object) -> bool:
    """True for int and float, not for bool (which Python counts among the ints)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def without_quotes(value: object) -> str:
    """What helps where a whole number stands in quotes: it looks like one in a message."""
    return "a number has no quotes" if isinstance(value, str) and re.fullmatch(r"[0-9]+", value) else ""


def duration(shortest_s: float, longest_s: float) -> Callable[[object], float]:
    """A parser of durations (``2s``, ``500ms``, ``1h 30m``; a bare number is seconds) within limits, in seconds."""
    expected = f"a duration such as 500ms, 2s, 15m, 1h or 1d, from {show_s(shortest_s)} to {show_s(longest_s)}"

    def parse(value: object) -> float:
        seconds = _seconds(value)
        if seconds is None:
            negative = str(value).lstrip().startswith("-")
            raise Unfit(expected, hint="a duration is never negative" if negative else "")
        if not shortest_s <= seconds <= longest_s:
            raise Unfit(expected)
        return seconds

    return parse


def _seconds(value: object) -> float | None:
    if is_number(value):
        seconds = float(value)  # type: ignore[arg-type]  # a number, as just seen
        return seconds if seconds >= 0 else None
    if not isinstance(value, str) or len(value) > _MAX_DIGITS or not re.fullmatch(DURATION_PATTERN, value):
        return None
    parts = _ONE_DURATION.compiled.findall(value)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else float(value)


def show_s(seconds: float) -> str:
    """A round duration with the largest unit that fits: ``15m``, ``500ms``, ``0``."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0"


def rate(value: object) -> int:
    """Bytes per second from ``10 MB/s``, ``512 KiB/s``, ``2G``, ``80 Mbit/s`` or a number of bytes; at least 1 kB/s."""
    expected = "a rate such as 10 MB/s, 512 KiB/s or 80 Mbit/s, at least 1 kB/s; leave the key out for unlimited"
    bytes_s = None
    if is_number(value):
        bytes_s = float(value)  # type: ignore[arg-type]  # a number, as just seen
    elif isinstance(value, str) and len(value) <= _MAX_DIGITS and (match := _RATE.fullmatch(value)):
        number, prefix, unit, _ = match.groups()
        bytes_s = float(number) * _PREFIXES[(prefix or "").lower()] / (8 if unit == "bit" else 1)
    if bytes_s is None:
        bits = isinstance(value, str) and re.search(r"[0-9 ][kKmMgG]?b(ps|/s)?\s*$", value)
        raise Unfit(expected, hint="write MB/s for bytes or Mbit/s for bits" if bits else "")
    if not 1000 <= bytes_s < 2**63:
        raise Unfit(expected)
    return int(bytes_s)


def delete_limit(value: object) -> DeleteLimit:
    """A :class:`DeleteLimit` from a whole number or from ``"30%"``."""
    expected = 'a number of files such as 50, or a share from "0%" to "100%"'
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12:
        return DeleteLimit(count=value)
    if isinstance(value, str) and len(value) <= _MAX_DIGITS and (match := _PERCENT.fullmatch(value)):
        percent = float(match[1])
        if percent <= 100:
            return DeleteLimit(percent=percent)
    raise Unfit(expected, hint=without_quotes(value))
