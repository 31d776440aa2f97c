"""What was measured, as data: runs, cases, and the JSON file that keeps them.

A case is one scenario with one server; its runs were made in one go, the contenders taking turns. Pure but for `load`
and `save`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

Quantity = Literal["wall_s", "cpu_s", "peak_kib"]


@dataclass(frozen=True)
class Run:
    """One process from its start to its exit; both sides were found equal afterwards."""

    wall_s: float
    cpu_s: float
    peak_kib: int
    dates_kept: bool


@dataclass
class Case:
    """One scenario with one server."""

    scenario: str
    server: str
    server_version: str
    tls: str
    connections: int
    files: int
    size_bytes: int
    rtt_ms: float | None
    """Asked for; None: loopback."""
    measured_rtt_ms: float
    """Of a TCP handshake."""
    mtu: int | None = None
    day: str = ""
    """On which it was measured, ISO 8601; empty: not recorded."""
    commit: str = ""
    """Of the checkout that was measured, "+" behind it if the program in it was changed; empty: not recorded."""
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """By contender."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Contender → why it is not here."""
    failed: dict[str, str] = field(default_factory=dict)
    """Contender → what went wrong; its runs, if any, do not count."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies a case among the results."""
        return self.scenario, self.server, self.tls

    @property
    def measured(self) -> list[str]:
        """The contenders that have a result."""
        return [name for name, runs in self.runs.items() if runs and name not in self.failed]

    def median(self, contender: str, quantity: Quantity = "wall_s") -> float:
        """The median of a contender's runs."""
        return float(median(getattr(run, quantity) for run in self.runs[contender]))

    def spread(self, contender: str) -> tuple[float, float]:
        """Shortest and longest wall time."""
        walls = [run.wall_s for run in self.runs[contender]]
        return min(walls), max(walls)


@dataclass
class Results:
    """All cases measured on one machine."""

    machine: Mapping[str, Any]
    cases: list[Case] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Put a case in the place of its predecessor, if there is one."""
        for position, old in enumerate(self.cases):
            if old.key == case.key:
                self.cases[position] = case
                return
        self.cases.append(case)


def to_json(results: Results) -> str:
    """The file's text."""
    return json.dumps(asdict(results), indent=1, sort_keys=False) + "\n"


def from_json(text: str) -> Results:
    """The reverse of `to_json`."""
    data = json.loads(text)
    cases = []
    for each in data["cases"]:
        runs = {name: [Run(**run) for run in some] for name, some in each.pop("runs").items()}
        cases.append(Case(**each, runs=runs))
    return Results(data["machine"], cases)


def load(path: Path) -> Results:
    """Read the file."""
    return from_json(path.read_text())


def save(path: Path, results: Results) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(to_json(results))
    temporary.replace(path)
