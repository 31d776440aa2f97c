"""Empty files whose content is still being downloaded, beside them under another name. Pure.

Firefox keeps the final name by an empty file from the beginning, and fills `NAME.part`, or `STEM.XXXXXXXX.ENDING.part`
in newer versions, which is renamed over it at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

_PART = ".part"


def awaited(empty: Collection[str], names: Iterable[str]) -> frozenset[str]:
    """Those of some empty files whose content is being downloaded.

    Args:
        empty: their names.
        names: all names in the same directory.
    """
    parts = [name for name in names if name.endswith(_PART)] if empty else []
    if not parts:
        return frozenset()
    return frozenset(empty).intersection(final for part in parts for final in _finals(part.removesuffix(_PART)))


def _finals(part: str) -> Iterator[str]:
    """The names that a part may get: as it is, and without what was put before its ending, or behind a name without."""
    yield part
    name, _, last = part.rpartition(".")
    yield name
    yield f"{name.rpartition('.')[0]}.{last}"
