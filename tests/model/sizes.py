"""How many things a daemon holds: every container that can be reached from an object, by class and attribute."""

from __future__ import annotations

import types
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

_CONTAINERS = (dict, set, list, deque)
_NOTHING_IN_IT = (str, bytes, int, float, type, types.ModuleType, types.NoneType)
_OURS = "ftpsyncd."


def sizes(*roots: object) -> Counter[str]:
    """The number of things in all containers that can be reached from some objects.

    A container within a container counts as part of it; one that two attributes share counts for both. What is reached
    through a function (what it closes over, whose method it is) is reached, too.

    Returns:
        By class and attribute, of all objects of that class: ``Waits.pending``.
    """
    found = Counter[str]()
    seen = set[int]()
    stack: list[tuple[str, object]] = [("", root) for root in roots]
    while stack:
        where, thing = stack.pop()
        if isinstance(thing, _NOTHING_IN_IT):
            continue
        if isinstance(thing, _CONTAINERS):
            found[where] += len(thing)
        if id(thing) not in seen:
            seen.add(id(thing))
            stack.extend(_parts(where, thing))
    return found


def _parts(where: str, thing: object) -> Iterator[tuple[str, object]]:
    """What a thing consists of, and where that is: an attribute of our own classes, or of what holds it."""
    if isinstance(thing, Mapping):
        yield from ((where, part) for pair in thing.items() for part in pair)
    elif isinstance(thing, Collection):
        yield from ((where, part) for part in thing)
    elif isinstance(thing, types.FunctionType):
        yield from ((where, cell.cell_contents) for cell in thing.__closure__ or ())
    elif isinstance(thing, types.MethodType):
        yield where, thing.__self__
    elif isinstance(thing, partial):
        yield from ((where, part) for part in (thing.func, thing.args, thing.keywords))
    elif isinstance(thing, types.GeneratorType) and thing.gi_frame is not None:
        yield from ((where, part) for part in thing.gi_frame.f_locals.values())
    yield from _attributes(thing)


def _attributes(thing: Any) -> Iterator[tuple[str, object]]:
    kind = type(thing)
    if not any(base.__module__.startswith(_OURS) for base in kind.__mro__):
        return
    names = {*getattr(thing, "__dict__", ())}
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    for name in names - {"__weakref__", "__dict__"}:
        with_class = f"{_home(kind)}.{name}"
        if hasattr(thing, name):
            yield with_class, getattr(thing, name)


def _home(kind: type) -> str:
    """The class of ours that it is, or is made from: a double of the tests counts as what it stands for."""
    return next(base.__name__ for base in kind.__mro__ if base.__module__.startswith(_OURS))
