"""Empty files whose content is still being downloaded, beside them under another name. Pure.

Firefox keeps the final name by an empty file from the beginning, and fills `NAME.part`, or `STEM.XXXXXXXX.ENDING.part`
in newer versions, which is renamed over it at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

_PART = ".part"


def awaited(empty: Collection[str], names: Iterable[str]) -> frozenset[str]:
    """Those of some empty files whose content is being downloaded.

    Args:
        empty: their names.
        names: all names in the same directory.
    """
    parts = [name for name in names if name.endswith(_PART)] if empty else []
    return frozenset(name for name in empty if any(_is_part_of(part, name) for part in parts))


def _is_part_of(part: str, name: str) -> bool:
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    return part == f"{name}{_PART}" or (part.startswith(f"{stem}.") and part.endswith(f"{dot}{ending}{_PART}"))
