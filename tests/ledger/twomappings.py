"""A ledger that knows two mappings, for what concerns one of them and is to leave the other alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftpsyncd.ledger.book import Ledger

MAPPING, OTHER = 1, 2
"""Their numbers."""


def two_mappings() -> Iterator[Ledger]:
    """An empty one, in memory: to be made a fixture of."""
    with Ledger(Path(":memory:")) as ledger:
        for name in ("one", "other"):
            ledger.mappings.number(name, f"u@host:21/{name}")
        yield ledger
