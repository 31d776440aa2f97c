"""What holds for every story of the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 900
"""Dozens of stories on end take a test a quarter of a minute, and twenty times that on a machine that is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No story is broken for the time that the machine takes to tell all of its test."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


@pytest.fixture(autouse=True, scope="module")
def _directories_are_large() -> Iterator[None]:
    """More than two names are compared in several turns, as hundreds are outside: what happens in between is tried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftpsyncd.mapping.comparing.NAMES_AT_ONCE", 2)
        patch.setattr("ftpsyncd.mapping.recorded.ROWS_AT_ONCE", 2)
        patch.setattr("ftpsyncd.mapping.kin.ROWS_AT_ONCE", 2)
        patch.setattr("ftpsyncd.mapping.kin.NAMES_AT_ONCE", 1)
        patch.setattr("ftpsyncd.mapping.clearing.ROWS_AT_ONCE", 2)
        patch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", 2)
        patch.setattr("ftpsyncd.ledger.inodes.ROWS_AT_ONCE", 2)
        patch.setattr("ftpsyncd.core.schedule.PARKED_AT_ONCE", 2)
        yield
