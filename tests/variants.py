"""Variants of a test that come near others: `make test-long` runs them, too, and `make test` the others only."""

from __future__ import annotations

import pytest


def also(*values: object) -> list[object]:
    """Further values of a parameter, for those who have the time."""
    return [pytest.param(value, marks=pytest.mark.long) for value in values]
