"""What was measured, as data, and the JSON file that keeps it.

In: numbers of one row of the table, by program and quantity. Out: `Case`, `Results`. Pure but for `load` and `save`.
A quantity's name ends in its unit (``start_s``, ``peak_mib``, ``latency_ms``); one without is a count.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

Statistic = Literal["median", "p99", "max"]
OURS = "ftpsyncd"


@dataclass
class Case:
    """One row of the table, in one variant."""

    row: str
    variant: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """The setting: how many files, which server."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Program → quantity → what was measured, in order."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Program → why it is not here."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Quantity → samples over time, where the course of it matters; ``at_s`` has the times."""

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a case among the results."""
        return self.row, self.variant

    def add(self, program: str, **values: float) -> None:
        """Keep one value each of some quantities."""
        quantities = self.values.setdefault(program, {})
        for quantity, value in values.items():
            quantities.setdefault(quantity, []).append(round(value, 6))

    def statistic(self, program: str, quantity: str, statistic: Statistic = "median") -> float | None:
        """Of what was measured; None if nothing was."""
        found = self.values.get(program, {}).get(quantity)
        if not found:
            return None
        if statistic == "median":
            return float(median(found))
        if statistic == "max":
            return max(found)
        return sorted(found)[min(len(found) - 1, int(len(found) * 0.99))]


@dataclass
class Results:
    """All cases measured on one machine."""

    machine: dict[str, Any]
    cases: list[Case] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Put a case in the place of its predecessor, if there is one."""
        for position, old in enumerate(self.cases):
            if old.key == case.key:
                self.cases[position] = case
                return
        self.cases.append(case)

    def case(self, row: str, variant: str = "") -> Case | None:
        """A case, if it was measured."""
        return next((case for case in self.cases if case.key == (row, variant)), None)


def to_json(results: Results) -> str:
    """The file's text; lists of numbers on one line each, so that a change can be read."""
    text = json.dumps(asdict(results), indent=1)
    return _on_one_line(text) + "\n"


def from_json(text: str) -> Results:
    """The reverse of `to_json`."""
    data = json.loads(text)
    return Results(data["machine"], [Case(**each) for each in data["cases"]])


def load(path: Path) -> Results:
    """Read the file."""
    return from_json(path.read_text())


def save(path: Path, results: Results) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(to_json(results))
    temporary.replace(path)


def _on_one_line(text: str) -> str:
    lines: list[str] = []
    inside: list[str] | None = None
    for line in text.splitlines():
        if line.endswith("["):
            inside = [line]
        elif inside is not None and line.lstrip().startswith("]"):
            lines.append(inside[0] + " ".join(part.strip() for part in inside[1:]) + line.strip())
            inside = None
        elif inside is not None and not line.rstrip().endswith(("{", "}", "},")):
            inside.append(line)
        else:
            lines += [*(inside or ()), line]
            inside = None
    return "\n".join(lines)
