"""What holds for every story of the model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


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
