"""What a record of the log is as a line: for people, or as JSON for machines, and with no secret in it.

Pure, but for the secrets, which are asked for with each record. `logs` decides where a line goes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any
from urllib.parse import quote as percent_encode

from ftpsyncd.quoting import one_line, quoted

_COLOURS = {"DEBUG": "2", "INFO": "32", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_TEXT_MAX = 8_000
"""Characters; the journal cuts lines at 48 KiB, and one file must not fill the disk with its reason."""
_NESTED_MAX = 4
_FRAMES_MAX = 8
_SECRET_MIN = 4
"""Characters; replacing shorter ones would garble every line, and so give them away."""


def text_of(value: object) -> str:
    """Whatever is bound to a record, as text."""
    try:
        return str(value)
    except Exception:  # anybody's __str__; the record matters more
        return f"<{type(value).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}… ({len(text)} characters)"


def _failure(exception: Any) -> dict[str, Any] | None:
    """The exception of a record: what was raised, and through which lines, innermost first."""
    value = exception.value if exception is not None else None
    if value is None:
        return None
    frames: list[str] = []
    step = exception.traceback
    while step is not None:
        code = step.tb_frame.f_code
        frames.insert(0, f"{PurePath(code.co_filename).name}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    cause = value.__cause__ or (None if value.__suppress_context__ else value.__context__)
    causes = [] if cause is None else [f"{type(cause).__name__}: {text_of(cause)}"]
    return {"type": type(value).__name__, "message": text_of(value), "frames": frames[:_FRAMES_MAX], "causes": causes}


class Redactor:
    """Replaces known secrets by ``***``, in every spelling in which they could stand in a line."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._known: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    def __call__(self, text: str) -> str:
        """A text without them."""
        try:
            known = tuple(self._secrets())
        except Exception:  # the last known secrets still serve; without the record nobody would learn of the trouble
            known = self._known
        if known != self._known:
            self._known, self._pattern = known, self._compiled(known)
        return text if self._pattern is None else self._pattern.sub("***", text)

    @staticmethod
    def _compiled(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
        spellings: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SECRET_MIN:
                encoded = percent_encode(secret, safe="", errors="surrogateescape")
                spellings |= {secret, one_line(secret), quoted(secret), repr(secret)[1:-1], encoded}
        if not spellings:
            return None
        longest_first = sorted(spellings, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))


class Text:
    """For people: time, level, sentence; only the sentence where the journal knows the rest."""

    def __init__(self, redact: Callable[[str], str], *, colour: bool, times: bool) -> None:
        self._redact = redact
        self._colour = colour
        self._times = times

    def __call__(self, record: Mapping[str, Any]) -> str:
        """The line of a record."""
        message = record["message"]
        failure = _failure(record["exception"])
        if failure is not None:
            said = "; from ".join([f"{failure['type']}: {failure['message']}", *failure["causes"]])
            message = f"{message}: {said} ({' < '.join(failure['frames'])})"
        message = one_line(_cut(self._redact(message)))
        if not self._times:
            return message
        level = f"{record['level'].name:<8}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record['level'].name, '0')}m{level}\x1b[0m"
        return f"{record['time']:YYYY-MM-DD HH:mm:ss} {level} {message}"


class Json:
    """For machines: one object per line; ``ts``, ``level``, ``event``, ``message`` always, then what was bound.

    Bytes of names that are not UTF-8 stand as escaped surrogates, as in the control API.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def __call__(self, record: Mapping[str, Any]) -> str:
        """The line of a record."""
        extra = record["extra"]
        time: datetime = record["time"]
        fields = {
            "ts": time.isoformat(timespec="milliseconds"),
            "level": record["level"].name.lower(),
            "event": extra.get("event", "log"),
            "message": one_line(_cut(self._redact(record["message"]))),
        }
        failure = _failure(record["exception"])
        if failure is not None:
            fields["exception"] = failure
        return json.dumps(self._plain({**fields, **{key: extra[key] for key in extra if key not in fields}}))

    def _plain(self, value: object, depth: int = 0) -> object:
        """``value`` as JSON has it: strings redacted, numbers finite, strange objects as their text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(value)
        if depth < _NESTED_MAX and isinstance(value, Mapping):
            return {self._redact(text_of(key)): self._plain(item, depth + 1) for key, item in value.items()}
        if depth < _NESTED_MAX and isinstance(value, list | tuple | set | frozenset):
            return [self._plain(item, depth + 1) for item in value]
        return _cut(self._redact(text_of(value)))
