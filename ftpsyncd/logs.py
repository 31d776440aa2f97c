"""The log: one physical line per record, for people, for machines, or for the journal.

The service calls ``configure`` once. Everybody else logs through `logger`: a complete sentence, and facts bound to it,
as in ``logger.bind(event="published", mapping="gallery", path=path).info(f"Published {quote(path)}.")``. The sentence
is never given arguments to format, since names may hold braces. It is loguru's logger, loaded with the first record: it
brings asyncio, which takes a fifth of the start of a short run that has nothing to log.

Whatever a name, a server or a library puts into a record, it stays on its line, cannot steer a terminal, and carries no
known secret: those are replaced (`loglines`) as the last line of defence; nothing else may rely on it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

from ftpsyncd.counting import number

if TYPE_CHECKING:
    from loguru import Logger

from ftpsyncd.loglines import Json, Redactor, Text, text_of
from ftpsyncd.logstream import LogStream, is_journal
from ftpsyncd.quoting import one_line, quote
from ftpsyncd.typed import Typed

__all__ = ["configure", "for_machines", "logger", "one_line", "quote", "reset", "wanted"]

_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
"""Loguru's."""

_PRIORITIES = ((50, 2), (40, 3), (30, 4), (25, 5), (20, 6))
"""From loguru's level numbers to those of syslog (sd-daemon(3)); all below is 7, debug."""

_SLOW_S = 0.5
_JOURNAL_PAUSE_S = 60.0
"""A journal that has refused a record after so long, since it hangs, is given none for a minute."""
_NONE = 1_000
_FIELD_NAME = re.compile("[^A-Za-z0-9_]")
_handlers: list[int] = []
"""Loguru's number of our handler."""
_least = [0]
"""The lowest level that is logged; loguru's own default logs all."""
_for_machines = [False]
"""The log is the journal, or JSON."""
_late: list[Callable[[], None]] = []
"""What was configured before loguru was loaded, to be done then."""
_loading = threading.RLock()


def configure(
    level: str = "info",
    format: str = "text",  # noqa: A002 - the configuration's own word
    stream: TextIO | None = None,
    *,
    journald: bool | None = None,
    journal: Callable[[Mapping[str, str]], bool] = lambda _fields: False,
    secrets: Callable[[], Iterable[str]] = tuple,
    typed: Typed = Typed(),  # noqa: B008 - immutable
) -> None:
    """Sends all records to ``stream``, in place of any earlier set-up.

    Args:
        level: the lowest level that is logged: trace, debug, info, success, warning, error or critical.
        format: ``text`` or ``json``.
        stream: standard error if absent.
        journald: whether ``stream`` is the journal's; None finds out (``$JOURNAL_STREAM``, systemd.exec(5)).
        journal: hands a record with its facts as fields to the journal; is asked for text of ``journald`` only, and
            if it returns False, the line goes to ``stream`` with its priority before it.
        secrets: what must not appear in any record; asked for every record, since a reload may change it.
        typed: how the commands that records name are typed for the service that logs.

    Raises:
        ValueError: ``level`` or ``format`` is none of those.
    """
    if format not in {"text", "json"}:
        raise ValueError(f"log format {format!r} is neither text nor json")
    if level.upper() not in _LEVELS:
        raise ValueError(f"log level {level!r} is none of {', '.join(_LEVELS).lower()}")
    number = _LEVELS[level.upper()]
    target = sys.stderr if stream is None else stream
    prefixed = is_journal(target) if journald is None else journald
    redact = Redactor(secrets)
    render: Callable[[Mapping[str, Any]], str]
    if format == "json":
        render = Json(redact)
    else:
        render = Text(redact, colour=not prefixed and _is_colourful(target), times=not prefixed)
    fields = _Fields(redact, journal) if prefixed and format == "text" else None
    _when_loaded(lambda: _add(_Sink(target, render, typed, prefixed=prefixed, fields=fields), number))
    _least[0] = number
    _for_machines[0] = prefixed or format == "json"
    _remove_intercepts()
    # What libraries log below WARNING is no news to anybody here.
    logging.getLogger().addHandler(_Intercept(logging.WARNING))


def _add(sink: _Sink, number: int) -> None:
    """Have loguru write to a sink, and to no other."""
    # diagnose would print the values of variables, passwords among them; our own renderer formats exceptions.
    handler = logger.add(sink, level=number, format=_nothing, diagnose=False, backtrace=False)
    # The new one first: what is logged meanwhile by other threads may be seen twice, but is not lost.
    if _handlers:
        logger.remove(_handlers.pop())
    else:
        _remove_default()
    _handlers.append(handler)


def wanted(level: str) -> bool:
    """Whether a record of this level goes anywhere: asked where making one for every file would cost much."""
    return _LEVELS[level] >= _least[0]


def for_machines() -> bool:
    """Whether the log is the journal, or JSON: what is to be found there by its level is no plain line beside it."""
    return _for_machines[0]


def reset() -> None:
    """Undoes ``configure``: no record goes anywhere."""
    _when_loaded(_forget)
    _least[0] = _NONE
    _for_machines[0] = False
    _remove_intercepts()


def _forget() -> None:
    logger.remove()
    _handlers.clear()


