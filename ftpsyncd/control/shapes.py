"""Status, Why and history as JSON, in both directions (docs/control-api.md).

The shape is that of the records, field by field. Readers take fields they do not know for news from a newer daemon
and pass them over; a field that is missing or has another meaning is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from ftpsyncd.errors import ControlError
from ftpsyncd.questions import Health, Why
from ftpsyncd.receipts import HistoryPage, Receipt
from ftpsyncd.status import (
    DaemonStatus,
    MappingState,
    MappingStatus,
    Problem,
    ServerState,
    ServerStatus,
    Status,
    Transfer,
)

_PLAIN = frozenset({str, int, float, bool, type(None)})
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def record_to_json(record: NamedTuple) -> dict[str, Any]:
    """A record of ours, field by field, and the records in it."""
    return {
        name: value if type(value) in _PLAIN else _to_json(value)
        for name, value in zip(record._fields, record, strict=True)
    }


def _to_json(value: Any) -> object:
    if hasattr(value, "_fields"):
        return record_to_json(value)
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return value


def status_to_json(status: Status) -> dict[str, Any]:
    """The shape of ``GET /v1/status`` and ``ftpsyncd status --json``."""
    return record_to_json(status)


def mapping_to_json(status: Status, name: str) -> dict[str, Any] | None:
    """The shape of ``GET /v1/mappings/NAME``: that mapping with its transfers and problems; None if there is none."""
    for mapping in status.mappings:
        if mapping.name == name:
            return {
                **record_to_json(mapping),
                "transfers": [record_to_json(item) for item in status.transfers if item.mapping == name],
                "problems": [record_to_json(item) for item in status.problems if item.mapping == name],
            }
    return None


def why_to_json(why: Why) -> dict[str, Any]:
    """The shape of ``GET /v1/why`` and ``ftpsyncd why --json``."""
    return {
        "path": why.path,
        "mapping": why.mapping,
        "state": why.state,
        "sentence": why.sentence,
        "details": dict(why.details),
        "receipt": None if why.receipt is None else record_to_json(why.receipt),
        "also": [why_to_json(other) for other in why.also],
    }


def history_to_json(page: HistoryPage) -> dict[str, Any]:
    """The shape of ``GET /v1/history`` and ``ftpsyncd history --json``."""
    return {"entries": [record_to_json(entry) for entry in page.entries], "next": page.next}


def health_to_json(health: Health) -> dict[str, Any]:
    """The shape of ``GET /healthz``."""
    return record_to_json(health)


def status_from_json(data: object) -> Status:
    """The status that ``status_to_json`` wrote.

    Raises:
        ControlError: ``data`` has another shape.
    """
    return _record(
        Status,
        data,
        daemon=lambda item: _record(DaemonStatus, item),
        mappings=_each(lambda item: _record(MappingStatus, item, state=MappingState)),
        servers=_each(lambda item: _record(ServerStatus, item, state=ServerState)),
        transfers=_each(lambda item: _record(Transfer, item)),
        problems=_each(lambda item: _record(Problem, item)),
    )


def history_from_json(data: object) -> HistoryPage:
    """The page that ``history_to_json`` wrote.

    Raises:
        ControlError: ``data`` has another shape.
    """
    return _record(HistoryPage, data, entries=_each(lambda item: _record(Receipt, item)))


def why_from_json(data: object) -> Why:
    """The answer that ``why_to_json`` wrote.

    Raises:
        ControlError: ``data`` has another shape.
    """
    return _record(
        Why,
        data,
        receipt=lambda item: None if item is None else _record(Receipt, item),
        also=lambda items: tuple(map(why_from_json, items)),
    )


def _record(kind: Callable[..., _Made], data: object, **converters: Callable[[Any], object]) -> _Made:
    """A ``kind`` from a JSON object, each field through its converter."""
    record = cast("type[NamedTuple]", kind)
    if not isinstance(data, dict):
        raise _strange(record, "is no object")
    values = {name: data[name] for name in record._fields if name in data}
    try:
        return kind(**{name: converters.get(name, _same)(value) for name, value in values.items()})
    except (TypeError, ValueError) as problem:  # a field that is missing; a word that is none of an enum's
        raise _strange(record, f"cannot be understood: {problem}") from problem


def _each(convert: Callable[[Any], _Item]) -> Callable[[Any], tuple[_Item, ...]]:
    return lambda items: tuple(convert(item) for item in items)


def _same(value: object) -> object:
    return value


def _strange(kind: type, trouble: str) -> ControlError:
    return ControlError(
        f"The daemon's answer {trouble} ({kind.__name__}).",
        remedy="Daemon and command are of different versions: restart the daemon.",
    )
