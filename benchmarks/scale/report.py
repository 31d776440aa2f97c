"""Tables from results: the part of docs/performance.md on scale, and the verdicts.

In: `Results`, rows with their targets. Out: Markdown. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scale.record import OURS, Case, Results
from benchmarks.scale.rows import ROWS, Row, Target, Term

BEGIN, END = "<!-- scale:begin -->", "<!-- scale:end -->"
_UNITS = {"ms": "ms", "s": "s", "mib": "MiB", "pct": "%"}
_WORDS = {
    "latency_ms": "close() to published",
    "beyond_settle_ms": "beyond the settle time",
    "cpu_per_file_ms": "CPU for each file",
    "start_s": "until in sync, or exit",
    "cpu_s": "CPU",
    "peak_mib": "peak memory",
    "cpu_ms": "CPU",
    "cpu_pct": "CPU",
    "rss_mib": "memory",
    "done_s": "until all are published, or exit",
    "written_s": "of which the files were being created",
    "growth_mib": "growth of memory",
    "cpu_s_per_gib": "CPU for each GiB",
    "steps": "steps of progress seen",
    "link_s": "on the line of 1 Gbit/s, whole process",
    "sending_s": "on the line of 1 Gbit/s, sending",
    "link_cpu_s": "CPU on the line",
    "polling": "mappings that had to poll",
    "renamed_s": "until the server has the new name",
    "version_ms": "`--version`",
    "status_ms": "`status`",
    "offline_status_ms": "`status` without a daemon",
    "python_ms": "an empty Python program, for comparison",
    "version_cpu_ms": "`--version`, CPU",
    "status_cpu_ms": "`status`, CPU",
    "offline_status_cpu_ms": "`status` without a daemon, CPU",
    "python_cpu_ms": "an empty Python program, CPU",
    "rss_rise": "memory, rise of the line in MiB",
    "rss_noise": "memory, noise in MiB",
    "descriptors_rise": "descriptors, rise of the line",
    "threads_rise": "threads, rise of the line",
}
"""What a table shows, in words; quantities that are not here only serve targets."""


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    row: Row
    target: Target
    measured: float | None

    @property
    def is_reached(self) -> bool:
        """Judged by the exact number, not by the rounded one."""
        return self.measured is not None and self.measured <= self.target.bound


def verdicts(results: Results, rows: Sequence[Row] = ROWS) -> list[Verdict]:
    """All targets, in order."""
    return [Verdict(row, target, _measured(results, row, target)) for row in rows for target in row.targets]


def _measured(results: Results, row: Row, target: Target) -> float | None:
    ours = _number(results, row, target.term)
    if target.beside is None or ours is None:
        return ours
    beside = _number(results, row, target.beside)
    if beside is None or (target.by == "ratio" and not beside):
        return None
    return ours / beside if target.by == "ratio" else ours - beside


def _number(results: Results, row: Row, term: Term) -> float | None:
    case = results.case(term.row or row.key, term.variant)
    return None if case is None else case.statistic(term.program, term.quantity, term.statistic)


def lines(results: Results, rows: Sequence[Row] = ROWS) -> list[str]:
    """The targets as lines for a terminal."""
    return [" | ".join(_target_row(verdict)) for verdict in verdicts(results, rows) if verdict.measured is not None]


def render(results: Results, rows: Sequence[Row] = ROWS) -> str:
    """The whole text between the markers."""
    parts = [
        _machine(results),
        "### Targets of scale\n\nRatios and differences are those of medians of the same run.",
        _table(("row", "what", "at most", "measured", ""), map(_target_row, verdicts(results, rows)), right=(2, 3)),
        *(_section(row, cases) for row in rows if (cases := [c for c in results.cases if c.row == row.key])),
    ]
    return "\n\n".join(parts)


def _machine(results: Results) -> str:
    facts = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in facts["contenders"].items())
    return (
        f"Measured on {facts['cores']} cores ({facts['processor']}), Linux {facts['kernel']}, Python"
        f" {facts['python']}. Programs: {versions}."
    )


def _target_row(verdict: Verdict) -> tuple[str, ...]:
    target = verdict.target
    words = target.words
    if target.beside is not None and target.beside.program != OURS and "beside" not in words:
        words += f", beside {target.beside.program}'s"
    if verdict.measured is None:
        return verdict.row.title, words, _shown(target, target.bound), "—", "not measured"
    said = "reached" if verdict.is_reached else "**not reached**"
    return verdict.row.title, words, _shown(target, target.bound), _shown(target, verdict.measured), said


def _shown(target: Target, number: float) -> str:
    if target.by == "ratio":
        return f"{number:.2f} ×"
    return _with_unit(target.term.quantity, number)


def _with_unit(quantity: str, number: float) -> str:
    unit = _UNITS.get(quantity.removesuffix("_per_gib").rpartition("_")[2], "")
    digits = 0 if abs(number) >= 1000 or (not unit and number == int(number)) else 1 if abs(number) >= 10 else 2
    return f"{number:,.{digits}f} {unit}".rstrip()


def _section(row: Row, cases: Sequence[Case]) -> str:
    parts = [f"### {row.title}", _says(row, cases[-1])]
    head = ("case", "program", "what", "median", "least–most")
    parts.append(_table(head, (line for case in cases for line in _case_rows(case)), right=(3,)))
    if loads := [f"{case.facts['load']:g}" for case in cases if "load" in case.facts]:
        parts.append(f"Load average of the machine, this measurement included: {', '.join(loads)}.")
    parts += [f"{name} is left out: {why}." for case in cases for name, why in case.left_out.items()]
    return "\n\n".join(parts)


def _says(row: Row, largest: Case) -> str:
    return row.says.format(**largest.facts)


def _case_rows(case: Case) -> Iterator[tuple[str, ...]]:
    files = case.facts.get("files")
    named = f"{files:,} files" if case.variant and files else "—"
    for program, quantities in case.values.items():
        for quantity, found in quantities.items():
            if quantity in _WORDS:
                middle = case.statistic(program, quantity)
                assert middle is not None
                spread = f"{_with_unit(quantity, min(found))}–{_with_unit(quantity, max(found))}"
                yield (
                    named,
                    f"**{program}**" if program == OURS else program,
                    _WORDS[quantity],
                    _with_unit(quantity, middle),
                    spread if len(found) > 1 else "one run",
                )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    aligned = set(right)
    rule = ["---:" if number in aligned else "---" for number in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
