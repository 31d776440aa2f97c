"""What tests measured, kept for docs/reliability.md: figures come from runs, never from a hand.

A test takes the fixture `figures` and tells it what it saw. Where the environment names a folder in
``FTPSYNCD_FIGURES``, each test leaves one JSON file there; else the telling costs nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

FOLDER = "FTPSYNCD_FIGURES"


@dataclass(frozen=True)
class Figure:
    """One thing that one test measured."""

    guarantee: str
    """G1 to G8 of docs/reliability.md."""
    what: str
    """The quantity, as a person reads it: ``kills by SIGKILL``."""
    value: float | int | str
    unit: str = ""
    limit: float | int | None = None
    """The bound that the test asserts, if there is one."""
    adds: bool = False
    """A count: those of the variants of one test are added up."""


@dataclass
class Figures:
    """The figures of one test."""

    test: str
    told: list[Figure] = field(default_factory=list)

    def tell(
        self,
        guarantee: str,
        what: str,
        value: float | str,
        *,
        unit: str = "",
        limit: float | None = None,
        adds: bool = False,
    ) -> None:
        """Keep one figure; only those of a test that passes are written."""
        self.told.append(Figure(guarantee, what, value, unit, limit, adds))

    def save(self, folder: Path) -> None:
        """Write them as one file of their own."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.test).strip("-")
        held = {
            "test": self.test,
            "date": datetime.now(UTC).date().isoformat(),
            "figures": [asdict(figure) for figure in self.told],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n")


PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test itself passed, for the fixture that ends after it."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Where a test says what it measured."""
    told = Figures(request.node.nodeid)
    yield told
    folder = os.environ.get(FOLDER)
    if folder and told.told and request.node.stash.get(PASSED, False):
        told.save(Path(folder))
