"""The pictures of the results: how latencies spread, how starting grows, how the churn went. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.scale.record import Results

_COLOURS = ("#0b7285", "#e8590c", "#9c36b5", "#868e96")


def draw(results: Results, path: Path) -> None:
    """Write an SVG; the same results give the same file."""
    panels = [panel for panel in (_latency, _start, _churn) if panel(None, results)]
    if not panels:
        return
    with mpl.rc_context({"svg.hashsalt": "ftpsyncd", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 2.6 * len(panels)), layout="constrained")
        for axis, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            panel(axis, results)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend(frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _latency(axis: Any, results: Results) -> bool:
    """What share of the files was published within which time."""
    found = [
        (f"{program}{', a full directory' if row == 'flat' else ''}", sorted(quantities["latency_ms"]))
        for row in ("close", "flat")
        if (case := results.case(row)) is not None
        for program, quantities in case.values.items()
        if quantities.get("latency_ms")
    ]
    if axis is not None:
        for (label, values), colour in zip(found, _COLOURS, strict=False):
            shares = [100 * (place + 1) / len(values) for place in range(len(values))]
            axis.step(values, shares, where="post", label=label, color=colour)
        axis.set_xscale("log")
        axis.set_title("From close() to published", loc="left", fontsize=9)
        axis.set_xlabel("milliseconds", fontsize=8)
        axis.set_ylabel("% of the files", fontsize=8)
    return bool(found)


def _start(axis: Any, results: Results) -> bool:
    """Time over number of files."""
    cases = [case for case in results.cases if case.row == "start"]
    if axis is not None:
        programs = list(dict.fromkeys(program for case in cases for program in case.values))
        for program, colour in zip(programs, _COLOURS, strict=False):
            points = [(case.facts["files"], case.statistic(program, "start_s")) for case in cases]
            axis.plot(*zip(*points, strict=True), marker="o", label=program, color=colour)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title("Start with unchanged files", loc="left", fontsize=9)
        axis.set_xlabel("files", fontsize=8)
        axis.set_ylabel("seconds", fontsize=8)
    return bool(cases)


def _churn(axis: Any, results: Results) -> bool:
    """What the kernel counted while it went on."""
    case = results.case("churn")
    if axis is not None and case is not None:
        minutes = [at / 60 for at in case.series["at_s"]]
        for quantity, label, colour in (
            ("rss_mib", "memory, MiB", _COLOURS[0]),
            ("descriptors", "descriptors", _COLOURS[1]),
            ("threads", "threads", _COLOURS[2]),
        ):
            axis.plot(minutes, case.series[quantity], label=label, color=colour, linewidth=1)
        axis.set_ylim(bottom=0)
        axis.set_title("Steady churn", loc="left", fontsize=9)
        axis.set_xlabel("minutes", fontsize=8)
    return case is not None and bool(case.series.get("at_s"))
