"""The picture of the results: a panel for each scenario, a bar for each contender's median. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.record import Case, Results
from benchmarks.scenarios import Scenario

_COLOURS = {
    OURS: "#0b7285",
    "lftp": "#e8590c",
    "rclone": "#9c36b5",
    "ftplib": "#868e96",
    "bare": "#e9b44c",
    "curl": "#2b8a3e",
    "openssl": "#ced4da",
}


def draw(results: Results, scenarios: Sequence[Scenario], path: Path) -> None:
    """Write an SVG; the same results give the same file."""
    panels = [(each, [case for case in results.cases if case.scenario == each.key]) for each in scenarios]
    panels = [(scenario, cases) for scenario, cases in panels if cases]
    if not panels:
        return
    heights = [1.2 + sum(len(case.measured) + 1 for case in cases) for _, cases in panels]
    with mpl.rc_context({"svg.hashsalt": "ftpsyncd", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 0.24 * sum(heights) + 0.5), layout="constrained")
        axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)
        for (scenario, cases), (axis,) in zip(panels, axes, strict=True):
            _panel(axis, scenario, cases)
        names = [name for name in CONTENDERS if any(name in case.measured for case in results.cases)]
        handles = [mpl.patches.Patch(color=_COLOURS[name], label=name) for name in names]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(names), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axis: Any, scenario: Scenario, cases: Sequence[Case]) -> None:
    """Bars from top to bottom, a group for each server, whiskers from the shortest to the longest run."""
    position, ticks = 0.0, []
    for case in cases:
        names = sorted(case.measured, key=case.median)
        ticks.append((position + (len(names) - 1) / 2, case.server + (", TLS" if case.tls != "off" else "")))
        for name in names:
            wall, (shortest, longest) = case.median(name), case.spread(name)
            whiskers = [[wall - shortest], [longest - wall]]
            axis.barh(position, wall, 0.85, color=_COLOURS[name], xerr=whiskers, error_kw={"elinewidth": 0.8})
            axis.text(longest, position, f" {wall:.3g} s", va="center", fontsize=8)
            position += 1
        position += 1
    axis.set_yticks([where for where, _ in ticks], [label for _, label in ticks])
    axis.invert_yaxis()
    axis.margins(x=0.08)
    axis.set_xlim(left=0)
    axis.set_title(f"({scenario.key}) {scenario.title}", loc="left", fontsize=9)
    axis.set_xlabel("seconds", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