class _Late:
    """Loguru's logger, loaded when it is used."""

    def __getattr__(self, name: str) -> Any:
        with _loading:
            from loguru import logger as loaded  # noqa: PLC0415 - see the module docstring

            # Nobody's record gets past here before it is certain where it goes.
            late, _late[:] = list(_late), []
            for act in late:
                act()
        return getattr(loaded, name)


logger: Logger = cast("Logger", _Late())


def _when_loaded(act: Callable[[], None]) -> None:
    with _loading:
        if "loguru" in sys.modules:
            act()
        else:
            # What came before it would be undone anyway.
            _late[:] = [act]


def _remove_default() -> None:
    """Loguru begins with a handler of its own, number 0."""
    with contextlib.suppress(ValueError):
        logger.remove(0)


def _remove_intercepts() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Intercept)]:
        root.removeHandler(handler)


def _nothing(_record: object) -> str:
    """Loguru's own formatting is not used."""
    return ""


def _priority(record: Mapping[str, Any]) -> int:
    """Of syslog, from 2 to 7."""
    number = record["level"].no
    return next((priority for least, priority in _PRIORITIES if number >= least), 7)


def _is_colourful(stream: TextIO) -> bool:
    """Colour is for terminals, and for those who have not declined it (no-color.org)."""
    try:
        terminal = stream.isatty()
    except (OSError, ValueError, AttributeError):
        return False
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Fields:
    """For the journal: a rendered line with what was bound to it as ``FTPSYNCD_…`` fields."""

    def __init__(self, redact: Callable[[str], str], journal: Callable[[Mapping[str, str]], bool]) -> None:
        self._redact = redact
        self._journal = journal
        self._again_at = 0.0

    def __call__(self, line: str, record: Mapping[str, Any]) -> bool:
        """Whether the journal took it."""
        began_at = time.monotonic()
        if began_at < self._again_at:
            return False
        taken = self._hand(line, record)
        if not taken and time.monotonic() - began_at > _SLOW_S:
            self._again_at = time.monotonic() + _JOURNAL_PAUSE_S
        return taken

    def _hand(self, line: str, record: Mapping[str, Any]) -> bool:
        fields = {"MESSAGE": line, "PRIORITY": str(_priority(record)), "SYSLOG_IDENTIFIER": "ftpsyncd"}
        for key, value in record["extra"].items():
            if value is not None and not isinstance(value, Mapping | list | tuple | set | frozenset):
                # Whole: who looks for a path has to find it as it is.
                fields[f"FTPSYNCD_{_FIELD_NAME.sub('_', key).upper()}"] = self._redact(text_of(value))
        return self._journal(fields)


class _Sink:
    """Writes rendered records; loguru lets one thread in at a time."""

    def __init__(
        self,
        stream: TextIO,
        render: Callable[[Mapping[str, Any]], str],
        typed: Typed,
        *,
        prefixed: bool,
        fields: _Fields | None,
    ) -> None:
        self._stream = LogStream(stream)
        self._render = render
        self._typed = typed
        self._prefixed = prefixed
        self._fields = fields
        self._lost = 0
        """Lines that could not be written since the last that could."""

    def __call__(self, message: Any) -> None:
        record = self._for_this_service(message.record)
        try:
            line = self._render(record)
        except Exception:  # loguru would print the record as it is, secrets and all
            line = "A record could not be rendered."
        if self._lost and self._tells_of_gap(record):
            self._lost = 0
        if self._lost or not (self._journal_takes(line, record) or self._write(line, record)):
            self._lost += 1

    def _tells_of_gap(self, record: Mapping[str, Any]) -> bool:
        """Say, where the log goes on, that lines are missing; false if it does not yet."""
        lines = number(self._lost, "line")
        said = f"what should stand here is missing, since it could not be written: {lines} of the log"
        gap = {**record, "message": said, "level": logger.level("WARNING"), "exception": None, "extra": {}}
        line = self._render(gap)
        # Nobody is kept waiting for the stream once more.
        return self._journal_takes(line, gap) or (self._stream.is_read(0.0) and self._write(line, gap))

    def _for_this_service(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record, with its sentences' commands typed for the service that logs."""
        extra, remedy = record["extra"], record["extra"].get("remedy")
        if isinstance(remedy, str):
            extra = {**extra, "remedy": self._typed.text(remedy)}
        return {**record, "message": self._typed.text(record["message"]), "extra": extra}

    def _journal_takes(self, line: str, record: Mapping[str, Any]) -> bool:
        return self._fields is not None and self._fields(line, record)

    def _write(self, line: str, record: Mapping[str, Any]) -> bool:
        return self._stream.write(f"<{_priority(record)}>{line}" if self._prefixed else line)


class _Intercept(logging.Handler):
    """Hands the warnings of libraries to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Passes ``record`` on; its format arguments may be wrong, its logger is bound as ``logger``."""
        try:
            message = record.getMessage()
        except Exception:  # a library's mistake is no reason to lose its warning
            message = text_of(record.msg)
        level = next((name for name in ("CRITICAL", "ERROR") if record.levelno >= _LEVELS[name]), "WARNING")
        logger.bind(logger=record.name).opt(exception=record.exc_info).log(level, message)
